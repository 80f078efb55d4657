"""Symbolic tensors: what `dlc.nn.Input` makes, and what functions of dlc make of it.

They have a type and no value. The nodes that they stand for say where they come from, and belong to
a trace that is never current and keeps nothing itself: a graph lives as long as its tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from dlc.frontend.context import current_trace
from dlc.frontend.recording import is_recording
from dlc.frontend.tensor import Tensor, make
from dlc.frontend.trace import Trace
from dlc.ir.build import normalise_attrs
from dlc.ir.core import Node
from dlc.ir.dims import Dim, DimExpr, DimUnknown, symbols_of, tell_unknown_by
from dlc.ir.errors import DlcError, TracedValueError
from dlc.ir.location import user_location
from dlc.ir.op import OPS, Op
from dlc.ir.types import TensorType, Type

_numbers = itertools.count()


class SymbolNode(Node):
    """A node of a symbolic tensor.

    origin: Where its value comes from, if it is no op's result: any object, or the tensor that was
        read from outside.
    number: Larger than those of all that it depends on.
    """

    __slots__ = ("number", "origin")
    number: int
    origin: Any

    def __init__(
        self,
        op: Op,
        inputs: tuple[Node, ...],
        attrs: Mapping[str, Any],
        type_: Type,
        origin: Any = None,
    ) -> None:
        super().__init__(op, inputs, attrs, type_, user_location())
        self.origin, self.number = origin, next(_numbers)


class OpenExtentError(DimUnknown, DlcError):
    """A question about an extent of a symbolic tensor, asked outside of layers."""

    code: ClassVar[str] = "DLC101"

    def __init__(self, a: Dim, b: Dim, relation: str) -> None:
        super().__init__(a, b, relation)
        self.message = f"this depends on {self.question}, which is not known of a symbolic tensor"
        self.hint = (
            "give nn.Input these extents as numbers, or one name to those that are equal; or "
            "compute it in a layer: nn.Lambda(function)(x)"
        )

    def __reduce__(self) -> Any:
        return type(self), (self.a, self.b, self.relation), self.__dict__


class Symbolic(Trace):
    """The trace of symbolic tensors."""

    symbolic: ClassVar[bool] = True
    used: bool = False  # whether there has been a symbolic tensor

    def __init__(self) -> None:
        super().__init__()
        self._open: set[str] = set()  # the symbols of all extents there have been

    def tensor(self, type_: TensorType, origin: Any, weak: bool = False) -> Tensor:
        """A symbolic tensor that comes from somewhere else than an op."""
        self.used = True
        self._open.update(*map(symbols_of, type_.shape))
        tell_unknown_by(self._told)
        return make(None, self._param(type_, origin), self, weak)

    def _told(self, unknown: DimUnknown) -> DimUnknown:
        asked = symbols_of(unknown.a) | symbols_of(unknown.b)
        if current_trace() is None and asked <= self._open:
            return OpenExtentError(unknown.a, unknown.b, unknown.relation)
        return unknown

    def _param(self, type_: TensorType, origin: Any) -> Node:
        return SymbolNode(OPS["param"], (), {"type": (type_,)}, type_, origin)

    def is_wanted(self, tensors: Sequence[Tensor], attrs: Mapping[str, Any]) -> bool:
        """Whether an operation is symbolic: an operand is, or an extent among the attributes."""
        return any(t._trace is self for t in tensors) or any(
            isinstance(d, DimExpr)
            for value in attrs.values()
            for d in (value if isinstance(value, tuple) else (value,))
        )

    def _record(
        self, op: Op, tensors: Sequence[Tensor], attrs: dict[str, Any]
    ) -> tuple[Node, bool]:
        if op.name == "random_bits" and tensors[0]._trace is not self:
            raise TracedValueError(
                "random numbers of a symbolic shape would be the same in each call of the model",
                hint="use a layer with random numbers of its own, such as nn.Dropout",
            )
        inputs = tuple(self._node_of(t) for t in tensors)
        if not is_recording():
            stop = OPS["stop_gradient"]
            inputs = tuple(SymbolNode(stop, (n,), {}, n.type) for n in inputs)
        held = normalise_attrs(op, attrs)
        type_ = op.infer([x.type for x in inputs], held)  # type: ignore[misc]
        return SymbolNode(op, inputs, held, type_), True

    def _node_of(self, tensor: Tensor) -> Node:
        if tensor._trace is self:
            assert tensor._node is not None
            return tensor._node
        data = tensor._data
        if data is not None and not data.ndim and type(tensor) is Tensor:
            value = np.array(data)
            return SymbolNode(OPS["constant"], (), {"value": value}, tensor.tensor)
        return self._param(tensor.tensor, tensor)


SYMBOLIC = Symbolic()
