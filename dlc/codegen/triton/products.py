"""Products of matrices as Triton functions: `tl.dot` over blocks, with masks at ragged ends.

Float32 operands are multiplied as float32, never rounded to fewer bits; float16 and bfloat16 ones
go to the tensor cores as they are and are accumulated at float32. Batches, transposes and merged
axes are strides of the operands' offsets. The epilogue is computed on the accumulators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from dlc.codegen.cpu.contraction_form import ACCUMULATOR, Contraction, Operand, contraction_of
from dlc.codegen.index_math import axis_name
from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.triton.code import Launch, Variant, module_source
from dlc.codegen.triton.scalars import scalar_op, triton_type
from dlc.codegen.triton.schedules import SMALLEST, Blocks, product_blocks, tried_blocks
from dlc.codegen.triton.stored_code import dims_fit
from dlc.codegen.triton.values import Scope, Value, ValueWriter
from dlc.ir.dims import Dim, add, floordiv, minimum, mod, mul, symbol
from dlc.ir.record import replace
from dlc.ir.scalar import Axis, walk
from dlc.ir.types import DType, float32, int8, int32

SMALLEST_K_OF_BYTES = 32


def write_product(kernel: Kernel, arch: int, *, fast: bool = False) -> Launch | None:
    """The variants of a kernel that is one product with an epilogue; None for another kernel.

    Products of float64, and of integers other than bytes, are not for tensor cores: they are nests.
    With `fast`, float32 operands are rounded to tf32.
    """
    form = _product_of(kernel)
    return None if form is None else Launch(tuple(_variants(form, arch, fast)))


def _product_of(kernel: Kernel) -> Contraction | None:
    """A product for tensor cores, or of float32."""
    form = contraction_of(kernel)
    if form is None or form.dtype.bits > 32:
        return None
    return form if form.dtype.is_float or _dot_dtype(form) is int8 else None


def tried_products(
    kernel: Kernel, arch: int, dims: Mapping[str, int], *, fast: bool = False
) -> Launch | None:
    """Variants for some extents of a product that measuring chooses from; None for others."""
    form = _product_of(kernel)
    if form is None:
        return None
    narrow, aligned = _dot_dtype(form), dims_fit(dims, (), aligned=True)
    if narrow.bits == 16 and _is_gathered(form) and not aligned:
        return Launch(())  # the usual blocks are too small for the tensor cores' other instructions
    some = tried_blocks(arch, narrow.bits, fast=fast)
    made = (_variant(form, narrow, b, fast, f"_tried{k}") for k, b in enumerate(some))
    return Launch(tuple(replace(v, aligned=aligned) for v in made))


def _is_gathered(form: Contraction) -> bool:
    return None in (form.a.k_stride, form.b.k_stride)


def _matrices(form: Contraction) -> int:
    """How many matrices the epilogue reads and writes."""
    both = {form.m.name, form.n.name}
    read = {
        x
        for s in form.stores
        for x in walk(s.expr)
        if x.op == "load" and both <= {i.attr for e in x.args for i in walk(e) if i.op == "index"}
    }
    return len(read) + len(form.stores)


def _variants(form: Contraction, arch: int, fast: bool) -> Iterator[Variant]:
    narrow = _dot_dtype(form)
    gathered, matrices = _is_gathered(form), _matrices(form)
    sizes = product_blocks(arch, narrow.bits, fast=fast, gathered=gathered, matrices=matrices)
    result = mul(mul(form.m.extent, form.n.extent), form.batches)
    if sizes.most:
        small = _variant(form, narrow, sizes.small, fast, "_small")
        yield replace(small, at_most=((result, sizes.most),), aligned=True)
    yield replace(_variant(form, narrow, sizes.large, fast, "_aligned"), aligned=True)
    yield _variant(form, narrow, sizes.ragged, fast, "")


def _variant(form: Contraction, narrow: DType, blocks: Blocks, fast: bool, suffix: str) -> Variant:
    writer = _ProductWriter(form, narrow, blocks, fast)
    entry = f"{form.kernel.name}_0{suffix}"
    source, grid = writer.source(entry), writer.grid()
    return Variant(source, entry, grid, blocks.num_warps, blocks.num_stages)


def _dot_dtype(form: Contraction) -> DType:
    """The type that both operands can be multiplied at."""
    types = {_narrow(o) for o in (form.a, form.b)}
    return types.pop() if len(types) == 1 else float32


def _narrow(operand: Operand) -> DType:
    """The type of an operand before a last conversion that only widens it."""
    last = operand.dtypes[-1]
    before = operand.dtypes[-2] if len(operand.dtypes) > 1 else last
    halves = last is float32 and before.is_float and before.bits == 16
    return before if halves or (last is int32 and before is int8) else last


def _fitting(axis: Axis, size: int) -> int:
    extent = axis.extent
    if not isinstance(extent, int):
        return size
    return max(SMALLEST, min(size, 1 << max(extent - 1, 0).bit_length()))


def _parts(extent: Dim, size: int) -> Dim:
    return floordiv(add(extent, size - 1), size)


class _ProductWriter(ValueWriter):
    def __init__(self, form: Contraction, narrow: DType, blocks: Blocks, fast: bool) -> None:
        super().__init__(form.kernel, form.math)
        self.form, self.narrow, self.group = form, narrow, blocks.group
        self.programs = blocks.programs
        self.precision = "tf32" if fast and narrow is float32 else "ieee"
        self.total = int32 if narrow is int8 else float32  # what is accumulated at
        self.m = _fitting(form.m, blocks.m)
        self.n = _fitting(form.n, blocks.n)
        self.k = _fitting(form.k, blocks.k)
        if narrow is int8:
            self.k = max(self.k, SMALLEST_K_OF_BYTES)

    def grid(self) -> Dim:
        """The number of programs."""
        return minimum(self._tiles(), self.programs) if self.programs else self._tiles()

    def _tiles(self) -> Dim:
        """The number of blocks of the result."""
        form = self.form
        tiles = mul(_parts(form.m.extent, self.m), _parts(form.n.extent, self.n))
        return mul(tiles, form.batches)

    def source(self, entry: str) -> str:
        form = self.form
        scope = self._program_scope()
        total = Value("acc", 2, frozenset({form.m.name, form.n.name}))
        self.write(f"acc = tl.zeros({scope.shape}, {triton_type(self.total)})")
        self._loop(scope)
        if form.dtype is not self.total:
            total = self.assign(f"acc.to({triton_type(form.dtype)})", scope, total.axes)
        scope.locals[ACCUMULATOR] = total
        values = [self.value(s.expr, scope) for s in form.stores]
        for s, value in zip(form.stores, values, strict=True):
            self.store(s.name, self.place(s.name, s.ix, scope), value, s.expr.dtype, scope)
        title = print_kernel(form.kernel).rstrip().split("\n")
        return module_source(self.kernel, entry, self.lines, title)

    def _program_scope(self) -> Scope:
        form, outer = self.form, Scope()
        scope = Scope(blocks=((form.m.name, self.m), (form.n.name, self.n)))
        if self.programs:
            tiles = self.offset(self._tiles(), Scope()).text
            self.write(f"for tile in range(tl.program_id(0), {tiles}, tl.num_programs(0)):")
            self.depth += 1
            self.write("pid = tile + tl.full((), 0, tl.int64)")
        else:
            self.write("pid = tl.program_id(0).to(tl.int64)")
        rows, columns = (
            self.offset(_parts(x.extent, size), outer).text
            for x, size in ((form.m, self.m), (form.n, self.n))
        )
        row, column, rest = self._grouped(rows, columns)
        parts = [row, column]
        for axis in reversed(form.outer):
            part, following = self.name("pid"), self.name("pid")
            text = self.offset(axis.extent, outer).text
            self.write(f"{part}, {following} = {rest} % {text}, {rest} // {text}")
            parts.append(part)
            rest = following
        self._axis(scope, form.m, f"{parts[0]} * {self.m}", 0)
        self._axis(scope, form.n, f"{parts[1]} * {self.n}", 1)
        for axis, part in zip(reversed(form.outer), parts[2:], strict=True):
            self.scalar_axis(scope, axis, part)
        return scope

    def _grouped(self, rows: str, columns: str) -> tuple[str, str, str]:
        """The block of rows and of columns of a program, and what is left of its number.

        Programs that run together share a few blocks of rows, and go through the columns.
        """
        at, rest, first, width = (self.name("pid") for _ in range(4))
        row, column = self.name("pid"), self.name("pid")
        whole, group = f"({rows} * {columns})", f"({self.group} * {columns})"
        self.write(f"{at}, {rest} = pid % {whole}, pid // {whole}")
        self.write(f"{first} = {at} // {group} * {self.group}")
        self.write(f"{width} = tl.minimum({rows} - {first}, {self.group})")
        within = f"({at} % {group})"
        self.write(f"{row}, {column} = {first} + {within} % {width}, {within} // {width}")
        return row, column, rest

    def _axis(self, scope: Scope, axis: Axis, base: str, dimension: int) -> None:
        lane = "[:, None]" if dimension == 0 else "[None, :]"
        size, own = scope.blocks[dimension][1], frozenset({axis.name})
        at = self.assign(f"{base} + tl.arange(0, {size}){lane}", scope, own)
        scope.indices[axis.name] = at
        end = self.offset(axis.extent, Scope()).text
        scope.masks[axis.name] = self.assign(f"{at.text} < {end}", scope, own)

    def _loop(self, scope: Scope) -> None:
        form = self.form
        end = self.offset(form.k.extent, Scope()).text
        self.write(f"for k in range(0, {end}, {self.k}):")
        self.depth += 1
        base = self.assign("k + tl.full((), 0, tl.int64)", scope, frozenset()).text
        a = Scope(blocks=((form.m.name, self.m), (form.k.name, self.k)))
        b = Scope(blocks=((form.k.name, self.k), (form.n.name, self.n)))
        self._operand_axis(scope, a, form.m, 0)
        self._axis(a, form.k, base, 1)
        self._operand_axis(scope, b, form.n, 1)
        self._axis(b, form.k, base, 0)
        for inner in (a, b):
            for axis in form.outer:
                found = scope.index(axis.name)
                assert found is not None
                inner.indices[axis.name] = found
        x, y = self._operand(form.a, form.m, a), self._operand(form.b, form.n, b)
        how = f'input_precision="{self.precision}"'
        how = how if self.narrow is not int8 else "out_dtype=tl.int32"
        self.write(f"acc = tl.dot({x}, {y}, acc, {how})")
        self.depth -= 1

    def _operand_axis(self, scope: Scope, inner: Scope, axis: Axis, dimension: int) -> None:
        """The m or n axis, which has the same dimension of the operand as of the result."""
        assert inner.blocks[dimension][0] == axis.name
        inner.indices[axis.name] = scope.indices[axis.name]
        inner.masks[axis.name] = scope.masks[axis.name]

    def _operand(self, operand: Operand, axis: Axis, scope: Scope) -> str:
        at = self.offset(self._place(operand, axis), scope)
        everywhere = frozenset(n for n, _ in scope.blocks)
        if at.axes != everywhere:
            at = self.assign(f"tl.broadcast_to({at.text}, {scope.shape})", scope, everywhere)
        mask = self.mask(everywhere, scope)
        chain = self._chain(operand)
        value = self.read(operand.tensor, chain[0], at, mask, scope)
        for source, to in pairwise(chain):
            text = scalar_op("convert", to, source, [value.text])
            value = self.assign(text, scope, everywhere)
        return value.text

    def _place(self, operand: Operand, axis: Axis) -> Dim:
        """The offset of an element, that of a gathered operand with all its parts."""
        at = operand.at
        if operand.k_stride is not None:
            return at
        for name, parts in ((axis.name, operand.parts), (self.form.k.name, operand.k_parts)):
            if not parts:  # of an axis of one element
                continue
            rest: Dim = symbol(axis_name(name))
            for extent, stride in reversed(parts[1:]):
                at = add(at, mul(mod(rest, extent), stride))
                rest = floordiv(rest, extent)
            at = add(at, mul(rest, parts[0][1]))
        return at

    def _chain(self, operand: Operand) -> Sequence[DType]:
        """The types that an element passes through on its way to the product."""
        chain = list(operand.dtypes)
        while len(chain) > 1 and chain[-1] is not self.narrow and chain[-2] is self.narrow:
            chain.pop()
        if chain[-1] is not self.narrow:
            chain.append(self.narrow)
        return chain
