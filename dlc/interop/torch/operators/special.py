"""Special functions, and families of orthogonal polynomials."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import dlc
from dlc.interop.torch.operators.elements import as_float
from dlc.interop.torch.table import aten

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "i0": dlc.special.i0, "special_i0e": dlc.special.i0e, "special_i1": dlc.special.i1,
    "special_i1e": dlc.special.i1e, "special_ndtri": dlc.special.ndtri,
    "special_erfcx": dlc.special.erfcx, "special_log_ndtr": dlc.special.log_ndtr,
    "special_airy_ai": dlc.special.airy_ai, "special_bessel_j0": dlc.special.j0,
    "special_bessel_j1": dlc.special.j1, "special_bessel_y0": dlc.special.y0,
    "special_bessel_y1": dlc.special.y1, "special_modified_bessel_i0": dlc.special.i0,
    "special_modified_bessel_i1": dlc.special.i1, "special_modified_bessel_k0": dlc.special.k0,
    "special_modified_bessel_k1": dlc.special.k1,
    "special_scaled_modified_bessel_k0": dlc.special.k0e,
    "special_scaled_modified_bessel_k1": dlc.special.k1e,
    "special_spherical_bessel_j0": dlc.special.spherical_j0,
}  # fmt: skip


def _of_float(function: Callable[[Any], Any], x: Any) -> Any:
    return function(as_float(x))


for _name, _function in _FUNCTIONS.items():
    aten(_name)(functools.partial(_of_float, _function))


@aten("polygamma")
def polygamma(n: int, x: Any) -> Any:
    """A derivative of digamma."""
    return dlc.polygamma(n, as_float(x))


@aten("special_zeta")
def zeta(x: Any, q: Any) -> Any:
    """Hurwitz's zeta function."""
    return dlc.special.zeta(as_float(x), as_float(q))


# From x, an order k and the polynomials of the orders k and k - 1 to that of the order k + 1.
Step = Callable[[Any, Any, tuple[Any, Any]], Any]


def _by_recurrence(x: Any, n: Any, first: Any, step: Step) -> Any:
    """The polynomial of each order, 0 for negative ones: all orders up to the largest in turn."""
    x, n = dlc.broadcast_arrays(as_float(x), n)
    order = dlc.astype(dlc.trunc(n) if dlc.isdtype(n.dtype, "real floating") else n, dlc.int64)
    one = dlc.ones_like(x)
    first = first(x)

    def body(k: Any, held: tuple[Any, Any]) -> tuple[Any, Any]:
        last, before = held
        following = step(x, dlc.astype(k, x.dtype), held)
        wanted = k < order
        return dlc.where(wanted, following, last), dlc.where(wanted, last, before)

    top = dlc.max(order) if order.size else 0
    last, _ = dlc.fori_loop(1, dlc.maximum(top, 1), body, (first, one))
    value = dlc.where(order == 0, one, last)
    return dlc.where(order < 0, 0, value)


def _chebyshev(x: Any, _k: Any, held: tuple[Any, Any]) -> Any:
    return 2 * x * held[0] - held[1]


def _trigonometric(x: Any, n: Any, first: Any, steep: int, closed: Any) -> Any:
    """Chebyshev's polynomials, of high orders between -1 and 1 by their formula in the angle."""
    x, n = dlc.broadcast_arrays(as_float(x), as_float(n))
    order = dlc.trunc(n)
    inside = dlc.logical_and(dlc.abs(x) < 1, order > steep)
    low = _by_recurrence(x, dlc.where(inside, 0, n), first, _chebyshev)
    angle = dlc.acos(dlc.where(inside, x, 0))
    return dlc.where(inside, closed(angle, order), low)


# Of each: the polynomial of order 1, from which order the formula is used, and it.
_CHEBYSHEV: dict[str, tuple[Any, int, Any]] = {
    "t": (lambda x: x, 6, lambda a, n: dlc.cos(n * a)),
    "u": (lambda x: 2 * x, 8, lambda a, n: dlc.sin((n + 1) * a) / dlc.sin(a)),
    "v": (lambda x: 2 * x - 1, 8, lambda a, n: dlc.cos((n + 0.5) * a) / dlc.cos(a / 2)),
    "w": (lambda x: 2 * x + 1, 8, lambda a, n: dlc.sin((n + 0.5) * a) / dlc.sin(a / 2)),
}


def _shifted(kind: str, x: Any, n: Any) -> Any:
    return _trigonometric(2 * as_float(x) - 1, n, *_CHEBYSHEV[kind])


def _plain(kind: str, x: Any, n: Any) -> Any:
    return _trigonometric(x, n, *_CHEBYSHEV[kind])


for _kind in _CHEBYSHEV:
    aten(f"special_chebyshev_polynomial_{_kind}")(functools.partial(_plain, _kind))
    aten(f"special_shifted_chebyshev_polynomial_{_kind}")(functools.partial(_shifted, _kind))

# Of each: the polynomial of order 1, and that of order k + 1 from those of k and k - 1.
_OTHERS: dict[str, tuple[Any, Any]] = {
    "hermite_polynomial_h": (
        lambda x: 2 * x, lambda x, k, held: 2 * x * held[0] - 2 * k * held[1]
    ),
    "hermite_polynomial_he": (lambda x: x, lambda x, k, held: x * held[0] - k * held[1]),
    "laguerre_polynomial_l": (
        lambda x: 1 - x,
        lambda x, k, held: ((2 * k + (1 - x)) * held[0] - k * held[1]) / (k + 1),
    ),
    "legendre_polynomial_p": (
        lambda x: x, lambda x, k, held: ((2 * k + 1) * x * held[0] - k * held[1]) / (k + 1)
    ),
}  # fmt: skip


def _other(kind: str, x: Any, n: Any) -> Any:
    return _by_recurrence(x, n, *_OTHERS[kind])


for _kind in _OTHERS:
    aten(f"special_{_kind}")(functools.partial(_other, _kind))
