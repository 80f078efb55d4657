"""Losses that layers add: regularizers, activities, one's own; against Keras and by hand."""

import os
import warnings

import numpy as np
import pytest

import dlc
from dlc import nn
from dlc.nn import regularizers
from dlc.train import collect_losses

RNG = np.random.default_rng(4)
X = RNG.standard_normal((24, 5)).astype(np.float32)
Y = RNG.standard_normal((24, 2)).astype(np.float32)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
def test_as_keras_regularizes():
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
    first = {"kernel_regularizer": "l2", "bias_regularizer": "l1", "activation": "tanh"}
    theirs = keras.Sequential(
        [
            keras.layers.Dense(4, **first),
            keras.layers.ActivityRegularization(0.3, 0.4),
            keras.layers.Dense(2, activity_regularizer=keras.regularizers.L1L2(0.1, 0.2)),
        ]
    )
    theirs.build((None, 5))
    ours = nn.Sequential(
        nn.Dense(4, **first),
        nn.ActivityRegularization(0.3, 0.4),
        nn.Dense(2, activity_regularizer=regularizers.L1L2(0.1, 0.2)),
    )
    ours(X[:1])
    for p, w in zip(ours.parameters(), theirs.get_weights(), strict=True):
        p.assign(w)
    for model in (ours, theirs):
        model.compile("sgd", "mse")
    settings = {"batch_size": 8, "epochs": 3, "shuffle": False, "verbose": 0}
    settings["validation_data"] = (X[:10], Y[:10])
    got, wanted = (m.fit(X, Y, **settings).history for m in (ours, theirs))
    for name, values in wanted.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-5)
    for p, w in zip(ours.parameters(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(p.numpy(), w, rtol=1e-4, atol=1e-6)


class Noisy(nn.Module):
    """A layer that is called twice, and adds a named and an unnamed loss."""

    def __init__(self):
        self.weight = nn.Parameter([2.0])

    def forward(self, x):
        self.add_loss((self.weight**2).sum(), "once")
        self.add_loss(self.weight.sum())
        return x * self.weight


def test_a_named_loss_counts_once():
    layer = Noisy()
    with collect_losses() as added:
        layer(layer(X))
    assert added.total().item() == 4 + 2 + 2
    layer(X)  # nobody collects

    def loss_of(model, x):
        with collect_losses() as found:
            model(model(x))
        return found.total()

    assert dlc.compile(dlc.grad(loss_of))(layer, X).weight.item() == 4 + 2


def test_added_losses_alone_train_a_model():
    model = nn.Sequential(Noisy())
    model.compile(dlc.optim.SGD(learning_rate=0.1))
    history = model.fit(X, batch_size=24, epochs=2, verbose=0).history
    assert history["loss"][0] == 6.0
    assert model[0].weight.item() == pytest.approx(2 - 0.1 * 5 - 0.1 * (2 * 1.5 + 1))


def test_penalties_and_bad_ones():
    x = dlc.asarray([1.0, -3.0])
    assert regularizers.L1(0.5)(x).item() == 2.0
    assert regularizers.L2(0.5)(x).item() == 5.0
    assert regularizers.L1L2()(x).item() == 0.0
    assert regularizers.get("l1_l2")(x).item() == pytest.approx(0.14)
    assert regularizers.get(None) is None
    with pytest.raises(dlc.ValueRangeError, match="known names: l1"):
        nn.Dense(2, kernel_regularizer="l3")
    with pytest.raises(dlc.ValueRangeError, match="at least 0"):
        regularizers.L2(-1.0)
    model = nn.Sequential(nn.Dense(2, kernel_regularizer=lambda k: dlc.abs(k).max()))
    model.compile("sgd", "mse")
    plain = model.evaluate(X, Y, verbose=0)
    more = plain - np.mean((model.predict(X) - Y) ** 2)
    assert more == pytest.approx(np.abs(model[0].kernel.numpy()).max(), rel=1e-4)
