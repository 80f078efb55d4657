"""Kernels rewritten into the form that loop emitters work on.

`normalise` leaves: scalar math expanded into basic ops, axis names unique, loads of locals with
the indices of their tile alone, axes of an open block stated on each assignment that needs them,
`dot` as a sum and accumulation as an addition.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Sort, Stmt, open_inside
from dlc.codegen.scalar_math import expand_all
from dlc.ir.record import dataclass, field, replace
from dlc.ir.scalar import Axis, Expr, convert, load, op, reduce, reduced_axes, walk
from dlc.ir.types import DType, float32


def rewrite(e: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """`e` with each node for which `change` gives an expression replaced, outermost first."""
    done: dict[int, Expr] = {}
    stack = [(e, False)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready:
            done[id(node)] = node.with_args(tuple(done[id(a)] for a in node.args))
            continue
        changed = change(node)
        if changed is not None:
            done[id(node)] = changed
            continue
        stack.append((node, True))
        stack.extend((a, False) for a in node.args)
    return done[id(e)]


def rebuild(
    e: Expr, memo: dict[int, Expr], change: Callable[[Expr, tuple[Expr, ...]], Expr]
) -> Expr:
    """`e` made anew from its leaves on: `change` gives each node, and what its arguments became.

    memo: what nodes have become, by their ids, for expressions that share nodes.
    """
    for x in walk(e):
        if id(x) not in memo:
            memo[id(x)] = change(x, tuple(memo[id(a)] for a in x.args))
    return memo[id(e)]


def rename_axes(e: Expr, names: Mapping[str, Expr]) -> Expr:
    """`e` with axes replaced by expressions; a replaced axis may not be bound inside of `e`."""

    def change(node: Expr) -> Expr | None:
        return names.get(node.attr) if node.op == "index" else None

    return rewrite(e, change) if names else e


@dataclass
class _Scope:
    """What is visible to a statement: new names of axes, and the open (blocked) ones."""

    names: dict[str, str] = field(default_factory=dict[str, str])
    open: dict[str, Axis] = field(default_factory=dict[str, Axis])


class _Normaliser:
    def __init__(self) -> None:
        self.used: set[str] = set()
        self.kept: dict[str, tuple[int, ...]] = {}
        self.params: dict[str, DType] = {}
        self.keep_dots = False

    def fresh(self, name: str) -> str:
        """A name for an axis that no other axis has."""
        candidate, k = name, 1
        while candidate in self.used:
            k += 1
            candidate = f"{name}.{k}"
        self.used.add(candidate)
        return candidate

    def enter(self, axes: Iterable[Axis], scope: _Scope) -> tuple[tuple[Axis, ...], _Scope]:
        """The axes under new names, and the scope inside of them."""
        inner = _Scope(dict(scope.names), dict(scope.open))
        renamed: list[Axis] = []
        for axis in axes:
            fresh = replace(axis, name=self.fresh(axis.name))
            inner.names[axis.name] = fresh.name
            if axis.block is not None:
                inner.open[fresh.name] = fresh
            renamed.append(fresh)
        return tuple(renamed), inner

    def body(self, body: tuple[Stmt, ...], scope: _Scope) -> tuple[Stmt, ...]:
        return tuple(self.statement(s, scope) for s in body)

    def statement(self, s: Stmt, scope: _Scope) -> Stmt:
        match s:
            case Assign():
                return self.assign(s, scope)
            case Sort():
                return self.sort(s, scope)
            case Par():
                axes, inner = self.enter(s.axes, scope)
                return Par(axes, self.body(s.body, inner))
            case For():
                carry = tuple(self.assign(c, scope) for c in s.carry)
                for c in s.carry:
                    self.kept["next_" + c.name] = self.kept[c.name]
                (axis,), inner = self.axes_of((s.axis,), scope)
                inner = _Scope(inner.names, open_inside((axis,), scope.open))
                condition = None
                if s.condition is not None:
                    condition = self.expression(s.condition, inner)
                return For(axis, self.body(s.body, inner), carry, condition)

    def assign(self, s: Assign, scope: _Scope) -> Assign:
        own = {a.name for a in s.axes}
        outer = _Scope({k: v for k, v in scope.names.items() if k not in own}, scope.open)
        axes, inner = self.enter(s.axes, outer)
        expr = self.expression(s.expr, inner)
        ix = tuple(self.expression(i, inner) for i in s.ix)
        mentioned = {n.attr for e in (*ix, expr) for n in _free_indices(e)}
        axes = (*(a for a in scope.open.values() if a.name in mentioned), *axes)
        if s.name in self.params:
            return Assign(s.name, ix, axes, expr, s.accumulate)
        mine = {a.name for a in axes}
        kept = tuple(k for k, i in enumerate(ix) if i.op == "index" and i.attr in mine)
        self.kept[s.name] = kept
        return Assign(s.name, tuple(ix[k] for k in kept), axes, expr, s.accumulate)

    def sort(self, s: Sort, scope: _Scope) -> Sort:
        (over,), inside = self.axes_of((s.over,), scope)
        expr = self.expression(s.expr, inside)
        (axis,), inner = self.axes_of((s.axis,), scope)
        ix = [self.expression(e, inner) for e in s.ix]
        kept = tuple(k for k, e in enumerate(ix) if e.op == "index" and e.attr == axis.name)
        self.kept.update(dict.fromkeys(s.names, kept))
        return replace(s, ix=tuple(ix[k] for k in kept), axis=axis, over=over, expr=expr)

    def axes_of(self, axes: Iterable[Axis], scope: _Scope) -> tuple[tuple[Axis, ...], _Scope]:
        """Axes that a statement or a reduction binds; an open block stays the one that it is."""
        found: list[Axis] = []
        inner = scope
        for axis in axes:
            known = scope.open.get(scope.names.get(axis.name, ""))
            if known is None:
                (known,), inner = self.enter((axis,), inner)
            found.append(known)
        return tuple(found), inner

    def expression(self, e: Expr, scope: _Scope) -> Expr:
        """The expression with renamed axes, canonical loads of locals and sums for dots."""

        def change(node: Expr) -> Expr | None:
            if node.op in ("index", "block"):
                return Expr(node.op, (), node.dtype, scope.names[node.attr])
            if node.op in ("reduce", "dot"):
                return self.reduction(node, scope)
            if node.op == "load" and node.attr not in self.params:
                kept = self.kept[node.attr]
                ix = node.args if len(node.args) == len(kept) else [node.args[k] for k in kept]
                return load(node.attr, tuple(self.expression(i, scope) for i in ix), node.dtype)
            return None

        return rewrite(e, change)

    def reduction(self, node: Expr, scope: _Scope) -> Expr:
        axes, inner = self.axes_of(reduced_axes(node), scope)
        args = [self.expression(a, inner) for a in node.args]
        if node.op == "dot":
            a, b = (convert(x, node.dtype) for x in args)
            if self.keep_dots:
                return Expr("dot", (a, b), node.dtype, axes)
            return _half_as_single(reduce("sum", axes, op("mul", a, b)))
        return _half_as_single(Expr("reduce", tuple(args), node.dtype, (node.attr[0], axes)))


def _half_as_single(node: Expr) -> Expr:
    """A reduction of 16-bit floats done in f32."""
    (body,) = node.args
    if not (body.dtype.is_float and body.dtype.bits == 16):
        return node
    if body.op == "mul":
        body = op("mul", *(convert(a, float32) for a in body.args))
    kind, axes = node.attr
    return convert(reduce(kind, axes, convert(body, float32)), node.dtype)


def _free_indices(e: Expr) -> list[Expr]:
    """The index nodes of `e` that no reduction in it binds."""
    bound: list[tuple[Expr, frozenset[str]]] = [(e, frozenset())]
    found: list[Expr] = []
    seen: set[tuple[int, frozenset[str]]] = set()
    while bound:
        node, hidden = bound.pop()
        if (id(node), hidden) in seen:
            continue
        seen.add((id(node), hidden))
        if node.op == "index" and node.attr not in hidden:
            found.append(node)
        hidden |= {a.name for a in reduced_axes(node)}
        bound.extend((a, hidden) for a in node.args)
    return found


def map_expressions(body: tuple[Stmt, ...], f: Callable[[Expr], Expr]) -> tuple[Stmt, ...]:
    """The statements with every expression and index mapped."""
    result: list[Stmt] = []
    for s in body:
        match s:
            case Assign() | Sort():
                result.append(replace(s, ix=tuple(f(i) for i in s.ix), expr=f(s.expr)))
            case Par():
                result.append(Par(s.axes, map_expressions(s.body, f)))
            case For():
                carry = tuple(c for c in map_expressions(s.carry, f) if isinstance(c, Assign))
                condition = None if s.condition is None else f(s.condition)
                result.append(For(s.axis, map_expressions(s.body, f), carry, condition))
    return tuple(result)


def normalise(
    kernel: Kernel, *, keep_dots: bool = False, keep_math: frozenset[str] = frozenset()
) -> Kernel:
    """The kernel in the form that the module's docstring describes; it means the same.

    keep_dots: leave each `dot` that it is.
    keep_math: ops of scalar math that are left as they are.
    """
    work = _Normaliser()
    work.keep_dots = keep_dots
    work.params = {p.name: p.dtype for p in kernel.params}
    body = work.body(kernel.body, _Scope())
    body = map_expressions(body, lambda e: expand_all(e, keep_math))
    body = tuple(_explicit_accumulation(s, work.params) for s in body)
    return replace(kernel, body=tuple(_promoted(s, work.params) for s in body))


def _explicit_accumulation(s: Stmt, params: Mapping[str, DType]) -> Stmt:
    """`x += e` as `x = x + e`, in f32 for 16-bit floats."""
    match s:
        case Assign():
            if not s.accumulate:
                return s
            dtype = params[s.name]
            work = float32 if dtype.is_float and dtype.bits == 16 else dtype
            name = "or" if dtype.kind == "b" else "add"
            total = op(name, convert(load(s.name, s.ix, dtype), work), convert(s.expr, work))
            return replace(s, expr=expand_all(convert(total, dtype)), accumulate=False)
        case Sort():
            return s
        case Par():
            return Par(s.axes, tuple(_explicit_accumulation(x, params) for x in s.body))
        case For():
            return replace(s, body=tuple(_explicit_accumulation(x, params) for x in s.body))


def _promoted(s: Stmt, params: Collection[str]) -> Stmt:
    """`par a: o[a,b] b<B = e` as `par a, b: o[a,b] = e`, if nothing is computed once for each a."""
    outer = s.axes if isinstance(s, Par) else ()
    inner = s.body[0] if isinstance(s, Par) and len(s.body) == 1 else s
    if not (isinstance(inner, Assign) and inner.name in params and inner.axes):
        return s
    axes = (*outer, *inner.axes)
    apart = any(
        n.op == "reduce" or (n.op == "load" and n.attr == inner.name) for n in walk(inner.expr)
    )
    if apart or any(a.block is not None for a in axes):
        return s
    return Par(axes, (replace(inner, axes=()),))
