"""checkpoint: the same values and derivatives, less memory."""

import numpy as np
import pytest

import dlc
from dlc.runtime.judge import Judge

rng = np.random.default_rng(5)
LAYERS = 6
W = [rng.standard_normal((16, 16)).astype(np.float32) / 4 for _ in range(LAYERS)]
X = rng.standard_normal((512, 16)).astype(np.float32)


def layer(x, w):
    return dlc.gelu(dlc.tanh(x @ w) @ w)


def loss_of(f):
    def loss(ws, x):
        for w in ws:
            x = f(x, w)
        return (x * x).mean()

    return loss


def test_gradients_are_the_same_and_memory_is_less():
    plain = dlc.compile(dlc.grad(loss_of(layer)))
    saving = dlc.compile(dlc.grad(loss_of(dlc.checkpoint(layer))))
    for a, b in zip(plain(W, X), saving(W, X), strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-4, atol=1e-8)
    peaks = [f.lower(W, X).memory_analysis()["peak"] for f in (plain, saving)]
    # An activation and a half are kept of each layer, or one.
    assert peaks[1] < 0.75 * peaks[0]


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
def test_values_are_computed_again_at_every_level(level):
    def times(f, what):
        both = dlc.compile(dlc.value_and_grad(f), level=level)
        return both.lower(np.float64(0.5)).as_text("optimized").count(what)

    def f(x):
        return dlc.exp(dlc.sin(x))

    assert times(dlc.checkpoint(f), " sin(") == times(f, " sin(") + 1
    assert times(dlc.checkpoint(f), "barrier(") >= 1


def test_any_order_and_nesting():
    def f(x):
        return dlc.sin(x) * dlc.exp(x * x)

    saving = dlc.checkpoint(lambda x: dlc.checkpoint(dlc.sin)(x) * dlc.exp(x * x))
    x = np.linspace(-1, 1, 5)
    pairs = [(dlc.vmap(f), dlc.vmap(saving))]
    for _ in range(3):
        f, saving = dlc.grad(f), dlc.grad(saving)
        pairs.append((dlc.vmap(f), dlc.vmap(saving)))
    for a, b in pairs:
        for way in (lambda g: g, dlc.compile):
            np.testing.assert_allclose(way(b)(x).numpy(), a(x).numpy(), rtol=1e-10)
    t = np.ones(5)
    a, b = (dlc.jvp(g, (x,), (t,))[1] for g in (dlc.sin, dlc.checkpoint(dlc.sin)))
    np.testing.assert_allclose(b.numpy(), a.numpy())


def test_what_is_read_from_outside_is_differentiated():
    v = dlc.Variable(np.float64(3.0), requires_grad=True)
    w = dlc.asarray(np.array([1.0, 2.0]))

    @dlc.checkpoint
    def f(x):
        return (x * w * v * v).sum()

    f(dlc.asarray(np.ones(2))).backward()
    assert v.grad.item() == 18
    found = dlc.grad(lambda w: dlc.checkpoint(lambda x: x * w * w)(2.0))(3.0)
    assert found.item() == 12


@pytest.mark.parametrize("level", ["O0", "O1", "O2"])
def test_loops_and_branches_of_ops_that_stand_for_others(level):
    def f(x):
        branch = dlc.cond(x[0] > 0.0, lambda: dlc.softmax(x), lambda: x)
        return dlc.scan(lambda c, r: (dlc.softmax(c) * r, None), branch, x)[0].sum()

    x = np.linspace(0.5, 1.0, 3)
    ruled, sloped = dlc.custom_vjp(f), dlc.custom_jvp(f)
    ruled.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * x,))
    sloped.defjvp(lambda p, t: (f(p[0]), (t[0] * p[0]).sum()))
    for g in (dlc.checkpoint(f), ruled, sloped):
        np.testing.assert_allclose(dlc.compile(g, level=level)(x), f(x), rtol=1e-12)


def test_any_arguments():
    @dlc.checkpoint
    def f(x, name, *, n, options=None):
        assert name == "name"
        return {"y": x["a"] * n if options is None else x["a"], "i": dlc.astype(x["a"], "i32")}

    g = dlc.grad(lambda a: f({"a": a}, "name", n=3)["y"].sum())
    assert g(np.ones(2)).tolist() == [3, 3]
    assert f({"a": np.ones(2)}, "name", n=3, options=1)["i"].tolist() == [1, 1]


def test_assignments_are_an_error():
    v = dlc.Variable(0.0)

    @dlc.checkpoint
    def f(x):
        v.assign_add(1.0)
        return x

    with pytest.raises(dlc.ArgumentError, match="assigns to a variable"):
        f(1.0)
    with pytest.raises(dlc.ArgumentError, match="checkpoint of a int"):
        dlc.checkpoint(3)


def test_a_judge_knows_how_far_rounding_moves_a_checkpoint():
    def pair(x):
        return dlc.tanh(x) * x, dlc.exp(x)

    function = dlc.compile(dlc.checkpoint(pair)).lower(X).closure.function
    judge = Judge(function, [X])
    a, b = judge.results
    assert judge.difference([a * np.float32(1 + 1e-7), b]) is None
    assert judge.difference([a, b * np.float32(1.001)]) is not None
