"""Rows that solve systems of linear equations: Cholesky factors, triangular and general solves.

LAPACK computes them, through `numpy.linalg`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir.dims import dims_equal
from dlc.ir.errors import ShapeError
from dlc.ir.op import Attrs, Op, Sample, register
from dlc.ir.ops.batching import elementwise
from dlc.ir.ops.matrices import (
    band,
    check_square,
    check_stacks,
    each_matrix,
    lower_half,
    product,
    scaled,
    square_type,
    transposed,
)
from dlc.ir.types import TensorType

_BLOCK = 32  # rows of a triangle that are solved together
_FEW = 8  # matrices: of more, a row of all at a time is faster than LAPACK matrix by matrix


def _definite(n: int, dtype: Any, lead: tuple[int, ...] = ()) -> Any:
    """Samples of symmetric positive definite matrices."""
    x = np.random.default_rng(n).standard_normal((*lead, n, n))
    return (x @ np.swapaxes(x, -1, -2) + n * np.eye(n)).astype(dtype)


# Cholesky


def _cholesky_reference(x: Any, strict: bool) -> Any:
    failure = "is not positive definite" if strict else ""
    return each_matrix(np.linalg.cholesky, [x], x.shape, failure)


def _cholesky_jvp(b: Any, out: Any, x: Any, t: Any, strict: bool) -> Any:
    # Murray, "Differentiation of the Cholesky decomposition", 2016, equation 8. What is above the
    # diagonal of the operand is not read.
    half = _triangular(b, out, lower_half(b, t[0]))
    inner = _triangular(b, out, transposed(b, half))
    phi = b.sub(band(b, inner, "ge"), scaled(b, band(b, inner, "eq"), 0.5))
    return product(b, out, phi)


register(
    Op(
        "cholesky",
        "The lower triangular L of A = L L^T, from the lower triangle of A. A matrix that is not "
        "positive definite gives NaN, or an error where the op is strict.",
        infer=square_type("cholesky"),
        reference=_cholesky_reference,
        attrs={"strict": "bool"},
        defaults={"strict": False},
        family="host",
        jvp=_cholesky_jvp,
        batch=elementwise("cholesky"),
        samples=lambda: [
            Sample((_definite(4, np.float64),)),
            Sample((_definite(3, np.float32, (2,)),)),
            Sample((((0, 0), "f64"),)),
            Sample((((5, 5), "f32"),)),
        ],
    )
)


# Triangular solve


def _solve_type(name: str) -> Any:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        a, y = types
        check_stacks(name, types)
        check_square(name, a)
        if not dims_equal(a.shape[-1], y.shape[-2]):
            raise ShapeError(
                f"{name} of {a} and {y}: {a.shape[-1]} unknowns, {y.shape[-2]} right-hand sides",
                hint="the rows of the second must be as many as those of the first",
            )
        return y

    return infer


def _triangular_reference(a: Any, y: Any, lower: bool, transpose: bool, unit: bool) -> Any:
    """Substitution, by blocks of rows whose effect on the others is a product."""
    if transpose:
        a, lower = np.swapaxes(a, -1, -2), not lower
    n = a.shape[-1]
    x = np.array(y, order="C")
    solved = _by_lapack if math.prod(a.shape[:-2]) <= _FEW else _by_rows
    starts = range(0, n, _BLOCK)
    for start in starts if lower else reversed(starts):
        block = slice(start, min(start + _BLOCK, n))
        rest = slice(block.stop, n) if lower else slice(0, start)
        rows = x[..., block, :]
        rows[...] = solved(a[..., block, block], rows, lower, unit)
        x[..., rest, :] -= a[..., rest, block] @ rows
    return x


def _by_rows(a: Any, y: Any, lower: bool, unit: bool) -> Any:
    """The solutions for the triangles of a stack, a row of all of them after the other."""
    x = y.copy()
    for i in range(a.shape[-1]) if lower else reversed(range(a.shape[-1])):
        done = slice(0, i) if lower else slice(i + 1, None)
        x[..., i, :] -= (a[..., i : i + 1, done] @ x[..., done, :])[..., 0, :]
        if not unit:
            x[..., i, :] /= a[..., i, i, None]
    return x


def _by_lapack(a: Any, y: Any, lower: bool, unit: bool) -> Any:
    """The solutions for triangles as general matrices: an upper one is its own second factor."""
    turn = slice(None, None, -1 if lower else 1)
    at = np.arange(a.shape[-1])
    kept = at[:, None] < at if unit else at[:, None] <= at
    upper = np.where(kept, a[..., turn, turn], a.dtype.type(0))
    if unit:
        upper[..., at, at] = 1
    try:
        x = np.linalg.solve(upper, y[..., turn, :])[..., turn, :]
    except np.linalg.LinAlgError:  # a zero on a diagonal
        return _by_rows(a, y, lower, unit)
    return x if np.isfinite(x).all() else _by_rows(a, y, lower, unit)


def _triangular(b: Any, a: Any, y: Any) -> Any:
    return b.triangular_solve(a, y, lower=True, transpose=False, unit=False)


def _triangular_jvp(b: Any, out: Any, x: Any, t: Any, **attrs: Any) -> Any:
    total = t[1]
    if t[0] is not None:
        compare = ("gt" if attrs["unit"] else "ge") if attrs["lower"] else "le"
        compare = "lt" if attrs["unit"] and not attrs["lower"] else compare
        ta = band(b, t[0], compare)
        moved = product(b, transposed(b, ta) if attrs["transpose"] else ta, out)
        total = b.neg(moved) if total is None else b.sub(total, moved)
    return b.triangular_solve(x[0], total, **attrs)


def _triangular_transpose(b: Any, ct: Any, i: int, x: Any, **attrs: Any) -> Any:
    return b.triangular_solve(x[0], ct, **{**attrs, "transpose": not attrs["transpose"]})


register(
    Op(
        "triangular_solve",
        "The X of A X = B, or of A^T X = B, for A that is triangular: the other triangle is not "
        "read, nor the diagonal where it is taken as ones (unit).",
        infer=_solve_type("triangular_solve"),
        reference=_triangular_reference,
        attrs={"lower": "bool", "transpose": "bool", "unit": "bool"},
        defaults={"lower": True, "transpose": False, "unit": False},
        family="host",
        jvp=_triangular_jvp,
        linear=(1,),
        transpose=_triangular_transpose,
        batch=elementwise("triangular_solve"),
        samples=lambda: (
            [
                Sample(
                    (_definite(4, np.float64), ((4, 3), "f64")), {"lower": lower, "transpose": t}
                )
                for lower in (True, False)
                for t in (True, False)
            ]
            + [
                Sample((_definite(3, np.float64), ((3, 2), "f64")), {"unit": True}),
                Sample((_definite(3, np.float64), ((3, 2), "f64")), {"unit": True, "lower": False}),
                Sample((_definite(3, np.float32, (2,)), ((2, 3, 1), "f32"))),
                Sample((((0, 0), "f64"), ((0, 2), "f64"))),
            ]
        ),
    )
)


# General solve


def _solve_reference(a: Any, y: Any, strict: bool) -> Any:
    return each_matrix(np.linalg.solve, [a, y], y.shape, "is singular" if strict else "")


def _solve_jvp(b: Any, out: Any, x: Any, t: Any, strict: bool) -> Any:
    total = t[1]
    if t[0] is not None:
        moved = product(b, t[0], out)
        total = b.neg(moved) if total is None else b.sub(total, moved)
    return b.solve(x[0], total)


register(
    Op(
        "solve",
        "The X of A X = B. A singular A gives NaN, or an error where the op is strict.",
        infer=_solve_type("solve"),
        reference=_solve_reference,
        attrs={"strict": "bool"},
        defaults={"strict": False},
        family="host",
        jvp=_solve_jvp,
        linear=(1,),
        transpose=lambda b, ct, i, x, strict: b.solve(transposed(b, x[0]), ct),
        batch=elementwise("solve"),
        samples=lambda: [
            Sample((_definite(4, np.float64), ((4, 3), "f64"))),
            Sample((_definite(3, np.float32, (2,)), ((2, 3, 1), "f32"))),
            Sample((((0, 0), "f64"), ((0, 2), "f64"))),
            Sample((((4, 4), "f64"), ((4, 0), "f64"))),
            Sample((((1, 1), "f32"), ((1, 1), "f32"))),
        ],
    )
)


def _inverse_reference(x: Any, strict: bool) -> Any:
    return each_matrix(np.linalg.inv, [x], x.shape, "is singular" if strict else "")


register(
    Op(
        "inverse",
        "The inverse of a square matrix. A singular one gives NaN, or an error where the op is "
        "strict.",
        infer=square_type("inv"),
        reference=_inverse_reference,
        attrs={"strict": "bool"},
        defaults={"strict": False},
        family="host",
        jvp=lambda b, out, x, t, strict: b.neg(product(b, product(b, out, t[0]), out)),
        batch=elementwise("inverse"),
        samples=lambda: [
            Sample((_definite(4, np.float64),)),
            Sample((_definite(3, np.float32, (2,)),)),
            Sample((((0, 0), "f64"),)),
            Sample((((1, 1), "f32"),)),
        ],
    )
)
