"""Writers of ops on whole tensors: reductions, shapes, products, places."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.interop.onnx.writing.writer import WRITERS, Writer, writes
from dlc.ir.dims import Dim
from dlc.ir.types import bool_, int32

_LARGE = np.iinfo(np.int64).max


def _shape(node: Any, k: int = 0) -> tuple[Dim, ...]:
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
    ("reduce_prod", "ReduceProd"), ("reduce_mean", "ReduceMean"),
):  # fmt: skip
    WRITERS[_op] = functools.partial(_reduce, _name)


@writes("reduce_any", "reduce_all")
def reduce_bools(w: Writer, node: Any, x: str) -> str:
    """Whether some or all elements are true."""
    name = "ReduceMax" if node.op.name == "reduce_any" else "ReduceMin"
    return w.cast(_reduce(name, w, node, w.cast(x, int32)), bool_)


@writes("argmax", "argmin")
def arg(w: Writer, node: Any, x: str) -> str:
    """The first position of the largest or smallest element."""
    name = "ArgMax" if node.op.name == "argmax" else "ArgMin"
    if node.inputs[0].tensor.dtype is bool_:
        x = w.cast(x, int32)
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
    whole = w.shape(_shape(node))
    count = w.op("ReduceProd", whole, keepdims=0)
    zero, one = (w.constant(np.array(k, np.int64)) for k in (0, 1))
    flat = w.ints([-1])
    positions = w.op("Reshape", w.op("Range", zero, count, one), whole)
    chosen = w.op("Reshape", slice_(w, node, positions), flat)
    made = w.op("ScatterElements", w.op("Reshape", x, flat), chosen, w.op("Reshape", u, flat))
    return w.op("Reshape", made, whole)


# Places.


def _clamped(w: Writer, indices: str, extent: Dim) -> str:
    last = w.op("Sub", w.dim(extent), w.constant(np.array(1, np.int64)))
    return w.op("Min", w.op("Max", indices, w.constant(np.array(0, np.int64))), last)


@writes("take")
def take(w: Writer, node: Any, x: str, indices: str) -> str:
    """Slices at indices."""
    axis = node.attrs["axis"]
    return w.op("Gather", x, _clamped(w, indices, _shape(node)[axis]), axis=axis)


@writes("take_along")
def take_along(w: Writer, node: Any, x: str, indices: str) -> str:
    """Elements at indices."""
    axis = node.attrs["axis"]
    return w.op("GatherElements", x, _clamped(w, indices, _shape(node)[axis]), axis=axis)


_REDUCTIONS = {
    "scatter_set": "none", "scatter_along": "add", "scatter_max": "max", "scatter_min": "min",
    "scatter_mul": "mul",
}  # fmt: skip


@writes(*_REDUCTIONS)
def scatter(w: Writer, node: Any, x: str, indices: str, updates: str) -> str:
    """Elements combined at indices; those out of bounds go to a row that is cut off again."""
    axis, extent = node.attrs["axis"], _shape(node)[node.attrs["axis"]]
    rank = len(_shape(node))
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
    dims_a, dims_b = _shape(node), _shape(node, 1)
    free_a = _free(len(dims_a), at["lhs_batch"], at["lhs_contract"])
    free_b = _free(len(dims_b), at["rhs_batch"], at["rhs_contract"])
    left = _arranged(w, a, [*at["lhs_batch"], *free_a, *at["lhs_contract"]])
    right = _arranged(w, b, [*at["rhs_batch"], *at["rhs_contract"], *free_b])
    batch = [dims_a[k] for k in at["lhs_batch"]]
    inner = [dims_a[k] for k in at["lhs_contract"]]
    if (len(free_a), len(inner), len(free_b)) == (1, 1, 1):
        return w.op("MatMul", left, right)
    left = w.op("Reshape", left, w.shape([*batch, _product(dims_a, free_a), _count(inner)]))
    right = w.op("Reshape", right, w.shape([*batch, _count(inner), _product(dims_b, free_b)]))
    return w.op("Reshape", w.op("MatMul", left, right), w.shape(node.tensor.shape), allowzero=1)


def _free(rank: int, batch: Sequence[int], contract: Sequence[int]) -> list[int]:
    return [k for k in range(rank) if k not in (*batch, *contract)]


def _count(dims: Sequence[Dim]) -> Dim:
    total: Dim = 1
    for d in dims:
        total = total * d
    return total


def _product(dims: Sequence[Dim], axes: Sequence[int]) -> Dim:
    return _count([dims[k] for k in axes])


@writes("convolution")
def convolution(w: Writer, node: Any, x: str, filters: str) -> str:
    """A convolution without padding; groups are an axis of their own here."""
    at = node.attrs
    dims, sizes = _shape(node), _shape(node, 1)
    groups = 1
    if at["channels_last"]:
        rank = len(dims)
        x = w.op("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])
    if at["grouped"]:
        groups = int(dims[1])  # type: ignore[arg-type]
        x = w.op("Reshape", x, w.shape([dims[0], dims[1] * dims[2], *dims[3:]]))
        filters = w.op("Reshape", filters, w.shape([sizes[0] * sizes[1], *sizes[2:]]))
    rank = len(at["stride"])
    if at["turned"]:
        filters = reversed_along(w, filters, range(2, 2 + rank))
    y = w.op(
        "Conv", x, filters, strides=list(at["stride"]), dilations=list(at["dilation"]), group=groups
    )
    if at["channels_last"]:
        y = w.op("Transpose", y, perm=[0, *range(2, 2 + rank), 1])
    return w.op("Reshape", y, w.shape(node.tensor.shape), allowzero=1) if at["grouped"] else y


@writes("depthwise_convolution")
def depthwise_convolution(w: Writer, node: Any, x: str, filters: str) -> str:
    """Each channel by itself."""
    at, sizes = node.attrs, _shape(node, 1)
    filters = w.op("Reshape", filters, w.shape([sizes[0], 1, *sizes[1:]]))
    if at["turned"]:
        filters = reversed_along(w, filters, range(2, 2 + len(at["stride"])))
    return w.op(
        "Conv", x, filters, strides=list(at["stride"]), dilations=list(at["dilation"]),
        group=int(sizes[0]),  # type: ignore[arg-type]
    )  # fmt: skip


@writes("window_max", "window_sum")
def window(w: Writer, node: Any, x: str) -> str:
    """The maximum or sum of windows along the last axes."""
    at, dims = node.attrs, _shape(node)
    rank = len(at["sizes"])
    lead, tail = dims[: len(dims) - rank], dims[len(dims) - rank :]
    flat = x
    if len(lead) != 2:
        flat = w.op("Reshape", x, w.shape([1, _count(lead), *tail]))
    given: dict[str, Any] = {
        "kernel_shape": list(at["sizes"]), "strides": list(at["stride"]),
        "dilations": list(at["dilation"]),
    }  # fmt: skip
    if node.op.name == "window_max":
        y = w.op("MaxPool", flat, **given)
    else:
        count = w.number(int(np.prod(at["sizes"])), node.tensor.dtype)
        y = w.op("Mul", w.op("AveragePool", flat, **given), count)
    return y if len(lead) == 2 else w.op("Reshape", y, w.shape(node.tensor.shape))
