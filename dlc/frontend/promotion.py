"""The element type that operands are brought to (`docs/semantics.md` has the table)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from dlc.ir.errors import ArgumentError, DTypeError, ValueRangeError
from dlc.ir.types import (
    DType,
    bool_,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
)

_SIGNED = {8: int8, 16: int16, 32: int32, 64: int64}
# What a weak scalar is computed at, and what it becomes when nothing else decides.
WEAK_DTYPES: dict[type, DType] = {bool: bool_, int: int64, float: float64}
DEFAULTS: dict[str, DType] = {"b": bool_, "i": int64, "u": int64, "f": float32}
_ORDER = {"b": 0, "u": 1, "i": 1, "f": 2}


def promote_types(a: DType, b: DType) -> DType:
    """The common element type of two strong operands.

    Raises:
        DTypeError: for uint64 with a signed integer type, which have no common integer type.

    Example:
        >>> promote_types(int32, float32)
        dlc.float32
    """
    if a is b:
        return a
    if _ORDER[a.kind] != _ORDER[b.kind]:
        return a if _ORDER[a.kind] > _ORDER[b.kind] else b
    if a.bits == b.bits and a.kind == "f":
        return float32  # float16 with bfloat16
    if a.kind == b.kind:
        return a if a.bits > b.bits else b
    signed, unsigned = (a, b) if a.kind == "i" else (b, a)
    if signed.bits > unsigned.bits:
        return signed
    if unsigned.bits == 64:
        raise DTypeError(
            f"{a.name} and {b.name} have no common dtype",
            hint="convert one of them with .astype",
        )
    return _SIGNED[unsigned.bits * 2]


def with_weak(strong: DType, weak_kinds: Iterable[str]) -> DType:
    """`strong` after meeting Python scalars of these kinds: only a higher kind changes it."""
    for kind in weak_kinds:
        if _ORDER[kind] > _ORDER[strong.kind]:
            strong = DEFAULTS[kind]
    return strong


def common_dtype(strong: Sequence[DType], weak: Sequence[DType]) -> tuple[DType, bool]:
    """The element type that operands are brought to, and whether it is weak.

    Args:
        strong: The element types of tensors and arrays.
        weak: The element types at which the Python scalars are held.
    """
    if not strong:
        return max(weak, key=lambda d: _ORDER[d.kind]), True
    result = strong[0]
    for d in strong[1:]:
        result = promote_types(result, d)
    return with_weak(result, (d.kind for d in weak)), False


def check_scalar(value: float, dtype: DType) -> None:
    """ValueRangeError for a Python integer that an integer type cannot hold."""
    if dtype.is_integer and isinstance(value, int):
        info = np.iinfo(dtype.numpy)
        if not info.min <= value <= info.max:
            raise ValueRangeError(
                f"{value} does not fit {dtype.name}, which holds {info.min} to {info.max}"
            )
    elif dtype.is_integer and not math.isfinite(value):
        raise ValueRangeError(f"{value} has no meaning at {dtype.name}")


def scalar_kind(value: object) -> DType:
    """The element type at which a Python scalar is held; ArgumentError for anything else."""
    for kind, dtype in WEAK_DTYPES.items():  # bool first: it is a subclass of int
        if isinstance(value, kind):
            return dtype
    raise ArgumentError(f"{type(value).__name__} is not a number")
