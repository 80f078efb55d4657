"""Where batches come from: arrays, or whatever gives batches one by one.

A source is walked once an epoch: `source.epoch(number)` gives `(x, y, sample_weight)`, y and the
weights being None where there are none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

import dlc
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError

Batch = tuple[Any, Any, Any]


class Source(Protocol):
    """Batches of each epoch."""

    @property
    def steps(self) -> int | None:
        """How many batches there are in an epoch; None where that is not known."""
        ...

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        ...


def _length(tree: Any, what: str) -> int:
    """The extent that all arrays of a tree share."""
    lengths = {len(leaf) for leaf in dlc.tree.leaves(tree)}
    if len(lengths) != 1:
        shown = ", ".join(map(str, sorted(lengths))) or "none"
        raise ShapeError(f"{what}: arrays must have the same number of samples, not {shown}")
    return lengths.pop()


def _as_arrays(tree: Any) -> Any:
    def array(x: Any) -> Any:
        return x.numpy() if isinstance(x, dlc.Tensor) else np.asarray(x)

    return None if tree is None else dlc.tree.map(array, tree)


class Arrays:
    """Batches of rows of arrays.

    Args:
        x, y: Arrays, or trees of arrays with one number of samples; y may be None.
        weight: A factor for each sample, or None.
        batch_size: Rows of a batch; the last one may have fewer.
        order: The order of the rows in an epoch; None for that of the arrays.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        weight: Any = None,
        batch_size: int = 32,
        order: Callable[[int, int], np.ndarray[Any, Any]] | None = None,
    ) -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueRangeError(f"batch_size={batch_size!r} must be a positive integer")
        self.data = tuple(map(_as_arrays, (x, y, weight)))
        self.samples = _length(self.data, "the data")
        if not self.samples:
            raise ShapeError("the data has no samples")
        self.batch_size, self.order = batch_size, order

    @property
    def steps(self) -> int:
        """The number of batches."""
        return math.ceil(self.samples / self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        rows = None if self.order is None else self.order(number, self.samples)
        for start in range(0, self.samples, self.batch_size):
            part: Any = slice(start, start + self.batch_size)
            part = part if rows is None else rows[part]
            yield tuple(  # type: ignore[misc]
                None if t is None else dlc.tree.map(lambda a, p=part: a[p], t) for t in self.data
            )


class Iterated:
    """Batches that something gives one by one: `x`, `(x, y)` or `(x, y, sample_weight)` each.

    A generator is walked on from epoch to epoch, anything else is begun again.
    """

    def __init__(self, given: Iterable[Any], steps: int | None = None) -> None:
        self.given, self._limit = given, steps
        self._once = iter(given) if iter(given) is given else None

    @property
    def steps(self) -> int | None:
        """The number of batches, if it is known."""
        if self._limit is not None:
            return self._limit
        try:
            return len(self.given)  # type: ignore[arg-type]
        except TypeError:
            return None

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        batches = self._once if self._once is not None else iter(self.given)
        count = 0
        while self._limit is None or count < self._limit:
            batch = next(batches, _END)
            if batch is _END:
                break
            count += 1
            yield unpack(batch)
        if not count:
            raise ValueRangeError(
                f"no batches in epoch {number + 1}: the {type(self.given).__name__} is at its end",
                hint="give a source that begins again, or steps_per_epoch and fewer epochs",
            )


_END = object()


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


def shuffled(seed: int) -> Callable[[int, int], np.ndarray[Any, Any]]:
    """Orders of rows: of an epoch the same for the same seed, whatever came before."""
    return lambda epoch, samples: np.random.default_rng([seed, epoch]).permutation(samples)


def source_of(
    x: Any,
    y: Any = None,
    weight: Any = None,
    batch_size: int | None = None,
    seed: int | None = None,
    steps: int | None = None,
) -> Source:
    """A source of what `fit`, `evaluate` and `predict` were given.

    Args:
        x: Arrays, or something that gives batches.
        y: Arrays, when x are arrays.
        weight: A factor for each sample, when x are arrays.
        batch_size: Rows of a batch, when x are arrays; 32 for None.
        seed: Rows are shuffled in each epoch if it is given.
        steps: Batches an epoch, when x gives batches.
    """
    if _is_iterated(x):
        if y is not None or weight is not None:
            raise ArgumentError(
                f"x is a {type(x).__name__} that gives batches, and y or weights came beside it",
                hint="let it give (x, y) or (x, y, sample_weight)",
            )
        return Iterated(x, steps)
    order = None if seed is None else shuffled(seed)
    return Arrays(x, y, weight, 32 if batch_size is None else batch_size, order)


def _is_iterated(x: Any) -> bool:
    arrays = (np.ndarray, dlc.Tensor, list, tuple, dict)
    return not isinstance(x, arrays) and not hasattr(x, "__array__") and hasattr(x, "__iter__")


def split_tail(tree: Any, share: float) -> tuple[Any, Any]:
    """A tree of arrays without its last rows, and those: `share` of all."""
    if tree is None:
        return None, None
    arrays = _as_arrays(tree)
    at = math.floor(_length(arrays, "the data") * (1 - share))
    return dlc.tree.map(lambda a: a[:at], arrays), dlc.tree.map(lambda a: a[at:], arrays)


def class_weights(y: Any, weights: dict[int, float], sample_weight: Any) -> np.ndarray[Any, Any]:
    """A factor for each sample from that of its class, times its own.

    Args:
        y: Numbers of classes, or one-hot labels.
        weights: A factor by class; 1 for the others.
        sample_weight: Factors of samples, or None.
    """
    labels = _as_arrays(y)
    if labels.ndim > 1 and labels.shape[-1] > 1:
        labels = labels.argmax(-1)
    labels = labels.reshape(len(labels), -1)[:, 0].astype(np.int64)
    table = np.ones(max(labels.max(initial=0), *weights, 0) + 1, np.float32)
    for number, factor in weights.items():
        table[number] = factor
    found = table[labels]
    return found if sample_weight is None else found * _as_arrays(sample_weight)
