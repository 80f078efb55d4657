"""Weights that Keras has written by `model.save_weights("name.weights.h5")`.

Such a file has a group for each layer, found by attributes and, among the layers of a model or in a
list, by the class's name and a number; below it, `vars` holds the arrays in the order in which the
layer made them. Layers by Keras's names have the same attributes, orders and shapes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import dlc
from dlc.frontend.variable_state import assign_state
from dlc.ir.errors import ArgumentError, DlcError, FileFormatError
from dlc.ir.packages import needed
from dlc.nn.containers import Sequential
from dlc.nn.model import Model
from dlc.nn.module import Module, snake_case

_NOT_WEIGHTS = ("optimizer", "seed_generator")


def load(model: Module, path: str | os.PathLike[str], strict: bool = True) -> None:
    """Assigns the weights in a file of Keras's to a model of layers by Keras's names.

    Args:
        model: The model.
        path: The file.
        strict: Whether weights that are missing or not known are an error.

    Raises:
        FileNotFoundError: when there is no such file.
        FileFormatError: for a file that is cut off or no HDF5.
        ArgumentError: without the package h5py, and where only names could tell layers apart.
        ValueRangeError: for weights that are missing or not known, and shapes that differ: all of
            them at once. Nothing has been assigned then.
    """
    h5py = needed("h5py", "reading weights of Keras", "train")
    name = os.fspath(path)
    if not os.path.exists(name):
        raise FileNotFoundError(name)
    state: dict[str, Any] = {}

    def visit(place: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not any(n in place.split("/") for n in _NOT_WEIGHTS):
            state[place] = np.asarray(item)

    try:
        with h5py.File(name, "r") as file:
            file.visititems(visit)
            own = _Places(h5py.Group)
            own.note(model, file, "")
    except DlcError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise FileFormatError(f"{name}: no HDF5 file that can be read: {error}") from None
    hint = (
        "layers must be by Keras's names and in Keras's order, and built: call the model once first"
    )
    assign_state(type(model).__name__, "model", own.found, state, hint, strict)


class _Places:
    """The variables of a model by their places in a file.

    Args:
        group_type: The class of groups in files.
    """

    def __init__(self, group_type: type) -> None:
        self.found: dict[str, dlc.Variable] = {}
        self._group_type = group_type

    def note(self, module: Module, group: Any, place: str) -> None:
        """Adds the variables of a module and those below; its group may be None."""
        if not module.random_state:
            held = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            self.found.update({f"{place}vars/{k}": v for k, v in enumerate(held)})
        if isinstance(module, Sequential) or (isinstance(module, Model) and module.is_functional):
            ordered = isinstance(module, Sequential)
            self._among(module.layers, self._below(group, "layers"), f"{place}layers/", ordered)
            return
        for name, value in vars(module).items():
            if isinstance(value, Module):
                key = self._named(group, name) or name
                self.note(value, self._below(group, key), f"{place}{key}/")
            elif isinstance(value, (list, tuple, dict)):
                items: Iterable[Any] = value.values() if isinstance(value, dict) else value
                self._among(items, self._below(group, name), f"{place}{name}/", ordered=True)

    def _among(self, items: Iterable[Any], group: Any, place: str, ordered: bool) -> None:
        """Notes the modules among items: by their own names, or the numbers within their class."""
        counts: dict[str, int] = {}
        unnamed: set[Any] = set()
        for item in items:
            if not isinstance(item, Module):
                continue
            kind = snake_case(type(item).__name__)
            number = counts[kind] = counts.get(kind, -1) + 1
            key = None if item._name is None else self._named(group, item._name)
            if key is None:
                alike = kind, *(tuple(p.shape) for p in item.parameters())
                if alike in unnamed and len(alike) > 1 and not ordered:
                    raise ArgumentError(
                        f"several layers {type(item).__name__} have the same shapes, and the order "
                        "of layers of a graph is not Keras's",
                        hint="give layers the same names in both models",
                    )
                unnamed.add(alike)
                key = f"{kind}_{number}" if number else kind
            self.note(item, self._below(group, key), f"{place}{key}/")

    def _below(self, group: Any, key: str) -> Any:
        found = None if group is None else group.get(key)
        return found if isinstance(found, self._group_type) else None

    def _named(self, group: Any, name: str) -> str | None:
        """The key of the group of what has a name in Keras."""
        for key in group or ():
            held = self._below(self._below(group, key), "vars")
            attributes: Mapping[str, Any] = {} if held is None else held.attrs
            if attributes.get("name") == name:
                return key
        return None
