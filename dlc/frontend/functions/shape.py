"""Functions that rearrange elements: shapes, axes, joining, splitting, padding, repeating."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from dlc.frontend.apply import apply, as_tensor
from dlc.frontend.apply import broadcast_to as stretch
from dlc.frontend.extent import as_dim, extents
from dlc.frontend.functions.arguments import (
    ArrayLike,
    AxisLike,
    common_shape,
    find_axes,
    find_axis,
    find_shape,
    fresh,
    integer,
    is_several,
    raw_shape,
    reshaped,
    same_dtype,
    transposed,
    types_text,
)
from dlc.frontend.native_functions import natively
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, at_least, dims_equal, floordiv, mod, mul, product
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.types import TensorType, int64


@natively
def reshape(x: ArrayLike, /, shape: Any, *, copy: bool | None = None) -> Tensor:
    """The same elements, in row-major order, under another shape.

    Args:
        x: A tensor, array or number of any shape and dtype.
        shape: The new shape: an integer or several, one of which may be -1 and is worked out.
        copy: Accepted for the Array API's sake: values never change under anyone.

    Returns:
        A tensor of that shape and x's dtype.

    Raises:
        ShapeError: The shape has another number of elements.
        ValueRangeError: An extent is below -1, or several are -1.
        ArgumentError: An extent is not an integer.

    Example:
        >>> dlc.reshape(dlc.arange(6), (2, -1))
        Tensor([[0, 1, 2],
                [3, 4, 5]], dtype=int64)
    """
    tensor = as_tensor(x)
    dims = list(raw_shape("reshape", shape))
    type_ = tensor.tensor
    unknown = [k for k, d in enumerate(dims) if d == -1]
    if len(unknown) > 1 or any(isinstance(d, int) and d < -1 for d in dims):
        raise ValueRangeError(
            f"reshape of {type_} to {shape}: one extent may be -1, none may be below it"
        )
    if unknown:
        rest = product(d for d in dims if d != -1)
        if rest == 0 or not dims_equal(mod(type_.size, rest), 0):
            raise ShapeError(
                f"reshape of {type_} to {shape}: {type_.size} elements do not divide by {rest}"
            )
        dims[unknown[0]] = floordiv(type_.size, rest)
    elif not dims_equal(type_.size, product(dims)):
        raise ShapeError(
            f"reshape of {type_} to {shape}: {type_.size} elements do not fill {product(dims)}",
            hint="write -1 for one extent to have it worked out",
        )
    return fresh(reshaped(tensor, tuple(dims)), x)


@natively
def flatten(x: ArrayLike, /, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The elements in row-major order, as one axis; or only some axes as one, as in PyTorch.

    Args:
        x: A tensor, array or number of any shape and dtype.
        start_dim: The first of the axes that become one.
        end_dim: The last of them.

    Returns:
        A tensor of x's dtype, with one axis in the place of those; a number becomes one element.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: The last axis is before the first.

    Example:
        >>> dlc.flatten(dlc.asarray([[1, 2], [3, 4]]))
        Tensor([1, 2, 3, 4], dtype=int64)
        >>> dlc.flatten(dlc.zeros((2, 3, 4)), 1).shape
        (2, 12)
    """
    held = as_tensor(x)
    shape = held.tensor.shape
    rank = max(len(shape), 1)  # a number is taken for one element
    first, last = (find_axis("flatten", k, held.tensor, rank) for k in (start_dim, end_dim))
    if last < first:
        raise ValueRangeError(
            f"flatten of {held.tensor}: end_dim {end_dim} is before start_dim {start_dim}"
        )
    joined = product(shape[first : last + 1])
    return reshape(x, (*shape[:first], joined, *shape[last + 1 :]))


@natively
def ravel(x: ArrayLike, /) -> Tensor:
    """The elements in row-major order, as one axis; NumPy's name for `dlc.flatten`.

    Args:
        x: A tensor, array or number of any shape and dtype.

    Returns:
        A tensor with one axis, of x's dtype.

    Example:
        >>> dlc.ravel(dlc.asarray([[1, 2], [3, 4]]))
        Tensor([1, 2, 3, 4], dtype=int64)
    """
    return flatten(x)


@natively
def permute_dims(x: ArrayLike, /, axes: Sequence[int]) -> Tensor:
    """The axes in another order: axis k of the result is axis axes[k] of x.

    Args:
        x: A tensor or array of any shape and dtype.
        axes: Each axis once.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: An axis is left out.

    Example:
        >>> dlc.permute_dims(dlc.zeros((2, 3, 4)), (2, 0, 1)).shape
        (4, 2, 3)
    """
    return _permuted("permute_dims", x, axes)


def _permuted(name: str, x: ArrayLike, axes: Any) -> Tensor:
    tensor = as_tensor(x)
    order = find_axes(name, axes, tensor.tensor)
    if len(order) != tensor.tensor.rank:
        raise ShapeError(f"{name} of {tensor.tensor}: axes {axes} must name every axis once")
    return fresh(transposed(tensor, order), x)


@natively
def transpose(x: ArrayLike, /, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order, or in reverse; NumPy's `transpose`.

    Args:
        x: A tensor or array of any shape and dtype.
        axes: Each axis once; the reverse order for None.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: An axis is left out.

    Example:
        >>> dlc.transpose(dlc.zeros((2, 3, 4))).shape
        (4, 3, 2)
    """
    rank = as_tensor(x).tensor.rank
    return _permuted("transpose", x, range(rank)[::-1] if axes is None else axes)


@natively
def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """The last two axes exchanged.

    Args:
        x: A tensor or array with at least two axes.

    Returns:
        A tensor of x's dtype.

    Raises:
        ShapeError: x has fewer than two axes.

    Example:
        >>> dlc.matrix_transpose(dlc.zeros((2, 3, 4))).shape
        (2, 4, 3)
    """
    x = as_tensor(x)
    rank = x.tensor.rank
    if rank < 2:
        raise ShapeError(f"matrix_transpose of {x.tensor}: it takes at least two axes")
    return transposed(x, (*range(rank - 2), rank - 1, rank - 2))


@natively
def swapaxes(x: ArrayLike, /, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged.

    Args:
        x: A tensor or array of any shape and dtype.
        axis1: An axis.
        axis2: Another one.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: An axis is out of range.

    Example:
        >>> dlc.swapaxes(dlc.zeros((2, 3, 4)), 0, 2).shape
        (4, 3, 2)
    """
    tensor = as_tensor(x)
    a, b = (find_axis("swapaxes", v, tensor.tensor) for v in (axis1, axis2))
    order = list(range(tensor.tensor.rank))
    order[a], order[b] = b, a
    return fresh(transposed(tensor, order), x)


@natively
def moveaxis(
    x: ArrayLike, /, source: int | Sequence[int], destination: int | Sequence[int]
) -> Tensor:
    """Axes moved to other places; the others keep their order.

    Args:
        x: A tensor or array of any shape and dtype.
        source: The axis or axes that move.
        destination: Where they go, as many.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice, or the numbers of axes differ.

    Example:
        >>> dlc.moveaxis(dlc.zeros((2, 3, 4)), 0, -1).shape
        (3, 4, 2)
    """
    tensor = as_tensor(x)
    moved = find_axes("moveaxis", source, tensor.tensor)
    places = find_axes("moveaxis", destination, tensor.tensor)
    if len(moved) != len(places):
        raise ValueRangeError(
            f"moveaxis of {tensor.tensor}: {len(moved)} axes cannot move to {len(places)} places"
        )
    order = [k for k in range(tensor.tensor.rank) if k not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return fresh(transposed(tensor, order), x)


@natively
def broadcast_to(x: ArrayLike, /, shape: Any) -> Tensor:
    """x repeated along new leading axes and along its axes of extent 1.

    Args:
        x: A tensor, array or number of any dtype.
        shape: The new shape: an integer or several.

    Returns:
        A tensor of that shape and x's dtype.

    Raises:
        ShapeError: x does not broadcast to that shape.
        ValueRangeError: An extent is negative.

    Example:
        >>> dlc.broadcast_to(dlc.asarray([1, 2]), (2, 2))
        Tensor([[1, 2],
                [1, 2]], dtype=int64)
    """
    tensor, dims = as_tensor(x), find_shape("broadcast_to", shape)
    return fresh(stretch(tensor, dims), x)


def broadcast_arrays(*arrays: ArrayLike) -> tuple[Tensor, ...]:
    """Tensors repeated to the shape that they broadcast to.

    Args:
        *arrays: Tensors, arrays or numbers of any dtypes.

    Returns:
        As many tensors, each of its own dtype, all of one shape.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> [y.shape for y in dlc.broadcast_arrays(dlc.zeros((2, 1)), dlc.zeros(3))]
        [(2, 3), (2, 3)]
    """
    tensors = [as_tensor(x) for x in arrays]
    types = [t.tensor for t in tensors]
    shape = common_shape("broadcast_arrays", [t.shape for t in types], types)
    return tuple(fresh(stretch(t, shape), x) for t, x in zip(tensors, arrays, strict=True))


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that tensors of these shapes broadcast to.

    Args:
        *shapes: Each an integer or several.

    Returns:
        The common shape.

    Raises:
        ShapeError: There is none.

    Example:
        >>> dlc.broadcast_shapes((2, 1), (3,))
        (2, 3)
    """
    dims = [find_shape("broadcast_shapes", s) for s in shapes]
    return extents(common_shape("broadcast_shapes", dims, [TensorType(int64, d) for d in dims]))


@natively
def squeeze(x: ArrayLike, /, axis: AxisLike = None) -> Tensor:
    """x without axes of extent 1.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes that go; all of extent 1 for None.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: An axis has another extent than 1.

    Example:
        >>> dlc.squeeze(dlc.zeros((1, 3, 1)), axis=0).shape
        (3, 1)
    """
    tensor = as_tensor(x)
    shape = tensor.tensor.shape
    if axis is None:
        axes = tuple(k for k, d in enumerate(shape) if dims_equal(d, 1))
    else:
        axes = find_axes("squeeze", axis, tensor.tensor)
    for k in axes:
        if not dims_equal(shape[k], 1):
            raise ShapeError(f"squeeze of {tensor.tensor}: axis {k} has {shape[k]} elements, not 1")
    return fresh(reshaped(tensor, tuple(d for k, d in enumerate(shape) if k not in axes)), x)


@natively
def expand_dims(x: ArrayLike, /, axis: int | Sequence[int] = 0) -> Tensor:
    """x with new axes of extent 1.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The place or places that the new axes have in the result.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: A place is out of range.
        ValueRangeError: A place is named twice.

    Example:
        >>> dlc.expand_dims(dlc.zeros((2, 3)), axis=-1).shape
        (2, 3, 1)
    """
    tensor = as_tensor(x)
    old = tensor.tensor
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    given = (axis,) if axis is None else axis  # which stands for all axes elsewhere
    places = find_axes("expand_dims", given, old, old.rank + count)
    rest = iter(old.shape)
    shape = tuple(1 if k in places else next(rest) for k in range(old.rank + count))
    return fresh(reshaped(tensor, shape), x)


def _sequence(name: str, arrays: Any) -> list[Any]:
    """The items of a sequence of tensors; a tensor stands for those along its first axis."""
    if not isinstance(arrays, (list, tuple, Tensor, np.ndarray)) or not getattr(arrays, "ndim", 1):
        raise ArgumentError(f"{name} takes a list of tensors, got {type(arrays).__name__}")
    items = list(arrays)
    if not items:
        raise ArgumentError(f"{name} of an empty list", hint="give at least one tensor")
    return items


def concat(arrays: Sequence[ArrayLike], /, axis: int | None = 0) -> Tensor:
    """Tensors one after the other along an axis.

    Args:
        arrays: Tensors or arrays, equal in shape but for that axis; their dtypes are promoted.
        axis: The axis; None joins their elements in row-major order.

    Returns:
        A tensor of the common dtype.

    Raises:
        ArgumentError: It is not a list, or an empty one.
        IndexRangeError: The axis is out of range.
        ShapeError: The shapes differ elsewhere.

    Example:
        >>> dlc.concat([dlc.asarray([1, 2]), dlc.asarray([3])])
        Tensor([1, 2, 3], dtype=int64)
    """
    return _joined(axis, *_sequence("concat", arrays))


@natively
def _joined(axis: int | None, *items: ArrayLike) -> Tensor:
    tensors = [flatten(t) if axis is None else t for t in same_dtype(items)]
    types = [t.tensor for t in tensors]
    along = find_axis("concat", 0 if axis is None else axis, types[0])
    _check_rest("concat", types, along)
    if len(tensors) == 1:
        return fresh(tensors[0], items[0])
    return apply("concat", *tensors, axis=along)


def _check_rest(name: str, types: Sequence[TensorType], along: int) -> None:
    """ShapeError unless the shapes are equal but for axis `along`."""
    first = types[0]
    for t in types[1:]:
        same_rank = t.rank == first.rank
        if not same_rank or not all(
            k == along or dims_equal(a, b)
            for k, (a, b) in enumerate(zip(first.shape, t.shape, strict=True))
        ):
            raise ShapeError(
                f"{name} of {types_text(types)} along axis {along}",
                hint=f"the tensors may differ along axis {along} only",
            )


def stack(arrays: Sequence[ArrayLike], /, axis: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis.

    Args:
        arrays: Tensors, arrays or numbers of one shape; their dtypes are promoted.
        axis: The place of the new axis in the result.

    Returns:
        A tensor of the common dtype.

    Raises:
        ArgumentError: It is not a list, or an empty one.
        IndexRangeError: The place is out of range.
        ShapeError: The shapes differ.

    Example:
        >>> dlc.stack([dlc.asarray([1, 2]), dlc.asarray([3, 4])], axis=1)
        Tensor([[1, 3],
                [2, 4]], dtype=int64)
    """
    return _stacked(axis, *_sequence("stack", arrays))


@natively
def _stacked(axis: int, *items: ArrayLike) -> Tensor:
    tensors = same_dtype(items)
    types = [t.tensor for t in tensors]
    place = find_axis("stack", axis, types[0], types[0].rank + 1)
    _check_rest("stack", types, -1)
    parts = [expand_dims(t, place) for t in tensors]
    return parts[0] if len(parts) == 1 else apply("concat", *parts, axis=place)


@natively
def part(x: Tensor, axis: int, start: Dim, limit: Dim, step: int = 1) -> Tensor:
    """The elements from start up to limit along one axis."""
    shape = x.tensor.shape
    return apply(
        "slice",
        x,
        start=tuple(start if k == axis else 0 for k in range(len(shape))),
        limit=tuple(limit if k == axis else d for k, d in enumerate(shape)),
        step=tuple(step if k == axis else 1 for k in range(len(shape))),
    )


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along an axis, without that axis.

    Args:
        x: A tensor or array with at least one axis.
        axis: The axis, whose extent must be known.

    Returns:
        A tuple of as many tensors as the axis has elements.

    Raises:
        IndexRangeError: The axis is out of range.

    Example:
        >>> dlc.unstack(dlc.asarray([[1, 2], [3, 4]]))
        (Tensor([1, 2], dtype=int64), Tensor([3, 4], dtype=int64))
    """
    tensor = as_tensor(x)
    along = find_axis("unstack", axis, tensor.tensor)
    count = range(tensor.shape[along])  # an unknown extent asks for its value here
    return tuple(squeeze(part(tensor, along, k, k + 1), along) for k in count)


def split(
    x: ArrayLike, /, indices_or_sections: int | Sequence[int], axis: int = 0
) -> tuple[Tensor, ...]:
    """x cut into parts along an axis, as NumPy does it.

    Args:
        x: A tensor or array with at least one axis.
        indices_or_sections: The number of equal parts, or the places of the cuts.
        axis: The axis.

    Returns:
        A tuple of tensors.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: The extent does not divide into equal parts.
        ValueRangeError: The number of parts is not positive.

    Example:
        >>> dlc.split(dlc.arange(5), [2, 3])
        (Tensor([0, 1], dtype=int64), Tensor([2], dtype=int64), Tensor([3, 4], dtype=int64))
    """
    tensor = as_tensor(x)
    along = find_axis("split", axis, tensor.tensor)
    extent = tensor.tensor.shape[along]
    cuts: list[Dim]
    if isinstance(indices_or_sections, (list, tuple, np.ndarray)) and is_several(
        indices_or_sections
    ):
        bound = [_cut(as_dim(v, "split: a place"), extent) for v in indices_or_sections]
        cuts = [0, *bound, extent]
    else:
        count = integer("split", "the number of parts", indices_or_sections)
        if count < 1:
            raise ValueRangeError(f"split of {tensor.tensor} into {count} parts")
        if not dims_equal(mod(extent, count), 0):
            raise ShapeError(
                f"split of {tensor.tensor} along axis {along}: {extent} elements do not divide "
                f"into {count} equal parts",
                hint="give the places of the cuts as a list",
            )
        size = floordiv(extent, count)
        cuts = [mul(size, k) for k in range(count + 1)]
    return tuple(part(tensor, along, low, _at_least(high, low)) for low, high in pairwise(cuts))


def _cut(place: Dim, extent: Dim) -> Dim:
    """A place counted from the end when negative, kept within the axis as slices keep it."""
    if isinstance(place, int) and place < 0:
        place = add(place, extent)
    if isinstance(place, int) and place < 0:
        return 0
    return place if at_least(extent, place, expected=True) else extent


def _at_least(high: Dim, low: Dim) -> Dim:
    return high if at_least(high, low, expected=True) else low
