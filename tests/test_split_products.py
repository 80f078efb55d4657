"""Products with small results and long sums: in parts that follow from the shapes alone."""

import ml_dtypes
import numpy as np
import pytest

import dlc
from dlc.ir.config import config
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.passes.manager import run_pipeline
from dlc.passes.split_products import SplitProducts


def numbers(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def split(text):
    return run_pipeline(parse_function(text), (SplitProducts(),), verify=True)


def product_text(m, k, n, dtype="f32"):
    return f"""
    func @f(%x: {dtype}[{m},{k}], %y: {dtype}[{k},{n}]) -> ({dtype}[{m},{n}]) {{
      %0: {dtype}[{m},{n}] = dot_general(%x, %y) {{lhs_batch=[], lhs_contract=[1], rhs_batch=[],
        rhs_contract=[0]}}
      return %0
    }}
    """


def test_a_device_may_want_more_pieces():
    text = product_text(64, 8192, 64)
    many = run_pipeline(parse_function(text), (SplitProducts(256, 256, 1 << 16),), verify=True)
    assert (parts_of(split(text)), parts_of(many)) == ((4, 2048, 0), (32, 256, 0))


def parts_of(function):
    """(parts of a product, products of one, of the rest)"""
    shapes = [n.inputs[0].shape for n in function.nodes if n.op.family == "contraction"]
    if len(shapes) == 1 and len(shapes[0]) == 2:
        return None
    (_, parts, length), *rest = shapes
    return parts, length, rest[0][1] if rest else 0


@pytest.mark.parametrize(
    ("m", "k", "n", "expected"),
    [
        (64, 65536, 64, (32, 2048, 0)),
        (64, 65537, 64, (32, 2048, 1)),
        (3, 16384, 5, None),  # little to do
        (3, 1 << 20, 5, (32, 32768, 0)),
        (256, 65536, 250, (2, 32768, 0)),
        (400, 65536, 300, None),  # enough pieces
        (64, 4000, 64, None),
        (64, "k", 64, None),
        ("m", 65536, 64, None),
        (64, 0, 64, None),
        (0, 65536, 64, None),
    ],
)
def test_what_is_split(m, k, n, expected):
    assert parts_of(split(product_text(m, k, n))) == expected


ROWS, COLUMNS = np.s_[:, :], np.s_[:, :]
FORMS = {
    "mk,kn": "mn", "km,kn": "mn", "mk,nk": "mn", "km,nk": "nm", "bmk,kbn": "bmn", "mkq,qnk": "mn",
    "k,kn": "n", "mk,k": "m", "k,k": "",
}  # fmt: skip
SIZES = {"m": 7, "n": 33, "k": 150_001, "b": 2, "q": 3}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms(form):
    left, right = form.split(",")
    sizes = SIZES if len(form) > 4 else {**SIZES, "k": 600_001}
    x = numbers(*(sizes[c] for c in left))
    y = numbers(*(sizes[c] for c in right), seed=1)
    spec = f"{form}->{FORMS[form]}"
    f = dlc.compile(lambda x, y: dlc.einsum(spec, x, y))
    assert "reduce_sum" in f.lower(x, y).as_text("optimized")
    exact = np.einsum(spec, x.astype("f8"), y.astype("f8"), optimize=True)
    found = f(x, y).numpy()
    terms = np.prod([sizes[c] for c in set(form) - {","} - set(FORMS[form])])
    assert found.shape == exact.shape
    assert np.max(np.abs(found - exact)) < 2e-6 * np.sqrt(terms)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_any_number_of_threads_gives_the_same_bits(threads):
    x, y, b = numbers(20, 30_011), numbers(30_011, 40, seed=1), numbers(40, seed=2)

    def layer(x, y, b):
        return dlc.relu(x @ y + b)

    one = dlc.compile(layer, num_threads=1)(x, y, b).numpy()
    assert dlc.compile(layer, num_threads=threads)(x, y, b).numpy().tobytes() == one.tobytes()


@pytest.mark.parametrize("dtype", ["float64", "float16", ml_dtypes.bfloat16, "int32"], ids=str)
def test_every_type(dtype):
    x, y = (3 * numbers(4, 140_001, seed=k) for k in (0, 1))
    x, y = x.astype(dtype), y.T.astype(dtype)
    f = dlc.compile(lambda x, y: x @ y)
    text = f.lower(x, y).as_text("optimized")
    assert "reduce_sum" in text
    exact = x.astype("f8") @ y.astype("f8")
    found = f(x, y).numpy()
    assert found.dtype == x.dtype
    if found.dtype.kind == "i":
        assert np.array_equal(found, exact)
        return
    digits = {"float64": 1e-12, "float16": 2e-3}.get(str(dtype), 1e-2)
    np.testing.assert_allclose(found.astype("f8"), exact, rtol=digits, atol=digits * 2500)


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_parts_of_halves_are_read_where_they_lie(dtype):
    """Sums of parts are float32, and no copy at float32 is made of the operands."""
    n = 5 * 21_845
    lowered = dlc.compile(lambda x, y: x @ y).lower(f"{dtype}[4,{n}]", f"{dtype}[{n},4]")
    assert "reduce_sum" in lowered.as_text("optimized")
    kernels = lowered.as_text("kernels")
    assert kernels.count("kernel ") == 3  # the parts, their sum, and the rest
    assert kernels.count("*f32(y[") == 2


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3"])
def test_lower_levels(level):
    x, y = numbers(9, 70_001), numbers(70_001, 6, seed=1)
    with config.scope(isa=level):
        found = dlc.compile(lambda x, y: x @ y)(x, y).numpy()
    assert np.max(np.abs(found - x.astype("f8") @ y.astype("f8"))) < 2e-3


def test_special_values_and_constant_weights():
    x, y = numbers(2, 300_000), numbers(300_000, 3, seed=1)
    x[0, 299_999], x[1, 5] = np.inf, np.nan
    for f in (dlc.compile(lambda x, y: x @ y), dlc.compile(lambda x, _: x @ y)):
        found = f(x, y).numpy()
        assert np.array_equal(np.isinf(found[0]), [True] * 3)
        assert np.array_equal(np.sign(found[0]), np.sign(y[299_999]))
        assert np.isnan(found[1]).all()


def test_gradients_and_the_interpreter():
    x, y = numbers(3, 300_000), numbers(300_000, 5, seed=1)
    g = dlc.compile(dlc.grad(lambda y, x: dlc.sum((x @ y) ** 2), argnums=0))
    exact = 2 * x.T.astype("f8") @ (x.astype("f8") @ y.astype("f8"))
    np.testing.assert_allclose(g(y, x).numpy(), exact, rtol=1e-3, atol=2e-2)
    f = parse_function(product_text(3, 300_000, 5, "f64"))
    arrays = [x.astype("f8"), y.astype("f8")]
    (found,) = interpret(run_pipeline(f, (SplitProducts(),)), arrays)
    np.testing.assert_allclose(found, arrays[0] @ arrays[1], rtol=1e-9, atol=1e-9)
