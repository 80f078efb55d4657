"""`LossWatch`: the steps of an epoch after which the loss is NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.ir.errors import NanError

if TYPE_CHECKING:
    from dlc.train.steps import Steps

_TOGETHER = 16  # steps, where nobody wants to know before


class LossWatch:
    """Looks at the losses of some steps together: beside short steps, each look costs time.

    Args:
        epoch: The number of the epoch.
        allowed: Whether a NaN is no error.
        steps: What says, once it has run, whether a loss that is NaN stays so until the epoch ends.
    """

    def __init__(self, epoch: int, allowed: bool, steps: Steps) -> None:
        self._epoch, self._allowed, self._steps = epoch, allowed, steps
        self._noted: list[tuple[int, Any]] = []

    def note(self, done: int, logs: Sequence[Mapping[str, Any]]) -> None:
        """Takes the losses of the steps after those done, if they have one.

        It looks at losses when there are enough.

        Raises:
            NanError: see `look`.
        """
        if self._allowed or "loss" not in logs[0]:
            return
        self._noted += enumerate([found["loss"] for found in logs], done)
        if len(self._noted) >= _TOGETHER:
            self.look()

    def look(self) -> None:
        """Looks at the losses that were noted since the last look.

        Raises:
            NanError: for the first that is NaN.
        """
        noted = self._noted
        if noted and self._steps.loss_is_mean and not math.isnan(noted[-1][1].item()):
            noted.clear()
        for step, loss in noted:
            if math.isnan(loss.item()):
                raise NanError(
                    f"the loss is NaN after step {step + 1} of epoch {self._epoch + 1}",
                    hint="try a lower learning rate or global_clipnorm=1.0 in the optimizer; "
                    "DLC_DEBUG_NANS=1 names the operation that made the first NaN",
                )
        noted.clear()
