"""Graphs of layers: what calls of layers with symbolic tensors note, and how they run again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import dlc
from dlc.frontend import tree
from dlc.frontend.apply import apply
from dlc.frontend.closure import Closure, Param, trace_closure
from dlc.frontend.context import outermost_trace
from dlc.frontend.functions.arguments import types_text
from dlc.frontend.symbolic import SYMBOLIC, SymbolNode
from dlc.frontend.tree import Structure
from dlc.ir.build import attrs_at
from dlc.ir.core import Node
from dlc.ir.dims import (
    AS_NUMBER,
    Dim,
    DimExpr,
    DimUnknown,
    answering,
    evaluate,
    substitute,
    symbol,
    symbols_of,
)
from dlc.ir.errors import ArgumentError, DlcError, ShapeError
from dlc.ir.record import NamedTuple, dataclass
from dlc.ir.types import TensorType
from dlc.nn.masking import call_with_mask
from dlc.train import masks

if TYPE_CHECKING:
    from dlc.frontend.trace import Trace
    from dlc.nn.module import Module

_UNNAMED = "any"
_unnamed = itertools.count()
# By the name of an extent that a layer has made: a result that has it.
_origins: WeakValueDictionary[str, Node] = WeakValueDictionary()


class Given(NamedTuple):
    """The origin of an input."""

    name: str | None


class Call:
    """A call of a layer with symbolic tensors, the origin of its results.

    Args:
        module: The layer.
        form: (args, kwargs), with a `Slot` for each symbolic tensor.
        symbols: The symbolic tensors, by the numbers of their slots.
        supposed: Whether something was supposed of open extents, which may not hold in a call.
    """

    def __init__(
        self, module: Module, form: Any, symbols: Sequence[dlc.Tensor], supposed: bool
    ) -> None:
        self.module, self.form, self.symbols = module, form, list(symbols)
        self.supposed = supposed


class Result(NamedTuple):
    """The origin of one of the tensors that a call results in."""

    call: Call
    place: int


class Slot(NamedTuple):
    """Stands for a tensor in arguments, by its number."""

    number: int


def Input(  # noqa: N802
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    name: str | None = None,
    *,
    batch_shape: Any = None,
) -> dlc.Tensor:
    """A symbolic tensor, from which a model is made by calling layers and functions with it.

    Args:
        shape: The shape of an example: numbers, names of extents that may be any, or None for one
            that may be any and is like no other.
        batch_size: The number of examples, if it is always the same; it is the extent `batch`
            of all inputs else.
        dtype: The element type; float32 for None.
        name: A name for the input, by which data for it may be given.
        batch_shape: The whole shape, in the place of `shape` and `batch_size`.

    Raises:
        ArgumentError: for what is no shape.

    Example:
        >>> x = dlc.nn.Input((4,))
        >>> model = dlc.nn.Model(x, dlc.relu(dlc.nn.Dense(3)(x)))
        >>> x, model(dlc.ones((2, 4))).shape
        (<symbolic f32[batch,4]>, (2, 3))
    """
    if (shape is None) == (batch_shape is None):
        raise ArgumentError("nn.Input takes one of shape and batch_shape")
    if batch_shape is None:
        given = (shape,) if isinstance(shape, (int, str)) else tuple(shape)
        given = ("batch" if batch_size is None else batch_size, *given)
    else:
        given = tuple(batch_shape)
        given = ("batch", *given[1:]) if given and given[0] is None else given
    named = tuple(str(_open()) if d is None else d for d in given)
    spec = dlc.spec(named, dtype)
    for d in spec.shape:
        if isinstance(d, str) and not d.isidentifier():
            raise ArgumentError(
                f"nn.Input: the extent {d!r} is neither a number nor a name",
                hint="layers say themselves what open extents must be",
            )
    dims = tuple(symbol(d) if isinstance(d, str) else d for d in spec.shape)
    return SYMBOLIC.tensor(TensorType(spec.dtype, dims), Given(name))


def input_parts(x: dlc.Tensor) -> tuple[TensorType, Given]:
    """What an input is made of, which other processes understand; `input_of` makes one of it."""
    return x.tensor, getattr(x._node, "origin")  # noqa: B009  symbolic nodes have one


def input_of(type_: TensorType, given: Given) -> dlc.Tensor:
    """An input like that whose `input_parts` these are."""
    return SYMBOLIC.tensor(type_, given)


def type_shape(type_: TensorType) -> tuple[int | None, ...]:
    """The shape of a type, with None for extents that may be any."""
    return tuple(d if isinstance(d, int) else None for d in type_.shape)


def shape_of(x: Any) -> Any:
    """The shape of a symbolic tensor, or a tree of shapes of a tree of tensors."""
    return tree.map(lambda t: type_shape(t.tensor), x)


# Calls.


def is_symbolic(x: Any) -> bool:
    """Whether something is a symbolic tensor, or has one in it."""
    if isinstance(x, dlc.Tensor):
        return x._trace is SYMBOLIC
    if isinstance(x, Mapping):
        return any(map(is_symbolic, x.values()))
    return isinstance(x, (list, tuple)) and any(map(is_symbolic, x))


def mapped(x: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments with `change` of everything in them that is no list, tuple or dict."""
    if isinstance(x, Slot):
        return change(x)
    if isinstance(x, Mapping):
        return {k: mapped(v, change) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        items = [mapped(v, change) for v in x]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    return change(x)


def symbolic_call(module: Module, args: Any, kwargs: Any) -> Any:
    """The symbolic results of a layer, whose types are found by tracing it.

    What the layer asks of open extents, such as whether a window fits, is supposed to be as for
    large ones that are alike; what differs with the number of one, where it needs that, is an open
    extent too. Each call of the model runs the layer itself, and compares.

    Raises:
        DlcError: what the layer raises for inputs of these shapes.
        ShapeError: where the layer depends on an extent that is not known.
    """
    symbols: list[dlc.Tensor] = []

    def slot(x: Any) -> Any:
        if not is_symbolic(x):
            return x
        symbols.append(x)
        return Slot(len(symbols) - 1)

    form = mapped((tuple(args), dict(kwargs)), slot)

    def call(tensors: list[dlc.Tensor]) -> Any:
        given, named = mapped(form, lambda x: tensors[x.number] if isinstance(x, Slot) else x)
        return module(*given, **named)

    def trace(types: Sequence[TensorType], call: Callable[..., Any] = call) -> Closure:
        params = [Param(t, x._weak) for t, x in zip(types, symbols, strict=True)]
        return trace_closure(module.name, call, params, f"{module.name}()", module)

    def trace_supposing(types: Sequence[TensorType]) -> Closure:
        large = _Large(types)

        def call_supposing(tensors: list[dlc.Tensor]) -> Any:
            large.trace = outermost_trace()
            return call(tensors)

        try:
            with answering(large.answer):
                return trace(types, call_supposing)
        except DlcError as error:
            if isinstance(error, DimUnknown) or large.unequal is None:
                raise
            raise _refusal(module.name, large.unequal) from None

    given = [t.tensor for t in symbols]
    supposed = False
    try:
        closure = trace(given)
        types = _result_types(closure)
    except DimUnknown:
        supposed = True
        closure, types = _for_numbers(module.name, given, trace_supposing)
    made = Call(module, form, symbols, supposed)
    tensors = [SYMBOLIC.tensor(t, Result(made, k)) for k, t in enumerate(types)]
    known = {n for x in symbols for n in _extents_of(_node(x))}
    for node in map(_node, tensors):
        _origins.update(dict.fromkeys(_extents_of(node) - known, node))
    results = closure.value(tensors)
    module._note_call(args[0] if len(args) == 1 else list(args), results)
    return results


def _result_types(closure: Closure) -> list[TensorType]:
    return [r.tensor for r in closure.function.results[: closure.outputs]]


# They divide well, and tables of them are small.
_NUMBERS = (120, 240)


def _for_numbers(
    layer: str, given: Sequence[TensorType], trace: Callable[[Sequence[TensorType]], Closure]
) -> tuple[Closure, list[TensorType]]:
    """A trace of a layer, and its results' types, with two numbers for extents that it asks for.

    Raises:
        ShapeError: where it asks for one that has a name, or something else that is not known.
    """
    asked: dict[str, Dim] = {}
    while True:
        traces: list[Closure] = []
        try:
            for number in _NUMBERS if asked else _NUMBERS[:1]:
                asked = dict.fromkeys(asked, number)
                shapes = [tuple(substitute(d, asked) for d in t.shape) for t in given]
                types = zip((t.dtype for t in given), shapes, strict=True)
                traces.append(trace([TensorType(*t) for t in types]))
        except DimUnknown as unknown:
            names = symbols_of(unknown.a)
            if unknown.relation != AS_NUMBER or not all(map(_is_unnamed, names)):
                raise _refusal(layer, unknown) from None
            asked.update(dict.fromkeys(names, 0))
            continue
        first, last = (_result_types(traces[k]) for k in (0, -1))
        if [(t.dtype, t.rank) for t in first] != [(t.dtype, t.rank) for t in last]:
            raise ShapeError(
                f"layer {layer!r} gives {types_text(first)} or {types_text(last)}, by the number "
                f"of {', '.join(asked)}, which is not known",
                hint="give nn.Input these extents as numbers",
            )
        return traces[0], [_joined(pair) for pair in zip(first, last, strict=True)]


def _joined(types: Sequence[TensorType]) -> TensorType:
    """The type of a result that has these types for two numbers; what differs may be any."""
    pairs = zip(*(t.shape for t in types), strict=True)
    return TensorType(types[0].dtype, tuple(d[0] if len({*d}) == 1 else _open() for d in pairs))


_LARGE = math.lcm(*range(1, 17)) << 10


class _Large:
    """Answers what a layer asks of open extents as for numbers that stand for them.

    They are large and divide well. Those that are like no other (`any0`, ...) are all the same, so
    that they may meet; others, such as `batch`, differ from them and from each other.
    """

    def __init__(self, types: Iterable[TensorType]) -> None:
        names = sorted({n for t in types for d in t.shape for n in symbols_of(d)})
        self.numbers = {
            n: _LARGE * (1000 if _is_unnamed(n) else 1001 + k) for k, n in enumerate(names)
        }
        self.unequal: DimUnknown | None = None  # the first whose answer is that they differ
        self.trace: Trace | None = None  # where the names are those of these extents

    def answer(self, unknown: DimUnknown) -> bool:
        """The answer; DimUnknown where it is about other extents."""
        asked = symbols_of(unknown.a) | symbols_of(unknown.b)
        if outermost_trace() is not self.trace or not asked <= self.numbers.keys():
            raise unknown
        a, b = evaluate(unknown.a, self.numbers), evaluate(unknown.b, self.numbers)
        if unknown.relation == ">=":
            return a >= b
        if a != b and self.unequal is None:
            self.unequal = unknown
        return a == b


def _refusal(layer: str, unknown: DimUnknown) -> ShapeError:
    """The error that says what is not known."""
    return ShapeError(
        f"layer {layer!r} depends on {unknown.question}, which is not known",
        hint="give nn.Input these extents as numbers, or one name to those that are equal",
    )


def _open() -> Dim:
    """An extent that may be any and is like no other."""
    return symbol(f"{_UNNAMED}{next(_unnamed)}")


def _is_unnamed(name: str) -> bool:
    return name.removeprefix(_UNNAMED).isdigit() and name.startswith(_UNNAMED)


# Programs: graphs as plain data.


class LayerStep(NamedTuple):
    """A layer by its name, its arguments with slots, and the slots and types of its results.

    supposed: Whether the types hold only if what was supposed of open extents does.
    """

    layer: str
    form: Any
    results: dict[int, int]
    types: list[TensorType]
    supposed: bool

    @property
    def reads(self) -> list[int]:
        """The slots that it reads."""
        found: list[int] = []
        mapped(self.form, lambda x: found.append(x.number) if isinstance(x, Slot) else None)
        return found

    @property
    def writes(self) -> list[int]:
        """The slots that it fills."""
        return list(self.results.values())


class OpStep(NamedTuple):
    """An op with the slots of its operands and its result."""

    op: str
    operands: tuple[int, ...]
    attrs: dict[str, Any]
    result: int

    @property
    def reads(self) -> tuple[int, ...]:
        """The slots that it reads."""
        return self.operands

    @property
    def writes(self) -> list[int]:
        """The slots that it fills."""
        return [self.result]


class ValueStep(NamedTuple):
    """A tensor from outside; a variable by its name among the model's attributes."""

    value: Any
    result: int

    @property
    def reads(self) -> tuple[int, ...]:
        """The slots that it reads: none."""
        return ()

    @property
    def writes(self) -> list[int]:
        """The slots that it fills."""
        return [self.result]


Step = LayerStep | OpStep | ValueStep


@dataclass(frozen=True)
class Program:
    """What a model does with its inputs, which have the first slots.

    steps: What is done, in order.
    input_types: Their types, whose symbols are extents that may be any.
    input_names: A name for each.
    input_form, output_form: The trees of inputs and outputs.
    outputs: The slots of the outputs.
    output_types: Their types.
    """

    steps: tuple[Step, ...]
    input_types: tuple[TensorType, ...]
    input_names: tuple[str, ...]
    input_form: Structure
    outputs: tuple[int, ...]
    output_types: tuple[TensorType, ...]
    output_form: Structure

    def run(self, holder: Any, values: Sequence[dlc.Tensor]) -> Any:
        """The outputs for a value of each input.

        Args:
            holder: Has the layers and variables as attributes.
            values: A tensor for each input.

        Raises:
            ShapeError: for values of other shapes.
        """
        held: dict[int, Any] = dict(enumerate(values))
        known: dict[int, Any] = {}  # masks
        dims = self._dims(values)
        for step in self.steps:
            if isinstance(step, LayerStep):
                fill = lambda x: held[x.number] if isinstance(x, Slot) else x  # noqa: E731
                args, kwargs = mapped(step.form, fill)
                layer = getattr(holder, step.layer)
                if len(args) == 1 and not kwargs and isinstance(args[0], dlc.Tensor):
                    mask = known.get(step.reads[0]) if step.reads else None
                    result, mask = call_with_mask(layer, args[0], mask)
                    known.update(dict.fromkeys(step.writes, mask))
                else:
                    result = layer(*args, **kwargs)
                leaves = tree.leaves(result)
                held.update({slot: leaves[k] for k, slot in step.results.items()})
                if step.supposed:
                    _compare(step, held, dims)
            elif isinstance(step, OpStep):
                attrs = attrs_at(step.attrs, lambda d: substitute(d, dims))
                held[step.result] = apply(step.op, *(held[k] for k in step.operands), **attrs)
            else:
                name = step.value
                held[step.result] = getattr(holder, name) if isinstance(name, str) else name
        for k in self.outputs:
            masks.note(held[k], known.get(k))
        return tree.unflatten(self.output_form, [held[k] for k in self.outputs])

    def _dims(self, values: Sequence[dlc.Tensor]) -> dict[str, Dim]:
        """What the symbols are for these values; ShapeError where they do not fit."""
        dims: dict[str, Dim] = {}
        fits = True
        for wanted, value in zip(self.input_types, values, strict=True):
            actual = value.tensor.shape
            fits = fits and len(actual) == wanted.rank
            for d, found in zip(wanted.shape, actual, strict=False):
                names = symbols_of(d)
                if len(names) == 1 and d == symbol(min(names)):
                    dims.setdefault(min(names), found)
                held = substitute(d, dims)
                known = isinstance(held, int) and isinstance(found, int)
                fits = fits and (held == found or not known)
        if not fits:
            raise ShapeError(
                f"the model takes {self.shown_inputs()}, not "
                + ", ".join(str(v.tensor) for v in values)
            )
        return dims

    def shown_inputs(self) -> str:
        """The inputs with their types, for messages."""
        pairs = zip(self.input_names, self.input_types, strict=True)
        return ", ".join(f"{name} {type_}" for name, type_ in pairs)


def _compare(step: LayerStep, held: Mapping[int, Any], dims: dict[str, Dim]) -> None:
    """ShapeError for results of a layer that have other shapes than the graph was made with.

    What may be any there gets into `dims`.
    """
    for slot, wanted in zip(step.writes, step.types, strict=True):
        for d, found in zip(wanted.shape, held[slot].tensor.shape, strict=False):
            if isinstance(d, DimExpr) and _is_unnamed(str(d)):
                dims.setdefault(str(d), found)
        expected = tuple(substitute(d, dims) for d in wanted.shape)
        actual = held[slot].tensor.shape
        pairs = list(zip(expected, actual, strict=False))
        known = [(d, e) for d, e in pairs if isinstance(d, int) and isinstance(e, int)]
        if len(pairs) != len(actual) or len(pairs) != wanted.rank or any(d != e for d, e in known):
            raise ShapeError(
                f"layer {step.layer!r} gives {held[slot].tensor} here, where the model was made "
                f"with {wanted}",
                hint="it treats such inputs in another way: give nn.Input the extents as numbers",
            )


# Graphs.


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
        self._input_nodes = [_node(t) for t in leaves]
        self._output_nodes = [_node(t) for t in results]
        given = {n: k for k, n in enumerate(self._input_nodes)}
        if len(given) != len(leaves):
            raise ArgumentError("nn.Model: an input stands twice among the inputs")
        found = _needed(self._output_nodes, given)
        self._slots = {**given, **{n: len(given) + k for k, n in enumerate(found)}}
        self._made = found
        self.calls = _unique(c for n in found if (c := _call_of(n)) is not None)
        self.layers: list[Module] = _unique(c.module for c in self.calls)
        origins = (getattr(n, "origin", None) for n in found)
        self.variables = _unique(v for v in origins if isinstance(v, dlc.Variable))

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs: those they were given, or `input_0` and so on."""
        origins = [getattr(n, "origin", None) for n in self._input_nodes]
        return tuple(
            (o.name if isinstance(o, Given) else None) or f"input_{k}"
            for k, o in enumerate(origins)
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
        return Slot(self._slots[_node(call.symbols[x.number])]) if isinstance(x, Slot) else x

    def __deepcopy__(self, _memo: Any) -> Graph:
        return self  # it never changes

    def __reduce__(self) -> Any:
        return _nothing, ()  # symbolic tensors are those of this process


def _nothing() -> None:
    """What is left of a graph in another process."""


def _unique(items: Iterable[Any]) -> list[Any]:
    return list({id(x): x for x in items}.values())


def _node(tensor: dlc.Tensor) -> Node:
    assert tensor._node is not None
    return tensor._node


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


def _extents_of(node: Node) -> set[str]:
    """The names of the extents that may be any in a node's type."""
    return {n for d in node.tensor.shape for n in symbols_of(d)}


def _needed(outputs: Sequence[Node], given: Mapping[Node, int]) -> list[Node]:
    """The nodes that outputs need besides the inputs, in the order in which they were made."""
    found: dict[Node, int] = {}
    todo = list(outputs)
    known = {n for node in given for n in _extents_of(node)}
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
            todo += [_node(t) for t in node.origin.call.symbols]
        todo += node.inputs
        todo += [_origins[n] for n in _extents_of(node) - known if n in _origins]
    return sorted(found, key=found.__getitem__)
