"""The thread pool: results for any number of threads, contention, fork, signals, exit, failures."""

import contextlib
import ctypes
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from native_samples import KERNEL_TYPE, kernel, run_on

import dlc
from dlc.codegen.cpu.isa import ISA_LEVELS
from dlc.codegen.cpu.llvm import compile_module
from dlc.runtime import threads
from dlc.runtime.native.entry_support import entry_source
from dlc.runtime.native.layout import MAX_WORKERS, POOL
from dlc.runtime.native.support import pool_source
from dlc.runtime.program_table import Job, ProgramTable, run_table

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
FUTEX = [True, False] if sys.platform == "linux" else [False]


def axpy_program(n=1000, rounds=2, chunk=10):
    """y = rounds * 5 * x by calls and groups, with what checks it."""
    table = ProgramTable(3)
    axpy = kernel("axpy")
    for _ in range(rounds):
        table.call(Job(axpy, n, chunk, (0, 1), (5,)))
        table.group([Job(axpy, n, 3 * chunk, (0, 2), (2,)), Job(axpy, n // 2, chunk, (1, 1), (0,))])
    words = table.array()
    x, y, z = np.arange(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
    addresses = [a.ctypes.data for a in (x, y, z)]

    def check(run):
        y[:] = z[:] = 0
        run(words, addresses)
        assert np.array_equal(y, 5 * rounds * x)
        assert np.array_equal(z, 2 * rounds * x)

    return check


@pytest.fixture
def stealing():
    yield threads.set_stealing_seed
    threads.set_stealing_seed(None)


@pytest.mark.parametrize("num_threads", [1, 2, 3, 7])
def test_results_and_counters(num_threads, stealing):
    check = axpy_program()
    per_run = 2 * (100 + 34 + 50)
    for seed in (None, 0, 1, 2, 12345678901234567890):
        stealing(seed)
        threads.reset_stats()
        for _ in range(3):
            check(lambda table, slots: run_table(table, slots, num_threads))
        found = threads.stats()
        assert sum(found.chunks) == (0 if num_threads == 1 else 3 * per_run)
        assert found.regions == (0 if num_threads == 1 else 12)
        if num_threads > 1 and seed is not None:
            for _ in range(1000):  # on a busy machine others may get no CPU for a while
                if sum(count > 0 for count in threads.stats().chunks) >= 2:
                    break
                check(lambda table, slots: run_table(table, slots, num_threads))
            found = threads.stats()
            assert sum(count > 0 for count in found.chunks) >= 2
            assert not any(found.chunks[num_threads:])


SMALL_PROGRAMS = """
import time
import numpy as np
from native_samples import kernel
from dlc.runtime import threads
from dlc.runtime.program_table import Job, ProgramTable, run_table

x, y = np.arange(1000), np.zeros(1000, np.int64)

def run(wakes, times):
    table = ProgramTable(2)
    table.wakes = wakes
    for _ in range(times):
        table.call(Job(kernel("axpy"), 1000, 10, (0, 1), (1,)))
    run_table(table.array(), [x.ctypes.data, y.ctypes.data], 2)

for _ in range(3):
    run(False, 2)
    time.sleep(0.002)
assert threads.stats().workers == 0, "a small program started a thread"
assert sum(threads.stats().chunks) == threads.stats().regions * 100 == 600
run(True, 1)
assert threads.stats().workers == 1
run(False, 2)
assert np.array_equal(y, 9 * x)
"""


def test_small_programs_leave_threads_asleep():
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}){SMALL_PROGRAMS}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stealing_order_depends_on_the_seed(stealing):
    def order(seed):
        seen = []
        function = KERNEL_TYPE(lambda args, dims, lo, hi, scratch: seen.append(lo))
        table = ProgramTable(0)
        table.call(Job(ctypes.cast(function, ctypes.c_void_p).value, 50, 1, ()))
        stealing(seed)
        run_table(table.array(), [], 2)
        assert sorted(seen) == list(range(50))
        return seen

    found = [order(seed) for seed in (1, 2, 3, 4)]
    assert all(seen != sorted(seen) for seen in found)
    assert len({tuple(seen) for seen in found}) == 4


def chunks_by_thread(total, num_threads, before):
    """The chunks that each thread takes, in order; `before(chunk, taken)` is called in it first."""
    taken, lock = {}, threading.Lock()

    def body(args, dims, lo, hi, scratch):
        with lock:
            mine = taken.setdefault(threading.get_ident(), [])
            mine.append(lo)
        before(lo, taken)

    function = KERNEL_TYPE(body)
    table = ProgramTable(0)
    table.call(Job(ctypes.cast(function, ctypes.c_void_p).value, total, 1, ()))
    run_table(table.array(), [], num_threads)
    assert sorted(c for chunks in taken.values() for c in chunks) == list(range(total))
    return taken.pop(threading.get_ident()), sorted(taken.values())


def goes_backwards():
    """Whether the next region of the process's pool does."""
    return bool(threads.pool()._word("runs").value % 2)


@pytest.mark.parametrize("num_threads", [2, 3, 7])
def test_each_thread_begins_with_its_share(num_threads):
    for total in (num_threads, 30, 30, 31, 31):
        together = threading.Barrier(num_threads)
        ends = [k * total // num_threads for k in range(num_threads + 1)]
        starts = [end - 1 for end in ends[1:]] if goes_backwards() else ends[:-1]

        def before(chunk, taken, together=together, starts=starts):
            if chunk in starts:
                together.wait(60)

        mine, others = chunks_by_thread(total, num_threads, before)
        assert [mine[0], *(chunks[0] for chunks in others)] == starts


@pytest.mark.parametrize("run", [0, 1])
def test_a_late_thread_is_helped_from_the_end_of_its_share(run):
    forwards = [*range(10), *range(19, 10, -1)], [10]
    backwards = [*range(9, -1, -1), *range(10, 19)], [19]
    expected, (late,) = backwards if goes_backwards() else forwards
    alone = threading.Event()

    def before(chunk, taken):
        if chunk == late:
            assert alone.wait(60)
        elif chunk == expected[0]:  # the other one is there
            while len(taken) < 2:
                time.sleep(0.001)
        elif chunk == expected[-1]:
            alone.set()

    assert chunks_by_thread(20, 2, before) == (expected, [[late]])


def test_every_other_region_goes_backwards_and_that_changes_with_each_run():
    wanted = [[False], [True], [False, True], [True, False], [False, True, False]]
    # A worker that has just begun may take a chunk before it sleeps, on a busy machine.
    assert any(order_of_regions(threads.ThreadPool()) == wanted for _ in range(20))


def order_of_regions(pool):
    """For each region of some programs whether it went backwards."""
    orders, seen = [], []
    function = KERNEL_TYPE(lambda args, dims, lo, hi, scratch: seen.append(lo))
    address = ctypes.cast(function, ctypes.c_void_p).value
    for regions in (1, 1, 2, 2, 3):
        table = ProgramTable(0)
        table.wakes = False  # the caller is alone
        for _ in range(regions):
            table.call(Job(address, 5, 1, ()))
        seen.clear()
        run_on(pool, table.array(), [], 2)
        orders.append([seen[k] > seen[k + 1] for k in range(0, 5 * regions, 5)])
    return orders


@pytest.mark.parametrize("futex", FUTEX)
def test_both_ways_to_sleep(futex):
    pool = threads.ThreadPool(capacity=6)
    for num_threads in (2, 7, 3):
        check = axpy_program(n=5000)
        for pause in (0, 0, 0.02):  # the last finds the workers asleep
            time.sleep(pause)
            for _ in range(20):
                check(lambda t, s, n=num_threads: run_on(pool, t, s, n, futex=futex))
    assert pool.stats().workers == 6
    y = np.zeros(64, np.int64)
    table = ProgramTable(1, scratch_bytes=8)
    table.call(Job(kernel("private"), 64, 1, (0,), (300_000,)))
    came = 0
    for _ in range(200):  # on a busy machine a worker may not get a core in time
        y[:] = 0
        pool.reset_stats()
        time.sleep(0.02)
        run_on(pool, table.array(), [y.ctypes.data], 7, futex=futex)
        assert np.array_equal(y, np.arange(64))
        chunks = pool.stats().chunks
        assert sum(chunks) == 64
        came = sum(count > 0 for count in chunks)
        if came >= 2:
            break
    assert came >= 2  # sleeping workers came for long work


def test_capacity():
    pool = threads.ThreadPool(capacity=0)
    axpy_program()(lambda t, s: run_on(pool, t, s, 4))
    assert pool.stats() == threads.PoolStats(0, 0, (0,))
    pool = threads.ThreadPool(capacity=2)
    axpy_program()(lambda t, s: run_on(pool, t, s, 100))
    assert pool.stats().workers == 2
    with pytest.raises(ValueError, match="workers"):
        threads.ThreadPool(MAX_WORKERS + 1)


def test_more_threads_than_the_machine_has():
    axpy_program(n=40_000)(lambda t, s: run_table(t, s, 40))


def test_no_threads_to_be_had():
    pool = threads.ThreadPool()
    refuse = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)(lambda *_: 11)
    word = ctypes.c_int64.from_address(pool.address + POOL["pthread_create"])
    word.value = ctypes.cast(refuse, ctypes.c_void_p).value
    axpy_program()(lambda t, s: run_on(pool, t, s, 4))
    assert pool.stats().workers == 0


def test_no_scratch_memory_to_be_had():
    pool = threads.ThreadPool()
    refuse = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int64)(lambda size: None)
    pool.set_stealing_seed(1)  # so that workers come
    word = ctypes.c_int64.from_address(pool.address + POOL["malloc"])
    word.value = ctypes.cast(refuse, ctypes.c_void_p).value
    y = np.zeros(200, np.int64)
    table = ProgramTable(1, scratch_bytes=100)
    table.call(Job(kernel("private"), 200, 10, (0,), (3000,)))
    assert run_on(pool, table.array(), [y.ctypes.data], 3) == 0
    assert np.array_equal(y, np.arange(200) // 10 * 10)
    assert pool.stats().chunks == (20, 0, 0)


def in_threads(count, body):
    errors = []

    def guarded():
        try:
            body()
        except BaseException as error:  # noqa: BLE001  raised again by the test
            errors.append(error)

    running = [threading.Thread(target=guarded, daemon=True) for _ in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
        assert not thread.is_alive(), "deadlock"
    if errors:
        raise errors[0]


def test_many_callers_at_once(stealing):
    def body():
        check = axpy_program()
        for _ in range(200):
            check(lambda t, s: run_table(t, s, 3))

    in_threads(8, body)
    stealing(5)
    in_threads(4, lambda: axpy_program()(lambda t, s: run_table(t, s, 7)))


def test_nested_call_runs_on_its_own_thread():
    check = axpy_program()
    ran = []

    def body(args, dims, lo, hi, scratch):
        axpy_program()(lambda t, s: run_table(t, s, 3))
        ran.append(lo)

    function = KERNEL_TYPE(body)
    table = ProgramTable(0)
    table.call(Job(ctypes.cast(function, ctypes.c_void_p).value, 6, 1, ()))
    run_table(table.array(), [], 3)
    assert sorted(ran) == list(range(6))
    check(lambda t, s: run_table(t, s, 3))


@posix
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork():
    check = axpy_program(n=4000)

    def run(table, slots):
        run_table(table, slots, 3)

    check(run)
    stop = threading.Event()

    def others():
        keep_busy = axpy_program(n=4000)
        while not stop.is_set():
            keep_busy(run)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                try:
                    for _ in range(5):
                        check(run)
                    os._exit(0 if threads.stats().workers == 2 else 3)
                except BaseException:  # noqa: BLE001  a child must not go on with the tests
                    os._exit(4)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join()
    check(run)


@linux
def test_workers_block_signals():
    axpy_program()(lambda t, s: run_table(t, s, 4))
    masks = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # threads of earlier tests may end meanwhile
            status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
            masks.append(int(status["SigBlk"], 16))
    interrupt = 1 << (signal.SIGINT - 1)
    assert sum(bool(mask & interrupt) for mask in masks) >= 3


_PLACES = """
import os, sys, time
sys.path.insert(0, {tests!r})
import numpy as np
from native_samples import kernel, run_on
from dlc.runtime import threads
from dlc.runtime.program_table import Job, ProgramTable

threads.pool()._write("cpus", 3)
mine = os.sched_getaffinity(0)
others = []
table = ProgramTable(1, scratch_bytes=8)
table.call(Job(kernel("private"), 64, 1, (0,), (100_000,)))
words, y = table.array(), np.zeros(64, np.int64)
for _ in range(20):
    run_on(threads.pool(), words, [y.ctypes.data], 3)
    time.sleep(0.002)  # they sleep
    others = [int(t) for t in os.listdir("/proc/self/task") if int(t) != os.getpid()]
assert len(others) >= 2
for _ in range(1000):
    if all(os.sched_getaffinity(t) == mine for t in others):
        break
    time.sleep(0.01)  # until the last one that was woken has run
else:
    raise AssertionError([os.sched_getaffinity(t) for t in others])
assert os.sched_getaffinity(0) == mine
"""


@linux
def test_woken_threads_may_run_where_their_caller_may():
    code = _PLACES.format(tests=str(Path(__file__).parent))
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


_SCRIPT = """
import sys, threading, time, os
sys.path.insert(0, {tests!r})
import numpy as np
from native_samples import kernel
from dlc.runtime.program_table import Job, ProgramTable, run_table
y = np.zeros(400, np.int64)
table = ProgramTable(1, scratch_bytes=8)
for _ in range(20):
    table.call(Job(kernel("private"), 400, 10, (0,), (100000,)))
words = table.array()
def run():
    run_table(words, [y.ctypes.data], 3)
run()
"""


def script(body, **options):
    text = _SCRIPT.format(tests=str(Path(__file__).parent)) + body
    root = str(Path(__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-c", text], env={**os.environ, "PYTHONPATH": root}, text=True, **options
    )


@posix
@pytest.mark.parametrize("ending", ["", "time.sleep(0.1)", "os._exit(0)"])
def test_exit(ending):
    # Workers spin, sleep, or compute for a daemon thread while the interpreter goes away.
    assert script(ending).wait(60) == 0
    loop = "\ndef loop():\n  while True: run()\n"
    loop += "threading.Thread(target=loop, daemon=True).start()\ntime.sleep(0.1)\n"
    assert script(loop + ending).wait(60) == 0


@posix
def test_interrupt():
    body = """
print("ready", flush=True)
try:
    while True: run()
except KeyboardInterrupt:
    run()
    print("interrupted", flush=True)
"""
    process = script(body, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "interrupted\n"
    assert process.returncode == 0


class Enough(Exception):
    pass


@posix
def test_signals_are_handled_while_a_loop_runs():
    state = dlc.Variable(np.zeros(3, np.float32))

    @dlc.compile
    def run(n):
        def body(carry):
            return carry[0] * 0.5 + 1, carry[1] + 1

        first = (state.data, np.int64(0))
        state.assign(dlc.while_loop(lambda carry: carry[1] < n, body, first)[0])
        return n

    def handler(*_):
        seen.append(1)
        if len(seen) == 3:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Enough

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(3):  # from Python, then natively
            seen = []
            assert run(np.int64(1)).item() == 1
            held = state.numpy().copy()
            signal.setitimer(signal.ITIMER_REAL, 0.06, 0.06)
            with pytest.raises(Enough):
                run(np.int64(2**60))  # years
            assert len(seen) == 3
            assert np.array_equal(state.numpy(), held)
        assert run.stats.interpreted_ops == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("isa", ISA_LEVELS, ids=lambda isa: isa.name)
@pytest.mark.parametrize("futex", [True, False])
def test_compiles_for_every_level(isa, futex):
    assert compile_module(pool_source(isa, futex=futex).text(), isa).blob().symbols.keys() == {
        "dlc_run"
    }


def test_compiles_for_windows():
    # Windows's convention needs help from a library for large or variable stack frames.
    isa = dataclasses.replace(ISA_LEVELS[0], triple="x86_64-pc-windows-elf")
    assert "dlc_run" in compile_module(pool_source(isa, futex=False).text(), isa).blob().symbols
    assert "entry_call" in compile_module(entry_source().text(), isa).blob().symbols
