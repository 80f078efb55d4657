"""`DatasetIterator`: an iteration that knows where it is, and can be gone on with elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from dlc.data.elements import as_arrays
from dlc.data.pipe import Pipe, pipes_of
from dlc.data.selection import Shuffle
from dlc.ir.errors import ValueRangeError
from dlc.ir.integers import at_least


def shuffles_of(pipe: Pipe) -> list[Shuffle]:
    """The pipes that decide on orders."""
    return [p for p in pipes_of(pipe) if isinstance(p, Shuffle)]


class DatasetIterator:
    """The elements of one pass.

    Example:
        >>> iterator = iter(dlc.data.Dataset.range(10).shuffle(10, seed=0))
        >>> first = [next(iterator) for _ in range(4)]
        >>> state = iterator.state_dict()
        >>> other = iter(dlc.data.Dataset.range(10).shuffle(10, seed=0))
        >>> other.load_state_dict(state)
        >>> list(other) == list(iterator)
        True
    """

    def __init__(self, pipe: Pipe, epoch: int, start: int = 0, arrays: bool = False) -> None:
        self._pipe, self._arrays = pipe, arrays
        self._epoch, self._step = at_least(epoch, 0, "epoch"), at_least(start, 0, "start")
        self._walk: Iterator[Any] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._walk is None:
            self._walk = self._pipe.walk(self._epoch, self._step)
        element = next(self._walk)
        self._step += 1
        return as_arrays(element) if self._arrays else element

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration is: `epoch`, `step` and the seeds of the shuffles, as plain data."""
        seeds = [p.seed for p in shuffles_of(self._pipe)]
        return {"epoch": self._epoch, "step": self._step, "seeds": seeds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where another iteration of the same dataset was.

        A shuffle without a seed of its own takes that of the state.

        Raises:
            ValueRangeError: for the state of a dataset with other shuffles.
        """
        shuffles, seeds = shuffles_of(self._pipe), list(state["seeds"])
        alike = len(shuffles) == len(seeds) and all(
            not p.given or p.seed == seed for p, seed in zip(shuffles, seeds, strict=True)
        )
        if not alike:
            raise ValueRangeError(
                f"the state is of a dataset whose shuffles have the seeds {seeds}; here they are "
                f"{[p.seed for p in shuffles]}"
            )
        for shuffle, seed in zip(shuffles, seeds, strict=True):
            shuffle.seed = seed
        self._epoch, self._step, self._walk = int(state["epoch"]), int(state["step"]), None
