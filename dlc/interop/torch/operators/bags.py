"""Operators of bags of rows of a table (`embedding_bag`) and of segments of a tensor."""

from __future__ import annotations

import functools
import math
from typing import Any

import dlc
from dlc.interop.torch.gradients import gradient_of
from dlc.interop.torch.table import aten

_SUM, _MEAN, _MAX = range(3)


def _bags(indices: Any, offsets: Any) -> Any:
    """The bag of each index."""
    places = dlc.arange(indices.shape[0], dtype=offsets.dtype)
    return dlc.searchsorted(offsets, places, side="right") - 1


def _counts(bag: Any, counted: Any, bags: Any) -> Any:
    return dlc.index_add(
        dlc.zeros((bags,), dtype=bag.dtype), 0, bag, dlc.astype(counted, bag.dtype)
    )


def _wide(bag: Any, rows: Any) -> Any:
    """The bag of each element of rows."""
    return dlc.broadcast_to(bag[:, None], rows.shape)


@aten("embedding_renorm")
def embedding_renorm(table: Any, index: Any, max_norm: float, norm_type: float) -> Any:
    """A table with the rows at indices scaled down to a norm, where theirs is larger."""
    norms = dlc.linalg.vector_norm(table, axis=1, keepdims=True, ord=norm_type)
    scaled = dlc.where(norms > max_norm, table * (max_norm / (norms + 1e-7)), table)
    places = dlc.reshape(index, (math.prod(index.shape),))
    named = dlc.zeros((table.shape[0],), dtype=dlc.bool).at[places].set(True)
    return dlc.where(named[:, None], scaled, table)


@aten("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(
    table: Any, indices: Any, offsets: Any, _by_frequency: bool = False, mode: int = _SUM,
    _sparse: bool = False, weights: Any = None, last: bool = False, padding: int = -1,
) -> Any:  # fmt: skip
    """The sums, means or largest of bags of rows; bags of indices, their sizes, and the largest."""
    bags = offsets.shape[0] - 1 if last else offsets.shape[0]
    bag = _bags(indices, offsets[:bags])
    rows, counted = dlc.take(table, indices, axis=0), indices != padding
    size = _counts(bag, counted, bags)
    zero = dlc.zeros((bags, table.shape[1]), dtype=table.dtype)
    if mode == _MAX:
        y, largest = _largest(rows, indices, counted, bag, zero)
        return y, bag, size, largest
    rows = rows if weights is None else rows * weights[:, None]
    y = dlc.index_add(zero, 0, bag, dlc.where(counted[:, None], rows, 0))
    if mode == _MEAN:
        y = y / dlc.astype(dlc.maximum(size, 1), y.dtype)[:, None]
    return y, bag, size, size


def _largest(rows: Any, indices: Any, counted: Any, bag: Any, zero: Any) -> tuple[Any, Any]:
    """The largest of each bag, and the index of its row."""
    held = dlc.where(counted[:, None], rows, -math.inf)
    wide = _wide(bag, rows)
    low = dlc.full(zero.shape, -math.inf, dtype=zero.dtype)
    top = dlc.scatter_reduce(low, 0, wide, held, "amax")
    n = indices.shape[0]
    place = dlc.where(held == dlc.take(top, bag, axis=0), dlc.arange(n)[:, None], n)
    first = dlc.scatter_reduce(dlc.full(zero.shape, n, dtype=dlc.int64), 0, wide, place, "amin")
    empty = top == -math.inf
    index = dlc.take(indices, dlc.minimum(first, max(n - 1, 0))) if n else first
    return dlc.where(empty, 0, top), dlc.where(empty, 0, index)


def _per_row(gradient: Any, indices: Any, count: Any, by_frequency: bool) -> Any:
    """The gradients of the rows of a table, added up; perhaps over how often each is there."""
    if by_frequency:
        often = _counts(indices, indices == indices, count)  # noqa: PLR0124  all of them
        gradient = gradient / dlc.astype(dlc.take(often, indices), gradient.dtype)[:, None]
    zero = dlc.zeros((count, gradient.shape[-1]), dtype=gradient.dtype)
    return dlc.index_add(zero, 0, indices, gradient)


@aten("_embedding_bag_dense_backward")
def embedding_bag_dense_backward(
    gradient: Any, indices: Any, bag: Any, size: Any, largest: Any, count: Any,
    by_frequency: bool, mode: int, weights: Any, padding: int = -1,
) -> Any:  # fmt: skip
    """The gradient of the table."""
    if mode == _MAX:
        filled = dlc.where((size > 0)[:, None], gradient, 0)
        zero = dlc.zeros((count, gradient.shape[1]), dtype=gradient.dtype)
        return dlc.scatter_add(zero, 0, largest, filled)
    if mode == _MEAN:
        gradient = gradient / dlc.astype(dlc.maximum(size, 1), gradient.dtype)[:, None]
    rows = dlc.take(gradient, bag, axis=0)
    rows = rows if weights is None else rows * weights[:, None]
    rows = dlc.where((indices != padding)[:, None], rows, 0)
    return _per_row(rows, indices, count, by_frequency)


@aten("_embedding_bag_backward")
def embedding_bag_backward(
    gradient: Any, indices: Any, _offsets: Any, bag: Any, size: Any, largest: Any, count: Any,
    by_frequency: bool, mode: int, _sparse: bool, weights: Any, padding: int = -1,
) -> Any:  # fmt: skip
    """The gradient of the table."""
    return embedding_bag_dense_backward(
        gradient, indices, bag, size, largest, count, by_frequency, mode, weights, padding
    )


@aten("_embedding_bag_per_sample_weights_backward")
def embedding_bag_weights_backward(
    gradient: Any, table: Any, indices: Any, _offsets: Any, bag: Any, _mode: int,
    padding: int = -1,
) -> Any:  # fmt: skip
    """The gradient of the weights of indices."""
    products = dlc.take(gradient, bag, axis=0) * dlc.take(table, indices, axis=0)
    return dlc.where(indices != padding, dlc.sum(products, axis=1), 0)


@aten("embedding_dense_backward")
def embedding_backward(
    gradient: Any, indices: Any, count: Any, padding: int, by_frequency: bool = False
) -> Any:
    """The gradient of a table of which rows were taken."""
    flat = dlc.reshape(indices, (-1,))
    rows = dlc.reshape(gradient, (-1, gradient.shape[-1]))
    if padding >= 0:
        rows = dlc.where((flat == padding)[:, None], 0, rows)
    return _per_row(rows, flat, count, by_frequency)


# Segments.

_FIRST = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf}
_REDUCTION = {"sum": "sum", "mean": "sum", "prod": "prod", "max": "amax", "min": "amin"}


def _segments(
    x: Any, *, reduce: str, lengths: Any, offsets: Any, axis: int, initial: float | None
) -> Any:
    """Reduced segments of an axis, which lengths or offsets tell for each index before it."""
    if offsets is None:
        ends = dlc.cumulative_sum(lengths, axis=-1)
    else:
        ends, lengths = offsets[..., 1:], offsets[..., 1:] - offsets[..., :-1]
    lead, extent, rest = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    rows, count = math.prod(lead), ends.shape[-1]
    places = dlc.arange(extent, dtype=ends.dtype)
    ids = dlc.vmap(lambda e: dlc.searchsorted(e, places, side="right"))(
        dlc.reshape(ends, (rows, count))
    )
    inside = ids < count
    ids = dlc.where(inside, ids, 0) + dlc.arange(rows)[:, None] * count
    flat = dlc.reshape(x, (rows * extent, -1))
    first = _FIRST[reduce] if initial is None else initial
    # What is behind the last segment counts for nothing.
    flat = dlc.where(dlc.reshape(inside, (-1, 1)), flat, _FIRST[reduce])
    start = dlc.full((rows * count, flat.shape[1]), first, dtype=x.dtype)
    index = dlc.broadcast_to(dlc.reshape(ids, (-1, 1)), flat.shape)
    y = dlc.scatter_reduce(start, 0, index, flat, _REDUCTION[reduce])
    y = dlc.reshape(y, (*lead, count, *rest))
    if reduce != "mean":
        return y
    sizes = dlc.astype(dlc.reshape(lengths, (*lead, count, *[1] * len(rest))), x.dtype)
    if initial is None:
        return y / sizes
    return dlc.where(sizes > 0, y / dlc.maximum(sizes, 1), y)


@aten("segment_reduce")
def segment_reduce(
    x: Any, reduce: str, *, lengths: Any = None, indices: Any = None, offsets: Any = None,
    axis: int = 0, unsafe: bool = False, initial: float | None = None,
) -> Any:  # fmt: skip
    """The sums, means, products, largest or smallest of segments of an axis."""
    del indices, unsafe
    return _segments(x, reduce=reduce, lengths=lengths, offsets=offsets, axis=axis, initial=initial)


@aten("_segment_reduce_backward")
def segment_reduce_backward(
    gradient: Any, _y: Any, x: Any, reduce: str, *, lengths: Any = None, offsets: Any = None,
    axis: int = 0, initial: float | None = None,
) -> Any:  # fmt: skip
    """The gradient of reduced segments."""
    forward = functools.partial(
        _segments, reduce=reduce, lengths=lengths, offsets=offsets, axis=axis, initial=initial
    )
    return gradient_of(forward, x, gradient)
