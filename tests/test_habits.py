"""The examples of the three habits: their losses are those of float64 NumPy, and each other's."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "examples" / "habits"
STEPS = 50


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def regression_by_hand(module: ModuleType) -> list[float]:
    """Linear regression in float64, with the derivative written out."""
    x, y = (a.astype(np.float64) for a in module.make_data())
    w, b, losses = np.zeros(3), 0.0, []
    for _ in range(STEPS):
        error = x @ w + b - y
        losses.append(np.mean(error**2))
        d = 2 * error / len(x)
        w, b = w - module.RATE * (x.T @ d), b - module.RATE * d.sum()
    return losses


def network_by_hand(module: ModuleType) -> list[float]:
    """The two-layer network in float64, with backpropagation written out."""
    x, y = (a.astype(np.float64) for a in module.make_data())
    p = {k: v.astype(np.float64) for k, v in module.initial_parameters().items()}
    losses = []
    for _ in range(STEPS):
        before = x @ p["w1"] + p["b1"]
        hidden = np.maximum(before, 0)
        error = hidden @ p["w2"] + p["b2"] - y
        losses.append(np.mean(error**2))
        d = 2 * error / error.size
        d1 = (d @ p["w2"].T) * (before > 0)
        gradients = {"w1": x.T @ d1, "b1": d1.sum(0), "w2": hidden.T @ d, "b2": d.sum(0)}
        p = {k: v - module.RATE * gradients[k] for k, v in p.items()}
    return losses


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [("linear_regression", regression_by_hand), ("two_layer_relu", network_by_hand)],
)
def test_losses(name, by_hand):
    module = load(name)
    columns = module.all_losses(STEPS)
    assert set(columns) == {(h, c) for h in ("function", "tape", "backward") for c in (False, True)}
    expected = by_hand(module)
    assert expected[-1] < 0.5 * expected[0]
    for losses in columns.values():
        np.testing.assert_allclose(losses, expected, rtol=2e-5)
    # One program: the same bits. Op by op, tape and backward do the same as each other.
    assert columns["function", True] == columns["tape", True] == columns["backward", True]
    assert columns["tape", False] == columns["backward", False]


@pytest.mark.parametrize("name", ["linear_regression", "two_layer_relu"])
def test_printed_losses(name):
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", "--steps", "3"],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    for row in rows:
        assert len(row) == 7
        np.testing.assert_allclose([float(loss) for loss in row[1:]], float(row[1]), rtol=1e-6)
        assert len(set(row[4:])) == 1  # the compiled ones, to the last digit
    assert done.stderr == ""


def test_compiled_steps_run_natively_and_update_in_place():
    module = load("two_layer_relu")
    import dlc

    made = []
    whole = dlc.compile

    class Spy:
        def __getattr__(self, name):
            return getattr(dlc, name)

        def compile(self, step):
            made.append(whole(step))
            return made[-1]

    module.dlc = Spy()
    module.all_losses(4)
    assert len(made) == 3
    for step in made:
        assert (step.stats.calls, step.stats.native_calls) == (4, 4)
        assert (step.stats.compilations, step.stats.interpreted_ops) == (1, 0)
