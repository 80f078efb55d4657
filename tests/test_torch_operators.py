"""Operators of PyTorch's compiled graphs beside eager PyTorch: values and gradients.

Each test is one graph of many operators, so that little is compiled.
"""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  as PyTorch's users call it
from torch_fixtures import fresh  # noqa: F401  of each test here

import dlc
from dlc.interop.torch import dlc_backend


def near(got, wanted, where):
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape), where
    assert torch.allclose(got, wanted, rtol=2e-5, atol=2e-5, equal_nan=True), where


def agree(function, *inputs, dynamic=False):
    """A function gives a dict of results: these are as in eager mode, and the gradients are."""

    def run(called):
        given = [t.detach().clone().requires_grad_(t.is_floating_point()) for t in inputs]
        return given, called(*given)

    given, got = run(torch.compile(function, backend=dlc_backend, fullgraph=True, dynamic=dynamic))
    like, wanted = run(function)
    for name, w in wanted.items():
        near(got[name].detach(), w.detach(), name)
    smooth = [n for n, w in wanted.items() if w.requires_grad]
    weights = {n: torch.randn_like(wanted[n]) for n in smooth}
    for results in (got, wanted):
        sum((results[n] * w).nan_to_num(0).sum() for n, w in weights.items()).backward()
    for k, (a, b) in enumerate(zip(given, like, strict=True)):
        assert (a.grad is None) == (b.grad is None)
        if b.grad is not None:
            near(a.grad, b.grad, f"gradient of input {k}")


def same(function, *inputs):
    """The results are those of eager mode, to the last bit."""
    run = torch.compile(function, backend=dlc_backend, fullgraph=True)
    wanted = function(*inputs)
    torch.testing.assert_close(run(*inputs), wanted, rtol=0, atol=0, equal_nan=True)


def named(prefix, pair):
    """A pair of values and places as two results."""
    return {f"{prefix} values": pair[0], f"{prefix} places": pair[1]}


@pytest.mark.parametrize("dynamic", [False, True])
def test_elements_by_order(dynamic):
    def run(x, odd):
        holes = torch.where(x > 1, float("nan"), x)
        return {
            **named("median", x.median(1)), **named("median kept", odd.median(0, keepdim=True)),
            **named("nanmedian", holes.nanmedian(1)), **named("mode", odd.round().mode(1)),
            "median of all": x.median(), "nanmedian of all": holes.nanmedian(),
            "median with NaN": holes.median(1).values, "mode of one": x[0, 0].mode().values,
            **named("kthvalue", x.kthvalue(2, dim=0)), "topk of one": x[0, 0].topk(1).values,
            "median of integers": (x * 100).long().median(1).values,
        }  # fmt: skip

    agree(run, torch.randn(5, 6), torch.randn(3, 7), dynamic=dynamic)


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
def test_elements_by_places():
    def run(x, y, index):
        sorted_rows = x.sort(-1).values.detach()
        flat = index.flatten()
        return {
            "put": torch.ops.aten.put(x.detach(), index, y[:2, :2].detach()),
            "put added": torch.ops.aten.put(x.detach(), index, y[:2, :2].detach(), True),
            "take": x.take(index), "take one": x.take(index[1, 0]),
            "index_select": x.index_select(1, flat % 3),
            "masked_scatter": x.masked_scatter(x > 0, y),
            "gather of one": x[0, 0].gather(0, flat[:1] * 0),
            "scattered": x.scatter(1, index % 3, y[:2, :2]),
            "one": x[0, 0].scatter(0, flat[0] * 0, y[0, 0]),
            "added": x.scatter_add(0, index % 3, y[:2, :2]), "value": x.scatter(1, index % 3, 7.5),
            "combined": x.detach().scatter(1, index % 3, y.detach(), reduce="multiply"),
            "reduced": x.scatter_reduce(1, index % 3, y[:2, :2], "amax"),
            "searchsorted": torch.searchsorted(sorted_rows, y),
            "bucketize": torch.bucketize(y, sorted_rows[0]),
            "right": torch.searchsorted(sorted_rows[1], y, right=True, out_int32=True),
            "sorter": torch.searchsorted(x, y, sorter=x.argsort(-1)),
            "static": torch.nonzero_static(x > 0, size=9), "short": torch.nonzero_static(x, size=3),
            "unfold": x.unfold(1, 3, 2), "unfold of rows": x.unfold(0, 2, 1),
        }  # fmt: skip

    x, y = torch.randn(4, 6), torch.randn(4, 6)
    agree(run, x, y, torch.tensor([[1, 5], [-2, 17]]) % 24)


def test_places_in_memory():
    def run(x):
        y = x.transpose(0, 1) * 2
        return {
            "windows": x.as_strided((3, 2), (2, 1)), "offset": x.as_strided((2, 2), (1, 2), 3),
            "of a transposed": y.as_strided((3, 4), (4, 1)),
            "resized": torch.ops.aten.resize(x.detach(), [2, 5]),
            "set": torch.as_strided_scatter(x, x[0, :2].exp(), (2,), (3,), 1),
            "expanded": x.as_strided((2, 3), (0, 1)),
        }  # fmt: skip

    agree(run, torch.randn(4, 3))


def test_places_in_memory_outside_of_a_part():
    def before(x):
        return x.as_strided((4,), (1,), 0) * 2

    run = torch.compile(before, backend=dlc_backend, fullgraph=True, dynamic=False)
    torch.testing.assert_close(run(torch.ones(4, 3)), torch.full((4,), 2.0))
    with pytest.raises(dlc.ModelError, match="-3 to 0 of 9 elements"):
        run(torch.ones(4, 3)[1:])


@pytest.mark.parametrize("dynamic", [False, None, True])
def test_places_in_memory_of_inputs_that_begin_elsewhere(dynamic):
    def run(x):
        last = torch.as_strided_scatter(x, x[0, :1], (1,), (1,), 16)
        part = x.as_strided((x.shape[0],), (2,), 10)
        return part.exp(), part, part[1:], last

    compiled = torch.compile(run, backend=dlc_backend, fullgraph=True, dynamic=dynamic)
    base = torch.arange(40.0).reshape(8, 5)
    for x in (base[:4], base[1:5], base[2:6], base[1:6]):
        torch.testing.assert_close(compiled(x), run(x))
    with pytest.raises(dlc.ModelError, match="as_strided reads or writes"):
        compiled(base[3:7])


def test_places_in_memory_outside_of_a_part_by_open_extents():
    def longer(x):
        return x.as_strided((x.shape[0] + 1,), (1,)) * 2

    run = torch.compile(longer, backend=dlc_backend, fullgraph=True, dynamic=True)
    x = torch.ones(9)
    with pytest.raises(dlc.ModelError, match="outside of the tensor") as found:
        run(x[:4])
    assert "x.as_strided((x.shape[0] + 1,)" in str(found.value)
    with pytest.raises(RuntimeError, match="out of bounds for storage"):
        run(x)


def of_numbers(x, n):
    t, index = torch.tensor(n), torch.tensor([0])
    pairs = (
        torch.maximum, torch.minimum, torch.eq, torch.lt, torch.logical_and, torch.mul, torch.sub,
        torch.bitwise_xor, torch.gcd, torch.floor_divide, torch.remainder, torch.copysign,
    )  # fmt: skip
    found = [f(x, t) for f in pairs]
    found += [x + n, n - x, x * n, x // n, x % n, x / n, x == n, x >= n, x & n, n**x]
    found += [x.clamp(min=t), torch.where(x > 2, x, t), x.clone().fill_(t)]
    found.append(torch.searchsorted(x.sort()[0], n))
    if -256 < n < 0:
        found += [
            x.clamp(max=n),
            x.masked_fill(x > 2, n),
            x.scatter(0, index, n),
            x.add(x, alpha=n),
        ]
    return found


@pytest.mark.parametrize("number", [-1, 300, 2**53 + 1])
def test_numbers_that_a_type_of_integers_has_not_wrap(number):
    x = torch.tensor([0, 1, 100, 255, 7, 3], dtype=torch.uint8)
    same(lambda x: of_numbers(x, number), x)


def test_single_elements_of_wider_types():
    x = torch.tensor([0.1, 1, 3])
    one_tenth = torch.tensor(0.1, dtype=torch.float64)
    same(lambda x, t: (x == t, x + t, x.clamp(max=t)), x, one_tenth)
    line = torch.arange(1, 5)
    same(lambda x: (torch.searchsorted(x, 3.5), torch.bucketize(3.5, x)), line)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_factors_of_16_bit_floats_keep_their_digits(dtype):
    def run(x, wide):
        return (1 - (x > 0).to(x.dtype)) * -1e9, x / 70000, x * 0.1, x * wide

    same(run, torch.tensor([-3.0, 0, 0.7, 3e4], dtype=dtype), torch.tensor(1e-6))


def test_floor_division_by_infinities():
    x = torch.tensor([-2.0, -0.0, 0.0, 3.0, float("inf"), -float("inf"), float("nan")])
    same(lambda x, inf: (x // inf, x // -inf, inf // x), x, torch.tensor(float("inf")))


def test_copies():
    def run(x):
        return {
            "view": torch.view_copy(x, (6, 4)), "permute": torch.permute_copy(x, (2, 0, 1)),
            "expand": torch.expand_copy(x[:, :1], (2, 3, 4)),
            "narrow": torch.narrow_copy(x, 2, -3, 2),
            "squeeze": torch.squeeze_copy(x[:1]), "unsqueeze": torch.unsqueeze_copy(x, 1),
            "transpose": torch.transpose_copy(x, 0, 2), "select": torch.select_copy(x, 1, 2),
            "slice": torch.slice_copy(x, 2, 1, 4, 2),
            "unbind": torch.unbind_copy(x, 1)[2], "split": torch.split_copy(x, 2, 1)[1],
            "t": torch.t_copy(x[0]), "unfold": torch.unfold_copy(x, 2, 2, 1),
        }  # fmt: skip

    agree(run, torch.randn(2, 3, 4))


def test_pooling():
    def run(x, image, volume):
        random2, random3 = (torch.full((2, 3, n), 0.3) for n in (2, 3))
        return {
            **named("image", F.adaptive_max_pool2d(image, (3, 4), return_indices=True)),
            **named("line", F.adaptive_max_pool1d(x, 4, return_indices=True)),
            **named("volume", F.adaptive_max_pool3d(volume, 2, return_indices=True)),
            **named("random", F.fractional_max_pool2d(
                image, 2, (4, 3), _random_samples=random2, return_indices=True)),
            **named("random volume", F.fractional_max_pool3d(
                volume, (2, 1, 2), (2, 3, 1), _random_samples=random3, return_indices=True)),
            "random of one": F.fractional_max_pool2d(image[0], 3, 2, _random_samples=random2[:1]),
            "largest": F.max_pool2d(image, 3, 2, 1), "means": F.avg_pool2d(image, 3, 2, 1),
            "means of volumes": F.adaptive_avg_pool3d(volume, (1, 2, 3)),
        }  # fmt: skip

    agree(run, torch.randn(2, 3, 9), torch.randn(2, 3, 9, 8), torch.randn(2, 3, 5, 4, 6))


def test_images_at_other_places():
    def run(image, volume, grid, grid3):
        aa = torch.ops.aten._upsample_bilinear2d_aa.default
        return {
            "grid": F.grid_sample(image, grid, align_corners=False),
            "edges": F.grid_sample(image, grid, "bicubic", "border", align_corners=True),
            "volumes": F.grid_sample(volume, grid3, align_corners=False),
            "smooth": F.interpolate(image, (3, 4), mode="bilinear", antialias=True),
            "smooth cubic": F.interpolate(image, (4, 3), mode="bicubic", antialias=True),
            "fewer": aa(image, [3, 2], False, 0.6, 0.5),
            "edge": F.pad(image, (1, 2, 0, 3), "replicate"),
            "moved": F.pad(image, (-6, 2, 1, 0), "replicate"),
            "edge of volumes": F.pad(volume, (1, 0, 0, 2, 1, 1), "replicate"),
            "mirrored": F.pad(image, (2, 1, -1, 1), "reflect"), "cut": F.pad(image, (-6, 7)),
        }  # fmt: skip

    grid, grid3 = torch.rand(2, 4, 5, 2) * 2.4 - 1.2, torch.rand(2, 2, 3, 2, 3) * 2.4 - 1.2
    agree(run, torch.randn(2, 3, 5, 6), torch.randn(2, 3, 3, 4, 5), grid, grid3)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags(mode):
    offsets = torch.tensor([0, 2, 2, 5])

    def run(table, indices, weights):
        def bag(**keywords):
            return F.embedding_bag(indices, table, offsets, mode=mode, **keywords)

        results = {
            "bags": bag(), "padded": bag(padding_idx=3), "last": F.embedding_bag(
                indices, table, torch.tensor([0, 2, 2, 6]), mode=mode, include_last_offset=True
            ),
            "rows": F.embedding_bag(indices.reshape(3, 2), table, mode=mode),
        }  # fmt: skip
        if mode == "sum":
            results["weighted"] = bag(per_sample_weights=weights)
        results["embedding"] = F.embedding(indices, table, 3, scale_grad_by_freq=True) * weights[0]
        return results

    agree(run, torch.randn(6, 4), torch.tensor([1, 3, 3, 0, 5, 1]), torch.randn(6))


def test_segments():
    lengths, offsets = torch.tensor([2, 0, 3]), torch.tensor([[0, 1, 4], [0, 3, 3]])

    def run(x):
        results = {
            how: torch.segment_reduce(x, how, lengths=lengths, initial=1.5)
            for how in ("sum", "mean", "max", "min", "prod")
        }
        results["rows"] = torch.segment_reduce(x[:2], "sum", offsets=offsets, axis=1)
        results["empty"] = torch.segment_reduce(x, "max", lengths=lengths)
        return results

    agree(run, torch.randn(5, 4))


@pytest.mark.parametrize("dynamic", [False, True])
def test_distances_and_products(dynamic):
    def run(x, y):
        return {
            "pairs": F.pdist(x), "pairs by p": F.pdist(x, 3.0), "two": torch.cdist(x, y, 1.5),
            "rows": torch.cdist(x, y),
            "bilinear": F.bilinear(x[:3], y, x[:2, :, None] * x[:2, None]),
        }  # fmt: skip

    agree(run, torch.randn(4, 5), torch.randn(3, 5), dynamic=dynamic)


def test_special_functions():
    one = ("i1", "ndtri", "erfcx", "bessel_j1", "scaled_modified_bessel_k0")
    kinds = (
        *(f"chebyshev_polynomial_{k}" for k in "tuvw"), "hermite_polynomial_h",
        *(f"shifted_chebyshev_polynomial_{k}" for k in "tuvw"), "hermite_polynomial_he",
        "laguerre_polynomial_l", "legendre_polynomial_p",
    )  # fmt: skip

    def run(x, places, n):
        results = {name: getattr(torch.special, name)(x.detach() * 0.9) for name in one}
        for kind in kinds:
            results[kind] = getattr(torch.special, kind)(places.detach(), n)
        results["i0"], results["zeta"] = torch.i0(x), torch.special.zeta(x.detach() + 1, 2.5)
        return {**results, **{f"polygamma {k}": torch.polygamma(k, x) for k in (1, 3)}}

    x = torch.linspace(0.05, 1, 9)
    places, n = torch.tensor([-1, -0.4, 0, 0.3, 0.8, 1, 1.2])[:, None], torch.arange(-1, 12)
    agree(run, x, places, n)


@pytest.mark.filterwarnings("ignore:torch.triangular_solve is deprecated")
def test_reflections_and_triangles():
    def run(a, c, upper):
        tau = a.diagonal(0, -2, -1).sigmoid()
        return {
            **{
                f"{left}, {turned}": torch.ormqr(a, tau, c if left else c.mT, left, turned)
                for left in (True, False)
                for turned in (True, False)
            },
            **named("solved", torch.triangular_solve(c, upper)),
            **named("turned", torch.triangular_solve(c, upper, False, True, True)),
            "diagonal": torch.diagonal_scatter(a, c[..., 0, :2], 1, -2, -1),
        }

    upper = torch.randn(4, 4) + 3 * torch.eye(4)
    agree(run, torch.randn(2, 4, 3), torch.randn(2, 4, 5), upper)


def test_histograms():
    def run(x, weight, edges):
        points, rows = x.reshape(-1, 2), torch.ops.aten
        found = {
            **named("bins", torch.histogram(x, 4)), **named("between", torch.histogram(x, edges)),
            **named("range", torch.histogram(x, 3, range=(-1.0, 0.5), weight=weight, density=True)),
            **named("one value", torch.histogram(x * 0, 3)), **named("none", x[:0].histogram(2)),
            "dense": torch.histogram(x, edges, weight=weight, density=True).hist,
            "points between": rows._histogramdd_from_bin_tensors(points, [edges, edges[:3]]),
            "weighted points": rows._histogramdd_from_bin_cts(
                points, [3, 2], weight=weight.reshape(-1, 2)[:, 0], density=True),
            "points": torch.histogramdd(points, [2, 3], range=[-1.0, 1.0, 0.0, 2.0]).hist,
        }  # fmt: skip
        first, second = torch.histogramdd(points, [2, 3]).bin_edges
        return {**found, "first edges": first, "second edges": second}

    x = torch.randn(6, 8)
    x[0, :4] = torch.tensor([-1.0, 0.5, float("nan"), 1.0])
    x[0, 2] = 9
    edges = torch.tensor([-1.0, 0.0, 0.5, 1.0])
    with torch.no_grad():
        got = torch.compile(run, backend=dlc_backend, fullgraph=True)(x, x.abs(), edges)
        wanted = run(x, x.abs(), edges)
    for name, w in wanted.items():
        near(got[name], w, name)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf")])
def test_rows_of_a_table_scaled_down(norm_type):
    def run(table, index):
        return F.embedding(index, table, max_norm=0.9, norm_type=norm_type)

    tables = [t := torch.randn(7, 3), t.clone()]
    tables[0][2] = tables[1][2] = 0.01
    index = torch.tensor([[1, 5], [2, 1]])
    got = torch.compile(run, backend=dlc_backend, fullgraph=True)(tables[0], index)
    near(got, run(tables[1], index), "rows")
    near(tables[0], tables[1], "table")
    assert torch.compile(run, backend=dlc_backend)(
        tables[0], torch.zeros((2, 0), dtype=torch.int64)
    ).shape == (2, 0, 3)


def test_no_indices_and_no_images():
    samples = torch.rand(2, 3, 3)

    def run(x, none, image):
        pooled = F.fractional_max_pool3d(image[:0], 2, 2, _random_samples=samples[:0])
        return {
            "gather": x.gather(0, none), "added": x.scatter_add(0, none, none.float()),
            "set": x.scatter(0, none, 3.0), "squeezed": (x[:1, None] * 2).squeeze(()),
            "reduced": x.scatter_reduce(0, none, none.float(), "sum", include_self=False),
            "one of samples": F.fractional_max_pool3d(image[0], 2, 2, _random_samples=samples),
            "no image": pooled * 2,
        }  # fmt: skip

    none = torch.zeros((2, 0), dtype=torch.int64)
    agree(run, torch.randn(5), none, torch.randn(2, 3, 4, 5, 4))


def test_images_with_aligned_corners_whatever_the_factors():
    def run(x):
        smooth = torch.ops.aten._upsample_bilinear2d_aa
        return {
            "aligned": smooth(x, (3, 4), True, 1.7, 0.9),
            "by factors": smooth(x, (3, 4), False, 0.5, 0.5),
            "aligned by one": smooth(x, (3, 4), True, None, 0.9),
        }  # fmt: skip

    agree(run, torch.randn(2, 1, 7, 9))


def test_images_that_a_factor_leaves_as_long():
    line = torch.nn.Upsample(scale_factor=1.25, mode="linear")

    def run(x):
        return {
            "line": line(x[0]), "twice": F.interpolate(x, scale_factor=(1.25, 2.2)),
            "image": F.interpolate(x, scale_factor=(1.25, 1.5), mode="bilinear"),
        }  # fmt: skip

    x = torch.randn(1, 2, 3, 3)
    agree(run, x)
    near(dlc.compile(line)(x[0]), line(x[0]), "exported")


def test_extents_of_the_longer_and_the_shorter():
    def run(x, y):
        long, short = torch.sym_max(x.shape[0], y.shape[0]), torch.sym_min(x.shape[0], y.shape[0])
        return {"sum": x.sum() * long + y.sum() * short, "room": x.new_zeros(long) + x[0] + y[0]}

    agree(run, torch.randn(4), torch.randn(6), dynamic=True)


def test_attention_with_masks_and_groups():
    some = torch.rand(3, 6) < 0.6
    some[1] = False  # a query without keys

    def function(q, k, v, bias):
        attention = F.scaled_dot_product_attention
        mine = bias.masked_fill(~some, -torch.inf)
        return {
            "plain": attention(q, k, v),
            "scaled": attention(q, k, v, scale=0.3),
            "causal": attention(q, k[:, :, :3], v[:, :, :3], is_causal=True),
            "a mask": attention(q, k, v, some),
            "a bias": attention(q, k, v, mine),
            "a bias of heads": attention(q, k, v, mine.expand(2, 4, 3, 6)),
            "groups": attention(q, k[:, :2], v[:, :2], mine, enable_gqa=True),
        }

    shapes = ((2, 4, 3, 8), (2, 4, 6, 8), (2, 4, 6, 8), (3, 6))
    agree(function, *(torch.randn(s) for s in shapes))


def test_norms_of_halves_are_computed_at_float32():
    def function(x, weight):
        return (
            F.layer_norm(x, x.shape[-1:], weight, weight),
            F.group_norm(x, 2, weight[:4], weight[:4]),
            F.batch_norm(x, None, None, weight[:4], weight[:4], training=True),
            F.softmax(x, -1),
            F.log_softmax(x, -1),
        )

    run = torch.compile(function, backend=dlc_backend, fullgraph=True)
    for dtype in (torch.bfloat16, torch.float16):
        inputs = [torch.randn(s).to(dtype) for s in ((3, 4, 16), (16,))]
        gradients = [torch.randn(3, 4, 16).to(dtype) for _ in range(5)]

        def results(called, kind, given=inputs, tangents=gradients):
            given = [t.to(kind).detach().clone().requires_grad_() for t in given]
            values = called(*given)
            torch.autograd.backward(values, [t.to(kind) for t in tangents])
            return [t.detach().double() for t in (*values, *(g.grad for g in given))]

        exact, eager = results(function, torch.float64), results(function, dtype)
        for got, like, e in zip(results(run, dtype), eager, exact, strict=True):
            assert (got - e).abs().max() <= 1.5 * (like - e).abs().max()


def test_softmax_of_a_number():
    agree(lambda x: {"softmax": x.softmax(0), "log": x.log_softmax(-1) + x}, torch.tensor(0.5))


def test_numbers_have_the_digits_of_their_element_type():
    def run(x):
        double = {"dtype": torch.float64}
        n = x.shape[0]
        return (
            torch.full((2,), 0.1, **double), torch.full_like(x, 0.1 * n, **double),
            x.new_full((2,), 0.1, **double), torch.scalar_tensor(0.1, **double),
            torch.where(x > 0, 0.1, x.double()), torch.arange(0, 1, 0.1, **double),
            torch.arange(0.1, n, **double), torch.full((2,), n / 7, **double),
            torch.full((2,), 2.0**24 + 1, dtype=torch.int32),
            torch.full_like(x, 2.0**40 + 1, dtype=torch.int64),
        )  # fmt: skip

    compiled = torch.compile(run, backend=dlc_backend, fullgraph=True)
    for n in (3, 5):
        x = torch.randn(n)
        for got, wanted in zip(compiled(x), run(x), strict=True):
            assert got.dtype == wanted.dtype
            assert torch.allclose(got, wanted, rtol=1e-15, atol=0)


def test_bits_read_as_another_element_type():
    types = (torch.float64, torch.bfloat16, torch.uint8)

    def run(x):
        found = {f"{a} as {b}": x.view(a).view(b) for a in types for b in types}
        flags = (x > 0).view(torch.int16)
        return {**found, "flags as numbers": flags, "back": flags.view(torch.bool)}

    x = torch.randint(-100, 100, (3, 8), dtype=torch.int8)
    got = torch.compile(run, backend=dlc_backend, fullgraph=True, dynamic=True)(x)
    for name, wanted in run(x).items():
        assert (got[name].dtype, got[name].shape) == (wanted.dtype, wanted.shape), name
        assert torch.equal(got[name].view(torch.uint8), wanted.view(torch.uint8)), name


def test_factors_of_products_of_integers():
    def products(x):
        a, b, found = x[:, :5], x[:, 5:].mT, {}
        for alpha, beta in ((0.6, 0.2), (2.7, 1.5), (-1, 1)):
            options = {"alpha": alpha, "beta": beta}
            found[f"addmm {alpha}"] = torch.addmm(a[:, :4], a, b, **options)
            found[f"baddbmm {alpha}"] = torch.baddbmm(a[None, :, :4], a[None], b[None], **options)
            found[f"addbmm {alpha}"] = torch.addbmm(a[:, :4], a[None], b[None], **options)
        return found

    for dtype in (torch.uint8, torch.int32):
        x = torch.arange(40, dtype=dtype).reshape(4, 10)
        got = torch.compile(products, backend=dlc_backend, fullgraph=True)(x)
        for name, wanted in products(x).items():
            near(got[name], wanted, (dtype, name))
