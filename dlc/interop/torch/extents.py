"""Extents of PyTorch's graphs: its symbols are dlc's, its formulas of them too."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dlc
from dlc.frontend.compile import CompiledFunction, Family
from dlc.frontend.extent import Extent, extents, plain
from dlc.frontend.signature import Call
from dlc.frontend.symbols import Extents, Pattern
from dlc.ir.dims import Dim, DimExpr, maximum, minimum, symbol


def _power(base: Any, exponent: int) -> Any:
    return functools.reduce(operator.mul, [base] * exponent, 1)


def longer(a: Any, b: Any) -> Any:
    """The larger one of two extents."""
    return _chosen(maximum, a, b)


def shorter(a: Any, b: Any) -> Any:
    """The smaller one of two extents."""
    return _chosen(minimum, a, b)


def _chosen(function: Callable[[Dim, Dim], Dim], a: Any, b: Any) -> Any:
    """A function of dims, of dims or of extents."""
    found = function(plain(a), plain(b))
    traced = isinstance(a, Extent) or isinstance(b, Extent)
    return extents((found,))[0] if traced else found


_FORMULAS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add, "Mul": operator.mul, "Pow": _power, "PowByNatural": _power,
    "FloorDiv": operator.floordiv, "CleanDiv": operator.floordiv, "Mod": operator.mod,
    "PythonMod": operator.mod, "Max": longer, "Min": shorter,
}  # fmt: skip


def expression_of(extent: Any) -> Any:
    """The formula of PyTorch's for an extent that it has left open; None for an integer."""
    return getattr(getattr(extent, "node", None), "expr", None)


def value_of(extent: Any, known: Mapping[Any, Any]) -> Any:
    """An extent of PyTorch's by the values of its symbols; None where these are not enough.

    Args:
        extent: An integer, or one that PyTorch has left open.
        known: Integers, dims or extents for symbols.
    """
    expression = expression_of(extent)
    return extent if expression is None else _value(expression, known)


def _value(expression: Any, known: Mapping[Any, Any]) -> Any:
    if expression.is_Symbol:
        return known.get(expression)
    if expression.is_Integer:
        return int(expression)
    formula = _FORMULAS.get(expression.func.__name__)
    parts = [_value(a, known) for a in expression.args]
    if formula is None or any(p is None for p in parts):
        return None
    return functools.reduce(formula, parts)


def symbols_among(shapes: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """The values of PyTorch's symbols, from shapes of PyTorch's and the same ones as given."""
    found: dict[Any, Any] = {}
    for shape, given in shapes:
        for extent, value in zip(shape, given, strict=True):
            expression = expression_of(extent)
            if expression is not None and expression.is_Symbol:
                found.setdefault(expression, value)
    return found


def patterns_of(shapes: Sequence[Sequence[Any]]) -> list[tuple[Pattern, ...]]:
    """Shapes of PyTorch's as patterns.

    A formula whose symbols are not all extents by themselves is taken for a symbol of its own, and
    an extent that is not known before the program runs too.
    """
    plain = {e for s in shapes for d in s if (e := expression_of(d)) is not None and e.is_Symbol}
    dims = {e: symbol(str(e)) for e in plain}

    def pattern(extent: Any) -> Pattern:
        value = value_of(extent, dims)
        if value is None:
            return names.setdefault(expression_of(extent), f"e{len(names)}")
        if isinstance(value, DimExpr) and expression_of(extent).is_Symbol:
            return str(expression_of(extent))
        return value if isinstance(value, DimExpr) else int(value)

    names: dict[Any, str] = {}
    return [tuple(pattern(d) for d in s) for s in shapes]


class ExtentsKnown(CompiledFunction):
    """A compiled function whose open extents are known before its first call.

    So that one program serves all: PyTorch has a graph of its own for each other decision.

    Args:
        function: The function.
        patterns: The extents of its arguments.
        keywords: Those of `dlc.compile`.
    """

    __slots__ = ()

    def __init__(
        self, function: Callable[..., Any], patterns: Sequence[Sequence[Pattern]], **keywords: Any
    ) -> None:
        made: Any = dlc.compile(function, **keywords)
        super().__init__(function, made.settings, made.signature)
        self._patterns = patterns

    def _extents(self, family: Family, call: Call) -> Extents:
        known = Extents(self._patterns, {})
        if len(call.shapes) != len(self._patterns) or not known.matches(call.shapes):
            return super()._extents(family, call)
        return Extents(self._patterns, known.bind(call.shapes))
