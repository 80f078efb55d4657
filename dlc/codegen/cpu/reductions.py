"""Reductions in vectors: accumulators, their update by a vector, and the fixed tree at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.literals import literal
from dlc.codegen.cpu.scalars import emit_op
from dlc.ir.record import dataclass
from dlc.ir.scalar import ReduceKind
from dlc.ir.types import DType, bool_, int64

_COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min", "any": "or", "all": "and"}
_UNSEEN = (1 << 63) - 1  # the position in a lane that has taken no element


def lowest(dtype: DType) -> bool | int | float:
    """The identity of `max`."""
    if dtype.is_float:
        return float("-inf")
    return False if dtype.kind == "b" else int(np.iinfo(dtype.numpy).min)


def highest(dtype: DType) -> bool | int | float:
    """The identity of `min`."""
    if dtype.is_float:
        return float("inf")
    return True if dtype.kind == "b" else int(np.iinfo(dtype.numpy).max)


def identity(kind: ReduceKind, dtype: DType) -> bool | int | float:
    """The value of a reduction over nothing (of the value part, for argmax and argmin)."""
    match kind:
        case "sum" | "any":
            return False if dtype.kind == "b" else 0
        case "prod" | "all":
            return True if dtype.kind == "b" else 1
        case "max" | "argmax":
            return lowest(dtype)
        case "min" | "argmin":
            return highest(dtype)


@dataclass(frozen=True)
class Reduction:
    """One reduction of values of `dtype`; accumulators are one value, and a position for arg*."""

    kind: ReduceKind
    dtype: DType
    isa: Isa

    @property
    def is_arg(self) -> bool:
        """Whether the result is a position."""
        return self.kind.startswith("arg")

    @property
    def result(self) -> DType:
        """The element type of the result."""
        return int64 if self.is_arg else self.dtype

    def start(self, lanes: int) -> list[tuple[str, str]]:
        """(LLVM type, initial value) of each accumulator."""
        value = literal(identity(self.kind, self.dtype), self.dtype, lanes)
        held = [(llvm_type(self.dtype, lanes), value)]
        if self.is_arg:
            held.append((llvm_type(int64, lanes), literal(_UNSEEN, int64, lanes)))
        return held

    def _combine(self, em: Emitter, a: str, b: str, lanes: int) -> str:
        name = _COMBINE[self.kind]
        if self.dtype.kind == "b":
            name = {"max": "or", "add": "or", "min": "and", "mul": "and"}.get(name, name)
        return emit_op(em, name, self.dtype, (self.dtype, self.dtype), (a, b), lanes, self.isa)

    def update(
        self,
        em: Emitter,
        held: Sequence[str],
        element: tuple[str, str],
        lanes: int,
        mask: str | None,
    ) -> list[str]:
        """The accumulators after one more (value, position) a lane, where the mask is set."""
        value, position = element
        if not self.is_arg:
            combined = self._combine(em, held[0], value, lanes)
            return [_choose(em, llvm_type(self.dtype, lanes), mask, combined, held[0], lanes)]
        take = self._better(em, value, held[0], lanes)
        if mask is not None:
            take = _logic(em, "and", take, mask, lanes)
        return [
            _choose(em, llvm_type(self.dtype, lanes), take, value, held[0], lanes),
            _choose(em, llvm_type(int64, lanes), take, position, held[1], lanes),
        ]

    def _better(self, em: Emitter, a: str, b: str, lanes: int) -> str:
        """Whether a comes before b as the extreme, ties aside: NaN wins over numbers."""
        pair = (self.dtype, self.dtype)
        beats = emit_op(
            em, "gt" if self.kind == "argmax" else "lt", bool_, pair, (a, b), lanes, self.isa
        )
        if not self.dtype.is_float:
            return beats
        a_nan, b_nan = (emit_op(em, "ne", bool_, pair, (x, x), lanes, self.isa) for x in (a, b))
        number = emit_op(em, "not", bool_, (bool_,), (b_nan,), lanes, self.isa)
        return _logic(em, "and", _logic(em, "or", beats, a_nan, lanes), number, lanes)

    def merge(self, em: Emitter, a: Sequence[str], b: Sequence[str], lanes: int) -> list[str]:
        """Two sets of accumulators as one, a before b."""
        if not self.is_arg:
            return [self._combine(em, a[0], b[0], lanes)]
        b_better = self._better(em, b[0], a[0], lanes)
        a_better = self._better(em, a[0], b[0], lanes)
        either = _logic(em, "or", a_better, b_better, lanes)
        tie = emit_op(em, "not", bool_, (bool_,), (either,), lanes, self.isa)
        earlier = emit_op(em, "lt", bool_, (int64, int64), (b[1], a[1]), lanes, self.isa)
        take = _logic(em, "or", b_better, _logic(em, "and", tie, earlier, lanes), lanes)
        return [
            _choose(em, type_, take, y, x, lanes)
            for (type_, _), x, y in zip(self.start(lanes), a, b, strict=True)
        ]

    def fold(self, em: Emitter, held: Sequence[str], lanes: int, to: int) -> list[str]:
        """The accumulators of `lanes` lanes as `to` lanes: halves are merged until it is so."""
        current = list(held)
        while lanes > to:
            half = lanes // 2
            parts = [halves(em, t, v, lanes) for (t, _), v in self._typed(current, lanes)]
            current = self.merge(em, [p[0] for p in parts], [p[1] for p in parts], half)
            lanes = half
        return current

    def _typed(self, held: Sequence[str], lanes: int) -> list[tuple[tuple[str, str], str]]:
        return list(zip(self.start(lanes), held, strict=True))

    def finish(self, em: Emitter, held: Sequence[str], lanes: int) -> str:
        """The result of a set of accumulators, with as many lanes."""
        if not self.is_arg:
            return held[0]
        # No lane took anything: every element equals the identity, or there is none.
        unseen = literal(_UNSEEN, int64, lanes)
        none = emit_op(em, "eq", bool_, (int64, int64), (held[1], unseen), lanes, self.isa)
        zero = literal(0, int64, lanes)
        return _choose(em, llvm_type(int64, lanes), none, zero, held[1], lanes)


def _logic(em: Emitter, name: str, a: str, b: str, lanes: int) -> str:
    return em.value(f"{name} {llvm_type(bool_, lanes)} {a}, {b}")


def _choose(em: Emitter, type_: str, mask: str | None, a: str, b: str, lanes: int) -> str:
    if mask is None:
        return a
    return em.value(f"select {llvm_type(bool_, lanes)} {mask}, {type_} {a}, {type_} {b}")


def halves(em: Emitter, type_: str, value: str, lanes: int) -> tuple[str, str]:
    """The lower and the upper lanes of a vector."""
    return (
        _half(em, type_, value, lanes, upper=False),
        _half(em, type_, value, lanes, upper=True),
    )


def _half(em: Emitter, type_: str, value: str, lanes: int, *, upper: bool) -> str:
    half = lanes // 2
    if half == 1:
        return em.value(f"extractelement {type_} {value}, i64 {int(upper)}")
    first = half if upper else 0
    order = ", ".join(f"i32 {first + k}" for k in range(half))
    return em.value(f"shufflevector {type_} {value}, {type_} poison, <{half} x i32> <{order}>")
