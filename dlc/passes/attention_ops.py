"""Makes attention that programs write out one op, whose kernel holds no matrix of scores.

Sums are those of the op: its scores are exponentiated by blocks of keys, half types are computed at
float32, and masks that are added are added to each other first. Nothing else changes: a row without
keys, and one with NaN or infinite scores, has what the program gives it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node, with_inputs
from dlc.ir.dims import Dim, DimUnknown, mul
from dlc.ir.errors import ShapeError
from dlc.ir.ops.families import accumulator, is_half
from dlc.ir.types import DType
from dlc.passes.uniform import number_of, position_of, same_extents
from dlc.passes.written_attention import Placed, Written, written_attention


def with_attention(function: Function, allowed: Callable[[Node], bool] | None = None) -> Function:
    """`function` with ops of attention where it writes attention out.

    Args:
        function: A function, before or after `decompose`.
        allowed: Asked for each last product whether its attention may be replaced.
    """
    found = written_attention(function)
    if not found:
        return function
    new: dict[Node, Node] = {p: p for p in function.params}
    for node in function.nodes:
        made = None
        if node in found and (allowed is None or allowed(node)):
            made = _Making(found[node], new).result()
        new[node] = with_inputs(node, tuple(new[x] for x in node.inputs)) if made is None else made
    return function.rebuilt(new)


class _Making:
    """The op in the place of what was found.

    Args:
        found: What was found.
        new: What has taken the place of each node so far.
    """

    def __init__(self, found: Written, new: dict[Node, Node]) -> None:
        self.found, self.new = found, new
        self.b = IRBuilder(found.product.loc)
        assert found.lead is not None
        self.lead: tuple[Dim, ...] = found.lead

    def result(self) -> Node | None:
        """What takes the place of the last product; None where its dims cannot be decided."""
        try:
            return self._result()
        except (DimUnknown, ShapeError):
            return None

    def _result(self) -> Node:
        b, found = self.b, self.found
        query, key, value = found.operands
        dtype = self._dtype()
        q = self._operand(*self._peeled(query))
        q = self._with_factors(self._converted(q, dtype))
        causal = found.seen is not None and found.hidden == -math.inf and _is_causal(found)
        masks = self._masks(causal)
        k, v, heads = self._keys(self._peeled(key), self._peeled(value))
        if heads is not None:
            q, masks = self._grouped(q, masks, heads, causal)
        out = b.attention(
            q, *(self._converted(x, dtype) for x in (k, v)), *masks,
            scale=found.scale, causal=causal,
            hidden=-math.inf if causal else found.hidden, nan_rows=found.nan_rows,
        )  # fmt: skip
        return self._in_place(out)

    def _dtype(self) -> DType:
        """The element type of the operands: a half type where all have it."""
        held = {x.node.tensor.dtype for x in self.found.operands}
        dtype = held.pop()
        # A half query would be rounded once more where it is multiplied itself.
        exact = not (self.found.factors and is_half(dtype))
        return dtype if not held and exact else accumulator(dtype)

    def _converted(self, x: Node, dtype: DType) -> Node:
        return x if x.tensor.dtype is dtype else self.b.convert(x, dtype=dtype)

    # Operands

    def _peeled(self, x: Placed) -> tuple[Node, tuple[int, ...], tuple[Dim, ...]]:
        """What an operand is a transpose of, in which order, and the leading axes to give it."""
        order = tuple(a for a in x.order if a is not None)
        lead = tuple(1 if a is None else d for a, d in zip(x.order, self.lead, strict=False))
        if self.found.regrouped:
            lead = self.lead
        node = x.node
        while True:
            n = len(order) - 2
            if node.op.name == "transpose":
                order = tuple(node.attrs["axes"][a] for a in order)
            elif node.op.name == "reshape" and order[:n] == tuple(range(n)):
                inner = node.inputs[0].shape
                if not (
                    same_extents(inner[-2:], node.shape[-2:]) and same_extents(inner[:-2], lead)
                ):
                    return node, order, lead
                m = len(inner) - 2
                order = (*range(m), *(a - n + m for a in order[n:]))
            else:
                return node, order, lead
            (node,) = node.inputs

    def _operand(self, node: Node, order: tuple[int, ...], lead: tuple[Dim, ...]) -> Node:
        """`node` in an order, with leading axes."""
        x = self.new[node]
        if order != tuple(range(len(order))):
            x = self.b.transpose(x, axes=order)
        return self._reshaped(x, (*lead, *x.shape[-2:]))

    def _reshaped(self, x: Node, shape: Sequence[Dim]) -> Node:
        return x if same_extents(x.shape, tuple(shape)) else self.b.reshape(x, shape=tuple(shape))

    def _with_factors(self, q: Node) -> Node:
        """Queries times what the scores are multiplied by and is known in a call only."""
        for element, divided in self.found.factors:
            x = self._converted(self.new[element], q.tensor.dtype)
            x = self.b.broadcast_to(x, shape=q.shape)
            q = self.b.div(q, x) if divided else self.b.mul(q, x)
        return q

    def _keys(
        self,
        key: tuple[Node, tuple[int, ...], tuple[Dim, ...]],
        value: tuple[Node, tuple[int, ...], tuple[Dim, ...]],
    ) -> tuple[Node, Node, tuple[Dim, ...] | None]:
        """Keys and values, with the heads and their groups where queries of a group share them."""
        lead = self.lead
        (k_lead, v_lead) = (key[2], value[2])
        if lead and lead[-1] != 1 and k_lead[-1] == 1 and v_lead[-1] == 1:
            k, v = (self._operand(n, order, own[:-1]) for n, order, own in (key, value))
            k, v = (self._broadcast(x, lead[:-1]) for x in (k, v))
            return k, v, lead
        repeated = [_repeated(node, order) for node, order, _ in (key, value)]
        (k_once, v_once) = repeated
        whole = same_extents(k_lead, lead) and same_extents(v_lead, lead)
        if whole and k_once and v_once and same_extents(k_once[1], v_once[1]):
            heads, group = k_once[1]
            own = (*lead[:-1], heads)
            k, v = (
                self._operand(self._without_group(x, len(own)), order, own)
                for (x, _), (_, order, _) in ((k_once, key), (v_once, value))
            )
            return k, v, (*own, group)
        k, v = (self._broadcast(self._operand(*x), lead) for x in (key, value))
        return k, v, None

    def _without_group(self, x: Node, at: int) -> Node:
        made = self._reshaped(self.new[x], (*x.shape[:at], *x.shape[at + 1 :]))
        self.new.setdefault(made, made)
        return made

    def _broadcast(self, x: Node, lead: Sequence[Dim]) -> Node:
        shape = (*lead, *x.shape[-2:])
        return x if same_extents(x.shape, shape) else self.b.broadcast_to(x, shape=shape)

    def _grouped(
        self, q: Node, masks: Sequence[Node], heads: tuple[Dim, ...], causal: bool
    ) -> tuple[Node, list[Node]]:
        """Queries and masks with an axis for the group, or with its queries one after the other."""
        *rows, width = q.shape[-2:]
        (count,) = rows
        *own, group = heads
        q = self._reshaped(q, (*heads, count, width))
        if len(heads) != len(self.lead):
            masks = [self._reshaped(m, _split(m.shape, heads)) for m in masks]
        if causal or not all(m.shape[-3:-1] == (1, 1) for m in masks):
            return q, list(masks)
        q = self._reshaped(q, (*own, mul(group, count), width))
        return q, [self._reshaped(m, (*m.shape[:-3], *m.shape[-2:])) for m in masks]

    # Masks

    def _masks(self, causal: bool) -> list[Node]:
        found, wide = self.found, accumulator(self._dtype())
        masks: list[Node] = []
        if found.added:
            # Those nearest to the scores first, as the program adds them.
            parts = [self._part(*x, wide) for x in reversed(found.added)]
            masks.append(functools.reduce(self._sum, parts))
        if found.seen is not None and not causal:
            seen = self._mask(found.seen)
            masks.append(self.b.bit_not(seen) if found.inverted else seen)
        return masks

    def _part(self, x: Placed, factor: float, wide: DType) -> Node:
        """What is added to the scores."""
        mask = self._converted(self._mask(x), wide)
        return mask if factor == 1 else self.b.mul(mask, self.b.const(factor, mask.tensor))

    def _mask(self, x: Placed) -> Node:
        """A mask in the order of the scores, with extents of 1 where it is repeated."""
        rank, node = x.node.tensor.rank, _once(x.node)
        mask = self._reshaped(self.new[node], ((1,) * (rank - node.tensor.rank)) + node.shape)
        order = tuple(a for a in x.order if a is not None)
        return mask if order == tuple(range(rank)) else self.b.transpose(mask, axes=order)

    def _sum(self, x: Node, y: Node) -> Node:
        shape = tuple(e if d == 1 else d for d, e in zip(x.shape, y.shape, strict=True))
        x, y = (
            m if same_extents(m.shape, shape) else self.b.broadcast_to(m, shape=shape)
            for m in (x, y)
        )
        return self.b.add(x, y)

    # The result

    def _in_place(self, out: Node) -> Node:
        """The result as the last product has it."""
        product, b = self.found.product, self.b
        out = self._converted(out, product.tensor.dtype)
        shape = product.shape
        if self.found.weights == 0:
            return out if out.shape == shape else b.reshape(out, shape=shape)
        at = len(product.attrs["lhs_batch"])  # of the columns, which come before what queries have
        out = self._reshaped(out, (*shape[:at], *shape[at + 1 :], shape[at]))
        last = len(shape) - 1
        out = b.transpose(out, axes=(*range(at), last, *range(at, last)))
        return out if out.shape == shape else b.reshape(out, shape=shape)


def _once(node: Node) -> Node:
    """What is repeated, of a mask."""
    while node.op.name == "broadcast_to":
        (node,) = node.inputs
    return node


def _split(shape: tuple[Dim, ...], heads: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The shape of a mask with the axis of heads in two."""
    own = (1, 1) if shape[-3] == 1 else heads[-2:]
    return (*shape[:-3], *own, *shape[-2:])


def _repeated(node: Node, order: tuple[int, ...]) -> tuple[Node, tuple[Dim, Dim]] | None:
    """What keys repeat for groups of queries, [..., heads, 1, S, D]; the heads and the group."""
    at = len(order) - 2
    if at < 1 or node.op.name != "reshape" or order[:at] != tuple(range(at)):
        return None
    wide = node.inputs[0]
    if wide.op.name != "broadcast_to" or wide.tensor.rank != node.tensor.rank + 1:
        return None
    (x,) = wide.inputs
    heads, group = wide.shape[at - 1 : at + 1]
    kept = (*wide.shape[: at - 1], mul(heads, group), *wide.shape[at + 1 :])
    once = (*wide.shape[:at], 1, *wide.shape[at + 1 :])
    fits = same_extents(kept, node.shape) and same_extents(x.shape, once)
    return (x, (heads, group)) if fits else None


def _is_causal(found: Written) -> bool:
    """Whether a mask leaves each query the keys up to its own position."""
    assert found.seen is not None
    node, (*_, rows, keys) = found.seen.node, found.seen.order
    assert rows is not None
    assert keys is not None
    while node.op.name == "broadcast_to":
        (inner,) = node.inputs
        less = node.tensor.rank - inner.tensor.rank
        node, rows, keys = inner, rows - less, keys - less
    if node.op.name == "select" and [number_of(x) for x in node.inputs[1:]] == [1, 0]:
        node = node.inputs[0]  # a triangle of ones
    if node.op.name not in _COMPARISONS:
        return False
    first, seen = _COMPARISONS[node.op.name]
    places = (keys, rows) if first == "key" else (rows, keys)
    return seen != found.inverted and tuple(position_of(x) for x in node.inputs) == places


# Which operand is the key's position, and whether the comparison says which keys are read.
_COMPARISONS = {
    "le": ("key", True), "ge": ("query", True), "gt": ("key", False), "lt": ("query", False),
}  # fmt: skip
