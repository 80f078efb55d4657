"""Programs on a GPU, on a stand-in for its driver: whole programs, memory, graphs, errors."""

import importlib.util
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import dlc

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)

from gpu_models import MODELS, compare
from stand_in_driver import stand_in

from dlc.runtime.gpu.graphs import AFTER, MOST, UNUSED, Graphs


def mlp(x, w1, b1, w2, b2):
    return dlc.relu(x @ w1 + b1) @ w2 + b2


def operands(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s).astype(np.float32) for s in shapes]


def test_a_whole_program_runs(gpu):
    args = operands((5, 7), (7, 9), (9,), (9, 3), (3,))
    found = dlc.compile(mlp, device="cuda")(*args)
    assert gpu.launched
    np.testing.assert_allclose(found.numpy(), mlp(*map(dlc.asarray, args)).numpy(), rtol=1e-5)


def test_a_whole_program_runs_by_the_variants_that_always_fit(worker):
    args = operands((16, 32), (32, 16), (16,), (16, 16), (16,))
    with stand_in(worker, which=1) as driver:
        found = dlc.compile(mlp, device="cuda")(*args).numpy()
    assert not any("aligned" in entry or "small" in entry for entry in driver.launched)
    np.testing.assert_allclose(found, mlp(*map(dlc.asarray, args)).numpy(), rtol=1e-5, atol=1e-6)


def test_results_stay_on_the_gpu_and_may_be_used_there(gpu):
    x = dlc.asarray(operands((4, 6))[0], device="cuda:0")
    y = x.to("cuda")
    assert x.device == y.device == "cuda:0"
    z = dlc.sum(dlc.exp(x.T * 2.0) + 1, axis=0)
    assert z.device == "cuda:0"
    assert z.cpu().device == "cpu"
    expected = np.sum(np.exp(x.numpy().T * 2) + 1, axis=0)
    np.testing.assert_allclose(z.numpy(), expected, rtol=1e-6)
    assert x.reshape(2, 12)[1, 3].item() == x.numpy().reshape(2, 12)[1, 3]
    assert "cuda:0" in dlc.devices()


def test_places_on_the_gpu_are_checked(gpu):
    (x,) = operands((5, 3))
    there, at = (dlc.asarray(a, device="cuda") for a in (x, np.array([4, 0, -1])))
    for taken in (there[at], dlc.take(there, at, axis=0)):
        assert np.array_equal(taken.numpy(), x[[4, 0, -1]])
    with pytest.raises(dlc.DlcError, match="5"):
        there[at + 1]


def test_devices_are_not_mixed(gpu):
    host, there = dlc.asarray([1.0, 2.0, 3.0]), dlc.ones((3,), device="cuda")
    with pytest.raises(dlc.DeviceError, match="cpu and cuda:0"):
        host + there
    with pytest.raises(dlc.DeviceError, match="program on the CPU"):
        dlc.compile(lambda x: x + 1, device="cpu")(there)
    assert dlc.compile(lambda x: x + 1)(there).device == "cuda:0"


def test_a_model_trains_on_the_gpu(gpu):
    def trained(device):
        dlc.random.seed(3)
        model = dlc.nn.Sequential(dlc.nn.Linear(5, 8), dlc.nn.ReLU(), dlc.nn.Linear(8, 1))
        x, y = (dlc.asarray(a, device=device) for a in operands((16, 5), (16, 1)))
        model.to(device)
        model(x)
        optimizer = dlc.optim.Adam(model.parameters(), lr=0.05)

        @dlc.compile
        def step(x, y):
            loss = dlc.mean((model(x) - y) ** 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        losses = [step(x, y).item() for _ in range(9)]
        return losses, [p.device for p in model.parameters()]

    losses, places = trained("cuda")
    assert set(places) == {"cuda:0"}
    np.testing.assert_allclose(losses, trained("cpu")[0], rtol=1e-4)
    assert gpu.calls.count("cuGraphLaunch") > 0


@pytest.mark.parametrize("name", MODELS)
def test_models_train_alike_on_both(gpu, name):
    compare(name, "cuda")


def test_random_bits_are_those_of_the_cpu(gpu):
    def drawn():
        key = dlc.random.key(5)
        return dlc.random.normal(key, (3, 5)), dlc.random.randint(key, 0, 1000, (17,))

    for ours, theirs in zip(dlc.compile(drawn, device="cuda")(), dlc.compile(drawn)(), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=3e-7)


def test_a_machine_without_a_gpu_is_told_so(capsys):
    import gpu_report

    from dlc.runtime.gpu.driver import GpuFacts

    with stand_in(count=0):
        assert gpu_report.main([]) == 2
    assert "there is no NVIDIA GPU here" in capsys.readouterr().err
    facts = GpuFacts(0, "H200", "sm_90", 141 << 30, "13.0")
    counts = {"passed": 3, "failed": 1, "skipped": 0}
    text = gpu_report.report(facts, counts, ["t::f"], 4.2, "2026-11-29")
    assert "H200 (sm_90, 141 GiB)" in text
    assert "4 in 4 s, 3 passed, 1 failed, 0 skipped" in text


def test_equal_addresses_are_replayed_as_one_graph(gpu):
    f = dlc.compile(lambda x: dlc.softmax(x @ x, axis=-1), device="cuda")
    x = dlc.asarray(operands((8, 8))[0], device="cuda")
    results = [f(x).numpy() for _ in range(6)]
    launches, replays = len(gpu.launched), gpu.calls.count("cuGraphLaunch")
    assert (launches, replays) == (12, 4)
    assert all(np.array_equal(r, results[0]) for r in results)
    kept = [f(x) for _ in range(3)]  # each has memory of its own
    assert all(np.array_equal(r.numpy(), results[0]) for r in kept)


def test_the_thread_gets_its_own_gpu_back(gpu):
    gpu.cuCtxPushCurrent("another one")
    x = dlc.asarray(operands((8, 8))[0], device="cuda")
    for _ in range(4):
        dlc.compile(lambda x: dlc.softmax(x @ x), device="cuda")(x).numpy()
    with pytest.raises(dlc.MemoryLimitError):
        dlc.zeros((1 << 40,), device="cuda")
    assert gpu.contexts() == ["another one"]


class _Driven:
    """Of a GPU what graphs use, and which sets of addresses were captured."""

    stream = 0

    def __init__(self):
        self.captured = []

    def capture(self, enqueue):
        self.captured.append(enqueue)

    def call(self, name, *_):
        pass


def test_more_sets_of_addresses_than_graphs_are_not_captured_by_turns():
    gpu = _Driven()
    graphs, enqueued = Graphs(gpu), []
    for place in [*range(MOST + 4)] * 20:
        graphs.run((place,), lambda: enqueued.append(1))
    assert len(gpu.captured) == MOST
    assert graphs.replays == MOST * (20 - AFTER)
    assert len(enqueued) == 20 * (MOST + 4) - graphs.replays
    for _ in range(2 * UNUSED):  # the others are not used any more
        graphs.run((-1,), lambda: enqueued.append(1))
    assert len(gpu.captured) == MOST + 1


def test_precision_is_asked_for(gpu):
    x, w = operands((32, 48), (48, 16))
    for precision in ("exact", "fast"):
        f = dlc.compile(lambda x, w: x @ w, device="cuda", precision=precision)
        lowered = f.lower(x, w)
        assert ("tf32" in lowered.as_text("triton")) is (precision == "fast")
        np.testing.assert_allclose(f(x, w).numpy(), x @ w, rtol=2e-2, atol=2e-2)


def padded(rows):
    return lambda x: dlc.pad(rows(x), ((0, 0), (1, 2)), constant_values=3.0)


def with_neighbours(x):
    y = dlc.softmax(x)
    return y + dlc.roll(y, 1, axis=-1)


@pytest.mark.parametrize(
    "function",
    [
        padded(dlc.softmax),
        padded(dlc.layer_norm),
        padded(lambda x: x - dlc.astype(dlc.argmax(x, axis=-1, keepdims=True), x.dtype)),
        with_neighbours,
        lambda x: (dlc.softmax(x), padded(dlc.softmax)(x)),
    ],
)
def test_rows_are_read_beside_their_places(gpu, function):
    (x,) = operands((5, 12))
    found = dlc.compile(function, device="cuda", donate_argnums=0)(dlc.asarray(x, device="cuda"))
    expected = function(dlc.asarray(x))
    for a, b in zip(dlc.tree.leaves(found), dlc.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)


def test_extents_may_change(gpu):
    f = dlc.compile(lambda x: dlc.cumulative_sum(x, axis=0) * 2, device="cuda")
    for n in (3, 7, 1, 0, 20):
        (x,) = operands((n, 5))
        assert np.allclose(f(x).numpy(), np.cumsum(x, 0) * 2, atol=1e-5)


def test_loops_and_branches(gpu):
    def scanned(xs, s):
        def step(s, x):
            s = dlc.tanh(s + x)
            return s, s * 2

        return dlc.scan(step, s, xs)

    def collatz(n):
        def step(state):
            n, count = state
            return dlc.cond(n % 2 == 0, lambda n: n // 2, lambda n: 3 * n + 1, n), count + 1

        return dlc.while_loop(lambda state: state[0] != 1, step, (n, dlc.asarray(0)))[1]

    xs, s = operands((5, 3), (3,))  # rows of 12 bytes, which no vector access begins at
    found = dlc.compile(scanned, device="cuda")(xs, s)
    for a, b in zip(found, scanned(*map(dlc.asarray, (xs, s))), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    assert dlc.compile(collatz, device="cuda")(np.asarray(27)).item() == 111


def test_a_loop_of_scalars_is_one_launch(gpu):
    def halved(x, limit):
        def goes_on(state):
            return (dlc.abs(state[0]) > limit) & (state[1] < 9)

        return dlc.while_loop(
            goes_on, lambda state: (state[1] - state[0] * 2, state[1] + 1), (x, 0)
        )

    f = dlc.compile(halved, device="cuda")
    for x, limit in ((5, 4), (1, 4), (-1, 0), (3, -1)):
        found = [r.item() for r in f(np.asarray(x), np.asarray(limit))]
        assert found == [r.item() for r in halved(dlc.asarray(x), dlc.asarray(limit))]
    assert sum(e.startswith("while") for e in gpu.launched) == 4


def test_functions_of_python_are_called(gpu):
    def doubled(x):
        return dlc.pure_callback(lambda a: a * 2, x, x) + 1

    (x,) = operands((4, 3))
    assert np.array_equal(dlc.compile(doubled, device="cuda")(x).numpy(), x * 2 + 1)
    inverse = dlc.compile(lambda x: dlc.linalg.inv(x @ x.T + 1), device="cuda")  # by NumPy
    expected = np.linalg.inv((x[:3] @ x[:3].T + 1).astype(np.float64))
    np.testing.assert_allclose(inverse(x[:3]).numpy(), expected, rtol=1e-3)


def test_convolutions_of_one_channel(gpu):
    x, w = operands((1, 1, 9, 3), (1, 1, 3, 3))
    f = dlc.compile(lambda x, w: dlc.conv_transpose2d(x, w, stride=2), device="cuda")
    expected = dlc.conv_transpose2d(dlc.asarray(x), dlc.asarray(w), stride=2)
    np.testing.assert_allclose(f(x, w).numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_donated_memory_is_reused(gpu):
    f = dlc.compile(lambda x, y: x + y, device="cuda", donate_argnums=0)
    x, y = (dlc.asarray(a, device="cuda") for a in operands((64, 64), (64, 64)))
    expected, at = x.numpy() + y.numpy(), x._data.pointer
    z = f(x, y)
    assert z._data.pointer == at
    assert np.array_equal(z.numpy(), expected)
    with pytest.raises(dlc.DonatedBufferError):
        x.numpy()
    again = z  # now two see it
    assert f(z, y)._data.pointer == at or again is z


def test_memory_comes_back(gpu):
    f = dlc.compile(lambda x: dlc.exp(x) @ x, device="cuda")
    (x,) = operands((32, 32))
    f(x)
    before = gpu.used
    for _ in range(4):
        f(x)
    assert gpu.used == before


def test_arrays_are_shared_by_dlpack(gpu):
    from dlc.runtime.gpu import dlpack

    x = dlc.asarray(operands((3, 4))[0], device="cuda")
    assert x.__dlpack_device__() == (2, 0)
    y = dlc.from_dlpack(x)
    assert y._data.pointer == x._data.pointer
    assert np.array_equal(y.numpy(), x.numpy())
    del y
    capsule = x.__dlpack__()
    assert len(dlpack._lent) == 1
    del capsule
    assert not dlpack._lent
    assert np.array_equal(dlc.from_dlpack(x, copy=True).numpy(), x.numpy())
    assert np.array_equal(np.from_dlpack(x.cpu()), x.numpy())


class Lent:
    """An array of another framework."""

    def __init__(self, tensor):
        self.tensor, self.__dlpack_device__ = tensor, tensor.__dlpack_device__

    def __dlpack__(self, **how):
        return self.tensor.__dlpack__(**how)


def test_what_is_lent_goes_back_when_it_is_not_used_any_more(gpu):
    (x,) = operands((3, 4))
    own = dlc.asarray(x, device="cuda")
    borrowed = dlc.from_dlpack(Lent(own))
    f = dlc.compile(lambda x: x * 2)
    y = f(borrowed)
    del own
    before = len(gpu.calls)
    del borrowed  # waits for the launch, then the taker's stream is waited for
    calls = gpu.calls[before:]
    order = ["cuEventSynchronize", "cuStreamWaitEvent", "cuMemFreeAsync"]
    assert [c for c in calls if c in order] == order
    assert np.array_equal(y.numpy(), x * 2)


def test_memory_that_the_driver_reads_later_may_be_written_to(gpu):
    (x,) = operands((3, 4))
    expected = x * 2
    f = dlc.compile(lambda x: x * 2, device="cuda")
    gpu.pinned.add(x.ctypes.data)
    a, b = f(x), dlc.asarray(x, device="cuda")
    x[...] = 0
    assert np.array_equal(a.numpy(), expected)
    assert np.array_equal(b.numpy() * 2, expected)


def test_threads_that_come_at_once_have_one_gpu(gpu):
    from dlc.runtime.gpu.device import open_gpu

    plain = gpu.cuStreamCreate

    def slowly(flags):
        time.sleep(0.05)
        return plain(flags)

    gpu.cuStreamCreate = slowly
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(open_gpu, (0, 0))
    assert first is second


WARM = """
import sys
import dlc
f = dlc.compile(lambda x, w: dlc.softmax(x @ w, axis=-1), device="cuda:sm_80")
f.warmup("f32[8,16]", "f32[16,24]")
print("triton" in sys.modules, "cuda" in sys.modules)
"""


def test_a_second_process_imports_no_triton(tmp_path):
    environment = os.environ | {"DLC_CACHE_DIR": str(tmp_path)}
    found = []
    for _ in range(2):
        command = [sys.executable, "-c", WARM]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.append(done.stdout.split())
    assert found == [["True", "False"], ["False", "False"]]


def test_what_kernels_use_is_shown(tmp_path, capsys):
    from dlc.cli.main import main

    file = tmp_path / "net.py"
    file.write_text("import dlc\ndef f(x): return dlc.exp(x) + 1\n")
    assert main(["dump", f"{file}:f", "--arg", "f32[64]", "--device", "cuda:sm_80", "--all"]) == 0
    text = capsys.readouterr().out
    parts = ("# ======== triton", "@triton.jit", "tt.func", ".target sm_80", "EXIT", "registers")
    assert all(p in text for p in parts)


# What goes wrong


def refused(function=lambda x: x + 1, device="cuda"):
    with pytest.raises(dlc.DlcError) as caught:
        dlc.compile(function, device=device)(np.ones((4, 4), np.float32))
    return str(caught.value)


def test_no_driver_and_no_gpu():
    from dlc.runtime.gpu.driver import forget_driver

    forget_driver()
    assert dlc.devices() == ("cpu",)
    assert "cuda-bindings cannot be imported" in refused() or "no NVIDIA driver" in refused()
    with stand_in(count=0):
        assert "there is no NVIDIA GPU" in refused()
    with stand_in(count=2):
        assert dlc.devices() == ("cpu", "cuda:0", "cuda:1")
        assert "cuda:0, cuda:1" in refused(device="cuda:5")
        with pytest.raises(dlc.DeviceError, match="cuda:7"):
            dlc.ones((2,), device="cuda:7")


def test_the_default_device():
    host, before = dlc.ones(3), dlc.compile(lambda x: x * 2)
    assert before(host).device == "cpu"
    with pytest.raises(dlc.DeviceError, match="cuda:1"), dlc.device("cuda:1"):
        pass
    with stand_in(count=2):
        with dlc.device("cuda:1"):
            assert dlc.__array_namespace_info__().default_device() == "cuda:1"
            made = [
                dlc.zeros(2), dlc.asarray([1.0]), dlc.full((2, 2), 3), dlc.arange(3), dlc.eye(2),
                dlc.Variable([1.0, 2.0]), dlc.nn.Linear(2, 3).weight,
                dlc.random.normal(None, (2,)), dlc.compile(lambda x: x + 1)(np.ones(3)),
            ]  # fmt: skip
            assert {x.device for x in made} == {"cuda:1"}
            assert dlc.zeros(2, device="cpu").device == "cpu"
            with dlc.device("cpu"):
                assert dlc.asarray([1.0]).device == "cpu"
            assert host.device == "cpu"
            assert before(host).device == before(np.ones(3, np.float32)).device == "cuda:1"
        assert dlc.zeros(2).device == dlc.asarray([1.0]).device == before(host).device == "cpu"
        assert "the device was 'cpu', now 'cuda:1'" in str(before.explain())


def test_an_old_driver():
    with stand_in(version=11080):
        text = refused()
    assert "CUDA 11.8, which is too old" in text
    assert "12.0" in text


def test_another_architecture():
    with stand_in(arch=(7, 5)):
        text = refused(device="cuda:sm_90")
    assert "code for sm_90" in text
    assert "is sm_75" in text


def test_too_little_memory():
    with stand_in(memory=1 << 14):
        text = refused(lambda x: dlc.broadcast_to(dlc.exp(x), (1000, 4, 4)) + 0.5)
    assert "does not fit" in text
    assert "64,000 of results" in text
    assert "of temporaries" in text


def scanned(xs, s):
    def step(s, x):
        s = dlc.tanh(s + dlc.sort(x, axis=-1) @ s)
        return s, s * 2

    return dlc.scan(step, s, xs)


def test_temporaries_stay_when_memory_runs_out_among_launches(worker):
    xs, s = operands((2, 3, 3), (3, 3))
    with stand_in(worker) as driver:
        f = dlc.compile(scanned, device="cuda")
        expected = [r.numpy() for r in f(xs, s)]
        space = driver.used
        count = driver.calls.count("cuMemAllocAsync")
    for refused in range(count - 3, count):
        with stand_in(worker) as driver:
            f = dlc.compile(scanned, device="cuda")
            kept, left = driver.cuMemAllocAsync, [refused]

            def allocate(size, stream, kept=kept, left=left):
                left[0] -= 1
                return (2, 0) if left[0] == -1 else kept(size, stream)

            driver.cuMemAllocAsync = allocate
            try:
                found = [r.numpy() for r in f(xs, s)]
            except dlc.MemoryLimitError:
                found = [r.numpy() for r in f(xs, s)]
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
            assert driver.used == space


@pytest.mark.parametrize("name", ["cuLaunchKernel", "cuStreamEndCapture"])
def test_a_capture_that_fails_leaves_nothing_behind(gpu, name):
    f = dlc.compile(scanned, device="cuda")
    args = [dlc.asarray(a, device="cuda") for a in operands((2, 3, 3), (3, 3))]
    expected = [r.numpy() for r in f(*args)]
    used, begin, errors = gpu.used, gpu.cuStreamBeginCapture, []
    kept = [dlc.ones((9,), device="cuda")]

    def failing(stream, mode):
        gpu.failing[name] = 901
        gpu.cuStreamBeginCapture = begin
        return begin(stream, mode)

    gpu.cuStreamBeginCapture = failing
    for _ in range(14):  # until results have had the same addresses often enough
        try:
            found = [r.numpy() for r in f(*args)]
        except dlc.DeviceError as error:
            errors.append(str(error))
            before = gpu.used
            kept.clear()
            assert gpu.used < before
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len(errors) == 1
    assert name in errors[0]
    assert gpu.calls.count("cuGraphLaunch") > 0
    assert gpu.used == used


def test_two_gpus_are_told_apart():
    with stand_in(count=2):
        a, b = (dlc.asarray([1.0, 2.0], device=f"cuda:{k}") for k in range(2))
        assert (a.device, b.device) == ("cuda:0", "cuda:1")
        with pytest.raises(dlc.DeviceError, match="cuda:0 and cuda:1"):
            a + b
        with pytest.raises(dlc.DeviceError, match="program on cuda:0"):
            dlc.compile(lambda x: x + 1, device="cuda:0")(b)
