"""Schedules that are chosen by measuring, on a stand-in for the driver whose clock is made up."""

import importlib.util

import numpy as np
import pytest

import dlc

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)

from stand_in_driver import stand_in
from triton_harness import built

from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.triton import products
from dlc.codegen.triton.backend import TritonBackend
from dlc.codegen.triton.emit import emit_kernel, tried_launches
from dlc.codegen.triton.schedules import Blocks
from dlc.ir.build import IRBuilder
from dlc.ir.dims import evaluate
from dlc.ir.types import TensorType, dtype_of

MOST = 16  # variants that are measured for a launch
DOT = "kernel db(a: bf16[M,K], b: bf16[K,N], out y: f32[M,N]):\n"
DOT += " par m<M, n<N: y[m,n] = dot_f32(k<K, f32(a[m,k])*f32(b[k,n]))+1.0"


@pytest.fixture(autouse=True)
def cache(tmp_path):
    with dlc.config.scope(cache_dir=tmp_path):
        yield


def product(x, w):
    return x @ w


def halves(*shape):
    return dlc.ones(shape, dtype=dlc.bfloat16)


def launched(driver, *args, f=product):
    """What a first call launches in the end."""
    dlc.compile(f, device="cuda")(*args)
    return driver.launched[-1]


def refuse(*_):
    raise AssertionError("variants are compiled")


def test_the_quickest_is_kept_and_found_again(monkeypatch):
    args = halves(32, 64), halves(64, 48)
    quick = "tried4"

    def cost(entry):
        return 0.25 if entry.endswith(quick) else 1.0

    with stand_in() as driver, dlc.config.scope(autotune=True):
        driver.cost = cost
        assert launched(driver, *args).endswith(quick)
        assert 2 < len(set(driver.launched)) <= MOST
    monkeypatch.setattr(TritonBackend, "tried", refuse)
    with stand_in() as driver, dlc.config.scope(autotune=True):
        assert launched(driver, *args).endswith(quick)
        assert len(driver.launched) == 1
        assert "cuEventElapsedTime" not in driver.calls
    monkeypatch.undo()
    with stand_in() as driver, dlc.config.scope(autotune=True):
        driver.cost = cost
        assert launched(driver, halves(32, 64), halves(64, 80)).endswith(quick)  # other extents
        assert len(driver.launched) > 1


def test_the_usual_schedule_stays_where_nothing_is_quicker():
    with stand_in() as driver, dlc.config.scope(autotune=True):
        driver.cost = lambda entry: 1.0 + ("tried" in entry)
        assert "tried" not in launched(driver, halves(32, 64), halves(64, 48))
        assert any("tried" in x for x in driver.launched)


def test_nothing_is_measured_where_that_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(TritonBackend, "tried", refuse)
    with stand_in() as driver:
        launched(driver, halves(32, 64), halves(64, 48))
        assert len(driver.launched) == 1
        assert "cuEventElapsedTime" not in driver.calls


def test_other_kernels_and_those_with_indices_are_not_measured():
    with stand_in() as driver, dlc.config.scope(autotune=True):
        x = dlc.ones((8, 16))
        launched(driver, x, f=lambda x: dlc.softmax(x) + 1)
        i = dlc.asarray(np.zeros(8, np.int64))
        launched(driver, x, i, f=lambda x, i: x @ x.T + i.astype(dlc.float32))
        assert "cuEventElapsedTime" not in driver.calls


def test_what_the_gpu_does_not_take_is_left_out():
    with stand_in() as driver, dlc.config.scope(autotune=True):
        load = driver.cuModuleGetFunction

        def picky(module, name):
            return (1, None) if name.endswith(b"tried0") else load(module, name)

        driver.cuModuleGetFunction = picky
        driver.cost = lambda entry: 0.1 if entry.endswith("tried0") else 1.0
        assert "tried0" not in launched(driver, halves(32, 64), halves(64, 48))


def test_too_little_memory_to_measure():
    with stand_in(memory=1 << 16) as driver, dlc.config.scope(autotune=True):
        x = dlc.ones((128, 64), dtype=dlc.bfloat16, device="cuda")
        w = dlc.ones((64, 48), dtype=dlc.bfloat16, device="cuda")
        assert "tried" not in launched(driver, x, w)


def outputs(worker, kernel, arrays, launches, dims):
    """What variants of launches give."""
    slots = list(range(len(arrays)))
    values = [dims[n] for n in kernel.dims]
    work = [(v.source, v.entry, evaluate(v.grid, dims), slots, values) for v in launches]
    return worker.run([a.copy() for a in arrays], work)


@pytest.mark.parametrize("dims", [dict(M=80, N=48, K=32), dict(M=37, N=21, K=50)], ids=str)
def test_every_tried_product_is_right(worker, dims, monkeypatch):
    kernel = parse_kernel(DOT)
    rng = np.random.default_rng(0)
    bf16 = dtype_of("bf16").numpy
    m, n, k = dims["M"], dims["N"], dims["K"]
    a, b = (rng.standard_normal(s).astype(bf16) for s in ((m, k), (k, n)))
    given = [a, b, np.zeros((m, n), np.float32)]
    wanted = a.astype(np.float64) @ b.astype(np.float64) + 1
    (launch,) = tried_launches(kernel, 90, dims)
    assert 2 <= len(launch.variants) < MOST
    few = (Blocks(16, 16, 16, programs=4), Blocks(32, 16, 16, programs=100))
    monkeypatch.setattr(products, "tried_blocks", lambda *_, **__: few)
    (persistent,) = tried_launches(kernel, 90, dims)
    assert evaluate(persistent.variants[0].grid, dims) == 4
    for v in (*launch.variants, *persistent.variants):
        *_, found = outputs(worker, kernel, given, [v], dims)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_every_tried_walk_is_right(worker):
    b = IRBuilder()
    params = [b.param(TensorType(dtype_of("bf16"), (2, 150, 16)), n) for n in "qkv"]
    rows = [b.attention(*params, scale=0.3, causal=True)]
    (kernel,) = built(b.function("f", params, rows)).kernels
    dims = dict(zip(kernel.dims, (2, 150), strict=True))
    rng = np.random.default_rng(0)
    bf16 = dtype_of("bf16").numpy
    given = [rng.standard_normal((2, 150, 16)).astype(bf16) for _ in range(3)]
    given.append(np.zeros_like(given[0]))
    (launch,), (tried,) = emit_kernel(kernel), tried_launches(kernel, 90, dims)
    *_, wanted = outputs(worker, kernel, given, [launch.variants[-1]], dims)
    assert 2 <= len(tried.variants) < MOST
    for v in tried.variants:
        assert "range(0, tl.minimum" in v.source
        *_, found = outputs(worker, kernel, given, [v], dims)
        error = np.abs(found.astype(float) - wanted.astype(float))
        assert (error <= 2**-7 * np.abs(wanted.astype(float)) + 2**-9).all()
