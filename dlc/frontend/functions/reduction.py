"""Functions that reduce axes to one value: sums, extremes, statistics; and softmax."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import apply, as_tensor, convert, dtype_argument, float_promote, materialise
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.arguments import (
    ArrayLike,
    AxisLike,
    check_kinds,
    find_axes,
    find_axis,
    reshaped,
    transposed,
)
from dlc.frontend.functions.elementwise import named
from dlc.frontend.native_functions import natively
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import is_empty, product
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError
from dlc.ir.types import DType, bool_, float32, int64, uint64


def _with_ones(reduced: Tensor, shape: tuple[Any, ...], axes: tuple[int, ...]) -> Tensor:
    """A reduction's result with the reduced axes back, of extent 1."""
    return reshaped(reduced, tuple(1 if k in axes else d for k, d in enumerate(shape)))


def _reduce(op: str, x: Tensor, axes: tuple[int, ...], keepdims: bool, **attrs: Any) -> Tensor:
    result = apply(op, x, axes=tuple(sorted(axes)), **attrs)
    return _with_ones(result, x.tensor.shape, axes) if keepdims else result


def accumulator(name: str, x: Tensor, dtype: Any) -> DType:
    """The dtype that a sum or product has: integers narrower than 64 bits would soon overflow."""
    if dtype is not None:
        target = dtype_argument(dtype)
        if target is bool_:
            raise DTypeError(f"{name} of {x.tensor} at bool", hint="use dlc.any or dlc.all")
        return target
    held = x.tensor.dtype
    if held.is_float:
        return held
    return uint64 if held.kind == "u" else int64


@casts
def sum(
    x: ArrayLike, /, axis: AxisLike = None, dtype: Any = None, *, keepdims: bool = False
) -> Tensor:
    """The sum of the elements.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes that are summed over; all of them for None.
        dtype: The dtype in which elements are added and returned. That of x by default, but int64
            for signed integers and bools, and uint64 for unsigned integers.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes. The sum of nothing is 0. Half types are added at float32.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        DTypeError: `dtype` is not a dtype of numbers.

    Example:
        >>> dlc.sum(dlc.asarray([[1, 2], [3, 4]]), axis=0)
        Tensor([4, 6], dtype=int64)
    """
    x = materialise(as_tensor(x))
    axes = find_axes("sum", axis, x.tensor)
    return _reduce("reduce_sum", convert(x, accumulator("sum", x, dtype)), axes, keepdims)


@casts
def prod(
    x: ArrayLike, /, axis: AxisLike = None, dtype: Any = None, *, keepdims: bool = False
) -> Tensor:
    """The product of the elements.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes that are multiplied over; all of them for None.
        dtype: The dtype in which elements are multiplied and returned; see `dlc.sum`.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes. The product of nothing is 1.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        DTypeError: `dtype` is not a dtype of numbers.

    Example:
        >>> dlc.prod(dlc.asarray([[1, 2], [3, 4]]), axis=0)
        Tensor([3, 8], dtype=int64)
    """
    x = materialise(as_tensor(x))
    axes = find_axes("prod", axis, x.tensor)
    return _reduce("reduce_prod", convert(x, accumulator("prod", x, dtype)), axes, keepdims)


_EXTREME_DOC = """The {word} element; NaN where there is one.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes that are reduced; all of them for None.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes, of x's dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: There is no element to choose from.

    Example:
        >>> dlc.{name}(dlc.asarray([[1, 5], [3, 4]]), axis=0)
        Tensor([{shown}], dtype=int64)
    """


def _extreme(name: str, word: str, of_bools: str, shown: str) -> Callable[..., Tensor]:
    def function(x: ArrayLike, /, axis: AxisLike = None, *, keepdims: bool = False) -> Tensor:
        x = materialise(as_tensor(x))
        axes = find_axes(name, axis, x.tensor)
        if builtins.any(is_empty(x.tensor.shape[k]) for k in axes):
            raise ShapeError(
                f"{name} of {x.tensor} over axes {axes}: there is no element to choose from",
                hint="give the tensor at least one element, or use dlc.where around it",
            )
        op = of_bools if x.tensor.dtype is bool_ else f"reduce_{name}"
        return _reduce(op, x, axes, keepdims)

    doc = _EXTREME_DOC.format(name=name, word=word, shown=shown)
    return named(natively(function), name, doc)


max = _extreme("max", "largest", "reduce_any", "3, 5")
min = _extreme("min", "smallest", "reduce_all", "1, 4")

_TRUTH_DOC = """Whether {words} true; a number counts as true where it is not 0.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes that are reduced; all of them for None.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes, of dtype bool. Of nothing it is {empty}.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.

    Example:
        >>> dlc.{name}(dlc.asarray([[True, True], [True, False]]), axis=0)
        Tensor([{shown}], dtype=bool)
    """


def _truth(name: str, words: str, empty: bool, shown: str) -> Callable[..., Tensor]:
    def function(x: ArrayLike, /, axis: AxisLike = None, *, keepdims: bool = False) -> Tensor:
        x = as_tensor(x)
        axes = find_axes(name, axis, x.tensor)
        return _reduce(f"reduce_{name}", convert(x, bool_), axes, keepdims)

    doc = _TRUTH_DOC.format(name=name, words=words, empty=empty, shown=shown)
    return named(natively(function), name, doc)


any = _truth("any", "some element is", False, " True,  True")
all = _truth("all", "all elements are", True, " True, False")

_PLACE_DOC = """The first place of the {word} element, or of the first NaN.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis along which places are counted; for None the place in row-major order.
        keepdims: Whether the axis stays, with extent 1.

    Returns:
        A tensor of int64 without that axis.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: There is no element to choose from.

    Example:
        >>> dlc.{name}(dlc.asarray([[1, 5], [3, 4]]), axis=1)
        Tensor([{shown}], dtype=int64)
    """


def _place(name: str, word: str, shown: str) -> Callable[..., Tensor]:
    def function(x: ArrayLike, /, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        x = materialise(as_tensor(x))
        shape, rank = x.tensor.shape, x.tensor.rank
        if axis is None:
            axes = tuple(range(rank))
            place = reshaped(x, (product(shape),))
            along = 0
        else:
            along = find_axis(name, axis, x.tensor)
            axes, place = (along,), x
        if is_empty(place.tensor.shape[along]):
            raise ShapeError(f"{name} of {x.tensor}: there is no element to choose from")
        result = apply(name, place, axis=along)
        return _with_ones(result, shape, axes) if keepdims else result

    doc = _PLACE_DOC.format(name=name, word=word, shown=shown)
    return named(natively(function), name, doc)


argmax = _place("argmax", "largest", "1, 1")
argmin = _place("argmin", "smallest", "0, 0")


def count_nonzero(x: ArrayLike, /, axis: AxisLike = None, *, keepdims: bool = False) -> Tensor:
    """How many elements are not 0.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes that are counted over; all of them for None.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor of int64 without those axes.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.

    Example:
        >>> dlc.count_nonzero(dlc.asarray([0.0, 2.0, -1.0]))
        Tensor(2, dtype=int64)
    """
    x = as_tensor(x)
    axes = find_axes("count_nonzero", axis, x.tensor)
    return _reduce("reduce_sum", convert(convert(x, bool_), int64), axes, keepdims)


def _floats(name: str, x: ArrayLike, dtype: Any = None) -> Tensor:
    """x at a float dtype: that which was asked for, its own, or float32."""
    (found,) = float_promote(x)
    found = materialise(found)
    if dtype is None:
        return found
    found = convert(found, dtype_argument(dtype))
    check_kinds(name, (found,), "f", "give a float dtype")
    return found


@casts
def mean(
    x: ArrayLike, /, axis: AxisLike = None, dtype: Any = None, *, keepdims: bool = False
) -> Tensor:
    """The arithmetic mean of the elements.

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.
        axis: The axis or axes that are averaged over; all of them for None.
        dtype: The float dtype that x is converted to first.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes. The mean of nothing is NaN. Half types are added at float32.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        DTypeError: `dtype` is not a float dtype.

    Example:
        >>> dlc.mean(dlc.asarray([[1.0, 2.0], [3.0, 5.0]]), axis=0)
        Tensor([2. , 3.5], dtype=float32)
    """
    x = _floats("mean", x, dtype)
    return _reduce("reduce_mean", x, find_axes("mean", axis, x.tensor), keepdims)


@casts
def var(
    x: ArrayLike,
    /,
    axis: AxisLike = None,
    dtype: Any = None,
    *,
    correction: float = 0.0,
    keepdims: bool = False,
) -> Tensor:
    """The variance: squared distances from the mean, summed, over the count less `correction`.

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.
        axis: The axis or axes that are reduced; all of them for None.
        correction: What is taken from the count; 1 gives the unbiased estimate of a sample.
        dtype: The float dtype that x is converted to first.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes. Where the count is not above `correction` it is NaN or
        infinite.

    Raises:
        ArgumentError: `correction` is not a number.
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        DTypeError: `dtype` is not a float dtype.

    Example:
        >>> dlc.var(dlc.asarray([1.0, 2.0, 3.0, 6.0]))
        Tensor(3.5, dtype=float32)
    """
    return _var("var", x, axis, correction, dtype, keepdims)


def _var(
    name: str, x: ArrayLike, axis: AxisLike, correction: float, dtype: Any, keepdims: bool
) -> Tensor:
    x = _floats(name, x, dtype)
    if not isinstance(correction, (int, float)):
        raise ArgumentError(f"{name}: correction must be a number, got {type(correction).__name__}")
    axes = find_axes(name, axis, x.tensor)
    return _reduce("reduce_var", x, axes, keepdims, correction=float(correction))


@casts
def std(
    x: ArrayLike,
    /,
    axis: AxisLike = None,
    dtype: Any = None,
    *,
    correction: float = 0.0,
    keepdims: bool = False,
) -> Tensor:
    """The standard deviation: the square root of `dlc.var`.

    Its derivative is 0 where all elements are equal, as in PyTorch.

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.
        axis: The axis or axes that are reduced; all of them for None.
        correction: What is taken from the count; 1 gives that of a sample.
        dtype: The float dtype that x is converted to first.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes.

    Raises:
        ArgumentError: `correction` is not a number.
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        DTypeError: `dtype` is not a float dtype.

    Example:
        >>> dlc.std(dlc.asarray([1.0, 3.0]))
        Tensor(1., dtype=float32)
    """
    (found,) = float_promote(x)
    half = found.tensor.dtype if dtype is None else dtype_argument(dtype)
    if half.is_float and half.bits == 16:  # rounded once, after the root
        wide = _var("std", convert(found, half), axis, correction, float32, keepdims)
        return convert(composed.flat_at_zero(elementwise.sqrt, wide), half)
    found = _var("std", x, axis, correction, dtype, keepdims)
    return composed.flat_at_zero(elementwise.sqrt, found)


def _at_the_end(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """`x` with several axes made one, at the end, and the order of axes that it had before that."""
    order = (*(k for k in range(x.tensor.rank) if k not in axes), *axes)
    moved = transposed(x, order)
    kept = x.tensor.rank - len(axes)
    shape = moved.tensor.shape
    return reshaped(moved, (*shape[:kept], product(shape[kept:]))), order


def _along(name: str, x: ArrayLike, axis: AxisLike) -> Tensor:
    """An op that keeps the shape, over one axis or over several as if they were one."""
    x = _floats(name, x)
    axes = find_axes(name, axis, x.tensor)
    if len(axes) == 1:
        return apply(name, x, axis=axes[0])
    flat, order = _at_the_end(x, axes)
    result = apply(name, flat, axis=flat.tensor.rank - 1)
    result = reshaped(result, tuple(x.tensor.shape[k] for k in order))
    return transposed(result, tuple(order.index(k) for k in range(len(order))))


@casts
def softmax(x: ArrayLike, /, axis: AxisLike = -1) -> Tensor:
    """exp(x) over its sum along an axis, computed without overflow.

    Args:
        x: A tensor or array. Integers and bools are taken as float32.
        axis: The axis or axes over which the result sums to 1; all of them for None.

    Returns:
        A tensor of x's shape and of its float dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.

    Example:
        >>> dlc.softmax(dlc.asarray([1.0, 1.0]))
        Tensor([0.5, 0.5], dtype=float32)
    """
    return _along("softmax", x, axis)


@casts
def log_softmax(x: ArrayLike, /, axis: AxisLike = -1) -> Tensor:
    """The logarithm of `dlc.softmax`, computed without overflow.

    Args:
        x: A tensor or array. Integers and bools are taken as float32.
        axis: The axis or axes over which the result's exponentials sum to 1; all for None.

    Returns:
        A tensor of x's shape and of its float dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.

    Example:
        >>> dlc.exp(dlc.log_softmax(dlc.asarray([[0.0], [3.0]])))
        Tensor([[1.],
                [1.]], dtype=float32)
    """
    return _along("log_softmax", x, axis)


@casts
def logsumexp(x: ArrayLike, /, axis: AxisLike = None, *, keepdims: bool = False) -> Tensor:
    """The logarithm of the sum of exp(x), computed without overflow.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.
        axis: The axis or axes that are summed over; all of them for None.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes. Of nothing it is -inf.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.

    Example:
        >>> dlc.logsumexp(dlc.asarray([0.0, 0.0, 0.0]))
        Tensor(1.098..., dtype=float32)
    """
    x = _floats("logsumexp", x)
    axes = find_axes("logsumexp", axis, x.tensor)
    flat, along = (x, axes[0]) if len(axes) == 1 else (_at_the_end(x, axes)[0], -1)
    result = apply("logsumexp", flat, axis=along % flat.tensor.rank)
    return _with_ones(result, x.tensor.shape, axes) if keepdims else result
