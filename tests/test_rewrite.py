"""Patterns, rules, the driver, fuel; and every rule of dlc on random values."""

import importlib
import pkgutil

import numpy as np
import pytest
from rule_check import check_rule, random_array, same_bits

import dlc.passes
from dlc.ir.build import IRBuilder
from dlc.ir.dims import dims_equal, symbol
from dlc.ir.equal import first_difference, same_structure, structural_hash
from dlc.ir.errors import DlcError, ParseError, PassError, ValueRangeError, VerifyError
from dlc.ir.interpret import interpret
from dlc.ir.location import SourceLocation
from dlc.ir.op import OPS
from dlc.ir.parser import parse_function
from dlc.ir.patterns import (
    COMMUTATIVE,
    held_number,
    parse_pattern,
    same_number,
    variants,
)
from dlc.ir.printer import print_function
from dlc.ir.rewrite import (
    Fuel,
    RewriteStats,
    Rule,
    RuleSet,
    all_rules,
    register_rules,
    rewrite,
    rule,
)
from dlc.ir.rule_samples import rule_samples
from dlc.ir.types import TensorType, bfloat16, bool_, float16, float32, int8, uint64
from dlc.ir.verifier import verify

for _module in pkgutil.iter_modules(dlc.passes.__path__, "dlc.passes."):
    importlib.import_module(_module.name)  # registers the rules


def one(*rules):
    return RuleSet("test", rules)


def body(text, params="%x: f32[3]", result="f32[3]"):
    """A function from statements; `;` ends one, types are f32[3]."""
    lines = [s.strip().replace(" =", ": f32[3] =", 1) for s in text.split(";")]
    lines[-1] = "return " + lines[-1].split(":")[0]
    return parse_function(f"func @f({params}) -> ({result}) {{\n" + "\n".join(lines) + "\n}")


def rewritten(text, *rules, **keywords):
    return rewrite(body(text), one(*rules), **keywords)


def ops(f):
    return [n.op.name for n in f.nodes]


NEG_NEG = Rule("neg_neg", "neg(neg(x))", "x")
ONE = "%1 = full() {value=1.0, shape=[3], dtype=f32}; "


# Patterns.


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("mul(x, 1)", True),
        ("mul(1, x)", True),
        ("mul(1.0, x)", True),
        ("mul(x, -1)", False),
        ("mul(x, true)", False),
        ("mul(x, C)", True),
        ("mul(x, x)", False),
        ("mul(x, y)", True),
        ("add(x, y)", False),
        ("mul(neg(x), y)", True),
        ("mul(y, neg(x))", True),
        ("mul(exp(x), y)", False),
    ],
)
def test_matching(text, matches):
    found = rewritten(ONE + "%2 = neg(%x); %3 = mul(%2, %1); %3", Rule("r", text, "x"))
    assert ("mul" in ops(found)) is not matches


@pytest.mark.parametrize(
    ("number", "value", "matches"),
    [
        ("0", "0.0", True), ("0", "-0.0", False), ("-0.0", "-0.0", True), ("-0.0", "0.0", False),
        ("0", "0", True),
        ("nan", "nan", True), ("inf", "inf", True), ("-inf", "inf", False), ("0.1", "0.1", True),
        ("0.1", "0.10000000149011612", True), ("0.1", "0.2", False), ("2", "2.0", True),
    ],
)  # fmt: skip
def test_numbers_match_as_the_type_holds_them(number, value, matches):
    text = f"%1 = full() {{value={value}, shape=[3], dtype=f32}}; %2 = div(%x, %1); %2"
    assert ("div" in ops(rewritten(text, Rule("r", f"div(x, {number})", "x")))) is not matches


def test_held_numbers():
    assert held_number(0.1, float32) == float(np.float32(0.1))
    assert held_number(1e10, float16) == np.inf
    assert held_number(3, bfloat16) == 3.0
    assert held_number(128, int8) is None
    assert held_number(-128.0, int8) == -128
    assert held_number(1.5, int8) is None
    assert held_number(2**64 - 1, uint64) == 2**64 - 1
    assert held_number(-1, uint64) is None
    assert held_number(float("nan"), int8) is None
    assert held_number(1, bool_) is None
    assert held_number(True, float32) is None
    assert held_number(True, bool_) is True
    assert same_number(float("nan"), float("nan"))
    assert not same_number(0.0, -0.0)
    assert not same_number(1, 1.0)
    assert not same_number(None, None)


def test_repeated_numbers_must_be_equal():
    rest = "shape=[3], dtype=f32"
    text = f"%1 = full() {{{{value=0.0, {rest}}}}}; %2 = full() {{{{value={{}}, {rest}}}}}; "
    text += "%3 = sub(%1, %2); %3"
    r = Rule("r", "sub(C, C)", "0")
    assert ops(rewritten(text.format("0.0"), r)) == ["full"]
    assert "sub" in ops(rewritten(text.format("-0.0"), r))


def test_attributes_match():
    same = Rule("same", "transpose(transpose(x){axes=a}){axes=a}", "x")
    fixed = Rule("fixed", "transpose(x){axes=[0,1,2]}", "x")
    b = IRBuilder()
    x = b.param(TensorType(float32, (2, 2, 2)), "x")
    for axes, plain in (((1, 0, 2), True), ((0, 2, 1), False)):
        twice = b.transpose(b.transpose(x, axes=axes), axes=(1, 0, 2))
        f = b.function("f", [x], [twice])
        assert (rewrite(f, one(same)).results[0] is x) is plain
    assert rewrite(b.function("f", [x], [b.transpose(x, axes=(0, 1, 2))]), one(fixed)).results == (
        x,
    )


def test_results_with_attributes_numbers_and_let():
    r = Rule(
        "r",
        "reduce_sum(transpose(x){axes=a}){axes=s}",
        "mul(reduce_sum(x){axes=t}, c)",
        let={"t": lambda m: tuple(sorted(m["a"][k] for k in m["s"])), "c": lambda m: 2},
    )
    b = IRBuilder()
    x = b.param(TensorType(float32, (2, 3)), "x")
    f = b.function("f", [x], [b.reduce_sum(b.transpose(x, axes=(1, 0)), axes=(0,))])
    g = rewrite(f, one(r))
    assert print_function(g).splitlines()[1:-2] == [
        "  %0: f32[2] = reduce_sum(%x) {axes=[1]}",
        "  %1: f32[2] = full() {value=2.0, shape=[2], dtype=f32}",
        "  %2: f32[2] = mul(%0, %1)",
    ]


def test_dtypes_in_patterns():
    r = Rule("r", "convert(convert(x){dtype=f64}){dtype=f32}", "convert(x){dtype=f32}")
    f = parse_function("""func @f(%x: i8[3]) -> (f32[3]) {
      %0: f64[3] = convert(%x) {dtype=f64}
      %1: f32[3] = convert(%0) {dtype=f32}
      return %1 }""")
    assert ops(rewrite(f, one(r))) == ["convert"]


def test_numbers_get_the_type_of_their_neighbours():
    r = Rule("r", "neg(convert(c){dtype=d})", "select(c, -1, 0)")
    f = parse_function("""func @f(%c: bool[3]) -> (i8[3]) {
      %0: i8[3] = convert(%c) {dtype=i8}
      %1: i8[3] = neg(%0)
      return %1 }""")
    g = rewrite(f, one(r))
    verify(g)
    assert [n.type for n in g.nodes] == [TensorType(int8, (3,))] * 3
    s = Rule("s", "convert(lt(x, y)){dtype=d}", "select(lt(sub(x, y), 0), 1, 0)")
    f = parse_function("""func @f(%x: f32[n], %y: f32[n]) -> (i8[n]) {
      %0: bool[n] = lt(%x, %y)
      %1: i8[n] = convert(%0) {dtype=i8}
      return %1 }""")
    verify(rewrite(f, one(s)))


def test_let_of_none_and_undecided_dims_do_not_apply():
    text = "%1 = neg(%x); %1"
    assert ops(rewritten(text, Rule("r", "neg(x)", "y", let={"y": lambda m: None}))) == ["neg"]
    n = symbol("n")
    undecided = Rule("r", "neg(x)", "x", when=lambda m: dims_equal(n, 3))
    assert ops(rewritten(text, undecided)) == ["neg"]


@pytest.mark.parametrize(
    "text",
    [
        "neg(",
        "neg(x))",
        "neg(x){axes=[0]}",
        "frob(x)",
        "neg(%x)",
        "",
        "add(x,,y)",
        "neg(x){",
        "((x))",
        "p:x",
        "p:q:neg(x)",
    ],
)
def test_bad_patterns(text):
    with pytest.raises((ParseError, ValueRangeError)):
        parse_pattern(text)
    with pytest.raises(ParseError):
        parse_pattern("neg(" * 30 + "x" + ")" * 30)


def test_bad_rules():
    f = body("%1 = neg(%x); %1")
    with pytest.raises(PassError, match="nothing defines 'y'"):
        rewrite(f, one(Rule("r", "neg(x)", "y")))
    with pytest.raises(PassError, match="the pattern is no op"):
        rewrite(f, one(Rule("r", "x", "x")))
    with pytest.raises(PassError, match="two rules of test are called neg_neg"):
        rewrite(f, one(NEG_NEG, NEG_NEG))


def test_variants():
    assert len(variants(parse_pattern("add(mul(x, y), z)"))) == 4
    assert len(variants(parse_pattern("sub(neg(x), y)"))) == 1
    assert len(variants(parse_pattern("fma(x, y, z)"))) == 2
    assert len(variants(parse_pattern("mul(x, x)"))) == 1


@pytest.mark.parametrize("name", sorted(COMMUTATIVE))
def test_commutative_ops_are(name):
    rng = np.random.default_rng(0)
    tried = 0
    for dtype in dlc.ir.types.DTYPES:
        b = IRBuilder()
        params = [b.param(TensorType(dtype, (50,))) for _ in range(3 if name == "fma" else 2)]
        try:
            f = b.function("f", params, [b.emit(OPS[name], params)])
        except DlcError:
            continue
        args = [random_array(rng, p.tensor) for p in params]
        swapped = [args[1], args[0], *args[2:]]
        assert same_bits(interpret(f, args)[0], interpret(f, swapped)[0])
        tried += 1
    assert tried >= 4


# The driver.


def test_nothing_to_do_keeps_the_function():
    f = body("%1 = neg(%x); %2 = exp(%1); %2")
    assert rewrite(f, one(NEG_NEG)) is f
    assert rewrite(f, one()) is f


def test_to_a_fixed_point():
    text = "%0 = neg(%x); " + "; ".join(f"%{k} = neg(%{k - 1})" for k in range(1, 101))
    assert ops(rewritten(text + "; %100", NEG_NEG)) == ["neg"]
    # Each step makes the next one possible, also inside what a rule has made.
    down = [
        Rule("a", "sinh(x)", "cosh(neg(neg(x)))"),
        Rule("b", "cosh(x)", "tanh(sinh(x))", when=lambda m: m["x"].op.name == "exp"),
        NEG_NEG,
    ]
    assert ops(rewritten("%1 = sinh(%x); %1", *down)) == ["cosh"]
    assert ops(rewritten("%1 = exp(%x); %2 = sinh(%1); %2", down[0], down[2])) == ["exp", "cosh"]


def test_shared_nodes_are_rewritten_once():
    stats = RewriteStats()
    g = rewritten(
        "%1 = neg(%x); %2 = neg(%1); %3 = add(%2, %2); %4 = mul(%3, %2); %4", NEG_NEG, stats=stats
    )
    assert ops(g) == ["add", "mul"]
    assert (stats.rules["neg_neg"].matches, stats.matches) == (1, 1)
    assert stats.rules["neg_neg"].attempts == 2
    assert stats.rules["neg_neg"].seconds > 0
    assert "neg_neg" in str(stats)
    total = RewriteStats()
    total.add(stats)
    total.add(stats)
    assert (total.rules["neg_neg"].matches, total.rules["neg_neg"].attempts) == (2, 4)


def test_rules_that_do_not_end_are_an_error():
    with pytest.raises(PassError, match="do not end"):
        rewritten("%1 = neg(%x); %1", Rule("r", "neg(x)", "neg(neg(x))"))
    with pytest.raises(PassError, match="do not end"):
        rewritten("%1 = sin(%x); %1", Rule("a", "sin(x)", "cos(x)"), Rule("b", "cos(x)", "sin(x)"))
    with pytest.raises(PassError, match="do not end"):
        rewritten("%1 = sin(%x); %1", Rule("a", "sin(x)", "add(sin(neg(x)), sin(exp(x)))"))


def test_rules_keep_types():
    @rule("neg", name="bad", patterns=["neg(x)"])
    def bad(b, node, x):
        return b.reshape(x, shape=(3, 1))

    with pytest.raises(VerifyError, match=r"rule bad made f32\[3,1\] of f32\[3\]"):
        rewritten("%1 = neg(%x); %1", bad, pass_name="tidy")


def test_locations_and_the_observer():
    loc = SourceLocation("train.py", 3, "loss")
    b = IRBuilder(loc)
    x = b.param(TensorType(float32, (3,)), "x")
    f = b.function("f", [x], [b.sigmoid(x)])
    seen = []
    g = rewrite(
        f,
        one(Rule("expand", "sigmoid(x)", "div(1, add(1, exp(neg(x))))", inexact="for a test")),
        observer=lambda r, before, after: seen.append((r.name, before.op.name, after.op.name)),
    )
    assert len(g.nodes) == 6
    assert {n.loc for n in g.nodes} == {loc}
    assert seen == [("expand", "sigmoid", "div")]


def test_earlier_rules_are_tried_first():
    rules = [Rule("a", "neg(x)", "exp(x)"), Rule("b", "neg(x)", "sin(x)")]
    assert ops(rewritten("%1 = neg(%x); %1", *rules)) == ["exp"]
    assert ops(rewrite(body("%1 = neg(%x); %1"), one(*rules).without("a"))) == ["sin"]


def test_number_of_readers():
    fma = Rule("fma", "add(p:mul(x, y), z)", "fma(x, y, z)",
               when=lambda m: m.uses(m["p"]) == 1, inexact="rounded once")  # fmt: skip
    once = "%1 = mul(%x, %x); %2 = add(%1, %x); %2"
    assert ops(rewritten(once, fma)) == ["fma"]
    assert ops(rewritten("%1 = mul(%x, %x); %2 = add(%1, %x); %3 = add(%2, %1); %3", fma)) == [
        "mul", "add", "add"
    ]  # fmt: skip
    # Results are readers too.
    f = body(once)
    assert ops(rewrite(f.with_results([f.results[0], f.nodes[0]]), one(fma))) == ["mul", "add"]


def test_bodies_are_rewritten():
    f = parse_function("""func @f(%x: f32[3]) -> (f32[3]) {
      %0: f32[3] = fusion(%x) {body=func @b(%a: f32[3]) -> (f32[3]) {
        %0: f32[3] = neg(%a) %1: f32[3] = neg(%0) return %1 }}
      return %0 }""")
    stats = RewriteStats()
    g = rewrite(f, one(NEG_NEG), stats=stats)
    verify(g)
    assert g.nodes[0].attrs["body"].nodes == ()
    assert stats.matches == 1


def test_long_chains_are_linear_and_not_recursive():
    def attempts(count):
        b = IRBuilder()
        x = y = b.param(TensorType(float32, (3,)), "x")
        for _ in range(count):
            y = b.exp(b.neg(b.neg(y)))
        stats = RewriteStats()
        g = rewrite(b.function("f", [x], [y]), one(NEG_NEG), stats=stats)
        assert len(g.nodes) == count
        return stats.rules["neg_neg"].attempts

    assert attempts(10_000) == 10 * attempts(1000)


def test_fuel():
    text = "%1 = neg(%x); %2 = neg(%1); %3 = exp(%2); %4 = neg(%3); %5 = neg(%4); %5"
    full = Fuel()
    rewritten(text, NEG_NEG, fuel=full, pass_name="tidy")
    assert [(s.number, s.pass_name, s.rule) for s in full.log] == [
        (1, "tidy", "neg_neg"),
        (2, "tidy", "neg_neg"),
    ]
    assert str(full.log[0]) == "1: tidy: neg_neg"
    for limit, left in ((0, 4), (1, 2), (2, 0), (3, 0)):
        fuel = Fuel(limit)
        assert ops(rewritten(text, NEG_NEG, fuel=fuel)).count("neg") == left
        assert len(fuel.log) == min(limit, 2)
    shared = Fuel(3)
    rewritten(text, NEG_NEG, fuel=shared)
    assert ops(rewritten(text, NEG_NEG, fuel=shared)).count("neg") == 2
    assert shared.empty


# Equality.


def test_equality_ignores_names_and_locations():
    f = body("%1 = neg(%x); %1")
    b = IRBuilder(SourceLocation("a.py", 1, "g"))
    y = b.param(TensorType(float32, (3,)), "other")
    g = b.function("g", [y], [b.neg(y)])
    assert same_structure(f, g)
    assert structural_hash(f) == structural_hash(g)
    assert first_difference(f, g) is None


PARTS = [
    "%x: f32[3] | %1 = neg(%x); %1",
    "%x: f32[3] | %1 = exp(%x); %1",
    "%x: f32[3] | %1 = neg(%x); %x",
    "%x: f32[3], %y: f32[3] | %1 = neg(%x); %1",
    "%x: f32[3], %y: f32[3] | %1 = neg(%y); %1",
    "%x: f32[3], %y: f32[3] | %1 = sub(%x, %y); %1",
    "%x: f32[3], %y: f32[3] | %1 = sub(%y, %x); %1",
    *(
        f"%x: f32[3] | %1 = full() {{value={v}, shape=[3], dtype=f32}}; %1"
        for v in ("0.0", "-0.0", "0", "false", "nan")
    ),
    *(
        f"%x: f32[3] | %1 = constant() {{value=array(f32[3], [{v}, 1.0, 2.0])}}; %1"
        for v in ("0.0", "-0.0", "nan")
    ),
    "%x: f32[1] | %1 = pad(%x) {low=[1], high=[1]}; %1",
    "%x: f32[1] | %1 = pad(%x) {low=[2], high=[0]}; %1",
    "%x: f32[1] | %1 = pad(%x) {low=[1], high=[1], value=1.0}; %1",
]  # fmt: skip


def test_everything_else_counts():
    functions = []
    for part in PARTS:
        params, text = part.split(" | ")
        functions.append(body(text, params))
    dtype = "func @f(%x: f64[3]) -> (f64[3]) { %1: f64[3] = neg(%x) return %1 }"
    functions += [parse_function(dtype), parse_function(dtype.replace("[3]", "[n]"))]
    functions += [parse_function(dtype.replace("[3]", "[m]"))]
    wrapped = "func @g(%x: f32[3]) -> (f32[3]) {{ %0: f32[3] = fusion(%x) {{body={}}} return %0 }}"
    functions += [parse_function(wrapped.format(print_function(f))) for f in functions[:2]]
    assert len({structural_hash(f) for f in functions}) == len(functions)
    for i, f in enumerate(functions):
        for j, g in enumerate(functions):
            assert same_structure(f, g) is (i == j)
            assert (first_difference(f, g) is None) is (i == j)


def test_differences_are_shown():
    f, g = body("%1 = neg(%x); %2 = exp(%1); %2"), body("%1 = neg(%x); %2 = sin(%1); %2")
    assert first_difference(f, g) == (
        "node 1 differs:\n  %1: f32[3] = exp(%0)\n  %1: f32[3] = sin(%0)"
    )
    assert first_difference(f, f.with_results(f.params)).startswith("the numbers of nodes differ")
    h = f.with_results([f.nodes[0]], f.nodes)
    assert first_difference(f, h) == "results differ:\n  return %1\n  return %0"
    assert first_difference(f, body("%1 = neg(%x); %1", "%x: f32[3], %y: f32[3]")).startswith(
        "parameters differ"
    )


def test_hashes_are_the_same_in_every_process():
    # Changes with the serialisation alone: then caches are to be left behind, as they are.
    f = body("%1 = neg(%x); %2 = pad(%1) {low=[0], high=[0]}; %2")
    assert structural_hash(f) == HASH


HASH = "7bd79f6499ba6f461cf515948dcf15dde0a6589e7c48b4ed01233b649024eb0b"


# Every rule of dlc.


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("r", all_rules(), ids=lambda r: r.name)
def test_every_rule_keeps_the_meaning(r, rng):
    assert check_rule(r, rng) > 0, f"no sample reaches rule {r.name}: give it `given`"


def test_rule_names_are_unique():
    names = [r.name for r in all_rules()]
    assert len(set(names)) == len(names)


WRONG = [
    Rule("add_zero", "add(x, 0)", "x"),  # -0.0 + 0.0 is 0.0
    Rule("mul_zero", "mul(x, 0)", "0"),  # inf * 0 is NaN
    Rule("sub_self", "sub(x, x)", "0"),  # so is inf - inf
    Rule("mul_div", "mul(div(x, y), y)", "x"),
    Rule("max_swap", "max(x, y)", "select(lt(x, y), y, x)"),  # NaN
    Rule("assoc", "add(add(x, C), D)", "add(x, e)", let={"e": lambda m: m["C"] + m["D"]}),
    Rule("sub_zero", "sub(x, -0.0)", "x"),
    Rule("eq_self", "eq(x, x)", "true"),
    Rule("abs_neg", "select(lt(x, 0), neg(x), x)", "abs(x)"),
    Rule("not_lt", "bit_not(lt(x, y))", "ge(x, y)"),
    Rule("far", "neg(neg(x))", "add(x, 1)", inexact="for a test"),
    Rule(
        "transpose",
        "transpose(transpose(x){axes=a}){axes=b}",
        "transpose(x){axes=c}",
        let={"c": lambda m: tuple(m["b"][k] for k in m["a"])},
        given={"x": ["f32[4,4,4]"], "a": [(1, 0, 2)], "b": [(0, 2, 1)]},
    ),
]


@pytest.mark.parametrize("r", WRONG, ids=lambda r: r.name)
def test_wrong_rules_are_caught(r, rng):
    with pytest.raises(AssertionError):
        check_rule(r, rng)


def test_samples_cover_types_shapes_and_numbers():
    found = list(rule_samples(Rule("r", "mul(x, C)", "x")))
    types = {f.params[0].tensor for f in found}
    assert {str(t.dtype) for t in types} == {"f32", "f64", "f16", "bf16", "i32", "i8", "u16"}
    assert {t.rank for t in types} == {0, 2}
    assert any(not t.is_static for t in types)
    values = {repr(f.nodes[0].attrs["value"]) for f in found}
    assert {"-0.0", "0.0", "nan", "inf", "2", "2.0"} <= values
    conditions = next(iter(rule_samples(Rule("r", "select(c, x, y)", "x"))))
    assert [p.tensor.dtype for p in conditions.params] == [bool_, float32, float32]
    with pytest.raises(PassError, match="gives no values of 'a'"):
        list(rule_samples(Rule("r", "transpose(x){axes=a}", "x")))


def test_function_rules():
    @rule(
        "reshape",
        name="same",
        patterns=["reshape(x){shape=s}"],
        given={"x": ["f32[3,4]"], "s": [(3, 4), (12,)]},
    )
    def same(b, node, x):
        return x if x.shape == node.shape else None

    assert check_rule(same, np.random.default_rng(0)) == 1


def test_registry():
    taken = RuleSet("test_registry", [NEG_NEG])
    before = all_rules()
    register_rules(taken)
    try:
        assert all_rules() == (*before, NEG_NEG)
        with pytest.raises(PassError, match="registered already"):
            register_rules(taken)
    finally:
        from dlc.ir.rules import _REGISTERED

        del _REGISTERED["test_registry"]
