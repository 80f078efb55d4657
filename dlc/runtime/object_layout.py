"""Objects of the running interpreter from below: words in memory, types made by its C functions."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from typing import Any

from dlc.runtime.native import entry_layout as layout
from dlc.runtime.native.support import address_of, keep_for_ever

# Numbers of slots in CPython's stable ABI.
_TP_MEMBERS, _TP_GETSET = 72, 73
_SSIZE, _OBJECT_EX, _READONLY = 19, 16, 1


class Unsupported(Exception):
    """This interpreter or NumPy cannot have native entries; the message says why."""


def peek(address: int) -> int:
    """Read the word at an address."""
    return ctypes.c_uint64.from_address(address).value


def poke(address: int, value: int) -> None:
    """Write the word at an address."""
    ctypes.c_uint64.from_address(address).value = value & (2**64 - 1)


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("function", ctypes.c_void_p))


class _Member(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _GetSet(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("get", ctypes.c_void_p),
        ("set", ctypes.c_void_p),
        ("doc", ctypes.c_char_p),
        ("closure", ctypes.c_void_p),
    )


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


def make_type(
    name: str,
    size: int,
    flags: int,
    functions: Mapping[int, int],
    offsets: Mapping[str, int],
    with_dict: bool = False,
) -> type:
    """Make a type whose instances have words that Python does not see; it lives for ever.

    Args:
        name: Its qualified name.
        size: Bytes of an instance.
        flags: Of the type, as CPython defines them.
        functions: Addresses by the numbers of slots.
        offsets: Special members, such as `__vectorcalloffset__`, and where they are.
        with_dict: Whether it shows the `__dict__` of instances.
    """
    members = (_Member * (len(offsets) + 1))(
        *(_Member(n.encode(), _SSIZE, at, _READONLY, None) for n, at in offsets.items())
    )
    api = ctypes.pythonapi
    getters = (api.PyObject_GenericGetDict, api.PyObject_GenericSetDict)
    getset = (_GetSet * 2)()
    slots = [_Slot(number, function) for number, function in functions.items()]
    slots.append(_Slot(_TP_MEMBERS, ctypes.addressof(members)))
    if with_dict:
        getset[0] = _GetSet(b"__dict__", *map(address_of, getters), None, None)
        slots.append(_Slot(_TP_GETSET, ctypes.addressof(getset)))
    all_slots = (_Slot * (len(slots) + 1))(*slots)
    spec = _Spec(name.encode(), size, 0, flags, all_slots)
    for kept in (members, getset, all_slots, spec):
        keep_for_ever(kept)  # the type refers to them
    make = api.PyType_FromSpec
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p]
    return make(ctypes.addressof(spec))


@functools.cache
def slot_offset(cls: type, name: str) -> int:
    """Find where in its instances a class keeps an attribute of `__slots__`.

    Raises:
        Unsupported: when it cannot be told for sure.
    """
    descriptor: Any = next((vars(c)[name] for c in cls.__mro__ if name in vars(c)), None)
    if type(descriptor).__name__ != "member_descriptor":
        raise Unsupported(f"{cls.__name__}.{name} is not an attribute of __slots__")
    member = peek(id(descriptor) + layout.MEMBER_OF_DESCRIPTOR)
    offset = peek(member + layout.OFFSET_OF_MEMBER)
    kind = ctypes.c_int.from_address(member + layout.OFFSET_OF_MEMBER - 8).value
    if kind != _OBJECT_EX or cls.__itemsize__ or not 16 <= offset <= cls.__basicsize__ - 8:
        raise Unsupported(f"the place of {cls.__name__}.{name} is unknown")
    probe, value = object.__new__(cls), object()
    before = peek(id(probe) + offset)
    type(descriptor).__set__(descriptor, probe, value)
    if before != 0 or peek(id(probe) + offset) != id(value):
        raise Unsupported(f"the place of {cls.__name__}.{name} is unknown")
    return offset
