"""What writes a graph: names, constants, extents, and the table of writers of ops."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.interop.onnx.element_types import kind_of, numpy_type
from dlc.interop.onnx.files import onnx_package
from dlc.interop.onnx.writing.widening import widened
from dlc.ir.core import Function, Node
from dlc.ir.dims import Apply, Dim, DimExpr, Symbol
from dlc.ir.errors import ModelError
from dlc.ir.types import DType, TensorType, bool_

if TYPE_CHECKING:
    from onnx import NodeProto

Write = Callable[..., Any]
WRITERS: dict[str, Write] = {}


def writes(*ops: str) -> Callable[[Write], Write]:
    """Adds the writer of ops: from the writer, the node and names of inputs to that of the result.

    Of an op with several results it gives a list of names.
    """

    def add(function: Write) -> Write:
        for op in ops:
            WRITERS[op] = function
        return function

    return add


class Store:
    """What all graphs of a model share: names, constants, where extents are read."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.package = onnx_package()
        self.constants: dict[Any, str] = {}
        self.arrays: dict[str, Any] = {}  # constants by name
        self.sources: dict[str, tuple[str, int]] = {}  # symbol: a parameter and its axis
        self.taken: set[str] = set()  # names of inputs and outputs
        self._numbers = itertools.count()

    def name(self, stem: str = "v") -> str:
        """A name that no other value has."""
        names = (f"{stem}_{number}" for number in self._numbers)
        return next(name for name in names if name not in self.taken)


class Writer:
    """Writes the nodes of one graph.

    Args:
        store: What it shares with others.
        outer: The names of values of the graph around it.
    """

    def __init__(self, store: Store, outer: dict[Node, str] | None = None) -> None:
        self.store = store
        self.names: dict[Node, str] = dict(outer or {})
        self.several: dict[Node, list[str]] = {}
        self.nodes: list[NodeProto] = []
        self._dims: dict[Any, str] = {}

    @property
    def version(self) -> int:
        """The opset version that is written."""
        return self.store.version

    # Values.

    def op(self, name: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Adds an operator; the name of its result, or a list of them."""
        made = [self.store.name(name.lower()) for _ in range(outputs)]
        helper = self.store.package.helper
        self.nodes.append(helper.make_node(name, list(inputs), made, **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, array: Any, dtype: Any = None) -> str:
        """The name of a constant array; equal ones are stored once."""
        value = np.asarray(array, None if dtype is None else _numpy(dtype))
        key = (value.dtype.str, value.dtype.name, value.shape, value.tobytes())
        if key not in self.store.constants:
            name = self.store.name("constant")
            self.store.constants[key] = name
            self.store.arrays[name] = value
        return self.store.constants[key]

    def ints(self, numbers: Iterable[int]) -> str:
        """A constant vector of int64."""
        return self.constant(np.array(list(numbers), np.int64))

    def number(self, value: float, dtype: DType) -> str:
        """A constant scalar of a type, infinite where it is beyond it."""
        with np.errstate(over="ignore"):
            return self.constant(np.array(value).astype(_numpy(dtype)))

    def cast(self, x: str, dtype: DType) -> str:
        """Elements as another type."""
        return self.op("Cast", x, to=kind_of(dtype))

    def where(self, condition: str, x: str, y: str, dtype: Any) -> str:
        """Integers where a condition holds, else others; of any type, by their bits."""
        kind = np.dtype(getattr(dtype, "numpy", dtype))
        wide = {"int16": np.int32, "uint16": np.int32, "uint64": np.int64}.get(kind.name)
        if wide is None:
            return self.op("Where", condition, x, y)
        wide = kind_of(wide)
        chosen = self.op(
            "Where", condition, self.op("Cast", x, to=wide), self.op("Cast", y, to=wide)
        )
        return self.op("Cast", chosen, to=kind_of(kind))

    # Extents.

    def shape(self, dims: Sequence[Dim]) -> str:
        """A vector of extents."""
        if all(isinstance(d, int) for d in dims):
            return self.ints(int(d) for d in dims)  # type: ignore[arg-type]
        one = self.ints([1])
        return self.op("Concat", *(self.op("Reshape", self.dim(d), one) for d in dims), axis=0)

    def dim(self, dim: Dim) -> str:
        """An extent as a scalar of int64."""
        if not isinstance(dim, DimExpr):
            return self.constant(np.array(dim, np.int64))
        found = self._dims.get(dim)
        if found is None:
            found = self._dims[dim] = self._sum(dim)
        return found

    def _sum(self, dim: DimExpr) -> str:
        total: str | None = None
        for atoms, factor in dim.terms:
            factors = [self._atom(atom) for atom in atoms]
            if factor != 1 or not factors:
                factors.append(self.constant(np.array(factor, np.int64)))
            part = functools.reduce(lambda a, b: self.op("Mul", a, b), factors)
            total = part if total is None else self.op("Add", total, part)
        assert total is not None
        return total

    def _atom(self, atom: Symbol | Apply) -> str:
        if isinstance(atom, Symbol):
            source = self.store.sources.get(atom.name)
            if source is None:
                raise ModelError(f"the extent {atom.name} is not that of an argument's axis")
            name, axis = source
            shape = self.op("Shape", name)
            return self.op("Gather", shape, self.constant(np.array(axis, np.int64)), axis=0)
        a, b = self.dim(atom.a), self.dim(atom.b)
        if atom.function in ("max", "min"):
            return self.op(atom.function.capitalize(), a, b)
        rest = self.op("Mod", a, b)
        if atom.function == "mod":
            return rest
        return self.op("Div", self.op("Sub", a, rest), b)

    # Nodes and functions.

    def write(self, function: Function) -> None:
        """Writes the nodes of a function whose parameters have names.

        Raises:
            ModelError: ONNX has no operator for some; all are listed.
        """
        nodes, results = function.nodes, function.results
        missing = sorted({n.op.name for n in nodes if n.op.name not in (*WRITERS, "get")})
        if missing:
            raise ModelError(
                f"ONNX has nothing for {', '.join(missing)}",
                hint="compute that outside of what is exported",
            )
        implied = _implied(nodes, results)
        for node in nodes:
            if node in implied:
                self.names[node] = self.names[node.inputs[0]]
            else:
                self._write(node)

    def _write(self, node: Node) -> None:
        wide = widened(node)
        if wide is None:
            self._write_as_it_is(node)
            return
        nodes, result = wide
        for made in nodes:
            self._write_as_it_is(made)
        self.names[node] = self.names[result]

    def _write_as_it_is(self, node: Node) -> None:
        if node.op.name == "get":
            self.names[node] = self.several[node.inputs[0]][node.attrs["index"]]
            return
        if isinstance(node.type, TensorType) and 0 in node.type.shape:
            # Expand takes bool where it does not take bfloat16.
            nothing = self.op("Expand", self.number(0, bool_), self.shape(node.type.shape))
            self.names[node] = self.cast(nothing, node.type.dtype)
            return
        inputs = [self.names[x] for x in node.inputs if x in self.names]
        made = WRITERS[node.op.name](self, node, *inputs)
        if isinstance(made, list):
            self.several[node] = made
        else:
            self.names[node] = made

    def body(self, function: Function, inputs: Sequence[str]) -> list[str]:
        """Writes a function's nodes here; the names of its results."""
        self.names.update(dict(zip(function.params, inputs, strict=True)))
        self.write(function)
        return [self.names[r] for r in function.results]

    def inner(self) -> Writer:
        """A writer for a graph inside this one, which sees its values."""
        made = Writer(self.store, self.names)
        made.several = dict(self.several)
        return made

    def graph(self, inputs: Sequence[Any], outputs: Sequence[str], types: Sequence[Any]) -> Any:
        """What has been written as a graph; results that are inputs or from outside are copied."""
        helper = self.store.package.helper
        copied = [self.op("Identity", name) for name in outputs]
        infos = [
            helper.make_tensor_value_info(n, kind_of(t.dtype), _known(t.shape))
            for n, t in zip(copied, types, strict=True)
        ]
        return helper.make_graph(self.nodes, self.store.name("graph"), list(inputs), infos)


def _known(shape: Sequence[Dim]) -> list[int | None]:
    """Extents that are numbers: a loop that never runs has nothing else to tell them by."""
    return [d if isinstance(d, int) else None for d in shape]


def _implied(nodes: Sequence[Node], results: Sequence[Node]) -> set[Node]:
    """Repetitions along axes that the operators which take them do by themselves.

    Another operand of each of these operators has the full shape.
    """
    users: dict[Node, list[Node]] = {}
    for node in nodes:
        for x in node.inputs:
            users.setdefault(x, []).append(node)
    made = {n for n in nodes if n.op.name == "broadcast_to" and n not in results and n in users}

    def spread(user: Node) -> bool:
        return user.op.family in _SPREADING and any(x not in made for x in user.inputs)

    return {n for n in made if all(spread(u) for u in users[n])}


_SPREADING = ("binary", "compare", "ternary")


def _numpy(dtype: Any) -> Any:
    return numpy_type(kind_of(dtype))
