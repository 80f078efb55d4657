"""The error function's inverse, and the standard normal distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dlc.frontend.custom import custom_jvp
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.elementwise import erfc
from dlc.frontend.special.formulas import polynomial, unary
from dlc.frontend.special.quantiles import quantile, share_below
from dlc.frontend.tensor import Tensor


def _with_slope(function: Any, factor: float, rate: float) -> Callable[[Tensor], Tensor]:
    """A function whose derivative is `factor` * exp(`rate` y^2) where it has the value y."""
    made = custom_jvp(function)

    def jvp(primals: tuple[Tensor], tangents: tuple[Tensor]) -> tuple[Tensor, Tensor]:
        y = made(*primals)
        power = elementwise.exp(elementwise.multiply(rate, elementwise.square(y)))
        return y, elementwise.multiply(elementwise.multiply(factor, power), tangents[0])

    made.defjvp(jvp)
    return made


def _quantile(q: Tensor, least: Tensor) -> Tensor:
    """The same with its ends, where nothing is left."""
    ends = composed.copysign(math.inf, q)
    return where(elementwise.equal(least, 0), ends, quantile(q, least))


def _erfinv(x: Tensor) -> Tensor:
    rest = elementwise.multiply(0.5, elementwise.subtract(1, elementwise.abs(x)))
    return elementwise.multiply(_quantile(elementwise.multiply(0.5, x), rest), math.sqrt(0.5))


def _ndtri(p: Tensor) -> Tensor:
    least = elementwise.minimum(p, elementwise.subtract(1, p))
    return _quantile(elementwise.subtract(p, 0.5), least)


erfinv = unary(
    "erfinv", "The inverse of the error function: infinite at -1 and 1, NaN beyond.",
    "erfinv(0.5)\n        Tensor(0.476..., dtype=float32)",
    _with_slope(_erfinv, math.sqrt(math.pi) / 2, 1.0),
)  # fmt: skip
ndtri = unary(
    "ndtri", "The inverse of `ndtr`: where the standard normal distribution has a share below.",
    "ndtri(0.975)\n        Tensor(1.95..., dtype=float32)",
    _with_slope(_ndtri, math.sqrt(2 * math.pi), 0.5),
)  # fmt: skip

ndtr = unary(
    "ndtr", "The distribution function of the standard normal distribution.",
    "ndtr(0.0)\n        Tensor(0.5, dtype=float32)",
    share_below,
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
