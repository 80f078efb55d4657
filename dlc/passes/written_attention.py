"""Finds attention that programs write out: products, a softmax of them, and products with that.

A search goes from the last product inwards, through what only moves or converts elements. It keeps
the order in which the axes of the value at hand are the leading ones, the queries and the keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from dlc.ir.core import Function, Node, live_nodes
from dlc.ir.dims import Dim, DimUnknown, at_least
from dlc.ir.ops.families import accumulator
from dlc.ir.record import dataclass, replace
from dlc.passes.uniform import number_of, of_extents, same_extents
from dlc.passes.written_softmax import blind_test, softmax_operand

Order: TypeAlias = tuple[int, ...]
_DEPTH = 32  # steps of a search
_LEAST_SCALE = 1e-30  # with it, or one over it, products of ordinary scores are numbers


@dataclass(frozen=True)
class Placed:
    """A value, and which of its axes are the leading ones, the rows, and what rows consist of.

    There is None for a leading axis of the scores that the value does not have.
    """

    node: Node
    order: tuple[int | None, ...]


@dataclass(frozen=True)
class Written:
    """Attention that was found; the attributes are those of `dlc.ir.ops.attention`.

    product: The last product, whose place is to be taken.
    weights: Which of its operands are the weights.
    query, key, value: The operands.
    lead: The leading extents of the scores where masks are applied, or where they are made.
    factors: Single elements that the scores are multiplied or (True) divided by.
    added: What is added to the scores, and the numbers it is multiplied by.
    seen: Which keys take part; None where all do.
    inverted: Whether `seen` says which do not.
    steps: All that is not needed any more.
    regrouped: Whether a reshape changed the leading axes on the way.
    """

    product: Node
    weights: int
    value: Placed
    query: Placed | None = None
    key: Placed | None = None
    lead: tuple[Dim, ...] | None = None
    scale: float = 1.0
    factors: tuple[tuple[Node, bool], ...] = ()
    added: tuple[tuple[Placed, float], ...] = ()
    seen: Placed | None = None
    inverted: bool = False
    hidden: float = -math.inf
    nan_rows: bool = True
    steps: tuple[Node, ...] = ()
    regrouped: bool = False

    @property
    def operands(self) -> tuple[Placed, Placed, Placed]:
        """Queries, keys and values, of attention that was found."""
        assert self.query is not None
        assert self.key is not None
        return self.query, self.key, self.value


def written_attention(function: Function) -> dict[Node, Written]:
    """The attention in a function, by its last product; scores are read by nothing else."""
    if not any(n.op.name in ("softmax", "exp") for n in function.nodes):
        return {}
    live = live_nodes(function.nodes, function.results)
    readers: dict[Node, list[Node]] = {}
    for n in live:
        for x in n.inputs:
            readers.setdefault(x, []).append(n)
    results = set(function.results)
    found: dict[Node, Written] = {}
    for n in function.nodes:
        if n in live and n.op.name == "dot_general":
            tries = (_search(n, side) for side in (0, 1))
            one = next((f for f in tries if f and _is_alone(f, readers, results)), None)
            if one is not None:
                found[n] = one
    return found


def _is_alone(found: Written, readers: Mapping[Node, Sequence[Node]], results: set[Node]) -> bool:
    inside = {*found.steps, found.product}
    return results.isdisjoint(found.steps) and all(
        inside.issuperset(readers.get(n, ())) for n in found.steps
    )


def _search(product: Node, side: int) -> Written | None:
    """The attention whose weights are operand `side` of a product."""
    batch, contract = (
        [tuple(product.attrs[f"{s}_{kind}"]) for s in ("lhs", "rhs")]
        for kind in ("batch", "contract")
    )
    other = 1 - side
    weights, value = product.inputs[side], product.inputs[other]
    free = _free(weights, batch[side], contract[side])
    columns = _free(value, batch[other], contract[other])
    if len(contract[side]) != 1 or not free or len(columns) != 1:
        return None
    shared = (None,) * (len(free) - 1)
    placed = Placed(value, (*batch[other], *shared, *contract[other], *columns))
    found = Written(product, side, placed)
    return _of_weights(found, weights, (*batch[side], *free, *contract[side]))


def _free(x: Node, *taken: Sequence[int]) -> tuple[int, ...]:
    used = {a for axes in taken for a in axes}
    return tuple(k for k in range(x.tensor.rank) if k not in used)


def _of_weights(found: Written, node: Node, order: Order) -> Written | None:
    """Goes from the weights to the scores, and on."""
    steps = [node]
    regrouped = False
    while (inner := _moved(node, order)) is not None:
        regrouped |= _regroups(node)
        node, order = inner
        steps.append(node)
    guarded = node.op.name == "select" and number_of(node.inputs[1]) == 0
    soft = softmax_operand(node.inputs[2] if guarded else node, order[-1])
    if soft is None:
        return None
    scores, parts = soft
    steps += parts
    if guarded:  # rows where no key takes part are 0
        test = blind_test(node.inputs[0], scores, order[-1])
        if test is None:
            return None
        steps += test
    try:
        some = at_least(scores.shape[order[-1]], 1)
    except DimUnknown:
        some = False
    found = replace(found, nan_rows=not guarded, steps=tuple(steps), regrouped=regrouped)
    whole = _of_scores(found, scores, order) if some else None
    return whole if whole is not None and _is_of_one_precision(whole) else None


def _moved(node: Node, order: Order) -> tuple[Node, Order] | None:
    """The operand of what moves or converts elements, and the order of its axes."""
    name = node.op.name
    if name not in ("convert", "transpose", "reshape", "broadcast_to"):
        return None
    (x,) = node.inputs
    if name == "convert":
        return (x, order) if x.tensor.dtype.is_float and node.tensor.dtype.is_float else None
    if name == "transpose":
        return x, tuple(node.attrs["axes"][a] for a in order)
    if same_extents(x.shape, node.shape):
        return x, order
    lead, inner = node.tensor.rank - 2, x.tensor.rank - 2
    in_front = order[:lead] == tuple(range(lead))
    if name != "reshape" or lead < 0 or inner < 0 or not in_front:
        return None
    if not same_extents(x.shape[-2:], node.shape[-2:]):
        return None
    return x, (*range(inner), *(a - lead + inner for a in order[lead:]))


def _regroups(node: Node) -> bool:
    return node.op.name == "reshape" and not same_extents(node.inputs[0].shape, node.shape)


def _of_scores(found: Written, node: Node, order: Order) -> Written | None:
    """Goes from scores to the product that they come from."""
    if len(found.steps) > _DEPTH:
        return None
    found = replace(found, steps=(*found.steps, node))
    inner = _moved(node, order)
    if inner is not None:
        regrouped = found.regrouped or _regroups(node)
        return _of_scores(replace(found, regrouped=regrouped), *inner)
    step = _STEPS.get(node.op.name)
    return None if step is None else step(found, node, order)


def _scaled(found: Written, node: Node, order: Order) -> Written | None:
    divided = node.op.name == "div"
    for at in (1,) if divided else (1, 0):
        factor, rest = node.inputs[at], node.inputs[1 - at]
        value = number_of(factor)
        if value is not None:
            value = (1 / value if value else math.inf) if divided else value
            scale = found.scale * value
            usual = _LEAST_SCALE < scale < 1 / _LEAST_SCALE
            return _of_scores(replace(found, scale=scale), rest, order) if usual else None
        element = of_extents(factor)
        if element is not None:
            factors = (*found.factors, (element, divided))
            return _of_scores(replace(found, factors=factors), rest, order)
    return None


def _added(found: Written, node: Node, order: Order) -> Written | None:
    """What is added; which of the operands has the products is found by trying."""
    at_lead = _with_lead(found, node, order)
    if at_lead is None:
        return None
    subtracted = node.op.name == "sub"
    for at in (0,) if subtracted else (0, 1):
        more = Placed(node.inputs[1 - at], order), -found.scale if subtracted else found.scale
        with_more = replace(at_lead, added=(*found.added, more))
        whole = _of_scores(with_more, node.inputs[at], order)
        if whole is not None:
            return whole
    return None


def _masked(found: Written, node: Node, order: Order) -> Written | None:
    """Scores of which a mask of bools hides some; a second mask, or one inside a sum, is not."""
    at_lead = _with_lead(found, node, order)
    if at_lead is None or found.seen is not None or found.added:
        return None
    condition, a, b = node.inputs
    for scores, hidden, inverted in ((a, b, False), (b, a, True)):
        value = number_of(hidden)
        if value is not None and not math.isnan(value):
            seen = Placed(condition, order)
            masked = replace(at_lead, seen=seen, inverted=inverted, hidden=value * found.scale)
            return _of_scores(masked, scores, order)
    return None


def _with_lead(found: Written, node: Node, order: Order) -> Written | None:
    """`found` with the leading extents that masks have; None where others had different ones."""
    lead = tuple(node.shape[a] for a in order[:-2])
    if found.factors:
        return None  # they are multiplied into the queries, so that they would not reach the mask
    if found.lead is None:
        return replace(found, lead=lead)
    return found if same_extents(lead, found.lead) else None


def _of_product(found: Written, node: Node, order: Order) -> Written | None:
    """The product of queries and keys."""
    where = _operand_axes(node)
    rows, keys = where[order[-2]], where[order[-1]]
    if len(rows) != 1 or len(keys) != 1 or rows.keys() == keys.keys():
        return None
    (query,) = rows
    (key,) = keys
    summed = [tuple(node.attrs[f"{s}_contract"]) for s in ("lhs", "rhs")]
    if len(summed[0]) != 1:
        return None
    placed = {
        s: Placed(
            node.inputs[s],
            (*(where[a].get(s) for a in order[:-2]), own[s], *summed[s]),
        )
        for s, own in ((query, rows), (key, keys))
    }
    q, k = placed[query], placed[key]
    if None in q.order or (found.regrouped and None in (*k.order, *found.value.order)):
        return None
    lead = found.lead or tuple(node.shape[a] for a in order[:-2])
    return replace(found, query=q, key=k, lead=lead)


def _operand_axes(node: Node) -> list[dict[int, int]]:
    """For each axis of a product, which axis of which operand it is."""
    batch = [tuple(node.attrs[f"{s}_batch"]) for s in ("lhs", "rhs")]
    contract = [tuple(node.attrs[f"{s}_contract"]) for s in ("lhs", "rhs")]
    found = [dict(enumerate(pair)) for pair in zip(*batch, strict=True)]
    for side, x in enumerate(node.inputs):
        found += [{side: a} for a in _free(x, batch[side], contract[side])]
    return found


def _is_of_one_precision(found: Written) -> bool:
    """Whether every step is computed at the precision of attention of the operands."""
    nodes = [*found.steps, found.product, *(x.node for x in found.operands)]
    return len({accumulator(n.tensor.dtype) for n in nodes if n.tensor.dtype.is_float}) == 1


_STEPS = {
    "dot_general": _of_product,
    "mul": _scaled,
    "div": _scaled,
    "add": _added,
    "sub": _added,
    "select": _masked,
}
