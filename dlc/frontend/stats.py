"""What a compiled function has done so far, also in calls that no Python code sees."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from dlc.ir.logs import TopicLog
from dlc.runtime.executable import Executable

log = TopicLog("compile")
Made = TypeVar("Made")


class CompileStats:
    """Counters of one compiled function; always up to date.

    traces, compilations: how often it was traced and compiled.
    kernels_compiled, kernels_from_cache: kernels of its programs that were compiled, and that the
        disk cache had; those of a program that another function has made already count for that.
    interpreted_ops: operations run by the interpreter instead of by a compiled program.
    recompilations: why each compilation after the first happened.
    seconds: what its compilations took, by phase: `trace` runs the Python function, the others are
        those of `dlc.runtime.executable.Stats`, whose `total` is without the trace.
    python_calls, python_found, python_runs: `calls`, `cache_hits` and `native_calls` without those
        that a native entry served.
    entry_counts: calls that native entries served, and those that they passed on.
    """

    def __init__(self) -> None:
        self.traces = 0
        self.compilations = 0
        self.kernels_compiled = 0
        self.kernels_from_cache = 0
        self.interpreted_ops = 0
        self.recompilations: list[str] = []
        self.seconds: dict[str, float] = {}
        self.python_calls = 0
        self.python_found = 0
        self.python_runs = 0
        self.entry_counts = np.zeros(2, np.int64)

    @property
    def calls(self) -> int:
        """Calls, but for those inside of another function that was being traced."""
        return self.python_calls + int(self.entry_counts[0])

    @property
    def cache_hits(self) -> int:
        """Calls that found their program."""
        return self.python_found + int(self.entry_counts[0])

    @property
    def native_calls(self) -> int:
        """Runs of compiled programs."""
        return self.python_runs + int(self.entry_counts[0])

    def time_trace(self, name: str, trace: Callable[[], Made]) -> Made:
        """Runs the trace of a function, and counts its time, also when it fails."""
        start = time.perf_counter()
        try:
            return trace()
        finally:
            took = time.perf_counter() - start
            self._add({"trace": took})
            log.info("%s: traced (%.1f ms)", name, 1e3 * took)

    def time_compilation(self, compile_: Callable[[], Made]) -> Made:
        """Runs a compilation; counts the phases of what it made, if it did not only find it."""
        start = time.perf_counter()
        made = compile_()
        took = time.perf_counter() - start
        self.compilations += 1
        if isinstance(made, Executable) and made.stats.seconds["total"] <= took:
            self._add(made.stats.seconds)
            self.kernels_compiled += made.stats.kernels_compiled
            self.kernels_from_cache += made.stats.kernels_from_cache
        return made

    def _add(self, seconds: Mapping[str, float]) -> None:
        for phase, more in seconds.items():
            self.seconds[phase] = self.seconds.get(phase, 0.0) + more

    def __repr__(self) -> str:
        names = (
            "calls", "traces", "compilations", "kernels_compiled", "kernels_from_cache",
            "cache_hits", "native_calls", "interpreted_ops",
        )  # fmt: skip
        shown = ", ".join(f"{name}={getattr(self, name)}" for name in names)
        return f"CompileStats({shown}, recompilations={self.recompilations})"
