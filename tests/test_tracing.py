"""Tracing: what is recorded, where Python needs a value, leaks, writes inside, symbolic extents."""

import math
import threading
import types

import numpy as np
import pytest

import dlc
from dlc.frontend.context import current_trace
from dlc.frontend.numpy_interop import numpy_ufunc
from dlc.frontend.trace import tracing
from dlc.ir.types import TensorType


def param(trace, shape, dtype=dlc.float32):
    return trace.param(TensorType(dtype, shape), "x")


def traced(f, *args):
    return dlc.compile(f).lower(*args).function


def ops(function):
    return [n.op.name for n in function.nodes]


def test_nodes_have_the_users_lines():
    def f(x):
        y = x * 2
        return dlc.tanh(y)

    function = traced(f, dlc.spec((3,)))
    first = f.__code__.co_firstlineno
    lines = {n.op.name: n.loc.line for n in function.nodes}
    assert lines["mul"] == first + 1
    assert lines["tanh"] == first + 2
    assert all(n.loc.file == __file__ for n in function.nodes)
    assert "f" in {n.loc.function for n in function.nodes}


def test_code_without_a_file():
    names = {"dlc": dlc}
    exec("def f(x):\n    return dlc.exp(x) + 1\n", names)
    function = traced(names["f"], dlc.spec((3,)))
    assert {n.loc.file for n in function.nodes} == {"<string>"}
    assert {n.loc.line for n in function.nodes} == {2}


def test_literals_are_made_at_their_place():
    function = traced(lambda x: x * 2.0 + 1, dlc.spec((3, 4), "f16"))
    assert ops(function) == ["full", "mul", "full", "add"]
    assert {str(n.type) for n in function.nodes} == {"f16[3,4]"}


def test_unused_nodes_are_left_out():
    def f(x):
        dlc.exp(x)
        return x + x

    assert ops(traced(f, dlc.spec((3,)))) == ["add"]


def test_tensors_from_outside_are_inputs():
    weights = dlc.asarray(np.arange(1000, dtype=np.float32))
    function = traced(lambda x: x + weights + weights, dlc.spec((1000,)))
    assert len(function.params) == 2
    assert "constant" not in ops(function)


def test_arrays_from_outside_are_inputs_unless_small():
    large, small = np.ones(1000, np.float32), np.ones(3, np.float32)
    assert len(traced(lambda x: x + large, dlc.spec((1000,))).params) == 2
    assert ops(traced(lambda x: x + small, dlc.spec((3,)))) == ["constant", "add"]


VALUE_USES = {
    "if": (lambda x: [v for v in (1, 2) if x.sum() > v], "where"),
    "while": (lambda x: [0 for _ in iter(lambda: bool(x[0]), False)], "cond"),
    "and": (lambda x: [v for v in (1, 2) if x[0] and x[1]], "where"),
    "int": (lambda x: int(x[0]), "static_argnames"),
    "float": (lambda x: math.sin(x[0]), "tensor"),
    "range": (lambda x: list(range(x.astype("i64")[0])), "static_argnames"),
    "item": (lambda x: x[0].item(), "item"),
    "numpy": (lambda x: x.numpy(), "result"),
    "asarray": (np.asarray, "dlc function"),
    "linalg": (np.linalg.eig, "NumPy"),
    "in": (lambda x: [v for v in (1.0, 2.0) if v in x], "where"),
}


@pytest.mark.parametrize("name", VALUE_USES)
def test_values_that_are_not_there(name):
    f, hint = VALUE_USES[name]
    with pytest.raises(dlc.TracedValueError, match="DLC201") as error:
        dlc.compile(f)(dlc.asarray([1.0, 2.0]))
    text = str(error.value)
    assert hint in text
    assert __file__ in text
    assert "dlc.compile(f)(dlc.asarray" in text or f'"{name}": (lambda x' in text
    assert isinstance(error.value, TypeError)
    assert current_trace() is None


def test_leaked_values():
    kept = []

    @dlc.compile
    def f(x):
        kept.append(x + 1)
        return x

    f(dlc.asarray([1.0]))
    uses = [
        lambda y: y + 1,
        lambda y: y.numpy(),
        lambda y: y[0],
        bool,
        lambda y: dlc.compile(lambda: y * 2)(),
        dlc.compile(lambda x: x),
        lambda y: dlc.grad(lambda x: (x * y).sum())(dlc.ones((1,))),
    ]
    for use in uses:
        with pytest.raises(dlc.LeakedTracerError, match="DLC202"):
            use(kept[0])
    assert "has ended" in repr(kept[0])


def test_value_of_an_enclosing_trace():
    @dlc.compile
    def f(x, y):
        return dlc.grad(lambda a: (a * y).sum())(x)

    assert f(dlc.ones((2,)), dlc.asarray([3.0, 4.0])).tolist() == [3, 4]


def test_writes_stay_inside():
    @dlc.compile
    def f(x):
        x[0] = 9
        x += 1
        return x

    given, array = dlc.zeros((2,)), np.zeros(2, np.float32)
    assert f(given).tolist() == f(array).tolist() == [10, 1]
    assert given.tolist() == array.tolist() == [0, 0]
    assert dlc.compile(lambda x: f(x) + x)(given).tolist() == [10, 1]


def test_writes_to_tensors_from_outside():
    buffer = dlc.zeros((2,))

    @dlc.compile
    def f(x):
        buffer[0] = x[0]
        return x

    with pytest.raises(dlc.LeakedTracerError, match="Variable"):
        f(dlc.ones((2,)))
    assert buffer.tolist() == [0, 0]


OVERLAPS = [
    lambda x: x.__setitem__(slice(1, None), x[:-1]),
    lambda x: x.__setitem__(slice(None, -1), x[1:] * 2),
    lambda x: x.__setitem__(slice(None), x[::-1]),
    lambda x: x.__setitem__(slice(None, None, 2), x[1::2]),
    lambda x: x.__setitem__(slice(-3, None), x[0]),
]


@pytest.mark.parametrize("case", range(len(OVERLAPS)))
def test_overlapping_writes_equal_numpy(case):
    array = np.arange(8.0)

    def f(x):
        alias = x
        OVERLAPS[case](x)
        alias[3] = alias[4]
        return x + alias

    wanted = array.copy()
    f(wanted)
    np.testing.assert_array_equal(dlc.compile(f)(array).numpy(), wanted + wanted)
    assert array.tolist() == list(range(8))


def test_indices_that_are_traced():
    x = dlc.asarray(np.arange(12.0).reshape(4, 3))

    @dlc.compile
    def f(x, i):
        y = x[i] + 0
        x[i] = -1
        return y, x, x[:, i]

    for i in (2, -1):
        y, z, column = f(x, i)
        assert y.tolist() == x[i].tolist()
        wanted = x.numpy().copy()
        wanted[i] = -1
        assert z.tolist() == wanted.tolist()
        assert column.tolist() == wanted[:, i if i >= 0 else 2].tolist()
    assert dlc.compile(lambda x, i: x[i]).lower(x, 1).function is not None


def test_numpy_functions_trace():
    @dlc.compile
    def f(x):
        return (
            np.exp(x) + np.power(x, 2),
            np.concatenate([x, x]),
            np.ones(2, np.float32) - x,
            np.sum(x, axis=0),
        )

    x = np.array([0.5, 1.5], np.float32)
    results = f(x)
    for result, wanted in zip(results, f.__wrapped__(x), strict=True):
        np.testing.assert_allclose(result.numpy(), wanted, rtol=1e-6)


def test_numpy_functions_of_one_name_are_those_of_their_module():
    special = pytest.importorskip("scipy.special")
    x = np.random.default_rng(0).standard_normal((2, 3, 3))
    for function in (
        np.linalg.trace, np.linalg.diagonal, np.linalg.det, np.linalg.norm, np.trace, special.expit,
        lambda x: np.linalg.norm(x, axis=1), lambda x: np.linalg.cond(x[0]),
        lambda x: np.std(x, 0, ddof=1), lambda x: np.clip(x, a_min=0, a_max=1),
    ):  # fmt: skip
        result = dlc.compile(lambda x, function=function: function(x))(x)
        np.testing.assert_allclose(result.numpy(), function(x), rtol=1e-12)


def test_what_numpy_functions_do_otherwise_is_refused(tmp_path):
    softmax = types.SimpleNamespace(__name__="softmax")  # as Numba's are
    for function, message in {
        lambda x: np.put_along_axis(x, np.array([[0]]), 1.0, 1): "numpy.put_along_axis",
        lambda x: np.save(tmp_path / "x.npy", x): "numpy.save",
        np.fft.fft: "numpy.fft.fft",
        lambda x: numpy_ufunc(softmax, "__call__", (x,), {}): "softmax, a ufunc of neither",
        lambda x: np.sum(x, out=x): "numpy.sum .*'out'",
        lambda x: np.std(x, 0, None, None, 1): "numpy.std .*too many(.|\n)*correction",
    }.items():
        with pytest.raises(dlc.DlcError, match=message) as raised:
            dlc.compile(function)(np.ones((2, 2)))
        assert raised.value.code == "DLC201"


def test_threads_trace_apart():
    seen = []

    def other():
        seen.append(current_trace())
        seen.append((dlc.asarray([1.0]) + 1).tolist())

    def f(x):
        t = threading.Thread(target=other)
        t.start()
        t.join()
        return x + 1

    dlc.compile(f)(dlc.asarray([1.0]))
    assert seen == [None, [2.0]]


def test_errors_inside_leave_no_trace():
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        dlc.compile(f)(dlc.asarray([1.0]))
    assert current_trace() is None


# Symbolic extents


def test_extents_compute_like_integers():
    from dlc.ir.dims import DimUnknown, symbol

    with tracing() as trace:
        x = param(trace, (symbol("n"), 4))
        n = x.shape[0]
        assert (n + 1, 1 + n, n * 2 - n, n // 1, 4 * n // 4) == (1 + n, n + 1, n, n, n)
        assert n > 0
        assert n >= 1
        assert not n < 1
        assert n != 0
        assert bool(n)
        assert -n < 0
        assert (n * n) % n == 0
        assert x.size == 4 * n
        assert x.reshape((n * 2, 2)).shape == (2 * n, 2)
        assert x.reshape(-1).shape == (4 * n,)
        with pytest.raises(DimUnknown, match="n as a number"):  # sets have numbers like it too
            hash(n)
        mean = x.sum() / n
        assert mean.shape == ()
        assert (1.0 / n).dtype is dlc.float32
        assert x[1:].shape == (n - 1, 4)
        assert x[::-1].shape == (n, 4)
        assert x[-1].shape == (4,)


def run_with_sizes(f, sizes, make=lambda n: np.arange(n, dtype=np.float32) + 1):
    compiled = dlc.compile(f)
    for n in sizes:
        wanted = f(make(n))
        np.testing.assert_allclose(compiled(make(n)).numpy(), wanted, rtol=1e-5)
    return compiled.stats


def test_means_and_roots_of_extents():
    stats = run_with_sizes(lambda x: x / x.shape[0] + 1.0 / x.shape[0], [3, 4, 5, 6, 1])
    assert stats.compilations == 2


def test_a_decision_on_an_extent_is_made_anew():
    def f(x):
        return x * 2 if x.shape[0] > 4 else x + 1

    stats = run_with_sizes(f, [3, 5, 4, 6, 3, 1, 9])
    assert stats.compilations == 3  # for 3, from 5 on, and up to 4


def test_loops_over_extents():
    def f(x):
        total = x[0] * 0
        for k in range(x.shape[0]):
            total = total + x[k] * k
        return total

    run_with_sizes(f, [3, 5, 4])


def test_extents_that_must_be_equal():
    @dlc.compile
    def f(x, y):
        return x + y

    for n, m in [(3, 3), (4, 4), (5, 5), (1, 5), (6, 1), (7, 7)]:
        a, b = np.ones(n), np.arange(m)
        np.testing.assert_array_equal(f(a, b).numpy(), a + b)
    with pytest.raises(dlc.ShapeError):
        f(np.ones(3), np.ones(4))
    assert f.stats.traces < 12


def test_squeeze_of_an_extent_that_may_be_one():
    @dlc.compile
    def f(x):
        return x.squeeze()

    for n in (3, 4, 1, 5):
        assert f(np.ones((n, 2))).shape == np.ones((n, 2)).squeeze().shape
