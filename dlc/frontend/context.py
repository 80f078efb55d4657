"""The trace that functions record into now, for each thread and task."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlc.frontend.trace import Trace

current: ContextVar[Trace | None] = ContextVar("dlc.trace", default=None)


def current_trace() -> Trace | None:
    """The trace that functions record into now; None in eager mode."""
    return current.get()


def outermost_trace() -> Trace | None:
    """The trace that encloses all others; None in eager mode."""
    trace = current.get()
    return None if trace is None else trace.root
