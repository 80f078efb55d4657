"""Cholesky factors, inverses, and solutions of systems of linear equations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dlc.frontend.apply import apply, convert
from dlc.frontend.cast_table import casts
from dlc.frontend.extent import known_extent
from dlc.frontend.functions.arguments import ArrayLike, find_axis, reshaped
from dlc.frontend.functions.shape import matrix_transpose, permute_dims
from dlc.frontend.linalg.matrices import (
    check_matrix,
    check_rows,
    check_square,
    matrices,
    same_stack,
    symmetric,
)
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim
from dlc.ir.errors import ShapeError, ValueRangeError


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


@casts
def cholesky_solve(b: ArrayLike, factor: ArrayLike, /, *, upper: bool = False) -> Tensor:
    """The solution x of a x = b for a matrix of which there is a Cholesky factor.

    The arguments are in the order of PyTorch's `cholesky_solve`.

    Args:
        b: Right-hand sides: one vector [n], or matrices [..., n, k]. Leading axes broadcast.
        factor: L [..., n, n] with a = L L^T, as `cholesky` gives it.
        upper: Whether it is U with a = U^T U instead.

    Returns:
        A tensor of the common float dtype: [..., n] for a vector, else [..., n, k].

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> a = dlc.asarray([[4.0, 2.0], [2.0, 5.0]])
        >>> dlc.linalg.cholesky_solve(dlc.asarray([8.0, 12.0]), dlc.linalg.cholesky(a))
        Tensor([1., 2.], dtype=float32)
    """
    lower = not upper
    found = solve_triangular(factor, b, lower=lower, trans=int(upper))
    return solve_triangular(factor, found, lower=lower, trans=int(lower))


@casts
def tensorinv(x: ArrayLike, /, ind: int = 2) -> Tensor:
    """The inverse of a tensor as a map from its last axes to its first ones, as NumPy's.

    Args:
        x: A tensor whose first `ind` axes have as many elements as the others.
        ind: How many of its axes are the first ones.

    Returns:
        A tensor of the float dtype of x, with the last axes before the first ones: `tensordot` of
        it and x over `ind` axes is the identity.

    Raises:
        ShapeError: The numbers of elements differ, or one is not known while tracing.
        ValueRangeError: `ind` is less than 1.
        LinAlgError: There is no inverse.

    Example:
        >>> x = dlc.reshape(2 * dlc.eye(6), (2, 3, 6))
        >>> dlc.linalg.tensorinv(x).shape
        (6, 2, 3)
    """
    (a,), dtype = matrices(x)
    if ind < 1:
        raise ValueRangeError(f"tensorinv(ind={ind}): at least 1")
    shape = a.tensor.shape
    found = inv(_as_map("tensorinv", a, shape[ind:], shape[:ind]))
    return convert(reshaped(found, (*shape[ind:], *shape[:ind])), dtype)


@casts
def tensorsolve(a: ArrayLike, b: ArrayLike, /, axes: Sequence[int] | None = None) -> Tensor:
    """The solution x of tensordot(a, x, x.ndim) = b, as NumPy's.

    Args:
        a: A tensor [*shape of b, *shape of x], with as many elements in both.
        b: The right-hand side.
        axes: Axes of a that are moved to its end before, in this order.

    Returns:
        A tensor of the common float dtype, of the shape of x.

    Raises:
        ShapeError: The numbers of elements differ, or one is not known while tracing.
        IndexRangeError: An axis is out of range.
        LinAlgError: There is no solution.

    Example:
        >>> a = dlc.reshape(2 * dlc.eye(6), (2, 3, 6))
        >>> dlc.linalg.tensorsolve(a, dlc.ones((2, 3))).tolist()
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    (left, right), dtype = matrices(a, b)
    if axes is not None:
        last = [find_axis("tensorsolve", k, left.tensor) for k in axes]
        rest = [k for k in range(left.tensor.rank) if k not in last]
        left = permute_dims(left, (*rest, *last))
    rank, shape = right.tensor.rank, left.tensor.shape
    matrix = _as_map("tensorsolve", left, shape[rank:], right.tensor.shape)
    found = solve(matrix, reshaped(right, (right.tensor.size,)))
    return convert(reshaped(found, shape[rank:]), dtype)


def _as_map(name: str, x: Tensor, given: Sequence[Dim], results: Sequence[Dim]) -> Tensor:
    """A tensor [*results, *given] as a square matrix."""
    count = math.prod(map(known_extent, given))
    if count != math.prod(map(known_extent, results)) or x.tensor.size != count * count:
        raise ShapeError(
            f"{name} of {x.tensor}: its axes {tuple(results)} and {tuple(given)} have other "
            "numbers of elements"
        )
    return reshaped(x, (count, count))
