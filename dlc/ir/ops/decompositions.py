"""Rows that take matrices apart: QR, eigenvalues and singular values.

LAPACK computes them, through `numpy.linalg`. An op has one result here, so what has several parts
gives them as rows of one matrix; the public functions take them apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir.dims import at_least, minimum
from dlc.ir.errors import ShapeError
from dlc.ir.op import Attrs, NoDerivative, Op, register
from dlc.ir.ops.batching import elementwise
from dlc.ir.ops.matrices import (
    as_row,
    band,
    check_square,
    check_stacks,
    decomposed,
    diagonal_row,
    lower_half,
    product,
    safe_reciprocal,
    samples_of,
    stacked,
    taken,
    transposed,
)
from dlc.ir.types import TensorType


def _mt(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


# QR


def _qr_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    (x,) = types
    check_stacks("qr", types)
    m, n = x.shape[-2:]
    if not at_least(m, n, expected=True):
        raise ShapeError(f"qr of {x}: the op takes matrices of at least as many rows as columns")
    return x.with_shape((*x.shape[:-2], m + n, n))


def _qr_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    # Walter, Lehmann and Lamour, "On evaluating higher-order derivatives of the QR decomposition of
    # tall matrices with full column rank in forward and reverse mode AD", 2012.
    m, n = x[0].tensor.shape[-2:]
    q, r = taken(b, out, (m, n))
    c = transposed(
        b, b.triangular_solve(r, transposed(b, t[0]), lower=False, transpose=True, unit=False)
    )
    inner = product(b, transposed(b, q), c)
    below = band(b, inner, "gt")
    turned = b.sub(below, transposed(b, below))
    rest = b.sub(inner, turned)
    return stacked(b, b.sub(c, product(b, q, rest)), product(b, rest, r))


register(
    Op(
        "qr",
        "Q with orthonormal columns and upper triangular R of A = Q R, one under the other, for A "
        "of at least as many rows as columns.",
        infer=_qr_type,
        reference=lambda x: np.concatenate(np.linalg.qr(x), axis=-2),
        family="host",
        jvp=_qr_jvp,
        batch=elementwise("qr"),
        samples=samples_of((4, 4), (5, 3), (2, 3, 2), (1, 1), (3, 0)),
    )
)


def _complete_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    (x,) = types
    check_stacks("qr", types)
    m, n = x.shape[-2:]
    return x.with_shape((*x.shape[:-2], m, m + n))


register(
    Op(
        "complete_qr",
        "Square orthogonal Q and upper triangular R of A = Q R, side by side.",
        infer=_complete_type,
        reference=lambda x: np.concatenate(np.linalg.qr(x, mode="complete"), axis=-1),
        family="host",
        jvp=NoDerivative("unknown"),
        batch=elementwise("complete_qr"),
        samples=samples_of((4, 3), (3, 5), (2, 3, 2)),
    )
)


# Eigenvalues of symmetric matrices, of which the lower triangle is read


def _eigh_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    (x,) = types
    check_stacks("eigh", types)
    check_square("eigh", x)
    return x.with_shape((*x.shape[:-2], x.shape[-1] + 1, x.shape[-1]))


def _eigvalsh_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    (x,) = types
    check_stacks("eigvalsh", types)
    check_square("eigvalsh", x)
    return x.with_shape(x.shape[:-1])


def _eigh_reference(x: Any) -> Any:
    w, v = decomposed(np.linalg.eigh, x)
    if v.size:  # of both signs, which LAPACK changes with the last bit: the largest entry positive
        largest = np.abs(v).argmax(axis=-2, keepdims=True)
        v = v * np.copysign(v.dtype.type(1), np.take_along_axis(v, largest, axis=-2))
    return np.concatenate([w[..., None, :], v], axis=-2)


def _eigh_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    # Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
    # differentiation", 2008, section 3.1.
    n = x[0].tensor.shape[-1]
    w, v = taken(b, out, (1, n))
    inner = product(b, transposed(b, v), product(b, lower_half(b, t[0]), v))
    shape = inner.tensor.shape
    gaps = b.sub(b.broadcast_to(w, shape=shape), b.broadcast_to(transposed(b, w), shape=shape))
    turned = product(b, v, b.mul(safe_reciprocal(b, gaps), inner))
    return stacked(b, as_row(b, diagonal_row(b, inner)), turned)


def _eigvalsh_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    n = x[0].tensor.shape[-1]
    v = taken(b, b.eigh(x[0]), (1, n))[1]
    moved = b.mul(v, product(b, lower_half(b, t[0]), v))
    return b.reduce_sum(moved, axes=(moved.tensor.rank - 2,))


register(
    Op(
        "eigh",
        "The eigenvalues of a symmetric matrix in ascending order, as a row over its eigenvectors "
        "in columns. In derivatives, those of equal eigenvalues do not turn into each other.",
        infer=_eigh_type,
        reference=_eigh_reference,
        family="host",
        jvp=_eigh_jvp,
        batch=elementwise("eigh"),
        samples=samples_of((4, 4), (2, 3, 3), (1, 1), (0, 0)),
    )
)
register(
    Op(
        "eigvalsh",
        "The eigenvalues of a symmetric matrix in ascending order.",
        infer=_eigvalsh_type,
        reference=lambda x: decomposed(np.linalg.eigvalsh, x),
        family="host",
        jvp=_eigvalsh_jvp,
        batch=elementwise("eigvalsh"),
        samples=samples_of((4, 4), (2, 3, 3), (1, 1), (0, 0)),
    )
)


# Singular values


def _svd_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    (x,) = types
    check_stacks("svd", types)
    m, n = x.shape[-2:]
    return x.with_shape((*x.shape[:-2], m + n + 1, minimum(m, n)))


def _svdvals_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    (x,) = types
    check_stacks("svdvals", types)
    return x.with_shape((*x.shape[:-2], minimum(*x.shape[-2:])))


def _svd_reference(x: Any) -> Any:
    u, s, vh = decomposed(np.linalg.svd, x, full_matrices=False)
    return np.concatenate([u, s[..., None, :], _mt(vh)], axis=-2)


def _svd_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    # Townsend, "Differentiating the singular value decomposition", 2016.
    m, n = x[0].tensor.shape[-2:]
    u, s, v = taken(b, out, (m, 1, n))
    inner = product(b, transposed(b, u), product(b, t[0], v))
    shape = inner.tensor.shape
    along, down = (b.broadcast_to(y, shape=shape) for y in (s, transposed(b, s)))
    gaps = safe_reciprocal(b, b.mul(b.add(along, down), b.sub(along, down)))
    left, right = b.mul(inner, along), b.mul(inner, down)
    du = product(b, u, b.mul(gaps, b.add(left, transposed(b, left))))
    dv = product(b, v, b.mul(gaps, b.add(right, transposed(b, right))))
    if not at_least(n, m):
        du = b.add(du, _outside(b, u, product(b, t[0], v), s))
    if not at_least(m, n):
        dv = b.add(dv, _outside(b, v, product(b, transposed(b, t[0]), u), s))
    return stacked(b, du, as_row(b, diagonal_row(b, inner)), dv)


def _outside(b: Any, u: Any, moved: Any, s: Any) -> Any:
    """How singular vectors turn out of the space that they span."""
    rest = b.sub(moved, product(b, u, product(b, transposed(b, u), moved)))
    return b.mul(rest, b.broadcast_to(safe_reciprocal(b, s), shape=rest.tensor.shape))


def _svdvals_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    m, n = x[0].tensor.shape[-2:]
    u, _, v = taken(b, b.svd(x[0]), (m, 1, n))
    moved = b.mul(u, product(b, t[0], v))
    return b.reduce_sum(moved, axes=(moved.tensor.rank - 2,))


register(
    Op(
        "svd",
        "U, the singular values in descending order as a row, and V of A = U diag(s) V^T, one "
        "under the other. In derivatives, singular vectors of equal singular values do not turn "
        "into each other, nor those of zeros.",
        infer=_svd_type,
        reference=_svd_reference,
        family="host",
        jvp=_svd_jvp,
        batch=elementwise("svd"),
        samples=samples_of((4, 4), (5, 3), (2, 3, 4), (1, 1), (0, 3)),
    )
)
register(
    Op(
        "svdvals",
        "The singular values in descending order.",
        infer=_svdvals_type,
        reference=lambda x: decomposed(np.linalg.svd, x, compute_uv=False),
        family="host",
        jvp=_svdvals_jvp,
        batch=elementwise("svdvals"),
        samples=samples_of((4, 4), (5, 3), (2, 3, 4), (1, 1), (0, 3)),
    )
)


def _full_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    (x,) = types
    check_stacks("svd", types)
    m, n = x.shape[-2:]
    return x.with_shape((*x.shape[:-2], m * m + minimum(m, n) + n * n))


def _full_reference(x: Any) -> Any:
    rank = x.ndim - 2
    parts = decomposed(np.linalg.svd, x)
    flat = [p.reshape((*x.shape[:-2], math.prod(p.shape[rank:]))) for p in parts]
    return np.concatenate(flat, axis=-1)


register(
    Op(
        "full_svd",
        "The elements of square U, of the singular values, and of square V^T, one after the other.",
        infer=_full_type,
        reference=_full_reference,
        family="host",
        jvp=NoDerivative("unknown"),
        batch=elementwise("full_svd"),
        samples=samples_of((4, 3), (2, 2, 3), (3, 3)),
    )
)
