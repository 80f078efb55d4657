"""Kernel IR: text and back, the verifier, canonical names."""

import contextlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Param
from dlc.codegen.kernel_names import canonical, normalised_text
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_expression, print_kernel
from dlc.codegen.kernel_verifier import verify_kernel
from dlc.codegen.schedule import count_ops
from dlc.ir import dims, scalar
from dlc.ir.errors import ParseError, VerifyError
from dlc.ir.scalar import REDUCE_KINDS, SCALAR_OPS, Axis, Expr, const, index, load, op, walk
from dlc.ir.types import DTYPES, bool_, float32, float64, int64

GOLDEN = sorted((Path(__file__).parent / "kernels").glob("*.kernel"))
DIMS = ("N", "M")
AXES = ("i", "j", "n.2")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_golden_texts_are_what_is_printed(path):
    text = path.read_text()
    kernel = parse_kernel(text, file=path.name)
    verify_kernel(kernel)
    assert print_kernel(kernel) == text
    assert parse_kernel(print_kernel(kernel)) == kernel
    again = canonical(kernel)
    verify_kernel(again)
    assert print_kernel(again) == normalised_text(kernel) == normalised_text(again)


# Generated kernels

SYMBOLS = N, M = [dims.symbol(n) for n in DIMS]
DIM = st.one_of(
    st.integers(0, 100),
    st.sampled_from(SYMBOLS),
    st.builds(lambda a, b, c: a * N + b * M * M + c, *[st.integers(-3, 3)] * 3),
    st.builds(dims.floordiv, st.sampled_from(SYMBOLS), st.integers(2, 9)),
    st.builds(dims.maximum, st.sampled_from(SYMBOLS), st.integers(2, 9)),
)  # fmt: skip
EXTENT = st.one_of(st.integers(0, 100), st.sampled_from(SYMBOLS))
TENSORS = {f"x_{d.short}": d for d in DTYPES}


@st.composite
def literals(draw, dtype):
    if dtype.kind == "b":
        return const(draw(st.booleans()), dtype)
    if dtype.is_float:
        width = min(max(dtype.bits, 16), 64)
        value = draw(st.floats(width=width, allow_nan=True))
        with np.errstate(over="ignore"):
            return const(value, dtype)
    limits = np.iinfo(dtype.numpy)
    near = st.integers(max(limits.min, -3), 3)
    return const(draw(near | st.integers(int(limits.min), int(limits.max))), dtype)


@st.composite
def axes(draw):
    names = draw(st.lists(st.sampled_from(("u", "v", "w")), min_size=1, max_size=2, unique=True))
    return tuple(Axis(n, draw(EXTENT), draw(st.sampled_from((None, None, 16)))) for n in names)


@st.composite
def expressions(draw, dtype, depth=4):
    leaf = depth == 0 or draw(st.integers(0, 4)) == 0
    below = lambda d: draw(expressions(d, depth - 1))  # noqa: E731
    if leaf:
        kind = draw(st.integers(0, 3))
        if dtype is int64 and kind == 0:
            name = draw(st.sampled_from(AXES))
            return draw(st.sampled_from([index(name), Expr("block", (), int64, name)]))
        if dtype is int64 and kind == 1:
            return scalar.dim(draw(DIM))
        return draw(literals(dtype)) if kind == 2 else load(f"x_{dtype.short}", (), dtype)
    rows = [r for r in SCALAR_OPS.values() if r.result != "bool" and dtype.kind in r.kinds]
    choice = draw(st.sampled_from(["op", "op", "op", "pad", "reduce", "dot", "load", "given"]))
    if dtype is bool_ and choice in ("op", "given"):
        row = draw(st.sampled_from([r for r in SCALAR_OPS.values() if r.result == "bool"]))
        other = draw(st.sampled_from(DTYPES))
        return op(row.name, below(other), below(other))
    if choice == "given":
        other = draw(st.sampled_from(DTYPES))
        name = draw(st.sampled_from(("convert", "bitcast")))
        return op(name, below(other), dtype=dtype)
    if choice == "op":
        row = draw(st.sampled_from([r for r in rows if r.result == "same"]))
        types = [bool_, dtype, dtype] if row.name == "select" else [dtype] * row.arity
        return op(row.name, *map(below, types))
    inner = load(f"x_{dtype.short}", (below(int64),), dtype)
    if choice == "load":
        return inner
    if choice == "pad":
        return scalar.pad(inner, below(dtype))
    if choice == "dot":
        other = draw(st.sampled_from((dtype, float32)))
        return scalar.dot(draw(axes()), below(other), below(other), dtype)
    kinds = [k for k in REDUCE_KINDS if not k.startswith("arg")]
    if dtype is int64:
        position = draw(st.sampled_from(("argmax", "argmin")))
        return scalar.reduce(position, draw(axes()), below(draw(st.sampled_from(DTYPES))))
    return scalar.reduce(draw(st.sampled_from(kinds)), draw(axes()), below(dtype))


@st.composite
def assigns(draw, carry=False):
    dtype = draw(st.sampled_from(DTYPES))
    name = f"t_{dtype.short}" if carry or draw(st.booleans()) else f"y_{dtype.short}"
    ix = tuple(draw(expressions(int64, 2)) for _ in range(draw(st.integers(0, 2))))
    own = draw(axes()) if draw(st.booleans()) else ()
    return Assign(name, ix, own, draw(expressions(dtype)), not carry and draw(st.booleans()))


@st.composite
def bodies(draw, depth=2):
    body = []
    for _ in range(draw(st.integers(1, 2))):
        form = draw(st.sampled_from(("assign", "par", "for"))) if depth else "assign"
        if form == "assign":
            body.append(draw(assigns()))
        elif form == "par":
            body.append(Par(draw(axes()) if draw(st.booleans()) else (), draw(bodies(depth - 1))))
        else:
            carry = tuple(draw(assigns(True)) for _ in range(draw(st.integers(0, 2))))
            condition = draw(expressions(bool_)) if draw(st.booleans()) else None
            body.append(For(draw(axes())[0], draw(bodies(depth - 1)), carry, condition))
    return tuple(body)


@st.composite
def kernels(draw):
    params = [
        Param(n, "in", d, (draw(EXTENT),) * draw(st.integers(0, 2))) for n, d in TENSORS.items()
    ]
    for d in DTYPES:
        mode = draw(st.sampled_from(("out", "inout")))
        alias = tuple(draw(st.lists(st.sampled_from(sorted(TENSORS)), max_size=2)))
        params.append(Param(f"y_{d.short}", mode, d, (draw(EXTENT),), alias))
    order = draw(st.permutations(DIMS))
    return Kernel("k", tuple(params), tuple(order), draw(bodies()))


@settings(max_examples=300)
@given(kernels())
def test_parse_of_print_is_the_same_kernel(kernel):
    text = print_kernel(kernel)
    again = parse_kernel(text)
    assert again == kernel
    assert print_kernel(again) == text


@settings(max_examples=200)
@given(st.text(alphabet='kernelparfo x[](){}<>=+-*/%:;,.#$\n 0129eE\t"é', max_size=80))
def test_any_text_is_read_or_a_parse_error(text):
    for whole in (text, "kernel k(x: f32[N], out y: f32[N]):\n par n<N:\n  y[n] = " + text):
        with contextlib.suppress(ParseError):
            parse_kernel(whole)


@given(st.data())
def test_damaged_goldens_are_read_or_a_parse_error(data):
    text = data.draw(st.sampled_from([p.read_text() for p in GOLDEN]))
    at = data.draw(st.integers(0, len(text) - 1))
    piece = data.draw(st.sampled_from(["", "(", "]", "n", "-", "1e999", "f32(", "\n", "   ", ";"]))
    with contextlib.suppress(ParseError):
        parse_kernel(text[:at] + piece + text[at + data.draw(st.integers(0, 9)) :])


# Literals and sharing

HEAD = "kernel k(x: f32[N], b: i8[N], out y: f32[N], out z: i8[N]):\n par n<N:\n  "


def right_side(text, target="y"):
    return parse_kernel(f"{HEAD}{target}[n] = {text}").body[0].body[0].expr


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 0.0, 0.1, 1e-45, 3.4e38])
def test_float_literals_are_exact(value):
    e = const(value, float32)
    for whole in (e, op("mul", load("x", (index("n"),)), e), op("neg", e), op("add", e, e)):
        text = print_expression(whole, parse_kernel(HEAD + "y[n] = 0.0"))
        assert right_side(text) == whole


def test_literals_take_the_type_of_their_neighbour():
    assert right_side("x[n]*2").args[1] == const(2.0, float32)
    assert right_side("2*x[n]").args[0] == const(2.0, float32)
    assert right_side("select(x[n] < 0.5, 1.0, x[n])").args[0].args[1] == const(0.5, float32)
    assert right_side("7") == const(7.0, float32)
    minus = right_side("b[n]-128", "z")
    assert (minus.op, minus.args[1].attr) == ("add", -128)
    assert right_side("-128", "z").attr == -128
    assert right_side("x[n] - 1.0").op == "sub"


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("f32(2.0)", "a literal whose type nothing shows", (3, 14)),
        ("x[n]+1e39", "beyond f32", (3, 15)),
        ("max(x[n])", "max takes 2 arguments", (3, 10)),
        ("maxx(x[n], x[n])", "no operation 'maxx'", (3, 10)),
        ("q[n]", "no tensor 'q'", (3, 10)),
        ("x[n", "the text ends", (3, 13)),
        ("$1", "$1 is not defined", (3, 10)),
        ("x[n] x", "found 'x'", (3, 15)),
        ("pad(1.0f32, 2.0)", "pad takes a load", (3, 10)),
        ("sum(q, x[n])", "'q' is not an open block", (3, 14)),
        ("par", "'par' is a word of the language", (3, 10)),
        ("x[n] ?", "unexpected character '?'", (3, 15)),
    ],
)
def test_errors_say_where_and_what(text, message, place):
    with pytest.raises(ParseError) as caught:
        right_side(text)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == place


def test_integer_literals_must_fit():
    for text in ("b[n]+128", "b[n]-129", "-129i8", "b[n]+1.5", "300i8"):
        with pytest.raises(ParseError):
            right_side(text, "z")


@pytest.mark.parametrize(
    "text",
    [
        "kernel k(out y: f32[N]):\n par n<N:\n y[n] = 0.0",
        "kernel k(out y: f32[N]):\n par n<N:\n  y[n] = 0.0\n   y[n] = 0.0",
        "kernel k(out y: f32[N]):\n par n<N:\n  y[n] = 0.0 y[n] = 0.0",
        "kernel k(out y: f32[N]):\n\tpar n<N:\n\t y[n] = 0.0",
        "kernel k(out y: f32[N], y: f32[N]): y[0] = 0.0",
        "kernel k(out y: f32[-1]): y[0] = 0.0",
        "kernel k(out sum: f32[N]): sum[0] = 0.0",
        "kernel k(out y: f32[N]): par n<N:0: y[n] = 0.0",
        "kernel k(out y: f32[N]):",
        "",
    ],
)
def test_malformed_statements(text):
    with pytest.raises(ParseError):
        parse_kernel(text)


@pytest.mark.parametrize("piece", ["(", "-(", "exp(", "x[", "f32(", "sum(i<N, ", "- -"])
def test_hostile_nesting_is_a_parse_error(piece):
    with pytest.raises(ParseError):
        right_side(piece * 100_000)


def test_hostile_blocks_are_a_parse_error():
    lines = [" " * k + f"par a{k}<2:" for k in range(5000)]
    with pytest.raises(ParseError, match="nested more than"):
        parse_kernel("kernel k(out y: f32[2]):\n" + "\n".join(" " + line for line in lines))


def test_shared_parts_are_written_once_and_stay_shared():
    e = load("x", (index("n"),))
    for _ in range(60):
        e = op("add", op("mul", e, e), op("exp", e))
    kernel = parse_kernel(HEAD + "y[n] = 0.0")
    (par,) = kernel.body
    kernel = replace(kernel, body=(replace(par, body=(replace(par.body[0], expr=e),)),))
    text = print_kernel(kernel)
    assert len(text) < 4000
    found = parse_kernel(text).body[0].body[0].expr
    assert len(list(walk(found))) == len(list(walk(e)))
    assert print_kernel(parse_kernel(text)) == text


def test_a_condition_may_share_parts_of_what_is_carried():
    e = load("s", (index("n"),))
    for _ in range(6):
        e = op("add", op("mul", e, e), op("exp", e))
    kernel = parse_kernel(HEAD + "for t<3 carry s[n] = 1f32: next_s[n] = s[n]+x[n]")
    (par,) = kernel.body
    loop = replace(par.body[0], condition=op("lt", e, e))
    kernel = replace(kernel, body=(replace(par, body=(loop,)),))
    verify_kernel(kernel)
    assert "; let $" in print_kernel(kernel)
    assert parse_kernel(print_kernel(kernel)) == kernel


def test_deep_expressions_are_printed_and_read():
    e = load("x", (index("n"),))
    for _ in range(3000):
        e = op("neg", op("exp", e))
    kernel = parse_kernel(HEAD + "y[n] = 0.0")
    (par,) = kernel.body
    kernel = replace(kernel, body=(replace(par, body=(replace(par.body[0], expr=e),)),))
    text = print_kernel(kernel)
    assert print_kernel(parse_kernel(text)) == text
    assert print_kernel(canonical(kernel)).count("exp(") == 3000


def test_equality_of_graphs_that_share_no_object():
    def doubled(times):
        e = load("x", (index("n"),))
        for _ in range(times):
            e = op("add", e, e)
        return e

    assert doubled(2000) == doubled(2000)
    assert doubled(2000) != doubled(2001)


# Canonical names


def test_names_do_not_show_in_the_normalised_text():
    a = "kernel f(x: f32[R,N], out o: f32[R,N]): par r<R: "
    a += "m[r] = rmax(n<N, x[r,n]); o[r,n] n<N = x[r,n]-m[r]"
    b = "kernel g(q: f32[A,B], out z: f32[A,B]): par i<A: "
    b += "t[i] = rmax(j<B, q[i,j]); z[i,k] k<B = q[i,k]-t[i]"
    assert normalised_text(parse_kernel(a)) == normalised_text(parse_kernel(b))
    c = a.replace("rmax", "rmin")
    assert normalised_text(parse_kernel(a)) != normalised_text(parse_kernel(c))
    d = a.replace("kernel f(", "kernel f<N,R>(")
    assert normalised_text(parse_kernel(a)) != normalised_text(parse_kernel(d))


# The verifier


def kernel_text(body, header="x: f32[N,M], k: i64[N], inout y: f32[N,M], out z: f32[N]"):
    return parse_kernel(f"kernel v({header}):\n" + body)


GOOD = [
    " par n<N, m<M: y[m*0+n,m] = x[n,m]",
    " par t<N*M: y[t/M,t%M] = 1",
    " par n<N: z[N-1-n] = 0",
    " par n<N: y[n,m] m<M = x[n,M-1-m]",
    " par m<M:\n  for n<N: y[k[n],m] += x[n,m]",
    " par m<M:\n  for n<N: y[n,m] = y[n,m]*2.0",
    " par n<N:4: y[n,0] = sum(m<M, x[n,m])",
    " par n<N:4: y[#n,0] = sum(n, x[n,0])",
    " for n<N: z[n] = x[n,0]",
    " par n<N:\n  for m<M carry s[n] = 0f32: next_s[n] = s[n]+x[n,m]\n  z[n] = s[n]",
    " par n<N:\n  t[m] m<M = x[n,m]\n  z[n] = t[0]+t[M-1]",
    " par n<N:4:\n  for n carry h[#n] = 0f32: next_h[#n] = h[#n]+x[n,0]; z[n] = next_h[#n]",
    " par n<N:4:\n  for n: y[n,#n] = x[n,0]",
    " par a<1, n<N: z[n] = x[n,a]",
]
BAD = [
    (" par n<N: x[n,0] = 0", "is an input"),
    (" par n<N: z[n] = w[n]", None),
    (" par n<N: z[n,0] = 0", "has 1 dims, not 2"),
    (" par n<N: z[n] = x[n]", "has 2 dims, not 1"),
    (" par n<N: z[n] = k[n]", "z is f32, the value i64"),
    (" par n<N: z[n] = x[n,0]+f32(k[n])*f64(1i64)", "of f32 and f64"),
    (" par n<N, m<M: z[n] = x[n,m]", "different iterations of n, m"),
    (" par n<N, m<M: z[n+m] = x[n,m]", "different iterations"),
    (" par n<N: z[n/2] = x[n,0]", "different iterations"),
    (" par n<N: z[k[n]] = x[n,0]", "different iterations"),
    (" par n<N: z[0] = x[n,0]", "different iterations"),
    (" par n<N:\n  for m<M: z[m] += x[n,m]", "different iterations"),
    (" par n<N:\n  for m<M: z[n+m] += x[n,m]", "different iterations"),
    (" par n<N: z[n] += x[n,0]", "outside of any 'for'"),
    (" par n<N: z[n] = x[n,q]", "axis 'q' is not known"),
    (" par n<N:4: z[#n] = x[n,0]", "is open"),
    (" par n<N: z[#n] = x[n,0]", "not an open block"),
    (" par n<N: z[n] = sum(m<M:8, x[n,m])", "its block is not open"),
    (" par n<N:4:\n  for n: z[#n] = x[n,0]", "different iterations of n"),
    (" par n<N:4:\n  for n: z[n] = sum(n, x[n,0])", None),
    (" par n<N:4:\n  for n:\n   for n: z[n] = x[n,0]", None),
    (" par n<N:\n  for n: z[n] = x[n,0]", None),
    (" par n<N: z[n] = sum(n<M, x[0,n])", "already in use"),
    (" par n<N:\n  par n<M: y[0,n] = 0", "already in use"),
    (" par n<N:\n  t[n] = x[n,0]\n  t[n] = x[n,0]\n  z[n] = t[n]", "assigned twice"),
    (" par n<N:\n  t[n] = x[n,0]\n par n<N: z[n] = t[n]", "read before it is assigned"),
    (" par n<N:\n  t[0] m<M = x[n,m]\n  z[n] = t[0]", "is not an axis"),
    (" par n<N:\n  t[n] m<M = x[n,m]\n  z[n] = t[n]", "each axis of the local"),
    (" par n<N:\n  t[n] = x[n,0]\n  z[n] = t[n+1]", "must be the same"),
    (" par n<N:\n  for m<M carry s[n] = 0f32: next_s[n] = 1f64", "dtype and the tile"),
    (" par n<N:\n  for m<M carry s[n] = 0f32: next_s[n,t] t<2 = 1f32", "dtype and the tile"),
    (" par n<N:\n  for m<4611686018427387904 carry s[n] = 0f32: next_s[n] = 1f32", "an end"),
    (" par n<N:\n  for m<M while n carry s[n] = 0f32: next_s[n] = 1f32", "must be a bool"),
    (" par n<N:\n  t[n] = x[n,0]\n  t[n] += 1.0f32\n  z[n] = t[n]", "cannot be added to"),
    (" par n<Q: z[n] = 0", "dim 'Q'"),
    (" par N<M: z[N] = 0", "name of a dim"),
    (" par n<N: z[n] = and(x[n,0], x[n,0])", "and does not take f32"),
    (" par n<N: z[n] = select(x[n,0], x[n,0], x[n,0])", "not bool"),
    (" par n<N: z[n] = bits_f32(k[n])", "bitcast of i64 to f32"),
    (" par n<N: z[n] = x[n,x[n,0]]", "is not i64"),
    (" par n<N: z[n] = f32(any(m<M, x[n,m]))", "any of f32"),
    (" par n<N: z[n] = f32(sum(m<M, x[n,m] > 0))", None),
    (" par n<N: z[n] = z[n]", "only written"),
]  # fmt: skip


@pytest.mark.parametrize("body", GOOD)
def test_verifier_accepts(body):
    verify_kernel(kernel_text(body))


@pytest.mark.parametrize(("body", "message"), BAD)
def test_verifier_rejects(body, message):
    if message is None:
        with pytest.raises((ParseError, VerifyError)):
            verify_kernel(kernel_text(body))
        return
    with pytest.raises(VerifyError) as caught:
        verify_kernel(kernel_text(body), pass_name="fuse")
    assert message in str(caught.value)
    assert "after pass fuse" in str(caught.value)
    assert "> " in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        "x: f32[N], out y: f32[N] may_alias(q)",
        "x: f32[N] may_alias(x), out y: f32[N]",
        "N: f32[N], out y: f32[N]",
    ],
)
def test_verifier_rejects_headers(header):
    with pytest.raises(VerifyError):
        verify_kernel(parse_kernel(f"kernel h({header}):\n for i<1: y[i] = 0"))


def test_verifier_checks_what_text_cannot_say():
    n = index("n")
    params = (
        Param("x", "in", float32, (dims.symbol("N"),)),
        Param("y", "out", float32, (dims.symbol("N"),)),
    )

    def kernel(e, expected):
        body = (Par((Axis("n", N),), (Assign("y", (n,), (), e),)),)
        with pytest.raises(VerifyError, match=expected):
            verify_kernel(Kernel("k", params, ("N",), body))

    kernel(load("x", (n,), float64), "read as f64")
    kernel(Expr("const", (), float32, 1), "not held")
    kernel(Expr("nothing", (), float32), "no operation")
    kernel(Expr("add", (load("x", (n,)),), float32), "takes 2 arguments")
    kernel(Expr("lt", (load("x", (n,)),) * 2, float32), "gives bool")
    with pytest.raises(VerifyError, match="empty"):
        verify_kernel(Kernel("k", params, ("N",), ()))
    assert print_expression(load("x", (n,)), Kernel("k", params, ("N",), ())) == "x[n]"


def test_distinct_operations_are_counted_without_comparing_graphs(monkeypatch):
    """Copies of one expression have equal nodes, each pair of which would be walked."""

    def chain():
        e = load("x", (index("n"),))
        for k in range(200):
            e = op("add", op("mul", e, e), const(k, float32))
        return e

    compared = []
    monkeypatch.setattr(Expr, "__eq__", lambda a, b: compared.append(a) or a is b)
    first, second = chain(), chain()
    assert count_ops([first]) == count_ops([first, second]) == 400
    assert count_ops([first, op("neg", second), op("add", load("x", (index("n"),)), first)]) == 402
    zeros = (const(0.0, float32), const(-0.0, float32))
    assert count_ops(op("exp", z) for z in zeros) == 2
    assert not compared
