"""Losses of values and probabilities by the names and defaults of `torch.nn.functional`.

`reduction` is "mean" or "sum" of the losses, or "none" to return them. Half types are computed at
float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import dlc
from dlc.frontend.cast_table import casts
from dlc.ir.errors import ValueRangeError
from dlc.nn.functional.arguments import check_reduction, reduced, same_shape, wide


def _pair(name: str, x: Any, target: Any) -> tuple[dlc.Tensor, dlc.Tensor, dlc.DType]:
    (a, b), dtype = wide(x, target)
    same_shape(name, a, b)
    return a, b, dtype


_ELEMENTS = """{summary}

    Args:
        input: A tensor or array of any shape.
        target: Another one of that shape.
        reduction: "mean" or "sum" of the losses, or "none" to return them.{more}

    Raises:
        ShapeError: The shapes differ.
        ValueRangeError: There is no such reduction.

    Example:
        >>> dlc.nn.functional.{name}({example})
        Tensor({result}, dtype=float32)
    """


def _of_elements(
    name: str, summary: str, example: str, result: str, loss: Callable[..., dlc.Tensor]
) -> Callable[..., dlc.Tensor]:
    def function(input: Any, target: Any, *, reduction: str = "mean") -> dlc.Tensor:
        check_reduction(name, reduction)
        x, y, dtype = _pair(name, input, target)
        return reduced(loss(x, y), reduction, dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _ELEMENTS.format(
        name=name, summary=summary, example=example, result=result, more=""
    )
    return casts(function)


mse_loss = _of_elements(
    "mse_loss",
    "The squares of differences.",
    "dlc.asarray([1.0, 2.0]), dlc.asarray([1.0, 4.0])",
    "2.",
    lambda x, y: dlc.square(x - y),
)
l1_loss = _of_elements(
    "l1_loss",
    "The magnitudes of differences.",
    "dlc.asarray([1.0, 2.0]), dlc.asarray([1.0, 4.0])",
    "1.",
    lambda x, y: dlc.abs(x - y),
)
log_cosh_loss = _of_elements(
    "log_cosh_loss",
    "The logarithm of the hyperbolic cosine of differences (Keras).",
    "dlc.asarray([0.0]), dlc.asarray([0.0])",
    "0.",
    # A sum of smooth functions, unlike |x - y| and what is left: its second derivative at 0 is 1.
    lambda x, y: (x - y) + (dlc.softplus(-2.0 * (x - y)) - math.log(2.0)),
)
soft_margin_loss = _of_elements(
    "soft_margin_loss",
    "log(1 + exp(-y x)) for targets y of -1 and 1.",
    "dlc.asarray([0.0]), dlc.asarray([1.0])",
    "0.693...",
    lambda x, y: dlc.softplus(-y * x),
)
hinge_loss = _of_elements(
    "hinge_loss",
    "max(1 - y x, 0) for targets y of -1 and 1 (Keras).",
    "dlc.asarray([0.25]), dlc.asarray([1.0])",
    "0.75",
    lambda x, y: dlc.relu(1.0 - y * x),
)
squared_hinge_loss = _of_elements(
    "squared_hinge_loss",
    "max(1 - y x, 0)^2 for targets y of -1 and 1 (Keras).",
    "dlc.asarray([0.5]), dlc.asarray([1.0])",
    "0.25",
    lambda x, y: dlc.square(dlc.relu(1.0 - y * x)),
)


@casts
def smooth_l1_loss(
    input: Any, target: Any, *, reduction: str = "mean", beta: float = 1.0
) -> dlc.Tensor:
    """Half the square of a difference over beta, and its magnitude less beta / 2 from beta on.

    Args:
        input: A tensor or array of any shape.
        target: Another one of that shape.
        reduction: "mean" or "sum" of the losses, or "none" to return them.
        beta: Where the loss becomes linear; 0 for `l1_loss`.

    Raises:
        ShapeError: The shapes differ.
        ValueRangeError: beta is negative.

    Example:
        >>> dlc.nn.functional.smooth_l1_loss(dlc.asarray([3.0]), dlc.asarray([0.0]))
        Tensor(2.5, dtype=float32)
    """
    check_reduction("smooth_l1_loss", reduction)
    if beta < 0:
        raise ValueRangeError(f"smooth_l1_loss with beta={beta}: it is at least 0")
    x, y, dtype = _pair("smooth_l1_loss", input, target)
    far = dlc.abs(x - y)
    if beta > 0:
        far = dlc.where(far < beta, dlc.square(x - y) * (0.5 / beta), far - 0.5 * beta)
    return reduced(far, reduction, dtype)


@casts
def huber_loss(
    input: Any, target: Any, *, reduction: str = "mean", delta: float = 1.0
) -> dlc.Tensor:
    """Half the square of a difference, and linear from delta on (Huber, 1964).

    Args:
        input: A tensor or array of any shape.
        target: Another one of that shape.
        reduction: "mean" or "sum" of the losses, or "none" to return them.
        delta: Where the loss becomes linear, above 0.

    Raises:
        ShapeError: The shapes differ.
        ValueRangeError: delta is not positive.

    Example:
        >>> dlc.nn.functional.huber_loss(dlc.asarray([3.0]), dlc.asarray([0.0]), delta=2.0)
        Tensor(4., dtype=float32)
    """
    check_reduction("huber_loss", reduction)
    if delta <= 0:
        raise ValueRangeError(f"huber_loss with delta={delta}: it is above 0")
    x, y, dtype = _pair("huber_loss", input, target)
    far = dlc.abs(x - y)
    losses = dlc.where(far <= delta, 0.5 * dlc.square(x - y), delta * (far - 0.5 * delta))
    return reduced(losses, reduction, dtype)


@casts
def kl_div(
    input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False
) -> dlc.Tensor:
    """The divergence of Kullback and Leibler: target (log target - input).

    Args:
        input: Logarithms of probabilities, of any shape.
        target: Probabilities of that shape, or their logarithms.
        reduction: "mean", "sum", "none", or "batchmean" for the sum over the first extent.
        log_target: Whether `target` has logarithms.

    Raises:
        ShapeError: The shapes differ.
        ValueRangeError: There is no such reduction.

    Example:
        >>> p = dlc.asarray([0.5, 0.5])
        >>> dlc.nn.functional.kl_div(dlc.log(p), p, reduction="sum")
        Tensor(0., dtype=float32)
    """
    check_reduction("kl_div", reduction, ("mean", "sum", "none", "batchmean"))
    x, y, dtype = _pair("kl_div", input, target)
    losses = dlc.exp(y) * (y - x) if log_target else _x_log_x(y) - dlc.where(y == 0, 0.0, y * x)
    if reduction == "batchmean":
        return (dlc.sum(losses) / x.shape[0]).astype(dtype)
    return reduced(losses, reduction, dtype)


def _x_log_x(x: dlc.Tensor) -> dlc.Tensor:
    """x log x, and 0 for 0."""
    return dlc.where(x == 0, 0.0, x * dlc.log(dlc.where(x == 0, 1.0, x)))


@casts
def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean"
) -> dlc.Tensor:
    """The cross entropy of probabilities of two classes; logarithms are at least -100 (PyTorch).

    Their derivatives are at most 1e12, so that gradients of probabilities of 0 and 1 are numbers.

    Args:
        input: Probabilities of any shape.
        target: Labels from 0 to 1, of that shape.
        weight: A factor for each loss, which broadcasts.
        reduction: "mean" or "sum" of the losses, or "none" to return them.

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> dlc.nn.functional.binary_cross_entropy(dlc.asarray([0.5]), dlc.asarray([1.0]))
        Tensor(0.693..., dtype=float32)
    """
    check_reduction("binary_cross_entropy", reduction)
    x, y, dtype = _pair("binary_cross_entropy", input, target)
    steepest = min(1e12, float(dlc.finfo(dtype).max))
    no, yes = _log(dlc.log1p, -x, 1.0 - x, steepest), _log(dlc.log, x, x, steepest)
    losses = (y - 1.0) * no - y * yes
    return reduced(_weighted(losses, weight), reduction, dtype)


def _log(log: Callable[..., Any], x: Any, of: Any, steepest: float) -> dlc.Tensor:
    """The logarithm of `of`, at least -100; its derivative is finite where that is 0."""
    inside = of > 1e-12
    level = dlc.stop_gradient(dlc.maximum(log(x), -100.0))
    return dlc.where(
        inside, log(dlc.where(inside, x, 1.0)), level + (x - dlc.stop_gradient(x)) * steepest
    )


def _weighted(losses: dlc.Tensor, weight: Any) -> dlc.Tensor:
    return losses if weight is None else losses * wide(weight)[0][0].astype(losses.dtype)


@casts
def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> dlc.Tensor:
    """`binary_cross_entropy` of the sigmoid of logits, without overflow.

    Args:
        input: Logits of any shape.
        target: Labels from 0 to 1, of that shape.
        weight: A factor for each loss, which broadcasts.
        reduction: "mean" or "sum" of the losses, or "none" to return them.
        pos_weight: A factor for the part of the first class, which broadcasts.

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> f = dlc.nn.functional.binary_cross_entropy_with_logits
        >>> f(dlc.asarray([0.0]), dlc.asarray([1.0]))
        Tensor(0.693..., dtype=float32)
    """
    check_reduction("binary_cross_entropy_with_logits", reduction)
    x, y, dtype = _pair("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        losses = (1.0 - y) * x + dlc.softplus(-x)
    else:
        more = wide(pos_weight)[0][0].astype(x.dtype)
        losses = (1.0 - y) * x + ((more - 1.0) * y + 1.0) * dlc.softplus(-x)
    return reduced(_weighted(losses, weight), reduction, dtype)


@casts
def sigmoid_focal_loss(
    input: Any,
    target: Any,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    reduction: str = "none",
) -> dlc.Tensor:
    """Cross entropy of two classes that weighs what is classified well less (Lin et al., 2017).

    Args:
        input: Logits of any shape.
        target: Labels of 0 and 1, of that shape.
        alpha: The weight of the first class, 1 - alpha that of the other; negative for none.
        gamma: The power of 1 - p that weighs a loss.
        reduction: "none", "mean" or "sum".

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> f = dlc.nn.functional.sigmoid_focal_loss
        >>> f(dlc.asarray([0.0]), dlc.asarray([1.0]), alpha=-1.0)
        Tensor([0.173...], dtype=float32)
    """
    check_reduction("sigmoid_focal_loss", reduction)
    x, y, dtype = _pair("sigmoid_focal_loss", input, target)
    p = dlc.sigmoid(x)
    losses = (1.0 - y) * x + dlc.softplus(-x)
    losses = losses * (1.0 - (p * y + (1.0 - p) * (1.0 - y))) ** gamma
    if alpha >= 0:
        losses = losses * (alpha * y + (1.0 - alpha) * (1.0 - y))
    return reduced(losses, reduction, dtype)


@casts
def dice_loss(
    input: Any, target: Any, *, axis: Any = None, smooth: float = 1e-7, reduction: str = "mean"
) -> dlc.Tensor:
    """1 less the overlap of two sets, 2 |A and B| / (|A| + |B|) (Keras).

    Args:
        input: Probabilities of any shape.
        target: Labels from 0 to 1, of that shape.
        axis: The axes of a set; all by default.
        smooth: What is added above and below.
        reduction: Of the losses of sets: "mean", "sum" or "none".

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> dlc.nn.functional.dice_loss(dlc.asarray([1.0, 0.0]), dlc.asarray([1.0, 0.0]))
        Tensor(0., dtype=float32)
    """
    check_reduction("dice_loss", reduction)
    x, y, dtype = _pair("dice_loss", input, target)
    both = dlc.sum(x * y, axis=axis)
    total = dlc.sum(x, axis=axis) + dlc.sum(y, axis=axis)
    return reduced(1.0 - (2.0 * both + smooth) / (total + smooth), reduction, dtype)


@casts
def poisson_nll_loss(
    input: Any,
    target: Any,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> dlc.Tensor:
    """The negative log-likelihood of counts under Poisson's distribution.

    Args:
        input: The logarithm of the expected count, or the count itself.
        target: Counts of that shape.
        log_input: Whether `input` has logarithms.
        full: Whether to add Stirling's approximation of log(target!), for counts above 1.
        eps: What is added to `input` in its logarithm.
        reduction: "mean" or "sum" of the losses, or "none" to return them.

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> dlc.nn.functional.poisson_nll_loss(dlc.asarray([0.0]), dlc.asarray([2.0]))
        Tensor(1., dtype=float32)
    """
    check_reduction("poisson_nll_loss", reduction)
    x, y, dtype = _pair("poisson_nll_loss", input, target)
    losses = dlc.exp(x) - y * x if log_input else x - y * dlc.log(x + eps)
    if full:
        safe = dlc.where(y > 1, y, 1.0)
        stirling = safe * dlc.log(safe) - safe + 0.5 * dlc.log(2.0 * math.pi * safe)
        losses = losses + dlc.where(y > 1, stirling, 0.0)
    return reduced(losses, reduction, dtype)


@casts
def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> dlc.Tensor:
    """The negative log-likelihood of values under normal distributions.

    Args:
        input: Means of any shape.
        target: Values of that shape.
        var: Variances, which broadcast.
        full: Whether to add log(2 pi) / 2.
        eps: The least variance; the derivative does not see it.
        reduction: "mean" or "sum" of the losses, or "none" to return them.

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> x = dlc.asarray([1.0])
        >>> dlc.nn.functional.gaussian_nll_loss(x, x, dlc.asarray([1.0]))
        Tensor(0., dtype=float32)
    """
    check_reduction("gaussian_nll_loss", reduction)
    (x, y, v), dtype = wide(input, target, var)
    same_shape("gaussian_nll_loss", x, y)
    v = v + dlc.stop_gradient(dlc.maximum(v, eps) - v)
    losses = 0.5 * (dlc.log(v) + dlc.square(x - y) / v)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction, dtype)


@casts
def hinge_embedding_loss(
    input: Any, target: Any, *, margin: float = 1.0, reduction: str = "mean"
) -> dlc.Tensor:
    """x for targets of 1, max(margin - x, 0) for targets of -1.

    Args:
        input: Distances of any shape.
        target: Labels of -1 and 1, of that shape.
        margin: How far apart what differs is to be.
        reduction: "mean" or "sum" of the losses, or "none" to return them.

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> dlc.nn.functional.hinge_embedding_loss(dlc.asarray([0.25]), dlc.asarray([-1.0]))
        Tensor(0.75, dtype=float32)
    """
    check_reduction("hinge_embedding_loss", reduction)
    x, y, dtype = _pair("hinge_embedding_loss", input, target)
    return reduced(dlc.where(y == 1, x, dlc.relu(margin - x)), reduction, dtype)


@casts
def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean"
) -> dlc.Tensor:
    """max(margin - y (x1 - x2), 0): the first is to be larger where y is 1, smaller where -1.

    Args:
        input1: A tensor or array.
        input2: Another one; they broadcast.
        target: Labels of -1 and 1.
        margin: By how much.
        reduction: "mean" or "sum" of the losses, or "none" to return them.

    Example:
        >>> x, y = dlc.asarray([1.0]), dlc.asarray([3.0])
        >>> dlc.nn.functional.margin_ranking_loss(x, y, dlc.asarray([1.0]))
        Tensor(2., dtype=float32)
    """
    check_reduction("margin_ranking_loss", reduction)
    (a, b, y), dtype = wide(input1, input2, target)
    return reduced(dlc.relu(margin - y * (a - b)), reduction, dtype)


@casts
def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean"
) -> dlc.Tensor:
    """The mean over classes of `binary_cross_entropy_with_logits`.

    Args:
        input: Logits [..., classes].
        target: Labels of 0 and 1, of that shape.
        weight: A factor for each class.
        reduction: "mean" or "sum" of the losses [...], or "none" to return them.

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> f = dlc.nn.functional.multilabel_soft_margin_loss
        >>> f(dlc.asarray([[0.0, 0.0]]), dlc.asarray([[1.0, 0.0]]))
        Tensor(0.693..., dtype=float32)
    """
    check_reduction("multilabel_soft_margin_loss", reduction)
    x, y, dtype = _pair("multilabel_soft_margin_loss", input, target)
    losses = dlc.softplus(-x) + (1.0 - y) * x
    return reduced(dlc.mean(_weighted(losses, weight), axis=-1), reduction, dtype)
