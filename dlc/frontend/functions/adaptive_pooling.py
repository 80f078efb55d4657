"""Adaptive pooling: windows such that the result has the extents that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from dlc.frontend.apply import apply, as_tensor, broadcast_to, convert
from dlc.frontend.extent import as_dim
from dlc.frontend.functions import composed, elementwise, indexing, open_places, reduction
from dlc.frontend.functions.arguments import ArrayLike, check_kinds, reshaped, transposed
from dlc.frontend.functions.pooling import (
    AXES,
    given_images,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, at_least, floordiv, mod, product
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.ir.types import Shape, float64, int64

Sizes: TypeAlias = Sequence[int | None] | int

_ADAPTIVE_DOC = """The {what} of as many windows as the result is to have.

    As `torch.nn.functional.{name}`: window i of n along an axis of S elements goes from
    floor(i*S/n) up to ceil((i+1)*S/n).

    Args:
        x: A tensor or array [N, C, {axes}], or without N{kind}.
        output_size: The extents of the result, one number or one an axis; None for that of x.{more}

    Returns:
        A tensor of x's dtype{also}.

    Raises:
        ShapeError: The rank does not fit.
        ValueRangeError: An extent of the result is less than 1.

    Example:
        >>> dlc.{name}(dlc.ones({shape}), 3).shape
        {result}
    """


def _counts(name: str, output_size: Any, extents: Shape) -> list[Dim]:
    """The extents of the result."""
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * len(extents)
    if len(given) != len(extents):
        raise ArgumentError(
            f"{name}: output_size is {output_size!r}, there are {len(extents)} axes"
        )
    found = [
        extent if wanted is None else as_dim(wanted, f"{name}: output_size")
        for extent, wanted in zip(extents, given, strict=True)
    ]
    for extent, count in zip(extents, found, strict=True):
        if not (at_least(count, 1, expected=True) and at_least(extent, 1, expected=True)):
            raise ValueRangeError(f"{name}: output_size is {output_size!r} for {extent} elements")
    return found


def _bounds(extent: int, count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Where each window begins and ends."""
    i = np.arange(count)
    return i * extent // count, -(-(i + 1) * extent // count)


def _adaptive_avg(rank: int) -> Callable[..., Tensor]:
    name = f"adaptive_avg_pool{rank}d"

    def function(x: ArrayLike, output_size: Sizes) -> Tensor:
        x = given_images(name, x, rank)
        check_kinds(name, (x,), "f")
        lead = x.tensor.rank - rank
        extents = x.tensor.shape[lead:]
        counts = _counts(name, output_size, extents)
        if counts == [1] * rank:
            axes = tuple(range(lead, lead + rank))
            return reduction.mean(x, axis=axes, keepdims=True)
        for k, (extent, count) in enumerate(zip(extents, counts, strict=True)):
            if extent != count:
                x = _averaged(x, lead + k, extent, count)
        return x

    _document_adaptive(function, name, rank, "mean")
    return function


def _averaged(x: Tensor, axis: int, extent: Dim, count: Dim) -> Tensor:
    """The means of windows along an axis."""
    last_axis = x.tensor.rank - 1
    moved = [k for k in range(x.tensor.rank) if k != axis]
    last = transposed(x, (*moved, axis))
    if isinstance(extent, int) and isinstance(count, int):
        result = _means(last, extent, count)
    else:
        places, starts, ends = open_places.windows(extent, count)
        inside = elementwise.less(places, ends)
        lengths = convert(elementwise.subtract(ends, starts), float64)
        weights = elementwise.divide(convert(inside, float64), lengths)
        # What is behind the axis reads its end.
        read = composed.where(inside, indexing.take(last, places, axis=last_axis), 0.0)
        read = elementwise.multiply(read, convert(weights, x.tensor.dtype))
        result = reduction.sum(read, axis=-1)
    back = (*range(axis), last_axis, *range(axis, last_axis))
    return transposed(result, back)


def _means(x: Tensor, extent: int, count: int) -> Tensor:
    """The means of windows along the last axis."""
    each = extent // count
    if extent % count == 0:
        steps_: dict[str, Any] = {"sizes": (each,), "stride": (each,), "dilation": (1,)}
        return elementwise.divide(apply("window_sum", x, **steps_), each)
    starts, ends = _bounds(extent, count)
    longest = int((ends - starts).max())
    places = starts[:, None] + np.arange(longest)
    inside = places < ends[:, None]
    weights = inside / (ends - starts)[:, None]
    flat = np.minimum(places, extent - 1).reshape(-1)
    read = indexing.take(x, flat, axis=x.tensor.rank - 1)
    read = reshaped(read, (*read.tensor.shape[:-1], count, longest))
    zero = np.zeros((), x.tensor.dtype.numpy)
    read = elementwise.multiply(
        composed.where(inside, read, zero), weights.astype(x.tensor.dtype.numpy)
    )
    return reduction.sum(read, axis=-1)


def _adaptive_max(rank: int) -> Callable[..., Any]:
    name = f"adaptive_max_pool{rank}d"

    def function(x: ArrayLike, output_size: Sizes, return_indices: bool = False) -> Any:
        x = given_images(name, x, rank)
        lead = x.tensor.rank - rank
        extents = x.tensor.shape[lead:]
        sizes = list(zip(extents, _counts(name, output_size, extents), strict=True))
        each = tuple(floordiv(extent, count) for extent, count in sizes)
        if all(isinstance(n, int) for n in each) and not any(mod(*pair) for pair in sizes):
            pool = (max_pool1d, max_pool2d, max_pool3d)[rank - 1]
            return pool(x, each, return_indices=return_indices)
        values, places = _largest_of_uneven(x, lead, sizes)
        return (values, places) if return_indices else values

    _document_adaptive(function, name, rank, "largest element")
    return function


def _largest_of_uneven(
    x: Tensor, lead: int, sizes: Sequence[tuple[Dim, Dim]]
) -> tuple[Tensor, Tensor]:
    """The largest elements of windows of several sizes, and their positions.

    All windows are read as long as the longest: their last elements once more. Those are never the
    first largest ones.
    """
    shape = x.tensor.shape
    rank = len(sizes)
    counts = tuple(count for _, count in sizes)
    table = as_tensor(np.zeros((1,) * (2 * rank), np.int64))
    for k, (extent, count) in enumerate(sizes):
        places = as_tensor(_places(extent, count))
        at: list[Dim] = [1] * (2 * rank)
        at[k], at[rank + k] = places.tensor.shape
        table = elementwise.multiply(table, open_places.number(extent, int64))
        table = elementwise.add(table, reshaped(places, tuple(at)))
    longest = product(table.tensor.shape[rank:])
    table = reshaped(table, (*counts, longest))
    whole = reshaped(x, (*shape[:lead], product(extent for extent, _ in sizes)))
    read = indexing.take(whole, reshaped(table, (table.tensor.size,)), axis=lead)
    read = reshaped(read, (*shape[:lead], *counts, longest))
    at_first = apply("argmax", read, axis=lead + rank)
    chosen = reshaped(at_first, (*at_first.tensor.shape, 1))
    values = indexing.take_along_axis(read, chosen, axis=-1)
    positions = broadcast_to(table, read.tensor.shape)
    positions = indexing.take_along_axis(positions, chosen, axis=-1)
    wanted = (*shape[:lead], *counts)
    return reshaped(values, wanted), reshaped(positions, wanted)


def _places(extent: Dim, count: Dim) -> Any:
    """The places of the elements of windows, the last ones of shorter windows once more."""
    if isinstance(extent, int) and isinstance(count, int):
        starts, ends = _bounds(extent, count)
        places = starts[:, None] + np.arange(int((ends - starts).max()))
        return np.minimum(places, ends[:, None] - 1)
    places, _, ends = open_places.windows(extent, count)
    return elementwise.minimum(places, elementwise.subtract(ends, 1))


def _document_adaptive(function: Callable[..., Any], name: str, rank: int, what: str) -> None:
    largest = what != "mean"
    more = "\n        return_indices: Whether the places of the largest elements are wanted too."
    function.__name__ = function.__qualname__ = name
    function.__doc__ = _ADAPTIVE_DOC.format(
        name=name, what=what, axes=AXES[rank], kind="" if largest else ", of floats",
        more=more if largest else "",
        also="; with return_indices, also one of int64" if largest else "",
        shape=(1, 2, *(8,) * rank), result=(1, 2, *(3,) * rank),
    )  # fmt: skip


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = map(_adaptive_avg, (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = map(_adaptive_max, (1, 2, 3))
