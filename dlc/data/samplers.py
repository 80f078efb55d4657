"""Samplers: in which order samples are taken, with PyTorch's names.

A sampler's order is a function of its seed and of the number of the epoch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from dlc.data.selection import fresh_seed
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.ir.integers import at_least


def seed_of(generator: Any) -> int:
    """The seed that PyTorch's argument `generator` stands for.

    Args:
        generator: A seed, a `numpy.random.Generator` from which one is drawn, or None for one
            from `dlc.random`'s global generator.

    Raises:
        ArgumentError: for anything else.
        ValueRangeError: for a negative seed.
    """
    if generator is None:
        return fresh_seed()
    if isinstance(generator, np.random.Generator):
        return int(generator.integers(1 << 62))
    if isinstance(generator, (int, np.integer)):
        return at_least(generator, 0, "seed")
    raise ArgumentError(
        f"generator is a {type(generator).__name__}", hint="give a seed or a numpy.random.Generator"
    )


class Sampler:
    """Numbers of samples; the base of your own, which define `__iter__` or `epoch`.

    Iterating is the epoch with the next number.

    Example:
        >>> class Backwards(dlc.data.Sampler):
        ...     def epoch(self, number):
        ...         return iter([2, 1, 0])
        >>> rows = dlc.data.TensorDataset(np.arange(3))
        >>> [k.item() for (k,) in dlc.data.DataLoader(rows, sampler=Backwards())]
        [2, 1, 0]
    """

    _epochs = 0

    def epoch(self, number: int) -> Iterator[Any]:
        """The numbers of an epoch."""
        raise NotImplementedError(f"{type(self).__name__} has neither __iter__ nor epoch")

    def __iter__(self) -> Iterator[Any]:
        self._epochs += 1
        return self.epoch(self._epochs - 1)


class SequentialSampler(Sampler):
    """All in order: 0, 1, ... up to the length of `data_source`."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def epoch(self, number: int) -> Iterator[int]:
        """0, 1, 2, ..."""
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """All in random order, another one in each epoch.

    Args:
        data_source: What has a length.
        replacement: Whether each is drawn from all.
        num_samples: How many are drawn; as many as there are for None.
        generator: A seed, or a `numpy.random.Generator`.

    Example:
        >>> sampler = dlc.data.RandomSampler(range(4), generator=0)
        >>> sorted(sampler), len(sampler)
        ([0, 1, 2, 3], 4)
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        self.data_source, self.replacement = data_source, replacement
        self.seed = seed_of(generator)
        self._count = None if num_samples is None else at_least(num_samples, 1, "num_samples")

    def epoch(self, number: int) -> Iterator[int]:
        """The numbers of an epoch."""
        rng, available = np.random.default_rng([self.seed, number]), len(self.data_source)
        count = len(self)
        if self.replacement:
            return iter(rng.integers(available, size=count).tolist())
        if not available:
            return iter(())
        passes = (rng.permutation(available).tolist() for _ in range(-(-count // available)))
        return itertools.islice(itertools.chain.from_iterable(passes), count)

    def __len__(self) -> int:
        return len(self.data_source) if self._count is None else self._count


class SubsetRandomSampler(Sampler):
    """Given numbers in random order.

    Args:
        indices: The numbers of samples.
        generator: A seed, or a `numpy.random.Generator`.
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices, self.seed = indices, seed_of(generator)

    def epoch(self, number: int) -> Iterator[int]:
        """The numbers of an epoch."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.indices))
        return (self.indices[k] for k in order.tolist())

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Numbers that are drawn with probabilities.

    Args:
        weights: Of each sample; their sum need not be 1.
        num_samples: How many are drawn.
        replacement: Whether each is drawn from all.
        generator: A seed, or a `numpy.random.Generator`.

    Raises:
        ValueRangeError: for weights that are negative or none, and for more samples than there are
            without replacement.

    Example:
        >>> list(dlc.data.WeightedRandomSampler([0.0, 2.0], num_samples=3))
        [1, 1, 1]
    """

    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        self.weights = np.asarray(weights, np.float64)
        self.num_samples = at_least(num_samples, 1, "num_samples")
        self.replacement, self.seed = replacement, seed_of(generator)
        total = self.weights.sum()
        if self.weights.ndim != 1 or not (self.weights >= 0).all() or not 0 < total < math.inf:
            raise ValueRangeError("weights are a row of numbers of at least 0, not all 0")
        if not replacement and num_samples > np.count_nonzero(self.weights):
            raise ValueRangeError(
                f"{num_samples} of {np.count_nonzero(self.weights)} samples without replacement"
            )

    def epoch(self, number: int) -> Iterator[int]:
        """The numbers of an epoch."""
        rng = np.random.default_rng([self.seed, number])
        shares = self.weights / self.weights.sum()
        found = rng.choice(len(shares), self.num_samples, self.replacement, shares)
        return iter(found.tolist())

    def __len__(self) -> int:
        return self.num_samples


class DistributedSampler(Sampler):
    """The part of one of several processes.

    Args:
        dataset: What has a length.
        num_replicas: How many processes there are.
        rank: The number of this one.
        shuffle: Whether the order is random.
        seed: Of the order; the same in all processes.
        drop_last: Whether what does not divide evenly is left out; else some samples come twice.

    The number of the epoch is that of the loader, or of `set_epoch`.

    Raises:
        ValueRangeError: for a rank that there is not.

    Example:
        >>> list(dlc.data.DistributedSampler(range(5), 2, rank=1, shuffle=False))
        [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int,
        rank: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.dataset, self.shuffle, self.seed = dataset, shuffle, at_least(seed, 0, "seed")
        self.num_replicas = at_least(num_replicas, 1, "num_replicas")
        self.rank = at_least(rank, 0, "rank")
        if rank >= num_replicas:
            raise ValueRangeError(f"rank={rank} of {num_replicas}: less than their number")
        rounded = math.floor if drop_last else math.ceil
        self.num_samples = rounded(len(dataset) / num_replicas)
        self._set: int | None = None

    def set_epoch(self, epoch: int) -> None:
        """Decides on the order, whatever the number of the loader's epoch."""
        self._set = epoch

    def epoch(self, number: int) -> Iterator[int]:
        """The numbers of an epoch."""
        length = len(self.dataset)
        order = list(range(length))
        if self.shuffle:
            at = number if self._set is None else self._set
            order = np.random.default_rng([self.seed, at]).permutation(length).tolist()
        total = self.num_samples * self.num_replicas
        whole = itertools.islice(itertools.cycle(order), total)
        return itertools.islice(whole, self.rank, total, self.num_replicas)

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of the numbers that a sampler gives.

    Args:
        sampler: Where they come from.
        batch_size: Numbers of a list.
        drop_last: Whether a last list of fewer is left out.

    Example:
        >>> list(dlc.data.BatchSampler(range(5), batch_size=2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler, self.drop_last = sampler, drop_last
        self.batch_size = at_least(batch_size, 1, "batch_size")

    def epoch(self, number: int) -> Iterator[list[int]]:
        """The lists of an epoch."""
        numbers = order_of(self.sampler, number)
        while batch := list(itertools.islice(numbers, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def order_of(sampler: Iterable[Any], number: int) -> Iterator[Any]:
    """What a sampler gives in an epoch; one with an `__iter__` of its own is begun again."""
    own = isinstance(sampler, Sampler) and type(sampler).__iter__ is Sampler.__iter__
    return sampler.epoch(number) if own else iter(sampler)  # type: ignore[union-attr]
