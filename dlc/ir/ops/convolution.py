"""Convolution: sums of products of filters with windows of a tensor.

Windows lie within the tensor: what is to be read around it is padded before. The derivatives of a
convolution are convolutions too: the cotangent's with the filters turned round gives that of the
tensor, and the tensor's with the cotangent as filters, summed over the batch, that of the filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.dims import Dim, add, dims_equal
from dlc.ir.errors import DTypeError, ShapeError
from dlc.ir.op import Attrs, Input, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import NUMBERS, accumulator, check_kind
from dlc.ir.ops.phases import first, interleaved, widened
from dlc.ir.ops.shape import offset
from dlc.ir.ops.windows import reach, window_counts, window_index, window_places
from dlc.ir.scalar import Axis, Expr
from dlc.ir.types import Shape, TensorType, float32


def _infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, w = types
    g = int(attrs["grouped"])
    if x.dtype is not w.dtype:
        raise DTypeError(f"convolution of {x} and {w}: element types differ")
    check_kind("convolution", x, "fiu")
    if x.rank < g + 3 or x.rank != w.rank:
        raise ShapeError(
            f"convolution of {x} and {w}: both must have the same rank, at least {g + 3}"
        )
    for i, j in ((g + 1, g + 1), *(((1, 0),) if g else ())):
        if not dims_equal(x.shape[i], w.shape[j]):
            raise ShapeError(
                f"convolution of {x} and {w}: axis {i} has {x.shape[i]} elements, "
                f"axis {j} has {w.shape[j]}",
                hint="a tensor has as many channels as each filter, and as many groups",
            )
    counts = window_counts("convolution", x.shape[g + 2 :], w.shape[g + 2 :], attrs, types)
    last = attrs["channels_last"]
    made = (*counts, w.shape[g]) if last else (w.shape[g], *counts)
    return x.with_shape((*x.shape[: g + 1], *made))


def _reference(
    x: Any, w: Any, stride: Any, dilation: Any, grouped: bool, turned: bool, channels_last: bool
) -> Any:
    half = x.dtype.itemsize == 2 and x.dtype.kind not in "iu"
    a, b = (v.astype(np.float32) if half else v for v in (x, w))
    sizes = b.shape[2 + grouped :]
    b = np.flip(b, tuple(range(2 + grouped, b.ndim))) if turned else b
    rank, g = len(sizes), list(range(1, 1 + grouped))
    steps = zip(a.shape[2 + grouped :], sizes, stride, dilation, strict=True)
    counts = [(e - (r - 1) * d - 1) // s + 1 for e, r, s, d in steps]
    view = a[(..., *window_places(counts, sizes, stride, dilation))]
    n, c, o = 0, 2, 3
    places, taps = list(range(4, 4 + rank)), list(range(4 + rank, 4 + 2 * rank))
    left, right = [n, *g, c, *places, *taps], [*g, o, c, *taps]
    out = [n, *g, *places, o] if channels_last else [n, *g, o, *places]
    result = np.einsum(view, left, b, right, out, optimize=a.dtype.kind == "f")
    return result.astype(x.dtype)


def _lower(ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType) -> Expr:
    x, w = inputs
    g = int(attrs["grouped"])
    axes = tuple(Axis(scalar.fresh_axis(), d) for d in w.type.shape[g + 1 :])
    channel, *taps = (scalar.index(a.name) for a in axes)
    n, *group = ix[: g + 1]
    o, *places = (ix[-1], *ix[g + 1 : -1]) if attrs["channels_last"] else ix[g + 1 :]
    at = taps
    if attrs["turned"]:
        last = [add(d, -1) for d in w.type.shape[g + 2 :]]
        at = [scalar.sub_index(offset(d), r) for d, r in zip(last, taps, strict=True)]
    steps = zip(places, at, attrs["stride"], attrs["dilation"], strict=True)
    a = w(*group, o, channel, *taps)
    b = x(n, *group, channel, *(window_index(*s) for s in steps))
    return scalar.convert(scalar.dot(axes, a, b, accumulator(type_.dtype)), type_.dtype)


def _jvp(b: Any, out: Any, x: Any, t: Any, **attrs: Any) -> Any:
    s = None if t[0] is None else b.convolution(t[0], x[1], **attrs)
    u = None if t[1] is None else b.convolution(x[0], t[1], **attrs)
    return u if s is None else s if u is None else b.add(s, u)


def _transpose(b: Any, ct: Any, i: int, x: Any, channels_last: bool, **attrs: Any) -> Any:
    if channels_last:
        g = int(attrs["grouped"])
        ct = to_place(b, ct, ct.tensor.rank - 1, g + 1)
    if i == 1:
        return _of_filters(b, ct, x, **attrs)
    extents = x[0].tensor.shape[2 + attrs["grouped"] :]
    return b.convolution_transpose(ct, x[1], extents=extents, **attrs)


def _of_filters(
    b: Any, ct: Any, x: Any, stride: Any, dilation: Any, grouped: bool, turned: bool
) -> Any:
    """The tensor, its batch and channels exchanged, convolved with the cotangent."""
    filters, g = x[1].tensor, int(grouped)
    rest = range(g + 2, filters.rank)
    attrs = {"stride": dilation, "dilation": stride, "grouped": grouped, "channels_last": True}
    # What lies behind the last window would make windows of the cotangent that are not wanted.
    sizes, counts = filters.shape[g + 2 :], ct.tensor.shape[g + 2 :]
    used = [
        reach(p, s) + reach(r, d) - 1
        for p, s, r, d in zip(counts, stride, sizes, dilation, strict=True)
    ]
    given = first(b, x[0], (*x[0].tensor.shape[: g + 2], *used))
    # [N,G,C] of the tensor becomes [C,G,N], and [N,G,O] of the cotangent [G,O,N].
    swapped = b.transpose(given, axes=(g + 1, *range(1, g + 1), 0, *rest))
    inwards = (*range(1, g + 1), g + 1, 0, *rest)
    found = b.convolution(swapped, b.transpose(ct, axes=inwards), **attrs)  # [C,G,*R,O]
    found = b.flip(found, axes=tuple(range(g + 1, filters.rank - 1))) if turned else found
    return b.transpose(
        found, axes=(*range(1, g + 1), filters.rank - 1, 0, *range(g + 1, filters.rank - 1))
    )


def _of_tensor(
    b: Any, ct: Any, w: Any, extents: Shape, stride: Any, dilation: Any, grouped: bool, turned: bool
) -> Any:
    """The cotangent, with room between and around, convolved with the filters turned round.

    Without dilation it is so for each phase of the tensor alone, with no room in between.
    """
    g, rank = int(grouped), w.tensor.rank
    sizes, ones = w.tensor.shape[g + 2 :], (1,) * len(stride)

    def one(own: Any, counts: Sequence[Dim], strides: Any, dilations: Any, turn: bool) -> Any:
        wide = widened(b, ct, own.tensor.shape[g + 2 :], counts, strides, dilations)
        swapped = b.transpose(own, axes=(*range(g), g + 1, g, *range(g + 2, rank)))
        attrs = {"stride": ones, "dilation": dilations, "grouped": grouped}
        return b.convolution(wide, swapped, turned=not turn, **attrs)

    one_phase = all(s == 1 for s in stride) or any(d > 1 for d in dilation)
    if one_phase or not all(isinstance(d, int) for d in sizes):
        return one(w, extents, stride, dilation, turned)
    w = b.flip(w, axes=tuple(range(g + 2, rank))) if turned else w
    outer = (*ct.tensor.shape[: g + 1], w.tensor.shape[g + 1])
    found = interleaved(
        b, w, ct.tensor.shape[g + 2 :], stride, outer,
        lambda own, counts: one(own, counts, ones, ones, turn=False),
    )  # fmt: skip
    return first(b, found, (*outer, *extents))


def _batch(b: Any, inputs: Any, batched: Any, **attrs: Any) -> Any:
    """The batch is part of N for the tensor alone, of O for filters alone, of G for both."""
    x, w = inputs
    g, size = int(attrs["grouped"]), batching.batch_size(inputs, batched)
    if not batched[1]:
        result = b.convolution(_flat(b, x, 0), w, **attrs)
        return b.reshape(result, shape=(size, x.tensor.shape[1], *result.tensor.shape[1:]))
    if not batched[0]:
        filters = w.tensor.shape[1 + g]
        w = _flat(b, to_place(b, w, 0, g), g)
        result = b.convolution(x, w, **attrs)
        shape, axis = result.tensor.shape, g + 1
        axis = len(shape) - 1 if attrs["channels_last"] else axis
        apart = b.reshape(result, shape=(*shape[:axis], size, filters, *shape[axis + 1 :]))
        return batching.to_front(b, apart, axis)
    own = (size, *w.tensor.shape[1 : 1 + g])
    x = to_place(b, x, 0, 1)  # [N,B,(G),C,...]
    x, w = (_flat(b, x, 1), _flat(b, w, 0)) if g else (x, w)
    result = b.convolution(x, w, **{**attrs, "grouped": True})
    n, _, *rest = result.tensor.shape
    return batching.to_front(b, b.reshape(result, shape=(n, *own, *rest)), 1)


def to_place(b: Any, x: Any, source: int, target: int) -> Any:
    """`x` with an axis moved to another place among its axes."""
    axes = [k for k in range(x.tensor.rank) if k != source]
    axes.insert(target, source)
    return b.transpose(x, axes=tuple(axes)) if axes != sorted(axes) else x


def _flat(b: Any, x: Any, axis: int) -> Any:
    """`x` with an axis and the one behind it as one."""
    shape = x.tensor.shape
    return b.reshape(x, shape=(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


# convolution_transpose


def _infer_transposed(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    ct, w = types
    g = int(attrs["grouped"])
    name, extents = "convolution_transpose", attrs["extents"]
    if ct.dtype is not w.dtype:
        raise DTypeError(f"{name} of {ct} and {w}: element types differ")
    check_kind(name, ct, "fiu")
    if ct.rank < g + 3 or ct.rank != w.rank or len(extents) != ct.rank - g - 2:
        raise ShapeError(
            f"{name} of {ct} and {w} to {extents}: both must have the same rank, at least {g + 3}, "
            "and as many of its last axes"
        )
    for i, j in ((g + 1, g), *(((1, 0),) if g else ())):
        if not dims_equal(ct.shape[i], w.shape[j]):
            raise ShapeError(
                f"{name} of {ct} and {w}: axis {i} has {ct.shape[i]} elements, "
                f"axis {j} has {w.shape[j]}",
                hint="a tensor has as many channels as there are filters, and as many groups",
            )
    counts = window_counts(name, extents, w.shape[g + 2 :], attrs, types)
    if not all(map(dims_equal, counts, ct.shape[g + 2 :])):
        raise ShapeError(f"{name} of {ct} and {w} to {extents}: these have {counts} windows")
    return ct.with_shape((*ct.shape[: g + 1], w.shape[g + 1], *extents))


def _decompose(
    b: Any, ct: Any, w: Any, stride: Any, dilation: Any, grouped: bool, turned: bool, extents: Any
) -> Any:
    return _of_tensor(b, ct, w, extents, stride, dilation, grouped, turned)


def _transposed_jvp(b: Any, out: Any, x: Any, t: Any, **attrs: Any) -> Any:
    s = None if t[0] is None else b.convolution_transpose(t[0], x[1], **attrs)
    u = None if t[1] is None else b.convolution_transpose(x[0], t[1], **attrs)
    return u if s is None else s if u is None else b.add(s, u)


def _transposed_transpose(b: Any, ct: Any, i: int, x: Any, extents: Any, **attrs: Any) -> Any:
    """The operand's is the convolution of what came back; the filters' that of both."""
    if i == 0:
        return b.convolution(ct, x[1], **attrs)
    return _of_filters(b, x[0], (ct, x[1]), **attrs)


_SAMPLES: tuple[tuple[Shape, Shape, tuple[int, ...], tuple[int, ...], bool], ...] = (
    ((2, 3, 7), (4, 3, 3), (1,), (1,), False),
    ((1, 2, 9), (3, 2, 2), (3,), (2,), False),
    ((2, 3, 6, 7), (4, 3, 3, 2), (1, 1), (1, 1), False),
    ((2, 3, 8, 9), (5, 3, 3, 3), (2, 2), (1, 1), False),
    ((1, 2, 9, 8), (3, 2, 3, 2), (2, 1), (2, 3), False),
    ((2, 4, 5, 5), (3, 4, 1, 1), (1, 1), (1, 1), False),
    ((1, 2, 7, 7), (3, 2, 1, 1), (3, 2), (1, 1), False),
    ((1, 2, 4, 5, 4), (3, 2, 2, 2, 3), (1, 2, 1), (1, 1, 1), False),
    ((2, 3, 2, 5, 6), (3, 4, 2, 3, 2), (1, 2), (1, 1), True),
    ((2, 5, 1, 6, 6), (5, 1, 1, 3, 3), (1, 1), (1, 1), True),
    ((0, 3, 5, 5), (2, 3, 3, 3), (1, 1), (1, 1), False),
    ((2, 0, 5, 5), (2, 0, 3, 3), (1, 1), (1, 1), False),
    ((2, 3, 3, 3), (2, 3, 3, 3), (2, 2), (1, 1), False),
    ((1, 40, 9, 9), (36, 40, 3, 3), (1, 1), (1, 1), False),
)


def _sample(
    dtype: str, x: Shape, w: Shape, stride: Sequence[int], dilation: Sequence[int], grouped: bool,
    *, turned: bool = False, channels_last: bool = False,
) -> Sample:  # fmt: skip
    attrs = {"stride": tuple(stride), "dilation": tuple(dilation), "grouped": grouped}
    attrs |= {"turned": turned, "channels_last": channels_last}
    return Sample(((x, dtype), (w, dtype)), attrs)


register(
    Op(
        "convolution",
        "Sums of products of filters w [O,C,*R] with windows of x [N,C,*S]: y[n,o,p] is the sum of "
        "x[n,c,p*stride+r*dilation] w[o,c,r]; grouped: of x [N,G,C,*S] and w [G,O,C,*R], each "
        "group by itself; turned: of the filters turned round, r counting from the last; "
        "channels_last: the axis of o is the last one.",
        infer=_infer,
        reference=_reference,
        attrs={
            "stride": "ints",
            "dilation": "ints",
            "grouped": "bool",
            "turned": "bool",
            "channels_last": "bool",
        },
        defaults={"grouped": False, "turned": False, "channels_last": False},
        family="contraction",
        lower=_lower,
        jvp=_jvp,
        linear=(0, 1),
        transpose=_transpose,
        batch=_batch,
        cost=1000,
        samples=lambda: [
            *(_sample(d, *_SAMPLES[2]) for d in NUMBERS),
            *(_sample("f32", *s) for s in _SAMPLES),
            *(_sample("f32", *_SAMPLES[k], channels_last=True) for k in (0, 3, 8)),
            *(_sample("f32", *_SAMPLES[k], turned=True) for k in (0, 3, 8)),
        ],
    )
)


def _transposed_sample(sample: Sample) -> Sample:
    """The sample of a convolution for its transpose: cotangent and filters."""
    (x, dtype), (w, _) = sample.inputs
    type_, attrs = TensorType(float32, x), dict(sample.attrs)
    made = _infer([type_, type_.with_shape(w)], attrs).shape
    extents = x[2 + attrs["grouped"] :]
    del attrs["channels_last"]
    return Sample(((made, dtype), (w, dtype)), {**attrs, "extents": extents})


register(
    Op(
        "convolution_transpose",
        "The transpose of the linear map that `convolution` by these filters is, to a tensor of "
        "the spatial `extents`: x[n,c,p*stride+r*dilation] is the sum of y[n,o,p] w[o,c,r].",
        infer=_infer_transposed,
        decompose=_decompose,
        attrs={
            "stride": "ints",
            "dilation": "ints",
            "grouped": "bool",
            "turned": "bool",
            "extents": "dims",
        },
        defaults={"grouped": False, "turned": False},
        family="composite",
        jvp=_transposed_jvp,
        linear=(0, 1),
        transpose=_transposed_transpose,
        samples=lambda: [
            _transposed_sample(s)
            for s in (
                *(_sample(d, *_SAMPLES[2]) for d in NUMBERS),
                *(_sample("f32", *s) for s in _SAMPLES),
                *(_sample("f32", *_SAMPLES[k], turned=True) for k in (0, 3, 8)),
            )
        ],
    )
)
