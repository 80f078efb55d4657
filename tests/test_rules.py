"""The rules of dlc: each one fires, and keeps every bit or says why not."""

import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from rule_check import check_rule, same_bits

import dlc.passes
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.ir.rewrite import RewriteStats, RuleSet, all_rules, rewrite
from dlc.ir.rule_samples import rule_samples
from dlc.passes.manager import parse_pipeline, run_pipeline
from dlc.passes.simplify import RULES
from dlc.runtime.judge import Judge
from dlc.runtime.random_args import random_args

for _module in pkgutil.iter_modules(dlc.passes.__path__, "dlc.passes."):
    importlib.import_module(_module.name)
CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.ir"))
INEXACT = {"fma_add", "fma_sub", "fma_sub_from", "dot_transposed_lhs", "dot_transposed_rhs"}


def simplified(text, pipeline="simplify"):
    return run_pipeline(parse_function(text), parse_pipeline(pipeline), verify=True)


def body(lines, params="%x: f32[4], %y: f32[4]", result="f32[4]"):
    """The function of some lines whose last one makes `%r`."""
    text = "\n".join(line.strip() for line in lines.split(";"))
    return f"func @f({params}) -> ({result}) {{\n{text}\nreturn %r\n}}"


def ops(function):
    return [n.op.name for n in function.nodes]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("r", all_rules(), ids=lambda r: r.name)
def test_every_rule_fires_and_keeps_the_meaning(r, seed):
    assert check_rule(r, np.random.default_rng(seed)) > 0


def test_which_rules_change_bits():
    assert {r.name for r in all_rules() if r.inexact is not None} == INEXACT


@pytest.mark.parametrize("r", [r for r in all_rules() if r.inexact], ids=lambda r: r.name)
def test_inexact_rules_are_within_what_rounding_explains(r):
    judged = 0
    for f in rule_samples(r):
        stats = RewriteStats()
        g = rewrite(f, RuleSet("one", [r]), stats=stats)
        if stats.matches:
            judged += 1
            args = random_args(f, judged)
            wrong = Judge(f, args).difference(interpret(g, args))
            assert wrong is None, str(wrong)
    assert judged


@pytest.mark.parametrize("r", list(RULES), ids=lambda r: r.name)
def test_samples_end_and_stay_as_they_are(r):
    for k, f in enumerate(rule_samples(r)):
        if k == 20:
            break
        once = rewrite(f, RULES)
        assert rewrite(once, RULES) is once


def test_the_corpus_exercises_the_rules():
    stats = RewriteStats()
    for path in CORPUS:
        f = run_pipeline(parse_function(path.read_text()), parse_pipeline("decompose,dce"))
        rewrite(f, RULES, stats=stats)
    fired = {name for name, count in stats.rules.items() if count.matches}
    assert {"mul_one", "move_number", "number_right"} <= fired
    assert len(fired) >= 12, sorted(fired)


KEPT = {
    "a sum with 0.0, which is 0.0 at -0.0": "%c: f32[4] = full() {value=0.0, shape=[4], dtype=f32};"
    "%r: f32[4] = add(%x, %c)",
    "a product with 0.0, which is NaN at infinity": "%c: f32[4] = full() {value=0.0, shape=[4], "
    "dtype=f32}; %r: f32[4] = mul(%x, %c)",
    "a difference with itself, which is NaN at infinity": "%r: f32[4] = sub(%x, %x)",
    "a division by 3": "%c: f32[4] = full() {value=3.0, shape=[4], dtype=f32};"
    "%r: f32[4] = div(%x, %c)",
    "a division by a power of two without a normal reciprocal": "%c: f32[4] = full() "
    "{value=1.7014118346046923e+38, shape=[4], dtype=f32}; %r: f32[4] = div(%x, %c)",
    "a round trip through half": "%h: f16[4] = convert(%x) {dtype=f16};"
    "%r: f32[4] = convert(%h) {dtype=f32}",
    "the negation of a difference, whose zero has the other sign": "%d: f32[4] = sub(%x, %y);"
    "%r: f32[4] = neg(%d)",
}


@pytest.mark.parametrize("lines", KEPT.values(), ids=list(KEPT))
def test_what_would_change_bits_stays(lines):
    f = parse_function(body(lines))
    assert ops(simplified(body(lines))) == ops(f)


def test_floats_are_not_equal_to_themselves():
    kept = body("%r: bool[4] = eq(%x, %x)", result="bool[4]")
    assert ops(simplified(kept)) == ["eq"]
    gone = body("%r: bool[4] = eq(%i, %i)", params="%i: i32[4]", result="bool[4]")
    assert ops(simplified(gone)) == ["full"]


def test_integers_through_floats_keep_saturation():
    # 200 as u8 wraps to -56 as i8, but 200.0 saturates to 127.
    text = body(
        "%f: f32[4] = convert(%u) {dtype=f32}; %r: i8[4] = convert(%f) {dtype=i8}",
        params="%u: u8[4]", result="i8[4]",
    )  # fmt: skip
    f, g = parse_function(text), simplified(text)
    args = [np.array([0, 1, 127, 200], np.uint8)]
    assert same_bits(interpret(f, args)[0], interpret(g, args)[0])
    assert interpret(g, args)[0].tolist() == [0, 1, 127, 127]


def test_fma_only_where_one_reader_is():
    shared = "%p: f32[4] = mul(%x, %y); %a: f32[4] = add(%p, %x); %r: f32[4] = mul(%a, %p)"
    assert "fma" not in ops(simplified(body(shared), "fuse_fma"))
    alone = "%p: f32[4] = mul(%x, %y); %r: f32[4] = sub(%x, %p)"
    assert ops(simplified(body(alone), "fuse_fma")) == ["neg", "fma"]
