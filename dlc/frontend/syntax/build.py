"""Nodes of syntax trees, with the place in the user's source that they stand for."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, TypeVar

RUNTIME = "_dlc_"  # the name of the operators in rewritten functions
Node = TypeVar("Node", bound=ast.AST)


def at(node: Node, place: ast.AST) -> Node:
    """`node` and what it is made of, at the place of another node where they have none."""
    return ast.fix_missing_locations(_placed(node, place))


def _placed(node: Node, place: ast.AST) -> Node:
    """`node` at the first line of a place: a call is said to be where its function's name ends."""
    ast.copy_location(node, place)
    new: Any = node
    if new.end_lineno != new.lineno:
        new.end_lineno, new.end_col_offset = new.lineno, new.col_offset
    return node


def constant(value: Any, place: ast.AST) -> ast.expr:
    """A constant."""
    return _placed(ast.Constant(value), place)


def load(name: str, place: ast.AST) -> ast.expr:
    """A name that is read."""
    return _placed(ast.Name(name, ast.Load()), place)


def assign(name: str, value: ast.expr, place: ast.AST) -> ast.stmt:
    """`name = value`."""
    return at(ast.Assign([ast.Name(name, ast.Store())], value), place)


def call_runtime(name: str, arguments: Sequence[ast.expr], place: ast.AST) -> ast.expr:
    """A call of an operator."""
    function = ast.Attribute(load(RUNTIME, place), name, ast.Load())
    return at(ast.Call(function, list(arguments), []), place)


def is_runtime_call(node: ast.AST) -> bool:
    """Whether a node was made by `call_runtime`."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == RUNTIME
    )


def delayed(value: ast.expr, place: ast.AST) -> ast.expr:
    """A function of no arguments that gives the value of an expression."""
    return at(ast.Lambda(no_arguments(MARK), value), place)


MARK = "_dlc_none"  # the parameter by which functions made here are told from the user's


def no_arguments(mark: str | None = None) -> ast.arguments:
    """Parameters of a function that is called without arguments."""
    return ast.arguments(
        posonlyargs=[],
        args=[],
        vararg=None if mark is None else ast.arg(mark),
        kwonlyargs=[],
        kw_defaults=[],
        kwarg=None,
        defaults=[],
    )


def text_tuple(names: Sequence[str], place: ast.AST) -> ast.expr:
    """A tuple of strings."""
    return at(ast.Tuple([ast.Constant(n) for n in names], ast.Load()), place)


def copy_tree(node: Node) -> Node:
    """A copy of a tree, to be changed."""
    new = type(node).__new__(type(node))
    new.__dict__.update({name: _copied(value) for name, value in node.__dict__.items()})
    return new


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(v) for v in value]
    return copy_tree(value) if isinstance(value, ast.AST) else value
