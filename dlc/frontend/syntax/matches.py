"""`match` as `if`, where patterns are values, alternatives, names and wildcards.

    match n:                       subject = n
        case 0 | 1:                if subject == 0 or subject == 1:
            y = 1                      y = 1
        case k if k < 9:     ->    else:
            y = k                      k = subject
        case _:                        if k < 9:
            y = 9                          y = k
                                       else:
                                           y = 9

So a traced tensor may be the subject. Statements with other patterns stay Python's.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from dlc.frontend.syntax.build import assign, at, constant, copy_tree, load
from dlc.frontend.syntax.jumps import blocks_of

SUBJECT = "_dlc_subject"


def lower_matches(statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """A block in which no `match` is left that can be written with `if`."""
    counter = [0]
    return _block(statements, counter)


def _block(statements: Sequence[ast.stmt], counter: list[int]) -> list[ast.stmt]:
    done: list[ast.stmt] = []
    for s in statements:
        if not isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for block in blocks_of(s):
                block[:] = _block(block, counter)
        if isinstance(s, ast.Match) and all(map(_is_simple, s.cases)):
            counter[0] += 1
            name = f"{SUBJECT}_{counter[0]}"
            done += [assign(name, s.subject, s.subject), *_cases(s.cases, name, s)]
        else:
            done.append(s)
    return done


def _is_simple(case: ast.match_case) -> bool:
    pattern = case.pattern
    if isinstance(pattern, ast.MatchAs) and pattern.pattern is not None:
        # The name would be bound before the guard is asked, and only then.
        return case.guard is None and _test(pattern.pattern, SUBJECT) is not None
    return isinstance(pattern, ast.MatchAs) or _test(pattern, SUBJECT) is not None


def _test(pattern: ast.pattern, subject: str) -> ast.expr | None:
    """Whether the subject matches; None for a pattern that is no value."""
    found: ast.expr | None = None
    if isinstance(pattern, ast.MatchValue):
        found = ast.Compare(load(subject, pattern), [ast.Eq()], [copy_tree(pattern.value)])
    elif isinstance(pattern, ast.MatchSingleton):
        value = constant(pattern.value, pattern)
        found = ast.Compare(load(subject, pattern), [ast.Is()], [value])
    elif isinstance(pattern, ast.MatchOr):
        tests = [_test(p, subject) for p in pattern.patterns]
        known = [t for t in tests if t is not None]
        if len(known) == len(tests):
            found = ast.BoolOp(ast.Or(), known)
    return None if found is None else at(found, pattern)


def _cases(cases: Sequence[ast.match_case], subject: str, place: ast.stmt) -> list[ast.stmt]:
    """The cases from here on, each in the `else` of the one before."""
    if not cases:
        return []
    case, rest = cases[0], _cases(cases[1:], subject, place)
    pattern, body = case.pattern, case.body
    named = pattern.name if isinstance(pattern, ast.MatchAs) else None
    binding = [] if named is None else [assign(named, load(subject, pattern), pattern)]
    inner = pattern.pattern if isinstance(pattern, ast.MatchAs) else pattern
    test = None if inner is None else _test(inner, subject)
    if test is None:
        if case.guard is None:
            return [*binding, *body]
        return [*binding, _if(case.guard, body, rest, pattern)]
    if case.guard is not None:
        test = at(ast.BoolOp(ast.And(), [test, case.guard]), pattern)
    return [_if(test, [*binding, *body], rest, pattern)]


def _if(test: ast.expr, body: list[ast.stmt], rest: list[ast.stmt], place: ast.AST) -> ast.stmt:
    return ast.copy_location(ast.If(test, body, rest), place)
