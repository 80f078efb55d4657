"""Index expressions as polynomials: strides are coefficients, `/` and `%` simplify by axis ranges.

A polynomial is a `Dim` whose symbols are the kernel's own and those of axes (`@n`), of block
numbers (`#n`) and of index values that are not polynomials, such as loaded integers (`$0`). Axis
and block symbols may be 0, unlike a kernel's own, so the bounds here are not those of
`dlc.ir.dims`.
"""

from __future__ import annotations

from collections.abc import Mapping

from dlc.ir.dims import (
    Apply,
    Atom,
    Dim,
    DimExpr,
    Monomial,
    Symbol,
    add,
    ceildiv,
    floordiv,
    lower_bound,
    mul,
    product,
    symbol,
    symbols_of,
)
from dlc.ir.scalar import Axis, Expr


def axis_name(name: str) -> str:
    """The symbol name that stands for the value of an axis."""
    return "@" + name


def block_name(name: str) -> str:
    """The symbol name that stands for the block number of an axis."""
    return "#" + name


def terms_of(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    """The terms of a polynomial as (monomial, coefficient); those of a constant too."""
    if isinstance(dim, DimExpr):
        return dim.terms
    return (((), dim),) if dim else ()


def term(monomial: Monomial, coefficient: int) -> Dim:
    """The polynomial of a single term."""
    if not coefficient:
        return 0
    return DimExpr(((monomial, coefficient),)) if monomial else coefficient


def atom(function: str, a: Dim, b: Dim) -> Dim:
    """An application that is kept as it is."""
    return DimExpr((((Apply(function, a, b),), 1),))


def is_varying_name(name: str) -> bool:
    """Whether a symbol name stands for an axis, a block number or an index value."""
    return name[0] in "@#$"


def is_varying(item: Atom) -> bool:
    """Whether an atom depends on axes, block numbers or index values."""
    if isinstance(item, Symbol):
        return is_varying_name(item.name)
    return any(map(is_varying_name, symbols_of(item.a) | symbols_of(item.b)))


def split_term(monomial: Monomial) -> tuple[Monomial, Monomial]:
    """The factors of a monomial that are run-time extents, and those that vary."""
    fixed = tuple(a for a in monomial if not is_varying(a))
    return fixed, tuple(a for a in monomial if is_varying(a))


def mentions(item: Atom, name: str) -> bool:
    """Whether an atom contains the symbol `name`."""
    if isinstance(item, Symbol):
        return item.name == name
    return name in symbols_of(item.a) or name in symbols_of(item.b)


def coefficient(polynomial: Dim, name: str) -> tuple[Dim, Dim] | None:
    """(c, rest) with polynomial = c*name + rest, both free of `name`; None when there are none."""
    c: Dim = 0
    rest: Dim = 0
    for monomial, k in terms_of(polynomial):
        hits = [a for a in monomial if mentions(a, name)]
        if not hits:
            rest = add(rest, term(monomial, k))
            continue
        if len(hits) > 1 or not isinstance(hits[0], Symbol):
            return None
        others = tuple(a for a in monomial if a is not hits[0])
        if any(map(is_varying, others)):
            return None
        c = add(c, term(others, k))
    return c, rest


def stride_along(offset: Dim, axis: str) -> Dim | None:
    """The coefficient of an axis in an offset; None when it is not one run-time constant."""
    found = coefficient(offset, axis_name(axis))
    if found is None or any(map(is_varying_name, symbols_of(found[0]))):
        return None
    return found[0]


class IndexMath:
    """Polynomials of index expressions, given the exclusive upper bounds of axes and blocks."""

    def __init__(self) -> None:
        self.extents: dict[str, Dim] = {}
        self.opaque: dict[str, Expr] = {}
        self._names: dict[Expr, str] = {}
        self._memo: dict[Expr, Dim] = {}

    def declare(self, axis: Axis) -> None:
        """Makes an axis known; names are unique within a kernel."""
        self.extents[axis_name(axis.name)] = axis.extent
        if axis.block is not None:
            self.extents[block_name(axis.name)] = blocks_of(axis)

    def polynomial(self, e: Expr) -> Dim:
        """The polynomial of an i64 expression; what is not polynomial becomes a `$` symbol."""
        known = self._memo.get(e)
        if known is None:
            known = self._memo[e] = self._polynomial(e)
        return known

    def _polynomial(self, e: Expr) -> Dim:
        match e.op:
            case "const":
                return int(e.attr)
            case "dim":
                return e.attr
            case "index":
                return symbol(axis_name(e.attr))
            case "block":
                return symbol(block_name(e.attr))
            case "neg":
                return mul(self.polynomial(e.args[0]), -1)
            case "add" | "sub" | "mul" | "floordiv" | "mod":
                return self._binary(e)
            case _:
                return self._opaque(e)

    def _binary(self, e: Expr) -> Dim:
        a, b = (self.polynomial(x) for x in e.args)
        match e.op:
            case "add":
                return self.recombine(add(a, b))
            case "sub":
                return self.recombine(add(a, mul(b, -1)))
            case "mul":
                return mul(a, b)
            case _:
                low = None if any(map(is_varying_name, symbols_of(b))) else lower_bound(b)
                if low is None or low < 1:
                    return self._opaque(e)
                return self.floordiv(a, b) if e.op == "floordiv" else self.mod(a, b)

    def _opaque(self, e: Expr) -> Dim:
        name = self._names.get(e)
        if name is None:
            name = self._names[e] = f"${len(self._names)}"
            self.opaque[name] = e
        return symbol(name)

    def floordiv(self, a: Dim, b: Dim) -> Dim:
        """a // b for b >= 1."""
        whole, rest = self._divide(a, b)
        if self.within(rest, b):
            return whole
        shared = self._shared_factor(rest, b)
        if shared is not None:
            quotient, divisor, _, _ = shared
            return add(whole, self.floordiv(quotient, divisor))
        inner = _single_apply(rest, "floordiv")
        if inner is not None:
            return add(whole, self.floordiv(inner.a, mul(inner.b, b)))
        return add(whole, atom("floordiv", rest, b))

    def mod(self, a: Dim, b: Dim) -> Dim:
        """a % b for b >= 1."""
        _, rest = self._divide(a, b)
        if self.within(rest, b):
            return rest
        shared = self._shared_factor(rest, b)
        if shared is not None:
            quotient, divisor, factor, low = shared
            return add(mul(self.mod(quotient, divisor), factor), low)
        return atom("mod", rest, b)

    def _divide(self, a: Dim, b: Dim) -> tuple[Dim, Dim]:
        """(q, r) with a = q*b + r, q taking each term that b divides exactly."""
        whole: Dim = 0
        rest: Dim = 0
        for monomial, k in terms_of(a):
            part = term(monomial, k)
            if not monomial and isinstance(b, int):
                whole, rest = add(whole, k // b), add(rest, k % b)
                continue
            quotient = floordiv(part, b)
            if mul(quotient, b) == part:
                whole = add(whole, quotient)
            else:
                rest = add(rest, part)
        return whole, rest

    def _shared_factor(self, a: Dim, b: Dim) -> tuple[Dim, Dim, Dim, Dim] | None:
        """(q, b/g, g, r) with a = g*q + r and 0 <= r < g for a factor g > 1 of b, or None."""
        for monomial, k in terms_of(a):
            fixed, varying = split_term(monomial)
            factor = term(fixed, abs(k))
            if not varying or factor == 1:
                continue
            divisor = floordiv(b, factor)
            if mul(divisor, factor) != b:
                continue
            quotient, low = self._divide(a, factor)
            if quotient != 0 and self.within(low, factor):
                return quotient, divisor, factor, low
        return None

    def recombine(self, p: Dim) -> Dim:
        """`c*b*(x//b) + c*(x%b)` becomes `c*x`."""
        for monomial, k in terms_of(p):
            for item in monomial:
                if not (isinstance(item, Apply) and item.function == "mod"):
                    continue
                others = term(_without(monomial, item), k)
                partner = mul(mul(others, item.b), atom("floordiv", item.a, item.b))
                present = dict(terms_of(p))
                if all(present.get(m) == c for m, c in terms_of(partner)):
                    removed = add(p, mul(add(partner, term(monomial, k)), -1))
                    return self.recombine(add(removed, mul(others, item.a)))
        return p

    def within(self, p: Dim, high: Dim) -> bool:
        """Whether 0 <= p < high is proved for all values of the axes in their ranges."""
        return self.at_least_zero(p) and self.below(p, high)

    def at_least_zero(self, p: Dim) -> bool:
        """Whether p >= 0 is proved."""
        low = self.bound(p, upper=False)
        bound = None if low is None else lower_bound(low)
        return bound is not None and bound >= 0

    def below(self, p: Dim, high: Dim) -> bool:
        """Whether p < high is proved."""
        top = self.bound(p, upper=True)
        gap = None if top is None else lower_bound(add(add(high, -1), mul(top, -1)))
        return gap is not None and gap >= 0

    def bound(self, p: Dim, *, upper: bool) -> Dim | None:
        """A bound of p over the axes' ranges, in the kernel's symbols; None when none is known."""
        total: Dim = 0
        for monomial, k in terms_of(p):
            fixed, varying = split_term(monomial)
            if not varying:
                total = add(total, term(monomial, k))
                continue
            low = lower_bound(term(fixed, 1))
            tops = [self._atom_top(a) for a in varying]
            if low is None or low < 0 or any(t is None for t in tops):
                return None
            if (k > 0) == upper:
                total = add(total, mul(term(fixed, k), product(t for t in tops if t is not None)))
        return total

    def _atom_top(self, item: Atom) -> Dim | None:
        """The largest value of an atom that is never negative; None when that is not known."""
        if isinstance(item, Symbol):
            extent = self.extents.get(item.name)
            return None if extent is None else add(extent, -1)
        if item.function == "mod":
            return add(item.b, -1)
        if item.function == "floordiv" and self.at_least_zero(item.a):
            top = self.bound(item.a, upper=True)
            return None if top is None else floordiv(top, item.b)
        return None


def blocks_of(axis: Axis) -> Dim:
    """The number of blocks of a blocked axis."""
    assert axis.block is not None
    return ceildiv(axis.extent, axis.block)


def evaluate_at(p: Dim, values: Mapping[str, Dim]) -> Dim:
    """The polynomial with some of its symbols replaced by polynomials."""
    total: Dim = 0
    for monomial, k in terms_of(p):
        value: Dim = k
        for item in monomial:
            if isinstance(item, Symbol):
                value = mul(value, values.get(item.name, term((item,), 1)))
            else:
                a, b = evaluate_at(item.a, values), evaluate_at(item.b, values)
                value = mul(value, atom(item.function, a, b))
        total = add(total, value)
    return total


def _single_apply(p: Dim, function: str) -> Apply | None:
    parts = terms_of(p)
    if len(parts) != 1 or parts[0][1] != 1 or len(parts[0][0]) != 1:
        return None
    item = parts[0][0][0]
    return item if isinstance(item, Apply) and item.function == function else None


def _without(monomial: Monomial, item: Atom) -> Monomial:
    rest = list(monomial)
    rest.remove(item)
    return tuple(rest)
