"""Tracing: while a trace is current, functions record nodes into it instead of computing.

What a traced function reads from outside (tensors that it closes over, variables, values of an
enclosing trace) becomes an input of the trace, held by reference; so weights are never baked into a
program.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dlc.frontend.context import current
from dlc.frontend.recording import is_recording
from dlc.frontend.tensor import Array, Tensor, donated, leaked, make
from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node, live_nodes
from dlc.ir.location import user_location
from dlc.ir.op import Op
from dlc.ir.types import TensorType, TupleType
from dlc.runtime.buffers import check_size

if TYPE_CHECKING:
    from dlc.frontend.variable import Variable


class Trace:
    """One function being traced.

    captures: what the function reads from outside, with the parameters that stand for it.
    fixed: of the outermost trace: tensors on arrays that nobody writes, by number of the array.
    variables: the values that variables have now. `inputs` has the parameters for their first
        values, `written` those that were assigned, `leaves` all values they had, as sources of
        gradients.
    observed: of the outermost trace: objects whose attributes it depends on (see `observe`).
        `observed_first` has what they held when they were first looked at (see `observe_now`).
    symbolic: whether its tensors are those of `dlc.frontend.symbolic`, of models that are not run.
    gradients: the gradients of variables now, None for an absent one. `gradient_inputs` has what
        they were at first, `gradients_written` those that were set.
    """

    symbolic: ClassVar[bool] = False

    def __init__(self, parent: Trace | None = None) -> None:
        self.builder = IRBuilder()
        self.parent = parent
        self.root: Trace = self if parent is None else parent.root
        self.closed = False
        self._constant: set[Node] = set()  # made inside no_grad
        self._stops: dict[Node, Node] = {}
        self.captures: dict[int, tuple[Tensor, Node]] = {}
        self.fixed: dict[int, Tensor] = {}
        self.observed: dict[tuple[int, str], object] = {}
        self.observed_first: dict[tuple[int, str], tuple[object, str, object]] = {}
        self.variables: dict[Variable, Node] = {}
        self.inputs: dict[Variable, Node] = {}
        self.written: dict[Variable, None] = {}
        self.leaves: dict[Variable, list[Node]] = {}
        self.gradients: dict[Variable, Node | None] = {}
        self.gradient_inputs: dict[Variable, Node | None] = {}
        self.gradients_written: dict[Variable, None] = {}

    def inside(self, other: Trace) -> bool:
        """Whether `other` is this trace or encloses it."""
        trace: Trace | None = self
        while trace is not None:
            if trace is other:
                return True
            trace = trace.parent
        return False

    def param(self, type_: TensorType, name: str | None = None, weak: bool = False) -> Tensor:
        """A new parameter, as a tensor."""
        return make(None, self.builder.param(type_, name), self, weak)

    def wrap(self, node: Node, weak: bool = False) -> Tensor:
        """A node of this trace, as a tensor."""
        return make(None, node, self, weak)

    def fixed_tensor(self, array: Array) -> Tensor:
        """A tensor on an array that nobody writes; one for each array."""
        found = self.fixed.get(id(array))
        if found is None:
            found = self.fixed[id(array)] = make(array)
        return found

    def capture(self, tensor: Tensor) -> Node:
        """The parameter that stands for a tensor from outside."""
        found = self.captures.get(id(tensor))
        if found is not None:
            return found[1]
        if tensor._weak and tensor._data is not None and not tensor._data.ndim:
            value = tensor._data.item()
            return self.builder.full(value=value, shape=(), dtype=tensor.tensor.dtype)
        if tensor._data is None and tensor._trace is None:
            raise donated(tensor)
        node = self.builder.param(tensor.tensor, f"outer{len(self.captures)}")
        self.captures[id(tensor)] = (tensor, node)
        return node

    def gradient_of(self, variable: Variable) -> Node | None:
        """The gradient that a variable has now; whether it has one at first is noted."""
        if variable not in self.gradients:
            if self.parent is None:
                present = variable._grad is not None
            else:
                present = self.parent.gradient_of(variable) is not None
            name = f"{variable.name or 'variable'}_grad"
            node = self.builder.param(variable.tensor, name) if present else None
            self.gradient_inputs[variable] = self.gradients[variable] = node
        return self.gradients[variable]

    def emit(self, op: Op, tensors: Sequence[Tensor], attrs: dict[str, Any]) -> Node:
        """Records an operation at the user's line."""
        node, recorded = self._record(op, tensors, attrs)
        check_size(node.tensor)
        if not recorded:
            self._constant.add(node)
        return node

    def _record(
        self, op: Op, tensors: Sequence[Tensor], attrs: dict[str, Any]
    ) -> tuple[Node, bool]:
        """The node of an operation, and whether gradients go through it."""
        if self.closed:
            raise leaked()
        builder = self.builder
        builder.loc = user_location()
        inputs = [t._node_in(self) for t in tensors]
        recorded = is_recording()
        if not recorded:
            inputs = [self._stopped(x) for x in inputs]
        return builder.emit(op, inputs, attrs), recorded

    def emit_several(self, op: Op, tensors: Sequence[Tensor], attrs: dict[str, Any]) -> list[Node]:
        """Records an operation that has several results at the user's line."""
        node, recorded = self._record(op, tensors, attrs)
        assert isinstance(node.type, TupleType)
        for type_ in node.type.items:
            check_size(type_)
        parts = [self.builder.get(node, index=k) for k in range(len(node.type.items))]
        if not recorded:
            self._constant.update((node, *parts))
        return parts

    def _stopped(self, node: Node) -> Node:
        """What stands inside `no_grad` for a value from outside of it."""
        if node in self._constant or not node.tensor.dtype.is_float:
            return node
        found = self._stops.get(node)
        if found is None:
            found = self._stops[node] = self.builder.stop_gradient(node)
            self._constant.add(found)
        return found

    def inline(self, function: Function, arguments: Sequence[Node]) -> list[Node]:
        """Records the nodes of `function` applied to `arguments`; returns its results."""
        constant = not is_recording()
        if constant:
            arguments = [self._stopped(x) for x in arguments]
        new: dict[Node, Node] = dict(zip(function.params, arguments, strict=True))
        builder = self.builder
        for n in function.nodes:
            inputs = tuple(new[x] for x in n.inputs)
            new[n] = Node(n.op, inputs, n.attrs, n.type, n.loc, n.name)
            builder.nodes.append(new[n])
            if constant:
                self._constant.add(new[n])
        return [new[r] for r in function.results]

    def function(self, name: str, params: Sequence[Node], results: Sequence[Node]) -> Function:
        """The function traced so far, without nodes that no result and no effect needs."""
        needed = live_nodes(self.builder.nodes, results)
        return Function(name, params, results, [n for n in self.builder.nodes if n in needed])


@contextlib.contextmanager
def tracing() -> Generator[Trace]:
    """Makes a new trace current, inside the present one if there is one."""
    trace = Trace(current.get())
    token = current.set(trace)
    try:
        yield trace
    finally:
        current.reset(token)
        trace.closed = True


@contextlib.contextmanager
def eager() -> Generator[None]:
    """Makes no trace current."""
    token = current.set(None)
    try:
        yield
    finally:
        current.reset(token)
