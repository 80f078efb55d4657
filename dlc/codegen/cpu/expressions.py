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

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.literals import literal
from dlc.codegen.cpu.scalars import emit_op
from dlc.codegen.index_math import (
    IndexMath,
    axis_name,
    block_name,
    coefficient,
    is_varying_name,
    split_term,
    term,
    terms_of,
)
from dlc.ir.dims import Apply, Atom, Dim, Symbol, add, mul, symbols_of
from dlc.ir.errors import BackendError
from dlc.ir.scalar import Expr, reduced_axes, walk
from dlc.ir.types import DType, bool_, int64


@dataclass(frozen=True)
class Value:
    """An emitted value: `varies` when it is a vector, one element a lane."""

    name: str
    varies: bool


@dataclass(frozen=True)
class Vector:
    """The axis along which values are vectors, with an optional `<lanes x i1>` mask for memory."""

    axis: str
    lanes: int
    mask: str | None = None


@dataclass(frozen=True)
class Tensor:
    """Memory that expressions load from: dense, row-major.

    dims: its extents. origin: polynomials that are taken off its indices (tiles of an open block).
    lanes: elements kept for each position, one a lane (a tile inside of a vectorised axis), else 0.
    """

    dtype: DType
    pointer: str
    dims: tuple[Dim, ...]
    origin: tuple[Dim, ...] = ()
    lanes: int = 0


@dataclass(frozen=True)
class Place:
    """Where a load or store goes: the address of the first lane, and how the lanes follow.

    step: elements between lanes as a Dim, or None with `offsets`, an i64 vector.
    """

    pointer: str
    step: Dim | None
    offsets: str = ""


_EMPTY: frozenset[str] = frozenset()


def _own_names(e: Expr) -> frozenset[str]:
    """What a node itself refers to: axes `@n`, block numbers `#n`, tensors and locals by name."""
    if e.op == "index":
        return frozenset({axis_name(e.attr)})
    if e.op == "block":
        return frozenset({block_name(e.attr)})
    return frozenset({e.attr}) if e.op == "load" else _EMPTY


class FreeNames:
    """The names that expressions refer to without binding them; remembered by structure."""

    def __init__(self) -> None:
        self._known: dict[Expr, frozenset[str]] = {}

    def __call__(self, e: Expr) -> frozenset[str]:
        """Axes as `@n`, block numbers as `#n`, tensors and locals by name."""
        found = self._known.get(e)
        if found is None:
            for node in walk(e):
                if node not in self._known:
                    self._known[node] = self._names(node)
            found = self._known[e]
        return found

    def _names(self, node: Expr) -> frozenset[str]:
        names = _own_names(node).union(*(self._known[a] for a in node.args))
        for axis in reduced_axes(node):
            names -= {axis_name(axis.name)}
            if axis.block is not None:
                names |= {block_name(axis.name)}
        return names


@dataclass
class _State:
    """What `scope` saves and restores."""

    bindings: dict[str, str]
    levels: dict[str, int]
    values: dict[str, tuple[Value, DType]]
    tensors: dict[str, Tensor]
    vector: Vector | None
    memo: list[dict[Any, Any]] = field(default_factory=lambda: [{}])


class ExprEmitter:
    """Emits expressions in nested scopes.

    Args:
        em: The function that is written.
        isa: The level that it is for.
        math: Index polynomials; it must know the axes' extents.
        symbols: The i64 value of each run-time dim.
        volatile: Tensors that the kernel both reads and writes: their loads are never remembered.
        reduce: Emits a reduce or dot node in the current scope.
    """

    def __init__(
        self,
        em: Emitter,
        isa: Isa,
        math: IndexMath,
        symbols: Mapping[str, str],
        volatile: frozenset[str] = _EMPTY,
        reduce: Callable[[Expr], Value] | None = None,
    ) -> None:
        self.em = em
        self.isa = isa
        self.math = math
        self.free = FreeNames()
        self.volatile = volatile
        self.reduce = reduce
        self._state = _State(dict(symbols), {}, {}, {}, None)

    # Scopes

    @property
    def vector_axis(self) -> Vector | None:
        """The vector axis of this scope."""
        return self._state.vector

    @property
    def lanes(self) -> int:
        """The lanes of vectors in this scope, 1 without a vector axis."""
        return 1 if self._state.vector is None else self._state.vector.lanes

    def tensor(self, name: str) -> Tensor:
        """The memory bound to a name."""
        return self._state.tensors[name]

    def axis_value(self, name: str) -> str:
        """The i64 value of an axis (of the first lane, for the vector axis)."""
        return self._state.bindings[axis_name(name)]

    @contextmanager
    def scope(
        self,
        axes: Mapping[str, str] | None = None,
        vector: Vector | None = None,
        blocks: Mapping[str, str] | None = None,
    ) -> Generator[None]:
        """A scope with these axes (and block numbers) bound to i64 values.

        `vector` sets the vector axis; without it the outer one stays. Bindings made inside end
        with it.
        """
        outer = self._state
        memo = [*outer.memo, {}]
        self._state = _State(
            dict(outer.bindings),
            dict(outer.levels),
            dict(outer.values),
            dict(outer.tensors),
            outer.vector,
            memo,
        )
        bound = {axis_name(n): v for n, v in (axes or {}).items()}
        bound |= {block_name(n): v for n, v in (blocks or {}).items()}
        if vector is not None:
            self._state.vector = vector
            self._state.levels[axis_name(vector.axis)] = len(memo) - 1
        for name, value in bound.items():
            self._state.bindings[name] = value
            self._state.levels[name] = len(memo) - 1
        try:
            yield
        finally:
            self._state = outer

    def bind_tensor(self, name: str, tensor: Tensor) -> None:
        """Makes memory known under a name in this scope."""
        self._forget(name)
        self._state.tensors[name] = tensor
        self._state.values.pop(name, None)
        self._state.levels[name] = len(self._state.memo) - 1

    def bind_value(self, name: str, value: Value, dtype: DType) -> None:
        """Makes a local scalar known under a name in this scope; its loads give `value`."""
        self._forget(name)
        self._state.values[name] = (self._kept(value, dtype), dtype)
        self._state.levels[name] = len(self._state.memo) - 1

    def _forget(self, name: str) -> None:
        """Drops what was computed from an earlier meaning of a name."""
        if name not in self._state.levels:
            return
        for memo in self._state.memo:
            for key in [k for k in memo if name in self._names_in(k)]:
                del memo[key]

    def _names_in(self, key: Any) -> frozenset[str]:
        if isinstance(key, Expr):
            return self.free(key)
        return self._names_of(key[1]) if key[0] == "index" else _EMPTY

    def _level(self, names: Iterable[str]) -> int:
        return max((self._state.levels.get(n, 0) for n in names), default=0)

    def _recall(self, key: Any, level: int) -> Any:
        for memo in reversed(self._state.memo[level:]):
            if key in memo:
                return memo[key]
        return None

    def _remember(self, key: Any, value: Any) -> None:
        self._state.memo[-1][key] = value

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
            known = self._splat(value.name, dtype, lanes)
            self._remember(key, known)
        return known

    def _splat(self, value: str, dtype: DType, lanes: int) -> str:
        if not _is_short(dtype):
            return self.em.splat(llvm_type(dtype), value, lanes)
        # As integers, and first into a vector that a register holds: of wider vectors of 16-bit
        # floats, LLVM makes library calls.
        first, em = min(lanes, 8), self.em
        bits = em.value(f"bitcast {llvm_type(dtype)} {value} to i16")
        one = em.value(f"insertelement <{first} x i16> poison, i16 {bits}, i64 0")
        spread = em.value(
            f"shufflevector <{first} x i16> {one}, <{first} x i16> poison, "
            f"<{lanes} x i32> zeroinitializer"
        )
        return em.value(f"bitcast <{lanes} x i16> {spread} to {llvm_type(dtype, lanes)}")

    def _kept(self, value: Value, dtype: DType) -> Value:
        """The form in which a value is remembered: a scalar 16-bit float as its bits.

        LLVM passes such scalars between blocks through library calls where no register holds them.
        """
        if not _is_short(dtype) or value.varies or not value.name.startswith("%"):
            return value
        return Value(self.em.value(f"bitcast {llvm_type(dtype)} {value.name} to i16"), False)

    def _used(self, value: Value, dtype: DType) -> Value:
        """A value that was remembered, as `llvm_type(dtype)` again."""
        if not _is_short(dtype) or value.varies or not value.name.startswith("%"):
            return value
        return Value(self.em.value(f"bitcast i16 {value.name} to {llvm_type(dtype)}"), False)

    def emit(self, e: Expr) -> Value:
        """The value of an expression: a vector only when it depends on the vector axis."""
        passing: dict[Expr, Value] = {}  # values of volatile loads live for this call only
        stack = [(e, False)]
        while stack:
            node, ready = stack.pop()
            if self._known(node, passing) is not None:
                continue
            children = () if ready else value_children(node)
            if children:
                stack.append((node, True))
                stack.extend((a, False) for a in reversed(children))
                continue
            value = self._kept(self._node(node, passing), node.dtype)
            if self.volatile & self.free(node):
                passing[node] = value
            else:
                self._remember(node, value)
        return self._operand(e, passing)

    def _operand(self, node: Expr, passing: Mapping[Expr, Value]) -> Value:
        """The value of a node that has been emitted."""
        value = self._known(node, passing)
        assert value is not None
        return self._used(value, node.dtype)

    def _known(self, node: Expr, passing: Mapping[Expr, Value]) -> Value | None:
        found = passing.get(node)
        return found if found is not None else self._recall(node, self._level(self.free(node)))

    def is_known(self, e: Expr) -> bool:
        """Whether the value of an expression has been emitted and is still valid."""
        return self._recall(e, self._level(self.free(e))) is not None

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

    def _is_volatile(self, p: Dim) -> bool:
        return bool(self.volatile & self._names_of(p))

    def _names_of(self, p: Dim) -> frozenset[str]:
        names: set[str] = set()
        for name in symbols_of(p):
            names |= self.free(self.math.opaque[name]) if name[0] == "$" else {name}
        return frozenset(names)

    def _polynomial_level(self, p: Dim) -> int:
        return self._level(self._names_of(p))

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
        names = self.free(e)
        if axis_name(vector.axis) in names:
            return True
        for name in names:
            held = self._state.values.get(name)
            tensor = self._state.tensors.get(name)
            if (held is not None and held[0].varies) or (tensor is not None and tensor.lanes):
                return True
        return False

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

    def _load(self, node: Expr, mask: Value | None) -> Value:
        held = self._state.values.get(node.attr)
        if held is not None:
            return self._used(held[0], held[1])
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
        offsets = place.offsets if place.step is None else self._lane_offsets(place.step)
        return memory.gather(em, dtype, place.pointer, offsets, lanes, mask)

    def _both(self, a: str | None, b: str) -> str:
        return b if a is None else self.em.value(f"and <{self.lanes} x i1> {a}, {b}")

    def _pad(self, node: Expr, outside: Value) -> Value:
        inside, mask = node.args[0], self.in_bounds(node.args[0])
        if mask is None:
            return self._load(inside, None)
        value = self._load(inside, mask)
        dtype = node.dtype
        varies = value.varies or mask.varies or outside.varies
        if _is_short(dtype) and not varies:
            return Value(self._merge_short(mask.name, value.name, outside.name, dtype), False)
        types = [bool_, dtype, dtype]
        values = (mask, value, outside)
        args = [self.spread(v, t) if varies else v.name for v, t in zip(values, types, strict=True)]
        lanes = self.lanes if varies else 1
        return Value(emit_op(self.em, "select", dtype, types, args, lanes, self.isa), varies)

    def _merge_short(self, mask: str, inside: str, outside: str, dtype: DType) -> str:
        """A select of scalar 16-bit floats, of which LLVM would make a library call.

        `inside` is zero where the mask is not set.
        """
        em, type_ = self.em, llvm_type(dtype)
        a, b = (em.value(f"bitcast {type_} {v} to i16") for v in (inside, outside))
        other = em.value(f"select i1 {mask}, i16 0, i16 {b}")
        return em.value(f"bitcast i16 {em.value(f'or i16 {a}, {other}')} to {type_}")

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
        limit = self.index(extent)
        if any(self._varies(a) for m, _ in terms_of(p) for a in m):
            i = self.index_vector(p)
            bound = iv.splat(self.em, limit, self.lanes)
            return Value(self.em.value(f"icmp ult <{self.lanes} x i64> {i}, {bound}"), True)
        return Value(self.em.value(f"icmp ult i64 {self.index(p)}, {limit}"), False)

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
        if place.step == 1:
            memory.store(em, dtype, place.pointer, value, lanes, mask)
            return
        offsets = place.offsets if place.step is None else self._lane_offsets(place.step)
        memory.scatter(em, dtype, place.pointer, offsets, value, lanes, mask)

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
        while stack:
            node, hidden = stack.pop()
            if node in seen or node.op in ("const", "index", "block"):
                continue
            seen.add(node)
            names = self.free(node)
            fixed = not names & (hidden | self.volatile)
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
        if (
            lanes > 1
            and not value.varies
            and value.name.startswith("%")
            and not _is_short(node.dtype)
        ):
            type_ = llvm_type(node.dtype)
            key = ("splat", value.name, type_, lanes)
            if self._recall(key, 0) is None:
                self._remember(key, self._splat(value.name, node.dtype, lanes))

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


def _is_short(dtype: DType) -> bool:
    return dtype.is_float and dtype.bits == 16


def _has_load(e: Expr) -> bool:
    return any(n.op == "load" for n in walk(e))


def value_children(node: Expr) -> tuple[Expr, ...]:
    """The arguments emitted before a node: not index expressions, not reduced bodies."""
    if node.op in ("load", "reduce", "dot"):
        return ()
    return node.args[1:] if node.op == "pad" else node.args
