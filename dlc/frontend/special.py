"""Special functions, by SciPy's names.

All are computed at float64 and rounded once to the float dtype of their argument, which integers
and bools do not have: they are taken as float32. Derivatives are those of the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dlc.frontend.apply import convert, float_promote, materialise
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.arguments import ArrayLike, match_shapes
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.elementwise import erf, erfc, named
from dlc.frontend.functions.nn import sigmoid as expit
from dlc.frontend.functions.reduction import log_softmax, logsumexp, softmax
from dlc.frontend.tensor import Tensor
from dlc.ir.types import float64

_DOC = """{summary}

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.
{second}
    Returns:
        A tensor of {shape} and of its float dtype.

    Example:
        >>> dlc.special.{example}
    """
_SECOND = "        y: Another one. Their shapes broadcast and their dtypes are promoted.\n"


def _wide(build: Callable[..., Tensor], *xs: Tensor) -> Tensor:
    held = [materialise(x) for x in xs]
    return convert(build(*(convert(x, float64) for x in held)), held[0].tensor.dtype)


def _unary(
    name: str, summary: str, example: str, build: Callable[[Tensor], Tensor]
) -> Callable[..., Tensor]:
    def function(x: ArrayLike, /) -> Tensor:
        return _wide(build, *float_promote(x))

    doc = _DOC.format(summary=summary, second="", shape="x's shape", example=example)
    return named(function, name, doc)


def _binary(
    name: str, summary: str, example: str, build: Callable[[Tensor, Tensor], Tensor]
) -> Callable[..., Tensor]:
    def function(x: ArrayLike, y: ArrayLike, /) -> Tensor:
        return _wide(build, *match_shapes(name, float_promote(x, y)))

    doc = _DOC.format(summary=summary, second=_SECOND, shape="the common shape", example=example)
    return named(function, name, doc)


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """By Horner's rule, the highest power first."""
    result = elementwise.add(elementwise.multiply(x, 0), coefficients[0])
    for c in coefficients[1:]:
        result = elementwise.add(elementwise.multiply(result, x), c)
    return result


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
_FARTHEST = 30.0  # w from which the second one is not used


def _inverse_guess(size: Tensor, tail: Tensor) -> Tensor:
    """The inverse of erf at `size`, from 0 to 1, where erfc has the value `tail`."""
    w = elementwise.negative(
        elementwise.log(elementwise.multiply(tail, elementwise.subtract(2, tail)))
    )
    near = _polynomial(elementwise.subtract(w, 2.5), _NEAR)
    root = elementwise.sqrt(composed.clip(w, 1.0, _FARTHEST))
    far = _polynomial(elementwise.subtract(root, 3), _FAR)
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
    for _ in range(3):
        y = _corrected(y, elementwise.subtract(tail, erfc(y)))
    return y


def _erfinv(x: Tensor) -> Tensor:
    size = elementwise.abs(x)
    ends = elementwise.equal(size, 1)
    # Constants stand in where a branch is not taken, so that its derivative is a number.
    low = elementwise.less(size, 0.5)
    inner = where(low, x, 0.25)
    y = _inverse_guess(elementwise.abs(inner), elementwise.subtract(1, elementwise.abs(inner)))
    y = composed.copysign(y, inner)
    for _ in range(2):
        y = _corrected(y, elementwise.subtract(erf(y), inner))
    inside = elementwise.logical_and(elementwise.logical_not(low), elementwise.less(size, 1))
    outer = _tail_inverse(elementwise.subtract(1, where(inside, size, 0.75)))
    result = where(low, y, composed.copysign(outer, x))
    result = where(ends, composed.copysign(math.inf, x), result)
    return where(
        elementwise.logical_or(low, elementwise.logical_or(inside, ends)), result, math.nan
    )


erfinv = _unary(
    "erfinv", "The inverse of the error function: infinite at -1 and 1, NaN beyond.",
    "erfinv(0.5)\n        Tensor(0.476..., dtype=float32)", _erfinv,
)  # fmt: skip

ndtr = _unary(
    "ndtr", "The distribution function of the standard normal distribution.",
    "ndtr(0.0)\n        Tensor(0.5, dtype=float32)",
    lambda x: elementwise.multiply(0.5, erfc(elementwise.multiply(x, -math.sqrt(0.5)))),
)  # fmt: skip


def _ndtri(p: Tensor) -> Tensor:
    upper = elementwise.greater(p, 0.5)
    tail = elementwise.multiply(2, where(upper, elementwise.subtract(1, p), p))
    inside = elementwise.logical_and(elementwise.greater(tail, 0), elementwise.less_equal(tail, 1))
    y = elementwise.multiply(_tail_inverse(where(inside, tail, 0.5)), math.sqrt(2))
    y = where(elementwise.equal(tail, 0), math.inf, where(inside, y, math.nan))
    return where(upper, y, elementwise.negative(y))


ndtri = _unary(
    "ndtri", "The inverse of `ndtr`: where the standard normal distribution has a share below.",
    "ndtri(0.975)\n        Tensor(1.95..., dtype=float32)", _ndtri,
)  # fmt: skip

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


def _gammaln(x: Tensor) -> Tensor:
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


gammaln = _unary(
    "gammaln", "The logarithm of the absolute value of the gamma function.",
    "gammaln(5.0)\n        Tensor(3.178..., dtype=float32)", _gammaln,
)  # fmt: skip
lgamma = gammaln

# B(2k) / 2k of the asymptotic series of digamma (Abramowitz and Stegun, 6.3.18).
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)


def _digamma(x: Tensor) -> Tensor:
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
    series = elementwise.multiply(_polynomial(inverse, _DIGAMMA[::-1]), inverse)
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


digamma = _unary(
    "digamma", "The derivative of the logarithm of the gamma function.",
    "digamma(1.0)\n        Tensor(-0.577..., dtype=float32)", _digamma,
)  # fmt: skip
psi = digamma

betaln = _binary(
    "betaln", "The logarithm of the absolute value of the beta function.",
    "betaln(2.0, 3.0)\n        Tensor(-2.48..., dtype=float32)",
    lambda a, b: elementwise.subtract(
        elementwise.add(_gammaln(a), _gammaln(b)), _gammaln(elementwise.add(a, b))
    ),
)  # fmt: skip

logit = _unary(
    "logit", "log(x / (1 - x)), the inverse of `expit`.",
    "logit(0.5)\n        Tensor(0., dtype=float32)",
    lambda x: elementwise.subtract(elementwise.log(x), elementwise.log1p(elementwise.negative(x))),
)  # fmt: skip


def _zero_or(x: Tensor, build: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
    """x * build(y), and 0 where x is 0 and y is a number."""
    zero = elementwise.logical_and(elementwise.equal(x, 0), elementwise.equal(y, y))
    return where(zero, 0, elementwise.multiply(x, build(where(zero, 1, y))))


xlogy = _binary(
    "xlogy", "x log(y), and 0 where x is 0.",
    "xlogy(0.0, 0.0)\n        Tensor(0., dtype=float32)",
    lambda x, y: _zero_or(x, elementwise.log, y),
)  # fmt: skip
xlog1py = _binary(
    "xlog1py", "x log(1 + y), and 0 where x is 0.",
    "xlog1py(0.0, -1.0)\n        Tensor(0., dtype=float32)",
    lambda x, y: _zero_or(x, elementwise.log1p, y),
)  # fmt: skip


def _entr(x: Tensor) -> Tensor:
    positive = elementwise.greater(x, 0)
    value = elementwise.negative(
        _zero_or(where(positive, x, 1), elementwise.log, where(positive, x, 1))
    )
    below = where(elementwise.less(x, 0), -math.inf, x)
    return where(positive, value, where(elementwise.equal(x, 0), 0, below))


entr = _unary(
    "entr", "-x log(x), an outcome's share of entropy; 0 at 0, and -inf below.",
    "entr(1.0)\n        Tensor(-0., dtype=float32)", _entr,
)  # fmt: skip

_TURN = 25.0  # from where the asymptotic series of Bessel functions is exact
_TERMS = 75


def _bessel_series(order: int) -> list[float]:
    """Of I in x^2 / 4 (Abramowitz and Stegun, 9.6.10), the highest power first."""
    return [1 / (math.factorial(k) * math.factorial(k + order)) for k in range(_TERMS)][::-1]


def _bessel_tail(order: int) -> list[float]:
    """Of I exp(-x) sqrt(2 pi x) in 1 / x (Abramowitz and Stegun, 9.7.1), as above."""
    terms, mu = [1.0], 4 * order * order
    for k in range(1, 26):
        terms.append(-terms[-1] * (mu - (2 * k - 1) ** 2) / (8 * k))
    return terms[::-1]


def _bessel(order: int, scaled: bool) -> Callable[[Tensor], Tensor]:
    inner, outer = _bessel_series(order), _bessel_tail(order)

    def build(x: Tensor) -> Tensor:
        size = elementwise.abs(x)
        near = elementwise.less(size, _TURN)
        small = where(near, x, 1)
        low = _polynomial(elementwise.multiply(elementwise.square(small), 0.25), inner)
        low = elementwise.multiply(low, elementwise.multiply(small, 0.5)) if order else low
        large = where(near, _TURN, size)
        high = _polynomial(elementwise.divide(1, large), outer)
        high = elementwise.divide(high, elementwise.sqrt(elementwise.multiply(large, 2 * math.pi)))
        high = composed.copysign(high, x) if order else high
        if scaled:
            low = elementwise.multiply(
                low, elementwise.exp(elementwise.negative(elementwise.abs(small)))
            )
        else:
            # In two steps, as the exponential overflows first.
            root = elementwise.exp(elementwise.multiply(large, 0.5))
            high = elementwise.multiply(elementwise.multiply(high, root), root)
        return where(near, low, high)

    return build


_BESSEL = "The modified Bessel function of the first kind, of order {order}{scaled}."
i0, i0e, i1, i1e = (
    _unary(
        name,
        _BESSEL.format(order=order, scaled=", times exp(-|x|)" if scaled else ""),
        f"{name}(1.0)\n        Tensor({shown}, dtype=float32)",
        _bessel(order, scaled),
    )
    for name, order, scaled, shown in (
        ("i0", 0, False, "1.266..."), ("i0e", 0, True, "0.465..."),
        ("i1", 1, False, "0.565..."), ("i1e", 1, True, "0.207..."),
    )
)  # fmt: skip

__all__ = [
    "betaln", "digamma", "entr", "erf", "erfc", "erfinv", "expit", "gammaln", "i0", "i0e", "i1",
    "i1e", "lgamma", "log_softmax", "logit", "logsumexp", "ndtr", "ndtri", "psi", "softmax",
    "xlog1py", "xlogy",
]  # fmt: skip
