"""Python's built-in functions where they meet traced tensors."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from dlc.frontend.syntax import branches
from dlc.frontend.syntax.loops import Rows
from dlc.frontend.syntax.values import TracedItems, is_traced, truth
from dlc.frontend.tensor import Tensor, functions


class Range(TracedItems):
    """`range` of traced bounds."""

    name = "range"

    def __init__(self, *bounds: Any) -> None:
        start, stop, step = {1: (0, *bounds, 1), 2: (*bounds, 1), 3: bounds}[len(bounds)]
        self.start, self.stop, self.step = (_integer(b) for b in (start, stop, step))

    @property
    def count(self) -> Any:
        """How many there are."""
        # The last one is before `stop`, on whichever side the steps come from.
        steps = -((self.start - self.stop) // self.step)
        return functions.maximum(steps, 0) if isinstance(steps, Tensor) else builtins.max(steps, 0)

    def item(self, k: Any) -> Any:
        """A number."""
        return self.start + k * self.step


def _integer(bound: Any) -> Any:
    if not isinstance(bound, Tensor):
        return bound.__index__()
    if not bound.dtype.is_integer or bound.ndim:
        raise TypeError(f"range() takes integers, not {bound.tensor}")
    return functions.astype(bound, "int64")


class Enumerated(TracedItems):
    """`enumerate` of traced items."""

    name = "enumerate"

    def __init__(self, items: Any, start: Any) -> None:
        self.items, self.start = _source(items), start

    @property
    def count(self) -> Any:
        """How many there are."""
        return self.items.count

    def item(self, k: Any) -> Any:
        """A number and an item."""
        return k + self.start, self.items.item(k)


class Zipped(TracedItems):
    """`zip` of traced items and sequences."""

    name = "zip"

    def __init__(self, items: tuple[Any, ...]) -> None:
        self.items = [_source(x) for x in items]

    @property
    def count(self) -> Any:
        """How many there are: as many as the shortest has."""
        counts = [s.count for s in self.items]
        least = counts[0]
        for n in counts[1:]:
            traced = is_traced(n) or is_traced(least)
            least = functions.minimum(n, least) if traced else builtins.min(n, least)
        return least

    def item(self, k: Any) -> Any:
        """An item of each."""
        return tuple(s.item(k) for s in self.items)


def _is_source(x: Any) -> bool:
    return isinstance(x, TracedItems) or (is_traced(x) and x.ndim > 0)


def _source(x: Any) -> TracedItems:
    if isinstance(x, TracedItems):
        return x
    if isinstance(x, range):
        return Range(x.start, x.stop, x.step)
    return Rows(functions.asarray(x))


def rest_of_range(items: Any) -> Range | None:
    """What an iterator over a range of Python has left; None for other iterators."""
    if type(items) is not _RANGE_ITERATOR:
        return None
    state: Any = items.__reduce__()
    rest: range = state[1][0][state[2] :]
    return Range(rest.start, rest.stop, rest.step)


_RANGE_ITERATOR = type(iter(range(0)))


def range_(*bounds: Any) -> Any:
    """`range`."""
    return Range(*bounds) if any(map(is_traced, bounds)) else range(*bounds)


def enumerate_(items: Any, start: Any = 0) -> Any:
    """`enumerate`."""
    return Enumerated(items, start) if _is_source(items) else enumerate(items, start)


def zip_(*items: Any, strict: bool = False) -> Any:
    """`zip`."""
    together = all(_is_source(x) or isinstance(x, range) for x in items)
    if together and any(map(_is_source, items)) and not strict:
        return Zipped(items)
    return zip(*items, strict=strict)


def min_(*values: Any, **keywords: Any) -> Any:
    """`min`."""
    return _extreme(min, lambda a, b: a < b, values, keywords)


def max_(*values: Any, **keywords: Any) -> Any:
    """`max`."""
    return _extreme(max, lambda a, b: a > b, values, keywords)


def _extreme(
    builtin: Any, better: Callable[[Any, Any], Any], values: Any, keywords: dict[str, Any]
) -> Any:
    items = values if len(values) > 1 else None
    if len(values) == 1 and isinstance(values[0], (list, tuple)):
        items = values[0]
    if keywords or not items or not any(map(is_traced, items)):
        return builtin(*values, **keywords)
    best = items[0]
    for x in items[1:]:
        found = better(x, best)
        if is_traced(found):
            best = branches.choose(found, lambda x=x: x, lambda b=best: b)
        else:
            best = x if found else best
    return best


def any_(items: Any) -> Any:
    """`any`."""
    return _quantified(True, items)


def all_(items: Any) -> Any:
    """`all`."""
    return _quantified(False, items)


def _quantified(decided: bool, items: Any) -> Any:
    """Whether an item is `decided`, or else the opposite, as far as items are known."""
    combine = functions.logical_or if decided else functions.logical_and
    result: Any = not decided
    for x in items:
        if not is_traced(x):
            if bool(x) is decided:
                return decided
        elif is_traced(result):
            result = combine(result, truth(x))
        else:
            result = truth(x)
    return result


REPLACED: dict[Any, Any] = {
    range: range_, enumerate: enumerate_, zip: zip_, min: min_, max: max_, any: any_, all: all_,
}  # fmt: skip
