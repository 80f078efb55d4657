"""Fusion: groups nodes into kernels.

Nodes that only move elements, and cheap ones, are computed where they are read. Every other node is
a unit, stored or kept in a kernel's locals. A unit joins the kernel of what it reads when both walk
the same space in the same order:

    pointwise   one nest over a shape; several outputs
    rows        reductions over trailing axes share the outer axes with whatever has the same rows:
    softmax, layer norm,
                cross entropy and their gradients read memory once
                sums over their rows join them, by blocks of rows
    columns     reductions over leading axes
    dot         a contraction with its pointwise epilogue, which may have its axes in another order
    ordered     a walk along an axis in order, alone
    own         ops of one family with a kernel of their own, on the same inputs
    host        a call of Python, alone
    control     a loop or branches, alone: what it runs has kernels of its own

The test of "same order" reads the op rows' own index maps (`dlc.ir.inline`), so that no op is named
here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dlc.ir import scalar
from dlc.ir.build import make_node
from dlc.ir.core import Function, Node, has_effect, with_inputs
from dlc.ir.dims import Dim, add, mul, product
from dlc.ir.inline import Read, before_reshape, canonical_ix, is_at, permutation, reads_of
from dlc.ir.op import OPS
from dlc.ir.ops.families import is_half
from dlc.ir.panels import panels_of
from dlc.ir.record import dataclass, field
from dlc.ir.scalar import Expr, reduced_axes, walk
from dlc.ir.types import Shape, TupleType, float32
from dlc.ir.verifier import Stage
from dlc.passes.manager import Pass, PassContext

SORTED = "sort"  # the family of sorts, of which those of the same operand share a kernel
ORDERED = (  # families that walk an axis in order or as a whole, in kernels of their own
    "scatter",
    "recurrence",
    SORTED,
)
MOST_WORK = 2000  # of a kernel, in additions of an element: LLVM takes long over longer ones
CHEAP = 3  # additions' worth of work that is done again sooner than stored
LEAST_COLUMNS = 32  # fewer are not worth being a contraction's columns in the place of its rows
MANY_ROWS = 256  # so many are shared out by blocks that add up their columns
SPLIT_ROWS, SPLIT_SIZE = (
    8,
    65536,
)  # a reduction of so few rows and so many elements is split, so not fused


@dataclass
class Unit:
    """A node that is stored or kept in locals, with what it reads."""

    node: Node
    reads: list[Read]
    kind: str  # "pointwise", "rows", "columns", "dot", "ordered", "own", "host" or "control"
    rows: Shape  # the leading dims of its nest; for columns the kept ones
    reduced: Shape = ()
    over: tuple[Expr, ...] = ()  # the indices that a reduction runs over
    work: int = 0  # of an element, in units of an addition


@dataclass
class Group:
    """Units of one kernel. `ancestors` is a bit set of the groups that must run before."""

    number: int
    kind: str
    rows: Shape
    units: list[Unit] = field(default_factory=list[Unit])
    ancestors: int = 0
    work: int = 0
    leaves: set[Node] = field(default_factory=set[Node])


def is_kernel_root(node: Node) -> bool:
    """Whether `node` is never computed inside another node's expression."""
    families = ("reduction", "contraction", "host", *ORDERED)
    return node.op.own_kernel or node.op.family in families


def is_control(node: Node) -> bool:
    """Whether `node` is a loop, or branches."""
    return node.op.family == "control"


def is_part(node: Node) -> bool:
    """Whether `node` is one of the results of a loop or of branches."""
    return node.op.name == "get" and is_control(node.inputs[0])


def _reduced_axes(node: Node) -> list[int]:
    return sorted(node.attrs["axes"]) if "axes" in node.attrs else [node.attrs["axis"]]


def is_row_reduction(node: Node) -> bool:
    """Whether a reduction is over trailing axes."""
    rank, axes = node.inputs[0].tensor.rank, _reduced_axes(node)
    return axes == list(range(rank - len(axes), rank))


def is_stored(node: Node) -> bool:
    """Whether `node` is in memory before any kernel runs, or is called by itself."""
    return node.op.name in ("param", "constant") or (
        node.op.lower is None and not is_kernel_root(node)
    )


def _must_be_read(node: Node) -> bool:
    """Whether a contraction, or a kernel of an op's own, cannot compute `node` in place."""
    return is_stored(node) or is_kernel_root(node) or node.op.cost > 0


def _widens(node: Node) -> bool:
    """Whether `node` has elements of a half type at float32."""
    widens = node.op.name == "convert" and node.tensor.dtype is float32
    return widens and is_half(node.inputs[0].tensor.dtype)


def _unwidened(e: Expr) -> Expr:
    return e.args[0] if e.op == "convert" and is_half(e.args[0].dtype) else e


def _names(ix: Sequence[Expr]) -> set[str]:
    return {e.attr for i in ix for e in walk(i) if e.op == "index"}


def _axes_of(e: Expr) -> set[str]:
    return {a.name for x in walk(e) for a in reduced_axes(x) if a.extent != 1}


class _Planner:
    """Chooses units and groups for one function."""

    def __init__(self, function: Function, max_inputs: int) -> None:
        self.function = function
        self.max_inputs = max_inputs
        self.users = function.users()
        self.results = set(function.results)
        self.inline_cost: dict[Node, int] = {}
        self.units: dict[Node, Unit] = {}
        self.groups: list[Group] = []
        self.group_of: dict[Node, Group] = {}
        self.readers: dict[Node, list[Group]] = {}
        self._reads: dict[Node, tuple[list[Read], Expr]] = {}

    # Units

    def choose_units(self) -> None:
        """Decides for every node, in order, whether it is a unit."""
        forced: set[Node] = set()
        for node in self.function.nodes:
            if node.op.family == "contraction" or node.op.own_kernel:
                forced |= self._operands_to_store(node)
            elif node.op.family == "host" or is_control(node):
                forced.update(node.inputs)
        for node in self.function.nodes:
            if is_control(node):
                self.units[node] = Unit(node, [_whole(x) for x in node.inputs], "control", ())
            if is_stored(node):
                continue
            cost = node.op.cost + sum(self.inline_cost.get(x, 0) for x in node.inputs)
            if (
                is_kernel_root(node)
                or node in self.results
                or node in forced
                or not self._inlined(node, cost)
            ):
                self.units[node] = self._make_unit(node)
                self.units[node].work = cost
            else:
                self.inline_cost[node] = cost

    def _inlined(self, node: Node, cost: int) -> bool:
        readers = self.users[node]
        if not readers:
            return True
        if self.max_inputs and node.op.family == "indexing" and self._picks(node):
            return False
        if cost == 0:
            return True
        if cost > MOST_WORK:
            return False
        if not self.max_inputs:
            return node.op.cost == 0
        if any(r.op.family in ORDERED for r in readers) and node.op.cost > 0:
            return len(readers) == 1
        if cost <= CHEAP and self._leaf_count(node) <= 1:
            return True
        return len(readers) == 1 and self._read_once(node, readers[0], cost)

    def _picks(self, node: Node) -> bool:
        """Whether elements are taken out of what a kernel computes: best by that very kernel.

        It need not store the others then.
        """
        return any(r.source in self.units for r in self._reads_of(node)[0])

    def _leaf_count(self, node: Node) -> int:
        return len({r.source for r in self._reads_of(node)[0]})

    def _reads_of(self, node: Node) -> tuple[list[Read], Expr]:
        """The reads of units by `node`: what it reads has been decided on, so that they stay."""
        found = self._reads.get(node)
        if found is None:
            found = self._reads[node] = reads_of(node, self.is_leaf)
        return found

    def _read_once(self, node: Node, reader: Node, cost: int) -> bool:
        """Whether `reader` reads each element of `node` at most once, through moves of elements."""
        if reader.op.lower is None:
            return True
        reads, e = reads_of(reader, lambda x: True)
        mine = [r for r in reads if r.source is node]
        needed = {f"i{k}" for k, d in enumerate(reader.shape) if d != 1} | _axes_of(e)
        if len(mine) != 1 or _names(mine[0].ix) != needed:
            return cost <= CHEAP
        if reader.op.cost == 0 and reader not in self.results:
            onward = self.users[reader]
            if any(r.op.family == "contraction" for r in onward):
                return False
            return len(onward) == 1 and self._read_once(reader, onward[0], cost)
        return True

    def _operands_to_store(self, reader: Node) -> set[Node]:
        """What reads memory, through moves that amount to one load of a matrix.

        A contraction multiplies elements of half types as such, whose conversion loses nothing.
        """
        stored: set[Node] = set()

        def must_be_read(node: Node) -> bool:
            widens = reader.op.family == "contraction" and _widens(node)
            return _must_be_read(node) and not widens

        for x in reader.inputs:
            if must_be_read(x):
                stored.add(x)
                continue
            reads, e = reads_of(x, must_be_read)
            if len(reads) == 1 and _unwidened(e).op == "load" and self._is_matrix(reads[0]):
                stored.add(reads[0].source)
            else:  # a copy, of the half type where the product widens it
                stored.add(x.inputs[0] if _widens(x) else x)
        return stored

    def _is_matrix(self, read: Read) -> bool:
        """Whether a contraction can walk what is read: at affine indices, or in panels made for it.

        In the body of a loop, panels are a parameter.
        """
        source = read.source
        in_panels = source.op.family == "layout" or any(
            r.op.family == "layout" for r in self.users[source]
        )
        if in_panels and panels_of(read.ix) is not None:
            return is_affine(read.ix[1])
        return all(is_affine(i) for i in read.ix)

    def is_leaf(self, node: Node) -> bool:
        return is_stored(node) or node in self.units

    def _make_unit(self, node: Node) -> Unit:
        if node.op.family == "host":
            reads = [Read(x, canonical_ix(x.tensor.rank)) for x in node.inputs]
            return Unit(node, reads, "host", ())
        if node.op.family in ORDERED or node.op.own_kernel:
            reads = [r for x in node.inputs for r in self._input_reads(x)]
            own = node.op.own_kernel or node.op.family == SORTED
            return Unit(node, reads, "own" if own else "ordered", node.shape)
        walked = before_reshape(node, self.is_leaf)
        if walked is not node:
            return Unit(node, self._reads_of(walked)[0], "pointwise", walked.shape)
        reads, e = self._reads_of(node)
        if node.op.family == "contraction":
            return Unit(node, reads, "dot", node.shape)
        if node.op.family != "reduction":
            return Unit(node, reads, "pointwise", node.shape)
        reduced = tuple(node.inputs[0].shape[a] for a in _reduced_axes(node))
        over = tuple(scalar.index(a.name) for x in walk(e) for a in reduced_axes(x))
        kind = "rows" if is_row_reduction(node) else "columns"
        return Unit(node, reads, kind, node.shape, reduced, over)

    def _input_reads(self, x: Node) -> list[Read]:
        return [_whole(x)] if self.is_leaf(x) else self._reads_of(x)[0]

    # Groups

    def choose_groups(self) -> None:
        """Puts each unit into a group of what it reads, of a sibling, or of its own.

        What has effects waits for what had some before.
        """
        last: Group | None = None
        for node in self.function.nodes:
            unit = self.units.get(node)
            if is_part(node):
                self.group_of[node] = self.group_of[node.inputs[0]]
            if unit is None:
                continue
            joined = next((g for g in self._candidates(unit) if self._joins(unit, g)), None)
            if joined is None:
                joined = Group(len(self.groups), unit.kind, unit.rows)
                self.groups.append(joined)
            self._add(unit, joined)
            if has_effect(node):
                if last is not None:
                    joined.ancestors |= last.ancestors | (1 << last.number)
                last = joined

    def _candidates(self, unit: Unit) -> list[Group]:
        producers = {
            self.group_of[r.source].number for r in unit.reads if r.source in self.group_of
        }
        found = [self.groups[n] for n in sorted(producers, reverse=True)]
        if unit.kind in ("pointwise", "columns", "own"):
            beside = "rows" if unit.kind == "columns" else unit.kind
            siblings = {
                g.number
                for r in unit.reads
                for g in self.readers.get(r.source, ())
                if g.kind in (unit.kind, beside) and g.number not in producers
            }
            found += [self.groups[n] for n in sorted(siblings, reverse=True)]
        return found

    def _joins(self, unit: Unit, group: Group) -> bool:
        if not self._compatible(unit, group) or self._needs_column(unit, group):
            return False
        if group.work + unit.work > MOST_WORK:
            return False
        leaves = group.leaves | {r.source for r in unit.reads}
        if len(leaves) + len(group.units) + 1 > self.max_inputs:
            return False
        bit = 1 << group.number
        outside = (self.group_of[r.source] for r in unit.reads if r.source in self.group_of)
        return not any(g is not group and g.ancestors & bit for g in outside)

    def _needs_column(self, unit: Unit, group: Group) -> bool:
        """Whether a unit reads what the group's kernel only has when it has seen all rows."""
        inside = [r.source for r in unit.reads if self.group_of.get(r.source) is group]
        return group.kind == "rows" and any(self.units[x].kind == "columns" for x in inside)

    def _compatible(self, unit: Unit, group: Group) -> bool:
        inner = [r for r in unit.reads if self.group_of.get(r.source) is group]
        match unit.kind, group.kind:
            case "pointwise", "pointwise" | "dot" | "columns":
                aligned = unit.rows == group.rows and _aligned(inner, len(group.rows))
                return aligned or (group.kind == "dot" and self._permutes(unit, inner, group))
            case "pointwise", "rows":
                rank = len(group.rows)
                if unit.rows != group.rows and (rank == 0 or _has_split(group)):
                    return False
                return unit.rows[:rank] == group.rows and _aligned(inner, rank)
            case "rows", "rows":
                return (
                    unit.rows == group.rows
                    and _aligned(inner, len(unit.rows))
                    and not (_is_split(unit) or _has_split(group))
                )
            case "rows", "pointwise":
                rank = len(unit.rows)
                if rank == 0 or _is_split(unit):
                    return False
                return group.rows[:rank] == unit.rows and _aligned(inner, rank)
            case "own", "own":
                mine, theirs = unit.node, group.units[0].node
                alike = mine.op.family == theirs.op.family and mine.attrs == theirs.attrs
                return alike and mine.inputs == theirs.inputs
            case "columns", "columns":
                same = group.units[0].reduced == unit.reduced and group.rows == unit.rows
                return same and not inner
            case "columns", "rows":
                return _sums_rows(unit, group) and all(
                    r.ix[: len(group.rows)] == unit.over for r in inner
                )
            case _:
                return False

    def _permutes(self, unit: Unit, inner: Sequence[Read], group: Group) -> bool:
        """Whether a unit is a contraction's only reader, with its axes in another order.

        Or one that reads such a one. The last of the axes is to be one of either operand alone, of
        which vectors are made.
        """
        dot = group.units[0]
        if all(r.source is not dot.node for r in inner):
            rows = {self.units[r.source].rows for r in inner}
            return rows == {unit.rows} and _aligned(inner, len(unit.rows))
        others = len(group.units) > 1 or dot.node in self.results or len(self.users[dot.node]) > 1
        orders = {permutation(r.ix) for r in inner}
        if others or len(orders) != 1:
            return False
        (order,) = orders
        if order is None or len(order) != len(unit.rows):
            return False
        if dot.rows != tuple(unit.rows[axis] for axis in order):
            return False
        last = order.index(len(order) - 1)
        owners = [r for r in dot.reads if f"i{last}" in _names(r.ix)]
        if len(owners) != 1 or len(dot.reads) != 2:
            return False
        return last == len(order) - 1 or self._makes_columns(dot, owners[0], last)

    def _makes_columns(self, dot: Unit, owner: Read, axis: int) -> bool:
        """Whether a contraction may as well have an axis that is not its last one as its columns.

        Their operand is best in panels or contiguous along it; else operands are packed, which are
        not to be larger than the result.
        """
        for read in dot.reads:
            if panels_of(read.ix) is not None:
                return read is owner
        columns = dot.rows[axis]
        if not isinstance(columns, int) or columns < LEAST_COLUMNS:
            return False
        if owner.ix[-1] == canonical_ix(len(dot.rows))[axis]:
            return True
        a, b = (product(x.shape) for x in dot.node.inputs)
        spare = add(product(dot.rows), mul(add(a, b), -1))
        return isinstance(spare, int) and spare >= 0

    def merge_groups(self) -> None:
        """Joins a group with those that it reads, where units one by one have left them apart."""
        for group in list(self.groups):
            joined: Group | None = group
            while joined is not None:
                joined = self._merge_one(joined)

    def _merge_one(self, group: Group) -> Group | None:
        """Joins a group with one that it reads, the last that fits, and returns the two as one."""
        for n in sorted(self._predecessors(group), reverse=True):
            before = self.groups[n]
            if self._mergeable(before, group):
                self._merge(before, group)
                return before
        return None

    def _predecessors(self, group: Group) -> set[int]:
        found = {self.group_of[x].number for x in group.leaves if x in self.group_of}
        return found - {group.number}

    def _mergeable(self, before: Group, group: Group) -> bool:
        bit = 1 << before.number
        others = self._predecessors(group) - {before.number}
        if any(self.groups[n].ancestors & bit for n in others):
            return False
        if any(self._needs_column(u, before) for u in group.units):
            return False
        if before.work + group.work > MOST_WORK:
            return False
        if (
            len(before.leaves | group.leaves) + len(before.units) + len(group.units)
            > self.max_inputs
        ):
            return False
        if before.kind == "pointwise" and group.kind == "rows":
            rank = len(group.rows)
            fits = rank > 0 and all(u.rows[:rank] == group.rows for u in before.units)
            return fits and all(self._reads_aligned(u, before, rank) for u in group.units)
        return all(self._compatible(u, before) for u in group.units)

    def _reads_aligned(self, unit: Unit, group: Group, rank: int) -> bool:
        if unit.kind == "rows" and _is_split(unit):
            return False
        inner = [r for r in unit.reads if self.group_of.get(r.source) is group]
        if unit.kind == "columns":
            return all(r.ix[:rank] == unit.over for r in inner)
        return _aligned(inner, rank)

    def _merge(self, before: Group, group: Group) -> None:
        units, group.units = group.units, []
        for unit in units:
            self._add(unit, before)
        for n, found in self.readers.items():
            if group in found:
                self.readers[n] = [g for g in found if g is not group]
        bit = 1 << group.number
        for g in self.groups:
            if g.ancestors & bit and g is not before:
                g.ancestors |= before.ancestors | (1 << before.number)
        before.ancestors &= ~(bit | 1 << before.number)

    def _add(self, unit: Unit, group: Group) -> None:
        if unit.kind == "rows":
            group.kind, group.rows = "rows", unit.rows
        group.units.append(unit)
        group.work += unit.work
        self.group_of[unit.node] = group
        added = 0
        for r in unit.reads:
            group.leaves.add(r.source)
            readers = self.readers.setdefault(r.source, [])
            if group not in readers:
                readers.append(group)
            before = self.group_of.get(r.source)
            if before is not None and before is not group:
                added |= before.ancestors | (1 << before.number)
        if added & ~group.ancestors:
            group.ancestors |= added
            bit = 1 << group.number
            for g in self.groups:
                if g.ancestors & bit:
                    g.ancestors |= group.ancestors


def _sums_rows(unit: Unit, group: Group) -> bool:
    """Whether a reduction of columns adds up the rows of a row kernel, and many enough."""
    if unit.node.op.name != "reduce_sum" or unit.reduced != group.rows:
        return False
    if _reduced_axes(unit.node) != list(range(len(group.rows))):
        return False
    rows = product(group.rows)
    return not isinstance(rows, int) or rows >= MANY_ROWS


def _is_split(unit: Unit) -> bool:
    """Whether lowering splits this reduction over blocks, for want of rows."""
    if "axes" not in unit.node.attrs:  # argmax: positions count from the start of the row
        return False
    return is_split_reduction(unit.rows, unit.reduced)


def _has_split(group: Group) -> bool:
    """Whether a group's kernel ends with what blocks have left, when the elements are gone."""
    return any(u.kind == "rows" and _is_split(u) for u in group.units)


def is_split_reduction(rows: Sequence[Dim], reduced: Sequence[Dim]) -> bool:
    """Few rows and many elements.

    Two kernels, so that the work can be shared out. A function of the shape alone.
    """
    count = size = 1
    for d in rows:
        if not isinstance(d, int):
            return False
        count *= d
    for d in reduced:
        if not isinstance(d, int):
            return not rows
        size *= d
    return count < SPLIT_ROWS and size >= SPLIT_SIZE


def _whole(node: Node) -> Read:
    """The read of each element of a node that is stored, at its own place."""
    return Read(node, canonical_ix(node.tensor.rank))


def _aligned(reads: Sequence[Read], rank: int) -> bool:
    """Whether each read is of the element's own row: its first `rank` indices are the nest's."""
    rows = canonical_ix(rank)
    return all(is_at(rows, r.ix, r.source.shape) for r in reads)


def is_affine(e: Expr) -> bool:
    """Whether an index is a sum of axes times dims."""
    if e.op in ("const", "dim", "index"):
        return True
    if e.op in ("add", "sub"):
        return all(is_affine(a) for a in e.args)
    if e.op == "mul":
        return all(is_affine(a) for a in e.args) and any(not _names([a]) for a in e.args)
    return False


@dataclass(frozen=True)
class Fuse(Pass):
    """Groups nodes into `fusion` nodes, one kernel each (two for a reduction that is split)."""

    name: ClassVar[str] = "fuse"
    stage: ClassVar[Stage | None] = "fused"
    groups: bool = True  # false: a kernel for each node that computes something
    max_inputs: int = 48  # of a kernel; what it stores counts too

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with nothing but fusions, constants and `get` at the top."""
        function = with_own_results(function)
        planner = _Planner(function, self.max_inputs if self.groups else 0)
        planner.choose_units()
        planner.choose_groups()
        planner.merge_groups()
        return _Assembler(function, planner).run()


def with_own_results(function: Function) -> Function:
    """`function` with a copy where a result is a parameter, a constant or another result.

    Each has its own buffer.
    """
    seen: set[Node] = set()
    results: list[Node] = []
    nodes = list(function.nodes)
    for r in function.results:
        own = r
        if (is_stored(r) and not is_part(r)) or r in seen:
            own = make_node(OPS["convert"], (r,), {"dtype": r.tensor.dtype}, r.loc)
            nodes.append(own)
        seen.add(own)
        results.append(own)
    return function.with_results(results, nodes)


class _Assembler:
    """Builds the fused function from the groups."""

    def __init__(self, function: Function, planner: _Planner) -> None:
        self.function, self.planner = function, planner
        self.nodes: list[Node] = []
        self.new: dict[Node, Node] = {p: p for p in function.params}

    def run(self) -> Function:
        """The fused function."""
        for node in self.function.nodes:
            if is_stored(node) and not is_control(node) and not is_part(node):
                self.new[node] = node
                self.nodes.append(node)
        for group in self._order():
            self._emit(group)
        results = [self._result(r) for r in self.function.results]
        return Function(self.function.name, self.function.params, results, self.nodes)

    def _order(self) -> list[Group]:
        """Groups with producers before users.

        Among those ready, the one whose last unit came first.
        """
        used = [g for g in self.planner.groups if g.units]
        return sorted(used, key=lambda g: (g.ancestors.bit_count(), g.number))

    def _emit(self, group: Group) -> None:
        if group.kind == "control":
            self._emit_control(group.units[0].node)
            return
        inside = {u.node for u in group.units}
        body = _Body(self.planner, inside)
        outputs = [u.node for u in group.units if self._is_read_outside(u.node, group)]
        if not outputs:  # dead code
            return
        results = [body.clone(n) for n in outputs]
        params = tuple(body.params.values())
        function = Function(f"{group.kind}", params, results, body.nodes)
        inputs = tuple(self.new[x] for x in body.params)
        types = [r.tensor for r in results]
        type_ = types[0] if len(types) == 1 else TupleType(tuple(types))
        loc = group.units[-1].node.loc
        node = Node(OPS["fusion"], inputs, {"body": function}, type_, loc)
        self.nodes.append(node)
        for k, n in enumerate(outputs):
            if len(outputs) == 1:
                self.new[n] = node
            else:
                self.new[n] = Node(OPS["get"], (node,), {"index": k}, n.type, n.loc)
                self.nodes.append(self.new[n])

    def _emit_control(self, node: Node) -> None:
        kept = with_inputs(node, tuple(self.new[x] for x in node.inputs))
        self.nodes.append(kept)
        for part in self.planner.users[node]:
            self.new[part] = with_inputs(part, (kept,))
            self.nodes.append(self.new[part])

    def _is_read_outside(self, node: Node, group: Group) -> bool:
        if node in self.planner.results or node.op.effect:
            return True
        return any(g is not group for g in self.planner.readers.get(node, ()))

    def _result(self, node: Node) -> Node:
        return self.new[node]


class _Body:
    """Clones nodes into the body of a fusion; what lies outside becomes a parameter."""

    def __init__(self, planner: _Planner, inside: set[Node]) -> None:
        self.planner, self.inside = planner, inside
        self.params: dict[Node, Node] = {}
        self.nodes: list[Node] = []
        self.cloned: dict[Node, Node] = {}

    def clone(self, root: Node) -> Node:
        """The clone of `root`, with those of all that it needs."""
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node in self.cloned:
                continue
            if node not in self.inside and self.planner.is_leaf(node):
                self.cloned[node] = self.params[node] = _body_param(node, len(self.params))
            elif ready:
                inputs = tuple(self.cloned[x] for x in node.inputs)
                self.cloned[node] = Node(
                    node.op, inputs, node.attrs, node.type, node.loc, node.name
                )
                self.nodes.append(self.cloned[node])
            else:
                stack.append((node, True))
                stack.extend((x, False) for x in reversed(node.inputs))
        return self.cloned[root]


def _body_param(node: Node, position: int) -> Node:
    name = node.name if node.op.name == "param" else None
    return Node(
        OPS["param"], (), {"type": (node.tensor,)}, node.tensor, node.loc, name or f"p{position}"
    )
