"""Operators of control flow: they call graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dlc
from dlc.interop.torch.table import aten

Graph = Callable[..., Any]


@aten("cond")
def cond(pred: Any, true_graph: Graph, false_graph: Graph, operands: Sequence[Any] = ()) -> Any:
    """The results of one of two graphs; those that both leave out are None."""
    made: list[Any] = []

    def taken(graph: Graph) -> Callable[[], list[Any]]:
        def branch() -> list[Any]:
            made[:] = graph(*operands)
            return [x for x in made if x is not None]

        return branch

    if not isinstance(pred, dlc.Tensor):
        return list((true_graph if pred else false_graph)(*operands))
    results = iter(dlc.cond(pred, taken(true_graph), taken(false_graph)))
    return [None if x is None else next(results) for x in made]


@aten("while_loop")
def while_loop(
    condition: Graph, body: Graph, carried: Sequence[Any], additional: Sequence[Any] = ()
) -> Any:
    """What a graph makes of the values that are carried, as long as another one says so."""
    return dlc.while_loop(
        lambda carry: condition(*carry, *additional),
        lambda carry: list(body(*carry, *additional)),
        list(carried),
    )


@aten("scan")
def scan(
    combine: Graph, init: Sequence[Any], xs: Sequence[Any], additional: Sequence[Any] = ()
) -> Any:
    """A graph along the first axis, with values that are carried: the last ones, and the others."""
    count = len(init)

    def step(carry: Any, x: Any) -> Any:
        made = list(combine(*carry, *x, *additional))
        return made[:count], made[count:]

    carry, stacked = dlc.scan(step, list(init), list(xs))
    return [*carry, *stacked]
