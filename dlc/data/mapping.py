"""Functions of elements."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dlc.data.background import by_threads
from dlc.data.pipe import Pipe
from dlc.data.selection import at_least
from dlc.ir.cpus import available_cpus

AUTOTUNE = -1  # as many workers, or elements ahead, as seem right


def worker_count(wanted: int | None) -> int:
    """A number of workers: none for None, one a CPU for AUTOTUNE.

    Raises:
        ValueRangeError: for less.
    """
    if wanted == AUTOTUNE:
        return available_cpus()
    return 0 if wanted is None else at_least(wanted, 1, "num_parallel_calls")


class Called:
    """A function of an element, called as `tf.data` calls it: with the parts of a tuple.

    An error of the function says of which element it is.
    """

    def __init__(self, function: Callable[..., Any], what: str, seed: int | None = None) -> None:
        self._function, self._what, self._seed = function, what, seed

    def __call__(self, element: Any, number: int, epoch: int = 0) -> Any:
        """What the function gives."""
        given = element if type(element) is tuple else (element,)
        if self._seed is not None:
            given = *given, np.random.default_rng([self._seed, epoch, number])
        try:
            return self._function(*given)
        except Exception as error:
            error.add_note(f"in {self._what} of {described(self._function)}, element {number}")
            raise


def described(function: Any) -> str:
    """The name of a function and where it stands."""
    name = getattr(function, "__qualname__", None) or repr(function)
    with contextlib.suppress(AttributeError):
        code = function.__code__
        return f"{name} ({code.co_filename}:{code.co_firstlineno})"
    return name


class Map(Pipe):
    """What a function makes of each element.

    Args:
        parent: Where the elements come from.
        function: The function.
        workers: How many threads call it; 0 for the caller's.
        ordered: Whether results are in the order of the elements.
    """

    def __init__(self, parent: Pipe, function: Called, workers: int, ordered: bool) -> None:
        self.parent, self._function = parent, function
        self._workers, self._ordered = workers, ordered

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def length(self) -> int:
        """That of the parent."""
        return self.parent.length()

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The results; of elements before `start` none is made."""
        numbered = enumerate(self.parent.walk(epoch, start), start)
        if not self._workers:
            return (self._function(e, k, epoch) for k, e in numbered)
        return by_threads(
            lambda pair: self._function(pair[1], pair[0], epoch),
            numbered,
            self._workers,
            self._ordered,
        )
