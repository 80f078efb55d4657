"""Tables: samples that are reached by number, one by one or many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

import dlc
from dlc.data.elements import as_array, row_count, stacked, told, transposed


class Table(Protocol):
    """Samples by number."""

    @property
    def length(self) -> int:
        """How many there are."""
        ...

    def row(self, number: int) -> Any:
        """A sample."""
        ...

    def gather(self, numbers: Sequence[int]) -> Any:
        """Several as a batch."""
        ...


class ArrayTable:
    """The rows of arrays, which are not copied; what is read cannot be written through.

    Args:
        tree: A tree of arrays with one number of rows.

    Raises:
        ShapeError: for arrays with different numbers of rows.
    """

    def __init__(self, tree: Any) -> None:
        leaves, self._structure = dlc.tree.flatten(tree)
        self._arrays = [_read_only(as_array(leaf)) for leaf in leaves]
        self.length = row_count(self._arrays, "a dataset of arrays")

    def row(self, number: int) -> Any:
        """A sample: views of the arrays."""
        return dlc.tree.unflatten(self._structure, [a[number] for a in self._arrays])

    def gather(self, numbers: Sequence[int]) -> Any:
        """A batch, copied; views where the rows follow one another."""
        first, count = numbers[0], len(numbers)
        chosen: Any = np.asarray(numbers)
        if numbers[-1] - first == count - 1 and (np.diff(chosen) == 1).all():
            chosen = slice(first, first + count)
        return dlc.tree.unflatten(self._structure, [a[chosen] for a in self._arrays])


class SampleTable:
    """What `dataset[number]` gives."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    @property
    def length(self) -> int:
        """The length of the dataset."""
        return len(self._dataset)

    def row(self, number: int) -> Any:
        """A sample."""
        return sample_of(self._dataset, number)

    def gather(self, numbers: Sequence[int]) -> Any:
        """A batch."""
        return transposed([sample_of(self._dataset, k) for k in numbers], stacked)


def sample_of(dataset: Any, number: Any) -> Any:
    """What a dataset has under a number; its error says which number that is."""
    try:
        return dataset[number]
    except Exception as error:
        told(error, f"in sample {number} of the {type(dataset).__name__}")
        raise


def _read_only(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    view = array.view()
    view.flags.writeable = False
    return view
