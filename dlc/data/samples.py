"""Datasets of samples by number, with PyTorch's names, and parts of them."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.data.dataset import Dataset
from dlc.data.elements import as_array
from dlc.data.samplers import seed_of
from dlc.data.tables import ArrayTable
from dlc.ir.errors import ArgumentError, IndexRangeError, ShapeError, ValueRangeError


def tensors_of(tree: Any) -> Any:
    """A tree of arrays as one of tensors, without copies."""
    return dlc.tree.map(lambda a: dlc.asarray(a, copy=False), tree)


class TensorDataset(Dataset[Any]):
    """The rows of tensors or arrays, as tuples of tensors.

    Args:
        tensors: With one number of rows; they are not copied.

    Raises:
        ShapeError: for different numbers of rows.

    Example:
        >>> dlc.data.TensorDataset(np.arange(3.0), np.arange(3))[1]
        (Tensor(1., dtype=float64), Tensor(1, dtype=int64))
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tensors
        self._rows = ArrayTable(tuple(map(as_array, tensors)))

    def __len__(self) -> int:
        return self._rows.length

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tensors_of(self._rows.row(index))

    def gather(self, indices: Sequence[int]) -> list[Any]:
        """A batch of rows."""
        return list(tensors_of(self._rows.gather(indices)))


class Subset(Dataset[Any]):
    """The samples of a dataset with some numbers.

    Args:
        dataset: With samples by number.
        indices: The numbers, in the order of the subset.
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]


class ConcatDataset(Dataset[Any]):
    """The samples of several datasets, one after another.

    Raises:
        ArgumentError: for no datasets, and for one without samples by number.

    Example:
        >>> dlc.data.ConcatDataset([[1, 2], [3]])[2]
        3
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset of no datasets")
        for dataset in self.datasets:
            if not hasattr(dataset, "__getitem__"):
                raise ArgumentError(f"ConcatDataset of a {type(dataset).__name__}: no __getitem__")
        self.cumulative_sizes = list(itertools.accumulate(map(len, self.datasets)))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        length = len(self)
        if not -length <= index < length:
            raise IndexRangeError(f"sample {index} of {length}")
        index %= length
        which = bisect.bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]


def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset]:
    """Parts of a dataset without common samples, chosen at random.

    Args:
        dataset: With samples by number.
        lengths: Of the parts, with the length of the dataset for their sum; or shares whose sum
            is 1, where what is left over goes to the first parts.
        generator: A seed, or a `numpy.random.Generator`.

    Raises:
        ValueRangeError: for other sums.

    Example:
        >>> [len(part) for part in dlc.data.random_split(range(10), [0.8, 0.2], generator=0)]
        [8, 2]
    """
    total = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1 + 1e-9:
        counts = [math.floor(total * share) for share in lengths]
        for k in range(total - sum(counts)):
            counts[k % len(counts)] += 1
    else:
        counts = [int(n) for n in lengths]
    if sum(counts) != total or min(counts, default=0) < 0:
        raise ValueRangeError(f"parts of {list(lengths)} of a dataset of {total} samples")
    order = np.random.default_rng(seed_of(generator)).permutation(total).tolist()
    ends = list(itertools.accumulate(counts))
    return [Subset(dataset, order[end - n : end]) for n, end in zip(counts, ends, strict=True)]


def gather_of(dataset: Any) -> Callable[[Sequence[int]], Any] | None:
    """How a dataset gives many samples at once, collated; None where it does not."""
    if isinstance(dataset, Subset):
        inner = gather_of(dataset.dataset)
        if inner is None:
            return None
        return lambda indices: inner([dataset.indices[k] for k in indices])
    return dataset.gather if type(dataset) is TensorDataset else None


def default_convert(data: Any) -> Any:
    """Arrays in a tree as tensors; all else as it is."""
    if isinstance(data, np.ndarray) and data.dtype.kind not in "USOMm":
        return dlc.asarray(data, copy=False)
    if isinstance(data, np.generic) and not isinstance(data, (np.str_, np.bytes_)):
        return dlc.asarray(data)
    if isinstance(data, dict):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    return [default_convert(e) for e in data] if isinstance(data, (list, tuple)) else data


def default_collate(batch: Sequence[Any]) -> Any:
    """Samples as a batch, as PyTorch does it.

    Numbers and arrays become tensors with one more axis; dicts, lists and tuples (which become
    lists) are gone through; texts become a list. Python's floats become float64.

    Raises:
        ShapeError: for samples that are not alike.
        ArgumentError: for what cannot be stacked.

    Example:
        >>> x, name = dlc.data.default_collate([(1, "a"), (2, "b")])
        >>> x.tolist(), name
        ([1, 2], ['a', 'b'])
    """
    if not len(batch):
        raise ArgumentError("a batch of no samples", hint="leave it out, or give a collate_fn")
    first = batch[0]
    if isinstance(first, (dlc.Tensor, np.ndarray, np.generic, int, float)):
        return _stacked(batch)
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, dict):
        for sample in batch:
            if not isinstance(sample, dict) or not first.keys() <= sample.keys():
                keys = list(sample) if isinstance(sample, dict) else type(sample).__name__
                raise ShapeError(
                    f"samples of one batch: one has the keys {list(first)}, one {keys}"
                )
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if not isinstance(first, (list, tuple)):
        raise ArgumentError(
            f"samples with a {type(first).__name__} cannot be made a batch",
            hint="give tensors, arrays, numbers, texts, dicts or lists, or a collate_fn",
        )
    if any(type(sample) is not type(first) for sample in batch):
        kinds = ", ".join(sorted({type(sample).__name__ for sample in batch}))
        raise ShapeError(f"samples of different kinds in one batch: {kinds}")
    if any(len(sample) != len(first) for sample in batch):
        raise ShapeError(f"samples of {sorted({len(s) for s in batch})} parts in one batch")
    parts = [default_collate(part) for part in zip(*batch, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else parts


def _stacked(batch: Sequence[Any]) -> Any:
    wide = np.float64 if type(batch[0]) is float else None
    arrays = [np.asarray(e, wide) if wide else as_array(e) for e in batch]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        shown = ", ".join(map(str, sorted(shapes)))
        raise ShapeError(
            f"samples of different shapes in one batch: {shown}",
            hint="make them alike in the dataset, or give a collate_fn",
        )
    return dlc.asarray(np.stack(arrays), copy=False)
