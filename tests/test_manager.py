"""The pass manager: registry, command-line form, running, fuel, verification."""

import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar, Literal

import golden
import pytest
from test_ir_text import sample_functions

from dlc.ir.core import Function, Node
from dlc.ir.errors import ParseError, PassError, VerifyError
from dlc.ir.op import OPS
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.ir.rewrite import Fuel, Rule, RuleSet, rewrite
from dlc.ir.types import TensorType, float64
from dlc.passes import manager
from dlc.passes.manager import (
    Pass,
    PassContext,
    parse_pipeline,
    pipeline_text,
    run_pipeline,
    unregister_pass,
)
from dlc.passes.pipelines import LEVELS

TIDY = RuleSet("tidy", [Rule("neg_neg", "neg(neg(x))", "x"), Rule("exp_log", "log(exp(x))", "x")])


def define():
    """Passes that exist during a test only."""

    @dataclass(frozen=True)
    class Tidy(Pass):
        """Applies two rules."""

        name: ClassVar[str] = "test_tidy"

        def run(self, function, context):
            """The rewritten function."""
            return rewrite(
                function, TIDY, stats=context.stats, fuel=context.fuel, pass_name=self.name
            )

    @dataclass(frozen=True)
    class Swap(Pass):
        """Renames one op."""

        name: ClassVar[str] = "test_swap"
        count: int = 1
        scale: float = 1.0
        fast: bool = False
        label: str = "x"
        mode: Literal["a", "b"] = "a"
        limit: int | None = None

        def run(self, function, context):
            """Every exp becomes a sin."""
            rules = RuleSet("swap", [Rule("exp_sin", "exp(x)", "sin(x)")])
            return rewrite(function, rules)

    @dataclass(frozen=True)
    class Break(Pass):
        """Makes an illegal function."""

        name: ClassVar[str] = "test_break"

        def run(self, function, context):
            """With the wrong type."""
            (x,) = function.params
            wrong = Node(OPS["neg"], (x,), {}, TensorType(float64, x.shape))
            return function.with_results([wrong])

    return Tidy, Swap, Break


@pytest.fixture
def passes():
    made = define()
    yield made
    for p in made:
        unregister_pass(p.name)


F = parse_function("""func @f(%x: f32[3]) -> (f32[3]) {
  %0: f32[3] = neg(%x)
  %1: f32[3] = neg(%0)
  %2: f32[3] = exp(%1)
  return %2
}""")


def ops(f):
    return [n.op.name for n in f.nodes]


# The command-line form.


def test_pipelines_are_read_and_written(passes):
    tidy, swap, _ = passes
    text = 'test_tidy,test_swap{count=3,scale=0.5,fast=true,label="a b",mode=b,limit=4}'
    found = parse_pipeline(text)
    assert found == (tidy(), swap(3, 0.5, True, "a b", "b", 4))
    assert pipeline_text(found) == text
    assert parse_pipeline(pipeline_text(found)) == found
    assert parse_pipeline(" test_swap { limit = none , label=none_ } ") == (swap(label="none_"),)
    assert parse_pipeline("test_swap{scale=2,count=-1}") == (swap(count=-1, scale=2.0),)
    assert parse_pipeline("") == ()
    assert str(swap()) == "test_swap"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("test_tidi", "did you mean 'test_tidy'?"),
        ("test_swap{cuont=1}", "did you mean 'count'?"),
        ("test_tidy{count=1}", "test_tidy has no options"),
        ("test_swap{count=1.5}", "option test_swap.count is 1.5"),
        ("test_swap{count=true}", "it takes int"),
        ("test_swap{fast=1}", "it takes bool"),
        ("test_swap{scale=x}", "it takes float"),
        ("test_swap{mode=c}", "it takes a, b"),
        ("test_swap{limit=x}", "it takes int, none"),
        ("test_swap{label=3}", "it takes str"),
        ("test_swap{count=none}", "it takes int"),
        ("test_swap{count=1,count=2}", "twice"),
        ("test_swap{count}", "column 16"),
        ("test_tidy test_swap", "column 11"),
        ("test_tidy,,test_swap", "a name"),
        ("test_tidy,", "the text ends"),
        ("test_swap{count=1", "the text ends"),
        ("test_swap{count=;}", "unexpected character ';'"),
    ],
)
def test_bad_pipelines(passes, text, said):
    with pytest.raises(PassError) as caught:
        parse_pipeline(text)
    assert said in str(caught.value)


def test_registry(passes):
    tidy, *_ = passes
    assert manager.PASSES["test_tidy"] is tidy

    with pytest.raises(PassError, match="two passes are called 'test_tidy'"):

        class Other(Pass):
            name: ClassVar[str] = "test_tidy"

    assert manager.PASSES["test_tidy"] is tidy

    class Shared(Pass):
        """Code of several passes: no name, not in the table."""

    assert Shared not in manager.PASSES.values()
    with pytest.raises(TypeError, match="does not define run"):
        Shared().run(F, PassContext())


def test_slots_make_no_duplicate():
    @dataclass(frozen=True, slots=True)
    class Slotted(Pass):
        name: ClassVar[str] = "test_slotted"
        count: int = 1

    try:
        assert parse_pipeline("test_slotted{count=2}") == (Slotted(2),)
    finally:
        unregister_pass("test_slotted")


# Running.


def test_order_and_callback(passes):
    calls = []
    result = run_pipeline(
        F,
        parse_pipeline("test_tidy,test_swap,test_tidy"),
        callback=lambda *a: calls.append(a),
    )
    assert ops(result) == ["sin"]
    assert [c[0].name for c in calls] == ["test_tidy", "test_swap", "test_tidy"]
    assert calls[0][1] is F
    assert [c[2] for c in calls[:-1]] == [c[1] for c in calls[1:]]
    assert calls[-1][2] is result
    assert all(c[3] >= 0 for c in calls)
    assert [c[4].matches for c in calls] == [1, 0, 0]
    assert run_pipeline(F, ()) is F


def test_stop_after(passes):
    p = parse_pipeline("test_tidy,test_swap")
    assert ops(run_pipeline(F, p, stop_after="test_tidy")) == ["exp"]
    assert ops(run_pipeline(F, p, stop_after="test_swap")) == ["sin"]
    with pytest.raises(PassError, match="did you mean 'test_swap'"):
        run_pipeline(F, p, stop_after="test_swop")


def test_verification_names_the_pass(passes):
    p = parse_pipeline("test_tidy,test_break,test_swap")
    calls = []
    with pytest.raises(VerifyError) as caught:
        run_pipeline(F, p, verify=True, callback=lambda one, *rest: calls.append(one.name))
    assert caught.value.pass_name == "test_break"
    assert calls == ["test_tidy"]
    run_pipeline(F, p)  # nobody asked
    illegal = Function("f", [], F.results)
    with pytest.raises(VerifyError) as caught:
        run_pipeline(illegal, (), verify=True)
    assert caught.value.pass_name is None


def test_stages_are_verified():
    @dataclass(frozen=True)
    class Claim(Pass):
        name: ClassVar[str] = "test_claim"
        stage: ClassVar = "fused"

        def run(self, function, context):
            return function

    try:
        with pytest.raises(VerifyError, match="outside of a fusion"):
            run_pipeline(F, (Claim(),), verify=True)
        assert run_pipeline(F, (Claim(),), verify=True, fuel=Fuel(0)) is F
    finally:
        unregister_pass("test_claim")


def test_fuel_counts_passes_and_rules(passes):
    p = parse_pipeline("test_tidy,test_swap")
    full = Fuel()
    whole = run_pipeline(F, p, fuel=full)
    assert [str(s) for s in full.log] == [
        "1: test_tidy: test_tidy",
        "2: test_tidy: neg_neg",
        "3: test_swap: test_swap",
    ]
    steps = [ops(run_pipeline(F, p, fuel=Fuel(k))) for k in range(5)]
    assert steps == [["neg", "neg", "exp"]] * 2 + [["exp"], ["sin"], ["sin"]]
    assert print_function(whole) == print_function(run_pipeline(F, p))
    context = PassContext(Fuel(1))
    assert [context.allows("p", "r", None) for _ in range(2)] == [True, False]
    assert PassContext().allows("p", "r", None)


# Golden files, and an op that no pass knows.

GOLDEN = """# about
pipeline: test_tidy

func @f(%x: f32[3]) -> (f32[3]) {
  %0: f32[3] = neg(%x)
  %1: f32[3] = neg(%0)
  return %1
}
"""


def test_golden_files_are_compared(passes, tmp_path):
    path = tmp_path / "a.ir"
    path.write_text(GOLDEN)
    assert "no second half" in golden.check(path)
    path.write_text(
        GOLDEN + "----\nfunc @f(%x: f32[3]) -> (f32[3]) { %0: f32[3] = exp(%x) return %0 }\n"
    )
    assert "the numbers of nodes differ" in golden.check(path)
    assert golden.check(path, update=True) is None
    updated = path.read_text()
    assert updated.endswith("----\nfunc @f(%x: f32[3]) -> (f32[3]) {\n  return %x\n}\n")
    assert golden.check(path) is None
    path.write_text(updated.replace("%x", "%other"))
    assert golden.check(path, update=True) is None
    assert "%other" in path.read_text()  # names are free, so there was nothing to update
    path.write_text("func @f() -> () { return }")
    with pytest.raises(ValueError, match="does not begin with"):
        golden.check(path)
    path.write_text(GOLDEN.replace("%0)", "%2)"))
    with pytest.raises(ParseError) as caught:
        golden.check(path)
    assert (caught.value.file, caught.value.line) == ("a.ir", 6)


OPAQUE = """func @f(%x: f32[3,n], %c: bool[3,n]) -> (f32[3,n], bool[3,n]) {
  %0: f32[3,n] = exp(%x)
  %1: f32[3,n] = test.op(%0, %c) {tag=1}
  %2: f32[3,n] = full() {value=1.0, shape=[3,n], dtype=f32}
  %3: f32[3,n] = mul(%1, %2)
  %4: f32[3,n] = test.op(%2) {tag=2}
  %5: f32[3,n] = add(%3, %4)
  %6: f32[3,n] = softmax(%5) {axis=0}
  %7: bool[3,n] = test.op(%c, %6) {tag=3}
  return %6, %7
}"""

OPAQUE_AT_THE_EDGE = """func @f(%x: f32[3,n], %c: bool[3,n]) -> (f32[3,n], bool[3,n]) {
  %0: f32[3,n] = test.op(%x, %c) {tag=1}
  %1: f32[3,n] = test.op(%x) {tag=2}
  %2: f32[3,n] = mul(%0, %1)
  %3: bool[3,n] = test.op(%c, %x) {tag=3}
  %4: bool[3,n] = bit_not(%3)
  return %2, %4
}"""

golden.import_passes()
ALL_PASSES = sorted(manager.PASSES)


@pytest.mark.parametrize("name", ALL_PASSES)
def test_passes_leave_an_unknown_op_alone(name):
    with golden.opaque_op():
        # Fusion comes after decomposition, and calls by itself only what reads stored values.
        f = parse_function(OPAQUE_AT_THE_EDGE if name == "fuse" else OPAQUE)
        for prefix in ("", "decompose,"):
            g = run_pipeline(f, parse_pipeline(prefix + name), verify=True)
            found = [n for n in g.nodes if n.op.name == "test.op"]
            assert [n.attrs["tag"] for n in found] == [1, 2, 3]
            assert [len(n.inputs) for n in found] == [2, 1, 2]


def test_every_level_is_legal_at_every_stage():
    for f in sample_functions():
        for passes in LEVELS.values():
            run_pipeline(f, passes, verify=True)


def test_passes_are_known_before_anything_was_compiled():
    program = (
        "from dlc.passes.manager import parse_pipeline; print(parse_pipeline('simplify,cse,fuse'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.stdout.startswith("(Simplify("), done.stderr
