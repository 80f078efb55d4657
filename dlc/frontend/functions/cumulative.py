"""Functions that walk along an axis: running sums and products, differences."""

from __future__ import annotations

from typing import Any

from dlc.frontend.apply import apply, as_tensor, convert, materialise
from dlc.frontend.cast_table import casts
from dlc.frontend.functions.arguments import ArrayLike, check_kinds, find_axis, fresh, reshaped
from dlc.frontend.functions.composed import isfinite, where
from dlc.frontend.functions.creation import full, iota
from dlc.frontend.functions.elementwise import (
    add,
    equal,
    exp,
    log,
    logical_or,
    not_equal,
    subtract,
)
from dlc.frontend.functions.reduction import accumulator
from dlc.frontend.functions.shape import broadcast_to, concat
from dlc.frontend.functions.sorting import Selected
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.types import bool_, int8


def _running(
    name: str, x: ArrayLike, axis: int | None, dtype: Any, include_initial: bool, first: int
) -> Tensor:
    x = materialise(as_tensor(x))
    if axis is None:
        if x.tensor.rank != 1:
            raise ArgumentError(f"{name} of {x.tensor} needs an axis", hint="pass axis=-1")
        axis = 0
    at = find_axis(name, axis, x.tensor)
    result = apply(name, convert(x, accumulator(name, x, dtype)), axis=at, reverse=False)
    if not include_initial:
        return result
    edge = tuple(1 if k == at else d for k, d in enumerate(x.tensor.shape))
    start = full(edge, first, dtype=result.tensor.dtype)
    return concat([start, result], axis=at)


@casts
def cumulative_sum(
    x: ArrayLike, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """The sums of each element and those before it along an axis.

    Args:
        x: A tensor, array or number of at least one dim.
        axis: The axis; may be left out when there is one only.
        dtype: The dtype in which elements are added and returned. That of x by default, but int64
            for signed integers and bools, and uint64 for unsigned integers.
        include_initial: Whether the sum of nothing comes first, so that the axis is one longer.

    Returns:
        A tensor of the shape of x. Elements are added in order, half types at float32. Of few rows
        that are long, blocks are, and what those before a block add up to is added to its own.

    Raises:
        ArgumentError: x has several axes and none is named.
        IndexRangeError: The axis is out of range.
        DTypeError: `dtype` is not a dtype of numbers.

    Example:
        >>> dlc.cumulative_sum(dlc.asarray([1, 2, 3]), include_initial=True)
        Tensor([0, 1, 3, 6], dtype=int64)
    """
    return _running("cumulative_sum", x, axis, dtype, include_initial, 0)


@casts
def cumulative_prod(
    x: ArrayLike, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """The products of each element and those before it along an axis.

    Args:
        x: A tensor, array or number of at least one dim.
        axis: The axis; may be left out when there is one only.
        dtype: The dtype in which elements are multiplied and returned, as of `cumulative_sum`.
        include_initial: Whether the product of nothing comes first, so that the axis is one longer.

    Returns:
        A tensor of the shape of x. Elements are multiplied in order, half types at float32.

    Raises:
        ArgumentError: x has several axes and none is named.
        IndexRangeError: The axis is out of range.
        DTypeError: `dtype` is not a dtype of numbers.

    Example:
        >>> dlc.cumulative_prod(dlc.asarray([1.0, 2.0, 3.0]))
        Tensor([1., 2., 6.], dtype=float32)
    """
    return _running("cumulative_prod", x, axis, dtype, include_initial, 1)


def _flat(x: ArrayLike, axis: int | None) -> tuple[Tensor, int]:
    tensor = materialise(as_tensor(x))
    return (tensor, axis) if axis is not None else (reshaped(tensor, (tensor.tensor.size,)), 0)


@casts
def cumsum(x: ArrayLike, /, axis: int | None = None, dtype: Any = None) -> Tensor:
    """`cumulative_sum` as NumPy spells it: of the flattened tensor when no axis is named.

    Args:
        x: A tensor or array.
        axis: The axis; for None the elements in row-major order.
        dtype: The dtype that is computed with.

    Returns:
        A tensor of x's shape, or of one axis.

    Raises:
        IndexRangeError: The axis is out of range.
        DTypeError: `dtype` is not a dtype of numbers.

    Example:
        >>> dlc.cumsum(dlc.asarray([[1, 2], [3, 4]]))
        Tensor([ 1,  3,  6, 10], dtype=int64)
    """
    tensor, axis = _flat(x, axis)
    return cumulative_sum(tensor, axis=axis, dtype=dtype)


@casts
def cumprod(x: ArrayLike, /, axis: int | None = None, dtype: Any = None) -> Tensor:
    """`cumulative_prod` as NumPy spells it: of the flattened tensor when no axis is named.

    Args:
        x: A tensor or array.
        axis: The axis; for None the elements in row-major order.
        dtype: The dtype that is computed with.

    Returns:
        A tensor of x's shape, or of one axis.

    Raises:
        IndexRangeError: The axis is out of range.
        DTypeError: `dtype` is not a dtype of numbers.

    Example:
        >>> dlc.cumprod(dlc.asarray([[1, 2], [3, 4]]), axis=1)
        Tensor([[ 1,  2],
                [ 3, 12]], dtype=int64)
    """
    tensor, axis = _flat(x, axis)
    return cumulative_prod(tensor, axis=axis, dtype=dtype)


def diff(
    x: ArrayLike,
    /,
    n: int = 1,
    axis: int = -1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Tensor:
    """The differences of neighbours along an axis, n times.

    Args:
        x: A tensor or array of at least one dim.
        n: How many times; x itself for 0.
        axis: The axis; it gets n shorter, and is empty when it was no longer than n.
        prepend: What stands before x, of the same shape but for the axis; or one number.
        append: What stands after x, likewise.

    Returns:
        A tensor of the dtype of x. Of bools, whether neighbours differ.

    Raises:
        ValueRangeError: n is negative.
        IndexRangeError: The axis is out of range.
        ShapeError: x is a number, or `prepend` or `append` does not fit.

    Example:
        >>> dlc.diff(dlc.asarray([1, 4, 9, 16]), n=2)
        Tensor([2, 2], dtype=int64)
    """
    tensor = materialise(as_tensor(x))
    if tensor.tensor.rank == 0:
        raise ShapeError(f"diff of {tensor.tensor}, which has no axis")
    if n < 0:
        raise ValueRangeError(f"diff of order n={n}", hint="n must be 0 or more")
    at = find_axis("diff", axis, tensor.tensor)
    if n == 0:
        return fresh(tensor, x)
    parts = [_beside(tensor, t, at) for t in (prepend, tensor, append) if t is not None]
    tensor = concat(parts, axis=at) if len(parts) > 1 else tensor
    before = (slice(None),) * at
    difference = not_equal if tensor.tensor.dtype is bool_ else subtract
    for _ in range(n):
        tensor = difference(tensor[(*before, slice(1, None))], tensor[(*before, slice(None, -1))])
    return tensor


def _beside(tensor: Tensor, given: ArrayLike, at: int) -> Tensor:
    """What stands beside a tensor along an axis: a number is as wide as it, and 1 long."""
    part = as_tensor(given, like=tensor)
    if part.tensor.rank:
        return materialise(part)
    return broadcast_to(part, [1 if k == at else d for k, d in enumerate(tensor.shape)])


def _running_extreme(name: str, x: ArrayLike, axis: int) -> Selected:
    tensor = materialise(as_tensor(x))
    at = find_axis(name, axis, tensor.tensor)
    held = tensor.tensor.dtype is bool_
    numbers = convert(tensor, int8) if held else tensor
    word = "cumulative_max" if name == "cummax" else "cumulative_min"
    values = apply(word, numbers, axis=at, reverse=False)
    # The last element so far that is as extreme; NaN is more extreme than all.
    here = equal(numbers, values)
    if tensor.tensor.dtype.is_float:
        here = logical_or(here, not_equal(numbers, numbers))
    places = where(here, iota(tensor.tensor.shape, axis=at), 0)
    places = apply("cumulative_max", places, axis=at, reverse=False)
    return Selected(convert(values, bool_) if held else values, places)


def cummax(x: ArrayLike, /, axis: int) -> Selected:
    """The greatest of each element and those before it, and where it is, as PyTorch spells it.

    Args:
        x: A tensor or array of any dtype, of at least one axis.
        axis: The axis.

    Returns:
        A pair (values, indices) of the shape of x. Of equal elements the last one counts; from the
        first NaN on, all values are NaN.

    Raises:
        IndexRangeError: The axis is out of range.

    Example:
        >>> dlc.cummax(dlc.asarray([1.0, 3.0, 2.0]), 0).values
        Tensor([1., 3., 3.], dtype=float32)
    """
    return _running_extreme("cummax", x, axis)


def cummin(x: ArrayLike, /, axis: int) -> Selected:
    """The least of each element and those before it, and where it is, as PyTorch spells it.

    Args:
        x: A tensor or array of any dtype, of at least one axis.
        axis: The axis.

    Returns:
        A pair (values, indices) of the shape of x. Of equal elements the last one counts; from the
        first NaN on, all values are NaN.

    Raises:
        IndexRangeError: The axis is out of range.

    Example:
        >>> dlc.cummin(dlc.asarray([2.0, 3.0, 1.0]), 0).indices
        Tensor([0, 0, 2], dtype=int64)
    """
    return _running_extreme("cummin", x, axis)


@casts
def logcumsumexp(x: ArrayLike, /, axis: int) -> Tensor:
    """The logarithm of the sums of the exponentials of each element and those before it.

    Args:
        x: A tensor or array of floats, of at least one axis.
        axis: The axis.

    Returns:
        A tensor of the shape and dtype of x, computed without overflow.

    Raises:
        DTypeError: x is not of floats.
        IndexRangeError: The axis is out of range.

    Example:
        >>> dlc.logcumsumexp(dlc.asarray([1000.0, 1000.0]), 0)
        Tensor([1000.    , 1000.693...], dtype=float32)
    """
    tensor = materialise(as_tensor(x))
    check_kinds("logcumsumexp", (tensor,), "f")
    at = find_axis("logcumsumexp", axis, tensor.tensor)
    # Sums of exponentials less the greatest so far, scaled as that grows.
    top = apply("stop_gradient", apply("cumulative_max", tensor, axis=at, reverse=False))
    finite = where(isfinite(top), top, 0.0)
    edge = (slice(None),) * at
    before = concat([finite[(*edge, slice(0, 1))], finite[(*edge, slice(None, -1))]], axis=at)
    terms = exp(subtract(tensor, finite))
    sums = apply("linear_recurrence", exp(subtract(before, finite)), terms, axis=at, reverse=False)
    return add(log(sums), finite)
