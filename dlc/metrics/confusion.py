"""Metrics of right and wrong answers at thresholds: precision, recall, area under a curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

import dlc
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.integers import at_least
from dlc.losses.classes import weighted
from dlc.losses.functions import float_pair
from dlc.metrics.metric import Metric, share


class _Thresholds(Metric):
    """Weights of positives and negatives above and below each threshold."""

    def __init__(
        self,
        thresholds: Sequence[float],
        name: str | None,
        top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:
        for setting, value, least in (("top_k", top_k, 1), ("class_id", class_id, 0)):
            if value is not None:
                at_least(value, least, f"{type(self).__name__}: {setting}")
        super().__init__(name)
        self.thresholds = np.asarray(thresholds, np.float32)
        self.top_k, self.class_id = top_k, class_id
        zeros = np.zeros(len(thresholds), np.float32)
        self.true_positives = self.add_variable(zeros)
        self.false_positives = self.add_variable(zeros)
        self.true_negatives = self.add_variable(zeros)
        self.false_negatives = self.add_variable(zeros)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of labels 0 and 1, and of probabilities."""
        true, pred = self._chosen(*float_pair(self.name, y_true, y_pred))
        weights = _weights_like(pred, sample_weight).reshape(-1)
        positive = dlc.astype(true.reshape(-1) != 0, dlc.float32) * weights
        negative = weights - positive
        above = dlc.astype(
            dlc.astype(pred, dlc.float32).reshape(1, -1) > self.thresholds[:, None], dlc.float32
        )
        hits, alarms = above @ positive, above @ negative
        self.true_positives.assign_add(hits)
        self.false_positives.assign_add(alarms)
        self.false_negatives.assign_add(positive.sum() - hits)
        self.true_negatives.assign_add(negative.sum() - alarms)

    def _chosen(self, true: dlc.Tensor, pred: dlc.Tensor) -> tuple[dlc.Tensor, dlc.Tensor]:
        """The labels and predictions that count: of the class, those not among the best as -inf."""
        if self.top_k is None and self.class_id is None:
            return true, pred
        classes = pred.shape[-1] if pred.ndim else 1
        least = max(self.top_k or 1, (self.class_id or 0) + 1)
        if isinstance(classes, int) and classes < least:
            raise ShapeError(
                f"{type(self).__name__}(top_k={self.top_k}, class_id={self.class_id}) of "
                f"predictions {pred.tensor}: there are {classes} classes"
            )
        if self.top_k is not None:
            best = dlc.topk(pred, self.top_k).indices
            among = dlc.any(best[..., None] == dlc.arange(classes), axis=-2)
            pred = dlc.where(among, pred, float("-inf"))
        if self.class_id is None:
            return true, pred
        return true[..., self.class_id], pred[..., self.class_id]


def _weights_like(x: dlc.Tensor, weight: Any) -> dlc.Tensor:
    ones = dlc.ones(x.shape)
    return ones if weight is None else weighted(ones, weight)[0]


def _at_thresholds(given: float | Sequence[float] | None, name: str) -> list[float]:
    found: list[float] = np.atleast_1d(0.5 if given is None else given).tolist()
    if not found or any(not 0 <= t <= 1 for t in found):
        raise ValueRangeError(f"{name}: thresholds {found} are between 0 and 1")
    return found


class _AtThresholds(_Thresholds):
    """A result at a threshold, or at each of several."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None,
        name: str,
        top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:
        # The best are positive whatever their predictions are.
        found = [-math.inf] if thresholds is None and top_k else _at_thresholds(thresholds, name)
        super().__init__(found, name, top_k, class_id)
        self.single = thresholds is None or not np.ndim(thresholds)

    def _shown(self, found: dlc.Tensor) -> dlc.Tensor:
        return found[0] if self.single else found


class Precision(_AtThresholds):
    """The share of positives among what was predicted as positive.

    Args:
        thresholds: One, or a list for a result each; 0.5 by default.
        name: The metric's name.
        top_k: Of how many of each sample's classes, the likeliest, the predictions count; those of
            the others stand for 0. Without a threshold all of them stand for 1.
        class_id: The one class that counts; all of them by default.

    Example:
        >>> metric = dlc.metrics.Precision(class_id=1)
        >>> metric([[0, 1], [1, 0]], [[0.2, 0.8], [0.4, 0.6]]).item()
        0.5
    """

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        name: str = "precision",
        *,
        top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:
        super().__init__(thresholds, name, top_k, class_id)

    def result(self) -> dlc.Tensor:
        """The share, or one for each threshold; 0 where nothing was predicted as positive."""
        hits = self.true_positives.value()
        return self._shown(share(hits, hits + self.false_positives.value()))


class Recall(_AtThresholds):
    """The share of what was predicted as positive among positives.

    Args:
        thresholds: One, or a list for a result each; 0.5 by default.
        name: The metric's name.
        top_k: Of how many of each sample's classes, the likeliest, the predictions count; those of
            the others stand for 0. Without a threshold all of them stand for 1.
        class_id: The one class that counts; all of them by default.

    Example:
        >>> metric = dlc.metrics.Recall(class_id=1)
        >>> metric([[0, 1], [1, 0]], [[0.2, 0.8], [0.4, 0.6]]).item()
        1.0
    """

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        name: str = "recall",
        *,
        top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:
        super().__init__(thresholds, name, top_k, class_id)

    def result(self) -> dlc.Tensor:
        """The share, or one for each threshold; 0 where there are no positives."""
        hits = self.true_positives.value()
        return self._shown(share(hits, hits + self.false_negatives.value()))


class _Count(_AtThresholds):
    """The weights of one kind of answers, at a threshold or at each of several."""

    counted: ClassVar[str]  # which, and the name by default

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str | None = None
    ) -> None:
        super().__init__(thresholds, name or self.counted)

    def result(self) -> dlc.Tensor:
        """How many there were, or for each threshold."""
        return self._shown(getattr(self, self.counted).value())


class TruePositives(_Count):
    """How many positives that were predicted as such, by their weights.

    Args:
        thresholds: One, or a list for a result each; 0.5 by default.
        name: The metric's name.
    """

    counted = "true_positives"


class FalsePositives(_Count):
    """How many negatives that were predicted as positive, by their weights.

    Args:
        thresholds: One, or a list for a result each; 0.5 by default.
        name: The metric's name.
    """

    counted = "false_positives"


class TrueNegatives(_Count):
    """How many negatives that were predicted as such, by their weights.

    Args:
        thresholds: One, or a list for a result each; 0.5 by default.
        name: The metric's name.
    """

    counted = "true_negatives"


class FalseNegatives(_Count):
    """How many positives that were predicted as negative, by their weights.

    Args:
        thresholds: One, or a list for a result each; 0.5 by default.
        name: The metric's name.
    """

    counted = "false_negatives"


def _even_thresholds(count: int) -> list[float]:
    """Keras's: evenly spread inside, and one just outside at each end."""
    return [-1e-7, *(k / (count - 1) for k in range(1, count - 1)), 1 + 1e-7]


class _BestUnder(_Thresholds):
    """The largest of one share at the thresholds where another one is large enough."""

    wanted: ClassVar[str]  # the share that has to be so large
    found: ClassVar[str]

    def __init__(
        self, least: float, num_thresholds: int, class_id: int | None, name: str | None
    ) -> None:
        kind = type(self).__name__
        if not 0 <= least <= 1:
            raise ValueRangeError(f"{kind}({self.wanted}={least}): it is between 0 and 1")
        if num_thresholds < 1:
            raise ValueRangeError(f"{kind}(num_thresholds={num_thresholds}): at least 1")
        thresholds = [0.5] if num_thresholds == 1 else _even_thresholds(num_thresholds)
        super().__init__(thresholds, name, class_id=class_id)
        self.least = least

    def _share(self, name: str) -> dlc.Tensor:
        hits, alarms = self.true_positives.value(), self.false_positives.value()
        if name == "precision":
            return share(hits, hits + alarms)
        if name == "specificity":
            rejected = self.true_negatives.value()
            return share(rejected, rejected + alarms)
        return share(hits, hits + self.false_negatives.value())

    def result(self) -> dlc.Tensor:
        """The largest; 0 where no threshold will do."""
        return dlc.max(
            dlc.where(self._share(self.wanted) >= self.least, self._share(self.found), 0)
        )


class PrecisionAtRecall(_BestUnder):
    """The best precision at thresholds where the recall is large enough.

    Args:
        recall: The least recall.
        num_thresholds: How many thresholds are tried, evenly spread.
        class_id: The one class that counts; all of them by default.
        name: The metric's name.

    Raises:
        ValueRangeError: for a share that is not between 0 and 1, and no threshold.

    Example:
        >>> metric = dlc.metrics.PrecisionAtRecall(0.5)
        >>> metric([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]).item()
        1.0
    """

    wanted, found = "recall", "precision"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name)


class RecallAtPrecision(_BestUnder):
    """The best recall at thresholds where the precision is large enough.

    Args:
        precision: The least precision.
        num_thresholds: How many thresholds are tried, evenly spread.
        class_id: The one class that counts; all of them by default.
        name: The metric's name.

    Raises:
        ValueRangeError: for a share that is not between 0 and 1, and no threshold.

    Example:
        >>> metric = dlc.metrics.RecallAtPrecision(0.8)
        >>> metric([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]).item()
        0.5
    """

    wanted, found = "precision", "recall"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name)


class SensitivityAtSpecificity(_BestUnder):
    """The best sensitivity (recall) at thresholds where the specificity is large enough.

    The specificity is the share of negatives that are predicted as such.

    Args:
        specificity: The least specificity.
        num_thresholds: How many thresholds are tried, evenly spread.
        class_id: The one class that counts; all of them by default.
        name: The metric's name.

    Raises:
        ValueRangeError: for a share that is not between 0 and 1, and no threshold.

    Example:
        >>> metric = dlc.metrics.SensitivityAtSpecificity(0.5)
        >>> metric([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]).item()
        1.0
    """

    wanted, found = "specificity", "sensitivity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name)


class SpecificityAtSensitivity(_BestUnder):
    """The best specificity at thresholds where the sensitivity (recall) is large enough.

    The specificity is the share of negatives that are predicted as such.

    Args:
        sensitivity: The least sensitivity.
        num_thresholds: How many thresholds are tried, evenly spread.
        class_id: The one class that counts; all of them by default.
        name: The metric's name.

    Raises:
        ValueRangeError: for a share that is not between 0 and 1, and no threshold.

    Example:
        >>> metric = dlc.metrics.SpecificityAtSensitivity(0.8)
        >>> metric([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]).item()
        0.5
    """

    wanted, found = "sensitivity", "specificity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name)


class AUC(_Thresholds):
    """The area under a curve: of recall over false alarms (ROC), or of precision over recall (PR).

    Args:
        num_thresholds: At how many thresholds the curve is drawn, Keras's 200 by default.
        curve: "ROC" or "PR".
        name: The metric's name.
        exact: Whether the true area is computed instead (ROC: the share of pairs that are in the
            right order; PR: the average precision). All predictions are kept, outside of compiled
            steps.
    """

    def __init__(
        self, num_thresholds: int = 200, curve: str = "ROC", name: str = "auc", exact: bool = False
    ) -> None:
        if num_thresholds < 2 or curve not in ("ROC", "PR"):
            raise ValueRangeError(
                f"AUC(num_thresholds={num_thresholds}, curve={curve!r})",
                hint='give two thresholds or more, and curve="ROC" or "PR"',
            )
        super().__init__(_even_thresholds(num_thresholds), name)
        self.curve, self.exact = curve, exact
        self.on_host = exact  # type: ignore[misc]
        self._kept: list[tuple[Any, ...]] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of labels 0 and 1, and of probabilities."""
        if not self.exact:
            super().update_state(y_true, y_pred, sample_weight)
            return
        true, pred = float_pair(self.name, y_true, y_pred)
        columns = (true != 0, pred, _weights_like(pred, sample_weight))
        self._kept.append(tuple(c.numpy().reshape(-1) for c in columns))

    def reset_state(self) -> None:
        """Begins again."""
        super().reset_state()
        self._kept = []

    def state_dict(self) -> dict[str, Any]:
        """All state, for a checkpoint."""
        return {**super().state_dict(), **({"kept": list(self._kept)} if self.exact else {})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Assigns what `state_dict` gave."""
        super().load_state_dict({k: v for k, v in state.items() if k != "kept"})
        self._kept = [tuple(map(np.asarray, batch)) for batch in state.get("kept", ())]

    def merge_state(self, metrics: Any) -> AUC:
        """Adds what other areas have seen; returns the metric."""
        held = list(metrics)
        super().merge_state(held)
        self._kept += [batch for other in held for batch in other._kept]
        return self

    def result(self) -> dlc.Tensor:
        """The area."""
        if self.exact:
            return dlc.asarray(_exact_area(self._kept, self.curve), dtype=dlc.float32)
        tp, fp = self.true_positives.value(), self.false_positives.value()
        fn, tn = self.false_negatives.value(), self.true_negatives.value()
        recall = share(tp, tp + fn)
        if self.curve == "ROC":
            alarms = share(fp, fp + tn)
            return ((alarms[:-1] - alarms[1:]) * (recall[:-1] + recall[1:]) / 2).sum()
        return _interpolated_precision(tp, fp, fn)


def _interpolated_precision(tp: dlc.Tensor, fp: dlc.Tensor, fn: dlc.Tensor) -> dlc.Tensor:
    """The area under precision over recall.

    Between thresholds, positives are linear in what is predicted (Davis and Goadrich, 2006).
    """
    hits, predicted = tp[:-1] - tp[1:], (tp + fp)[:-1] - (tp + fp)[1:]
    slope = share(hits, dlc.maximum(predicted, 0.0))
    intercept = tp[1:] - slope * (tp + fp)[1:]
    low, high = (tp + fp)[1:], (tp + fp)[:-1]
    both = (low > 0) & (high > 0)
    ratio = dlc.where(both, share(high, dlc.maximum(low, 0.0)), 1.0)
    parts = share(slope * (hits + intercept * dlc.log(ratio)), dlc.maximum((tp + fn)[1:], 0.0))
    return parts.sum()


def _exact_area(batches: Sequence[tuple[Any, ...]], curve: str) -> float:
    if not batches:
        return 0.0
    true, pred, weight = (np.concatenate(c) for c in zip(*batches, strict=True))
    order = np.argsort(-pred, kind="stable")
    true, pred, weight = true[order], pred[order], weight[order].astype(np.float64)
    last = np.flatnonzero(np.append(np.diff(pred) != 0, True))  # of predictions that are equal
    tp = np.concatenate([[0], np.cumsum(weight * true)[last]])
    fp = np.concatenate([[0], np.cumsum(weight * ~true)[last]])
    if not tp[-1] or (curve == "ROC" and not fp[-1]):
        return 0.0
    if curve == "ROC":
        return float(np.trapezoid(tp / tp[-1], fp / fp[-1]))
    return float((np.diff(tp) / tp[-1] * tp[1:] / (tp[1:] + fp[1:])).sum())
