"""Sort statements as code: the keys of a row are written to scratch memory and sorted there.

Where few of many elements are kept, keys are made a block at a time, and only those that are less
than the last of the best so far are held on to.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu.emit import llvm_type
from dlc.codegen.cpu.expressions import Tensor
from dlc.codegen.cpu.ordered_loop import ordered_loop
from dlc.codegen.cpu.sort_keys import KeySort
from dlc.codegen.cpu.sort_network import LONGEST
from dlc.codegen.cpu.sort_rows import RowSelect, RowSort
from dlc.codegen.cpu.sort_share import PARTS, SAMPLE, KeyFilter, Share
from dlc.codegen.index_math import blocks_of
from dlc.codegen.kernel_ir import Assign
from dlc.codegen.kernel_transform import rename_axes
from dlc.codegen.ordered_bits import PLACE_BITS
from dlc.codegen.schedule import tile_extents
from dlc.ir import scalar
from dlc.ir.dims import Dim, add, floordiv, mul, product
from dlc.ir.record import replace
from dlc.ir.scalar import Axis, Expr, index, load
from dlc.ir.types import DType, int64, uint8, uint64

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
        isa, bits, places = owner.isa, self.dtype.bits, s.positions is not None
        size = s.over.extent
        long = not isinstance(size, int) or size > LONGEST
        parts = long and isa.compresses and bits >= 32 and not places and s.high - s.low > 1
        self.sort = RowSort(bits, s.low, s.high, places, isa.lanes(bits), parts)

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

    def _fill(self, over: Axis, key: Expr | None = None) -> str:
        """Writes the keys of an axis, or of its open block, to a tile."""
        at = index(over.name)
        fill = Assign(self.name, (at,), (over,), key or self.s.expr)
        self.owner.run([fill], [Assign("", (), (), load(self.name, (at,), self.dtype))])
        return self.ex.tensor(self.name).pointer

    def _whole(self) -> str:
        """Sorts the row, or what of it is to be sorted here; the address of the keys."""
        s, em = self.s, self.em
        size = product(tile_extents((s.over,), (index(s.over.name),)))
        share = self.owner.share
        if share is None:
            return self._sorted(size, self._all(size), self.ex.index(size), "0")
        length = self.ex.index(size)  # here, where all that follows may use it
        whole = em.value(f"icmp eq i64 {share.low}, 0")
        whole = em.value(f"and i1 {whole}, {em.value(f'icmp eq i64 {share.high}, {share.count}')}")
        all_, some, done = em.fresh("all"), em.fresh("some"), em.fresh("done")
        em.branch_if(whole, all_, some)
        em.block(all_)
        with self.ex.scope():
            self._all(size)
        first = length, "0", em.current
        em.branch(done)
        em.block(some)
        with self.ex.scope():
            second = *self._some(size, share), em.current
        em.branch(done)
        em.block(done)
        count, before = (
            em.value(f"phi i64 [ {first[k]}, %{first[2]} ], [ {second[k]}, %{second[2]} ]")
            for k in range(2)
        )
        end = iv.add(em, before, count)
        self.owner.ranges |= dict.fromkeys(share.axes, (before, end))
        return self._sorted(size, self._keys(size), count, before)

    def _keys(self, size: Dim) -> str:
        """The memory of all keys, and of a vector behind them."""
        return self._memory(0, mul(add(size, self.sort.lanes), self.dtype.itemsize))

    def _places(self, size: Dim) -> list[str]:
        """The memory of their places, where these are wanted."""
        if self.s.positions is None:
            return []
        return [self._memory(8, mul(add(size, self.sort.lanes), int64.itemsize))]

    def _all(self, size: Dim) -> str:
        """Makes all keys, with their places; their address."""
        saved = self.owner.storage
        keys = self._keys(size)
        self.owner.storage = saved | {self.name: keys}
        self._fill(self.s.over)
        self.owner.storage = saved

        for places in self._places(size):
            self._number(places, self.ex.index(size))
        return keys

    def _number(self, places: str, count: str) -> None:
        em = self.em

        def number(k: str, _: list[str]) -> list[str]:
            at = em.value(f"getelementptr i64, ptr {places}, i64 {k}")
            em.line(f"store i64 {k}, ptr {at}")
            return []

        em.loop("0", count, 1, number)

    def _sorted(self, size: Dim, keys: str, count: str, before: str) -> str:
        """Sorts so many keys, whose places in the row are from `before` on."""
        s, em, dims = self.s, self.em, (size,)
        more = self._memory(1, mul(self.sort.more(size), self.sort.bytes))
        counts = self._memory(2, self.sort.counts_bytes)
        places = self._places(size)
        em.call_helper(self.sort.helper, [keys, *places, more, counts, count, "0"])
        moved = em.value(f"load i64, ptr {counts}, align 8")
        moved = em.value(f"icmp ne i64 {moved}, 0")
        keys = em.value(f"select i1 {moved}, ptr {more}, ptr {keys}")
        self.ex.bind_tensor(self.name, Tensor(self.dtype, self._from(keys, before), dims))
        if s.positions is not None:
            behind = iv.multiply(em, count, str(self.dtype.itemsize))
            other = em.value(f"getelementptr i8, ptr {more}, i64 {behind}")
            pointer = em.value(f"select i1 {moved}, ptr {other}, ptr {places[0]}")
            tensor = Tensor(int64, self._from(pointer, before, int64), dims)
            self.ex.bind_tensor(s.positions, tensor)
        if s.zeros is not None:
            self._order_zeros(keys, count, s.zeros)
        return keys

    def _from(self, pointer: str, before: str, dtype: DType | None = None) -> str:
        """The address of a whole row of which the elements from `before` on are at a pointer."""
        back = iv.subtract(self.em, "0", before)
        type_ = llvm_type(dtype or self.dtype)
        return self.em.value(f"getelementptr {type_}, ptr {pointer}, i64 {back}")

    # Shares

    def _some(self, size: Dim, share: Share) -> tuple[str, str]:
        """Makes the keys of a share, and their places: how many they are, and come before them."""
        em, owner = self.em, self.owner
        low, high = self._bounds(size, share)
        open_ = em.value(f"icmp eq i64 {share.high}, {share.count}")
        open_ = em.value(f"zext i1 {open_} to i64")
        lanes = self.sort.lanes if owner.isa.compresses else 1
        chosen = KeyFilter(self.dtype.bits, lanes, self.s.positions is not None)
        keys, places, state = self._keys(size), self._places(size), self._memory(5, 64)
        em.line(f"store <2 x i64> zeroinitializer, ptr {state}, align 8")

        def some(words: str, first: str, length: str) -> None:
            number = [first] if places else []
            args = [words, keys, *places, state, low, high, open_, length, *number]
            em.call_helper(chosen.helper, args)

        self._by_blocks(some)
        second = em.value(f"getelementptr i64, ptr {state}, i64 1")
        count, before = (em.value(f"load i64, ptr {p}, align 8") for p in (state, second))
        return count, before

    def _bounds(self, size: Dim, share: Share) -> tuple[str, str]:
        """The keys from which on a share and the next one begin."""
        em, s, owner, type_ = self.em, self.s, self.owner, llvm_type(self.dtype)
        axis = Axis(f"{s.over.name}.sample", SAMPLE)
        owner.math.declare(axis)
        step = scalar.dim(floordiv(size, SAMPLE))
        place = scalar.mul_index(index(axis.name), step)
        sample = self._memory(7, SAMPLE * self.dtype.itemsize)
        saved, owner.storage = owner.storage, owner.storage | {self.name: sample}
        self._fill(axis, rename_axes(s.expr, {s.over.name: place}))
        owner.storage = saved
        more = self._memory(1, mul(self.sort.more(size), self.sort.bytes))
        counts = self._memory(2, self.sort.counts_bytes)
        sort = replace(self.sort, places=False)
        em.call_helper(sort.helper, [sample, more, counts, str(SAMPLE), "1"])

        first = em.value(f"icmp eq i64 {share.low}, 0")
        bounds = [self._bound(sample, unit) for unit in (share.low, share.high)]
        return em.value(f"select i1 {first}, {type_} 0, {type_} {bounds[0]}"), bounds[1]

    def _bound(self, sample: str, unit: str) -> str:
        """The key at which a unit begins: with those that are equal to its quantile or after them.

        What leaves the nearer number of a sample before it. Zeros of both signs stay together.
        """
        em, s, type_ = self.em, self.s, llvm_type(self.dtype)

        def at(k: str) -> str:
            place = em.value(f"getelementptr {type_}, ptr {sample}, i64 {k}")
            return em.value(f"load {type_}, ptr {place}")

        wanted = iv.multiply(em, unit, str(SAMPLE // PARTS))
        key = at(iv.minimum(em, wanted, str(SAMPLE - 1)))
        last = key
        if s.zeros is not None:
            zero = em.value(f"icmp eq {type_} {key}, {s.zeros}")
            key = em.value(f"select i1 {zero}, {type_} {s.zeros - 1}, {type_} {key}")
            zero = em.value(f"icmp eq {type_} {key}, {s.zeros - 1}")
            last = em.value(f"select i1 {zero}, {type_} {s.zeros}, {type_} {key}")

        def count(k: str, held: list[str]) -> list[str]:
            one = at(k)
            tests = (f"icmp ult {type_} {one}, {key}", f"icmp ule {type_} {one}, {last}")
            return [
                em.value(f"add i64 {total}, {em.value(f'zext i1 {em.value(test)} to i64')}")
                for total, test in zip(held, tests, strict=True)
            ]

        less, most = em.loop("0", str(SAMPLE), 1, count, [("i64", "0"), ("i64", "0")])
        near = iv.subtract(em, wanted, less)
        far = iv.subtract(em, most, wanted)
        after = em.value(f"icmp slt i64 {far}, {near}")
        # Behind the greatest key of all there is none.
        following = em.value(f"add {type_} {last}, 1")
        some = em.value(f"icmp ne {type_} {following}, 0")
        after = em.value(f"and i1 {after}, {some}")
        return em.value(f"select i1 {after}, {type_} {following}, {type_} {key}")

    def _by_blocks(self, use: Callable[[str, str, str], None]) -> None:
        """Makes the keys of the row a block at a time: their address, first place and number."""
        em, s, owner = self.em, self.s, self.owner
        over = Axis(s.over.name, s.over.extent, BLOCK)
        owner.math.declare(over)
        saved = owner.storage
        owner.storage = saved | {self.name: self._memory(6, BLOCK * self.dtype.itemsize)}

        def one(number: str, _: list[str]) -> list[str]:
            with ExitStack() as stack:
                owner.at([over], [number], stack)
                words = self._fill(over)
                low, end = owner.axis_range(over)
                use(words, low, iv.subtract(em, end, low))
            return []

        em.loop("0", self.ex.index(blocks_of(over)), 1, one)
        owner.storage = saved

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
                em.loop("0", self.ex.index(self.s.over.extent), 1, put, [("i64", start)])

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

        def some(words: str, _: str, length: str) -> None:
            args = [words, best, more, counts, state, length, kept, full]
            em.call_helper(chosen.helper, args)

        self._by_blocks(some)
        held = em.value(f"load i64, ptr {state}, align 8")
        em.call_helper(self.sort.helper, [best, more, counts, held, "1"])
        return best
