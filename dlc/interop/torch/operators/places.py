"""Operators that read, set or add elements at indices along axes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import dlc
from dlc.interop.torch.operators.arguments import fitted, with_places
from dlc.interop.torch.table import aten
from dlc.ir.errors import ModelError
from dlc.ir.ops.shape import inverse


def _line(x: Any) -> Any:
    """A tensor without axes as one of one element."""
    return dlc.reshape(x, (1,)) if getattr(x, "ndim", 1) == 0 else x


def _lined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A row of (x, dim, ...) for tensors without axes too, as PyTorch has it."""

    @functools.wraps(function)
    def run(x: Any, dim: int, *args: Any, **keywords: Any) -> Any:
        y = function(_line(x), dim, *(_line(a) for a in args), **keywords)
        return y if x.ndim else dlc.reshape(y, ())

    return run


def _scattered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A row of (x, dim, index, ...) that changes elements of x: none if there are no indices."""
    function = _lined(function)

    @functools.wraps(function)
    def run(x: Any, dim: int, index: Any, *args: Any, **keywords: Any) -> Any:
        # Without elements they may have any rank.
        return x if 0 in index.shape else function(x, dim, index, *args, **keywords)

    return run


@aten("gather")
def gather(x: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """An element for each index along an axis."""
    del sparse_grad
    if 0 in index.shape:  # which then may have any rank
        return dlc.zeros(index.shape, dtype=x.dtype)
    return dlc.reshape(dlc.gather(_line(x), dim, _line(index)), index.shape)


@aten("index_select")
@_lined
def index_select(x: Any, dim: int, index: Any) -> Any:
    """Slices at indices."""
    return dlc.take(x, index, axis=dim)


@aten("index", "_unsafe_index")
def index_(x: Any, indices: Sequence[Any]) -> Any:
    """Advanced indexing."""
    return x[tuple(slice(None) if i is None else i for i in indices)]


@aten("index_put", "_unsafe_index_put")
def index_put(x: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """Elements set, or added to, by advanced indexing."""
    at = x.at[tuple(slice(None) if i is None else i for i in indices)]
    return at.add(values) if accumulate else at.set(values)


@aten("scatter.src")
@_scattered
def scatter(x: Any, dim: int, index: Any, source: Any) -> Any:
    """Elements set along an axis."""
    return dlc.scatter(x, dim, index, source)


@aten("scatter.value")
@_scattered
def scatter_value(x: Any, dim: int, index: Any, value: Any) -> Any:
    """One number set along an axis."""
    return dlc.scatter(x, dim, index, dlc.full(index.shape, fitted(value, x.dtype), dtype=x.dtype))


@aten("scatter.reduce", "scatter.value_reduce")
@_scattered
def scatter_combined(x: Any, dim: int, index: Any, source: Any, *, reduce: str) -> Any:
    """Elements added or multiplied along an axis."""
    source = source if hasattr(source, "dtype") else dlc.full(index.shape, source, dtype=x.dtype)
    how = {"add": "sum", "multiply": "prod"}[reduce]
    return dlc.scatter_reduce(x, dim, index, source, how)


@aten("scatter_add")
@_scattered
def scatter_add(x: Any, dim: int, index: Any, source: Any) -> Any:
    """Elements added along an axis."""
    return dlc.scatter_add(x, dim, index, source)


@aten("scatter_reduce")
@_scattered
def scatter_reduce(
    x: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """Elements combined along an axis."""
    return dlc.scatter_reduce(x, dim, index, source, reduce, include_self=include_self)


@aten("index_add")
@_lined
def index_add(x: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """Slices added at indices."""
    return dlc.index_add(x, dim, index, source if alpha == 1 else source * alpha)


@aten("masked_fill")
def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """A number where a mask holds."""
    return dlc.where(mask, fitted(value, x.dtype), x)


@aten("sort")
@with_places
def sort(x: Any, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Any:
    """Elements in order, and where they were."""
    del stable
    places = dlc.argsort(x, axis=dim, descending=descending)
    return dlc.take_along_axis(x, places, axis=dim), places


@aten("topk")
@with_places
def topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted_: bool = True) -> Any:
    """The largest or smallest elements, and where they were."""
    return dlc.topk(x, k, axis=dim, largest=largest, sorted=sorted_)


# Places in memory.


def _in_memory(x: Any, layout: tuple[tuple[Any, ...], Any]) -> tuple[Any, list[int]]:
    """The elements in the order of memory, as one axis, and the axes in that order.

    Raises:
        ModelError: There are gaps between elements, or several have one place.
    """
    strides, _ = layout
    order = sorted(range(x.ndim), key=lambda k: (-strides[k], -x.shape[k]))
    span = 1
    for k in reversed(order):
        if x.shape[k] != 1 and strides[k] != span:
            raise ModelError(
                f"as_strided of {x.shape} with strides {strides}, which leave gaps in memory",
                hint="as_strided of a contiguous tensor: x.contiguous()",
            )
        span *= x.shape[k]
    return dlc.reshape(dlc.permute_dims(x, tuple(order)), (-1,)), order


def reach(
    shape: Sequence[Any], strides: Sequence[Any], offset: Any, layout: tuple[Any, Any]
) -> tuple[Any, Any]:
    """The first and the last place in memory, from where the tensor begins in it."""
    first: Any = (layout[1] if offset is None else offset) - layout[1]
    return first, first + sum((d - 1) * s for d, s in zip(shape, strides, strict=True))


def _strided_places(
    count: Any, shape: Sequence[Any], strides: Sequence[Any], offset: Any, layout: tuple[Any, Any]
) -> Any:
    """Places in memory, from where the tensor begins in it.

    Raises:
        ModelError: One is outside of the tensor's `count` elements, as far as extents are known.
    """
    places, last = reach(shape, strides, offset, layout)
    known = all(isinstance(n, int) for n in (count, places, last))
    if known and not 0 <= places <= last < count:
        raise ModelError(
            f"as_strided reads or writes the places {places} to {last} of {count} elements",
            hint="as_strided of the whole tensor that this one is a part of",
        )
    for k, (extent, stride) in enumerate(zip(shape, strides, strict=True)):
        along = dlc.arange(extent) * stride
        places = places + dlc.reshape(along, (-1, *[1] * (len(shape) - 1 - k)))
    return dlc.broadcast_to(dlc.asarray(places), tuple(shape))


@aten("as_strided", "as_strided_copy", needs=("layout",))
def as_strided(
    x: Any, shape: Sequence[Any], strides: Sequence[Any], offset: Any = None, *, layout: Any
) -> Any:
    """Elements by their places in memory."""
    if math.prod(shape) == 0:
        return dlc.zeros(tuple(shape), dtype=x.dtype)
    flat, _ = _in_memory(x, layout)
    return dlc.take(flat, _strided_places(flat.shape[0], shape, strides, offset, layout))


@aten("as_strided_scatter", needs=("layout",))
def as_strided_scatter(
    x: Any, source: Any, shape: Sequence[Any], strides: Sequence[Any], offset: Any = None, *,
    layout: Any,
) -> Any:  # fmt: skip
    """x with elements set by their places in memory."""
    if math.prod(shape) == 0:
        return x
    flat, order = _in_memory(x, layout)
    places = _strided_places(flat.shape[0], shape, strides, offset, layout)
    set_ = flat.at[places].set(source)
    whole = dlc.reshape(set_, tuple(x.shape[k] for k in order))
    return dlc.permute_dims(whole, inverse(order))
