"""`dlc.random`: known answers, keys, distributions, equality of eager and compiled numbers."""

import math

import numpy as np
import pytest
from scipy import special, stats

import dlc
from dlc.frontend.random.continuous import normal_quantile
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
    with pytest.raises(dlc.ValueRangeError, match="between 1 and 0"):
        dlc.random.uniform(KEY, (3,), minval=1, maxval=0)


KS_KEY = dlc.random.key(77)
STANDARD = {
    "exponential": stats.expon, "gumbel": stats.gumbel_r, "laplace": stats.laplace,
    "logistic": stats.logistic, "cauchy": stats.cauchy,
}  # fmt: skip
OF_PARAMETERS = [
    ("gamma", (0.05,), stats.gamma(0.05)), ("gamma", (1.0,), stats.gamma(1.0)),
    ("gamma", (2.5,), stats.gamma(2.5)), ("gamma", (300.0,), stats.gamma(300.0)),
    ("beta", (0.5, 2.0), stats.beta(0.5, 2.0)), ("beta", (0.2, 0.3), stats.beta(0.2, 0.3)),
    ("chisquare", (3.0,), stats.chi2(3.0)), ("student_t", (1.5,), stats.t(1.5)),
    ("truncated_normal", (-2.0, 2.0), stats.truncnorm(-2, 2)),
    ("truncated_normal", (6.0, 9.0), stats.truncnorm(6, 9)),
    ("truncated_normal", (-np.inf, -7.0), stats.truncnorm(-np.inf, -7)),
    ("truncated_normal", (-1.0, np.inf), stats.truncnorm(-1, np.inf)),
]  # fmt: skip


def fits(x, distribution):
    """Whether the test of Kolmogorov and Smirnov sees no difference, at a level of 1 in 1000."""
    return stats.kstest(np.asarray(x, np.float64).ravel(), distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", list(STANDARD))
def test_standard_distributions(name):
    f = getattr(dlc.random, name)
    for dtype in ("float32", "float64"):
        assert fits(f(KS_KEY, (40, 500), dtype).numpy(), STANDARD[name])
    assert not fits(f(KS_KEY, (20000,)).numpy() * 1.05, STANDARD[name])
    for dtype in ("float16", "bfloat16"):
        x = f(KS_KEY, (2000,), dtype)
        assert x.dtype.name == dtype
        assert np.isfinite(x.astype("float32").numpy()).all()
    compiled = dlc.compile(lambda key: f(key, (777,)))
    assert np.array_equal(compiled(KS_KEY).numpy(), f(KS_KEY, (777,)).numpy())


@pytest.mark.parametrize(("name", "parameters", "distribution"), OF_PARAMETERS)
def test_distributions_of_parameters(name, parameters, distribution):
    f = getattr(dlc.random, name)
    x = f(KS_KEY, *parameters, (20000,), "float64").numpy()
    assert fits(x, distribution)
    assert ((x >= distribution.support()[0]) & (x <= distribution.support()[1])).all()
    several = [np.full((3, 1), p) for p in parameters]
    assert f(KS_KEY, *several).shape == (3, 1)
    assert f(KS_KEY, *several, (3, 4)).shape == (3, 4)
    if all(map(np.isfinite, parameters)):
        compiled = dlc.compile(lambda key, *p: f(key, *p, (501,)))
        assert np.array_equal(compiled(KS_KEY, *parameters), f(KS_KEY, *parameters, (501,)))
    if name != "truncated_normal":
        with pytest.raises(dlc.ShapeError):
            f(KS_KEY, *several, (4,))


def test_quantiles_of_the_normal_distribution():
    p = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 1001), 10.0 ** -np.arange(1, 290, 7)])
    want = special.ndtri(p)
    got = normal_quantile(dlc.asarray(p)).numpy()
    assert np.max(np.abs(got - want) / np.maximum(np.abs(want), 1e-3)) < 2e-15


@pytest.mark.parametrize("bounds", [(-40.0, -38.0), (50.0, np.inf), (31.0, 31.01)])
def test_truncated_normal_numbers_far_out(bounds):
    x = dlc.random.truncated_normal(KS_KEY, *bounds, (20000,), "float64").numpy()
    near, end = sorted(map(abs, bounds))
    above = special.log_ndtr(-np.array([near, end])), special.log_ndtr(-np.abs(x))
    share = np.expm1(above[1] - above[0][0]) / np.expm1(above[0][1] - above[0][0])
    assert fits(share, stats.uniform())
    tensors = [dlc.asarray(b, dtype=dlc.float64) for b in bounds]
    same = dlc.random.truncated_normal(KS_KEY, *tensors, (20000,), "float64").numpy()
    np.testing.assert_array_equal(x, same)


def test_bounds_of_truncated_normal_numbers():
    x = dlc.random.truncated_normal(KS_KEY, 1.0, 1.0 + 1e-6, (1000,)).numpy()
    assert (x >= 1).all()
    assert (x <= np.float32(1.0 + 1e-6)).all()
    with pytest.raises(dlc.ValueRangeError):
        dlc.random.truncated_normal(KS_KEY, 2.0, 1.0)
    g = dlc.grad(lambda a: dlc.sum(dlc.random.truncated_normal(KS_KEY, a, 2.0, (50,), "float64")))
    h = 1e-6

    def total(a):
        return dlc.random.truncated_normal(KS_KEY, a, 2.0, (50,), "float64").numpy().sum()

    slope = (total(-1 + h) - total(-1 - h)) / (2 * h)
    assert g(dlc.asarray(-1.0, dtype="float64")).item() == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("name", ["gamma", "chisquare"])
def test_gamma_numbers_move_with_their_shape(name):
    a = np.array([1e-3, 0.02, 0.5, 0.99, 1.0, 2.5, 40.0, 2000.0])
    if name == "gamma":
        f = lambda a: dlc.random.gamma(KS_KEY, a, (30, 8), "float64")  # noqa: E731
    else:
        f = lambda a: dlc.random.chisquare(KS_KEY, 2 * a, (30, 8), "float64") / 2  # noqa: E731
    x = f(a).numpy()
    share, step = special.gammainc(a, x), 1e-5 * a
    tail = special.gammaincc(a, x)
    lower = special.gammaincinv(a + step, share) - special.gammaincinv(a - step, share)
    upper = special.gammainccinv(a + step, tail) - special.gammainccinv(a - step, tail)
    want = (np.where(share < 0.5, lower, upper) / (2 * step)).sum(0)
    slope = dlc.grad(lambda a: dlc.sum(f(a)))
    for way in (slope, dlc.compile(slope)):
        assert np.allclose(way(dlc.asarray(a)).numpy(), want, rtol=1e-6)


def test_derivatives_of_gamma_numbers():
    a = np.array([1e-3, 0.5, 2.5, 2000.0])
    # Of float32 as of float64 with the same numbers, forwards as backwards, and a second time.
    single = dlc.asarray(a.astype(np.float32))
    f = lambda a: dlc.random.gamma(KS_KEY, a)  # noqa: E731
    forward = dlc.jvp(f, (single,), (dlc.ones_like(single),))[1].numpy()
    assert np.isfinite(forward).all()
    assert np.allclose(dlc.grad(lambda a: dlc.sum(f(a)))(single).numpy(), forward, rtol=1e-5)
    log = lambda a: dlc.random.loggamma(KS_KEY, a, (), "float64")  # noqa: E731
    at, step = np.float64(1.7), 1e-3
    share = special.gammainc(at, np.exp(log(at).item()))
    near = [np.log(special.gammaincinv(at + s, share)) for s in (-step, 0, step)]
    second = dlc.grad(dlc.grad(log))(dlc.asarray(at)).item()
    assert second == pytest.approx((near[0] - 2 * near[1] + near[2]) / step**2, rel=1e-4)
    logs = dlc.random.loggamma(KS_KEY, 1e-4, (1000,)).numpy()
    assert np.isfinite(logs).all()
    assert logs.min() < -200
    # What is made of gamma numbers: the means of the distributions move as they should.
    many = (40000,)
    mean = dlc.grad(lambda a: dlc.mean(dlc.random.beta(KS_KEY, a, 3.0, many)))
    assert mean(dlc.asarray(2.0)).item() == pytest.approx(3 / 25, rel=0.03)
    shares = dlc.grad(lambda a: dlc.mean(dlc.random.dirichlet(KS_KEY, a, many)[:, 0]))
    assert np.allclose(
        shares(dlc.asarray([1.0, 2.0, 5.0])).numpy(), [7 / 64, -1 / 64, -1 / 64], atol=4e-3
    )
    square = dlc.grad(lambda v: dlc.mean(dlc.abs(dlc.random.student_t(KS_KEY, v, many, "float64"))))
    step = 1e-3

    def size(v):
        return stats.t(v).expect(np.abs)

    want = (size(6 + step) - size(6 - step)) / (2 * step)
    assert square(dlc.asarray(np.float64(6.0))).item() == pytest.approx(want, rel=0.1)


COUNTS = [
    *(("poisson", (m,), stats.poisson(m)) for m in (0.0, 0.3, 9.9, 10.0, 31.0, 1e5)),
    *(("binomial", (n, p), stats.binom(n, p)) for n, p in (
        (0, 0.3), (7, 0.0), (7, 1.0), (12, 0.3), (25, 0.5), (1000, 0.02), (300, 0.9), (10**6, 0.4)
    )),
    ("geometric", (0.2,), stats.geom(0.2)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameters", "distribution"), COUNTS)
def test_counts(name, parameters, distribution):
    f = getattr(dlc.random, name)
    x = f(KS_KEY, *parameters, (20000,)).numpy()
    assert x.dtype == np.int64
    low, high = distribution.ppf([0.0005, 0.9995])
    if high - low < 60:  # each number as often as it should be
        held = np.arange(low, high + 1)
        want = distribution.pmf(held) * x.size
        got = np.array([(x == k).sum() for k in held])
        assert ((got - want) ** 2 < 20 * want + 1).all()
    else:  # a uniform number within each step makes the distribution continuous
        spread = distribution.cdf(x - 1) + distribution.pmf(x) * np.random.default_rng(1).random(
            x.size
        )
        assert fits(spread, stats.uniform)
    if name == "geometric":
        return
    several = [np.full((3, 1), p) for p in parameters]
    assert f(KS_KEY, *several, (3, 4), "float32").shape == (3, 4)
    compiled = dlc.compile(lambda key, *p: f(key, *p, (50,)))
    assert np.array_equal(compiled(KS_KEY, *parameters), f(KS_KEY, *parameters, (50,)))


def test_counts_of_impossible_parameters():
    means = np.array([-1.0, np.nan, np.inf, 3.0])
    assert dlc.random.poisson(KS_KEY, means).tolist()[:3] == [-1, -1, -1]
    x = dlc.random.poisson(KS_KEY, means, dtype="float32").numpy()
    assert np.isnan(x[:3]).all()
    assert x[3] >= 0
    chances = np.array([-0.1, 1.1, np.nan, 0.5])
    assert dlc.random.binomial(KS_KEY, 4, chances).tolist()[:3] == [-1, -1, -1]
    assert dlc.random.geometric(KS_KEY, chances).tolist()[:3] == [-1, -1, -1]
    for call in (
        lambda: dlc.random.poisson(KS_KEY, -1.0),
        lambda: dlc.random.binomial(KS_KEY, -1, 0.5),
        lambda: dlc.random.binomial(KS_KEY, 3, 1.5),
        lambda: dlc.random.geometric(KS_KEY, 0.0),
    ):
        with pytest.raises(dlc.ValueRangeError):
            call()
    with pytest.raises(dlc.DTypeError):
        dlc.random.poisson(KS_KEY, 1.0, dtype="bool")
    with pytest.raises(dlc.ShapeError):
        dlc.random.poisson(KS_KEY, np.ones(3), (4,))
    rows = dlc.vmap(lambda key, m: dlc.random.poisson(key, m, (5,)))(
        dlc.random.split(KS_KEY, 3), dlc.asarray([0.5, 4.0, 60.0])
    )
    one = dlc.random.poisson(dlc.random.split(KS_KEY, 3)[2], 60.0, (5,))
    assert np.array_equal(rows.numpy()[2], one.numpy())


def test_vectors():
    p = dlc.random.dirichlet(KS_KEY, np.array([1.0, 2.0, 5.0]), (20000,), "float64").numpy()
    assert np.allclose(p.sum(-1), 1)
    assert fits(p[:, 0], stats.beta(1, 7))
    cov = np.array([[2.0, 1.0], [1.0, 3.0]])
    mean = np.array([1.0, -1.0])
    x = dlc.random.multivariate_normal(KS_KEY, mean, cov, (20000,), "float64").numpy()
    assert fits(x @ [1.0, 2.0], stats.norm(-1.0, math.sqrt(18.0)))
    g = dlc.grad(lambda m: dlc.sum(dlc.random.multivariate_normal(KS_KEY, m, cov, (5,))))
    assert np.allclose(g(dlc.asarray(mean)).numpy(), 5)
    q = dlc.random.orthogonal(KS_KEY, 4, (500,), "float64").numpy()
    assert np.allclose(q @ q.swapaxes(-1, -2), np.eye(4), atol=1e-12)
    assert fits(q[:, 0, 0] ** 2, stats.beta(0.5, 1.5))
    for bad in ((mean, cov[:1]), (1.0, cov)):
        with pytest.raises(dlc.ShapeError):
            dlc.random.multivariate_normal(KS_KEY, *bad)
    with pytest.raises(dlc.ShapeError):
        dlc.random.dirichlet(KS_KEY, 1.0)


def counted(x, n):
    """Whether integers below n come equally often, by Pearson's test."""
    return stats.chisquare(np.bincount(np.asarray(x).ravel(), minlength=n)).pvalue > 1e-3


def test_randint():
    for dtype in ("int64", "int32", "uint8", "int8"):
        x = dlc.random.randint(KS_KEY, (6000,), -3 if dtype[0] == "i" else 0, 7, dtype)
        assert x.dtype.name == dtype
        low = -3 if dtype[0] == "i" else 0
        assert counted(x.numpy().astype(int) - low, 7 - low)
    wide = dlc.random.randint(KS_KEY, (2000,), -(2**62), 2**62).numpy()
    assert fits(wide / 2.0**63 + 0.5, stats.uniform)
    assert dlc.random.randint(KS_KEY, (), 5).item() < 5
    bounds = dlc.random.randint(KS_KEY, (3, 2), np.array([0, 10]), np.array([5, 11])).numpy()
    assert (bounds[:, 1] == 10).all()
    with pytest.raises(dlc.ValueRangeError):
        dlc.random.randint(KS_KEY, (2,), 3, 3)
    for bounds in ((0, 257), (-1, 3)):
        with pytest.raises(dlc.ValueRangeError, match="is not in 0..255"):
            dlc.random.randint(KS_KEY, (2,), *bounds, "uint8")
    with pytest.raises(dlc.DTypeError):
        dlc.random.randint(KS_KEY, (2,), 0, 3, "float32")
    side = dlc.random.rademacher(KS_KEY, (4000,)).numpy()
    assert set(side) == {-1, 1}
    assert counted((side + 1) // 2, 2)
    with pytest.raises(dlc.DTypeError):
        dlc.random.rademacher(KS_KEY, (2,), "uint8")


def test_categorical():
    p = np.array([0.1, 0.0, 0.6, 0.3])
    with np.errstate(divide="ignore"):
        logits = np.log(p)
    x = dlc.random.categorical(KS_KEY, logits, shape=(20000,)).numpy()
    seen = np.bincount(x, minlength=4)
    assert seen[1] == 0
    assert stats.chisquare(seen[p > 0], 20000 * p[p > 0]).pvalue > 1e-3
    assert dlc.random.categorical(KS_KEY, np.zeros((5, 3)), axis=0).shape == (3,)
    with pytest.raises(dlc.ShapeError):
        dlc.random.categorical(KS_KEY, np.zeros((5, 3)), shape=(4,))


def test_permutations():
    keys = dlc.random.split(KS_KEY, 3000)
    orders = dlc.vmap(lambda k: dlc.random.permutation(k, 4))(keys).numpy()
    assert (np.sort(orders, -1) == np.arange(4)).all()
    numbers = np.unique((orders * [64, 16, 4, 1]).sum(-1), return_inverse=True)[1]
    assert numbers.max() == 23
    assert counted(numbers, 24)
    x = np.arange(12).reshape(4, 3)
    rows = dlc.random.shuffle(KS_KEY, x).numpy()
    assert sorted(map(tuple, rows)) == sorted(map(tuple, x))
    free = dlc.random.permutation(KS_KEY, x, axis=1, independent=True).numpy()
    assert (np.sort(free, 1) == x).all()
    f = dlc.compile(lambda k: dlc.random.permutation(k, 100))
    assert np.array_equal(f(KS_KEY).numpy(), dlc.random.permutation(KS_KEY, 100).numpy())


def test_choice():
    a = np.array([5, 7, 9])
    x = dlc.random.choice(KS_KEY, a, (3000,)).numpy()
    assert counted((x - 5) // 2, 3)
    p = np.array([0.2, 0.0, 0.8])
    x = dlc.random.choice(KS_KEY, a, (40, 50), p=p).numpy()
    assert set(np.unique(x)) == {5, 9}
    assert abs((x == 9).mean() - 0.8) < 0.03
    each = dlc.random.choice(KS_KEY, 10, (2, 5), replace=False).numpy()
    assert sorted(each.ravel()) == list(range(10))
    keys = dlc.random.split(KS_KEY, 3000)
    one = dlc.vmap(lambda k: dlc.random.choice(k, 3, (2,), replace=False, p=p))(keys).numpy()
    assert set(map(tuple, np.sort(one, -1))) <= {(0, 2), (0, 1), (1, 2)}
    assert abs((one[:, 0] == 2).mean() - 0.8) < 0.03
    assert dlc.random.choice(KS_KEY, np.ones((2, 5)), (3,), axis=1).shape == (2, 3)
    with pytest.raises(dlc.ValueRangeError):
        dlc.random.choice(KS_KEY, 3, (4,), replace=False)
    with pytest.raises(dlc.ValueRangeError, match="of no elements"):
        dlc.random.choice(KS_KEY, 0, (2,))
    assert dlc.random.choice(KS_KEY, 0, (0,)).shape == (0,)
    with pytest.raises(dlc.ShapeError):
        dlc.random.choice(KS_KEY, 3, (4,), p=np.ones(2) / 2)
