"""`fit` against Keras's: from the same weights and batches, the same losses and weights.

As `test_training_judge`, with the models and optimizers by Keras's names, on Keras's PyTorch
backend. Each is written once for both.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from test_training_judge import BATCH, CLASSES, IMAGES, LABELS, RELATIVE, STEPS, one_thread

import dlc
from dlc import callbacks, losses, nn, optim

os.environ["KERAS_BACKEND"] = "torch"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras

__all__ = ["one_thread"]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")  # its own use of NumPy
ROWS = 5 * BATCH  # of an epoch
X, Y = np.moveaxis(IMAGES, 1, -1)[:ROWS].copy(), LABELS[:ROWS]


def conv_net(m, sequential, _base):
    return sequential([
        m.Conv2D(6, 3, padding="same", use_bias=False), m.BatchNormalization(),
        m.Activation("silu"), m.AveragePooling2D(2), m.Conv2D(8, 3, use_bias=False),
        m.BatchNormalization(), m.Activation("silu"), m.Flatten(), m.Dense(CLASSES),
    ])  # fmt: skip


def transformer(m, _sequential, base):
    class Net(base):
        def __init__(self):
            super().__init__()
            self.row, self.attention = m.Dense(16), m.MultiHeadAttention(2, 8, use_bias=False)
            self.norm1, self.inner, self.outer = (
                m.LayerNormalization(),
                m.Dense(24, "gelu"),
                m.Dense(16),
            )
            self.norm2, self.head = m.LayerNormalization(), m.Dense(CLASSES)

        def call(self, x):
            h = self.row(x[..., 0])
            h = self.norm1(h + self.attention(h, h))
            h = self.norm2(h + self.outer(self.inner(h)))
            return self.head(h[:, 0] + h[:, 3] + h[:, 6])

    return Net()


def lstm(m, sequential, _base):
    return sequential([m.Reshape((8, 8)), m.LSTM(20), m.Dense(CLASSES)])


# Of each model: its rates with each optimizer.
MODELS = {
    "conv net": (conv_net, (0.1, 0.02, 0.02, 0.01, 0.01, 0.002, 0.03)),
    "transformer": (transformer, (0.1, 0.02, 0.02, 0.005, 0.005, 0.002, 0.03)),
    "lstm": (lstm, (0.5, 0.1, 0.1, 0.01, 0.01, 0.005, 0.05)),
}
OPTIMIZERS = [
    ("SGD", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {}), ("AdamW", {}), ("RMSprop", {}), ("Adagrad", {}),
]  # fmt: skip


def recorder(base):
    class Record(base):
        """The mean loss of the epoch after each batch."""

        def __init__(self):
            super().__init__()
            self.losses = []

        def on_train_batch_end(self, batch, logs=None):
            self.losses.append(float(logs["loss"]))

    return Record()


def fitted(model, optimizer, loss, record):
    model.compile(optimizer, loss)
    settings = {"batch_size": BATCH, "epochs": STEPS * BATCH // ROWS, "shuffle": False}
    history = model.fit(X, Y, verbose=0, callbacks=[record], **settings).history
    assert len(record.losses) == STEPS
    return np.array(record.losses), history["loss"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("place", range(len(OPTIMIZERS)), ids=map(str, OPTIMIZERS))
def test_fit_is_keras(name, place):
    make, rates = MODELS[name]
    kind, settings = OPTIMIZERS[place]
    settings = {**settings, "learning_rate": rates[place]}
    dlc.random.seed(3)
    ours = make(nn, nn.Sequential, nn.Module)
    theirs = make(keras.layers, keras.Sequential, keras.Model)
    ours(X[:2])
    theirs(X[:2])
    first = [p.numpy() for p in (*ours.parameters(), *ours.buffers())]
    state = [v for v in theirs.non_trainable_variables if "seed" not in v.path]
    order = [*theirs.trainable_variables, *state]
    for variable, value in zip(order, first, strict=True):
        variable.assign(value)
    name = "SparseCategoricalCrossentropy"
    wanted, epochs = fitted(
        theirs, getattr(keras.optimizers, kind)(**settings),
        getattr(keras.losses, name)(from_logits=True), recorder(keras.callbacks.Callback),
    )  # fmt: skip
    got, mine = fitted(
        ours, getattr(optim, kind)(**settings),
        getattr(losses, name)(from_logits=True), recorder(callbacks.Callback),
    )  # fmt: skip
    assert epochs[-1] < 0.5 * wanted[0]
    np.testing.assert_allclose(got, wanted, rtol=RELATIVE)
    np.testing.assert_allclose(mine, epochs, rtol=RELATIVE)
    for p, variable in zip((*ours.parameters(), *ours.buffers()), order, strict=True):
        held = variable.value.detach().numpy()
        np.testing.assert_allclose(p.numpy(), held, rtol=0, atol=RELATIVE * np.abs(held).max())
