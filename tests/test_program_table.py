"""Program tables: their words, their checks, and what the driver does with each record."""

import ctypes

import numpy as np
import pytest
from native_samples import KERNEL_TYPE, kernel

from dlc.ir.errors import BackendError
from dlc.runtime.native.layout import HEADER_WORDS, TABLE_MAGIC
from dlc.runtime.program_table import Job, ProgramTable, run_table


def test_words():
    table = ProgramTable(n_slots=5, scratch_bytes=256)
    table.call(Job(function=1000, units=9, chunk=4, slots=(4, 0), dims=(-3,)))
    table.group([Job(2000, 0, 1, ()), Job(3000, 1, 1, (1, 2, 3), (7, 8))])
    assert table.array().tolist() == [
        *(TABLE_MAGIC, 3, 256, 5, 1, 0),
        *(1, 1000, 9, 4, 2, 4, 0, 1, -3),
        *(2, 2, 2000, 0, 1, 0, 0, 3000, 1, 1, 3, 1, 2, 3, 2, 7, 8),
        0,
    ]
    assert not table.array().flags.writeable
    table.wakes = False
    assert table.array().tolist()[:6] == [TABLE_MAGIC, 3, 256, 5, 0, 0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((0, 1, 1, ()), "address"),
        ((8, -1, 1, ()), "-1 units"),
        ((8, 1, 0, ()), "chunks of 0"),
        ((8, 1, 1, (-1,)), "negative slot"),
    ],
)
def test_bad_jobs(fields, message):
    with pytest.raises(ValueError, match=message):
        Job(*fields)


def test_bad_tables():
    table = ProgramTable(n_slots=2)
    with pytest.raises(ValueError, match="2 slots"):
        table.call(Job(8, 1, 1, (2,)))
    with pytest.raises(ValueError, match="2 slots"):
        table.group([Job(8, 1, 1, (0,)), Job(8, 1, 1, (5,))])
    with pytest.raises(ValueError, match="-1 slots"):
        ProgramTable(-1)
    assert table.array().tolist() == [TABLE_MAGIC, 0, 0, 2, 1, 0, 0]
    with pytest.raises(ValueError, match="2 slots, not 1"):
        run_table(table.array(), [0])


def test_independent_jobs_are_a_group_when_there_is_work_to_share():
    def table_of(add, works):
        table = ProgramTable(1)
        jobs = [Job(7, 4, 2, (0,), (), work) for work in works]
        add(table, jobs)
        return table.array().tolist()

    def each(table, jobs):
        for job in jobs:
            table.call(job)

    for works, add in (((0.5, 0.4), each), ((3.0,), each), ((0.5, 0.5), ProgramTable.group)):
        assert table_of(ProgramTable.independent, works) == table_of(add, works)


@pytest.mark.parametrize(("position", "value"), [(0, 7), (HEADER_WORDS, 99), (HEADER_WORDS, -1)])
def test_malformed_table(position, value):
    words = ProgramTable(0).array().copy()
    words[position] = value
    with pytest.raises(BackendError, match="malformed"):
        run_table(words, [])


def recorder():
    seen = []

    def body(args, dims, lo, hi, scratch):
        seen.append((lo, hi))

    return KERNEL_TYPE(body), seen


def address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


@pytest.mark.parametrize(
    ("units", "chunk", "threads", "expected"),
    [
        (0, 4, 2, []),
        (1, 4, 2, [(0, 1)]),
        (4, 4, 2, [(0, 4)]),
        (5, 4, 2, [(0, 4), (4, 5)]),
        (11, 4, 1, [(0, 11)]),
        (11, 4, 0, [(0, 11)]),
        (11, 4, -5, [(0, 11)]),
        (11, 4, 3, [(0, 4), (4, 8), (8, 11)]),
        (3, 1, 1000, [(0, 1), (1, 2), (2, 3)]),
        (3, 2**62, 2, [(0, 3)]),
    ],
)
@pytest.mark.parametrize("grouped", [False, True])
def test_ranges(units, chunk, threads, expected, grouped):
    function, seen = recorder()
    job = Job(address(function), units, chunk, ())
    table = ProgramTable(0)
    if grouped:
        table.group([job])
    else:
        table.call(job)
    run_table(table.array(), [], threads)
    assert sorted(seen) == expected


def test_order_of_calls():
    # Each call reads what the one before wrote, and every job of a group sees the calls before it.
    n = 300
    x = np.arange(n)
    y, z, w = (np.zeros(n, np.int64) for _ in range(3))
    table = ProgramTable(4)
    axpy = kernel("axpy")
    table.call(Job(axpy, n, 7, (0, 1), (3,)))
    table.group([])
    table.group(
        [
            Job(axpy, n, 11, (1, 2), (2,)),
            Job(axpy, 0, 5, (0, 1), (9,)),
            Job(axpy, n, 13, (1, 3), (5,)),
        ]
    )
    table.call(Job(axpy, n, n, (2, 3), (1,)))
    for threads in (1, 2, 5):
        y[:] = z[:] = w[:] = 0
        run_table(table.array(), [a.ctypes.data for a in (x, y, z, w)], threads)
        assert np.array_equal(y, 3 * x)
        assert np.array_equal(z, 6 * x)
        assert np.array_equal(w, 21 * x)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_arguments(threads):
    count = 4096
    got = []

    def body(args, dims, lo, hi, scratch):
        got.append((ctypes.c_int64 * count).from_address(args)[:])

    function = KERNEL_TYPE(body)
    slots = list(range(100, 100 + count))
    table = ProgramTable(count)
    table.call(Job(address(function), 2, 1, tuple(reversed(range(count)))))
    run_table(table.array(), slots, threads)
    assert got == [slots[::-1]] * (1 if threads == 1 else 2)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_scratch_is_private_and_aligned(threads):
    for size in (8, 100, 100_000, 8):
        y = np.zeros(200, np.int64)
        table = ProgramTable(1, scratch_bytes=size)
        table.call(Job(kernel("private"), 200, 10, (0,), (3000,)))
        run_table(table.array(), [y.ctypes.data], threads)
        expected = np.zeros(200, np.int64) if threads == 1 else np.arange(200) // 10 * 10
        assert np.array_equal(y, expected)
