"""Tile programs: nests whose ordered blocked loops compute tiles by products of tiles.

A plan cuts the body of a nest into steps on tiles in scratch memory: products, which micro-kernels
compute, copies of parameters, and runs, assignments that share a loop over one axis. Within a run,
tiles of that axis alone are scalars; what later steps read is kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dlc.codegen.cpu.tile_steps import Copy, Loop, Product, Run, Step, Tile, TilePlan, all_steps
from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Sort, Stmt, blocked, statements
from dlc.codegen.kernel_transform import rewrite
from dlc.ir.record import dataclass, field, replace
from dlc.ir.scalar import Axis, Expr, index, load, walk
from dlc.ir.types import DType
from dlc.passes.fuse import is_affine


class _NotTiles(Exception):
    """The kernel is no tile program."""


def tile_plan(kernel: Kernel, lanes: Callable[[DType], int]) -> TilePlan | None:
    """The plan of a normalised kernel that has kept its dots; None when it is no tile program.

    lanes: the elements of a vector, of which products compute whole ones.
    """
    if len(kernel.body) != 1 or not isinstance(kernel.body[0], Par):
        return None
    nest = kernel.body[0]
    if blocked(nest.axes) & {s.axis.name for s in statements(nest.body) if isinstance(s, For)}:
        return None  # a walk through the values of a block, not from block to block
    try:
        planner = _Planner(kernel, lanes)
        steps = planner.steps(nest.body)
        if not any(isinstance(s, Product) for s in all_steps(steps)):
            return None
        return TilePlan(nest, steps, planner.kept(steps))
    except _NotTiles:
        return None


@dataclass
class _Planner:
    kernel: Kernel
    lanes: Callable[[DType], int]
    carried: set[str] = field(default_factory=set[str])
    tiles: dict[str, Tile] = field(default_factory=dict[str, Tile])
    places: dict[str, tuple[Expr, ...]] = field(default_factory=dict[str, tuple[Expr, ...]])
    count: int = 0

    def __post_init__(self) -> None:
        self.params = {p.name for p in self.kernel.params}

    def own(self, name: str) -> str:
        """The name of the memory of a local."""
        plain = name.removeprefix("next_")
        return plain if plain in self.carried else name

    def steps(self, body: Sequence[Stmt]) -> tuple[Step, ...]:
        """The steps of a body."""
        found: list[Step] = []
        pending: list[Assign] = []

        def flush() -> None:
            found.extend(self._runs(pending))
            pending.clear()

        for s in body:
            match s:
                case Assign():
                    for part in self._split(s):
                        if isinstance(part, (Product, Copy)):
                            flush()
                            found.append(part)
                        else:
                            pending.append(part)
                case For():
                    flush()
                    found.append(self._loop(s))
                case Par() | Sort():
                    raise _NotTiles
        flush()
        return tuple(found)

    def _loop(self, s: For) -> Loop:
        start = self.steps(s.carry)
        names = {c.name for c in s.carry}
        if names & self.carried:
            raise _NotTiles
        self.carried |= names
        return Loop(s.axis, s.condition, frozenset(names), start, self.steps(s.body))

    # Products

    def _split(self, s: Assign) -> Iterator[Assign | Product | Copy]:
        """An assignment with each product of tiles in it as a step of its own."""
        if s.name not in self.params:
            self._declare(s.name, s.axes, s.ix, s.expr.dtype)
            copy = self._copy(s)
            if copy is not None:
                yield copy
                return
        added = self._addend(s)
        if added is not None:
            rest, node = added
            if rest is not None:
                yield replace(s, expr=rest)
            yield from self._product(s.name, s.ix, s.axes, node, adds=True)
            return
        if s.expr.op == "dot" and s.name not in self.params:
            yield from self._product(s.name, s.ix, s.axes, s.expr, adds=False)
            return
        made: list[Product | Copy] = []
        names: dict[Expr, Expr] = {}

        def change(node: Expr) -> Expr | None:
            if node.op != "dot":
                return None
            if node not in names:
                own = {a.name for a in s.axes}
                ix = tuple(i for i in s.ix if i.op == "index" and i.attr in own)
                name = self._fresh("product")
                self._declare(name, s.axes, ix, node.dtype)
                made.extend(self._product(name, ix, s.axes, node, adds=False))
                names[node] = load(name, ix, node.dtype)
            return names[node]

        expr = rewrite(s.expr, change)
        yield from made
        yield replace(s, expr=expr)

    def _fresh(self, kind: str) -> str:
        self.count += 1
        return f"${kind}{self.count}"

    def _declare(self, name: str, axes: Sequence[Axis], ix: tuple[Expr, ...], dtype: DType) -> None:
        by_name = {a.name: a for a in axes}
        if any(i.op != "index" or i.attr not in by_name for i in ix):
            raise _NotTiles
        self.places[name] = ix
        self.tiles.setdefault(self.own(name), Tile(tuple(by_name[i.attr] for i in ix), dtype))

    def _copy(self, s: Assign) -> Copy | None:
        """The assignment as a copy into a tile of two axes, if it is one."""
        e, dtypes = _unconverted(s.expr)
        known = e.op == "load" and e.attr in self.params and all(map(is_affine, e.args))
        if not known or len(s.axes) != 2 or len(s.ix) != 2:
            return None
        rows, columns = self.tiles[self.own(s.name)].axes
        if not (_varies(e, rows) and _varies(e, columns)):
            return None
        return Copy(s.name, s.ix, rows, columns, e, dtypes)

    def _addend(self, s: Assign) -> tuple[Expr | None, Expr] | None:
        """(x, dot) of `s = x + dot` for a local or for an output that is x itself."""
        if s.expr.op != "add":
            return None
        a, b = s.expr.args
        rest, node = (a, b) if b.op == "dot" else (b, a)
        if node.op != "dot" or any(x.op == "dot" for x in walk(rest)):
            return None
        if s.name not in self.params:
            return rest, node
        last = s.axes[-1] if s.axes else None
        same = rest.op == "load" and rest.attr == s.name and rest.args == s.ix
        whole = last is not None and s.ix[-1].op == "index" and s.ix[-1].attr == last.name
        if not (same and whole and last is not None and last.block is None):
            return None
        extent = last.extent
        fits = isinstance(extent, int) and extent % self.lanes(node.dtype) == 0
        return (None, node) if fits else None

    def _product(
        self, name: str, ix: tuple[Expr, ...], axes: Sequence[Axis], node: Expr, *, adds: bool
    ) -> list[Product | Copy]:
        """The product as a step, after a copy of an `a` that has another type in memory."""
        order = [i.attr for i in ix if i.op == "index"]
        tile = sorted((a for a in axes if a.name in order), key=lambda a: order.index(a.name))
        if len(tile) != 2 or len(axes) != 2 or len(node.attr) != 1:
            raise _NotTiles
        (m, n), (k,) = tile, node.attr
        (a, a_dtypes), (b, b_dtypes) = map(_unconverted, node.args)
        if _varies(b, m):
            a, a_dtypes, b, b_dtypes = b, b_dtypes, a, a_dtypes
        if _varies(a, n) or _varies(b, m):
            raise _NotTiles
        for x, dtypes in ((a, a_dtypes), (b, b_dtypes)):
            known = x.op == "load" and (len(dtypes) == 1 or x.attr in self.params)
            if not known or dtypes[-1] is not node.dtype or not all(map(is_affine, x.args)):
                raise _NotTiles
        steps: list[Product | Copy] = []
        if len(a_dtypes) > 1:
            held, at = self._fresh("operand"), (index(m.name), index(k.name))
            self._declare(held, (m, k), at, node.dtype)
            steps.append(Copy(held, at, m, k, a, a_dtypes))
            a = load(held, at, node.dtype)
        return [*steps, Product(name, ix, m, n, k, a, b, b_dtypes, adds)]

    # Runs

    def _runs(self, assigns: Sequence[Assign]) -> list[Run]:
        found: list[Run] = []
        k = 0
        while k < len(assigns):
            first = assigns[k]
            best = Run(None, False, (first,))
            reach = 0
            for axis in first.axes:
                if axis.block is None:
                    continue
                vector, size = self._reach(assigns[k:], axis)
                if (size, vector) > (reach, best.vector):
                    best, reach = Run(axis, vector, tuple(assigns[k : k + size])), size
            found.append(best)
            k += len(best.assigns)
        return found

    def _reach(self, assigns: Sequence[Assign], axis: Axis) -> tuple[bool, int]:
        """(whether the axis is the lanes, how many assignments can share a loop over it)."""
        mode: bool | None = None
        made: set[str] = set()
        for k, s in enumerate(assigns):
            wanted = self._mode(s, axis)
            clash = mode is not None and wanted is not None and mode != wanted
            if axis not in s.axes or clash or not self._same_place(s, axis, made):
                return bool(mode), k
            mode = wanted if mode is None else mode
            made.add(s.name)
        return bool(mode), len(assigns)

    def _mode(self, s: Assign, axis: Axis) -> bool | None:
        """Whether an assignment wants the axis as lanes; None where it does not matter."""
        wide = [s.ix] if len(s.axes) > 1 or s.name in self.params else []
        local = (e for e in walk(s.expr) if e.op == "load" and e.attr not in self.params)
        wide += [e.args for e in local if len(e.args) > 1]
        for ix in wide:
            names = [i.attr if i.op == "index" else None for i in ix]
            if axis.name in names:
                return names[-1] == axis.name
        return None

    def _same_place(self, s: Assign, axis: Axis, made: set[str]) -> bool:
        """Whether what the run has made is read at its own element of the axis."""
        for e in walk(s.expr):
            if e.op == "load" and e.attr in made:
                place = self.places[e.attr]
                at = [k for k, i in enumerate(place) if i.attr == axis.name]
                if len(at) != 1 or e.args[at[0]] != place[at[0]]:
                    return False
        return True

    # Memory

    def kept(self, steps: Sequence[Step]) -> dict[str, Tile]:
        """The locals that must be in memory."""
        names = set(self.carried)
        for s in all_steps(steps):
            if isinstance(s, Copy):
                names.add(self.own(s.target))
            elif isinstance(s, Product):
                names |= {self.own(s.target)} - self.params
                names |= {self.own(x.attr) for x in (s.a, s.b)} - self.params
            elif isinstance(s, Run):
                made: set[str] = set()
                for a in s.assigns:
                    read = {e.attr for x in (a.expr, *a.ix) for e in walk(x) if e.op == "load"}
                    names |= {self.own(n) for n in read - made - self.params}
                    made.add(a.name)
        self._check_in_place(steps)
        return {n: self.tiles[n] for n in sorted(names)}  # the order of their memory

    def _check_in_place(self, steps: Sequence[Step]) -> None:
        """Refuses programs that read the old value of a carried tile where the new one is made."""
        for s in all_steps(steps):
            if not isinstance(s, Loop):
                continue
            inner = list(all_steps(s.body))
            for k, x in enumerate(inner):
                made = _assigned(x)
                for old in (n for n in s.carried if "next_" + n in made):
                    if any(old in _read(y) for y in inner[k + 1 :]):
                        raise _NotTiles
                    if isinstance(x, Run) and not self._updates_in_place(x, old):
                        raise _NotTiles

    def _updates_in_place(self, run: Run, old: str) -> bool:
        if len(self.places[old]) == 1:
            return run.axis is not None and self.places[old][0].attr == run.axis.name
        loads = [e for a in run.assigns for e in walk(a.expr) if e.op == "load" and e.attr == old]
        return all(e.args == a.ix for a in run.assigns if a.name == "next_" + old for e in loads)


def _unconverted(e: Expr) -> tuple[Expr, tuple[DType, ...]]:
    """What an expression converts, and the types from that one's to its own."""
    dtypes = [e.dtype]
    while e.op == "convert":
        e = e.args[0]
        dtypes.insert(0, e.dtype)
    return e, tuple(dtypes)


def _varies(e: Expr, axis: Axis) -> bool:
    return any(x.op == "index" and x.attr == axis.name for i in e.args for x in walk(i))


def _assigned(s: Step) -> set[str]:
    if isinstance(s, Run):
        return {a.name for a in s.assigns}
    return {s.target} if isinstance(s, (Product, Copy)) else set()


def _read(s: Step) -> set[str]:
    match s:
        case Run():
            return {e.attr for a in s.assigns for e in walk(a.expr) if e.op == "load"}
        case Product():
            return {s.a.attr, s.b.attr}
        case Copy() | Loop():
            return set()


def without_axis(
    assign: Assign, axis: Axis | None, change: Callable[[Expr], Expr | None]
) -> Assign:
    """An assignment at one element of an axis, its loads changed."""
    axes = tuple(a for a in assign.axes if a != axis)
    return replace(assign, axes=axes, expr=rewrite(assign.expr, change))
