"""Functions that shift and mask elements, and read diagonals."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from dlc.frontend.apply import apply, as_tensor
from dlc.frontend.cast_table import casts
from dlc.frontend.extent import as_dim
from dlc.frontend.functions import composed, elementwise, reduction
from dlc.frontend.functions.arguments import (
    ArrayLike,
    AxisLike,
    find_axes,
    find_axis,
    fresh,
    integer,
    reshaped,
    transposed,
)
from dlc.frontend.functions.shape import flatten, part
from dlc.frontend.native_functions import natively
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, is_empty, maximum, minimum, mul
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.types import bool_, int64


@natively
def flip(x: ArrayLike, /, axis: AxisLike = None) -> Tensor:
    """x in reverse order along axes.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes; all of them for None.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.

    Example:
        >>> dlc.flip(dlc.asarray([1, 2, 3]))
        Tensor([3, 2, 1], dtype=int64)
    """
    tensor = as_tensor(x)
    axes = find_axes("flip", axis, tensor.tensor)
    return apply("flip", tensor, axes=axes) if axes else fresh(tensor, x)


def _places(shape: tuple[Dim, ...], axis: int) -> Tensor:
    return apply("iota", shape=shape, axis=axis, dtype=int64)


def roll(
    x: ArrayLike, /, shift: int | Sequence[int], axis: int | Sequence[int] | None = None
) -> Tensor:
    """Elements shifted along axes; those that leave at one end enter at the other.

    Args:
        x: A tensor or array of any shape and dtype.
        shift: By how many places, for each axis.
        axis: The axis or axes; for None the elements are shifted in row-major order.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ArgumentError: A shift is not an integer.
        IndexRangeError: An axis is out of range.
        ValueRangeError: The numbers of shifts and axes differ.

    Example:
        >>> dlc.roll(dlc.asarray([1, 2, 3, 4]), 1)
        Tensor([4, 1, 2, 3], dtype=int64)
    """
    tensor = as_tensor(x)
    shifts = list(shift) if isinstance(shift, (list, tuple)) else [shift]
    if axis is None:
        axes, result = (0,) * len(shifts), flatten(tensor)
    else:
        given = axis if isinstance(axis, (list, tuple)) else (axis,)
        axes, result = tuple(find_axis("roll", a, tensor.tensor) for a in given), tensor
    if len(shifts) == 1:
        shifts *= len(axes)
    if len(axes) == 1:
        axes *= len(shifts)
    if len(axes) != len(shifts):
        raise ValueRangeError(f"roll of {tensor.tensor}: {len(shifts)} shifts of {len(axes)} axes")
    for distance, along in zip(shifts, axes, strict=True):
        result = _rolled(result, as_dim(distance, "roll: a shift"), along)
    return fresh(reshaped(result, tensor.tensor.shape), x)


def _rolled(x: Tensor, distance: Dim, axis: int) -> Tensor:
    extent = x.tensor.shape[axis]
    if is_empty(extent):
        return x
    if isinstance(extent, int) and isinstance(distance, int):
        cut = -distance % extent
        if not cut:
            return x
        return apply("concat", part(x, axis, cut, extent), part(x, axis, 0, cut), axis=axis)
    places = elementwise.subtract(_places((extent,), 0), _scalar(distance))
    return apply("take", x, elementwise.remainder(places, _scalar(extent)), axis=axis)


def _scalar(dim: Dim) -> Tensor:
    return apply("dim", dim=dim)


def _triangle(name: str, x: ArrayLike, k: int, lower: bool) -> Tensor:
    tensor = as_tensor(x)
    type_ = tensor.tensor
    if type_.rank < 2:
        raise ShapeError(f"{name} of {type_}: it takes at least two axes")
    matrix = type_.shape[-2:]
    limit = elementwise.add(_places(matrix, 0), integer(name, "k", k))
    columns = _places(matrix, 1)
    op = elementwise.less_equal if lower else elementwise.greater_equal
    # As a number of the program, which says more than an input would.
    zero = apply("full", value=False if type_.dtype is bool_ else 0, shape=(), dtype=type_.dtype)
    return composed.where(op(columns, limit), tensor, zero)


def tril(x: ArrayLike, /, k: int = 0) -> Tensor:
    """Matrices with zeros above a diagonal.

    Args:
        x: A tensor or array with at least two axes; the last two are those of the matrices.
        k: The diagonal: 0 for the main one, positive above it, negative below it.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ShapeError: x has fewer than two axes.

    Example:
        >>> dlc.tril(dlc.ones((2, 2)))
        Tensor([[1., 0.],
                [1., 1.]], dtype=float32)
    """
    return _triangle("tril", x, k, lower=True)


def triu(x: ArrayLike, /, k: int = 0) -> Tensor:
    """Matrices with zeros below a diagonal.

    Args:
        x: A tensor or array with at least two axes; the last two are those of the matrices.
        k: The diagonal: 0 for the main one, positive above it, negative below it.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ShapeError: x has fewer than two axes.

    Example:
        >>> dlc.triu(dlc.ones((2, 2)))
        Tensor([[1., 1.],
                [0., 1.]], dtype=float32)
    """
    return _triangle("triu", x, k, lower=False)


def diagonal(x: ArrayLike, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements on a diagonal of two axes, which become one axis at the end.

    Args:
        x: A tensor or array with at least two axes.
        offset: The diagonal: 0 for the main one, positive to the right of it.
        axis1: The axis of the rows.
        axis2: The axis of the columns.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ShapeError: x has fewer than two axes.
        ValueRangeError: The axes are the same.

    Example:
        >>> dlc.diagonal(dlc.asarray([[1, 2], [3, 4]]))
        Tensor([1, 4], dtype=int64)
    """
    tensor = as_tensor(x)
    type_ = tensor.tensor
    if type_.rank < 2:
        raise ShapeError(f"diagonal of {type_}: it takes at least two axes")
    rows, columns = find_axes("diagonal", (axis1, axis2), type_)
    rest = [k for k in range(type_.rank) if k not in (rows, columns)]
    moved = transposed(tensor, (*rest, rows, columns))
    k = integer("diagonal", "offset", offset)
    down, right = builtins.max(-k, 0), builtins.max(k, 0)
    *lead, height, width = moved.tensor.shape
    outer = len(lead)
    if k == 0 and height == width:
        places = _places((*lead, height, 1), outer)
        return reshaped(apply("take_along", moved, places, axis=outer + 1), (*lead, height))
    count = minimum(maximum(add(height, -down), 0), maximum(add(width, -right), 0))
    flat = reshaped(moved, (*lead, mul(height, width)))
    # From one element of the diagonal to the next it is a row and a column further.
    steps = elementwise.multiply(_places((count,), 0), _scalar(add(width, 1)))
    first = _scalar(add(mul(width, down), right))
    return apply("take", flat, elementwise.add(steps, first), axis=outer)


@casts
def trace(
    x: ArrayLike, /, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None
) -> Tensor:
    """The sum of the elements on a diagonal of two axes.

    Args:
        x: A tensor or array with at least two axes.
        offset: The diagonal: 0 for the main one, positive to the right of it.
        axis1: The axis of the rows.
        axis2: The axis of the columns.
        dtype: The dtype of the sum; see `dlc.sum`.

    Returns:
        A tensor without those two axes.

    Raises:
        IndexRangeError: An axis is out of range.
        ShapeError: x has fewer than two axes.
        ValueRangeError: The axes are the same.

    Example:
        >>> dlc.trace(dlc.asarray([[1, 2], [3, 4]]))
        Tensor(5, dtype=int64)
    """
    on_it = diagonal(x, offset=offset, axis1=axis1, axis2=axis2)
    return reduction.sum(on_it, axis=-1, dtype=dtype)
