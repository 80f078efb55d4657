"""Parameters without a gradient in some steps: PyTorch counts the steps of each, Keras of all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dlc
from dlc import optim

RNG = np.random.default_rng(12)
FIRST = [RNG.standard_normal((5, 3)), RNG.standard_normal(3)]
GRADIENTS = [[RNG.standard_normal((5, 3)), RNG.standard_normal(3)] for _ in range(30)]
BOTH, ONE, OTHER = PATTERNS = [(True, True), (True, False), (False, True)]
ORDER = [ONE, ONE, *(PATTERNS[k] for k in RNG.integers(0, 3, 28))]
KINDS = [
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    ("Adam", {"lr": 0.01, "amsgrad": True}),
    ("AdamW", {"lr": 0.01}),
    ("Adamax", {"lr": 0.01}),
    ("NAdam", {"lr": 0.01}),
    ("RAdam", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
    ("Adadelta", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "t0": 3}),
    ("Rprop", {"lr": 0.1}),
]


class Beside:
    """An optimizer of dlc and one of PyTorch, of parameters that begin as the same ones."""

    def __init__(self, kind="Adam", settings=None, own=2):
        self.kind, self.settings = kind, {"lr": 0.01} if settings is None else settings
        self.theirs = [torch.tensor(p, requires_grad=True) for p in FIRST]
        self.wanted = getattr(torch.optim, kind)(self.theirs[:own], **self.settings)
        self.ours, self.optimizer = self.made(own)

    def made(self, own=2):
        ours = [dlc.Variable(p, requires_grad=True, dtype=dlc.float64) for p in FIRST]
        return ours, getattr(optim, self.kind)(ours[:own], **self.settings)

    def step(self, gradients, present):
        """A step of dlc's."""
        for v, g, here in zip(self.ours, gradients, present, strict=True):
            v.grad = dlc.asarray(g) if here else None
        self.optimizer.step()

    def compiled(self, *patterns):
        """A program of some steps, as a loop over batches compiles it."""

        @dlc.compile
        def run(*several):
            for gradients, present in zip(several, patterns, strict=True):
                self.step(gradients, present)
            self.optimizer.zero_grad()

        return run

    def check(self, *steps):
        """Whether parameters are PyTorch's after its steps."""
        for gradients, present in steps:
            for p, g, here in zip(self.theirs, gradients, present, strict=True):
                p.grad = torch.tensor(g) if here else None
            self.wanted.step()
        # PyTorch has the product of NAdam's momenta at float32, and ASGD's rate.
        limit = 1e-7 if self.kind in ("NAdam", "ASGD") else 1e-12
        for v, p in zip(self.ours, self.theirs, strict=True):
            np.testing.assert_allclose(v.numpy(), p.detach().numpy(), rtol=limit, atol=limit)


@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=str)
def test_a_parameter_counts_the_steps_in_which_it_has_a_gradient(kind, settings):
    both = Beside(kind, settings)
    for t, present in enumerate(ORDER):
        both.step(GRADIENTS[t], present)
        both.check((GRADIENTS[t], present))
        if t == 12:  # goes on in another optimizer
            state, held = both.optimizer.state_dict(), both.ours
            both.ours, both.optimizer = both.made()
            for new, old in zip(both.ours, held, strict=True):
                new.assign(old)
            both.optimizer.load_state_dict(state)
    assert both.optimizer.iterations.item() == 30


def test_programs_count_the_steps_of_each_parameter():
    both = Beside()
    alone = {present: both.compiled(present) for present in PATTERNS}
    together = both.compiled(*PATTERNS)
    alone[OTHER].warmup([dlc.spec(p.shape, dlc.float64) for p in FIRST])
    for t, present in enumerate([BOTH, BOTH, ONE, BOTH, ONE, OTHER, BOTH, OTHER, ONE, OTHER]):
        alone[present](GRADIENTS[t])
        both.check((GRADIENTS[t], present))
    for t in (10, 13):
        together(*GRADIENTS[t : t + 3])
        both.check(*zip(GRADIENTS[t : t + 3], PATTERNS, strict=True))
    # Those that were made before the last parameter missed its first step are made twice.
    assert [f.stats.compilations for f in alone.values()] == [2, 1, 2]


def test_a_program_of_steps_of_which_the_later_ones_miss_a_parameter():
    both = Beside()
    program = both.compiled(*PATTERNS)
    for t in (0, 3, 6):
        program(*GRADIENTS[t : t + 3])
        both.check(*zip(GRADIENTS[t : t + 3], PATTERNS, strict=True))
    assert program.stats.recompilations == ["changed: StepCounts.missed"]


def test_a_saved_program_is_the_one_of_what_was_missed(tmp_path):
    both = Beside()
    both_reached, one_reached = both.compiled(BOTH), both.compiled(ONE)
    for t, program in enumerate([both_reached, one_reached, both_reached]):
        program(GRADIENTS[t])
    both_reached.save(tmp_path / "step.dlc")
    loaded = dlc.load(tmp_path / "step.dlc")
    for t in range(3, 6):
        loaded(GRADIENTS[t])
        both_reached(GRADIENTS[t])
    found = [v.numpy() for v in loaded.variables.values()]
    for v in both.ours:
        assert any(np.array_equal(v.numpy(), w) for w in found)


def test_a_frozen_parameter_compiles_nothing_anew():
    both = Beside()
    both.ours[1].requires_grad = False

    @dlc.compile(on_recompile="error")
    def run(gradients):
        both.optimizer.zero_grad()
        sum((g * v).sum() for g, v in zip(gradients, both.ours, strict=True)).backward()
        both.optimizer.step()

    for t in range(5):
        run(GRADIENTS[t])
        both.check((GRADIENTS[t], ONE))


def test_without_a_missed_step_there_is_one_count():
    both = Beside()
    for t in range(3):
        both.step(GRADIENTS[t], BOTH)
    assert "missed" not in both.optimizer.state_dict()
    assert len(both.optimizer.variables) == 6
    # The state of an optimizer that missed none, and of files of before such were counted.
    late = Beside()
    late.step(GRADIENTS[0], ONE)
    assert late.optimizer.state_dict()["missed"].tolist() == [0, 1]
    late.optimizer.load_state_dict(both.optimizer.state_dict())
    assert late.optimizer.state_dict()["missed"].tolist() == [0, 0]
    state = both.optimizer.state_dict() | {"missed": np.ones(3)}
    with pytest.raises(dlc.ValueRangeError, match=r"missed: the optimizer has i32\[2\]"):
        late.optimizer.load_state_dict(state)


def test_a_group_that_is_added_later_begins_to_count():
    both = Beside(own=1)
    program = both.compiled(BOTH)
    for t in range(6):
        if t == 3:
            both.wanted.add_param_group({"params": both.theirs[1:], "lr": 0.1})
            both.optimizer.add_param_group({"params": both.ours[1:], "lr": 0.1})
        program(GRADIENTS[t])
        both.check((GRADIENTS[t], BOTH))


def test_accumulated_gradients_and_averages_count_updates():
    settings = {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.5}
    both = Beside()
    both.optimizer = optim.Adam(both.ours, lr=0.01, **settings)
    for t in range(0, 10, 2):
        present = BOTH if t == 8 else ONE
        for gradients in GRADIENTS[t : t + 2]:
            both.step(gradients, present)
        mean = [(a + b) / 2 for a, b in zip(GRADIENTS[t], GRADIENTS[t + 1], strict=True)]
        both.check((mean, present))
    assert both.optimizer.state_dict()["missed"].tolist() == [0, 4]
    reached = both.ours[1].numpy()
    both.optimizer.finalize_variable_values()
    np.testing.assert_array_equal(both.ours[1].numpy(), reached)  # no average with the first value


def test_keras_has_one_count():
    u, v, w = (dlc.Variable(np.ones(3)) for _ in range(3))
    late, other = optim.Adam(learning_rate=0.1), optim.Adam(learning_rate=0.1)
    late.build([u, v])
    for t in range(5):
        late.apply([GRADIENTS[t][1]], [u])
    other.iterations.assign(5)
    late.apply([GRADIENTS[5][1]], [v])
    other.apply([GRADIENTS[5][1]], [w])
    np.testing.assert_array_equal(v.numpy(), w.numpy())
    assert "missed" not in late.state_dict()
