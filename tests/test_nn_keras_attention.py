"""Attention and products of any axes against Keras's; positions by their definitions."""

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
RNG = np.random.default_rng(8)
B, T, S = 3, 4, 6
PADDING = np.arange(S) < np.array([6, 2, 4])[:, None]
ALLOWED = RNG.random((B, T, S)) < 0.6
ALLOWED[:, :, 0] = True


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def given_weights(ours, theirs, *xs):
    """Random weights in both; Keras's are in the same order."""
    theirs(*xs)
    ours(*xs)
    weights = [0.5 * draw(*w.shape) for w in theirs.get_weights()]
    theirs.set_weights(weights)
    names = [n for n, _ in ours.named_parameters()]
    ours.load_state_dict(dict(zip(names, weights, strict=True)), strict=False)
    paths = ["/".join(w.path.split("/")[1:]) for w in theirs.weights]
    assert [n.replace(".", "/") for n in names] == paths


def check(got, wanted):
    for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (got, wanted)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=2e-5, atol=2e-6)


SCORES = [
    ("Attention", {}),
    ("Attention", {"use_scale": True}),
    ("Attention", {"score_mode": "concat", "use_scale": True}),
    ("AdditiveAttention", {}),
    ("AdditiveAttention", {"use_scale": False}),
]
QUERIES = np.arange(T) < np.array([4, 1, 3])[:, None]


@pytest.mark.parametrize(("name", "settings"), SCORES)
def test_attention_by_scores_is_keras(name, settings):
    ours, theirs = getattr(nn, name)(**settings), getattr(layers, name)(**settings)
    q, v, k = draw(B, T, 8), draw(B, S, 5), draw(B, S, 8)
    given_weights(ours, theirs, [q, v, k])
    causal = dlc.compile(lambda x: ours(x, use_causal_mask=True))
    for given in ([q, v, k], [q, k]):
        for masks in ({}, {"mask": [QUERIES, PADDING]}, {"mask": [None, PADDING]},
                      {"use_causal_mask": True}):  # fmt: skip
            torches = {n: [None if x is None else torch.tensor(x) for x in m] if n == "mask" else m
                       for n, m in masks.items()}  # fmt: skip
            wanted = theirs([torch.tensor(x) for x in given], **torches)
            check(ours(given, **masks), wanted)
            both = theirs(given, return_attention_scores=True, **torches)
            check(ours(given, return_attention_scores=True, **masks), both)
        check(causal(given), wanted)


def test_attention_by_scores_without_keys_and_in_a_graph():
    q, v = draw(B, T, 8), draw(B, S, 8)
    nothing = np.zeros((B, S), bool)
    assert not nn.Attention()([q, v], mask=[None, nothing]).numpy().any()
    a, b = nn.Input((T, 8)), nn.Input((S, 8))
    model = nn.Model([a, b], nn.AdditiveAttention(dropout=0.5, seed=1)([a, b]))
    assert not np.allclose(model([q, v]), model([q, v]))
    np.testing.assert_allclose(model.eval()([q, v]), model([q, v]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Attention()(draw(2, 3, 4)), "a list of query"),
        (lambda: nn.Attention()([draw(2, 3, 4), draw(2, 5, 3)]), "without a key, it is the value"),
        (lambda: nn.Attention()([draw(2, 3, 4)] * 2, mask=PADDING), "masks as a list"),
        (lambda: nn.Attention(score_mode="product"), "score_mode"),
    ],
)
def test_wrong_use_of_attention_by_scores(call, message):
    with pytest.raises(dlc.DlcError, match=message):
        call()


CASES = [
    ({}, {}),
    ({"value_dim": 5, "use_bias": False}, {"attention_mask": ALLOWED}),
    ({"output_shape": 7}, {"value_mask": PADDING, "attention_mask": ALLOWED}),
    ({"output_shape": (2, 3)}, {"key_mask": PADDING}),
    ({}, {"use_causal_mask": True, "value_mask": PADDING}),
]


@pytest.mark.parametrize(("settings", "masks"), CASES)
def test_attention_of_several_heads_is_keras(settings, masks):
    ours, theirs = (m.MultiHeadAttention(num_heads=2, key_dim=3, **settings) for m in (nn, layers))
    q, v, k = draw(B, T, 8), draw(B, S, 6), draw(B, S, 5)
    given_weights(ours, theirs, q, v, k)
    held = {n: torch.tensor(m) if isinstance(m, np.ndarray) else m for n, m in masks.items()}
    t = torch.tensor(q, requires_grad=True)
    wanted = theirs(t, torch.tensor(v), torch.tensor(k), return_attention_scores=True, **held)
    flags = ("return_attention_scores", "use_causal_mask")
    for call in (ours, dlc.compile(ours, static_argnames=flags)):
        check(call(q, v, k, return_attention_scores=True, **masks), wanted)
        check(call(q, v, k, **masks), wanted[0])
    ct = draw(*wanted[0].shape)
    variables = [w.value for w in theirs.trainable_variables]
    (wanted[0] * torch.tensor(ct)).sum().backward(inputs=[t, *variables])

    def loss(model, q):
        return (model(q, v, k, **masks) * ct).sum()

    model, inner = dlc.compile(dlc.grad(loss, argnums=(0, 1)))(ours, q)
    np.testing.assert_allclose(inner.numpy(), t.grad.numpy(), rtol=1e-4, atol=1e-5)
    for a, b in zip(dlc.tree.leaves(model), variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2), -2])
def test_attention_along_some_axes(axes):
    ours, theirs = (
        m.MultiHeadAttention(2, 3, attention_axes=axes if m is nn or axes != -2 else (2,))
        for m in (nn, layers)
    )
    x = draw(B, 4, 5, 6)
    given_weights(ours, theirs, x, x)
    check(ours(x, x), theirs(x, x))
    if axes == (1,):
        got, wanted = (layer(x, x, return_attention_scores=True)[1] for layer in (ours, theirs))
        check(got, wanted)


def test_attention_in_training_drops_weights_and_batches_have_names():
    dlc.random.seed(0)
    layer, x = nn.MultiHeadAttention(2, 8, dropout=0.5), draw(4, 20, 6)
    _, weights = layer(x, x, return_attention_scores=True)
    assert (weights.numpy() == 0).mean() == pytest.approx(0.5, abs=0.05)
    layer.eval()
    compiled = dlc.compile(layer)
    compiled.warmup(*[dlc.spec(("b", "t", 6), dlc.float32)] * 2)
    for shape in ((1, 1, 6), (3, 7, 6)):
        x = draw(*shape)
        np.testing.assert_allclose(
            compiled(x, x).numpy(), layer(x, x).numpy(), rtol=1e-4, atol=1e-6
        )
    assert compiled.stats.compilations == 1
    nothing = np.zeros((4, 1, 20), bool)
    x = draw(4, 20, 6)
    alone = layer(x, x, attention_mask=nothing).numpy()
    np.testing.assert_array_equal(
        alone, np.broadcast_to(layer.attention_output.bias.numpy(), alone.shape)
    )


EINSUMS = [
    ("ab,bc->ac", 5, "c", (3, 4)),
    ("abc,cd->abd", (None, 5), "d", (3, 4, 6)),
    ("abc,cde->abde", (None, 2, 5), "de", (3, 4, 6)),
    ("abcd,cde->abe", (None, 5), "e", (3, 4, 2, 6)),
    ("...x,xy->...y", 5, "y", (3, 4, 6)),
    ("ab...,bc->ac...", 5, "c", (3, 4, 6)),
    ("abc,ad->abd", (None, 5), None, (3, 4, 6)),
]


@pytest.mark.parametrize(("equation", "shape", "axes", "inputs"), EINSUMS)
def test_products_of_any_axes(equation, shape, axes, inputs):
    common = {"bias_axes": axes, "activation": "tanh"}
    ours, theirs = (m.EinsumDense(equation, shape, **common) for m in (nn, layers))
    x = draw(*inputs)
    given_weights(ours, theirs, x)
    check(ours(x), theirs(x))


def test_positions():
    x = draw(2, 5, 6)
    table = nn.PositionEmbedding(9)
    rows = table(x)
    held = table.position_embeddings.numpy()
    np.testing.assert_array_equal(rows.numpy(), np.broadcast_to(held[:5], x.shape))
    np.testing.assert_array_equal(table(x, start_index=3).numpy()[1], held[3:8])
    np.testing.assert_array_equal(dlc.compile(table)(x, np.int64(2)).numpy()[0], held[2:7])
    with pytest.raises(dlc.ShapeError, match="9 rows"):
        table(x, start_index=5)

    places = np.arange(5)[:, None] + 2
    angles = places / 100.0 ** (np.arange(0, 6, 2) / 6)
    wanted = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(5, 6)
    encoded = nn.SinePositionEncoding(100.0)(x, start_index=2).numpy()
    np.testing.assert_allclose(encoded, np.broadcast_to(wanted, x.shape), rtol=1e-5, atol=1e-6)

    z = (x[..., :3] + 1j * x[..., 3:]) * np.exp(1j * angles / 2)
    turned = nn.RotaryEmbedding(100.0, scaling_factor=2.0)(x, start_index=2).numpy()
    np.testing.assert_allclose(turned, np.concatenate([z.real, z.imag], -1), rtol=1e-4, atol=1e-5)
    other = nn.RotaryEmbedding(100.0, 2.0, sequence_axis=2, feature_axis=1)
    moved = dlc.compile(other)(np.moveaxis(x, -1, 1), np.float32(2)).numpy()
    np.testing.assert_allclose(np.moveaxis(moved, 1, -1), turned, rtol=1e-5, atol=1e-6)


def test_padding_is_masked_by_an_embedding():
    ours = nn.Sequential(nn.Embedding(input_dim=7, output_dim=3, mask_zero=True), nn.LSTM(units=4))
    theirs = keras.Sequential([layers.Embedding(7, 3, mask_zero=True), layers.LSTM(4)])
    x = np.array([[1, 2, 3, 0], [4, 0, 0, 0]])
    theirs(x)
    ours(x)
    for p, w in zip(ours.parameters(), theirs.get_weights(), strict=True):
        p.assign(w)
    check(ours(x), theirs(x))
    check(dlc.compile(ours)(x), theirs(x))


def test_layers_have_names_and_freeze():
    layer = nn.LSTM(units=3, name="memory", trainable=False)
    layer(draw(2, 4, 3))
    assert layer.name == "memory"
    assert not layer.trainable


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: nn.MultiHeadAttention(0, 3), dlc.ValueRangeError),
        (
            lambda: nn.MultiHeadAttention(2, 3, attention_axes=2)(*[draw(2, 3, 4)] * 2),
            dlc.ShapeError,
        ),
        (lambda: nn.EinsumDense("abc,cd", 3), dlc.ValueRangeError),
        (lambda: nn.EinsumDense("ab,bc->ac", (3, 4)), dlc.ValueRangeError),
        (lambda: nn.EinsumDense("ab,bc->ac", 3, bias_axes="x"), dlc.ValueRangeError),
        (lambda: nn.EinsumDense("ab,bc->ac", 3)(draw(2, 3, 4)), dlc.ShapeError),
        (lambda: nn.RotaryEmbedding()(draw(2, 3, 5)), dlc.ShapeError),
        (lambda: nn.RotaryEmbedding(0), dlc.ValueRangeError),
        (lambda: nn.LSTM(4, nmae="x"), dlc.ArgumentError),
    ],
)
def test_what_does_not_fit_is_an_error(make, error):
    with pytest.raises(error):
        make()
