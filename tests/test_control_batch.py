"""Loops and branches of a batch: each element as by itself, under any nesting with gradients."""

import numpy as np
import pytest
from test_control_derivatives import FUNCTIONS, at

import dlc

XS, NS = np.array([0.7, -0.3, 1.4]), np.array([4, 0, 2])


def one_by_one(f, xs, ns):
    return [f(at(x), dlc.asarray(n)).item() for x, n in zip(xs, ns, strict=True)]


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_elements_are_as_by_themselves(f):
    for h in (f, dlc.grad(f), dlc.grad(dlc.grad(f))):
        ways = [
            (lambda xs, ns, h=h: dlc.vmap(h)(xs, ns), XS, NS),
            (lambda xs, ns, h=h: dlc.vmap(lambda x: h(x, ns[0]))(xs), XS, [4, 4, 4]),
            (lambda xs, ns, h=h: dlc.vmap(lambda n: h(xs[0], n))(ns), [XS[0]] * 3, NS),
        ]
        for way, xs, ns in ways:
            want = one_by_one(h, xs, ns)
            for run in (way, dlc.compile(way)) if h is not f else (way,):
                got = run(dlc.asarray(XS), dlc.asarray(NS)).numpy()
                np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_gradients_of_batches(f):
    def total(xs):
        return dlc.sum(dlc.vmap(f)(xs, dlc.asarray(NS)))

    want = one_by_one(dlc.grad(f), XS, NS)
    got = dlc.compile(dlc.grad(total))(dlc.asarray(XS)).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_batches_of_batches():
    f = FUNCTIONS[0]
    rows = dlc.vmap(lambda x: dlc.vmap(lambda n: f(x, n))(dlc.asarray(NS)))(dlc.asarray(XS))
    want = [one_by_one(f, [x] * 3, NS) for x in XS]
    np.testing.assert_allclose(rows.numpy(), want, rtol=1e-12)


def test_axes_and_what_is_the_same_for_all():
    def f(x, w):
        return dlc.scan(lambda c, r: (dlc.tanh(c + r * w), c), dlc.zeros(()), x)

    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((5, 3)).astype(np.float32), np.float32(0.5)
    last, ys = dlc.vmap(f, in_axes=(1, None), out_axes=(0, 1))(x, w)
    assert (last.shape, ys.shape) == ((3,), (5, 3))
    for k in range(3):
        alone, rows = f(x[:, k], w)
        np.testing.assert_allclose(last[k].item(), alone.item(), rtol=1e-6)
        np.testing.assert_allclose(ys[:, k].numpy(), rows.numpy(), rtol=1e-6)


def test_elements_that_are_done_stay_as_they_are():
    """Others go on, and what the body makes of a value that is done does not count."""

    def root(a):
        def step(c):
            x, count = c
            return dlc.where(count > 40, dlc.nan, 0.5 * (x + a / x)), count + 1

        return dlc.while_loop(lambda c: dlc.abs(c[0] * c[0] - a) > 1e-9 * a, step, (a, 0))

    values = np.array([1.0, 2.0, 1e6, 3.0])
    roots, counts = dlc.vmap(root)(dlc.asarray(values))
    np.testing.assert_allclose(roots.numpy(), np.sqrt(values), rtol=1e-8)
    assert counts.tolist() == [root(at(a))[1].item() for a in values]
    assert counts[0].item() == 0


def test_a_branch_that_was_not_taken_runs_no_loop_by_what_the_other_keeps():
    # One branch keeps how often its loop ran, the other an index, which is as well an integer.
    def inner(x, a):
        def body(d):
            return d[0] + 1, dlc.tanh(d[1]) + 0.3 * a * x[d[0]], d[0] > 5

        return lambda b: dlc.while_loop(lambda d: (d[0] < 3) & d[2], body, (0, b, True))[1]

    def loop(x, a):
        step = inner(x, a)
        return dlc.while_loop(
            lambda c: (c[0] < 3) & (dlc.sin(a) > 0.9),
            lambda c: (c[0] + 1, step(c[1])),
            (0, 0.5 * a),
        )[1]

    def f(a, x, k):
        return dlc.cond(k == 3, lambda: loop(x, a), lambda: a * x[k % 3])

    xs, ks = np.arange(12.0).reshape(4, 3), np.array([0, 3, 2, 4])
    both = dlc.compile(dlc.vmap(dlc.grad(f, (0, 1))))
    got, _ = both(np.array([0.85, -0.9, 0.3, 0.2]), xs, ks)
    np.testing.assert_allclose(got, [0.0, 0.5, 8.0, 10.0])


def doubled(x):
    """The least of x, 2x, 4x, ... that is at least 100: without end unless x is positive."""
    return dlc.while_loop(lambda v: v < 100.0, lambda v: v * 2.0, x)


def of_positive(x):
    return dlc.cond(x > 0.0, lambda: doubled(x) + dlc.sqrt(x), lambda: 3.0 * x)


def among_three(x):
    branches = (lambda: dlc.log(x), lambda: doubled(dlc.abs(x)), lambda: dlc.sqrt(-x))
    return dlc.switch(dlc.where(x > 1.5, 0, dlc.where(x > 0.0, 1, 2)), branches)


def down_to_zero(x):
    """A loop in a loop: at the zero at which an element is done the inner one has no end."""

    def body(c):
        v, total = c
        return v - 1.0, total + doubled(v) + dlc.sqrt(v)

    return dlc.while_loop(lambda c: c[0] > 0.0, body, (x, 0.0 * x))[1]


@pytest.mark.parametrize("f", [of_positive, among_three, down_to_zero], ids=lambda f: f.__name__)
@pytest.mark.parametrize("xs", [(1.0, -1.0, 3.0, 0.0, 2.0), (-1.0, -2.0), (1.0, 2.0), ()])
def test_branches_and_iterations_of_others_neither_hang_nor_spoil(f, xs):
    """Where an element does not go, a loop may have no end, and a derivative no finite value."""
    xs = np.array([x for x in xs if x or f is not among_three])
    slopes = [dlc.grad(f)(at(x)).item() for x in xs]
    batch = dlc.vmap(f)
    ways = [
        (batch, [f(at(x)).item() for x in xs]),
        (dlc.vmap(dlc.grad(f)), slopes),
        (dlc.grad(lambda xs: dlc.sum(batch(xs))), slopes),
        (lambda xs: dlc.vmap(dlc.vmap(dlc.grad(f)))(xs[None, :])[0], slopes),
        (lambda xs: dlc.jvp(batch, (xs,), (dlc.ones_like(xs),))[1], slopes),
    ]
    for way, want in ways:
        for run in (way, dlc.compile(way)):
            np.testing.assert_allclose(run(dlc.asarray(xs)).numpy(), want, rtol=1e-12)
