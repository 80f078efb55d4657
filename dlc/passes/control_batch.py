"""Batching of loops and branches.

Branches that differ from element to element all run, and results are chosen. A loop whose condition
differs goes on until no element wants to; carries of the others stay as they are. What iterations
leave, stacked, has the batch axis after that of the iterations where their number is not known
(`TRIPS`), and such a loop's other rows count for nothing.

Elements that do not take a branch, or are done with a loop, go through it with the operands of one
that does: with their own a loop inside might never end, and a derivative might be infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.dims import TRIPS, Dim
from dlc.ir.ops.batching import batch_size, repeated
from dlc.ir.types import TensorType, int64

# (function, flags of parameters, size, flags of results) to the batched function and what it has.
Batch = Callable[[Function, Sequence[bool], Dim, "Sequence[bool] | bool"], "tuple[Function, Any]"]


def batch_control(
    batch: Batch, b: IRBuilder, node: Node, inputs: Sequence[Node], flags: Sequence[bool]
) -> tuple[Node, ...]:
    """The results of a loop or of branches for every element, all with a batch axis.

    Args:
        batch: Batches bodies.
        b: Gets the nodes.
        node: The loop or the branches.
        inputs: Its operands, batched where `flags` say so.
        flags: For each operand, whether it has a batch axis.
    """
    size = _batch_size(inputs, flags)
    work = _Batching(batch, b, node, size)
    match node.op.name:
        case "switch":
            return tuple(work.switch(inputs, flags))
        case "while":
            return tuple(work.while_loop(inputs, flags))
        case _:
            return tuple(work.scan(inputs, flags))


def _batch_size(inputs: Sequence[Node], flags: Sequence[bool]) -> Dim:
    for x, has in zip(inputs, flags, strict=True):
        if has and x.shape[0] == TRIPS:
            return x.shape[1]
    return batch_size(inputs, flags)


def inline(b: IRBuilder, function: Function, arguments: Sequence[Node]) -> list[Node]:
    """The results of a function of these arguments, its nodes appended to `b`.

    All of them are new, those without operands too: the function may be written out twice.
    """
    new: dict[Node, Node] = dict(zip(function.params, arguments, strict=True))
    for n in function.nodes:
        inputs = tuple(new[x] for x in n.inputs)
        new[n] = Node(n.op, inputs, n.attrs, n.type, n.loc, n.name)
        b.nodes.append(new[n])
    return [new[r] for r in function.results]


def _chosen(b: IRBuilder, flags: Node, x: Node, y: Node) -> Node:
    """For each element of the batch, `x` or `y`."""
    shape = x.shape
    wide = b.reshape(flags, shape=(shape[0], *(1 for _ in shape[1:])))
    return b.select(b.broadcast_to(wide, shape=shape), x, y)


def _as_those(
    b: IRBuilder, mine: Node, operands: Sequence[Node], flags: Sequence[bool]
) -> list[Node]:
    """`operands`, in which elements outside `mine` have the values of one that is among them.

    No cotangent goes from the others to that one. Where there is none, they are any element's.
    """
    size = mine.shape[0]
    if size == 0 or not any(flags):
        return list(operands)
    number = b.iota(shape=(size,), axis=0, dtype=int64)
    least = b.full(value=-1, shape=(size,), dtype=int64)
    one = b.reduce_max(b.select(mine, number, least), axes=(0,))
    # Of a batch that may have no elements no single one can be read.
    source = one if isinstance(size, int) else b.broadcast_to(one, shape=(size,))

    def settled(x: Node) -> Node:
        found = b.take(x, source, axis=0)
        wide = repeated(b, found, size) if isinstance(size, int) else found
        return _chosen(b, mine, x, b.stop_gradient(wide))

    return [settled(x) if has else x for x, has in zip(operands, flags, strict=True)]


class _Batching:
    def __init__(self, batch: Batch, b: IRBuilder, node: Node, size: Dim) -> None:
        self.batch, self.b, self.node, self.size = batch, b, node, size

    def _all(self, xs: Sequence[Node], flags: Sequence[bool]) -> list[Node]:
        """Values with a batch axis each."""
        return [
            x if has else repeated(self.b, x, self.size) for x, has in zip(xs, flags, strict=True)
        ]

    # Branches.

    def switch(self, inputs: Sequence[Node], flags: Sequence[bool]) -> list[Node]:
        b, (index, *operands) = self.b, inputs
        branches: tuple[Function, ...] = self.node.attrs["branches"]
        made = tuple(self.batch(f, flags[1:], self.size, True)[0] for f in branches)
        if len(made) == 1:
            return inline(b, made[0], operands)
        if not flags[0]:
            whole = b.emit(self.node.op, inputs, {"branches": made})
            return [b.get(whole, index=k) for k in range(len(made[0].results))]
        numbers = [b.full(value=k, shape=index.shape, dtype=int64) for k in range(len(made))]
        results: list[list[Node]] = []
        for k, f in enumerate(made):
            mine = self._taking(index, k, numbers)
            results.append(self._branch(f, mine, _as_those(b, mine, operands, flags[1:])))
        found = results[0]
        for number, others in zip(numbers[1:], results[1:], strict=True):
            reached = b.ge(index, number)
            found = [_chosen(b, reached, x, y) for x, y in zip(others, found, strict=True)]
        return found

    def _taking(self, index: Node, k: int, numbers: Sequence[Node]) -> Node:
        """Which elements take a branch: those to whose number it is the nearest."""
        if k == 0:
            return self.b.lt(index, numbers[1])
        same = self.b.ge if k == len(numbers) - 1 else self.b.eq
        return same(index, numbers[k])

    def _branch(self, f: Function, mine: Node, operands: Sequence[Node]) -> list[Node]:
        """The results of a branch; one with a loop inside runs only if an element takes it."""
        b = self.b
        if not any(n.op.family == "control" for n in f.nodes):
            return inline(b, f, operands)
        other = IRBuilder(self.node.loc)
        params = [other.param(x.tensor) for x in operands]
        nothing = [other.const(0, r.tensor) for r in f.results]
        skipped = other.function(f.name, params, nothing)
        taken = b.convert(b.reduce_any(mine, axes=(0,)), dtype=int64)
        whole = b.switch(taken, *operands, branches=(skipped, f))
        return [b.get(whole, index=k) for k in range(len(f.results))]

    # Loops.

    def _settled(self, body: Function, flags: Sequence[bool], first: int, count: int) -> list[bool]:
        """The flags of parameters when carries have those that the body gives them."""
        known = list(flags)
        while True:
            found = self.batch(body, known, self.size, False)[1]
            if not any(found[k] and not known[first + k] for k in range(count)):
                return known
            for k in range(count):
                known[first + k] = known[first + k] or found[k]

    def while_loop(self, inputs: Sequence[Node], flags: Sequence[bool]) -> list[Node]:
        node, b = self.node, self.b
        a: int = node.attrs["consts"]
        n = len(inputs) - a
        body: Function = node.attrs["body"]
        known = self._settled(body, flags, a, n)
        cond, (asks,) = self.batch(node.attrs["cond"], known, self.size, False)
        if asks:
            return self._masked_while(inputs, flags, [*known[:a], *(True for _ in range(n))])
        left = len(body.results) - n
        wanted = [*known[a:], *(True for _ in range(left))]
        made, _ = self.batch(body, known, self.size, wanted)
        operands = [*inputs[:a], *self._as(inputs[a:], flags[a:], known[a:])]
        whole = b.emit(node.op, operands, {**node.attrs, "cond": cond, "body": made})
        return self._results(whole, wanted, n)

    def _as(self, xs: Sequence[Node], flags: Sequence[bool], wanted: Sequence[bool]) -> list[Node]:
        return [
            repeated(self.b, x, self.size) if want and not has else x
            for x, has, want in zip(xs, flags, wanted, strict=True)
        ]

    def _results(self, whole: Node, flags: Sequence[bool], carries: int) -> list[Node]:
        """All results of a loop with a batch axis; `flags` are those of its body's results."""
        b = self.b
        counted = whole.attrs.get("counted", False)
        has = [*flags[:carries], *([False] if counted else []), *flags[carries:]]
        parts = [b.get(whole, index=k) for k in range(len(has))]
        return self._all(parts, has)

    def _masked_while(
        self, inputs: Sequence[Node], flags: Sequence[bool], known: Sequence[bool]
    ) -> list[Node]:
        """A loop that goes on until no element wants to.

        Which do, and how often each has run, are carries in front of the others. Behind these are
        those with which each has last gone on: it goes through later iterations with them. One that
        never does has another's, of constants too.
        """
        node, b, size = self.node, self.b, self.size
        a: int = node.attrs["consts"]
        cond, _ = self.batch(node.attrs["cond"], known, size, True)
        body, _ = self.batch(node.attrs["body"], known, size, True)
        consts, carries = list(inputs[:a]), self._all(inputs[a:], flags[a:])
        n = len(carries)
        (first,) = inline(b, cond, [*consts, *carries])
        zero = b.full(value=0, shape=(size,), dtype=int64)
        settled = _as_those(b, first, [*consts, *carries], known)
        groups = (consts, settled[:a], [first, zero], carries, settled[a:])
        operands = [x for group in groups for x in group]
        inner = IRBuilder(node.loc)
        own, steady, (going, count), held, last = (
            [inner.param(x.tensor) for x in group] for group in groups
        )
        mine = [*own, *steady, going, count, *held, *last]
        given = [
            _chosen(inner, going, x, inner.stop_gradient(y))
            for x, y in zip(held, last, strict=True)
        ]
        found = inline(inner, body, [*steady, *given])
        kept = [_chosen(inner, going, x, y) for x, y in zip(found[:n], held, strict=True)]
        (again,) = inline(inner, cond, [*own, *kept])
        ran = inner.add(count, inner.convert(going, dtype=int64))
        left = [inner.stop_gradient(x) for x in given]
        results = [inner.bit_and(going, again), ran, *kept, *left, *found[n:]]
        loop = inner.function(body.name, mine, results)
        asking = IRBuilder(node.loc)
        params = [asking.param(p.tensor) for p in mine]
        wants = asking.reduce_any(params[2 * a], axes=(0,))
        goes_on = asking.function(cond.name, params, [wants])
        attrs = {**node.attrs, "cond": goes_on, "body": loop, "consts": 2 * a}
        whole = b.emit(node.op, operands, attrs)
        parts = [b.get(whole, index=k) for k in range(len(whole.type.items))]  # type: ignore[union-attr]
        if not node.attrs["counted"]:
            return parts[2 : n + 2]
        return [*parts[2 : n + 2], parts[1], *parts[2 * n + 3 :]]

    def scan(self, inputs: Sequence[Node], flags: Sequence[bool]) -> list[Node]:
        node = self.node
        length = node.attrs["length"]
        counted = length == TRIPS
        operands, has = list(inputs[counted:]), list(flags[counted:])
        a: int = node.attrs["consts"]
        n: int = node.attrs["carries"]
        for k in range(a + n, len(operands)):
            if has[k]:
                operands[k] = self._rows(operands[k])
        body: Function = node.attrs["body"]
        if counted and flags[0]:
            same = self._same_count(inputs[0])
            if same is None:
                return self._masked_scan(inputs[0], operands, has)
            inputs = [same, *inputs[1:]]
        known = self._settled(body, has, a, n)
        left = len(body.results) - n
        wanted = [*known[a : a + n], *(True for _ in range(left))]
        made, _ = self.batch(body, known, self.size, wanted)
        given = [*operands[:a], *self._as(operands[a : a + n], has[a : a + n], known[a : a + n])]
        first = inputs[:1] if counted else []
        attrs = {**node.attrs, "body": made}
        whole = self.b.emit(node.op, [*first, *given, *operands[a + n :]], attrs)
        found = self._results(whole, wanted, n)
        return [*found[:n], *(x if counted else self._front(x) for x in found[n:])]

    @staticmethod
    def _same_count(count: Node) -> Node | None:
        """How often a loop runs, where that is the same for all elements."""
        (source, *_) = (*count.inputs, None)
        repeats = count.op.name == "broadcast_to" and source is not None and not source.shape
        return source if repeats else None

    def _rows(self, x: Node) -> Node:
        """What is stacked, with the axis of the iterations in front of that of the batch."""
        return x if x.shape[0] == TRIPS else _swapped(self.b, x)

    def _front(self, x: Node) -> Node:
        return _swapped(self.b, x)

    def _masked_scan(
        self, count: Node, operands: Sequence[Node], has: Sequence[bool]
    ) -> list[Node]:
        """A loop of which each element takes the first rows, as many as its count says.

        The number of the row is a carry in front of the others.
        """
        node, b, size = self.node, self.b, self.size
        a: int = node.attrs["consts"]
        n: int = node.attrs["carries"]
        known = [*has[:a], *(True for _ in range(n)), *has[a + n :]]
        body, _ = self.batch(node.attrs["body"], known, size, True)
        one, zero = (b.full(value=k, shape=(), dtype=int64) for k in (1, 0))
        most = b.max(b.reduce_max(count, axes=(0,)), zero)  # where there are no elements
        backwards: bool = node.attrs["reverse"]
        first = b.sub(most, one) if backwards else zero
        carries = self._all(operands[a : a + n], has[a : a + n])
        inner = IRBuilder(node.loc)
        rows = [x.tensor.with_shape(x.shape[1:]) for x in operands[a + n :]]
        limit, *consts = (inner.param(x.tensor) for x in (count, *operands[:a]))
        number = inner.param(TensorType(int64))
        held = [inner.param(x.tensor) for x in carries]
        stacked = [inner.param(t) for t in rows]
        going = inner.lt(inner.broadcast_to(number, shape=(size,)), limit)
        found = inline(inner, body, _as_those(inner, going, [*consts, *held, *stacked], known))
        kept = [_chosen(inner, going, x, y) for x, y in zip(found[:n], held, strict=True)]
        left = [_chosen(inner, going, x, inner.const(0, x.tensor)) for x in found[n:]]
        step = inner.full(value=-1 if backwards else 1, shape=(), dtype=int64)
        results = [inner.add(number, step), *kept, *left]
        loop = inner.function(body.name, [limit, *consts, number, *held, *stacked], results)
        attrs = {**node.attrs, "body": loop, "consts": a + 1, "carries": n + 1}
        given = [most, count, *operands[:a], first, *carries, *operands[a + n :]]
        whole = b.emit(node.op, given, attrs)
        return [b.get(whole, index=k) for k in range(1, len(results))]


def _swapped(b: IRBuilder, x: Node) -> Node:
    return b.transpose(x, axes=(1, 0, *range(2, x.tensor.rank)))
