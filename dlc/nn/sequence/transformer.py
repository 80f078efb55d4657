"""Transformers, with PyTorch's names of parameters, layouts and defaults."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import dlc
from dlc.nn import activations, initializers
from dlc.nn.containers import ModuleList
from dlc.nn.described import positive
from dlc.nn.dropout import Dropout
from dlc.nn.linear import Linear
from dlc.nn.module import Module
from dlc.nn.normalization import LayerNorm
from dlc.nn.sequence.copies import fresh_copy
from dlc.nn.sequence.multihead import MultiheadAttention


class _Layer(Module):
    """What the layers of encoder and decoder share: blocks with a residual each.

    One for each of the attentions, by their names, and one for a network of two layers.
    """

    _attentions: ClassVar[tuple[str, ...]] = ("self_attn",)
    self_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    dropout1: Dropout
    dropout2: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        (inner,) = positive(type(self).__name__, dim_feedforward=dim_feedforward)
        for name in self._attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype
            )
            setattr(self, name, attention)
        self.linear1 = Linear(d_model, inner, bias, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(inner, d_model, bias, dtype)
        self.norm_first = bool(norm_first)
        blocks = range(1, len(self._attentions) + 2)
        for k in blocks:
            setattr(self, f"norm{k}", LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype))
        for k in blocks:
            setattr(self, f"dropout{k}", Dropout(dropout))
        self.activation = activations.get(activation)

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _residual(self, x: Any, norm: Any, block: Any) -> Any:
        """x plus the block of it, normalised before or after (Xiong et al., 2020)."""
        return x + block(norm(x)) if self.norm_first else norm(x + block(x))


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence to itself and a network of two layers (Vaswani et al., 2017).

    As `torch.nn.TransformerEncoderLayer`.

    Args:
        d_model: The last extent of inputs and results.
        nhead: The number of heads.
        dim_feedforward: The extent between the two layers.
        dropout: The probability of dropout: of weights of attention, of what is between the two
            layers, and of what is added.
        activation: "relu", "gelu", another name or a function.
        layer_norm_eps: What is added to variances.
        batch_first: Whether inputs and outputs are [batch, time, ...].
        norm_first: Whether the blocks' inputs are normalised, and not the sums.
        bias: Whether linear layers and norms have biases.
        dtype: The element type of the parameters.

    Example:
        >>> dlc.nn.TransformerEncoderLayer(8, 2, dim_feedforward=16)(dlc.ones((5, 3, 8))).shape
        (5, 3, 8)
    """

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:
        """The layer of [time, batch, d_model]; masks as `MultiheadAttention` takes them."""

        def attend(x: Any) -> Any:
            found, _ = self.self_attn(
                x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal
            )
            return self.dropout1(found)

        x = self._residual(src, self.norm1, attend)
        return self._residual(x, self.norm2, lambda y: self.dropout2(self._feed_forward(y)))


class TransformerDecoderLayer(_Layer):
    """Attention of a sequence to itself and to another one, and a network of two layers.

    As `torch.nn.TransformerDecoderLayer`.

    Args:
        d_model: The last extent of inputs, of what is attended to, and of results.
        nhead: The number of heads.
        dim_feedforward: The extent between the two layers.
        dropout: The probability of dropout, as in `TransformerEncoderLayer`.
        activation: "relu", "gelu", another name or a function.
        layer_norm_eps: What is added to variances.
        batch_first: Whether inputs and outputs are [batch, time, ...].
        norm_first: Whether the blocks' inputs are normalised, and not the sums.
        bias: Whether linear layers and norms have biases.
        dtype: The element type of the parameters.

    Example:
        >>> layer = dlc.nn.TransformerDecoderLayer(8, 2, dim_feedforward=16)
        >>> layer(dlc.ones((4, 3, 8)), dlc.ones((5, 3, 8))).shape
        (4, 3, 8)
    """

    _attentions = ("self_attn", "multihead_attn")
    multihead_attn: MultiheadAttention
    norm3: LayerNorm
    dropout3: Dropout

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Any:
        """The layer of [time, batch, d_model] and of `memory`, the encoder's result.

        Masks are as `MultiheadAttention` takes them.
        """

        def attend(x: Any) -> Any:
            found, _ = self.self_attn(
                x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal
            )
            return self.dropout1(found)

        def look(x: Any) -> Any:
            found, _ = self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask,
                is_causal=memory_is_causal,
            )  # fmt: skip
            return self.dropout2(found)

        x = self._residual(tgt, self.norm1, attend)
        x = self._residual(x, self.norm2, look)
        return self._residual(x, self.norm3, lambda y: self.dropout3(self._feed_forward(y)))


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList(fresh_copy(layer) for _ in range(count))


class TransformerEncoder(Module):
    """Copies of a layer on top of each other, as `torch.nn.TransformerEncoder`.

    Args:
        encoder_layer: A `TransformerEncoderLayer`, which is copied.
        num_layers: The number of copies.
        norm: A module for the result, or None.
        enable_nested_tensor, mask_check: PyTorch's, about its speed: they change nothing.

    Example:
        >>> layer = dlc.nn.TransformerEncoderLayer(8, 2, dim_feedforward=16)
        >>> dlc.nn.TransformerEncoder(layer, 2)(dlc.ones((5, 3, 8))).shape
        (5, 3, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Any = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        (count,) = positive("TransformerEncoder", num_layers=num_layers)
        self.layers = _copies(encoder_layer, count)
        self.norm = norm

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Any:
        """The result of the last layer; each is given the masks."""
        x = src
        for layer in self.layers:
            x = layer(x, mask, src_key_padding_mask, bool(is_causal))
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """Copies of a layer on top of each other, as `torch.nn.TransformerDecoder`.

    Args:
        decoder_layer: A `TransformerDecoderLayer`, which is copied.
        num_layers: The number of copies.
        norm: A module for the result, or None.

    Example:
        >>> layer = dlc.nn.TransformerDecoderLayer(8, 2, dim_feedforward=16)
        >>> x = dlc.ones((5, 3, 8))
        >>> dlc.nn.TransformerDecoder(layer, 2)(x, x, tgt_is_causal=True).shape
        (5, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Any = None) -> None:
        (count,) = positive("TransformerDecoder", num_layers=num_layers)
        self.layers = _copies(decoder_layer, count)
        self.norm = norm

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """The result of the last layer; each is given `memory` and the masks."""
        x = tgt
        for layer in self.layers:
            x = layer(
                x, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
                bool(tgt_is_causal), memory_is_causal,
            )  # fmt: skip
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """An encoder and a decoder (Vaswani et al., 2017), as `torch.nn.Transformer`.

    Args:
        d_model: The last extent of inputs and results.
        nhead: The number of heads.
        num_encoder_layers, num_decoder_layers: The numbers of layers.
        dim_feedforward: The extent between the two layers of the network.
        dropout: The probability of dropout.
        activation: "relu", "gelu", another name or a function.
        custom_encoder, custom_decoder: Modules to take the places of those made here.
        layer_norm_eps: What is added to variances.
        batch_first: Whether inputs and outputs are [batch, time, ...].
        norm_first: Whether the blocks' inputs are normalised, and not the sums.
        bias: Whether linear layers and norms have biases.
        dtype: The element type of the parameters.

    Example:
        >>> model = dlc.nn.Transformer(8, 2, 1, 1, dim_feedforward=16)
        >>> model(dlc.ones((5, 3, 8)), dlc.ones((4, 3, 8))).shape
        (4, 3, 8)
    """

    def __init__(  # noqa: PLR0913, PLR0917  PyTorch's arguments
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        settings = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias, dtype,
        )  # fmt: skip

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)

        self.encoder, self.decoder = custom_encoder, custom_decoder
        if custom_encoder is None:
            layer = TransformerEncoderLayer(*settings)
            self.encoder = TransformerEncoder(layer, num_encoder_layers, norm())
        if custom_decoder is None:
            layer = TransformerDecoderLayer(*settings)
            self.decoder = TransformerDecoder(layer, num_decoder_layers, norm())
        init = initializers.xavier_uniform(outputs_first=True)
        for p in self.parameters():
            if len(p.shape) > 1:
                p.assign(init(p.shape, p.dtype))
        self.d_model, self.nhead, self.batch_first = d_model, nhead, bool(batch_first)

    def forward(  # noqa: PLR0913, PLR0917  PyTorch's arguments
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """The decoder's result for `tgt`, which reads what the encoder makes of `src`."""
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
            tgt_is_causal, memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, dtype: Any = None) -> dlc.Tensor:
        """[sz, sz]: -inf above the diagonal, 0 elsewhere; added to scores, it is causal."""
        return dlc.triu(dlc.full((sz, sz), -math.inf, dtype=dtype or dlc.float32), k=1)
