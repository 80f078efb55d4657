"""What batching rules of rows share.

A rule is `batch(b, inputs, batched, **attrs)`: `inputs` whose flag in `batched` is set have a batch
axis in front of those that the op knows, and the result has one too (see `dlc.ir.op.Op`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.ir.dims import Dim

Rule = Callable[..., Any]


def batch_size(inputs: Sequence[Any], batched: Sequence[bool]) -> Dim:
    """The extent of the batch axis."""
    return next(x.tensor.shape[0] for x, has in zip(inputs, batched, strict=True) if has)


def repeated(b: Any, x: Any, size: Dim) -> Any:
    """`x`, which has no batch axis, the same for each element of the batch."""
    return b.broadcast_to(x, shape=(size, *x.tensor.shape))


def all_batched(b: Any, inputs: Sequence[Any], batched: Sequence[bool]) -> list[Any]:
    """`inputs`, all with a batch axis."""
    size = batch_size(inputs, batched)
    return [x if has else repeated(b, x, size) for x, has in zip(inputs, batched, strict=True)]


def to_front_axes(rank: int, axis: int) -> tuple[int, ...]:
    """The permutation that moves this axis in front of the others."""
    return (axis, *(k for k in range(rank) if k != axis))


def from_front_axes(rank: int, axis: int) -> tuple[int, ...]:
    """The permutation that moves axis 0 to this position."""
    return (*range(1, axis + 1), 0, *range(axis + 1, rank))


def to_front(b: Any, x: Any, axis: int) -> Any:
    """`x` with this axis moved in front of the others."""
    return b.transpose(x, axes=to_front_axes(x.tensor.rank, axis)) if axis else x


def elementwise(name: str) -> Rule:
    """The rule of an op that treats all axes alike, or those in front as a stack: the op itself."""

    def batch(b: Any, inputs: Sequence[Any], batched: Sequence[bool], **attrs: Any) -> Any:
        return getattr(b, name)(*all_batched(b, inputs, batched), **attrs)

    return batch


def along_axis(name: str) -> Rule:
    """The rule of an op that works along the axis of its attribute `axis`."""

    def batch(
        b: Any, inputs: Sequence[Any], batched: Sequence[bool], axis: int, **attrs: Any
    ) -> Any:
        return getattr(b, name)(*all_batched(b, inputs, batched), axis=axis + 1, **attrs)

    return batch


def over_axes(name: str) -> Rule:
    """The rule of an op that works over the axes of its attribute `axes`."""

    def batch(
        b: Any, inputs: Sequence[Any], batched: Sequence[bool], axes: Sequence[int], **attrs: Any
    ) -> Any:
        moved = tuple(a + 1 for a in axes)
        return getattr(b, name)(*all_batched(b, inputs, batched), axes=moved, **attrs)

    return batch
