"""Operators that count, split numbers into parts, and reduce at indices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import dlc
from dlc.interop.torch.extents import longer, shorter
from dlc.interop.torch.operators.arguments import times, with_places
from dlc.interop.torch.operators.elements import as_float
from dlc.interop.torch.table import aten


@aten("cummax")
@with_places
def cummax(x: Any, dim: int) -> Any:
    """The largest of the elements up to each one, and where it is."""
    return dlc.cummax(x, axis=dim)


@aten("cummin")
@with_places
def cummin(x: Any, dim: int) -> Any:
    """The smallest of the elements up to each one, and where it is."""
    return dlc.cummin(x, axis=dim)


@aten("logcumsumexp")
def logcumsumexp(x: Any, dim: int) -> Any:
    """The logarithms of the sums of exponentials up to each element."""
    return dlc.logcumsumexp(x, axis=dim) if x.ndim else x


@aten("frexp")
def frexp(x: Any) -> Any:
    """Fractions from 1/2 and exponents of 2."""
    return tuple(dlc.frexp(x))


@aten("ldexp")
def ldexp(x: Any, exponent: Any) -> Any:
    """x times 2 to a power, which need not be an integer."""
    return as_float(x) * dlc.exp2(as_float(exponent))


@aten("angle")
def angle(x: Any) -> Any:
    """pi below zero, else 0."""
    return dlc.where(x == x, dlc.where(x < 0, math.pi, 0.0), x)  # noqa: PLR0124  NaN


@aten("histc")
def histc(x: Any, bins: int = 100, low: float = 0, high: float = 0) -> Any:
    """How many elements are in each of bins of one width, by default between the extremes."""
    flat = dlc.reshape(x, (-1,))
    start: Any = dlc.asarray(low, dtype=x.dtype)
    end: Any = dlc.asarray(high, dtype=x.dtype)
    if low == high and flat.shape[0]:
        start, end = dlc.min(flat), dlc.max(flat)
    same = start == end
    start, end = dlc.where(same, start - 1, start), dlc.where(same, end + 1, end)
    place = dlc.floor((flat - start) * (bins / (end - start)))
    place = dlc.astype(dlc.clip(place, 0, bins - 1), dlc.int64)
    counted = dlc.astype((flat >= start) & (flat <= end), x.dtype)
    return dlc.index_add(dlc.zeros((bins,), dtype=x.dtype), 0, place, counted)


@aten("index_reduce")
def index_reduce(
    x: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """Slices combined at indices."""
    if x.ndim == 0:
        found = index_reduce(
            x[None], 0, dlc.reshape(index, (-1,)), dlc.reshape(source, (-1,)), reduce,
            include_self=include_self,
        )  # fmt: skip
        return found[0]
    shape = [1] * x.ndim
    shape[dim] = -1
    places = dlc.broadcast_to(dlc.reshape(index, shape), source.shape)
    return dlc.scatter_reduce(x, dim, places, source, reduce, include_self=include_self)


@aten("addbmm")
def addbmm(c: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta c + alpha times the sum of a stack of products."""
    y = dlc.sum(dlc.matmul(a, b), axis=0, dtype=c.dtype)
    y = times(y, alpha)
    return y if beta == 0 else times(c, beta) + y


@aten("broadcast_in_dim")
def broadcast_in_dim(x: Any, shape: Sequence[Any], axes: Sequence[int]) -> Any:
    """Repeated along the axes of a shape that x does not have."""
    extents: list[Any] = [1] * len(shape)
    for axis, extent in zip(axes, x.shape, strict=True):
        extents[axis] = extent
    return dlc.broadcast_to(dlc.reshape(x, tuple(extents)), tuple(shape))


aten("sym_max")(longer)
aten("sym_min")(shorter)


@aten("_assert_scalar", "_assert_async", "_assert_tensor_metadata")
def assert_nothing(*_args: Any, **_keywords: Any) -> None:
    """Nothing: what PyTorch asserts of extents has been checked when it traced."""


@aten("sym_constrain_range_for_size", "sym_constrain_range")
def constrain(*_args: Any, **_keywords: Any) -> None:
    """Nothing: a note of the tracer."""
