"""Contractions of bfloat16 on a matrix unit: every layout, edge, cut and special value."""

import numpy as np
import pytest
from test_contraction_cpu import (
    ALL_LEVELS,
    MATMUL,
    Compiled,
    backwards_by_three,
    bias_relu,
    compiled,
    contraction,
    gamma,
    inputs_of,
    names_of,
    one_by_one,
    plain,
    run_time,
)

from dlc.codegen.cpu.contraction import emit_contraction
from dlc.codegen.cpu.contraction_form import contraction_of
from dlc.codegen.cpu.emit import module_text
from dlc.codegen.cpu.isa import isa_named
from dlc.codegen.cpu.llvm import assembly
from dlc.codegen.cpu.matrix_contraction import k_step, on_matrix_unit
from dlc.ir.types import bfloat16, float16, float32

AMX = isa_named("x86-64-amx")
runs = pytest.mark.skipif(AMX not in ALL_LEVELS, reason="this machine has no matrix unit")


def product(spec, extents, epilogue=plain) -> tuple[Compiled, dict[str, int]]:
    kernel = contraction(spec, run_time(extents), bfloat16, float32, epilogue)
    return compiled(kernel, AMX), names_of(extents)


def test_what_runs_on_it():
    extents = run_time(dict(m=1, n=1, k=1))
    for spec in MATMUL:
        form = contraction_of(contraction(spec, extents, bfloat16, float32))
        assert on_matrix_unit(form, AMX)
        assert not on_matrix_unit(form, isa_named("x86-64-v4"))
        half = contraction_of(contraction(spec, extents, float16, float32))
        assert not on_matrix_unit(half, AMX)
    single = contraction("mk,kn->mn", (("m", 1), ("n", None), ("k", None)), bfloat16, float32)
    assert not on_matrix_unit(contraction_of(single), AMX)


def test_the_unit_is_used_and_released():
    kernel = contraction("mk,kn->mn", run_time(dict(m=1, n=1, k=1)), bfloat16, float32)
    text = assembly(module_text(emit_contraction(kernel, AMX).emitters), AMX)
    for instruction in ("ldtilecfg", "tdpbf16ps", "tilerelease"):
        assert instruction in text


def test_steps_are_whole_blocks_of_about_equal_length():
    for k in range(1, 5000, 7):
        step = k_step(k)
        assert step % 32 == 0
        assert step <= 768
        assert -(-k // step) * step - k < 32 * -(-k // step)


@runs
@pytest.mark.parametrize("spec", [*MATMUL, "bmk,bkn->bmn"])
@pytest.mark.parametrize("epilogue", [plain, bias_relu])
@pytest.mark.parametrize("mnk", [(2, 1, 1), (17, 31, 33), (33, 300, 800), (600, 70, 1603)], ids=str)
def test_values_and_cuts(spec, epilogue, mnk):
    extents = dict(zip("bmnk", (3, *mnk), strict=True))
    extents = {c: e for c, e in extents.items() if c in spec}
    f, dims = product(spec, extents, epilogue)
    inputs = inputs_of(f.kernel, dims)
    whole = f(inputs, dims)
    for cuts in (one_by_one, backwards_by_three):
        assert [x.tobytes() for x in f(inputs, dims, cuts)] == [x.tobytes() for x in whole]
    a, b = (inputs[n].astype(np.float64) for n in "ab")
    exact, size = np.einsum(spec, a, b), np.einsum(spec, np.abs(a), np.abs(b))
    if epilogue is bias_relu:
        exact = np.maximum(exact + inputs["bias"], 0)
        size = size + np.abs(inputs["bias"])
    summed = gamma(spec, extents, float32) * size
    bound = summed + 2.0**-8 * (np.abs(exact) + summed)
    assert (np.abs(whole[0].astype(np.float64) - exact) <= bound).all()


@runs
def test_every_remainder():
    kernel = contraction("mk,kn->mn", run_time(dict(m=1, n=1, k=1)), bfloat16, float32)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-8, 9, s).astype(bfloat16.numpy) for s in ((66, 67), (67, 67)))
    for m in (2, 15, 16, 17, 31, 32, 33, 66):
        for n in (1, 15, 16, 17, 31, 32, 33, 66):
            for k in (1, 2, 31, 32, 33, 66):
                x, y = np.ascontiguousarray(a[:m, :k]), np.ascontiguousarray(b[:k, :n])
                (z,) = compiled(kernel, AMX)({"a": x, "b": y}, dict(M=m, N=n, K=k))
                exact = x.astype(np.float64) @ y.astype(np.float64)
                assert (z == exact.astype(bfloat16.numpy)).all()


@runs
def test_no_products_sum_to_zero():
    kernel = contraction("mk,kn->mn", (("m", None), ("n", None), ("k", 0)), bfloat16, float32)
    a, b = np.zeros((3, 0), bfloat16.numpy), np.zeros((0, 40), bfloat16.numpy)
    (y,) = compiled(kernel, AMX)({"a": a, "b": b}, dict(M=3, N=40))
    assert (y == 0).all()


@runs
@pytest.mark.parametrize("spec", MATMUL)
def test_special_values_stay_in_their_rows_and_columns(spec):
    f, dims = product(spec, dict(m=19, n=37, k=45))
    inputs = inputs_of(f.kernel, dims)
    a = inputs["a"] if spec.startswith("mk") else inputs["a"].T
    b = inputs["b"].T if "nk" in spec else inputs["b"]
    a[3, 5], a[18, 44], b[2, 36], b[44, 35] = np.nan, np.inf, np.inf, np.nan
    (y,) = f(inputs, dims)
    with np.errstate(invalid="ignore"):
        expected = a.astype("f8") @ b.astype("f8")
    y = y.astype("f8")
    assert (np.isnan(y) == np.isnan(expected)).all()
    infinite = np.isinf(expected)
    assert (y[infinite] == expected[infinite]).all()
    assert np.isfinite(y[np.isfinite(expected)]).all()


@runs
def test_subnormal_operands_count_as_zero():
    f, dims = product("mk,kn->mn", dict(m=2, n=2, k=2))
    a = np.array([[2.0**-130, 2.0**-126], [1.0, 0.0]], bfloat16.numpy)
    b = np.array([[2.0**100, 1.0], [2.0**100, 0.0]], bfloat16.numpy)
    (y,) = f({"a": a, "b": b}, dims)
    assert y.tolist() == [[2.0**-26, 0.0], [2.0**100, 1.0]]
