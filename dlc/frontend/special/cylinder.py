"""Bessel functions: J and Y, the modified K, and Airy's Ai.

Near 0 by series, at middle places by the trapezoidal rule for integrals that represent them, which
converges exponentially (Trefethen and Weideman, "The exponentially convergent trapezoidal rule",
2014), and far out by asymptotic series. References are to Abramowitz and Stegun.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence

from dlc.frontend.functions import elementwise
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.numeric import sinc
from dlc.frontend.special.bessel import i0, i1
from dlc.frontend.special.formulas import polynomial, unary
from dlc.frontend.tensor import Tensor

_EULER = 0.5772156649015329
_TURN = 25.0  # from where asymptotic series are exact
_POINTS = 32  # of a quarter of a circle
_ORDERS = 28  # of the series of Y in J


def _by_range(
    x: Tensor, turn: float, low: Callable[[Tensor], Tensor], high: Callable[[Tensor], Tensor]
) -> Tensor:
    """One function below a place and another from there on."""
    near = elementwise.less(x, turn)
    return where(near, low(where(near, x, 1.0)), high(where(near, turn, x)))


def _summed(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


# (sine of an angle, its weight in a mean over the circle) for a quarter of a circle.
_ANGLES = [math.pi / 2 * k / _POINTS for k in range(_POINTS + 1)]
_WEIGHTS = [(0.5 if k in (0, _POINTS) else 1.0) / _POINTS for k in range(_POINTS + 1)]


def _mean(order: int, x: Tensor, kernel: Sequence[float]) -> Tensor:
    """The mean over angles t of kernel(t) times cos(x sin t), or the sine for the order 1."""
    wave = elementwise.sin if order else elementwise.cos
    return _summed(
        [wave(x * math.sin(t)) * (w * k) for t, w, k in zip(_ANGLES, _WEIGHTS, kernel, strict=True)]
    )


def _inner_j(order: int) -> Callable[[Tensor], Tensor]:
    """J by 9.1.18 and 9.1.21."""
    kernel = [math.sin(t) if order else 1.0 for t in _ANGLES]
    return lambda x: _mean(order, x, kernel)


def _inner_y(order: int) -> Callable[[Tensor], Tensor]:
    """Y by 9.1.88, whose series in J of higher orders is one mean."""
    terms = range(1, _ORDERS)
    if order:
        kernel = [
            sum((-1) ** k * (2 * k + 1) / (k * (k + 1)) * math.sin((2 * k + 1) * t) for k in terms)
            for t in _ANGLES
        ]
    else:
        kernel = [sum((-1) ** k * 2 / k * math.cos(2 * k * t) for k in terms) for t in _ANGLES]

    def build(x: Tensor) -> Tensor:
        factor = elementwise.log(x * 0.5) + (_EULER - order)
        value = (factor * _inner_j(order)(x) - _mean(order, x, kernel)) * (2 / math.pi)
        return value - _inner_j(0)(x) * (2 / math.pi) / x if order else value

    return build


def _tail(order: float) -> list[float]:
    """The coefficients of asymptotic series in 1 / x (9.2.9, 9.7.2)."""
    terms, mu = [1.0], 4 * order * order
    for k in range(1, 26):
        terms.append(terms[-1] * (mu - (2 * k - 1) ** 2) / (8 * k))
    return terms


def _outer(order: int, second: bool) -> Callable[[Tensor], Tensor]:
    """J or Y by Hankel's expansion (9.2.5, 9.2.6)."""
    terms = _tail(order)
    even = [t * (-1) ** k for k, t in enumerate(terms[0::2])][::-1]
    odd = [t * (-1) ** k for k, t in enumerate(terms[1::2])][::-1]

    def build(x: Tensor) -> Tensor:
        finite = elementwise.less(x, math.inf)
        x = where(finite, x, _TURN)
        inverse = 1.0 / x
        p = polynomial(inverse * inverse, even)
        q = polynomial(inverse * inverse, odd) * inverse
        c, s = elementwise.cos(x), elementwise.sin(x)
        # Of the angle x - pi / 4 - order pi / 2, times the root of 2.
        cosine, sine = (s - c, -(s + c)) if order else (c + s, s - c)
        wave = p * sine + q * cosine if second else p * cosine - q * sine
        return where(finite, wave / elementwise.sqrt(x * math.pi), 0.0)

    return build


def _first_kind(order: int) -> Callable[[Tensor], Tensor]:
    def build(x: Tensor) -> Tensor:
        below = elementwise.less(x, 0)
        size = where(below, -x, x)  # |x| has no derivative at 0
        value = _by_range(size, _TURN, _inner_j(order), _outer(order, False))
        value = where(below, -value, value) if order else value
        return where(elementwise.not_equal(x, x), x, value)

    return build


def _positive(function: Callable[[Tensor], Tensor], at_zero: float) -> Callable[[Tensor], Tensor]:
    """A function of positive numbers: NaN below 0."""

    def build(x: Tensor) -> Tensor:
        inside = elementwise.greater(x, 0)
        ends = where(elementwise.equal(x, 0), at_zero, math.nan)
        return where(inside, function(where(inside, x, 1.0)), ends)

    return build


def _second_kind(order: int) -> Callable[[Tensor], Tensor]:
    return _positive(lambda x: _by_range(x, _TURN, _inner_y(order), _outer(order, True)), -math.inf)


_STEP = 0.14
_PLACES = [k * _STEP for k in range(28)]


def _lengths(places: Sequence[float], weight: Callable[[float], complex]) -> list[complex]:
    """Weights of the trapezoidal rule from 0 on, times others."""
    return [places[1] * (weight(a) if a else weight(a) / 2) for a in places]


def _middle_k(order: int) -> Callable[[Tensor], Tensor]:
    """K exp(x) by 9.6.24."""
    weights = [w.real for w in _lengths(_PLACES, lambda a: math.cosh(order * a))]
    return lambda x: _summed(
        [elementwise.exp(x * (1 - math.cosh(a))) * w for a, w in zip(_PLACES, weights, strict=True)]
    )


def _near_k(order: int) -> Callable[[Tensor], Tensor]:
    """K exp(x) by 9.6.11."""
    harmonic = [sum(1 / i for i in range(1, k + 1)) for k in range(22)]
    if order:
        terms = [
            (harmonic[k] + harmonic[k + 1] - 2 * _EULER)
            / (math.factorial(k) * math.factorial(k + 1))
            for k in range(20)
        ]
    else:
        terms = [harmonic[k] / math.factorial(k) ** 2 for k in range(20)]

    def build(x: Tensor) -> Tensor:
        series = polynomial(x * x * 0.25, terms[::-1])
        if order:
            value = 1.0 / x + elementwise.log(x * 0.5) * i1(x) - series * x * 0.25
        else:
            value = series - (elementwise.log(x * 0.5) + _EULER) * i0(x)
        return value * elementwise.exp(x)

    return build


def _far_k(order: int) -> Callable[[Tensor], Tensor]:
    """K exp(x) by 9.7.2."""
    terms = _tail(order)[::-1]
    return lambda x: polynomial(1.0 / x, terms) * elementwise.sqrt(math.pi / 2 / x)


def _third_kind(order: int, scaled: bool) -> Callable[[Tensor], Tensor]:
    def build(x: Tensor) -> Tensor:
        value = _by_range(
            x, 2.0, _near_k(order),
            lambda x: _by_range(x, _TURN, _middle_k(order), _far_k(order)),
        )  # fmt: skip
        return value if scaled else value * elementwise.exp(-x)

    return _positive(build, math.inf)


_BESSEL = "The Bessel function {letter} of order {order}{scaled}."
j0, j1, y0, y1, k0, k1, k0e, k1e = (
    unary(
        name,
        _BESSEL.format(letter=name[0].upper(), order=name[1],
                       scaled=", times exp(x)" if name.endswith("e") else ""),
        f"{name}(1.0)\n        Tensor({shown}, dtype=float32)",
        build,
    )
    for name, build, shown in (
        ("j0", _first_kind(0), "0.765..."), ("j1", _first_kind(1), "0.440..."),
        ("y0", _second_kind(0), "0.088..."), ("y1", _second_kind(1), "-0.781..."),
        ("k0", _third_kind(0, False), "0.421..."), ("k1", _third_kind(1, False), "0.601..."),
        ("k0e", _third_kind(0, True), "1.144..."), ("k1e", _third_kind(1, True), "1.636..."),
    )
)  # fmt: skip


# Airy's function, which is K of the order 1/3 (10.4.14, 10.4.26). Left of 0 its argument is
# imaginary: the path of steepest descent is a + i gd(a), along which the exponent is real.
_THIRD = 1 / 3
_AIRY_TAIL = _tail(_THIRD)


def _descent(a: float) -> complex:
    place = complex(a, 2 * math.atan(math.tanh(a / 2)))
    return cmath.cosh(place * _THIRD) * complex(1, 1 / math.cosh(a))


_FINE = [k * _STEP / 2 for k in range(56)]
_RIGHT = [w.real for w in _lengths(_PLACES, lambda a: math.cosh(a * _THIRD))]
_LEFT = _lengths(_FINE, _descent)


def _airy_series(x: Tensor) -> Tensor:
    """By 10.4.2, between -2 and 2."""
    first, second = [1.0], [1.0]
    for k in range(1, 16):
        first.append(first[-1] / ((3 * k - 1) * 3 * k))
        second.append(second[-1] / (3 * k * (3 * k + 1)))
    cube = x * x * x
    at_zero = 3 ** (-2 / 3) / math.gamma(2 / 3)
    slope = 3 ** (-1 / 3) / math.gamma(1 / 3)
    return polynomial(cube, first[::-1]) * at_zero - polynomial(cube, second[::-1]) * x * slope


def _airy_size(x: Tensor, places: Sequence[float], weights: Sequence[float]) -> Tensor:
    """The integral with exponents of the places."""
    return _summed([elementwise.exp(x * -p) * w for p, w in zip(places, weights, strict=True)])


def _airy_right(z: Tensor) -> Tensor:
    """K exp(z) of the order 1/3."""
    places = [math.cosh(a) - 1 for a in _PLACES]

    def far(z: Tensor) -> Tensor:
        return polynomial(1.0 / z, _AIRY_TAIL[::-1]) * elementwise.sqrt(math.pi / 2 / z)

    return _by_range(z, _TURN, lambda z: _airy_size(z, places, _RIGHT), far)


def _airy_left(z: Tensor) -> Tensor:
    """The imaginary part of K of the order 1/3 at -z i."""
    places = [math.sinh(a) * math.tanh(a) for a in _FINE]
    c, s = elementwise.cos(z), elementwise.sin(z)
    even = [t * (-1) ** k for k, t in enumerate(_AIRY_TAIL[0::2])][::-1]
    odd = [t * (-1) ** k for k, t in enumerate(_AIRY_TAIL[1::2])][::-1]

    def near(z: Tensor) -> Tensor:
        real = _airy_size(z, places, [w.real for w in _LEFT])
        return c * _airy_size(z, places, [w.imag for w in _LEFT]) + s * real

    def far(z: Tensor) -> Tensor:
        inverse = 1.0 / z
        square = inverse * inverse
        p, q = polynomial(square, even), polynomial(square, odd) * inverse
        return ((c + s) * p - (s - c) * q) * elementwise.sqrt(math.pi / 4 / z)

    return _by_range(z, _TURN, near, far)


def _airy(x: Tensor) -> Tensor:
    size = elementwise.abs(x)
    middle = elementwise.less(size, 2.0)
    finite = elementwise.less(size, math.inf)
    held = where(elementwise.logical_and(finite, elementwise.logical_not(middle)), size, 2.0)
    root = elementwise.sqrt(held)
    argument = held * root * (2 / 3)
    right = _airy_right(argument) * elementwise.exp(-argument)
    outer = where(elementwise.greater(x, 0), right, _airy_left(argument) * 2.0)
    outer = where(finite, outer * root * (1 / (math.pi * math.sqrt(3))), 0.0)
    value = where(middle, _airy_series(where(middle, x, 0.0)), outer)
    return where(elementwise.not_equal(x, x), x, value)


airy_ai = unary(
    "airy_ai", "Airy's function Ai, the first of what `scipy.special.airy` gives.",
    "airy_ai(0.0)\n        Tensor(0.355..., dtype=float32)", _airy,
)  # fmt: skip


def _spherical(x: Tensor) -> Tensor:
    finite = elementwise.less(elementwise.abs(x), math.inf)
    value = sinc(where(finite, x, 1.0) * (1 / math.pi))
    return where(finite, value, where(elementwise.equal(x, x), 0.0, x))


spherical_j0 = unary(
    "spherical_j0", "The spherical Bessel function of order 0: sin(x) / x, and 1 at 0.",
    "spherical_j0(0.0)\n        Tensor(1., dtype=float32)", _spherical,
)  # fmt: skip
