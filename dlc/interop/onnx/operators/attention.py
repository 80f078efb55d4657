"""Attention in its forms."""

from __future__ import annotations

import math
from typing import Any

import dlc
from dlc.interop.onnx.element_types import COMPUTED
from dlc.interop.onnx.operator_table import operator
from dlc.ir.errors import ModelError


def _heads(x: Any, count: int) -> Any:
    """[batch, length, heads * width] as [batch, heads, length, width]."""
    batch, length, width = x.shape
    return dlc.permute_dims(dlc.reshape(x, (batch, length, count, width // count)), (0, 2, 1, 3))


def _joined(x: Any) -> Any:
    batch, heads, length, width = x.shape
    return dlc.reshape(dlc.permute_dims(x, (0, 2, 1, 3)), (batch, length, heads * width))


def _additive(mask: Any, dtype: Any, length: Any) -> Any:
    """A mask as numbers to add; short ones are continued with what is not to be seen."""
    if mask.dtype == dlc.bool:
        mask = dlc.where(mask, dlc.asarray(0, dtype=dtype), dlc.asarray(-math.inf, dtype=dtype))
    missing = length - mask.shape[-1]
    if isinstance(missing, int) and missing > 0:
        widths = [(0, 0)] * (mask.ndim - 1) + [(0, missing)]
        mask = dlc.pad(mask, widths, constant_values=-math.inf)
    return mask


def _seen(node: Any, queries: Any, keys: Any, offset: Any) -> Any:
    """Which keys a query sees by its place, [queries, keys] or [batch, 1, queries, keys]."""
    i = dlc.reshape(dlc.arange(queries), (-1, 1))
    j = dlc.arange(keys)
    if getattr(offset, "ndim", 0):
        offset = dlc.reshape(offset, (-1, 1, 1, 1))
    ahead = j - (i + offset)
    seen: Any = None
    bounds = [ahead <= 0] if node.attr("is_causal", 0) else []
    left, right = node.attr("left_window_size", -1), node.attr("right_window_size", -1)
    if left >= 0:
        bounds.append(-ahead <= left)
    if right >= 0:
        bounds.append(ahead <= right)
    for bound in bounds:
        seen = bound if seen is None else dlc.logical_and(seen, bound)
    return seen


@operator("Attention", since=23)
def attention(
    node: Any, q: Any, k: Any, v: Any, mask: Any = None, past_key: Any = None,
    past_value: Any = None, used: Any = None,
) -> Any:  # fmt: skip
    """Scaled dot-product attention with caches, masks, windows and grouped heads."""
    flat = q.ndim == 3
    if flat:
        q = _heads(q, node.attr("q_num_heads"))
        k, v = (_heads(x, node.attr("kv_num_heads")) for x in (k, v))
    offset: Any = 0
    if past_key is not None:
        offset = past_key.shape[2]
        k, v = dlc.concat([past_key, k], axis=2), dlc.concat([past_value, v], axis=2)
    elif used is not None:
        offset = used - q.shape[2]
    bias = _bias(node, q, k, mask, offset, used)
    wanted = node.attr("qk_matmul_output_mode", 0)
    if _is_plain(node):
        result = dlc.scaled_dot_product_attention(
            q, k, v, bias, scale=node.attr("scale", None), enable_gqa=q.shape[1] != k.shape[1]
        )
        scores = None
    else:
        result, scores = _by_steps(node, q, k, v, bias, wanted)
    if bias is not None:
        # A query that sees nothing gives zeros.
        blind = dlc.max(bias, axis=-1, keepdims=True) == -math.inf
        result = dlc.where(blind, 0, result)
        if scores is not None and wanted == 3:
            scores = dlc.where(blind, 0, scores)
    return _joined(result) if flat else result, k, v, scores


def _is_plain(node: Any) -> bool:
    precision = node.attr("softmax_precision", None)
    return not node.wants(3) and not node.attr("softcap", 0.0) and precision in (None, 1)


def _bias(node: Any, q: Any, k: Any, mask: Any, offset: Any, used: Any) -> Any:
    length = k.shape[2]
    bias = None if mask is None else _additive(mask, q.dtype, length)
    seen = _seen(node, q.shape[2], length, offset)
    if used is not None:
        filled = dlc.arange(length) < dlc.reshape(used, (-1, 1, 1, 1))
        seen = filled if seen is None else dlc.logical_and(seen, filled)
    if seen is not None:
        hidden = dlc.where(
            seen, dlc.asarray(0, dtype=q.dtype), dlc.asarray(-math.inf, dtype=q.dtype)
        )
        bias = hidden if bias is None else bias + hidden
    if bias is not None and bias.ndim < 2:
        bias = dlc.broadcast_to(bias, (q.shape[2], length))
    return bias


def _by_steps(node: Any, q: Any, k: Any, v: Any, bias: Any, wanted: int) -> tuple[Any, Any]:
    """The result and the scores at the stage that is wanted."""
    groups = q.shape[1] // k.shape[1]
    keys, values = (dlc.repeat(x, groups, axis=1) if groups > 1 else x for x in (k, v))
    scale = node.attr("scale", None)
    root = math.sqrt(1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    scores = (q * root) @ (keys * root).mT
    shown = scores
    softcap = node.attr("softcap", 0.0)
    if softcap:
        scores = softcap * dlc.tanh(scores / softcap)
        if wanted == 1:
            shown = scores
    if bias is not None:
        scores = scores + bias
    if wanted == 2:
        shown = scores
    precision = node.attr("softmax_precision", None)
    wide = scores if precision is None else dlc.astype(scores, COMPUTED[precision])
    weights = dlc.astype(dlc.softmax(wide, axis=-1), q.dtype)
    if bias is not None:
        blind = dlc.max(bias, axis=-1, keepdims=True) == -math.inf
        weights = dlc.where(blind, 0, weights)
    return weights @ values, dlc.astype(weights if wanted == 3 else shown, q.dtype)


@operator("FlexAttention", domain="ai.onnx.preview")
def flex_attention(node: Any, q: Any, k: Any, v: Any) -> Any:
    """Attention whose scores and weights graphs of the model change."""
    groups = q.shape[1] // k.shape[1]
    k, v = (dlc.repeat(x, groups, axis=1) if groups > 1 else x for x in (k, v))
    scale = node.attr("scale", None)
    kind = node.attr("softmax_precision", None)
    wide = COMPUTED[kind] if kind is not None else (
        q.dtype if q.dtype == dlc.float64 else dlc.float32
    )  # fmt: skip
    scores = dlc.astype(q, wide) @ dlc.astype(k, wide).mT
    scores = scores * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    change = node.attr("score_mod", None)
    if change is not None:
        (scores,) = node.run(change, [scores])
    weights = dlc.softmax(scores, axis=-1)
    change = node.attr("prob_mod", None)
    if change is not None:
        (weights,) = node.run(change, [weights])
    return dlc.astype(weights @ dlc.astype(v, wide), q.dtype)


@operator("LinearAttention", since=27)
def linear_attention(
    node: Any, q: Any, k: Any, v: Any, past: Any = None, decay: Any = None, beta: Any = None
) -> Any:
    """A recurrence over outer products of keys and values, and its last state."""
    q_heads, heads = node.attr("q_num_heads"), node.attr("kv_num_heads")
    kind = q.dtype
    wide = kind if kind == dlc.float64 else dlc.float32
    q = dlc.astype(_heads(q, q_heads), wide)
    k, v = (dlc.astype(_heads(x, heads), wide) for x in (k, v))
    scale = node.attr("scale", 0.0) or 1 / math.sqrt(q.shape[-1])
    shape = (k.shape[0], heads, k.shape[-1], v.shape[-1])
    state = dlc.zeros(shape, dtype=wide) if past is None else dlc.astype(past, wide)
    rule = node.attr("update_rule", "gated_delta")

    def along(x: Any) -> Any:
        return None if x is None else dlc.moveaxis(x, 2, 0)

    gates = None if decay is None or "gated" not in rule else dlc.astype(_heads(decay, heads), wide)
    rates = None
    if beta is not None and "delta" in rule:
        rates = dlc.astype(_heads(beta, beta.shape[-1]), wide)  # one for all heads, or one each

    def step(s: Any, given: Any) -> Any:
        q_, k_, v_, gate, rate = given
        if gate is not None:
            s = dlc.exp(gate)[..., None] * s
        target = v_
        if "delta" in rule:
            target = v_ - (k_[..., None, :] @ s)[..., 0, :]
            if rate is not None:
                target = rate * target
        s = s + k_[..., :, None] * target[..., None, :]
        shared = dlc.repeat(s, q_heads // heads, axis=1) if q_heads != heads else s
        return s, scale * (q_[..., None, :] @ shared)[..., 0, :]

    state, ys = dlc.scan(step, state, tuple(along(x) for x in (q, k, v, gates, rates)))
    result = dlc.astype(_joined(dlc.moveaxis(ys, 0, 2)), kind)
    return result, dlc.astype(state, kind if past is None else past.dtype)


@operator("RotaryEmbedding", since=23)
def rotary_embedding(node: Any, x: Any, cos: Any, sin: Any, places: Any = None) -> Any:
    """Pairs of elements turned by an angle for each place."""
    flat = x.ndim == 3
    heads = node.attr("num_heads", 0)
    if flat and not heads:
        raise ModelError("RotaryEmbedding of a tensor of rank 3 needs num_heads")
    y = _heads(x, heads) if flat else x
    width = node.attr("rotary_embedding_dim", 0) or y.shape[-1]
    if places is not None:
        cos, sin = dlc.take(cos, places, axis=0), dlc.take(sin, places, axis=0)
    cos, sin = (dlc.expand_dims(c, 1)[..., : width // 2] for c in (cos, sin))
    turned, rest = y[..., :width], y[..., width:]
    if node.attr("interleaved", 0):
        a, b = turned[..., 0::2], turned[..., 1::2]
    else:
        a, b = turned[..., : width // 2], turned[..., width // 2 :]
    one, two = a * cos - b * sin, a * sin + b * cos
    if node.attr("interleaved", 0):
        made = dlc.reshape(dlc.stack([one, two], axis=-1), turned.shape)
    else:
        made = dlc.concat([one, two], axis=-1)
    made = dlc.concat([made, rest], axis=-1)
    return _joined(made) if flat else made
