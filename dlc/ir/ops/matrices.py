"""What rows of linear algebra share: stacks of matrices in type rules and derivative rules.

Every operand is a stack `[..., m, n]`: leading axes are independent matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir.dims import dims_equal
from dlc.ir.errors import DTypeError, ShapeError
from dlc.ir.matrix_error import LinAlgError
from dlc.ir.op import Sample
from dlc.ir.types import TensorType, int64

FLOATS = ("f64", "f32")


def check_stacks(name: str, types: Sequence[TensorType]) -> None:
    """Raises unless all are stacks of matrices, float32 or float64, of equal leading axes."""
    first = types[0]
    for t in types:
        if t.dtype.short not in FLOATS or t.dtype is not first.dtype:
            raise DTypeError(
                f"{name} of {' and '.join(map(str, types))}: all must be float32, or all float64",
                hint="convert them first, for example with .astype(dlc.float32)",
            )
        if t.rank < 2:
            raise ShapeError(f"{name} of {t}: a matrix has two axes, a stack of them more")
        if not same_dims(t.shape[:-2], first.shape[:-2]):
            raise ShapeError(f"{name} of {first} and {t}: the axes before the last two differ")


def same_dims(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two shapes are equal."""
    return len(a) == len(b) and all(map(dims_equal, a, b))


def check_square(name: str, t: TensorType) -> None:
    """Raises unless the matrices of a stack are square."""
    if not dims_equal(t.shape[-1], t.shape[-2]):
        raise ShapeError(f"{name} of {t}: the last two extents must be equal, for square matrices")


def square_type(name: str) -> Callable[..., TensorType]:
    """The type rule of a function from square matrices to such."""

    def infer(types: Sequence[TensorType], attrs: Any) -> TensorType:
        (x,) = types
        check_stacks(name, types)
        check_square(name, x)
        return x

    return infer


# In derivative rules.


def product(b: Any, x: Any, y: Any) -> Any:
    """x @ y."""
    rank = x.tensor.rank
    lead = tuple(range(rank - 2))
    return b.dot_general(
        x, y, lhs_batch=lead, lhs_contract=(rank - 1,), rhs_batch=lead, rhs_contract=(rank - 2,)
    )


def transposed(b: Any, x: Any) -> Any:
    """The transposes of a stack of matrices."""
    rank = x.tensor.rank
    return b.transpose(x, axes=(*range(rank - 2), rank - 1, rank - 2))


def band(b: Any, x: Any, compare: str) -> Any:
    """x where its row number is `compare` ("ge": lower triangle) its column number, else 0."""
    shape, rank = x.tensor.shape, x.tensor.rank
    row, column = (b.iota(shape=shape, axis=rank - k, dtype=int64) for k in (2, 1))
    return b.select(getattr(b, compare)(row, column), x, b.const(0.0, x.tensor))


def scaled(b: Any, x: Any, factor: float) -> Any:
    """x times a number."""
    return b.mul(x, b.const(factor, x.tensor))


def lower_half(b: Any, x: Any) -> Any:
    """The symmetric matrix of the lower triangle of x."""
    return b.add(band(b, x, "ge"), transposed(b, band(b, x, "gt")))


def diagonal_row(b: Any, x: Any) -> Any:
    """The diagonal of a square matrix, `[..., n]`."""
    return b.reduce_sum(band(b, x, "eq"), axes=(x.tensor.rank - 2,))


def as_row(b: Any, x: Any) -> Any:
    """Vectors `[..., n]` as matrices of one row."""
    shape = x.tensor.shape
    return b.reshape(x, shape=(*shape[:-1], 1, shape[-1]))


def stacked(b: Any, *xs: Any) -> Any:
    """Matrices of as many columns, one under the other."""
    return b.concat(*xs, axis=xs[0].tensor.rank - 2)


def taken(b: Any, x: Any, heights: Sequence[Any]) -> list[Any]:
    """The parts of a matrix of `stacked` ones of these numbers of rows."""
    return [block(b, x, start, stop) for start, stop in _ranges(heights)]


def _ranges(heights: Sequence[Any]) -> list[tuple[Any, Any]]:
    ranges: list[tuple[Any, Any]] = []
    start: Any = 0
    for h in heights:
        ranges.append((start, start + h))
        start = start + h
    return ranges


def block(b: Any, x: Any, start: Any, stop: Any, axis: int = -2) -> Any:
    """The rows, or what lies along another axis, of x from `start` up to `stop`."""
    shape = x.tensor.shape
    at = len(shape) + axis
    low, high = [0] * len(shape), list(shape)
    low[at], high[at] = start, stop
    return b.slice(x, start=tuple(low), limit=tuple(high), step=(1,) * len(shape))


def safe_reciprocal(b: Any, x: Any) -> Any:
    """1 / x, and 0 for 0."""
    zero, one = b.const(0.0, x.tensor), b.const(1.0, x.tensor)
    is_zero = b.eq(x, zero)
    return b.select(is_zero, zero, b.div(one, b.select(is_zero, one, x)))


def samples_of(*shapes: tuple[int, ...]) -> Callable[[], list[Sample]]:
    """Samples of one operand of these shapes, at both element types."""
    return lambda: [Sample(((shape, short),)) for shape in shapes for short in FLOATS]


# In references.


def each_matrix(
    compute: Callable[..., Any], stacks: Sequence[Any], result: tuple[Any, ...], failure: str
) -> Any:
    """`compute` on stacks of matrices where some cannot be: those results are NaN.

    Args:
        compute: A function of NumPy; raises its LinAlgError where one matrix is not possible.
        stacks: Its arguments.
        result: The shape of the result.
        failure: For strict rows, what is wrong with a matrix that cannot be; else empty. What holds
            NaN gives NaN in strict rows too.

    Raises:
        LinAlgError: with `failure`, naming the first such matrix.
    """
    try:
        return compute(*stacks)
    except np.linalg.LinAlgError:
        pass
    found = np.full(result, np.nan, stacks[0].dtype)
    for at in np.ndindex(*result[: stacks[0].ndim - 2]):
        try:
            found[at] = compute(*(x[at] for x in stacks))
        except np.linalg.LinAlgError:
            if failure and not any(np.isnan(x[at]).any() for x in stacks):
                raise LinAlgError(f"{_name(at)} {failure}") from None
    return found


def _name(at: tuple[int, ...]) -> str:
    return f"matrix {list(at)} of the stack" if at else "the matrix"


def decomposed(compute: Callable[..., Any], x: Any, **options: Any) -> Any:
    """`compute`, NumPy's singular values or eigenvalues, of stacks of finite matrices.

    LAPACK's search for those of others may have no end, or end with numbers.

    Raises:
        LinAlgError: naming the first matrix that holds NaN or infinity.
    """
    finite = np.isfinite(x)
    if not finite.all():
        at = tuple(np.argwhere(~finite)[0, :-2].tolist())
        raise LinAlgError(f"{_name(at)} has no decomposition: it holds NaN or infinity")
    try:
        return compute(x, **options)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"{error}: LAPACK found no decomposition") from None
