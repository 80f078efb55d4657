"""Losses that layers add: regularizers, activities, one's own; against Keras and by hand."""

import copy
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


os.environ["KERAS_BACKEND"] = "torch"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
SEQUENCE, IMAGES = np.ones((2, 5, 3), np.float32), np.ones((2, 6, 6, 3), np.float32)
RECURRENT, NORMS = ("kernel", "recurrent", "bias"), ("gamma", "beta")


def stacked(layers, **words):
    return layers.RNN([layers.LSTMCell(4, **words), layers.GRUCell(4, **words)])


def both_ways(layers, **words):
    return layers.Bidirectional(layers.LSTM(4, **words))


PENALTIES = [
    *((lambda layers, n=n, **words: getattr(layers, n)(4, **words), SEQUENCE, RECURRENT)
      for n in ("LSTM", "GRU", "SimpleRNN")),
    (stacked, SEQUENCE, RECURRENT),
    (both_ways, SEQUENCE, RECURRENT),
    (lambda layers, **words: layers.DepthwiseConv2D(3, **words), IMAGES, ("depthwise", "bias")),
    (lambda layers, **words: layers.SeparableConv2D(4, 3, **words), IMAGES,
     ("depthwise", "pointwise", "bias")),
    (lambda layers, **words: layers.BatchNormalization(**words), IMAGES, NORMS),
    (lambda layers, **words: layers.LayerNormalization(**words), IMAGES, NORMS),
    (lambda layers, **words: layers.Embedding(input_dim=5, output_dim=3, **words),
     np.array([[1, 2]]), ("embeddings",)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "x", "words"), PENALTIES)
def test_penalties_of_all_parameters_as_in_keras(make, x, words):
    for word in words:
        argument = f"{word}_regularizer"
        theirs = make(keras.layers, **{argument: keras.regularizers.L1L2(0.1, 0.01)})
        ours = make(nn, **{argument: regularizers.L1L2(0.1, 0.01)})
        theirs(x)
        ours(x)
        weights = [RNG.standard_normal(w.shape) for w in theirs.get_weights()]
        theirs.set_weights(weights)
        ours.set_weights(weights)
        wanted = sum(v.item() for v in theirs.losses)
        assert wanted > 0

        def total(x, layer=ours):
            with collect_losses() as added:
                layer(x)
                return added.total()

        assert float(total(x)) == pytest.approx(wanted, rel=1e-5)
        assert float(dlc.compile(total)(x)) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises((dlc.ArgumentError, TypeError), match="pointwize_regularizer"):
        make(nn, pointwize_regularizer="l2")


def test_penalties_of_attention_as_in_keras():
    for word in ("kernel", "bias", "activity"):
        words = {f"{word}_regularizer": "l2"}
        theirs = keras.layers.MultiHeadAttention(2, 4, **words)
        ours = nn.MultiHeadAttention(2, 4, **words)
        theirs(SEQUENCE, SEQUENCE)
        ours(SEQUENCE, SEQUENCE)
        weights = [RNG.standard_normal(w.shape) for w in theirs.get_weights()]
        theirs.set_weights(weights)
        ours.set_weights(weights)
        theirs(SEQUENCE, SEQUENCE)
        with collect_losses() as added:
            ours(SEQUENCE, SEQUENCE)
        wanted = sum(v.item() for v in theirs.losses)
        assert float(added.total()) == pytest.approx(wanted, rel=1e-5)


def test_penalties_that_nothing_would_add():
    with pytest.raises(dlc.ArgumentError, match="no argument 'kernel_regularizer'"):
        nn.RNN(nn.LSTMCell(4), kernel_regularizer="l2")
    with pytest.raises(dlc.ArgumentError, match="activity_regularizer of a cell"):
        nn.RNN(nn.LSTMCell(4, activity_regularizer="l2"))


def test_as_keras_regularizes():
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


CONSTRAINTS = [
    ("NonNeg", {}), ("UnitNorm", {"axis": [0, 1]}), ("MaxNorm", {"max_value": 0.3}),
    ("MinMaxNorm", {"min_value": 0.9, "max_value": 1.1, "rate": 0.5, "axis": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings"), CONSTRAINTS)
def test_constraints_as_in_keras(name, settings):
    def model(layers, constraints):
        limit = getattr(constraints, name)(**settings)
        return [
            layers.LSTM(4, kernel_constraint=limit, recurrent_constraint=limit),
            layers.Dense(3, kernel_constraint=limit, bias_constraint="non_neg"),
        ]

    x, y = RNG.standard_normal((8, 5, 3)), RNG.standard_normal((8, 3))
    theirs = keras.Sequential(model(keras.layers, keras.constraints))
    ours = nn.Sequential(model(nn, nn.constraints))
    theirs.build((None, 5, 3))
    ours(x)
    ours.set_weights(theirs.get_weights())
    for m, optimizers in ((theirs, keras.optimizers), (ours, dlc.optim)):
        m.compile(optimizers.SGD(learning_rate=0.3, momentum=0.5), "mse")
        m.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_weights_of_layers_of_your_own(compiled):
    class Own(nn.Layer):
        def build(self, shape):
            def weight(**words):
                return self.add_weight((shape[-1], 2), "ones", **words)

            self.parts = [weight(regularizer="l2"), weight(constraint=lambda w: dlc.clip(w, 0, 1))]

        def call(self, x):
            return x @ (self.parts[0] * self.parts[1])

    layer = Own()
    layer(X)
    layer = copy.deepcopy(layer)
    optimizer = dlc.optim.SGD(layer.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        with collect_losses() as added:
            loss = layer(x).sum() * 0 - layer.parts[1].sum() + added.total()
        loss.backward()
        optimizer.step()
        return loss

    value = (dlc.compile(step) if compiled else step)(X)
    assert value.item() == pytest.approx(0.01 * 10 - 10)
    assert layer.parts[0].tolist()[0] == pytest.approx([0.998] * 2)
    assert layer.parts[1].tolist()[0] == [1, 1]
    with collect_losses() as added:
        gradient = dlc.grad(lambda m: m(X).sum() * 0 + added.total())(layer)
    assert gradient.parts[0].tolist()[0] == pytest.approx([0.02 * 0.998] * 2)
    with pytest.raises(dlc.ValueRangeError, match="no constraint 'non_negg'"):
        nn.Dense(2, kernel_constraint="non_negg")
