"""What rewritten code asks of values: whether they are traced, their truth, and common types."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np

from dlc.frontend.apply import as_tensor, convert
from dlc.frontend.promotion import common_dtype
from dlc.frontend.tensor import Tensor, functions, make_like
from dlc.ir.dims import DimExpr, dims_equal
from dlc.ir.errors import DTypeError, ShapeError, TracedValueError
from dlc.ir.record import dataclass
from dlc.ir.types import DType, TensorType

# Whether a block is being traced that runs under a condition.
in_block: ContextVar[bool] = ContextVar("dlc.in_block", default=False)


class TracedItems:
    """What a loop takes one item after the other of, where only the program knows how many."""

    name = "a loop"

    @property
    def count(self) -> Any:
        """How many there are: an integer, an extent, or an integer tensor."""
        raise NotImplementedError

    def item(self, k: Any) -> Any:
        """The item at a position."""
        raise NotImplementedError

    def __iter__(self) -> Any:
        raise TracedValueError(
            f"{self.name}() needs the value of a traced scalar, which is known only when the "
            "compiled program runs",
            hint="loop over it with a `for` statement, without list() or a comprehension, or name "
            "the argument in static_argnames",
        )


def is_traced(value: Any) -> bool:
    """Whether a value is known only when the program runs."""
    return isinstance(value, Tensor) and value.is_traced


def truth(value: Any) -> Tensor:
    """Whether a traced tensor is true, as a scalar.

    Raises:
        ShapeError: for a tensor of more than one element, or of none.
    """
    t = as_tensor(value)
    if not dims_equal(t.tensor.size, 1):
        raise ShapeError(
            f"a condition on {t.tensor}, which has {t.size} elements, not one",
            hint="reduce it with .any() or .all()",
        )
    if t.ndim:
        t = functions.reshape(t, ())
    return t if t.tensor.dtype.kind == "b" else functions.not_equal(t, 0)


def inverted(value: Tensor) -> Tensor:
    """The opposite of a truth."""
    return functions.logical_not(value)


def either(a: Any, b: Any) -> Any:
    """Whether one of two truths holds; `a or b` where one of them is known."""
    if is_traced(a) and is_traced(b):
        return functions.logical_or(a, b)
    if is_traced(a):
        return a if not b else True
    return True if a else b


def is_data(value: Any) -> bool:
    """Whether a value can become a tensor of the program."""
    return isinstance(value, (Tensor, np.ndarray, np.generic, bool, int, float, DimExpr))


def same(a: Any, b: Any) -> bool:
    """Whether two values that are no tensors are the same to a program."""
    if a is b:
        return True
    if isinstance(a, Tensor) or isinstance(b, Tensor) or type(a) is not type(b):
        return False
    try:
        return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)
    except Exception:  # noqa: BLE001 - what `==` of a user's class does
        return False


@dataclass(frozen=True)
class ValueType:
    """The type of a value that a block leaves."""

    tensor: TensorType
    weak: bool

    def __str__(self) -> str:
        if self.weak and not self.tensor.shape:
            return "a Python number"
        return str(self.tensor)


def type_of(value: Any) -> ValueType:
    """The type that a value has as a tensor."""
    t = as_tensor(value)
    return ValueType(t.tensor, t._weak)


def common_type(a: ValueType, b: ValueType) -> ValueType:
    """The type that both can become without losing anything.

    Raises:
        DTypeError, ShapeError: when there is none.
    """
    shapes = a.tensor.shape, b.tensor.shape
    if len(shapes[0]) != len(shapes[1]) or not all(map(dims_equal, *shapes)):
        raise ShapeError(f"{a} and {b}")
    dtypes = a.tensor.dtype, b.tensor.dtype
    if dtypes[0] is dtypes[1]:
        return ValueType(a.tensor, a.weak and b.weak)
    dtype = _common(a, b)
    # A weak one adapts to a tensor, but two tensors are as they were made.
    if dtype is None or not (a.weak or b.weak):
        raise DTypeError(f"{a} and {b}")
    return ValueType(TensorType(dtype, shapes[0]), a.weak and b.weak)


def _common(a: ValueType, b: ValueType) -> DType | None:
    weak_a, weak_b = (t.weak or t.tensor.dtype.kind == "b" for t in (a, b))
    if weak_a and weak_b:
        return common_dtype([], [a.tensor.dtype, b.tensor.dtype])[0]
    both = [(a, weak_a), (b, weak_b)]
    strong = [t.tensor.dtype for t, weak in both if not weak]
    return common_dtype(strong, [t.tensor.dtype for t, weak in both if weak])[0]


def as_type(value: Any, type_: ValueType) -> Tensor:
    """A value as a tensor of a type, which no longer adapts to others."""
    t = as_tensor(value)
    return make_like(convert(t, type_.tensor.dtype), weak=False)


def from_strong(value: Tensor, type_: ValueType) -> Tensor:
    """What `as_type` made, as it was."""
    return make_like(value, weak=True) if type_.weak else value
