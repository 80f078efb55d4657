"""Keras 3: `fit` of its models, on the backend that the environment names."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from dlc.bench import fits
from dlc.bench.problem import Array, Arrays, Case, Program, as_arrays

keras: Any = importlib.import_module("keras")  # which has no types


def _fit(constants: Sequence[Array]) -> Program:
    w1, b1, w2, b2, w3, b3 = constants
    side = round((w3.shape[1] // len(w2)) ** 0.5)
    layers = keras.layers
    convolution: dict[str, Any] = {"padding": "same", "activation": "relu"}
    model = keras.Sequential(
        [
            layers.Conv2D(len(w1), 3, **convolution), layers.MaxPooling2D(),
            layers.Conv2D(len(w2), 3, **convolution), layers.MaxPooling2D(),
            layers.Flatten(), layers.Dense(fits.CLASSES),
        ]
    )  # fmt: skip
    model.compile(
        keras.optimizers.Adam(fits.RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    # Channels are the last axis here.
    matrix = w3.reshape(-1, len(w2), side, side).transpose(2, 3, 1, 0).reshape(w3.T.shape)
    filters = [w.transpose(2, 3, 1, 0) for w in (w1, w2)]

    def epoch(x: Array, y: Array) -> Any:
        flat = x.reshape(-1, *x.shape[3:], 1)
        if not model.built:
            model.build((None, *flat.shape[1:]))
            model.set_weights([filters[0], b1, filters[1], b2, matrix, b3])
        history = model.fit(flat, y.reshape(-1), x.shape[1], shuffle=False, verbose=0)
        return history.history["loss"][0]

    return epoch


class Keras:
    """Keras at its defaults."""

    def settings(self) -> dict[str, str]:
        """Versions, and where channels stand."""
        backend = keras.backend.backend()
        module = importlib.import_module(backend)
        return {
            "keras": keras.__version__,
            backend: module.__version__,
            "images": keras.config.image_data_format(),
        }

    def array(self, array: Array) -> Array:
        """The array: `fit` takes NumPy's."""
        return array

    def program(self, case: Case, constants: Sequence[Array]) -> Program | None:
        """An epoch of `fit`; what warms a worker up."""
        if case.problem.name == "warm_up":
            return lambda x: keras.ops.sum(keras.ops.sqrt(x * x + 1), axis=-1)
        return _fit(constants) if case.problem.name == "fit" else None

    def arrays(self, result: Any) -> Arrays:
        """The results."""
        return as_arrays(result)


def start(threads: int, cache: str) -> Keras:
    """Keras, whose backend is set by the environment."""
    return Keras()
