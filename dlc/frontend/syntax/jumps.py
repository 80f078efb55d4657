"""`break`, `continue` and `return` out of blocks, as flags.

Afterwards blocks are left at their end only, so that each can become a function. Where a branch
surely jumps, what follows the `if` moves into its other branch:

    if c:                     if c:
        return a                  value, returned = a, True
    rest()              ->    else:
    return b                      rest()
                                  value, returned = b, True
                              return value

Otherwise what follows is done only while no flag is set.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from dlc.frontend.syntax.build import (
    assign,
    at,
    call_runtime,
    constant,
    copy_tree,
    load,
)
from dlc.frontend.syntax.source import Unconvertible
from dlc.ir.record import NamedTuple

RETURNED = "_dlc_returned"
VALUE = "_dlc_value"

_Loop = ast.For | ast.While
_LOOPS = (ast.For, ast.While)


class LoweredFor(ast.For):
    """A `for` that goes on while an expression holds after each of its rounds."""

    go_on: ast.expr


class _Flags(NamedTuple):
    """The flags of the loop that statements stand in."""

    broken: str
    continued: str
    again: str


def escapes(statements: Sequence[ast.stmt]) -> frozenset[str]:
    """The kinds of jumps that may leave a block."""
    found: set[str] = set()
    for s in statements:
        if isinstance(s, (ast.Return, ast.Break, ast.Continue)):
            found.add(type(s).__name__)
        elif isinstance(s, (ast.For, ast.While, ast.AsyncFor)):
            found |= escapes(s.body) & {"Return"}
            found |= escapes(s.orelse)
        elif not isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for block in blocks_of(s):
                found |= escapes(block)
    return frozenset(found)


def blocks_of(s: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks inside a compound statement."""
    found: list[list[ast.stmt]] = []
    for name in ("body", "orelse", "finalbody"):
        block = getattr(s, name, None)
        if isinstance(block, list):
            found.append(block)
    parts: list[Any] = [*getattr(s, "handlers", ()), *getattr(s, "cases", ())]
    return found + [part.body for part in parts]


def ends(statements: Sequence[ast.stmt]) -> bool:
    """Whether a block is never left at its end."""
    if not statements:
        return False
    s = statements[-1]
    if isinstance(s, (ast.Return, ast.Break, ast.Continue, ast.Raise)):
        return True
    if isinstance(s, ast.If):
        return ends(s.body) and ends(s.orelse)
    if isinstance(s, ast.While):
        return _is_true(s.test) and "Break" not in escapes(s.body)
    return isinstance(s, ast.With) and ends(s.body)


def _is_true(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and bool(test.value)


def lower_function(body: list[ast.stmt]) -> list[ast.stmt]:
    """The body of a function whose only `return` is its last statement.

    Raises:
        Unconvertible: for a jump out of `finally`, which swallows exceptions.
    """
    lowering = _Lowering()
    *before, last = body
    if isinstance(last, ast.Return) and "Return" not in escapes(before):
        return [*lowering.block(before, None), last]
    if "Return" not in escapes(body):
        return lowering.block(body, None)
    if not ends(body):
        body = [*body, at(ast.Return(constant(None, last)), last)]
    first = body[0]
    lowered = lowering.block(body, None)
    done = ast.copy_location(ast.Return(load(VALUE, body[-1])), body[-1])
    return [assign(RETURNED, constant(False, first), first), *lowered, done]


class _Lowering:
    """The blocks of one function."""

    def __init__(self) -> None:
        self.loops = 0

    def block(self, statements: Sequence[ast.stmt], loop: _Flags | None) -> list[ast.stmt]:
        """A block that is left at its end only."""
        done: list[ast.stmt] = []
        for k, s in enumerate(statements):
            if isinstance(s, (ast.Return, ast.Break, ast.Continue)):
                return done + self.jump(s, loop)
            if escapes([s]):
                return done + self._jumping(s, list(statements[k + 1 :]), loop)
            done += self.statement(s, loop)
        return done or [ast.copy_location(ast.Pass(), statements[0])] if statements else []

    def _jumping(self, s: ast.stmt, rest: list[ast.stmt], loop: _Flags | None) -> list[ast.stmt]:
        """A statement that may jump, and what follows it."""
        kinds = escapes([s])
        if isinstance(s, ast.If):
            s, rest = self._pushed(s, rest)
        done = self.statement(s, loop)
        if rest:
            flags = [load(f, rest[0]) for f in self._flags(kinds, loop)]
            test = call_runtime("none_of", flags, rest[0])
            done.append(_guarded(test, self.block(rest, loop)))
        return done

    def _flags(self, kinds: frozenset[str], loop: _Flags | None) -> list[str]:
        flags = [RETURNED] if "Return" in kinds else []
        if loop is not None:
            flags += [loop.broken] if "Break" in kinds else []
            flags += [loop.continued] if "Continue" in kinds else []
        return flags

    def _pushed(self, s: ast.If, rest: list[ast.stmt]) -> tuple[ast.If, list[ast.stmt]]:
        """An `if` that has what follows it in the only branch that gets there."""
        if rest and ends(s.body):
            s, rest = ast.If(s.test, s.body, [*s.orelse, *rest]), []
        elif rest and s.orelse and ends(s.orelse):
            s, rest = ast.If(s.test, [*s.body, *rest], s.orelse), []
        else:
            return s, rest
        return ast.copy_location(s, s.test), rest

    def jump(self, s: ast.stmt, loop: _Flags | None) -> list[ast.stmt]:
        """A jump as an assignment to its flag."""
        if isinstance(s, ast.Return):
            value = s.value if s.value is not None else constant(None, s)
            return [assign(VALUE, value, s), assign(RETURNED, constant(True, s), s)]
        assert loop is not None
        flag = loop.broken if isinstance(s, ast.Break) else loop.continued
        return [assign(flag, constant(True, s), s)]

    def statement(self, s: ast.stmt, loop: _Flags | None) -> list[ast.stmt]:
        """A statement other than a jump."""
        if isinstance(s, _LOOPS):
            return self._loop(s, loop)
        if isinstance(s, ast.If):
            new = ast.If(s.test, self.block(s.body, loop), self.block(s.orelse, loop))
            return [ast.copy_location(new, s)]
        if isinstance(s, ast.Try):
            return [self._try(s, loop)]
        if isinstance(s, ast.With):
            new = ast.With(s.items, self.block(s.body, loop))
            return [ast.copy_location(new, s)]
        if isinstance(s, ast.Match):
            cases = [ast.match_case(c.pattern, c.guard, self.block(c.body, loop)) for c in s.cases]
            return [ast.copy_location(ast.Match(s.subject, cases), s)]
        if blocks_of(s) and escapes([s]):
            raise Unconvertible(f"a jump out of {type(s).__name__}")
        return [s]

    def _try(self, s: ast.Try, loop: _Flags | None) -> ast.stmt:
        if escapes(s.finalbody):
            raise Unconvertible("`return`, `break` or `continue` inside `finally`")
        handlers = [
            ast.copy_location(ast.ExceptHandler(h.type, h.name, self.block(h.body, loop)), h)
            for h in s.handlers
        ]
        orelse = self.block(s.orelse, loop)
        kinds = escapes(s.body)
        if orelse and kinds:
            flags = [load(f, orelse[0]) for f in self._flags(kinds, loop)]
            test = call_runtime("none_of", flags, orelse[0])
            orelse = [_guarded(test, orelse)]
        new = ast.Try(self.block(s.body, loop), handlers, orelse, self.block(s.finalbody, loop))
        return ast.copy_location(new, s)

    def _loop(self, s: _Loop, outside: _Flags | None) -> list[ast.stmt]:
        self.loops += 1
        own = _Flags(*(f"_dlc_{name}_{self.loops}" for name in _Flags._fields))
        kinds = escapes(s.body)
        body = self.block(s.body, own)
        if "Continue" in kinds:
            body = [assign(own.continued, constant(False, s), s), *body]
        flags = self._flags(kinds & {"Return", "Break"}, own)
        done: list[ast.stmt] = []
        if "Break" in kinds:
            done.append(assign(own.broken, constant(False, s), s))
        if isinstance(s, ast.While) and any(isinstance(n, ast.NamedExpr) for n in ast.walk(s.test)):
            done += _binding_while(s, body, flags, own.again)
        else:
            done.append(_loop_statement(s, body, flags))
        if s.orelse and flags:
            test = call_runtime("none_of", [load(f, s) for f in flags], s)
            done.append(_guarded(test, self.block(s.orelse, outside)))
        elif s.orelse:
            done += self.block(s.orelse, outside)
        return done


def _binding_while(s: ast.While, body: list[ast.stmt], flags: list[str], go: str) -> list[ast.stmt]:
    """A `while` whose test binds names: the test becomes part of the body."""
    again: ast.stmt = assign(go, copy_tree(s.test), s.test)
    tail = [again]
    if flags:
        test = call_runtime("none_of", [load(f, s) for f in flags], s.test)
        tail = [assign(go, constant(False, s.test), s.test), _guarded(test, [again])]
    loop = ast.While(load(go, s.test), [*body, *tail], [])
    return [assign(go, s.test, s.test), ast.copy_location(loop, s)]


def _guarded(test: ast.expr, statements: list[ast.stmt]) -> ast.stmt:
    """Statements under a condition."""
    return ast.copy_location(ast.If(test, statements, []), statements[0])


def _loop_statement(s: _Loop, body: list[ast.stmt], flags: list[str]) -> ast.stmt:
    go_on = call_runtime("none_of", [load(f, s) for f in flags], s) if flags else None
    if isinstance(s, ast.While):
        test = s.test
        if go_on is not None:
            test = ast.copy_location(ast.BoolOp(ast.And(), [go_on, test]), test)
        return ast.copy_location(ast.While(test, body, []), s)
    new = ast.For(s.target, s.iter, body, [])
    if go_on is not None:
        new = LoweredFor(s.target, s.iter, body, [])
        new.go_on = go_on
    return ast.copy_location(new, s)
