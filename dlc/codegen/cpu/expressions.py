"""Scalar expressions as LLVM values: one element, or `lanes` of them along one axis.

An `ExprEmitter` keeps what is in scope (axes, tensors, locals) and remembers every value that it
has emitted for as long as the value is valid, so that shared subexpressions are computed once and
`prepare`, called before a loop, moves everything that the loop does not change out of it.

    ex = ExprEmitter(em, isa, math, symbols)
    ex.bind_tensor("x", Tensor(float32, "%x", (rows, columns)))
    with ex.scope(axes={"r": "%r"}):
        ex.prepare([e], {"@n"})
        with ex.scope(axes={"n": "%n"}, vector=Vector("n", 16)):
            ex.store("y", (index("r"), index("n")), ex.vector(e))
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.emit import llvm_type
from dlc.codegen.cpu.indices import IndexEmitter, Place
from dlc.codegen.cpu.literals import literal
from dlc.codegen.cpu.scalars import emit_op
from dlc.codegen.cpu.scopes import Tensor, Value, Vector, free_names
from dlc.codegen.index_math import (
    axis_name,
    block_name,
    coefficient,
    split_term,
    term,
    terms_of,
)
from dlc.ir.dims import Atom, Dim, Symbol, add
from dlc.ir.errors import BackendError
from dlc.ir.scalar import Expr, is_seldom, reduced_axes, walk
from dlc.ir.types import DType, bool_

__all__ = ["ExprEmitter", "Tensor", "Value", "Vector", "value_children"]


# Logarithms of the distances from lane to lane for which a division is a shift.
_SHIFTS = {1 << k: k for k in range(6)}
_MOST_PAIRS = 32  # lanes whose pairs have a mask of 64 bits


class _Seldom:
    """The selects of an expression whose condition seldom holds, by it."""

    def __init__(self, e: Expr) -> None:
        self._e = e

    @functools.cached_property
    def selects(self) -> Mapping[Expr, list[Expr]]:
        """In the order in which they are computed."""
        found: dict[Expr, list[Expr]] = {}
        for node in walk(self._e):
            if is_seldom(node):
                found.setdefault(node.args[0], []).append(node)
        return found


class ExprEmitter(IndexEmitter):
    """Emits expressions in nested scopes.

    Args:
        em: The function that is written.
        isa: The level that it is for.
        math: Index polynomials; it must know the axes' extents.
        symbols: The i64 value of each run-time dim.
        volatile: Tensors that the kernel both reads and writes: their loads are never remembered.
        reduce: Emits a reduce or dot node in the current scope.
    """

    # Values

    def scalar(self, e: Expr) -> str:
        """The value of an expression that does not depend on the vector axis."""
        value = self.emit(e)
        if value.varies:
            raise BackendError(f"expression varies along the vector axis: {e}")
        return value.name

    def vector(self, e: Expr) -> str:
        """The value of an expression with one element a lane (a scalar when there is one lane)."""
        return self.spread(self.emit(e), e.dtype)

    def spread(self, value: Value, dtype: DType) -> str:
        """A value with one element a lane: the same one in each when it does not vary."""
        lanes = self.lanes
        if value.varies or lanes == 1:
            return value.name
        type_ = llvm_type(dtype)
        if not value.name.startswith("%"):
            return f"splat ({type_} {value.name})"
        key = ("splat", value.name, type_, lanes)
        known = self._recall(key, 0)
        if known is None:
            known = self.em.splat(type_, value.name, lanes)
            self._remember(key, known)
        return known

    def emit(self, e: Expr) -> Value:
        """The value of an expression: a vector only when it depends on the vector axis."""
        passing: dict[Expr, Value] = {}  # values of volatile loads live for this call only
        self._emit(e, passing, _Seldom(e))
        return self._operand(e, passing)

    def _emit(self, e: Expr, passing: dict[Expr, Value], seldom: _Seldom) -> None:
        stack = [(e, False)]
        while stack:
            node, ready = stack.pop()
            if self._known(node, passing) is not None:
                continue
            rare = is_seldom(node)
            children = () if ready else seldom_children(node) if rare else value_children(node)
            if children:
                stack.append((node, True))
                stack.extend((a, False) for a in reversed(children))
            elif rare:
                self._seldom(node, passing, seldom)
            else:
                self._keep(node, self._node(node, passing), passing)

    def _keep(self, node: Expr, value: Value, passing: dict[Expr, Value]) -> None:
        if self.volatile and self.volatile & free_names(node):
            passing[node] = value
        else:
            self._remember(node, value)

    def _seldom(self, node: Expr, passing: dict[Expr, Value], seldom: _Seldom) -> None:
        """Values of selects whose condition seldom holds: one branch for all that have it."""
        em, condition = self.em, self._operand(node.args[0], passing)
        if not condition.varies and self.lanes > 1:  # other operands may vary
            self._emit(node.args[1], passing, seldom)
            self._keep(node, self._operation(node, passing), passing)
            return
        names = free_names(node)  # others may be in a loop that is not open
        alike = [n for n in seldom.selects[node.args[0]] if free_names(n) == names]
        alike = [n for n in alike if self._known(n, passing) is None]
        for n in alike:
            self._emit(n.args[2], passing, seldom)
        usual = [self.spread(self._operand(n.args[2], passing), n.dtype) for n in alike]
        some = em.any_lane(condition.name, self.lanes)
        before, inside, done = em.current, em.fresh("seldom"), em.fresh("done")
        em.branch_if(some, inside, done)
        em.block(inside)
        with self.scope():
            own = dict(passing)
            for n in alike:
                self._emit(n.args[1], own, seldom)
            found = [self._operation(n, own).name for n in alike]
        after = em.current
        em.branch(done)
        em.block(done)
        for n, often, value in zip(alike, usual, found, strict=True):
            type_ = llvm_type(n.dtype, self.lanes)
            name = em.value(f"phi {type_} [ {often}, %{before} ], [ {value}, %{after} ]")
            self._keep(n, Value(name, self.lanes > 1), passing)

    def _operand(self, node: Expr, passing: Mapping[Expr, Value]) -> Value:
        """The value of a node that has been emitted."""
        value = self._known(node, passing)
        assert value is not None
        return value

    def _known(self, node: Expr, passing: Mapping[Expr, Value]) -> Value | None:
        found = passing.get(node) if passing else None
        return found if found is not None else self._recall_expression(node)

    def is_known(self, e: Expr) -> bool:
        """Whether the value of an expression has been emitted and is still valid."""
        return self._recall_expression(e) is not None

    def _node(self, node: Expr, passing: Mapping[Expr, Value]) -> Value:
        match node.op:
            case "const":
                return Value(literal(node.attr, node.dtype), False)
            case "index" | "block" | "dim":
                return self._index(node)
            case "load":
                return self._load(node, None)
            case "pad":
                return self._pad(node, self._operand(node.args[1], passing))
            case "reduce" | "dot":
                if self.reduce is None:
                    raise BackendError(f"a {node.op} is not allowed in this expression")
                return self.reduce(node)
            case _:
                return self._operation(node, passing)

    def _operation(self, node: Expr, passing: Mapping[Expr, Value]) -> Value:
        values = [self._operand(a, passing) for a in node.args]
        varies = any(v.varies for v in values)
        args = [
            self.spread(v, a.dtype) if varies else v.name
            for v, a in zip(values, node.args, strict=True)
        ]
        lanes = self.lanes if varies else 1
        types = [a.dtype for a in node.args]
        return Value(emit_op(self.em, node.op, node.dtype, types, args, lanes, self.isa), varies)

    def _index(self, node: Expr) -> Value:
        if node.op == "dim":
            return Value(self.index(node.attr), False)
        name = axis_name(node.attr) if node.op == "index" else block_name(node.attr)
        base = self._state.bindings[name]
        vector = self._state.vector
        if vector is None or vector.lanes == 1 or name != axis_name(vector.axis):
            return Value(base, False)
        start = iv.splat(self.em, base, vector.lanes)
        numbers = self.em.lane_numbers(vector.lanes)
        return Value(iv.vector_binary(self.em, "add", start, numbers, vector.lanes), True)

    # Memory

    def _load(self, node: Expr, mask: Value | None) -> Value:
        held = self._state.values.get(node.attr)
        if held is not None:
            return held
        tensor = self._state.tensors[node.attr]
        place = self.place(node.attr, node.args)
        vector = self._state.vector
        if place.step == 0 and (mask is None or not mask.varies):
            scalar_mask = None if mask is None else mask.name
            name = memory.load(self.em, tensor.dtype, place.pointer, 1, scalar_mask)
            return Value(name, False)
        assert vector is not None
        guard = None if tensor.lanes else vector.mask
        if mask is not None:
            guard = self._both(guard, self.spread(mask, bool_))
        return Value(self._load_vector(tensor.dtype, place, guard), True)

    def _load_vector(self, dtype: DType, place: Place, mask: str | None) -> str:
        em, lanes = self.em, self.lanes
        if place.step == 1:
            return memory.load(em, dtype, place.pointer, lanes, mask)
        if place.step == -1:
            first = memory.element_pointer(em, dtype, place.pointer, str(1 - lanes))
            if mask is not None:
                mask = memory.reverse(em, f"<{lanes} x i1>", mask, lanes)
            value = memory.load(em, dtype, first, lanes, mask)
            return memory.reverse(em, llvm_type(dtype, lanes), value, lanes)
        if place.step == 2 and self._takes_pairs(lanes):
            return memory.load_every_second(em, dtype, place.pointer, lanes, mask)
        offsets = place.offsets if place.step is None else self._lane_offsets(place.step)
        return memory.gather(em, dtype, place.pointer, offsets, lanes, mask)

    def _takes_pairs(self, lanes: int) -> bool:
        """Whether elements two apart are read and written as masked vectors of twice the lanes."""
        return self.isa.masked and 4 <= lanes <= _MOST_PAIRS

    def _both(self, a: str | None, b: str) -> str:
        return b if a is None else self.em.value(f"and <{self.lanes} x i1> {a}, {b}")

    def _pad(self, node: Expr, outside: Value) -> Value:
        inside, mask = node.args[0], self.in_bounds(node.args[0])
        if mask is None:
            return self._load(inside, None)
        value = self._load(inside, mask)
        dtype = node.dtype
        if _is_zero(node.args[1]) and inside.attr not in self._state.values:
            return value  # what is not read is zero already
        varies = value.varies or mask.varies or outside.varies
        types = [bool_, dtype, dtype]
        values = (mask, value, outside)
        args = [self.spread(v, t) if varies else v.name for v, t in zip(values, types, strict=True)]
        lanes = self.lanes if varies else 1
        return Value(emit_op(self.em, "select", dtype, types, args, lanes, self.isa), varies)

    def in_bounds(self, e: Expr) -> Value | None:
        """Whether every index of a load is within its dim, None when that is proved."""
        tensor = self._state.tensors.get(e.attr)
        if tensor is None:  # an element that this very iteration has made
            return None
        result: Value | None = None
        for ix, extent in zip(e.args, tensor.dims, strict=True):
            p = self.math.polynomial(ix)
            if not self.math.within(p, extent):
                check = self._check(p, extent)
                result = check if result is None else self._and(result, check)
        return result

    def _check(self, p: Dim, extent: Dim) -> Value:
        # One unsigned comparison tells both bounds: a negative index is a huge unsigned one.
        moving = [a for m, _ in terms_of(p) for a in m if self._varies(a)]
        if not moving:
            inside = self.em.value(f"icmp ult i64 {self.index(p)}, {self.index(extent)}")
            return Value(inside, False)
        vector = self._state.vector
        assert vector is not None
        axis = axis_name(vector.axis)
        along = all(isinstance(a, Symbol) and a.name == axis for a in moving)
        linear = coefficient(p, axis) if along else None
        if linear is not None and isinstance(linear[0], int) and linear[0] in _SHIFTS:
            return Value(self._lanes_within(p, extent, _SHIFTS[linear[0]]), True)
        i, bound = self.index_vector(p), iv.splat(self.em, self.index(extent), self.lanes)
        return Value(self.em.value(f"icmp ult <{self.lanes} x i64> {i}, {bound}"), True)

    def _lanes_within(self, p: Dim, extent: Dim, shift: int) -> str:
        """The lanes in which 0 <= p < extent, where p grows by 1 << shift from lane to lane.

        They are those from one on and below another, so that it takes no vector of i64.
        """
        em, first, masks = self.em, self.index(p), list[str]()

        def lanes_below(distance: str) -> str:
            """Those before which there is less than a distance from the first."""
            steps = iv.add(em, iv.maximum(em, distance, "0"), str((1 << shift) - 1))
            steps = em.value(f"lshr i64 {steps}, {shift}") if shift else steps
            return em.mask_below(steps, self.lanes)

        if not self.math.below(p, extent):
            masks.append(lanes_below(iv.subtract(em, self.index(extent), first)))
        if not self.math.at_least_zero(p):
            before = lanes_below(iv.subtract(em, "0", first))
            masks.append(em.value(f"xor <{self.lanes} x i1> {before}, splat (i1 true)"))
        return masks[0] if len(masks) == 1 else self._both(masks[0], masks[1])

    def _and(self, a: Value, b: Value) -> Value:
        if not (a.varies or b.varies):
            return Value(self.em.value(f"and i1 {a.name}, {b.name}"), False)
        return Value(self._both(self.spread(a, bool_), self.spread(b, bool_)), True)

    def store(self, name: str, ix: Sequence[Expr], value: str) -> None:
        """Stores a value with one element a lane (see `vector`) at these indices."""
        tensor, place, vector = self._state.tensors[name], self.place(name, ix), self._state.vector
        em, dtype, lanes = self.em, tensor.dtype, self.lanes
        if lanes == 1 or vector is None:
            memory.store(em, dtype, place.pointer, value, 1)
            return
        mask = None if tensor.lanes else vector.mask
        if place.step == 1 and tensor.streams and mask is None:
            memory.stream(em, dtype, place.pointer, value, lanes, tensor.streams)
            return
        if place.step == 1:
            memory.store(em, dtype, place.pointer, value, lanes, mask)
            return
        if place.step == 2 and self._takes_pairs(lanes):
            memory.store_every_second(em, dtype, place.pointer, value, lanes, mask)
            return
        offsets = place.offsets if place.step is None else self._lane_offsets(place.step)
        memory.scatter(em, dtype, place.pointer, offsets, value, lanes, mask)

    def fetch(
        self,
        name: str,
        ix: Sequence[Expr],
        reach: tuple[str, str],
        *,
        write: bool,
        near: bool = True,
    ) -> None:
        """Brings lines into the cache: `reach` bytes on from these indices, if it says so.

        Not those that vectors are stored past it to.
        """
        place = self.place(name, ix)
        far, wanted = reach
        streams = self.tensor(name).streams if write and self.lanes > 1 else ""
        if streams == "true":
            return
        if streams:
            kept = self.em.value(f"xor i1 {streams}, true")
            wanted = self.em.value(f"and i1 {wanted}, {kept}")
        size = self.lanes * self.tensor(name).dtype.itemsize
        memory.fetch(self.em, place.pointer, far, wanted, size, write=write, near=near)

    def line_start(
        self, stores: Iterable[tuple[str, Sequence[Expr]]], axis: str, bounds: tuple[str, str]
    ) -> str | None:
        """From where on a loop over an axis fills lines of what it stores past the caches.

        None where that is from its beginning on, or where nothing is stored so. It is its beginning
        too where there is no whole line.
        """
        low, high = bounds
        for name, ix in stores:
            tensor = self._state.tensors[name]
            linear = coefficient(self._offset(tensor, ix), axis_name(axis))
            if not tensor.streams or linear is None or linear[0] != 1:
                continue
            size, em = tensor.dtype.itemsize, self.em
            if all(k * size % memory.LINE == 0 for _, k in terms_of(linear[1])):
                return None
            with self.scope({axis: low}):
                place = em.value(f"ptrtoint ptr {self.place(name, ix).pointer} to i64")
            left = em.value(f"and i64 {iv.subtract(em, '0', place)}, {memory.LINE - 1}")
            start = iv.add(em, low, iv.floordiv(em, left, str(size), unsigned=True))
            line = iv.add(em, start, str(memory.LINE // size))
            fills = em.value(f"icmp sle i64 {line}, {high}")
            if tensor.streams != "true":
                fills = em.value(f"and i1 {fills}, {tensor.streams}")
            return em.value(f"select i1 {fills}, i64 {start}, i64 {low}")
        return None

    # Moving work out of loops

    def prepare(
        self,
        expressions: Iterable[Expr],
        entering: Iterable[str],
        *,
        lanes: int = 1,
        loads: bool = True,
    ) -> None:
        """Computes now what does not depend on the names about to be bound (`@n`, locals).

        `lanes` is what the loop's vectors will have; `loads` says that the loop runs at least
        once, so that its unchanging loads are of memory that exists.
        """
        inner = frozenset(entering)
        seen: set[Expr] = set()
        stack = [(e, inner) for e in expressions]
        with_dots = any(n.op == "dot" for e, _ in stack for n in walk(e))
        while stack:
            node, hidden = stack.pop()
            if node in seen or node.op in ("const", "index", "block"):
                continue
            seen.add(node)
            names = free_names(node)
            fixed = not names & (hidden | self.volatile)
            # Contractions are made of tiles, where their statement stands.
            if fixed and with_dots and any(n.op == "dot" for n in walk(node)):
                fixed = False
            if fixed and (loads or all(n[0] in "@#" for n in names)):
                self._prepare_value(node, lanes)
                continue
            hidden |= {axis_name(a.name) for a in reduced_axes(node)}
            if node.op == "load":
                self._prepare_place(node, hidden)
            children = node.args if node.op != "load" else filter(_has_load, node.args)
            stack.extend((a, hidden) for a in children)

    def _prepare_value(self, node: Expr, lanes: int) -> None:
        value = self.emit(node)
        if lanes > 1 and not value.varies and value.name.startswith("%"):
            type_ = llvm_type(node.dtype)
            key = ("splat", value.name, type_, lanes)
            if self._recall(key, 0) is None:
                self._remember(key, self.em.splat(type_, value.name, lanes))

    def prepare_place(self, name: str, ix: Sequence[Expr], entering: Iterable[str]) -> None:
        """Computes now the part of a store's address that the names about to be bound leave."""
        self._prepare_place(Expr("load", tuple(ix), bool_, name), frozenset(entering))

    def _prepare_place(self, node: Expr, hidden: frozenset[str]) -> None:
        tensor = self._state.tensors.get(node.attr)
        if tensor is None or node.attr in hidden:
            return
        offset = self._offset(tensor, node.args)
        fixed: Dim = 0
        for monomial, k in terms_of(offset):
            if any(map(self._is_gathered, monomial)):
                continue
            part = term(monomial, k)
            names = self._names_of(part)
            # Loaded indices are left where they are: the loop may not run.
            if not names & hidden and not any(
                n[0] not in "@#" for n in names if n in self._state.tensors
            ):
                fixed = add(fixed, part)
            else:
                self.index(term(split_term(monomial)[0], k))
        self._address(node.attr, tensor, fixed)

    def _is_gathered(self, item: Atom) -> bool:
        """Whether each lane has a value of its own, which is not a place along the vector axis."""
        vector = self._state.vector
        if vector is None or vector.lanes == 1 or not self._varies(item):
            return False
        return not (isinstance(item, Symbol) and item.name == axis_name(vector.axis))


def _has_load(e: Expr) -> bool:
    return any(n.op == "load" for n in walk(e))


def value_children(node: Expr) -> tuple[Expr, ...]:
    """The arguments emitted before a node: not index expressions, not reduced bodies."""
    if node.op in ("load", "reduce", "dot"):
        return ()
    return node.args[1:] if node.op == "pad" else node.args


def seldom_children(node: Expr) -> tuple[Expr, ...]:
    """The arguments emitted before a select whose condition seldom holds."""
    condition, _, usual = node.args
    return condition, usual


def _is_zero(e: Expr) -> bool:
    """Whether a value is a zero all of whose bits are zero."""
    return e.op == "const" and literal(e.attr, e.dtype) == literal(0, e.dtype)
