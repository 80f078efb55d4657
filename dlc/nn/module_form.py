"""Modules as trees, whose leaves are the parameters that are trained; and copies with others."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dlc
from dlc.ir.errors import ArgumentError
from dlc.ir.record import NamedTuple
from dlc.nn.walking import is_module, unique, variables

if TYPE_CHECKING:
    from dlc.nn.module import Module


# Slots of a module that its copies have, too.
_KEPT = (
    "_backward_hooks", "_backward_pre_hooks", "_buffers", "_built", "_fitting", "_forward_hooks",
    "_items", "_name", "_pre_hooks", "_unsaved",
)  # fmt: skip


class _Form(NamedTuple):
    """What besides its leaves makes a module as a tree: the module, and the names of the leaves."""

    source: Module
    names: tuple[str, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Form):
            return NotImplemented
        return self.source is other.source and self.names == other.names

    def __hash__(self) -> int:
        return hash((id(self.source), self.names))


def flatten_module(module: Module) -> tuple[list[Any], Hashable]:
    """The parameters that are trained, and what besides them makes the module."""
    if module._source is not None:
        found = [at_path(module, n) for n in module._leaves]
        return found, _Form(module._source, module._leaves)
    for path, m in module.named_modules():
        if not m.built:
            raise ArgumentError(
                f"{type(m).__name__} {path!r} has no parameters yet",
                hint="call the model once, or give its layers their input sizes",
            )
    found = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    return [p for _, p in found], _Form(module, tuple(n for n, _ in found))


def unflatten_module(form: Any, leaves: Sequence[Any]) -> Module:
    """A copy of the module with other values in the place of its parameters."""
    named = unique(variables(form.source, "", True, buffers=False))
    by_name = dict(zip(form.names, leaves, strict=True))
    replaced = {id(p): by_name[n] for n, p in named if n in by_name}
    made = _copied(form.source, replaced, {})
    object.__setattr__(made, "_leaves", form.names)
    return made


def with_values(module: Module, values: Mapping[int, Any]) -> Module:
    """A copy of the module with other values in the place of variables, by their `id`."""
    return _copied(module, values, {})


def _copied(x: Any, replaced: Mapping[int, Any], made: dict[int, Any]) -> Any:
    if isinstance(x, dlc.Variable):
        return replaced.get(id(x), x)
    if is_module(x):
        if id(x) not in made:
            new = made[id(x)] = type(x).__new__(type(x))
            for name in _KEPT:
                object.__setattr__(new, name, getattr(x, name))
            object.__setattr__(new, "_source", x._source or x)
            for name, value in vars(x).items():
                vars(new)[name] = _copied(value, replaced, made)
        return made[id(x)]
    if isinstance(x, dict):
        return type(x)((k, _copied(v, replaced, made)) for k, v in x.items())
    if isinstance(x, (list, tuple)):
        children = [_copied(v, replaced, made) for v in x]
        return type(x)(*children) if hasattr(x, "_fields") else type(x)(children)
    return x


def at_path(module: Module, path: str) -> Any:
    """What is at a path of attributes, also in containers."""
    found: Any = module
    for part in path.split("."):
        if isinstance(found, (list, tuple)):
            found = found[int(part)]
        elif isinstance(found, dict):
            found = next(v for k, v in found.items() if str(k) == part)
        else:
            found = vars(found)[part]
    return found
