"""Recurrent layers against Keras's of the same names, and whose a name is."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import torch

import dlc
from dlc import nn

os.environ["KERAS_BACKEND"] = "torch"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras

layers = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")  # its own use of NumPy
RNG = np.random.default_rng(21)
UNITS, FEATURES, TIME, BATCH = 4, 3, 6, 5
MASK = np.arange(TIME) < np.array([6, 2, 4, 1, 3])[:, None]
HOLES = np.array(MASK)
HOLES[:, 0] = [True, False, True, False, False]


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def given_weights(theirs, ours, x):
    """Random weights, from Keras's layer to ours in the same order."""
    theirs(x)
    ours(x)
    weights = [0.5 * draw(*w.shape) for w in theirs.get_weights()]
    theirs.set_weights(weights)
    names = [n for n, _ in ours.named_parameters()]
    ours.load_state_dict(dict(zip(names, weights, strict=True)), strict=False)
    assert len(names) == len(weights)
    return weights


def arrays(result):
    parts = result if isinstance(result, (list, tuple)) else [result]
    return [np.asarray(p.detach() if isinstance(p, torch.Tensor) else p.numpy()) for p in parts]


def check(got, wanted):
    got, wanted = arrays(got), arrays(wanted)
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


CASES = [
    ("SimpleRNN", {}, None),
    ("SimpleRNN", {"activation": "relu", "use_bias": False, "return_sequences": True}, HOLES),
    ("LSTM", {"return_state": True}, None),
    ("LSTM", {"return_sequences": True, "go_backwards": True, "return_state": True}, MASK),
    ("LSTM", {"activation": "relu", "recurrent_activation": "hard_sigmoid"}, HOLES),
    ("LSTM", {"return_sequences": True, "zero_output_for_mask": True}, HOLES),
    ("GRU", {"return_state": True, "return_sequences": True}, HOLES),
    ("GRU", {"reset_after": False, "go_backwards": True}, MASK),
    ("GRU", {"use_bias": False}, None),
]


@pytest.mark.parametrize(("name", "settings", "mask"), CASES)
def test_values_and_gradients_are_keras(name, settings, mask):
    ours, theirs = getattr(nn, name)(UNITS, **settings), getattr(layers, name)(UNITS, **settings)
    x = draw(BATCH, TIME, FEATURES)
    given_weights(theirs, ours, x)
    held = None if mask is None else torch.tensor(mask)
    state = [draw(BATCH, UNITS) for _ in theirs.cell.state_size] if "LSTM" in name else None
    for first in (None, state):
        wanted = theirs(torch.tensor(x), mask=held, initial_state=first)
        check(ours(x, mask=mask, initial_state=first), wanted)
        check(dlc.compile(ours)(x, mask=mask, initial_state=first), wanted)
    t = torch.tensor(x, requires_grad=True)
    out = theirs(t, mask=held)
    out = out[0] if isinstance(out, (list, tuple)) else out
    ct = draw(*out.shape)
    variables = [v.value for v in theirs.trainable_variables]
    (out * torch.tensor(ct)).sum().backward(inputs=[t, *variables])

    def loss(model, x):
        y = model(x, mask=mask)
        return ((y[0] if isinstance(y, tuple) else y) * ct).sum()

    model, inner = dlc.compile(dlc.grad(loss, argnums=(0, 1)))(ours, x)
    check(dlc.tree.leaves(model), [v.grad for v in variables])
    check(inner, t.grad)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 1), (2, 7)])
@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
def test_all_extents_with_named_ones(name, shape):
    ours, theirs = (getattr(m, name)(UNITS, return_sequences=True) for m in (nn, layers))
    x = draw(*shape, FEATURES)
    given_weights(theirs, ours, x)
    compiled = dlc.compile(ours)
    compiled.warmup(dlc.spec(("b", "t", FEATURES), dlc.float32))
    check(compiled(x), theirs(x))
    assert compiled.stats.compilations == 1
    assert compiled.stats.interpreted_ops == 0


@pytest.mark.parametrize("name", ["SimpleRNNCell", "LSTMCell", "GRUCell"])
def test_cells(name):
    ours, theirs = (getattr(m, name)(UNITS) for m in (nn, layers))
    x, parts = draw(BATCH, FEATURES), 2 if name == "LSTMCell" else 1
    states = [draw(BATCH, UNITS) for _ in range(parts)]
    theirs(x, states)
    ours(x, states)
    weights = [draw(*w.shape) for w in theirs.get_weights()]
    theirs.set_weights(weights)
    names = [n for n, _ in ours.named_parameters()]
    ours.load_state_dict(dict(zip(names, weights, strict=True)))
    (a, after), (b, wanted) = ours(x, states), theirs(x, states)
    check([a, *after], [b, *wanted])
    assert ours.state_size == theirs.state_size
    assert [s.shape for s in ours.get_initial_state(7)] == [(7, UNITS)] * parts


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
def test_both_directions(mode):
    ours = nn.Bidirectional(nn.LSTM(units=UNITS, return_sequences=True), mode)
    theirs = layers.Bidirectional(layers.LSTM(UNITS, return_sequences=True), mode)
    x = draw(BATCH, TIME, FEATURES)
    given_weights(theirs, ours, x)
    for mask in (None, MASK):
        held = None if mask is None else torch.tensor(mask)
        check(ours(x, mask=mask), theirs(x, mask=held))
        check(dlc.compile(ours)(x, mask=mask), theirs(x, mask=held))


def test_both_directions_with_states():
    ours = nn.Bidirectional(nn.GRU(UNITS, return_state=True))
    theirs = layers.Bidirectional(layers.GRU(UNITS, return_state=True))
    x, states = draw(BATCH, TIME, FEATURES), [draw(BATCH, UNITS) for _ in range(2)]
    given_weights(theirs, ours, x)
    check(ours(x, initial_state=states), theirs(x, initial_state=states))
    assert ours.compute_mask(x, MASK) is None


def test_cells_on_top_of_each_other_and_cells_of_ones_own():
    ours = nn.RNN([nn.LSTMCell(UNITS), nn.GRUCell(2)], return_sequences=True, return_state=True)
    theirs = layers.RNN(
        [layers.LSTMCell(UNITS), layers.GRUCell(2)], return_sequences=True, return_state=True
    )
    x = draw(BATCH, TIME, FEATURES)
    given_weights(theirs, ours, x)
    got, wanted = ours(x), theirs(torch.tensor(x))
    check(got[0], wanted[0])
    check(got[1], wanted[1])
    check(got[2], wanted[2])
    check(ours(x, mask=HOLES)[0], theirs(torch.tensor(x), mask=torch.tensor(HOLES))[0])

    class Decay(nn.Module):
        """The output is not a part of the state."""

        state_size, output_size = 2, 3

        def __init__(self):
            self.dense = nn.Dense(2)

        def call(self, x, states):
            h = 0.5 * states[0] + self.dense(x)
            return dlc.concatenate([h, h[:, :1]], axis=-1), [h]

    layer = nn.RNN(Decay(), return_sequences=True)
    y = dlc.compile(layer)(x).numpy()
    kernel, h = layer.cell.dense.kernel.numpy(), np.zeros((BATCH, 2))
    for t in range(TIME):
        h = 0.5 * h + x[:, t] @ kernel
        np.testing.assert_allclose(y[:, t, :2], h, rtol=1e-4, atol=1e-5)
    assert y.shape == (BATCH, TIME, 3)


def test_states_that_are_kept():
    ours, theirs = (m.LSTM(UNITS, stateful=True) for m in (nn, layers))
    x = draw(BATCH, TIME, FEATURES)
    given_weights(theirs, ours, x)
    theirs.reset_states()
    ours.reset_states()
    compiled = dlc.compile(ours)
    for _ in range(3):
        check(compiled(x), theirs(x))
    assert len(ours.states) == 2
    ours.reset_states()
    theirs.reset_states()
    check(ours(x), theirs(x))
    both = nn.Bidirectional(nn.GRU(UNITS, stateful=True))
    first = both(x).numpy()
    assert (both(x).numpy() != first).any()
    both.reset_states()
    np.testing.assert_array_equal(both(x).numpy(), first)


def test_a_layer_of_each_step():
    ours, theirs = (m.TimeDistributed(m.Dense(2)) for m in (nn, layers))
    x = draw(BATCH, TIME, FEATURES)
    given_weights(theirs, ours, x)
    check(ours(x), theirs(x))
    with pytest.raises(dlc.ShapeError, match="TimeDistributed"):
        ours(x[0])


def test_masks_go_through_a_sequential():
    x = draw(BATCH, TIME, FEATURES)
    x[~MASK] = 7.0
    ours = nn.Sequential(
        nn.Masking(7.0), nn.Dense(3), nn.Bidirectional(nn.GRU(UNITS, return_sequences=True)),
        nn.LSTM(units=2), nn.Dense(1),
    )  # fmt: skip
    theirs = keras.Sequential([
        layers.Masking(7.0), layers.Dense(3),
        layers.Bidirectional(layers.GRU(UNITS, return_sequences=True)), layers.LSTM(2),
        layers.Dense(1),
    ])  # fmt: skip
    given_weights(theirs, ours, x)
    check(ours(x), theirs(x))
    check(dlc.compile(ours)(x), theirs(x))
    nested = nn.Sequential(nn.Sequential(ours[0], ours[1]), ours[2:])
    check(nested(x), theirs(x))
    assert ours.compute_mask(x) is None
    np.testing.assert_array_equal(ours[0].compute_mask(x).numpy(), MASK)


def test_dropout_is_the_same_at_all_steps():
    dlc.random.seed(3)
    layer = nn.SimpleRNN(
        30, "linear", dropout=0.5, kernel_initializer="ones", recurrent_initializer="zeros",
        return_sequences=True,
    )  # fmt: skip
    y = layer(np.ones((2, 4, 40), np.float32)).numpy()
    assert (y == y[:, :1]).all()
    assert (y[0] != y[1]).any()
    assert (layer.eval()(np.ones((2, 4, 40), np.float32)).numpy() == 40).all()
    held = nn.SimpleRNN(
        30, "linear", recurrent_dropout=0.5, kernel_initializer="ones",
        recurrent_initializer="ones", return_sequences=True,
    )  # fmt: skip
    y = held(np.ones((1, 3, 1), np.float32)).numpy()
    kept = y[0, 1, 0] - 1  # twice the number of elements that are kept
    assert 10 < kept < 50
    np.testing.assert_allclose(y[0, 2], 1 + kept * y[0, 1, 0])


def test_whose_a_name_is():
    for name in ("LSTM", "GRU", "LSTMCell", "GRUCell"):
        make = getattr(nn, name)
        for ours in (make(3, 4), make(3, hidden_size=4), make(input_size=3, hidden_size=4)):
            assert type(ours) is make
            assert hasattr(ours, "hidden_size")
        for theirs in (make(4), make(units=4), make(4, activation="relu"), make(4, "relu")):
            assert type(theirs) is not make
            assert type(theirs).__name__ == name
            assert not hasattr(theirs, "hidden_size")
    assert type(nn.RNN(3, 4)) is nn.RNN
    assert type(nn.RNN(nn.GRUCell(4))) is not nn.RNN

    class Own(nn.LSTM):
        def __init__(self, size):
            super().__init__(size, size)

    assert Own(3)(draw(2, 1, 3))[0].shape == (2, 1, 3)


def test_first_values_are_keras():
    layer = nn.LSTM(units=30)
    layer(draw(1, 2, 20))
    cell = layer.cell
    np.testing.assert_array_equal(cell.bias.numpy(), np.repeat([0, 1, 0, 0], 30).astype(np.float32))
    q = cell.recurrent_kernel.numpy()
    np.testing.assert_allclose(q @ q.T, np.eye(30), atol=1e-5)
    assert np.abs(cell.kernel.numpy()).max() <= np.sqrt(6 / 140)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: nn.LSTM(units=0), dlc.ValueRangeError),
        (lambda: nn.GRU(4, dropout=1.0), dlc.ValueRangeError),
        (lambda: nn.GRU(4, activation="tahn"), dlc.ValueRangeError),
        (lambda: nn.RNN("lstm"), dlc.ArgumentError),
        (lambda: nn.LSTM(4)(draw(2, 3)), dlc.ShapeError),
        (lambda: nn.LSTM(4)(draw(2, 3, 5), initial_state=[draw(2, 4)]), dlc.ArgumentError),
        (lambda: nn.GRU(4)(draw(2, 3, 5), initial_state=draw(2, 3)), dlc.ShapeError),
        (lambda: nn.Bidirectional(nn.Dense(3)), dlc.ArgumentError),
        (lambda: nn.Bidirectional(nn.GRU(3), "cat"), dlc.ValueRangeError),
        (lambda: nn.Bidirectional(nn.GRU(3), backward_layer=nn.GRU(3)), dlc.ArgumentError),
        (lambda: nn.GRU(4, dropout=-0.1), dlc.ValueRangeError),
    ],
)
def test_what_does_not_fit_is_an_error(make, error):
    with pytest.raises(error):
        make()


def test_both_directions_of_a_layer_that_was_called_is_an_error():
    layer = nn.GRU(3)
    layer(draw(2, 3, 4))
    with pytest.raises(dlc.ArgumentError, match="called before"):
        nn.Bidirectional(layer)


def own_cell(base, matmul):
    """A cell as in Keras's guide, whose `build` knows of the input alone."""

    class Minimal(base):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = self.state_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
            self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent")
            super().build(input_shape)
            self.built = True

        def call(self, inputs, states):
            result = matmul(inputs, self.kernel) + matmul(states[0], self.recurrent)
            return result, [result]

    return Minimal


def test_a_cell_of_your_own_as_keras_has_it():
    cells = own_cell(nn.Layer, dlc.matmul), own_cell(layers.Layer, keras.ops.matmul)
    x = draw(BATCH, TIME, FEATURES)
    mine, theirs = nn.RNN(cells[0](UNITS)), layers.RNN(cells[1](UNITS))
    wanted = theirs(x)
    assert not mine.cell.built
    mine(x)
    assert mine.cell.built
    for name in ("kernel", "recurrent"):
        getattr(mine.cell, name).assign(getattr(theirs.cell, name).numpy())
    np.testing.assert_allclose(mine(x), wanted.detach(), rtol=1e-4, atol=1e-6)
    assert [t.shape for t in nn.RNN([cells[0](4), cells[0](3)], return_state=True)(x)] == [
        (BATCH, 3), (BATCH, 4), (BATCH, 3),
    ]  # fmt: skip


def test_build_gets_the_shapes_that_it_takes():
    seen = []

    class One(nn.Layer):
        def build(self, input_shape):
            seen.append(input_shape)

        def call(self, x, y):
            return x + y

    class Both(One):
        def build(self, x_shape, y_shape):
            seen.append((x_shape, y_shape))

    for layer in One, Both:
        layer()(draw(2, 3), draw(3))
    assert seen == [(2, 3), ((2, 3), (3,))]


CONVOLUTIONAL = [
    (1, 3, {"padding": "same", "return_sequences": True, "strides": 2}, True),
    (2, 3, {"dilation_rate": 2, "go_backwards": True, "use_bias": False}, False),
    (2, (3, 2), {"data_format": "channels_first", "padding": "same", "return_state": True}, True),
    (3, 2, {"return_sequences": True, "recurrent_activation": "hard_sigmoid"}, False),
]


@pytest.mark.parametrize(("rank", "window", "settings", "masked"), CONVOLUTIONAL)
def test_convolutional_memory(rank, window, settings, masked):
    theirs = getattr(layers, f"ConvLSTM{rank}D")(UNITS, window, **settings)
    ours = getattr(nn, f"ConvLSTM{rank}D")(UNITS, window, **settings)
    x = draw(BATCH, TIME, *(7, 6, 5)[:rank], FEATURES)
    x = np.moveaxis(x, -1, 2).copy() if "data_format" in settings else x
    given_weights(theirs, ours, x)
    mask = {"mask": HOLES} if masked else {}
    wanted = theirs(x, **{k: torch.from_numpy(v) for k, v in mask.items()})
    check(ours(x, **mask), wanted)
    check(dlc.compile(ours)(x, **mask), wanted)
    sum(
        p.square().sum() for p in (wanted if isinstance(wanted, (list, tuple)) else [wanted])
    ).backward()
    gradient = dlc.grad(lambda m: sum((p * p).sum() for p in dlc.tree.leaves(m(x, **mask))))(ours)
    for g, w in zip(dlc.tree.leaves(gradient), theirs.trainable_weights, strict=True):
        np.testing.assert_allclose(g.numpy(), w.value.grad.numpy(), rtol=2e-4, atol=2e-5)


def test_dropout_of_convolutional_memory():
    """Each gate has a mask of its own, the same at all steps."""
    layer = nn.ConvLSTM1D(
        2, 1, padding="same", dropout=0.5, return_sequences=True, kernel_initializer="ones",
        recurrent_initializer="zeros", activation="linear", recurrent_activation="linear", seed=3,
    )  # fmt: skip
    x = np.ones((1, 4, 50, 1), np.float32)
    cell = layer.cell
    layer(x)
    rows = cell.rows(dlc.asarray(np.moveaxis(x, 1, 0))).numpy()
    assert set(np.unique(rows)) == {0.0, 1.0, 2.0, 3.0}  # the bias of one gate is 1
    np.testing.assert_array_equal(rows[0], rows[3])
    gates = np.split(rows[0, 0], 4, axis=-1)
    assert not np.array_equal(gates[0], gates[2])
    layer.eval()
    assert set(np.unique(cell.rows(dlc.asarray(x)).numpy())) == {1.0, 2.0}


def test_wrong_convolutional_memory():
    with pytest.raises(dlc.ShapeError, match="it takes 5 axes"):
        nn.ConvLSTM2D(4, 3)(draw(2, 8, 8, 1))
    with pytest.raises(dlc.ArgumentError, match="strides and dilation_rate"):
        nn.ConvLSTM2D(4, 3, strides=2, dilation_rate=2)
