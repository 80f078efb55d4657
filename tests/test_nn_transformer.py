"""Attention and transformer layers against PyTorch's of the same names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dlc
from dlc import nn

RNG = np.random.default_rng(5)
T, S, B, E, H = 5, 7, 3, 8, 2


def draw(*shape):
    return RNG.standard_normal(shape)


def same_state(ours, theirs):
    """The names of both are the same; the state of the first goes to the second, with noise."""
    state = {k: v.numpy() for k, v in ours.state_dict(random=False).items()}
    assert set(state) == set(theirs.state_dict())
    state = {k: v + 0.3 * draw(*v.shape) for k, v in state.items()}
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    ours.load_state_dict(theirs.state_dict())


def check(got, wanted, rtol=1e-11):
    assert (got is None) == (wanted is None)
    if got is not None:
        np.testing.assert_allclose(got.numpy(), wanted.detach().numpy(), rtol=rtol, atol=1e-12)


ATTENTIONS = [
    {},
    {"bias": False, "batch_first": True},
    {"kdim": 6, "vdim": 4},
    {"add_bias_kv": True, "add_zero_attn": True},
    {"kdim": 6, "vdim": 4, "add_bias_kv": True, "batch_first": True, "bias": False},
]
UPPER = np.triu(np.ones((T, S), bool), 3)
PADDING = np.arange(S) >= np.array([7, 4, 5])[:, None]
MASKS = [
    {},
    {"attn_mask": UPPER},
    {"key_padding_mask": PADDING},
    {"attn_mask": UPPER, "key_padding_mask": PADDING},
    {
        "attn_mask": RNG.standard_normal((B * H, T, S)),
        "key_padding_mask": np.where(PADDING, -9.0, 0),
    },
    {"attn_mask": draw(T, S), "key_padding_mask": PADDING},
]


def call_theirs(layer, xs, masks, **more):
    held = {k: torch.tensor(v) for k, v in masks.items()}
    if len({m.dtype for m in held.values()}) > 1:  # PyTorch wants one kind
        lowest = torch.tensor(-torch.inf, dtype=torch.float64)
        held = {
            k: torch.where(m, lowest, 0.0) if m.dtype is torch.bool else m for k, m in held.items()
        }
    return layer(*xs, **held, **more)


@pytest.mark.parametrize(
    ("settings", "masks"),
    [*zip(ATTENTIONS, MASKS[3:] + MASKS, strict=False), *((ATTENTIONS[-1], m) for m in MASKS)],
)
def test_attention_of_several_heads_is_pytorchs(settings, masks):
    ours = nn.MultiheadAttention(E, H, dtype=dlc.float64, **settings)
    theirs = torch.nn.MultiheadAttention(E, H, dtype=torch.float64, **settings)
    same_state(ours, theirs)
    xs = [draw(T, B, E), draw(S, B, settings.get("kdim", E)), draw(S, B, settings.get("vdim", E))]
    if settings.get("batch_first"):
        xs = [np.swapaxes(x, 0, 1).copy() for x in xs]
    ts = [torch.tensor(x, requires_grad=True) for x in xs]
    average = not settings.get("bias", True)
    wanted, weights = call_theirs(theirs, ts, masks, average_attn_weights=average)
    ct, cw = draw(*wanted.shape), draw(*weights.shape)
    ((wanted * torch.tensor(ct)).sum() + (weights * torch.tensor(cw)).sum()).backward()

    def loss(model, *xs):
        y, w = model(*xs, **masks, average_attn_weights=average)
        return (y * ct).sum() + (w * cw).sum(), (y, w)

    gradient = dlc.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)
    (_, (y, w)), (model, *inputs) = dlc.compile(gradient)(ours, *xs)
    check(y, wanted)
    check(w, weights)
    for p, (_, q) in zip(dlc.tree.leaves(model), ours.named_parameters(), strict=True):
        assert p.shape == q.shape
    named = dict(theirs.named_parameters())
    for (name, _), p in zip(ours.named_parameters(), dlc.tree.leaves(model), strict=True):
        check(p, named[name].grad, 1e-9)
    for p, t in zip(inputs, ts, strict=True):
        check(p, t.grad, 1e-9)
    alone, none = ours(*xs, **masks, need_weights=False)
    assert none is None
    check(alone, wanted)


def test_attention_to_itself_causal_and_without_a_batch():
    ours = nn.MultiheadAttention(E, H, dtype=dlc.float64)
    theirs = torch.nn.MultiheadAttention(E, H, dtype=torch.float64)
    same_state(ours, theirs)
    x = draw(T, B, E)
    mask = np.triu(np.ones((T, T), bool), 1)
    t = torch.tensor(x)
    wanted, weights = theirs(t, t, t, attn_mask=torch.tensor(mask))
    for keywords in (
        {"is_causal": True},
        {"attn_mask": mask},
        {"attn_mask": mask, "is_causal": True},
    ):
        held = dlc.asarray(x)
        for y, w in (ours(held, held, held, **keywords), ours(x, x.copy(), x.copy(), **keywords)):
            check(y, wanted)
            check(w, weights)
    one = torch.tensor(x[:, 0])
    wanted, weights = theirs(one, one, one)
    y, w = ours(x[:, 0], x[:, 0], x[:, 0])
    check(y, wanted)
    check(w, weights)
    more = nn.MultiheadAttention(E, H, add_bias_kv=True, add_zero_attn=True, dtype=dlc.float64)
    y, w = more(x, x, x, is_causal=True)
    wanted, _ = more(x, x, x, attn_mask=mask)
    np.testing.assert_allclose(y.numpy(), wanted.numpy(), rtol=1e-12)


def test_a_query_without_keys_gives_zeros_and_finite_gradients():
    layer = nn.MultiheadAttention(E, H, bias=False)
    x = draw(T, B, E).astype(np.float32)
    nothing = np.ones((B, T), bool)
    for need in (True, False):
        y, w = layer(x, x, x, nothing, need)
        assert not y.numpy().any()
        assert w is None or not w.numpy().any()
        gradient = dlc.grad(lambda m, need=need: m(x, x, x, nothing, need)[0].sum())(layer)
        assert all(np.isfinite(g.numpy()).all() for g in dlc.tree.leaves(gradient))


def test_dropout_of_weights():
    dlc.random.seed(2)
    layer = nn.MultiheadAttention(64, 2, dropout=0.5)
    x = draw(30, 4, 64).astype(np.float32)
    y, w = layer(x, x, x, average_attn_weights=False)
    assert (w.numpy() == 0).mean() == pytest.approx(0.5, abs=0.03)
    assert (y.numpy() != layer(x, x, x)[0].numpy()).any()
    layer.eval()
    np.testing.assert_array_equal(layer(x, x, x)[0].numpy(), layer(x, x, x)[0].numpy())


LAYERS = [
    {},
    {"norm_first": True, "activation": "gelu", "batch_first": True},
    {"bias": False},
]


def layers(name, settings):
    """A layer in both, without dropout."""
    common = {"dim_feedforward": 11, "dropout": 0.0, **settings}
    ours = getattr(nn, name)(E, H, dtype=dlc.float64, **common)
    theirs = getattr(torch.nn, name)(E, H, dtype=torch.float64, **common)
    return ours, theirs


def compare(ours, theirs, xs, masks):
    """Values eager and compiled, and gradients of parameters and inputs."""
    theirs.zero_grad()
    ts = [torch.tensor(x, requires_grad=True) for x in xs]
    wanted = theirs(*ts, **{k: torch.tensor(m) for k, m in masks.items()})
    ct = draw(*wanted.shape)
    (wanted * torch.tensor(ct)).sum().backward()
    check(ours(*xs, **masks), wanted, 1e-9)

    def loss(model, *xs):
        y = model(*xs, **masks)
        return (y * ct).sum(), y

    places = tuple(range(1 + len(xs)))
    step = dlc.compile(dlc.value_and_grad(loss, argnums=places, has_aux=True))
    (_, y), (model, *inputs) = step(ours, *xs)
    assert step.stats.interpreted_ops == 0
    check(y, wanted, 1e-9)
    named = dict(theirs.named_parameters())
    for (name, _), p in zip(ours.named_parameters(), dlc.tree.leaves(model), strict=True):
        check(p, named[name].grad, 1e-8)
    for p, t in zip(inputs, ts, strict=True):
        check(p, t.grad, 1e-8)


def inputs(settings, *times):
    xs = [draw(t, B, E) for t in times]
    return [np.swapaxes(x, 0, 1).copy() for x in xs] if settings.get("batch_first") else xs


@pytest.mark.parametrize("settings", LAYERS)
def test_encoder_layer(settings):
    ours, theirs = layers("TransformerEncoderLayer", settings)
    same_state(ours, theirs)
    masks = {"src_mask": np.triu(np.ones((S, S), bool), 1), "src_key_padding_mask": PADDING}
    compare(ours, theirs, inputs(settings, S), masks)
    compare(ours, theirs, inputs(settings, S), {})


@pytest.mark.parametrize("settings", LAYERS)
def test_decoder_layer(settings):
    ours, theirs = layers("TransformerDecoderLayer", settings)
    same_state(ours, theirs)
    masks = {
        "tgt_mask": np.triu(np.ones((T, T), bool), 1),
        "memory_mask": UPPER,
        "memory_key_padding_mask": PADDING,
    }
    compare(ours, theirs, inputs(settings, T, S), masks)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_transformer_and_its_parts():
    common = {"dim_feedforward": 11, "dropout": 0.0}
    ours = nn.Transformer(E, H, 2, 2, dtype=dlc.float64, **common)
    theirs = torch.nn.Transformer(E, H, 2, 2, dtype=torch.float64, **common)
    same_state(ours, theirs)
    mask = nn.Transformer.generate_square_subsequent_mask(T, dlc.float64).numpy()
    same = torch.nn.Transformer.generate_square_subsequent_mask(T).numpy()
    np.testing.assert_array_equal(mask, same)
    xs = inputs({}, S, T)
    compare(ours, theirs, xs, {"tgt_mask": mask})
    wanted = ours(*xs, tgt_mask=mask).numpy()
    np.testing.assert_allclose(ours(*xs, tgt_is_causal=True).numpy(), wanted, rtol=1e-12)
    custom = nn.Transformer(E, H, custom_encoder=ours.encoder, custom_decoder=ours.decoder)
    assert custom.encoder is ours.encoder


def test_named_extents():
    layer = nn.TransformerEncoderLayer(E, H, 11, dropout=0.0, dtype=dlc.float64)
    compiled = dlc.compile(layer)
    compiled.warmup(dlc.spec(("t", "b", E), dlc.float64))
    for time, batch in ((1, 1), (5, 3), (4, 1)):
        x = draw(time, batch, E)
        np.testing.assert_allclose(compiled(x).numpy(), layer(x).numpy(), rtol=1e-12, atol=1e-13)
    assert compiled.stats.compilations == 1
    assert compiled.stats.interpreted_ops == 0


def test_copies_of_a_layer_drop_different_elements():
    dlc.random.seed(4)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(E, H, 16), 3)
    keys = [b.numpy().tobytes() for n, b in encoder.named_buffers() if n.endswith("key")]
    assert len(keys) == len(set(keys)) == 12
    a, b = (encoder.layers[k].linear1.weight.numpy() for k in (0, 2))
    np.testing.assert_array_equal(a, b)


def test_the_state_of_random_numbers_may_be_missing():
    layer, other = (nn.TransformerEncoderLayer(E, H, 16) for _ in range(2))
    state = layer.state_dict(random=False)
    assert not any("random" in name for name in state)
    assert any("random" in name for name in layer.state_dict())
    other.load_state_dict(state)
    with pytest.raises(dlc.ValueRangeError, match=r"linear1\.bias: missing"):
        other.load_state_dict({k: v for k, v in state.items() if k != "linear1.bias"})


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: nn.MultiheadAttention(7, 2), dlc.ValueRangeError),
        (lambda: nn.TransformerEncoderLayer(8, 2, activation="rely"), dlc.ValueRangeError),
        (
            lambda: nn.MultiheadAttention(E, H)(draw(T, E), draw(T, B, E), draw(T, B, E)),
            dlc.ShapeError,
        ),
        (lambda: nn.MultiheadAttention(E, H)(*[draw(T, B, 6)] * 3), dlc.ShapeError),
        (
            lambda: nn.MultiheadAttention(E, H)(*[draw(T, B, E)] * 3, attn_mask=UPPER),
            dlc.ShapeError,
        ),
        (
            lambda: nn.MultiheadAttention(E, H)(*[draw(S, B, E)] * 3, key_padding_mask=PADDING.T),
            dlc.ShapeError,
        ),
    ],
)
def test_what_does_not_fit_is_an_error(make, error):
    with pytest.raises(error):
        make()
