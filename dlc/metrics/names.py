"""Metrics by name."""

from __future__ import annotations

from typing import Any

from dlc.ir.errors import ValueRangeError, nearest
from dlc.losses import functions
from dlc.metrics import accuracy, confusion, metric

_NAMES: dict[str, Any] = {
    "binary_accuracy": accuracy.BinaryAccuracy,
    "categorical_accuracy": accuracy.CategoricalAccuracy,
    "sparse_categorical_accuracy": accuracy.SparseCategoricalAccuracy,
    "auc": confusion.AUC, "AUC": confusion.AUC, "precision": confusion.Precision,
    "recall": confusion.Recall, "mse": metric.MeanSquaredError, "mae": metric.MeanAbsoluteError,
    "mean_squared_error": metric.MeanSquaredError, "rmse": metric.RootMeanSquaredError,
    "mean_absolute_error": metric.MeanAbsoluteError,
    "root_mean_squared_error": metric.RootMeanSquaredError,
    "cosine_similarity": lambda: metric.MeanOf(functions.cosine_similarity),
    "kl_divergence": lambda: metric.MeanOf(functions.kl_divergence),
    "binary_crossentropy": lambda: metric.MeanOf(functions.binary_crossentropy),
    "categorical_crossentropy": lambda: metric.MeanOf(functions.categorical_crossentropy),
    "sparse_categorical_crossentropy": lambda: metric.MeanOf(
        functions.sparse_categorical_crossentropy
    ),
}  # fmt: skip


def accuracy_for(true_shape: Any, pred_shape: Any) -> metric.Metric:
    """What "accuracy" means for labels and predictions of these shapes, as in Keras."""
    if not pred_shape or pred_shape[-1] == 1:
        return accuracy.BinaryAccuracy("accuracy")
    if len(true_shape) == len(pred_shape) and true_shape[-1] == pred_shape[-1]:
        return accuracy.CategoricalAccuracy("accuracy")
    return accuracy.SparseCategoricalAccuracy("accuracy")


def get(given: Any) -> metric.Metric:
    """A metric by name, by class, as a function of (y_true, y_pred), or as it was given.

    Raises:
        ValueRangeError: for a name that is not known, with the nearest one.

    Example:
        >>> dlc.metrics.get("mae").name
        'mean_absolute_error'
    """
    if isinstance(given, metric.Metric):
        return given
    if isinstance(given, type) and issubclass(given, metric.Metric):
        return given()
    if callable(given):
        return metric.MeanOf(given)
    if given not in _NAMES:
        hint = nearest(str(given), [*_NAMES, "accuracy"])
        if given in ("accuracy", "acc"):
            hint = "name one, such as sparse_categorical_accuracy: it depends on the labels"
        raise ValueRangeError(f"no metric {given!r}", hint=hint)
    return _NAMES[given]()
