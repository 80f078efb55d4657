"""The table of ATen operators: from the name of an operator to a function over dlc tensors."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from dlc.interop.torch import operators as _operators

Function = Callable[..., Any]
_rows: dict[str, Function] = {}
_needs: dict[str, tuple[str, ...]] = {}


def aten(*names: str, needs: tuple[str, ...] = ()) -> Callable[[Function], Function]:
    """Adds a row: `add` is for all overloads that have none of their own, `add.Scalar` for one.

    The function takes what the operator's schema says, tensors as dlc's. Its results are converted
    to the element types that PyTorch says they have.

    Args:
        names: Those of the operator.
        needs: Keywords that the function takes beside those of the schema: a random `key`, the
            element type of its first result (`dtype`), that which its first two arguments are
            converted to before elements are computed (`common`), strides and offset in memory of
            its first argument (`layout`), the `number` that its result is by PyTorch, what the
            tracer says about its `results`, the `shape` of its result, where PyTorch has decided
            what depends on open extents (None where it is not known), whether failure is an error
            (`strict`), which of its results are `used`, whether factors are those of the
            `transposed` matrix.
    """

    def add(function: Function) -> Function:
        for name in names:
            assert name not in _rows, f"{name} has two rows"
            _rows[name] = function
            _needs[name] = needs
        return function

    return add


def find(name: str) -> Function | None:
    """The row of an operator, such as `add.Tensor`; None if there is none."""
    return _rows.get(_row_name(name))


def needs_of(name: str) -> tuple[str, ...]:
    """What the row of an operator takes beside what the schema says."""
    return _needs.get(_row_name(name), ())


@functools.cache
def _load() -> None:
    """Has all rows, whichever of their files has been imported before."""
    for file in pkgutil.iter_modules(_operators.__path__):
        importlib.import_module(f"{_operators.__name__}.{file.name}")


def _row_name(name: str) -> str:
    _load()
    return name if name in _rows else name.partition(".")[0]


def operators() -> list[str]:
    """The names of all rows."""
    find("")
    return sorted(_rows)
