"""What parameters are made to fulfil after each update, by Keras's names.

A layer by Keras's names takes them as `kernel_constraint`, `bias_constraint`, ..., and `add_weight`
as `constraint`. They are functions of a tensor that give another one; optimizers call them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import dlc
from dlc.ir.errors import ValueRangeError, nearest

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "get"]

Function: TypeAlias = Callable[[Any], Any]
_EPSILON = 1e-7


class Constraint:
    """The base of constraints; one of your own defines `__call__(self, w)`."""

    def __call__(self, w: Any) -> Any:
        """The tensor that takes the place of w."""
        return w


class NonNeg(Constraint):
    """Negative elements become 0.

    Example:
        >>> dlc.nn.constraints.NonNeg()(dlc.asarray([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """

    def __call__(self, w: Any) -> Any:
        """The elements that are not negative, else 0."""
        return dlc.where(w >= 0, w, 0)


class MinMaxNorm(Constraint):
    """Norms are moved into a range.

    Args:
        min_value, max_value: The range.
        rate: How far they are moved, as a part of the way.
        axis: The axes that a norm is of.

    Example:
        >>> dlc.nn.constraints.MinMaxNorm(1.0, 2.0)(dlc.asarray([[3.0], [4.0]])).tolist()
        [[1.2...], [1.6...]]
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:  # fmt: skip
        if not 0 <= min_value <= max_value:
            raise ValueRangeError(
                f"{type(self).__name__}: norms from {min_value} to {max_value}, which is no range"
            )
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Any) -> Any:
        """The tensor with other norms."""
        norms = _norms(w, self.axis)
        wanted = dlc.clip(norms, self.min_value, self.max_value)
        wanted = self.rate * wanted + (1 - self.rate) * norms
        return w * (wanted / (_EPSILON + norms))


class MaxNorm(MinMaxNorm):
    """Larger norms become `max_value`.

    Args:
        max_value: The largest norm.
        axis: The axes that a norm is of.

    Example:
        >>> dlc.nn.constraints.MaxNorm(2.5)(dlc.asarray([[3.0], [4.0]])).tolist()
        [[1.5...], [2.0...]]
    """

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0) -> None:
        super().__init__(0.0, max_value, axis=axis)


class UnitNorm(Constraint):
    """Norms become 1.

    Args:
        axis: The axes that a norm is of.

    Example:
        >>> dlc.nn.constraints.UnitNorm()(dlc.asarray([[3.0], [4.0]])).tolist()
        [[0.6...], [0.8...]]
    """

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """The tensor over its norms."""
        return w / (_EPSILON + _norms(w, self.axis))


def _norms(w: Any, axis: int | Sequence[int]) -> Any:
    axes = axis if isinstance(axis, int) else tuple(axis)
    return dlc.sqrt(dlc.sum(dlc.square(w), axis=axes, keepdims=True))


def get(given: Any) -> Function | None:
    """A constraint by name ("max_norm", "non_neg", ...), as it was given, or None.

    Raises:
        ValueRangeError: for a name that is not known, with the nearest one.
    """
    if given is None or callable(given):
        return cast("Function | None", given)
    known: dict[str, Callable[[], Constraint]] = {
        "max_norm": MaxNorm, "min_max_norm": MinMaxNorm, "non_neg": NonNeg, "unit_norm": UnitNorm,
    }  # fmt: skip
    name = str(given)
    held = name.lower()
    for each, kind in known.items():
        if held in (each, each.replace("_", "")):
            return kind()
    raise ValueRangeError(f"no constraint {given!r}", hint=nearest(name, known))
