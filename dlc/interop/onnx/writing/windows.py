"""Writers of ops on windows: convolutions, pooling, windows themselves.

Operators of ONNX convolve and pool floats of up to 32 bits. For other types the elements of windows
are slices, one for each place in a window, that are multiplied and combined.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dlc.interop.onnx.writing.tensors import reversed_along, shape_of
from dlc.interop.onnx.writing.writer import Writer, writes
from dlc.ir.dims import Dim, product
from dlc.ir.errors import ModelError
from dlc.ir.types import float16, float32

_POOLED = (float16, float32)
_DILATED_MEANS_SINCE = 19  # the opset whose AveragePool has dilations


def _combined(w: Writer, name: str, parts: Sequence[str]) -> str:
    return functools.reduce(functools.partial(w.op, name), parts)


@writes("convolution")
def convolution(w: Writer, node: Any, x: str, filters: str) -> str:
    """A convolution without padding; groups are an axis of their own here."""
    at, g = node.attrs, int(node.attrs["grouped"])
    dims, sizes = shape_of(node), shape_of(node, 1)
    rank = len(at["stride"])
    if at["turned"]:
        filters = reversed_along(w, filters, range(g + 2, g + 2 + rank))
    counts = node.tensor.shape[g + 1 :]
    counts = counts[:-1] if at["channels_last"] else counts[1:]
    if node.tensor.dtype not in _POOLED:
        y = _products(w, node, x, filters, counts)
    else:
        if g:
            x = w.op("Reshape", x, w.shape([dims[0], dims[1] * dims[2], *dims[3:]]), allowzero=1)
            joined = w.shape([sizes[0] * sizes[1], *sizes[2:]])
            filters = w.op("Reshape", filters, joined, allowzero=1)
        y = w.op(
            "Conv", x, filters, strides=list(at["stride"]), dilations=list(at["dilation"]),
            group=dims[1] if g else 1,
        )  # fmt: skip
        if g:
            y = w.op("Reshape", y, w.shape([*dims[:2], sizes[1], *counts]), allowzero=1)
    if at["channels_last"]:
        y = w.op("Transpose", y, perm=[*range(g + 1), *range(g + 2, g + 2 + rank), g + 1])
    return y


def _products(w: Writer, node: Any, x: str, filters: str, counts: Sequence[Dim]) -> str:
    """The sum of products of matrices, one for each element of a filter."""
    dims, sizes = shape_of(node), shape_of(node, 1)
    g = int(node.attrs["grouped"])
    lead = dims[: g + 2]
    flat = w.shape([*lead, product(counts)])
    parts: list[str] = []
    for tap, part in _taps(w, node, x, counts, sizes[g + 2 :]):
        places = w.ints(tap)
        axes = w.ints(range(g + 2, g + 2 + len(tap)))
        matrix = w.op("Slice", filters, places, w.ints(t + 1 for t in tap), axes)
        matrix = w.op("Reshape", matrix, w.shape(sizes[: g + 2]), allowzero=1)
        parts.append(w.op("MatMul", matrix, w.op("Reshape", part, flat, allowzero=1)))
    total = _combined(w, "Add", parts)
    return w.op("Reshape", total, w.shape([*dims[: g + 1], sizes[g], *counts]), allowzero=1)


def _taps(
    w: Writer, node: Any, x: str, counts: Sequence[Dim], sizes: Sequence[Dim]
) -> Iterator[tuple[tuple[int, ...], str]]:
    """Each place in a window, and the elements of all windows there."""
    if not all(isinstance(s, int) for s in sizes):
        raise ModelError(
            f"{node.op.name} of {node.inputs[0].tensor}: ONNX has windows of open extents for "
            "float32 and float16 only"
        )
    rank = len(sizes)
    first = len(shape_of(node)) - rank
    axes, step = w.ints(range(first, first + rank)), w.ints(node.attrs["stride"])
    for tap in itertools.product(*(range(int(s)) for s in sizes)):  # type: ignore[arg-type]
        start = [t * d for t, d in zip(tap, node.attrs["dilation"], strict=True)]
        ends = [
            k + (n - 1) * s + 1 for k, n, s in zip(start, counts, node.attrs["stride"], strict=True)
        ]
        yield tap, w.op("Slice", x, w.ints(start), w.shape(ends), axes, step)


@writes("depthwise_convolution")
def depthwise_convolution(w: Writer, node: Any, x: str, filters: str) -> str:
    """Each channel by itself."""
    at, sizes = node.attrs, shape_of(node, 1)
    rank = len(at["stride"])
    if at["turned"]:
        filters = reversed_along(w, filters, range(1, 1 + rank))
    if node.tensor.dtype in _POOLED:
        filters = w.op("Reshape", filters, w.shape([sizes[0], 1, *sizes[1:]]), allowzero=1)
        return w.op(
            "Conv", x, filters, strides=list(at["stride"]), dilations=list(at["dilation"]),
            group=int(sizes[0]),  # type: ignore[arg-type]
        )  # fmt: skip
    parts: list[str] = []
    axes = w.ints(range(1, 1 + rank))
    for tap, part in _taps(w, node, x, node.tensor.shape[2:], sizes[1:]):
        factor = w.op("Slice", filters, w.ints(tap), w.ints(t + 1 for t in tap), axes)
        parts.append(w.op("Mul", part, factor))
    return _combined(w, "Add", parts)


@writes("window_max", "window_sum")
def window(w: Writer, node: Any, x: str) -> str:
    """The maximum or sum of windows along the last axes."""
    at, dims = node.attrs, shape_of(node)
    rank = len(at["sizes"])
    lead, tail = dims[: len(dims) - rank], dims[len(dims) - rank :]
    largest = node.op.name == "window_max"
    dilated = any(step != 1 for step in at["dilation"])
    apart = dilated and not largest and w.version < _DILATED_MEANS_SINCE
    if apart or node.tensor.dtype not in _POOLED:
        name = "Max" if largest else "Add"
        counts = node.tensor.shape[len(dims) - rank :]
        parts = [part for _, part in _taps(w, node, x, counts, at["sizes"])]
        return _combined(w, name, parts)
    flat = x
    if len(lead) != 2:
        flat = w.op("Reshape", x, w.shape([1, product(lead), *tail]), allowzero=1)
    given: dict[str, Any] = {
        "kernel_shape": list(at["sizes"]), "strides": list(at["stride"]),
    }  # fmt: skip
    if dilated:
        given["dilations"] = list(at["dilation"])
    if largest:
        y = w.op("MaxPool", flat, **given)
    else:
        count = w.number(math.prod(at["sizes"]), node.tensor.dtype)
        y = w.op("Mul", w.op("AveragePool", flat, **given), count)
    return y if len(lead) == 2 else w.op("Reshape", y, w.shape(node.tensor.shape), allowzero=1)


def _along_each(
    w: Writer, node: Any, counts: Sequence[Dim], through: Callable[[int, str], None]
) -> None:
    """Calls `through(k, places)` for each axis that windows move along.

    The places are those of the elements of windows along it, of shape [P,1...,R] at its two axes.
    """
    at = node.attrs
    rank = len(at["stride"])
    first = len(shape_of(node)) - 2 * rank
    sizes = shape_of(node)[first + rank :]
    zero, one = (w.constant(np.array(k, np.int64)) for k in (0, 1))
    for k in range(rank):
        parts: list[str] = []
        for axis, extent, step in (
            (first + k, counts[k], at["stride"][k]),
            (first + rank + k, sizes[k], at["dilation"][k]),
        ):
            numbers = w.op("Range", zero, w.dim(extent), one)
            numbers = w.op("Mul", numbers, w.constant(np.array(step, np.int64)))
            form = [-1 if a == axis else 1 for a in range(first + 2 * rank)]
            parts.append(w.op("Reshape", numbers, w.ints(form)))
        through(k, w.op("Add", *parts))


@writes("windows")
def windows(w: Writer, node: Any, x: str) -> str:
    """The elements of windows, gathered along one axis after the other."""
    dims, rank = list(shape_of(node)), len(node.attrs["stride"])
    first = len(dims) - 2 * rank
    counts = node.tensor.shape[first : first + rank]
    value = x

    def gather(k: int, places: str) -> None:
        nonlocal value
        dims[first + k] = counts[k]
        index = w.op("Expand", places, w.shape(dims))
        value = w.op("GatherElements", value, index, axis=first + k)

    _along_each(w, node, counts, gather)
    return value


@writes("spread_windows")
def spread_windows(w: Writer, node: Any, x: str) -> str:
    """The elements of windows, written back along one axis after the other."""
    dims, rank = list(shape_of(node)), len(node.attrs["stride"])
    first = len(dims) - 2 * rank
    zero = w.number(0, node.tensor.dtype)
    value = x

    def scatter(k: int, places: str) -> None:
        nonlocal value
        index = w.op("Expand", places, w.shape(dims))
        dims[first + k] = node.attrs["extents"][k]
        empty = w.op("Expand", zero, w.shape(dims))
        value = w.op("ScatterElements", empty, index, value, axis=first + k)

    _along_each(w, node, dims[first : first + rank], scatter)
    return value
