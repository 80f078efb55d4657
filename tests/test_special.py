"""Special functions: values and derivatives against SciPy."""

import functions_harness as h
import numpy as np
import pytest
from scipy import special, stats

import dlc

WIDE = np.concatenate([np.linspace(-12.3, 12.3, 83), [1e-9, -1e-9, 30.5, 171.0, 650.0, 1.0, 2.0]])
SHARE = np.concatenate([np.linspace(0.001, 0.999, 41), [1e-9, 1e-300, 1 - 1e-12, 0.5]])
FAR = np.float64(10) ** np.linspace(-15.9, -0.1, 200)
UNARY = {
    "erfinv": 2 * SHARE[:41] - 1, "gammaln": WIDE, "digamma": WIDE, "ndtr": WIDE[:83] / 2,
    "ndtri": SHARE, "logit": SHARE, "entr": np.abs(WIDE), "i0": WIDE[:87], "i0e": WIDE,
    "i1": WIDE[:87], "i1e": WIDE, "expit": WIDE, "gamma": WIDE[:86], "log_ndtr": WIDE * 3,
    "erfcx": WIDE, "j0": WIDE, "j1": WIDE, "y0": WIDE, "y1": WIDE, "k0": WIDE, "k1": WIDE,
    "k0e": WIDE, "k1e": WIDE, "airy_ai": WIDE, "spherical_j0": WIDE,
}  # fmt: skip
# Where SciPy has another name, or several results.
OTHERS = {
    "airy_ai": lambda x: special.airy(x)[0],
    "spherical_j0": lambda x: special.spherical_jn(0, x),
}
# By SciPy too, or by what the function's definition says.
SLOPES = {
    "erfinv": lambda x: np.sqrt(np.pi) / 2 * np.exp(special.erfinv(x) ** 2),
    "gammaln": special.digamma,
    "digamma": lambda x: special.polygamma(1, x),
    "ndtr": lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
    "ndtri": lambda p: np.sqrt(2 * np.pi) * np.exp(special.ndtri(p) ** 2 / 2),
    "logit": lambda x: 1 / (x * (1 - x)),
    "entr": lambda x: -np.log(x) - 1,
    "i0": special.i1,
    "i0e": lambda x: special.i1e(x) - np.sign(x) * special.i0e(x),
    "gamma": lambda x: special.gamma(x) * special.digamma(x),
    "erfcx": lambda x: 2 * x * special.erfcx(x) - 2 / np.sqrt(np.pi),
    "j0": lambda x: -special.j1(x),
    "j1": lambda x: special.jvp(1, x),
    "y0": lambda x: -special.y1(x),
    "k0": lambda x: -special.k1(x),
    "k1e": lambda x: special.k1e(x) - special.k0e(x) - special.k1e(x) / x,
    "airy_ai": lambda x: special.airy(x)[1],
    "spherical_j0": lambda x: special.spherical_jn(0, x, derivative=True),
    "log_ndtr": lambda x: np.exp(-x * x / 2 - special.log_ndtr(x)) / np.sqrt(2 * np.pi),
}


def near(got, want, bound):
    with np.errstate(invalid="ignore"):
        allowed = bound * np.maximum(np.abs(want), 1e-2)
        return (got == want) | (np.abs(got - want) <= allowed) | (np.isnan(got) & np.isnan(want))


@pytest.mark.parametrize("name", UNARY)
def test_values(name):
    x, function = UNARY[name], getattr(dlc.special, name)
    reference = OTHERS.get(name) or getattr(special, name)
    for way in ("interpreted", "native"):
        got = h.WAYS[way](function, [x])[0]
        assert near(got, reference(x), 2e-13).all(), way
    single = x.astype(np.float32)
    want = reference(single.astype(np.float64))
    got = dlc.compile(function)(single).numpy()
    assert got.dtype == np.float32
    with np.errstate(over="ignore"):
        assert near(got, want.astype(np.float32).astype(np.float64), 3e-7).all()


def test_inverses_of_distribution_functions_to_the_last_places():
    """Near the ends, and near the middle, where results are small."""
    shares = np.concatenate([FAR, FAR * 1e-290, 1 - FAR, 0.5 + FAR / 4, 0.5 - FAR / 4])
    for name, x in (("ndtri", shares), ("erfinv", np.concatenate([FAR, 1 - FAR, -FAR * 1e-290]))):
        found = dlc.compile(getattr(dlc.special, name))(x).numpy()
        want = getattr(special, name)(x)
        assert (np.abs(found - want) <= 8 * np.spacing(np.abs(want))).all(), name


@pytest.mark.parametrize("name", SLOPES)
def test_derivatives(name):
    x = UNARY[name]
    x = x[np.abs(x) > 1e-3]
    if name in ("gammaln", "digamma", "gamma"):
        x = x[(np.abs(x) < 100) & (np.abs(x - np.round(x)) > 1e-6)]
    if name in ("y0", "k0", "k1e"):
        x = np.abs(x)
    function = getattr(dlc.special, name)
    got = dlc.grad(lambda v: dlc.sum(function(v)))(dlc.asarray(x)).numpy()
    assert near(got, SLOPES[name](x), 1e-11).all()


def test_ends_and_poles():
    f = dlc.special
    nan, inf = np.nan, np.inf
    for function, x, want in (
        (f.erfinv, [-1, 1, 1.5, nan, 0.0, -0.0], [-inf, inf, nan, nan, 0.0, -0.0]),
        (f.gammaln, [0.0, -1, -2, inf, nan], [inf, inf, inf, inf, nan]),
        (f.digamma, [0.0, -0.0, -1, inf, nan], [-inf, inf, nan, inf, nan]),
        (f.ndtri, [0.0, 1, -0.5, nan], [-inf, inf, nan, nan]),
        (f.entr, [0.0, -1, nan], [0.0, -inf, nan]),
        (f.i0e, [0.0, inf, nan], [1.0, 0.0, nan]),
        (f.i1, [1e308, -1e308, 0.0, nan], [inf, -inf, 0.0, nan]),
        (f.j0, [0.0, -0.0, inf, -inf, nan], [1.0, 1.0, 0.0, 0.0, nan]),
        (f.y1, [0.0, -1.0, inf, nan], [-inf, nan, 0.0, nan]),
        (f.k0, [0.0, -1.0, inf, nan], [inf, nan, 0.0, nan]),
        (f.airy_ai, [inf, -inf, nan], [0.0, 0.0, nan]),
        (f.spherical_j0, [0.0, inf, nan], [1.0, 0.0, nan]),
        (f.erfcx, [inf, -inf, nan], [0.0, inf, nan]),
    ):  # fmt: skip
        got = function(np.array(x)).numpy()
        assert np.array_equal(got, want, equal_nan=True), function.__name__
    assert f.xlogy(np.array([0.0, 2.0, 0.0]), np.array([0.0, 1.0, nan])).tolist()[:2] == [0, 0]
    assert np.isnan(f.xlogy(0.0, nan).item())
    assert f.xlog1py(0.0, -1.0).item() == 0
    a, b = np.array([0.5, 3.0, 20.0]), np.array([2.0, 0.25, 30.0])
    assert near(f.betaln(a, b).numpy(), special.betaln(a, b), 1e-12).all()


@pytest.mark.parametrize("n", [0, 1, 2, 5, 20])
def test_polygamma(n):
    x = np.concatenate([np.linspace(0.01, 40, 90), [1e3, 1e6]])
    got = dlc.special.polygamma(n, x).numpy()
    assert near(got, special.polygamma(n, x), 1e-12 * (n + 1)).all()
    slope = dlc.grad(lambda v: dlc.sum(dlc.special.polygamma(n, v)))(dlc.asarray(x)).numpy()
    assert near(slope, special.polygamma(n + 1, x), 1e-11 * (n + 1)).all()
    below = -np.array([0.3, 0.6, 2.25, 7.9])
    wide = dlc.special.polygamma(n, below).numpy()
    # From above 0 down, step by step.
    steps = below[:, None] + np.arange(9)
    terms = (-1.0) ** n * special.factorial(n) / steps ** (n + 1)
    assert np.allclose(wide, special.polygamma(n, below + 9) - terms.sum(1), rtol=1e-11)
    if n:
        poles = dlc.special.polygamma(n, np.array([0.0, -3.0])).tolist()
        assert poles == [(-1) ** (n + 1) * np.inf] * 2
    for wrong in (-1, 1.5, True):
        with pytest.raises(dlc.ArgumentError, match="order"):
            dlc.special.polygamma(wrong, 1.0)


def test_zeta():
    x, q = np.meshgrid([1.001, 1.5, 2.0, 7.0, 30.0], [0.01, 0.5, 1.0, 8.0, 300.0])
    assert near(dlc.special.zeta(x, q).numpy(), special.zeta(x, q), 1e-12).all()
    orders, starts = np.array([1.0, 0.5, 2.0, np.nan]), np.array([1.0, 1.0, 0.0, 1.0])
    ends = dlc.special.zeta(orders, starts).numpy()
    assert np.array_equal(ends, [np.inf, np.nan, np.inf, np.nan], equal_nan=True)


@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_incomplete_gamma_functions(name):
    f, reference = getattr(dlc.special, name), getattr(special, name)
    sign = 1 if name == "gammainc" else -1
    a = np.array([1e-8, 0.02, 0.6, 0.999, 1.0, 1.7, 19.0, 21.0, 900.0, 3e5])[:, None]
    x = np.maximum(a + np.sqrt(a) * np.linspace(-4, 6, 23), np.logspace(-8, 0.4, 23))
    got, want = f(a, x).numpy(), reference(a, x)
    assert (np.abs(got - want) <= 1e-11 * want + 4e-15).all()
    to_x = dlc.grad(lambda v: dlc.sum(f(a, v)))(dlc.asarray(x)).numpy()
    assert np.allclose(to_x, sign * stats.gamma(a).pdf(x), rtol=1e-9, atol=1e-300)
    of_a = dlc.compile(dlc.grad(lambda v: dlc.sum(f(v, x))))(dlc.asarray(a)).numpy()
    for k in (1, 4, 5, 8):
        step = 1e-4 * a[k, 0]
        near_a = [reference(a[k, 0] + s, x[k]).sum() for s in (-step, step)]
        assert of_a[k, 0] == pytest.approx((near_a[1] - near_a[0]) / (2 * step), rel=1e-6)
    nan, inf = np.nan, np.inf
    shapes = np.array([0.0, 2.0, 2.0, 0.0, inf, -1.0, 1.0, nan])
    ends = f(shapes, np.array([1.0, 0.0, inf, 0.0, 1.0, 1.0, -1.0, 1.0])).numpy()
    lower = np.array([1, 0, 1, nan, 0, nan, nan, nan])
    assert np.array_equal(ends, lower if sign > 0 else 1 - lower, equal_nan=True)


def test_exponential_integrals():
    f = dlc.special
    x = np.concatenate(
        [np.linspace(-45, 45, 200), -np.logspace(-12, 2.5, 60), np.logspace(-12, 2.8)]
    )
    assert np.allclose(f.expi(x).numpy(), special.expi(x), rtol=2e-13, atol=2e-15)
    above = np.abs(x)
    assert np.allclose(f.exp1(above).numpy(), special.exp1(above), rtol=2e-13, atol=0)
    slope = dlc.compile(dlc.grad(lambda v: dlc.sum(f.expi(v))))(x).numpy()
    assert np.allclose(slope, np.exp(x) / x, rtol=1e-13)
    bent = dlc.grad(dlc.grad(f.exp1))(dlc.asarray(2.0, dtype=dlc.float64)).item()
    assert bent == pytest.approx(np.exp(-2) * (1 / 2 + 1 / 4), rel=1e-13)
    nan, inf = np.nan, np.inf
    ends = np.array([-inf, -0.0, 0.0, inf, nan, 716.0, 720.0])
    want = [0.0, -inf, -inf, inf, nan, 1.2605029106040894e308, inf]  # at 716: by mpmath
    assert np.allclose(f.expi(ends).numpy(), want, rtol=1e-13, equal_nan=True)
    assert np.array_equal(
        f.exp1(np.array([inf, 0.0, -1.0, nan])).numpy(), [0.0, inf, nan, nan], equal_nan=True
    )


def test_incomplete_beta_function():
    f = dlc.special.betainc
    shapes = np.array([1e-3, 0.1, 0.9, 1.0, 1.9, 2.0, 5.0, 19.0, 21.0, 300.0, 1e6])
    a, b = (v.reshape(-1, 1) for v in np.meshgrid(shapes, shapes))
    spread = np.sqrt(a * b / (a + b + 1)) / (a + b)
    x = np.broadcast_to([1e-300, 1e-12, 0.01, 0.3, 0.5, 0.7, 0.99, 1 - 1e-9], (len(a), 8))
    x = np.concatenate([np.clip(a / (a + b) + spread * np.arange(-5, 7), 1e-9, 1 - 1e-9), x], 1)
    got = f(a, b, x).numpy()
    # SciPy's error is up to 2e-11 of large shapes, where those below are by mpmath.
    assert np.allclose(got, special.betainc(a, b, x), rtol=3e-11, atol=4e-15)
    assert f(2.0, 1e6, np.float64(2.70710030632815e-06)).item() == pytest.approx(
        0.7526260174617835, rel=1e-13
    )
    assert np.allclose(f(2.0, 3.0, dlc.asarray([0.0, 0.5, 1.0])).numpy(), [0, 0.6875, 1])
    grad = dlc.compile(dlc.grad(lambda p, q, v: dlc.sum(f(p, q, v)), argnums=(0, 1, 2)))
    to_a, to_b, to_x = (g.numpy() for g in grad(a, b, x))
    assert np.isfinite(to_a).all()
    assert np.isfinite(to_b).all()
    assert np.allclose(to_x, stats.beta(a, b).pdf(x), rtol=1e-9)
    for k in range(0, len(a), 7):
        p, q, v = a[k, 0], b[k, 0], x[k]
        for got, step in ((to_a, (1e-5 * p, 0)), (to_b, (0, 1e-5 * q))):
            ends = [special.betainc(p + s * step[0], q + s * step[1], v).sum() for s in (-1, 1)]
            rise = (ends[1] - ends[0]) / (2 * sum(step))
            assert got[k, 0] == pytest.approx(rise, rel=1e-4, abs=1e-6 / sum(step) * 1e-5), (p, q)


def test_ends_of_the_incomplete_beta_function():
    f, nan, inf = dlc.special.betainc, np.nan, np.inf
    a = np.array([2.0, 2.0, 0.0, -1.0, 2.0, 2.0, nan, 2.0, inf])
    x = np.array([0.0, 1.0, 0.5, 0.5, -0.1, 1.1, 0.5, nan, 0.5])
    want = [0, 1, nan, nan, nan, nan, nan, nan, nan]
    assert np.array_equal(f(a, 3.0, x).numpy(), want, equal_nan=True)
    places = (np.array([2.0, 1.0, 0.5, 2.0]), np.array([3.0, 3, 3, 1]), np.array([0.0, 0, 0, 1]))
    slopes = dlc.grad(lambda p, q, v: dlc.sum(f(p, q, v)), argnums=2)(*places)
    assert slopes.tolist() == [0.0, pytest.approx(3.0), inf, pytest.approx(2.0)]
    rows = dlc.vmap(f, in_axes=(0, None, None))(np.array([1.0, 2.0]), 1.0, np.float64(0.25))
    assert np.allclose(rows.numpy(), [0.25, 0.0625], rtol=1e-14)
    with pytest.raises(dlc.ShapeError, match="betainc"):
        f(np.ones(2), np.ones(3), 0.5)


def test_betaln_of_one_large_argument():
    """Where the logarithms of gamma are large and nearly the same."""
    a, b = np.meshgrid([1e-3, 0.5, 3.0, 25.0, 1e5], [21.0, 1e4, 1e8, 1e14])
    got = dlc.special.betaln(a, b).numpy()
    assert near(got, special.betaln(a, b), 1e-11).all()
    assert np.array_equal(got, dlc.special.betaln(b, a).numpy())
    slope = dlc.grad(dlc.special.betaln)(np.float64(0.5), np.float64(1e8)).item()
    assert slope == pytest.approx(special.digamma(0.5) - special.digamma(1e8 + 0.5), rel=1e-12)


def test_of_several():
    a, b = np.array([0.5, 3.0, 20.0, -1.5]), np.array([2.0, 0.25, 30.0, 0.25])
    f = dlc.special
    assert near(f.beta(a, b).numpy(), special.beta(a, b), 1e-12).all()
    counts = np.array([0.0, 1.0, 4.5, 30.0, -1.0])
    assert near(f.factorial(counts).numpy(), special.factorial(counts), 1e-12).all()
    rows = a[:3] + 2
    assert near(f.multigammaln(rows, 4).numpy(), special.multigammaln(rows, 4), 1e-12).all()
    p = np.array([0.0, 0.2, 0.7, 0.0, -1.0, np.nan, 0.3])
    q = np.array([0.5, 0.3, 0.0, 0.0, 1.0, 1.0, 0.3])
    for name in ("rel_entr", "kl_div"):
        got, want = getattr(f, name)(p, q).numpy(), getattr(special, name)(p, q)
        assert np.allclose(got, want, rtol=1e-12, equal_nan=True), name
    with pytest.raises(dlc.ValueRangeError):
        f.multigammaln(3.0, 0)


def test_names():
    assert dlc.lgamma is dlc.special.gammaln
    assert dlc.digamma is dlc.special.psi
    for name in dlc.special.__all__:
        assert getattr(dlc.special, name).__doc__
    assert dlc.erfinv(dlc.asarray(0.5, dtype=dlc.float16)).dtype == dlc.float16


def test_inverses_are_rounded_once_at_float32():
    tails = 2.0 ** -np.linspace(1, 140, 4001)
    places = np.concatenate([np.linspace(0, 1, 4001)[1:-1], tails, 1 - tails[:600]])
    for name in ("erfinv", "ndtri"):
        x = places.astype(np.float32)
        x = x[(x < 1) & (x != 0.5)]
        wanted = getattr(special, name)(x.astype(np.float64))
        found = getattr(dlc.special, name)(x).numpy()
        np.testing.assert_array_less(np.abs(found - wanted), 0.51 * np.spacing(np.abs(found)))


def test_an_eager_call_is_one_program():
    x = np.linspace(-0.9, 0.9, 37, dtype=np.float32)
    for name in ("erfinv", "log_ndtr", "i0", "digamma"):
        function = getattr(dlc.special, name)
        np.testing.assert_array_equal(function(x).numpy(), dlc.compile(function)(x).numpy())
    v = dlc.Variable(x, requires_grad=True)
    dlc.sum(dlc.special.erfinv(v)).backward()
    wanted = np.sqrt(np.pi) / 2 * np.exp(special.erfinv(x.astype(np.float64)) ** 2)
    np.testing.assert_allclose(v.grad.numpy(), wanted, rtol=1e-6)
