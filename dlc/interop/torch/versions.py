"""What the supported versions of PyTorch do not have in common."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.fx import Node


def children_of(spec: Any) -> Sequence[Any]:
    """The parts of the structure of a tree: a method now, an attribute in PyTorch 2.6."""
    return spec.children() if hasattr(spec, "children") else spec.children_specs


def keep_checks() -> None:
    """Has graphs keep the operator that raises where a matrix is singular.

    PyTorch 2.13 calls it for its effect. In 2.6 the operator has no result that others read, and
    graphs are made without it, unless they are told of the effect.
    """
    import torch
    from torch.fx.node import has_side_effect

    has_side_effect(torch.ops.aten._linalg_check_errors.default)


def factors_are_transposed(node: Node) -> bool:
    """Whether what `_linalg_solve_ex` returns are factors of the matrices' transposes.

    In PyTorch 2.6 they are where the matrices are contiguous and real, and gradients rely on it.
    """
    first: Any = node.args[0]
    like = first.meta["val"]
    return _transposes() and like.is_contiguous() and not like.is_complex()


@functools.cache
def _transposes() -> bool:
    import torch
    from torch.utils._python_dispatch import _disable_current_modes

    with _disable_current_modes():
        matrix = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        packed = torch.ops.aten._linalg_solve_ex(matrix, matrix)[1]
        return bool(packed[0, 0] == 2)  # the larger one of the first row, not of the first column
