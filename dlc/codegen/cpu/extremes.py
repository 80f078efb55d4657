"""The largest and least float of many, by instructions that know neither NaN nor the sign of zero.

`max` and `min` give NaN where there is one and order -0.0 before 0.0, which takes a chain of
instructions for each vector. Where lanes are folded into one result in the end, it is enough to
keep beside the best value whether there was a NaN, and what all signs have in common.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.literals import literal, splat_literal, vector_type
from dlc.codegen.cpu.reductions import Reduction, halves, identity
from dlc.ir.types import bool_


class FoldedExtreme(Reduction):
    """`max` or `min` of floats; the accumulators are the best value, a NaN's flag and the signs.

    Flags and signs have the lanes of one register, whatever the lanes of the values.
    """

    def _narrow(self, lanes: int) -> int:
        return min(lanes, self.isa.lanes(self.dtype.bits))

    @property
    def _integer(self) -> str:
        return f"i{self.dtype.bits}"

    def start(self, lanes: int) -> list[tuple[str, str]]:
        """(LLVM type, initial value) of each accumulator."""
        few = self._narrow(lanes)
        none = "-1" if self.kind == "max" else "0"
        return [
            *super().start(lanes),
            (llvm_type(bool_, few), literal(False, bool_, few)),
            (vector_type(self._integer, few), splat_literal(self._integer, none, few)),
        ]

    def _best(self, em: Emitter, a: str, b: str, lanes: int) -> str:
        """The better of two values, the second one if they are equal or NaN."""
        type_ = llvm_type(self.dtype, lanes)
        condition = "ogt" if self.kind == "max" else "olt"
        wins = em.value(f"fcmp {condition} {type_} {a}, {b}")
        return em.value(f"select {llvm_type(bool_, lanes)} {wins}, {type_} {a}, {type_} {b}")

    def _both_signs(self, em: Emitter, a: str, b: str, lanes: int) -> str:
        # A zero that is the largest is positive if any sign is; one that is the least, negative.
        name = "and" if self.kind == "max" else "or"
        return em.value(f"{name} {vector_type(self._integer, lanes)} {a}, {b}")

    def update(
        self,
        em: Emitter,
        held: Sequence[str],
        element: tuple[str, str],
        lanes: int,
        mask: str | None,
    ) -> list[str]:
        """The accumulators after one more value a lane, where the mask is set."""
        value, (best, nan, signs) = element[0], held
        type_, few = llvm_type(self.dtype, lanes), self._narrow(lanes)
        if mask is not None:
            none = literal(identity(self.kind, self.dtype), self.dtype, lanes)
            taken = f"select {llvm_type(bool_, lanes)} {mask}, {type_} {value}, {type_} {none}"
            value = em.value(taken)
        best = self._best(em, value, best, lanes)
        parts = [value]
        while lanes > few:
            parts = [h for part in parts for h in halves(em, type_, part, lanes)]
            lanes //= 2
            type_ = llvm_type(self.dtype, lanes)
        flags = llvm_type(bool_, few)
        # One comparison finds the NaN of two parts.
        for a, b in zip(parts[::2], parts[1::2] or parts, strict=True):
            found = em.value(f"fcmp uno {type_} {a}, {b}")
            nan = em.value(f"or {flags} {nan}, {found}")
        for part in parts:
            bits = em.value(f"bitcast {type_} {part} to {vector_type(self._integer, few)}")
            signs = self._both_signs(em, signs, bits, few)
        return [best, nan, signs]

    def merge(self, em: Emitter, a: Sequence[str], b: Sequence[str], lanes: int) -> list[str]:
        """Two sets of accumulators as one."""
        few = self._narrow(lanes)
        return [
            self._best(em, a[0], b[0], lanes),
            em.value(f"or {llvm_type(bool_, few)} {a[1]}, {b[1]}"),
            self._both_signs(em, a[2], b[2], few),
        ]

    def fold(self, em: Emitter, held: Sequence[str], lanes: int, to: int) -> list[str]:
        """The accumulators of `lanes` lanes as `to` lanes."""
        best, nan, signs = held
        if to == 1 and (few := self._narrow(lanes)) > 1:
            nan, signs = self._any(em, nan, few), self._sign(em, signs, few)
        while lanes > to:
            few, half = self._narrow(lanes), lanes // 2
            best = self._best(em, *halves(em, llvm_type(self.dtype, lanes), best, lanes), half)
            if to > 1 and self._narrow(half) < few:
                flags = halves(em, llvm_type(bool_, few), nan, few)
                nan = em.value(f"or {llvm_type(bool_, half)} {flags[0]}, {flags[1]}")
                both = halves(em, vector_type(self._integer, few), signs, few)
                signs = self._both_signs(em, *both, half)
            lanes = half
        return [best, nan, signs]

    @staticmethod
    def _any(em: Emitter, flags: str, lanes: int) -> str:
        """Whether any flag of a vector is set, by one comparison."""
        bits = em.value(f"bitcast {llvm_type(bool_, lanes)} {flags} to i{lanes}")
        return em.value(f"icmp ne i{lanes} {bits}, 0")

    def _sign(self, em: Emitter, signs: str, lanes: int) -> str:
        """A number with the sign that all have in common; of the least, that any has."""
        type_ = vector_type(self._integer, lanes)
        none = splat_literal(self._integer, "0", lanes)
        asked = "sge" if self.kind == "max" else "slt"
        some = self._any(em, em.value(f"icmp {asked} {type_} {signs}, {none}"), lanes)
        negative, positive = ("0", "-1") if self.kind == "max" else ("-1", "0")
        return em.value(f"select i1 {some}, {self._integer} {negative}, {self._integer} {positive}")

    def finish(self, em: Emitter, held: Sequence[str], lanes: int) -> str:
        """The result of each lane; of `FoldedExtreme` when there are no more than of a flag."""
        best, nan, signs = held
        type_, flags = llvm_type(self.dtype, lanes), llvm_type(bool_, lanes)
        bits = vector_type(self._integer, lanes)
        top = splat_literal(self._integer, str(-(1 << (self.dtype.bits - 1))), lanes)
        zero = em.value(f"bitcast {bits} {em.value(f'and {bits} {signs}, {top}')} to {type_}")
        is_zero = em.value(f"fcmp oeq {type_} {best}, {literal(0.0, self.dtype, lanes)}")
        best = em.value(f"select {flags} {is_zero}, {type_} {zero}, {type_} {best}")
        some = literal(float("nan"), self.dtype, lanes)
        return em.value(f"select {flags} {nan}, {type_} {some}, {type_} {best}")


class ExtremeOfLanes(FoldedExtreme):
    """`max` or `min` of floats for each lane: flags and signs are as many as the values."""

    def _narrow(self, lanes: int) -> int:
        return lanes


def as_folded(reduction: Reduction) -> Reduction:
    """The reduction in the form that is best where its lanes are folded into one result."""
    return _quicker(reduction, FoldedExtreme)


def as_lanes(reduction: Reduction) -> Reduction:
    """The reduction in the form that is best where each lane has a result of its own."""
    return _quicker(reduction, ExtremeOfLanes)


def _quicker(reduction: Reduction, form: type[Reduction]) -> Reduction:
    dtype = reduction.dtype
    if reduction.kind not in ("max", "min") or not dtype.is_float or dtype.bits < 32:
        return reduction
    return form(reduction.kind, dtype, reduction.isa)
