"""`dlc.compile`: calls, keywords, specialisation, recompilation, stages, threads, methods."""

import copy
import dataclasses
import gc
import operator
import pickle
import re
import threading
import warnings
import weakref
from typing import NamedTuple

import numpy as np
import pytest

import dlc
from dlc.ir.parser import parse_function


def double(x):
    return x * 2


# Calls


def test_spellings():
    @dlc.compile
    def f(x):
        return x + 1

    @dlc.compile(level="O1", name="named")
    def g(x):
        return x + 1

    for h in (f, g, dlc.jit(double)):
        assert h(1.0).dtype is dlc.float32
    assert f.__name__ == "f"
    assert g.name == "named"
    assert dlc.compile(f).__wrapped__ is f.__wrapped__
    assert dlc.jit is dlc.compile


@pytest.mark.parametrize(
    "value",
    [
        2.5, 3, True, np.float32(2), np.arange(3), np.arange(6.0).reshape(2, 3)[:, ::2],
        np.zeros((0, 3)),
        np.ones((2, 1, 3), np.float16), np.array(7, np.uint8),
    ],
    ids=repr,
)  # fmt: skip
def test_arguments(value):
    f = dlc.compile(double)
    if isinstance(value, bool):
        value = np.int64(value)
    np.testing.assert_array_equal(f(value).numpy(), np.asarray(value) * 2)
    np.testing.assert_array_equal(f(dlc.asarray(value)).numpy(), np.asarray(value) * 2)


class Point(NamedTuple):
    x: object
    y: object


@dataclasses.dataclass
class Pair:
    left: object
    right: object


def test_trees_in_and_out():
    @dlc.compile
    def f(tree, extra=None):
        return {
            "sum": tree["a"][0] + tree["b"].x,
            "none": None,
            "pair": Pair(tree["b"].y, [tree["a"][1]]),
        }

    one = np.ones(2, np.float32)
    result = f({"a": [one, one * 2], "b": Point(one * 3, one * 4)})
    assert result["sum"].tolist() == [4, 4]
    assert result["none"] is None
    assert isinstance(result["pair"], Pair)
    assert result["pair"].left.tolist() == [4, 4]
    assert result["pair"].right[0].tolist() == [2, 2]


def test_keywords_and_positions_are_one_call():
    @dlc.compile
    def f(x, y=2.0, *, z=1):
        return x * y + z

    assert f(1.0, 3.0).item() == f(x=1.0, y=3.0).item() == f(y=3.0, x=1.0).item() == 4
    assert f.stats.compilations == 1
    assert f(1.0).item() == 3
    assert f(1.0, z=5).item() == 7


def test_variadic_arguments():
    f = dlc.compile(lambda *xs, **named: sum(xs) + sum(named.values()))
    assert f(1, 2, 3, a=4).item() == 10
    assert f(1, 2).item() == 3


def test_results_that_are_no_tensors():
    f = dlc.compile(lambda x: (x, 3, 2.5, None, np.arange(3)))
    _, three, half, none, array = f(1.0)
    assert three.dtype is dlc.int64
    assert half.dtype is dlc.float32
    assert none is None
    assert array.tolist() == [0, 1, 2]


def test_results_that_are_arguments_are_values_of_their_own():
    f = dlc.compile(lambda x: (x, x, x.reshape(-1)))
    array = np.arange(4, dtype=np.float32)
    a, b, c = f(array)
    array[0] = 9
    a[1] = 7
    assert (a.tolist(), b.tolist(), c.tolist()) == ([0, 7, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3])


def test_no_arguments():
    assert dlc.compile(lambda: dlc.ones((2,)))().tolist() == [1, 1]
    assert dlc.compile(lambda: None)() is None


@pytest.mark.parametrize("value", ["text", object(), {1, 2}, print, b"x"])
def test_arguments_that_are_no_data(value):
    with pytest.raises(dlc.ArgumentError, match="static_argnames") as error:
        dlc.compile(lambda x, option: x)(1.0, {"deep": [value]})
    assert "option['deep'][0]" in str(error.value)


def test_wrong_arguments():
    f = dlc.compile(lambda x: x)
    for call in (f, lambda: f(1, 2), lambda: f(1, y=2)):
        with pytest.raises(dlc.ArgumentError, match="DLC104"):
            call()
    with pytest.raises(dlc.ArgumentError, match="returned a str at .'a'."):
        dlc.compile(lambda x: {"a": "b"})(1)
    with pytest.raises(dlc.ArgumentError):
        dlc.compile(3)
    with pytest.raises(dlc.ValueRangeError):
        f(1 << 70)


@pytest.mark.parametrize(
    "keyword",
    [{"level": "O9"}, {"precision": "exakt"}, {"on_recompile": "never"}, {"static_argnames": "w"},
     {"static_argnums": 4}, {"donate_argnums": 3}],
    ids=str,
)  # fmt: skip
def test_bad_keywords(keyword):
    with pytest.raises(dlc.ValueRangeError, match="DLC105"):
        dlc.compile(lambda x: x, **keyword)
    with pytest.raises(dlc.SettingError):
        dlc.compile(lambda x: x, num_threads=0)


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
def test_levels(level):
    f = dlc.compile(lambda x, y: dlc.softmax(x @ y) * 3 + x.sum(), level=level, verify=True)
    x = np.random.default_rng(0).standard_normal((5, 5)).astype(np.float32)
    e = np.exp(x @ x)
    np.testing.assert_allclose(
        f(x, x).numpy(), e / e.sum(1, keepdims=True) * 3 + x.sum(), rtol=1e-5
    )
    assert f.stats.interpreted_ops == 0


def test_disable():
    seen = []
    f = dlc.compile(lambda x: seen.append(x) or x + 1, disable=True)
    assert f(dlc.asarray(1.0)).item() == 2
    assert not seen[0].is_traced
    assert f.stats.compilations == 0


def test_a_disabled_function_sees_what_a_program_would():
    """Arrays are tensors of the same types, and writes stay inside."""

    def f(x, scale, kind):
        x[0] = 9
        return x * scale, type(x), kind

    x, kind = np.arange(3, dtype=np.int32), np.ones(2)
    plain = dlc.compile(f, disable=True, static_argnums=2)
    found, type_, given = plain(x, 0.5, kind)
    assert (type_, given) == (dlc.Tensor, kind)
    assert found.dtype is dlc.float32  # NumPy would make float64 of it
    assert found.tolist() == [4.5, 0.5, 1.0]
    assert x.tolist() == [0, 1, 2]
    same = dlc.compile(lambda x: x, disable=True)(x)
    x[0] = 5
    assert same.tolist() == [0, 1, 2]


def test_a_function_compiled_inside_sees_arrays_as_tensors():
    k = np.arange(3, dtype=np.int32)

    @dlc.compile
    def inner(x):
        x[0] = 8
        return x * 0.5

    for outer in (lambda y: y + inner(k), dlc.compile(lambda y: y + inner(k))):
        found = outer(np.zeros(3, np.float16))
        assert found.dtype is dlc.float32
        assert found.tolist() == [4.0, 0.5, 1.0]
    assert k.tolist() == [0, 1, 2]


def test_disable_jit_interprets():
    f = dlc.compile(lambda x: dlc.exp(x) + 1)
    with dlc.config.scope(disable_jit=True):
        a = f(0.5).item()
    assert f.stats.interpreted_ops > 0
    assert f.stats.native_calls == 0
    assert f(0.5).item() == pytest.approx(a, rel=1e-6)
    assert f.stats.native_calls == 1


# Specialisation


def test_fifty_batch_sizes_compile_twice():
    f = dlc.compile(lambda x, w: dlc.relu(x @ w).sum(axis=1))
    w = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    for n in [32, *range(1, 51)]:
        x = np.full((n, 7), 0.5, np.float32)
        np.testing.assert_allclose(f(x, w).numpy(), np.maximum(x @ w, 0).sum(1), rtol=1e-5)
    assert f.stats.compilations == 2
    assert f.stats.traces == 2
    assert f.stats.recompilations == ["dim 0 of x was 32, now 1"]
    assert "dim 0 of x was 32, now 1" in f.explain()


def test_empty_batches_have_a_program_of_their_own():
    f = dlc.compile(lambda x: (x * 2, x.sum()))
    for n in (3, 0, 4, 0, 5, 6):
        y, s = f(np.ones((n, 2)))
        assert y.shape == (n, 2)
        assert s.item() == 2 * n
    assert f.stats.compilations == 3


def test_changed_numbers_do_nothing():
    f = dlc.compile(lambda x, lr, n, flag: x * lr + n + flag)
    x = np.ones(2, np.float32)
    for k in range(5):
        result = f(x, 0.1 * k, k, k % 2 == 0)
        assert result.dtype is dlc.float32
        np.testing.assert_allclose(result.numpy(), 0.1 * k + k + (k % 2 == 0), rtol=1e-6)
    assert (f.stats.traces, f.stats.compilations, f.stats.calls) == (1, 1, 5)


def test_numbers_are_weak():
    f = dlc.compile(lambda x, a: (x * a, a, a * 2, dlc.sin(a) * x))
    for dtype in ("f16", "f32", "f64"):
        y, a, b, s = f(dlc.ones((2,), dtype=dtype), 0.1)
        assert y.dtype == s.dtype == dlc.asarray(0, dtype=dtype).dtype
        assert a.dtype is b.dtype is dlc.float32
    assert f(dlc.ones((2,), dtype="f64"), 0.1)[0].numpy()[0] == 0.1


def test_a_dim_that_changes_together_with_another():
    f = dlc.compile(lambda x, y: (x.sum() + y.sum(), x, y))
    for n, m in [(2, 2), (3, 3), (4, 4), (5, 6), (7, 8)]:
        assert f(np.ones(n), np.ones(m))[0].item() == n + m
    assert f.stats.compilations == 3


def test_dtype_rank_and_structure_specialise():
    f = dlc.compile(lambda x: dlc.sum(x[0] if isinstance(x, list) else x))
    for x in (np.ones(2), np.ones(2, np.float32), np.ones((2, 2)), [np.ones(2)], 1.0):
        f(x)
    assert f.stats.compilations == 5
    text = f.explain()
    assert "the dtype of x was float64, now float32" in text
    assert "x had 1 dims, now 2" in text
    assert "nested differently" in text


def test_static_arguments():
    calls = []

    @dlc.compile(static_argnames=["mode", "n"])
    def f(x, mode, *, n=1):
        calls.append(mode)
        return x * 2 if mode == "double" else x**n

    assert f(3.0, "double").item() == 6
    assert f(3.0, mode="double").item() == 6
    assert f(3.0, "power", n=2).item() == 9
    assert f(3.0, "power", n=3).item() == 27
    assert calls == ["double", "power", "power"]
    assert "static argument n was 2, now 3" in f.explain()
    with pytest.raises(dlc.ArgumentError, match="hashed"):
        f(1.0, ["no"])


def test_static_values_of_equal_hash_differ():
    f = dlc.compile(lambda x, n: x * n, static_argnums=1)
    assert f(dlc.asarray([2]), 1).dtype is dlc.int64
    assert f(dlc.asarray([2]), 1.0).dtype is dlc.float32
    assert f(dlc.asarray([2]), True).dtype is dlc.int64


def test_policies():
    g = dlc.compile(double, on_recompile="error")
    g(np.ones(2))
    with pytest.raises(dlc.RecompileError, match="dim 0 of x was 2, now 3"):
        g(np.ones(3))
    assert g(np.ones(2)).tolist() == [2, 2]
    h = dlc.compile(double, on_recompile="warn")
    h(np.ones(2))
    with pytest.warns(UserWarning, match="compiled again") as seen:
        h(np.ones(3))
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        h(np.ones(4))


def test_what_is_asked_for_beforehand_is_allowed():
    f = dlc.compile(double, on_recompile="error")
    f(np.ones(2))
    for specs in ("f32[n]", "f32[0]", "f64[n,m]"):
        f.warmup(specs)
    assert f.stats.recompilations[-1] == "x had 1 dims, now 2"
    for shape in ((7,), (0,)):
        assert f(np.ones(shape, np.float32)).shape == shape
    assert f(np.ones((2, 3))).shape == (2, 3)
    with pytest.raises(dlc.RecompileError):
        f(1)


def test_programs_are_bounded():
    from dlc.frontend.compile import MAX_SPECIALISATIONS

    f = dlc.compile(lambda x, n: x + n, static_argnums=1)
    for n in range(MAX_SPECIALISATIONS + 5):
        f(1.0, n % 7 if n < 8 else n)
    held = sum(len(family.programs) for family in f._families.values())
    assert held <= MAX_SPECIALISATIONS


def test_equal_programs_are_compiled_once():
    first, second = (dlc.compile(lambda x: dlc.cosh(x) * 17.25) for _ in range(2))
    assert first(1.0).item() == second(1.0).item()
    programs = [next(iter(f._order.values()))[1].program for f in (first, second)]
    assert programs[0] is programs[1]


# Nesting


def test_compiled_functions_inside_are_inlined():
    inner = dlc.compile(lambda x: x * 2)
    outer = dlc.compile(lambda x: inner(inner(x)) + 1)
    assert outer(3.0).item() == 13
    assert inner.stats.calls == 0
    assert [n.op.name for n in outer.lower(dlc.spec((2,))).function.nodes].count("mul") == 2


def test_recursion_is_unrolled():
    @dlc.compile(static_argnums=1)
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    assert power(2.0, 5).item() == 32


# Stages and warming up


def test_lowering():
    lowered = dlc.compile(lambda x, w: dlc.tanh(x @ w)).lower(dlc.spec(("b", 3)), "f32[3,4]")
    assert "f32[b,3]" in lowered.as_text("traced")
    assert "tanh" in lowered.as_text("optimized")
    for stage in ("kernels", "llvm", "asm"):
        assert stage in lowered.stages
        assert lowered.as_text(stage)
    with pytest.raises(dlc.ValueRangeError):
        lowered.as_text("nothing")
    compiled = lowered.compile()
    x, w = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    np.testing.assert_allclose(compiled(x, w).numpy(), np.tanh(x @ w), rtol=1e-6)


def test_warming_up():
    f = dlc.compile(lambda x: x * 2).warmup(dlc.spec(("n", 3)))
    assert f.stats.compilations == 1
    for n in (1, 2, 7):
        assert f(np.ones((n, 3), np.float32)).shape == (n, 3)
    assert f.stats.compilations == 1
    assert f.stats.cache_hits == 3
    f.warmup("f32[n,3]")
    assert f.stats.compilations == 1
    f.warmup(np.zeros((2, 2)))
    f(np.ones((2, 2)))
    assert f.stats.compilations == 2


@pytest.mark.parametrize(
    "function",
    [
        lambda x: dlc.interpolate(x, size=(2, 3), mode="bilinear", antialias=True),
        lambda x: dlc.interpolate(x, scale_factor=0.7),
        lambda x: dlc.chunk(x, 2, dim=3)[1],
        lambda x: dlc.pdist(x[0, 0]),
        lambda x: dlc.arange(0.5, x.shape[2], 0.25),
        lambda x: dlc.delete(x, 1, axis=3),
        lambda x: dlc.insert(x, 1, 0.0, axis=3),
        lambda x: dlc.associative_scan(lambda a, b: a * b, x, axis=2),
    ],
)
def test_what_needs_an_extent_as_a_number_takes_a_second_one(function):
    f = dlc.compile(function)
    for shape in ((1, 2, 4, 5), (1, 2, 7, 6), (1, 2, 4, 8), (1, 2, 4, 5)):
        x = np.random.default_rng(0).normal(size=shape)
        expected = function(dlc.asarray(x))
        np.testing.assert_allclose(f(x).numpy(), expected.numpy(), rtol=1e-12)
    with pytest.raises(dlc.ShapeError, match=r"needs to know what number .*h was declared"):
        f.lower(dlc.spec((1, 2, "h", "h"), dlc.float64))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: dlc.max_pool2d(x, 2, stride=3, ceil_mode=True),
        lambda x: dlc.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        lambda x: dlc.lp_pool2d(x, 2, 2, stride=3, ceil_mode=True),
        lambda x: dlc.adaptive_avg_pool2d(x, 1),
        lambda x: dlc.adaptive_avg_pool2d(x, None),
    ],
)
def test_pools_that_take_any_extents(function):
    f = dlc.compile(function).warmup(dlc.spec((1, 2, "h", "w"), dlc.float64))
    for shape in ((1, 2, 4, 5), (1, 2, 7, 6), (1, 2, 3, 8), (1, 2, 3, 3)):
        x = np.random.default_rng(0).normal(size=shape)
        np.testing.assert_allclose(f(x).numpy(), function(dlc.asarray(x)).numpy(), rtol=1e-12)
    assert f.stats.compilations == 1


@pytest.mark.parametrize(
    ("function", "extents"),
    [
        (lambda x: dlc.pixel_unshuffle(x, 2), ((1, 3, 4, 6), (1, 3, 8, 10))),
        (lambda x: dlc.pixel_shuffle(x, 2), ((1, 4, 3, 2), (1, 8, 3, 2))),
        (lambda x: dlc.channel_shuffle(x, 2), ((1, 4, 3, 2), (1, 8, 3, 2))),
        (lambda x: dlc.group_norm(x, 2), ((1, 4, 3, 2), (1, 8, 3, 2))),
        (lambda x: dlc.conv2d(x[:1], x[:, :2], groups=2), ((4, 4, 2, 2), (6, 4, 2, 2))),
        (lambda x: dlc.scaled_dot_product_attention(x, x[:, :2], x[:, :2], enable_gqa=True),
         ((1, 4, 3, 2), (1, 8, 3, 2))),
    ],
)  # fmt: skip
def test_what_divides_extents_takes_a_second_one(function, extents):
    f = dlc.compile(function)
    for shape in extents:
        x = np.random.default_rng(0).normal(size=shape)
        np.testing.assert_allclose(f(x).numpy(), function(dlc.asarray(x)).numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    "number", [2.5, 3.0, np.float32(3.0), -0.5, float("inf"), float("nan")], ids=repr
)
def test_extents_are_compared_with_numbers_that_are_no_integers(number):
    compare = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)

    def function(x):
        n = x.shape[0]
        return [x * bool(holds) for c in compare for holds in (c(n, number), c(number, n))]

    f = dlc.compile(function)
    for n in (1, 2, 3, 4):
        x = np.ones(n, np.float32)
        np.testing.assert_array_equal(np.stack(f(x)), np.stack(function(x)))


def test_named_extents_must_stay_free():
    f = dlc.compile(lambda x: x * 2 if x.shape[0] > 4 else x)
    with pytest.raises(dlc.ShapeError, match="b was declared to take any value"):
        f.lower(dlc.spec(("b", 3)))
    g = dlc.compile(lambda x, y: x + y)
    with pytest.raises(dlc.ShapeError, match="b, c was declared|declared"):
        g.lower(dlc.spec(("b",)), dlc.spec(("c",)))
    assert g.lower(dlc.spec(("b",)), dlc.spec(("b",)))


@pytest.mark.parametrize("text", ["f32", "f32[", "f32[a b]", "f32[-1]", "[3]", "f32[3,]"])
def test_bad_specs(text):
    with pytest.raises(dlc.ParseError):
        dlc.spec(text)


def test_specs():
    assert str(dlc.spec((2, "n"), "i8")) == "i8[2,n]"
    assert dlc.spec("f64[]").shape == ()
    assert dlc.spec(4).shape == (4,)
    assert dlc.spec(" bf16[ 2, n ]") == dlc.spec((2, "n"), dlc.bfloat16)
    for bad in ((-1,), (1.5,), ("a b",)):
        with pytest.raises(dlc.ArgumentError):
            dlc.spec(bad)
    with pytest.raises(dlc.DTypeError):
        dlc.spec("q8[2]")


# Donation


def test_donated_arguments():
    f = dlc.compile(lambda x, y: x + y, donate_argnums=0)
    x, y = dlc.ones((1000,)), dlc.ones((1000,))
    address = x.numpy().ctypes.data
    result = f(x, y)
    assert result.numpy()[0] == 2
    assert result.numpy().ctypes.data == address
    for use in (lambda: x + 1, x.numpy, lambda: f(x, y), dlc.compile(lambda: x * 2)):
        with pytest.raises(dlc.DonatedBufferError, match="DLC205"):
            use()
    assert x.shape == (1000,)
    assert (y + 1).tolist()[0] == 2


def test_donated_memory_that_others_see_is_copied():
    f = dlc.compile(lambda x: x + 1, donate_argnames="x")
    x = dlc.zeros((1000,)) + 0
    view, alias = x.numpy(), x[:]
    result = f(x)
    assert result.numpy()[0] == 1
    assert view[0] == 0
    assert alias.numpy()[0] == 0
    array = np.zeros(1000, np.float32)
    f(array)
    assert array[0] == 0


# Closures, methods, threads


def test_tensors_that_are_closed_over_are_read_at_each_call():
    scale = dlc.asarray([2.0])
    f = dlc.compile(lambda x: x * scale)
    assert f(dlc.asarray([3.0])).tolist() == [6]
    scale[0] = 5
    assert f(dlc.asarray([3.0])).tolist() == [15]
    assert f.stats.compilations == 1


class Model:
    def __init__(self, scale):
        self.scale = scale

    @dlc.compile
    def __call__(self, x):
        return x * self.scale

    @dlc.compile(static_argnums=2)
    def power(self, x, n):
        return x**n * self.scale


def test_methods():
    a, b = Model(2.0), Model(3.0)
    for _ in range(2):
        assert a(1.0).item() == 2
        assert b(1.0).item() == 3
        assert a.power(2.0, 3).item() == 16
    assert a.power.stats.compilations == 1
    assert isinstance(Model.power, dlc.CompiledFunction)


def test_methods_do_not_keep_instances():
    model = Model(2.0)
    model(1.0)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert not Model.__dict__["__call__"]._bound


def test_first_call_from_many_threads():
    f = dlc.compile(lambda x, w: dlc.tanh(x @ w).sum())
    x = np.ones((4, 4), np.float32)
    barrier = threading.Barrier(32)
    results, errors = [], []

    def run():
        try:
            barrier.wait()
            results.append(f(x, x).item())
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(32)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert len(set(results)) == 1
    assert f.stats.traces == f.stats.compilations == 1


def test_calls_from_threads_with_many_shapes():
    f = dlc.compile(lambda x: (x * 2).sum())
    wrong = []

    def run(k):
        for n in range(1, 30):
            wrong.extend([(k, n)] * (f(np.full(n, k, np.float32)).item() != 2 * n * k))

    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_num_threads_gives_the_same_bits():
    x = np.random.default_rng(1).standard_normal((300, 301)).astype(np.float32)
    results = [
        dlc.compile(lambda x: dlc.softmax(x).sum(axis=0), num_threads=n)(x).numpy()
        for n in (1, 2, 3)
    ]
    for r in results[1:]:
        np.testing.assert_array_equal(r, results[0])


def test_analysis():
    lowered = dlc.compile(lambda x, w: dlc.tanh(x @ w)).lower(
        np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    )
    cost, memory = lowered.cost_analysis(), lowered.memory_analysis()
    assert cost["operations"] >= 2 * 2 * 3 * 4
    assert cost["bytes"] >= 4 * (6 + 12 + 8)
    assert memory["arguments"] == 4 * (6 + 12)
    assert memory["results"] == 4 * 8
    assert memory["peak"] >= memory["least"] >= 4 * (6 + 12 + 8)
    symbolic = dlc.compile(lambda x: x.sum(axis=1)).lower("f32[b,3]")
    assert symbolic.memory_analysis()["arguments"] == "12*b"
    assert "peak" not in symbolic.memory_analysis()
    assert symbolic.memory_analysis(b=5)["peak"] >= 4 * (15 + 5)
    assert symbolic.compile().cost_analysis()["kernels"] == 1


def test_memory_at_one_time():
    """Temporaries share memory, constants and donated arguments count once."""

    def deep(x, w):
        for _ in range(6):
            x = dlc.tanh(x @ w) @ w
        return x

    lowered = dlc.compile(deep).lower("f32[64,64]", "f32[64,64]")
    memory = lowered.memory_analysis()
    assert memory["peak"] < memory["arguments"] + memory["results"] + memory["temporaries"]
    assert memory["peak"] >= memory["least"]
    v = dlc.Variable(np.zeros(1000, np.float32))

    def step():
        v.assign_add(1)

    memory = dlc.compile(step).lower().memory_analysis()
    assert memory["donated"] == 4000
    assert memory["peak"] == memory["arguments"] == 4000
    table = np.ones(500, np.float32)
    memory = dlc.compile(lambda x: x + table).lower("f32[500]").memory_analysis()
    assert memory["constants"] in (0, 2000)
    assert memory["peak"] >= 4000 + memory["constants"]


def test_a_setting_that_needs_another_program_is_named():
    f = dlc.compile(lambda x: x * 2 + 1)
    f(dlc.ones(3))
    with dlc.config.scope(disable_jit=True):
        f(dlc.ones(3))
    assert "  2. config.disable_jit was False, now True" in str(f.explain())


def test_phases_are_timed(caplog):
    caplog.set_level("INFO", "dlc.compile")

    def f(x):
        return dlc.tanh(x * 3) + 0.125

    compiled = dlc.compile(f)
    assert compiled.stats.seconds == {}
    compiled(np.ones(3, np.float32))
    assert any(re.fullmatch(r"f: traced \(\d+\.\d ms\)", m) for m in caplog.messages)
    seconds = dict(compiled.stats.seconds)
    assert {"trace", "key", "cache", "load", "total"} <= seconds.keys()
    assert all(s >= 0 for s in seconds.values())
    parts = sum(s for phase, s in seconds.items() if phase not in ("trace", "total"))
    assert parts <= seconds["total"]
    compiled(np.ones(3, np.float32))
    assert compiled.stats.seconds == seconds
    compiled(np.ones((3, 3), np.float32))
    assert compiled.stats.seconds["trace"] > seconds["trace"]
    # A program that is there already costs its trace alone.
    again = dlc.compile(f)
    again(np.ones(3, np.float32))
    assert again.stats.seconds.keys() == {"trace"}
    failing = dlc.compile(lambda x: x.nothing)
    with pytest.raises(AttributeError):
        failing(np.ones(3, np.float32))
    assert failing.stats.seconds.keys() == {"trace"}


TEXT = """
func @scaled(%x: f32[n,3], %w: f32[3,m]) -> (f32[n,m]) {
  %0: f32[n,m] = dot_general(%x, %w) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]}
  %1: f32[n,m] = full() {value=2.0, shape=[n,m], dtype=f32}
  %2: f32[n,m] = mul(%0, %1)
  return %2
}
"""  # noqa: E501


def test_functions_of_the_ir():
    f = dlc.compile(parse_function(TEXT))
    w = np.arange(6, dtype=np.float32).reshape(3, 2)
    for n in (2, 4, 5, 1):
        x = np.ones((n, 3), np.float32)
        np.testing.assert_array_equal(f(x, w=w).numpy(), 2 * x @ w)
    assert f.stats.compilations == 2
    assert (
        dlc.grad(lambda x: f(x, w).sum())(np.ones((2, 3), np.float32)).tolist() == [[2, 10, 18]] * 2
    )
    with pytest.raises(dlc.ShapeError, match=r"w is f32\[2,2\], but f32\[3,m\] is needed"):
        f(np.ones((2, 3), np.float32), np.ones((2, 2), np.float32))
    with pytest.raises(dlc.DTypeError):
        f(np.ones((2, 3)), w)
    with pytest.raises(dlc.ArgumentError):
        f(w)


def test_copies_of_handles_inside_are_not_stale():
    scale = dlc.asarray([2.0])
    inner = dlc.compile(lambda s, x: s * x)
    programs = [
        dlc.compile(lambda x: inner(scale, x)),
        dlc.compile(lambda x: scale[:] * x),
        dlc.compile(lambda x: dlc.asarray(scale) * x),
        dlc.compile(lambda x: dlc.positive(scale) * scale.astype("f32") * x / scale),
        dlc.compile(lambda x: dlc.grad(lambda y, s: (y * s).sum())(x, scale)),
        dlc.compile(lambda x: copy.copy(scale) * x),
        dlc.compile(lambda x: dlc.stop_gradient(scale) * x),
    ]
    assert [f(np.ones(1, np.float32)).item() for f in programs] == [2] * len(programs)
    scale[0] = 5
    assert [f(np.ones(1, np.float32)).item() for f in programs] == [5] * len(programs)
    assert len(inner.lower(scale, scale).function.params) == 2


def test_the_least_recently_used_program_goes(monkeypatch):
    monkeypatch.setattr("dlc.frontend.compile.MAX_SPECIALISATIONS", 3)
    f = dlc.compile(lambda x, n: x + n, static_argnums=1)
    for n in (0, 1, 2, 0, 3, 0):
        assert f(1.0, n).item() == 1 + n
    assert f.stats.compilations == 4
    f(1.0, 1)
    assert f.stats.compilations == 5


def test_methods_of_objects_that_have_gone():
    class Scale:
        by = 3.0

        @dlc.compile
        def scaled(self, x):
            return x * self.by

    with pytest.raises(dlc.ArgumentError, match=r"Scale.scaled: the object .* has gone(.|\n)*hint"):
        Scale().scaled(2.0)
    kept = Scale()
    assert kept.scaled(2.0).item() == 6


@dlc.compile
def pickled(x):
    return x + 1


def raised(x, power):
    return x**power


class Holder:
    """Compiled functions as attributes and methods."""

    def __init__(self):
        self.weight = dlc.Variable(np.float32(3))
        self.own = dlc.compile(self.scaled, static_argnames=("by",), name="own")

    def scaled(self, x, by=1):
        return x * self.weight * by

    @dlc.compile
    def method(self, x):
        return self.own(x, by=2)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_and_pickles(again):
    assert again(pickled) is pickled
    holder = Holder()
    assert holder.method(1.0).item() == 6
    other, method = again((holder, holder.method))
    other.weight.assign(5)
    assert (holder.method(1.0).item(), other.method(1.0).item(), method(1.0).item()) == (6, 10, 10)
    assert (other.own.name, other.own.signature.static) == ("own", {1})
    renamed = again(dlc.compile(raised, static_argnames="power", level="O0"))
    assert renamed.settings.options.level == "O0"
    assert renamed(2.0, power=3).item() == 8


def test_loaded_programs_are_not_pickled(tmp_path):
    dlc.save(lambda x: x + 1, tmp_path / "f.dlc", specs="f32[2]")
    with pytest.raises(dlc.ArgumentError, match="cannot be copied or pickled"):
        pickle.dumps(dlc.load(tmp_path / "f.dlc"))


def test_extents_of_1_and_0_are_broadcast():
    f = dlc.compile(lambda a, b: (a + b, dlc.broadcast_arrays(a, b)[0], dlc.where(b > 0, a, b)))
    for a, b, wanted in ((3, 3, 3), (4, 4, 4), (0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 5, 5)):
        results = f(np.ones(a, np.float32), np.ones(b, np.float32))
        assert [x.shape for x in results] == [(wanted,)] * 3
    with pytest.raises(dlc.ShapeError):
        f(np.ones(2, np.float32), np.ones(0, np.float32))
