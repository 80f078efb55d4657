"""Recording what eager operations compute, for tapes and `backward`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from dlc.frontend.history import (
    History,
    Leaf,
    Template,
    function_template,
    operation_template,
)
from dlc.frontend.tensor import Tensor
from dlc.ir.core import Function
from dlc.ir.location import user_place
from dlc.ir.op import Op
from dlc.ir.record import NamedTuple


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


def record(
    op: Op, tensors: Sequence[Tensor], attrs: Mapping[str, Any], result: Tensor
) -> History | None:
    """The history of an operation's result, None when nothing asks for one."""

    def template() -> Template:
        return operation_template(op, attrs, [t.tensor for t in tensors], result.tensor)

    found = record_call(template, tensors)
    return None if found is None else found[0]


def record_function(
    function: Function, dims: Callable[[], Mapping[str, int]], tensors: Sequence[Tensor]
) -> list[History] | None:
    """The histories of a function's results, None when nothing asks for them.

    Args:
        function: What was run at once.
        dims: Gives the values of its symbols.
        tensors: Its arguments, before the call.
    """
    return record_call(lambda: function_template(function, dims()), tensors)


def record_call(
    template: Callable[[], Template], tensors: Sequence[Tensor]
) -> list[History] | None:
    """The histories of the results of a call, None when nothing asks for them.

    Args:
        template: Gives what the call computes.
        tensors: Its operands.
    """
    persistent = recorded_persistently(tensors)
    if persistent is None:
        return None
    return _results(template(), tuple([node_of(t) for t in tensors]), persistent)


def record_gradients(
    function: Function, nodes: Sequence[History], cotangent: Tensor, persistent: bool
) -> list[History] | None:
    """The histories of gradients, None when nothing asks for them.

    Args:
        function: Of the nodes and the cotangent.
        nodes: What it was applied to.
        cotangent: And what else.
        persistent: Whether what is computed of them is recorded without a tape too.
    """
    state = recording_state.get()
    if not (state.enabled and (persistent or state.tapes)):
        return None
    return _results(function_template(function, {}), (*nodes, node_of(cotangent)), persistent)


def node_of(tensor: Tensor) -> History:
    """The node of the graph that a tensor is; a new leaf where it is none."""
    found = tensor._history
    if found is None:
        assert tensor._data is not None
        found = Leaf(tensor._data, False)
    return found


def _results(template: Template, inputs: tuple[History, ...], persistent: bool) -> list[History]:
    place = user_place()
    count = len(template.function.results)
    return [History(template, k, inputs, persistent, place) for k in range(count)]


def is_recorded(tensors: Sequence[Tensor]) -> bool:
    """Whether what is computed eagerly from `tensors` has a history."""
    return recorded_persistently(tensors) is not None


def recorded_persistently(tensors: Sequence[Tensor]) -> bool | None:
    """Whether what is computed from `tensors` is recorded without a tape too.

    None where it is not recorded.
    """
    state = recording_state.get()
    if not state.enabled:
        return None
    if state.tapes:
        watch(tensors)
    wanted = persistent = False
    for t in tensors:
        if (history := t._history) is not None:
            wanted = True
            if history.persistent:
                persistent = True
    return persistent if persistent or (wanted and state.tapes > 0) else None
