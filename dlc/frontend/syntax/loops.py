"""Loops on a traced condition, or over traced items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import index
from typing import Any

from dlc.frontend.closure import Param
from dlc.frontend.control import fori_loop, while_loop
from dlc.frontend.syntax import branches
from dlc.frontend.syntax.blocks import Held, Traced, alive, bind, hold, own, trace_block, unset
from dlc.frontend.syntax.jumps import VALUE
from dlc.frontend.syntax.state import UNSET, Slot, Unset
from dlc.frontend.syntax.values import (
    TracedItems,
    ValueType,
    as_type,
    common_type,
    from_strong,
    is_data,
    is_traced,
    same,
    truth,
    type_of,
)
from dlc.frontend.tensor import Tensor, functions
from dlc.frontend.variable import Variable
from dlc.ir.errors import ControlFlowError, DTypeError, ShapeError, TracedValueError
from dlc.ir.logs import TopicLog
from dlc.ir.types import TensorType, int64

log = TopicLog("compile")
_INDEX = Param(TensorType(int64, ()), weak=True)
_PYTHON = (bool, int, float)


class Carry:
    """A variable that a loop changes.

    types: for each leaf of its value the type that iterations hand on; None for what stays.
    """

    def __init__(self, slot: Slot, runs: bool) -> None:
        """`runs` says that the loop surely has an iteration."""
        self.slot = slot
        self.runs = runs
        self.before = hold(slot.get())
        self.late = False  # bound in the loop for the first time
        self.types: list[ValueType | None] = [
            type_of(x) if _is_carried(x) else None for x in self.before.leaves
        ]

    @property
    def what(self) -> str:
        """The variable in words."""
        return "what the function returns" if self.slot.name == VALUE else f"{self.slot.name!r}"

    def params(self) -> list[Param]:
        """The types of what is handed on."""
        return [Param(t.tensor, t.weak) for t in self.types if t is not None]

    def initial(self) -> list[Tensor]:
        """What the first iteration is given."""
        if self.late:
            types = [t.tensor for t in self.types if t is not None]
            return [functions.zeros(t.shape, dtype=t.dtype) for t in types]
        pairs = zip(self.before.leaves, self.types, strict=True)
        return [as_type(x, t) for x, t in pairs if t is not None]

    def value(self, tensors: Iterator[Tensor]) -> Any:
        """The value in an iteration, of the tensors handed on."""
        if not (self.slot.mutated or any(t is not None for t in self.types)):
            return self.before.value()
        pairs = zip(self.before.leaves, self.types, strict=True)
        return self.before.value([own(x) if t is None else next(tensors) for x, t in pairs])

    def given(self, after: Held, leaf_value: Callable[[Any], Any]) -> list[Tensor]:
        """What an iteration hands on."""
        pairs = zip(after.leaves, self.types, strict=False)
        return [as_type(leaf_value(x), t) for x, t in pairs if t is not None]

    def widen(self, after: Held) -> bool:
        """Takes in what an iteration leaves; whether it has to be traced again.

        Raises:
            ControlFlowError, DTypeError, ShapeError: for a value of another kind.
        """
        if isinstance(self.before.structure, Unset):
            return self._begin(after)
        if isinstance(after.structure, Unset) or after.structure != self.before.structure:
            raise ControlFlowError(
                f"{self.what} is {self.before} before the loop and {after} after an iteration",
                hint=self._hint(),
            )
        changed = False
        for k, leaf in enumerate(after.leaves):
            new = self._widened(self.types[k], self.before.leaves[k], leaf)
            changed |= new != self.types[k]
            self.types[k] = new
        return changed

    def _hint(self) -> str:
        name = self.slot.name
        if isinstance(self.before.whole, (list, tuple, dict)):
            return (
                f"a compiled loop cannot make {name} larger or smaller: make a tensor of the full "
                "size before the loop, and give its items values (x[i] = v)"
            )
        return f"give {name} a value before the loop of the kind that it has after it"

    def _begin(self, after: Held) -> bool:
        """A variable that has no value before the loop."""
        if isinstance(after.structure, Unset):
            return False
        if not (self.runs or self.slot.name == VALUE) or not all(map(is_data, after.leaves)):
            return False
        self.late = True
        self.before = after
        self.types = [type_of(x) for x in after.leaves]
        return True

    def _widened(self, known: ValueType | None, before: Any, after: Any) -> ValueType | None:
        if known is None and same(before, after):
            return None
        if not (is_data(before) and is_data(after)):
            raise ControlFlowError(
                f"{self.what} is {before!r} before the loop and {after!r} after an iteration: "
                "values that are no tensors or numbers cannot change in a compiled loop",
                hint="use a tensor or a number, or a loop over Python values",
            )
        known = type_of(before) if known is None else known
        try:
            return common_type(known, type_of(after))
        except (DTypeError, ShapeError) as error:
            raise type(error)(
                f"{self.what} is {known} before the loop and {type_of(after)} after an iteration",
                hint="give it the type and the shape before the loop that it has after it",
            ) from None

    def finish(self, tensors: Iterator[Tensor]) -> None:
        """Gives the variable its value after the loop."""
        if isinstance(self.before.structure, Unset):
            unset(self.slot, "it is bound only in a loop, which may have no iteration")
            return
        leaves = iter([from_strong(next(tensors), t) for t in self.types if t is not None])
        bind(self.slot, self.value(leaves))


def _is_carried(x: Any) -> bool:
    # A variable is written to in place.
    return isinstance(x, (Tensor, *_PYTHON)) and not isinstance(x, Variable)


class Loop:
    """The variables of a loop, its body, and what it is traced to."""

    def __init__(
        self,
        body: Callable[..., Any],
        slots: Sequence[Slot],
        index: bool = False,
        runs: bool = False,
    ) -> None:
        """`index`: whether the body takes the number of the iteration."""
        self.carries = [Carry(s, runs) for s in alive(slots)]
        self.slots = slots
        self.first = [_INDEX] if index else []
        self.body = self._trace(body)
        while self._widen():
            self.body = self._trace(body)

    def _widen(self) -> bool:
        pairs = zip(self.carries, self.body.held, strict=True)
        changes = [c.widen(after) for c, after in pairs]  # all of them
        return any(changes)

    def _trace(self, block: Callable[..., Any], result: bool = False) -> Traced:
        params = [*self.first, *(p for c in self.carries for p in c.params())]
        indices: list[Tensor] = []

        def values(tensors: list[Tensor]) -> list[Any]:
            indices.extend(tensors[: len(self.first)])
            rest = iter(tensors[len(self.first) :])
            return [
                UNSET if isinstance(c.before.structure, Unset) else c.value(rest)
                for c in self.carries
            ]

        return trace_block(lambda: block(*indices), self.slots, values, params, result)

    def test(self, block: Callable[..., Any]) -> Callable[..., Tensor]:
        """What tells from the values handed on whether the loop goes on."""
        traced = self._trace(block, result=True)
        leaf = traced.held[-1].leaves[0]

        def holds(*tensors: Tensor) -> Tensor:
            return truth(traced.replay(list(tensors))(leaf))

        return holds

    def step(self, *tensors: Tensor) -> list[Tensor]:
        """What an iteration hands on."""
        leaf_value = self.body.replay(list(tensors))
        pairs = zip(self.carries, self.body.held, strict=True)
        return [x for c, after in pairs for x in c.given(after, leaf_value)]

    def initial(self) -> list[Tensor]:
        """What the first iteration is given."""
        return [x for c in self.carries for x in c.initial()]

    def finish(self, results: Sequence[Tensor]) -> None:
        """Gives the variables their values."""
        rest = iter(results)
        for c in self.carries:
            c.finish(rest)


def run_while(test: Callable[[], Any], body: Callable[[], Any], slots: Sequence[Slot]) -> None:
    """`while test(): body()`, recorded."""
    loop = Loop(body, slots)
    holds = loop.test(lambda: truth(test()))
    results = while_loop(
        lambda state: holds(*state), lambda state: loop.step(*state), loop.initial()
    )
    loop.finish(results)


def run_for(
    items: Any,
    body: Callable[[Any], Any],
    go_on: Callable[[], Any] | None,
    slots: Sequence[Slot],
    begun: bool = False,
) -> None:
    """A loop over the rows of a tensor, or over other items that are had by their number.

    Where the number of items is known and the loop does not keep the types of what it changes, or
    needs the values of items, it is rolled out, as Python would do it.

    Args:
        items: A tensor or other items.
        body: Of an item.
        go_on: Whether the loop goes on, asked after each item.
        slots: The variables that the body changes.
        begun: Whether `go_on` has to be asked before the first item too.
    """
    source = items if isinstance(items, TracedItems) else Rows(items)
    count = source.count
    known = count if isinstance(count, int) else None
    if known == 0:
        return
    values = [s.get() for s in slots]
    try:
        runs = bool(known) and not begun
        loop = Loop(lambda k: body(source.item(k)), slots, index=True, runs=runs)
    except (ControlFlowError, DTypeError, ShapeError, TracedValueError) as error:
        if isinstance(count, Tensor):
            raise
        log.info("a loop over %s items is rolled out: %s", count, error)
        for s, v in zip(slots, values, strict=True):
            s.set(v)
        # An extent that is not known becomes a constant of the program.
        run_rest((source.item(k) for k in range(index(count))), body, go_on, slots)
        return
    if go_on is None:
        loop.finish(fori_loop(0, count, lambda k, state: loop.step(k, *state), loop.initial()))
        return
    more = loop.test(lambda k: truth(go_on()))
    _, results = while_loop(
        lambda s: functions.logical_and(s[0] < count, more(s[0], *s[1])),
        lambda s: (s[0] + 1, loop.step(s[0], *s[1])),
        (functions.asarray(0), loop.initial()),
    )
    loop.finish(results)


class Rows(TracedItems):
    """The rows of a tensor."""

    def __init__(self, tensor: Tensor) -> None:
        if not tensor.ndim:
            raise ControlFlowError(
                "a loop over a scalar tensor", hint="write `for i in range(n)` to count to it"
            )
        self.tensor = tensor

    @property
    def count(self) -> Any:
        """The extent of the first axis."""
        return self.tensor.shape[0]

    def item(self, k: Any) -> Any:
        """A row."""
        return self.tensor[k]


def run_rest(
    items: Iterator[Any],
    body: Callable[[Any], Any],
    go_on: Callable[[], Any] | None,
    slots: Sequence[Slot],
) -> None:
    """A loop over Python's items, each under the condition that the loop goes on until there."""
    for item in items:
        more = True if go_on is None else go_on()
        if is_traced(more):
            branches.run(truth(more), lambda x=item: body(x), None, slots)
        elif more:
            body(item)
        else:
            return
