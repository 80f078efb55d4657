"""Modules that are imported when they are first used.

A process that finds everything in the cache needs neither passes nor code generators. What only
compiling needs is named at the top of a file like any import, for the type checker and for the
test of the floors, and loaded when one of its names is read:

    if TYPE_CHECKING:
        from dlc.codegen import lower
    else:
        lower = deferred("dlc.codegen.lower")
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


class Deferred:
    """Stands for a module; see `deferred`."""

    __slots__ = ("_module_name",)

    def __init__(self, module_name: str) -> None:
        self._module_name = module_name

    def __getattr__(self, name: str) -> Any:
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
