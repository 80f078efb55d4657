"""The functions that the methods of tensors lead to, by the names that these call them by."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Final

from dlc.ir.errors import ValueRangeError

# Those that are not public functions of the same name: their modules, and what they are there.
_OTHERS: Final = {
    "at": ("at", "at"),
    "backward": ("tapes", "backward"),
    "copy": ("tensor", "make_like"),
    "getitem": ("subscript", "getitem"),
    "gpu_capsule": ("moving", "gpu_capsule"),
    "moved": ("moving", "moved"),
    "numpy_function": ("numpy_interop", "numpy_function"),
    "numpy_ufunc": ("numpy_interop", "numpy_ufunc"),
    "rebuild": ("apply", "asarray"),
    "setitem": ("subscript", "setitem"),
}


def find_function(name: str) -> Any:
    """The function; its module is imported.

    Raises:
        AttributeError: for a name that there is not.
    """
    if name == "namespace":
        return _namespace
    if name not in _OTHERS:
        return getattr(sys.modules["dlc"], name)
    module, attribute = _OTHERS[name]
    return getattr(importlib.import_module(f"dlc.frontend.{module}"), attribute)


def _namespace(version: str | None) -> ModuleType:
    dlc, first = sys.modules["dlc"], "2021.12"
    if version is not None and not first <= version <= dlc.__array_api_version__:
        raise ValueRangeError(
            f"dlc has no Array API {version!r}",
            hint=f"{first} to {dlc.__array_api_version__} are there",
        )
    return dlc
