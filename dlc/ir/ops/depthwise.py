"""Depthwise convolution: one filter for each channel.

It has too few products for the matrix kernels: it stands for its sum written out over the elements
of a filter, or, where these are many, for sums over windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

from dlc.ir.dims import dims_equal
from dlc.ir.errors import DTypeError, ShapeError
from dlc.ir.op import Attrs, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import NUMBERS, accumulator, check_kind
from dlc.ir.ops.phases import widened
from dlc.ir.ops.windows import reach, window_counts
from dlc.ir.types import Shape, TensorType

MANY = 64  # elements of a filter whose sum is not written out


def _infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, w = types
    name = "depthwise_convolution"
    if x.dtype is not w.dtype:
        raise DTypeError(f"{name} of {x} and {w}: element types differ")
    check_kind(name, x, "fiu")
    if x.rank < 3 or w.rank != x.rank - 1 or not dims_equal(x.shape[1], w.shape[0]):
        raise ShapeError(f"{name} of {x} and {w}: one filter is needed for each channel")
    counts = window_counts(name, x.shape[2:], w.shape[1:], attrs, types)
    return x.with_shape((*x.shape[:2], *counts))


def _decompose(b: Any, x: Any, w: Any, stride: Any, dilation: Any, turned: bool) -> Any:
    dtype, wide = x.tensor.dtype, accumulator(x.tensor.dtype)
    if wide is not dtype:
        x, w = (b.convert(v, dtype=wide) for v in (x, w))
    sizes = w.tensor.shape[1:]
    counts = window_counts(
        "depthwise_convolution", x.tensor.shape[2:], sizes,
        {"stride": stride, "dilation": dilation}, (x.tensor, w.tensor),
    )  # fmt: skip
    how = _by_taps if written_out(sizes) else _by_windows
    found = how(b, x, w, counts, stride, dilation, turned)
    return found if wide is dtype else b.convert(found, dtype=dtype)


def written_out(sizes: Shape) -> bool:
    """Whether sums over windows of these sizes are written out, element by element."""
    known = [d for d in sizes if isinstance(d, int)]
    return len(known) == len(sizes) and 0 < prod(known) <= MANY


def taps_of(sizes: Shape) -> Iterator[tuple[int, ...]]:
    """The indices of the elements of a window, in order."""
    return product(*(range(d) for d in sizes if isinstance(d, int)))


def tap_of(
    b: Any, x: Any, tap: Sequence[int], counts: Shape, stride: Sequence[int],
    dilation: Sequence[int],
) -> Any:  # fmt: skip
    """That element of all windows along the trailing axes of `x`."""
    lead = x.tensor.rank - len(counts)
    start = [r * d for r, d in zip(tap, dilation, strict=True)]
    limit = [a + reach(p, s) for a, p, s in zip(start, counts, stride, strict=True)]
    outer = x.tensor.shape[:lead]
    steps = (*(1,) * lead, *stride)
    return b.slice(x, start=(*(0,) * lead, *start), limit=(*outer, *limit), step=steps)


def _by_taps(
    b: Any, x: Any, w: Any, counts: Shape, stride: Any, dilation: Any, turned: bool
) -> Any:
    shape, sizes = (*x.tensor.shape[:2], *counts), w.tensor.shape[1:]
    channels, total = w.tensor.shape[0], None
    for tap in taps_of(sizes):
        at = [n - 1 - r for n, r in zip(sizes, tap, strict=True)] if turned else tap
        part = tap_of(b, x, at, counts, stride, dilation)
        ends = tuple(r + 1 for r in tap)
        own = b.slice(w, start=(0, *tap), limit=(channels, *ends), step=(1,) * w.tensor.rank)
        own = b.broadcast_to(b.reshape(own, shape=(channels, *(1,) * len(counts))), shape=shape)
        more = b.mul(part, own)
        total = more if total is None else b.add(total, more)
    return total


def _by_windows(
    b: Any, x: Any, w: Any, counts: Shape, stride: Any, dilation: Any, turned: bool
) -> Any:
    rank, (n, channels, *_) = len(counts), x.tensor.shape
    sizes = w.tensor.shape[1:]
    w = b.flip(w, axes=tuple(range(1, rank + 1))) if turned else w
    read = windows_of(b, x, sizes, stride, dilation)
    shape = (n, channels, *counts, *sizes)
    filters = b.broadcast_to(b.reshape(w, shape=(channels, *(1,) * rank, *sizes)), shape=shape)
    return b.reduce_sum(b.mul(read, filters), axes=tuple(range(2 + rank, 2 + 2 * rank)))


def windows_of(b: Any, x: Any, sizes: Shape, stride: Any, dilation: Any) -> Any:
    """The windows [*lead, *P, *R] along the trailing axes of `x`."""
    shape = x.tensor.shape
    apart = b.reshape(x, shape=(*shape, *(1,) * len(sizes)))
    return b.windows(
        b.broadcast_to(apart, shape=(*shape, *sizes)), stride=stride, dilation=dilation
    )


def _jvp(b: Any, out: Any, x: Any, t: Any, **attrs: Any) -> Any:
    s = None if t[0] is None else b.depthwise_convolution(t[0], x[1], **attrs)
    u = None if t[1] is None else b.depthwise_convolution(x[0], t[1], **attrs)
    return u if s is None else s if u is None else b.add(s, u)


def _transpose(b: Any, ct: Any, i: int, x: Any, **attrs: Any) -> Any:
    if i == 1:
        return _of_filters(b, ct, x, **attrs)
    return _of_tensor(b, ct, x[1], x[0].tensor.shape[2:], **attrs)


def _of_filters(b: Any, ct: Any, x: Any, stride: Any, dilation: Any, turned: bool) -> Any:
    """The sum over batch and windows of the windows' elements by the cotangent, at float32."""
    sizes, dtype = x[1].tensor.shape[1:], ct.tensor.dtype
    wide = accumulator(dtype)
    given, ct = (b.convert(v, dtype=wide) if wide is not dtype else v for v in (x[0], ct))
    if written_out(sizes):
        found = _taps_of_filters(b, ct, given, sizes, stride, dilation)
    else:
        found = _windows_of_filters(b, ct, given, sizes, stride, dilation)
    found = b.flip(found, axes=tuple(range(1, 1 + len(stride)))) if turned else found
    return found if wide is dtype else b.convert(found, dtype=dtype)


def _channels_first(b: Any, x: Any) -> Any:
    return b.transpose(x, axes=(1, 0, *range(2, x.tensor.rank)))


def _taps_of_filters(b: Any, ct: Any, x: Any, sizes: Shape, stride: Any, dilation: Any) -> Any:
    counts, axes = ct.tensor.shape[2:], tuple(range(1, ct.tensor.rank))
    ct = _channels_first(b, ct)
    sums: list[Any] = []
    for tap in taps_of(sizes):
        part = _channels_first(b, tap_of(b, x, tap, counts, stride, dilation))
        total = b.reduce_sum(b.mul(part, ct), axes=axes)
        sums.append(b.reshape(total, shape=(*total.tensor.shape, 1)))
    found = b.concat(*sums, axis=1) if len(sums) > 1 else sums[0]
    return b.reshape(found, shape=(found.tensor.shape[0], *sizes))


def _windows_of_filters(b: Any, ct: Any, x: Any, sizes: Shape, stride: Any, dilation: Any) -> Any:
    rank = len(stride)
    read = windows_of(b, x, sizes, stride, dilation)  # [N,C,*P,*R]
    last, places = range(2 + rank, 2 + 2 * rank), range(2, 2 + rank)
    order = (1, *last, 0, *places)
    shape = read.tensor.shape
    apart = b.reshape(ct, shape=(*ct.tensor.shape, *(1,) * rank))
    products = b.mul(
        b.transpose(read, axes=order), b.transpose(b.broadcast_to(apart, shape=shape), axes=order)
    )
    return b.reduce_sum(products, axes=tuple(range(1 + rank, 2 + 2 * rank)))


def _of_tensor(
    b: Any, ct: Any, w: Any, extents: Shape, stride: Any, dilation: Any, turned: bool
) -> Any:
    """The cotangent, with room between and around, by the filters turned round."""
    wide = widened(b, ct, w.tensor.shape[1:], extents, stride, dilation)
    ones = (1,) * len(stride)
    return b.depthwise_convolution(wide, w, stride=ones, dilation=dilation, turned=not turned)


def _batch(b: Any, inputs: Any, batched: Any, **attrs: Any) -> Any:
    """The batch is part of N for the tensor alone, else of the channels."""
    x, w = inputs
    size = batching.batch_size(inputs, batched)
    if not batched[1]:
        flat = b.reshape(x, shape=(size * x.tensor.shape[1], *x.tensor.shape[2:]))
        result = b.depthwise_convolution(flat, w, **attrs)
        return b.reshape(result, shape=(size, x.tensor.shape[1], *result.tensor.shape[1:]))
    x = x if batched[0] else batching.repeated(b, x, size)
    n, channels = x.tensor.shape[1:3]
    x = _channels_first(b, x)
    x = b.reshape(x, shape=(n, size * channels, *x.tensor.shape[3:]))
    w = b.reshape(w, shape=(size * channels, *w.tensor.shape[2:]))
    result = b.depthwise_convolution(x, w, **attrs)
    apart = b.reshape(result, shape=(n, size, channels, *result.tensor.shape[2:]))
    return batching.to_front(b, apart, 1)


_SAMPLES: tuple[tuple[Shape, Shape, tuple[int, ...], tuple[int, ...], bool], ...] = (
    ((2, 3, 7), (3, 3), (1,), (1,), False),
    ((1, 4, 8, 9), (4, 3, 3), (1, 1), (1, 1), False),
    ((2, 3, 8, 9), (3, 3, 2), (2, 2), (1, 1), True),
    ((1, 2, 9, 8), (2, 2, 3), (2, 1), (2, 1), False),
    ((1, 2, 4, 5, 4), (2, 2, 2, 3), (1, 2, 1), (1, 1, 1), True),
    ((2, 3, 5), (3, 1), (1,), (1,), False),
    ((0, 3, 5, 5), (3, 3, 3), (1, 1), (1, 1), False),
    ((1, 2, 12, 12), (2, 9, 9), (1, 1), (1, 1), False),
)


def _sample(
    dtype: str, x: Shape, w: Shape, stride: Sequence[int], dilation: Sequence[int], turned: bool
) -> Sample:
    attrs = {"stride": tuple(stride), "dilation": tuple(dilation), "turned": turned}
    return Sample(((x, dtype), (w, dtype)), attrs)


register(
    Op(
        "depthwise_convolution",
        "The convolution of each channel of x [N,C,*S] with a filter of its own of w [C,*R]: "
        "y[n,c,p] is the sum of x[n,c,p*stride+r*dilation] w[c,r]; turned: of the filters turned "
        "round.",
        infer=_infer,
        decompose=_decompose,
        attrs={"stride": "ints", "dilation": "ints", "turned": "bool"},
        defaults={"turned": False},
        family="composite",
        jvp=_jvp,
        linear=(0, 1),
        transpose=_transpose,
        batch=_batch,
        samples=lambda: [
            *(_sample(d, *_SAMPLES[1]) for d in NUMBERS),
            *(_sample("f32", *s) for s in _SAMPLES),
        ],
    )
)
