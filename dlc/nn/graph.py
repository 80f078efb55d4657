"""`Graph`: from symbolic inputs to symbolic outputs, and the layers between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dlc
from dlc.frontend import tree
from dlc.frontend.symbolic import SymbolNode
from dlc.frontend.tree import Structure
from dlc.ir.core import Node
from dlc.ir.errors import ArgumentError
from dlc.nn.graph_calls import Call, Given, Result, extents_of, is_symbolic, node_of, origins
from dlc.nn.graph_program import LayerStep, OpStep, Program, Slot, Step, ValueStep, mapped

if TYPE_CHECKING:
    from dlc.nn.module import Module


class Graph:
    """From symbolic inputs to symbolic outputs, and the layers between them.

    Args:
        inputs: A symbolic tensor, or a tree of them.
        outputs: The same.

    Attributes:
        layers: The layers in the order in which they were called first.
        variables: Variables that are read outside of layers.

    Raises:
        ArgumentError: for what is not symbolic, and outputs that need another input.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.inputs, self.outputs = inputs, outputs
        leaves, self._input_form = _symbols(inputs, "inputs")
        results, self._output_form = _symbols(outputs, "outputs")
        self._input_types = tuple(t.tensor for t in leaves)
        self._input_nodes = [node_of(t) for t in leaves]
        self._output_nodes = [node_of(t) for t in results]
        given = {n: k for k, n in enumerate(self._input_nodes)}
        if len(given) != len(leaves):
            raise ArgumentError("nn.Model: an input stands twice among the inputs")
        found = _needed(self._output_nodes, given)
        self._slots = {**given, **{n: len(given) + k for k, n in enumerate(found)}}
        self._made = found
        self.calls = _unique(c for n in found if (c := _call_of(n)) is not None)
        self.layers: list[Module] = _unique(c.module for c in self.calls)
        outside = (getattr(n, "origin", None) for n in found)
        self.variables = _unique(v for v in outside if isinstance(v, dlc.Variable))

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs: those they were given, or `input_0` and so on."""
        given = [getattr(n, "origin", None) for n in self._input_nodes]
        return tuple(
            (o.name if isinstance(o, Given) else None) or f"input_{k}" for k, o in enumerate(given)
        )

    def program(self, layers: Sequence[str], variables: Sequence[str]) -> Program:
        """The graph as plain data, in which layers and variables have these names."""
        by_layer = {id(m): n for m, n in zip(self.layers, layers, strict=True)}
        by_variable = {id(v): n for v, n in zip(self.variables, variables, strict=True)}
        steps: dict[int, Step] = {}  # by the node that they make, or by the call
        for node in self._made:
            slot, origin = self._slots[node], getattr(node, "origin", None)
            if isinstance(origin, Result):
                call = origin.call
                if id(call) not in steps:
                    form = mapped(call.form, lambda x, call=call: self._moved(x, call))
                    steps[id(call)] = LayerStep(
                        by_layer[id(call.module)], form, {}, [], call.supposed
                    )
                step = steps[id(call)]
                assert isinstance(step, LayerStep)
                step.results[origin.place] = slot
                step.types.append(node.tensor)
            elif isinstance(origin, dlc.Tensor):
                steps[id(node)] = ValueStep(by_variable.get(id(origin), origin), slot)
            else:
                operands = tuple(self._slots[x] for x in node.inputs)
                steps[id(node)] = OpStep(node.op.name, operands, dict(node.attrs), slot)
        outputs = tuple(self._slots[n] for n in self._output_nodes)
        types = tuple(n.tensor for n in self._output_nodes)
        return Program(
            tuple(steps.values()), self._input_types, self.input_names, self._input_form, outputs,
            types, self._output_form,
        )  # fmt: skip

    def _moved(self, x: Any, call: Call) -> Any:
        return Slot(self._slots[node_of(call.symbols[x.number])]) if isinstance(x, Slot) else x

    def __deepcopy__(self, _memo: Any) -> Graph:
        return self  # it never changes

    def __reduce__(self) -> Any:
        return _nothing, ()  # symbolic tensors are those of this process


def _nothing() -> None:
    """What is left of a graph in another process."""


def _unique(items: Iterable[Any]) -> list[Any]:
    return list({id(x): x for x in items}.values())


def _call_of(node: Node) -> Call | None:
    origin = getattr(node, "origin", None)
    return origin.call if isinstance(origin, Result) else None


def _symbols(given: Any, what: str) -> tuple[list[dlc.Tensor], Structure]:
    leaves, form = tree.flatten(given)
    for x in leaves:
        if not is_symbolic(x):
            raise ArgumentError(
                f"nn.Model: among the {what} is a {type(x).__name__}, which is not symbolic",
                hint="inputs are made by nn.Input, outputs by calling layers with them",
            )
    if not leaves:
        raise ArgumentError(f"nn.Model without {what}")
    return leaves, form


def _needed(outputs: Sequence[Node], given: Mapping[Node, int]) -> list[Node]:
    """The nodes that outputs need besides the inputs, in the order in which they were made."""
    found: dict[Node, int] = {}
    todo = list(outputs)
    known = {n for node in given for n in extents_of(node)}
    while todo:
        node = todo.pop()
        if node in given or node in found:
            continue
        assert isinstance(node, SymbolNode)
        found[node] = node.number
        if isinstance(node.origin, Given):
            name = f" {node.origin.name!r}" if node.origin.name else ""
            raise ArgumentError(
                f"nn.Model: an output needs the input{name} {node.tensor}, which is not among the "
                "inputs"
            )
        if isinstance(node.origin, Result):
            todo += [node_of(t) for t in node.origin.call.symbols]
        todo += node.inputs
        todo += [origins[n] for n in extents_of(node) - known if n in origins]
    return sorted(found, key=found.__getitem__)
