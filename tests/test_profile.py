"""`dlc profile`: the work of kernels, their times, and what is written of them."""

import itertools
import json
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import dlc
from dlc.bench.share import limit_of
from dlc.cli import main as cli
from dlc.cli.roofline import Point, roofline
from dlc.codegen.kernel_cost import kernel_operations
from dlc.codegen.kernel_parser import parse_kernel
from dlc.ir.dims import evaluate

SVG = "{http://www.w3.org/2000/svg}"
FILE = """
import dlc
import numpy

WEIGHTS = numpy.ones((16, 8), numpy.float32)

def closes_over(x: "f32[4,16]"):
    return x @ WEIGHTS

def net(x: "f32[8,32]", w: "f32[32,32]"):
    for _ in range(3):
        x = dlc.tanh(x @ w)
    return dlc.softmax(x, axis=-1)

def solves(x: "f32[4,4]"):
    return dlc.linalg.solve(x @ x.T + 3 * dlc.eye(4), x).sum()

def sorts_in_a_loop(x: "f32[5,4]"):
    def step(total, row):
        ordered = dlc.pure_callback(numpy.sort, dlc.spec(row.shape, row.dtype), row)
        dlc.debug.print("{}", total)
        return total + ordered, total * 2
    return dlc.scan(step, x[0], x)[1]

def grows(x: "f32[n,16]"):
    return dlc.sum(x * x, axis=0)
"""


@pytest.fixture
def profile(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user.py").write_text(FILE)

    def run(*words, status=0):
        capsys.readouterr()
        assert cli.main(["profile", *words]) == status
        captured = capsys.readouterr()
        return captured.out if status == 0 else captured.err

    return run


# How much work a kernel is.


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("(x: f32[n], out o: f32[n]):\n par i<n: o[i] = tanh(x[i]*x[i])+1.0", lambda n: 3 * n),
        ("(x: f32[n], out o: f32[n]):\n par i<n: o[i] = x[i]", lambda n: 0),
        # A sum is an addition for each element, and the shared part of it is counted once.
        (
            "(x: f32[n,4], out o: f32[n]):\n par i<n: o[i] = sum(j<4, exp(x[i,j])*exp(x[i,j]))",
            lambda n: n * 4 * 3,
        ),
        (
            """(x: f32[n,8], y: f32[8,n], out o: f32[n,n]):
 par i<n, j<n:
  a[i,j] = dot(k<8, x[i,k]*y[k,j])
  o[i,j] = a[i,j]+1.0""",
            lambda n: n * n * (2 * 8 + 1),
        ),
        # What uses an open block is done for each of its values, the rest once a block.
        (
            "(x: f32[n], out o: f32[n]):\n par i<n:16: o[#i] = 2.0*sum(i, x[i])",
            lambda n: n + -(-n // 16),
        ),
        (
            "(x: f32[n], out o: f32[n]):\n par i<n:16:\n  a[i] = x[i]*x[i]\n  o[i] = a[i]*2.0",
            lambda n: 2 * n,
        ),
        # Scores and means of blocks of queries and keys.
        (
            """(x: f32[n,4], out o: f32[n,4]):
 par i<n:16:
  for j<n:8 carry a[i,d] d<4 = 0.0f32:
   s[j,i] = dot(d<4, x[j,d]*x[i,d])
   next_a[i,d] d<4 = a[i,d]+dot(j, s[j,i]*x[j,d])
  o[i,d] d<4 = a[i,d]""",
            lambda n: 8 * n * n + 8 * n * n + -(-n // 8) * n * 4,
        ),
        (
            "(x: f32[n], out o: f32[n]):\n par i<n:\n  e[j] j<4 = x[i]*x[i]\n  o[i] = e[0]+e[1]",
            lambda n: n * (4 + 1),
        ),
    ],
)
def test_operations(text, count):
    kernel = parse_kernel("kernel f<n>" + text)
    for n in (1, 16, 37):
        assert evaluate(kernel_operations(kernel), {"n": n}) == count(n)


def test_operations_of_programs_agree_with_the_ir():
    """A product has the operations that the analysis of the IR says."""
    lowered = dlc.compile(lambda x, y: x @ y).lower("f32[12,33]", "f32[33,7]")
    program = lowered.executable.program
    total = 0
    for call in program.calls:
        kernel = program.kernels[call.kernel]
        dims = {n: evaluate(d, {}) for n, d in zip(kernel.dims, call.dims, strict=True)}
        total += evaluate(kernel_operations(kernel), dims)
    assert total == lowered.cost_analysis()["operations"] == 2 * 12 * 33 * 7


def test_the_limit_that_binds():
    peaks = {"operations": 100.0, "bytes": {"1000": 50.0, "200": 80.0}}
    assert limit_of(1000, 80, peaks) == (10, "operations")
    assert limit_of(10, 80, peaks) == (1, "bytes")
    assert limit_of(10, 500, peaks) == (10, "bytes")
    assert limit_of(10, 5000, peaks) == (100, "bytes")


# The command.


def test_the_table(profile):
    lines = profile("user.py:net", "--threads", "2").splitlines()
    assert re.fullmatch(r"@net: .* in its kernels, one by one; 2 threads", lines[0])
    assert lines[1].startswith("limits: ")
    rows = [line for line in lines[3:] if "user.py:" in line]
    assert len(rows) == len(lines) - 3
    assert any(re.search(r" user.py:\d+ in net$", row) for row in rows)
    assert len({re.search(r"(\w+\(.*\))  ", row)[1] for row in rows}) == len(rows)
    parts = [int(re.search(r"(\d+) %", row)[1]) for row in rows]
    assert parts == sorted(parts, reverse=True)
    assert sum(parts) == pytest.approx(100, abs=len(parts))


def test_json_trace_and_picture(profile, tmp_path):
    words = ["--json", "--trace", "t.json", "--svg", "r.svg", "--threads", "2"]
    record = json.loads(profile("user.py:net", *words))
    assert record["function"] == "net"
    assert record["threads"] == 2
    kernels = record["kernels"]
    calls = sum(k["calls"] for k in kernels)
    for k in kernels:
        assert k["total"] == pytest.approx(k["calls"] * k["seconds"])
        assert k["bytes"] > 0
        least, binds = limit_of(k["operations"], k["bytes"], record["peaks"])
        assert (k["share"], k["binds"]) == (pytest.approx(least / k["seconds"]), binds)
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    slices = [e for e in events if e["ph"] == "X" and e["tid"] == 0]
    assert len(slices) == calls
    for before, after in itertools.pairwise(slices):
        assert after["ts"] == pytest.approx(before["ts"] + before["dur"])
    assert {e["args"]["name"] for e in events if e["ph"] == "M"} == {"thread 0", "thread 1"}
    picture = ET.fromstring((tmp_path / "r.svg").read_text())
    assert len(picture.findall(f"{SVG}circle")) == len(kernels)


@pytest.mark.parametrize(
    ("name", "calls"),
    [("solves", ["solve"]), ("sorts_in_a_loop", ["pure_callback", "debug_print"])],
)
def test_calls_of_the_host_are_in_the_table(profile, name, calls):
    kernels = json.loads(profile(f"user.py:{name}", "--json"))["kernels"]
    for op in calls:
        (found,) = [k for k in kernels if k["name"].startswith(f"{op}_")]
        assert found["seconds"] > 0
        assert found["operations"] == 0


def test_symbols_inputs_and_ir(profile, tmp_path):
    (kernel, *_) = json.loads(profile("user.py:grows", "--dim", "n=100", "--json"))["kernels"]
    assert 100 in kernel["dims"].values()
    assert profile("user.py:closes_over").startswith("@closes_over: ")
    np.savez("in.npz", x=np.ones((7, 16), np.float32))
    (kernel, *_) = json.loads(profile("user.py:grows", "--inputs", "in.npz", "--json"))["kernels"]
    assert 7 in kernel["dims"].values()
    (tmp_path / "f.ir").write_text("func @f(%x: f32[n]) -> (f32[n]) {\n  return %x\n}\n")
    assert profile("f.ir").startswith("@f: ")


def test_nothing_to_do(profile, tmp_path):
    (tmp_path / "f.ir").write_text(
        "func @f(%x: f32[0]) -> (f32[0]) {\n  %0: f32[0] = neg(%x)\n  return %0\n}\n"
    )
    assert profile("f.ir", "--svg", "r.svg", "--trace", "t.json").startswith("@f: ")


def test_errors(profile):
    assert "reference" in profile("user.py:net", "--device", "reference", status=2)
    assert "softmx" in profile("user.py:softmx", status=2)
    assert "threads" in profile("user.py:net", "--threads", "0", status=2)


def test_rooflines():
    point = Point("k<1>", operations=0, bytes=0, seconds=1e-6, part=1.0)
    others = [Point("big", 10**12, 10, 1.0, 0.5), Point("small", 1, 10**9, 10.0, 0.0)]
    for points in ([], [point], [point, *others]):
        picture = ET.fromstring(roofline(points, 1e11, {"1048576": 4e10, "67108864": 1e10}))
        circles = picture.findall(f"{SVG}circle")
        assert len(circles) == len(points)
        for c in circles:
            assert 0 <= float(c.get("cx")) <= float(picture.get("width"))
            assert 0 <= float(c.get("cy")) <= float(picture.get("height"))
