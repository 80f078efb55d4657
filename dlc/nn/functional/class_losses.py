"""Losses of classes and of embeddings by the names and defaults of `torch.nn.functional`."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.frontend.cast_table import casts
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.nn.functional.arguments import check_reduction, reduced, same_shape, tensor, wide
from dlc.nn.functional.distances import cosine_similarity, pairwise_distance


def _class_axis(x: dlc.Tensor) -> int:
    """PyTorch's axis of classes: the second of several."""
    return 1 if x.ndim > 1 else 0


def _picked(
    name: str, log_p: dlc.Tensor, target: dlc.Tensor, ignore_index: int
) -> tuple[dlc.Tensor, dlc.Tensor, dlc.Tensor]:
    """What `log_p` has at the target classes, those classes, and which count."""
    axis = _class_axis(log_p)
    shape = log_p.shape
    expected = (*shape[:axis], *shape[axis + 1 :])
    if target.shape != expected:
        raise ShapeError(
            f"{name} of {log_p.tensor} and {target.tensor}: labels that are classes need the "
            f"shape {expected}",
            hint="the classes lie along axis 1",
        )
    counts = target != ignore_index
    safe = dlc.where(counts, target, 0).astype(dlc.int64)
    chosen = dlc.take_along_axis(log_p, dlc.expand_dims(safe, axis=axis), axis=axis)
    chosen = dlc.squeeze(chosen, axis=axis)
    # A label that is no class has no loss that could be right.
    inside = dlc.logical_and(safe >= 0, safe < shape[axis])
    return dlc.where(inside, chosen, float("nan")), safe, counts


def _mean_of(losses: dlc.Tensor, weights: dlc.Tensor, reduction: str, dtype: Any) -> dlc.Tensor:
    """The reduction of losses that have their weights in them; means are over the weights."""
    if reduction == "mean":
        return (dlc.sum(losses) / dlc.sum(weights)).astype(dtype)
    return reduced(losses, reduction, dtype)


def _class_weights(weight: Any, classes: dlc.Tensor, counts: dlc.Tensor, like: Any) -> Any:
    ones = counts.astype(like)
    return ones if weight is None else ones * dlc.take(wide(weight)[0][0].astype(like), classes)


@casts
def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> dlc.Tensor:
    """Minus what logarithms of probabilities have at the target classes.

    Args:
        input: Logarithms of probabilities [N, classes, ...], or [classes].
        target: Classes [N, ...], or one.
        weight: A factor for each class.
        ignore_index: A label that counts as none.
        reduction: "mean" over the weights of the labels, "sum", or "none" for the losses.

    Returns:
        A tensor of the float dtype. A label that is no class, and not known while tracing, gives
        NaN.

    Raises:
        IndexRangeError: A label is no class.
        ShapeError: The shapes do not fit.

    Example:
        >>> x = dlc.log(dlc.asarray([[0.5, 0.5]]))
        >>> dlc.nn.functional.nll_loss(x, dlc.asarray([0]))
        Tensor(0.693..., dtype=float32)
    """
    check_reduction("nll_loss", reduction)
    (log_p,), dtype = wide(input)
    chosen, classes, counts = _picked("nll_loss", log_p, tensor(target), ignore_index)
    weights = _class_weights(weight, classes, counts, log_p.dtype)
    losses = dlc.where(counts, -chosen * weights, 0.0)
    return _mean_of(losses, weights, reduction, dtype)


@casts
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> dlc.Tensor:
    """The cross entropy of targets and the softmax of logits, with PyTorch's axis of classes.

    `dlc.cross_entropy` has the classes along the last axis.

    Args:
        input: Logits [N, classes, ...], or [classes].
        target: Classes as integers [N, ...], or one; or probabilities of the shape of `input`.
        weight: A factor for each class.
        ignore_index: A label that counts as none.
        reduction: "mean" over the weights of the labels (over N for probabilities), "sum", or
            "none" for the losses.
        label_smoothing: The share of each label that is spread evenly over all classes.

    Returns:
        A tensor of the float dtype. A label that is no class, and not known while tracing, gives
        NaN.

    Raises:
        IndexRangeError: A label is no class.
        ShapeError: The shapes do not fit.
        ValueRangeError: There is no such reduction, or the smoothing is not within 0 to 1.

    Example:
        >>> dlc.nn.functional.cross_entropy(dlc.zeros((1, 2)), dlc.asarray([0]))
        Tensor(0.693..., dtype=float32)
    """
    check_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueRangeError(f"cross_entropy with label_smoothing={label_smoothing}, not 0 to 1")
    labels = tensor(target)
    if labels.dtype.is_float:
        return _soft_cross_entropy(input, labels, weight, reduction, label_smoothing)
    (x,), dtype = wide(input)
    axis = _class_axis(x)
    log_p = dlc.log_softmax(x, axis=axis)
    chosen, classes, counts = _picked("cross_entropy", log_p, labels, ignore_index)
    weights = _class_weights(weight, classes, counts, x.dtype)
    losses = -chosen * weights
    if label_smoothing:
        each = -log_p if weight is None else -log_p * _along(weight, log_p, axis)
        even = dlc.sum(each, axis=axis) / x.shape[axis]
        losses = (1.0 - label_smoothing) * losses + label_smoothing * even
    return _mean_of(dlc.where(counts, losses, 0.0), weights, reduction, dtype)


def _along(weight: Any, like: dlc.Tensor, axis: int) -> dlc.Tensor:
    held = wide(weight)[0][0].astype(like.dtype)
    return dlc.reshape(held, (held.shape[0], *(1 for _ in range(like.ndim - axis - 1))))


def _soft_cross_entropy(
    input: Any, target: dlc.Tensor, weight: Any, reduction: str, smoothing: float
) -> dlc.Tensor:
    (x, y), _ = wide(input, target)
    dtype = wide(input)[1]
    same_shape("cross_entropy", x, y)
    axis = _class_axis(x)
    if smoothing:
        y = (1.0 - smoothing) * y + smoothing / x.shape[axis]
    each = dlc.where(y == 0, 0.0, -y * dlc.log_softmax(x, axis=axis))
    if weight is not None:
        each = each * _along(weight, x, axis)
    losses = dlc.sum(each, axis=axis)
    return reduced(losses, reduction, dtype)


@casts
def multi_margin_loss(
    input: Any,
    target: Any,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
) -> dlc.Tensor:
    """The mean over the other classes of max(margin - x[target] + x[class], 0)^p.

    Args:
        input: Scores [N, classes], or [classes].
        target: Classes [N], or one.
        p: 1 or 2.
        margin: By how much the target is to be ahead.
        weight: A factor for each class.
        reduction: "mean" or "sum" of the losses, or "none" to return them.

    Raises:
        ShapeError: The shapes do not fit.
        ValueRangeError: p is neither.

    Example:
        >>> f = dlc.nn.functional.multi_margin_loss
        >>> f(dlc.asarray([[1.0, 0.5]]), dlc.asarray([0]))
        Tensor(0.25, dtype=float32)
    """
    check_reduction("multi_margin_loss", reduction)
    if p not in (1, 2):
        raise ValueRangeError(f"multi_margin_loss with p={p}: it is 1 or 2")
    (x,), dtype = wide(input)
    chosen, classes, counts = _picked("multi_margin_loss", x, tensor(target), -1)
    axis = _class_axis(x)
    far = dlc.relu(margin - dlc.expand_dims(chosen, axis=axis) + x)
    powers = (far if p == 1 else dlc.square(far)) * _class_weights(
        weight, dlc.expand_dims(classes, axis=axis), dlc.expand_dims(counts, axis=axis), x.dtype
    )
    mine = dlc.one_hot(classes, x.shape[axis]) != 0
    losses = dlc.sum(dlc.where(mine, 0.0, powers), axis=axis) / x.shape[axis]
    return reduced(losses, reduction, dtype)


@casts
def multilabel_margin_loss(input: Any, target: Any, *, reduction: str = "mean") -> dlc.Tensor:
    """The mean over classes of max(1 - x[target] + x[class], 0), of all targets and other classes.

    Args:
        input: Scores [N, classes], or [classes].
        target: Classes of that shape, up to the first -1 in each row.
        reduction: "mean" or "sum" of the losses, or "none" to return them.

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> f = dlc.nn.functional.multilabel_margin_loss
        >>> f(dlc.asarray([[1.0, 0.5]]), dlc.asarray([[0, -1]]))
        Tensor(0.25, dtype=float32)
    """
    check_reduction("multilabel_margin_loss", reduction)
    (x,), dtype = wide(input)
    labels = tensor(target)
    same_shape("multilabel_margin_loss", x, labels)
    ended = dlc.cumulative_sum((labels < 0).astype(dlc.int64), axis=-1)
    valid = ended == 0
    safe = dlc.where(valid, labels, 0).astype(dlc.int64)
    chosen = dlc.take_along_axis(x, safe, axis=-1)
    marks = dlc.logical_and(dlc.one_hot(safe, x.shape[-1]) != 0, dlc.expand_dims(valid, axis=-1))
    mine = dlc.any(marks, axis=-2)
    far = dlc.relu(1.0 - dlc.expand_dims(chosen, axis=-1) + dlc.expand_dims(x, axis=-2))
    counted = dlc.logical_and(
        dlc.expand_dims(valid, axis=-1), dlc.expand_dims(dlc.logical_not(mine), axis=-2)
    )
    losses = dlc.sum(dlc.where(counted, far, 0.0), axis=(-2, -1)) / x.shape[-1]
    return reduced(losses, reduction, dtype)


@casts
def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean"
) -> dlc.Tensor:
    """1 - cos for targets of 1, max(cos - margin, 0) for targets of -1.

    Args:
        input1: Vectors [N, D], or one [D].
        input2: Others of that shape.
        target: Labels of -1 and 1, [N], or one.
        margin: The cosine from which on those that differ are too close.
        reduction: "mean" or "sum" of the losses, or "none" to return them.

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> x = dlc.asarray([[1.0, 0.0]])
        >>> dlc.nn.functional.cosine_embedding_loss(x, x, dlc.asarray([-1]))
        Tensor(1., dtype=float32)
    """
    check_reduction("cosine_embedding_loss", reduction)
    (a, b), dtype = wide(input1, input2)
    same_shape("cosine_embedding_loss", a, b)
    near = cosine_similarity(a, b, dim=-1)
    losses = dlc.where(tensor(target) == 1, 1.0 - near, dlc.relu(near - margin))
    return reduced(losses, reduction, dtype)


@casts
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> dlc.Tensor:
    """max(d(anchor, positive) - d(anchor, negative) + margin, 0).

    Args:
        anchor: Vectors [..., D].
        positive: Vectors that are to be near.
        negative: Vectors that are to be far.
        margin: By how much farther.
        p: The norm of the distance.
        eps: What is added to differences, as in `pairwise_distance`.
        swap: Whether the distance of positive and negative counts where it is smaller.
        reduction: "mean" or "sum" of the losses, or "none" to return them.

    Example:
        >>> x, y = dlc.asarray([[0.0, 0.0]]), dlc.asarray([[3.0, 4.0]])
        >>> dlc.nn.functional.triplet_margin_loss(x, x, y)
        Tensor(0., dtype=float32)
    """
    check_reduction("triplet_margin_loss", reduction)
    (a, near, far), dtype = wide(anchor, positive, negative)
    to_far = pairwise_distance(a, far, p, eps)
    if swap:
        to_far = dlc.minimum(to_far, pairwise_distance(near, far, p, eps))
    losses = dlc.relu(pairwise_distance(a, near, p, eps) - to_far + margin)
    return reduced(losses, reduction, dtype)
