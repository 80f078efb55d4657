"""Which names statements read before they bind them; blocks are left at their end only."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from dlc.frontend.syntax.names import effects

Names = frozenset[str]
NO_NAMES: Names = frozenset()


def exposed(statements: Sequence[ast.stmt], live: Names = NO_NAMES) -> Names:
    """The names that are live before statements after which `live` are."""
    for s in reversed(statements):
        live = _before(s, live)
    return live


def read_by(node: ast.AST | None) -> Names:
    """The names that an expression reads, also in functions that it makes."""
    if node is None:
        return NO_NAMES
    found = effects(node)
    return frozenset(found.reads | found.captured)


def _before(s: ast.stmt, live: Names) -> Names:
    if isinstance(s, ast.If):
        return exposed(s.body, live) | exposed(s.orelse, live) | read_by(s.test)
    if isinstance(s, ast.While):
        return live | exposed(s.body) | read_by(s.test)
    if isinstance(s, ast.For):
        inside = exposed(s.body) - effects(s.target).writes
        return live | inside | read_by(s.iter) | read_by(s.target)
    if isinstance(s, (ast.With, ast.AsyncWith)):
        live = exposed(s.body, live)
        for item in s.items:
            live |= read_by(item)
        return live
    found = effects(s)
    if isinstance(s, (ast.Try, ast.Match, ast.AsyncFor)):
        return live | found.reads | found.captured  # any part of it may be left out
    return (live - found.writes) | found.reads | found.captured
