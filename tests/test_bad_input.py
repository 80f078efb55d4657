"""Bad input ends in an error of dlc's with a code and the user's line, and leaves nothing behind.

Each case is a line of this file, so that the line that the error quotes can be looked for here.
"""

# ruff: noqa: PLW0108  (errors name the line of the lambda)

from __future__ import annotations

import inspect
import math
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import threading
import traceback
import types
from fnmatch import fnmatch

import numpy as np
import pytest

import dlc
from dlc.cli.main import main
from dlc.frontend import keywords
from dlc.frontend.context import current_trace
from dlc.ir.core import Function, Node
from dlc.ir.parser import parse_function
from dlc.ir.types import TensorType
from dlc.ir.verifier import verify

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROW = np.ones(3, np.float32)
TABLE = np.ones((2, 3), np.float32)
COUNT = np.arange(3)


def fails(call, kind, hint=None):
    """The error of `call`, which says where in this file, by its line, and never where in dlc."""
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    assert type(error) is kind
    text = str(error)
    assert text.startswith(f"{kind.code}: ")
    assert error.location is not None
    assert error.location.file == __file__
    lines = pathlib.Path(__file__).read_text().splitlines()
    assert lines[error.location.line - 1].strip() in text
    assert str(pathlib.Path(dlc.__file__).parent) not in text
    assert "0x" not in text  # no repr of an internal object
    if hint is not None:
        assert error.hint is not None
        assert hint in error.hint
    assert current_trace() is None
    return error


class Unreadable:
    """It has the protocol, and breaks it."""

    def __array__(self, dtype=None, copy=None):
        return "no array"


def fitted(batches=TABLE, **settings):
    model = dlc.nn.Sequential(dlc.nn.Linear(3, 1))
    model.compile("sgd", "mse")
    return model.fit(batches, None, verbose=0, **settings)


MASKED = np.ma.array([1.0, 2.0], mask=[0, 1])

CASES = {
    # Shapes
    "add": (lambda: dlc.asarray(ROW) + dlc.ones(4), dlc.ShapeError),
    "matmul": (lambda: dlc.asarray(TABLE) @ dlc.asarray(TABLE), dlc.ShapeError),
    "matmul of a scalar": (lambda: dlc.asarray(1.0) @ dlc.asarray(ROW), dlc.ShapeError),
    "compiled add": (lambda: dlc.jit(lambda x, y: x + y)(ROW, np.ones(4)), dlc.ShapeError),
    "compiled matmul": (lambda: dlc.jit(lambda x: x @ x)(TABLE), dlc.ShapeError),
    "reshape": (lambda: dlc.reshape(TABLE, (4,)), dlc.ShapeError),
    "reshape to two unknowns": (lambda: dlc.reshape(TABLE, (-1, -1)), dlc.ValueRangeError),
    "reshape to floats": (lambda: dlc.reshape(TABLE, (2.0, 3)), dlc.ArgumentError),
    "broadcast": (lambda: dlc.broadcast_to(ROW, (4,)), dlc.ShapeError),
    "concat": (lambda: dlc.concat([TABLE, ROW]), dlc.ShapeError),
    "stack": (lambda: dlc.stack([TABLE, ROW]), dlc.ShapeError),
    "concat of nothing": (lambda: dlc.concat([]), dlc.ArgumentError),
    "split": (lambda: dlc.split(TABLE, 4), dlc.ShapeError),
    "split into none": (lambda: dlc.split(TABLE, 0), dlc.ValueRangeError),
    "squeeze": (lambda: dlc.squeeze(TABLE, axis=0), dlc.ShapeError),
    "einsum": (lambda: dlc.einsum("ij,jk->ik", TABLE, TABLE), dlc.ShapeError),
    "einsum text": (lambda: dlc.einsum("ij-k", TABLE), dlc.ParseError),
    "max of nothing": (lambda: dlc.max(np.zeros(0)), dlc.ShapeError),
    "negative extent": (lambda: dlc.zeros((-1,)), dlc.ValueRangeError),
    "negative random": (lambda: dlc.random.normal(dlc.random.key(0), (-3,)), dlc.ValueRangeError),
    "rank": (lambda: dlc.asarray(np.ones((1,) * 64))[None], dlc.ShapeError),
    "ragged lists": (lambda: dlc.asarray([[1], [1, 2]]), dlc.ShapeError),
    "assignment": (lambda: dlc.asarray(TABLE).__setitem__(0, np.ones(5)), dlc.ShapeError),
    "variable": (lambda: dlc.Variable(ROW).assign(np.ones(4, np.float32)), dlc.ShapeError),
    # Axes and indices
    "axis": (lambda: dlc.sum(TABLE, axis=5), dlc.IndexRangeError),
    "axis twice": (lambda: dlc.sum(TABLE, axis=(0, 0)), dlc.ValueRangeError),
    "axis of text": (lambda: dlc.sum(TABLE, axis="x"), dlc.ArgumentError),
    "index": (lambda: dlc.asarray(TABLE)[5], dlc.IndexRangeError),
    "compiled index": (lambda: dlc.jit(lambda x: x[-3])(TABLE), dlc.IndexRangeError),
    "many indices": (lambda: dlc.asarray(TABLE)[0, 0, 0], dlc.IndexRangeError),
    "index by text": (lambda: dlc.asarray(TABLE)["a"], dlc.ArgumentError),
    "index by a float": (lambda: dlc.asarray(TABLE)[1.0], dlc.ArgumentError),
    "step of 0": (lambda: dlc.asarray(TABLE)[::0], dlc.ValueRangeError),
    # Element types
    "bitwise": (lambda: dlc.asarray(ROW) & dlc.asarray(ROW), dlc.DTypeError),
    "negative bool": (lambda: -dlc.asarray(True), dlc.DTypeError),
    "take at floats": (lambda: dlc.take(TABLE, np.array([0.5])), dlc.DTypeError),
    "variable of ints": (lambda: dlc.Variable(COUNT).assign(np.ones(3)), dlc.DTypeError),
    "unknown": (lambda: dlc.asarray(1, dtype="floaty"), dlc.DTypeError),
    "objects": (lambda: dlc.relu(np.array([object()])), dlc.DTypeError),
    "texts": (lambda: dlc.jit(dlc.relu)(np.array(["a"])), dlc.DTypeError),
    "records": (lambda: dlc.jit(dlc.relu)(np.zeros(2, [("a", "f4")])), dlc.DTypeError),
    "complex": (lambda: dlc.relu(np.zeros(2, complex)), dlc.DTypeError),
    "dates": (lambda: dlc.relu(np.zeros(2, "M8[s]")), dlc.DTypeError),
    "does not fit": (lambda: dlc.asarray(ROW, dtype="u8") + 300, dlc.ValueRangeError),
    "large integer": (lambda: dlc.asarray(2**70), dlc.ValueRangeError),
    "large integers": (lambda: dlc.asarray([1, 2**70]), dlc.ValueRangeError),
    "large argument": (lambda: dlc.jit(lambda x: x)(2**70), dlc.ValueRangeError),
    "power of integers": (lambda: dlc.asarray(COUNT) ** -1, dlc.ValueRangeError),
    # No data
    "text": (lambda: dlc.relu("a"), dlc.ArgumentError),
    "None": (lambda: dlc.relu(None), dlc.ArgumentError),
    "dict": (lambda: dlc.relu({}), dlc.ArgumentError),
    "set": (lambda: dlc.jit(lambda x: x)({1, 2}), dlc.ArgumentError),
    "bytes": (lambda: dlc.jit(lambda x: x)(b"abc"), dlc.ArgumentError),
    "class": (lambda: dlc.jit(lambda x: x)(int), dlc.ArgumentError),
    "list of objects": (lambda: dlc.asarray([object()]), dlc.ArgumentError),
    "array of text": (lambda: dlc.relu(np.str_("a")), dlc.DTypeError),
    "dtype of several": (lambda: dlc.asarray(1, dtype="i,j"), dlc.DTypeError),
    "one tensor": (lambda: dlc.concat(np.array(1.0)), dlc.ArgumentError),
    "unreadable": (lambda: dlc.asarray(Unreadable()), dlc.ArgumentError),
    "masked": (lambda: dlc.jit(lambda x: x)(MASKED), dlc.ArgumentError),
    "spec": (lambda: dlc.jit(lambda x: x)(dlc.spec((3,))), dlc.ArgumentError),
    "variable of text": (lambda: dlc.Variable("a"), dlc.ArgumentError),
    "function": (lambda: dlc.compile(3), dlc.ArgumentError),
    "grad of no function": (lambda: dlc.grad(3), dlc.ArgumentError),
    "random key": (lambda: dlc.random.normal("k", (3,)), dlc.ArgumentError),
    "seed": (lambda: dlc.random.key(1.5), dlc.ArgumentError),
    "one input": (lambda: dlc.nn.AdditiveAttention()(TABLE), dlc.ArgumentError),
    "no layers": (lambda: dlc.nn.Sequential(1.5), dlc.ArgumentError),
    "groups": (lambda: dlc.nn.ChannelShuffle("a"), dlc.ArgumentError),
    "no groups": (lambda: dlc.nn.ChannelShuffle(0), dlc.ValueRangeError),
    "rate": (lambda: dlc.optim.Adam(lr="fast"), dlc.ArgumentError),
    # Arguments
    "too few": (lambda: dlc.jit(lambda x: x)(), dlc.ArgumentError),
    "too many": (lambda: dlc.jit(lambda x: x)(1, 2), dlc.ArgumentError),
    "unknown name": (lambda: dlc.jit(lambda x: x)(1, y=2), dlc.ArgumentError),
    "given twice": (lambda: dlc.jit(lambda x: x)(1, x=2), dlc.ArgumentError),
    "static list": (lambda: dlc.jit(lambda x, k: x, static_argnums=1)(1, []), dlc.ArgumentError),
    "returns text": (lambda: dlc.jit(lambda x: "s")(1), dlc.ArgumentError),
    "returns a set": (lambda: dlc.jit(lambda x: {x})(1), dlc.ArgumentError),
    "returns a generator": (lambda: dlc.jit(lambda x: (v for v in x))(ROW), dlc.ArgumentError),
    "makes a variable": (lambda: dlc.jit(lambda x: dlc.Variable(x))(1), dlc.ArgumentError),
    "level": (lambda: dlc.jit(lambda x: x, level="O7"), dlc.ValueRangeError),
    "level of ints": (lambda: dlc.jit(lambda x: x, level=2), dlc.ValueRangeError),
    "mode of ints": (lambda: dlc.nn.functional.pad(TABLE, (1, 1), 3), dlc.ValueRangeError),
    "device": (lambda: dlc.jit(lambda x: x, device="tpu")(1), dlc.DeviceError),
    "device of data": (lambda: dlc.asarray(1, device="moon"), dlc.DeviceError),
    "move": (lambda: dlc.asarray(1).to("cuda:9"), dlc.DeviceError),
    "static name": (lambda: dlc.jit(lambda x: x, static_argnames="y"), dlc.ValueRangeError),
    "argnums": (lambda: dlc.grad(lambda x: x, argnums=3)(1.0), dlc.ValueRangeError),
    "argnums of text": (lambda: dlc.grad(lambda x: x, argnums="x")(1.0), dlc.ArgumentError),
    "jvp without tuples": (lambda: dlc.jvp(lambda x: x, ROW, ROW), dlc.ArgumentError),
    "trees": (lambda: dlc.tree.map(lambda x, y: x, [1], [1, 2]), dlc.ShapeError),
    "stage": (lambda: dlc.jit(lambda x: x).lower("f32[2]").as_text("x"), dlc.ValueRangeError),
    "type text": (lambda: dlc.jit(lambda x: x).lower("f32[2"), dlc.ParseError),
    "dtype text": (lambda: dlc.spec("f99[2]"), dlc.DTypeError),
    "arange to NaN": (lambda: dlc.arange(math.nan), dlc.ValueRangeError),
    "arange to infinity": (lambda: dlc.arange(math.inf), dlc.ValueRangeError),
    "arange by infinity": (lambda: dlc.arange(0.0, 1.0, math.inf), dlc.ValueRangeError),
    "axis of classes": (lambda: dlc.losses.categorical_crossentropy(1, 0.5), dlc.IndexRangeError),
    "place of an item": (lambda: dlc.asarray(ROW).item(5), dlc.IndexRangeError),
    "rotary": (lambda: dlc.nn.functional.rotary_embedding(0.5), dlc.ShapeError),
    "places": (lambda: dlc.nn.SinePositionEncoding()(np.float32(1)), dlc.ShapeError),
    "channels": (lambda: dlc.nn.SpatialDropout1D(0.5).train()(TABLE), dlc.ShapeError),
    "matrices": (lambda: dlc.linalg.multi_dot([]), dlc.ShapeError),
    "batch of a number": (lambda: fitted(iter([3])), dlc.ShapeError),
    # Derivatives
    "grad of a vector": (lambda: dlc.grad(lambda x: x)(ROW), dlc.DerivativeError),
    "grad of ints": (lambda: dlc.grad(lambda x: x.sum())(COUNT), dlc.DTypeError),
    "grad of nothing": (lambda: dlc.grad(lambda x: None)(ROW), dlc.DerivativeError),
    "backward": (lambda: dlc.asarray(1.0).backward(), dlc.DerivativeError),
    "cotangent": (lambda: dlc.vjp(lambda x: x, ROW)[1](np.ones(7)), dlc.ShapeError),
    # Settings
    "setting": (lambda: setattr(dlc.config, "num_thread", 2), dlc.SettingError),
    "value of a setting": (lambda: setattr(dlc.config, "num_threads", "two"), dlc.SettingError),
    "scope": (lambda: dlc.config.scope(levl=2).__enter__(), dlc.SettingError),
    "threads": (lambda: dlc.jit(lambda x: x, num_threads="x"), dlc.SettingError),
}


@pytest.mark.parametrize("name", CASES)
def test_error(name):
    fails(*CASES[name])


TRACED = {
    "if": (lambda x: [v for v in (1, 2) if x[0] > v], "where"),
    "and": (lambda x: [v for v in (1, 2) if x[0] and x[1]], "where"),
    "max": (lambda x: max([x[0], x[1]], key=lambda v: v), "where"),
    "int": (lambda x: int(x[0]), "astype"),
    "float": (lambda x: float(x[0]), "tensor"),
    "math": (lambda x: math.exp(x[0]), "tensor"),
    "range": (lambda x: list(range(x.astype("i64")[0])), "static_argnames"),
    "list index": (lambda x: [1, 2][x.astype("i64")[0]], "static_argnames"),
    "slice": (lambda x: x[: x.astype("i64")[0]], "static_argnames"),
    "shape": (lambda x: dlc.zeros((x.astype("i64")[0],)), "static_argnames"),
    "reshape": (lambda x: x.reshape(x.astype("i64")[0], -1), "static_argnames"),
    "item": (lambda x: x[0].item(), ""),
    "format": (lambda x: f"{x[0]:.2f}", ""),
    "numpy": (lambda x: np.asarray(x), "dlc function"),
    "numpy list": (lambda x: np.array([x[0], x[1]]), "dlc function"),
    "numpy function": (lambda x: np.fft.fft(x), "NumPy"),
    "numpy in place": (lambda x: np.zeros(3).__iadd__(x), "dlc function"),
    "dlpack": (lambda x: np.from_dlpack(x), ""),
    "pickle": (lambda x: pickle.dumps(x), ""),
}


@pytest.mark.parametrize("name", TRACED)
def test_value_that_is_not_there(name):
    body, hint = TRACED[name]
    fails(lambda: dlc.jit(body)(ROW), dlc.TracedValueError, hint)


def test_while():
    @dlc.do_not_convert
    def body(x):
        while x.sum() > 0:
            x = x - 1
        return x

    error = fails(lambda: dlc.jit(body)(ROW), dlc.TracedValueError, "where")
    assert "while x.sum() > 0" in str(error)


def test_len():
    assert dlc.jit(lambda x: x * len(x))(ROW).tolist() == [3, 3, 3]
    fails(lambda: dlc.jit(lambda x: len(x[0]))(ROW), dlc.ArgumentError)


def test_operands_that_are_no_tensors_show_no_frame_of_dlc():
    for mistake in [lambda: dlc.asarray(1.0) + "text", lambda: dlc.asarray(1.0) + None]:
        with pytest.raises(TypeError) as caught:
            mistake()
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert {f.filename for f in frames} == {__file__}
    with pytest.raises(AttributeError, match="did you mean 'softmax'"):
        dlc.sofmax  # noqa: B018


MISUSED = {
    "unknown setting": (lambda: dlc.compile(lambda x: x, levl="O2"), "levl", "'level'"),
    "too few": (lambda: dlc.sum(), "'x'", "sum(x, /, axis=None"),
    "unknown name": (lambda: dlc.sum(ROW, axs=0), "axs", "'axis'"),
    "name of PyTorch's": (lambda: dlc.sum(ROW, dim=0), "dim", "'axis'"),
    "too many": (lambda: dlc.exp(ROW, ROW, ROW), "too many", "exp(x, /)"),
    "layer": (lambda: dlc.nn.Linear(3), "out_features", "Linear(in_features, out_features"),
    "bool": (lambda: dlc.sort(ROW, descending=ROW), "bool, got ndarray of shape (3,)", None),
    "number": (lambda: dlc.nn.Dropout("half"), "p must be a number, got 'half'", None),
    "of a function": (lambda: dlc.nn.functional.dropout(ROW, ""), "a number, got ''", None),
    "sequence": (lambda: dlc.switch(0, 1.5), "a sequence, each of it a function", None),
    "tuple": (lambda: dlc.histogram(ROW, range=0), "a tuple of 2: a number, a number", None),
    "call of a layer": (lambda: dlc.nn.Linear(3, 2)(ROW, ROW), "Linear: too many", "Linear(x)"),
    "several inputs": (lambda: dlc.nn.Bilinear(3, 3, 2)(ROW), "missing a required", "x2"),
    "path": (lambda: dlc.callbacks.CSVLogger(3), "filename must be text or a PathLike", None),
    "setting of fit": (lambda: fitted(validation_split="a"), "fit: validation_split must be", None),
    "unknown to fit": (lambda: fitted(batch_sizes=3), "fit: got an unexpected", "'batch_size'"),
    "path of weights": (lambda: dlc.nn.Linear(3, 2).save_weights(3), "path must be text or", None),
    "item": (lambda: dlc.asarray(ROW).item("a"), ".item() of f32[3]", None),
    "metric": (lambda: dlc.metrics.AUC("a"), "num_thresholds must be an integer", None),
    "loss": (lambda: dlc.losses.BinaryCrossentropy(label_smoothing="a"), "a number", None),
}


@pytest.mark.parametrize("name", MISUSED)
def test_arguments_of_another_kind_are_named(name):
    call, said, hint = MISUSED[name]
    error = fails(call, dlc.ArgumentError, hint)
    assert said in error.message
    frames = traceback.extract_tb(error.__traceback__)
    assert sum(f.filename.startswith(os.path.dirname(dlc.__file__)) for f in frames) <= 1


def test_an_axis_that_is_none():
    fails(lambda: dlc.expand_dims(ROW, None), dlc.ArgumentError, None)


def test_large_arguments():
    fails(lambda: dlc.round(ROW, decimals=10**400), dlc.ValueRangeError)
    fails(lambda: dlc.tril_indices(10**90), dlc.ValueRangeError)  # they took forever
    fails(lambda: dlc.triu_indices(2**50), dlc.MemoryLimitError)
    fails(lambda: dlc.diag_indices(2**50), dlc.MemoryLimitError)
    fails(lambda: dlc.zeros((0, 2**62)), dlc.MemoryLimitError)
    fails(lambda: dlc.unique_values(ROW, size=2**62), dlc.MemoryLimitError)


def test_mistakes_that_are_no_arguments_pass_through(monkeypatch):
    def wrong(x):
        raise IndexError("mine")

    with pytest.raises(IndexError, match="mine") as caught:
        dlc.map(wrong, ROW)
    assert not isinstance(caught.value, dlc.DlcError)
    monkeypatch.setattr("dlc.frontend.functions.sorting.find_axis", lambda *_: ROW["mistake"])
    with pytest.raises(IndexError) as caught:  # of dlc's own
        dlc.sort(ROW)
    assert not isinstance(caught.value, dlc.DlcError)


def test_public_functions_are_one_by_any_name_and_can_be_sent():
    assert dlc.concatenate is dlc.concat
    assert dlc.nn.functional.relu is dlc.relu
    assert dlc.linalg.matmul is dlc.matmul
    for module in (dlc, dlc.linalg, dlc.special, dlc.random, dlc.nn.functional, dlc.nn.init):
        # Of sigmoid and special.expit, either may be asked for first.
        for name in (n for n in dir(module) if n[0] != "_"):
            function = getattr(module, name)
            if isinstance(function, types.FunctionType) and function.__module__[:3] == "dlc":
                assert pickle.loads(pickle.dumps(function)) is function


def test_exceptions_of_the_user_pass_through():
    failing = [True]

    @dlc.jit
    def f(x):
        y = x + 1
        if failing[0]:
            raise KeyError("mine")
        return y * 2

    for call in (f, lambda x: dlc.grad(lambda y: f(y).sum())(x), f.lower, f.warmup):
        with pytest.raises(KeyError, match="mine"):
            call(ROW)
        assert current_trace() is None
    assert f.stats.compilations == 0
    failing[0] = False
    assert f(ROW).tolist() == [4, 4, 4]
    assert f.stats.compilations == 1
    assert dlc.grad(lambda y: f(y).sum())(ROW).tolist() == [2, 2, 2]


LATER = {
    "reshape": (lambda x: x.reshape(2, -1), (4, 6, 8), 7, dlc.ShapeError),
    "split": (lambda x: dlc.split(x, 2)[0], (4, 6, 8), 7, dlc.ShapeError),
    "index": (lambda x: x[3], (4, 6, 8), 2, dlc.IndexRangeError),
    "broadcast": (lambda x: x + np.ones(x.shape[0] // 9 + 1), (4, 6, 8), 20, dlc.ShapeError),
    "empty": (lambda x: dlc.max(x), (4, 6, 8), 0, dlc.ShapeError),
}


@pytest.mark.parametrize("name", LATER)
def test_a_shape_that_fails_later_spoils_nothing(name):
    body, good, bad, kind = LATER[name]
    f = dlc.jit(body)
    for n in good:
        f(np.ones(n))
    for _ in range(2):
        fails(lambda: f(np.ones(bad)), kind)
    traced = f.stats.compilations
    for n in good:
        assert f(np.ones(n)).numpy().max() == (2 if name == "broadcast" else 1)
    assert f.stats.compilations == traced


def test_a_failed_call_leaves_variables_alone():
    v = dlc.Variable(ROW)

    @dlc.jit
    def f(x):
        v.assign_add(1)
        return v + x

    fails(lambda: f(np.ones(4)), dlc.ShapeError)
    assert v.tolist() == [1, 1, 1]
    assert f(ROW).tolist() == [3, 3, 3]
    assert v.tolist() == [2, 2, 2]


def test_endless_recursion():
    @dlc.jit
    def f(x):
        return f(x) + 1

    with pytest.raises(RecursionError):
        f(ROW)
    assert current_trace() is None
    assert dlc.jit(lambda x: x + 1)(ROW).tolist() == [2, 2, 2]


def test_generators():
    def pieces(x):
        yield x + 1
        yield x * 3

    a, b = dlc.jit(lambda x: list(pieces(x)))(ROW)
    assert (a.tolist(), b.tolist()) == ([2, 2, 2], [3, 3, 3])

    @dlc.jit
    def half_used(x):
        return next(pieces(x))

    assert half_used(ROW).tolist() == [2, 2, 2]


def test_threads_inside_a_traced_function_do_not_join_the_trace():
    found = []

    @dlc.jit
    def f(x):
        def other():
            try:
                found.append(x + 1)
            except dlc.DlcError as error:
                found.append(type(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x

    f(ROW)
    assert found == [dlc.TracedValueError]


def test_leaked_values():
    kept = []
    dlc.jit(lambda x: kept.append(x) or x)(ROW)
    dlc.grad(lambda x: kept.append(x) or x.sum())(ROW)
    for value in kept:
        fails(lambda v=value: v + 1, dlc.LeakedTracerError)
        fails(lambda v=value: v.numpy(), dlc.LeakedTracerError)
        fails(lambda v=value: dlc.jit(lambda y: y + v)(ROW), dlc.LeakedTracerError)
        assert "ended" in repr(value)


def test_leaked_extents():
    # The extent of one trace must not be taken for the extent of the same name of another.
    kept = []
    f = dlc.jit(lambda x: kept.append(x.shape[0]) or x)
    for n in (3, 4):
        f(np.ones(n))
    extent = kept[-1]
    assert not isinstance(extent, int)
    g = dlc.jit(lambda y: y * 2 + extent)
    for n in (3, 4):
        fails(lambda n=n: g(np.ones(n)), dlc.LeakedTracerError, "return")
    for use in (int, lambda e: e + 1, lambda e: e > 2, lambda e: dlc.zeros(e), lambda e: e / 2):
        fails(lambda use=use: use(extent), dlc.LeakedTracerError)


def test_extents_serve_inside_nested_transforms():
    @dlc.jit
    def g(x):
        seen = []
        gradient = dlc.grad(lambda y: seen.append(y.shape[0]) or (y * y).sum() / x.shape[0])(x)
        return gradient * seen[0]

    for n in (3, 4, 7):
        np.testing.assert_allclose(g(np.ones(n)).numpy(), np.full(n, 2.0))
    assert g.stats.compilations == 2


def test_donated_values():
    f = dlc.jit(lambda x: x + 1, donate_argnums=0)
    x = dlc.ones((1000,)) + 0
    f(x)
    for use in (lambda: x + 1, lambda: f(x), lambda: x.numpy(), lambda: x.tolist()):
        fails(use, dlc.DonatedBufferError, "donate_argnums")
    assert repr(x) == "<donated f32[1000]>"
    both = dlc.jit(lambda x, y: x + y, donate_argnums=(0, 1))
    y = dlc.ones((1000,)) + 0
    assert both(y, y).numpy()[0] == 2


# Trees


def test_trees_that_change():
    f = dlc.jit(lambda t: dlc.tree.leaves(t)[0] * 2)
    for tree in ([ROW], {"a": ROW}, (ROW, ROW), [ROW, [ROW]], [ROW, None]):
        assert f(tree).tolist() == [2, 2, 2]
    assert f.stats.compilations == 5
    assert f([ROW]).tolist() == [2, 2, 2]
    assert f.stats.compilations == 5


def test_large_and_deep_trees():
    tree = {k: [np.float32(k), (np.float32(1),)] for k in range(1000)}
    assert dlc.jit(lambda t: t[999][0] + t[0][1][0])(tree).item() == 1000
    deep = ROW
    for _ in range(100):
        deep = [deep]
    assert dlc.jit(lambda t: dlc.tree.leaves(t)[0] + 1)(deep).tolist() == [2, 2, 2]
    itself = []
    itself.append(itself)
    fails(lambda: dlc.jit(lambda t: 1)(itself), dlc.ArgumentError)


# Arrays of every kind


BASE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
READ_ONLY = BASE.copy()
READ_ONLY.flags.writeable = False
UNALIGNED = np.frombuffer(b"x" + BASE.tobytes(), np.uint8)[1:].view(np.float32)
ARRAYS = {
    "transposed": BASE.T,
    "strided": BASE[:, ::-2, 1::2],
    "repeated": np.broadcast_to(BASE[:, :1], (2, 3, 4)),
    "fortran": np.asfortranarray(BASE),
    "swapped": BASE.astype(">f4"),
    "swapped integers": BASE.astype(">i2"),
    "read-only": READ_ONLY,
    "unaligned": UNALIGNED,
    "scalar": np.array(3.0, np.float32),
    "numpy scalar": np.float32(3),
    "empty": BASE[:0],
    "empty inside": BASE[:, :0],
    "size one": BASE[:1, :1, :1],
    "half": BASE.astype(np.float16),
    "bfloat16": BASE.astype(dlc.bfloat16.numpy),
    "special": np.array([np.nan, -0.0, np.inf, -np.inf], np.float32),
    "matrix": np.ones((2, 2), np.float32).view(np.matrix),
    "recarray": np.ones(2, np.float32).view(np.recarray),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name):
    array = ARRAYS[name]
    before = np.array(array, copy=True)
    expected = np.asarray(array).astype(np.asarray(array).dtype.newbyteorder("="))
    for give in (np.asarray, dlc.asarray, lambda a: a):
        doubled = dlc.jit(lambda x: (x + x, x))(give(array))
        for result, wanted in zip(doubled, (expected + expected, expected), strict=True):
            np.testing.assert_array_equal(result.numpy(), wanted)
            np.testing.assert_array_equal(np.signbit(result.numpy()), np.signbit(wanted))
            assert result.numpy().dtype == wanted.dtype
    np.testing.assert_array_equal(np.asarray(array), np.asarray(before))


def test_integers_divided_by_zero():
    # The rule of docs/semantics.md: the quotient and the remainder are 0, the process lives.
    low = np.array([-5, 0, 5, np.iinfo(np.int64).min], np.int64)
    f = dlc.jit(lambda x, y: (x // y, x % y))
    quotient, remainder = f(low, np.zeros(4, np.int64))
    assert (quotient.tolist(), remainder.tolist()) == ([0] * 4, [0] * 4)
    quotient, remainder = f(low, np.full(4, -1))
    assert quotient.tolist() == [5, 0, -5, np.iinfo(np.int64).min]
    assert remainder.tolist() == [0] * 4


# Sizes beyond memory: in a process with little of it, as the system may promise more than it has


SIZES = """
import resource, sys
import numpy as np
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
import dlc
one = np.ones((1,), np.float32)
square = dlc.jit(lambda x: dlc.broadcast_to(x, (x.shape[0],) * 4) * 2)
for n in (2, 3):
    square(np.ones(n, np.float32))
T = 10**12
calls = [
    lambda: dlc.zeros((T,)) + 1,
    lambda: dlc.zeros((T, T)),
    lambda: dlc.zeros((2**70,)),
    lambda: dlc.ones((2**63,)),
    lambda: dlc.arange(T),
    lambda: dlc.eye(10**7),
    lambda: dlc.zeros((T,)).numpy(),
    lambda: repr(dlc.zeros((T,))),
    lambda: dlc.zeros((T,)).sum(),
    lambda: dlc.outer(np.ones(10**6), np.ones(10**6)),
    lambda: dlc.jit(lambda x, y: x @ y)(np.ones((10**6, 1)), np.ones((1, 10**6))),
    lambda: dlc.jit(lambda x: dlc.broadcast_to(x, (T,)))(one),
    lambda: dlc.jit(lambda x: dlc.broadcast_to(x, (T, T)))(one),
    lambda: dlc.repeat(np.ones(3), T),
    lambda: dlc.tile(np.ones(3), (T,)),
    lambda: dlc.pad(one, T),
    lambda: dlc.random.normal(dlc.random.key(0), (T,)),
    lambda: dlc.one_hot(np.arange(10), T),
    lambda: square(np.ones(10**4, np.float32)),
    lambda: square(np.ones(10**6, np.float32)),
]
for k, call in enumerate(calls):
    try:
        call()
        print(k, "no error")
    except dlc.MemoryLimitError as error:
        assert isinstance(error, MemoryError)
        assert error.location.file == "<string>", error
        assert error.code == "DLC502"
        assert error.hint or "more memory" in error.message, error
print(dlc.zeros((T,))[5].item(), square(np.ones(2, np.float32)).sum().item())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
def test_sizes_beyond_memory():
    done = run_python(SIZES)
    assert (done.stdout, done.stderr, done.returncode) == ("0.0 32.0\n", "", 0)


def run_python(code, **environ):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


# Text


GOOD = """func @f(%x: f32[3]) -> (f32[3]) {
  %0: f32[3] = exp(%x)
  return %0
}
"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("func", "fun", 1), ("f32[3]) ->", "f33[3]) ->", 1), ("{", "", 1), ("exp", "oops", 2),
        ("%x)\n", "%y)\n", 2), ("}\n", "", 3), ("return %0", "return %1", 3), ("[3] =", "[=", 2),
        ("exp(%x)", "exp(%x, %x)", 2), ("= exp", "= \x00", 2), ("return %0", "return %0 \ud800", 3),
    ],
)  # fmt: skip
def test_malformed_text(old, new, line):
    assert parse_function(GOOD)
    text = GOOD.replace(old, new, 1)
    with pytest.raises(dlc.DlcError) as caught:
        verify(parse_function(text))
    error = caught.value
    assert error.location.file == __file__
    assert isinstance(error, dlc.ParseError)
    assert abs(error.line - line) <= 1  # what is missing is noticed at the next token
    assert f"line {error.line}, column {error.column}" in str(error)


def test_functions_that_break_a_rule_are_not_compiled():
    good = parse_function(GOOD)
    node = good.nodes[0]
    wrong = Node(node.op, node.inputs, node.attrs, TensorType(dlc.float64, (3,)), node.loc)
    broken = Function("f", good.params, [wrong], [wrong])
    error = fails(lambda: dlc.compile(broken, verify=True)(ROW), dlc.VerifyError)
    assert "the type is f64[3], but exp gives f32[3]" in str(error)
    assert "%0: f64[3] = exp(%x)" in str(error)
    text = GOOD.replace("%0: f32[3]", "%0: f64[3]")
    error = fails(lambda: dlc.compile(parse_function(text))(ROW), dlc.ParseError)
    assert "declared f64[3], but exp gives f32[3]" in str(error)


FILES = {
    "cut.ir": GOOD[:40].encode(), "bytes.ir": bytes(range(256)), "empty.ir": b"",
    "mistake.py": b"import dlc\ndef f(x:", "raises.py": b"raise SystemExit(3)",
}  # fmt: skip


@pytest.mark.parametrize("command", ["run", "verify", "dump", "bisect"])
def test_malformed_files(command, tmp_path, capsys):
    for name, content in FILES.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert main([command, str(path)]) == 2
        shown = capsys.readouterr().err
        assert ("SyntaxError" if name == "mistake.py" else "DLC") in shown, (name, shown)
        assert name in shown
        assert str(ROOT / "dlc") not in shown, (name, shown)


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("DLC_NUM_THREAD", "3", "DLC_NUM_THREADS"), ("DLC_NUM_THREADS", "two", "whole number"),
        ("DLC_ISA", "x86-64-v9", "x86-64-v"), ("DLC_DEVICE", "tpu", "tpu"),
        ("DLC_LOGS", "compyle", "compile"),
    ],
)  # fmt: skip
def test_environment(variable, value, word):
    code = "import dlc\nprint(dlc.jit(lambda x: x + 1)(1.0).tolist())"
    done = run_python(code, **{variable: value})
    assert done.returncode == 1
    error = done.stderr[done.stderr.rindex("dlc.ir.errors.") :]
    assert "DLC401: " in error or "DLC503: " in error
    assert word in error
    assert "at <string>:" in error


# The cache


CACHED = """
import numpy as np, dlc
f = dlc.jit(lambda x, w: dlc.softmax(x @ w) * 3)
x = np.random.default_rng(0).standard_normal((9, 9)).astype(np.float32)
print(f(x, x).numpy().tobytes().hex())
"""


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    for k in range(0, len(content), 7):
        content[k] ^= 0x10
    path.write_bytes(content)


def clear(path):
    path.write_bytes(b"")


def replace(path):
    path.unlink()
    path.mkdir()


def swap_content(path):
    others = sorted(p for p in path.parent.parent.rglob("*") if p.is_file() and p != path)
    path.write_bytes(others[0].read_bytes() if others else b"")


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """A cache that a process has filled, and what the process printed."""
    folder = tmp_path_factory.mktemp("filled") / "cache"
    first = run_python(CACHED, DLC_CACHE_DIR=str(folder))
    assert (first.returncode, first.stderr) == (0, "")
    return folder, first.stdout


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [(cut, "*"), (flip, "*"), (clear, "*"), (replace, "*"), (swap_content, "*"), (flip, "kernel*"),
     (pathlib.Path.unlink, "kernel*"), (pathlib.Path.unlink, "program*")],
    ids=lambda x: getattr(x, "__name__", x),
)  # fmt: skip
def test_corrupt_cache(damage, kinds, cached, tmp_path):
    filled, printed = cached
    folder = tmp_path / "cache"
    shutil.copytree(filled, folder)
    chosen = [p for p in folder.rglob("*") if p.is_file() and fnmatch(p.parts[-3], kinds)]
    assert chosen
    for path in chosen:
        damage(path)
    again = run_python(CACHED, DLC_CACHE_DIR=str(folder))
    assert (again.returncode, again.stdout) == (0, printed)


def test_gpu_is_not_said_to_be_meant_as_cpu():
    for call in (
        lambda: dlc.jit(lambda x: x, device="gpu")(1),
        lambda: dlc.device("gpus").__enter__(),
    ):
        with pytest.raises(dlc.DeviceError) as caught:
            call()
        assert "are cpu" in caught.value.hint


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dlc.add(TABLE, 1, out=TABLE), "values never change"),
        (lambda: dlc.exp(TABLE, where=TABLE > 0), "dlc.where(mask, x, y)"),
        (lambda: dlc.matmul(TABLE, ROW, precision="highest"), "the operands' dtype decides"),
        (lambda: dlc.dot(ROW, ROW, preferred_element_type="f4"), "convert the operands"),
        (lambda: dlc.asarray(TABLE).sum(dim=1), "did you mean 'axis'"),
        (lambda: dlc.asarray(TABLE).reshape(6, order="F"), "row-major"),
        (lambda: dlc.asarray(TABLE).squeeze(dim=0), "did you mean 'axis'"),
        (lambda: dlc.asarray(TABLE).cumsum(dim=0), "did you mean 'axis'"),
        (lambda: dlc.asarray(TABLE).clip(a_min=0), "did you mean 'min'"),
        (lambda: dlc.asarray(ROW).argsort(kind="stable"), "stable= says"),
        (lambda: dlc.sort(ROW, kind="stable"), "stable= says"),
        (lambda: dlc.softmax(ROW, where=ROW > 0), "choose before"),
        (lambda: dlc.where(ROW > 0, size=2), "dlc.nonzero"),
        (lambda: dlc.vmap(abs, in_dims=0), "did you mean 'in_axes'"),
        (lambda: dlc.vmap(abs, axis_name="i"), "outside of vmap"),
        (lambda: dlc.grad(abs, holomorphic=True), "no complex numbers"),
        (lambda: dlc.checkpoint(abs, policy=None), "computed again"),
        (lambda: dlc.compile(abs, fullgraph=True), "compiled whole"),
        (lambda: dlc.random.normal(loc=1.0, scale=2.0), "loc + scale * dlc.random.normal"),
    ],
)
def test_arguments_of_other_frameworks_say_what_does_it_here(call, words):
    fails(call, dlc.ArgumentError, hint=words)


def test_what_is_said_of_arguments_of_other_frameworks_is_of_functions_that_have_none():
    """Each entry of one function is of a public one, which has not got the argument after all."""
    for place in (k for k in keywords._HABITS if "." in k):
        name, argument = place.split(".")
        homes = [m for m in (dlc, dlc.linalg, dlc.random) if hasattr(m, name)]
        assert homes, place
        assert argument not in inspect.signature(getattr(homes[0], name)).parameters, place
