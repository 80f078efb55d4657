"""Operators that take and set elements by index."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.operators.shape import moving
from dlc.interop.onnx.values import ints, is_text
from dlc.ir.errors import ModelError


def from_the_end(indices: Any, extent: Any) -> Any:
    """Indices with negative ones counted from the end."""
    return dlc.where(indices < 0, indices + extent, indices)


@operator("Gather")
@moving
def gather(node: Any, x: Any, indices: Any) -> Any:
    """Slices along an axis."""
    axis = node.attr("axis", 0)
    if is_text(x):
        return np.take(x, np.asarray(indices), axis=axis)
    return dlc.take(x, indices, axis=axis)


@operator("GatherElements")
@moving
def gather_elements(node: Any, x: Any, indices: Any) -> Any:
    """An element for each index, along an axis."""
    axis = node.attr("axis", 0) % x.ndim
    return dlc.gather(x, axis, from_the_end(indices, x.shape[axis]))


@operator("GatherND")
@moving
def gather_nd(node: Any, x: Any, indices: Any) -> Any:
    """Elements or slices by tuples of indices; the first axes may be those of a batch."""
    batch = node.attr("batch_dims", 0)
    return x[_tuples(x, indices, batch)]


def _tuples(x: Any, indices: Any, batch: int) -> tuple[Any, ...]:
    """The last axis of indices as an index of arrays, behind those of the batch."""
    outer: list[Any] = []
    rank = indices.ndim - 1
    for axis in range(batch):
        shape = [1] * rank
        shape[axis] = -1
        outer.append(dlc.reshape(dlc.arange(x.shape[axis]), tuple(shape)))
    width = indices.shape[-1]
    inner = [from_the_end(indices[..., k], x.shape[batch + k]) for k in range(width)]
    return (*outer, *inner)


_UPDATES = {"none": "set", "add": "add", "mul": "multiply", "max": "max", "min": "min"}
_REDUCES = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@operator("Scatter", "ScatterElements")
@moving
def scatter_elements(node: Any, x: Any, indices: Any, updates: Any) -> Any:
    """Elements set, or combined with others, along an axis."""
    axis = node.attr("axis", 0) % x.ndim
    places = from_the_end(indices, x.shape[axis])
    how = node.attr("reduction", "none")
    if how == "none":
        return dlc.scatter(x, axis, places, updates)
    if how not in _REDUCES:
        raise ModelError(f"{node.op} with reduction={how!r}")
    return dlc.scatter_reduce(x, axis, places, updates, _REDUCES[how])


@operator("ScatterND", since=11)
@moving
def scatter_nd(node: Any, x: Any, indices: Any, updates: Any) -> Any:
    """Elements or slices set, or combined with others, by tuples of indices."""
    how = node.attr("reduction", "none")
    if how not in _UPDATES:
        raise ModelError(f"{node.op} with reduction={how!r}")
    at = x.at[_tuples(x, indices, 0)]
    return getattr(at, _UPDATES[how])(updates)


@operator("TensorScatter", since=24)
@moving
def tensor_scatter(node: Any, cache: Any, update: Any, starts: Any = None) -> Any:
    """A part of a cache replaced, from a place on that each sample has."""
    axis = node.attr("axis", -2) % cache.ndim
    extent, count = cache.shape[axis], update.shape[axis]
    shape = [1] * cache.ndim
    shape[axis] = -1
    places = dlc.reshape(dlc.arange(count), tuple(shape))
    if starts is not None:
        first = [1] * cache.ndim
        first[0] = -1
        places = places + dlc.reshape(starts, tuple(first))
    if node.attr("mode", "linear") == "circular":
        places = places % extent
    return dlc.scatter(cache, axis, dlc.broadcast_to(places, update.shape), update)


@operator("NonZero", at_once=True)
def nonzero(_node: Any, x: Any) -> Any:
    """The places of elements that are not zero, a column each."""
    if x.ndim == 0:
        x = dlc.reshape(x, (1,))
    return dlc.stack(list(dlc.nonzero(x)))


@operator("Compress", known=(1,))
@moving
def compress(node: Any, x: Any, condition: Any) -> Any:
    """The slices for which a condition, which has to be known, holds."""
    axis = node.attr("axis", None)
    chosen = np.flatnonzero(condition)
    if axis is None:
        return dlc.take(dlc.reshape(x, (-1,)), chosen, axis=0)
    return dlc.take(x, chosen, axis=axis)


@operator("Unique", since=11, at_once=True)
def unique(node: Any, x: Any) -> Any:
    """Different elements or slices, their first places, where each is, how many there are."""
    axis = node.attr("axis", None)
    if axis is None:
        found = dlc.unique_all(dlc.reshape(x, (-1,)))
        values, first = found.values, found.indices
        inverse, counts = dlc.reshape(found.inverse_indices, (-1,)), found.counts
    else:
        values, first, inverse, counts = _unique_slices(x, axis % x.ndim)
    if not node.attr("sorted", 1):
        order = dlc.argsort(first)
        values = dlc.take(values, order, axis=0 if axis is None else axis)
        first, counts = dlc.take(first, order), dlc.take(counts, order)
        inverse = dlc.take(dlc.argsort(order), inverse)
    whole = [dlc.astype(v, dlc.int64) for v in (first, inverse, counts)]
    return (values, *whole)


def _unique_slices(x: Any, axis: int) -> tuple[Any, Any, Any, Any]:
    """Different slices along an axis, in the order of their elements."""
    rows = dlc.reshape(dlc.moveaxis(x, axis, 0), (x.shape[axis], -1))
    order = dlc.lexsort(tuple(rows[:, k] for k in reversed(range(rows.shape[1]))))
    ordered = dlc.take(rows, order, axis=0)
    new = dlc.any(ordered[1:] != ordered[:-1], axis=1)
    starts = np.flatnonzero(np.concatenate([[True], new.numpy()]))
    first = dlc.take(order, starts)
    group = dlc.cumulative_sum(
        dlc.concat([dlc.zeros(1, dtype=dlc.int64), dlc.astype(new, dlc.int64)])
    )
    inverse = dlc.take(group, dlc.argsort(order))
    counts = np.diff(np.append(starts, rows.shape[0]))
    return dlc.take(x, first, axis=axis), first, inverse, dlc.asarray(counts)


@operator("OneHot", known=(1,))
def one_hot(node: Any, indices: Any, depth: Any, values: Any) -> Any:
    """One of two values, at and off an index."""
    count = int(depth.reshape(-1)[0]) if depth.dtype != object else ints(depth)[0]
    axis = node.attr("axis", -1)
    axis = axis + indices.ndim + 1 if axis < 0 else axis
    # The places of all of them, also where the type of the indices is narrow.
    indices = dlc.astype(indices, dlc.int64)
    places = dlc.expand_dims(from_the_end(indices, count), axis)
    shape = [1] * places.ndim
    shape[axis] = -1
    hot = places == dlc.reshape(dlc.arange(count, dtype=dlc.int64), tuple(shape))
    return dlc.where(hot, values[1], values[0])


@operator("ArrayFeatureExtractor", domain="ai.onnx.ml")
def array_feature_extractor(_node: Any, x: Any, indices: Any) -> Any:
    """Elements of the last axis."""
    taken = dlc.take(x, dlc.reshape(indices, (-1,)), axis=-1)
    return taken if x.ndim > 1 else dlc.reshape(taken, (1, -1))
