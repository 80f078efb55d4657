"""Rules of reductions and contractions."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.ir.core import Node
from dlc.ir.rewrite import RewriteBuilder, Rule, rule

_IN_ANY_ORDER = ("reduce_max", "reduce_min", "reduce_any", "reduce_all")
_OF_INTEGERS = ("reduce_sum", "reduce_prod")
_ALL = (*_IN_ANY_ORDER, *_OF_INTEGERS)
_TYPES = ["f32[3,4,5]", "bool[3,4,5]", "i8[3,4,5]"]


def _order_is_free(node: Node) -> bool:
    """Whether the reduction has the same bits in any order."""
    return node.op.name in _IN_ANY_ORDER or node.tensor.dtype.is_integer


NOTHING = tuple(
    Rule(
        f"{name}_nothing", f"{name}(x){{axes=a}}", "x",
        when=lambda m: not m["a"] and _order_is_free(m.root),  # a float sum starts from 0.0
        given={"x": _TYPES, "a": [()]},
    )
    for name in _ALL
)  # fmt: skip


@rule(
    *_ALL,
    name="reduce_reduce",
    patterns=[f"{op}({op}(x){{axes=a}}){{axes=b}}" for op in _ALL],
    given={"x": _TYPES, "a": [(0,), (1,), (0, 2)], "b": [(0,), (1,), (0, 1)]},
)
def reduce_reduce(b: RewriteBuilder, node: Node, inner: Node) -> Node | None:
    """Two reductions of one kind are one over the axes of both, where the order is free."""
    if inner.op is not node.op or not _order_is_free(node) or b.uses(inner) != 1:
        return None
    x = inner.inputs[0]
    kept = [k for k in range(x.tensor.rank) if k not in inner.attrs["axes"]]
    axes = sorted({*inner.attrs["axes"], *(kept[a] for a in node.attrs["axes"])})
    return b.emit(node.op, (x,), {"axes": tuple(axes)})


@rule(
    *_ALL,
    name="reduce_transpose",
    patterns=[f"{op}(transpose(x){{axes=p}}){{axes=a}}" for op in _ALL],
    given={"x": _TYPES, "p": [(1, 0, 2), (2, 1, 0)], "a": [(0,), (0, 1), (0, 2), (0, 1, 2)]},
)
def reduce_transpose(b: RewriteBuilder, node: Node, moved: Node) -> Node | None:
    """The reduction of a transpose reads its operand, where neither order shows."""
    if moved.op.name != "transpose" or not _order_is_free(node):
        return None
    axes = moved.attrs["axes"]
    reduced = node.attrs["axes"]
    kept = [a for k, a in enumerate(axes) if k not in reduced]
    if kept != sorted(kept):
        return None
    return b.emit(node.op, moved.inputs, {"axes": tuple(sorted(axes[k] for k in reduced))})


@rule(
    *_IN_ANY_ORDER,
    name="reduce_units",
    patterns=[f"{op}(x){{axes=a}}" for op in _IN_ANY_ORDER],
    given={"x": ["f32[3,1,5]", "bool[3,1,5]"], "a": [(1,)]},
)
def reduce_units(b: RewriteBuilder, node: Node, x: Node) -> Node | None:
    """A reduction of axes of extent 1 drops them."""
    if any(x.shape[a] != 1 for a in node.attrs["axes"]):
        return None
    return b.reshape(x, shape=node.shape)


def _through(axes: Sequence[int], batch: Sequence[int], contract: Sequence[int]) -> bool:
    """Whether the free axes of a transposed operand stay in their order without the transpose."""
    taken = {*batch, *contract}
    free = [a for k, a in enumerate(axes) if k not in taken]
    return free == sorted(free)


def _moved(side: str) -> Rule:
    batch, contract = ("lb", "lc") if side == "lhs" else ("rb", "rc")
    given = "transpose(x){axes=p}, y" if side == "lhs" else "y, transpose(x){axes=p}"
    axes = {"lb": "lb", "lc": "lc", "rb": "rb", "rc": "rc"} | {batch: "nb", contract: "nc"}
    return Rule(
        f"dot_transposed_{side}",
        f"dot_general({given}){{{_axes_text('lb', 'lc', 'rb', 'rc')}}}",
        f"dot_general({'x, y' if side == 'lhs' else 'y, x'}){{{_axes_text(*axes.values())}}}",
        when=lambda m: _through(m["p"], m[batch], m[contract]),
        let={
            "nb": lambda m: tuple(m["p"][k] for k in m[batch]),
            "nc": lambda m: tuple(m["p"][k] for k in m[contract]),
        },
        inexact="a library that the interpreter calls may sum transposed operands in another order",
        given={
            "x": ["f32[3,4]", "i32[3,4]", "f32[4,3]", "i32[3,4,5]"],
            "y": ["f32[3,5]", "i32[3,5]", "i32[4,5,3]"],
            "p": [(1, 0), (2, 0, 1)],
            "lb": [(), (0,)], "lc": [(0,), (1,), (2,)], "rb": [(), (0,)], "rc": [(0,), (1,)],
        },
    )  # fmt: skip


def _axes_text(lb: str, lc: str, rb: str, rc: str) -> str:
    return f"lhs_batch={lb}, lhs_contract={lc}, rhs_batch={rb}, rhs_contract={rc}"


CONTRACTIONS = (_moved("lhs"), _moved("rhs"))
REDUCTIONS = (*NOTHING, reduce_units, reduce_reduce, reduce_transpose, *CONTRACTIONS)
