"""Random programs: every pass, level and device agrees with the interpreter."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from programs import programs

from dlc.ir.dims import symbol
from dlc.ir.equal import first_difference, same_structure
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.passes.batch import batch_function
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of
from dlc.passes.simplify import Simplify
from dlc.runtime.random_args import random_args
from dlc.runtime.verification import verify_function

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
FEW = settings(max_examples=60, derandomize=True, suppress_health_check=SLOW)
MANY = settings(max_examples=250, derandomize=True, suppress_health_check=SLOW)
EITHER = st.one_of(programs(), programs(symbolic=True))


@MANY
@given(EITHER)
def test_passes_and_kernels_agree_with_the_interpreter(function):
    report = verify_function(function, level="O3", device="reference")
    assert report.ok, f"{print_function(function)}\n{report}"


@pytest.mark.parametrize("level", ["O0", "O1", "O2"])
@FEW
@given(EITHER)
def test_the_cpu_agrees_with_the_interpreter(level, function):
    report = verify_function(function, level=level)
    assert report.ok, f"{print_function(function)}\n{report}"


@MANY
@given(EITHER)
def test_simplifying_again_changes_nothing(function):
    once = run_pipeline(function, [Simplify()], verify=True)
    again = run_pipeline(once, [Simplify()], verify=True)
    assert same_structure(once, again), first_difference(once, again)


@MANY
@given(EITHER)
def test_every_stage_can_be_read_back(function):
    stages = []
    run_pipeline(
        function, pipeline_of("O3"), callback=lambda p, before, after, seconds, stats: (
            stages.append(after))
    )  # fmt: skip
    for stage in stages:
        assert same_structure(parse_function(print_function(stage)), stage)


TOLERANCES = {"float64": 1e-9, "float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}


def batched(data, function):
    """A batch of a function, of some of its parameters."""
    flags = data.draw(st.lists(st.booleans(), min_size=len(function.params),
                               max_size=len(function.params)))  # fmt: skip
    # Without a parameter that has the batch, a symbol has nothing to be the extent of.
    size = data.draw(st.sampled_from((2, 3, 1, symbol("batch")) if any(flags) else (2, 3, 1)))
    return batch_function(function, flags, size, results=data.draw(st.booleans())), flags


@FEW
@given(st.data(), EITHER)
def test_batches_agree_with_a_loop(data, function):
    (made, differs), flags = batched(data, function)
    dims = {"batch": 2, "n": 5}
    args = random_args(made, dims=dims)
    results = interpret(made, args, dims=dims)
    sizes = [a.shape[0] for a, has in zip(args, flags, strict=True) if has]
    for k in range(sizes[0] if sizes else 1):
        own = [a[k] if has else a for a, has in zip(args, flags, strict=True)]
        for result, has, wanted in zip(
            results, differs, interpret(function, own, dims=dims), strict=True
        ):
            found = result[k] if has else result
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            bound = TOLERANCES.get(found.dtype.name, 0)
            np.testing.assert_allclose(
                found.astype(np.float64), wanted.astype(np.float64), rtol=bound, atol=bound,
                err_msg=print_function(function),
            )  # fmt: skip


@settings(FEW, max_examples=15)
@given(st.data(), EITHER)
def test_the_cpu_agrees_with_the_interpreter_on_batches(data, function):
    (made, _), _ = batched(data, function)
    report = verify_function(made)
    assert report.ok, f"{print_function(made)}\n{report}"
