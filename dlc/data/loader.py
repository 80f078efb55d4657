"""`DataLoader`: batches of the samples of a dataset, with worker processes; PyTorch's defaults."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dlc.data.dataset import Dataset, is_map_style
from dlc.data.elements import told
from dlc.data.pool import WorkerPool
from dlc.data.samplers import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    order_of,
    seed_of,
)
from dlc.data.samples import default_collate, default_convert, gather_of
from dlc.data.tables import sample_of
from dlc.data.worker import Order
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.ir.integers import at_least


class DataLoader:
    """Batches of the samples of a dataset.

    Args:
        dataset: With samples by number (`__getitem__` and `__len__`), or iterable.
        batch_size: Samples of a batch; None for samples as they are.
        shuffle: Whether samples are in another order in each epoch.
        sampler: Gives the numbers of samples, instead of `shuffle`.
        batch_sampler: Gives lists of numbers, instead of all that is said of batches.
        num_workers: How many processes make batches; 0 for the main process.
        collate_fn: Makes a batch of a list of samples; `default_collate` for None.
        pin_memory: Of no effect.
        drop_last: Whether a last batch of fewer samples is left out.
        timeout: Seconds to wait for a batch of a worker; 0 for any time.
        worker_init_fn: Called in each worker with its number. Without one, the global generators of
            `random`, NumPy and dlc are seeded for each batch by `seed`, so that what they give does
            not depend on the number of workers.
        multiprocessing_context: A context of `multiprocessing`, or its name. None for "fork" where
            the main thread is the only one of Python's, "forkserver" otherwise.
        generator: A seed, or a `numpy.random.Generator`.
        prefetch_factor: Batches that each worker has ready; 2 for None.
        persistent_workers: Whether workers live from epoch to epoch.
        seed: The same as `generator`.

    Each loop over it is an epoch with the next number; orders are functions of the seed and of this
    number, so that `loader.epoch(3, start=20)` gives the batches of the fourth loop from batch 20
    on.

    Raises:
        ArgumentError: for arguments that exclude each other.
        ValueRangeError: for numbers that are too small.
        WorkerError: while iterating, when a worker is gone.

    Example:
        >>> data = dlc.data.TensorDataset(np.arange(10.0), np.arange(10))
        >>> [y.shape[0] for x, y in dlc.data.DataLoader(data, batch_size=4, shuffle=True)]
        [4, 4, 2]
    """

    def __init__(  # noqa: PLR0913, PLR0917  PyTorch's arguments
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        seed: int | None = None,
    ) -> None:
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.num_workers = at_least(num_workers, 0, "num_workers")
        if timeout < 0:
            raise ValueRangeError(f"timeout={timeout}: at least 0")
        if not num_workers and (prefetch_factor is not None or persistent_workers or timeout):
            raise ArgumentError(
                "prefetch_factor, persistent_workers and timeout without workers",
                hint="give num_workers",
            )
        self.seed = seed_of(generator if seed is None else seed)
        ahead = 2 if prefetch_factor is None else at_least(prefetch_factor, 1, "prefetch_factor")
        self.prefetch_factor, self.persistent_workers = ahead, persistent_workers
        self.worker_init_fn, self.timeout = worker_init_fn, timeout
        self.multiprocessing_context, self.pin_memory = multiprocessing_context, pin_memory
        self._epochs = 0
        self._pool: WorkerPool | None = None
        self.sampler: Any = sampler
        self.batch_sampler: Any = batch_sampler
        if is_map_style(dataset):
            self._choose_order(bool(shuffle), sampler, batch_sampler)
        else:
            self._check_iterable(bool(shuffle), sampler, batch_sampler)
        batched = self.batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)

    def _choose_order(self, shuffle: bool, sampler: Any, batch_sampler: Any) -> None:
        if sampler is not None and shuffle:
            raise ArgumentError("a sampler, and shuffle=True beside it")
        if batch_sampler is not None:
            if self.batch_size != 1 or shuffle or sampler is not None or self.drop_last:
                raise ArgumentError(
                    "a batch_sampler, and batch_size, shuffle, sampler or drop_last beside it"
                )
            self.batch_size = None
            return
        if shuffle:
            self.sampler = RandomSampler(self.dataset, generator=self.seed)
        elif sampler is None:
            self.sampler = SequentialSampler(self.dataset)
        if self.batch_size is not None:
            self.batch_sampler = BatchSampler(self.sampler, self.batch_size, self.drop_last)
        elif self.drop_last:
            raise ArgumentError("drop_last without batches")

    def _check_iterable(self, shuffle: bool, sampler: Any, batch_sampler: Any) -> None:
        kind = type(self.dataset).__name__
        if not hasattr(self.dataset, "__iter__"):
            raise ArgumentError(
                f"a {kind} has neither __getitem__ and __len__ nor __iter__: no dataset"
            )
        if shuffle or sampler is not None or batch_sampler is not None:
            raise ArgumentError(
                f"a {kind} gives samples in its own order: no shuffle and no samplers",
                hint="shuffle in the dataset",
            )
        if self.num_workers and _is_pipeline(self.dataset):
            raise ArgumentError(
                "a pipeline has workers of its own", hint="use map(..., num_parallel_calls=n)"
            )
        if self.batch_size is not None:
            at_least(self.batch_size, 1, "batch_size")

    def __len__(self) -> int:
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        if order is not None:
            return len(order)
        count = len(self.dataset)
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        number, self._epochs = self._epochs, self._epochs + 1
        return self.epoch(number)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch, from batch `start` on."""
        return self._batches(at_least(number, 0, "epoch"), at_least(start, 0, "start"))

    def _batches(self, number: int, start: int) -> Iterator[Any]:
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        walk = self._by_workers if self.num_workers else self._here
        if order is None:
            yield from itertools.islice(walk(itertools.repeat(None), number, 0), start, None)
        else:
            tasks = itertools.islice(order_of(order, number), start, None)
            yield from walk(tasks, number, start)

    def _job(self) -> SamplesByNumber | SamplesInOrder:
        if self.sampler is None and self.batch_sampler is None:
            return SamplesInOrder(self.dataset, self.batch_size, self.drop_last, self.collate_fn)
        return SamplesByNumber(self.dataset, self.batch_sampler is not None, self.collate_fn)

    def _here(self, tasks: Iterable[Any], number: int, first: int) -> Iterator[Any]:
        job = self._job()
        job.begin(number)
        for task in tasks:
            try:
                batch = job.do(task)
            except StopIteration:
                return
            yield batch

    def _by_workers(self, tasks: Iterable[Any], number: int, first: int) -> Iterator[Any]:
        pool = self._pool
        if pool is None:
            order = Order(self._job(), self.num_workers, self.seed, self.worker_init_fn)
            pool = WorkerPool(
                order, self.timeout, self.prefetch_factor, self.multiprocessing_context
            )
            self._pool = pool if self.persistent_workers else None
        try:
            yield from pool.run(tasks, number, first)
        finally:
            if not self.persistent_workers or pool.broken:
                pool.close()
                self._pool = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}


def _is_pipeline(dataset: Any) -> bool:
    return type(dataset) is Dataset


class SamplesByNumber:
    """Makes batches of samples by number.

    Args:
        dataset: The samples.
        batched: Whether a task is a list of numbers, or one.
        collate: Makes a batch of a list, or something of one sample.
    """

    def __init__(self, dataset: Any, batched: bool, collate: Callable[[Any], Any]) -> None:
        self.dataset, self._batched, self._collate = dataset, batched, collate

    def begin(self, epoch: int) -> None:
        """Nothing changes."""

    def do(self, task: Any) -> Any:
        """A batch."""
        if not self._batched:
            return told_of(self._collate, sample_of(self.dataset, task), f"sample {task}")
        if self._collate is default_collate:
            gather = gather_of(self.dataset)
            if gather is not None and len(task):
                return gather(task)
        if hasattr(self.dataset, "__getitems__"):
            samples = told_of(self.dataset.__getitems__, task, f"samples {_shown(task)}")
        else:
            samples = [sample_of(self.dataset, number) for number in task]
        return told_of(self._collate, samples, f"the batch of samples {_shown(task)}")


def told_of(function: Callable[[Any], Any], given: Any, where: str) -> Any:
    """What a user's function makes of something; its error says where it was raised."""
    try:
        return function(given)
    except Exception as error:
        told(error, f"in {where}")
        raise


def _shown(task: Any) -> str:
    numbers = list(task)
    return f"{numbers[:8]}"[:-1] + (", ...]" if len(numbers) > 8 else "]")


class SamplesInOrder:
    """Makes batches of the samples of an iterable dataset."""

    def __init__(
        self, dataset: Any, size: int | None, drop: bool, collate: Callable[[Any], Any]
    ) -> None:
        self.dataset, self._size, self._drop, self._collate = dataset, size, drop, collate
        self._samples: Iterator[Any] | None = None
        self._epoch = self._count = 0

    def begin(self, epoch: int) -> None:
        """Has the next batch, which can say what goes wrong, begin to iterate."""
        self._samples, self._epoch, self._count = None, epoch, 0

    def _begun(self, epoch: int) -> Iterator[Any]:
        return self.dataset.epoch(epoch) if _is_pipeline(self.dataset) else iter(self.dataset)

    def do(self, task: Any) -> Any:
        """The next batch."""
        walk = self._samples
        if walk is None:
            where = f"__iter__ of the {type(self.dataset).__name__}"
            walk = self._samples = told_of(self._begun, self._epoch, where)
        where = f"a batch after sample {self._count} of the dataset"
        count = self._size or 1
        samples = told_of(list, itertools.islice(walk, count), where)
        if len(samples) < (count if self._drop else 1):
            raise StopIteration
        self._count += len(samples)
        return told_of(self._collate, samples[0] if self._size is None else samples, where)
