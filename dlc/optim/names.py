"""Optimizers by name."""

from __future__ import annotations

from typing import Any

from dlc.ir.errors import ValueRangeError, nearest
from dlc.optim.lbfgs import LBFGS
from dlc.optim.older import ASGD, Rprop
from dlc.optim.optimizer import Optimizer
from dlc.optim.rules import SGD, Adagrad, Adam, AdamW, RMSprop
from dlc.optim.variants import Adadelta, Adamax, Ftrl, Lion, NAdam, RAdam
from dlc.optim.whole import Adafactor, Lamb

_KINDS = (
    ASGD, LBFGS, SGD, Adadelta, Adafactor, Adagrad, Adam, Adamax, AdamW, Ftrl, Lamb, Lion, NAdam,
    RAdam, RMSprop, Rprop,
)  # fmt: skip
_NAMES = {kind.__name__.lower(): kind for kind in _KINDS}


def get(given: Any) -> Optimizer:
    """An optimizer by name, with Keras's defaults, or as it was given.

    Raises:
        ValueRangeError: for a name that is not known, with the nearest one.

    Example:
        >>> dlc.optim.get("adam").learning_rate
        0.001
    """
    if isinstance(given, Optimizer):
        return given
    found = _NAMES.get(str(given).lower())
    if found is None:
        raise ValueRangeError(f"no optimizer {given!r}", hint=nearest(str(given), _NAMES))
    return found(learning_rate=found.keras["learning_rate"])
