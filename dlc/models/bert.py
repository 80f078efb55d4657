"""BERT (Devlin et al., 2018), with the names of the weights published for it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import dlc
from dlc import nn
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.models.settings import (
    Config,
    FromConfig,
    State,
    activation,
    label_count,
    normal_weights,
)
from dlc.nn.functional.arguments import tensor


@dataclasses.dataclass(frozen=True)
class BertConfig(Config):
    """The settings of BERT, by the names of its config.json; at first those of BERT-base.

    Attributes:
        vocab_size: The number of tokens that there are.
        hidden_size: The extent of the state.
        num_hidden_layers: The number of layers.
        num_attention_heads: The number of heads.
        intermediate_size: The extent inside of layers.
        hidden_act: The activation there.
        hidden_dropout_prob, attention_probs_dropout_prob: Probabilities of dropout.
        max_position_embeddings: The greatest number of tokens of a text.
        type_vocab_size: The number of kinds of segments.
        layer_norm_eps: What is added to variances.
        initializer_range: The deviation of first weights.
        num_labels: The number of classes of `BertForSequenceClassification`.
    """

    only: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
    }

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    num_labels: int = 2

    @classmethod
    def from_dict(cls, given: Any) -> BertConfig:
        """The settings; as many classes as there are names in `id2label`, where it is there."""
        return super().from_dict({"num_labels": label_count(given, cls.num_labels), **given})


class _Embeddings(nn.Module):
    """The sum of three embeddings."""

    def __init__(self, c: BertConfig) -> None:
        self.word_embeddings = nn.Embedding(c.vocab_size, c.hidden_size)
        self.position_embeddings = nn.Embedding(c.max_position_embeddings, c.hidden_size)
        self.token_type_embeddings = nn.Embedding(c.type_vocab_size, c.hidden_size)
        self.LayerNorm = nn.LayerNorm(c.hidden_size, c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)

    def forward(self, tokens: Any, types: Any) -> Any:
        """The states of tokens [batch, time]."""
        places = self.position_embeddings(dlc.arange(tokens.shape[1]))
        kinds = dlc.zeros_like(tokens) if types is None else tensor(types)
        total = self.word_embeddings(tokens) + places + self.token_type_embeddings(kinds)
        return self.dropout(self.LayerNorm(total))


class SelfAttention(nn.Module):
    """Attention of each token to all, with a layer each for queries, keys and values."""

    def __init__(self, extent: int, heads: int, dropout: float, bias: bool = True) -> None:
        if extent % heads:
            raise ValueRangeError(f"attention of {heads} heads to an extent of {extent}")
        self.query = nn.Linear(extent, extent, bias)
        self.key = nn.Linear(extent, extent, bias)
        self.value = nn.Linear(extent, extent, bias)
        self.heads, self.dropout = heads, nn.Dropout(dropout)

    def forward(self, x: Any, mask: Any = None) -> Any:
        """The attention of [batch, time, extent]; `mask` is True where a key takes part."""
        q, k, v = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        if self.training and self.dropout.p:
            out = self.dropout(nn.attention_weights(q, k, mask)) @ v
        else:
            out = dlc.scaled_dot_product_attention(q, k, v, mask)
        return dlc.moveaxis(out, 1, 2).reshape(*x.shape)

    def _split(self, x: Any) -> Any:
        y = x.reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads)
        return dlc.moveaxis(y, 2, 1)


class _Sum(nn.Module):
    """A layer, added to what came before and normalised."""

    def __init__(self, c: BertConfig, inputs: int) -> None:
        self.dense = nn.Linear(inputs, c.hidden_size)
        self.LayerNorm = nn.LayerNorm(c.hidden_size, c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)

    def forward(self, x: Any, before: Any) -> Any:
        """The normalised sum."""
        return self.LayerNorm(self.dropout(self.dense(x)) + before)


class _Layer(nn.Module):
    """Attention and two layers."""

    def __init__(self, c: BertConfig) -> None:
        heads, dropout = c.num_attention_heads, c.attention_probs_dropout_prob
        self.attention = nn.ModuleDict({
            "self": SelfAttention(c.hidden_size, heads, dropout),
            "output": _Sum(c, c.hidden_size),
        })  # fmt: skip
        dense = nn.Linear(c.hidden_size, c.intermediate_size)
        self.intermediate = nn.ModuleDict({"dense": dense})
        self.output = _Sum(c, c.intermediate_size)
        self.act = c.hidden_act
        activation(self.act)

    def forward(self, x: Any, mask: Any) -> Any:
        """The layer of states [batch, time, extent]."""
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(activation(self.act)(self.intermediate["dense"](x)), x)


class _Encoder(nn.Module):
    """Layers on top of each other."""

    def __init__(self, c: BertConfig) -> None:
        self.layer = nn.ModuleList(_Layer(c) for _ in range(c.num_hidden_layers))

    def forward(self, x: Any, mask: Any) -> Any:
        """The states after the last layer."""
        for layer in self.layer:
            x = layer(x, mask)
        return x


_OLD = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_CONSTANTS = re.compile(r"(?:.*\.)?embeddings\.position_ids$")


def _renamed(state: State, without: str = "") -> dict[str, Any]:
    """Names of today, without those that match."""
    found: dict[str, Any] = {}
    for name, x in state.items():
        for old, new in _OLD.items():
            name = name.removesuffix(old) + new if name.endswith(old) else name  # noqa: PLW2901
        if not _CONSTANTS.match(name) and not (without and re.match(without, name)):
            found[name] = x
    return found


class BertModel(FromConfig):
    """BERT: a state for each token, and one for the text.

    Args:
        config: The settings; those of BERT-base for None.
        add_pooling_layer: Whether there is a state for the text.

    Example:
        >>> config = dlc.models.BertConfig(50, 8, 1, 2, 16)
        >>> states, text = dlc.models.BertModel(config)(dlc.asarray([[3, 1, 4]]))
        >>> states.shape, text.shape
        ((1, 3, 8), (1, 8))
    """

    config_class = BertConfig
    config: BertConfig

    def __init__(self, config: BertConfig | None = None, add_pooling_layer: bool = True) -> None:
        self.config = c = config or BertConfig()
        self.pooler: Any = None
        with nn.initializers.skip_init():
            self.embeddings, self.encoder = _Embeddings(c), _Encoder(c)
            if add_pooling_layer:
                self.pooler = nn.ModuleDict({"dense": nn.Linear(c.hidden_size, c.hidden_size)})
        normal_weights(self, c.initializer_range)

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> tuple[Any, Any]:
        """The states [batch, time, extent], and that of the text [batch, extent] or None.

        Args:
            input_ids: Integers [batch, time].
            attention_mask: [batch, time]: 0 or False for tokens that are padding.
            token_type_ids: Integers [batch, time]: the kind of the segment; 0 for None.
        """
        x, limit = tensor(input_ids), self.config.max_position_embeddings
        if len(x.shape) != 2 or (isinstance(x.shape[1], int) and x.shape[1] > limit):
            raise ShapeError(
                f"BERT of tokens of shape {tuple(x.shape)}: they are [batch, time], of at most "
                f"{limit} steps"
            )
        mask = None if attention_mask is None else (tensor(attention_mask) != 0)[:, None, None]
        states = self.encoder(self.embeddings(x, token_type_ids), mask)
        text = None if self.pooler is None else dlc.tanh(self.pooler["dense"](states[:, 0]))
        return states, text

    def adapted(self, state: State) -> State:
        """Names without the prefix of models with a head, and without the head."""
        bare = {name.removeprefix("bert."): x for name, x in state.items()}
        return _renamed(bare, r"cls\.|classifier\." + ("" if self.pooler else r"|pooler\."))


class _Predictions(nn.Module):
    """The scores of tokens, by the table of the embedding."""

    def __init__(self, c: BertConfig, table: dlc.Variable) -> None:
        self.transform = nn.ModuleDict({
            "dense": nn.Linear(c.hidden_size, c.hidden_size),
            "LayerNorm": nn.LayerNorm(c.hidden_size, c.layer_norm_eps),
        })  # fmt: skip
        self.bias = nn.Parameter(dlc.zeros((c.vocab_size,)), "bias")
        self.decoder = nn.Linear(c.hidden_size, c.vocab_size)
        self.decoder.weight, self.decoder.bias = table, self.bias
        self.act = c.hidden_act

    def forward(self, states: Any) -> Any:
        """The scores of states [..., extent]."""
        x = activation(self.act)(self.transform["dense"](states))
        return self.decoder(self.transform["LayerNorm"](x))


class BertForMaskedLM(FromConfig):
    """BERT with the layer that it was trained with: the scores of the token at each place.

    Args:
        config: The settings; those of BERT-base for None.

    Example:
        >>> config = dlc.models.BertConfig(50, 8, 1, 2, 16)
        >>> dlc.models.BertForMaskedLM(config)(dlc.asarray([[3, 1, 4]])).shape
        (1, 3, 50)
    """

    config_class = BertConfig
    config: BertConfig

    def __init__(self, config: BertConfig | None = None) -> None:
        self.bert = BertModel(config, add_pooling_layer=False)
        self.config = c = self.bert.config
        table = self.bert.embeddings.word_embeddings.weight
        self.cls = nn.ModuleDict({"predictions": _Predictions(c, table)})
        normal_weights(self.cls, c.initializer_range)

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> Any:
        """The scores [batch, time, vocab_size]; arguments as of `BertModel`."""
        states, _ = self.bert(input_ids, attention_mask, token_type_ids)
        return self.cls["predictions"](states)

    def adapted(self, state: State) -> State:
        """Names of today; what published files have of other heads is left out."""
        found = _renamed(state, r"bert\.pooler\.|cls\.seq_relationship\.")
        table = found.get("bert.embeddings.word_embeddings.weight")
        bias = found.get("cls.predictions.bias")
        for name, x in (("weight", table), ("bias", bias)):
            if x is not None:
                found[f"cls.predictions.decoder.{name}"] = x
        return found


class BertForSequenceClassification(FromConfig):
    """BERT with a layer for the classes of texts.

    Args:
        config: The settings; those of BERT-base for None.

    Example:
        >>> config = dlc.models.BertConfig(50, 8, 1, 2, 16, num_labels=3)
        >>> dlc.models.BertForSequenceClassification(config)(dlc.asarray([[3, 1, 4]])).shape
        (1, 3)
    """

    config_class = BertConfig
    config: BertConfig

    def __init__(self, config: BertConfig | None = None) -> None:
        self.bert = BertModel(config)
        self.config = c = self.bert.config
        self.dropout = nn.Dropout(c.hidden_dropout_prob)
        self.classifier = nn.Linear(c.hidden_size, c.num_labels)
        normal_weights(self.classifier, c.initializer_range)

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> Any:
        """The scores [batch, num_labels]; arguments as of `BertModel`."""
        _, text = self.bert(input_ids, attention_mask, token_type_ids)
        return self.classifier(self.dropout(text))

    def adapted(self, state: State) -> State:
        """Names of today."""
        return _renamed(state)
