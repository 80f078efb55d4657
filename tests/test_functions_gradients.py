"""Gradients of the public functions against finite differences, to first and second order."""

import functions_harness as h
import numpy as np
import pytest

import dlc
from dlc.ir.interpret import interpret
from dlc.passes.autodiff import jvp_function, vjp_function

X = (3, 4)
PLACES, FAR = np.array([2, 0, 2]), np.array([2, 5, -4])
MASK = np.array([[True, False, True, False]] * 3)
CASES = {
    **{
        name: (lambda x, name=name: getattr(dlc, name)(x), [X])
        for name in (
            "exp", "exp2", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "asinh",
            "erf", "erfc", "square", "sigmoid", "silu", "gelu", "softplus", "log_sigmoid",
            "softmax", "log_softmax", "logsumexp", "mean", "var", "std", "sum", "prod", "max",
            "min", "abs", "relu", "reciprocal", "cbrt",
        )
    },
    **{
        f"{name} of a positive": (lambda x, name=name: getattr(dlc, name)(x * x + 1.1), [X])
        for name in ("sqrt", "rsqrt", "log", "log2", "log10", "log1p", "acosh")
    },
    **{
        f"{name} within 1": (lambda x, name=name: getattr(dlc, name)(dlc.tanh(x) * 0.9), [X])
        for name in ("asin", "acos", "atanh")
    },
    **{
        name: (lambda x, y, name=name: getattr(dlc, name)(x, y), [X, (4,)])
        for name in (
            "add", "subtract", "multiply", "divide", "maximum", "minimum", "atan2", "hypot",
            "logaddexp", "copysign", "outer", "matmul",
        )
    },
    "pow": (lambda x, y: dlc.pow(x * x + 0.5, y), [X, (4,)]),
    "pow of 3": (lambda x: x**3, [X]),
    "remainder": (lambda x: dlc.remainder(x, 1.7), [X]),
    "clip": (lambda x: dlc.clip(x, -1.0, 1.0), [X]),
    "where": (lambda x, y: dlc.where(x > 0, x * y, y), [X, (4,)]),
    "sum of axes": (lambda x: dlc.sum(x, axis=(0, 2), keepdims=True), [(2, 3, 4)]),
    "prod of an axis": (lambda x: dlc.prod(x, axis=1), [X]),
    "max of an axis": (lambda x: dlc.max(x, axis=0), [X]),
    "softmax of axes": (lambda x: dlc.softmax(x, axis=(0, 2)), [(2, 3, 4)]),
    "matmul of stacks": (dlc.matmul, [(5, 1, 2, 3), (6, 3, 4)]),
    "index by arrays": (lambda x: x[PLACES, :, PLACES], [(3, 2, 4)]),
    "index of a middle axis": (lambda x: x[:, PLACES], [(2, 3, 2)]),
    "index by a mask": (lambda x: x[MASK], [X]),
    "at set": (lambda x, y: x.at[PLACES].set(y), [X, (4,)]),
    "at set of rows": (lambda x, y: x.at[PLACES].set(y), [X, (3, 4)]),
    "at set by two arrays": (lambda x, y: x.at[PLACES, PLACES].set(y), [X, (3,)]),
    "at add": (lambda x, y: x.at[PLACES].add(y), [X, (3, 4)]),
    "at multiply": (lambda x, y: x.at[PLACES].multiply(y), [X, (3, 4)]),
    "at divide": (lambda x, y: x.at[PLACES].divide(y + 5.0), [X, (3, 4)]),
    "at min": (lambda x, y: x.at[PLACES].min(y), [X, (3, 4)]),
    "at max": (lambda x, y: x.at[PLACES].max(y), [X, (3, 4)]),
    "at power": (lambda x, y: (x * x + 0.5).at[PLACES].power(y), [X, (3, 4)]),
    "at apply": (lambda x: x.at[:, PLACES].apply(dlc.sin), [X]),
    "at get with a filling": (lambda x: x.at[FAR].get(mode="fill", fill_value=0), [X]),
    "write through a mask": (lambda x, y: x.at[MASK].set(y), [X, (1,)]),
    "tensordot": (lambda x, y: dlc.tensordot(x, y, axes=((1, 2), (1, 0))), [(2, 3, 4), (4, 3, 5)]),
    "vecdot": (dlc.vecdot, [X, (4,)]),
    "einsum": (lambda x, y: dlc.einsum("ij,kj->ik", x, y), [X, (2, 4)]),
    "einsum of a diagonal": (lambda x: dlc.einsum("iij->ji", x), [(3, 3, 2)]),
    "einsum of three": (lambda x, y, z: dlc.einsum("ij,jk,ik->i", x, y, z), [X, (4, 2), (3, 2)]),
    "reshape": (lambda x: dlc.reshape(x, (2, -1)) ** 2, [X]),
    "concat": (lambda x, y: dlc.concat([x, y, x], axis=0), [X, (2, 4)]),
    "stack": (lambda x: dlc.stack([x, x * 2], axis=1), [X]),
    "split": (lambda x: dlc.split(x, [1, 3], axis=1)[1], [X]),
    "roll": (lambda x: dlc.roll(x, 2, axis=1), [X]),
    "pad": (lambda x: dlc.pad(x, ((1, 2), (0, 3)), mode="reflect"), [X]),
    "tile": (lambda x: dlc.tile(x, (2, 3)), [X]),
    "repeat": (lambda x: dlc.repeat(x, 2, axis=0), [X]),
    "tril": (dlc.tril, [X]),
    "diagonal": (lambda x: dlc.diagonal(x, offset=1), [X]),
    "trace": (dlc.trace, [X]),
    "moveaxis": (lambda x: dlc.moveaxis(x, 0, -1), [(2, 3, 4)]),
    "broadcast_to": (lambda x: dlc.broadcast_to(x, (5, 3, 4)), [X]),
    "take": (lambda x: dlc.take(x, np.array([2, 0, 2]), axis=0), [X]),
    "take_along_axis": (lambda x: dlc.take_along_axis(x, np.array([[3, 3], [0, 1], [2, 2]])), [X]),
    "layer_norm": (dlc.layer_norm, [X, (4,), (4,)]),
    "rms_norm": (dlc.rms_norm, [X, (4,)]),
    "cross_entropy": (lambda x: dlc.cross_entropy(x, np.array([3, 0, 1])), [X]),
    "cross_entropy of probabilities": (dlc.cross_entropy, [X, X]),
    "linspace": (lambda x: dlc.linspace(x, 2.0, 5), [()]),
}  # fmt: skip


def inputs(name, shapes):
    found = [h.values(s, "float64", seed=k) for k, s in enumerate(shapes)]
    if name == "divide":
        found[1] = np.abs(found[1]) + 0.5
    return found


def weighted(function, arrays):
    """The function's IR with its result made a scalar by fixed weights."""

    def scalar(*xs):
        y = function(*xs)
        weights = h.values(tuple(y.shape), "float64", seed=9)
        return dlc.sum(y * dlc.asarray(weights))

    found, outer = h.trace(scalar, arrays, symbolic=False)
    return found, outer


def directional(function, arrays, directions, step=1e-5):
    """The derivative of a scalar function along directions, by central differences."""
    ahead = function([a + step * d for a, d in zip(arrays, directions, strict=True)])
    behind = function([a - step * d for a, d in zip(arrays, directions, strict=True)])
    return (ahead - behind) / (2 * step)


def along(grads, directions):
    return sum((g * d).sum() for g, d in zip(grads, directions, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_first_and_second_order(name):
    function, shapes = CASES[name]
    arrays = inputs(name, shapes)
    found, outer = weighted(function, arrays)
    n = len(arrays)
    wrt = tuple(range(n))
    vjp = vjp_function(found, wrt=wrt)
    one = np.asarray(1.0)

    def value(xs):
        return interpret(found, [*xs, *outer])[0]

    def gradient(xs):
        return interpret(vjp, [*xs, *outer, one])[-n:]

    first = [h.values(a.shape, "float64", seed=20 + k) for k, a in enumerate(arrays)]
    second = [h.values(a.shape, "float64", seed=40 + k) for k, a in enumerate(arrays)]
    got = along(gradient(arrays), first)
    assert np.isclose(got, directional(value, arrays, first), rtol=1e-6, atol=1e-7)

    # The tangent of the gradient along one direction, against differences of gradients.
    tangents = interpret(jvp_function(vjp, wrt=wrt), [*arrays, *outer, one, *second])[-n:]
    want = directional(lambda xs: along(gradient(xs), first), arrays, second)
    assert np.isclose(along(tangents, first), want, rtol=1e-6, atol=1e-6)


def test_ties_zeros_and_infinities():
    """Values at which a derivative needs care; none may be NaN."""
    grad = dlc.grad(lambda x: dlc.sum(dlc.relu(x)))
    assert grad(dlc.asarray([-1.0, 0.0, 2.0])).numpy().tolist() == [0, 0, 1]
    grad = dlc.grad(lambda x: dlc.sum(dlc.maximum(x, 1.0)))
    assert grad(dlc.asarray([0.0, 1.0, 2.0])).numpy().tolist() == [0, 0.5, 1]
    grad = dlc.grad(lambda x: dlc.sum(dlc.abs(x)))
    assert grad(dlc.asarray([-2.0, 0.0, 2.0])).numpy().tolist() == [-1, 0, 1]
    grad = dlc.grad(dlc.logsumexp)
    assert grad(dlc.asarray([-np.inf, 0.0, 0.0])).numpy().tolist() == [0, 0.5, 0.5]
    both = dlc.grad(dlc.logaddexp, argnums=(0, 1))
    for x, y, want in (
        (0.0, 0.0, (0.5, 0.5)),
        (-np.inf, 1.0, (0, 1)),
        (-np.inf, -np.inf, (0.5, 0.5)),
    ):
        got = both(dlc.asarray(x), dlc.asarray(y))
        assert tuple(g.item() for g in got) == want
    grad = dlc.grad(lambda x: dlc.cross_entropy(x, np.array([0])))
    assert grad(dlc.asarray([[0.0, -np.inf]])).numpy().tolist() == [[0, 0]]
    grad = dlc.grad(lambda x: dlc.sum(dlc.prod(x, axis=0)))
    assert grad(dlc.asarray([0.0, 2.0, 3.0])).numpy().tolist() == [6, 0, 0]


def distance(x):
    return dlc.cdist(dlc.stack([x, 0 * x])[None], np.array([[0.0, 2.0]])).sum()


# Smooth functions whose formulas have cases that meet at 0, and their derivatives there.
MEETING = {
    "softplus": (dlc.softplus, [0.5, 0.25, 0]),
    "log_sigmoid": (dlc.log_sigmoid, [0.5, -0.25, 0]),
    "logaddexp": (lambda x: dlc.logaddexp(x, 0.0), [0.5, 0.25, 0]),
    "logaddexp2": (lambda x: dlc.logaddexp2(0.0, x), [0.5, np.log(2) / 4, 0]),
    "log_ndtr": (dlc.special.log_ndtr, [(2 / np.pi) ** 0.5, -2 / np.pi]),
    "j0": (dlc.special.j0, [0, -0.5, 0]),
    "j1": (dlc.special.j1, [0.5, 0, -0.375]),
    "xlogy": (lambda x: dlc.xlogy(x, x + 2), [np.log(2), 1, -0.75]),
    "xlog1py": (lambda x: dlc.special.xlog1py(x, x), [0, 2, -3]),
    "cdist": (distance, [0, 0.5, 0]),
    "log_cosh_loss": (lambda x: dlc.nn.functional.log_cosh_loss(x, 0 * x), [0, 1, 0]),
    "huber": (lambda x: dlc.losses.huber(dlc.zeros(1), x[None]), [0, 1, 0]),
}


@pytest.mark.parametrize("name", MEETING)
def test_derivatives_where_cases_of_a_formula_meet(name):
    function, expected = MEETING[name]
    for order, want in enumerate(expected, 1):
        function = dlc.grad(function)
        got = function(dlc.asarray(0.0, dtype=dlc.float64)).item()
        assert got == pytest.approx(want, abs=1e-12), order


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_of_bits_have_the_derivatives_of_what_they_compute(dtype):
    x = np.array([0.7, -3.0, 1e-3, 40.0, 2.0**-126, -(2.0**100)], dtype)
    y = np.array([1.0, -4.0, 0.0, 39.0, 1.0, 0.0], dtype)
    for f in (dlc.grad, lambda g, **k: dlc.compile(dlc.grad(g, **k))):
        near = f(lambda a, b: dlc.sum(dlc.nextafter(a, b)), argnums=(0, 1))(x, y)
        assert near[0].tolist() == [1.0] * 6
        assert near[1].tolist() == [0.0] * 6
        fraction = f(lambda a: dlc.sum(dlc.frexp(a)[0]))(x)
        np.testing.assert_array_equal(fraction.numpy(), np.exp2(-np.frexp(x)[1]).astype(dtype))


@pytest.mark.parametrize(
    "function",
    [dlc.std, dlc.nanstd, lambda x: dlc.std_mean(x)[0], lambda x: dlc.linalg.vector_norm(x, ord=3)],
)
def test_roots_of_sums_of_powers_are_flat_at_zero(function):
    x = dlc.zeros((2, 3), dtype=dlc.float64)
    slope = dlc.grad(lambda t: dlc.sum(function(t) + t[0, 1]))(x)
    np.testing.assert_array_equal(slope.numpy(), [[0, 1, 0], [0, 0, 0]])
    assert dlc.jvp(function, (x,), (dlc.ones_like(x),))[1].item() == 0
