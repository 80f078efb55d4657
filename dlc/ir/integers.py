"""Integers that a user gives: sizes, counts, numbers of things."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from dlc.ir.errors import ValueRangeError


def at_least(value: Any, least: int, what: str) -> int:
    """An integer that is not too small: of Python or NumPy, or a tensor or array of one.

    Args:
        value: What was given; a bool is none.
        least: The least that is allowed.
        what: The argument's name, for the message.

    Raises:
        ValueRangeError: for anything else.

    Example:
        >>> at_least(np.int64(3), 1, "batch_size")
        3
    """
    if type(value) is int and value >= least:
        return value
    try:
        number = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        kind = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise ValueRangeError(f"{what}={value!r} must be {kind}")
    return number
