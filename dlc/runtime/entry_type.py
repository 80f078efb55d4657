"""The type of native call entries: probing of the interpreter and NumPy, and the type itself.

Everything here is done once in a process. Where the interpreter or NumPy is not laid out as the
native code expects, `native_support` says so, and calls go through Python.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import sys
import threading
from typing import Final

import numpy as np

from dlc.ir.errors import BackendError
from dlc.ir.logs import TopicLog
from dlc.runtime.host_calls import raise_pending
from dlc.runtime.native import entry_layout as layout
from dlc.runtime.native.entry_support import entry_code
from dlc.runtime.native.support import address_of, keep_for_ever, pool_code
from dlc.runtime.object_layout import Unsupported, make_type, peek, poke

_log = TopicLog("code")

# Numbers of slots and flags in CPython's stable ABI.
_TP_CALL, _TP_CLEAR, _TP_DEALLOC, _TP_TRAVERSE = 50, 51, 52, 71
_FLAGS: Final = 1 << 18 | 1 << 14 | 1 << 11 | 1 << 7  # default, gc, vectorcall, no instantiation

# Positions in NumPy's API table.
_SET_HANDLER, _GET_HANDLER, _NEW_FROM_DESCR, _NEW_COPY, _ARRAY_TYPE = 304, 305, 94, 85, 2

_FAILURE: Final = b"a compiled program is malformed"
_CLEARED: Final = b"a compiled function was called while it was being destroyed"

_CACHED_BYTES: Final = 1 << 20  # of each class of free buffers
_CACHED_LARGE_BYTES: Final = 1 << 29  # of free buffers beyond the classes, at most
_CACHED_LARGE_SHARE: Final = 16  # and no more than one part in so many of the machine's memory


_lock = threading.Lock()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _cached_large_bytes() -> int:
    """How many bytes of large free buffers are kept."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # a system that does not tell
        return _CACHED_LARGE_BYTES >> 3
    return min(_CACHED_LARGE_BYTES, memory // _CACHED_LARGE_SHARE)


class NativeSupport:
    """The entry type, and the memory that all entries share; made once, never freed.

    Raises:
        Unsupported: where the layout of objects is not the expected one.
        BackendError: where machine code cannot be made or run.
    """

    def __init__(self) -> None:
        _check_interpreter()
        self._numpy_api = _numpy_api()
        _check_arrays(self._numpy_api)
        code = entry_code()
        self._memory = ctypes.create_string_buffer(layout.API_BYTES)
        self._strings = [ctypes.create_string_buffer(text) for text in (_FAILURE, _CLEARED)]
        self.api = ctypes.addressof(self._memory)
        self._fill_api()
        self._handler = self._memory_handler(code.symbols)
        set_handler = peek(self._numpy_api + 8 * _SET_HANDLER)
        self._set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(set_handler)
        self._write("handler", id(self._handler))
        self.type = _entry_type(code.symbols)
        self.vectorcall = code.address("entry_call")
        self.dispatch = code.address("dispatch_call")
        keep_for_ever(self)

    def set_bypass(self, active: bool) -> None:
        """Send all calls through Python, or no longer."""
        self._write("bypass", int(active))

    def buffer(self, size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """Make an array of bytes in a buffer of ours, aligned and perhaps used before."""
        before = self._set_handler(self._handler)
        try:
            return np.empty(size, np.uint8)
        finally:
            self._set_handler(before)

    def _write(self, name: str, value: int) -> None:
        poke(self.api + layout.API[name], value)

    def _fill_api(self) -> None:
        for name in layout.API:
            if name.startswith("Py") and not name.startswith("PyArray"):
                self._write(name, address_of(getattr(ctypes.pythonapi, name)))
        self._write("PyArray_NewFromDescr", peek(self._numpy_api + 8 * _NEW_FROM_DESCR))
        self._write("PyArray_NewCopy", peek(self._numpy_api + 8 * _NEW_COPY))
        self._write("dlc_run", pool_code())
        if sys.platform == "linux":
            self._write("madvise", address_of(ctypes.CDLL(None).madvise))
        named: dict[str, object] = {
            "array_type": np.ndarray,
            "list_type": list,
            "dict_type": dict,
            "str_type": str,
            "float_type": float,
            "int_type": int,
            "true": True,
            "false": False,
            "none": None,
            "runtime_error": RuntimeError,
            "raise_pending": raise_pending,
        }
        for name, value in named.items():
            self._write(name, id(value))
        self._write("failure_text", ctypes.addressof(self._strings[0]))
        self._write("cleared_text", ctypes.addressof(self._strings[1]))
        for size_class in range(layout.SIZE_CLASSES):
            most = min(64, max(4, _CACHED_BYTES >> (size_class + 6)))
            poke(self.api + layout.FREE_LISTS + 24 * size_class + 16, most)
        poke(self.api + layout.LARGE_MOST, _cached_large_bytes())

    def _memory_handler(self, symbols: dict[str, int]) -> object:
        # PyDataMem_Handler: name, version, then the context and the four functions.
        functions = [symbols[f"buffer_{name}"] for name in ("malloc", "calloc", "realloc", "free")]
        image = struct.pack("127sB5Q", b"dlc", 1, self.api, *functions)
        self._handler_memory = ctypes.create_string_buffer(image)
        self._capsule_name = ctypes.create_string_buffer(b"mem_handler")
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
        return new(
            ctypes.addressof(self._handler_memory), ctypes.addressof(self._capsule_name), None
        )


def native_support() -> NativeSupport | None:
    """Give what native entries need, or None where calls must go through Python (it is logged)."""
    with _lock:
        return _make_support()


def made_support() -> NativeSupport | None:
    """As `native_support`, but None too where nothing has asked for that yet."""
    return _make_support() if _make_support.cache_info().currsize else None


@functools.cache
def _make_support() -> NativeSupport | None:
    try:
        return NativeSupport()
    except (Unsupported, BackendError) as error:
        _log.warning("calls go through Python: %s", error)
        return None


def _check_interpreter() -> None:
    if sys.implementation.name != "cpython":
        raise Unsupported(f"native entries are for CPython, this is {sys.implementation.name}")
    if "t" in getattr(sys, "abiflags", ""):  # sysconfig takes a millisecond
        raise Unsupported("native entries need the interpreter's lock")
    if struct.calcsize("P") != 8 or object.__basicsize__ != 16 or sys.byteorder != "little":
        raise Unsupported("the interpreter's objects have an unknown layout")
    first, second = object(), object()
    pair, several, part = (first, second), [first, second], slice(None, first, second)
    items = peek(id(several) + layout.LIST_ITEMS)
    expected = (
        (peek(id(pair) + layout.OB_SIZE), peek(id(several) + layout.OB_SIZE)) == (2, 2)
        and peek(id(pair) + layout.TUPLE_ITEMS + 8) == id(second)
        and (peek(items), peek(items + 8)) == (id(first), id(second))
        and peek(id(part) + layout.SLICE_ITEMS + 8) == id(first)
        and peek(id(part) + layout.SLICE_ITEMS + 16) == id(second)
        # What holds it: the name, and a place in the tuple, in the list and in the slice.
        and ctypes.c_uint32.from_address(id(second)).value == 4
    )
    if not expected:
        raise Unsupported("the interpreter's lists, tuples or references have an unknown layout")


def _numpy_api() -> int:
    core = getattr(np, "_core", None)
    capsule = getattr(getattr(core, "_multiarray_umath", None), "_ARRAY_API", None)
    if capsule is None:
        raise Unsupported(f"NumPy {np.__version__} does not show its C functions")
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = int(get(capsule, None))
    if peek(table + 8 * _ARRAY_TYPE) != id(np.ndarray):
        raise Unsupported(f"NumPy {np.__version__} has an unknown table of C functions")
    return table


def _check_arrays(numpy_api: int) -> None:
    probe = np.empty((3, 5), np.float32)
    view = probe[1:]
    at, offsets = id(probe), layout.ARRAY
    get_handler = ctypes.PYFUNCTYPE(ctypes.py_object)(peek(numpy_api + 8 * _GET_HANDLER))
    handler = get_handler()
    dims = peek(at + offsets["dims"])
    flags = layout.C_CONTIGUOUS | layout.OWNDATA | layout.ALIGNED | layout.WRITEABLE
    expected = (
        np.ndarray.__basicsize__ == layout.ARRAY_SIZE
        and peek(at + layout.OB_TYPE) == id(np.ndarray)
        and peek(at + offsets["data"]) == probe.ctypes.data
        and ctypes.c_int32.from_address(at + offsets["nd"]).value == 2
        and (peek(dims), peek(dims + 8)) == (3, 5)
        and peek(peek(at + offsets["strides"])) == probe.strides[0]
        and peek(at + offsets["descr"]) == id(np.dtype(np.float32))
        and peek(at + offsets["base"]) == 0
        and peek(id(view) + offsets["base"]) == at
        and ctypes.c_int32.from_address(at + offsets["flags"]).value == flags
        and peek(at + offsets["mem_handler"]) == id(handler)
    )
    if not expected:
        raise Unsupported(f"arrays of NumPy {np.__version__} have an unknown layout")


def _entry_type(symbols: dict[str, int]) -> type:
    at = layout.OBJECT
    return make_type(
        "dlc.runtime.entry.Entry",
        layout.OBJECT_SIZE,
        _FLAGS,
        {
            _TP_CALL: address_of(ctypes.pythonapi.PyVectorcall_Call),
            _TP_CLEAR: symbols["entry_clear"],
            _TP_DEALLOC: symbols["entry_dealloc"],
            _TP_TRAVERSE: symbols["entry_traverse"],
        },
        {
            "__vectorcalloffset__": at["vectorcall"],
            "__dictoffset__": at["dict"],
            "__weaklistoffset__": at["weakrefs"],
        },
        with_dict=True,
    )
