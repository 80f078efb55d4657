"""Distances, similarities and normalisation of vectors."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.frontend.cast_table import casts
from dlc.nn.functional.arguments import wide


@casts
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> dlc.Tensor:
    """The cosine of the angle between vectors.

    Args:
        x1: Vectors along an axis.
        x2: Others; they broadcast.
        dim: That axis.
        eps: The least length of a vector.

    Example:
        >>> x, y = dlc.asarray([[3.0, 4.0]]), dlc.asarray([[1.0, 0.0]])
        >>> dlc.nn.functional.cosine_similarity(x, y)
        Tensor([0.6], dtype=float32)
    """
    (a, b), dtype = wide(x1, x2)
    a, b = dlc.broadcast_arrays(a, b)
    lengths = (dlc.linalg.vector_norm(t, axis=dim, keepdims=True) for t in (a, b))
    a, b = (t / dlc.maximum(n, eps) for t, n in zip((a, b), lengths, strict=True))
    return dlc.sum(a * b, axis=dim).astype(dtype)


@casts
def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> dlc.Tensor:
    """The p-norm of the differences of vectors along the last axis.

    Args:
        x1: Vectors [..., D].
        x2: Others; they broadcast.
        p: The norm.
        eps: What is added to each difference.
        keepdim: Whether the axis stays, with extent 1.

    Example:
        >>> dlc.nn.functional.pairwise_distance(dlc.zeros((1, 2)), dlc.asarray([[3.0, 4.0]]))
        Tensor([4.99...], dtype=float32)
    """
    (a, b), dtype = wide(x1, x2)
    return dlc.linalg.vector_norm(a - b + eps, axis=-1, keepdims=keepdim, ord=p).astype(dtype)


@casts
def normalize(x: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> dlc.Tensor:
    """Vectors over their norm.

    Args:
        x: Vectors along an axis.
        p: The norm.
        dim: That axis.
        eps: The least norm.

    Example:
        >>> dlc.nn.functional.normalize(dlc.asarray([[3.0, 4.0]]))
        Tensor([[0.6, 0.8]], dtype=float32)
    """
    (a,), dtype = wide(x)
    length = dlc.linalg.vector_norm(a, axis=dim, keepdims=True, ord=p)
    return (a / dlc.maximum(length, eps)).astype(dtype)
