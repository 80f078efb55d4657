"""Operators on whole tensors: shapes, places, reductions."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import dlc
from dlc.interop.torch.operators.arguments import picked, with_places
from dlc.interop.torch.operators.elements import as_float, is_float
from dlc.interop.torch.table import aten
from dlc.ir.dims import DimUnknown, proving


def _axes(x: Any, dims: Any) -> tuple[int, ...]:
    if dims is None or (isinstance(dims, Sequence) and not dims):
        return tuple(range(x.ndim))
    listed = dims if isinstance(dims, Sequence) else [dims]
    return tuple(int(d) % max(x.ndim, 1) for d in listed if x.ndim)


@aten("sum")
def sum_(x: Any, dims: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum."""
    del dtype
    wide = dlc.int64 if not is_float(x) else None
    return dlc.sum(x, axis=_axes(x, dims), keepdims=keepdim, dtype=wide)


@aten("mean")
def mean(x: Any, dims: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean."""
    del dtype
    return dlc.mean(as_float(x), axis=_axes(x, dims), keepdims=keepdim)


@aten("prod")
def prod(x: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The product."""
    del dtype
    return dlc.prod(x, axis=_axes(x, dim), keepdims=keepdim)


@aten("var")
def var(
    x: Any, dims: Any = None, unbiased: Any = None, *, correction: Any = None, keepdim: bool = False
) -> Any:
    """The variance."""
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return dlc.var(x, axis=_axes(x, dims), correction=float(correction), keepdims=keepdim)


@aten("linalg_vector_norm")
def vector_norm(
    x: Any, order: float = 2, dims: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """The norm of vectors."""
    del dtype
    return dlc.linalg.vector_norm(x, axis=_axes(x, dims), keepdims=keepdim, ord=order)


@aten("var_mean")
def var_mean(
    x: Any, dims: Any = None, unbiased: Any = None, *, correction: Any = None, keepdim: bool = False
) -> tuple[Any, Any]:
    """The variance and the mean."""
    spread = var(x, dims, unbiased, correction=correction, keepdim=keepdim)
    return spread, mean(x, dims, keepdim)


@aten("amax")
def amax(x: Any, dims: Any = (), keepdim: bool = False) -> Any:
    """The largest element."""
    return dlc.max(x, axis=_axes(x, dims), keepdims=keepdim)


@aten("amin")
def amin(x: Any, dims: Any = (), keepdim: bool = False) -> Any:
    """The smallest element."""
    return dlc.min(x, axis=_axes(x, dims), keepdims=keepdim)


@aten("max.default")
def max_default(x: Any) -> Any:
    """The largest element."""
    return dlc.max(x)


@aten("min.default")
def min_default(x: Any) -> Any:
    """The smallest element."""
    return dlc.min(x)


@with_places
def _extreme(
    x: Any, dim: int, keepdim: bool = False, *, find: Callable[..., Any]
) -> tuple[Any, Any]:
    return picked(x, find(x, axis=dim, keepdims=True), dim, keepdim)


aten("max.dim")(functools.partial(_extreme, find=dlc.argmax))
aten("min.dim")(functools.partial(_extreme, find=dlc.argmin))


def _arg(find: Callable[..., Any], x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        place = find(dlc.reshape(x, (-1,)), axis=0)
        return dlc.reshape(place, (1,) * x.ndim) if keepdim else place
    return find(x, axis=dim, keepdims=keepdim) if x.ndim else dlc.asarray(0, dtype=dlc.int64)


aten("argmax")(functools.partial(_arg, dlc.argmax))
aten("argmin")(functools.partial(_arg, dlc.argmin))


@aten("any")
def any_(x: Any, dims: Any = None, keepdim: bool = False) -> Any:
    """Whether some element is not zero."""
    return dlc.any(x, axis=_axes(x, dims), keepdims=keepdim)


@aten("all")
def all_(x: Any, dims: Any = None, keepdim: bool = False) -> Any:
    """Whether all elements are not zero."""
    return dlc.all(x, axis=_axes(x, dims), keepdims=keepdim)


@aten("cumsum")
def cumsum(x: Any, dim: int, *, dtype: Any = None) -> Any:
    """The sums up to each element."""
    del dtype
    return dlc.cumulative_sum(x, axis=dim) if x.ndim else x


@aten("cumprod")
def cumprod(x: Any, dim: int, *, dtype: Any = None) -> Any:
    """The products up to each element."""
    del dtype
    return dlc.cumulative_prod(x, axis=dim) if x.ndim else x


# Shapes.


@aten("view", "reshape", "_unsafe_view")
def view(x: Any, shape: Sequence[Any]) -> Any:
    """The same elements in another shape."""
    return dlc.reshape(x, tuple(shape))


@aten("permute")
def permute(x: Any, dims: Sequence[int]) -> Any:
    """Axes in another order."""
    return dlc.permute_dims(x, tuple(d % max(x.ndim, 1) for d in dims))


@aten("transpose")
def transpose(x: Any, a: int, b: int) -> Any:
    """Two axes exchanged."""
    return dlc.swapaxes(x, a, b) if x.ndim else x


@aten("t")
def t(x: Any) -> Any:
    """A matrix transposed."""
    return x.mT if x.ndim == 2 else x


@aten("expand")
def expand(x: Any, shape: Sequence[Any], *, implicit: bool = False) -> Any:
    """Repeated along axes of extent 1; -1 keeps an extent."""
    del implicit
    lead = len(shape) - x.ndim
    wanted = tuple(
        x.shape[k - lead] if isinstance(d, int) and d == -1 else d for k, d in enumerate(shape)
    )
    return dlc.broadcast_to(x, wanted)


@aten("repeat")
def repeat(x: Any, times: Sequence[Any]) -> Any:
    """Repeated as a whole."""
    return dlc.tile(x, tuple(times))


@aten("unsqueeze")
def unsqueeze(x: Any, dim: int) -> Any:
    """With an axis of extent 1."""
    return dlc.expand_dims(x, axis=dim)


@aten("squeeze")
def squeeze(x: Any, dims: Any = None) -> Any:
    """Without axes of extent 1."""
    listed = () if isinstance(dims, Sequence) and not dims else _axes(x, dims)
    axes = [a for a in listed if isinstance(x.shape[a], int) and x.shape[a] == 1]
    return dlc.squeeze(x, axis=tuple(axes)) if axes else x


@aten("cat")
def cat(parts: Sequence[Any], dim: int = 0) -> Any:
    """One after the other."""
    whole = [p for p in parts if not (p.ndim == 1 and p.shape[0] == 0)] or list(parts[:1])
    return dlc.concat(whole, axis=dim) if len(whole) > 1 else whole[0]


@aten("stack")
def stack(parts: Sequence[Any], dim: int = 0) -> Any:
    """Along a new axis."""
    return dlc.stack(list(parts), axis=dim)


@aten("split_with_sizes")
def split_with_sizes(x: Any, sizes: Sequence[Any], dim: int = 0) -> tuple[Any, ...]:
    """Parts of given extents."""
    parts: list[Any] = []
    start: Any = 0
    for n in sizes:
        parts.append(_cut(x, dim, start, start + n))
        start = start + n
    return tuple(parts)


@aten("split.Tensor", needs=("shape",))
def split(x: Any, size: Any, dim: int = 0, *, shape: Any = None) -> tuple[Any, ...]:
    """Parts of one extent, the last one shorter."""
    if shape is None:
        extent = x.shape[dim]
        ends = [min((k + 1) * size, extent) for k in range(-(-extent // size))]
        return tuple(_cut(x, dim, k * size, end) for k, end in enumerate(ends))
    return tuple(_part(x, dim, k * size, part[dim]) for k, part in enumerate(shape))


def _index(x: Any, dim: int, one: Any) -> tuple[Any, ...]:
    index: list[Any] = [slice(None)] * x.ndim
    index[dim] = one
    return tuple(index)


def _cut(x: Any, dim: int, start: Any, end: Any, step: int = 1) -> Any:
    return x[_index(x, dim, slice(start, end, step))]


@aten("slice", needs=("shape",))
def slice_(
    x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1, *, shape: Any = None
) -> Any:
    """A part along an axis."""
    if shape is None:
        return _cut(x, dim, start, end, step)
    return _part(x, dim, start, shape[dim], end, step)


def _part(x: Any, dim: int, start: Any, length: Any, end: Any = None, step: int = 1) -> Any:
    """A part of known length along an axis."""
    positions = _positions(x, dim, start, end, step, length)
    if isinstance(positions, slice):
        return x[_index(x, dim, positions)]
    return dlc.take(x, positions, axis=dim)


@aten("slice_scatter")
def slice_scatter(
    x: Any, source: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    """x with a part along an axis replaced."""
    positions = _positions(x, dim, start, end, step, source.shape[dim])
    return x.at[_index(x, dim, positions)].set(source)


def _positions(x: Any, dim: int, start: Any, end: Any, step: int, length: Any) -> Any:
    """The places of a slice of known length: a slice, or indices where its limits are not proved.

    PyTorch counts from the end and keeps within the axis by what it knows of open extents.
    """
    extent, first = x.shape[dim], 0 if start is None else start
    open_end = end is None or (isinstance(end, int) and end >= sys.maxsize)
    try:
        with proving():
            negative = first < 0
    except DimUnknown:
        negative = False
    if negative:
        first = extent - length if open_end and step == 1 else first + extent
    try:
        with proving():
            return slice(*_proved(first, length, step, extent))
    except DimUnknown:
        return dlc.arange(length) * step + first


def _proved(first: Any, length: Any, step: int, extent: Any) -> tuple[Any, Any, int]:
    """The limits of a slice; DimUnknown where it might leave the axis."""
    if length == 0:
        return 0, 0, 1
    last = first + (length - 1) * step
    if not (first >= 0 and last < extent):
        raise DimUnknown(first, extent, "within")
    return first, last + 1, step


@aten("select")
def select(x: Any, dim: int, place: Any) -> Any:
    """One slice."""
    return x[_index(x, dim, place)]


@aten("select_scatter")
def select_scatter(x: Any, source: Any, dim: int, place: Any) -> Any:
    """x with one slice replaced."""
    return x.at[_index(x, dim, place)].set(source)


@aten("flip")
def flip(x: Any, dims: Sequence[int]) -> Any:
    """In reverse order."""
    return dlc.flip(x, axis=tuple(dims)) if dims else x


@aten("diagonal")
def diagonal(x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A diagonal of two axes, as the last axis."""
    moved = dlc.moveaxis(x, (dim1, dim2), (-2, -1))
    return dlc.linalg.diagonal(moved, offset=offset)


@aten("tril")
def tril(x: Any, diagonal: int = 0) -> Any:
    """The lower triangle."""
    return dlc.tril(x, k=diagonal)


@aten("triu")
def triu(x: Any, diagonal: int = 0) -> Any:
    """The upper triangle."""
    return dlc.triu(x, k=diagonal)


def padded(mode: str, x: Any, pads: Sequence[Any], **keywords: Any) -> Any:
    """Elements around, by a mode of `dlc.pad`; a negative number takes some away."""
    widths: list[tuple[Any, Any]] = [(0, 0)] * x.ndim
    index: list[Any] = [slice(None)] * x.ndim
    for k in range(len(pads) // 2):
        axis = x.ndim - 1 - k
        low, high = pads[2 * k], pads[2 * k + 1]
        widths[axis] = (max(0, low), max(0, high))
        # After padding, of which a narrow tensor may keep nothing else.
        end = x.shape[axis] + sum(widths[axis]) - max(0, -high)
        index[axis] = slice(max(0, -low), end)
    return dlc.pad(x, widths, mode, **keywords)[tuple(index)]


@aten("constant_pad_nd")
def constant_pad(x: Any, pads: Sequence[Any], value: float = 0) -> Any:
    """Elements around; a negative number takes some away."""
    return padded("constant", x, pads, constant_values=value)


for _rank in (1, 2, 3):
    aten(f"reflection_pad{_rank}d")(functools.partial(padded, "reflect"))
    aten(f"replication_pad{_rank}d")(functools.partial(padded, "edge"))


# New tensors.


def _number(value: Any, dtype: Any) -> Any:
    """A number on its way to an element type, with all digits that this can have."""
    if hasattr(value, "dtype"):
        return value
    if not isinstance(value, int) and dtype not in (dlc.float32, dlc.float16, dlc.bfloat16):
        return dlc.asarray(value, dtype=dlc.float64)
    return dlc.asarray(value)


def _filled(shape: Any, value: Any, dtype: Any) -> Any:
    return dlc.full(tuple(shape), _number(value, dtype))


@aten("full", needs=("dtype",))
def full(shape: Any, value: Any, *, dtype: Any, **_keywords: Any) -> Any:
    """One number everywhere."""
    return _filled(shape, value, dtype)


@aten("full_like", "fill", needs=("dtype",))
def full_like(x: Any, value: Any, *, dtype: Any, **_keywords: Any) -> Any:
    """One number, in the shape of a tensor."""
    return _filled(x.shape, value, dtype)


@aten("zeros_like")
def zeros_like(x: Any, **_keywords: Any) -> Any:
    """Zeros in the shape of a tensor."""
    return dlc.zeros_like(x)


@aten("ones_like")
def ones_like(x: Any, **_keywords: Any) -> Any:
    """Ones in the shape of a tensor."""
    return dlc.ones_like(x)


@aten("empty", "zeros", "new_zeros", "new_empty", "_efficientzerotensor")
def zeros(*args: Any, **_keywords: Any) -> Any:
    """Zeros; memory that nothing is said of has them too."""
    return dlc.full(tuple(args[-1]), 0)


@aten("empty_strided", "empty_permuted", "new_empty_strided")
def empty_strided(*args: Any, **_keywords: Any) -> Any:
    """Zeros, whatever their order in memory."""
    return dlc.full(tuple(args[-2]), 0)


@aten("new_full", needs=("dtype",))
def new_full(_x: Any, shape: Any, value: Any, *, dtype: Any, **_keywords: Any) -> Any:
    """One number everywhere."""
    return _filled(shape, value, dtype)


@aten("scalar_tensor", needs=("dtype",))
def scalar_tensor(value: Any, *, dtype: Any, **_keywords: Any) -> Any:
    """A number."""
    return _number(value, dtype)


@aten("arange.start_step", needs=("dtype",))
def arange(start: Any, end: Any, step: Any = 1, *, dtype: Any, **_keywords: Any) -> Any:
    """Numbers from start, before end."""
    return dlc.arange(start, end, step, dtype=dtype)


@aten("arange.default", needs=("dtype",))
def arange_to(end: Any, *, dtype: Any, **_keywords: Any) -> Any:
    """Numbers from 0, before end."""
    return dlc.arange(end, dtype=dtype)


@aten("arange.start", needs=("dtype",))
def arange_from(start: Any, end: Any, *, dtype: Any, **_keywords: Any) -> Any:
    """Numbers from start, before end."""
    return dlc.arange(start, end, dtype=dtype)


@aten("iota")
def iota(length: Any, *, start: Any = 0, step: Any = 1, **_keywords: Any) -> Any:
    """Numbers from start by steps."""
    return dlc.arange(length) * step + start


@aten("sym_size")
def sym_size(x: Any, dim: int) -> Any:
    """An extent."""
    return x.shape[dim]


@aten("sym_stride", "sym_storage_offset", needs=("number",))
def sym_place(_x: Any, _dim: int = 0, *, number: Any) -> Any:
    """A stride, or where a tensor begins in its memory."""
    return number


@aten("sym_float")
def sym_float(number: Any) -> Any:
    """An extent, to be computed with as a float."""
    return number * 1.0


@aten("sym_numel")
def sym_numel(x: Any) -> Any:
    """The number of elements."""
    return math.prod(x.shape)
