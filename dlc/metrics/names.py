"""Metrics by name."""

from __future__ import annotations

from inspect import signature
from typing import Any

from dlc.ir.errors import ValueRangeError, nearest
from dlc.metrics import accuracy, confusion, correlations, metric, of_losses, overlaps, scores

_CLASSES: tuple[type[metric.Metric], ...] = (
    accuracy.BinaryAccuracy, accuracy.CategoricalAccuracy, accuracy.SparseCategoricalAccuracy,
    accuracy.TopKCategoricalAccuracy, accuracy.SparseTopKCategoricalAccuracy, confusion.AUC,
    confusion.Precision, confusion.Recall, confusion.TruePositives, confusion.FalsePositives,
    confusion.TrueNegatives, confusion.FalseNegatives, metric.MeanSquaredError,
    metric.MeanAbsoluteError,
    metric.RootMeanSquaredError, of_losses.MeanAbsolutePercentageError,
    of_losses.MeanSquaredLogarithmicError, of_losses.LogCoshError, of_losses.Poisson,
    of_losses.Hinge, of_losses.SquaredHinge, of_losses.CategoricalHinge, of_losses.KLDivergence,
    of_losses.CosineSimilarity, of_losses.BinaryCrossentropy, of_losses.CategoricalCrossentropy,
    of_losses.SparseCategoricalCrossentropy, scores.FBetaScore, scores.F1Score, scores.R2Score,
    overlaps.BinaryIoU, correlations.PearsonCorrelation, correlations.ConcordanceCorrelation,
)  # fmt: skip


def _default_name(kind: type[metric.Metric]) -> str:
    return signature(kind).parameters["name"].default or metric.snake_case(kind.__name__)


_NAMES: dict[str, type[metric.Metric]] = {
    "mse": metric.MeanSquaredError, "mae": metric.MeanAbsoluteError,
    "rmse": metric.RootMeanSquaredError, "mape": of_losses.MeanAbsolutePercentageError,
    "msle": of_losses.MeanSquaredLogarithmicError, "logcosh": of_losses.LogCoshError,
    "log_cosh": of_losses.LogCoshError, "kld": of_losses.KLDivergence,
    "bce": of_losses.BinaryCrossentropy,
    **{_default_name(kind): kind for kind in _CLASSES},
    **{kind.__name__: kind for kind in _CLASSES},
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
