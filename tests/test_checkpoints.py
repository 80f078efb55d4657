"""Checkpoints: a fit that goes on has the bits of an unbroken one; files that are damaged."""

import errno
import os

import kill_fit
import numpy as np
import pytest

import dlc
from dlc import callbacks, data, losses, metrics, nn, optim
from dlc.runtime import files
from dlc.train import Checkpoint, CheckpointManager

RNG = np.random.default_rng(3)
X = RNG.standard_normal((50, 4)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(np.int64)
LOSS = losses.SparseCategoricalCrossentropy(from_logits=True)


# Going on with a fit.


def test_killed_fits_end_as_unbroken_ones():
    """Some; the twenty that are wanted are `python tests/kill_fit.py`."""
    assert len(kill_fit.check(kills=3, seed=5)) == 3


class Own(nn.Module):
    """A step of its own, with an optimizer and a metric of its own, and no loss in `compile`."""

    def __init__(self):
        self.layer, self.dropout = nn.Linear(4, 2), nn.Dropout(0.2)
        self.second = optim.SGD(learning_rate=0.1, momentum=0.9)
        self.mean = metrics.Mean()

    def forward(self, x):
        return self.layer(self.dropout(x))

    def train_step(self, batch):
        x, y, _ = batch
        variables = self.trainable_variables
        with dlc.GradientTape() as tape:
            loss = LOSS(y, self(x))
        gradients = tape.gradient(loss, variables)
        self.second.apply_gradients(zip(gradients[:1], variables[:1], strict=True))
        self.optimizer.apply_gradients(zip(gradients[1:], variables[1:], strict=True))
        self.mean.update_state(loss)
        return {"loss": loss, "mean": self.mean.result()}


class Scaled(nn.Module):
    def __init__(self):
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        self.scaler = optim.LossScaler(2.0**18, growth_interval=3)
        self.seconds = {"of weights": [optim.Adam(learning_rate=0.05)]}

    def forward(self, x):
        return self.body(x)

    def train_step(self, batch):
        x, y, _ = batch
        variables = self.trainable_variables
        with dlc.autocast(dlc.float16), dlc.GradientTape() as tape:
            loss = self.scaler.scale(LOSS(y, self(x)))
        gradients = tape.gradient(loss, variables)
        pairs = list(zip(gradients, variables, strict=True))
        self.scaler.apply_gradients(self.optimizer, pairs[:2])
        self.scaler.apply_gradients(self.seconds["of weights"][0], pairs[2:])
        self.scaler.update()
        return {"loss": loss}


def dense():
    return nn.Sequential(nn.Dense(8, activation="relu"), nn.Dropout(0.3), nn.Dense(2))


def pairs():
    while True:
        for k in range(0, 50, 10):
            yield X[k : k + 10], LABELS[k : k + 10]


ARRAYS = {"x": X, "y": LABELS, "batch_size": 10}
FITS = {
    "arrays": (dense, optim.Adam, {}, ARRAYS, ()),
    "dataset": (
        dense, optim.AdamW, {},
        {"x": lambda: data.Dataset.from_arrays((X, LABELS)).shuffle(50, seed=3).batch(10)}, (),
    ),
    "generator": (dense, optim.RMSprop, {}, {"x": pairs, "steps_per_epoch": 5}, ()),
    "own step": (Own, optim.Adam, {"loss": None}, ARRAYS, ()),
    "scaler, second optimizer": (Scaled, optim.SGD, {"loss": None}, ARRAYS, ()),
    "rates": (
        dense, optim.SGD, {}, {**ARRAYS, "validation_split": 0.2},
        (
            lambda: callbacks.LearningRateScheduler(lambda _, rate: 0.8 * rate),
            lambda: callbacks.ReduceLROnPlateau("val_loss", patience=1, factor=0.5),
        ),
    ),
    "averages": (
        dense, lambda **k: optim.Adam(use_ema=True, **k), {}, {**ARRAYS, "validation_split": 0.2},
        (lambda: callbacks.SwapEMAWeights(swap_on_epoch=True),),
    ),
    "host metric": (
        lambda: nn.Sequential(nn.Dense(1, activation="sigmoid")), optim.Adagrad,
        {"loss": "binary_crossentropy", "metrics": [metrics.AUC(exact=True)]},
        {**ARRAYS, "y": LABELS[:, None].astype(np.float32)}, (),
    ),
}  # fmt: skip


class Stop(Exception):
    """Ends a fit as a failure does."""


def run(name, folder=None, save_freq="epoch", stop_after=None):
    build, optimizer, compiled, given, more = FITS[name]
    dlc.random.seed(1)
    model = build()
    model.compile(optimizer(learning_rate=0.05), **{"loss": LOSS, **compiled})
    called = [make() for make in more]
    if folder is not None:
        called.insert(0, callbacks.BackupAndRestore(folder, save_freq))
    left = stop_after

    def count(*_):
        nonlocal left
        left -= 1
        if left == 0:
            raise Stop

    if stop_after is not None:
        called.append(callbacks.LambdaCallback(on_train_batch_begin=count))
    given = {k: v() if callable(v) else v for k, v in given.items()}
    history = model.fit(epochs=3, verbose=0, callbacks=called, **given)
    return history, [t.numpy() for t in model.state_dict().values()], dlc.random.get_state()


@pytest.mark.parametrize("name", FITS)
def test_a_fit_goes_on(name, tmp_path):
    history, wanted, random = run(name)
    for save_freq, stop_after in (("epoch", 12), (3, 10)):
        with pytest.raises(Stop):
            run(name, tmp_path / "run", save_freq, stop_after)
        assert list((tmp_path / "run").iterdir())
        again, found, state = run(name, tmp_path / "run", save_freq)
        assert (again.history, again.epoch, state) == (history.history, history.epoch, random)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
        assert not (tmp_path / "run").exists()


def test_a_fit_that_had_stopped_stays_so(tmp_path):
    def fit(model, keep):
        backup = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=not keep)
        early = callbacks.EarlyStopping("loss", patience=1, mode="max", restore_best_weights=True)
        return model.fit(X, LABELS, epochs=9, verbose=0, callbacks=[backup, early])

    first, second = dense(), dense()
    for model in (first, second):
        model.compile("adam", LOSS)
    history = fit(first, keep=True)
    assert fit(second, keep=False).history == history.history
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_backup_is_of_one_model(tmp_path):
    model, other = dense(), nn.Sequential(nn.Dense(2))
    for m in (model, other):
        m.compile("adam", LOSS)
    keep = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    model.fit(X, LABELS, verbose=0, callbacks=[keep])
    with pytest.raises(dlc.ValueRangeError, match="does not fit Sequential"):
        other.fit(X, LABELS, verbose=0, callbacks=[keep])
    with pytest.raises(dlc.ValueRangeError, match="save_freq=0"):
        callbacks.BackupAndRestore(tmp_path, save_freq=0)


# Loops of one's own.


def loop(folder, steps, kind):
    dlc.random.seed(2)
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.2), nn.Linear(6, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.01) if kind == "lr" else optim.Adam(0.01)
    seen = dlc.Variable(np.int32(0))
    checkpoint = Checkpoint(model=model, optimizer=optimizer, seen=seen)
    manager = CheckpointManager(checkpoint, folder, max_to_keep=2)

    @dlc.compile
    def step(x, y):
        loss, gradients = dlc.value_and_grad(lambda m: dlc.cross_entropy(m(x), y))(model)
        optimizer.apply(dlc.tree.leaves(gradients), dlc.tree.leaves(model))
        seen.assign_add(1)
        return loss

    first = (manager.restore() or {"step": 0})["step"]
    for k in range(first, steps):
        rows = np.random.default_rng(k).permutation(50)[:16]
        noise = dlc.random.normal(None, (16, 4)).numpy()
        step(X[rows] + 0.1 * noise, LABELS[rows])
        if k % 4 == 3:
            manager.save(step=k + 1)
    return [*(p.numpy() for p in model.parameters()), seen.numpy()], manager


@pytest.mark.parametrize("kind", ["lr", "learning_rate"])
def test_a_loop_of_ones_own_goes_on(kind, tmp_path):
    wanted, _ = loop(tmp_path / "a", 16, kind)
    loop(tmp_path / "b", 10, kind)
    found, manager = loop(tmp_path / "b", 16, kind)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name[11:19] for p in manager.checkpoints] == ["00000003", "00000004"]
    assert manager.latest_checkpoint == manager.checkpoints[-1]


# Files.


def some_state():
    return Checkpoint(
        a=dlc.Variable(np.arange(6, dtype=np.float32).reshape(2, 3)),
        b=dlc.Variable(dlc.asarray([1.5, float("nan")], dtype=dlc.bfloat16)),
        c=dlc.Variable(np.zeros((0, 4))),
        d=dlc.Variable(np.array(True)),
        e=dlc.Variable(np.uint32(7)),
    )


def values(checkpoint):
    return [v.numpy().tobytes() for v in checkpoint.objects.values()]


def test_every_type_comes_back(tmp_path):
    checkpoint = some_state()
    before = values(checkpoint)
    dlc.random.seed(9)
    checkpoint.save(tmp_path / "c.safetensors", epoch=3, name="x", rates=[0.1, float("inf")])
    for v in checkpoint.objects.values():
        v.assign(dlc.zeros_like(v.data))
    dlc.random.normal(None, 2)
    position = checkpoint.restore(tmp_path / "c.safetensors")
    assert position == {"epoch": 3, "name": "x", "rates": [0.1, float("inf")]}
    assert values(checkpoint) == before
    assert dlc.random.get_state() == (9, 0)


def test_a_damaged_file_is_seen_at_every_byte(tmp_path):
    checkpoint, path = some_state(), tmp_path / "c.safetensors"
    checkpoint.save(path)
    whole = path.read_bytes()
    for length in {*range(0, len(whole), 37), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(dlc.FileFormatError, match="is no checkpoint"):
            checkpoint.restore(path)
    for k in range(0, len(whole), 3):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 4]) + whole[k + 1 :])
        with pytest.raises(dlc.FileFormatError):
            checkpoint.restore(path)
    for other in (b"", b"\xff" * 64, b"[" * 5000):
        path.write_bytes(other)
        with pytest.raises(dlc.FileFormatError):
            checkpoint.restore(path)


def test_the_one_before_takes_the_place_of_a_damaged_one(tmp_path):
    checkpoint = some_state()
    manager = CheckpointManager(checkpoint, tmp_path)
    assert manager.restore() is None
    for k in range(5):
        manager.save(epoch=k)
    last = manager.checkpoints[-1]
    last.write_bytes(last.read_bytes()[:-9])
    with pytest.warns(UserWarning, match=r"00000005.*cut off.*the checkpoint before it is used"):
        assert manager.restore() == {"epoch": 3}
    assert manager.restore() == {"epoch": 3}
    (tmp_path / "checkpoint-00000009.safetensors.ab12.tmp").write_bytes(b"half")
    manager.save(epoch=4)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [
        "checkpoint-00000003.safetensors", "checkpoint-00000004.safetensors",
        "checkpoint-00000005.safetensors", "checkpoint-00000005.safetensors.damaged",
    ]  # fmt: skip
    for path in manager.checkpoints:
        path.write_bytes(b"")
    with pytest.raises(dlc.FileFormatError, match=r"(?s)no checkpoint is whole.*03.*04|05"):
        manager.restore()


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    manager = CheckpointManager(some_state(), tmp_path)
    manager.save(epoch=1)

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(dlc.SaveError, match="No space left"):
        manager.save(epoch=2)
    monkeypatch.undo()
    assert manager.restore() == {"epoch": 1}
    assert len(list(tmp_path.iterdir())) == 1
    manager.delete()
    assert not tmp_path.exists()


def test_objects_without_state_and_states_of_others(tmp_path):
    with pytest.raises(dlc.ArgumentError, match="'x', a int"):
        Checkpoint(x=3)
    with pytest.raises(dlc.ArgumentError, match="'random'"):
        Checkpoint(random=dlc.Variable(1.0))
    with pytest.raises(dlc.ValueRangeError, match="max_to_keep"):
        CheckpointManager(some_state(), tmp_path, max_to_keep=0)
    some_state().save(tmp_path / "c.safetensors")
    with pytest.raises(dlc.ValueRangeError, match="a, b, c, d, e, random for a, random"):
        Checkpoint(a=dlc.Variable(1.0)).restore(tmp_path / "c.safetensors")
    with pytest.raises(dlc.ArgumentError, match="of a object at 'position' at 'what'"):
        some_state().save(tmp_path / "d.safetensors", what=object())
    with pytest.raises(dlc.ArgumentError, match="two integers"):
        dlc.random.set_state("ab")


def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path):
    def objects(**momentum):
        model, v = nn.Linear(2, 3), dlc.Variable([1.0])
        optimizer = optim.SGD(model.parameters(), lr=0.1, **momentum)
        return {"model": model, "v": v, "w": dlc.Variable([2.0]), "optimizer": optimizer}

    Checkpoint(**objects()).save(tmp_path / "c.safetensors")
    own = objects(momentum=0.9)
    checkpoint = Checkpoint(**own)
    own["v"].assign([5.0])
    before = dlc.tree.map(np.copy, checkpoint.state_dict())
    with pytest.raises(dlc.ValueRangeError, match=r"0\.momentum: missing"):
        checkpoint.restore(tmp_path / "c.safetensors")
    dlc.tree.map(np.testing.assert_array_equal, checkpoint.state_dict(), before)
    Checkpoint(x=own["model"]).save(tmp_path / "d.safetensors")
    for other, kind in (("v", "Variable"), ("optimizer", "SGD")):
        with pytest.raises(dlc.ValueRangeError, match=f"'x' is no {kind}"):
            Checkpoint(x=own[other]).restore(tmp_path / "d.safetensors")


def test_metrics_have_state():
    first, second = metrics.AUC(exact=True), metrics.AUC(exact=True)
    first.update_state([0, 1, 1], [0.2, 0.1, 0.8])
    second.load_state_dict(first.state_dict())
    assert second.result().item() == first.result().item() == 0.5
    with pytest.raises(dlc.ValueRangeError, match="does not fit Mean"):
        metrics.Mean().load_state_dict({"0": 1.0})
