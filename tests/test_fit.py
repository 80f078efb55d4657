"""fit, evaluate and predict: by hand, with Keras, with callbacks, and on bad data."""

from __future__ import annotations

import csv
import os
import re
import signal
import warnings

import numpy as np
import pytest

import dlc
from dlc import callbacks, losses, metrics, nn, optim
from dlc.train.interrupts import Interrupts

RNG = np.random.default_rng(8)
X = RNG.standard_normal((70, 4)).astype(np.float32)
LABELS = (X[:, 0] + X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 1)
Y = np.eye(3, dtype=np.float32)[LABELS]


def classifier(seed=0, dropout=0.0):
    dlc.random.seed(seed)
    model = nn.Sequential(nn.Dense(16, activation="relu"), nn.Dropout(dropout), nn.Dense(3))
    model(X[:1])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optim.Adam(learning_rate=0.02), loss, metrics=["accuracy"])
    return model


def test_a_fit_is_the_steps_by_hand():
    model, other = classifier(), classifier()
    other(X[:1])
    model(X[:1])
    other.load_state_dict(model.state_dict())
    history = model.fit(X, LABELS, batch_size=16, epochs=3, shuffle=False, verbose=0)
    optimizer = optim.Adam(learning_rate=0.02)
    means = []
    for _ in range(3):
        total = 0.0
        for k in range(0, 70, 16):
            x, y = X[k : k + 16], LABELS[k : k + 16]
            loss, gradients = dlc.value_and_grad(lambda m, x, y: dlc.cross_entropy(m(x), y))(
                other, x, y
            )
            optimizer.apply(dlc.tree.leaves(gradients), dlc.tree.leaves(other))
            total += loss.item() * len(x)
        means.append(total / 70)
    np.testing.assert_allclose(history.history["loss"], means, rtol=1e-5)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)


def test_the_last_batch_compiles_nothing_and_steps_are_native():
    model = classifier()
    model.fit(X, LABELS, batch_size=16, epochs=4, validation_data=(X[:9], LABELS[:9]), verbose=0)
    for step in ("train_step of rows", "test_step"):
        stats = model._fitting.steps.functions[step].stats
        assert stats.compilations == 1
        assert stats.interpreted_ops == 0
        assert stats.native_calls == stats.calls


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
def test_as_keras_fits():
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
    theirs = keras.Sequential([keras.layers.Dense(16, "tanh"), keras.layers.Dense(3, "softmax")])
    theirs.build((None, 4))
    theirs.compile(
        "adam", "categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["mse"]
    )
    ours = nn.Sequential(nn.Dense(16, activation="tanh"), nn.Dense(3, activation="softmax"))
    ours.compile("adam", "categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["mse"])
    ours(X[:1])
    for p, w in zip(ours.parameters(), theirs.get_weights(), strict=True):
        p.assign(w)
    settings = {
        "batch_size": 16, "epochs": 5, "shuffle": False, "verbose": 0,
        "class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, "validation_data": (X[:20], Y[:20]),
    }  # fmt: skip
    wanted = theirs.fit(X, Y, **settings).history
    got = ours.fit(X, Y, **settings).history
    assert set(got) == set(wanted)
    for name, values in got.items():
        np.testing.assert_allclose(values, wanted[name], rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X, verbose=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        ours.evaluate(X, Y, verbose=0), theirs.evaluate(X, Y, verbose=0), rtol=1e-4
    )


def test_the_same_seed_gives_the_same_bits():
    runs = []
    for _ in range(2):
        model = classifier(seed=3, dropout=0.2)
        model.fit(X, LABELS, batch_size=16, epochs=2, verbose=0)
        runs.append([p.numpy() for p in model.parameters()])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_batches_from_generators_and_lists():
    model, same = classifier(), classifier()
    pieces = [(X[k : k + 10], LABELS[k : k + 10]) for k in range(0, 70, 10)]

    def forever():
        while True:
            yield from pieces

    a = model.fit(forever(), epochs=2, steps_per_epoch=7, verbose=0)
    b = same.fit(type("Pieces", (), {"__iter__": lambda _: iter(pieces)})(), epochs=2, verbose=0)
    assert a.history == b.history
    assert model.predict(iter([X[:3], X[3:5]])).shape == (5, 3)
    with pytest.raises(dlc.ValueRangeError, match="no batches in epoch 2"):
        model.fit(iter(pieces), epochs=2, verbose=0)
    with pytest.raises(dlc.ArgumentError, match="beside it"):
        model.fit(iter(pieces), LABELS, verbose=0)


def test_weights_of_samples_and_of_classes():
    weight = RNG.random(70).astype(np.float32)
    model = classifier()
    loss, _ = model.evaluate(X, LABELS, sample_weight=weight, verbose=0, batch_size=70)
    each = dlc.losses.sparse_categorical_crossentropy(LABELS, model.predict(X), from_logits=True)
    assert loss == pytest.approx(float((each.numpy() * weight).mean()), rel=1e-5)


class Two(nn.Module):
    def __init__(self):
        self.body, self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, x):
        h = dlc.tanh(self.body(x["left"]) + x["right"] @ dlc.ones((4, 8)))
        return {"a": self.a(h), "b": self.b(h)}


def test_several_inputs_and_outputs():
    model = Two()
    loss = {"a": losses.SparseCategoricalCrossentropy(from_logits=True), "b": "mse"}
    model.compile("sgd", loss, loss_weights={"b": 2.0}, metrics={"a": ["accuracy"], "b": ["mae"]})
    x, y = {"left": X, "right": X}, {"a": LABELS, "b": X[:, :1]}
    history = model.fit(x, y, epochs=2, batch_size=32, verbose=0).history
    assert list(history) == ["loss", "a_loss", "b_loss", "a_accuracy", "b_mae"]
    assert history["loss"][0] == pytest.approx(history["a_loss"][0] + 2 * history["b_loss"][0])
    predicted = model.predict(x)
    assert {k: v.shape for k, v in predicted.items()} == {"a": (70, 3), "b": (70, 1)}
    numbers = model.evaluate(x, y, return_dict=True, verbose=0)
    parts = [loss["a"](LABELS, predicted["a"]), losses.MeanSquaredError()(X[:, :1], predicted["b"])]
    assert numbers["loss"] == pytest.approx(parts[0].item() + 2 * parts[1].item(), rel=1e-4)
    for name, part in zip("ab", parts, strict=True):
        assert numbers[f"{name}_loss"] == pytest.approx(part.item(), rel=1e-4)
    assert [m.name for m in model.metrics] == list(numbers)
    weighted = model.evaluate(x, y, sample_weight=np.full(70, 3.0), return_dict=True, verbose=0)
    assert weighted["b_loss"] == pytest.approx(3 * numbers["b_loss"], rel=1e-5)


def tagger(form):
    """A class for each step of sequences, in which 0 is padding."""
    first, last = nn.Embedding(6, 4, mask_zero=True), nn.Dense(3)
    layers = [first, nn.LSTM(5, return_sequences=True), last]
    if form == "sequential":
        return nn.Sequential(*layers)
    x = y = nn.Input((7,), dtype="int64")
    for layer in layers:
        y = layer(y)
    return nn.Model(x, y)


@pytest.mark.parametrize("form", ["sequential", "graph"])
def test_losses_and_metrics_leave_out_masked_steps(form):
    """As those of Keras 3 do (the numbers were compared with its)."""
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 6, (12, 7))
    tokens[:, 0] = 1
    labels, mask = rng.integers(0, 3, (12, 7)), tokens != 0
    weights = rng.random(12).astype(np.float32)
    model = tagger(form)

    def settings(reduction):
        loss = losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
        return {"optimizer": "sgd", "loss": loss, "metrics": ["accuracy"]}

    model.compile(**settings("sum_over_batch_size"))
    logits = model.predict(tokens)
    each = dlc.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True).numpy()
    right = (logits.argmax(-1) == labels)[mask].mean()
    for reduction, factors, wanted in (
        ("sum_over_batch_size", None, each[mask].mean()),
        ("sum_over_batch_size", weights, (each * weights[:, None])[mask].sum() / mask.sum()),
        ("sum", None, each[mask].sum()),
        ("mean_with_sample_weight", weights, np.average(each, weights=mask * weights[:, None])),
    ):
        model.compile(**settings(reduction))
        loss, accuracy = model.evaluate(tokens, labels, 12, 0, factors)
        assert loss == pytest.approx(wanted, rel=1e-5)
        assert accuracy == pytest.approx(right)
    found = []
    for given in (labels, np.where(mask, labels, 2)):
        dlc.random.seed(0)
        model = tagger(form)
        model.compile(**settings("mean"))
        found.append(model.fit(tokens, given, epochs=2, verbose=0).history)
    assert found[0] == found[1]


def test_a_mask_ends_where_the_steps_do():
    rng = np.random.default_rng(3)
    tokens, y = rng.integers(0, 6, (9, 5)), rng.random((9, 5)).astype(np.float32)
    model = nn.Sequential(nn.Embedding(6, 4, mask_zero=True), nn.Flatten(), nn.Dense(5))
    model.compile("sgd", "mse")
    loss = model.evaluate(tokens, y, verbose=0)
    assert loss == pytest.approx(((model.predict(tokens) - y) ** 2).mean(), rel=1e-5)


def test_one_loss_of_several_outputs_is_the_loss():
    model = Two()
    model.compile("sgd", {"b": "mse"})
    history = model.fit({"left": X, "right": X}, {"a": LABELS, "b": X[:, :1]}, verbose=0).history
    assert list(history) == ["loss"]


class Own(nn.Module):
    """A step of its own, as in Keras's guides."""

    def __init__(self):
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x)

    def train_step(self, batch):
        x, y, _ = batch
        with dlc.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x))
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss, "twice": 2 * loss}


def test_a_step_of_your_own_is_compiled():
    model = Own()
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optim.Adam(learning_rate=0.05), loss)
    history = model.fit(X, LABELS, epochs=10, batch_size=70, verbose=0).history
    assert history["twice"][0] == pytest.approx(2 * history["loss"][0])
    assert history["loss"][-1] < history["loss"][0]
    assert model._fitting.steps.functions["train_step of rows"].stats.compilations == 1


def test_hooks_are_called_in_order():
    seen = []

    class Recorder(callbacks.Callback):
        pass

    for hook in callbacks.base.HOOKS:
        setattr(Recorder, hook, lambda _self, *_args, name=hook: seen.append(name[3:]))
    recorder = Recorder()
    model = classifier()
    model.fit(
        X[:20], LABELS[:20], batch_size=10, validation_split=0.5, verbose=0, callbacks=[recorder]
    )
    assert recorder.params == {"epochs": 1, "steps": 1, "verbose": 0}
    assert seen == [
        "train_begin", "epoch_begin", "train_batch_begin", "train_batch_end", "test_begin",
        "test_batch_begin", "test_batch_end", "test_end", "epoch_end", "train_end",
    ]  # fmt: skip
    seen.clear()
    model.predict(X[:5], callbacks=[recorder])
    assert seen == ["predict_begin", "predict_batch_begin", "predict_batch_end", "predict_end"]
    numbers = []
    hook = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: numbers.append((epoch, *logs)))
    model.fit(X, LABELS, epochs=5, initial_epoch=3, verbose=0, callbacks=[hook])
    assert numbers == [(3, "loss", "accuracy"), (4, "loss", "accuracy")]


def test_early_stopping_gives_the_best_weights_back():
    model = classifier()
    stop = callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    worse = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(val_loss=[3.0, 1.0, 2.0, 2.0, 0.0][epoch])
    )
    kept = []
    keep = callbacks.LambdaCallback(on_epoch_end=lambda *_: kept.append(model.state_dict()))
    history = model.fit(X, LABELS, epochs=9, verbose=0, callbacks=[worse, keep, stop])
    assert history.epoch == [0, 1, 2, 3]
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), kept[1][name].numpy())


def test_learning_rates_follow_schedules_and_plateaus():
    model = classifier()
    halve = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    history = model.fit(X, LABELS, epochs=3, verbose=0, callbacks=[halve])
    assert history.epoch == [0, 1, 2]
    assert model.optimizer.learning_rate == pytest.approx(0.005)
    assert model._fitting.steps.functions["train_step of rows"].stats.compilations == 1
    flat = callbacks.LambdaCallback(on_epoch_end=lambda _epoch, logs: logs.update(val_loss=1.0))
    lower = callbacks.ReduceLROnPlateau(factor=0.1, patience=2, cooldown=1, min_lr=1e-4)
    model.fit(X, LABELS, epochs=4, verbose=0, callbacks=[flat, lower])
    assert model.optimizer.learning_rate == pytest.approx(0.0005)


def test_files_of_numbers_and_weights(tmp_path):
    model = classifier()
    log, pattern = tmp_path / "log.csv", tmp_path / "w-{epoch:02d}.safetensors"
    saved = [callbacks.CSVLogger(log), callbacks.ModelCheckpoint(pattern)]
    history = model.fit(X, LABELS, epochs=2, verbose=0, callbacks=saved)
    with log.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["loss"]) for r in rows] == history.history["loss"]
    model.fit(
        X, LABELS, epochs=3, initial_epoch=2, verbose=0,
        callbacks=[callbacks.CSVLogger(log, append=True)],
    )  # fmt: skip
    assert len(log.read_text().splitlines()) == 4
    other = classifier(seed=5)
    other(X[:1])
    other.load_weights(tmp_path / "w-02.safetensors")
    first = classifier(seed=6)
    first(X[:1])
    first.load_weights(tmp_path / "w-01.safetensors")
    assert (other.predict(X) != first.predict(X)).any()
    best = callbacks.ModelCheckpoint(
        tmp_path / "best.safetensors", monitor="accuracy", save_best_only=True
    )
    model.fit(X, LABELS, epochs=1, verbose=0, callbacks=[best])
    assert best.sign == 1
    assert (tmp_path / "best.safetensors").exists()


def test_weights_that_cannot_be_read_say_why_and_lose_nothing(tmp_path):
    model = classifier()
    model(X[:1])
    path = tmp_path / "w.safetensors"
    model.save_weights(path)
    whole = path.read_bytes()
    for broken in (whole[:-5], b"", b"\xff" * 100, whole[:20]):
        path.write_bytes(broken)
        with pytest.raises(dlc.FileFormatError, match="cut off"):
            model.load_weights(path)
    with pytest.raises(dlc.ValueRangeError, match="must end in"):
        model.save_weights(tmp_path / "w.h5")
    with pytest.raises(FileNotFoundError):
        model.load_weights(tmp_path / "none.safetensors")
    (tmp_path / "w.safetensors").write_bytes(whole)
    with pytest.raises(OSError, match="none"):
        model.save_weights(tmp_path / "none" / "w.safetensors")
    model.load_weights(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.safetensors"]


def test_weights_go_out_and_in_as_arrays():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Linear(2, 1))
    held = model.get_weights()
    shapes = [(2, 3), (2,), (2,), (2,), (2,), (2,), (), (1, 2), (1,)]
    assert [w.shape for w in held] == shapes
    model.set_weights([w + 1 for w in held])
    for new, old in zip(model.get_weights(), held, strict=True):
        np.testing.assert_array_equal(new, old + 1)
    model.set_weights([w.astype(np.float64) for w in held])  # as in Keras
    assert [w.dtype for w in model.get_weights()] == [w.dtype for w in held]
    with pytest.raises(dlc.DlcError):
        model.set_weights([*(w + 1 for w in held[:-1]), np.full(1, "a")])
    for new, old in zip(model.get_weights(), held, strict=True):
        np.testing.assert_array_equal(new, old)
    with pytest.raises(dlc.ShapeError, match="has weights of shapes"):
        model.set_weights(held[:-1])
    with pytest.raises(dlc.ShapeError, match="call the model once"):
        nn.Dense(3).set_weights([np.zeros(3)])


def test_a_history_draws_itself(tmp_path):
    history = classifier().fit(X, LABELS, epochs=2, validation_split=0.3, verbose=0)
    history.plot(tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 1000
    assert "2 epochs" in repr(history)


def test_lines_where_there_is_no_terminal(capsys):
    classifier().fit(X, LABELS, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]
    assert lines[1].startswith("3/3 - ")
    assert "loss: " in lines[1]
    assert "accuracy: " in lines[1]
    assert re.search(r"/step [\d,]+ samples/s - ", lines[1])
    classifier().fit(X, LABELS, verbose=2)
    assert "[" not in capsys.readouterr().out.splitlines()[1]


def test_a_summary_has_shapes_and_counts(capsys):
    model = classifier()
    model.summary("f32[2,4]")
    out = capsys.readouterr().out
    assert "  0: Dense    (2, 16)" in out
    assert "131 parameters, 131 of them trained" in out
    nested = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(2, 2)))
    nested.summary()  # without shapes: what has parameters, below it too
    rows = capsys.readouterr().out.splitlines()[3:5]
    assert [row.split()[:2] for row in rows] == [["1:", "Sequential"], ["0:", "Linear"]]


def test_the_exact_area_is_added_up_outside_of_compiled_steps():
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    model.compile("adam", "binary_crossentropy", metrics=[metrics.AUC(exact=True), "accuracy"])
    numbers = model.evaluate(X, LABELS > 0, return_dict=True, verbose=0)
    import sklearn.metrics

    wanted = sklearn.metrics.roc_auc_score(LABELS > 0, model.predict(X)[:, 0])
    assert numbers["auc"] == pytest.approx(wanted, rel=1e-6)


def test_single_batches_are_steps_of_a_fit():
    model, same = classifier(), classifier()
    history = same.fit(X, LABELS, batch_size=35, shuffle=False, verbose=0).history
    model.train_on_batch(X[:35], LABELS[:35])
    numbers = model.train_on_batch(X[35:], LABELS[35:], return_dict=True)
    assert numbers == {name: values[0] for name, values in history.items()}
    for a, b in zip(model.parameters(), same.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    model.reset_metrics()
    assert model.test_on_batch(X, LABELS) == model.evaluate(X, LABELS, batch_size=70, verbose=0)
    np.testing.assert_array_equal(model.predict_on_batch(X[:7]), model.predict(X[:7]))
    with pytest.raises(dlc.ShapeError, match="number of samples"):
        model.train_on_batch(X, LABELS[:3])
    with pytest.raises(dlc.ValueRangeError, match="label 3 of sample 0"):
        model.train_on_batch(X, LABELS * 0 + 3)
    model.reset_metrics()
    weighted = model.train_on_batch(X, LABELS, class_weight={0: 2.0, 1: 2.0, 2: 2.0})
    assert weighted[0] > 0


def test_samples_of_other_lengths_are_one_more_program():
    class Bag(nn.Module):
        def __init__(self):
            self.table, self.out = nn.Embedding(20, 4), nn.Linear(4, 2)

        def forward(self, tokens):
            return self.out(self.table(tokens).mean(1))

    model = Bag()
    model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    pieces = [(rng.integers(0, 20, (6, n)), rng.integers(0, 2, 6)) for n in (5, 9, 7, 12, 3)]
    model.fit(iter(pieces), verbose=0)
    assert model._fitting.steps.functions["train_step"].stats.compilations == 2


class Predicting(nn.Module):
    """Steps of its own for all three loops, without a forward."""

    def __init__(self):
        self.layer = nn.Linear(4, 1)

    def train_step(self, batch):
        loss = dlc.mean((self.layer(batch[0])) ** 2)
        return {"size": loss}

    def test_step(self, batch):
        return {"twice": 2 * dlc.mean(self.layer(batch[0]))}

    def predict_step(self, batch):
        return {"sum": self.layer(batch[0]) + 1}


def test_all_steps_may_be_ones_own():
    model = Predicting()
    model.compile("sgd")
    assert list(model.fit(X, verbose=0).history) == ["size"]
    wanted = model.layer(X).numpy()
    numbers = model.evaluate(X, batch_size=70, return_dict=True, verbose=0)
    assert numbers == {"twice": pytest.approx(2 * wanted.mean(), rel=1e-5)}
    np.testing.assert_allclose(model.predict(X)["sum"], wanted + 1, rtol=1e-6)


@pytest.mark.parametrize("eager", [{"run_eagerly": True}, {"jit_compile": False}])
def test_steps_op_by_op(eager):
    ran = []

    class Looked(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            result = self.layer(x)
            if not result.is_traced:
                ran.append(result.shape)
            return result

    model = Looked()
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), **eager)
    model.fit(X, LABELS, batch_size=35, verbose=0)
    assert model._fitting.steps.functions["train_step"].stats.compilations == 0


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end"])
def test_an_interrupt_leaves_whole_steps_and_a_history_of_whole_epochs(hook):
    model = classifier()
    steps = []

    def interrupt(number, _logs):
        steps.append(number)
        if len(steps) == 7:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            X, LABELS, batch_size=16, epochs=9, verbose=0,
            callbacks=[callbacks.LambdaCallback(**{hook: interrupt})],
        )  # fmt: skip
    assert signal.getsignal(signal.SIGINT) is before
    epochs = 1 if hook == "on_train_batch_end" else 7
    assert model.history.epoch == list(range(epochs))
    assert all(len(v) == epochs for v in model.history.history.values())
    assert model.optimizer.iterations.item() == (7 if epochs == 1 else 35)
    model.fit(X, LABELS, verbose=0)


def test_sizes_of_batches_may_be_integers_of_numpy():
    assert classifier().fit(X, LABELS, np.int64(32), np.int32(2), verbose=0).epoch == [0, 1]


def test_an_interrupt_waits_for_the_end_of_a_step():
    interrupts = Interrupts()
    with interrupts:
        interrupts.inside = True
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.leave()
        interrupts.inside = True
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):  # the second does not wait
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda m: nn.Linear(4, 3).fit(X, LABELS), dlc.ArgumentError, "does not know how"),
        (lambda m: m.fit(X, LABELS[:5], verbose=0), dlc.ShapeError, "number of samples"),
        (lambda m: m.fit(X[:0], LABELS[:0], verbose=0), dlc.ShapeError, "no samples"),
        (lambda m: m.fit(X, LABELS + 1, verbose=0), dlc.ValueRangeError, "has 3 classes"),
        (lambda m: m.fit(X, -LABELS, verbose=0), dlc.ValueRangeError, "label -"),
        (
            lambda m: m.fit(X, np.where(np.arange(70) < 41, LABELS, 7), verbose=0),
            dlc.ValueRangeError,
            "label 7 of sample 41 of the data: the model has 3 classes, 0 to 2",
        ),
        (
            lambda m: m.fit(iter([(X, LABELS), (X, LABELS + 3)]), verbose=0),
            dlc.ValueRangeError,
            "label [345] of sample 0 of step 2 of epoch 1",
        ),
        (lambda m: m.fit(X[:, :2], LABELS, verbose=0), dlc.ShapeError, "in layer '0'"),
        (lambda m: m.fit(X, verbose=0), dlc.ArgumentError, "no true values"),
        (lambda m: m.fit(X, LABELS, batch_size=0, verbose=0), dlc.ValueRangeError, "batch_size"),
        (lambda m: m.fit(X, LABELS, batch_size=True, verbose=0), dlc.ValueRangeError, "batch_size"),
        (lambda m: m.fit(X, LABELS, validation_split=1.0), dlc.ValueRangeError, "validation_split"),
        (lambda m: m.fit(X, LABELS, callbacks=[3], verbose=0), dlc.ArgumentError, "no callback"),
        (lambda m: m.compile("adamm"), dlc.ValueRangeError, "did you mean 'adam"),
        (lambda m: m.fit(X * np.nan, LABELS, verbose=0), dlc.NanError, "step 1 of epoch 1"),
        (lambda m: callbacks.LambdaCallback(on_epoch=print), dlc.ArgumentError, "no hook"),
        (lambda m: callbacks.EarlyStopping(mode="up"), dlc.ValueRangeError, "mode"),
        (lambda m: callbacks.ReduceLROnPlateau(factor=2.0), dlc.ValueRangeError, "factor"),
        (
            lambda m: m.fit(X, LABELS, callbacks=[callbacks.EarlyStopping()], verbose=0),
            dlc.ValueRangeError,
            "val_loss",
        ),
        (lambda m: m.fit(iter([(X, LABELS, X, X)]), verbose=0), dlc.ArgumentError, "4 parts"),
        (lambda m: m.fit(iter([None]), verbose=0), dlc.ArgumentError, "a batch is None"),
        (
            lambda m: m.fit(iter([(X[:0], LABELS[:0])]), verbose=0),
            dlc.ShapeError,
            "step 1 of epoch 1: the batch has no samples",
        ),
        (lambda m: m.fit(X.tolist(), LABELS, verbose=0), dlc.ShapeError, "np.asarray makes"),
        (lambda m: m.fit(list(X), LABELS, verbose=0), dlc.ShapeError, "np.asarray makes"),
        (lambda m: m.fit(X, LABELS.astype(str), verbose=0), dlc.DTypeError, "no numbers"),
        (lambda m: m.fit(X, LABELS, epochs="2", verbose=0), dlc.ValueRangeError, "epochs='2'"),
        (lambda m: m.fit(X, LABELS, epochs=1.5, verbose=0), dlc.ValueRangeError, "epochs=1.5"),
        (lambda m: m.fit(X, LABELS, validation_freq=0), dlc.ValueRangeError, "validation_freq=0"),
        (lambda m: m.fit(X, LABELS, verbose="loud"), dlc.ValueRangeError, "verbose='loud'"),
        (
            lambda m: m.fit(X, LABELS, class_weight=[1.0, 2.0, 1.0], verbose=0),
            dlc.ArgumentError,
            "class_weight is a list",
        ),
        (
            lambda m: m.fit(X, LABELS, callbacks=[callbacks.EarlyStopping], verbose=0),
            dlc.ArgumentError,
            "the class EarlyStopping is no callback",
        ),
        (
            lambda m: m.fit(X, LABELS, validation_split=0.999, verbose=0),
            dlc.ValueRangeError,
            "leaves 0 to train with and 70 to validate with",
        ),
        (
            lambda m: m.fit(X, LABELS, validation_data=(X[:0], LABELS[:0]), verbose=0),
            dlc.ShapeError,
            "the data of a validation has no samples",
        ),
        (
            lambda m: m.fit(X, LABELS, validation_data=(X, LABELS + 1), verbose=0),
            dlc.ValueRangeError,
            "of the data of a validation: the model has 3 classes",
        ),
        (
            lambda m: m.fit(X, LABELS, epochs=2, validation_data=iter([(X, LABELS)]), verbose=0),
            dlc.ValueRangeError,
            "no batches in a validation: the list_iterator is at its end",
        ),
        (lambda m: m.predict(iter([])), dlc.ValueRangeError, "no batches in a prediction"),
    ],
)
def test_bad_data_and_settings(call, error, match):
    with pytest.raises(error, match=match):
        call(classifier())


def test_a_metric_of_several_numbers_is_refused():
    model = nn.Sequential(nn.Dense(1, activation="sigmoid"))
    model.compile("sgd", "mse", [dlc.metrics.Recall([0.2, 0.5])])
    for call in (model.fit, model.evaluate):
        with pytest.raises(dlc.ArgumentError, match=r"'recall' gives f32\[2\], not a number"):
            call(X, LABELS == 0, verbose=0)


def test_steps_pick_the_rows_of_shuffled_arrays_themselves(monkeypatch):
    """With the bits of batches that were gathered before."""
    x = {"a": np.repeat(X, 2, axis=0)[::2], "b": 2 * X}
    weights = np.linspace(0.5, 1.5, len(X), dtype=np.float32)

    class Two(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(4, 3)

        def forward(self, given):
            return self.layer(given["a"] - given["b"])

    found = []
    for step in ("train_step of rows", "train_step"):
        dlc.random.seed(5)
        model = Two()
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, weighted_metrics=["accuracy"])
        history = model.fit(x, LABELS, 16, 3, 0, sample_weight=weights).history
        assert list(model._fitting.steps.functions) == [step]
        found.append((history, [p.numpy() for p in model.parameters()]))
        monkeypatch.setattr(type(model._fitting.steps), "can_pick", lambda self, data: False)
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("callback", [None, callbacks.LambdaCallback(on_batch_end=print)])
def test_the_first_step_whose_loss_is_nan_is_named(callback):
    """Though losses are looked at some together where no callback comes between steps."""
    x = X.copy()
    x[40] = np.nan
    with pytest.raises(dlc.NanError, match="step 21 of epoch 1"):
        classifier().fit(
            x, LABELS, 2, 2, 0, callbacks=[callback] if callback else None, shuffle=False
        )
    with pytest.raises(dlc.NanError, match="step 3 of epoch 1"):
        classifier().fit(x, LABELS, batch_size=16, verbose=0, shuffle=False)


def test_callbacks_see_steps_of_one_execution_as_one(tmp_path):
    def run(together):
        model = classifier()
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"], steps_per_execution=together)
        seen = []
        hooks = {
            f"on_{kind}_batch_{end}": lambda k, logs, name=kind + end: seen.append((name, k))
            for kind in ("train", "test")
            for end in ("begin", "end")
        }
        folder = tmp_path / str(together)
        kept = callbacks.ModelCheckpoint(folder / "{batch}.safetensors", save_freq=4)
        given = [callbacks.LambdaCallback(**hooks), kept]
        history = model.fit(X, LABELS, 7, 2, 0, callbacks=given)
        value = model.evaluate(X, LABELS, 28, 0, callbacks=given[:1])
        files = sorted(int(p.stem) for p in folder.iterdir())
        return seen, files, (history.history, value, [w.tolist() for w in model.get_weights()])

    seen, files, found = run(4)
    steps = [("trainbegin", 0), ("trainend", 3), ("trainbegin", 4), ("trainend", 7)]
    steps += [("trainbegin", 8), ("trainend", 9)]
    assert seen == [*steps, *steps, ("testbegin", 0), ("testend", 2)]
    assert files == [4, 8]  # after 4, 8, 14 and 18 of 20 steps
    one_by_one, files, same = run(1)
    assert len(one_by_one) == 2 * (20 + 3)
    assert files == [2, 4, 6, 8, 10]
    assert found == same
    with pytest.raises(dlc.ValueRangeError, match="steps_per_execution=0"):
        run(0)


def test_metrics_outside_of_compiled_steps_leave_masked_steps_out():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((9, 5, 3)).astype(np.float32)
    x[::2, 3:] = 0
    y = rng.integers(0, 2, (9, 5, 1)).astype(np.float32)
    model = nn.Sequential(nn.Masking(), nn.Dense(1, activation="sigmoid"))
    model.compile("sgd", "binary_crossentropy", metrics=[metrics.AUC(exact=True, name="area")])
    found = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)["area"]
    kept = (x != 0).any(-1)
    by_hand = metrics.AUC(exact=True)
    by_hand.update_state(y[kept], model.predict(x)[kept])
    assert found == pytest.approx(by_hand.result().item(), abs=1e-6)
    by_hand.reset_state()
    by_hand.update_state(y, model.predict(x))
    assert found != pytest.approx(by_hand.result().item(), abs=1e-3)


def test_metrics_of_older_checkpoints():
    model = classifier()
    model.fit(X, LABELS, verbose=0)
    outputs = model._fitting.outputs
    state = outputs.state_dict()
    older = {"mean": state["means"][0], "metrics": state["metrics"]}
    before = {n: v.item() for n, v in outputs.results().items()}
    outputs.reset()
    outputs.load_state_dict(older)
    assert {n: v.item() for n, v in outputs.results().items()} == before


@pytest.mark.parametrize(
    "layer", [nn.Linear(4, 3), nn.Dense(3), nn.Flatten(), nn.BatchNorm1d(4), nn.LayerNorm(4)]
)
def test_layers_of_one_tensor_say_so(layer):
    model = nn.Sequential(nn.Sequential(layer))
    model.compile("sgd", "mse")
    with pytest.raises(dlc.ArgumentError, match="dict") as error:
        model.fit({"a": X, "b": X}, Y, verbose=0)
    assert f"in layer '0.0' of Sequential: {type(layer).__name__}" in str(error.value)


def test_errors_of_layers_of_ones_own_stay_what_they_are():
    class Own(nn.Module):
        def forward(self, given):
            return given["missing"]

    with pytest.raises(KeyError, match="missing"):
        nn.Sequential(Own())({"a": X})


def test_epochs_are_of_native_calls_alone():
    x = np.linspace(-1, 1, 48, dtype=np.float32).reshape(12, 4)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
    model.compile(dlc.optim.SGD(learning_rate=0.01), "mse", metrics=["mae"])
    model.fit(x, x[:, :1], batch_size=4, epochs=2, verbose=0)
    stats = model._fitting.steps.functions["train_step of rows"].stats
    before = stats.python_calls
    model.fit(x, x[:, :1], batch_size=4, epochs=3, verbose=0)
    assert stats.python_calls == before
