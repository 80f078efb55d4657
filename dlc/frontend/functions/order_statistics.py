"""Elements by their place in the order: partitions, the most frequent one, both extremes."""

from __future__ import annotations

from dlc.frontend.apply import apply, as_tensor, materialise
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.arguments import ArrayLike, AxisLike, find_axis, integer, reshaped
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.cumulative import cummax
from dlc.frontend.functions.indexing import take_along_axis
from dlc.frontend.functions.shape import concat, flatten, part
from dlc.frontend.functions.sorting import Selected, argsort, sort
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import add, is_empty
from dlc.ir.errors import IndexRangeError, ShapeError
from dlc.ir.record import NamedTuple
from dlc.ir.types import bool_, int64


class Extremes(NamedTuple):
    """The smallest and the largest elements."""

    min: Tensor
    max: Tensor


def aminmax(x: ArrayLike, /, axis: AxisLike = None, *, keepdims: bool = False) -> Extremes:
    """PyTorch's `aminmax`: the smallest and the largest element.

    Args:
        x: A tensor or array.
        axis: The axis or axes that are reduced; all of them for None.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A pair (min, max).

    Raises:
        IndexRangeError: An axis is out of range.

    Example:
        >>> [t.item() for t in dlc.aminmax(dlc.asarray([3, 1, 2]))]
        [1, 3]
    """
    return Extremes(*(f(x, axis=axis, keepdims=keepdims) for f in (reduction.min, reduction.max)))


def _checked(name: str, x: ArrayLike, kth: int, axis: int | None) -> tuple[Tensor, int]:
    tensor = materialise(as_tensor(x))
    if axis is None:
        tensor, axis = flatten(tensor), 0
    along = find_axis(name, axis, tensor.tensor)
    extent, place = tensor.tensor.shape[along], integer(name, "kth", kth)
    if isinstance(extent, int) and not -extent <= place < extent:
        raise IndexRangeError(f"{name} of {tensor.tensor}: axis {along} has no element {kth}")
    return tensor, along


def partition(x: ArrayLike, kth: int, /, axis: int | None = -1) -> Tensor:
    """x with the k-th element in its place in the order, smaller ones before it, larger ones after.

    Args:
        x: A tensor or array.
        kth: The place, from 0 on; negative ones count from the end.
        axis: The axis; for None the elements in row-major order.

    Returns:
        A tensor of x's dtype. All of it is in order, which the name does not promise.

    Raises:
        IndexRangeError: The axis is out of range, or there is no such element.

    Example:
        >>> dlc.partition(dlc.asarray([3, 1, 2]), 1)[1].item()
        2
    """
    tensor, along = _checked("partition", x, kth, axis)
    return sort(tensor, axis=along)


def argpartition(x: ArrayLike, kth: int, /, axis: int | None = -1) -> Tensor:
    """The places of the elements of `partition`.

    Args:
        x: A tensor or array.
        kth: The place, from 0 on; negative ones count from the end.
        axis: The axis; for None the elements in row-major order.

    Returns:
        A tensor of int64.

    Raises:
        IndexRangeError: The axis is out of range, or there is no such element.

    Example:
        >>> dlc.argpartition(dlc.asarray([3, 1, 2]), 1)[1].item()
        2
    """
    tensor, along = _checked("argpartition", x, kth, axis)
    return argsort(tensor, axis=along)


def mode(x: ArrayLike, /, axis: int = -1, *, keepdims: bool = False) -> Selected:
    """PyTorch's `mode`: the most frequent element along an axis, and where it is last.

    Args:
        x: A tensor or array.
        axis: The axis.
        keepdims: Whether the axis stays, with one element.

    Returns:
        A pair (values, indices). Of several that are as frequent it is the smallest. All NaN are
        equal.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: There are no elements.

    Example:
        >>> [t.item() for t in dlc.mode(dlc.asarray([3, 1, 3, 1, 3]))]
        [3, 4]
    """
    tensor = materialise(as_tensor(x))
    along = find_axis("mode", axis, tensor.tensor)
    extent = tensor.tensor.shape[along]
    if is_empty(extent):
        raise ShapeError(f"mode of {tensor.tensor}: axis {along} has no elements")
    order = argsort(tensor, axis=along)
    ordered = take_along_axis(tensor, order, axis=along)
    before, after = part(ordered, along, 0, add(extent, -1)), part(ordered, along, 1, extent)
    new = elementwise.not_equal(before, after)
    if tensor.tensor.dtype.is_float:
        known = elementwise.logical_or(
            elementwise.equal(before, before), elementwise.equal(after, after)
        )
        new = elementwise.logical_and(new, known)
    shape = tensor.tensor.shape
    first = tuple(1 if k == along else d for k, d in enumerate(shape))
    new = concat([apply("full", value=True, shape=first, dtype=bool_), new], axis=along)
    places = apply("iota", shape=shape, axis=along, dtype=int64)
    start = cummax(where(new, places, 0), along)[0]
    length = elementwise.subtract(places, start)
    longest = reduction.argmax(length, axis=along, keepdims=True)
    found = Selected(
        take_along_axis(ordered, longest, axis=along), take_along_axis(order, longest, axis=along)
    )
    if keepdims:
        return found
    rest = tuple(d for k, d in enumerate(shape) if k != along)
    return Selected(reshaped(found.values, rest), reshaped(found.indices, rest))
