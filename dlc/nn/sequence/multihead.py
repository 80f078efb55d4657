"""Attention of several heads, with PyTorch's names of parameters, layouts and defaults."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.nn import initializers
from dlc.nn.described import positive
from dlc.nn.dropout import Dropout
from dlc.nn.functional.arguments import tensor
from dlc.nn.linear import Linear, check_last
from dlc.nn.module import Module, Parameter
from dlc.nn.sequence.masks import attention_weights, causal, joined


class MultiheadAttention(Module):
    """Attention of several heads (Vaswani et al., 2017), as `torch.nn.MultiheadAttention`.

    Args:
        embed_dim: The last extent of queries and results.
        num_heads: The number of heads, which divides it.
        dropout: The probability with which weights are set to 0 while training.
        bias: Whether the projections have biases.
        add_bias_kv: Whether a key and a value that are trained are put behind the others.
        add_zero_attn: Whether a key and a value of zeros are put behind the others.
        kdim: The last extent of keys; `embed_dim` for None.
        vdim: The last extent of values; `embed_dim` for None.
        batch_first: Whether inputs and outputs are [batch, time, ...].
        dtype: The element type of the parameters.

    Attributes:
        in_proj_weight: [3 * embed_dim, embed_dim]: of queries, keys and values; where extents
            differ, `q_proj_weight`, `k_proj_weight` and `v_proj_weight` instead.
        in_proj_bias: [3 * embed_dim].
        out_proj: A `Linear`.
        bias_k, bias_v: [1, 1, embed_dim].

    Example:
        >>> layer, x = dlc.nn.MultiheadAttention(8, 2), dlc.ones((5, 3, 8))
        >>> output, weights = layer(x, x, x)
        >>> output.shape, weights.shape
        ((5, 3, 8), (3, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype: Any = None,
    ) -> None:
        sizes = {"embed_dim": embed_dim, "num_heads": num_heads}
        embed_dim, num_heads = positive("MultiheadAttention", **sizes)
        if embed_dim % num_heads:
            raise ValueRangeError(
                f"MultiheadAttention(embed_dim={embed_dim}, num_heads={num_heads}): "
                "the heads must divide the extent"
            )
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.batch_first, self.add_zero_attn = bool(batch_first), bool(add_zero_attn)
        dtype = dtype or dlc.float32
        init = initializers.xavier_uniform(outputs_first=True)
        if self.kdim == self.vdim == embed_dim:
            shape = (3 * embed_dim, embed_dim)
            self.in_proj_weight = Parameter(init(shape, dtype), "in_proj_weight")
        else:
            extents = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
            for name, extent in extents.items():
                weight = Parameter(init((embed_dim, extent), dtype), f"{name}_proj_weight")
                setattr(self, f"{name}_proj_weight", weight)
        zeros = dlc.zeros((3 * embed_dim,), dtype=dtype)
        self.in_proj_bias = Parameter(zeros, "in_proj_bias") if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype)
        if self.out_proj.bias is not None:
            self.out_proj.bias.assign(dlc.zeros((embed_dim,), dtype=dtype))
        self.bias_k = self.bias_v = None
        if add_bias_kv:
            init = initializers.xavier_normal(outputs_first=True)
            self.bias_k = Parameter(init((1, 1, embed_dim), dtype), "bias_k")
            self.bias_v = Parameter(init((1, 1, embed_dim), dtype), "bias_v")
        self.drop = Dropout(dropout) if dropout else None

    @property
    def dropout(self) -> float:
        """The probability of dropout."""
        return 0.0 if self.drop is None else self.drop.p

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """The attention, and the weights or None.

        Args:
            query: [queries, batch, embed_dim], or with `batch_first` [batch, queries, embed_dim];
                without a batch, [queries, embed_dim].
            key: The same of keys and `kdim`.
            value: The same of keys and `vdim`.
            key_padding_mask: [batch, keys]: True where a key does not take part, or of floats that
                are added to scores.
            need_weights: Whether the weights are returned. Compiled, those that are not used cost
                nothing.
            attn_mask: The same of [queries, keys] or [batch * heads, queries, keys].
            average_attn_weights: Whether the weights are the mean of heads.
            is_causal: Whether the query at i reads the keys up to i only, also without `attn_mask`.

        Returns:
            Results in the form of `query`, and weights [batch, queries, keys] or [batch, heads,
            queries, keys]. A query without keys gives 0 before the last projection.

        Raises:
            ShapeError: for shapes that do not fit.
        """
        same = query is key and key is value
        q, k, v = (tensor(t) for t in (query, key, value))
        single = len(q.shape) == 2
        q, k, v = (self._batched(t, single) for t in (q, k, v))
        for t, extent in ((q, self.embed_dim), (k, self.kdim), (v, self.vdim)):
            check_last(self, t, extent)
        q, k, v = self._projected(q, k, v, same)
        attn, padding, batch = self._masks(attn_mask, key_padding_mask, q, k, single)
        q, k, v = (self._heads(t) for t in self._longer(q, k, v, batch))
        if self.add_zero_attn:
            zeros = dlc.zeros_like(k[:, :, :1])
            k, v = (dlc.concatenate([t, zeros], axis=2) for t in (k, v))
        held = [self._padded(m) for m in (attn, padding) if m is not None]
        more = self._more()
        if is_causal and more:
            after = causal(q.shape[2], k.shape[2] - more)
            held.append(self._padded(after[None, None]))
            is_causal = False
        out, weights = self._attention(q, k, v, held, is_causal, need_weights)
        out = dlc.moveaxis(out, 1, 2)
        out = self.out_proj(out.reshape(*out.shape[:2], self.embed_dim))
        if weights is not None and average_attn_weights:
            weights = weights.mean(axis=1)
        if single:
            return out[0], None if weights is None else weights[0]
        return (out if self.batch_first else dlc.moveaxis(out, 0, 1)), weights

    def _batched(self, x: Any, single: bool) -> Any:
        """An input as [batch, time, extent]."""
        if len(x.shape) != (2 if single else 3):
            raise ShapeError(
                f"MultiheadAttention of an input of shape {tuple(x.shape)}: query, key and value "
                "have three axes each, or two each without a batch"
            )
        if single:
            return x[None]
        return x if self.batch_first else dlc.moveaxis(x, 0, 1)

    def _projected(self, q: Any, k: Any, v: Any, same: bool) -> list[Any]:
        weight = getattr(self, "in_proj_weight", None)
        if same and weight is not None:  # one product
            rows = q @ dlc.matrix_transpose(weight)
            rows = rows if self.in_proj_bias is None else rows + self.in_proj_bias
            return list(dlc.split(rows, 3, axis=-1))
        if weight is not None:
            weights: Any = dlc.split(weight, 3, axis=0)
        else:
            weights = [getattr(self, f"{name}_proj_weight") for name in "qkv"]
        rows = [t @ dlc.matrix_transpose(w) for t, w in zip((q, k, v), weights, strict=True)]
        if self.in_proj_bias is None:
            return rows
        biases = dlc.split(self.in_proj_bias, 3)
        return [r + b for r, b in zip(rows, biases, strict=True)]

    def _more(self) -> int:
        """The number of keys that the layer puts behind those that it is given."""
        return int(self.bias_k is not None) + int(self.add_zero_attn)

    def _longer(self, q: Any, k: Any, v: Any, batch: Any) -> tuple[Any, Any, Any]:
        """Keys and values with those that are trained behind them."""
        if self.bias_k is None or self.bias_v is None:
            return q, k, v
        shape = (batch, 1, self.embed_dim)
        k = dlc.concatenate([k, dlc.broadcast_to(self.bias_k, shape)], axis=1)
        v = dlc.concatenate([v, dlc.broadcast_to(self.bias_v, shape)], axis=1)
        return q, k, v

    def _heads(self, x: Any) -> Any:
        """[batch, time, extent] as [batch, heads, time, extent of a head]."""
        extent = self.embed_dim // self.num_heads
        return dlc.moveaxis(x.reshape(*x.shape[:2], self.num_heads, extent), 2, 1)

    def _masks(self, attn: Any, padding: Any, q: Any, k: Any, single: bool) -> tuple[Any, Any, Any]:
        """Both masks with four axes, and the extent of the batch."""
        batch, queries, keys = q.shape[0], q.shape[1], k.shape[1]
        if attn is not None:
            attn = tensor(attn)
            wanted = {2: (queries, keys), 3: (batch * self.num_heads, queries, keys)}
            self._check_mask("attn_mask", attn, wanted)
            each = (batch, self.num_heads) if len(attn.shape) == 3 else (1, 1)
            attn = attn.reshape(*each, *attn.shape[-2:])
        if padding is not None:
            padding = tensor(padding)
            padding = padding[None] if single and len(padding.shape) == 1 else padding
            self._check_mask("key_padding_mask", padding, {2: (batch, keys)})
            padding = padding[:, None, None]
        return attn, padding, batch

    def _check_mask(self, name: str, mask: Any, wanted: dict[int, tuple[Any, ...]]) -> None:
        shape = wanted.get(len(mask.shape))
        pairs = [] if shape is None else zip(mask.shape, shape, strict=True)
        known = [(a, b) for a, b in pairs if isinstance(a, int) and isinstance(b, int)]
        if shape is None or any(a != b for a, b in known):
            shapes = " or ".join(str(tuple(s)) for s in wanted.values())
            raise ShapeError(
                f"MultiheadAttention: {name} has shape {tuple(mask.shape)}, it must have {shapes}"
            )

    def _padded(self, mask: Any) -> Any:
        """A mask for the keys that were put behind, too, which take part always."""
        more = self._more()
        if not more:
            return mask
        none = dlc.zeros((*mask.shape[:-1], more), dtype=mask.dtype)
        return dlc.concatenate([mask, none], axis=-1)

    def _attention(
        self, q: Any, k: Any, v: Any, masks: list[Any], is_causal: bool, need_weights: bool
    ) -> tuple[Any, Any]:
        weights = None
        dropping = self.drop if self.training else None
        if need_weights or dropping is not None:
            after = [causal(q.shape[2], k.shape[2])[None, None]] if is_causal else []
            weights = attention_weights(q, k, joined([*masks, *after], q.dtype))
        if dropping is not None:
            weights = dropping(weights)
            return weights @ v, weights if need_weights else None
        mask = joined(masks, q.dtype)
        return dlc.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal), weights

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.embed_dim}, {self.num_heads}"
