"""The rules that a kernel must keep; its grammar and scopes are in `docs/kernel_grammar.md`."""

from __future__ import annotations

from typing import NoReturn

from dlc.codegen.kernel_injectivity import is_injective
from dlc.codegen.kernel_ir import ENDLESS, Assign, For, Host, Kernel, Par, Sort, Stmt, open_inside
from dlc.codegen.kernel_printer import print_with_lines
from dlc.codegen.kernel_words import RESERVED, literal_group
from dlc.ir.dims import Dim, symbols_of
from dlc.ir.errors import VerifyError, excerpt, nearest
from dlc.ir.record import dataclass, field
from dlc.ir.scalar import REDUCE_KINDS, SCALAR_OPS, Axis, Expr, reduced_axes
from dlc.ir.types import DType, TensorType, TupleType, bool_, int64


def verify_kernel(kernel: Kernel, *, pass_name: str | None = None) -> None:
    """Check that a kernel keeps the rules of kernel IR.

    Args:
        kernel: The kernel to check.
        pass_name: The step that made it, for the error.

    Raises:
        VerifyError: A rule is broken; the error shows the lines around the place.
    """
    _Verifier(kernel, pass_name).run()


@dataclass(frozen=True)
class _Local:
    """A local in scope: its dtype, its indices, which of them address the tile, and its dims.

    A dim of the tile is the extent of an axis, or an open block by its axis.
    """

    dtype: DType
    ix: tuple[Expr, ...]
    kept: tuple[int, ...]
    tile: tuple[Dim | Axis, ...]


@dataclass
class _Scope:
    """What a statement may refer to. `at` are the axes that have a single value, `open` blocks."""

    at: dict[str, Axis] = field(default_factory=dict[str, Axis])
    open: dict[str, Axis] = field(default_factory=dict[str, Axis])
    par: dict[str, Axis] = field(default_factory=dict[str, Axis])
    locals: dict[str, _Local] = field(default_factory=dict[str, _Local])
    ordered: dict[str, Axis] = field(default_factory=dict[str, Axis])
    carried: frozenset[str] = frozenset()

    def inner(self) -> _Scope:
        return _Scope(
            dict(self.at),
            dict(self.open),
            dict(self.par),
            dict(self.locals),
            dict(self.ordered),
            self.carried,
        )


class _Verifier:
    def __init__(self, kernel: Kernel, pass_name: str | None) -> None:
        self.kernel, self.pass_name = kernel, pass_name
        self.params = {p.name: p for p in kernel.params}
        self.place: Stmt | None = None
        self.axes: frozenset[str] = frozenset()
        self.typed: set[int] = set()

    def run(self) -> None:
        self.header()
        if self.kernel.host is not None:
            self.host(self.kernel.host)
        else:
            self.body(self.kernel.body, _Scope())

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        text, lines = print_with_lines(self.kernel)
        line = lines.get(id(self.place), 1)
        raise VerifyError(
            f"kernel {self.kernel.name}: {message}",
            pass_name=self.pass_name,
            excerpt=excerpt(text, line),
            hint=hint,
        )

    # The header

    def header(self) -> None:
        k = self.kernel
        names = [*k.dims, *(p.name for p in k.params)]
        for name in names:
            self.new_name(name, "dim or parameter")
            if names.count(name) > 1:
                self.fail(f"the name {name!r} is declared twice")
        for p in k.params:
            for d in p.dims:
                self.dim(d, f"an extent of {p.name}")
            for other in p.may_alias:
                aliased = self.params.get(other)
                if aliased is None or aliased.mode != "in" or p.mode == "in":
                    self.fail(f"{p.name} may alias {other!r}; only outputs may, and only inputs")
        if bool(k.body) == (k.host is not None):
            self.fail("the body is empty" if k.host is None else "host beside statements")

    def new_name(self, name: str, what: str) -> None:
        if not name.replace(".", "_").isidentifier() or name in RESERVED:
            self.fail(f"{name!r} cannot be the name of: {what}")

    def dim(self, d: Dim, what: str) -> None:
        unknown = sorted(symbols_of(d) - set(self.kernel.dims))
        if unknown:
            self.fail(f"{what} uses the dim {unknown[0]!r}, which the kernel does not have")
        if isinstance(d, int) and d < 0:
            self.fail(f"{what} is {d}")

    # Statements

    def body(self, body: tuple[Stmt, ...], scope: _Scope) -> None:
        if not body:
            self.fail("an empty block of statements")
        for s in body:
            self.place = s
            if isinstance(s, Assign):
                self.assign(s, scope)
            elif isinstance(s, Par):
                self.par(s, scope)
            elif isinstance(s, Sort):
                self.sort(s, scope)
            else:
                self.for_(s, scope)

    def host(self, s: Host) -> None:
        """Checks that the op of a host kernel gives what the kernel's outputs are."""
        if s.op.family != "host":
            self.fail(f"{s.op.name} is no op that runs on the host")
        ins = [TensorType(p.dtype, p.dims) for p in self.kernel.params if p.mode == "in"]
        outs = [TensorType(p.dtype, p.dims) for p in self.kernel.params if p.mode == "out"]
        found = s.op.infer(ins, dict(zip(s.op.attrs, s.attrs, strict=True)))
        given = found.items if isinstance(found, TupleType) else (found,)
        if list(given) != outs or len(ins) + len(outs) != len(self.kernel.params):
            shown = ", ".join(map(str, given))
            self.fail(f"{s.op.name} gives {shown}, which are not the outputs' types")

    def axis(self, axis: Axis, scope: _Scope) -> None:
        self.new_name(axis.name, "axis")
        self.dim(axis.extent, f"the extent of {axis.name}")
        if axis.name in scope.at or axis.name in scope.open:
            self.fail(f"the axis {axis.name!r} is already in use here")
        if axis.name in self.kernel.dims or axis.name in self.params:
            self.fail(f"the axis {axis.name!r} has the name of a dim or parameter")
        if axis.block is not None and axis.block < 1:
            self.fail(f"the block of {axis.name} is {axis.block}")

    def par(self, s: Par, scope: _Scope) -> None:
        inner = scope.inner()
        for axis in s.axes:
            self.axis(axis, inner)
            (inner.at if axis.block is None else inner.open)[axis.name] = axis
            inner.par[axis.name] = axis
        self.body(s.body, inner)

    def for_(self, s: For, scope: _Scope) -> None:
        walked = scope.open.get(s.axis.name) == s.axis
        if not walked:
            self.axis(s.axis, scope)
        inner = scope.inner()
        for init in s.carry:
            self.place = s
            if init.accumulate or init.name in self.params:
                self.fail(f"the carry {init.name} must set a local")
            self.assign(init, inner)
        self.place = s
        if s.condition is None and s.axis.extent == ENDLESS:
            self.fail("a loop without an end needs a condition")
        if s.condition is not None:
            tested = inner.inner()
            self.enter(s.axis, tested)
            if self.expression(s.condition, tested, frozenset()) is not bool_:
                self.fail("the condition of a loop must be a bool")
        carried = frozenset(c.name for c in s.carry)
        scope.locals.update({name: inner.locals[name] for name in carried})
        inner.carried = carried
        self.enter(s.axis, inner)
        inner.ordered[s.axis.name] = s.axis
        self.body(s.body, inner)

    @staticmethod
    def enter(axis: Axis, scope: _Scope) -> None:
        scope.open = open_inside((axis,), scope.open)
        if axis.name not in scope.open:
            scope.at[axis.name] = axis

    def assign(self, s: Assign, scope: _Scope) -> None:
        own: dict[str, Axis] = {}
        for axis in s.axes:
            if scope.open.get(axis.name) != axis:
                self.axis(axis, scope)
                if axis.block is not None:
                    self.fail(f"{axis.name} is blocked, but its block is not open here")
            own[axis.name] = axis
        opened = {e.attr for root in s.ix for e in _nodes(root) if e.op == "index"}
        tile = {**{n: a for n, a in scope.open.items() if n in opened}, **own}
        usable = frozenset(tile)
        for e in s.ix:
            if self.expression(e, scope, usable) is not int64:
                self.fail(f"an index of {s.name} is {e.dtype}, not i64")
        dtype = self.expression(s.expr, scope, usable)
        if s.name in self.params:
            self.store(s, dtype, scope, tile)
        else:
            self.define(s, dtype, scope, tile)

    def store(self, s: Assign, dtype: DType, scope: _Scope, tile: dict[str, Axis]) -> None:
        p = self.params[s.name]
        if p.mode == "in":
            self.fail(f"{s.name} is an input and cannot be written")
        if len(s.ix) != len(p.dims):
            self.fail(f"{s.name} has {len(p.dims)} dims, not {len(s.ix)}")
        if p.dtype is not dtype:
            self.fail(f"{s.name} is {p.dtype}, the value {dtype}")
        if s.accumulate and not scope.ordered:
            self.fail(f"{s.name} is added to outside of any 'for'")
        axes = {**scope.par, **tile}
        if not is_injective(s.ix, axes.values(), scope.ordered.values(), tile):
            names = ", ".join(axes)
            hint = "each iteration must write elements of its own"
            self.fail(f"different iterations of {names} may write one element of {s.name}", hint)

    def define(self, s: Assign, dtype: DType, scope: _Scope, tile: dict[str, Axis]) -> None:
        self.new_name(s.name, "local")
        if s.accumulate:
            self.fail(f"{s.name} is a local and cannot be added to")
        following = s.name.startswith("next_") and s.name[5:] in scope.carried
        if s.name in scope.locals:
            self.fail(f"{s.name} is assigned twice")
        kept: list[int] = []
        for k, e in enumerate(s.ix):
            known = e.attr in tile or e.attr in scope.at if e.op == "index" else e.op == "block"
            if not known:
                self.fail(f"an index of the local {s.name} is not an axis")
            if e.op == "index" and e.attr in tile:
                kept.append(k)
        addressed = [s.ix[k].attr for k in kept]
        if sorted(addressed) != sorted(tile):
            self.fail(f"each axis of the local {s.name} must be one of its indices, once")
        dims = tuple(tile[n] if n in scope.open else tile[n].extent for n in addressed)
        local = _Local(dtype, s.ix, tuple(kept), dims)
        if following:
            before = scope.locals[s.name[5:]]
            if before.dtype is not dtype or before.tile != local.tile:
                self.fail(f"{s.name} must have the dtype and the tile of {s.name[5:]}")
        scope.locals[s.name] = local

    def sort(self, s: Sort, scope: _Scope) -> None:
        if not s.names:
            self.fail("a sort of which nothing is kept")
        inner = scope.inner()
        if inner.open.get(s.over.name) != s.over:
            self.axis(s.over, inner)
            if s.over.block is not None:
                self.fail(f"{s.over.name} is blocked, but its block is not open here")
        dtype = self.expression(s.expr, inner, frozenset({s.over.name}))
        if scope.open.get(s.axis.name) != s.axis:
            self.axis(s.axis, scope)
            if s.axis.block is not None:
                self.fail(f"{s.axis.name} is blocked, but its block is not open here")
        for name, type_ in ((s.values, dtype), (s.positions, int64)):
            if name is None:
                continue
            if name in self.params:
                self.fail(f"{name} is a parameter; the tiles of a sort are local")
            tile = Assign(name, s.ix, s.axes, s.expr)
            self.define(tile, type_, scope, {s.axis.name: s.axis})

    # Expressions

    def expression(self, e: Expr, scope: _Scope, bound: frozenset[str]) -> DType:
        """The dtype of `e`, after checks; `bound` are the axes that the place binds."""
        stack = [(e, bound)]
        seen: set[tuple[int, frozenset[str]]] = set()
        while stack:
            node, names = stack.pop()
            if (id(node), names) in seen:
                continue
            seen.add((id(node), names))
            self.node(node, scope, names)
            for axis in reduced_axes(node):
                if scope.open.get(axis.name) != axis:
                    self.axis(axis, scope)
                    if axis.block is not None:
                        self.fail(f"{axis.name} is blocked, but its block is not open here")
                if axis.name in names and axis.name not in scope.open:
                    self.fail(f"the axis {axis.name!r} is already in use here")
                names |= {axis.name}
            stack.extend((a, names) for a in node.args)
        return e.dtype

    def node(self, e: Expr, scope: _Scope, names: frozenset[str]) -> None:
        if e.op in ("index", "block"):
            self.axis_value(e, scope, names)
            return
        match e.op:
            case "const":
                kind = {"b": bool, "f": float}.get(e.dtype.kind, int)
                if type(e.attr) is not kind:
                    self.fail(f"the literal {e.attr!r} is not held as {e.dtype} is")
            case "dim":
                self.dim(e.attr, "an expression")
            case "load":
                self.load(e, scope)
            case "pad":
                self.pad(e)
            case "reduce":
                self.reduce(e)
            case "dot":
                if any(x.dtype.kind == "b" for x in (e, *e.args)):
                    self.fail("dot of bool")
            case _:
                self.operation(e)

    def axis_value(self, e: Expr, scope: _Scope, names: frozenset[str]) -> None:
        known = scope.open.get(e.attr) or scope.at.get(e.attr)
        if e.op == "block" and (known is None or known.block is None):
            self.fail(f"#{e.attr}: {e.attr!r} is not an open block")
        if e.op == "index" and e.attr not in scope.at and e.attr not in names:
            opened = e.attr in scope.open
            reason = "is open: it has to be among the indices here" if opened else "is not known"
            self.fail(f"the axis {e.attr!r} {reason}")

    def pad(self, e: Expr) -> None:
        inside, outside = e.args
        if inside.op != "load" or inside.attr not in self.params:
            self.fail("pad takes a load of a parameter")
        if outside.dtype is not inside.dtype or e.dtype is not inside.dtype:
            self.fail(f"pad of {inside.dtype} with {outside.dtype}")

    def load(self, e: Expr, scope: _Scope) -> None:
        if any(a.dtype is not int64 for a in e.args):
            self.fail(f"an index of {e.attr} is not i64")
        p = self.params.get(e.attr)
        local = scope.locals.get(e.attr)
        if p is not None:
            dtype, ranks = p.dtype, (len(p.dims),)
            if p.mode == "out" and not scope.ordered:
                self.fail(f"{e.attr} is only written; a buffer that is read is 'inout'")
        elif local is not None:
            dtype, ranks = local.dtype, (len(local.ix), len(local.kept))
            if len(e.args) == len(local.ix):
                self.local_indices(e, local)
        else:
            hint = nearest(e.attr, [*self.params, *scope.locals])
            self.fail(f"{e.attr!r} is read before it is assigned", hint)
        if len(e.args) not in ranks:
            self.fail(f"{e.attr} has {ranks[0]} dims, not {len(e.args)}")
        if e.dtype is not dtype:
            self.fail(f"{e.attr} is {dtype}, but is read as {e.dtype}")

    def local_indices(self, e: Expr, local: _Local) -> None:
        for k, (a, b) in enumerate(zip(e.args, local.ix, strict=True)):
            if k not in local.kept and a != b:
                self.fail(f"index {k} of {e.attr} must be the same as where it is assigned")

    def reduce(self, e: Expr) -> None:
        kind, _ = e.attr
        body = e.args[0].dtype
        if kind not in REDUCE_KINDS:
            self.fail(f"there is no reduction {kind!r}")
        position = kind.startswith("arg")
        logical = kind in ("any", "all")
        if e.dtype is not (int64 if position else body):
            self.fail(f"{kind} of {body} cannot be {e.dtype}")
        if (body.kind == "b") is not logical and not position:
            self.fail(f"{kind} of {body}")

    def operation(self, e: Expr) -> None:
        row = SCALAR_OPS.get(e.op)
        if row is None:
            self.fail(f"there is no operation {e.op!r}", nearest(e.op, SCALAR_OPS))
        if len(e.args) != row.arity:
            self.fail(f"{e.op} takes {row.arity} arguments, not {len(e.args)}")
        types = [a.dtype for a in e.args]
        first = literal_group(e.op)
        if any(t is not bool_ for t in types[:first]):
            self.fail(f"the condition of select is {types[0]}, not bool")
        if len(set(map(id, types[first:]))) > 1:
            self.fail(f"{e.op} of {' and '.join(map(str, types[first:]))}")
        if types[-1].kind not in row.kinds:
            self.fail(f"{e.op} does not take {types[-1]}")
        wanted = {"bool": bool_, "same": types[-1]}.get(row.result, e.dtype)
        if e.dtype is not wanted:
            self.fail(f"{e.op} of {types[-1]} gives {wanted}, not {e.dtype}")
        if e.op == "bitcast" and (e.dtype.bits != types[0].bits or e.dtype is bool_):
            self.fail(f"bitcast of {types[0]} to {e.dtype}")


def _nodes(e: Expr) -> list[Expr]:
    """The nodes of an index, not inside of reductions."""
    found, stack = [], [e]
    while stack:
        node = stack.pop()
        found.append(node)
        if not reduced_axes(node):
            stack.extend(node.args)
    return found
