"""Arrays in the host's memory to and from other frameworks, with bfloat16, which NumPy's lack.

NumPy does the rest: in the structures that it exchanges, bfloat16 is called uint16 on its side.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from dlc.ir.types import bfloat16

Array = np.ndarray[Any, Any]

UNSIGNED, BFLOAT = 1, 4  # of kinds of elements


class DlTensor(ctypes.Structure):
    """`DLTensor` of DLPack's `dlpack.h`."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_kind", ctypes.c_int32),
        ("device_index", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("kind", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )


# Names of capsules, and where the tensor is in what they hold: from version 1.0 on behind the
# version, two pointers and flags.
_PLACES = {b"dltensor": 0, b"dltensor_versioned": 8 + 2 * ctypes.sizeof(ctypes.c_void_p) + 8}

_python = ctypes.pythonapi
is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", _python)
)
pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _python)
)


def _rename_kind(capsule: Any, old: int, new: int) -> bool:
    """Calls elements of 16 bits of one kind another; says whether there were any."""
    for name, place in _PLACES.items():
        if is_valid(id(capsule), name):
            held = DlTensor.from_address(pointer_of(id(capsule), name) + place)
            if (held.kind, held.bits, held.lanes) == (old, 16, 1):
                held.kind = new
                return True
    return False


class _Lender:
    """What NumPy takes the array of another framework from."""

    def __init__(self, x: Any) -> None:
        self.x = x
        self.has_bfloat16 = False

    def __dlpack_device__(self) -> Any:
        return self.x.__dlpack_device__()

    def __dlpack__(self, **keywords: Any) -> Any:
        capsule = self.x.__dlpack__(**keywords)
        self.has_bfloat16 = _rename_kind(capsule, BFLOAT, UNSIGNED)
        return capsule


def borrowed(x: Any) -> Array:
    """The array of an object with `__dlpack__` in the host's memory, which is shared."""
    lender = _Lender(x)
    array = np.from_dlpack(lender)
    return array.view(bfloat16.numpy) if lender.has_bfloat16 else array


def lent(array: Array, **keywords: Any) -> Any:
    """A capsule of an array, as its own `__dlpack__` would give it with these keywords."""
    if array.dtype != bfloat16.numpy:
        return array.__dlpack__(**keywords)
    capsule = array.view(np.uint16).__dlpack__(**keywords)
    _rename_kind(capsule, UNSIGNED, BFLOAT)
    return capsule
