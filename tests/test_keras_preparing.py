"""Layers that prepare data, against Keras's: images of other sizes and places, categories."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

import dlc
from dlc import nn

os.environ["KERAS_BACKEND"] = "torch"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras

layers = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")  # its own use of NumPy
RNG = np.random.default_rng(5)
IMAGES = RNG.standard_normal((3, 7, 5, 2)).astype(np.float32)
COLOURS = (RNG.random((4, 5, 6, 3)) * 255).astype(np.float32)


def array(x):
    return x.detach().cpu().numpy() if hasattr(x, "detach") and hasattr(x, "cpu") else np.asarray(x)


def close(mine, theirs, tolerance=1e-5):
    mine, theirs = np.asarray(mine), array(theirs)
    assert mine.shape == theirs.shape
    np.testing.assert_allclose(mine, theirs, tolerance, tolerance)


def with_numbers(layer, *numbers):
    """The layer with these random numbers."""
    rest = [dlc.asarray(np.float32(n)) for n in numbers]
    layer.drawn = lambda images, limits: rest.pop(0)
    return layer


# Sizes.


@pytest.mark.parametrize(("height", "width"), [(4, 6), (9, 3), (5, 5)])
@pytest.mark.parametrize(
    "settings",
    [
        {}, {"interpolation": "nearest"}, {"crop_to_aspect_ratio": True}, {"antialias": True},
        {"pad_to_aspect_ratio": True, "fill_value": 0.5}, {"data_format": "channels_first"},
    ],
    ids=str,
)  # fmt: skip
def test_resizing(height, width, settings):
    mine, theirs = (
        nn.Resizing(height, width, **settings),
        layers.Resizing(height, width, **settings),
    )
    close(mine(IMAGES), theirs(IMAGES), 1e-4)
    close(dlc.compile(mine)(IMAGES), mine(IMAGES))


def test_resized_integers_stay_such():
    x = (RNG.random((7, 10, 3)) * 255).astype(np.uint8)
    found = nn.Resizing(4, 6)(x)
    assert found.dtype == dlc.uint8
    np.testing.assert_allclose(found, layers.Resizing(4, 6)(x).numpy(), atol=1)


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (9, 4), (12, 12), (7, 5)])
def test_center_crop(size):
    close(nn.CenterCrop(*size)(IMAGES), layers.CenterCrop(*size)(IMAGES))
    close(nn.CenterCrop(*size)(IMAGES[0]), layers.CenterCrop(*size)(IMAGES[0]))


# Places and colours, with Keras's transformations of given random numbers.


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("fill_mode", ["reflect", "wrap", "constant", "nearest"])
def test_images_that_move(fill_mode, interpolation):
    how = {"fill_mode": fill_mode, "interpolation": interpolation, "fill_value": 0.25}
    down, right, turn = RNG.uniform(-0.6, 0.6, (3, len(IMAGES))).astype(np.float32)
    height, width = IMAGES.shape[1:3]
    zero, one = np.zeros_like(down), np.ones_like(down)
    move = [one, zero, -right * width, zero, one, -down * height, zero, zero]
    x, y = (width - 1) / 2, (height - 1) / 2
    zoom = [1 + right, zero, -x * right, zero, 1 + down, -y * down, zero, zero]
    cos, sin = np.cos(turn * 2 * np.pi), np.sin(turn * 2 * np.pi)
    turned = [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, zero, zero]
    for layer, numbers, matrix in (
        (nn.RandomTranslation(0.6, 0.6, **how), (down, right), move),
        (nn.RandomZoom(0.6, 0.6, **how), (down, right), zoom),
        (nn.RandomRotation(0.6, **how), (turn,), turned),
    ):
        transform = np.stack(matrix, 1).astype(np.float32)
        wanted = keras.ops.image.affine_transform(IMAGES, transform, **how)
        close(with_numbers(layer, *numbers)(IMAGES), wanted, 2e-5)


def test_matrices_are_those_of_keras():
    """What the test above takes for granted."""
    zero, turn = np.zeros(2, np.float32), np.float32([0.1, -0.3])
    theirs = layers.RandomRotation(0.5)._compute_affine_matrix(
        0.5, 0.5, keras.ops.convert_to_tensor(turn * 360), *map(keras.ops.convert_to_tensor, (
            zero, zero, zero + 1, zero, zero)), 7, 5,
    )  # fmt: skip
    cos, sin = np.cos(turn * 2 * np.pi), np.sin(turn * 2 * np.pi)
    wanted = [cos, -sin, 2 - cos * 2 + sin * 3, sin, cos, 3 - sin * 2 - cos * 3, zero, zero]
    close(np.stack(wanted, 1), theirs)
    zooms = keras.ops.convert_to_tensor(np.float32([[1.2, 0.7]]))
    close([[1.2, 0, -0.4, 0, 0.7, 0.9, 0, 0]], layers.RandomZoom(0.5)._get_zoom_matrix(zooms, 7, 5))
    moves = keras.ops.convert_to_tensor(np.float32([[2, 3]]))
    made = layers.RandomTranslation(0.5, 0.5)._get_translation_matrix(moves)
    close([[1, 0, -2, 0, 1, -3, 0, 0]], made)


def test_colours_and_mirrors():
    factor = np.float32([0.7, 1.3, 1.0, 1.4])
    changes = {"contrast_factor": keras.ops.convert_to_tensor(factor.reshape(4, 1, 1, 1))}
    images = keras.ops.convert_to_tensor(COLOURS)
    theirs = layers.RandomContrast(0.4).transform_images(images, changes)
    close(with_numbers(nn.RandomContrast(0.4), factor)(COLOURS), theirs, 1e-4)
    more = np.float32([-0.3, 0.3, 0.1, 0.4])
    changes = {"rgb_delta": keras.ops.convert_to_tensor(more.reshape(4, 1, 1, 1) * 255)}
    images = keras.ops.convert_to_tensor(COLOURS)  # it adds to them in place
    theirs = layers.RandomBrightness(0.4).transform_images(images, changes)
    close(with_numbers(nn.RandomBrightness(0.4), more)(COLOURS), theirs, 1e-4)
    number = np.float32([0.1, 0.9, 0.2, 0.7])
    chosen = keras.ops.convert_to_tensor((number <= 0.5).reshape(4, 1, 1, 1))
    for mode in ("horizontal", "vertical", "horizontal_and_vertical"):
        changes = {"flips": chosen, "input_shape": COLOURS.shape}
        theirs = layers.RandomFlip(mode).transform_images(COLOURS, changes)
        close(with_numbers(nn.RandomFlip(mode), number)(COLOURS), theirs)


FACTOR, OTHER = np.float32([0.1, 0.3, 0.45, 0.62]), np.float32([0.2, 0.7, 0.6, 0.4])
SIGN = np.where(FACTOR > 0.5, -1, 1).astype(np.float32)
BY_IMAGE = (4, 1, 1, 1)


def numbers_of(limits):
    return lambda *_: dlc.asarray(np.float32(limits))


@pytest.mark.parametrize(
    ("name", "settings", "numbers", "changes"),
    [
        ("RandomSaturation", (0.7,), [FACTOR], {"factor": FACTOR / (1 - FACTOR + 1e-7)}),
        ("RandomHue", (0.8,), [FACTOR, OTHER], {"factor": SIGN * OTHER * 0.5}),
        ("RandomColorDegeneration", (0.7,), [FACTOR], {"factor": FACTOR.reshape(BY_IMAGE)}),
        ("RandomSharpness", (0.7,), [FACTOR], {"factor": FACTOR}),
        ("RandomPosterization", (7,), [FACTOR * 9 + 1],
         {"shift_factor": (8 - np.floor(FACTOR * 9 + 1)).astype(np.uint8)}),
        ("RandomInvert", (0.7,), [FACTOR, OTHER], {"apply_inversion": OTHER < FACTOR}),
        ("RandomGrayscale", (0.4,), [FACTOR], (FACTOR < 0.4).reshape(BY_IMAGE)),
        ("Solarization", (0.3, 0.6), [FACTOR * 90, OTHER * 255],
         {"additions": FACTOR.reshape(BY_IMAGE) * 90, "thresholds": OTHER.reshape(BY_IMAGE) * 255}),
        ("RandomGaussianBlur", (0.7, 5), [FACTOR, OTHER],
         {"should_apply_blur": OTHER < FACTOR, "blur_factor": np.float32([0.8, 0.3]) + 1e-6}),
        ("RandomShear", (0.7, 0.6), [FACTOR, OTHER, OTHER / 2],
         {"shear_factor": SIGN[:, None] * np.stack([OTHER / 2, OTHER], 1), "input_shape": None}),
    ],
)  # fmt: skip
def test_colours_at_random(name, settings, numbers, changes):
    as_tensor = keras.ops.convert_to_tensor
    if isinstance(changes, dict):
        given = {k: v if v is None else as_tensor(v) for k, v in changes.items()}
    else:
        given = as_tensor(changes)
    theirs = getattr(layers, name)(*settings).transform_images(as_tensor(COLOURS), given)
    ours = with_numbers(getattr(nn, name)(*settings), *numbers)
    ours.numbers = numbers_of([0.8, 0.3])
    found = ours(COLOURS).numpy()
    close(found, theirs, 2e-3 if name == "RandomShear" else 2e-4)
    small = with_numbers(getattr(nn, name)(*settings), *numbers)
    if hasattr(small, "value_range") and name != "RandomSaturation":  # which has none in effect
        small.numbers, small.value_range = ours.numbers, (0, 1)
        close(small(COLOURS / 255).numpy() * 255, found, 1e-3)


def test_contrast_of_all_images():
    images = np.array(COLOURS / 2)
    images[0, :, :, 1] = 7
    close(nn.AutoContrast()(images), layers.AutoContrast()(images), 1e-3)
    close(nn.AutoContrast((0, 1)).eval()(images / 255), layers.AutoContrast((0, 1))(images / 255))


def test_mixed_images_and_labels():
    labels = np.eye(4, 3, dtype=np.float32)
    order, share = np.argsort(FACTOR[::-1]), OTHER
    as_tensor = keras.ops.convert_to_tensor
    batch = {"images": COLOURS, "labels": labels}
    mix = with_numbers(nn.MixUp(), FACTOR[::-1])
    mix.beta = numbers_of(share)
    changes = {"mix_weight": as_tensor(share), "permutation_order": as_tensor(order)}
    found, theirs = mix(batch), layers.MixUp()
    close(found["images"], theirs.transform_images(as_tensor(COLOURS), changes), 1e-4)
    close(found["labels"], theirs.transform_labels(as_tensor(labels), changes))
    # Rectangles: the sides are the roots of what is not kept, their places random.
    cut, theirs = with_numbers(nn.CutMix(), FACTOR[::-1], FACTOR, OTHER), layers.CutMix()
    cut.beta = numbers_of(share)
    side = np.sqrt(1 - share)
    x, y = FACTOR * (6 - side * 6), OTHER * (5 - side * 5)
    corners = [as_tensor(v) for v in (x, x + side * 6, y, y + side * 5)]
    masks, kept = theirs._generate_batch_mask(COLOURS.shape, corners)
    changes = {"batch_masks": masks, "mix_weight": kept, "permutation_order": as_tensor(order)}
    found = cut(batch)
    close(found["images"], theirs.transform_images(as_tensor(COLOURS), changes))
    close(found["labels"], theirs.transform_labels(as_tensor(labels), changes), 1e-4)
    assert not np.array_equal(found["images"].numpy(), COLOURS)
    assert cut(batch, training=False)["labels"].tolist() == labels.tolist()
    with pytest.raises(dlc.ShapeError, match="labels .*cannot be mixed"):
        nn.MixUp()({"images": COLOURS, "labels": np.arange(4)})
    with pytest.raises(dlc.ArgumentError, match="it takes images and labels"):
        nn.RandomFlip()({"images": COLOURS, "bounding_boxes": labels})


def test_erased_parts_of_images():
    layer = nn.RandomErasing((1, 1), (0.25, 0.25), (1, 2, 3), seed=1)
    found = layer(np.zeros((50, 8, 8, 3), np.float32)).numpy()
    assert set(map(tuple, np.unique(found.reshape(-1, 3), axis=0))) == {(0, 0, 0), (1, 2, 3)}
    for image in found[..., 0]:
        rows, columns = image.any(1), image.any(0)
        np.testing.assert_array_equal(image, np.outer(rows, columns))
        assert 3 <= rows.sum() <= 5
        assert 3 <= columns.sum() <= 5
    assert len({tuple(np.argwhere(image)[0]) for image in found[..., 0]}) > 8
    some = nn.RandomErasing(0.5, value_range=(0, 9), seed=1)(np.zeros((400, 8, 8, 3), np.float32))
    erased = some.numpy().any((1, 2, 3)).mean()  # a probability between 0 and a half
    assert 0.15 < erased < 0.35
    assert some.numpy().min() == 0
    assert some.numpy().max() == 9


LAYERS = [
    lambda **k: nn.RandomColorJitter((-9, 9), 0.2, 0.3, 0.8, 0.4, **k),
    lambda **k: nn.RandomErasing(value_range=(-9, 9), **k), nn.CutMix, nn.MixUp,
    lambda **k: nn.RandomShear(0.3, 0.2, **k),
    nn.RandomFlip, lambda **k: nn.RandomTranslation(0.3, (-0.1, 0.4), **k),
    lambda **k: nn.RandomRotation(0.2, **k), lambda **k: nn.RandomZoom((-0.4, 0.2), **k),
    lambda **k: nn.RandomContrast((0.1, 0.9), (-9, 9), **k),
    lambda **k: nn.RandomBrightness((0.1, 0.2), (-9, 9), **k),
]  # fmt: skip


@pytest.mark.parametrize("make", LAYERS)
def test_random_layers_change_images_while_training(make):
    dlc.random.seed(1)
    many = np.tile(np.concatenate([IMAGES, IMAGES[..., :1]], -1), (8, 1, 1, 1))
    layer = make(seed=3)
    first, second = layer(many).numpy(), layer(many).numpy()
    assert not np.array_equal(first, second)
    assert not np.array_equal(first[:3], first[3:6])  # each has its own numbers
    run = make(seed=3)
    np.testing.assert_allclose(dlc.compile(run)(many), first, 1e-5, 1e-5)
    turned = make(seed=3, data_format="channels_first")(many.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(turned.numpy().transpose(0, 2, 3, 1), first, 1e-5, 1e-5)
    assert layer(many[0].astype(np.float16)).dtype == dlc.float16
    assert np.array_equal(layer(many, training=False).numpy(), many)
    layer.eval()
    assert np.array_equal(layer(many).numpy(), many)


def test_random_crop():
    images = np.arange(60 * 6 * 8, dtype=np.float32).reshape(60, 6, 8, 1)
    for size in ((3, 4), (6, 2), (6, 8)):
        layer = nn.RandomCrop(*size, seed=2)
        found = layer(images)[..., 0].numpy()
        starts = [divmod(int(f[0, 0]) % 48, 8) for f in found]
        for image, part, (i, j) in zip(images[..., 0], found, starts, strict=True):
            assert np.array_equal(part, image[i : i + size[0], j : j + size[1]])
        assert {i for i, _ in starts} == set(range(7 - size[0]))  # all of them, each image's own
        assert {j for _, j in starts} == set(range(9 - size[1]))
        again = nn.RandomCrop(*size, seed=2, data_format="channels_first")
        turned = dlc.compile(again)(images.transpose(0, 3, 1, 2))
        assert np.array_equal(turned.numpy()[:, 0], found)
    # Else it resizes as Keras's CenterCrop does images that are smaller.
    for layer, size in ((nn.RandomCrop(3, 4).eval(), (6, 8)), (nn.RandomCrop(9, 4), (2, 9))):
        x = RNG.standard_normal((2, *size, 3)).astype(np.float32)
        close(layer(x), layers.Resizing(*layer.size, crop_to_aspect_ratio=True)(x))


def test_random_numbers_are_within_the_limits():
    bright = nn.RandomBrightness((0.1, 0.2), (0, 1), seed=1)(np.zeros((500, 1, 1, 1), np.float32))
    assert 0.1 <= bright.min().item() < 0.105
    assert 0.195 < bright.max().item() <= 0.2
    plus = np.float32([[[[1.0]], [[-1.0]]]]).repeat(500, 0)
    contrast = nn.RandomContrast((0.5, 0.2), (-9, 9), seed=1)(plus)[:, 0]
    assert 0.5 <= contrast.min().item() < 0.51
    assert 1.19 < contrast.max().item() <= 1.2


def test_models_with_such_layers_are_fitted():
    dlc.random.seed(0)
    x = nn.Input((8, 8, 3), dtype="uint8")
    h = nn.RandomFlip("horizontal", seed=1)(x)
    h = nn.Rescaling(1 / 255)(nn.RandomRotation(0.1, seed=2)(h))
    model = nn.Model(x, nn.Dense(2, activation="softmax")(nn.Flatten()(h)))
    model.compile("adam", "sparse_categorical_crossentropy")
    images = RNG.integers(0, 256, (24, 8, 8, 3)).astype(np.uint8)
    model.fit(images, np.arange(24) % 2, 10, verbose=0)
    assert np.array_equal(model.predict(images), model.predict(images))


# Categories.

SAMPLES = (np.array([[0, 1], [3, 3]]), np.array([[0], [2]]), np.array([1, 2, 2]), np.array(2))


@pytest.mark.parametrize("mode", ["multi_hot", "one_hot", "count"])
def test_category_encoding(mode):
    mine, theirs = nn.CategoryEncoding(4, mode), layers.CategoryEncoding(4, output_mode=mode)
    for x in SAMPLES:
        close(mine(x), theirs(x))
        close(dlc.compile(mine)(x), theirs(x))
    factors = np.float32([[0.1, 0.2], [0.3, 0.4]])
    if mode == "count":
        close(mine(SAMPLES[0], count_weights=factors), theirs(SAMPLES[0], count_weights=factors))


@pytest.mark.parametrize("mode", ["int", "multi_hot", "one_hot", "count"])
def test_discretization(mode):
    x = np.float32([[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]])
    limits = [0.0, 1.0, 2.0]
    close(nn.Discretization(limits, output_mode=mode)(x),
          layers.Discretization(limits, output_mode=mode)(x))  # fmt: skip


def test_discretization_finds_quantiles():
    data = RNG.standard_normal(1000)
    mine, parts = nn.Discretization(num_bins=4), nn.Discretization(num_bins=4)
    mine.adapt(data)
    parts.adapt(iter(np.split(data, 4)))
    assert mine.bin_boundaries == parts.bin_boundaries
    np.testing.assert_allclose(np.bincount(mine(data).numpy()), 250, atol=1)


def table(kind, values):
    """Integers as they are, or as texts."""
    return values if kind is nn.IntegerLookup else np.char.add("t", np.asarray(values, str))


# Of the vocabulary 42, 12, 36, as Keras 3.15 on TensorFlow has it.
FOUND = [
    ({}, "int", [[2, 3, 0], [1, 1, 0]]),
    ({"mask_token": 7}, "int", [[3, 4, 0], [2, 2, 1]]),
    ({"mask_token": 7}, "count", [[0, 0, 1, 1], [1, 2, 0, 0]]),
    ({}, "count", [[1, 0, 1, 1], [1, 2, 0, 0]]),
    ({}, "multi_hot", [[1, 0, 1, 1], [1, 1, 0, 0]]),
    ({"max_tokens": 6, "pad_to_max_tokens": True}, "multi_hot",
     [[1, 0, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]]),
    ({"mask_token": 7}, "one_hot", [[[0, 0, 1, 0], [0, 0, 0, 1], [0] * 4],
                                    [[0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]]),
]  # fmt: skip


@pytest.mark.parametrize("kind", [nn.IntegerLookup, nn.StringLookup])
@pytest.mark.parametrize(("settings", "mode", "wanted"), FOUND)
def test_lookup(kind, settings, mode, wanted):
    how = dict(settings)
    if "mask_token" in how and kind is nn.StringLookup:
        how["mask_token"] = "t7"
    layer = kind(output_mode=mode, **how)
    layer.adapt(table(kind, [[12, 42, 42], [42, 12, 36]]))
    known = [str(t).removeprefix("t") for t in layer.get_vocabulary(include_special_tokens=False)]
    assert known == ["42", "12", "36"]
    x = table(kind, [[12, 36, 7], [42, 42, 99]])
    assert layer(x).tolist() == wanted
    if kind is nn.IntegerLookup:
        assert dlc.compile(layer)(np.array(x)).tolist() == wanted


def test_lookup_both_ways():
    there = nn.IntegerLookup(vocabulary=[5, 6, 8], mask_token=0)
    back = nn.IntegerLookup(vocabulary=there.get_vocabulary(), mask_token=0, invert=True)
    assert there.get_vocabulary() == [0, -1, 5, 6, 8]
    assert back(there(np.array([8, 0, 7, 5]))).tolist() == [8, 0, -1, 5]
    texts = nn.StringLookup(vocabulary=["b", "a"], invert=True)
    assert texts(np.array([[0, 1], [2, 9]])).tolist() == [["[UNK]", "b"], ["a", "[UNK]"]]


def test_a_vocabulary_of_a_file(tmp_path):
    (tmp_path / "words").write_text("cat\ndog\n")
    layer = nn.StringLookup(vocabulary=str(tmp_path / "words"))
    data = dlc.data.Dataset.from_tensor_slices(["dog", "cow", "cat"]).map(layer).batch(3)
    assert next(iter(data)).tolist() == [2, 0, 1]


# As Keras 3.15 on TensorFlow has them.
@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [[4, 3], [2, 3]]),
        ({"mask_value": ""}, [[1, 1], [4, 0]]),
        ({"salt": 133}, [[4, 3], [2, 2]]),
        ({"salt": (133, 137)}, [[4, 0], [2, 0]]),
        ({"output_mode": "multi_hot"}, [[0, 0, 0, 1, 1], [0, 0, 1, 1, 0]]),
        ({"output_mode": "count"}, [[0, 0, 0, 1, 1], [0, 0, 1, 1, 0]]),
    ],
)
def test_hashing(settings, wanted):
    layer = nn.Hashing(num_bins=5, **settings)
    assert layer([["A", "B"], ["C", ""]]).tolist() == wanted
    assert layer(np.array([[b"A", b"B"], [b"C", b""]])).tolist() == wanted


def test_hashes_of_numbers_and_long_texts():
    assert nn.Hashing(3)([1, 2, 3]).tolist() == [0, 1, 0]
    assert nn.Hashing(3)(np.array([1.7, -2.2])).tolist() == [0, 1]
    assert nn.Hashing(10, mask_value=0)(dlc.asarray([0, 1, 2])).tolist() == [0, 1, 5]
    assert nn.Hashing(1, mask_value=0)([0, 1]).tolist() == [0, 0]
    texts = [("0123456789abcdef" * 9)[:n] for n in HASHED]
    assert nn.Hashing(2**40)(texts).tolist() == [h for h, _ in HASHED.values()]
    assert nn.Hashing(2**40, salt=(5, 2**60))(texts).tolist() == [h for _, h in HASHED.values()]


# By how many characters, with FarmHash and SipHash, as TensorFlow has them.
HASHED = {
    0: (254201053263, 681520418590),
    3: (95721452380, 345907914080),
    7: (582902515333, 480752632838),
    8: (1051432577270, 209463412730),
    16: (987247100007, 545094063177),
    17: (775780673801, 802032281604),
    32: (393100643960, 590345918729),
    33: (507751857484, 997378658036),
    64: (71892625664, 150936914066),
    65: (718670662298, 1097762051823),
    128: (962707016509, 102931221502),
    129: (379588402107, 255768043466),
    144: (7730755043, 829644445634),
}

TEXTS = ["Hello, WORLD \u00c9 x\u00a0y  a_b don't", "hello the the"]


# As Keras 3.15 on TensorFlow has them.
@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [[2, 3, 3, 1, 1], [0, 0, 0, 0, 0]]),
        ({"output_sequence_length": 3}, [[2, 3, 3], [0, 0, 0]]),
        ({"output_sequence_length": 6}, [[2, 3, 3, 1, 1, 0], [0, 0, 0, 0, 0, 0]]),
        ({"ngrams": 2, "max_tokens": 4}, [[2, 3, 3, 1, 1, 1, 1, 1, 1], [0] * 9]),
        ({"ngrams": (2,)}, [[1, 1, 1, 1], [0, 0, 0, 0]]),
        ({"standardize": None}, [[2, 5, 5, 1, 1], [0, 0, 0, 0, 0]]),
        ({"output_mode": "count"}, [[2, 1, 2, 0, 0, 0, 0, 0], [0] * 8]),
        ({"output_mode": "multi_hot", "max_tokens": 4}, [[1, 1, 1, 0], [0, 0, 0, 0]]),
        (
            {"output_mode": "tf_idf", "max_tokens": 9, "pad_to_max_tokens": True},
            [[1.334202, 0.693147, 1.021651, 0, 0, 0, 0, 0, 0], [0] * 9],
        ),
    ],
)
def test_texts_as_numbers(settings, wanted):
    layer = nn.TextVectorization(**settings)
    layer.adapt(TEXTS)
    close(layer(["the hello hello \u00e9 zz", ""]), np.asarray(wanted))


def test_words_of_texts():
    layer = nn.TextVectorization()
    layer.adapt(iter([TEXTS[:1], np.array([[t.encode()] for t in TEXTS[1:]])]))
    words = ["the", "hello", "\u00c9", "x\u00a0y", "world", "dont", "ab"]
    assert sorted(layer.get_vocabulary()[2:]) == sorted(words)
    assert layer("the hello").tolist() == [2, 3]
    assert layer([["the"], ["hello no"]]).tolist() == [[2, 0], [3, 1]]
    assert layer([]).shape == (0, 0)
    characters = nn.TextVectorization(split="character", vocabulary=["b", "a"])
    assert characters(["ab", "c"]).tolist() == [[3, 2], [1, 0]]
    own = nn.TextVectorization(
        standardize=lambda x: np.char.replace(x, "-", "+"), split=lambda t: t.split("+"),
        vocabulary=["b", "a b"],
    )  # fmt: skip
    assert own(["a b-b"]).tolist() == [[3, 2]]
    weighed = nn.TextVectorization(
        vocabulary=["a", "b"], output_mode="tf_idf", idf_weights=[0.5, 2.0]
    )
    assert weighed(["a b b c"]).tolist() == [[1.25, 0.5, 4.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Hashing(0), "at least 1"),
        (lambda: nn.Hashing(3, salt=(1, 2, 3)), "a number, or two"),
        (lambda: nn.Hashing(3)([True]), "texts and numbers"),
        (lambda: dlc.compile(nn.Hashing(3))(np.array([1])), "has no texts"),
        (lambda: nn.RandomCrop(0, 3), "at least 1"),
        (lambda: nn.TextVectorization(split="word"), "split"),
        (lambda: nn.TextVectorization(ngrams=0), "at least 1"),
        (lambda: nn.TextVectorization(sparse=True), "sparse"),
        (lambda: nn.TextVectorization(output_mode="count", output_sequence_length=3), "vectors"),
        (lambda: nn.TextVectorization(vocabulary=["a"], output_mode="tf_idf"), "adapt finds them"),
        (lambda: nn.TextVectorization()(["a"]), "has no vocabulary"),
        (lambda: nn.TextVectorization(vocabulary=["a"])([3]), "of int: it takes texts"),
        (lambda: nn.TextVectorization(vocabulary=["a"])([["a", "b"]]), "it takes .texts."),
        (
            lambda: nn.TextVectorization(
                vocabulary=["a"], output_mode="tf_idf", idf_weights=[1.0, 2.0, 3.0]
            ),
            "for 1 words",
        ),
        (lambda: nn.Resizing(0, 3), "both must be at least 1"),
        (lambda: nn.Resizing(2, 3)(np.ones((2, 3), np.float32)), "it takes images"),
        (lambda: nn.Resizing(2, 3, interpolation="cubic"), "interpolation"),
        (lambda: nn.RandomRotation(1.5), "within -1 and 1"),
        (lambda: nn.RandomContrast(-0.5), "within 0 and 1"),
        (lambda: nn.RandomFlip("horizontally"), "horizontal"),
        (lambda: nn.RandomZoom(0.1, fill_mode="edge"), "fill_mode"),
        (lambda: nn.CategoryEncoding(3)(np.array([1, 3])), "3 is no category"),
        (lambda: nn.CategoryEncoding(3)(np.array([1]), count_weights=[1.0]), "count_weights"),
        (nn.Discretization, "either bin_boundaries or num_bins"),
        (lambda: nn.Discretization([1.0, 1.0]), "rising order"),
        (lambda: nn.Discretization(num_bins=3)(np.ones(2)), "call layer.adapt"),
        (lambda: nn.IntegerLookup()(np.array([1])), "has no vocabulary"),
        (lambda: nn.IntegerLookup(vocabulary=[1, 2, 1]), "the token 1 is there twice"),
        (lambda: nn.IntegerLookup(vocabulary=[1, 2], max_tokens=2), "more than max_tokens"),
        (lambda: nn.IntegerLookup(num_oov_indices=0, vocabulary=[1])(np.array([1, 4])), "4 is not"),
        (lambda: nn.StringLookup(vocabulary=["a"], num_oov_indices=0)(["b"]), "b is not in"),
        (lambda: dlc.compile(nn.StringLookup(vocabulary=["a"]))(np.array([1])), "has no texts"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(dlc.DlcError, match=message):
        call()
