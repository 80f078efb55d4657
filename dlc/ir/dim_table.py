"""Dims as a table in which each atom stands once, for formulas with large parts in common.

A table is [atoms, dims], made of lists, numbers and strings. An atom is the name of a symbol, or
[function, dim, dim]; a dim is an integer, or a list of terms, each of them a coefficient followed
by the numbers of the atoms that are multiplied with it. Atoms refer to those before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.ir.dims import FUNCTIONS, Apply, Atom, Dim, DimExpr, Symbol


def dims_to_table(dims: Sequence[Dim]) -> list[Any]:
    """The table of some dims.

    Example:
        >>> dims_to_table([8, symbol("n") + 1])
        [['n'], [8, [[1, 0], [1]]]]
    """
    numbers: dict[Atom, int] = {}
    atoms: list[Any] = []

    def number(atom: Atom) -> int:
        if atom not in numbers:
            entry: Any = atom.name if isinstance(atom, Symbol) else None
            if isinstance(atom, Apply):
                entry = [atom.function, row(atom.a), row(atom.b)]
            numbers[atom] = len(atoms)
            atoms.append(entry)
        return numbers[atom]

    def row(dim: Dim) -> Any:
        if not isinstance(dim, DimExpr):
            return int(dim)
        return [[c, *(number(atom) for atom in monomial)] for monomial, c in dim.terms]

    return [atoms, [row(d) for d in dims]]


def dims_from_table(table: Any) -> list[Dim]:
    """The dims of a table.

    Raises:
        ValueError, TypeError, IndexError: for what is not one.
    """
    entries, rows = table
    atoms: list[Atom] = []

    def dim(row: Any) -> Dim:
        if isinstance(row, int):
            return row
        terms = tuple((tuple(atoms[k] for k in at), int(c)) for c, *at in row)
        return DimExpr(terms)

    for entry in entries:
        if isinstance(entry, str):
            atoms.append(Symbol(entry))
            continue
        function, a, b = entry
        if function not in FUNCTIONS:
            raise ValueError(f"a function {function!r} of dims")
        atoms.append(Apply(function, dim(a), dim(b)))
    return [dim(row) for row in rows]
