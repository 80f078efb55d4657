"""Windows of a tensor: rows that read the elements of each, and that write them back.

What is summed or compared over windows is a reduction of `windows`. Windows lie within the tensor:
what is to be read around it is padded before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.dims import Dim, at_least, dims_equal
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.op import Attrs, Input, Op, Sample, register
from dlc.ir.ops.families import ALL
from dlc.ir.ops.shape import linear_jvp, slice_extent
from dlc.ir.scalar import Expr, add_index, mul_index, sub_index
from dlc.ir.types import Shape, TensorType, int64


def reach(extent: Dim, dilation: int) -> Dim:
    """How many elements a window of so many, `dilation` apart, covers."""
    return (extent - 1) * dilation + 1


def check_steps(name: str, rank: int, attrs: Attrs, types: Sequence[TensorType]) -> None:
    """ValueRangeError unless strides and dilations are so many positive numbers."""
    for word in ("stride", "dilation"):
        if len(attrs[word]) != rank or any(v < 1 for v in attrs[word]):
            raise ValueRangeError(
                f"{name} of {' and '.join(map(str, types))}: {word} {attrs[word]} must be {rank} "
                "positive numbers"
            )


def window_counts(
    name: str, shape: Shape, sizes: Sequence[Dim], attrs: Attrs, types: Sequence[TensorType]
) -> Shape:
    """How many windows there are along each axis of `shape`.

    Raises:
        ShapeError: A window is larger than the axis.
        ValueRangeError: A stride or dilation is not positive, or there are not as many as axes.
    """
    check_steps(name, len(shape), attrs, types)
    counts: list[Dim] = []
    for k, (extent, size) in enumerate(zip(shape, sizes, strict=True)):
        covered = reach(size, attrs["dilation"][k])
        if not at_least(extent, covered, expected=True):
            raise ShapeError(
                f"{name} of {' and '.join(map(str, types))}: a window covers {covered} elements "
                f"of an axis of {extent}",
                hint="pad the tensor, or choose a smaller window or dilation",
            )
        counts.append(slice_extent(0, extent - covered + 1, attrs["stride"][k]))
    return tuple(counts)


def window_index(p: Expr, r: Expr, stride: int, dilation: int) -> Expr:
    """The place of element r of window p."""
    start = mul_index(p, scalar.const(stride, int64))
    return add_index(start, mul_index(r, scalar.const(dilation, int64)))


def window_places(
    counts: Sequence[int], sizes: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> list[Any]:
    """NumPy indices of axes of windows and of elements in them, for the places of those."""
    rank = len(counts)
    found: list[Any] = []
    for k, (p, r, s, d) in enumerate(zip(counts, sizes, stride, dilation, strict=True)):
        place = np.arange(p)[:, None] * s + np.arange(r) * d
        shape = [1] * (2 * rank)
        shape[k], shape[rank + k] = p, r
        found.append(place.reshape(shape))
    return found


def _split(types: Sequence[TensorType], attrs: Attrs) -> tuple[Shape, Shape, Shape]:
    """(leading axes, axes that windows move along, axes of a window) of an operand."""
    (x,) = types
    rank = len(attrs["stride"])
    if x.rank < 2 * rank:
        raise ShapeError(f"windows along {rank} axes of {x}: it has too few axes")
    first = x.rank - 2 * rank
    return x.shape[:first], x.shape[first : first + rank], x.shape[first + rank :]


def _infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    lead, extents, sizes = _split(types, attrs)
    counts = window_counts("windows", extents, sizes, attrs, types)
    return types[0].with_shape((*lead, *counts, *sizes))


def _reference(x: Any, stride: Any, dilation: Any) -> Any:
    rank = len(stride)
    extents, sizes = x.shape[x.ndim - 2 * rank : x.ndim - rank], x.shape[x.ndim - rank :]
    counts = [
        (e - (r - 1) * d - 1) // s + 1
        for e, r, s, d in zip(extents, sizes, stride, dilation, strict=True)
    ]
    taps = np.ix_(*map(np.arange, sizes))
    taps = [t.reshape((1,) * rank + t.shape) for t in taps]
    return x[(..., *window_places(counts, sizes, stride, dilation), *taps)]


def _lower(ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType) -> Expr:
    rank = len(attrs["stride"])
    first = len(ix) - 2 * rank
    taps = ix[first + rank :]
    steps = zip(ix[first : first + rank], taps, attrs["stride"], attrs["dilation"], strict=True)
    return inputs[0](*ix[:first], *(window_index(*s) for s in steps), *taps)


def _infer_spread(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    lead, counts, sizes = _split(types, attrs)
    check_steps("spread_windows", len(counts), attrs, types)
    extents = attrs["extents"]
    if len(extents) != len(counts):
        raise ShapeError(f"spread_windows of {types[0]}: {len(counts)} extents are needed")
    fitting = window_counts("spread_windows", extents, sizes, attrs, types)
    if not all(map(dims_equal, fitting, counts)):
        raise ShapeError(f"spread_windows of {types[0]}: axes {extents} have {fitting} windows")
    return types[0].with_shape((*lead, *extents, *sizes))


def _spread_reference(x: Any, stride: Any, dilation: Any, extents: Any) -> Any:
    rank = len(stride)
    counts, sizes = x.shape[x.ndim - 2 * rank : x.ndim - rank], x.shape[x.ndim - rank :]
    lead = x.shape[: x.ndim - 2 * rank]
    result = np.zeros((*lead, *extents, *sizes), x.dtype)
    taps = np.ix_(*map(np.arange, sizes))
    taps = [t.reshape((1,) * rank + t.shape) for t in taps]
    result[(..., *window_places(counts, sizes, stride, dilation), *taps)] = x
    return result


def _lower_spread(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    rank = len(attrs["stride"])
    first = len(ix) - 2 * rank
    taps = ix[first + rank :]
    at: list[Expr] = []
    begins: Expr | None = None
    steps = zip(ix[first : first + rank], taps, attrs["stride"], attrs["dilation"], strict=True)
    for h, r, stride, dilation in steps:
        place = sub_index(h, mul_index(r, scalar.const(dilation, int64)))
        if stride != 1:
            by = scalar.const(stride, int64)
            hit = scalar.op("eq", scalar.op("mod", place, by), scalar.const(0, int64))
            begins = hit if begins is None else scalar.op("and", begins, hit)
            place = scalar.op("floordiv", place, by)
        at.append(place)
    dtype = type_.dtype
    nothing = scalar.const(False if dtype.kind == "b" else 0.0 if dtype.is_float else 0, dtype)
    found = inputs[0].pad((*ix[:first], *at, *taps), nothing)
    return found if begins is None else scalar.select(begins, found, nothing)


def _transpose(b: Any, ct: Any, i: int, x: Any, stride: Any, dilation: Any) -> Any:
    shape, rank = x[0].tensor.shape, len(stride)
    extents = shape[len(shape) - 2 * rank : len(shape) - rank]
    return b.spread_windows(ct, stride=stride, dilation=dilation, extents=extents)


def _spread_transpose(
    b: Any, ct: Any, i: int, x: Any, stride: Any, dilation: Any, extents: Any
) -> Any:
    return b.windows(ct, stride=stride, dilation=dilation)


_ATTRS: dict[str, Any] = {"stride": "ints", "dilation": "ints"}
_SHAPES: tuple[tuple[Shape, tuple[int, ...], tuple[int, ...]], ...] = (
    ((2, 7, 3), (1,), (1,)),
    ((9, 2), (3,), (2,)),
    ((2, 8, 9, 3, 2), (2, 2), (1, 1)),
    ((1, 9, 8, 2, 3), (2, 1), (2, 3)),
    ((2, 4, 5, 4, 2, 2, 3), (1, 2, 1), (1, 1, 1)),
    ((0, 5, 3), (1,), (1,)),
    ((1, 3, 3, 3, 3), (2, 2), (1, 1)),
    ((2, 17, 5), (4,), (1,)),
)


def _attrs(shape: Shape, stride: Sequence[int], dilation: Sequence[int]) -> dict[str, Any]:
    return {"stride": tuple(stride), "dilation": tuple(dilation)}


def _spread_sample(shape: Shape, dtype: str, attrs: dict[str, Any]) -> Sample:
    type_ = TensorType(int64, shape)
    _, extents, _ = _split([type_], attrs)
    counts = _infer([type_], attrs).shape
    return Sample(((counts, dtype),), {**attrs, "extents": extents})


register(
    Op(
        "windows",
        "The elements of windows: y[p,r] is x[p*stride+r*dilation,r], where p and r stand for as "
        "many trailing axes as there are strides; x is often one tensor repeated along r.",
        infer=_infer,
        reference=_reference,
        attrs=_ATTRS,
        family="shape",
        lower=_lower,
        jvp=linear_jvp("windows"),
        linear=(0,),
        transpose=_transpose,
        batch=lambda b, x, batched, **attrs: b.windows(x[0], **attrs),
        cost=0,
        samples=lambda: [
            *(Sample((((2, 8, 3), d),), _attrs((), (2,), (1,))) for d in ALL),
            *(Sample(((s[0], "f32"),), _attrs(*s)) for s in _SHAPES),
        ],
    )
)
register(
    Op(
        "spread_windows",
        "What `windows` has read, back in its place: y[p*stride+r*dilation,r] is x[p,r], and 0 "
        "where no window has its element r; y has `extents` along p.",
        infer=_infer_spread,
        reference=_spread_reference,
        attrs={**_ATTRS, "extents": "dims"},
        family="shape",
        lower=_lower_spread,
        jvp=linear_jvp("spread_windows"),
        linear=(0,),
        transpose=_spread_transpose,
        batch=lambda b, x, batched, **attrs: b.spread_windows(x[0], **attrs),
        samples=lambda: [
            *(_spread_sample((2, 8, 3), d, _attrs((), (2,), (1,))) for d in ALL),
            *(_spread_sample(s[0], "f32", _attrs(*s)) for s in _SHAPES),
        ],
    )
)
