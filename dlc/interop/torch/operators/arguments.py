"""What rows ask of their arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import dlc


def expanded(values: Sequence[int], rank: int) -> tuple[int, ...]:
    """A number for each axis, where one may stand for all."""
    return tuple(values) if len(values) == rank else tuple(values) * rank


def stacked(a: Any, b: Any) -> tuple[Any, Any]:
    """Matrices with the leading axes of both."""
    lead = dlc.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return dlc.broadcast_to(a, (*lead, *a.shape[-2:])), dlc.broadcast_to(b, (*lead, *b.shape[-2:]))


def wide(*values: Any) -> list[Any]:
    """Tensors for several steps: those of 16-bit floats as float32, which is rounded at the end."""
    halves = (dlc.float16, dlc.bfloat16)
    return [
        dlc.astype(v, dlc.float32) if v is not None and v.dtype in halves else v for v in values
    ]


def with_places(find: Callable[..., Any]) -> Callable[..., Any]:
    """A row of (x, ...) for elements of an axis and where they are; x without axes is alone."""

    @functools.wraps(find)
    def run(x: Any, *args: Any, **keywords: Any) -> Any:
        if x.ndim == 0:
            return x, dlc.asarray(0, dtype=dlc.int64)
        return tuple(find(x, *args, **keywords))

    return run


def picked(x: Any, places: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """The elements at places along an axis that these have with extent 1, and the places."""
    values = dlc.take_along_axis(x, places, axis=dim)
    if keepdim:
        return values, places
    return dlc.squeeze(values, axis=dim), dlc.squeeze(places, axis=dim)


def fitted(number: Any, dtype: Any) -> Any:
    """A number as PyTorch converts one to an element type: -1 is 255 for uint8."""
    if isinstance(number, int) and dtype.kind == "u" and -(2**dtype.bits) < number < 0:
        return number + 2**dtype.bits
    return number


def times(x: Any, factor: float) -> Any:
    """x times a factor that PyTorch converts to x's dtype, towards 0."""
    if x.dtype.is_integer and isinstance(factor, float):
        factor = int(factor)
    return x * fitted(factor, x.dtype)


def operand(x: Any, dtype: Any) -> Any:
    """A tensor or a number as the type that PyTorch computes in: integers wrap."""
    if hasattr(x, "dtype"):
        return dlc.astype(x, dtype)
    if dtype.is_integer and isinstance(x, int):
        x %= 2**dtype.bits
        return x - 2**dtype.bits if dtype.kind == "i" and x >> (dtype.bits - 1) else x
    return x
