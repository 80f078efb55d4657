"""Where the peers' defaults and conventions differ, and which of them each spelling has in dlc.

`tests/test_defaults.py` evaluates every expression; `docs/generate.py` makes docs/defaults.md of
what is stated here.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Side(NamedTuple):
    """What one side does: who, the value, and the expression that shows it."""

    who: str
    value: Any
    shown_by: str


class Case(NamedTuple):
    """One difference: its group on the page, what it is, peers that differ, dlc's spellings."""

    group: str
    what: str
    peers: tuple[Side, ...]
    ours: tuple[Side, ...]  # each with the value of one of the peers


def _optimizer(kind, what, torch_name, torch_value, keras_name, keras_value, keras_kind=None):
    """A setting of an optimizer in both spellings."""
    other = keras_kind or kind
    return Case(
        "Optimizers",
        f"{kind}: {what}",
        (
            Side("PyTorch", torch_value, f"default(torch.optim.{kind}, {torch_name!r})"),
            Side("Keras", keras_value, f"default(keras.optimizers.{other}, {keras_name!r})"),
        ),
        (
            Side(f"{kind}(params, lr=)", torch_value, f"dlc.optim.{kind}.torch[{torch_name!r}]"),
            Side(
                f"{other}(learning_rate=)",
                keras_value,
                f"dlc.optim.{other}.keras[{keras_name!r}]",
            ),
        ),
    )


def _layer(what, torch_name, torch_value, keras_name, keras_value, argument, keras_argument=None):
    """A default of a layer that PyTorch and Keras call otherwise."""
    other = keras_argument or argument
    return Case(
        "Layers",
        what,
        (
            Side("PyTorch", torch_value, f"default(torch.nn.{torch_name}, {argument!r})"),
            Side("Keras", keras_value, f"default(keras.layers.{keras_name}, {other!r})"),
        ),
        (
            Side(torch_name, torch_value, f"default(dlc.nn.{torch_name}, {argument!r})"),
            Side(keras_name, keras_value, f"default(dlc.nn.{keras_name}, {other!r})"),
        ),
    )


def _case(group, what, peers, ours):
    return Case(group, what, tuple(Side(*p) for p in peers), tuple(Side(*o) for o in ours))


OPTIMIZERS = [
    _optimizer("SGD", "learning rate", "lr", 0.001, "learning_rate", 0.01),
    _optimizer("Adam", "epsilon", "eps", 1e-8, "epsilon", 1e-7),
    _optimizer("AdamW", "weight decay", "weight_decay", 0.01, "weight_decay", 0.004),
    _optimizer("AdamW", "epsilon", "eps", 1e-8, "epsilon", 1e-7),
    _optimizer("RMSprop", "learning rate", "lr", 0.01, "learning_rate", 0.001),
    _optimizer("RMSprop", "share kept of squares", "alpha", 0.99, "rho", 0.9),
    _optimizer("RMSprop", "epsilon", "eps", 1e-8, "epsilon", 1e-7),
    _optimizer("Adagrad", "learning rate", "lr", 0.01, "learning_rate", 0.001),
    _optimizer(
        "Adagrad", "first sum of squares",
        "initial_accumulator_value", 0, "initial_accumulator_value", 0.1,
    ),
    _optimizer("Adagrad", "epsilon", "eps", 1e-10, "epsilon", 1e-7),
    _optimizer("Adadelta", "learning rate", "lr", 1.0, "learning_rate", 0.001),
    _optimizer("Adadelta", "share kept of squares", "rho", 0.9, "rho", 0.95),
    _optimizer("Adadelta", "epsilon", "eps", 1e-6, "epsilon", 1e-7),
    _optimizer("Adamax", "learning rate", "lr", 0.002, "learning_rate", 0.001),
    _optimizer("Adamax", "epsilon", "eps", 1e-8, "epsilon", 1e-7),
    _optimizer("NAdam", "learning rate", "lr", 0.002, "learning_rate", 0.001, "Nadam"),
    _optimizer("NAdam", "epsilon", "eps", 1e-8, "epsilon", 1e-7, "Nadam"),
    _case(
        "Optimizers", "Adam with weight decay 0.5 and rate 0.1: 1 after a step of gradient 0",
        [
            ("PyTorch", 0.9, "torch_step('Adam', lr=0.1, weight_decay=0.5)"),
            ("Keras", 0.95, "keras_step('Adam', learning_rate=0.1, weight_decay=0.5)"),
        ],
        [
            ("Adam(params, lr=)", 0.9, "dlc_step('Adam', lr=0.1, weight_decay=0.5)"),
            ("Adam(learning_rate=)", 0.95, "dlc_step('Adam', learning_rate=0.1, weight_decay=0.5)"),
        ],
    ),
    _case(
        "Optimizers", "SGD with momentum 0.5: a step of 0.1 with gradient 1, then one of 0.2",
        [
            ("PyTorch", -0.4, "torch_momentum()"),
            ("Keras", -0.35, "keras_momentum()"),
        ],
        [
            ("SGD(params, lr=)", -0.4, "dlc_momentum('lr')"),
            ("SGD(learning_rate=)", -0.35, "dlc_momentum('learning_rate')"),
        ],
    ),
    _case(
        "Optimizers", "numbers that are no better before a plateau lowers the rate, for patience=2",
        [
            ("PyTorch", 3, "plateau(torch.optim.lr_scheduler.ReduceLROnPlateau, torch_sgd())"),
            ("Keras", 2, "callback_plateau(keras.callbacks.ReduceLROnPlateau)"),
        ],
        [
            (
                "optim.lr_scheduler.ReduceLROnPlateau", 3,
                "plateau(dlc.optim.lr_scheduler.ReduceLROnPlateau, dlc_sgd())",
            ),
            (
                "callbacks.ReduceLROnPlateau", 2,
                "callback_plateau(dlc.callbacks.ReduceLROnPlateau)",
            ),
        ],
    ),
]  # fmt: skip

LAYERS = [
    _layer("batch norm: momentum", "BatchNorm2d", 0.1, "BatchNormalization", 0.99, "momentum"),
    *(
        _layer(f"{what} norm: epsilon", name, 1e-5, f"{other}Normalization", 1e-3, "eps", "epsilon")
        for what, name, other in (
            ("batch", "BatchNorm2d", "Batch"),
            ("layer", "LayerNorm", "Layer"),
            ("group", "GroupNorm", "Group"),
        )
    ),
    _case(
        "Layers", "batch norm: what the running variance takes from a batch of 1, 3",
        [
            ("PyTorch", 2.0, "torch_running_variance()"),
            ("Keras", 1.0, "keras_running_variance()"),
        ],
        [
            ("BatchNorm1d", 2.0, "dlc_running_variance(dlc.nn.BatchNorm1d(1, momentum=1.0))"),
            (
                "BatchNormalization", 1.0,
                "dlc_running_variance(dlc.nn.BatchNormalization(momentum=0.0))",
            ),
        ],
    ),
    _case(
        "Layers", "shape of the weight from 3 to 2",
        [
            ("PyTorch", (2, 3), "tuple(torch.nn.Linear(3, 2).weight.shape)"),
            ("Keras", (3, 2), "keras_weight(keras.layers.Dense(2), (None, 3))"),
        ],
        [
            ("Linear", (2, 3), "tuple(dlc.nn.Linear(3, 2).weight.shape)"),
            ("Dense", (3, 2), "dlc_weight(dlc.nn.Dense(2), (1, 3))"),
        ],
    ),
    _case(
        "Layers", "largest weight that may be drawn, from 3 to 2",
        [
            ("PyTorch", 0.5774, "torch_limit()"),
            ("Keras", 1.0954, "keras_limit()"),
        ],
        [
            ("Linear", 0.5774, "dlc_limit(lambda: dlc.nn.Linear(3, 2).weight)"),
            ("Dense", 1.0954, "dlc_limit(lambda: built(dlc.nn.Dense(2), (1, 3)).kernel)"),
        ],
    ),
    _case(
        "Layers", "images of 5 by 5 with 3 channels, to a convolution of 2 filters of 3 by 3",
        [
            (
                "PyTorch", (1, 2, 3, 3),
                "tuple(torch.nn.Conv2d(3, 2, 3)(torch.zeros(1, 3, 5, 5)).shape)",
            ),
            (
                "Keras", (1, 3, 3, 2),
                "tuple(keras.layers.Conv2D(2, 3)(np.zeros((1, 5, 5, 3))).shape)",
            ),
        ],
        [
            ("Conv2d", (1, 2, 3, 3), "dlc.nn.Conv2d(3, 2, 3)(dlc.zeros((1, 3, 5, 5))).shape"),
            ("Conv2D", (1, 3, 3, 2), "dlc.nn.Conv2D(2, 3)(dlc.zeros((1, 5, 5, 3))).shape"),
        ],
    ),
    _case(
        "Layers", "embedding: how weights are drawn, their spread",
        [
            ("PyTorch", 1.0, "spread(torch.nn.Embedding(100, 100).weight.detach().numpy())"),
            ("Keras", 0.03, "spread(keras_embedding())"),
        ],
        [(
            "Embedding(num_embeddings, embedding_dim)", 1.0,
            "spread(dlc.nn.Embedding(100, 100).weight.numpy())",
        )],
    ),
]  # fmt: skip

FUNCTIONS = [
    _case(
        "Functions", "variance of 1, 3",
        [
            ("NumPy", 1.0, "np.var([1.0, 3.0])"),
            ("PyTorch", 2.0, "torch.var(torch.tensor([1.0, 3.0])).item()"),
            ("JAX", 1.0, "jnp.var(jnp.array([1.0, 3.0])).item()"),
        ],
        [
            ("dlc.var", 1.0, "dlc.var([1.0, 3.0]).item()"),
            ("dlc.var(..., correction=1)", 2.0, "dlc.var([1.0, 3.0], correction=1).item()"),
        ],
    ),
    _case(
        "Functions", "split(x, 2) of six: lengths",
        [
            ("NumPy", [3, 3], "[len(p) for p in np.split(np.arange(6), 2)]"),
            ("PyTorch", [2, 2, 2], "[len(p) for p in torch.split(torch.arange(6), 2)]"),
        ],
        [("dlc.split", [3, 3], "[len(p) for p in dlc.split(dlc.arange(6), 2)]")],
    ),
    _case(
        "Functions", "repeat of 1, 2 by 2",
        [
            ("NumPy", [1, 1, 2, 2], "np.repeat([1, 2], 2).tolist()"),
            ("PyTorch's method", [1, 2, 1, 2], "torch.tensor([1, 2]).repeat(2).tolist()"),
        ],
        [
            ("dlc.repeat", [1, 1, 2, 2], "dlc.repeat([1, 2], 2).tolist()"),
            ("dlc.tile", [1, 2, 1, 2], "dlc.tile(dlc.asarray([1, 2]), 2).tolist()"),
        ],
    ),
    _case(
        "Functions", "what max along an axis gives",
        [
            ("NumPy", "array", "kind(np.max(np.ones((2, 3)), axis=1))"),
            ("PyTorch", "values and indices", "kind(torch.max(torch.ones(2, 3), dim=1))"),
        ],
        [("dlc.max", "array", "kind(dlc.max(dlc.ones((2, 3)), axis=1))")],
    ),
    _case(
        "Functions", "what sort gives",
        [
            ("NumPy", "array", "kind(np.sort([2, 1]))"),
            ("PyTorch", "values and indices", "kind(torch.sort(torch.tensor([2, 1])))"),
        ],
        [("dlc.sort", "array", "kind(dlc.sort([2, 1]))")],
    ),
    _case(
        "Functions", "type of an array of Python's floats",
        [
            ("NumPy", "float64", "name(np.asarray([1.0]).dtype)"),
            ("PyTorch", "float32", "name(torch.tensor([1.0]).dtype)"),
            ("JAX", "float32", "name(jnp.asarray([1.0]).dtype)"),
        ],
        [("dlc.asarray", "float32", "dlc_name([1.0])")],
    ),
    _case(
        "Functions", "type of an array of Python's integers",
        [
            ("NumPy", "int64", "name(np.asarray([1]).dtype)"),
            ("PyTorch", "int64", "name(torch.tensor([1]).dtype)"),
            ("JAX", "int32", "name(jnp.asarray([1]).dtype)"),
        ],
        [("dlc.asarray", "int64", "dlc_name([1])")],
    ),
    _case(
        "Functions", "type of an array of float64 of NumPy",
        [
            ("PyTorch", "float64", "name(torch.from_numpy(np.ones(1)).dtype)"),
            ("JAX", "float32", "name(jnp.asarray(np.ones(1)).dtype)"),
        ],
        [("dlc.asarray", "float64", "dlc_name(np.ones(1))")],
    ),
    _case(
        "Functions", "gelu(1), to 4 digits",
        [
            ("PyTorch", 0.8413, "F.gelu(torch.tensor(1.0)).item()"),
            ("Keras", 0.8413, "float(keras.activations.gelu(np.float32(1.0), approximate=False))"),
            ("JAX", 0.8412, "jax.nn.gelu(1.0).item()"),
        ],
        [
            ("dlc.gelu", 0.8413, "dlc.gelu(1.0).item()"),
            (
                'dlc.gelu(..., approximate="tanh")', 0.8412,
                'dlc.gelu(1.0, approximate="tanh").item()',
            ),
        ],
    ),
    _case(
        "Functions", "leaky_relu(-1)",
        [
            ("PyTorch", -0.01, "F.leaky_relu(torch.tensor(-1.0)).item()"),
            ("Keras", -0.2, "float(keras.activations.leaky_relu(np.float32(-1.0)))"),
        ],
        [("nn.functional.leaky_relu", -0.01, "dlcF.leaky_relu(-1.0).item()")],
    ),
    _case(
        "Functions", "one_hot: type",
        [
            ("PyTorch", "int64", "name(F.one_hot(torch.tensor([1]), 2).dtype)"),
            ("Keras", "float32", "name(keras.ops.one_hot([1], 2).dtype)"),
            ("JAX", "float32", "name(jax.nn.one_hot(jnp.array([1]), 2).dtype)"),
        ],
        [
            ("nn.functional.one_hot", "int64", "name(dlcF.one_hot([1], 2).numpy().dtype)"),
            ("dlc.one_hot", "float32", "name(dlc.one_hot([1], 2).numpy().dtype)"),
        ],
    ),
    _case(
        "Functions", "an index beyond the end, x[5] of three",
        [
            ("NumPy", "error", "attempt(lambda: np.arange(3)[5])"),
            ("PyTorch", "error", "attempt(lambda: torch.arange(3)[5])"),
            ("JAX", 2, "attempt(lambda: int(jnp.arange(3)[5]))"),
        ],
        [("x[5]", "error", "attempt(lambda: dlc.arange(3)[5])")],
    ),
]  # fmt: skip

LOSSES = [
    _case(
        "Losses and metrics", "what a loss takes first",
        [
            ("PyTorch", "input", "first(F.cross_entropy)"),
            ("Keras", "y_true", "second(kl.MeanSquaredError.call)"),
        ],
        [
            ("nn.functional", "input", "first(dlcF.cross_entropy)"),
            ("losses", "y_true", "second(dlc.losses.MeanSquaredError.__call__)"),
        ],
    ),
    _case(
        "Losses and metrics", "cross-entropy of 0.25, 0.75 and class 1",
        [
            (
                "PyTorch", 0.4741,
                "F.cross_entropy(torch.tensor([[0.25, 0.75]]), torch.tensor([1])).item()",
            ),
            (
                "Keras", 0.2877,
                "keras_cross_entropy()",
            ),
        ],
        [
            (
                "nn.functional.cross_entropy", 0.4741,
                "dlcF.cross_entropy(dlc.asarray([[0.25, 0.75]]), dlc.asarray([1])).item()",
            ),
            (
                "losses.SparseCategoricalCrossentropy", 0.2877,
                "dlc_cross_entropy()",
            ),
        ],
    ),
    _case(
        "Losses and metrics", "cosine similarity as a loss, of equal directions",
        [
            ("PyTorch", 1.0, "F.cosine_similarity(torch.ones(1, 2), torch.ones(1, 2)).item()"),
            ("Keras", -1.0, "float(kl.CosineSimilarity()(np.ones((1, 2)), np.ones((1, 2))))"),
        ],
        [
            (
                "nn.functional.cosine_similarity", 1.0,
                "dlcF.cosine_similarity(dlc.ones((1, 2)), dlc.ones((1, 2))).item()",
            ),
            (
                "losses.CosineSimilarity", -1.0,
                "dlc.losses.CosineSimilarity()(np.ones((1, 2), 'f'), np.ones((1, 2), 'f')).item()",
            ),
        ],
    ),
    _case(
        "Losses and metrics", "area under the curve of 0.1, 0.1001 against 0, 1",
        [
            ("scikit-learn", 1.0, "sklearn.metrics.roc_auc_score([0, 1], [0.1, 0.1001])"),
            ("Keras", 0.5, "keras_auc()"),
        ],
        [
            ("metrics.AUC(exact=True)", 1.0, "dlc_auc(exact=True)"),
            ("metrics.AUC", 0.5, "dlc_auc()"),
        ],
    ),
]  # fmt: skip

CASES = [*FUNCTIONS, *LAYERS, *LOSSES, *OPTIMIZERS]
