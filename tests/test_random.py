"""`dlc.random`: known answers, keys, distributions, equality of eager and compiled numbers."""

import math

import numpy as np
import pytest

import dlc
from dlc.ir.ops.random import threefry

KEY = dlc.random.key(1234)


def test_keys():
    assert dlc.random.key(0).tolist() == [0, 0]
    assert dlc.random.key(5).tolist() == [0, 5]
    assert dlc.random.key(1 << 32).tolist() == [1, 0]
    assert dlc.random.key(-1).tolist() == [0xFFFFFFFF, 0xFFFFFFFF]
    assert dlc.random.key(3).dtype is dlc.uint32
    with pytest.raises(dlc.ArgumentError):
        dlc.random.key(1.5)


def test_bits_are_threefry():
    # The published vectors of Threefry-2x32 with 20 rounds: keys, counters, words.
    def rotate(x, n):
        return ((x << n) | (x >> (32 - n))) & 0xFFFFFFFF

    def add(x, y):
        return (x + y) & 0xFFFFFFFF

    ones = 0xFFFFFFFF
    for key, counter, words in [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((ones, ones), (ones, ones), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ]:
        found = threefry(*key, *counter, add, lambda x, y: x ^ y, rotate, int)
        assert found == words
    assert dlc.random.bits(dlc.random.key(0), (1,)).tolist() == [0x6B200159 ^ 0x99BA4EFE]


def test_keys_that_are_split_differ():
    keys = dlc.random.split(KEY, 100)
    assert keys.shape == (100, 2)
    assert len({tuple(k) for k in keys.tolist()}) == 100
    folded = [tuple(dlc.random.fold_in(KEY, n).tolist()) for n in range(100)]
    assert len(set(folded)) == 100
    traced = dlc.compile(dlc.random.fold_in)
    assert tuple(traced(KEY, 7).tolist()) == folded[7]
    with pytest.raises(dlc.ValueRangeError):
        dlc.random.split(KEY, 0)
    with pytest.raises(dlc.ArgumentError):
        dlc.random.fold_in(KEY, 1.5)


CASES = {
    "bits": lambda k: dlc.random.bits(k, (100, 3)),
    "bits64": lambda k: dlc.random.bits(k, (100, 3), dlc.uint64),
    "uniform": lambda k: dlc.random.uniform(k, (100, 3), minval=-1, maxval=2),
    "uniform64": lambda k: dlc.random.uniform(k, (100, 3), dlc.float64),
    "normal16": lambda k: dlc.random.normal(k, (100, 3), dlc.bfloat16),
    "bernoulli": lambda k: dlc.random.bernoulli(k, 0.3, (100, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_same_bits_everywhere(name):
    f = CASES[name]
    eager = f(KEY)
    assert eager.shape == (100, 3)
    results = [dlc.compile(f, level=level)(KEY) for level in ("O0", "O2", "O3")]
    results += [dlc.compile(f, num_threads=n)(KEY) for n in (1, 3)]
    for r in results:
        np.testing.assert_array_equal(r.numpy(), eager.numpy(), strict=True)
    assert (f(dlc.random.key(99)).numpy() != eager.numpy()).any()


def test_uniform():
    for dtype, bits in (("f32", 24), ("f64", 53), ("f16", 11), ("bf16", 8)):
        step = 2.0**-bits
        u = dlc.random.uniform(KEY, (100_000,), dtype).numpy().astype(np.float64)
        assert u.min() >= 0
        assert u.max() < 1
        assert ((u / step) == np.floor(u / step)).all()
        assert abs(u.mean() + step / 2 - 0.5) < 5 * math.sqrt(1 / 12 / u.size)
        counts, _ = np.histogram(u, 64, (0, 1))
        chi = ((counts - u.size / 64) ** 2 / (u.size / 64)).sum()
        assert chi < 130
    v = dlc.random.uniform(KEY, (100_000,), minval=2, maxval=5).numpy()
    assert 2 <= v.min() < 2.01
    assert 4.99 < v.max() < 5


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_uniform_of_half_types_stays_in_range(dtype):
    u = dlc.random.uniform(KEY, (10_000,), dtype, minval=1.0, maxval=2.0).astype("f64").numpy()
    assert u.min() >= 1
    assert u.max() < 2


def test_uniform_never_reaches_the_upper_bound():
    # A range so narrow that rounding hits it for half of the numbers.
    high = np.nextafter(np.float32(1), np.float32(2))
    u = dlc.random.uniform(KEY, (1000,), minval=1.0, maxval=float(high)).numpy()
    assert (u == 1).all()
    w = dlc.compile(lambda k, a, b: dlc.random.uniform(k, (1000,), minval=a, maxval=b))
    assert (w(KEY, 1.0, float(high)).numpy() < high).all()


def test_normal():
    for dtype in (dlc.float32, dlc.float64):
        x = dlc.random.normal(KEY, (200_000,), dtype).numpy().astype(np.float64)
        assert np.isfinite(x).all()
        n = x.size
        assert abs(x.mean()) < 5 / math.sqrt(n)
        assert abs(x.var() - 1) < 5 * math.sqrt(2 / n)
        assert abs((x**3).mean()) < 5 * math.sqrt(15 / n)
        assert abs((x**4).mean() - 3) < 5 * math.sqrt(96 / n)
        assert abs((np.abs(x) < 1.959964).mean() - 0.95) < 5 * math.sqrt(0.95 * 0.05 / n)
        assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 5 / math.sqrt(n)


def test_bernoulli():
    n = 100_000
    for p in (0.0, 0.25, 1.0):
        x = dlc.random.bernoulli(KEY, p, (n,))
        assert x.dtype is dlc.bool
        assert abs(x.numpy().mean() - p) <= 5 * math.sqrt(p * (1 - p) / n)
    assert dlc.random.bernoulli(KEY, np.array([0.0, 1.0], np.float32)).tolist() == [False, True]


def test_symbolic_shapes():
    f = dlc.compile(lambda k, x: x + dlc.random.uniform(k, x.shape))
    for n in (3, 4, 5):
        x = np.zeros((n, 2), np.float32)
        np.testing.assert_array_equal(f(KEY, x).numpy(), dlc.random.uniform(KEY, (n, 2)).numpy())
    assert f.stats.compilations == 2


def test_the_global_generator():
    dlc.random.seed(7)
    a = [dlc.random.normal(None, (3,)).tolist() for _ in range(2)]
    dlc.random.seed(7)
    assert [dlc.random.normal(None, (3,)).tolist() for _ in range(2)] == a
    assert a[0] != a[1]
    with pytest.raises(dlc.TracedValueError, match="pass a key"):
        dlc.compile(lambda: dlc.random.normal(None, (3,)))()


def test_errors():
    with pytest.raises(dlc.DTypeError, match="u32"):
        dlc.random.normal(dlc.zeros((2,)), (3,))
    with pytest.raises(dlc.DTypeError):
        dlc.random.uniform(KEY, (3,), dlc.int32)
    with pytest.raises(dlc.DTypeError):
        dlc.random.bits(KEY, (3,), dlc.uint8)
    with pytest.raises(dlc.ArgumentError):
        dlc.random.uniform(KEY, "abc")
