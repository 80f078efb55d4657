"""Tracing a block: what it leaves in the variables that it changes."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from dlc.frontend import tree
from dlc.frontend.closure import Closure, Param, apply_function, trace_closure
from dlc.frontend.context import current_trace
from dlc.frontend.syntax.state import UNSET, Slot, Unset
from dlc.frontend.syntax.values import in_block, is_data
from dlc.frontend.tensor import Tensor, make_like
from dlc.frontend.tree import Structure
from dlc.ir.errors import ControlFlowError
from dlc.ir.record import dataclass

# Why variables are unset, for the error that reading one gives.
notes: ContextVar[dict[str, str] | None] = ContextVar("dlc.unset", default=None)


# What is no tree, but can be changed in place.
_CONTAINERS = (set, bytearray, deque)


@dataclass
class Held:
    """The value of a variable: a tree, or UNSET without leaves."""

    whole: Any
    leaves: list[Any]
    structure: Structure | Unset

    def value(self, leaves: list[Any] | None = None) -> Any:
        """The value itself, or a tree like it of other leaves."""
        if leaves is None or isinstance(self.structure, Unset):
            return self.whole
        return tree.unflatten(self.structure, leaves)

    def copied(self) -> Any:
        """The tree with handles of its own, in the present trace."""
        return self.value([own(x) for x in self.leaves])

    def __str__(self) -> str:
        if isinstance(self.structure, Unset) or self.structure.kind is not tree.Leaf:
            return str(self.structure).replace("*", "tensor")
        return "a tensor" if is_data(self.leaves[0]) else repr(self.leaves[0])


def own(x: Any) -> Any:
    """A handle on a tensor in the present trace, a copy of a container; anything else itself."""
    if type(x) is Tensor:
        trace = current_trace()
        assert trace is not None
        return trace.wrap(x._node_in(trace), x._weak)
    return copy.copy(x) if isinstance(x, _CONTAINERS) else x


def hold(value: Any) -> Held:
    """A value as leaves and their structure."""
    return Held(UNSET, [], UNSET) if value is UNSET else Held(value, *tree.flatten(value))


@dataclass
class Traced:
    """What a block leaves: for each variable a value, whose tensors are results of a function."""

    closure: Closure
    held: list[Held]
    position: dict[int, int]

    def replay(self, arguments: Sequence[Tensor]) -> Callable[[Any], Any]:
        """Records the block's operations here; returns what gives a leaf's value."""
        closure = self.closure
        results = apply_function(closure.function, [*arguments, *closure.state()])
        closure.settle(results)

        def value(leaf: Any) -> Any:
            at = self.position.get(id(leaf))
            return leaf if at is None else make_like(results[at], weak=leaf._weak)

        return value


def trace_block(
    block: Callable[..., Any] | None,
    slots: Sequence[Slot],
    values: Callable[[list[Tensor]], list[Any]],
    params: Sequence[Param] = (),
    result: bool = False,
) -> Traced:
    """Traces a block, and leaves the variables as they were.

    Args:
        block: What is traced.
        slots: The variables that it changes.
        values: Gives what the live ones are before the block, of the parameters.
        params: The types of the parameters.
        result: Whether what the block returns is a further value.
    """
    before = [s.get() for s in slots]
    live = alive(slots)
    held: list[Held] = []

    def call(tensors: list[Tensor]) -> list[Tensor]:
        given = values(tensors)
        for s, v in zip(live, given, strict=True):
            s.set(v)
        outcome = block() if block is not None else None
        held.extend(hold(s.get()) for s in live)
        if result:
            held.append(hold(outcome))
        here = current_trace()
        leaves = [x for h in held for x in h.leaves if isinstance(x, Tensor) and is_data(x)]
        kept.extend({id(x): x for x in leaves if x._trace is here}.values())
        return [make_like(x, weak=False) for x in kept]

    kept: list[Tensor] = []
    token = in_block.set(True)
    try:
        closure = trace_closure("block", call, params, "a block")
    except RecursionError:
        raise ControlFlowError(
            "a recursion that does not end while the function is traced: where it ends depends on "
            "a traced tensor",
            hint="write it as a loop, or let a Python value count down",
        ) from None
    finally:
        in_block.reset(token)
        for s, v in zip(slots, before, strict=True):
            s.set(v)
    return Traced(closure, held, {id(x): k for k, x in enumerate(kept)})


def alive(slots: Sequence[Slot]) -> list[Slot]:
    """The variables whose values after a block matter."""
    return [s for s in slots if not s.dead]


def fresh(slots: Sequence[Slot]) -> list[Any]:
    """Values for a block, which may change those in place that it is known to change."""
    return [hold(s.get()).copied() if s.mutated else s.get() for s in slots]


def unset(slot: Slot, why: str) -> None:
    """Leaves a variable without a value."""
    slot.set(UNSET)
    noted = notes.get()
    if noted is not None:
        noted[slot.name] = why


def bind(slot: Slot, value: Any) -> None:
    """Gives a variable its value after blocks; a list, dict or tensor changed in place stays it."""
    before = slot.get()
    if not slot.mutated or type(before) is not type(value):
        slot.set(value)
    elif isinstance(before, (list, bytearray)):
        before[:] = value
    elif isinstance(before, (dict, set)):
        before.clear()
        before.update(value)
    elif isinstance(before, deque):
        before.clear()
        before.extend(value)
    elif type(before) is Tensor and before._trace is value._trace:
        before._rebind(value)
    else:
        slot.set(value)
