"""Executables: levels, devices, both caches, bound tables, donated memory, many threads, stages."""

import io
import itertools
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import types

import ml_dtypes  # noqa: F401 - element types of random programs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from programs import programs

import dlc
from dlc.codegen.cpu import helper_code
from dlc.codegen.cpu.backend import CpuBackend
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.program import independent_runs
from dlc.codegen.program_builder import build_program
from dlc.ir.config import config
from dlc.ir.dims import evaluate
from dlc.ir.errors import DeviceError, ShapeError, StoredCodeError, ValueRangeError
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of
from dlc.runtime import executable, progress
from dlc.runtime.cache import default_cache
from dlc.runtime.cache_entry import decode_entry, encode_entry
from dlc.runtime.executable import PHASES, Options, compile_function, kernel_digest, kernel_key
from dlc.runtime.native.layout import CALL, GROUP, HEADER_WORDS
from dlc.runtime.program_text import StoredKernel, program_from_bytes, program_to_bytes

NETWORK = """
func @network(%x: f32[b,8], %w: f32[8,8]) -> (f32[b,8], f32[8]) {
  %0: f32[b,8] = exp(%x)
  %1: f32[b,8] = dot_general(%0, %w) {CONTRACT}
  %2: f32[b,8] = softmax(%1) {axis=1}
  %3: f32[b,8] = add(%2, %x)
  %4: f32[8] = reduce_sum(%0) {axes=[0]}
  return %3, %4
}
""".replace("CONTRACT", "lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]")


@pytest.fixture
def empty_cache(tmp_path):
    with config.scope(cache_dir=tmp_path):
        yield default_cache()


def network():
    return parse_function(NETWORK)


def arguments(b=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(np.float32) for s in ((b, 8), (8, 8))]


def check(made, b=5, seed=0):
    args = arguments(b, seed)
    expected = interpret(made.function, [a.astype(np.float64).astype(np.float32) for a in args])
    for result, wanted in zip(made(args), expected, strict=True):
        assert result.dtype == wanted.dtype
        np.testing.assert_allclose(result, wanted, rtol=2e-5, atol=1e-6)


# Levels and devices


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_levels_and_devices(level, device):
    made = compile_function(network(), options=Options(level=level, device=device))
    for b in (1, 3, 17):
        check(made, b)
    assert made.stats.calls == made.stats.native_calls == 3
    assert made.stats.interpreted_ops == 0


def test_unknown_devices_suggest():
    with pytest.raises(DeviceError, match="cpv") as caught:
        compile_function(network(), options=Options(device="cpv"))
    assert "cpu" in str(caught.value)


def test_arguments_of_other_shapes():
    made = compile_function(network())
    x, w = arguments()
    with pytest.raises(ShapeError, match="argument 1"):
        made([x, w[:, :7]])
    with pytest.raises(ShapeError, match="argument 0"):
        made([x[:, :7], w])


# Caches


def test_a_program_and_its_kernels_are_found_again(empty_cache):
    first = compile_function(network())
    assert not first.stats.program_from_cache
    assert first.stats.kernels_compiled == first.stats.kernels == len(first.program.kernels) > 1
    second = compile_function(network())
    assert second.stats.program_from_cache
    assert second.stats.kernels_compiled == 0
    assert second.stats.kernels_from_cache == first.stats.kernels
    for a, b in zip(first(arguments()), second(arguments()), strict=True):
        np.testing.assert_array_equal(a, b)
    kinds = empty_cache.info().kinds
    kinds.pop("helper", None)  # unless an earlier test has made them
    assert kinds == {"program": 1, "kernel": first.stats.kernels}


def test_equal_kernels_of_other_programs_are_found(empty_cache):
    compile_function(network())
    other = parse_function(
        "func @f(%x: f32[9]) -> (f32[9]) {\n  %0: f32[9] = exp(%x)\n  return %0\n}"
    )
    more = compile_function(other, options=Options(level="O0"))
    again = compile_function(
        parse_function(
            "func @g(%a: f32[9], %b: f32[9]) -> (f32[9], f32[9]) {\n  %0: f32[9] = exp(%a)\n"
            "  %1: f32[9] = sqrt(%b)\n  return %0, %1\n}"
        ),
        options=Options(level="O0"),
    )
    assert not more.stats.program_from_cache
    assert not again.stats.program_from_cache
    assert again.stats.kernels_from_cache == 1
    assert again.stats.kernels_compiled == 1


@pytest.mark.parametrize(
    "options",
    [
        Options(level="O1"),
        Options(precision="fast"),
        Options(donated=(0,)),
        Options(device="reference"),
    ],
)
def test_what_a_program_depends_on(empty_cache, options):
    compile_function(network())
    assert not compile_function(network(), options=options).stats.program_from_cache


def test_a_program_whose_kernels_are_gone_compiles_them(empty_cache, tmp_path):
    first = compile_function(network())
    for file in (tmp_path).rglob("*"):
        if file.is_file() and "kernel" in file.parts[len(tmp_path.parts) :]:
            file.unlink()
    for path in tmp_path.rglob("kernel"):
        assert not any(p.is_file() for p in path.rglob("*"))
    second = compile_function(network())
    assert second.stats.program_from_cache
    assert second.stats.kernels_compiled == first.stats.kernels
    check(second)


DAMAGES = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "other bytes": lambda data: b"\0" * len(data),
    "JSON of something else": lambda data: b"[1]\n",
}


@pytest.mark.parametrize("kind", ["program", "kernel", "helper"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_stored_code_that_cannot_be_read_is_made_again(
    empty_cache, caplog, monkeypatch, kind, damage
):
    """Its checksum is right: another version of a form has written it."""
    monkeypatch.setattr(helper_code, "_known", {})
    first = compile_function(network())
    files = [f.path for f in empty_cache._folder.files() if f.path.parts[-3] == kind]
    assert files
    for path in files:
        entry = decode_entry(path.read_bytes())
        path.write_bytes(encode_entry(entry.kind, entry.key, DAMAGES[damage](entry.payload)))
    if kind == "helper":  # they are asked for where a kernel is compiled
        for file in list(empty_cache._folder.files()):
            if file.path.parts[-3] == "kernel":
                file.path.unlink()
    monkeypatch.setattr(helper_code, "_known", {})
    with caplog.at_level(logging.WARNING, "dlc"), config.scope(logs="cache"):
        second = compile_function(network())
    said = [r.getMessage() for r in caplog.records if r.name == "dlc.cache"]
    again = [line for line in said if kind in line and "is made again" in line]
    assert again
    assert all("readable" in line or "malformed" in line for line in again)
    assert empty_cache.info().rejected >= len(files)
    for a, b in zip(first(arguments()), second(arguments()), strict=True):
        np.testing.assert_array_equal(a, b)
    third = compile_function(network())
    assert third.stats.program_from_cache
    assert third.stats.kernels_compiled == 0


SECOND_PROCESS = """
import sys
import numpy as np
from dlc.ir.parser import parse_function
from dlc.runtime.executable import compile_function
made = compile_function(parse_function(sys.argv[1]))
made([np.ones((5, 8), np.float32), np.ones((8, 8), np.float32)])
print(made.stats.program_from_cache, made.stats.kernels_compiled)
for name in sys.argv[2].split():
    print(*[m for m in sys.modules if m.startswith(name)])
"""
COMPILERS = "llvmlite triton dlc.passes dlc.codegen.lower dlc.codegen.kernel_ dlc.codegen.cpu.l"


def test_a_second_process_compiles_nothing_and_loads_no_llvm(tmp_path):
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "DLC_CACHE_DIR": str(tmp_path), "PYTHONPATH": path}
    printed = [
        subprocess.run(
            [sys.executable, "-c", SECOND_PROCESS, NETWORK, COMPILERS],
            check=True,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    assert printed[0].startswith("False ")
    for name in ("llvmlite", "dlc.passes.manager", "dlc.codegen.lower", "dlc.codegen.cpu.llvm"):
        assert name in printed[0].split()
    assert printed[1].split() == ["True", "0", "dlc.codegen.kernel_ir"]


# Stored programs


def program_of(function, donated=(), level="O2"):
    return build_program(run_pipeline(function, pipeline_of(level)), donated)


def test_stored_programs_are_equal():
    program = program_of(network(), (0,))
    digests = [kernel_digest(k) for k in program.kernels]
    data = program_to_bytes(program, digests)
    found = program_from_bytes(data, "network")
    assert found is not None
    again, same = found
    assert same == digests
    assert all(isinstance(k, StoredKernel) and "body" not in vars(k) for k in again.kernels)
    assert (again.params, again.results, again.slots, again.calls, again.donated) == (
        (program.params, program.results, program.slots, program.calls, program.donated)
    )
    assert again.kernels == program.kernels
    assert program.kernels == again.kernels
    assert hash(again.kernels[0]) == hash(again.kernels[0])
    assert again.text() == program.text()
    assert [kernel_digest(k) for k in again.kernels] == digests
    with pytest.raises(AttributeError, match="bodies"):
        again.kernels[0].bodies  # noqa: B018


def here(x):
    y = dlc.cumsum(x)
    return dlc.fori_loop(0, 3, lambda _, z: dlc.sort(z) + y, y)


def elsewhere(x):
    # The same program, lower down in the file.
    y = dlc.cumsum(x)

    return dlc.fori_loop(0, 3, lambda _, z: dlc.sort(z) + y, y)


def test_a_program_from_the_cache_is_at_the_place_of_who_found_it(tmp_path):
    lines = {}
    with config.scope(cache_dir=str(tmp_path)):
        for function in (here, elsewhere, here):
            made = dlc.compile(function).lower(np.ones(5, np.float32)).executable
            assert made.stats.program_from_cache is bool(lines)
            text = made.text("kernels")
            lines[function] = {int(n) for n in re.findall(r"test_executable\.py:(\d+) ", text)}
            first = function.__code__.co_firstlineno
            last = max(line for *_, line in function.__code__.co_lines() if line)
            assert all(first < line <= last for line in lines[function])
    assert len(lines[here]) > 1
    assert lines[here].isdisjoint(lines[elsewhere])


def test_damaged_programs_are_refused():
    program = program_of(network())
    data = program_to_bytes(program, [kernel_digest(k) for k in program.kernels])
    value = json.loads(data)
    broken = [data[:-1], b"[]"]
    for name in value:
        broken.append(json.dumps({**value, name: 3}).encode())
        broken.append(json.dumps({k: v for k, v in value.items() if k != name}).encode())
    calls = [[*value["calls"][0][:3], 1], *value["calls"][1:]]  # at the place of a second node
    broken.append(json.dumps({**value, "calls": calls}).encode())
    value["kernels"][0][1][0][1] = "inn"
    broken.append(json.dumps(value).encode())
    for b in broken:
        with pytest.raises(StoredCodeError, match="not readable"):
            program_from_bytes(b, "f")


def test_the_key_of_a_kernel_does_not_hold_its_names():
    backend = compile_function(network()).backend
    a, b, c = (
        parse_kernel(t)
        for t in (
            "kernel f(x: f32[N], out y: f32[N]): par n<N: y[n]=exp(x[n])",
            "kernel g(a: f32[M], out b: f32[M]): par i<M: b[i]=exp(a[i])",
            "kernel f(x: f32[N], out y: f32[N]): par n<N: y[n]=log(x[n])",
        )
    )
    assert kernel_key(a, backend) == kernel_key(b, backend) != kernel_key(c, backend)
    labels = [part.label for part in kernel_key(a, backend).parts]
    assert labels == ["dlc", "kernel", "backend", "isa", "llvm"]


# Bound tables


def test_bound_tables_are_bounded(monkeypatch):
    monkeypatch.setattr(executable, "MAX_BOUND", 3)
    made = compile_function(network())
    kept = made.bind((1,))
    for b in (2, 3):
        made.bind((b,))
    assert made.bind((1,)) is kept
    made.bind((4,))  # 2 was used least recently
    assert list(made._bound) == [(3,), (1,), (4,)]
    for b in (2, 9, 1, 4, 30):
        check(made, b)


# Memory


CHAIN = """
func @chain(%x: f32[n], %y: f32[n]) -> (f32[n], f32[n], f32[n]) {
  %0: f32[n] = flip(%x) {axes=[0]}
  %1: f32[n] = add(%0, %y)
  %2: f32[n] = flip(%1) {axes=[0]}
  %3: f32[n] = mul(%2, %0)
  %4: f32[n] = flip(%3) {axes=[0]}
  %5: f32[n] = sub(%4, %1)
  %6: f32[n] = add(%5, %x)
  return %6, %5, %2
}
"""


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
@pytest.mark.parametrize("donated", [(), (0,), (1,), (0, 1)])
def test_values_are_not_read_after_they_are_overwritten(level, donated):
    made = compile_function(parse_function(CHAIN), options=Options(level=level, donated=donated))
    for n in (1, 2, 33, 1000):
        x, y = (np.random.default_rng(n + k).standard_normal(n).astype(np.float32) for k in (0, 1))
        expected = interpret(made.function, [x.copy(), y.copy()])
        given_x, given_y = x.copy(), y.copy()
        for result, wanted in zip(made([given_x, given_y]), expected, strict=True):
            np.testing.assert_array_equal(result, wanted)
        for position, (array, before) in enumerate(((given_x, x), (given_y, y))):
            if position not in donated:
                np.testing.assert_array_equal(array, before)


def test_what_may_run_at_the_same_time():
    text = """
func @f(%x: f32[n], %y: f32[n]) -> (f32[n], f32[n]) {
  %0: f32[n] = flip(%x) {axes=[0]}
  %1: f32[n] = add(%x, %y)
  return %0, %1
}"""
    function = parse_function(text)
    assert independent_runs(program_of(function, level="O0")) == [range(2)]
    # The sum lies where the other call still reads.
    donating = program_of(function, (0,), level="O0")
    assert donating.memory_of(3) == 0
    assert independent_runs(donating) == [range(1), range(1, 2)]


def test_a_donated_argument_is_written_in_place():
    text = "func @f(%x: f32[n], %y: f32[n]) -> (f32[n]) {\n %0: f32[n] = add(%x, %y)\n return %0\n}"
    x, y = np.ones(100, np.float32), np.ones(100, np.float32)
    (result,) = compile_function(parse_function(text), options=Options(donated=(0,)))([x, y])
    assert result is x
    assert (x == 2).all()
    assert (y == 1).all()
    (fresh,) = compile_function(parse_function(text))([x, y])
    assert not np.shares_memory(fresh, x)
    assert (x == 2).all()


@pytest.mark.parametrize("level", ["O0", "O2"])
@settings(
    max_examples=80,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)
@given(function=programs(symbolic=True))
def test_donated_and_shared_memory_changes_no_bits(level, function):
    donated = tuple(range(len(function.params)))
    plain = compile_function(function, options=Options(level=level))
    other = compile_function(function, options=Options(level=level, donated=donated))
    rng = np.random.default_rng(0)
    for extent in (3, 1):
        values = dict.fromkeys(function.symbols, extent)
        args = [_random(rng, p.tensor, values) for p in function.params]
        expected = plain([a.copy() for a in args])
        found = other([a.copy() for a in args])
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes()


def _random(rng, type_, values):
    shape = [evaluate(d, values) for d in type_.shape]
    return np.array(4 * rng.standard_normal(shape)).astype(type_.dtype.numpy)


def test_memory_analysis():
    made = compile_function(network(), options=Options(level="O2"))
    found = made.memory_analysis({"b": 100})
    assert found["arguments"] == 4 * (800 + 64)
    assert found["results"] == 4 * (800 + 8)
    assert found["constants"] == 0
    assert found["temporaries"] >= found["live"] > 0
    assert found["temporaries"] == made.bind((100,)).plan.arena_bytes
    with pytest.raises(ValueRangeError, match="extent b"):
        made.memory_analysis()


# Threads


def test_calls_from_many_threads():
    made = compile_function(network())
    cases = [arguments(b, seed=b) for b in (1, 4, 9, 64)]
    expected = [made(args) for args in cases]
    before = made.stats.calls
    wrong = []
    start = threading.Barrier(8)

    def work(k):
        start.wait()
        for i in range(60):
            case = (i + k) % len(cases)
            for a, b in zip(made(cases[case]), expected[case], strict=True):
                if a.tobytes() != b.tobytes():
                    wrong.append(case)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert made.stats.calls - before == made.stats.native_calls - before == 8 * 60


# Stages


def test_stages():
    made = compile_function(network())
    assert made.stages == ("traced", "optimized", "kernels", "llvm", "asm")
    texts = {stage: made.text(stage) for stage in made.stages}
    assert "dot_general(" in texts["traced"]
    assert "fusion" in texts["optimized"]
    for kernel in made.program.kernels:
        for stage in ("kernels", "llvm", "asm"):
            assert kernel.name in texts[stage]
    with pytest.raises(ValueRangeError, match="kernel"):
        made.text("kernel")


def test_stages_of_a_program_from_the_cache_are_the_same(empty_cache):
    first, second = compile_function(network()), compile_function(network())
    assert second.stats.program_from_cache
    for stage in first.stages:
        assert first.text(stage) == second.text(stage)


# What compiling costs


def test_phases_add_up(empty_cache, monkeypatch):
    work = itertools.count()  # calls in Python, a measure that other work does not disturb
    clock = types.SimpleNamespace(perf_counter=lambda: next(work))
    monkeypatch.setattr(executable, "time", clock)
    before = sys.getprofile()
    sys.setprofile(lambda *_: next(work))
    try:
        cold, warm = compile_function(network()).stats, compile_function(network()).stats
    finally:
        sys.setprofile(before)
    assert set(cold.seconds) == {*PHASES, "total"}
    assert set(warm.seconds) == {"key", "cache", "load", "total"}
    for stats in (cold, warm):
        parts = sum(t for name, t in stats.seconds.items() if name != "total")
        assert 0 < parts <= stats.seconds["total"]
        assert stats.seconds["total"] - parts < 0.1 * stats.seconds["total"]


def test_logs(empty_cache, caplog):
    with caplog.at_level(logging.DEBUG, "dlc"), config.scope(logs="compile,cache"):
        compile_function(network())
        compile_function(network())
    lines = [r.getMessage() for r in caplog.records if r.name == "dlc.compile"]
    made = [line for line in lines if line.startswith("network: program made")]
    found = [line for line in lines if line.startswith("network: program from the cache")]
    assert len(made) == len(found) == 1
    assert "0 compiled" in found[0]
    assert "compile " in made[0]
    assert any(line.startswith("compiling ") and "dot_general" in line for line in lines)
    cached = [r.getMessage() for r in caplog.records if r.name == "dlc.cache"]
    assert any(line.startswith("miss program") for line in cached)
    assert any(line.startswith("hit program") for line in cached)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_shows_on_a_terminal_when_it_takes_long(monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.05)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.Progress("compiling f", total=7) as shown:
        shown.advance(4)
        deadline = time.monotonic() + 10
        while "4 of 7" not in sys.stderr.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    text = sys.stderr.getvalue()
    assert "\rcompiling f: 4 of 7, 0 s" in text
    assert text.endswith("\r")  # and the line is blank again
    assert not text.rstrip("\r").rpartition("\r")[2].strip()


@pytest.mark.parametrize("way", ["missing", "closed", "a writer"])
def test_no_progress_without_a_proper_standard_error(monkeypatch, way):
    class Writer:
        def write(self, text):
            raise AssertionError("nothing is to be written")

    closed = io.StringIO()
    closed.close()
    there = {"missing": None, "closed": closed, "a writer": Writer()}[way]
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", there)
    with progress.Progress("compiling f", total=1) as shown:
        shown.advance(1)
        time.sleep(0.02)


@pytest.mark.parametrize("way", ["no terminal", "switched off", "quick"])
def test_no_progress_otherwise(monkeypatch, way):
    monkeypatch.setattr(sys, "stderr", io.StringIO() if way == "no terminal" else Terminal())
    monkeypatch.setattr(progress, "DELAY", 60.0 if way == "quick" else 0.0)
    with (
        config.scope(progress=way != "switched off"),
        progress.Progress("compiling f", total=1) as shown,
    ):
        shown.advance(1)
        time.sleep(0.05)
    assert sys.stderr.getvalue() == ""


def test_batches_are_stored_as_they_are_done(empty_cache, monkeypatch):
    monkeypatch.setattr(executable, "BATCH", 1)
    calls = []

    class Failing(CpuBackend):
        def compile(self, kernels, meanwhile):
            calls.append(len(kernels))
            if len(calls) == 3:
                raise KeyboardInterrupt
            return super().compile(kernels, meanwhile)

    monkeypatch.setattr(executable, "find_device", lambda name: type(DEVICE)(Failing, DEVICE.load))
    with pytest.raises(KeyboardInterrupt):
        compile_function(network())
    monkeypatch.undo()
    assert calls == [1, 1, 1]
    with config.scope(cache_dir=empty_cache.info().folder):
        assert compile_function(network()).stats.kernels_from_cache == 2


DEVICE = executable.find_device("cpu")


def test_little_work_is_not_shared():
    two = compile_function(
        parse_function(
            "func @two(%x: f32[b], %y: f32[b,3]) -> (f32[b], f32[b,3]) {\n"
            "  %0: f32[b] = exp(%x)\n  %1: f32[b,3] = tanh(%y)\n  return %0, %1\n}"
        )
    )
    small, large = (two.bound_for(((n,), (n, 3))) for n in (50, 1 << 20))
    assert 0 < small.work < 1 < 20 < large.work
    assert (int(small.table[HEADER_WORDS]), int(small.table[4])) == (CALL, 0)
    assert (int(large.table[HEADER_WORDS]), int(large.table[4])) == (GROUP, 1)
    for bound in (small, large):
        x = np.linspace(-1, 1, bound.outputs[0][0][0], dtype=np.float32)
        y = np.stack([x, x, x], 1)
        a, b = bound.run([x, y], 3)
        assert np.allclose(a, np.exp(x))
        assert np.allclose(b, np.tanh(y))


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_much_work_comes_in_long_chunks(threads):
    """As many as threads can share out, none of which takes longer than a limit."""
    rows = compile_function(
        parse_function(
            "func @rows(%x: f32[n,m]) -> (f32[n,m]) {\n"
            "  %0: f32[n,m] = softmax(%x) {axis=1}\n  return %0\n}"
        )
    )
    with config.scope(num_threads=threads):
        jobs = [rows.bound_for(((n, 1024),)).jobs[0] for n in (50, 4096, 1 << 20)]
    chunks = [job.units / job.chunk for job in jobs]
    assert chunks[0] == jobs[0].work  # those of the cost model
    assert 32 * threads <= chunks[1] < 64 * threads
    assert jobs[2].work / 16 <= chunks[2] < jobs[2].work / 8


def test_every_compilation_is_written_into_a_folder(tmp_path):
    folder = tmp_path / "stages"
    with config.scope(dump_ir=folder):
        for _ in range(2):  # compiled, or from the cache
            dlc.compile(lambda x: x * 3, name="f/g").lower("f32[n]").compile()
        dlc.compile(lambda x: x * 3, name="f/g").lower("f64[n]").compile()
    stages = {".traced.ir", ".optimized.ir", ".kernels.txt", ".llvm.ll", ".asm.s"}
    written = sorted(p.name for p in folder.iterdir())
    assert len(written) == 2 * len(stages)
    assert {re.sub(r"f_g\.\w{8}", "", name) for name in written} == stages
    assert "mul" in (folder / next(n for n in written if "traced" in n)).read_text()


def test_every_compilation_logs_its_fusions_and_its_code(caplog):
    caplog.set_level("DEBUG", "dlc.fusion")
    caplog.set_level("DEBUG", "dlc.code")
    for _ in range(2):  # compiled, or from the cache
        caplog.clear()
        dlc.compile(lambda x: dlc.softmax(x) * 3, name="f").lower("f32[n,7]").compile()
        logged = [(r.name, r.getMessage()) for r in caplog.records]
        [(_, fusions)] = [x for x in logged if x[0] == "dlc.fusion"]
        assert re.match(r"f: rows of reduce_max, .*div.* at .*test_executable.py:\d+", fusions)
        [(_, code)] = [x for x in logged if x[0] == "dlc.code"]
        assert code.startswith("f: llvm\n")
        assert "define" in code


def test_a_folder_that_stages_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        config.scope(dump_ir=tmp_path / "file"),
        pytest.raises(dlc.SaveError, match="could not be written into .*file"),
    ):
        dlc.compile(lambda x: x * 3).lower("f32[n]").compile()
