"""`dlc.linalg` against NumPy and PyTorch: values, gradients, shapes, dtypes, bad input."""

import numpy as np
import pytest
import torch

import dlc
from dlc.ir.errors import LinAlgError, ShapeError, ValueRangeError

RNG = np.random.default_rng(7)


def definite(*shape):
    x = RNG.standard_normal(shape)
    return x @ np.swapaxes(x, -1, -2) + shape[-1] * np.eye(shape[-1])


def general(*shape):
    return RNG.standard_normal(shape) + 2 * np.eye(shape[-2], shape[-1])


def agree(f, g, *args, bound=1e-10):
    """`f` of dlc and `g` of torch on float64 arrays: values and gradients, eager and compiled."""
    leaves = [torch.tensor(a, requires_grad=True) for a in args]
    want = g(*leaves)
    weights = np.random.default_rng(1).standard_normal(tuple(want.shape))
    (want * torch.tensor(weights)).sum().backward()

    def loss(*xs):
        return dlc.sum(f(*xs) * weights)

    numbers = tuple(range(len(args)))
    for value, gradient in (
        (f, dlc.grad(loss, argnums=numbers)),
        (dlc.compile(f), dlc.compile(dlc.grad(loss, argnums=numbers))),
    ):
        near(value(*map(dlc.asarray, args)).numpy(), want.detach().numpy(), bound)
        found = gradient(*map(dlc.asarray, args))
        for x, leaf in zip(found, leaves, strict=True):
            near(x.numpy(), leaf.grad.numpy(), bound)


def near(got, want, bound):
    assert got.shape == want.shape
    assert np.max(np.abs(got - want), initial=0.0) <= bound * (
        1 + np.max(np.abs(want), initial=0.0)
    )


@pytest.mark.parametrize("shape", [(4, 4), (1, 1), (2, 3, 5, 5), (70, 70)])
def test_cholesky(shape):
    x = definite(*shape)
    agree(dlc.linalg.cholesky, torch.linalg.cholesky, x)
    agree(
        lambda x: dlc.linalg.cholesky(x, upper=True),
        lambda x: torch.linalg.cholesky(x, upper=True),
        x,
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [((4, 4), (4,)), ((4, 4), (4, 3)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 5, 3, 1)), ((1, 1), (1,))],
)
def test_solve(a, b):
    agree(
        dlc.linalg.solve,
        lambda x, y: torch.linalg.solve(x, y if y.ndim > 1 else y[:, None]).reshape(
            y.shape
            if y.ndim == 1
            else (*torch.broadcast_shapes(x.shape[:-2], y.shape[:-2]), *y.shape[-2:])
        ),
        general(*a),
        RNG.standard_normal(b),
    )


@pytest.mark.parametrize("shape", [(4, 4), (3, 2, 2), (1, 1)])
def test_inv(shape):
    agree(dlc.linalg.inv, torch.linalg.inv, general(*shape))


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("trans", [0, "T"])
@pytest.mark.parametrize("unit", [False, True])
def test_solve_triangular(lower, trans, unit):
    def reference(a, b):
        upper = lower if trans else not lower
        a = a.mT if trans else a
        return torch.linalg.solve_triangular(a, b, upper=upper, unitriangular=unit)

    for n in (5, 131):
        agree(
            lambda a, b: dlc.linalg.solve_triangular(
                a, b, lower=lower, trans=trans, unit_diagonal=unit
            ),
            reference,
            general(n, n) / n + 2 * np.eye(n),
            RNG.standard_normal((n, 3)),
        )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32"])
def test_other_dtypes(dtype):
    a = dlc.asarray(np.array([[4, 2], [2, 3]]), dtype=dtype)
    want = "float32" if dtype == "int32" else dtype
    for f in (dlc.linalg.cholesky, dlc.linalg.inv, lambda x: dlc.linalg.solve(x, x)):
        assert str(f(a).dtype.name) == want
    near(dlc.linalg.inv(a).numpy().astype(float), np.linalg.inv([[4.0, 2], [2, 3]]), 4e-3)


def test_second_derivatives():
    x = definite(3, 3)

    def f(x):
        return dlc.sum(dlc.linalg.cholesky(x) ** 2 * np.arange(9.0).reshape(3, 3))

    t = RNG.standard_normal((3, 3))
    g = dlc.grad(lambda x: dlc.sum(dlc.grad(f)(x) * t))(dlc.asarray(x)).numpy()
    want = torch.autograd.functional.hessian(
        lambda x: (torch.linalg.cholesky(x) ** 2 * torch.arange(9.0).reshape(3, 3)).sum(),
        torch.tensor(x),
    )
    near(g, np.einsum("ijkl,kl->ij", want.numpy(), t), 1e-9)


def test_matrices_that_have_no_answer():
    singular = np.ones((3, 3))
    for f in (dlc.linalg.inv, lambda x: dlc.linalg.solve(x, x)):
        for g in (f, dlc.compile(f)):
            with pytest.raises(LinAlgError, match="is singular"):
                g(singular)
    for bad in (-np.eye(2), np.zeros((2, 2))):
        with pytest.raises(LinAlgError, match="positive definite"):
            dlc.linalg.cholesky(bad)
    for f in (dlc.linalg.cholesky, dlc.linalg.inv, lambda x: dlc.linalg.solve(x, np.ones(2))):
        assert np.isnan(f(np.full((2, 2), np.nan)).numpy()).any()
    assert np.isinf(dlc.linalg.solve_triangular(np.zeros((1, 1)), np.ones(1)).item())


def test_bad_input():
    for f in (dlc.linalg.cholesky, dlc.linalg.inv):
        with pytest.raises(ShapeError, match="square"):
            f(np.ones((2, 3)))
        with pytest.raises(ShapeError, match="a matrix"):
            f(np.ones(3))
    with pytest.raises(ShapeError, match="rows"):
        dlc.linalg.solve(np.eye(3), np.ones(4))
    with pytest.raises(ShapeError, match="matrix"):
        dlc.linalg.solve(np.eye(3), 1.0)
    with pytest.raises(ShapeError, match="axis"):
        dlc.linalg.solve(np.ones((2, 3, 3)), np.ones((4, 3, 1)))
    with pytest.raises(ValueRangeError, match="trans"):
        dlc.linalg.solve_triangular(np.eye(3), np.ones(3), trans=2)
