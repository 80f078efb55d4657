"""Transforms in every nesting, against finite differences at extended precision.

Each takes a function R^3 -> R^3 and gives another one; so does what it is compared with, in NumPy.
"""

import itertools
import random

import numpy as np
import pytest

import dlc

C, D = np.array([0.5, -1.0, 0.25]), np.array([0.3, 0.8, -0.6])
X = np.array([0.3, -0.7, 0.9])
STEP = np.longdouble(1e-3)


def base(m):
    return lambda x: m.sin(x) * x[::-1] + 0.5 * x * x


def slope(g, x, d):
    """The derivative of g at x along d: central differences of fourth order."""
    near, far = (g(x + k * STEP * d) - g(x - k * STEP * d) for k in (1, 2))
    return (8 * near - far) / (12 * STEP)


def numeric_gradient(g):
    def total(x):
        return np.sum(g(x) * C)

    return lambda x: np.array([slope(total, x, e) for e in np.eye(3, dtype=x.dtype)])


def twice(x, m):
    return m.stack([x, 0.5 * x])


def custom_vjp(g):
    f = dlc.custom_vjp(g)
    f.defvjp(lambda x: (g(x), x), lambda x, ct: dlc.vjp(g, x)[1](ct))
    return f


def custom_jvp(g):
    f = dlc.custom_jvp(g)
    f.defjvp(lambda x, t: dlc.jvp(g, x, t))
    return f


def function_class(g):
    class Function(dlc.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return g(x)

        @staticmethod
        def backward(ctx, ct):
            return dlc.vjp(g, *ctx.saved_tensors)[1](ct)

    return Function.apply


def same(g):
    return g


TRANSFORMS = {
    "compile": (dlc.compile, same),
    "grad": (lambda g: dlc.grad(lambda x: (g(x) * C).sum()), numeric_gradient),
    "jvp": (lambda g: lambda x: dlc.jvp(g, (x,), (D,))[1], lambda g: lambda x: slope(g, x, D)),
    "vmap": (
        lambda g: lambda x: dlc.vmap(g)(twice(x, dlc)).sum(axis=0),
        lambda g: lambda x: g(x) + g(0.5 * x),
    ),
    "vmap over columns": (
        lambda g: lambda x: dlc.vmap(g, in_axes=1, out_axes=-1)(twice(x, dlc).T) @ np.ones(2),
        lambda g: lambda x: g(x) + g(0.5 * x),
    ),
    "jacobian": (
        lambda g: lambda x: dlc.jacobian(g)(x) @ dlc.asarray(D),
        lambda g: lambda x: slope(g, x, D),
    ),
    "vjp": (lambda g: lambda x: dlc.vjp(g, x)[1](C)[0], numeric_gradient),
    "checkpoint": (dlc.checkpoint, same),
    "custom_vjp": (custom_vjp, same),
    "custom_jvp": (custom_jvp, same),
    "autograd.Function": (function_class, same),
}


def check(names):
    f, numeric = base(dlc), base(np)
    for name in names:
        transform, reference = TRANSFORMS[name]
        f, numeric = transform(f), reference(numeric)
    expected = numeric(X.astype(np.longdouble)).astype(np.float64)
    np.testing.assert_allclose(dlc.asarray(f(X)).numpy(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("inner", TRANSFORMS)
def test_pairs(inner):
    for outer in TRANSFORMS:
        check((inner, outer))


def random_nestings(count):
    rng = random.Random(11)
    triples = list(itertools.product(TRANSFORMS, repeat=3))
    return rng.sample(triples, count)


@pytest.mark.parametrize("names", random_nestings(60), ids="-".join)
def test_triples(names):
    check(names)


def stopped_inside(x):
    return x * dlc.stop_gradient(x * x)


def stopped_by_block(x):
    with dlc.no_grad():
        y = x * x
    return x * y


@dlc.no_grad()
def square(x):
    return x * x


STOPPED = {
    "stop_gradient": stopped_inside,
    "no_grad": stopped_by_block,
    "decorator": lambda x: x * square(x),
    "checkpoint": dlc.checkpoint(stopped_by_block),
    "around checkpoint": lambda x: x * square_checkpointed(x),
    "vmap": lambda x: x * dlc.vmap(square)(x),
    "stopped vmap": dlc.vmap(stopped_inside),
    "compile": dlc.compile(stopped_by_block),
    "around compile": lambda x: x * dlc.stop_gradient(dlc.compile(lambda x: x * x)(x)),
    "around grad": lambda x: x * dlc.stop_gradient(dlc.grad(lambda x: (x**3 / 3).sum())(x)),
    "detach": lambda x: x * (x * x).detach(),
}


@dlc.no_grad()
def square_checkpointed(x):
    return dlc.checkpoint(lambda x: x * x)(x)


@pytest.mark.parametrize("name", STOPPED)
def test_constants_in_all_nestings(name):
    f = STOPPED[name]
    expected = X * X
    slopes = {
        "grad": dlc.grad(lambda x: f(x).sum()),
        "jvp": lambda x: dlc.jvp(f, (x,), (np.ones(3),))[1],
        "vmap of grad": dlc.vmap(dlc.grad(lambda x: f(x[None])[0])),
        "jacobian": lambda x: dlc.jacobian(f)(x).sum(axis=0),
        "checkpoint": dlc.grad(lambda x: dlc.checkpoint(f)(x).sum()),
    }
    for made in slopes.values():
        for way in (made, dlc.compile(made)):
            np.testing.assert_allclose(way(X).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "copied", [lambda a: +a, lambda a: a.reshape(4), lambda a: a[:], lambda a: a.astype(a.dtype)]
)
def test_copies_of_outer_values_are_written_to_inside(copied):
    def f(x, a):
        v = copied(a)
        v[0] = 9.0
        return dlc.sum(x * v)

    x, a = dlc.ones(4), dlc.arange(4, dtype=dlc.float32)
    found = [
        dlc.compile(dlc.grad(f))(x, a),
        dlc.vmap(dlc.grad(f))(x[None], a[None])[0],
        dlc.compile(lambda x, a: dlc.cond(True, lambda: dlc.grad(f)(x, a), lambda: x))(x, a),
        dlc.compile(lambda x, a: dlc.map(lambda r: dlc.grad(f)(r, a), x[None])[0])(x, a),
    ]
    for g in found:
        assert g.tolist() == [9, 1, 2, 3]
    assert a.tolist() == [0, 1, 2, 3]
