"""Where batches come from: arrays, or whatever gives batches one by one.

A source is walked once an epoch: `source.epoch(number)` gives `(x, y, sample_weight)`, y and the
weights being None where there are none; `source.epoch(number, start)` the same without the first
batches, so that training goes on in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

import dlc
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.ir.integers import at_least
from dlc.ir.location import warn_user
from dlc.train.arrays import Arrays, Batch, as_array, class_weights, is_arrays
from dlc.train.passes import Passes, passes_of, shuffled


class Source(Protocol):
    """Batches of each epoch."""

    @property
    def steps(self) -> int | None:
        """How many batches there are in an epoch; None where that is not known."""
        ...

    @property
    def ordered(self) -> bool:
        """Whether an epoch is one pass, in an order that depends on its number alone."""
        ...

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `start` on."""
        ...


class Iterated:
    """Batches that something gives one by one: `x`, `(x, y)` or `(x, y, sample_weight)` each.

    Without `steps`, an epoch is one pass. With it, an epoch is so many batches of the passes one
    after another, and an epoch begins where the one before it ended. What is walked only once,
    such as a generator, is walked on. Of another use than training there is one pass at most: a
    sample would count twice.

    Args:
        passes: What gives the batches.
        steps: Batches of an epoch, or None.
        first_epoch: The number of the epoch that begins with the first batch. (Where the order is
            a function of the number of the pass, that is epoch 0.)
        use: What an epoch is, for messages, where it is not one of training.
    """

    def __init__(
        self,
        passes: Passes,
        steps: int | None = None,
        first_epoch: int = 0,
        use: str | None = None,
    ) -> None:
        if steps is not None:
            steps = at_least(steps, 1, "steps")
        self._use = use
        self._passes, self._limit = passes, steps
        self._first = 0 if passes.numbered else first_epoch
        self._batches: Iterator[Any] | None = None
        self._pass, self._position = 0, -1

    @property
    def steps(self) -> int | None:
        """The number of batches, if it is known."""
        return self._passes.length if self._limit is None else self._limit

    @property
    def ordered(self) -> bool:
        """Whether an epoch is one pass, in an order that depends on its number alone."""
        return self._passes.numbered and self._limit is None

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `start` on.

        Raises:
            ValueRangeError: where there are none, or fewer than the steps of an epoch.
        """
        if self._limit is not None:
            yield from self._steps(number, start, self._limit)
            return
        count = start
        for batch in self._passes.open(number, start):
            count += 1
            yield as_batch(batch)
        if not count:
            raise ValueRangeError(
                f"no batches in {self._place(number)}: the {self._passes.name} "
                f"{'is at its end' if self._passes.once else 'is empty'}",
                hint="give a source that begins again, such as a list, a Dataset or a DataLoader"
                + ("" if self._use else ", or steps_per_epoch and fewer epochs"),
            )

    def _place(self, number: int) -> str:
        return f"epoch {number + 1}" if self._use is None else self._use

    def _steps(self, number: int, start: int, limit: int) -> Iterator[Batch]:
        position = (number - self._first) * limit + start
        if self._position != position and not (self._passes.once and self._position >= 0):
            self._seek(position)
        for step in range(start, limit):
            batch = self._next()
            if batch is _END:
                ended = (
                    f"the {self._passes.name} ended in {self._place(number)} after {step} of "
                    f"{limit} batches"
                )
                if self._use is None or step == start:
                    hint = "give one that goes on, or fewer steps or epochs"
                    raise ValueRangeError(ended, hint=hint)
                warn_user(ended)
                return
            yield as_batch(batch)

    def _seek(self, position: int) -> None:
        skipped, length = position, self._passes.length
        self._pass = 0
        if length and not self._passes.once:
            self._pass, skipped = divmod(position, length)
            self._batches = self._passes.open(self._pass, skipped)
        else:
            self._batches = self._passes.open(0, 0)
            for _ in range(skipped):
                self._next()
        self._position = position

    def _next(self) -> Any:
        assert self._batches is not None
        self._position += 1
        batch = next(self._batches, _END)
        if batch is _END and self._use is None and not self._passes.once:
            self._pass += 1
            self._batches = self._passes.open(self._pass, 0)
            batch = next(self._batches, _END)
        return batch


_END = object()


class ClassWeighted:
    """Batches whose samples weigh as their classes do.

    Args:
        source: Where they come from.
        weights: A factor by class.
    """

    def __init__(self, source: Source, weights: dict[int, float]) -> None:
        self.source, self.weights = source, weights

    @property
    def steps(self) -> int | None:
        """The number of batches, if it is known."""
        return self.source.steps

    @property
    def ordered(self) -> bool:
        """Whether an epoch is one pass, in an order that depends on its number alone."""
        return self.source.ordered

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `start` on."""
        for x, y, weight in self.source.epoch(number, start):
            yield x, y, class_weights(y, self.weights, weight)


def as_batch(given: Any) -> Batch:
    """A batch as x, y and weights, of arrays."""
    batch = unpack(given)
    if batch[0] is None:
        raise ArgumentError("a batch is None", hint="give x, (x, y) or (x, y, sample_weight)")
    if all(x is None or isinstance(x, np.ndarray) for x in batch):
        return batch
    return dlc.tree.map(as_array, batch)


def unpack(batch: Any) -> Batch:
    """A batch as x, y and weights.

    Raises:
        ArgumentError: for a tuple of more.
    """
    if not isinstance(batch, (tuple, list)):
        return batch, None, None
    if not 1 <= len(batch) <= 3:
        raise ArgumentError(
            f"a batch of {len(batch)} parts", hint="give x, (x, y) or (x, y, sample_weight)"
        )
    return (*batch, None, None)[:3]  # type: ignore[return-value]


def source_of(
    x: Any,
    y: Any = None,
    weight: Any = None,
    batch_size: int | None = None,
    seed: int | None = None,
    steps: int | None = None,
    class_weight: dict[int, float] | None = None,
    first_epoch: int = 0,
    use: str | None = None,
) -> Source:
    """A source of what `fit`, `evaluate` and `predict` were given.

    Args:
        x: Arrays, or something that gives batches.
        y: Arrays, when x are arrays.
        weight: A factor for each sample, when x are arrays.
        batch_size: Rows of a batch, when x are arrays; 32 for None.
        seed: Rows are shuffled in each epoch if it is given.
        steps: Batches an epoch; None for those of a pass.
        class_weight: A factor by class, or None.
        first_epoch: Of `Iterated`.
        use: What the data is for, where that is not training.

    Raises:
        ArgumentError: for something else, for y, weights or a size beside batches, and for weights
            of classes that are not by class.
    """
    if class_weight is not None:
        by_class = isinstance(class_weight, dict)
        if not by_class or not all(isinstance(k, (int, np.integer)) for k in class_weight):
            shown = "dict of other keys" if by_class else type(class_weight).__name__
            raise ArgumentError(
                f"class_weight is a {shown}",
                hint="give a dict of factors by class: dict(enumerate(factors))",
            )
    if is_arrays(x):
        if class_weight is not None:
            weight = class_weights(y, class_weight, weight)
        order = None if seed is None else shuffled(seed)
        what = "the data" if use is None else f"the data of {use}"
        arrays = Arrays(x, y, weight, 32 if batch_size is None else batch_size, order, what)
        if steps is None:
            return arrays
        passes = Passes("arrays", arrays.epoch, arrays.steps, numbered=True)
        return Iterated(passes, steps, use=use)
    beside = [
        name
        for name, value in (("y", y), ("sample_weight", weight), ("batch_size", batch_size))
        if value is not None
    ]
    if beside:
        raise ArgumentError(
            f"x is a {type(x).__name__} that gives batches, and {' and '.join(beside)} came "
            "beside it",
            hint="let it give batches of the wanted size: x, (x, y) or (x, y, sample_weight)",
        )
    source = Iterated(passes_of(x, seed), steps, first_epoch, use)
    return source if class_weight is None else ClassWeighted(source, class_weight)
