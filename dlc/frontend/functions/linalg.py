"""Products of matrices, vectors and tensors."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from dlc.frontend.apply import apply, convert, materialise, promote
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.arguments import (
    ArrayLike,
    common_shape,
    find_axes,
    find_axis,
    match_shapes,
    reshaped,
    transposed,
    types_text,
)
from dlc.frontend.functions.shape import flatten
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, dims_equal
from dlc.ir.errors import ArgumentError, ShapeError
from dlc.ir.types import bool_, float32, int64


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[Tensor, Tensor]:
    a, b = promote(x, y)
    return materialise(a), materialise(b)


def contraction(
    x: Tensor,
    y: Tensor,
    batch: Sequence[tuple[int, int]],
    contracted: Sequence[tuple[int, int]],
) -> Tensor:
    """Sums of products over pairs of axes; of bools, whether one pair is true in both.

    The axes of the result are the batch axes, then what is left of x, then what is left of y.
    """
    if x.tensor.dtype is bool_:
        counted = contraction(convert(x, int64), convert(y, int64), batch, contracted)
        return convert(counted, bool_)
    return apply(
        "dot_general",
        x,
        y,
        lhs_batch=tuple(a for a, _ in batch),
        lhs_contract=tuple(a for a, _ in contracted),
        rhs_batch=tuple(b for _, b in batch),
        rhs_contract=tuple(b for _, b in contracted),
    )


def _must_agree(name: str, x: Tensor, y: Tensor, i: int, j: int) -> None:
    a, b = x.tensor, y.tensor
    if not dims_equal(a.shape[i], b.shape[j]):
        raise ShapeError(
            f"{name} of {types_text((a, b))}: axis {i} of the first has {a.shape[i]} elements, "
            f"axis {j} of the second has {b.shape[j]}",
            hint="the extents that are summed over must be equal",
        )


@casts
def matmul(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The product of matrices; the operator `@`.

    Args:
        x: A tensor or array with at least one axis: [..., m, k], or a vector [k].
        y: Another one: [..., k, n], or a vector [k]. Leading axes broadcast.

    Returns:
        A tensor [..., m, n] of the common dtype; a vector's axis is left out. Half types are added
        at float32; of bools the result is bool.

    Raises:
        ShapeError: An operand is a scalar, or the extents do not fit.
        DTypeError: The dtypes have none in common.

    Example:
        >>> dlc.matmul(dlc.asarray([[1, 2], [3, 4]]), dlc.asarray([1, 1]))
        Tensor([3, 7], dtype=int64)
    """
    a, b = _pair(x, y)
    if not a.tensor.rank or not b.tensor.rank:
        raise ShapeError(
            f"matmul of {types_text((a.tensor, b.tensor))}: scalars have no rows or columns",
            hint="multiply by a scalar with *",
        )
    inner = builtins.max(b.tensor.rank - 2, 0)
    _must_agree("matmul", a, b, a.tensor.rank - 1, inner)
    ranks = (a.tensor.rank, b.tensor.rank)
    if 1 in ranks or ranks == (2, 2):
        return contraction(a, b, (), [(ranks[0] - 1, inner)])
    return _of_stacks(a, b)


def _of_stacks(a: Tensor, b: Tensor) -> Tensor:
    """Stacks of matrices. A leading axis that only one side has needs no repeating of the other."""
    left, right = a.tensor.shape[:-2], b.tensor.shape[:-2]
    lead = common_shape("matmul", (left, right), (a.tensor, b.tensor))
    b_axes, b_slim = _own_axes(b, lead)
    if not b_axes and left == lead:  # axes of extent 1 stay: what follows has the product's shape
        return contraction(a, b_slim, (), [(a.tensor.rank - 1, 0)])
    a_axes, a_slim = _own_axes(a, lead)
    shared = [k for k in a_axes if k in b_axes]
    batch = [(a_axes.index(k), b_axes.index(k)) for k in shared]
    product = contraction(a_slim, b_slim, batch, [(a_slim.tensor.rank - 1, b_slim.tensor.rank - 2)])
    row, column = len(lead), len(lead) + 1
    order = [*shared, *(k for k in a_axes if k not in shared), row]
    order += [*(k for k in b_axes if k not in shared), column]
    result = transposed(product, [order.index(k) for k in sorted(order)])
    return reshaped(result, (*lead, a.tensor.shape[-2], b.tensor.shape[-1]))


def _own_axes(x: Tensor, lead: tuple[Dim, ...]) -> tuple[list[int], Tensor]:
    """The leading axes of the result along which x differs, and x without its other ones."""
    shape = x.tensor.shape
    missing = len(lead) + 2 - len(shape)
    own = [k for k in range(missing, len(lead)) if shape[k - missing] != 1]
    return own, reshaped(x, (*(shape[k - missing] for k in own), *shape[-2:]))


@casts
def vecdot(x: ArrayLike, y: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The sums of products along one axis.

    Args:
        x: A tensor or array with that axis.
        y: Another one, with as many elements along it; the other axes broadcast.
        axis: The axis, counted in both from the end.

    Returns:
        A tensor of the common dtype without that axis.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: The extents do not fit.
        DTypeError: The dtypes have none in common.

    Example:
        >>> dlc.vecdot(dlc.asarray([[1, 2], [3, 4]]), dlc.asarray([1, 1]))
        Tensor([3, 7], dtype=int64)
    """
    a, b = _pair(x, y)
    i, j = (find_axis("vecdot", axis, t.tensor) for t in (a, b))
    _must_agree("vecdot", a, b, i, j)
    a, b = match_shapes("vecdot", [_last(a, i), _last(b, j)])
    dtype = a.tensor.dtype
    if dtype is bool_:
        return reduction.any(elementwise.logical_and(a, b), axis=-1)
    if dtype.is_float and dtype.bits == 16:
        a, b = convert(a, float32), convert(b, float32)
    total = apply("reduce_sum", elementwise.multiply(a, b), axes=(a.tensor.rank - 1,))
    return convert(total, dtype)


def _last(x: Tensor, axis: int) -> Tensor:
    return transposed(x, (*(k for k in range(x.tensor.rank) if k != axis), axis))


def outer(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The products of every element of x with every element of y.

    Args:
        x: A tensor, array or number; its elements are taken in row-major order.
        y: Another one.

    Returns:
        A matrix of the common dtype, with a row for each element of x.

    Raises:
        DTypeError: The dtypes have none in common.

    Example:
        >>> dlc.outer(dlc.asarray([1, 2]), dlc.asarray([3, 4]))
        Tensor([[3, 4],
                [6, 8]], dtype=int64)
    """
    a, b = (flatten(t) for t in _pair(x, y))
    return elementwise.multiply(reshaped(a, (a.tensor.shape[0], 1)), b)


@casts
def tensordot(x: ArrayLike, y: ArrayLike, /, axes: Any = 2) -> Tensor:
    """Sums of products over pairs of axes.

    Args:
        x: A tensor or array.
        y: Another one.
        axes: How many of x's last axes are paired with as many of y's first; or the axes of x and
            those of y that are paired, as two sequences.

    Returns:
        A tensor of the common dtype, with what is left of x's axes and then of y's.

    Raises:
        ArgumentError: `axes` is neither.
        IndexRangeError: An axis is out of range.
        ShapeError: Paired axes have different extents.
        DTypeError: The dtypes have none in common.

    Example:
        >>> dlc.tensordot(dlc.ones((2, 3, 4)), dlc.ones((3, 4, 5))).shape
        (2, 5)
    """
    a, b = _pair(x, y)
    if isinstance(axes, int) and not isinstance(axes, bool):
        if not 0 <= axes <= builtins.min(a.tensor.rank, b.tensor.rank):
            raise ShapeError(f"tensordot of {types_text((a.tensor, b.tensor))} over {axes} axes")
        left = tuple(range(a.tensor.rank - axes, a.tensor.rank))
        right = tuple(range(axes))
    elif isinstance(axes, (list, tuple)) and len(axes) == 2:
        left = find_axes("tensordot", axes[0], a.tensor)
        right = find_axes("tensordot", axes[1], b.tensor)
    else:
        raise ArgumentError(
            f"tensordot over axes {axes!r}", hint="give a number of axes, or two sequences of axes"
        )
    if len(left) != len(right):
        raise ShapeError(f"tensordot pairs {len(left)} axes of x with {len(right)} of y")
    pairs = list(zip(left, right, strict=True))
    for i, j in pairs:
        _must_agree("tensordot", a, b, i, j)
    return contraction(a, b, (), pairs)


@casts
def dot(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """NumPy's `dot`: sums of products over x's last axis and y's last but one.

    Args:
        x: A tensor, array or number.
        y: Another one. A vector has one axis, which is summed over; by a scalar it multiplies.

    Returns:
        A tensor of the common dtype.

    Raises:
        ShapeError: The extents do not fit.
        DTypeError: The dtypes have none in common.

    Example:
        >>> dlc.dot(dlc.asarray([1, 2]), dlc.asarray([3, 4]))
        Tensor(11, dtype=int64)
    """
    a, b = _pair(x, y)
    if not a.tensor.rank or not b.tensor.rank:
        return elementwise.multiply(a, b)
    i, j = a.tensor.rank - 1, builtins.max(b.tensor.rank - 2, 0)
    _must_agree("dot", a, b, i, j)
    return contraction(a, b, (), [(i, j)])


@casts
def inner(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """Sums of products over the last axes of both.

    Args:
        x: A tensor, array or number.
        y: Another one; by a scalar it multiplies.

    Returns:
        A tensor of the common dtype, with the other axes of x and then those of y.

    Raises:
        ShapeError: The extents do not fit.
        DTypeError: The dtypes have none in common.

    Example:
        >>> dlc.inner(dlc.asarray([[1, 2], [3, 4]]), dlc.asarray([1, 1]))
        Tensor([3, 7], dtype=int64)
    """
    a, b = _pair(x, y)
    if not a.tensor.rank or not b.tensor.rank:
        return elementwise.multiply(a, b)
    i, j = a.tensor.rank - 1, b.tensor.rank - 1
    _must_agree("inner", a, b, i, j)
    return contraction(a, b, (), [(i, j)])


def vdot(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The sum of the products of all elements of two tensors, in row-major order.

    Args:
        x: A tensor or array.
        y: Another one with as many elements.

    Returns:
        A scalar of the common dtype.

    Raises:
        ShapeError: There is another number of elements.

    Example:
        >>> dlc.vdot(dlc.asarray([[1, 2], [3, 4]]), dlc.asarray([1, 0, 0, 1])).item()
        5
    """
    return vecdot(flatten(x), flatten(y))


def matvec(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The products of matrices and vectors.

    Args:
        x: Matrices [..., m, n].
        y: Vectors [..., n]. The leading shapes broadcast.

    Returns:
        A tensor [..., m] of the common dtype.

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.matvec(dlc.ones((2, 3)), dlc.ones((5, 3))).shape
        (5, 2)
    """
    a, b = _pair(x, y)
    if not b.tensor.rank:
        raise ShapeError(f"matvec of {types_text([a.tensor, b.tensor])}: vectors have an axis")
    column = matmul(a, reshaped(b, (*b.tensor.shape, 1)))
    return reshaped(column, column.tensor.shape[:-1])


def vecmat(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The products of vectors and matrices.

    Args:
        x: Vectors [..., m].
        y: Matrices [..., m, n]. The leading shapes broadcast.

    Returns:
        A tensor [..., n] of the common dtype.

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.vecmat(dlc.ones((5, 3)), dlc.ones((3, 2))).shape
        (5, 2)
    """
    a, b = _pair(x, y)
    if not a.tensor.rank:
        raise ShapeError(f"vecmat of {types_text([a.tensor, b.tensor])}: vectors have an axis")
    row = matmul(reshaped(a, (*a.tensor.shape[:-1], 1, a.tensor.shape[-1])), b)
    return reshaped(row, (*row.tensor.shape[:-2], row.tensor.shape[-1]))
