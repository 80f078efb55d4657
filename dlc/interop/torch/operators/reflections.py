"""Operators of triangular systems and of products of reflections."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.interop.torch.operators.arguments import stacked
from dlc.interop.torch.table import aten


@aten("triangular_solve")
def triangular_solve(
    b: Any, a: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Any, Any]:
    """The solution of a triangular system, and its matrix."""
    a, b = stacked(a, b)
    x = dlc.linalg.solve_triangular(
        a, b, lower=not upper, trans=int(transpose), unit_diagonal=unitriangular
    )
    return x, a


@aten("ormqr")
def ormqr(a: Any, tau: Any, c: Any, left: bool = True, transpose: bool = False) -> Any:
    """A matrix times the product of Householder's reflections, which stand below a diagonal.

    Golub and Van Loan, "Matrix Computations", 5.1.6: the reflections are applied one by one.
    """
    count = tau.shape[-1]
    if count == 0:
        return c
    rows = dlc.arange(a.shape[-2])
    forwards = left == transpose

    def body(step: Any, held: Any) -> Any:
        k = step if forwards else count - 1 - step
        column = dlc.take(a, k, axis=-1)
        v = dlc.where(rows == k, 1, dlc.where(rows > k, column, 0))
        size = dlc.take(tau, k, axis=-1)[..., None, None]
        if left:
            return held - size * v[..., :, None] * (v[..., None, :] @ held)
        return held - size * (held @ v[..., :, None]) * v[..., None, :]

    return dlc.fori_loop(0, count, body, c)


@aten("diagonal_scatter")
def diagonal_scatter(x: Any, source: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """x with a diagonal of two axes replaced."""
    moved = dlc.moveaxis(x, (dim1, dim2), (-2, -1))
    count = source.shape[-1]
    places = dlc.arange(count)
    below, right = max(-offset, 0), max(offset, 0)
    set_ = moved.at[..., places + below, places + right].set(source)
    return dlc.moveaxis(set_, (-2, -1), (dim1, dim2))
