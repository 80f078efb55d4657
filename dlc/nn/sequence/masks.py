"""Masks of attention, and its weights."""

from __future__ import annotations

import math
from typing import Any

import dlc


def added(mask: Any, dtype: Any) -> Any:
    """What is added to scores, of a mask that is True where a key does not take part, or added."""
    return dlc.where(mask, -math.inf, dlc.zeros((), dtype=dtype)) if is_bool(mask) else mask


def is_bool(mask: Any) -> bool:
    """Whether a mask is of bools."""
    return mask.dtype is dlc.bool


def causal(queries: Any, keys: Any) -> Any:
    """[queries, keys]: True where a key comes after a query, and does not take part."""
    return dlc.arange(keys) > dlc.arange(queries)[:, None]


def joined(masks: list[Any], dtype: Any) -> Any:
    """One mask for `scaled_dot_product_attention` of several as in `added`; None of none."""
    if not masks:
        return None
    if all(is_bool(m) for m in masks):
        out = masks[0]
        for m in masks[1:]:
            out = out | m
        return ~out
    total = added(masks[0], dtype)
    for m in masks[1:]:
        total = total + added(m, dtype)
    return total


def attention_weights(q: Any, k: Any, mask: Any, scale: float | None = None) -> Any:
    """softmax(q @ k.T * scale + mask) [..., queries, keys]; 0 for a query without keys.

    Args:
        q: [..., queries, extent].
        k: [..., keys, extent].
        mask: As `scaled_dot_product_attention` takes it, or None.
        scale: 1 / sqrt(extent) for None.
    """
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    return weights_of((q * factor) @ dlc.matrix_transpose(k), mask)


def weights_of(scores: Any, mask: Any) -> Any:
    """softmax(scores + mask), with a mask as in `attention_weights`; 0 for a query without keys."""
    if mask is None:
        return dlc.softmax(scores, axis=-1)
    scores = dlc.where(mask, scores, -math.inf) if is_bool(mask) else scores + mask
    absent = scores == -math.inf
    scores = dlc.where(dlc.all(absent, axis=-1, keepdims=True), 0.0, scores)
    return dlc.where(absent, 0.0, dlc.softmax(scores, axis=-1))
