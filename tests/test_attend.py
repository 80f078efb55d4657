"""Attention that programs write out becomes the op, with its meaning, and nothing else does."""

import math

import numpy as np
import pytest

import dlc
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.passes import attention_ops
from dlc.passes.attend import Attend
from dlc.passes.attention_ops import with_attention
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of

RNG = np.random.default_rng(3)
B, H, T, S, D, E = 2, 4, 5, 7, 3, 6
LOW = -40.0  # to be added: it hides a key, and leaves the scores of a row their digits


def draw(*shape):
    return RNG.standard_normal(shape)


def seen(*shape):
    """A mask that leaves some rows without a key."""
    mask = RNG.random(shape) < 0.6
    if shape[-2] > 1:
        mask[..., 0, :] = False
    else:
        mask[0] = False
    return mask


def finite(mask):
    return np.where(mask, 0.0, LOW)


def infinite(mask):
    return np.where(mask, 0.0, -np.inf)


def by_hand(s):
    e = dlc.exp(s - dlc.max(s, axis=-1, keepdims=True))
    return e / dlc.sum(e, axis=-1, keepdims=True)


def by_reciprocal(s):
    e = dlc.exp(s - dlc.max(s, axis=-1, keepdims=True))
    return (1.0 / dlc.sum(e, axis=-1, keepdims=True)) * e


def guarded(s):
    blind = dlc.logical_not(dlc.any(s != -math.inf, axis=-1, keepdims=True))
    return dlc.where(blind, 0.0, dlc.softmax(s))


def folded(q, k, v, mask):
    q, k, v = (dlc.reshape(x, (B * H, *x.shape[2:])) for x in (q, k, v))
    s = dlc.reshape(q @ k.mT, (B, H, T, S)) * 0.25 + mask
    p = dlc.reshape(dlc.softmax(s), (B * H, T, S))
    return dlc.reshape(p @ v, (B, H, T, E))


def groups(q, k, v, *mask):
    s = q @ dlc.repeat(k, 2, axis=1).mT / math.sqrt(D)
    return dlc.softmax(s + mask[0] if mask else s) @ dlc.repeat(v, 2, axis=1)


def before(position):
    """Whether a key is not behind the query, of positions made in one of two ways."""
    if position == "arange":
        return dlc.arange(S) <= dlc.arange(T)[:, None]
    return dlc.tril(dlc.ones((T, S), dtype=dlc.bool))


def keyed(q, k, v):
    """Keys as rows, and weights as the right operand."""
    s = dlc.permute_dims(k @ q.mT * 0.5, (0, 1, 3, 2))
    return dlc.einsum("bhse,bhts->bhet", v, dlc.softmax(s))


Q, K, V = (B, H, T, D), (B, H, S, D), (B, H, S, E)
FEW = (Q, (B, 2, S, D), (B, 2, S, E))
WHOLE = [draw(*x) for x in (Q, K, V)]
FOLDED = [draw(4, T, D), draw(4, S, D), draw(4, S, E)]
GROUPED = [draw(*x) for x in FEW]
CAUSAL = {
    kind: lambda q, k, v, kind=kind: dlc.softmax(
        dlc.where(before(kind), q @ k.mT, -math.inf)
    ) @ v
    for kind in ("arange", "tril")
}  # fmt: skip
# A program, its arguments, and what the op of attention must have been given.
FORMS = {
    "plain": (lambda q, k, v: dlc.softmax(q @ k.mT) @ v, WHOLE, {"scale": 1.0}),
    "scale after": (lambda q, k, v: dlc.softmax(0.3 * (q @ k.mT)) @ v, WHOLE, {"scale": 0.3}),
    "scale before": (lambda q, k, v: dlc.softmax((q * 0.3) @ k.mT) @ v, WHOLE, {"scale": 1.0}),
    "scales": (
        lambda q, k, v: dlc.softmax((q * 0.3) @ (k * 0.3).mT / dlc.sqrt(4.0) * 3.0) @ v,
        WHOLE,
        {"scale": 1.5},
    ),
    "rows": (lambda q, k, v: dlc.softmax(q @ k.mT) @ v, [draw(T, D), draw(S, D), draw(S, E)], {}),
    "three axes": (lambda q, k, v: by_hand(q @ k.mT * 0.5) @ v, FOLDED, {}),
    "reciprocal": (lambda q, k, v: by_reciprocal(q @ k.mT * 0.5) @ v, FOLDED, {}),
    "einsum": (
        lambda q, k, v: dlc.einsum(
            "bhts,bshe->bthe", dlc.softmax(dlc.einsum("bthd,bshd->bhts", q, k) * 0.5), v
        ),
        [np.swapaxes(x, 1, 2).copy() for x in WHOLE],
        {},
    ),
    "keys first": (keyed, WHOLE, {}),
    "folded": (folded, [*WHOLE, finite(seen(B, 1, 1, S))], {"nan_rows": True}),
    "bias and mask": (
        lambda q, k, v, bias, mask: dlc.softmax(q @ k.mT + bias + mask) @ v,
        [*WHOLE, draw(1, H, T, S), finite(seen(B, 1, 1, S))],
        {},
    ),
    "mask before scale": (
        lambda q, k, v, mask: dlc.softmax((q @ k.mT + mask) / 4.0) @ v,
        [*WHOLE, draw(T, S)],
        {"scale": 0.25},
    ),
    "subtracted": (
        lambda q, k, v, mask: dlc.softmax(q @ k.mT * 0.5 - mask) @ v, [*WHOLE, draw(S)], {},
    ),
    "mask first": (
        lambda q, k, v, mask: by_hand(mask + q @ k.mT) @ v, [*WHOLE, infinite(seen(T, S))], {},
    ),
    "hidden": (
        lambda q, k, v, mask: by_hand(dlc.where(mask, q @ k.mT * 0.5, -math.inf)) @ v,
        [*WHOLE, seen(B, 1, T, S)],
        {"hidden": -math.inf, "nan_rows": True},
    ),
    "filled": (
        lambda q, k, v, mask: dlc.softmax(dlc.where(mask, LOW, q @ k.mT) * 0.5) @ v,
        [*WHOLE, seen(1, H, T, S)],
        {"hidden": LOW / 2},
    ),
    "filled a little": (
        lambda q, k, v, mask: dlc.softmax(dlc.where(mask, q @ k.mT, -2.0)) @ v,
        [*WHOLE, seen(T, 1)],
        {"hidden": -2.0},
    ),
    "bias, then hidden": (
        lambda q, k, v, bias, mask: dlc.softmax(dlc.where(mask, q @ k.mT + bias, -math.inf)) @ v,
        [*WHOLE, draw(H, 1, S), seen(B, 1, T, S)],
        {},
    ),
    "guarded": (
        lambda q, k, v, mask: guarded(q @ k.mT + mask) @ v,
        [*WHOLE, infinite(seen(T, S))],
        {"nan_rows": False},
    ),
    **{
        f"causal by {kind}": (f, WHOLE, {"causal": True, "nan_rows": True})
        for kind, f in CAUSAL.items()
    },
    "groups": (groups, GROUPED, {}),
    "groups and mask": (groups, [*GROUPED, finite(seen(B, 1, T, S))], {}),
    "groups and bias": (groups, [*GROUPED, draw(H, T, S)], {}),
    "shared": (
        lambda q, k, v: dlc.einsum(
            "bhts,bse->bhte", dlc.softmax(dlc.einsum("bhtd,bsd->bhts", q, k)), v
        ),
        [draw(*Q), draw(B, S, D), draw(B, S, E)],
        {},
    ),
    "shared by all": (
        lambda q, k, v, mask: dlc.softmax(q @ k.T + mask) @ v,
        [draw(*Q), draw(S, D), draw(S, E), draw(B, 1, T, S)],
        {},
    ),
    "shared values": (
        lambda q, k, v: dlc.softmax(q @ k.mT) @ v, [*FOLDED[:2], draw(S, E)], {},
    ),
}  # fmt: skip
# What has a derivative in all rows: `where` gives 0 * NaN in those that are 0.
WITH_DERIVATIVES = {"guarded": lambda q, k, v, mask: dlc.softmax(q[:, :, 1:] @ k.mT + mask[1:]) @ v}
forms = pytest.mark.parametrize("form", FORMS)


def as_arrays(args, dtype):
    return [x if x.dtype == bool else dlc.astype(x, dtype) for x in args]


def traced(function, *args):
    text = dlc.compile(function).lower(*args).as_text("traced", locations=False)
    return parse_function(text)


def attention_in(function):
    return [n for n in function.nodes if n.op.name == "attention"]


def contractions_in(function):
    return [n for n in function.nodes if n.op.name == "dot_general"]


def numbers(args):
    return [x if isinstance(x, np.ndarray) else x.numpy() for x in args]


@forms
def test_the_op_has_the_meaning_of_what_is_written(form):
    f, args, attrs = FORMS[form]
    before_pass = traced(f, *as_arrays(args, dlc.float64))
    after = run_pipeline(before_pass, (Attend(),), verify=True)
    (op,) = attention_in(after)
    assert not contractions_in(after)
    for name, value in attrs.items():
        assert op.attrs[name] == pytest.approx(value), name
    for special in (None, np.nan, np.inf, -np.inf):
        given = [x.copy() for x in args]
        if special is not None:
            for x in given[:2]:
                x[..., -1, 0] = special
        (wanted,), (got,) = (interpret(g, given) for g in (before_pass, after))
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)


@forms
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 5e-6), ("float16", 3e-3), ("bfloat16", 3e-2)]
)
def test_kernels(form, dtype, tolerance):
    f, args, _ = FORMS[form]
    held = as_arrays(args, getattr(dlc, dtype))
    exact = as_arrays(held, dlc.float64)
    (wanted,) = interpret(traced(f, *exact), numbers(exact))
    compiled = dlc.compile(f)
    got = compiled(*held)
    assert got.dtype is getattr(dlc, dtype)
    np.testing.assert_allclose(got.astype(dlc.float64).numpy(), wanted, tolerance, tolerance)
    assert "dot_general" not in compiled.lower(*held).as_text("optimized")


@forms
def test_gradients(form, monkeypatch):
    f, args, _ = FORMS[form]
    held = as_arrays(args, dlc.float64)
    floats = tuple(k for k, x in enumerate(args) if x.dtype != bool)

    def gradient(f):
        def loss(*x):
            y = f(*x)
            return dlc.sum(dlc.where(dlc.isnan(y), 0.0, dlc.sin(y)))

        return dlc.grad(loss, floats)

    got = dlc.compile(gradient(f))(*held)
    monkeypatch.setattr(attention_ops, "with_attention", lambda function: function)
    plain = gradient(WITH_DERIVATIVES.get(form, f))
    wanted = interpret(traced(plain, *held), numbers(held))
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-10, atol=1e-12)


def test_derivatives_do_not_keep_scores():
    q, k, v = (dlc.asarray(x).astype(dlc.float32) for x in WHOLE)
    text = dlc.compile(dlc.grad(lambda *x: dlc.sum(by_hand(x[0] @ x[1].mT) @ x[2]))).lower(q, k, v)
    assert "attention_grad_query" in text.as_text("optimized")
    assert "dot_general" not in text.as_text("optimized")


@pytest.mark.parametrize("scaled", [lambda s, d: s / dlc.sqrt(d), lambda s, d: s * 0.5])
def test_extents_that_are_known_in_a_call(scaled):
    def f(q, k, v, mask):
        return dlc.softmax(scaled(q @ k.mT, q.shape[-1]) + mask) @ v

    n = ("b", "h", "t", "d"), ("b", "h", "s", "d"), ("b", "h", "s", "e"), ("b", 1, 1, "s")
    function = traced(f, *(dlc.spec(x, dlc.float64) for x in n))
    after = run_pipeline(function, (Attend(),), verify=True)
    assert len(attention_in(after)) == 1
    for b, h, t, s in ((2, 3, 5, 7), (1, 1, 1, 1), (1, 2, 1, 9)):
        args = [draw(b, h, t, 4), draw(b, h, s, 4), draw(b, h, s, 6), draw(b, 1, 1, s)]
        (wanted,), (got,) = (interpret(g, args) for g in (function, after))
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_extents_that_cannot_be_compared():
    function = traced(
        lambda x, w: dlc.softmax(dlc.reshape(x, (-1, 4))) @ w, dlc.spec(("n", "m", 4)), draw(4, 5)
    )
    assert run_pipeline(function, (Attend(),)) is function


def test_scales_of_half_types_that_are_known_in_a_call():
    shapes = ("t", "d"), ("s", "d"), ("s", "d")
    function = traced(
        lambda q, k, v: dlc.softmax(q @ k.mT / dlc.sqrt(q.shape[-1])) @ v,
        *(dlc.spec(x, dlc.float16) for x in shapes),
    )
    (op,) = attention_in(run_pipeline(function, (Attend(),), verify=True))
    assert op.tensor.dtype is dlc.float32


def test_weights_are_computed_at_float32_and_rounded():
    """As models of half types do, which ask for softmax at float32."""
    q, k, v = (dlc.asarray(x).astype(dlc.bfloat16) for x in WHOLE)

    def f(q, k, v):
        p = dlc.softmax(dlc.astype(q @ k.mT, dlc.float32) * 0.5)
        return dlc.astype(p, dlc.bfloat16) @ v

    after = with_attention(traced(f, q, k, v))
    (op,) = attention_in(after)
    assert op.tensor.dtype is dlc.bfloat16


def test_several_layers_in_one_program():
    def f(x, mask):
        for _ in range(3):
            x = x + by_hand(x @ x.mT * 0.5 + mask) @ x
        return x

    x, mask = draw(2, 6, 4), draw(6, 6)
    function = traced(f, dlc.asarray(x), dlc.asarray(mask))
    after = run_pipeline(function, (Attend(),), verify=True)
    assert len(attention_in(after)) == 3
    (wanted,), (got,) = (interpret(g, [x, mask]) for g in (function, after))
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_in_the_body_of_a_loop():
    def f(x):
        return dlc.scan(lambda c, _: (by_hand(c @ c.mT) @ c, None), x, None, length=3)[0]

    x = draw(6, 4)
    after = run_pipeline(traced(f, dlc.asarray(x)), (Attend(),), verify=True)
    (loop,) = (n for n in after.nodes if n.op.family == "control")
    assert len(attention_in(loop.attrs["body"])) == 1


@pytest.mark.parametrize("low", [-1e9, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize("added", [False, True])
def test_large_numbers_for_hidden_keys(low, added):
    """Where all keys of a row are hidden by a number, they take part alike, or as scores say."""
    q, k, v = (x.astype(np.float32) for x in WHOLE)
    mask = seen(B, 1, T, S)
    hides = np.where(mask, 0, low).astype(np.float32)

    def f(q, k, v):
        s = q @ k.mT * 0.5
        return dlc.softmax(s + hides if added else dlc.where(mask, s, low)) @ v

    def loss(q, k, v):
        return dlc.sum(dlc.sin(f(q, k, v)))

    got = dlc.compile(f)(q, k, v).numpy()
    s = np.where(mask, q @ np.swapaxes(k, -1, -2) * 0.5, low).astype(np.float64)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    np.testing.assert_allclose(got, p @ v, rtol=1e-5, atol=1e-6)
    ct = np.cos(p @ v)
    dp = ct @ np.swapaxes(v, -1, -2).astype(np.float64)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True)) * 0.5
    if not added:
        ds *= mask
    wanted = ds @ k, np.swapaxes(ds, -1, -2) @ q, np.swapaxes(p, -1, -2) @ ct
    for a, b in zip(dlc.compile(dlc.grad(loss, (0, 1, 2)))(q, k, v), wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=2e-4, atol=2e-5)


X, MASK = draw(3, 6, 4), draw(3, 6, 6)
OTHER = {
    "weights are returned": lambda x, m: ((p := dlc.softmax(x @ x.mT)) @ x, p),
    "scores are read": lambda x, m: dlc.softmax(s := x @ x.mT) @ x + dlc.sum(s),
    "weights are read twice": lambda x, m: (p := dlc.softmax(x @ x.mT)) @ x + p @ (x + 1.0),
    "dropout": lambda x, m: (dlc.softmax(x @ x.mT) * m) @ x,
    "softmax of queries": lambda x, m: dlc.softmax(x @ x.mT, axis=-2) @ x,
    "product with queries": lambda x, m: dlc.softmax(x @ x.mT).mT @ x,
    "no maximum": lambda x, m: ((e := dlc.exp(x @ x.mT)) / dlc.sum(e, axis=-1, keepdims=True)) @ x,
    "another maximum": lambda x, m: (
        (e := dlc.exp((s := x @ x.mT) - dlc.max(s, axis=-2, keepdims=True)))
        / dlc.sum(e, axis=-1, keepdims=True)
    ) @ x,
    "another sum": lambda x, m: (
        (e := dlc.exp((s := x @ x.mT) - dlc.max(s, axis=-1, keepdims=True)))
        / dlc.sum(e, axis=-2, keepdims=True)
    ) @ x,
    "negative scale": lambda x, m: dlc.softmax(x @ x.mT * -1.0) @ x,
    "no scale": lambda x, m: dlc.softmax(x @ x.mT * 0.0) @ x,
    "capped": lambda x, m: dlc.softmax(dlc.tanh(x @ x.mT)) @ x,
    "scaled by values": lambda x, m: dlc.softmax(x @ x.mT * m) @ x,
    "NaN in hidden places": lambda x, m: dlc.softmax(dlc.where(m > 0, x @ x.mT, math.nan)) @ x,
    "two masks": lambda x, m: dlc.softmax(
        dlc.where(m > 0, dlc.where(m < 1, x @ x.mT, LOW), -1.0)
    ) @ x,
    "hidden, then added": lambda x, m: dlc.softmax(dlc.where(m > 0, x @ x.mT, LOW) + m) @ x,
    "filled with values": lambda x, m: dlc.softmax(dlc.where(m > 0, x @ x.mT, m)) @ x,
    "no products": lambda x, m: dlc.softmax(m) @ x,
    "other rows are 0": lambda x, m: dlc.where(
        dlc.all((s := x @ x.mT) == 0.0, axis=-1, keepdims=True), 0.0, dlc.softmax(s)
    ) @ x,
    "some keys are hidden": lambda x, m: dlc.where(
        dlc.any((s := x @ x.mT) == -math.inf, axis=-1, keepdims=True), 0.0, dlc.softmax(s)
    ) @ x,
    "softmax at float64": lambda x, m: dlc.astype(
        dlc.softmax(dlc.astype(x @ x.mT, dlc.float64)), dlc.float32
    ) @ x,
}  # fmt: skip


@pytest.mark.parametrize("other", OTHER)
def test_what_is_left_alone(other):
    function = traced(OTHER[other], *(dlc.asarray(x).astype(dlc.float32) for x in (X, MASK)))
    assert run_pipeline(function, (Attend(),)) is function


def test_keys_that_there_may_be_none_of():
    """Softmax of nothing is nothing; the op would give NaN."""
    x = dlc.zeros((2, 3, 4))
    function = traced(lambda x: dlc.softmax(x @ x[:, :0].mT) @ x[:, :0], x)
    assert run_pipeline(function, (Attend(),)) is function


def test_levels():
    function = traced(FORMS["plain"][0], *as_arrays(WHOLE, dlc.float32))

    def has_op(passes):
        fused = run_pipeline(function, passes, verify=True)
        bodies = [n.attrs["body"] for n in fused.nodes if n.op.name == "fusion"]
        return any(attention_in(body) for body in bodies)

    assert [level for level in ("O0", "O1", "O2", "O3") if has_op(pipeline_of(level))] == [
        "O1", "O2", "O3",
    ]  # fmt: skip
    assert not has_op(pipeline_of("O2", own_kernels=False))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_queries_that_are_the_one_key_and_repeated_values(dtype):
    """Scores that no block's place changes; values that are repeated, without leading axes."""
    rng = np.random.default_rng(0)
    v = rng.normal(size=(1, 33)).astype(dtype)

    def alone(x, v):
        return (dlc.softmax(x[None] @ x[None].mT, axis=-1) @ v[None])[0]

    def repeated(x, v):
        values = dlc.broadcast_to(v, (3, *v.shape)).reshape(3, v.shape[1])
        return dlc.softmax(x @ x.mT, axis=-1) @ values

    for f, rows in ((alone, 1), (repeated, 3)):
        x = rng.normal(size=(rows, 17)).astype(dtype)
        np.testing.assert_allclose(dlc.compile(f)(x, v).numpy(), np.repeat(v, rows, 0), rtol=1e-5)
        slopes = dlc.grad(lambda x, v, f=f: dlc.sum(f(x, v)), argnums=(0, 1))(x, v)
        np.testing.assert_allclose(slopes[0].numpy(), np.zeros_like(x), atol=1e-4)
        np.testing.assert_allclose(slopes[1].numpy(), np.full_like(v, rows), rtol=1e-5)
