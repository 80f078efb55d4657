"""The thread pool as Python sees it: its memory, settings and counters. Its code is native.

There is one pool in a process. Its threads start when a program first wants them. A call that finds
the pool busy with another one runs on its own thread alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import weakref
from typing import Final

from dlc.ir.cpus import available_cpus
from dlc.ir.record import dataclass
from dlc.runtime.native.layout import LINE, MAX_WORKERS, POOL, POOL_BYTES, SIGNALS, THREAD
from dlc.runtime.native.support import address_of, keep_for_ever

_SPIN: Final = 100_000
"""Nanoseconds before a thread sleeps: about what it takes to wake it, both threads together."""

_SIG_SETMASK: Final = 3 if sys.platform == "darwin" else 2

_FUNCTIONS: Final = {
    "pthread_create": "pthread_create",
    "pthread_detach": "pthread_detach",
    "pthread_sigmask": "pthread_sigmask",
    "malloc": "malloc",
    "free": "free",
    "sched_yield": "sched_yield",
    "mutex_lock": "pthread_mutex_lock",
    "mutex_unlock": "pthread_mutex_unlock",
    "cond_wait": "pthread_cond_wait",
    "cond_broadcast": "pthread_cond_broadcast",
    "clock_gettime": "clock_gettime",
}

_PLACING: Final = {
    "sched_getcpu": "sched_getcpu",
    "sched_getaffinity": "sched_getaffinity",
    "sched_setaffinity": "sched_setaffinity",
    "pthread_setaffinity": "pthread_setaffinity_np",
}


@dataclass(frozen=True)
class PoolStats:
    """What the pool did since its counters were last reset.

    Args:
        workers: Threads that run, callers not counted.
        regions: Parallel regions.
        chunks: Chunks taken: by callers, then by each worker.
    """

    workers: int
    regions: int
    chunks: tuple[int, ...]


class ThreadPool:
    """Threads that share the chunks of parallel kernels with the thread that calls a program.

    Users take `pool()`; a pool of one's own is for tests of the pool. Its memory is never freed, as
    its threads end with the process.

    Args:
        capacity: Most workers that it may start.
    """

    def __init__(self, capacity: int = MAX_WORKERS) -> None:
        if not 0 <= capacity <= MAX_WORKERS:
            raise ValueError(f"a pool has 0 to {MAX_WORKERS} workers, not {capacity}")
        self._memory = ctypes.create_string_buffer(POOL_BYTES + LINE)
        keep_for_ever(self._memory)
        self.address = (ctypes.addressof(self._memory) + LINE - 1) & -LINE
        if sys.platform != "win32":  # Windows has no pthreads: programs run on one thread there
            self._write("capacity", capacity)
            self._set_functions()
            self._initialise_waiting()
        self._set_memory()
        self._write("spin", _SPIN)
        self._write("cpus", available_cpus())
        if hasattr(os, "register_at_fork"):
            reset = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (found := reset()) and found())

    def stats(self) -> PoolStats:
        """Read the counters; they may be read while programs run."""
        workers = self._word("started").value
        lines = [self._thread_word(i, "chunks").value for i in range(workers + 1)]
        return PoolStats(workers, self._word("regions").value, tuple(lines))

    def reset_stats(self) -> None:
        """Set the counters to zero; chunks taken at this moment may be missed."""
        self._write("regions", 0)
        for index in range(self._word("started").value + 1):
            self._thread_word(index, "chunks").value = 0

    def set_stealing_seed(self, seed: int | None) -> None:
        """Let threads take chunks in a random order with random delays, for tests; None ends it.

        Results must not depend on it: who computes a chunk, and when, never changes bits.
        """
        self._write("seed", 0 if seed is None else (seed * 2 + 1) & (2**63 - 1))

    def _word(self, name: str) -> ctypes.c_int64:
        return ctypes.c_int64.from_address(self.address + POOL[name])

    def _write(self, name: str, value: int) -> None:
        self._word(name).value = value

    def _thread_word(self, index: int, name: str) -> ctypes.c_int64:
        return ctypes.c_int64.from_address(
            self.address + POOL["lines"] + index * LINE + THREAD[name]
        )

    def _set_functions(self) -> None:
        library = ctypes.CDLL(None)
        for name, symbol in _FUNCTIONS.items():
            self._write(name, address_of(getattr(library, symbol)))
        if sys.platform == "linux":
            self._write("syscall", address_of(library.syscall))
            if all(hasattr(library, symbol) for symbol in _PLACING.values()):
                for name, symbol in _PLACING.items():
                    self._write(name, address_of(getattr(library, symbol)))
        self._write("sig_setmask", _SIG_SETMASK)
        self._write("signals", _signals())

    def _set_memory(self) -> None:
        for name, function in (
            ("tape_malloc", ctypes.pythonapi.PyMem_RawMalloc),
            ("tape_free", ctypes.pythonapi.PyMem_RawFree),
        ):
            self._write(name, address_of(function))

    def _initialise_waiting(self) -> None:
        library = ctypes.CDLL(None)
        for name in ("mutex", "cond"):
            initialise = getattr(library, f"pthread_{name}_init")
            initialise(ctypes.c_void_p(self.address + POOL[name]), None)

    def _after_fork(self) -> None:
        # The child has none of the threads; what they held is forgotten, not freed, as they may
        # have been anywhere. New ones start when they are wanted.
        begin = POOL["word"]
        ctypes.memset(self.address + begin, 0, POOL_BYTES - begin)
        self._initialise_waiting()


interrupts: list[BaseException] = []
"""What handlers of signals raised while programs ran, which end by it; the main thread's."""


@functools.cache
def _signals() -> int:
    """Where the driver finds how Python handles signals (`SIGNALS`)."""
    keep = interrupts.append  # no bytecode, before which Python would look for signals again
    words = (ctypes.c_uint64 * len(SIGNALS))()
    for name, at in SIGNALS.items():
        words[at // 8] = id(keep) if name == "keep" else address_of(getattr(ctypes.pythonapi, name))
    keep_for_ever(words)
    keep_for_ever(keep)
    return ctypes.addressof(words)


_pool = ThreadPool()


def pool() -> ThreadPool:
    """Give the process's pool."""
    return _pool


def stats() -> PoolStats:
    """Read the counters of the process's pool."""
    return pool().stats()


def reset_stats() -> None:
    """Set the counters of the process's pool to zero."""
    pool().reset_stats()


def set_stealing_seed(seed: int | None) -> None:
    """Let the process's pool take chunks in a random order (see `ThreadPool.set_stealing_seed`)."""
    pool().set_stealing_seed(seed)
