"""Metrics of classes and regressions that are no means: F-scores, R squared; Keras's meanings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

import dlc
from dlc.frontend.variable_state import check_state
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.losses.classes import weighted
from dlc.losses.functions import EPSILON, float_pair
from dlc.metrics.metric import Metric


class _OfOutputs(Metric):
    """A metric that keeps numbers for each output, which the first batch says how many there are.

    Predictions are [N, outputs].
    """

    kept: tuple[str, ...]  # the attributes

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.outputs: int | None = None

    def _make(self, outputs: int) -> None:
        """Makes the state, in float64: sums of squares cancel."""
        self.outputs = outputs
        for kept in self.kept:
            setattr(self, kept, self.add_variable(np.zeros(outputs), dlc.float64))

    def _batch(
        self, y_true: Any, y_pred: Any, sample_weight: Any
    ) -> tuple[dlc.Tensor, dlc.Tensor, dlc.Tensor]:
        """True values, predictions and weights [N, outputs] at float64."""
        true, pred = float_pair(self.name, y_true, y_pred)
        if pred.ndim != 2:
            raise ShapeError(
                f"{type(self).__name__} of predictions {pred.tensor}: they are [samples, outputs]"
            )
        if self.outputs is None:
            self._make(int(pred.shape[1]))
        true, pred = (dlc.astype(x, dlc.float64) for x in (true, pred))
        ones = dlc.ones_like(pred)
        return true, pred, ones if sample_weight is None else weighted(ones, sample_weight)[0]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Assigns what `state_dict` gave; makes state of as many outputs first."""
        check_state(state)
        last: Any = state.get(str(len(self.variables) + len(self.kept) - 1))
        if self.outputs is None and np.ndim(last) == 1:
            self._make(np.shape(last)[0])
        super().load_state_dict(state)

    def merge_state(self, metrics: Iterable[Metric]) -> Self:
        """Adds what other metrics of this kind have seen; returns the metric."""
        others = [m for m in metrics if not isinstance(m, _OfOutputs) or m.outputs is not None]
        for other in others:
            if self.outputs is None and isinstance(other, type(self)) and other.outputs:
                self._make(other.outputs)
        return super().merge_state(others)


class FBetaScore(_OfOutputs):
    """The mean of precision and recall, of which recall counts `beta` times.

    Args:
        average: None for a score of each output; "micro" for one of all outputs together; "macro"
            for the mean of the scores; "weighted" for their mean by how many there truly are.
        beta: How much recall counts.
        threshold: Predictions above it stand for 1; None for the largest of each sample.
        name: The metric's name.

    Raises:
        ValueRangeError: for another average, a beta that is not positive, and a threshold that is
            not above 0 and at most 1.

    Example:
        >>> metric = dlc.metrics.FBetaScore(average="micro", beta=2.0, threshold=0.5)
        >>> metric([[1, 0], [1, 1]], [[0.9, 0.2], [0.1, 0.8]]).item()
        0.714...
    """

    kept = ("true_positives", "false_positives", "false_negatives")

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
    ) -> None:
        kind = type(self).__name__
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueRangeError(
                f"{kind}(average={average!r})", hint='give None, "micro", "macro" or "weighted"'
            )
        if not beta > 0:
            raise ValueRangeError(f"{kind}(beta={beta}): it must be positive")
        if threshold is not None and not 0 < threshold <= 1:
            raise ValueRangeError(f"{kind}(threshold={threshold}): above 0, at most 1")
        super().__init__(name)
        self.average, self.beta, self.threshold = average, beta, threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of labels 0 and 1, and of probabilities."""
        true, pred, weights = self._batch(y_true, y_pred, sample_weight)
        if self.threshold is None:
            most = dlc.max(pred, axis=-1, keepdims=True)
            chosen = (pred >= most) & (dlc.abs(pred) > 1e-9)  # zeros alone choose nothing
        else:
            # Compared as the float32 that the predictions are.
            chosen = pred > float(np.float32(self.threshold))
        found = dlc.astype(chosen, dlc.float64)
        sums = (found * true, found * (1 - true), (1 - found) * true)
        for kept, each in zip(self.kept, sums, strict=True):
            getattr(self, kept).assign_add((each * weights).sum(axis=0))

    def result(self) -> dlc.Tensor:
        """The score, or one for each output; 0 without any batch."""
        if self.outputs is None:
            return dlc.zeros(())
        hits, alarms, missed = (getattr(self, kept).value() for kept in self.kept)
        there = hits + missed
        if self.average == "micro":
            hits, alarms, missed = (x.sum(keepdims=True) for x in (hits, alarms, missed))
        precision, recall = hits / (hits + alarms + EPSILON), hits / (hits + missed + EPSILON)
        square = self.beta**2
        score = (1 + square) * precision * recall / (square * precision + recall + EPSILON)
        if self.average == "weighted":
            score = (score * there / (there.sum() + EPSILON)).sum()
        elif self.average is not None:
            score = score.mean()
        return dlc.astype(score, dlc.float32)


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall; see `FBetaScore`.

    Args:
        average: See there.
        threshold: See there.
        name: The metric's name.

    Example:
        >>> metric = dlc.metrics.F1Score(average="micro", threshold=0.5)
        >>> metric([[1, 0], [1, 1]], [[0.9, 0.2], [0.1, 0.8]]).item()
        0.799...
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
    ) -> None:
        super().__init__(average, 1.0, threshold, name)


class R2Score(_OfOutputs):
    """The share of the variance that predictions explain, 1 - residual / total.

    Args:
        class_aggregation: "uniform_average" of the outputs; "variance_weighted_average"; None for a
            score of each output.
        num_regressors: How many variables predictions were made of, for the adjusted score; 0 for
            the plain one, which it also is where there are not more samples.
        name: The metric's name.

    Raises:
        ValueRangeError: for another aggregation and a negative number.

    Example:
        >>> dlc.metrics.R2Score()([[1.0], [2.0], [3.0]], [[1.0], [2.0], [4.0]]).item()
        0.5
    """

    kept = ("squares", "sum", "residual", "count")

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
    ) -> None:
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise ValueRangeError(
                f"R2Score(class_aggregation={class_aggregation!r})",
                hint='give None, "uniform_average" or "variance_weighted_average"',
            )
        if num_regressors < 0:
            raise ValueRangeError(f"R2Score(num_regressors={num_regressors}): at least 0")
        super().__init__(name)
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.samples = self.add_variable(0.0, dlc.float64)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        true, pred, weights = self._batch(y_true, y_pred, sample_weight)
        for kept, each in zip(self.kept, (true * true, true, (true - pred) ** 2, 1), strict=True):
            getattr(self, kept).assign_add((each * weights).sum(axis=0))
        self.samples.assign_add(dlc.ones_like(true).sum())

    def result(self) -> dlc.Tensor:
        """The score, or one for each output; 0 without any batch."""
        if self.outputs is None:
            return dlc.zeros(())
        squares, summed, residual, count = (getattr(self, kept).value() for kept in self.kept)
        total = squares - summed * summed / count
        score = 1 - residual / total
        score = dlc.where(dlc.isinf(score), 0.0, score)
        if self.class_aggregation == "uniform_average":
            score = score.mean()
        elif self.class_aggregation is not None:
            score = (total * score).sum() / total.sum()
        if self.num_regressors:
            rest = self.samples.value() - self.num_regressors - 1
            share = (self.samples.value() - 1) / dlc.where(rest > 0, rest, 1.0)
            score = dlc.where(rest > 0, 1 - (1 - score) * share, score)
        return dlc.astype(score, dlc.float32)
