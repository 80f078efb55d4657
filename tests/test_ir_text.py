"""The text form: what is printed is read back the same; anything else is an error with a place."""

import base64
import random

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from work_count import lines_of

import dlc.ir.ops  # noqa: F401  (fills the table)
from dlc.ir.build import IRBuilder
from dlc.ir.core import Function
from dlc.ir.dims import add, dim_text, floordiv, maximum, minimum, mod, mul, symbol
from dlc.ir.errors import DlcError, ParseError
from dlc.ir.interpret import interpret
from dlc.ir.location import SourceLocation
from dlc.ir.op import OPS
from dlc.ir.parser import parse_function, parse_module
from dlc.ir.printer import array_text, print_function, print_module
from dlc.ir.signature import input_count
from dlc.ir.type_parser import parse_dim, parse_type
from dlc.ir.types import DTYPES, TensorType, bool_, dtype_of, float32, int32
from dlc.ir.verifier import verify

DOT = "{lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]}"
LINEAR = f"""\
func @linear(%x: f32[8,4], %w: f32[4,n], %b: f32[n]) -> (f32[8,n]) {{
  %0: f32[8,n] = dot_general(%x, %w) {DOT}
  %1: f32[8,n] = broadcast_to(%b) {{shape=[8,n]}}
  return %1
}}"""


def round_trip(function: Function) -> Function:
    text = print_function(function, locations=True)
    again = parse_function(text)
    assert print_function(again, locations=True) == text
    for a, b in zip(function.nodes, again.nodes, strict=True):
        assert a.op is b.op
        assert a.type == b.type
        assert a.loc == b.loc
    return again


def sample_functions():
    """Every op row over its own samples, as functions of parameters."""
    for op in list(OPS.values()):
        for k, sample in enumerate(op.samples() if op.samples else ()):
            b = IRBuilder(SourceLocation("a file.py", k, "f"))
            params, inputs = [], []
            for spec in sample.inputs:
                if isinstance(spec, np.ndarray):
                    inputs.append(b.array(spec))
                else:
                    params.append(b.param(TensorType(dtype_of(spec[1]), spec[0]), "x"))
                    inputs.append(params[-1])
            node = b.emit(op, inputs, dict(sample.attrs))
            yield b.function(f"{op.name}_{k}", params, [node])


def test_every_op_round_trips():
    functions = list(sample_functions())
    assert len(functions) > 300
    for f in functions:
        round_trip(f)
    again = parse_module(print_module(functions))
    assert [f.name for f in again] == [f.name for f in functions]


def test_input_counts_agree_with_the_samples():
    for op in OPS.values():
        for sample in op.samples() if op.samples else ():
            assert input_count(op) in (None, len(sample.inputs)), op


def test_text_is_as_documented():
    b = IRBuilder()
    n = symbol("n")
    x, w = b.param(parse_type("f32[8,4]"), "x"), b.param(TensorType(float32, (4, n)), "w")
    y = b.dot_general(x, w, lhs_batch=(), lhs_contract=(1,), rhs_batch=(), rhs_contract=(0,))
    f = b.function("linear", [x, w], [b.pad(y, low=(0, 0), high=(0, 2 * n))])
    assert print_function(f) == (
        "func @linear(%x: f32[8,4], %w: f32[4,n]) -> (f32[8,3*n]) {\n"
        "  %0: f32[8,n] = dot_general(%x, %w) "
        "{lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]}\n"
        "  %1: f32[8,3*n] = pad(%0) {low=[0,0], high=[0,2*n]}\n"
        "  return %1\n"
        "}"
    )
    round_trip(f)


def test_defaults_are_left_out_exactly():
    b = IRBuilder()
    x = b.param(TensorType(float32, (3,)), "x")
    for value in (0, 0.0, -0.0, False):
        node = b.pad(x, low=(1,), high=(1,), value=value)
        f = round_trip(Function("f", [x], [node]))
        assert repr(f.nodes[0].attrs["value"]) == repr(value)


def test_names_are_unique_and_kept():
    b = IRBuilder()
    t = TensorType(float32, (2,))
    params = [b.param(t, name) for name in ("x", "x", "x_1", "7", "a b", None, "", "θ", "w.1")]
    f = b.function("f", params, [b.neg(params[0])])
    text = print_function(f)
    assert text.startswith(
        "func @f(%x: f32[2], %x_1: f32[2], %x_1_1: f32[2], %_7: f32[2], %a_b: f32[2], %0: f32[2], "
        "%_: f32[2], %θ: f32[2], %w.1: f32[2])"
    )
    assert [p.name for p in round_trip(f).params][5] is None


@pytest.mark.parametrize("name", ["<lambda>", "a b", 'quo"te', "line\nbreak", "", "é", "f$1"])
def test_function_names(name):
    b = IRBuilder()
    x = b.param(TensorType(float32), "x")
    assert round_trip(b.function(name, [x], [x])).name == name


def test_locations_round_trip():
    b = IRBuilder(SourceLocation('C:\\dir "x"\n\u2028.py', 12, "f.<locals>.g"))
    x = b.param(TensorType(float32), "x")
    f = b.function("f", [x], [b.neg(x)])
    assert round_trip(f).params[0].loc == x.loc
    assert parse_function(print_function(f)).nodes[0].loc is None


def test_bodies_are_nested():
    inner = parse_function("func @body(%a: f32[3]) -> (f32[3], f32[3]) {\n"
                           "%0: f32[3] = neg(%a) %1: f32[3] = exp(%0) return %0, %1 }")  # fmt: skip
    b = IRBuilder()
    x = b.param(TensorType(float32, (3,)), "x")
    both = b.fusion(x, body=inner)
    f = b.function("f", [x], [b.get(both, index=1)])
    text = print_function(f)
    assert "  %0: (f32[3], f32[3]) = fusion(%x) {body=func @body(%a: f32[3])" in text
    round_trip(f)
    assert parse_function(text).nodes[0].attrs["body"].name == "body"


def test_no_results_and_comments():
    f = parse_function("# before\nfunc @f() -> () { # inside %x\n return\n} # after")
    assert (f.params, f.results) == ((), ())
    assert print_function(f) == "func @f() -> () {\n  return\n}"


def test_unused_nodes_are_kept():
    text = "func @f(%x: f32[]) -> (f32[]) {\n  %0: f32[] = neg(%x)\n  return %x\n}"
    assert print_function(parse_function(text)) == text


# Numbers and arrays.


@given(st.one_of(st.floats(), st.booleans(), st.integers(-(2**63), 2**64 - 1)))
def test_numbers_are_exact(value):
    b = IRBuilder()
    node = b.full(value=value, shape=(2,), dtype=bool_)
    again = parse_function(print_function(b.function("f", [], [node])))
    assert repr(again.nodes[0].attrs["value"]) == repr(value)


@given(st.data())
def test_arrays_are_exact(data):
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), np.uint8)
    array = (raw & 1 != 0) if dtype is bool_ else raw.view(dtype.numpy)
    b = IRBuilder()
    f = b.function("f", [], [b.array(array.reshape(shape))])
    again = parse_function(print_function(f)).nodes[0].attrs["value"]
    assert (again.dtype, again.shape) == (dtype.numpy, shape)
    assert again.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_short_floats_are_exact(dtype):
    rng = np.random.default_rng(0)
    bits = np.dtype(f"u{np.dtype(dtype).itemsize}")
    raw = rng.integers(0, np.iinfo(bits).max, 4000, bits, endpoint=True)
    for row in raw.view(dtype).reshape(-1, 16):
        b = IRBuilder()
        f = b.function("f", [], [b.array(row)])
        again = parse_function(print_function(f)).nodes[0].attrs["value"]
        assert again.tobytes() == row.tobytes()


def test_array_texts():
    special = np.array([[0.1, -0.0], [np.nan, -np.inf]], np.float32)
    assert array_text(special) == "array(f32[2,2], [[0.1, -0.0], [nan, -inf]])"
    assert array_text(np.zeros((0, 2), np.int8)) == "array(i8[0,2], [])"
    assert array_text(np.array(True)) == "array(bool[], true)"
    long = np.arange(17, dtype=np.int16)
    assert array_text(long) == f'array(i16[17], "{base64.b64encode(long.tobytes()).decode()}")'
    assert array_text(long[::-1][:3]) == "array(i16[3], [16, 15, 14])"
    other_nan = np.array([0x7FC00001], np.uint32).view(np.float32)
    assert '"' in array_text(other_nan)


def test_bytes_that_are_no_bools_are_read_as_bools():
    data = base64.b64encode(bytes([0, 1, 2, 255])).decode()
    f = parse_function(
        f'func @f() -> (bool[4]) {{ %0: bool[4] = constant() {{value=array(bool[4], "{data}")}}'
        " return %0 }"
    )
    assert f.nodes[0].attrs["value"].view(np.uint8).tolist() == [0, 1, 1, 1]


# Dims.

dims = st.recursive(
    st.one_of(st.integers(-9, 9), st.sampled_from("nmk").map(symbol)),
    lambda inner: st.builds(
        lambda function, a, b: function(a, b),
        st.sampled_from([add, mul, maximum, minimum, floordiv, mod]),
        inner,
        inner.filter(lambda d: d != 0),
    ),
    max_leaves=6,
)


@given(dims)
def test_dims_round_trip(dim):
    assert parse_dim(dim_text(dim)) == dim


def test_dims_and_types():
    n = symbol("n")
    assert parse_dim("-(n + 1)*2 + floordiv(n, 2)*1") == -2 * n - 2 + floordiv(n, 2)
    assert parse_type("i32[n,2*n+1,0]") == TensorType(int32, (n, 2 * n + 1, 0))
    assert parse_type("bool[]") == TensorType(bool_)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f33[2]", "did you mean 'f32'?"),
        ("f32[-1]", "an extent of -1"),
        ("f32[2", "the text ends"),
        ("f32[2]]", "the end of the type"),
        ("f32[9223372036854775808]", "64 bits"),
        ("f32[n/2]", "unexpected character '/'"),
        ("f32[div(n,2)]", "floordiv, mod, max, min"),
        ("f32[mod(n,0)]", "division by zero"),
        ("f32[%x]", "a dim such as"),
        ("f32[" + "1," * 40 + "1]", "more than 32 dims"),
    ],
)
def test_bad_types(text, said):
    with pytest.raises(ParseError, match="DLC301") as caught:
        parse_type(text)
    assert said in str(caught.value)


# Errors.


def wrong(text, **changes):
    with pytest.raises(ParseError) as caught:
        parse_function(text)
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "said"),
    [
        ("dot_general", "dot_genral", 2, 18, "did you mean 'dot_general'?"),
        ("%x, %w)", "%x, %v)", 2, 34, "%v is not defined before this"),
        ("lhs_batch", "lhs_batches", 2, 39, "did you mean 'lhs_batch'?"),
        ("lhs_contract=[1]", "lhs_contract=[0]", 2, 18, "dot_general"),
        ("lhs_batch=[], ", "", 2, 18, "needs the attribute 'lhs_batch'"),
        ("rhs_batch=[],", "lhs_batch=[],", 2, 71, "given twice"),
        ("%0: f32[8,n]", "%0: f32[8,m]", 2, 7, "declared f32[8,m], but dot_general gives f32[8,n]"),
        ("%1: f32", "%0: f32", 3, 3, "defined a second time"),
        ("%b: f32[n]", "%x: f32[n]", 1, 42, "defined a second time"),
        ("-> (f32[8,n])", "-> (f32[8,4])", 1, 57, "declared results (f32[8,4])"),
        ("return %1", "return", 1, 57, "returned are ()"),
        ("return %1\n", "return %1,\n", 5, 1, "a value such as %x"),
        ("  return %1\n", "", 4, 1, "or return"),
        ("func @linear", "func linear", 1, 6, "a name such as @f"),
        ("}", "", 2, 101, "expected"),
        ("%b)", "%b, %b)", 3, 18, "broadcast_to takes 1 inputs, not 2"),
        ("broadcast_to(%b) {shape=[8,n]}", "relu(%0, %0)", 3, 18, "relu takes 1 inputs, not 2"),
        ("broadcast_to(%b)", "param()", 3, 18, "there is no op 'param'"),
        ("[8,n]}", "[8,n]} ;", 3, 49, "unexpected character ';'"),
    ],
)
def test_errors_say_where(old, new, line, column, said):
    assert old in LINEAR
    error = wrong(LINEAR.replace(old, new, 1))
    assert said in str(error)
    if old != "}":
        assert (error.line, error.column) == (line, column), str(error)


def test_errors_quote_the_line():
    shown = str(wrong(LINEAR.replace("dot_general", "dotgeneral")))
    assert "line 2, column 18" in shown
    assert "\n" + " " * 21 + "^" in shown


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("array(f32[2], [1.0])", "expected ','"),
        ("array(f32[2], [1.0, 2.0, 3.0])", "expected ']'"),
        ("array(f32[2], [[1.0, 2.0]])", "a number"),
        ("array(i8[1], [128])", "an i8"),
        ("array(u8[1], [-1])", "an u8"),
        ("array(i32[1], [1.5])", "an i32"),
        ("array(i32[1], [true])", "an i32"),
        ("array(bool[1], [1])", "true or false"),
        ("array(f32[n], [])", "integer dims"),
        ('array(f32[2], "AAAA")', "3 bytes for f32[2]"),
        ('array(f32[2], "AAAAAA==")', "1 elements for f32[2]"),
        ('array(f32[2], "?")', "not base64"),
        ('array(f32[2], "é")', "not base64"),
        ("array(f32[99999999999], [])", "more than 2147483648 bytes"),
        ("array(f32[0,99999999999], [])", "more than 2147483648 bytes"),
        ("1.0", "'array'"),
    ],
)
def test_bad_arrays(value, said):
    error = wrong(
        f"func @f() -> (f32[2]) {{ %0: f32[2] = constant() {{value={value}}} return %0 }}"
    )
    assert said in str(error)


def test_duplicate_functions_in_a_module():
    one = "func @f() -> () { return }\n"
    assert parse_module(one + one.replace("@f", "@g")) is not None
    assert parse_module("  # nothing\n") == ()
    with pytest.raises(ParseError, match="a second function @f"):
        parse_module(one + one)


# Hostile texts.


def nested_fusion(depth):
    text = "%a"
    head = "func @f(%a: f32[]) -> (f32[]) { "
    return head + ("%0: f32[] = fusion(%a) {body=" + head) * depth + f"return {text} " + "}" * depth


@pytest.mark.parametrize(
    "text",
    [
        nested_fusion(2000),
        "func @f(%x: f32[" + "(" * 100_000,
        "func @f(%x: f32[" + "-" * 100_000,
        "func @f(%x: f32[" + "max(n," * 50_000,
        "func @f(%x: f32[" + "*".join(f"(a{i}+b{i})" for i in range(200)) + "]) -> () { return }",
        "func @f(%x: f32[" + "*".join(["9223372036854775807"] * 5000) + "]) -> () { return }",
        "func @f(%x: f32[" + "+".join(f"a{i}" for i in range(5000)) + "]) -> () { return }",
        "func @f(%x: f32[" + ",".join("a+b+c+d+e+f+g+h" for _ in range(32)) + "]) -> () { return }",
        "func @f(%x: f32[" + "9" * 1_000_000,
        "func @f() -> (f32[]) { %0: f32[] = full() {value=" + "9" * 100_000 + ".0",
        "func @f() -> (f32[]) { %0: f32[] = full() {value=1e" + "9" * 100_000,
        "func @f() -> () { %0: f32[1] = constant() {value=array(f32[1], " + "[" * 100_000,
        'func @f() -> () { %0: f32[1] = constant() {value=array(f32[1], "' + "A" * 1_000_000,
        "func @f() -> () { %0: f32[] = neg() return }",
        "func @f(%x: f32[]) -> () { %0: f32[] = get(%x) {index=0} return }",
        "func @f(%x: f32[3]) -> () { %0: f32[] = transpose(%x) {axes=[99999999999999]} return }",
        "func @f(%x: f32[3]) -> () { %0: f32[] = transpose(%x) {axes=[9223372036854775806]}",
        "func @f(%x: f32[n]) -> () { %0: f32[3] = reshape(%x) {shape=[3]} return }",
        " " * 1_000_000 + "#" * 1_000_000,
        "\x00", "\ud800", "%", "@", '"', "func @\"\\q\"() -> () { return }", "",
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_hostile_texts_are_errors_and_quick(text):
    def refused():
        with pytest.raises(DlcError):
            parse_function(text)

    assert lines_of(refused) < 2_000_000


SEEDS = [
    LINEAR,
    print_module(list(sample_functions())[::40]),
    nested_fusion(3),
    """func @g(%x: f32[max(n,2)*3-1]) -> () {
      %0: f32[] = full() {value=-nan, shape=[], dtype=f32} loc("a.py":3 in "f") return }""",
]
PIECES = [
    "%x", "%0", "[", "]", "{", "}", "(", ")", ",", ":", "=", "-", "*", "+", "->", "func @f", "n",
    "return", "0", "9" * 19, "1e400", "nan", "inf", "true", '"', '"a"', "\\", "f32[n]", "bf16",
    "max(", "#", "\n", "fusion", "concat",
    "array(", "none", "\u2028", "loc(", "axes=[0]", "shape=[n,-1]", "slice", "floordiv(n,0)",
]  # fmt: skip


@settings(max_examples=600)
@given(st.integers(0, len(SEEDS) - 1), st.integers(0, 2**32), st.integers(1, 4))
def test_mutated_texts_parse_or_raise(which, seed, count):
    rng = random.Random(seed)
    text = SEEDS[which]
    for _ in range(count):
        i = rng.randrange(len(text))
        j = min(len(text), i + rng.choice((0, 0, 1, 3, 12)))
        text = (
            text[:i]
            + rng.choice((rng.choice(PIECES), text[rng.randrange(len(text)) :][:9], ""))
            + text[j:]
        )
    try:
        functions = parse_module(text)
    except DlcError:
        return
    for f in functions:
        assert print_function(parse_function(print_function(f))) == print_function(f)


SMALL_PIECES = ["0", "1", "2", "-", "9", "3", "n", "7", ",0", "1,", "i8", "f", "true", "-0.0", "[]"]


@settings(max_examples=1500)
@given(st.randoms(use_true_random=False))
def test_mutated_programs_run_or_raise(rng):
    text = rng.choice(SMALL_TEXTS)
    for _ in range(rng.randint(1, 2)):
        i = rng.randrange(len(text))
        text = text[:i] + rng.choice(SMALL_PIECES) + text[i + rng.choice((0, 1, 1, 2)) :]
    try:
        f = parse_function(text)
        verify(f)
        if all(p.tensor.is_static for p in f.params) and size_of(f) < 10_000:
            args = [np.ones(p.shape, p.tensor.dtype.numpy) for p in f.params]
            interpret(f, args)
    except DlcError:
        pass


def size_of(f):
    dims = [d for x in (*f.params, *f.nodes) for d in x.shape]
    return max((d for d in dims if isinstance(d, int)), default=0)


SMALL_TEXTS = [t for t in map(print_function, sample_functions()) if len(t) < 400]


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_any_text_parses_or_raises(text):
    with pytest.raises(DlcError):
        parse_function(text)


def test_printing_and_parsing_are_linear():
    for layers in (10, 1000):
        b = IRBuilder()
        x = b.param(TensorType(float32, (8, symbol("n"))), "x")
        y = x
        for _ in range(layers):
            y = b.transpose(b.mul(x, y), axes=(1, 0))
            y = b.transpose(y, axes=(1, 0))
        f = b.function("f", [x], [y])
        text = print_function(f)
        # 34 and 310 lines of Python a node, in short and in long programs.
        assert lines_of(lambda f=f: print_function(f)) < 60 * len(f.nodes)
        assert lines_of(lambda text=text: parse_function(text)) < 500 * len(f.nodes)


def test_parsed_functions_run():
    f = parse_function(LINEAR)
    out = interpret(
        f,
        [np.ones((8, 4), np.float32), np.ones((4, 3), np.float32), np.arange(3, dtype=np.float32)],
    )
    assert out[0].tolist() == [[0, 1, 2]] * 8
