"""Determinants, pseudo-inverses, least squares, powers and exponentials of matrices."""

from __future__ import annotations

from dlc.frontend.apply import apply, as_tensor, broadcast_to, convert, materialise, promote
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.arguments import ArrayLike, fresh, integer, reshaped, types_text
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.creation import eye
from dlc.frontend.functions.shape import expand_dims, matrix_transpose
from dlc.frontend.linalg.decompositions import svd, svdvals
from dlc.frontend.linalg.matrices import check_matrix, check_rows, check_square, matrices, rows
from dlc.frontend.linalg.norms import matrix_rank
from dlc.frontend.linalg.solving import inv
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ShapeError
from dlc.ir.record import NamedTuple


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


class LstsqResult(NamedTuple):
    """What `lstsq` returns."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


@casts
def det(x: ArrayLike, /) -> Tensor:
    """The determinant of square matrices.

    Args:
        x: Square matrices [..., n, n].

    Returns:
        A tensor [...] of the float dtype of x. The derivative holds for singular matrices too.

    Raises:
        ShapeError: The matrices are not square.

    Example:
        >>> dlc.linalg.det(dlc.asarray([[2.0, 0.0], [0.0, 3.0]]))
        Tensor(6., dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_square("det", a)
    return convert(apply("det", a), dtype)


@casts
def slogdet(x: ArrayLike, /) -> SlogdetResult:
    """The sign of the determinant and the logarithm of its magnitude, which cannot overflow.

    Args:
        x: Square matrices [..., n, n].

    Returns:
        `sign` [...] and `logabsdet` [...] of the float dtype of x: 0 and -inf for singular ones.

    Raises:
        ShapeError: The matrices are not square.

    Example:
        >>> dlc.linalg.slogdet(dlc.asarray([[0.0, 1.0], [1.0, 0.0]]))
        SlogdetResult(sign=Tensor(-1., dtype=float32), logabsdet=Tensor(0., dtype=float32))
    """
    (a,), dtype = matrices(x)
    check_square("slogdet", a)
    both = apply("slogdet", a)
    lead = a.tensor.shape[:-2]
    column = reshaped(both, (*both.tensor.shape, 1))
    sign, log = (convert(reshaped(p, lead), dtype) for p in rows(column, (1, 1)))
    return SlogdetResult(sign, log)


@casts
def pinv(x: ArrayLike, /, *, rtol: ArrayLike | None = None) -> Tensor:
    """The pseudo-inverse of Moore and Penrose.

    Args:
        x: Matrices [..., m, n].
        rtol: Singular values up to rtol times the largest one are zeros; by default the larger
            extent times the distance from 1 to the next number of the dtype. A number, or a tensor
            [...] with one for each matrix.

    Returns:
        Matrices [..., n, m] of the float dtype of x.

    Raises:
        ShapeError: `x` is no matrix.
        LinAlgError: A matrix holds NaN or infinity.

    Example:
        >>> dlc.linalg.pinv(dlc.asarray([[2.0, 0.0], [0.0, 0.0]]))
        Tensor([[0.5, 0. ],
                [0. , 0. ]], dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_matrix("pinv", a)
    if rtol is None or isinstance(rtol, (int, float)) or a.tensor.size == 0:
        least = float(rtol) if isinstance(rtol, (int, float)) else None
        return convert(apply("pinv", a, rtol=least), dtype)
    return convert(_pinv(a, convert(as_tensor(rtol), a.tensor.dtype)), dtype)


def _pinv(a: Tensor, rtol: Tensor) -> Tensor:
    """The pseudo-inverses of matrices that are not empty, by their singular values."""
    left, s, right = svd(a, full_matrices=False)
    least = expand_dims(rtol, axis=-1) * s[..., :1]
    kept = elementwise.greater(s, least)
    inverse = where(kept, elementwise.reciprocal(where(kept, s, 1)), 0)
    return (matrix_transpose(right) * expand_dims(inverse, axis=-2)) @ matrix_transpose(left)


@casts
def lstsq(a: ArrayLike, b: ArrayLike, /, rcond: float | None = None) -> LstsqResult:
    """The x with the least sum of squares of a x - b; of several, the shortest.

    Args:
        a: A matrix [m, n].
        b: A right-hand side [m], or several [m, k].
        rcond: Singular values up to rcond times the largest one are zeros; by default the larger
            extent times the distance from 1 to the next number of the dtype.

    Returns:
        `solution` [n] or [n, k]; `residuals`, the sums of squares of the columns of a x - b, [] or
        [k]; `rank`; and `singular_values` of a.

    Raises:
        ShapeError: The shapes do not fit.
        LinAlgError: `a` holds NaN or infinity.

    Example:
        >>> a, b = dlc.asarray([[1.0], [1.0]]), dlc.asarray([1.0, 3.0])
        >>> dlc.linalg.lstsq(a, b).solution.shape
        (1,)
    """
    (x, y), dtype = matrices(a, b)
    check_matrix("lstsq", x)
    vector = y.tensor.rank == 1
    y = reshaped(y, (*y.tensor.shape, 1)) if vector else y
    check_matrix("lstsq", y)
    check_rows("lstsq", x, y)
    solution = pinv(x, rtol=rcond) @ y
    residuals = reduction.sum(elementwise.square(x @ solution - y), axis=-2)
    if vector:
        solution = reshaped(solution, solution.tensor.shape[:-1])
        residuals = reshaped(residuals, residuals.tensor.shape[:-1])
    rank = matrix_rank(x, rtol=rcond)
    solution, residuals, s = (convert(t, dtype) for t in (solution, residuals, svdvals(x)))
    return LstsqResult(solution, residuals, rank, s)


@casts
def matrix_power(x: ArrayLike, n: int, /) -> Tensor:
    """The product of n times a square matrix, or of its inverse for negative n.

    Args:
        x: Square matrices [..., m, m].
        n: An integer.

    Returns:
        Matrices of the same shape, of the float dtype of x.

    Raises:
        ShapeError: The matrices are not square.
        LinAlgError: n is negative and a matrix is singular.

    Example:
        >>> dlc.linalg.matrix_power(dlc.asarray([[1.0, 1.0], [0.0, 1.0]]), 3)
        Tensor([[1., 3.],
                [0., 1.]], dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_square("matrix_power", a)
    power = integer("matrix_power", "n", n)
    base = inv(a) if power < 0 else a
    result: Tensor | None = None
    count = abs(power)
    while count:  # squares, and the product of those in the binary form of n
        if count & 1:
            result = base if result is None else result @ base
        count >>= 1
        base = base @ base if count else base
    if result is None:
        unit = eye(a.shape[-1], dtype=a.dtype)
        result = broadcast_to(unit, a.tensor.shape)
    return fresh(convert(result, dtype), x)


@casts
def multi_dot(arrays: list[ArrayLike] | tuple[ArrayLike, ...], /) -> Tensor:
    """The product of two or more matrices, in the order of least work.

    Args:
        arrays: Matrices; the first and the last may be vectors.

    Returns:
        Their product, of the common dtype. Where extents are symbolic, it is taken from the left.

    Raises:
        ShapeError: There are fewer than two, or the extents do not fit.

    Example:
        >>> dlc.linalg.multi_dot([dlc.ones((2, 3)), dlc.ones((3, 4)), dlc.ones((4,))])
        Tensor([12., 12.], dtype=float32)
    """
    if len(arrays) < 2:
        raise ShapeError(f"multi_dot of {len(arrays)} matrices: it takes two or more")
    given = [materialise(t) for t in promote(*arrays)]
    if any(t.tensor.rank != 2 for t in given[1:-1]) or any(
        t.tensor.rank not in (1, 2) for t in (given[0], given[-1])
    ):
        raise ShapeError(
            f"multi_dot of {types_text([t.tensor for t in given])}: it takes matrices; the first "
            "and the last may be vectors"
        )
    extents = [t.tensor.shape[0] if t.tensor.rank == 2 else 1 for t in given[:1]]
    extents += [t.tensor.shape[0] for t in given[1:]]
    extents += [given[-1].tensor.shape[1] if given[-1].tensor.rank == 2 else 1]
    sizes = [d for d in extents if isinstance(d, int)]
    if len(sizes) < len(extents):
        product = given[0]
        for t in given[1:]:
            product = product @ t
        return product
    splits = _cheapest(sizes)

    def chain(i: int, j: int) -> Tensor:
        return given[i] if i == j else chain(i, splits[i, j]) @ chain(splits[i, j] + 1, j)

    return chain(0, len(given) - 1)


def _cheapest(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where each chain of products is best cut in two (Godbole, 1973)."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    splits: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            costs = {
                k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                for k in range(i, j)
            }
            splits[i, j] = min(costs, key=costs.__getitem__)
            cost[i, j] = costs[splits[i, j]]
    return splits


@casts
def expm(x: ArrayLike, /) -> Tensor:
    """The exponential of square matrices.

    Args:
        x: Square matrices [..., n, n].

    Returns:
        Matrices of the same shape, of the float dtype of x.

    Raises:
        ShapeError: The matrices are not square.

    Example:
        >>> dlc.linalg.expm(dlc.asarray([[0.0, 1.0], [0.0, 0.0]]))
        Tensor([[1., 1.],
                [0., 1.]], dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_square("expm", a)
    return convert(apply("expm", a), dtype)
