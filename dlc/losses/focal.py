"""Focal losses: cross entropies in which samples that are right already count less.

T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017; with Keras's arguments.
"""

from __future__ import annotations

from typing import Any

import dlc
from dlc.frontend.cast_table import casts
from dlc.frontend.functions.arguments import find_axis
from dlc.losses.functions import EPSILON, binary_entropy, float_pair, mean_of, rounded, smoothed


@casts
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> dlc.Tensor:
    """-(1 - p_t)**gamma log(p_t), where p_t is the probability of the label; its mean over an axis.

    Args:
        y_true: Labels, 0 or 1.
        y_pred: Probabilities, or with `from_logits` their logits.
        apply_class_balancing: Whether 1 counts `alpha` times, and 0 the rest of 1.
        alpha: That factor.
        gamma: How much less right samples count.
        from_logits: Whether predictions are logits.
        label_smoothing: How far labels are moved towards 0.5.
        axis: Over which the mean is.
    """
    true, pred = float_pair("binary_focal_crossentropy", y_true, y_pred)
    true = smoothed(true, label_smoothing, 2)
    p = dlc.sigmoid(pred) if from_logits else pred
    missed = 1 - (true * p + (1 - true) * (1 - p))
    each = missed**gamma * binary_entropy(true, p)
    if apply_class_balancing:
        each = each * (true * alpha + (1 - true) * (1 - alpha))
    return mean_of(each, y_pred, axis)


@casts
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> dlc.Tensor:
    """-alpha (1 - p)**gamma y_true log(p), its sum over the classes.

    Args:
        y_true: A probability for each class, such as one-hot labels.
        y_pred: Probabilities p, which are divided by their sum, or logits.
        alpha: A factor, or one for each class.
        gamma: How much less right samples count.
        from_logits: Whether predictions are logits.
        label_smoothing: How far labels are moved towards the same for all.
        axis: The classes.
    """
    true, pred = float_pair("categorical_focal_crossentropy", y_true, y_pred)
    axis = find_axis("categorical_focal_crossentropy", axis, pred.tensor)
    true = smoothed(true, label_smoothing, pred.shape[axis])
    p = dlc.softmax(pred, axis=axis) if from_logits else pred
    p = dlc.clip(p / p.sum(axis=axis, keepdims=True), EPSILON, 1 - EPSILON)
    factor = dlc.asarray(alpha, dtype=pred.dtype)
    each = factor * (1 - p) ** gamma * true * dlc.log(p)
    return rounded(-each.sum(axis=axis), y_pred)
