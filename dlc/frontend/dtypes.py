"""The Array API's functions about element types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.frontend.apply import as_tensor, asarray, borrowed_array, dtype_argument
from dlc.frontend.moving import from_gpu
from dlc.frontend.promotion import common_dtype, promote_types
from dlc.frontend.tensor import Tensor, functions
from dlc.ir.deferred import deferred
from dlc.ir.errors import ArgumentError, DTypeError
from dlc.ir.record import dataclass
from dlc.ir.types import DTYPES, DType, dtype_of

if TYPE_CHECKING:
    import ml_dtypes
else:
    ml_dtypes = deferred("ml_dtypes")

_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "",
    "numeric": "iuf",
}


@dataclass(frozen=True)
class FloatInfo:
    """The limits of a float type, by the Array API's names."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True)
class IntegerInfo:
    """The limits of an integer type, by the Array API's names."""

    bits: int
    max: int
    min: int
    dtype: DType


def _dtype(x: Any) -> DType:
    return x.dtype if isinstance(x, Tensor) else dtype_argument(x)


def finfo(type: Any, /) -> FloatInfo:
    """The limits of a float type, given by itself or by a tensor.

    Raises:
        DTypeError: for other types.

    Example:
        >>> finfo("f32").bits
        32
    """
    d = _dtype(type)
    if not d.is_float:
        raise DTypeError(f"finfo of {d.name}", hint="use dlc.iinfo")
    info = ml_dtypes.finfo(d.numpy)
    return FloatInfo(
        bits=d.bits,
        eps=float(info.eps),
        max=float(info.max),
        min=float(info.min),
        smallest_normal=float(info.smallest_normal),
        dtype=d,
    )


def iinfo(type: Any, /) -> IntegerInfo:
    """The limits of an integer type, given by itself or by a tensor.

    Raises:
        DTypeError: for other types.

    Example:
        >>> iinfo("i8").max
        127
    """
    d = _dtype(type)
    if not d.is_integer:
        raise DTypeError(f"iinfo of {d.name}", hint="use dlc.finfo")
    info = np.iinfo(d.numpy)
    return IntegerInfo(d.bits, int(info.max), int(info.min), d)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether an element type is of a kind, such as "integral", or one of several.

    Raises:
        ArgumentError: for an unknown kind.

    Example:
        >>> isdtype("i8", ("bool", "integral"))
        True
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    d = dtype_argument(dtype)
    if isinstance(kind, str) and kind in _KINDS:
        return d.kind in _KINDS[kind]
    try:
        return d is dtype_of(kind)
    except KeyError:
        raise ArgumentError(f"isdtype: {kind!r} is no kind", hint=", ".join(_KINDS)) from None


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether promotion turns one element type (or that of a tensor) into another.

    Example:
        >>> can_cast("i32", "f32"), can_cast("f32", "i32")
        (True, False)
    """
    source, target = _dtype(from_), dtype_argument(to)
    try:
        return promote_types(source, target) is target
    except DTypeError:
        return False


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The element type that operands are promoted to.

    Args:
        *arrays_and_dtypes: Tensors, arrays, numbers and element types.

    Raises:
        DTypeError: when they have none in common.
        ArgumentError: when nothing is given.

    Example:
        >>> result_type("i32", "f16", 2.0)
        dlc.float16
    """
    if not arrays_and_dtypes:
        raise ArgumentError("result_type of nothing")
    strong: list[DType] = []
    weak: list[DType] = []
    for x in arrays_and_dtypes:
        if isinstance(x, (str, type, np.dtype, DType)):
            strong.append(dtype_argument(x))
            continue
        t = as_tensor(x)
        (weak if t._weak else strong).append(t.tensor.dtype)
    found, is_weak = common_dtype(strong, weak)
    return asarray(0, dtype=found).dtype if not is_weak else _default(found)


def _default(held: DType) -> DType:
    return dtype_of({"f": "f32", "i": "i64", "b": "bool"}[held.kind])


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of anything that has `__dlpack__`, which is copied unless `copy=False`.

    Raises:
        ArgumentError: for anything else.
    """
    if not hasattr(x, "__dlpack__"):
        raise ArgumentError(f"from_dlpack of a {type(x).__name__}, which has no __dlpack__")
    if tuple(map(int, x.__dlpack_device__())) != (1, 0):
        shared = from_gpu(x)
        found = functions.copy(shared) if copy else shared
        return found if device is None else found.to(device)
    return asarray(borrowed_array(x), device=device, copy=copy)


DTYPE_NAMES: dict[str, DType] = {d.name: d for d in DTYPES}
