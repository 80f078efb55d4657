"""Functions with derivatives of their own and checkpoints in loops, and loops in them."""

import numpy as np
import pytest

import dlc

X = np.array([0.3, 1.0, -0.5])
STEPS = np.linspace(0.5, 1.5, 6)


def plain(c):
    return dlc.sin(c) + 0.1 * c * c


custom_vjp = dlc.custom_vjp(plain)
custom_vjp.defvjp(lambda c: (custom_vjp(c), c), lambda c, ct: (ct * (dlc.cos(c) + 0.2 * c),))
custom_jvp = dlc.custom_jvp(plain)
custom_jvp.defjvp(lambda x, t: (custom_jvp(*x), t[0] * (dlc.cos(x[0]) + 0.2 * x[0])))


class Function(dlc.autograd.Function):
    @staticmethod
    def forward(ctx, c):
        ctx.save_for_backward(c)
        return plain(c)

    @staticmethod
    def backward(ctx, ct):
        (c,) = ctx.saved_tensors
        return ct * (dlc.cos(c) + 0.2 * c)


FUNCTIONS = {
    "checkpoint": dlc.checkpoint(plain),
    "custom_vjp": custom_vjp,
    "custom_jvp": custom_jvp,
    "autograd.Function": Function.apply,
}


def along(f):
    """The derivative in the direction of the point itself."""
    return lambda x: dlc.jvp(f, (x,), (x,))[1]


def by_scan(f):
    def loss(x):
        carry, _ = dlc.scan(lambda c, t: (f(c) * t, None), x, dlc.asarray(STEPS))
        return carry.sum()

    return loss


def by_while(f):
    def loss(x):
        start = dlc.asarray(0), x
        _, carry = dlc.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, f(s[1])), start)
        return carry.sum()

    return loss


def by_branches(f):
    return lambda x: dlc.cond(x.sum() > 0, lambda x: f(x).sum(), lambda x: (x * x).sum(), x)


@pytest.mark.parametrize("loop", [by_scan, by_while, by_branches])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_inside_of_loops(name, loop):
    f, same = loop(FUNCTIONS[name]), loop(plain)
    rows = np.stack([X, 2 * X, -X])
    for transform, x in (
        (dlc.grad, X), (dlc.hessian, X), (lambda f: dlc.vmap(dlc.grad(f)), rows),
        (along, X),
    ):  # fmt: skip
        for way in (lambda g: g, dlc.compile):
            found = way(transform(f))(x).numpy()
            np.testing.assert_allclose(found, transform(same)(x).numpy(), rtol=1e-10, atol=1e-12)


def test_loops_inside():
    inner = by_scan(plain)
    custom = dlc.custom_vjp(inner)
    custom.defvjp(lambda x: (inner(x), x), lambda x, ct: (dlc.grad(inner)(x) * ct,))
    for f in (dlc.checkpoint(inner), custom):
        for transform, x in (
            (dlc.grad, X), (dlc.hessian, X), (lambda f: dlc.vmap(dlc.grad(f)), np.stack([X, -X])),
        ):  # fmt: skip
            found = dlc.compile(transform(f))(x).numpy()
            np.testing.assert_allclose(found, transform(inner)(x).numpy(), rtol=1e-10)
