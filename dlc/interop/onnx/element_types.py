"""Element types of ONNX: those that dlc computes with, and those that it only stores.

A tensor of small numbers (4 bits, 2 bits, float8, float4) is `Stored`: its codes in a tensor of
8-bit integers, and the ONNX type that gives them a meaning. Operators that move elements
move the codes; casts and quantisation decode and encode them, in compiled code.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

import dlc
from dlc.ir.errors import DTypeError

# Numbers of TensorProto.DataType, which are part of the format.
FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL = 1, 2, 3, 4, 5, 6, 7, 8, 9
FLOAT16, DOUBLE, UINT32, UINT64, BFLOAT16 = 10, 11, 12, 13, 16

COMPUTED: dict[int, Any] = {
    FLOAT: dlc.float32,
    UINT8: dlc.uint8,
    INT8: dlc.int8,
    UINT16: dlc.uint16,
    INT16: dlc.int16,
    INT32: dlc.int32,
    INT64: dlc.int64,
    BOOL: dlc.bool,
    FLOAT16: dlc.float16,
    DOUBLE: dlc.float64,
    UINT32: dlc.uint32,
    UINT64: dlc.uint64,
    BFLOAT16: dlc.bfloat16,
}
# Stored types: their NumPy types, one element a byte.
STORED: dict[int, Any] = {
    17: ml_dtypes.float8_e4m3fn,
    18: ml_dtypes.float8_e4m3fnuz,
    19: ml_dtypes.float8_e5m2,
    20: ml_dtypes.float8_e5m2fnuz,
    21: ml_dtypes.uint4,
    22: ml_dtypes.int4,
    23: ml_dtypes.float4_e2m1fn,
    24: ml_dtypes.float8_e8m0fnu,
    25: ml_dtypes.uint2,
    26: ml_dtypes.int2,
}
NAMES = {
    FLOAT: "float", UINT8: "uint8", INT8: "int8", UINT16: "uint16", INT16: "int16",
    INT32: "int32", INT64: "int64", STRING: "string", BOOL: "bool", FLOAT16: "float16",
    DOUBLE: "double", UINT32: "uint32", UINT64: "uint64", 14: "complex64", 15: "complex128",
    BFLOAT16: "bfloat16", 17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2",
    20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1", 24: "float8e8m0",
    25: "uint2", 26: "int2",
}  # fmt: skip
# Of those, the integers: their limits.
SMALL_INTEGERS = {21: (0, 15), 22: (-8, 7), 25: (0, 3), 26: (-2, 1)}
_E8M0 = 24


class Stored:
    """Elements that are stored in fewer bits than dlc computes with: a tree of one leaf.

    codes: int8 or uint8, an element each: the number itself for integers, the bits for floats.
    kind: the ONNX element type.
    """

    __slots__ = ("codes", "kind")

    def __init__(self, codes: Any, kind: int) -> None:
        self.codes = codes
        self.kind = kind


def _restored(kind: Any, codes: Any) -> Stored:
    return Stored(codes[0], kind)


dlc.tree.register_node(Stored, lambda s: ((s.codes,), s.kind), _restored)


def numpy_type(kind: int) -> np.dtype[Any]:
    """The NumPy type of the elements.

    Raises:
        DTypeError: for complex numbers, and numbers that are no element type.
    """
    if kind in COMPUTED:
        return np.dtype(COMPUTED[kind].numpy)
    if kind in STORED:
        return np.dtype(STORED[kind])
    if kind == STRING:
        return np.dtype(object)
    raise DTypeError(f"ONNX element type {NAMES.get(kind, kind)} is not supported")


def kind_of(dtype: Any) -> int:
    """The ONNX element type of a dlc or NumPy type."""
    wanted = np.dtype(getattr(dtype, "numpy", dtype))
    for kind, d in COMPUTED.items():
        if np.dtype(d.numpy) == wanted:
            return kind
    for kind, d in STORED.items():
        if np.dtype(d) == wanted:
            return kind
    if wanted.kind == "T":
        return STRING
    raise DTypeError(f"ONNX has no element type for {wanted}")


def stored(array: np.ndarray[Any, Any]) -> Stored:
    """An array of a stored type, as `Stored`."""
    kind = kind_of(array.dtype)
    if kind in SMALL_INTEGERS:
        codes = array.astype(np.uint8 if kind in (21, 25) else np.int8)
    else:
        codes = array.view(np.uint8)
    return Stored(codes, kind)


def unstored(value: Stored) -> np.ndarray[Any, Any]:
    """The array of the stored type."""
    codes = np.asarray(value.codes)
    dtype = np.dtype(STORED[value.kind])
    return codes.astype(dtype) if value.kind in SMALL_INTEGERS else codes.view(dtype)


def is_float(kind: int) -> bool:
    """Whether elements are floats of a stored type."""
    return kind in STORED and kind not in SMALL_INTEGERS


def decode(value: Stored, dtype: Any = None) -> dlc.Tensor:
    """The numbers, as floats of 32 bits unless another type is given."""
    codes = dlc.asarray(value.codes)
    if value.kind in SMALL_INTEGERS:
        return dlc.astype(codes, dlc.float32 if dtype is None else dtype)
    numbers = dlc.take(dlc.asarray(_table(value.kind)), codes.astype(dlc.int32))
    return numbers if dtype is None else dlc.astype(numbers, dtype)


def _table(kind: int) -> np.ndarray[Any, Any]:
    """What each code means."""
    codes = np.arange(16 if kind == 23 else 256, dtype=np.uint8)
    return codes.view(STORED[kind]).astype(np.float32)


def encode(x: dlc.Tensor, kind: int, *, saturate: bool = True, round_mode: str = "up") -> Stored:
    """Numbers as a stored type.

    Integers are cut to the low bits. Floats are rounded to the nearest, ties to even.

    Args:
        x: Numbers.
        kind: The ONNX element type.
        saturate: Whether what is too large becomes the largest finite number, not inf or NaN.
        round_mode: How float8e8m0, powers of two, are rounded: "up", "down" or "nearest".
    """
    if kind in SMALL_INTEGERS:
        return Stored(_small_integers(x, kind), kind)
    if x.dtype not in (dlc.float64, dlc.float32):
        x = dlc.astype(x, dlc.float32)
    if kind == _E8M0:
        return Stored(_powers(x, round_mode, saturate), kind)
    return Stored(_rounded(x, kind, saturate), kind)


def _small_integers(x: dlc.Tensor, kind: int) -> dlc.Tensor:
    low, high = SMALL_INTEGERS[kind]
    target = dlc.uint8 if low == 0 else dlc.int8
    x = dlc.astype(x, dlc.int32)
    bits = dlc.bitwise_and(x, high - low)
    return dlc.astype(dlc.where(bits > high, bits - (high - low + 1), bits), target)


def _rounded(x: dlc.Tensor, kind: int, saturate: bool) -> dlc.Tensor:
    """The codes of the nearest numbers; a binary search among the limits between them."""
    table = _table(kind)
    half = len(table) // 2
    finite = table[:half][np.isfinite(table[:half])]  # codes grow with magnitudes
    count = len(finite)
    wide = finite.astype(np.float64)
    # The number behind the largest, if there were one more: what rounds to it is too large.
    beyond = wide[-1] + (wide[-1] - wide[-2])
    middles = (np.append(wide[1:], beyond) + wide) / 2
    limits = middles.astype(np.dtype(x.dtype.numpy))
    # A middle itself belongs to the even code: up for an odd code below it.
    odd = np.arange(count) % 2 == 1
    limits = np.where(odd, np.nextafter(limits, limits.dtype.type(-np.inf)), limits)
    magnitude = dlc.abs(x)
    code = dlc.astype(dlc.searchsorted(dlc.asarray(limits), magnitude), dlc.int32)
    too_large, not_number = _outside(kind, table, half, count, saturate)
    unsigned_zero = kind in (18, 20)  # the code of -0 is NaN there
    negative = dlc.signbit(x)
    code = dlc.where(code >= count, too_large, code)
    infinite = dlc.isinf(x)
    code = dlc.where(infinite, too_large if saturate or kind == 23 else _infinity(kind), code)
    if unsigned_zero:
        negative = dlc.logical_and(negative, code != 0)
        sign = dlc.where(dlc.logical_and(negative, code != half), half, 0)
    else:
        sign = dlc.where(negative, half, 0)
    code = dlc.where(dlc.isnan(x), not_number, code + sign)
    return dlc.astype(code, dlc.uint8)


def _infinity(kind: int) -> int:
    """The code of infinity, or NaN where there is none."""
    return {17: 0x7F, 18: 0x80, 19: 0x7C, 20: 0x80}[kind]


def _outside(
    kind: int, table: np.ndarray[Any, Any], half: int, count: int, saturate: bool
) -> tuple[int, int]:
    """The codes of what is too large and of NaN."""
    largest = count - 1
    if kind == 23:  # neither infinity nor NaN
        return largest, 0
    nans = np.flatnonzero(np.isnan(table))
    not_number = int(nans[nans < half][-1]) if (nans < half).any() else int(nans[0])
    return (largest if saturate else _infinity(kind)), not_number


def _powers(x: dlc.Tensor, round_mode: str, saturate: bool) -> dlc.Tensor:
    mantissa, exponent = dlc.frexp(dlc.abs(x))  # 0.5 <= mantissa < 1
    exponent = dlc.astype(exponent, dlc.int32) + 126
    if round_mode == "up":
        exponent = exponent + dlc.where(mantissa > 0.5, 1, 0)
    elif round_mode == "nearest":
        exponent = exponent + dlc.where(mantissa >= 0.75, 1, 0)
    exponent = dlc.where(x == 0, 0, exponent)
    exponent = dlc.where(dlc.isinf(x), 255, exponent)
    top = 254 if saturate else 255
    code = dlc.clip(exponent, 0, top)
    return dlc.astype(dlc.where(dlc.isnan(x), 255, code), dlc.uint8)
