"""Initialisers by all their names, against PyTorch's and by their definitions."""

from __future__ import annotations

import inspect
import math
import pickle

import numpy as np
import pytest
import torch

import dlc
from dlc import nn

KEY = dlc.random.key(3)
SHAPES = {"dirac_": (8, 4, 3, 3), "eye_": (40, 30), "sparse_": (200, 30)}
SETTINGS = [
    ("uniform_", {}), ("uniform_", {"a": -2.0, "b": 3.0}), ("normal_", {"mean": 1.0, "std": 0.5}),
    ("trunc_normal_", {"std": 2.0, "a": -1.0, "b": 3.0}), ("constant_", {"val": 3.0}),
    ("ones_", {}), ("zeros_", {}), ("eye_", {}), ("dirac_", {}), ("dirac_", {"groups": 2}),
    ("xavier_uniform_", {}), ("xavier_normal_", {"gain": 2.0}), ("kaiming_uniform_", {"a": 1.0}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}), ("orthogonal_", {}),
    ("sparse_", {"sparsity": 0.25, "std": 0.1}),
]  # fmt: skip
RANDOM = {"uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_",
          "kaiming_uniform_", "kaiming_normal_", "sparse_"}  # fmt: skip


@pytest.mark.parametrize(("name", "settings"), SETTINGS, ids=repr)
def test_filling_in_place_as_pytorch(name, settings):
    shape = SHAPES.get(name, (60, 50, 2, 3))
    torch.manual_seed(0)
    wanted = getattr(torch.nn.init, name)(torch.empty(shape), **settings).numpy()
    key = {"key": KEY} if name in RANDOM else {}
    held = dlc.Variable(dlc.zeros(shape))
    assert getattr(nn.init, name)(held, **settings, **key) is held
    tensor = dlc.zeros(shape)
    getattr(nn.init, name)(tensor, **settings, **key)
    got = held.numpy()
    np.testing.assert_array_equal(got, tensor.numpy() if key or name != "orthogonal_" else got)
    if name == "orthogonal_":
        rows = got.reshape(60, -1)
        np.testing.assert_allclose(rows @ rows.T, np.eye(60), atol=1e-5)
    elif name not in RANDOM:
        np.testing.assert_array_equal(got, wanted)
    else:
        assert got.mean() == pytest.approx(wanted.mean(), abs=0.08 * float(wanted.std()))
        assert got.std() == pytest.approx(wanted.std(), rel=0.05)
        assert np.abs(got).max() == pytest.approx(np.abs(wanted).max(), rel=0.3)
        np.testing.assert_allclose((got == 0).mean(0), (wanted == 0).mean(0), atol=1e-6)


def test_arguments_are_pytorchs():
    for name in {n for n, _ in SETTINGS} | {"calculate_gain"}:
        own = inspect.signature(getattr(nn.init, name)).parameters
        theirs = inspect.signature(getattr(torch.nn.init, name)).parameters
        for p in theirs.values():
            if p.name != "generator":
                assert own[p.name].default == p.default, (name, p.name)


def test_gains():
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    wanted = torch.nn.init.calculate_gain("leaky_relu", 0.3)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == pytest.approx(wanted)
    with pytest.raises(dlc.ValueRangeError, match="did you mean 'relu'"):
        nn.init.calculate_gain("relw")


CLASSES = [
    ("Zeros", "zeros", {}), ("Ones", "ones", {}), ("Constant", "constant", {"value": 2.0}),
    ("Identity", "identity", {"gain": 2.0}), ("RandomNormal", "normal", {"stddev": 0.2}),
    ("RandomUniform", "random_uniform", {"minval": 0.0, "maxval": 1.0}),
    ("TruncatedNormal", "truncated_normal", {"stddev": 0.2}),
    ("VarianceScaling", "variance_scaling", {"scale": 2.0, "mode": "fan_out"}),
    ("Orthogonal", "orthogonal", {"gain": 2.0}), ("GlorotUniform", "glorot_uniform", {}),
    ("GlorotNormal", "glorot_normal", {}), ("HeUniform", "he_uniform", {}),
    ("HeNormal", "he_normal", {}), ("LecunUniform", "lecun_uniform", {}),
    ("LecunNormal", "lecun_normal", {}),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "function", "settings"), CLASSES, ids=[c[0] for c in CLASSES])
def test_classes_of_keras_give_what_functions_give(cls, function, settings):
    made = getattr(nn.initializers, cls)
    seeded = {"seed": 5} if "seed" in inspect.signature(made).parameters else {}
    init = made(**settings, **seeded)
    renamed = {"minval": "low", "maxval": "high"}
    key = {"key": dlc.random.key(5)} if seeded else {}
    plain = {renamed.get(k, k): v for k, v in settings.items()}
    wanted = getattr(nn.initializers, function)(**plain, **key)((30, 20), dlc.float32)
    for use in (init, init, pickle.loads(pickle.dumps(init))):
        np.testing.assert_array_equal(use((30, 20)).numpy(), wanted.numpy())
    assert init((3, 3), dlc.float64).dtype is dlc.float64
    assert callable(nn.initializers.get(cls))
    assert nn.initializers.get(made)((3, 3), dlc.float32).shape == (3, 3)


def test_what_cannot_be_had():
    for make in (
        lambda: nn.initializers.get("HeNorml"),
        lambda: nn.initializers.identity()((2, 3, 4), dlc.float32),
        lambda: nn.initializers.dirac()((2, 3), dlc.float32),
        lambda: nn.initializers.dirac(2)((3, 3, 3), dlc.float32),
        lambda: nn.init.sparse_(dlc.zeros(3), 0.5),
    ):
        with pytest.raises(dlc.ValueRangeError):
            make()
    with pytest.raises(dlc.ValueRangeError, match="did you mean 'he_normal'"):
        nn.Dense(3, kernel_initializer="he_norml")
    wide = nn.initializers.orthogonal(outputs_first=True)((4, 3, 2), dlc.float64).numpy()
    np.testing.assert_allclose(wide.reshape(4, 6) @ wide.reshape(4, 6).T, np.eye(4), atol=1e-12)
    assert math.isclose(nn.init.calculate_gain("tanh"), 5 / 3)


@pytest.mark.parametrize(
    "init",
    ["normal", "uniform", "truncated_normal", "he_normal", "glorot_uniform", "orthogonal"],
)
def test_skipped_first_values_are_zeros_and_draw_nothing(init, monkeypatch):
    made = nn.initializers.get(init)
    with nn.initializers.skip_init():
        for name in ("normal", "uniform", "truncated_normal", "bits"):
            monkeypatch.setattr(dlc.random, name, None)
        x = made((4, 3), dlc.bfloat16)
        assert (nn.initializers.ones()((2,), dlc.float32).numpy() == 1.0).all()
    monkeypatch.undo()
    assert (x.shape, x.dtype, bool((x == 0.0).all())) == ((4, 3), dlc.bfloat16, True)
    assert bool((made((4, 3), dlc.bfloat16) != 0.0).any())


def test_skipping_ends_with_its_block():
    with pytest.raises(ZeroDivisionError), nn.initializers.skip_init():
        raise ZeroDivisionError
    assert not nn.initializers._skipping.get()
