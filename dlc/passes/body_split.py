"""The derivative of a body in two: what runs forward and keeps values, and what reads them.

Of the reverse-mode derivative of a body, the nodes that depend on a cotangent run backward; the
others run forward, and what the former read of the latter is kept in between. What moves elements
only, and cheap arithmetic on what is kept anyway, is computed again instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node, with_inputs
from dlc.ir.dims import TRIPS
from dlc.ir.record import dataclass
from dlc.ir.types import TupleType

CHEAP = 3  # additions' worth of work that is done again sooner than kept
_ELEMENTWISE = ("unary", "binary", "ternary", "compare")


@dataclass(frozen=True)
class Split:
    """A derivative in two functions.

    Args:
        forward: The body, with what is kept after its results.
        params: The positions of the body's parameters that `backward` reads.
        backward: Of these parameters, what was kept, and cotangents; results in gradients.
        kept: How many values are kept.
    """

    forward: Function
    params: tuple[int, ...]
    backward: Function
    kept: int


def split_derivative(body: Function, derivative: Function, free: Iterable[int] = ()) -> Split:
    """Cuts the reverse-mode derivative of `body`, as `vjp_function` gives it, in two.

    `free` are the positions of parameters that are there for `backward` anyway.
    """
    cotangents = derivative.params[len(body.params) :]
    outputs = derivative.results[: len(body.results)]
    gradients = derivative.results[len(body.results) :]
    late = _dependent(derivative, cotangents)
    backward = [n for n in derivative.nodes if n in late]
    early = [n for n in derivative.nodes if n not in late]
    wanted = {x for n in backward for x in n.inputs if x not in late}
    wanted |= {g for g in gradients if g not in late}
    wanted -= set(cotangents)
    kept, again = _choose(early, wanted, {body.params[k] for k in free})
    inner = IRBuilder()
    new: dict[Node, Node] = {c: c for c in cotangents}
    read = [k for k, p in enumerate(body.params) if p in kept]
    values = [n for n in early if n in kept]
    for n in (*(body.params[k] for k in read), *values):
        new[n] = inner.param(n.tensor, n.name)
    for n in (*(n for n in early if n in again), *backward):
        new[n] = with_inputs(n, tuple(new[x] for x in n.inputs))
        inner.nodes.append(new[n])
    given = [*(new[body.params[k]] for k in read), *(new[n] for n in values), *cotangents]
    return Split(
        Function(body.name, body.params, (*outputs, *values), early),
        tuple(read),
        Function(derivative.name, given, (new[g] for g in gradients), inner.nodes),
        len(values),
    )


def _dependent(function: Function, sources: Sequence[Node]) -> set[Node]:
    found = set(sources)
    for n in function.nodes:
        if any(x in found for x in n.inputs):
            found.add(n)
    return found


def _choose(
    early: Sequence[Node], wanted: set[Node], free: set[Node]
) -> tuple[set[Node], set[Node]]:
    """What is kept, parameters among it, and the nodes that are computed again."""
    needed = set(wanted)
    for n in reversed(early):
        if n in needed and _moves(n):
            needed.update(n.inputs)
    # What it costs to have a value, where it is kept or can be computed from what is.
    price: dict[Node, int] = dict.fromkeys(free | {x for x in needed if x.op.name == "param"}, 0)
    kept: set[Node] = set()
    for n in early:
        known = all(x in price for x in n.inputs)
        cost = n.op.cost + sum(price[x] for x in n.inputs) if known else 0
        if known and (_moves(n) or (_is_light(n) and cost <= CHEAP)):
            price[n] = 0 if _moves(n) else cost
        elif n in needed:
            kept.add(n)
            price[n] = 0
    again: set[Node] = set()
    asked = set(wanted)
    for n in reversed(early):
        if n in asked and n not in kept:
            again.add(n)
            asked.update(n.inputs)
    return asked - again, again


def _moves(n: Node) -> bool:
    """Whether a value is computed again in any case.

    It costs nothing, or has no extent that is known: a loop's, which is then run again.
    """
    return isinstance(n.type, TupleType) or TRIPS in n.type.shape or n.op.cost == 0


def _is_light(n: Node) -> bool:
    return n.op.family in _ELEMENTWISE or n.op.name == "convert"
