"""`dlc bench --device cuda`, on a stand-in for the driver: what is measured, told, and refused."""

import contextlib
import importlib.util
import json
import re

import numpy as np
import pytest

from dlc.bench import gpu_device, measure, run
from dlc.bench.frameworks import KINDS, environment, peers_for
from dlc.bench.gpu_cases import CASES as GPU
from dlc.bench.problem import Case, rounded
from dlc.bench.smoke_cases import CASES as SMOKE
from dlc.bench.suites import case_named, find_cases
from dlc.bench.worker import Worker as BenchWorker
from dlc.cli import main as cli
from dlc.ir.types import bfloat16

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)

from stand_in_driver import stand_in


class InThisProcess(contextlib.AbstractContextManager):
    """A worker as a `Process` has one, here: only here is the stand-in."""

    pid = 0

    def __init__(self, name, threads, cache, *, python, asked=False, device="cpu"):
        self.worker = BenchWorker(name, threads, cache, device)

    def __exit__(self, *error):
        return None

    def ask(self, command, **arguments):
        found = {} if command == "start" else getattr(self.worker, command)(**arguments)
        return json.loads(json.dumps(found or {}))

    def rest(self):
        """Nothing: it rests."""

    close = rest


SMALL = [c for c in SMOKE if c.name in ("add", "softmax", "matmul", "attention causal", "deep")]


def test_cases_are_measured_and_told(gpu, monkeypatch, tmp_path, capsys):
    half = Case(
        "matmul half", case_named("smoke", "matmul").problem.at_half(), dict(m=9, k=17, n=33)
    )
    names = {c.name: c for c in (*SMALL, half)}
    monkeypatch.setattr("dlc.bench.worker.case_named", lambda suite, name: names[name])
    monkeypatch.setattr("dlc.cli.bench.find_cases", lambda *a, **k: list(names.values()))
    for module in (measure, run):
        monkeypatch.setattr(module, "Process", InThisProcess)
    monkeypatch.setattr(gpu_device, "FOOTPRINTS", (1 << 12,))
    command = ["bench", "--device", "cuda", "--peers", "", "--rounds", "2", "--starts", "0"]
    assert cli.main([*command, "--at-least", "0", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "cuda beside" in text
    assert "GPU " in text
    (file,) = tmp_path.glob("*-gpu.json")
    record = json.loads(file.read_text())
    assert list(record["cases"]) == list(names)
    for case in record["cases"].values():
        assert case["frameworks"]["dlc"]["seconds"] > 0
        assert case["frameworks"]["dlc"]["share"] > 0
    (about,) = record["runs"].values()
    assert about["peaks"]["operations"] == 2 * 128 * 2 * 1e9
    assert about["judge"] is None
    assert gpu.launched


def test_training_runs_where_its_variables_are(gpu, tmp_path):
    bench = BenchWorker("dlc", 1, str(tmp_path), "cuda")
    case = case_named("smoke", "mlp training")
    sets, constants = case.draw()
    program = bench.framework.program(case, constants)
    for inputs, expected in zip(sets, case.exact(sets, constants), strict=True):
        result = program(*map(bench.framework.array, inputs))
        assert result.device == "cuda:0"
        assert case.error(bench.framework.arrays(result), expected) is None


def test_without_a_gpu_it_says_so(capsys):
    with stand_in(count=0):
        assert cli.main(["bench", "--device", "cuda", "--cases", "add*"]) == 2
    assert "there is no NVIDIA GPU" in capsys.readouterr().err
    assert cli.main(["bench", "--device", "tpu"]) == 2
    assert "it must be cpu, cuda" in capsys.readouterr().err


def test_peers_are_those_that_run_there(gpu, capsys):
    assert peers_for("gpu", "cuda") == ["torch", "torch.compile", "jax"]
    assert cli.main(["bench", "--device", "cuda", "--peers", "numpy"]) == 2
    assert "numpy is not measured on GPUs" in capsys.readouterr().err
    assert environment("jax", 1, "", device="cuda")["JAX_PLATFORMS"] == "cuda"
    assert environment("jax", 1, "")["JAX_PLATFORMS"] == "cpu"
    assert KINDS["dlc"].gpus


def test_the_suite(capsys):
    assert cli.main(["bench", "--device", "cuda", "--list"]) == 0
    listed = capsys.readouterr().out.split("\n")
    assert listed[:-1] == [c.name for c in GPU]
    halves = [c for c in find_cases("gpu") if "bf16" in c.name]
    assert all(c.problem.half for c in halves)
    assert all(c.problem.half is bool(re.search("bf16", c.name)) for c in GPU)


def test_halves_are_rounded_before_anything_computes():
    x = np.random.default_rng(0).standard_normal(1000, np.float32)
    assert np.array_equal(rounded(x), x.astype(bfloat16.numpy).astype(np.float32))
    labels = np.arange(3)
    assert rounded(labels) is labels
    case = Case("m", case_named("smoke", "matmul").problem.at_half(), dict(m=3, k=4, n=5))
    (a, b), *_ = case.draw()[0]
    assert np.array_equal(a, rounded(a))
    assert np.array_equal(b, rounded(b))
    assert case.problem.bytes(case.extents) * 2 == SMOKE_MATMUL.bytes(case.extents)


SMOKE_MATMUL = case_named("smoke", "matmul").problem
