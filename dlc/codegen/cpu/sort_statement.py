"""Sort statements as code: the keys of a row are written to scratch memory and sorted there.

Where few of many elements are kept, keys are made a block at a time, and only those that are less
than the last of the best so far are held on to.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu.emit import llvm_type
from dlc.codegen.cpu.expressions import Tensor
from dlc.codegen.cpu.ordered_loop import ordered_loop
from dlc.codegen.cpu.sort_keys import KeySort
from dlc.codegen.cpu.sort_rows import RowSelect, RowSort
from dlc.codegen.index_math import blocks_of
from dlc.codegen.kernel_ir import Assign
from dlc.codegen.ordered_bits import PLACE_BITS
from dlc.codegen.schedule import tile_extents
from dlc.ir.dims import Dim, add, mul, product
from dlc.ir.scalar import Axis, index, load
from dlc.ir.types import int64, uint8, uint64

if TYPE_CHECKING:
    from dlc.codegen.cpu.statements import StatementEmitter

BLOCK = 4096  # keys that are made at a time where few are kept
FEW = 8  # times as many elements make it worth while to select


class SortEmitter:
    """Emits one sort of unsigned integers (see `sort_keys`)."""

    def __init__(self, owner: StatementEmitter, s: KeySort) -> None:
        self.owner, self.s = owner, s
        self.em, self.ex = owner.em, owner.ex
        self.dtype = s.expr.dtype
        self.name = s.values or f"{s.positions}.keys"
        lanes = owner.isa.lanes(self.dtype.bits)
        self.sort = RowSort(self.dtype.bits, s.low, s.high, s.positions is not None, lanes)

    def emit(self) -> None:
        """Sorts, and makes the tiles known."""
        s = self.s
        if s.low != PLACE_BITS or s.axis.extent == s.over.extent:
            self._whole()
            return
        em = self.em
        kept, count = self.ex.index(s.axis.extent), self.ex.index(s.over.extent)
        enough = em.value(f"icmp sle i64 {iv.multiply(em, kept, str(FEW))}, {count}")
        some = em.value(f"icmp sgt i64 {kept}, 0")
        few, all_, done = em.fresh("few"), em.fresh("all"), em.fresh("done")
        em.branch_if(em.value(f"and i1 {enough}, {some}"), few, all_)
        found: list[tuple[str, str]] = []
        for label, way in ((few, self._select), (all_, self._whole)):
            em.block(label)
            with self.ex.scope():
                found.append((way(), em.current))
            em.branch(done)
        em.block(done)
        merged = ", ".join(f"[ {pointer}, %{block} ]" for pointer, block in found)
        pointer = em.value(f"phi ptr {merged}")
        self.ex.bind_tensor(self.name, Tensor(self.dtype, pointer, (s.axis.extent,)))

    def _memory(self, number: int, size: Dim) -> str:
        """So many bytes of scratch memory."""
        return self.owner.tile_pointer(self.name, number, (size,), uint8)

    def _fill(self, over: Axis) -> str:
        """Writes the keys of an axis, or of its open block, to a tile."""
        s, at = self.s, index(over.name)
        fill = Assign(self.name, (at,), (over,), s.expr)
        self.owner.run([fill], [Assign("", (), (), load(self.name, (at,), self.dtype))])
        return self.ex.tensor(self.name).pointer

    def _whole(self) -> str:
        """Sorts the whole row; the address of the keys."""
        s = self.s
        dims = tile_extents((s.over,), (index(s.over.name),))
        size = product(dims)
        em, count = self.em, self.ex.index(size)
        keys = self._fill(s.over)
        places: list[str] = []
        if s.positions is not None:
            places.append(self.owner.tile_pointer(s.positions, 0, dims, int64))
        more = self._memory(1, mul(self.sort.more(size), self.sort.bytes))
        counts = self._memory(2, self.sort.counts_bytes)
        em.call_helper(self.sort.helper, [keys, *places, more, counts, count, "0"])
        moved = em.value(f"load i64, ptr {counts}, align 8")
        moved = em.value(f"icmp ne i64 {moved}, 0")
        keys = em.value(f"select i1 {moved}, ptr {more}, ptr {keys}")
        self.ex.bind_tensor(self.name, Tensor(self.dtype, keys, dims))
        if s.positions is not None:
            behind = iv.multiply(em, count, str(self.dtype.itemsize))
            other = em.value(f"getelementptr i8, ptr {more}, i64 {behind}")
            pointer = em.value(f"select i1 {moved}, ptr {other}, ptr {places[0]}")
            self.ex.bind_tensor(s.positions, Tensor(int64, pointer, dims))
        if s.zeros is not None:
            self._order_zeros(keys, count, s.zeros)
        return keys

    def _order_zeros(self, keys: str, count: str, greater: int) -> None:
        """Puts the zeros of a sorted row into the order in which they were, if there are both."""
        em, type_ = self.em, llvm_type(self.dtype)

        def at(k: str) -> str:
            return em.value(f"getelementptr {type_}, ptr {keys}, i64 {k}")

        def halve(_: str, values: list[str]) -> list[str]:
            low, length = values
            half = em.value(f"lshr i64 {length}, 1")
            middle = em.value(f"add i64 {low}, {half}")
            key = em.value(f"load {type_}, ptr {at(middle)}")
            before = em.value(f"icmp ult {type_} {key}, {greater - 1}")
            low = em.value(f"select i1 {before}, i64 {em.value(f'add i64 {middle}, 1')}, i64 {low}")
            rest = em.value(f"sub i64 {em.value(f'sub i64 {length}, {half}')}, 1")
            return [low, em.value(f"select i1 {before}, i64 {rest}, i64 {half}")]

        def left(_: str, values: list[str]) -> str:
            return em.value(f"icmp sgt i64 {values[1]}, 0")

        start, _ = ordered_loop(em, "64", [("i64", "0"), ("i64", count)], halve, left)
        inside = em.value(f"icmp slt i64 {start}, {count}")
        place = em.value(f"select i1 {inside}, i64 {start}, i64 0")
        first = em.value(f"load {type_}, ptr {at(place)}")  # scratch memory, also of an empty row
        lesser = em.value(f"icmp eq {type_} {first}, {greater - 1}")

        def put(i: str, values: list[str]) -> list[str]:
            (to,) = values
            with self.ex.scope({self.s.over.name: i}):
                key = self.ex.vector(self.s.expr)
            zero = em.value(f"icmp ult {type_} {em.value(f'sub {type_} {key}, {greater - 1}')}, 2")
            last = em.value(f"sub i64 {count}, 1")
            to_here = em.call("llvm.smin.i64", "i64", [("i64", to), ("i64", last)])
            held = em.value(f"load {type_}, ptr {at(to_here)}")
            chosen = em.value(f"select i1 {zero}, {type_} {key}, {type_} {held}")
            em.line(f"store {type_} {chosen}, ptr {at(to_here)}")
            return [em.value(f"add i64 {to}, {em.value(f'zext i1 {zero} to i64')}")]

        def reorder() -> None:
            with self.ex.scope():
                em.loop("0", count, 1, put, [("i64", start)])

        em.when(em.value(f"and i1 {inside}, {lesser}"), reorder)

    def _select(self) -> str:
        """Finds the first keys only; their address."""
        em, s, owner = self.em, self.s, self.owner
        chosen = RowSelect(self.sort, owner.isa.lanes(uint64.bits))
        limit = add(mul(s.axis.extent, 2), 8)
        room = mul(add(limit, chosen.lanes), uint64.itemsize)
        best = self._memory(3, room)
        more = self._memory(4, mul(self.sort.more(add(limit, chosen.lanes)), uint64.itemsize))
        counts, state = self._memory(2, self.sort.counts_bytes), self._memory(5, 64)
        kept, full = self.ex.index(s.axis.extent), self.ex.index(limit)
        em.line(f"store <2 x i64> <i64 0, i64 -1>, ptr {state}, align 8")
        over = Axis(s.over.name, s.over.extent, BLOCK)
        owner.math.declare(over)
        block = self._memory(6, BLOCK * uint64.itemsize)
        owner.storage[self.name] = block

        def one(number: str, _: list[str]) -> list[str]:
            with ExitStack() as stack:
                owner.at([over], [number], stack)
                words = self._fill(over)
                low, end = owner.axis_range(over)
                length = iv.subtract(em, end, low)
                em.call_helper(
                    chosen.helper, [words, best, more, counts, state, length, kept, full]
                )
            return []

        em.loop("0", self.ex.index(blocks_of(over)), 1, one)
        del owner.storage[self.name]
        held = em.value(f"load i64, ptr {state}, align 8")
        em.call_helper(self.sort.helper, [best, more, counts, held, "1"])
        return best
