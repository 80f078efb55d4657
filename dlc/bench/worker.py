"""The process that a framework runs in: takes commands as lines of JSON, answers in kind.

Its arguments are the framework's name, the number of threads, a folder for caches and a device.
What the framework prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from dlc.bench import memory
from dlc.bench.files import load_arrays, save_arrays
from dlc.bench.frameworks import Framework, start
from dlc.bench.problem import SETS, Case
from dlc.bench.problems import MATMUL
from dlc.bench.suites import WARM_UP, case_named
from dlc.bench.timing import seconds_a_call
from dlc.ir.deferred import deferred

# Only when something has gone wrong.
if TYPE_CHECKING:
    import traceback
else:
    traceback = deferred("traceback")


class Worker:
    """A framework with the case that it has prepared."""

    def __init__(self, name: str, threads: int, cache: str, device: str = "cpu") -> None:
        self.framework: Framework = start(name, threads, cache, device)
        self.wait: Callable[[], None] = getattr(self.framework, "wait", lambda: None)
        self.threads = threads
        self.sets: list[tuple[Any, ...]] = []
        self.constants: list[Any] = []
        self.case: Case | None = None
        self.program: Any = None
        self.result: Any = None

    def settings(self) -> dict[str, str]:
        """Versions and settings."""
        return self.framework.settings()

    def warm_up(self, suite: str) -> None:
        """Compiles and runs something else, so that the framework has loaded what it needs."""
        prepare = getattr(self.framework, "prepare_for", None)
        if prepare is not None:
            prepare(suite)
        sets, constants = WARM_UP.draw()
        program = self.framework.program(WARM_UP, constants)
        assert program is not None
        program(*map(self.framework.array, sets[0]))

    def prepare(self, suite: str, name: str, folder: str, sets: int = SETS) -> None:
        """Loads the inputs of a case, all of them or what a first call needs.

        The inputs of a first call are mapped from their files: to read them would take longer than
        many a first call.
        """
        self.case = case_named(suite, name)
        first = sets == 1
        arrays = [load_arrays(folder, f"set{k}", mapped=first) for k in range(sets)]
        self.sets = [self._given(self.case, inputs) for inputs in arrays]
        self.constants = load_arrays(folder, "constant", mapped=first)

    def _given(self, case: Case, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """Inputs as the framework takes them."""
        if not case.problem.half:
            return tuple(map(self.framework.array, inputs))
        half = getattr(self.framework, "half_array")  # noqa: B009  not of every framework
        return tuple(half(a) if a.dtype.kind == "f" else self.framework.array(a) for a in inputs)

    def first(self) -> dict[str, Any]:
        """Builds the program and calls it: the seconds that took, None if there is no program."""
        assert self.case is not None
        self.base = memory.resident()
        memory.forget_peak()
        start = time.perf_counter()
        self.program = self.framework.program(self.case, self.constants)
        if self.program is None:
            return {"seconds": None}
        self.result = self.program(*self.sets[0])
        self.wait()
        return {"seconds": time.perf_counter() - start}

    def results(self, folder: str) -> None:
        """Writes the results of the first call, and of one for each further set."""
        for k, inputs in enumerate(self.sets):
            result = self.result if k == 0 else self.program(*inputs)
            save_arrays(folder, f"result{k}", self.framework.arrays(result))
        self.result = None

    def run(self, count: int) -> dict[str, Any]:
        """The seconds of a call, after one that is not counted."""
        self.program(*self.sets[-1])
        return {"seconds": seconds_a_call(self.program, self.sets, count, self.wait)}

    def product(self, size: int, count: int) -> dict[str, float]:
        """The least seconds of a product of two square matrices; any worker can be asked."""
        case = Case("product", MATMUL, dict(m=size, k=size, n=size))
        sets, constants = case.draw()
        program = self.framework.program(case, constants)
        assert program is not None
        given = [tuple(map(self.framework.array, inputs)) for inputs in sets]
        return {"seconds": min(seconds_a_call(program, given, 1, self.wait) for _ in range(count))}

    def memory(self) -> dict[str, int]:
        """The most memory since the program was built, over what there was before."""
        return {"peak": max(0, memory.peak() - self.base)}

    def further(self) -> dict[str, float]:
        """What this framework alone can tell of its program."""
        tell = getattr(self.framework, "further", None)
        return {} if tell is None else tell(self.program, self.sets[0])

    def peaks(self, largest: float) -> dict[str, Any]:
        """What the machine can do; of dlc's worker only."""
        return getattr(self.framework, "peaks")(largest)  # noqa: B009  not of every framework


def main() -> None:
    """Answers commands until there are no more."""
    name, threads, cache, device = sys.argv[1:]
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    _die_with_parent()
    worker = None
    for line in sys.stdin:
        command = json.loads(line)
        kind = command.pop("do")
        try:
            if worker is None:
                _stay_on(int(threads))
                worker = Worker(name, int(threads), cache, device)
            with np.errstate(all="ignore"):
                answer = {} if kind == "start" else getattr(worker, kind)(**command) or {}
        except Exception as error:  # noqa: BLE001 - whatever a framework raises is reported
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        _reply(replies, answer)


def _reply(replies: IO[str], answer: dict[str, Any]) -> None:
    replies.write(json.dumps(answer) + "\n")
    replies.flush()


def _stay_on(threads: int) -> None:
    """As many CPUs as threads: some frameworks take one for each CPU."""
    if hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, mine[:threads])


def _die_with_parent() -> None:
    """Ends this process when its parent ends in whatever way, though it may be stopped then."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
