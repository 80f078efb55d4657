"""Norms, condition numbers and ranks."""

from __future__ import annotations

import math
from typing import Any

from dlc.frontend.apply import apply, as_tensor, convert
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import composed, elementwise, reduction
from dlc.frontend.functions.arguments import (
    ArrayLike,
    AxisLike,
    find_axes,
    reshaped,
    transposed,
)
from dlc.frontend.functions.shape import expand_dims
from dlc.frontend.linalg.decompositions import svdvals
from dlc.frontend.linalg.matrices import check_matrix, check_square, matrices
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import maximum
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.types import int64

_EPS = {"float32": 2.0**-23, "float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def _root_of_squares(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    """The root of the sum of squares, with derivative 0 at 0."""
    total = reduction.sum(elementwise.square(x), axis=axes, keepdims=keepdims)
    return composed.flat_at_zero(elementwise.sqrt, total)


@casts
def vector_norm(
    x: ArrayLike, /, *, axis: AxisLike = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """The norm of vectors along axes.

    Args:
        x: A tensor or array.
        axis: The axis, or axes that count as one; all by default.
        keepdims: Whether the axes stay, with extent 1.
        ord: inf for the largest magnitude, -inf for the least, 0 for the number of elements that
            are not 0, p for the p-th root of the sum of the p-th powers of magnitudes.

    Returns:
        A tensor of the float dtype of x. The derivative of the norm of zeros is 0.

    Raises:
        IndexRangeError: An axis is out of range.

    Example:
        >>> dlc.linalg.vector_norm(dlc.asarray([3.0, 4.0]))
        Tensor(5., dtype=float32)
    """
    (a,), dtype = matrices(x)
    axes = find_axes("vector_norm", axis, a.tensor)
    return convert(_vector_norm(a, axes, keepdims, ord), dtype)


def _vector_norm(x: Tensor, axes: tuple[int, ...], keepdims: bool, ord: float) -> Tensor:
    if ord == 2:
        return _root_of_squares(x, axes, keepdims)
    if ord == 0:
        counted = reduction.count_nonzero(x, axis=axes, keepdims=keepdims)
        return convert(counted, x.tensor.dtype)
    magnitude = elementwise.abs(x)
    if ord == math.inf:
        return reduction.max(magnitude, axis=axes, keepdims=keepdims)
    if ord == -math.inf:
        return reduction.min(magnitude, axis=axes, keepdims=keepdims)
    if ord == 1:
        return reduction.sum(magnitude, axis=axes, keepdims=keepdims)
    total = reduction.sum(composed.pow(magnitude, float(ord)), axis=axes, keepdims=keepdims)
    if ord < 0:
        return composed.pow(total, 1.0 / ord)
    return composed.flat_at_zero(lambda t: composed.pow(t, 1.0 / ord), total)


_MATRIX_NORMS = ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


@casts
def matrix_norm(x: ArrayLike, /, *, keepdims: bool = False, ord: float | str = "fro") -> Tensor:
    """The norm of matrices.

    Args:
        x: Matrices [..., m, n].
        keepdims: Whether the last two axes stay, with extent 1.
        ord: "fro" for the root of the sum of squares, "nuc" for the sum of singular values, 2 and
            -2 for the largest and the least of them, 1 and -1 for the largest and the least sum of
            the magnitudes of a column, inf and -inf of a row.

    Returns:
        A tensor [...] of the float dtype of x.

    Raises:
        ShapeError: `x` is no matrix.
        ValueRangeError: An unknown norm.

    Example:
        >>> dlc.linalg.matrix_norm(dlc.asarray([[3.0, 0.0], [0.0, 4.0]]), ord="nuc")
        Tensor(7., dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_matrix("matrix_norm", a)
    found = _matrix_norm(a, ord)
    if keepdims:
        found = reshaped(found, (*found.tensor.shape, 1, 1))
    return convert(found, dtype)


def _matrix_norm(x: Tensor, ord: float | str) -> Tensor:
    if ord not in _MATRIX_NORMS:
        raise ValueRangeError(
            f"matrix_norm has no norm {ord!r}",
            hint="there are " + ", ".join(map(repr, _MATRIX_NORMS)),
        )
    rank = x.tensor.rank
    if ord == "fro":
        return _root_of_squares(x, (rank - 2, rank - 1), False)
    if ord in ("nuc", 2, -2):
        reduce = {"nuc": reduction.sum, 2: reduction.max, -2: reduction.min}[ord]
        return reduce(svdvals(x), axis=-1)
    sums = reduction.sum(elementwise.abs(x), axis=-2 if ord in (1, -1) else -1)
    reduce = reduction.max if ord in (1, math.inf) else reduction.min
    return reduce(sums, axis=-1)


@casts
def norm(x: ArrayLike, /, ord: Any = None, axis: AxisLike = None, keepdims: bool = False) -> Tensor:
    """NumPy's `norm`: of a vector, or of a matrix.

    Args:
        x: A tensor or array.
        ord: As of `vector_norm` and `matrix_norm`; by default the root of the sum of squares.
        axis: One axis for norms of vectors, two for norms of matrices. By default all: x must be a
            vector or a matrix then, unless `ord` is left out too.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor of the float dtype of x.

    Raises:
        IndexRangeError: An axis is out of range.
        ShapeError: Neither a vector nor a matrix.
        ValueRangeError: An unknown norm.

    Example:
        >>> dlc.linalg.norm(dlc.asarray([[3.0, 4.0], [0.0, 0.0]]), axis=1)
        Tensor([5., 0.], dtype=float32)
    """
    (a,), dtype = matrices(x)
    axes = find_axes("norm", axis, a.tensor)
    if ord is None:
        return convert(_root_of_squares(a, axes, keepdims), dtype)
    if len(axes) == 1:
        return convert(_vector_norm(a, axes, keepdims, ord), dtype)
    if len(axes) != 2:
        raise ShapeError(
            f"norm of {a.tensor} over {len(axes)} axes: it takes a vector or a matrix",
            hint="name one axis or two, or leave out ord",
        )
    others = [k for k in range(a.tensor.rank) if k not in axes]
    found = _matrix_norm(transposed(a, (*others, *axes)), ord)
    if keepdims:
        for k in sorted(axes):
            found = expand_dims(found, axis=k)
    return convert(found, dtype)


@casts
def cond(x: ArrayLike, /, p: float | str | None = None) -> Tensor:
    """The condition number of matrices.

    Args:
        x: Matrices [..., m, n]; square ones for other norms than 2 and -2.
        p: The norm, as of `matrix_norm`: the norm of x times that of its inverse. By default 2, the
            largest singular value over the least.

    Returns:
        A tensor [...] of the float dtype of x; infinite for singular matrices.

    Raises:
        ShapeError: `x` is no matrix, or must be square.
        ValueRangeError: An unknown norm.
        LinAlgError: A matrix holds NaN or infinity.

    Example:
        >>> dlc.linalg.cond(dlc.asarray([[4.0, 0.0], [0.0, 1.0]]))
        Tensor(4., dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_matrix("cond", a)
    if p in (None, 2, -2):
        s = svdvals(a)
        largest, least = reduction.max(s, axis=-1), reduction.min(s, axis=-1)
        found = elementwise.divide(*((least, largest) if p == -2 else (largest, least)))
    else:
        check_square("cond", a)
        found = elementwise.multiply(_matrix_norm(a, p), _matrix_norm(apply("inverse", a), p))
    infinite = elementwise.logical_and(composed.isnan(found), elementwise.logical_not(_has_nan(a)))
    return convert(composed.where(infinite, math.inf, found), dtype)


def _has_nan(x: Tensor) -> Tensor:
    return reduction.any(composed.isnan(x), axis=(-2, -1))


@casts
def matrix_rank(x: ArrayLike, /, *, rtol: ArrayLike | None = None) -> Tensor:
    """The number of singular values that count as other than zero.

    Args:
        x: Matrices [..., m, n].
        rtol: Singular values up to rtol times the largest one are zeros; by default the larger
            extent times the distance from 1 to the next number of the dtype.

    Returns:
        A tensor int64[...].

    Raises:
        ShapeError: `x` is no matrix.
        LinAlgError: A matrix holds NaN or infinity.

    Example:
        >>> dlc.linalg.matrix_rank(dlc.ones((3, 3)))
        Tensor(1, dtype=int64)
    """
    (a,), dtype = matrices(x)
    check_matrix("matrix_rank", a)
    s = svdvals(a)
    if rtol is None:
        extent = convert(apply("dim", dim=maximum(*a.tensor.shape[-2:])), s.tensor.dtype)
        least = elementwise.multiply(extent, _EPS[dtype.name])
    else:
        least = expand_dims(as_tensor(rtol), axis=-1)
    return reduction.sum(
        elementwise.greater(s, elementwise.multiply(s[..., :1], least)), axis=-1, dtype=int64
    )
