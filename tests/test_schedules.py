"""Learning rates beside Keras's schedules and PyTorch's schedulers, over 100 steps."""

from __future__ import annotations

import math
import os
import warnings

import numpy as np
import pytest
import torch

import dlc
from dlc import optim
from dlc.optim import lr_scheduler, schedules

S = torch.optim.lr_scheduler

KERAS = [
    ("ExponentialDecay", (0.1, 10, 0.5), {}),
    ("ExponentialDecay", (0.1, 10, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 10, 2.0), {}),
    ("InverseTimeDecay", (0.1, 7, 2.0), {"staircase": True}),
    ("PolynomialDecay", (1.0, 30), {}),
    ("PolynomialDecay", (1.0, 30, 0.1, 2.0), {"cycle": True}),
    ("PiecewiseConstantDecay", ([3, 40], [1.0, 0.5, 0.1]), {}),
    ("CosineDecay", (1.0, 60, 0.1), {}),
    ("CosineDecay", (0.0, 50), {"warmup_target": 0.8, "warmup_steps": 20}),
    ("CosineDecayRestarts", (0.5, 10), {}),
    ("CosineDecayRestarts", (0.5, 12), {"t_mul": 1.0, "m_mul": 0.8, "alpha": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "settings"), KERAS, ids=str)
def test_as_keras(name, args, settings):
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
    theirs = getattr(keras.optimizers.schedules, name)(*args, **settings)
    ours = getattr(schedules, name)(*args, **settings)
    compiled = dlc.compile(ours)
    for t in range(100):
        wanted = float(theirs(t))
        assert float(ours(t)) == pytest.approx(wanted, rel=2e-5, abs=1e-6), t
        if t % 9 == 0:
            assert float(compiled(np.int32(t))) == pytest.approx(float(ours(t)), rel=1e-12)


def both(groups, **settings):
    """An optimizer of PyTorch's and one of dlc's, of some groups."""
    theirs = [{"params": [torch.zeros(1, requires_grad=True)], **g} for g in groups]
    ours = [{"params": [dlc.Variable([0.0])], **g} for g in groups]
    return torch.optim.SGD(theirs, **settings), optim.SGD(ours, **settings)


def rates(scheduler, optimizer, steps=100, momentum=False):
    found = []
    for _ in range(steps):
        row = [g["lr"] for g in optimizer.param_groups]
        if momentum:
            row += [g["momentum"] for g in optimizer.param_groups]
        assert scheduler.get_last_lr() == row[: len(optimizer.param_groups)]
        found.append(row)
        scheduler.step()
    return np.asarray(found)


TORCH = [
    ("LambdaLR", (lambda t: 0.95**t,), {}),
    ("LambdaLR", ([lambda t: 1 / (1 + t), lambda t: 0.5],), {}),
    ("MultiplicativeLR", (lambda t: 0.97,), {}),
    ("StepLR", (7,), {}),
    ("StepLR", (7,), {"gamma": 0.5}),
    ("MultiStepLR", ([30, 60, 60],), {}),
    ("ConstantLR", (), {}),
    ("LinearLR", (), {}),
    ("LinearLR", (0.25, 0.75, 20), {}),
    ("ExponentialLR", (0.9,), {}),
    ("PolynomialLR", (), {}),
    ("PolynomialLR", (60, 2.0), {}),
    ("CosineAnnealingLR", (25,), {}),
    ("CosineAnnealingLR", (200, 0.01), {}),
    ("CosineAnnealingWarmRestarts", (10,), {}),
    ("CosineAnnealingWarmRestarts", (3, 3, 0.001), {}),
    ("CyclicLR", (0.01, 0.1), {"step_size_up": 10, "cycle_momentum": False}),
    ("CyclicLR", ([0.01, 0.02], [0.1, 0.3]), {"step_size_up": 8, "step_size_down": 4}),
    ("CyclicLR", (0.01, 0.1), {"step_size_up": 8, "mode": "triangular2"}),
    ("CyclicLR", (0.01, 0.1), {"step_size_up": 8, "mode": "exp_range", "gamma": 0.99}),
    (
        "CyclicLR",
        (0.01, 0.1),
        {"step_size_up": 8, "scale_fn": lambda t: 0.5 ** (t / 9), "scale_mode": "iterations"},
    ),
    ("OneCycleLR", (0.5,), {"total_steps": 101}),
    ("OneCycleLR", ([0.5, 0.1],), {"epochs": 11, "steps_per_epoch": 10, "pct_start": 0.4}),
    ("OneCycleLR", (0.5,), {"total_steps": 120, "three_phase": True, "anneal_strategy": "linear"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "args", "settings"), TORCH, ids=[f"{name}-{k}" for k, (name, *_) in enumerate(TORCH)]
)
def test_as_pytorch(name, args, settings):
    pair = both([{}, {"lr": 0.03}], lr=0.2, momentum=0.9)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module, optimizer in zip((S, lr_scheduler), pair, strict=True):
            scheduler = getattr(module, name)(optimizer, *args, **settings)
            found.append(rates(scheduler, optimizer, momentum=True))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-15)


@pytest.mark.filterwarnings("ignore")
def test_a_momentum_that_was_0_moves():
    found = []
    for module, optimizer in zip((S, lr_scheduler), both([{}], lr=0.1), strict=True):
        p = optimizer.param_groups[0]["params"][0]
        scheduler = module.OneCycleLR(optimizer, 0.5, total_steps=9)
        for t in range(8):
            p.grad = torch.tensor([1.0 + t]) if module is S else dlc.asarray([1.0 + t])
            optimizer.step()
            scheduler.step()
        found.append(p.item())
    assert found[1] == pytest.approx(found[0], rel=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_schedulers_in_a_row_and_at_once():
    found = []
    for module, optimizer in zip((S, lr_scheduler), both([{}, {"lr": 0.3}], lr=0.1), strict=True):
        warm = module.LinearLR(optimizer, 0.1, total_iters=10)
        cosine = module.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.001)
        last = module.ExponentialLR(optimizer, 0.9)
        found.append(
            rates(module.SequentialLR(optimizer, [warm, cosine, last], [10, 60]), optimizer)
        )
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
    found = []
    for module, optimizer in zip((S, lr_scheduler), both([{}], lr=0.1), strict=True):
        parts = [
            module.ConstantLR(optimizer, 0.1, total_iters=20),
            module.ExponentialLR(optimizer, 0.95),
            module.CosineAnnealingLR(optimizer, 300),
        ]
        found.append(rates(module.ChainedScheduler(parts), optimizer))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_a_rate_that_was_changed_by_hand_stays_changed():
    found = []
    for module, optimizer in zip((S, lr_scheduler), both([{}], lr=0.1), strict=True):
        scheduler = module.StepLR(optimizer, 3)
        before = rates(scheduler, optimizer, 5)
        optimizer.param_groups[0]["lr"] = 7.0
        scheduler._last_lr = [7.0]
        found.append(np.concatenate([before, rates(scheduler, optimizer, 8)]))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 1},
        {"mode": "max", "factor": 0.5, "patience": 0, "threshold": 0.2, "cooldown": 2},
        {"threshold_mode": "abs", "threshold": 0.05, "patience": 2, "min_lr": [0.03, 0.001]},
    ],
    ids=str,
)
def test_plateaus_as_pytorch(settings):
    numbers = np.random.default_rng(1).random(40)
    found = []
    for module, optimizer in zip((S, lr_scheduler), both([{}, {"lr": 0.02}], lr=1.0), strict=True):
        scheduler, rows = module.ReduceLROnPlateau(optimizer, **settings), []
        for number in numbers:
            scheduler.step(number)
            rows.append(list(scheduler.get_last_lr()))
        found.append(rows)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["Adam", "NAdam", "Adamax"])
def test_a_first_beta_of_zero_is_moved_as_pytorch_s(kind):
    start = np.float64([1.0, -2.0])
    theirs, ours = torch.tensor(start, requires_grad=True), dlc.Variable(start)
    for module, schedulers, x in ((torch.optim, S, theirs), (optim, lr_scheduler, ours)):
        optimizer = getattr(module, kind)([x], lr=0.1, betas=(0.0, 0.9))
        scheduler = schedulers.OneCycleLR(optimizer, 0.3, total_steps=8)
        for _ in range(7):
            if module is optim:
                optimizer.apply_gradients([(2 * ours, ours)])
            else:
                theirs.grad = 2 * theirs.detach()
                optimizer.step()
            scheduler.step()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["Adam", "SGD"])
def test_rates_and_momenta_move_in_a_compiled_step(kind):
    """As PyTorch trains; nothing is compiled after the first step."""
    more = {"momentum": 0.8} if kind == "SGD" else {}
    start = np.float64([1.0, -2.0, 3.0])
    theirs = torch.tensor(start, requires_grad=True)
    ours = dlc.Variable(start)
    optimizers = getattr(torch.optim, kind)([theirs], lr=0.1, **more), getattr(optim, kind)(
        [ours], lr=0.1, **more
    )  # fmt: skip
    modules = zip((S, lr_scheduler), optimizers, strict=True)
    slow, quick = (module.OneCycleLR(o, 0.3, total_steps=40) for module, o in modules)

    @dlc.compile
    def step():
        optimizers[1].apply_gradients([(2 * ours, ours)])

    for _ in range(39):
        theirs.grad = 2 * theirs.detach()
        optimizers[0].step()
        step()
        slow.step()
        quick.step()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-12)
    assert step.stats.compilations == 1
    with pytest.raises(dlc.ValueRangeError, match="step 41 of 40"):
        quick.step()
    state = optimizers[1].state_dict()
    assert len([n for n in state if n.startswith("groups.0.")]) == 2


def test_a_scheduler_goes_on_where_another_was():
    _, one = both([{}], lr=0.5)
    _, two = both([{}], lr=0.5)
    for make in (
        lambda o: lr_scheduler.CosineAnnealingLR(o, 30),
        lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o), lr_scheduler.StepLR(o, 3)], [4]
        ),
    ):
        first, second = make(one), make(two)
        plateau = isinstance(first, lr_scheduler.ReduceLROnPlateau)
        for _ in range(7):
            first.step(*[1.0] * plateau)
        second.load_state_dict(first.state_dict())
        two.load_state_dict(one.state_dict())
        for _ in range(7):
            first.step(*[1.0] * plateau)
            second.step(*[1.0] * plateau)
            assert second.get_last_lr() == first.get_last_lr()


def test_schedules_of_its_own():
    joined = schedules.Joined([schedules.LinearWarmup(0.5, 4), schedules.StepDecay(1.0, 2)], [6])
    wanted = [min(t / 4, 1) * 0.5 if t < 6 else 0.1 ** ((t - 6) // 2) for t in range(12)]
    assert [float(joined(t)) for t in range(12)] == pytest.approx(wanted)
    compiled = dlc.compile(joined)
    assert [float(compiled(np.int32(t))) for t in range(12)] == pytest.approx(wanted)
    optimizer = optim.SGD(learning_rate=schedules.OneCycle(1.0, 10))
    w = dlc.Variable(np.zeros(1))
    for _ in range(10):
        optimizer.apply_gradients([(np.ones(1), w)])
    one = schedules.OneCycle(1.0, 10)
    assert -w.item() == pytest.approx(sum(float(one(t)) for t in range(10)))
    assert float(schedules.Cyclic(0.0, 1.0, 5)(5)) == 1
    assert float(schedules.MultiStepDecay(1.0, [2, 4], 0.5)(4)) == 0.25
    assert float(schedules.CosineAnnealing(1.0, 10)(20)) == 1


OTHERS = [
    ("Adamax", {}), ("Adamax", {"lr": 0.05, "weight_decay": 0.1}),
    ("NAdam", {}), ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.01}), ("RAdam", {"betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("Adadelta", {}), ("Adadelta", {"rho": 0.5, "lr": 0.3, "maximize": True}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adafactor", {}), ("Adafactor", {"lr": 0.3, "weight_decay": 0.1, "eps": (1e-3, 0.1)}),
    ("Rprop", {}), ("Rprop", {"lr": 0.3, "etas": (0.3, 1.5), "step_sizes": (0.01, 0.5)}),
    ("ASGD", {"maximize": True}), ("ASGD", {"lr": 0.1, "lambd": 0.1, "t0": 3, "weight_decay": 0.1}),
]  # fmt: skip
RNG = np.random.default_rng(11)
START = RNG.standard_normal((5, 3))
GRADIENTS = RNG.standard_normal((30, 5, 3))


@pytest.mark.parametrize(("kind", "settings"), OTHERS, ids=str)
def test_other_optimizers_as_pytorch(kind, settings):
    theirs, ours = torch.tensor(START, requires_grad=True), dlc.Variable(START)
    one = getattr(torch.optim, kind)([theirs], **settings)
    other = getattr(optim, kind)([ours], **settings)
    for g in GRADIENTS:
        theirs.grad, ours.grad = torch.tensor(g), dlc.asarray(g)
        one.step()
        other.step()
    # PyTorch has the product of NAdam's momenta at float32, and ASGD's rate.
    exact = 2e-7 if kind in ("NAdam", "ASGD") else 1e-10
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=exact, atol=exact)


def test_adafactor_of_vectors_and_stacks_as_pytorch():
    for shape in ((), (4,), (2, 3, 4)):
        start, gradients = RNG.standard_normal(shape), RNG.standard_normal((9, *shape))
        theirs, ours = torch.tensor(start, requires_grad=True), dlc.Variable(start)
        one, other = torch.optim.Adafactor([theirs], d=1.2), optim.Adafactor([ours], d=1.2)
        for g in gradients:
            theirs.grad, ours.grad = torch.tensor(g), dlc.asarray(g)
            one.step()
            other.step()
        np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
@pytest.mark.parametrize(
    "settings", [{}, {"adjust_lr_fn": "match_rms_adamw", "nesterov": False, "weight_decay": 0.0}]
)
def test_muon_as_pytorch(shape, settings):
    theirs, ours = torch.ones(shape, requires_grad=True), dlc.Variable(np.ones(shape))
    one = torch.optim.Muon([theirs], lr=0.1, **settings)
    other = optim.Muon([ours], lr=0.1, **settings)
    for g in RNG.standard_normal((5, *shape)):
        theirs.grad, ours.grad = torch.tensor(g, dtype=torch.float32), dlc.asarray(g)
        one.step()
        other.step()
    # PyTorch's multiplies at bfloat16.
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=0.02, atol=0.02)
    with pytest.raises(dlc.ShapeError, match="it takes matrices"):
        optim.Muon([dlc.Variable([1.0])], lr=0.1)
    with pytest.raises(dlc.ArgumentError, match="some of a model's parameters"):
        optim.Muon()
    with pytest.raises(dlc.ValueRangeError, match="match_rms_adamw"):
        optim.Muon([ours], adjust_lr_fn="rms")


def keras_by_torch():
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
    return keras


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
def test_muon_s_steps_as_keras():
    keras = keras_by_torch()
    start = RNG.standard_normal((5, 3))
    theirs = keras.Variable(start, dtype="float64")
    one = keras.optimizers.Muon(0.1, weight_decay=0.01, rms_rate=0.2)
    ours = dlc.Variable(start)
    other = optim.Muon([ours], lr=0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    for g in RNG.standard_normal((9, 5, 3)):
        one.apply([torch.tensor(g)], [theirs])
        other.apply([dlc.asarray(g)], [ours])
    np.testing.assert_allclose(ours.numpy(), theirs.value.detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1, "maximize": True}])
def test_lamb_by_its_paper(settings):
    w, m, v = START.copy(), 0.0, 0.0
    ours = dlc.Variable(START)
    optimizer = optim.Lamb([ours], lr=0.1, **settings)
    for t, given in enumerate(GRADIENTS, 1):
        optimizer.apply([dlc.asarray(given)], [ours])
        g = -given if settings else given
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        r = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6)
        r = r + settings.get("weight_decay", 0.0) * w
        w = w - 0.1 * np.linalg.norm(w) / np.linalg.norm(r) * r
    np.testing.assert_allclose(ours.numpy(), w, rtol=1e-9)
    still = dlc.Variable(np.zeros(2))  # of no size: Adam's step
    optim.Lamb([still], lr=0.1).apply([dlc.ones(2)], [still])
    np.testing.assert_allclose(still.numpy(), [-0.1, -0.1], rtol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        *((k, {}) for k in ("Adamax", "Nadam", "Adadelta", "Lion", "Lamb", "Adafactor", "Ftrl")),
        ("Ftrl", {"beta": 0.5, "learning_rate_power": -0.3, "l1_regularization_strength": 0.7,
                  "l2_regularization_strength": 0.2, "l2_shrinkage_regularization_strength": 0.1}),
        ("Adafactor", {"clip_threshold": 0.3, "beta_2_decay": -0.5, "epsilon_2": 0.5}),
    ],
)  # fmt: skip
def test_other_optimizers_as_keras(kind, more):
    keras = keras_by_torch()
    theirs = keras.Variable(START, dtype="float64")
    one = getattr(keras.optimizers, kind)(0.01, weight_decay=0.1, **more)
    ours = dlc.Variable(START)
    other = getattr(optim, kind)(learning_rate=0.01, weight_decay=0.1, **more)
    assert getattr(optim, kind).keras["learning_rate"] == pytest.approx(0.001)
    for g in GRADIENTS:
        one.apply([torch.tensor(g)], [theirs])
        other.apply([g], [ours])
    wanted = theirs.value.detach().numpy()
    np.testing.assert_allclose(ours.numpy(), wanted, rtol=2e-6, atol=1e-7)


def test_optimizers_by_name():
    for name in ("adamax", "nadam", "radam", "adadelta", "lion", "lamb", "adafactor", "ftrl",
                 "rprop", "asgd"):  # fmt: skip
        assert type(optim.get(name)).__name__.lower() == name
    assert optim.Nadam is optim.NAdam


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda o: lr_scheduler.StepLR("o", 3), dlc.ArgumentError),
        (lambda o: optim.Ftrl(learning_rate_power=0.5), dlc.ValueRangeError),
        (lambda o: optim.Ftrl(l1_regularization_strength=-1.0), dlc.ValueRangeError),
        (lambda o: lr_scheduler.StepLR(optim.SGD(schedules.StepDecay(1.0, 2)), 3), TypeError),
        (lambda o: lr_scheduler.StepLR(o, 3, last_epoch=4), dlc.ArgumentError),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0), dlc.ValueRangeError),
        (lambda o: lr_scheduler.OneCycleLR(optim.Adagrad(0.1), 1.0, 9), dlc.ValueRangeError),
        (lambda o: lr_scheduler.LambdaLR(o, [math.exp] * 3), dlc.ValueRangeError),
        (lambda o: lr_scheduler.LinearLR(o, 0.0), dlc.ValueRangeError),
        (lambda o: lr_scheduler.ConstantLR(o, 2.0), dlc.ValueRangeError),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), dlc.ValueRangeError),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="up"), dlc.ValueRangeError),
        (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.LinearLR(o)], [3]), ValueError),
        (lambda o: lr_scheduler.ChainedScheduler([]), dlc.ArgumentError),
        (lambda o: schedules.Cyclic(0.0, 1.0, mode="square"), dlc.ValueRangeError),
        (lambda o: schedules.CosineDecayRestarts(1.0, 3, t_mul=0.5), dlc.ValueRangeError),
        (lambda o: schedules.OneCycle(1.0, 3, pct_start=2.0), dlc.ValueRangeError),
        (lambda o: schedules.Joined([0.1], [3]), dlc.ValueRangeError),
    ],
)
def test_wrong_use(make, error):
    with pytest.raises(error):
        make(optim.SGD([dlc.Variable([1.0])], lr=0.1))
