"""Where batches come from: arrays, or whatever gives batches one by one.

A source is walked once an epoch: `source.epoch(number)` gives `(x, y, sample_weight)`, y and the
weights being None where there are none; `source.epoch(number, start)` the same without the first
batches, so that training goes on in the middle of an epoch.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

import dlc
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError, ValueRangeError
from dlc.train.passes import Order, Passes, passes_of, shuffled

Batch = tuple[Any, Any, Any]
_GATHERED_BYTES = 1 << 16
_COPIED_BYTES = 1 << 26


class Source(Protocol):
    """Batches of each epoch."""

    @property
    def steps(self) -> int | None:
        """How many batches there are in an epoch; None where that is not known."""
        ...

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `start` on."""
        ...


def _length(tree: Any, what: str) -> int:
    """The extent that all arrays of a tree share."""
    leaves = leaves_of(tree)
    lengths = {leaf.shape[0] for leaf in leaves if leaf.ndim}
    if len(lengths) != 1 or not all(leaf.ndim for leaf in leaves):
        shown = ", ".join(map(str, sorted(lengths))) or "none"
        several = any(isinstance(part, list) for part in tree)
        raise ShapeError(
            f"{what}: arrays must have the same number of samples, not {shown}",
            hint="a list is one of inputs or outputs; np.asarray makes an array of samples"
            if several
            else None,
        )
    return lengths.pop()


def leaves_of(tree: Any) -> list[Any]:
    """The arrays of a tree: those of plain batches are found without a look at their structure."""
    if isinstance(tree, np.ndarray):
        return [tree]
    if type(tree) is tuple:
        return [leaf for part in tree for leaf in leaves_of(part)]
    return [] if tree is None else dlc.tree.leaves(tree)


def _each(function: Callable[[Any], Any], tree: Any) -> Any:
    """The results for the arrays of a tree, as a tree like it; None for None."""
    if tree is None:
        return None
    return function(tree) if isinstance(tree, np.ndarray) else dlc.tree.map(function, tree)


def _as_array(x: Any) -> Any:
    if isinstance(x, dlc.Tensor):
        array = x.numpy()
    else:
        array = x if type(x) is np.ndarray else np.asarray(x)
    if array.dtype.kind in "USO":
        raise DTypeError(
            f"data of the element type {array.dtype}, which are no numbers",
            hint="number classes by np.unique(y, return_inverse=True)[1]; texts by dlc.data.text",
        )
    return array


def _in_order(array: Any) -> Any:
    """The array, or a copy of one that is not large, as steps can read rows of it: see `picks`."""
    if array.flags.c_contiguous or array.nbytes > _COPIED_BYTES:
        return array
    return np.ascontiguousarray(array)


def _as_arrays(tree: Any) -> Any:
    return _each(_as_array, tree)


def positive(name: str, value: Any, least: int = 1) -> int:
    """A setting as an integer; ValueRangeError for something else and for what is less."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        kind = "a positive integer" if least else "an integer, at least 0"
        raise ValueRangeError(f"{name}={value!r} must be {kind}")
    return number


class Arrays:
    """Batches of rows of arrays.

    Args:
        x, y: Arrays, or trees of arrays with one number of samples; y may be None.
        weight: A factor for each sample, or None.
        batch_size: Rows of a batch; the last one may have fewer.
        order: The order of the rows in an epoch; None for that of the arrays.
        what: The data, for messages.

    Raises:
        ShapeError: for arrays that do not fit together, or have no samples.
        DTypeError: for what are no numbers.
        ValueRangeError: for a size of a batch that is no positive integer.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        weight: Any = None,
        batch_size: int = 32,
        order: Order | None = None,
        what: str = "the data",
    ) -> None:
        batch_size = positive("batch_size", batch_size)
        self.data = tuple(map(_as_arrays, (x, y, weight)))
        self.what, self.samples = what, _length(self.data, what)
        if order is not None:
            self.data = tuple([_each(_in_order, part) for part in self.data])
        if not self.samples:
            raise ShapeError(f"{what} has no samples")
        self.batch_size, self.order = batch_size, order
        self.examined = False  # whether a step was compiled for it, and its labels looked at

    @property
    def steps(self) -> int:
        """The number of batches."""
        return math.ceil(self.samples / self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `start` on."""
        begin = start * self.batch_size
        if self.order is None:
            yield from self._cut(self.data, begin, self.samples)
            return
        rows = self.order(number, self.samples)
        taken = self.batch_size * self._batches_at_once()
        for first in range(begin, self.samples, taken):
            part = rows[first : first + taken]
            gathered = tuple([_gathered(t, part) for t in self.data])
            yield from self._cut(gathered, 0, len(part))

    def picks(self, number: int, start: int = 0) -> Iterator[np.ndarray[Any, Any]]:
        """The numbers of the rows of each batch of an epoch from batch `start` on, in `order`."""
        assert self.order is not None
        rows = self.order(number, self.samples)
        for first in range(start * self.batch_size, self.samples, self.batch_size):
            yield rows[first : first + self.batch_size]

    def _cut(self, data: tuple[Any, ...], begin: int, end: int) -> Iterator[Batch]:
        x, y, weight = data
        for first in range(begin, end, self.batch_size):
            part = slice(first, first + self.batch_size)
            yield _cut(x, part), _cut(y, part), _cut(weight, part)

    def _batches_at_once(self) -> int:
        """How many batches are gathered in one go, as long as that is little memory."""
        row = sum(a[:1].nbytes for a in leaves_of(self.data))
        return max(1, _GATHERED_BYTES // max(1, row * self.batch_size))


def _gathered(tree: Any, rows: np.ndarray[Any, Any]) -> Any:
    return _each(lambda a: a.take(rows, 0), tree)


def _cut(tree: Any, part: slice) -> Any:
    return tree[part] if isinstance(tree, np.ndarray) else _each(lambda a: a[part], tree)


class Iterated:
    """Batches that something gives one by one: `x`, `(x, y)` or `(x, y, sample_weight)` each.

    Without `steps`, an epoch is one pass. With it, an epoch is so many batches of the passes one
    after another, and an epoch begins where the one before it ended. What is walked only once,
    such as a generator, is walked on.

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
            steps = positive("steps", steps)
        self._use = use
        self._passes, self._limit = passes, steps
        self._first = 0 if passes.numbered else first_epoch
        self._batches: Iterator[Any] | None = None
        self._pass, self._position = 0, -1

    @property
    def steps(self) -> int | None:
        """The number of batches, if it is known."""
        return self._passes.length if self._limit is None else self._limit

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
                raise ValueRangeError(
                    f"the {self._passes.name} ended in {self._place(number)} after {step} of "
                    f"{limit} batches",
                    hint="give one that goes on, or fewer steps or epochs",
                )
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
        if batch is _END and not self._passes.once:
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
    return dlc.tree.map(_as_array, batch)


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
    if class_weight is not None and not isinstance(class_weight, dict):
        raise ArgumentError(
            f"class_weight is a {type(class_weight).__name__}",
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


def is_arrays(x: Any) -> bool:
    """Whether x is an array or a tree of arrays, not something that gives batches."""
    return isinstance(x, (np.ndarray, dlc.Tensor, list, tuple, dict)) or hasattr(x, "__array__")


def split_tail(tree: Any, share: float) -> tuple[Any, Any]:
    """A tree of arrays without its last rows, and those: `share` of all.

    Raises:
        ArgumentError: for what gives batches.
        ValueRangeError: where one of both parts has no samples.
    """
    if tree is None:
        return None, None
    if not is_arrays(tree):
        raise ArgumentError(
            f"validation_split of a {type(tree).__name__}, whose batches are not known yet",
            hint="split it yourself (Dataset.take and skip) and give validation_data",
        )
    arrays = _as_arrays(tree)
    samples = _length(arrays, "the data")
    at = math.floor(samples * (1 - share))
    if not 0 < at < samples:
        raise ValueRangeError(
            f"validation_split={share} of {samples} samples leaves {at} to train with and "
            f"{samples - at} to validate with"
        )
    return dlc.tree.map(lambda a: a[:at], arrays), dlc.tree.map(lambda a: a[at:], arrays)


def class_weights(y: Any, weights: dict[int, float], sample_weight: Any) -> np.ndarray[Any, Any]:
    """A factor for each sample from that of its class, times its own.

    Args:
        y: Numbers of classes, or one-hot labels.
        weights: A factor by class; 1 for the others.
        sample_weight: Factors of samples, or None.

    Raises:
        ArgumentError: where y is no array.
    """
    if not hasattr(y, "ndim"):
        what = "no labels" if y is None else f"labels in a {type(y).__name__}"
        raise ArgumentError(f"class_weight with {what}", hint="give one array of labels")
    labels = _as_array(y)
    if labels.ndim > 1 and labels.shape[-1] > 1:
        labels = labels.argmax(-1)
    labels = labels.reshape(len(labels), -1)[:, 0].astype(np.int64)
    table = np.ones(max(labels.max(initial=0), *weights, 0) + 1, np.float32)
    for number, factor in weights.items():
        table[number] = factor
    found = table[labels]
    return found if sample_weight is None else found * _as_arrays(sample_weight)
