"""`dlc.autocast`: which types functions compute, against PyTorch; gradients; programs; training."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import dlc
from dlc import nn
from dlc.frontend.cast_table import FULL, LOW
from dlc.nn import functional as fn

RNG = np.random.default_rng(11)
X = RNG.standard_normal((6, 8)).astype(np.float32)
W = RNG.standard_normal((8, 4)).astype(np.float32)
B = RNG.standard_normal(4).astype(np.float32)
IMAGE = RNG.standard_normal((2, 4, 7, 7)).astype(np.float32)
FILTERS = RNG.standard_normal((5, 4, 3, 3)).astype(np.float32)
QUERY = RNG.standard_normal((2, 3, 5, 8)).astype(np.float32)
ROWS = RNG.standard_normal((5, 4)).astype(np.float32)
CLASSES = np.array([0, 3, 1, 1, 2])


# Functions of float32 tensors: calls of (namespace, functional forms, operands).
CASES = {
    "matmul": (lambda xp, f, x, w: xp.matmul(x, w), [X, W]),
    "operator": (lambda xp, f, x, w: x @ w, [X, W]),
    "einsum": (lambda xp, f, x, w: xp.einsum("ij,jk->ik", x, w), [X, W]),
    "linear": (lambda xp, f, x, w, b: f.linear(x, w.T, b), [X, W, B]),
    "product and sum": (lambda xp, f, x, w, b: x @ w + b, [X, W, B]),
    "conv2d": (lambda xp, f, x, w, b: f.conv2d(x, w, b, padding=1), [IMAGE, FILTERS, ROWS[:, 0]]),
    "conv_transpose2d": (lambda xp, f, x, w: f.conv_transpose2d(x, w), [IMAGE, IMAGE[0][:, None]]),
    "bmm": (lambda xp, f, q: xp.bmm(q[0], q[1].swapaxes(-1, -2)), [QUERY]),
    "addmm": (lambda xp, f, x, w, b: xp.addmm(b, x, w), [X, W, B]),
    "attention": (lambda xp, f, q: f.scaled_dot_product_attention(q, q, q), [QUERY]),
    "cross_entropy": (
        lambda xp, f, x: f.cross_entropy(x @ x.T @ x, xp.asarray(CLASSES)), [ROWS]
    ),
    "mse_loss": (lambda xp, f, x, w: f.mse_loss(x @ w, (x @ w) * 0.5), [X, W]),
    "activation of a product": (lambda xp, f, x, w: f.relu(x @ w), [X, W]),
    "gelu of a product": (lambda xp, f, x, w: f.gelu(x @ w), [X, W]),
    "sum of float32": (lambda xp, f, x, w: xp.sum(x), [X, W]),
    "norm of float32": (
        lambda xp, f, x: xp.layer_norm(x) if xp is dlc else f.layer_norm(x, (8,)), [X]
    ),
    "concat": (lambda xp, f, x, w: xp.concatenate([x @ w, w]), [X, W]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_types_and_values_are_those_of_torch(name):
    call, arrays = CASES[name]
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        want = call(torch, F, *map(torch.tensor, arrays))
    exact = call(torch, F, *(torch.tensor(a.astype(np.float64)) for a in arrays)).numpy()
    for f in (lambda *xs: call(dlc, fn, *xs), dlc.compile(lambda *xs: call(dlc, fn, *xs))):
        with dlc.autocast("cpu", dtype=dlc.bfloat16):
            got = f(*map(dlc.asarray, arrays))
        assert got.dtype.name == str(want.dtype).partition(".")[2]
        scale = np.abs(exact).max()
        error = np.abs(got.astype("float64").numpy() - exact).max() / scale
        torch_error = np.abs(want.double().numpy() - exact).max() / scale
        assert error <= 3 * torch_error + 2.0**-20, (error, torch_error)


# As PyTorch has it for float16 on other devices: half types are added at float32, whatever adds.
SUMS = {
    "sum": dlc.sum, "mean": dlc.mean, "var": dlc.var, "prod": dlc.prod, "cumsum": dlc.cumsum,
    "softmax": dlc.softmax, "log_softmax": dlc.log_softmax, "logsumexp": dlc.logsumexp,
    "method": lambda x: x.sum(axis=0), "layer_norm": dlc.layer_norm,
    "rms_norm": dlc.rms_norm, "group_norm": lambda x: dlc.group_norm(x, 2),
    "norm": dlc.linalg.norm, "pinv": dlc.linalg.pinv, "cond": dlc.linalg.cond,
    "normalize": fn.normalize, "huber": lambda x: fn.huber_loss(x, x * 0),
    "Keras's loss": lambda x: dlc.losses.mean_squared_error(x, x * 0.5),
}  # fmt: skip


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", SUMS)
def test_sums_of_half_types_are_float32(name, half):
    x = dlc.asarray(X[:, :4], dtype=half)
    with dlc.autocast(half):
        got = SUMS[name](x)
    want = SUMS[name](x.astype("float32"))
    assert got.dtype is dlc.float32
    assert np.array_equal(got.numpy(), want.numpy())
    with dlc.autocast(half):
        assert dlc.sum(x, dtype=half).dtype.name == half  # what is asked for is given
        assert dlc.max(x).dtype.name == half
        assert dlc.exp(x).dtype.name == half


def test_the_table_names_functions_that_convert():
    spaces = (dlc, dlc.linalg, dlc.random, fn, dlc.losses)
    for name in (LOW | FULL) - {"cond"}:
        found = [getattr(space, name) for space in spaces if hasattr(space, name)]
        assert found, name
        assert all(hasattr(f, "__wrapped__") for f in found), name
    assert not LOW & FULL
    text = (Path(__file__).parent.parent / "docs/mixed_precision.md").read_text()
    missing = [name for name in sorted(LOW | FULL) if f"`{name}`" not in text]
    assert not missing


def test_what_stays():
    with dlc.autocast():
        assert (dlc.asarray(X.astype(np.float64)) @ W).dtype is dlc.float64
        assert dlc.matmul(X.astype(np.float64), W.astype(np.float64)).dtype is dlc.float64
        assert dlc.matmul(np.ones((2, 2), np.int32), np.ones((2, 2), np.int32)).dtype is dlc.int32
        assert (dlc.asarray(X) + 1).dtype is dlc.float32
        assert dlc.matmul(X, W).dtype is dlc.bfloat16  # NumPy's arrays too
        assert dlc.matmul(dlc.asarray(X, dtype="float16"), W).dtype is dlc.bfloat16
        weights = fn.embedding(np.array([1, 2]), dlc.asarray(X))
        assert weights.dtype is dlc.float32
        assert dlc.random.normal(dlc.random.key(0), (3,)).dtype is dlc.float32
    assert dlc.get_autocast_dtype() is None
    assert (dlc.asarray(X) @ W).dtype is dlc.float32


def test_regions():
    x, w = dlc.asarray(X), dlc.asarray(W)
    region = dlc.autocast(dlc.float16)
    with region, dlc.autocast(enabled=False):
        assert (x @ w).dtype is dlc.float32
        with region:
            assert (x @ w).dtype is dlc.float16
        assert (x @ w).dtype is dlc.float32
    with pytest.raises(KeyError), dlc.autocast():
        raise KeyError
    assert dlc.get_autocast_dtype() is None

    @dlc.autocast(device_type="cpu", dtype=dlc.bfloat16)
    def product(a, b):
        """Of both."""
        return a @ b if a.sum() < 1e9 else a @ b * 2

    assert product.__doc__ == "Of both."
    assert product(x, w).dtype is dlc.bfloat16
    assert dlc.compile(product)(x, w).dtype is dlc.bfloat16
    seen = []
    with dlc.autocast():
        thread = threading.Thread(target=lambda: seen.append((x @ w).dtype))
        thread.start()
        thread.join()
    assert seen == [dlc.float32]
    assert dlc.autocast("bfloat16").dtype is dlc.bfloat16
    for call, error in (
        (lambda: dlc.autocast(dlc.float32), dlc.DTypeError),
        (lambda: dlc.autocast("bf17"), dlc.DlcError),
        (lambda: dlc.autocast("cuda:7"), dlc.DeviceError),
        (lambda: dlc.autocast(dlc.float16, dtype=dlc.bfloat16), dlc.ArgumentError),
    ):
        with pytest.raises(error):
            call()


def test_programs_of_each_mode_are_kept():
    f = dlc.compile(lambda a, b: a @ b)
    x, w = dlc.asarray(X), dlc.asarray(W)
    for _ in range(3):
        for _ in range(4):  # until calls are served by native code
            assert f(x, w).dtype is dlc.float32
            assert (x @ w).dtype is dlc.float32
        for dtype in (dlc.bfloat16, dlc.float16):
            with dlc.autocast(dtype):
                for _ in range(4):
                    assert f(x, w).dtype is dtype
                    assert (x @ w).dtype is dtype
    assert f.stats.compilations == 3
    assert "under autocast to bfloat16" in f.explain()
    inside = dlc.compile(dlc.autocast()(f))
    assert inside(x, w).dtype is dlc.bfloat16
    assert f.stats.compilations == 3


def test_saved_programs_are_those_of_the_region(tmp_path):
    f = dlc.compile(lambda a, b: a @ b)
    x, w = dlc.asarray(X), dlc.asarray(W)
    f(x, w)
    with dlc.autocast():
        f(x, w)
        f.save(tmp_path / "half.dlc")
        dlc.save(lambda a: a @ w, tmp_path / "traced.dlc", specs="f32[6,8]")
    f.save(tmp_path / "single.dlc")
    assert dlc.load(tmp_path / "half.dlc")(x, w).dtype is dlc.bfloat16
    assert dlc.load(tmp_path / "traced.dlc")(x).dtype is dlc.bfloat16
    with dlc.autocast():
        assert dlc.load(tmp_path / "single.dlc")(x, w).dtype is dlc.float32


def test_gradients_of_float32_parameters_are_float32():
    x = dlc.asarray(X)

    def loss(w, b):
        return dlc.mean(dlc.tanh(fn.linear(x, w.T, b)) ** 2)

    exact = dlc.grad(loss, argnums=(0, 1))(dlc.asarray(W), dlc.asarray(B))
    gradient = dlc.autocast()(dlc.grad(loss, argnums=(0, 1)))
    found = [gradient(dlc.asarray(W), dlc.asarray(B))]
    found.append(dlc.compile(gradient)(dlc.asarray(W), dlc.asarray(B)))
    w, b = dlc.Variable(W, requires_grad=True), dlc.Variable(B, requires_grad=True)
    with dlc.autocast():
        value = loss(w, b)
        assert value.dtype is dlc.float32
        with dlc.GradientTape() as tape:
            again = loss(w, b)
    value.backward()
    found += [(w.grad, b.grad), tape.gradient(again, [w, b])]
    for got in found:
        for g, e in zip(got, exact, strict=True):
            assert g.dtype is dlc.float32
            assert np.allclose(g.numpy(), e.numpy(), rtol=0.05, atol=2e-3)
            assert not np.array_equal(g.numpy(), e.numpy())  # it was computed of half types
    with dlc.autocast():
        rows = dlc.vmap(lambda r: r @ dlc.asarray(W))(x)
        slope = dlc.jvp(lambda w: x @ w, (dlc.asarray(W),), (dlc.asarray(W),))[1]
    assert rows.dtype is dlc.bfloat16
    assert slope.dtype is dlc.bfloat16


def test_loops_and_branches():
    @dlc.compile
    def f(x, n):
        for _ in range(n):
            x = dlc.tanh(x @ x).astype("float32")
        return x @ x * 0 if x.sum() > 1e9 else x @ x

    square = RNG.standard_normal((4, 4)).astype(np.float32)
    with dlc.autocast():
        y = f(square, dlc.asarray(3))
    assert y.dtype is dlc.bfloat16
    with dlc.autocast():
        carry = dlc.fori_loop(0, 3, lambda _, v: dlc.tanh(v @ square).astype("float32"), square)
    assert carry.dtype is dlc.float32


def test_fit_under_autocast():
    dlc.random.seed(0)
    x = RNG.standard_normal((128, 8)).astype(np.float32)
    y = (x[:, :1] * 2 - x[:, 1:2]).astype(np.float32)
    model = dlc.nn.Sequential(
        dlc.nn.Linear(8, 32), dlc.nn.LayerNorm(32), dlc.nn.GELU(), dlc.nn.Dense(1)
    )
    model.compile(optimizer=dlc.optim.Adam(learning_rate=0.02), loss="mse")
    with dlc.autocast():
        history = model.fit(x, y, epochs=8, batch_size=32, verbose=0)
        assert model(x).dtype is dlc.bfloat16
    assert history.history["loss"][-1] < 0.2 * history.history["loss"][0]
    assert all(p.dtype is dlc.float32 for p in model.parameters())
    assert model(x).dtype is dlc.float32


def test_loss_scaler_keeps_small_gradients():
    tiny = 1e-7  # gradients of float16 below 6e-8 are zero
    w = dlc.Variable(np.float32([1.0, 1.0]), requires_grad=True)
    optimizer, scaler = dlc.optim.SGD([w], lr=1e6), dlc.optim.LossScaler(2.0**12)

    def loss():
        half = (w * 1.0).astype("float16")
        return dlc.sum(half.astype("float32") * tiny * 0.125)

    loss().backward()
    assert w.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    scaler.scale(loss()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert np.allclose(w.numpy(), 1 - 1e6 * tiny * 0.125, rtol=1e-3)


RECURRENT = {
    "LSTM": lambda: nn.LSTM(4, 5),
    "LSTM without bias": lambda: nn.LSTM(4, 5, num_layers=2, bias=False, bidirectional=True),
    "GRU": lambda: nn.GRU(4, 5),
    "Keras's LSTM": lambda: nn.LSTM(units=5, return_sequences=True),
    "Keras's GRU without bias": lambda: nn.GRU(units=5, use_bias=False, return_sequences=True),
    "Keras's SimpleRNN": lambda: nn.Bidirectional(nn.SimpleRNN(5, return_sequences=True)),
    "cells": lambda: nn.RNN([nn.LSTMCell(5), nn.GRUCell(5)], return_sequences=True),
}


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers_of_products(kind):
    class Reader(nn.Module):
        def __init__(self):
            self.first, self.recurrent = nn.Linear(3, 4), RECURRENT[kind]()

        def forward(self, x):
            found = self.recurrent(self.first(x))
            return found[0] if isinstance(found, tuple) else found

    dlc.random.seed(0)
    model, x = Reader(), np.linspace(-1, 1, 2 * 6 * 3, dtype=np.float32).reshape(2, 6, 3)
    exact = model(x)
    step = dlc.compile(dlc.value_and_grad(lambda m, x: dlc.sum(m(x) ** 2)))
    _, wanted = step(model, x)
    with dlc.autocast():
        assert np.allclose(model(x).astype(dlc.float32).numpy(), exact.numpy(), atol=2e-2)
        loss, gradients = step(model, x)
    assert loss.dtype is dlc.float32
    for g, w in zip(dlc.tree.leaves(gradients), dlc.tree.leaves(wanted), strict=True):
        assert g.dtype is dlc.float32
        assert np.allclose(g.numpy(), w.numpy(), atol=5e-2 * max(1, np.abs(w.numpy()).max()))


@pytest.mark.parametrize("compiled", [False, True])
def test_loss_scaler_follows_torch(compiled):
    losses = [1.0, np.inf, 2.0, np.nan, 1.0, 3.0, 1.0, 1.0]
    w = dlc.Variable(np.float32([1.0, 2.0]), requires_grad=True)
    optimizer = dlc.optim.Adam([w], lr=0.1)
    settings = {"init_scale": 8.0, "growth_factor": 4.0, "backoff_factor": 0.25}
    scaler = dlc.optim.LossScaler(**settings, growth_interval=2)
    theirs = torch.tensor([1.0, 2.0], requires_grad=True)
    reference = torch.optim.Adam([theirs], lr=0.1)
    torch_scaler = torch.amp.GradScaler("cpu", **settings, growth_interval=2)

    def step(factor):
        optimizer.zero_grad()
        scaler.scale(dlc.sum(w * w) * factor).backward()
        scaler.step(optimizer)
        scaler.update()

    run = dlc.compile(step) if compiled else step
    for factor in losses:
        run(np.float32(factor))
        reference.zero_grad()
        torch_scaler.scale(torch.sum(theirs * theirs) * factor).backward()
        torch_scaler.step(reference)
        torch_scaler.update()
        assert scaler.get_scale() == torch_scaler.get_scale()
        assert np.allclose(w.numpy(), theirs.detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize("habit", ["step", "unscale_", "apply_gradients"])
@pytest.mark.parametrize("compiled", [False, True])
def test_loss_scaler_leaves_out_the_steps_of_one_optimizer(compiled, habit):
    variables = [dlc.Variable([1.0], requires_grad=True) for _ in range(2)]
    optimizers = [dlc.optim.SGD([v], lr=0.5) for v in variables]
    scaler = dlc.optim.LossScaler(4.0)

    def step(factors):
        for v, optimizer, factor in zip(variables, optimizers, factors, strict=True):
            if habit == "apply_gradients":
                scaler.apply_gradients(optimizer, [(scaler.scale(factor * dlc.ones(1)), v)])
                continue
            optimizer.zero_grad()
            scaler.scale(dlc.sum(v * factor)).backward()
            if habit == "unscale_":
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
        scaler.update()

    run = dlc.compile(step) if compiled else step
    run(np.float32([np.inf, 1.0]))
    assert [v.item() for v in variables] == [1.0, 0.5]
    assert scaler.get_scale() == 2.0
    run(np.float32([1.0, np.nan]))
    assert [v.item() for v in variables] == [0.5, 0.5]
    run(np.float32([1.0, 1.0]))
    assert [v.item() for v in variables] == [0.0, 0.0]
    assert scaler.get_scale() == 1.0


def test_loss_scaler_in_other_habits():
    w = dlc.Variable(np.float32([1.0, 2.0]))
    optimizer, scaler = dlc.optim.SGD(learning_rate=0.1), dlc.optim.LossScaler(4.0)
    with dlc.GradientTape() as tape:
        loss = scaler.scale(dlc.sum(w * w))
    scaler.apply_gradients(optimizer, [(tape.gradient(loss, w), w)])
    scaler.update()
    assert np.allclose(w.numpy(), [0.8, 1.6])
    off = dlc.optim.LossScaler(enabled=False)
    assert off.scale(3.0) == 3.0
    assert off.get_scale() == 1.0
    assert not off.is_enabled()
    off.apply_gradients(optimizer, [(w.value() * 0, w)])
    off.update()
    saved = scaler.state_dict()
    other = dlc.optim.LossScaler(1.0)
    other.load_state_dict(saved)
    assert other.get_scale() == 4.0
    v = dlc.Variable(np.float32(1.0), requires_grad=True)
    plain = dlc.optim.SGD([v], lr=0.1)
    scaler.scale(v * 2).backward()
    scaler.unscale_(plain)
    assert v.grad.item() == 2.0
    with pytest.raises(dlc.ArgumentError, match="twice"):
        scaler.unscale_(plain)
    scaler.step(plain)
    assert v.item() == pytest.approx(0.8)
    for wrong in ({"init_scale": 0.0}, {"growth_factor": 1.0}, {"growth_interval": 0}):
        with pytest.raises(dlc.ValueRangeError):
            dlc.optim.LossScaler(**wrong)
    with pytest.raises(dlc.ValueRangeError, match="does not fit"):
        scaler.load_state_dict({"scale": 1.0})
