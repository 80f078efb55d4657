"""Proves that different iterations write different elements, from the indices of a store.

Each index is a polynomial over axes. Read as a number in mixed radix, it fixes the axes in it:
`4*n+m` with m < 4 fixes both. `x/c` and `x%c` together fix x. A store is injective when its indices
fix all axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dlc.codegen.index_math import (
    IndexMath,
    axis_name,
    block_name,
    is_varying,
    is_varying_name,
    term,
    terms_of,
)
from dlc.ir.dims import Apply, Atom, Dim, Symbol, add, lower_bound, mul, symbols_of
from dlc.ir.scalar import Axis, Expr


def is_injective(
    ix: Iterable[Expr], axes: Iterable[Axis], ordered: Iterable[Axis], tile: Iterable[str]
) -> bool:
    """Whether no two iterations have the same indices, as far as can be proved.

    Args:
        ix: The indices of a store.
        axes: The axes to tell apart; a blocked one by its block number, unless the store is of its
            values, which are in `tile` or, one by one, in `ordered`.
        ordered: Axes of enclosing loops, whose iterations may write the same element in turn.
        tile: The names of the axes along which the store itself runs.
    """
    math = IndexMath()
    wanted: set[str] = set()
    ordered = list(ordered)
    by_value = {*tile, *(a.name for a in ordered)}
    for axis in axes:
        math.declare(axis)
        closed = axis.block is not None and axis.name not in by_value
        if not isinstance(axis.extent, int) or axis.extent > 1:
            wanted.add((block_name if closed else axis_name)(axis.name))
    for axis in ordered:
        math.declare(axis)
    equations = [math.polynomial(e) for e in ix]
    known = _Known(math)
    progress = True
    while progress and not wanted <= known.names:
        progress = sum(map(known.learn, equations)) > 0
        equations += known.recombined()
    return wanted <= known.names


class _Known:
    """The axes and atoms that the indices fix."""

    def __init__(self, math: IndexMath) -> None:
        self.math = math
        self.names: set[str] = set()
        self.atoms: set[Atom] = set()
        self._done: set[Atom] = set()

    def has(self, item: Atom) -> bool:
        """Whether an atom is fixed."""
        if isinstance(item, Symbol):
            return not is_varying_name(item.name) or item.name in self.names
        if item in self.atoms:
            return True
        varying = filter(is_varying_name, symbols_of(item.a) | symbols_of(item.b))
        return self.names.issuperset(varying)

    def learn(self, p: Dim) -> bool:
        """Adds what an index with this polynomial fixes; whether that was anything."""
        factors = self.unknown_factors(p)
        if not factors or not _is_mixed_radix(factors, self.extent):
            return False
        for item in factors:
            if isinstance(item, Symbol):
                self.names.add(item.name)
            else:
                self.atoms.add(item)
        return True

    def unknown_factors(self, p: Dim) -> dict[Atom, Dim] | None:
        """The coefficient of each atom that is not fixed; None when p is not linear in them."""
        factors: dict[Atom, Dim] = {}
        for monomial, k in terms_of(p):
            unknown = [a for a in monomial if not self.has(a)]
            if not unknown:
                continue
            others = tuple(a for a in monomial if a is not unknown[0])
            if len(unknown) > 1 or any(map(is_varying, others)):
                return None
            factors[unknown[0]] = add(factors.get(unknown[0], 0), term(others, k))
        return factors

    def extent(self, item: Atom) -> Dim | None:
        """The number of values of an atom, None when it is not known."""
        top = self.math.bound(term((item,), 1), upper=True)
        return None if top is None else add(top, 1)

    def recombined(self) -> list[Dim]:
        """The x of each `x/c` and `x%c` that are both fixed."""
        halves = [a for a in self.atoms - self._done if isinstance(a, Apply)]
        pairs = [a for a in halves if a.function == "floordiv" and self.has(Apply("mod", a.a, a.b))]
        self._done.update(pairs)
        return [a.a for a in pairs]


def _is_mixed_radix(factors: Mapping[Atom, Dim], extent: Callable[[Atom], Dim | None]) -> bool:
    """Whether a sum of atoms with these coefficients has a different value for all their values.

    It has when the coefficients can be ordered so that each exceeds what those before it span.
    """
    left = {item: _absolute(c) for item, c in factors.items()}
    span: Dim = 0
    while left:
        larger = [item for item, c in left.items() if c is not None and _exceeds(c, span)]
        if not larger:
            return False
        smallest = larger[0]
        for item in larger[1:]:
            if _exceeds(add(left[smallest] or 0, 1), left[item]):
                smallest = item
        c, count = left.pop(smallest), extent(smallest)
        if left and (c is None or count is None):
            return False
        span = 0 if c is None or count is None else add(span, mul(c, add(count, -1)))
    return True


def _absolute(c: Dim) -> Dim | None:
    """|c| for a coefficient whose sign is known and that is not 0, else None."""
    for signed in (c, mul(c, -1)):
        if _exceeds(signed, 0):
            return signed
    return None


def _exceeds(a: Dim | None, b: Dim | None) -> bool:
    """Whether a > b is proved."""
    if a is None or b is None:
        return False
    low = lower_bound(add(a, add(mul(b, -1), -1)))
    return low is not None and low >= 0
