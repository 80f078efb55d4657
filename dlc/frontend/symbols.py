"""Symbols for extents, and finding by tracing which must be equal or constant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from dlc.ir.dims import (
    Dim,
    DimExpr,
    DimUnknown,
    Symbol,
    dim_text,
    evaluate,
    substitute,
    symbol,
    symbols_of,
)
from dlc.ir.errors import ShapeError

Result = TypeVar("Result")
Shapes = Sequence[Sequence[int]]
Pattern = int | str | DimExpr


class Extents:
    """The extents of some shapes: each an integer, the name of a symbol or a formula of symbols.

    patterns: for each shape, its extents; what is in a formula is also an extent by itself.
    values: what the symbols are at present.
    fixed_names: symbols named by the user, which must stay free.
    reasons: why symbols were made equal or constant, in words.
    """

    def __init__(
        self,
        patterns: Iterable[Iterable[Pattern]],
        values: Mapping[str, int],
        fixed_names: Iterable[str] = (),
    ) -> None:
        self.patterns = tuple(tuple(p) for p in patterns)
        self.values = dict(values)
        self.fixed_names = frozenset(fixed_names)
        self.reasons: list[str] = []

    @classmethod
    def constant(cls, shapes: Shapes) -> Extents:
        """Integers only."""
        return cls(shapes, {})

    @classmethod
    def distinct(cls, shapes: Shapes) -> Extents:
        """A symbol for each extent above 1."""
        values: dict[str, int] = {}

        def name(d: int) -> int | str:
            if d <= 1:
                return d
            key = f"n{len(values)}"
            values[key] = d
            return key

        return cls([[name(d) for d in shape] for shape in shapes], values)

    def dims(self) -> list[tuple[Dim, ...]]:
        """The shapes as dims of the IR."""
        return [tuple(symbol(d) if isinstance(d, str) else d for d in p) for p in self.patterns]

    def matches(self, shapes: Shapes) -> bool:
        """Whether shapes of the same ranks fit; each symbol has one value, of at least 1.

        The extents of shapes that are declared may be names; they fit symbols.
        """
        bound: dict[str, Any] = {}
        formulas: list[tuple[DimExpr, Any]] = []
        for pattern, shape in zip(self.patterns, shapes, strict=True):
            for p, d in zip(pattern, shape, strict=True):
                if p.__class__ is int:
                    if p != d:
                        return False
                elif isinstance(p, DimExpr):
                    formulas.append((p, d))
                elif bound.setdefault(str(p), d) != d or (d.__class__ is int and d < 1):
                    return False
        return not formulas or all(_holds(p, d, bound) for p, d in formulas)

    def bind(self, shapes: Shapes) -> dict[str, int]:
        """The values of the symbols for shapes that match."""
        bound: dict[str, int] = {}
        for pattern, shape in zip(self.patterns, shapes, strict=True):
            bound.update({p: d for p, d in zip(pattern, shape, strict=True) if isinstance(p, str)})
        return bound

    def resolve(self, unknown: DimUnknown) -> None:
        """Decides a comparison by making two symbols equal, or those in it constant.

        Raises:
            ShapeError: when that concerns an extent that the user named.
        """
        a, b = (_plain_name(d) for d in (unknown.a, unknown.b))
        names = symbols_of(unknown.a) | symbols_of(unknown.b)
        named = sorted(names & self.fixed_names)
        if named:
            raise ShapeError(
                f"the function needs to know {unknown.question}, "
                f"and {', '.join(named)} was declared to take any value",
                hint="give the extent as a number, or the same name to extents that are equal",
            )
        if a and b and unknown.relation == "==" and self.values[a] == self.values[b]:
            self.reasons.append(f"{a} and {b} must be equal")
            self._replace({b: a})
        else:
            words = f"{dim_text(unknown.a)} {unknown.relation} {dim_text(unknown.b)}"
            self.reasons.append(
                f"{', '.join(sorted(names))} made constant: the program depends on {words}"
            )
            self._replace({n: self.values[n] for n in names})

    def _replace(self, new: Mapping[str, int | str]) -> None:
        dims = {n: symbol(v) if isinstance(v, str) else v for n, v in new.items()}

        def replaced(d: Pattern) -> Pattern:
            if not isinstance(d, DimExpr):
                return new.get(d, d) if isinstance(d, str) else d
            made = substitute(d, dims)
            return _plain_name(made) or made

        self.patterns = tuple(tuple(replaced(d) for d in p) for p in self.patterns)
        used = {d for p in self.patterns for d in p if isinstance(d, str)}
        self.values = {n: v for n, v in self.values.items() if n in used}


def _holds(formula: DimExpr, extent: Any, bound: Mapping[str, Any]) -> bool:
    """Whether a formula is this extent; that of a declared shape, which is a name, is none."""
    known = all(isinstance(bound.get(n), int) for n in symbols_of(formula))
    return known and evaluate(formula, bound) == extent


def _plain_name(dim: Dim) -> str | None:
    """The name of a dim that is just a symbol."""
    if isinstance(dim, DimExpr) and len(dim.terms) == 1:
        monomial, c = dim.terms[0]
        if c == 1 and len(monomial) == 1 and isinstance(monomial[0], Symbol):
            return monomial[0].name
    return None


def trace_with_symbols(
    build: Callable[[list[tuple[Dim, ...]]], Result], extents: Extents
) -> Result:
    """`build(shapes)`, repeated with fewer symbols until no comparison depends on them.

    Changes `extents` to what the result was built with.
    """
    while True:
        try:
            return build(extents.dims())
        except DimUnknown as unknown:
            extents.resolve(unknown)
