"""The interface of `onnx.backend`: prepare a model, run it, run a single node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.files import onnx_package
from dlc.interop.onnx.model import OnnxModel
from dlc.ir.errors import ModelError


class PreparedModel:
    """A model that is ready to run.

    Args:
        model: A path, bytes or a ModelProto.
        device: "CPU", or "CUDA:0".
        keywords: Those of `dlc.compile`.
    """

    def __init__(self, model: Any, device: str = "CPU", **keywords: Any) -> None:
        self.model = OnnxModel(model, device=_device(device), **keywords)

    def run(self, inputs: Any, **_kwargs: Any) -> tuple[Any, ...]:
        """The outputs as NumPy arrays, for a list of inputs or a dict of them."""
        given = inputs if isinstance(inputs, (Mapping, Sequence)) else [inputs]
        values = self.model(given) if isinstance(given, Mapping) else self.model(*given)
        return tuple(_array(v) for v in values)


def _array(value: Any) -> Any:
    if isinstance(value, list):
        return [_array(v) for v in value]
    return value if value is None else np.asarray(value)


def _device(name: str) -> str:
    kind, _, number = name.lower().partition(":")
    return kind if kind == "cpu" else f"{kind}:{number or 0}"


def prepare(model: Any, device: str = "CPU", **keywords: Any) -> PreparedModel:
    """A model that is ready to run, as `onnx.backend.base.Backend.prepare`."""
    return PreparedModel(model, device, **keywords)


def run_model(model: Any, inputs: Any, device: str = "CPU", **keywords: Any) -> tuple[Any, ...]:
    """The outputs of a model, as `onnx.backend.base.Backend.run_model`."""
    return prepare(model, device, **keywords).run(inputs)


def run_node(
    node: Any, inputs: Sequence[Any], device: str = "CPU", **keywords: Any
) -> tuple[Any, ...]:
    """The outputs of a single node, as `onnx.backend.base.Backend.run_node`."""
    onnx = onnx_package()
    arrays = [np.asarray(x) for x in inputs]
    helper = onnx.helper
    typed = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in zip(node.input, arrays, strict=True)
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = helper.make_graph([node], "node", typed, outputs)
    return run_model(helper.make_model(graph), arrays, device, **keywords)


def supports_device(device: str) -> bool:
    """Whether models can run on a device, such as "CPU" or "CUDA:0"."""
    return any(str(d) == _device(device) for d in dlc.devices())


def is_compatible(model: Any, device: str = "CPU", **_kwargs: Any) -> bool:
    """Whether a model has only operators that dlc knows, and the device is there."""
    try:
        OnnxModel(model)
    except ModelError:
        return False
    return supports_device(device)
