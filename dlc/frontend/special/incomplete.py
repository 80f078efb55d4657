"""The incomplete gamma functions, and how gamma numbers move with their shape parameter.

Both are integrals of t^(a-1) exp(-t) on one side of x. With t = x exp(u) the integrand falls
steadily from 1 on, and is smooth, so that a Gauss-Legendre rule up to where it is exp(-40) is
exact to rounding: below x for x <= a, above it otherwise. Where a < 1 and x is small the fall is
slow: there the part that is a power is integrated by hand.
"""

from __future__ import annotations

import math

import numpy as np

from dlc.frontend.apply import as_tensor
from dlc.frontend.custom import custom_jvp
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.shape import expand_dims
from dlc.frontend.special.formulas import binary
from dlc.frontend.special.gammas import LARGE, digamma_of, log_gamma_of, stirling_rest
from dlc.frontend.tensor import Tensor
from dlc.frontend.transforms import stop_gradient
from dlc.ir.record import NamedTuple

_FALL = 40.0
_SMALL = 2.0
_NODES = 40


class _Integral(NamedTuple):
    """Both integrals, whether they are above x, and what is integrated by hand."""

    plain: Tensor
    weighed: Tensor
    above: Tensor
    extra: Tensor


def _length(a: Tensor, x: Tensor, above: Tensor) -> Tensor:
    """From where on, in |u|, the integrand is below exp(-40): by Newton's steps from farther on."""
    linear = elementwise.divide(elementwise.add(x, _FALL), a)
    quadratic = elementwise.sqrt(elementwise.divide(3 * _FALL, elementwise.maximum(x, 1)))
    below = where(elementwise.less_equal(quadratic, 1), quadratic, linear)
    exponential = elementwise.maximum(elementwise.log(elementwise.divide(4 * _FALL, x)), 1)
    quadratic = elementwise.sqrt(elementwise.divide(2 * _FALL, x))
    length = where(
        above, elementwise.minimum(quadratic, exponential), elementwise.minimum(below, linear)
    )
    side = where(above, 1.0, -1.0)
    for _ in range(4):
        u = elementwise.multiply(side, length)
        left = elementwise.add(_exponent(a, x, u), _FALL)
        slope = elementwise.subtract(a, elementwise.multiply(x, elementwise.exp(u)))
        slope = elementwise.multiply(side, slope)
        step = elementwise.divide(left, where(elementwise.equal(slope, 0), 1, slope))
        length = elementwise.subtract(length, step)
    return length


def _exponent(a: Tensor, x: Tensor, u: Tensor) -> Tensor:
    return elementwise.subtract(
        elementwise.multiply(a, u), elementwise.multiply(x, elementwise.expm1(u))
    )


def _integral(a: Tensor, x: Tensor, log_x: Tensor) -> _Integral:
    """Of t^a exp(x-t) x^-a / t, and of that times log(t) - digamma(a), on the smaller side of x."""
    slow = elementwise.logical_and(elementwise.less(a, 1), elementwise.less_equal(x, _SMALL))
    above = elementwise.logical_and(elementwise.greater(x, a), elementwise.logical_not(slow))
    # Constants stand in where a formula is not taken, so that its derivative is a number.
    fast_a, fast_x = where(slow, 1, a), where(slow, 1, x)
    slow_a, slow_x = where(slow, a, 0.5), where(slow, x, 0)
    steady = elementwise.divide(_FALL, elementwise.add(slow_a, 1))
    length = stop_gradient(where(slow, steady, _length(fast_a, fast_x, above)))
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    ends = elementwise.multiply(where(above, 0.5, -0.5), length)
    u = elementwise.multiply(expand_dims(ends, -1), as_tensor(nodes + 1))
    a1, x1, a2, x2, log_x1 = (expand_dims(t, -1) for t in (fast_a, fast_x, slow_a, slow_x, log_x))
    # exp(-x exp(u)) - 1 falls one power faster than exp(-x exp(u)).
    faster = elementwise.expm1(elementwise.negative(elementwise.multiply(x2, elementwise.exp(u))))
    power = elementwise.exp(elementwise.add(elementwise.multiply(a2, u), x2))
    integrand = where(
        expand_dims(slow, -1),
        elementwise.multiply(power, faster),
        elementwise.exp(_exponent(a1, x1, u)),
    )
    integrand = elementwise.multiply(integrand, as_tensor(weights / 2))
    log_t = elementwise.add(log_x1, u)
    weighed = elementwise.multiply(
        integrand, elementwise.subtract(log_t, expand_dims(digamma_of(a), -1))
    )
    extra = where(slow, elementwise.divide(elementwise.exp(slow_x), slow_a), 0)
    return _Integral(
        elementwise.multiply(length, reduction.sum(integrand, axis=-1)),
        elementwise.multiply(length, reduction.sum(weighed, axis=-1)),
        above,
        extra,
    )


def log_gamma_slope(a: Tensor, log_x: Tensor) -> Tensor:
    """By how much the logarithm of a gamma number moves with the shape parameter `a`, at float64.

    The implicit derivative (Figurnov et al., "Implicit reparameterization gradients", 2018): what
    keeps the share of the distribution below x as it is.
    """
    found = _integral(a, elementwise.exp(log_x), log_x)
    inner = elementwise.subtract(log_x, digamma_of(elementwise.add(a, 1)))
    rest = where(elementwise.equal(found.extra, 0), 0, elementwise.multiply(found.extra, inner))
    lower = elementwise.negative(elementwise.add(found.weighed, rest))
    return where(found.above, found.weighed, lower)


def _density(a: Tensor, x: Tensor) -> Tensor:
    """x^a exp(-x) / gamma(a)."""
    large = elementwise.greater(a, LARGE)
    small_a = where(large, 1, a)
    log = elementwise.log(x)
    plain = elementwise.subtract(elementwise.multiply(small_a, log), x)
    plain = elementwise.exp(elementwise.subtract(plain, log_gamma_of(small_a)))
    # Large powers of nearly the same size: by the distance of x from a.
    large_a = where(large, a, 1)
    ratio = elementwise.divide(elementwise.subtract(x, large_a), large_a)
    off = elementwise.subtract(elementwise.log1p(ratio), ratio)
    scaled = elementwise.subtract(elementwise.multiply(large_a, off), stirling_rest(large_a))
    root = elementwise.sqrt(elementwise.multiply(large_a, 1 / (2 * math.pi)))
    return where(large, elementwise.multiply(root, elementwise.exp(scaled)), plain)


def _shares(a: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The shares of the gamma distribution below and above x."""
    inside = elementwise.logical_and(
        elementwise.logical_and(elementwise.greater(a, 0), elementwise.greater(x, 0)),
        elementwise.less(elementwise.maximum(a, x), math.inf),
    )
    held_a, held_x = where(inside, a, 1), where(inside, x, 1)
    found = _integral(held_a, held_x, elementwise.log(held_x))
    density = _density(held_a, held_x)
    share = elementwise.multiply(density, elementwise.add(found.plain, found.extra))
    other = elementwise.subtract(1, share)
    below, above = where(found.above, other, share), where(found.above, share, other)
    return _at_ends(a, x, inside, below, False), _at_ends(a, x, inside, above, True)


def _at_ends(a: Tensor, x: Tensor, inside: Tensor, value: Tensor, upper: bool) -> Tensor:
    """The share with what it is where a or x is 0 or infinite; NaN below 0."""
    unknown = elementwise.logical_or(
        elementwise.logical_not(elementwise.greater_equal(elementwise.minimum(a, x), 0)),
        elementwise.equal(elementwise.maximum(a, 0), elementwise.maximum(x, 0)),
    )
    full = elementwise.less(a, x)  # all of it lies below x
    ends = where(full, 0.0 if upper else 1.0, 1.0 if upper else 0.0)
    return where(inside, value, where(unknown, math.nan, ends))


@custom_jvp
def _lower(a: Tensor, x: Tensor) -> Tensor:
    return _shares(a, x)[0]


@custom_jvp
def _upper(a: Tensor, x: Tensor) -> Tensor:
    return _shares(a, x)[1]


def _moved(primals: tuple[Tensor, Tensor], tangents: tuple[Tensor, Tensor]) -> Tensor:
    """By how much the share below x grows."""
    (a, x), (da, dx) = primals, tangents
    density = _density(a, x)
    along = elementwise.multiply(elementwise.divide(density, x), dx)
    slope = elementwise.multiply(density, log_gamma_slope(a, elementwise.log(x)))
    return elementwise.subtract(along, elementwise.multiply(slope, da))


_lower.defjvp(lambda p, t: (_lower(*p), _moved(p, t)))
_upper.defjvp(lambda p, t: (_upper(*p), elementwise.negative(_moved(p, t))))

gammainc = binary(
    "gammainc", "The share of the gamma distribution of shape x that lies below y.",
    "gammainc(1.0, 2.0)\n        Tensor(0.8646..., dtype=float32)", _lower,
)  # fmt: skip
gammaincc = binary(
    "gammaincc", "The share of the gamma distribution of shape x that lies above y.",
    "gammaincc(1.0, 2.0)\n        Tensor(0.1353..., dtype=float32)", _upper,
)  # fmt: skip
