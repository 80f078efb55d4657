"""Losses of sequences: `ctc_loss`."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc.frontend.cast_table import casts
from dlc.ir.errors import ShapeError
from dlc.nn.functional.arguments import check_reduction, tensor, wide

_NOTHING = -1e30
"""The logarithm of what is impossible: finite, so that derivatives are numbers."""


@casts
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> dlc.Tensor:
    """Minus the logarithm of the probability of label sequences, whatever their alignment.

    Graves et al., "Connectionist temporal classification", 2006: the forward variables of section
    4.1, in a loop over time.

    Args:
        log_probs: Logarithms of probabilities [T, N, C], or [T, C] for one sequence.
        targets: Labels [N, S] without blanks, filled up at the end with anything; or all labels one
            after the other, where `target_lengths` are known; [S] for one sequence.
        input_lengths: How many steps of each sequence count, [N] or a number.
        target_lengths: How many labels of each sequence count, [N] or a number.
        blank: The class of no label.
        reduction: "mean" of the losses each over the length of its target (1 at least), "sum", or
            "none" for the losses [N].
        zero_infinity: Whether the loss of a sequence too short for its labels is 0, with its
            derivatives, instead of inf.

    Raises:
        ShapeError: The shapes do not fit.
        ValueRangeError: There is no such reduction.

    Example:
        >>> log_probs = dlc.log_softmax(dlc.zeros((3, 1, 2)), axis=-1)
        >>> dlc.nn.functional.ctc_loss(log_probs, [[1]], [3], [1], reduction="none")
        Tensor([0.287...], dtype=float32)
    """
    check_reduction("ctc_loss", reduction)
    (x,), dtype = wide(log_probs)
    single = x.ndim == 2
    if single:
        x = dlc.expand_dims(x, axis=1)
    if x.ndim != 3:
        raise ShapeError(f"ctc_loss of {x.tensor}: log_probs must be [T, N, C]")
    n = x.shape[1]
    steps, counts = (_lengths(v, n) for v in (input_lengths, target_lengths))
    labels = _labels(targets, target_lengths, n, single)
    losses = _losses(x, labels, steps, counts, blank)
    impossible = losses > -_NOTHING / 10
    losses = dlc.where(impossible, 0.0 if zero_infinity else float("inf"), losses)
    if reduction == "mean":
        losses = dlc.mean(losses / dlc.maximum(counts, 1).astype(losses.dtype))
    elif reduction == "sum":
        losses = dlc.sum(losses)
    elif single:
        losses = losses[0]
    return losses.astype(dtype)


def _lengths(given: Any, n: Any) -> dlc.Tensor:
    held = tensor(given).astype(dlc.int64)
    if held.ndim > 1 or (held.ndim == 1 and held.shape[0] not in (1, n)):
        raise ShapeError(f"ctc_loss of {n} sequences with lengths {held.tensor}")
    return dlc.broadcast_to(held, (n,))


def _labels(targets: Any, lengths: Any, n: Any, single: bool) -> dlc.Tensor:
    """The labels as a matrix of a row for each sequence."""
    held = tensor(targets)
    if held.ndim == 1 and single:
        held = dlc.expand_dims(held, axis=0)
    elif held.ndim == 1:  # one after the other
        counts = np.asarray(lengths)
        rows = np.zeros((len(counts), int(counts.max(initial=0))), np.int64)
        ends = np.cumsum(counts)
        for row, end, count in zip(rows, ends, counts, strict=True):
            row[:count] = np.arange(end - count, end)
        held = dlc.take(held, rows) if rows.size else dlc.zeros(rows.shape, dtype=dlc.int64)
    if held.ndim != 2 or held.shape[0] != n:
        raise ShapeError(f"ctc_loss of {n} sequences with targets {tensor(targets).tensor}")
    return held.astype(dlc.int64)


def _losses(
    x: dlc.Tensor, labels: dlc.Tensor, steps: dlc.Tensor, counts: dlc.Tensor, blank: int
) -> dlc.Tensor:
    """The loss of each sequence, about -`_NOTHING` where there is no alignment."""
    n, length = labels.shape
    blanks = dlc.full((n, length, 1), blank, dtype=dlc.int64)
    pairs = dlc.concat([blanks, dlc.expand_dims(labels, axis=-1)], axis=-1)
    path = dlc.concat(
        [dlc.reshape(pairs, (n, 2 * length)), dlc.full((n, 1), blank, dtype=dlc.int64)], axis=1
    )
    width = 2 * length + 1
    place = dlc.arange(width)
    inside = place <= 2 * dlc.expand_dims(counts, axis=-1)
    path = dlc.where(inside, path, blank)
    # From a label to the next one without a blank between, if they differ.
    before = _moved(path, 2, blank)
    skips = dlc.logical_and(path != blank, path != before)
    emitted = dlc.take_along_axis(x, dlc.broadcast_to(path, (x.shape[0], n, width)), axis=-1)
    start = dlc.where(place < 2, emitted[0], _NOTHING)

    def step(carry: Any, now: Any) -> Any:
        alpha, time = carry
        ways = [alpha, _moved(alpha, 1, _NOTHING)]
        ways.append(dlc.where(skips, _moved(alpha, 2, _NOTHING), _NOTHING))
        reached = _log_sum(ways) + now
        running = dlc.expand_dims(time < steps, axis=-1)
        return (dlc.where(running, dlc.maximum(reached, _NOTHING), alpha), time + 1), None

    (alpha, _), _ = dlc.scan(step, (start, dlc.asarray(1, dtype=dlc.int64)), emitted[1:])
    last = 2 * dlc.expand_dims(counts, axis=-1)
    ends = [dlc.take_along_axis(alpha, last, axis=-1)]
    label = dlc.take_along_axis(alpha, dlc.maximum(last - 1, 0), axis=-1)
    ends.append(dlc.where(last > 0, label, _NOTHING))
    return dlc.squeeze(-_log_sum(ends), axis=-1)


def _moved(x: dlc.Tensor, by: int, fill: Any) -> dlc.Tensor:
    """x moved along its last axis."""
    front = dlc.full((*x.shape[:-1], by), fill, dtype=x.dtype)
    return dlc.concat([front, x], axis=-1)[..., : x.shape[-1]]


def _log_sum(parts: list[dlc.Tensor]) -> dlc.Tensor:
    """The logarithm of the sum of exponentials."""
    most = parts[0]
    for p in parts[1:]:
        most = dlc.maximum(most, p)
    most = dlc.stop_gradient(most)
    total = dlc.exp(parts[0] - most)
    for p in parts[1:]:
        total = total + dlc.exp(p - most)
    return dlc.log(total) + most
