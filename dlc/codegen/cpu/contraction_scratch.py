"""The scratch memory of a contraction: sums, packed blocks and tables of offsets, part by part."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.codegen.cpu.contraction_form import Contraction
from dlc.ir.dims import Dim, add, ceildiv, floordiv, maximum, minimum, mul
from dlc.ir.record import dataclass

# Bytes of packed panels that are kept from one unit to the next.
_KEPT_BYTES = 8 << 20
# Bytes of packed A and offsets along K, of all its steps, that are kept for units that follow.
_HELD_BYTES = 512 << 10
_ALIGNMENT = 64


@dataclass(frozen=True)
class Held:
    """Room for what is gathered or packed along the whole of K.

    holds: 1 where there is room, 0 where K is too long.
    a_at, tables_at: where rows of A, `a_row` elements apart, and the tables begin, in bytes.
    size: all of it, in bytes.
    """

    holds: Dim
    a_at: Dim
    a_row: Dim
    tables_at: tuple[Dim, Dim]
    size: Dim


@dataclass(frozen=True)
class Areas:
    """Where the parts of scratch memory begin, in bytes.

    c_at: sums of a unit that do not go straight to the output.
    b_at: a packed panel of B.
    a_at: packed rows of A, `a_row` elements apart.
    table_at, k_tables_at: offsets of rows or columns, and along k those of a and b.
    kept_at: the products, `k_kept` at most, whose packed blocks of B are kept for the next unit.
    run_at: the sums of a run of steps, if there is more than one.
    held: room for A and the tables of all steps of K, which units that follow read again.
    size: all of it.
    """

    c_at: int
    b_at: int
    a_at: int
    a_row: int
    table_at: int
    k_tables_at: tuple[int, int]
    kept_at: int
    k_kept: int
    run_at: Dim
    held: Held
    size: Dim


def lay_out(
    form: Contraction,
    lanes: int,
    *,
    depth: int,
    panel: int,
    rows: int,
    columns: int,
    packs_a: bool,
    several_runs: Dim,
) -> Areas:
    """The parts one after the other.

    Args:
        form: The contraction.
        lanes: Elements of a vector.
        depth: The most products in a step of K.
        panel: Columns of a panel.
        rows: The most rows of a unit.
        columns: The most columns of a unit.
        packs_a: Whether blocks of A may be packed.
        several_runs: 1 where a run of steps may have sums of its own, else 0.
    """
    size = form.dtype.itemsize
    k_kept = 0 if form.b.panel else max(depth, _KEPT_BYTES // (columns * size))
    a_row = _up(depth, lanes) + lanes
    packed_rows = rows if packs_a else 0
    tables = [x.k_stride is None for x in (form.a, form.b)]
    parts = [
        rows * columns * size,
        depth * panel * size,
        packed_rows * a_row * size,
        max(rows, panel) * 8 if any(tables) else 0,
        *(depth * 8 if gathered else 0 for gathered in tables),
    ]
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + _up(part, _ALIGNMENT))
    *_, kept_at = starts
    run_at = add(kept_at, mul(minimum(form.k.extent, k_kept), columns * size))
    held = _held(form, lanes, packed_rows, tables, add(run_at, mul(several_runs, parts[0])))
    return Areas(
        c_at=starts[0],
        b_at=starts[1],
        a_at=starts[2],
        a_row=a_row,
        table_at=starts[3],
        k_tables_at=(starts[4], starts[5]),
        kept_at=kept_at,
        k_kept=k_kept,
        run_at=run_at,
        held=held,
        size=add(held.a_at, held.size),
    )


def _held(form: Contraction, lanes: int, rows: int, tables: Sequence[bool], at: Dim) -> Held:
    """Room from `at` on for so many rows of A, and for the tables that there are."""
    k = mul(ceildiv(form.k.extent, lanes), lanes)
    row = add(k, lanes)
    tables_at: list[Dim] = []
    end = add(at, mul(mul(minimum(form.m.extent, rows), row), form.dtype.itemsize))
    for gathered in tables:
        tables_at.append(end)
        end = add(end, mul(k, 8 if gathered else 0))
    size = add(end, mul(at, -1))
    holds = minimum(1, floordiv(_HELD_BYTES, maximum(1, size)))
    return Held(holds, at, row, (tables_at[0], tables_at[1]), mul(holds, size))


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
