"""Metrics that count right answers."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.frontend.apply import as_tensor
from dlc.ir.integers import at_least
from dlc.losses.functions import float_pair, one_shape
from dlc.metrics.metric import MeanOf


def _as_floats(right: Any) -> dlc.Tensor:
    return dlc.astype(right, dlc.float32)


class Accuracy(MeanOf):
    """The share of predictions that are equal to the labels, element by element.

    For what a model says is likely there is an accuracy of its own; in `compile`, "accuracy" is the
    one for the labels there are.

    Example:
        >>> dlc.metrics.Accuracy()([1, 2, 3, 4], [0, 2, 3, 4]).item()
        0.75
    """

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(self._right, name)

    def _right(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        true, pred = one_shape(self.name, as_tensor(y_true), as_tensor(y_pred))
        return _as_floats(true == pred)


class BinaryAccuracy(MeanOf):
    """The share of predictions on the right side of a threshold.

    Args:
        name: The metric's name.
        threshold: Predictions above it stand for 1.

    Example:
        >>> dlc.metrics.BinaryAccuracy()([[1.0], [0.0]], [[0.8], [0.6]]).item()
        0.5
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
    """The share of samples whose likeliest class is the label, a number.

    Labels are integers `[batch, ...]`, or `[batch, ..., 1]`, predictions `[batch, ..., n]`.

    Example:
        >>> metric = dlc.metrics.SparseCategoricalAccuracy()
        >>> metric([1, 0], [[0.1, 0.9], [0.2, 0.8]]).item()
        0.5
    """

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(self._right, name)

    def _right(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        labels, found = as_tensor(y_true), dlc.argmax(y_pred, axis=-1)
        if labels.ndim == found.ndim + 1 and labels.shape[-1] == 1:
            labels = dlc.squeeze(labels, axis=-1)
        return _as_floats(dlc.astype(labels, found.dtype) == found)


def _among_largest(own: dlc.Tensor, pred: dlc.Tensor, k: int) -> dlc.Tensor:
    """Whether less than `k` predictions are larger; one that is NaN is never among them."""
    larger = dlc.sum(dlc.astype(pred > own, dlc.int64), axis=-1) < k
    return _as_floats(larger & ~dlc.isnan(dlc.squeeze(own, axis=-1)))


class TopKCategoricalAccuracy(MeanOf):
    """The share of samples whose class, by one-hot labels, is among the likeliest `k`.

    Args:
        k: How many of the likeliest classes count.
        name: The metric's name.

    Raises:
        ValueRangeError: for a `k` below 1.

    Example:
        >>> metric = dlc.metrics.TopKCategoricalAccuracy(k=2)
        >>> metric([[0, 0, 1], [1, 0, 0]], [[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]]).item()
        0.5
    """

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(self._right, name)
        self.k = at_least(k, 1, f"{name}: k")

    def _right(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        true, pred = float_pair(self.name, y_true, y_pred)
        own = dlc.expand_dims(dlc.argmax(true, axis=-1), axis=-1)
        return _among_largest(dlc.take_along_axis(pred, own, axis=-1), pred, self.k)


class SparseTopKCategoricalAccuracy(MeanOf):
    """The share of samples whose label, a number, is among the likeliest `k` classes.

    Args:
        k: How many of the likeliest classes count.
        name: The metric's name.

    Raises:
        ValueRangeError: for a `k` below 1.

    Example:
        >>> metric = dlc.metrics.SparseTopKCategoricalAccuracy(k=2)
        >>> metric([2, 0], [[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]]).item()
        0.5
    """

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(self._right, name)
        self.k = at_least(k, 1, f"{name}: k")

    def _right(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        labels, pred = dlc.astype(as_tensor(y_true), dlc.int64), as_tensor(y_pred)
        if labels.ndim + 1 == pred.ndim:
            labels = dlc.expand_dims(labels, axis=-1)
        return _among_largest(dlc.take_along_axis(pred, labels, axis=-1), pred, self.k)
