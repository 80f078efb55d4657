"""Recognises kernels that walk the blocks of one axis for each block of another, as attention does.

Such a kernel is brought into walks, each of which is a launch: a program has one block of an axis,
goes through the blocks of the other in order, and keeps what it carries in registers. A kernel that
adds to elements of the inner axis in memory, as the gradients of attention do, becomes two walks:
one for each block of the outer axis, and one for each block of the inner axis, in which what is
added to its elements is carried. Both take the terms of each sum in the order of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from dlc.codegen.index_math import IndexMath, block_name
from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Stmt, statements
from dlc.codegen.kernel_printer import print_with_lines
from dlc.codegen.kernel_transform import normalise, rename_axes, rewrite
from dlc.codegen.triton.plan import Item
from dlc.ir.dims import add, mul, symbol
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import Axis, Expr, index, load, op, reduced_axes, walk

Reach: TypeAlias = Literal["all", "before", "after"]


@dataclass(frozen=True)
class Walk:
    """One launch.

    axes: a program has one value of each.
    own: the axis of which it has a block.
    outer: loops around the walk, one value after the other.
    other: the axis whose blocks are walked.
    reach: which of them: all, those that begin before the own block ends, or those that do not end
        before it begins.
    carry: first values of locals that `next_` ones in the body replace.
    before, body, after: the statements before, in, and after the loops.
    """

    kernel: Kernel
    axes: tuple[Axis, ...]
    own: Axis
    outer: tuple[Axis, ...]
    other: Axis
    reach: Reach
    carry: tuple[Item, ...]
    before: tuple[Item, ...]
    body: tuple[Item, ...]
    after: tuple[Item, ...]
    math: IndexMath

    def order(self, names: Sequence[str]) -> tuple[str, ...]:
        """Axes in the order of the dimensions of blocks: the own one, the other one, the rest."""
        first = [n for n in (self.own.name, self.other.name) if n in names]
        return (*first, *(n for n in names if n not in first))


def walks_of(kernel: Kernel, keep_math: frozenset[str] = frozenset()) -> tuple[Walk, ...] | None:
    """The walks that a kernel is, with some ops of scalar math left; None for another kernel."""
    inside = [s for s in statements(kernel.body) if isinstance(s, For) and s.axis.block]
    if not any(n.op == "dot" for f in inside for s in _assigns(f.body) for n in walk(s.expr)):
        return None
    plain = normalise(kernel, keep_dots=True, keep_math=keep_math)
    if len(plain.body) != 1:
        return None
    axes: tuple[Axis, ...] = ()
    body = plain.body
    while len(body) == 1 and isinstance(body[0], Par):
        axes, body = (*axes, *body[0].axes), body[0].body
    return _Matching(kernel, axes, body, _lines(kernel, plain)).walks()


def _assigns(body: Sequence[Stmt]) -> Iterator[Assign]:
    return (s for s in statements(tuple(body)) if isinstance(s, Assign))


def _lines(kernel: Kernel, plain: Kernel) -> dict[int, str]:
    text, lines = print_with_lines(kernel)
    printed = text.split("\n")
    pairs = zip(_assigns(plain.body), _assigns(kernel.body), strict=True)
    return {id(n): printed[lines[id(o)] - 1] for n, o in pairs if id(o) in lines}


def _split(body: Sequence[Stmt]) -> tuple[tuple[Assign, ...], For, tuple[Assign, ...]] | None:
    """What stands before, in and after the only loop among statements."""
    loops = [k for k, s in enumerate(body) if isinstance(s, For)]
    if len(loops) != 1:
        return None
    loop = body[loops[0]]
    before = tuple(s for s in body[: loops[0]] if isinstance(s, Assign))
    after = tuple(s for s in body[loops[0] + 1 :] if isinstance(s, Assign))
    if not isinstance(loop, For) or len(before) + len(after) + 1 != len(body):
        return None
    return before, loop, after


@dataclass
class _Matching:
    """The work on one kernel: the axes of its parallel loops, and what is in them."""

    kernel: Kernel
    axes: tuple[Axis, ...]
    body: tuple[Stmt, ...]
    texts: dict[int, str]

    def walks(self) -> tuple[Walk, ...] | None:
        """The walks; None where the kernel is none."""
        parts = _split(self.body)
        if parts is None:
            return None
        own = [a for a in self.axes if a.block is not None]
        if not own:
            return self._outer_and_inner(*parts)
        before, loop, after = parts
        if len(own) != 1 or not _is_flat(loop):
            return None
        axes = tuple(a for a in self.axes if a is not own[0])
        return self._made(axes, own[0], (), loop, before, tuple(_assigns(loop.body)), after)

    def _outer_and_inner(
        self, zeros: tuple[Assign, ...], loop: For, rest: tuple[Assign, ...]
    ) -> tuple[Walk, ...] | None:
        """The walks for blocks of the outer axis, and for blocks of the inner one."""
        outer: list[Axis] = []
        while loop.axis.block is None and len(loop.body) == 1 and not loop.carry:
            outer.append(loop.axis)
            (only,) = loop.body
            if not isinstance(only, For) or loop.condition is not None:
                return None
            loop = only
        parts = _split(loop.body)
        if rest or loop.axis.block is None or loop.carry or loop.condition or parts is None:
            return None
        before, inner, after = parts
        first = {z.name: z for z in zeros}
        body = tuple(_assigns(inner.body))
        added = [s for s in body if s.name in first]
        sums = [self._sum(first[s.name], s, inner.axis) for s in added]
        if not _is_flat(inner) or None in sums or len(added) != len(first):
            return None
        others = tuple(s for s in body if s.name not in first)
        result: tuple[Walk, ...] = ()
        if after:
            axes = (*self.axes, *outer)
            made = self._made(axes, loop.axis, (), inner, before, others, after)
            if made is None:
                return None
            result = made
        if added:
            carried = {"next_" + c.name for c in inner.carry}
            kept = tuple(s for s in (*before, *others) if s.name not in carried)
            totals = [s for s in sums if s is not None]
            walked = For(loop.axis, (), tuple(t[0] for t in totals), inner.condition)
            body = (*kept, *(t[1] for t in totals))
            last = tuple(t[2] for t in totals)
            made = self._made(self.axes, inner.axis, tuple(outer), walked, (), body, last)
            if made is None:
                return None
            result += made
        return result

    def _sum(self, zero: Assign, s: Assign, own: Axis) -> tuple[Assign, Assign, Assign] | None:
        """A sum in memory as one that is carried: its first value, a term more, and the store."""
        e = s.expr
        stored = load(s.name, s.ix, e.dtype)
        if e.op != "add" or e.args[0] != stored or zero.expr.op != "const":
            return None
        if own.name not in {a.name for a in s.axes} or zero.expr.dtype is not e.dtype:
            return None
        name, at = f"{s.name}.sum", tuple(index(a.name) for a in s.axes)
        total = load(name, at, e.dtype)
        made = (
            Assign(name, at, s.axes, zero.expr),
            Assign(f"next_{name}", at, s.axes, op("add", total, e.args[1])),
            Assign(s.name, s.ix, s.axes, total),
        )
        self.texts |= {id(m): self.texts.get(id(s), "") for m in made}
        return made

    def _made(
        self,
        axes: tuple[Axis, ...],
        own: Axis,
        outer: tuple[Axis, ...],
        loop: For,
        before: tuple[Assign, ...],
        body: tuple[Assign, ...],
        after: tuple[Assign, ...],
    ) -> tuple[Walk, ...] | None:
        math = IndexMath()
        for axis in (*axes, own, *outer, loop.axis):
            math.declare(axis)
        reach = _reach(loop.condition, own, loop.axis, math)
        if reach is None:
            return None

        def items(part: tuple[Assign, ...]) -> tuple[Item, ...]:
            return tuple(self._item(s, math) for s in part)

        parts = items(loop.carry), items(before), items(body), items(after)
        return (Walk(self.kernel, axes, own, outer, loop.axis, reach, *parts, math),)

    def _item(self, s: Assign, math: IndexMath) -> Item:
        """The statement with closed axes named by their extent: equal rows are then read once."""
        own, names = _named(s.axes, ())
        taken = tuple(a.name for a in own)

        def change(node: Expr) -> Expr | None:
            if node.op == "index":
                return names.get(node.attr)
            if not reduced_axes(node):
                return None
            axes, inner = _named(reduced_axes(node), taken)
            for a in axes:
                math.declare(a)
            args = tuple(rewrite(rename_axes(a, inner), change) for a in node.args)
            attr = axes if node.op == "dot" else (node.attr[0], axes)
            return Expr(node.op, args, node.dtype, attr)

        for a in own:
            math.declare(a)
        ix = tuple(rewrite(i, change) for i in s.ix)
        text = self.texts.get(id(s), self.kernel.name)
        return Item(s.name, ix, own, rewrite(s.expr, change), text)


def _is_flat(loop: For) -> bool:
    return loop.axis.block is not None and all(isinstance(s, Assign) for s in loop.body)


def _named(axes: Sequence[Axis], taken: Sequence[str]) -> tuple[tuple[Axis, ...], dict[str, Expr]]:
    """Closed axes under names that say their extent, and what the old names stand for."""
    new: list[Axis] = []
    names: dict[str, Expr] = {}
    for a in axes:
        if a.block is None:
            name = f"w.{a.extent}"
            while name in (*taken, *(x.name for x in new)):
                name += ".2"
            names[a.name] = index(name)
            new.append(replace(a, name=name))
        else:
            new.append(a)
    return tuple(new), names


def _reach(condition: Expr | None, own: Axis, other: Axis, math: IndexMath) -> Reach | None:
    """Which blocks are walked, from a condition "block x begins before block y ends"."""
    if condition is None:
        return "all"
    if condition.op != "le":
        return None
    begin, end = (math.polynomial(x) for x in condition.args)
    reaches: tuple[tuple[Axis, Axis, Reach], ...]
    reaches = ((other, own, "before"), (own, other, "after"))
    for first, last, reach in reaches:
        assert first.block is not None
        assert last.block is not None
        begins = mul(symbol(block_name(first.name)), first.block)
        ends = add(mul(symbol(block_name(last.name)), last.block), last.block - 1)
        if (begin, end) == (begins, ends):
            return reach
    return None
