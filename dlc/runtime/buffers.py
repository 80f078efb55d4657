"""Memory for tensors on the CPU: NumPy arrays whose data starts at a multiple of 64 bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir.errors import MemoryLimitError
from dlc.ir.types import DType

ALIGNMENT = 64


def empty(shape: Sequence[int], dtype: DType) -> np.ndarray[Any, Any]:
    """An uninitialised, C-contiguous, aligned array.

    MemoryLimitError when the system has not enough.
    """
    size = dtype.itemsize
    for d in shape:
        size *= d
    try:
        raw = np.empty(size + ALIGNMENT - 1, np.uint8)
    except (MemoryError, ValueError, OverflowError):
        raise MemoryLimitError(
            f"a tensor {dtype}[{','.join(map(str, shape))}] needs {size:,} bytes",
            hint="use a smaller batch or a narrower element type",
        ) from None
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype.numpy).reshape(shape)


def aligned_copy(array: np.ndarray[Any, Any], dtype: DType) -> np.ndarray[Any, Any]:
    """A copy of `array` in aligned memory of its own."""
    result = empty(array.shape, dtype)
    np.copyto(result, array, casting="unsafe")
    return result


def is_usable(array: np.ndarray[Any, Any]) -> bool:
    """Whether kernels can read `array` where it is."""
    return array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative
