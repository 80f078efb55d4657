"""A traced function with what it reads and writes outside, for `compile` and the transforms.

Its parameters are, in order: the arguments, tensors that it closes over, variables, gradients of
variables. Its
results: the outputs, new values of variables, new gradients.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from dlc.frontend import tree
from dlc.frontend.apply import as_tensor, materialise
from dlc.frontend.context import current_trace
from dlc.frontend.conversion import with_conversion
from dlc.frontend.execution import Program, Runner, run_function, searching
from dlc.frontend.recording import record_function, recording, watch
from dlc.frontend.tensor import Array, Tensor, contiguous, make
from dlc.frontend.trace import Trace, tracing
from dlc.frontend.tree import Structure
from dlc.frontend.variable import Variable, variables_lock
from dlc.ir.core import Function, Node
from dlc.ir.errors import ArgumentError
from dlc.ir.record import NamedTuple, dataclass
from dlc.ir.types import TensorType, dtype_of, float32
from dlc.runtime.buffers import aligned_copy, empty


class Param(NamedTuple):
    """An argument to trace with."""

    type: TensorType
    weak: bool = False
    name: str | None = None


_OUTSIDE = ("a call", "pass it as an argument")


@dataclass
class Closure:
    """A traced function with what it reads and writes outside.

    fixed: the positions, among the captures, of those whose value never changes.
    guards: variables of which it was asked whether they have a gradient, with the answer it was
        traced for.
    gradients_written: variables whose gradient was set, with whether it is a result (or None now).
    observed: attributes of objects, with what they held (see `dlc.frontend.context.observe`).
    """

    function: Function
    arguments: int
    captures: list[Tensor]
    fixed: list[int]
    variables: list[Variable]
    gradients: list[Variable]
    output: Structure
    outputs: int
    written: list[Variable]
    gradients_written: list[tuple[Variable, bool]]
    guards: list[tuple[Variable, bool]]
    observed: list[tuple[object, str, object]]

    @property
    def has_state(self) -> bool:
        """Whether it replaces variables or their gradients."""
        return bool(self.written or self.gradients_written)

    def value(self, results: Sequence[Any]) -> Any:
        """The outputs among the results, as the function returned them."""
        if self.output.kind is tree.Leaf:
            return results[0]
        return tree.unflatten(self.output, results[: self.outputs])

    @property
    def changing(self) -> list[Tensor]:
        """The captures whose value may be another one in each call."""
        return [t for k, t in enumerate(self.captures) if k not in self.fixed]

    @property
    def fixed_params(self) -> tuple[int, ...]:
        """The positions of the parameters whose value never changes."""
        return tuple(self.arguments + k for k in self.fixed)

    def fixed_values(self) -> list[Array]:
        """The values of `fixed_params`."""
        return [self.captures[k]._held(*_OUTSIDE) for k in self.fixed]

    def arrays(self) -> list[Array]:
        """The present values of what it reads outside."""
        return [d for t in (*self.captures, *self.variables) if (d := t._data) is not None]

    @property
    def written_params(self) -> tuple[int, ...]:
        """The positions of the parameters whose memory the program may reuse."""
        first = self.arguments + len(self.captures)
        written = set(map(id, self.written))  # `==` of variables is elementwise
        return tuple(first + k for k, v in enumerate(self.variables) if id(v) in written)

    def guards_hold(self) -> bool:
        """Whether variables have gradients, and attributes values, as when this was traced."""
        held = all((v._grad is not None) == present for v, present in self.guards)
        return held and not self.changed()

    def changed(self) -> list[str]:
        """The attributes that hold other objects than those this was traced with."""
        return [
            f"{type(holder).__name__}.{name.lstrip('_')}"
            for holder, name, value in self.observed
            if getattr(holder, name) is not value
        ]

    # Pure application, for transforms: the state is read once, and written when `settle` is called.

    def state(self) -> list[Tensor]:
        """The values of what it reads outside, now."""
        trace = current_trace()
        if trace is not None:
            nodes = [t._node_in(trace) for t in (*self.captures, *self.variables)]
            nodes += [n for n in map(trace.gradient_of, self.gradients) if n is not None]
            return [make(None, n, trace) for n in nodes]
        gradients = [g for v in self.gradients if (g := v._grad) is not None]
        held = [*self.captures, *self.variables, *gradients]
        watch(held)
        with variables_lock if self.variables else nullcontext():
            return [make(contiguous(t._held(*_OUTSIDE)), history=t._history) for t in held]

    def settle(self, results: Sequence[Tensor]) -> list[Tensor]:
        """Writes the state that `apply_function` resulted in; returns the further results.

        Args:
            results: Those of this closure's function, or of one derived from it with more results
                at the end.
        """
        trace = current_trace()
        at = self.outputs
        for v in self.written:
            if trace is not None:
                v.assign(results[at])
            else:
                v._hold(contiguous(results[at]._held(*_OUTSIDE)))
            at += 1
        for v, present in self.gradients_written:
            v.grad = results[at] if present else None
            at += present
        return list(results[at:])

    # Eagerly.

    def run(
        self, program: Program, arguments: list[Array], donated: Sequence[int] = ()
    ) -> list[Array]:
        """Runs a program of this closure's function, replaces variables, returns the outputs.

        Args:
            program: What to run.
            arguments: Arrays for the arguments; the list is emptied, so that their memory can be
                reused.
            donated: Positions of parameters whose memory the program reuses.
        """
        call = searching(program, self.function)
        if not self.has_state:
            # Others may replace a variable while this runs: its array is then copied.
            with variables_lock if self.variables else nullcontext():
                held = self._gather(arguments)
            results = _call_donating(call, held, donated) if donated else call(held)
            return results[: self.outputs]
        with variables_lock:
            results = self._run_replacing(call, self._gather(arguments), donated)
            self._settle(results)
        return results[: self.outputs]

    def _gather(self, arguments: list[Array]) -> list[Array]:
        """All inputs of a program, as kernels can read them."""
        arrays = list(arguments)
        arguments.clear()
        arrays += [t._held(*_OUTSIDE) for t in self.captures]
        held = [contiguous(a) for a in arrays]
        # What variables hold is contiguous.
        held += [d if (d := v._data) is not None else v._held(*_OUTSIDE) for v in self.variables]
        held += [g._held(*_OUTSIDE) for v in self.gradients if (g := v._grad) is not None]
        return held

    def _run_replacing(
        self, call: Runner, held: list[Array], donated: Sequence[int]
    ) -> list[Array]:
        """Takes written variables' arrays out while the program may overwrite them."""
        first = self.arguments + len(self.captures)
        for v in self.written:
            v._hold(None)
        done = False
        try:
            results = _call_donating(call, held, donated)
            done = True
        finally:
            if not done:
                for k, v in enumerate(self.variables):
                    if v._data is None:
                        v._hold(held[first + k])
        return results

    def _settle(self, results: Sequence[Array]) -> None:
        at = self.outputs
        for v in self.written:
            v._hold(results[at])
            at += 1
        for v, present in self.gradients_written:
            v._grad = make(results[at]) if present else None
            at += present


def apply_function(function: Function, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The results of a function of integer extents: recorded in the present trace, or computed."""
    trace = current_trace()
    if trace is not None:
        nodes = trace.inline(function, [t._node_in(trace) for t in tensors])
        return [make(None, n, trace) for n in nodes]
    results = run_function(function, [contiguous(t._held(*_OUTSIDE)) for t in tensors])
    histories = record_function(function, dict, tensors)
    return [
        make(r, history=h) for r, h in zip(results, histories or [None] * len(results), strict=True)
    ]


def _references(held: list[Array], positions: Sequence[int]) -> list[tuple[int, int]]:
    """The reference counts of arrays of a list and of their memory."""
    count = sys.getrefcount
    return [(count(held[k]), count(held[k].base)) for k in positions]


# What they are when nobody else can see an array.
_EXCLUSIVE = _references([empty((1,), float32)], [0])[0]


def _call_donating(call: Runner, held: list[Array], donated: Sequence[int]) -> list[Array]:
    """Runs a program that may overwrite the donated inputs; those that others see are copied."""
    copied = {k: held[k] for k in shared(held, donated)}
    for k, array in copied.items():
        held[k] = aligned_copy(array, dtype_of(array.dtype))
    try:
        return call(held)
    except BaseException:
        for k, array in copied.items():
            held[k] = array
        raise


def shared(held: list[Array], positions: Sequence[int]) -> list[int]:
    """Those of `positions` whose arrays, or their memory, are referenced by others than `held`."""
    most, most_of_base = _EXCLUSIVE
    return [
        k
        for k, (count, of_base) in zip(positions, _references(held, positions), strict=True)
        if count > most
        or (
            (base := held[k].base) is not None
            and not (of_base <= most_of_base and type(base) is np.ndarray and base.flags.owndata)
        )
    ]


def trace_closure(
    name: str,
    call: Callable[[list[Tensor]], Any],
    params: Sequence[Param],
    where: str = "the function",
    function: Callable[..., Any] | None = None,
) -> Closure:
    """Traces `call`, which gets a tensor for each of `params` and returns a tree of tensors.

    Where it is the outermost trace, it is made again with Python's control flow converted if a
    traced tensor has to decide something; `function` is the user's function that `call` calls
    through `user_function`.

    Raises:
        ArgumentError: when a leaf of what it returns is no tensor, array or number.
        DimUnknown: when it depends on symbolic dims in an undecidable way.
    """
    return with_conversion(lambda: _trace_closure(name, call, params, where), function)


def _trace_closure(
    name: str, call: Callable[[list[Tensor]], Any], params: Sequence[Param], where: str
) -> Closure:
    with tracing() as trace, recording(enabled=True):
        tensors = [trace.param(p.type, p.name, p.weak) for p in params]
        nodes = [t._node for t in tensors]
        returned = call(tensors)
        found, output = tree.flatten(returned)
        outputs = [
            _output(x, path, trace, where) for x, path in zip(found, output.paths(), strict=True)
        ]
        return _close(name, trace, [n for n in nodes if n is not None], output, outputs)


def _output(x: Any, path: str, trace: Trace, where: str) -> Node:
    try:
        return materialise(as_tensor(x))._node_in(trace)
    except ArgumentError:
        raise ArgumentError(
            f"{where} returned a {type(x).__name__}{' at ' + path if path else ''}",
            hint="return tensors, numbers, None, and lists, tuples or dicts of them",
        ) from None


def _close(
    name: str, trace: Trace, params: Sequence[Node], output: Structure, outputs: Sequence[Node]
) -> Closure:
    written = list(trace.written)
    gradients_written = [(v, trace.gradients[v] is not None) for v in trace.gradients_written]
    new_gradients = [
        n for n in (trace.gradients[v] for v in trace.gradients_written) if n is not None
    ]
    results = [*outputs, *(trace.variables[v] for v in written), *new_gradients]
    captures = [t for t, _ in trace.captures.values()]
    never_change = set(map(id, trace.root.fixed.values()))
    gradients = {v: n for v, n in trace.gradient_inputs.items() if n is not None}
    all_params = [
        *params,
        *(n for _, n in trace.captures.values()),
        *trace.inputs.values(),
        *gradients.values(),
    ]
    return Closure(
        function=trace.function(name, all_params, results),
        arguments=len(params),
        captures=captures,
        fixed=[k for k, t in enumerate(captures) if id(t) in never_change],
        variables=list(trace.inputs),
        gradients=list(gradients),
        output=output,
        outputs=len(outputs),
        written=written,
        gradients_written=gradients_written,
        guards=[(v, n is not None) for v, n in trace.gradient_inputs.items()],
        observed=[
            *((x, name, getattr(x, name)) for (_, name), x in trace.observed.items()),
            *trace.observed_first.values(),
        ],
    )
