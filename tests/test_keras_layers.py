"""Every layer with Keras's name against Keras's: values, gradients, weights, modes, defaults."""

from __future__ import annotations

import inspect
import os

import numpy as np
import pytest
import torch

import dlc
from dlc import nn

with pytest.MonkeyPatch.context() as patch:
    patch.setitem(os.environ, "KERAS_BACKEND", "torch")
    import keras

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:keras", "ignore::UserWarning:keras", "ignore::UserWarning:torch"
)
RNG = np.random.default_rng(11)


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


LAST = {1: (2, 9, 4), 2: (2, 7, 6, 4), 3: (2, 4, 5, 6, 4)}
FIRST = {1: (2, 4, 9), 2: (2, 4, 7, 6), 3: (2, 4, 4, 5, 6)}


def for_ranks(name, *settings, ranks=(1, 2, 3)):
    """A case for each number of axes; with three axes, which take longer, the first settings."""
    return [
        (name.replace("#", str(r)), args, kwargs, LAST[r])
        for r in ranks
        for args, kwargs in (settings[:1] if r == 3 and len(ranks) > 1 else settings)
    ]


def bare(name, *args, shape=(3, 4, 5), **kwargs):
    return [(name, args, kwargs, shape)]


SAME = {"padding": "same", "strides": 2}
TWICE = {"padding": "same", "dilation_rate": 2}
BIAS = {"bias_initializer": "random_normal"}
CASES = [
    *for_ranks("Conv#D", ((6, 3), {"activation": "relu", **BIAS}), ((6, 3), SAME), ((6, 2), TWICE)),
    *for_ranks("Conv#D", ((6, 3), {"groups": 2, "use_bias": False}), ranks=(2,)),
    *for_ranks("Conv1D", ((6, 3), {"padding": "causal", "dilation_rate": 2}), ranks=(1,)),
    *for_ranks("Conv#DTranspose", ((6, 3), BIAS), ((6, 3), SAME), ((6, 2), {"strides": 3})),
    *for_ranks("Conv2DTranspose", ((6, 2), SAME), ((6, 4), {**SAME, "strides": 3}), ranks=(2,)),
    *for_ranks("Conv2DTranspose", ((6, 3), {**SAME, "output_padding": 1}), ranks=(2,)),
    *for_ranks("DepthwiseConv#D", ((3,), BIAS), ((3,), {**SAME, "depth_multiplier": 2}),
               ranks=(1, 2)),
    *for_ranks("SeparableConv#D", ((6, 3), BIAS), ((6, 3), {**SAME, "depth_multiplier": 2}),
               ranks=(1, 2)),
    *for_ranks("MaxPooling#D", ((2,), {}), ((3, 2, "same"), {})),
    *for_ranks("AveragePooling#D", ((2,), {})),
    *for_ranks("AveragePooling1D", ((3, 2, "same"), {}), ranks=(1,)),
    *for_ranks("GlobalMaxPooling#D", ((), {}), ((), {"keepdims": True})),
    *for_ranks("GlobalAveragePooling#D", ((), {}), ((), {"keepdims": True})),
    *for_ranks("AdaptiveAveragePooling#D", ((3,), {}), ranks=(1, 2)),
    *for_ranks("AdaptiveMaxPooling#D", ((3,), {}), ranks=(1, 2)),
    *for_ranks("ZeroPadding#D", ((1,), {})), *for_ranks("Cropping#D", ((1,), {})),
    *for_ranks("ZeroPadding2D", ((((1, 2), (0, 3)),), {}), (((1, 2),), {}), ranks=(2,)),
    *for_ranks("Cropping2D", ((((1, 2), (0, 3)),), {}), ranks=(2,)),
    *for_ranks("Cropping1D", ((), {}), (((1, 2),), {}), ranks=(1,)),
    *for_ranks("UpSampling#D", ((2,), {})), *for_ranks("UpSampling2D", (((2, 3),), {}), ranks=(2,)),
    *for_ranks("UpSampling2D", ((2,), {"interpolation": "bilinear"}), ranks=(2,)),
    *bare("BatchNormalization"), *bare("BatchNormalization", axis=1, momentum=0.9, epsilon=0.1),
    *bare("BatchNormalization", scale=False, center=False, shape=(6, 5)),
    *bare("LayerNormalization"),
    *bare("LayerNormalization", axis=(1, 2), center=False),
    *bare("GroupNormalization", 2, axis=1), *bare("GroupNormalization", -1, shape=(2, 3, 4, 6)),
    *bare("RMSNormalization"), *bare("UnitNormalization"),
    *bare("Dense", 6, activation="tanh", **BIAS), *bare("Dense", 6, use_bias=False),
    *bare("Activation", "relu"), *bare("ReLU"), *bare("ReLU", max_value=0.5, negative_slope=0.1),
    *bare("LeakyReLU", negative_slope=0.3), *bare("ELU", 0.7), *bare("Softmax", axis=1),
    *bare("PReLU", alpha_initializer="random_normal"),
    *bare("PReLU", alpha_initializer="random_normal", shared_axes=[1]),
    *bare("Reshape", (-1, 2)), *bare("Permute", (2, 1)), *bare("RepeatVector", 3, shape=(2, 4)),
    *bare("Flatten"), *bare("Flatten", data_format="channels_first"), *bare("Identity"),
    *bare("Rescaling", 0.5, 2.0), *bare("GaussianNoise", 0.0), *bare("GaussianDropout", 0.0),
    *bare("Dropout", rate=0.0), *bare("AlphaDropout", rate=0.0), *bare("Normalization"),
    *for_ranks("SpatialDropout#D", ((0.0,), {})),
]  # fmt: skip
CHANNELS_FIRST = [
    *for_ranks("Conv2D", ((6, 3), SAME), ranks=(2,)),
    *for_ranks("Conv1DTranspose", ((6, 3), SAME), ranks=(1,)),
    *for_ranks("DepthwiseConv2D", ((3,), {}), ranks=(2,)),
    *for_ranks("SeparableConv2D", ((6, 3), {}), ranks=(2,)),
    *for_ranks("MaxPooling2D", ((2,), {}), ranks=(2,)),
    *for_ranks("AveragePooling1D", ((3, 2, "same"), {}), ranks=(1,)),
    *for_ranks("GlobalMaxPooling1D", ((), {}), ranks=(1,)),
    *for_ranks("ZeroPadding2D", ((1,), {}), ranks=(2,)),
    *for_ranks("Cropping2D", ((1,), {}), ranks=(2,)),
    *for_ranks("UpSampling2D", ((2,), {}), ranks=(2,)),
]
for name, args, kwargs, shape in CHANNELS_FIRST:
    CASES.append((name, args, {**kwargs, "data_format": "channels_first"}, FIRST[len(shape) - 2]))


def tag(case):
    name, args, kwargs, _ = case
    return f"{name}-{args}-{kwargs}".replace(" ", "")


def pair(case, x):
    """The two layers, built, with the same weights, which go from one to the other in order."""
    name, args, kwargs, _ = case
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(keras.layers, name)(*args, **kwargs)
    theirs.build(x.shape)
    ours.eval()(x)
    own = [v for _, v in ours.state_dict(random=False).items()]
    wanted = [w for w in theirs.weights if "seed" not in w.path and "count" not in w.path]
    assert [tuple(v.shape) for v in own] == [tuple(w.shape) for w in wanted]
    names = [n.rpartition(".")[2] for n in ours.state_dict(random=False)]
    if name not in ("PReLU", "Embedding"):
        assert names == [w.name for w in wanted]
    values = [np.array(keras.ops.convert_to_numpy(w)) for w in wanted]
    ours.load_state_dict(dict(zip(ours.state_dict(random=False), values, strict=True)))
    return ours.train(), theirs, wanted


def close(got, wanted):
    wanted = wanted.detach().numpy() if isinstance(wanted, torch.Tensor) else np.asarray(wanted)
    scale = max(1.0, np.abs(wanted).max(initial=0.0))
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=2e-5, atol=4e-6 * scale)


@pytest.fixture
def interpreted():
    """Ops by the reference, so that hundreds of small shapes need not be compiled."""
    with dlc.config.scope(disable_jit=True):
        yield


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("case", CASES, ids=tag)
def test_layer_as_in_keras(case):
    x = draw(*case[3])
    ours, theirs, weights = pair(case, x)
    held = torch.tensor(x, requires_grad=True)
    wanted = theirs(held, training=True)
    variable = dlc.Variable(x, requires_grad=True)
    got = ours(variable)
    close(got, wanted)
    ct = draw(*wanted.shape)
    wanted.backward(torch.tensor(ct))
    got.backward(ct)
    close(variable.grad, held.grad)
    trained = [w for w in weights if w.trainable]
    for v, w in zip(ours.parameters(), trained, strict=True):
        close(v.grad, w.value.grad)
    for v, w in zip(ours.state_dict(random=False).values(), weights, strict=True):
        close(v, w.value)  # what training has moved
    if "Norm" in case[0]:
        close(ours.eval()(x[:1]), theirs(torch.tensor(x[:1]), training=False))
        assert ours(x[:0]).shape == x[:0].shape


BATCHES = {case[0]: case for case in CASES[::-1]}
COMPILED = (
    "Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D",
    "AveragePooling1D", "GlobalAveragePooling2D", "ZeroPadding2D", "Cropping2D", "UpSampling2D",
    "BatchNormalization", "LayerNormalization", "GroupNormalization", "Dense", "PReLU", "Reshape",
    "RepeatVector", "Normalization",
)  # fmt: skip


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_for_any_batch(name):
    case = BATCHES[name]
    x = draw(*case[3])
    ours, theirs, _ = pair(case, x)
    compiled = dlc.compile(ours)
    for batch in (2, 3, 5):
        x = draw(batch, *case[3][1:])
        close(compiled(x), theirs(torch.tensor(x), training=True))
    assert compiled.stats.compilations <= 2
    assert compiled.stats.interpreted_ops == 0


MERGING = [
    ("Add", {}, [(2, 3), (2, 3), (2, 3)]), ("Subtract", {}, [(2, 3)] * 2),
    ("Multiply", {}, [(2, 3), (2, 3)]), ("Average", {}, [(2, 3)] * 3),
    ("Maximum", {}, [(2, 3)] * 3), ("Minimum", {}, [(2, 3)] * 2),
    ("Concatenate", {}, [(2, 3), (2, 4)]), ("Concatenate", {"axis": 1}, [(2, 3, 4), (2, 1, 4)]),
    ("Dot", {"axes": 1}, [(2, 3), (2, 3)]), ("Dot", {"axes": (2, 1)}, [(2, 3, 4), (2, 4, 5)]),
    ("Dot", {"axes": -1, "normalize": True}, [(2, 3, 4), (2, 5, 4)]),
]  # fmt: skip


@pytest.mark.parametrize("case", MERGING, ids=repr)
def test_merging_as_in_keras(case):
    name, kwargs, shapes = case
    xs = [draw(*s) for s in shapes]
    theirs = getattr(keras.layers, name)(**kwargs)
    wanted = theirs([torch.tensor(x) for x in xs])
    close(getattr(nn, name)(**kwargs)(xs), wanted)
    close(getattr(nn, name.lower())(xs, **kwargs, name="merged"), wanted)


NOT_HERE = {  # what is about other things than the numbers a layer computes
    "kwargs", "lora_rank", "lora_alpha", "quantization_config", "renorm", "renorm_clipping",
    "renorm_momentum", "synchronized", "name", "weights", "dtype", "mask_zero",
    "output_shape", "mask",
}  # fmt: skip
LEFT_OUT = {"AlphaDropout": {"noise_shape"}, "Softmax": {"axis"}}
KNOWN = {
    "negative_slope",  # LeakyReLU() is PyTorch's
    "embeddings_initializer",  # by names of arguments
    "alpha_initializer",
    "shared_axes",
    "pool_size",  # average pooling has a default, as maximum pooling
    "rate",
    "input_dim",
    "output_dim",
}


def simple(default):
    """One number for a tuple of equal ones, or of such tuples."""
    if isinstance(default, tuple) and len(set(default)) == 1:
        return simple(default[0])
    return default


NAMES = [*dict.fromkeys([c[0] for c in CASES] + [c[0] for c in MERGING] + ["Embedding", "Lambda"])]


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_keras_own(name):
    own = inspect.signature(getattr(nn, name)).parameters
    for p in inspect.signature(getattr(keras.layers, name)).parameters.values():
        if p.name in NOT_HERE | LEFT_OUT.get(name, set()) or p.name.endswith(
            ("_regularizer", "_constraint")
        ):
            continue
        assert p.name in own, p.name
        if p.name not in KNOWN and p.default is not p.empty:
            assert simple(own[p.name].default) == simple(p.default), p.name


def test_first_values_are_distributed_as_in_keras():
    for name, args in (("Conv2D", (60, 5)), ("Conv2DTranspose", (60, 5)), ("Dense", (80,))):
        dlc.random.seed(1)
        ours, theirs = getattr(nn, name)(*args), getattr(keras.layers, name)(*args)
        x = draw(1, 6, 6, 20)
        theirs.build(x.shape), ours(x)
        kernel, wanted = ours.kernel.numpy(), keras.ops.convert_to_numpy(theirs.kernel)
        assert kernel.std() == pytest.approx(wanted.std(), rel=0.05)
        assert np.abs(kernel).max() == pytest.approx(np.abs(wanted).max(), rel=0.05)


def test_noise():
    x = np.ones((60, 20, 5), np.float32)
    noisy = nn.GaussianNoise(0.5, seed=1)(x).numpy()
    assert noisy.std() == pytest.approx(0.5, rel=0.05)
    dropped = nn.GaussianDropout(0.2, seed=1)(x).numpy()
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    assert dropped.std() == pytest.approx(0.5, rel=0.05)
    channels = nn.SpatialDropout1D(0.5, seed=1)(x).numpy()
    assert (channels == channels[:, :1]).all()
    assert set(np.unique(channels)) == {0.0, 2.0}
    for layer in (nn.GaussianNoise(1.0), nn.GaussianDropout(0.5), nn.SpatialDropout1D(0.5)):
        np.testing.assert_array_equal(layer.eval()(x).numpy(), x)
        np.testing.assert_array_equal(layer.train()(x, training=False).numpy(), x)


def test_normalization_adapts():
    data = 3 * draw(50, 4) + 2
    for axis in (-1, None):
        ours, theirs = nn.Normalization(axis=axis), keras.layers.Normalization(axis=axis)
        ours.adapt(data), theirs.adapt(data)
        close(ours(data), theirs(data))
        parts = nn.Normalization(axis=axis)
        parts.adapt(data[k : k + 20] for k in range(0, 50, 20))
        close(parts(data), theirs(data))
    given = {"mean": [1.0] * 4, "variance": [4.0] * 4}
    close(nn.Normalization(**given)(data), (data - 1) / 2)
    close(nn.Normalization(**given, invert=True)(data), data * 2 + 1)
    close(nn.Lambda(lambda x, k: x * k, arguments={"k": 2.0}, output_shape=(3,))(data), data * 2)


def test_by_definition_where_keras_on_torch_differs_from_itself_elsewhere():
    x = draw(3, 4, 5)
    wanted = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3)
    close(nn.LayerNormalization(axis=1)(x), wanted)
    wanted = x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-6)
    close(nn.RMSNormalization(axis=1)(x), wanted)
    x = draw(1, 7, 6, 1)
    wide = np.pad(x, ((0, 0), (1, 1), (0, 1), (0, 0)), constant_values=np.nan)
    wanted = [
        [np.nanmean(wide[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]) for j in range(3)]
        for i in range(4)
    ]
    close(nn.AveragePooling2D(3, 2, "same")(x)[0, :, :, 0], np.asarray(wanted, np.float32))


def test_frozen_normalisation_stays_as_it_is():
    layer = nn.BatchNormalization()
    x = draw(8, 3)
    layer(x)
    layer.trainable = False
    before = layer.moving_mean.numpy().copy()
    y = layer(x).numpy()
    np.testing.assert_array_equal(layer.moving_mean.numpy(), before)
    close(layer.eval()(x), y)
    assert not nn.Dense(2, trainable=False).requires_grad_(False).trainable
    frozen = nn.Sequential(nn.Dense(2, trainable=False), nn.Dense(1))
    frozen(x)
    assert [p.requires_grad for p in frozen.parameters()] == [False, False, True, True]
    layer.train().trainable = True
    dlc.grad(lambda m: m(x).sum())(layer)  # where its parameters are values of a trace
    assert (layer.moving_mean.numpy() != before).any()


BAD = [
    (lambda: nn.Conv2D(6, 3, padding="sane"), "padding"),
    (lambda: nn.Conv2D(6, 3, data_format="last"), "data_format"),
    (lambda: nn.Conv2D(6, 3, nme="x"), "did you mean 'name'"),
    (lambda: nn.Conv2D(6, 3)(draw(2, 9, 4)), "Conv2D of an input of shape"),
    (lambda: nn.Conv2D(6, 3, groups=4)(draw(2, 9, 9, 6)), "groups"),
    (lambda: nn.Conv2D(6, 3)(draw(2, 2, 2, 4)), "in layer: Conv2D"),
    (lambda: nn.MaxPooling2D(2)(draw(2, 9, 4)), "MaxPooling2D of an input of shape"),
    (lambda: nn.Reshape((5,))(draw(2, 4)), "Reshape"),
    (lambda: nn.Permute((0, 1)), "Permute"),
    (lambda: nn.Cropping1D(3)(draw(2, 5, 1)), "nothing is left"),
    (lambda: nn.ZeroPadding2D((1, 2, 3)), "padding"),
    (lambda: nn.Add()(draw(2)), "list of tensors"),
    (lambda: nn.Subtract()([draw(2)]), "list of 2 tensors"),
    (lambda: nn.Dot(0)([draw(2, 3), draw(2, 3)]), "examples"),
    (lambda: nn.LayerNormalization(axis=3)(draw(2, 3)), "axis"),
    (lambda: nn.GroupNormalization(3)(draw(2, 4)), "groups"),
    (lambda: nn.GaussianDropout(1.0), "rate"),
    (lambda: nn.SpatialDropout2D(2.0), "probability"),
    (lambda: nn.Normalization(mean=1.0), "both"),
    (lambda: nn.Normalization().adapt([]), "no data"),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=[w for _, w in BAD])
def test_bad_input_says_what_is_wrong(make, words):
    with pytest.raises(dlc.DlcError) as caught:
        make()
    assert words in str(caught.value)


def test_spectral_normalization_of_kernels():
    """It changes kernels in place, so that steps of training are compared."""

    def model(layers):
        return [
            layers.SpectralNormalization(layers.Conv2D(4, 3, activation="relu"), 2),
            layers.Flatten(),
            layers.SpectralNormalization(layers.Dense(2)),
        ]

    x, y = draw(8, 6, 6, 3), draw(8, 2)
    theirs, ours = keras.Sequential(model(keras.layers)), nn.Sequential(model(nn))
    theirs.build((None, 6, 6, 3))
    ours(x, training=False)
    ours.set_weights(theirs.get_weights())
    for m, optimizers in ((theirs, keras.optimizers), (ours, dlc.optim)):
        m.compile(optimizers.SGD(learning_rate=0.05, momentum=0.5), "mse")
        m.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    eager = nn.SpectralNormalization(nn.Dense(2), 20)
    eager(draw(3, 5))
    assert np.linalg.svd(eager.kernel.numpy())[1][0] == pytest.approx(1, rel=1e-3)
    empty = nn.SpectralNormalization(nn.Dense(2, kernel_initializer="zeros"))
    assert not empty(draw(3, 5)).numpy().any()
    with pytest.raises(dlc.ArgumentError, match="ReLU has no kernel"):
        nn.SpectralNormalization(nn.ReLU())(x)
