"""Functions of elements."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dlc.data.background import by_threads
from dlc.data.elements import told
from dlc.data.pipe import Pipe
from dlc.data.pool import by_processes
from dlc.ir.cpus import available_cpus
from dlc.ir.integers import at_least

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
        self.seed = 0 if seed is None else at_least(seed, 0, "seed")  # of processes' generators too
        self._function, self._what, self._seeded = function, what, seed is not None

    def __call__(self, element: Any, number: int, epoch: int = 0) -> Any:
        """What the function gives."""
        given = element if type(element) is tuple else (element,)
        if self._seeded:
            given = *given, np.random.default_rng([self.seed, epoch, number])
        try:
            return self._function(*given)
        except Exception as error:
            told(error, f"in {self._what} of {described(self._function)}, element {number}")
            raise


def described(function: Any) -> str:
    """The name of a function and where it stands."""
    name = getattr(function, "__qualname__", None) or repr(function)
    with contextlib.suppress(AttributeError):
        code = function.__code__
        return f"{name} ({code.co_filename}:{code.co_firstlineno})"
    return name


class MapJob:
    """Calls the function in a worker process."""

    def __init__(self, function: Called) -> None:
        self._function, self.seed = function, function.seed

    def begin(self, epoch: int) -> None:
        """Nothing changes."""

    def do(self, task: tuple[Any, int, int]) -> Any:
        """What the function makes of an element."""
        return self._function(*task)


class Map(Pipe):
    """What a function makes of each element.

    Args:
        parent: Where the elements come from.
        function: The function.
        workers: How many threads or processes call it; 0 for the caller's thread.
        ordered: Whether results of threads are in the order of the elements; those of processes
            always are.
        context: Of the processes, see `WorkerPool`; "threads" for threads.
    """

    def __init__(
        self, parent: Pipe, function: Called, workers: int, ordered: bool, context: Any
    ) -> None:
        self.parent, self._function = parent, function
        self._workers, self._ordered, self._context = workers, ordered, context

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def length(self) -> int:
        """That of the parent."""
        return self.parent.length()

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The results; of elements before `start` none is made."""
        tasks = ((e, k, epoch) for k, e in enumerate(self.parent.walk(epoch, start), start))
        if not self._workers:
            return itertools.starmap(self._function, tasks)
        if self._context == "threads":
            return by_threads(
                lambda task: self._function(*task), tasks, self._workers, self._ordered
            )
        context = None if self._context == "processes" else self._context
        return by_processes(MapJob(self._function), self._workers, tasks, epoch, start, context)
