"""The error function's inverse, and the standard normal distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from dlc.frontend.custom import custom_jvp
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.elementwise import erf, erfc
from dlc.frontend.special.formulas import polynomial, unary
from dlc.frontend.tensor import Tensor

# Where the inverse of erf has the value y at x, w = -log(1 - x^2) and s = sqrt(w), y / x is nearly
# a polynomial of w - 2.5 up to w = 5, and y / s one of 1 / s from there on (M. Giles,
# "Approximating the erfinv function", GPU Computing Gems, 2011, has such forms). These go through
# 13 Chebyshev points and err by 1e-10: enough for float32, and for float64 with one of Halley's
# steps.
_NEAR = (
    -2.1203565131819003e-11, 1.2302888973120805e-10, 8.327000821030813e-10, -1.0854397093112376e-08,
    1.3691496015199152e-08, 4.786448243400271e-07, -3.4171152327450104e-06, -4.99588144876006e-06,
    0.00021825064939995, -0.001252708083622281, -0.004177317810140035, 0.24664027678526776,
    1.501409351110792,
)  # fmt: skip
_FAR = (
    9692.65937307949, 1468.863488316702, -1088.7529154105457, -153.68915910921783,
    56.96474386707991, 13.972849016911088, -2.686832390212185, -0.34711996489917885,
    -0.797817078614887, 0.3701740697288352, 0.1588827762601742, -0.18428592610108244,
    0.9490141326294277,
)  # fmt: skip
_FARTHEST = (
    -16758835.83028899, 2175136.7053814377, -58237.95828684748, 9719.246971183054,
    -2908.262584659285, 465.916439109722, -78.07896599125222, 15.531313549584555,
    -4.082797431230511, 1.6129258586125694, -0.3424202978362356, -0.1701358288550027,
    0.9888039234196565,
)  # fmt: skip
_FAR_ENDS, _FARTHEST_ENDS = (math.sqrt(5), 6.0), (6.0, 27.5)  # in s


def _outer(s: Tensor, coefficients: Sequence[float], ends: tuple[float, float]) -> Tensor:
    middle = (1 / ends[0] + 1 / ends[1]) / 2
    place = elementwise.subtract(elementwise.divide(1, s), middle)
    return elementwise.multiply(s, polynomial(place, coefficients))


def _guess(size: Tensor, tail: Tensor) -> Tensor:
    """The inverse of erf at `size`, from 0 to 1, where erfc has the value `tail`, to 1e-10."""
    rest = elementwise.multiply(tail, elementwise.subtract(2, tail))
    w = elementwise.negative(elementwise.log(rest))
    near = elementwise.multiply(size, polynomial(elementwise.subtract(w, 2.5), _NEAR))
    s = elementwise.sqrt(elementwise.maximum(w, 1.0))
    far = _outer(s, _FAR, _FAR_ENDS)
    farther = where(elementwise.less(s, 6.0), far, _outer(s, _FARTHEST, _FARTHEST_ENDS))
    return where(elementwise.less(w, 5.0), near, farther)


def _inverse(size: Tensor, tail: Tensor) -> Tensor:
    """The same to the last places of float64, by one of Halley's steps."""
    y = _guess(size, tail)
    # Each where it tells most of the place.
    inner, outer = elementwise.subtract(erf(y), size), elementwise.subtract(tail, erfc(y))
    excess = where(elementwise.less(size, 0.5), inner, outer)
    slope = elementwise.multiply(
        2 / math.sqrt(math.pi), elementwise.exp(elementwise.negative(elementwise.square(y)))
    )
    u = elementwise.divide(excess, slope)
    step = elementwise.divide(u, elementwise.add(1, elementwise.multiply(u, y)))
    return where(elementwise.equal(tail, 0), y, elementwise.subtract(y, step))


_Inverse = Callable[[Tensor, Tensor], Tensor]


def _erfinv(inverse: _Inverse) -> Callable[[Tensor], Tensor]:
    @custom_jvp
    def function(x: Tensor) -> Tensor:
        size = elementwise.abs(x)
        return composed.copysign(inverse(size, elementwise.subtract(1, size)), x)

    return _with_slope(function, math.sqrt(math.pi) / 2, 1.0)


def _ndtri(inverse: _Inverse) -> Callable[[Tensor], Tensor]:
    @custom_jvp
    def function(p: Tensor) -> Tensor:
        centred = elementwise.subtract(elementwise.multiply(2, p), 1)
        share = elementwise.minimum(p, elementwise.subtract(1, p))
        y = inverse(elementwise.abs(centred), elementwise.multiply(2, share))
        return elementwise.multiply(math.sqrt(2), composed.copysign(y, centred))

    return _with_slope(function, math.sqrt(2 * math.pi), 0.5)


def _with_slope(function: Any, factor: float, rate: float) -> Callable[[Tensor], Tensor]:
    """A function whose derivative is `factor` * exp(`rate` y^2) where it has the value y."""

    def jvp(primals: tuple[Tensor], tangents: tuple[Tensor]) -> tuple[Tensor, Tensor]:
        y = function(*primals)
        power = elementwise.exp(elementwise.multiply(rate, elementwise.square(y)))
        return y, elementwise.multiply(elementwise.multiply(factor, power), tangents[0])

    function.defjvp(jvp)
    return function


erfinv = unary(
    "erfinv", "The inverse of the error function: infinite at -1 and 1, NaN beyond.",
    "erfinv(0.5)\n        Tensor(0.476..., dtype=float32)", _erfinv(_inverse), _erfinv(_guess),
)  # fmt: skip
ndtri = unary(
    "ndtri", "The inverse of `ndtr`: where the standard normal distribution has a share below.",
    "ndtri(0.975)\n        Tensor(1.95..., dtype=float32)", _ndtri(_inverse), _ndtri(_guess),
)  # fmt: skip

ndtr = unary(
    "ndtr", "The distribution function of the standard normal distribution.",
    "ndtr(0.0)\n        Tensor(0.5, dtype=float32)",
    lambda x: elementwise.multiply(0.5, erfc(elementwise.multiply(x, -math.sqrt(0.5)))),
)  # fmt: skip

_STEEP = 25.0  # from where down the asymptotic series of the logarithm is exact


def _log_ndtr(x: Tensor) -> Tensor:
    far = elementwise.less(x, -_STEEP)
    near = where(far, 0, x)
    upper = elementwise.greater(near, 0)
    size = where(upper, near, elementwise.negative(near))  # |x| has no derivative at 0
    half = elementwise.multiply(0.5, erfc(elementwise.multiply(size, math.sqrt(0.5))))
    close = where(
        upper,
        elementwise.log1p(elementwise.negative(where(upper, half, 0))),
        elementwise.log(where(upper, 1, half)),
    )
    # Abramowitz and Stegun, 26.2.12.
    distant = where(far, x, -_STEEP)
    square = elementwise.square(distant)
    terms = [1.0]
    for k in range(1, 9):
        terms.append(-terms[-1] * (2 * k - 1))
    series = polynomial(elementwise.divide(1, square), terms[::-1])
    steep = elementwise.subtract(
        elementwise.multiply(square, -0.5), elementwise.log(elementwise.negative(distant))
    )
    steep = elementwise.add(steep, elementwise.subtract(elementwise.log(series), _LOG_ROOT))
    return where(far, steep, close)


_LOG_ROOT = 0.5 * math.log(2 * math.pi)
log_ndtr = unary(
    "log_ndtr", "The logarithm of `ndtr`, which does not underflow.",
    "log_ndtr(-40.0)\n        Tensor(-804.6..., dtype=float32)", _log_ndtr,
)  # fmt: skip

_SCALED = 4.0  # from where the continued fraction is exact


def _erfcx(x: Tensor) -> Tensor:
    near = elementwise.less(x, _SCALED)
    held = where(near, x, 0.0)
    low = elementwise.multiply(elementwise.exp(elementwise.square(held)), erfc(held))
    # Laplace's fraction (Abramowitz and Stegun, 7.1.14).
    far = where(near, _SCALED, x)
    fraction = far
    for k in range(20, 0, -1):
        fraction = elementwise.add(far, elementwise.divide(k / 2, fraction))
    return where(near, low, elementwise.divide(1 / math.sqrt(math.pi), fraction))


erfcx = unary(
    "erfcx", "exp(x^2) erfc(x), which does not underflow.",
    "erfcx(100.0)\n        Tensor(0.0056..., dtype=float32)", _erfcx,
)  # fmt: skip
