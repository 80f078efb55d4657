"""Modified Bessel functions of the first kind."""

from __future__ import annotations

import math
from collections.abc import Callable

from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.composed import where
from dlc.frontend.special.formulas import polynomial, unary
from dlc.frontend.tensor import Tensor

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
        low = polynomial(elementwise.multiply(elementwise.square(small), 0.25), inner)
        low = elementwise.multiply(low, elementwise.multiply(small, 0.5)) if order else low
        large = where(near, _TURN, size)
        high = polynomial(elementwise.divide(1, large), outer)
        scale = elementwise.multiply(elementwise.sqrt(large), math.sqrt(2 * math.pi))
        high = elementwise.divide(high, scale)
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
    unary(
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
