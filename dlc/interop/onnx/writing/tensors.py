"""Writers of ops on whole tensors: reductions, shapes, products, places."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.interop.onnx.writing.writer import WRITERS, Writer, writes
from dlc.ir.dims import Dim, lower_bound, product
from dlc.ir.types import bool_, int32

_LARGE = np.iinfo(np.int64).max


def shape_of(node: Any, k: int = 0) -> tuple[Dim, ...]:
    """The extents of an operand."""
    return node.inputs[k].tensor.shape


def _reduce(name: str, w: Writer, node: Any, x: str) -> str:
    axes = w.ints(node.attrs["axes"])
    if not node.attrs["axes"]:
        return w.op("Identity", x)
    if name in ("ReduceMax", "ReduceMin", "ReduceMean") and w.version < 18:
        return w.op(name, x, axes=list(node.attrs["axes"]), keepdims=0)
    return w.op(name, x, axes, keepdims=0)


for _op, _name in (
    ("reduce_sum", "ReduceSum"), ("reduce_max", "ReduceMax"), ("reduce_min", "ReduceMin"),
    ("reduce_prod", "ReduceProd"),
):  # fmt: skip
    WRITERS[_op] = functools.partial(_reduce, _name)


@writes("reduce_mean")
def reduce_mean(w: Writer, node: Any, x: str) -> str:
    """The mean; that of nothing, which ONNX leaves open, is NaN."""
    mean = _reduce("ReduceMean", w, node, x)
    count = _along_axes(shape_of(node), node.attrs["axes"])
    if (lower_bound(count) or 0) > 0:
        return mean
    nothing = w.op("Equal", w.dim(count), w.constant(np.array(0, np.int64)))
    return w.op("Where", nothing, w.number(math.nan, node.tensor.dtype), mean)


@writes("reduce_any", "reduce_all")
def reduce_bools(w: Writer, node: Any, x: str) -> str:
    """Whether some or all elements are true."""
    name = "ReduceSum" if node.op.name == "reduce_any" else "ReduceMin"
    return w.cast(_reduce(name, w, node, w.cast(x, int32)), bool_)


@writes("argmax", "argmin")
def arg(w: Writer, node: Any, x: str) -> str:
    """The first position of the largest or smallest element."""
    name = "ArgMax" if node.op.name == "argmax" else "ArgMin"
    return w.op(name, x, axis=node.attrs["axis"], keepdims=0)


def _along(name: str, w: Writer, node: Any, x: str) -> str:
    return w.op(name, x, axis=node.attrs["axis"])


WRITERS["softmax"] = functools.partial(_along, "Softmax")
WRITERS["log_softmax"] = functools.partial(_along, "LogSoftmax")


@writes("logsumexp")
def logsumexp(w: Writer, node: Any, x: str) -> str:
    """The logarithm of the sum of exponentials."""
    return w.op("ReduceLogSumExp", x, w.ints([node.attrs["axis"]]), keepdims=0)


@writes("layer_norm")
def layer_norm(w: Writer, node: Any, x: str, scale: str, bias: str) -> str:
    """Mean 0 and variance 1, scaled and moved."""
    return w.op(
        "LayerNormalization", x, scale, bias, axis=node.attrs["axis"], epsilon=node.attrs["eps"]
    )


@writes("cumulative_sum")
def cumulative_sum(w: Writer, node: Any, x: str) -> str:
    """The sums up to each element."""
    axis = w.constant(np.array(node.attrs["axis"], np.int64))
    return w.op("CumSum", x, axis, reverse=int(node.attrs["reverse"]))


@writes("sort", "argsort")
def sort(w: Writer, node: Any, x: str) -> str:
    """Elements in order, or where they are."""
    count = w.op("Reshape", w.dim(node.attrs["count"]), w.ints([1]))
    values, places = w.op(
        "TopK", x, count, outputs=2, axis=node.attrs["axis"],
        largest=int(node.attrs["descending"]), sorted=1,
    )  # fmt: skip
    return values if node.op.name == "sort" else places


# Shapes.


@writes("reshape")
def reshape(w: Writer, node: Any, x: str) -> str:
    """The same elements under another shape."""
    return w.op("Reshape", x, w.shape(node.attrs["shape"]), allowzero=1)


@writes("broadcast_to")
def broadcast_to(w: Writer, node: Any, x: str) -> str:
    """Repeated along axes."""
    return w.op("Expand", x, w.shape(node.attrs["shape"]))


@writes("transpose")
def transpose(w: Writer, node: Any, x: str) -> str:
    """Axes in another order."""
    return _arranged(w, x, node.attrs["axes"])


@writes("concat")
def concat(w: Writer, node: Any, *parts: str) -> str:
    """One after the other."""
    return w.op("Concat", *parts, axis=node.attrs["axis"])


@writes("flip")
def flip(w: Writer, node: Any, x: str) -> str:
    """In reverse order along axes."""
    return reversed_along(w, x, node.attrs["axes"])


def reversed_along(w: Writer, x: str, axes: Sequence[int]) -> str:
    """A tensor in reverse order along axes."""
    n = len(axes)
    return w.op("Slice", x, w.ints([-1] * n), w.ints([-_LARGE] * n), w.ints(axes), w.ints([-1] * n))


@writes("pad")
def pad(w: Writer, node: Any, x: str) -> str:
    """Elements before and after."""
    if not node.attrs["low"]:
        return w.op("Identity", x)
    widths = w.shape((*node.attrs["low"], *node.attrs["high"]))
    return w.op("Pad", x, widths, w.number(node.attrs["value"], node.tensor.dtype))


@writes("slice")
def slice_(w: Writer, node: Any, x: str) -> str:
    """Elements from start to limit by steps."""
    rank = len(node.attrs["start"])
    if not rank:
        return w.op("Identity", x)
    return w.op(
        "Slice", x, w.shape(node.attrs["start"]), w.shape(node.attrs["limit"]),
        w.ints(range(rank)), w.ints(node.attrs["step"]),
    )  # fmt: skip


@writes("slice_update")
def slice_update(w: Writer, node: Any, x: str, u: str) -> str:
    """x with a slice replaced: by the positions of the slice's elements."""
    whole = w.shape(shape_of(node))
    count = w.op("ReduceProd", whole, keepdims=0)
    zero, one = (w.constant(np.array(k, np.int64)) for k in (0, 1))
    flat = w.ints([-1])
    positions = w.op("Reshape", w.op("Range", zero, count, one), whole, allowzero=1)
    chosen = w.op("Reshape", slice_(w, node, positions), flat)
    made = w.op("ScatterElements", w.op("Reshape", x, flat), chosen, w.op("Reshape", u, flat))
    return w.op("Reshape", made, whole, allowzero=1)


# Places.


def _clamped(w: Writer, indices: str, extent: Dim) -> str:
    last = w.op("Sub", w.dim(extent), w.constant(np.array(1, np.int64)))
    return w.op("Min", w.op("Max", indices, w.constant(np.array(0, np.int64))), last)


@writes("take")
def take(w: Writer, node: Any, x: str, indices: str) -> str:
    """Slices at indices."""
    axis = node.attrs["axis"]
    return w.op("Gather", x, _clamped(w, indices, shape_of(node)[axis]), axis=axis)


@writes("take_along")
def take_along(w: Writer, node: Any, x: str, indices: str) -> str:
    """Elements at indices."""
    axis = node.attrs["axis"]
    return w.op("GatherElements", x, _clamped(w, indices, shape_of(node)[axis]), axis=axis)


_REDUCTIONS = {
    "scatter_set": "none", "scatter_along": "add", "scatter_add": "add", "scatter_max": "max",
    "scatter_min": "min", "scatter_mul": "mul",
}  # fmt: skip


@writes(*_REDUCTIONS)
def scatter(w: Writer, node: Any, x: str, indices: str, updates: str) -> str:
    """Elements combined at indices; those out of bounds go to a row that is cut off again."""
    axis, extent = node.attrs["axis"], shape_of(node)[node.attrs["axis"]]
    rank = len(shape_of(node))
    if node.op.name == "scatter_add":
        indices, updates = _one_by_one(w, node, indices, updates)
    size = w.dim(extent)
    inside = w.op("Less", indices, size)
    inside = w.op("And", inside, w.op("Not", w.op("Less", indices, w.constant(np.array(0)))))
    places = w.op("Where", inside, indices, size)
    widths = w.ints([0] * rank + [int(k == axis) for k in range(rank)])
    wide = w.op("Pad", x, widths, w.number(0, node.tensor.dtype))
    how = _REDUCTIONS[node.op.name]
    made = w.op("ScatterElements", wide, places, updates, axis=axis, reduction=how)
    return w.op(
        "Slice", made, w.ints([0]), w.op("Reshape", size, w.ints([1])), w.ints([axis]), w.ints([1])
    )


def _one_by_one(w: Writer, node: Any, indices: str, updates: str) -> tuple[str, str]:
    """Indices of slices as an index for each of their elements; both with one axis of slices."""
    axis, shape = node.attrs["axis"], shape_of(node)
    count = product(shape_of(node, 1))
    form = [count if k == axis else 1 for k in range(len(shape))]
    full = w.shape([count if k == axis else d for k, d in enumerate(shape)])
    places = w.op("Reshape", indices, w.shape(form), allowzero=1)
    return w.op("Expand", places, full), w.op("Reshape", updates, full, allowzero=1)


# Products.


def _arranged(w: Writer, x: str, order: Sequence[int]) -> str:
    if list(order) == sorted(order):
        return x
    if x in w.store.arrays:
        return w.constant(np.transpose(w.store.arrays[x], order))
    return w.op("Transpose", x, perm=list(order))


@writes("dot_general")
def dot_general(w: Writer, node: Any, a: str, b: str) -> str:
    """Sums of products: axes in the order batch, free, contracted, as matrices."""
    at = node.attrs
    dims_a, dims_b = shape_of(node), shape_of(node, 1)
    free_a = _free(len(dims_a), at["lhs_batch"], at["lhs_contract"])
    free_b = _free(len(dims_b), at["rhs_batch"], at["rhs_contract"])
    left = _arranged(w, a, [*at["lhs_batch"], *free_a, *at["lhs_contract"]])
    right = _arranged(w, b, [*at["rhs_batch"], *at["rhs_contract"], *free_b])
    batch = [dims_a[k] for k in at["lhs_batch"]]
    inner = [dims_a[k] for k in at["lhs_contract"]]
    if (len(free_a), len(inner), len(free_b)) == (1, 1, 1):
        return w.op("MatMul", left, right)
    rows, columns = _along_axes(dims_a, free_a), _along_axes(dims_b, free_b)
    left = w.op("Reshape", left, w.shape([*batch, rows, product(inner)]), allowzero=1)
    right = w.op("Reshape", right, w.shape([*batch, product(inner), columns]), allowzero=1)
    return w.op("Reshape", w.op("MatMul", left, right), w.shape(node.tensor.shape), allowzero=1)


def _free(rank: int, batch: Sequence[int], contract: Sequence[int]) -> list[int]:
    return [k for k in range(rank) if k not in (*batch, *contract)]


def _along_axes(dims: Sequence[Dim], axes: Sequence[int]) -> Dim:
    return product([dims[k] for k in axes])
