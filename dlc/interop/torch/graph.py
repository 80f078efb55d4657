"""A graph of PyTorch's tracer as a compiled dlc function."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import dlc
from dlc.frontend.apply import lent_constant
from dlc.interop.torch.arrays import Array, address_of, array_of, dtype_of, tensor_of
from dlc.interop.torch.binding import Binding, Program
from dlc.interop.torch.checks import (
    PYTHON_OPERATORS,
    check_known,
    is_ordered,
    location_of,
    operator_name,
)
from dlc.interop.torch.extents import (
    ExtentsKnown,
    expression_of,
    patterns_of,
    steps_of,
    symbols_among,
    value_of,
)
from dlc.interop.torch.failures import codes_checked, raise_as_torch, raises, results_used
from dlc.interop.torch.random_state import describe_drawn_again, next_key
from dlc.interop.torch.table import find, needs_of
from dlc.ir.errors import DlcError
from dlc.ir.matrix_error import LinAlgError

if TYPE_CHECKING:
    from torch.fx import Node

# Keywords that say nothing that the result's description does not say.
_ELSEWHERE = ("dtype", "layout", "device", "pin_memory", "memory_format", "generator")


class GraphFunction:
    """A graph as a function over PyTorch's tensors, compiled by dlc.

    Args:
        module: The graph, of functional ATen operators.
        parameters: The inputs that seldom change: they become constants of programs, as long as
            they do not (see `Binding`).
        options: Keywords of `dlc.compile`.

    Raises:
        ModelError: There are operators that dlc does not know; all are listed.
        DeviceError: A tensor is not in the memory of the host.
        DTypeError: A tensor has elements of a type that dlc has not.
    """

    def __init__(self, module: Any, parameters: Sequence[int] = (), **options: Any) -> None:
        describe_drawn_again(list(module.graph.nodes))
        check_known(module.graph.nodes, 'options={"fallback": "aten"} runs them in PyTorch')
        self.module = module
        self.nodes = list(module.graph.nodes)
        self.inputs = [n for n in self.nodes if n.op == "placeholder"]
        self.constants = _constants(module, self.nodes)
        # Numbers among the inputs are extents of tensors: they come with these.
        self.tensors = [k for k, n in enumerate(self.inputs) if is_tensor(n)]
        # For each number the input and the axis that has it, if one has.
        self.sizes = {
            k: self._axis_of(n.meta["val"])
            for k, n in enumerate(self.inputs)
            if k not in self.tensors
        }
        self.alone = [k for k, where in self.sizes.items() if where is None]
        inner = (n.meta["val"].shape for n in self.nodes if is_tensor(n))
        self.steps = steps_of(self._shapes_of(self.tensors), inner)
        beside = {s for step in self.steps.values() for n in step.beside for s, _ in n.factors}
        self.counts = [(*self._place(e), step) for e, step in self.steps.items()]
        self.beside = [(e, *self._place(e)) for e in beside]
        self.output = next(n for n in self.nodes if n.op == "output").args[0]
        self.draws = draws(self.nodes)
        self.codes = codes_checked(self.nodes)
        self.options = options
        self.unbound = self._program({})
        places = [k for k in parameters if is_tensor(self.inputs[k])]
        self.binding = Binding(places, self._program)
        self.free = [k for k in self.tensors if k not in places]

    def _program(self, constants: Mapping[int, Array]) -> Any:
        """The graph, compiled.

        Args:
            constants: Values of inputs that are none of the program.
        """
        free = [k for k in self.tensors if k not in constants]
        held = frozenset(map(address_of, (*constants.values(), *self.constants.values())))

        def graph(given: list[Any], key: Any = None, *, numbers: tuple[Any, ...]) -> list[Any]:
            tensors = {k: lent_constant(a) for k, a in constants.items()}
            tensors |= dict(zip(free, given[: len(free)], strict=True))
            known = dict(numbers)
            alone = [k for k in self.alone if k not in known]
            empty = zip(alone, given[len(free) :], strict=False)  # then those of counts
            return self._trace(tensors, known | {k: t.shape[0] for k, t in empty}, key)

        patterns = patterns_of(self._shapes_of(free), self.steps)
        compiled = ExtentsKnown(
            graph,
            [*patterns, (2,)] if self.draws else patterns,
            name="torch_graph",
            static_argnames=("numbers",),
            **self.options,
        )
        return Program(compiled, held)

    def _shapes_of(self, tensors: Sequence[int]) -> list[Sequence[Any]]:
        """The shapes of inputs, with the numbers that no tensor has."""
        shapes = [self.inputs[k].meta["val"].shape for k in tensors]
        return [*shapes, *((self.inputs[k].meta["val"], 0) for k in self.alone)]

    def _axis_of(self, extent: Any) -> tuple[int, int] | None:
        """The first input that is a tensor with an extent of PyTorch's, and its axis."""
        text = str(extent)
        return next(
            (
                (t, axis)
                for t in self.tensors
                for axis, d in enumerate(self.inputs[t].meta["val"].shape)
                if str(d) == text
            ),
            None,
        )

    def _place(self, symbol: Any) -> tuple[int, int | None]:
        """The input that has a symbol of PyTorch's: a tensor, with the axis, or a number."""
        alone = (k for k in self.alone if str(self.inputs[k].meta["val"]) == str(symbol))
        return self._axis_of(symbol) or (next(alone), None)

    def __call__(self, *args: Any) -> list[Any]:
        """The outputs, as PyTorch's tensors."""
        program, free = self.binding.program(args), self.free
        if program is None:
            program, free = self.unbound, self.tensors
        tensors = [args[k] for k in free]
        given = list(map(array_of, tensors))
        held = {*program.held, *[t.data_ptr() for t in tensors if t is not None]}
        # A number that no tensor has comes as an extent of an empty one.
        numbers = tuple((k, args[k]) for k in self.alone if not _is_extent(args[k]))
        extents = [args[k] for k in self.alone if _is_extent(args[k])]
        known = {e: _extent_at(args[k], axis) for e, k, axis in self.beside}
        extents += [step.count(_extent_at(args[k], axis), known) for k, axis, step in self.counts]
        given += [np.empty((d, 0), np.int8) for d in extents]
        key = [next_key()] if self.draws else []
        values = iter(self._run(program.compiled, args, (given, *key), numbers))
        made: list[Any] = []
        for node in self.output:
            if node is None:
                made.append(None)
            elif is_tensor(node):
                made.append(tensor_of(next(values), held))
            else:
                made.append(self._extent(node, args))
        return made

    def _run(self, compiled: Any, args: Sequence[Any], given: Any, numbers: Any) -> list[Any]:
        try:
            values = compiled(*given, numbers=numbers)
        except LinAlgError:
            raise_as_torch(self.module, args)
            raise
        if self.codes and any(c.numpy().any() for c in values[-len(self.codes) :]):
            raise_as_torch(self.module, args)
        return values

    def _extent(self, node: Any, args: Sequence[Any]) -> Any:
        """A number among the outputs, from the extents of the inputs."""
        value = node.meta["val"] if hasattr(node, "op") else node
        expression = expression_of(value)
        if expression is None:
            return value
        given = dict(zip(self.inputs, args, strict=True))
        found = expression.subs(symbols_among(_shapes(given)))
        return int(found) if found.is_integer else float(found)

    def _trace(self, tensors: Mapping[int, Any], numbers: Mapping[int, Any], key: Any) -> list[Any]:
        values: dict[Any, Any] = dict(self.constants)
        values.update((self.inputs[k], t) for k, t in tensors.items())
        for k, where in self.sizes.items():
            number = numbers[k] if where is None else tensors[where[0]].shape[where[1]]
            values[self.inputs[k]] = number
        run_nodes(self.nodes, values, key)
        results = [values[n] for n in self.output if n is not None and is_tensor(n)]
        return results + [values[n][place] for n, place in self.codes]


def draws(nodes: Sequence[Node]) -> list[Node]:
    """The nodes that draw random numbers."""
    return [n for n in nodes if n.op == "call_function" and "key" in needs_of(operator_name(n))]


def run_nodes(nodes: Sequence[Node], values: dict[Any, Any], key: Any) -> None:
    """Computes what nodes call from the values of other nodes, and adds the results to these.

    Args:
        nodes: The nodes, in order.
        values: The values of those that are there.
        key: A random key, where nodes draw random numbers.
    """
    drawing = {n: k for k, n in enumerate(draws(nodes))}
    symbols = symbols_among(_shapes(values))
    for node in nodes:
        if node.op == "call_function":
            # Each operator has numbers of its own.
            own = dlc.random.fold_in(key, drawing[node]) if node in drawing else None
            values[node] = _call(node, values, own, symbols)


def _call(node: Node, values: dict[Any, Any], key: Any, symbols: Mapping[Any, Any]) -> Any:
    args, kwargs = (_filled(x, values) for x in (node.args, node.kwargs))
    if node.target is operator.getitem:
        return args[0][args[1]]
    if node.target in PYTHON_OPERATORS:
        function: Any = node.target
        return function(*args, **kwargs)
    row = find(operator_name(node))
    assert row is not None
    if is_ordered(node):
        return args[0], row(*args[2:], **kwargs)
    for name in _ELSEWHERE:
        kwargs.pop(name, None)
    for name in needs_of(operator_name(node)):
        kwargs[name] = key if name == "key" else _NEEDED[name](node, symbols)
    try:
        return _typed(row(*args, **kwargs), node.meta.get("val"))
    except DlcError as error:
        if error.context is None:
            error.context = f"in {node.format_node()}"
            error.location = location_of(node) or error.location
        raise


def _first_dtype(node: Node, _symbols: Mapping[Any, Any]) -> Any:
    """The element type of the first result."""
    value = node.meta["val"]
    return dtype_of((value[0] if isinstance(value, (list, tuple)) else value).dtype)


def _layout(node: Node, _symbols: Mapping[Any, Any]) -> tuple[tuple[Any, ...], Any]:
    """The strides and the offset in memory of the first argument."""
    first: Any = node.args[0]
    like = first.meta["val"]
    return tuple(like.stride()), like.storage_offset()


def _shapes(values: Mapping[Node, Any]) -> list[tuple[Any, Any]]:
    """Shapes of a graph's inputs as PyTorch has them, and as they are; numbers are extents too."""
    return [
        (n.meta["val"].shape, x.shape) if is_tensor(n) else ((n.meta.get("val"),), (x,))
        for n, x in values.items()
        if n.op == "placeholder"
    ]


def _shape_of(node: Node, symbols: Mapping[Any, Any]) -> Any:
    """The shape of a node's result, or of each; None where one depends on more than these."""
    results = node.meta["val"]
    if not isinstance(results, (list, tuple)):
        shape = tuple(value_of(d, symbols) for d in results.shape)
        return None if any(d is None for d in shape) else shape
    shapes = [tuple(value_of(d, symbols) for d in r.shape) for r in results]
    return None if any(d is None for s in shapes for d in s) else shapes


def _results(node: Node, _symbols: Mapping[Any, Any]) -> Any:
    """What the tracer says about the results."""
    return node.meta["val"]


_NEEDED = {
    "dtype": _first_dtype, "layout": _layout, "results": _results, "shape": _shape_of,
    "strict": lambda node, _symbols: raises(node),
    "used": lambda node, _symbols: results_used(node),
}  # fmt: skip


def _constants(module: Any, nodes: Sequence[Node]) -> dict[Node, np.ndarray[Any, Any]]:
    """The tensors that a graph holds."""
    from torch.utils._python_dispatch import _disable_current_modes

    with _disable_current_modes():  # the tracer's mode has no data
        return {n: array_of(getattr(module, str(n.target))) for n in nodes if n.op == "get_attr"}


def _extent_at(value: Any, axis: int | None) -> int:
    return value if axis is None else value.shape[axis]


def _is_extent(value: Any) -> bool:
    return type(value) is int and value > 0


def is_node(value: Any) -> bool:
    """Whether a value among the arguments or results of a graph is a node of it."""
    return hasattr(value, "all_input_nodes")


def is_tensor(node: Any) -> bool:
    """Whether what a node stands for is a tensor."""
    value = getattr(node, "meta", {}).get("val")
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _filled(x: Any, values: dict[Any, Any]) -> Any:
    """Arguments with values in the place of nodes."""
    if isinstance(x, (list, tuple)):
        return [_filled(v, values) for v in x]
    if isinstance(x, dict):
        return {k: _filled(v, values) for k, v in x.items()}
    try:
        found = values.get(x)
    except TypeError:
        return x
    if found is None:
        return x
    return dlc.asarray(found) if isinstance(found, np.ndarray) else found


def _typed(value: Any, like: Any) -> Any:
    """Results with the element types that PyTorch says they have."""
    if isinstance(value, (list, tuple)):
        likes: Sequence[Any] = like if isinstance(like, (list, tuple)) else [None] * len(value)
        return [_typed(v, k) for v, k in zip(value, likes, strict=False)]
    if not isinstance(value, dlc.Tensor) or not hasattr(like, "dtype"):
        return value
    wanted = dtype_of(like.dtype)
    return value if value.dtype == wanted else _converted(value, wanted)


def _converted(value: Any, wanted: Any) -> Any:
    return value != 0 if wanted == dlc.bool else dlc.astype(value, wanted)
