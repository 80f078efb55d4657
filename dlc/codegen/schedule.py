"""Schedules: how the loops of a kernel are run, chosen by a cost model. They never change bits.

What the bits of a reduction depend on, its lanes and the number of its accumulators, follows from
the kernel's text and the width of a vector register alone, by the functions of this file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from dlc.codegen.chunks import CHUNK_COST
from dlc.codegen.index_math import IndexMath, axis_name, coefficient
from dlc.codegen.kernel_cost import SORT_STEPS
from dlc.codegen.kernel_ir import (
    Assign,
    For,
    Kernel,
    Par,
    Sort,
    Stmt,
    blocked,
    expected_steps,
    statements,
)
from dlc.ir.dims import Dim, add, floordiv, lower_bound, maximum, mul, product, symbols_of
from dlc.ir.record import dataclass, field
from dlc.ir.scalar import Axis, Expr, class_numbers, load, reduced_axes, walk

# Costs are in hundredths of a nanosecond: a vector instruction, a byte moved, an inner loop.
_VECTOR_OP = 30
_BYTE = 8
_LOOP = 500

_WALK = 0.25  # a scalar access in an ordered loop, of one lane's share of others
# A vector load: adjacent, the same for all lanes, of every second element, scattered.
_NEAR, _FIXED, _SECOND, _FAR = 1.0, 0.1, 2.5, 8.0


class VectorWidth(Protocol):
    """What a schedule needs to know of an instruction set level."""

    def lanes(self, bits: int) -> int:
        """The elements of `bits` bits in a vector register."""
        ...


@dataclass(frozen=True)
class NestSchedule:
    """How one parallel nest runs.

    Args:
        vector_axis: The parallel axis whose iterations are the lanes of vectors. None: the nest's
            iterations are scalar, and the loops inside of them are vectorised.
        lanes: Elements a vector.
        unroll: Vectors in a step of the main loop, when there is a vector axis.
        chunk: Work units that a worker takes at a time.
    """

    vector_axis: str | None
    lanes: int
    unroll: int
    chunk: Dim

    def __str__(self) -> str:
        where = f"over {self.vector_axis}" if self.vector_axis else "inside"
        return f"vectors {where} lanes {self.lanes} unroll {self.unroll} chunk {self.chunk}"


@dataclass(frozen=True)
class Schedule:
    """The schedule of each nest of a kernel, in order.

    Example:
        >>> print(choose_schedule(plain, isa, index_math(plain)))
        vectors over n lanes 16 unroll 4 chunk 15424
    """

    nests: tuple[NestSchedule, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.nests))


class ItemLike(Protocol):
    """An assignment or part of one."""

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The loop axes."""
        ...

    @property
    def expr(self) -> Expr:
        """The right-hand side."""
        ...


def value_nodes(e: Expr) -> Iterator[Expr]:
    """The nodes that are computed at a value's type: not those inside of indices."""
    stack, seen = [e], set[int]()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if node.op != "load":
            stack.extend(node.args)


def kernel_lanes(kernel: Kernel, isa: VectorWidth) -> int:
    """The lanes of a normalised kernel: a register of its widest float or loaded element."""
    wide = 0
    stored = 8
    for s in statements(kernel.body):
        if isinstance(s, Assign):
            stored = max(stored, s.expr.dtype.bits)
            for node in value_nodes(s.expr):
                if node.dtype.is_float or node.op == "load":
                    wide = max(wide, node.dtype.bits)
    return isa.lanes(wide or stored)


def tile_extents(axes: Iterable[Axis], ix: Iterable[Expr]) -> tuple[Dim, ...]:
    """The extents of a tile with these indices: of a block, for a blocked axis."""
    sizes = {a.name: a.extent if a.block is None else a.block for a in axes}
    return tuple(sizes[i.attr] for i in ix)


def count_ops(roots: Iterable[Expr]) -> int:
    """The distinct scalar operations in some expressions."""
    found = list(roots)
    numbers = class_numbers(found)
    nodes = (n for e in found for n in value_nodes(e))
    return len({numbers[id(n)] for n in nodes if n.op not in ("const", "load", "index", "dim")})


def reduction_unroll(roots: Iterable[Expr]) -> int:
    """The accumulators of each reduction in a loop over these expressions, in vectors."""
    ops = count_ops(roots)
    return 4 if ops <= 8 else 2 if ops <= 40 else 1


class Strides:
    """What vector loads along an axis cost."""

    def __init__(self, kernel: Kernel, math: IndexMath) -> None:
        self.math = math
        self.dims: dict[str, tuple[Dim, ...]] = {p.name: p.dims for p in kernel.params}
        self.tiles = _tile_dims(kernel.body)

    def in_memory(self, name: str) -> bool:
        """Whether a name is that of a parameter or a tile: other locals are in registers."""
        return name in self.dims or name in self.tiles

    def offset(self, access: Expr) -> Dim:
        """The flattened offset of a load."""
        dims = self.dims.get(access.attr) or self.tiles.get(access.attr, ())
        offset: Dim = 0
        for i, extent in zip(access.args, dims, strict=False):
            offset = add(mul(offset, extent), self.math.polynomial(i))
        return self.math.recombine(offset)

    def cost(self, access: Expr, axis: str) -> float:
        """The cost of a vector of loads along an axis, next to that of adjacent ones."""
        offset = self.offset(access)
        linear = coefficient(offset, axis_name(axis))
        if linear is None:
            return _FAR
        step = linear[0]
        hidden = any(n[0] == "$" and self._depends(n, axis) for n in symbols_of(offset))
        if step == 0 and not hidden:
            return _FIXED
        if hidden:
            return _FAR
        return _NEAR if step in (1, -1) else _SECOND if step == 2 else _FAR

    def _depends(self, name: str, axis: str) -> bool:
        return any(n.op == "index" and n.attr == axis for n in walk(self.math.opaque[name]))


def _tile_dims(body: tuple[Stmt, ...]) -> dict[str, tuple[Dim, ...]]:
    params: dict[str, tuple[Dim, ...]] = {}
    for s in statements(body):
        if isinstance(s, Assign) and s.axes:
            mine = {a.name for a in s.axes}
            if all(i.op == "index" and i.attr in mine for i in s.ix):
                params[s.name] = tile_extents(s.axes, s.ix)
    return params


def inner_first(items: Iterable[ItemLike], math: IndexMath, kernel: Kernel) -> bool:
    """Whether the reductions inside of these items' expressions should be what is vectorised.

    They vary with the items' last axis; the loads say along which of the two memory is adjacent.
    """
    strides = Strides(kernel, math)
    own = inner = 0.0
    for item in items:
        axis = item.axes[-1].name
        for node in walk(item.expr):
            if node.op != "reduce":
                continue
            along = reduced_axes(node)[-1]
            for access in walk(node.args[0]):
                if access.op == "load":
                    own += strides.cost(access, axis) * _short(item.axes[-1])
                    inner += strides.cost(access, along.name) * _short(along)
    return inner < own


def _short(axis: Axis) -> float:
    """How much of a vector a short axis wastes."""
    size = axis.extent if axis.block is None else axis.block
    return max(1.0, 16 / max(size, 1)) if isinstance(size, int) else 1.0


@dataclass
class _Access:
    """A load or store, the innermost loop that it is in, and whether that loop must be scalar."""

    node: Expr
    inner: Axis | None
    ordered: bool


@dataclass
class _Nest:
    """What the cost model looks at in a nest."""

    accesses: list[_Access] = field(default_factory=list[_Access])
    loops: bool = False


def _accesses(body: Sequence[Stmt], nest: _Nest, ordered: bool, inner: Axis | None) -> _Nest:
    for s in body:
        match s:
            case Assign():
                last = s.axes[-1] if s.axes else inner
                nest.loops |= bool(s.axes) or ordered
                nest.accesses.append(_Access(load(s.name, s.ix, s.expr.dtype), last, ordered))
                _expression_accesses(s.expr, last, ordered, nest)
            case Sort():
                nest.loops = True
                _expression_accesses(s.expr, s.over, ordered, nest)
            case Par():
                nest.loops = True
                _accesses(s.body, nest, ordered, s.axes[-1] if s.axes else inner)
            case For():
                _accesses((*s.carry, *s.body), nest, True, inner)
    return nest


def _expression_accesses(e: Expr, inner: Axis | None, ordered: bool, nest: _Nest) -> None:
    stack: list[tuple[Expr, Axis | None]] = [(e, inner)]
    seen: set[tuple[int, str]] = set()
    while stack:
        node, last = stack.pop()
        key = (id(node), last.name if last else "")
        if key in seen:
            continue
        seen.add(key)
        if node.op == "load":
            nest.accesses.append(_Access(node, last, ordered))
        if node.op == "reduce":
            nest.loops = True
            last = (last, *reduced_axes(node))[-1]  # a dot of scalars has no axes
        stack.extend((a, last) for a in node.args)


def vector_axis(par: Par, kernel: Kernel, math: IndexMath, lanes: int) -> str | None:
    """The parallel axis to vectorise over; None when the loops inside should be."""
    if _has_condition(par.body) or _has_sort(par.body):
        return None  # lanes would leave the loop at different times; a row is sorted as one
    nest = _accesses(par.body, _Nest(), False, None)
    strides = Strides(kernel, math)
    in_memory = [a for a in nest.accesses if strides.in_memory(a.node.attr)]

    def weight(a: _Access) -> float:
        return 1.0 if not nest.loops or a.inner is not None or a.ordered else 0.01

    def cost(axis: str | None) -> float:
        total = 0.0
        for a in in_memory:
            if axis is not None:
                total += weight(a) * strides.cost(a.node, axis)
            elif a.inner is None:
                # An ordered loop walks along memory, and what it touches is in the cache.
                total += weight(a) * lanes * (_WALK if a.ordered else 1.0)
            else:
                total += weight(a) * strides.cost(a.node, a.inner.name) * _short(a.inner)
        return total

    best, least = None, cost(None)
    for axis in reversed(par.axes):
        if axis.block is None:
            here = cost(axis.name) * _short(axis)
            if here < least:
                best, least = axis.name, here
    return best


def _has_condition(body: tuple[Stmt, ...]) -> bool:
    return any(isinstance(s, For) and s.condition is not None for s in statements(body))


def _has_sort(body: tuple[Stmt, ...]) -> bool:
    return any(isinstance(s, Sort) for s in statements(body))


def _unroll(par: Par) -> int:
    roots = [s.expr for s in statements(par.body) if isinstance(s, Assign)]
    ops = count_ops(roots)
    if ops <= 4 and any(n.op == "reduce" for e in roots for n in walk(e)):
        return 8  # a reduction of columns reads a few adjacent vectors of each row
    if any(isinstance(s, For) and s.carry for s in statements(par.body)):
        return 4  # each iteration waits for the one before
    return 4 if ops <= 10 else 2  # two at least: long chains of operations wait for each other


def _fitting(unroll: int, par: Par, axis: str, lanes: int) -> int:
    """As many vectors as a row of a known length has room for, a power of two."""
    extent = next(a.extent for a in par.axes if a.name == axis)
    while isinstance(extent, int) and unroll > 1 and unroll * lanes > extent:
        unroll //= 2
    return unroll


def body_cost(body: Sequence[Stmt], lanes: int, opened: frozenset[str] = frozenset()) -> Dim:
    """The cost of one iteration of a body, in hundredths of a nanosecond, an element a lane.

    `opened` are the axes of which a block is open.
    """
    total: Dim = 0
    for s in body:
        match s:
            case Assign():
                inner = add(_expression_cost(s.expr, lanes), s.expr.dtype.itemsize * _BYTE)
                total = add(total, add(mul(inner, _iterations(s.axes)), _LOOP if s.axes else 0))
            case Sort():
                inner = add(_expression_cost(s.expr, lanes), SORT_STEPS * _VECTOR_OP)
                total = add(total, add(mul(inner, _iterations((s.over,))), _LOOP))
            case Par():
                inside = body_cost(s.body, lanes, opened | blocked(s.axes))
                total = add(total, mul(inside, _iterations(s.axes)))
            case For():
                steps = expected_steps(s.axis, opened)
                inside = body_cost((*s.carry, *s.body), lanes, opened | blocked((s.axis,)))
                total = add(total, mul(inside, steps))
    return total


def _iterations(axes: Iterable[Axis]) -> Dim:
    return product(a.extent if a.block is None else a.block for a in axes)


def _expression_cost(e: Expr, lanes: int) -> Dim:
    total: Dim = 0
    for node in value_nodes(e):
        if node.op == "load":
            total = add(total, node.dtype.itemsize * _BYTE)
        elif node.op == "reduce":
            axes = reduced_axes(node)
            inside = _expression_cost(node.args[0], lanes)
            total = add(total, add(mul(inside, _iterations(axes)), _LOOP))
        elif node.op == "dot":
            total = add(total, mul(max(1, _VECTOR_OP // lanes), _iterations(node.attr)))
        elif node.op not in ("const", "index", "dim"):
            total = add(total, max(1, _VECTOR_OP // lanes))
    return total


def _chunk(cost: Dim, step: int) -> Dim:
    """Units that cost about `CHUNK_COST` together, a multiple of `step`."""
    one = maximum(cost, 1) if isinstance(cost, int) or (lower_bound(cost) or 0) < 1 else cost
    return mul(maximum(floordiv(CHUNK_COST, mul(one, step)), 1), step)


def choose_schedule(
    kernel: Kernel, isa: VectorWidth, math: IndexMath, *, inside: bool = False
) -> Schedule:
    """The schedule of a normalised kernel; `math` knows its axes.

    inside: vectors are for the loops inside of nests alone.
    """
    lanes = kernel_lanes(kernel, isa)
    nests: list[NestSchedule] = []
    for s in kernel.body:
        if not isinstance(s, Par):
            continue
        axis = None if inside else vector_axis(s, kernel, math, lanes)
        unroll = 1 if axis is None else _fitting(_unroll(s), s, axis, lanes)
        cost = body_cost(s.body, lanes, blocked(s.axes))
        chunk = _chunk(cost, lanes * unroll if axis is not None else 1)
        nests.append(NestSchedule(axis, lanes, unroll, chunk))
    return Schedule(tuple(nests))
