"""Metrics that count right answers."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.frontend.apply import as_tensor
from dlc.losses.functions import float_pair
from dlc.metrics.metric import MeanOf


def _as_floats(right: Any) -> dlc.Tensor:
    return dlc.astype(right, dlc.float32)


class BinaryAccuracy(MeanOf):
    """The share of predictions on the right side of a threshold.

    Args:
        name: The metric's name.
        threshold: Predictions above it stand for 1.
    """

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(self._right, name)
        self.threshold = threshold

    def _right(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        true, pred = float_pair(self.name, y_true, y_pred)
        right = _as_floats(true == dlc.astype(pred > self.threshold, true.dtype))
        return right.mean(axis=-1) if right.ndim else right


class CategoricalAccuracy(MeanOf):
    """The share of samples whose likeliest class is that of one-hot labels.

    Example:
        >>> metric = dlc.metrics.CategoricalAccuracy()
        >>> metric([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]]).item()
        0.5
    """

    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(self._right, name)

    def _right(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        true, pred = float_pair(self.name, y_true, y_pred)
        return _as_floats(dlc.argmax(true, axis=-1) == dlc.argmax(pred, axis=-1))


class SparseCategoricalAccuracy(MeanOf):
    """The share of samples whose likeliest class is the label, a number."""

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(self._right, name)

    def _right(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        labels, found = as_tensor(y_true), dlc.argmax(y_pred, axis=-1)
        if labels.ndim == found.ndim + 1 and labels.shape[-1] == 1:
            labels = dlc.squeeze(labels, axis=-1)
        return _as_floats(dlc.astype(labels, found.dtype) == found)
