"""Arrays for results: large ones in memory that results before them have given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir.types import DType
from dlc.runtime.buffers import empty, too_large
from dlc.runtime.entry_type import native_support
from dlc.runtime.native.entry_layout import SIZE_CLASSES

_LARGE = 64 << (SIZE_CLASSES - 1)  # bytes up to which memory of one's own costs little


def empty_result(shape: Sequence[int], dtype: DType) -> np.ndarray[Any, Any]:
    """As `buffers.empty`."""
    size = dtype.itemsize
    for d in shape:
        size *= d
    support = native_support() if size > _LARGE else None
    if support is None:
        return empty(shape, dtype)
    try:
        raw = support.buffer(size)
    except MemoryError:
        raise too_large(shape, dtype, size) from None
    return np.ndarray(shape, dtype.numpy, raw)
