"""The error function's inverse, and the standard normal distribution."""

from __future__ import annotations

import math

from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.elementwise import erf, erfc
from dlc.frontend.special.formulas import polynomial, unary
from dlc.frontend.tensor import Tensor

# M. Giles, "Approximating the erfinv function", GPU Computing Gems (2011): in w = -log(1 - x^2),
# to single precision; Halley's steps make it exact.
_NEAR = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_FAR = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip
_FARTHEST = 16.0  # w from which the second one is not used


def _inverse_guess(size: Tensor, tail: Tensor) -> Tensor:
    """The inverse of erf at `size`, from 0 to 1, where erfc has the value `tail`."""
    w = elementwise.negative(
        elementwise.log(elementwise.multiply(tail, elementwise.subtract(2, tail)))
    )
    near = polynomial(elementwise.subtract(w, 2.5), _NEAR)
    root = elementwise.sqrt(composed.clip(w, 1.0, _FARTHEST))
    far = polynomial(elementwise.subtract(root, 3), _FAR)
    guess = elementwise.multiply(where(elementwise.less(w, 5), near, far), size)
    # Farther out, erfc(y) is nearly exp(-y^2) / (y sqrt(pi)).
    large = elementwise.maximum(w, _FARTHEST)
    shorter = elementwise.log(elementwise.multiply(math.pi, large))
    distant = elementwise.sqrt(
        elementwise.subtract(
            large, elementwise.multiply(0.5, elementwise.subtract(shorter, 2 * math.log(2)))
        )
    )
    return where(elementwise.greater(w, _FARTHEST), distant, guess)


def _corrected(y: Tensor, excess: Tensor) -> Tensor:
    """One of Halley's steps, where erf(y) is too large by `excess`."""
    slope = elementwise.multiply(
        2 / math.sqrt(math.pi), elementwise.exp(elementwise.negative(elementwise.square(y)))
    )
    u = elementwise.divide(excess, slope)
    return elementwise.subtract(
        y, elementwise.divide(u, elementwise.add(1, elementwise.multiply(u, y)))
    )


def _tail_inverse(tail: Tensor) -> Tensor:
    """The place from 0 on where erfc has a value between 0 and 1."""
    y = _inverse_guess(elementwise.subtract(1, tail), tail)
    for _ in range(2):
        y = _corrected(y, elementwise.subtract(tail, erfc(y)))
    return y


def _inner_inverse(x: Tensor) -> Tensor:
    """The inverse of erf between -0.5 and 0.5."""
    size = elementwise.abs(x)
    y = composed.copysign(_inverse_guess(size, elementwise.subtract(1, size)), x)
    return _corrected(y, elementwise.subtract(erf(y), x))


def _erfinv(x: Tensor) -> Tensor:
    size = elementwise.abs(x)
    ends = elementwise.equal(size, 1)
    # Constants stand in where a branch is not taken, so that its derivative is a number.
    low = elementwise.less(size, 0.5)
    y = _inner_inverse(where(low, x, 0.25))
    inside = elementwise.logical_and(elementwise.logical_not(low), elementwise.less(size, 1))
    outer = _tail_inverse(elementwise.subtract(1, where(inside, size, 0.75)))
    result = where(low, y, composed.copysign(outer, x))
    result = where(ends, composed.copysign(math.inf, x), result)
    return where(
        elementwise.logical_or(low, elementwise.logical_or(inside, ends)), result, math.nan
    )


erfinv = unary(
    "erfinv", "The inverse of the error function: infinite at -1 and 1, NaN beyond.",
    "erfinv(0.5)\n        Tensor(0.476..., dtype=float32)", _erfinv,
)  # fmt: skip

ndtr = unary(
    "ndtr", "The distribution function of the standard normal distribution.",
    "ndtr(0.0)\n        Tensor(0.5, dtype=float32)",
    lambda x: elementwise.multiply(0.5, erfc(elementwise.multiply(x, -math.sqrt(0.5)))),
)  # fmt: skip


def _ndtri(p: Tensor) -> Tensor:
    upper = elementwise.greater(p, 0.5)
    tail = elementwise.multiply(2, where(upper, elementwise.subtract(1, p), p))
    inside = elementwise.logical_and(elementwise.greater(tail, 0), elementwise.less_equal(tail, 1))
    centred = elementwise.subtract(elementwise.multiply(2, p), 1)
    near = elementwise.less(elementwise.abs(centred), 0.5)  # where tails tell little of p
    outer = elementwise.logical_and(inside, elementwise.logical_not(near))
    y = _tail_inverse(where(outer, tail, 0.25))
    y = where(upper, y, elementwise.negative(y))
    y = elementwise.multiply(
        where(near, _inner_inverse(where(near, centred, 0.25)), y), math.sqrt(2)
    )
    ends = where(upper, math.inf, -math.inf)
    return where(elementwise.equal(tail, 0), ends, where(inside, y, math.nan))


ndtri = unary(
    "ndtri", "The inverse of `ndtr`: where the standard normal distribution has a share below.",
    "ndtri(0.975)\n        Tensor(1.95..., dtype=float32)", _ndtri,
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
