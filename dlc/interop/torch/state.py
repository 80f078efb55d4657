"""The parameters and buffers of modules whose values programs hold, and whether these still do."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from enum import Enum
from typing import Any

import dlc
from dlc.frontend.apply import lent_constant
from dlc.frontend.trace import eager
from dlc.interop.torch.arrays import Array, address_of, array_of, tensor_of
from dlc.interop.torch.random_state import next_key
from dlc.interop.torch.watch import Watch
from dlc.ir.errors import ArgumentError
from dlc.ir.locks import make_lock

_training = operator.attrgetter("training")


def mark(tensor: Any) -> tuple[int, int]:
    """What changes when PyTorch writes to a tensor, or gives it other memory."""
    return (0 if tensor.is_inference() else tensor._version, tensor.data_ptr())


class ModuleWatch:
    """Whether a module has the same submodules, parameters and buffers, in the same mode."""

    def __init__(self, module: Any) -> None:
        self._modules = list(module.modules())
        self._tables: list[dict[str, Any]] = [
            table
            for m in self._modules
            for table in (m._modules, m._parameters, m._buffers)
            if table
        ]
        self._held = [list(t.values()) for t in self._tables]
        self._training = list(map(_training, self._modules))

    def holds(self) -> bool:
        """Whether nothing was replaced since, and no mode changed."""
        if list(map(_training, self._modules)) != self._training:
            return False
        for table, held in zip(self._tables, self._held, strict=True):
            if len(table) != len(held) or not all(map(operator.is_, table.values(), held)):
                return False
        return True


def tensors_of(source: Any) -> Mapping[str, Any]:
    """The parameters and buffers of a module, or of a program of `torch.export`, by name."""
    if hasattr(source, "graph_signature"):
        return {**source.constants, **source.state_dict}
    return {
        **dict(source.named_parameters(remove_duplicate=False)),
        **dict(source.named_buffers(remove_duplicate=False)),
    }


class Change(Enum):
    """How a module differs from what programs were made of, in words."""

    MODULE = "the module has other parts, or another mode"
    VALUES = "a parameter or buffer was written to"


class State:
    """The tensors of a module as programs have them: constants, or variables that they update.

    Args:
        source: A module, or a program of `torch.export`.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._lock = make_lock()
        self._begin()

    def _begin(self) -> None:
        self._tensors = tensors_of(self._source)
        is_module = hasattr(self._source, "modules")
        self._module = ModuleWatch(self._source) if is_module else None
        self._watch = Watch()
        self._arrays: dict[str, Array] = {}  # the same ones for all programs
        self.held: set[int] = set()  # where programs have constants
        self._variables: dict[str, dlc.Variable] = {}
        self._random: dlc.Variable | None = None
        self._marks: dict[str, Any] = {}

    def changed(self) -> Change | None:
        """Whether something has changed since this was asked last."""
        with self._lock:
            if self._module is not None and not self._module.holds():
                self._begin()
                return Change.MODULE
            if not self._watch.holds():
                self._watch, self._arrays = Watch(), {}
                return Change.VALUES
        return None

    def constant(self, name: str, others: Mapping[str, Any], lend: bool) -> dlc.Tensor:
        """The value of a tensor as a constant of the present trace.

        Args:
            name: Its name.
            others: Tensors that are no parameters and buffers.
            lend: Whether the program is given up when the tensor has changed: it needs no copy.
        """
        tensor = self._tensors[name] if name in self._tensors else others[name]
        self._watch.add(tensor)
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = _array(tensor, name)
            self.held.add(address_of(array))
        return lent_constant(array) if lend else dlc.asarray(array)

    def variable(self, name: str) -> dlc.Variable:
        """A buffer that programs update."""
        with self._lock:
            found = self._variables.get(name)
            if found is None:
                tensor = self._tensors[name]
                with eager():
                    found = dlc.Variable(_array(tensor, name), False, name)
                self._variables[name], self._marks[name] = found, mark(tensor)
            return found

    def fetch(self) -> None:
        """Gives variables the values that PyTorch has written to their buffers since."""
        for name, variable in self._variables.items():
            tensor = self._tensors[name]
            now = mark(tensor)
            if now != self._marks[name]:
                variable.assign(_array(tensor, name))
                self._marks[name] = now

    def next_key(self) -> dlc.Tensor:
        """A random key in a trace; the program goes on to another one in its next call."""
        if self._random is None:
            import torch

            with eager(), torch.random.fork_rng(devices=[]):
                self._random = dlc.Variable(next_key(), False, "random_state")
        keys = dlc.random.split(self._random)
        self._random.assign(keys[0])
        return keys[1]

    def seed(self) -> None:
        """Takes the next random key from PyTorch's generator."""
        if self._random is not None:
            self._random.assign(next_key())

    def hand_back(self) -> None:
        """Gives buffers the values of their variables."""
        import torch

        with torch.no_grad():
            for name, variable in self._variables.items():
                tensor = self._tensors[name]
                tensor.copy_(tensor_of(variable, set()))
                self._marks[name] = mark(tensor)


def _array(tensor: Any, name: str) -> Any:
    if tensor.device.type != "cpu":
        raise ArgumentError(f"{name} is on {tensor.device}", hint="move the module: module.cpu()")
    return array_of(tensor)
