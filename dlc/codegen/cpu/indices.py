"""Index polynomials as LLVM values, and the addresses that they lead to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.scopes import Scopes, Tensor, free_names
from dlc.codegen.index_math import (
    axis_name,
    coefficient,
    is_varying_name,
    split_term,
    stride_along,
    term,
    terms_of,
)
from dlc.ir.dims import Apply, Atom, Dim, Symbol, add, mul, symbols_of
from dlc.ir.record import dataclass
from dlc.ir.scalar import Expr
from dlc.ir.types import int64


@dataclass(frozen=True)
class Place:
    """Where a load or store goes: the address of the first lane, and how the lanes follow.

    step: elements between lanes as a Dim, or None with `offsets`, an i64 vector.
    """

    pointer: str
    step: Dim | None
    offsets: str = ""


class IndexEmitter(Scopes, ABC):
    """Emits index polynomials, and finds where loads and stores go; see `ExprEmitter`."""

    @abstractmethod
    def scalar(self, e: Expr) -> str:
        """The value of an expression that does not depend on the vector axis."""

    @abstractmethod
    def vector(self, e: Expr) -> str:
        """The value of an expression with one element a lane."""

    # Index polynomials

    def index(self, p: Dim) -> str:
        """The i64 value of a polynomial; the vector axis counts as its first lane."""
        if isinstance(p, int):
            return str(p)
        key = ("index", p)
        known = self._recall(key, self._polynomial_level(p))
        if known is None:
            known = self._polynomial(p)
            if not self._is_volatile(p):
                self._remember(key, known)
        return known

    def _polynomial(self, p: Dim) -> str:
        groups: dict[tuple[Atom, ...], Dim] = {}
        for monomial, k in terms_of(p):
            fixed, varying = split_term(monomial)
            groups[varying] = add(groups.get(varying, 0), term(fixed, k))
        if len(groups) == 1 and () in groups:
            return self._fixed(p)
        total = "0"
        for varying, factor in groups.items():
            part = self.index(factor)
            for item in varying:
                part = iv.multiply(self.em, part, self._atom(item))
            total = iv.add(self.em, total, part)
        return total

    def _fixed(self, p: Dim) -> str:
        """A polynomial of run-time extents alone."""
        total = "0"
        for monomial, k in terms_of(p):
            part = str(k)
            for item in monomial:
                part = iv.multiply(self.em, part, self._atom(item))
            total = iv.add(self.em, total, part)
        return total

    def _atom(self, item: Atom) -> str:
        if isinstance(item, Symbol):
            if item.name[0] == "$":
                return self._first_lane(self.math.opaque[item.name])
            return self._state.bindings[item.name]
        a, b = self.index(item.a), self.index(item.b)
        if item.function in iv.SCALAR_FUNCTIONS:
            return iv.SCALAR_FUNCTIONS[item.function](self.em, a, b)
        divide = iv.floordiv if item.function == "floordiv" else iv.mod
        return divide(self.em, a, b, unsigned=self.math.at_least_zero(item.a))

    def _first_lane(self, e: Expr) -> str:
        return self.scalar(e)

    def index_vector(self, p: Dim) -> str:
        """The value of a polynomial as an i64 vector, one element a lane."""
        em, lanes = self.em, self.lanes
        uniform: Dim = 0
        total: str | None = None
        for monomial, k in terms_of(p):
            moving = [a for a in monomial if self._varies(a)]
            if not moving:
                uniform = add(uniform, term(monomial, k))
                continue
            part = self._vector_atom(moving[0])
            for item in moving[1:]:
                part = iv.vector_binary(em, "mul", part, self._vector_atom(item), lanes)
            factor = self.index(term(tuple(a for a in monomial if a not in moving), k))
            if factor != "1":
                part = iv.vector_binary(em, "mul", part, iv.splat(em, factor, lanes), lanes)
            total = part if total is None else iv.vector_binary(em, "add", total, part, lanes)
        base = iv.splat(em, self.index(uniform), lanes)
        if total is None:
            return base
        return total if uniform == 0 else iv.vector_binary(em, "add", total, base, lanes)

    def _vector_atom(self, item: Atom) -> str:
        if isinstance(item, Apply):
            return iv.vector_divide(
                self.em,
                self.index_vector(item.a),
                self.index(item.b),
                self.lanes,
                remainder=item.function == "mod",
            )
        if item.name[0] == "$":
            return self.vector(self.math.opaque[item.name])
        return self.vector(Expr("index", (), int64, item.name[1:]))

    # Memory

    def _offset(self, tensor: Tensor, ix: Sequence[Expr]) -> Dim:
        """The flattened element offset, without the lane of tiles that keep lanes."""
        offset: Dim = 0
        for position, (e, extent) in enumerate(zip(ix, tensor.dims, strict=True)):
            i = self.math.polynomial(e)
            if tensor.origin:
                i = add(i, mul(tensor.origin[position], -1))
            offset = add(mul(offset, extent), i)
        return self.math.recombine(mul(offset, tensor.lanes) if tensor.lanes else offset)

    def stride(self, name: str, ix: Sequence[Expr], axis: str) -> Dim | None:
        """The elements between neighbours along an axis; None when that differs."""
        return stride_along(self._offset(self._state.tensors[name], ix), axis)

    def place(self, name: str, ix: Sequence[Expr]) -> Place:
        """Where the elements of a load or store with these indices are."""
        tensor = self._state.tensors[name]
        offset = self._offset(tensor, ix)
        vector = self._state.vector
        if vector is None or vector.lanes == 1:
            return Place(self._address(name, tensor, offset), 0)
        if tensor.lanes:
            return Place(self._address(name, tensor, offset), 1)
        moving = [a for m, _ in terms_of(offset) for a in m if self._varies(a)]
        if not moving:
            return Place(self._address(name, tensor, offset), 0)
        axis = axis_name(vector.axis)
        if all(isinstance(a, Symbol) and a.name == axis for a in moving):
            linear = coefficient(offset, axis)
            if linear is not None and not any(map(is_varying_name, symbols_of(linear[0]))):
                return Place(self._address(name, tensor, offset), linear[0])
        uniform: Dim = 0
        for monomial, k in terms_of(offset):
            if not any(self._varies(a) for a in monomial):
                uniform = add(uniform, term(monomial, k))
        pointer = self._address(name, tensor, uniform)
        return Place(pointer, None, self.index_vector(add(offset, mul(uniform, -1))))

    def _address(self, name: str, tensor: Tensor, offset: Dim) -> str:
        """The address at an offset, reached scope by scope so that outer parts are shared."""
        groups: dict[int, Dim] = {}
        for monomial, k in terms_of(offset):
            level = max((self._atom_level(a) for a in monomial), default=0)
            groups[level] = add(groups.get(level, 0), term(monomial, k))
        pointer = tensor.pointer
        prefix: Dim = 0
        for level in sorted(groups):
            prefix = add(prefix, groups[level])
            key = ("pointer", name, pointer, groups[level])
            known = self._recall(key, max(level, self._level((name,))))
            if known is None:
                step = self.index(groups[level])
                known = memory.element_pointer(self.em, tensor.dtype, pointer, step)
                if not self._is_volatile(groups[level]):
                    self._remember(key, known)
            pointer = known
        return pointer

    def _atom_level(self, item: Atom) -> int:
        return self._polynomial_level(term((item,), 1))

    def _lane_offsets(self, step: Dim) -> str:
        """The i64 vector 0, step, 2*step, ..."""
        lanes = self.lanes
        if isinstance(step, int):
            return "<" + ", ".join(f"i64 {k * step}" for k in range(lanes)) + ">"
        key = ("lanes", step, lanes)
        known = self._recall(key, 0)
        if known is None:
            factor = iv.splat(self.em, self.index(step), lanes)
            numbers = self.em.lane_numbers(lanes)
            known = iv.vector_binary(self.em, "mul", numbers, factor, lanes)
            self._remember(key, known)
        return known

    def _varies(self, item: Atom) -> bool:
        """Whether an atom differs between lanes."""
        vector = self._state.vector
        if vector is None or vector.lanes == 1:
            return False
        if isinstance(item, Symbol):
            if item.name[0] == "$":
                return self.varies(self.math.opaque[item.name])
            return item.name == axis_name(vector.axis)
        return any(
            self._varies(x) for side in (item.a, item.b) for m, _ in terms_of(side) for x in m
        )

    def varies(self, e: Expr) -> bool:
        """Whether an expression depends on the vector axis, through locals too."""
        vector = self._state.vector
        if vector is None or vector.lanes == 1:
            return False
        names = free_names(e)
        if axis_name(vector.axis) in names:
            return True
        for name in names:
            held = self._state.values.get(name)
            tensor = self._state.tensors.get(name)
            if (held is not None and held.varies) or (tensor is not None and tensor.lanes):
                return True
        return False
