"""Sorts as kernels: each row is sorted once for all results, values, places or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.codegen.kernel_ir import Assign, Par, Sort, Stmt
from dlc.ir import scalar
from dlc.ir.core import Node
from dlc.ir.inline import Inliner
from dlc.ir.scalar import Axis, Expr

if TYPE_CHECKING:
    from dlc.codegen.lower import Lowering


def sort_statements(low: Lowering, node: Node) -> list[Stmt]:
    """The statements of a sort by rows."""
    axis, x = node.attrs["axis"], node.inputs[0]
    extents = [(k, d) for k, d in enumerate(node.shape) if k != axis]
    outer = tuple(Axis(low.names.make(f"i{k}"), d) for k, d in extents)
    rows = tuple(scalar.index(a.name) for a in outer)

    def place(at: Expr) -> tuple[Expr, ...]:
        return (*rows[:axis], at, *rows[axis:])

    over = Axis(low.names.make("n"), x.shape[axis])
    inliner = Inliner(low.leaf, {a.name: a.extent for a in (*outer, over)})
    key = inliner.value(x, place(scalar.index(over.name)))
    kept = Axis(low.names.make("k"), node.shape[axis])
    results = list(zip(low.body.results, low.out_names, strict=True))
    tiles = {r.op.name: low.names.make("s" if r.op.name == "sort" else "p") for r, _ in results}
    at = (scalar.index(kept.name),)
    values, places = tiles.get("sort"), tiles.get("argsort")
    stmts: list[Stmt] = [Sort(values, places, at, kept, over, key, node.attrs["descending"])]
    for result, name in results:
        own = Axis(scalar.fresh_axis(), node.shape[axis])
        k = scalar.index(own.name)
        value = scalar.load(tiles[result.op.name], (k,), result.tensor.dtype)
        stmts.append(Assign(name, place(k), (own,), value))
    return [Par(outer, tuple(stmts))]
