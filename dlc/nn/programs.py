"""Models as programs in files: what they will be called with, where nobody says it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dlc
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.train.modes import evaluating

_OF_KERAS = (".keras", ".h5", ".hdf5")


def save(model: Any, path: str | os.PathLike[str], specs: Any) -> None:
    """Writes a model in evaluation mode; see `dlc.nn.Module.save`."""
    name = Path(path)
    if name.suffix in _OF_KERAS:
        stem = name.name.removesuffix(name.suffix).removesuffix(".weights")
        raise ValueRangeError(
            f"{type(model).__name__}.save: {str(path)!r} has the name of a file of Keras, which is "
            "not written",
            hint=f"save({stem + '.dlc'!r}) writes the program, "
            f"save_weights({stem + '.safetensors'!r}) the weights alone",
        )
    given = _specs(model) if specs is None else specs
    with evaluating(model):
        dlc.save(model, path, specs=given)


def _specs(model: Any) -> tuple[Any, ...]:
    """Of a graph of layers its inputs; of another what it was fitted on."""
    fitted = model._fitting and model.input_types
    if fitted:
        return (fitted,)
    try:
        inputs = [t.tensor for t in model.inputs]
    except (AttributeError, ArgumentError):
        raise ArgumentError(
            f"{type(model).__name__}.save does not know what the model is called with",
            hint='give it: save(path, specs="f32[batch,784]"), or begin it with nn.Input(shape)',
        ) from None
    return tuple(
        dlc.spec(tuple(d if isinstance(d, int) else str(d) for d in t.shape), t.dtype)
        for t in inputs
    )
