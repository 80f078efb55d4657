"""Expressions whose operators may meet traced tensors, as calls of operators."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from dlc.frontend.syntax.build import at, call_runtime, constant, delayed, is_runtime_call
from dlc.frontend.syntax.names import binds_in_expression

# Functions that look at the frame they are called from.
_OF_FRAMES = frozenset({
    "__import__", "breakpoint", "dir", "eval", "exec", "globals", "locals", "super", "vars",
})  # fmt: skip

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge",
    ast.Is: "is_", ast.IsNot: "is_not", ast.In: "contained", ast.NotIn: "not_contained",
}  # fmt: skip
# Tests that no tensor can decide.
_PLAIN_CALLS = frozenset({"callable", "hasattr", "isinstance", "issubclass"})


class Expressions(ast.NodeTransformer):
    """Rewrites the expressions of a function's own scope.

    Args:
        first: The name of the function's first parameter, for `super()`.
    """

    def __init__(self, first: str | None) -> None:
        self.first = first

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        """A function of its own, which is converted when it is called."""
        return node

    visit_FunctionDef: Any = visit_Lambda
    visit_AsyncFunctionDef: Any = visit_Lambda
    visit_ClassDef: Any = visit_Lambda

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`f(x)` as `target(f)(x)`."""
        if is_runtime_call(node):
            node.args = [self.visit(a) for a in node.args]
            return node
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name == "super" and not node.args and self.first is not None:
            node.args = [
                at(ast.Name("__class__", ast.Load()), node),
                at(ast.Name(self.first, ast.Load()), node),
            ]
            return node
        self.generic_visit(node)
        if name not in _OF_FRAMES:
            node.func = call_runtime("target", [node.func], node.func)
        return node

    def test(self, node: ast.expr) -> ast.expr:
        """An expression of which only the truth is asked."""
        if isinstance(node, ast.BoolOp):
            return self._boolean(node, self.test)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return call_runtime("not_", [self.test(node.operand)], node)
        return self.visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """`a and b` as `and_(a, lambda: b)`."""
        return self._boolean(node, self.visit)

    def _boolean(self, node: ast.BoolOp, part: Callable[[ast.expr], ast.expr]) -> ast.expr:
        """`and` and `or`; the operators of tests take any values together."""
        node.values = [part(v) for v in node.values]
        if any(binds_in_expression(v) for v in node.values[1:]):
            return node
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        name = f"test_{name}" if part == self.test else name
        *before, result = node.values
        for value in reversed(before):
            result = call_runtime(name, [value, delayed(result, result)], node)
        return result

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """`not a` as `not_(a)`."""
        if isinstance(node.op, ast.Not):
            return call_runtime("not_", [self.test(node.operand)], node)
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """`a if c else b` as `if_expression(c, lambda: a, lambda: b)`."""
        node.test = self.test(node.test)
        parts = [node.body, node.orelse] = [self.visit(node.body), self.visit(node.orelse)]
        if never_tensor(node.test) or any(map(binds_in_expression, parts)):
            return node
        return call_runtime("if_expression", [node.test, *(delayed(p, p) for p in parts)], node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """`a < b < c` as `compare(a, "lt", lambda: b, "lt", lambda: c)`; also `in`."""
        self.generic_visit(node)
        plain = not any(isinstance(op, (ast.In, ast.NotIn)) for op in node.ops)
        if (len(node.ops) == 1 and plain) or any(map(binds_in_expression, node.comparators)):
            return node
        arguments = [node.left]
        for op, value in zip(node.ops, node.comparators, strict=True):
            arguments += [constant(_COMPARISONS[type(op)], node), delayed(value, value)]
        return call_runtime("compare", arguments, node)


def never_tensor(test: ast.expr) -> bool:
    """Whether the value of a test is surely no tensor."""
    if isinstance(test, ast.Constant):
        return True
    if isinstance(test, ast.Compare):
        return all(isinstance(op, (ast.Is, ast.IsNot)) for op in test.ops)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return never_tensor(test.operand)
    if isinstance(test, ast.BoolOp):
        return all(map(never_tensor, test.values))
    if not isinstance(test, ast.Call):
        return False
    function = test.func
    if is_runtime_call(function):
        assert isinstance(function, ast.Call)
        function = function.args[0]
    return isinstance(function, ast.Name) and function.id in _PLAIN_CALLS
