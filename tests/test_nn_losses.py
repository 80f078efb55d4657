"""PyTorch's losses as layers, against PyTorch's, and in `compile` and `fit`."""

import functools

import numpy as np
import pytest
import torch

import dlc
from dlc import losses, nn
from dlc.nn import functional as fn

RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((4, 5)), RNG.standard_normal((4, 5))
P, Q = 1 / (1 + np.exp(-X)), (Y > 0).astype(float)
SIGNS, CLASSES = np.where(Y > 0, 1.0, -1.0), RNG.integers(0, 5, 4)
LOG = X - np.log(np.exp(X).sum(1, keepdims=True))
W = RNG.random(5) + 0.5
SEQUENCES = (LOG[:, None, :], np.array([[1, 2]]), np.array([4]), np.array([2]))

CASES = [
    ("MSELoss", {}, (X, Y)), ("L1Loss", {}, (X, Y)), ("SmoothL1Loss", {"beta": 0.5}, (X, Y)),
    ("HuberLoss", {"delta": 0.5}, (X, Y)), ("KLDivLoss", {"log_target": True}, (LOG, LOG[::-1])),
    ("PoissonNLLLoss", {"full": True}, (X, Q)), ("GaussianNLLLoss", {"full": True}, (X, Y, P)),
    ("BCELoss", {"weight": W}, (P, Q)), ("BCEWithLogitsLoss", {"pos_weight": W}, (X, Q)),
    ("CrossEntropyLoss", {"weight": W, "label_smoothing": 0.1}, (X, CLASSES)),
    ("NLLLoss", {"weight": W, "ignore_index": 1}, (LOG, CLASSES)),
    ("MultiLabelSoftMarginLoss", {"weight": W}, (X, Q)), ("SoftMarginLoss", {}, (X, SIGNS)),
    ("MultiLabelMarginLoss", {}, (X, np.array([[1, 2, -1, 0, 0]] * 4))),
    ("MultiMarginLoss", {"p": 2, "margin": 0.5, "weight": W}, (X, CLASSES)),
    ("HingeEmbeddingLoss", {"margin": 0.5}, (P, SIGNS)),
    ("CosineEmbeddingLoss", {"margin": 0.1}, (X, Y, SIGNS[:, 0])),
    ("MarginRankingLoss", {"margin": 0.1}, (X, Y, SIGNS)),
    ("TripletMarginLoss", {"swap": True, "margin": 2.0}, (X, Y, P)),
    ("CTCLoss", {"blank": 3}, SEQUENCES),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize(("name", "settings", "tensors"), CASES, ids=[c[0] for c in CASES])
def test_as_pytorch(name, settings, tensors):
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    for reduction in ("mean", "sum", "none"):
        judge = getattr(torch.nn, name)(reduction=reduction, **theirs)
        loss = getattr(nn, name)(reduction=reduction, **settings)
        wanted = judge(*map(torch.tensor, map(np.ascontiguousarray, tensors)))
        np.testing.assert_allclose(loss(*tensors).numpy(), wanted.numpy(), rtol=1e-9, atol=1e-12)
        assert list(loss.state_dict()) == list(judge.state_dict())
        assert f"reduction={reduction!r}" in repr(loss)
    with pytest.raises(dlc.ValueRangeError, match=f"{name} has no reduction 'most'"):
        getattr(nn, name)(reduction="most")


@pytest.mark.parametrize(
    "loss",
    [nn.BCELoss(), fn.binary_cross_entropy, functools.partial(fn.binary_cross_entropy, weight=1.0)],
)
def test_predictions_come_first_in_fit(loss):
    dlc.random.seed(0)
    model = nn.Sequential(nn.Linear(5, 3), nn.Sigmoid())
    model.compile("sgd", loss)
    x, y = X.astype(np.float32), Q[:, :3].astype(np.float32)
    wanted = losses.BinaryCrossentropy()(y, model(x)).item()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(wanted, rel=1e-5)
