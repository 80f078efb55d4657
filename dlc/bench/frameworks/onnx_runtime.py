"""ONNX Runtime on its CPU provider."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from dlc.bench.frameworks.onnx_models import model_of
from dlc.bench.problem import Array, Arrays, Case, Program, as_arrays

runtime: Any = importlib.import_module("onnxruntime")


class OnnxRuntime:
    """Sessions with all of its optimisations."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def settings(self) -> dict[str, str]:
        """Version, provider and threads."""
        return {
            "onnxruntime": runtime.__version__,
            "provider": "CPUExecutionProvider",
            "threads": str(self.threads),
        }

    def array(self, array: Array) -> Array:
        """The array."""
        return array

    def program(self, case: Case, constants: Sequence[Array]) -> Program | None:
        """A session's `run`."""
        model = model_of(case, constants)
        if model is None:
            return None
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [x.name for x in session.get_inputs()]
        return lambda *arguments: session.run(None, dict(zip(names, arguments, strict=True)))

    def arrays(self, result: Any) -> Arrays:
        """The results."""
        return as_arrays(result)


def start(threads: int, cache: str) -> OnnxRuntime:
    """ONNX Runtime."""
    return OnnxRuntime(threads)
