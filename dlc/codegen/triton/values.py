"""Expressions as Triton source: each value is a block whose dimensions are the axes in use.

A scope is a place in the source at which some axes are blocks. The values of an inner scope have
one dimension more than those of the outer one, which get a trailing dimension of size one when they
are read inside. Values that depend on no block are Triton scalars and broadcast by themselves.
"""

from __future__ import annotations

from dlc.codegen.index_math import IndexMath, terms_of
from dlc.codegen.kernel_ir import Kernel, Param
from dlc.codegen.triton.scalars import literal, scalar_op
from dlc.ir.dims import Apply, Atom, Dim, Symbol, add, mul
from dlc.ir.errors import BackendError
from dlc.ir.record import dataclass, field
from dlc.ir.scalar import Axis, Expr
from dlc.ir.types import DType


@dataclass(frozen=True)
class Value:
    """A variable or literal of the source.

    rank: dimensions of the block; 0 for a scalar.
    axes: the block axes that it differs along.
    """

    text: str
    rank: int = 0
    axes: frozenset[str] = frozenset()

    def at(self, rank: int) -> str:
        """The text for use among values of a rank."""
        if self.rank in (0, rank):
            return self.text
        return f"{self.text}[{', '.join([':'] * self.rank + ['None'] * (rank - self.rank))}]"


@dataclass(frozen=True)
class Span:
    """The part of an axis in reach: from `start` to before `end`, and the block's number."""

    start: str
    end: str
    number: str | None = None


@dataclass
class Scope:
    """A place in the source: the block axes in order with their sizes, and what is known there."""

    parent: Scope | None = None
    blocks: tuple[tuple[str, int], ...] = ()
    indices: dict[str, Value] = field(default_factory=dict[str, Value])
    masks: dict[str, Value] = field(default_factory=dict[str, Value])
    spans: dict[str, Span] = field(default_factory=dict[str, Span])
    locals: dict[str, Value] = field(default_factory=dict[str, Value])
    memo: dict[Expr, Value] = field(default_factory=dict[Expr, Value])
    offsets: dict[Dim, Value] = field(default_factory=dict[Dim, Value])
    kept: dict[str, Scope] = field(default_factory=dict[str, "Scope"])

    @property
    def rank(self) -> int:
        """The number of block axes."""
        return len(self.blocks)

    @property
    def shape(self) -> str:
        """The shape of a value that differs along all block axes."""
        return f"[{', '.join(str(size) for _, size in self.blocks)}]"

    def inner(self, *blocks: tuple[str, int]) -> Scope:
        """A scope inside of this one, with further block axes."""
        return Scope(self, (*self.blocks, *blocks))

    def index(self, name: str) -> Value | None:
        """The value of an axis."""
        return self.indices.get(name) or (self.parent.index(name) if self.parent else None)

    def mask(self, name: str) -> Value | None:
        """Where a block axis is within its extent."""
        return self.masks.get(name) or (self.parent.mask(name) if self.parent else None)

    def span(self, name: str) -> Span | None:
        """The open block of an axis."""
        return self.spans.get(name) or (self.parent.span(name) if self.parent else None)

    def local(self, name: str) -> Value | None:
        """The value of a scalar local."""
        return self.locals.get(name) or (self.parent.local(name) if self.parent else None)

    def known(self, e: Expr) -> Value | None:
        """The value of an expression that has been computed here or outside of here."""
        found = self.memo.get(e)
        return found or (self.parent.known(e) if self.parent else None)

    def known_offset(self, p: Dim) -> Value | None:
        """The same for an index polynomial."""
        found = self.offsets.get(p)
        return found or (self.parent.known_offset(p) if self.parent else None)


class ValueWriter:
    """Writes expressions without reductions; `reduction` is for the nest to fill in."""

    def __init__(self, kernel: Kernel, math: IndexMath) -> None:
        self.kernel, self.math = kernel, math
        self.params: dict[str, Param] = {p.name: p for p in kernel.params}
        self.lines: list[str] = []
        self.depth = 1
        self.count = 0

    # Lines

    def write(self, line: str) -> None:
        """A line of source at the present indentation."""
        self.lines.append("    " * self.depth + line)

    def comment(self, text: str) -> None:
        """A comment line."""
        self.write(f"# {text.strip()}")

    def name(self, prefix: str = "v") -> str:
        """A name that the source does not have yet."""
        self.count += 1
        return f"{prefix}{self.count}"

    def assign(self, text: str, scope: Scope, axes: frozenset[str]) -> Value:
        """A new variable that holds `text`."""
        name = self.name()
        self.write(f"{name} = {text}")
        return Value(name, scope.rank if axes else 0, axes)

    def dim(self, name: str) -> str:
        """The argument that holds one of the kernel's symbols."""
        return f"dim_{name}"

    # Expressions

    def value(self, e: Expr, scope: Scope) -> Value:
        """The value of `e` at `scope`; iterative, since expressions may be deep."""
        stack = [(e, False)]
        while stack:
            node, ready = stack.pop()
            if scope.known(node) is not None:
                continue
            operands = _operands(node)
            if operands and not ready:
                stack.append((node, True))
                stack.extend((a, False) for a in operands)
                continue
            values = [v for a in operands if (v := scope.known(a)) is not None]
            scope.memo[node] = self.node(node, values, scope)
        found = scope.known(e)
        assert found is not None
        return found

    def node(self, e: Expr, args: list[Value], scope: Scope) -> Value:
        """The value of a node whose operands are known."""
        match e.op:
            case "const":
                return Value(literal(e.attr, e.dtype))
            case "dim" | "block":
                return self.offset(self.math.polynomial(e), scope)
            case "index":
                found = scope.index(e.attr)
                assert found is not None
                return found
            case "load":
                return self.load(e, scope)
            case "pad":
                return self.pad(e, args[0], scope)
            case "reduce":
                return self.reduction(e, scope)
            case _:
                source = e.args[-1].dtype
                texts = [a.at(scope.rank) for a in args]
                axes = frozenset[str]().union(*(a.axes for a in args))
                return self.assign(scalar_op(e.op, e.dtype, source, texts), scope, axes)

    def reduction(self, e: Expr, scope: Scope) -> Value:
        """A reduction; only nests have them."""
        raise BackendError(f"a reduction where none may be: {e.op}")

    # Memory

    def place(self, name: str, ix: tuple[Expr, ...], scope: Scope) -> Value:
        """The offset of an element."""
        at: Dim = 0
        for i, extent in zip(ix, self.params[name].dims, strict=True):
            at = add(mul(at, extent), self.math.polynomial(i))
        return self.offset(self.math.recombine(at), scope)

    def mask(self, axes: frozenset[str], scope: Scope, extra: Value | None = None) -> Value | None:
        """Where all of some block axes are within their extents, and `extra` holds."""
        masks = [m for name, _ in scope.blocks if name in axes and (m := scope.mask(name))]
        masks += [extra] if extra else []
        if len(masks) < 2:
            return masks[0] if masks else None
        text = " & ".join(m.at(scope.rank) for m in masks)
        return Value(f"({text})", scope.rank, frozenset[str]().union(*(m.axes for m in masks)))

    def load(self, e: Expr, scope: Scope, inside: Value | None = None) -> Value:
        """An element of a parameter, or a local."""
        if e.attr not in self.params:
            found = scope.local(e.attr)
            assert found is not None
            return found
        at = self.place(e.attr, e.args, scope)
        mask = self.mask(at.axes | (inside.axes if inside else frozenset()), scope, inside)
        return self.read(e.attr, e.dtype, at, mask, scope)

    def read(self, name: str, dtype: DType, at: Value, mask: Value | None, scope: Scope) -> Value:
        """The elements of `name` at offsets; 0 where the mask does not hold."""
        where, axes = at.at(scope.rank), at.axes
        text = f"tl.load(p_{name} + {where})"
        if mask is not None:
            if not mask.axes <= at.axes:  # a mask may not be larger than what it masks
                where = f"({where} + tl.where({mask.at(scope.rank)}, 0, 0))"
                axes = axes | mask.axes
            text = f"tl.load(p_{name} + {where}, mask={mask.at(scope.rank)}, other=0)"
        if dtype.kind == "b":
            text += " != 0"
        return self.assign(text, scope, axes)

    def pad(self, e: Expr, outside: Value, scope: Scope) -> Value:
        """An element where the indices are within bounds, else another value."""
        access = e.args[0]
        if access.attr not in self.params:  # what this very iteration has made
            return self.load(access, scope)
        tests: list[str] = []
        axes: frozenset[str] = frozenset()
        for i, extent in zip(access.args, self.params[access.attr].dims, strict=True):
            p = self.math.polynomial(i)
            at = self.offset(p, scope)
            axes |= at.axes
            text = at.at(scope.rank)
            if not self.math.at_least_zero(p):
                tests.append(f"({text} >= 0)")
            if not self.math.within(p, extent):
                tests.append(f"({text} < {self.offset(extent, scope).text})")
        if not tests:
            return self.load(access, scope)
        inside = self.assign(" & ".join(tests), scope, axes)
        loaded = self.load(access, scope, inside)
        text = ", ".join(v.at(scope.rank) for v in (inside, loaded, outside))
        return self.assign(f"tl.where({text})", scope, inside.axes | loaded.axes | outside.axes)

    def store(
        self,
        name: str,
        at: Value,
        value: Value,
        dtype: DType,
        scope: Scope,
        kept: Value | None = None,
    ) -> None:
        """Writes a value to each element that the scope's axes are at, where `kept` holds."""
        where, text = at.at(scope.rank), value.at(scope.rank)
        everywhere = frozenset(n for n, _ in scope.blocks)
        if at.axes != everywhere:
            where = f"tl.broadcast_to({where}, {scope.shape})"
        if dtype.kind == "b":
            text = f"{text}.to(tl.uint8)"
        mask = self.mask(everywhere, scope, kept)
        limit = f", mask={mask.at(scope.rank)}" if mask is not None else ""
        self.write(f"tl.store(p_{name} + {where}, {text}{limit})")

    # Index arithmetic

    def offset(self, p: Dim, scope: Scope) -> Value:
        """The value of an index polynomial."""
        if isinstance(p, int):
            return Value(f"tl.full((), {p}, tl.int64)")
        found = scope.known_offset(p)
        if found is not None:
            return found
        parts: list[str] = []
        axes: frozenset[str] = frozenset()
        for monomial, k in terms_of(p):
            atoms = [self._atom(a, scope) for a in monomial]
            axes = axes.union(*(a.axes for a in atoms))
            factors = [a.at(scope.rank) for a in atoms]
            if k != 1 or not factors:
                factors.append(str(k))
            parts.append(" * ".join(factors))
        single = len(parts) == 1 and " " not in parts[0] and "[" not in parts[0]
        if single:
            result = Value(parts[0], scope.rank if axes else 0, axes)
        else:
            result = self.assign(" + ".join(parts), scope, axes)
        scope.offsets[p] = result
        return result

    def _atom(self, item: Atom, scope: Scope) -> Value:
        if isinstance(item, Apply):
            return self._application(item, scope)
        return self._symbol(item, scope)

    def _symbol(self, item: Symbol, scope: Scope) -> Value:
        name = item.name
        if name[0] == "$":
            return self.value(self.math.opaque[name], scope)
        if name[0] == "#":
            span = scope.span(name[1:])
            assert span is not None
            assert span.number is not None
            return Value(span.number)
        if name[0] == "@":
            found = scope.index(name[1:])
            assert found is not None, name
            return found
        return Value(self.dim(name))

    def _application(self, item: Apply, scope: Scope) -> Value:
        a, b = self.offset(item.a, scope), self.offset(item.b, scope)
        x, y = a.at(scope.rank), b.at(scope.rank)
        match item.function:
            case "max" | "min":
                text = f"tl.{item.function}imum({x}, {y})"
            case "floordiv" if self.math.at_least_zero(item.a):
                text = f"{x} // {y}"
            case "mod" if self.math.at_least_zero(item.a):
                text = f"{x} % {y}"
            case _:
                text = f"_index_{item.function}({x}, {y})"
        return self.assign(text, scope, a.axes | b.axes)

    # Axes

    def scalar_axis(self, scope: Scope, axis: Axis, text: str) -> None:
        """Makes an axis known that has one value at a time."""
        scope.indices[axis.name] = Value(text)

    def block_axis(self, scope: Scope, name: str, base: str, end: str) -> None:
        """Makes the last block axis of a scope known: its values from `base` to before `end`."""
        lane = f"tl.arange(0, {scope.blocks[-1][1]})"
        if scope.rank > 1:
            lane += f"[{', '.join(['None'] * (scope.rank - 1) + [':'])}]"
        own = frozenset({name})
        scope.indices[name] = self.assign(f"{base} + {lane}", scope, own)
        scope.masks[name] = self.assign(f"{scope.indices[name].text} < {end}", scope, own)


def _operands(e: Expr) -> tuple[Expr, ...]:
    """What is computed as a value before the node: not indices, nor the bodies of reductions."""
    if e.op in ("reduce", "dot", "load"):
        return ()
    return e.args[1:] if e.op == "pad" else e.args
