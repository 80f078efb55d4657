"""Constant folding, sharing, dead code, decomposition, the levels; verification and bisection."""

import numpy as np
import pytest

from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.ir.rewrite import Fuel, Rule, RuleSet
from dlc.passes import simplify
from dlc.passes.manager import parse_pipeline, run_pipeline
from dlc.passes.pipelines import LEVELS, pipeline_of
from dlc.runtime.bisection import bisect_function
from dlc.runtime.judge import Judge, first_exact_difference
from dlc.runtime.random_args import random_args
from dlc.runtime.verification import verify_function

SOFTMAX = """
func @f(%x: f32[n,5], %y: f32[n,5]) -> (f32[n,5]) {
  %0: f32[n,5] = softmax(%x) {axis=1}
  %one: f32[n,5] = full() {value=1.0, shape=[n,5], dtype=f32}
  %1: f32[n,5] = mul(%0, %one) loc("model.py":7 in "forward")
  %2: f32[n,5] = sub(%1, %y)
  return %2
}
"""


def run(text, pipeline):
    return run_pipeline(parse_function(text), parse_pipeline(pipeline), verify=True)


def ops(function):
    return [n.op.name for n in function.nodes]


def test_folding_reads_no_more_than_its_limit():
    text = """
    func @f() -> (f32[]) {
      %0: f32[1000] = full() {value=1.0, shape=[1000], dtype=f32}
      %1: f32[] = reduce_sum(%0) {axes=[0]}
      return %1
    }
    """
    assert ops(run(text, "fold_constants")) == ["full"]
    assert ops(run(text, "fold_constants{limit=100}")) == ["full", "reduce_sum"]


def test_folding_keeps_signed_zeros_and_nan():
    text = """
    func @f() -> (f32[2], f32[n2], f32[2]) {
      %z: f32[2] = full() {value=0.0, shape=[2], dtype=f32}
      %0: f32[2] = neg(%z)
      %1: f32[2] = div(%z, %z)
      return %0, %0, %1
    }
    """.replace("n2", "2")
    f, g = parse_function(text), run(text, "fold_constants,dce")
    assert set(ops(g)) == {"full"}
    assert first_exact_difference(interpret(f, []), interpret(g, [])) is None


def test_sharing_takes_operands_in_either_order_where_that_is_the_same():
    text = """
    func @f(%x: f32[3], %y: f32[3]) -> (f32[3]) {
      %0: f32[3] = add(%x, %y)
      %1: f32[3] = add(%y, %x)
      %2: f32[3] = sub(%x, %y)
      %3: f32[3] = sub(%y, %x)
      %4: f32[3] = mul(%0, %1)
      %5: f32[3] = mul(%2, %3)
      %6: f32[3] = max(%4, %5)
      return %6
    }
    """
    assert sorted(ops(run(text, "cse"))) == ["add", "max", "mul", "mul", "sub", "sub"]


@pytest.mark.parametrize("level", LEVELS)
def test_levels_end_in_fusions(level):
    f = run_pipeline(parse_function(SOFTMAX), pipeline_of(level), verify=True)
    assert set(ops(f)) <= {"fusion", "get", "constant"}


def test_unknown_level():
    with pytest.raises(ValueRangeError, match="no optimisation level 'O4'"):
        pipeline_of("O4")


# Verification and bisection.


def test_every_stage_is_reported():
    report = verify_function(parse_function(SOFTMAX))
    assert report.ok
    names = [s.name for s in report.stages]
    assert names[:4] == ["attend", "decompose", "dce", "fold_constants"]
    assert names[-4:] == ["lower", "share_memory", "plan_memory", "cpu"]
    assert "@f: every stage agrees" in str(report)


def test_arguments_can_be_given():
    f = parse_function(SOFTMAX)
    args = [np.ones((2, 5), np.float32), np.zeros((2, 5), np.float32)]
    assert verify_function(f, args, device="reference").ok
    with pytest.raises(ArgumentError):
        verify_function(f, args[:1])


def test_a_wrong_rule_is_named_with_its_line(monkeypatch):
    rules = RuleSet("simplify", [Rule("wrong", "mul(x, 1)", "neg(x)")])
    monkeypatch.setattr(simplify, "RULES", rules)
    f = parse_function(SOFTMAX)
    report = verify_function(f, device="reference")
    assert report.first_bad is not None
    assert report.first_bad.name == "simplify"
    assert "a stage is wrong" in str(report)
    culprit = bisect_function(f, device="reference")
    assert culprit is not None
    assert (culprit.stage, culprit.rule) == ("simplify", "wrong")
    assert "model.py:7" in str(culprit.location)
    # With one change less, the program is right.
    assert culprit.number is not None
    fuel = Fuel(culprit.number - 1)
    g = run_pipeline(f, parse_pipeline("attend,decompose,dce,fold_constants,simplify"), fuel=fuel)
    args = random_args(f)
    assert first_exact_difference(interpret(f, args), interpret(g, args)) is None


def test_nothing_is_named_where_nothing_is_wrong():
    assert bisect_function(parse_function(SOFTMAX), device="reference") is None


def test_the_judge_allows_rounding_and_no_more():
    f = parse_function(
        "func @f(%x: f32[8], %y: f32[8]) -> (f32[8]) {\n"
        "%0: f32[8] = mul(%x, %y)\n%1: f32[8] = exp(%0)\nreturn %1\n}"
    )
    args = random_args(f)
    judge = Judge(f, args)
    (value,) = judge.results
    near = np.nextafter(value, np.float32(np.inf))
    assert judge.difference([near]) is None
    assert judge.difference([value * np.float32(1.001)]) is not None
    wrong = judge.difference([np.where(np.arange(8) == 3, np.float32(np.nan), value)])
    assert wrong is not None
    assert wrong.index == (3,)
    assert "at 1 of 8 places" in str(wrong)


def test_the_judge_allows_what_cancellation_does():
    # x*y - z where z is x*y rounded: all that is left is the rounding.
    f = parse_function(
        "func @f(%x: f32[64], %y: f32[64]) -> (f32[64]) {\n"
        "%0: f32[64] = mul(%x, %y)\n%1: f32[64] = mul(%x, %y)\n%2: f32[64] = sub(%0, %1)\n"
        "return %2\n}"
    )
    g = run_pipeline(f, parse_pipeline("fuse_fma"))
    args = random_args(f)
    assert any(n.op.name == "fma" for n in g.nodes)
    found = interpret(g, args)
    assert np.any(found[0] != 0)
    assert Judge(f, args).difference(found) is None


def test_random_arguments_repeat():
    f = parse_function(SOFTMAX)
    first, again, other = random_args(f, 1), random_args(f, 1), random_args(f, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    special = random_args(f, 1, special=True, dims={"n": 40})
    assert special[0].shape == (40, 5)
    assert np.isnan(special[0]).any()
    assert np.isinf(special[0]).any()
