"""Weights in files: safetensors, which hold names, types and numbers, and no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlc.frontend import safetensors
from dlc.ir.errors import ValueRangeError

NOT_BUILT = "layers make their parameters when they are first called: call the model before"
SUFFIX = ".safetensors"
_OTHERS = {
    (".pt", ".pth", ".bin", ".ckpt", ".pkl"): safetensors.CONVERT_TORCH,
    (".h5", ".hdf5", ".keras"): "Keras writes a file that load_weights reads by "
    'model.save_weights("name.weights.h5")',
    (".npz",): "dlc.safetensors.save_file(dict(numpy.load(name)), "
    '"weights.safetensors") converts it',
}


def _path(given: str | os.PathLike[str]) -> Path:
    path = Path(given)
    if path.suffix == SUFFIX:
        return path
    hint = next((h for suffixes, h in _OTHERS.items() if path.suffix in suffixes), None)
    raise ValueRangeError(
        f"weights in {str(path)!r}: the name must end in {SUFFIX}",
        hint=hint or f"use {path.with_suffix(SUFFIX).name!r}",
    )


def save(state: Mapping[str, Any], given: str | os.PathLike[str]) -> None:
    """Writes tensors by name; the file is there as a whole or not at all.

    Raises:
        ValueRangeError: for a name that does not end in .safetensors.
        SaveError: when it cannot be written; what was there before is still there.
    """
    safetensors.save_file(state, _path(given))


def load(given: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads tensors by name.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueRangeError: for a name that does not end in .safetensors.
        FileFormatError: for a file that is cut off or no safetensors file.
    """
    return safetensors.load_tensors(_path(given))
