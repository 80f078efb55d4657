"""How a fit runs its steps: some together, each made whole or not, in orders of its own."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

import dlc
from dlc import callbacks, losses, metrics, nn
from dlc.train import pace
from dlc.train.pace import Pace
from dlc.train.passes import shuffled

rng = np.random.default_rng(0)
X = rng.standard_normal((70, 4)).astype(np.float32)
LABELS = rng.integers(0, 3, 70)


def classifier(**how):
    dlc.random.seed(2)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"], **how)
    return model


def test_short_steps_run_together_and_long_ones_alone(monkeypatch):
    clock = [5.0]
    monkeypatch.setattr(pace.time, "perf_counter", lambda: clock[0])

    def counts(found, seconds, start=0):
        done, asked = start, []
        for _ in range(4):
            asked.append(found.steps(done))
            done += asked[-1]
            clock[0] += asked[-1] * seconds
        return asked

    assert counts(Pace(1, hurried=True), 2**-10) == [1, 30, 30, 30]
    assert counts(Pace(1, hurried=True), 2**-30) == [1, 64, 64, 64]
    assert counts(Pace(1, hurried=True), 1.0) == [1, 1, 1, 1]
    assert counts(Pace(1, hurried=True, lately=2**-7), 2**-10) == [3, 30, 30, 30]
    assert counts(Pace(8, hurried=True), 2**-10, start=3) == [5, 24, 24, 24]
    assert counts(Pace(8, hurried=False), 2**-10, start=3) == [5, 8, 8, 8]
    lasting = Pace(1, hurried=True, lately=0.5)
    assert [lasting.note(0), lasting.note(0)] == [0.5, 0.5]
    clock[0] += 3.0
    assert [lasting.note(4), lasting.note(4)] == [0.75, 0.75]


class Stopping(nn.Module):
    """A model that does something in its seventh step."""

    def __init__(self, act):
        self.layer, self.act, self.count = nn.Linear(4, 3), act, [0]

    def forward(self, x):
        return self.layer(x)

    def train_step(self, batch):
        self.count[0] += 1
        if self.count[0] == 7:
            self.act()
        return super().train_step(batch)


def no_more():
    raise RuntimeError("no more")


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("act", [no_more, interrupt])
def test_what_ends_a_step_ends_the_fit_after_whole_steps(act):
    model = Stopping(act)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        model.fit(X, LABELS, 2, verbose=0)
    assert signal.getsignal(signal.SIGINT) is before
    state, steps = model._fitting.state, int(model.optimizer.iterations.item())
    assert (state.epoch, state.step) == (0, steps)
    assert steps == 6 if act is no_more else steps >= 7


def test_a_loss_of_ones_own_may_be_nan_in_one_step_alone():
    class Own(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return self.layer(x)

        def train_step(self, batch):
            return {"loss": batch[0].mean()}

    model, x = Own(), X.copy()
    x[40] = np.nan
    model.compile("sgd")
    with pytest.raises(dlc.NanError, match="step 21 of epoch 1"):
        model.fit(x, LABELS, 2, verbose=0, shuffle=False)


@pytest.mark.parametrize("hook", [None, callbacks.LambdaCallback(on_batch_end=lambda k, logs: 0)])
def test_two_fits_are_one_of_all_epochs(hook):
    """Each epoch has an order of its own, also in a fit after a fit."""
    given = [hook] if hook else None
    long, short = classifier(), classifier()
    history = long.fit(X, LABELS, 8, 4, 0, given).history
    first = short.fit(X, LABELS, 8, 2, 0, given).history
    second = short.fit(X, LABELS, 8, 2, 0).history
    assert history == {k: first[k] + second[k] for k in first}
    third = short.fit(X, LABELS, 8, 6, 0, initial_epoch=4).history
    assert long.fit(X, LABELS, 8, 2, 0).history == third
    for a, b in zip(long.get_weights(), short.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_loaders_go_on_with_their_orders_too():
    pairs = list(zip(X, LABELS, strict=True))
    found = []
    for epochs in ((3,), (1, 2)):
        model = classifier()
        loader = dlc.data.DataLoader(pairs, 8, shuffle=True, seed=3)
        found.append(
            [v for n in epochs for v in model.fit(loader, epochs=n, verbose=0).history["loss"]]
        )
    assert found[0] == found[1]


def test_orders_drawn_together_are_those_drawn_alone():
    alone = [shuffled(11)(k, 200_000) for k in (2, 0)]
    order = shuffled(12)
    together = [order(k, 50).copy() for k in (0, 1, 9, 3, 1, 0)]
    shuffled.cache_clear()
    again = shuffled(12)
    for k, rows in zip((0, 1, 9, 3, 1, 0), together, strict=True):
        np.testing.assert_array_equal(again(k, 50), rows)
        assert sorted(rows) == list(range(50))
    one_after_another = [again(k, 50).copy() for k in range(20, 40)]
    for k, rows in enumerate(one_after_another, 20):
        shuffled.cache_clear()
        np.testing.assert_array_equal(shuffled(12)(k, 50), rows)
    assert (together[0] != together[1]).any()
    assert sorted(alone[0]) == list(range(200_000))
    assert (alone[0] != alone[1]).any()


def test_a_metric_that_begins_again_changes_nothing_that_was_taken_from_it():
    metric = metrics.Sum()
    metric.update_state([2.0, 3.0])
    taken, seen = metric.result(), metric.total.numpy()
    metric.reset_state()
    assert (taken.item(), seen.item(), metric.result().item()) == (5.0, 5.0, 0.0)
    metric.update_state([1.0])
    del taken, seen
    metric.reset_state()
    assert metric.result().item() == 0.0

    @dlc.compile
    def run(values):
        return metric(values)

    assert [run(np.float32([k])).item() for k in range(5)] == [0, 1, 3, 6, 10]
    metric.reset_state()
    assert [run(np.float32([k])).item() for k in range(5)] == [0, 1, 3, 6, 10]


def test_modules_that_come_later_are_below_too():
    class Holder(nn.Module):
        def __init__(self):
            self.one, self.pair, self.many = nn.Linear(2, 2), (nn.ReLU(), nn.Tanh()), []

    model = Holder()
    assert len(list(model.modules())) == 4
    model.many.append(nn.Sigmoid())
    assert list(model.modules())[-1] is model.many[0]
    model.one = nn.Sequential(nn.Linear(2, 2))
    assert len(list(model.modules())) == 6
    model.one.add(nn.GELU())
    del model.pair
    found = list(model.modules())
    names = ["Holder", "Sigmoid", "Sequential", "Linear", "GELU"]
    assert sorted(type(m).__name__ for m in found) == sorted(names)
    assert found == [m for _, m in model.named_modules()]  # each before those that it has
    model.eval()
    assert not any(m.training for m in found)
