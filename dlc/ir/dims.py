"""Dims.

Integers or symbolic integer expressions, in a canonical form so that equal dims compare equal.

An expression is a polynomial over atoms. An atom is a symbol (an extent known at run time, at least
1 or what its range says) or an application of `floordiv`, `mod`, `max` or `min` to two expressions
that could not be evaluated.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias, Union

# Sums and products of dims that are not made anew.
_REMEMBERED = 1 << 13
_LARGEST = 1 << 40  # bound of a symbol that is looked for

Dim: TypeAlias = Union[int, "DimExpr"]


Range: TypeAlias = tuple[int, "int | None"]
"""The least and the largest value of a symbol; None where there is no largest one."""
ANY: Range = (1, None)


class Symbol:
    """A named extent whose value is known when the program is called, and within a range then.

    In a function, all symbols of one name have one range. Immutable, as all that dims are made of:
    what is asked for often is kept.
    """

    __slots__ = ("_hash", "name", "range")
    name: str
    range: Range

    def __init__(self, name: str, within: Range = ANY) -> None:
        self.name, self.range = name, within
        self._hash = hash(name)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Symbol) and self.name == other.name and self.range == other.range
        )

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[Symbol], tuple[str, Range]]:
        return Symbol, (self.name, self.range)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Symbol({range_text(self.name, self.range)!r})"


def in_range(value: int, within: Range) -> bool:
    """Whether a symbol of this range may have the value."""
    least, most = within
    return least <= value and (most is None or value <= most)


def range_words(within: Range) -> str:
    """A range in words."""
    least, most = within
    return f"at least {least}" if most is None else f"between {least} and {most}"


def range_text(name: str, within: Range) -> str:
    """The text of a symbol with its range: `n`, `n>=7`, `n<=9`, `7<=n<=9`."""
    least, most = within
    if most is None:
        return name if least == 1 else f"{name}>={least}"
    return f"{name}<={most}" if least == 1 else f"{least}<={name}<={most}"


class Apply:
    """`function(a, b)` that has no simpler form; function is floordiv, mod, max or min."""

    __slots__ = ("_hash", "_text", "a", "b", "function")
    function: str
    a: Dim
    b: Dim

    def __init__(self, function: str, a: Dim, b: Dim) -> None:
        self.function, self.a, self.b = function, a, b
        self._hash = hash((function, a, b))
        self._text: str | None = None

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Apply)
            and self._hash == other._hash
            and (self.function, self.a, self.b) == (other.function, other.a, other.b)
        )

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[Apply], tuple[str, Dim, Dim]]:
        return Apply, (self.function, self.a, self.b)

    def __str__(self) -> str:
        if self._text is None:
            self._text = f"{self.function}({dim_text(self.a)},{dim_text(self.b)})"
        return self._text

    def __repr__(self) -> str:
        return f"Apply({self.function!r}, {self.a!r}, {self.b!r})"


Atom: TypeAlias = Symbol | Apply
Monomial: TypeAlias = tuple[Atom, ...]  # a product, sorted by text; () is the constant term


AS_NUMBER = "as a number"  # what is asked of a dim where no comparison would do


class DimUnknown(Exception):
    """A comparison of dims that is true for some values of the symbols and false for others.

    Where `relation` is `AS_NUMBER`, it is the value of `a` that is needed.

    expected: Whether it is true for all extents that users are likely to mean.
    """

    def __init__(self, a: Dim, b: Dim, relation: str, expected: bool = False) -> None:
        super().__init__(f"cannot decide {dim_text(a)} {relation} {dim_text(b)}")
        self.a, self.b, self.relation, self.expected = a, b, relation, expected

    @property
    def question(self) -> str:
        """What is not known, in words."""
        if self.relation == AS_NUMBER:
            return f"what number {dim_text(self.a)} is"
        return f"whether {dim_text(self.a)} {self.relation} {dim_text(self.b)}"


class DimExpr:
    """A polynomial with integer coefficients over atoms; immutable, canonical, hashable."""

    __slots__ = ("_hash", "_symbols", "_text", "terms")
    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)
        self._text: str | None = None
        self._symbols: frozenset[str] | None = None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, DimExpr) and self._hash == other._hash and self.terms == other.terms
        )

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[DimExpr], tuple[object]]:
        return DimExpr, (self.terms,)

    def __str__(self) -> str:
        return dim_text(self)

    def __repr__(self) -> str:
        return f"DimExpr({dim_text(self)})"

    def __add__(self, other: Dim) -> Dim:
        return add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Dim:
        return add(self, mul(other, -1))

    def __rsub__(self, other: Dim) -> Dim:
        return add(other, mul(self, -1))

    def __neg__(self) -> Dim:
        return mul(self, -1)

    def __mul__(self, other: Dim) -> Dim:
        return mul(self, other)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        return floordiv(self, other)

    def __rfloordiv__(self, other: Dim) -> Dim:
        return floordiv(other, self)

    def __mod__(self, other: Dim) -> Dim:
        return mod(self, other)


@functools.lru_cache(_REMEMBERED)
def symbol(name: str, within: Range = ANY) -> DimExpr:
    """The dim that is the symbol `name`."""
    return DimExpr((((Symbol(name, within),), 1),))


TRIPS_NAME = "__trips"
TRIPS = symbol(TRIPS_NAME)
"""How often a loop has run, known afterwards only: it may be 0, and is each loop's own."""


def plain_name(dim: Dim) -> str | None:
    """The name of a dim that is just a symbol."""
    if isinstance(dim, DimExpr) and len(dim.terms) == 1:
        monomial, c = dim.terms[0]
        if c == 1 and len(monomial) == 1 and isinstance(monomial[0], Symbol):
            return monomial[0].name
    return None


def _terms(dim: Dim) -> dict[Monomial, int]:
    if isinstance(dim, DimExpr):
        return dict(dim.terms)
    return {(): int(dim)} if dim else {}


def _make(terms: Mapping[Monomial, int]) -> Dim:
    kept = {m: c for m, c in terms.items() if c}
    if not kept:
        return 0
    if len(kept) == 1:
        return kept[()] if () in kept else DimExpr(tuple(kept.items()))
    return DimExpr(tuple(sorted(kept.items(), key=lambda t: (-len(t[0]), [str(a) for a in t[0]]))))


def add(a: Dim, b: Dim) -> Dim:
    """a + b."""
    if isinstance(b, int):
        if isinstance(a, int):
            return a + b
        if not b:
            return a
    return _add(a, b)


@functools.lru_cache(_REMEMBERED)
def _add(a: Dim, b: Dim) -> Dim:
    terms = _terms(a)
    for monomial, c in _terms(b).items():
        terms[monomial] = terms.get(monomial, 0) + c
    return _make(terms)


def mul(a: Dim, b: Dim) -> Dim:
    """a * b."""
    if isinstance(b, int):
        if isinstance(a, int):
            return a * b
        if b == 1:
            return a
    return _mul(a, b)


@functools.lru_cache(_REMEMBERED)
def _mul(a: Dim, b: Dim) -> Dim:
    number, other = (a, b) if isinstance(a, int) else (b, a)
    if isinstance(number, int) and number and isinstance(other, DimExpr):
        return DimExpr(tuple((m, c * number) for m, c in other.terms))  # in the same order
    terms: dict[Monomial, int] = {}
    for ma, ca in _terms(a).items():
        for mb, cb in _terms(b).items():
            monomial = tuple(sorted(ma + mb, key=str))
            terms[monomial] = terms.get(monomial, 0) + ca * cb
    return _make(terms)


def product(dims: Iterable[Dim]) -> Dim:
    """The product of dims; 1 when there is none."""
    result: Dim = 1
    for d in dims:
        result = mul(result, d)
    return result


def _quotient(a: Dim, b: Dim) -> Dim | None:
    """a / b when b divides a exactly, as polynomials, else None."""
    if isinstance(b, int) and isinstance(a, DimExpr):
        if any(c % b for _, c in a.terms):
            return None
        return DimExpr(tuple((m, c // b) for m, c in a.terms))  # in the same order
    divisor, rest = _terms(b), _terms(a)
    first = max(divisor, key=_degree)
    found: dict[Monomial, int] = {}
    while rest:
        last = max(rest, key=_degree)
        shared = _without(last, first)
        if shared is None or rest[last] % divisor[first]:
            return None
        found[shared] = c = rest[last] // divisor[first]
        for monomial, d in divisor.items():
            product = tuple(sorted((*shared, *monomial), key=str))
            rest[product] = rest.get(product, 0) - c * d
            if not rest[product]:
                del rest[product]
    return _make(found)


def _degree(monomial: Monomial) -> tuple[int, tuple[str, ...]]:
    """By what the terms of a polynomial are ordered; products keep the order."""
    return len(monomial), tuple(map(str, monomial))


def _without(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    """What is left of a product without some of its factors; None where it has not all of them."""
    rest = list(monomial)
    for atom in divisor:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


@functools.lru_cache(_REMEMBERED)
def floordiv(a: Dim, b: Dim) -> Dim:
    """a // b (floor); ZeroDivisionError for the integer 0."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    exact = _quotient(a, b) if b != 0 else None
    if exact is not None:
        return exact
    if b == 0:
        raise ZeroDivisionError("dim divided by zero")
    if not isinstance(b, int):
        return _atom("floordiv", a, b)
    whole, rest = _divided(a, b)
    return add(whole, rest // b if isinstance(rest, int) else _atom("floordiv", rest, b))


def _divided(a: Dim, b: int) -> tuple[Dim, Dim]:
    """(q, r) with a = q b + r, where q has all that b divides."""
    terms = _terms(a)
    rest = {m: c if m and c % b else c % b for m, c in terms.items()}
    whole = {m: (c - rest[m]) // b for m, c in terms.items()}
    return _make(whole), _make(rest)


def ceildiv(a: Dim, b: Dim) -> Dim:
    """The number of blocks of `b` (positive) that cover `a`."""
    if isinstance(b, int):
        return floordiv(add(a, b - 1), b)
    return add(floordiv(add(a, -1), b), 1)  # a large `b` is better written once


def mod(a: Dim, b: Dim) -> Dim:
    """a % b (the sign of b)."""
    if isinstance(a, int) and isinstance(b, int):
        return a % b
    if b == 0:
        raise ZeroDivisionError("dim divided by zero")
    if _quotient(a, b) is not None:
        return 0
    _, rest = _divided(a, b) if isinstance(b, int) else (0, a)
    return rest % b if isinstance(rest, int) and isinstance(b, int) else _atom("mod", rest, b)


@functools.lru_cache(_REMEMBERED)
def maximum(a: Dim, b: Dim) -> Dim:
    """max(a, b)."""
    known = _sign_of_difference(a, b)
    if known is not None:
        return a if known >= 0 else b
    return _ordered("max", a, b)


@functools.lru_cache(_REMEMBERED)
def minimum(a: Dim, b: Dim) -> Dim:
    """min(a, b)."""
    known = _sign_of_difference(a, b)
    if known is not None:
        return b if known >= 0 else a
    return _ordered("min", a, b)


def larger(a: Dim, b: Dim) -> Dim:
    """max(a, b), of which nothing is proved, as that takes time: for what is to be evaluated."""
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else _ordered("max", a, b)


def smaller(a: Dim, b: Dim) -> Dim:
    """min(a, b), of which nothing is proved either."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else _ordered("min", a, b)


def all_positive(dims: Iterable[Dim]) -> Dim:
    """1 where each of some dims is above 0, else 0; nothing is proved of them either."""
    least: Dim = 1
    for d in dims:
        if not isinstance(d, int):
            least = _ordered("min", least, d)
        elif d <= 0:
            return 0
    return least if isinstance(least, int) else _ordered("max", 0, least)


def _ordered(function: str, a: Dim, b: Dim) -> Dim:
    """max or min of dims in the order that says nothing."""
    return _atom(function, *sorted((a, b), key=dim_text))


def _atom(function: str, a: Dim, b: Dim) -> Dim:
    return DimExpr((((Apply(function, a, b),), 1),))


def _sign_of_difference(a: Dim, b: Dim) -> int | None:
    """1 when a >= b always, -1 when a <= b always, None when neither is proved."""
    terms = _terms(a)
    for monomial, c in _terms(b).items():
        terms[monomial] = terms.get(monomial, 0) - c
    for sign in (1, -1):
        low = _least([(m, c * sign) for m, c in terms.items() if c])
        if low is not None and low >= 0:
            return sign
    return None


def lower_bound(dim: Dim) -> int | None:
    """A value that `dim` is never below, from the ranges of symbols; None when none is known."""
    return dim if isinstance(dim, int) else _lower_bound(dim)


@functools.lru_cache(_REMEMBERED)
def _lower_bound(dim: DimExpr) -> int | None:
    return _least(dim.terms)


def _least(terms: Sequence[tuple[Monomial, int]]) -> int | None:
    """The lower bound of a sum."""
    found = _least_at_once(terms)
    if found is not None and found >= 0:
        return found
    return _largest((found, _bound_by_multiple(terms)))


def _least_at_once(terms: Sequence[tuple[Monomial, int]]) -> int | None:
    """That of the sum as it is."""
    bounds = (_bound_by_terms, _bound_without_quotients, _bound_by_choice)
    return _largest(bound(terms) for bound in bounds)


def _largest(bounds: Iterable[int | None]) -> int | None:
    """The best of some lower bounds."""
    return max((b for b in bounds if b is not None), default=None)


def _bound_by_choice(terms: Sequence[tuple[Monomial, int]]) -> int | None:
    """A bound with the first max or min that is a term as each of its operands."""
    for monomial, c in terms:
        (atom, *more) = monomial or (None,)
        if more or not isinstance(atom, Apply) or atom.function not in ("max", "min"):
            continue
        rest = _make({m: k for m, k in terms if m != monomial})
        a, b = (lower_bound(add(rest, mul(x, c))) for x in (atom.a, atom.b))
        if (atom.function == "max") == (c > 0):  # no less than with either one
            return max((x for x in (a, b) if x is not None), default=None)
        return None if a is None or b is None else min(a, b)
    return None


def _bound_without_quotients(terms: Sequence[tuple[Monomial, int]]) -> int | None:
    """A bound with multiples of b times a//b, for an integer b, as what they are at least."""
    found = _without_quotients(terms)
    if found is None:
        return None
    bound = lower_bound(found)
    # A quotient that is added may be inside of one that is taken away.
    negative = any(c < 0 for _, c in terms)
    below = _without_quotients(terms, subtracted=True) if negative else None
    return bound if below in (None, found) else _largest((bound, lower_bound(below)))


def _bound_by_multiple(terms: Sequence[tuple[Monomial, int]]) -> int | None:
    """The same from the multiple of the sum in which all of these a//b are so."""
    divisors = [q[1] // math.gcd(q[1], c) for m, c in terms if (q := _quotient_alone(m))]
    times = math.lcm(*divisors)
    found = _without_quotients([(m, c * times) for m, c in terms]) if times > 1 else None
    if found is None:
        return None
    below = _without_quotients([(m, c * times) for m, c in terms], subtracted=True)
    # Further multiples would take time.
    bound = _largest(
        d if isinstance(d, int) else _least_at_once(d.terms)
        for d in {found, below}
        if d is not None
    )
    return None if bound is None else -(-bound // times)


def _without_quotients(
    terms: Sequence[tuple[Monomial, int]], *, subtracted: bool = False
) -> Dim | None:
    """What a sum is at least, without multiples of b times a//b; None where there are none.

    Those that are added may stay: `subtracted`.
    """
    found: Dim = 0
    whole = False
    for monomial, c in terms:
        quotient = _quotient_alone(monomial)
        if quotient is None or c % quotient[1] or (subtracted and c > 0):
            found = add(found, DimExpr(((monomial, c),)) if monomial else c)
            continue
        a, b = quotient
        least = add(a, 1 - b) if c > 0 else a
        found = add(found, mul(least, c // b))
        whole = True
    return found if whole else None


def _quotient_alone(monomial: Monomial) -> tuple[Dim, int] | None:
    """(a, b) where a monomial is a//b alone, for an integer b."""
    match monomial:
        case (Apply(function="floordiv", a=a, b=int(b)),) if b >= 1:
            return a, b
        case _:
            return None


def _bound_by_terms(terms: Sequence[tuple[Monomial, int]]) -> int | None:
    total = 0
    for monomial, c in terms:
        value = c
        for atom in monomial:
            bound = least = _atom_bound(atom)
            if c < 0:
                bound = _atom_upper_bound(atom)
            if bound is None or (len(monomial) > 1 and (least is None or least < 0)):
                return None
            value *= bound
        total += value
    return total


def _upper_bound(dim: Dim) -> int | None:
    low = lower_bound(mul(dim, -1))
    return None if low is None else -low


def _atom_upper_bound(atom: Atom) -> int | None:
    """A value that an atom is never above."""
    if isinstance(atom, Symbol):
        return atom.range[1]
    match atom.function:
        case "max":
            a, b = _upper_bound(atom.a), _upper_bound(atom.b)
            return max(a, b) if a is not None and b is not None else None
        case "min":
            found = (_upper_bound(atom.a), _upper_bound(atom.b))
            return min((x for x in found if x is not None), default=None)
        case "mod":
            b = _upper_bound(atom.b)
            return b - 1 if b is not None and (lower_bound(atom.b) or 0) > 0 else None
        case _:
            a, b = _upper_bound(atom.a), lower_bound(atom.b)
            if a is None or b is None or b < 1:
                return None
            return a // b if isinstance(atom.b, int) else max(a, 0)


def _atom_bound(atom: Atom) -> int | None:
    if isinstance(atom, Symbol):
        return atom.range[0]
    a, b = lower_bound(atom.a), lower_bound(atom.b)
    match atom.function:
        case "max":
            return max((x for x in (a, b) if x is not None), default=None)
        case "min":
            return min(a, b) if a is not None and b is not None else None
        case "mod":
            return 0 if b is not None and b > 0 else None
        case _ if isinstance(atom.b, int):
            return a // atom.b if a is not None and atom.b > 0 else None
        case _:
            return 0 if a is not None and a >= 0 and b is not None and b > 0 else None


def dims_equal(a: Dim, b: Dim) -> bool:
    """Whether a == b for every value of the symbols; raises DimUnknown when it depends on them."""
    if a == b:
        return True
    difference = add(a, mul(b, -1))
    if isinstance(difference, int):
        return False
    low, high = lower_bound(difference), lower_bound(mul(difference, -1))
    if (low is not None and low > 0) or (high is not None and high > 0):
        return False
    return _undecided(DimUnknown(a, b, "=="))


def broadcast_dim(a: Dim, b: Dim) -> Dim | None:
    """The extent to which two broadcast, None where there is none; raises DimUnknown as above."""
    if a == 1 or b == 1:
        return b if a == 1 else a
    if dims_equal(a, b):
        return a
    # No symbol equals 0, but the one beside it may be 1.
    return 0 if (a == 0 and dims_equal(b, 1)) or (b == 0 and dims_equal(a, 1)) else None


def is_multiple(a: Dim, b: Dim) -> bool:
    """Whether a is a multiple of b; raises DimUnknown when it depends on the symbols."""
    return dims_equal(mod(a, b), 0)


def at_least(a: Dim, b: Dim, *, expected: bool = False) -> bool:
    """Whether a >= b for every value of the symbols; raises DimUnknown when it depends on them.

    Args:
        a: The left side.
        b: The right side.
        expected: Whether a program that was traced for declared extents is for those where it is
            so: what is not so is an error, or unusual.
    """
    low = lower_bound(add(a, mul(b, -1)))
    if low is not None and low >= 0:
        return True
    high = lower_bound(add(b, mul(a, -1)))
    if high is not None and high > 0:
        return False
    return _undecided(DimUnknown(a, b, ">=", expected))


def is_empty(extent: Dim) -> bool:
    """Whether an extent is 0; raises DimUnknown when it depends on the symbols."""
    return not at_least(extent, 1, expected=True)


_answer: ContextVar[Callable[[DimUnknown], bool] | None] = ContextVar("dlc.answer", default=None)


@contextmanager
def answering(answer: Callable[[DimUnknown], bool]) -> Generator[None]:
    """Has `answer` decide comparisons that depend on the symbols; it may raise what it is given."""
    token = _answer.set(answer)
    try:
        yield
    finally:
        _answer.reset(token)


@contextmanager
def proving() -> Generator[None]:
    """Has comparisons that depend on the symbols raise DimUnknown, where one can do without."""

    def refuse(unknown: DimUnknown) -> bool:
        raise unknown

    with answering(refuse):
        yield


def _undecided(unknown: DimUnknown) -> bool:
    answer = _answer.get()
    if answer is None:
        raise as_told(unknown)
    return answer(unknown)


_told: list[Callable[[DimUnknown], DimUnknown]] = []


def tell_unknown_by(tell: Callable[[DimUnknown], DimUnknown]) -> None:
    """Sets what makes of each `DimUnknown` that is raised the one that says more, or itself."""
    _told[:] = [tell]


def as_told(unknown: DimUnknown) -> DimUnknown:
    """What to raise for it."""
    return _told[0](unknown) if _told else unknown


FUNCTIONS: dict[str, Callable[[Dim, Dim], Dim]] = {
    "floordiv": floordiv,
    "mod": mod,
    "max": maximum,
    "min": minimum,
}
"""The functions of dims by name."""
_OF_INTEGERS: dict[str, Callable[[int, int], int]] = {
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "max": max,
    "min": min,
}


def apply_function(function: str, a: Dim, b: Dim) -> Dim:
    """`floordiv`, `mod`, `max` or `min` by name; KeyError for another name."""
    return FUNCTIONS[function](a, b)


def substitute(dim: Dim, values: Mapping[str, Dim]) -> Dim:
    """`dim` with symbols replaced; symbols not in `values` stay."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for monomial, c in dim.terms:
        term: Dim = c
        for atom in monomial:
            if isinstance(atom, Symbol):
                term = mul(term, values.get(atom.name, DimExpr((((atom,), 1),))))
            else:
                a, b = substitute(atom.a, values), substitute(atom.b, values)
                term = mul(term, apply_function(atom.function, a, b))
        total = add(total, term)
    return total


def evaluate(dim: Dim, values: Mapping[str, int]) -> int:
    """The integer that `dim` is for these values of its symbols; KeyError for a missing one."""
    known: dict[Atom, int] = {}  # the atoms of large formulas have parts in common

    def value(dim: Dim) -> int:
        if not isinstance(dim, DimExpr):
            return dim
        total = 0
        for monomial, c in dim.terms:
            term = c
            for atom in monomial:
                if atom not in known:
                    known[atom] = (
                        values[atom.name]
                        if isinstance(atom, Symbol)
                        else _OF_INTEGERS[atom.function](value(atom.a), value(atom.b))
                    )
                term *= known[atom]
            total += term
        return total

    return value(dim)


_NO_SYMBOLS: frozenset[str] = frozenset()


def symbols_of(dim: Dim) -> frozenset[str]:
    """The names of the symbols in `dim`."""
    if isinstance(dim, int):
        return _NO_SYMBOLS
    if dim._symbols is None:
        dim._symbols = frozenset(_symbols_in(dim))
    return dim._symbols


def _symbols_in(dim: DimExpr) -> set[str]:
    names: set[str] = set()
    for monomial, _ in dim.terms:
        for atom in monomial:
            if isinstance(atom, Symbol):
                names.add(atom.name)
            else:
                names |= symbols_of(atom.a) | symbols_of(atom.b)
    return names


def ranges_of(dim: Dim) -> Iterator[tuple[str, Range]]:
    """The symbols in `dim` with their ranges, each as often as it stands there."""
    for monomial, _ in dim.terms if isinstance(dim, DimExpr) else ():
        for atom in monomial:
            if isinstance(atom, Symbol):
                yield atom.name, atom.range
            else:
                yield from ranges_of(atom.a)
                yield from ranges_of(atom.b)


def narrowed(
    dim: Dim, values: Mapping[str, int] | None, ranges: Mapping[str, Range]
) -> dict[str, Range] | None:
    """Ranges of the symbols in which `dim` is proved to be 0 or more.

    They are as wide as they can be with either a larger least value for all symbols or a smaller
    largest one.

    Args:
        dim: What is to be 0 or more.
        values: Values that the ranges must contain; for any where it is None.
        ranges: What the ranges must be within; those of other symbols are `ANY`.

    Returns:
        The ranges of its symbols; None where there are no such.
    """
    before = {n: ranges.get(n, ANY) for n in symbols_of(dim)}

    def with_least(bound: int) -> dict[str, Range]:
        new: dict[str, Range] = {}
        for n, (low, high) in before.items():
            most = high if values is None else values[n]
            new[n] = (max(low, bound if most is None else min(bound, most)), high)
        return new

    def with_most(bound: int) -> dict[str, Range]:
        new: dict[str, Range] = {}
        for n, (low, high) in before.items():
            most = max(bound, low if values is None else values[n])
            new[n] = (low, most if high is None else min(high, most))
        return new

    def proved(new: Mapping[str, Range]) -> bool:
        low = lower_bound(substitute(dim, {n: symbol(n, r) for n, r in new.items()}))
        return low is not None and low >= 0

    ways = [(with_least, _LARGEST, 0), (with_most, 0, _LARGEST)]
    if values is None:
        large = {n: _LARGEST if high is None else high for n, (_, high) in before.items()}
        if evaluate(dim, large) >= 0:  # only a proof is missing for large values
            ways.pop()
    for make, narrow, wide in ways:
        near, far = narrow, wide
        if not proved(make(near)):
            continue
        while abs(near - far) > 1:  # `near` is proved, `far` is not
            middle = (near + far) // 2
            near, far = (middle, far) if proved(make(middle)) else (near, middle)
        return make(near)
    return None


def dim_text(dim: Dim) -> str:
    """The text form: `8`, `n`, `2*n+1`, `floordiv(n,2)`."""
    if not isinstance(dim, DimExpr):
        return str(dim)
    if dim._text is None:
        dim._text = _text(dim)
    return dim._text


def _text(dim: DimExpr) -> str:
    parts: list[str] = []
    for monomial, c in dim.terms:
        factors = [str(a) for a in monomial]
        if not monomial or abs(c) != 1:
            factors.insert(0, str(abs(c)))
        parts.append(("-" if c < 0 else "+" if parts else "") + "*".join(factors))
    return "".join(parts)
