"""Where things lie in the memory that Python and the native support code share."""

from __future__ import annotations

from typing import Final

LINE: Final = 128
"""Bytes between words of different threads: adjacent cache lines are fetched in pairs."""

BRIEF: Final = 10_000
"""Nanoseconds that a thread waits without giving its CPU away in between."""

LOST: Final = 20_000
"""Nanoseconds after which a thread that gave its CPU away knows that somebody else had it."""

MEETING: Final = 20_000_000
"""Nanoseconds that a caller waits for workers to arrive, in test mode."""

MAX_WORKERS: Final = 255
"""Threads that the pool can start; the word that announces a region counts to 4095."""

TABLE_MAGIC: Final = 0x444C43_0003
"""First word of a program table: "DLC" and the version of the format."""

HEADER_WORDS: Final = 6
END, CALL, GROUP, HOST = 0, 1, 2, 3
JUMP, SWITCH, BEGIN, TEST, NEXT = 4, 5, 6, 7, 8

OK, BAD_TABLE, HOST_FAILED, NO_MEMORY = 0, 1, 2, 3
"""Statuses that the driver returns."""

# Byte offsets in the pool's memory. Its first line is written once, before any worker runs.
POOL: Final = {
    "capacity": 0,  # workers that may be started; 0 where threads cannot be
    "spin": 8,  # nanoseconds before a waiting thread sleeps
    "cpus": 16,  # threads beyond this number do not spin
    "seed": 24,  # 0, or the seed of the order in which chunks are taken (test mode)
    "pthread_create": 32,
    "pthread_detach": 40,
    "pthread_sigmask": 48,
    "sig_setmask": 56,
    "malloc": 64,
    "free": 72,
    "sched_yield": 80,
    "mutex_lock": 88,
    "mutex_unlock": 96,
    "cond_wait": 104,
    "cond_broadcast": 112,
    "syscall": 120,
    "clock_gettime": 128,
    "sched_getcpu": 136,  # these four are null where there is no such function
    "sched_getaffinity": 144,
    "sched_setaffinity": 152,
    "pthread_setaffinity": 160,
    "tape_malloc": 168,  # of what loops keep, on any platform
    "tape_free": 176,
    "signals": 184,  # of `Signals`; null where nobody can interrupt a program
    "last_run": LINE + 64,  # when the last program ended, in nanoseconds
    "runs": LINE + 72,  # programs that had regions
    "word": 2 * LINE,  # epoch << 25 | open << 24 | wanted << 12 | inside
    "busy": 3 * LINE,  # 1 while a caller owns the pool
    "started": 3 * LINE + 8,  # workers that run; these two words are the owner's
    "regions": 3 * LINE + 16,
    "first": 4 * LINE,  # the region: its first job in the table, ...
    "total": 4 * LINE + 8,  # ... chunks of all jobs, ...
    "lanes": 4 * LINE + 16,  # ... threads that these were dealt out to, ...
    "slots": 4 * LINE + 24,
    "args_bytes": 4 * LINE + 32,  # ... and what each thread needs: pointers of arguments, ...
    "area_bytes": 4 * LINE + 40,  # ... and those with scratch memory
    "turn": 4 * LINE + 48,  # odd: backwards
    "caller_asleep": 5 * LINE,
    "mutex": 6 * LINE,  # these two only where there is no futex
    "cond": 7 * LINE,
    "mask": 8 * LINE,  # the CPUs that the last caller which woke a worker could use
    "lines": 9 * LINE,  # one line a thread: 0 is the caller's
}

# Byte offsets in the line of one thread.
THREAD: Final = {
    "chunks": 0,
    "asleep": 8,
    "pool": 16,
    "index": 24,
    "seen": 32,  # the last epoch that this worker looked at
    "raw": 40,  # its work area as allocated, ...
    "aligned": 48,
    "capacity": 56,
    "lane": 64,  # chunks that are its own and not taken yet: end << 32 | front
    "handle": 72,  # of the thread; these two are for the owner
    "placed": 80,  # 1 when it was kept off a CPU
}

# Byte offsets of what it takes to let Python handle signals: functions, and the one that is given
# the exception that a handler raised.
SIGNALS: Final = {
    "PyGILState_Ensure": 0,
    "PyGILState_Release": 8,
    "PyErr_CheckSignals": 16,
    "PyErr_Fetch": 24,
    "PyErr_NormalizeException": 32,
    "PyObject_CallOneArg": 40,
    "Py_DecRef": 48,
    "keep": 56,
}

PATIENCE: Final = 50_000_000
"""Nanoseconds of a loop after which Python may handle signals."""

POOL_BYTES: Final = POOL["lines"] + (MAX_WORKERS + 1) * LINE
