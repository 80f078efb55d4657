"""Operators on tensors, eagerly: native entries give what the public functions give."""

import gc
import operator
import sys
import threading

import ml_dtypes
import numpy as np
import pytest

import dlc
from dlc.frontend import entry_chain, operators
from dlc.frontend.tensor import functions
from dlc.frontend.tensor import operators as installed
from dlc.runtime import entry_type

native = pytest.mark.skipif(
    entry_type.native_support() is None, reason="no native entries on this interpreter"
)

SIGNS = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "pow": operator.pow,
    "matmul": operator.matmul,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
    "bitwise_left_shift": operator.lshift,
    "bitwise_right_shift": operator.rshift,
}
SPECIAL = [np.nan, -0.0, 0.0, np.inf, -np.inf, 1e-45, 1.5, -3.0, 6e4]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Operators without entries."""
    kept = dict(vars(installed))
    for name in SIGNS:
        setattr(installed, name, operators.make_operator(name))
    yield
    vars(installed).update(kept)


def python_calls(monkeypatch):
    """Counts the calls of public functions by operators."""
    calls = []
    for name in SIGNS:
        real = getattr(functions, name)

        def counted(*args, _real=real, _name=name):
            calls.append(_name)
            return _real(*args)

        monkeypatch.setattr(functions, name, counted)
    return calls


def operand(dtype, shape, seed):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "b":
        return rng.random(shape) < 0.5
    values = rng.integers(1, 6, shape) if np.dtype(dtype).kind in "iu" else rng.normal(size=shape)
    array = np.asarray(values).astype(dtype)
    if np.dtype(dtype).kind == "f" and array.size > len(SPECIAL):
        array.reshape(-1)[: len(SPECIAL)] = np.roll(SPECIAL, seed).astype(dtype)
    return array


@pytest.mark.parametrize("name", SIGNS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "?", "u1", ml_dtypes.bfloat16])
def test_entries_give_what_functions_give(name, dtype):
    shape = (4, 4) if name == "matmul" else (3, 7)
    a, b = (dlc.asarray(operand(dtype, shape, seed)) for seed in (0, 1))
    sign, function = SIGNS[name], getattr(functions, name)
    try:
        expected = function(a, b)
    except dlc.DlcError as error:
        for _ in range(4):
            with pytest.raises(type(error)):
                sign(a, b)
        return
    for _ in range(entry_chain.REPEATS + 2):
        found = sign(a, b)
        assert type(found) is dlc.Tensor
        assert found.dtype == expected.dtype
        assert found.numpy().tobytes() == expected.numpy().tobytes()
    for x, y in ((b, a), (a, a)):
        assert sign(x, y).numpy().tobytes() == function(x, y).numpy().tobytes()


NUMBERS = [0, 1, -1, 3, 2**40 + 1, 2**62 + 1, 0.0, -0.0, 0.1, 1e300, float("nan"), float("inf")]


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "less", "equal", "pow"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "f2"])
@pytest.mark.parametrize("reverse", [False, True])
def test_numbers(name, dtype, reverse):
    x = dlc.asarray(operand(dtype, (3, 5), 0))
    sign, function = SIGNS[name], getattr(functions, name)

    def both(f, number):
        try:
            result = f(number, x) if reverse else f(x, number)
        except dlc.DlcError as error:
            return type(error)
        return result.dtype, result.numpy().tobytes()

    for warming in (1, 1, 1, 1.0, 1.0, 1.0):
        both(sign, warming)
    for number in [*NUMBERS, True, np.float32(2), np.int64(3)]:
        assert both(sign, number) == both(function, number), number


@native
def test_usual_operations_do_not_reach_python(monkeypatch):
    calls = python_calls(monkeypatch)
    x, y = (dlc.asarray(operand("f4", (16, 16), seed)) for seed in (0, 1))
    for _ in range(entry_chain.REPEATS):
        _ = x + y, x @ y, x * 2.0, 2.0 - x, x / 3, x < y, x >= 0
    del calls[:]
    _ = x + y, x @ y, x * 3.0, 4.0 - x, x / 5, x < y, x >= 7
    assert calls == []
    _ = x + dlc.asarray(np.ones((16, 1), np.float32))
    assert calls == ["add"]


@native
def test_several_shapes(monkeypatch):
    calls = python_calls(monkeypatch)
    # Single numbers have no entries after a test with tensors on a GPU.
    tensors = [dlc.asarray(operand("f4", (n,), n)) for n in range(2, 8)]
    others = [dlc.asarray(operand("f4", (n,), n + 9)) for n in range(2, 8)]
    for _ in range(entry_chain.REPEATS):
        for x, y in zip(tensors, others, strict=True):
            _ = x + y
    del calls[:]
    for x, y in zip(tensors, others, strict=True):
        assert np.array_equal((x + y).numpy(), x.numpy() + y.numpy(), equal_nan=True)
    assert calls == []
    for n in range(1, 300):
        x = dlc.asarray(np.full(n % 40, n, np.float32))
        assert ((x + x * 1.0).numpy() == 2 * n).all()


def test_broadcasting_and_views():
    x = dlc.asarray(operand("f4", (4, 5), 0))
    row, column = dlc.asarray(operand("f4", (5,), 1)), dlc.asarray(operand("f4", (4, 1), 2))
    square = dlc.asarray(operand("f4", (4, 4), 3))
    for _ in range(5):
        for a, b in ((x, row), (column, x), (row, column), (square, square.T)):
            found, expected = a - b, functions.subtract(a, b)
            assert found.numpy().tobytes() == expected.numpy().tobytes()
    one = dlc.asarray(np.ones((1, 1), np.float32))
    for _ in range(5):
        assert (one + 1.0).tolist() == [[2.0]]
        assert (one + one).tolist() == [[2.0]]
    two = dlc.asarray(np.full((1, 1), 2, np.float32))
    assert (one + two).tolist() == [[3.0]]
    assert (two + 5.0).tolist() == [[7.0]]


def test_histories_traces_and_settings():
    x, y = (dlc.asarray(operand("f8", (3,), seed)) for seed in (0, 1))
    v = dlc.Variable(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    for _ in range(4):
        _ = x * y
    z = (v * 1.0) * y
    dlc.sum(z).backward()
    assert v.grad.tolist() == y.tolist()
    with dlc.GradientTape() as tape:
        tape.watch(x)
        z = dlc.sum(x * y)
    assert tape.gradient(z, x).tolist() == y.tolist()
    assert dlc.compile(lambda: x * y)().tolist() == (x * y).tolist()
    assert dlc.grad(lambda a: dlc.sum(a * y))(x).tolist() == y.tolist()
    with dlc.config.scope(disable_jit=True):
        for _ in range(4):
            assert (x * y).tolist() == (x.numpy() * y.numpy()).tolist()


def test_operands_of_another_library():
    class Other:
        def __radd__(self, tensor):
            return "answered"

    x = dlc.asarray(operand("f4", (3,), 0))
    for _ in range(4):
        _ = x + 1.0
        assert x + Other() == "answered"
        with pytest.raises(TypeError):
            _ = x + "text"
        with pytest.raises(TypeError):
            _ = x > [1]


@native
def test_no_reference_is_lost():
    x, y = (dlc.asarray(operand("f4", (16,), seed)) for seed in (0, 1))

    def run():
        for _ in range(500):
            _ = x + y, x * 1.5, 2 - y

    def measure():
        gc.collect()
        return [sys.getrefcount(t) for t in (x, y, x._data, y._data)], sys.getallocatedblocks()

    run()
    counts, blocks = measure()
    moved = []
    for _ in range(3):  # what other tests have left may go meanwhile, once
        run()
        after, blocks_after = measure()
        assert after == counts
        moved.append(abs(blocks_after - blocks))
        blocks = blocks_after
    assert min(moved) < 50


def test_threads():
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(200):
            n = int(rng.integers(1, 9))
            a, b = rng.random((2, n)).astype(np.float32)
            x, y = dlc.asarray(a), dlc.asarray(b)
            if not np.array_equal((x + y * 2.0).numpy(), a + b * np.float32(2)):
                failures.append((seed, n))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
