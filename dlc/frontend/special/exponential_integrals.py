"""The exponential integrals Ei and E1.

Near 0, Ei(x) is the logarithm of |x|, Euler's constant and the integral of expm1(x t) / t for t
from 0 to 1. Farther on, E1(x) is exp(-x) times the integral of exp(-x expm1(u)) over positive u.
Both integrands are smooth, so that a Gauss-Legendre rule is exact to rounding; of large x, Ei has
an asymptotic series (Abramowitz and Stegun, 5.1.10, 5.1.4 and 5.1.51).
"""

from __future__ import annotations

import math

import numpy as np

from dlc.frontend.apply import as_tensor
from dlc.frontend.custom import custom_jvp
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.shape import expand_dims
from dlc.frontend.special.formulas import polynomial, unary
from dlc.frontend.tensor import Tensor

_NEAR = 1.0  # of -x
_LARGE = 40.0  # where the smallest term of the asymptotic series is below rounding
_FALL = 40.0
_NODES = 40
_FACTORIALS = tuple(float(math.factorial(k)) for k in range(40))


def _sum_at_nodes(
    integrand: Tensor, weights: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> Tensor:
    return reduction.sum(elementwise.multiply(integrand, as_tensor(weights)), axis=-1)


def _by_logarithm(x: Tensor) -> Tensor:
    """Ei of x from -1 to 40."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    t = (nodes + 1) / 2
    grown = elementwise.expm1(elementwise.multiply(expand_dims(x, -1), as_tensor(t)))
    constant = elementwise.add(elementwise.log(elementwise.abs(x)), np.euler_gamma)
    return elementwise.add(constant, _sum_at_nodes(grown, weights / 2 / t))


def _far_below(x: Tensor) -> Tensor:
    """E1 of x from 1 on."""
    length = elementwise.log1p(elementwise.divide(_FALL, x))
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    u = elementwise.multiply(expand_dims(length, -1), as_tensor((nodes + 1) / 2))
    fallen = elementwise.multiply(expand_dims(x, -1), elementwise.expm1(u))
    total = _sum_at_nodes(elementwise.exp(elementwise.negative(fallen)), weights / 2)
    height = elementwise.exp(elementwise.negative(x))
    return elementwise.multiply(elementwise.multiply(height, length), total)


def _far_above(x: Tensor) -> Tensor:
    """Ei of large x."""
    series = polynomial(elementwise.divide(1, x), _FACTORIALS[::-1])
    # exp(x) / x in two steps: it is finite for some x for which exp(x) is not.
    root = elementwise.exp(elementwise.divide(x, 2))
    return elementwise.multiply(elementwise.multiply(elementwise.divide(root, x), series), root)


@custom_jvp
def _ei(x: Tensor) -> Tensor:
    below, above = elementwise.less(x, -_NEAR), elementwise.greater(x, _LARGE)
    zero, finite = elementwise.equal(x, 0), elementwise.less(elementwise.abs(x), math.inf)
    near = elementwise.logical_not(
        elementwise.logical_or(below, elementwise.logical_or(above, zero))
    )
    falling = elementwise.negative(where(elementwise.logical_and(below, finite), x, -1))
    value = where(
        below, elementwise.negative(_far_below(falling)), _by_logarithm(where(near, x, 1))
    )
    value = where(
        above, _far_above(where(elementwise.logical_and(above, finite), x, _LARGE)), value
    )
    ends = where(zero, -math.inf, where(elementwise.less(x, 0), -0.0, x))
    return where(elementwise.logical_or(zero, elementwise.logical_not(finite)), ends, value)


def _slope(x: Tensor) -> Tensor:
    return elementwise.divide(elementwise.exp(x), x)


_ei.defjvp(lambda p, t: (_ei(*p), elementwise.multiply(_slope(*p), *t)))


def _e1(x: Tensor) -> Tensor:
    """-Ei(-x), which there is for positive x."""
    held = elementwise.negative(where(elementwise.greater_equal(x, 0), x, 1))
    value = elementwise.negative(_ei(held))
    return where(elementwise.less(x, 0), math.nan, where(elementwise.equal(x, x), value, math.nan))


expi = unary(
    "expi", "The exponential integral Ei: of exp(t) / t from minus infinity to x.",
    "expi(1.0)\n        Tensor(1.895..., dtype=float32)", _ei,
)  # fmt: skip
exp1 = unary(
    "exp1", "The exponential integral E1: of exp(-t) / t from x on; NaN below 0.",
    "exp1(1.0)\n        Tensor(0.2193..., dtype=float32)", _e1,
)  # fmt: skip
