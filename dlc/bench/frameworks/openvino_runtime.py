"""OpenVINO's CPU plugin."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from dlc.bench.frameworks.onnx_models import model_of
from dlc.bench.problem import Array, Arrays, Case, Program, as_arrays

openvino: Any = importlib.import_module("openvino")


class OpenVino:
    """Models compiled for latency, at float32, which would not be the default everywhere."""

    def __init__(self, threads: int) -> None:
        self.core = openvino.Core()
        self.options = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }

    def settings(self) -> dict[str, str]:
        """Version and properties."""
        options = {name.lower(): str(value) for name, value in self.options.items()}
        return {"openvino": openvino.__version__, **options}

    def array(self, array: Array) -> Array:
        """The array."""
        return array

    def program(self, case: Case, constants: Sequence[Array]) -> Program | None:
        """A compiled model: inputs are not copied, outputs are fresh."""
        model = model_of(case, constants)
        if model is None:
            return None
        compiled = self.core.compile_model(self.core.read_model(model), "CPU", self.options)
        return lambda *arguments: compiled(list(arguments), share_inputs=True, share_outputs=False)

    def arrays(self, result: Any) -> Arrays:
        """The results."""
        return as_arrays(list(result.values()))


def start(threads: int, cache: str) -> OpenVino:
    """OpenVINO."""
    return OpenVino(threads)
