"""Reading nodes as scalar expressions.

The element of a node at given indices, in terms of stored tensors.

Fusion asks it where a node reads its operands; lowering asks it for the right-hand sides of a
kernel. Both go through the `lower` of the op rows, so that neither knows any op.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeAlias

from dlc.ir import scalar
from dlc.ir.core import Node
from dlc.ir.deferred import deferred
from dlc.ir.dims import Dim
from dlc.ir.record import dataclass
from dlc.ir.scalar import Axis, Expr
from dlc.ir.types import DType, TensorType, int64

# Few programs need it.
if TYPE_CHECKING:
    import concurrent.futures as threads
else:
    threads = deferred("concurrent.futures")

Leaf = Callable[[Node, tuple[Expr, ...]], Expr | None]

DEEPEST = 60  # operands inside of operands, of a few calls each, on one stack


_Key: TypeAlias = tuple[Node, tuple[Expr, ...]]


class Inliner:
    """Expressions of nodes down to leaves.

    `leaf(node, ix)` gives the expression of a node that is stored (a load, a local), or None for
    one that is to be computed in place. `extents` are the extents of the axes that occur in
    indices; bounds checks that they make needless are left out. `within` is the inliner whose leaf
    asks this one, on the same stack.
    """

    def __init__(
        self,
        leaf: Leaf,
        extents: Mapping[str, Dim] | None = None,
        within: Inliner | None = None,
    ) -> None:
        self.leaf = leaf
        self.extents = dict(extents or {})
        self._memo: dict[_Key, Expr] = {}
        self._depth = 0 if within is None else within._depth + 1

    def value(self, node: Node, ix: tuple[Expr, ...]) -> Expr:
        """The element of `node` at `ix`, which is within bounds."""
        stored = self.leaf(node, ix)
        return self.computed(node, ix) if stored is None else stored

    def computed(self, node: Node, ix: tuple[Expr, ...]) -> Expr:
        """The element of `node` by its own row, over its operands."""
        key = (node, ix)
        found = self._memo.get(key)
        if found is not None:
            return found
        return self._lowered(key) if self._depth < DEEPEST else self._deeper(key)

    def _deeper(self, key: _Key) -> Expr:
        """What lies too deep for Python's stack is computed on that of another thread.

        To begin again from an empty stack would not do: each time that an op is lowered, its axes
        and what it loads have other names.
        """
        depth, self._depth = self._depth, 0
        try:
            with threads.ThreadPoolExecutor(1) as thread:
                return thread.submit(copy_context().run, self._lowered, key).result()
        finally:
            self._depth = depth

    def _lowered(self, key: _Key) -> Expr:
        node, ix = key
        if node.op.lower is None:
            raise TypeError(f"{node.op.name} cannot be computed in place")
        inputs = [_Operand(self, x) for x in node.inputs]
        self._depth += 1
        try:
            found = self._memo[key] = node.op.lower(ix, inputs, node.attrs, node.tensor)
        finally:
            self._depth -= 1
        self._note_extents(found)
        return found

    def _note_extents(self, e: Expr) -> None:
        if e.op in ("reduce", "dot"):
            axes: tuple[Axis, ...] = e.attr[1] if e.op == "reduce" else e.attr
            self.extents.update((a.name, a.extent) for a in axes)
        elif e.op == "convert":
            self._note_extents(e.args[0])

    def padded(self, node: Node, ix: Sequence[Expr], outside: Expr) -> Expr:
        """The element of `node` at `ix`, or `outside` where `ix` is out of bounds."""
        stored = self.leaf(node, tuple(ix))
        inside = self.in_bounds(ix, node.shape)
        value = stored if stored is not None else self.computed(node, tuple(ix))
        if inside is None:
            return value
        if stored is not None and stored.op == "load":
            return scalar.pad(stored, outside)
        return scalar.select(inside, guard_loads(value), outside)

    def in_bounds(self, ix: Sequence[Expr], shape: Sequence[Dim]) -> Expr | None:
        """Whether `ix` is within `shape`; None where it always is."""
        checks: list[Expr] = []
        for i, extent in zip(ix, shape, strict=True):
            if i.op == "index" and self.extents.get(i.attr) == extent:
                continue
            if i.op == "const" and i.attr == 0 and extent != 0:
                continue
            checks.append(scalar.op("ge", i, scalar.const(0, int64)))
            checks.append(scalar.op("lt", i, scalar.dim(extent)))
        if not checks:
            return None
        result = checks[0]
        for check in checks[1:]:
            result = scalar.op("and", result, check)
        return result


class _Operand:
    """An operand of the node that is being lowered."""

    def __init__(self, inliner: Inliner, node: Node) -> None:
        self._inliner, self._node = inliner, node
        self.type: TensorType = node.tensor

    def __call__(self, *ix: Expr) -> Expr:
        return self._inliner.value(self._node, ix)

    def pad(self, ix: Sequence[Expr], outside: Expr) -> Expr:
        return self._inliner.padded(self._node, ix, outside)


def guard_loads(e: Expr) -> Expr:
    """`e` with each load giving 0 where its own indices are out of bounds."""
    guarded: dict[int, Expr] = {}
    for x in scalar.walk(e):
        guarded[id(x)] = _guarded(x, guarded)
    return guarded[id(e)]


def _guarded(x: Expr, guarded: Mapping[int, Expr]) -> Expr:
    if x.op == "load":
        inner = x.with_args(tuple(guarded[id(a)] for a in x.args))
        return scalar.pad(inner, zero(x.dtype))
    if x.op == "pad":
        load = x.args[0].with_args(tuple(guarded[id(a)] for a in x.args[0].args))
        return x.with_args((load, guarded[id(x.args[1])]))
    return x.with_args(tuple(guarded[id(a)] for a in x.args))


def zero(dtype: DType) -> Expr:
    """The literal 0 of a type."""
    return scalar.const(0.0 if dtype.is_float else 0, dtype)


@functools.cache
def canonical_ix(rank: int) -> tuple[Expr, ...]:
    """The indices i0, i1, ... that analyses read a node at."""
    return tuple(scalar.index(f"i{k}") for k in range(rank))


_FIRST = scalar.const(0, int64)


def is_at(rows: Sequence[Expr], ix: Sequence[Expr], shape: Sequence[Dim]) -> bool:
    """Whether the first indices into a shape are these; where an extent is 1, 0 is.

    Another index than 0 may lie outside, where a pad has what it reads.

    Example:
        >>> (i, j), zero = canonical_ix(2), scalar.const(0, int64)
        >>> [is_at((i,), (first, i), (extent, 4)) for first in (j, zero) for extent in (1, 3)]
        [False, False, True, False]
    """
    return len(ix) >= len(rows) and all(
        r == i or (d == 1 and i == _FIRST) for r, i, d in zip(rows, ix, shape, strict=False)
    )


def permutation(ix: Sequence[Expr]) -> tuple[int, ...] | None:
    """The axes whose canonical indices these are, if they are those of as many axes.

    Example:
        >>> i, j, k = canonical_ix(3)
        >>> permutation((k, i, j)), permutation((i, j, j)), permutation((i, k))
        ((2, 0, 1), None, None)
    """
    numbers = {i: k for k, i in enumerate(canonical_ix(len(ix)))}
    axes = tuple(numbers.get(i, -1) for i in ix)
    return axes if sorted(axes) == list(range(len(axes))) else None


@dataclass(frozen=True)
class Read:
    """That a node at `i0, i1, ...` reads the element `ix` of `source`."""

    source: Node
    ix: tuple[Expr, ...]


def before_reshape(node: Node, is_leaf: Callable[[Node], bool]) -> Node:
    """What has the elements of `node` in the same order, and is computed: in its shape if need be.

    A result that is computed at once, and reshaped, is best walked as it was computed.
    """
    while node.op.name == "reshape" and not is_leaf(node.inputs[0]):
        (node,) = node.inputs
    return node


def reads_of(node: Node, is_leaf: Callable[[Node], bool]) -> tuple[list[Read], Expr]:
    """The reads of leaves by `node`, what is in between computed in place, and its expression."""
    found: list[Read] = []

    def leaf(x: Node, ix: tuple[Expr, ...]) -> Expr | None:
        if not is_leaf(x):
            return None
        found.append(Read(x, ix))
        return scalar.load(str(len(found) - 1), ix, x.tensor.dtype)

    shape = node.shape
    inliner = Inliner(leaf, {f"i{k}": d for k, d in enumerate(shape)})
    return found, inliner.computed(node, canonical_ix(len(shape)))
