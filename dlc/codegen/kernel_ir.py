"""Kernel IR: what one fused group of ops computes, as loop nests over scalar expressions.

    kernel := 'kernel' name '(' param,* ')' ':' (stmt+ | 'host' op ['{' attributes '}'])
    param  := ['out'|'inout'] name ':' dtype '[' dim,* ']'
    stmt   := 'par' axis,* ':' stmt+                            independent, any order
            | 'for' axis ['while' e] ['carry' init;*] ':' stmt+   ordered; sets next_x
            | name '[' ix,* ']' [axis,*] ['+'] '=' e              tile or store
            | name ',' name '[' ix,* ']' axis '=' 'sort' '(' axis ',' e ')'    sorted tiles

Tensors are dense and row-major; views live in the indices. The symbols in a kernel's dims are its
own (`dims`); a call binds them. A name that is not a parameter is a local: a scalar of the
innermost `par` iteration when its assignment has no axes, else a tile indexed by those axes alone.
`inout` names a buffer read before it is written. What changes bits (block of an axis, order of a
`for`, `lanes` of a reduction) is in the kernel's text.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from dlc.ir.dims import Dim, ceildiv
from dlc.ir.op import Op
from dlc.ir.record import dataclass
from dlc.ir.scalar import Axis, Expr, walk
from dlc.ir.types import DType

Mode = Literal["in", "out", "inout"]


@dataclass(frozen=True)
class Param:
    """A tensor parameter of a kernel."""

    name: str
    mode: Mode
    dtype: DType
    dims: tuple[Dim, ...]
    may_alias: tuple[str, ...] = ()  # of an output: inputs whose buffer it may take over


@dataclass(frozen=True)
class Assign:
    """`name[ix] axes = expr` or, with `accumulate`, `+=` (into a parameter, inside `for` only)."""

    name: str
    ix: tuple[Expr, ...]
    axes: tuple[Axis, ...]
    expr: Expr
    accumulate: bool = False


@dataclass(frozen=True)
class Par:
    """Independent iterations of `body` over `axes`, last fastest."""

    axes: tuple[Axis, ...]
    body: tuple[Stmt, ...]


def blocked(axes: Iterable[Axis]) -> frozenset[str]:
    """The names of those axes that have blocks."""
    return frozenset(a.name for a in axes if a.block is not None)


ENDLESS = 1 << 62
"""The extent of a `for` that only its condition ends."""

_OFTEN = 1 << 14


def expected_steps(axis: Axis, opened: Container[str] = ()) -> Dim:
    """How often a loop over an axis is expected to run: once for each block of a blocked one.

    `opened` are the axes of which a block is open.
    """
    if axis.name in opened:
        return axis.block or 1
    if axis.block is not None:
        return ceildiv(axis.extent, axis.block)
    return _OFTEN if axis.extent == ENDLESS else axis.extent


def open_inside(axes: Iterable[Axis], outside: Mapping[str, Axis]) -> dict[str, Axis]:
    """The open blocks in a loop over axes; one whose values a `for` goes through is so no more."""
    blocks = {a.name: a for a in axes if a.block is not None}
    found = {**outside, **blocks}
    return {n: a for n, a in found.items() if n not in blocks or outside.get(n) != a}


@dataclass(frozen=True)
class For:
    """Ordered iterations: of a blocked axis over its blocks, of an open block over its values.

    `carry` initialises locals, `next_<local>` in the body sets their next value.
    """

    axis: Axis
    body: tuple[Stmt, ...]
    carry: tuple[Assign, ...] = ()
    condition: Expr | None = None


@dataclass(frozen=True)
class Sort:
    """`values, positions[ix] axis = sort(over, expr)`: two local tiles; one of them may be None.

    Of the values that `expr` has over the axis `over`, in their order, the first as many as `axis`
    has; and the place of each along `over`. The order is that of `dlc.ir.ops.sorting`: NaN is the
    greatest, and equal values stay in theirs, `descending` or not.
    """

    values: str | None
    positions: str | None
    ix: tuple[Expr, ...]
    axis: Axis
    over: Axis
    expr: Expr
    descending: bool = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of the tiles."""
        return (self.axis,)

    @property
    def names(self) -> tuple[str, ...]:
        """The tiles that are made."""
        return tuple(n for n in (self.values, self.positions) if n is not None)


Stmt: TypeAlias = Assign | Par | For | Sort


@dataclass(frozen=True)
class Host:
    """The reference of an op row, which runs in Python.

    `attrs` are the op's attributes over the kernel's dims, in the row's order.
    """

    op: Op
    attrs: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """A kernel; `dims` are its symbols in the order in which a call binds them.

    With `host` it has no statements, and backends make no code of it: the runtime, which knows how
    to reach Python from where programs run, calls that from its inputs to its outputs.
    """

    name: str
    params: tuple[Param, ...]
    dims: tuple[str, ...]
    body: tuple[Stmt, ...]
    host: Host | None = None

    def param(self, name: str) -> Param | None:
        """The parameter `name`, None for a local."""
        return next((p for p in self.params if p.name == name), None)


def statements(body: tuple[Stmt, ...]) -> Iterator[Stmt]:
    """Every statement in `body`, outer before inner."""
    for s in body:
        yield s
        if isinstance(s, (Assign, Sort)):
            continue
        if isinstance(s, For):
            yield from s.carry
        yield from statements(s.body)


def expressions(kernel: Kernel) -> Iterator[Expr]:
    """Every distinct node of every right-hand side and index of `kernel`."""
    for s in statements(kernel.body):
        if isinstance(s, (Assign, Sort)):
            for e in (*s.ix, s.expr):
                yield from walk(e)
        elif isinstance(s, For) and s.condition is not None:
            yield from walk(s.condition)
