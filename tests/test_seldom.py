"""Selects whose condition seldom holds: what is rare is computed in a branch, by the same bits."""

import re

import numpy as np
import pytest
from scalar_harness import HOST_LEVELS

import dlc
from dlc.ir import scalar
from dlc.ir.types import float32

LEVELS = pytest.mark.parametrize("isa", HOST_LEVELS, ids=lambda i: i.name)
HUGE = {"f4": [1e10, 3e38, np.inf, np.nan], "f8": [1e15, 1e300, -np.inf, np.nan]}


def branches(function, *args):
    """How many branches for what is rare a loop has: there is one of whole vectors, and another."""
    text = dlc.compile(function).lower(*args).as_text("llvm")
    return len(re.findall(r"^seldom\d+:", text, re.MULTILINE)) / 2


def test_a_condition_is_one_branch():
    x, wide = dlc.spec((32,), dlc.float32), dlc.spec((32,), dlc.float64)
    assert branches(dlc.exp, x) == 0
    assert branches(dlc.sin, x) == branches(dlc.tan, wide) == 1
    assert branches(lambda x: dlc.sin(x) + dlc.cos(x), x) == 1
    assert branches(lambda x, y: dlc.sin(x) * dlc.cos(y), x, x) == 2
    assert branches(lambda x: dlc.sin(dlc.sin(x)), x) == 2


@LEVELS
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_one_lane_of_many_is_rare(name, dtype, isa):
    with dlc.config.scope(isa=isa.name):
        f = dlc.compile(getattr(dlc, name))
        usual = np.linspace(-30, 30, 67).astype(dtype)
        expected = f(usual).numpy()
        for k in range(67):
            mixed, huge = usual.copy(), HUGE[dtype][k % 4]
            mixed[k] = huge
            alone = f(np.full(67, huge, dtype)).numpy()[k]
            wanted = expected.copy()
            wanted[k] = alone
            np.testing.assert_array_equal(f(mixed).numpy(), wanted)
            exact = getattr(np, name)(np.float64(mixed[k])) if np.isfinite(huge) else np.nan
            np.testing.assert_allclose(alone, exact, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_branches_in_loops_of_every_kind():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 37, 41)).astype("f8") * 1e10
    w = rng.normal(size=(41, 19))
    cases = {
        "sum": (lambda m, x, y, w: m.sum(m.sin(x * y), axis=1), 1e-9),
        "rows": (lambda m, x, y, w: m.sin(x) - m.max(m.cos(y), axis=1, keepdims=True), 1e-12),
        "columns": (lambda m, x, y, w: m.sum(m.sin(x), axis=0) * m.cos(m.sum(x, axis=0)), 1e-4),
        "turned": (lambda m, x, y, w: m.sin(x).T + m.cos(y.T), 1e-12),
        "operand": (lambda m, x, y, w: m.sin(x) @ w, 1e-12),
        "epilogue": (lambda m, x, y, w: m.sin(m.sin(y) @ w * 1e11), 1e-3),
        "scalar": (lambda m, x, y, w: m.sin(x[3, 4]) * x + m.cos(x[:, 5:6]), 1e-12),
        "where": (lambda m, x, y, w: m.where(m.sin(x) > 0, m.cos(x), m.sin(m.sin(x))), 1e-12),
        "chosen": (lambda m, x, y, w: m.sin(x)[::-1, ::2] + m.sin(x[:, :21]), 1e-12),
        "scan": (lambda m, x, y, w: m.cumulative_sum(m.sin(x), axis=1), 1e-9),
    }
    for name, (function, bound) in cases.items():
        found = dlc.compile(lambda *a, f=function: f(dlc, *a))(x, y, w).numpy()
        exact = function(np, x, y, w)
        np.testing.assert_allclose(found, exact, rtol=bound, atol=bound, err_msg=name)


def test_threads_have_the_same_bits():
    x = np.random.default_rng(1).normal(size=100_003).astype("f4") * 1e7
    f = dlc.compile(lambda x: dlc.sin(x) * dlc.sum(dlc.cos(x)))
    with dlc.config.scope(num_threads=1):
        one = f(x).numpy()
    with dlc.config.scope(num_threads=3):
        np.testing.assert_array_equal(f(x).numpy(), one)


def test_a_rare_select_is_a_select_to_others():
    x = scalar.load("x", ())
    zero = scalar.const(0.0, float32)
    rare = scalar.select(scalar.op("lt", x, zero), zero, x, seldom=True)
    assert scalar.is_seldom(rare)
    assert not scalar.is_seldom(scalar.select(*rare.args))
    assert rare != scalar.select(*rare.args)
    assert scalar.is_seldom(rare.with_args((*rare.args[:2], zero)))
