"""Attention of several heads, with Keras's names of parameters, layouts and defaults."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import dlc
from dlc.ir.errors import ShapeError
from dlc.nn.described import positive
from dlc.nn.dropout import Dropout
from dlc.nn.functional.arguments import tensor
from dlc.nn.keras.layer import Layer, known
from dlc.nn.sequence.einsum_dense import EinsumDense
from dlc.nn.sequence.masks import attention_weights, causal


class MultiHeadAttention(Layer):
    """Attention of several heads (Vaswani et al., 2017), as `keras.layers.MultiHeadAttention`.

    Args:
        num_heads: The number of heads.
        key_dim: The extent of queries and keys of a head.
        value_dim: That of values; `key_dim` for None.
        dropout: The probability with which weights are set to 0 while training.
        use_bias: Whether the projections have biases.
        output_shape: The last extents of results; the query's last for None.
        attention_axes: The axes along which there is attention; all but the first and the last for
            None.
        kernel_initializer, bias_initializer: Names or functions.
        seed: Where the random numbers of dropout begin.
        common: `name`, `dtype` and `trainable` of the layer.

    Attributes:
        query, key, value: `EinsumDense` layers with kernels [inputs, heads, extent of a head].
        attention_output: One with a kernel [heads, extent of a head, outputs].

    Example:
        >>> layer = dlc.nn.MultiHeadAttention(num_heads=2, key_dim=4)
        >>> x = dlc.ones((3, 5, 8))
        >>> layer(x, x, use_causal_mask=True).shape
        (3, 5, 8)
    """

    query: EinsumDense
    key: EinsumDense
    value: EinsumDense
    attention_output: EinsumDense

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        seed: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        # Of the results of each projection, the last of which is the layer's.
        self._activity_regularizer, self.activity_regularizer = self.activity_regularizer, None
        self.num_heads, self.key_dim, self.value_dim = positive(
            "MultiHeadAttention",
            num_heads=num_heads,
            key_dim=key_dim,
            value_dim=key_dim if value_dim is None else value_dim,
        )
        self.use_bias = bool(use_bias)
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else output_shape
        self.attention_axes = attention_axes
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.drop = Dropout(dropout, seed=seed) if dropout else None

    def _of_projections(self) -> dict[str, Any]:
        kinds = ("initializer", "regularizer", "constraint")
        words = [f"{name}_{kind}" for name in ("kernel", "bias") for kind in kinds]
        held = {word: getattr(self, word) for word in (*words, "dtype")}
        return {**held, "activity_regularizer": self._activity_regularizer}

    def _projection(self, extent: int) -> EinsumDense:
        return EinsumDense(
            "...x,xhd->...hd", (self.num_heads, extent),
            bias_axes="hd" if self.use_bias else None,
            **self._of_projections(),
        )  # fmt: skip

    def build(self, query: Any, value: Any, key: Any = None, *_masks: Any) -> None:
        """Makes the parameters for inputs of these shapes."""
        key = key or value
        inputs = {"query": query, "key": key, "value": value}
        for name, shape in inputs.items():
            layer = self._projection(self.value_dim if name == "value" else self.key_dim)
            setattr(self, name, layer)
            layer.ensure_built(shape)
        outputs = self.output_shape or (known(self, query[-1], "the last extent of the query"),)
        letters = "stuvw"[: len(outputs)]
        self.attention_output = EinsumDense(
            f"...hd,hd{letters}->...{letters}", tuple(outputs),
            bias_axes=letters if self.use_bias else None,
            **self._of_projections(),
        )  # fmt: skip
        self.attention_output.ensure_built((*query[:-1], self.num_heads, self.value_dim))

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """The attention, and with `return_attention_scores` the weights.

        Args:
            query: [batch, queries, ...].
            value: [batch, keys, ...].
            key: The same; `value` for None.
            query_mask: Bools [batch, queries]: False for queries whose results do not matter.
            value_mask: Bools [batch, keys]: False for keys that do not take part.
            key_mask: The same.
            attention_mask: Bools [batch, queries, keys], or with an axis of heads before the last
                two: False where a key does not take part.
            return_attention_scores: Whether the weights are returned.
            use_causal_mask: Whether the query at i reads the keys up to i only.

        Returns:
            Results with the extents of the query but the last, and weights [batch, heads, queries,
            keys]. A query without keys gives 0 before the last projection.
        """
        q, v = tensor(query), tensor(value)
        k = v if key is None else tensor(key)
        axes = self._axes(len(q.shape))
        q, k, v = self.query(q), self.key(k), self.value(v)
        rest, times = q.shape[:-2], [k.shape[a] for a in axes]
        q, k, v = (self._heads(t, axes) for t in (q, k, v))
        mask = self._mask((query_mask, value_mask, key_mask, attention_mask), q, k, use_causal_mask)
        out, weights = self._attention(q, k, v, mask, return_attention_scores)
        result = self.attention_output(self._rows(out, axes, rest))
        if not return_attention_scores:
            return result
        shape = [*weights.shape[:-2], *(rest[a] for a in axes), *times]
        return result, weights.reshape(*shape)

    def _axes(self, rank: int) -> list[int]:
        given = self.attention_axes
        if given is None:
            return list(range(1, rank - 1))
        axes = [given] if isinstance(given, int) else list(given)
        found = [a + rank if a < 0 else a for a in axes]
        if not all(0 < a < rank - 1 for a in found):
            raise ShapeError(
                f"MultiHeadAttention(attention_axes={given}) of an input of {rank} axes"
            )
        return found

    def _heads(self, x: Any, axes: list[int]) -> Any:
        """[batch, ..., heads, extent] as [batch, others, heads, time, extent]."""
        rank = len(x.shape)
        others = [a for a in range(rank - 2) if a not in axes]
        y = dlc.permute_dims(x, (*others, rank - 2, *axes, rank - 1))
        time = math.prod(x.shape[a] for a in axes)
        return y.reshape(*(x.shape[a] for a in others), self.num_heads, time, x.shape[-1])

    def _rows(self, x: Any, axes: list[int], shape: Any) -> Any:
        """[batch, others, heads, time, extent] as [batch, ..., heads, extent]."""
        rank = len(shape)
        others = [a for a in range(rank) if a not in axes]
        y = x.reshape(*x.shape[: len(others) + 1], *(shape[a] for a in axes), x.shape[-1])
        order = [*others, rank, *axes]  # which axis of the result stands at each place
        places = [order.index(a) for a in range(rank)]
        return dlc.permute_dims(y, (*places, len(others), rank + 1))

    def _mask(self, given: Sequence[Any], q: Any, k: Any, is_causal: bool) -> Any:
        """One mask of bools [batch, ..., queries, keys], True where a key takes part; or None."""
        queries, keys = q.shape[-2], k.shape[-2]
        ones = (1,) * (len(q.shape) - 3)  # other axes and heads
        masks = []
        for place, mask in enumerate(given):
            if mask is None:
                continue
            held = tensor(mask).astype(dlc.bool)
            if place < 3:
                extents = (queries, 1) if place == 0 else (1, keys)
                held = held.reshape(held.shape[0], *ones, *extents)
            elif len(held.shape) == 3 and len(q.shape) > 3:
                held = held.reshape(held.shape[0], *ones, *held.shape[1:])
            masks.append(held)
        if is_causal:
            masks.append(~causal(queries, keys))
        if not masks:
            return None
        found = masks[0]
        for m in masks[1:]:
            found = found & m
        return found

    def _attention(self, q: Any, k: Any, v: Any, mask: Any, need_weights: bool) -> tuple[Any, Any]:
        dropping = self.drop if self.training else None
        weights = None
        if need_weights or dropping is not None:
            weights = attention_weights(q, k, mask)
        if dropping is not None:
            weights = dropping(weights)
            return weights @ v, weights
        return dlc.scaled_dot_product_attention(q, k, v, mask), weights

    def extra_repr(self) -> str:
        """The sizes."""
        return f"num_heads={self.num_heads}, key_dim={self.key_dim}"
