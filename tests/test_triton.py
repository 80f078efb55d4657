"""The Triton backend without a GPU: run in Triton's interpreter, compiled for sm_80 and sm_90."""

import importlib.util
import re
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from op_cases import cases, fault, function_of, operands, special_operands
from programs import programs

from dlc.codegen.backend import Backend
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.program_builder import build_program
from dlc.codegen.reference.interpreter import run_kernel as run_reference
from dlc.codegen.triton.backend import TritonBackend
from dlc.codegen.triton.emit import emit_kernel
from dlc.codegen.triton.stored_code import GpuCode
from dlc.ir.build import IRBuilder
from dlc.ir.dims import evaluate
from dlc.ir.errors import BackendError, DeviceError
from dlc.ir.printer import print_function
from dlc.ir.types import TensorType, dtype_of
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of
from dlc.runtime.gpu.program import GpuProgram
from dlc.runtime.verification import verify_function

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)

from triton_harness import bound, built, device, fitting, launches_of, run_kernel

KERNELS = {
    "pointwise": "kernel pw(x: f32[N], out y: f32[N]): par n<N: y[n] = x[n]*x[n]+1.0",
    "exp": "kernel ex(x: f32[N], out y: f32[N]): par n<N: y[n] = exp(x[n])",
    "sort": "kernel so(x: f32[R,N], out v: f32[R,N], out q: i64[R,N]):\n par r<R:\n"
    "  s, p[k] k<N = sort_down(n<N, x[r,n])\n  v[r,k] k<N = s[k]\n  q[r,k] k<N = p[k]",
    "broadcast": "kernel bc(x: f32[N], b: f32[M], out y: f32[M,N]):\n"
    " par m<M, n<N: y[m,n] = x[n]+b[m]",
    "transpose": "kernel tr(x: f32[N,M], out y: f32[M,N]): par m<M, n<N: y[m,n] = x[n,m]",
    "softmax": "kernel sm(x: f32[R,N], out o: f32[R,N] may_alias(x)):\n par r<R:\n"
    "  m[r] = rmax(n<N, x[r,n])\n  e[n] n<N = exp(x[r,n]-m[r])\n  s[r] = sum(n<N, e[n])\n"
    "  o[r,n] n<N = e[n]/s[r]",
    "norm": "kernel ln(x: f32[R,N], g: f32[N], out o: f32[R,N], out v: f32[R]):\n par r<R:\n"
    "  u[r] = sum(n<N, x[r,n])/f32(dim(N))\n"
    "  w[r] = sum(n<N, (x[r,n]-u[r])*(x[r,n]-u[r]))/f32(dim(N))\n"
    "  o[r,n] n<N = (x[r,n]-u[r])*rsqrt(w[r]+1e-5)*g[n]\n  v[r] = w[r]",
    "columns": "kernel cs(x: f32[P,C], out y: f32[C]): par c<C: y[c] = sum(p<P, x[p,c])",
    "partial": "kernel pt(x: f32[P,C], out y: f32[floordiv(P+63,64),C]):\n"
    " par p<P:64, c<C: y[#p,c] = sum(p, x[p,c])",
    "long blocks": "kernel lb(x: f32[P], out y: f32[floordiv(P+4095,4096)]):\n"
    " par p<P:4096: y[#p] = sum(p, x[p])",
    "argmax": "kernel am(x: f32[M,N], out y: i64[M]): par m<M: y[m] = argmax(n<N, x[m,n])",
    "argmin of columns": "kernel an(x: i32[N,M], out y: i64[M]):\n"
    " par m<M: y[m] = argmin(n<N, x[n,m])",
    "argmax of both": "kernel ab(x: f32[M,N], out y: i64[1]):\n"
    " par a<1: y[a] = argmax(m<M, n<N, x[m,n])",
    "carried": "kernel ca(x: f32[N,M], out y: f32[N,M], out z: f32[N]):\n par n<N:\n"
    "  for m<M carry s[n] = 0f32: next_s[n] = s[n]+x[n,m]; y[n,m] = next_s[n]*2.0\n  z[n] = s[n]",
    "carried columns": "kernel cc(x: f32[M,N], out y: f32[M,N]):\n par n<N:\n"
    "  for m<M carry s[n] = 1f32; t[n] = x[0,n]:\n   next_s[n] = s[n]*x[m,n]\n"
    "   next_t[n] = s[n]\n   y[m,n] = t[n]+s[n]",
    "walked blocks": "kernel wb(x: f32[M,N], b: f32[M,floordiv(N+3,4)], out y: f32[M,N]):\n"
    " par m<M, n<N:4:\n  for n carry h[m] = b[m,#n]: next_h[m] = h[m]+x[m,n]; y[m,n] = next_h[m]",
    "any": "kernel ay(x: f32[M,N], out y: bool[M], out z: bool[M]):\n par m<M:\n"
    "  y[m] = any(n<N, x[m,n] > 1.0)\n  z[m] = all(n<N, x[m,n] > -9.0)",
    "nested": "kernel ns(x: f32[M,N], out y: f32[M]):\n"
    " par m<M: y[m] = sum(n<N, x[m,n]*sum(k<N, x[m,k]))",
    "gather": "kernel ga(x: f32[N,M], i: i64[M], out y: f32[M]): par m<M: y[m] = x[i[m],m]",
    "pad": "kernel pd(x: f32[N], out y: f32[N]): par n<N: y[n] = pad(x[n-2], 7.0)+pad(x[n+3], 5.0)",
    "scatter": "kernel sc(x: f32[V,C], i: i64[J], u: f32[J,C], out y: f32[V,C]):\n par c<C:\n"
    "  y[v,c] v<V = x[v,c]\n  for j<J:\n   y[i[j],c] += u[j,c]",
    "rows and columns": "kernel rc(x: f32[P,C], out o: f32[P,C],"
    " out s: f32[floordiv(P+31,32),C]):\n par n<floordiv(P+31,32):\n  s[n,c] c<C = 0.0\n"
    "  for q<32 while n*32+q < P:\n   m[q] = rmax(c<C, x[n*32+q,c])\n"
    "   o[n*32+q,c] c<C = x[n*32+q,c]-m[q]\n   s[n,c] c<C += x[n*32+q,c]*m[q]",
    "shift in place": "kernel sh(inout y: f32[N,C]):\n par c<C:\n  for n<N: y[n,c] = y[n,c]*2.0",
    "two nests": "kernel tn(x: f32[N], inout y: f32[N]):\n par n<N: y[n] = x[n]\n"
    " par n<N: y[n] = y[n]+x[N-1-n]",
    "dot": "kernel dt(a: f32[M,K], b: f32[K,N], c: f32[N], out y: f32[M,N]):\n par m<M, n<N:\n"
    "  s[m,n] = dot(k<K, a[m,k]*b[k,n])\n  y[m,n] = max(s[m,n]+c[n], 0.0)",
    "bf16 dot": "kernel db(a: bf16[M,K], b: bf16[K,N], out y: f32[M,N]):\n"
    " par m<M, n<N: y[m,n] = dot_f32(k<K, a[m,k]*b[k,n])",
    "bf16 dot in a step": "kernel ds(a: bf16[M,K], b: bf16[K,N],"
    " w: f32[M,N], p: f32[M,N], q: f32[M,N], out v: f32[M,N], out r: f32[M,N], out s: f32[M,N]):\n"
    " par m<M, n<N:\n"
    "  g[m,n] = dot_f32(k<K, a[m,k]*b[k,n])\n"
    "  r[m,n] = p[m,n]*0.9+g[m,n]*0.1\n"
    "  s[m,n] = q[m,n]*0.95+g[m,n]*g[m,n]*0.05\n"
    "  v[m,n] = w[m,n]-(p[m,n]*0.9+g[m,n]*0.1)/sqrt(abs(q[m,n]*0.95+g[m,n]*g[m,n]*0.05)+1.0)",
    "batched f16 dot": "kernel dh(a: f16[B,K,M], b: f16[B,N,K], out y: f16[B,M,N]):\n"
    " par e<B, m<M, n<N: y[e,m,n] = dot(k<K, a[e,k,m]*b[e,n,k])",
    "dot of a batch with its axes exchanged": "kernel de(a: f32[M,K], b: f32[B,K,N],"
    " out y: f32[B,M,N]):\n par m<M, e<B, n<N:\n"
    "  s[m,e,n] = dot(k<K, a[m,k]*b[e,k,n])\n  y[e,m,n] = max(s[m,e,n], 0.0)",
    "dot with rows for columns": "kernel dr(a: f32[K,M], b: f32[K,N], c: f32[M],"
    " out y: f32[N,M]):\n par m<M, n<N:\n"
    "  s[m,n] = dot(k<K, a[k,m]*b[k,n])\n  y[n,m] = s[m,n]+c[m]",
    "f64 dot": "kernel dd(a: f64[M,K], b: f64[K,N], out y: f64[M,N]):\n"
    " par m<M, n<N: y[m,n] = dot(k<K, a[m,k]*b[k,n])",
    "integer dot": "kernel di(a: i32[M,K], b: i32[K,N], out y: i32[M,N]):\n"
    " par m<M, n<N: y[m,n] = dot(k<K, a[m,k]*b[k,n])",
    "byte dot": "kernel bd(a: i8[M,K], b: i8[K,N], out y: i32[M,N]):\n"
    " par m<M, n<N: y[m,n] = dot(k<K, i32(a[m,k])*i32(b[k,n]))",
    "convolution": "kernel cv(x: f32[B,H,W,C], w: f32[3,3,C,K], out y: f32[B,H,W,K]):\n"
    " par n<B, p<H, q<W, o<K:\n"
    "  y[n,p,q,o] = dot(r<3, s<3, c<C, pad(x[n,p+r-1,q+s-1,c], 0.0)*w[r,s,c,o])",
}
SIZES = [
    dict(N=5, M=3, K=7, R=3, P=100, C=5, V=4, J=9, B=2, H=4, W=3),
    dict(N=160, M=48, K=33, R=9, P=64, C=130, V=3, J=4, B=1, H=5, W=4),
    dict(N=16, M=16, K=16, R=16, P=16, C=16, V=16, J=16, B=16, H=3, W=3),
    dict(N=1, M=1, K=1, R=1, P=1, C=1, V=1, J=1, B=1, H=1, W=1),
]
LONG = {"softmax", "norm", "argmax", "any"}


def arrays_for(kernel, dims):
    rng = np.random.default_rng(len(kernel.params))
    arrays = {}
    for p in kernel.params:
        shape = [evaluate(d, dims) for d in p.dims]
        if p.dtype.is_float:
            arrays[p.name] = rng.standard_normal(shape).astype(p.dtype.numpy)
        else:
            # Indices stay within every extent that they are used for.
            arrays[p.name] = rng.integers(0, min(dims["V"], dims["N"]), shape).astype(p.dtype.numpy)
    return arrays


def check(worker, kernel, dims, which):
    """Against the same kernel at float64, where there are floats."""
    dims = {n: dims[n] for n in kernel.dims}
    full = dict(SIZES[0]) | dims
    arrays = arrays_for(kernel, full)
    expected = {n: a.copy() for n, a in arrays.items()}
    run_reference(kernel, expected, dims)
    found = run_kernel(worker, kernel, arrays, dims, which)
    for p in kernel.params:
        a, b = found[p.name], expected[p.name]
        if p.mode == "in" or not p.dtype.is_float:
            assert np.array_equal(a, b), p.name
            continue
        # Sums in another order: each of n terms of about 1 is rounded once more.
        unit = float(np.finfo(np.float32 if p.dtype.bits < 64 else np.float64).eps)
        own = {"f16": 2.0**-10, "bf16": 2.0**-7}.get(p.dtype.short, 0.0)
        terms = max([*dims.values(), 8])
        error = np.abs(a.astype(np.float64) - b.astype(np.float64))
        size = np.maximum(np.abs(b.astype(np.float64)), 1.0)
        assert (error <= (4 * terms * unit + own) * size * terms**0.5).all(), (p.name, error.max())


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_in_every_variant(worker, name):
    kernel = parse_kernel(KERNELS[name])
    sizes = [*SIZES, dict(SIZES[0], N=1030, R=2, M=2), dict(SIZES[0], N=4100, R=1, M=1)]
    for dims in sizes if name in LONG else SIZES:
        own = {n: dims[n] for n in kernel.dims}
        count = max(len(fitting(launch, own)) for launch in emit_kernel(kernel))
        for which in range(count):
            check(worker, kernel, dims, which)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_long_sums_of_small_results_are_shared_out(worker, dtype):
    b = IRBuilder()
    kind = dtype_of(dtype)
    x, y = (b.param(TensorType(kind, s), n) for s, n in (((5, 4100), "x"), ((4100, 70), "y")))
    out = b.dot_general(x, y, lhs_batch=(), rhs_batch=(), lhs_contract=(1,), rhs_contract=(0,))
    program = built(b.function("f", [x, y], [out]))
    sources = [v.source for k in program.kernels for v in emit_kernel(k)[0].variants]
    assert len(program.kernels) > 1
    assert any("tl.dot" in s for s in sources)
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(t.shape).astype(kind.numpy) for t in (x, y)]
    found, again = (bound(worker, program, which).run(args)[0] for which in (0, 9))
    exact = np.matmul(*(a.astype(np.float64) for a in args))
    unit = 2.0**-8 if dtype == "bf16" else 1e-5
    np.testing.assert_allclose(found.astype(np.float64), exact, rtol=unit, atol=unit * 64)
    assert np.array_equal(found, bound(worker, program).run(args)[0])
    np.testing.assert_allclose(again.astype(np.float64), exact, rtol=unit, atol=unit * 64)


@pytest.mark.parametrize("chosen", ["x[i,j], y[i,j]", "y[i,j], x[i,j]"])
@pytest.mark.parametrize("dtype", ["f32", "bool"])
def test_what_stays_in_place_is_not_touched(worker, chosen, dtype):
    kernel = parse_kernel(
        f"kernel put(m: bool[N], x: {dtype}[N,M], y: {dtype}[N,M],"
        f" out o: {dtype}[N,M] may_alias(y)): par i<N, j<M: o[i,j] = select(m[i], {chosen})"
    )
    dims = {"N": 5, "M": 200}
    rng = np.random.default_rng(0)
    mask = np.array([True, False, True, False, False])
    x, y = (rng.standard_normal((5, 200)).astype("f4") for _ in range(2))
    x, y = (x, y) if dtype == "f32" else (x > 0, y > 0)
    expected = np.where(mask[:, None], *((x, y) if chosen[0] == "x" else (y, x)))
    for slots in ([0, 1, 2, 3], [0, 1, 2, 2]):  # apart, and in the memory of y
        launches = launches_of(kernel, slots, dims)
        assert "p_o.to(tl.int64) != p_y.to(tl.int64)" in launches[0][0]
        made = worker.run([mask, x, y, np.zeros_like(y)], launches)
        assert np.array_equal(made[slots[-1]], expected)


def test_blocks_of_products_come_in_groups(worker):
    kernel = parse_kernel(KERNELS["dot"])
    check(worker, kernel, dict(M=656, N=144, K=16), 0)  # 11 blocks of rows, in groups of 8
    source = emit_kernel(kernel)[0].variants[0].source
    assert "// (8 * " in source


def test_schedules_are_data_by_architecture():
    kernel = parse_kernel(KERNELS["bf16 dot"])
    large = {a: emit_kernel(kernel, a)[0].variants[1] for a in (80, 89, 90, 120)}
    assert "tl.zeros([128, 128]" in large[80].source
    assert large[80] == large[89]
    assert "tl.zeros([128, 256]" in large[90].source
    assert large[90] == large[120]
    step = parse_kernel(KERNELS["bf16 dot in a step"])  # whose matrices take registers too
    assert "tl.zeros([128, 64]" in emit_kernel(step, 90)[0].variants[1].source
    (launch,) = emit_kernel(kernel)
    small = dict(M=512, N=512, K=64)
    chosen = [launch.choose(d).entry for d in (small, small | {"M": 1 << 16}, small | {"N": 5})]
    assert chosen == ["db_0_small", "db_0_aligned", "db_0"]


def test_variants_that_nothing_leads_to_are_not_made():
    text = "kernel dc(a: bf16[64,64], b: bf16[64,64], out y: f32[64,64]):\n"
    text += " par m<64, n<64: y[m,n] = dot_f32(k<64, a[m,k]*b[k,n])"
    (launch,) = emit_kernel(parse_kernel(text))
    assert [v.entry for v in launch.variants] == ["dc_0_small"]
    (launch,) = emit_kernel(parse_kernel(text.replace("64", "4096")))
    assert [v.entry for v in launch.variants] == ["dc_0_aligned"]


@pytest.mark.parametrize("name", ["dot", "bf16 dot", "f64 dot"])
def test_special_values_stay_in_their_rows_and_columns(worker, name):
    kernel = parse_kernel(KERNELS[name])
    dims = {n: d for n, d in dict(M=5, N=6, K=7).items() if n in kernel.dims}
    arrays = arrays_for(kernel, dict(SIZES[0]) | dims)
    arrays["a"][1], arrays["a"][2, 3], arrays["b"][0, 4] = np.nan, np.inf, -np.inf
    expected = {n: a.copy() for n, a in arrays.items()}
    run_reference(kernel, expected, dims)
    found, true = run_kernel(worker, kernel, arrays, dims)["y"], expected["y"]
    assert np.isnan(true).any()
    assert not np.isnan(true).all()
    assert np.array_equal(np.isnan(found), np.isnan(true))
    assert np.array_equal(np.isinf(found), np.isinf(true))


@pytest.mark.parametrize("kind", ["max", "min"])
def test_position_of_an_extreme(worker, kind):
    kernel = parse_kernel(KERNELS["argmax"].replace("argmax", f"arg{kind}"))
    inf, nan = np.inf, np.nan
    rows = [
        [1, 3, 3, 2], [nan, 1, nan, 9], [1, 9, nan, nan], [inf] * 4, [-inf] * 4,
        [-0.0, 0.0, 0.0, 0.0],
    ]  # fmt: skip
    x = np.array(rows, np.float32)
    numpy = np.argmax if kind == "max" else np.argmin
    for which in range(3):
        arrays = {"x": x, "y": np.zeros(len(x), np.int64)}
        found = run_kernel(worker, kernel, arrays, dict(M=len(x), N=4), which)["y"]
        assert found.tolist() == numpy(x, 1).tolist()


def test_reductions_of_nothing(worker):
    text = "kernel z(x: f32[M,N], out s: f32[M], out p: f32[M], out m: f32[M], out a: i64[M]):\n"
    text += " par i<M:\n  s[i] = sum(n<N, x[i,n])\n  p[i] = prod(n<N, x[i,n])\n"
    text += "  m[i] = rmax(n<N, x[i,n])\n  a[i] = argmax(n<N, x[i,n])"
    kernel = parse_kernel(text)
    outs = {n: np.full(3, 9, np.float32) for n in "spm"}
    arrays = {"x": np.zeros((3, 0), np.float32), "a": np.full(3, 9), **outs}
    for which in range(3):
        found = run_kernel(worker, kernel, arrays, dict(M=3, N=0), which)
        values = [found[n][0] for n in "spma"]
        assert values == [0, 1, -np.inf, 0]


# What the host computes is no kernel.
ON_DEVICE = [c for c in cases() if c.op.family != "host"]


def table(which, worker):
    """What is wrong; the last variants are run where they are others than the first ones."""
    faults = []
    for case in ON_DEVICE:
        for make in (operands, special_operands):
            args = make(case)
            if args is None:
                continue
            program = built(function_of(case, args))
            run = bound(worker, program, which)
            if which and run.all_launches() == bound(worker, program).all_launches():
                continue
            (result,) = run.run(args)
            wrong = fault(case, args, result)
            if wrong is not None:
                faults.append(f"{case.id}: {wrong}")
    return faults


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 9], ids=["first", "last"])
def test_every_op(worker, which):
    assert len({c.op.family for c in ON_DEVICE}) > 8
    assert not table(which, worker)


FEW = settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("which", [0, 9], ids=["first", "last"])
def test_random_programs(worker, which):
    with device(worker, which) as kind:

        @FEW
        # Its harness makes one call after the other.
        @given(st.one_of(programs(control=False), programs(symbolic=True, control=False)))
        def agrees(function):
            report = verify_function(function, level="O2", device=kind)
            assert report.ok, f"{print_function(function)}\n{report}"

        agrees()


@pytest.mark.parametrize(
    ("body", "barriers"),
    [
        ("  for j<J:\n   y[i[j],c] += u[j,c]", 2),
        ("  for j<J:\n   y[i[j],c] = u[j,c]", 2),
        ("  y[v,c] v<V = 0f32\n  for j<J:\n   y[i[j],c] = u[j,c]", 4),
        ("  y[v,c] v<V = 0f32\n  y[0,c] = 1f32", 4),
        ("  y[v,c] v<V = 0f32", 0),
    ],
)
def test_threads_wait_where_elements_are_touched_again(worker, body, barriers):
    header = "kernel sc(i: i64[J], u: f32[J,C], inout y: f32[V,C]):\n par c<C:\n"
    kernel = parse_kernel(header + body)
    for launch in emit_kernel(kernel):
        for v in launch.variants:
            assert v.source.count("tl.debug_barrier()") == barriers
    for dims in SIZES:
        check(worker, kernel, dims, 0)


# What cannot be expressed


@pytest.mark.parametrize(
    ("text", "statement", "reason"),
    [
        (
            (
                "kernel k(x: f32[N,M], out z: f32[N]):\n par n<N:\n"
                "  for m<M while s[n] < 9.0 carry s[n] = 0f32: next_s[n] = s[n]+x[n,m]\n"
                "  z[n] = s[n]"
            ),
            "for m<M while",
            "early end",
        ),
        (
            "kernel k(x: f16[N], out z: f16[N]): par n<N: z[n] = x[n]+x[n]",
            "z[n] = x[n]+x[n]",
            "no scalar op add on f16",
        ),
        (
            (
                "kernel k(x: f32[R,N], out o: f32[R,N] may_alias(x)):\n par r<R:\n"
                "  t[n] n<N = x[r,n]*sum(k<N, x[r,k])\n  o[r,n] n<N = t[n]+t[N-1-n]"
            ),
            "o[r,n] n<N",
            "taken over",
        ),
        (
            (
                "kernel k(x: f32[R,N], out y: f32[R,N]):\n par r<R:\n"
                "  s, _[k] k<N = sort(n<N, x[r,n])\n  y[r,k] k<N = s[N-1-k]"
            ),
            "y[r,k] k<N",
            "can only be stored",
        ),
        (
            (
                "kernel k(inout x: f32[R,N]):\n par r<R:\n  t[n] n<N = x[r,n]+1.0\n"
                "  x[r,n] n<N = t[N-1-n]"
            ),
            "t[n] n<N",
            "overwritten",
        ),
    ],
)
def test_refusals_name_the_statement(text, statement, reason):
    with pytest.raises(BackendError) as caught:
        emit_kernel(parse_kernel(text))
    assert statement in str(caught.value)
    assert reason in str(caught.value)


# Compiled code

COMPILED = ["exp", "softmax", "norm", "columns", "partial", "argmax", "gather", "scatter", "dot"]
COMPILED += ["bf16 dot", "bf16 dot in a step", "byte dot", "f64 dot", "transpose", "nested", "sort"]


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("name", COMPILED)
def test_code_has_no_spills_and_rounds_exactly(name, arch):
    from dlc.codegen.triton.compile import resources

    for variants in TritonBackend(arch).binaries(parse_kernel(KERNELS[name])):
        for binary in variants:
            used = resources(binary.cubin)
            assert used["STACK"] == used["LOCAL"] == 0, binary.entry
            assert used["REG"] <= (255 if "dot" in name else 128), binary.entry
            ptx = binary.texts["ptx"]
            assert not re.search(r"\.(approx|full|ftz)\b", ptx), binary.entry
            assert "tf32" not in ptx
            assert ".extern" not in ptx.replace(".extern .shared", "")


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_tf32_is_for_those_who_ask(arch):
    from dlc.codegen.triton.compile import resources

    kernel = parse_kernel(KERNELS["dot"])
    for binary in TritonBackend(arch, "fast").binaries(kernel)[0]:
        assert "tf32" in binary.texts["ptx"]
        assert resources(binary.cubin)["STACK"] == 0
    exact, fast = (TritonBackend(arch, p) for p in ("exact", "fast"))
    assert exact.key_entries() != fast.key_entries()
    assert "tf32" not in exact.text([kernel], "triton")


def test_subnormals_are_not_flushed():
    kernel = parse_kernel(
        "kernel fl(x: f32[N], out y: f32[N], out z: f32[N], out w: f32[N]):\n par n<N:\n"
        "  y[n] = floor(x[n])+ceil(x[n])\n  z[n] = trunc(x[n])+rint(x[n])\n"
        "  w[n] = floordiv(x[n], 3f32)+mod(x[n], 3f32)"
    )
    for arch in ("sm_80", "sm_90"):
        for binary in TritonBackend(arch).binaries(kernel)[0]:
            assert not re.search(r"\.(approx|full|ftz)\b", binary.texts["ptx"])


def first_ptx(name, arch):
    return TritonBackend(arch).binaries(parse_kernel(KERNELS[name]))[0][0].texts["ptx"]


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_instructions_that_matter(arch):
    assert re.search(r"ld\.global\.v4", first_ptx("pointwise", arch))
    assert re.search(r"st\.global\.v4", first_ptx("pointwise", arch))
    assert "fma.rn" not in first_ptx("pointwise", arch)
    product = first_ptx("bf16 dot", arch)
    assert ("wgmma" if arch == "sm_90" else "mma.sync") in product


def test_scalar_ops_compile():
    """Every op at every type goes through Triton's compiler, not only its interpreter."""
    lines, params = [], []
    for k, t in enumerate(["f32", "f64"]):
        body = "x[n]%y[n]+floordiv(x[n],y[n])+rint(x[n])*trunc(y[n])+sqrt(abs(x[n]))/-y[n]"
        body = body.replace("x[n]", f"x{k}[n]").replace("y[n]", f"y{k}[n]")
        body = f"max(min({body}, x{k}[n]), fma(x{k}[n], ldexp(y{k}[n], x{k}[n]), ceil(y{k}[n])))"
        lines.append(
            f"  o{k}[n] = {body}+f64(bf16({body})) " if t == "f64" else f"  o{k}[n] = {body}"
        )
        params.append(f"x{k}: {t}[N], y{k}: {t}[N], out o{k}: {t}[N]")
    for t in ["i8", "i64", "u32", "u64"]:
        lines.append(
            f"  o{t}[n] = shl(a{t}[n], b{t}[n])%b{t}[n]+shr(a{t}[n]/b{t}[n], b{t}[n])"
            f"+{t}(x0[n])-max(not(a{t}[n]), b{t}[n])"
        )
        params.append(f"a{t}: {t}[N], b{t}: {t}[N], out o{t}: {t}[N]")
    lines.append("  oh[n] = bf16(ai64[n])")
    params.append("out oh: bf16[N]")
    kernel = parse_kernel(f"kernel every({', '.join(params)}):\n par n<N:\n" + "\n".join(lines))
    assert TritonBackend("sm_80").compile([kernel])


def test_backend_is_one():
    backend: Backend = TritonBackend()
    assert backend.name == "cuda"
    labels = dict(backend.key_entries())
    assert labels["arch"] == "sm_90"
    assert set(labels) == {"arch", "products", "triton"}
    with pytest.raises(BackendError):
        TritonBackend("x86")


def test_triton_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    backend = TritonBackend()
    with pytest.raises(BackendError, match="Triton cannot be imported") as caught:
        backend.compile([parse_kernel(KERNELS["pointwise"])])
    assert "pip install" in str(caught.value)
    assert "tl.store" in backend.text([parse_kernel(KERNELS["pointwise"])], "triton")


def test_programs_are_loaded_before_there_is_a_gpu():
    case = next(c for c in cases() if c.op.name == "add")
    function = function_of(case, operands(case))
    program = build_program(run_pipeline(function, pipeline_of("O2")))
    loaded = GpuProgram("", program, TritonBackend().compile(program.kernels))
    assert [c.arch for c in loaded.codes.values()] == ["sm_90"]
    with pytest.raises(DeviceError, match="no NVIDIA driver|cuda-bindings"):
        loaded.bind({})


def test_stored_code():
    kernel = parse_kernel(KERNELS["softmax"])
    (stored,) = TritonBackend().compile([kernel])
    code = GpuCode.from_bytes(stored)
    assert code.to_bytes() == stored
    assert [n for n, _ in code.arguments] == ["p_x", "p_o", "dim_R", "dim_N"]
    (variants,) = code.launches
    chosen = {n: next(v for v in variants if v.fits(dict(R=4, N=n))).entry for n in (9, 999, 9999)}
    assert chosen == {9: "sm_0_short", 999: "sm_0_held", 9999: "sm_0"}
    assert evaluate(variants[0].grid, dict(R=20, N=9)) == 3
    assert all(v.cubin[:4] == b"\x7fELF" and b".target sm_90" in v.ptx for v in variants)
    for broken in (b"", b"{}\n", stored[:-1], stored + b"x", b"\xff" + stored):
        with pytest.raises(BackendError):
            GpuCode.from_bytes(broken)


def test_texts():
    kernel = parse_kernel(KERNELS["softmax"])
    backend = TritonBackend()
    source = backend.text([kernel], "triton")
    assert "# s[r] = sum(n<N, e[n])" in source
    assert source.count("@triton.jit\ndef sm_0") == 3
    assert "tt.func" in backend.text([kernel], "ttir")
    assert ".visible .entry sm_0" in backend.text([kernel], "ptx")
    assert "EXIT" in backend.text([kernel], "sass")
    heading, *rows = backend.text([kernel], "resources").split("\n")
    assert heading.split() == ["registers", "stack", "shared", "scratch"]
    assert [r.split()[0] for r in rows] == ["sm_0_short", "sm_0_held", "sm_0"]


def test_a_kernel_that_writes_nothing_has_no_code():
    text = "kernel k(x: f32[R,N], out v: f32[R,0]):\n par r<R:\n"
    text += "  s, _[k] k<0 = sort(n<N, x[r,n])\n  v[r,k] k<0 = s[k]"
    (stored,) = TritonBackend().compile([parse_kernel(text)])
    assert GpuCode.from_bytes(stored).launches == ()


def test_source_is_the_same_in_every_process():
    kernel = parse_kernel(KERNELS["norm"])
    first = TritonBackend().text([kernel], "triton")
    assert first == TritonBackend().text([parse_kernel(KERNELS["norm"])], "triton")


def test_dtypes_of_pointers():
    from dlc.codegen.triton.scalars import literal, pointer_type

    assert pointer_type(dtype_of("bool")) == "*u8"
    assert "bitcast" in literal(-0.0, dtype_of("float32"))
