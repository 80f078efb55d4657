"""Symbols for extents, and finding by tracing which must be equal or constant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from dlc.ir.dims import (
    ANY,
    AS_NUMBER,
    Dim,
    DimExpr,
    DimUnknown,
    Range,
    add,
    answering,
    dim_text,
    evaluate,
    mul,
    narrowed,
    plain_name,
    range_text,
    range_words,
    substitute,
    symbol,
    symbols_of,
)
from dlc.ir.errors import DlcError, ShapeError

Result = TypeVar("Result")
Shapes = Sequence[Sequence[int]]
Pattern = int | str | DimExpr


class Extents:
    """The extents of some shapes: each an integer, the name of a symbol or a formula of symbols.

    patterns: for each shape, its extents; what is in a formula is also an extent by itself.
    values: what the symbols are at present.
    fixed_names: symbols named by the user, which must stay free.
    ranges: what symbols may be, of those that may not be just any number.
    declared: the patterns and ranges that it was made with.
    reasons: why symbols were made equal or constant, in words.
    """

    def __init__(
        self,
        patterns: Iterable[Iterable[Pattern]],
        values: Mapping[str, int],
        fixed_names: Iterable[str] = (),
        ranges: Mapping[str, Range] | None = None,
    ) -> None:
        self.patterns = tuple(tuple(p) for p in patterns)
        self.values = dict(values)
        self.fixed_names = frozenset(fixed_names)
        self.ranges = {n: r for n, r in (ranges or {}).items() if r != ANY}
        self.declared = self.patterns, dict(self.ranges)
        self.reasons: list[str] = []
        self._range_reasons: dict[str, str] = {}

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
        ranged = {n: symbol(n, r) for n, r in self.ranges.items()}

        def dim(d: Pattern) -> Dim:
            if isinstance(d, str):
                return ranged.get(d) or symbol(d)
            return substitute(d, ranged)

        return [tuple(map(dim, p)) for p in self.patterns]

    def matches(self, shapes: Shapes) -> bool:
        """Whether shapes of the same ranks fit; each symbol has one value, within its range.

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
        for name, (least, most) in self.ranges.items():
            d = bound[name]
            if d.__class__ is int and (d < least or (most is not None and d > most)):
                return False
        return not formulas or all(_holds(p, d, bound) for p, d in formulas)

    @property
    def key(self) -> object:
        """What the extents are, for dicts."""
        return self.patterns, tuple(sorted(self.ranges.items()))

    def bind(self, shapes: Shapes) -> dict[str, int]:
        """The values of the symbols for shapes that match."""
        bound: dict[str, int] = {}
        for pattern, shape in zip(self.patterns, shapes, strict=True):
            bound.update({p: d for p, d in zip(pattern, shape, strict=True) if isinstance(p, str)})
        return bound

    def answer(self, unknown: DimUnknown) -> bool:
        """The answer for the present values; from now on the ranges of the symbols imply it.

        Of symbols that the user named it is what is expected.

        Raises:
            DimUnknown: what is given, where no range implies an answer.
        """
        names = symbols_of(unknown.a) | symbols_of(unknown.b)
        named = names & self.fixed_names
        if unknown.relation == AS_NUMBER or not names <= self.values.keys():
            raise unknown
        if named and not (unknown.expected and named == names):
            raise unknown
        difference = add(unknown.a, mul(unknown.b, -1))
        now = 0 if named else evaluate(difference, self.values)
        if unknown.relation == "==":
            if now == 0:
                raise unknown
            holds, implied = False, add(mul(difference, 1 if now > 0 else -1), -1)
        else:
            holds = now >= 0
            implied = difference if holds else add(mul(difference, -1), -1)
        found = narrowed(implied, None if named else self.values, self.ranges)
        if found is None:
            raise unknown
        for name, range_ in found.items():
            if range_ != self.ranges.get(name, ANY):
                self.ranges[name] = range_
                self._range_reasons[name] = f"the program depends on {_words(unknown)}"
        return holds

    def settle(self) -> None:
        """Makes symbols constant that may have one value only."""
        for name, (least, most) in list(self.ranges.items()):
            if least == most and name not in self.fixed_names:
                self._make_constant({name: least}, self._range_reasons[name])

    def fix(self, error: DlcError | TypeError) -> None:
        """Makes all symbols constant, as something could not be done with them."""
        said = error.message if isinstance(error, DlcError) else str(error)
        self._make_constant(self.values, said)

    def why(self) -> list[str]:
        """Why symbols are not what they might be, in words."""
        return [
            *self.reasons,
            *(
                f"{range_text(n, self.ranges[n])}: {reason}"
                for n, reason in self._range_reasons.items()
                if n in self.ranges
            ),
        ]

    def resolve(self, unknown: DimUnknown) -> None:
        """Decides a comparison by making a symbol another or a formula, or those in it constant.

        Raises:
            ShapeError: when that concerns an extent that the user named.
        """
        names = symbols_of(unknown.a) | symbols_of(unknown.b)
        named = sorted(names & self.fixed_names)
        if named:
            declared = ", ".join(
                f"{n} was declared as {range_text(n, self.ranges[n])}"
                if n in self.ranges
                else f"{n} was declared to take any value"
                for n in named
            )
            raise ShapeError(
                f"the function needs to know {unknown.question}, and {declared}",
                hint=_hint(unknown, named),
            )
        for d, other in ((unknown.b, unknown.a), (unknown.a, unknown.b)):
            name, inside = plain_name(d), symbols_of(other)
            if unknown.relation != "==" or name is None or not inside or name in inside:
                continue
            if self.values[name] == evaluate(other, self.values):
                both = f"{dim_text(unknown.a)} and {dim_text(unknown.b)}"
                self.reasons.append(f"{both} must be equal")
                self._replace({name: plain_name(other) or other})
                return
        reason = f"the program depends on {_words(unknown)}"
        self._make_constant({n: self.values[n] for n in names}, reason)

    def _make_constant(self, values: Mapping[str, int], reason: str) -> None:
        self.reasons.append(f"{', '.join(sorted(values))} made constant: {reason}")
        self._replace(values)

    def _replace(self, new: Mapping[str, Pattern]) -> None:
        dims = {n: symbol(v) if isinstance(v, str) else v for n, v in new.items()}

        def replaced(d: Pattern) -> Pattern:
            if not isinstance(d, DimExpr):
                return new.get(d, d) if isinstance(d, str) else d
            made = substitute(d, dims)
            return plain_name(made) or made

        self.patterns = tuple(tuple(replaced(d) for d in p) for p in self.patterns)
        used = {d for p in self.patterns for d in p if isinstance(d, str)}
        self.values = {n: v for n, v in self.values.items() if n in used}
        for n, v in new.items():
            if n in self.ranges and isinstance(v, str):
                self.ranges[v] = common_range(self.ranges[n], self.ranges.get(v, ANY))
        self.ranges = {n: r for n, r in self.ranges.items() if n in used}


def _words(unknown: DimUnknown) -> str:
    """What a program depends on."""
    return unknown.question.removeprefix("whether ")


def _hint(unknown: DimUnknown, named: Sequence[str]) -> str:
    if unknown.relation == ">=":
        return f'declare what the extent may be, such as "{named[0]}>=8", or give it as a number'
    return "give the extent as a number, or the same name to extents that are equal"


def common_range(a: Range, b: Range) -> Range:
    """What is in both ranges; ShapeError where nothing is."""
    least = max(a[0], b[0])
    most = min((x for x in (a[1], b[1]) if x is not None), default=None)
    if most is not None and most < least:
        raise ShapeError(f"an extent is to be {range_words(a)}, and {range_words(b)}")
    return least, most


def _holds(formula: DimExpr, extent: Any, bound: Mapping[str, Any]) -> bool:
    """Whether a formula is this extent; that of a declared shape, which is a name, is none."""
    known = all(isinstance(bound.get(n), int) for n in symbols_of(formula))
    return known and evaluate(formula, bound) == extent


def trace_with_symbols(
    build: Callable[[list[tuple[Dim, ...]]], Result], extents: Extents
) -> Result:
    """`build(shapes)`, repeated until the symbols and their ranges leave no comparison open.

    What raises an error is repeated with numbers: they may fit where formulas do not say so, Python
    and NumPy can do more with them, and errors are clearer. Changes `extents` to what the result
    was built with.
    """
    while True:
        before = dict(extents.ranges)
        try:
            with answering(extents.answer):
                made = build(extents.dims())
        except DimUnknown as unknown:
            extents.resolve(unknown)
        except (DlcError, TypeError) as error:
            if extents.fixed_names or not extents.values:
                raise
            extents.fix(error)
        else:
            if extents.ranges == before:
                return made
        extents.settle()
