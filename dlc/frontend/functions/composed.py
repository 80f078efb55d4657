"""Elementwise functions that stand for several ops: powers, signs, rounding, choice, conversion."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import (
    apply,
    as_tensor,
    convert,
    dtype_argument,
    float_promote,
    materialise,
    promote,
)
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    fresh,
    integer,
    match_shapes,
    new_handle,
    placed,
)
from dlc.frontend.functions.elementwise import (
    _UNARY_DOC,
    Unary,
    abs,
    add,
    bitwise_and,
    bitwise_right_shift,
    divide,
    equal,
    exp,
    greater,
    greater_equal,
    less,
    log1p,
    logical_and,
    logical_or,
    maximum,
    minimum,
    multiply,
    named,
    negative,
    not_equal,
    subtract,
)
from dlc.frontend.native_functions import natively
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.ir.types import bool_, dtype_of, float32


@natively
def sign(x: ArrayLike, /) -> Tensor:
    """-1, 0 or 1, as x is below, at or above zero; NaN stays NaN.

    Args:
        x: A tensor, array or number of any shape. Not of bool.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        DTypeError: x is of bool.

    Example:
        >>> dlc.sign(dlc.asarray([3, 0, -2]))
        Tensor([ 1,  0, -1], dtype=int64)
    """
    x = as_tensor(x)
    check_kinds("sign", (x,), "fiu")
    below = where(less(x, 0), -1, x) if x.tensor.dtype.kind != "u" else x
    # Where x is 0 the result is +0 for either sign of it.
    return where(greater(x, 0), 1, where(equal(x, 0), 0, below))


@natively
def pow(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x to the y.

    Args:
        x: A tensor, array or number. Not of bool.
        y: Another one. Their shapes broadcast and their dtypes are promoted.

    Returns:
        A tensor of the common shape and dtype. Of floats it is IEEE 754's pow. Powers of integers
        wrap; an integer to a negative power is the exact value without its fraction (0 but for
        the bases 1 and -1), and 0 for the base 0.

    Raises:
        ShapeError: The shapes do not broadcast.
        DTypeError: Both operands are of bool, or the dtypes have none in common.
        ValueRangeError: An integer is raised to a negative Python number.

    Example:
        >>> dlc.pow(dlc.asarray([2, 3]), 3)
        Tensor([ 8, 27], dtype=int64)
    """
    exponent = y if isinstance(y, int) and not isinstance(y, bool) else None
    x, y = promote(x, y)
    check_kinds("pow", (x, y), "fiu")
    if x.tensor.dtype.is_float:
        if exponent == 2:
            return apply("mul", x, x)  # the square rounds once, as pow does
        return apply("pow", *match_shapes("pow", (x, y)))
    if exponent is not None and exponent < 0:
        raise ValueRangeError(
            f"pow of {x.tensor}: integers have no power {exponent} among the integers",
            hint="convert the base with .astype(dlc.float32)",
        )
    if exponent is not None:
        return _static_power(x, exponent)
    return _integer_power(*match_shapes("pow", (x, y)))


def _static_power(x: Tensor, exponent: int) -> Tensor:
    """x to a power that is not negative, by squaring."""
    if exponent == 0:
        return add(multiply(x, 0), 1)
    result: Tensor | None = None
    while exponent:
        if exponent & 1:
            result = x if result is None else apply("mul", result, x)
        exponent >>= 1
        if exponent:
            x = apply("mul", x, x)
    assert result is not None
    return new_handle(result)


def _integer_power(x: Tensor, y: Tensor) -> Tensor:
    """Powers of integers by squaring, one step for each bit that an exponent can have."""
    dtype = y.tensor.dtype
    bits = dtype.bits - (dtype.kind == "i")
    result, base = add(multiply(x, 0), 1), x
    for k in builtins.range(bits):
        odd = equal(bitwise_and(bitwise_right_shift(y, k), 1), 1)
        result = where(odd, multiply(result, base), result)
        base = multiply(base, base)
    if dtype.kind == "u":
        return result
    parity = where(equal(bitwise_and(y, 1), 1), x, 1)
    unit = logical_or(equal(x, 1), equal(x, -1))
    return where(less(y, 0), where(unit, parity, 0), result)


def logaddexp(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """log(exp(x) + exp(y)) without overflow.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.
        y: Another one. Their shapes broadcast and their dtypes are promoted.

    Returns:
        A tensor of the common shape and float dtype.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.logaddexp(0.0, 0.0)
        Tensor(0.693..., dtype=float32)
    """
    x, y = match_shapes("logaddexp", float_promote(x, y))
    dtype = x.tensor.dtype
    if dtype.bits == 16:
        return convert(logaddexp(convert(x, float32), convert(y, float32)), dtype)
    higher, below = higher_and_rest(x, y)
    return add(higher, log1p(exp(below)))


def higher_and_rest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The higher of x and y, NaN where one is, and the other one less that, which is at most 0.

    Which one is chosen does not change a smooth symmetric function of both: unlike `maximum` and
    `abs`, the choice leaves its derivatives of any order what they are where x and y are equal.
    """
    first = greater_equal(x, y)
    higher = where(first, x, y)
    below = subtract(where(first, y, x), higher)
    apart = equal(below, below)  # and not equal infinities, of which half of each counts, nor NaN
    return where(apart, higher, multiply(add(x, y), 0.5)), where(apart, below, 0)


def round(x: ArrayLike, /, decimals: int = 0) -> Tensor:
    """The nearest integer, the even one of two; or the nearest number with `decimals` decimals.

    Args:
        x: A tensor, array or number of any shape. Integers and bools stay as they are.
        decimals: The number of decimals that are kept, as NumPy has it.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ArgumentError: `decimals` is not an integer.
        ValueRangeError: `decimals` is negative and x is of integers.

    Example:
        >>> dlc.round(dlc.asarray([0.5, 1.5, -2.6]))
        Tensor([ 0.,  2., -3.], dtype=float32)
    """
    x = as_tensor(x)
    decimals = integer("round", "decimals", decimals)
    if not x.tensor.dtype.is_float:
        if decimals < 0:
            raise ValueRangeError(
                f"round of {x.tensor} to {decimals} decimals",
                hint="convert it first, for example with .astype(dlc.float64)",
            )
        return new_handle(x)
    if not decimals:
        return apply("rint", x)
    scale = 10.0 ** builtins.abs(decimals)
    if decimals > 0:
        return divide(apply("rint", multiply(x, scale)), scale)
    return multiply(apply("rint", divide(x, scale)), scale)


def clip(x: ArrayLike, /, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Tensor:
    """x, raised to `min` where it is below and lowered to `max` where it is above; NaN stays NaN.

    Args:
        x: A tensor, array or number.
        min: The lower bound; none for None. Shapes broadcast and dtypes are promoted.
        max: The upper bound, which wins where it is below `min`.

    Returns:
        A tensor of the common shape and dtype.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.clip(dlc.asarray([-2, 1, 5]), 0, 3)
        Tensor([0, 1, 3], dtype=int64)
    """
    low, high, result = min, max, as_tensor(x)
    if any(v is not None and type(v) not in (int, float) for v in (low, high)):
        given = [v for v in (result, low, high) if v is not None]
        result, *bounds = match_shapes("clip", promote(*given))
        low = None if low is None else bounds[0]
        high = None if high is None else bounds[-1]
    result = new_handle(result) if low is None else maximum(result, low)
    return result if high is None else minimum(result, high)


def _negative_bit(x: Tensor) -> Tensor:
    """Whether the sign bit of a float is set."""
    bits = apply("bitcast", x, dtype=dtype_of(f"i{x.tensor.dtype.bits}"))
    return less(bits, 0)


def signbit(x: ArrayLike, /) -> Tensor:
    """Whether the sign is negative, also of -0.0 and NaN.

    Args:
        x: A tensor, array or number of any shape. Not of bool.

    Returns:
        A tensor of x's shape and dtype bool.

    Raises:
        DTypeError: x is of bool.

    Example:
        >>> dlc.signbit(dlc.asarray([-0.0, 0.0]))
        Tensor([ True, False], dtype=bool)
    """
    x = as_tensor(x)
    check_kinds("signbit", (x,), "fiu")
    return _negative_bit(x) if x.tensor.dtype.is_float else less(x, 0)


def copysign(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The magnitude of x with the sign of y.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.
        y: Another one. Their shapes broadcast and their dtypes are promoted.

    Returns:
        A tensor of the common shape and float dtype.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.copysign(3.0, -0.0)
        Tensor(-3., dtype=float32)
    """
    x, y = match_shapes("copysign", float_promote(x, y))
    differ = apply("bit_xor", _negative_bit(x), _negative_bit(y))
    return where(differ, negative(x), x)


def nextafter(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The float next to x in the direction of y; y where they are equal.

    The derivative with respect to x is 1 where it is another float than y and 0.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.
        y: Another one. Their shapes broadcast and their dtypes are promoted.

    Returns:
        A tensor of the common shape and float dtype.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.nextafter(dlc.asarray(0.0), 1.0)
        Tensor(1.e-45, dtype=float32)
    """
    x, y = match_shapes("nextafter", [materialise(t) for t in float_promote(x, y)])
    dtype = x.tensor.dtype
    number = dtype_of(f"i{dtype.bits}")
    bits = apply("bitcast", x, dtype=number)
    # Away from zero the bits of a float count up, whatever its sign.
    outwards = equal(less(x, y), greater(x, 0))
    moved = apply("bitcast", where(outwards, add(bits, 1), subtract(bits, 1)), dtype=dtype)
    least = apply("bitcast", add(multiply(bits, 0), 1), dtype=dtype)
    moved = where(equal(x, 0), where(greater(y, 0), least, negative(least)), moved)
    # x less itself is 0, and has the derivative, which bits have not.
    slope = subtract(x, apply("stop_gradient", x))
    moved = where(logical_or(equal(moved, 0), not_equal(slope, 0)), moved, add(moved, slope))
    ordered = logical_and(equal(x, x), equal(y, y))
    return where(ordered, where(equal(x, y), y, moved), add(x, y))


def _classify(name: str, summary: str, example: str, of_integers: bool, build: Any) -> Unary:
    def function(x: ArrayLike, /) -> Tensor:
        x = as_tensor(x)
        if x.tensor.dtype.is_float:
            return build(x)
        return apply("full", value=of_integers, shape=x.tensor.shape, dtype=bool_)

    doc = _UNARY_DOC.format(
        summary=summary, dtypes="", result=" and dtype bool", raises="", example=example
    )
    return named(function, name, doc)


isnan = _classify(
    "isnan", "Whether x is NaN.", "isnan(math.nan)\n        Tensor(True, dtype=bool)",
    False, lambda x: not_equal(x, x),
)  # fmt: skip
isinf = _classify(
    "isinf", "Whether x is infinite.", "isinf(-math.inf)\n        Tensor(True, dtype=bool)",
    False, lambda x: equal(abs(x), math.inf),
)  # fmt: skip
isfinite = _classify(
    "isfinite", "Whether x is neither NaN nor infinite.",
    "isfinite(math.inf)\n        Tensor(False, dtype=bool)",
    True, lambda x: less(abs(x), math.inf),
)  # fmt: skip


@natively
def where(
    condition: ArrayLike, x: ArrayLike | None = None, y: ArrayLike | None = None, /
) -> Tensor:
    """The elements of x where the condition holds, those of y elsewhere.

    Args:
        condition: A tensor, array or number; a number counts as true where it is not 0.
        x: A tensor, array or number of any dtype.
        y: Another one. Dtypes of x and y are promoted; all three shapes broadcast.

    Returns:
        A tensor of the common shape and the common dtype of x and y.

    Raises:
        ArgumentError: x and y are left out: how many places there are is not known to a compiler.
        ShapeError: The shapes do not broadcast.
        DTypeError: x and y have no common dtype.

    Example:
        >>> x = dlc.asarray([1.0, -2.0])
        >>> dlc.where(x > 0, x, 0)
        Tensor([1., 0.], dtype=float32)
    """
    if x is None or y is None:
        raise ArgumentError(
            "where needs the values for both cases",
            hint="write dlc.where(condition, x, y); for places, use NumPy's nonzero on .numpy()",
        )
    chosen = match_shapes("where", (convert(as_tensor(condition), bool_), *promote(x, y)))
    return apply("select", *chosen)


def flat_at_zero(root: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`root(x)` of sums of powers, with derivative 0 where they are 0, as is their root."""
    zero = equal(x, 0.0)
    return where(zero, x, root(where(zero, 1.0, x)))


@natively
def astype(x: ArrayLike, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """x at another dtype; a conversion that the compiler never drops.

    Args:
        x: A tensor, array or number of any shape.
        dtype: A dtype of dlc or NumPy, or a name such as "float32" or "f32".
        copy: Accepted for the Array API's sake: values never change under anyone.
        device: The device that the result lies on.

    Returns:
        A tensor of x's shape. Floats become integers without their fraction, kept within the
        range of the dtype; NaN becomes 0. A number becomes the bool of whether it is not 0.

    Raises:
        DTypeError: There is no such dtype.
        DeviceError: There is no such device.

    Example:
        >>> dlc.astype(dlc.asarray([1.7, -1.7]), dlc.int32)
        Tensor([ 1, -1], dtype=int32)
    """
    result = convert(as_tensor(x), dtype_argument(dtype))
    return fresh(result if device is None else placed(result, device), x)
