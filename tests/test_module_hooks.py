"""Hooks of gradients against PyTorch's, and of states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dlc
from dlc import nn

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def models():
    ours = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def run(model, how):
    def loss(m, x):
        return (m(x) ** 2).sum()

    if how == "backward":
        loss(model, X).backward()
    elif how == "compiled":
        dlc.compile(dlc.grad(loss))(model, X)
    else:
        dlc.grad(loss)(model, X)


@pytest.mark.parametrize("how", ["backward", "grad", "compiled"])
def test_backward_hooks_see_what_pytorchs_see(how):
    ours, theirs = models()
    seen, wanted = [], []
    for k in (1, 2):
        ours[k].register_full_backward_hook(
            lambda m, gi, go: seen.append((type(m).__name__, *gi, *go))
        )
        theirs[k].register_full_backward_hook(
            lambda m, gi, go: wanted.append((type(m).__name__, *(g.numpy() for g in (*gi, *go))))
        )
    first = []
    ours[0].register_full_backward_pre_hook(lambda m, go: first.append((m, *go)))
    theirs[0].register_full_backward_pre_hook(lambda m, go: wanted.append(("first", *go)))
    run(ours, how)
    (theirs(torch.tensor(X, requires_grad=True)) ** 2).sum().backward()
    assert [s[0] for s in seen] == [w[0] for w in wanted[:2]] == ["Linear", "Tanh"]
    for s, w in zip(seen, wanted, strict=False):
        for a, b in zip(s[1:], w[1:], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    ((module, gradient),) = first
    assert module is ours[0]
    np.testing.assert_allclose(gradient, wanted[2][1].numpy(), rtol=1e-5, atol=1e-6)


def test_backward_hooks_are_removed_and_replace_nothing():
    ours, _ = models()
    seen = []
    handle = ours[1].register_full_backward_hook(lambda m, gi, go: seen.append(1))
    step = dlc.compile(lambda x: dlc.grad(lambda m: (m(x) ** 2).sum())(ours))
    step(X)
    step(X)
    handle.remove()
    step(X)
    assert len(seen) == 2
    ours[1].register_full_backward_hook(lambda m, gi, go: gi)
    with pytest.raises(dlc.ArgumentError, match="cannot replace"):
        run(ours, "grad")


def test_hooks_of_states():
    model = nn.Sequential(nn.Linear(4, 2))

    def old_names(module, state, prefix, _metadata):
        state[f"{prefix}w"] = state.pop(f"{prefix}weight")

    def new_names(module, state, prefix, _metadata, strict, *_lists):
        assert strict
        state[f"{prefix}weight"] = state.pop(f"{prefix}w")

    out = model[0].register_state_dict_post_hook(old_names)
    model[0].register_load_state_dict_pre_hook(new_names)
    state = model.state_dict()
    assert list(state) == ["0.bias", "0.w"]
    assert list(model[0].state_dict()) == ["bias", "w"]
    model.load_state_dict(state)
    assert "0.w" in state
    out.remove()
    assert "0.weight" in model.state_dict()
    model.register_state_dict_post_hook(lambda m, s, p, _: {"n": len(s), **s})
    assert model.state_dict()["n"] == 2
