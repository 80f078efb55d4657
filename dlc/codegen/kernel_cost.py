"""How much arithmetic a kernel does, as its text says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Sort, Stmt, expected_steps
from dlc.ir.dims import Dim, add, mul, product
from dlc.ir.record import dataclass
from dlc.ir.scalar import Axis, Expr, reduced_axes, walk

SORT_STEPS = 16  # operations on each value that is sorted: a few passes over its digits

_NOTHING = frozenset({"const", "load", "index", "dim", "block"})


def kernel_operations(kernel: Kernel) -> Dim:
    """The scalar operations of a call; a step of a sum is one, a step of a product of matrices two.

    An ordered loop with a condition counts as if it ran to its end, if it has one.

    Example:
        >>> kernel_operations(softmax)  # as docs/kernel_grammar.md has it
        5*N*R
    """
    return _statements(kernel.body, _Nest(1, {}))


@dataclass(frozen=True)
class _Nest:
    """The loops around a statement.

    steps: How often those without open blocks run what is inside.
    opened: The axes of which a block is open, by name.
    """

    steps: Dim
    opened: Mapping[str, Axis]

    def inside(self, axes: Sequence[Axis]) -> _Nest:
        """With loops over axes inside of these, one of which may walk through an open block."""
        steps = [a.extent if a.name in self.opened else expected_steps(a) for a in axes]
        closed = [n for a, n in zip(axes, steps, strict=True) if not self._opens(a)]
        kept = {n: a for n, a in self.opened.items() if all(b.name != n for b in axes)}
        opened = {a.name: a for a in axes if self._opens(a)}
        return _Nest(product((self.steps, *closed)), {**kept, **opened})

    def _opens(self, axis: Axis) -> bool:
        return axis.block is not None and axis.name not in self.opened

    def times(self, used: frozenset[str]) -> Dim:
        """How often something is done: for each value of the open axes that it uses."""
        counts = [a.extent if n in used else expected_steps(a) for n, a in self.opened.items()]
        return product((self.steps, *counts))


def _statements(body: Sequence[Stmt], nest: _Nest) -> Dim:
    total: Dim = 0
    for s in body:
        match s:
            case Assign():
                used = (
                    frozenset(i.attr for e in s.ix for i in walk(e) if i.op == "index")
                    & nest.opened.keys()
                )
                elements = _elements(s.axes)
                total = add(total, _operations(s.expr, nest, used, elements))
                if s.accumulate:
                    total = add(total, mul(elements, nest.times(used)))
            case Sort():
                values = _elements((s.over,))
                total = add(total, _operations(s.expr, nest, frozenset(), values))
                total = add(total, mul(mul(SORT_STEPS, values), nest.times(frozenset())))
            case Par():
                total = add(total, _statements(s.body, nest.inside(s.axes)))
            case For():
                total = add(total, _statements(s.carry, nest))
                total = add(total, _statements(s.body, nest.inside((s.axis,))))
    return total


def _elements(axes: Iterable[Axis]) -> Dim:
    """The elements of a tile over axes: those of one block of a blocked one."""
    return product(a.extent if a.block is None else a.block for a in axes)


def _operations(e: Expr, nest: _Nest, used: frozenset[str], each: Dim) -> Dim:
    """The operations of an expression, shared parts once; those of indices are not counted.

    used: The open axes for each value of which it is computed.
    each: How often for each of these.
    """
    total: Dim = 0
    once = mul(each, nest.times(used))
    seen = set[int]()
    stack = [e]
    while stack:
        node = stack.pop()
        if id(node) in seen or node.op in _NOTHING:
            continue
        seen.add(id(node))
        axes = reduced_axes(node)
        if axes:
            inner = used | {a.name for a in axes if a.name in nest.opened}
            more = mul(each, _elements(a for a in axes if a.name not in nest.opened))
            steps = mul(more, nest.times(inner))
            total = add(total, mul(steps, 2 if node.op == "dot" else 1))
            for x in node.args:
                total = add(total, _operations(x, nest, inner, more))
        else:
            total = add(total, once)
            stack.extend(node.args)
    return total
