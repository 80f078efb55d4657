"""Vision transformers (Dosovitskiy et al., 2020), with the names of published weights."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import dlc
from dlc import nn
from dlc.ir.errors import ShapeError
from dlc.models.bert import SelfAttention
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
class ViTConfig(Config):
    """The settings of a ViT, by the names of its config.json; at first those of ViT-B/16.

    Attributes:
        hidden_size: The extent of the state.
        num_hidden_layers: The number of layers.
        num_attention_heads: The number of heads.
        intermediate_size: The extent inside of layers.
        hidden_act: The activation there.
        hidden_dropout_prob, attention_probs_dropout_prob: Probabilities of dropout.
        layer_norm_eps: What is added to variances.
        initializer_range: The deviation of first weights.
        image_size: The height and width of images.
        patch_size: Those of the patches that they are cut into.
        num_channels: The channels of images.
        qkv_bias: Whether queries, keys and values have biases.
        num_labels: The number of classes of `ViTForImageClassification`.
    """

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    image_size: int = 224
    patch_size: int = 16
    num_channels: int = 3
    qkv_bias: bool = True
    num_labels: int = 1000

    @classmethod
    def from_dict(cls, given: Any) -> ViTConfig:
        """The settings; the number of classes is that of the names in `id2label`, else 2."""
        return super().from_dict({"num_labels": label_count(given, 2), **given})


class _Embeddings(nn.Module):
    """A state for each patch, and one before them."""

    def __init__(self, c: ViTConfig) -> None:
        patches = (c.image_size // c.patch_size) ** 2
        init = nn.initializers.truncated_normal(0.0, c.initializer_range)
        extent = c.hidden_size
        self.cls_token = nn.Parameter(init((1, 1, extent), dlc.float32), "cls_token")
        places = init((1, patches + 1, extent), dlc.float32)
        self.position_embeddings = nn.Parameter(places, "position_embeddings")
        size = c.patch_size
        projection = nn.Conv2d(c.num_channels, extent, size, size)
        self.patch_embeddings = nn.ModuleDict({"projection": projection})
        self.dropout = nn.Dropout(c.hidden_dropout_prob)

    def forward(self, images: Any) -> Any:
        """The states [batch, patches + 1, extent]."""
        patches = self.patch_embeddings["projection"](images)
        rows = dlc.moveaxis(patches.reshape(*patches.shape[:2], -1), 1, 2)
        first = dlc.broadcast_to(self.cls_token, (rows.shape[0], 1, rows.shape[2]))
        return self.dropout(dlc.concatenate([first, rows], axis=1) + self.position_embeddings)


class _Layer(nn.Module):
    """Attention and two layers, whose inputs are normalised."""

    def __init__(self, c: ViTConfig) -> None:
        extent = c.hidden_size
        attention = SelfAttention(
            extent, c.num_attention_heads, c.attention_probs_dropout_prob, c.qkv_bias
        )
        self.attention = nn.ModuleDict({
            "attention": attention,
            "output": nn.ModuleDict({"dense": nn.Linear(extent, extent)}),
        })  # fmt: skip
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(extent, c.intermediate_size)})
        self.output = nn.ModuleDict({"dense": nn.Linear(c.intermediate_size, extent)})
        self.layernorm_before = nn.LayerNorm(extent, c.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(extent, c.layer_norm_eps)
        self.dropout, self.act = nn.Dropout(c.hidden_dropout_prob), c.hidden_act
        activation(self.act)

    def forward(self, x: Any) -> Any:
        """The layer of states [batch, patches, extent]."""
        found = self.attention["attention"](self.layernorm_before(x))
        x = x + self.dropout(self.attention["output"]["dense"](found))
        inner = activation(self.act)(self.intermediate["dense"](self.layernorm_after(x)))
        return x + self.dropout(self.output["dense"](inner))


# Names of version 5 of transformers, and the published ones.
_NEW = [
    (r"^(vit\.)?layers\.", r"\1encoder.layer."),
    (r"\.attention\.([qkv])_proj\.", lambda m: f".attention.attention.{_FULL[m[1]]}."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
]
_FULL = {"q": "query", "k": "key", "v": "value"}


def _renamed(state: State) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, x in state.items():
        held = name
        for pattern, new in _NEW:
            held = re.sub(pattern, new, held)
        if not re.match(r"(vit\.)?pooler\.", held):
            found[held] = x
    return found


class ViTModel(FromConfig):
    """A vision transformer without its last layer: a state for each patch and one before them.

    Args:
        config: The settings; those of ViT-B/16 for None.

    Example:
        >>> config = dlc.models.ViTConfig(8, 1, 2, 16, image_size=32)
        >>> dlc.models.ViTModel(config)(dlc.ones((1, 3, 32, 32))).shape
        (1, 5, 8)
    """

    config_class = ViTConfig
    config: ViTConfig

    def __init__(self, config: ViTConfig | None = None) -> None:
        self.config = c = config or ViTConfig()
        self.embeddings = _Embeddings(c)
        with nn.initializers.skip_init():
            layers = [_Layer(c) for _ in range(c.num_hidden_layers)]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        self.layernorm = nn.LayerNorm(c.hidden_size, c.layer_norm_eps)
        normal_weights(self, c.initializer_range)

    def forward(self, pixel_values: Any) -> Any:
        """The states [batch, patches + 1, extent] of images [batch, channels, height, width]."""
        x, c = tensor(pixel_values), self.config
        wanted = (c.num_channels, c.image_size, c.image_size)
        if len(x.shape) != 4 or tuple(x.shape[1:]) != wanted:
            raise ShapeError(
                f"a ViT of images of shape {tuple(x.shape)}: they are [batch, "
                f"{', '.join(map(str, wanted))}]"
            )
        states = self.embeddings(x)
        for layer in self.encoder["layer"]:
            states = layer(states)
        return self.layernorm(states)

    def adapted(self, state: State) -> State:
        """The published names, without the prefix of the model with a last layer."""
        found = {name.removeprefix("vit."): x for name, x in _renamed(state).items()}
        return {name: x for name, x in found.items() if not name.startswith("classifier.")}


class ViTForImageClassification(FromConfig):
    """A vision transformer: the scores of classes.

    Args:
        config: The settings; those of ViT-B/16 with 1000 classes for None.

    Example:
        >>> config = dlc.models.ViTConfig(8, 1, 2, 16, image_size=32, num_labels=5)
        >>> dlc.models.ViTForImageClassification(config)(dlc.ones((1, 3, 32, 32))).shape
        (1, 5)
    """

    config_class = ViTConfig
    config: ViTConfig

    def __init__(self, config: ViTConfig | None = None) -> None:
        self.vit = ViTModel(config)
        self.config = c = self.vit.config
        self.classifier = nn.Linear(c.hidden_size, c.num_labels)
        normal_weights(self.classifier, c.initializer_range)

    def forward(self, pixel_values: Any) -> Any:
        """The scores [batch, num_labels] of images [batch, channels, height, width]."""
        return self.classifier(self.vit(pixel_values)[:, 0])

    def adapted(self, state: State) -> State:
        """The published names."""
        return _renamed(state)
