"""Decompositions of matrices: QR, eigenvalues of symmetric ones, singular values."""

from __future__ import annotations

from dlc.frontend.apply import apply, convert
from dlc.frontend.cast_table import casts
from dlc.frontend.functions.arguments import ArrayLike, reshaped
from dlc.frontend.functions.shape import concat, matrix_transpose
from dlc.frontend.linalg.matrices import check_matrix, check_square, matrices, rows, symmetric
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, at_least, minimum
from dlc.ir.errors import ValueRangeError, nearest
from dlc.ir.record import NamedTuple


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Tensor
    R: Tensor


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


@casts
def qr(x: ArrayLike, /, *, mode: str = "reduced") -> QRResult:
    """Orthonormal Q and upper triangular R with x = Q R.

    Args:
        x: Matrices [..., m, n].
        mode: "reduced" for Q [..., m, k] and R [..., k, n], k the smaller of m and n; "complete"
            for Q [..., m, m] and R [..., m, n], which has a derivative only where m <= n.

    Returns:
        Q and R of the float dtype of x. Derivatives are those of matrices whose first k columns are
        independent.

    Raises:
        ShapeError: `x` is no matrix.
        ValueRangeError: An unknown mode.

    Example:
        >>> q, r = dlc.linalg.qr(dlc.asarray([[3.0, 1.0], [4.0, 2.0]]))
        >>> dlc.linalg.matmul(q, r).shape
        (2, 2)
    """
    if mode not in ("reduced", "complete"):
        raise ValueRangeError(
            f"qr has no mode {mode!r}", hint=nearest(mode, ("reduced", "complete"))
        )
    (a,), dtype = matrices(x)
    check_matrix("qr", a)
    m, n = a.tensor.shape[-2:]
    if mode == "complete" and not at_least(n, m):
        both = matrix_transpose(apply("complete_qr", a))
        q, r = map(matrix_transpose, rows(both, (m, n)))
    elif at_least(m, n):
        q, r = rows(apply("qr", a), (m, n))
    else:  # the first columns decide Q
        left, right = map(matrix_transpose, rows(matrix_transpose(a), (minimum(m, n), n - m)))
        q, r = rows(apply("qr", left), (m, m))
        r = concat([r, matrix_transpose(q) @ right], axis=-1)
    return QRResult(convert(q, dtype), convert(r, dtype))


@casts
def eigh(x: ArrayLike, /) -> EighResult:
    """The eigenvalues and eigenvectors of symmetric matrices.

    Args:
        x: Symmetric matrices [..., n, n]; of others, (x + x^T) / 2 counts.

    Returns:
        `eigenvalues` [..., n] in ascending order and `eigenvectors` [..., n, n] in columns, of the
        float dtype of x, with a positive largest entry. Their derivative counts those of equal
        eigenvalues as not turning into each other; what depends on the choice of such vectors has
        no derivative.

    Raises:
        ShapeError: The matrices are not square.
        LinAlgError: A matrix holds NaN or infinity.

    Example:
        >>> dlc.linalg.eigh(dlc.asarray([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
        Tensor([1., 2.], dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_square("eigh", a)
    n = a.tensor.shape[-1]
    w, v = rows(apply("eigh", symmetric(a)), (1, n))
    w = reshaped(w, (*w.tensor.shape[:-2], n))
    return EighResult(convert(w, dtype), convert(v, dtype))


@casts
def eigvalsh(x: ArrayLike, /) -> Tensor:
    """The eigenvalues of symmetric matrices, in ascending order.

    Args:
        x: Symmetric matrices [..., n, n]; of others, (x + x^T) / 2 counts.

    Returns:
        A tensor [..., n] of the float dtype of x.

    Raises:
        ShapeError: The matrices are not square.
        LinAlgError: A matrix holds NaN or infinity.

    Example:
        >>> dlc.linalg.eigvalsh(dlc.asarray([[0.0, 1.0], [1.0, 0.0]]))
        Tensor([-1.,  1.], dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_square("eigvalsh", a)
    return convert(apply("eigvalsh", symmetric(a)), dtype)


@casts
def svd(x: ArrayLike, /, *, full_matrices: bool = True) -> SVDResult:
    """The singular value decomposition x = U diag(S) Vh.

    Args:
        x: Matrices [..., m, n]; k is the smaller of m and n.
        full_matrices: Whether U is [..., m, m] and Vh [..., n, n], which have derivatives only for
            square matrices; else they are [..., m, k] and [..., k, n].

    Returns:
        `U`, `S` [..., k] in descending order, and `Vh`, of the float dtype of x. Derivatives of
        vectors count those of equal singular values as not turning into each other.

    Raises:
        ShapeError: `x` is no matrix.
        LinAlgError: A matrix holds NaN or infinity.

    Example:
        >>> dlc.linalg.svd(dlc.asarray([[0.0, 2.0], [1.0, 0.0]])).S
        Tensor([2., 1.], dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_matrix("svd", a)
    m, n = a.tensor.shape[-2:]
    k = minimum(m, n)
    lead = a.tensor.shape[:-2]
    if full_matrices and not (at_least(m, n) and at_least(n, m)):
        flat = apply("full_svd", a)
        column = reshaped(flat, (*flat.tensor.shape, 1))
        parts = rows(column, (m * m, k, n * n))
        shapes: list[tuple[Dim, ...]] = [(m, m), (k,), (n, n)]
        u, s, vh = (reshaped(p, (*lead, *q)) for p, q in zip(parts, shapes, strict=True))
    else:
        u, s, v = rows(apply("svd", a), (m, 1, n))
        s, vh = reshaped(s, (*lead, k)), matrix_transpose(v)
    return SVDResult(*(convert(t, dtype) for t in (u, s, vh)))


@casts
def svdvals(x: ArrayLike, /) -> Tensor:
    """The singular values of matrices, in descending order.

    Args:
        x: Matrices [..., m, n].

    Returns:
        A tensor [..., k] of the float dtype of x, k the smaller of m and n.

    Raises:
        ShapeError: `x` is no matrix.
        LinAlgError: A matrix holds NaN or infinity.

    Example:
        >>> dlc.linalg.svdvals(dlc.asarray([[0.0, 2.0], [1.0, 0.0]]))
        Tensor([2., 1.], dtype=float32)
    """
    (a,), dtype = matrices(x)
    check_matrix("svdvals", a)
    return convert(apply("svdvals", a), dtype)
