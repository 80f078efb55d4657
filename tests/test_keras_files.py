"""Weights that Keras has written, in models of the same layers."""

from __future__ import annotations

import os
import sys
import warnings

import numpy as np
import pytest

import dlc
from dlc import nn

os.environ["KERAS_BACKEND"] = "torch"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")  # its own use of NumPy
RNG = np.random.default_rng(4)
IMAGES = RNG.standard_normal((3, 8, 8, 2)).astype(np.float32)
X = RNG.standard_normal((5, 4)).astype(np.float32)


def images(of, layers):
    inner = [layers.Dense(6, activation="relu"), layers.Dense(6)]
    first = [layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()]
    last = [layers.Conv2D(4, 3), layers.Flatten(), layers.Dropout(0.5), of(inner), layers.Dense(3)]
    return of(first + last)


def written(model, path):
    """Other weights than the first, in a file."""
    model.set_weights([RNG.random(w.shape).astype(np.float32) for w in model.get_weights()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_weights(path)
    return path


def close(ours, theirs, *x):
    wanted = theirs.predict(*x, verbose=0)
    np.testing.assert_allclose(ours.predict(*x), wanted, rtol=2e-4, atol=2e-5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.weights.h5"


def test_sequences_of_layers_nested_with_buffers_and_optimizer(path):
    theirs, ours = images(keras.Sequential, keras.layers), images(nn.Sequential, nn)
    theirs.compile("adam", "mse")
    theirs.fit(IMAGES, np.zeros((3, 3)), verbose=0)
    ours(IMAGES)
    ours.load_weights(written(theirs, path))
    close(ours, theirs, IMAGES)


def test_graphs_of_layers_with_recurrence_and_attention(path):
    def made(front, layers, model):
        x = front.Input((5,), dtype="int32")
        h = layers.Embedding(7, 4)(x)
        h = layers.Bidirectional(layers.GRU(3, return_sequences=True))(h)
        h = layers.LayerNormalization()(layers.MultiHeadAttention(2, 2)(h, h))
        h = layers.LSTM(4)(h)
        left, right = layers.Dense(4, name="left")(h), layers.Dense(4, name="right")(h)
        return model(x, layers.Dense(2)(layers.Concatenate()([right, left])))

    theirs, ours = made(keras, keras.layers, keras.Model), made(nn, nn, nn.Model)
    ours.load_weights(written(theirs, path))
    close(ours, theirs, RNG.integers(0, 7, (3, 5)).astype(np.int32))


def test_models_of_ones_own(path):
    def made(base, layers):
        class Own(base):
            def __init__(self):
                super().__init__()
                self.first = layers.Dense(3)
                self.blocks = [layers.Dense(3), layers.Dense(3)]

            def call(self, x):
                x = self.first(x)
                for block in self.blocks:
                    x = block(x)
                return x

        model = Own()
        model(X)
        return model

    theirs, ours = made(keras.Model, keras.layers), made(nn.Module, nn)
    ours.load_weights(written(theirs, path))
    close(ours, theirs, X)


def two(of, layers, *widths):
    model = of([layers.Dense(n) for n in widths])
    model(X)
    return model


def test_all_that_does_not_fit_is_told_at_once(path):
    written(two(keras.Sequential, keras.layers, 3, 3, 2), path)
    ours = two(nn.Sequential, nn, 3, 4, 2, 1)
    before = [w.copy() for w in ours.get_weights()]
    with pytest.raises(dlc.ValueRangeError) as error:
        ours.load_weights(path)
    said = str(error.value)
    assert "layers/dense_1/vars/0: the model has f32[3,4], the state f32[3,3]" in said
    assert "layers/dense_2/vars/0" in said
    assert "layers/dense_3/vars/1: missing" in said
    for a, b in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    short = two(nn.Sequential, nn, 3)
    with pytest.raises(dlc.ValueRangeError, match="layers/dense_1/vars/0: not in the model"):
        short.load_weights(path)
    short.load_weights(path, strict=False)
    with pytest.raises(dlc.ValueRangeError, match="call the model once first"):
        nn.Sequential(nn.Dense(3)).load_weights(path)


def test_layers_of_a_graph_that_only_names_tell_apart(path):
    x = nn.Input((4,))
    model = nn.Model(x, nn.Dense(4)(nn.Dense(4)(x)))
    written(two(keras.Sequential, keras.layers, 4, 4), path)
    with pytest.raises(dlc.ArgumentError, match="several layers Dense have the same shapes"):
        model.load_weights(path)


def test_files_that_cannot_be_read(path, monkeypatch):
    ours = two(nn.Sequential, nn, 3)
    with pytest.raises(FileNotFoundError):
        ours.load_weights(path)
    written(two(keras.Sequential, keras.layers, 3), path)
    whole = path.read_bytes()
    for broken in (b"", whole[:700], b"no file of HDF5"):
        path.write_bytes(broken)
        with pytest.raises(dlc.FileFormatError, match="no HDF5 file"):
            ours.load_weights(path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(dlc.ArgumentError, match="h5py"):
        ours.load_weights(path)
