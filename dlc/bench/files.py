"""Arrays as files, between the processes of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dlc.bench.problem import Array

_SHARED_MEMORY = Path("/dev/shm")


def save_arrays(folder: Path, name: str, arrays: Iterable[Array]) -> None:
    """Writes NAME.0.npy, NAME.1.npy, and so on."""
    for k, array in enumerate(arrays):
        np.save(folder / f"{name}.{k}.npy", array, allow_pickle=False)


def load_arrays(folder: Path, name: str) -> list[Array]:
    """What `save_arrays` wrote."""
    arrays: list[Array] = []
    while (path := folder / f"{name}.{len(arrays)}.npy").exists():
        arrays.append(np.load(path, allow_pickle=False))
    return arrays


def remove_arrays(folder: Path, name: str) -> None:
    """Removes what `save_arrays` wrote."""
    for path in folder.glob(f"{name}.*.npy"):
        path.unlink()


def scratch_folder() -> str | None:
    """Where temporary files are in memory; None where that is not known."""
    return str(_SHARED_MEMORY) if os.access(_SHARED_MEMORY, os.W_OK) else None
