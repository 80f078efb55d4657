"""The examples in docstrings print what they say."""

import builtins
import doctest
import importlib

import pytest

import dlc

MODULES = [
    "callbacks", "debug",
    "along", "apply", "associative", "autocast", "autograd", "compile", "dtypes", "promotion",
    "spec", "tensor", "transforms", "tree", "variable",
]  # fmt: skip
LAYERS = [
    "activation_layers", "activations", "channel_norms", "containers", "convolution", "converting",
    "dropout", "embeddings", "graph", "hooks", "init", "initializers", "linear", "losses", "model",
    "module",
    "normalization", "padding", "pooling", "reshaping",
]  # fmt: skip
KERAS_LAYERS = [
    "categories", "convolution", "dense", "hashing", "images", "layer", "merging", "noise",
    "normalization", "pooling", "preparing", "shapes", "texts",
]  # fmt: skip
OPTIMIZERS = [
    "clipping", "lbfgs", "loss_scaler", "older", "rules", "schedules", "variants", "whole",
]  # fmt: skip
METRICS = ["accuracy", "confusion", "correlations", "metric", "names", "overlaps", "scores"]
FORMS = [
    "activations",
    "class_losses",
    "distances",
    "dropouts",
    "linear_maps",
    "losses",
    "sequences",
]
RANDOM = ["continuous", "counts", "discrete", "gammas", "generator"]
MATRICES = ["decompositions", "functions", "norms", "products", "solving"]
FILES = [
    *(f"frontend.{name}" for name in MODULES),
    *(f"frontend.linalg.{name}" for name in MATRICES),
    *(
        f"frontend.random.{name}"
        for name in ("continuous", "counts", "discrete", "gammas", "generator")
    ),
    *(f"nn.{name}" for name in LAYERS),
    *(f"nn.keras.{name}" for name in KERAS_LAYERS),
    *(f"nn.functional.{name}" for name in FORMS),
    *(f"optim.{name}" for name in OPTIMIZERS),
    *(f"losses.{name}" for name in ("classes", "deviation_classes", "functions", "overlaps")),
    "callbacks.base",
    *(f"metrics.{name}" for name in METRICS),
]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", FILES)
def test_examples(name):
    module = importlib.import_module(f"dlc.{name}")
    public = {k: v for k, v in vars(dlc).items() if not hasattr(builtins, k)}
    names = {**public, "dlc": dlc, **vars(module)}
    result = doctest.testmod(module, globs=names, optionflags=OPTIONS)
    assert result.attempted
    assert not result.failed
