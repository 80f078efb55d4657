"""The verifier finds every kind of broken function, and shows the place."""

import numpy as np
import pytest

import dlc.ir.ops
from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.dims import symbol
from dlc.ir.errors import VerifyError
from dlc.ir.location import SourceLocation
from dlc.ir.op import OPS
from dlc.ir.parser import parse_function
from dlc.ir.types import TensorType, TupleType, bool_, float32, float64
from dlc.ir.verifier import verify

F = TensorType(float32, (3,))
n = symbol("n")


def fails(function, said, **keywords):
    with pytest.raises(VerifyError) as caught:
        verify(function, **keywords)
    assert said in str(caught.value)
    assert "^" in str(caught.value)
    return caught.value


def chain(length=20):
    b = IRBuilder()
    x = b.param(F, "x")
    y = x
    for _ in range(length):
        y = b.neg(y)
    return b.function("f", [x], [y])


def with_node(f, k, **changes):
    """`f` with node k replaced by one with other fields, its users kept as they are."""
    old = f.nodes[k]
    fields = {"op": old.op, "inputs": old.inputs, "attrs": old.attrs, "type_": old.type} | changes
    new = Node(*fields.values(), old.loc, old.name)
    return Function(f.name, f.params, f.results, [*f.nodes[:k], new, *f.nodes[k + 1 :]])


def test_legal_functions():
    verify(chain())
    verify(chain(), stage="traced")
    verify(chain(), stage="decomposed")
    verify(Function("f", [], []))


def test_lines_around():
    f = chain()
    bad = with_node(f, 19, type_=F.with_dtype(float64))
    error = fails(bad, "the type is f64[3], but neg gives f32[3]", pass_name="cse")
    assert error.pass_name == "cse"
    assert str(error.excerpt) == "\n".join(
        [
            *(f"  %{k}: f32[3] = neg(%{k - 1})" for k in range(14, 19)),
            "  %19: f64[3] = neg(%18)",
            "  ^^^^^^^^^^^^^^^^^^^^^^",
            "  return %undefined",  # the result is the node that was replaced
            "}",
        ]
    )
    assert "after pass cse" in str(error)


def test_the_users_line():
    b = IRBuilder(SourceLocation("train.py", 12, "loss"))
    x = b.param(F, "x")
    f = b.function("f", [x], [b.neg(x)])
    assert "at train.py:12 in loss" in str(fails(with_node(f, 0, type_=TensorType(float32)), "neg"))


def test_ssa():
    b = IRBuilder()
    x, y = b.param(F, "x"), b.param(F, "y")
    a = b.neg(x)
    c = b.exp(a)
    fails(Function("f", [x], [c], [c, a]), "input 0 is only defined later")
    fails(Function("f", [x], [c], [c]), "input 0 is defined nowhere")
    fails(Function("f", [x], [a], [a, a]), "a node is listed twice")
    fails(Function("f", [y], [a], [a]), "a parameter of another function")
    fails(Function("f", [x], [a], [x, a]), "a node is listed twice")
    fails(Function("f", [x], [a], [y, a]), "a parameter of another function")
    fails(Function("f", [x, x], [a], [a]), "a parameter is listed twice")
    fails(Function("f", [x, a], [a], []), "a parameter is made by op neg")
    fails(Function("f", [x], [y], []), "a result that the function does not define")
    both = Node(OPS["fusion"], (x,), {"body": two_results()}, TupleType((F, F)))
    fails(Function("f", [x], [both]), "a result is a tuple")


def two_results():
    b = IRBuilder()
    p = b.param(F, "p")
    return b.function("two", [p], [b.neg(p), b.exp(p)])


def test_types_are_recomputed():
    f = chain(1)
    (x,) = f.params
    fails(with_node(f, 0, type_=TensorType(float32, (n,))), "the type is f32[n]")
    fails(with_node(f, 0, type_=TupleType((F,))), "the type is (f32[3])")
    fails(with_node(f, 0, op=OPS["bit_not"]), "bit_not of f32[3]")
    fails(with_node(f, 0, op=OPS["add"]), "add takes 2 inputs, not 1")
    fails(with_node(f, 0, op=OPS["add"], inputs=(x, x, x)), "add takes 2 inputs, not 3")
    fails(with_node(f, 0, op=OPS["get"], attrs={"index": 0}), "get of result 0")
    other = Node(OPS["param"], (), {"type": (F,)}, F.with_dtype(bool_))
    fails(Function("f", [other], [other]), "the type is bool[3], but param gives f32[3]")


def test_attributes_by_kind():
    b = IRBuilder()
    x = b.param(F, "x")
    y = b.reduce_sum(x, axes=(0,))
    f = b.function("f", [x], [y])
    fails(with_node(f, 0, attrs={}), "attribute 'axes' of reduce_sum is missing")
    fails(with_node(f, 0, attrs={"axes": (0,), "axis": 0}), "'axis' of reduce_sum is not one")
    for value in ([0], (0.0,), (True,), 0, None, (np.int64(0),)):
        fails(with_node(f, 0, attrs={"axes": value}), "of reduce_sum is no ints")
    full = IRBuilder()
    g = full.function("g", [], [full.full(value=1.0, shape=(3,), dtype=float32)])
    good = dict(g.nodes[0].attrs)
    for name, value in (
        ("value", np.float32(1)), ("value", "1"), ("shape", (1.0,)), ("dtype", "f32"),
        ("dtype", np.float32),
    ):  # fmt: skip
        fails(with_node(g, 0, attrs=good | {name: value}), f"attribute {name}=")


def test_every_kind_has_a_test():
    from typing import get_args

    from dlc.ir.op import AttrKind
    from dlc.ir.verifier import _IS_KIND

    assert set(_IS_KIND) == set(get_args(AttrKind))


def test_unbound_symbols():
    text = """func @f(%x: f32[n]) -> (f32[m]) {
      %0: f32[m] = full() {value=1.0, shape=[m], dtype=f32} return %0 }"""
    fails(parse_function(text), "no parameter's shape gives the value of m")
    text = "func @f(%x: f32[n]) -> (i64[]) { %0: i64[] = dim() {dim=n*m} return %0 }"
    fails(parse_function(text), "no parameter's shape gives the value of m")
    # A body may use the symbols of the function around it.
    verify(parse_function("""func @f(%x: f32[n]) -> (f32[n]) {
      %0: f32[n] = fusion() {body=func @b() -> (f32[n]) {
        %0: f32[n] = full() {value=1.0, shape=[n], dtype=f32} return %0 }}
      return %0 }"""))  # fmt: skip


FUSED = """func @f(%x: f32[3]) -> (f32[3]) {
  %0: f32[3] = fusion(%x) {body=func @b(%a: f32[3]) -> (f32[3]) { %0: f32[3] = neg(%a) return %0 }}
  return %0
}"""


def test_bodies_are_checked():
    f = parse_function(FUSED)
    verify(f)
    body = f.nodes[0].attrs["body"]
    bad = with_node(body, 0, type_=TensorType(float64, (3,)))
    error = fails(with_node(f, 0, attrs={"body": bad}), "the type is f64[3]")
    assert error.excerpt.startswith("func @b(")
    other = parse_function(
        "func @b(%a: f32[]) -> (f32[3]) { %0: f32[3] = broadcast_to(%a) {shape=[3]} return %0 }"
    )
    fails(with_node(f, 0, attrs={"body": other}), "the fusion is given (f32[3])")
    fails(with_node(f, 0, attrs={"body": 1}), "is no function")


def test_stages():
    fused = parse_function(FUSED)
    fails(fused, "a fusion before the stage of fusion", stage="traced")
    verify(fused, stage="decomposed")
    verify(fused, stage="fused")
    fails(chain(1), "neg outside of a fusion", stage="fused")
    composite = parse_function(
        "func @f(%x: f32[3]) -> (f32[3]) { %0: f32[3] = softmax(%x) {axis=0} return %0 }"
    )
    verify(composite, stage="traced")
    fails(composite, "softmax is to be decomposed", stage="decomposed")
    fails(composite, "softmax is to be decomposed", stage="fused")
    inner = with_node(fused, 0, attrs={"body": fused})
    fails(inner, "a fusion inside a fusion", stage="fused")
    constant = parse_function(
        "func @f() -> (f32[1]) { %0: f32[1] = constant() {value=array(f32[1], [1.0])} return %0 }"
    )
    verify(constant, stage="fused")


def test_samples_of_every_row_are_legal():
    for op in list(OPS.values()):
        for sample in op.samples() if op.samples else ():
            b = IRBuilder()
            inputs = [
                b.array(s) if isinstance(s, np.ndarray) else b.param(TensorType(DTYPES[s[1]], s[0]))
                for s in sample.inputs
            ]
            node = b.emit(op, inputs, dict(sample.attrs))
            verify(
                b.function("f", [x for x in inputs if x.op.name == "param"], [node]), stage="traced"
            )


DTYPES = {d.short: d for d in dlc.ir.types.DTYPES}
