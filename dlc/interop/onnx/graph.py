"""Graphs of a model, read from their protobufs: nodes in order, what they use, known values."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.interop.onnx.operator_table import Row, find
from dlc.ir.errors import FileFormatError, ModelError
from dlc.nn import RandomState

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, ValueInfoProto

_MISSING = object()


class Known(NamedTuple):
    """What the model says of an input or output; None where it does not say."""

    name: str
    kind: int | None
    shape: tuple[int | str | None, ...] | None
    form: str  # tensor, sequence, optional, ...


class Library:
    """What is common to the graphs of a model: opset versions and local functions."""

    def __init__(
        self, opsets: Mapping[str, int], functions: Iterable[FunctionProto], arrays: Any
    ) -> None:
        self.opsets = {("" if d == "ai.onnx" else d): v for d, v in opsets.items()}
        self.functions = {(f.domain, f.name, getattr(f, "overload", "")): f for f in functions}
        self.arrays = arrays  # turns a TensorProto into an array
        self.random_states: list[RandomState] = []

    def with_opsets(self, opsets: Mapping[str, int]) -> Library:
        """The same with other opset versions, for a function."""
        other = copy.copy(self)
        other.opsets = dict(opsets)
        return other

    def start_random(self) -> None:
        """Makes the stream of keys for nodes without a seed; not possible in a trace."""
        if not self.random_states:
            self.random_states.append(RandomState())

    @property
    def random(self) -> RandomState:
        """The stream of keys for nodes without a seed."""
        return self.random_states[0]

    def version(self, domain: str) -> int:
        """The opset version of a domain; 1 where the model does not import it."""
        return self.opsets.get("" if domain == "ai.onnx" else domain, 1)


class Node:
    """An operator with its attributes and the names of its inputs and outputs."""

    def __init__(self, proto: NodeProto, library: Library, outer: Mapping[str, Any]) -> None:
        self.op, self.domain = proto.op_type, proto.domain
        self.name = proto.name
        self.inputs = list(proto.input)
        self.outputs = list(proto.output)
        _check_text([self.op, self.domain, self.name, *self.inputs, *self.outputs])
        self.library = library
        self.version = library.version(proto.domain)
        self.attributes = {
            a.name: _attribute(a, library, outer)
            for a in proto.attribute
            if not a.ref_attr_name or a.ref_attr_name in outer
        }
        self.row: Row | None = None
        self.body: Graph | None = None  # of a function
        self._bind(proto)
        self.uses = self._uses()

    def __str__(self) -> str:
        made = ", ".join(self.outputs)
        name = f" {self.name!r}" if self.name else ""
        return f"node{name}: {self.op}({', '.join(self.inputs)}) -> {made}"

    def attr(self, name: str, default: Any = _MISSING) -> Any:
        """An attribute, or `default`.

        Raises:
            ModelError: It has to be there and is not.
        """
        value = self.attributes.get(name, default)
        if value is _MISSING:
            raise ModelError(f"{self.op} needs the attribute {name!r}")
        return value

    def wants(self, k: int) -> bool:
        """Whether output k is used."""
        return k < len(self.outputs) and self.outputs[k] != ""

    def _bind(self, proto: NodeProto) -> None:
        key = (proto.domain, proto.op_type, getattr(proto, "overload", ""))
        function = self.library.functions.get(key)
        if function is None:
            self.row = find(proto.domain, proto.op_type, self.version)
            if self.row is None:
                function = _standard_function(proto, self.library)
            elif self.row.random:
                self.library.start_random()
        if function is not None:
            given = {**_defaults(function), **self.attributes}
            self.body = function_graph(function, self.library, given)

    def _uses(self) -> list[str]:
        """The names of the values that it reads, also inside of its graphs."""
        used = [name for name in self.inputs if name]
        for value in self.attributes.values():
            for graph in value if isinstance(value, list) else [value]:
                if isinstance(graph, Graph):
                    used.extend(graph.free)
        return list(dict.fromkeys(used))


class Graph:
    """Nodes in an order in which they can be computed.

    free: names that it takes from the graphs around it.
    declared: what the model says of the outputs; nothing for a function.
    """

    def __init__(
        self,
        name: str,
        nodes: list[Node],
        inputs: list[str],
        outputs: list[str],
        values: dict[str, Any],
        declared: Sequence[Known] = (),
    ) -> None:
        self.name = name
        self.declared = declared
        self.inputs, self.outputs, self.values = inputs, outputs, values
        self.nodes = nodes
        made = {*inputs, *values}
        free: dict[str, None] = {}
        for node in nodes:
            for used in node.uses:
                if used not in made:
                    free[used] = None
            made.update(node.outputs)
        for name_ in outputs:
            if name_ not in made:
                free[name_] = None
        self.free = list(free)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def all_nodes(self) -> Iterator[Node]:
        """Its nodes and those of the graphs and functions inside."""
        for node in self.nodes:
            yield node
            inner = [node.body] if node.body is not None else []
            for value in node.attributes.values():
                inner.extend(
                    g
                    for g in (value if isinstance(value, list) else [value])
                    if isinstance(g, Graph)
                )
            for graph in inner:
                yield from graph.all_nodes()


def read_graph(proto: GraphProto, library: Library, outer: Mapping[str, Any] = {}) -> Graph:
    """A graph of a model.

    Args:
        proto: The protobuf.
        library: What is common to the model's graphs.
        outer: Attributes of the function that it is in.

    Raises:
        ModelError: A value has two definitions, or the graph has a cycle.
    """
    values: dict[str, Any] = {t.name: library.arrays(t) for t in proto.initializer}
    values.update({t.values.name: library.arrays.sparse(t) for t in proto.sparse_initializer})
    inputs = [i.name for i in proto.input]
    _check_text([*inputs, *values, proto.name, *(o.name for o in proto.output)])
    nodes = [Node(n, library, outer) for n in proto.node]
    _check_single(proto.name, inputs, values, nodes)
    nodes = _ordered(proto.name, nodes, {*inputs, *values})
    declared = [type_of(o) for o in proto.output]
    return Graph(proto.name, nodes, inputs, [o.name for o in declared], values, declared)


def function_graph(proto: FunctionProto, library: Library, given: Mapping[str, Any]) -> Graph:
    """The graph of a function for the attributes of a call."""
    opsets = {o.domain: o.version for o in proto.opset_import} or library.opsets
    inner = library.with_opsets({**library.opsets, **opsets})
    nodes = [Node(n, inner, given) for n in proto.node]
    nodes = _ordered(proto.name, nodes, set(proto.input))
    return Graph(proto.name, nodes, list(proto.input), list(proto.output), {})


def _check_text(names: Iterable[Any]) -> None:
    """FileFormatError for names that are not UTF-8, which the package gives as bytes."""
    for name in names:
        if not isinstance(name, str):
            raise FileFormatError(f"the name {name!r} in the model is no text")


def _check_single(
    graph: str, inputs: Sequence[str], values: Mapping[str, Any], nodes: Sequence[Node]
) -> None:
    made = {*inputs, *values}
    for node in nodes:
        for name in node.outputs:
            if name and name in made:
                raise ModelError(f"graph {graph!r}: {name!r} is defined twice, again by {node}")
            made.add(name)


def _ordered(graph: str, nodes: list[Node], known: set[str]) -> list[Node]:
    """The nodes so that each follows those whose results it takes."""
    maker = {name: n for n in nodes for name in n.outputs if name}
    done: dict[int, bool] = {}  # False while on the path
    order: list[Node] = []
    for start in nodes:
        path = [(start, iter(start.uses))]
        if id(start) in done:
            continue
        done[id(start)] = False
        while path:
            node, rest = path[-1]
            for name in rest:
                before = maker.get(name)
                if before is None or name in known:
                    continue
                state = done.get(id(before))
                if state is False:
                    raise ModelError(f"graph {graph!r} has a cycle through {before}")
                if state is None:
                    done[id(before)] = False
                    path.append((before, iter(before.uses)))
                    break
            else:
                path.pop()
                done[id(node)] = True
                order.append(node)
    return order


def _attribute(  # noqa: C901, PLR0911, PLR0912  a case a type
    proto: AttributeProto, library: Library, outer: Mapping[str, Any]
) -> Any:
    if proto.ref_attr_name:
        return outer[proto.ref_attr_name]
    kinds = type(proto)
    match proto.type:
        case kinds.FLOAT:
            return proto.f
        case kinds.INT:
            return int(proto.i)
        case kinds.STRING:
            return proto.s.decode(errors="replace")
        case kinds.TENSOR:
            return library.arrays(proto.t)
        case kinds.SPARSE_TENSOR:
            return library.arrays.sparse(proto.sparse_tensor)
        case kinds.GRAPH:
            return read_graph(proto.g, library, outer)
        case kinds.FLOATS:
            return list(proto.floats)
        case kinds.INTS:
            return [int(i) for i in proto.ints]
        case kinds.STRINGS:
            return [s.decode(errors="replace") for s in proto.strings]
        case kinds.TENSORS:
            return [library.arrays(t) for t in proto.tensors]
        case kinds.GRAPHS:
            return [read_graph(g, library, outer) for g in proto.graphs]
        case kinds.TYPE_PROTO:
            return proto.tp
        case _:
            raise ModelError(f"the attribute {proto.name!r} has the unknown type {proto.type}")


def _defaults(function: FunctionProto) -> dict[str, Any]:
    plain = Library({}, (), None)
    return {a.name: _attribute(a, plain, {}) for a in function.attribute_proto}


def _standard_function(proto: NodeProto, library: Library) -> FunctionProto | None:
    """The function that the standard itself gives for an operator, if there is one."""
    import onnx

    version = library.version(proto.domain)
    try:
        schema = onnx.defs.get_schema(proto.op_type, version, proto.domain)
    except onnx.defs.SchemaError:
        return None
    return schema.function_body if getattr(schema, "has_function", False) else None


def type_of(info: ValueInfoProto) -> Known:
    """What a model says of a value."""
    form = info.type.WhichOneof("value")
    if form != "tensor_type":
        return Known(info.name, None, None, (form or "unknown").removesuffix("_type"))
    t = info.type.tensor_type
    shape = None
    if t.HasField("shape"):
        shape = tuple(
            d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in t.shape.dim
        )
    return Known(info.name, t.elem_type or None, shape, "tensor")
