"""Branches on a traced condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.frontend.control import cond
from dlc.frontend.syntax.blocks import Held, Traced, alive, bind, fresh, trace_block, unset
from dlc.frontend.syntax.jumps import RETURNED, VALUE
from dlc.frontend.syntax.state import UNSET, Slot, Unset
from dlc.frontend.syntax.values import (
    ValueType,
    as_type,
    common_type,
    either,
    from_strong,
    is_data,
    is_traced,
    same,
    truth,
    type_of,
)
from dlc.frontend.tensor import Tensor, functions
from dlc.ir.errors import ControlFlowError, DTypeError, ShapeError
from dlc.ir.types import TensorType, bool_

_SIDES = ("where the condition is true", "where it is false")


def run(
    condition: Tensor,
    then: Callable[[], Any] | None,
    otherwise: Callable[[], Any] | None,
    slots: Sequence[Slot],
) -> None:
    """`if condition: then() else: otherwise()`, recorded."""
    live = alive(slots)
    traced = [trace_block(b, slots, lambda _: fresh(live)) for b in (then, otherwise)]
    returns = [_has_returned(live, t) for t in traced]
    then_held, otherwise_held = (t.held for t in traced)
    merged = [Merged(s.name, then_held[k], otherwise_held[k], returns) for k, s in enumerate(live)]
    values = _joined(condition, traced, merged)
    for s, m, value in zip(live, merged, values, strict=True):
        if m.missing is None:
            bind(s, value)
        else:
            unset(s, f"it is bound only {_SIDES[1 - m.missing]}")


def _has_returned(slots: Sequence[Slot], traced: Traced) -> bool:
    """Whether a branch surely returns, so that nothing that follows is done after it."""
    flags = [h for s, h in zip(slots, traced.held, strict=True) if s.name == RETURNED]
    return any(h.leaves and h.leaves[0] is True for h in flags)


def choose(
    condition: Any, then: Callable[[], Any] | None, otherwise: Callable[[], Any] | None
) -> Any:
    """The value of one of two expressions; None stands for the condition's own."""
    test = truth(condition)
    given = [f or (lambda: condition) for f in (then, otherwise)]
    traced = [trace_block(f, (), lambda _: [], result=True) for f in given]
    merged = Merged("the value", traced[0].held[0], traced[1].held[0])
    side = 0 if then is not None else 1
    if (then is None) != (otherwise is None) and _is_cheap(traced[side], condition):
        value = traced[side].replay([])(traced[side].held[0].leaves[0])
        combine = functions.logical_and if then is not None else functions.logical_or
        return combine(test, value)
    return _joined(test, traced, [merged])[0]


def _is_cheap(traced: Traced, condition: Any) -> bool:
    """Whether both operands of `and` may be computed: truths, of a few simple operations."""
    held = traced.held[0]
    closure = traced.closure
    return (
        condition.tensor == _TRUTH
        and len(held.leaves) == 1
        and isinstance(held.leaves[0], Tensor)
        and held.leaves[0].tensor == _TRUTH
        and not closure.has_state
        and all(n.op.family != "control" for n in closure.function.nodes)
    )


_TRUTH = TensorType(bool_, ())


class Merged:
    """What a variable is after two branches.

    missing: the branch that does not bind it; None where it has a value, or neither does.
    """

    def __init__(
        self, name: str, then: Held, otherwise: Held, returns: Sequence[bool] = (False, False)
    ) -> None:
        self.name = name
        self.missing: int | None = None
        self.sides = [then, otherwise]
        self.results: list[ValueType | None] = []
        self.fill: int | None = None
        unset_sides = [isinstance(h.structure, Unset) for h in self.sides]
        if any(unset_sides):
            if all(unset_sides):
                return
            side = unset_sides.index(True)
            if name != VALUE and not returns[side]:
                self.missing = side
                return
            self.fill = side
            known = self.sides[1 - self.fill]
            self.results = [self._filled(x) for x in known.leaves]
            return
        if then.structure != otherwise.structure:
            raise ControlFlowError(
                f"{self.what} is {then} {_SIDES[0]} and {otherwise} {_SIDES[1]}",
                hint=self._hint(),
            )
        pairs = zip(then.leaves, otherwise.leaves, strict=True)
        self.results = [self._common(a, b) for a, b in pairs]

    @property
    def what(self) -> str:
        """The variable in words."""
        return "what the function returns" if self.name == VALUE else f"{self.name!r}"

    def _hint(self) -> str:
        if self.name == VALUE:
            return "let each `return` that depends on a tensor give values of the same kinds"
        return f"give {self.name} values of the same kind in both branches"

    def _filled(self, leaf: Any) -> ValueType | None:
        of_block = isinstance(leaf, Tensor) and leaf._trace is not None and leaf._trace.closed
        return type_of(leaf) if of_block else None

    def _common(self, a: Any, b: Any) -> ValueType | None:
        """The type that a leaf has as a tensor; None when it is the same in both branches."""
        if same(a, b):
            return None
        if not (is_data(a) and is_data(b)):
            raise ControlFlowError(
                f"{self.what} is {a!r} {_SIDES[0]} and {b!r} {_SIDES[1]}: values that are no "
                "tensors or numbers cannot depend on a traced condition",
                hint="choose between tensors or numbers, or decide by a Python value",
            )
        try:
            return common_type(type_of(a), type_of(b))
        except (DTypeError, ShapeError) as error:
            raise type(error)(
                f"{self.what} is {type_of(a)} {_SIDES[0]} and {type_of(b)} {_SIDES[1]}",
                hint="convert or broadcast one of them, so that both branches agree",
            ) from None

    def given(self, side: int, leaf_value: Callable[[Any], Any]) -> list[Tensor]:
        """What a branch gives for the leaves that differ."""
        if side == self.fill:
            return [functions.zeros(t.tensor.shape, dtype=t.tensor.dtype) for t in self._types()]
        pairs = zip(self.sides[side].leaves, self.results, strict=False)
        return [as_type(leaf_value(x), t) for x, t in pairs if t is not None]

    def _types(self) -> list[ValueType]:
        return [t for t in self.results if t is not None]

    def value(self, results: Any) -> Any:
        """The value afterwards, of an iterator over all that the branches gave."""
        if self.missing is not None:
            return UNSET
        known = self.sides[1 if self.fill == 0 else 0]
        leaves = [
            x if t is None else from_strong(next(results), t)
            for x, t in zip(known.leaves, self.results, strict=True)
        ]
        return known.value(leaves if self._types() else None)


def _joined(condition: Tensor, traced: Sequence[Traced], merged: Sequence[Merged]) -> list[Any]:
    """The values after branches."""

    def branch(side: int) -> Callable[[], list[Tensor]]:
        def give() -> list[Tensor]:
            leaf_value = traced[side].replay([])
            return [x for m in merged if m.missing is None for x in m.given(side, leaf_value)]

        return give

    needed = any(t is not None for m in merged for t in m.results if m.missing is None)
    if not needed and not any(t.closure.has_state for t in traced):
        return [m.value(iter(())) for m in merged]
    results = iter(cond(condition, branch(0), branch(1)))
    return [m.value(results) for m in merged]


def contains(items: Any, value: Any) -> Any:
    """`value in items`."""
    if isinstance(items, Tensor) and (is_traced(items) or is_traced(value)):
        return functions.any(functions.equal(items, value))
    if not isinstance(items, (list, tuple, set, frozenset)):
        return value in items
    if not (is_traced(value) or any(map(is_traced, items))):
        return value in items
    result: Any = False
    for x in items:
        equal = x == value
        result = either(result, truth(equal) if is_traced(equal) else bool(equal))
    return result
