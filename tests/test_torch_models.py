"""`dlc.compile` of PyTorch's modules: values, state, extents, files and errors."""

import copy
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import dlc
from dlc.cli.main import main
from dlc.interop.torch import TorchModel
from dlc.ir.errors import ArgumentError, ModelError, ShapeError


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Pair(NamedTuple):
    mean: torch.Tensor
    rest: torch.Tensor


class Mixed(nn.Module):
    """Arguments and results of many kinds."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.offset = torch.tensor([1.0, 2.0, 3.0, 4.0])  # neither parameter nor buffer

    def forward(self, x, parts, scale=2.0, *, mask=None, flip=False):
        y = self.linear(x) * scale + self.offset + parts["b"] - parts["a"][0]
        y = y if mask is None else torch.where(mask, y, 0.0)
        y = y.flip(-1) if flip else y
        return {"z": y, "count": x.shape[0], "both": Pair(y.mean(), y.sum(0)), "none": None}


def small(training=False):
    model = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.GELU(), nn.Linear(6, 3))
    return model.train(training)


def close(got, wanted):
    assert type(got) is torch.Tensor
    assert got.dtype == wanted.dtype
    torch.testing.assert_close(got, wanted.detach(), rtol=1e-5, atol=1e-6)


def test_arguments_and_results_of_many_kinds():
    model = Mixed()
    fast = dlc.compile(model)
    assert isinstance(fast, TorchModel)
    for keywords in (
        {"flip": True, "scale": 0.5},
        {"mask": torch.tensor([True, False, True, True])},
    ):
        x = torch.randn(5, 4)
        parts = {"b": torch.ones(4), "a": [torch.zeros(4)]}
        got, wanted = fast(x, parts, **keywords), model(x, parts, **keywords)
        assert list(got) == list(wanted)
        assert (type(got["both"]), got["none"], got["count"]) == (Pair, None, 5)
        close(got["z"], wanted["z"])
        for a, b in zip(got["both"], wanted["both"], strict=True):
            close(a, b)
    assert len(fast.explain().splitlines()) == 3
    assert fast.stats.interpreted_ops == 0


class Called(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


TARGETS = torch.tensor([[1, 2, -1, 0, 0], [0, -1, 1, 1, 1], [3, 4, 0, 1, -1]])


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (nn.functional.multilabel_margin_loss, (torch.arange(15.0).reshape(3, 5).sin(), TARGETS)),
        (nn.functional.multilabel_margin_loss, (torch.arange(5.0).cos(), TARGETS[0])),
        (torch.linalg.det, (torch.arange(18.0).reshape(2, 3, 3).sin(),)),
        (lambda x, i: x.index_fill(0, i, 2.5), (torch.ones(3, 4), torch.tensor([0, 2]))),
    ],
    ids=["margins", "margins of one", "det", "index_fill"],
)
def test_operators_that_the_backend_writes_otherwise(function, args):
    """PyTorch's own words for the margins compute something else than its kernel."""
    close(dlc.compile(Called(function))(*args), function(*args))


def test_arrays_give_tensors_of_dlc():
    fast = dlc.compile(small())
    x = torch.randn(4, 8)
    wanted = fast(x)
    for given in (x.numpy(), dlc.asarray(x.numpy())):
        got = fast(given)
        assert isinstance(got, dlc.Tensor)
        assert (got.numpy() == wanted.numpy()).all()
    wanted.zero_()  # the caller's own
    assert fast(x).any()


def test_half_types():
    model = nn.Linear(8, 4).to(torch.bfloat16)
    x = torch.randn(3, 8, dtype=torch.bfloat16)
    got = dlc.compile(model)(x)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, model(x).detach(), rtol=0.02, atol=0.02)


def test_extents_become_symbols():
    model = small()
    fast = dlc.compile(model)
    for batch in (3, 7, 12, 1):
        x = torch.randn(batch, 8)
        close(fast(x), model(x))
    assert fast.stats.compilations == 2


class Joined(nn.Module):
    def forward(self, x, y):
        return torch.cat([x, y[1:]]).sum(0), x @ y.T, x.reshape(-1)


def test_several_extents():
    model, fast = Joined(), dlc.compile(Joined())
    for rows, others in ((3, 4), (5, 9), (6, 3), (6, 2)):
        x, y = torch.randn(rows, 4), torch.randn(others, 4)
        for got, wanted in zip(fast(x, y), model(x, y), strict=True):
            close(got, wanted)
    assert fast.stats.compilations == 3
    assert "another graph" in fast.explain().splitlines()[-1]  # y[1:] is one row


class Halves(nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[0] == 4 else x


def test_an_extent_that_decides_is_constant():
    fast = dlc.compile(Halves())
    for rows in (4, 3, 5, 4):
        close(fast(torch.ones(rows)), Halves()(torch.ones(rows)))

    class Four(nn.Module):
        def forward(self, x):
            return x.reshape(2, 2)

    with pytest.raises(ModelError, match="invalid for input of size|not in VR"):
        dlc.compile(Four()).lower("f32[n]")


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(10, 4))

    def forward(self, x):
        return x + self.table[: x.shape[0]]


def test_extents_have_limits():
    model, fast = Positions(), dlc.compile(Positions())
    fast.source.load_state_dict(model.state_dict())
    for rows in (3, 5, 10):
        close(fast(torch.ones(rows, 4)), model(torch.ones(rows, 4)))
    assert fast.stats.compilations == 2
    with pytest.raises(ModelError, match="length 10"):
        fast(torch.ones(11, 4))


def test_parameters_that_change_are_noticed():
    model = small()
    fast, x = dlc.compile(model), torch.randn(4, 8)

    def check():
        close(fast(x), model(x))
        close(fast(x), model(x))

    check()
    before = fast.stats.compilations
    check()
    assert fast.stats.compilations == before
    with torch.no_grad():
        model[0].weight.mul_(2)
    check()
    assert "a parameter or buffer was written to" in fast.explain()
    model[3].weight.data = torch.randn(3, 6)
    check()
    model[0] = nn.Linear(8, 6)
    check()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(x).sum().backward()
    optimizer.step()
    check()
    model.load_state_dict(small().state_dict())
    check()
    assert "other parts" in fast.explain()


def test_batch_norm_updates_its_statistics():
    model = small(training=True)
    reference = copy.deepcopy(model)
    fast = dlc.compile(model)
    for batch in (4, 4, 6):
        x = torch.randn(batch, 8)
        close(fast(x), reference(x))
        for got, wanted in zip(model.buffers(), reference.buffers(), strict=True):
            close(got, wanted)
    assert fast.stats.compilations == 2
    for m in (model, reference):
        m[1].reset_running_stats()
    close(fast(x), reference(x))
    close(model[1].running_mean, reference[1].running_mean)
    for m in (model, reference):
        m.eval()
    close(fast(x), reference(x))


def test_statistics_of_half_types_are_updated():
    model = nn.BatchNorm1d(4).bfloat16()
    reference, x = copy.deepcopy(model), torch.randn(8, 4, dtype=torch.bfloat16)
    with torch.no_grad():
        dlc.compile(model)(x)
        reference(x)
    for got, wanted in zip(model.buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(got, wanted)


def test_random_numbers(tmp_path):
    model = nn.Dropout(0.25)
    fast, x = dlc.compile(model), torch.ones(4000)
    torch.manual_seed(1)
    first, second = fast(x), fast(x)
    assert set(first.unique().tolist()) == {0.0, float(np.float32(1 / 0.75))}
    assert abs((first == 0).float().mean() - 0.25) < 0.04
    assert (first != second).any()
    torch.manual_seed(1)
    assert (fast(x) == first).all()
    fast.save(tmp_path / "dropout.dlc")
    loaded = dlc.load(tmp_path / "dropout.dlc")
    assert (loaded(x.numpy()).numpy() != loaded(x.numpy()).numpy()).any()
    model.eval()
    assert (fast(x) == x).all()


def test_a_file_that_needs_no_torch(tmp_path):
    model = small()
    x = torch.randn(5, 8)
    fast = dlc.compile(model)
    fast.save(tmp_path / "named.dlc", "f32[batch,8]")
    fast(x)
    dlc.save(fast, tmp_path / "called.dlc")
    code = (
        "import sys, numpy as np, dlc\n"
        "x = np.load('x.npy')\n"
        "y = [dlc.load(f)(x).numpy() for f in ('named.dlc', 'called.dlc')]\n"
        "assert 'torch' not in sys.modules\n"
        "np.save('y.npy', y)"
    )
    np.save(tmp_path / "x.npy", x.numpy())
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    for y in np.load(tmp_path / "y.npy"):
        close(torch.from_numpy(y), model(x))


def test_a_training_mode_file_keeps_its_state(tmp_path):
    model = small(training=True)
    x = torch.randn(5, 8)
    exact = copy.deepcopy(model).double()
    exact(x.double())
    dlc.save(model, tmp_path / "net.dlc", ("f32[batch,8]",))
    loaded = dlc.load(tmp_path / "net.dlc")
    assert "1.running_mean" in loaded.variables
    wanted = model(x)
    close(torch.from_numpy(loaded(x.numpy()).numpy().copy()), wanted)
    mean = loaded.variables["1.running_mean"].numpy()
    # Sums of 8 products and a bias, and of 5 of those, all of it rounded and scaled: Higham,
    # "Accuracy and Stability of Numerical Algorithms", section 3.1.
    terms = torch.nn.functional.linear(x.abs(), model[0].weight.abs(), model[0].bias.abs())
    bound = 16 * 2**-24 * 0.1 * terms.mean(0).detach().numpy()
    assert np.all(abs(mean - exact[1].running_mean.numpy()) <= bound)


def test_programs_of_torch_export():
    model, x = small(), torch.randn(4, 8)
    fixed = dlc.compile(torch.export.export(model, (x,)))
    close(fixed(x), model(x))
    with pytest.raises(ShapeError, match=r"float32\[4, 8\] in the exported program"):
        fixed(torch.randn(5, 8))
    batch = torch.export.Dim("batch", max=64)
    free = dlc.compile(torch.export.export(model, (x,), dynamic_shapes=({0: batch},)))
    for n in (4, 6, 9):
        x = torch.randn(n, 8)
        close(free(x), model(x))
    assert free.stats.compilations == 2


def test_inside_of_functions_and_gradients():
    model, x = small(), torch.randn(4, 8, requires_grad=True)
    fast = dlc.compile(model)

    def loss(x):
        return dlc.sum(fast(x) ** 2)

    value, gradient = dlc.compile(dlc.value_and_grad(loss))(x.detach().numpy())
    wanted = (model(x) ** 2).sum()
    wanted.backward()
    close(torch.from_numpy(value.numpy().copy()), wanted)
    close(torch.from_numpy(gradient.numpy().copy()), x.grad)
    with pytest.raises(ModelError, match=r"updates 1\.running_mean"):
        dlc.compile(dlc.compile(small(training=True)).__call__)(x.detach().numpy())


def test_without_compilation():
    model, x = small(), torch.randn(4, 8)
    got = dlc.compile(model, disable=True)(x)
    np.testing.assert_allclose(got.numpy(), model(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_command_line(tmp_path, capsys):
    (tmp_path / "net.py").write_text(
        "import torch\ntorch.manual_seed(0)\nmodel = torch.nn.Linear(4, 3)\n"
    )
    assert main(["dump", f"{tmp_path}/net.py:model", "--arg", "f32[b,4]"]) == 0
    assert "func @Linear(%input: f32[b,4]" in capsys.readouterr().out
    assert main(["profile", f"{tmp_path}/net.py:model", "--arg", "f32[2,4]"]) == 0
    assert "dot_general" in capsys.readouterr().out


class Solves(nn.Module):
    def __init__(self, left):
        super().__init__()
        self.left = left

    def forward(self, a, b):
        return torch.linalg.solve(a, b, left=self.left)


@pytest.mark.parametrize(
    ("left", "shapes"),
    [
        (True, ((3, 3), (3, 2))),
        (True, ((3, 3), (3,))),
        (True, ((2, 3, 3), (2, 3))),
        (True, ((2, 1, 3, 3), (4, 3, 1))),
        (False, ((2, 3, 3), (2, 4, 3))),
        (True, ((0, 0), (0, 2))),
    ],
)
def test_systems_are_solved(left, shapes):
    a, b = (torch.randn(s) for s in shapes)
    fast = dlc.compile(Solves(left))
    torch.testing.assert_close(fast(a, b), torch.linalg.solve(a, b, left=left))
    if a.numel():
        with pytest.raises(dlc.LinAlgError, match="singular"):
            fast(torch.zeros_like(a), b)


class Decides(nn.Module):
    def forward(self, x):
        return x + 1 if x.sum() > 0 else x


class Writes(nn.Module):
    def forward(self, x):
        return x.add_(1)


class Unknown(nn.Module):
    def forward(self, x):
        return torch.fft.irfft(torch.fft.rfft(x))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Decides(), r"torch\.export cannot export Decides(.|\n)*test_torch_models(.|\n)*hint"),
        (Writes(), r"writes to x in place"),
        (Unknown(), r"dlc does not know 2 operators: .*_fft_c2r.*_fft_r2c"),
        (nn.Linear(3, 3), r"torch\.export cannot export Linear"),
        (nn.Linear(4, 3, device="meta"), r"meta"),
    ],
    ids=["decides", "writes", "unknown", "shapes", "meta"],
)
def test_what_cannot_be_compiled(model, message):
    with pytest.raises((ModelError, ArgumentError), match=message):
        dlc.compile(model)(torch.ones(2, 4))


def test_arguments_that_do_not_fit():
    fast = dlc.compile(small())
    with pytest.raises(ArgumentError, match="requires a gradient"):
        fast(torch.ones(2, 8, requires_grad=True))
    with torch.no_grad():
        assert fast(torch.ones(2, 8, requires_grad=True)).shape == (2, 3)
    with pytest.raises(ArgumentError, match=r"missing a required argument|unexpected"):
        fast()
    with pytest.raises(ArgumentError, match="is a object"):
        fast(object())
