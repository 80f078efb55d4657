"""What other processes took of the CPUs meanwhile, where the system says so."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

DISTURBED = 0.05  # of the time of a CPU
_UNCERTAIN = 0.05  # seconds: the system counts in steps of about 10 ms for each process


class Load:
    """From its making on; `others` says how many CPUs processes other than these kept busy.

    Args:
        pids: The processes whose time is not counted, apart from this one.
    """

    def __init__(self, pids: Iterable[int] = ()) -> None:
        self.pids = [os.getpid(), *pids]
        self.start = time.perf_counter()
        self.busy, self.own = _busy(), self._own()

    def others(self) -> float | None:
        """CPUs' worth of others' work; None where it is not known."""
        busy = _busy()
        if busy is None or self.busy is None:
            return None
        seconds = time.perf_counter() - self.start
        taken = (busy - self.busy) - (self._own() - self.own)
        return max(0.0, taken - _UNCERTAIN) / max(seconds, 1e-3)

    def _own(self) -> float:
        return sum(_seconds_of(pid) for pid in self.pids)


def _tick() -> float:
    return 1 / os.sysconf("SC_CLK_TCK")


def _busy() -> float | None:
    """Seconds that all CPUs together have worked, also for other machines on the same host."""
    try:
        words = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, words[1:9])
    return (user + nice + system + irq + softirq + steal) * _tick()


def _seconds_of(pid: int) -> float:
    """Seconds that a process has worked; 0 when it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) * _tick()
