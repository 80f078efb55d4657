"""What statements read and write, of a function's own scope."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

# Methods that change a list, a dict or a set.
MUTATORS = frozenset({
    "add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop",
    "popitem", "popleft", "remove", "reverse", "rotate", "setdefault", "sort", "update",
})  # fmt: skip

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def path_of(node: ast.expr) -> str | None:
    """`self.a.b` as text; None for what is no chain of attributes of a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(names)])


class Effects(ast.NodeVisitor):
    """What nodes read and write.

    reads: names that are read, also by functions that are defined here.
    writes: names that are bound or unbound.
    stores: attributes that are bound, as paths.
    mutated: paths of what an item is assigned in, or a mutating method is called on.
    captured: names that a function defined here reads, at any time.
    outer: names that were declared `global` or `nonlocal`.
    shared: names that functions defined here declare `nonlocal`.
    """

    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.stores: dict[str, ast.Attribute] = {}
        self.mutated: dict[str, ast.expr] = {}
        self.captured: set[str] = set()
        self.globals: set[str] = set()
        self.outer: set[str] = set()
        self.shared: set[str] = set()
        self._inside = 0

    def visit_Name(self, node: ast.Name) -> None:
        """A name that is read or bound."""
        if isinstance(node.ctx, ast.Load):
            self.reads.add(node.id)
        elif not self._inside:
            self.writes.add(node.id)
            if isinstance(node.ctx, ast.Del):
                self.reads.add(node.id)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """A target that is read and bound."""
        if isinstance(node.target, ast.Name):
            self.reads.add(node.target.id)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """An attribute that is bound."""
        if not isinstance(node.ctx, ast.Load):
            path = path_of(node)
            if path is not None:
                self.stores[path] = node
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """An item that is assigned."""
        if not isinstance(node.ctx, ast.Load):
            self._mutate(node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """A method that changes its object."""
        f = node.func
        if isinstance(f, ast.Attribute) and f.attr in MUTATORS:
            self._mutate(f.value)
        self.generic_visit(node)

    def _mutate(self, node: ast.expr) -> None:
        while isinstance(node, ast.Subscript):
            node = node.value
        path = path_of(node)
        if path is not None and not self._inside:
            self.mutated[path] = node

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """`name := value`, which binds in the function also from inside a comprehension."""
        self.writes.add(node.target.id)
        self.visit(node.value)

    def visit_Global(self, node: ast.Global) -> None:
        """Names of the module."""
        if self._inside:
            return
        self.globals |= set(node.names)
        self.outer |= set(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        """Names of a function around this one; of a function inside, that it may bind."""
        (self.shared if self._inside else self.outer).update(node.names)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        """Names of modules."""
        for alias in node.names:
            self.writes.add(alias.asname or alias.name.partition(".")[0])

    visit_ImportFrom = visit_Import

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """The name of an exception, which is unbound at the end."""
        if node.name is not None:
            self.writes.add(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        """A name that a pattern binds."""
        if node.name is not None:
            self.writes.add(node.name)
        self.generic_visit(node)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        """The name for the rest of a mapping."""
        if node.rest is not None:
            self.writes.add(node.rest)
        self.generic_visit(node)

    def _scope(self, node: ast.AST) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.writes.add(node.name)
        before = set(self.reads)
        self.reads.clear()
        inside, self._inside = self._inside, self._inside + 1
        self.generic_visit(node)
        self._inside = inside
        self.captured |= self.reads
        self.reads |= before

    visit_FunctionDef = _scope
    visit_AsyncFunctionDef = _scope
    visit_Lambda = _scope
    visit_ClassDef = _scope

    def _comprehension(self, node: ast.AST) -> None:
        inside, self._inside = self._inside, self._inside + 1
        self.generic_visit(node)
        self._inside = inside

    visit_ListComp = _comprehension
    visit_SetComp = _comprehension
    visit_DictComp = _comprehension

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        """What runs when it is asked for items."""
        self._scope(node)


def effects(nodes: ast.AST | Iterable[ast.AST] | None) -> Effects:
    """What a node, or several, read and write."""
    found = Effects()
    for node in [nodes] if isinstance(nodes, ast.AST) else nodes or ():
        found.visit(node)
    return found


def binds_in_expression(node: ast.AST) -> bool:
    """Whether an expression cannot become a function: it binds a name, or suspends."""
    return any(
        isinstance(n, (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)) for n in ast.walk(node)
    )


def own_nodes(statements: Sequence[ast.stmt]) -> Iterable[ast.AST]:
    """All nodes of statements, without those of functions and classes defined there."""
    pending: list[ast.AST] = list(statements)
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, _SCOPES):
            pending += ast.iter_child_nodes(node)
