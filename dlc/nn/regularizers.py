"""Penalties for large parameters, by Keras's names: functions of a tensor that give a scalar.

A layer by Keras's names takes them as `kernel_regularizer`, `bias_regularizer` and
`activity_regularizer`; they are added to the loss (`Module.add_loss`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import dlc
from dlc.ir.errors import ValueRangeError, nearest

__all__ = ["L1", "L1L2", "L2", "get", "l1", "l1_l2", "l2"]

Regularizer: TypeAlias = Callable[[Any], Any]


class L1L2:
    """l1 * sum(|x|) + l2 * sum(x**2).

    Args:
        l1, l2: The factors; not negative.

    Example:
        >>> dlc.nn.regularizers.L1L2(l1=0.5, l2=2.0)(dlc.asarray([1.0, -3.0])).item()
        22.0
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        for name, value in (("l1", l1), ("l2", l2)):
            if not value >= 0:
                raise ValueRangeError(f"{type(self).__name__}({name}={value}): at least 0")
        self.l1, self.l2 = l1, l2

    def __call__(self, x: Any) -> Any:
        """The penalty of a tensor."""
        total: Any = None
        if self.l1:
            total = self.l1 * dlc.abs(x).sum()
        if self.l2:
            squares = self.l2 * (x * x).sum()
            total = squares if total is None else total + squares
        return dlc.asarray(0.0) if total is None else total


class L1(L1L2):
    """l1 * sum(|x|)."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """l2 * sum(x**2)."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


# As Keras has them too.
l1, l2, l1_l2 = L1, L2, L1L2


def get(given: Any) -> Regularizer | None:
    """A regularizer by name ("l1", "l2" or "l1_l2"), as it was given, or None.

    Raises:
        ValueRangeError: for a name that is not known, with the nearest one.
    """
    if given is None or callable(given):
        return cast("Regularizer | None", given)
    known: dict[str, Callable[[], Regularizer]] = {
        "l1": L1, "l2": L2, "l1_l2": lambda: L1L2(0.01, 0.01),
    }  # fmt: skip
    name = str(given).lower()
    if name not in known:
        raise ValueRangeError(f"no regularizer {given!r}", hint=nearest(name, known))
    return known[name]()
