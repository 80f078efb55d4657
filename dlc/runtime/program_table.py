"""Program tables: the kernel calls of a compiled program, as words that native code walks.

A table is an int64 array: a header `[magic, max_args, scratch_bytes, n_slots, wakes, growing]`, and
records:

* `[1, job]` calls one kernel; `[2, n, job * n]` calls independent kernels as one parallel region;
* `[3, job]` calls Python, unless its units are 0: `i32 function(ptr args)`, which ends the program
  with another status than 0;
* `[4, at]` goes on at another word of the table, `[5, slot, n, at * n]` at the one of n that a slot
  says;
* `[6, ...]` describes and begins a loop (`dlc.runtime.native.loops`), `[7, at]` ends it when its
  condition says so or starts an iteration, `[8, at]` ends an iteration;
* `[0]` ends the program.

In a program with loops, `growing` is where the table has the number of the slots whose memory
loops make, and these slots; each call then has slots of its own, in its work area.

A job is `[fn, units, chunk, n_args, slot.., n_dims, dim..]`: the kernel's address, its
parallel units, how many of them a thread takes at once, the slots of its pointers, its integers.
A kernel is `void kernel(ptr args, ptr dims, i64 lo, i64 hi, ptr scratch)`; it must compute the same
bits however `[0, units)` is divided at multiples of the chunk.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence

import numpy as np

from dlc.ir.errors import BackendError, MemoryLimitError
from dlc.ir.record import dataclass
from dlc.runtime.host_calls import raise_pending
from dlc.runtime.native.layout import (
    BEGIN,
    CALL,
    END,
    GROUP,
    HEADER_WORDS,
    HOST,
    HOST_FAILED,
    JUMP,
    NEXT,
    NO_MEMORY,
    OK,
    SWITCH,
    TABLE_MAGIC,
    TEST,
)
from dlc.runtime.native.support import pool_code
from dlc.runtime.threads import pool


@dataclass(frozen=True)
class Job:
    """One kernel call.

    Args:
        function: Address of the kernel.
        units: Parallel units of work, 0 or more.
        chunk: Units that a thread takes at once, 1 or more.
        slots: For each pointer parameter, the number of the slot that holds it.
        dims: Run-time integers, in the kernel's order.
        work: What it costs, in chunks of the usual cost.
        host: The callback behind `function`, which it keeps alive, where that is one of Python.
    """

    function: int
    units: int
    chunk: int
    slots: tuple[int, ...]
    dims: tuple[int, ...] = ()
    work: float = 1.0
    host: Callable[..., int] | None = None

    def __post_init__(self) -> None:
        if not self.function:
            raise ValueError("a job needs the address of a kernel")
        if self.units < 0 or self.chunk < 1:
            raise ValueError(f"a job of {self.units} units in chunks of {self.chunk}")
        if any(slot < 0 for slot in self.slots):
            raise ValueError(f"negative slot in {self.slots}")

    def words(self) -> list[int]:
        """The job as the table holds it."""
        return [
            *(self.function, self.units, self.chunk, len(self.slots), *self.slots),
            *(len(self.dims), *self.dims),
        ]


@dataclass(frozen=True)
class CarryWords:
    """What iterations hand on: the slots that they read and write, what it begins with, bytes."""

    slot: int
    next: int
    first: int
    size: int


@dataclass(frozen=True)
class SliceWords:
    """A slot that moves through the rows of another, the bytes of a row, whether that one grows."""

    slot: int
    whole: int
    size: int
    grows: bool = False


@dataclass(frozen=True)
class LoopWords:
    """A loop: how often it runs, and what changes from iteration to iteration.

    Args:
        counter: The slot of a number of its own.
        length: How often it runs, where that is known.
        condition: The slot of a bool that says whether it goes on.
        count: The slot of the number of iterations: read when neither of the two is given, written
            when there is a condition.
    """

    counter: int
    carries: tuple[CarryWords, ...] = ()
    slices: tuple[SliceWords, ...] = ()
    length: int | None = None
    condition: int | None = None
    count: int | None = None
    reverse: bool = False

    def words(self, head: int) -> list[int]:
        """The description, but for its first two words; `head` is the word after it."""
        if self.length is not None:
            kind, given = 0, self.length
        elif self.condition is None:
            kind, given = 1, 0
        else:
            kind, given = 2, self.condition
        count = -1 if self.count is None else self.count
        words = [head, kind, given, self.counter, count, int(self.reverse)]
        words += [len(self.carries), len(self.slices)]
        for c in self.carries:
            words += [c.slot, c.next, c.first, c.size]
        for x in self.slices:
            words += [x.slot, x.whole, x.size, int(x.grows)]
        return words


class ProgramTable:
    """Builds a program table.

    Args:
        n_slots: Pointers that the program works on: inputs, outputs, constants, temporaries.
        scratch_bytes: Private memory that each thread needs, the most of all kernels.

    wakes: Whether there is enough to do to wake threads that sleep. Otherwise only those help that
        are awake, unless such programs follow each other closely.

    Example:
        >>> table = ProgramTable(n_slots=2)
        >>> table.call(Job(function=address, units=64, chunk=16, slots=(0, 1), dims=(64,)))
        >>> run_table(table.array(), [x.ctypes.data, y.ctypes.data], num_threads=2)
    """

    def __init__(self, n_slots: int, scratch_bytes: int = 0) -> None:
        if n_slots < 0 or scratch_bytes < 0:
            raise ValueError(f"{n_slots} slots, {scratch_bytes} bytes of scratch memory")
        self.n_slots = n_slots
        self.scratch_bytes = scratch_bytes
        self.wakes = True
        self._records: list[int] = []
        self._max_args = 0
        self._moves = False
        self._growing: dict[int, None] = {}

    def call(self, job: Job) -> None:
        """Add the call of one kernel; it starts when all before it has ended."""
        self._check(job)
        self._records += [CALL if job.host is None else HOST, *job.words()]

    def group(self, jobs: Sequence[Job]) -> None:
        """Add kernels that do not depend on each other; they run as one parallel region."""
        self._check(*jobs)
        if any(job.host is not None for job in jobs):
            raise ValueError("a call of Python in a parallel region")
        self._records += [GROUP, len(jobs)]
        for job in jobs:
            self._records += job.words()

    def independent(self, jobs: Sequence[Job]) -> None:
        """Add kernels that do not depend on each other: as a group, if there is work to share."""
        if len(jobs) > 1 and sum(job.work for job in jobs) >= 1:
            self.group(jobs)
            return
        for job in jobs:
            self.call(job)

    def branch(self, slot: int, branches: Sequence[Callable[[], None]]) -> None:
        """Add records of which those of one branch run, by the number in a slot.

        Args:
            slot: Holds the number, an i64; one out of range is that of the nearest branch.
            branches: Each adds its records.
        """
        start = len(self._records)
        self._records += [SWITCH, slot, len(branches), *(0 for _ in branches)]
        jumps: list[int] = []
        for k, add in enumerate(branches):
            self._records[start + 3 + k] = self._here
            add()
            self._records += [JUMP, 0]
            jumps.append(len(self._records) - 1)
        for at in jumps:
            self._records[at] = self._here

    def loop(self, loop: LoopWords, test: Callable[[], None], body: Callable[[], None]) -> None:
        """Add records that run again and again.

        Args:
            loop: What is known of it.
            test: Adds the records that run before each iteration, and after the last.
            body: Adds those of an iteration.
        """
        self._moves = True
        self._growing.update({x.whole: None for x in loop.slices if x.grows})
        at, start = self._here, len(self._records)
        words = loop.words(0)
        words[0] = head = at + 2 + len(words)
        self._records += [BEGIN, 0, *words]
        assert self._here == head
        test()
        self._records += [TEST, at]
        body()
        self._records += [NEXT, at]
        self._records[start + 1] = self._here

    @property
    def _here(self) -> int:
        """The place in the table of the next record."""
        return HEADER_WORDS + len(self._records)

    def array(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The finished table, int64[n]; it must live, unmoved, as long as it may be run."""
        growing = [len(self._growing), *self._growing] if self._moves else []
        header = [TABLE_MAGIC, self._max_args, self.scratch_bytes, self.n_slots, int(self.wakes)]
        header.append(self._here + 1 if self._moves else 0)
        words = np.array([*header, *self._records, END, *growing], dtype=np.int64)
        words.flags.writeable = False
        return words

    def _check(self, *jobs: Job) -> None:
        for job in jobs:
            if any(slot >= self.n_slots for slot in job.slots):
                raise ValueError(f"a program of {self.n_slots} slots has none of {job.slots}")
        self._max_args = max([self._max_args, *(len(job.slots) for job in jobs)])


def work_area_bytes(table: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Size of the 64-byte aligned area behind the last slot.

    Arguments come first, then slots of a call's own, then scratch memory.
    """
    own = (8 * int(table[3]) + 63) & -64 if table[5] else 0
    return ((8 * int(table[1]) + 63) & -64) + own + int(table[2])


@functools.cache
def _driver() -> Callable[[int, int, int, int], int]:
    # CFUNCTYPE releases the interpreter's lock around the call.
    kind = ctypes.CFUNCTYPE(*[ctypes.c_int32, *[ctypes.c_void_p] * 3, ctypes.c_int64])
    return kind(pool_code())


def run_table(
    table: np.ndarray[tuple[int], np.dtype[np.int64]], slots: Sequence[int], num_threads: int = 1
) -> None:
    """Run a program on the calling thread and, for large kernels, on the pool's.

    Args:
        table: What `ProgramTable.array` made.
        slots: Addresses; the memory must live until the call returns.
        num_threads: Most threads to use, the caller's included.

    Raises:
        ValueError: for a wrong number of slots.
        BackendError: for a table that the driver does not know.
    """
    if len(slots) != table[3]:
        raise ValueError(f"the program has {table[3]} slots, not {len(slots)}")
    area = np.empty(work_area_bytes(table) + 63, dtype=np.uint8)
    pointers = np.array([*slots, (area.ctypes.data + 63) & -64], dtype=np.uint64)
    run_pointers(table.ctypes.data, pointers.ctypes.data, num_threads)


def run_pointers(table: int, pointers: int, num_threads: int) -> None:
    """Run a program whose memory is laid out already; all must live until the call returns.

    Args:
        table: Address of the table.
        pointers: Address of the slots' addresses, with that of the work area behind the last one.
        num_threads: Most threads to use, the caller's included.

    Raises:
        BackendError: for a table that the driver does not know.
        BaseException: what Python raised that the program calls.
    """
    status = _driver()(table, pointers, pool().address, num_threads)
    if status == HOST_FAILED:
        raise_pending()
    if status == NO_MEMORY:
        raise MemoryLimitError("what a loop keeps does not fit into memory")
    if status != OK:
        raise BackendError(f"the program table is malformed (status {status})")
