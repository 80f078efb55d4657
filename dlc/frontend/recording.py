"""Recording what eager operations compute, for tapes and `backward`.

The graph is made of IR nodes: a leaf is a `constant` that holds an array, so that a gradient is had
by making a function of the graph, differentiating it and running it compiled. Values in between are
not kept.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from dlc.frontend.tensor import Array, History, Tensor
from dlc.ir.build import attrs_at, make_node
from dlc.ir.core import Function, Node
from dlc.ir.dims import substitute
from dlc.ir.location import user_location
from dlc.ir.op import OPS, Op
from dlc.ir.record import NamedTuple
from dlc.ir.types import TensorType, dtype_of


class Recording(NamedTuple):
    """What this thread records: nothing, or what needs it and what open tapes see."""

    enabled: bool = True
    tapes: int = 0


@functools.cache
def _interned(enabled: bool, tapes: int) -> Recording:
    # Equal states are one object, so that native code can compare them.
    return Recording(enabled, tapes)


_INITIAL = _interned(True, 0)
recording_state: ContextVar[Recording] = ContextVar("dlc.recording", default=_INITIAL)


def is_recording() -> bool:
    """Whether gradients are recorded, that is, not inside `no_grad`."""
    return recording_state.get().enabled


@contextlib.contextmanager
def recording(enabled: bool | None = None, tapes: int = 0) -> Generator[None]:
    """Switches recording on or off, or opens `tapes` more tapes."""
    now = recording_state.get()
    token = recording_state.set(
        _interned(now.enabled if enabled is None else enabled, now.tapes + tapes)
    )
    try:
        yield
    finally:
        recording_state.reset(token)


def open_tape() -> Any:
    """Begins recording for a tape; returns what `close_tape` takes."""
    now = recording_state.get()
    return recording_state.set(_interned(now.enabled, now.tapes + 1))


def close_tape(token: Any) -> None:
    """Ends recording for a tape."""
    now = recording_state.get()
    recording_state.set(_interned(now.enabled, now.tapes - 1))


def watch(tensors: Sequence[Tensor]) -> None:
    """Lets the variables among tensors that an operation reads be seen by open tapes."""
    state = recording_state.get()
    if state.enabled and state.tapes:
        for t in tensors:
            if t._history is None:
                t._watch()


def leaf(array: Array) -> Node:
    """A node of the graph that holds an array."""
    type_ = TensorType(dtype_of(array.dtype), array.shape)
    return Node(OPS["constant"], (), {"value": array}, type_)


def record(
    op: Op, tensors: Sequence[Tensor], attrs: Mapping[str, Any], result: Tensor
) -> History | None:
    """The history of a result, None when nothing asks for one."""
    state = recording_state.get()
    if not state.enabled:
        return None
    wanted, persistent = _wanted(state, tensors)
    if not wanted:
        return None
    return History(Node(op, _inputs(tensors), attrs, result.tensor, user_location()), persistent)


def is_recorded(tensors: Sequence[Tensor]) -> bool:
    """Whether what is computed eagerly from `tensors` has a history."""
    state = recording_state.get()
    return state.enabled and _wanted(state, tensors)[0]


def _wanted(state: Recording, tensors: Sequence[Tensor]) -> tuple[bool, bool]:
    """Whether what is computed from `tensors` is recorded, and whether persistently."""
    if state.tapes:
        watch(tensors)
    histories = [h for t in tensors if (h := t._history) is not None]
    if not histories:
        return False, False
    persistent = any(h.persistent for h in histories)
    return persistent or state.tapes > 0, persistent


def _inputs(tensors: Sequence[Tensor]) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for t in tensors:
        if t._history is not None:
            nodes.append(t._history.node)
        else:
            assert t._data is not None
            nodes.append(leaf(t._data))
    return tuple(nodes)


def record_function(
    function: Function, dims: Callable[[], Mapping[str, int]], tensors: Sequence[Tensor]
) -> list[History] | None:
    """The histories of a function's results, None when nothing asks for them.

    Args:
        function: What was run at once.
        dims: Gives the values of its symbols.
        tensors: Its arguments, before the call.
    """
    state = recording_state.get()
    if not state.enabled:
        return None
    wanted, persistent = _wanted(state, tensors)
    if not wanted:
        return None
    inputs, values = _inputs(tensors), dims()
    made: list[Node] = []

    def node(k: int) -> Node:
        if not made:
            made.extend(_expanded(function, values, inputs))
        return made[k]

    def history(k: int) -> History:
        return History(lambda: node(k), persistent)

    return [history(k) for k in range(len(function.results))]


def _expanded(function: Function, dims: Mapping[str, int], inputs: Sequence[Node]) -> list[Node]:
    """The results of `function` on nodes, at these values of its symbols."""
    new: dict[Node, Node] = dict(zip(function.params, inputs, strict=True))
    for n in function.nodes:
        attrs = attrs_at(n.attrs, lambda d: substitute(d, dims))
        new[n] = make_node(n.op, [new[x] for x in n.inputs], attrs, n.loc, n.name)
    return [new[r] for r in function.results]
