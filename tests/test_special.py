"""Special functions: values and derivatives against SciPy."""

import functions_harness as h
import numpy as np
import pytest
from scipy import special

import dlc

WIDE = np.concatenate([np.linspace(-12.3, 12.3, 83), [1e-9, -1e-9, 30.5, 171.0, 650.0, 1.0, 2.0]])
SHARE = np.concatenate([np.linspace(0.001, 0.999, 41), [1e-9, 1e-300, 1 - 1e-12, 0.5]])
UNARY = {
    "erfinv": 2 * SHARE[:41] - 1, "gammaln": WIDE, "digamma": WIDE, "ndtr": WIDE[:83] / 2,
    "ndtri": SHARE, "logit": SHARE, "entr": np.abs(WIDE), "i0": WIDE[:87], "i0e": WIDE,
    "i1": WIDE[:87], "i1e": WIDE, "expit": WIDE,
}  # fmt: skip
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
}


def near(got, want, bound):
    with np.errstate(invalid="ignore"):
        allowed = bound * np.maximum(np.abs(want), 1e-2)
        return (got == want) | (np.abs(got - want) <= allowed) | (np.isnan(got) & np.isnan(want))


@pytest.mark.parametrize("name", UNARY)
def test_values(name):
    x, function, reference = UNARY[name], getattr(dlc.special, name), getattr(special, name)
    for way in ("interpreted", "native"):
        got = h.WAYS[way](function, [x])[0]
        assert near(got, reference(x), 2e-13).all(), way
    single = x.astype(np.float32)
    want = reference(single.astype(np.float64))
    got = dlc.compile(function)(single).numpy()
    assert got.dtype == np.float32
    with np.errstate(over="ignore"):
        assert near(got, want.astype(np.float32).astype(np.float64), 3e-7).all()


@pytest.mark.parametrize("name", SLOPES)
def test_derivatives(name):
    x = UNARY[name]
    x = x[np.abs(x) > 1e-3]
    if name in ("gammaln", "digamma"):
        x = x[(np.abs(x) < 100) & (np.abs(x - np.round(x)) > 1e-6)]
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
    ):  # fmt: skip
        got = function(np.array(x)).numpy()
        assert np.array_equal(got, want, equal_nan=True), function.__name__
    assert f.xlogy(np.array([0.0, 2.0, 0.0]), np.array([0.0, 1.0, nan])).tolist()[:2] == [0, 0]
    assert np.isnan(f.xlogy(0.0, nan).item())
    assert f.xlog1py(0.0, -1.0).item() == 0
    a, b = np.array([0.5, 3.0, 20.0]), np.array([2.0, 0.25, 30.0])
    assert near(f.betaln(a, b).numpy(), special.betaln(a, b), 1e-12).all()


def test_names():
    assert dlc.lgamma is dlc.special.gammaln
    assert dlc.digamma is dlc.special.psi
    for name in dlc.special.__all__:
        assert getattr(dlc.special, name).__doc__
    assert dlc.erfinv(dlc.asarray(0.5, dtype=dlc.float16)).dtype == dlc.float16
