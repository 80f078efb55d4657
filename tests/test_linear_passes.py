"""Passes take work in proportion to the size of the program.

Work is the number of lines of Python that run (`work_count.py`).
"""

import numpy as np
import pytest
from work_count import lines_of

import dlc
from dlc.codegen.memory_plan import plan_memory
from dlc.codegen.program_builder import build_program
from dlc.ir.core import Function
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of

# The work of 16 layers more, over that of 8 layers more: 2 if it is linear, 4 if quadratic.
_MOST = 2.3


def perceptron(x, weights):
    """Products of parameters of their own, activations, norms and residuals."""
    for w in weights:
        x = dlc.layer_norm(x + dlc.tanh(x @ w + 1.0), axis=-1)
    return dlc.mean(x * x)


def elementwise(x, weights):
    """A chain that is one kernel, with sums in between."""
    for w in weights:
        x = dlc.where(x > 0, x * w[0], dlc.exp(-x)) - dlc.sum(x, axis=-1, keepdims=True)
    return dlc.mean(x)


def shared(x, weights):
    """Values that are read again much later."""
    y, kept = x, x * 2.0
    for w in weights:
        y = dlc.softmax(y @ w, axis=-1) + kept
        kept = kept + y
    return dlc.sum(kept * x)


def looping(x, weights):
    """Loops, each of which reads what was there before all of them."""
    y = x * 2.0
    for w in weights:
        y = dlc.fori_loop(0, 3, lambda _, z, w=w: dlc.tanh(z @ w) + x, y)
    return dlc.sum(y)


def closest(numbers):
    """The least distance, by looking at all pairs."""
    least = len(numbers)
    for x in numbers:
        for y in numbers:
            if x < y:
                least = min(least, y - x)
    return least


def traced(function, layers, gradient):
    x, weights = np.ones((4, 8), "f4"), [np.ones((8, 8), "f4") * k for k in range(layers)]
    wanted = dlc.grad(function, argnums=1) if gradient else function
    return dlc.compile(wanted).lower(x, weights).function


def work(function, layers, gradient):
    """The lines of each pass by its name."""
    done = traced(function, layers, gradient)
    found = {}
    for p in pipeline_of("O2"):
        after: list[Function] = []

        def run(p=p, done=done, after=after):
            after.append(run_pipeline(done, [p]))

        found[p.name] = found.get(p.name, 0) + lines_of(run)
        (done,) = after
    return found


@pytest.mark.parametrize("gradient", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("function", [perceptron, elementwise, shared])
def test_work_is_linear(function, gradient):
    work(function, 2, gradient)  # fills what is remembered
    few, more, most = (work(function, layers, gradient) for layers in (8, 16, 32))
    assert sum(few.values()) > 10_000
    ratios = {n: (most[n] - more[n]) / max(1, more[n] - few[n]) for n in few}
    assert all(ratio < _MOST for ratio in ratios.values()), ratios


@pytest.mark.parametrize("gradient", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("function", [perceptron, shared, looping])
def test_memory_is_planned_in_linear_work(function, gradient):
    found = []
    for layers in (2, 8, 16, 32):
        done = run_pipeline(traced(function, layers, gradient), pipeline_of("O2"))
        program = build_program(done)
        found.append(lines_of(lambda program=program: plan_memory(program, {})))
    _, few, more, most = found
    assert few > 500
    assert (most - more) / (more - few) < _MOST, found


def test_a_quadratic_pass_would_be_seen():
    def pairs(n):
        return lines_of(lambda: closest(list(range(n))))

    few, more, most = (pairs(n) for n in (8, 16, 32))
    assert (most - more) / (more - few) > 3
