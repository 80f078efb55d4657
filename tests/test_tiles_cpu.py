"""Tile programs on the CPU against the reference interpreter: every level, cut in any way."""

import ctypes

import numpy as np
import pytest
from test_contraction_cpu import LEVELS, Guarded, at_end_of_page, level

from dlc.codegen.cpu.emit import module_text
from dlc.codegen.cpu.llvm import compile_module
from dlc.codegen.cpu.tiles import emit_tiles
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.kernel_verifier import verify_kernel
from dlc.codegen.reference.interpreter import run_kernel
from dlc.ir.dims import evaluate
from dlc.ir.types import bfloat16
from dlc.runtime.loader import load_blob

INPUTS = "q: {t}[H,T,{d}], k: {t}[H,S,{d}], v: {t}[H,S,{e}], c: {t}[H,T]"
# One product after another, with what is between them in rows of keys, then of queries.
BY_KEYS = """
kernel by_keys(INPUTS, out o: {t}[H,T,{e}], out n: {t}[H,T]):
 par h<H, i<T:16:
  for j<S:24 while #j*24 <= #i*16+40 carry m[i] = -inf_{t}; l[i] = 0.0{t}; a[i,e] e<{e} = 1.0{t}:
   s[j,i] = dot(d<{d}, k[h,j,d]*q[h,i,d])*0.25+c[h,i]
   next_m[i] = max(m[i], rmax(j, s[j,i]))
   p[j,i] = exp(s[j,i]-next_m[i])
   f[i] = exp(m[i]-next_m[i])
   next_l[i] = l[i]*f[i]+sum(j, p[j,i])
   next_a[i,e] e<{e} = a[i,e]*f[i]+dot(j, p[j,i]*v[h,j,e])
  o[h,i,e] e<{e} = a[i,e]/l[i]
  n[h,i] = m[i]+log(l[i])
"""
BY_QUERIES = """
kernel by_queries(INPUTS, out o: {t}[H,T,{e}], out n: {t}[H,T]):
 par h<H, i<T:16:
  for j<S:8 carry m[i] = -inf_{t}; l[i] = 0.0{t}; a[i,e] e<{e} = 0.0{t}:
   s[i,j] = select(j <= i, 0.5*dot(d<{d}, q[h,i,d]*k[h,j,d]), -2.0)
   next_m[i] = max(m[i], rmax(j, s[i,j]))
   p[i,j] = exp(s[i,j]-next_m[i])
   f[i] = exp(m[i]-next_m[i])
   next_l[i] = l[i]*f[i]+sum(j, p[i,j])
   next_a[i,e] e<{e} = a[i,e]*f[i]+dot(j, p[i,j]*v[h,j,e])
  o[h,i,e] e<{e} = a[i,e]/l[i]
  n[h,i] = m[i]+l[i]*c[h,i]
"""
ADDING = """
kernel adding(INPUTS, out o: {t}[H,S,{d}], out n: {t}[H,T]):
 par h<H:
  o[h,j,d] j<S, d<{d} = 0.0
  for i<T:32:
   w[i] = c[h,i]*2.0
   for j<S:16 carry b[i] = 0.5{t}:
    x[j,i] = dot(d<{d}, k[h,j,d]*q[h,i,d])-w[i]
    o[h,j,d] d<{d} += dot(i, x[j,i]*q[h,i,d])
    next_b[i] = b[i]+sum(j, x[j,i])
   n[h,i] = b[i]
"""
KERNELS = {"by keys": BY_KEYS, "by queries": BY_QUERIES, "adding": ADDING}
HALVES = {"f16": np.float16, "bf16": bfloat16.numpy}
SIZES = [
    (2, 40, 50, 16, 32),
    (1, 33, 7, 5, 19),
    (3, 1, 1, 1, 1),
    (2, 16, 24, 64, 16),
    (1, 5, 0, 3, 2),
]


class Compiled:
    """A tile program that can be called."""

    def __init__(self, kernel, isa):
        self.kernel, self.code = kernel, emit_tiles(kernel, isa)
        assert self.code is not None
        self.loaded = load_blob(compile_module(module_text(self.code.emitters), isa).blob())
        kinds = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        self.entry = ctypes.CFUNCTYPE(None, *kinds)(self.loaded.address(self.code.entry))

    def __call__(self, inputs, dims, cut):
        """The outputs, computed over ranges of `cut` units; guard bands are checked."""
        made = [
            inputs[p.name]
            if p.mode == "in"
            else Guarded([evaluate(d, dims) for d in p.dims], p.dtype.numpy)
            for p in self.kernel.params
        ]
        arrays = [x.array if isinstance(x, Guarded) else x for x in made]
        units = evaluate(self.code.units, dims)
        scratch = Guarded([evaluate(self.code.scratch, dims)], np.uint8)
        args = (ctypes.c_void_p * len(arrays))(*[x.ctypes.data for x in arrays])
        values = (ctypes.c_int64 * len(dims))(*[dims[d] for d in self.kernel.dims])
        for lo in range(0, units, cut):
            self.entry(
                ctypes.addressof(args),
                ctypes.addressof(values),
                lo,
                min(lo + cut, units),
                scratch.array.ctypes.data,
            )
        for x in (scratch, *(x for x in made if isinstance(x, Guarded))):
            x.check()
        return [x.array for x in made if isinstance(x, Guarded)]


def program(name, sizes, dtype):
    h, t, s, d, e = sizes
    text = KERNELS[name].replace("INPUTS", INPUTS)
    half = HALVES.get(dtype)
    if half is not None:
        text = text.replace(
            "{t}[H,T,{d}], k: {t}[H,S,{d}], v: {t}[H", "{h}[H,T,{d}], k: {h}[H,S,{d}], v: {h}[H"
        )
        for x in ("q[h,i,d]", "k[h,j,d]", "v[h,j,e]"):
            text = text.replace(x, f"f32({x})")
    kernel = parse_kernel(text.format(t="f32" if half else dtype, h=dtype, d=d, e=e))
    verify_kernel(kernel)
    assert parse_kernel(print_kernel(kernel)) == kernel
    rng = np.random.default_rng(1)
    numpy_type = np.float64 if dtype == "f64" else np.float32
    shapes = {"q": (h, t, d), "k": (h, s, d), "v": (h, s, e), "c": (h, t)}
    inputs = {n: rng.standard_normal(x).astype(numpy_type) for n, x in shapes.items()}
    if half is not None:
        inputs |= {n: inputs[n].astype(half) for n in "qkv"}
    return kernel, inputs, {"H": h, "T": t, "S": s}


@level
@pytest.mark.parametrize("dtype", ["f32", "f64", *HALVES])
@pytest.mark.parametrize("name", list(KERNELS))
def test_tile_programs(name, dtype, isa):
    for sizes in SIZES if dtype == "f32" else SIZES[:2]:
        kernel, inputs, dims = program(name, sizes, dtype)
        outs = {
            p.name: np.zeros([evaluate(d, dims) for d in p.dims], p.dtype.numpy)
            for p in kernel.params
            if p.mode == "out"
        }
        with np.errstate(all="ignore"):
            run_kernel(kernel, {**inputs, **outs}, dims)
        run = Compiled(kernel, isa)
        last = {n: at_end_of_page(x) if x.size else x for n, x in inputs.items()}
        whole = run(last, dims, 1 << 30)
        tolerance = 1e-11 if dtype == "f64" else 2e-4
        for got, wanted in zip(whole, outs.values(), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
        for got, one in zip(run(last, dims, 1), whole, strict=True):
            np.testing.assert_array_equal(got, one)


def test_what_is_no_tile_program():
    isa = LEVELS[0]
    for text in (
        "kernel a(x: f32[N], out o: f32[N]):\n par n<N:\n  o[n] = x[n]\n",
        # The old value of what is carried is read after the new one is made.
        """
kernel late(q: f32[T,8], k: f32[S,8], out o: f32[T]):
 par i<T:16:
  for j<S:16 carry m[i] = 0.0f32; b[i] = 0.0f32:
   s[j,i] = dot(d<8, k[j,d]*q[i,d])
   next_m[i] = sum(j, s[j,i])
   t[j,i] = dot(d<8, k[j,d]*q[i,d])
   next_b[i] = m[i]+sum(j, t[j,i])
  o[i] = m[i]+b[i]
""",
        # No load at an affine index.
        """
kernel mixed(q: f32[T,8], k: f32[S,8], out o: f32[T]):
 par i<T:16:
  for j<S:16 carry m[i] = 0.0f32:
   s[j,i] = dot(d<8, k[j,d]*q[i,d%4])
   next_m[i] = m[i]+sum(j, s[j,i])
  o[i] = m[i]
""",
    ):
        kernel = parse_kernel(text)
        verify_kernel(kernel)
        assert emit_tiles(kernel, isa) is None
