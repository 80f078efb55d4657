"""Operators of distances between rows, and sums of products of three tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dlc
from dlc.interop.torch.gradients import gradient_of
from dlc.interop.torch.table import aten


@aten("_pdist_forward")
def pdist(x: Any, p: float = 2.0) -> Any:
    """The distances between the rows of a matrix, each pair once."""
    n = x.shape[0]
    if isinstance(n, int):
        return dlc.pdist(x, p)
    # Of a number of rows that is not known: what is above the diagonal of all distances.
    rows = dlc.arange(n)
    a, b = dlc.nonzero(rows[:, None] < rows, size=n * (n - 1) // 2)
    return dlc.cdist(x, x, p)[a, b]


@aten("_pdist_backward")
def pdist_backward(gradient: Any, x: Any, p: float, _distances: Any) -> Any:
    """The gradient of distances between rows."""
    return gradient_of(lambda x: pdist(x, p), x, gradient)


@aten("_cdist_forward")
def cdist(a: Any, b: Any, p: float, _mode: int | None = None) -> Any:
    """The distances between the rows of one matrix and those of another."""
    return dlc.cdist(a, b, p)


@aten("_cdist_backward")
def cdist_backward(gradient: Any, a: Any, b: Any, p: float, _distances: Any) -> Any:
    """The gradient of the first matrix."""
    return gradient_of(lambda a: dlc.cdist(a, b, p), a, gradient)


@aten("_trilinear")
def trilinear(
    a: Any, b: Any, c: Any, expand_a: Sequence[int], expand_b: Sequence[int],
    expand_c: Sequence[int], summed: Sequence[int], _unroll: int = 1,
) -> Any:  # fmt: skip
    """The sums of products of three tensors, each of which lacks some axes."""
    rank = a.ndim + len(expand_a)
    letters = "abcdefghijklmnopqrstuvwxyz"[:rank]
    inputs = [
        "".join(n for k, n in enumerate(letters) if k not in lacked)
        for lacked in (expand_a, expand_b, expand_c)
    ]
    result = "".join(n for k, n in enumerate(letters) if k not in summed)
    return dlc.einsum(f"{','.join(inputs)}->{result}", a, b, c)
