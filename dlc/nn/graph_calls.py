"""Symbolic tensors: inputs of models, and calls of layers with them, which note what they are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import dlc
from dlc.frontend import tree
from dlc.frontend.closure import Closure, Param, trace_closure
from dlc.frontend.context import outermost_trace
from dlc.frontend.functions.arguments import types_text
from dlc.frontend.symbolic import SYMBOLIC
from dlc.ir.core import Node
from dlc.ir.dims import (
    AS_NUMBER,
    Dim,
    DimUnknown,
    answering,
    evaluate,
    substitute,
    symbol,
    symbols_of,
)
from dlc.ir.errors import ArgumentError, DlcError, ShapeError
from dlc.ir.record import NamedTuple
from dlc.ir.types import TensorType
from dlc.nn.graph_program import UNNAMED, Slot, is_unnamed, mapped

if TYPE_CHECKING:
    from dlc.frontend.trace import Trace
    from dlc.nn.module import Module

_unnamed = itertools.count()
# By the name of an extent that a layer has made: a result that has it.
origins: WeakValueDictionary[str, Node] = WeakValueDictionary()


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


def is_symbolic(x: Any) -> bool:
    """Whether something is a symbolic tensor, or has one in it."""
    if isinstance(x, dlc.Tensor):
        return x._trace is SYMBOLIC
    if isinstance(x, Mapping):
        return any(map(is_symbolic, x.values()))
    return isinstance(x, (list, tuple)) and any(map(is_symbolic, x))


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
    known = {n for x in symbols for n in extents_of(node_of(x))}
    for node in map(node_of, tensors):
        origins.update(dict.fromkeys(extents_of(node) - known, node))
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
            if unknown.relation != AS_NUMBER or not all(map(is_unnamed, names)):
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
            n: _LARGE * (1000 if is_unnamed(n) else 1001 + k) for k, n in enumerate(names)
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
    return symbol(f"{UNNAMED}{next(_unnamed)}")


def node_of(tensor: dlc.Tensor) -> Node:
    """The node of a symbolic tensor."""
    assert tensor._node is not None
    return tensor._node


def extents_of(node: Node) -> set[str]:
    """The names of the extents that may be any in a node's type."""
    return {n for d in node.tensor.shape for n in symbols_of(d)}
