"""The tensor IR: immutable nodes and functions.

A node is one application of an op; it is also the value that the op results in. A function lists
its nodes in an order in which inputs come before users. Passes build new functions and share the
nodes that they do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from dlc.ir.dims import Dim, DimExpr, Range, ranges_of
from dlc.ir.types import TensorType, TupleType, Type

if TYPE_CHECKING:
    from dlc.ir.location import SourceLocation
    from dlc.ir.op import Op


class Node:
    """One application of an op.

    Immutable; compared by identity (`dlc.ir.equal` compares by structure).
    """

    __slots__ = ("__weakref__", "attrs", "inputs", "loc", "name", "op", "type")
    op: Op
    inputs: tuple[Node, ...]
    attrs: Mapping[str, Any]
    type: Type
    loc: SourceLocation | None
    name: str | None

    def __init__(
        self,
        op: Op,
        inputs: tuple[Node, ...],
        attrs: Mapping[str, Any],
        type_: Type,
        loc: SourceLocation | None = None,
        name: str | None = None,
    ) -> None:
        self.op, self.inputs, self.attrs, self.type = op, inputs, attrs, type_
        self.loc, self.name = loc, name

    @property
    def tensor(self) -> TensorType:
        """The type of a node that is one tensor; of several results, `get` reads one."""
        if isinstance(self.type, TupleType):
            raise TypeError(f"{self.op.name} has several results")
        return self.type

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The dims of a node that is one tensor."""
        return self.tensor.shape

    def __repr__(self) -> str:
        return f"<{self.op.name} : {self.type}>"


class Function:
    """Parameters, nodes and results.

    `nodes` holds every node but the parameters, inputs before users.
    """

    __slots__ = ("digest", "name", "nodes", "params", "results")
    name: str
    params: tuple[Node, ...]
    nodes: tuple[Node, ...]
    results: tuple[Node, ...]

    def __init__(
        self,
        name: str,
        params: Iterable[Node],
        results: Iterable[Node],
        nodes: Iterable[Node] | None = None,
    ) -> None:
        """Without `nodes`, they are those the results need, in a depth-first order."""
        self.name, self.params, self.results = name, tuple(params), tuple(results)
        self.digest: str | None = None  # see `dlc.ir.equal.structural_hash`
        self.nodes = tuple(nodes) if nodes is not None else reachable(self.results)

    def __repr__(self) -> str:
        return f"<Function {self.name}: {len(self.params)} params, {len(self.nodes)} nodes>"

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of the parameters' dims, in order of first use."""
        return tuple(self.ranges)

    @property
    def ranges(self) -> dict[str, Range]:
        """The same, with what they may be."""
        found: dict[str, Range] = {}
        for p in self.params:
            for d in p.shape:
                if isinstance(d, DimExpr):
                    found.update(sorted(ranges_of(d), key=itemgetter(0)))
        return found

    def with_results(
        self, results: Iterable[Node], nodes: Iterable[Node] | None = None
    ) -> Function:
        """The same parameters with other results."""
        return Function(self.name, self.params, results, nodes)

    def rebuilt(self, new: Mapping[Node, Node]) -> Function:
        """What results and effects need of other nodes.

        Args:
            new: For each node of the function, what has taken its place.
        """
        effects = [new[n] for n in self.nodes if has_effect(n)]
        results = [new[r] for r in self.results]
        return self.with_results(results, reachable([*effects, *results]))

    def users(self) -> dict[Node, list[Node]]:
        """The nodes that read each node, a reader once for each input."""
        found: dict[Node, list[Node]] = {n: [] for n in (*self.params, *self.nodes)}
        for n in self.nodes:
            for x in n.inputs:
                found[x].append(n)
        return found


def reachable(results: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes that `results` need, inputs first, parameters left out; without recursion."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(r, False) for r in reversed(results)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            if node.op.name == "param":
                continue
            stack.append((node, True))
            stack.extend((x, False) for x in reversed(node.inputs) if x not in seen)
    return tuple(order)


def bodies(node: Node) -> Iterator[tuple[str, Function]]:
    """The functions that a node carries as attributes; of several in a list each by its number."""
    if not node.op.carries:
        return
    for name, value in node.attrs.items():
        if isinstance(value, Function):
            yield name, value
        elif isinstance(value, tuple):
            for k, item in enumerate(value):  # pyright: ignore[reportUnknownVariableType]
                if isinstance(item, Function):
                    yield f"{name}[{k}]", item


def all_nodes(function: Function) -> Iterator[Node]:
    """The nodes of a function and of the functions inside."""
    for node in function.nodes:
        yield node
        for _, body in bodies(node):
            yield from all_nodes(body)


def has_effect(node: Node) -> bool:
    """Whether `node`, or one in what it carries, does something besides computing a result."""
    if node.op.effect or not node.op.carries:
        return node.op.effect
    return any(has_effect(n) for _, body in bodies(node) for n in body.nodes)


def live_nodes(nodes: Iterable[Node], results: Sequence[Node]) -> set[Node]:
    """What results need, and what `nodes` with effects do."""
    return set(reachable([*results, *(n for n in nodes if has_effect(n))]))


def has_bodies(function: Function) -> bool:
    """Whether a node of `function` runs functions that it carries."""
    return any(n.op.family == "control" for n in function.nodes)


def with_bodies(node: Node, transform: Callable[[Function], Function]) -> Node:
    """`node` with each function that it carries transformed; itself when none changes."""
    if not node.op.carries:
        return node
    found: dict[str, Any] = {}
    for name, value in node.attrs.items():
        if isinstance(value, Function):
            made: Any = transform(value)
            changed = made is not value
        elif isinstance(value, tuple) and any(isinstance(v, Function) for v in value):  # pyright: ignore[reportUnknownVariableType]
            items: tuple[Any, ...] = value
            made = tuple(transform(v) for v in items)
            changed = any(a is not b for a, b in zip(made, items, strict=True))
        else:
            continue
        if changed:
            found[name] = made
    if not found:
        return node
    return Node(node.op, node.inputs, {**node.attrs, **found}, node.type, node.loc, node.name)


def map_bodies(function: Function, transform: Callable[[Function], Function]) -> Function:
    """`function` with the bodies of its loops and branches transformed; itself if none changes."""
    new: dict[Node, Node] = {p: p for p in function.params}
    nodes: list[Node] = []
    for node in function.nodes:
        kept = with_inputs(node, tuple(new[x] for x in node.inputs))
        new[node] = with_bodies(kept, transform) if node.op.family == "control" else kept
        nodes.append(new[node])
    if all(a is b for a, b in zip(nodes, function.nodes, strict=True)):
        return function
    return function.with_results((new[r] for r in function.results), nodes)


def substitute_nodes(
    function: Function, transform: Callable[[Node, tuple[Node, ...]], Node]
) -> Function:
    """Rebuilds `function`: each node becomes `transform(node, its new inputs)`.

    `transform` returns the node itself to keep it. The result is `function` itself when nothing
    changed.
    """
    new: dict[Node, Node] = {p: p for p in function.params}
    changed = False
    for node in function.nodes:
        inputs = tuple(new[x] for x in node.inputs)
        result = transform(node, inputs)
        changed |= result is not node
        new[node] = result
    return function.rebuilt(new) if changed else function


def with_inputs(node: Node, inputs: tuple[Node, ...]) -> Node:
    """`node` over other inputs of the same types; itself when they are the same nodes."""
    if inputs == node.inputs:  # nodes are compared by identity
        return node
    return Node(node.op, inputs, node.attrs, node.type, node.loc, node.name)
