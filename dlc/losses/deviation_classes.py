"""Losses of deviations, margins, overlaps, sequences and focal entropies as Keras's objects."""

from __future__ import annotations

from typing import Any

from dlc.losses import deviations, focal, overlaps, sequences
from dlc.losses.classes import FunctionLoss, PlainLoss, checked_smoothing


class MeanAbsolutePercentageError(PlainLoss):
    """The mean of 100 |y_true - y_pred| / |y_true|, in percent; |y_true| is at least 1e-7.

    Example:
        >>> dlc.losses.MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 5.0]]).item()
        37.5
    """

    function = staticmethod(deviations.mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(PlainLoss):
    """The mean of (log(y_true + 1) - log(y_pred + 1))**2; both are at least 1e-7.

    Example:
        >>> dlc.losses.MeanSquaredLogarithmicError()([[0.0, 1.0]], [[0.0, 3.0]]).item()
        0.2402...
    """

    function = staticmethod(deviations.mean_squared_logarithmic_error)


class LogCosh(PlainLoss):
    """The mean of log(cosh(y_pred - y_true)): half a small error's square, a large one's size.

    Example:
        >>> dlc.losses.LogCosh()([[0.0, 0.0]], [[1.0, 0.0]]).item()
        0.2168...
    """

    function = staticmethod(deviations.log_cosh)


class Poisson(PlainLoss):
    """The mean of y_pred - y_true log(y_pred + 1e-7), of counts and predicted means of them.

    Example:
        >>> round(dlc.losses.Poisson()([[2.0, 0.0]], [[1.0, 3.0]]).item(), 3)
        2.0
    """

    function = staticmethod(deviations.poisson)


class Hinge(PlainLoss):
    """The mean of max(1 - y_true y_pred, 0), of labels -1 and 1, or 0 and 1.

    Example:
        >>> dlc.losses.Hinge()([[1.0, -1.0]], [[0.5, 0.5]]).item()
        1.0
    """

    function = staticmethod(deviations.hinge)


class SquaredHinge(PlainLoss):
    """The mean of max(1 - y_true y_pred, 0)**2, of labels -1 and 1, or 0 and 1.

    Example:
        >>> dlc.losses.SquaredHinge()([[1.0, -1.0]], [[0.5, 0.5]]).item()
        1.25
    """

    function = staticmethod(deviations.squared_hinge)


class CategoricalHinge(PlainLoss):
    """How much less than 1 the true class of one-hot labels is ahead (see `categorical_hinge`).

    Example:
        >>> dlc.losses.CategoricalHinge()([[0.0, 1.0]], [[0.5, 0.75]]).item()
        0.75
    """

    function = staticmethod(deviations.categorical_hinge)


class BinaryFocalCrossentropy(FunctionLoss):
    """The focal cross entropy of labels 0 and 1: samples that are right already count less.

    The loss of a label is -(1 - p_t)**gamma log(p_t), where p_t is the probability of the label
    (Lin et al., 2017); a sample's is the mean over `axis`.

    Args:
        apply_class_balancing: Whether labels 1 count `alpha` times, and labels 0 1 - `alpha` times.
        alpha: That factor.
        gamma: How much less right samples count; with 0 it is `BinaryCrossentropy`.
        from_logits: Whether predictions are logits x, of which the probability is sigmoid(x).
        label_smoothing: How far labels are moved towards 0.5, from 0 to 1.
        axis: Over which the mean is.
        reduction: What is made of the samples' losses; see `Loss`.
        name: For messages and the progress of training.

    Raises:
        ValueRangeError: for smoothing out of range.

    Example:
        >>> dlc.losses.BinaryFocalCrossentropy()([[1.0], [0.0]], [[0.8], [0.4]]).item()
        0.0453...
    """

    function = staticmethod(focal.binary_focal_crossentropy)

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        smoothing = checked_smoothing(type(self), label_smoothing)
        super().__init__(
            reduction, name, apply_class_balancing=apply_class_balancing, alpha=alpha, gamma=gamma,
            from_logits=from_logits, label_smoothing=smoothing, axis=axis,
        )  # fmt: skip


class CategoricalFocalCrossentropy(FunctionLoss):
    """The focal cross entropy of one-hot labels: samples that are right already count less.

    The loss is the sum of -alpha (1 - p)**gamma y_true log(p) over the classes (Lin et al., 2017).

    Args:
        alpha: A factor, or one for each class.
        gamma: How much less right samples count.
        from_logits: Whether predictions are logits, of which p is the softmax.
        label_smoothing: Which share of a label is spread evenly over all classes, from 0 to 1.
        axis: The axis of the classes, of labels and predictions.
        reduction: What is made of the samples' losses; see `Loss`.
        name: For messages and the progress of training.

    Raises:
        ValueRangeError: for smoothing out of range.

    Example:
        >>> dlc.losses.CategoricalFocalCrossentropy()([[0.0, 1.0]], [[0.2, 0.8]]).item()
        0.0022...
    """

    function = staticmethod(focal.categorical_focal_crossentropy)

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        smoothing = checked_smoothing(type(self), label_smoothing)
        super().__init__(
            reduction, name, alpha=alpha, gamma=gamma, from_logits=from_logits,
            label_smoothing=smoothing, axis=axis,
        )  # fmt: skip


class Dice(FunctionLoss):
    """1 less twice the overlap of labels and predictions over their sizes (see `dice`).

    Args:
        reduction: What is made of the losses of sets; see `Loss`.
        name: For messages and the progress of training.
        axis: The axes of a set; all by default, for one loss.

    Example:
        >>> dlc.losses.Dice()([[1.0, 0.0]], [[0.5, 0.5]]).item()
        0.5...
    """

    function = staticmethod(overlaps.dice)

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        axis: Any = None,
    ) -> None:
        super().__init__(reduction, name, axis=axis)


class Tversky(FunctionLoss):
    """1 less the overlap of labels and predictions, what each has alone weighted (see `tversky`).

    Args:
        alpha: How much labels count that are not predicted (as Keras computes it).
        beta: How much predictions count that are not labels.
        reduction: What is made of the losses of sets; see `Loss`.
        name: For messages and the progress of training.
        axis: The axes of a set; all by default, for one loss.

    Example:
        >>> dlc.losses.Tversky(alpha=0.0)([[1.0, 0.0]], [[0.5, 0.5]]).item()
        0.3333...
    """

    function = staticmethod(overlaps.tversky)

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        axis: Any = None,
    ) -> None:
        super().__init__(reduction, name, alpha=alpha, beta=beta, axis=axis)


class CTC(PlainLoss):
    """Minus the log probability of label sequences, whatever their alignment (see `ctc`).

    Labels are `[N, S]`, filled up at the end with 0, the class of no label; logits `[N, T, C]`.

    Example:
        >>> dlc.losses.CTC()([[1, 0]], dlc.zeros((1, 3, 2))).item()
        0.287...
    """

    function = staticmethod(sequences.ctc)
