"""What a compiled function has done so far, also in calls that no Python code sees."""

from __future__ import annotations

import numpy as np


class CompileStats:
    """Counters of one compiled function; always up to date.

    traces, compilations: how often it was traced and compiled.
    interpreted_ops: operations run by the interpreter instead of by a compiled program.
    recompilations: why each compilation after the first happened.
    python_calls, python_found, python_runs: `calls`, `cache_hits` and `native_calls` without those
        that a native entry served.
    entry_counts: calls that native entries served, and those that they passed on.
    """

    def __init__(self) -> None:
        self.traces = 0
        self.compilations = 0
        self.interpreted_ops = 0
        self.recompilations: list[str] = []
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

    def __repr__(self) -> str:
        names = ("calls", "traces", "compilations", "cache_hits", "native_calls", "interpreted_ops")
        shown = ", ".join(f"{name}={getattr(self, name)}" for name in names)
        return f"CompileStats({shown}, recompilations={self.recompilations})"
