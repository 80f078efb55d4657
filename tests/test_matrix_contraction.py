"""Contractions of bfloat16 by pairs and on a matrix unit: layouts, edges, cuts, special values."""

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

from dlc.codegen.cpu import pair_tiles
from dlc.codegen.cpu.contraction import emit_contraction
from dlc.codegen.cpu.contraction_form import contraction_of
from dlc.codegen.cpu.emit import all_helpers, module_text
from dlc.codegen.cpu.isa import isa_named
from dlc.codegen.cpu.llvm import assembly, compile_module
from dlc.codegen.cpu.matrix_contraction import k_step, multiplies_bfloat16
from dlc.codegen.cpu.pair_tiles import PairTile
from dlc.ir.types import bfloat16, float16, float32

AMX, ZEN4 = isa_named("x86-64-amx"), isa_named("x86-64-zen4")
levels = pytest.mark.parametrize("isa", [
    pytest.param(isa, id=isa.name, marks=pytest.mark.skipif(
        isa not in ALL_LEVELS, reason=f"this machine does not run {isa.name}"
    ))
    for isa in (AMX, ZEN4)
])  # fmt: skip


def product(spec, extents, isa, epilogue=plain) -> tuple[Compiled, dict[str, int]]:
    kernel = contraction(spec, run_time(extents), bfloat16, float32, epilogue)
    return compiled(kernel, isa), names_of(extents)


@pytest.mark.parametrize("isa", [AMX, ZEN4], ids=lambda isa: isa.name)
def test_what_runs_on_it(isa):
    extents = run_time(dict(m=1, n=1, k=1))
    for spec in MATMUL:
        form = contraction_of(contraction(spec, extents, bfloat16, float32))
        assert multiplies_bfloat16(form, isa)
        assert not multiplies_bfloat16(form, isa_named("x86-64-v4"))
        half = contraction_of(contraction(spec, extents, float16, float32))
        assert not multiplies_bfloat16(half, isa)
    single = contraction("mk,kn->mn", (("m", 1), ("n", None), ("k", None)), bfloat16, float32)
    assert not multiplies_bfloat16(contraction_of(single), isa)


def test_the_unit_is_used_and_released():
    kernel = contraction("mk,kn->mn", run_time(dict(m=1, n=1, k=1)), bfloat16, float32)
    text = assembly(module_text(emit_contraction(kernel, AMX).emitters), AMX)
    for instruction in ("ldtilecfg", "tdpbf16ps", "tilerelease"):
        assert instruction in text


def test_instructions_for_pairs_are_used():
    kernel = contraction("mk,kn->mn", run_time(dict(m=1, n=1, k=1)), bfloat16, float32)
    text = assembly(module_text(emit_contraction(kernel, ZEN4).emitters), ZEN4)
    assert text.count("vdpbf16ps") == 8 * 2 * (12 + 8 + 4 + 2 + 1)
    tiles = [e for e in all_helpers([pair_tiles.tiles(ZEN4)]).values() if isinstance(e, PairTile)]
    elf = compile_module(module_text(tiles), ZEN4).elf
    sections = {s.name: bytes(s.data) for s in elf.sections}
    assert all(sections[f".text.{t.name}"] == t.assembled().blob.code for t in tiles)


def test_steps_are_whole_blocks_of_about_equal_length():
    for k in range(1, 5000, 7):
        step = k_step(k)
        assert step % 32 == 0
        assert step <= 768
        assert -(-k // step) * step - k < 32 * -(-k // step)


@levels
@pytest.mark.parametrize("spec", [*MATMUL, "bmk,bkn->bmn"])
@pytest.mark.parametrize("epilogue", [plain, bias_relu])
@pytest.mark.parametrize("mnk", [(2, 1, 1), (17, 31, 33), (33, 300, 800), (600, 70, 1603)], ids=str)
def test_values_and_cuts(spec, epilogue, mnk, isa):
    extents = dict(zip("bmnk", (3, *mnk), strict=True))
    extents = {c: e for c, e in extents.items() if c in spec}
    f, dims = product(spec, extents, isa, epilogue)
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


@levels
def test_every_remainder(isa):
    kernel = contraction("mk,kn->mn", run_time(dict(m=1, n=1, k=1)), bfloat16, float32)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-8, 9, s).astype(bfloat16.numpy) for s in ((66, 67), (67, 67)))
    for m in (2, 11, 15, 16, 17, 31, 32, 33, 66):
        for n in (1, 15, 16, 17, 31, 32, 33, 66):
            for k in (1, 2, 31, 32, 33, 66):
                x, y = np.ascontiguousarray(a[:m, :k]), np.ascontiguousarray(b[:k, :n])
                (z,) = compiled(kernel, isa)({"a": x, "b": y}, dict(M=m, N=n, K=k))
                exact = x.astype(np.float64) @ y.astype(np.float64)
                assert (z == exact.astype(bfloat16.numpy)).all()


@levels
def test_no_products_sum_to_zero(isa):
    kernel = contraction("mk,kn->mn", (("m", None), ("n", None), ("k", 0)), bfloat16, float32)
    a, b = np.zeros((3, 0), bfloat16.numpy), np.zeros((0, 40), bfloat16.numpy)
    (y,) = compiled(kernel, isa)({"a": a, "b": b}, dict(M=3, N=40))
    assert (y == 0).all()


@levels
@pytest.mark.parametrize(("m", "n"), [(4, 0), (0, 5), (0, 0)])
def test_products_of_no_rows_or_columns(isa, m, n):
    kernel = contraction("mk,kn->mn", (("m", m), ("n", n), ("k", 7)), bfloat16, float32)
    a, b = np.zeros((m, 7), bfloat16.numpy), np.zeros((7, n), bfloat16.numpy)
    (y,) = compiled(kernel, isa)({"a": a, "b": b}, {})
    assert y.shape == (m, n)


@levels
@pytest.mark.parametrize("spec", MATMUL)
def test_special_values_stay_in_their_rows_and_columns(spec, isa):
    f, dims = product(spec, dict(m=19, n=37, k=45), isa)
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


@levels
def test_subnormal_operands_count_as_zero(isa):
    f, dims = product("mk,kn->mn", dict(m=2, n=2, k=2), isa)
    a = np.array([[2.0**-130, 2.0**-126], [1.0, 0.0]], bfloat16.numpy)
    b = np.array([[2.0**100, 1.0], [2.0**100, 0.0]], bfloat16.numpy)
    (y,) = f({"a": a, "b": b}, dims)
    assert y.tolist() == [[2.0**-26, 0.0], [2.0**100, 1.0]]
