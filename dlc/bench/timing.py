"""Times calls, with as little around them as Python allows."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any


def seconds_a_call(
    program: Callable[..., Any],
    sets: Sequence[Sequence[Any]],
    count: int,
    wait: Callable[[], None] = lambda: None,
) -> float:
    """The mean time of `count` calls, whose arguments rotate through the sets.

    Each result is dropped before the next call, so that memory can be used again. `wait` returns
    when all that calls have begun is done.
    """
    rotated = list(itertools.islice(itertools.cycle(sets), count))
    loop = _LOOPS.get(len(sets[0]), _any)
    enabled = gc.isenabled()
    gc.disable()
    try:
        wait()
        start = time.perf_counter()
        loop(program, rotated)
        wait()
        return (time.perf_counter() - start) / count
    finally:
        if enabled:
            gc.enable()


def calls_for(seconds: float, at_least: float) -> int:
    """How many calls of so many seconds make a measurement that takes long enough."""
    return max(1, min(200_000, round(at_least / max(seconds, 1e-9))))


# Unpacking in the loop costs less than a call with `*arguments`.


def _one(program: Callable[..., Any], sets: Sequence[Any]) -> None:
    for (x,) in sets:
        program(x)


def _two(program: Callable[..., Any], sets: Sequence[Any]) -> None:
    for x, y in sets:
        program(x, y)


def _three(program: Callable[..., Any], sets: Sequence[Any]) -> None:
    for x, y, z in sets:
        program(x, y, z)


def _any(program: Callable[..., Any], sets: Sequence[Any]) -> None:
    for arguments in sets:
        program(*arguments)


_LOOPS = {1: _one, 2: _two, 3: _three}
