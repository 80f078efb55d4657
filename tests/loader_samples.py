"""Datasets that worker processes can import."""

from __future__ import annotations

import os
import random
import time

import numpy as np

import dlc
from dlc.data import IterableDataset, PyDataset, get_worker_info


class Samples:
    """In PyTorch's way, without a base class."""

    def __init__(self, count=20, width=3):
        self.data = np.arange(count * width, dtype=np.float32).reshape(count, width)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, k):
        return self.data[k], k


class Noisy(Samples):
    def __getitem__(self, k):
        numbers = [random.random(), np.random.random()]  # noqa: NPY002  as samples do
        numbers.append(dlc.random.uniform(None).item())
        return np.asarray(numbers), k


class Where(Samples):
    def __getitem__(self, k):
        info = get_worker_info()
        assert info.dataset is self
        return info.id, info.num_workers, info.seed, os.getpid(), dlc.config.num_threads


class Parts(IterableDataset):
    def __init__(self, counts):
        self.counts = counts

    def __iter__(self):
        info = get_worker_info()
        mine = range(len(self.counts)) if info is None else [info.id]
        for part in mine:
            for k in range(self.counts[part]):
                yield part, k


class TwoArgumentsError(Exception):
    """Cannot be made again of its `args`."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class Bad(Samples):
    def __init__(self, kind, at=13):
        super().__init__()
        self.kind, self.at = kind, at

    def __getitem__(self, k):
        if k == self.at:
            if self.kind == "key":
                raise KeyError("no such sample")
            if self.kind == "two":
                raise TwoArgumentsError(1, 2)
            if self.kind == "shape":
                return np.zeros(5), k
            if self.kind == "unpicklable":
                return lambda: None
            if self.kind == "stop":
                raise StopIteration
            if self.kind == "kill":
                os.kill(os.getpid(), 9)
            if self.kind == "signal":
                os.kill(os.getpid(), 40)  # one that has no name
            if self.kind == "exit":
                os._exit(3)
            if self.kind == "slow":
                time.sleep(30)
        return super().__getitem__(k)


class Unopened(IterableDataset):
    """Cannot begin: an OSError, as of a file that there is not, or what is no iterator."""

    def __init__(self, kind):
        self.kind = kind

    def __iter__(self):
        if self.kind == "error":
            raise OSError("no such file")
        if self.kind == "stop":
            raise StopIteration
        return [1, 2]


class Unloadable(Samples):
    def __setstate__(self, state):
        raise RuntimeError("cannot be loaded")


def pairs(batch):
    """A collate function."""
    return [k for _, k in batch], get_worker_info() is not None


def unsendable(batch):
    """A collate function whose result cannot be pickled."""
    return lambda: batch


def stopping(batch):
    """A collate function that comes to the end of something else."""
    return next(iter(())) if batch[-1][1] in (5, 14) else batch


def stopping_at(k):
    """The same as a function of an element."""
    return stopping([(k, k + 1)])


def refuse(number):
    """A worker_init_fn."""
    raise ValueError(f"worker {number} does not want to")


def squared(k, rng):
    """A function of an element."""
    return k * k, rng.random(), os.getpid()


def five(k):
    """Fails."""
    if k == 5:
        raise KeyError("five")
    return k


class Batches(PyDataset):
    """Batches by index."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.seen = []

    def __len__(self):
        return 5

    def __getitem__(self, k):
        return np.full((1, 2), 2 * k, np.float32), np.full(1, k)

    def on_epoch_begin(self):
        self.seen.append("begin")

    def on_epoch_end(self):
        self.seen.append("end")
