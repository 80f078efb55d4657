"""Making nodes: the one place where attributes are normalised and types are inferred."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from dlc.ir.core import Function, Node
from dlc.ir.dims import Dim
from dlc.ir.errors import ValueRangeError, nearest
from dlc.ir.location import SourceLocation
from dlc.ir.op import OPS, Attrs, Op, static_attrs
from dlc.ir.types import DType, TensorType, dtype_of


def find_op(name: str) -> Op:
    """The row `name`; ValueRangeError naming the nearest one when there is none."""
    op = OPS.get(name)
    if op is None:
        raise ValueRangeError(f"there is no op {name!r}", hint=nearest(name, OPS))
    return op


def normalise_attrs(op: Op, attrs: dict[str, Any]) -> dict[str, Any]:
    """`attrs` in the row's order with defaults filled in, lists as tuples, dtypes as `DType`.

    What stands for a truth value is one: a tensor that is traced says so.
    """
    unknown = attrs.keys() - op.attrs.keys()
    if unknown:
        raise ValueRangeError(f"op {op.name} has no attribute {min(unknown)!r}")
    result: dict[str, Any] = {}
    for name, kind in op.attrs.items():
        if name in attrs:
            value = attrs[name]
        elif name in op.defaults:
            value = op.defaults[name]
        else:
            raise ValueRangeError(f"op {op.name} needs the attribute {name!r}")
        if kind in ("ints", "dims", "types", "functions"):
            value = tuple(value)
        elif kind == "dtype" and not isinstance(value, DType):
            value = dtype_of(value)
        elif kind == "bool":
            value = bool(value)
        result[name] = value
    return result


def make_node(
    op: Op,
    inputs: Sequence[Node],
    attrs: dict[str, Any] | None = None,
    loc: SourceLocation | None = None,
    name: str | None = None,
) -> Node:
    """A node of `op`, its type inferred by the op's own rule."""
    held = normalise_attrs(op, attrs or {})
    type_ = op.infer([x.type for x in inputs], held)  # type: ignore[misc]
    return Node(op, tuple(inputs), held, type_, loc, name)


class IRBuilder:
    """Collects nodes: `b.add(x, y)`. `loc` is given to each new node."""

    def __init__(self, loc: SourceLocation | None = None) -> None:
        self.nodes: list[Node] = []
        self.loc = loc

    def emit(self, op: Op, inputs: Sequence[Node], attrs: dict[str, Any] | None = None) -> Node:
        """Appends a node of `op`."""
        node = make_node(op, inputs, attrs, self.loc)
        self.nodes.append(node)
        return node

    def __getattr__(self, name: str) -> Callable[..., Node]:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self._call, find_op(name))

    def _call(self, op: Op, *inputs: Node, **attrs: Any) -> Node:
        return self.emit(op, inputs, attrs)

    def inlined(self, function: Function, inputs: Sequence[Node]) -> list[Node]:
        """Appends the nodes of `function` applied to `inputs`; returns its results.

        Nodes without a location get `loc`.
        """
        new: dict[Node, Node] = dict(zip(function.params, inputs, strict=True))
        for n in function.nodes:
            held = tuple(new[x] for x in n.inputs)
            new[n] = Node(n.op, held, n.attrs, n.type, n.loc or self.loc, n.name)
            self.nodes.append(new[n])
        return [new[r] for r in function.results]

    def param(self, type_: TensorType, name: str | None = None) -> Node:
        """A parameter (not appended to `nodes`)."""
        return make_node(OPS["param"], (), {"type": (type_,)}, self.loc, name)

    def const(self, value: Any, like: TensorType) -> Node:
        """A tensor of type `like` filled with the number `value`."""
        return self.full(value=value, shape=like.shape, dtype=like.dtype)

    def zeros(self, type_: TensorType) -> Node:
        """A tensor of zeros of this type."""
        return self.const(0.0 if type_.dtype.is_float else 0, type_)

    def array(self, value: np.ndarray[Any, Any]) -> Node:
        """A constant array."""
        return self.constant(value=value)

    def function(self, name: str, params: Sequence[Node], results: Sequence[Node]) -> Function:
        """The function of these parameters and results; nodes that no result needs stay."""
        return Function(name, params, results, self.nodes)


def with_extents(function: Function, extent: Callable[[Dim], Dim]) -> Function:
    """`function` with other dims in the place of its own, also in the functions inside.

    Args:
        function: Of symbols.
        extent: Gives the dim that takes the place of one.
    """
    b = IRBuilder()
    new: dict[Node, Node] = {}
    for p in function.params:
        new[p] = b.param(p.tensor.with_shape(_extents(p.shape, extent)), p.name)
    for n in function.nodes:
        attrs = attrs_at(n.attrs, extent)
        new[n] = make_node(n.op, [new[x] for x in n.inputs], attrs, n.loc, n.name)
        b.nodes.append(new[n])
    params, results = ([new[x] for x in xs] for xs in (function.params, function.results))
    return b.function(function.name, params, results)


def _extents(shape: Sequence[Dim], extent: Callable[[Dim], Dim]) -> list[Dim]:
    return [d if isinstance(d, int) else extent(d) for d in shape]


def attrs_at(attrs: Attrs, extent: Callable[[Dim], Dim]) -> dict[str, Any]:
    """Attributes with other dims in the place of theirs, also in the functions among them."""
    # Integers are asked for, and any dim can be given.
    found = static_attrs(attrs, extent)  # type: ignore[arg-type]
    for name, value in found.items():
        if isinstance(value, Function):
            found[name] = with_extents(value, extent)
        elif isinstance(value, tuple):
            items: tuple[Any, ...] = value
            found[name] = tuple(
                with_extents(v, extent) if isinstance(v, Function) else v for v in items
            )
    return found
