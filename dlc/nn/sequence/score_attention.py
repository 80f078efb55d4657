"""Keras's attention without heads and projections: `Attention`, `AdditiveAttention`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dlc
from dlc.ir.errors import ArgumentError, ShapeError
from dlc.nn.described import one_of
from dlc.nn.dropout import Dropout
from dlc.nn.functional.arguments import tensor
from dlc.nn.keras.layer import Layer, known
from dlc.nn.sequence.masks import causal, weights_of

__all__ = ["AdditiveAttention", "Attention"]


class Attention(Layer):
    """Attention by products of queries and keys (Luong et al., 2015), not scaled by their extent.

    Args:
        use_scale: Whether scores are multiplied by a parameter.
        score_mode: "dot": scores are products; "concat": sums of tanh(query + key).
        dropout: The probability with which weights are set to 0 while training.
        seed: Where the random numbers of dropout begin.
        common: `name`, `dtype` and `trainable` of the layer.

    Attributes:
        scale: The factor of scores (with "concat", inside tanh), or None.
        concat_score_weight: The factor of the sums with "concat", or None.

    Example:
        >>> query, value = dlc.ones((2, 3, 4)), dlc.ones((2, 5, 4))
        >>> dlc.nn.Attention()([query, value]).shape
        (2, 3, 4)
    """

    scale: dlc.Variable | None = None
    concat_score_weight: dlc.Variable | None = None

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.use_scale = use_scale
        self.score_mode = one_of("Attention", "score_mode", score_mode, ("dot", "concat"))
        self.drop = Dropout(dropout, seed=seed) if dropout else None

    def build(self, _shapes: Any) -> None:
        """Makes the parameters."""
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def scores(self, q: Any, k: Any) -> Any:
        """How much queries have to do with keys, [..., queries, keys]; a subclass may define it."""
        if self.score_mode == "dot":
            return (q if self.scale is None else q * self.scale) @ dlc.matrix_transpose(k)
        both = dlc.expand_dims(q, axis=-2) + dlc.expand_dims(k, axis=-3)
        both = both if self.scale is None else both * self.scale
        return self.concat_score_weight * dlc.sum(dlc.tanh(both), axis=-1)

    def call(
        self,
        inputs: Sequence[Any],
        mask: Sequence[Any] | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """The attention, and with `return_attention_scores` the weights.

        Args:
            inputs: A list of query [batch, queries, extent], value [batch, keys, values], and key
                [batch, keys, extent], which is the value if there is none.
            mask: A list of bools or None: [batch, queries], False where the result is 0, and
                [batch, keys], False for keys that do not take part.
            return_attention_scores: Whether the weights are returned.
            use_causal_mask: Whether the query at i reads the keys up to i only.

        Returns:
            Results [batch, queries, values], and weights [batch, queries, keys]. A query without
            keys gives 0.
        """
        q, v, k = self._inputs(inputs)
        of_query, of_value = self._masks(mask)
        allowed = None if of_value is None else dlc.expand_dims(of_value, axis=-2)
        if use_causal_mask:
            before = ~causal(q.shape[-2], k.shape[-2])
            allowed = before if allowed is None else allowed & before
        weights = weights_of(self.scores(q, k), allowed)
        if self.drop is not None and self.training:
            weights = self.drop(weights)
        result = weights @ v
        if of_query is not None:
            result = dlc.where(dlc.expand_dims(of_query, axis=-1), result, 0.0)
        return (result, weights) if return_attention_scores else result

    def _check_list(self, inputs: Any) -> None:
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            raise ArgumentError(
                f"{type(self).__name__} takes a list of query, value and, if it is another "
                "tensor, key",
                hint="call it as layer([query, value])",
            )

    def _inputs(self, inputs: Any) -> tuple[Any, Any, Any]:
        name = type(self).__name__
        self._check_list(inputs)
        q, v = tensor(inputs[0]), tensor(inputs[1])
        k = tensor(inputs[2]) if len(inputs) == 3 else v
        fits = min(q.ndim, k.ndim, v.ndim) >= 2 and q.shape[-1] == k.shape[-1]
        if not fits or k.shape[-2] != v.shape[-2]:
            raise ShapeError(
                f"{name} of query {q.tensor}, value {v.tensor} and key {k.tensor}",
                hint="they are [batch, queries, extent], [batch, keys, values] and [batch, keys, "
                "extent]; without a key, it is the value",
            )
        return q, v, k

    def _masks(self, mask: Any) -> tuple[Any, Any]:
        if mask is None:
            return None, None
        if not isinstance(mask, (list, tuple)) or len(mask) not in (2, 3):
            raise ArgumentError(
                f"{type(self).__name__} takes masks as a list of that of the query and that of "
                "the value, of which one may be None"
            )
        first, second = (m if m is None else tensor(m).astype(dlc.bool) for m in mask[:2])
        return first, second


class AdditiveAttention(Attention):
    """Attention by sums of tanh(query + key) (Bahdanau et al., 2015).

    Args:
        use_scale: Whether each element of the sums has a parameter as its factor.
        dropout: The probability with which weights are set to 0 while training.
        seed: Where the random numbers of dropout begin.
        common: `name`, `dtype` and `trainable` of the layer.

    It is called as `Attention` is.

    Attributes:
        scale: The factors [extent], or None.

    Example:
        >>> query, value = dlc.ones((2, 3, 4)), dlc.ones((2, 5, 4))
        >>> dlc.nn.AdditiveAttention()([query, value]).shape
        (2, 3, 4)
    """

    def __init__(
        self,
        use_scale: bool = True,
        dropout: float = 0.0,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(use_scale, "dot", dropout, seed, **common)

    def build(self, shapes: Any) -> None:
        """Makes the parameters for inputs of these shapes."""
        if self.use_scale:
            self._check_list(None if isinstance(shapes, tuple) else shapes)  # that of one tensor
            extent = known(self, shapes[0][-1], "the last extent of the query")
            self.scale = self.add_weight((extent,), "glorot_uniform", name="scale")

    def scores(self, q: Any, k: Any) -> Any:
        """How much queries have to do with keys, [..., queries, keys]."""
        both = dlc.tanh(dlc.expand_dims(q, axis=-2) + dlc.expand_dims(k, axis=-3))
        return dlc.sum(both if self.scale is None else self.scale * both, axis=-1)
