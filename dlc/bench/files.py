"""Arrays as files, between the processes of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from dlc.bench.problem import Array

Folder: TypeAlias = "str | os.PathLike[str]"

_SHARED_MEMORY = "/dev/shm"


def save_arrays(folder: Folder, name: str, arrays: Iterable[Array]) -> None:
    """Writes NAME.0.npy, NAME.1.npy, and so on."""
    for k, array in enumerate(arrays):
        np.save(_file(folder, name, k), array, allow_pickle=False)


def load_arrays(folder: Folder, name: str) -> list[Array]:
    """What `save_arrays` wrote."""
    arrays: list[Array] = []
    while os.path.exists(path := _file(folder, name, len(arrays))):
        arrays.append(np.load(path, allow_pickle=False))
    return arrays


def remove_arrays(folder: Folder, name: str) -> None:
    """Removes what `save_arrays` wrote."""
    for k in range(len(os.listdir(folder))):
        if os.path.exists(path := _file(folder, name, k)):
            os.unlink(path)


def scratch_folder() -> str | None:
    """Where temporary files are in memory; None where that is not known."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None


def _file(folder: Folder, name: str, number: int) -> str:
    return os.path.join(folder, f"{name}.{number}.npy")
