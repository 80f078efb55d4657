"""The table of operators: a row is a function over values and the version since which it holds."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Function = Callable[..., Any]
_FILES = (
    "arithmetic", "attention", "control", "convolution", "detection", "elements", "indexing",
    "losses", "normalisation", "pooling", "quantisation", "random", "recurrent", "reduction",
    "resize", "sequences", "shape", "signal", "text", "training", "trees",
)  # fmt: skip


class Row(NamedTuple):
    """An operator.

    function: takes the node and its inputs, gives the output or a tuple of them.
    since: the first opset version that the row is for, up to the next row of the same name.
    known: which inputs have to be known while tracing; they are given as NumPy arrays.
    raw: whether inputs are given as they are (known arrays, sequences), not as tensors.
    random: whether two calls differ, so that nothing is computed while tracing.
    at_once: whether the shapes of results depend on data: it runs between compiled programs.
    """

    function: Function
    since: int
    known: Sequence[int]
    raw: bool
    random: bool
    at_once: bool

    def lacking(self, count: int) -> str | None:
        """The name of the first input that so many do not include and that has to be there."""
        names = _required(self.function)
        return names[count] if count < len(names) else None


@functools.cache
def _required(function: Function) -> list[str]:
    """The parameters behind the node that have no default."""
    _, *rest = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in rest if p.kind in kinds and p.default is p.empty]


_rows: dict[tuple[str, str], list[Row]] = {}


def operator(
    *names: str,
    since: int = 1,
    domain: str = "",
    known: Sequence[int] = (),
    raw: bool = False,
    random: bool = False,
    at_once: bool = False,
) -> Callable[[Function], Function]:
    """Adds a row for each name; the fields are those of `Row`."""

    def add(function: Function) -> Function:
        for name in names:
            rows = _rows.setdefault((domain, name), [])
            rows.append(Row(function, since, tuple(known), raw, random, at_once))
            rows.sort(key=lambda r: r.since)
        return function

    return add


def find(domain: str, name: str, version: int) -> Row | None:
    """The row for an operator of an opset version; None if there is none."""
    _load()
    rows = _rows.get(("" if domain == "ai.onnx" else domain, name), ())
    fitting = [r for r in rows if r.since <= version]
    return fitting[-1] if fitting else None


def operators() -> dict[tuple[str, str], list[Row]]:
    """All rows, by domain and name."""
    _load()
    return dict(sorted(_rows.items()))


def _load() -> None:
    for name in _FILES:
        importlib.import_module(f"dlc.interop.onnx.operators.{name}")
