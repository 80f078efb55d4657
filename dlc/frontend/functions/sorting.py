"""Functions that put the elements along an axis in order."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.frontend.apply import apply, as_tensor, materialise
from dlc.frontend.context import current_trace
from dlc.frontend.extent import as_dim
from dlc.frontend.functions.arguments import ArrayLike, find_axis, types_text
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, at_least
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.ops.families import same_shape
from dlc.ir.record import NamedTuple


def _operand(name: str, x: ArrayLike, axis: int) -> tuple[Tensor, int]:
    tensor = materialise(as_tensor(x))
    return tensor, find_axis(name, axis, tensor.tensor)


def sort(
    x: ArrayLike, /, axis: int = -1, *, descending: bool = False, stable: bool = True
) -> Tensor:
    """The elements along an axis in their order.

    Args:
        x: A tensor or array of any dtype, of at least one axis.
        axis: The axis.
        descending: Whether the greatest comes first.
        stable: Equal elements always stay in their order, whatever is passed.

    Returns:
        A tensor of the shape and dtype of x. NaN is the greatest of all, and -0.0 equals 0.0.

    Raises:
        IndexRangeError: The axis is out of range.

    Example:
        >>> dlc.sort(dlc.asarray([3.0, dlc.nan, 1.0]))
        Tensor([ 1.,  3., nan], dtype=float32)
    """
    tensor, at = _operand("sort", x, axis)
    count = tensor.tensor.shape[at]
    return apply("sort", tensor, axis=at, descending=bool(descending), count=count)


def argsort(
    x: ArrayLike, /, axis: int = -1, *, descending: bool = False, stable: bool = True
) -> Tensor:
    """The positions along an axis of the elements in their order.

    Args:
        x: A tensor or array of any dtype, of at least one axis.
        axis: The axis.
        descending: Whether the greatest comes first.
        stable: Equal elements always stay in their order, whatever is passed.

    Returns:
        An int64 tensor of the shape of x: `take_along_axis(x, argsort(x, axis=a), axis=a)` is
        `sort(x, axis=a)`.

    Raises:
        IndexRangeError: The axis is out of range.

    Example:
        >>> dlc.argsort(dlc.asarray([3.0, 1.0, 2.0]), descending=True)
        Tensor([0, 2, 1], dtype=int64)
    """
    tensor, at = _operand("argsort", x, axis)
    count = tensor.tensor.shape[at]
    return apply("argsort", tensor, axis=at, descending=bool(descending), count=count)


class Selected(NamedTuple):
    """Elements and where along the axis they are: a pair with names."""

    values: Tensor
    indices: Tensor


def topk(
    x: ArrayLike, /, k: int, axis: int = -1, *, largest: bool = True, sorted: bool = True
) -> Selected:
    """The k largest elements along an axis, and where they are, as PyTorch spells it.

    Args:
        x: A tensor or array of any dtype, of at least one axis.
        k: How many, from 0 to the extent of the axis.
        axis: The axis.
        largest: Whether the largest or the smallest are wanted.
        sorted: The results are always in order, whatever is passed.

    Returns:
        A pair (values, indices) of the shape of x with k elements along the axis. Of equal
        elements the first ones are taken; NaN is the greatest of all.

    Raises:
        ArgumentError: k is not an integer.
        IndexRangeError: The axis is out of range.
        ValueRangeError: There are fewer than k elements, or k is negative.

    Example:
        >>> dlc.topk(dlc.asarray([3.0, 1.0, 4.0, 1.0, 5.0]), 2).indices
        Tensor([4, 2], dtype=int64)
    """
    tensor, at = _operand("topk", x, axis)
    return _first("topk", tensor, at, as_dim(k, "topk: k"), descending=bool(largest))


def _first(name: str, x: Tensor, axis: int, count: Dim, *, descending: bool) -> Selected:
    """The first elements in order, and where they are."""
    extent = x.tensor.shape[axis]
    unknown = not isinstance(count, int) or not isinstance(extent, int)
    if not at_least(count, 0, expected=True) or (
        not unknown and not at_least(extent, count, expected=True)
    ):
        raise ValueRangeError(
            f"{name} of {x.tensor}: there are no {count} elements along axis {axis}"
        )
    places = apply("argsort", x, axis=axis, descending=descending, count=count)
    if current_trace() is None:
        return Selected(apply("take_along", x, places, axis=axis), places)
    # Compiled, both come from one kernel.
    return Selected(apply("sort", x, axis=axis, descending=descending, count=count), places)


def lexsort(keys: Sequence[ArrayLike], /, axis: int = -1) -> Tensor:
    """The positions along an axis in the order of several keys, the last of which counts first.

    Args:
        keys: Tensors or arrays of one shape, or one tensor of which each slice is a key.
        axis: The axis of the keys.

    Returns:
        An int64 tensor of the shape of a key.

    Raises:
        ArgumentError: There are no keys.
        IndexRangeError: The axis is out of range.
        ShapeError: The keys have different shapes.

    Example:
        >>> dlc.lexsort([dlc.asarray([9, 4, 5]), dlc.asarray([1, 1, 0])])
        Tensor([2, 1, 0], dtype=int64)
    """
    rows = [materialise(as_tensor(k)) for k in keys]
    if not rows:
        raise ArgumentError("lexsort of no keys")
    first = rows[0].tensor
    if any(not same_shape(r.tensor.shape, first.shape) for r in rows):
        raise ShapeError(f"lexsort of {types_text([r.tensor for r in rows])}: the shapes differ")
    at = find_axis("lexsort", axis, first)
    places = argsort(rows[0], axis=at)
    for row in rows[1:]:
        again = argsort(apply("take_along", row, places, axis=at), axis=at)
        places = apply("take_along", places, again, axis=at)
    return places
