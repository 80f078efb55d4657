"""Modules that are imported when they are first used.

A process that finds everything in the cache needs neither passes nor code generators. What only
compiling needs is named at the top of a file like any import, for the type checker and for the
test of the floors, and loaded when one of its names is read:

    if TYPE_CHECKING:
        from dlc.codegen import lower
    else:
        lower = deferred("dlc.codegen.lower")

What a module gathers for its users from many others is imported name by name (`late_names`).
"""

from __future__ import annotations

import builtins
import importlib
import sys
from importlib.machinery import PathFinder
from typing import Any


class Deferred:
    """Stands for a module; see `deferred`."""

    __slots__ = ("_module_name",)

    def __init__(self, module_name: str) -> None:
        self._module_name = module_name

    def __getattr__(self, name: str) -> Any:
        try:  # a tenth of what `import_module` takes
            return getattr(sys.modules[self._module_name], name)
        except (KeyError, AttributeError):  # perhaps another thread is importing it
            return getattr(importlib.import_module(self._module_name), name)

    def __bool__(self) -> bool:
        """Whether the module is there already, by whomever it was imported."""
        return self._module_name in sys.modules

    def __repr__(self) -> str:
        return f"<deferred module {self._module_name}>"


def deferred(module_name: str) -> Any:
    """The module of this full name, imported when an attribute of it is read; true from then on.

    Example:
        >>> pipelines = deferred("dlc.passes.pipelines")
        >>> pipelines.pipeline_of("O2")
    """
    return Deferred(module_name)


class LateName:
    """A name of a module that may not be imported yet."""

    __slots__ = ("_module_name", "_name")

    def __init__(self, module_name: str, name: str) -> None:
        self._module_name, self._name = module_name, name

    def value(self) -> Any:
        """What the name stands for; its module is imported."""
        module = importlib.import_module(self._module_name)
        try:
            return getattr(module, self._name)
        except AttributeError:
            return importlib.import_module(f"{self._module_name}.{self._name}")


class _Source:
    """Stands for a module from which names are imported."""

    def __init__(self, module_name: str) -> None:
        self._module_name = module_name

    def __getattr__(self, name: str) -> LateName:
        return LateName(self._module_name, name)


def late_names(module_name: str, package: str) -> dict[str, Any]:
    """The names of a module, where those that it imports from modules of a package are late ones.

    The module is run without importing them, and not kept: it may do nothing but import and assign.

    Args:
        module_name: Its full name, in a package.
        package: From whose modules names are not imported yet.
    """
    parent = importlib.import_module(module_name.rpartition(".")[0])
    spec = PathFinder.find_spec(module_name, parent.__path__)
    loader: Any = spec and spec.loader
    if loader is None:
        raise ModuleNotFoundError(f"No module named {module_name!r}", name=module_name)

    def importing(name: str, *given: Any) -> Any:  # globals, locals, names, level
        if given[2] and f"{name}.".startswith(f"{package}."):
            return _Source(name)
        return builtins.__import__(name, *given)

    names = {"__name__": module_name, "__builtins__": {**vars(builtins), "__import__": importing}}
    exec(loader.get_code(module_name), names)  # as the import system does
    return names
