"""Compiled functions in many processes and threads: forks, signals, exits, ISA levels, memory.

What could end the process, or hang it, runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import dlc

ROOT = pathlib.Path(__file__).resolve().parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="signals and forks of POSIX")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")


def environment(**environ: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **environ}


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(**environ),
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def output(code: str, **environ: str) -> str:
    done = run(code, **environ)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


# Programs of every kind: elementwise, rows, products, several outputs, gradients, state.
CORPUS = """
import hashlib, json, sys
import numpy as np, dlc
rng = np.random.default_rng(0)
def data(*shape): return rng.standard_normal(shape).astype(np.float32)
counter = dlc.Variable(np.zeros(3, np.float32))
def count(x):
    counter.assign_add(x)
    return counter * 2
def loss(w, x): return dlc.mean(dlc.gelu(x @ w) ** 2)
PROGRAMS = {
    "elementwise": (lambda x, y: dlc.tanh(x) * y + dlc.exp(-x), (data(37, 5), data(5))),
    "softmax": (lambda x: dlc.softmax(x) + x.mean(axis=0), (data(13, 67),)),
    "norm": (lambda x, g: dlc.layer_norm(x, g, g), (data(9, 33), data(33))),
    "matmul": (lambda x, w, b: dlc.relu(x @ w + b), (data(31, 70), data(70, 45), data(45))),
    "batched": (lambda x, y: dlc.einsum("bij,bkj->bik", x, y), (data(3, 7, 11), data(3, 5, 11))),
    "reductions": (lambda x: (x.sum(), x.max(axis=1), dlc.argmin(x, axis=0)), (data(101, 17),)),
    "gradient": (dlc.value_and_grad(loss), (data(19, 23), data(8, 19))),
    "random": (lambda k, x: x + dlc.random.normal(k, (50,)), (dlc.random.key(3), data(50))),
    "integers": (lambda x: (x // 3, x % 3, x << 2), (np.arange(-50, 50),)),
    "half": (lambda x: dlc.sum(x * x, axis=0), (data(20, 6).astype(np.float16),)),
    "indexing": (lambda x: x[::-2] + dlc.take(x, np.array([2, 0]), axis=0), (data(4, 6),)),
    "state": (count, (data(3),)),
}
def leaves(f, arguments):
    return [x.numpy() for x in dlc.tree.leaves(f(*arguments))]
"""
BITS = (
    CORPUS
    + """
compiled = {name: dlc.jit(f) for name, (f, _) in PROGRAMS.items()}
found = {name: leaves(compiled[name], a) for name, (_, a) in PROGRAMS.items()}
print(json.dumps({
    "bits": {n: [hashlib.sha256(x.tobytes()).hexdigest() for x in r] for n, r in found.items()},
    "values": {n: [x.astype(np.float64).ravel().tolist() for x in r] for n, r in found.items()},
    "llvmlite": "llvmlite" in sys.modules,
    "kernels": sum(f.stats.kernels_compiled for f in compiled.values()),
    "found": sum(f.stats.kernels_from_cache for f in compiled.values()),
    "native": sum(f.stats.native_calls for f in compiled.values()),
    "interpreted": sum(f.stats.interpreted_ops for f in compiled.values()),
}))
"""
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("processes") / "cache")


@pytest.fixture(scope="module")
def first(cache):
    """The corpus, compiled by a first process."""
    return json.loads(output(BITS, DLC_CACHE_DIR=cache))


def assert_close(found, expected):
    for name, arrays in expected["values"].items():
        tolerance = 2e-3 if name == "half" else 1e-5
        for a, b in zip(found["values"][name], arrays, strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)


def test_a_second_process_compiles_nothing(first, cache):
    assert first["llvmlite"]
    assert first["kernels"] > 10
    assert first["interpreted"] == 0
    second = json.loads(output(BITS, DLC_CACHE_DIR=cache))
    assert not second["llvmlite"]
    assert (second["kernels"], second["found"]) == (0, first["kernels"] + first["found"])
    assert second["native"] == first["native"] == 12
    assert second["bits"] == first["bits"]


@pytest.mark.parametrize("threads", ["1", "3", "7"])
def test_thread_counts_give_the_same_bits(first, cache, threads):
    found = json.loads(output(BITS, DLC_CACHE_DIR=cache, DLC_NUM_THREADS=threads))
    assert found["bits"] == first["bits"]
    assert found["kernels"] == 0


def supported(level: str) -> bool:
    from dlc.codegen.cpu.isa import ISA_LEVELS, host_isa

    names = [isa.name for isa in ISA_LEVELS]
    # Best first; a machine runs the levels below its own of its architecture.
    return host_isa().name in names[: names.index(level) + 1] and host_isa().name[0] == level[0]


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-amx"])
def test_levels_of_instructions(first, cache, level):
    if not supported(level):
        pytest.skip(f"this machine has no {level}")
    found = json.loads(output(BITS, DLC_CACHE_DIR=cache, DLC_ISA=level))
    assert found["native"] == 12
    assert found["interpreted"] == 0
    assert_close(found, first)
    for name in ("integers", "indexing", "state"):
        assert found["bits"][name] == first["bits"][name]


def test_disabled_compiler_gives_the_same(first, cache):
    found = json.loads(output(BITS, DLC_CACHE_DIR=cache, DLC_DISABLE_JIT="1"))
    assert not found["llvmlite"]
    assert found["native"] == 0
    assert found["interpreted"] > 20
    assert_close(found, first)
    assert found["bits"]["integers"] == first["bits"]["integers"]


# Shapes


def test_fifty_batch_sizes():
    w = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)

    @dlc.jit
    def f(x, w, rate):
        loss, gradient = dlc.value_and_grad(lambda v: dlc.mean((x @ v) ** 2))(w)
        return loss, w - rate * gradient

    for n in np.random.default_rng(1).permutation(np.arange(1, 51)):
        x = np.random.default_rng(n).standard_normal((n, 7)).astype(np.float32)
        loss, new = f(x, w, 0.1 / n)
        wide, v = x.astype(np.float64), w.astype(np.float64)
        np.testing.assert_allclose(loss.item(), np.mean((wide @ v) ** 2), rtol=1e-5)
        expected = v - 0.1 / n * 2 / (3 * n) * wide.T @ (wide @ v)
        np.testing.assert_allclose(new.numpy(), expected, rtol=1e-4, atol=1e-6)
    assert f.stats.compilations <= 2
    assert f.stats.traces <= 3  # one may find that an extent of 1 has to stay a number
    assert f.stats.native_calls == f.stats.calls == 50


# Threads


def in_threads(count, work):
    """Runs `work(k)` in threads that start together; raises what one of them raised."""
    barrier = threading.Barrier(count)
    failures = []

    def body(k):
        barrier.wait()
        try:
            work(k)
        except BaseException as error:  # noqa: BLE001  the main thread raises it
            failures.append(error)

    threads = [threading.Thread(target=body, args=(k,)) for k in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


def test_32_threads_race_on_the_first_call():
    f = dlc.jit(lambda x, y: (dlc.softmax(x @ y) * 1.734, x.sum()))
    x = np.random.default_rng(0).standard_normal((33, 33)).astype(np.float32)
    results = {}

    def work(k):
        for repeat in range(5):
            a, b = f(x + np.float32(k), x)
            results[k, repeat] = (a.numpy().tobytes(), b.item())

    in_threads(32, work)
    assert f.stats.compilations == f.stats.traces == 1
    assert f.stats.native_calls == 160
    for k in range(32):
        a, b = f(x + np.float32(k), x)
        for repeat in range(5):
            assert results[k, repeat] == (a.numpy().tobytes(), b.item())


def test_calls_while_others_compile():
    ready = dlc.jit(lambda x: dlc.exp(x).sum())
    x = np.ones(1000, np.float32)
    expected = ready(x).item()
    shared = dlc.Variable(np.zeros(4, np.float32))

    @dlc.jit
    def step(x):
        shared.assign_add(x)
        return shared + 0

    def work(k):
        if k % 4 == 0:
            for j in range(3):  # a program of its own each time
                new = dlc.jit(lambda x, j=j: dlc.sin(x * (1 + k + 100 * j)) @ x)
                wanted = np.sin(np.float32(1 + k + 100 * j)) * 1000
                np.testing.assert_allclose(new(x).item(), wanted, rtol=1e-4)
        elif k % 4 == 1:
            for _ in range(50):
                step(np.ones(4, np.float32))
        else:
            for _ in range(200):
                assert ready(x).item() == expected

    in_threads(12, work)
    assert shared.tolist() == [150] * 4
    assert step.stats.compilations == ready.stats.compilations == 1


# Forks, signals, exits


FORKS = """
import os, sys
import numpy as np, dlc
f = dlc.jit(lambda x, w: dlc.relu(x @ w).sum(axis=1))
x = np.random.default_rng(0).standard_normal((400, 300)).astype(np.float32)
w = np.random.default_rng(1).standard_normal((300, 200)).astype(np.float32)
wanted = np.maximum(x.astype(float) @ w.astype(float), 0).sum(1)
def check(n=400):
    for _ in range(3):
        np.testing.assert_allclose(f(x[:n], w).numpy(), wanted[:n], rtol=1e-4)
    total = (dlc.asarray(x) + 1).sum().item()
    np.testing.assert_allclose(total, x.sum(dtype=float) + x.size, rtol=1e-5)
def fork(n):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            check(n)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
fork(400)      # before anything was compiled here
check()
fork(400)      # after
fork(123)      # the child has to compile
check(200)
fork(77)
print(f.stats.compilations)
"""


@posix
@pytest.mark.parametrize("threads", ["1", "4"])
def test_forks(cache, threads):
    assert output(FORKS, DLC_CACHE_DIR=cache, DLC_NUM_THREADS=threads) == "2\n"


BUSY_FORKS = """
import os, signal, threading, time
import numpy as np, dlc
v = dlc.Variable(np.zeros(100_000, np.float32))
@dlc.jit
def step(x):
    v.assign_add(x)
    return dlc.tanh(v).sum()
x = np.ones(100_000, np.float32)
step(x)
stop = threading.Event()
def update():
    while not stop.is_set():
        step(x)
def compile_more():
    k = 0
    while not stop.is_set():
        k += 1
        dlc.jit(lambda x: dlc.sin(x * (1 + k)) @ x, name=f"f{k}")(np.ones(10 + k))
threads = [threading.Thread(target=t) for t in (update, update, compile_more)]
for t in threads:
    t.start()
for k in range(8):
    time.sleep(0.02)
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # instead of hanging
        code = 1
        try:
            fresh = dlc.jit(lambda x: dlc.cos(x) + k)(np.zeros(5 + k))
            assert fresh.tolist() == [k + 1.0] * (5 + k)
            assert (dlc.asarray(x) + k).numpy()[3] == k + 1
            before = v.numpy()
            assert (before == before[0]).all()
            step(x)
            assert (v.numpy() == before[0] + 1).all()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop.set()
for t in threads:
    t.join()
"""


@posix
def test_forks_while_threads_compile_and_update(cache):
    # Python 3.12 and later warn of forks with threads.
    done = run(BUSY_FORKS, DLC_CACHE_DIR=cache, PYTHONWARNINGS="ignore::DeprecationWarning")
    assert (done.returncode, done.stderr) == (0, "")


LOOP = """
import numpy as np, dlc
v = dlc.Variable(np.zeros(200_000, np.float32))
@dlc.jit
def step(x):
    v.assign_add(x)
    return dlc.tanh(v).sum()
x = np.ones(200_000, np.float32)
step(x)
"""
INTERRUPTED = (
    LOOP
    + """
calls = 1
print("ready", flush=True)
try:
    while True:
        step(x)
        calls += 1
except KeyboardInterrupt:
    pass
value = v.numpy()
assert (value == value[0]).all(), "half a step"
assert value[0] in (calls, calls + 1), (value[0], calls)
before = value[0]
step(x)
assert v.numpy()[7] == before + 1
assert dlc.jit(lambda y: y * 2)(3.0).item() == 6
print("usable", flush=True)
"""
)


@posix
@pytest.mark.parametrize("delay", [0.05, 0.21, 0.34])
def test_interrupt(cache, delay):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], env=environment(DLC_CACHE_DIR=cache),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed, errors) == (0, "usable\n", "")


INTERRUPTED_TRACE = """
import signal
import numpy as np, dlc
from dlc.frontend.context import current_trace
stop = [True]
@dlc.jit
def f(x):
    y = x + 1
    if stop:
        signal.raise_signal(signal.SIGINT)
    return y * 2
for _ in range(3):
    try:
        f(np.ones(3))
    except KeyboardInterrupt:
        assert current_trace() is None
stop.clear()
assert f(np.ones(3)).tolist() == [4, 4, 4]
assert f.stats.compilations == 1
"""


@posix
def test_interrupt_while_tracing(cache):
    output(INTERRUPTED_TRACE, DLC_CACHE_DIR=cache)


ENDINGS = {
    "plain": "",
    "exit": "import sys; sys.exit(0)",
    "thread": """
import threading, time
def forever():
    while True: step(x)
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.05)
""",
    "at exit": "import atexit; atexit.register(lambda: step(x))",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_exit(cache, ending):
    code = LOOP + "assert step(x).item() > 0\n" + ENDINGS[ending]
    assert output(code, DLC_CACHE_DIR=cache, DLC_NUM_THREADS="4") == ""


# The cache


@posix
@pytest.mark.parametrize("kind", ["file", "missing"])
def test_a_folder_that_cannot_be_used(tmp_path, kind):
    file = tmp_path / "file"
    file.write_text("no folder")
    folder = file if kind == "file" else file / "below"
    code = (
        "import warnings\nwarnings.simplefilter('always')\nimport numpy as np, dlc\n"
        "for k in range(3):\n"
        "    f = dlc.jit(lambda x: dlc.tanh(x) * (2 + k) @ x)\n"
        "    print(round(f(np.ones(4)).item(), 6), (dlc.ones(3) + k).tolist())\n"
    )
    done = run(code, DLC_CACHE_DIR=str(folder))
    assert done.returncode == 0
    wanted = [f"{round(np.tanh(1) * 4 * (2 + k), 6)} {[1.0 + k] * 3}" for k in range(3)]
    assert done.stdout.splitlines() == wanted
    assert done.stderr.count("CacheWarning") == 1
    assert file.read_text() == "no folder"


def test_processes_that_start_together(tmp_path):
    folder = str(tmp_path / "cache")
    code = LOOP + "print(step(x).item())"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment(DLC_CACHE_DIR=folder),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    shown = {process.communicate(timeout=100) for process in started}
    assert len(shown) == 1
    assert next(iter(shown))[1] == ""


# Memory


LEAKS = """
import gc, os, sys
import numpy as np, dlc
def resident():
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
f = dlc.jit(lambda x, w: (dlc.softmax(x @ w), x * 2))
v = dlc.Variable(np.zeros((20, 20), np.float32), requires_grad=True)
@dlc.jit
def step(x):
    loss = ((x @ v) ** 2).mean()
    loss.backward()
    v.assign_sub(0.1 * v.grad)
    v.grad = None
    return loss
w = np.ones((20, 20), np.float32)
def round_of(calls):
    for k in range(calls):
        for n in range(1, 21):
            x = np.ones((n * 8, 20), np.float32)
            f(x, w)
            step(x)
            if k % 10 == 0:
                ((dlc.asarray(x) @ w).sum() * v.sum()).backward()
                v.grad = None
round_of(100)
before = resident()
objects = len(gc.get_objects())
for _ in range(3):
    round_of(600 // 3)
    grown = resident() - before
print(grown, len(gc.get_objects()) - objects, f.stats.compilations, step.stats.compilations)
"""


@linux
def test_memory_does_not_grow(cache):
    grown, objects, *compilations = map(int, output(LEAKS, DLC_CACHE_DIR=cache).split())
    assert compilations == [2, 2]
    # 24,000 calls more: a leak of one result (about 10 kB) each would be 240 MB.
    assert grown < 8 << 20
    assert objects < 1000
