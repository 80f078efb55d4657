"""Attention: its value, masks, grouped heads and gradients, against float64 in NumPy."""

import math

import numpy as np
import pytest

import dlc
from dlc.ir.build import IRBuilder
from dlc.ir.config import config
from dlc.ir.op import ANY_ROW
from dlc.ir.types import TensorType, float32
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of

RNG = np.random.default_rng(5)


def draw(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


def expected(q, k, v, mask=None, causal=False, scale=None):
    """The value at float64, by the definition."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        s = q @ np.swapaxes(k, -1, -2) * scale
        if mask is not None:
            s = np.where(mask, s, -np.inf) if mask.dtype == bool else s + mask
        if causal:
            s = np.where(np.arange(s.shape[-1]) <= np.arange(s.shape[-2])[:, None], s, -np.inf)
        if not s.shape[-1]:
            return s @ v
        top = s.max(-1, keepdims=True)
        e = np.exp(s - np.where(top == -np.inf, 0, top))
        total = e.sum(-1, keepdims=True)
        return e @ v / np.where(total == 0, 1, total)


def attend(q, k, v, mask=None, **settings):
    return dlc.scaled_dot_product_attention(q, k, v, mask, **settings)


def composed(q, k, v, mask=None, is_causal=False):
    """The same function as users write it out."""
    s = q @ dlc.matrix_transpose(k) / math.sqrt(q.shape[-1])
    if mask is not None:
        s = s + mask
    if is_causal:
        i, j = dlc.arange(s.shape[-2])[:, None], dlc.arange(s.shape[-1])
        s = dlc.where(j <= i, s, -dlc.inf)
    return dlc.softmax(s, axis=-1) @ v


# Leading axes, queries, keys, extents of a row of them and of values.
SHAPES = [
    ((), 5, 7, 4, 4),
    ((3,), 1, 1, 1, 1),
    ((2, 3), 33, 70, 8, 5),
    ((2, 3), 1, 130, 16, 16),
    ((1, 2), 100, 97, 70, 33),
    ((2, 1, 3), 17, 9, 3, 19),
    ((2, 2), 200, 203, 64, 64),
]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_value(shape, causal):
    lead, rows, keys, width, out = shape
    q, k, v = draw(*lead, rows, width), draw(*lead, keys, width), draw(*lead, keys, out)
    wanted = expected(q, k, v, causal=causal)
    got = attend(q, k, v, is_causal=causal)
    assert (got.shape, got.dtype) == (wanted.shape, dlc.float32)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-4, atol=3e-6)
    compiled = dlc.compile(lambda *x: attend(*x, is_causal=causal))(q, k, v)
    np.testing.assert_array_equal(compiled.numpy(), got.numpy())


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-13), ("float16", 2e-3), ("bfloat16", 2e-2)]
)
def test_other_dtypes(dtype, tolerance):
    made = [dlc.asarray(draw(2, 21, 8)).astype(getattr(dlc, dtype)) for _ in range(3)]
    got = attend(*made)
    assert got.dtype is made[0].dtype
    wanted = expected(*(x.astype(dlc.float64).numpy() for x in made))
    np.testing.assert_allclose(got.astype(dlc.float64).numpy(), wanted, tolerance, tolerance)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_are_converted_in_the_kernel(dtype):
    q, k, v = (dlc.asarray(draw(2, 4, n, 8)).astype(getattr(dlc, dtype)) for n in (9, 30, 30))
    mask = draw(9, 30)
    f = dlc.compile(lambda *x: attend(*x, mask, is_causal=True))
    got = f(q, k, v)
    wanted = expected(*(x.astype(dlc.float64).numpy() for x in (q, k, v)), mask, True)
    tolerance = 2e-3 if dtype == "float16" else 2e-2
    np.testing.assert_allclose(got.astype(dlc.float64).numpy(), wanted, tolerance, tolerance)
    kernels = f.lower(q, k, v).as_text("kernels")
    assert kernels.count("\nkernel ") + kernels.startswith("kernel ") == 1, kernels


def test_gradients_of_half_types():
    wide = [draw(2, n, 6) for n in (9, 12, 12)]
    half = [dlc.asarray(x).astype(dlc.float16) for x in wide]

    def loss(*x):
        return dlc.sum(dlc.sin(attend(*x).astype(dlc.float32)))

    for a, b in zip(
        dlc.grad(loss, (0, 1, 2))(*half), dlc.grad(loss, (0, 1, 2))(*wide), strict=True
    ):
        assert a.dtype is dlc.float16
        np.testing.assert_allclose(a.astype(dlc.float32).numpy(), b.numpy(), rtol=0.02, atol=5e-3)


def test_the_scale():
    q, k, v = (draw(2, 6, 4) for _ in range(3))
    wanted = expected(q, k, v, scale=2.0)
    np.testing.assert_allclose(attend(q, k, v, scale=2.0), wanted, 2e-5, 1e-6)


MASKS = [(6, 9), (1, 9), (6, 1), (4, 1, 1), (4, 6, 9), (2, 4, 6, 9), (2, 1, 1, 9), (1, 1)]


@pytest.mark.parametrize("kind", ["float", "bool"])
@pytest.mark.parametrize("shape", MASKS, ids=str)
def test_masks_broadcast(shape, kind):
    q, k, v = draw(2, 4, 6, 8), draw(2, 4, 9, 8), draw(2, 4, 9, 8)
    mask = draw(*shape)
    mask = mask > -0.5 if kind == "bool" else mask
    for causal in (False, True):
        got = attend(q, k, v, mask, is_causal=causal)
        wanted = expected(q, k, v, mask, causal)
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["float", "bool"])
def test_rows_without_keys_are_zero(kind):
    q, k, v = (draw(2, n, 4) for n in (5, 7, 7))
    mask = np.ones((5, 7), bool)
    mask[1], mask[3, 2:] = False, False
    mask = mask if kind == "bool" else np.where(mask, 0, -np.inf).astype(np.float32)
    got, gradients = dlc.value_and_grad(
        lambda *x: dlc.sum(attend(*x, mask) ** 2), argnums=(0, 1, 2)
    )(q, k, v)
    assert (attend(q, k, v, mask).numpy()[:, 1] == 0).all()
    np.testing.assert_allclose(got.numpy(), (expected(q, k, v, mask) ** 2).sum(), 1e-5)
    assert all(np.isfinite(g.numpy()).all() for g in gradients)
    assert (gradients[0].numpy()[:, 1] == 0).all()


def test_nothing_to_attend_to():
    q, k, v = draw(2, 3, 4), draw(2, 0, 4), draw(2, 0, 5)
    assert (attend(q, k, v).numpy() == np.zeros((2, 3, 5))).all()
    assert attend(q[:, :0], draw(2, 6, 4), draw(2, 6, 5)).shape == (2, 0, 5)
    assert attend(q[:0], k[:0], v[:0]).shape == (0, 3, 5)
    (dq,) = dlc.grad(lambda x: dlc.sum(attend(x, k, v)), argnums=(0,))(q)
    assert (dq.numpy() == 0).all()


def test_special_values_stay_in_their_rows():
    q, k, v = (draw(1, 20, 4) for _ in range(3))
    q[0, 3, 1], q[0, 5, 0] = np.nan, np.inf
    v[0, 19, 2] = np.nan
    got = attend(q, k, v, is_causal=True).numpy()
    np.testing.assert_allclose(got, expected(q, k, v, causal=True), rtol=1e-4, atol=1e-5)


def test_large_scores_do_not_overflow():
    q, k, v = (draw(1, 40, 4) for _ in range(3))
    got = attend(q * 300, k * 300, v).numpy()
    np.testing.assert_allclose(got, expected(q * 300, k * 300, v), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_grouped_heads(heads):
    q, k, v = draw(2, 6, 11, 8), draw(2, heads, 13, 8), draw(2, heads, 13, 5)
    mask = draw(2, 6, 11, 13)
    wide = [np.repeat(x, 6 // heads, axis=1) for x in (k, v)]
    for given in (None, mask, mask[:, :1]):
        got = attend(q, k, v, given, enable_gqa=True, is_causal=True)
        wanted = expected(q, *wide, given, True)
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-4, atol=1e-6)


def test_leading_axes_broadcast():
    q, k, v = draw(3, 1, 4, 5, 8), draw(2, 1, 6, 8), draw(6, 7)
    got = attend(q, k, v)
    assert got.shape == (3, 2, 4, 5, 7)
    np.testing.assert_allclose(got.numpy(), expected(q, k, v), rtol=1e-4, atol=1e-6)


CASES = [
    ((2, 3), 9, 12, None, False),
    ((2,), 12, 9, None, True),
    ((2, 2), 7, 8, (7, 8), True),
    ((2, 2), 7, 8, (2, 1, 1, 8), False),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients(case):
    lead, rows, keys, shape, causal = case
    q, k, v = (draw(*lead, n, 6, dtype=np.float64) for n in (rows, keys, keys))
    given = [q, k, v] if shape is None else [q, k, v, draw(*shape, dtype=np.float64)]
    w = draw(*lead, rows, 6, dtype=np.float64)
    wrt = tuple(range(len(given)))

    def loss(f):
        return lambda *x: dlc.sum(dlc.sin(f(*x, is_causal=causal)) * w)

    tangents = [draw(*x.shape, dtype=np.float64) for x in given]

    def derivatives(f):
        """The gradient, that of a function of it, and the derivative along the tangents."""

        def run(*x):
            along = dlc.jvp(loss(f), list(x), tangents)[1]
            return dlc.grad(loss(f), argnums=wrt)(*x), _second(loss(f))(*x), along

        return dlc.compile(run)

    ours = derivatives(attend)(*given)
    with config.scope(disable_jit=True):
        theirs = derivatives(composed)(*given)
    for a, b in zip(dlc.tree.leaves(ours), dlc.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-8, atol=1e-11)


def _second(f):
    """The gradient of a function of the gradient."""
    first = dlc.grad(f, argnums=(0, 1, 2))
    return dlc.grad(lambda *x: sum(dlc.sum(dlc.cos(g)) for g in first(*x)), argnums=(0, 1, 2))


@pytest.mark.parametrize("shape", [None, (7, 1100), (1, 1100), (2, 7, 1), (1, 1)], ids=str)
def test_gradients_by_parts_of_the_keys(shape):
    q, k, v = (draw(2, n, 6, dtype=np.float64) for n in (7, 1100, 1100))
    masks = [] if shape is None else [draw(*shape, dtype=np.float64)]

    def slopes(f):
        grad = dlc.grad(lambda *x: dlc.sum(dlc.sin(f(*x))), (0, 1, 2, *(3 for _ in masks)))
        return dlc.compile(grad, num_threads=3)

    ours = slopes(attend)
    assert "f64[2,2,550,6] = attention_grad_key" in ours.lower(q, k, v, *masks).as_text("optimized")
    with config.scope(disable_jit=True):
        theirs = slopes(composed)(q, k, v, *masks)
    for a, b in zip(ours(q, k, v, *masks), theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-8, atol=1e-11)


def test_gradients_of_groups_by_parts_of_the_keys():
    q, k, v = draw(4, 5, 6), draw(1, 1024, 6), draw(1, 1024, 6)
    mask = draw(4, 5, 1024) > -1.0

    def slopes(f, *operands, **settings):
        return dlc.grad(lambda *x: dlc.sum(f(*x, mask, **settings) ** 2), (0, 1, 2))(*operands)

    wide = [np.repeat(x, 4, axis=0) for x in (k, v)]
    dq, *others = slopes(attend, q, k, v, enable_gqa=True)
    same, *apart = slopes(attend, q, *wide)
    np.testing.assert_allclose(dq.numpy(), same.numpy(), rtol=1e-3, atol=1e-5)
    for a, b in zip(others, apart, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy().sum(0, keepdims=True), rtol=1e-3, atol=1e-5)


def test_gradients_of_grouped_heads():
    q, k, v = draw(2, 6, 11, 8), draw(2, 2, 13, 8), draw(2, 2, 13, 5)
    w = draw(2, 6, 11, 5)

    def repeated(q, k, v, **settings):
        return attend(q, *(dlc.repeat(x, 3, axis=1) for x in (k, v)), **settings)

    def grads(f, **settings):
        return dlc.grad(lambda *x: dlc.sum(f(*x, is_causal=True, **settings) * w), (0, 1, 2))

    pairs = zip(grads(attend, enable_gqa=True)(q, k, v), grads(repeated)(q, k, v), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


def test_backward_through_variables():
    x = dlc.Variable(draw(2, 5, 4), requires_grad=True)
    dlc.sum(attend(x, x, x) ** 2).backward()
    direct = dlc.grad(lambda x: dlc.sum(attend(x, x, x) ** 2))(x.data)
    np.testing.assert_allclose(x.grad.numpy(), direct.numpy(), rtol=1e-5)


def test_one_program_serves_many_lengths():
    f = dlc.compile(lambda q, k, v: attend(q, k, v, is_causal=True))
    for rows, keys in ((5, 7), (8, 7), (5, 30), (130, 257), (1, 1)):
        q, k, v = draw(2, rows, 8), draw(2, keys, 8), draw(2, keys, 8)
        got = f(q, k, v).numpy()
        np.testing.assert_allclose(got, expected(q, k, v, causal=True), rtol=1e-4, atol=1e-6)


def test_the_reference_device(tmp_path):
    q, k, v = draw(1, 2, 9, 4), draw(1, 2, 12, 4), draw(1, 2, 12, 4)
    with config.scope(device="reference", cache_dir=tmp_path):
        got = dlc.compile(lambda *x: attend(*x, is_causal=True))(q, k, v).numpy()
    np.testing.assert_allclose(got, expected(q, k, v, causal=True), rtol=1e-4, atol=1e-6)


def test_operands_that_do_not_fit():
    q, k, v = draw(2, 4, 5, 8), draw(2, 4, 7, 8), draw(2, 4, 7, 8)
    with pytest.raises(ValueError, match="8 elements a row, the key 7"):
        attend(q, k[..., :7], v)
    with pytest.raises(ValueError, match="7 keys and 6 values"):
        attend(q, k, v[:, :, :6])
    with pytest.raises(ValueError, match="does not broadcast to the scores"):
        attend(q, k, v, draw(5, 7)[None, None, None])
    with pytest.raises(ValueError, match="axis -1 has"):
        attend(q, k, v, draw(5, 6))
    with pytest.raises(TypeError, match="must be of floats or bools"):
        attend(q, k, v, np.ones((5, 7), np.int32))
    with pytest.raises(ValueError, match="heads must divide"):
        attend(q, k[:, :3], v[:, :3], enable_gqa=True)
    with pytest.raises(ValueError, match="at least two axes"):
        attend(q[0, 0, 0], k, v)


def test_a_backend_without_its_kernels_gets_simple_ops():
    b = IRBuilder()
    params = [b.param(TensorType(float32, (2, n, 4)), name) for n, name in ((5, "q"), (7, "k"))]
    out = b.attention(params[0], params[1], params[1], scale=0.5, causal=True)
    f = b.function("f", params, [out])
    for rows, stays in ((ANY_ROW, True), (4, True), (3, False), (0, False)):
        passes = pipeline_of("O2", own_kernels=rows)
        fused = run_pipeline(f, passes, verify=True)
        bodies = [n.attrs["body"] for n in fused.nodes if n.op.name == "fusion"]
        inner = [n.op.name for body in bodies for n in body.nodes]
        assert ("attention" in inner) is stays
