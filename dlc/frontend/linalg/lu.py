"""Triangular factors of matrices with exchanged rows, and solutions by them, by SciPy's names."""

from __future__ import annotations

from typing import Any

from dlc.frontend.apply import as_tensor, broadcast_to, convert, materialise
from dlc.frontend.cast_table import casts
from dlc.frontend.control import scan
from dlc.frontend.functions import elementwise
from dlc.frontend.functions.arguments import ArrayLike, check_kinds, reshaped
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.creation import iota
from dlc.frontend.functions.indexing import take_along_axis
from dlc.frontend.functions.rearrange import tril, triu
from dlc.frontend.functions.reduction import argmax
from dlc.frontend.functions.reduction import sum as total
from dlc.frontend.functions.shape import moveaxis
from dlc.frontend.functions.sorting import argsort
from dlc.frontend.linalg.matrices import (
    check_matrix,
    check_rows,
    check_square,
    matrices,
    same_stack,
)
from dlc.frontend.linalg.solving import solve_triangular
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, dims_equal
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.record import NamedTuple


class LuFactors(NamedTuple):
    """What `lu_factor` returns."""

    lu: Tensor
    pivots: Tensor


class LuResult(NamedTuple):
    """What `lu` returns."""

    permutation: Tensor
    lower: Tensor
    upper: Tensor


@casts
def lu_factor(x: ArrayLike, /) -> LuFactors:
    """The triangular factors of a matrix with exchanged rows, in one matrix, as in `scipy.linalg`.

    Args:
        x: Matrices [..., m, n].

    Returns:
        `lu` [..., m, n] of the float dtype of x: U in the upper triangle, L without its ones below;
        and `pivots` [..., min(m, n)]: with which row each was exchanged, counted from 0.

    Raises:
        ShapeError: There is no matrix, or one that is not square with an extent that is not known.

    Example:
        >>> dlc.linalg.lu_factor(dlc.asarray([[1.0, 2.0], [4.0, 4.0]]))
        LuFactors(lu=Tensor([[4.  , 4.  ],
                [0.25, 1.  ]], dtype=float32), pivots=Tensor([1, 1], dtype=int64))
    """
    (a,), dtype = matrices(x)
    check_matrix("lu_factor", a)
    height, width = a.tensor.shape[-2:]
    row, column = iota((height,)), iota((width,))

    def step(before: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Clears column k below the diagonal, by the largest of its elements."""
        pivot_column = total(where(column == k, before, 0.0), axis=-1)
        size = where(row >= k, elementwise.abs(pivot_column), -1.0)
        place = argmax(size, axis=-1)
        order = _exchanged(row, k, place)
        held = _rows(before, order)
        pivot_row = total(where((row == k)[:, None], held, 0.0), axis=-2)
        pivot_column = take_along_axis(pivot_column, order, axis=-1)
        pivot = total(where(row == k, pivot_column, 0.0), axis=-1)[..., None]
        below = (row > k) & (pivot != 0)
        factors = where(below, pivot_column / where(pivot == 0, 1.0, pivot), 0.0)
        after = held - factors[..., None] * where(column > k, pivot_row, 0.0)[..., None, :]
        cleared = (row > k)[:, None] & (column == k)
        return where(cleared, factors[..., None], after), place

    found, pivots = scan(step, a, iota((_least(a),)))
    return LuFactors(convert(found, dtype), moveaxis(pivots, 0, -1))


@casts
def lu_solve(lu_and_piv: Any, b: ArrayLike, trans: int = 0) -> Tensor:
    """The solution x of a x = b for a matrix of which there are triangular factors.

    Args:
        lu_and_piv: What `lu_factor` gave for square matrices a [..., n, n].
        b: Right-hand sides: one vector [n], or matrices [..., n, k]. Leading axes broadcast.
        trans: 0 for a x = b; 1 for a^T x = b.

    Returns:
        A tensor of the common float dtype: [n] for a vector, else [..., n, k]. A singular matrix
        gives infinities or NaN.

    Raises:
        ShapeError: The shapes do not fit.
        ValueRangeError: An unknown `trans`.

    Example:
        >>> factors = dlc.linalg.lu_factor(dlc.asarray([[1.0, 2.0], [4.0, 4.0]]))
        >>> dlc.linalg.lu_solve(factors, dlc.asarray([5.0, 12.0]))
        Tensor([1., 2.], dtype=float32)
    """
    if trans not in (0, 1):
        raise ValueRangeError(f"lu_solve: trans is 0 or 1, not {trans!r}")
    lu, pivots = lu_and_piv
    (a, y), dtype = matrices(lu, b)
    check_square("lu_solve", a)
    vector = y.tensor.rank == 1
    y = reshaped(y, (*y.tensor.shape, 1)) if vector else y
    check_matrix("lu_solve", y)
    check_rows("lu_solve", a, y)
    order = _order("lu_solve", pivots, a)
    a, y = same_stack("lu_solve", a, y)
    if not trans:
        y = _rows(y, order)
        y = solve_triangular(a, y, lower=True, unit_diagonal=True)
        y = solve_triangular(a, y)
    else:
        y = solve_triangular(a, y, trans=1)
        y = solve_triangular(a, y, lower=True, trans=1, unit_diagonal=True)
        y = _rows(y, argsort(order, axis=-1))
    return convert(y[..., 0] if vector else y, dtype)


@casts
def lu(x: ArrayLike, /) -> LuResult:
    """The factors of x = P L U: a permutation, a lower and an upper triangle.

    Args:
        x: Matrices [..., m, n].

    Returns:
        `permutation` [..., m, m], `lower` [..., m, k] with ones on the diagonal and `upper`
        [..., k, n], of the float dtype of x; k is the smaller of m and n.

    Raises:
        ShapeError: There is no matrix, or one that is not square with an extent that is not known.

    Example:
        >>> p, lower, upper = dlc.linalg.lu(dlc.asarray([[1.0, 2.0], [4.0, 4.0]]))
        >>> (p @ lower @ upper).tolist()
        [[1.0, 2.0], [4.0, 4.0]]
    """
    factors = lu_factor(x)
    held, dtype = factors.lu, factors.lu.dtype
    height, least = held.tensor.shape[-2], _least(held)
    order = _order("lu", factors.pivots, held)
    row = iota((height,))[:, None]
    ones = convert(row == iota((least,)), dtype)
    lower = tril(held[..., :least], -1) + ones
    p = convert(row == order[..., None, :], dtype)
    return LuResult(p, lower, triu(held[..., :least, :]))


def _least(x: Tensor) -> Dim:
    """The smaller extent of matrices."""
    height, width = x.tensor.shape[-2:]
    if dims_equal(height, width):
        return height
    if not isinstance(height, int) or not isinstance(width, int):
        raise ShapeError(f"lu of {x.tensor}: the extents of matrices that are not square are known")
    return min(height, width)


def _exchanged(row: Tensor, k: Tensor, place: Tensor) -> Tensor:
    """The numbers of rows [..., m] with those of k and of a place [...] exchanged."""
    other = place[..., None]
    return where(row == k, other, where(row == other, k, row))


def _order(name: str, pivots: ArrayLike, x: Tensor) -> Tensor:
    """Which row of x is where after all exchanges, [..., m]."""
    held = materialise(as_tensor(pivots))
    check_kinds(name, (held,), "iu")
    height = x.tensor.shape[-2]
    if held.tensor.rank != x.tensor.rank - 1 or not dims_equal(held.tensor.shape[-1], _least(x)):
        raise ShapeError(f"{name} of {x.tensor} and pivots {held.tensor}: one for each row")
    row = iota((height,))
    first = broadcast_to(row, (*held.tensor.shape[:-1], height))

    def step(before: Tensor, item: Any) -> tuple[Tensor, None]:
        k, place = item
        return take_along_axis(before, _exchanged(row, k, place), axis=-1), None

    return scan(step, first, (iota((_least(x),)), moveaxis(held, -1, 0)))[0]


def _rows(x: Tensor, order: Tensor) -> Tensor:
    """Matrices [..., m, n] with their rows in another order [..., m]."""
    held = broadcast_to(order, x.tensor.shape[:-1])
    return take_along_axis(x, held[..., None], axis=-2)
