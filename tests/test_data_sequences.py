"""Sequences as arrays, against Keras's and PyTorch's functions; windows of series by definition."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import torch

import dlc

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


@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize(("length", "stride", "rate"), [(1, 1, 1), (3, 1, 1), (3, 2, 2), (4, 3, 1)])
@pytest.mark.parametrize(("start", "end"), [(None, None), (2, 12), (None, 9)])
def test_windows_of_a_series(batch, length, stride, rate, start, end):
    series = np.arange(26).reshape(13, 2)
    for targets in (None, np.arange(13) * 10, np.arange(7)):
        made = dlc.data.timeseries_dataset_from_array(
            series, targets, length, stride, rate, batch, start_index=start, end_index=end
        )
        part, goals = (None if x is None else x[start:end] for x in (series, targets))
        begins = range(0, len(part) - (length - 1) * rate, stride)
        begins = [b for b in begins if goals is None or b < len(goals)]
        found = [x if isinstance(x, tuple) else (x,) for x in made]
        if batch is None:
            found = [tuple(np.asarray(v)[None] for v in x) for x in found]
        assert all(len(x[0]) <= (batch or 1) for x in found)
        wanted = np.stack([part[b : b + (length - 1) * rate + 1 : rate] for b in begins])
        assert np.array_equal(np.concatenate([x[0] for x in found]), wanted)
        if goals is not None:
            assert np.array_equal(np.concatenate([x[1] for x in found]), goals[begins])


def test_shuffled_windows_of_a_series():
    made = dlc.data.timeseries_dataset_from_array(
        np.arange(20.0), np.arange(20), 4, batch_size=5, shuffle=True, seed=3
    )
    orders = [np.concatenate([goal for _, goal in made]) for _ in range(2)]
    assert [sorted(o) for o in orders] == [list(range(17))] * 2
    assert not np.array_equal(*orders)
    assert all((x[:, 0] == goal).all() for x, goal in made)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence_length": 0}, "sequence_length=0"),
        ({"sequence_length": 2, "sampling_rate": 0}, "sampling_rate=0"),
        ({"sequence_length": 2, "batch_size": 0}, "batch_size=0"),
        ({"sequence_length": 2, "start_index": 5}, "start_index=5"),
        ({"sequence_length": 2, "end_index": 6}, "end_index=6"),
        ({"sequence_length": 6}, "there is none"),
    ],
)
def test_windows_that_there_are_not(settings, message):
    with pytest.raises(dlc.ValueRangeError, match=message):
        dlc.data.timeseries_dataset_from_array(np.arange(5), None, **settings)
