"""What holds now, for each thread and task: the trace, and whether functions are converted."""

from __future__ import annotations

from contextvars import ContextVar
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlc.frontend.trace import Trace
    from dlc.ir.types import DType

current: ContextVar[Trace | None] = ContextVar("dlc.trace", default=None)


# The half type that products are computed of, in the region of `dlc.autocast` that this is in.
cast_type: ContextVar[DType | None] = ContextVar("dlc.autocast", default=None)

# Where what eager operations run is noted down, if anywhere; see `dlc.frontend.eager`. None stands
# for a reading of values, on which what is done next may depend.
watcher: ContextVar[list[Any] | None] = ContextVar("dlc.eager", default=None)


def note_reading() -> None:
    """Notes down that values are read, where somebody watches."""
    noted = watcher.get()
    if noted is not None:
        noted.append(None)


def current_trace() -> Trace | None:
    """The trace that functions record into now; None in eager mode."""
    return current.get()


def outermost_trace() -> Trace | None:
    """The trace that encloses all others; None in eager mode."""
    trace = current.get()
    return None if trace is None else trace.root


def observe(holder: object, attribute: str) -> Any:
    """The value of an attribute in `__slots__`, for the present trace to depend on.

    A program is used as long as the attributes that were observed hold the very objects that they
    held when its trace ended; after that, the function is traced again.
    """
    trace = outermost_trace()
    if trace is not None:
        trace.observed[id(holder), attribute] = holder
    return getattr(holder, attribute)


def observe_now(holder: object, attribute: str) -> Any:
    """As `observe`; but what the attribute holds at the first look in a trace is what counts."""
    held = getattr(holder, attribute)
    trace = outermost_trace()
    if trace is not None:
        trace.observed_first.setdefault((id(holder), attribute), (holder, attribute, held))
    return held


class Conversion(Enum):
    """Whether Python's control flow is converted now.

    OFF: outside of traces. WATCHED: a traced tensor that has to decide raises `ConversionNeeded`.
    ON: functions are rewritten when they are called.
    """

    OFF = 0
    WATCHED = 1
    ON = 2


class ConversionNeeded(BaseException):
    """A traced tensor has to decide what Python does next. Users' `except` does not see it."""


conversion: ContextVar[Conversion] = ContextVar("dlc.conversion", default=Conversion.OFF)


def ask_for_conversion() -> None:
    """Says that a traced tensor has to decide; ConversionNeeded if conversion is to be tried."""
    if conversion.get() is Conversion.WATCHED:
        raise ConversionNeeded
