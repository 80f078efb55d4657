"""Call entries: what they accept, what they return, memory, attributes, threads, failures."""

import ctypes
import gc
import inspect
import os
import pickle
import signal
import sys
import threading
import tracemalloc
import weakref

import ml_dtypes
import numpy as np
import pytest
from native_samples import KERNEL_TYPE, kernel

from dlc.codegen.cpu.isa import ISA_LEVELS
from dlc.codegen.cpu.llvm import compile_module
from dlc.runtime import entry as entry_module
from dlc.runtime import entry_type
from dlc.runtime.entry import PythonEntry, call_counts, make_entry, set_bypass
from dlc.runtime.entry_plan import (
    RESULT,
    ArrayParameter,
    EntryPlan,
    Items,
    Part,
    Result,
    ScalarParameter,
    TensorLayout,
    Value,
)
from dlc.runtime.native import entry_layout
from dlc.runtime.native.entry_support import entry_source
from dlc.runtime.native.layout import HEADER_WORDS
from dlc.runtime.program_table import Job, ProgramTable

F32 = np.dtype(np.float32)
native = pytest.mark.skipif(
    entry_type.native_support() is None, reason="no native entries on this interpreter"
)


class Tensor:
    __slots__ = ("__weakref__", "_data", "_name", "_origin")

    def __init__(self, data):
        self._data = data


class SubTensor(Tensor):
    __slots__ = ()


LAYOUT = TensorLayout(Tensor, defaults={"_origin": None})


class Missed(Exception):
    """What the fallback of these tests raises: the entry did not serve the call."""


def missed(*args, **kwargs):
    raise Missed(args, kwargs)


def add_table(n, *, chunk=1 << 30):
    table = ProgramTable(3)
    table.call(Job(kernel("addf"), n, chunk, (0, 1, 2)))
    return table.array()


def add_entry(shape=(3, 5), fallback=missed, wrapped=None, **options):
    n = int(np.prod(shape))
    parameters = [ArrayParameter(0, shape, F32), ArrayParameter(1, shape, F32)]
    options = {"form": RESULT, **options}
    plan = EntryPlan(parameters, [Result(2, shape, F32)], add_table(n), **options)
    return make_entry(plan, LAYOUT, fallback, wrapped)


def random(shape=(3, 5), dtype=F32):
    return np.asarray(np.random.default_rng(0).random(shape)).astype(dtype)


@native
@pytest.mark.parametrize("shape", [(3, 5), (), (1,), (0,), (4, 0, 2), (2, 3, 1, 2), (70_000,)])
@pytest.mark.parametrize("release_gil", [False, True])
def test_hit(shape, release_gil):
    add = add_entry(shape, release_gil=release_gil)
    a, b = Tensor(random(shape)), Tensor(np.asarray(random(shape) - 1))
    results = [add(a, b) for _ in range(3)]
    assert call_counts(add) == (3, 0)
    del add
    gc.collect()
    assert len({r._data.ctypes.data for r in results}) == 3
    for r in results:
        assert type(r) is Tensor
        assert r._origin is None
        assert not hasattr(r, "_name")
        assert type(r._data) is np.ndarray
        assert r._data.shape == shape
        assert r._data.dtype is F32
        assert r._data.base is None
        assert r._data.flags.owndata
        assert r._data.flags.carray
        assert r._data.flags.f_contiguous == np.empty(shape).flags.f_contiguous
        assert r._data.size == 0 or r._data.strides == np.empty(shape, F32).strides
        assert r._data.ctypes.data % 64 == 0
        assert np.array_equal(r._data, a._data + b._data)


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


class SubArray(np.ndarray):
    pass


BAD_ARGUMENTS = {
    "none": None,
    "number": 1.0,
    "array": random(),
    "subclass": SubTensor(random()),
    "unset": Tensor.__new__(Tensor),
    "not an array": Tensor([1.0]),
    "array subclass": Tensor(random().view(SubArray)),
    "dtype": Tensor(random(dtype=np.float64)),
    "same size": Tensor(random().view(np.int32)),
    "byte order": Tensor(random().astype(">f4")),
    "shape": Tensor(random((5, 3))),
    "longer": Tensor(random((4, 5))),
    "wider": Tensor(random((3, 6))),
    "smaller": Tensor(random((2, 5))),
    "rank": Tensor(random((15,))),
    "more rank": Tensor(random((3, 5, 1))),
    "transposed": Tensor(random((5, 3)).T),
    "strided": Tensor(random((3, 10))[:, ::2]),
    "unaligned": Tensor(unaligned(random())),
}


@native
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("kind", BAD_ARGUMENTS)
def test_miss(kind, position):
    good, bad = Tensor(random()), BAD_ARGUMENTS[kind]
    args = [good, good]
    args[position] = bad
    add = add_entry()
    before = sys.getrefcount(good._data), sys.getrefcount(good)
    for _ in range(50):
        with pytest.raises(Missed) as caught:
            add(*args)
        seen, keywords = caught.value.args
        assert all(x is y for x, y in zip(seen, args, strict=True))
        assert keywords == {}
        del caught, seen
    gc.collect()
    after = sys.getrefcount(good._data), sys.getrefcount(good)
    assert after == before
    assert call_counts(add) == (0, 50)
    assert np.array_equal(add(good, good)._data, 2 * good._data)


@native
def test_other_calls_go_to_the_fallback():
    a = Tensor(random())
    add = add_entry(fallback=lambda *args, **kwargs: (args, kwargs))
    for args, kwargs in [
        ((), {}),
        ((a,), {}),
        ((a, a, a), {}),
        ((a,), {"b": a}),
        ((a, a), {"x": 1}),
    ]:
        assert add(*args, **kwargs) == (args, kwargs)
    assert call_counts(add) == (0, 5)
    assert type(add(a, a)) is Tensor


@native
def test_rank_zero():
    add = add_entry(())
    with pytest.raises(Missed):
        add(Tensor(random(())), Tensor(random((0,))))
    assert add(Tensor(random(())), Tensor(random(())))._data.shape == ()


@native
def test_read_only_and_aliased_inputs():
    a = Tensor(random())
    a._data.flags.writeable = False
    r = add_entry()(a, a)
    assert np.array_equal(r._data, 2 * a._data)
    assert r._data.flags.writeable


@native
def test_alignment_and_plain_arrays():
    parameters = [
        ArrayParameter(0, (4,), F32, alignment=64),
        ArrayParameter(1, (4,), F32, accepts_arrays=True),
    ]
    plan = EntryPlan(parameters, [Result(2, (4,), F32)], add_table(4), form=RESULT)
    add = make_entry(plan, LAYOUT, missed)
    raw = np.arange(64, dtype=F32)
    start = (-raw.ctypes.data % 64) // 4
    aligned, off = raw[start : start + 4], raw[start + 4 : start + 8]
    for second in (off, Tensor(off)):
        assert np.array_equal(add(Tensor(aligned), second)._data, aligned + off)
        with pytest.raises(Missed):
            add(Tensor(off), second)
    with pytest.raises(Missed):
        add(Tensor(aligned), off.view(SubArray))
    with pytest.raises(Missed):
        add(aligned, off)


@native
@pytest.mark.parametrize("dtype", [np.int8, np.bool_, np.float16, ml_dtypes.bfloat16, np.uint64])
def test_dtypes(dtype):
    def double(args, dims, lo, hi, scratch):
        source, target = (ctypes.c_void_p * 2).from_address(args)
        ctypes.memmove(target, source, hi)

    function = KERNEL_TYPE(double)
    table = ProgramTable(2)
    size = np.dtype(dtype).itemsize * 3
    table.call(Job(ctypes.cast(function, ctypes.c_void_p).value, size, size, (0, 1)))
    parameter, result = ArrayParameter(0, (3,), np.dtype(dtype)), Result(1, (3,), np.dtype(dtype))
    plan = EntryPlan([parameter], [result], table.array(), form=RESULT, keep=function)
    x = np.array([0, 1, 1]).astype(dtype)
    r = make_entry(plan, LAYOUT, missed)(Tensor(x))
    assert r._data.dtype == x.dtype
    assert r._data.tobytes() == x.tobytes()


def several(num_threads=1, release_gil=False):
    # (x + c) and ((x + c) + x), through a temporary that both read; scratch memory is used too.
    n = 1000
    constant = np.arange(n, dtype=F32)
    marks = np.zeros(n, np.int64)
    table = ProgramTable(5, scratch_bytes=640)
    table.call(Job(kernel("addf"), n, 100, (0, 1, 2)))
    table.call(Job(kernel("addf"), n, 100, (2, 1, 3)))
    table.call(Job(kernel("private"), n, 100, (4,), (5,)))
    plan = EntryPlan(
        [ArrayParameter(0, (n,), F32)],
        [Result(3, (10, 100), F32)],
        table.array(),
        constants={1: constant, 4: marks},
        temporaries={2: 128},
        arena_bytes=128 + 4 * n,
        num_threads=num_threads,
        release_gil=release_gil,
    )
    return make_entry(plan, LAYOUT, missed), constant


@native
@pytest.mark.parametrize("num_threads", [1, 3])
def test_constants_and_temporaries(num_threads):
    run, constant = several(num_threads)
    x = Tensor(random((1000,)))
    for _ in range(5):
        (r,) = run(x)
        assert np.array_equal(r._data, ((x._data + constant) + constant).reshape(10, 100))
        x = Tensor(x._data * 2)
    gc.collect()


@native
@pytest.mark.parametrize("release_gil", [False, True])
def test_many_python_threads(release_gil):
    run, constant = several(3, release_gil)
    errors = []

    def body(seed):
        x = np.random.default_rng(seed).random(1000).astype(F32)
        expected = ((x + constant) + constant).reshape(10, 100)
        results = (run(Tensor(x.copy()))[0]._data for _ in range(500))
        errors.extend(seed for r in results if not np.array_equal(r, expected))

    running = [threading.Thread(target=body, args=(seed,)) for seed in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    assert not errors
    assert call_counts(run) == (4000, 0)


@native
def test_several_results_and_none():
    shape = (2, 2)
    table = ProgramTable(4)
    table.call(Job(kernel("addf"), 4, 4, (0, 0, 1)))
    table.call(Job(kernel("addf"), 4, 4, (1, 0, 2)))
    results = [Result(2, shape, F32), Result(3, (0, 7), np.dtype(bool)), Result(1, shape, F32)]
    plan = EntryPlan([ArrayParameter(0, shape, F32)], results, table.array())
    x = random(shape)
    three, empty, two = make_entry(plan, LAYOUT, missed)(Tensor(x))
    assert np.array_equal(two._data, x + x)
    assert np.array_equal(three._data, x + x + x)
    assert empty._data.shape == (0, 7)
    nothing = make_entry(EntryPlan([], [], ProgramTable(0).array()), LAYOUT, missed)
    assert nothing() == ()
    assert call_counts(nothing) == (1, 0)


SCALARS = [
    ("float32", 1.5),
    ("float32", -0.0),
    ("float32", float("nan")),
    ("float32", float("inf")),
    ("float32", 1e300),
    ("float32", 1e-46),
    ("float32", 1 + 2**-24),
    ("float64", -0.0),
    ("float64", 1e-308),
    ("int64", -(2**63)),
    ("int64", 2**63 - 1),
    ("int32", -(2**31)),
    ("int32", 2**31 - 1),
    ("int32", 0),
    ("bool", True),
    ("bool", False),
]
BAD_SCALARS = [
    ("float32", 1),
    ("float64", True),
    ("float64", np.float64(1)),
    ("int64", 1.0),
    ("int64", True),
    ("int64", 2**63),
    ("int64", -(2**63) - 1),
    ("int64", 10**30),
    ("int32", 2**31),
    ("int32", -(2**31) - 1),
    ("int32", np.int32(1)),
    ("bool", 1),
    ("bool", np.True_),
    ("float32", None),
]


def scalar_entry(dtype):
    def copy(args, dims, lo, hi, scratch):
        source, target = (ctypes.c_void_p * 2).from_address(args)
        ctypes.memmove(target, source, hi)

    function = KERNEL_TYPE(copy)
    dtype = np.dtype(dtype)
    table = ProgramTable(2)
    size = dtype.itemsize
    table.call(Job(ctypes.cast(function, ctypes.c_void_p).value, size, size, (0, 1)))
    plan = EntryPlan(
        [ScalarParameter(0, dtype)],
        [Result(1, (), dtype)],
        table.array(),
        form=RESULT,
        keep=function,
    )
    return make_entry(plan, LAYOUT, missed)


@native
@pytest.mark.parametrize(("dtype", "value"), SCALARS)
def test_scalars(dtype, value):
    with np.errstate(over="ignore"):
        expected = np.array(value).astype(dtype)
    assert scalar_entry(dtype)(value)._data.tobytes() == expected.tobytes()


@native
@pytest.mark.parametrize(("dtype", "value"), BAD_SCALARS)
def test_scalars_that_do_not_fit(dtype, value):
    with pytest.raises(Missed):
        scalar_entry(dtype)(value)


@native
def test_bypass():
    add, a = add_entry(), Tensor(random())
    set_bypass(True)
    try:
        with pytest.raises(Missed):
            add(a, a)
    finally:
        set_bypass(False)
    assert type(add(a, a)) is Tensor


@pytest.mark.parametrize("native_one", [True, False])
def test_attributes_and_binding(native_one, monkeypatch):
    if not native_one:
        monkeypatch.setattr(entry_module, "native_support", lambda: None)

    def user(a, b=2, *, c):
        """Adds."""

    add = add_entry(wrapped=user, fallback=lambda *args, **kwargs: args)
    assert isinstance(add, PythonEntry) != (native_one and entry_type.native_support() is not None)
    assert add.__name__ == "user"
    assert add.__doc__ == "Adds."
    assert add.__wrapped__ is user
    assert inspect.signature(add) == inspect.signature(user)
    add.extra = 5
    assert add.extra == 5
    del add.extra
    assert not hasattr(add, "extra")
    assert callable(add)
    assert weakref.ref(add)() is add

    class Model:
        method = add

    model = Model()
    assert model.method(1) == (model, 1)
    assert Model.method is add
    assert Model.method(3) == (3,)


@native
def test_repr():
    def user():
        pass

    assert repr(add_entry(wrapped=user)) == f"<compiled function {user.__qualname__}>"
    assert repr(add_entry()) == "<compiled program>"
    with pytest.raises(TypeError):
        type(add_entry())()


@native
def test_entry_in_a_cycle_is_collected():
    class Holder:
        pass

    holder = Holder()
    add = add_entry(fallback=lambda *args, kept=holder: kept)
    add.itself = holder.entry = add
    add(Tensor(random()), Tensor(random()))
    gone = weakref.ref(holder), weakref.ref(add)
    del holder, add
    gc.collect()
    assert [r() for r in gone] == [None, None]


@native
def test_entry_keeps_what_it_needs():
    def user_fallback(*args):
        raise Missed

    gone = weakref.ref(user_fallback)
    add = add_entry(fallback=user_fallback)
    del user_fallback
    gc.collect()
    with pytest.raises(Missed):
        add(1, 2)
    del add
    gc.collect()
    assert gone() is None


@native
def test_no_reference_or_memory_is_lost():
    add, a, b = add_entry(), Tensor(random()), Tensor(random())
    things = [a, b, a._data, b._data, F32, Tensor, None, add]

    def measure():
        gc.collect()
        return [sys.getrefcount(t) for t in things if t is not None], sys.getallocatedblocks()

    for _ in range(10):
        add(a, b)
    counts, blocks = measure()
    for _ in range(2000):
        add(a, b)
    after, blocks_after = measure()
    assert after == counts
    assert abs(blocks_after - blocks) < 50


@native
def test_parts_of_arguments():
    whole = random((4, 6))
    part = whole[::-1, 1:3]
    at = part.ctypes.data - whole.ctypes.data
    guards = [ArrayParameter(0, (4, 6), F32), Items(slice, [Value(1), Value(3), Value(None)])]
    result = Part(0, at, part.shape, F32, part.strides)
    cut = make_entry(
        EntryPlan(guards, [result], ProgramTable(1).array(), form=RESULT), LAYOUT, missed
    )
    x = Tensor(whole)
    found = cut(x, slice(1, 3))._data
    assert found.base is whole
    assert (found.strides, found.flags.owndata, found.flags.aligned) == (part.strides, False, True)
    assert np.array_equal(found, part)
    larger = random((5, 6))
    assert cut(Tensor(larger[1:][:]), slice(1, 3))._data.base is larger  # as views of NumPy have it
    del found
    counts = sys.getrefcount(whole), sys.getrefcount(F32)
    for _ in range(100):
        cut(x, slice(1, 3))
    assert (sys.getrefcount(whole), sys.getrefcount(F32)) == counts
    for other in (slice(1, 3, 1), slice(True, 3), slice(1.0, 3), slice(2, 3), (1, 3, None), 1):
        with pytest.raises(Missed):
            cut(x, other)


@native
def test_arguments_that_are_views():
    turned, cut = random((5, 3)).T, random((3, 7))[:, 1:6]
    guards = [ArrayParameter(0, (3, 5), F32, strides=cut.strides, copied=True)]
    guards += [ArrayParameter(1, (3, 5), F32, strides=turned.strides)]
    plan = EntryPlan(guards, [Result(2, (3, 5), F32)], add_table(15), form=RESULT)
    add = make_entry(plan, LAYOUT, missed)
    for _ in range(3):  # the second is read as it lies in memory
        found = add(Tensor(cut), Tensor(turned))._data
        assert np.array_equal(found.ravel(), cut.ravel() + turned.T.ravel())
    counts = sys.getrefcount(cut), sys.getrefcount(turned)
    for _ in range(100):
        add(Tensor(cut), Tensor(turned))
    assert (sys.getrefcount(cut), sys.getrefcount(turned)) == counts
    for wrong in (random((3, 5)), np.ascontiguousarray(cut)):
        with pytest.raises(Missed):
            add(Tensor(wrong), Tensor(turned))
        with pytest.raises(Missed):
            add(Tensor(cut), Tensor(wrong))


@native
@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, float("nan"), 1, True, "x", None])
def test_values_are_told_apart(value):
    guards = [ArrayParameter(0, (4,), F32), Value(value)]
    plan = EntryPlan(guards, [Part(0, 0, (4,), F32, (4,))], ProgramTable(1).array(), form=RESULT)
    same, x = make_entry(plan, LAYOUT, missed), Tensor(random((4,)))
    assert same(x, float(repr(value)) if type(value) is float else value)._data is not x._data
    for other in (0.0, -0.0, 1.5, 0, 1, True, False, "y", None):
        if repr(other) != repr(value):
            with pytest.raises(Missed):
                same(x, other)


@native
def test_memory_of_calls_is_given_back():
    def make():
        table = ProgramTable(1).array()
        plan = EntryPlan([], [], table, temporaries={0: 0}, arena_bytes=3 << 20)
        return make_entry(plan, LAYOUT, missed)

    tracemalloc.start()
    try:
        run = make()
        run()
        start = tracemalloc.get_traced_memory()[0]
        assert start > 3 << 20
        for _ in range(20):
            run()  # all with the block of the first
        assert tracemalloc.get_traced_memory()[0] < start + 100_000
        for _ in range(20):
            make()()
        gc.collect()
        # One free block is kept for the next that needs as much.
        assert tracemalloc.get_traced_memory()[0] < start + (3 << 20) + 1_000_000
    finally:
        tracemalloc.stop()


@native
def test_results_are_ordinary_arrays():
    r = add_entry((4, 4))(Tensor(random((4, 4))), Tensor(random((4, 4))))._data
    expected = r.copy()
    view = r[1:]
    again = pickle.loads(pickle.dumps(r))
    assert np.array_equal(again, expected)
    r += 1
    assert np.array_equal(view, expected[1:] + 1)
    del view
    for size in (1000, 300_000, 10, 0, 5):  # the memory handler's realloc
        keep = r.ravel()[: min(r.size, size)].copy()
        r.resize((size,), refcheck=False)
        assert np.array_equal(r[: keep.size], keep)
        assert not r[keep.size :].any()
    del r
    gc.collect()


@native
def test_data_may_be_swapped_during_the_call():
    a = Tensor(random())
    gone = weakref.ref(a._data)
    alive = []

    def swap(args, dims, lo, hi, scratch):
        a._data = random() * 9
        gc.collect()
        alive.append(gone() is not None)

    function = KERNEL_TYPE(swap)
    table = ProgramTable(2)
    table.call(Job(ctypes.cast(function, ctypes.c_void_p).value, 1, 1, ()))
    table.call(Job(kernel("addf"), 15, 15, (0, 0, 1)))
    for release_gil in (False, True):
        expected = a._data * 2
        gone = weakref.ref(a._data)
        plan = EntryPlan(
            [ArrayParameter(0, (3, 5), F32)],
            [Result(1, (3, 5), F32)],
            table.array(),
            form=RESULT,
            release_gil=release_gil,
        )
        assert np.array_equal(make_entry(plan, LAYOUT, missed)(a)._data, expected)
        assert gone() is None
    assert alive == [True, True]


@native
def test_too_large_results():
    table = ProgramTable(3)
    huge = Result(2, (1 << 58,), F32)
    results = [Result(1, (3, 5), F32), huge]
    plan = EntryPlan([ArrayParameter(0, (3, 5), F32)], results, table.array())
    run, a = make_entry(plan, LAYOUT, missed), Tensor(random())

    def count():
        gc.collect()
        return sys.getrefcount(a._data), sum(type(o) is Tensor for o in gc.get_objects())

    before = count()
    for _ in range(3):
        with pytest.raises(MemoryError):
            run(a)
    after = count()
    assert after == before
    arena = EntryPlan([], [], ProgramTable(1).array(), temporaries={0: 0}, arena_bytes=1 << 60)
    with pytest.raises(MemoryError):
        make_entry(arena, LAYOUT, missed)()


@native
def test_malformed_table():
    words = add_table(15).copy()
    words[HEADER_WORDS] = 99
    parameters = [ArrayParameter(0, (3, 5), F32), ArrayParameter(1, (3, 5), F32)]
    plan = EntryPlan(parameters, [Result(2, (3, 5), F32)], words, form=RESULT)
    with pytest.raises(RuntimeError, match="malformed"):
        make_entry(plan, LAYOUT, missed)(Tensor(random()), Tensor(random()))


def test_bad_plans():
    table = add_table(4)
    a, b, r = ArrayParameter(0, (4,), F32), ArrayParameter(1, (4,), F32), Result(2, (4,), F32)
    with pytest.raises(ValueError, match="do not fill"):
        EntryPlan([a], [r], table)
    with pytest.raises(ValueError, match="do not fill"):
        EntryPlan([a, b, b], [r], table)
    with pytest.raises(ValueError, match="form"):
        EntryPlan([a, b], [], table, constants={2: random()}, form=RESULT)
    with pytest.raises(ValueError, match="outside"):
        EntryPlan([a, b], [], table, temporaries={2: 65}, arena_bytes=64)
    with pytest.raises(ValueError, match="contiguous"):
        EntryPlan([a, b], [], table, constants={2: random().T})
    with pytest.raises(ValueError, match="scalar"):
        EntryPlan([a, ScalarParameter(1, np.dtype(np.int8))], [r], table)
    gone = ArrayParameter(0, (4,), F32, overwritten={"_data": None})
    with pytest.raises(ValueError, match="is overwritten"):
        EntryPlan([gone, b], [r, Part(0, 0, (4,), F32, (4,))], table)
    with pytest.raises(ValueError, match="power of two"):
        EntryPlan([a, ArrayParameter(1, (4,), F32, alignment=24)], [r], table)


@native
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_interrupt():
    y = np.zeros(64, np.int64)
    table = ProgramTable(1, scratch_bytes=8)
    table.call(Job(kernel("private"), 64, 64, (0,), (1_500_000_000,)))
    plan = EntryPlan([], [], table.array(), constants={0: y}, release_gil=True)
    run = make_entry(plan, LAYOUT, missed)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run()
    timer.join()


@native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork():
    run, _ = several(3, True)
    x = Tensor(random((1000,)))
    (before,) = run(x)
    child = os.fork()
    if child == 0:
        same = np.array_equal(run(x)[0]._data, before._data)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "field", ["descr", "nd", "data", "flags", "dims", "strides", "mem_handler"]
)
def test_unknown_layout_of_arrays(field, monkeypatch):
    # 16 and 48 are words that hold something else: the data, and the base.
    monkeypatch.setitem(entry_layout.ARRAY, field, 48 if field == "data" else 16)
    with pytest.raises(entry_type.Unsupported, match="layout"):
        entry_type.NativeSupport()


def test_unusual_tensor_classes():
    class WithoutSlots:
        def __init__(self, data):
            self._data = data

    class Property:
        __slots__ = ()
        _data = property(lambda self: None)

    plan = EntryPlan([], [], ProgramTable(0).array())
    for cls in (WithoutSlots, Property):
        run = make_entry(plan, TensorLayout(cls), lambda: "fallback")
        assert isinstance(run, PythonEntry)
        assert run() == "fallback"
        assert call_counts(run) == (0, 1)
    with_defaults = TensorLayout(Tensor, defaults={"missing": None})
    assert isinstance(make_entry(plan, with_defaults, missed), PythonEntry)


@pytest.mark.parametrize("isa", ISA_LEVELS, ids=lambda isa: isa.name)
def test_compiles_for_every_level(isa):
    symbols = compile_module(entry_source().text(), isa).blob().symbols
    assert {"entry_call", "buffer_free", "entry_traverse"} <= symbols.keys()


@native
def test_a_call_runs_no_python():
    add, a, b = add_entry((16, 16)), Tensor(random((16, 16))), Tensor(random((16, 16)))

    def called(function):
        events: list[str] = []
        sys.setprofile(lambda frame, event, arg: events.append(event))
        try:
            function(a, b)
        finally:
            sys.setprofile(None)
        return events[:-1]  # the last is the end of profiling

    assert called(add) == []
    assert "call" in called(lambda x, y: Tensor(np.add(x._data, y._data)))


@native
@pytest.mark.parametrize("second", ["first", "other", "unset"])
def test_required_slots(second):
    n = 15
    parameters = [ArrayParameter(0, (3, 5), F32), ArrayParameter(1, (3, 5), F32, 1, True)]
    layout = TensorLayout(Tensor, required={"_origin": None, "_name": "first"})
    plan = EntryPlan(parameters, [Result(2, (3, 5), F32)], add_table(n), form=RESULT)
    add = make_entry(plan, layout, missed)
    a, b = Tensor(random()), Tensor(random())
    for x, name in ((a, "first"), (b, second)):
        x._origin = None
        if name != "unset":
            x._name = name
    if second == "first":
        assert np.array_equal(add(a, b)._data, 2 * a._data)
        b._origin = 0
    with pytest.raises(Missed):
        add(a, b)
    assert np.array_equal(add(a, b._data)._data, 2 * a._data)  # an array has no such slots


@native
def test_entries_that_share_their_counts():
    counts = np.zeros(2, np.int64)
    last = add_entry((2,), lambda *_: "neither", counts=counts)
    first = add_entry((3,), last, counts=counts)
    two, three = Tensor(random((2,))), Tensor(random((3,)))
    assert first(two, two)._data.shape == (2,)
    assert first(three, three)._data.shape == (3,)
    assert first(two, three) == "neither"
    assert counts.tolist() == [2, 3]
    assert call_counts(first) == call_counts(last) == (2, 3)
    del last, first
    gc.collect()
    assert counts.tolist() == [2, 3]
