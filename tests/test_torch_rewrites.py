"""Gradients that PyTorch derives by shapes that depend on values, and losses that it derives wrong.

Eager PyTorch's own kernels say what is right.
"""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  as PyTorch's users call it
from torch_fixtures import fresh  # noqa: F401  of each test here

from dlc.interop.torch import dlc_backend


def check(function, *inputs, dynamic=False):
    """Results and gradients are those of eager mode."""
    compiled = torch.compile(function, backend=dlc_backend, fullgraph=True, dynamic=dynamic)
    found = []
    for called in (compiled, function):
        given = [t.detach().clone().requires_grad_(t.is_floating_point()) for t in inputs]
        results = called(*given)
        weights = [torch.linspace(0.5, 2, r.numel()).reshape(r.shape) for r in results]
        sum((r * w).sum() for r, w in zip(results, weights, strict=True)).backward()
        found.append([*results, *(g.grad for g in given if g.is_floating_point())])
    for k, (got, wanted) in enumerate(zip(*found, strict=True)):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape), k
        torch.testing.assert_close(got, wanted, equal_nan=True, msg=lambda m, k=k: f"{k}: {m}")


@pytest.mark.parametrize("dynamic", [False, True])
def test_values_put_where_a_mask_holds(dynamic):
    def run(x, v, rows, mask, ones):
        y, z = x * 1, x * 2
        y.index_put_((mask,), v, accumulate=True)
        y[ones] = v.double()[0]
        z[mask] = rows
        return (
            y, z, torch.index_put(x, (mask,), v), x.index_put((mask,), rows[:1], True),
            x.index_put((mask,), rows, accumulate=True), x.index_put((ones,), v[2] * v[:1]),
            x.index_put((ones,), torch.cat([v, rows[0, :2]])),
        )  # fmt: skip

    x, v, rows = torch.randn(4, 5), torch.randn(5), torch.randn(2, 5)
    mask = torch.tensor([True, False, False, True])
    ones = torch.zeros(4, 5, dtype=torch.bool)
    ones.view(-1)[[0, 3, 4, 9, 11, 12, 19]] = True
    check(run, x, v, rows, mask, ones, dynamic=dynamic)


def test_a_mask_that_holds_nowhere():
    def run(x, v, none):
        return (x.index_put((none,), v), x.index_put((none,), v[:0, None] * x[:1]))

    check(run, torch.randn(3, 2), torch.randn(2), torch.zeros(3, dtype=torch.bool))


def test_indices_beside_masks_stay_pytorchs():
    def run(x, v, mask, index):
        y = x * 1
        y[index] = v
        y[1:, 0] = v[0]
        return (y, x.index_put((index,), v, accumulate=True), x.masked_fill(mask, v[1].detach()))

    mask, index = torch.tensor([[True], [False], [True]]), torch.tensor([2, 0])
    check(run, torch.randn(3, 2), torch.randn(2), mask, index)


def test_numbers_filled_in_at_indices():
    def run(x, v, index):
        y = x * 1
        y.index_fill_(1, index, v[0])
        return (
            y, torch.index_fill(x, 0, index, v[1]), x.index_fill(-1, index[0], v[0] * v[1]),
            x[0, 0].index_fill(0, index[:1] * 0, v[0]), x.index_fill(1, index[:0], v[0]),
            x.index_fill(1, index, 7.0), x.mT.index_fill(0, index, 7.0),
        )  # fmt: skip

    check(run, torch.randn(3, 4), torch.randn(2), torch.tensor([2, 0, 2]))


@pytest.mark.parametrize("dynamic", [False, True])
def test_slices_repeated_to_a_known_extent(dynamic):
    def run(x, times):
        return (
            x.repeat_interleave(times, 0, output_size=6),
            torch.repeat_interleave(x, times[:1] + 1, dim=-1, output_size=6),
            x[:, 0].repeat_interleave(times, output_size=6), x.repeat_interleave(3),
            x.repeat_interleave(2, dim=1), x[:0].repeat_interleave(times[:0], 0, output_size=0),
            x[0, 0] * torch.repeat_interleave(times, output_size=6),
        )  # fmt: skip

    check(run, torch.randn(4, 3), torch.tensor([1, 0, 3, 2]), dynamic=dynamic)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_margin_loss_of_several_labels(reduction):
    def run(x, classes):
        return (
            F.multilabel_margin_loss(x, classes, reduction=reduction),
            F.multilabel_margin_loss(x[0], classes[0], reduction=reduction),
            F.multilabel_margin_loss(x[0, 0], classes[0, 0] * 0, reduction=reduction),
        )

    # Targets end at the first -1; a class may be named twice.
    classes = torch.tensor([[1, 0, -1, 2], [3, 3, -1, -1], [-1, 1, 2, 3], [0, 1, 2, 3]])
    check(run, torch.randn(4, 4), classes)


@pytest.mark.skipif(
    not hasattr(torch.nn.modules, "LinearCrossEntropyOptions"), reason="this PyTorch has it not"
)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_cross_entropy_of_products_in_chunks(reduction):
    options = torch.nn.modules.LinearCrossEntropyOptions(
        allow_retain_graph=True, batch_chunk_size=2
    )

    def run(x, classes, bias, target):
        def loss(x, target, **keywords):
            return F.linear_cross_entropy(
                x, classes, target, reduction=reduction, options=options, **keywords
            )

        return (
            loss(x, target, linear_bias=bias, weight=torch.linspace(0.1, 1, 7)),
            loss(x[0], target[0]),
            loss(x, target.clamp(0), ignore_index=3),
        )  # fmt: skip

    target = torch.tensor([0, 1, 6, -100, 3])
    inputs = torch.randn(5, 4), torch.randn(7, 4), torch.randn(7)
    check(run, *inputs, target)


@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize(("left", "shape"), [(True, (5,)), (True, (5, 2)), (False, (2, 5))])
def test_solutions(left, shape, contiguous):
    a = torch.randn(5, 5)
    check(
        lambda a, b: (torch.linalg.solve(a if contiguous else a.mT, b, left=left),),
        a + 3 * torch.eye(5),
        torch.randn(shape),
    )


@pytest.mark.parametrize("loss", [F.mse_loss, F.smooth_l1_loss, F.huber_loss])
def test_means_of_nothing(loss):
    check(lambda x, y: [loss(x, y)], torch.ones(0, 3), torch.ones(0, 3))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # PyTorch's own call
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr")
def test_linearized_functions():
    def run(x, zeros_of):
        value, push = torch.func.linearize(lambda z: z.sin() * z.cumsum(0), x)
        aten = torch.ops.aten._new_zeros_with_same_feature_meta
        return value, push(x.cos()), aten(x, zeros_of, self_num_batch_dims=1)

    x, zeros_of = torch.randn(3, 4), torch.ones(2, 5, dtype=torch.float64)
    compiled = torch.compile(run, backend=dlc_backend)
    torch.testing.assert_close(compiled(x, zeros_of), run(x, zeros_of))
