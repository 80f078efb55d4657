"""`LossWatch`: the steps of an epoch after which the loss is NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dlc.ir.errors import NanError

_TOGETHER = 16  # steps, where nobody wants to know before


class LossWatch:
    """Looks at the losses of some steps together: beside short steps, each look costs time.

    Args:
        epoch: The number of the epoch.
        allowed: Whether a NaN is no error.
    """

    def __init__(self, epoch: int, allowed: bool) -> None:
        self._epoch, self._allowed = epoch, allowed
        self._noted: list[tuple[int, Any]] = []

    def note(self, step: int, logs: Mapping[str, Any]) -> None:
        """Takes the loss of a step, if it has one; looks at losses when there are enough.

        Raises:
            NanError: see `look`.
        """
        if not self._allowed and "loss" in logs:
            self._noted.append((step, logs["loss"]))
            if len(self._noted) >= _TOGETHER:
                self.look()

    def look(self) -> None:
        """Looks at the losses that were noted since the last look.

        Raises:
            NanError: for the first that is NaN.
        """
        for step, loss in self._noted:
            if math.isnan(loss.item()):
                raise NanError(
                    f"the loss is NaN after step {step + 1} of epoch {self._epoch + 1}",
                    hint="try a lower learning rate or global_clipnorm=1.0 in the optimizer; "
                    "DLC_DEBUG_NANS=1 names the operation that made the first NaN",
                )
        self._noted.clear()
