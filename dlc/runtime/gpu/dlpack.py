"""Arrays on a GPU to and from other frameworks without a copy, by the DLPack protocol.

The structures are those of DLPack's `dlpack.h`, of the version before 1.0, which all read.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from functools import partial
from typing import Any

from dlc.ir.errors import DeviceError, DlcError, DTypeError
from dlc.ir.types import DTYPES, DType, dtype_of
from dlc.runtime.dlpack import BFLOAT, UNSIGNED, DlTensor, is_valid, pointer_of
from dlc.runtime.gpu.array import GpuArray
from dlc.runtime.gpu.device import Gpu, open_gpu

CUDA = 2  # of kinds of devices
_KINDS = {"i": 0, "u": UNSIGNED, "f": 2, "b": 6}
_DEFAULT_STREAM = 1  # which waits for all others that are not made "non-blocking"
_NAME, _USED_NAME = b"dltensor", b"used_dltensor"


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", DlTensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]

_python = ctypes.pythonapi
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _Destructor)(
    ("PyCapsule_New", _python)
)
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_SetName", _python)
)

# What is lent out, by the address of its structure.
_lent: dict[int, tuple[Any, ...]] = {}


@_Deleter
def _delete(managed: Any) -> None:
    found = _lent.pop(ctypes.addressof(managed.contents), None)
    if found is not None:
        _returned(found[-1])


def _returned(array: GpuArray) -> None:
    """Lets what comes after wait for the taker, who may still work on the array."""
    with contextlib.suppress(DlcError):  # of a GPU that has failed
        array.gpu.uncaptured(partial(array.gpu.follow, _DEFAULT_STREAM))


@_Destructor
def _unused(capsule: int) -> None:
    """A capsule goes that nobody took the array out of."""
    if is_valid(capsule, _NAME):
        _lent.pop(pointer_of(capsule, _NAME), None)


def device_of(array: GpuArray) -> tuple[int, int]:
    """The device of an array as DLPack has it."""
    return CUDA, array.gpu.facts.index


def _code_of(dtype: DType) -> int:
    return BFLOAT if dtype.short == "bf16" else _KINDS[dtype.kind]


def capsule(array: GpuArray, stream: Any = None) -> Any:
    """A DLPack capsule of an array, which stays until its taker is done with it.

    Args:
        array: What is shared.
        stream: Of the taker, which is to wait for what computes the array: an address; 1 and 2 are
            the default streams, -1 is for a taker who waits by itself.
    """
    gpu, dtype = array.gpu, dtype_of(array.dtype)
    if stream is None:
        gpu.synchronize()
    elif stream != -1:
        gpu.lead(stream)
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    managed = _Managed()
    held = managed.tensor
    held.data, held.rank = array.pointer or None, array.ndim
    held.device_kind, held.device_index = device_of(array)
    held.kind, held.bits, held.lanes = _code_of(dtype), 8 * dtype.itemsize, 1
    held.shape = ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64))
    managed.deleter = _delete
    address = ctypes.addressof(managed)
    _lent[address] = (managed, shape, array)
    return _new_capsule(address, _NAME, _unused)


class _Borrowed:
    """An array of another framework, given back when nothing here refers to it or works on it."""

    def __init__(self, gpu: Gpu, managed: Any) -> None:
        self.gpu, self.managed = gpu, managed

    def __del__(self) -> None:
        if self.managed.contents.deleter and not sys.is_finalizing():
            self.gpu.uncaptured(partial(_give_back, self.gpu, self.managed))


def _give_back(gpu: Gpu, managed: Any) -> None:
    with contextlib.suppress(DlcError):
        gpu.synchronize()
    managed.contents.deleter(managed)


def imported(x: Any) -> GpuArray:
    """The array of an object with `__dlpack__` that lies on a GPU.

    Raises:
        DeviceError: It is on a device of another kind.
        DTypeError: Its element type is none of dlc's.
    """
    kind, index = x.__dlpack_device__()
    if kind != CUDA:
        raise DeviceError(f"from_dlpack of an array on the device {(int(kind), index)}")
    gpu = open_gpu(index)
    given = x.__dlpack__(stream=int(gpu.stream) if hasattr(gpu.stream, "__int__") else None)
    pointer = pointer_of(id(given), _NAME)
    managed = ctypes.cast(pointer, ctypes.POINTER(_Managed))
    _rename(id(given), _USED_NAME)
    borrowed, held = _Borrowed(gpu, managed), managed.contents.tensor
    shape = tuple(held.shape[k] for k in range(held.rank))
    array = GpuArray(gpu, shape, _dtype(held), (held.data or 0) + held.offset, borrowed)
    strides = tuple(held.strides[k] for k in range(held.rank)) if held.strides else None
    if strides is not None and not _is_dense(shape, strides):
        raise DeviceError(
            f"from_dlpack of an array on {array.device} with the strides {strides}",
            hint="make it contiguous first",
        )
    return array


def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for d, s in zip(reversed(shape), reversed(strides), strict=True):
        if d != 1 and s != step:
            return False
        step *= d
    return True


def _dtype(held: DlTensor) -> DType:
    for dtype in DTYPES:
        if (held.kind, held.bits, held.lanes) == (_code_of(dtype), 8 * dtype.itemsize, 1):
            return dtype
    raise DTypeError(f"from_dlpack of elements of kind {held.kind} and {held.bits} bits")
