"""The interpreter: symbols from shapes, references, decompositions, fusions, and its own checks."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

import dlc.ir.ops
from dlc.ir.build import IRBuilder
from dlc.ir.core import Function
from dlc.ir.dims import symbol
from dlc.ir.errors import ArgumentError, DTypeError, MemoryLimitError, ShapeError, VerifyError
from dlc.ir.interpret import bind_symbols, interpret
from dlc.ir.op import OPS, Op, register, unregister
from dlc.ir.parser import parse_function
from dlc.ir.types import TensorType, TupleType, float32


def run(text, *arrays, **keywords):
    return interpret(parse_function(text), [np.asarray(a) for a in arrays], **keywords)


def f32(*values):
    return np.array(values, np.float32)


SOFTMAX = """
func @f(%x: f32[m,n]) -> (f32[m,n], i64[]) {
  %0: f32[m,n] = softmax(%x) {axis=1}
  %1: i64[] = dim() {dim=2*m+n}
  return %0, %1
}"""


def test_symbols_and_decompositions():
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    y, d = run(SOFTMAX, x)
    e = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), rtol=1e-6)
    assert y.dtype == np.float32
    assert (d.shape, d.dtype, int(d)) == ((), np.int64, 11)


def test_every_row_runs_on_its_samples():
    rng = np.random.default_rng(0)
    count = 0
    for op in list(OPS.values()):
        for sample in op.samples() if op.samples else ():
            b = IRBuilder()
            params, args, inputs = [], [], []
            for spec in sample.inputs:
                if isinstance(spec, np.ndarray):
                    inputs.append(b.array(spec))
                    continue
                shape, short = spec
                params.append(b.param(TensorType(TYPES[short], shape)))
                inputs.append(params[-1])
                args.append(rng.integers(0, 2, shape).astype(TYPES[short].numpy))
            node = b.emit(op, inputs, dict(sample.attrs))
            found = interpret(b.function("f", params, [node]), args)
            assert found[0].dtype == node.tensor.dtype.numpy
            assert found[0].shape == node.shape
            count += 1
    assert count > 300


TYPES = {d.short: d for d in dlc.ir.types.DTYPES}


def test_fusions_and_several_results():
    text = """
    func @f(%x: f32[n]) -> (f32[n], f32[n]) {
      %0: (f32[n], f32[n]) = fusion(%x) {body=func @b(%a: f32[n]) -> (f32[n], f32[n]) {
        %0: f32[n] = full() {value=2.0, shape=[n], dtype=f32}
        %1: f32[n] = mul(%a, %0)
        %2: f32[n] = neg(%1)
        return %1, %2
      }}
      %1: f32[n] = get(%0) {index=1}
      %2: f32[n] = get(%0) {index=0}
      %3: f32[n] = fusion(%2) {body=func @c(%a: f32[n]) -> (f32[n]) {
        %0: f32[n] = exp(%a) return %0 }}
      return %1, %3
    }"""
    seen = []
    y, z = run(text, f32(1, -0.0, np.inf), observer=lambda node, value: seen.append(node.op.name))
    assert y.tobytes() == f32(-2, 0.0, -np.inf).tobytes()
    np.testing.assert_array_equal(z, np.exp(np.array([2, 0, np.inf])).astype(np.float32))
    assert seen == ["full", "mul", "neg", "fusion", "get", "get", "exp", "fusion"]


def test_the_observer_sees_values():
    seen = {}
    run(SOFTMAX, np.zeros((2, 2), np.float32), observer=lambda n, v: seen.update({n.op.name: v}))
    assert seen["softmax"].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert set(seen) == {"softmax", "dim"}


def test_no_floating_warnings():
    text = """func @f(%x: f32[n]) -> (f32[n]) {
      %0: f32[n] = log(%x) %1: f32[n] = div(%x, %x) return %0 }"""
    with np.errstate(all="raise"):
        (y,) = run(text, f32(0, -1, np.nan))
    np.testing.assert_array_equal(y, f32(-np.inf, np.nan, np.nan))


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.int8, np.bool_])
def test_empty_and_scalar(dtype):
    t = dlc.ir.types.dtype_of(dtype).short
    for shape, text in (((0, 3), "0,3"), ((), ""), ((1,), "1")):
        f = f"""func @f(%x: {t}[{text}]) -> (bool[{text}]) {{
          %0: bool[{text}] = eq(%x, %x) return %0 }}"""
        (y,) = run(f, np.zeros(shape, dtype))
        assert (y.shape, y.dtype) == (shape, np.bool_)
        assert y.all()


# Binding.


def binding(types, shapes, **dims):
    b = IRBuilder()
    params = [b.param(t, f"x{k}") for k, t in enumerate(types)]
    f = Function("f", params, [])
    return bind_symbols(f, [np.zeros(s, np.float32) for s in shapes], dims)


n, m = symbol("n"), symbol("m")


def t(*shape):
    return TensorType(float32, shape)


@pytest.mark.parametrize(
    ("types", "shapes", "expected"),
    [
        ([t(n, m)], [(3, 4)], {"n": 3, "m": 4}),
        ([t(2 * n + 1), t(n)], [(7,), (3,)], {"n": 3}),
        ([t(2 * n + 1)], [(7,)], {"n": 3}),
        ([t(n + m), t(m)], [(7,), (3,)], {"n": 4, "m": 3}),
        ([t(n * m), t(10 - m)], [(12,), (7,)], {"n": 4, "m": 3}),
        ([t(n // 2), t(n)], [(3,), (7,)], {"n": 7}),
        ([t(3)], [(3,)], {}),
    ],
)
def test_symbols_are_bound(types, shapes, expected):
    assert binding(types, shapes) == expected


def test_given_dims():
    assert binding([t(n + m)], [(5,)], n=2) == {"n": 2, "m": 3}
    with pytest.raises(ShapeError):
        binding([t(n)], [(5,)], n=2)


@pytest.mark.parametrize(
    ("types", "shapes", "said"),
    [
        (
            [t(n), t(n)],
            [(3,), (4,)],
            r"parameter %x1: f32\[n\] got an array of shape \(4,\), where n is 3",
        ),
        ([t(n)], [(0,)], "n is at least 1"),
        ([t(2 * n + 1)], [(6,)], "do not give the value of n"),
        ([t(n + 3)], [(2,)], "n is at least 1"),
        ([t(n + m)], [(6,)], "do not give the value of m"),
        ([t(n * n)], [(9,)], "do not give the value of n"),
        ([t(3)], [(4,)], r"shape \(4,\)"),
        ([t(3)], [(3, 1)], r"shape \(3, 1\)"),
        ([t(n % m), t(n), t(m)], [(2,), (5,), (2,)], "where m is 2, n is 5"),
    ],
)
def test_shapes_that_do_not_fit(types, shapes, said):
    with pytest.raises(ShapeError, match=said):
        binding(types, shapes)


def test_wrong_arguments():
    text = "func @f(%x: f32[2]) -> (f32[2]) { return %x }"
    with pytest.raises(ArgumentError, match="takes 1 arrays, not 2"):
        run(text, f32(1, 2), f32(1, 2))
    with pytest.raises(DTypeError, match="got an array of float64"):
        run(text, np.zeros(2))
    np.testing.assert_array_equal(run(text, f32(1, 2))[0], f32(1, 2))


# Its own checks.


@pytest.fixture
def toy():
    made = []

    def make(**changes):
        op = Op("toy", "For a test.", infer=lambda types, attrs: types[0], **changes)
        made.append(register(op))
        return op

    yield make
    for op in made:
        unregister(op.name)


TOY = "func @f(%x: f32[2]) -> (f32[2]) { %0: f32[2] = toy(%x) return %0 }"


@pytest.mark.parametrize(
    "reference",
    [lambda x: x.astype(np.float64), lambda x: x[:1], lambda x: x[None], lambda x: 1.0],
)
def test_references_are_checked(toy, reference):
    toy(reference=reference)
    with pytest.raises(VerifyError, match="the reference of toy gave"):
        run(TOY, f32(1, 2))


def test_no_reference(toy):
    toy()
    with pytest.raises(VerifyError, match="toy has no reference"):
        run(TOY, f32(1, 2))


def test_decompositions_of_several_results(toy):
    op = Op(
        "toy",
        "For a test.",
        infer=lambda types, attrs: TupleType((types[0], types[0])),
        decompose=lambda b, x: (b.neg(x), b.exp(x)),
    )
    register(op)
    text = """func @f(%x: f32[2]) -> (f32[2]) {
      %0: (f32[2], f32[2]) = toy(%x)
      %1: f32[2] = get(%0) {index=0}
      return %1 }"""
    try:
        assert run(text, f32(1, 2))[0].tolist() == [-1, -2]
        broken = dataclasses.replace(op, decompose=None, reference=lambda x: (x,))
        unregister("toy")
        register(broken)
        with pytest.raises(VerifyError, match="1 results"):
            run(text, f32(1, 2))
    finally:
        unregister("toy")


def test_unknown_symbols_are_errors():
    text = (
        "func @f() -> (f32[k]) { %0: f32[k] = full() {value=1.0, shape=[k], dtype=f32} return %0 }"
    )
    with pytest.raises(ShapeError, match="do not give the value of k"):
        run(text)
    assert run(text, dims={"k": 3})[0].shape == (3,)


def test_sizes_beyond_memory_are_errors():
    size = 2**50
    text = f"""func @f() -> (f32[{size}]) {{
      %0: f32[{size}] = full() {{value=1.0, shape=[{size}], dtype=f32}} return %0 }}"""
    with pytest.raises(MemoryLimitError, match="full needs"):
        run(text)


def test_dead_values_are_released():
    alive = []

    class Traced(np.ndarray):
        def __del__(self):
            alive.remove(id(self))

    def reference(x):
        made = np.array(x).view(Traced)
        alive.append(id(made))
        peaks.append(len(alive))
        return made

    peaks = []
    register(Op("toy", "For a test.", infer=lambda types, attrs: types[0], reference=reference))
    try:
        lines = [f"%{k}: f32[2] = toy(%{k - 1 if k else 'x'})" for k in range(20)]
        run(f"func @f(%x: f32[2]) -> (f32[2]) {{ {' '.join(lines)} return %19 }}", f32(1, 2))
    finally:
        unregister("toy")
    assert max(peaks) <= 3


PRODUCT = "lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]"


@pytest.mark.parametrize("moved", ["flip(%x) {axes=[0,1]}", "transpose(%x) {axes=[1,0]}"])
def test_sums_do_not_depend_on_how_operands_lie_in_memory(moved):
    view = f"""func @f(%x: f32[99,99], %y: f32[99,1]) -> (f32[99,1], f32[99]) {{
  %0: f32[99,99] = {moved}
  %1: f32[99,1] = dot_general(%0, %y) {{{PRODUCT}}}
  %2: f32[99] = reduce_sum(%0) {{axes=[1]}}
  return %1, %2
}}"""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=s).astype(np.float32) for s in ((99, 99), (99, 1)))
    held = np.ascontiguousarray(x[::-1, ::-1] if moved.startswith("flip") else x.T)
    own = view.replace(f"  %0: f32[99,99] = {moved}\n", "").replace("@f(%x", "@f(%0")
    for a, b in zip(run(view, x, y), run(own, held, y), strict=True):
        np.testing.assert_array_equal(a, b)
