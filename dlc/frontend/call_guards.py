"""What a call of a compiled function must be like to be served without Python, as guards.

The guards are made from a call that went through Python: one for each argument as it was given, and
one for each tensor or variable that the function uses besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.frontend import tree
from dlc.frontend.closure import Closure
from dlc.frontend.entry_chain import Unusual
from dlc.frontend.signature import NUMBERS, Call, Given, LeafKey, Signature
from dlc.frontend.tensor import Tensor, donated_node
from dlc.frontend.tree import Leaf, Structure
from dlc.frontend.variable import Variable
from dlc.ir.record import NamedTuple
from dlc.ir.types import TensorType
from dlc.runtime.call_plan import CallForm
from dlc.runtime.entry_plan import (
    RESULT,
    ArrayParameter,
    Cleared,
    Guard,
    Held,
    Items,
    Mapped,
    ScalarParameter,
    Value,
)


def call_form(
    call: Call, given: Given, signature: Signature, closure: Closure, recorded: bool
) -> tuple[CallForm, bool]:
    """The form of calls like one that has just been served through Python.

    Args:
        call: It, taken apart.
        given: Its arguments.
        signature: The function's.
        closure: What was run.
        recorded: Whether gradients are recorded at present.

    Returns:
        The form, and whether the result depends on what tapes see, or on what `no_grad` hides.

    Raises:
        Unusual: for a call that native code cannot serve.
    """
    leaves = _LeafGuards(call, closure, recorded)
    parameters = _arguments(call, given, signature, leaves)
    held = leaves.captured()
    targets: list[tuple[Variable, str] | None] = [None] * closure.outputs
    targets += [(v, "_data") for v in closure.written]
    targets += [(v, "_grad") for v, present in closure.gradients_written if present]
    cleared = [Cleared(v, "_grad") for v, present in closure.gradients_written if not present]
    form, finish = _returned(closure.output)
    made = CallForm(parameters, tuple(given.kwargs), held, targets, cleared, form, finish)
    return made, leaves.depends_on_recording


def _arguments(call: Call, given: Given, signature: Signature, leaves: _LeafGuards) -> list[Guard]:
    """A guard for each argument, in the order in which they were written."""
    # `bind` moves arguments given by name into their places; marks show where each one went.
    marks = [_Mark(k) for k in range(len(given.args) + len(given.kwargs))]
    names = dict(zip(given.kwargs, marks[len(given.args) :], strict=True))
    args, kwargs = signature.bind(tuple(marks[: len(given.args)]), names)
    values = [*given.args, *given.kwargs.values()]
    of_args, of_kwargs = call.key.structure.children
    places = [*enumerate(args), *((name, kwargs[name]) for name in of_kwargs.data or ())]
    structures = [*of_args.children, *of_kwargs.children]
    found: list[Guard | None] = [None] * len(marks)
    at = 0
    for (place, mark), structure in zip(places, structures, strict=True):
        if not isinstance(mark, _Mark):
            raise Unusual("an argument that was not given")
        if place in call.static:
            found[mark.number] = Value(values[mark.number])
        else:
            found[mark.number] = _tree(structure, values[mark.number], at, leaves.guard)
        at += structure.num_leaves
    guards = [g for g in found if g is not None]
    if len(guards) < len(found):
        raise Unusual("arguments that are collected into one")
    return guards


class _Mark(NamedTuple):
    number: int


def _tree(structure: Structure, value: Any, at: int, leaf: Callable[[int], Guard]) -> Guard:
    """The guard of a tree whose first leaf is number `at` of the call."""
    kind = structure.kind
    if kind is Leaf:
        return leaf(at)
    if kind is None:
        return Value(None)
    starts = [at]
    for child in structure.children:
        starts.append(starts[-1] + child.num_leaves)
    if kind is dict:
        # Native code walks a dict in its own order, not in that of the leaves.
        order = {key: k for k, key in enumerate(structure.data)}
        return Mapped(
            {
                key: _tree(structure.children[order[key]], v, starts[order[key]], leaf)
                for key, v in value.items()
            }
        )
    if kind is list or issubclass(kind, tuple):
        children = zip(structure.children, value, starts, strict=False)
        return Items(kind, [_tree(c, v, start, leaf) for c, v, start in children])
    raise Unusual(f"a {kind.__name__}")


class _LeafGuards:
    """Guards of the program's inputs, which are its first slots."""

    def __init__(self, call: Call, closure: Closure, recorded: bool) -> None:
        self._call, self._closure = call, closure
        self._donated, self._written = frozenset(call.donated), set(map(id, closure.written))
        # A function that replaces variables records nothing.
        self._looks_at_histories = not closure.has_state
        self._recorded = recorded
        self.depends_on_recording = False

    def guard(self, k: int) -> Guard:
        """The guard of the argument that is leaf `k`."""
        x, key, shape = self._call.given[k], self._call.key.leaves[k], self._call.shapes[k]
        if type(x) in NUMBERS:
            kind = np.bool_ if type(x) is bool else np.int64 if type(x) is int else np.float64
            return ScalarParameter(k, np.dtype(kind))
        if k in self._donated:
            return self._donated_leaf(k, key, shape)
        if isinstance(x, Tensor):
            return self._tensor(k, x)
        if type(x) is not np.ndarray or key.weak or x.shape != shape:
            raise Unusual(f"a {type(x).__name__}")
        return ArrayParameter(k, shape, _usable(x).dtype, accepts_arrays=True)

    def _donated_leaf(self, k: int, key: LeafKey, shape: tuple[int, ...]) -> Guard:
        if type(self._call.given[k]) is not Tensor or key.weak:
            raise Unusual("memory that the caller keeps")
        node = donated_node(TensorType(key.dtype, shape))
        afterwards = {"_data": None, "_history": None, "_node": node}
        return ArrayParameter(k, shape, key.dtype.numpy, overwritten=afterwards)

    def _tensor(self, k: int, x: Tensor) -> ArrayParameter:
        """The guard of a tensor that is input `k`, wherever it was found."""
        array = x._data
        if array is None or x._weak:
            raise Unusual("a tensor without an array of its dtype")
        is_variable = isinstance(x, Variable)
        if self._looks_at_histories:
            history = x._history is not None
            if history and self._recorded:
                raise Unusual("a tensor with a history")
            self.depends_on_recording |= history or is_variable
        elif not is_variable and type(x) is not Tensor:
            raise Unusual(f"a {type(x).__name__}")
        plain = type(x) is Tensor
        return ArrayParameter(
            k, array.shape, _usable(array).dtype, accepts_arrays=plain, cls=type(x)
        )

    def captured(self) -> list[Held]:
        """The guards of what the function uses besides its arguments."""
        closure = self._closure
        at = closure.arguments
        held: list[Held] = []
        for x in (*closure.changing, *closure.variables):
            guard = self._tensor(at, x)
            overwritten = {"_data": None} if id(x) in self._written else None
            guard = ArrayParameter(
                at, guard.shape, guard.dtype, cls=type(x), overwritten=overwritten, comes_back=True
            )
            held.append(Held(x, guard))
            at += 1
        for v in closure.gradients:
            if v._grad is None:
                raise Unusual("a gradient that is gone")
            held.append(Held(v, self._tensor(at, v._grad), "_grad"))
            at += 1
        held += [Held(v, Value(None), "_grad") for v, present in closure.guards if not present]
        held += [Held(x, Value(value), name) for x, name, value in closure.observed]
        return held


def _usable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative:
        return array
    raise Unusual("an array that has to be copied")


def _returned(output: Structure) -> tuple[Any, Callable[[Sequence[Any]], Any] | None]:
    """What a call returns, as the form of an entry plan, and what finishes it."""
    try:
        return _form(output), None
    except Unusual:
        return (RESULT,) * output.num_leaves, lambda results: tree.unflatten(output, results)


def _form(s: Structure) -> Any:
    if s.kind is Leaf:
        return RESULT
    if s.kind is None:
        return None
    children = [_form(c) for c in s.children]
    if s.kind is list:
        return children
    if s.kind is tuple:
        return tuple(children)
    if s.kind is dict:
        return dict(zip(s.data, children, strict=True))
    raise Unusual(f"a {s.kind.__name__}")
