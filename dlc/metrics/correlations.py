"""Metrics of how predictions go along with true values; Keras's meanings."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.losses.functions import EPSILON, float_pair
from dlc.metrics.metric import MeanOf


class _Correlation(MeanOf):
    """The mean of a correlation along an axis, the last one by default."""

    def __init__(self, name: str | None = None, axis: int | tuple[int, ...] = -1) -> None:
        super().__init__(self._along, name or type(self).name_in_keras)
        self.axis = axis

    name_in_keras: str

    def _along(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        raise NotImplementedError

    def _moments(self, y_true: Any, y_pred: Any) -> tuple[dlc.Tensor, ...]:
        """The covariance, both variances, and the difference of the means."""
        true, pred = float_pair(self.name, y_true, y_pred)
        centres = [dlc.mean(x, axis=self.axis, keepdims=True) for x in (true, pred)]
        a, b = true - centres[0], pred - centres[1]
        found = [dlc.mean(x, axis=self.axis) for x in (a * b, a * a, b * b)]
        apart = centres[0] - centres[1]
        return *found, dlc.mean(apart, axis=self.axis)


class PearsonCorrelation(_Correlation):
    """The mean of the samples' correlations of true values and predictions, each from -1 to 1.

    It is NaN for a sample whose true values or predictions are all equal.

    Args:
        name: The metric's name.
        axis: The axis, or axes, along which the values of a sample are.

    Example:
        >>> metric = dlc.metrics.PearsonCorrelation()
        >>> metric([[0.0, 1.0, 0.5], [1.0, 1.0, 0.2]], [[0.1, 0.9, 0.5], [1.0, 0.9, 0.2]]).item()
        0.996...
    """

    name_in_keras = "pearson_correlation"

    def _along(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        both, true, pred, _ = self._moments(y_true, y_pred)
        return both / (dlc.sqrt(true) * dlc.sqrt(pred))


class ConcordanceCorrelation(_Correlation):
    """The mean of how near the samples' predictions are to true values, each from -1 to 1.

    As the correlation, but 1 only where both are equal (Lin, 1989).

    Args:
        name: The metric's name.
        axis: The axis, or axes, along which the values of a sample are.

    Example:
        >>> metric = dlc.metrics.ConcordanceCorrelation()
        >>> metric([[0.0, 1.0, 0.5], [1.0, 1.0, 0.2]], [[0.1, 0.9, 0.5], [1.0, 0.9, 0.2]]).item()
        0.981...
    """

    name_in_keras = "concordance_correlation"

    def _along(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        both, true, pred, apart = self._moments(y_true, y_pred)
        return 2 * both / (true + pred + apart * apart + EPSILON)
