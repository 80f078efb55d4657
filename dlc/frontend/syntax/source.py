"""The syntax tree of a function, found by its file and line."""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
from types import CodeType
from typing import Any

from dlc.ir.record import NamedTuple, dataclass

Definition = ast.FunctionDef | ast.Lambda
Definitions = dict[int, list[Definition]]  # by their first line


class Unconvertible(Exception):
    """Why a function, or a place in it, stays as it is."""


@dataclass
class _File:
    """What has been parsed of a file, and its lines, to see whether they are still the same.

    parts: what parts of it define, by the first and the last line of each.
    """

    lines: list[str]
    parts: dict[tuple[int, int], Definitions]


class Found(NamedTuple):
    """A function's definition, and the innermost class around it, which mangles names."""

    node: Definition
    class_name: str | None


_files: dict[str, _File] = {}
_MOST_FILES = 64


def definition_of(code: CodeType) -> Found:
    """The definition that `code` was compiled from.

    Raises:
        Unconvertible: when its source cannot be read, or is not what was compiled.
    """
    lines = linecache.getlines(code.co_filename)
    if not lines:
        raise Unconvertible(f"the source of {code.co_qualname} cannot be read")
    candidates = [
        node
        for node in _definitions_at(code, lines)
        if _name(node) == code.co_name and _parameters(node) == _parameters_of(code)
    ]
    if len(candidates) > 1:
        candidates = _around(code, [n for n in candidates if isinstance(n, ast.Lambda)])
    if len(candidates) != 1:
        raise Unconvertible(
            f"the source of {code.co_qualname} has changed since it was loaded, "
            "or is not the only function on its line"
        )
    return Found(candidates[0], _class_of(code.co_qualname))


def _definitions_at(code: CodeType, lines: list[str]) -> list[Definition]:
    """What is defined at a function's first line, by the smallest part that can be parsed."""
    file = _file(code.co_filename, lines)
    first = code.co_firstlineno
    for (start, end), found in file.parts.items():
        if start <= first <= end:
            return found.get(first, [])
    parts = [(1, len(lines))]
    if code.co_name != "<lambda>":  # which may begin anywhere in a statement
        parts.insert(0, (first, first + len(inspect.getblock(lines[first - 1 :])) - 1))
    for start, end in parts:
        found = _parsed("".join(lines[start - 1 : end]), start)
        if found is not None:
            file.parts[start, end] = found
            return found.get(first, [])
    raise Unconvertible(f"the source of {code.co_qualname} cannot be read")


def _file(name: str, lines: list[str]) -> _File:
    known = _files.get(name)
    if known is None or not (known.lines is lines or known.lines == lines):
        while len(_files) >= _MOST_FILES:
            _files.pop(next(iter(_files)), None)
        known = _files[name] = _File(lines, {})
    return known


def _parsed(text: str, first: int) -> Definitions | None:
    if text[:1].isspace():
        text, first = "if True:\n" + text, first - 1  # columns stay what they are
    try:
        tree = ast.increment_lineno(ast.parse(text), first - 1)
    except (SyntaxError, ValueError):
        return None
    found: Definitions = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            found.setdefault(_first_line(node), []).append(node)
    return found


def _first_line(node: Definition) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(d.lineno for d in decorators)])


def _name(node: Definition) -> str:
    return "<lambda>" if isinstance(node, ast.Lambda) else node.name


def _parameters(node: Definition) -> int:
    a = node.args
    return len(a.posonlyargs) + len(a.args) + len(a.kwonlyargs)


def _parameters_of(code: CodeType) -> int:
    return code.co_argcount + code.co_kwonlyargcount


def _around(code: CodeType, candidates: list[ast.Lambda]) -> list[ast.Lambda]:
    """The lambda, of several on a line, that has the code's instructions in its body."""
    places = [p for p in code.co_positions() if None not in p and p[2] != p[3]]
    holding = [n for n in candidates if places and all(_holds(n.body, p) for p in places)]
    holding.sort(key=lambda n: (n.body.lineno, n.body.col_offset))
    return holding[-1:]  # what it is in begins before it


def _holds(node: ast.expr, place: tuple[Any, ...]) -> bool:
    line, end_line, column, end_column = place
    return (node.lineno, node.col_offset) <= (line, column) and (end_line, end_column) <= (
        node.end_lineno,
        node.end_col_offset,
    )


def _class_of(qualname: str) -> str | None:
    """The innermost class around a function: `C` of `f.<locals>.C.method.<locals>.g`."""
    parts = qualname.split(".")
    classes = [a for a, b in itertools.pairwise(parts) if "<locals>" not in (a, b)]
    return classes[-1] if classes else None
