"""The table of ATen operators: from the name of an operator to a function over dlc tensors."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]
_FILES = ("elements", "layers", "tensors")
_rows: dict[str, Function] = {}


def aten(*names: str) -> Callable[[Function], Function]:
    """Adds a row: `add` is for all overloads that have none of their own, `add.Scalar` for one.

    The function takes what the operator's schema says, tensors as dlc's. Its results are converted
    to the element types that PyTorch says they have.
    """

    def add(function: Function) -> Function:
        for name in names:
            _rows[name] = function
        return function

    return add


def find(name: str) -> Function | None:
    """The row of an operator, such as `add.Tensor`; None if there is none."""
    if not _rows:
        for file in _FILES:
            importlib.import_module(f"dlc.interop.torch.operators.{file}")
    return _rows.get(name) or _rows.get(name.partition(".")[0])


def operators() -> list[str]:
    """The names of all rows."""
    find("")
    return sorted(_rows)
