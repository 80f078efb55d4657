"""The loss of each sample: how far predictions are from true values, and from margins.

Keras's meanings. As in `functions`, a sample's loss is a mean over the last axis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dlc
from dlc.frontend.cast_table import casts
from dlc.ir.deferred import deferred
from dlc.losses.functions import EPSILON, float_pair, mean_of, rounded

# Only where it is used: layers are above.
if TYPE_CHECKING:
    from dlc.nn import functional
else:
    functional = deferred("dlc.nn.functional")


@casts
def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """The mean of 100 |y_true - y_pred| / |y_true| over the last axis; |y_true| at least 1e-7.

    Example:
        >>> dlc.losses.mean_absolute_percentage_error([[2.0, 4.0]], [[1.0, 5.0]]).numpy()
        array([37.5], dtype=float32)
    """
    true, pred = float_pair("mean_absolute_percentage_error", y_true, y_pred)
    each = dlc.abs((true - pred) / dlc.maximum(dlc.abs(true), EPSILON))
    return rounded(100.0 * mean_of(each, pred), y_pred)


@casts
def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """The mean of (log(y_true + 1) - log(y_pred + 1))**2; both at least 1e-7."""
    true, pred = float_pair("mean_squared_logarithmic_error", y_true, y_pred)
    least = [dlc.log1p(dlc.maximum(x, EPSILON)) for x in (true, pred)]
    return mean_of((least[0] - least[1]) ** 2, y_pred)


@casts
def log_cosh(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """The mean of log(cosh(y_pred - y_true)): half a small error's square, a large one's size."""
    true, pred = float_pair("log_cosh", y_true, y_pred)
    return mean_of(functional.log_cosh_loss(pred, true, reduction="none"), y_pred)


def poisson(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """The mean of y_pred - y_true log(y_pred + 1e-7), of counts and predicted means of them."""
    true, pred = float_pair("poisson", y_true, y_pred)
    return mean_of(
        functional.poisson_nll_loss(pred, true, log_input=False, eps=EPSILON, reduction="none"),
        y_pred,
    )


def _signs(true: dlc.Tensor) -> dlc.Tensor:
    """Labels that are all 0 or 1 as -1 and 1; others as they are."""
    binary = dlc.all((true == 0) | (true == 1))
    return dlc.where(binary, 2.0 * true - 1.0, true)


@casts
def hinge(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """The mean of max(1 - y_true y_pred, 0), of labels -1 and 1; those of 0 and 1 become these."""
    true, pred = float_pair("hinge", y_true, y_pred)
    return mean_of(dlc.maximum(1.0 - _signs(true) * pred, 0.0), y_pred)


@casts
def squared_hinge(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """The mean of max(1 - y_true y_pred, 0)**2, of labels as `hinge` takes them."""
    true, pred = float_pair("squared_hinge", y_true, y_pred)
    return mean_of(dlc.maximum(1.0 - _signs(true) * pred, 0.0) ** 2, y_pred)


@casts
def categorical_hinge(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """max(the largest prediction of another class - that of the true class + 1, 0), of one-hot."""
    true, pred = float_pair("categorical_hinge", y_true, y_pred)
    own, other = (true * pred).sum(axis=-1), dlc.max((1.0 - true) * pred, axis=-1)
    return rounded(dlc.maximum(other - own + 1.0, 0.0), y_pred)
