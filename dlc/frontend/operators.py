"""The operators of tensors: the public functions, with native entries for what is usual.

An operator that is applied eagerly to tensors of the same element types and shapes again, or to a
tensor and a Python number, runs the kernel of the function from native code. It is the kernel that
the function ran, so that the bits are the same.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dlc.frontend.entry_chain import EntryChain, PlannedCall, Unusual
from dlc.frontend.tensor import Array, Tensor, functions
from dlc.ir.deferred import deferred
from dlc.runtime.buffers import address_of
from dlc.runtime.dispatch import Dispatching, dispatch

# Not needed by a process that calls nothing twice.
if TYPE_CHECKING:
    from dlc.frontend import eager, entry_layouts
    from dlc.runtime import entry_plan
    from dlc.runtime.entry_plan import Guard
else:
    eager = deferred("dlc.frontend.eager")
    entry_layouts = deferred("dlc.frontend.entry_layouts")
    entry_plan = deferred("dlc.runtime.entry_plan")

_MOST: Final = 8  # entries of an operator

# For these a number is data, whatever its value.
_OF_NUMBERS: Final = ("add", "subtract", "multiply", "divide")
_COMPARISONS: Final = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
_OTHERS: Final = (
    *("floor_divide", "remainder", "pow", "matmul", "bitwise_and", "bitwise_or", "bitwise_xor"),
    *("bitwise_left_shift", "bitwise_right_shift"),
)


class Operator(Dispatching):
    """One operator of two operands.

    Args:
        name: Of the public function that it is.
        takes_numbers: Whether an operand that is a number may be passed to the kernel.
    """

    # The first two are read by native code.
    __slots__ = ("__dict__", "__weakref__", "_entry", "_python")

    def __init__(self, name: str, takes_numbers: bool) -> None:
        self._name, self._takes_numbers = name, takes_numbers
        self._python = self._apply
        self._chain: EntryChain | None = None

    def __call__(self, a: Any, b: Any) -> Any:
        """The function of both; NotImplemented for operands of another library."""
        return self._apply(a, b)

    def _apply(self, a: Any, b: Any) -> Any:
        other = b if isinstance(a, Tensor) else a
        if not isinstance(other, (Tensor, int, float, np.ndarray, np.generic)) and not hasattr(
            other, "terms"
        ):
            return NotImplemented
        result = getattr(functions, self._name)(a, b)
        if result._trace is None and result._history is None:
            self._note(a, b)
        return result

    def _note(self, a: Any, b: Any) -> None:
        kinds = (self._kind(a), self._kind(b))
        if None in kinds or (isinstance(a, Tensor) and isinstance(b, Tensor) and _same(a, b)):
            return  # of `x + x` it cannot be told which operand an array was
        if self._chain is None:
            use = functools.partial(dispatch, self)
            self._chain = EntryChain(self._python, use, _MOST)
        self._chain.count(kinds, kinds, lambda: self._plan(a, b))

    def _kind(self, x: Any) -> Hashable:
        """What an entry is for in an operand; None for what none is made for."""
        if type(x) is Tensor and x._data is not None and not x._weak:
            return x._data.dtype, x._data.shape
        return type(x) if self._takes_numbers and type(x) in (int, float) else None

    def _plan(self, a: Any, b: Any) -> PlannedCall:
        with eager.watched() as runs:
            result = getattr(functions, self._name)(a, b)
        if len(runs) != 1 or result._data is not runs[0].result:
            raise Unusual("more than one kernel")
        program, operands, _ = runs[0]
        plan = eager.entry_plan_of(program, operands, _guards([a, b], operands))
        if plan is None:
            raise Unusual("no program of the CPU with few temporaries")
        return PlannedCall(plan, entry_layouts.LAYOUT, None)


def _same(a: Tensor, b: Tensor) -> bool:
    return a._data is b._data


def _guards(given: Sequence[Any], operands: Sequence[Array]) -> list[Guard]:
    """A guard for each operand, which is one of those that the kernel was given."""
    if len(operands) != len(given):
        raise Unusual("an operand that the kernel does not read")
    slots = {k: _slot(x, operands) for k, x in enumerate(given)}
    if len(set(slots.values())) != len(given):
        raise Unusual("one array for both operands")
    return [_guard(x, slots[k], operands[slots[k]]) for k, x in enumerate(given)]


def _slot(x: Any, operands: Sequence[Array]) -> int:
    for k, array in enumerate(operands):
        if isinstance(x, Tensor):
            data = x._data
            if data is not None and data.size == array.size and _at(data) == _at(array):
                return k
        elif _is_number(array) and array.item() == _as(x, array):
            return k
    raise Unusual("an operand that was computed first")


def _is_number(array: Array) -> bool:
    return array.size == 1 and array.dtype.name in entry_plan.SCALARS


def _at(array: Array) -> int | None:
    usable = array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative
    return address_of(array) if usable else None


def _as(x: float, array: Array) -> Any:
    with np.errstate(over="ignore"):
        return np.asarray(x).astype(array.dtype).item()


def _guard(x: Any, slot: int, array: Array) -> Guard:
    if isinstance(x, Tensor):
        assert x._data is not None
        return entry_plan.ArrayParameter(slot, x._data.shape, x._data.dtype, accepts_arrays=True)
    return entry_plan.ScalarParameter(slot, array.dtype, accepts_ints=array.dtype.kind == "f")


def make_operator(name: str) -> Operator:
    """The operator of `Tensor` that is the function of this name."""
    takes_numbers = name in _OF_NUMBERS + _COMPARISONS
    if not takes_numbers and name not in _OTHERS:
        raise AttributeError(f"no operator {name!r}")
    return Operator(name, takes_numbers)
