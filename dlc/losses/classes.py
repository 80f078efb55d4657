"""Losses as objects: a function of each sample's loss, its settings, and how samples are added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import dlc
from dlc.frontend.apply import as_tensor, wide
from dlc.frontend.context import cast_type
from dlc.ir.errors import ShapeError, ValueRangeError, nearest
from dlc.losses import functions

REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none")


def weighted(values: dlc.Tensor, weight: Any) -> tuple[dlc.Tensor, dlc.Tensor]:
    """Values times weights, and the weights, both of the values' shape.

    Raises:
        ShapeError: for weights that do not fit.
    """
    w = dlc.astype(as_tensor(weight), values.dtype)
    if w.ndim == values.ndim + 1 and w.shape[-1] == 1:
        w = dlc.squeeze(w, axis=-1)
    if w.ndim > values.ndim:
        raise ShapeError(f"sample weights {w.tensor} for {values.tensor} samples")
    w = w.reshape(*w.shape, *(1,) * (values.ndim - w.ndim))
    w = dlc.broadcast_to(w, values.shape)
    return values * w, w


class Loss:
    """The base of losses; a subclass of your own defines `call(y_true, y_pred)`.

    Args:
        reduction: What is made of the samples' losses: "sum_over_batch_size" (or "mean"), their
            mean; "mean_with_sample_weight", the same divided by the sum of weights; "sum"; "none"
            or None, all losses.
        name: For messages and the progress of training.

    Raises:
        ValueRangeError: for another reduction.
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None
    ) -> None:
        reduction = "none" if reduction is None else reduction
        if reduction not in REDUCTIONS:
            raise ValueRangeError(
                f"{type(self).__name__}(reduction={reduction!r})",
                hint=nearest(str(reduction), REDUCTIONS),
            )
        self.reduction = reduction
        self.name = name or type(self).__name__

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(y_true, y_pred)")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> dlc.Tensor:
        """The loss, a scalar (or with the reduction "none", the loss of each sample).

        Args:
            y_true: True values.
            y_pred: Predictions.
            sample_weight: A factor for each sample.
        """
        values = as_tensor(self.call(y_true, y_pred))
        total: Any = None
        if sample_weight is not None:
            values, total = weighted(values, sample_weight)
        if self.reduction == "none":
            return values
        if self.reduction == "sum":
            return values.sum()
        if self.reduction == "mean_with_sample_weight" and total is not None:
            summed = wide(total).sum()
            mean = wide(values).sum() / dlc.where(summed == 0, dlc.ones_like(summed), summed)
            return dlc.astype(mean, values.dtype)
        return values.mean()


class FunctionLoss(Loss):
    """A loss of a function and settings for it."""

    function: ClassVar[Callable[..., dlc.Tensor]]

    def __init__(self, reduction: str, name: str | None, **settings: Any) -> None:
        super().__init__(reduction, name)
        self.settings = settings

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> dlc.Tensor:
        """The loss, a scalar; see `Loss`. That of half types is rounded when samples are added."""
        loss = super().__call__(y_true, wide(y_pred), sample_weight)
        return loss if cast_type.get() is not None else functions.rounded(loss, y_pred)

    def call(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        """The loss of each sample."""
        return type(self).function(y_true, y_pred, **self.settings)


class PlainLoss(FunctionLoss):
    """A loss of a function without settings."""

    def __init__(self, reduction: str = "sum_over_batch_size", name: str | None = None) -> None:
        super().__init__(reduction, name)


class MeanSquaredError(PlainLoss):
    """The mean of (y_true - y_pred)**2.

    Example:
        >>> dlc.losses.MeanSquaredError()([[0.0, 2.0]], [[1.0, 0.0]]).item()
        2.5
    """

    function = staticmethod(functions.mean_squared_error)


class MeanAbsoluteError(PlainLoss):
    """The mean of |y_true - y_pred|."""

    function = staticmethod(functions.mean_absolute_error)


class Huber(FunctionLoss):
    """Half the squared error up to `delta`, and straight on from there (Huber, 1964)."""

    function = staticmethod(functions.huber)

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name, delta=delta)


class KLDivergence(PlainLoss):
    """The sum of y_true * log(y_true / y_pred)."""

    function = staticmethod(functions.kl_divergence)


class CosineSimilarity(FunctionLoss):
    """Minus the cosine of the angle between true values and predictions: -1 for the same one."""

    function = staticmethod(functions.cosine_similarity)

    def __init__(
        self, axis: int = -1, reduction: str = "sum_over_batch_size", name: str | None = None
    ) -> None:
        super().__init__(reduction, name, axis=axis)

    def call(self, y_true: Any, y_pred: Any) -> dlc.Tensor:
        """The loss of each sample."""
        return -super().call(y_true, y_pred)


def checked_smoothing(kind: type[Loss], value: float) -> float:
    """A share of label smoothing; ValueRangeError for one that is not between 0 and 1."""
    if not 0 <= value <= 1:
        raise ValueRangeError(f"{kind.__name__}(label_smoothing={value}): it is between 0 and 1")
    return value


class BinaryCrossentropy(FunctionLoss):
    """The cross entropy of labels 0 and 1 (see `binary_crossentropy`)."""

    function = staticmethod(functions.binary_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        smoothing = checked_smoothing(type(self), label_smoothing)
        super().__init__(reduction, name, from_logits=from_logits, label_smoothing=smoothing)


class CategoricalCrossentropy(FunctionLoss):
    """The cross entropy of one-hot labels (see `categorical_crossentropy`)."""

    function = staticmethod(functions.categorical_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        smoothing = checked_smoothing(type(self), label_smoothing)
        super().__init__(
            reduction, name, from_logits=from_logits, label_smoothing=smoothing, axis=axis
        )


class SparseCategoricalCrossentropy(FunctionLoss):
    """The cross entropy of numbers of classes (see `sparse_categorical_crossentropy`).

    With `ignore_class` the mean is over the samples that are not ignored.
    """

    function = staticmethod(functions.sparse_categorical_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(
            reduction, name, from_logits=from_logits, ignore_class=ignore_class, axis=axis
        )

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> dlc.Tensor:
        """The loss, a scalar; see `Loss`."""
        ignored = self.settings["ignore_class"]
        if ignored is None or self.reduction in ("sum", "none"):
            return super().__call__(y_true, y_pred, sample_weight)
        kept = as_tensor(y_true) != ignored
        if self.reduction == "mean_with_sample_weight":
            if kept.ndim == as_tensor(y_pred).ndim:
                kept = dlc.squeeze(kept, axis=self.settings["axis"])
            factors = dlc.astype(kept, as_tensor(y_pred).dtype)
            if sample_weight is not None:
                factors = weighted(factors, sample_weight)[0]
            return super().__call__(y_true, y_pred, factors)
        loss = super().__call__(y_true, y_pred, sample_weight)
        share = dlc.astype(kept, loss.dtype).mean()
        return loss / dlc.where(share == 0, dlc.ones_like(share), share)
