"""Functions by PyTorch's names, against PyTorch: values and gradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import dlc

RNG = np.random.default_rng(5)
A, B, C = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 2)), RNG.standard_normal((3, 2))
STACK, OTHER = RNG.standard_normal((5, 3, 4)), RNG.standard_normal((5, 4, 2))
MASKS = {
    m: [make(x) for x in (A > 0, A[0] > 0)]
    for m, make in ((dlc, np.asarray), (torch, torch.tensor))
}
CASES = {
    "mm": (lambda xp, a, b: xp.mm(a, b), [A, B]),
    "mv": (lambda xp, a, b: xp.mv(a, b), [A, B[:, 0]]),
    "bmm": (lambda xp, a, b: xp.bmm(a, b), [STACK, OTHER]),
    "addmm": (lambda xp, x, a, b: xp.addmm(x, a, b, beta=0.5, alpha=2), [C, A, B]),
    "baddbmm": (lambda xp, x, a, b: xp.baddbmm(x, a, b), [C[None], STACK, OTHER]),
    "addcmul": (lambda xp, x, a: xp.addcmul(x, a, a + 1, value=0.5), [A, A]),
    "addcdiv": (lambda xp, x, a: xp.addcdiv(x, a, a * a + 1), [A, A[0]]),
    "frac": (lambda xp, x: xp.frac(x * 3), [A]),
    "chunk": (lambda xp, x: xp.chunk(x, 3, dim=1), [A]),
    "chunk of many": (lambda xp, x: xp.chunk(x, 9), [A]),
    "narrow": (lambda xp, x: xp.narrow(x, 1, -3, 2), [A]),
    "unsqueeze": (lambda xp, x: xp.unsqueeze(x, -2), [A]),
    **{
        f"diag_embed {k} {d}": (
            lambda xp, x, k=k, d=d: xp.diag_embed(x, offset=k, dim1=d[0], dim2=d[1]), [A]
        )
        for k, d in ((0, (-2, -1)), (2, (0, 2)), (-1, (-2, -1)), (1, (2, 0)))
    },
    "block_diag": (lambda xp, a, b: xp.block_diag(a, b[:, 0], b), [A, B]),
    "var_mean": (lambda xp, x: xp.var_mean(x), [A]),
    "std_mean": (lambda xp, x: xp.std_mean(x), [A]),
    "aminmax": (lambda xp, x: tuple(xp.aminmax(x)), [A]),
    **{
        f"cdist {p}": (lambda xp, a, b, p=p: xp.cdist(a, b, p), [STACK, STACK[:1] * 1.25])
        for p in (0.0, 1.0, 2.0, 3.5, float("inf"))
    },
    "pdist": (lambda xp, a: (dlc.nn.functional if xp is dlc else F).pdist(a, 3.0), [STACK[0]]),
    "channel_shuffle": (lambda xp, a: xp.channel_shuffle(a.reshape(5, 4, 3), 2), [STACK]),
    "cartesian_prod": (lambda xp, a, b: xp.cartesian_prod(a[0], b[:, 1], a[:, 0]), [A, B]),
    "cartesian_prod of one": (lambda xp, a: xp.cartesian_prod(a[0]), [A]),
    **{
        f"combinations {r} {twice}": (
            lambda xp, a, r=r, twice=twice: xp.combinations(a[0], r, with_replacement=twice), [A]
        )
        for r in (1, 2, 3, 5) for twice in (False, True)
    },
    "cumulative_trapezoid": (lambda xp, a: xp.cumulative_trapezoid(a), [A]),
    "cumulative_trapezoid at places": (
        lambda xp, a, b: xp.cumulative_trapezoid(a, b[0]), [STACK, A],
    ),
    "masked_scatter": (
        lambda xp, a, b: xp.masked_scatter(a, MASKS[xp][0], b),
        [A, STACK],
    ),
    "masked_scatter of a broadcast mask": (
        lambda xp, a, b: xp.masked_scatter(a, MASKS[xp][1], b),
        [A, STACK],
    ),
    "polygamma": (lambda xp, x: xp.polygamma(2, x * x + 0.1), [A]),
}  # fmt: skip


def tree(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def compare(function, reference, arrays, close=1e-11, compiled=True):
    """Values and gradients at float64, eagerly; values compiled, too."""
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    want = tree(reference(*leaves))
    weights = [np.cos(np.arange(t.numel())).reshape(tuple(t.shape)) for t in want]
    sum(torch.sum(t * torch.tensor(w)) for t, w in zip(want, weights, strict=True)).backward()
    for f in (function, dlc.compile(function))[: 2 if compiled else 1]:
        got = tree(f(*map(dlc.asarray, arrays)))
        for g, w in zip(got, want, strict=True):
            assert g.shape == tuple(w.shape)
            assert np.allclose(g.numpy(), w.detach().numpy(), rtol=close, atol=close)

    def total(*xs):
        pairs = zip(tree(function(*xs)), weights, strict=True)
        return sum(dlc.sum(t * w) for t, w in pairs)

    slopes = dlc.grad(total, argnums=tuple(range(len(arrays))))(*map(dlc.asarray, arrays))
    for slope, leaf in zip(slopes, leaves, strict=True):
        expected = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
        assert np.allclose(slope.numpy(), expected, rtol=close * 100, atol=close * 100)


@pytest.mark.parametrize("name", CASES)
def test_against_torch(name):
    function, arrays = CASES[name]
    compare(lambda *xs: function(dlc, *xs), lambda *xs: function(torch, *xs), arrays)


def test_mode():
    x = RNG.integers(0, 3, (4, 7, 2))
    for axis in (0, 1, -1):
        want, got = torch.mode(torch.tensor(x), axis).values.numpy(), dlc.mode(x, axis)
        assert np.array_equal(got.values.numpy(), want)
        places = np.expand_dims(got.indices.numpy(), axis)
        assert np.array_equal(np.take_along_axis(x, places, axis).squeeze(axis), want)
    found = dlc.compile(lambda v: dlc.mode(v, keepdims=True))(np.array([np.nan, 1.0, np.nan, 2.0]))
    assert np.isnan(found.values.numpy()).tolist() == [True]
    assert found.indices.tolist() == [2]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode, padding, aligned):
    image, grid = RNG.standard_normal((2, 3, 4, 5)), RNG.uniform(-1.7, 1.7, (2, 3, 2, 2))
    grid[0, 0] = [[-1.0, 1.0], [0.0, -0.5]]
    if mode == "nearest":
        grid += 1e-3  # PyTorch rounds halves either way
    keywords = {"mode": mode, "padding_mode": padding, "align_corners": aligned}
    f = lambda x, g: dlc.nn.functional.grid_sample(x, g, **keywords)  # noqa: E731
    reference = lambda x, g: F.grid_sample(x, g, **keywords)  # noqa: E731
    compare(f, reference, [image, grid], compiled=padding == "reflection")
    compare(f, reference, [RNG.standard_normal((1, 1, 1, 4)), grid[:1]], compiled=False)
    if mode != "bicubic":
        places = RNG.uniform(-1.7, 1.7, (1, 2, 2, 1, 3))
        compare(f, reference, [RNG.standard_normal((1, 2, 3, 4, 2)), places], compiled=False)


@pytest.mark.parametrize("aligned", [False, True])
def test_affine_grid(aligned):
    for maps, size in (((2, 2, 3), (2, 3, 4, 5)), ((2, 3, 4), (2, 1, 3, 2, 2))):
        compare(
            lambda t, size=size: dlc.nn.functional.affine_grid(t, size, aligned),
            lambda t, size=size: F.affine_grid(t, list(size), align_corners=aligned),
            [RNG.standard_normal(maps)],
        )


def test_grids_of_half_types_and_images_of_any_size():
    image, grid = RNG.standard_normal((1, 2, 4, 5)), RNG.uniform(-1, 1, (1, 3, 3, 2))
    want = F.grid_sample(torch.tensor(image), torch.tensor(grid), align_corners=False).numpy()
    half = dlc.grid_sample(dlc.asarray(image, dtype="bfloat16"), dlc.asarray(grid, dtype="float32"))
    assert half.dtype is dlc.bfloat16
    assert np.allclose(half.astype("float32").numpy(), want, atol=0.03)
    f = dlc.compile(dlc.grid_sample)
    for n in (4, 6, 7):
        image, grid = RNG.standard_normal((n, 2, n, 5)), RNG.uniform(-1, 1, (n, 3, 3, 2))
        want = F.grid_sample(torch.tensor(image), torch.tensor(grid), align_corners=False).numpy()
        assert np.allclose(f(image, grid).numpy(), want)
    assert f.stats.traces == 2


def test_segments():
    data, ids = RNG.standard_normal((6, 2)), np.array([1, 0, 1, 3, -1, 9])
    operations = {
        "segment_sum": (np.add, 0.0), "segment_prod": (np.multiply, 1.0),
        "segment_max": (np.maximum, -np.inf), "segment_min": (np.minimum, np.inf),
    }  # fmt: skip
    for name, (ufunc, start) in operations.items():
        want = np.full((4, 2), start)
        for row, k in zip(data, ids, strict=True):
            if 0 <= k < 4:
                want[k] = ufunc(want[k], row)
        f = getattr(dlc, name)
        compiled = dlc.compile(lambda d, i, f=f: f(d, i, num_segments=4))
        for got in (f(data, ids, 4), compiled(data, ids)):
            assert np.allclose(got.numpy(), want), name
    whole = dlc.segment_max(np.array([3, 5], np.int8), np.array([2, 2]))
    assert whole.tolist() == [-128, -128, 5]
    slope = dlc.grad(lambda d: dlc.sum(dlc.segment_sum(d, ids, 4) * np.arange(8.0).reshape(4, 2)))
    assert slope(dlc.asarray(data)).numpy()[3].tolist() == [6.0, 7.0]
    with pytest.raises(dlc.TracedValueError, match="num_segments"):
        dlc.compile(dlc.segment_sum)(data, ids)


@pytest.mark.parametrize("dim", [None, 0, 1, -1])
def test_runs_of_equal_elements(dim):
    for shape in ((12,), (6, 3), (0,), (1, 4), (3, 0), (4, 2, 3)):
        x = RNG.integers(0, 2, shape)
        if dim is not None and (0 in shape or dim >= len(shape)):
            continue
        want = torch.unique_consecutive(torch.tensor(x), True, True, dim)
        for got, w in zip(dlc.unique_consecutive(x, True, True, dim), want, strict=True):
            assert got.dtype is dlc.int64
            assert np.array_equal(got.numpy(), w.numpy()), shape
        assert np.array_equal(dlc.unique_consecutive(x, dim=dim).numpy(), want[0].numpy())
    with pytest.raises(dlc.TracedValueError):
        dlc.compile(dlc.unique_consecutive)(np.arange(3))


def test_masks_that_are_not_known():
    f = dlc.compile(dlc.masked_scatter)
    for n in (3, 4, 5):
        mask = np.arange(n) % 2 == 0
        x, source = np.full(n, 0.5), np.arange(9.0)
        want = torch.masked_scatter(*map(torch.tensor, (x, mask, source)))
        assert np.array_equal(f(x, mask, source).numpy(), want.numpy())
    assert dlc.masked_scatter(A, A > 9, np.ones(0)).tolist() == A.tolist()
    assert dlc.masked_scatter(np.ones(0), np.ones(0, bool), np.ones(0)).shape == (0,)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling(rank):
    function = getattr(dlc, f"max_unpool{rank}d")
    for lead, extents, window in (
        ((2, 3), (6, 4, 8), {"kernel_size": 2}),
        ((3,), (7, 9, 5), {"kernel_size": 3, "stride": 2, "padding": 1}),
        ((1, 1), (5, 8, 5), {"kernel_size": 2, "stride": 3}),
    ):
        x = torch.tensor(RNG.standard_normal((*lead, *extents[:rank])))
        pooled, places = getattr(F, f"max_pool{rank}d")(x, **window, return_indices=True)
        pooled.requires_grad_(True)
        want = getattr(F, f"max_unpool{rank}d")(pooled, places, **window)
        weights = np.cos(np.arange(want.numel())).reshape(tuple(want.shape))
        (want * torch.tensor(weights)).sum().backward()
        given = pooled.detach().numpy(), places.numpy()
        layer = getattr(dlc.nn, f"MaxUnpool{rank}d")(**window)
        for got in (layer(*given), function(*given, **window), dlc.compile(layer)(*given)):
            assert np.array_equal(got.numpy(), want.detach().numpy())
        slope = dlc.vjp(lambda v, layer=layer, at=given[1]: layer(v, at), given[0])[1](weights)[0]
        # Of a place that several windows have PyTorch gives each the derivative.
        assert np.array_equal(slope.numpy(), pooled.grad.numpy()) or "padding" in window
    x = torch.tensor(RNG.standard_normal((2, 1, *(7, 8, 7)[:rank])))
    pooled, places = getattr(F, f"max_pool{rank}d")(x, 2, return_indices=True)
    want = getattr(F, f"max_unpool{rank}d")(pooled, places, 2, output_size=x.shape)
    for size in (tuple(x.shape), tuple(x.shape)[2:]):
        got = getattr(dlc.nn, f"MaxUnpool{rank}d")(2)(pooled.numpy(), places.numpy(), size)
        assert np.array_equal(got.numpy(), want.numpy())
    unpool = dlc.compile(lambda v, i: dlc.nn.functional.max_unpool1d(v, i, 2))
    for n in (2, 3, 4):
        assert unpool(np.ones((1, n)), 2 * np.arange(n)[None]).tolist() == [[1.0, 0.0] * n]
    assert unpool.stats.traces == 2


IMAGE, POINTS = STACK[None], np.zeros((1, 1, 1, 2))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: dlc.mm(A, B[0]), dlc.ShapeError),
        (lambda: dlc.bmm(STACK, OTHER[:2]), dlc.ShapeError),
        (lambda: dlc.narrow(A, 0, 2, 2), dlc.ValueRangeError),
        (lambda: dlc.narrow(A, 5, 0, 1), dlc.IndexRangeError),
        (lambda: dlc.chunk(A, 0), dlc.ValueRangeError),
        (lambda: dlc.diag_embed(A, dim1=1, dim2=1), dlc.ValueRangeError),
        (lambda: dlc.block_diag(STACK), dlc.ShapeError),
        (lambda: dlc.cdist(A, A, -1.0), dlc.ValueRangeError),
        (lambda: dlc.masked_select(A, A), dlc.DTypeError),
        (lambda: dlc.masked_scatter(A, A, A), dlc.DTypeError),
        (lambda: dlc.masked_scatter(A, A < 9, A[0]), dlc.ShapeError),
        (dlc.cartesian_prod, dlc.ArgumentError),
        (lambda: dlc.cartesian_prod(A), dlc.ShapeError),
        (lambda: dlc.combinations(A), dlc.ShapeError),
        (lambda: dlc.combinations(A[0], -1), dlc.ValueRangeError),
        (lambda: dlc.unique_consecutive(A, dim=2), dlc.IndexRangeError),
        (lambda: dlc.max_unpool1d(A, A[:2].astype(int), 2), dlc.ShapeError),
        (lambda: dlc.max_unpool1d(A, np.full((3, 4), 8), 2), dlc.IndexRangeError),
        (
            lambda: dlc.max_unpool1d(A, np.ones((3, 4), int), 2, output_size=(3, 6)),
            dlc.ValueRangeError,
        ),
        (lambda: dlc.grid_sample(IMAGE, A), dlc.ShapeError),
        (lambda: dlc.grid_sample(IMAGE, POINTS, mode="cubic"), dlc.ValueRangeError),
        (lambda: dlc.grid_sample(IMAGE, POINTS, padding_mode="zero"), dlc.ValueRangeError),
        (lambda: dlc.affine_grid(A[None], (1, 1, 2, 2)), dlc.ShapeError),
        (lambda: dlc.segment_sum(A, np.array([0])), dlc.ShapeError),
    ],
)
def test_mistakes(call, error):
    with pytest.raises(error):
        call()
