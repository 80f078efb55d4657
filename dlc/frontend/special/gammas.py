"""The gamma function, its logarithm and the derivatives of that, and the beta function."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import float_promote
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.arguments import ArrayLike
from dlc.frontend.functions.composed import where
from dlc.frontend.special.formulas import binary, polynomial, unary, wide
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ArgumentError, ValueRangeError

# C. Lanczos (1964), with g = 7 and the nine coefficients of P. Godfrey: within 1e-15.
_LANCZOS = (
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313,
    -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6,
    1.5056327351493116e-7,
)  # fmt: skip


def _of_pi(x: Tensor) -> Tensor:
    """pi times the distance of x from the nearest integer, exactly reduced."""
    return elementwise.multiply(elementwise.subtract(x, composed.round(x)), math.pi)


def _log_gamma(x: Tensor) -> Tensor:
    """Of x from 0.5 on."""
    z = elementwise.subtract(x, 1)
    total = elementwise.add(elementwise.multiply(z, 0), _LANCZOS[0])
    for k, c in enumerate(_LANCZOS[1:], 1):
        total = elementwise.add(total, elementwise.divide(c, elementwise.add(z, k)))
    t = elementwise.add(z, 7.5)
    power = elementwise.multiply(
        elementwise.add(z, 0.5), elementwise.subtract(elementwise.log(t), 1)
    )
    constant = 0.5 * math.log(2 * math.pi) - 7
    return elementwise.add(elementwise.add(power, constant), elementwise.log(total))


def log_gamma_of(x: Tensor) -> Tensor:
    """The logarithm of |gamma(x)|, at float64."""
    low = elementwise.less(x, 0.5)
    finite = elementwise.less(elementwise.abs(x), math.inf)
    held = where(finite, x, 1)
    value = _log_gamma(where(low, elementwise.subtract(1, held), held))
    sine = elementwise.abs(elementwise.sin(_of_pi(where(low, held, 0.25))))
    pole = elementwise.logical_and(low, elementwise.equal(sine, 0))
    mirrored = elementwise.subtract(
        elementwise.subtract(math.log(math.pi), elementwise.log(where(pole, 1, sine))), value
    )
    result = where(pole, math.inf, where(low, mirrored, value))
    return where(finite, result, elementwise.abs(x))


gammaln = unary(
    "gammaln", "The logarithm of the absolute value of the gamma function.",
    "gammaln(5.0)\n        Tensor(3.178..., dtype=float32)", log_gamma_of,
)  # fmt: skip
lgamma = gammaln

# B(2k) / 2k of the asymptotic series of digamma (Abramowitz and Stegun, 6.3.18).
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)


def digamma_of(x: Tensor) -> Tensor:
    """The derivative of `log_gamma_of`."""
    low = elementwise.less(x, 0.5)
    at = where(low, elementwise.subtract(1, x), x)
    shifted: Tensor | float = 0.0
    place = at
    for _ in range(10):
        small = elementwise.less(place, 10)
        shifted = elementwise.add(
            shifted, where(small, elementwise.divide(1, where(small, place, 1)), 0)
        )
        place = where(small, elementwise.add(place, 1), place)
    inverse = elementwise.divide(1, elementwise.square(place))
    series = elementwise.multiply(polynomial(inverse, _DIGAMMA[::-1]), inverse)
    value = elementwise.subtract(elementwise.log(place), elementwise.divide(0.5, place))
    value = elementwise.subtract(elementwise.subtract(value, series), shifted)
    angle = _of_pi(where(low, x, 0.25))
    pole = elementwise.logical_and(low, elementwise.equal(angle, 0))
    cotangent = elementwise.divide(math.pi, elementwise.tan(where(pole, 1, angle)))
    result = where(low, elementwise.subtract(value, cotangent), value)
    return where(
        pole,
        where(
            elementwise.equal(x, 0), composed.copysign(math.inf, elementwise.negative(x)), math.nan
        ),
        result,
    )


digamma = unary(
    "digamma", "The derivative of the logarithm of the gamma function.",
    "digamma(1.0)\n        Tensor(-0.577..., dtype=float32)", digamma_of,
)  # fmt: skip
psi = digamma


def _sign_of_gamma(x: Tensor) -> Tensor:
    """1 or -1: below 0 it turns at each integer."""
    odd = elementwise.not_equal(elementwise.remainder(elementwise.floor(x), 2), 0)
    return where(elementwise.logical_and(elementwise.less(x, 0), odd), -1, 1)


def _gamma(x: Tensor) -> Tensor:
    value = elementwise.multiply(elementwise.exp(log_gamma_of(x)), _sign_of_gamma(x))
    whole = elementwise.equal(x, elementwise.floor(x))
    pole = elementwise.logical_and(elementwise.less(x, 0), whole)
    at_zero = elementwise.equal(x, 0)
    return where(pole, math.nan, where(at_zero, composed.copysign(math.inf, x), value))


gamma = unary(
    "gamma", "The gamma function: the factorial of x - 1; NaN at negative integers.",
    "gamma(5.0)\n        Tensor(24...., dtype=float32)", _gamma,
)  # fmt: skip
factorial = unary(
    "factorial", "The factorial of x, which is gamma(x + 1) between integers; 0 below 0.",
    "factorial(4.0)\n        Tensor(24...., dtype=float32)",
    lambda x: where(
        elementwise.less(x, 0), 0, _gamma(elementwise.add(where(elementwise.less(x, 0), 0, x), 1))
    ),
)  # fmt: skip


# Stirling's series of the logarithm of the gamma function (Abramowitz and Stegun, 6.1.41).
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680)
LARGE = 20.0  # from where on it is exact to rounding


def stirling_rest(x: Tensor) -> Tensor:
    """What Stirling's formula of the logarithm of gamma(x) leaves out, of a large x."""
    inverse = elementwise.divide(1, x)
    series = polynomial(elementwise.square(inverse), _STIRLING[::-1])
    return elementwise.multiply(series, inverse)


def log_beta_of(a: Tensor, b: Tensor) -> Tensor:
    """The logarithm of |beta(a, b)|, at float64.

    Where one is large, and the other is not negative, the terms of Stirling's formula of the large
    one and of the sum that are nearly the same are taken together.
    """
    low, high = elementwise.minimum(a, b), elementwise.maximum(a, b)
    far = elementwise.logical_and(elementwise.greater(high, LARGE), elementwise.greater(low, 0))
    far = elementwise.logical_and(far, elementwise.less(high, math.inf))
    near_low, near_high = where(far, 1, low), where(far, 1, high)
    plain = elementwise.subtract(
        elementwise.add(log_gamma_of(near_low), log_gamma_of(near_high)),
        log_gamma_of(elementwise.add(near_low, near_high)),
    )
    low, high = where(far, low, 1), where(far, high, 2 * LARGE)
    total = elementwise.add(low, high)
    grown = elementwise.add(
        elementwise.multiply(
            elementwise.subtract(high, 0.5), elementwise.log1p(elementwise.divide(low, high))
        ),
        elementwise.multiply(low, elementwise.subtract(elementwise.log(total), 1)),
    )
    rest = elementwise.subtract(stirling_rest(total), stirling_rest(high))
    ratio = elementwise.add(grown, rest)  # of gamma(total) to gamma(high)
    return where(far, elementwise.subtract(log_gamma_of(low), ratio), plain)


betaln = binary(
    "betaln", "The logarithm of the absolute value of the beta function.",
    "betaln(2.0, 3.0)\n        Tensor(-2.48..., dtype=float32)", log_beta_of,
)  # fmt: skip

beta = binary(
    "beta", "The beta function: gamma(x) gamma(y) / gamma(x + y).",
    "beta(2.0, 3.0)\n        Tensor(0.0833..., dtype=float32)",
    lambda a, b: elementwise.multiply(
        elementwise.exp(
            elementwise.subtract(
                elementwise.add(log_gamma_of(a), log_gamma_of(b)),
                log_gamma_of(elementwise.add(a, b)),
            )
        ),
        elementwise.multiply(
            elementwise.multiply(_sign_of_gamma(a), _sign_of_gamma(b)),
            _sign_of_gamma(elementwise.add(a, b)),
        ),
    ),
)  # fmt: skip


def multigammaln(a: ArrayLike, d: int) -> Tensor:
    """The logarithm of the gamma function of matrices with d rows (PyTorch's `mvlgamma`).

    Args:
        a: A tensor, array or number above (d - 1) / 2. Integers and bools are taken as float32.
        d: The number of rows, from 1 on.

    Returns:
        A tensor of a's shape and of its float dtype.

    Raises:
        ValueRangeError: d is no integer from 1 on.

    Example:
        >>> dlc.special.multigammaln(3.0, 2)
        Tensor(1.55..., dtype=float32)
    """
    if not isinstance(d, int) or d < 1:
        raise ValueRangeError(f"multigammaln of {d!r} rows: an integer from 1 on is needed")
    return wide(_multigammaln(d), *float_promote(a))


@functools.lru_cache
def _multigammaln(d: int) -> Callable[[Tensor], Tensor]:
    def build(x: Tensor) -> Tensor:
        total = elementwise.multiply(elementwise.multiply(x, 0), 0)
        for k in range(d):
            total = elementwise.add(total, log_gamma_of(elementwise.subtract(x, k / 2)))
        return elementwise.add(total, d * (d - 1) / 4 * math.log(math.pi))

    return build


_HEAD = 10  # terms of the sum before the Euler-Maclaurin formula takes the rest
# B(2k) / (2k)! of that formula (Abramowitz and Stegun, 23.2.9).
_REST = tuple(
    b / math.factorial(2 * k)
    for k, b in enumerate(
        (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798,
         -174611 / 330, 854513 / 138, -236364091 / 2730), 1
    )
)  # fmt: skip


def _zeta(x: Tensor, q: Tensor) -> Tensor:
    inside = elementwise.logical_and(elementwise.greater(x, 1), elementwise.greater(q, 0))
    s, place = where(inside, x, 2), where(inside, q, 1)
    power = elementwise.negative(s)
    total = elementwise.multiply(s, 0)
    for k in range(_HEAD):
        total = elementwise.add(total, composed.pow(elementwise.add(place, k), power))
    far = elementwise.add(place, _HEAD)
    first = composed.pow(far, power)
    integral = elementwise.divide(elementwise.multiply(far, first), elementwise.subtract(s, 1))
    total = elementwise.add(total, elementwise.add(integral, elementwise.multiply(first, 0.5)))
    factor = elementwise.divide(elementwise.multiply(s, first), far)
    square = elementwise.square(far)
    for k, b in enumerate(_REST):
        total = elementwise.add(total, elementwise.multiply(factor, b))
        grown = elementwise.multiply(elementwise.add(s, 2 * k + 1), elementwise.add(s, 2 * k + 2))
        factor = elementwise.divide(elementwise.multiply(factor, grown), square)
    ends = elementwise.logical_or(
        elementwise.equal(x, 1),
        elementwise.logical_and(
            elementwise.greater(x, 1),
            elementwise.logical_and(
                elementwise.less_equal(q, 0), elementwise.equal(q, elementwise.floor(q))
            ),
        ),
    )
    return where(inside, total, where(ends, math.inf, math.nan))


zeta = binary(
    "zeta", "Hurwitz's zeta function: the sum of (y + k)**-x over k from 0 on, for x > 1, y > 0.",
    "zeta(2.0, 1.0)\n        Tensor(1.644..., dtype=float32)", _zeta,
)  # fmt: skip


def _cotangent_derivative(n: int, c: Tensor) -> Tensor:
    """The n-th derivative of the cotangent, which is a polynomial of the cotangent `c`."""
    held = [0.0, 1.0]  # the lowest power first
    for _ in range(n):
        slope = [k * held[k] for k in range(1, len(held))]
        held = [0.0] * (len(slope) + 2)
        for k, value in enumerate(slope):
            held[k] -= value
            held[k + 2] -= value
    return polynomial(c, held[::-1])


def polygamma(n: int, x: ArrayLike) -> Tensor:
    """The n-th derivative of `digamma`.

    (-1)^(n+1) n! zeta(n + 1, x), and the reflection formula for x below 0 (Abramowitz and Stegun,
    6.4.10 and 6.4.7).

    Args:
        n: An integer from 0 on.
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.

    Returns:
        A tensor of x's shape and of its float dtype; infinite at 0 and at negative integers.

    Raises:
        ArgumentError: n is no integer from 0 on.

    Example:
        >>> dlc.special.polygamma(1, 1.0)
        Tensor(1.644..., dtype=float32)
    """
    order: Any = n
    if not isinstance(order, int) or isinstance(order, bool) or order < 0:
        raise ArgumentError(
            f"polygamma of order {order!r}: the order is a Python integer from 0 on",
            hint="call it once for each order, and stack what it gives",
        )
    return wide(_polygamma_of(order), *float_promote(x))


@functools.lru_cache
def _polygamma_of(n: int) -> Callable[[Tensor], Tensor]:
    return functools.partial(_polygamma, n) if n else digamma_of


def _polygamma(n: int, x: Tensor) -> Tensor:
    scale = float(math.factorial(n)) if n <= 170 else math.inf
    sign = 1.0 if n % 2 else -1.0
    low = elementwise.less_equal(x, 0)
    at = where(low, elementwise.subtract(1, x), x)
    value = elementwise.multiply(_zeta(elementwise.add(elementwise.multiply(at, 0), n + 1), at),
                                 sign * scale)  # fmt: skip
    angle = _of_pi(where(low, x, 0.25))
    pole = elementwise.logical_and(low, elementwise.equal(angle, 0))
    cotangent = elementwise.divide(1, elementwise.tan(where(pole, 1, angle)))
    turned = elementwise.multiply(_cotangent_derivative(n, cotangent), math.pi ** (n + 1))
    mirrored = elementwise.subtract(elementwise.multiply(value, -sign), turned)
    return where(pole, sign * math.inf, where(low, mirrored, value))
