"""Kernels run by the reference interpreter, against NumPy at float64."""

from pathlib import Path

import numpy as np
import pytest

from dlc.codegen.kernel_names import canonical
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_verifier import verify_kernel
from dlc.codegen.reference import interpreter
from dlc.codegen.reference.interpreter import run_kernel
from dlc.codegen.reference.reductions import fold
from dlc.ir.errors import DTypeError, IndexRangeError, ShapeError, ValueRangeError
from dlc.ir.types import bfloat16, bool_, dtype_of, float16, float32, float64, int8, int64

KERNELS = Path(__file__).parent / "kernels"


def golden(name):
    return parse_kernel((KERNELS / f"{name}.kernel").read_text())


def run(kernel, arrays, *, orders=(None, 1, 2)):
    """The outputs of a kernel; they must be the same in every order and under canonical names."""
    kernel = parse_kernel(kernel) if isinstance(kernel, str) else kernel
    verify_kernel(kernel)
    dims = {}
    for p in kernel.params:
        for d, n in zip(p.dims, arrays[p.name].shape, strict=True):
            if str(d) in kernel.dims:
                dims[str(d)] = n
    results = []
    for seed in orders:
        own = {k: v.copy() for k, v in arrays.items()}
        run_kernel(kernel, own, dims, order_seed=seed)
        results.append({p.name: own[p.name] for p in kernel.params if p.mode != "in"})
    other = canonical(kernel)
    own = [arrays[p.name].copy() for p in kernel.params]
    named = {p.name: a for p, a in zip(other.params, own, strict=True)}
    run_kernel(other, named, {f"d{k}": dims[n] for k, n in enumerate(kernel.dims)})
    results.append({p.name: a for p, a in zip(kernel.params, own, strict=True) if p.mode != "in"})
    for result in results[1:]:
        for name, array in result.items():
            np.testing.assert_array_equal(array, results[0][name])
    return results[0]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(params=[1 << 20, 8], ids=["whole", "chunks"])
def chunk(request, monkeypatch):
    monkeypatch.setattr(interpreter, "_CHUNK", request.param)


@pytest.mark.parametrize("shape", [(1, 1), (5, 17), (3, 1), (1, 40)])
def test_softmax(rng, shape, chunk):
    x = rng.normal(size=shape) * 30
    o = run(golden("softmax"), {"x": x, "o": np.zeros(shape)})["o"]
    e = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(o, e / e.sum(1, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 150])
def test_batch_norm_partial(rng, rows, chunk):
    dy, x = rng.normal(size=(2, rows, 5))
    mu, rs = rng.normal(size=(2, 5))
    blocks = (rows + 63) // 64
    arrays = {"dy": dy, "x": x, "mu": mu, "rs": rs}
    arrays |= {n: np.zeros((blocks, 5)) for n in ("pb", "pg")}
    kernel = golden("batch_norm_partial")
    verify_kernel(kernel)
    got = run(kernel, arrays)
    cuts = [slice(64 * k, 64 * k + 64) for k in range(blocks)]
    g = dy * (x - mu) * rs
    np.testing.assert_allclose(got["pb"], [dy[c].sum(0) for c in cuts], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(got["pg"], [g[c].sum(0) for c in cuts], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [1, 4, 11])
def test_walks_through_open_blocks(rng, n, chunk):
    x, b = rng.normal(size=(3, n)).astype(np.float32), np.ones((3, (n + 3) // 4), np.float32)
    got = run(golden("walked_blocks"), {"x": x, "b": b, "o": np.zeros_like(x)})["o"]
    cuts = [x[:, k : k + 4].astype(np.float64).cumsum(1) + 1 for k in range(0, n, 4)]
    np.testing.assert_allclose(got, np.concatenate(cuts, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (6, 5), (7, 8)])
def test_convolution_with_stride_2(rng, h, w, chunk):
    x = rng.normal(size=(2, h, w, 3))
    weights, b = rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    ph, pw = (h + 1) // 2, (w + 1) // 2
    y = np.zeros((2, ph, pw, 4))
    got = run(golden("conv"), {"x": x, "w": weights, "b": b, "y": y})["y"]
    padded = np.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)))
    want = np.zeros_like(y)
    for r in range(3):
        for s in range(3):
            part = padded[:, r : r + 2 * ph : 2, s : s + 2 * pw : 2]
            want += part @ weights[r, s]
    np.testing.assert_allclose(got, np.maximum(want + b, 0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("t", [1, 8, 16, 37])
def test_causal_attention(rng, t, chunk):
    b, h, d = 2, 2, 5
    q, k, v = rng.normal(size=(3, b, h, t, d))
    arrays = {"q": q, "k": k, "v": v, "scale": np.array(d**-0.5)}
    got = run(golden("attention"), arrays | {"o": np.zeros_like(q), "lse": np.zeros((b, h, t))})
    s = np.where(np.tri(t, dtype=bool), np.einsum("bhid,bhjd->bhij", q, k) * d**-0.5, -np.inf)
    top = s.max(-1, keepdims=True)
    e = np.exp(s - top)
    total = e.sum(-1, keepdims=True)
    np.testing.assert_allclose(got["o"], e / total @ v, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(got["lse"], (top + np.log(total))[..., 0], rtol=1e-12)


def test_scatter_adds_in_order(rng, chunk):
    x = rng.normal(size=(6, 3)).astype(np.float32)
    u = rng.normal(size=(20, 3)).astype(np.float32)
    index = rng.integers(0, 6, 20)
    got = run(golden("scatter"), {"x": x, "index": index, "u": u, "y": np.zeros_like(x)})["y"]
    want = x.copy()
    np.add.at(want, index, u)
    np.testing.assert_array_equal(got, want)


def test_every_form(rng):
    n, m = 5, 3
    x = rng.normal(size=(n, 2)).astype(np.float16)
    k = np.array([255, 0, 255, 1, 2], np.uint8)
    y, z = np.zeros(n * m, np.float32), np.zeros((n, m), np.int64)
    arrays = {"x": x, "k": k, "y": y, "z": z}
    kernel = golden("every_form")
    run_kernel(kernel, arrays, {"N": n, "M": m})
    lines = np.full(n * m, np.nan, np.float32)
    products = x[:, 0].astype(np.float32) * x[:, 1].astype(np.float32)
    lines[0] = np.add.accumulate(products)[-1]
    np.testing.assert_array_equal(y, lines)
    bits = (-np.float32(np.nan)).view(np.int32) % 7 - 1
    position = int(np.argmin(-x.astype(np.float32)))
    assert set(z.ravel()) <= {
        max(b, 2) - (2 * m + n) + position for b in (bits, 0x7FC00000 % 7 - 1)
    }


@pytest.mark.parametrize("axes", ["i<N, j<M", "j<M, i<N"])
@pytest.mark.parametrize("kind", ["argmax", "argmin"])
def test_positions_of_several_axes(rng, axes, kind):
    x = rng.integers(0, 3, (4, 5)).astype(np.float32)
    x[2, 3] = np.nan
    text = f"kernel k(x: f32[N,M], out y: i64[]): y[] = {kind}({axes}, x[i,j])"
    got = run(text, {"x": x, "y": np.array(0)})["y"]
    ordered = x if axes.startswith("i") else x.T
    assert got == getattr(np, kind)(np.ascontiguousarray(ordered))


def test_bool_reductions_and_nested_ones():
    x = np.array([[True, False], [True, True], [False, False]])
    text = """kernel k(x: bool[N,M], out a: bool[N], out b: bool[N], out c: i64[]):
 par n<N:
  a[n] = any(m<M, x[n,m])
  b[n] = all(m<M, x[n,m])
 c[] = sum(n<N, prod(m<M, i64(x[n,m])+n))"""
    got = run(text, {"x": x, "a": np.zeros(3, bool), "b": np.zeros(3, bool), "c": np.array(0)})
    assert got["a"].tolist() == [True, True, False]
    assert got["b"].tolist() == [False, True, False]
    assert got["c"] == 1 * 0 + 2 * 2 + 2 * 2


@pytest.mark.parametrize(
    ("kind", "dtype", "identity"),
    [
        ("sum", float32, 0), ("prod", float64, 1),
        ("max", float16, -np.inf), ("min", bfloat16, np.inf), ("max", int8, -128),
        ("min", int8, 127), ("any", bool_, False), ("all", bool_, True), ("argmax", float32, 0),
    ],
)  # fmt: skip
def test_reductions_over_nothing(kind, dtype, identity):
    result = int64 if kind == "argmax" else dtype
    got = fold(kind, np.zeros((2, 0), dtype.numpy), result)
    assert got.dtype == result.numpy
    assert got.astype(np.float64).tolist() == [identity] * 2


def test_reductions_keep_nan_zeros_and_order():
    x = np.array([[1.0, np.nan, -1.0], [-0.0, 0.0, -0.0], [-0.0, -0.0, -0.0]])
    top, low = fold("max", x, float64), fold("min", x, float64)
    assert np.isnan(top[0])
    assert np.isnan(low[0])
    assert np.signbit(top[1:]).tolist() == [False, True]
    assert np.signbit(low[1:]).tolist() == [True, True]
    ordered = np.array([1e30, 1.0, -1e30, 1.0], np.float32)
    assert fold("sum", ordered, float32) == 1.0
    many = np.full(4096, 1.0, float16.numpy)
    assert fold("sum", many, float16) == 4096


def test_out_of_bounds_is_an_error_and_pad_is_not():
    x = np.arange(4.0)
    text = "kernel k(x: f64[N], out y: f64[N]): par n<N: y[n] = {}"
    with pytest.raises(IndexRangeError, match="index 4 of x"):
        run(text.format("x[n+1]"), {"x": x, "y": x})
    with pytest.raises(IndexRangeError, match="index -1 of x"):
        run(text.format("x[n-1]"), {"x": x, "y": x})
    got = run(text.format("pad(x[n-1], 7)+pad(x[n+9], 1)"), {"x": x, "y": x})["y"]
    assert got.tolist() == [8.0, 1.0, 2.0, 3.0]


def test_empty_extents():
    text = (
        "kernel k(x: f32[3,0], out y: f32[3], out z: f32[0]):\n par n<3: y[n] = sum(m<0, x[n,m])\n"
    )
    text += " par n<0: z[n] = x[0,n]"
    arrays = {"x": np.zeros((3, 0), "f4"), "y": np.ones(3, "f4"), "z": np.ones(0, "f4")}
    assert run(text, arrays)["y"].tolist() == [0, 0, 0]


def test_loops_stop_for_each_iteration_alone():
    text = """kernel k(x: i64[N], out y: i64[N]):
 par n<N:
  for t<100 while s[n] < x[n] carry s[n] = 1i64:
   next_s[n] = s[n]*2
  y[n] = s[n]"""
    kernel = parse_kernel(text)
    x = np.array([1, 3, 100, 5])
    assert run(kernel, {"x": x, "y": x})["y"].tolist() == [1, 4, 128, 8]


@pytest.mark.parametrize("short", ["f64", "f32", "f16", "bf16", "i8", "u64", "bool"])
def test_copies_of_every_kind(short):
    dtype = dtype_of(short)
    x = np.array([0, 1, 1], dtype.numpy)
    text = f"kernel k(x: {short}[N], out y: {short}[N]): par n<N: y[n] = x[N-1-n]"
    np.testing.assert_array_equal(run(text, {"x": x, "y": x})["y"], x[::-1])


def test_arguments_are_checked():
    kernel = golden("softmax")
    x = np.zeros((2, 3))
    with pytest.raises(ValueRangeError, match="dim N"):
        run_kernel(kernel, {"x": x, "o": x}, {"R": 2})
    with pytest.raises(ValueRangeError, match="parameter o"):
        run_kernel(kernel, {"x": x}, {"R": 2, "N": 3})
    with pytest.raises(ShapeError, match=r"x is \[2, 4\], got \[2, 3\]"):
        run_kernel(kernel, {"x": x, "o": x}, {"R": 2, "N": 4})
    with pytest.raises(DTypeError, match="x is f64, got float32"):
        run_kernel(kernel, {"x": x.astype("f4"), "o": x}, {"R": 2, "N": 3})
