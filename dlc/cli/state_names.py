"""Names for the tensors that a function closes over: those under which its file has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from dlc.frontend import tree
from dlc.frontend.closure import Closure
from dlc.frontend.compile import CompiledFunction
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ArgumentError

_MOST = 1000  # items of a list that is looked through: longer ones are data
_NO_OBJECTS = (ModuleType, FunctionType, CompiledFunction, Tensor, type)


def state_names(closure: Closure, scope: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Names of what a traced function reads and writes outside.

    Args:
        closure: The traced function.
        scope: The names of the user's file.

    Returns:
        A name for each parameter after the arguments, such as `weights[0]` or `model.w`, and one
        for each result after the outputs, such as `new weights[0]`.
    """
    known = _tensor_names(scope)
    read: Sequence[Tensor] = [*closure.captures, *closure.variables]
    names = [known.get(id(t), f"state{k}") for k, t in enumerate(read)]
    by_id = {id(t): name for t, name in zip(read, names, strict=True)}

    def gradient(variable: Tensor) -> str:
        return by_id.get(id(variable)) or known.get(id(variable), "variable")

    names += [f"{gradient(v)}.grad" for v in closure.gradients]
    written = [f"new {by_id.get(id(v), 'state')}" for v in closure.written]
    written += [f"new {gradient(v)}.grad" for v, is_set in closure.gradients_written if is_set]
    return names, written


def _tensor_names(scope: Mapping[str, Any]) -> dict[int, str]:
    found: dict[int, str] = {}
    for name, value in scope.items():
        if name.startswith("__"):
            continue
        _note(name, value, found)
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict) and not isinstance(value, _NO_OBJECTS):
            for attribute, held in attributes.items():
                _note(f"{name}.{attribute}", held, found)
    return found


def _note(name: str, value: Any, found: dict[int, str]) -> None:
    """Adds the tensors in a value, which may be a tree of them."""
    if isinstance(value, (list, tuple, dict)) and len(value) > _MOST:
        return
    try:
        leaves, structure = tree.flatten(value)
    except ArgumentError:  # it contains itself
        return
    for leaf, path in zip(leaves, structure.paths(name), strict=True):
        if isinstance(leaf, Tensor):
            found.setdefault(id(leaf), path)
