"""Matrices that have no inverse or factor: errors where PyTorch has them, codes where it has not.

PyTorch's operators of linear algebra have codes of errors among their results, and another operator
raises by them. Where it does, the row that computes is `strict`: what LAPACK gives up raises within
the program. Factors by dlc's own loops have codes, which are looked at when the program has run.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlc.interop.torch.checks import operator_name

if TYPE_CHECKING:
    from torch.fx import Node

_CHECK = "_linalg_check_errors.default"


def results_used(node: Node) -> frozenset[int]:
    """Which results of a node others read."""
    return frozenset(k for user in node.users if (k := _place(user)) is not None and user.users)


def raises(node: Node) -> bool:
    """Whether it is an error where what a node computes does not exist."""
    if node.kwargs.get("check_errors"):
        return True
    return any(operator_name(reader) == _CHECK for user in node.users for reader in user.users)


def codes_checked(nodes: Sequence[Node]) -> list[tuple[Node, int]]:
    """The nodes with codes of errors that nobody has raised by yet, and their place among results.

    These are those of factors by loops.
    """
    return [
        (node, place)
        for node in nodes
        if node.op == "call_function" and (place := _looped(node)) is not None and raises(node)
    ]


def _looped(node: Node) -> int | None:
    """The place of the codes among the results of a node whose factors are found by a loop."""
    name = operator_name(node)
    if name == "linalg_lu_factor_ex.default":
        return 2
    return 3 if name == "_linalg_solve_ex.default" and results_used(node) & {1, 2} else None


def raise_as_torch(module: Any, args: Sequence[Any]) -> None:
    """Runs a graph in PyTorch, which raises by itself where a matrix is singular."""
    import torch

    with torch.no_grad():
        module(*args)


def _place(user: Node) -> int | None:
    place: Any = user.args[1] if user.target is operator.getitem else None
    return place
