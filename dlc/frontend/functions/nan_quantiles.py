"""Medians and quantiles of the elements that are not NaN."""

from __future__ import annotations

from dlc.frontend.apply import convert
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.arguments import ArrayLike, AxisLike, reshaped, transposed
from dlc.frontend.functions.indexing import take_along_axis
from dlc.frontend.functions.shape import flatten
from dlc.frontend.functions.sorting import sort
from dlc.frontend.functions.statistics import between, check_parts, rows_of
from dlc.frontend.tensor import Tensor
from dlc.ir.types import int64


def nanquantile(
    x: ArrayLike,
    q: ArrayLike,
    /,
    axis: AxisLike = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """The values below which given parts of the elements lie that are not NaN.

    Args:
        x: A tensor or array of numbers.
        q: The parts, from 0 to 1: a number or a tensor of any shape.
        axis: The axis or axes over which elements are taken together; all of them by default.
        method: What lies between two elements, as of `dlc.quantile`.
        keepdims: Whether the axes stay, with one element.

    Returns:
        A tensor of the shape of q followed by the other axes of x, of a float dtype. Of NaN alone
        it is NaN.

    Raises:
        ArgumentError: There is no such method.
        IndexRangeError: An axis is out of range.
        ShapeError: There are no elements.
        ValueRangeError: A part that is known is not from 0 to 1.

    Example:
        >>> dlc.nanquantile(dlc.asarray([1.0, dlc.nan, 3.0]), 0.5)
        Tensor(2., dtype=float32)
    """
    return _nan_quantile("nanquantile", x, q, axis, method, keepdims, 1.0)


def nanpercentile(
    x: ArrayLike,
    q: ArrayLike,
    /,
    axis: AxisLike = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """`nanquantile` of parts in percent, from 0 to 100.

    Args:
        x: A tensor or array of numbers.
        q: The parts: a number or a tensor of any shape.
        axis: The axis or axes over which elements are taken together; all of them by default.
        method: What lies between two elements, as of `dlc.quantile`.
        keepdims: Whether the axes stay, with one element.

    Returns:
        A tensor of the shape of q followed by the other axes of x.

    Raises:
        ArgumentError: There is no such method.
        IndexRangeError: An axis is out of range.
        ShapeError: There are no elements.
        ValueRangeError: A part that is known is not from 0 to 100.

    Example:
        >>> dlc.nanpercentile(dlc.asarray([1.0, dlc.nan, 3.0]), 50.0)
        Tensor(2., dtype=float32)
    """
    return _nan_quantile("nanpercentile", x, q, axis, method, keepdims, 100.0)


def nanmedian(x: ArrayLike, /, axis: AxisLike = None, *, keepdims: bool = False) -> Tensor:
    """The middle element of those that are not NaN, or the mean of the two in the middle.

    Args:
        x: A tensor or array of numbers.
        axis: The axis or axes over which elements are taken together; all of them by default.
        keepdims: Whether the axes stay, with one element.

    Returns:
        A tensor of a float dtype. Of NaN alone it is NaN.

    Raises:
        IndexRangeError: An axis is out of range.
        ShapeError: There are no elements.

    Example:
        >>> dlc.nanmedian(dlc.asarray([3.0, dlc.nan, 1.0, 2.0]))
        Tensor(2., dtype=float32)
    """
    return _nan_quantile("nanmedian", x, 0.5, axis, "linear", keepdims, 1.0)


def _nan_quantile(
    name: str, x: ArrayLike, q: ArrayLike, axis: AxisLike, method: str, keepdims: bool, whole: float
) -> Tensor:
    tensor, axes, rows = rows_of(name, x, axis)
    part = check_parts(name, q, method, whole)
    dtype = rows.tensor.dtype
    parts = elementwise.divide(convert(flatten(part), dtype), whole)
    ordered = sort(rows)  # NaN comes last
    known = reduction.count_nonzero(elementwise.equal(rows, rows), axis=-1, keepdims=True)
    last = convert(elementwise.maximum(elementwise.subtract(known, 1), 0), dtype)
    at = elementwise.multiply(last, parts)
    low = convert(elementwise.floor(at), int64)
    found = between(
        method,
        take_along_axis(ordered, low, axis=-1),
        take_along_axis(ordered, convert(elementwise.ceil(at), int64), axis=-1),
        low,
        elementwise.subtract(at, elementwise.floor(at)),
    )
    rank = rows.tensor.rank - 1
    found = transposed(found, (rank, *range(rank)))
    kept = rows.tensor.shape[:-1]
    if keepdims:
        kept = tuple(1 if k in axes else d for k, d in enumerate(tensor.tensor.shape))
    return reshaped(found, (*part.tensor.shape, *kept))
