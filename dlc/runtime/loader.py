"""Mapping machine code into the process, without LLVM.

The first way that the system allows is taken: a memory file mapped executable, which many small
blobs share (Linux on x86-64); private pages, written and then made executable; LLVM's own
just-in-time linker. No page is writable and executable at once, where the system leaves a choice.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import mmap
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dlc.codegen.cpu.blob import Blob
from dlc.codegen.cpu.isa import host_isa, host_machine
from dlc.ir.deferred import deferred
from dlc.ir.errors import BackendError, nearest
from dlc.ir.logs import TopicLog
from dlc.ir.record import dataclass, field

if TYPE_CHECKING:
    from dlc.codegen.cpu import llvm as code_generator
    from dlc.codegen.cpu import object_file
else:
    object_file = deferred("dlc.codegen.cpu.object_file")
    code_generator = deferred("dlc.codegen.cpu.llvm")

_log = TopicLog("code")
_REGION = 2 << 20
_READ, _WRITE, _EXEC = 1, 2, 4


@dataclass(frozen=True)
class LoadedCode:
    """Code in executable memory, which stays as long as this object does.

    Args:
        symbols: Absolute addresses by name.
        owner: What holds the memory.
    """

    symbols: dict[str, int]
    owner: Any = field(repr=False, compare=False)

    def address(self, symbol: str) -> int:
        """Give the absolute address of a function.

        Raises:
            BackendError: for a name that the blob does not have.
        """
        try:
            return self.symbols[symbol]
        except KeyError:
            raise BackendError(
                f"compiled code has no function {symbol!r}", hint=nearest(symbol, self.symbols)
            ) from None


def load_blob(blob: Blob) -> LoadedCode:
    """Map one blob; see `load_blobs`.

    Example:
        >>> blob = compile_module("define i32 @f() { ret i32 7 }", host_isa()).blob()
        >>> code = load_blob(blob)
        >>> ctypes.CFUNCTYPE(ctypes.c_int)(code.address("f"))()
        7
    """
    return load_blobs([blob])[0]


def load_blobs(blobs: Sequence[Blob]) -> list[LoadedCode]:
    """Map blobs into executable memory, together.

    Args:
        blobs: Code for this machine's architecture. That the machine runs its level is for the
            caller to know.

    Returns:
        The code of each, in order.

    Raises:
        BackendError: for code of another architecture, and where the system allows no executable
            memory at all.
    """
    if not blobs:
        return []
    for blob in blobs:
        if blob.machine != host_machine():
            raise BackendError(f"{blob.machine} code cannot be loaded on {host_machine()}")
    reasons: list[str] = []
    with _state.lock:
        for way in list(_state.ways):
            try:
                return way(blobs)
            except OSError as error:
                reasons.append(f"{way.__name__.strip('_')}: {error.strerror or error}")
                _log.warning("cannot load code by %s", reasons[-1])
                if len(_state.ways) > 1:
                    _state.ways.remove(way)
    raise BackendError(
        f"executable memory is not allowed here ({'; '.join(reasons)})",
        hint="allow it, or set DLC_DISABLE_JIT=1 to run in the interpreter",
    )


def _memory_file(blobs: Sequence[Blob]) -> list[LoadedCode]:
    """Append to a memory file that is mapped executable and never mapped writable."""
    loaded: list[LoadedCode] = []
    for blob in blobs:
        region = _state.region
        if len(blob.code) > _REGION // 4:
            region = _Region(len(blob.code))
        elif region is None or not region.fits(blob):
            _state.region = region = _Region(_REGION)
        loaded.append(region.append(blob))
    return loaded


def _private_pages(blobs: Sequence[Blob]) -> list[LoadedCode]:
    """Write the blobs into fresh pages, then make those executable for good."""
    offsets: list[int] = []
    size = 0
    for blob in blobs:
        offsets.append(_align(size, blob.alignment))
        size = offsets[-1] + len(blob.code)
    image = bytearray(size)
    for blob, offset in zip(blobs, offsets, strict=True):
        image[offset : offset + len(blob.code)] = blob.code
    pages = _Pages(size)
    pages.fill(bytes(image))
    return [
        _at(blob, pages.address + offset, pages)
        for blob, offset in zip(blobs, offsets, strict=True)
    ]


def _llvm_linker(blobs: Sequence[Blob]) -> list[LoadedCode]:
    """Hand the blobs to LLVM as objects; it has ways of its own to get executable memory."""
    import llvmlite.binding as llvm

    loaded: list[LoadedCode] = []
    try:
        jit = _lljit()
        for blob in blobs:
            builder = llvm.JITLibraryBuilder()
            builder.add_object_img(
                object_file.write_object(
                    blob.machine, blob.code, blob.symbols, alignment=blob.alignment
                )
            )
            for name in blob.symbols:
                builder.export_symbol(name)
            # A library's name cannot be used twice.
            tracker = builder.link(jit, f"dlc.{next(_library_numbers)}")
            loaded.append(LoadedCode({name: tracker[name] for name in blob.symbols}, tracker))
    except RuntimeError as error:
        raise OSError(str(error)) from None
    return loaded


_library_numbers = itertools.count()


@functools.cache
def _lljit() -> Any:
    import llvmlite.binding as llvm

    return llvm.create_lljit_compiler(code_generator.target_machine(host_isa()))


def _ways() -> list[Callable[[Sequence[Blob]], list[LoadedCode]]]:
    # A shared page would be written after its first execution. That is safe where caches of
    # instructions follow memory, which they do on x86 only.
    shared = sys.platform == "linux" and host_machine() == "x86_64"
    return [*([_memory_file] if shared else []), _private_pages, _llvm_linker]


class _State:
    """What the process has open; a forked child starts with its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ways = _ways()
        # A child and its parent would write over each other's code in a file that both map.
        self.region: _Region | None = None


class _Region:
    """A memory file and its executable mapping, filled from the front."""

    def __init__(self, size: int) -> None:
        size = _align(size, mmap.PAGESIZE)
        self.size = size
        self.used = 0
        self.file = os.memfd_create("dlc", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.file, size)
            flags = mmap.MAP_SHARED
            self.address = _map(size, _READ | _EXEC, flags, self.file)
        except OSError:
            os.close(self.file)
            raise
        # At exit nothing is unmapped: other threads may still run there.
        weakref.finalize(self, _close_region, self.file, self.address, size).atexit = False

    def fits(self, blob: Blob) -> bool:
        return _align(self.used, blob.alignment) + len(blob.code) <= self.size

    def append(self, blob: Blob) -> LoadedCode:
        offset = _align(self.used, blob.alignment)
        place, rest = offset, memoryview(blob.code)
        while rest:
            written = os.pwrite(self.file, rest, place)
            place, rest = place + written, rest[written:]
        self.used = offset + len(blob.code)
        return _at(blob, self.address + offset, self)


def _close_region(file: int, address: int, size: int) -> None:
    os.close(file)
    _libc().munmap(address, size)


class _Pages:
    """Private pages: writable until filled, executable afterwards."""

    def __init__(self, size: int) -> None:
        self.size = max(1, size)
        if sys.platform == "win32":
            self.address = _windows_allocate(self.size)
            weakref.finalize(self, _windows_free, self.address).atexit = False
            return
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        access = _READ | _WRITE
        if sys.platform == "darwin":
            flags |= 0x800  # MAP_JIT, whose pages stay writable to threads that ask for it
            access |= _EXEC
        self.address = _map(self.size, access, flags, -1)
        weakref.finalize(self, _libc().munmap, self.address, self.size).atexit = False

    def fill(self, image: bytes) -> None:
        if sys.platform == "win32":
            ctypes.memmove(self.address, image, len(image))
            _windows_protect(self.address, self.size)
            return
        if sys.platform == "darwin":
            _darwin_fill(self.address, image)
            return
        ctypes.memmove(self.address, image, len(image))
        # The kernel makes the caches agree when pages first become executable.
        if _libc().mprotect(self.address, self.size, _READ | _EXEC):
            raise _last_error()


def _darwin_fill(address: int, image: bytes) -> None:
    libc = _libc()
    protect = getattr(libc, "pthread_jit_write_protect_np", None)
    if protect is not None:
        protect(0)
    ctypes.memmove(address, image, len(image))
    if protect is not None:
        protect(1)
    libc.sys_icache_invalidate(ctypes.c_void_p(address), ctypes.c_size_t(len(image)))


@functools.cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64,
    ]  # fmt: skip
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


def _map(size: int, access: int, flags: int, file: int) -> int:
    address = _libc().mmap(None, size, access, flags, file, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        raise _last_error()
    return address


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


@functools.cache
def _kernel32() -> Any:
    kernel = ctypes.CDLL("kernel32", use_errno=True)
    kernel.VirtualAlloc.restype = ctypes.c_void_p
    kernel.VirtualAlloc.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_uint32,
    ]  # fmt: skip
    kernel.VirtualProtect.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_void_p,
    ]  # fmt: skip
    kernel.VirtualFree.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32]
    return kernel


def _windows_allocate(size: int) -> int:
    address = _kernel32().VirtualAlloc(None, size, 0x3000, 0x04)  # commit, reserve; read and write
    if not address:
        raise OSError("VirtualAlloc failed")
    return address


def _windows_protect(address: int, size: int) -> None:
    before = ctypes.c_uint32()
    if not _kernel32().VirtualProtect(address, size, 0x20, ctypes.byref(before)):  # read, execute
        raise OSError("VirtualProtect failed")


def _windows_free(address: int) -> None:
    _kernel32().VirtualFree(address, 0, 0x8000)


def _at(blob: Blob, address: int, owner: object) -> LoadedCode:
    return LoadedCode({name: address + offset for name, offset in blob.symbols.items()}, owner)


def _align(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


_state = _State()


def _after_fork() -> None:
    global _state  # noqa: PLW0603
    _state = _State()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
