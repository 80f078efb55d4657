"""The steps of tile programs: products of tiles, copies, runs of assignments, ordered loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from dlc.codegen.kernel_ir import Assign, Par
from dlc.ir.record import dataclass
from dlc.ir.scalar import Axis, Expr
from dlc.ir.types import DType


@dataclass(frozen=True)
class Product:
    """`target[..m.., ..n..] = dot(k, a*b)`, or `+=`; `a` varies with m, `b` with n.

    b_dtypes: the type of b in memory, then each that it is converted to.
    """

    target: str
    ix: tuple[Expr, ...]
    m: Axis
    n: Axis
    k: Axis
    a: Expr
    b: Expr
    b_dtypes: tuple[DType, ...]
    adds: bool

    @property
    def dtype(self) -> DType:
        """The type of the products and of their sums."""
        return self.b_dtypes[-1]


@dataclass(frozen=True)
class Copy:
    """`target[rows, columns] = source`, a load of a parameter.

    dtypes: its type in memory, then each that it is converted to.
    """

    target: str
    ix: tuple[Expr, ...]
    rows: Axis
    columns: Axis
    source: Expr
    dtypes: tuple[DType, ...]


@dataclass(frozen=True)
class Run:
    """Assignments in one loop over an axis; without one, they have loops of their own.

    vector: whether the axis is the last one of the tiles, so that its elements are lanes.
    """

    axis: Axis | None
    vector: bool
    assigns: tuple[Assign, ...]


@dataclass(frozen=True)
class Loop:
    """An ordered loop over blocks, and the steps that set what it carries."""

    axis: Axis
    condition: Expr | None
    carried: frozenset[str]
    start: tuple[Step, ...]
    body: tuple[Step, ...]


Step: TypeAlias = Product | Copy | Run | Loop


@dataclass(frozen=True)
class Tile:
    """A local that is kept in memory: its axes in the order of its indices."""

    axes: tuple[Axis, ...]
    dtype: DType


@dataclass
class TilePlan:
    """A nest as steps.

    tiles: the locals in memory by name; `next_x` of a carried x is x.
    """

    nest: Par
    steps: tuple[Step, ...]
    tiles: dict[str, Tile]


def all_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, those of loops after the loop itself."""
    for s in steps:
        yield s
        if isinstance(s, Loop):
            yield from all_steps((*s.start, *s.body))
