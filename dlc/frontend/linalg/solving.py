"""Cholesky factors, inverses, and solutions of systems of linear equations."""

from __future__ import annotations

from dlc.frontend.apply import apply, convert
from dlc.frontend.cast_table import casts
from dlc.frontend.functions.arguments import ArrayLike, reshaped
from dlc.frontend.functions.shape import matrix_transpose
from dlc.frontend.linalg.matrices import (
    check_matrix,
    check_rows,
    check_square,
    matrices,
    same_stack,
    symmetric,
)
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ValueRangeError


@casts
def cholesky(x: ArrayLike, /, *, upper: bool = False) -> Tensor:
    """The Cholesky factor L of a symmetric positive definite matrix: x = L L^T.

    Args:
        x: Symmetric positive definite matrices [..., n, n]; of others, (x + x^T) / 2 counts.
        upper: Whether to return U = L^T instead, with x = U^T U.

    Returns:
        Lower (or upper) triangular matrices [..., n, n] of the float dtype of x.

    Raises:
        ShapeError: The matrices are not square.
        LinAlgError: A matrix is not positive definite.

    Example:
        >>> dlc.linalg.cholesky(dlc.asarray([[4.0, 2.0], [2.0, 5.0]]))
        Tensor([[2., 0.],
                [1., 2.]], dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_square("cholesky", a)
    factor = apply("cholesky", symmetric(a), strict=True)
    return convert(matrix_transpose(factor) if upper else factor, dtype)


@casts
def inv(x: ArrayLike, /) -> Tensor:
    """The inverse of a square matrix. To solve a system, `solve` is faster and more accurate.

    Args:
        x: Square matrices [..., n, n].

    Returns:
        Matrices of the same shape, of the float dtype of x.

    Raises:
        ShapeError: The matrices are not square.
        LinAlgError: A matrix is singular.

    Example:
        >>> dlc.linalg.inv(dlc.asarray([[2.0, 0.0], [0.0, 4.0]]))
        Tensor([[0.5 , 0.  ],
                [0.  , 0.25]], dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_square("inv", a)
    return convert(apply("inverse", a, strict=True), dtype)


@casts
def solve(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """The solution x of a x = b, for square a.

    Args:
        a: Square matrices [..., n, n].
        b: Right-hand sides: one vector [n], or matrices [..., n, k]. Leading axes broadcast.

    Returns:
        A tensor of the common float dtype: [..., n] for a vector, else [..., n, k].

    Raises:
        ShapeError: The shapes do not fit.
        LinAlgError: A matrix is singular.

    Example:
        >>> dlc.linalg.solve(dlc.asarray([[2.0, 0.0], [0.0, 4.0]]), dlc.asarray([2.0, 2.0]))
        Tensor([1. , 0.5], dtype=float32)
    """
    return _solved("solve", "solve", a, b, strict=True)


def _solved(name: str, op: str, a: ArrayLike, b: ArrayLike, **attrs: bool) -> Tensor:
    (x, y), dtype = matrices(a, b)
    check_square(name, x)
    vector = y.tensor.rank == 1
    y = reshaped(y, (*y.tensor.shape, 1)) if vector else y
    check_matrix(name, y)
    check_rows(name, x, y)
    found = apply(op, *same_stack(name, x, y), **attrs)
    found = reshaped(found, found.tensor.shape[:-1]) if vector else found
    return convert(found, dtype)


@casts
def solve_triangular(
    a: ArrayLike,
    b: ArrayLike,
    /,
    *,
    lower: bool = False,
    trans: int | str = 0,
    unit_diagonal: bool = False,
) -> Tensor:
    """The solution x of a x = b for triangular a, by substitution, as in `scipy.linalg`.

    Args:
        a: Square matrices [..., n, n], of which one triangle is read.
        b: Right-hand sides: one vector [n], or matrices [..., n, k]. Leading axes broadcast.
        lower: Whether the lower triangle is read, else the upper one.
        trans: 0 or "N" for a x = b; 1 or "T" for a^T x = b.
        unit_diagonal: Whether the diagonal is taken as ones.

    Returns:
        A tensor of the common float dtype: [..., n] for a vector, else [..., n, k]. A zero on the
        diagonal gives infinities or NaN.

    Raises:
        ShapeError: The shapes do not fit.
        ValueRangeError: An unknown `trans`.

    Example:
        >>> a = dlc.asarray([[2.0, 0.0], [1.0, 4.0]])
        >>> dlc.linalg.solve_triangular(a, dlc.asarray([2.0, 5.0]), lower=True)
        Tensor([1., 1.], dtype=float32)
    """
    if trans not in (0, 1, "N", "T"):
        raise ValueRangeError(f"solve_triangular: trans is 0, 1, 'N' or 'T', not {trans!r}")
    attrs = {"lower": lower, "transpose": trans in (1, "T"), "unit": unit_diagonal}
    return _solved("solve_triangular", "triangular_solve", a, b, **attrs)
