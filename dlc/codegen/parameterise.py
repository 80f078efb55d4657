"""Makes a kernel independent of its sizes.

Extents become run-time symbols, so that equal layers share code.

Also drops parameters that nothing reads, gives axes readable names, and notes which inputs an
output may overwrite.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Param, Sort, Stmt, statements
from dlc.codegen.kernel_transform import rename_axes
from dlc.ir import scalar
from dlc.ir.dims import Dim, lower_bound, product, symbol
from dlc.ir.panels import panels_of
from dlc.ir.record import replace
from dlc.ir.scalar import Axis, Expr, index, walk
from dlc.ir.types import Shape, int64

FEW_ROWS = 64  # of a product; more of them share code with any number
AXIS_NAMES = ("n", "m", "p", "q", "r", "s", "t", "u")


def parameterise(
    name: str,
    params: Sequence[Param],
    stmts: Sequence[Stmt],
    taken: Sequence[str],
    constant: Collection[Dim] = (),
) -> tuple[Kernel, tuple[Dim, ...]]:
    """The kernel over symbols, and the dims that those stand for.

    `taken` are names in use; `constant` integers that stay.
    """
    names = _AxisNames(taken)
    numbers = _numbers(stmts) | {d for d in constant if isinstance(d, int)}
    symbols = _Symbols(names, [p.dims for p in params], numbers)

    def axis(a: Axis) -> Axis:
        return Axis(names.of(a.name), symbols.of(a.extent), a.block)

    body = tuple(map_statement(s, axis, names.of, symbols.of) for s in stmts)
    accesses = [(s, _loads(s)) for s in statements(body)]
    used = {e.attr for _, loads in accesses for e in loads}
    used |= {s.name for s, _ in accesses if isinstance(s, Assign)}
    kept = [replace(p, dims=tuple(symbols.of(d) for d in p.dims)) for p in params if p.name in used]
    aliased = tuple(_with_aliases(p, kept, accesses) for p in kept)
    return Kernel(name, aliased, tuple(symbols.names.values()), body), tuple(symbols.names)


def _numbers(body: Sequence[Stmt]) -> set[Dim]:
    """The extents that stay numbers in a product with a matrix in panels.

    The width of the panels is how memory is laid out, and so are the extents of a filter, whose
    elements are rows of them. Micro-kernels are made for a few rows.
    """
    found: set[Dim] = set()
    for s in body:
        for x in statements((s,)):
            dots = [e for e in _expressions(x) if e.op == "dot"]
            loads = [e for d in dots for e in walk(d) if e.op == "load"]
            panels = [p for e in loads if (p := panels_of(e.args)) is not None]
            if not panels or not isinstance(s, Par):
                continue
            found |= {p.width for p in panels}
            found |= {a.extent for d in dots for a in d.attr[1:] if isinstance(a.extent, int)}
            columns = {p.axis for p in panels}
            rows = [a.extent for a in s.axes if a.name not in columns]
            found |= {d for d in rows if isinstance(d, int) and d <= FEW_ROWS}
    return found


class _Symbols:
    """A symbol for each distinct dim but 0, 1 and `numbers`.

    A product of a tensor's neighbouring dims stays a product.

    That a dim happens to be such a product holds wherever the kernel is called from this program,
    and lets index arithmetic see that a reshaped tensor is walked in order.
    """

    def __init__(self, names: _AxisNames, shapes: Sequence[Shape], numbers: set[Dim]) -> None:
        self.names: dict[Dim, str] = {}
        self.numbers = numbers
        self._fresh = names.fresh
        self._factors: dict[Dim, Shape] = {}
        for shape in shapes:
            real = [d for d in shape if d != 1]
            for i in range(len(real)):
                for j in range(i + 2, len(real) + 1):
                    run = tuple(real[i:j])
                    size = product(run)
                    if size not in run and size != 0:
                        self._factors.setdefault(size, run)

    def of(self, dim: Dim) -> Dim:
        if (isinstance(dim, int) and dim <= 1) or dim in self.numbers:
            return dim
        if dim in self._factors:
            return product(self.of(d) for d in self._factors[dim])
        if (lower_bound(dim) or 0) < 1:
            # Symbols are at least 1, and bounds checks go where that proves them.
            return self._symbol(dim + 1) - 1
        return self._symbol(dim)

    def _symbol(self, dim: Dim) -> Dim:
        if dim not in self.names:
            self.names[dim] = self._fresh("d", always_number=True)
        return symbol(self.names[dim])


class _AxisNames:
    """Readable names for axes, one each."""

    def __init__(self, taken: Sequence[str]) -> None:
        self.taken = set(taken)
        self.map: dict[str, str] = {}

    def of(self, name: str) -> str:
        if not name.startswith("_"):
            return name
        if name not in self.map:
            free = next((n for n in AXIS_NAMES if n not in self.taken), None)
            self.map[name] = self.fresh(free or "n", always_number=free is None)
        return self.map[name]

    def fresh(self, base: str, *, always_number: bool) -> str:
        k = 0
        name = f"{base}0" if always_number else base
        while name in self.taken:
            k += 1
            name = f"{base}{k}"
        self.taken.add(name)
        return name


def _expressions(s: Stmt) -> list[Expr]:
    roots = (*s.ix, s.expr) if isinstance(s, (Assign, Sort)) else ()
    if isinstance(s, For) and s.condition is not None:
        roots = (s.condition,)
    return [e for root in roots for e in walk(root)]


def _map_expr(
    e: Expr,
    axis: Callable[[Axis], Axis],
    name: Callable[[str], str],
    dim: Callable[[Dim], Dim],
    memo: dict[int, Expr],
) -> Expr:
    found = memo.get(id(e))
    if found is not None:
        return found
    for x in walk(e):
        if id(x) in memo:
            continue
        args = tuple(memo[id(a)] for a in x.args)
        if x.op in ("index", "block"):
            new = Expr(x.op, (), x.dtype, name(x.attr))
        elif x.op == "reduce":
            new = Expr(x.op, args, x.dtype, (x.attr[0], tuple(axis(a) for a in x.attr[1])))
        elif x.op == "dot":
            new = Expr(x.op, args, x.dtype, tuple(axis(a) for a in x.attr))
        elif x.op == "dim":
            # An integer stays: dividing by a symbol takes several times as long.
            value = x.attr if isinstance(x.attr, int) else dim(x.attr)
            new = scalar.const(value, int64) if isinstance(value, int) else scalar.dim(value)
        else:
            new = x.with_args(args)
        memo[id(x)] = new
    return memo[id(e)]


def _map_stmt(
    s: Stmt,
    axis: Callable[[Axis], Axis],
    name: Callable[[str], str],
    dim: Callable[[Dim], Dim],
    memo: dict[int, Expr],
) -> Stmt:
    match s:
        case Assign():
            return replace(
                s,
                ix=tuple(_map_expr(i, axis, name, dim, memo) for i in s.ix),
                axes=tuple(axis(a) for a in s.axes),
                expr=_map_expr(s.expr, axis, name, dim, memo),
            )
        case Sort():
            return replace(
                s,
                ix=tuple(_map_expr(i, axis, name, dim, memo) for i in s.ix),
                axis=axis(s.axis),
                over=axis(s.over),
                expr=_map_expr(s.expr, axis, name, dim, memo),
            )
        case Par():
            return Par(
                tuple(axis(a) for a in s.axes),
                tuple(_map_stmt(x, axis, name, dim, memo) for x in s.body),
            )
        case For():
            carry = tuple(_map_stmt(c, axis, name, dim, memo) for c in s.carry)
            condition = (
                None if s.condition is None else _map_expr(s.condition, axis, name, dim, memo)
            )
            body = tuple(_map_stmt(x, axis, name, dim, memo) for x in s.body)
            return For(axis(s.axis), body, carry, condition)  # type: ignore[arg-type]


def map_statement(
    s: Stmt,
    axis: Callable[[Axis], Axis],
    name: Callable[[str], str],
    dim: Callable[[Dim], Dim],
) -> Stmt:
    """A statement with its axes, the names of axes in expressions, and dims mapped."""
    return _map_stmt(s, axis, name, dim, {})


def _loads(s: Stmt) -> list[Expr]:
    return [e for e in _expressions(s) if e.op == "load"]


_Accesses = Sequence[tuple[Stmt, Sequence[Expr]]]  # each statement with its loads


def _with_aliases(param: Param, params: Sequence[Param], accesses: _Accesses) -> Param:
    """`param` with the inputs whose buffer it may take over.

    Each element of those is read, for the last time, by the very iteration that writes the element
    at the same place.
    """
    if param.mode != "out":
        return param
    may = tuple(
        p.name
        for p in params
        if p.mode == "in" and p.dims == param.dims and p.dtype.itemsize == param.dtype.itemsize
        and _same_place(param.name, p.name, accesses)
        and not _read_elsewhere(param.name, p.name, accesses, {q.name for q in params})
    )  # fmt: skip
    return replace(param, may_alias=may)


def _same_place(out: str, source: str, accesses: _Accesses) -> bool:
    at = _places_of_rows(out, accesses)
    if at is None:
        return False
    written: tuple[Expr, ...] | None = None
    for s, all_loads in accesses:
        if isinstance(s, (For, Sort)):
            return False
        if isinstance(s, Par):
            continue
        loads = [e for e in all_loads if e.attr == source]
        if any(e.args[k] != row for e in loads for row, k in at.items()):
            return False
        if written is not None and loads:
            return False
        if s.name == out:
            if any(e.args != s.ix for e in loads):
                return False
            written = s.ix
    return written is not None


def _read_elsewhere(out: str, source: str, accesses: _Accesses, params: Collection[str]) -> bool:
    """Whether stores read `source` elsewhere than where `out` is written in the same iteration.

    Stores before and after it may share its loop, the threads of which go on at their own pace. A
    backend without tiles computes those anew in them, after all other locals; only reductions, for
    which threads wait, are sure to be read before what is stored after them.
    """
    tiles: dict[str, tuple[Assign, list[Expr]]] = {}
    stores: list[tuple[Assign, list[Expr]]] = []
    first: Assign | None = None
    for s, all_loads in accesses:
        if not isinstance(s, Assign):
            continue
        first = s if s.name == out else first
        loads = all_loads
        if s.name in params and first is None:
            loads = list(_loads_outside_reductions((s.expr, *s.ix)))
        own = [e for e in loads if e.attr == source]
        for e in loads:
            if e.attr in tiles:
                tile, read = tiles[e.attr]
                names = {i.attr: a for i, a in zip(tile.ix, e.args, strict=True)}
                own += (rename_axes(x, names) for x in read)
        if s.name in params:
            stores.append((s, own))
        elif s.axes:
            tiles[s.name] = s, list(dict.fromkeys(own))
    assert first is not None
    return any(_other_places(s, own, first) for s, own in stores)


def _loads_outside_reductions(exprs: Iterable[Expr]) -> Iterator[Expr]:
    seen: set[int] = set()
    stack = list(exprs)
    while stack:
        e = stack.pop()
        if id(e) not in seen:
            seen.add(id(e))
            stack += () if e.op in ("reduce", "dot") else e.args
            if e.op == "load":
                yield e


def _other_places(s: Assign, loads: Sequence[Expr], first: Assign) -> bool:
    """Whether a store has loads of another place than the one that `first` writes with it."""
    if loads and [a.extent for a in s.axes] != [a.extent for a in first.axes]:
        return True
    names = {a.name: index(b.name) for a, b in zip(s.axes, first.axes, strict=False)}
    return any(rename_axes(e, names).args != first.ix for e in loads)


def _places_of_rows(out: str, accesses: _Accesses) -> dict[Expr, int] | None:
    """Where the axes of the first nest are among the indices that an output is written at.

    None where one is not: then several iterations may write an element.
    """
    nests = (s.axes for s, _ in accesses if isinstance(s, Par))
    rows = [index(a.name) for a in next(nests, ())]
    ix = next((s.ix for s, _ in accesses if isinstance(s, Assign) and s.name == out), ())
    return {r: ix.index(r) for r in rows} if all(r in ix for r in rows) else None
