"""Runs kernel IR in Python: the oracle of the other backends.

Iterations of a `par` are computed together as arrays. Every axis in use is a dimension of a grid: a
value is an array whose shape broadcasts to the grid so far. A `par` appends one dimension for its
iterations (in chunks, so that memory stays small), an assignment one for each of its axes and of
the open blocks in its indices, a reduction one for each of its axes. Blocks and `for` are loops.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.codegen.host_call import run_host
from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Sort, Stmt, statements
from dlc.codegen.reference.reductions import fold
from dlc.ir.dims import Dim, evaluate
from dlc.ir.errors import DTypeError, IndexRangeError, ShapeError, ValueRangeError
from dlc.ir.ops.sorting import sorted_places
from dlc.ir.record import dataclass, field
from dlc.ir.scalar import Axis, Expr, reduced_axes, walk
from dlc.ir.scalar_reference import NUMPY_SCALAR
from dlc.ir.types import float32

Array: TypeAlias = npt.NDArray[Any]

# Elements that a chunk of iterations may have in its largest intermediate value.
_CHUNK = 1 << 20


def run_kernel(
    kernel: Kernel,
    arrays: Mapping[str, Array],
    dims: Mapping[str, int],
    *,
    order_seed: int | None = None,
) -> None:
    """Run a kernel on NumPy arrays; outputs are written in place.

    Args:
        kernel: A kernel that `verify_kernel` accepts.
        arrays: For each parameter an array of its dtype and extents.
        dims: The value of each of the kernel's symbols.
        order_seed: Where given, the iterations of every `par` run in a random order of that seed.

    Raises:
        ValueRangeError: A parameter or a symbol has no value.
        ShapeError, DTypeError: An array is not what its parameter says.
        IndexRangeError: A load or store outside of its tensor, naming it and the index.
    """
    for name in kernel.dims:
        if name not in dims:
            raise ValueRangeError(f"kernel {kernel.name}: no value for the dim {name}")
    for p in kernel.params:
        if p.name not in arrays:
            raise ValueRangeError(f"kernel {kernel.name}: no array for the parameter {p.name}")
        array, shape = arrays[p.name], tuple(evaluate(d, dims) for d in p.dims)
        if array.shape != shape:
            raise ShapeError(f"{kernel.name}: {p.name} is {list(shape)}, got {list(array.shape)}")
        if array.dtype != p.dtype.numpy:
            raise DTypeError(f"{kernel.name}: {p.name} is {p.dtype}, got {array.dtype}")
    if kernel.host is not None:
        ins = [arrays[p.name] for p in kernel.params if p.mode == "in"]
        outs = [arrays[p.name] for p in kernel.params if p.mode == "out"]
        run_host(kernel.host, ins, outs, dims)
        return
    order = None if order_seed is None else np.random.default_rng(order_seed)
    _Run(dict(arrays), dict(dims), order).body(kernel.body, _Scope())


@dataclass(frozen=True)
class _Block:
    """An open block: the values `start` to `start + length - 1` of its axis."""

    start: int
    length: int
    number: int

    def values(self) -> Iterator[_Block]:
        """Blocks of each single value."""
        for k in range(self.start, self.start + self.length):
            yield _Block(k, 1, self.number)


@dataclass(frozen=True)
class _Local:
    """A local: one element for each iteration (the leading `depth` dimensions) and tile position.

    kept: the positions among its indices that address the tile; origin: what is taken off them.
    """

    values: Array
    depth: int
    kept: tuple[int, ...]
    origin: tuple[int, ...]

    def tile_indices(self, ix: list[Array]) -> list[Array]:
        """Those of `ix`, which states every index of the definition or only those of the tile."""
        return ix if len(ix) == len(self.kept) else [ix[k] for k in self.kept]


@dataclass
class _Scope:
    """What names mean at a statement: the grid, and axes, open blocks and locals by name."""

    grid: tuple[int, ...] = ()
    axes: dict[str, Array] = field(default_factory=dict[str, Array])
    blocks: dict[str, _Block] = field(default_factory=dict[str, _Block])
    locals: dict[str, _Local] = field(default_factory=dict[str, _Local])

    def inner(self) -> _Scope:
        return _Scope(self.grid, dict(self.axes), dict(self.blocks), dict(self.locals))

    def append(self, values: Mapping[str, Array], size: int) -> _Scope:
        """With another grid dimension, along which each of these axes has these values."""
        scope = self.inner()
        scope.grid = (*self.grid, size)
        shape = (1,) * len(self.grid) + (size,)
        scope.axes.update({name: v.reshape(shape) for name, v in values.items()})
        return scope

    def lift(self, value: Array) -> Array:
        """A value of an outer scope with this grid's rank."""
        return value.reshape(value.shape + (1,) * (len(self.grid) - value.ndim))


class _Run:
    """One run of a kernel."""

    def __init__(
        self, arrays: dict[str, Array], dims: dict[str, int], order: np.random.Generator | None
    ) -> None:
        self.arrays, self.dims, self.order = arrays, dims, order

    def extent(self, dim: Dim) -> int:
        return max(evaluate(dim, self.dims), 0)

    # Statements

    def body(self, body: tuple[Stmt, ...], scope: _Scope) -> None:
        for stmt in body:
            if isinstance(stmt, Assign):
                self.assign(stmt, scope)
            elif isinstance(stmt, Par):
                self.par(stmt, scope)
            elif isinstance(stmt, Sort):
                self.sort(stmt, scope)
            else:
                self.for_(stmt, scope)

    def blocks_of(self, axis: Axis) -> Iterator[_Block]:
        extent, size = self.extent(axis.extent), axis.block or 1
        for number, s in enumerate(range(0, extent, size)):
            yield _Block(s, min(size, extent - s), number)

    def range_of(self, axis: Axis, scope: _Scope) -> _Block:
        """What an assignment or a reduction runs over: the open block, or the whole axis."""
        return self.opened(axis, scope) or _Block(0, self.extent(axis.extent), 0)

    def opened(self, axis: Axis, scope: _Scope) -> _Block | None:
        """The block that is open on an axis."""
        return scope.blocks.get(axis.name) if axis.block is not None else None

    def par(self, stmt: Par, scope: _Scope) -> None:
        blocked = [a for a in stmt.axes if a.block is not None]
        plain = [a for a in stmt.axes if a.block is None]
        choices = list(itertools.product(*(self.blocks_of(a) for a in blocked)))
        extents = [self.extent(a.extent) for a in plain]
        units = np.arange(math.prod(extents))
        if self.order is not None:
            choices = [choices[i] for i in self.order.permutation(len(choices))]
            units = self.order.permutation(units)
        chunk = max(1, _CHUNK // max(1, math.prod(scope.grid) * self.size(stmt.body)))
        if any(isinstance(s, For) and not _is_uniform(s.condition) for s in statements(stmt.body)):
            chunk = 1  # iterations may stop at different times
        for choice in choices:
            for low in range(0, len(units), chunk):
                some = units[low : low + chunk]
                values = np.unravel_index(some, extents) if extents else ()
                names = (a.name for a in plain)
                inner = scope.append(dict(zip(names, values, strict=True)), len(some))
                inner.blocks.update({a.name: b for a, b in zip(blocked, choice, strict=True)})
                self.body(stmt.body, inner)

    def for_(self, stmt: For, scope: _Scope) -> None:
        inner = scope.inner()
        for init in stmt.carry:
            self.assign(init, inner)
        opened = self.opened(stmt.axis, scope)
        for block in self.blocks_of(stmt.axis) if opened is None else opened.values():
            inner.blocks[stmt.axis.name] = block
            if opened is not None or stmt.axis.block is None:
                inner.axes[stmt.axis.name] = np.array(block.start)
            if stmt.condition is not None and not self.value(stmt.condition, inner).all():
                break
            iteration = inner.inner()
            self.body(stmt.body, iteration)
            for init in stmt.carry:
                following = iteration.locals.get(f"next_{init.name}")
                if following is not None:
                    inner.locals[init.name] = following
        for init in stmt.carry:
            scope.locals[init.name] = inner.locals[init.name]

    def assign(self, stmt: Assign, scope: _Scope) -> None:
        inner, depth = scope, len(scope.grid)
        tile: dict[str, _Block] = {}
        for e in stmt.ix:
            for name in sorted(n.attr for n in walk(e) if n.op == "index"):
                if name in scope.blocks and name not in scope.axes and name not in tile:
                    tile[name] = scope.blocks[name]
        for axis in stmt.axes:
            tile[axis.name] = self.range_of(axis, scope)
        for name, block in tile.items():
            values = np.arange(block.start, block.start + block.length)
            inner = inner.append({name: values}, block.length)
        value = np.broadcast_to(self.value(stmt.expr, inner), inner.grid)
        if stmt.name in self.arrays:
            self.store(stmt, value, inner)
            return
        kept = tuple(k for k, e in enumerate(stmt.ix) if e.attr in tile and e.op == "index")
        order = [list(tile).index(stmt.ix[k].attr) for k in kept]
        value = value.transpose(*range(depth), *(depth + k for k in order))
        origin = tuple(tile[stmt.ix[k].attr].start for k in kept)
        scope.locals[stmt.name] = _Local(value, depth, kept, origin)

    def sort(self, stmt: Sort, scope: _Scope) -> None:
        over, own = self.range_of(stmt.over, scope), self.range_of(stmt.axis, scope)
        along = np.arange(over.start, over.start + over.length)
        inner = scope.append({stmt.over.name: along}, over.length)
        value = np.broadcast_to(self.value(stmt.expr, inner), inner.grid)
        order = sorted_places(value, stmt.descending)[..., own.start : own.start + own.length]
        kept = tuple(k for k, e in enumerate(stmt.ix) if e.attr == stmt.axis.name)
        tiles = (
            (stmt.values, np.take_along_axis(value, order, -1)),
            (stmt.positions, order + over.start),
        )
        for name, tile in tiles:
            if name is not None:
                scope.locals[name] = _Local(tile, len(scope.grid), kept, (own.start,))

    def store(self, stmt: Assign, value: Array, scope: _Scope) -> None:
        array = self.arrays[stmt.name]
        ix = [self.value(e, scope) for e in stmt.ix]
        at = tuple(np.broadcast_to(i, scope.grid) for i in ix)
        if value.size:
            value = value if at else value.reshape(-1)[-1]
            _check_bounds(stmt.name, at, array.shape)
            array[at] = NUMPY_SCALAR["add"](array[at], value) if stmt.accumulate else value

    def size(self, body: tuple[Stmt, ...]) -> int:
        """An upper bound of the elements that one iteration has in an intermediate value."""
        largest = 1
        for s in statements(body):
            if isinstance(s, Assign):
                opened = [e.attr for e in s.ix if e.op == "index"]
                sizes = [self.extent(a.extent) for a in s.axes]
                blocks = [a.block for t in statements(body) for a in _axes(t) if a.name in opened]
                own = math.prod(sizes) * math.prod(b for b in blocks if b is not None)
                largest = max(largest, own * self.reduced_size(s.expr))
            elif isinstance(s, Sort):
                row = s.over.block or self.extent(s.over.extent)
                largest = max(largest, row * self.reduced_size(s.expr))
        return largest

    def reduced_size(self, e: Expr) -> int:
        sizes: dict[int, int] = {}
        for node in walk(e):
            extents = [a.block or self.extent(a.extent) for a in reduced_axes(node)]
            inner = max((sizes[id(a)] for a in node.args), default=1)
            sizes[id(node)] = inner * max(1, math.prod(extents))
        return sizes[id(e)]

    # Values

    def value(self, e: Expr, scope: _Scope) -> Array:
        """The value of `e` over the scope's grid; iterative, since expressions may be deep."""
        known: dict[int, Array] = {}
        stack = [(e, False)]
        while stack:
            node, ready = stack.pop()
            if id(node) in known:
                continue
            operands = _operands(node)
            if operands and not ready:
                stack.append((node, True))
                stack.extend((a, False) for a in operands)
                continue
            known[id(node)] = self.node(node, [known[id(a)] for a in operands], scope)
        return known[id(e)]

    def node(self, e: Expr, args: list[Array], scope: _Scope) -> Array:
        match e.op:
            case "const":
                return np.asarray(e.attr, e.dtype.numpy)
            case "dim":
                return np.asarray(evaluate(e.attr, self.dims), np.int64)
            case "index":
                return scope.lift(scope.axes[e.attr])
            case "block":
                return np.asarray(scope.blocks[e.attr].number, np.int64)
            case "load":
                return self.load(e.attr, args, scope)
            case "pad":
                return self.pad(e.args[0].attr, args[:-1], args[-1], scope)
            case "reduce":
                kind, axes = e.attr
                return self.reduce(kind, axes, e, lambda inner: self.value(e.args[0], inner), scope)
            case "dot":
                return self.reduce("sum", e.attr, e, lambda inner: self.product(e, inner), scope)
            case "convert" | "bitcast":
                return NUMPY_SCALAR[e.op](*args, e.dtype)
            case _:
                return NUMPY_SCALAR[e.op](*args)

    def load(self, name: str, ix: list[Array], scope: _Scope) -> Array:
        local = scope.locals.get(name)
        if local is None:
            array = self.arrays[name]
            at = tuple(ix)
        else:
            array = local.values
            iterations = _positions(scope.grid, local.depth)
            tile = local.tile_indices(ix)
            at = (*iterations, *(i - o for i, o in zip(tile, local.origin, strict=True)))
        _check_bounds(name, at, array.shape)
        return np.asarray(array[at])

    def pad(self, name: str, ix: list[Array], outside: Array, scope: _Scope) -> Array:
        local = scope.locals.get(name)
        if local is None:
            bounds = [(0, extent) for extent in self.arrays[name].shape]
        else:
            ix = local.tile_indices(ix)
            extents = local.values.shape[local.depth :]
            bounds = [(o, o + n) for o, n in zip(local.origin, extents, strict=True)]
        inside = np.asarray(True)
        for i, (low, end) in zip(ix, bounds, strict=True):
            inside = inside & (i >= low) & (i < end)
        if not inside.any():
            return np.broadcast_to(outside, np.broadcast_shapes(inside.shape, outside.shape))
        nearest = [np.where(inside, i, low) for i, (low, _) in zip(ix, bounds, strict=True)]
        return np.where(inside, self.load(name, nearest, scope), outside)

    def product(self, e: Expr, scope: _Scope) -> Array:
        dtype = float32 if e.dtype.is_float and e.dtype.bits == 16 else e.dtype
        a, b = (NUMPY_SCALAR["convert"](self.value(x, scope), dtype) for x in e.args)
        return NUMPY_SCALAR["mul"](a, b)

    def reduce(
        self,
        kind: str,
        axes: tuple[Axis, ...],
        e: Expr,
        body: Callable[[_Scope], Array],
        scope: _Scope,
    ) -> Array:
        inner = scope
        for axis in axes:
            block = self.range_of(axis, scope)
            values = np.arange(block.start, block.start + block.length)
            inner = inner.append({axis.name: values}, block.length)
        value = body(inner)
        rank, reduced = len(scope.grid), inner.grid[len(scope.grid) :]
        outer = np.broadcast_shapes(inner.lift(value).shape[:rank], (1,) * rank)
        full = np.broadcast_to(inner.lift(value), (*outer, *reduced))
        return fold(kind, full.reshape(*outer, math.prod(reduced)), e.dtype)


def _operands(e: Expr) -> tuple[Expr, ...]:
    """What is evaluated in the scope of `e` itself: not the bodies of reductions."""
    if e.op in ("reduce", "dot"):
        return ()
    return (*e.args[0].args, e.args[1]) if e.op == "pad" else e.args


def _axes(stmt: Stmt) -> tuple[Axis, ...]:
    return (stmt.axis,) if isinstance(stmt, For) else stmt.axes


def _is_uniform(condition: Expr | None) -> bool:
    return condition is None or not any(n.op in ("index", "load") for n in walk(condition))


def _positions(grid: tuple[int, ...], depth: int) -> Iterator[Array]:
    for k in range(depth):
        shape = [1] * len(grid)
        shape[k] = grid[k]
        yield np.arange(grid[k]).reshape(shape)


def _check_bounds(name: str, at: tuple[Array, ...], shape: tuple[int, ...]) -> None:
    for k, (i, extent) in enumerate(zip(at, shape, strict=True)):
        outside = (i < 0) | (i >= extent)
        if outside.any():
            first = int(np.broadcast_to(i, outside.shape)[outside].flat[0])
            message = f"index {first} of {name} is outside of dimension {k} of extent {extent}"
            raise IndexRangeError(message)
