"""The examples that train models: each learns in a short run, and its measures are right."""

from __future__ import annotations

import csv
import importlib.util
import pathlib
import sys

import numpy as np
import pytest
import scipy.linalg

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def example(monkeypatch):
    """Loads a fresh copy of an example, which workers of a loader find by its name."""
    monkeypatch.syspath_prepend(FOLDER)

    def load(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_the_classifier_in_kerass_manner(example, tmp_path):
    model, (_, accuracy) = example("keras_classifier").train(tmp_path, epochs=2, verbose=0)
    assert accuracy > 0.8
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"best.safetensors", "epochs.csv", "history.png", "run.html", "tensorboard"}
    with (tmp_path / "epochs.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert losses == model.history.history["val_loss"]
    assert losses[-1] < losses[0]


def test_the_loop_in_pytorchs_manner(example):
    module = example("torch_loop")
    train, test = module.load_data(workers=1)
    trainer = module.Trainer()
    trainer.train(train, epochs=2)
    assert trainer.accuracy(test) > 70
    stats = trainer.train_step.stats
    assert stats.calls == stats.native_calls == 2 * len(train)
    assert stats.interpreted_ops == 0
    image, label = train.dataset[5]
    assert image.shape == (1, 8, 8)
    assert label == train.dataset.labels[5]


def test_the_two_networks_of_the_gan(example):
    module = example("gan")
    (x, y), (x_test, _) = module.loaders.digits()
    x, x_test = x[:, None], x_test[:, None]
    gan = module.Gan()
    before = [gan.sample(50), gan.discriminator(x_test).numpy()]
    gan.train(x, 20)
    stats = gan.train_step.stats
    assert stats.calls == stats.native_calls == 20
    made = gan.sample(50)
    assert made.shape == (50, 1, 8, 8)
    assert abs(made - x.mean()).mean() < abs(before[0] - x.mean()).mean() + 0.3
    assert (gan.discriminator(x_test).numpy() != before[1]).any()
    judge = module.trained_judge(x, y, epochs=1)
    found = module.report(gan, judge, x, x_test, count=200)
    assert set(found) == set(module.GOALS)
    assert found["distance"] > 0.3  # nothing is learnt in 20 steps


def test_the_frechet_distance_is_as_defined(example):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((60, 5)), rng.standard_normal((80, 5)) @ rng.random((5, 5)) + 1
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(one @ other).real
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one + other - 2 * root)
    frechet = example("gan").frechet
    assert frechet(a, b) == pytest.approx(wanted, rel=1e-6)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_what_is_transferred_is_frozen(example):
    module = example("transfer")
    (x0, y0), (x, y) = module.load_data()
    assert set(y0) == set(y) == set(range(5))
    images, ways = module.turned(x0[:3], np.arange(3))
    assert len({image.tobytes() for image in images}) == len(images) == 24
    assert sorted(ways) == sorted(k + 5 * way for k in range(3) for way in range(8))
    chosen, others = module.few_of_each(y, 2, seed=0)
    assert sorted(y[chosen]) == sorted([*range(5)] * 2)
    assert len(chosen) + len(others) == len(y)
    body, accuracy = module.pretrained_body(x0[:250], y0[:250], epochs=2)
    assert accuracy > 10  # of 40 classes
    before = [p.numpy().copy() for p in body.parameters()]
    moved, alone = module.compare(body, x, y, labels=4, repetitions=1, epochs=15)
    for p, was in zip(body.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.numpy(), was)
    assert min(moved, alone) > 35
