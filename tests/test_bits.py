"""A program gives the same bits with any number of threads, whoever takes which chunk."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from functions_harness import trace
from op_cases import random_values, same_bits

import dlc
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.runtime import threads
from dlc.runtime.executable import Options, compile_function

CORPUS = Path(__file__).parent / "corpus"
THREADS, SEEDS = (1, 2, 3, 7), (0, 1, 2, 3, 4)


def _loss(parameters, x, labels):
    w, b, v, c = parameters
    return dlc.cross_entropy(dlc.relu(x @ w + b) @ v + c, labels)


def train_step(w, b, v, c, x, labels):
    loss, slopes = dlc.value_and_grad(_loss)([w, b, v, c], x, labels)
    return loss, *(p - 0.1 * s for p, s in zip([w, b, v, c], slopes, strict=True))


def norm_and_gradients(x, g, b):
    slopes = dlc.grad(lambda *a: dlc.sum(dlc.tanh(dlc.layer_norm(*a))), argnums=(0, 1, 2))(x, g, b)
    return dlc.layer_norm(x, g, b), *slopes


def attention(q, k, v):
    return dlc.softmax(q @ dlc.swapaxes(k, 1, 2) / 8.0, axis=-1) @ v


def attention_and_gradients(q, k, v, *, is_causal=False):
    def loss(*x):
        out = dlc.scaled_dot_product_attention(*x, is_causal=is_causal)
        return dlc.sum(dlc.sin(out)), out

    slopes, out = dlc.grad(loss, argnums=(0, 1, 2), has_aux=True)(q, k, v)
    return out, *slopes


PROGRAMS = {
    "a chain": (lambda x: dlc.exp(dlc.sin(x) * x) + dlc.erf(x), [(1003, 517)]),
    "sums": (
        lambda x: (dlc.sum(x), dlc.sum(x, axis=0), dlc.sum(x, axis=1), dlc.mean(x * x)),
        [(777, 1033)],
    ),
    "products": (lambda x: (dlc.prod(1 + x * 1e-4), dlc.logsumexp(x, axis=0)), [(300_001,)]),
    "extremes": (lambda x: (dlc.max(x), dlc.argmax(x, axis=1), dlc.min(x, axis=0)), [(601, 805)]),
    "softmax": (lambda x: (dlc.softmax(x, axis=1), dlc.log_softmax(x, axis=0)), [(513, 701)]),
    "norm": (norm_and_gradients, [(515, 300), (300,), (300,)]),
    "matmul": (lambda x, y: (x @ y, x.T @ x), [(517, 301), (301, 499)]),
    "attention": (attention, [(3, 129, 64)] * 3),
    "causal attention": (
        lambda *x: attention_and_gradients(*x, is_causal=True), [(2, 3, 211, 70)] * 3
    ),
    "long attention": (attention_and_gradients, [(2, 130, 30), (2, 1024, 30), (2, 1024, 30)]),
    "columns": (lambda x: (dlc.var(x, axis=0), dlc.std(x, axis=(0, 1))), [(4099, 67)]),
}  # fmt: skip


def case(name):
    """The traced function of a program, and its operands."""
    rng = np.random.default_rng(sum(map(ord, name)))
    if name == "a training step":
        shapes = [(301, 203), (203,), (203, 10), (10,), (515, 301)]
        args = [rng.standard_normal(s).astype(np.float32) * 0.2 for s in shapes]
        args.append(rng.integers(0, 10, 515))
        return trace(train_step, args, symbolic=False)[0], args
    function, shapes = PROGRAMS[name]
    args = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    return trace(function, args, symbolic=False)[0], args


NAMES = [*PROGRAMS, "a training step"]


@pytest.fixture
def stealing():
    yield threads.set_stealing_seed
    threads.set_stealing_seed(None)


@pytest.mark.parametrize("name", NAMES)
def test_threads_do_not_show(name, stealing):
    function, args = case(name)
    expected = compile_function(function, options=Options(num_threads=1))(args)
    # Values are judged elsewhere: this is the bound of as many roundings as there are elements.
    bound = max(2e-4, max(a.size for a in args) * 2.0**-24)
    for got, want in zip(expected, interpret(function, args), strict=True):
        np.testing.assert_allclose(got, want, rtol=bound, atol=2e-4)
    shared = 0
    for count in THREADS:
        run = compile_function(function, options=Options(num_threads=count))
        for seed in SEEDS:
            stealing(seed)
            threads.reset_stats()
            results = run(args)
            shared += sum(chunks > 0 for chunks in threads.stats().chunks) > 1
            for got, want in zip(results, expected, strict=True):
                assert same_bits(got, want), f"{count} threads, seed {seed}"
    # Otherwise the test shows nothing.
    assert shared >= 3, "workers took no chunks"


@pytest.mark.parametrize("name", ["sums", "matmul", "norm"])
def test_extents_known_late_do_not_show(name):
    """With symbols for extents too, whatever changes bits depends on the shape alone."""
    args = case(name)[1]
    function, _ = trace(PROGRAMS[name][0], args, symbolic=True)
    assert function.symbols
    expected = compile_function(function, options=Options(num_threads=1))(args)
    for count in THREADS[1:]:
        results = compile_function(function, options=Options(num_threads=count))(args)
        assert all(same_bits(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.ir")), ids=lambda p: p.stem)
def test_threads_do_not_show_in_the_corpus(path, stealing):
    function = parse_function(path.read_text())
    rng = np.random.default_rng(5)
    shapes = [[d if isinstance(d, int) else 97 for d in p.shape] for p in function.params]
    args = [
        random_values(rng, p.tensor.dtype, s) for p, s in zip(function.params, shapes, strict=True)
    ]
    expected = compile_function(function, options=Options(num_threads=1))(args)
    for count in THREADS:
        run = compile_function(function, options=Options(num_threads=count))
        for seed in SEEDS[:3]:
            stealing(seed)
            assert all(same_bits(a, b) for a, b in zip(run(args), expected, strict=True))


def digests():
    """A line for each program, of the bits of its results."""
    for name in NAMES:
        function, args = case(name)
        found = hashlib.sha256()
        for r in compile_function(function)(args):
            found.update(r.tobytes())
        yield f"{name} {found.hexdigest()}"


def test_processes_do_not_show(tmp_path):
    here = list(digests())
    code = "import test_bits; print('\\n'.join(test_bits.digests()))"
    environment = {"PYTHONPATH": str(Path(__file__).parent), "DLC_CACHE_DIR": str(tmp_path)}
    for count in ("1", "3"):
        command = [sys.executable, "-c", code]
        env = {**environment, "OMP_NUM_THREADS": count, "PYTHONHASHSEED": count}
        found = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert found.stdout.splitlines() == here
