"""Event files, read back by TensorBoard itself."""

from __future__ import annotations

import io
import sys
import warnings
from types import ModuleType

import numpy as np
import pytest

import dlc
from dlc import callbacks, losses, nn, optim

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
RNG = np.random.default_rng(3)
X = RNG.standard_normal((24, 4)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(np.int64)


def read(folder):
    # Says that there is no TensorFlow, whose LLVM must not be in one process with others.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    found = EventAccumulator(
        str(folder), size_guidance={"scalars": 0, "images": 0, "histograms": 0}
    )
    found.Reload()
    return found


def scalars(found, tag):
    return [(e.step, e.value) for e in found.Scalars(tag)]


def text(found, tag):
    (event,) = found.Tensors(tag)
    return event.tensor_proto.string_val[0].decode()


def pixels(event):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))


class Block(nn.Module):
    def __init__(self):
        self.dense, self.norm = nn.Linear(4, 6), nn.LayerNorm(6)

    def forward(self, x):
        return dlc.relu(self.norm(self.dense(x)))


def fitted(folder, **settings):
    dlc.random.seed(0)
    model = nn.Sequential(Block(), nn.Linear(6, 2))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = optim.schedules.StepDecay(0.125, 4, 0.5)
    model.compile(optim.SGD(learning_rate=rate), loss, metrics=["accuracy"])
    history = model.fit(
        X, LABELS, batch_size=6, epochs=3, validation_data=(X, LABELS), verbose=0,
        callbacks=[callbacks.TensorBoard(folder, **settings)],
    )  # fmt: skip
    return model, history.history


def test_numbers_of_epochs_and_of_evaluations(tmp_path):
    loaded = "tensorflow" in sys.modules  # by another test
    model, history = fitted(tmp_path)
    train, tested = read(tmp_path / "train"), read(tmp_path / "validation")
    assert set(train.Tags()["scalars"]) == {
        "epoch_loss", "epoch_accuracy", "epoch_learning_rate"
    }  # fmt: skip
    assert scalars(train, "epoch_loss") == [
        (k, pytest.approx(v)) for k, v in enumerate(history["loss"])
    ]
    assert ("tensorflow" in sys.modules) == loaded
    assert scalars(train, "epoch_learning_rate") == [(0, 0.0625), (1, 0.03125), (2, 0.015625)]
    assert [v for _, v in scalars(tested, "epoch_loss")] == pytest.approx(history["val_loss"])
    assert [k for k, _ in scalars(tested, "evaluation_loss_vs_iterations")] == [4, 8, 12]
    assert "parameters" in text(train, "model/summary/text_summary")
    model.evaluate(X, LABELS, verbose=0, callbacks=[board := callbacks.TensorBoard(tmp_path / "e")])
    assert not board._writers
    assert scalars(read(tmp_path / "e" / "validation"), "evaluation_loss_vs_iterations")[0][0] == 12


def test_the_graph_has_the_modules_and_compiles_nothing_again(tmp_path):
    model, _ = fitted(tmp_path)
    assert model._fitting.steps.functions["train_step of rows"].stats.compilations == 1
    nodes = {n.name: n for n in read(tmp_path / "train").Graph().node}
    kinds = {n.op for n in nodes.values()}
    assert {"Variable", "Placeholder", "dot_general"} <= kinds
    product = next(n for n in nodes.values() if n.op == "dot_general")
    assert product.name.startswith("Sequential/0/dense/")
    assert [d.size for d in product.attr["_output_shapes"].list.shape[0].dim] == [-1, 6]
    assert "Sequential/0/dense/weight" in nodes
    assert all(x in nodes for n in nodes.values() for x in n.input)


def test_histograms_and_images_of_weights(tmp_path):
    model, _ = fitted(tmp_path, histogram_freq=2, write_images=True, write_graph=False)
    train = read(tmp_path / "train")
    assert len(train.Tags()["histograms"]) == 6
    held = train.Histograms("1/weight/histogram")
    assert [e.step for e in held] == [0, 2]
    value, weights = held[-1].histogram_value, model[1].weight.numpy()
    assert value.num == weights.size
    assert value.sum == pytest.approx(float(weights.sum()), rel=1e-5)
    assert sum(value.bucket) == weights.size
    assert pixels(train.Images("1/weight/image")[0]).shape[:2] == (2, 6)
    with pytest.raises(KeyError):
        train.Graph() if train.Tags()["graph"] else train.Scalars("none")


def test_numbers_of_batches(tmp_path):
    fitted(tmp_path, update_freq=3, write_steps_per_second=True)
    train = read(tmp_path / "train")
    assert [k for k, _ in scalars(train, "batch_loss")] == [3, 6, 9, 12]
    rates = [v for _, v in scalars(train, "epoch_steps_per_second")]
    rates += [v for _, v in scalars(train, "batch_steps_per_second")]
    assert min(rates) > 0


def test_settings_of_runs_and_curves(tmp_path):
    with callbacks.SummaryWriter(tmp_path) as writer:
        writer.add_hparams({"lr": np.float32(0.5), "kind": "adam"}, {"accuracy": 0.75}, "first")
        writer.add_pr_curve("pr", np.array([0, 1, 1]), dlc.asarray([0.1, 0.4, 0.9]), 3)
        with pytest.raises(dlc.ShapeError, match="3 labels and 2 predictions"):
            writer.add_pr_curve("pr", [0, 1, 1], [0.1, 0.4])
    run = read(tmp_path / "first")
    assert scalars(run, "accuracy") == [(0, 0.75)]
    held = run.PluginTagToContent("hparams")
    assert sorted(held) == [f"_hparams_/{n}" for n in ("experiment", "session_end_info",
                                                      "session_start_info")]  # fmt: skip
    started = held["_hparams_/session_start_info"]
    assert b"lr" in started
    assert np.float64(0.5).tobytes() in started
    assert list(read(tmp_path).PluginTagToContent("pr_curves")) == ["pr"]


def test_a_writer_of_your_own(tmp_path):
    image = RNG.random((3, 5, 7))
    with callbacks.SummaryWriter(tmp_path) as writer:
        for step in range(3):
            writer.add_scalar("a/loss", dlc.asarray(step / 2), step, walltime=10.0 + step)
        writer.add_histogram("h", [0.0, 1.0, -1.0, np.nan, np.inf], 4)
        writer.add_histogram("none", [np.nan], 4)
        writer.add_histogram("own", [0.5, 1.5], 0, bins=[0, 1, 2])
        writer.add_image("chw", image, 1)
        writer.add_image("bytes", np.full((4, 4), 7, np.uint8))
        writer.add_images("nhwc", np.zeros((2, 3, 4, 1)), dataformats="NHWC")
        writer.add_text("note", "*strong*", 2)
        writer.add_scalars("both", {"x": 1.0, "y": 2.0}, 5)
        writer.add_graph(lambda x: dlc.exp(x) + 1, np.ones(3))
        writer.flush()
        assert scalars(read(tmp_path), "a/loss")[-1] == (2, 1.0)  # before the file is closed
    found = read(tmp_path)
    assert [e.wall_time for e in found.Scalars("a/loss")] == [10, 11, 12]
    assert found.Histograms("h")[0].histogram_value.num == 3
    assert found.Tags()["histograms"] == ["h", "own"]
    shown = pixels(found.Images("chw")[0])
    np.testing.assert_allclose(shown, image.transpose(1, 2, 0) * 255, atol=1.0)
    assert (pixels(found.Images("bytes")[0]) == 7).all()
    assert text(found, "note/text_summary") == "*strong*"
    assert scalars(read(tmp_path / "both_y"), "both") == [(5, 2.0)]
    assert [n.op for n in found.Graph().node][:2] == ["Placeholder", "exp"]
    with pytest.raises(dlc.ValueRangeError, match="closed"):
        writer.add_scalar("late", 1.0)


def test_a_figure(tmp_path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([1, 2])
    with callbacks.SummaryWriter(tmp_path) as writer:
        writer.add_figure("drawn", figure)
    assert pixels(read(tmp_path).Images("drawn")[0]).shape == (50, 100, 4)


def test_what_cannot_be_written(tmp_path, monkeypatch):
    with callbacks.SummaryWriter(tmp_path) as writer:
        with pytest.raises(dlc.ShapeError, match="2 channels"):
            writer.add_image("x", np.zeros((2, 5, 5)))
        with pytest.raises(dlc.ShapeError, match="add_image"):
            writer.add_image("x", np.zeros(5))
        with pytest.raises(dlc.ShapeError, match=r"shape \(3,\)"):
            writer.add_scalar("x", np.zeros(3))
    for settings in ({"update_freq": 0}, {"update_freq": "x"}, {"profile_batch": 2}):
        with pytest.raises(dlc.ValueRangeError):
            callbacks.TensorBoard(tmp_path, **settings)
    for name in [n for n in sys.modules if n.partition(".")[0] == "tensorboardX"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(dlc.ArgumentError, match="needs the package tensorboardX"):
        callbacks.SummaryWriter(tmp_path)
