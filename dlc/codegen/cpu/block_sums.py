"""Long sums in blocks: each block is summed by itself, and blocks are added up with their errors.

A chain of additions of floats loses with its length. So the accumulators of a loop begin anew after
so many steps, and what they had is added to a total together with what that addition rounds away
(TwoSum; Knuth, The Art of Computer Programming, volume 2, section 4.2.2). What is lost is then that
of the chain in a block, however long a sum is. Sums of up to a block are what they are without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.literals import literal
from dlc.codegen.cpu.reductions import Reduction
from dlc.ir.types import bool_

BLOCK = 64  # steps of a loop, after which accumulators begin anew; changes bits

Held = list[tuple[str, str]]  # (LLVM type, value) of what a loop carries


class BlockSums:
    """The blocks of the float sums among the reductions of a loop, in so many lanes.

    What it carries: how many steps the block has had, whether there was one before it, and of each
    sum the total of the blocks before and the sum of the errors.
    """

    def __init__(self, em: Emitter, reductions: Mapping[str, Reduction], lanes: int) -> None:
        self.em, self.lanes = em, lanes
        self.sums = {
            name: r.dtype
            for name, r in reductions.items()
            if r.kind == "sum" and r.dtype.is_float and r.dtype.bits >= 32
        }

    def start(self) -> Held:
        """The initial values of what is carried."""
        zeros = [
            (llvm_type(dtype, self.lanes), literal(0.0, dtype, self.lanes))
            for dtype in self.sums.values()
            for _ in range(2)
        ]
        return [("i64", "0"), ("i64", "0"), *zeros]

    def after(
        self,
        steps: str,
        inner: Held,
        carried: Sequence[str],
        sums: Callable[[list[str]], Mapping[str, str]],
        fresh: Sequence[str],
    ) -> list[str]:
        """What the accumulators and this carry after so many more steps.

        Args:
            steps: Of the loop, since the last time.
            inner: The accumulators of the reductions.
            carried: What is carried so far.
            sums: Of such accumulators, each sum in as many lanes as totals have.
            fresh: the first value of each accumulator that begins anew, "" for others.
        """
        em = self.em
        count = em.value(f"add i64 {carried[0]}, {steps}")
        due = em.value(f"zext i1 {em.value(f'icmp sge i64 {count}, {BLOCK}')} to i64")
        types = [t for t, _ in self.start()]

        def flush(_: str, values: list[str]) -> list[str]:
            accumulators, held = values[: len(inner)], values[len(inner) :]
            totals: list[str] = []
            for k, (name, value) in enumerate(sums(accumulators).items()):
                totals += self._added(name, held[2 * k + 2 : 2 * k + 4], value)
            begun = [f or v for f, v in zip(fresh, accumulators, strict=True)]
            return [*begun, "0", "1", *totals]

        now = [count, *carried[1:]]
        return em.loop("0", due, 1, flush, [*inner, *zip(types, now, strict=True)])

    def _added(self, name: str, held: Sequence[str], value: str) -> list[str]:
        """(total, errors) with one more value."""
        em, type_ = self.em, llvm_type(self.sums[name], self.lanes)
        total, errors = held
        new = em.value(f"fadd {type_} {total}, {value}")
        part = em.value(f"fsub {type_} {new}, {total}")
        lost = em.value(f"fsub {type_} {total}, {em.value(f'fsub {type_} {new}, {part}')}")
        error = em.value(f"fadd {type_} {lost}, {em.value(f'fsub {type_} {value}, {part}')}")
        return [new, em.value(f"fadd {type_} {errors}, {error}")]

    def whole(self, sums: Mapping[str, str], carried: Sequence[str]) -> dict[str, str]:
        """The sums of all blocks, given those of the last one."""
        em = self.em

        def several(_: str, values: list[str]) -> list[str]:
            return [
                self._closed(name, self._added(name, carried[2 * k + 2 : 2 * k + 4], value))
                for k, (name, value) in enumerate(zip(self.sums, values, strict=True))
            ]

        types = [llvm_type(dtype, self.lanes) for dtype in self.sums.values()]
        last = [(t, sums[name]) for t, name in zip(types, self.sums, strict=True)]
        return dict(zip(self.sums, em.loop("0", carried[1], 1, several, last), strict=True))

    def _closed(self, name: str, held: Sequence[str]) -> str:
        """The total with the errors: infinite or NaN where the total is, which has none."""
        em, dtype = self.em, self.sums[name]
        type_, zero = llvm_type(dtype, self.lanes), literal(0.0, dtype, self.lanes)
        total, errors = held
        none = em.value(f"fsub {type_} {errors}, {errors}")
        finite = em.value(f"fcmp oeq {type_} {none}, {zero}")
        flags = llvm_type(bool_, self.lanes)
        errors = em.value(f"select {flags} {finite}, {type_} {errors}, {type_} {zero}")
        return em.value(f"fadd {type_} {total}, {errors}")
