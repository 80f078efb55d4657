"""Losses by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dlc.ir.deferred import deferred
from dlc.ir.errors import ValueRangeError, nearest
from dlc.losses import classes, deviation_classes
from dlc.losses.classes import Loss

# Only where it is used: layers are above.
if TYPE_CHECKING:
    from dlc.nn import losses as nn_losses
else:
    nn_losses = deferred("dlc.nn.losses")

_NAMES: dict[str, type[Loss]] = {
    "mse": classes.MeanSquaredError, "mean_squared_error": classes.MeanSquaredError,
    "mae": classes.MeanAbsoluteError, "mean_absolute_error": classes.MeanAbsoluteError,
    "mape": deviation_classes.MeanAbsolutePercentageError,
    "mean_absolute_percentage_error": deviation_classes.MeanAbsolutePercentageError,
    "msle": deviation_classes.MeanSquaredLogarithmicError,
    "mean_squared_logarithmic_error": deviation_classes.MeanSquaredLogarithmicError,
    "huber": classes.Huber, "log_cosh": deviation_classes.LogCosh,
    "logcosh": deviation_classes.LogCosh, "poisson": deviation_classes.Poisson,
    "hinge": deviation_classes.Hinge, "squared_hinge": deviation_classes.SquaredHinge,
    "categorical_hinge": deviation_classes.CategoricalHinge,
    "kl_divergence": classes.KLDivergence, "kld": classes.KLDivergence,
    "cosine_similarity": classes.CosineSimilarity,
    "binary_crossentropy": classes.BinaryCrossentropy, "bce": classes.BinaryCrossentropy,
    "categorical_crossentropy": classes.CategoricalCrossentropy,
    "sparse_categorical_crossentropy": classes.SparseCategoricalCrossentropy,
    "binary_focal_crossentropy": deviation_classes.BinaryFocalCrossentropy,
    "categorical_focal_crossentropy": deviation_classes.CategoricalFocalCrossentropy,
    "dice": deviation_classes.Dice, "tversky": deviation_classes.Tversky,
    "ctc": deviation_classes.CTC,
}  # fmt: skip


class _Wrapped(Loss):
    """A function of a user as a loss, or one of PyTorch's, which take predictions first."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__(name=getattr(function, "__name__", None) or type(function).__name__)
        self.function, self.predictions_first = function, _is_pytorchs(function)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample, or of all."""
        given = (y_pred, y_true) if self.predictions_first else (y_true, y_pred)
        return self.function(*given)


def _is_pytorchs(function: Any) -> bool:
    """Whether it is a loss of `dlc.nn`."""
    while isinstance(function, functools.partial):
        function = function.func
    module = getattr(function, "__module__", None) or ""
    return isinstance(function, nn_losses.Criterion) or f"{module}.".startswith(
        "dlc.nn.functional."
    )


def get(given: Any) -> Loss:
    """A loss by name, by class, as a function of (y_true, y_pred), or as it was given.

    Those of `dlc.nn` and its `functional`, which are PyTorch's, are given predictions first.

    Raises:
        ValueRangeError: for a name that is not known, with the nearest one.

    Example:
        >>> dlc.losses.get("mse").name
        'MeanSquaredError'
    """
    if isinstance(given, Loss):
        return given
    if isinstance(given, type) and issubclass(given, Loss):
        return given()
    if callable(given):
        return _Wrapped(given)
    by_class = {kind.__name__: kind for kind in _NAMES.values()}
    found = {**_NAMES, **by_class}.get(str(given))
    if found is None:
        raise ValueRangeError(f"no loss {given!r}", hint=nearest(str(given), [*_NAMES, *by_class]))
    return found()
