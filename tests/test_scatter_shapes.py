"""Additions at given places against PyTorch on 30 shapes: values and gradients at float64."""

import numpy as np
import pytest
import torch

import dlc


def shapes(seed):
    """A tensor, an axis, and places along it, several of them equal."""
    rng = np.random.default_rng([9, seed])
    shape = tuple(int(d) for d in rng.choice([1, 2, 5, 16, 33], rng.integers(1, 4)))
    axis = int(rng.integers(0, len(shape)))
    places = rng.integers(0, shape[axis], tuple(rng.integers(1, 40, rng.integers(1, 3))))
    return rng, shape, axis, places


def judge(got, exact, dtype):
    """Within the rounding of sums of some hundred terms."""
    bound = 1e-13 if dtype == np.float64 else 1e-5
    scale = max(1.0, float(np.abs(exact).max(initial=0.0)))
    np.testing.assert_allclose(got.numpy().astype(np.float64), exact, atol=bound * scale)


@pytest.mark.parametrize("seed", range(30))
def test_the_gradient_of_taken_slices(seed):
    dtype = (np.float32, np.float64)[seed % 2]
    rng, shape, axis, places = shapes(seed)
    x = rng.standard_normal(shape).astype(dtype)
    w = rng.standard_normal((*shape[:axis], *places.shape, *shape[axis + 1 :])).astype(dtype)

    def loss(v, p, factors):
        return dlc.sum(dlc.take(v, p, axis=axis) * factors)

    t = torch.tensor(x.astype(np.float64), requires_grad=True)
    taken = torch.index_select(t, axis, torch.tensor(places.reshape(-1)))
    (taken * torch.tensor(w.astype(np.float64)).reshape(taken.shape)).sum().backward()
    for grad in (dlc.grad(loss), dlc.compile(dlc.grad(loss))):
        judge(grad(x, places, w), t.grad.numpy(), dtype)


@pytest.mark.parametrize("seed", range(30))
def test_the_gradient_of_elements_taken_along_an_axis(seed):
    dtype = (np.float32, np.float64)[seed % 2]
    rng, shape, axis, _ = shapes(seed)
    count = int(rng.integers(1, 30))
    at = (*shape[:axis], count, *shape[axis + 1 :])
    places = rng.integers(0, shape[axis], at)
    x = rng.standard_normal(shape).astype(dtype)
    w = rng.standard_normal(at).astype(dtype)

    def loss(v, p, factors):
        return dlc.sum(dlc.take_along_axis(v, p, axis=axis) * factors)

    t = torch.tensor(x.astype(np.float64), requires_grad=True)
    taken = torch.gather(t, axis, torch.tensor(places))
    (taken * torch.tensor(w.astype(np.float64))).sum().backward()
    for grad in (dlc.grad(loss), dlc.compile(dlc.grad(loss))):
        judge(grad(x, places, w), t.grad.numpy(), dtype)


def test_the_order_of_additions_does_not_depend_on_threads():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 700, 64)).astype(np.float32)
    places = rng.integers(0, 5, 700)

    def loss(v, p, factors):
        return dlc.sum(dlc.take(v, p, axis=0) * factors)

    found = [
        dlc.compile(dlc.grad(loss), num_threads=n)(x, places, w).numpy().tobytes()
        for n in (1, 2, 3, 7)
    ]
    assert len(set(found)) == 1
