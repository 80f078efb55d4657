"""Lowering.

The body of a fusion becomes a kernel, or two for a reduction that is split over blocks.

The kernel's nest follows from what the body contains (see `dlc.passes.fuse`); right-hand sides come
from the op rows through `dlc.ir.inline`. In a row kernel, values of one element a row become local
scalars and values of a whole row that are costly and read more than once become tiles, in cache for
the length of the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from dlc.codegen.collapse import collapse_axes, merge_digits
from dlc.codegen.digits import split_digits
from dlc.codegen.fixed_extents import fixed_extents
from dlc.codegen.host_call import host_kernel
from dlc.codegen.kernel_ir import Assign, For, Kernel, Mode, Par, Param, Stmt
from dlc.codegen.lower_attention import attention_statements
from dlc.codegen.lower_columns import ROWS, Partial, in_blocks, sum_of_partials
from dlc.codegen.lower_recurrence import lower_recurrence
from dlc.codegen.lower_scatter import bounded, scatter_step
from dlc.codegen.lower_sort import sort_statements
from dlc.codegen.lower_split import split_reductions, splits_columns, splits_rows
from dlc.codegen.pairs import split_pairs
from dlc.codegen.parameterise import parameterise
from dlc.ir import scalar
from dlc.ir.core import Function, Node
from dlc.ir.dims import Dim
from dlc.ir.inline import Inliner, before_reshape, is_at, permutation, reads_of
from dlc.ir.ops.families import accumulator
from dlc.ir.record import NamedTuple, dataclass, replace
from dlc.ir.scalar import Axis, Expr
from dlc.ir.types import DType, Shape, TensorType
from dlc.passes.fuse import CHEAP, is_row_reduction


class Arg(NamedTuple):
    """What a parameter of a kernel stands for.

    A param or a result of the body, or a partial result, by number.
    """

    kind: Literal["param", "result", "partial"]
    number: int


@dataclass(frozen=True)
class LoweredKernel:
    """A kernel with the dims that a call binds and what its parameters stand for."""

    kernel: Kernel
    dims: tuple[Dim, ...]
    args: tuple[Arg, ...]


@dataclass(frozen=True)
class Lowered:
    """The kernels of one fusion in order, and the types of partial results between them."""

    kernels: tuple[LoweredKernel, ...]
    partials: tuple[TensorType, ...] = ()


def lower_fusion(body: Function) -> Lowered:
    """Lowers the body of a fusion."""
    return Lowering(body).run()


class Names:
    """Readable names that are unique in a kernel."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)

    def make(self, wanted: str) -> str:
        """`wanted` as an identifier, with a number when it is taken."""
        base = "".join(c if c.isalnum() and c.isascii() else "_" for c in wanted) or "t"
        base = base if base[0].isalpha() or base[0] == "_" else f"t{base}"
        name, k = base, 2
        while name in self.taken:
            name, k = f"{base}_{k}", k + 1
        self.taken.add(name)
        return name


RESERVED = (
    "kernel", "par", "for", "host", "while", "carry", "in", "out", "inout", "let", "dot", "pad",
    "select", "sum", "prod", "sort", "sort_down", "_",
    "rmax", "rmin", "any", "all", "argmax", "argmin", "inf", "nan", "true", "false", "may_alias",
    *scalar.SCALAR_OPS, "f64", "f32", "f16", "bf16", "i8", "i16", "i32", "i64",
    "u8", "u16", "u32", "u64", "bool",
)  # fmt: skip


class Lowering:
    """The lowering of one body: names, locals, and where values are."""

    def __init__(self, body: Function) -> None:
        self.body = body
        self.names = Names(RESERVED)
        self.users = body.users()
        self.param_names = {p: self.names.make(p.name or "p") for p in body.params}
        self.results = [before_reshape(r, self.param_names.__contains__) for r in body.results]
        """The body's results, each in the shape in which its elements are walked."""
        self.out_names = [
            self.names.make("o" if len(body.results) == 1 else f"o{k}")
            for k in range(len(body.results))
        ]
        self.locals: dict[
            Node, tuple[str, int]
        ] = {}  # name, number of leading row indices left out
        self.rows: tuple[Expr, ...] = ()
        self.places: dict[Node, tuple[Expr, ...]] = {}  # of results with other orders of axes
        self.partial_names: list[str] = []
        self.summed: dict[Node, str] = {}  # column reductions of a row kernel, and their partials

    def run(self) -> Lowered:
        """The kernels of the body."""
        families = {n.op.family: n for n in self.body.nodes}
        if "host" in families:
            return Lowered((self._host(families["host"]),))
        if any(n.op.own_kernel for n in self.body.nodes):
            return Lowered((self._own_kernel(),))
        if "scatter" in families:
            return Lowered((self.finish(self._scatter(families["scatter"])),))
        if "recurrence" in families:
            return Lowered(*lower_recurrence(self, families["recurrence"]))
        if "sort" in families:
            return Lowered((self.finish(sort_statements(self, families["sort"])),))
        reductions = [n for n in self.body.nodes if n.op.family == "reduction"]
        rows, stretched = self._row_space(reductions, families)
        split = [n for n in reductions if splits_rows(n)]
        if split:
            return Lowered(*split_reductions(self, split, rows, first=False))
        columns = [n for n in reductions if not is_row_reduction(n)]
        if len(columns) < len(reductions):
            self.summed = {n: self.names.make("partial") for n in columns}
        if self.summed:
            return self._summed(rows)
        if columns and all(map(splits_columns, columns)):
            return Lowered(*split_reductions(self, columns, rows, first=True))
        return Lowered((self.finish(self._nest(rows, stretched)),))

    def _host(self, node: Node) -> LoweredKernel:
        kernel, dims = host_kernel(node)
        numbers = {p: k for k, p in enumerate(self.body.params)}
        args = [Arg("param", numbers[x]) for x in node.inputs]
        args += [Arg("result", k) for k in range(len(self.body.results))]
        return LoweredKernel(kernel, dims, tuple(args))

    def _row_space(
        self, reductions: Sequence[Node], families: dict[str, Node]
    ) -> tuple[Shape, bool]:
        """The extents that all statements share, and whether statements have axes of their own."""
        if "contraction" in families:
            return families["contraction"].shape, False
        if reductions:
            first = next((n for n in reductions if is_row_reduction(n)), reductions[0])
            return first.shape, True
        return self.results[0].shape, False

    # Reading values

    def axes(self, rows: Shape) -> tuple[Axis, ...]:
        """New axes of a nest, whose statements are about the element of `rows` that they are at."""
        names = map(self.names.make, _axis_names(len(rows)))
        axes = tuple(Axis(n, d) for n, d in zip(names, rows, strict=True))
        self.rows = tuple(scalar.index(a.name) for a in axes)
        return axes

    def local(self, node: Node, skipped: int = 0) -> str:
        """A new local for a node; loads of it leave out that many of the row's indices."""
        name = self.names.make(_local_name(node))
        self.locals[node] = (name, skipped)
        return name

    def leaf(self, node: Node, ix: tuple[Expr, ...]) -> Expr | None:
        """The load of a value that is in memory or in a local, None for others."""
        if node in self.param_names:
            return scalar.load(self.param_names[node], ix, node.tensor.dtype)
        local = self.locals.get(node)
        if local is None:
            return None
        name, skipped = local
        if not is_at(self._place(node), ix, node.shape):
            return None
        ix = (*self.rows, *ix[len(self.rows) :])
        if any(e.op == "load" for i in ix[skipped:] for e in scalar.walk(i)):
            return None  # one element of a tile, by an index out of memory: computed again
        return scalar.load(name, ix[skipped:], node.tensor.dtype)

    # Nests

    def _nest(self, rows: Shape, stretched: bool) -> list[Stmt]:
        axes = self.axes(rows)
        inliner = Inliner(self.leaf, {a.name: a.extent for a in axes})
        self.places = self._permuted_places()
        stmts: list[Stmt] = []
        outputs: dict[Node, list[str]] = {}
        for r, name in zip(self.results, self.out_names, strict=True):
            outputs.setdefault(r, []).append(name)
        for node in self.body.nodes:
            if node in self.summed:
                stmts.append(self._add_to_sum(inliner, node))
                continue
            own = node.shape[len(rows) :] if stretched and node.shape[: len(rows)] == rows else ()
            if self._is_local(node, rows, stretched) or (
                node in outputs and self._is_reread(node, own)
            ):
                stmts.append(self._assign_local(inliner, node, own))
            stmts += [self.store(inliner, node, name, own) for name in outputs.get(node, ())]
        return [Par(axes, tuple(stmts))]

    def _permuted_places(self) -> dict[Node, tuple[Expr, ...]]:
        """The indices of results that have the axes of a contraction in another order."""
        places: dict[Node, tuple[Expr, ...]] = {}
        dots = {n for n in self.body.nodes if n.op.family == "contraction"}
        leaves = dots.union(self.body.params)
        for node in self.results if dots else ():
            if node in dots:
                continue
            reads, _ = reads_of(node, leaves.__contains__)
            orders = [permutation(r.ix) for r in reads if r.source in dots]
            if orders and orders[0] is not None:
                at = dict(zip(orders[0], self.rows, strict=True))
                places[node] = tuple(at[k] for k in range(len(at)))
        return places

    def _place(self, node: Node) -> tuple[Expr, ...]:
        """The first indices of a node's element in the nest."""
        return self.places.get(node, self.rows)

    def _is_local(self, node: Node, rows: Shape, stretched: bool) -> bool:
        """Whether a node that is not a result is kept in a local scalar or tile."""
        if node.op.family in ("reduction", "contraction"):
            return True
        if not stretched or node.op.cost == 0 or node.shape[: len(rows)] != rows:
            return False
        if node.shape == rows:
            return True
        return len(self.users[node]) > 1 and self._cost(node) > CHEAP

    def _is_reread(self, node: Node, own: Sequence[Dim]) -> bool:
        """Whether a result is kept too, for what reads it in the same kernel.

        A scalar costs nothing, a tile memory.
        """
        return bool(self.users[node]) and self._cost(node) > (CHEAP if own else 0)

    def _cost(self, node: Node, known: dict[Node, int] | None = None) -> int:
        """What is computed for an element of a node; `known` are the costs of others."""
        if (
            node in self.param_names
            or node in self.locals
            or node.op.family in ("reduction", "contraction")
        ):
            return 0
        known = {} if known is None else known
        if node not in known:
            known[node] = node.op.cost + sum(self._cost(x, known) for x in node.inputs)
        return known[node]

    def _own_axes(self, own: Sequence[Dim]) -> tuple[Axis, ...]:
        return tuple(Axis(scalar.fresh_axis(), d) for d in own)

    def _assign_local(self, inliner: Inliner, node: Node, own: Sequence[Dim]) -> Assign:
        axes = self._own_axes(own)
        at = tuple(scalar.index(a.name) for a in axes)
        inliner.extents.update((a.name, a.extent) for a in axes)
        value = inliner.computed(node, (*self._place(node), *at))
        name = self.local(node, len(self.rows) if own else 0)
        return Assign(name, at if own else self.rows, axes, value)

    def store(self, inliner: Inliner, node: Node, name: str, own: Sequence[Dim]) -> Assign:
        """The store of a result, whose own axes follow those of the rows."""
        axes = self._own_axes(own)
        at = tuple(scalar.index(a.name) for a in axes)
        inliner.extents.update((a.name, a.extent) for a in axes)
        ix = (*self._place(node), *at)
        return Assign(name, ix, axes, inliner.value(node, ix))

    # Sums over the rows of a row kernel

    def _add_to_sum(self, inliner: Inliner, node: Node) -> Assign:
        axes = self._own_axes(node.shape)
        ix = (*self.rows, *(scalar.index(a.name) for a in axes))
        inliner.extents.update((a.name, a.extent) for a in axes)
        value = scalar.convert(inliner.value(node.inputs[0], ix), accumulator(node.tensor.dtype))
        return Assign(self.summed[node], ix, axes, value, accumulate=True)

    def _summed(self, rows: Shape) -> Lowered:
        """The row kernel with the sums of its blocks, and the kernel that adds those up."""
        stmts = self._nest(rows, stretched=True)
        made = [
            Param(n, "out", accumulator(x.tensor.dtype), (*rows, *x.shape))
            for x, n in self.summed.items()
        ]
        stmts, params = collapse_axes(stmts, (*self._all_params(), *made))
        (nest,) = stmts
        assert isinstance(nest, Par)
        rank, names = len(nest.axes), list(self.summed.values())
        nest, outer = in_blocks(nest, params, names)
        params = tuple(
            replace(p, dims=(*outer, *p.dims[rank:])) if p.name in names else p for p in params
        )
        self.partial_names += names
        first = self.kernel(self._kernel_name(), params, [nest], constant=[ROWS])
        partials = [Partial(x, n, outer) for x, n in self.summed.items()]
        outs = dict(zip(self.body.results, self.out_names, strict=True))
        sums = [sum_of_partials(p, outs[p.node]) for p in partials]
        read = [Param(p.name, "in", p.dtype, p.type.shape) for p in partials]
        second = self.kernel("sum", (*read, *(p for _, p in sums)), [n for n, _ in sums])
        return Lowered((first, second), tuple(p.type for p in partials))

    # Ops with a kernel of their own

    def _own_kernel(self) -> LoweredKernel:
        results = self.body.results
        inliner = Inliner(self.leaf)
        stmts = attention_statements(results, self.out_names, self.names.make, inliner.value)
        widths = [x.shape[-1] for x in results[0].inputs[:3]]
        return self.finish(stmts, constant=widths)

    # Scatter

    def _scatter(self, node: Node) -> list[Stmt]:
        """A copy of the operand, then ordered writes.

        Independent over the axes that are not scattered.
        """
        x, indices, updates = node.inputs
        axis, along = node.attrs["axis"], node.op.name != "scatter_add"
        outer = tuple(
            Axis(self.names.make(f"i{k}"), d) for k, d in enumerate(node.shape) if k != axis
        )
        place = Axis(self.names.make("v"), node.shape[axis])
        inliner = Inliner(self.leaf, {a.name: a.extent for a in (*outer, place)})
        o = [scalar.index(a.name) for a in outer]
        before, after = tuple(o[:axis]), tuple(o[axis:])
        v = scalar.index(place.name)
        (name,) = self.out_names
        copy = Assign(name, (*before, v, *after), (place,), inliner.value(x, (*before, v, *after)))
        extents = (indices.shape[axis],) if along else indices.shape or (1,)
        steps = [Axis(self.names.make(f"j{k}"), d) for k, d in enumerate(extents)]
        inliner.extents.update((a.name, a.extent) for a in steps)
        j = tuple(scalar.index(a.name) for a in steps)
        own = j if along or indices.shape else ()  # a scalar index is one step
        at = inliner.value(indices, (*before, *j, *after) if along else own)
        update = inliner.value(updates, (*before, *own, *after))
        inside, near = bounded(at, node.shape[axis])
        write: Stmt = scatter_step(node.op.name, name, (*before, near, *after), inside, update)
        for step in reversed(steps):
            write = For(step, (write,))
        return [Par(outer, (copy, write))]

    # Kernels

    def _args(self, kernel: Kernel) -> tuple[Arg, ...]:
        """What the parameters of `kernel` stand for."""
        known = {n: Arg("param", k) for k, n in enumerate(self.param_names.values())}
        known |= {n: Arg("result", k) for k, n in enumerate(self.out_names)}
        known |= {n: Arg("partial", k) for k, n in enumerate(self.partial_names)}
        return tuple(known[p.name] for p in kernel.params)

    def params(
        self,
        outs: Sequence[str],
        dtypes: Sequence[DType],
        shapes: Sequence[Shape],
        extra: Sequence[Param] = (),
    ) -> tuple[Param, ...]:
        """What the body reads, `extra`, and outputs with these names, types and shapes."""
        ins = [Param(n, "in", p.tensor.dtype, p.shape) for p, n in self.param_names.items()]
        mode: Mode = "out"
        made = [Param(n, mode, d, s) for n, d, s in zip(outs, dtypes, shapes, strict=True)]
        return (*ins, *extra, *made)

    def finish(
        self,
        stmts: Sequence[Stmt],
        extra: Sequence[Param] = (),
        constant: Sequence[Dim] = (),
    ) -> LoweredKernel:
        """The kernel of the body's results; `constant` extents stay numbers in its text."""
        return self.finished(self._kernel_name(), stmts, self._all_params(extra), constant)

    def finished(
        self,
        name: str,
        stmts: Sequence[Stmt],
        params: Sequence[Param],
        constant: Sequence[Dim] = (),
    ) -> LoweredKernel:
        """A kernel of these parameters, whose axes are as few as can be."""
        stmts, params = collapse_axes(stmts, params)
        stmts, params = split_digits(stmts, params)
        paired = split_pairs(stmts, params)
        pairs = () if paired is stmts else (2,)  # how far elements are apart
        known = (*constant, *fixed_extents(stmts), *pairs)
        return self.kernel(name, params, paired, known)

    def _all_params(self, extra: Sequence[Param] = ()) -> tuple[Param, ...]:
        types = [r.tensor for r in self.results]
        return self.params(
            self.out_names, [t.dtype for t in types], [t.shape for t in types], extra
        )

    def kernel(
        self,
        name: str,
        params: Sequence[Param],
        stmts: Sequence[Stmt],
        constant: Sequence[Dim] = (),
    ) -> LoweredKernel:
        """A kernel for any sizes."""
        stmts, params = merge_digits(stmts, params)
        kernel, dims = parameterise(name, params, stmts, tuple(self.names.taken), constant)
        return LoweredKernel(kernel, dims, self._args(kernel))

    def _kernel_name(self) -> str:
        """The costliest ops of the body, so that a profile can be read."""
        notable = [n.op.name for n in self.body.nodes if n.op.cost > 0]
        distinct = list(dict.fromkeys(notable))[:4]
        return "_".join(distinct) or "copy"


def _axis_names(rank: int) -> list[str]:
    return ["i", "j", "k", "l"][:rank] if rank <= 4 else [f"i{k}" for k in range(rank)]


_LOCAL_NAMES = {"reduce_sum": "s", "reduce_max": "m", "reduce_min": "m", "dot_general": "acc"}


def _local_name(node: Node) -> str:
    return _LOCAL_NAMES.get(node.op.name, node.op.name)
