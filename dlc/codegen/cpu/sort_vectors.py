"""Vectors of unsigned integers that are sorted against each other, in registers.

Element i of V * lanes is in lane i / V of vector i % V, so that all distances below V are between
whole vectors. Bitonic sort (Batcher, 1968) in the form in which all comparisons are ascending: runs
of k elements are made of two runs of half the length by comparing each element with its mirror
image in the run, then at distances k/4, k/8, ..., 1.
"""

from __future__ import annotations

from collections.abc import Callable

from dlc.codegen.cpu.emit import Emitter
from dlc.ir.record import dataclass


@dataclass(frozen=True)
class SortVectors:
    """Comparisons of vectors of so many lanes of so many bits."""

    em: Emitter
    bits: int
    lanes: int

    @property
    def element(self) -> str:
        """The LLVM type of an element."""
        return f"i{self.bits}"

    @property
    def type(self) -> str:
        """The LLVM type of a vector."""
        return f"<{self.lanes} x i{self.bits}>"

    def at(self, base: str, k: str) -> str:
        """The address of element `k`."""
        return self.em.value(f"getelementptr {self.element}, ptr {base}, i64 {k}")

    def load(self, base: str, k: str) -> str:
        """The vector whose first element is `k`."""
        return self.em.value(f"load {self.type}, ptr {self.at(base, k)}, align {self.bits // 8}")

    def store(self, value: str, base: str, k: str) -> None:
        """Writes a vector to element `k` and those behind it."""
        self.em.line(f"store {self.type} {value}, ptr {self.at(base, k)}, align {self.bits // 8}")

    def gathered(self, base: str, steps: str) -> str:
        """The elements at so many from `base`, a vector of i64."""
        lanes = self.lanes
        places = self.em.value(f"getelementptr {self.element}, ptr {base}, <{lanes} x i64> {steps}")
        return self.em.call(
            f"llvm.masked.gather.v{lanes}{self.element}.v{lanes}p0",
            self.type,
            [
                (f"<{lanes} x ptr>", places),
                ("i32", str(self.bits // 8)),
                (f"<{lanes} x i1>", "splat (i1 true)"),
                (self.type, "zeroinitializer"),
            ],
        )

    def least(self, a: str, b: str) -> str:
        """The lesser elements of two vectors."""
        return self._two("umin", a, b)

    def greatest(self, a: str, b: str) -> str:
        """The greater elements of two vectors."""
        return self._two("umax", a, b)

    def _two(self, op: str, a: str, b: str) -> str:
        name = f"llvm.{op}.v{self.lanes}{self.element}"
        return self.em.call(name, self.type, [(self.type, a), (self.type, b)])

    # Whole vectors

    def exchange(self, held: list[str], a: int, b: int) -> None:
        """Puts the lesser elements of two vectors into the first."""
        held[a], held[b] = self.least(held[a], held[b]), self.greatest(held[a], held[b])

    def runs(self, held: list[str]) -> None:
        """Sorts what is in the same lane of vectors."""
        run = 2
        while run <= len(held):
            for i in range(len(held)):
                if i < i ^ (run - 1):
                    self.exchange(held, i, i ^ (run - 1))
            self.near(held, run // 4)
            run *= 2

    def near(self, held: list[str], distance: int) -> None:
        """Comparisons at a distance of vectors, and at its halves."""
        while distance:
            for i in range(len(held)):
                if not i & distance:
                    self.exchange(held, i, i + distance)
            distance //= 2

    # Lanes

    def across(self, a: str, b: str, group: int) -> list[str]:
        """Runs of `group` lanes of vectors that mirror each other: all distances of lanes."""
        turned = self._permuted(b, group - 1), self._permuted(a, group - 1)
        both = [self._ordered(x, t, group // 2) for x, t in zip((a, b), turned, strict=True)]
        return [self._within(x, group // 4) for x in both]

    def in_order(self, x: str) -> str:
        """The sorted elements of one vector."""
        group = 2
        while group <= self.lanes:
            x = self._ordered(x, self._permuted(x, group - 1), group // 2)
            x = self._within(x, group // 4)
            group *= 2
        return x

    def _within(self, x: str, distance: int) -> str:
        while distance:
            x = self._ordered(x, self._permuted(x, distance), distance)
            distance //= 2
        return x

    def _permuted(self, x: str, mask: int) -> str:
        """Lane i of the result is lane i ^ mask."""
        return self._shuffled(x, "poison", lambda i: i ^ mask)

    def _ordered(self, x: str, other: str, distance: int) -> str:
        """The lesser of two where the lane comes first, and the greater elsewhere."""
        least, greatest = self.least(x, other), self.greatest(x, other)
        return self._shuffled(least, greatest, lambda i: i + (self.lanes if i & distance else 0))

    def _shuffled(self, a: str, b: str, pick: Callable[[int], int]) -> str:
        order = ", ".join(f"i32 {pick(i)}" for i in range(self.lanes))
        return self.em.value(
            f"shufflevector {self.type} {a}, {self.type} {b}, <{self.lanes} x i32> <{order}>"
        )

    # All of them

    def sort(self, held: list[str]) -> list[str]:
        """The sorted elements of vectors, one vector after the other."""
        held, count = list(held), len(held)
        self.runs(held)
        group = 2
        while group <= self.lanes:
            for i in range(count // 2):
                a, b = i, count - 1 - i
                held[a], held[b] = self.across(held[a], held[b], group)
            self.near(held, count // 2)
            group *= 2
        return self._by_lanes(held)

    def _by_lanes(self, held: list[str]) -> list[str]:
        """The elements in the order of their numbers, by rounds of interleaving halves."""
        count, half = len(held), self.lanes // 2

        def pick(first: int) -> Callable[[int], int]:
            return lambda k: first + k // 2 + (self.lanes if k % 2 else 0)

        for _ in range(count.bit_length() - 1):
            held = [
                self._shuffled(held[r // 2], held[r // 2 + count // 2], pick(half * (r % 2)))
                for r in range(count)
            ]
        return held
