"""Which argument of a call is none of the kind that its annotation names."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from numbers import Real
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np

from dlc.frontend import keywords
from dlc.frontend.apply import is_array_like
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import DimExpr
from dlc.ir.errors import (
    ArgumentError,
    DlcError,
    MemoryLimitError,
    ValueRangeError,
    nearest,
)

_WORDS: Mapping[Any, str] = {
    bool: "a bool", int: "an integer", float: "a number", str: "text", NoneType: "None",
    Tensor: "a tensor",
}  # fmt: skip
_LONG = 40  # characters of a value that messages show
_MANY = 1000  # elements of a sequence that are looked at


def find_wrong(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    error: Exception,
) -> DlcError | None:
    """The error that names what was wrong with a call; None where its arguments are as they say.

    Args:
        name: What the message calls the function.
        function: What was called, and failed.
        args: What it was called with by position.
        kwargs: And by name.
        error: How it failed.
    """
    if isinstance(error, MemoryError):
        return MemoryLimitError(f"{name} needs more memory than there is")
    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as misfit:
        return _misfit(name, signature, kwargs, misfit)
    hints = _annotations(function)
    listed = [(n, v) for n, v in _each(signature, given) if n in hints]
    for parameter, value in listed:
        if not fits(value, hints[parameter]):
            wanted = describe(hints[parameter])
            return ArgumentError(f"{name}: {parameter} must be {wanted}, got {shown(value)}")
    if isinstance(error, (OverflowError, ValueError)):
        for parameter, value in listed:
            if _is_beyond(value):
                return ValueRangeError(f"{name}: {parameter} does not fit 64 bits")
    return None


def _misfit(
    name: str, signature: inspect.Signature, kwargs: Mapping[str, Any], misfit: TypeError
) -> ArgumentError:
    """The error of arguments that are too few, too many, or of no such name."""
    known = [p for p in signature.parameters if p != "self"]
    unknown = [k for k in kwargs if k not in known]
    if unknown:
        hint = keywords.hint(name, unknown[0], known) or nearest(unknown[0], known)
        return ArgumentError(f"{name}: {misfit}", hint=hint)
    bare = [p.replace(annotation=p.empty) for n, p in signature.parameters.items() if n != "self"]
    call = inspect.Signature(bare)
    return ArgumentError(f"{name}: {misfit}", hint=f"it is called as {name}{call}")


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations by parameter, without those whose names are there for type checkers only."""
    inner = inspect.unwrap(function)
    known = vars(sys.modules[inner.__module__])
    found: dict[str, Any] = {}
    for name, text in inner.__annotations__.items():
        try:
            found[name] = eval(text, dict(known)) if isinstance(text, str) else text
        except NameError:
            continue
    return found


def _each(signature: inspect.Signature, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The arguments by parameter; each of those that `*args` and `**kwargs` take."""
    for name, value in given.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            yield from ((name, v) for v in value)
        elif kind is inspect.Parameter.VAR_KEYWORD:
            yield from ((name, v) for v in value.values())
        else:
            yield name, value


def fits(value: Any, kind: Any) -> bool:
    """Whether an argument is of the kind that an annotation names; True where that is not known."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(fits(value, k) for k in inner)
    if origin is Literal:
        return any(type(value) is type(a) and value == a for a in inner)
    if kind is None or kind is NoneType:
        return value is None
    if kind in (bool, int, float):
        return _is_number(value, kind)
    if kind is Tensor:
        return isinstance(value, (list, tuple, Real)) or is_array_like(value)
    return _fits_class(value, origin or kind, inner)


def _fits_class(value: Any, kind: Any, inner: tuple[Any, ...]) -> bool:
    """`fits` of classes, and of generic ones with what they are of."""
    if kind is Any or isinstance(kind, TypeVar) or not isinstance(kind, type):
        return True
    if kind is Callable:
        return callable(value)
    if issubclass(kind, Iterable) and not issubclass(kind, str):
        return _fits_elements(value, kind, inner)
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol without checks
        return True


def _fits_elements(value: Any, kind: type, inner: tuple[Any, ...]) -> bool:
    if issubclass(kind, Mapping) or (kind.__module__ != "collections.abc" and kind is not tuple):
        return isinstance(value, kind)
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        return False
    if getattr(value, "ndim", 1) == 0:
        return False  # arrays of no axes have `__iter__`, too
    if not isinstance(value, (list, tuple)) or not inner or len(value) > _MANY:
        return True
    if kind is not tuple:
        return all(fits(v, inner[0]) for v in value)
    if inner[-1] is Ellipsis:
        return all(fits(v, inner[0]) for v in value)
    return len(value) == len(inner) and all(map(fits, value, inner))


def _is_number(value: Any, kind: type) -> bool:
    """Whether a value, of which there is only one, does for a bool, an integer or a float."""
    if getattr(value, "ndim", 0):
        return False
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        return value.dtype.kind in ("biuf" if kind is float else "biu")
    if isinstance(value, DimExpr):
        return True
    return isinstance(value, Real) if kind is float else hasattr(value, "__index__")


def _is_beyond(value: Any) -> bool:
    """Whether an integer, or one of several, does not fit 64 bits."""
    if isinstance(value, (list, tuple)):
        return any(map(_is_beyond, value[:_MANY]))
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def describe(kind: Any) -> str:
    """An annotation in words: "an integer, a sequence of integers or None"."""
    words = list(dict.fromkeys(_words(kind)))
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _words(kind: Any) -> Iterator[str]:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        for k in inner:
            yield from _words(k)
    elif origin is Literal:
        yield from map(repr, inner)
    elif kind in _WORDS:
        yield _WORDS[kind]
    elif kind is None:
        yield "None"
    else:
        yield _class_words(origin or kind, inner)


def _class_words(kind: Any, inner: tuple[Any, ...]) -> str:
    if kind is Callable:
        return "a function"
    if kind in (np.ndarray, np.generic):
        return "an array"
    sequence = isinstance(kind, type) and issubclass(kind, Iterable) and issubclass(kind, Sized)
    if kind is Iterable or (sequence and not issubclass(kind, Mapping)):
        if not inner or inner[0] is Any:
            return "a sequence"
        if kind is tuple and inner[-1] is not Ellipsis:
            return f"a tuple of {len(inner)}: " + ", ".join(map(describe, inner))
        return f"a sequence, each of it {describe(inner[0])}"
    return f"a {kind.__name__}"


def shown(value: Any) -> str:
    """A value in a message: itself where it is short, else what it is."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        text = repr(value)
        return text if len(text) <= _LONG else f"{type(value).__name__} {text[: _LONG - 4]} ..."
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__} of shape {shape}"
    return type(value).__name__ if not isinstance(value, type) else f"the class {value.__name__}"
