"""`Variable`: a tensor whose value can be replaced, also by compiled functions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from dlc.frontend.apply import asarray, broadcast_to, convert, promote
from dlc.frontend.context import current_trace
from dlc.frontend.history import History, Leaf
from dlc.frontend.recording import watch
from dlc.frontend.tensor import Array, Tensor, contiguous, functions, make
from dlc.frontend.trace import Trace
from dlc.ir.build import find_op
from dlc.ir.core import Node
from dlc.ir.errors import ArgumentError, DonatedBufferError, DTypeError, ShapeError
from dlc.ir.locks import hold_during_fork
from dlc.ir.types import TensorType
from dlc.runtime.buffers import aligned_copy
from dlc.runtime.gpu.array import GpuArray
from dlc.runtime.places import moved, place_of

_held_history: Any = vars(Tensor)["_history"]

# Held while a program that replaces variables runs, and while others read what they start from.
variables_lock = threading.RLock()
hold_during_fork(variables_lock)


class Variable(Tensor):
    """A tensor with state: weights, counters, moving averages.

    It can stand wherever a tensor can. Inside a compiled function it is an input, what is assigned
    to it is an output, and its memory is reused for the new value.

    Args:
        value: The first value, copied.
        requires_grad: Whether `backward()` computes `grad`, also without a tape.
        name: For messages and the text of programs.
        dtype: The element type; that of the value when not given.

    Example:
        >>> w = Variable([1.0, 2.0])
        >>> w.assign_add([0.5, 0.5]).numpy()
        array([1.5, 2.5], dtype=float32)
    """

    __slots__ = ("_grad", "_type", "constraint", "name", "regularizer", "requires_grad")
    name: str | None
    requires_grad: bool
    constraint: Callable[[Any], Any] | None  # what optimizers make of a new value
    regularizer: Callable[[Any], Any] | None  # what its layer adds to the loss
    _grad: Tensor | None
    _type: TensorType

    def __init__(
        self,
        value: Any,
        requires_grad: bool = False,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if current_trace() is not None:
            raise ArgumentError(
                "a Variable was made inside a function being compiled or differentiated",
                hint="make it before, and use it inside; dlc.grad and dlc.autograd.grad give "
                "gradients with respect to any tensor of the function",
            )
        held = asarray(value, dtype=dtype)
        assert held._data is not None
        if requires_grad and not held.dtype.is_float:
            raise DTypeError(f"requires_grad of {held.tensor}: only floats have gradients")
        self._node, self._trace, self._weak = None, None, False
        self._type = held.tensor
        self.name, self.requires_grad, self._grad = name, requires_grad, None
        self.constraint = self.regularizer = None
        self._hold(contiguous(held._data))

    def _hold(self, array: Array | None) -> None:
        """Takes another value; None while a program is computing it."""
        self._data = array
        _held_history.__set__(self, None)

    @property
    def _history(self) -> History | None:
        """The leaf of the graph that the present value is; made when it is first asked for."""
        held = _held_history.__get__(self)
        if held is None and self.requires_grad:
            held = self._new_leaf(persistent=True)
            _held_history.__set__(self, held)
        return held

    @_history.setter
    def _history(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, history: History | None
    ) -> None:
        _held_history.__set__(self, history)

    def _new_leaf(self, persistent: bool) -> History:
        return Leaf(self._held("a gradient", "make it eagerly"), persistent, self)

    def _watch(self) -> None:
        """Begins a history under a tape."""
        if self._type.dtype.is_float:
            _held_history.__set__(self, self._new_leaf(self.requires_grad))

    @property
    def tensor(self) -> TensorType:
        """The type, which never changes."""
        return self._type

    @property
    def shape(self) -> tuple[Any, ...]:
        """The extents, which never change."""
        return self._type.shape

    @property
    def is_traced(self) -> bool:
        """Whether reading it now gives a value of a program being traced."""
        return current_trace() is not None

    def _held(self, purpose: str, instead: str) -> Array:
        trace = current_trace()
        if trace is not None:
            return make(None, self._node_in(trace), trace)._held(purpose, instead)
        data = self._data
        if data is None:
            with variables_lock:  # a compiled program is replacing it
                data = self._data
        if data is None:
            raise DonatedBufferError("the variable's memory was lost when a compiled call failed")
        return data

    def _snapshot(self) -> Tensor:
        return self.value()

    def _node_in(self, trace: Trace) -> Node:
        found = trace.variables.get(self)
        if found is None:
            found = trace.builder.param(self._type, self.name)
            trace.variables[self] = found
            trace.inputs[self] = found
            trace.leaves.setdefault(self, []).append(found)
        return found

    def _rebind(self, value: Tensor) -> None:
        self.assign(value)

    def assign(self, value: Any) -> Variable:
        """Replaces the value; it is broadcast and, if a Python number, converted.

        Raises:
            ShapeError: when the value does not broadcast to the variable's shape.
            DTypeError: when its element type does not become the variable's by promotion.
        """
        trace = current_trace()
        if trace is None and self._is_like(value):
            self._hold_new(aligned_copy(value, self._type.dtype), value)
            return self
        new = self._fitting(value)
        if trace is None:
            assert new._data is not None
            self._hold_new(contiguous(new._data), value)
            return self
        self._node_in(trace)
        # A node of its own: what is computed from the new value has no gradient through the old.
        node = trace.emit(find_op("stop_gradient"), [new], {})
        trace.variables[self] = node
        trace.leaves.setdefault(self, []).append(node)
        trace.written[self] = None
        return self

    def _hold_new(self, array: Array, given: Any) -> None:
        """Takes an array made of what was assigned; of what was no tensor, on the same device."""
        if GpuArray.made and not isinstance(given, Tensor):
            array = moved(array, place_of(self._data))
        with variables_lock:
            self._hold(array)

    def _is_like(self, value: Any) -> bool:
        """Whether a value is an array of the variable's own type."""
        type_ = self._type
        if type(value) is not np.ndarray or value.dtype != type_.dtype.numpy:
            return False
        return value.shape == type_.shape

    def _fitting(self, value: Any) -> Tensor:
        new = value if isinstance(value, Tensor) and not value._weak else promote(value, self)[0]
        if new.tensor.dtype is not self._type.dtype:
            common = promote(new, self)[0].tensor.dtype
            if common is not self._type.dtype:
                raise DTypeError(
                    f"assignment of {new.tensor} to a variable of {self._type}",
                    hint=f"convert the value with .astype(dlc.{self._type.dtype.name})",
                )
            new = convert(new, self._type.dtype)
        try:
            return broadcast_to(new, self._type.shape)
        except ShapeError:
            raise ShapeError(f"assignment of {new.tensor} to a variable of {self._type}") from None

    def assign_add(self, value: Any) -> Variable:
        """Adds to the value in place."""
        return self.assign(functions.add(self, value))

    def assign_sub(self, value: Any) -> Variable:
        """Subtracts from the value in place."""
        return self.assign(functions.subtract(self, value))

    @property
    def data(self) -> Tensor:
        """The value as a tensor without history; assigning to it replaces the value."""
        trace = current_trace()
        if trace is not None:
            return functions.stop_gradient(self)
        return make(self._held(".data", "read it inside the function"))

    @data.setter
    def data(self, value: Any) -> None:
        self.assign(value)

    def value(self) -> Tensor:
        """The present value as a tensor."""
        trace = current_trace()
        if trace is not None:
            return make(None, self._node_in(trace), trace)
        array = self._held(".value()", "read it inside the function")
        watch((self,))
        return make(array, history=self._history)

    @property
    def grad(self) -> Tensor | None:
        """What `backward()` has added up since `grad` was None."""
        trace = current_trace()
        if trace is None:
            return self._grad
        node = trace.gradient_of(self)
        return None if node is None else make(None, node, trace)

    @grad.setter
    def grad(self, value: Any) -> None:
        trace = current_trace()
        new = None if value is None else self._fitting(value)
        if trace is None:
            if new is not None:
                new = make(contiguous(new._held("grad", "assign it inside")))
            self._grad = new
            return
        trace.gradients[self] = None if new is None else new._node_in(trace)
        trace.gradients_written[self] = None

    def zero_grad(self) -> None:
        """Sets `grad` to None."""
        self.grad = None

    def __iadd__(self, other: Any) -> Self:
        self.assign(functions.add(self, other))
        return self

    def __isub__(self, other: Any) -> Self:
        self.assign(functions.subtract(self, other))
        return self

    def __imul__(self, other: Any) -> Self:
        self.assign(functions.multiply(self, other))
        return self

    def __itruediv__(self, other: Any) -> Self:
        self.assign(functions.divide(self, other))
        return self

    def __repr__(self) -> str:
        name = "" if self.name is None else f"{self.name!r}, "
        if current_trace() is not None:
            return f"<Variable {name}{self._type}>"
        return f"Variable({name}{super().__repr__()[len('Variable(') :]}"

    def with_value(self, value: Any) -> Variable:
        """Another variable like this one, with another value, which may be of another type."""
        return _made(value, self.requires_grad, self.name, self.constraint, self.regularizer)

    def __copy__(self) -> Variable:
        return self.with_value(self.data)

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        return self.__copy__()

    def __reduce__(self) -> Any:
        rest = self.requires_grad, self.name, self.constraint, self.regularizer
        return _made, (self.numpy().copy(), *rest)


def _made(
    value: Any, requires_grad: bool, name: str | None, constraint: Any, regularizer: Any
) -> Variable:
    made = Variable(value, requires_grad, name)
    made.constraint, made.regularizer = constraint, regularizer
    return made
