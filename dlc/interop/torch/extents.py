"""Extents of PyTorch's graphs: its symbols are dlc's, its formulas of them too."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import dlc
from dlc.frontend.compile import CompiledFunction, Family
from dlc.frontend.extent import Extent, extents, plain
from dlc.frontend.signature import Call
from dlc.frontend.symbols import Extents, Pattern
from dlc.ir.dims import Dim, DimExpr, maximum, minimum, symbol

_NONE: Mapping[Any, Any] = {}
_MAX_LINES = 4  # what a symbol is noted to be more than


def _power(base: Any, exponent: Any) -> Any:
    """A product of equal extents; None where how many is open, or it is a fraction."""
    if not isinstance(exponent, int) or exponent < 0:
        return None
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


class Line(NamedTuple):
    """A sum of multiples of PyTorch's symbols and a number."""

    factors: tuple[tuple[Any, int], ...]
    number: int

    def value(self, known: Mapping[Any, Any]) -> Any:
        """The sum by the values of the symbols."""
        return sum((known[s] * c for s, c in self.factors), self.number)


class Step(NamedTuple):
    """What is known of an extent: it is a multiple of `of`, and more than `above` of these.

    beside: what it is more than, too, by other extents.
    """

    of: int
    above: int
    beside: tuple[Line, ...] = ()

    def _start(self, known: Mapping[Any, Any]) -> Any:
        return functools.reduce(longer, (n.value(known) for n in self.beside), self.above)

    def extent(self, count: Dim, known: Mapping[Any, Dim] = _NONE) -> Dim:
        """The extent by a count, which is at least 1, and the extents beside."""
        return (count + self._start(known)) * self.of

    def count(self, extent: int, known: Mapping[Any, int] = _NONE) -> int:
        """The count of an extent; 0 for one that is not as was known."""
        return max(extent // self.of - self._start(known), 0)


def steps_of(
    shapes: Sequence[Sequence[Any]], others: Iterable[Sequence[Any]] = ()
) -> dict[Any, Step]:
    """What PyTorch has found to hold of symbols that are extents of shapes.

    Args:
        shapes: Those of the inputs.
        others: Those of intermediate results, whose extents are at least 1.

    Returns:
        What is known of each symbol; the extents beside it come before it.
    """
    extents = {e: d for s in shapes for d in s if (e := expression_of(d)) is not None}
    plain = {e: d for e, d in extents.items() if e.is_Symbol}
    if not plain:
        return {}
    environment = next(iter(plain.values())).node.shape_env
    guards = [g.expr for g in environment.guards]
    divisors = _divisors(guards)
    lines = dict.fromkeys(_differences(guards))
    lines |= dict.fromkeys(e - 1 for s in others for d in s if (e := expression_of(d)) is not None)
    found: dict[Any, Step] = {}
    for e in plain:
        of = divisors.get(e, 1)
        least = environment.var_to_range[e].lower
        found[e] = Step(of, -(-int(least) // of) - 1 if least > 1 else 0)
    for e, line in filter(None, map(_positive, lines)):
        _add_line(found, e, line)
    return {e: found[e] for e in _ordered(found) if found[e] != Step(1, 0)}


def _differences(conditions: Sequence[Any]) -> Iterator[Any]:
    """What is at least 0, by conditions that hold."""
    for c in conditions:
        match c.func.__name__:
            case "GreaterThan":
                yield c.args[0] - c.args[1]
            case "StrictGreaterThan":
                yield c.args[0] - c.args[1] - 1
            case "LessThan":
                yield c.args[1] - c.args[0]
            case "StrictLessThan":
                yield c.args[1] - c.args[0] - 1
            case _:
                pass


def _positive(difference: Any) -> tuple[Any, Line] | None:
    """The symbol, and what it is more than, where a sum of symbols is at least 0.

    The others are taken away from it: so there is no other symbol that this could be said of.
    """
    if not difference.is_Add:
        return None
    terms = difference.as_coefficients_dict()
    if not all(c.is_Integer and (t.is_Symbol or t == 1) for t, c in terms.items()):
        return None
    more = [t for t, c in terms.items() if t != 1 and c > 0]
    less = tuple((t, int(-c)) for t, c in terms.items() if t != 1 and c < 0)
    if len(more) != 1 or terms[more[0]] != 1 or not less:
        return None
    return more[0], Line(less, -int(terms.get(1, 0)) - 1)


def _add_line(steps: dict[Any, Step], symbol: Any, line: Line) -> None:
    """Notes what a symbol is more than, unless the symbols there are more than this one."""
    step = steps.get(symbol)
    others = [s for s, _ in line.factors]
    if step is None or step.of != 1 or len(step.beside) >= _MAX_LINES:
        return
    if line in step.beside or any(s not in steps or symbol in _before(steps, s) for s in others):
        return
    steps[symbol] = step._replace(beside=(*step.beside, line))


def _before(steps: Mapping[Any, Step], symbol: Any) -> list[Any]:
    """The symbols that one is said to be more than, and so on, and itself, which is the last."""
    found: dict[Any, None] = {}
    for line in steps[symbol].beside:
        for s, _ in line.factors:
            found |= dict.fromkeys(_before(steps, s))
    return [*found, symbol]


def _ordered(steps: Mapping[Any, Step]) -> dict[Any, None]:
    return dict.fromkeys(s for e in steps for s in _before(steps, e))


def _divisors(conditions: Sequence[Any]) -> dict[Any, int]:
    """What symbols are multiples of, by conditions that hold.

    These are of two forms: a remainder that is 0, and the equality of products, of which one has
    the symbol and the other one the number times the quotient. Each may need what others say.
    """
    found: dict[Any, int] = {}
    equal = [c.args for c in conditions if c.func.__name__ == "Equality"]
    for _ in range(len(equal)):
        before = len(found)
        for left, right in equal:
            if left.func.__name__ == "Mod" and right == 0:
                of = _multiple(left.args[0] / left.args[1])
            else:
                of = None if left == 0 or right == 0 else _whole(left / right, found)
            if of is not None:
                found[of[0]] = math.lcm(found.get(of[0], 1), of[1])
        if len(found) == before:
            break
    return found


def _multiple(share: Any) -> tuple[Any, int] | None:
    """The symbol, and what it is a multiple of, where this share of it is an integer."""
    number, rest = share.as_coeff_Mul()
    return (rest, int(number.q)) if rest.is_Symbol and number.is_Rational else None


def _whole(ratio: Any, known: Mapping[Any, int]) -> tuple[Any, int] | None:
    """The same, where the ratio is 1, and that of the symbol to a number times the quotient."""
    powers = ratio.as_powers_dict()
    parts = [q for q in powers if q.func.__name__ == "FloorDiv"]
    for q in parts:
        s, n = q.args
        if s in known and known[s] == n:
            ratio *= (n * q / s) ** powers.get(s, 0)
    for q in parts:
        s, n = q.args
        if s.is_Symbol and n.is_Integer and ratio in (s / (n * q), n * q / s):
            return s, int(n)
    return None


def patterns_of(
    shapes: Sequence[Sequence[Any]], steps: Mapping[Any, Step]
) -> list[tuple[Pattern, ...]]:
    """Shapes of PyTorch's as patterns.

    A formula whose symbols are not all extents by themselves is taken for a symbol of its own, and
    an extent that is not known before the program runs too.

    Args:
        shapes: The shapes.
        steps: What is known of symbols. These are formulas of their counts, each of which is the
            first extent of one more shape, at the end: that of an empty tensor.
    """
    plain = {e for s in shapes for d in s if (e := expression_of(d)) is not None and e.is_Symbol}
    counts = {e: symbol(f"{e}_count") for e in steps}
    dims: dict[Any, Dim] = {e: symbol(str(e)) for e in plain if e not in steps}
    for e, step in steps.items():
        dims[e] = step.extent(counts[e], dims)

    def pattern(extent: Any) -> Pattern:
        value = value_of(extent, dims)
        if value is None:
            return names.setdefault(expression_of(extent), f"e{len(names)}")
        if not isinstance(value, DimExpr):
            return int(value)
        return str(value) if value in single else value

    names: dict[Any, str] = {}
    single = {dims[e] for e in plain if e not in steps}
    ends: list[tuple[Pattern, ...]] = [(str(count), 0) for count in counts.values()]
    return [tuple(pattern(d) for d in s) for s in shapes] + ends


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
