"""Functions that reduce axes to one value: sums, extremes, statistics; and softmax."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import (
    apply,
    as_tensor,
    broadcast_to,
    convert,
    dtype_argument,
    float_promote,
    materialise,
)
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
from dlc.frontend.functions.composed import where as choose
from dlc.frontend.functions.elementwise import named
from dlc.frontend.functions.reducing import (
    chosen_mean,
    chosen_variance,
    find_correction,
    initial_of,
    mask_of,
    reduced,
    widened,
    with_ones,
)
from dlc.frontend.native_functions import natively
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import is_empty, product
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError
from dlc.ir.types import DType, bool_, int64, uint64


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


def _accumulated(
    name: str,
    x: ArrayLike,
    axis: AxisLike,
    dtype: Any,
    keepdims: bool,
    initial: ArrayLike | None,
    where: ArrayLike | None,
    of_two: Callable[[Tensor, Tensor], Tensor],
    neutral: int,
) -> Tensor:
    """A sum or a product: what is combined by `of_two`, in which `neutral` changes nothing."""
    x = materialise(as_tensor(x))
    axes = find_axes(name, axis, x.tensor)
    target = accumulator(name, x, dtype)
    x = convert(x, target)
    if where is not None:
        x = choose(mask_of(name, where, x), x, neutral)
    result = reduced(f"reduce_{name}", x, axes, keepdims)
    if initial is None:
        return result
    return of_two(result, initial_of(name, initial, target))


@casts
def sum(
    x: ArrayLike,
    /,
    axis: AxisLike = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Tensor:
    """The sum of the elements.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes that are summed over; all of them for None.
        dtype: The dtype in which elements are added and returned. That of x by default, but int64
            for signed integers and bools, and uint64 for unsigned integers.
        keepdims: Whether the axes stay, with extent 1.
        initial: A number that is added.
        where: Bools that broadcast to x: only elements where they are true count.

    Returns:
        A tensor without those axes. The sum of nothing is 0. Half types are added at float32.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: `where` does not broadcast to x, or `initial` is not one number.
        DTypeError: `dtype` is not a dtype of numbers, or `where` is not of bools.

    Example:
        >>> dlc.sum(dlc.asarray([[1, 2], [3, 4]]), axis=0)
        Tensor([4, 6], dtype=int64)
    """
    return _accumulated("sum", x, axis, dtype, keepdims, initial, where, elementwise.add, 0)


@casts
def prod(
    x: ArrayLike,
    /,
    axis: AxisLike = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Tensor:
    """The product of the elements.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes that are multiplied over; all of them for None.
        dtype: The dtype in which elements are multiplied and returned; see `dlc.sum`.
        keepdims: Whether the axes stay, with extent 1.
        initial: A number that the product is multiplied by.
        where: Bools that broadcast to x: only elements where they are true count.

    Returns:
        A tensor without those axes. The product of nothing is 1.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: `where` does not broadcast to x, or `initial` is not one number.
        DTypeError: `dtype` is not a dtype of numbers, or `where` is not of bools.

    Example:
        >>> dlc.prod(dlc.asarray([[1, 2], [3, 4]]), axis=0)
        Tensor([3, 8], dtype=int64)
    """
    return _accumulated("prod", x, axis, dtype, keepdims, initial, where, elementwise.multiply, 1)


_EXTREME_DOC = """The {word} element; NaN where there is one.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes that are reduced; all of them for None.
        keepdims: Whether the axes stay, with extent 1.
        initial: A number that is compared with the elements, too; needed with `where`.
        where: Bools that broadcast to x: only elements where they are true count.

    Returns:
        A tensor without those axes, of x's dtype.

    Raises:
        ArgumentError: There is a `where` and no `initial`.
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: There is no element to choose from, `where` does not broadcast to x, or
            `initial` is not one number.
        DTypeError: `where` is not of bools, or `initial` is a float and x is not of floats.

    Example:
        >>> dlc.{name}(dlc.asarray([[1, 5], [3, 4]]), axis=0)
        Tensor([{shown}], dtype=int64)
    """


def _check_some(name: str, x: Tensor, axes: tuple[int, ...], chosen: bool) -> None:
    """An error where there is, or may be, no element to choose from."""
    if chosen:
        raise ArgumentError(
            f"{name} with where= needs initial=, the result where no element counts",
            hint="give a number beyond them all, for example initial="
            + ("-math.inf" if name == "max" else "math.inf"),
        )
    if builtins.any(is_empty(x.tensor.shape[k]) for k in axes):
        raise ShapeError(
            f"{name} of {x.tensor} over axes {axes}: there is no element to choose from",
            hint="give initial=, or the tensor at least one element",
        )


def _extreme(
    name: str, word: str, of_bools: str, of_two: Callable[..., Tensor], shown: str
) -> Callable[..., Tensor]:
    def op_of(x: Tensor) -> str:
        return of_bools if x.tensor.dtype is bool_ else f"reduce_{name}"

    def function(
        x: ArrayLike,
        /,
        axis: AxisLike = None,
        *,
        keepdims: bool = False,
        initial: ArrayLike | None = None,
        where: ArrayLike | None = None,
    ) -> Tensor:
        x = materialise(as_tensor(x))
        axes = find_axes(name, axis, x.tensor)
        if initial is None:
            _check_some(name, x, axes, where is not None)
            return reduced(op_of(x), x, axes, keepdims)
        start = initial_of(name, initial, x.tensor.dtype)
        if where is not None:
            x = choose(mask_of(name, where, x), x, start)
        if builtins.any(is_empty(x.tensor.shape[k]) for k in axes):
            x = broadcast_to(start, tuple(1 if k in axes else d for k, d in enumerate(x.shape)))
        return of_two(reduced(op_of(x), x, axes, keepdims), start)

    doc = _EXTREME_DOC.format(name=name, word=word, shown=shown)
    return named(natively(function), name, doc)


max = _extreme("max", "largest", "reduce_any", elementwise.maximum, "3, 5")
min = _extreme("min", "smallest", "reduce_all", elementwise.minimum, "1, 4")

_TRUTH_DOC = """Whether {words} true; a number counts as true where it is not 0.

    Args:
        x: A tensor, array or number of any shape and dtype.
        axis: The axis or axes that are reduced; all of them for None.
        keepdims: Whether the axes stay, with extent 1.
        where: Bools that broadcast to x: only elements where they are true count.

    Returns:
        A tensor without those axes, of dtype bool. Of nothing it is {empty}.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: `where` does not broadcast to x.
        DTypeError: `where` is not of bools.

    Example:
        >>> dlc.{name}(dlc.asarray([[True, True], [True, False]]), axis=0)
        Tensor([{shown}], dtype=bool)
    """


def _truth(name: str, words: str, empty: bool, shown: str) -> Callable[..., Tensor]:
    def function(
        x: ArrayLike,
        /,
        axis: AxisLike = None,
        *,
        keepdims: bool = False,
        where: ArrayLike | None = None,
    ) -> Tensor:
        x = convert(as_tensor(x), bool_)
        axes = find_axes(name, axis, x.tensor)
        if where is not None:
            x = choose(mask_of(name, where, x), x, empty)
        return reduced(f"reduce_{name}", x, axes, keepdims)

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
        return with_ones(result, shape, axes) if keepdims else result

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
    return reduced("reduce_sum", convert(convert(x, bool_), int64), axes, keepdims)


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
    x: ArrayLike,
    /,
    axis: AxisLike = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    where: ArrayLike | None = None,
) -> Tensor:
    """The arithmetic mean of the elements.

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.
        axis: The axis or axes that are averaged over; all of them for None.
        dtype: The float dtype that x is converted to first.
        keepdims: Whether the axes stay, with extent 1.
        where: Bools that broadcast to x: only elements where they are true count.

    Returns:
        A tensor without those axes. The mean of nothing is NaN. Half types are added at float32.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: `where` does not broadcast to x.
        DTypeError: `dtype` is not a float dtype, or `where` is not of bools.

    Example:
        >>> dlc.mean(dlc.asarray([[1.0, 2.0], [3.0, 5.0]]), axis=0)
        Tensor([2. , 3.5], dtype=float32)
    """
    x = _floats("mean", x, dtype)
    axes = find_axes("mean", axis, x.tensor)
    if where is not None:
        return chosen_mean(x, mask_of("mean", where, x), axes, keepdims)
    return reduced("reduce_mean", x, axes, keepdims)


@casts
def var(
    x: ArrayLike,
    /,
    axis: AxisLike = None,
    dtype: Any = None,
    *,
    correction: float = 0.0,
    keepdims: bool = False,
    ddof: float | None = None,
    where: ArrayLike | None = None,
) -> Tensor:
    """The variance: squared distances from the mean, summed, over the count less `correction`.

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.
        axis: The axis or axes that are reduced; all of them for None.
        correction: What is taken from the count; 1 gives the unbiased estimate of a sample.
        dtype: The float dtype that x is converted to first.
        keepdims: Whether the axes stay, with extent 1.
        ddof: NumPy's name for `correction`.
        where: Bools that broadcast to x: only elements where they are true count.

    Returns:
        A tensor without those axes. Where the count is not above `correction` it is NaN or
        infinite.

    Raises:
        ArgumentError: `correction` is not a number, or `ddof` is another one.
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: `where` does not broadcast to x.
        DTypeError: `dtype` is not a float dtype, or `where` is not of bools.

    Example:
        >>> dlc.var(dlc.asarray([1.0, 2.0, 3.0, 6.0]))
        Tensor(3.5, dtype=float32)
    """
    correction = find_correction("var", correction, ddof)
    return _var("var", _floats("var", x, dtype), axis, correction, keepdims, where)


def _var(
    name: str,
    x: Tensor,
    axis: AxisLike,
    correction: float,
    keepdims: bool,
    where: ArrayLike | None,
) -> Tensor:
    axes = find_axes(name, axis, x.tensor)
    if where is not None:
        return chosen_variance(x, mask_of(name, where, x), axes, correction, keepdims)
    return reduced("reduce_var", x, axes, keepdims, correction=correction)


@casts
def std(
    x: ArrayLike,
    /,
    axis: AxisLike = None,
    dtype: Any = None,
    *,
    correction: float = 0.0,
    keepdims: bool = False,
    ddof: float | None = None,
    where: ArrayLike | None = None,
) -> Tensor:
    """The standard deviation: the square root of `dlc.var`.

    Its derivative is 0 where all elements are equal, as in PyTorch.

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.
        axis: The axis or axes that are reduced; all of them for None.
        correction: What is taken from the count; 1 gives that of a sample.
        dtype: The float dtype that x is converted to first.
        keepdims: Whether the axes stay, with extent 1.
        ddof: NumPy's name for `correction`.
        where: Bools that broadcast to x: only elements where they are true count.

    Returns:
        A tensor without those axes.

    Raises:
        ArgumentError: `correction` is not a number, or `ddof` is another one.
        IndexRangeError: An axis is out of range.
        ValueRangeError: An axis is named twice.
        ShapeError: `where` does not broadcast to x.
        DTypeError: `dtype` is not a float dtype, or `where` is not of bools.

    Example:
        >>> dlc.std(dlc.asarray([1.0, 3.0]))
        Tensor(1., dtype=float32)
    """
    correction = find_correction("std", correction, ddof)
    held = _floats("std", x, dtype)
    spread = _var("std", widened(held), axis, correction, keepdims, where)
    return convert(composed.flat_at_zero(elementwise.sqrt, spread), held.tensor.dtype)


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
    return with_ones(result, x.tensor.shape, axes) if keepdims else result
