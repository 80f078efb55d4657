"""Loops that live inside of one kernel.

Where each iteration only computes elements from elements at the same place, nothing needs memory
between iterations: carries are locals, and each element goes through the whole loop by itself.

    par i<N:
     for t<T carry x[i]=x0[i]: next_x[i] = 0.5*(x[i]+a[i]/x[i]);  y[t,i] = x[i]
     o[i] = x[i]

All carries that are no scalars have one shape, and scalars are computed again for each element: a
second nest keeps those that are results. Loops with a condition have scalars alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from dlc.codegen.kernel_ir import ENDLESS, Assign, For, Par, Param, Stmt
from dlc.codegen.lower import RESERVED, Arg, LoweredKernel, Names
from dlc.codegen.parameterise import parameterise
from dlc.ir import scalar
from dlc.ir.core import Function, Node
from dlc.ir.dims import TRIPS, Dim, product
from dlc.ir.inline import Inliner
from dlc.ir.ops.control import scan_parts
from dlc.ir.record import dataclass, field, replace
from dlc.ir.scalar import Axis, Expr, walk
from dlc.ir.types import Shape, TensorType, int64

_OPERATIONS = 400  # of a body, whose values registers hold
_NEAR = 1024  # elements of what each iteration reads or writes, for one to be near the last one's

_Ix = tuple[Expr, ...]


class _Unfit(Exception):
    """The loop needs memory between its iterations."""


def lower_loop(node: Node, read: Collection[int]) -> LoweredKernel | None:
    """The kernel that a fused loop is.

    Args:
        node: A `while` or `scan` whose functions are fused.
        read: The results that something reads; others are not computed.

    Returns:
        None where the loop is no such one: it runs as steps of the program.
    """
    try:
        return _LoopKernel(node, read).lower()
    except _Unfit:
        return None


class _LoopKernel:
    """A loop with the names of what it reads and writes."""

    def __init__(self, node: Node, read: Collection[int]) -> None:
        self.node, self.names = node, Names(RESERVED)
        self.body: Function = node.attrs["body"]
        self.cond: Function | None = node.attrs.get("cond")
        if self.cond is None:
            if node.attrs["length"] == TRIPS:
                raise _Unfit
            _, self.consts, self.carries, self.xs = scan_parts(node.inputs, node.attrs)
        else:
            count = node.attrs["consts"]
            self.consts, self.carries, self.xs = node.inputs[:count], node.inputs[count:], []
        n = len(self.carries)
        self.counted = bool(node.attrs.get("counted"))
        self.first_y = n + self.counted
        self.ys = self.body.results[n:]
        self.read = sorted(read)
        self.types = [r.tensor for r in self.body.results[:n]]
        self.types += [TensorType(int64)] * self.counted + [y.tensor for y in self.ys]
        self.shape = self._shape()
        self.params = {k: self.names.make(p.name or "p") for k, p in enumerate(self.body.params)}
        self.outs = {k: self.names.make("o" if len(self.read) == 1 else f"o{k}") for k in self.read}

    def _shape(self) -> Shape:
        """The shape of all that is no scalar; of a loop with a condition there is nothing such."""
        moving = [x.shape[1:] for x in self.xs] + [y.shape for y in self.ys]
        shapes = {*(t.shape for t in self.types), *moving} - {()}
        if len(shapes) > 1 or (self.cond is not None and (shapes or self.ys)):
            raise _Unfit
        if not shapes:
            return ()
        (shape,) = shapes
        size = product(shape)
        if any(moving) and not (isinstance(size, int) and size <= _NEAR):
            raise _Unfit
        return shape

    def lower(self) -> LoweredKernel:
        """The kernel: a nest for the elements, and one for scalars."""
        operations = [n for f in self._functions() for n in _operations(f)]
        if len(operations) > _OPERATIONS or not self.read:
            raise _Unfit
        if any(n.op.lower is None or n.op.effect for n in operations):
            raise _Unfit
        nests: list[Stmt] = []
        for rows in dict.fromkeys((self.shape, ())):
            wanted = [k for k in self.read if self.types[k].shape == rows]
            if wanted:
                nests.append(_Nest(self, rows, wanted).statement())
        ins = [
            Param(name, "in", x.tensor.dtype, x.shape)
            for x, name in zip(self._operands(), self.params.values(), strict=True)
        ]
        outs = [
            Param(n, "out", self.types[k].dtype, self._out_shape(k)) for k, n in self.outs.items()
        ]
        kernel, dims = parameterise(
            "while" if self.cond else "scan",
            (*ins, *outs),
            nests,
            tuple(self.names.taken),
            [ENDLESS],
        )
        first = len(self.node.inputs) - len(ins)
        known = {n: Arg("param", first + k) for k, n in self.params.items()}
        known |= {n: Arg("result", k) for k, n in self.outs.items()}
        return LoweredKernel(kernel, dims, tuple(known[p.name] for p in kernel.params))

    def _operands(self) -> list[Node]:
        return [*self.consts, *self.carries, *self.xs]

    def _functions(self) -> list[Function]:
        return [self.body] if self.cond is None else [self.cond, self.body]

    def _out_shape(self, k: int) -> Shape:
        own = self.types[k].shape
        return (self.node.attrs["length"], *own) if k >= self.first_y else own


def _operations(function: Function) -> list[Node]:
    """What the fusions of a function compute, which is all there is in it."""
    if any(n.op.name not in ("fusion", "get", "constant") for n in function.nodes):
        raise _Unfit
    return [n for f in function.nodes if f.op.name == "fusion" for n in f.attrs["body"].nodes]


@dataclass
class _Nest:
    """The loop for the elements of some results, which are all of one shape."""

    loop: _LoopKernel
    rows: Shape
    wanted: Sequence[int]
    carried: dict[int, str] = field(default_factory=dict)
    made: dict[tuple[Node, Node], Expr] = field(default_factory=dict)
    stmts: list[Assign] = field(default_factory=list)

    def __post_init__(self) -> None:
        names, node = self.loop.names, self.loop.node
        self.axes = tuple(Axis(names.make(f"i{k}"), d) for k, d in enumerate(self.rows))
        self.at = tuple(scalar.index(a.name) for a in self.axes)
        length: Dim = ENDLESS if self.loop.cond else node.attrs["length"]
        self.step = Axis(names.make("t"), length)
        self.now: Expr = scalar.index(self.step.name)
        if node.attrs.get("reverse"):
            last = scalar.sub_index(scalar.dim(length), scalar.const(1, int64))
            self.now = scalar.sub_index(last, self.now)

    def statement(self) -> Stmt:
        """The nest."""
        loop, body = self.loop, self.loop.body
        n = len(loop.carries)
        condition = None
        if loop.cond is not None:
            condition = self._element(loop.cond, loop.cond.results[0], ())
        stores: list[Assign] = []
        for k in self.wanted:
            if k >= loop.first_y:
                y = loop.ys[k - loop.first_y]
                value = self._element(body, y, self._own(y.shape))
                place = (self.now, *self._own(y.shape))
                stores.append(Assign(loop.outs[k], place, (), value))
            elif k < n:
                self._carry(k)
        nexts: list[Assign] = []
        while len(nexts) < len(self.carried):  # what the next value of one needs may be another one
            k, name = list(self.carried.items())[len(nexts)]
            r = body.results[k]
            value = self._element(body, r, self._own(r.shape))
            nexts.append(Assign("next_" + name, self.at, (), value))
        carry = [self._first(k, name) for k, name in self.carried.items()]
        left = [(loop.outs[k], k) for k in self.wanted if k < n]
        results = [Assign(o, self._own(loop.types[k].shape), (), self._held(k)) for o, k in left]
        if loop.counted and n in self.wanted:
            count = self._new("count")
            carry.append(Assign(count, self.at, (), scalar.const(0, int64)))
            held = scalar.load(count, self.at, int64)
            more = scalar.op("add", held, scalar.const(1, int64))
            nexts.append(Assign("next_" + count, self.at, (), more))
            results.append(Assign(loop.outs[n], (), (), held))
        inside = self._joined(nexts, stores)
        if not inside:
            raise _Unfit
        return Par(self.axes, (For(self.step, inside, tuple(carry), condition), *results))

    def _joined(self, nexts: Sequence[Assign], stores: Sequence[Assign]) -> tuple[Assign, ...]:
        """The statements of an iteration; what is only handed on has no name besides."""
        named = {s.name: s for s in self.stmts}
        later = [*nexts, *stores]
        uses = Counter(
            e.attr for s in (*self.stmts, *later) for e in walk(s.expr) if e.op == "load"
        )
        found: list[Assign] = []
        for s in later:
            once = s.expr.op == "load" and s.expr.attr in named and uses[s.expr.attr] == 1
            found.append(replace(s, expr=named.pop(s.expr.attr).expr) if once else s)
        return (*named.values(), *found)

    def _new(self, wanted: str) -> str:
        names = self.loop.names
        name = names.make(wanted)
        names.taken.add("next_" + name)
        return name

    def _own(self, shape: Shape) -> _Ix:
        return self.at if shape else ()

    # Carries

    def _carry(self, k: int) -> str:
        if k not in self.carried:
            self.carried[k] = self._new(
                self.loop.body.params[len(self.loop.consts) + k].name or "c"
            )
        return self.carried[k]

    def _held(self, k: int) -> Expr:
        return scalar.load(self._carry(k), self.at, self.loop.types[k].dtype)

    def _first(self, k: int, name: str) -> Assign:
        given = self.loop.params[len(self.loop.consts) + k]
        type_ = self.loop.types[k]
        value = scalar.load(given, self._own(type_.shape), type_.dtype)
        return Assign(name, self.at, (), value)

    # Elements

    def _element(
        self, function: Function, node: Node, ix: _Ix, within: Inliner | None = None
    ) -> Expr:
        """The element of a node of the body or of the condition; see `Inliner` for `within`."""
        if node.op.name == "param":
            return self._param(function.params.index(node), node, ix)
        if node.op.name == "constant" and not node.shape:
            return scalar.const(node.attrs["value"].item(), node.tensor.dtype)
        source, k = (node.inputs[0], node.attrs["index"]) if node.op.name == "get" else (node, 0)
        if source.op.name != "fusion" or node.shape not in ((), self.rows):
            raise _Unfit
        if ix != self._own(node.shape):
            raise _Unfit  # another place of what is computed
        return self._computed(function, source, source.attrs["body"].results[k], within)

    def _param(self, k: int, node: Node, ix: _Ix) -> Expr:
        loop = self.loop
        carry = k - len(loop.consts)
        x = carry - len(loop.carries)
        if carry >= 0 and x < 0:
            if node.shape not in ((), self.rows) or ix != self._own(node.shape):
                raise _Unfit
            return self._held(carry)
        place = ix if x < 0 else (self.now, *ix)
        return scalar.load(loop.params[k], place, node.tensor.dtype)

    def _computed(
        self, function: Function, fusion: Node, node: Node, within: Inliner | None
    ) -> Expr:
        """A value of a fusion, in a local; a condition, which has no statements, has none."""
        found = self.made.get((fusion, node))
        if found is not None:
            return found
        body: Function = fusion.attrs["body"]
        given = dict(zip(body.params, fusion.inputs, strict=True))
        several = {n for n, users in body.users().items() if len(users) > 1} | {*body.results}

        def leaf(x: Node, ix: _Ix) -> Expr | None:
            if x in given:
                return self._element(function, given[x], ix, inliner)
            kept = x in several and x.op.cost > 0 and x.shape in ((), self.rows)
            if not kept or x is node or ix != self._own(x.shape):
                return None
            return self._computed(function, fusion, x, inliner)

        inliner = Inliner(leaf, {a.name: a.extent for a in (*self.axes, self.step)}, within)
        value = (
            inliner.computed(node, self._own(node.shape))
            if node not in given
            else leaf(node, self._own(node.shape))
        )
        assert value is not None
        if any(e.op in ("reduce", "dot") for e in walk(value)):
            raise _Unfit
        if function is not self.loop.cond and value.op not in ("load", "const"):
            name = self.loop.names.make("v")
            self.stmts.append(Assign(name, self.at, (), value))
            value = scalar.load(name, self.at, value.dtype)
        self.made[fusion, node] = value
        return value
