"""vmap: values against loops, axes, trees, nesting, state, symbolic dims, errors."""

import numpy as np
import pytest

import dlc

rng = np.random.default_rng(7)
X = rng.standard_normal((4, 3))
W = rng.standard_normal((3, 5))


def looped(f, *batches):
    return np.stack([np.asarray(f(*row)) for row in zip(*batches, strict=True)])


def both(f):
    """Eager and compiled."""
    return f, dlc.compile(f)


FUNCTIONS = {
    "elementwise": lambda x: dlc.sin(x) * x + 2.0,
    "matmul": lambda x: x @ W,
    "outer": lambda x: x[:, None] * x[None, :],
    "softmax": dlc.softmax,
    "norm": lambda x: dlc.layer_norm(x, np.ones(3), np.zeros(3)),
    "slices": lambda x: dlc.concat([x[::-1], x[1:]]),
    "assigned": lambda x: _assigned(x),  # noqa: PLW0108
    "sorted index": lambda x: dlc.take(x, dlc.argmax(x) * dlc.asarray([1, 0])),
    "own table": lambda x: dlc.take(dlc.stack([x, x * x]), dlc.astype(x > 0, "i64"), axis=0),
    "cumulative": dlc.cumsum,
    "reduction": lambda x: x.var(),
    "constant": lambda x: dlc.ones((2,), dtype="f64"),
    "einsum": lambda x: dlc.einsum("i,ij,j->", x, np.eye(3), x),
}


def _assigned(x):
    y = x * 2
    y[1:] = y[:-1]
    return y


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_a_loop(name):
    f = FUNCTIONS[name]
    expected = looped(lambda x: f(dlc.asarray(x)).numpy(), X)
    for g in (*both(dlc.vmap(f)), dlc.vmap(dlc.compile(f))):
        np.testing.assert_allclose(g(X).numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_batches_and_batches_of_gradients(name):
    f = FUNCTIONS[name]

    def loss(x):
        return (dlc.asarray(f(x)) ** 2).sum()

    expected = looped(lambda x: dlc.grad(loss)(x).numpy(), X)
    inside = dlc.vmap(dlc.grad(loss))
    outside = dlc.grad(lambda x: dlc.vmap(loss)(x).sum())
    for g in (*both(inside), *both(outside)):
        np.testing.assert_allclose(g(X).numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [1, 0])
def test_batches_of_one_and_of_none(size):
    for f in both(dlc.vmap(lambda x: (x @ W, dlc.softmax(x).sum()))):
        products, sums = f(X[:size])
        np.testing.assert_allclose(products.numpy(), X[:size] @ W, rtol=1e-12)
        assert sums.shape == (size,)


def test_axes():
    a, b = rng.standard_normal((2, 4, 3)), rng.standard_normal((3, 4))
    expected = looped(lambda x, y: x * y[None], np.moveaxis(a, 1, 0), b.T)
    for axes in ((1, 1), (-2, -1), [1, -1]):
        for out, place in ((0, 0), (2, 2), (-1, 2), (-3, 0), (1, 1)):
            f = dlc.vmap(lambda x, y: x * y, in_axes=axes, out_axes=out)
            for g in both(f):
                found = g(a, b).numpy()
                np.testing.assert_array_equal(found, np.moveaxis(expected, 0, place))


def test_trees_of_axes():
    def f(params, x, *, shift):
        return {"y": x @ params["w"] + params["b"], "same": params["b"]}, shift

    params = {"w": rng.standard_normal((3, 2, 4)), "b": rng.standard_normal(2)}
    axes = ({"w": 2, "b": None}, 0)
    out = ({"y": 1, "same": None}, 0)
    shift = np.arange(4.0)
    for g in both(dlc.vmap(f, in_axes=axes, out_axes=out)):
        found, shifts = g(params, X, shift=shift)
        expected = [X[k] @ params["w"][..., k] + params["b"] for k in range(4)]
        np.testing.assert_allclose(found["y"].numpy(), np.stack(expected, 1), rtol=1e-12)
        assert found["same"].tolist() == params["b"].tolist()
        assert shifts.tolist() == shift.tolist()


def test_arguments_that_all_elements_share_may_be_anything():
    f = dlc.vmap(lambda x, name, n: x * n if name == "times" else x, in_axes=(0, None, None))
    assert f(np.arange(3.0), "times", 2).tolist() == [0, 2, 4]
    assert f(np.arange(3.0), "", 2).tolist() == [0, 1, 2]


def test_a_size_may_be_given():
    f = dlc.vmap(lambda x: x * 2, in_axes=None, axis_size=3)
    for g in both(f):
        assert g(1.5).tolist() == [3, 3, 3]
    with pytest.raises(dlc.ShapeError, match="axis_size is 5"):
        dlc.vmap(lambda x: x, axis_size=5)(X)


def test_nested():
    a, b = rng.standard_normal(3), rng.standard_normal(4)
    table = dlc.vmap(dlc.vmap(lambda x, y: x / y, in_axes=(None, 0)), in_axes=(0, None))
    for g in both(table):
        np.testing.assert_allclose(g(a, b).numpy(), a[:, None] / b, rtol=1e-15)
    columns = dlc.vmap(dlc.vmap(lambda x: x.sum(), in_axes=1), in_axes=2)
    c = rng.standard_normal((2, 3, 4))
    np.testing.assert_allclose(columns(c).numpy(), c.sum(0).T, rtol=1e-14)


def test_tensors_and_variables_of_outside_are_shared():
    w, v = dlc.asarray(W), dlc.Variable(np.ones(5))

    def f(x):
        return x @ w * v

    for g in both(dlc.vmap(f)):
        np.testing.assert_allclose(g(X).numpy(), X @ W, rtol=1e-12)
    v.assign(v * 2)
    np.testing.assert_allclose(dlc.vmap(f)(X).numpy(), 2 * (X @ W), rtol=1e-12)
    with dlc.GradientTape() as tape:
        total = dlc.vmap(f)(X).sum()
    np.testing.assert_allclose(tape.gradient(total, v).numpy(), (X @ W).sum(0), rtol=1e-12)


def test_variables_hold_one_value():
    v = dlc.Variable(0.0)

    def count(x):
        v.assign_add(1.0)
        return x * v

    assert dlc.vmap(count)(np.arange(3.0)).tolist() == [0, 1, 2]
    assert v.item() == 1
    dlc.compile(dlc.vmap(count))(np.arange(3.0))
    assert v.item() == 2

    def differ(x):
        v.assign(x)
        return x

    with pytest.raises(dlc.ValueRangeError, match="a variable holds one value"):
        dlc.vmap(differ)(np.arange(3, dtype=np.float32))
    assert v.item() == 2


def test_each_element_has_random_numbers_of_its_own_key():
    keys = dlc.random.split(dlc.random.key(3), 4)

    def draw(k):
        a, b = dlc.random.split(k)
        return dlc.random.normal(a, (3,)), dlc.random.uniform(dlc.random.fold_in(b, 7), (2,))

    expected = [draw(keys[k]) for k in range(4)]
    for g in both(dlc.vmap(draw)):
        for found, rows in zip(g(keys), zip(*expected, strict=True), strict=True):
            assert found.tolist() == [row.tolist() for row in rows]
    same = dlc.vmap(lambda x: x + dlc.random.normal(keys[0], ()))(np.zeros(3, np.float32))
    assert len(set(same.tolist())) == 1


def test_one_program_serves_batches_of_any_size():
    f = dlc.compile(dlc.vmap(lambda x, y: dlc.softmax(x) @ y, in_axes=(0, 1)))
    for size in (4, 7, 9, 30):
        x, y = rng.standard_normal((size, 3)), rng.standard_normal((3, size))
        e = np.exp(x - x.max(1, keepdims=True))
        expected = (e / e.sum(1, keepdims=True) * y.T).sum(1)
        np.testing.assert_allclose(f(x, y).numpy(), expected, rtol=1e-12)
    assert f.stats.traces <= 3


def test_writes_stay_inside():
    x = dlc.asarray(X)

    def f(row, shared):
        row[0] = 0.0
        shared[0] = 1.0
        return row + shared

    shared = dlc.zeros((3,), dtype="f64")
    expected = X.copy()
    expected[:, 0] = 1
    np.testing.assert_allclose(dlc.vmap(f, in_axes=(0, None))(x, shared).numpy(), expected)
    assert x.tolist() == X.tolist()
    assert shared.tolist() == [0, 0, 0]


def test_forward_mode_and_vjp():
    def f(x):
        return dlc.tanh(x @ W)

    t = rng.standard_normal(X.shape)
    value, slope = dlc.jvp(dlc.vmap(f), (X,), (t,))
    expected = looped(lambda x, t: dlc.jvp(f, (x,), (t,))[1].numpy(), X, t)
    np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-12)
    each = dlc.vmap(lambda x, t: dlc.jvp(f, (x,), (t,)))(X, t)
    np.testing.assert_allclose(each[1].numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(each[0].numpy(), value.numpy(), rtol=1e-15)
    ct = rng.standard_normal((4, 5))
    _, pull_back = dlc.vjp(dlc.vmap(f), X)
    back = dlc.vmap(lambda x, ct: dlc.vjp(f, x)[1](ct)[0])(X, ct)
    np.testing.assert_allclose(pull_back(ct)[0].numpy(), back.numpy(), rtol=1e-12)
    # A pull-back of one point, over a batch of cotangents.
    _, at = dlc.vjp(f, X[0])
    many = dlc.vmap(at)(ct)[0].numpy()
    np.testing.assert_allclose(many, looped(lambda c: at(c)[0].numpy(), ct), rtol=1e-12)


def identity(x, y=None):
    return x


ERRORS = [
    (lambda: dlc.vmap(3), dlc.ArgumentError, "vmap of a int"),
    (
        lambda: dlc.vmap(identity)({"p": X}, W),
        dlc.ShapeError,
        r"x\['p'\] has 4 \(axis 0 of f64\[4,3\]\), y has 3",
    ),
    (lambda: dlc.vmap(identity, in_axes=2)(X), dlc.IndexRangeError, "axis 2 of x"),
    (lambda: dlc.vmap(identity, in_axes=-3)(X), dlc.IndexRangeError, "axis -3 of x"),
    (lambda: dlc.vmap(identity, in_axes=(0, 1))(X), dlc.ValueRangeError, "in_axes for 2"),
    (lambda: dlc.vmap(identity, in_axes=True)(X), dlc.ArgumentError, "in_axes=True"),
    (lambda: dlc.vmap(identity, in_axes="a")(X), dlc.ArgumentError, "in_axes='a'"),
    (lambda: dlc.vmap(identity, in_axes=({"a": 0},))(X), dlc.ArgumentError, "structure"),
    (lambda: dlc.vmap(identity, in_axes=None)(X), dlc.ArgumentError, "maps no argument"),
    (lambda: dlc.vmap(identity)(2.0), dlc.IndexRangeError, "has 0 axes"),
    (lambda: dlc.vmap(identity)("text"), dlc.ArgumentError, "x, a str"),
    (lambda: dlc.vmap(identity, out_axes=2)(X), dlc.IndexRangeError, "at axis 2"),
    (lambda: dlc.vmap(identity, out_axes=(0, 0))(X), dlc.ArgumentError, "out_axes"),
    (lambda: dlc.vmap(identity, out_axes=None)(X), dlc.ValueRangeError, "differs between"),
    (lambda: dlc.vmap(lambda x: float(x[0]))(X), dlc.TracedValueError, "vmap"),
    (lambda: dlc.vmap(lambda x: "text")(X), dlc.ArgumentError, "returned a str"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
