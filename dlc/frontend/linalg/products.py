"""Products and parts of matrices by the names of the Array API's extension."""

from __future__ import annotations

from typing import Any

from dlc.frontend.apply import materialise, promote
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    find_axis,
    match_shapes,
    reshaped,
    types_text,
)
from dlc.frontend.functions.rearrange import diagonal as _diagonal
from dlc.frontend.functions.rearrange import roll
from dlc.frontend.linalg.matrices import check_matrix
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ShapeError


def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Tensor:
    """The diagonals of matrices.

    Args:
        x: Matrices [..., m, n].
        offset: Above the main diagonal where positive, below where negative.

    Returns:
        A tensor [..., k] of the dtype of x.

    Raises:
        ShapeError: `x` is no matrix.

    Example:
        >>> dlc.linalg.diagonal(dlc.asarray([[1, 2], [3, 4]]))
        Tensor([1, 4], dtype=int64)
    """
    (a,) = promote(x)
    check_matrix("diagonal", a)
    return _diagonal(a, offset=offset, axis1=-2, axis2=-1)


@casts
def trace(x: ArrayLike, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum of the diagonal of matrices.

    Args:
        x: Matrices [..., m, n].
        offset: Above the main diagonal where positive, below where negative.
        dtype: Of the result; by default as `sum` has it.

    Returns:
        A tensor [...].

    Raises:
        ShapeError: `x` is no matrix.

    Example:
        >>> dlc.linalg.trace(dlc.asarray([[1, 2], [3, 4]]))
        Tensor(5, dtype=int64)
    """
    return reduction.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def cross(x: ArrayLike, y: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The cross product of vectors of three elements.

    Args:
        x: A tensor or array with three elements along the axis.
        y: Another one; the other axes broadcast.
        axis: The axis, counted in both from the end where negative.

    Returns:
        A tensor of the common dtype and shape.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: There are not three elements, or the shapes do not fit.

    Example:
        >>> dlc.linalg.cross(dlc.asarray([1, 0, 0]), dlc.asarray([0, 1, 0]))
        Tensor([0, 0, 1], dtype=int64)
    """
    a, b = (materialise(t) for t in promote(x, y))
    check_kinds("cross", (a, b), "fiu")
    for t in (a, b):
        if t.tensor.shape[find_axis("cross", axis, t.tensor)] != 3:
            raise ShapeError(
                f"cross of {types_text((a.tensor, b.tensor))}: vectors along axis {axis} must have "
                "3 elements"
            )
    a, b = match_shapes("cross", (a, b))
    at = find_axis("cross", axis, a.tensor)

    def turned(t: Tensor, by: int) -> Tensor:
        return roll(t, by, axis=at)

    first = elementwise.multiply(turned(a, -1), turned(b, -2))
    return elementwise.subtract(first, elementwise.multiply(turned(a, -2), turned(b, -1)))


def kron(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The Kronecker product: y times each element of x, as blocks.

    Args:
        x: A tensor or array.
        y: Another one; axes that one of them lacks in front have extent 1.

    Returns:
        A tensor of the common dtype; along each axis, the product of the two extents.

    Raises:
        DTypeError: The dtypes have none in common.

    Example:
        >>> dlc.linalg.kron(dlc.asarray([1, 2]), dlc.asarray([1, 1]))
        Tensor([1, 1, 2, 2], dtype=int64)
    """
    a, b = (materialise(t) for t in promote(x, y))
    rank = max(a.tensor.rank, b.tensor.rank)
    left = (1,) * (rank - a.tensor.rank) + a.tensor.shape
    right = (1,) * (rank - b.tensor.rank) + b.tensor.shape
    a = reshaped(a, tuple(d for e in left for d in (e, 1)))
    b = reshaped(b, tuple(d for e in right for d in (1, e)))
    both = elementwise.multiply(a, b)
    return reshaped(both, tuple(d * e for d, e in zip(left, right, strict=True)))
