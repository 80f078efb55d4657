"""A graph of PyTorch's tracer as a compiled dlc function."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.frontend.apply import lent_constant
from dlc.interop.torch.arrays import Array, address_of, array_of, tensor_of
from dlc.interop.torch.binding import Binding, Program
from dlc.interop.torch.checks import check_known
from dlc.interop.torch.extents import (
    ExtentsKnown,
    expression_of,
    patterns_of,
    steps_of,
    symbols_among,
)
from dlc.interop.torch.failures import codes_checked, raise_as_torch
from dlc.interop.torch.layouts import order_of
from dlc.interop.torch.places_checked import (
    any_outside,
    is_outside,
    outside_of,
    readers_of_memory,
    readers_of_places,
    sources_in_memory,
)
from dlc.interop.torch.random_state import describe_drawn_again, next_key
from dlc.interop.torch.running import (
    constants_of,
    draws,
    is_node,
    is_tensor,
    memory_of,
    places_of,
    places_read,
    run_nodes,
    shapes_of,
    symbols_of,
)
from dlc.ir.matrix_error import LinAlgError
from dlc.ir.ops.shape import inverse


class GraphFunction:
    """A graph as a function over PyTorch's tensors, compiled by dlc.

    Args:
        module: The graph, of functional ATen operators.
        parameters: The inputs that seldom change: they become constants of programs, as long as
            they do not (see `Binding`).
        count: How many of the results, the first ones, lie in memory as PyTorch knows them.
        options: Keywords of `dlc.compile`.

    Raises:
        ModelError: There are operators that dlc does not know; all are listed.
        DeviceError: A tensor is not in the memory of the host.
        DTypeError: A tensor has elements of a type that dlc has not.
    """

    def __init__(
        self, module: Any, parameters: Sequence[int] = (), count: int = 0, **options: Any
    ) -> None:
        describe_drawn_again(list(module.graph.nodes))
        check_known(module.graph.nodes, 'options={"fallback": "aten"} runs them in PyTorch')
        self.module = module
        self.nodes = list(module.graph.nodes)
        self.inputs = [n for n in self.nodes if n.op == "placeholder"]
        self.constants = constants_of(module, self.nodes)
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
        # For each symbol that only strides and offsets have, the input and its place among these.
        self.strides = self._strides()
        # For each memory that nodes read by offsets in it, the input, and its offset in the trace.
        self.offsets = self._offsets()
        output = next(n for n in self.nodes if n.op == "output").args[0]
        self.output = [output] if is_node(output) else output  # of a part of a graph
        tensors = (n for n in self.output[:count] if n is not None and is_tensor(n))
        found = {n: order_of(n.meta["val"]) for n in tensors}
        # Results that are computed with their axes in the order of their strides, and the way back.
        self.orders = {n: (o, inverse(o)) for n, o in found.items() if o is not None}
        self.draws = draws(self.nodes)
        self.codes = codes_checked(self.nodes)
        self.places = readers_of_places(self.nodes)
        self.in_memory = readers_of_memory(self.nodes, self.offsets)
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
        arrays = [x for x in self.constants.values() if isinstance(x, np.ndarray)]
        held = frozenset(map(address_of, (*constants.values(), *arrays)))

        def graph(given: list[Any], key: Any = None, *, numbers: tuple[Any, ...]) -> list[Any]:
            tensors = {k: lent_constant(a) for k, a in constants.items()}
            tensors |= dict(zip(free, given[: len(free)], strict=True))
            known = dict(numbers)
            alone = [k for k in self.alone if k not in known]
            empty = zip(alone, given[len(free) :], strict=False)  # then those of counts
            known |= {k: t.shape[0] for k, t in empty}
            begin = len(free) + len(alone)
            read = (t.shape[0] for t in given[begin:])
            places = dict(zip(self.strides, read, strict=False))
            for memory, (_, seen) in self.offsets.items():
                places[memory] = next(read) - seen
            return self._trace(tensors, known, places, key)

        strides = [(places_of(self.inputs[k].meta["val"])[n], 0) for k, n in self.strides.values()]
        offsets = [(seen, 0) for _, seen in self.offsets.values()]
        patterns = patterns_of([*self._shapes_of(free), *strides, *offsets], self.steps)
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

    def _strides(self) -> dict[Any, tuple[int, int]]:
        """For each symbol that nodes read and no extent has, an input, and its place there."""
        read = {e for n in places_read(self.nodes) if (e := expression_of(n)) is not None}
        wanted = {s for e in read for s in e.free_symbols if self._axis_of(s) is None}
        numbers = {expression_of(self.inputs[k].meta["val"]) for k in self.alone}
        found: dict[Any, tuple[int, int]] = {}
        for k in self.tensors:
            for n, place in enumerate(places_of(self.inputs[k].meta["val"])):
                if (e := expression_of(place)) in wanted - numbers:
                    found.setdefault(e, (k, n))
        return found

    def _offsets(self) -> dict[Any, tuple[int, int]]:
        """PyTorch has one graph for inputs that begin elsewhere in their memory."""
        read = {memory_of(source.meta["val"]) for source in sources_in_memory(self.nodes)}
        found: dict[Any, tuple[int, int]] = {}
        for k in self.tensors:
            value = self.inputs[k].meta["val"]
            offset = value.storage_offset()
            if memory_of(value) in read and isinstance(offset, int):
                found.setdefault(memory_of(value), (k, offset))
        return found

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
        extents += [places_of(args[k])[n] for k, n in self.strides.values()]
        extents += [args[k].storage_offset() for k, _ in self.offsets.values()]
        extents += [step.count(_extent_at(args[k], axis), known) for k, axis, step in self.counts]
        given += [np.empty((d, 0), np.int8) for d in extents]
        key = [next_key()] if self.draws else []
        values = iter(self._run(program.compiled, args, (given, *key), numbers))
        made: list[Any] = []
        for node in self.output:
            if node is None:
                made.append(None)
            elif is_tensor(node):
                tensor = tensor_of(next(values), held)
                made.append(tensor.permute(self.orders[node][1]) if node in self.orders else tensor)
            else:
                made.append(self._extent(node, args))
        return made

    def _run(self, compiled: Any, args: Sequence[Any], given: Any, numbers: Any) -> list[Any]:
        try:
            values = compiled(*given, numbers=numbers)
        except LinAlgError:
            raise_as_torch(self.module, args)
            raise
        checks = len(self.in_memory) + len(self.codes) + bool(self.places)
        if checks and any(failed := [c.numpy().any() for c in values[-checks:]]):
            raise_as_torch(self.module, args)
            for node in itertools.compress(self.in_memory, failed):
                raise outside_of(node)
        return values

    def _extent(self, node: Any, args: Sequence[Any]) -> Any:
        """A number among the outputs, from the extents of the inputs."""
        value = node.meta["val"] if hasattr(node, "op") else node
        expression = expression_of(value)
        if expression is None:
            return value
        given = dict(zip(self.inputs, args, strict=True))
        places = {s: places_of(args[k])[n] for s, (k, n) in self.strides.items()}
        found = expression.subs(places | symbols_among(shapes_of(given)))
        return int(found) if found.is_integer else float(found)

    def _trace(
        self,
        tensors: Mapping[int, Any],
        numbers: Mapping[int, Any],
        places: Mapping[Any, Any],
        key: Any,
    ) -> list[Any]:
        values: dict[Any, Any] = dict(self.constants)
        values.update((self.inputs[k], t) for k, t in tensors.items())
        for k, where in self.sizes.items():
            number = numbers[k] if where is None else tensors[where[0]].shape[where[1]]
            values[self.inputs[k]] = number
        run_nodes(self.nodes, values, key, places)
        results = [
            dlc.transpose(values[n], self.orders[n][0]) if n in self.orders else values[n]
            for n in self.output
            if n is not None and is_tensor(n)
        ]
        symbols = symbols_of(values, places)
        results += [is_outside(n, values, symbols) for n in self.in_memory]
        results += [values[n][place] for n, place in self.codes]
        return [*results, any_outside(self.places, values)] if self.places else results


def _extent_at(value: Any, axis: int | None) -> int:
    return value if axis is None else value.shape[axis]


def _is_extent(value: Any) -> bool:
    return type(value) is int and value > 0
