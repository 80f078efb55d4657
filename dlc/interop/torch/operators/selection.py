"""Operators that pick elements: by order, by masks and by places in the flattened tensor."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal

import dlc
from dlc.interop.torch.operators.arguments import operand, picked, with_places
from dlc.interop.torch.operators.elements import is_float
from dlc.interop.torch.table import aten


def _at(x: Any, place: Any, dim: int) -> Any:
    """One slice along an axis, which keeps its extent of 1."""
    return dlc.take(x, dlc.arange(1) + place, axis=dim)


@with_places
def _middle(x: Any, dim: int, keepdim: bool = False, *, skip: bool) -> tuple[Any, Any]:
    """The lower one of the middle, and where it is; NaN is passed over or prevails."""
    order = dlc.argsort(x, axis=dim)
    extent = x.shape[dim]
    if not is_float(x):
        return picked(x, _at(order, (extent - 1) // 2, dim), dim, keepdim)
    known = dlc.count_nonzero(x == x, axis=dim, keepdims=True)  # noqa: PLR0124  NaN
    if skip:
        at = dlc.maximum(known - 1, 0) // 2
    else:
        at = dlc.where(known == extent, (extent - 1) // 2, known)
    return picked(x, dlc.take_along_axis(order, at, axis=dim), dim, keepdim)


def _middle_of_all(x: Any, *, skip: bool) -> Any:
    """The lower one of the middle of all elements."""
    return _middle(dlc.reshape(x, (-1,)), 0, skip=skip)[0]


for _skip, _name in ((False, "median"), (True, "nanmedian")):
    aten(f"{_name}.dim")(functools.partial(_middle, skip=_skip))
    aten(f"{_name}.default")(functools.partial(_middle_of_all, skip=_skip))


@aten("mode")
@with_places
def mode(x: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element, and where it is last."""
    return dlc.mode(x, dim, keepdims=keepdim)


@aten("kthvalue")
@with_places
def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest element, and where it is."""
    return dlc.kthvalue(x, k, dim, keepdims=keepdim)


def _ranks(mask: Any) -> Any:
    """How many elements of a flattened mask hold before each."""
    return dlc.cumulative_sum(dlc.astype(mask, dlc.int64)) - 1


@aten("masked_scatter")
def masked_scatter(x: Any, mask: Any, source: Any) -> Any:
    """Elements of the source, in their order, where a mask holds."""
    mask, x = dlc.broadcast_arrays(mask, x)
    flat = dlc.reshape(source, (-1,))
    if flat.shape[0] == 0:
        return x
    ranks = dlc.maximum(_ranks(dlc.reshape(mask, (-1,))), 0)
    # More than there are is an error in PyTorch, which nothing can say here.
    taken = dlc.take(flat, dlc.minimum(ranks, flat.shape[0] - 1))
    return dlc.where(mask, dlc.reshape(taken, x.shape), x)


@aten("masked_scatter_backward")
def masked_scatter_backward(gradient: Any, mask: Any, shape: Sequence[Any]) -> Any:
    """The gradient of the source: that of the masked elements in their order, then zeros."""
    flat = dlc.reshape(dlc.broadcast_to(mask, gradient.shape), (-1,))
    count = math.prod(shape)
    ranks = dlc.where(flat, _ranks(flat), count)
    room = dlc.zeros((count + 1,), dtype=gradient.dtype)
    packed = dlc.index_add(room, 0, dlc.minimum(ranks, count), dlc.reshape(gradient, (-1,)))
    return dlc.reshape(packed[:count], tuple(shape))


@aten("put")
def put(x: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """Elements set, or added to, by places in the flattened tensor."""
    at = dlc.reshape(x, (-1,)).at[dlc.reshape(index, (-1,))]
    values = dlc.reshape(source, (-1,))
    return dlc.reshape(at.add(values) if accumulate else at.set(values), x.shape)


@aten("take")
def take(x: Any, index: Any) -> Any:
    """Elements by places in the flattened tensor."""
    return dlc.reshape(x, (-1,))[index]


@aten("nonzero_static")
def nonzero_static(x: Any, *, size: Any, fill_value: int = -1) -> Any:
    """The places of so many elements that are not zero."""
    if x.ndim == 0:
        return dlc.zeros((size, 0), dtype=dlc.int64)
    return dlc.stack(dlc.nonzero(x, size=size, fill_value=fill_value), axis=-1)


@aten("searchsorted", needs=("common",))
def searchsorted(
    rows: Any, x: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None,
    sorter: Any = None, common: Any,
) -> Any:  # fmt: skip
    """Where elements belong in the last axis of a sorted tensor."""
    del out_int32
    after: Literal["left", "right"] = "right" if right or side == "right" else "left"
    rows, x = operand(rows, common), dlc.asarray(operand(x, common), dtype=common)
    if sorter is not None:
        rows = dlc.take_along_axis(rows, sorter, axis=-1)
    if rows.ndim == 1:
        return dlc.searchsorted(rows, x, side=after)
    count = math.prod(rows.shape[:-1])
    pairs = [dlc.reshape(v, (count, v.shape[-1])) for v in (rows, x)]
    return dlc.reshape(dlc.vmap(lambda r, v: dlc.searchsorted(r, v, side=after))(*pairs), x.shape)


@aten("bucketize", needs=("common",))
def bucketize(
    x: Any, bounds: Any, *, out_int32: bool = False, right: bool = False, common: Any
) -> Any:
    """Where elements belong in a sorted line."""
    return searchsorted(bounds, x, out_int32=out_int32, right=right, common=common)


@aten("unfold")
def unfold(x: Any, dim: int, size: int, step: int) -> Any:
    """Windows along an axis, each as a new last axis."""
    if x.ndim == 0:
        return dlc.broadcast_to(dlc.reshape(x, (1,)), (size,))
    dim %= x.ndim
    count = (x.shape[dim] - size) // step + 1
    places = dlc.arange(count)[:, None] * step + dlc.arange(size)
    return dlc.moveaxis(dlc.take(x, places, axis=dim), dim + 1, -1)


@aten("resize")
def resize(x: Any, shape: Sequence[Any], *, memory_format: Any = None) -> Any:
    """The first elements in another shape; what is not there is zero."""
    del memory_format
    flat, count = dlc.reshape(x, (-1,)), math.prod(shape)
    missing = count - flat.shape[0]
    flat = dlc.pad(flat, ((0, missing),)) if missing > 0 else flat[:count]
    return dlc.reshape(flat, tuple(shape))
