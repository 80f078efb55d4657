"""Sorts of any values as sorts of unsigned integers, which machine code does.

Where places are wanted too, key and place share one word; of 64-bit values, keys and places are two
arrays, and values are read again at their places. Of floats without places, zeros of both
signs have keys of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Sort, Stmt
from dlc.codegen.kernel_transform import rename_axes, rewrite
from dlc.codegen.ordered_bits import PLACE_BITS, OrderedBits, place_of
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import Expr, load
from dlc.ir.types import int64, uint64


@dataclass(frozen=True)
class KeySort(Sort):
    """A sort of unsigned integers that only differ, or are in their order, but for some bits.

    Args:
        low: The first bit that they are sorted by.
        high: The end of these bits.
        zeros: Of floats without places: the greater key of a zero, the other being one less. The
            two are to stand in the order in which they were.
    """

    low: int = 0
    high: int = 64
    zeros: int | None = None


def with_integer_keys(kernel: Kernel) -> Kernel:
    """A normalised kernel all of whose sorts are of unsigned integers; it means the same."""
    return replace(kernel, body=_body(kernel.body, {}))


_Reads = dict[str, Callable[[Expr], Expr]]  # by tile: its element at an index


def _body(body: Sequence[Stmt], reads: _Reads) -> tuple[Stmt, ...]:
    found: list[Stmt] = []
    known = dict(reads)

    def mapped(e: Expr) -> Expr:
        return _inlined(e, known)

    for s in body:
        match s:
            case Assign():
                found.append(replace(s, ix=tuple(map(mapped, s.ix)), expr=mapped(s.expr)))
            case Sort():
                new, own = _integer_sort(replace(s, expr=mapped(s.expr)))
                found.append(new)
                known |= own
            case Par():
                found.append(Par(s.axes, _body(s.body, known)))
            case For():
                carry = tuple(replace(c, expr=mapped(c.expr)) for c in s.carry)
                condition = None if s.condition is None else mapped(s.condition)
                found.append(For(s.axis, _body(s.body, known), carry, condition))
    return tuple(found)


def _inlined(e: Expr, reads: _Reads) -> Expr:
    def change(node: Expr) -> Expr | None:
        read = reads.get(node.attr) if node.op == "load" else None
        return None if read is None else read(_inlined(node.args[0], reads))

    return rewrite(e, change) if reads else e


def _integer_sort(s: Sort) -> tuple[KeySort, _Reads]:
    """A sort of unsigned integers, and what is to be read for its tiles."""
    keys = OrderedBits(s.expr.dtype, s.descending)
    key = keys.encoded(s.expr)

    def sort(values: str | None, places: str | None, e: Expr, low: int = 0) -> KeySort:
        bits = 1 if s.expr.dtype.kind == "b" else keys.dtype.bits
        return KeySort(values, places, s.ix, s.axis, s.over, e, low=low, high=low + bits)

    if s.positions is None:
        name = s.values or ""
        zeros = keys.middle if s.expr.dtype.is_float else None
        key = keys.encoded(s.expr, zeros_apart=True)
        alone = replace(sort(name, None, key), zeros=zeros)
        return alone, {name: lambda k: keys.decoded(load(name, (k,), keys.dtype))}
    if keys.dtype is uint64:
        places = s.positions or f"{s.values}.places"

        def at(k: Expr) -> Expr:
            return rename_axes(s.expr, {s.over.name: load(places, (k,), int64)})

        return sort(None, places, key), {} if s.values is None else {s.values: at}
    words = f"{s.values or s.positions}.words"
    reads: _Reads = {}
    if s.values is not None:
        reads[s.values] = lambda k: keys.unpacked(load(words, (k,), uint64))
    if s.positions is not None:
        reads[s.positions] = lambda k: place_of(load(words, (k,), uint64))
    return sort(words, None, keys.packed(s.expr, key, s.over), PLACE_BITS), reads
