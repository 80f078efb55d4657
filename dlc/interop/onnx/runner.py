"""Running a graph: as one compiled program, or as several where values decide about shapes.

A node whose results have shapes that depend on data, such as NonZero, runs between two programs. A
value that an operator has to know (the shape of a Reshape) is a constant of the program: another
value compiles another one, as `DLC_LOGS=recompiles` tells. Which values those are is found by
tracing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.element_types import Stored, unstored
from dlc.interop.onnx.evaluation import NeedsRun, Scope, run_nodes
from dlc.interop.onnx.graph import Graph, Node
from dlc.interop.onnx.values import Array, NeedsValue, as_tensor, concrete, is_text


class Constant:
    """A known value as a static argument or result: equal to those of the same bits."""

    __slots__ = ("_key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._key = _bits(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return repr(self.value)


dlc.tree.register_node(Constant, lambda c: ((), c), lambda c, _: c)


def _bits(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        # The bytes of texts and of objects are places in memory.
        listed = value.dtype.kind in "OT"
        content = tuple(value.reshape(-1).tolist()) if listed else value.tobytes()
        return (value.shape, value.dtype.str, content)
    if isinstance(value, Stored):
        return ("stored", value.kind, _bits(value.codes))
    if isinstance(value, list):
        return tuple(_bits(v) for v in value)
    return value


class _Segment:
    """Consecutive nodes: compiled together, or a single one that runs at once."""

    def __init__(self, runner: Runner, nodes: list[Node], at_once: bool) -> None:
        self.runner, self.nodes, self.at_once = runner, nodes, at_once
        made = {name for node in nodes for name in node.outputs if name}
        self.inputs = list(dict.fromkeys(u for n in nodes for u in n.uses if u not in made))
        self.outputs: list[str] = []
        self.compiled = dlc.compile(
            self._trace, static_argnames=("known",), name=runner.name, **runner.options
        )

    def _trace(self, given: dict[str, Any], known: tuple[tuple[str, Constant], ...]) -> Any:
        values = {**given, **{name: constant.value for name, constant in known}}
        scope = Scope(values, Scope(self.runner.fixed))
        run_nodes(self.nodes, scope)
        return [_result(scope[name]) for name in self.outputs]

    def run(self, values: dict[str, Any]) -> None:
        """Computes the nodes from values that are there, and adds their results."""
        if self.at_once:
            scope = Scope(values, Scope(self.runner.fixed))
            run_nodes(self.nodes, scope)  # adds to `values`
            return
        given: dict[str, Any] = {}
        known: list[tuple[str, Constant]] = []
        for name in self.inputs:
            if name not in values:
                continue  # a value of the graph
            value = values[name]
            if name in self.runner.known or is_text(value):
                known.append((name, Constant(concrete(value))))
            else:
                given[name] = value
        results = self.compiled(given, known=tuple(known))
        values.update(zip(self.outputs, map(_opened, results), strict=True))


def _result(value: Any) -> Any:
    """A value as a result of a program, of which texts are no data."""
    if isinstance(value, list):
        return [_result(v) for v in value]
    return Constant(value) if is_text(value) else as_tensor(value)


def _opened(result: Any) -> Any:
    if isinstance(result, list):
        return [_opened(r) for r in result]
    return result.value if isinstance(result, Constant) else result


class Runner:
    """A graph that can be called.

    Args:
        graph: The graph.
        name: In messages and texts.
        options: Keywords of `dlc.compile`.
        fixed: Values besides those of the graph that never change.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        options: Mapping[str, Any],
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        self.graph, self.name, self.options = graph, name, dict(options)
        self.fixed = {**graph.values, **(fixed or {})}
        self.known: set[str] = set()
        self._at_once: set[int] = set()
        self._segments: list[_Segment] | None = None

    def __call__(self, given: Mapping[str, Any]) -> list[Any]:
        """The outputs for inputs by name."""
        while True:
            if self._segments is None:
                self._segments = self._planned()
            values = dict(given)
            try:
                for segment in self._segments:
                    segment.run(values)
            except NeedsValue as need:
                self.known.add(need.name)
                self._segments = None
            except NeedsRun as need:
                self._at_once.add(self._index(need.node))
                self._segments = None
            else:
                scope = Scope(values, Scope(self.fixed))
                return [scope[name] for name in self.graph.outputs]

    def _index(self, node: Node) -> int:
        for k, n in enumerate(self.graph.nodes):
            if n is node:
                return k
        raise AssertionError(f"{node} is not in {self.name}")

    def _planned(self) -> list[_Segment]:
        """The nodes cut into segments: each value that has to be known is made before."""
        stage: dict[str, int] = {}  # even: made by a program, odd: made between two
        members: dict[int, list[Node]] = {0: []}
        for k, node in enumerate(self.graph.nodes):
            at_once = k in self._at_once or (node.row is not None and node.row.at_once)
            number = 1 if at_once else 0
            for name in node.uses:
                if name in stage:
                    number = max(number, self._after(stage[name], name, at_once))
            members.setdefault(number, []).append(node)
            stage.update({name: number for name in node.outputs if name})
        segments = [_Segment(self, members[n], n % 2 == 1) for n in sorted(members) if members[n]]
        needed = list(self.graph.outputs)
        for segment in reversed(segments):
            made = {name for node in segment.nodes for name in node.outputs}
            segment.outputs = list(dict.fromkeys(n for n in needed if n in made))
            needed.extend(segment.inputs)
        return segments

    def _after(self, made: int, name: str, at_once: bool) -> int:
        if at_once:
            return made if made % 2 else made + 1
        if made % 2:
            return made + 1
        return made + 2 if name in self.known else made

    @property
    def programs(self) -> list[Any]:
        """The compiled functions."""
        return [s.compiled for s in self._segments or [] if not s.at_once]


def outputs_of(values: Sequence[Any]) -> list[Array | Any]:
    """Values as a caller sees them: tensors, and arrays of the types that dlc only stores."""

    def shown(value: Any) -> Any:
        if isinstance(value, list):
            return [shown(v) for v in value]
        value = as_tensor(value)  # an array is the model's own
        if isinstance(value, Stored):
            return unstored(Stored(concrete(value.codes), value.kind))
        return value.astype(object) if is_text(value) else value

    return [shown(v) for v in values]
