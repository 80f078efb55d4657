"""Training against PyTorch: from the same weights and batches, the same losses and weights.

A conv net, a transformer and an LSTM, written once for both frameworks, take 50 steps at float32
with each optimizer, at a rate at which the loss at least halves. So that rounding is not magnified,
activations are smooth, and no parameter is without influence on the loss (a bias before batch
normalisation, or of keys in attention: its gradient is rounding alone, which Adam makes large).
"""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.datasets
import torch

import dlc
from dlc import nn, optim

STEPS, BATCH, CLASSES, RELATIVE = 50, 32, 4, 1e-4
X, LABELS = sklearn.datasets.load_digits(n_class=CLASSES, return_X_y=True)
IMAGES = ((X - X.mean()) / X.std()).astype(np.float32).reshape(-1, 1, 8, 8)
LABELS = LABELS.astype(np.int64)


def conv_net(lib):
    m = lib.nn
    return m.Sequential(
        m.Conv2d(1, 6, 3, padding=1, bias=False), m.BatchNorm2d(6), m.SiLU(), m.AvgPool2d(2),
        m.Conv2d(6, 8, 3, bias=False), m.BatchNorm2d(8), m.SiLU(), m.Flatten(),
        m.Linear(32, CLASSES),
    )  # fmt: skip


def transformer(lib):
    m = lib.nn

    class Net(m.Module):
        def __init__(self):
            super().__init__()
            self.row, self.place = m.Linear(8, 16), m.Embedding(8, 16)
            layer = m.TransformerEncoderLayer(
                16, 2, 24, dropout=0.0, activation="gelu", batch_first=True, bias=False
            )
            self.body = m.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = m.Linear(16, CLASSES)

        def forward(self, x):
            h = self.row(x[:, 0]) + self.place(lib.arange(8))
            return self.head(self.body(h).mean(1))

    return Net()


def lstm(lib):
    m = lib.nn

    class Net(m.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = m.LSTM(8, 20, batch_first=True), m.Linear(20, CLASSES)

        def forward(self, x):
            return self.head(self.body(x[:, 0])[0][:, -1])

    return Net()


MODELS = {
    "conv net": (conv_net, IMAGES),
    "transformer": (transformer, IMAGES),
    "lstm": (lstm, IMAGES),
}
# Of each optimizer: its settings, and a rate for each model.
OPTIMIZERS = [
    ("SGD", {}, (0.1, 0.3, 0.5)),
    ("SGD", {"momentum": 0.9}, (0.03, 0.06, 0.1)),
    ("SGD", {"momentum": 0.9, "nesterov": True}, (0.03, 0.06, 0.1)),
    ("Adam", {}, (0.01, 0.005, 0.01)),
    ("AdamW", {}, (0.01, 0.005, 0.01)),
    ("RMSprop", {}, (0.003, 0.001, 0.003)),
    ("Adagrad", {}, (0.03, 0.02, 0.03)),
]


@pytest.fixture(autouse=True)
def one_thread():
    """PyTorch's threads cost more than they save on models of this size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batches():
    """The numbers of the samples of each step."""
    order = np.random.default_rng(0).permutation(len(LABELS))
    return [np.take(order, range(k * BATCH, (k + 1) * BATCH), mode="wrap") for k in range(STEPS)]


def train_torch(model, x, kind, settings):
    optimizer, losses = getattr(torch.optim, kind)(model.parameters(), **settings), []
    for rows in batches():
        optimizer.zero_grad()
        logits = model(torch.tensor(x[rows]))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(LABELS[rows]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train_dlc(model, x, kind, settings):
    optimizer = getattr(optim, kind)(list(model.parameters()), **settings)

    @dlc.compile
    def step(x, labels):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(x[rows], LABELS[rows]).item() for rows in batches()]
    assert step.stats.compilations == 1
    assert step.stats.interpreted_ops == 0
    return losses


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("kind", "settings", "rates"), OPTIMIZERS, ids=str)
def test_training_is_pytorchs(name, kind, settings, rates):
    make, x = MODELS[name]
    settings = {**settings, "lr": rates[list(MODELS).index(name)]}
    dlc.random.seed(7)
    ours, theirs = make(dlc), make(torch)
    state = {k: torch.tensor(v.numpy()) for k, v in ours.state_dict(random=False).items()}
    theirs.load_state_dict(state)
    wanted = train_torch(theirs, x, kind, settings)
    got = train_dlc(ours, x, kind, settings)
    assert np.mean(wanted[-5:]) < 0.5 * wanted[0]
    np.testing.assert_allclose(got, wanted, rtol=RELATIVE)
    for key, value in theirs.state_dict().items():
        held, found = value.numpy(), ours.state_dict()[key].numpy()
        np.testing.assert_allclose(found, held, rtol=0, atol=RELATIVE * np.abs(held).max())
