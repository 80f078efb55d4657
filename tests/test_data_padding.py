"""Sequences of different lengths as one array, against Keras's and PyTorch's functions."""

from __future__ import annotations

import doctest
import os
import warnings

import numpy as np
import pytest
import torch

import dlc
from dlc.data import padding

os.environ["KERAS_BACKEND"] = "torch"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras

ROWS = [[1, 2, 3, 4], [], [5], [6, 7]]
TEXTS = [["a", "word"], ["longer", "b", "c"]]


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("maxlen", [None, 1, 3, 6])
def test_pad_sequences_is_keras(padding, truncating, maxlen):
    how = {"padding": padding, "truncating": truncating, "maxlen": maxlen}
    for given, more in (
        (ROWS, {}),
        ([np.arange(n) for n in (2, 0, 3)], {"dtype": "int64", "value": -1}),
        ([np.ones((n, 2)) / 4 for n in (0, 3, 2)], {"dtype": "float32", "value": 0.5}),
        (TEXTS, {"dtype": object, "value": "-"}),
    ):
        got = dlc.data.pad_sequences(given, **how, **more)
        wanted = keras.utils.pad_sequences(given, **how, **more)
        assert got.dtype == wanted.dtype
        assert got.tolist() == wanted.tolist()


def test_pad_sequences_beyond_keras():
    assert dlc.data.pad_sequences(TEXTS, dtype=str, value="").tolist() == [
        ["", "a", "word"], ["longer", "b", "c"],
    ]  # fmt: skip
    assert dlc.data.pad_sequences(ROWS, maxlen=0).shape == (4, 0)
    assert dlc.data.pad_sequences([]).shape == (0, 0)
    assert dlc.data.pad_sequences([dlc.asarray([1.0])], dtype=dlc.float16).dtype == np.float16


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("first", [True, False])
def test_pad_sequence_is_pytorch(side, first):
    for shapes, kind in ((((3,), (1,), (0,)), np.float32), (((2, 4), (5, 4)), np.int64)):
        given = [np.arange(np.prod(s)).reshape(s).astype(kind) for s in shapes]
        got = dlc.data.pad_sequence([dlc.asarray(x) for x in given], first, 7, side)
        wanted = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(x) for x in given], first, 7, padding_side=side
        )
        assert got.numpy().dtype == kind
        assert np.array_equal(got.numpy(), wanted.numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dlc.data.pad_sequences(ROWS, padding="left"), "padding='left'"),
        (lambda: dlc.data.pad_sequences(ROWS, truncating="left"), "truncating='left'"),
        (lambda: dlc.data.pad_sequences(ROWS, maxlen=-1), "at least 0"),
        (lambda: dlc.data.pad_sequences([[0.5]]), 'dtype="float32"'),
        (lambda: dlc.data.pad_sequences(TEXTS, value="-"), "dtype=object"),
        (lambda: dlc.data.pad_sequences([1, 2]), "element 0, 1, is no sequence"),
        (lambda: dlc.data.pad_sequences(3), "takes a list"),
        (lambda: dlc.data.pad_sequences("abc"), "takes a list"),
        (lambda: dlc.data.pad_sequences([np.ones((1, 2)), np.ones((1, 3))]), "shape"),
        (lambda: dlc.data.pad_sequence([]), "no sequences"),
        (lambda: dlc.data.pad_sequence([np.ones(2)], padding_side="pre"), "padding_side"),
        (lambda: dlc.data.pad_sequence([np.ones((1, 2)), np.ones((1, 3))]), "shape"),
    ],
)
def test_wrong_use_is_an_error(call, message):
    with pytest.raises(dlc.DlcError, match=message):
        call()


def test_examples():
    assert doctest.testmod(padding).failed == 0
