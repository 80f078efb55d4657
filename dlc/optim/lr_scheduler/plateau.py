"""`ReduceLROnPlateau`: rates that fall when a number has stopped getting better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from dlc.ir.errors import ValueRangeError
from dlc.optim.lr_scheduler.base import for_groups, is_number
from dlc.optim.optimizer import Optimizer


class ReduceLROnPlateau:
    """Lowers the rates when a number has stopped getting better.

    Args:
        optimizer: Whose learning rates are moved.
        mode: "min" or "max": what is better.
        factor: What rates are multiplied by, below 1.
        patience: Numbers that may be no better before that.
        threshold: What counts as better: by more than this.
        threshold_mode: "rel" for a share of the best one, "abs".
        cooldown: Numbers after a change that do not count.
        min_lr: The lowest rate, or one for each group.
        eps: Changes of rates that are smaller are left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if not 0 <= factor < 1:
            raise ValueRangeError(f"ReduceLROnPlateau(factor={factor}): from 0 to below 1")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueRangeError(
                f"ReduceLROnPlateau(mode={mode!r}, threshold_mode={threshold_mode!r}): "
                '"min" or "max", "rel" or "abs"'
            )
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.min_lrs = for_groups(optimizer, min_lr, "min_lr", is_number)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = [g.lr for g in optimizer.param_groups]

    def step(self, metrics: Any) -> None:
        """Looks at a number: a float, or a tensor of one element."""
        value = float(metrics)
        self.last_epoch += 1
        if self._better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, lowest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                lower = max(group.lr * self.factor, lowest)
                if group.lr - lower > self.eps:
                    group.lr = lower
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [g.lr for g in self.optimizer.param_groups]

    def _better(self, value: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            limit = self.best * (1 + sign * self.threshold)
        else:
            limit = self.best + sign * self.threshold
        return sign * value > sign * limit

    def get_last_lr(self) -> list[float]:
        """The rates that were set last."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {k: v for k, v in vars(self).items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another was."""
        vars(self).update(state_dict)
