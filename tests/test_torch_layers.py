"""Every layer with PyTorch's name against PyTorch's: values, gradients, state, modes, defaults."""

from __future__ import annotations

import contextlib
import inspect

import numpy as np
import pytest
import torch

import dlc
from dlc import nn

RNG = np.random.default_rng(7)


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


L, HW, DHW = (9,), (7, 6), (4, 5, 6)
SIZES = {1: L, 2: HW, 3: DHW}


def for_ranks(name, channels, *settings, ranks=(1, 2, 3)):
    """A case for each number of axes: the layer's name, its arguments, the shape of its input.

    With three axes, which take longer, only the first settings.
    """
    return [
        (f"{name}{r}d", args, kwargs, [(2, channels, *SIZES[r])])
        for r in ranks
        for args, kwargs in (settings[:1] if r == 3 and len(ranks) > 1 else settings)
    ]


def bare(name, *args, shape=(2, 4, 3), **kwargs):
    return [(name, args, kwargs, [shape])]


CONV = [
    ((4, 6, 3), {}),
    ((4, 6, 3, 2), {"padding": 1, "bias": False}),
    ((4, 8, 2), {"groups": 2, "dilation": 2, "padding": "valid"}),
    ((4, 4, 3), {"groups": 4, "padding": "same", "padding_mode": "circular"}),
]
MORE_CONV = [
    ((4, 6, (3, 2)), {"padding": (2, 1), "padding_mode": "reflect", "stride": (2, 1)}),
    ((4, 6, 3), {"padding": 1, "padding_mode": "replicate"}),
    ((4, 6, 3), {"padding": "same", "dilation": (1, 2)}),
]
TRANSPOSED = [
    ((4, 6, 3), {}),
    ((4, 6, 3, 2, 1, 1), {"groups": 2}),
    ((4, 6, 2), {"bias": False, "dilation": 2}),
]
CASES = [
    *for_ranks("Conv", 4, *CONV),
    *for_ranks("Conv", 4, *MORE_CONV, ranks=(2,)),
    *for_ranks("ConvTranspose", 4, *TRANSPOSED),
    *for_ranks("MaxPool", 3, ((2,), {}), ((3, 2, 1), {"dilation": 1, "ceil_mode": True})),
    *for_ranks("MaxPool", 3, (((2, 3), (1, 2)), {"dilation": (2, 1)}), ranks=(2,)),
    *for_ranks("AvgPool", 3, ((2,), {}), ((3, 2, 1), {"ceil_mode": True})),
    *for_ranks("AvgPool", 3, ((3, 2, 1), {"count_include_pad": False})),
    *for_ranks("AvgPool", 3, ((2,), {"divisor_override": 3}), ranks=(2, 3)),
    *for_ranks("LPPool", 3, ((2, 2), {}), ((2, 3, 1), {"ceil_mode": True})),
    *for_ranks("AdaptiveAvgPool", 3, ((1,), {}), ((3,), {})),
    *for_ranks("AdaptiveAvgPool", 3, (((2, None),), {}), ranks=(2,)),
    *for_ranks("AdaptiveMaxPool", 3, ((3,), {})),
    *for_ranks("BatchNorm", 3, ((3,), {}), ((3, 1e-2, None), {}), ((3,), {"affine": False})),
    *for_ranks("BatchNorm", 3, ((3,), {"track_running_stats": False, "bias": False}), ranks=(2,)),
    ("BatchNorm1d", (3,), {"momentum": 0.3}, [(5, 3)]),
    *for_ranks("InstanceNorm", 3, ((3,), {}), ((3,), {"affine": True})),
    *for_ranks("InstanceNorm", 3, ((3, 1e-3, 0.2, True, True), {}), ranks=(1, 2)),
    ("InstanceNorm1d", (3,), {"affine": True}, [(3, 8)]),
    *bare("GroupNorm", 2, 4),
    *bare("GroupNorm", 4, 4, 1e-3, False, shape=(2, 4, 3, 5)),
    *bare("LocalResponseNorm", 3, 0.1, 0.5, 2.0),
    *for_ranks("ZeroPad", 2, ((1,), {})),
    ("ZeroPad2d", ((1, 0, -1, 2),), {}, [(2, 3, 4, 5)]),
    *for_ranks("ReflectionPad", 2, ((2,), {})),
    *for_ranks("ReplicationPad", 2, ((2,), {})),
    *for_ranks("CircularPad", 2, ((2,), {})),
    *for_ranks("ConstantPad", 2, ((1, 2.5), {})),
    ("ConstantPad2d", ((1, 2, 3, 0), -1.0), {}, [(3, 4, 5)]),
    *bare("Flatten"), *bare("Flatten", 0, 1), *bare("Flatten", 1, 2, shape=(2, 3, 4, 5)),
    *bare("Unflatten", 1, (2, 2)), *bare("Unflatten", -1, (-1, 3)),
    *bare("Upsample", scale_factor=2), *bare("Upsample", 5, shape=(2, 3, 4, 4)),
    *bare("Upsample", None, 2.0, "bilinear", True, shape=(2, 3, 4, 5)),
    *bare("UpsamplingNearest2d", scale_factor=2, shape=(2, 3, 4, 5)),
    *bare("UpsamplingBilinear2d", (6, 7), shape=(2, 3, 4, 5)),
    *bare("PixelShuffle", 2, shape=(2, 8, 3, 2)), *bare("PixelUnshuffle", 2, shape=(2, 3, 4, 2)),
    *bare("ChannelShuffle", 2, shape=(2, 6, 3, 2)),
    *bare("Unfold", 2, padding=1, shape=(2, 3, 4, 5)),
    *bare("Fold", (4, 5), (2, 3), stride=(1, 2), shape=(2, 12, 6)),
    ("Bilinear", (3, 4, 5), {}, [(6, 3), (6, 4)]),
    ("Bilinear", (3, 4, 1), {"bias": False}, [(2, 6, 3), (2, 6, 4)]),
    ("CosineSimilarity", (), {}, [(3, 5), (3, 5)]),
    ("PairwiseDistance", (1.0,), {"keepdim": True}, [(3, 5), (3, 5)]),
    *bare("Linear", 3, 5), *bare("LayerNorm", (4, 3), bias=False), *bare("RMSNorm", 3),
    *bare("Identity", 3, a=4),
    *(
        case
        for name in (
            "ReLU", "ReLU6", "ELU", "SELU", "CELU", "GELU", "LeakyReLU", "PReLU", "Sigmoid", "Tanh",
            "Softplus", "Softshrink", "Softsign", "LogSigmoid", "Hardtanh", "Hardsigmoid",
            "Hardswish", "Hardshrink", "Mish", "SiLU", "Tanhshrink",
        )
        for case in bare(name)
    ),
    *bare("ReLU", inplace=True), *bare("ELU", 0.5), *bare("CELU", 2.0), *bare("LeakyReLU", 0.3),
    *bare("PReLU", 4, 0.1), *bare("Softplus", 2.0, 1.0), *bare("Softshrink", 0.2),
    *bare("Hardtanh", -0.5, 0.3), *bare("Hardshrink", 0.2), *bare("Threshold", 0.1, -2.0),
    *bare("Softmax", 1), *bare("Softmin", -1), *bare("LogSoftmax", 0), *bare("GLU", 1),
    *bare("GELU", "tanh"), *bare("Softmax2d", shape=(2, 3, 4, 2)),
    *(
        (name, (0.0,), {}, [(2, 3, 4, 2, 2)[: 3 + k]])
        for k, name in enumerate(("Dropout1d", "Dropout2d", "Dropout3d"))
    ),
    *bare("Dropout", 0.0), *bare("AlphaDropout", 0.0), *bare("FeatureAlphaDropout", 0.0),
    *bare("RReLU", 0.25, 0.25),
]  # fmt: skip
NO_EMPTY = {"Fold", "FeatureAlphaDropout", "PixelUnshuffle"}  # where PyTorch is wrong or fails


FIRST = {name: case for case in CASES[::-1] if (name := case[0])}


def tag(case):
    name, args, kwargs, _ = case
    return f"{name}-{args}-{kwargs}".replace(" ", "")


def pair(name, args, kwargs):
    """The two layers, with the same numbers in parameters and buffers, exchanged both ways."""
    with torch.no_grad():
        theirs = getattr(torch.nn, name)(*args, **kwargs)
    ours = getattr(nn, name)(*args, **kwargs)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.tensor(draw(*p.shape)))
    own = ours.state_dict(random=False)
    assert list(own) == list(theirs.state_dict())
    assert [tuple(v.shape) for v in own.values()] == [
        tuple(v.shape) for v in theirs.state_dict().values()
    ]
    ours.load_state_dict(theirs.state_dict())
    back = ours.state_dict(random=False)
    theirs.load_state_dict({k: torch.tensor(np.array(v.numpy())) for k, v in back.items()})
    return ours, theirs


def close(got, wanted, tight=False):
    got, wanted = np.asarray(got), wanted.detach().numpy()
    assert got.dtype == wanted.dtype
    scale = max(1.0, np.abs(wanted).max(initial=0.0))
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=4e-6 * scale)


@pytest.fixture
def interpreted():
    """Ops by the reference, so that hundreds of small shapes need not be compiled."""
    with dlc.config.scope(disable_jit=True):
        yield


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("case", CASES, ids=tag)
def test_layer_as_in_pytorch(case):
    name, args, kwargs, shapes = case
    ours, theirs = pair(name, args, kwargs)
    inputs = [draw(*s) for s in shapes]
    held = [torch.tensor(x, requires_grad=True) for x in inputs]
    wanted = theirs(*(x.clone() for x in held))  # some work in place
    variables = [dlc.Variable(x, requires_grad=True) for x in inputs]
    got = ours(*variables)
    close(got, wanted)
    ct = draw(*wanted.shape)
    wanted.backward(torch.tensor(ct))
    got.backward(ct)
    for v, x in zip(variables, held, strict=True):
        close(v.grad, x.grad)
    for (n, v), (m, p) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert n == m
        close(v.grad, p.grad)
    for n, b in theirs.named_buffers():  # what training has moved
        close(ours.state_dict()[n], b)
    if case is not FIRST[name] and getattr(theirs, "running_mean", None) is None:
        return
    ours.eval(), theirs.eval()
    small = [x[:1] for x in inputs]
    close(ours(*small), theirs(*map(torch.tensor, small)))
    if name in NO_EMPTY:
        return
    nothing = [x[:0] for x in inputs]
    with contextlib.suppress(IndexError, RuntimeError, ValueError):  # PyTorch's, which takes less
        assert tuple(theirs(*map(torch.tensor, nothing)).shape) == tuple(ours(*nothing).shape)


COMPILED = (
    "Conv2d", "ConvTranspose2d", "MaxPool2d", "AvgPool2d", "LPPool2d", "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d", "BatchNorm2d", "InstanceNorm2d", "GroupNorm", "LocalResponseNorm",
    "ReflectionPad2d", "Flatten", "Unflatten", "Upsample", "PixelShuffle", "ChannelShuffle",
    "Unfold", "Bilinear", "LayerNorm", "PReLU", "Softmax", "GLU", "ReLU",
)  # fmt: skip


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_for_any_batch(name):
    _, args, kwargs, shapes = FIRST[name]
    ours, theirs = pair(name, args, kwargs)
    compiled = dlc.compile(ours)
    for batch in (2, 3, 5):
        inputs = [draw(batch, *s[1:]) for s in shapes]
        close(compiled(*inputs), theirs(*map(torch.tensor, inputs)))
    for n, b in theirs.named_buffers():
        close(ours.state_dict()[n], b)
    assert compiled.stats.compilations <= 2
    assert compiled.stats.interpreted_ops == 0


@pytest.mark.parametrize("name", sorted(FIRST))
def test_defaults_are_pytorchs(name):
    """What both know has the same default and, where PyTorch takes it by position, place."""
    own = inspect.signature(getattr(nn, name)).parameters
    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    left_out = {"device", "min_value", "max_value", "args", "kwargs"}
    wanted = [p for p in theirs.values() if p.name not in left_out]
    for p in wanted:
        assert p.name in own, p.name
        if p.name != "dtype":
            assert own[p.name].default == p.default or p.default is p.empty, p.name
    order = [p.name for p in wanted if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [n for n in own if n in order] == order


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose1d", "Bilinear", "Linear"])
def test_first_values_are_distributed_as_pytorchs(name):
    args = {"Bilinear": (9, 40, 50), "Linear": (90, 80)}.get(name, (8, 60, 5))
    dlc.random.seed(1)
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    for n, p in theirs.named_parameters():
        values, wanted = dict(ours.named_parameters())[n].numpy(), p.detach().numpy()
        assert values.std() == pytest.approx(wanted.std(), rel=0.3)
        assert np.abs(values).max() == pytest.approx(np.abs(wanted).max(), rel=0.1)


def test_embedding_bags():
    table, indices = draw(9, 4), RNG.integers(0, 9, 11)
    offsets, weights = np.asarray([0, 3, 3, 7]), draw(11)
    for mode in ("mean", "sum", "max"):
        for padding in (None, 2):
            ours, theirs = pair("EmbeddingBag", (9, 4), {"mode": mode, "padding_idx": padding})
            theirs.weight.data.copy_(torch.tensor(table))
            ours.load_state_dict(theirs.state_dict())
            close(ours(indices, offsets), theirs(torch.tensor(indices), torch.tensor(offsets)))
            square = indices[:10].reshape(5, 2)
            close(dlc.compile(ours)(square), theirs(torch.tensor(square)))
    ours, theirs = pair("EmbeddingBag", (9, 4), {"mode": "sum", "include_last_offset": True})
    ends = np.asarray([0, 3, 3, 11])
    got, pull = dlc.vjp(lambda m: m(indices, ends, per_sample_weights=weights), ours)
    held = (indices, ends)
    wanted = theirs(*map(torch.tensor, held), per_sample_weights=torch.tensor(weights))
    close(got, wanted)
    wanted.sum().backward()
    close(pull(dlc.ones(got.shape))[0].weight, theirs.weight.grad)


def test_transposed_convolutions_of_a_wanted_size():
    ours, theirs = pair("ConvTranspose2d", (4, 6, 3, 2), {"padding": 1})
    x = draw(2, 4, 5, 6)
    close(ours(x, output_size=(10, 11)), theirs(torch.tensor(x), output_size=(10, 11)))
    with pytest.raises(dlc.ValueRangeError, match="output_size"):
        ours(x, output_size=(12, 11))


def test_pooling_gives_places():
    x = draw(2, 3, 6, 5)
    for ours, theirs in (
        (nn.MaxPool2d(2, return_indices=True), torch.nn.MaxPool2d(2, return_indices=True)),
        (nn.AdaptiveMaxPool2d(3, True), torch.nn.AdaptiveMaxPool2d(3, True)),
    ):
        for got, wanted in zip(ours(x), theirs(torch.tensor(x)), strict=True):
            close(got, wanted)


def test_dropout_of_channels():
    for name, shape in (("Dropout1d", (4, 50, 3)), ("Dropout2d", (4, 50, 2, 3))):
        y = getattr(nn, name)(0.5, seed=1)(np.ones(shape, np.float32)).numpy()
        flat = y.reshape(200, -1)
        assert (flat == flat[:, :1]).all()
        assert set(np.unique(y)) == {0.0, 2.0}
    single = nn.Dropout3d(0.5, seed=1)(np.ones((50, 2, 2, 2), np.float32)).numpy()
    assert (single.reshape(50, -1) == single.reshape(50, -1)[:, :1]).all()
    shared = nn.Dropout(rate=0.5, noise_shape=(None, 1, 3), seed=2)(np.ones((40, 5, 3))).numpy()
    assert (shared == shared[:, :1]).all()
    assert 0 < shared.mean() < 2
    x = draw(20000)
    kept = nn.AlphaDropout(0.3, seed=3)(x).numpy()
    assert kept.mean() == pytest.approx(0, abs=0.05)
    assert kept.std() == pytest.approx(1, abs=0.05)
    slopes = nn.RReLU(seed=4)(-np.ones(1000, np.float32)).numpy()
    assert -1 / 3 <= slopes.min() < slopes.max() <= -1 / 8


def test_keras_arguments_decide():
    x = np.asarray([-3.0, -0.5, 0.5, 4.0], np.float32)
    wanted = np.where(x >= 0.25, x, 0.1 * (x - 0.25)).clip(max=3)
    layer = nn.ReLU(max_value=3.0, negative_slope=0.1, threshold=0.25)
    np.testing.assert_allclose(layer(x).numpy(), wanted, rtol=1e-6)
    assert repr(layer) == "ReLU(max_value=3.0, negative_slope=0.1, threshold=0.25)"
    assert nn.Softmax(axis=0)(draw(2, 3)).numpy().sum(0) == pytest.approx(1)
    table = nn.Embedding(input_dim=300, output_dim=5).weight.numpy()
    assert np.abs(table).max() <= 0.05
    assert table.std() == pytest.approx(0.1 / 12**0.5, rel=0.1)
    assert nn.Flatten(data_format="channels_first")(np.arange(6).reshape(1, 2, 3)).tolist() == [
        [0, 3, 1, 4, 2, 5]
    ]


@pytest.mark.parametrize("tracking", [True, False])
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("BatchNorm1d", (1, 3)),
        ("BatchNorm2d", (1, 3, 1, 1)),
        ("InstanceNorm1d", (2, 3, 1)),
        ("InstanceNorm2d", (0, 3, 1, 1)),
    ],
)
def test_one_number_cannot_be_normalised_by_itself(name, shape, tracking):
    for module, x in ((torch.nn, torch.ones(shape)), (nn, dlc.ones(shape))):
        layer = getattr(module, name)(3, track_running_stats=tracking)
        with pytest.raises(ValueError, match="xpected more than 1"):
            layer(x)
        layer.eval()
        if tracking:
            assert tuple(layer(x).shape) == shape
        else:
            with pytest.raises(ValueError, match="xpected more than 1"):
                layer(x)


BAD = [
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size"),
    (lambda: nn.Conv2d(3, 4, 3, padding="sane"), "padding"),
    (lambda: nn.Conv2d(3, 4, 3, 2, padding="same"), "stride 1"),
    (lambda: nn.Conv1d(3, 4, 3, padding_mode="zero"), "padding_mode"),
    (lambda: nn.Conv1d(3, 4, 0), "kernel_size"),
    (lambda: nn.Conv1d(3, 4, 3)(draw(2, 4, 9)), "in layer: Conv1d"),
    (lambda: nn.BatchNorm2d(3)(draw(2, 3, 4)), "BatchNorm2d of an input of shape"),
    (lambda: nn.BatchNorm1d(3)(draw(2, 4)), "3 channels"),
    (lambda: nn.GroupNorm(3, 4), "groups"),
    (lambda: nn.MaxPool2d(9)(draw(2, 3, 4, 4)), "in layer: MaxPool2d"),
    (lambda: nn.ZeroPad2d((1, 2)), "padding"),
    (lambda: nn.ZeroPad2d(1)(draw(2, 3)), "ZeroPad2d"),
    (lambda: nn.Flatten(2, 1)(draw(2, 3, 4)), "Flatten"),
    (lambda: nn.Unflatten(1, (2, 2))(draw(2, 3)), "Unflatten"),
    (nn.Upsample, "size"),
    (lambda: nn.Bilinear(3, 4, 5)(draw(2, 3), draw(2, 3)), "Bilinear"),
    (lambda: nn.EmbeddingBag(3, 4, mode="man"), "mode"),
    (lambda: nn.EmbeddingBag(3, 4)([1, 2]), "bags"),
    (lambda: nn.Embedding(3), "num_embeddings"),
    (lambda: nn.ChannelShuffle(2)(draw(1, 3, 2)), "groups"),
    (lambda: nn.Dropout2d(1.5), "probability"),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=[w for _, w in BAD])
def test_bad_input_says_what_is_wrong(make, words):
    with pytest.raises(dlc.DlcError) as caught:
        make()
    assert words in str(caught.value)
