"""Masks of predictions: the steps of sequences that losses and metrics count.

Models of layers such as `Masking` note the mask of what they result in; `fit` and `evaluate` open a
collection of them around each step, in which losses and metrics look.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any

import dlc
from dlc.losses.classes import weighted

_open: ContextVar[list[tuple[Any, Any]] | None] = ContextVar("dlc.masks", default=None)
_MEANS = ("sum_over_batch_size", "mean")


@contextlib.contextmanager
def collect_masks() -> Generator[None]:
    """Collects what models note."""
    token = _open.set([])
    try:
        yield
    finally:
        _open.reset(token)


def fits(result: Any, mask: Any) -> bool:
    """Whether a mask [batch, time] can be that of a result [batch, time, ...]."""
    if not (isinstance(result, dlc.Tensor) and isinstance(mask, dlc.Tensor)):
        return False
    return result.ndim >= mask.ndim and result.shape[: mask.ndim] == mask.shape


def note(result: Any, mask: Any) -> None:
    """Notes the mask of a model's result, where a collection is open."""
    found = _open.get()
    if found is not None and isinstance(mask, dlc.Tensor):
        found.append((result, mask))


def of(predicted: Any) -> Any:
    """The mask of predictions that have values at each of its steps; None without one."""
    for result, mask in reversed(_open.get() or []):
        if result is predicted and result.ndim > mask.ndim and fits(result, mask):
            return mask
    return None


def each_of(predicted: Any) -> list[Any]:
    """The mask of each tensor of predictions, None without one: for `note_each`."""
    return [of(leaf) for leaf in dlc.tree.leaves(predicted)]


def note_each(predicted: Any, found: list[Any]) -> None:
    """Notes masks of predictions that came out of a transform, with what `each_of` gave in it."""
    for leaf, mask in zip(dlc.tree.leaves(predicted), found, strict=True):
        note(leaf, mask)


def with_weights(mask: Any, weight: Any, reduction: str = "sum") -> dlc.Tensor:
    """Factors for each step: 0 where it is masked.

    Args:
        mask: Bools [batch, time].
        weight: Factors of samples or steps, or None.
        reduction: Of the loss that they are for; a mean is one over the steps that count.
    """
    factors = dlc.astype(mask, dlc.float32)
    if reduction in _MEANS:
        some = dlc.maximum(factors.sum(), 1.0)
        factors = factors * (dlc.ones_like(factors).sum() / some)
    return factors if weight is None else weighted(factors, weight)[0]
