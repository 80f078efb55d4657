"""Limits on gradients: by element, by the norm of each, by the norm of all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dlc
from dlc.frontend.apply import as_tensor, wide
from dlc.ir.errors import ValueRangeError

__all__ = [
    "clip_by_global_norm", "clip_by_norm", "clip_by_value", "clip_grad_norm_", "clip_grad_value_",
    "global_norm",
]  # fmt: skip


def _norm(x: Any) -> Any:
    x = wide(x)
    return dlc.sqrt((x * x).sum())


def _limited(x: Any, norm: Any, limit: float) -> Any:
    """x * limit / norm where the norm is above the limit."""
    scale = dlc.where(norm > limit, limit / dlc.maximum(norm, limit), dlc.ones_like(norm))
    return dlc.astype(x * scale, x.dtype)


def clip_by_value(x: Any, low: float, high: float) -> dlc.Tensor:
    """x with each element at least `low` and at most `high`.

    Example:
        >>> dlc.optim.clip_by_value(dlc.asarray([-3.0, 0.5]), -1.0, 1.0).tolist()
        [-1.0, 0.5]
    """
    return dlc.clip(x, low, high)


def clip_by_norm(x: Any, limit: float) -> dlc.Tensor:
    """x times limit / norm, if its Euclidean norm is above `limit`; else as it is.

    Example:
        >>> dlc.optim.clip_by_norm(dlc.asarray([3.0, 4.0]), 1.0).tolist()
        [0.6..., 0.8...]
    """
    x = as_tensor(x)
    return _limited(x, _norm(x), limit)


def global_norm(tree: Any) -> dlc.Tensor:
    """The Euclidean norm of all leaves of a tree as one vector, a scalar.

    Example:
        >>> dlc.optim.global_norm({"w": dlc.asarray([3.0]), "b": dlc.asarray(4.0)}).item()
        5.0
    """
    leaves = [as_tensor(x) for x in dlc.tree.leaves(tree)]
    if not leaves:
        return dlc.asarray(0.0)
    return dlc.sqrt(sum((_norm(x) ** 2 for x in leaves[1:]), _norm(leaves[0]) ** 2))


def clip_by_global_norm(tree: Any, limit: float) -> tuple[Any, dlc.Tensor]:
    """A tree times limit / norm, if its norm as a whole is above `limit`, and the norm it had.

    Pascanu et al. (2013).

    Example:
        >>> dlc.optim.clip_by_global_norm([dlc.asarray([3.0]), dlc.asarray([4.0])], 1.0)[1].item()
        5.0
    """
    norm = global_norm(tree)
    return dlc.tree.map(lambda x: _limited(x, norm, limit), tree), norm


def clipped(gradients: Sequence[Any], settings: Mapping[str, Any]) -> Sequence[Any]:
    """Gradients under the limits among an optimizer's settings."""
    if settings["clipvalue"] is not None:
        limit = settings["clipvalue"]
        return [clip_by_value(g, -limit, limit) for g in gradients]
    if settings["clipnorm"] is not None:
        return [clip_by_norm(g, settings["clipnorm"]) for g in gradients]
    if settings["global_clipnorm"] is not None:
        return clip_by_global_norm(list(gradients), settings["global_clipnorm"])[0]
    return gradients


def clip_grad_norm_(parameters: Iterable[dlc.Variable], max_norm: float) -> dlc.Tensor:
    """Makes the gradients (`grad`) of variables shorter as a whole; returns the norm they had.

    As PyTorch's, whose quotient is max_norm / (norm + 1e-6).

    Args:
        parameters: Variables; those without a gradient are left out.
        max_norm: The limit, at least 0.

    Raises:
        ValueRangeError: for a negative limit.

    Example:
        >>> w = dlc.Variable([3.0, 4.0], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> dlc.optim.clip_grad_norm_([w], 1.0).item()
        10.0
    """
    if not max_norm >= 0:
        raise ValueRangeError(f"clip_grad_norm_ to {max_norm}")
    with_gradient = [p for p in parameters if p.grad is not None]
    norm = global_norm([p.grad for p in with_gradient])
    scale = dlc.minimum(max_norm / (norm + 1e-6), 1.0) if math.isfinite(max_norm) else 1.0
    for p in with_gradient:
        assert p.grad is not None
        p.grad = dlc.astype(p.grad * scale, p.grad.dtype)
    return norm


def clip_grad_value_(parameters: Iterable[dlc.Variable], clip_value: float) -> None:
    """Limits each element of the gradients (`grad`) of variables.

    Args:
        parameters: Variables; those without a gradient are left out.
        clip_value: The limit of the elements' sizes.

    Example:
        >>> w = dlc.Variable([3.0, 0.25], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> dlc.optim.clip_grad_value_([w], 1.0)
        >>> w.grad.tolist()
        [1.0, 0.5]
    """
    for p in parameters:
        if p.grad is not None:
            p.grad = clip_by_value(p.grad, -clip_value, clip_value)
