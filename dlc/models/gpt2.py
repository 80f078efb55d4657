"""GPT-2 (Radford et al., 2019), with the names of the weights published for it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import dlc
from dlc import nn
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.models import generation
from dlc.models.settings import Config, FromConfig, State, activation, normal_weights
from dlc.nn.functional.arguments import tensor


@dataclasses.dataclass(frozen=True)
class GPT2Config(Config):
    """The settings of GPT-2, by the names of its config.json; at first those of 124M parameters.

    Attributes:
        vocab_size: The number of tokens that there are.
        n_positions: The greatest number of tokens of a text.
        n_embd: The extent of the state.
        n_layer: The number of blocks.
        n_head: The number of heads.
        n_inner: The extent inside of blocks; 4 * n_embd for None.
        activation_function: The activation there.
        resid_pdrop, embd_pdrop, attn_pdrop: Probabilities of dropout.
        layer_norm_epsilon: What is added to variances.
        initializer_range: The deviation of first weights.
        tie_word_embeddings: Whether the last layer has the weights of the embedding.
    """

    only: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
    }

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True


class _Product(nn.Module):
    """x @ weight + bias: a linear layer whose weight is [inputs, outputs], as published."""

    def __init__(self, inputs: int, outputs: int, deviation: float) -> None:
        init = nn.initializers.normal(0.0, deviation)
        self.weight = nn.Parameter(init((inputs, outputs), dlc.float32), "weight")
        self.bias = nn.Parameter(dlc.zeros((outputs,)), "bias")

    def forward(self, x: Any) -> Any:
        """The product of x [..., inputs]."""
        return x @ self.weight + self.bias


class _Attention(nn.Module):
    """Attention of each token to those before it."""

    def __init__(self, config: GPT2Config) -> None:
        n, deviation = config.n_embd, config.initializer_range
        self.heads = config.n_head
        self.c_attn = _Product(n, 3 * n, deviation)
        self.c_proj = _Product(n, n, deviation / (2 * config.n_layer) ** 0.5)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Any, kept: Any, place: Any) -> tuple[Any, Any]:
        """The attention, and keys and values: those of x, or `kept` with those of x at `place`."""
        q, k, v = (self._split(t) for t in dlc.split(self.c_attn(x), 3, axis=-1))
        if kept is not None:
            k, v = (generation.written(a, b, place) for a, b in zip(kept, (k, v), strict=True))
        out = self._attend(q, k, v, place)
        out = dlc.moveaxis(out, 1, 2).reshape(*x.shape)
        return self.resid_dropout(self.c_proj(out)), (k, v)

    def _split(self, x: Any) -> Any:
        y = x.reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads)
        return dlc.moveaxis(y, 2, 1)

    def _attend(self, q: Any, k: Any, v: Any, place: Any) -> Any:
        dropping = self.training and self.attn_dropout.p > 0
        if place is None and not dropping:
            return dlc.scaled_dot_product_attention(q, k, v, is_causal=True)
        queries = dlc.arange(q.shape[2]) + (0 if place is None else place)
        mask = dlc.arange(k.shape[2]) <= queries[:, None]
        if not dropping:
            return dlc.scaled_dot_product_attention(q, k, v, mask)
        return self.attn_dropout(nn.attention_weights(q, k, mask)) @ v


class _Network(nn.Module):
    """Two layers."""

    def __init__(self, config: GPT2Config) -> None:
        n, deviation = config.n_embd, config.initializer_range
        inner = config.n_inner or 4 * n
        self.c_fc = _Product(n, inner, deviation)
        self.c_proj = _Product(inner, n, deviation / (2 * config.n_layer) ** 0.5)
        self.act, self.dropout = config.activation_function, nn.Dropout(config.resid_pdrop)
        activation(self.act)

    def forward(self, x: Any) -> Any:
        """The network of x [..., n_embd]."""
        return self.dropout(self.c_proj(activation(self.act)(self.c_fc(x))))


class _Block(nn.Module):
    """Attention and a network, each added to its input."""

    def __init__(self, config: GPT2Config) -> None:
        self.ln_1 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.attn = _Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.mlp = _Network(config)

    def forward(self, x: Any, kept: Any, place: Any) -> tuple[Any, Any]:
        """The block, and its keys and values."""
        found, held = self.attn(self.ln_1(x), kept, place)
        x = x + found
        return x + self.mlp(self.ln_2(x)), held


_PARTS = re.compile(r"(?:wte|wpe|h|ln_f)\.")
_CONSTANTS = re.compile(r"h\.\d+\.attn\.(?:masked_)?bias$")  # of old files: a mask


class GPT2Model(FromConfig):
    """GPT-2 without its last layer: a state for each token.

    Args:
        config: The settings; those of 124M parameters for None.

    Example:
        >>> config = dlc.models.GPT2Config(vocab_size=50, n_embd=8, n_layer=1, n_head=2)
        >>> dlc.models.GPT2Model(config)(dlc.asarray([[3, 1, 4]])).shape
        (1, 3, 8)
    """

    config_class = GPT2Config
    config: GPT2Config

    def __init__(self, config: GPT2Config | None = None) -> None:
        self.config = c = config or GPT2Config()
        if c.n_embd % c.n_head:
            raise ValueRangeError(f"GPT-2 with n_embd={c.n_embd} and n_head={c.n_head}")
        with nn.initializers.skip_init():
            self.wte = nn.Embedding(c.vocab_size, c.n_embd)
            self.wpe = nn.Embedding(c.n_positions, c.n_embd)
        self.drop = nn.Dropout(c.embd_pdrop)
        self.h = nn.ModuleList(_Block(c) for _ in range(c.n_layer))
        self.ln_f = nn.LayerNorm(c.n_embd, c.layer_norm_epsilon)
        normal_weights(self, c.initializer_range)

    def forward(self, input_ids: Any) -> Any:
        """The states [batch, time, n_embd] of tokens [batch, time]."""
        return self.with_kept(input_ids)[0]

    def with_kept(self, input_ids: Any, kept: Any = None, place: Any = None) -> tuple[Any, Any]:
        """The states, and the keys and values of all blocks.

        Args:
            input_ids: Integers [batch, time].
            kept: Pairs of keys and values [batch, heads, length, extent] of tokens before.
            place: Where those of `input_ids` begin.
        """
        x = tensor(input_ids)
        time = x.shape[-1] if len(x.shape) == 2 else None
        limit = self.config.n_positions
        if time is None or (isinstance(time, int) and time > limit):
            raise ShapeError(
                f"GPT-2 of tokens of shape {tuple(x.shape)}: they are [batch, time], of at most "
                f"{limit} steps"
            )
        places = dlc.arange(time) + (0 if place is None else place)
        y = self.drop(self.wte(x) + self.wpe(places))
        held: list[Any] = []
        for k, block in enumerate(self.h):
            y, new = block(y, None if kept is None else kept[k], place)
            held.append(new)
        return self.ln_f(y), held

    def adapted(self, state: State) -> State:
        """Names without the prefix of the model with a last layer, and without constants."""
        found = {name.removeprefix("transformer."): x for name, x in state.items()}
        found.pop("lm_head.weight", None)
        return {name: x for name, x in found.items() if not _CONSTANTS.match(name)}


class GPT2LMHeadModel(FromConfig):
    """GPT-2: the scores of the next token, for each token.

    Args:
        config: The settings; those of 124M parameters for None.

    Example:
        >>> config = dlc.models.GPT2Config(vocab_size=50, n_embd=8, n_layer=1, n_head=2)
        >>> model = dlc.models.GPT2LMHeadModel(config).eval()
        >>> model(dlc.asarray([[3, 1, 4]])).shape
        (1, 3, 50)
        >>> model.generate([[3, 1, 4]], max_new_tokens=5).shape
        (1, 8)
    """

    config_class = GPT2Config
    config: GPT2Config

    def __init__(self, config: GPT2Config | None = None) -> None:
        self.transformer = GPT2Model(config)
        self.config = c = self.transformer.config
        with nn.initializers.skip_init():
            self.lm_head = nn.Linear(c.n_embd, c.vocab_size, bias=False)
        if c.tie_word_embeddings:
            self.lm_head.weight = self.transformer.wte.weight
        else:
            normal_weights(self.lm_head, c.initializer_range)

    def forward(self, input_ids: Any) -> Any:
        """The scores [batch, time, vocab_size] of tokens [batch, time]."""
        return self.lm_head(self.transformer(input_ids))

    def generate(
        self,
        input_ids: Any,
        max_new_tokens: int,
        temperature: float = 0.0,
        top_k: int | None = None,
        key: Any = None,
    ) -> dlc.Tensor:
        """Tokens, and those that follow; see `dlc.models.generation`.

        Args:
            input_ids: Integers [batch, time].
            max_new_tokens: How many tokens follow.
            temperature: What scores are divided by before a token is drawn; with 0 it is the one
                with the highest score.
            top_k: Of how many tokens, those with the highest scores, one is drawn; of all for None.
            key: A random key; the global generator for None.

        Returns:
            Integers [batch, time + max_new_tokens].

        Raises:
            ShapeError: for more tokens in all than the model has places.
            ValueRangeError: for settings out of range.
        """
        x, limit = tensor(input_ids), self.config.n_positions
        if len(x.shape) != 2 or x.shape[1] + max_new_tokens > limit:
            raise ShapeError(
                f"{max_new_tokens} new tokens after tokens of shape {tuple(x.shape)}: these are "
                f"[batch, time], and there are {limit} places"
            )
        return generation.generate(self, x, max_new_tokens, temperature, top_k, key)

    def step(self, tokens: Any, kept: Any = None, place: Any = None) -> tuple[Any, Any]:
        """The scores after the last token, and keys and values; see `GPT2Model.with_kept`."""
        states, held = self.transformer.with_kept(tokens, kept, place)
        return self.lm_head(states[:, -1]), held

    def adapted(self, state: State) -> State:
        """Names with the prefix that published files leave out, and without constants."""
        found = {
            f"transformer.{name}" if _PARTS.match(name) else name: x for name, x in state.items()
        }
        table = found.get("transformer.wte.weight")
        if self.config.tie_word_embeddings and table is not None:
            found["lm_head.weight"] = table
        return {
            name: x
            for name, x in found.items()
            if not _CONSTANTS.match(name.removeprefix("transformer."))
        }
