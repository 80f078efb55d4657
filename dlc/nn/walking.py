"""Paths to the modules, parameters and buffers below a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, TypeGuard, cast

import dlc
from dlc.ir.errors import ValueRangeError, nearest

if TYPE_CHECKING:
    from dlc.nn.module import Module


class Walking:
    """The methods of modules that walk over what is below them; a base of `dlc.nn.Module`."""

    __slots__ = ()

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The submodules one level below, with their names: `layers.0` for those in a list."""
        return ((n, x) for n, x in members(_own(self)) if is_module(x))

    def children(self) -> Iterator[Module]:
        """The submodules one level below."""
        return (m for _, m in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below, each once, with their names."""
        seen: set[int] = set()
        for name, module in all_modules(_own(self), prefix, ()):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Module]:
        """This module and all below, each once."""
        found: dict[int, Module] = {}
        rest = [_own(self)]
        while rest:
            module = rest.pop()
            if id(module) in found:
                continue
            found[id(module)] = module
            kept = module._children
            if kept is None or kept[0] is not module._token:
                rest += _below(module)
            else:
                rest += kept[1]
        return iter(found.values())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, dlc.Variable]]:
        """The parameters here and (with `recurse`) below, each once, with their names."""
        return unique(variables(_own(self), prefix, recurse, buffers=False))

    def parameters(self, recurse: bool = True) -> Iterator[dlc.Variable]:
        """The parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, dlc.Variable]]:
        """The buffers here and (with `recurse`) below, each once, with their names."""
        return unique(variables(_own(self), prefix, recurse, buffers=True))

    def buffers(self, recurse: bool = True) -> Iterator[dlc.Variable]:
        """The buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Calls `function` with this module and all below; returns the module."""
        for module in list(self.modules()):
            function(module)
        return self

    def get_submodule(self, target: str) -> Module:
        """The module at a path, such as `layers.0`; this one for "".

        Raises:
            ValueRangeError: where there is none.
        """
        return _at(_own(self), "module", target, dict(_own(self).named_modules()))

    def get_parameter(self, target: str) -> dlc.Variable:
        """The parameter at a path, such as `layers.0.weight`.

        Raises:
            ValueRangeError: where there is none.
        """
        found = dict(variables(_own(self), "", buffers=False))
        return _at(_own(self), "parameter", target, found)

    def get_buffer(self, target: str) -> dlc.Variable:
        """The buffer at a path, such as `norm.running_mean`.

        Raises:
            ValueRangeError: where there is none.
        """
        return _at(_own(self), "buffer", target, dict(variables(_own(self), "", buffers=True)))


def _own(walking: Walking) -> Module:
    return walking  # type: ignore[return-value]


def _below(module: Module) -> list[Module]:
    """The modules among the attributes, also those in containers, the last one first.

    They are kept until an attribute changes, unless there are lists or dicts, which change by
    themselves.
    """
    below: list[Module] = []
    held: list[Any] = list(vars(module).values())
    lasting = True
    while held:
        value = held.pop()
        if isinstance(value, Walking):
            below.append(cast("Module", value))
        elif isinstance(value, (list, tuple, dict)):
            held += value.values() if isinstance(value, dict) else value
            lasting = lasting and isinstance(value, tuple)
    if lasting:
        object.__setattr__(module, "_children", (module._token, below))
    return below


def _at(module: Module, what: str, path: str, found: dict[str, Any]) -> Any:
    if path not in found:
        raise ValueRangeError(
            f"{type(module).__name__} has no {what} {path!r}", hint=nearest(path, found)
        )
    return found[path]


def is_module(x: object) -> TypeGuard[Module]:
    """Whether something is a module."""
    return isinstance(x, Walking)


def members(module: Module) -> Iterator[tuple[str, Any]]:
    """The variables and modules among the attributes, also those in containers, with names."""
    for name, value in vars(module).items():
        yield from within(name, value)


def within(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A variable or module, or those in a container, with names."""
    if is_module(value) or isinstance(value, dlc.Variable):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from within(f"{name}.{key}", item)


def all_modules(
    module: Module, prefix: str, above: tuple[Module, ...]
) -> Iterator[tuple[str, Module]]:
    """A module and all below, with their paths; those that are shared by each of theirs."""
    yield prefix, module
    for name, child in module.named_children():
        if child is not module and all(child is not m for m in above):
            yield from all_modules(child, join(prefix, name), (*above, module))


def join(prefix: str, name: str) -> str:
    """A path of a name below a path."""
    return f"{prefix}.{name}" if prefix else name


def variables(
    module: Module,
    prefix: str,
    recurse: bool = True,
    buffers: bool | None = None,
    random: bool = True,
    unsaved: bool = True,
) -> Iterator[tuple[str, dlc.Variable]]:
    """Parameters or buffers with their names; both for None.

    Args:
        module: Where they are.
        prefix: What names begin with.
        recurse: Whether those of the modules below are among them.
        buffers: Whether buffers are asked for, or parameters; both for None.
        random: Whether states of random numbers are among them.
        unsaved: Whether buffers that are no part of the state are.
    """
    for path, m in all_modules(module, prefix, ()) if recurse else [(prefix, module)]:
        if m.random_state and not random:
            continue
        for name, x in members(m):
            asked = isinstance(x, dlc.Variable) and buffers in (None, name in m._buffers)
            if asked and (unsaved or name not in m._unsaved):
                yield join(path, name), x


def unique(
    found: Iterator[tuple[str, dlc.Variable]],
) -> Iterator[tuple[str, dlc.Variable]]:
    """Each variable once, by its first name."""
    seen: set[int] = set()
    for name, variable in found:
        if id(variable) not in seen:
            seen.add(id(variable))
            yield name, variable
