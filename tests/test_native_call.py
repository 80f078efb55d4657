"""Calls of compiled functions by native entries: which they are, and that nothing is lost."""

import asyncio
import contextvars
import functools
import gc
import threading
import weakref

import ml_dtypes
import numpy as np
import pytest

import dlc
from dlc.frontend import entry_chain
from dlc.runtime import call_plan, entry, entry_type
from dlc.runtime.buffers import address_of, addresses_of

pytestmark = pytest.mark.skipif(
    entry_type.native_support() is None, reason="no native entries on this interpreter"
)


def array(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def tensor(*shape, dtype=np.float32, seed=0):
    return dlc.asarray(array(*shape, dtype=dtype, seed=seed))


def served(f, *args, **kwargs):
    """How many calls entries serve when `f` is called once, and its result."""
    before = int(f.stats.entry_counts[0])
    result = f(*args, **kwargs)
    return int(f.stats.entry_counts[0]) - before, result


def warm(f, *args):
    """Calls until an entry serves such calls."""
    for _ in range(entry_chain.REPEATS):
        assert served(f, *args)[0] == 0
    assert served(f, *args)[0] == 1
    return f


def add():
    return dlc.compile(lambda x, y: x + y)


@pytest.mark.parametrize("shape", [(16, 16), (3, 5), (1,), (), (0,), (4, 0), (257,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, ml_dtypes.bfloat16, np.bool_])
def test_results_are_those_of_python(shape, dtype):
    f = dlc.compile(lambda x, y: x * y)
    x, y = np.asarray(array(*shape), dtype), np.asarray(array(*shape, seed=1), dtype)
    expected = dlc.compile(lambda x, y: x * y)(x, y)
    warm(f, x, y)
    for given in ((x, y), (dlc.asarray(x), dlc.asarray(y)), (dlc.asarray(x), y)):
        count, result = served(f, *given)
        assert count == 1
        assert type(result) is dlc.Tensor
        assert result.numpy().tobytes() == expected.numpy().tobytes()
        assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
        assert (result._weak, result._history, result._node, result._trace) == (False, *[None] * 3)


def test_special_values_keep_their_bits():
    values = np.array([np.nan, -0.0, 0.0, np.inf, -np.inf, 1e-45], np.float32)
    f = warm(dlc.compile(lambda x: x * 1), values)
    assert f(values).numpy().tobytes() == values.tobytes()


def test_several_results_constants_and_temporaries():
    @dlc.compile
    def f(x, y):
        h = dlc.tanh(x @ y) @ y
        return h + np.arange(16, dtype=np.float32), dlc.sum(h, axis=0), x

    x, y = array(16, 16), array(16, 16, seed=1)
    expected = f(x, y)
    f(x, y)
    for _ in range(3):
        count, results = served(f, x, y)
        assert count == 1
        assert type(results) is tuple
        for r, e in zip(results, expected, strict=True):
            assert r.numpy().tobytes() == e.numpy().tobytes()


def test_numbers_are_arguments():
    f = dlc.compile(lambda x, k, b: dlc.where(b, x * k, x))
    x = array(3)
    warm(f, x, 2.0, True)
    for k in (0.5, -3.0, float("inf")):
        assert np.array_equal(f(x, k, True).numpy(), x * np.float32(k))
        assert np.array_equal(f(x, k, False).numpy(), x)
    assert f.stats.compilations == 1
    assert served(f, x, 2, True)[0] == 0  # an integer is another program
    assert served(f, x, np.float64(2), True)[0] == 0
    assert served(f, x, dlc.asarray(2.0), True)[0] == 0
    big = dlc.compile(lambda n: n + 1)
    warm(big, 5)
    assert big(2**62).item() == 2**62 + 1
    with pytest.raises(dlc.ValueRangeError, match="int64"):
        big(2**63)


def test_calls_that_go_through_python():
    f = add()
    x = tensor(4, 4)
    warm(f, x, x)
    wide = array(4, 8)
    others = [
        (x, wide[:, ::2]),
        (x, array(4, 4).astype(">f4")),
        (x, dlc.Variable(array(4, 4))),
        (x, array(4, 4).view(np.matrix)),
    ]
    for args in others:
        count, result = served(f, *args)
        assert count == 0
        assert np.array_equal(result.numpy(), x.numpy() + np.asarray(args[1], np.float32))
    assert served(f, x, y=x)[0] == 0
    with pytest.raises(dlc.ArgumentError):
        f(x)
    with pytest.raises(dlc.ArgumentError):
        f(x, x, x)
    with pytest.raises(dlc.ArgumentError):
        f(x, "text")
    assert served(f, x, x)[0] == 1


def test_functions_that_need_python():
    x = tensor(3)
    v = dlc.Variable(array(3), requires_grad=True)
    functions = {
        "donates arrays": dlc.compile(lambda x: x + 1, donate_argnums=0),
        "records": dlc.compile(lambda x: x + v),
        "disabled": dlc.compile(lambda x: x + 1, disable=True),
        "reference": dlc.compile(lambda x: x + 1, device="reference"),
    }
    for name, f in functions.items():
        for _ in range(4):
            f(array(3) if name.startswith("donates") else x)
        assert f._native.active is None, name


def test_rebinding_what_is_captured_is_seen():
    w = tensor(3)
    f = dlc.compile(lambda x: x + w)
    x = np.zeros(3, np.float32)
    for k in range(5):
        w[...] = k
        assert f(x).tolist() == [k] * 3


def test_large_results():
    f = dlc.compile(lambda x: x + 1)
    x = array((1 << 20) + 1)  # over 4 MiB
    warm(f, x)
    assert np.array_equal(f(x).numpy(), x + 1)


def test_large_temporaries_are_not_held_twice(monkeypatch):
    looked = []
    real = call_plan.entry_plan

    def plan(*args, **keywords):
        looked.append(real(*args, **keywords))
        return looked[-1]

    monkeypatch.setattr(call_plan, "entry_plan", plan)
    monkeypatch.setattr(call_plan, "_MAX_ARENA", 1000)
    f = dlc.compile(lambda x: (x @ x) @ x)
    x = array(30, 30)
    for _ in range(40):
        f(x)
    assert f._native.active is None
    assert 1 <= len(looked) <= 5
    assert looked == [None] * len(looked)


def test_interpreters_without_native_entries(monkeypatch):
    made = []

    def python_entry(plan, layout, fallback):
        made.append(entry.PythonEntry(fallback))
        return made[-1]

    monkeypatch.setattr(entry, "make_entry", python_entry)
    f = add()
    for k in range(50):
        assert np.array_equal(f(np.float32([k]), np.float32([1])).numpy(), [k + 1])
    assert f._native.active is None
    assert len(made) == 1
    assert (f.stats.calls, f.stats.native_calls) == (50, 50)


# The object that is called.


def python_calls(f, *args, **kwargs):
    """How many calls went through Python when `f` was called once."""
    before = f.stats.python_calls
    f(*args, **kwargs)
    return f.stats.python_calls - before


def test_every_way_to_call_reaches_the_entry():
    f, x = add(), tensor(3)
    warm(f, x, x)
    assert python_calls(f, *[x, x]) == 0
    before = int(f.stats.entry_counts[0])
    functools.partial(f, x)(x)
    list(map(f, [x, x], [x, x]))
    assert int(f.stats.entry_counts[0]) == before + 3
    assert f.__call__(x, x).tolist() == f(x, x).tolist()


def test_classes_derived_from_compiled_functions():
    class Twice(dlc.CompiledFunction):
        def __call__(self, *args):
            return [super().__call__(*args)] * 2

    class Same(dlc.CompiledFunction):
        pass

    f, x = add(), tensor(3)
    for kind, expected in ((Twice, 2), (Same, 3)):
        g = kind(f.__wrapped__, f.settings, f.signature)
        for _ in range(entry_chain.REPEATS + 2):
            assert len(g(x, x)) == expected


def test_functions_that_are_being_destroyed():
    f, x = add(), tensor(3)
    warm(f, x, x)
    del f._entry
    assert f(x, x).tolist() == (2 * x.numpy()).tolist()
    del f._python
    with pytest.raises(RuntimeError, match="destroyed"):
        f(x, x)


def test_layouts_that_are_not_known(monkeypatch):
    from dlc.runtime import dispatch
    from dlc.runtime.native import entry_layout

    monkeypatch.setitem(entry_layout.CALLABLE, "entry", 40)

    class Function(dlc.CompiledFunction):
        __slots__ = ()

    f, x = add(), tensor(3)
    g = Function(f.__wrapped__, f.settings, f.signature)
    for _ in range(entry_chain.REPEATS + 2):
        assert g(x, x).tolist() == (2 * x.numpy()).tolist()
    assert not dispatch._can_dispatch(Function)


# State of the thread that an entry does not know.


def test_histories_go_through_python():
    f = add()
    x = tensor(3)
    warm(f, x, x)
    v = dlc.Variable(array(3), requires_grad=True)
    y = v * 2
    count, result = served(f, x, y)
    assert count == 0
    dlc.sum(result).backward()
    assert v.grad.tolist() == [2, 2, 2]
    y = f(x, v)
    dlc.sum(y).backward()
    assert v.grad.tolist() == [3, 3, 3]
    assert served(f, x, x)[0] == 1


def test_tapes():
    f = add()
    x, v = tensor(3), dlc.Variable(array(3))
    warm(f, x, x)
    with dlc.GradientTape() as tape:
        y = dlc.sum(f(v * 3, x) * f(x, x))
    assert np.allclose(tape.gradient(y, v).numpy(), 6 * x.numpy())
    with dlc.GradientTape() as tape:
        assert served(f, x, x)[0] == 1
        tape.watch(x)
        count, y = served(f, x, x)
        assert count == 0
        y = dlc.sum(y)
    assert tape.gradient(y, x).tolist() == [2, 2, 2]


def test_no_grad():
    f = add()
    x, v = tensor(3), dlc.Variable(array(3), requires_grad=True)
    warm(f, x, x)
    with dlc.no_grad():
        y = f(v, x)
        assert served(f, x, x)[0] == 1
    assert y._history is None
    with pytest.raises(dlc.DerivativeError):
        dlc.sum(y).backward()


def test_traces():
    f = add()
    x = tensor(3)
    warm(f, x, x)
    inside = []

    @dlc.compile
    def outer(y):
        inside.append(served(f, x, x)[0])
        inside.append(served(f, x, y)[0])
        return f(x, x) + f(x, y)

    expected = x.numpy() * 3 + 1
    assert np.allclose(outer(np.ones(3, np.float32)).numpy(), expected)
    assert inside == [0, 0]
    x[...] = 0  # what is closed over is an input of `outer`, by reference
    assert outer(np.ones(3, np.float32)).tolist() == [1, 1, 1]
    gradient = dlc.grad(lambda a: dlc.sum(f(a, x) * f(x + 1, x)))(tensor(3))
    assert gradient.tolist() == [1, 1, 1]
    assert served(f, x, x)[0] == 1


def test_traces_of_another_thread_or_context_do_not_matter():
    f = add()
    x = tensor(3)
    warm(f, x, x)
    found = []

    @dlc.compile
    def outer(y):
        thread = threading.Thread(target=lambda: found.append(served(f, x, x)[0]))
        thread.start()
        thread.join()
        context = contextvars.copy_context()
        found.append(context.run(lambda: served(f, x, x)[0]))

        async def task():
            return served(f, x, x)[0]

        found.append(asyncio.run(task()))
        return y

    outer(x)
    assert found == [1, 0, 0]


# Settings.


def test_disable_jit():
    f = add()
    x = tensor(3)
    warm(f, x, x)
    with dlc.config.scope(disable_jit=True):
        count, _ = served(f, x, x)
        assert count == 0
        assert f.stats.interpreted_ops > 0
    assert served(f, x, x)[0] == 1
    before = f.stats.interpreted_ops
    dlc.config.disable_jit = True
    try:
        for _ in range(5):
            assert served(f, x, x)[0] == 0
        assert f.stats.interpreted_ops == before + 5
    finally:
        dlc.config.disable_jit = False
    assert served(f, x, x)[0] == 0  # made under other settings
    for _ in range(2 * entry_chain.REPEATS):
        f(x, x)
    assert served(f, x, x)[0] == 1


@pytest.mark.parametrize(
    "settings", [{"num_threads": 1}, {"isa": "x86-64-v2"}, {"debug_nans": True}, {"verify": True}]
)
def test_settings_that_change(settings):
    if "isa" in settings and dlc.config.isa is None and not _is_x86():
        pytest.skip("another architecture")
    f = add()
    x = tensor(3)
    warm(f, x, x)
    with dlc.config.scope(**settings):
        assert served(f, x, x)[0] == 0
        for _ in range(8):
            f(x, x)
        # A scope that lasts gets an entry of its own, but where each operation is looked at.
        assert served(f, x, x)[0] == (0 if "debug_nans" in settings else 1)
    assert served(f, x, x)[0] == (1 if "debug_nans" in settings else 0)


def _is_x86():
    from dlc.codegen.cpu.isa import host_isa

    return host_isa().name.startswith("x86")


def test_threads_are_those_of_the_setting():
    f = dlc.compile(lambda x, y: x @ y)
    g = dlc.compile(lambda x, y: x @ y, num_threads=1)
    x = tensor(200, 200)
    one, two = warm(g, x, x)(x, x), warm(f, x, x)(x, x)
    with dlc.config.scope(num_threads=3):
        for _ in range(8):
            f(x, x)
        count, three = served(f, x, x)
    assert count == 1
    assert one.numpy().tobytes() == two.numpy().tobytes() == three.numpy().tobytes()


def test_short_scopes_make_no_entries():
    f = add()
    x = tensor(3)
    warm(f, x, x)
    active = f._native.active
    for _ in range(50):
        with dlc.config.scope(num_threads=1):
            f(x, x)
    assert f._native.active is active
    assert served(f, x, x)[0] == 1


# Shapes.


def test_alternating_shapes_are_all_served():
    f = add()
    shapes = [tensor(n, n) for n in range(2, 2 + entry_chain.MAX_ENTRIES)]
    for _ in range(entry_chain.REPEATS):
        for x in shapes:
            f(x, x)
    for _ in range(3):
        for x in shapes:
            count, result = served(f, x, x)
            assert count == 1
            assert np.array_equal(result.numpy(), 2 * x.numpy())
    assert f.stats.compilations <= 3


def test_many_shapes_do_not_thrash(monkeypatch):
    made = []
    real = entry.make_entry
    monkeypatch.setattr(entry, "make_entry", lambda *a: made.append(1) or real(*a))
    f = add()
    for k in range(600):
        x = tensor(2 + k % 12)
        assert np.array_equal(f(x, x).numpy(), 2 * x.numpy())
    assert f.stats.calls == 600
    assert 4 <= len(made) <= 40


def test_recompiling_is_still_refused():
    f = dlc.compile(lambda x, y: x + y, on_recompile="error")
    x = tensor(3)
    warm(f, x, x)
    with pytest.raises(dlc.RecompileError):
        f(tensor(4), tensor(4))
    assert served(f, x, x)[0] == 1
    g = dlc.compile(lambda x: x + 1, on_recompile="warn")
    warm(g, x)
    with pytest.warns(UserWarning, match="compiled again") as caught:
        g(tensor(4))
    assert caught[0].filename == __file__


# Counting, memory, threads.


def test_statistics():
    f = add()
    x = tensor(3)
    stats = f.stats
    for k in range(1, 21):
        f(x, x)
        assert (stats.calls, stats.native_calls, stats.cache_hits) == (k, k, k - 1)
        assert f.stats is stats
    assert int(stats.entry_counts[0]) == 20 - entry_chain.REPEATS
    f(tensor(4), tensor(4))
    assert (stats.calls, stats.cache_hits, stats.compilations) == (21, 19, 2)
    assert "calls=21" in repr(stats)


def test_counts_of_dropped_entries_stay():
    f = add()
    for n in range(2, 12):
        x = tensor(n)
        for _ in range(40):
            f(x, x)
    assert f.stats.calls == f.stats.native_calls == 400
    assert int(f.stats.entry_counts[0]) > 200


def test_threads():
    f = dlc.compile(lambda x, y: x * 2 + y)
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(300):
            n = int(rng.integers(1, 9))
            x, y = rng.random((2, n)).astype(np.float32)
            if not np.array_equal(f(x, y).numpy(), x * 2 + y):
                failures.append((seed, n))

    threads = [threading.Thread(target=work, args=(s,)) for s in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert f.stats.calls == f.stats.native_calls == 2400


def test_results_are_not_shared_and_arguments_are_not_kept():
    f = add()
    x = tensor(16)
    warm(f, x, x)
    a, b = f(x, x), f(x, x)
    assert not np.shares_memory(a.numpy(), b.numpy())
    a[...] = 0
    assert np.array_equal(b.numpy(), 2 * x.numpy())
    argument = array(16)
    gone = weakref.ref(argument)
    f(argument, x)
    del argument
    assert gone() is None


def test_functions_and_entries_are_collected():
    f = add()
    x = tensor(3)
    warm(f, x, x)
    gone = weakref.ref(f)
    del f
    gc.collect()
    assert gone() is None


def test_methods_have_entries_of_their_own():
    class Scale:
        def __init__(self, k):
            self.k = k

        @dlc.compile
        def times(self, x):
            return x * self.k

    two, three = Scale(2), Scale(3)
    x = np.ones(3, np.float32)
    warm(two.times, x)
    warm(three.times, x)
    assert (two.times(x).tolist(), three.times(x).tolist()) == ([2] * 3, [3] * 3)


def test_results_of_entries_can_be_donated():
    f = add()
    x = tensor(64)
    warm(f, x, x)
    g = dlc.compile(lambda x: x + 1, donate_argnums=0)
    y, kept = f(x, x), f(x, x)
    view = kept.numpy()
    before = view.copy()
    assert np.array_equal(g(y).numpy(), 2 * x.numpy() + 1)
    assert np.array_equal(g(kept).numpy(), 2 * x.numpy() + 1)
    assert np.array_equal(view, before)


def test_addresses():
    arrays = [array(3), array(4, 4)[1:], np.zeros(0), np.frombuffer(b"12345678", np.int32)]
    assert addresses_of(arrays) == [a.ctypes.data for a in arrays]
    assert [address_of(a) for a in arrays] == addresses_of(arrays)
