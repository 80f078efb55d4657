"""What `dlc.compile` takes besides functions: models of other programs, by their packages."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

# Names of classes, and the modules whose `load` makes a compiled function of their objects. Modules
# stand on a floor above: they are imported when such an object comes.
_DOORS = {
    "onnx.onnx_ml_pb2.ModelProto": "dlc.interop.onnx",
    "onnx.ModelProto": "dlc.interop.onnx",
    "torch.nn.modules.module.Module": "dlc.interop.torch",
    "torch.export.exported_program.ExportedProgram": "dlc.interop.torch",
}
_ONNX = "dlc.interop.onnx"


def door_of(given: Any) -> Callable[..., Any] | None:
    """The function that opens what was given to `compile`; None for what is no foreign model."""
    if isinstance(given, (str, os.PathLike, bytes, bytearray, memoryview)):
        return importlib.import_module(_ONNX).load
    for kind in type(given).__mro__:
        module = _DOORS.get(f"{kind.__module__}.{kind.__qualname__}")
        if module is not None:
            return importlib.import_module(module).load
    return None
