"""`Dataset`: pipelines of elements, lazy, seeded, and begun anywhere."""

from __future__ import annotations

import glob as globbing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

import dlc
from dlc.data.array_files import chosen, open_arrays
from dlc.data.background import Prefetch
from dlc.data.batching import Batch, PaddedBatch, Unbatch, Window
from dlc.data.caching import FileCache, MemoryCache
from dlc.data.combining import Concatenate, Interleave, Numbered, Zip
from dlc.data.csv_files import lines_of, matrix_of, path_list, read_csv
from dlc.data.elements import columns
from dlc.data.iterator import DatasetIterator
from dlc.data.mapping import AUTOTUNE, Called, Map, worker_count
from dlc.data.pipe import INFINITE, UNKNOWN, Generated, Listed, Pipe, Rows
from dlc.data.selection import Filter, Repeat, Shard, Shuffle, Skip, Take
from dlc.data.tables import ArrayTable, SampleTable
from dlc.ir.errors import ArgumentError, nearest

T = TypeVar("T")


class Dataset(Generic[T]):
    """Elements one by one: the base of your own datasets, and a pipeline made by its methods.

    Elements are trees (tuples, dicts, ...) of NumPy arrays, or whatever a function returns. A
    pipeline computes nothing until it is iterated over. Each `for` loop over it is an epoch with
    the next number; the order is a function of seeds and of this number, so that
    `dataset.epoch(3, start=20)` gives what the fourth loop gives from element 20 on.

    A subclass defines `__getitem__` and `__len__`, as with PyTorch, or `__iter__` (see
    `IterableDataset`), and has all of these methods too.

    Example:
        >>> x, y = np.arange(6.0).reshape(6, 1), np.arange(6)
        >>> dataset = dlc.data.Dataset.from_tensor_slices((x, y)).shuffle(6, seed=1).batch(4)
        >>> [len(labels) for _, labels in dataset]
        [4, 2]
    """

    INFINITE = INFINITE
    UNKNOWN = UNKNOWN
    class_names: list[str]  # of datasets of folders

    @staticmethod
    def _of(pipe: Pipe) -> Dataset[Any]:
        made: Dataset[Any] = Dataset()
        made.__dict__["_made"] = pipe
        return made

    @property
    def _pipe(self) -> Pipe:
        made = self.__dict__.get("_made")
        if made is None:
            made = self.__dict__["_made"] = _own_pipe(self)
        return made

    # Where elements come from.

    @staticmethod
    def from_tensor_slices(tensors: Any) -> Dataset[Any]:
        """The rows of arrays, which are not copied.

        Args:
            tensors: An array, or a tree of arrays with one number of rows. Lists of numbers and
                of texts are arrays too.

        Raises:
            ShapeError: for arrays with different numbers of rows.
        """
        return Dataset._of(Rows(ArrayTable(_with_arrays(tensors))))

    from_arrays = from_tensor_slices

    @staticmethod
    def from_tensors(tensors: Any) -> Dataset[Any]:
        """One element."""
        return Dataset._of(MemoryCache(Listed([tensors])))

    @staticmethod
    def from_generator(
        generator: Callable[..., Iterable[Any]],
        args: Sequence[Any] = (),
        output_signature: Any = None,
    ) -> Dataset[Any]:
        """What a function gives, which is called for each pass.

        Args:
            generator: The function; it returns an iterable, as generators do.
            args: Its arguments.
            output_signature: The types of an element, a tree of `dlc.spec`, to be checked.

        Raises:
            ShapeError: while iterating, for an element of another type.
        """
        if not callable(generator):
            raise ArgumentError(
                f"from_generator of a {type(generator).__name__}: a pass must be able to begin",
                hint="give the function that makes it: from_generator(lambda: ...)",
            )
        return Dataset._of(Generated(generator, tuple(args), output_signature))

    @staticmethod
    def range(*args: int) -> Dataset[int]:
        """Whole numbers, as Python's `range`."""
        return Dataset._of(Listed(range(*args)))

    @staticmethod
    def list_files(
        patterns: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        shuffle: bool = False,
        seed: int | None = None,
    ) -> Dataset[str]:
        """The paths that match patterns such as "images/**/*.png", sorted.

        Raises:
            ArgumentError: where a pattern matches nothing.
        """
        given = [patterns] if isinstance(patterns, (str, os.PathLike)) else list(patterns)
        found: set[str] = set()
        for pattern in given:
            matches = globbing.glob(os.fspath(pattern), recursive=True)
            if not matches:
                raise ArgumentError(f"no file matches {os.fspath(pattern)!r}")
            found.update(matches)
        files = Dataset._of(Listed(sorted(found)))
        return files.shuffle(len(found), seed) if shuffle else files

    @staticmethod
    def from_lines(
        filenames: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        encoding: str = "utf-8",
    ) -> Dataset[str]:
        """The lines of text files, one file after another; packed by gzip if a name ends in .gz.

        Raises:
            FileFormatError: while iterating, for a file of another encoding, or cut off.
        """
        paths = path_list(filenames)
        return Dataset._of(Generated(lines_of, (paths, encoding)))

    @staticmethod
    def from_csv(
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        label: str | None = None,
        columns: Sequence[str] | None = None,
        types: Mapping[str, Any] | None = None,
        as_matrix: bool = False,
        header: bool = True,
        delimiter: str = ",",
    ) -> Dataset[Any]:
        """The rows of tables in text files, which are read into memory.

        Args:
            paths: A file or several with the same columns; packed by gzip if a name ends in .gz.
            label: The column that becomes the second part of elements; None for none.
            columns: The others that are wanted; all for None. Without a header, all names.
            types: Of columns by name. Without one: int64 where all fields are whole numbers,
                float32 where all are numbers or empty (NaN), text else.
            as_matrix: Whether the columns, which are numbers then, become one row of float32, not
                a dict.
            header: Whether the first row has the names; else they are "0", "1", ...
            delimiter: Between fields.

        Raises:
            FileFormatError: for a row with another number of fields, and a field not of the type of
                its column: which file, line and column.
            ArgumentError: for a column that there is not, and a matrix of texts.
        """
        wanted = columns
        if header and columns is not None and label is not None and label not in columns:
            wanted = [*columns, label]
        table = read_csv(paths, types, wanted, header, delimiter)
        if label is not None and label not in table:
            raise ArgumentError(f"no column {label!r}", hint=nearest(label, table))
        target = None if label is None else table.pop(label)
        features = matrix_of(table) if as_matrix else table
        return Dataset.from_tensor_slices(features if label is None else (features, target))

    @staticmethod
    def from_numpy(path: str | os.PathLike[str], names: Any = None) -> Dataset[Any]:
        """The rows of the array of a .npy file, or of the arrays of a .npz file.

        The file is mapped, not read: it may be larger than the memory. (Compressed arrays are
        read.)

        Args:
            path: The file.
            names: The arrays of a .npz file that are wanted, as elements have them: a name, a tuple
                or dict of names; None for a dict of all.

        Raises:
            FileFormatError: for a file that is damaged, or holds pickled objects.
            ArgumentError: for a name that there is not.
        """
        arrays = chosen(open_arrays(path), names, os.fspath(path))
        return Dataset.from_tensor_slices(arrays)

    # What is made of them.

    def map(
        self,
        map_func: Callable[..., Any],
        num_parallel_calls: int | None = None,
        deterministic: bool = True,
        seed: int | None = None,
        workers: Any = "threads",
    ) -> Dataset[Any]:
        """What a function makes of each element.

        Args:
            map_func: The function; the parts of a tuple are its arguments.
            num_parallel_calls: How many workers call it; AUTOTUNE for one a CPU, None for the
                caller's own thread.
            deterministic: Whether results keep the order of the elements; those of processes do.
            seed: If given, the function gets one more argument: a `numpy.random.Generator` that
                depends on the seed, the epoch and the number of the element only.
            workers: "threads", "processes", or how processes are started, as `DataLoader`'s
                multiprocessing_context.
        """
        called = Called(map_func, "Dataset.map", seed)
        count = worker_count(num_parallel_calls)
        return self._of(Map(self._pipe, called, count, deterministic, workers))

    def filter(self, predicate: Callable[..., Any]) -> Dataset[T]:
        """The elements for which a function, called as by `map`, is true."""
        return self._of(Filter(self._pipe, Called(predicate, "Dataset.filter")))

    def shuffle(
        self, buffer_size: int, seed: int | None = None, reshuffle_each_iteration: bool = True
    ) -> Dataset[T]:
        """The elements in another order in each epoch.

        Args:
            buffer_size: Of how many the next is chosen; all are equally likely in any place only
                if it is at least the length.
            seed: Of the orders; drawn from `dlc.random`'s global generator for None.
            reshuffle_each_iteration: Whether epochs differ.
        """
        return self._of(Shuffle(self._pipe, buffer_size, seed, reshuffle_each_iteration))

    def batch(self, batch_size: int, drop_remainder: bool = False) -> Dataset[Any]:
        """So many elements at once, stacked.

        Raises:
            ShapeError: while iterating, for elements that are not alike.
        """
        return self._of(Batch(self._pipe, batch_size, drop_remainder))

    def padded_batch(
        self,
        batch_size: int,
        padded_shapes: Any = None,
        padding_values: Any = None,
        drop_remainder: bool = False,
    ) -> Dataset[Any]:
        """So many elements at once, each filled up to one shape.

        Args:
            batch_size: Elements of a batch.
            padded_shapes: A shape, or a tree of shapes; None (or -1) in it is the largest of the
                batch.
            padding_values: What fills, or a tree of it; 0 for None, and empty texts.
            drop_remainder: Whether a last batch of fewer is left out.
        """
        return self._of(
            PaddedBatch(self._pipe, batch_size, padded_shapes, padding_values, drop_remainder)
        )

    def unbatch(self) -> Dataset[Any]:
        """The rows of the elements."""
        return self._of(Unbatch(self._pipe))

    def window(
        self, size: int, shift: int | None = None, stride: int = 1, drop_remainder: bool = False
    ) -> Dataset[Any]:
        """Runs of elements, each as a dataset (or a tree of datasets, for trees).

        Args:
            size: Elements of a window.
            shift: Elements between the beginnings of windows; `size` for None.
            stride: Elements between two of a window.
            drop_remainder: Whether windows with fewer elements, at the end, are left out.
        """
        windows = self._of(Window(self._pipe, size, shift, stride, drop_remainder))
        return windows.map(_as_datasets)

    def flat_map(self, map_func: Callable[..., Dataset[Any]]) -> Dataset[Any]:
        """The elements of the datasets that a function makes, one dataset after another."""
        return self.interleave(map_func, cycle_length=1)

    def interleave(
        self,
        map_func: Callable[..., Dataset[Any]],
        cycle_length: int | None = None,
        block_length: int = 1,
        num_parallel_calls: int | None = None,
    ) -> Dataset[Any]:
        """The elements of the datasets that a function makes, in turn.

        Args:
            map_func: Makes a dataset of an element.
            cycle_length: How many are open at a time; one a CPU for None.
            block_length: How many elements are taken from one in turn.
            num_parallel_calls: If given, each is walked by a thread of its own.
        """
        called = Called(map_func, "Dataset.interleave")

        def pipe_of(element: Any) -> Pipe:
            made = called(element, 0)
            if not isinstance(made, Dataset):
                raise ArgumentError(f"interleave: the function returned a {type(made).__name__}")
            return made._pipe

        cycle = worker_count(AUTOTUNE) if cycle_length is None else cycle_length
        parallel = worker_count(num_parallel_calls) > 0
        return self._of(Interleave(self._pipe, pipe_of, cycle, block_length, parallel))

    def repeat(self, count: int | None = None) -> Dataset[T]:
        """So many passes one after another, each shuffled anew; without end for None."""
        return self._of(Repeat(self._pipe, count))

    def take(self, count: int) -> Dataset[T]:
        """The first elements; all for -1."""
        return self._of(Take(self._pipe, count))

    def skip(self, count: int) -> Dataset[T]:
        """All but the first elements."""
        return self._of(Skip(self._pipe, count))

    def shard(self, num_shards: int, index: int) -> Dataset[T]:
        """Each `num_shards`-th element, from element `index` on."""
        return self._of(Shard(self._pipe, num_shards, index))

    def prefetch(self, buffer_size: int = AUTOTUNE) -> Dataset[T]:
        """The same, computed by another thread up to so many elements ahead; two for AUTOTUNE."""
        return self._of(Prefetch(self._pipe, 2 if buffer_size == AUTOTUNE else buffer_size))

    def cache(self, filename: str | os.PathLike[str] = "") -> Dataset[T]:
        """The elements of the first pass, kept in memory or in a file.

        Args:
            filename: The file; an existing one is read. It is written whole or not at all, and
                holds trees of arrays, numbers and texts.
        """
        if os.fspath(filename):
            return self._of(FileCache(self._pipe, filename))
        return self._of(MemoryCache(self._pipe))

    def enumerate(self, start: int = 0) -> Dataset[tuple[int, T]]:
        """Pairs of a number and an element."""
        return self._of(Numbered(self._pipe, start))

    def concatenate(self, dataset: Dataset[Any]) -> Dataset[Any]:
        """The elements of this dataset, then those of another."""
        if not isinstance(dataset, Dataset):
            raise ArgumentError(f"concatenate of a {type(dataset).__name__}: give a dataset")
        return self._of(Concatenate(self._pipe, dataset._pipe))

    @staticmethod
    def zip(*datasets: Any) -> Dataset[Any]:
        """Elements of several datasets side by side, until the first one ends.

        Args:
            datasets: Datasets, or one tree of them.
        """
        leaves, structure = dlc.tree.flatten(datasets[0] if len(datasets) == 1 else datasets)
        for leaf in leaves:
            if not isinstance(leaf, Dataset):
                raise ArgumentError(f"zip of a {type(leaf).__name__}: give datasets")
        if not leaves:
            raise ArgumentError("zip of no datasets")
        return Dataset._of(Zip(structure, [leaf._pipe for leaf in leaves]))

    def apply(self, transformation: Callable[[Dataset[T]], Dataset[Any]]) -> Dataset[Any]:
        """What a function makes of the dataset."""
        return transformation(self)

    # Looking at it.

    def cardinality(self) -> int:
        """The number of elements, or `Dataset.INFINITE`, or `Dataset.UNKNOWN`."""
        return self._pipe.length()

    def __len__(self) -> int:
        length = self.cardinality()
        if length < 0:
            raise TypeError(
                "the dataset has no end" if length == INFINITE else "the length is not known"
            )
        return length

    def __bool__(self) -> bool:
        return True

    @property
    def element_spec(self) -> Any:
        """The types of an element, a tree of `dlc.Spec`; found by making the first one."""
        return self._pipe.spec()

    def epoch(self, number: int, start: int = 0) -> DatasetIterator:
        """The elements of an epoch, from element `start` on."""
        return DatasetIterator(self._pipe, number, start)

    def __iter__(self) -> Iterator[T]:
        return DatasetIterator(self._pipe, self._next_epoch())

    def as_numpy_iterator(self) -> Iterator[Any]:
        """The elements of the next epoch, all leaves being arrays."""
        return DatasetIterator(self._pipe, self._next_epoch(), arrays=True)

    def _next_epoch(self) -> int:
        number = self.__dict__.get("_epochs", 0)
        self.__dict__["_epochs"] = number + 1
        return number

    def __repr__(self) -> str:
        names = {INFINITE: "without end", UNKNOWN: "of unknown length"}
        length = self.cardinality()
        return f"<{type(self).__name__} {names.get(length, f'of {length} elements')}>"


class IterableDataset(Dataset[T]):
    """A dataset whose `__iter__` you define.

    In a `DataLoader` with workers each of them walks a copy: `get_worker_info` says which part is
    a worker's.
    """

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__")


def is_map_style(dataset: Any) -> bool:
    """Whether a dataset has samples by number, as PyTorch's."""
    return hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")


def _own_pipe(dataset: Dataset[Any]) -> Pipe:
    kind = type(dataset)
    if kind.__iter__ is not Dataset.__iter__:
        return Generated(dataset.__iter__)
    if is_map_style(dataset):
        return Rows(SampleTable(dataset))
    raise ArgumentError(
        f"{kind.__name__} has neither __getitem__ and __len__ nor __iter__",
        hint="define them, or begin with Dataset.from_tensor_slices or another from_...",
    )


def _with_arrays(tree: Any) -> Any:
    """A tree in which lists of numbers or texts, at any depth, have become arrays."""
    if isinstance(tree, list) and _is_plain(tree):
        texts = isinstance(dlc.tree.leaves(tree)[0], str)
        return np.asarray(tree) if texts else dlc.asarray(tree).numpy()
    if isinstance(tree, dict):
        return {key: _with_arrays(part) for key, part in tree.items()}
    if type(tree) in (tuple, list):
        return type(tree)(map(_with_arrays, tree))
    return tree


def _is_plain(tree: list[Any]) -> bool:
    return bool(tree) and all(
        _is_plain(e) if isinstance(e, list) else isinstance(e, (int, float, str)) for e in tree
    )


def _as_datasets(window: list[Any]) -> Any:
    parts, structure = columns(window)
    return dlc.tree.unflatten(structure, [Dataset._of(Listed(part)) for part in parts])
