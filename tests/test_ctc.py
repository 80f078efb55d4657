"""The CTC loss against PyTorch: values and gradients, lengths, repeated labels, no alignment."""

import numpy as np
import pytest
import torch
from torch.nn import functional as ref

import dlc
from dlc.nn import functional as fn

RNG = np.random.default_rng(5)
LABELS = RNG.integers(1, 5, (4, 6))
LABELS[0, :3] = 2  # repeated: a blank must be between
STEPS, COUNTS = np.array([20, 15, 9, 20]), np.array([6, 3, 0, 1])


def both(x, labels, steps, counts, **keywords):
    """Values and gradients of the logits, of dlc and of PyTorch."""

    def loss(logits):
        found = fn.ctc_loss(dlc.log_softmax(logits, axis=-1), labels, steps, counts, **keywords)
        return dlc.sum(found * np.arange(1.0, found.size + 1).reshape(found.shape))

    leaf = torch.tensor(x, requires_grad=True)
    given = (torch.tensor(a) for a in (labels, steps, counts))
    want = ref.ctc_loss(torch.log_softmax(leaf, -1), *given, **keywords)
    total = (want * torch.arange(1.0, want.numel() + 1).reshape(want.shape)).sum()
    total.backward()
    yield (total.item(), leaf.grad.numpy())
    for f in (dlc.value_and_grad(loss), dlc.compile(dlc.value_and_grad(loss))):
        value, gradient = f(dlc.asarray(x))
        yield value.item(), gradient.numpy()


def agree(*args, **keywords):
    (want, slope), *found = both(*args, **keywords)
    for value, gradient in found:
        assert value == pytest.approx(want, rel=1e-12)
        assert np.allclose(gradient, slope, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_padded_targets(reduction):
    agree(RNG.standard_normal((20, 4, 5)) * 3, LABELS, STEPS, COUNTS, reduction=reduction)


def test_targets_one_after_the_other_and_another_blank():
    x = RNG.standard_normal((20, 4, 5))
    labels = np.concatenate([row[:k] for row, k in zip(LABELS, COUNTS, strict=True)]) % 4
    agree(x, labels, STEPS, COUNTS, blank=4)


def test_one_sequence():
    agree(RNG.standard_normal((12, 5)), LABELS[1, :4], np.array(12), np.array(4), reduction="none")


def test_sequences_too_short_for_their_labels():
    x = RNG.standard_normal((4, 2, 5))
    labels, steps, counts = np.array([[1, 1, 1], [1, 2, 3]]), np.array([4, 4]), np.array([3, 3])
    agree(x, labels, steps, counts, zero_infinity=True)
    log_probs = dlc.log_softmax(x, axis=-1)
    assert fn.ctc_loss(log_probs, labels, steps, counts, reduction="none").numpy()[0] == np.inf


def test_bad_input():
    x = np.zeros((3, 2, 4))
    for labels, steps in ((np.ones((3, 2), int), [3, 3]), (np.ones((2, 2), int), [3, 3, 3])):
        with pytest.raises(dlc.ShapeError, match="2 sequences"):
            fn.ctc_loss(x, labels, steps, [1, 1])
    with pytest.raises(dlc.ShapeError, match="T, N, C"):
        fn.ctc_loss(np.zeros(3), [[1]], [3], [1])
