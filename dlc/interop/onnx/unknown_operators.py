"""What is said of a model with operators that dlc does not know."""

from __future__ import annotations

from collections.abc import Iterable

from dlc.ir.errors import ModelError


def unsupported(operators: Iterable[tuple[str, str, int]]) -> ModelError:
    """All operators that have no row, at once: (domain, name, opset version)."""
    found = sorted(set(operators))
    lines = [f"  {domain or 'ai.onnx'}.{name} (opset {version})" for domain, name, version in found]
    return ModelError(
        "\n".join([f"the model has {len(found)} operators that dlc does not know:", *lines]),
        hint="write them as local functions of the model, or use other operators",
    )
