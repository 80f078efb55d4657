"""Rows that compute something of whole matrices: determinants, pseudo-inverses, exponentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir.errors import ShapeError
from dlc.ir.op import Attrs, Op, Sample, register
from dlc.ir.ops.batching import elementwise
from dlc.ir.ops.matrices import (
    block,
    check_square,
    check_stacks,
    decomposed,
    product,
    same_dims,
    samples_of,
    scaled,
    square_type,
    stacked,
    transposed,
)
from dlc.ir.types import TensorType


def _mt(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _number_type(name: str, *more: int) -> Any:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        (x,) = types
        check_stacks(name, types)
        check_square(name, x)
        return x.with_shape((*x.shape[:-2], *more))

    return infer


def _inner(b: Any, x: Any, y: Any) -> Any:
    """The sum of the products of the elements of two matrices."""
    rank = x.tensor.rank
    return b.reduce_sum(b.mul(x, y), axes=(rank - 2, rank - 1))


def _over(b: Any, number: Any, like: Any) -> Any:
    """A number of each matrix, for each of its elements."""
    lead = number.tensor.shape
    return b.broadcast_to(b.reshape(number, shape=(*lead, 1, 1)), shape=like.tensor.shape)


# Symmetric part

register(
    Op(
        "symmetric",
        "(x + x^T) / 2 of square matrices.",
        infer=square_type("symmetric"),
        decompose=lambda b, x: scaled(b, b.add(x, transposed(b, x)), 0.5),
        batch=elementwise("symmetric"),
        samples=samples_of((4, 4), (2, 3, 3), (1, 1), (0, 0)),
    )
)


# Determinants


def _cofactors_reference(x: Any) -> Any:
    """det(A) A^-T of any matrix, by its singular values: Stewart, "On the adjugate matrix"."""
    u, s, vh = decomposed(np.linalg.svd, x)
    ones = np.ones((*s.shape[:-1], 1), s.dtype)
    before = np.concatenate([ones, np.cumprod(s, -1)[..., :-1]], -1)
    after = np.concatenate([np.cumprod(s[..., ::-1], -1)[..., ::-1][..., 1:], ones], -1)
    sign = np.rint(np.linalg.det(u) * np.linalg.det(vh)).astype(x.dtype)
    return u @ ((sign[..., None] * before * after)[..., None] * vh) if s.shape[-1] else x


def _cofactors_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    total = _over(b, _inner(b, out, t[0]), out)
    turned = product(b, product(b, out, transposed(b, t[0])), out)
    return b.div(b.sub(b.mul(total, out), turned), _over(b, b.det(x[0]), out))


def _slogdet_reference(x: Any) -> Any:
    return np.stack(np.linalg.slogdet(x), axis=-1)


def _slogdet_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    moved = _inner(b, transposed(b, b.inverse(x[0])), t[0])
    moved = b.reshape(moved, shape=(*moved.tensor.shape, 1))
    return b.concat(b.const(0.0, moved.tensor), moved, axis=moved.tensor.rank - 1)


register(
    Op(
        "det",
        "The determinant.",
        infer=_number_type("det"),
        reference=np.linalg.det,
        family="host",
        jvp=lambda b, out, x, t: _inner(b, b.cofactors(x[0]), t[0]),
        batch=elementwise("det"),
        samples=samples_of((4, 4), (2, 3, 3), (1, 1), (0, 0)),
    )
)
register(
    Op(
        "cofactors",
        "The matrix of cofactors, det(A) A^-T where A has an inverse. Of a singular matrix its own "
        "derivative is NaN.",
        infer=square_type("cofactors"),
        reference=_cofactors_reference,
        family="host",
        jvp=_cofactors_jvp,
        batch=elementwise("cofactors"),
        samples=samples_of((4, 4), (2, 3, 3), (1, 1), (0, 0)),
    )
)
register(
    Op(
        "slogdet",
        "The sign of the determinant and the logarithm of its magnitude.",
        infer=_number_type("slogdet", 2),
        reference=_slogdet_reference,
        family="host",
        jvp=_slogdet_jvp,
        batch=elementwise("slogdet"),
        samples=samples_of((4, 4), (2, 3, 3), (1, 1), (0, 0)),
    )
)


# Pseudo-inverse


def _pinv_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    (x,) = types
    check_stacks("pinv", types)
    return x.with_shape((*x.shape[:-2], x.shape[-1], x.shape[-2]))


def _pinv_reference(x: Any, rtol: float | None) -> Any:
    u, s, vh = decomposed(np.linalg.svd, x, full_matrices=False)
    if not s.shape[-1]:
        return np.zeros_like(_mt(x))
    least = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps) if rtol is None else rtol
    kept = s > s[..., :1] * least
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(x.dtype)
    return _mt(vh) @ (inverse[..., None] * _mt(u))


def _pinv_jvp(b: Any, out: Any, x: Any, t: Any, rtol: float | None) -> Any:
    # Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares
    # problems whose variables separate", 1973, equation 4.12: for matrices of constant rank.
    a, ta = x[0], transposed(b, t[0])
    outt = transposed(b, out)
    first = product(b, product(b, out, t[0]), out)
    second = product(b, product(b, out, outt), b.sub(ta, product(b, ta, product(b, a, out))))
    third = product(b, b.sub(ta, product(b, product(b, out, a), ta)), product(b, outt, out))
    return b.sub(b.add(second, third), first)


register(
    Op(
        "pinv",
        "The pseudo-inverse of Moore and Penrose; singular values up to rtol times the largest one "
        "count as zeros, by default rtol is the larger extent times the distance from 1 to the "
        "next number.",
        infer=_pinv_type,
        reference=_pinv_reference,
        attrs={"rtol": "number"},
        defaults={"rtol": None},
        family="host",
        jvp=_pinv_jvp,
        batch=elementwise("pinv"),
        samples=samples_of((4, 4), (5, 3), (2, 3, 4), (1, 1), (0, 3)),
    )
)


# Exponential

# Coefficients of the numerator of Padé's approximant of degree 13, and the norm up to which it is
# exact at float64: Higham, "The scaling and squaring method for the matrix exponential revisited",
# 2005.
_PADE = (
    64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000,
    10559470521600, 670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
)  # fmt: skip
_LARGEST = 5.371920351148152


def _expm_reference(x: Any) -> Any:
    a = x.astype(np.float64)
    norm = np.abs(a).sum(-2).max(-1, initial=0.0)
    endless = ~np.isfinite(norm)
    a[endless] = 0
    times = np.where(endless, 1, np.maximum(norm / _LARGEST, 1))
    halvings = np.ceil(np.log2(times)).astype(int)
    a /= np.ldexp(1.0, halvings)[..., None, None]  # each scaled by itself
    squares = [np.eye(a.shape[-1]), a @ a]
    squares += [squares[1] @ squares[1]]
    squares += [squares[2] @ squares[1]]
    even, odd = (_polynomial(_PADE[first::2], squares) for first in (0, 1))
    odd = a @ odd
    result = np.linalg.solve(even - odd, even + odd)
    for k in range(halvings.max(initial=0)):
        more = halvings > k
        if more.all():
            result = result @ result
        else:
            result[more] = result[more] @ result[more]
    result[endless] = np.nan
    return result.astype(x.dtype)


def _polynomial(coefficients: Sequence[float], powers: Sequence[Any]) -> Any:
    """The sum of seven coefficients times powers 0 to 6 of a matrix, of which 0 to 3 are given."""
    low = sum(c * p for c, p in zip(coefficients[:4], powers, strict=True))
    high = sum(c * p for c, p in zip(coefficients[4:], powers[1:], strict=True))
    return low + powers[3] @ high


def _triangle(b: Any, x: Any, y: Any) -> Any:
    """The matrices [[x, y], [0, x]]."""
    axis = x.tensor.rank - 1
    zero = b.const(0.0, x.tensor)
    return stacked(b, b.concat(x, y, axis=axis), b.concat(zero, x, axis=axis))


def _tangent_reference(x: Any, t: Any) -> Any:
    n = x.shape[-1]
    whole = np.block([[x, t], [np.zeros_like(x), x]])
    return _expm_reference(whole)[..., :n, n:]


def _tangent_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, t = types
    check_stacks("expm_tangent", types)
    check_square("expm_tangent", x)
    if not same_dims(x.shape, t.shape):
        raise ShapeError(f"expm_tangent of {x} and {t}: the shapes differ")
    return x


def _tangent_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    total = None if t[1] is None else b.expm_tangent(x[0], t[1])
    if t[0] is not None:
        n = x[0].tensor.shape[-1]
        moved = _triangle(b, t[0], b.const(0.0, t[0].tensor))
        whole = b.expm_tangent(_triangle(b, x[0], x[1]), moved)
        corner = block(b, block(b, whole, 0, n), n, n + n, axis=-1)
        total = corner if total is None else b.add(total, corner)
    return total


register(
    Op(
        "expm",
        "The exponential of a matrix.",
        infer=square_type("expm"),
        reference=_expm_reference,
        family="host",
        jvp=lambda b, out, x, t: b.expm_tangent(x[0], t[0]),
        batch=elementwise("expm"),
        samples=samples_of((4, 4), (2, 3, 3), (1, 1), (0, 0)),
    )
)
register(
    Op(
        # The upper right block of exp([[A, T], [0, A]]): Mathias, "A chain rule for matrix
        # functions and applications", 1996.
        "expm_tangent",
        "The derivative of the exponential of A in the direction T.",
        infer=_tangent_type,
        reference=_tangent_reference,
        family="host",
        jvp=_tangent_jvp,
        linear=(1,),
        transpose=lambda b, ct, i, x: b.expm_tangent(transposed(b, x[0]), ct),
        batch=elementwise("expm_tangent"),
        samples=lambda: [
            Sample(((shape, d), (shape, d)))
            for shape in ((3, 3), (2, 2, 2), (0, 0))
            for d in ("f64", "f32")
        ],
    )
)
