"""What rows ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence


def expanded(values: Sequence[int], rank: int) -> tuple[int, ...]:
    """A number for each axis, where one may stand for all."""
    return tuple(values) if len(values) == rank else tuple(values) * rank
