"""What transposes of convolutions share: cotangents with room around, and phases of strides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.ir.dims import Dim
from dlc.ir.ops.windows import reach
from dlc.ir.types import Shape


def widened(
    b: Any, ct: Any, sizes: Shape, extents: Sequence[Dim], stride: Any, dilation: Any
) -> Any:
    """A cotangent with room between its elements, and around them for windows of `sizes`.

    A convolution of it with stride 1 has these extents.
    """
    shape = ct.tensor.shape
    lead = len(shape) - len(sizes)
    around = [reach(r, d) - 1 for r, d in zip(sizes, dilation, strict=True)]
    covered = [reach(p, s) for p, s in zip(shape[lead:], stride, strict=True)]
    total = [e + a for e, a in zip(extents, around, strict=True)]
    none = (0,) * lead
    if all(s == 1 for s in stride):
        high = [t - a - c for t, a, c in zip(total, around, covered, strict=True)]
        return b.pad(ct, low=(*none, *around), high=(*none, *high), value=0.0)
    room = b.full(value=0.0, shape=(*shape[:lead], *total), dtype=ct.tensor.dtype)
    limit = [a + c for a, c in zip(around, covered, strict=True)]
    return b.slice_update(
        room,
        ct,
        start=(*none, *around),
        limit=(*shape[:lead], *limit),
        step=(*(1,) * lead, *stride),
    )


def interleaved(
    b: Any,
    w: Any,
    counts: Shape,
    stride: Sequence[int],
    outer: Shape,
    one: Callable[[Any, Sequence[Dim]], Any],
) -> Any:
    """The cotangent of a tensor from those of its phases.

    A phase is the elements at places that are equal modulo the stride: what reads them are its own
    elements of the filters alone.

    Args:
        b: The builder.
        w: Filters with as many trailing axes as there are strides, of integer extents.
        counts: The spatial extents of the cotangent.
        stride: The strides.
        outer: The leading extents of the result.
        one: The part of one phase, of its filters and its extents.
    """
    given = w.tensor.shape
    lead = len(given) - len(stride)
    sizes = [d for d in given[lead:] if isinstance(d, int)]
    extents = [p + (r - 1 + s - 1) // s for p, r, s in zip(counts, sizes, stride, strict=True)]

    def part(phase: tuple[int, ...]) -> Any:
        k = len(phase)
        if k < len(stride):
            return _joined(b, [part((*phase, a)) for a in range(stride[k])], len(outer) + k)
        if any(a >= r for a, r in zip(phase, sizes, strict=True)):
            return b.full(value=0.0, shape=(*outer, *extents), dtype=w.tensor.dtype)
        start, step = (0,) * lead + phase, (1,) * lead + tuple(stride)
        return one(b.slice(w, start=start, limit=given, step=step), extents)

    return part(())


def _joined(b: Any, parts: Sequence[Any], axis: int) -> Any:
    """Tensors whose elements take turns along an axis."""
    if len(parts) == 1:
        return parts[0]
    shape = parts[0].tensor.shape
    apart = (*shape[: axis + 1], 1, *shape[axis + 1 :])
    joined = b.concat(*(b.reshape(p, shape=apart) for p in parts), axis=axis + 1)
    return b.reshape(joined, shape=(*shape[:axis], shape[axis] * len(parts), *shape[axis + 1 :]))


def first(b: Any, x: Any, shape: Shape) -> Any:
    """The first elements of `x` along each axis."""
    if x.tensor.shape == tuple(shape):
        return x
    rank = len(shape)
    return b.slice(x, start=(0,) * rank, limit=tuple(shape), step=(1,) * rank)
