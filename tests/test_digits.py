"""The digits example: losses as by hand in float64, and a step that is one native program."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
from types import ModuleType

import numpy as np
import pytest

from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.ir.equal import same_structure
from dlc.ir.parser import parse_function

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture
def digits() -> ModuleType:
    """A fresh copy of the example, with its initial parameters."""
    spec = importlib.util.spec_from_file_location("digits", ROOT / "examples" / "digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["digits"] = module
    spec.loader.exec_module(module)
    return module


def test_losses_equal_float64_numpy_over_100_steps(digits: ModuleType) -> None:
    x, y, _, _ = digits.load_digits()
    state = digits.numpy_state(np.float64)
    rng = np.random.default_rng(2)
    steps = 0
    while steps < 100:
        for xb, yb in digits.batches(x, y, rng):
            ours = float(digits.train_step(xb, yb))
            hand = float(digits.numpy_step(state, xb.astype(np.float64), yb))
            assert ours == pytest.approx(hand, rel=1e-4)
            steps += 1
    for variable, expected in zip(digits.PARAMETERS, state["p"], strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-3, atol=2e-3)


def test_learns_and_runs_as_one_native_program(digits: ModuleType) -> None:
    x, y, x_test, y_test = digits.load_digits()
    rng = np.random.default_rng(2)
    for _ in range(25):
        for xb, yb in digits.batches(x, y, rng):
            digits.train_step(xb, yb)
    stats = digits.train_step.stats
    assert stats.interpreted_ops == 0
    assert stats.native_calls == stats.calls == 25 * (len(x) // digits.BATCH)
    assert stats.compilations == 1
    accuracy = float(np.mean(digits.predict(x_test).numpy() == y_test))
    assert accuracy >= 0.97


def test_stages_parse_back(digits: ModuleType) -> None:
    lowered = digits.train_step.lower(np.zeros((64, 64), np.float32), np.zeros(64, np.int64))
    for stage in ("traced", "optimized"):
        text = lowered.as_text(stage)
        function = parse_function(text)
        assert same_structure(function, parse_function(text))
    kernels = [k for k in lowered.as_text("kernels").split("\n\n") if k.startswith("kernel")]
    assert len(kernels) >= 10
    for text in kernels:
        assert print_kernel(parse_kernel(text)).strip() == text.strip()
