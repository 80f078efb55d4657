"""Several outputs in a fit: their names, what may be missing, and what is said of what is wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest

import dlc
from dlc import losses, metrics, nn

RNG = np.random.default_rng(3)
X = RNG.standard_normal((20, 4)).astype(np.float32)
A, B = X.sum(1, keepdims=True), RNG.integers(0, 3, 20)


def graph(form):
    """A model of a shared layer and two heads."""
    dlc.random.seed(1)
    x = nn.Input((4,))
    shared = nn.Dense(8, activation="relu", name="body")(x)
    heads = nn.Dense(1, name="a")(shared), nn.Dense(3, activation="softmax", name="b")(shared)
    return nn.Model(x, dict(zip("ab", heads, strict=True)) if form is dict else list(heads))


LOSS = {"a": "mse", "b": "sparse_categorical_crossentropy"}


def test_outputs_of_a_graph_have_the_names_of_their_layers():
    found = []
    for form in (dict, list):
        model = graph(form)
        assert model.output_names == ["a", "b"]
        model.compile("sgd", LOSS, loss_weights={"b": 2.0}, metrics={"b": ["accuracy"]})
        found.append(model.fit(X, {"b": B, "a": A}, 8, 2, 0, shuffle=False).history)
    assert list(found[0]) == ["loss", "a_loss", "b_loss", "b_accuracy"]
    assert found[0] == found[1]
    model = graph(list)
    model.compile("sgd", list(LOSS.values()), loss_weights=[1.0, 2.0], metrics=[[], ["accuracy"]])
    assert model.fit(X, [A, B], 8, 2, 0, shuffle=False).history == found[0]


def test_outputs_that_no_layer_has_alone_are_numbered():
    x = nn.Input((4,))
    one, two = nn.Dense(2, name="one"), nn.Dense(2, name="two")
    assert nn.Model(x, [one(x), one(2 * x), two(x), two(x) * 3]).output_names == [
        "output_0", "output_1", "two", "output_3",
    ]  # fmt: skip
    assert nn.Model(x, one(x)).output_names == ["one"]


@pytest.mark.parametrize("form", [dict, list])
def test_an_output_without_a_loss_needs_no_true_values(form):
    model = graph(form)
    model.compile("sgd", {"a": "mse"})
    assert list(model.fit(X, {"a": A}, 8, 1, 0).history) == ["loss"]
    assert model.evaluate(X, {"a": A}, verbose=0) > 0


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ({"a": A, "c": B}, r"no true values for the output 'b'[\s\S]*given were 'a', 'c'"),
        ([A], "true values in 1 parts for 2 outputs"),
        (A, "true values in one array for 2 outputs"),
    ],
)
@pytest.mark.parametrize("form", [dict, list])
def test_true_values_that_are_missing_are_named(form, y, message):
    model = graph(form)
    model.compile("sgd", LOSS)
    with pytest.raises(dlc.ArgumentError) as caught:
        model.fit(X, y, 8, 1, 0)
    assert re.search(message, str(caught.value))


def test_true_values_of_a_metric_are_needed():
    model = graph(dict)
    model.compile("sgd", {"a": "mse"}, metrics={"b": ["accuracy"]})
    with pytest.raises(dlc.ArgumentError, match="no true values for the output 'b'"):
        model.fit(X, {"a": A}, 8, 1, 0)


def test_metrics_of_one_name_have_others_as_in_keras():
    model = nn.Sequential(nn.Dense(3, activation="softmax"))
    loss = losses.SparseCategoricalCrossentropy()
    twice = ["accuracy", metrics.SparseCategoricalAccuracy(name="accuracy")]
    model.compile("sgd", loss, metrics=twice, weighted_metrics=["accuracy", "accuracy"])
    weights = (B == 1).astype(np.float32)
    model.fit(X, B, verbose=0, sample_weight=weights)
    found = model.evaluate(X, B, verbose=0, sample_weight=weights, return_dict=True)
    hits = model.predict(X).argmax(-1) == B
    plain, weighted = hits.mean(), hits[weights > 0].mean()
    assert list(found) == [
        "loss", "accuracy", "accuracy_1", "weighted_accuracy", "weighted_accuracy_1",
    ]  # fmt: skip
    np.testing.assert_allclose(list(found.values())[1:], [plain, plain, weighted, weighted], 1e-6)


Y = 2 * A + 1


class OwnLoss(nn.Module):
    """As in Keras's guides: the default steps call what the class defines."""

    def __init__(self):
        self.layer = nn.Dense(1, kernel_initializer="ones")
        self.seen = dlc.metrics.Sum("seen")
        self.modes = set()

    def call(self, x):
        return self.layer(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.modes.add(training)
        given = super().compute_loss(x, y, y_pred, sample_weight)
        return 3 * given + dlc.sum(self.layer.kernel)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.seen.update_state(dlc.ones_like(y_pred))
        found = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**found, "seen": self.seen.result()}


def test_the_default_steps_call_compute_loss_and_compute_metrics_of_the_class():
    model = OwnLoss()
    model.compile("sgd", "mse")
    wanted = 3 * float(np.mean((X.sum(1, keepdims=True) - Y) ** 2)) + 4
    found = model.evaluate(X, Y, 20, verbose=0, return_dict=True)
    assert found == {"loss": pytest.approx(wanted, rel=1e-5), "seen": len(X)}
    assert model.modes == {False}
    before = model.layer.kernel.numpy()
    history = model.fit(X, Y, len(X), epochs=3, verbose=0).history
    assert history["loss"][0] == pytest.approx(wanted, rel=1e-5)
    assert history["seen"] == [len(X)] * 3  # metrics that are attributes begin again
    assert model.modes == {False, True}
    # The gradient is that of this loss, of the penalty too.
    model = OwnLoss()
    model.compile(dlc.optim.SGD(learning_rate=0.1), "mse")
    model.fit(X, Y, len(X), verbose=0)
    error = X.sum(1, keepdims=True) - Y
    slope = 3 * 2 * (X.T @ error) / len(X) + 1
    np.testing.assert_allclose(model.layer.kernel, before - 0.1 * slope, rtol=1e-4, atol=1e-5)


def test_a_loss_of_the_class_needs_none_of_compile():
    class Alone(OwnLoss):
        def compute_loss(self, x, y, y_pred, sample_weight=None):
            return dlc.mean(dlc.abs(y_pred - y))

        @property
        def metrics(self):
            return [self.seen]

    model = Alone()
    model.compile("sgd")
    history = model.fit(X, Y, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
    assert history["seen"] == [len(X)] * 2


def test_compute_loss_as_keras_writes_it():
    class Own(nn.Module):
        def __init__(self):
            self.layer = nn.Dense(1)

        def call(self, x):
            return self.layer(x)

        def test_step(self, data):
            x, y = data[:2]
            loss = self.compute_loss(y=y, y_pred=self(x))
            return {"loss": loss}

    model = Own()
    model.compile("sgd", "mse")
    found = model.evaluate(X, A, 20, verbose=0)
    assert found == pytest.approx(float(np.mean((model.predict(X) - A) ** 2)), rel=1e-5)
    assert model.count_params() == 5
