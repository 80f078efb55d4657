"""Operators of linear algebra. Their gradients are PyTorch's formulas, over the same operators."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.frontend.apply import apply
from dlc.interop.torch.operators.arguments import stacked
from dlc.interop.torch.operators.factors import lu_factor, lu_solve
from dlc.interop.torch.table import aten


def _of_half(a: Any, upper: bool) -> Any:
    """Symmetric matrices, given by one triangle."""
    half = dlc.triu(a) if upper else dlc.tril(a)
    return half + (dlc.triu(a, k=1) if upper else dlc.tril(a, k=-1)).mT


def _codes(found: Any, *operands: Any) -> Any:
    """Codes of errors by results, which are NaN where LAPACK gives up: 0, or the order there.

    NaN in an operand is no failure.
    """
    lead, n = found.shape[:-2], found.shape[-2]
    if 0 in found.shape:
        return dlc.zeros(lead, dtype=dlc.int32)
    failed = dlc.isnan(found[..., 0, 0])
    for x in operands:
        failed = failed & dlc.all(dlc.isfinite(x), axis=(-2, -1))
    return dlc.astype(dlc.where(failed, n, 0), dlc.int32)


@aten("cholesky")
def cholesky(a: Any, upper: bool = False) -> Any:
    """The triangular factor of symmetric positive definite matrices."""
    return dlc.linalg.cholesky(_of_half(a, upper), upper=upper)


@aten("linalg_cholesky_ex", needs=("strict",))
def cholesky_ex(a: Any, *, upper: bool = False, check_errors: bool = False, strict: bool) -> Any:
    """The triangular factor, and codes of errors."""
    del check_errors
    low = apply("cholesky", a.mT if upper else a, strict=strict)
    return low.mT if upper else low, _codes(low)


def _solved_by(factor: Any, b: Any, upper: bool) -> Any:
    low = factor.mT if upper else factor
    y = dlc.linalg.solve_triangular(low, b, lower=True)
    return dlc.linalg.solve_triangular(low.mT, y, lower=False)


@aten("cholesky_solve")
def cholesky_solve(b: Any, factor: Any, upper: bool = False) -> Any:
    """The solution of A x = b by A's factor."""
    factor, b = stacked(factor, b)
    return _solved_by(factor, b, upper)


@aten("cholesky_inverse")
def cholesky_inverse(factor: Any, upper: bool = False) -> Any:
    """The inverse of A by A's factor."""
    unit = dlc.broadcast_to(dlc.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
    return _solved_by(dlc.triu(factor) if upper else dlc.tril(factor), unit, upper)


@aten("_linalg_solve_ex", needs=("strict", "used", "transposed"))
def solve_ex(
    a: Any,
    b: Any,
    *,
    left: bool = True,
    check_errors: bool = False,
    strict: bool,
    used: frozenset[int],
    transposed: bool,
) -> Any:
    """The solution of A x = b (or x A = b); factors of A for its gradient; codes of errors."""
    vectors = b.ndim == 1 or b.shape == a.shape[:-1]
    given = b[..., None] if vectors else b
    if used & {1, 2}:
        factored = a.mT if transposed else a
        packed, pivots, codes = lu_factor(factored, check_errors=check_errors)
        x = lu_solve(packed, pivots, given, left=left, adjoint=transposed)
    else:
        packed = pivots = None
        rows, right = stacked(a, given) if left else stacked(a.mT, given.mT)
        x = apply("solve", rows, right, strict=strict)
        codes = _codes(x, a, given)
        x = x if left else x.mT
    return x[..., 0] if vectors else x, packed, pivots, codes


@aten("linalg_inv_ex", needs=("strict",))
def inv_ex(a: Any, *, check_errors: bool = False, strict: bool) -> Any:
    """The inverse, and codes of errors."""
    del check_errors
    found = apply("inverse", a, strict=strict)
    return found, _codes(found, a)


@aten("_linalg_check_errors")
def check_errors(_codes: Any, _name: str, *, is_matrix: bool) -> None:
    """Nothing: programs raise by themselves, or have the codes among their results."""
    del is_matrix


@aten("linalg_solve_triangular")
def solve_triangular(
    a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    """The solution of A x = b, or x A = b, for triangular A."""
    a, b = stacked(a, b)
    if not left:
        a, b, upper = a.mT, b.mT, not upper
    x = dlc.linalg.solve_triangular(a, b, lower=not upper, unit_diagonal=unitriangular)
    return x if left else x.mT


@aten("_linalg_eigh")
def eigh(a: Any, half: str = "L", compute_v: bool = True) -> Any:
    """Eigenvalues in ascending order, and eigenvectors, of symmetric matrices."""
    whole = _of_half(a, half.upper() == "U")
    if not compute_v:
        return dlc.linalg.eigvalsh(whole), dlc.zeros((0,), dtype=a.dtype)
    return tuple(dlc.linalg.eigh(whole))


@aten("_linalg_svd")
def svd(
    a: Any, full_matrices: bool = False, compute_uv: bool = True, *, driver: str | None = None
) -> Any:
    """The singular value decomposition."""
    del driver
    if not compute_uv:
        empty = dlc.zeros((0,), dtype=a.dtype)
        return empty, dlc.linalg.svdvals(a), empty
    return tuple(dlc.linalg.svd(a, full_matrices=full_matrices))


@aten("linalg_qr")
def qr(a: Any, mode: str = "reduced") -> Any:
    """Orthonormal Q and triangular R."""
    if mode == "r":
        return dlc.zeros((0,), dtype=a.dtype), dlc.linalg.qr(a).R
    return tuple(dlc.linalg.qr(a, mode=mode))


@aten("linalg_matrix_exp")
def matrix_exp(a: Any) -> Any:
    """The exponential of matrices."""
    return dlc.linalg.expm(a)


@aten("linalg_pinv.atol_rtol_tensor")
def pinv(a: Any, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    """The pseudo-inverse; singular values up to max(atol, rtol times the largest) count as 0."""
    if hermitian:
        a = _of_half(a, False)
    if 0 in a.shape:
        return a.mT
    if rtol is None:
        rtol = float(dlc.finfo(a.dtype).eps) * max(a.shape[-2:])
        if atol is not None:
            rtol = dlc.where(atol > 0, 0.0, rtol)
    u, s, vh = dlc.linalg.svd(a, full_matrices=False)
    limit = rtol * dlc.max(s, axis=-1)
    if atol is not None:
        limit = dlc.maximum(atol, limit)
    kept = s > limit[..., None]
    inverse = dlc.where(kept, 1 / dlc.where(kept, s, 1), 0)
    return dlc.matmul(vh.mT * inverse[..., None, :], u.mT)


@aten("linalg_cross")
def cross(a: Any, b: Any, *, dim: int = -1) -> Any:
    """The cross product of vectors of three."""
    a, b = dlc.broadcast_arrays(a, b)
    return dlc.linalg.cross(a, b, axis=dim)
