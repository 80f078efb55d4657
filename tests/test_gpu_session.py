"""What runs on a GPU in one go: reports, limits of time, going on; without a GPU."""

import importlib.util
import json
import re
import sys

import pytest

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)

import gpu_networks
import gpu_report
import gpu_session
from gpu_session import Part
from stand_in_driver import stand_in

import dlc
from dlc.bench import networks
from dlc.bench.problem import Case
from dlc.cli import main as cli
from dlc.ir.errors import BackendError


class Outcome:
    when = "call"

    def __init__(self, outcome):
        self.outcome, self.nodeid = outcome, f"tests/test_a.py::{outcome}"


@pytest.mark.parametrize(
    ("outcomes", "code", "status", "done"),
    [
        (["passed", "passed"], 0, 0, True),
        (["passed", "skipped"], 0, 1, False),
        (["passed", "failed"], 1, 1, False),
        (["passed"], 2, 2, False),
    ],
)
def test_a_report_of_tests(outcomes, code, status, done, tmp_path, monkeypatch):
    given = []

    def run(words, plugins):
        given.extend(words)
        for outcome in outcomes:
            plugins[0].pytest_runtest_logreport(Outcome(outcome))
        return code

    monkeypatch.setattr(pytest, "main", run)
    monkeypatch.setattr(gpu_report, "today", lambda: "2026-01-02")
    with stand_in():
        assert gpu_report.main(["--out", str(tmp_path / "new"), "--jobs", "1"]) == status
    (file,) = (tmp_path / "new").iterdir()
    text = file.read_text()
    assert file.name == "2026-01-02-gpu-tests.md"
    assert "# Tests on a GPU, 2026-01-02\n\n* Device: " in text
    assert f"* Tests: {len(outcomes)} in 0 s, {outcomes.count('passed')} passed, " in text
    assert ("* Failed: tests/test_a.py::failed" in text) is ("failed" in outcomes)
    assert (gpu_report.EARLY in text) is (code == 2)
    assert gpu_report.is_done(text) is done
    assert any(word.endswith("test_gpu_device.py") for word in given)


@pytest.mark.parametrize("main", [gpu_report.main, gpu_session.main])
def test_without_a_gpu(main, tmp_path, capsys):
    with stand_in(count=0):
        assert main(["--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "no NVIDIA GPU" in said
    assert "pip install 'dlc[gpu]'" in said
    assert not list(tmp_path.iterdir())


def command(code):
    return [sys.executable, "-c", code]


def test_parts_have_limits_of_time(tmp_path):
    said = []
    todo = [
        Part("fails", command("import sys; sys.exit(3)"), 60),
        Part("long", command("import time; time.sleep(60)"), 1),
        Part("good", command(f"open({str(tmp_path / 'a')!r}, 'w')"), 60),
    ]
    assert not gpu_session.run_all(todo, tmp_path, 120, said.append)
    assert [line.split(", ")[-1] for line in said[:3]] == [
        "status 3", "its time was over", "status 0",
    ]  # fmt: skip
    assert (tmp_path / "a").exists()
    assert gpu_session.run_all(todo[2:], tmp_path, 120, said.append)
    assert not gpu_session.run_all(todo[2:], tmp_path, 1, said.append)
    assert said[-2] == "good: no time was left"


def test_tests_that_have_passed_are_left_out(tmp_path):
    text = "# Tests\n\n* Tests: 3 in 1 s, 3 passed, 0 failed, 0 skipped\n"
    gpu_report.report_file(tmp_path).write_text(text)
    said = []
    todo = [Part("tests", command("import sys; sys.exit(3)"), 60)]
    assert gpu_session.run_all(todo, tmp_path, 60, said.append)
    assert said[0] == "tests: done before"
    gpu_report.report_file(tmp_path).write_text(text + gpu_report.EARLY)
    assert not gpu_session.run_all(todo, tmp_path, 60, said.append)


def test_the_commands_of_a_session_are_understood(tmp_path, capsys):
    """With `--list`, the bench only says what it would measure."""
    for part in gpu_session.parts(sys.executable, tmp_path, 3):
        if part.name == "tests":
            continue
        assert part.command[1:4] == ["-m", "dlc", "bench"]
        assert cli.main([*part.command[3:], "--list"]) == 0
        assert "matmul bf16 8192" in capsys.readouterr().out


def test_cases_that_are_measured_are_left_out(tmp_path, capsys, monkeypatch):
    file = tmp_path / "today.json"
    monkeypatch.setattr("dlc.cli.bench._file_of_today", lambda folder, device: file)
    words = ["bench", "--suite", "smoke", "--cases", "add", "--cases", "chain", "--peers", ""]
    words += ["--starts", "0", "--rounds", "1", "--at-least", "0", "--out", str(tmp_path)]
    words += ["--missing"]
    assert cli.main([*words, "--list"]) == 0
    assert capsys.readouterr().out.split() == ["add", "chain"]
    good, bad = ({"frameworks": {"dlc": f}} for f in ({"seconds": 1.0}, {"error": "no"}))
    file.write_text(json.dumps({"runs": {}, "cases": {"add": good, "chain": bad}}))
    assert cli.main([*words, "--list"]) == 0
    assert capsys.readouterr().out.split() == ["chain"]


def test_networks_are_compiled_without_a_gpu(monkeypatch, capsys):
    decode = next(c for c in networks.ON_GPU if "decode" in c.name)
    small = Case(decode.name, decode.problem, {**decode.extents, "t": 16, "h": 2, "v": 32})
    monkeypatch.setattr(gpu_networks, "ON_GPU", (small,))
    small, large = (0, 40, 8, "small"), (200, 255, 64, "large")
    refused = BackendError("Triton refuses another")
    for found in (([large, small], []), ([small], [refused])):
        monkeypatch.setattr(gpu_networks, "used", lambda _, found=found: found)
        assert gpu_networks.main(["*decode*", "--layers", "1"]) == 1
    said = capsys.readouterr().out
    assert re.match(r"gpt2 124M decode bf16 1x1024: \d+ calls of \d+ kernels, arguments ", said)
    assert "large: 255 registers, 200 bytes spilled, 64 shared" in said
    assert "Triton refuses another" in said
    monkeypatch.setattr(gpu_networks, "used", lambda _: ([small], []))
    assert gpu_networks.main(["*decode*", "--layers", "1"]) == 0
    monkeypatch.setattr(gpu_networks, "used", None)
    assert gpu_networks.main(["*decode*", "--layers", "1", "--plan"]) == 0


def test_what_kernels_use():
    f = dlc.compile(lambda x: x + 1, device="cuda:sm_90")
    found, refused = gpu_networks.used(f.lower("f32[8]").executable)
    assert found == sorted(found, reverse=True)
    assert not refused
    for spilled, registers, shared, entry in found:
        assert spilled == shared == 0
        assert 0 < registers < 64
        assert entry.startswith("add")
