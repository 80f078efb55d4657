"""Plans of native entries for calls of a function of tensors, made by running it under watch.

The result of such calls is what one kernel computes of the arguments, or a view of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from dlc.frontend import eager
from dlc.frontend.call_kinds import ITEMS, is_number, items_of, strides_of
from dlc.frontend.entry_chain import Unusual
from dlc.frontend.history import History, Leaf, Template, function_of, other_leaves, reached
from dlc.frontend.recording import node_of, recorded_persistently, recording
from dlc.frontend.tensor import Array, Tensor, make
from dlc.ir.build import IRBuilder
from dlc.ir.core import Node
from dlc.ir.location import user_place
from dlc.ir.record import NamedTuple, replace
from dlc.runtime.buffers import address_of
from dlc.runtime.entry_plan import (
    RESULT,
    SCALARS,
    ArrayParameter,
    EntryPlan,
    Guard,
    Items,
    Part,
    Result,
    ScalarParameter,
    Value,
)
from dlc.runtime.gpu.array import GpuArray
from dlc.runtime.program_table import ProgramTable

_NUMBERS: Final = (bool, int, float)


class SeveralKernels(Unusual):
    """Calls that run more than one kernel, or read values, whatever the shapes."""


class _Data(NamedTuple):
    """An argument that is data.

    place: its position; given: what the function is run with for it; leaf: that in the graph.
    """

    place: int
    array: Array | None  # of a tensor, as the call had it
    given: Any
    leaf: Leaf | None


_Planned: TypeAlias = "tuple[EntryPlan, list[_Data], Tensor]"


class Planner:
    """Plans the entry for calls like one.

    Args:
        function: Of the arguments.
        args: Those of the call.
        takes_numbers: Whether a number may be passed to the kernel, whatever its value.

    Every method raises Unusual where there can be no entry.
    """

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], takes_numbers: bool
    ) -> None:
        self._function, self._args, self._takes_numbers = function, args, takes_numbers

    def plan(self) -> EntryPlan:
        """The plan of an entry that gives the result."""
        return self._planned(recorded=False)[0]

    def recorded_plan(self) -> EntryPlan:
        """The plan of an entry that gives the kind of the call and the result."""
        with recording(enabled=True):
            plan, data, result = self._planned(recorded=True)
        if result._history is None:
            raise Unusual("results without histories")
        kind = RecordedKind(_template(result._history, data), [d.place for d in data])
        return replace(plan, finish=kind.with_result)

    def _planned(self, *, recorded: bool) -> _Planned:
        try:
            return self._run(self._data(recorded, copied=False))
        except Unusual:
            arrays = [x._data for x in self._args if isinstance(x, Tensor)]
            if all(a is None or strides_of(a) is None for a in arrays):
                raise
        # Kernels read copies of what is no permutation or repetition of memory.
        return self._run(self._data(recorded, copied=True))

    def _data(self, recorded: bool, copied: bool) -> list[_Data]:
        """The arguments that are data; each tensor gets an array of its own, to be told by.

        Args:
            recorded: Whether they get histories.
            copied: Whether tensors that are not C-contiguous are copied.
        """
        seen: set[int] = set()
        found: list[_Data] = []
        for place, x in enumerate(self._args):
            if not isinstance(x, Tensor):
                if is_number(x, self._takes_numbers):
                    found.append(_Data(place, None, x, None))
                continue
            array = held = x._held("an eager operation", "") if x._data is None else x._data
            contiguous, twice = strides_of(array) is None, id(array) in seen
            if twice and not (contiguous or copied):
                raise Unusual("a view that is given twice")
            if twice or (copied and not contiguous):
                held = np.copy(array, order="C")
            seen.add(id(held))
            leaf = Leaf(held, True) if recorded else None
            found.append(_Data(place, array, make(held, history=leaf), leaf))
        return found

    def _run(self, data: list[_Data]) -> _Planned:
        given = list(self._args)
        for d in data:
            given[d.place] = d.given
        with eager.watched() as runs:
            result: Tensor = self._function(*given)
        found = result._data
        if found is None or result._weak or any(result is x for x in given):
            raise Unusual("a result of numbers alone, or an argument")
        if not runs:
            return self._plan_of_view(data, found), data, result
        ran = runs[0] if len(runs) == 1 else None
        if ran is None or not _same_memory(found, ran.result):
            raise SeveralKernels("more than one kernel, or values that are read")
        if GpuArray.made and found.ndim and all(a.size == 1 for a in ran.operands):
            raise Unusual("repeated numbers, which lie where the tensors of the calls around do")
        plan = eager.entry_plan_of(ran.program, ran.operands, self._guards(data, ran.operands))
        if plan is None:
            raise Unusual("no program of the CPU with few temporaries")
        (made,) = plan.results
        assert isinstance(made, Result)
        return replace(plan, results=[replace(made, shape=found.shape)]), data, result

    def _plan_of_view(self, data: Sequence[_Data], found: Array) -> EntryPlan:
        """The plan of calls whose result is in the memory of their one tensor."""
        whole = data[0].given._data if len(data) == 1 and data[0].array is not None else None
        if whole is None or not np.may_share_memory(whole, found):
            raise Unusual("no kernel, and no view")
        offset = address_of(found) - address_of(whole)
        result = Part(0, offset, found.shape, found.dtype, found.strides)
        # A view of an array of the user's could change.
        guard = replace(self._array_guard(data[0], 0), accepts_arrays=False)
        guards = self._with_fixed({data[0].place: guard})
        return EntryPlan(guards, [result], ProgramTable(n_slots=1).array(), form=RESULT)

    def _guards(self, data: Sequence[_Data], operands: Sequence[Array]) -> list[Guard]:
        """A guard for each argument, whose data is an operand of the kernel."""
        slots = {d.place: _slot(d.given, operands) for d in data}
        fixed = [x for k, x in enumerate(self._args) if type(x) in _NUMBERS and k not in slots]
        others = [a for k, a in enumerate(operands) if k not in slots.values()]
        if len(set(slots.values())) < len(slots):
            raise Unusual("one operand for several arguments")
        if not all(any(_is_number_of(a, x) for x in fixed) for a in others):
            raise Unusual("an operand that was computed first")
        guards: dict[int, Guard] = {}
        for d in data:
            slot = slots[d.place]
            if d.array is not None:
                guards[d.place] = self._array_guard(d, slot)
            else:
                dtype = operands[slot].dtype
                guards[d.place] = ScalarParameter(slot, dtype, accepts_ints=dtype.kind == "f")
        return self._with_fixed(guards)

    def _with_fixed(self, guards: dict[int, Guard]) -> list[Guard]:
        """Guards of data, and those of arguments that stay the same, in their order."""
        return [guards.get(k) or _same_value(x) for k, x in enumerate(self._args)]

    def _array_guard(self, data: _Data, slot: int) -> ArrayParameter:
        array, cls = data.array, type(self._args[data.place])
        if array is None or not (array.flags.aligned and array.dtype.isnative):
            raise Unusual("memory that kernels cannot read")
        strides = strides_of(array)
        return ArrayParameter(
            slot,
            array.shape,
            array.dtype,
            accepts_arrays=cls is Tensor,
            cls=cls,
            strides=strides,
            copied=strides != strides_of(data.given._data),
        )


class RecordedKind:
    """Calls of one kind that are recorded.

    Args:
        template: What they compute.
        places: The positions of the arguments that are its inputs.
    """

    def __init__(self, template: Template, places: Sequence[int]) -> None:
        self._template = template
        dtypes = [p.tensor.dtype.numpy for p in template.function.params]
        self._inputs = list(zip(places, dtypes, strict=True))

    def with_result(self, result: Tensor) -> tuple[RecordedKind, Tensor]:
        """What an entry returns."""
        return self, result

    def record(self, args: Sequence[Any], result: Tensor) -> None:
        """Gives the result of a call its history, if anything asks for one."""
        tensors = [x for k, _ in self._inputs if isinstance(x := args[k], Tensor)]
        persistent = recorded_persistently(tensors)
        if persistent is not None:
            inputs = [
                node_of(x) if isinstance(x := args[k], Tensor) else Leaf(_as(x, dtype), False)
                for k, dtype in self._inputs
            ]
            result._history = History(self._template, 0, tuple(inputs), persistent, user_place())


def _template(history: History, data: Sequence[_Data]) -> Template:
    """The template of calls like one, whose result has this history."""
    order = reached(history)
    known = [d.leaf for d in data if d.leaf is not None]
    # Numbers are leaves that the function has made, by repeating them.
    others = other_leaves(order, known)
    if any(h.array.size == 0 or any(h.array.strides) for h in others):
        raise Unusual("values besides the arguments")
    if len(known) < len(data) and (len(others) != 1 or len(known) < len(data) - 1):
        raise Unusual("several numbers")
    b = IRBuilder()
    nodes: dict[History, Node] = {}
    params: list[Node] = []
    for d in data:
        leaf = d.leaf or others[0]
        type_ = leaf.tensor
        params.append(b.param(type_ if d.leaf is not None else type_.with_shape(())))
        same = params[-1].tensor.shape == type_.shape
        nodes[leaf] = params[-1] if same else b.broadcast_to(params[-1], shape=type_.shape)
    for leaf in others:
        if leaf not in nodes:
            nodes[leaf] = b.const(leaf.array.flat[0].item(), leaf.tensor)
    results = b.inlined(function_of(order, list(nodes)), list(nodes.values()))
    return Template(b.function("call", params, results))


def _same_memory(x: Array, y: Array) -> bool:
    """Whether two arrays have the same elements in the same order."""
    if x is y:
        return True
    alike = x.dtype == y.dtype and x.size == y.size > 0
    contiguous = x.flags.c_contiguous and y.flags.c_contiguous
    return alike and contiguous and address_of(x) == address_of(y)


def _slot(given: Any, operands: Sequence[Array]) -> int:
    """The operand of a kernel that an argument is."""
    held = given._data if isinstance(given, Tensor) else None
    read = None if held is None else eager.operand(held).array
    for k, array in enumerate(operands):
        if read is None:
            found = _is_number_of(array, given)
        else:
            found = read.size == array.size and address_of(read) == address_of(array)
        if found:
            return k
    raise Unusual("an operand that was computed first")


def _is_number_of(array: Array, x: Any) -> bool:
    """Whether an operand is a number that was given."""
    known = array.size == 1 and array.dtype.name in SCALARS
    return known and array.tobytes() == _as(x, array.dtype).tobytes()


def _as(x: Any, dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(x).astype(dtype)


def _same_value(x: Any) -> Guard:
    if type(x) in ITEMS:
        return Items(type(x), [_same_value(item) for item in items_of(x)])
    return Value(x)
