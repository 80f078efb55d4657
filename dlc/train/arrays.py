"""`Arrays`: batches that are rows of arrays, and the trees of arrays that data is."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

import dlc
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError, ValueRangeError
from dlc.ir.integers import at_least
from dlc.train.passes import Order

Batch = tuple[Any, Any, Any]
_GATHERED_BYTES = 1 << 16
_COPIED_BYTES = 1 << 26


def leaves_of(tree: Any) -> list[Any]:
    """The arrays of a tree: those of plain batches are found without a look at their structure."""
    if isinstance(tree, np.ndarray):
        return [tree]
    if type(tree) is not tuple:
        return [] if tree is None else dlc.tree.leaves(tree)
    found: list[Any] = []
    for part in tree:
        if type(part) is np.ndarray:
            found.append(part)
        elif part is not None:
            found += leaves_of(part)
    return found


def _length(tree: Any, what: str) -> int:
    """The extent that all arrays of a tree share."""
    lengths = {leaf.shape[:1] for leaf in leaves_of(tree)}
    if len(lengths) != 1 or () in lengths:
        shown = ", ".join(str(n) for n, *_ in sorted(filter(None, lengths))) or "none"
        several = any(isinstance(part, list) for part in tree)
        raise ShapeError(
            f"{what}: arrays must have the same number of samples, not {shown}",
            hint="a list is one of inputs or outputs; np.asarray makes an array of samples"
            if several
            else None,
        )
    return lengths.pop()[0]


def _each(function: Callable[[Any], Any], tree: Any) -> Any:
    """The results for the arrays of a tree, as a tree like it; None for None."""
    if tree is None:
        return None
    return function(tree) if isinstance(tree, np.ndarray) else dlc.tree.map(function, tree)


def as_array(x: Any) -> Any:
    """An array of numbers.

    Raises:
        DTypeError: for what are no numbers.
    """
    if type(x) is np.ndarray:
        array = x
    else:
        array = x.numpy() if isinstance(x, dlc.Tensor) else np.asarray(x)
    if array.dtype.kind in "USO":
        raise DTypeError(
            f"data of the element type {array.dtype}, which are no numbers",
            hint="number classes by np.unique(y, return_inverse=True)[1], texts by "
            "dlc.nn.TextVectorization",
        )
    return array


def _in_order(array: Any) -> Any:
    """The array, or a copy of one that is not large, as steps can read rows of it: see `picks`."""
    if array.flags.c_contiguous or array.nbytes > _COPIED_BYTES:
        return array
    return np.ascontiguousarray(array)


def _as_arrays(tree: Any) -> Any:
    if type(tree) is np.ndarray:
        return as_array(tree)
    return None if tree is None else dlc.tree.map(as_array, tree)


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
        batch_size = at_least(batch_size, 1, "batch_size")
        self.data = (_as_arrays(x), _as_arrays(y), _as_arrays(weight))
        self.what, self.samples = what, _length(self.data, what)
        if order is not None:
            self.data = tuple([_each(_in_order, part) for part in self.data])
        if not self.samples:
            raise ShapeError(f"{what} has no samples")
        self.batch_size, self.order = batch_size, order
        self.ordered = True  # an epoch is one pass, in an order that depends on its number alone
        self.examined = False  # whether a step was compiled for it, and its labels looked at

    @property
    def steps(self) -> int:
        """The number of batches."""
        return -(-self.samples // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `start` on."""
        begin = start * self.batch_size
        if self.order is None:
            return self._cut(self.data, begin, self.samples)
        return itertools.chain.from_iterable(self._blocks(self.order(number, self.samples), begin))

    def picks(self, number: int, start: int = 0) -> Iterator[np.ndarray[Any, Any]]:
        """The numbers of the rows of each batch of an epoch from batch `start` on, in `order`."""
        assert self.order is not None
        rows = self.order(number, self.samples)
        return map(rows.__getitem__, self._places(start * self.batch_size, self.samples))

    def _blocks(self, rows: np.ndarray[Any, Any], begin: int) -> Iterator[Iterable[Batch]]:
        """Batches, some together, of an epoch in this order of the rows, from row `begin` on."""
        taken = self.batch_size * self._batches_at_once()
        for first in range(begin, self.samples, taken):
            part = rows[first : first + taken]
            gathered = tuple([_gathered(t, part) for t in self.data])
            yield self._cut(gathered, 0, len(part))

    # No code of Python runs for a batch of plain arrays: beside short steps, that is in no cache.

    def _places(self, begin: int, end: int) -> Iterator[slice]:
        """Where batches are in rows `begin` to `end`."""
        size = self.batch_size
        return map(slice, range(begin, end, size), range(begin + size, end + size, size))

    def _cut(self, data: Batch, begin: int, end: int) -> Iterator[Batch]:
        """The batches of x, y and weights in rows `begin` to `end`."""
        x, y, weight = data
        return zip(  # noqa: B905  None is repeated
            self._parts(x, begin, end), self._parts(y, begin, end), self._parts(weight, begin, end)
        )

    def _parts(self, tree: Any, begin: int, end: int) -> Iterator[Any]:
        if tree is None:
            return itertools.repeat(None)
        places = self._places(begin, end)
        if isinstance(tree, np.ndarray):
            return map(tree.__getitem__, places)
        return (_each(operator.itemgetter(place), tree) for place in places)

    def _batches_at_once(self) -> int:
        """How many batches are gathered in one go, as long as that is little memory."""
        row = sum(a[:1].nbytes for a in leaves_of(self.data))
        return max(1, _GATHERED_BYTES // max(1, row * self.batch_size))


def _gathered(tree: Any, rows: np.ndarray[Any, Any]) -> Any:
    return _each(lambda a: a.take(rows, 0), tree)


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
        ArgumentError: where y is no array, or has several labels for a sample.
        ShapeError: for factors of another number of samples.
    """
    if not hasattr(y, "ndim"):
        what = "no labels" if y is None else f"labels in a {type(y).__name__}"
        raise ArgumentError(f"class_weight with {what}", hint="give one array of labels")
    labels = as_array(y)
    if labels.ndim > 1:
        labels = labels[..., 0] if labels.shape[-1] == 1 else labels.argmax(-1)
    if labels.ndim != 1:
        raise ArgumentError(
            f"class_weight with labels of shape {y.shape}: a sample has one class",
            hint="give the factors of its parts by sample_weight",
        )
    classes, places = np.unique(np.round(labels), return_inverse=True)
    factors = [weights.get(number, 1.0) for number in classes.tolist()]
    found = np.asarray(factors, np.float32)[places]
    if sample_weight is None:
        return found
    own = _as_arrays(sample_weight)
    _length((found, own), "labels and their sample_weight")
    return found.reshape(-1, *(1,) * (own.ndim - 1)) * own
