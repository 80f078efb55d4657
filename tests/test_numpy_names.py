"""Functions that users of NumPy know beside the standard's, against NumPy at float64."""

import functions_harness as h
import numpy as np
import pytest

import dlc

WAYS = ("interpreted", "traced")
NAN = np.array([[1.5, np.nan, -2.0], [np.nan, np.nan, 4.0]], np.float32)
WHOLE = (np.array([12, -18, 0, 7, -128], np.int8), np.array([8, 27, 5, 0, 6], np.int8))
VECTOR, OTHER = h.values((7,)), h.values((4,), seed=1)
CURVE = np.array([0.0, 1.0, 3.0, 4.0], np.float32)
CASES = {
    **{
        name: (lambda xp, x, name=name: getattr(xp, name)(x), [h.values((3, 4))])
        for name in (
            "deg2rad", "rad2deg", "radians", "degrees", "sinc", "fix", "rint", "modf", "nan_to_num",
            "atleast_1d", "atleast_2d", "atleast_3d", "flipud", "fliplr", "rot90", "diag",
            "diagflat", "ptp", "cov", "corrcoef", "trapezoid", "average", "i0",
        )
    },
    **{
        f"{name} of two": (lambda xp, x, y, name=name: getattr(xp, name)(x, y),
                           [h.values((3, 4)), h.values((4,), seed=1)])
        for name in (
            "heaviside", "fmod", "fmax", "fmin", "logaddexp2", "divmod", "kron", "isclose",
            "allclose", "array_equal", "hstack", "column_stack",
        ) if name not in ("hstack", "column_stack")
    },
    **{
        f"{name} of integers": (lambda xp, x, y, name=name: getattr(xp, name)(x, y), WHOLE)
        for name in ("gcd", "lcm", "fmod", "divmod")
    },
    "bitwise_count": (lambda xp, x: xp.bitwise_count(x), WHOLE[:1]),
    "ldexp": (lambda xp, x, n: xp.ldexp(x, n), [VECTOR, np.array([0, 1, -3, 9, 100, -160, 130])]),
    "frexp": (lambda xp, x: xp.frexp(x), [np.array([8, -0.75, 0, 1e-42, 3e38], np.float32)]),
    "vstack": (lambda xp, x: xp.vstack([x, x]), [VECTOR]),
    "hstack": (lambda xp, x: xp.hstack([x, x]), [VECTOR]),
    "hstack of matrices": (lambda xp, x: xp.hstack([x, x]), [h.values((2, 3))]),
    "dstack": (lambda xp, x: xp.dstack([x, x]), [h.values((2, 3))]),
    "column_stack": (lambda xp, x: xp.column_stack([x, x]), [VECTOR]),
    "array_split": (lambda xp, x: xp.array_split(x, 3), [VECTOR]),
    "array_split at places": (lambda xp, x: xp.array_split(x, [2, 5]), [VECTOR]),
    "hsplit": (lambda xp, x: xp.hsplit(x, 2), [h.values((2, 4))]),
    "vsplit": (lambda xp, x: xp.vsplit(x, [1]), [h.values((2, 4))]),
    "dsplit": (lambda xp, x: xp.dsplit(x, 2), [h.values((2, 3, 4))]),
    **{
        f"rot90 {k} times": (lambda xp, x, k=k: xp.rot90(x, k, (0, 2)), [h.values((2, 3, 4))])
        for k in (-1, 0, 2, 3)
    },
    "diag of a vector": (lambda xp, x: xp.diag(x, 2), [VECTOR]),
    "diag below": (lambda xp, x: xp.diag(x, -1), [VECTOR]),
    "cross": (lambda xp, x, y: xp.cross(x, y), [h.values((5, 3)), h.values((3,), seed=2)]),
    "cross of an axis": (
        lambda xp, x: xp.cross(x, x[:, ::-1], axis=0), [h.values((3, 4))],
    ),
    "vander": (lambda xp, x: xp.vander(x, 3, increasing=True), [VECTOR]),
    **{
        f"{name} of an axis": (lambda xp, x, name=name: getattr(xp, name)(x, axis=0), [NAN])
        for name in ("nansum", "nanprod", "nancumsum", "nancumprod")
    },
    **{
        f"{name} of rows": (lambda xp, x, name=name: getattr(xp, name)(x, axis=1), [NAN])
        for name in ("nanmax", "nanmin", "nanmean", "nanvar", "nanstd", "nanargmax", "nanargmin")
    },
    "nanmax of all": (lambda xp, x: xp.nanmax(x), [NAN]),
    "average with weights": (
        lambda xp, x, w: xp.average(x, axis=1, weights=w), [h.values((3, 4)), OTHER + 4],
    ),
    "cov of columns": (lambda xp, x: xp.cov(x, rowvar=False), [h.values((5, 3))]),
    "cov of two": (lambda xp, x, y: xp.cov(x, y), [h.values((5,)), h.values((5,), seed=1)]),
    "interp": (lambda xp, x, y: xp.interp(x, CURVE, y), [VECTOR * 2, OTHER]),
    "interp with ends": (
        lambda xp, x, y: xp.interp(x, CURVE, y, left=-9.0, right=9.0), [VECTOR * 3, OTHER],
    ),
    "polyval": (lambda xp, p, x: xp.polyval(p, x), [OTHER, VECTOR]),
    **{
        f"{name} {mode} of {len(a)} and {len(b)}": (
            lambda xp, x, y, name=name, mode=mode: getattr(xp, name)(x, y, mode), [a, b],
        )
        for name in ("convolve", "correlate")
        for mode in ("full", "same", "valid")
        for a, b in ((VECTOR, OTHER), (OTHER, VECTOR), (VECTOR, OTHER[:3]), (OTHER[:3], VECTOR))
    },
    "trapezoid of nothing": (lambda xp, y: xp.trapezoid(y, axis=0), [h.values((0, 2))]),
    "trapezoid at places": (
        lambda xp, y, x: xp.trapezoid(y, x, axis=0), [h.values((4, 2)), CURVE],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name):
    function, arrays = CASES[name]
    whole = all(a.dtype.kind == "i" for a in arrays)

    def reference(*xs):
        with np.errstate(all="ignore"):
            found = function(np, *(a if whole else x for a, x in zip(arrays, xs, strict=True)))
            return tuple(found) if isinstance(found, (list, tuple)) else found

    h.check(lambda *xs: function(dlc, *xs), reference, list(arrays), ulps=64, floor=1, ways=WAYS)


@pytest.mark.parametrize("name", ["fmod", "fmax", "fmin", "heaviside", "logaddexp2"])
def test_special_values_of_two(name):
    pairs = [p.ravel() for p in np.meshgrid(h.specials(), h.specials())]
    reference = getattr(np, name)
    h.check(getattr(dlc, name), reference, pairs, ulps=4, ways=WAYS)


def test_special_values_of_one():
    x = h.specials()
    finite = x[np.isfinite(x)]
    for name in ("modf", "frexp"):
        want = getattr(np, name)(finite)
        for way in WAYS:
            got = h.WAYS[way](getattr(dlc, name), [finite])
            assert all(np.array_equal(g, w) for g, w in zip(got, want, strict=True)), (name, way)
    assert dlc.nan_to_num(x, nan=7.0, posinf=1.0, neginf=2.0).tolist()[:5] == [7, 0, 0, 1, 2]
    assert np.isfinite(dlc.nan_to_num(h.specials("float16")).numpy()).all()
    assert dlc.modf(np.float32(np.inf))[0].item() == 0
    assert np.isnan(dlc.frexp(np.float32(np.nan))[0].item())


def test_comparison_with_tolerance():
    x = np.array([1.0, np.inf, np.nan, 1e-9, 0.0])
    y = np.array([1.0 + 1e-6, np.inf, np.nan, 0.0, 1e-7])
    for equal_nan in (False, True):
        want = np.isclose(x, y, equal_nan=equal_nan)
        assert dlc.isclose(x, y, equal_nan=equal_nan).tolist() == want.tolist()
    assert dlc.isclose(x, y, rtol=0, atol=0).tolist() == [False, True, False, False, False]
    assert dlc.array_equal(x, x, equal_nan=True).item()
    assert not dlc.array_equal(x, x).item()
    assert not dlc.array_equal(x, x[:2]).item()
    assert not dlc.allclose(x[:1], x[:1] + 1).item()


def test_grids_and_matrices():
    assert np.array_equal(dlc.identity(3).numpy(), np.identity(3))
    assert np.array_equal(dlc.tri(3, 4, 1).numpy(), np.tri(3, 4, 1))
    assert np.array_equal(dlc.indices((2, 3)).numpy(), np.indices((2, 3)))
    for name in ("tril_indices", "triu_indices"):
        got, want = getattr(dlc, name)(4, 1, 3), getattr(np, name)(4, 1, 3)
        assert all(np.array_equal(a.numpy(), b) for a, b in zip(got, want, strict=True))
    assert dlc.float_power(2, 0.5).dtype == dlc.float64
    assert dlc.lerp(np.float32(1), np.float32(3), 0.5).item() == 2


def test_other_names_are_the_same_functions():
    for name, own in (
        ("arcsin", "asin"), ("power", "pow"), ("mod", "remainder"), ("clamp", "clip"),
        ("absolute", "abs"), ("array", "asarray"), ("permute", "permute_dims"),
    ):  # fmt: skip
        assert getattr(dlc, name) is getattr(dlc, own)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: dlc.cross(np.ones(2), np.ones(2)), ValueError, "three elements"),
        (lambda: dlc.diag(np.ones((1, 1, 1))), ValueError, "a vector or a matrix"),
        (lambda: dlc.rot90(np.ones((2, 2)), 1, (0,)), ValueError, "two axes"),
        (lambda: dlc.convolve(np.ones(2), np.ones(0)), ValueError, "not empty"),
        (lambda: dlc.convolve(np.ones(2), np.ones(2), "most"), ValueError, "no mode 'most'"),
        (lambda: dlc.gcd(1.5, 2), TypeError, "must be signed integer or unsigned integer"),
        (lambda: dlc.ldexp(1.5, 2.0), TypeError, "must be signed integer"),
        (lambda: dlc.vstack(3), TypeError, "takes a list"),
        (lambda: dlc.interp(1.0, np.ones(2), np.ones(3)), ValueError, "two vectors alike"),
        (lambda: dlc.array_split(np.ones(2), 0), ValueError, "into 0 parts"),
    ],
)
def test_mistakes(call, error, message):
    with pytest.raises(error, match=message):
        call()
