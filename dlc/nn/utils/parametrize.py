"""Parameters of modules that are computed from others, as `torch.nn.utils.parametrize`.

`module.weight` is no attribute then: `Module` computes it from `module.parametrizations` each time
it is used, so that layers, their copies, states and gradients need not know of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlc
from dlc.frontend.trace import eager
from dlc.ir.errors import ArgumentError, ShapeError, nearest
from dlc.nn.containers import ModuleDict
from dlc.nn.module import Module, Parameter
from dlc.nn.weights import NOT_BUILT


class Parametrized(Module):
    """What a parameter is computed from: `original`, or `original0`, ..., and the functions.

    Args:
        value: The parameter or buffer, which becomes the original if there is one.
        originals: The value of the original, or a list of those of several.
        is_buffer: Whether it is a buffer.
    """

    def __init__(self, value: dlc.Variable, originals: Any, is_buffer: bool) -> None:
        self._count = 0
        if isinstance(originals, (tuple, list)):
            for k, part in enumerate(originals):
                setattr(self, f"original{k}", dlc.nn.Buffer(part) if is_buffer else Parameter(part))
            return
        value.assign(originals)
        if is_buffer:
            self.register_buffer("original", value)
        else:
            self.original = value

    def add(self, function: Callable[..., Any]) -> None:
        """Appends a function."""
        setattr(self, str(self._count), function)
        self._count += 1

    def functions(self) -> list[Callable[..., Any]]:
        """The functions, the first one first."""
        return [getattr(self, str(k)) for k in range(self._count)]

    def originals(self) -> list[dlc.Variable]:
        """The variables that the parameter is computed from."""
        held = vars(self)
        return [held[n] for n in held if n.startswith("original")]

    def assign(self, value: Any) -> None:
        """Gives the originals the values that the parameter is this one for."""
        for function in reversed(self.functions()):
            value = _inverse(function, value)
        given = list(value) if isinstance(value, (tuple, list)) else [value]
        for variable, part in zip(self.originals(), given, strict=True):
            variable.assign(part)

    def forward(self) -> Any:
        """The parameter."""
        first, *rest = self.functions()
        value = first(*self.originals())
        for function in rest:
            value = function(value)
        return value


def _inverse(function: Callable[..., Any], value: Any) -> Any:
    found = getattr(function, "right_inverse", None)
    return value if found is None else found(value)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Callable[..., Any], unsafe: bool = False
) -> Module:
    """Has a parameter or buffer computed by a function of what it was; returns the module.

    As `torch.nn.utils.parametrize.register_parametrization`, with its names in the state:
    `parametrizations.weight.original`. The function is called each time the attribute is used; what
    is trained are the originals.

    Args:
        module: A module that has its parameters.
        tensor_name: The attribute.
        parametrization: A module or function of the parameter, or of the originals where its method
            `right_inverse(value)` gives several. Without that method the original is the value.
            Several that are registered one after the other are applied in this order.
        unsafe: Whether it may change shape or type.

    Raises:
        ArgumentError: for a module that has no such parameter or buffer.
        ShapeError: for a function that changes shape or type, unless `unsafe`.

    Example:
        >>> from dlc.nn.utils import parametrize
        >>> layer = dlc.nn.Linear(2, 2)
        >>> _ = parametrize.register_parametrization(layer, "weight", dlc.triu)
        >>> layer.weight[1, 0].item(), [n for n, _ in layer.named_parameters()]
        (0.0, ['bias', 'parametrizations.weight.original'])
    """
    with eager():
        before = _present(module, tensor_name)
        originals = _inverse(parametrization, dlc.asarray(before))
        several = isinstance(originals, (tuple, list))
        after = dlc.asarray(parametrization(*(originals if several else (originals,)))).tensor
        if after != before.tensor and not unsafe:
            raise ShapeError(
                f"the parametrization of {tensor_name!r} gives {after}, the parameter is "
                f"{before.tensor}",
                hint="unsafe=True allows it",
            )
        if is_parametrized(module, tensor_name):
            made: Parametrized = module.parametrizations[tensor_name]
            made.assign(originals)
            made.add(parametrization)
        else:
            made = Parametrized(before, originals, tensor_name in module._buffers)
            made.add(parametrization)
            _move(module, tensor_name, made)
    return module


def _present(module: Module, name: str) -> Any:
    """The parameter or buffer, or what is computed in its place."""
    found = getattr(module, name) if is_parametrized(module, name) else vars(module).get(name)
    if isinstance(found, dlc.Tensor):
        return found
    names = [n for n, v in vars(module).items() if isinstance(v, dlc.Variable)]
    raise ArgumentError(
        f"{type(module).__name__} has no parameter or buffer {name!r}",
        hint=nearest(name, names) if module.built else NOT_BUILT,
    )


def _move(module: Module, name: str, made: Parametrized) -> None:
    delattr(module, name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[name] = made


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a parameter of a module, or any, is computed by functions that were registered.

    Example:
        >>> dlc.nn.utils.parametrize.is_parametrized(dlc.nn.Linear(2, 2), "weight")
        False
    """
    known = vars(module).get("parametrizations")
    return known is not None and (tensor_name is None or tensor_name in known)


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Makes a parameter again of what is computed; returns the module.

    Args:
        module: A module with a parametrization.
        tensor_name: The attribute.
        leave_parametrized: Whether the parameter begins with the value that was computed; else with
            that of the original.

    Raises:
        ArgumentError: where nothing is registered, and with `leave_parametrized=False` where there
            are several originals.

    Example:
        >>> layer = dlc.nn.utils.parametrizations.weight_norm(dlc.nn.Linear(2, 2))
        >>> _ = dlc.nn.utils.parametrize.remove_parametrizations(layer, "weight")
        >>> [n for n, _ in layer.named_parameters()]
        ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(f"{type(module).__name__}: {tensor_name!r} has no parametrization")
    made: Parametrized = module.parametrizations[tensor_name]
    originals = made.originals()
    if len(originals) > 1 and not leave_parametrized:
        raise ArgumentError(f"{tensor_name!r} is computed from {len(originals)} originals")
    value = dlc.asarray(made()) if leave_parametrized else originals[0].data
    is_buffer = bool(made._buffers)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
    if is_buffer:
        module.register_buffer(tensor_name, value)
    elif len(originals) == 1 and tuple(value.shape) == tuple(originals[0].shape):
        originals[0].assign(value)  # the variable that optimizers know
        setattr(module, tensor_name, originals[0])
    else:
        setattr(module, tensor_name, Parameter(value))
    return module
