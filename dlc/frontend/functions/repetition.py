"""Functions that repeat elements."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.frontend.apply import apply, as_tensor, convert
from dlc.frontend.apply import broadcast_to as stretch
from dlc.frontend.extent import as_dim
from dlc.frontend.functions import cumulative, elementwise, reduction
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    find_axis,
    fresh,
    known_values,
    reshaped,
)
from dlc.frontend.functions.shape import flatten
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, at_least, dims_equal, mul
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.types import int64


def repeat(
    x: ArrayLike,
    repeats: ArrayLike | Sequence[int],
    /,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
) -> Tensor:
    """Each element several times in a row.

    Args:
        x: A tensor, array or number of any shape and dtype.
        repeats: How many times: one number for all, or one for each place along the axis.
        axis: The axis along which elements are repeated; for None those in row-major order.
        total_repeat_length: How many elements are kept; the last one fills up. It is needed where
            numbers of repeats, one for each place, are known only when a compiled program runs.

    Returns:
        A tensor of x's dtype.

    Raises:
        ArgumentError: `repeats` is not of integers, or is traced and the length is not given.
        IndexRangeError: The axis is out of range.
        ShapeError: There is another number of repeats than of places.
        ValueRangeError: A number of repeats is negative.

    Example:
        >>> dlc.repeat(dlc.asarray([1, 2]), 2)
        Tensor([1, 1, 2, 2], dtype=int64)
        >>> dlc.repeat(dlc.asarray([1, 2]), dlc.asarray([1, 3]))
        Tensor([1, 2, 2, 2], dtype=int64)
    """
    tensor = as_tensor(x)
    if axis is None:
        tensor, axis = flatten(tensor), 0
    along = find_axis("repeat", axis, tensor.tensor)
    if isinstance(repeats, (list, tuple)) and len(repeats) == 1:
        repeats = repeats[0]
    if total_repeat_length is None and not _is_several(repeats):
        return fresh(_evenly(tensor, along, as_dim(repeats, "repeat: the number of repeats")), x)
    sources = _sources(tensor, along, repeats, total_repeat_length)
    return apply("take", tensor, sources, axis=along)


def _is_several(repeats: Any) -> bool:
    return isinstance(repeats, (list, tuple)) or bool(getattr(repeats, "ndim", 0))


def _evenly(x: Tensor, along: int, count: Dim) -> Tensor:
    if not at_least(count, 0, expected=True):
        raise ValueRangeError(f"repeat of {x.tensor} {count} times")
    shape = x.tensor.shape
    head, tail = shape[: along + 1], shape[along + 1 :]
    wide = stretch(reshaped(x, (*head, 1, *tail)), (*head, count, *tail))
    return reshaped(wide, (*head[:-1], mul(head[-1], count), *tail))


def _sources(x: Tensor, along: int, repeats: Any, length: int | None) -> Tensor:
    """For each place along the axis of the result, the place in `x` that it is read from."""
    counts, extent = as_tensor(repeats), x.tensor.shape[along]
    if counts.tensor.size == 0:
        counts = convert(counts, int64)  # the dtype of an empty list says nothing
    check_kinds("repeat", (counts,), "iu", "numbers of repeats are integers")
    shape = counts.tensor.shape
    if len(shape) > 1 or (shape and shape[0] != 1 and not dims_equal(shape[0], extent)):
        raise ShapeError(
            f"repeat of {x.tensor} along axis {along} by {counts.tensor}",
            hint="give one number of repeats, or one for each place along the axis",
        )
    known = known_values(repeats, counts)
    if known is not None and (known < 0).any():
        raise ValueRangeError(f"repeat of {x.tensor} {int(known.min())} times")
    counts = stretch(reshaped(convert(counts, int64), shape or (1,)), (extent,))
    if length is not None:
        total = as_dim(length, "repeat: total_repeat_length")
        ends = cumulative.cumulative_sum(counts)
        places = apply("iota", shape=(total, extent), axis=0, dtype=int64)
        before = reduction.count_nonzero(elementwise.less_equal(ends, places), axis=1)
        last = elementwise.subtract(apply("dim", dim=extent), 1)
        return elementwise.minimum(before, last)
    if known is None or not isinstance(extent, int):
        raise ArgumentError(
            f"repeat of {x.tensor} by {counts.tensor}: the extent of the result is not known",
            hint="give total_repeat_length, or repeats that are known while tracing",
        )
    places = np.repeat(np.arange(extent), np.broadcast_to(known.astype(np.int64), (extent,)))
    return as_tensor(places)


def tile(x: ArrayLike, /, repetitions: int | Sequence[int]) -> Tensor:
    """x as a whole several times along its axes.

    Args:
        x: A tensor, array or number of any shape and dtype.
        repetitions: How many times for each axis, counted from the last; further ones make new
            leading axes.

    Returns:
        A tensor of x's dtype.

    Raises:
        ArgumentError: A number of repetitions is not an integer.
        ValueRangeError: A number of repetitions is negative.

    Example:
        >>> dlc.tile(dlc.asarray([1, 2]), 2)
        Tensor([1, 2, 1, 2], dtype=int64)
    """
    tensor = as_tensor(x)
    given = repetitions if isinstance(repetitions, (list, tuple)) else (repetitions,)
    counts = [as_dim(v, "tile: a number of repetitions") for v in given]
    if not builtins.all(at_least(c, 0, expected=True) for c in counts):
        raise ValueRangeError(f"tile of {tensor.tensor} {repetitions} times")
    rank = builtins.max(tensor.tensor.rank, len(counts))
    counts = [1] * (rank - len(counts)) + counts
    shape = [1] * (rank - tensor.tensor.rank) + list(tensor.tensor.shape)
    apart = tuple(d for extent in shape for d in (1, extent))
    wide = tuple(d for pair in zip(counts, shape, strict=True) for d in pair)
    result = stretch(reshaped(tensor, apart), wide)
    return fresh(reshaped(result, tuple(mul(c, d) for c, d in zip(counts, shape, strict=True))), x)
