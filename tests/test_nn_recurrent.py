"""Recurrent layers against PyTorch's of the same names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dlc
from dlc import nn

RNG = np.random.default_rng(11)

LAYERS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 3, "bias": False}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"proj_size": 2, "bidirectional": True, "num_layers": 2}),
    ("GRU", {}),
    ("GRU", {"num_layers": 2, "bidirectional": True, "bias": False}),
]
SHAPES = [(7, 3), (1, 1), (3, 1), (1, 4)]  # time, batch
IDS = [f"{n}{list(s)}" for n, s in LAYERS]


def draw(*shape):
    return RNG.standard_normal(shape)


def pair(name, settings, inputs=3, hidden=5):
    """The same layer twice, of doubles; the state goes from dlc to PyTorch."""
    ours = getattr(nn, name)(inputs, hidden, dtype=dlc.float64, **settings)
    theirs = getattr(torch.nn, name)(inputs, hidden, dtype=torch.float64, **settings)
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in state.items()})
    return ours, theirs


def flat(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def given(settings, time, batch):
    x = draw(time, batch, 3)
    return np.swapaxes(x, 0, 1).copy() if settings.get("batch_first") else x


def first_state(theirs, batch):
    """A state of the form that PyTorch's layer returns."""
    shape = (1, batch, 3) if theirs.batch_first is False else (batch, 1, 3)
    found = flat(theirs(torch.zeros(shape, dtype=torch.float64)))[1:]
    return [draw(*s.shape) for s in found]


@pytest.mark.parametrize(("name", "settings"), LAYERS, ids=IDS)
def test_values_and_gradients_are_pytorchs(name, settings):
    ours, theirs = pair(name, settings)
    x = given(settings, 7, 3)
    state = first_state(theirs, 3)
    xt = torch.tensor(x, requires_grad=True)
    states = [torch.tensor(s, requires_grad=True) for s in state]
    wanted = flat(theirs(xt, tuple(states) if len(states) > 1 else states[0]))
    weights = [draw(*w.shape) for w in wanted]
    loss = sum((w * torch.tensor(c)).sum() for w, c in zip(wanted, weights, strict=True))
    loss.backward()

    def results(model, x, *state):
        return flat(model(x, state if len(state) > 1 else state[0]))

    def total(model, x, *state):
        return sum((r * c).sum() for r, c in zip(results(model, x, *state), weights, strict=True))

    for got, want in zip(dlc.compile(results)(ours, x, *state), wanted, strict=True):
        np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-13)
    places = tuple(range(2 + len(state)))
    model, *rest = dlc.compile(dlc.grad(total, argnums=places))(ours, x, *state)
    for p, q in zip(dlc.tree.leaves(model), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.grad.numpy(), rtol=1e-10, atol=1e-11)
    for p, q in zip(rest, [xt, *states], strict=True):
        np.testing.assert_allclose(p.numpy(), q.grad.numpy(), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("time", "batch"), SHAPES)
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_all_extents_eager_and_with_named_extents(name, time, batch):
    ours, theirs = pair(name, {"bidirectional": True})
    x = draw(time, batch, 3)
    wanted = [w.detach().numpy() for w in flat(theirs(torch.tensor(x)))]
    compiled = dlc.compile(ours)
    compiled.warmup(dlc.spec(("t", "b", 3), dlc.float64))
    for call in (ours, compiled):
        for got, want in zip(flat(call(x)), wanted, strict=True):
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-13)
    assert compiled.stats.compilations == 1
    assert compiled.stats.interpreted_ops == 0


@pytest.mark.parametrize(("name", "settings"), [LAYERS[1], LAYERS[4], LAYERS[7]])
def test_lengths_are_pytorchs_packed_sequences(name, settings):
    ours, theirs = pair(name, settings)
    x, lengths = given(settings, 6, 4), np.array([4, 6, 1, 3])
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(x), torch.tensor(lengths), theirs.batch_first, enforce_sorted=False
    )
    output, state = theirs(packed)
    unpacked, _ = torch.nn.utils.rnn.pad_packed_sequence(output, theirs.batch_first)
    for call in (ours, dlc.compile(ours)):
        for got, want in zip(flat(call(x, lengths=lengths)), flat((unpacked, state)), strict=True):
            np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_one_sequence_without_a_batch(name):
    ours, theirs = pair(name, {"batch_first": True})
    x = draw(5, 3)
    state = [draw(1, 5) for _ in range(2 if name == "LSTM" else 1)]
    ts = tuple(torch.tensor(s) for s in state)
    wanted = flat(theirs(torch.tensor(x), ts if len(ts) > 1 else ts[0]))
    got = flat(ours(x, tuple(state) if len(state) > 1 else state[0]))
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells_are_pytorchs(name, bias):
    ours, theirs = pair(name, {"bias": bias})
    x, state = draw(4, 3), [draw(4, 5) for _ in range(2 if name == "LSTMCell" else 1)]
    ts = tuple(torch.tensor(s) for s in state)
    for mine, yours in (
        (ours(x), theirs(torch.tensor(x))),
        (
            dlc.compile(ours)(x, tuple(state) if len(state) > 1 else state[0]),
            theirs(torch.tensor(x), ts if len(ts) > 1 else ts[0]),
        ),
        (ours(x[0]), theirs(torch.tensor(x[0]))),
    ):
        for a, b in zip(flat((x, mine))[1:], flat((x, yours))[1:], strict=True):
            np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-13)


def test_relu_cell_and_float32():
    ours, theirs = nn.RNNCell(3, 5, nonlinearity="relu"), torch.nn.RNNCell(3, 5, True, "relu")
    ours.load_state_dict(theirs.state_dict())
    x = draw(4, 3).astype(np.float32)
    np.testing.assert_allclose(
        ours(x).numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_types_of_inputs_states_and_parameters_are_promoted(kind):
    dlc.random.seed(0)
    layer = kind(3, 4)
    x = np.linspace(-1, 1, 30).reshape(5, 2, 3)
    wanted = layer.double()(x)[0]
    for given, parameters, result in (("f32", "f64", "f64"), ("f16", "f32", "f32")):
        got = layer.to(parameters)(dlc.asarray(x).astype(given))[0]
        assert got.dtype == dlc.spec((), result).dtype
        assert np.allclose(got.numpy(), wanted.numpy(), atol=1e-3)
    state = dlc.zeros((1, 2, 4))
    first = (state.astype("f64"), state) if kind is nn.LSTM else state.astype("f64")
    assert layer(x.astype(np.float32), first)[0].dtype is dlc.float64


def test_dropout_between_layers_acts_in_training_only():
    dlc.random.seed(1)
    layer = nn.LSTM(3, 64, num_layers=2, dropout=0.5, dtype=dlc.float64)
    x = draw(4, 2, 3)
    compiled = dlc.compile(layer)
    first, second = compiled(x)[0].numpy(), compiled(x)[0].numpy()
    assert (first != second).any()
    layer.eval()
    np.testing.assert_array_equal(compiled(x)[0].numpy(), compiled(x)[0].numpy())
    whole = nn.LSTM(3, 64, num_layers=2, dtype=dlc.float64)
    whole.load_state_dict({k: v for k, v in layer.state_dict().items() if "_l" in k})
    np.testing.assert_array_equal(whole(x)[0].numpy(), compiled(x)[0].numpy())
    layer.train().between.p = 1.0
    whole.load_state_dict({**whole.state_dict(), "weight_ih_l1": np.zeros((256, 64))})
    np.testing.assert_allclose(layer(x)[0].numpy(), whole(x)[0].numpy(), rtol=1e-12)


def test_first_values_are_within_pytorchs_bound():
    dlc.random.seed(0)
    for p in nn.GRU(30, 25).parameters():
        assert 0.8 / 5 < np.abs(p.numpy()).max() <= 1 / 5


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: nn.LSTM(0, 3), dlc.ValueRangeError),
        (lambda: nn.LSTM(2, 3, proj_size=3), dlc.ValueRangeError),
        (lambda: nn.RNN(2, 3, nonlinearity="tanhh"), dlc.ValueRangeError),
        (lambda: nn.GRU(2, 3, dropout=2.0), dlc.ValueRangeError),
        (lambda: nn.LSTM(2, 3)(draw(4, 5, 3)), dlc.ShapeError),
        (lambda: nn.LSTM(2, 3)(draw(4, 5, 1, 2)), dlc.ShapeError),
        (lambda: nn.GRU(3, 4)(draw(4, 5, 3), draw(1, 4, 4)), dlc.ShapeError),
        (lambda: nn.LSTM(3, 4)(draw(4, 5, 3), (draw(1, 5, 4),)), dlc.ArgumentError),
        (lambda: nn.GRU(3, 4)(draw(4, 5, 3), lengths=np.ones(5)), dlc.ShapeError),
        (lambda: nn.GRU(3, 4)(draw(4, 5, 3), lengths=np.ones(4, int)), dlc.ShapeError),
        (lambda: nn.GRUCell(3, 4)(draw(4, 3), draw(4, 3)), dlc.ShapeError),
        (lambda: nn.GRUCell(3, 4)(np.ones((4, 3), int)), dlc.DTypeError),
    ],
)
def test_what_does_not_fit_is_an_error(make, error):
    with pytest.raises(error):
        make()
