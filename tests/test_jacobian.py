"""jacobian, jacfwd, jacrev and hessian: values, trees, modes, nesting, errors."""

import numpy as np
import pytest

import dlc

rng = np.random.default_rng(3)
A = rng.standard_normal((4, 3))
X = rng.standard_normal(3)


def f(x):
    return dlc.tanh(dlc.asarray(A) @ x)


EXACT = (1 - np.tanh(A @ X) ** 2)[:, None] * A
WAYS = {
    "chosen": dlc.jacobian,
    "forward": lambda f: dlc.jacobian(f, mode="forward"),
    "reverse": lambda f: dlc.jacobian(f, mode="reverse"),
    "jacfwd": dlc.jacfwd,
    "jacrev": dlc.jacrev,
}


@pytest.mark.parametrize("way", WAYS)
def test_matrices(way):
    made = WAYS[way]
    for j in (made(f), dlc.compile(made(f)), made(dlc.compile(f))):
        np.testing.assert_allclose(j(X).numpy(), EXACT, rtol=1e-12)
    batch = dlc.vmap(made(f))(np.stack([X, 2 * X])).numpy()
    np.testing.assert_allclose(batch[0], EXACT, rtol=1e-12)
    np.testing.assert_allclose(batch[1], made(f)(2 * X).numpy(), rtol=1e-12)


def operations(f, *args):
    return dlc.compile(f).lower(*args).as_text("traced")


def test_the_smaller_side_is_walked():
    """A pass for each of 3 inputs, or for each of 2 results."""
    text = operations(dlc.jacobian(f), X)
    assert "f64[3,4]" in text
    assert "f64[4,3,3]" not in text
    wide = operations(dlc.jacobian(lambda x: f(x)[:2]), X)
    assert "f64[2,4]" in wide


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_trees(mode):
    def g(p, s):
        return {"y": p["w"] * s[0], "total": (p["w"] * p["w"]).sum() + s[1]}

    w, s = np.arange(1.0, 7).reshape(2, 3), (np.float64(2.0), np.float64(5.0))
    found = dlc.jacobian(g, argnums=(0, 1), mode=mode)({"w": w}, s)
    eye = np.eye(6).reshape(2, 3, 2, 3)
    np.testing.assert_array_equal(found["y"][0]["w"].numpy(), 2 * eye)
    np.testing.assert_array_equal(found["y"][1][0].numpy(), w)
    np.testing.assert_array_equal(found["y"][1][1].numpy(), np.zeros((2, 3)))
    np.testing.assert_array_equal(found["total"][0]["w"].numpy(), 2 * w)
    assert found["total"][1][1].item() == 1
    one = dlc.jacobian(g, argnums=1, mode=mode)({"w": w}, s)
    np.testing.assert_array_equal(one["y"][0].numpy(), w)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_aux_and_state(mode):
    v = dlc.Variable(np.float64(0.0))

    def g(x):
        v.assign_add(1.0)
        return x * x, {"twice": 2 * x, "n": 3}

    for way in (lambda h: h, dlc.compile):
        before = v.item()
        found, aux = way(dlc.jacobian(g, has_aux=True, mode=mode))(X)
        np.testing.assert_allclose(found.numpy(), np.diag(2 * X))
        np.testing.assert_allclose(aux["twice"].numpy(), 2 * X)
        assert aux["n"].item() == 3
        assert v.item() == before + 1


def test_hessians():
    def g(x):
        return (x**3).sum() * x[0]

    exact = np.diag(6 * X * X[0])
    exact[0] += 3 * X**2
    exact[:, 0] += 3 * X**2
    for h in (dlc.hessian(g), dlc.compile(dlc.hessian(g)), dlc.jacfwd(dlc.jacfwd(g)),
              dlc.jacrev(dlc.jacrev(g)), dlc.jacobian(dlc.grad(g))):  # fmt: skip
        np.testing.assert_allclose(h(X).numpy(), exact, rtol=1e-10, atol=1e-12)
    found, aux = dlc.hessian(lambda x: (g(x), x.sum()), has_aux=True)(X)
    np.testing.assert_allclose(found.numpy(), exact, rtol=1e-10, atol=1e-12)
    assert aux.item() == pytest.approx(X.sum())


def test_hessians_of_trees():
    def g(p):
        return p["a"] ** 2 * p["b"].sum()

    h = dlc.hessian(g)({"a": np.float64(3.0), "b": np.ones(2)})
    assert h["a"]["a"].item() == 4
    assert h["a"]["b"].tolist() == [6, 6]
    assert h["b"]["a"].tolist() == [6, 6]
    assert h["b"]["b"].tolist() == [[0, 0], [0, 0]]


def test_shapes_and_sizes():
    j = dlc.compile(dlc.jacobian(lambda x: dlc.sin(x[:, :1])))
    for n in (2, 3, 5):
        x = rng.standard_normal((n, 2))
        found = j(x).numpy()
        assert found.shape == (n, 1, n, 2)
        expected = np.zeros((n, 1, n, 2))
        for k in range(n):
            expected[k, 0, k, 0] = np.cos(x[k, 0])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert dlc.jacobian(lambda x: x * 2)(np.zeros((0,))).shape == (0, 0)
    assert dlc.jacobian(lambda x: x * 2)(3.0).item() == 2
    half = dlc.jacobian(lambda x: x * x)(dlc.asarray([1.0, 2.0], dtype="bf16"))
    assert half.dtype is dlc.bfloat16


def test_third_order():
    t = dlc.jacfwd(dlc.hessian(lambda x: (x**4).sum()))(X).numpy()
    expected = np.zeros((3, 3, 3))
    for k in range(3):
        expected[k, k, k] = 24 * X[k]
    np.testing.assert_allclose(t, expected, rtol=1e-12, atol=1e-12)


ERRORS = [
    (lambda: dlc.jacobian(lambda x: x > 0)(X), dlc.DerivativeError, r"is bool\[3\]"),
    (lambda: dlc.jacobian(f)(np.arange(3)), dlc.DTypeError, "i64"),
    (lambda: dlc.jacobian(f, mode="up"), dlc.ValueRangeError, "mode='up'"),
    (lambda: dlc.hessian(3), dlc.ArgumentError, "hessian of a int"),
    (lambda: dlc.jacfwd(f, argnums=1)(X), dlc.ValueRangeError, "argnums=1"),
    (lambda: dlc.jacrev(f, has_aux=True)(X), dlc.DerivativeError, "must return a pair"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
