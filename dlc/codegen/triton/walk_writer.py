"""Walks as Triton functions: blocks of scores in registers, products by `tl.dot`.

Float32 operands are multiplied as float32. Tensor cores take both operands at one half type: where
one comes from memory at such a type and the other is computed, that is two parts of the type, whose
sum it is to twice the type's precision. The range of float16 is short: what is added up is divided
by a power of two for each row of sums, the largest so far, unless it is exponentials less the
largest. Products are accumulated at float32.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.scalar_math import expand_all
from dlc.codegen.triton.code import Launch, Variant, module_source
from dlc.codegen.triton.folds import fold_of
from dlc.codegen.triton.plan import Item, cannot
from dlc.codegen.triton.scalars import literal, scalar_op, triton_type
from dlc.codegen.triton.schedules import SMALLEST, WalkBlocks, tried_walk_blocks, walk_blocks
from dlc.codegen.triton.stored_code import dims_fit
from dlc.codegen.triton.values import Scope, Value, ValueWriter
from dlc.codegen.triton.walk_facts import (
    is_read,
    kind_of,
    lanes,
    narrow_type,
    product_bits,
    reads_matrix,
    scaled_sums,
    width_of,
)
from dlc.codegen.triton.walks import Walk, walks_of
from dlc.ir.dims import Dim, add, evaluate, floordiv, mul, product
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import Axis, Expr, walk
from dlc.ir.types import DType, float16, float32, float64

_OWN_MATH = frozenset({"exp"})  # that a GPU computes by itself, not to the last bits


def write_walks(kernel: Kernel, arch: int, *, fast: bool = False) -> tuple[Launch, ...] | None:
    """The launches of a kernel that consists of walks; None for another kernel.

    With `fast`, float32 operands of products are rounded to tf32, and computed ones to the half
    type of the other one; exponentials are the GPU's own, to about 2^-22.

    Raises:
        BackendError: for rows whose length is not known or above `WIDEST`, and for products of
            anything but two matrices.
    """
    walks = walks_of(kernel, _OWN_MATH if fast else frozenset())
    if walks is None:
        return None
    return tuple(Launch(tuple(_variants(w, arch, k, fast))) for k, w in enumerate(walks))


def tried_walks(
    kernel: Kernel, arch: int, dims: Mapping[str, int], *, fast: bool = False
) -> tuple[Launch, ...] | None:
    """Variants for some extents of each walk that measuring chooses from; None for others."""
    walks = walks_of(kernel, _OWN_MATH if fast else frozenset())
    if walks is None:
        return None
    aligned = dims_fit(dims, (), aligned=True)

    def tried(number: int, w: Walk) -> Iterator[Variant]:
        if evaluate(w.own.extent, dims) > SMALLEST:
            for n, blocks in enumerate(tried_walk_blocks(_usual_blocks(w, arch))):
                made = _variant(w, blocks, fast, f"{number}_tried{n}")
                yield replace(made, aligned=aligned)

    return tuple(Launch(tuple(tried(k, w))) for k, w in enumerate(walks))


def _usual_blocks(w: Walk, arch: int) -> WalkBlocks:
    blocks = walk_blocks(arch, product_bits(w), width_of(w), kind_of(w))
    if reads_matrix(w):
        blocks = replace(blocks, other=max(blocks.other // 2, SMALLEST))
    return blocks


def _variants(w: Walk, arch: int, number: int, fast: bool) -> Iterator[Variant]:
    blocks = _usual_blocks(w, arch)
    short = _variant(w, replace(blocks, own=SMALLEST), fast, f"{number}_short")
    yield replace(short, at_most=((w.own.extent, SMALLEST),))
    yield _variant(w, blocks, fast, f"{number}")


def _variant(w: Walk, blocks: WalkBlocks, fast: bool, suffix: str) -> Variant:
    writer = _WalkWriter(w, blocks, fast)
    entry = f"{w.kernel.name}_{suffix}"
    source, grid = writer.source(entry), writer.grid()
    return Variant(source, entry, grid, blocks.num_warps, blocks.num_stages)


@dataclass(frozen=True)
class _Tile:
    """A local.

    text: its variable.
    axes: the axes of the variable's dimensions.
    ix: those of its indices.
    scale: what each of its rows is to be multiplied by, a variable.
    """

    text: str
    axes: tuple[str, ...]
    ix: tuple[str, ...]
    scale: str | None = None


class _WalkWriter(ValueWriter):
    """Writes the function of one walk.

    Values that differ along some axes live in a scope of these axes, of which there is one at each
    depth of loops: what a loop computes is not known after it.
    """

    def __init__(self, w: Walk, blocks: WalkBlocks, fast: bool) -> None:
        super().__init__(w.kernel, w.math)
        self.walk, self.fast = w, fast
        self.sizes: dict[str, int] = {
            w.own.name: _fitting(w.own, blocks.own),
            w.other.name: _fitting(w.other, blocks.other),
        }
        self.starts: dict[str, str] = {}
        self.ends: dict[str, Dim] = {w.own.name: w.own.extent, w.other.name: w.other.extent}
        self.tiles: dict[str, _Tile] = {}
        self.scaled = scaled_sums(w)
        self.at_most_one = kind_of(w) == "values"  # what is computed and multiplied
        self.rescaled: dict[str, tuple[str, str]] = {}  # a scale's next value and its reciprocal
        self.base = Scope()
        self.levels: list[dict[tuple[str, ...], Scope]] = [{}]

    def grid(self) -> Dim:
        """The number of programs."""
        return mul(product(a.extent for a in self.walk.axes), self._own_blocks())

    def _own_blocks(self) -> Dim:
        size = self.sizes[self.walk.own.name]
        return floordiv(add(self.walk.own.extent, size - 1), size)

    def source(self, entry: str) -> str:
        """The module's text."""
        w = self.walk
        self._program()
        for item in w.before:
            self._statement(item)
        for item in w.carry:
            self._first(item)
        self._read_ahead()
        with self._loops():
            following = {i.name: self._local(i) for i in w.body if not self._is_stored(i)}
            carried = [c.name for c in w.carry if "next_" + c.name in following]
            names = [self.tiles[n].text for n in carried] + list(self.rescaled)
            values = [self._whole(following["next_" + n], w, n) for n in carried]
            values += [new for new, _ in self.rescaled.values()]
            self.write(f"{', '.join(names)} = {', '.join(values)}")
        for item in w.after:
            self._statement(item)
        title = print_kernel(w.kernel).rstrip().split("\n")
        return module_source(self.kernel, entry, self.lines, title)

    def _is_stored(self, item: Item) -> bool:
        if item.name in self.params:  # threads would have to wait for each other
            raise cannot(self.kernel, item.text, "a store in a loop over blocks")
        return False

    # Axes

    def _program(self) -> None:
        """What one program does; the blocks of a row's axis are neighbours."""
        w, scope = self.walk, self._scope(())
        self.write("pid = tl.program_id(0).to(tl.int64)")
        count = self.offset(self._own_blocks(), scope).text
        part, rest = self.name("pid"), self.name("pid")
        self.write(f"{part}, {rest} = pid % {count}, pid // {count}")
        for axis in reversed(w.axes):
            extent = self.offset(axis.extent, scope).text
            value, following = self.name("pid"), self.name("pid")
            self.write(f"{value}, {following} = {rest} % {extent}, {rest} // {extent}")
            self.scalar_axis(self.base, axis, value)
            rest = following
        if w.reach == "before":  # those with the most to do first
            part = self.assign(f"{count} - 1 - {part}", scope, frozenset()).text
        start = self.assign(f"{part} * {self.sizes[w.own.name]}", scope, frozenset())
        self.starts[w.own.name] = start.text

    @contextmanager
    def _loops(self) -> Generator[None]:
        """The loops of the walk."""
        w = self.walk
        for axis in w.outer:
            counter = self._enter("0", self.offset(axis.extent, self._scope(())).text, 1)
            self.scalar_axis(self.base, axis, counter)
        first, end = "0", self.offset(w.other.extent, self._scope(())).text
        own, size = self.starts[w.own.name], self.sizes[w.other.name]
        if w.reach == "before":
            end = f"tl.minimum({end}, {own} + {self.sizes[w.own.name]})"
        elif w.reach == "after":
            first = f"{own} // {size} * {size}"
        self.starts[w.other.name] = self._enter(first, end, size)
        yield
        self.levels = self.levels[:1]
        self.depth = 1

    def _enter(self, start: str, end: str, step: int) -> str:
        counter = self.name("i")
        by = f", {step}" if step != 1 else ""
        self.write(f"for {counter} in range({start}, {end}{by}):")
        self.depth += 1
        self.levels.append({})
        return self.assign(f"{counter} + tl.full((), 0, tl.int64)", self.base, frozenset()).text

    def _scope(self, names: tuple[str, ...]) -> Scope:
        """The scope of blocks of these axes here."""
        here = self.levels[-1].get(names)
        if here is not None:
            return here
        outside = next((s for x in reversed(self.levels) if (s := x.get(names))), None)
        if outside is not None:
            made = outside.inner()
        else:
            made = Scope(self.base, tuple((n, self.sizes[n]) for n in names))
        self.levels[-1][names] = made
        if outside is None:
            for k, name in enumerate(names):
                self._block(made, k, name)
        return made

    def _block(self, scope: Scope, dimension: int, name: str) -> None:
        size, own = self.sizes[name], frozenset({name})
        lane = f"tl.arange(0, {size})"
        if scope.rank > 1:
            lane += "[:, None]" if dimension == 0 else "[None, :]"
        start = self.starts.get(name)
        at = self.assign(f"{start} + {lane}" if start else lane, scope, own)
        scope.indices[name] = at
        end = self.ends[name]
        if end != size or start:
            limit = self.offset(end, self._scope(())).text
            scope.masks[name] = self.assign(f"{at.text} < {limit}", scope, own)

    def _names(self, axes: Sequence[Axis]) -> tuple[str, ...]:
        """The axes of a block in the order of its dimensions."""
        for a in axes:
            if a.block is None:
                assert isinstance(a.extent, int)  # as `_width` has seen
                self.sizes[a.name], self.ends[a.name] = lanes(a.extent), a.extent
        return self.walk.order([a.name for a in axes])

    # Statements

    def _statement(self, item: Item) -> None:
        if item.name not in self.params:
            self._local(item)
            return
        self.comment(item.text)
        scope = self._scope(self._names(item.axes))
        value = self._value(item.expr, scope)
        self.store(item.name, self.place(item.name, item.ix, scope), value, item.expr.dtype, scope)

    def _local(self, item: Item) -> Value:
        self.comment(item.text)
        names = self._names(item.axes)
        value = self._value(item.expr, self._scope(names))
        self.tiles[item.name] = _Tile(value.text, names, tuple(i.attr for i in item.ix))
        return value

    def _value(self, e: Expr, scope: Scope) -> Value:
        """The value of an expression; what is added to a product is where that begins."""
        if e.op == "add" and e.args[1].op == "dot":
            return self._dot(e.args[1], scope, e.args[0])
        return self.value(e, scope)

    def _first(self, item: Item) -> None:
        """The variable of what is carried."""
        self.comment(item.text)
        names = self._names(item.axes)
        scope = self._scope(names)
        text = self._broadcast(self.value(item.expr, scope), scope)
        made, scale = self.assign(text, scope, frozenset(names)), None
        if item.name in self.scaled:
            scale = self.name()
            self.write(f"{scale} = tl.full([{self.sizes[names[0]]}, 1], 2.0**-126, tl.float32)")
        self.tiles[item.name] = _Tile(made.text, names, tuple(i.attr for i in item.ix), scale)

    def _whole(self, value: Value, w: Walk, name: str) -> str:
        return self._broadcast(value, self._scope(self.tiles[name].axes))

    def _broadcast(self, value: Value, scope: Scope) -> str:
        if value.rank and value.axes == {n for n, _ in scope.blocks}:
            return value.text
        text = value.at(scope.rank)
        return f"tl.broadcast_to({text}, {scope.shape})" if scope.rank else text

    def _read_ahead(self) -> None:
        """Reads the operands that the loops do not change."""
        w = self.walk
        changing = {w.other.name, *(a.name for a in w.outer)}
        for e in (n for i in w.body for n in walk(i.expr)):
            if e.op != "dot":
                continue
            narrow = narrow_type(e, self.params)
            for x in e.args:
                inside = {n.attr for n in walk(x) if n.op == "index"}
                if is_read(x, self.params) and not inside & changing:
                    axes = [w.own, *(a for a in e.attr if a.block is None)]
                    self._narrowed(x, narrow, self._scope(self._names(axes)))

    # Expressions

    def load(self, e: Expr, scope: Scope, inside: Value | None = None) -> Value:
        """An element of a parameter, or of a local."""
        if e.attr in self.params:
            return super().load(e, scope, inside)
        tile = self.tiles[e.attr]
        here = dict(zip(tile.ix, (i.attr for i in e.args), strict=True))
        own, blocks = [here[n] for n in tile.axes], [n for n, _ in scope.blocks]
        at = [blocks.index(n) for n in own]
        text = f"({tile.text} * {tile.scale})" if tile.scale else tile.text
        if at == [1, 0]:
            text = f"tl.trans({text})"
        elif len(at) == 1 and len(blocks) == 2:
            text += "[:, None]" if at == [0] else "[None, :]"
        return Value(text, scope.rank if own else 0, frozenset(own))

    def node(self, e: Expr, args: list[Value], scope: Scope) -> Value:
        """The value of a node whose operands are known."""
        if e.op == "dot":
            return self._dot(e, scope, None)
        if e.op == "exp":
            return self._own_exponential(e, args[0], scope)
        return super().node(e, args, scope)

    def _own_exponential(self, e: Expr, x: Value, scope: Scope) -> Value:
        """That of the GPU, which has none for float64."""
        if e.dtype is not float32:
            return self.value(expand_all(e), scope)
        text = f"tl.exp2({x.text} * {literal(math.log2(math.e), float32)})"
        return self.assign(text, scope, x.axes)

    def reduction(self, e: Expr, scope: Scope) -> Value:
        """A reduction along one dimension of a block."""
        kind, axes = e.attr
        names = [n for n, _ in scope.blocks]
        if len(axes) != 1 or len(names) != 1 or kind.startswith("arg"):
            raise cannot(self.kernel, self.walk.body[0].text, "a reduction that is not of rows")
        own = self._names(
            [*(a for a in (self.walk.own, self.walk.other) if a.name in names), *axes]
        )
        inner = self._scope(own)
        fold = fold_of(kind, e.args[0].dtype)
        text = fold.prepare(self.value(e.args[0], inner).at(2))
        mask = inner.mask(axes[0].name)
        if mask is not None:
            text = f"tl.where({mask.at(2)}, {text}, {literal(fold.identity, fold.dtype)})"
        value = self.assign(text, inner, frozenset(own)).text
        result = fold.result(fold.reduce(value, own.index(axes[0].name)))
        return self.assign(result, scope, frozenset(names))

    # Products

    def _dot(self, e: Expr, scope: Scope, total: Expr | None) -> Value:
        """A product of two blocks, added to `total`."""
        a, b = e.args
        names = [n for n, _ in scope.blocks]
        free = [{n.attr for n in walk(x) if n.op == "index"} & set(names) for x in (a, b)]
        if free[0] <= set(names[1:]) and free[1] <= set(names[:1]):  # one row may be read by none
            a, b, free = b, a, free[::-1]
        own = [free[k] <= {name} for k, name in enumerate(names)]
        if len(e.attr) != 1 or len(names) != 2 or not all(own):
            raise cannot(self.kernel, self.walk.body[0].text, "a product of more than two matrices")
        if e.dtype not in (float32, float64):
            raise cannot(self.kernel, self.walk.body[0].text, f"a sum at {e.dtype.short}")
        before = None if total is None else self.tiles.get(total.attr)
        scale = before and before.scale
        narrow = self._product_type(e, scale)
        (over,) = e.attr
        first = self._operand(a, (names[0], over.name), over, narrow, scale)
        second = self._operand(b, (over.name, names[1]), over, narrow, scale)
        given = ""
        if scale and before:
            text = f"{before.text} * ({scale} * {self.rescaled[scale][1]})"
            given = f", {self.assign(text, scope, frozenset(names)).text}"
        elif total is not None:
            given = f", {self._broadcast(self.value(total, scope), scope)}"
        precision = "tf32" if self.fast else "ieee"
        how = f', input_precision="{precision}"' if narrow is float32 else ""
        how += f", out_dtype={triton_type(e.dtype)}" if narrow is float64 else ""
        made = Value("", 2)
        for x, y in itertools.product(first, second):
            made = self.assign(f"tl.dot({x}, {y}{given}{how})", scope, frozenset(names))
            given = f", {made.text}"
        return made

    def _product_type(self, e: Expr, scale: str | None) -> DType:
        """The type of a product, which is float16 of what is computed only within its range."""
        narrow = narrow_type(e, self.params)
        within = self.at_most_one or scale or all(is_read(x, self.params) for x in e.args)
        return narrow if within or narrow is not float16 else e.dtype

    def _operand(
        self, e: Expr, axes: tuple[str, str], over: Axis, narrow: DType, scale: str | None
    ) -> list[str]:
        """An operand with its dimensions in the order of `axes`, 0 beyond the axis `over`.

        What is computed is the sum of two parts of a half type, of a multiple of `scale` if any.
        """
        self._names([over])
        own = self.walk.order(axes)
        scope = self._scope(own)
        if is_read(e, self.params):
            parts = [self._broadcast(self._narrowed(e, narrow, scope), scope)]
        else:
            text, mask = self._broadcast(self.value(e, scope), scope), scope.mask(over.name)
            if mask is not None:
                text = f"tl.where({mask.at(2)}, {text}, {literal(0.0, e.dtype)})"
                text = self.assign(text, scope, frozenset(own)).text
            if scale:
                text = self._divided(text, scale, scope)
            parts = [text] if e.dtype is narrow else self._halves(text, e.dtype, narrow, scope)
        return parts if own == axes else [f"tl.trans({p})" for p in parts]

    def _divided(self, text: str, scale: str, scope: Scope) -> str:
        """A block whose rows are divided by the next value of a scale, which is not below them."""
        new, reciprocal = self.name(), self.name()
        self.write(f"{new}, {reciprocal} = _power_of_two({text}, {scale})")
        self.rescaled[scale] = new, reciprocal
        return self.assign(f"{text} * {reciprocal}", scope, frozenset(dict(scope.blocks))).text

    def _halves(self, text: str, dtype: DType, narrow: DType, scope: Scope) -> list[str]:
        """Two values of a half type whose sum is nearly a wider one."""

        def made(text: str) -> str:
            return self.assign(text, scope, frozenset(n for n, _ in scope.blocks)).text

        upper = made(scalar_op("convert", narrow, dtype, [text]))
        if self.fast:
            return [upper]
        lower = made(f"{text} - {scalar_op('convert', dtype, narrow, [upper])}")
        return [upper, made(scalar_op("convert", narrow, dtype, [lower]))]

    def _narrowed(self, e: Expr, narrow: DType, scope: Scope) -> Value:
        """The value of an operand in memory at the type of the product."""
        while e.op == "convert" and e.dtype is not narrow:
            e = e.args[0]
        value = self.value(e, scope)
        if e.dtype is narrow:
            return value
        return self.assign(scalar_op("convert", narrow, e.dtype, [value.text]), scope, value.axes)


def _fitting(axis: Axis, size: int) -> int:
    extent = axis.extent
    return min(size, lanes(extent)) if isinstance(extent, int) else size
