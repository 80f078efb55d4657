"""Recording what eager operations compute, for tapes and `backward`.

The graph is made of IR nodes: a leaf is a `constant` that holds an array, so that a gradient is had by making a
function of the graph, differentiating it and running it compiled. Values in between are not kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from dlc.frontend.tensor import Array, History, Tensor
from dlc.ir.core import Node
from dlc.ir.location import user_location
from dlc.ir.op import OPS, Op
from dlc.ir.types import TensorType, dtype_of


class Recording(NamedTuple):
    """What this thread records: nothing at all, or that of `tapes` open tapes beside what needs it anyway."""

    enabled: bool = True
    tapes: int = 0


_state: ContextVar[Recording] = ContextVar("dlc.recording", default=Recording())  # noqa: B039


def is_recording() -> bool:
    """Whether gradients are recorded, that is, not inside `no_grad`."""
    return _state.get().enabled


@contextlib.contextmanager
def recording(enabled: bool | None = None, tapes: int = 0) -> Generator[None]:
    """Switches recording on or off, or opens `tapes` more tapes."""
    now = _state.get()
    token = _state.set(Recording(now.enabled if enabled is None else enabled, now.tapes + tapes))
    try:
        yield
    finally:
        _state.reset(token)


def open_tape() -> Any:
    """Begins recording for a tape; returns what `close_tape` takes."""
    now = _state.get()
    return _state.set(now._replace(tapes=now.tapes + 1))


def close_tape(token: Any) -> None:
    """Ends recording for a tape."""
    now = _state.get()
    _state.set(now._replace(tapes=now.tapes - 1))


def leaf(array: Array) -> Node:
    """A node of the graph that holds an array."""
    type_ = TensorType(dtype_of(array.dtype), array.shape)
    return Node(OPS["constant"], (), {"value": array}, type_)


def record(op: Op, tensors: Sequence[Tensor], attrs: Mapping[str, Any], result: Array) -> History | None:
    """The history of a result, None when nothing asks for one."""
    state = _state.get()
    if not state.enabled:
        return None
    histories = [t._history for t in tensors]
    if state.tapes:
        for t in tensors:
            if t._history is None:
                t._watch()
        histories = [t._history for t in tensors]
    persistent = any(h is not None and h.persistent for h in histories)
    if not persistent and not (state.tapes and any(h is not None for h in histories)):
        return None
    inputs: list[Node] = []
    for t, h in zip(tensors, histories, strict=True):
        if h is not None:
            inputs.append(h.node)
        else:
            assert t._data is not None
            inputs.append(leaf(t._data))
    type_ = TensorType(dtype_of(result.dtype), result.shape)
    return History(Node(op, tuple(inputs), attrs, type_, user_location()), persistent)
