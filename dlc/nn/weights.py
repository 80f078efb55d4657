"""Weights in files: safetensors, which hold names, types and numbers, and no code."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlc.ir.errors import ArgumentError, ValueRangeError

SUFFIX = ".safetensors"


def _library() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError:
        raise ArgumentError(
            "weights are saved by the package safetensors, which is not installed",
            hint="pip install 'dlc[train]'",
        ) from None
    return safetensors.numpy


def _path(given: str | os.PathLike[str]) -> Path:
    path = Path(given)
    if path.suffix != SUFFIX:
        raise ValueRangeError(
            f"weights in {str(path)!r}: the name must end in {SUFFIX}",
            hint=f"use {path.with_suffix(SUFFIX).name!r}",
        )
    return path


def save(state: Mapping[str, Any], given: str | os.PathLike[str]) -> None:
    """Writes tensors by name; the file is there as a whole or not at all.

    Raises:
        ValueRangeError: for a name that does not end in .safetensors.
        OSError: when it cannot be written; what was there before is still there.
    """
    path = _path(given)
    library = _library()
    arrays = {name: t.numpy().copy() for name, t in state.items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(library.save(arrays))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def load(given: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads tensors by name, as arrays.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueRangeError: for a file that is cut off or no safetensors file.
    """
    path = _path(given)
    library = _library()
    data = path.read_bytes()
    try:
        return library.load(data)
    except Exception as error:  # noqa: BLE001  the library raises one of its own
        raise ValueRangeError(
            f"{str(path)!r} is no safetensors file, or is cut off: {error}"
        ) from None
