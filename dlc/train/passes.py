"""Passes over what gives batches one by one: datasets, loaders, sequences, iterables, iterators."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dlc.data.background import by_threads
from dlc.data.dataset import Dataset, is_map_style
from dlc.data.loader import SamplesByNumber
from dlc.data.pool import by_processes
from dlc.data.samples import default_convert
from dlc.ir.errors import ArgumentError
from dlc.ir.record import dataclass

_DRAWN_ROWS = 1 << 17
_DRAWN_EPOCHS = 8
Order = Callable[[int, int], "np.ndarray[Any, Any]"]
_STRIDE = 0x9E3779B97F4A7C15F39CC0605CEDC835  # of epochs; 2**128 by the golden ratio, as NumPy's


@functools.lru_cache(16)
def shuffled(seed: int) -> Order:
    """Orders of rows: of an epoch the same for the same seed, whatever came before.

    They are kept with their generator, since to make one takes longer than to use it: each epoch
    has a place of its own among its numbers, far from the others. Where rows are few, orders are
    drawn for some epochs together, more each time that epochs follow one another: beside short
    steps, what draws them is in no cache when it is wanted.
    """
    bits = np.random.PCG64DXSM(seed)
    generator, first, lock = np.random.Generator(bits), bits.state, threading.Lock()
    drawn: dict[tuple[int, int], np.ndarray[Any, Any]] = {}
    together, end = 1, -1  # how many were drawn last, and the epoch after them

    def draw(epoch: int, samples: int) -> np.ndarray[Any, Any]:
        bits.state = first
        bits.advance(epoch * _STRIDE)
        return generator.permutation(samples)

    def order(epoch: int, samples: int) -> np.ndarray[Any, Any]:
        nonlocal together, end
        with lock:
            found = drawn.get((epoch, samples))
            if found is None:
                most = min(_DRAWN_ROWS // max(samples, 1), _DRAWN_EPOCHS)
                if most <= 1:
                    return draw(epoch, samples)
                together = min(2 * together, most) if epoch == end else 1
                end = epoch + together
                drawn.clear()
                for k in range(epoch, end):
                    drawn[k, samples] = draw(k, samples)
                    drawn[k, samples].flags.writeable = False
                found = drawn[epoch, samples]
            return found

    return order


@dataclass(frozen=True)
class Passes:
    """How batches are walked.

    name: of the class of what gives them.
    open: the batches of a pass, by its number, from one on.
    length: of a pass; None where it is not known.
    once: whether there is one pass only.
    numbered: whether the order of a pass is a function of its number, whatever came before.
    """

    name: str
    open: Callable[[int, int], Iterator[Any]]
    length: int | None
    once: bool = False
    numbered: bool = False


def passes_of(given: Any, seed: int | None = None) -> Passes:
    """The passes over something that gives batches.

    Args:
        given: Has `epoch(number, start)`, as datasets and loaders do; or batches by index and
            `on_epoch_end`, as Keras's `PyDataset`; or is iterable.
        seed: Of the order in which batches by index are taken; None for their own.

    Raises:
        ArgumentError: for something else.
    """
    name = type(given).__name__
    if isinstance(given, Dataset) and is_map_style(given):
        raise ArgumentError(
            f"a {name} gives samples, not batches", hint="give a dlc.data.DataLoader of it"
        )
    if hasattr(given, "epoch"):
        return Passes(
            name, lambda k, start: iter(given.epoch(k, start)), _length(given), False, True
        )
    if hasattr(given, "__getitem__") and hasattr(given, "on_epoch_end"):
        return Passes(name, _by_index(given, seed), _length(given), False, True)
    if not hasattr(given, "__iter__"):
        raise ArgumentError(
            f"{name} gives no batches",
            hint="give arrays, something to iterate over, or a dlc.data.DataLoader of it",
        )
    if iter(given) is given:
        return Passes(name, lambda k, start: itertools.islice(given, start, None), None, True)
    return Passes(name, lambda k, start: itertools.islice(iter(given), start, None), _length(given))


def _length(given: Any) -> int | None:
    try:
        return len(given)
    except TypeError:
        count = getattr(given, "num_batches", None)  # of Keras's PyDataset
        return count if isinstance(count, int) else None


def _by_index(given: Any, seed: int | None) -> Callable[[int, int], Iterator[Any]]:
    def walk(number: int, start: int) -> Iterator[Any]:
        length = _length(given)
        order: Any = itertools.count() if length is None else range(length)
        if length is not None and seed is not None:
            order = shuffled(seed)(number, length).tolist()
        begin = getattr(given, "on_epoch_begin", None)
        if begin is not None:
            begin()
        yield from _made(given, itertools.islice(order, start, None), number, start)
        given.on_epoch_end()

    return walk


def _made(given: Any, order: Iterator[int], epoch: int, start: int) -> Iterator[Any]:
    """Batches by index, by as many workers as the sequence says."""
    workers = getattr(given, "workers", 1)
    if workers <= 1:
        return map(given.__getitem__, order)
    if getattr(given, "use_multiprocessing", False):
        job = SamplesByNumber(given, False, default_convert)
        return by_processes(job, workers, order, epoch, start)
    return by_threads(given.__getitem__, order, workers, ordered=True)
