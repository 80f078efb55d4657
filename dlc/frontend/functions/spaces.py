"""Numbers at equal ratios, and windows of signals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import apply, convert, dtype_argument, float_promote, materialise
from dlc.frontend.extent import as_dim
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.arguments import ArrayLike, known_values
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.creation import linspace
from dlc.frontend.functions.elementwise import named
from dlc.frontend.special.bessel import i0
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import add, maximum
from dlc.ir.errors import ValueRangeError
from dlc.ir.types import DType, float32, float64


def _result_dtype(dtype: Any, *ends: ArrayLike) -> DType:
    if dtype is not None:
        return dtype_argument(dtype)
    return materialise(float_promote(*ends)[0]).tensor.dtype


def logspace(
    start: ArrayLike,
    stop: ArrayLike,
    /,
    num: int = 50,
    endpoint: bool = True,
    base: float = 10.0,
    dtype: Any = None,
) -> Tensor:
    """`num` powers of a base, from base**start to base**stop, at equal ratios.

    Args:
        start: The first exponent; a scalar, which may be traced.
        stop: The last exponent.
        num: How many.
        endpoint: Whether that of `stop` is the last one, or what would follow.
        base: The base.
        dtype: Its dtype; by default that of start and stop where they are floats, else float32.

    Returns:
        A tensor with one axis, computed at float64 and rounded once.

    Raises:
        ShapeError: start or stop is not a scalar.
        ValueRangeError: `num` is negative.

    Example:
        >>> dlc.logspace(0, 2, 3)
        Tensor([  1.,  10., 100.], dtype=float32)
    """
    exponents = linspace(start, stop, num, endpoint=endpoint, dtype=float64)
    powers = composed.pow(convert(float_promote(base)[0], float64), exponents)
    return convert(powers, _result_dtype(dtype, start, stop))


def geomspace(
    start: ArrayLike, stop: ArrayLike, /, num: int = 50, endpoint: bool = True, dtype: Any = None
) -> Tensor:
    """`num` numbers from start to stop, each the same multiple of the one before.

    Args:
        start: The first number; a scalar, which may be traced.
        stop: The last number, of the same sign.
        num: How many.
        endpoint: Whether `stop` itself is the last one, or what would follow.
        dtype: Its dtype; by default that of start and stop where they are floats, else float32.

    Returns:
        A tensor with one axis, computed at float64 and rounded once. NaN where the signs differ.

    Raises:
        ShapeError: start or stop is not a scalar.
        ValueRangeError: `num` is negative; or the ends are known and one is 0, or they have
            different signs.

    Example:
        >>> dlc.geomspace(1, 8, 4)
        Tensor([1., 2., 4., 8.], dtype=float32)
    """
    held = _result_dtype(dtype, start, stop)
    first, last = (convert(end, float64) for end in float_promote(start, stop))
    known = [known_values(given, t) for given, t in ((start, first), (stop, last))]
    if all(k is not None and k.size == 1 for k in known):
        a, b = (float(k.item()) for k in known if k is not None)
        if a * b <= 0:
            raise ValueRangeError(
                f"geomspace from {a:g} to {b:g}: no ratio leads from one to the other",
                hint="both ends are positive, or both negative",
            )
    ratio = elementwise.divide(last, first)
    exponents = linspace(0, elementwise.log(ratio), num, endpoint=endpoint, dtype=float64)
    found = elementwise.multiply(first, elementwise.exp(exponents))
    count = as_dim(num, "geomspace: num")
    if endpoint and count not in (0, 1):
        places = apply("iota", shape=(count,), axis=0, dtype=float64)
        at_end = elementwise.equal(places, convert(apply("dim", dim=add(count, -1)), float64))
        found = where(at_end, last, found)
    return convert(found, held)


_WINDOW = """{summary}

    Args:
        m: How many numbers.
{more}        dtype: A float type; float32 by default.

    Returns:
        A tensor with one axis, 1 in the middle, computed at float64 and rounded once.

    Raises:
        ValueRangeError: m is negative.

    Example:
        >>> dlc.{example}
    """


def _places(name: str, m: int) -> tuple[Tensor, Tensor]:
    """The places 0, 1, ... and the last one, at float64."""
    count = as_dim(m, f"{name}: m")
    if isinstance(count, int) and count < 0:
        raise ValueRangeError(f"{name} of {count} numbers")
    last = convert(apply("dim", dim=maximum(add(count, -1), 1)), float64)
    return apply("iota", shape=(count,), axis=0, dtype=float64), last


def _window(
    name: str, summary: str, example: str, build: Callable[[Tensor], Tensor]
) -> Callable[..., Tensor]:
    """A window made of the places from -1 to 1."""

    def function(m: int, /, *, dtype: Any = None) -> Tensor:
        places, last = _places(name, m)
        value = build(_from_middle(places, last, m))
        return convert(value, float32 if dtype is None else dtype_argument(dtype))

    return named(function, name, _WINDOW.format(summary=summary, more="", example=example))


def _from_middle(places: Tensor, last: Tensor, m: int) -> Tensor:
    if isinstance(m, int) and m == 1:
        return elementwise.multiply(places, 0)
    return elementwise.subtract(elementwise.divide(elementwise.multiply(places, 2), last), 1)


def _cosines(*weights: float) -> Callable[[Tensor], Tensor]:
    """A sum of cosines of multiples of the place."""

    def build(x: Tensor) -> Tensor:
        total = elementwise.add(elementwise.multiply(x, 0), weights[0])
        for k, weight in enumerate(weights[1:], 1):
            wave = elementwise.cos(elementwise.multiply(x, k * math.pi))
            total = elementwise.add(total, elementwise.multiply(wave, weight))
        return total

    return build


bartlett = _window(
    "bartlett", "Bartlett's window, a triangle.",
    "bartlett(5)\n        Tensor([0. , 0.5, 1. , 0.5, 0. ], dtype=float32)",
    lambda x: elementwise.subtract(1, elementwise.abs(x)),
)  # fmt: skip
hanning = _window(
    "hanning", "Hann's window, a raised cosine.",
    "hanning(5)\n        Tensor([0. , 0.5, 1. , 0.5, 0. ], dtype=float32)", _cosines(0.5, 0.5),
)  # fmt: skip
hamming = _window(
    "hamming", "Hamming's window, a raised cosine on a step.",
    "hamming(3)\n        Tensor([0.08, 1.  , 0.08], dtype=float32)", _cosines(0.54, 0.46),
)  # fmt: skip
blackman = _window(
    "blackman", "Blackman's window, a sum of two cosines.",
    "blackman(3).shape\n        (3,)", _cosines(0.42, 0.5, 0.08),
)  # fmt: skip


def kaiser(m: int, beta: float, /, *, dtype: Any = None) -> Tensor:
    """See below."""
    places, last = _places("kaiser", m)
    x = _from_middle(places, last, m)
    inside = elementwise.sqrt(composed.clip(elementwise.subtract(1, elementwise.square(x)), 0, 1))
    width = convert(float_promote(beta)[0], float64)
    value = elementwise.divide(i0(elementwise.multiply(inside, width)), i0(width))
    return convert(value, float32 if dtype is None else dtype_argument(dtype))


kaiser.__doc__ = _WINDOW.format(
    summary="Kaiser's window, of Bessel functions.",
    more="        beta: How narrow it is; 0 gives ones.\n",
    example="kaiser(3, 0.0)\n        Tensor([1., 1., 1.], dtype=float32)",
)
