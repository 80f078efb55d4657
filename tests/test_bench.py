"""`dlc bench`: what is computed, how it is measured and told, and what goes wrong with others."""

import copy
import importlib.util
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import dlc
from dlc.bench import files, fits, measure, report, run
from dlc.bench.frameworks import KINDS, dlc_compiled, dlc_eager, dlc_fit, numpy_arrays
from dlc.bench.load import Load
from dlc.bench.measure import Settings
from dlc.bench.peaks import _multiply_add_text, measure_peaks
from dlc.bench.plot import _COLOURS, svg
from dlc.bench.process import Process, WorkerError
from dlc.bench.smoke_cases import CASES as SMOKE
from dlc.bench.suites import SUITES, case_named, find_cases
from dlc.bench.timing import calls_for, seconds_a_call
from dlc.cli import main as cli
from dlc.codegen.cpu.isa import ISA_LEVELS
from dlc.codegen.cpu.llvm import compile_module
from dlc.ir.errors import ArgumentError

ROOT = Path(__file__).parent.parent


# What is computed.


@pytest.mark.parametrize("case", SMOKE, ids=lambda case: case.name)
@pytest.mark.parametrize("framework", [numpy_arrays.NumPy(), dlc_compiled.Dlc(2)], ids=["n", "d"])
def test_programs_compute_the_problem(case, framework):
    """For both frameworks that are always there, in the order of a worker."""
    for sized in (case, case.perturbed()):
        sets, constants = sized.draw()
        program = framework.program(sized, constants)
        exact = sized.exact(sets, constants)
        for inputs, expected in zip(sets, exact, strict=True):
            found = framework.arrays(program(*map(framework.array, inputs)))
            assert sized.error(found, expected) is None


def test_every_problem_has_a_small_case_and_a_program_in_dlc():
    problems = {case.problem.name for case in SMOKE}
    larger = [case for name, cases in SUITES.items() if name != "smoke" for case in cases]
    assert problems == {case.problem.name for case in larger}
    assert problems <= dlc_compiled.PROGRAMS.keys() | dlc_eager.PROGRAMS.keys()


@pytest.mark.parametrize(
    "case", [case for cases in SUITES.values() for case in cases], ids=lambda case: case.name
)
def test_cases(case):
    assert case.problem.operations(case.extents) > 0
    assert case.problem.bytes(case.extents) > 0
    larger = case.perturbed()
    assert larger.name == f"{case.name} +10%"
    assert larger.extents == {k: round(1.1 * n) for k, n in case.extents.items()}
    assert all(0 <= larger.extents[k] - n <= 0.1 * n + 0.5 for k, n in case.extents.items())


def test_wrong_results_are_seen():
    case = case_named("smoke", "layer norm gradient")
    sets, constants = case.draw()
    exact = case.exact(sets, constants)[0]
    right = [a.astype(np.float32) for a in exact]
    assert case.error(right, exact) is None
    assert "4" in case.error(right[:-1], exact)
    assert "shape" in case.error([right[0].T, *right[1:]], exact)
    for value in (np.nan, np.inf, right[2].flat[3] + 0.01):
        wrong = [a.copy() for a in right]
        wrong[2].flat[3] = value
        assert case.error(wrong, exact).startswith("result 2 is off by")


def test_state_is_part_of_the_meaning():
    """A training step that updates nothing is wrong at the second set."""
    case = case_named("smoke", "mlp training")
    sets, constants = case.draw()
    exact = case.exact(sets, constants)
    still = [case.exact([inputs], constants)[0] for inputs in sets]
    assert case.error(still[0], exact[0]) is None
    assert case.error(still[1], exact[1]) is not None
    assert case.error(still[2], exact[2]) is not None


def test_cases_are_found():
    assert [c.name for c in find_cases("core", ["matmul 1???", "add*"])] == [
        "add 16x16",
        "matmul 1024",
    ]
    assert len(find_cases("core")) == len(SUITES["core"])
    assert case_named("core", "matmul 128 +10%").extents == dict(m=141, k=141, n=141)
    for suite in SUITES:
        names = [c.name for c in find_cases(suite)]
        assert len(set(names)) == len(names)
    with pytest.raises(ArgumentError, match=r"matmull(?s:.*)matmul"):
        find_cases("core", ["matmull 128"])
    with pytest.raises(ArgumentError, match="cores"):
        find_cases("cores")


# How it is measured.


def test_inputs_rotate():
    seen = []
    assert seconds_a_call(seen.append, [(1,), (2,), (3,)], 7) > 0
    assert seen == [1, 2, 3, 1, 2, 3, 1]
    for sets in ([(1, 2)], [(1, 2, 3)], [(1, 2, 3, 4)], [()]):
        seen.clear()
        seconds_a_call(lambda *x: seen.append(x), sets, 2)
        assert seen == sets * 2
    assert (calls_for(1.0, 0.02), calls_for(0.001, 0.02), calls_for(0, 0.02)) == (1, 20, 200_000)


class FakeProcess:
    """A worker that takes so many seconds a call, and fails when it is asked too often."""

    def __init__(self, name, seconds, fails_after=None):
        self.name, self.seconds, self.fails_after = name, seconds, fails_after
        self.asked = 0

    def ask(self, command, **arguments):
        self.asked += 1
        self.log.append(self.name)
        if self.fails_after is not None and self.asked > self.fails_after:
            raise WorkerError("gone")
        return {"seconds": self.seconds}

    def rest(self):
        self.log.append(f"{self.name} rests")


def test_rounds_are_interleaved(monkeypatch):
    FakeProcess.log = []
    settings = Settings("smoke", ("a", "b", "c", "d"), 1, 4, 0, 0.001, sys.executable)
    seconds = {"a": 0.3, "b": 0.001, "c": 0.002, "d": 2.0}
    runners = {
        name: measure._Runner(FakeProcess(name, s, 2 if name == "c" else None), 0.1, 5, [s])
        for name, s in seconds.items()
    }
    found = {}
    measure._run_rounds(SMOKE[0], runners, settings, lambda what: None, found)
    turns = [name for name in FakeProcess.log if "rests" not in name]
    # Another one begins each round; c fails in the third; a and d are slow, and not in the fourth.
    assert turns == list("abcd") + list("bcda") + list("cdab") + list("b")
    assert FakeProcess.log[1::2] == [f"{name} rests" for name in turns]
    assert found == {"c": {"error": "gone"}}
    assert [len(r.seconds) for r in runners.values()] == [3, 4, 2, 3]


def test_arrays_as_files(tmp_path):
    given = [
        np.arange(6, dtype=np.float32).reshape(2, 3), np.float64(7.5), np.zeros((0, 4), np.int32),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)), np.array([True, False]), np.array("word"),
    ]  # fmt: skip
    files.save_arrays(tmp_path, "some", given)
    files.save_arrays(tmp_path, "none", [])
    for mapped in (False, True):
        assert files.load_arrays(tmp_path, "none", mapped=mapped) == []
        found = files.load_arrays(tmp_path, "some", mapped=mapped)
        for x, y in zip(given, found, strict=True):
            assert type(y) is np.ndarray
            assert (y.dtype, y.shape) == (np.asarray(x).dtype, np.shape(x))
            assert np.array_equal(x, y)
            assert not mapped or y.ctypes.data % 64 == 0
        found[0][0, 0] = 9.0
        assert files.load_arrays(tmp_path, "some")[0][0, 0] == 0.0
    # What is mapped and aligned is used where it lies.
    tensor = dlc_compiled.Dlc(2).array(found[0])
    assert tensor.numpy().ctypes.data == found[0].ctypes.data
    files.remove_arrays(tmp_path, "some")
    files.remove_arrays(tmp_path, "none")
    assert os.listdir(tmp_path) == []


def test_load_of_others_is_seen():
    code = "import time; t = time.perf_counter()\nwhile time.perf_counter() < t + 0.8: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        time.sleep(0.2)
        load, own = Load(), Load([other.pid])
        time.sleep(0.4)
        seen, without = load.others(), own.others()
    if seen is None:
        pytest.skip("the system does not say")
    assert seen > 0.2
    assert without < seen
    assert load._own() > 0


@pytest.mark.parametrize("isa", ISA_LEVELS, ids=lambda isa: isa.name)
def test_peaks_at_every_level(isa):
    text, operations = _multiply_add_text(isa)
    compiled = compile_module(text, isa)
    assert operations > 0
    assert "run" in compiled.blob().symbols


def test_peaks():
    peaks = measure_peaks(2, 5 << 20)
    assert peaks["operations"] > 1e8
    assert list(peaks["bytes"]) == [str(4 << 20), str(64 << 20)]
    assert min(peaks["bytes"].values()) > 1e8


# The whole, with processes.


def settings_of(**changes):
    base = Settings("smoke", ("dlc", "numpy"), 2, 3, 0, 0.0005, sys.executable)
    return replace(base, **changes)


def test_a_case_as_it_is_measured():
    said = []
    record = measure.measure_case(SMOKE[0], settings_of(starts=1, firsts=3), said.append)
    for figures in record["frameworks"].values():
        assert len(figures["rounds"]) == 3
        low, high = figures["quartiles"]
        assert min(figures["rounds"]) <= low <= figures["seconds"] <= high
        assert figures["first call"] == statistics.median(figures["first calls"]) > 0
        assert figures["memory"] >= 0
    ours = record["frameworks"]["dlc"]
    assert len(ours["first calls"]) == 3
    assert len(record["frameworks"]["numpy"]["first calls"]) == 1  # it compiles nothing
    assert ours["kernels"] == 1
    assert ours["kernel_seconds"] > 0
    assert ours["start"] > 0
    assert ours["second start"] > 0
    assert any("round 3 of 3" in what for what in said)
    assert record["extents"] == dict(m=3, n=5)
    assert json.loads(json.dumps(record)) == record


def package_with(folder, file, text):
    """A folder from which workers import dlc with another text of one framework's file."""
    inside = Path("dlc/bench/frameworks")
    for part in ("dlc", "dlc/bench", inside):
        (folder / part).mkdir()
        for path in (ROOT / part).iterdir():
            if path.name not in ("bench", "frameworks", "__pycache__", file):
                (folder / part / path.name).symlink_to(path)
    (folder / inside / file).write_text(text)
    return str(folder)


NUMPY = (ROOT / "dlc/bench/frameworks/numpy_arrays.py").read_text()


def test_a_first_call_that_fails_hides_nobody(monkeypatch):
    real, calls = measure._first_call, []

    def once(*args):
        calls.append(args)
        if len(calls) == 1:
            raise WorkerError("no luck")
        return real(*args)

    monkeypatch.setattr(measure, "_first_call", once)
    record = measure.measure_case(SMOKE[0], settings_of(firsts=3), lambda what: None)
    assert record["frameworks"]["dlc"] == {"error": "no luck"}
    assert record["frameworks"]["numpy"]["seconds"] > 0
    assert len(calls) == 2


BROKEN = {
    "wrong": (NUMPY.replace("return as_arrays(result)", "return as_arrays(result * 1.01)"), "off"),
    "crash": (NUMPY.replace("return array\n", "import os; os.kill(os.getpid(), 11)\n"), "SIGSEGV"),
    "exit": (NUMPY.replace("return array\n", "raise SystemExit(5)\n"), "status 5"),
    "missing": ("import nothing_of_that_name\n" + NUMPY, "nothing_of_that_name"),
    "raises": (NUMPY.replace("case.problem.build(constants)", "1/0"), "ZeroDivisionError"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_peer_that_fails_hides_nobody(how, tmp_path, monkeypatch):
    text, said = BROKEN[how]
    assert text != NUMPY
    text = text.replace('"""NumPy: the', '"""The').replace("from __future__ import annotations", "")
    monkeypatch.setattr(Process, "root", package_with(tmp_path, "numpy_arrays.py", text))
    record = measure.measure_case(SMOKE[0], settings_of(), lambda what: None)
    assert said in record["frameworks"]["numpy"]["error"]
    assert record["frameworks"]["dlc"]["seconds"] > 0


def test_dlc_that_is_wrong_fails_the_run(tmp_path, monkeypatch, capsys):
    text = (ROOT / "dlc/bench/frameworks/dlc_compiled.py").read_text()
    wrong = text.replace('"add": _plain(lambda x, y: x + y)', '"add": _plain(lambda x, y: x - y)')
    assert wrong != text
    monkeypatch.setattr(Process, "root", package_with(tmp_path, "dlc_compiled.py", wrong))
    words = ["--suite", "smoke", "--cases", "add", "--peers", "numpy", "--starts", "0"]
    assert cli.main(["bench", *words, "--rounds", "1", "--at-least", "0"]) == 1
    assert "add, dlc: wrong for set 0" in capsys.readouterr().out


def test_results_are_kept_by_date_and_merged(tmp_path, capsys):
    words = ["--suite", "smoke", "--peers", "numpy", "--starts", "0", "--rounds", "2"]
    common = ["bench", *words, "--at-least", "0.1", "--out", str(tmp_path)]
    assert cli.main([*common, "--cases", "add"]) == 0
    first = capsys.readouterr().out
    assert cli.main([*common, "--cases", "softmax", "--perturb", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    names = sorted(path.name for path in tmp_path.iterdir())
    day = names[0].partition(".")[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", day)
    assert names == [f"{day}.json", f"{day}.md", f"{day}.svg"]
    assert json.loads((tmp_path / f"{day}.json").read_text()) == printed
    assert list(printed["cases"]) == ["add", "softmax +10%"]
    assert len(printed["runs"]) in (1, 2)  # two in one second have one name
    table = (tmp_path / f"{day}.md").read_text()
    assert "| add " in first
    assert "| add " in table
    assert "| softmax +10% " in table
    assert "softmax +10%" in (tmp_path / f"{day}.svg").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--suite", "cor"], "core"),
        (["--cases", "softmx 4096x1024"], "softmax 4096x1024"),
        (["--peers", "torhc"], "torch"),
        (["--peers", "dlc"], "no peer 'dlc'"),
        (["--rounds", "0"], "--rounds 0"),
        (["--starts", "-1"], "--starts -1"),
        (["--firsts", "0"], "--firsts 0"),
        (["--threads", "0"], "threads"),
        (["--python", "/no/such/python"], "/no/such/python"),
        (["--python", "/bin/false"], "/bin/false"),
    ],
)
def test_bad_options(words, said, capsys):
    assert cli.main(["bench", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "internal" not in captured.err


def test_peers_that_are_not_there_are_named(monkeypatch, capsys):
    from dlc.cli import bench

    absent = dict.fromkeys(KINDS) | {"jax": "jax"}
    monkeypatch.setattr(bench, "installed", lambda python: absent)
    made = []
    monkeypatch.setattr(bench, "run_cases", lambda cases, settings, *rest: made.append(settings))
    monkeypatch.setattr(bench, "markdown", lambda record: "")
    with pytest.raises(TypeError):
        bench.run(parse("--peers", "jax,numpy"))
    assert made[0].frameworks == ("dlc", "numpy")
    assert "jax is left out: jax is not installed" in capsys.readouterr().err


def parse(*words):
    from dlc.cli import bench

    parser = cli.Parser()
    bench.configure(parser)
    return parser.parse(words)


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(
    not Path("/proc/self/task", str(os.getpid()), "children").exists(), reason="no such list"
)
def test_an_interrupt_leaves_no_worker(tmp_path):
    words = ["--suite", "smoke", "--cases", "matmul", "--peers", "numpy", "--at-least", "5000"]
    command = [sys.executable, "-m", "dlc", "bench", *words]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "DLC_CACHE_DIR": str(tmp_path)}
    with subprocess.Popen(
        command, start_new_session=True, env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        workers = []
        while not workers:
            time.sleep(0.05)
            workers = children(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(60) == 130
        # A process that has ended is there until the system's first process has seen its status.
        ends = time.monotonic() + 30
        while any(map(is_running, workers)) and time.monotonic() < ends:
            time.sleep(0.05)
        assert not any(map(is_running, workers))


# How it is told.


class FakeWorker:
    """Peaks, and a judge that reaches what it is told to."""

    reached = 0.9
    root = str(ROOT)

    def __init__(self, name, threads, cache, *, python, device, asked=False):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def ask(self, command, **arguments):
        if command == "peaks":
            return {"operations": 1e11, "bytes": {"100": 4e10, "1000": 2e10}}
        if command == "product":
            return {"seconds": 2 * 1024**3 / (self.reached * 1e11)}
        return {}

    def rest(self):
        pass


def figures(*rounds):
    return {"seconds": float(np.median(rounds)), "rounds": list(rounds), "calls a round": 1}


def fake_case(**changes):
    record = {
        "extents": {"n": 1},
        "operations": 100_000_000,
        "bytes": 1000,
        "others": 0.0,
        "disturbed": False,
        "frameworks": {
            "dlc": {**figures(2e-3, 1e-3, 4e-3), "kernels": 3, "kernel_seconds": 1.5e-3},
            "numpy": figures(4e-3, 4e-3, 4e-3),
            "torch": {"error": "no\nluck"},
            "jax": figures(8e-3, 8e-3, 8e-3),
        },
    }
    return {**record, **changes}


@pytest.fixture
def told(monkeypatch):
    def make(reached=0.9, **changes):
        monkeypatch.setattr(run, "Process", FakeWorker)
        monkeypatch.setattr(FakeWorker, "reached", reached)
        monkeypatch.setattr(run, "measure_case", lambda *arguments: fake_case(**changes))
        settings = Settings("core", ("dlc", "numpy", "torch", "jax"), 2, 3, 0, 0.1, sys.executable)
        kept = []
        cases = find_cases("core", ["add*"])
        return run.run_cases(cases, settings, lambda what: None, kept.append)

    return make


def test_ratios_and_shares(told):
    record = told()
    case = record["cases"]["add 16x16"]
    assert case["best peer"] == "numpy"
    assert case["ratio"] == 2  # of 2, 4 and 1
    assert case["ratio quartiles"] == [1.5, 3]
    assert case["binds"] == "operations"
    assert case["frameworks"]["dlc"]["share"] == pytest.approx(0.5)
    assert case["void"] is None
    (about,) = record["runs"].values()
    assert about["judge"] == pytest.approx(0.9)
    heavy = told(bytes=1_000_000_000)["cases"]["add 16x16"]
    assert heavy["binds"] == "bytes"
    assert heavy["frameworks"]["dlc"]["share"] == pytest.approx(0.05 / 2e-3)


def test_runs_on_a_disturbed_machine_are_void(told):
    assert told(reached=0.71)["cases"]["add 16x16"]["void"] is None
    record = told(reached=0.69)
    assert "69 %" in record["cases"]["add 16x16"]["void"]
    (about,) = record["runs"].values()
    assert about["void"] == record["cases"]["add 16x16"]["void"]
    text = report.markdown(record)
    assert "**void: torch's own matmul 1024 reached 69 %" in text
    assert 'fill-opacity="0.4"' in svg(record)
    disturbed = told(others=0.4, disturbed=True)
    assert "0.40 CPUs" in disturbed["cases"]["add 16x16"]["void"]
    assert "add 16x16 is void" in report.markdown(disturbed)


def test_tables(told):
    text = report.markdown(told())
    table = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table]
    assert cells[0][:5] == ["case", "dlc", "numpy", "torch", "jax"]
    assert cells[2][:6] == ["add 16x16", "2.00 ms", "**4.00 ms**", "error", "8.00 ms", "2.00"]
    assert cells[2][6:] == ["1.50 to 3.00", "50 % of operations", "500 us over 3 kernels"]
    assert len({len(row) for row in cells[:3]}) == 1
    assert "* add 16x16, torch: no luck" in text
    assert report.seconds_text(0.00000012) == "0.120 us"
    assert report.seconds_text(12.3) == "12.3 s"
    assert report.seconds_text(None) == ""


def test_what_fits_cost_over_their_steps():
    (case,) = fits.SMOKE
    sets, constants = case.draw()
    found = dlc_fit.Fit(constants).over_steps(*map(dlc.asarray, sets[0]))
    assert (found.pop("steps"), found.pop("epochs")) == (case.extents["s"], 5)
    assert len(found) == 4
    assert min(found.values()) > -1


def test_what_fits_cost_is_told(told):
    record = told()
    ours = record["cases"]["add 16x16"]["frameworks"]["dlc"]
    del ours["kernel_seconds"]
    ours.update(steps=4, over_steps=0.031, shuffled_over_steps=0.042)
    assert "| 3.1 % (shuffled 4.2 %) over 4 bare steps |" in report.markdown(record)
    ours.update(epochs=5, epochs_over_steps=0.011, shuffled_epochs_over_steps=0.02)
    told_too = "over 4 bare steps, a fit of 5 epochs 1.1 % (shuffled 2.0 %) |"
    assert told_too in report.markdown(record)


def test_how_compilers_stand_is_told(told):
    record = told()
    cases = {name: copy.deepcopy(record["cases"]["add 16x16"]) for name in ("one", "two", "three")}
    for name, ours, theirs in (("one", 0.5, 1.0), ("two", 0.25, 2.0), ("three", 1.0, None)):
        frameworks = cases[name]["frameworks"]
        frameworks["dlc"]["start"] = ours
        frameworks["jax"]["start"] = theirs
        frameworks["numpy"]["start"] = theirs  # compiles nothing
    text = report.markdown(record | {"cases": cases})
    said = "jax / dlc is 4.00 in the geometric mean of 2 cases, at least 2.00 (one)"
    assert f"* process start to first result: {said}" in text
    assert "numpy / dlc" not in text
    assert "the same with caches: jax / dlc" not in text


def test_suites_are_summed_up(told):
    record = told()
    case = record["cases"]["add 16x16"]
    slower = copy.deepcopy(case) | {"ratio": 0.5, "void": "a storm"}
    record = record | {"cases": {"sort 1M": case, "argsort 1M": slower, "add 16x16": case}}
    lines = report.standing(record)
    said = "best peer / dlc is 1.00 in the geometric mean of 2 cases, at least 0.50 (argsort 1M)"
    assert f"* call, suite order: {said}" in lines
    rows = [line.split("|")[1:-1] for line in report.summary(record, "order").splitlines()]
    assert [[c.strip() for c in row] for row in rows[2:]] == [
        ["sort 1M", "2.00 ms", "numpy", "4.00 ms", "2.00", "1.50 to 3.00",
         "50 % of operations", ""],
        ["argsort 1M", "2.00 ms", "numpy", "4.00 ms", "0.50", "1.50 to 3.00",
         "50 % of operations", "void"],
    ]  # fmt: skip
    (row,) = report.dated(record, ["argsort 1M", "sort 4M"]).splitlines()[2:]
    where = report.processor_name(record["runs"][case["run"]])
    day = f"{case['run'][:10]}, void"
    said = f"| argsort 1M | 2.00 ms | numpy | 4.00 ms | 0.50 | {day} | {where} |"
    assert re.sub(" +", " ", row) == said


def test_what_a_compiler_takes_beyond_tracing(told):
    case = told()["cases"]["add 16x16"]

    def firsts(ours, theirs, traced):
        names = {"dlc": ours, "torch.compile unfrozen": theirs, "torch traced": traced}
        return case | {"frameworks": {n: {"first call": t} for n, t in names.items()}}

    cases = {"one": firsts(6.0, 15.0, 5.0), "two": firsts(7.0, 9.0, 5.0), "bad": firsts(1, 2, 3)}
    cases["three"] = firsts(5.0, 9.0, 5.0)
    (line,) = [x for x in report.standing(told() | {"cases": cases}) if "beyond" in x]
    said = "dlc / torch.compile unfrozen is 0.100 in the median of 3 cases, at most 0.500 (two)"
    assert line == f"* first call beyond torch traced: {said}"


def test_larger_extents_are_compared_by_the_peers_of_both(told):
    case = told()["cases"]["add 16x16"]
    other = copy.deepcopy(case)
    del other["frameworks"]["numpy"]
    other["frameworks"]["jax"]["seconds"] = 6e-3
    record = told() | {"cases": {"add 16x16": case, "add 16x16 +10%": other}}
    (row,) = report.perturbed(record).splitlines()[2:]
    assert re.sub(" +", " ", row) == "| add 16x16 | 4.00 (jax) | 3.00 (jax) | -25 % |"


def test_the_pages_of_figures_are_generated():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for path, made in (
        (generate.FIGURES_PAGE, generate.figure_sections()),
        (generate.FRONT_PAGE, generate.report.dated(generate.record(), generate.SHOWN) + "\n"),
    ):
        page = path.read_text(encoding="utf-8")
        assert page == generate.page_with(made, page), "run: python docs/generate.py"


def test_the_picture(told):
    record = told()
    picture = ET.fromstring(svg(record))
    circles = picture.findall("{http://www.w3.org/2000/svg}circle")
    titles = [title.text for c in circles for title in c]
    assert titles == ["add 16x16, jax: 4.00", "add 16x16, numpy: 2.00", "add 16x16, dlc: 1.00"]
    places = {
        t.split(", ")[1][:3]: float(c.get("cx")) for c in circles for t in [x.text for x in c]
    }
    assert places["dlc"] < places["num"] < places["jax"]
    ET.fromstring(svg({"runs": {}, "cases": {}}))


def test_records_are_merged(told):
    old, new = told(), told()
    old["cases"]["other"] = old["cases"]["add 16x16"] | {"run": "before"}
    old["runs"] = {"before": {}, "unused": {}}
    both = run.merge(old, new)
    assert list(both["cases"]) == ["add 16x16", "other"]
    assert set(both["runs"]) == {"before", *new["runs"]}


def test_every_framework_has_a_colour():
    assert set(_COLOURS) == set(KINDS)
