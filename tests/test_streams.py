"""Large results that are stored past the caches: the same bits, for any extents and threads."""

import numpy as np
import pytest

import dlc
from dlc.codegen.cpu import isa as isa_module
from dlc.codegen.cpu.isa import host_flags, host_machine, isa_named
from dlc.ir.config import config

V4, ZEN = isa_named("x86-64-v4"), isa_named("x86-64-zen4")

pytestmark = pytest.mark.skipif(
    not V4.runs_on(host_machine(), host_flags()), reason="needs a CPU with AVX-512"
)


@pytest.fixture(autouse=True)
def any_vendor(monkeypatch):
    """Code for AMD's CPUs has no instruction that others lack."""
    flags = host_flags() | ZEN.requires
    monkeypatch.setattr(isa_module, "host_flags", lambda: flags)


def normalised(x, w):
    centred = x - dlc.mean(x, -1, keepdims=True)
    return centred / dlc.sqrt(dlc.mean(centred * centred, -1, keepdims=True) + 1e-5) * w


def softmax_with_gradient(x, w):
    y = dlc.softmax(x, -1)
    return y, y * (w - dlc.sum(w * y, -1, keepdims=True))


FLOATS = {
    "rows": normalised,
    "two results": softmax_with_gradient,
    "cross entropy": lambda x, w: dlc.log_softmax(x, -1) - w,
    "long chain": lambda x, w: dlc.tanh(x * x + x) * dlc.exp(-x * x) + w,
    "block sums": lambda x, w: dlc.cumulative_sum(x, axis=-1) * w,
}
ANY = {
    "by rows": lambda x, w: x * w + w,
    "flat": lambda x, w: x * 3 + x,
    "wider": lambda x, w: dlc.astype(x, "float64") * 0.5,
    "narrower": lambda x, w: x > w,
    "turned": lambda x, w: x.T + w[:1],
    "joined": lambda x, w: dlc.concatenate([x, x * 2], -1),
}
SHAPES = [(4096, 1024), (3001, 1399), (300007, 14), (1, 4200017), (4200017, 1)]


def runs(function, arrays, isa, threads):
    """The results at each number of threads, and the code, which is the same for all."""
    found = []
    with config.scope(isa=isa.name):
        for count in threads:
            compiled = dlc.compile(function, num_threads=count)
            results = compiled(*arrays)
            found.append(results if isinstance(results, tuple) else (results,))
        text = compiled.lower(*arrays).as_text("llvm")
    return [[r.numpy() for r in results] for results in found], text


def run(function, arrays, isa):
    (found,), text = runs(function, arrays, isa, [2])
    return found, text


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int32"])
def test_bits_are_those_of_other_stores(dtype, shape):
    rng = np.random.default_rng(0)
    x, w = ((rng.standard_normal(s) * 3).astype(dtype) for s in (shape, shape[-1:]))
    programs = ANY | (FLOATS if dtype.startswith("float") else {})
    streamed = 0
    for name, function in programs.items():
        wanted, plain = run(function, (x, w), V4)
        assert "nontemporal" not in plain
        expected = [r.tobytes() for r in wanted]
        counts = (1, 2, 3)
        found, text = runs(function, (x, w), ZEN, counts)
        for threads, results in zip(counts, found, strict=True):
            for a, b in zip(results, expected, strict=True):
                assert a.tobytes() == b, (name, threads)
        streamed += "nontemporal" in text and "sfence" in text
    assert streamed >= (1 if dtype == "float16" else 4)  # of which vectors seldom fill lines


def test_vectors_that_fill_no_lines_are_stored_as_ever():
    x, w = np.ones((4096, 4096), np.float32), np.zeros(4096, np.float32)
    (_,), text = run(lambda x, w: x > w, (x, w), ZEN)
    assert "sfence" not in text
    (_,), text = run(lambda x, w: x + w, (x, w), ZEN)
    assert "sfence" in text


def test_donated_memory_may_be_stored_to():
    x = np.random.default_rng(1).standard_normal((3001, 1399), np.float32)
    results = []
    for isa in (V4, ZEN):
        with config.scope(isa=isa.name):
            update = dlc.compile(lambda x, s: x * s + 1, donate_argnums=0)
            results.append(update(dlc.asarray(x.copy()), 2.0).numpy().tobytes())
    assert results[0] == results[1]


def test_results_beside_short_floats():
    x = np.random.default_rng(2).standard_normal((3001, 1399), np.float32)

    def both(x):
        y = x.astype("bfloat16") * 2
        return y.astype("float32") + x, y, x > 1, (x * 3).astype("float16")

    for a, b in zip(run(both, (x,), V4)[0], run(both, (x,), ZEN)[0], strict=True):
        assert a.tobytes() == b.tobytes()


def test_code_for_all_extents_looks_at_them():
    x = np.ones((64, 64), np.float32)
    _, text = run(dlc.exp, (x,), ZEN)
    assert "nontemporal" in text
    assert f", {16 << 20}\n" in text
