"""Callbacks beside Keras's: the order of hooks, and what each does with the same numbers."""

from __future__ import annotations

import csv
import math
import os
import warnings

import numpy as np
import pytest

import dlc
from dlc import callbacks, losses, nn, optim
from dlc.callbacks.base import HOOKS

RNG = np.random.default_rng(5)
X = RNG.standard_normal((20, 4)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(np.int64)


@pytest.fixture(scope="module")
def keras():
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
    return keras


def classifier(optimizer="adam"):
    dlc.random.seed(0)
    model = nn.Sequential(nn.Dense(3, activation="relu"), nn.Dense(2))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def recorder(base):
    """A callback on Keras's base or on dlc's that writes down the calls of all hooks."""
    calls = []

    class Recorder(base):
        pass

    for name in callbacks.base.HOOKS:

        def hook(self, *args, name=name, logs=None):
            given = [*args, logs] if logs is not None else list(args)
            calls.append((name, *(sorted(a) if isinstance(a, dict) else a for a in given)))
            if name.startswith("on_train_batch"):
                getattr(base, name)(self, *args, **({} if logs is None else {"logs": logs}))

        setattr(Recorder, name, hook)
    return Recorder(), calls


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
def test_hooks_and_their_logs_come_in_the_order_of_keras(keras):
    theirs = keras.Sequential([keras.layers.Dense(2, "softmax")])
    theirs.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    found = []
    for model, base in (
        (theirs, keras.callbacks.Callback),
        (classifier(), callbacks.Callback),
    ):
        callback, calls = recorder(base)
        held = (X[:8], LABELS[:8])
        model.fit(
            X, LABELS, batch_size=6, epochs=3, initial_epoch=1, validation_data=held, verbose=0,
            validation_freq=2, callbacks=[callback],
        )  # fmt: skip
        params = {k: callback.params[k] for k in ("epochs", "steps", "verbose")}
        calls.append(("params", sorted(params.items())))
        model.evaluate(*held, batch_size=5, callbacks=[callback], verbose=0)
        model.predict(X, batch_size=8, callbacks=[callback], verbose=0)
        found.append(calls)
    assert len(found[0]) > 50
    assert found[1] == found[0]


def drive(callback, model, series, **params):
    """Calls a callback as a fit would, with numbers of epochs; gives how many epochs it ran."""
    model.stop_training = False
    callback.set_model(model)
    callback.set_params({"epochs": len(series), "verbose": 0, **params})
    callback.on_train_begin({})
    done = 0
    for epoch, logs in enumerate(series):
        model.epoch = epoch
        callback.on_epoch_begin(epoch, {})
        callback.on_epoch_end(epoch, dict(logs))
        done += 1
        if model.stop_training:
            break
    callback.on_train_end({})
    return done


class Fake:
    """What callbacks ask of a model; its weights are the number of the epoch."""

    metrics = ()

    def __init__(self, rate=1.0):
        self.stop_training, self.epoch, self.restored = False, 0, None
        self.optimizer = type("Optimizer", (), {"learning_rate": rate})()

    def state_dict(self):
        return self.epoch

    get_weights = state_dict

    def load_state_dict(self, state):
        self.restored = state

    set_weights = load_state_dict


SETTINGS = [
    {},
    {"patience": 2},
    {"patience": 2, "min_delta": 0.1},
    {"patience": 1, "baseline": 0.4},
    {"patience": 3, "baseline": -1.0},
    {"patience": 1, "start_from_epoch": 3},
    {"patience": 2, "mode": "max"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_early_stopping_ends_where_keras_ends(keras, settings):
    for seed in range(8):
        series = [{"val_loss": v} for v in np.random.default_rng(seed).random(12)]
        ended = []
        for kind in (keras.callbacks.EarlyStopping, callbacks.EarlyStopping):
            model = Fake()
            stop = kind("val_loss", restore_best_weights=True, **settings)
            done = drive(stop, model, series)
            ended.append((done, stop.stopped_epoch, stop.best_epoch, model.restored))
        assert ended[1] == ended[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 1},
        {"patience": 2, "cooldown": 2, "factor": 0.5},
        {"patience": 1, "min_lr": 0.2},
    ],
    ids=str,
)
def test_rates_fall_on_plateaus_as_in_keras(keras, settings):
    for seed in range(5):
        series = [{"val_loss": v} for v in np.random.default_rng(seed).random(15)]
        rates = []
        for kind in (keras.callbacks.ReduceLROnPlateau, callbacks.ReduceLROnPlateau):
            model = Fake(1.0)
            drive(kind(**settings), model, series)
            rates.append(model.optimizer.learning_rate)
        assert rates[1] == pytest.approx(rates[0], rel=1e-12)


def test_epochs_without_validation_do_not_count():
    series = [{"loss": 1.0} if epoch % 2 == 0 else {"val_loss": 1.0} for epoch in range(9)]
    stop = callbacks.EarlyStopping(patience=2)
    assert drive(stop, Fake(), series, validation_freq=2) == 6
    with pytest.raises(dlc.ValueRangeError, match="watches 'val_loss'"):
        drive(callbacks.EarlyStopping(), Fake(), series)
    model = classifier()
    model.fit(
        X, LABELS, epochs=4, validation_split=0.4, validation_freq=2, verbose=0,
        callbacks=[callbacks.EarlyStopping(), callbacks.ReduceLROnPlateau()],
    )  # fmt: skip
    assert len(model.history.history["val_loss"]) == 2


def test_schedules_of_one_and_of_two_arguments(keras, capsys):
    for kind in (keras.callbacks.LearningRateScheduler, callbacks.LearningRateScheduler):
        for schedule in (lambda epoch: 0.5**epoch, lambda epoch, rate: rate / 2 if epoch else 1.0):
            model = Fake()
            drive(kind(schedule, verbose=1), model, [{}] * 4)
            assert model.optimizer.learning_rate == 0.125
    assert "Epoch 4: the learning rate is 0.125" in capsys.readouterr().out
    with pytest.raises(dlc.ValueRangeError, match="gave None for epoch 0"):
        drive(callbacks.LearningRateScheduler(lambda epoch: None), Fake(), [{}])


def test_lines_of_numbers_as_keras_writes_them(keras, tmp_path):
    series = [{"loss": 0.5, "accuracy": 0.25}, {"loss": 0.25, "val_loss": 2.0}]
    texts = []
    for kind in (keras.callbacks.CSVLogger, callbacks.CSVLogger):
        path = tmp_path / f"{kind.__module__}.csv"
        logger = kind(str(path), separator=";")
        for _ in range(2):  # the second fit writes a file of its own
            drive(logger, Fake(), series)
        drive(kind(str(path), separator=";", append=True), Fake(), series[:1])
        with path.open(newline="") as file:
            texts.append(list(csv.reader(file, delimiter=";")))
    assert texts[1] == texts[0]
    assert texts[1][0] == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]


class Saved(Fake):
    def __init__(self):
        super().__init__()
        self.paths = []

    def save_weights(self, path):
        path.write_bytes(b"")
        self.paths.append(path.name)


def test_checkpoints_have_names_and_thresholds(tmp_path, capsys):
    series = [{"val_loss": v} for v in (0.75, 0.5, 0.625, 0.25)]
    model = Saved()
    pattern = str(tmp_path / "new" / "{epoch:02d}-{val_loss:.2f}.safetensors")
    drive(callbacks.ModelCheckpoint(pattern), model, series)
    assert model.paths == [f"0{k}-{v}.safetensors" for k, v in enumerate(
        ("0.75", "0.50", "0.62", "0.25"), 1)]  # fmt: skip
    model = Saved()
    best = callbacks.ModelCheckpoint(
        pattern, save_best_only=True, initial_value_threshold=0.6, verbose=1
    )
    drive(best, model, series)
    assert model.paths == ["02-0.50.safetensors", "04-0.25.safetensors"]
    said = capsys.readouterr().out
    assert "Epoch 1: val_loss did not improve from 0.60000" in said
    assert "Epoch 4: val_loss improved from 0.50000 to 0.25000, saved " in said
    bad = callbacks.ModelCheckpoint(tmp_path / "{acc}.safetensors")
    with pytest.raises(dlc.ArgumentError, match="names acc, but there are epoch, val_loss"):
        drive(bad, Saved(), series)


def test_checkpoints_between_epochs(tmp_path):
    pattern = tmp_path / "{epoch}-{batch}-{loss:.0f}.safetensors"
    saved = callbacks.ModelCheckpoint(pattern, save_freq=3, save_weights_only=True)
    classifier().fit(X, LABELS, batch_size=5, epochs=2, verbose=0, callbacks=[saved])
    found = sorted(p.name[:3] for p in tmp_path.iterdir())
    assert found == ["1-3", "2-2"]  # after the steps 3 and 6 of all


def test_training_ends_on_a_loss_that_is_nan(capsys):
    model = classifier()
    history = model.fit(
        X * np.nan,
        LABELS,
        epochs=3,
        batch_size=5,
        verbose=0,
        callbacks=[callbacks.TerminateOnNaN()],
    )
    assert math.isnan(history.history["loss"][0])
    assert history.epoch == [0]
    assert "Batch 0: the loss is nan" in capsys.readouterr().out
    with pytest.raises(dlc.NanError, match="after step 1"):
        model.fit(
            X * np.nan, LABELS, verbose=0, callbacks=[callbacks.TerminateOnNaN(raise_error=True)]
        )


def test_averages_are_evaluated_and_kept():
    model = classifier(optim.SGD(learning_rate=0.5, use_ema=True, ema_momentum=0.5))
    seen = []

    class Look(callbacks.Callback):
        def weights(self):
            seen.append(next(self.model.parameters()).numpy().copy())

        def on_train_batch_end(self, batch, logs=None):
            self.weights()

        def on_test_begin(self, logs=None):
            self.weights()

        def on_epoch_end(self, epoch, logs=None):
            self.weights()

    swap, look = callbacks.SwapEMAWeights(), Look()
    model.fit(
        X, LABELS, batch_size=20, epochs=2, validation_data=(X, LABELS), verbose=0,
        callbacks=[swap, look],
    )  # fmt: skip
    average = seen[0]  # first values do not count
    for trained, tested, after in (seen[:3], seen[3:]):
        average = 0.5 * average + 0.5 * trained
        np.testing.assert_allclose(tested, average, rtol=1e-6)
        np.testing.assert_array_equal(after, trained)
    np.testing.assert_allclose(next(model.parameters()).numpy(), average, rtol=1e-6)
    seen.clear()
    swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
    model.fit(X, LABELS, batch_size=20, epochs=1, verbose=0, callbacks=[swap, look])
    assert (seen[1] != seen[0]).any()
    np.testing.assert_array_equal(next(model.parameters()).numpy(), seen[1])
    with pytest.raises(dlc.ArgumentError, match="use_ema"):
        classifier().fit(X, LABELS, verbose=0, validation_split=0.5, callbacks=[swap, look])


def test_lists_call_hooks_in_loops_of_your_own():
    seen = []

    class Old(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append((batch, logs))

    hooks = callbacks.CallbackList([Old()], add_history=True, epochs=1)
    hooks.set_model("model")
    assert [c.model for c in hooks] == ["model", "model"]
    hooks.on_train_begin()
    hooks.on_train_batch_end(3, {"loss": 1.0})
    hooks.on_train_batch_end(4, logs={"loss": 2.0})
    hooks.on_epoch_end(0, {"loss": 0.5})
    assert seen == [(3, {"loss": 1.0}), (4, {"loss": 2.0})]
    assert hooks.history.history == {"loss": [0.5]}
    assert hooks.wants("on_train_batch_end")
    assert not hooks.wants("on_test_begin")
    mine = callbacks.History()
    again = callbacks.CallbackList(callbacks.CallbackList([mine]), add_history=True)
    again.set_params({"epochs": 2})
    assert (len(again), again.history, mine.params) == (1, mine, {"epochs": 2})
    with pytest.raises(AttributeError):
        hooks.on_nothing()


def test_callbacks_before_the_history_add_to_it():
    add = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mine=epoch))
    halve = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    found = classifier().fit(X, LABELS, epochs=2, verbose=0, callbacks=[add, halve]).history
    assert found["mine"] == [0, 1]
    assert found["learning_rate"] == [0.0005, 0.00025]


def test_a_history_draws_its_numbers(tmp_path):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    history = callbacks.History()
    history.epoch = list(range(4))
    history.history = {
        "loss": [4.0, 3.0, 2.0, 1.0], "val_loss": [2.0, 1.0], "accuracy": [0.0, 0.5, 0.75, 1.0],
        "a": [1.0] * 4, "learning_rate": [0.1] * 4,
    }  # fmt: skip
    axes = history.plot()
    assert [a.get_title(loc="left") for a in axes] == ["loss", "accuracy", "a", "learning rate"]
    assert [list(line.get_xdata()) for line in axes[0].lines] == [[1, 2, 3, 4], [3, 4]]
    assert [t.get_text() for t in axes[0].get_legend().get_texts()] == ["training", "validation"]
    assert len(axes[0].figure.axes) == 4
    plt.close(axes[0].figure)
    history.plot(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: callbacks.ModelCheckpoint("w.h5"), dlc.ArgumentError, "must end in"),
        (lambda: callbacks.ModelCheckpoint("w.safetensors", save_freq=0), ValueError, "save_freq"),
        (lambda: callbacks.ModelCheckpoint("w.safetensors", save_freq="x"), ValueError, "'x'"),
        (lambda: callbacks.CallbackList([print]), dlc.ArgumentError, "no callback"),
        (lambda: callbacks.LambdaCallback(on_epoch_start=print), dlc.ArgumentError, "no hook"),
    ],
)
def test_wrong_settings(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_a_list_finds_hooks_in_classes_bases_and_objects():
    class Mixed:
        def on_epoch_end(self, epoch, logs=None):
            seen.append("mixed")

    class Named(Mixed, callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append("batch")

    seen = []
    plain = callbacks.Callback()
    plain.on_train_end = lambda logs=None: seen.append("end")
    hooks = callbacks.CallbackList([Named(), plain])
    wanted = {"on_epoch_end", "on_batch_end", "on_train_batch_end", "on_train_end"}
    assert {name for name in HOOKS if hooks.wants(name)} == wanted
    hooks.on_train_batch_end(0)
    hooks.on_epoch_end(0)
    hooks.on_train_end()
    assert seen == ["batch", "mixed", "end"]
