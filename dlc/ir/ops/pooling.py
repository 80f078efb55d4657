"""Pooling: the largest element, or the sum, of each window along the trailing axes.

Windows of few elements are written out element by element, so that what is around a pooling shares
its kernel; others are reductions of `windows`. Of equal largest elements the first one has the
derivative, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from dlc.ir.dims import mul
from dlc.ir.errors import ShapeError
from dlc.ir.op import Attrs, Op, Sample, register
from dlc.ir.ops.depthwise import tap_of, taps_of, windows_of, written_out
from dlc.ir.ops.families import FLOATS, NUMBERS, accumulator, check_kind
from dlc.ir.ops.phases import widened
from dlc.ir.ops.windows import window_counts
from dlc.ir.types import Shape, TensorType, int64


def _infer(name: str) -> Callable[[Sequence[TensorType], Attrs], TensorType]:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        (x,) = types
        check_kind(name, x, "fiu")
        sizes = attrs["sizes"]
        if x.rank < len(sizes) or any(n < 1 for n in sizes):
            raise ShapeError(f"{name} of {x}: there are no windows of {sizes}")
        lead = x.rank - len(sizes)
        counts = window_counts(name, x.shape[lead:], sizes, attrs, types)
        return x.with_shape((*x.shape[:lead], *counts))

    return infer


def _counts(x: Any, sizes: Shape, stride: Any, dilation: Any) -> Shape:
    extents = x.tensor.shape[x.tensor.rank - len(sizes) :]
    attrs = {"stride": stride, "dilation": dilation}
    return window_counts("pooling", extents, sizes, attrs, (x.tensor,))


def _over_windows(op: str) -> Callable[..., Any]:
    """Decomposes into `op` of all elements, or into the reduction by it."""

    def decompose(b: Any, x: Any, sizes: Any, stride: Any, dilation: Any) -> Any:
        dtype = x.tensor.dtype
        wide = accumulator(dtype) if op == "add" else dtype
        x = x if wide is dtype else b.convert(x, dtype=wide)
        if written_out(sizes):
            counts, total = _counts(x, sizes, stride, dilation), None
            for tap in taps_of(sizes):
                part = tap_of(b, x, tap, counts, stride, dilation)
                total = part if total is None else getattr(b, op)(total, part)
        else:
            read = windows_of(b, x, sizes, stride, dilation)
            axes = tuple(range(read.tensor.rank - len(sizes), read.tensor.rank))
            reduce = b.reduce_sum if op == "add" else b.reduce_max
            total = reduce(read, axes=axes)
        return total if wide is dtype else b.convert(total, dtype=dtype)

    return decompose


def _first_largest(b: Any, x: Any, sizes: Any, stride: Any, dilation: Any) -> Any:
    """The number in its window of the first element that is the largest."""
    counts = _counts(x, sizes, stride, dilation)
    parts = [tap_of(b, x, tap, counts, stride, dilation) for tap in taps_of(sizes)]
    best, at = parts[0], b.full(value=0, shape=parts[0].tensor.shape, dtype=int64)
    for k, part in enumerate(parts[1:], 1):
        # NaN is larger than all.
        more = b.gt(part, best)
        if x.tensor.dtype.is_float:
            more = b.bit_or(more, b.bit_and(b.ne(part, part), b.eq(best, best)))
        best = b.select(more, part, best)
        at = b.select(more, b.full(value=k, shape=at.tensor.shape, dtype=int64), at)
    return at


def _max_jvp(b: Any, out: Any, x: Any, t: Any, sizes: Any, stride: Any, dilation: Any) -> Any:
    if not written_out(sizes):
        return _largest_of_many(b, x[0], t[0], sizes, stride, dilation)
    at = _first_largest(b, x[0], sizes, stride, dilation)
    if tuple(stride) == tuple(sizes) and all(d == 1 for d in dilation):
        return _chosen_of_disjoint(b, at, t[0], sizes)
    counts, total = _counts(x[0], sizes, stride, dilation), None
    for k, tap in enumerate(taps_of(sizes)):
        part = tap_of(b, t[0], tap, counts, stride, dilation)
        zero = b.full(value=0.0, shape=part.tensor.shape, dtype=part.tensor.dtype)
        part = b.select(b.eq(at, b.full(value=k, shape=at.tensor.shape, dtype=int64)), part, zero)
        total = part if total is None else b.add(total, part)
    return total


def _chosen_of_disjoint(b: Any, at: Any, t: Any, sizes: Any) -> Any:
    """The elements whose numbers are `at`, of windows that lie side by side.

    The tensor is taken apart into windows, so that its transpose writes each element once.
    """
    counts = at.tensor.shape[at.tensor.rank - len(sizes) :]
    lead = t.tensor.shape[: t.tensor.rank - len(sizes)]
    limit = tuple(mul(c, n) for c, n in zip(counts, sizes, strict=True))
    whole = b.slice(t, start=(0,) * t.tensor.rank, limit=(*lead, *limit), step=(1,) * t.tensor.rank)
    pairs = [d for pair in zip(counts, sizes, strict=True) for d in pair]
    shape = (*lead, *pairs)
    inner = [len(lead) + 2 * k + 1 for k in range(len(sizes))]
    number: Any = None
    for k, axis in enumerate(inner):
        place = b.iota(shape=shape, axis=axis, dtype=int64)
        times = b.full(value=prod(sizes[k + 1 :]), shape=shape, dtype=int64)
        place = b.mul(place, times)
        number = place if number is None else b.add(number, place)
    ones = [d for c in counts for d in (c, 1)]
    spread = b.broadcast_to(b.reshape(at, shape=(*lead, *ones)), shape=shape)
    zero = b.full(value=0.0, shape=shape, dtype=t.tensor.dtype)
    kept = b.select(b.eq(spread, number), b.reshape(whole, shape=shape), zero)
    return b.reduce_sum(kept, axes=tuple(inner))


def _largest_of_many(b: Any, x: Any, t: Any, sizes: Any, stride: Any, dilation: Any) -> Any:
    def flat(v: Any) -> Any:
        read = windows_of(b, v, sizes, stride, dilation)
        return b.reshape(read, shape=(*read.tensor.shape[: -len(sizes)], prod(sizes)))

    read, moved = flat(x), flat(t)
    shape = read.tensor.shape
    axis = len(shape) - 1
    at = b.argmax(read, axis=axis)
    at = b.broadcast_to(b.reshape(at, shape=(*shape[:-1], 1)), shape=shape)
    hit = b.eq(at, b.iota(shape=shape, axis=axis, dtype=int64))
    zero = b.full(value=0.0, shape=shape, dtype=t.tensor.dtype)
    return b.reduce_sum(b.select(hit, moved, zero), axes=(axis,))


def _sum_jvp(b: Any, out: Any, x: Any, t: Any, **attrs: Any) -> Any:
    return b.window_sum(t[0], **attrs)


def _sum_transpose(b: Any, ct: Any, i: int, x: Any, sizes: Any, stride: Any, dilation: Any) -> Any:
    """Each element is in the windows that begin up to a window before it."""
    shape = x[0].tensor.shape
    extents = shape[len(shape) - len(sizes) :]
    wide = widened(b, ct, sizes, extents, stride, dilation)
    return b.window_sum(wide, sizes=sizes, stride=(1,) * len(sizes), dilation=dilation)


_ATTRS: dict[str, Any] = {"sizes": "ints", "stride": "ints", "dilation": "ints"}
_SAMPLES: tuple[tuple[Shape, tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...] = (
    ((2, 3, 7), (3,), (2,), (1,)),
    ((2, 8, 9), (2, 2), (2, 2), (1, 1)),
    ((9, 8), (3, 2), (1, 1), (2, 3)),
    ((2, 6, 5, 4), (2, 3, 2), (2, 1, 1), (1, 1, 1)),
    ((3, 11, 12), (9, 8), (1, 2), (1, 1)),
    ((0, 4), (2,), (2,), (1,)),
    ((5,), (1,), (1,), (1,)),
)


def _samples() -> list[Sample]:
    def one(dtype: str, shape: Shape, *steps: tuple[int, ...]) -> Sample:
        return Sample(((shape, dtype),), dict(zip(_ATTRS, steps, strict=True)))

    return [
        *(one(d, *_SAMPLES[1]) for d in NUMBERS),
        *(one("f32", *s) for s in _SAMPLES),
        *(one(d, *_SAMPLES[4]) for d in FLOATS),
    ]


register(
    Op(
        "window_max",
        "The largest element of each window along the trailing axes; NaN where there is one.",
        infer=_infer("window_max"),
        decompose=_over_windows("max"),
        attrs=_ATTRS,
        family="composite",
        jvp=_max_jvp,
        batch=lambda b, x, batched, **attrs: b.window_max(x[0], **attrs),
        samples=_samples,
    )
)
register(
    Op(
        "window_sum",
        "The sum of the elements of each window along the trailing axes; integers wrap.",
        infer=_infer("window_sum"),
        decompose=_over_windows("add"),
        attrs=_ATTRS,
        family="composite",
        jvp=_sum_jvp,
        linear=(0,),
        transpose=_sum_transpose,
        batch=lambda b, x, batched, **attrs: b.window_sum(x[0], **attrs),
        samples=_samples,
    )
)
