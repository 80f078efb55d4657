"""The loss of each sample: functions of true values and predictions, with Keras's meanings."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.frontend.apply import as_tensor, wide
from dlc.frontend.cast_table import casts
from dlc.frontend.functions.arguments import find_axis
from dlc.ir.errors import DTypeError, ShapeError

EPSILON = 1e-7  # probabilities are kept so far from 0 and 1


def float_pair(name: str, y_true: Any, y_pred: Any) -> tuple[dlc.Tensor, dlc.Tensor]:
    """Both as tensors of the predictions' float type, float32 for a half one, and of one shape.

    Raises:
        DTypeError: for predictions that are no floats.
        ShapeError: for shapes that differ by more than a last axis of extent 1.
    """
    pred = as_tensor(y_pred)
    if not pred.dtype.is_float:
        raise DTypeError(f"{name} of predictions {pred.tensor}: they must be floats")
    pred = wide(pred)
    return one_shape(name, dlc.astype(as_tensor(y_true), pred.dtype), pred)


def one_shape(name: str, true: dlc.Tensor, pred: dlc.Tensor) -> tuple[dlc.Tensor, dlc.Tensor]:
    """True values and predictions of one shape.

    Raises:
        ShapeError: for shapes that differ by more than a last axis of extent 1.
    """
    if true.ndim + 1 == pred.ndim and pred.shape[-1] == 1:
        true = dlc.expand_dims(true, axis=-1)
    if pred.ndim + 1 == true.ndim and true.shape[-1] == 1:
        pred = dlc.expand_dims(pred, axis=-1)
    if true.ndim != pred.ndim or any(
        isinstance(a, int) and isinstance(b, int) and a != b
        for a, b in zip(true.shape, pred.shape, strict=True)
    ):
        raise ShapeError(
            f"{name} of true values {true.tensor} and predictions {pred.tensor}: the shapes differ"
        )
    return true, pred


def rounded(each: dlc.Tensor, y_pred: Any) -> dlc.Tensor:
    """Losses, which are computed at float32 at least, of the type of the predictions."""
    return dlc.astype(each, as_tensor(y_pred).dtype)


def mean_of(each: dlc.Tensor, y_pred: Any, axis: int = -1) -> dlc.Tensor:
    """The mean over an axis, of the type of the predictions; a scalar as it is."""
    return rounded(each.mean(axis=axis) if each.ndim else each, y_pred)


def smoothed(true: dlc.Tensor, share: float, classes: Any) -> dlc.Tensor:
    """Labels of which a share is spread evenly over all classes."""
    return true * (1 - share) + share / classes if share else true


def binary_entropy(true: dlc.Tensor, p: dlc.Tensor) -> dlc.Tensor:
    """-true log p - (1 - true) log(1 - p) of each label and probability."""
    p = dlc.clip(p, EPSILON, 1 - EPSILON)
    return -(true * dlc.log(p) + (1 - true) * dlc.log1p(-p))


@casts
def mean_squared_error(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """The mean of (y_true - y_pred)**2 over the last axis.

    Args:
        y_true: True values `[..., n]`.
        y_pred: Predictions of the same shape, floats; the losses are `[...]`.

    Example:
        >>> dlc.losses.mean_squared_error([[0.0, 2.0]], [[1.0, 0.0]]).numpy()
        array([2.5], dtype=float32)
    """
    true, pred = float_pair("mean_squared_error", y_true, y_pred)
    return mean_of((true - pred) ** 2, y_pred)


@casts
def mean_absolute_error(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """The mean of |y_true - y_pred| over the last axis.

    Args:
        y_true: True values `[..., n]`.
        y_pred: Predictions of the same shape, floats; the losses are `[...]`.

    Example:
        >>> dlc.losses.mean_absolute_error([[0.0, 2.0]], [[1.0, 0.0]]).numpy()
        array([1.5], dtype=float32)
    """
    true, pred = float_pair("mean_absolute_error", y_true, y_pred)
    return mean_of(dlc.abs(true - pred), y_pred)


@casts
def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> dlc.Tensor:
    """Half the squared error up to `delta`, and straight on from there (Huber, 1964).

    Args:
        y_true: True values `[..., n]`.
        y_pred: Predictions of the same shape, floats; the losses, means over the last axis, are
            `[...]`.
        delta: From which error |y_true - y_pred| on the loss is a straight line.

    Example:
        >>> dlc.losses.huber([[0.0, 0.0]], [[1.0, 3.0]]).numpy()
        array([1.5], dtype=float32)
    """
    true, pred = float_pair("huber", y_true, y_pred)
    error = true - pred
    size = dlc.abs(error)
    each = dlc.where(size <= delta, 0.5 * error * error, delta * size - 0.5 * delta * delta)
    return mean_of(each, y_pred)


@casts
def kl_divergence(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """The sum of y_true * log(y_true / y_pred) over the last axis; both at least 1e-7.

    Args:
        y_true: Probabilities `[..., n]`.
        y_pred: Predicted ones, of the same shape; the losses are `[...]`.

    Example:
        >>> dlc.losses.kl_divergence([[0.5, 0.5]], [[0.25, 0.75]]).numpy()
        array([0.1438...], dtype=float32)
    """
    true, pred = float_pair("kl_divergence", y_true, y_pred)
    true, pred = dlc.clip(true, EPSILON, 1.0), dlc.clip(pred, EPSILON, 1.0)
    return rounded((true * dlc.log(true / pred)).sum(axis=-1), y_pred)


@casts
def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> dlc.Tensor:
    """The cosine of the angle between the two along an axis; 0 where one is zero.

    Args:
        y_true: True vectors.
        y_pred: Predicted ones, of the same shape.
        axis: The axis of the vectors, which the result has no more.

    Example:
        >>> dlc.losses.cosine_similarity([[1.0, 0.0]], [[2.0, 0.0]]).numpy()
        array([1.], dtype=float32)
    """
    true, pred = float_pair("cosine_similarity", y_true, y_pred)

    def unit(x: dlc.Tensor) -> dlc.Tensor:
        square = (x * x).sum(axis=axis, keepdims=True)
        return x * dlc.rsqrt(dlc.maximum(square, 1e-12))

    return rounded((unit(true) * unit(pred)).sum(axis=axis), y_pred)


@casts
def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0
) -> dlc.Tensor:
    """-y_true log p - (1 - y_true) log(1 - p), its mean over the last axis.

    Args:
        y_true: Labels `[..., n]`, 0 or 1.
        y_pred: Probabilities p, or with `from_logits` their logits, of the same shape; the losses
            are `[...]`. Probabilities are kept 1e-7 away from 0 and 1.
        from_logits: Whether predictions are logits: then nothing is cut off.
        label_smoothing: How far labels are moved towards 0.5.

    Example:
        >>> dlc.losses.binary_crossentropy([[1.0], [0.0]], [[0.5], [0.75]]).numpy()
        array([0.6931..., 1.3862...], dtype=float32)
    """
    true, pred = float_pair("binary_crossentropy", y_true, y_pred)
    true = smoothed(true, label_smoothing, 2)
    each = dlc.softplus(pred) - true * pred if from_logits else binary_entropy(true, pred)
    return mean_of(each, y_pred)


def _log_probabilities(pred: dlc.Tensor, from_logits: bool, axis: int) -> dlc.Tensor:
    if from_logits:
        return dlc.log_softmax(pred, axis=axis)
    p = pred / pred.sum(axis=axis, keepdims=True)
    return dlc.log(dlc.clip(p, EPSILON, 1 - EPSILON))


@casts
def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> dlc.Tensor:
    """-sum(y_true log p) over the classes.

    Args:
        y_true: A probability for each class, such as one-hot labels.
        y_pred: Probabilities p of the same shape, which are divided by their sum and kept 1e-7 away
            from 0 and 1, or logits.
        from_logits: Whether predictions are logits.
        label_smoothing: How far labels are moved towards the same for all.
        axis: The classes, an axis that the losses have no more.

    Example:
        >>> dlc.losses.categorical_crossentropy([[0.0, 1.0]], [[1.0, 3.0]]).numpy()
        array([0.2876...], dtype=float32)
    """
    true, pred = float_pair("categorical_crossentropy", y_true, y_pred)
    axis = find_axis("categorical_crossentropy", axis, pred.tensor)
    true = smoothed(true, label_smoothing, pred.shape[axis])
    each = true * _log_probabilities(pred, from_logits, axis)
    return rounded(-each.sum(axis=axis), y_pred)


@casts
def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> dlc.Tensor:
    """-log of the probability of the true class.

    Args:
        y_true: Numbers of classes, with the shape of the predictions without the classes, or with
            an axis of extent 1 in their place.
        y_pred: Probabilities, which are divided by their sum, or logits.
        from_logits: Whether predictions are logits.
        ignore_class: A label whose samples have the loss 0.
        axis: The classes, an axis that the losses have no more.

    Raises:
        DTypeError: for predictions that are no floats.
        ShapeError: for labels of another shape.

    Example:
        >>> dlc.losses.sparse_categorical_crossentropy([1, 0], [[1.0, 3.0], [1.0, 1.0]]).numpy()
        array([0.2876..., 0.6931...], dtype=float32)
    """
    pred = as_tensor(y_pred)
    if not pred.dtype.is_float:
        raise DTypeError(
            f"sparse_categorical_crossentropy of predictions {pred.tensor}: they must be floats"
        )
    pred = wide(pred)
    axis = find_axis("sparse_categorical_crossentropy", axis, pred.tensor)
    labels = dlc.astype(as_tensor(y_true), dlc.int64)
    if labels.ndim + 1 == pred.ndim:
        labels = dlc.expand_dims(labels, axis=axis)
    if labels.ndim != pred.ndim or labels.shape[axis] != 1:
        raise ShapeError(
            f"sparse_categorical_crossentropy of labels {labels.tensor} and predictions "
            f"{pred.tensor}: labels have no axis of classes",
            hint="for one-hot labels use categorical_crossentropy",
        )
    ignored = None if ignore_class is None else labels == ignore_class
    read = labels if ignored is None else dlc.where(ignored, dlc.zeros_like(labels), labels)
    found = dlc.take_along_axis(_log_probabilities(pred, from_logits, axis), read, axis=axis)
    each = -found if ignored is None else dlc.where(ignored, dlc.zeros_like(found), -found)
    return rounded(dlc.squeeze(each, axis=axis), y_pred)
