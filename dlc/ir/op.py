"""Op rows: everything that the compiler knows about an op, in one declaration.

    register(Op("exp", "Exponential.", infer=unary_float, reference=np.exp, lower=pointwise("exp"),
                jvp=lambda b, out, x, t: b.mul(t, out), samples=...))

A row says what the op's result type is, what it means (NumPy), how one element of it is computed
(`lower`) or which simpler ops it stands for (`decompose`), how it is differentiated, and how it is
batched. Nothing else in the compiler lists ops.

Rules are written against a `Builder`: `b.<op name>(*inputs, **attrs)` emits a node (or, in eager
mode, runs it), `b.inlined(function, inputs)` a function's nodes. That of derivative rules also has
`jvp_of` and `vjp_of`, that of batching rules `batch_of`, for ops that carry functions.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from dlc.ir.dims import Dim
from dlc.ir.ops import ROWS
from dlc.ir.record import dataclass, field
from dlc.ir.scalar import Expr
from dlc.ir.types import TensorType, Type

AttrKind = Literal[
    "int", "ints", "dim", "dims", "dtype", "bool", "number", "str", "array", "function",
    "functions", "types", "callable",
]  # fmt: skip
Attrs: TypeAlias = Mapping[str, Any]

NO_DERIVATIVE_REASONS = {
    "integer": "the result is an integer or a bool",
    "constant": "the result has no float input",
    "piecewise": "the derivative is zero wherever it exists",
    "unknown": "there is one, and no rule for it: to differentiate is an error",
}


class Value(Protocol):
    """What rules compute with: a node while tracing, a tensor in eager mode."""

    @property
    def tensor(self) -> TensorType:
        """The type of the value."""
        ...


class Builder(Protocol):
    """Emits ops: `b.add(x, y)`, `b.reduce_sum(x, axes=(0,))`."""

    def __getattr__(self, op_name: str) -> Callable[..., Any]: ...


class Input(Protocol):
    """An operand as `lower` sees it: something that can be read at indices."""

    type: TensorType

    def __call__(self, *ix: Expr) -> Expr:
        """The element at `ix`, which must be within bounds."""
        ...

    def pad(self, ix: Sequence[Expr], outside: Expr) -> Expr:
        """The element at `ix`, or `outside` where `ix` is out of bounds."""
        ...


@dataclass(frozen=True)
class NoDerivative:
    """Why an op has no derivative: a key of `NO_DERIVATIVE_REASONS`."""

    reason: str

    def __post_init__(self) -> None:
        if self.reason not in NO_DERIVATIVE_REASONS:
            raise ValueError(f"unknown reason {self.reason!r}")


@dataclass(frozen=True)
class Sample:
    """One set of operands for the op table's tests.

    (shape, dtype short name) each, or arrays; and attributes.
    """

    inputs: tuple[Any, ...]
    attrs: Attrs = field(default_factory=dict[str, Any])


ANY_ROW = 1 << 62
"""An extent of rows that none is beyond, of backends that compile all `own_kernel` ops."""


class Runner(Protocol):
    """Runs the functions that a node carries, on arrays."""

    def __call__(self, function: Any, inputs: Sequence[Any]) -> Sequence[Any]:
        """The results of a function."""
        ...

    def extent(self, dim: Dim) -> int:
        """The value of a dim."""
        ...


Infer: TypeAlias = Callable[[Sequence[TensorType], Attrs], Type]
Lower: TypeAlias = Callable[[tuple[Expr, ...], Sequence[Input], Attrs, TensorType], Expr]


@dataclass(frozen=True, eq=False)
class Op:
    """A row of the op table.

    infer(types, attrs): the result type; raises ShapeError, DTypeError or ValueRangeError for
        operands that do not fit.
    reference(*arrays, **attrs): the meaning, in NumPy; dims among attrs are integers.
    lower(ix, inputs, attrs, type): the scalar expression of the result's element at `ix`; None for
        an op that is
        decomposed or that has statements of its own (family "scatter") or none ("param", "tuple").
    decompose(b, *inputs, **attrs): the same value in simpler ops.
    control(run, inputs, attrs): the meaning of an op of the family "control", which runs functions
        that it carries: `run` is a `Runner`.
    jvp(b, out, inputs, tangents, **attrs): the tangent of the result, None when it is zero; a
        tangent is None when zero. Of an op of several results, one for each of them.
    linear: the inputs in which the op is linear when the others are held fixed ("all": in all
        together).
    transpose(b, ct, i, inputs, **attrs): the cotangent of linear input `i`; only the type of
        inputs[i] may be used.
    vjp(b, out, ct, i, inputs, **attrs): the cotangent of input `i`, in the place of what follows
        from the derivatives of the ops in `decompose`.
    vjp_all(b, out, cts, wanted, inputs, **attrs): of an op of several results, from their
        cotangents (None where zero) those of all inputs; of no use where not wanted[k].
    batch(b, inputs, batched, **attrs): the results for every element of a batch: inputs[k] where
        batched[k] (of at least one) has the batch axis in front of the axes that the op knows, and
        so has the result. None leaves it to `decompose`, as a row without a rule does; of an op of
        several results, a tuple of them or one value of their types. `dlc.ir.ops.batching` has the
        rules of families.
    effect: whether it does something besides computing a result: it is neither left out nor done
        once for two, and such ops stay in their order.
    own_kernel: whether an op with `decompose` is computed by a kernel of its own, which a backend
        without ordered loops that carry values leaves to `decompose`.
    samples: operands for the tests. `dtypes`: short names of element types that operands may have.
    """

    name: str
    doc: str
    infer: Infer
    reference: Callable[..., Any] | None = None
    attrs: Mapping[str, AttrKind] = field(default_factory=dict[str, AttrKind])
    defaults: Attrs = field(default_factory=dict[str, Any])
    family: str = "other"
    lower: Lower | None = None
    decompose: Callable[..., Any] | None = None
    control: Callable[[Runner, Sequence[Any], Attrs], Sequence[Any]] | None = None
    jvp: Callable[..., Any] | NoDerivative | None = None
    linear: tuple[int, ...] | Literal["all"] = ()
    transpose: Callable[..., Any] | None = None
    vjp: Callable[..., Any] | None = None
    vjp_all: Callable[..., Any] | None = None
    batch: Callable[..., Any] | None = None
    samples: Callable[[], Iterable[Sample]] | None = None
    own_kernel: bool = False
    effect: bool = False
    cost: int = 1  # of an element, in units of an addition; what fusion weighs

    @cached_property
    def carries(self) -> bool:
        """Whether its nodes carry functions as attributes."""
        return any(kind in ("function", "functions") for kind in self.attrs.values())

    def __repr__(self) -> str:
        return f"<op {self.name}>"


class OpTable(Mapping[str, Op]):
    """The rows by name; a file of rows that come with dlc is loaded when one of them is read."""

    def __init__(self) -> None:
        self._files = {name: file for file, names in ROWS.items() for name in names.split()}
        self._rows: dict[str, Op] = {}
        self._built_in: dict[str, Op] = {}

    def __getitem__(self, name: str) -> Op:
        row = self.get(name)
        if row is None:
            raise KeyError(name)
        return row

    def get(self, name: str, default: Any = None) -> Any:
        """The row `name`, or the default."""
        row = self._rows.get(name)
        if row is None:
            self._load(name)
            row = self._rows.get(name, default)
        return row

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        """The rows that come with dlc first, in the order of `ROWS`."""
        for file in ROWS:
            importlib.import_module(f"dlc.ir.ops.{file}")
        rows = dict(self._rows)
        return iter([*filter(rows.__contains__, self._files), *(rows.keys() - self._files.keys())])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def is_built_in(self, op: Op) -> bool:
        """Whether a row comes with dlc: what it means is known from dlc's version."""
        return self._built_in.get(op.name) is op

    def add(self, op: Op) -> None:
        """As `register`."""
        if f"dlc.ir.ops.{self._files.get(op.name)}" not in sys.modules:
            self._load(op.name)  # of a name that `ROWS` has, dlc's own row is the first
        if op.name in self._rows:
            raise ValueError(f"op {op.name} is registered already")
        self._rows[op.name] = op
        if op.name in self._files:
            self._built_in.setdefault(op.name, op)

    def remove(self, name: str) -> None:
        """As `unregister`."""
        self._load(name)
        del self._rows[name]

    def _load(self, name: str) -> None:
        if name in self._files:
            importlib.import_module(f"dlc.ir.ops.{self._files[name]}")


OPS = OpTable()


def register(op: Op) -> Op:
    """Adds a row; ValueError for a name that is taken."""
    OPS.add(op)
    return op


def unregister(name: str) -> None:
    """Removes a row that an extension or a test has added."""
    OPS.remove(name)


def static_attrs(attrs: Attrs, evaluate: Callable[[Dim], int]) -> dict[str, Any]:
    """`attrs` with each dim replaced by its integer."""
    return {name: map_attr_dims(value, evaluate) for name, value in attrs.items()}


def map_attr_dims(value: Any, change: Callable[[Dim], Dim]) -> Any:
    """An attribute with each symbolic dim in it replaced by `change(dim)`."""
    if isinstance(value, tuple):
        return tuple(map_attr_dims(v, change) for v in value)
    if isinstance(value, (bool, str, float, np.ndarray)) or value is None:
        return value
    if hasattr(value, "terms"):
        return change(value)
    return value
