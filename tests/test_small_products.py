"""Batches of products of very small matrices, as sums of products."""

import ml_dtypes
import numpy as np
import pytest

import dlc
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.passes.manager import run_pipeline
from dlc.passes.small_products import SmallProducts

RNG = np.random.default_rng(11)


def values(shape, dtype):
    if np.dtype(dtype).kind == "i":
        return RNG.integers(-9, 9, shape).astype(dtype)
    return RNG.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize(("formula", "left", "right"), [
    ("nij,nj->ni", (70, 3, 3), (70, 3)), ("ni,nij->nj", (33, 4), (33, 4, 2)),
    ("nij,njk->nik", (65, 3, 3), (65, 3, 3)), ("nij,nkj->nki", (65, 2, 4), (65, 3, 4)),
    ("jni,kjn->nik", (4, 21, 3), (2, 4, 21)), ("abij,baj->abi", (5, 7, 3, 2), (7, 5, 2)),
    ("nijk,njk->ni", (9, 4, 2, 3), (9, 2, 3)), ("ni,ni->n", (50, 7), (50, 7)),
    ("nij,nj->ni", (0, 3, 3), (0, 3)), ("nij,nj->ni", (5, 3, 0), (5, 0)),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", ml_dtypes.bfloat16, "float16"])
def test_products_of_small_matrices(formula, left, right, dtype):
    x, y = values(left, dtype), values(right, dtype)
    wide = np.int64 if np.dtype(dtype).kind == "i" else np.float64
    wanted = np.einsum(formula, x.astype(wide), y.astype(wide))
    found = dlc.compile(lambda a, b: dlc.einsum(formula, a, b))(x, y).numpy()
    assert found.dtype == x.dtype
    size = np.einsum(formula, np.abs(x.astype(wide)), np.abs(y.astype(wide)))
    eps = 0 if wide is np.int64 else float(ml_dtypes.finfo(dtype).eps)
    assert (np.abs(found.astype(wide) - wanted) <= 2 * eps * size).all()


@pytest.mark.parametrize(("rows", "summed", "columns", "expected"), [
    (3, 3, 1, True), (4, 4, 4, True), (8, 8, 1, True), (5, 4, 4, False), ("m", 3, 3, False),
])  # fmt: skip
def test_small_ones_of_a_batch_alone(rows, summed, columns, expected):
    result = f"f32[n,{rows},{columns}]"
    text = f"""
    func @f(%x: f32[n,{rows},{summed}], %y: f32[n,{summed},{columns}]) -> ({result}) {{
      %0: {result} = dot_general(%x, %y) {{lhs_batch=[0], lhs_contract=[2],
        rhs_batch=[0], rhs_contract=[1]}}
      return %0
    }}
    """
    given = parse_function(text)
    found = run_pipeline(given, (SmallProducts(),), verify=True)
    assert any(n.op.name == "reduce_sum" for n in found.nodes) is expected
    if isinstance(rows, int):
        arrays = [values((6, rows, summed), "float32"), values((6, summed, columns), "float32")]
        results = [interpret(f, arrays)[0] for f in (given, found)]
        np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)
    alone = text.replace("n,", "").replace("lhs_batch=[0]", "lhs_batch=[]")
    alone = alone.replace("rhs_batch=[0]", "rhs_batch=[]").replace("=[2]", "=[1]", 1)
    alone = alone.replace("rhs_contract=[1]", "rhs_contract=[0]")
    kept = run_pipeline(parse_function(alone), (SmallProducts(),), verify=True)
    assert not any(n.op.name == "reduce_sum" for n in kept.nodes)


def test_any_batch_and_what_is_beside_it():
    @dlc.compile
    def turned(r, x, t):
        return dlc.relu(dlc.einsum("nij,nj->ni", r, x) + t) * 2

    for n in (5, 64, 1000, 7):
        r, x, t = (values(s, "float32") for s in ((n, 3, 3), (n, 3), (n, 3)))
        wanted = np.maximum(np.einsum("nij,nj->ni", r, x) + t, 0) * 2
        np.testing.assert_allclose(turned(r, x, t).numpy(), wanted, rtol=1e-5, atol=1e-5)
    assert len(turned.lower(r, x, t).as_text("kernels").split("kernel ")) == 2


def test_derivatives():
    r, x = values((40, 3, 3), "float32"), values((40, 3), "float32")
    w = values((40, 3), "float32")
    loss = dlc.compile(dlc.grad(lambda r, x: dlc.sum(dlc.einsum("nij,nj->ni", r, x) * w), (0, 1)))
    dr, dx = loss(r, x)
    np.testing.assert_allclose(dr.numpy(), np.einsum("ni,nj->nij", w, x), rtol=1e-6)
    np.testing.assert_allclose(dx.numpy(), np.einsum("nij,ni->nj", r, w), rtol=1e-5, atol=1e-5)
