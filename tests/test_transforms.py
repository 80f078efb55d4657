"""grad, value_and_grad, vjp, jvp, stop_gradient, no_grad: values, nesting, errors."""

import math

import numpy as np
import pytest

import dlc

X = np.array([0.3, -1.2, 2.0], np.float64)


def numeric(f, x, eps=1e-6):
    """The gradient of a scalar function by central differences, at float64."""
    g = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[i] = eps
        g[i] = (float(f(x + step)) - float(f(x - step))) / (2 * eps)
    return g


FUNCTIONS = {
    "polynomial": lambda x: (x**3 - 2 * x).sum(),
    "trigonometric": lambda x: (dlc.sin(x) * dlc.cos(2 * x)).sum(),
    "softmax": lambda x: (dlc.softmax(x) ** 2).sum(),
    "logsumexp": lambda x: dlc.logsumexp(x * x),
    "slices": lambda x: (x[1:] * x[:-1]).sum() + x[::-1][0] ** 2,
    "matmul": lambda x: (x[:, None] @ x[None, :]).mean(),
    "norm": lambda x: dlc.sqrt((x * x).sum()),
    "where": lambda x: dlc.where(x > 0, x * x, -x).sum(),
    "gelu": lambda x: dlc.gelu(x).sum(),
    "var": lambda x: x.var() * x.mean(),
    "assigned": lambda x: _assigned(x).sum(),
    "broadcast": lambda x: (x + dlc.ones((4, 1), dtype="f64") * x[0]).sum() * x[2],
}


def _assigned(x):
    y = x * x
    y[1:] = y[:-1] * 3
    y[0] = x[2]
    return y


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients(name):
    f = FUNCTIONS[name]
    wanted = numeric(f, X)
    for g in (dlc.grad(f), dlc.compile(dlc.grad(f)), dlc.grad(dlc.compile(f))):
        np.testing.assert_allclose(g(X).numpy(), wanted, rtol=1e-6, atol=1e-8)
    value, gradient = dlc.value_and_grad(f)(X)
    assert value.item() == pytest.approx(f(dlc.asarray(X)).item(), rel=1e-12)
    np.testing.assert_allclose(gradient.numpy(), wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_derivatives(name):
    f, direction = FUNCTIONS[name], np.array([0.5, -1.0, 0.25])

    def slope(x):
        return (dlc.grad(f)(x) * direction).sum()

    wanted = numeric(slope, X, 1e-5)
    reverse = dlc.grad(slope)(X).numpy()
    forward = dlc.jvp(dlc.grad(f), (X,), (direction,))[1].numpy()
    mixed = dlc.grad(lambda x: dlc.jvp(f, (x,), (direction,))[1])(X).numpy()
    for h in (reverse, forward, mixed):
        np.testing.assert_allclose(h, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_forward_and_reverse_agree(name):
    f, t = FUNCTIONS[name], np.array([0.1, 0.7, -0.4])
    _, slope = dlc.jvp(f, (X,), (t,))
    _, pull_back = dlc.vjp(f, X)
    np.testing.assert_allclose((pull_back(1.0)[0] * t).sum().item(), slope.item(), rtol=1e-10)


def test_third_derivative():
    f = dlc.sin
    for _ in range(3):
        f = dlc.grad(f)
    assert f(np.float64(0.5)).item() == pytest.approx(-math.cos(0.5), rel=1e-12)


def test_argnums():
    def f(x, y, z=2.0):
        return (x * y).sum() * z

    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    assert dlc.grad(f)(x, y).tolist() == [6, 8]
    assert dlc.grad(f, argnums=1)(x, y).tolist() == [2, 4]
    assert dlc.grad(f, argnums=-1)(x, y, 3.0).item() == 11
    a, b = dlc.grad(f, argnums=(1, 0))(x, y, z=1.0)
    assert (a.tolist(), b.tolist()) == ([1, 2], [3, 4])
    for wrong in (2, (0, 0), -3):
        with pytest.raises(dlc.ValueRangeError):
            dlc.grad(f, argnums=wrong)(x, y)


def test_trees():
    def loss(params, x):
        return ((params["w"] * x + params["b"][0]) ** 2).sum()

    params = {"w": np.array([1.0, 2.0]), "b": (np.array(0.5),)}
    g = dlc.grad(loss)(params, np.array([3.0, 4.0]))
    assert g["w"].tolist() == [21, 68]
    assert g["b"][0].item() == 24


def test_aux():
    def f(x):
        return (x * x).sum(), {"twice": x * 2, "n": 3}

    (value, aux), g = dlc.value_and_grad(f, has_aux=True)(X)
    assert aux["twice"].tolist() == (2 * X).tolist()
    assert aux["n"].item() == 3
    assert value.item() == pytest.approx((X * X).sum())
    g2, aux2 = dlc.grad(f, has_aux=True)(X)
    assert g.tolist() == g2.tolist() == (2 * X).tolist()
    assert aux2["twice"].tolist() == (2 * X).tolist()
    value, pull_back, aux3 = dlc.vjp(f, X, has_aux=True)
    assert pull_back(1.0)[0].tolist() == (2 * X).tolist()
    assert aux3["n"].item() == 3
    _, slope, _ = dlc.jvp(f, (X,), (np.ones(3),), has_aux=True)
    assert slope.item() == pytest.approx(2 * X.sum())


def test_no_dependence_gives_zeros():
    assert dlc.grad(lambda x, y: (y * y).sum())(X, X).tolist() == [0, 0, 0]
    assert dlc.grad(lambda x: dlc.floor(x).sum())(X).tolist() == [0, 0, 0]


def test_vjp_of_trees():
    def f(x, n, y):
        return {"a": x * y, "b": [x + n]}

    _, pull_back = dlc.vjp(f, X, np.array([1, 2, 3]), X)
    gx, gn, gy = pull_back({"a": np.ones(3), "b": [np.full(3, 2.0)]})
    assert gx.tolist() == (X + 2).tolist()
    assert gy.tolist() == X.tolist()
    assert gn.dtype is dlc.int64
    assert gn.tolist() == [0, 0, 0]
    for wrong in ({"a": X}, [X, X]):
        with pytest.raises(dlc.ShapeError):
            pull_back(wrong)
    with pytest.raises(dlc.ShapeError):
        pull_back({"a": np.ones(2), "b": [X]})


def test_jvp_of_integers():
    _, slope = dlc.jvp(
        lambda x, n: (x * n, n + 1), (X, np.array([1, 2, 3])), (X, np.zeros(3, np.int64))
    )
    assert slope[0].tolist() == (X * [1, 2, 3]).tolist()
    assert slope[1].tolist() == [0, 0, 0]
    with pytest.raises(dlc.ArgumentError):
        dlc.jvp(lambda x: x, (X,), (X, X))
    with pytest.raises(dlc.ShapeError):
        dlc.jvp(lambda x: x, (X,), (np.ones(2),))


def test_stop_gradient():
    assert dlc.grad(lambda x: (x * dlc.stop_gradient(x * x)).sum())(X).tolist() == (X * X).tolist()
    assert dlc.grad(lambda x: (x * x.detach()).sum())(X).tolist() == X.tolist()
    held = dlc.stop_gradient({"a": X, "b": [1.0]})
    assert held["b"][0].item() == 1


def test_no_grad():
    def f(x):
        with dlc.no_grad():
            scale = x * 3
        return (x * scale).sum()

    assert dlc.grad(f)(X).tolist() == pytest.approx((3 * X).tolist())
    assert dlc.compile(dlc.grad(f))(X).tolist() == pytest.approx((3 * X).tolist())

    @dlc.no_grad()
    def scale(x):
        return x * 3

    for _ in range(2):
        assert dlc.grad(lambda x: (x * scale(x)).sum())(X).tolist() == pytest.approx(
            (3 * X).tolist()
        )
    with dlc.no_grad():
        assert dlc.grad(lambda x: (x * x).sum())(X).tolist() == (2 * X).tolist()


def test_closures_are_constant_or_differentiated_from_outside():
    y = dlc.asarray(X)
    assert dlc.grad(lambda x: (x * y).sum())(X).tolist() == X.tolist()

    def outer(x):
        return (dlc.grad(lambda z: (z * z * x).sum())(x) * x).sum()

    # d/dx of sum(2 x^3)
    np.testing.assert_allclose(dlc.grad(outer)(X).numpy(), 6 * X**2, rtol=1e-12)


def test_writes_inside_stay_inside():
    x = dlc.asarray(X)

    def f(x):
        x[0] = 5.0
        return (x * x).sum()

    assert dlc.grad(f)(x).tolist() == [0, *(2 * X[1:])]
    assert x.tolist() == X.tolist()


def test_symbolic_extents():
    f = dlc.compile(dlc.grad(lambda w, x: ((x @ w) ** 2).mean()))
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, 2))
    for n in (4, 5, 6, 1, 9):
        x = rng.standard_normal((n, 3))
        np.testing.assert_allclose(f(w, x).numpy(), 2 * x.T @ (x @ w) / (n * 2), rtol=1e-9)
    assert f.stats.compilations == 2


@pytest.mark.parametrize(
    ("f", "x", "error", "text"),
    [
        (lambda x: x, X, dlc.DerivativeError, "f64[3]: only float scalars"),
        (lambda x: x.sum().astype("i32"), X, dlc.DerivativeError, "i32[]"),
        (lambda x: (x.sum(), x), X, dlc.DerivativeError, "has_aux=True"),
        (lambda x: x.sum(), np.arange(3), dlc.DTypeError, "only floats have derivatives"),
        (lambda x: x.sum(), "text", dlc.ArgumentError, "str"),
        (lambda x: [v for v in (1, 2) if x[0] > v], X, dlc.TracedValueError, "where"),
    ],
    ids=["tensor", "integer", "pair", "integers", "text", "if"],
)
def test_errors(f, x, error, text):
    with pytest.raises(error) as seen:
        dlc.grad(f)(x)
    assert text in str(seen.value)
    assert __file__ in str(seen.value)
    with pytest.raises(error):
        dlc.compile(dlc.grad(f))(x)


def test_pull_back_after_the_state_has_changed():
    v = dlc.Variable([2.0, 3.0], dtype="f64")

    def f(x):
        result = (x * v).sum()
        v.assign_add(1.0)
        return result

    for wrap in (lambda g: g, dlc.compile):
        v.assign([2.0, 3.0])

        def g(x):
            _, pull_back = dlc.vjp(f, x)
            v.assign_add(10.0)
            return pull_back(1.0)[0]

        assert wrap(g)(np.ones(2)).tolist() == [2, 3]
        assert v.tolist() == [13, 14]


def test_bfloat16_gradients():
    g = dlc.grad(lambda x: (x * x).sum())(dlc.asarray([1.0, 2.0], dtype="bf16"))
    assert g.dtype is dlc.bfloat16
    assert g.tolist() == [2, 4]


def test_arrays_that_are_not_mapped_or_differentiated_cannot_be_written_to():
    """A function is given them as they are: what it writes would change the caller's."""

    def f(a, b):
        a[0] = 7.0
        return dlc.sum(a * b)

    a, b = np.ones(3), np.ones((2, 3))
    for run in (
        lambda: dlc.vmap(f, in_axes=(None, 0))(a, b),
        lambda: dlc.grad(f, argnums=1)(a, b[0]),
        lambda: dlc.value_and_grad(f, argnums=1)(a, b[0]),
        lambda: dlc.jacobian(f, argnums=1)(a, b[0]),
    ):
        with pytest.raises(ValueError, match="read-only"):
            run()
        assert a.tolist() == [1.0, 1.0, 1.0]
    assert a.flags.writeable


def test_hvp_is_the_hessian_times_a_direction():
    a, b = np.array([1.0, 2.0]), {"k": np.array([0.5, -1.0])}

    def f(x, y):
        return dlc.sum(x**3 * dlc.exp(y["k"]))

    da, db = np.array([1.0, -2.0]), {"k": np.array([0.25, 3.0])}
    e = np.exp(b["k"])
    first = 6 * a * e * da + 3 * a**2 * e * db["k"]
    second = 3 * a**2 * e * da + a**3 * e * db["k"]
    for way in (dlc.hvp, dlc.compile(dlc.hvp, static_argnums=0)):
        got = way(f, (a, b), (da, db))
        assert np.allclose(got[0].numpy(), first, rtol=1e-14)
        assert np.allclose(got[1]["k"].numpy(), second, rtol=1e-14)
    one = dlc.hvp(lambda x: dlc.sum(x**3), (a,), (da,))
    assert np.allclose(one.numpy(), 6 * a * da)
    rows = dlc.vmap(lambda t: dlc.hvp(lambda x: dlc.sum(x**3), (a,), (t,)))(np.eye(2))
    assert np.allclose(rows.numpy(), np.diag(6 * a))
    with pytest.raises(TypeError, match="give a tuple"):
        dlc.hvp(f, 3.0, 1.0)
    with pytest.raises(dlc.DerivativeError, match="only float scalars"):
        dlc.hvp(lambda x: x, (a,), (a,))


def test_eval_shape_computes_nothing():
    called = dlc.Variable(0.0)

    def f(x, p, n=2):
        called.assign_add(1.0)
        return {"y": x @ p["w"], "s": (x.sum() > n, None)}

    w = dlc.spec((4, 2), dlc.float64)
    found = dlc.eval_shape(f, "f32[b,4]", {"w": w})
    assert str(found["y"]) == "f64[b,2]"
    assert (found["s"][0].shape, found["s"][0].dtype, found["s"][1]) == ((), dlc.bool, None)
    found = dlc.eval_shape(f, np.zeros((3, 4), np.float32), {"w": w}, n=5)
    assert found["y"].shape == (3, 2)
    assert called.numpy() == 0
    half = dlc.eval_shape(lambda x, s: x * s, dlc.spec((2,), dlc.bfloat16), 3.0)
    assert half.dtype is dlc.bfloat16

    @dlc.compile
    def inside(x):
        return dlc.ones(dlc.eval_shape(lambda v: v @ v.T, x).shape)

    for rows in (2, 3, 5):  # the second makes the extent symbolic
        assert inside(np.ones((rows, 2))).shape == (rows, rows)
    with pytest.raises(TypeError, match="cannot be called"):
        dlc.eval_shape(3, 1)
    with pytest.raises(dlc.ShapeError, match="matmul"):
        dlc.eval_shape(lambda x, y: x @ y, "f32[2,3]", "f32[2,3]")
