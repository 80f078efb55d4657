"""`Model`: graphs of layers as modules, and the base of models of your own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dlc
from dlc.frontend import tree
from dlc.ir.errors import ArgumentError, ValueRangeError, nearest
from dlc.nn.graph import Graph
from dlc.nn.graph_calls import type_shape
from dlc.nn.graph_program import LayerStep, Program
from dlc.nn.module import Module


class Model(Module):
    """A model from symbolic inputs to symbolic outputs; or, without them, a base to subclass.

    Layers, functions of dlc, operators and other models are applied to what `nn.Input` makes. All
    that lies between inputs and outputs is a part of the model: layers are its attributes, by
    their names (`dense`, `dense_1` where they have none), and so are variables that were read.

    Args:
        inputs: A symbolic tensor, or a list, tuple or dict of them; what the model is called with.
            They may also be results of layers: then the model begins there.
        outputs: A symbolic tensor, or a tree of them; what the model returns.
        name: The model's name.

    Raises:
        ArgumentError: for what is not symbolic, and outputs that need another input.
        ValueRangeError: for two layers with one name.

    Example:
        >>> a, b = dlc.nn.Input((4,), name="a"), dlc.nn.Input((3,), name="b")
        >>> both = dlc.nn.Concatenate()([dlc.nn.Dense(5)(a), b])
        >>> model = dlc.nn.Model([a, b], dlc.nn.Dense(2, name="head")(both) * 0.5)
        >>> model([dlc.ones((6, 4)), dlc.ones((6, 3))]).shape
        (6, 2)
        >>> [layer.name for layer in model.layers], model.output_shape
        (['dense', 'concatenate', 'head'], (None, 2))
    """

    _graph: Graph | None = None  # None after pickling
    _program: Program | None = None  # None for models that are subclasses

    def __init__(self, inputs: Any = None, outputs: Any = None, name: str | None = None) -> None:
        self.name = name
        if inputs is None and outputs is None:
            return
        if inputs is None or outputs is None:
            raise ArgumentError("nn.Model takes inputs and outputs, or none of both")
        graph = Graph(inputs, outputs)
        taken = {*vars(self)}
        layers = _names(type(self), graph.layers, taken)
        variables = _names(type(self), graph.variables, taken)
        for attribute, value in (
            *zip(layers, graph.layers, strict=True),
            *zip(variables, graph.variables, strict=True),
        ):
            setattr(self, attribute, value)
        self._layer_names = tuple(layers)
        self._graph, self._program = graph, graph.program(layers, variables)

    def call(self, *inputs: Any) -> Any:
        """The outputs, in the form in which they were given to `nn.Model`.

        Args:
            inputs: In the form in which they were given, or one after the other; or a dict with
                the names of the inputs.

        Raises:
            ArgumentError: for another number of inputs.
            ShapeError: for inputs of other shapes.
        """
        program = self._needed_program("call")
        values = self._values(program, inputs)
        pairs = zip(values, program.input_types, strict=True)
        held = [dlc.asarray(v, copy=None).astype(t.dtype, copy=False) for v, t in pairs]
        return program.run(self, held)

    def _needed_program(self, what: str) -> Program:
        if self._program is None:
            raise ArgumentError(
                f"{type(self).__name__} has no {what}: it was made without inputs and outputs",
                hint="call super().__init__(inputs, outputs), or define call(self, ...)",
            )
        return self._program

    def _values(self, program: Program, inputs: tuple[Any, ...]) -> list[Any]:
        given = inputs[0] if len(inputs) == 1 else list(inputs)
        if isinstance(given, Mapping) and program.input_form.kind is not dict:
            missing = [n for n in program.input_names if n not in given]
            if missing:
                hint = f"given were {', '.join(map(repr, given))}"
                raise ArgumentError(f"no data for the inputs {', '.join(missing)}", hint=hint)
            return [given[n] for n in program.input_names]
        leaves = tree.leaves(given) if _has_tensors(given) else [given]
        if len(leaves) != len(program.input_types):
            raise ArgumentError(
                f"the model takes {program.shown_inputs()}; it was given {len(leaves)} tensors"
            )
        return leaves

    # A look at it.

    @property
    def is_functional(self) -> bool:
        """Whether it was made of inputs and outputs."""
        return self._program is not None

    @property
    def layers(self) -> list[Module]:
        """The layers, in the order in which they were called first; inputs are none."""
        if self._program is None:
            return [m for m in self.children() if m.shown]
        return [getattr(self, n) for n in self._layer_names]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Module:
        """The layer of a name or at a position.

        Raises:
            ValueRangeError: when there is none.
        """
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueRangeError(f"layer {index} of a model of {len(layers)} layers")
            return layers[index]
        children = dict(self.named_children())
        for key, layer in children.items():
            if name in (key, layer._name):
                return layer
        raise ValueRangeError(f"no layer {name!r}", hint=nearest(str(name), children))

    @property
    def inputs(self) -> list[dlc.Tensor]:
        """The symbolic inputs."""
        return tree.leaves(self._symbolic_graph().inputs)

    @property
    def outputs(self) -> list[dlc.Tensor]:
        """The symbolic outputs."""
        return tree.leaves(self._symbolic_graph().outputs)

    def _symbolic_graph(self) -> Graph:
        self._needed_program("inputs")
        if self._graph is None:
            raise ArgumentError("a model that was pickled has no symbolic inputs any more")
        return self._graph

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""
        return list(self._needed_program("input_names").input_names)

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs: their keys in a dict, else those of the layers they come from.

        An output that no layer gives, or not it alone, is `output_` and its number. `fit` takes
        losses and true values by these names.
        """
        program = self._needed_program("output_names")
        tree_of_numbers = tree.unflatten(program.output_form, list(range(len(program.outputs))))
        if isinstance(tree_of_numbers, Mapping):
            return sorted(map(str, tree_of_numbers))
        made = {k: s.layer for s in program.steps if isinstance(s, LayerStep) for k in s.writes}
        layers = [made.get(k) for k in program.outputs]
        return [
            name if name is not None and layers.count(name) == 1 else f"output_{k}"
            for k, name in enumerate(layers)
        ]

    @property
    def input_shape(self) -> Any:
        """The shape of the input, with None for extents that may be any; of several a tree."""
        program = self._needed_program("input_shape")
        return tree.unflatten(program.input_form, [type_shape(t) for t in program.input_types])

    @property
    def output_shape(self) -> Any:
        """The shape of the output, as `input_shape`."""
        program = self._needed_program("output_shape")
        return tree.unflatten(program.output_form, [type_shape(t) for t in program.output_types])


def _has_tensors(x: Any) -> bool:
    """Whether something is a tree of tensors, rather than nested lists of numbers."""
    if isinstance(x, Mapping):
        return True
    if isinstance(x, (list, tuple)):
        return any(map(_has_tensors, x))
    return hasattr(x, "shape")


def _names(kind: type[Module], things: Iterable[Any], taken: set[str]) -> list[str]:
    """A name for each, which is that it was given, or one with a number."""
    found: list[str] = []
    for thing in things:
        given = thing.name if isinstance(thing, dlc.Variable) else thing._name
        if given is not None and isinstance(thing, Module):
            if given in taken or "." in given or hasattr(kind, given):
                why = "stands for two layers" if given in taken else "cannot be that of a layer"
                raise ValueRangeError(f"nn.Model: the name {given!r} {why}")
            name = given
        else:
            base = given or getattr(thing, "name", None) or "variable"
            base = f"{base}_layer" if hasattr(kind, base) else base
            numbers = (f"{base}_{k}" for k in range(1, len(taken) + 2))
            name = base if base not in taken else next(n for n in numbers if n not in taken)
        taken.add(name)
        found.append(name)
    return found
