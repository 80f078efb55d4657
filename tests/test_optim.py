"""Optimizers: PyTorch's over 50 steps, Keras's by their definitions, and three ways of use."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch

import dlc
from dlc import optim
from dlc.optim import schedules

RNG = np.random.default_rng(11)
FIRST = [RNG.standard_normal((5, 3)), RNG.standard_normal(3)]
GRADIENTS = [[RNG.standard_normal((5, 3)), RNG.standard_normal(3)] for _ in range(50)]


def run_torch(kind, settings):
    parameters = [torch.tensor(p, requires_grad=True) for p in FIRST]
    optimizer = getattr(torch.optim, kind)(parameters, **settings)
    for gradients in GRADIENTS:
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
    return [p.detach().numpy() for p in parameters]


def run_dlc(optimizer_of, dtype=dlc.float64):
    variables = [dlc.Variable(p, requires_grad=True, dtype=dtype) for p in FIRST]
    optimizer = optimizer_of(variables)
    for gradients in GRADIENTS:
        for v, g in zip(variables, gradients, strict=True):
            v.grad = dlc.asarray(g, dtype=dtype)
        optimizer.step()
    assert optimizer.iterations.item() == 50
    return [v.numpy() for v in variables]


TORCH = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5}),
]


@pytest.mark.parametrize(("kind", "settings"), TORCH, ids=str)
def test_as_pytorch(kind, settings):
    wanted = run_torch(kind, settings)
    got = run_dlc(lambda v: getattr(optim, kind)(v, **settings))
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_single_precision_and_pytorchs_defaults(kind):
    wanted = run_torch(kind, {})
    for a, b in zip(run_dlc(getattr(optim, kind), dlc.float32), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "NAdam", "RAdam"])
def test_a_gradient_whose_square_overflows(kind):
    wanted = torch.tensor([1.0, 2.0], requires_grad=True)
    got = dlc.Variable([1.0, 2.0], requires_grad=True)
    judge, optimizer = getattr(torch.optim, kind)([wanted]), getattr(optim, kind)([got])
    for g in (1.0, 1e25, 1.0, 1.0):
        wanted.grad, got.grad = torch.tensor([g, 1.0]), dlc.asarray([g, 1.0])
        judge.step()
        optimizer.step()
    np.testing.assert_allclose(got.numpy(), wanted.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["Adam", "NAdam", "RMSprop", "Adagrad", "Adamax"])
def test_half_types_are_computed_at_single_precision(kind):
    first = [FIRST[1].astype(np.float16) for _ in range(2)]
    exact = [torch.tensor(p.astype(np.float64), requires_grad=True) for p in first]
    half = [dlc.Variable(p, requires_grad=True) for p in first]
    judge, optimizer = getattr(torch.optim, kind)(exact), getattr(optim, kind)(half)
    for _, g in GRADIENTS[:2]:
        for p, v, size in zip(exact, half, (0.0, 300.0), strict=True):
            given = np.asarray(size * g, np.float16)
            p.grad, v.grad = torch.tensor(given.astype(np.float64)), dlc.asarray(given)
        judge.step()
        optimizer.step()
    for p, v in zip(exact, half, strict=True):
        np.testing.assert_allclose(v.numpy(), p.detach().numpy(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", [dlc.float16, dlc.bfloat16])
def test_state_beside_half_types_is_of_single_precision(dtype):
    # Squares of 1e-3 / 2 are 0 in float16, and 0.999 of a square is the square in bfloat16.
    v = dlc.Variable([0.0], dtype=dtype)
    optimizer = optim.Adam(learning_rate=0.125)
    for _ in range(20):
        optimizer.apply_gradients([(dlc.asarray([2.0**-11], dtype=dtype), v)])
    assert v.item() == pytest.approx(-2.5, rel=1e-2)
    weights = {"w": dlc.zeros(1, dtype=dtype)}
    state = optimizer.init(weights)
    for _ in range(20):
        weights, state = optimizer.update({"w": [2.0**-11]}, state, weights)
    assert weights["w"].item() == v.item()

    values = np.linspace(1, 4, 100)
    v = dlc.Variable(values, dtype=dtype)
    held = v.numpy()
    optimizer = optim.SGD(learning_rate=1.0, use_ema=True)
    for k in range(100):
        optimizer.apply_gradients([(dlc.asarray(np.full(100, -4.0 * (k == 50))), v)])
    average = optimizer.state_dict()["0.average"].numpy()
    moved = held.astype(np.float64) + 4 * (1 - 0.99**50)
    np.testing.assert_allclose(average, moved, rtol=5e-3)
    optimizer.finalize_variable_values()
    np.testing.assert_allclose(v.numpy().astype(float), moved, rtol=1e-2)

    v = dlc.Variable([0.0], dtype=dtype)
    optimizer = optim.SGD(learning_rate=1.0, gradient_accumulation_steps=1000)
    for _ in range(1000):
        optimizer.apply_gradients([(dlc.asarray([1.0]), v)])
    assert v.item() == -1


def test_limits_on_gradients_of_half_types():
    gradient = np.full(8, 6e4, np.float16)  # by a factor that float16 rounds to 0
    assert np.allclose(optim.clip_by_norm(gradient, 1e-3).numpy(), 1e-3 / 8**0.5, rtol=2e-3)
    v = dlc.Variable(np.zeros(8), requires_grad=True, dtype=dlc.float16)
    v.grad = dlc.asarray(gradient)
    optim.clip_grad_norm_([v], 1e-3)
    assert np.allclose(v.grad.numpy(), 1e-3 / 8**0.5, rtol=2e-3)


# Keras's formulas, written out.


def keras_sgd(p, g, s, t, lr=0.01, momentum=0.0, nesterov=False):
    s["m"] = momentum * s.get("m", 0) - lr * g
    return p + (momentum * s["m"] - lr * g if nesterov else s["m"])


def keras_adam(p, g, s, t, lr=1e-3, b1=0.9, b2=0.999, eps=1e-7, decay=0.0, amsgrad=False):
    p = p - p * decay * lr
    s["m"] = s.get("m", 0) * b1 + (1 - b1) * g
    s["v"] = s.get("v", 0) * b2 + (1 - b2) * g * g
    v = s["v"]
    if amsgrad:
        v = s["top"] = np.maximum(s.get("top", 0), v)
    alpha = lr * math.sqrt(1 - b2**t) / (1 - b1**t)
    return p - alpha * s["m"] / (np.sqrt(v) + eps)


def keras_rmsprop(p, g, s, t, lr=1e-3, rho=0.9, momentum=0.0, eps=1e-7, centered=False):
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g * g
    s["a"] = rho * s.get("a", 0) + (1 - rho) * g
    spread = s["v"] - s["a"] ** 2 if centered else s["v"]
    move = lr * g / np.sqrt(spread + eps)
    s["m"] = momentum * s.get("m", 0) + move
    return p - (s["m"] if momentum else move)


def keras_adagrad(p, g, s, t, lr=1e-3, eps=1e-7, first=0.1):
    s["v"] = s.get("v", first) + g * g
    return p - lr * g / np.sqrt(s["v"] + eps)


KERAS = [
    (optim.SGD, {}, keras_sgd, {}),
    (optim.SGD, {"momentum": 0.9}, keras_sgd, {"momentum": 0.9}),
    (
        optim.SGD,
        {"momentum": 0.9, "nesterov": True},
        keras_sgd,
        {"momentum": 0.9, "nesterov": True},
    ),
    (optim.Adam, {}, keras_adam, {}),
    (optim.Adam, {"epsilon": 1e-2, "amsgrad": True}, keras_adam, {"eps": 1e-2, "amsgrad": True}),
    (optim.AdamW, {}, keras_adam, {"decay": 0.004}),
    (optim.RMSprop, {}, keras_rmsprop, {}),
    (
        optim.RMSprop,
        {"momentum": 0.9, "centered": True},
        keras_rmsprop,
        {"momentum": 0.9, "centered": True},
    ),
    (optim.Adagrad, {}, keras_adagrad, {}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "settings", "formula", "given"), KERAS)
def test_as_keras_defines_it(kind, settings, formula, given):
    rate = kind.keras["learning_rate"]
    variables = [dlc.Variable(p, dtype=dlc.float64) for p in FIRST]
    optimizer = kind(learning_rate=rate, **settings)
    wanted, states = [p.copy() for p in FIRST], [{}, {}]
    for t, gradients in enumerate(GRADIENTS, 1):
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        wanted = [
            formula(p, g, s, t, **given) for p, g, s in zip(wanted, gradients, states, strict=True)
        ]
    for v, w in zip(variables, wanted, strict=True):
        np.testing.assert_allclose(v.numpy(), w, rtol=1e-11, atol=1e-12)


def quadratic(p):
    return (p["w"] ** 2).sum() + ((p["b"] - 1) ** 2).sum()


def parameters():
    return {"w": np.float32([1, -2, 3]), "b": np.float32([0.5])}


def test_three_ways_and_compiled_steps_agree():
    variables = [dlc.tree.map(dlc.Variable, parameters()) for _ in range(4)]
    keras, functional = optim.Adam(learning_rate=0.1), optim.Adam(learning_rate=0.1)
    inside, same = optim.Adam(learning_rate=0.1), optim.Adam(learning_rate=0.1)
    values = dlc.tree.map(dlc.asarray, parameters())
    state = functional.init(values)
    update = dlc.compile(functional.update)

    @dlc.compile
    def step(p):
        loss, gradients = dlc.value_and_grad(quadratic)(p)
        inside.apply(dlc.tree.leaves(gradients), dlc.tree.leaves(variables[1]))
        return loss

    for _ in range(20):
        gradients = dlc.tree.leaves(dlc.grad(quadratic)(variables[0]))
        keras.apply_gradients(zip(gradients, dlc.tree.leaves(variables[0]), strict=True))
        step(variables[1])
        values, state = update(dlc.grad(quadratic)(values), state, values)
        with dlc.GradientTape() as tape:
            loss = quadratic(variables[2])
        held = dlc.tree.leaves(variables[2])
        same.apply(tape.gradient(loss, held), held)
    first = dlc.tree.map(lambda v: v.numpy(), variables[0])
    for other in (variables[1], values, variables[2]):
        for a, b in zip(dlc.tree.leaves(first), dlc.tree.leaves(other), strict=True):
            np.testing.assert_allclose(b.numpy(), a, rtol=2e-6, atol=1e-7)
    assert step.stats.compilations == 1
    assert keras.iterations.item() == 20


def test_pytorchs_loop():
    w = dlc.Variable([1.0, -2.0], requires_grad=True)
    unused = dlc.Variable([5.0], requires_grad=True)
    optimizer = optim.SGD([w, unused], lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(w.numpy(), np.float32([1, -2]) * 0.8**30, rtol=1e-5)
    assert unused.item() == 5
    w.grad = dlc.asarray([1.0, 1.0])
    assert optimizer.step(lambda: "the loss") == "the loss"
    optimizer.zero_grad(set_to_none=False)
    assert not w.grad.numpy().any()


def test_groups_have_settings_of_their_own():
    a, b = dlc.Variable([1.0]), dlc.Variable([1.0])
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25)
    for v in (a, b):
        v.grad = dlc.asarray([1.0])
    optimizer.step()
    assert (a.item(), b.item()) == (0.75, 0.5)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.param_groups[1]["weight_decay"] = 1.0
    optimizer.step()
    assert (a.item(), b.item()) == (0.75, 0.5 - 0.5 * 1.5)
    assert optimizer.param_groups[1]["lr"] == 0.5


CHANGES = [
    ("SGD", 0, {"momentum": 0.9}),
    ("SGD", 2, {"momentum": 0.9}),
    ("Adam", 2, {"betas": (0.5, 0.6)}),
    ("AdamW", 2, {"weight_decay": 0.3, "betas": (0.5, 0.6)}),
    ("RMSprop", 2, {"alpha": 0.5}),
    ("RMSprop", 0, {"momentum": 0.5, "centered": True}),  # PyTorch's fails later
]


@pytest.mark.parametrize(("kind", "before", "changes"), CHANGES)
def test_changed_settings_of_groups(kind, before, changes):
    wanted = torch.tensor([1.0, 2.0], requires_grad=True)
    got = dlc.Variable([1.0, 2.0], requires_grad=True)
    for p, module in ((wanted, torch.optim), (got, optim)):
        optimizer = getattr(module, kind)([p], lr=0.1)
        group = optimizer.param_groups[0]
        assert len(group["params"]) == 1
        assert "lr" in group
        for t in range(4):
            if t == before:
                for name, value in changes.items():
                    group[name] = value
                    assert group[name] == value
            g = [1.0 + t, -2.0]
            p.grad = torch.tensor(g) if p is wanted else dlc.asarray(g)
            optimizer.step()
    np.testing.assert_allclose(got.numpy(), wanted.detach().numpy(), rtol=1e-5)


def test_settings_of_a_new_group_by_pytorchs_names():
    a, b = dlc.Variable([1.0]), dlc.Variable([1.0])
    optimizer = optim.Adam([{"params": [a], "betas": (0.5, 0.6)}, {"params": [b]}], lr=0.1)
    assert [g["betas"] for g in optimizer.param_groups] == [(0.5, 0.6), (0.9, 0.999)]
    names = ["params", *optim.Adam.torch]
    assert list(optimizer.param_groups[0])[: len(names)] == names
    with pytest.raises(dlc.ArgumentError, match="betas=0.9.: it takes 2 numbers"):
        optim.Adam([a], betas=0.9)
    with pytest.raises(dlc.ArgumentError, match="add_param_group"):
        optimizer.param_groups[0]["params"] = [b]


@pytest.mark.parametrize(
    "setting",
    [{"clipnorm": 1.0}, {"clipvalue": 1.0}, {"global_clipnorm": 1.0}, {"use_ema": True},
     {"gradient_accumulation_steps": 2}],
    ids=str,
)  # fmt: skip
def test_groups_have_no_settings_of_the_whole_optimizer(setting):
    a, b = dlc.Variable([1.0]), dlc.Variable([2.0])
    with pytest.raises(dlc.ArgumentError, match="whole optimizer"):
        optim.SGD([{"params": [a]}, {"params": [b], **setting}], lr=0.1)
    optimizer = optim.SGD([a], lr=0.1, **setting)
    optimizer.add_param_group({"params": [b], **setting})
    group = optimizer.param_groups[1]
    for name, value in setting.items():
        group[name] = value
        with pytest.raises(dlc.ArgumentError, match="whole optimizer"):
            group[name] = 3


def test_a_changed_learning_rate_compiles_nothing():
    w = dlc.Variable([1.0])
    optimizer = optim.SGD(learning_rate=0.5)

    @dlc.compile
    def step():
        optimizer.apply_gradients([(dlc.ones(1), w)])

    for rate in (0.5, 0.25, 0.125):
        optimizer.learning_rate = rate
        step()
    assert w.item() == 1 - 0.5 - 0.25 - 0.125
    assert step.stats.compilations == 1
    assert optimizer.lr == 0.125


def test_accumulated_gradients_are_one_step_of_their_mean():
    v, w = dlc.Variable([1.0, 1.0]), dlc.Variable([1.0, 1.0])
    several = optim.Adam(learning_rate=0.1, gradient_accumulation_steps=3)
    single = optim.Adam(learning_rate=0.1)
    drawn = RNG.standard_normal((2, 3, 2)).astype(np.float32)
    for k in range(6):
        g = drawn[k // 3]
        before = v.numpy().copy()
        several.apply_gradients([(g[k % 3], v)])
        assert (v.numpy() != before).any() == (k % 3 == 2)
        if k % 3 == 2:
            single.apply_gradients([(g.mean(0), w)])
    np.testing.assert_allclose(v.numpy(), w.numpy(), rtol=1e-5)


def test_averages_of_parameters():
    v = dlc.Variable([0.0])
    optimizer = optim.SGD(learning_rate=1.0, use_ema=True, ema_momentum=0.5)
    average = None
    for g in (1.0, 2.0, 4.0):
        optimizer.apply_gradients([(dlc.asarray([g]), v)])
        average = v.item() if average is None else 0.5 * average + 0.5 * v.item()
    optimizer.finalize_variable_values()
    assert v.item() == pytest.approx(average)
    optimizer = optim.SGD(learning_rate=1.0, use_ema=True, gradient_accumulation_steps=2)
    for g in (1.0, 3.0):
        optimizer.apply_gradients([(dlc.asarray([g]), v)])
    first = v.item()
    optimizer.finalize_variable_values()
    assert v.item() == first
    with pytest.raises(dlc.ArgumentError, match="use_ema"):
        optim.SGD().finalize_variable_values()


def test_state_goes_out_and_in():
    v = [dlc.Variable(p, dtype=dlc.float32) for p in FIRST]
    w = [dlc.Variable(p, dtype=dlc.float32) for p in FIRST]
    one, other = optim.Adam(v, lr=0.01), optim.Adam(w, lr=0.5)
    for gradients in GRADIENTS[:5]:
        one.apply(gradients, v)
    for a, b in zip(v, w, strict=True):
        b.assign(a)
    other.load_state_dict(one.state_dict())
    assert other.lr == 0.01
    for optimizer, held in ((one, v), (other, w)):
        optimizer.apply(GRADIENTS[5], held)
    for a, b in zip(v, w, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    with pytest.raises(dlc.ValueRangeError, match=r"0\.mean: missing(.|\n)*1\.mean: missing"):
        other.load_state_dict({"steps": 3, "groups.0.learning_rate": 0.1})
    assert len(one.variables) == 6
    assert "2 parameters, lr=0.01" in repr(one)


def test_limits_on_gradients():
    g = [np.float32([3.0, 0.0]), np.float32([4.0])]
    limited, norm = optim.clip_by_global_norm(g, 1.0)
    assert norm.item() == 5
    np.testing.assert_allclose(limited[1].numpy(), [0.8], rtol=1e-6)
    np.testing.assert_allclose(optim.clip_by_norm(g[0], 1.5).numpy(), [1.5, 0])
    np.testing.assert_array_equal(optim.clip_by_norm(g[0], 10.0).numpy(), g[0])
    np.testing.assert_array_equal(optim.clip_by_value(g[0], -1, 1).numpy(), [1, 0])
    np.testing.assert_array_equal(optim.clip_by_norm(np.zeros(2, np.float32), 1.0).numpy(), [0, 0])
    assert optim.global_norm([]).item() == 0
    for name, wanted in (
        ("clipvalue", [0.9, 0.9]),
        ("clipnorm", [0.9, 0.9]),
        ("global_clipnorm", [1 - 0.06, 1 - 0.08]),
    ):
        v = [dlc.Variable([1.0, 0.0]), dlc.Variable([1.0])]
        optim.SGD(learning_rate=0.1, **{name: 1.0}).apply(g, v)
        np.testing.assert_allclose([x.numpy()[0] for x in v], wanted, rtol=1e-6)


def test_pytorchs_limits_on_gradients():
    ours = [dlc.Variable(p, requires_grad=True, dtype=dlc.float32) for p in FIRST]
    theirs = [torch.tensor(p, dtype=torch.float32, requires_grad=True) for p in FIRST]
    for a, b, g in zip(ours, theirs, GRADIENTS[0], strict=True):
        a.grad, b.grad = dlc.asarray(g, dtype=dlc.float32), torch.tensor(g, dtype=torch.float32)
    norm = optim.clip_grad_norm_(ours, 1.0)
    assert norm.item() == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, 1.0).item())
    optim.clip_grad_value_(ours, 0.1)
    torch.nn.utils.clip_grad_value_(theirs, 0.1)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-5, atol=1e-7)


SCHEDULES = [
    (schedules.ExponentialDecay(0.1, 10, 0.5), lambda t: 0.1 * 0.5 ** (t / 10)),
    (schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True), lambda t: 0.1 * 0.5 ** (t // 10)),
    (schedules.StepDecay(0.1, 7, 0.3), lambda t: 0.1 * 0.3 ** (t // 7)),
    (schedules.InverseTimeDecay(0.1, 10, 2.0), lambda t: 0.1 / (1 + 2 * t / 10)),
    (
        schedules.PolynomialDecay(1.0, 10, 0.1, 2.0),
        lambda t: 0.9 * (1 - min(t, 10) / 10) ** 2 + 0.1,
    ),
    (
        schedules.PolynomialDecay(1.0, 10, 0.0, cycle=True),
        lambda t: 1 - t / (10 * max(1, math.ceil(t / 10))),
    ),
    (
        schedules.CosineDecay(0.0, 20, alpha=0.1, warmup_target=1.0, warmup_steps=5),
        lambda t: t / 5
        if t < 5
        else 0.9 * (1 + math.cos(math.pi * min(1, (t - 5) / 20))) / 2 + 0.1,
    ),
    (
        schedules.PiecewiseConstantDecay([3, 8], [1.0, 0.5, 0.1]),
        lambda t: 1.0 if t <= 3 else 0.5 if t <= 8 else 0.1,
    ),
    (
        schedules.LinearWarmup(schedules.StepDecay(1.0, 4, 0.5), 5),
        lambda t: min(t / 5, 1) * 0.5 ** (max(t - 5, 0) // 4),
    ),
    (schedules.LinearWarmup(0.2, 4, start=0.5), lambda t: 0.2 * (0.5 + 0.5 * min(t / 4, 1))),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "wanted"), SCHEDULES)
def test_schedules(schedule, wanted):
    compiled = dlc.compile(schedule)
    for t in range(30):
        assert float(schedule(t)) == pytest.approx(wanted(t), rel=1e-6, abs=1e-12)
        assert float(compiled(t)) == pytest.approx(wanted(t), rel=1e-6, abs=1e-12)


def test_a_schedule_moves_the_learning_rate():
    w = dlc.Variable(np.zeros(1))
    optimizer = optim.SGD(learning_rate=schedules.StepDecay(1.0, 2, 0.5))
    for _ in range(4):
        optimizer.apply_gradients([(np.ones(1), w)])
    assert w.item() == -(1 + 1 + 0.5 + 0.5)
    assert optimizer.learning_rate == 0.25


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda v: optim.Adam([v], lr=-1.0), dlc.ValueRangeError),
        (lambda v: optim.Adam([v], betas=(0.9, 1.0)), dlc.ValueRangeError),
        (lambda v: optim.Adam([v], beta_1=0.5, betas=(0.9, 0.9)), dlc.ArgumentError),
        (lambda v: optim.Adam([v], lrr=1.0), dlc.ArgumentError),
        (lambda v: optim.Adam(0.1, eps=1e-8), dlc.ArgumentError),
        (optim.Adam, dlc.ArgumentError),
        (lambda v: optim.Adam([v, v]), dlc.ArgumentError),
        (lambda v: optim.Adam([np.ones(3)]), dlc.ArgumentError),
        (lambda v: optim.SGD(clipnorm=0.0), dlc.ValueRangeError),
        (lambda v: optim.SGD(clipnorm=1.0, clipvalue=1.0), dlc.ArgumentError),
        (lambda v: optim.SGD(gradient_accumulation_steps=1), dlc.ValueRangeError),
        (lambda v: optim.SGD().apply_gradients([]), dlc.ArgumentError),
        (lambda v: optim.SGD().apply([np.ones(3)], [v]), dlc.ShapeError),
        (lambda v: optim.SGD().update([v], optim.SGD().init([v]), [v, v]), dlc.ShapeError),
        (lambda v: optim.Rprop([v], etas=(1.2, 0.5)), dlc.ValueRangeError),
        (lambda v: optim.Rprop([v], step_sizes=(1.0, 0.5)), dlc.ValueRangeError),
        (lambda v: schedules.StepDecay(1.0, 0), dlc.ValueRangeError),
        (lambda v: schedules.PiecewiseConstantDecay([3], [1.0]), dlc.ValueRangeError),
    ],
)
def test_wrong_use_is_an_error(make, error):
    with pytest.raises(error):
        make(dlc.Variable([1.0, 2.0]))


def test_no_parameters_are_an_error():
    lazy = dlc.nn.Sequential(dlc.nn.Dense(3))
    for given in ([], lazy.parameters(), [{"params": []}]):
        with pytest.raises(dlc.ArgumentError, match="no parameter to train(.|\n)*call the model"):
            dlc.optim.Adam(given, lr=0.1)
    lazy(np.ones((2, 4), np.float32))
    dlc.optim.Adam(lazy.parameters(), lr=0.1)
    dlc.optim.Adam(learning_rate=0.1)
    dlc.optim.Adam()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_and_pickles_train_on_by_themselves(again):
    x = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)

    def train(model, optimizer, schedule):
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = dlc.mean(model(x) ** 2)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        return losses

    model = dlc.nn.Linear(3, 2)
    optimizer = dlc.optim.Adam(model.parameters(), lr=0.1)
    first = (model, optimizer, dlc.optim.lr_scheduler.StepLR(optimizer, 2))
    train(*first)
    other = again(first)
    before = other[0].weight.numpy().copy()
    wanted = train(*first)
    np.testing.assert_array_equal(other[0].weight, before)
    assert train(*other) == wanted
    assert other[1].param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_a_setting_that_begins_to_move_where_it_stands():
    w = dlc.Variable(np.ones(3, np.float32), requires_grad=True)
    optimizer = dlc.optim.SGD([w], lr=0.1, momentum=0.9)

    def step():
        optimizer.zero_grad()
        dlc.sum(w * w).backward()
        optimizer.step()

    for _ in range(4):
        step()
    optimizer.param_groups[0].move("momentum", 0.9)
    for _ in range(4):
        step()
    optimizer.param_groups[0].move("momentum", 0.0)
    before = w.numpy().copy()
    step()
    np.testing.assert_allclose(w.numpy(), before - 0.1 * 2 * before, rtol=1e-6)
