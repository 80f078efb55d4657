"""Errors of ONNX models: each names the node, or what of the file is wrong."""

from __future__ import annotations

from collections.abc import Iterable

from dlc.ir.errors import DlcError


class OnnxError(DlcError, ValueError):
    """A model that cannot be read or run."""


def unsupported(operators: Iterable[tuple[str, str, int]]) -> OnnxError:
    """All operators that have no row, at once: (domain, name, opset version)."""
    listed = sorted(set(operators))
    lines = [
        f"  {domain or 'ai.onnx'}.{name} (opset {version})" for domain, name, version in listed
    ]
    return OnnxError(
        "\n".join([f"the model has {len(listed)} operators that dlc does not know:", *lines]),
        hint="write them as local functions of the model, or ask for them",
    )
