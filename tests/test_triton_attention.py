"""Attention as Triton kernels: against NumPy at float64, and as machine code."""

import importlib.util
import itertools
import math
import re

import numpy as np
import pytest

from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.triton.backend import TritonBackend
from dlc.codegen.triton.code import signature_of
from dlc.codegen.triton.emit import emit_kernel
from dlc.codegen.triton.walk_facts import WIDEST
from dlc.ir.build import IRBuilder
from dlc.ir.dims import evaluate, symbol
from dlc.ir.errors import BackendError
from dlc.ir.types import TensorType, dtype_of, float32
from dlc.runtime.device import find_device

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)

from triton_harness import bound, built

GRADIENTS = ("attention_grad_query", "attention_grad_key", "attention_grad_value")


def exact(q, k, v, mask=None, causal=False, scale=0.3):
    """The scores, what sums of exponentials are divided into, and the logarithms, at float64."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    if q.ndim > k.ndim:
        k, v = k[..., None, :, :], v[..., None, :, :]
    s = q @ np.swapaxes(k, -1, -2) * scale
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == bool else s + mask
    if causal:
        s = np.where(np.arange(s.shape[-1]) <= np.arange(s.shape[-2])[:, None], s, -np.inf)
    with np.errstate(divide="ignore"):
        top = s.max(-1, keepdims=True)
        top = np.where(top == -np.inf, 0, top)
        lse = np.log(np.exp(s - top).sum(-1, keepdims=True)) + top
    p = np.exp(s - np.where(lse == -np.inf, 0, lse))
    return p, p @ v, lse[..., 0]


def exact_gradients(q, k, v, lse, ct, delta, mask=None, causal=False, scale=0.3):
    """The cotangents of queries, keys and values, at float64."""
    p, _, _ = exact(q, k, v, mask, causal, scale)
    group = q.ndim > k.ndim
    q, k, v, ct = (np.asarray(x, np.float64) for x in (q, k, v, ct))
    if group:
        k, v = k[..., None, :, :], v[..., None, :, :]
    ds = p * (ct @ np.swapaxes(v, -1, -2) - delta[..., None]) * scale
    dk, dv = np.swapaxes(ds, -1, -2) @ q, np.swapaxes(p, -1, -2) @ ct
    return ds @ k, dk.sum(-3) if group else dk, dv.sum(-3) if group else dv


def draw(*shape, dtype="f32"):
    values = np.random.default_rng(sum(shape)).standard_normal(shape)
    return values.astype(dtype_of(dtype).numpy)


def operands(lead, group, t, s, d, e, dtype="f32"):
    return [draw(*lead, *group, t, d, dtype=dtype), draw(*lead, s, d, dtype=dtype),
            draw(*lead, s, e, dtype=dtype)]  # fmt: skip


def function_of(rows, args, causal, scale=0.3):
    """A function of several rows of the attention family on the same operands."""
    b = IRBuilder()
    params = [b.param(TensorType(dtype_of(a.dtype), a.shape), f"x{n}") for n, a in enumerate(args)]
    results = [getattr(b, r)(*params, scale=scale, causal=causal) for r in rows]
    return b.function("f", params, results)


def run(worker, rows, args, causal, which=0):
    program = built(function_of(rows, args, causal))
    assert len(program.kernels) == 1
    return bound(worker, program, which).run(args)


def close(found, wanted, dtype):
    """Within the rounding of the result, and of sums of terms of about one."""
    own = {"f64": 1e-14, "f32": 4e-6, "f16": 2.0**-10, "bf16": 2.0**-8}[dtype]
    found = np.asarray(found, np.float64)
    np.testing.assert_allclose(found, wanted, rtol=own, atol=own * np.abs(wanted).max() / 2)


# Leading axes, group, queries, keys, extents of rows.
SHAPES = [
    ((2,), (), 150, 290, 16, 16, "f32", True),
    ((1, 2), (), 5, 140, 33, 7, "f32", False),
    ((2,), (3,), 40, 33, 64, 64, "f32", True),
    ((), (), 1, 1, 1, 1, "f32", False),
    ((2,), (), 140, 270, 64, 64, "bf16", True),
    ((2,), (2,), 20, 70, 70, 128, "f16", False),
    ((2,), (), 33, 40, 20, 24, "f64", True),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values(worker, shape):
    *sizes, dtype, causal = shape
    args = operands(*sizes, dtype=dtype)
    _, wanted, lse = exact(*args, causal=causal)
    for which in (0, 9):
        found, sums = run(worker, ("attention", "attention_lse"), args, causal, which)
        close(found, wanted, dtype)
        close(sums, lse, "f32" if dtype != "f64" else dtype)


@pytest.mark.parametrize("kind", ["added", "chosen", "repeated"])
def test_masks(worker, kind):
    args = operands((2,), (), 37, 150, 16, 8)
    mask = draw(2, 37, 150)
    mask = {"added": mask, "chosen": mask > 0.5, "repeated": mask[:1, :1] > 0}[kind]
    if kind == "chosen":
        mask[0, 3] = False  # a row without keys
    (found,) = run(worker, ("attention",), [*args, mask], causal=kind == "added")
    _, wanted, _ = exact(*args, mask, causal=kind == "added")
    close(found, wanted, "f32")
    if kind == "chosen":
        assert not found[0, 3].any()


def test_large_scores_and_special_values(worker):
    q, k, v = operands((2,), (), 20, 40, 8, 8)
    q[0] *= 1e4  # far below zero for all keys of a block, or above
    (found,) = run(worker, ("attention",), [q, k, v], causal=False)
    _, wanted, _ = exact(q, k, v)
    np.testing.assert_allclose(found, wanted, rtol=0.02, atol=1e-3)
    q[1, 2], v[0, 5, 3] = np.nan, np.inf
    (found,) = run(worker, ("attention",), [q, k, v], causal=True)
    assert np.isnan(found[1, 2]).all()
    assert not np.isnan(found[1, 3]).any()
    assert not np.isfinite(found[0, 5:, 3]).all()
    assert np.isfinite(np.delete(found[0], 3, axis=-1)).all()


def gradient_operands(shape, mask=None):
    """The operands of gradients, of which the sums and logarithms are no half types."""
    *sizes, dtype, causal = shape
    args = operands(*sizes, dtype=dtype)
    _, out, lse = exact(*args, mask, causal)
    ct = draw(*out.shape, dtype=dtype)
    wide = np.float64 if dtype == "f64" else np.float32
    return [*args, lse.astype(wide), ct, (out * ct.astype(np.float64)).sum(-1).astype(wide)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients(worker, shape, masked):
    *sizes, dtype, causal = shape
    lead, group, t, s = sizes[:4]
    wide = "f64" if dtype == "f64" else "f32"
    mask = draw(*lead, *group, t, s, dtype=wide) if masked else None
    given = gradient_operands(shape, mask)
    wanted = exact_gradients(*given, mask, causal)
    for which in (0, 9):
        found = run(worker, GRADIENTS, [*given, *([mask] if masked else [])], causal, which)
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == dtype_of(wide).numpy
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.parametrize("size", [2.0**-13, 2.0**12])
def test_gradients_beyond_the_range_of_a_half_type(worker, dtype, size):
    """Cotangents of scores that float16 does not hold, in rows of very different sizes."""
    q, k, v, lse, ct, _ = gradient_operands(((1,), (), 70, 90, 16, 16, dtype, True))
    rows = np.where(np.arange(70) % 3 == 0, size, 1.0)[:, None]
    v = v * v.dtype.type(32 if size > 1 else 1)
    given = [q, k, v, lse, (ct * rows).astype(ct.dtype), np.zeros_like(lse)]
    wanted = exact_gradients(*given, causal=True)
    for a, b in zip(run(worker, GRADIENTS, given, True), wanted, strict=True):
        assert (np.abs(a - b) <= 2e-4 * np.abs(b) + 2e-5 * np.abs(b).max(-1, keepdims=True)).all()


def test_infinite_cotangents_of_half_types(worker):
    given = gradient_operands(((1,), (), 20, 20, 16, 16, "f16", True))
    given[4][0, 7, 2], given[4][0, 9, 3] = np.inf, np.nan
    dq, dk, dv = run(worker, GRADIENTS, given, True)
    assert not np.isfinite(dv[0, :8, 2]).any()
    assert np.isnan(dv[0, :10, 3]).all()
    assert np.isfinite(np.delete(dv[0], [2, 3], axis=-1)).all()
    assert not np.isfinite(dq[0, [7, 9]]).any()
    assert np.isfinite(np.delete(dq[0], [7, 9], axis=0)).all()
    assert not np.isfinite(dk[0, :8]).any()


def test_each_gradient_alone(worker):
    args = operands((2,), (2,), 20, 35, 8, 5)
    _, out, lse = exact(*args, causal=True)
    ct = draw(*out.shape)
    given = [*args, lse.astype(np.float32), ct, (out * ct).sum(-1).astype(np.float32)]
    wanted = exact_gradients(*given, causal=True)
    for row, expected in zip(GRADIENTS, wanted, strict=True):
        (found,) = run(worker, (row,), given, True)
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


def kernel_of(rows, args, causal):
    (kernel,) = built(function_of(rows, args, causal)).kernels
    return kernel


def test_gradients_are_two_launches_without_atomics():
    args = operands((2,), (), 99, 99, 64, 64)
    rest = [draw(2, 99), draw(2, 99, 64), draw(2, 99)]
    kernel = kernel_of(GRADIENTS, [*args, *rest], True)
    queries, keys = emit_kernel(kernel)
    for launch in (queries, keys):
        assert [v.entry[-6:] == "_short" for v in launch.variants] == [True, False]
        assert "atomic" not in launch.variants[-1].source
    # Blocks beyond the diagonal are not read.
    assert "tl.minimum(dim_d1, v" in queries.variants[-1].source
    assert re.search(r"range\(v\d+ // 32 \* 32, dim_d1, 32\)", keys.variants[-1].source)


def test_operands_that_stay_are_read_before_the_loop():
    kernel = kernel_of(("attention",), operands((2,), (), 99, 99, 64, 64), True)
    source = emit_kernel(kernel)[0].variants[-1].source
    before, _, loop = source.partition("    for i")
    assert before.count("tl.load(") == 1
    assert loop.count("tl.load(") == 2
    assert loop.count("tl.dot(") == 2


def test_one_part_of_a_half_type_where_that_is_asked_for():
    kernel = kernel_of(("attention",), operands((2,), (), 99, 99, 64, 64, dtype="bf16"), True)
    exact, fast = (
        emit_kernel(kernel, fast=fast)[0].variants[-1].source.count("tl.dot(") for fast in (0, 1)
    )
    assert (exact, fast) == (3, 2)
    kernel = kernel_of(GRADIENTS, gradient_operands(((2,), (), 99, 99, 64, 64, "f16", True)), True)
    counts = [
        [x.variants[-1].source.count("tl.dot(") for x in emit_kernel(kernel, fast=fast)]
        for fast in (False, True)
    ]
    assert counts == [[4, 6], [3, 4]]


@pytest.mark.parametrize(
    ("arch", "what"),
    [
        *itertools.product(["sm_80", "sm_90"], ["bf16", "f32 gradient"]),
        ("sm_80", "bf16 gradient"),
        ("sm_90", "f16 gradient"),
    ],
)
def test_machine_code(arch, what):
    from dlc.codegen.triton.compile import compile_variant, resources

    dtype, _, gradient = what.partition(" ")
    given = gradient_operands(((2, 2), (), 99, 99, 64, 64, dtype, True))
    if gradient:
        kernel = kernel_of(GRADIENTS, given, True)
    else:
        kernel = kernel_of(("attention", "attention_lse"), given[:3], True)
    for launch in TritonBackend(arch).emit(kernel):
        code = compile_variant(launch.variants[-1], signature_of(kernel), arch)
        used, ptx = resources(code.cubin), code.texts["ptx"]
        assert used["STACK"] == used["LOCAL"] == 0
        assert code.shared <= (163 if arch == "sm_80" else 227) * 1024
        assert not re.search(r"\.(approx|full|ftz)\b", ptx)
        assert "tf32" not in ptx
        if dtype != "f32":  # products of tensor cores alone, of the half type
            products = re.findall(r"(?:wgmma\.mma_async|mma)\.sync\S*", ptx)
            assert products
            assert all(f".{dtype}.{dtype}" in p for p in products)
            assert products[0].startswith("wgmma" if arch == "sm_90" else "mma")


def test_exponentials_of_the_gpu_where_that_is_asked_for(worker):
    from dlc.codegen.triton.compile import compile_variant

    args = operands((2,), (), 40, 60, 64, 64, dtype="bf16")
    kernel = kernel_of(("attention",), args, True)
    (launch,) = emit_kernel(kernel, fast=True)
    variant = launch.variants[-1]
    ptx = compile_variant(variant, signature_of(kernel), "sm_90").texts["ptx"]
    assert "ex2.approx" in ptx
    dims = dict(zip(kernel.dims, (2, 40, 60), strict=True))
    given = [*args, np.zeros((2, 40, 64), args[0].dtype)]
    work = (variant.source, variant.entry, evaluate(variant.grid, dims), range(4), [2, 40, 60])
    *_, found = worker.run(given, [work])
    wanted = exact(*args, causal=True)[1]
    assert np.abs(found.astype(float) - wanted).max() <= 2.0**-6 * np.abs(wanted).max()


def test_rows_that_are_too_long_or_not_known_are_simple_ops(worker):
    args = operands((1,), (), 5, 9, WIDEST + 1, 3)
    program = built(function_of(("attention",), args, False))
    assert len(program.kernels) > 1
    (found,) = bound(worker, program).run(args)
    close(found, exact(*args)[1], "f32")
    b = IRBuilder()
    params = [b.param(TensorType(float32, (7, symbol("D"))), n) for n in "qkv"]
    out = b.attention(*params, scale=math.pi, causal=False)
    assert len(built(b.function("f", params, [out])).kernels) > 1
    assert find_device("cuda").own_kernels == WIDEST


def test_what_cannot_be_a_walk_is_refused():
    text = """kernel k(x: f32[T,D], y: f32[S,D], out o: f32[T]):
 par i<T:32:
  for j<S:32 carry l[i] = 0.0f32:
   s[j,i] = dot(d<D, y[j,d]*x[i,d])
   next_l[i] = l[i]+sum(j, s[j,i])
  o[i] = l[i]
"""
    with pytest.raises(BackendError, match="rows of D elements"):
        emit_kernel(parse_kernel(text))
    stored = text.replace("[T,D]", "[T,8]").replace("[S,D]", "[S,8]").replace("d<D", "d<8")
    emit_kernel(parse_kernel(stored))
    stored = stored.replace("   next_l", "   o[i] = l[i]\n   next_l")
    with pytest.raises(BackendError, match="a store in a loop"):
        emit_kernel(parse_kernel(stored))
