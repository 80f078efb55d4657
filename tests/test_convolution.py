"""Convolutions against NumPy at float64: layouts, dtypes, symbols, batches, threads, bad input."""

import functions_harness as h
import numpy as np
import pytest

import dlc
from dlc.ir.config import config


def plain(x, w, stride, low, high, dilation=1, groups=1):
    """The definition, window by window, in two dimensions."""
    x = np.pad(x, ((0, 0), (0, 0), (low, high), (low, high)))
    (n, _, height, width), (o, c, r, s) = x.shape, w.shape
    rows = (height - (r - 1) * dilation - 1) // stride + 1
    columns = (width - (s - 1) * dilation - 1) // stride + 1
    out = np.zeros((n, o, rows, columns), np.result_type(x, w))
    for k in range(o):
        first = k // (o // groups) * c
        for p in range(rows):
            for q in range(columns):
                a, b = p * stride, q * stride
                ends = a + (r - 1) * dilation + 1, b + (s - 1) * dilation + 1
                window = x[:, first : first + c, a : ends[0] : dilation, b : ends[1] : dilation]
                out[:, k, p, q] = (window * w[k]).sum((1, 2, 3))
    return out


def test_dtypes_and_ways():
    for dtype in h.NUMBERS:
        x, w = h.values((2, 4, 6, 7), dtype), h.values((6, 2, 3, 3), dtype, seed=1)
        ways = ("interpreted", "native", "traced") if dtype == "float32" else ("native",)
        h.check(
            lambda a, b: dlc.conv2d(a, b, stride=2, padding=1, groups=2),
            lambda a, b: plain(a, b, 2, 1, 1, groups=2),
            [x, w],
            ulps=16,
            floor=20.0,
            ways=ways,
            dtype=dtype,
        )


def test_channels_last_is_the_same_with_axes_moved():
    x, w, b = h.values((2, 4, 7, 8)), h.values((6, 4, 3, 2), seed=1), h.values((6,), seed=2)
    for padding in ("same", "valid", 2, (1, 0), ((1, 2), (0, 1))):
        first = dlc.conv(x, w, b, stride=(2, 1), padding=padding)
        last = dlc.conv(
            x.transpose(0, 2, 3, 1),
            w.transpose(2, 3, 1, 0),
            b,
            stride=(2, 1),
            padding=padding,
            data_format="channels_last",
        )
        np.testing.assert_allclose(last.numpy().transpose(0, 3, 1, 2), first.numpy(), 1e-4, 1e-4)
    same = dlc.conv(x, w, stride=3, padding="same")
    assert same.shape == (2, 6, 3, 3)
    h.check(
        lambda a, b: dlc.conv(a, b, stride=2, padding=((1, 2), (1, 2))),
        lambda a, b: plain(a, b, 2, 1, 2),
        [x, w],
        ulps=16,
        floor=40.0,
        ways=("native", "traced"),
    )


def test_a_single_image_and_empty_batches():
    x, w = h.values((3, 6, 6)), h.values((4, 3, 3, 3), seed=1)
    assert np.array_equal(dlc.conv2d(x, w).numpy(), dlc.conv2d(x[None], w).numpy()[0])
    assert dlc.conv2d(np.zeros((0, 3, 6, 6), np.float32), w).shape == (0, 4, 4, 4)
    no_channels = dlc.conv2d(np.zeros((2, 0, 6, 6), np.float32), np.zeros((4, 0, 3, 3), np.float32))
    assert not no_channels.numpy().any()
    gradient = dlc.grad(lambda v: dlc.sum(dlc.conv2d(np.zeros((0, 3, 6, 6), np.float32), v)))(w)
    assert not gradient.numpy().any()


def test_special_values_stay_in_their_windows():
    x = np.ones((1, 1, 5, 5), np.float32)
    x[0, 0, 0, 0], x[0, 0, 4, 4] = np.nan, np.inf
    y = dlc.conv2d(x, np.ones((1, 1, 3, 3), np.float32)).numpy()[0, 0]
    assert np.isnan(y[0, 0])
    assert y[2, 2] == np.inf
    assert np.isfinite(y).sum() == 7


def test_symbols_for_batch_and_extents():
    w = h.values((5, 3, 3, 3), seed=1)

    @dlc.compile
    def f(x):
        y, pull = dlc.vjp(lambda v: dlc.relu(dlc.conv2d(v, w, stride=2, padding=1)), x)
        return y, pull(y)[0]

    for shape in ((2, 3, 9, 9), (3, 3, 11, 8), (1, 3, 32, 20), (4, 3, 5, 7)):
        x = h.values(shape)
        y, dx = (v.numpy() for v in f(x))
        np.testing.assert_allclose(y, np.maximum(plain(x, w, 2, 1, 1), 0), 1e-4, 1e-4)
        assert dx.shape == x.shape
    assert f.stats.compilations <= 2


def test_the_same_bits_for_any_number_of_threads():
    x, w = h.values((2, 20, 23, 21)), h.values((33, 20, 3, 3), seed=1)

    def f(a, b):
        y, pull = dlc.vjp(lambda v, u: dlc.conv2d(v, u, stride=2, padding=1), a, b)
        return (y, *pull(y))

    found = []
    for threads in (1, 2, 3, 7):
        with config.scope(num_threads=threads):
            found.append([r.numpy().tobytes() for r in dlc.compile(f)(x, w)])
    assert all(r == found[0] for r in found)


@pytest.mark.parametrize("isa", ["x86-64-v3", "x86-64-v2"])
def test_lower_levels(isa):
    x, w = h.values((2, 9, 13, 11)), h.values((10, 9, 3, 3), seed=1)

    def f(a, b):
        y, pull = dlc.vjp(lambda v, u: dlc.conv2d(v, u, stride=(1, 2), padding=1), a, b)
        return (y, *pull(y))

    exact = dlc.compile(f)(x.astype(np.float64), w.astype(np.float64))
    with config.scope(isa=isa):
        found = dlc.compile(f)(x, w)
        halves = dlc.compile(f)(x.astype(np.float16), w.astype(np.float16))
    for a, b, c in zip(found, halves, exact, strict=True):
        largest = np.abs(c.numpy()).max()
        np.testing.assert_allclose(a.numpy(), c.numpy(), 1e-4, 1e-6 * largest)
        assert np.abs(b.numpy() - c.numpy()).max() < 4e-3 * largest


@pytest.mark.parametrize(
    ("channels", "filters", "extent", "width"),
    [
        (16, 8, 4, 3),  # a short sum
        (7, 40, 5, 3),  # several steps of a sum
        (200, 9, 3, 2),  # several blocks of rows
        (98, 300, 2, 2),  # more than is kept from one image to the next
        (3, 5, 9, 5),  # runs longer than one narrow vector and shorter than a wide one
    ],
)
def test_derivatives_in_images_are_those_of_each_image_alone(channels, filters, extent, width):
    w = h.values((filters, channels, width, width), seed=1)
    ct = h.values((5, filters, extent, extent), seed=2)
    grown = extent + width - 1 - 2 * (width // 2)

    def derivative(ct, w):
        x = dlc.zeros((ct.shape[0], channels, grown, grown))
        return dlc.vjp(lambda x: dlc.conv2d(x, w, padding=width // 2), x)[1](ct)[0]

    found = dlc.compile(derivative)(ct, w).numpy()
    alone = dlc.compile(derivative)
    np.testing.assert_array_equal(found, np.concatenate([alone(c[None], w) for c in ct]))
    turned = w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1].astype(np.float64)
    wanted = plain(ct.astype(np.float64), turned, 1, width - 1, width - 1)
    cut = width // 2
    wanted = wanted[:, :, cut : cut + grown, cut : cut + grown]
    np.testing.assert_allclose(found, wanted, 2e-5, 2e-5 * np.abs(wanted).max())


def test_what_lies_in_the_padding_has_no_derivative_to_compute():
    x, w = h.values((2, 3, 4, 5)), h.values((6, 3, 3, 3), seed=1)
    gradient = dlc.compile(dlc.grad(lambda x, w: dlc.sum(dlc.sin(dlc.conv2d(x, w, padding=1)))))
    text = gradient.lower(x, w).as_text("optimized")
    assert text.count(": f32[2,3,4,5] = convolution") == 1
    assert "slice" not in text


def test_each_element_of_a_batch_by_itself():
    x, w = h.values((3, 2, 4, 7, 6)), h.values((3, 5, 4, 3, 3), seed=1)
    alone = np.stack([dlc.conv2d(a, b).numpy() for a, b in zip(x, w, strict=True)])
    np.testing.assert_allclose(dlc.vmap(dlc.conv2d)(x, w).numpy(), alone, 1e-4, 1e-4)
    one = np.stack([dlc.conv2d(x[0], b).numpy() for b in w])
    some = dlc.vmap(dlc.conv2d, in_axes=(None, 0))(x[0], w)
    np.testing.assert_allclose(some.numpy(), one, 1e-4, 1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dlc.conv2d(np.ones((2, 3, 4, 4)), np.ones((5, 2, 3, 3))),
         r"f64\[2,3,4,4\] and f64\[5,2,3,3\]: the tensor has 3 channels, the filters are for 2"),
        (lambda: dlc.conv2d(np.ones((2, 3, 4, 4)), np.ones((5, 3, 5, 3))),
         "a window covers 5 elements along axis 2, which has 4"),
        (lambda: dlc.conv2d(np.ones((3, 4)), np.ones((5, 3, 3, 3))), r"a tensor \[N, C, H"),
        (lambda: dlc.conv2d(np.ones((1, 4, 4, 4)), np.ones((5, 2, 3, 3)), groups=2),
         "5 filters cannot be divided into 2 groups"),
        (lambda: dlc.conv2d(np.ones((1, 4, 4, 4)), np.ones((5, 4, 3, 3)), np.ones(4)),
         r"the bias is f64\[4\], it must be f64\[5\]"),
        (lambda: dlc.conv2d(np.ones((1, 4, 4, 4)), np.ones((5, 4, 3, 3)), stride=0),
         "stride is 0, it must be at least 1"),
        (lambda: dlc.conv2d(np.ones((1, 4, 4, 4)), np.ones((5, 4, 3, 3)), padding=(1, 2, 3)),
         "padding is .1, 2, 3., there are 2 axes"),
        (lambda: dlc.conv2d(np.ones((1, 4, 4, 4)), np.ones((5, 4, 3, 3)), padding="full"),
         "there is no padding 'full'"),
        (lambda: dlc.conv2d(np.ones((1, 4, 4, 4)), np.ones((5, 4, 3, 3)), None, 2, "same"),
         "needs stride 1"),
        (lambda: dlc.conv(np.ones((1, 4, 4)), np.ones((5, 4, 3)), data_format="NHWC"),
         "there is no data_format 'NHWC'"),
        (lambda: dlc.conv_transpose2d(np.ones((1, 4, 4, 4)), np.ones((5, 4, 3, 3))),
         "the tensor has 4 channels, the filters are for 5"),
        (lambda: dlc.conv_transpose1d(np.ones((1, 4, 4)), np.ones((4, 4, 3)), output_padding=1),
         "must be less than the stride"),
        (lambda: dlc.conv_transpose1d(np.ones((1, 4, 1)), np.ones((4, 4, 3)), padding=2),
         "nothing of the result"),
        (lambda: dlc.conv1d(np.ones((1, 4, 4), bool), np.ones((4, 4, 3), bool)), "must be float"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize(("channels", "side", "filters"), [(9, (14, 14), 20), (5, (20, 10), 6)])
def test_a_few_panels_are_shared_evenly(channels, side, filters):
    rng = np.random.default_rng(channels)
    x = rng.standard_normal((1, channels, *side)).astype(np.float32)
    w = rng.standard_normal((filters, channels, 3, 3)).astype(np.float32)
    want = plain(np.float64(x), np.float64(w), 1, 1, 1)
    found = []
    for threads in (1, 2, 3):
        with dlc.config.scope(num_threads=threads):
            f = dlc.compile(lambda x, w: dlc.nn.functional.conv2d(x, w, padding=1))
            found.append(f(x, w).numpy())
    np.testing.assert_allclose(found[0], want, rtol=1e-5, atol=1e-5)
    assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("first", ["convolution", "pool"])
@pytest.mark.parametrize("kernel", [2, 3])
def test_pools_of_what_has_strides_at_open_lengths(first, kernel):
    """The beginning of a ResNet: an extent that is a quotient is cut into windows again."""
    w = np.ones((1, 1, 7), np.float32)
    steps = {
        "convolution": lambda x: dlc.conv1d(x, w, None, 2, 3),
        "pool": lambda x: dlc.max_pool1d(x, 3, 2, 1),
    }
    f = dlc.compile(lambda x: dlc.max_pool1d(steps[first](x), kernel, 2, kernel // 2))
    for length in (17, 16, 40, 41):
        x = np.random.default_rng(0).integers(-9, 9, (1, 1, length)).astype(np.float32)
        with dlc.config.scope(disable_jit=True):
            wanted = f(x).numpy()
        np.testing.assert_array_equal(f(x).numpy(), wanted)
