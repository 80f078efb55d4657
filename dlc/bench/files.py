"""Arrays as files, between the processes of a run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from dlc.bench.problem import Array

Folder: TypeAlias = "str | os.PathLike[str]"

_SHARED_MEMORY = "/dev/shm"
_ALIGNMENT = 64  # bytes; what frameworks ask for to use memory as it is


def save_arrays(folder: Folder, name: str, arrays: Iterable[Array]) -> None:
    """Writes NAME.bin, all arrays one after the other, and NAME.json, which says where they are."""
    places: list[tuple[str, list[int], int]] = []
    data, contents = _files(folder, name)
    with open(data, "wb") as file:
        for array in map(np.asarray, arrays):
            places.append((array.dtype.str, list(array.shape), file.tell()))
            file.write(np.ascontiguousarray(array).tobytes())
            file.write(bytes(_ALIGNMENT - file.tell() % _ALIGNMENT))
    with open(contents, "w", encoding="utf-8") as file:
        json.dump(places, file)


def load_arrays(folder: Folder, name: str, *, mapped: bool = False) -> list[Array]:
    """What `save_arrays` wrote: in memory of their own, or mapped, at aligned addresses."""
    data, contents = _files(folder, name)
    with open(contents, encoding="utf-8") as file:
        places: list[tuple[str, list[int], int]] = json.load(file)
    if not mapped or not places:
        return [_read(data, *place) for place in places]
    whole: Any = np.memmap(data, np.uint8, mode="c")
    return [np.ndarray(shape, dtype, whole, offset) for dtype, shape, offset in places]


def _read(path: str, dtype: str, shape: list[int], offset: int) -> Array:
    return np.fromfile(path, dtype, math.prod(shape), offset=offset).reshape(shape)


def remove_arrays(folder: Folder, name: str) -> None:
    """Removes what `save_arrays` wrote."""
    for path in _files(folder, name):
        os.unlink(path)


def scratch_folder() -> str | None:
    """Where temporary files are in memory; None where that is not known."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None


def _files(folder: Folder, name: str) -> tuple[str, str]:
    return os.path.join(folder, f"{name}.bin"), os.path.join(folder, f"{name}.json")
