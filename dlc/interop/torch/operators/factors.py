"""Operators of factors in LAPACK's form: LU with row exchanges, Householder's reflections."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.interop.torch.operators.arguments import stacked
from dlc.interop.torch.operators.reflections import ormqr
from dlc.interop.torch.table import aten


def _exchanged(rows: Any, j: Any, p: Any) -> Any:
    """For each row where it comes from when rows j and p change places."""
    p = p[..., None]
    return dlc.where(rows == j, p, dlc.where(rows == p, j, rows))


@aten("linalg_lu_factor_ex")
def lu_factor(a: Any, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """Both factors in one matrix, the exchanges of rows counted from 1, codes of errors.

    Gaussian elimination, column by column (Golub and Van Loan, Matrix Computations, 3.4).
    """
    del check_errors  # who reads the codes sees to it
    lead, (m, n) = a.shape[:-2], a.shape[-2:]
    count = min(m, n)
    rows, columns = dlc.arange(m), dlc.arange(n)
    pivots = dlc.broadcast_to(dlc.arange(1, count + 1), (*lead, count))
    if 0 in a.shape:
        return a, pivots, dlc.zeros(lead, dtype=dlc.int32)

    def step(j: Any, state: Any) -> Any:
        a, pivots = state
        if pivot:
            sizes = dlc.where(rows >= j, dlc.abs(dlc.take(a, j, axis=-1)), -1.0)
            p = dlc.argmax(sizes, axis=-1)
            a = dlc.take_along_axis(a, _exchanged(rows, j, p)[..., None], axis=-2)
            pivots = dlc.where(dlc.arange(count) == j, p[..., None] + 1, pivots)
        row = dlc.take(a, j, axis=-2)[..., None, :]
        head = dlc.take(row, j, axis=-1)[..., None]
        factors = dlc.take(a, j, axis=-1)[..., None] / dlc.where(head == 0, 1, head)
        below = (rows > j)[:, None]
        reduced = a - factors * row
        a = dlc.where(below & (columns > j), reduced, dlc.where(below & (columns == j), factors, a))
        return a, pivots

    packed, pivots = dlc.fori_loop(0, count, step, (a, pivots))
    # The first column without a pivot, counted from 1; 0 where there is none.
    none = dlc.linalg.diagonal(packed) == 0
    first = dlc.where(dlc.any(none, axis=-1), dlc.argmax(none, axis=-1) + 1, 0)
    return packed, pivots, dlc.astype(first, dlc.int32)


def _order(pivots: Any, rows: int) -> Any:
    """The order in which exchanges leave the rows."""
    start = dlc.broadcast_to(dlc.arange(rows), (*pivots.shape[:-1], rows))

    def step(j: Any, order: Any) -> Any:
        p = dlc.take(pivots, j, axis=-1) - 1
        return dlc.take_along_axis(order, _exchanged(dlc.arange(rows), j, p), axis=-1)

    return dlc.fori_loop(0, pivots.shape[-1], step, start) if pivots.shape[-1] else start


def _parts(packed: Any) -> tuple[Any, Any]:
    m, n = packed.shape[-2:]
    count = min(m, n)
    low = dlc.tril(packed[..., :count], k=-1) + dlc.eye(m, count, dtype=packed.dtype)
    return low, dlc.triu(packed[..., :count, :])


@aten("lu_unpack")
def lu_unpack(packed: Any, pivots: Any, data: bool = True, exchanges: bool = True) -> Any:
    """P, L and U with P L U = A."""
    empty = dlc.zeros((0,), dtype=packed.dtype)
    low, up = _parts(packed) if data else (empty, empty)
    if not exchanges:
        return empty, low, up
    rows = packed.shape[-2]
    order = _order(dlc.astype(pivots, dlc.int64), rows)
    return dlc.arange(rows)[:, None] == order[..., None, :], low, up


@aten("linalg_lu")
def lu(a: Any, *, pivot: bool = True) -> Any:
    """P, L and U with P L U = A."""
    packed, pivots, _ = lu_factor(a, pivot=pivot)
    return lu_unpack(packed, pivots, True, pivot)


@aten("linalg_lu_solve")
def lu_solve(packed: Any, pivots: Any, b: Any, *, left: bool = True, adjoint: bool = False) -> Any:
    """The solution of A x = b (or x A = b, or with A's transpose) by A's factors."""
    if not left:
        return lu_solve(packed, pivots, b.mT, adjoint=not adjoint).mT
    packed, b = stacked(packed, b)
    pivots = dlc.broadcast_to(dlc.astype(pivots, dlc.int64), (*packed.shape[:-2], pivots.shape[-1]))
    order = _order(pivots, packed.shape[-1])
    solve = dlc.linalg.solve_triangular
    if not adjoint:
        y = dlc.take_along_axis(b, order[..., None], axis=-2)
        y = solve(packed, y, lower=True, unit_diagonal=True)
        return solve(packed, y, lower=False)
    y = solve(packed.mT, b, lower=True)
    y = solve(packed.mT, y, lower=False, unit_diagonal=True)
    return dlc.take_along_axis(y, dlc.argsort(order, axis=-1)[..., None], axis=-2)


@aten("linalg_householder_product")
def householder_product(a: Any, tau: Any) -> Any:
    """The first columns of the product of reflections."""
    m, n = a.shape[-2:]
    unit = dlc.broadcast_to(dlc.eye(m, n, dtype=a.dtype), a.shape)
    return ormqr(a, tau, unit)


@aten("geqrf")
def geqrf(a: Any) -> Any:
    """R above reflections, and their scales (Golub and Van Loan, 5.2; LAPACK's signs)."""
    lead, (m, n) = a.shape[:-2], a.shape[-2:]
    count = min(m, n)
    taus = dlc.zeros((*lead, count), dtype=a.dtype)
    if 0 in a.shape:
        return a, taus
    rows, columns = dlc.arange(m), dlc.arange(n)

    def step(j: Any, state: Any) -> Any:
        a, taus = state
        column = dlc.take(a, j, axis=-1)
        head = dlc.take(column, j, axis=-1)
        rest = dlc.where(rows > j, column, 0.0)
        tail = dlc.sqrt(dlc.sum(rest * rest, axis=-1))
        size = -dlc.copysign(dlc.hypot(head, tail), head)
        none = tail == 0
        tau = dlc.where(none, 0.0, (size - head) / dlc.where(none, 1.0, size))
        v = rest / dlc.where(none, 1.0, head - size)[..., None]
        whole = dlc.where(rows == j, 1.0, v)[..., None]
        turned = a - tau[..., None, None] * whole * dlc.matmul(whole.mT, a)
        a = dlc.where(columns >= j, turned, a)
        below = (rows > j)[:, None] & (columns == j)
        a = dlc.where(below, v[..., None], a)
        return a, dlc.where(dlc.arange(count) == j, tau[..., None], taus)

    return dlc.fori_loop(0, count, step, (a, taus))
