"""`LossWatch`: the steps of an epoch after which the loss is NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
        self._noted: list[tuple[int, Sequence[Any]]] = []
        self._steps_noted = 0

    def note(self, done: int, losses: Sequence[Any]) -> None:
        """Takes the losses of the steps after those done; None where they have no loss.

        It looks at losses when there are enough.

        Raises:
            NanError: see `look`.
        """
        if self._allowed or losses[0] is None:
            return
        self._noted.append((done, losses))
        self._steps_noted += len(losses)
        if self._steps_noted >= _TOGETHER:
            self.look()

    def look(self) -> None:
        """Looks at the losses that were noted since the last look.

        Raises:
            NanError: for the first that is NaN.
        """
        noted, self._noted, self._steps_noted = self._noted, [], 0
        if noted and self._steps.loss_is_mean and not math.isnan(noted[-1][1][-1].item()):
            return
        for done, losses in noted:
            for step, loss in enumerate(losses, done + 1):
                if math.isnan(loss.item()):
                    raise NanError(
                        f"the loss is NaN after step {step} of epoch {self._epoch + 1}",
                        hint="try a lower learning rate or global_clipnorm=1.0 in the optimizer; "
                        "DLC_DEBUG_NANS=1 names the operation that made the first NaN",
                    )
