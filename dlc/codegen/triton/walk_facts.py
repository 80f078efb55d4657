"""What the schedule and the products of a walk depend on: widths, types, what is carried."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dlc.codegen.triton.plan import Item, cannot
from dlc.codegen.triton.schedules import SMALLEST, WalkKind
from dlc.codegen.triton.walks import Walk
from dlc.ir.scalar import Expr, reduced_axes, walk
from dlc.ir.types import DType, float16

WIDEST = 256  # elements of a row of which a block is held in registers


def items_of(w: Walk) -> Iterator[Item]:
    """The statements of a walk in order."""
    yield from (*w.carry, *w.before, *w.body, *w.after)


def product_bits(w: Walk) -> int:
    """The bits of the operands of the products, of the widest of several."""
    names = {p.name for p in w.kernel.params}
    dots = [n for i in items_of(w) for n in walk(i.expr) if n.op == "dot"]
    return max(narrow_type(n, names).bits for n in dots)


def reads_matrix(w: Walk) -> bool:
    """Whether a block of a mask is read for each block of scores, and takes its room."""
    both = {w.own.name, w.other.name}
    loads = [n for i in w.body for n in walk(i.expr) if n.op == "load"]
    read = [n for n in loads if w.kernel.param(n.attr) is not None]
    return any(both <= {i.attr for x in n.args for i in walk(x) if i.op == "index"} for n in read)


def width_of(w: Walk) -> int:
    """The most elements of a row."""
    axes = [a for i in items_of(w) for a in i.axes]
    axes += [a for i in items_of(w) for n in walk(i.expr) for a in reduced_axes(n)]
    widths = [a.extent for a in axes if a.block is None]
    for width in widths:
        if not isinstance(width, int) or width > WIDEST:
            why = f"rows of {width} elements; at most {WIDEST} are held"
            raise cannot(w.kernel, w.body[0].text, why)
    return max((x for x in widths if isinstance(x, int)), default=1)


def lanes(extent: int) -> int:
    """The size of a block of `tl.dot` that holds an extent."""
    return max(SMALLEST, 1 << max(extent - 1, 0).bit_length())


def _stored(e: Expr) -> Expr | None:
    """The load that an expression is, but for conversions; None for what is computed."""
    while e.op == "convert":
        e = e.args[0]
    return e if e.op == "load" else None


def narrow_type(e: Expr, params: Collection[str]) -> DType:
    """The type at which the operands of a product are multiplied."""
    halves: set[DType] = set()
    for x in e.args:
        source = x.args[0].dtype if x.op == "convert" else x.dtype
        is_half = source.is_float and source.bits == 16
        if is_half and _stored(x):
            halves.add(source)
        elif is_read(x, params):
            return e.dtype
    return halves.pop() if len(halves) == 1 else e.dtype


def is_read(e: Expr, params: Collection[str]) -> bool:
    """Whether an operand is read from memory."""
    found = _stored(e)
    return found is not None and found.attr in params


def kind_of(w: Walk) -> WalkKind:
    """What a walk carries: values beside the largest score, or sums alone."""
    if any(i.expr.op == "max" for i in w.body):
        return "values"
    return "sums" if len(w.carry) > 1 else "sum"


def scaled_sums(w: Walk) -> frozenset[str]:
    """What is carried that adds up products at float16 of something computed, of any size."""
    if kind_of(w) == "values":
        return frozenset()
    names = {p.name for p in w.kernel.params}
    following = {i.name.removeprefix("next_"): i.expr for i in w.body}

    def is_scaled(c: Item) -> bool:
        total = following.get(c.name)
        zero = c.expr.op == "const" and c.expr.attr == 0
        if not zero or total is None or total.op != "add" or total.args[1].op != "dot":
            return False
        before, dot = total.args
        computed = [x for x in dot.args if not is_read(x, names)]
        if before.op != "load" or before.attr != c.name or len(computed) != 1:
            return False
        rows = {n.attr for n in walk(computed[0]) if n.op == "index"} - {a.name for a in dot.attr}
        return rows == {w.own.name} and narrow_type(dot, names) is float16

    return frozenset(c.name for c in w.carry if is_scaled(c))
