"""When functions are converted: once a traced tensor has to decide what Python does next.

A function is traced as it is, at first. Most never ask a traced tensor for its truth, and cost
nothing. Where one does, the trace is given up, and made again with functions rewritten
(`dlc.frontend.syntax`); which functions needed that is kept in mind.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from dlc.frontend.context import Conversion, ConversionNeeded, conversion
from dlc.ir.deferred import deferred
from dlc.ir.errors import ArgumentError
from dlc.ir.location import user_frame

if TYPE_CHECKING:
    from types import CodeType

    from dlc.frontend.syntax import convert
else:
    convert = deferred("dlc.frontend.syntax.convert")

Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])
# Code of functions, and objects, by number: that of equal ones differs.
_known: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
# The code of functions that stay as they are.
marked: weakref.WeakSet[CodeType] = weakref.WeakSet()


def do_not_convert(function: Function) -> Function:
    """Leaves a function as it is inside `dlc.compile`: a decorator.

    Its `if`, `while` and `for` are Python's, and what it calls is not converted either.

    Raises:
        ArgumentError: for what is no Python function.

    Example:
        >>> @dlc.do_not_convert
        ... def describe(x):
        ...     return str(x.shape)
    """
    code = _code_of(function)
    if code is None:
        raise ArgumentError(f"do_not_convert of a {type(function).__name__}, no Python function")
    marked.add(code)
    return function


def user_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """What dlc calls for a function that a user gave it, while tracing."""
    return convert.target(function) if conversion.get() is Conversion.ON else function


def with_conversion(trace: Callable[[], Result], function: Any) -> Result:
    """`trace()`, which calls `user_function(function)`; again with conversion if that is needed."""
    if conversion.get() is not Conversion.OFF:
        return trace()
    thing = _code_of(function) or function
    if _known.get(id(thing)) is not thing or thing is None:
        token = conversion.set(Conversion.WATCHED)
        try:
            return trace()
        except ConversionNeeded:
            with contextlib.suppress(TypeError):  # for what takes no weak references
                _known[id(thing)] = thing
        finally:
            conversion.reset(token)
    token = conversion.set(Conversion.ON)
    try:
        return convert.explaining_unset(trace)
    finally:
        conversion.reset(token)


def unconverted() -> str:
    """Why the user's line that asks a traced tensor for its truth was not converted."""
    frame = user_frame()
    if conversion.get() is not Conversion.ON or frame is None:
        return ""
    return convert.why_asked(frame.f_code)


def _code_of(function: Any) -> CodeType | None:
    inner = getattr(function, "__func__", function)
    return getattr(inner, "__code__", None)
