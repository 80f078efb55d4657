"""Losses of deviations, margins, overlaps, sequences and focal entropies as Keras's objects."""

from __future__ import annotations

from typing import Any

from dlc.losses import deviations, focal, overlaps, sequences
from dlc.losses.classes import FunctionLoss, PlainLoss, checked_smoothing


class MeanAbsolutePercentageError(PlainLoss):
    """The mean of 100 |y_true - y_pred| / |y_true|."""

    function = staticmethod(deviations.mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(PlainLoss):
    """The mean of (log(y_true + 1) - log(y_pred + 1))**2."""

    function = staticmethod(deviations.mean_squared_logarithmic_error)


class LogCosh(PlainLoss):
    """The mean of log(cosh(y_pred - y_true))."""

    function = staticmethod(deviations.log_cosh)


class Poisson(PlainLoss):
    """The mean of y_pred - y_true log(y_pred), of counts and predicted means of them."""

    function = staticmethod(deviations.poisson)


class Hinge(PlainLoss):
    """The mean of max(1 - y_true y_pred, 0), of labels -1 and 1, or 0 and 1."""

    function = staticmethod(deviations.hinge)


class SquaredHinge(PlainLoss):
    """The mean of max(1 - y_true y_pred, 0)**2, of labels -1 and 1, or 0 and 1."""

    function = staticmethod(deviations.squared_hinge)


class CategoricalHinge(PlainLoss):
    """How much less than 1 the true class of one-hot labels is ahead (see `categorical_hinge`)."""

    function = staticmethod(deviations.categorical_hinge)


class BinaryFocalCrossentropy(FunctionLoss):
    """The focal cross entropy of labels 0 and 1 (see `binary_focal_crossentropy`)."""

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
    """The focal cross entropy of one-hot labels (see `categorical_focal_crossentropy`)."""

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

    Example:
        >>> dlc.losses.CTC()([[1, 0]], dlc.zeros((1, 3, 2))).item()
        0.287...
    """

    function = staticmethod(sequences.ctc)
