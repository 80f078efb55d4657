"""Layers against PyTorch's of the same names, and Keras's by their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import dlc
from dlc import nn

RNG = np.random.default_rng(3)


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


PAIRS = [
    (nn.Linear(5, 3), torch.nn.Linear(5, 3), draw(2, 7, 5)),
    (nn.Linear(5, 3, bias=False), torch.nn.Linear(5, 3, bias=False), draw(5)),
    (nn.LayerNorm(6), torch.nn.LayerNorm(6), draw(3, 6)),
    (nn.LayerNorm((4, 6), eps=1e-3), torch.nn.LayerNorm((4, 6), eps=1e-3), draw(3, 4, 6)),
    (nn.LayerNorm(6, bias=False), torch.nn.LayerNorm(6, bias=False), draw(3, 6)),
    (
        nn.LayerNorm(6, elementwise_affine=False),
        torch.nn.LayerNorm(6, elementwise_affine=False),
        draw(3, 6),
    ),
    (nn.RMSNorm(6), torch.nn.RMSNorm(6), draw(3, 6)),
    (nn.RMSNorm((4, 6), eps=0.1), torch.nn.RMSNorm((4, 6), eps=0.1), draw(4, 6)),
    (nn.ReLU(), torch.nn.ReLU(), draw(9)),
    (nn.GELU(), torch.nn.GELU(), draw(9)),
    (nn.GELU("tanh"), torch.nn.GELU("tanh"), draw(9)),
    (nn.Sigmoid(), torch.nn.Sigmoid(), draw(9)),
    (nn.Tanh(), torch.nn.Tanh(), draw(9)),
    (nn.SiLU(), torch.nn.SiLU(), draw(9)),
    (nn.LogSigmoid(), torch.nn.LogSigmoid(), draw(9)),
    (nn.Softmax(dim=0), torch.nn.Softmax(dim=0), draw(4, 3)),
    (nn.LogSoftmax(dim=-1), torch.nn.LogSoftmax(dim=-1), draw(4, 3)),
    (nn.Identity(), torch.nn.Identity(), draw(4, 3)),
]


@pytest.mark.parametrize(("ours", "theirs", "x"), PAIRS, ids=[repr(p[0]) for p in PAIRS])
def test_as_in_pytorch_with_its_state(ours, theirs, x):
    state = {k: draw(*v.shape) for k, v in theirs.state_dict().items()}
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    ours.load_state_dict(theirs.state_dict())
    wanted = theirs(torch.tensor(x)).detach().numpy()
    for call in (ours, dlc.compile(ours)):
        np.testing.assert_allclose(call(dlc.asarray(x)).numpy(), wanted, rtol=3e-6, atol=3e-6)


HALF = [
    ("BatchNorm1d", (3,)), ("InstanceNorm1d", (3, 1e-5, 0.1, True, True)), ("GroupNorm", (1, 3)),
    ("LocalResponseNorm", (3,)), ("RMSNorm", (5,)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("kind", "settings"), HALF, ids=[k[0] for k in HALF])
def test_half_types_are_computed_at_single_precision(kind, settings, dtype):
    """Neither the mean nor a square is rounded: of close, of large, and of small values."""
    ours = getattr(nn, kind)(*settings).to(dtype)
    theirs = getattr(torch.nn, kind)(*settings).to(getattr(torch, dtype))
    judge = getattr(torch.nn, kind)(*settings).double()
    if kind == "RMSNorm":
        judge.eps = float(np.finfo(np.float32).eps)

    @dlc.compile
    def run(x):
        with dlc.GradientTape() as tape:
            tape.watch(x)
            y = ours(x)
            total = y[..., ::2].astype("float64").sum()
        return y, tape.gradient(total, x)

    for base, spread in ((8.0, 0.2), (0.0, 500.0), (0.0, 0.01)):
        x = dlc.asarray(base + spread * draw(4, 3, 5), dtype=dtype)
        exact = torch.tensor(x.astype("float64").numpy(), requires_grad=True)
        given = exact.detach().to(getattr(torch, dtype)).requires_grad_()
        wanted, rounded = judge(exact), theirs(given)
        wanted[..., ::2].sum().backward()
        rounded[..., ::2].double().sum().backward()
        pairs = [(wanted, rounded), (exact.grad, given.grad)]
        buffers = [(b, r) for b, r in zip(judge.buffers(), theirs.buffers(), strict=True) if b.ndim]
        got = [*run(x), *(b for b in ours.buffers() if b.shape)]
        for a, (e, r) in zip(got, pairs + buffers, strict=True):
            assert a.dtype.name == dtype
            unit = float(dlc.finfo(dtype).eps) * float(e.detach().abs().max())
            error = np.abs(a.astype("float64").numpy() - e.detach().numpy()).max()
            theirs_error = (r.detach().double() - e.detach()).abs().max().item()
            assert error <= 2 * theirs_error + 2 * unit, (base, spread)


@pytest.mark.parametrize("padding", [None, 2, -1])
def test_embedding_and_its_gradient(padding):
    ours = nn.Embedding(7, 3, padding_idx=padding)
    theirs = torch.nn.Embedding(7, 3, padding_idx=padding)
    if padding is not None:
        assert not ours.weight.numpy()[padding].any()
    table, x, ct = draw(7, 3), RNG.integers(0, 7, (4, 5)), draw(4, 5, 3)
    theirs.load_state_dict({"weight": torch.tensor(table)})
    ours.load_state_dict({"weight": table})
    theirs(torch.tensor(x)).backward(torch.tensor(ct))
    np.testing.assert_array_equal(ours(x).numpy(), table[x])
    gradient = dlc.grad(lambda m: (m(x) * ct).sum())(ours)
    np.testing.assert_allclose(
        gradient.weight.numpy(), theirs.weight.grad.numpy(), rtol=1e-5, atol=1e-6
    )


def test_dense_is_as_keras_defines_it():
    layer = nn.Dense(3, activation="relu", kernel_initializer="he_normal", bias_initializer="ones")
    x = draw(6, 5)
    y = layer(x)
    kernel = layer.kernel.numpy()
    assert kernel.shape == (5, 3)
    assert (layer.bias.numpy() == 1).all()
    np.testing.assert_allclose(y.numpy(), np.maximum(x @ kernel + 1, 0), rtol=1e-5, atol=1e-6)
    bare = nn.Dense(2, use_bias=False)
    np.testing.assert_allclose(bare(x).numpy(), x @ bare.kernel.numpy(), rtol=1e-5, atol=1e-6)
    assert bare.bias is None


def test_first_values_of_linear_are_within_pytorchs_bound():
    dlc.random.seed(0)
    layer = nn.Linear(400, 300)
    bound = 1 / math.sqrt(400)
    for p in (layer.weight, layer.bias):
        values = p.numpy()
        assert 0.95 * bound < np.abs(values).max() <= bound
        assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_dropout_keeps_the_mean_and_follows_its_state():
    layer = nn.Dropout(0.25, seed=7)
    x = np.ones((200, 100), np.float32)
    dropped = layer(x).numpy()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.01)
    state = layer.state_dict()
    compiled = dlc.compile(layer)
    second, third = compiled(x).numpy(), compiled(x).numpy()
    assert (second != third).any()
    layer.load_state_dict(state)
    np.testing.assert_array_equal(layer(x).numpy(), second)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x)
    assert not nn.Dropout(1.0)(x).numpy().any()
    np.testing.assert_array_equal(nn.Dropout(0.0)(x).numpy(), x)


def test_dropout_in_a_gradient_uses_the_same_elements():
    layer = nn.Dropout(0.5, seed=3)
    x = draw(50)
    y, pull = dlc.vjp(layer, x)
    (gradient,) = pull(dlc.ones(50))
    np.testing.assert_array_equal(gradient.numpy() != 0, y.numpy() != 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(0, 3),
        lambda: nn.Dense(-1),
        lambda: nn.Embedding(3, 2, padding_idx=3),
        lambda: nn.Dropout(1.5),
        lambda: nn.LayerNorm(()),
        lambda: nn.GELU("erf"),
        lambda: nn.Dense(3, activation="rely"),
        lambda: nn.Dense(3, kernel_initializer="he_norml"),
        lambda: nn.initializers.variance_scaling(mode="in"),
        lambda: nn.initializers.orthogonal()((3,), dlc.float32),
    ],
)
def test_wrong_settings_are_errors(make):
    with pytest.raises(dlc.ValueRangeError):
        make()


def test_sizes_may_be_integers_of_numpy():
    two = np.prod((1, 2))
    layers = [
        nn.Linear(two, two), nn.Dense(two), nn.LayerNorm(two), nn.GroupNorm(two, two),
        nn.Embedding(two, two), nn.LSTM(two, two), nn.LSTM(units=two), nn.Bilinear(two, two, two),
        nn.Conv2d(two, two, two), nn.Conv2D(two, two), nn.MultiheadAttention(two, two),
        nn.TransformerEncoderLayer(two, two, two), nn.RepeatVector(two), nn.PReLU(two),
    ]  # fmt: skip
    plain = nn.Linear(2, 2)
    assert repr(layers[0]) == repr(plain)
    assert layers[0].weight.shape == plain.weight.shape
    for layer in layers:
        held = {k: v for k, v in vars(layer).items() if isinstance(v, np.generic)}
        assert not held, layer
    assert nn.functional.layer_norm(dlc.ones((1, 2)), two).shape == (1, 2)


def test_wrong_shapes_name_the_layer():
    for layer, x in (
        (nn.Linear(3, 2), draw(4, 2)),
        (nn.LayerNorm((2, 3)), draw(3)),
        (nn.RMSNorm(3), draw(2)),
        (nn.Linear(3, 2), draw()),
    ):
        with pytest.raises(dlc.ShapeError, match=type(layer).__name__):
            layer(x)


VARIANCES = [
    ("glorot_uniform", 2 / 500), ("xavier_normal", 2 / 500), ("he_uniform", 2 / 300),
    ("kaiming_normal", 2 / 300), ("lecun_normal", 1 / 300), ("lecun_uniform", 1 / 300),
    ("normal", 0.05**2), ("truncated_normal", (0.05 * 0.87962566) ** 2), ("uniform", 0.1**2 / 12),
    ("variance_scaling", 1 / 300),
]  # fmt: skip


@pytest.mark.parametrize(("name", "variance"), VARIANCES)
def test_initialisers_have_their_variance(name, variance):
    dlc.random.seed(5)
    values = nn.initializers.get(name)((300, 200), dlc.float32).numpy()
    assert values.mean() == pytest.approx(0, abs=4 * math.sqrt(variance / 60000))
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert nn.initializers.get(nn.initializers.zeros())((2,), dlc.float16).dtype is dlc.float16


def test_initialisers_of_layouts_and_constants():
    init = nn.initializers
    outputs_first = init.he_normal(outputs_first=True)((64, 16, 3, 3), dlc.float64).numpy()
    assert outputs_first.var() == pytest.approx(2 / 144, rel=0.05)
    assert (init.constant(3.0)((2, 2), dlc.float32).numpy() == 3).all()
    assert (init.ones()((2,), dlc.int32).numpy() == 1).all()
    q = init.orthogonal()((3, 4, 5), dlc.float64).numpy().reshape(12, 5)
    np.testing.assert_allclose(q.T @ q, np.eye(5), atol=1e-12)
    wide = init.orthogonal(gain=2.0)((3, 7), dlc.float64).numpy()
    np.testing.assert_allclose(wide @ wide.T, 4 * np.eye(3), atol=1e-12)
    cut = init.truncated_normal(1.0, 0.5)((5000,), dlc.float64).numpy()
    assert np.abs(cut - 1).max() <= 1.0


def test_random_state_is_a_stream():
    a, b = nn.RandomState(seed=1), nn.RandomState(seed=1)
    keys = [a.next().numpy() for _ in range(3)]
    assert len({k.tobytes() for k in keys}) == 3
    np.testing.assert_array_equal(keys[0], b.next().numpy())
    assert nn.RandomState().state_dict()["key"].shape == (2,)
    assert (nn.Activation("relu")(draw(5)).numpy() >= 0).all()


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("shape", [(0, 3, 2, 2), (2, 3, 0, 2)], ids=str)
@pytest.mark.parametrize("kind", ["BatchNorm2d", "InstanceNorm2d"])
def test_an_empty_batch_moves_no_running_values(kind, shape, momentum):
    layer = getattr(nn, kind)(3, momentum=momentum, track_running_stats=True)
    for call in (layer, dlc.compile(layer)):
        call(draw(4, 3, 2, 2))
        call(draw(5, 3, 3, 2))  # extents are open from here on
        before = layer.running_mean.numpy().copy(), layer.running_var.numpy().copy()
        assert call(draw(*shape)).shape == shape
        np.testing.assert_array_equal(layer.running_mean.numpy(), before[0])
        np.testing.assert_array_equal(layer.running_var.numpy(), before[1])


def test_a_single_element_where_extents_are_open():
    """It is not known while tracing, and has no variance with n - 1 in the denominator."""
    layer = nn.InstanceNorm1d(3, track_running_stats=True)
    call = dlc.compile(layer)
    for length in (5, 6, 1):
        call(draw(4, 3, length))
    assert np.isfinite(layer.running_var.numpy()).all()
