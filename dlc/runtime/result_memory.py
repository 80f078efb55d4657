"""Arrays for results: large ones in memory that results before them have given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.ir.deferred import deferred
from dlc.ir.types import DType
from dlc.runtime.buffers import empty, too_large
from dlc.runtime.native.entry_layout import SIZE_CLASSES

# Not needed by a process that calls nothing twice.
if TYPE_CHECKING:
    from dlc.runtime import entry_type
else:
    entry_type = deferred("dlc.runtime.entry_type")

_LARGE = 64 << (SIZE_CLASSES - 1)  # bytes up to which memory of one's own costs little


def empty_result(
    shape: Sequence[int], dtype: DType, *, repeated: bool = True
) -> np.ndarray[Any, Any]:
    """As `buffers.empty`.

    repeated: whether others like it came before. The first one is not worth the wait for native
        code that this process has not needed so far.
    """
    size = dtype.itemsize
    for d in shape:
        size *= d
    support = None
    if size > _LARGE and (repeated or entry_type):
        support = entry_type.native_support() if repeated else entry_type.made_support()
    if support is None:
        return empty(shape, dtype)
    try:
        raw = support.buffer(size)
        return np.ndarray(shape, dtype.numpy, raw)
    except (MemoryError, ValueError):  # ValueError: more than NumPy can count
        raise too_large(shape, dtype, size) from None
