"""Layers that differ in their number of axes: settings for each axis, and shared docstrings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.ir.integers import at_least

Layer = TypeVar("Layer", bound=type[Any])

AXES = {1: "L", 2: "H, W", 3: "D, H, W"}


def described(rest: str, **words: Any) -> Callable[[Layer], Layer]:
    """Adds to the first line of a class's docstring what it shares with others.

    Args:
        rest: The text, in which words in braces stand for those given here, and for: `name`, the
            class's; `axes`, names of the axes that its attribute `rank` counts; `sizes`, as many
            extents of 8, with a comma before each; `half` and `longer`, of 4 and of 10.
        words: What else the braces stand for.
    """

    def describe(layer: Layer) -> Layer:
        rank = getattr(layer, "rank", 0)
        known = {
            "name": layer.__name__, "axes": AXES.get(rank, ""), "rank": rank,
            "sizes": ", 8" * rank, "half": ", 4" * rank, "longer": ", 10" * rank, **words,
        }  # fmt: skip
        layer.__doc__ = f"{layer.__doc__}\n\n    {rest.format(**known).strip()}\n    "
        return layer

    return describe


def positive(layer: str, **sizes: Any) -> tuple[int, ...]:
    """Sizes of a layer, by their names, as integers; ValueRangeError unless they are positive."""
    return tuple([at_least(value, 1, f"{layer}: {name}") for name, value in sizes.items()])


def per_axis(layer: str, name: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """A setting as one integer for each axis.

    Raises:
        ArgumentError: for another number of integers, or what is none.
        ValueRangeError: for one that is less than `least`.
    """
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    given = given * rank if len(given) == 1 else given
    if len(given) != rank or not all(hasattr(v, "__index__") for v in given):
        raise ArgumentError(f"{layer}({name}={value!r}): it takes one integer, or {rank}")
    found = tuple(v.__index__() for v in given)
    if min(found) < least:
        raise ValueRangeError(f"{layer}({name}={value!r}): it must be at least {least}")
    return found


def one_of(layer: str, name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """The value, or a ValueRangeError where it is none of those."""
    if value not in allowed:
        shown = " or ".join(repr(a) for a in allowed)
        raise ValueRangeError(f"{layer}({name}={value!r}): it is {shown}")
    return value
