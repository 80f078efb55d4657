"""Memory for tensors on the CPU: NumPy arrays whose data starts at a multiple of 64 bytes."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir.errors import MemoryLimitError, ShapeError
from dlc.ir.types import DType, TensorType, uint8
from dlc.runtime.gpu.array import GpuArray

ALIGNMENT = 64
HUGE_PAGE = 2 << 20
MAX_RANK = 64  # of NumPy's arrays
_MAX_BYTES = 2**62  # offsets are signed 64-bit integers


def check_size(type_: TensorType) -> None:
    """Refuses types whose extents, or number of dims, no machine can address.

    Raises:
        ShapeError: for more than 64 dims.
        MemoryLimitError: for more than 2**62 bytes.
    """
    shape = type_.shape
    if len(shape) > MAX_RANK:
        raise ShapeError(f"a tensor of {len(shape)} dims: there can be {MAX_RANK}")
    size = type_.dtype.itemsize
    for d in shape:
        # A zero makes the tensor empty, and yet strides must be numbers.
        size *= d if isinstance(d, int) and d else 1
    if size > _MAX_BYTES:
        raise too_large(shape, type_.dtype, size)


def too_large(shape: Sequence[Any], dtype: DType, size: int) -> MemoryLimitError:
    """The error for a tensor that memory does not suffice for."""
    return MemoryLimitError(
        f"a tensor {dtype}[{','.join(map(str, shape))}] needs {size:,} bytes",
        hint="use a smaller batch or a narrower element type",
    )


_word_at = ctypes.c_uint64.from_address
_DATA_AT = 16  # in NumPy's array objects


def _has_data_at(array: np.ndarray[Any, Any]) -> bool:
    known = sys.implementation.name == "cpython" and object.__basicsize__ == _DATA_AT
    return known and _word_at(id(array) + _DATA_AT).value == array.ctypes.data


def address_of(array: np.ndarray[Any, Any]) -> int:
    """Where the data of an array begins."""
    # NumPy's own ways take eight times as long.
    return _word_at(id(array) + _DATA_AT).value if _READABLE else array.ctypes.data


def addresses_of(arrays: Sequence[np.ndarray[Any, Any]]) -> list[int]:
    """Where the data of each array begins."""
    if _READABLE:
        return [_word_at(id(a) + _DATA_AT).value for a in arrays]
    return [a.ctypes.data for a in arrays]


_MANY = 1 << 16  # elements of which it pays to look whether they are one zero
_READABLE = all(_has_data_at(np.empty(n, np.uint8)) for n in (1, 100, 10_000))


def empty(shape: Sequence[int], dtype: DType) -> np.ndarray[Any, Any]:
    """An uninitialised, C-contiguous, aligned array.

    MemoryLimitError when the system has not enough.
    """
    return _aligned(np.empty, shape, dtype)


def zeros(shape: Sequence[int], dtype: DType) -> np.ndarray[Any, Any]:
    """An array like that of `empty`, of zeros; the system makes its pages when they are read."""
    return _aligned(np.zeros, shape, dtype)


def _aligned(
    allocate: Callable[..., Any], shape: Sequence[int], dtype: DType
) -> np.ndarray[Any, Any]:
    size = dtype.itemsize
    for d in shape:
        size *= d
    try:
        raw = allocate(size + ALIGNMENT - 1, np.uint8)
        return np.ndarray(shape, dtype.numpy, raw, -address_of(raw) % ALIGNMENT)
    except (MemoryError, ValueError, OverflowError):
        check_size(TensorType(dtype, tuple(shape)))
        raise too_large(shape, dtype, size) from None


def together(
    types: Sequence[tuple[Sequence[int], DType]],
) -> list[np.ndarray[Any, Any]]:
    """Uninitialised arrays as of `empty`, side by side: large ones in huge pages.

    What is read in every call then lies in few pages, and in few of the places that the sets of a
    cache have for it.
    """
    sizes = [-(-math.prod(shape) * d.itemsize // ALIGNMENT) * ALIGNMENT for shape, d in types]
    total = sum(sizes)
    if total < HUGE_PAGE // 2:
        return [empty(shape, dtype) for shape, dtype in types]
    # NumPy asks the system for huge pages from 4 MiB on.
    raw = empty((-(-total // HUGE_PAGE) * HUGE_PAGE + HUGE_PAGE,), uint8)
    at, found = -address_of(raw) % HUGE_PAGE, list[np.ndarray[Any, Any]]()
    for (shape, dtype), size in zip(types, sizes, strict=True):
        found.append(np.ndarray(shape, dtype.numpy, raw, at))
        at += size
    return found


def aligned_copy(array: np.ndarray[Any, Any], dtype: DType) -> np.ndarray[Any, Any]:
    """A copy of `array` in aligned memory of its own, where it lies."""
    if type(array) is GpuArray:
        return array.copy()
    if array.size >= _MANY and _is_one_zero(array):
        return zeros(array.shape, dtype)
    result = empty(array.shape, dtype)
    np.copyto(result, array, casting="unsafe")
    return result


def _is_one_zero(array: np.ndarray[Any, Any]) -> bool:
    """Whether all elements are one in memory, whose bits are zeros: so they are in any type."""
    return not any(array.strides) and not any(array[(0,) * array.ndim].tobytes())


def is_usable(array: np.ndarray[Any, Any]) -> bool:
    """Whether kernels can read `array` where it is."""
    return array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative
