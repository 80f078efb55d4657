"""The incomplete beta function: the share of the beta distribution below x.

It is an integral of t^(a-1) (1-t)^(b-1) on one side of x. With t the logistic function of u - v, u
that of x, the integrand falls steadily from 1 on and is smooth, so that a Gauss-Legendre rule up to
where it is exp(-40) is exact to rounding. Where a is small the fall is slow: there x is at most 1/2
or b x small, and the power series of (1-t)^(b-1) is integrated term by term.
"""

from __future__ import annotations

import math

import numpy as np

from dlc.frontend.apply import as_tensor, float_promote
from dlc.frontend.custom import custom_jvp
from dlc.frontend.functions import composed, cumulative, elementwise, reduction
from dlc.frontend.functions.arguments import ArrayLike, match_shapes
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.shape import expand_dims
from dlc.frontend.special.formulas import wide
from dlc.frontend.special.gammas import LARGE, log_beta_of, stirling_rest
from dlc.frontend.tensor import Tensor
from dlc.frontend.transforms import jvp, stop_gradient
from dlc.ir.record import NamedTuple

_FALL = 40.0
_SLOW = 2.0
_NODES = 60
_TERMS = 60
_STEPS = 6


class _Side(NamedTuple):
    """The shape parameters, x and 1 - x; those of the other side have them swapped."""

    a: Tensor
    b: Tensor
    x: Tensor
    y: Tensor


def _series(s: _Side) -> Tensor:
    """a times the integral over x^a, by the power series of the other factor."""
    a, b, x = (expand_dims(t, -1) for t in (s.a, s.b, s.x))
    k = as_tensor(np.arange(1.0, _TERMS))
    ratios = elementwise.multiply(elementwise.divide(elementwise.subtract(k, b), k), x)
    terms = elementwise.divide(cumulative.cumprod(ratios, axis=-1), elementwise.add(a, k))
    more = elementwise.multiply(s.a, reduction.sum(terms, axis=-1))
    return elementwise.add(1, more)


def _exponent(s: _Side, v: Tensor) -> Tensor:
    """By how much the logarithm of the integrand has fallen at v; no large terms cancel."""
    below = elementwise.log1p(elementwise.multiply(s.y, elementwise.expm1(v)))
    above = elementwise.log1p(elementwise.multiply(s.x, elementwise.expm1(elementwise.negative(v))))
    return elementwise.add(elementwise.multiply(s.a, below), elementwise.multiply(s.b, above))


def _length(s: _Side) -> Tensor:
    """From where on the integrand is below exp(-40): by Newton's steps from farther on."""
    total = elementwise.add(s.a, s.b)
    most = elementwise.subtract(_FALL, elementwise.multiply(total, elementwise.log(s.y)))
    length = elementwise.divide(most, s.a)
    for _ in range(_STEPS):
        left = elementwise.subtract(_exponent(s, length), _FALL)
        odds = elementwise.multiply(s.x, elementwise.exp(elementwise.negative(length)))
        rise = elementwise.subtract(elementwise.multiply(s.a, s.y), elementwise.multiply(s.b, odds))
        slope = elementwise.divide(rise, elementwise.add(s.y, odds))
        length = elementwise.subtract(length, elementwise.divide(left, slope))
    return length


def _integral(s: _Side) -> Tensor:
    """The integral over x^a (1-x)^b, by a Gauss-Legendre rule."""
    length = stop_gradient(_length(s))
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    v = elementwise.multiply(expand_dims(length, -1), as_tensor((nodes + 1) / 2))
    fallen = _exponent(_Side(*(expand_dims(t, -1) for t in s)), v)
    heights = elementwise.exp(elementwise.negative(fallen))
    total = reduction.sum(elementwise.multiply(heights, as_tensor(weights / 2)), axis=-1)
    return elementwise.multiply(length, total)


def _fallen(off: Tensor, log: Tensor, shape: Tensor, other: Tensor) -> Tensor:
    """By how much a power has changed, less the linear part, `off` from where the product peaks.

    Args:
        off: The distance, as a share of the place.
        log: The logarithm of what the power is of.
        shape: The exponent.
        other: That of the other factor.
    """
    far = elementwise.less(off, -0.5)  # where 1 + off may be rounded to 0
    whole = elementwise.add(log, elementwise.log1p(elementwise.divide(other, shape)))
    ratio = where(far, whole, elementwise.log1p(where(far, 0, off)))
    return elementwise.multiply(shape, elementwise.subtract(ratio, off))


def _density(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """x^a (1-x)^b / beta(a, b), of x between 0 and 1."""
    log_x, log_y = elementwise.log(x), elementwise.log1p(elementwise.negative(x))
    large = elementwise.greater(elementwise.minimum(a, b), LARGE)
    small_a, small_b = where(large, 1, a), where(large, 1, b)
    log = elementwise.add(
        elementwise.multiply(small_a, log_x), elementwise.multiply(small_b, log_y)
    )
    plain = elementwise.exp(elementwise.subtract(log, log_beta_of(small_a, small_b)))
    # Large powers that nearly cancel: by the distance of x from a / (a + b).
    a, b = where(large, a, 2 * LARGE), where(large, b, 2 * LARGE)
    total = elementwise.add(a, b)
    off = elementwise.subtract(
        elementwise.multiply(b, x), elementwise.multiply(a, elementwise.subtract(1, x))
    )
    fallen = elementwise.add(
        _fallen(elementwise.divide(off, a), log_x, a, b),
        _fallen(elementwise.divide(elementwise.negative(off), b), log_y, b, a),
    )
    rest = elementwise.subtract(
        elementwise.add(stirling_rest(a), stirling_rest(b)), stirling_rest(total)
    )
    spread = elementwise.divide(elementwise.multiply(a, b), elementwise.multiply(total, math.tau))
    scaled = elementwise.exp(elementwise.subtract(fallen, rest))
    return where(large, elementwise.multiply(elementwise.sqrt(spread), scaled), plain)


def _share(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """The share below x, between 0 and 1, of positive a and b."""
    y = elementwise.subtract(1, x)
    both_small = elementwise.less(elementwise.maximum(a, b), _SLOW)
    middle = where(both_small, 0.5, elementwise.divide(a, elementwise.add(a, b)))
    above = elementwise.greater(x, middle)
    side = _Side(where(above, b, a), where(above, a, b), where(above, y, x), where(above, x, y))
    slow = elementwise.less(side.a, _SLOW)
    # Constants stand in where a formula is not taken, so that its derivative is a number.
    by_series = _Side(*(where(slow, t, c) for t, c in zip(side, (1, 1, 0.25, 0.75), strict=True)))
    by_rule = _Side(*(where(slow, c, t) for t, c in zip(side, (4, 4, 0.25, 0.75), strict=True)))
    # 1 - x is rounded, and its power may be a large one.
    log_y = where(above, elementwise.log(x), elementwise.log1p(elementwise.negative(x)))
    log = elementwise.multiply(by_series.b, where(slow, log_y, 0))
    power = elementwise.exp(elementwise.negative(log))
    first = elementwise.divide(elementwise.multiply(_series(by_series), power), by_series.a)
    share = elementwise.multiply(_density(a, b, x), where(slow, first, _integral(by_rule)))
    return where(above, elementwise.subtract(1, share), share)


class _Held(NamedTuple):
    """Arguments of which the share is neither 0 nor 1 nor NaN, and where they are those given.

    known: where the shape parameters are positive numbers.
    inside: where besides that x is between 0 and 1.
    """

    known: Tensor
    inside: Tensor
    a: Tensor
    b: Tensor
    x: Tensor


def _held(a: Tensor, b: Tensor, x: Tensor) -> _Held:
    least, most = elementwise.minimum(a, b), elementwise.maximum(a, b)
    known = elementwise.logical_and(elementwise.greater(least, 0), elementwise.less(most, math.inf))
    between = elementwise.logical_and(elementwise.greater(x, 0), elementwise.less(x, 1))
    inside = elementwise.logical_and(known, between)
    return _Held(known, inside, where(inside, a, 1), where(inside, b, 1), where(inside, x, 0.5))


@custom_jvp
def _below(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    h = _held(a, b, x)
    at_end = elementwise.logical_or(elementwise.equal(x, 0), elementwise.equal(x, 1))
    ends = where(elementwise.logical_and(h.known, at_end), x, math.nan)
    return where(h.inside, _share(h.a, h.b, h.x), ends)


def _moved(
    primals: tuple[Tensor, Tensor, Tensor], tangents: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The share, and by how much it grows."""
    (a, b, x), (da, db, dx) = primals, tangents
    h = _held(a, b, x)
    sides = elementwise.multiply(h.x, elementwise.subtract(1, h.x))
    slope = elementwise.divide(_density(h.a, h.b, h.x), sides)
    ends = elementwise.multiply(
        composed.pow(x, elementwise.subtract(a, 1)),
        composed.pow(elementwise.subtract(1, x), elementwise.subtract(b, 1)),
    )
    ends = elementwise.multiply(ends, elementwise.exp(elementwise.negative(log_beta_of(a, b))))
    along = elementwise.multiply(where(h.inside, slope, ends), dx)
    _, by_shape = jvp(lambda p, q: _share(p, q, h.x), (h.a, h.b), (da, db))
    return _below(a, b, x), elementwise.add(along, where(h.inside, by_shape, 0))


_below.defjvp(_moved)


def betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike, /) -> Tensor:
    """The share of the beta distribution of shapes a and b that lies below x.

    It is the regularized incomplete beta function: the integral of t^(a-1) (1-t)^(b-1) from 0 to x
    over that from 0 to 1.

    Args:
        a: A tensor, array or number above 0, of any shape. Integers are taken as float32.
        b: Another one. The three shapes broadcast and their dtypes are promoted.
        x: Another one, from 0 to 1.

    Returns:
        A tensor of the common shape and of its float dtype; NaN where an argument is not as above,
        or a shape is infinite.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.special.betainc(2.0, 3.0, 0.5)
        Tensor(0.6875, dtype=float32)
    """
    return wide(_below, *match_shapes("betainc", float_promote(a, b, x)))
