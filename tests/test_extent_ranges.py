"""Extents of which only some values are possible: ranges of symbols, from traces and declared."""

import math
import pickle

import numpy as np
import pytest
import torch

import dlc
from dlc import nn
from dlc.ir.dims import at_least, dims_equal, floordiv, lower_bound, mod, narrowed, symbol
from dlc.ir.equal import same_structure
from dlc.ir.interpret import interpret
from dlc.ir.op import OPS
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.ir.verifier import verify

N, M = symbol("n"), symbol("m")
TABLE = dlc.arange(8, dtype=dlc.float32)


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_bounds_of_ranges():
    n, m = symbol("n", (7, 9)), symbol("m", (3, None))
    assert lower_bound(n - 6) == 1
    assert lower_bound(10 - n) == 1
    assert lower_bound(floordiv(m, 2)) == 1
    assert lower_bound(3 - mod(m, 4)) == 0
    assert lower_bound(m - n) == -6
    assert lower_bound(n - m) is None
    assert at_least(m * 3, n)
    assert not at_least(n - 9, 1)
    assert not dims_equal(n, 6)
    assert symbol("n") != n
    half = floordiv(N, 2)
    assert lower_bound(2 * half - 4 * floordiv(2 * half, 4)) == 0
    assert lower_bound(half - floordiv(half, 2)) == 0
    assert lower_bound(symbol("n", (1, 3)) - floordiv(symbol("n", (1, 3)), 2) - 1) == 0
    assert pickle.loads(pickle.dumps(n)) == n


@pytest.mark.parametrize(
    ("dim", "values", "within", "found"),
    [
        (N - 7, {"n": 20}, {}, {"n": (7, None)}),
        (N - 7, None, {"n": (2, 512)}, {"n": (7, 512)}),
        (floordiv(N - 2, 2) - 3, {"n": 20}, {}, {"n": (8, None)}),
        (512 - N, {"n": 20}, {"n": (3, None)}, {"n": (3, 512)}),
        (512 - N, None, {}, {"n": (1, 512)}),
        (N * M - 7, {"n": 20, "m": 4}, {}, {"n": (3, None), "m": (3, None)}),
        (N - M, {"n": 20, "m": 4}, {}, None),
        (N - 7, {"n": 3}, {}, None),
    ],
)
def test_narrowed(dim, values, within, found):
    assert narrowed(dim, values, within) == found


TEXT = """func @f[n>=3, 2<=m<=9](%x: f32[n,m]) -> (f32[n-2,m]) {
  %0: f32[n-2,m] = slice(%x) {start=[2,0], limit=[n,m], step=[1,1]}
  return %0
}"""


def test_text_of_ranges():
    f = parse_function(TEXT)
    verify(f)
    assert print_function(f) == TEXT
    assert f.ranges == {"n": (3, None), "m": (2, 9)}
    other = parse_function(TEXT.replace("n>=3", "n>=2"))
    assert not same_structure(f, other)
    x = normal(5, 4)
    np.testing.assert_array_equal(interpret(f, [x])[0], x[2:])
    np.testing.assert_array_equal(dlc.compile(f)(x).numpy(), x[2:])
    for shape, said in (((2, 4), "n is at least 3"), ((3, 10), "m is between 2 and 9")):
        with pytest.raises(dlc.ShapeError, match=said):
            interpret(f, [normal(*shape)])
    with pytest.raises(dlc.ShapeError, match="n is 2, and must be at least 3"):
        dlc.compile(f)(normal(2, 4))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("n>=3", "n>=1", "1 is not within|2:n is not within|slice"),
        ("n>=3", "n>=0", "what n may be"),
        ("n>=3", "9<=n<=3", "what n may be"),
        ("n>=3", "m>=3", "what m may be is said twice"),
        ("n>=3", "n", "expected"),
        ("n>=3", "3", "expected"),
    ],
)
def test_texts_that_are_refused(old, new, said):
    with pytest.raises(dlc.DlcError, match=said):
        parse_function(TEXT.replace(old, new, 1))


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, stride=2)
    ).eval()


def test_windows_without_padding_compile_once_for_all_sizes():
    net = network()
    f = dlc.compile(net)
    for h, w in ((16, 17), (18, 9), (8, 30), (9, 8), (40, 41)):
        x = normal(2, 3, h, w)
        np.testing.assert_allclose(f(x).numpy(), net(x).numpy(), rtol=1e-5, atol=1e-6)
    assert f.stats.compilations == 2
    assert f.stats.traces == 3
    assert "n0>=8: the program depends on floordiv(n0,2)-1 >= 3" in f.explain()
    with pytest.raises(dlc.ShapeError, match="3 elements along axis 2, which has 1"):
        f(normal(2, 3, 5, 9))


@pytest.mark.parametrize(
    ("f", "sizes", "programs"),
    [
        (lambda x: x[2:], (5, 6, 3, 2, 9), 2),
        (lambda x: x[:4], (5, 6, 3, 2, 9, 1), 3),
        (lambda x: x[-3:-1], (5, 6, 9, 3), 2),
        (lambda x: x[2:] - x[:-2], (5, 6, 9, 3), 2),
        (lambda x: x[::-1][1:], (5, 6, 9, 2), 2),
        (lambda x: x * 2 if x.shape[0] > 4 else x + 1, (7, 8, 6, 5, 3, 2, 1), 3),
        (lambda x: x if x.shape[0] == 7 else x + 1, (5, 6, 4, 9, 10, 8, 7), 4),
        (lambda x: x * max(x.shape[0], 6), (8, 9, 7, 5, 4, 6), 3),
        (lambda x: x + TABLE[: x.shape[0]], (3, 4, 8, 5), 2),
    ],
)
def test_decisions_by_extents_narrow_them(f, sizes, programs):
    compiled = dlc.compile(f)
    for n in sizes:
        x = normal(n)
        np.testing.assert_array_equal(compiled(x).numpy(), np.asarray(f(x)))
    assert compiled.stats.compilations == programs


@pytest.mark.parametrize("f", [dlc.max, dlc.argmin, dlc.median, dlc.mode])
def test_nothing_to_choose_from_is_an_error_for_open_extents(f):
    compiled = dlc.compile(lambda x: f(x[3:]))
    for n in (7, 8, 4):
        compiled(normal(n))
    assert compiled.stats.compilations == 2
    with pytest.raises(dlc.ShapeError, match="no element"):
        compiled(normal(3))
    halved = dlc.compile(lambda x: f(x[: x.shape[0] // 2]))
    for n in (7, 8, 2):
        halved(normal(n))
    with pytest.raises(dlc.ShapeError, match="no element"):
        halved(normal(1))


def test_python_loops_make_extents_constant():
    def f(x):
        k = 0
        while k < x.shape[0]:
            k += 1
        return x * k

    compiled = dlc.compile(f)
    for n in (3, 4, 5):
        np.testing.assert_array_equal(compiled(normal(n)).numpy(), normal(n) * n)
    assert compiled.stats.traces == 5  # twice where the extent is open
    assert "n0 made constant: the program depends on" in compiled.explain()


def test_errors_have_numbers():
    f = dlc.compile(lambda x, y: x[2:] + y)
    for n in (5, 6):
        f(normal(n, 3), normal(3))
    with pytest.raises(dlc.ShapeError, match=r"f32\[5,3\] and f32\[4\]"):
        f(normal(7, 3), normal(4))


def test_saved_programs_say_and_check_what_extents_may_be(tmp_path):
    net, path = network(), tmp_path / "net.dlc"
    dlc.save(net, path, [dlc.spec(("b", 3, "h", "w"))])
    loaded = dlc.load(path)
    assert "f32[b,3,h>=8,w>=8]" in repr(loaded)
    for b, h, w in ((2, 16, 17), (1, 8, 30), (3, 9, 8)):
        x = normal(b, 3, h, w)
        np.testing.assert_allclose(loaded(x).numpy(), net(x).numpy(), rtol=1e-5, atol=1e-6)
    assert loaded.stats.compilations == loaded.stats.traces == 1
    with pytest.raises(dlc.ShapeError, match="h>=8"):
        loaded(normal(2, 3, 7, 9))
    inside = dlc.compile(lambda x: loaded(x) * 2)
    for h in (12, 13, 9, 8):
        assert inside(normal(2, 3, h, h + 1)).shape == (2, 4, h // 4 - 1, (h + 1) // 4 - 1)
    assert inside.stats.compilations == 2
    loaded.save(tmp_path / "again.dlc")
    assert (
        dlc.load(tmp_path / "again.dlc").specs
        == loaded.specs
        == [(dlc.spec(loaded.specs[0][0].shape),)]
    )


def test_the_programs_of_a_function_are_saved_with_their_ranges(tmp_path):
    def f(x):
        return x * 2 if x.shape[0] > 4 else x + 1

    compiled = dlc.compile(f)
    for n in (9, 10, 3):
        compiled(normal(n))
    compiled.save(tmp_path / "f.dlc")
    loaded = dlc.load(tmp_path / "f.dlc")
    for n in (3, 2, 5, 9, 4, 1, 12):
        np.testing.assert_array_equal(loaded(normal(n)).numpy(), f(normal(n)))


def test_bounds_of_slices_that_are_formulas_may_be_declared():
    f = dlc.compile(lambda x: x[: x.shape[0] - 2]).warmup("f32[n]")
    for n in (2, 7):
        np.testing.assert_array_equal(f(normal(n)).numpy(), normal(n)[: n - 2])
    assert f.stats.compilations == 1
    np.testing.assert_array_equal(f(normal(1)).numpy(), normal(1)[:-1])


def test_declared_ranges():
    def f(x):
        return x * 2 if x.shape[0] > 4 else x + 1

    compiled = dlc.compile(f)
    compiled.warmup("f32[5<=n<=9]").warmup("f32[n<=4]").warmup("f32[n<=4]")
    assert compiled.stats.compilations == 2
    for n in (5, 4, 9, 1):
        np.testing.assert_array_equal(compiled(normal(n)).numpy(), f(normal(n)))
    assert compiled.stats.compilations == 2
    np.testing.assert_array_equal(compiled(normal(10)).numpy(), normal(10) * 2)
    with pytest.raises(dlc.ShapeError, match="n >= 5, and n was declared to take any") as e:
        compiled.lower("f32[n]")
    assert 'such as "n>=8"' in e.value.hint
    with pytest.raises(dlc.ShapeError, match="n >= 5, and n was declared as n>=2"):
        compiled.lower("f32[n>=2]")
    with pytest.raises(dlc.ShapeError, match="at least 5, and between 1 and 4"):
        compiled.lower("f32[n>=5,n<=4]")
    for text in ("n<5", "n>=0", "9<=n<=3", "n>=", "2*3", "floordiv(n,0)", "f(n)"):
        with pytest.raises(dlc.ArgumentError, match="is no extent"):
            dlc.spec((text,))
        with pytest.raises(dlc.ParseError, match="is no extent"):
            dlc.spec(f"f32[2,{text}]")


def test_extents_that_are_formulas_of_others(tmp_path):
    def f(x, cotangent):
        return dlc.vjp(lambda t: dlc.concatenate([t[::2], t[2:]]), x)[1](cotangent)[0]

    compiled = dlc.compile(f)

    def arguments(n):
        return normal(n), normal((n + 1) // 2 + n - 2)

    for n in (5, 6, 7, 8, 3):
        x, cotangent = arguments(n)
        expected = np.zeros(n, np.float32)
        expected[::2] = cotangent[: (n + 1) // 2]
        expected[2:] += cotangent[(n + 1) // 2 :]
        np.testing.assert_array_equal(compiled(x, cotangent).numpy(), expected)
    assert compiled.stats.compilations == 2
    with pytest.raises(
        dlc.ShapeError, match=r"the cotangent is f32\[3\], but the value is f32\[7\]"
    ):
        compiled(normal(6), normal(3))
    compiled.save(tmp_path / "f.dlc")
    dlc.save(f, tmp_path / "g.dlc", [("f32[n]", "f32[floordiv(n+1,2)+n-2]")])
    for name in ("f.dlc", "g.dlc"):
        loaded = dlc.load(tmp_path / name)
        for n in (9, 3):
            given = arguments(n)
            np.testing.assert_array_equal(loaded(*given).numpy(), compiled(*given).numpy())
        with pytest.raises(dlc.ShapeError, match="no program"):
            loaded(normal(9), normal(3))
    with pytest.raises(dlc.ArgumentError, match=r"n, in the extent 2\*n, is no extent itself"):
        compiled.lower("f32[4]", "f32[2*n]")


SIZES = ((16, 17), (18, 19), (3, 2), (7, 9), (2, 3), (9, 9))


@pytest.mark.parametrize(
    "settings",
    [
        {"scale_factor": 2},
        {"scale_factor": 0.5},
        {"scale_factor": 2.25},
        {"scale_factor": (3.0, 1.5), "recompute_scale_factor": True},
        {"size": (7, 9)},
    ],
)
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_images_of_open_sizes_are_resized(mode, settings):
    def f(x):
        aligned = None if mode.startswith("nearest") else mode == "bicubic"
        return dlc.interpolate(x, mode=mode, align_corners=aligned, **settings)

    compiled = dlc.compile(f)
    for size in SIZES:
        x = normal(2, 3, *size)
        expected = f(dlc.asarray(x)).numpy()
        np.testing.assert_allclose(compiled(x).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert compiled.stats.compilations == 2
    assert compiled.lower("f32[b,3,h,w]")


def test_an_axis_that_keeps_its_length_is_not_interpolated():
    f = dlc.compile(lambda x: dlc.interpolate(x, size=(4, 6), mode="bilinear"))
    for n in (7, 8):
        f(normal(1, 1, n, n + 1))
    x = normal(1, 1, 4, 6)
    x[0, 0, 1:, 2] = np.inf, np.nan, -0.0
    np.testing.assert_array_equal(f(x).numpy(), x)
    assert np.signbit(f(x).numpy()[0, 0, 3, 2])
    assert f.stats.compilations == 2


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_an_axis_that_a_factor_leaves_as_long_as_it_is_is_not_interpolated(mode):
    f = dlc.compile(lambda x: dlc.interpolate(x, scale_factor=1.25, mode=mode))
    f.warmup(dlc.spec((1, 1, "h", "w")))
    for size in ((2, 3), (2, 9)):
        x = normal(1, 1, *size)
        own = dlc.interpolate(x, scale_factor=1.25, mode=mode).numpy()
        np.testing.assert_allclose(f(x).numpy(), own, rtol=1e-6)
    assert f.stats.compilations == 1


@pytest.mark.parametrize("level", ["O1", "O2"])
def test_pixels_in_the_place_of_one_take_no_part_of_others(level):
    def f(x):
        return dlc.interpolate(x, size=(7, 9), mode="bilinear")

    x = normal(1, 1, 3, 3)
    x[0, 0, 0, 0] = np.inf
    open_ = dlc.compile(f, level=level)
    open_.warmup(dlc.spec((1, 1, "h", "w")))
    found = open_(x).numpy()
    assert open_.stats.compilations == 1
    assert np.isfinite(found[0, 0, 3, 3:]).all()
    np.testing.assert_array_equal(found, dlc.compile(f, level=level)(x).numpy())


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
def test_images_take_the_size_of_others(mode):
    f = dlc.compile(lambda x, y: dlc.interpolate(x, size=y.shape[2:], mode=mode) + y)
    for k, size in enumerate(SIZES):
        x, y = normal(1, 2, *size), normal(1, 2, *SIZES[k - 1])
        expected = dlc.interpolate(x, size=y.shape[2:], mode=mode).numpy() + y
        np.testing.assert_allclose(f(x, y).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert f.stats.compilations == 2


@pytest.mark.parametrize("size", [1, 2, (3, 5), (None, 4)])
@pytest.mark.parametrize("kind", [dlc.adaptive_avg_pool2d, dlc.adaptive_max_pool2d])
def test_adaptive_pooling_of_open_sizes(kind, size):
    def f(x):
        largest = {"return_indices": True} if kind is dlc.adaptive_max_pool2d else {}
        return dlc.tree.leaves(kind(x, size, **largest))

    gradient = dlc.compile(dlc.grad(lambda x: (f(x)[0] ** 2).sum()))
    compiled = dlc.compile(f)
    for each in SIZES:
        x = normal(2, 3, *each)
        expected = f(dlc.asarray(x))
        for a, b in zip(compiled(x), expected, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
        expected = dlc.grad(lambda x: (f(x)[0] ** 2).sum())(x).numpy()
        np.testing.assert_allclose(gradient(x).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert compiled.stats.compilations == gradient.stats.compilations == 2
    assert compiled.lower("f32[b,3,h,w]")


def test_resizing_by_no_number():
    with pytest.raises(dlc.ValueRangeError, match="scale_factor is inf"):
        dlc.interpolate(normal(1, 1, 4), scale_factor=float("inf"))


@pytest.mark.parametrize(
    ("f", "programs"),
    [
        (lambda x: x / np.sqrt(x.shape[0]), 2),
        (lambda x: x * np.log2(x.shape[0] + 1), 2),
        (lambda x: x * (np.float64(2) * x.shape[0]), 2),
        (lambda x: x * (np.float32(2) * x.shape[0]), 2),
        (lambda x: x[0] * (np.arange(5.0) / x.shape[0]), 2),
        (lambda x: x[: np.floor_divide(x.shape[0], 2)], 2),
        (lambda x: x * np.prod(x.shape), 2),
        (lambda x: x / x.shape[0] ** 0.5, 2),
        (lambda x: x * np.maximum(x.shape[0], 7), 4),
        (lambda x: x * np.array(x.shape[0]), 4),
        (lambda x: x * math.sqrt(x.shape[0]), 4),
        (lambda x: x * x.shape[0].bit_length(), 4),
        (lambda x: x * {6: 2.0, 7: 3.0}.get(x.shape[0], 9.0), 4),
        (lambda x: x * len(f"{x.shape[0]:03d}"), 4),
        (lambda x: x * int(np.ceil(x.shape[0] / 2)), 4),
        (lambda x: x + np.arange(x.shape[0], dtype=np.float32), 4),
    ],
)
def test_python_and_numpy_compute_with_extents(f, programs):
    compiled = dlc.compile(f)
    for n in (6, 7, 8, 9):
        x = normal(n)
        expected, found = f(dlc.asarray(x)), compiled(x)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
    assert compiled.stats.compilations == programs


def test_what_compiling_asks_of_extents_is_asked_while_tracing(monkeypatch):
    softmax = OPS["softmax"]

    def decompose(b, x, **attrs):
        assert at_least(x.tensor.shape[0], 5)
        return softmax_rule(b, x, **attrs)

    softmax_rule = softmax.decompose
    monkeypatch.setitem(vars(softmax), "decompose", decompose)
    f = dlc.compile(lambda x: dlc.softmax(x[2:]))
    for n in (8, 9, 12, 7):
        f(normal(n))
    assert f.stats.compilations == 2
    assert "n0>=7" in f.explain()


def test_transposed_convolutions_of_filters_of_any_size():
    w = normal(2, 3, 6)
    for n in (5, 6, 4, 9):
        x = normal(1, 2, n)
        expected = torch.nn.functional.conv_transpose1d(
            torch.tensor(x), torch.tensor(w), stride=3, padding=1
        )
        found = dlc.conv_transpose1d(x, w, stride=3, padding=1)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)
