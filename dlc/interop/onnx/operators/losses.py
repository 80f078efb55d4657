"""Losses of classes."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.interop.onnx.operator_table import operator


def _nll(node: Any, scores: Any, target: Any, weight: Any) -> Any:
    """The weighted mean, sum or list of minus the scores of the targets."""
    ignored = node.attr("ignore_index", None)
    kept: Any = None
    if ignored is not None:
        kept = target != ignored
        target = dlc.where(kept, target, 0)
    picked = dlc.squeeze(dlc.gather(scores, 1, dlc.expand_dims(target, 1)), axis=1)
    factors = None if weight is None else dlc.take(weight, target)
    if kept is not None:
        ones = dlc.astype(kept, scores.dtype) if factors is None else factors
        factors = dlc.where(kept, ones, 0)
        picked = dlc.where(kept, picked, 0)
    loss = -picked if factors is None else -picked * factors
    how = node.attr("reduction", "mean")
    if how == "none":
        return dlc.astype(loss, scores.dtype)
    total = dlc.sum(loss)
    if how == "sum":
        return total
    return total / dlc.sum(factors) if factors is not None else dlc.mean(loss)


@operator("NegativeLogLikelihoodLoss", since=12)
def negative_log_likelihood(node: Any, scores: Any, target: Any, weight: Any = None) -> Any:
    """The loss of logarithms of probabilities."""
    return _nll(node, scores, target, weight)


@operator("SoftmaxCrossEntropyLoss", since=12)
def softmax_cross_entropy(node: Any, scores: Any, target: Any, weight: Any = None) -> Any:
    """The loss of scores, and the logarithms of their softmax."""
    logs = dlc.log_softmax(scores, axis=1)
    return _nll(node, logs, target, weight), logs
