"""Losses of sets that should overlap, with Keras's meanings."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.frontend.cast_table import casts
from dlc.losses.functions import EPSILON, float_pair, rounded


@casts
def dice(y_true: Any, y_pred: Any, axis: Any = None) -> dlc.Tensor:
    """1 less twice the overlap over the sizes of both (Milletari et al., 2016).

    Args:
        y_true: Labels from 0 to 1.
        y_pred: Probabilities.
        axis: The axes of a set; all by default, for one loss.

    Example:
        >>> dlc.losses.dice([[1.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]], axis=1).numpy()
        array([0.       , 0.333...], dtype=float32)
    """
    true, pred = float_pair("dice", y_true, y_pred)
    both, sizes = (true * pred).sum(axis=axis), true.sum(axis=axis) + pred.sum(axis=axis)
    return rounded(1 - 2 * both / (sizes + EPSILON), y_pred)


@casts
def tversky(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.5,
    beta: float = 0.5,
    axis: Any = None,
) -> dlc.Tensor:
    """1 less the overlap over itself and what each has alone (Salehi et al., 2017).

    Args:
        y_true: Labels from 0 to 1.
        y_pred: Probabilities.
        alpha: How much labels count that are not predicted (as Keras computes it).
        beta: How much predictions count that are not labels.
        axis: The axes of a set; all by default, for one loss.

    Example:
        >>> dlc.losses.tversky([1.0, 1.0, 0.0], [1.0, 0.0, 0.0], alpha=1.0, beta=0.0).item()
        0.5...
    """
    true, pred = float_pair("tversky", y_true, y_pred)
    both = (true * pred).sum(axis=axis)
    missed, wrong = ((1 - pred) * true).sum(axis=axis), (pred * (1 - true)).sum(axis=axis)
    return rounded(1 - both / (both + alpha * missed + beta * wrong + EPSILON), y_pred)
