"""Index polynomials against plain integer arithmetic at every point of small spaces."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.codegen.index_math import IndexMath, axis_name
from dlc.ir.dims import Dim, dim_text, evaluate, symbol
from dlc.ir.scalar import Axis, Expr, const, convert, dim, index, load, op
from dlc.ir.types import int32, int64

N, M = symbol("n"), symbol("m")
AXES = (Axis("i", N), Axis("j", M), Axis("k", 6))


def math() -> IndexMath:
    result = IndexMath()
    for axis in AXES:
        result.declare(axis)
    return result


def value_of(e: Expr, at: dict[str, int], dims: dict[str, int]) -> int:
    match e.op:
        case "const":
            return int(e.attr)
        case "dim":
            return evaluate(e.attr, dims)
        case "index":
            return at[e.attr]
        case _:
            a, b = (value_of(x, at, dims) for x in e.args)
    return {
        "add": a + b,
        "sub": a - b,
        "mul": a * b,
        "floordiv": a // b if b else 0,
        "mod": a % b if b else 0,
    }[e.op]


LEAVES = st.one_of(
    st.sampled_from([index(a.name) for a in AXES]),
    st.integers(-3, 8).map(lambda x: const(x, int64)),
    st.sampled_from([dim(N), dim(M), dim(N * M)]),
)
DIVISORS = st.one_of(
    st.sampled_from([2, 3, 4, 6, 8]).map(lambda x: const(x, int64)),
    st.sampled_from([dim(N), dim(M), dim(N * M), dim(N * 6), dim(N + 1)]),
)


def grow(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.one_of(
        st.builds(op, st.sampled_from(["add", "sub"]), inner, inner),
        st.builds(op, st.just("mul"), inner, LEAVES),
        st.builds(op, st.sampled_from(["floordiv", "mod"]), inner, DIVISORS),
    )


@settings(max_examples=300, deadline=None)
@given(st.recursive(LEAVES, grow, max_leaves=8))
def test_polynomials_keep_their_value(e: Expr) -> None:
    p = math().polynomial(e)
    for n, m in ((1, 1), (3, 2), (2, 5)):
        dims = {"n": n, "m": m}
        for point in itertools.product(range(n), range(m), range(6)):
            at = dict(zip("ijk", point, strict=True))
            known = {**dims, **{axis_name(a): v for a, v in at.items()}}
            assert evaluate(p, known) == value_of(e, at, dims), dim_text(p)


@settings(max_examples=200, deadline=None)
@given(st.recursive(LEAVES, grow, max_leaves=6), st.sampled_from([4, 6, N, M, N * M]))
def test_proofs_of_bounds_hold(e: Expr, high: Dim) -> None:
    work = math()
    if not work.within(work.polynomial(e), high):
        return
    for n, m in ((1, 1), (3, 2), (2, 5)):
        dims = {"n": n, "m": m}
        for point in itertools.product(range(n), range(m), range(6)):
            x = value_of(e, dict(zip("ijk", point, strict=True)), dims)
            assert 0 <= x < evaluate(high, dims)


def text(e: Expr) -> str:
    return dim_text(math().polynomial(e))


def test_reshapes_simplify() -> None:
    i, j, k = (index(a.name) for a in AXES)
    flat = op("add", op("mul", i, dim(M)), j)
    assert text(op("floordiv", flat, dim(M))) == "@i"
    assert text(op("mod", flat, dim(M))) == "@j"
    quotient, rest = op("floordiv", k, const(4, int64)), op("mod", k, const(4, int64))
    assert text(op("add", op("mul", quotient, const(4, int64)), rest)) == "@k"
    assert text(op("mod", op("mul", k, const(4, int64)), const(8, int64))) == "4*mod(@k,2)"
    twice = op("floordiv", op("floordiv", k, const(2, int64)), const(3, int64))
    assert text(twice) == "0"


def test_loaded_indices_are_opaque() -> None:
    work = math()
    loaded = convert(load("ix", (index("i"),), int32), int64)
    p = work.polynomial(op("add", op("mul", loaded, dim(M)), index("j")))
    assert dim_text(p) == "$0*m+@j"
    assert work.opaque["$0"] == loaded
    assert not work.within(p, N * M)
