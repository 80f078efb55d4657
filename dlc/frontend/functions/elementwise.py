"""Functions of the elements at one place: arithmetic, mathematics, comparisons, logic and bits.

Those that are one op of the IR are rows: the op's name, what it computes, an example.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from dlc.frontend.apply import (
    apply,
    as_tensor,
    convert,
    float_promote,
)
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    held_dtype,
    match_shapes,
    new_handle,
    operands,
)
from dlc.frontend.native_functions import natively
from dlc.frontend.tensor import Tensor
from dlc.ir.types import bool_

Unary: TypeAlias = Callable[[ArrayLike], Tensor]
Binary: TypeAlias = Callable[[ArrayLike, ArrayLike], Tensor]

_UNARY_DOC = """{summary}

    Args:
        x: A tensor, array or number of any shape. {dtypes}

    Returns:
        A tensor of x's shape{result}.
{raises}
    Example:
        >>> dlc.{example}
    """
_BINARY_DOC = """{summary}

    Args:
        x: A tensor, array or number. {dtypes}
        y: Another one. Their shapes broadcast and their dtypes are promoted.

    Returns:
        A tensor of the common shape{result}.

    Raises:
        ShapeError: The shapes do not broadcast.
        DTypeError: {error}

    Example:
        >>> dlc.{example}
    """
_RAISES = """
    Raises:
        DTypeError: {error}
"""
_WORDS = {"fiu": "Not of bool.", "iub": "Of integers or bools.", "iu": "Of integers."}
_ERRORS = {
    "fiu": "An operand is of bool, or the dtypes have none in common.",
    "iub": "An operand is of floats, or the dtypes have none in common.",
    "iu": "An operand is not of integers, or the dtypes have none in common.",
    "fiub": "The dtypes have none in common.",
}


def named(function: Any, name: str, doc: str) -> Any:
    """`function` under a name, with a docstring."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _float_unary(name: str, summary: str, example: str, op: str | None = None) -> Unary:
    """A function of floats; integers and bools become float32."""
    row = op or name

    def function(x: ArrayLike, /) -> Tensor:
        return apply(row, *float_promote(x))

    doc = _UNARY_DOC.format(
        summary=summary,
        dtypes="Integers and bools are taken as float32.",
        result=" and of its float dtype",
        raises="",
        example=example,
    )
    return named(natively(function), name, doc)


def _rounding(name: str, summary: str, example: str) -> Unary:
    """A function of floats that leaves integers and bools as they are."""

    def function(x: ArrayLike, /) -> Tensor:
        x = as_tensor(x)
        return apply(name, x) if x.tensor.dtype.is_float else new_handle(x)

    doc = _UNARY_DOC.format(
        summary=summary,
        dtypes="Integers and bools stay as they are.",
        result=" and dtype",
        raises="",
        example=example,
    )
    return named(natively(function), name, doc)


def _number_unary(name: str, op: str, kinds: str, summary: str, example: str) -> Unary:
    """A function of the dtypes of `kinds`, which keeps the dtype."""

    def function(x: ArrayLike, /) -> Tensor:
        x = as_tensor(x)
        check_kinds(name, (x,), kinds)
        return apply(op, x)

    doc = _UNARY_DOC.format(
        summary=summary,
        dtypes=_WORDS[kinds],
        result=" and dtype",
        raises=_RAISES.format(
            error=_ERRORS[kinds].partition(",")[0].replace("An operand", "x") + "."
        ),
        example=example,
    )
    return named(natively(function), name, doc)


def _float_binary(name: str, summary: str, example: str, op: str | None = None) -> Binary:
    """A function of two floats; integers and bools become float32."""
    row = op or name

    def function(x: ArrayLike, y: ArrayLike, /) -> Tensor:
        return apply(row, *match_shapes(name, float_promote(x, y)))

    doc = _BINARY_DOC.format(
        summary=summary,
        dtypes="Integers and bools are taken as float32.",
        result=" and float dtype",
        error=_ERRORS["fiub"],
        example=example,
    )
    return named(natively(function), name, doc)


def _binary(
    name: str, op: str, kinds: str, summary: str, example: str, *, of_bools: str | None = None
) -> Binary:
    """A function of two operands of the dtypes of `kinds`; `of_bools` is the op for bools."""
    allowed = kinds if of_bools is None else "fiub"

    def function(x: ArrayLike, y: ArrayLike, /) -> Tensor:
        pair = operands(name, x, y)
        check_kinds(name, pair, allowed)
        row = op if of_bools is None or held_dtype(pair[0]) is not bool_ else of_bools
        return apply(row, *pair)

    doc = _BINARY_DOC.format(
        summary=summary,
        dtypes=_WORDS.get(allowed, ""),
        result=" and dtype",
        error=_ERRORS[allowed],
        example=example,
    )
    return named(natively(function), name, doc)


def _comparison(name: str, op: str, sign: str) -> Binary:
    def function(x: ArrayLike, y: ArrayLike, /) -> Tensor:
        return apply(op, *operands(name, x, y))

    otherwise = "True" if op == "ne" else "False"
    shown = {"eq": "False,  True", "ne": " True, False", "lt": " True, False"}
    shown |= {"le": " True,  True", "gt": "False, False", "ge": "False,  True"}
    doc = _BINARY_DOC.format(
        summary=f"Whether x {sign} y, for each element; {otherwise} where one is NaN.",
        dtypes="",
        result=" and dtype bool",
        error=_ERRORS["fiub"],
        example=f"{name}(dlc.asarray([1, 2]), 2)\n        Tensor([{shown[op]}], dtype=bool)",
    )
    return named(natively(function), name, doc)


def _logical(name: str, op: str, summary: str, shown: str) -> Binary:
    def function(x: ArrayLike, y: ArrayLike, /) -> Tensor:
        pair = (convert(as_tensor(x), bool_), convert(as_tensor(y), bool_))
        return apply(op, *match_shapes(name, pair))

    doc = _BINARY_DOC.format(
        summary=summary,
        dtypes="A number counts as true where it is not 0.",
        result=" and dtype bool",
        error="An operand is not of a dtype of dlc.",
        example=f"{name}(dlc.asarray([True, False]), True)\n        Tensor([{shown}], dtype=bool)",
    )
    return named(natively(function), name, doc)


def _one(name: str, argument: str, result: str) -> str:
    """An example with one number, whose float32 result starts with the digits given."""
    return f"{name}({argument})\n        Tensor({result}, dtype=float32)"


def _two(name: str, sign: str, shown: str) -> str:
    return f"{name}(dlc.asarray([7, -7]), {sign})\n        Tensor([{shown}], dtype=int64)"


# Arithmetic.
add = _binary(
    "add", "add", "fiu", "x + y; integers wrap, bools are or-ed.", _two("add", "2", " 9, -5"),
    of_bools="bit_or",
)  # fmt: skip
subtract = _binary(
    "subtract", "sub", "fiu", "x - y; integers wrap.", _two("subtract", "2", " 5, -9")
)
multiply = _binary(
    "multiply", "mul", "fiu", "x * y; integers wrap, bools are and-ed.",
    _two("multiply", "2", " 14, -14"), of_bools="bit_and",
)  # fmt: skip
divide = _float_binary("divide", "x / y, as floats.", _one("divide", "7, 2", "3.5"), op="div")
floor_divide = _binary(
    "floor_divide", "floordiv", "fiu",
    "The floor of x / y; of integers 0 where y is 0.", _two("floor_divide", "2", " 3, -4"),
)  # fmt: skip
remainder = _binary(
    "remainder", "mod", "fiu",
    "x - floor(x / y) * y, which has the sign of y; of integers 0 where y is 0.",
    _two("remainder", "4", "3, 1"),
)  # fmt: skip
maximum = _binary(
    "maximum", "max", "fiu", "The larger of x and y; NaN where one is NaN.",
    _two("maximum", "2", "7, 2"), of_bools="bit_or",
)  # fmt: skip
minimum = _binary(
    "minimum", "min", "fiu", "The smaller of x and y; NaN where one is NaN.",
    _two("minimum", "2", " 2, -7"), of_bools="bit_and",
)  # fmt: skip
negative = _number_unary(
    "negative", "neg", "fiu", "-x; integers wrap.",
    "negative(dlc.asarray([1, -2]))\n        Tensor([-1,  2], dtype=int64)",
)  # fmt: skip

# Roots and rounding.
sqrt = _float_unary("sqrt", "The square root; NaN below zero.", _one("sqrt", "9.0", "3."))
rsqrt = _float_unary("rsqrt", "1 / sqrt(x).", _one("rsqrt", "4.0", "0.5"))
cbrt = _float_unary("cbrt", "The cube root.", _one("cbrt", "1.0", "1."))
floor = _rounding("floor", "The largest integer not above x.", _one("floor", "-1.5", "-2."))
ceil = _rounding("ceil", "The smallest integer not below x.", _one("ceil", "-1.5", "-1."))
trunc = _rounding("trunc", "x without its fraction.", _one("trunc", "-1.5", "-1."))

# Exponentials and logarithms.
exp = _float_unary("exp", "e to the x.", _one("exp", "1.0", "2.718..."))
exp2 = _float_unary("exp2", "2 to the x.", _one("exp2", "3.0", "8."))
expm1 = _float_unary("expm1", "exp(x) - 1, accurate near 0.", _one("expm1", "1.0", "1.718..."))
log = _float_unary("log", "The natural logarithm; NaN below zero.", _one("log", "2.0", "0.693..."))
log2 = _float_unary("log2", "The logarithm to base 2.", _one("log2", "8.0", "3."))
log10 = _float_unary("log10", "The logarithm to base 10.", _one("log10", "2.0", "0.301..."))
log1p = _float_unary("log1p", "log(1 + x), accurate near 0.", _one("log1p", "1.0", "0.693..."))

# Trigonometric and hyperbolic functions.
sin = _float_unary("sin", "The sine of an angle in radians.", _one("sin", "1.0", "0.841..."))
cos = _float_unary("cos", "The cosine of an angle in radians.", _one("cos", "1.0", "0.540..."))
tan = _float_unary("tan", "The tangent of an angle in radians.", _one("tan", "1.0", "1.557..."))
asin = _float_unary("asin", "The arc sine; NaN outside -1 to 1.", _one("asin", "1.0", "1.570..."))
acos = _float_unary("acos", "The arc cosine; NaN outside -1 to 1.", _one("acos", "0.0", "1.570..."))
atan = _float_unary("atan", "The arc tangent.", _one("atan", "1.0", "0.785..."))
sinh = _float_unary("sinh", "The hyperbolic sine.", _one("sinh", "1.0", "1.175..."))
cosh = _float_unary("cosh", "The hyperbolic cosine.", _one("cosh", "1.0", "1.543..."))
tanh = _float_unary("tanh", "The hyperbolic tangent.", _one("tanh", "1.0", "0.761..."))
asinh = _float_unary("asinh", "The inverse hyperbolic sine.", _one("asinh", "1.0", "0.881..."))
acosh = _float_unary("acosh", "The inverse hyperbolic cosine.", _one("acosh", "2.0", "1.316..."))
atanh = _float_unary("atanh", "The inverse hyperbolic tangent.", _one("atanh", "0.5", "0.549..."))
atan2 = _float_binary(
    "atan2", "The angle of the point at height x and distance y: atan2(x, y).",
    _one("atan2", "1.0, -1.0", "2.356..."),
)  # fmt: skip
hypot = _float_binary("hypot", "sqrt(x*x + y*y) without overflow.", _one("hypot", "3.0, 4.0", "5."))
erf = _float_unary("erf", "The error function.", _one("erf", "0.5", "0.520..."))
erfc = _float_unary("erfc", "1 - erf(x), accurate for large x.", _one("erfc", "0.5", "0.479..."))

# Comparisons, logic and bits.
equal = _comparison("equal", "eq", "==")
not_equal = _comparison("not_equal", "ne", "!=")
less = _comparison("less", "lt", "<")
less_equal = _comparison("less_equal", "le", "<=")
greater = _comparison("greater", "gt", ">")
greater_equal = _comparison("greater_equal", "ge", ">=")
logical_and = _logical("logical_and", "bit_and", "Whether both are true.", " True, False")
logical_or = _logical("logical_or", "bit_or", "Whether one is true.", " True,  True")
logical_xor = _logical("logical_xor", "bit_xor", "Whether exactly one is true.", "False,  True")
bitwise_and = _binary(
    "bitwise_and", "bit_and", "iub", "The bits that are set in both.",
    "bitwise_and(dlc.asarray([6, 5]), 3)\n        Tensor([2, 1], dtype=int64)",
)  # fmt: skip
bitwise_or = _binary(
    "bitwise_or", "bit_or", "iub", "The bits that are set in one of x and y.",
    "bitwise_or(dlc.asarray([6, 5]), 3)\n        Tensor([7, 7], dtype=int64)",
)  # fmt: skip
bitwise_xor = _binary(
    "bitwise_xor", "bit_xor", "iub", "The bits that are set in exactly one of x and y.",
    "bitwise_xor(dlc.asarray([6, 5]), 3)\n        Tensor([5, 6], dtype=int64)",
)  # fmt: skip
bitwise_left_shift = _binary(
    "bitwise_left_shift", "shl", "iu", "x, its bits shifted left by y; 0 for a count out of range.",
    "bitwise_left_shift(dlc.asarray([6, 5]), 1)\n        Tensor([12, 10], dtype=int64)",
)  # fmt: skip
bitwise_right_shift = _binary(
    "bitwise_right_shift", "shr", "iu", "x with its bits shifted right by y, keeping the sign.",
    "bitwise_right_shift(dlc.asarray([6, -5]), 1)\n        Tensor([ 3, -3], dtype=int64)",
)  # fmt: skip
bitwise_invert = _number_unary(
    "bitwise_invert", "bit_not", "iub", "Every bit of x reversed; logical not of bools.",
    "bitwise_invert(dlc.asarray([0, 5]))\n        Tensor([-1, -6], dtype=int64)",
)  # fmt: skip


@natively
def logical_not(x: ArrayLike, /) -> Tensor:
    """Whether x is false; a number counts as true where it is not 0.

    Args:
        x: A tensor, array or number of any shape and dtype.

    Returns:
        A tensor of x's shape and dtype bool.

    Example:
        >>> dlc.logical_not(dlc.asarray([True, False]))
        Tensor([False,  True], dtype=bool)
    """
    return apply("bit_not", convert(as_tensor(x), bool_))


def positive(x: ArrayLike, /) -> Tensor:
    """+x, which is x.

    Args:
        x: A tensor, array or number of any shape and dtype.

    Returns:
        A tensor of x's shape and dtype.

    Example:
        >>> dlc.positive(dlc.asarray([1, -2]))
        Tensor([ 1, -2], dtype=int64)
    """
    return new_handle(as_tensor(x))


def conj(x: ArrayLike, /) -> Tensor:
    """The complex conjugate of x, which is x: there are no complex numbers.

    Args:
        x: A tensor, array or number of any shape and dtype.

    Returns:
        A tensor of x's shape and dtype.

    Example:
        >>> dlc.conj(dlc.asarray([1, -2]))
        Tensor([ 1, -2], dtype=int64)
    """
    return new_handle(as_tensor(x))


def real(x: ArrayLike, /) -> Tensor:
    """The real part of x, which is x: there are no complex numbers.

    Args:
        x: A tensor, array or number of any shape and dtype.

    Returns:
        A tensor of x's shape and dtype.

    Example:
        >>> dlc.real(dlc.asarray([1, -2]))
        Tensor([ 1, -2], dtype=int64)
    """
    return new_handle(as_tensor(x))


def imag(x: ArrayLike, /) -> Tensor:
    """The imaginary part of x, which is 0: there are no complex numbers.

    Args:
        x: A tensor, array or number of any shape and dtype.

    Returns:
        A tensor of x's shape and dtype.

    Example:
        >>> dlc.imag(dlc.asarray([1, -2]))
        Tensor([0, 0], dtype=int64)
    """
    held = as_tensor(x)
    zero = False if held.tensor.dtype is bool_ else 0
    return apply("full", value=zero, shape=held.tensor.shape, dtype=held.dtype)


@natively
def abs(x: ArrayLike, /) -> Tensor:
    """|x|; the most negative integer is unchanged.

    Args:
        x: A tensor, array or number of any shape and dtype.

    Returns:
        A tensor of x's shape and dtype.

    Example:
        >>> dlc.abs(dlc.asarray([1, -2]))
        Tensor([1, 2], dtype=int64)
    """
    x = as_tensor(x)
    return new_handle(x) if x.tensor.dtype.kind in "bu" else apply("abs", x)


@natively
def square(x: ArrayLike, /) -> Tensor:
    """x * x; integers wrap.

    Args:
        x: A tensor, array or number of any shape.

    Returns:
        A tensor of x's shape and dtype.

    Example:
        >>> dlc.square(dlc.asarray([3, -2]))
        Tensor([9, 4], dtype=int64)
    """
    x = as_tensor(x)
    return multiply(x, x)


@natively
def reciprocal(x: ArrayLike, /) -> Tensor:
    """1 / x, as floats.

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.

    Returns:
        A tensor of x's shape and of its float dtype.

    Example:
        >>> dlc.reciprocal(4.0)
        Tensor(0.25, dtype=float32)
    """
    return divide(1, x)
