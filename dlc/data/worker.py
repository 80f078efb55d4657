"""What runs in a worker process, and what it says of itself."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import threading
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from typing import Any, Protocol

import numpy as np

import dlc
from dlc.data.channel import Channel
from dlc.ir.record import dataclass


class End:
    """Says that a worker's part of the data is at its end."""


class Job(Protocol):
    """What a worker does."""

    def begin(self, epoch: int) -> None:
        """A new epoch."""
        ...

    def do(self, task: Any) -> Any:
        """The result of a task; StopIteration when there are no more."""
        ...


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this process is.

    Attributes:
        id: Its number.
        num_workers: How many there are.
        seed: Another for each worker.
        dataset: Its copy of the dataset.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


@dataclass(frozen=True)
class Order:
    """What a worker is told when it starts.

    job: what it does.
    count: how many workers there are.
    seed: of its random numbers.
    init: called with the worker's number, or None.
    """

    job: Any
    count: int
    seed: int
    init: Callable[[int], Any] | None


@dataclass(frozen=True)
class Failure:
    """An error on its way to another process.

    pickled: the error; None where it cannot be pickled.
    kind, message: of the error.
    trace: the traceback, as text.
    """

    pickled: bytes | None
    kind: str
    message: str
    trace: str


_info: list[WorkerInfo] = []


def get_worker_info() -> WorkerInfo | None:
    """Which worker of a `DataLoader` this process is; None in the main process."""
    return _info[0] if _info else None


def failure_of(error: BaseException) -> Failure:
    """An error as it is sent."""
    trace = "".join(traceback.format_exception(error))
    try:
        pickled = pickle.dumps(error)
        if type(pickle.loads(pickled)) is not type(error):
            pickled = None
    except Exception:  # noqa: BLE001  whatever its class does
        pickled = None
    return Failure(pickled, type(error).__qualname__, str(error), trace)


def run_worker(connection: Any, number: int, given: Order | None, others: Iterable[Any]) -> None:
    """Does tasks until the connection is closed, or the process at its other end is gone.

    Args:
        connection: Where tasks come from and results go to.
        number: Of the worker.
        given: What it is told, where that was not sent through the connection.
        others: Connections of the other process, which a fork has copied.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process is interrupted, and ends us
    for other in others:
        other.close()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    channel = Channel(connection)
    try:
        _serve(channel, number, given)
    except (EOFError, OSError):
        return  # nobody wants more


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _serve(channel: Channel, number: int, given: Order | None) -> None:
    try:
        order: Order = channel.receive() if given is None else given
        _prepare(number, order)
    except (EOFError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  raised again in the main process
        error.add_note(f"in worker {number}, which was about to begin")
        channel.send((None, failure_of(error)))
        return
    seeds = order.seed if order.init is None else None
    while True:
        key, epoch, task_number, task = channel.receive()
        if task_number is None:
            order.job.begin(epoch)
            continue
        try:
            if seeds is not None:
                _seed(seeds, epoch, task_number)
            result = order.job.do(task)
        except StopIteration:
            result = End()
        except Exception as error:  # noqa: BLE001  raised again in the main process
            error.add_note(f"in worker {number} (process {os.getpid()})")
            result = failure_of(error)
        _send(channel, key, result)


def _send(channel: Channel, key: int, result: Any) -> None:
    try:
        channel.send((key, result))
    except (EOFError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  it could not be pickled
        error.add_note("a result of a worker cannot be sent to the main process")
        channel.send((key, failure_of(error)))


def _prepare(number: int, order: Order) -> None:
    dlc.config.num_threads = 1
    seed = order.seed + number
    _info[:] = [WorkerInfo(number, order.count, seed, getattr(order.job, "dataset", None))]
    _seed(order.seed, number, 0)
    if order.init is not None:
        order.init(number)


def _seed(*entropy: int) -> None:
    """Seeds the global generators, so that a task's numbers do not depend on who does it."""
    low, high = np.random.SeedSequence(entropy).generate_state(2).tolist()
    random.seed(high << 32 | low)
    np.random.seed(low)  # noqa: NPY002  what samples use
    dlc.random.seed(high << 32 | low)
