"""Reductions of arrays along their last dimension, with the meaning of the kernel IR's kinds."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.ir.scalar_reference import NUMPY_SCALAR
from dlc.ir.types import DType, dtype_of, float32

Array: TypeAlias = npt.NDArray[Any]


def identity(kind: str, dtype: DType) -> Any:
    """The value of a reduction over nothing: 0 for the positions that argmax and argmin give.

    Example:
        >>> identity("max", float32)
        -inf
    """
    match kind:
        case "prod":
            return 1
        case "all":
            return True
        case "max" | "min":
            low = kind == "max"
            if dtype.is_float:
                return -np.inf if low else np.inf
            limits = np.iinfo(dtype.numpy)
            return limits.min if low else limits.max
        case _:
            return 0


def fold(kind: str, x: Array, dtype: DType) -> Array:
    """`x` reduced along its last dimension, first element first; `dtype` is that of the result.

    Sums and products of 16-bit floats are accumulated at float32.
    """
    if x.shape[-1] == 0:
        return np.full(x.shape[:-1], identity(kind, dtype), dtype.numpy)
    if kind in ("argmax", "argmin"):
        x = NUMPY_SCALAR["convert"](x, float32) if _is_half(x) else x
        return np.asarray(np.argmax(x, -1) if kind == "argmax" else np.argmin(x, -1), np.int64)
    if kind in ("sum", "prod"):
        # accumulate adds strictly in order, where NumPy's reduce would add in pairs.
        operation = np.add if kind == "sum" else np.multiply
        with np.errstate(all="ignore"):
            wide = NUMPY_SCALAR["convert"](x, float32) if _is_half(x) else x
            total = operation.accumulate(wide, axis=-1, dtype=wide.dtype)[..., -1]
            return NUMPY_SCALAR["convert"](total, dtype)
    return _tree(kind, x)


def _is_half(x: Array) -> bool:
    dtype = dtype_of(x.dtype)
    return dtype.is_float and dtype.bits == 16


def _tree(kind: str, x: Array) -> Array:
    """By halves: the result of max, min, any and all does not depend on the order."""
    combine = NUMPY_SCALAR[{"any": "or", "all": "and"}.get(kind, kind)]
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        rest = x[..., 2 * half :]
        x = combine(x[..., :half], x[..., half : 2 * half])
        x = np.concatenate([x, rest], -1) if rest.shape[-1] else x
    return x[..., 0]
