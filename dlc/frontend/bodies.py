"""The functions that loops and branches run: traced, with what they read and write outside.

A body is traced like any function; the tensors and variables that it closes over become operands,
the variables that it assigns to become results. Several bodies of one operation share the list of
what they read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias

from dlc.frontend import tree
from dlc.frontend.apply import as_tensor, convert
from dlc.frontend.closure import Closure, Param, apply_function, trace_closure
from dlc.frontend.context import current_trace
from dlc.frontend.promotion import DEFAULTS
from dlc.frontend.recording import watch
from dlc.frontend.tensor import Tensor, contiguous, make
from dlc.frontend.tree import Structure
from dlc.frontend.variable import Variable, variables_lock
from dlc.ir.build import IRBuilder, find_op
from dlc.ir.core import Function
from dlc.ir.errors import ArgumentError
from dlc.ir.location import user_location
from dlc.ir.record import dataclass
from dlc.ir.types import DType, TensorType, TupleType

# What is read or written outside: a tensor that is closed over, a variable, a variable's gradient.
_Place: TypeAlias = tuple[str, int]


@dataclass
class Body:
    """A traced body: its function, what it returned, which of that are Python numbers."""

    closure: Closure
    weak: list[bool]

    @property
    def output(self) -> Structure:
        """The structure of what it returned."""
        return self.closure.output

    @property
    def types(self) -> list[TensorType]:
        """The types of what it returned, Python numbers at the default of their kind."""
        closure = self.closure
        return [r.tensor for r in closure.function.results[: closure.outputs]]


def trace_body(
    what: str,
    call: Callable[[list[Tensor]], Any],
    params: Sequence[Param],
    dtypes: Sequence[DType | None] = (),
) -> Body:
    """Traces a body.

    Args:
        what: Its name in messages.
        call: Gets tensors for the parameters; returns a tree of tensors and numbers.
        params: The types of its arguments.
        dtypes: The element types that Python numbers among the results take, where given.
    """
    weak: list[bool] = []

    def wrapped(tensors: list[Tensor]) -> Any:
        weak.clear()
        found, structure = tree.flatten(call(tensors))
        wanted = [*dtypes, *[None] * (len(found) - len(dtypes))]
        return tree.unflatten(
            structure, [as_result(x, d) for x, d in zip(found, wanted, strict=False)]
        )

    def as_result(x: Any, dtype: DType | None) -> Any:
        try:
            t = as_tensor(x)
        except ArgumentError:  # named with its place by who closes the trace
            return x
        weak.append(t._weak)
        return convert(t, dtype) if t._weak and dtype is not None else t

    return Body(trace_closure(what, wrapped, params, what), weak)


class Outside:
    """What bodies read and write outside, in one order.

    Args:
        bodies: The bodies of one operation.
        what: The operation, for messages.
    """

    def __init__(self, bodies: Sequence[Body], what: str) -> None:
        self.closures = [b.closure for b in bodies]
        self.objects: dict[_Place, Any] = {}
        self.written: dict[_Place, None] = {}
        for c in self.closures:
            self._look(c, what)

    def _look(self, c: Closure, what: str) -> None:
        for place, thing in self._reads(c):
            self.objects.setdefault(place, thing)
        for v, present in c.gradients_written:
            if present:
                self.objects.setdefault(("gradient", id(v)), v)
            if present != (v.grad is not None):
                name = v.name or "a variable"
                state = "gets" if present else "loses"
                raise ArgumentError(
                    f"{what}: {name} {state} its gradient in the body, so that one iteration "
                    "begins without what another one has",
                    hint="set the gradient before, or use dlc.grad inside",
                )
        self.written.update((p, None) for p in self._writes(c))

    @staticmethod
    def _reads(c: Closure) -> list[tuple[_Place, Any]]:
        found: list[tuple[_Place, Any]] = [(("tensor", id(t)), t) for t in c.captures]
        found += [(("variable", id(v)), v) for v in c.variables]
        return [*found, *((("gradient", id(v)), v) for v in c.gradients)]

    @staticmethod
    def _writes(c: Closure) -> list[_Place]:
        found = [("variable", id(v)) for v in c.written]
        return [*found, *(("gradient", id(v)) for v, present in c.gradients_written if present)]

    @property
    def read(self) -> list[_Place]:
        """What is only read."""
        return [p for p in self.objects if p not in self.written]

    @property
    def changed(self) -> list[_Place]:
        """What is written too."""
        return list(self.written)

    def values(self, places: Sequence[_Place]) -> list[Tensor]:
        """The present values."""
        trace = current_trace()
        held = [self._holder(p) for p in places]
        if trace is not None:
            return [make(None, t._node_in(trace), trace) for t in held]
        watch(held)
        with variables_lock if any(isinstance(t, Variable) for t in held) else nullcontext():
            arrays = [contiguous(t._held("a call", "pass it as an argument")) for t in held]
            return [make(a, history=t._history) for a, t in zip(arrays, held, strict=True)]

    def _holder(self, place: _Place) -> Tensor:
        thing = self.objects[place]
        if place[0] == "gradient":
            thing = thing.grad
        assert isinstance(thing, Tensor)
        return thing

    def settle(self, results: Sequence[Tensor]) -> None:
        """Writes the new values of `changed`."""
        trace = current_trace()
        for place, value in zip(self.changed, results, strict=True):
            thing = self.objects[place]
            if place[0] == "gradient":
                thing.grad = value
            elif trace is not None:
                thing.assign(value)
            else:
                with variables_lock:
                    thing._hold(contiguous(value._held("a call", "pass it as an argument")))

    def function(self, closure: Closure, arguments: int, results: int | None) -> Function:
        """A body's function with all that any body reads as parameters.

        Its parameters are `read`, the first arguments, `changed` and the other arguments; its
        results the first that it returned, the new values of `changed`, and the other ones.

        Args:
            closure: The body.
            arguments: How many arguments come before `changed`.
            results: How many results come before the new values; None leaves these out.
        """
        f = closure.function
        own = dict(
            zip((p for p, _ in self._reads(closure)), f.params[closure.arguments :], strict=True)
        )
        b = IRBuilder()
        for place in self.objects:
            if place not in own:
                own[place] = b.param(self._holder(place).tensor)
        given, found = f.params[: closure.arguments], list(f.results[: closure.outputs])
        if results is not None:
            new = dict(zip(self._writes(closure), f.results[closure.outputs :], strict=True))
            found[results:results] = [new.get(p, own[p]) for p in self.changed]
        before, after = ([own[p] for p in places] for places in (self.read, self.changed))
        params = [*before, *given[:arguments], *after, *given[arguments:]]
        return Function(f.name, params, found, f.nodes)


def emit(op_name: str, operands: Sequence[Tensor], attrs: dict[str, Any]) -> list[Tensor]:
    """The results of an operation that runs functions: recorded, or computed at once."""
    op, trace = find_op(op_name), current_trace()
    if trace is not None:
        return [make(None, n, trace) for n in trace.emit_several(op, operands, attrs)]
    b = IRBuilder(user_location())
    params = [b.param(t.tensor) for t in operands]
    node = b.emit(op, params, attrs)
    assert isinstance(node.type, TupleType)
    results = [b.get(node, index=k) for k in range(len(node.type.items))]
    return apply_function(b.function(op_name, params, results), operands)


def weak_default(x: Tensor) -> DType:
    """The element type that a Python number has when nothing else decides."""
    return DEFAULTS[x.tensor.dtype.kind]
