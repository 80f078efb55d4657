"""The graph of what was recorded: how eager tensors were computed.

A node of it is one result of a recorded call, of an operation or of a whole function; a leaf holds
an array. The IR of a part of the graph is made when a gradient is asked for. Values in between are
not kept.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Collection, Hashable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dlc.ir.build import IRBuilder, with_extents
from dlc.ir.core import Function, Node, all_nodes
from dlc.ir.dims import substitute
from dlc.ir.location import Place, location_of
from dlc.ir.op import OPS, Op
from dlc.ir.recent import Recent
from dlc.ir.types import TensorType, dtype_of

if TYPE_CHECKING:
    from dlc.frontend.variable import Variable

Array: TypeAlias = np.ndarray[Any, Any]

_numbers = itertools.count()  # of histories: inputs have smaller ones


class Template:
    """What recorded calls of one kind compute.

    Args:
        function: Of integer extents; its parameters are the inputs of a call.
    """

    __slots__ = ("function", "is_built_in")

    def __init__(self, function: Function) -> None:
        self.function = function
        # Rows of someone else's may be replaced by others of the same name.
        self.is_built_in = all(OPS.is_built_in(n.op) for n in all_nodes(function))


class History:
    """How an eager tensor was computed.

    Args:
        template: What the call computes.
        index: Which of its results this is.
        inputs: Of the call; one tuple for all its results.
        persistent: Whether it was reached from a variable with `requires_grad`, so that what is
            computed from it is recorded without a tape too.
        place: The user's line.
    """

    __slots__ = ("index", "inputs", "number", "persistent", "place", "template")

    def __init__(
        self,
        template: Template,
        index: int,
        inputs: tuple[History, ...],
        persistent: bool,
        place: Place,
    ) -> None:
        self.template, self.index, self.inputs = template, index, inputs
        self.persistent, self.place, self.number = persistent, place, next(_numbers)

    @property
    def tensor(self) -> TensorType:
        """The type of the tensor."""
        return self.template.function.results[self.index].tensor


class Leaf(History):
    """A tensor that was not computed as far as the graph knows.

    Args:
        array: Its value.
        persistent: Whether what is computed from it is recorded without a tape too.
        owner: The variable whose value it is.
    """

    __slots__ = ("_owner", "array")

    def __init__(self, array: Array, persistent: bool, owner: Variable | None = None) -> None:
        self.array, self.persistent = array, persistent
        self.inputs, self.number = (), next(_numbers)
        self._owner = None if owner is None else weakref.ref(owner)

    @property
    def tensor(self) -> TensorType:
        """The type of the tensor."""
        return TensorType(dtype_of(self.array.dtype), self.array.shape)

    @property
    def owner(self) -> Variable | None:
        """The variable whose value it is."""
        return None if self._owner is None else self._owner()


# Templates.

_templates: Recent[Template] = Recent(most=4096)


def hashable(value: Any) -> Hashable:
    """An attribute as a part of a key: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if isinstance(value, float):
        return ("float", value.hex())
    return (type(value), value)


def operation_template(
    op: Op, attrs: Mapping[str, Any], inputs: Sequence[TensorType], result: TensorType
) -> Template:
    """The template of an operation.

    Args:
        op: The operation.
        attrs: Its attributes, normalised.
        inputs: The types of its operands.
        result: Its type.
    """
    key = (op, *map(hashable, attrs.values()), *inputs)
    try:
        found = _templates.get(key)
    except TypeError:  # an array among the attributes
        key = object()
        found = None
    if found is not None:
        return found
    b = IRBuilder()
    params = [b.param(t) for t in inputs]
    node = Node(op, tuple(params), attrs, result)
    return _templates.keep(key, Template(Function(op.name, params, [node], [node])))


def function_template(function: Function, dims: Mapping[str, int]) -> Template:
    """The template of a function, at these values of its symbols."""
    key = (function, *dims.items())
    found = _templates.get(key)
    if found is not None:
        return found
    made = with_extents(function, lambda d: substitute(d, dims)) if dims else function
    return _templates.keep(key, Template(made))


# Parts of the graph.


def reached(target: History, cut: Collection[History] = ()) -> list[History]:
    """What `target` is computed from, itself included, inputs first; nothing beyond `cut`."""
    found = {target}
    left = [target]
    while left:
        history = left.pop()
        if history not in cut:
            for x in history.inputs:
                if x not in found:
                    found.add(x)
                    left.append(x)
    return sorted(found, key=attrgetter("number"))


def key_of(order: Sequence[History], sources: Sequence[History]) -> Hashable:
    """What tells the part of the graph from others, but for the values of leaves and lines.

    Args:
        order: What `reached` gave.
        sources: Where it was cut.
    """
    position = {h: k for k, h in enumerate(order)}
    cut = set(sources)
    parts: list[Hashable] = []
    for h in order:
        if isinstance(h, Leaf):
            parts.append((h.array.dtype, h.array.shape))
        elif h in cut:
            parts.append(h.tensor)
        else:
            parts.append((h.template, h.index, *[position[x] for x in h.inputs]))
    # A source that is reached by way of others only has no place.
    places = [k if (k := position.get(s)) is not None else s.tensor for s in sources]
    return tuple(places), tuple(parts)


def other_leaves(order: Sequence[History], sources: Sequence[History]) -> list[Leaf]:
    """The leaves that are none of the sources, in their order."""
    cut = set(sources)
    return [h for h in order if isinstance(h, Leaf) and h not in cut]


def function_of(order: Sequence[History], sources: Sequence[History]) -> Function:
    """The function from `sources`, and from other leaves in their order, to the last of `order`.

    Args:
        order: What `reached` gave.
        sources: Where it was cut.
    """
    inputs = [*sources, *other_leaves(order, sources)]
    b = IRBuilder()
    params = [b.param(h.tensor) for h in inputs]
    new: dict[History, Node] = dict(zip(inputs, params, strict=True))
    calls: dict[Hashable, list[Node]] = {}
    for h in order:
        if h in new:
            continue
        call = (h.template, id(h.inputs))
        if call not in calls:
            b.loc = location_of(h.place)
            calls[call] = b.inlined(h.template.function, [new[x] for x in h.inputs])
        new[h] = calls[call][h.index]
    return b.function("backward", params, [new[order[-1]]])
