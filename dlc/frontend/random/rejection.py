"""Rejection: proposals are made again until each element has accepted one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import as_tensor, convert
from dlc.frontend.control import while_loop
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.composed import where
from dlc.frontend.random.generator import fold_in
from dlc.frontend.tensor import Tensor
from dlc.ir.types import int64


def first_accepted(
    key: Tensor,
    start: Tensor,
    wanted: Tensor,
    propose: Callable[[Tensor], tuple[Tensor, Tensor]],
    most: int | None = None,
) -> Tensor:
    """The first proposal that each element accepts.

    Args:
        key: A key; that of proposal k is `fold_in(key, k)`.
        start: What an element keeps that accepts none, and that is not wanted.
        wanted: Which elements are; the loop ends when all of them have accepted one.
        propose: Of a key: values, and whether they are accepted.
        most: How many proposals are made at most.
    """

    def waiting(carry: Any) -> Tensor:
        step, _, waits = carry
        more = reduction.any(waits)
        return more if most is None else elementwise.logical_and(more, elementwise.less(step, most))

    def again(carry: Any) -> Any:
        step, found, waits = carry
        value, accepted = propose(fold_in(key, step))
        now = elementwise.logical_and(waits, accepted)
        left = elementwise.logical_and(waits, elementwise.logical_not(accepted))
        return elementwise.add(step, 1), where(now, value, found), left

    zero = convert(as_tensor(0), int64)
    return while_loop(waiting, again, (zero, start, wanted))[1]
