"""How much arithmetic a kernel does, as its text says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Sort, Stmt, blocked, expected_steps
from dlc.ir.dims import Dim, add, mul, product
from dlc.ir.scalar import Axis, Expr, reduced_axes

SORT_STEPS = 16  # operations on each value that is sorted: a few passes over its digits

_NOTHING = frozenset({"const", "load", "index", "dim", "block"})


def kernel_operations(kernel: Kernel) -> Dim:
    """The scalar operations of a call; a step of a sum is one, a step of a product of matrices two.

    An ordered loop with a condition counts as if it ran to its end, if it has one.

    Example:
        >>> kernel_operations(softmax)  # as docs/kernel_grammar.md has it
        5*N*R
    """
    return _statements(kernel.body)


def _statements(body: Sequence[Stmt], opened: frozenset[str] = frozenset()) -> Dim:
    total: Dim = 0
    for s in body:
        match s:
            case Assign():
                one = add(_operations(s.expr), 1 if s.accumulate else 0)
                total = add(total, mul(one, _elements(s.axes)))
            case Sort():
                one = add(_operations(s.expr), SORT_STEPS)
                total = add(total, mul(one, _elements((s.over,))))
            case Par():
                inside = _statements(s.body, opened | blocked(s.axes))
                total = add(total, mul(inside, product(map(expected_steps, s.axes))))
            case For():
                total = add(total, _statements(s.carry, opened))
                inside = _statements(s.body, opened | blocked((s.axis,)))
                total = add(total, mul(inside, expected_steps(s.axis, opened)))
    return total


def _elements(axes: Iterable[Axis]) -> Dim:
    """The elements of a tile over axes: those of one block of a blocked one."""
    return product(a.extent if a.block is None else a.block for a in axes)


def _operations(e: Expr) -> Dim:
    """The operations of an expression, shared parts once; those of indices are not counted."""
    total: Dim = 0
    seen = set[int]()
    stack = [e]
    while stack:
        node = stack.pop()
        if id(node) in seen or node.op in _NOTHING:
            continue
        seen.add(id(node))
        axes = reduced_axes(node)
        if axes:
            inside: Dim = 2 if node.op == "dot" else 1
            for x in node.args:
                inside = add(inside, _operations(x))
            total = add(total, mul(inside, _elements(axes)))
        else:
            total = add(total, 1)
            stack.extend(node.args)
    return total
