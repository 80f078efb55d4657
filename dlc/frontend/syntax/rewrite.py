"""Statements as calls of operators, with blocks as functions.

    if x > 0:                 def then():
        y = x                     nonlocal y
    else:               ->        y = x
        y = -x                def otherwise():
                                  nonlocal y
                                  y = -x
                              if_statement(x > 0, then, otherwise, ("y",), ())

The operators reach the variables through the cells of these functions. Which variables are worth
carrying out of a block is known by liveness: statements are rewritten from the last one to the
first, with the names that are read later.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from dlc.frontend.syntax.build import (
    MARK,
    at,
    call_runtime,
    constant,
    copy_tree,
    delayed,
    load,
    no_arguments,
    text_tuple,
)
from dlc.frontend.syntax.expressions import Expressions, never_tensor
from dlc.frontend.syntax.jumps import LoweredFor, lower_function
from dlc.frontend.syntax.liveness import Names, exposed, read_by
from dlc.frontend.syntax.matches import lower_matches
from dlc.frontend.syntax.names import Effects, effects
from dlc.frontend.syntax.source import Definition
from dlc.ir.record import NamedTuple

ITEM = "_dlc_item"


class Block(NamedTuple):
    """Statements, and the names that are read in them or after them before they are bound."""

    statements: list[ast.stmt]
    live: Names


class Scope(NamedTuple):
    """What the names of a function are.

    always: names that may be read at any time, by functions defined inside or from outside.
    shared: names that may be bound at any time, by functions defined inside.
    """

    globals: Names
    outer: Names
    always: Names
    shared: Names


def rewrite_function(
    node: Definition, class_name: str | None = None
) -> ast.FunctionDef | ast.Lambda:
    """The definition (which is changed) with its control flow as calls; defaults are left out.

    Args:
        node: The definition.
        class_name: The class around it, of whose name private names get a part.
    """
    _strip(node.args)
    arguments = [*node.args.posonlyargs, *node.args.args]
    expressions = Expressions(arguments[0].arg if arguments else None)
    if isinstance(node, ast.Lambda):
        node.body = expressions.visit(node.body)
        return node
    node.body = lower_matches(node.body)
    found = effects(node.body)
    outer = frozenset(found.outer)
    body = lower_function(node.body)
    own = effects(body).writes - outer
    shared = found.shared & (own | outer | {a.arg for a in all_parameters(node.args)})
    always = frozenset(found.captured) | outer | shared
    scope = Scope(frozenset(found.globals), outer, always, frozenset(shared))
    written = sorted(own)
    block = Rewriter(scope, expressions, class_name).block(body, frozenset())
    node.body = [*_declarations(scope, found, node), *_bindings(written, node), *block.statements]
    node.decorator_list = []
    node.returns = None
    return node


def _strip(a: ast.arguments) -> None:
    """Leaves out what the function object has: defaults and annotations."""
    nothing = ast.Constant(None, lineno=0, col_offset=0)
    a.defaults = [nothing for _ in a.defaults]
    a.kw_defaults = [nothing if d is not None else None for d in a.kw_defaults]
    for arg in all_parameters(a):
        arg.annotation = None


def all_parameters(a: ast.arguments) -> list[ast.arg]:
    """The parameters, of all kinds."""
    several = [x for x in (a.vararg, a.kwarg) if x is not None]
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *several]


def _declarations(scope: Scope, found: Effects, place: ast.AST) -> list[ast.stmt]:
    """`global` and `nonlocal`, which stood anywhere in the function."""
    done: list[ast.stmt] = []
    if scope.globals:
        done.append(at(ast.Global(sorted(scope.globals)), place))
    if scope.outer - scope.globals:
        done.append(at(ast.Nonlocal(sorted(scope.outer - scope.globals)), place))
    return done


def _bindings(names: Sequence[str], place: ast.AST) -> list[ast.stmt]:
    """Makes names those of this function, where only functions inside bind them."""
    if not names:
        return []
    targets = [ast.Name(n, ast.Store()) for n in names]
    never = ast.If(ast.Constant(False), [ast.Assign(list(targets), ast.Constant(None))], [])
    return [at(never, place)]


class Rewriter:
    """The statements of one function."""

    def __init__(self, scope: Scope, expressions: Expressions, class_name: str | None) -> None:
        self.scope = scope
        self.class_name = class_name
        self.expressions = expressions
        self.always = scope.always
        self.guarded = False  # inside `try`
        self.count = 0

    def block(self, statements: Sequence[ast.stmt], live: Names) -> Block:
        """Rewrites a block after which `live` are read."""
        done: list[list[ast.stmt]] = []
        for s in reversed(statements):
            new, live = self.statement(s, live | self.always)
            done.append(new)
        return Block([s for new in reversed(done) for s in new], live | self.always)

    def statement(self, s: ast.stmt, live: Names) -> Block:
        """Rewrites a statement."""
        if isinstance(s, ast.If):
            return self.if_(s, live)
        if isinstance(s, ast.While):
            return self.while_(s, live)
        if isinstance(s, ast.For):
            return self.for_(s, live)
        if isinstance(s, (ast.With, ast.AsyncWith)):
            body = self.block(s.body, live)
            s.body = body.statements
            items = effects(s.items)
            s.items = [self.expressions.visit(i) for i in s.items]
            return Block([s], body.live | items.reads)
        if isinstance(s, ast.Try):
            return self.try_(s, live)
        if isinstance(s, ast.Match):
            return self.match(s, live)
        return self.simple(s, live)

    def simple(self, s: ast.stmt, live: Names) -> Block:
        """A statement without blocks."""
        if isinstance(s, (ast.Global, ast.Nonlocal)):
            return Block([], live)
        found = effects(s)
        live = (live - found.writes) | found.reads | found.captured
        if isinstance(s, ast.Assert):
            s.test = call_runtime("asserted", [self.expressions.test(s.test)], s.test)
            return Block([s], live)
        new: ast.stmt = self.expressions.visit(s)
        if isinstance(s, ast.Raise) and not self.guarded:
            return Block([at(ast.Expr(call_runtime("raising", [], s)), s), new], live)
        return Block([new], live)

    # Statements with blocks that stay.

    def try_(self, s: ast.Try, live: Names) -> Block:
        """Any statement inside may go on in a handler, or in `finally`."""
        final = self.block(s.finalbody, live)
        handlers: Names = frozenset()
        for h in s.handlers:
            handled = self.block(h.body, final.live)
            h.body = handled.statements
            caught = effects(h.type).reads if h.type is not None else set[str]()
            handlers |= handled.live | caught
        orelse = self.block(s.orelse, final.live)
        before = self.always, self.guarded
        self.always, self.guarded = self.always | handlers | final.live, True
        body = self.block(s.body, orelse.live)
        self.always, self.guarded = before
        s.body, s.orelse, s.finalbody = body.statements, orelse.statements, final.statements
        return Block([s], body.live)

    def match(self, s: ast.Match, live: Names) -> Block:
        """Patterns that are no values stay Python's."""
        total = live
        for case in s.cases:
            body = self.block(case.body, live)
            case.body = body.statements
            total |= body.live | effects([case.pattern]).reads
            if case.guard is not None:
                total |= effects(case.guard).reads
                case.guard = self.expressions.test(case.guard)
        total |= effects(s.subject).reads
        s.subject = self.expressions.visit(s.subject)
        return Block([s], total)

    # Statements that become calls.

    def effects(self, nodes: Sequence[ast.AST]) -> Effects:
        """What blocks read and write, with what functions may bind that they call."""
        found = effects(nodes)
        found.writes |= self.scope.shared
        return found

    def if_(self, s: ast.If, live: Names) -> Block:
        """An `if`."""
        found = self.effects([*s.body, *s.orelse])
        body, orelse = self.block(s.body, live), self.block(s.orelse, live)
        before = body.live | (orelse.live if s.orelse else live) | read_by(s.test)
        if never_tensor(s.test):
            s.test = self.expressions.test(s.test)
            s.body, s.orelse = body.statements, orelse.statements
            return Block([s], before)
        definitions, functions = self._functions(
            s, found, {"then": body.statements, "otherwise": orelse.statements}
        )
        test = self.expressions.test(s.test)
        call = [test, *functions, *self._state(found, live, s)]
        return self._called("if_statement", definitions, call, s, before)

    def while_(self, s: ast.While, live: Names) -> Block:
        """A `while`, whose `else` has been lowered."""
        found = self.effects([s.test, *s.body])
        head = live | read_by(s.test) | exposed(s.body)
        block = self.block(s.body, head)
        test = at(ast.Return(self.expressions.test(s.test)), s.test)
        definitions, functions = self._functions(
            s, found, {"test": [test], "body": block.statements}
        )
        call = [*functions, *self._state(found, head, s)]
        return self._called("while_statement", definitions, call, s, head)

    def for_(self, s: ast.For, live: Names) -> Block:
        """A `for`, whose `else` has been lowered."""
        go_on = s.go_on if isinstance(s, LoweredFor) else None
        bind = at(ast.Assign([s.target], load(ITEM, s.target)), s.target)
        body = [bind, *s.body]
        found = self.effects(body)
        head = live | read_by(go_on) | (exposed(body) - {ITEM})
        block = self.block(body, head)
        definitions, functions = self._functions(s, found, {"body": block.statements}, [ITEM])
        iterated = read_by(s.iter)
        done = constant(None, s) if go_on is None else delayed(go_on, s)
        call = [self.expressions.visit(s.iter), *functions, done, *self._state(found, head, s)]
        return self._called("for_statement", definitions, call, s, head | iterated)

    def _called(
        self,
        name: str,
        definitions: list[ast.stmt],
        arguments: list[ast.expr],
        place: ast.stmt,
        live: Names,
    ) -> Block:
        call = at(ast.Expr(call_runtime(name, arguments, place)), place)
        return Block([*definitions, call], live)

    def _functions(
        self,
        place: ast.stmt,
        found: Effects,
        blocks: dict[str, list[ast.stmt]],
        parameters: Sequence[str] = (),
    ) -> tuple[list[ast.stmt], list[ast.expr]]:
        """Definitions of functions with these blocks, and how to name them; None for empty ones."""
        self.count += 1
        declared: list[ast.stmt] = []
        written = found.writes - self.scope.globals
        if written:
            declared.append(at(ast.Nonlocal(sorted(written)), place))
        if self.scope.globals:
            declared.append(at(ast.Global(sorted(self.scope.globals)), place))
        definitions: list[ast.stmt] = []
        names: list[ast.expr] = []
        for kind, statements in blocks.items():
            if not statements:
                names.append(constant(None, place))
                continue
            arguments = no_arguments(MARK)
            arguments.args = [ast.arg(p) for p in parameters]
            name = f"_dlc_{kind}_{self.count}"
            definition = ast.FunctionDef(name, arguments, [*declared, *statements], [])
            definitions.append(at(definition, place))
            names.append(load(name, place))
        return definitions, names

    def _private(self, name: str) -> str:
        """An identifier as the compiler knows it inside the class: `__x` is `_C__x`."""
        if self.class_name is None or not name.startswith("__") or name.endswith("__"):
            return name
        return f"_{self.class_name.lstrip('_')}{name}"

    def _listed(self, names: Iterable[str], place: ast.AST) -> ast.expr:
        return text_tuple([self._private(n) for n in sorted(names)], place)

    def _state(self, found: Effects, live: Names, place: ast.stmt) -> list[ast.expr]:
        """What the blocks change, of what is read later: names, and attributes of objects."""
        mutated = {p for p in found.mutated if "." not in p}
        names = (found.writes - self.scope.globals) | mutated
        paths: list[ast.expr] = []
        for path in sorted({*found.stores, *(p for p in found.mutated if "." in p)}):
            node = found.stores.get(path) or found.mutated[path]
            assert isinstance(node, ast.Attribute)
            if path.partition(".")[0] not in found.writes:
                paths.append(_path(path, node.value, self._private(node.attr), place))
        for name in map(self._private, sorted(found.writes & self.scope.globals)):
            paths.append(_path(name, ast.Constant(None), name, place))  # noqa: PERF401
        listed = at(ast.Tuple(paths, ast.Load()), place)
        marks = [found.mutated, names - live - mutated]
        return [self._listed(names, place), listed, *(self._listed(m, place) for m in marks)]


def _path(text: str, base: ast.expr, name: str, place: ast.stmt) -> ast.expr:
    parts = [ast.Constant(text), delayed(copy_tree(base), place), ast.Constant(name)]
    return at(ast.Tuple(parts, ast.Load()), place)
