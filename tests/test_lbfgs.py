"""`LBFGS`: the same steps and evaluations as PyTorch's, its state, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dlc
from dlc import optim

RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal(6), RNG.standard_normal((2, 2))


def rosenbrock(x, y):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum() + (y**2).sum()


def closure(optimizer, x, y, calls):
    def evaluate():
        optimizer.zero_grad()
        loss = rosenbrock(x, y)
        loss.backward()
        calls.append(loss.item())
        return loss

    return evaluate


def variables(dtype=dlc.float64):
    return [dlc.Variable(v, requires_grad=True, dtype=dtype) for v in (X, Y)]


SETTINGS = [
    {},
    {"lr": 0.1, "history_size": 2, "max_iter": 5},
    {"max_iter": 1},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "lr": 0.1, "history_size": 3, "max_eval": 7},
    {"line_search_fn": "strong_wolfe", "max_iter": 2, "max_eval": 1},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_as_pytorch(settings):
    theirs = [torch.tensor(v, requires_grad=True) for v in (X, Y)]
    ours = variables()
    one, other = torch.optim.LBFGS(theirs, **settings), optim.LBFGS(ours, **settings)
    wanted, got = [], []
    for k in range(2):
        first = one.step(closure(one, *theirs, wanted))
        assert other.step(closure(other, *ours, got)).item() == pytest.approx(first.item())
        if k == 0:  # goes on in another optimizer
            state, other = other.state_dict(), optim.LBFGS(ours, **settings)
            other.load_state_dict(state)
    assert len(got) == len(wanted)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    for p, v in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(v.numpy(), p.detach().numpy(), rtol=1e-6)
    assert other.iterations.item() == one.state[theirs[0]]["n_iter"]


def test_the_loss_is_compiled_and_parameters_are_of_half_types():
    w = dlc.Variable([3.0, -2.0], requires_grad=True, dtype=dlc.float16)
    still = dlc.Variable(np.zeros((0, 3)), requires_grad=True)
    optimizer = optim.LBFGS([w, still], lr=0.5)

    @dlc.compile
    def loss_and_gradients():
        optimizer.zero_grad()
        loss = ((w - 1.0) ** 2).sum()
        loss.backward()
        return loss

    first = optimizer.step(loss_and_gradients)
    assert first.item() == 13.0
    assert w.dtype == dlc.float16
    np.testing.assert_allclose(w.numpy(), 1.0, atol=2e-3)


def test_a_loss_that_is_not_finite_ends_the_step():
    w = dlc.Variable([1.0], requires_grad=True)
    for search in (None, "strong_wolfe"):
        optimizer, calls = optim.LBFGS([w], line_search_fn=search), []

        def evaluate(optimizer=optimizer, calls=calls):
            optimizer.zero_grad()
            loss = (w * float("nan")).sum()
            loss.backward()
            calls.append(loss)
            return loss

        optimizer.step(evaluate)
        assert len(calls) == 1


@pytest.mark.parametrize(
    ("use", "error", "words"),
    [
        (lambda v: optim.LBFGS(v, clipnorm=1.0), dlc.ArgumentError, "clipnorm"),
        (lambda v: optim.LBFGS(v, max_iter=0), dlc.ValueRangeError, "max_iter"),
        (lambda v: optim.LBFGS(v, line_search_fn="wolfe"), dlc.ValueRangeError, "strong_wolfe"),
        (lambda v: optim.LBFGS(learning_rate=0.1), dlc.ArgumentError, "step"),
        (lambda v: optim.get("lbfgs"), dlc.ArgumentError, "step"),
        (lambda v: optim.LBFGS([{"params": v[:1]}, {"params": v[1:]}]), dlc.ArgumentError, "one"),
        (lambda v: optim.LBFGS(v).step(), dlc.ArgumentError, "closure"),
        (lambda v: optim.LBFGS(v).step(lambda: None), dlc.ArgumentError, "return the loss"),
        (lambda v: optim.LBFGS(v).step(lambda: 1.0), dlc.ArgumentError, "backward"),
        (lambda v: optim.LBFGS(v).apply([X, Y], v), dlc.ArgumentError, "closure"),
        (lambda v: optim.LBFGS(v).init(v), dlc.ArgumentError, "closure"),
    ],
)
def test_wrong_use_is_an_error(use, error, words):
    with pytest.raises(error, match=words):
        use(variables())


def test_a_step_in_compiled_code_is_an_error():
    optimizer = optim.LBFGS(variables())
    with pytest.raises(dlc.TracedValueError, match="call step outside"):
        dlc.compile(lambda: optimizer.step(lambda: 1.0))()


def test_a_state_of_other_parameters_changes_nothing():
    ours = variables()
    optimizer = optim.LBFGS(ours)
    optimizer.step(closure(optimizer, *ours, []))
    state = optimizer.state_dict()
    for wrong in (
        {k: v for k, v in state.items() if k != "moves"},
        {**state, "direction": dlc.zeros(3)},
        {**state, "turns": state["turns"][:-1]},
        {**state, "more": dlc.zeros(3)},
    ):
        fresh = optim.LBFGS(ours)
        with pytest.raises(dlc.ValueRangeError):
            fresh.load_state_dict(wrong)
        assert "direction" not in fresh.state_dict()
