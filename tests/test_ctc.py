"""The CTC loss against PyTorch: values and gradients, lengths, repeated labels, no alignment."""

import itertools

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


def labels_of(alignment, blank, merge=True):
    runs = [c for c, _ in itertools.groupby(alignment)] if merge else alignment
    return tuple(int(c) for c in runs if c != blank)


def by_all_alignments(log_probs, blank):
    """The logarithms of the probabilities of all label sequences, the largest first."""
    found = {}
    steps, classes = log_probs.shape
    for alignment in itertools.product(range(classes), repeat=steps):
        labels = labels_of(alignment, blank)
        score = log_probs[np.arange(steps), alignment].sum()
        found[labels] = np.logaddexp(found.get(labels, -np.inf), score)
    return sorted(found.items(), key=lambda item: -item[1])


LOGITS = 2 * np.random.default_rng(7).standard_normal((3, 6, 3)).astype(np.float32)
LENGTHS = np.array([6, 1, 5])


def labels_and_rest(path):
    labels = path[path >= 0]
    assert (path[len(labels) :] == -1).all()
    return tuple(labels)


@pytest.mark.parametrize("way", [lambda f: f, dlc.compile])
@pytest.mark.parametrize("blank", [0, -1])
def test_beam_search_against_all_alignments(way, blank):
    decode = dlc.nn.functional.ctc_decode
    paths, scores = way(lambda x, n: decode(x, n, "beam_search", 60, 3, mask_index=blank))(
        LOGITS, LENGTHS
    )
    assert paths.shape == (3, 3, 6)
    for n, (logits, length) in enumerate(zip(LOGITS.astype(np.float64), LENGTHS, strict=True)):
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        wanted = by_all_alignments(log_probs[:length], blank % 3)[:3]
        for path, score, (labels, log_prob) in zip(
            paths.numpy()[:, n], scores.numpy()[n], wanted, strict=True
        ):
            assert labels_and_rest(path) == labels
            assert score == pytest.approx(log_prob, abs=1e-5)


def test_a_narrow_beam_loses_what_begins_improbably():
    """Of width 1 it is greedy over prefixes: an early choice is not taken back."""
    logits = np.log(np.float32([[[0.4, 0.3, 0.3], [0.1, 0.8, 0.1]]]))
    decode = dlc.nn.functional.ctc_decode
    for width in (1, 9):
        paths, scores = decode(logits, [2], "beam_search", width)
        assert paths.tolist() == [[[1, -1]]]
        probability = 0.4 * 0.8 if width == 1 else 0.4 * 0.8 + 0.3 * 0.8 + 0.3 * 0.1
        assert np.exp(scores.item()) == pytest.approx(probability, rel=1e-5)


@pytest.mark.parametrize("merge", [True, False])
def test_greedy_decoding(merge):
    paths, scores = dlc.nn.functional.ctc_decode(
        LOGITS, LENGTHS, merge_repeated=merge, mask_index=1
    )
    assert paths.shape == (1, 3, 6)
    for path, logits, length, score in zip(
        paths.numpy()[0], LOGITS, LENGTHS, scores.numpy()[:, 0], strict=True
    ):
        assert labels_and_rest(path) == labels_of(logits[:length].argmax(-1), 1, merge)
        assert score == pytest.approx(-logits[:length].max(-1).sum(), rel=1e-5)


def test_wrong_decoding():
    decode = dlc.nn.functional.ctc_decode
    for wrong, words in (
        (lambda: decode(LOGITS, LENGTHS[:2]), "are \\[N, T, C\\] and"),
        (lambda: decode(LOGITS, LENGTHS, "beam"), "'greedy' or 'beam_search'"),
        (lambda: decode(LOGITS, LENGTHS, mask_index=3), "mask_index=3"),
        (lambda: decode(LOGITS, LENGTHS, "beam_search", 2, 3), "at most as many"),
    ):
        with pytest.raises(dlc.DlcError, match=words):
            wrong()
