"""Object code of several LLVM modules, on several CPUs.

llvmlite lets one thread at a time into LLVM. But LLVM keeps modules of different contexts apart,
and generating code takes most of a compilation: that one function is called past llvmlite's lock,
by threads that have a code generator each.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llvmlite.binding import ModuleRef, TargetMachine


def emit_objects(
    modules: Iterable[tuple[ModuleRef, bool]],
    lanes: Sequence[Mapping[bool, TargetMachine]],
    meanwhile: Callable[[], None],
) -> list[bytes | RuntimeError]:
    """The object of each module, or what LLVM says is wrong with it.

    Args:
        modules: Modules with contexts of their own, each with what tells which of a thread's code
            generators is for it. They are asked for on this thread, while others are at work.
        lanes: Code generators that nobody else uses meanwhile, those of each thread; this one has
            the first.
        meanwhile: What this thread does before it generates code too.
    """
    waiting: SimpleQueue[tuple[int, tuple[ModuleRef, bool]] | None] = SimpleQueue()
    found: dict[int, bytes | RuntimeError] = {}
    begun: SimpleQueue[None] = SimpleQueue()

    def work(machines: Mapping[bool, TargetMachine]) -> None:
        while (item := waiting.get()) is not None:
            number, (module, kind) = item
            begun.put(None)
            try:
                found[number] = _emit(module, machines[kind])
            except RuntimeError as error:
                found[number] = error.with_traceback(None)  # that would keep the module

    others = iter(lanes[1:])
    helpers: list[threading.Thread] = []
    try:
        for item in enumerate(modules):
            waiting.put(item)
            for machines in itertools.islice(others, 1):
                helper = threading.Thread(target=work, args=(machines,), daemon=True)
                with contextlib.suppress(RuntimeError):  # where there can be no more threads
                    helper.start()
                    helpers.append(helper)
                    begun.get()  # or it would wait for Python's lock until this thread has to
        meanwhile()
    finally:
        for _ in range(len(helpers) + 1):  # each thread ends at one of these
            waiting.put(None)
        try:
            work(lanes[0])
        finally:
            _wait_for(helpers)  # what they work on is closed afterwards
    return [found[k] for k in sorted(found)]


def _wait_for(threads: Sequence[threading.Thread]) -> None:
    """Waits for those that were started, through Ctrl-C, which is raised then."""
    interrupt: KeyboardInterrupt | None = None
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except KeyboardInterrupt as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt


def _emit(module: ModuleRef, machine: TargetMachine) -> bytes:
    generate = _generate()
    if generate is None:
        return machine.emit_object(module)
    ffi = _ffi()
    with ffi.OutputString() as complaint:
        memory = generate(machine, module, 1, complaint)
        if not memory:
            raise RuntimeError(str(complaint))
    library = ffi.lib
    try:
        start, size = library.LLVMPY_GetBufferStart(memory), library.LLVMPY_GetBufferSize(memory)
        return ctypes.string_at(start, size)
    finally:
        library.LLVMPY_DisposeMemoryBuffer(memory)


def _ffi() -> Any:
    import llvmlite.binding as llvm

    return getattr(llvm, "ffi")  # noqa: B009  it is not part of the stub


@functools.cache
def _generate() -> Callable[..., Any] | None:
    """LLVM's code generation without a lock; None for an llvmlite that is made otherwise."""
    try:
        locked = _ffi().lib.LLVMPY_TargetMachineEmitToMemory
        free = ctypes.CDLL(_ffi().lib._name).LLVMPY_TargetMachineEmitToMemory
        free.argtypes, free.restype = locked.argtypes, locked.restype
    except (AttributeError, OSError):
        return None
    return free
