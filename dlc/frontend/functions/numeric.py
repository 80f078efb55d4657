"""Elementwise functions composed of others: comparison with tolerance, remainders, bits, angles."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable

import numpy as np

from dlc.frontend.apply import apply, as_tensor, convert, float_promote, materialise, promote
from dlc.frontend.functions import composed, elementwise, reduction
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    match_shapes,
    new_handle,
    operands,
)
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.elementwise import named
from dlc.frontend.native_functions import natively
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import dims_equal
from dlc.ir.types import DType, bool_, dtype_of, float32, float64, int32, int64

_UNARY = """{summary}

    Args:
        x: A tensor, array or number of any shape. {dtypes}

    Returns:
        A tensor of x's shape{result}.

    Example:
        >>> dlc.{example}
    """
_BINARY = """{summary}

    Args:
        x: A tensor, array or number. {dtypes}
        y: Another one. Their shapes broadcast and their dtypes are promoted.

    Returns:
        A tensor of the common shape{result}.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.{example}
    """
_FLOATS = "Integers and bools are taken as float32."


def _unary(
    name: str, summary: str, example: str, build: Callable[[Tensor], Tensor]
) -> Callable[..., Tensor]:
    """A function of floats, computed at float32 for the half types."""

    def function(x: ArrayLike, /) -> Tensor:
        (held,) = float_promote(x)
        return at_float32(build, held)

    doc = _UNARY.format(
        summary=summary, dtypes=_FLOATS, result=" and of its float dtype", example=example
    )
    return named(natively(function), name, doc)


def at_float32(build: Callable[..., Tensor], *xs: Tensor) -> Tensor:
    """`build(*xs)`, computed at float32 and rounded once where they are of a half type."""
    dtype = xs[0].tensor.dtype
    if dtype.bits != 16:
        return build(*xs)
    return convert(build(*(convert(x, float32) for x in xs)), dtype)


def _scaled(name: str, summary: str, example: str, factor: float) -> Callable[..., Tensor]:
    return _unary(name, summary, example, lambda x: elementwise.multiply(x, factor))


_TO_RADIANS = ("The angle in radians of one in degrees.", math.pi / 180)
_TO_DEGREES = ("The angle in degrees of one in radians.", 180 / math.pi)
deg2rad, radians = (
    _scaled(name, _TO_RADIANS[0], f"{name}(180.0)\n        Tensor(3.14..., dtype=float32)",
            _TO_RADIANS[1])
    for name in ("deg2rad", "radians")
)  # fmt: skip
rad2deg, degrees = (
    _scaled(name, _TO_DEGREES[0], f"{name}(math.pi)\n        Tensor(180., dtype=float32)",
            _TO_DEGREES[1])
    for name in ("rad2deg", "degrees")
)  # fmt: skip


def _sinc(x: Tensor) -> Tensor:
    at_zero = elementwise.equal(x, 0)
    angle = elementwise.multiply(where(at_zero, 1, x), math.pi)
    # Around 0 it is 1 - (pi x)^2 / 6, which has the right derivatives there too.
    near = elementwise.subtract(1, elementwise.multiply(elementwise.square(x), math.pi**2 / 6))
    return where(at_zero, near, elementwise.divide(elementwise.sin(angle), angle))


sinc = _unary(
    "sinc", "sin(pi x) / (pi x), which is 1 at 0.",
    "sinc(0.5)\n        Tensor(0.636..., dtype=float32)",
    _sinc,
)  # fmt: skip


def _binary(
    name: str, summary: str, example: str, build: Callable[[Tensor, Tensor], Tensor], kinds: str
) -> Callable[..., Tensor]:
    def function(x: ArrayLike, y: ArrayLike, /) -> Tensor:
        if kinds == "f":
            return at_float32(build, *match_shapes(name, float_promote(x, y)))
        pair = operands(name, x, y)
        check_kinds(name, pair, kinds)
        return build(*pair)

    words = {"f": _FLOATS, "iu": "Of integers.", "fiu": "Not of bool.", "fiub": ""}
    result = " and float dtype" if kinds == "f" else " and dtype"
    doc = _BINARY.format(summary=summary, dtypes=words[kinds], result=result, example=example)
    return named(natively(function), name, doc)


def _heaviside(x: Tensor, y: Tensor) -> Tensor:
    step = where(elementwise.less(x, 0), 0, where(elementwise.greater(x, 0), 1, y))
    return where(elementwise.equal(x, x), step, x)


heaviside = _binary(
    "heaviside", "0 below zero, 1 above it, and y where x is 0.",
    "heaviside(dlc.asarray([-2.0, 0.0, 3.0]), 0.5)\n        Tensor([0. , 0.5, 1. ], dtype=float32)",
    _heaviside, "f",
)  # fmt: skip


def _fmod(x: Tensor, y: Tensor) -> Tensor:
    """C's: of the sign of x. `mod` of the magnitudes is exact."""
    if x.tensor.dtype.kind == "u":
        return elementwise.remainder(x, y)
    if x.tensor.dtype.kind == "i":
        rest = elementwise.remainder(x, y)
        moved = elementwise.logical_and(
            elementwise.not_equal(rest, 0),
            elementwise.less(elementwise.bitwise_xor(x, y), 0),
        )
        return where(moved, elementwise.subtract(rest, y), rest)
    rest = elementwise.remainder(elementwise.abs(x), elementwise.abs(y))
    return composed.copysign(rest, x)


fmod = _binary(
    "fmod", "The remainder of x / y with the sign of x, as C has it; of integers 0 where y is 0.",
    "fmod(dlc.asarray([7, -7]), 4)\n        Tensor([ 3, -3], dtype=int64)", _fmod, "fiu",
)  # fmt: skip


def _fmax(x: Tensor, y: Tensor) -> Tensor:
    return where(composed.isnan(x), y, where(composed.isnan(y), x, elementwise.maximum(x, y)))


def _fmin(x: Tensor, y: Tensor) -> Tensor:
    return where(composed.isnan(x), y, where(composed.isnan(y), x, elementwise.minimum(x, y)))


fmax = _binary(
    "fmax", "The larger of x and y; where one is NaN, the other.",
    "fmax(dlc.asarray([1.0, math.nan]), 0.5)\n        Tensor([1. , 0.5], dtype=float32)",
    _fmax, "fiub",
)  # fmt: skip
fmin = _binary(
    "fmin", "The smaller of x and y; where one is NaN, the other.",
    "fmin(dlc.asarray([1.0, math.nan]), 0.5)\n        Tensor([0.5, 0.5], dtype=float32)",
    _fmin, "fiub",
)  # fmt: skip


def _logaddexp2(x: Tensor, y: Tensor) -> Tensor:
    higher, below = composed.higher_and_rest(x, y)
    grown = elementwise.multiply(elementwise.log1p(elementwise.exp2(below)), 1 / math.log(2))
    return elementwise.add(higher, grown)


logaddexp2 = _binary(
    "logaddexp2", "log2(2**x + 2**y) without overflow.",
    "logaddexp2(0.0, 0.0)\n        Tensor(1., dtype=float32)", _logaddexp2, "f",
)  # fmt: skip


def _magnitude(x: Tensor) -> tuple[Tensor, DType]:
    """|x| as an unsigned integer: the most negative one has no signed magnitude."""
    dtype = x.tensor.dtype
    if dtype.kind == "u":
        return x, dtype
    wide = dtype_of(f"u{dtype.bits}")
    return apply("bitcast", elementwise.abs(x), dtype=wide), wide


def _gcd(x: Tensor, y: Tensor) -> Tensor:
    """Euclid's algorithm: of b bits it takes at most 1.45 b steps (Lame's theorem)."""
    dtype = x.tensor.dtype
    (a, wide), (b, _) = _magnitude(x), _magnitude(y)
    for _ in range(math.ceil(1.45 * dtype.bits)):
        a, b = where(elementwise.equal(b, 0), a, b), elementwise.remainder(a, b)
    return a if wide is dtype else apply("bitcast", a, dtype=dtype)


def _lcm(x: Tensor, y: Tensor) -> Tensor:
    common = _gcd(x, y)
    product = elementwise.multiply(elementwise.floor_divide(x, common), y)
    return elementwise.abs(product)


gcd = _binary(
    "gcd", "The greatest common divisor of |x| and |y|.",
    "gcd(dlc.asarray([12, 0]), 8)\n        Tensor([4, 8], dtype=int64)", _gcd, "iu",
)  # fmt: skip
lcm = _binary(
    "lcm", "The least common multiple of |x| and |y|; 0 where one is 0.",
    "lcm(dlc.asarray([4, 0]), 6)\n        Tensor([12,  0], dtype=int64)", _lcm, "iu",
)  # fmt: skip


def bitwise_count(x: ArrayLike, /) -> Tensor:
    """How many bits of |x| are set.

    Args:
        x: A tensor, array or number of integers.

    Returns:
        A tensor of x's shape and dtype uint8.

    Raises:
        DTypeError: x is not of integers.

    Example:
        >>> dlc.bitwise_count(dlc.asarray([7, 8, -1]))
        Tensor([3, 1, 1], dtype=uint8)
    """
    held = materialise(as_tensor(x))
    check_kinds("bitwise_count", (held,), "iu")
    bits, dtype = _magnitude(held)
    total = dtype.bits
    mask = 2**total - 1

    def masked(width: int) -> int:
        ones = 2**width - 1
        return builtins.sum(ones << k for k in range(0, total, 2 * width)) & mask

    width = 1
    # Neighbouring counts are added, twice as wide each time.
    while width < total:
        low = elementwise.bitwise_and(bits, masked(width))
        high = elementwise.bitwise_and(elementwise.bitwise_right_shift(bits, width), masked(width))
        bits = elementwise.add(low, high)
        width *= 2
    return convert(bits, dtype_of("u8"))


def float_power(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x to the y at float64.

    Args:
        x: A tensor, array or number.
        y: Another one. Their shapes broadcast.

    Returns:
        A tensor of the common shape and dtype float64.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.float_power(dlc.asarray([2, 4]), -1)
        Tensor([0.5 , 0.25], dtype=float64)
    """
    a, b = (convert(materialise(as_tensor(v)), float64) for v in (x, y))
    return composed.pow(a, b)


def divmod(x: ArrayLike, y: ArrayLike, /) -> tuple[Tensor, Tensor]:
    """The floor of x / y, and what is left.

    Args:
        x: A tensor, array or number. Not of bool.
        y: Another one. Their shapes broadcast and their dtypes are promoted.

    Returns:
        `dlc.floor_divide` and `dlc.remainder` of x and y.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> [t.tolist() for t in dlc.divmod(dlc.asarray([7, -7]), 4)]
        [[1, -2], [3, 1]]
    """
    return elementwise.floor_divide(x, y), elementwise.remainder(x, y)


def ldexp(x: ArrayLike, exponent: ArrayLike, /) -> Tensor:
    """x * 2**exponent, rounded once.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.
        exponent: Integers. The shapes broadcast.

    Returns:
        A tensor of the common shape and x's float dtype.

    Raises:
        DTypeError: The exponents are not integers.
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.ldexp(1.5, dlc.asarray([0, 3]))
        Tensor([ 1.5, 12. ], dtype=float32)
    """
    (held,) = float_promote(x)
    powers = materialise(as_tensor(exponent))
    check_kinds("ldexp", (powers,), "iu")
    a, n = match_shapes("ldexp", (materialise(held), composed.clip(powers, -5000, 5000)))
    dtype = a.tensor.dtype
    # Powers that a float cannot hold are multiplied in steps of what it can.
    step = 14 if dtype.bits == 16 else 100
    wide = float64 if dtype.bits == 64 else float32
    value, left = convert(a, wide), convert(n, int64)
    for _ in range(5 if dtype.bits == 64 else 3):
        now = composed.clip(
            left, -step * 9 if dtype.bits == 64 else -step, step * 9 if dtype.bits == 64 else step
        )
        value = elementwise.multiply(value, elementwise.exp2(convert(now, wide)))
        left = elementwise.subtract(left, now)
    return convert(value, dtype)


def frexp(x: ArrayLike, /) -> tuple[Tensor, Tensor]:
    """x as a fraction of a magnitude from 0.5 to below 1, and a power of 2.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.

    Returns:
        The fractions, in x's float dtype, and the exponents, in int32; 0 for zeros, and for NaN
        and infinities themselves and 0. The derivative of a fraction is 2**-exponent.

    Example:
        >>> [t.tolist() for t in dlc.frexp(dlc.asarray([8.0, -0.75]))]
        [[0.5, -0.75], [4, 0]]
    """
    (found,) = float_promote(x)
    held = materialise(found)
    dtype = held.tensor.dtype
    wide = float64 if dtype.bits == 64 else float32
    value = convert(held, wide)
    mantissa, bias = (52, 1023) if wide is float64 else (23, 127)
    whole = dtype_of(f"i{wide.bits}")
    # Subnormal numbers are made normal ones first.
    small = elementwise.less(elementwise.abs(value), 2.0 ** (2 - bias))
    scale = 2.0 ** (mantissa + 1)
    bits = apply("bitcast", where(small, elementwise.multiply(value, scale), value), dtype=whole)
    raw = elementwise.bitwise_and(
        elementwise.bitwise_right_shift(bits, mantissa), 2 ** (wide.bits - mantissa - 1) - 1
    )
    exponent = elementwise.subtract(raw, where(small, bias - 1 + mantissa + 1, bias - 1))
    # Exact, and it has the derivative, which bits have not.
    fraction = ldexp(value, elementwise.negative(exponent))
    plain = elementwise.logical_or(
        elementwise.equal(value, 0), elementwise.logical_not(composed.isfinite(value))
    )
    return (
        convert(where(plain, value, fraction), dtype),
        convert(where(plain, 0, exponent), int32),
    )


def modf(x: ArrayLike, /) -> tuple[Tensor, Tensor]:
    """The fraction of x and its whole part, both with the sign of x.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.

    Returns:
        Two tensors of x's shape and of its float dtype.

    Example:
        >>> [t.tolist() for t in dlc.modf(dlc.asarray([2.5, -0.25]))]
        [[0.5, -0.25], [2.0, -0.0]]
    """
    (held,) = float_promote(x)
    whole = elementwise.trunc(held)
    infinite = composed.isinf(held)
    fraction = where(infinite, 0, elementwise.subtract(held, whole))
    return composed.copysign(fraction, held), whole


def fix(x: ArrayLike, /) -> Tensor:
    """x without its fraction; NumPy's other name for `dlc.trunc`.

    Args:
        x: A tensor, array or number of any shape.

    Returns:
        A tensor of x's shape and dtype.

    Example:
        >>> dlc.fix(dlc.asarray([2.7, -2.7]))
        Tensor([ 2., -2.], dtype=float32)
    """
    return elementwise.trunc(x)


def rint(x: ArrayLike, /) -> Tensor:
    """The nearest integer, the even one of two.

    Args:
        x: A tensor, array or number of any shape.

    Returns:
        A tensor of x's shape and dtype.

    Example:
        >>> dlc.rint(dlc.asarray([0.5, 1.5]))
        Tensor([0., 2.], dtype=float32)
    """
    return composed.round(x)


def nan_to_num(
    x: ArrayLike,
    /,
    *,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """x with numbers in the place of NaN and infinities.

    Args:
        x: A tensor, array or number of any shape and dtype.
        nan: What NaN becomes.
        posinf: What infinity becomes; the largest number of the dtype by default.
        neginf: What minus infinity becomes; the least number of the dtype by default.

    Returns:
        A tensor of x's shape and dtype.

    Example:
        >>> dlc.nan_to_num(dlc.asarray([math.nan, math.inf, 1.0]), posinf=9.0)
        Tensor([0., 9., 1.], dtype=float32)
    """
    held = materialise(as_tensor(x))
    dtype = held.tensor.dtype
    if not dtype.is_float:
        return new_handle(held)
    top = float(_largest(dtype))
    result = where(composed.isnan(held), nan, held)
    result = where(elementwise.equal(held, math.inf), top if posinf is None else posinf, result)
    return where(elementwise.equal(held, -math.inf), -top if neginf is None else neginf, result)


def _largest(dtype: DType) -> float:
    tiny = {"f16": 65504.0, "bf16": float.fromhex("0x1.fep127")}
    return tiny.get(dtype.short) or float(np.finfo(dtype.numpy).max)


def isclose(
    x: ArrayLike, y: ArrayLike, /, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether |x - y| <= atol + rtol * |y|, for each element.

    Args:
        x: A tensor, array or number.
        y: Another one. Their shapes broadcast and their dtypes are promoted.
        rtol: The difference that is allowed, as a share of y.
        atol: The difference that is allowed besides.
        equal_nan: Whether NaN is close to NaN.

    Returns:
        A tensor of the common shape and dtype bool. Infinities are close to themselves only.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.isclose(dlc.asarray([1.0, 2.0]), dlc.asarray([1.000001, 2.1]))
        Tensor([ True, False], dtype=bool)
    """
    same = elementwise.equal(x, y)
    a, b = match_shapes("isclose", [materialise(t) for t in float_promote(x, y)])
    allowed = elementwise.add(elementwise.multiply(elementwise.abs(b), rtol), atol)
    near = elementwise.less_equal(elementwise.abs(elementwise.subtract(a, b)), allowed)
    result = elementwise.logical_or(same, elementwise.logical_and(near, composed.isfinite(b)))
    if equal_nan:
        both = elementwise.logical_and(composed.isnan(a), composed.isnan(b))
        result = elementwise.logical_or(result, both)
    return result


def allclose(
    x: ArrayLike, y: ArrayLike, /, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether all elements are close; see `dlc.isclose`.

    Args:
        x: A tensor, array or number.
        y: Another one. Their shapes broadcast and their dtypes are promoted.
        rtol: The difference that is allowed, as a share of y.
        atol: The difference that is allowed besides.
        equal_nan: Whether NaN is close to NaN.

    Returns:
        A scalar of dtype bool.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.allclose(dlc.asarray([1.0, 2.0]), dlc.asarray([1.000001, 2.000001]))
        Tensor(True, dtype=bool)
    """
    return reduction.all(isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan))


def array_equal(x: ArrayLike, y: ArrayLike, /, equal_nan: bool = False) -> Tensor:
    """Whether two tensors have the same shape and elements.

    Args:
        x: A tensor, array or number.
        y: Another one.
        equal_nan: Whether NaN is equal to NaN.

    Returns:
        A scalar of dtype bool.

    Example:
        >>> dlc.array_equal(dlc.asarray([1, 2]), dlc.asarray([1, 2, 3]))
        Tensor(False, dtype=bool)
    """
    a, b = (materialise(as_tensor(v)) for v in (x, y))
    shapes = (a.tensor.shape, b.tensor.shape)
    alike = len(shapes[0]) == len(shapes[1])
    if not alike or not builtins.all(dims_equal(m, n) for m, n in zip(*shapes, strict=True)):
        return apply("full", value=False, shape=(), dtype=bool_)
    same = elementwise.equal(a, b)
    if equal_nan:
        both = elementwise.logical_and(composed.isnan(a), composed.isnan(b))
        same = elementwise.logical_or(same, both)
    return reduction.all(same)


def lerp(start: ArrayLike, end: ArrayLike, weight: ArrayLike, /) -> Tensor:
    """PyTorch's `lerp`: start + weight * (end - start).

    Args:
        start: A tensor, array or number.
        end: Another one. All shapes broadcast and all dtypes are promoted.
        weight: How far on the way from start to end.

    Returns:
        A tensor of the common shape and float dtype.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.lerp(1.0, 3.0, 0.25)
        Tensor(1.5, dtype=float32)
    """
    a, b, w = match_shapes("lerp", float_promote(*promote(start, end, weight)))
    return elementwise.add(a, elementwise.multiply(w, elementwise.subtract(b, a)))
