"""Random programs: every pass, level and device agrees with the interpreter."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from programs import programs

from dlc.ir.equal import first_difference, same_structure
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of
from dlc.passes.simplify import Simplify
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
