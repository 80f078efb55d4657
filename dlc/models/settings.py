"""What models share: settings by the names of config.json, first values, the names of weights."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import dlc
from dlc import nn
from dlc.ir.errors import ValueRangeError

State = Mapping[str, Any]
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": dlc.gelu,
    "gelu_new": lambda x: dlc.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: dlc.gelu(x, approximate=True),
    "relu": dlc.relu,
    "silu": dlc.silu,
    "tanh": dlc.tanh,
}


# Whether a value is of the type of a field, and not out of its range.
_FITS: dict[str, Callable[[Any], bool]] = {
    "int": lambda v: isinstance(v, numbers.Integral) and not isinstance(v, bool) and int(v) > 0,
    "float": lambda v: isinstance(v, numbers.Real) and not isinstance(v, bool) and float(v) >= 0,
    "str": lambda v: isinstance(v, str),
    "bool": lambda v: isinstance(v, bool),
    "None": lambda v: v is None,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The base of settings; a field with another value than one in `only` is an error.

    Raises:
        ValueRangeError: for a field of another type, integers below 1, and negative numbers.
    """

    only: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    def __post_init__(self) -> None:
        """Checks the fields: a file config.json may hold anything."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            fits = [_FITS[k] for k in str(field.type).split(" | ") if k in _FITS]
            if fits and not any(fit(value) for fit in fits):
                raise ValueRangeError(
                    f"{type(self).__name__}: {field.name} is {value!r}",
                    hint=f"it is {field.type}; integers begin at 1, other numbers at 0",
                )

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Settings from what a file config.json holds; what is no setting here is left out.

        Raises:
            ValueRangeError: for a setting that changes what the model computes and has a value that
                is not known here.
        """
        for name, values in cls.only.items():
            if given.get(name, values[0]) not in values:
                raise ValueRangeError(
                    f"{cls.__name__}: {name} is {given[name]!r}, here it is one of {values}"
                )
        names = {f.name for f in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in given.items() if k in names})


def label_count(given: Mapping[str, Any], otherwise: int) -> int:
    """As many classes as there are names in `id2label` of a file config.json, where it is there.

    Raises:
        ValueRangeError: It is there, and has no names.
    """
    labels = given.get("id2label")
    if labels is None:
        return otherwise
    if not isinstance(labels, Mapping):
        raise ValueRangeError(f"id2label is {labels!r}, here it has a name for each class")
    return len(labels)


class Published(nn.Module):
    """The base of models with published weights.

    `adapted` gives a state the names of this model: published files have been written by several
    versions of several programs.
    """

    def adapted(self, state: State) -> State:
        """The state with this model's names, without what is no part of this model."""
        return state


class FromConfig(Published):
    """The base of models that are made from settings."""

    config_class: ClassVar[type[Config]]

    @classmethod
    def from_config(cls, given: Mapping[str, Any]) -> Self:
        """A model with the settings of a file config.json, and random weights."""
        return cls(cls.config_class.from_dict(given))


def activation(name: str) -> Callable[[Any], Any]:
    """An activation by its name in config.json."""
    if name not in ACTIVATIONS:
        raise ValueRangeError(f"no activation {name!r}", hint=f"it is one of {list(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def normal_weights(model: nn.Module, deviation: float) -> None:
    """Normal weights of linear layers and embeddings, and zero biases, as BERT and GPT-2 have."""
    init = nn.initializers.normal(0.0, deviation)
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.assign(init(module.weight.shape, module.weight.dtype))
        bias = getattr(module, "bias", None)
        if isinstance(module, nn.Linear) and bias is not None:
            bias.assign(dlc.zeros_like(bias.data))


def convolution_weights(model: nn.Module) -> None:
    """He's normal weights of convolutions, by the number of outputs, and zero biases."""
    init = nn.initializers.variance_scaling(2.0, "fan_out", "normal", outputs_first=True)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.assign(init(module.weight.shape, module.weight.dtype))
            if module.bias is not None:
                module.bias.assign(dlc.zeros_like(module.bias.data))
