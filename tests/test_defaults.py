"""The peers' defaults and dlc's are what docs/defaults.md says of them: looked up, or tried."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import defaults_table
import numpy as np
import pytest

import dlc

ROOT = Path(__file__).parent.parent
CASES = defaults_table.CASES


def peers():
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
        import sklearn.metrics
        import torch
    return {"keras": keras, "sklearn": sklearn, "torch": torch}


def parameters(function):
    return inspect.signature(function).parameters


def second(function):
    """The name of a function's second parameter, of a method the first after self."""
    return list(parameters(function))[1]


def first(function):
    return next(iter(parameters(function)))


def default(function, name):
    return parameters(function)[name].default


def kind(x):
    return "values and indices" if isinstance(x, tuple) else "array"


def name(dtype):
    return str(dtype).rpartition(".")[2]


def dlc_name(x):
    return dlc.asarray(x).numpy().dtype.name


def attempt(function):
    """What a function gives, or that it raises."""
    try:
        return function()
    except (IndexError, TypeError):
        return "error"


def dlc_step(kind, **settings):
    v = dlc.Variable([1.0], dtype=dlc.float64)
    optimizer = getattr(dlc.optim, kind)(*([[v]] if "lr" in settings else []), **settings)
    optimizer.apply([dlc.zeros(1, dtype=dlc.float64)], [v])
    return round(v.item(), 6)


def dlc_momentum(spelling):
    v = dlc.Variable([0.0], dtype=dlc.float64)
    given = [[v]] if spelling == "lr" else []
    optimizer = dlc.optim.SGD(*given, momentum=0.5, **{spelling: 0.1})
    for rate in (0.1, 0.2):
        optimizer.learning_rate = rate
        optimizer.apply([dlc.ones(1, dtype=dlc.float64)], [v])
    return v.item()


def dlc_sgd():
    return dlc.optim.SGD([dlc.Variable([0.0])], lr=1.0)


def plateau(kind, optimizer):
    """How many equal numbers, after a first one, lower the rate."""
    scheduler = kind(optimizer, patience=2)
    scheduler.step(1.0)
    for count in range(1, 9):
        scheduler.step(1.0)
        if optimizer.param_groups[0]["lr"] < 1:
            return count
    return None


class Fitted:
    metrics = ()

    def __init__(self):
        self.optimizer = type("Optimizer", (), {"learning_rate": 1.0})()


def callback_plateau(kind):
    callback = kind(patience=2)
    callback.set_model(model := Fitted())
    callback.on_train_begin({})
    callback.on_epoch_end(0, {"val_loss": 1.0})
    for count in range(1, 9):
        callback.on_epoch_end(count, {"val_loss": 1.0})
        if model.optimizer.learning_rate < 1:
            return count
    return None


def dlc_running_variance(layer):
    layer.train()
    layer(dlc.asarray([[1.0], [3.0]]))
    return float(next(v for n, v in layer.named_buffers() if "var" in n).item())


def built(layer, shape):
    layer(dlc.zeros(shape))
    return layer


def dlc_weight(layer, shape):
    return tuple(built(layer, shape).kernel.shape)


def dlc_limit(weight):
    """The largest of many weights that are drawn, which is close to the limit and never beyond."""
    dlc.random.seed(0)
    return rounded_up(max(abs(weight().numpy()).max() for _ in range(200)))


def rounded_up(found):
    """A limit that is known, from numbers that come close to it."""
    near = [v for v in (1 / math.sqrt(3), math.sqrt(6 / 5)) if 0.98 * v < found <= v]
    return round(near[0], 4) if near else found


def spread(weights):
    return round(float(weights.std()), 2)


PROBABILITIES = np.float32([[0.25, 0.75]])


def dlc_cross_entropy():
    return dlc.losses.SparseCategoricalCrossentropy()(np.array([1]), PROBABILITIES).item()


def dlc_auc(**settings):
    metric = dlc.metrics.AUC(**settings)
    metric.update_state(np.array([0, 1]), np.float32([0.1, 0.1001]))
    return metric.result().item()


def torch_step(kind, **settings):
    import torch

    p = torch.ones(1, dtype=torch.float64, requires_grad=True)
    p.grad = torch.zeros(1, dtype=torch.float64)
    getattr(torch.optim, kind)([p], **settings).step()
    return round(p.item(), 6)


def keras_step(kind, **settings):
    import keras
    import torch

    v = keras.Variable(np.ones(1), dtype="float64")
    getattr(keras.optimizers, kind)(**settings).apply([torch.zeros(1, dtype=torch.float64)], [v])
    return round(float(v.value.detach()), 6)


def torch_momentum():
    import torch

    p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.1, momentum=0.5)
    for rate in (0.1, 0.2):
        optimizer.param_groups[0]["lr"] = rate
        p.grad = torch.ones(1, dtype=torch.float64)
        optimizer.step()
    return p.item()


def keras_momentum():
    import keras
    import torch

    v = keras.Variable(np.zeros(1), dtype="float64")
    optimizer = keras.optimizers.SGD(0.1, momentum=0.5)
    for rate in (0.1, 0.2):
        optimizer.learning_rate = rate
        optimizer.apply([torch.ones(1, dtype=torch.float64)], [v])
    return float(v.value.detach())


def torch_running_variance():
    import torch

    layer = torch.nn.BatchNorm1d(1, momentum=1.0)
    layer(torch.tensor([[1.0], [3.0]]))
    return layer.running_var.item()


def keras_running_variance():
    import keras

    layer = keras.layers.BatchNormalization(momentum=0.0)
    layer(np.float32([[1.0], [3.0]]), training=True)
    return float(layer.moving_variance.value.detach())


def keras_weight(layer, shape):
    layer.build(shape)
    return tuple(layer.kernel.shape)


def keras_limit():
    import keras

    drawn = (keras.layers.Dense(2) for _ in range(200))
    return rounded_up(max(abs(np.asarray(keras_built(d).detach())).max() for d in drawn))


def keras_built(layer):
    layer.build((None, 3))
    return layer.kernel.value


def torch_limit():
    import torch

    torch.manual_seed(0)
    drawn = (torch.nn.Linear(3, 2).weight.detach().abs().max().item() for _ in range(200))
    return rounded_up(max(drawn))


def keras_embedding():
    import keras

    layer = keras.layers.Embedding(100, 100)
    layer.build(None)
    return layer.embeddings.value.detach().numpy()


def keras_cross_entropy():
    import keras

    return float(keras.losses.SparseCategoricalCrossentropy()(np.array([1]), PROBABILITIES))


def keras_auc():
    import keras

    metric = keras.metrics.AUC()
    metric.update_state([0, 1], np.float32([0.1, 0.1001]))
    return float(metric.result())


def torch_sgd():
    import torch

    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


@pytest.fixture(scope="module")
def names():
    found = peers()
    return {
        **globals(), **found, "F": found["torch"].nn.functional, "dlcF": dlc.nn.functional,
        "kl": found["keras"].losses,
    }  # fmt: skip


@pytest.fixture(scope="module")
def of_jax():
    """What the texts about JAX give, by a process of its own: JAX warns of every fork for good."""
    texts = [p.shown_by for c in CASES for p in c.peers if p.who == "JAX"]
    code = (
        "import sys, jax, jax.numpy as jnp; from test_defaults import *\n"
        "print([eval(text) for text in sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *texts], cwd=ROOT / "tests",
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(zip(texts, ast.literal_eval(done.stdout), strict=True))


def same(found, stated):
    if isinstance(stated, float):
        return found == pytest.approx(stated, abs=5e-5 if abs(stated) > 1e-3 else 0)
    return found == stated


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.what)
def test_defaults(case, names, of_jax):
    for side in (*case.peers, *case.ours):
        of_peer = side.who == "JAX"
        found = of_jax[side.shown_by] if of_peer else eval(side.shown_by, dict(names))
        assert same(found, side.value), f"{side.who}: {side.shown_by} is {found}"
    assert len({repr(p.value) for p in case.peers}) > 1, "the peers agree"
    stated = [repr(p.value) for p in case.peers]
    assert all(repr(o.value) in stated for o in case.ours), "nobody else does what dlc does"


def test_the_page_is_generated():
    path = ROOT / "docs" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate.DEFAULTS_PAGE.read_text(encoding="utf-8")
    assert page == generate.page_with(generate.defaults_sections(), page), (
        "run: python docs/generate.py"
    )
