"""`WorkerPool`: processes that do tasks, whose results come in the order of the tasks."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import Any

from dlc.data.channel import Channel, encode
from dlc.data.worker import End, Failure, Order, run_worker
from dlc.ir.errors import ArgumentError, WorkerError

_GRACE = 0.5  # seconds that a worker has to end by itself, and then to end when it is told to

_GUARD = (
    'put what the program does under `if __name__ == "__main__":`, or give '
    'multiprocessing_context="fork"'
)


class _Worker:
    """The main process's side of a worker."""

    def __init__(self, number: int, process: Any, channel: Channel) -> None:
        self.number, self.process, self.channel = number, process, channel
        self.active, self.pending, self.heard = True, 0, False


class WorkerPool:
    """Worker processes.

    Args:
        order: What they do.
        timeout: Seconds to wait for a result; 0 for any time.
        ahead: Tasks that a worker has at a time.
        context: How processes are started: a context or a name of `multiprocessing`. None for
            "fork" where nothing but the main thread of Python runs in this process, and
            "forkserver" (or "spawn") where that is not safe.

    Raises:
        ArgumentError: for what must be sent to the processes and cannot be pickled.
        WorkerError: when they cannot be started.
    """

    def __init__(self, order: Order, timeout: float, ahead: int, context: Any = None) -> None:
        self._timeout, self._ahead = timeout, ahead
        self._keys = itertools.count()
        self.broken = False
        self._key = -1
        self.workers: list[_Worker] = []
        self._end = weakref.finalize(self, _end_all, self.workers, os.getpid())
        if isinstance(context, str) or context is None:
            context = multiprocessing.get_context(context or start_method())
        try:
            self._start(order, context)
        except BaseException:
            self.close()
            raise

    def _start(self, order: Order, context: Any) -> None:
        forks = self._forks = context.get_start_method() == "fork"
        encoded = None if forks else _encoded(order)
        if context.get_start_method() == "forkserver":
            _preload(context)
        try:
            for number in range(order.count):
                ours, theirs = context.Pipe(duplex=True)
                opened = [w.channel.connection for w in self.workers]
                process = context.Process(
                    target=run_worker,
                    args=(theirs, number, *((order, [*opened, ours]) if forks else (None, ()))),
                    daemon=True,
                    name=f"dlc data worker {number}",
                )
                self.workers.append(_Worker(number, process, Channel(ours)))
                with _forking():
                    process.start()
                theirs.close()
                if encoded is not None:
                    self.workers[-1].channel.send_encoded(encoded)
        except (EOFError, ConnectionError) as error:
            raise WorkerError(
                f"worker processes could not be started: {type(error).__name__}", hint=_GUARD
            ) from error
        finally:
            if encoded is not None:
                encoded.close()

    def run(self, tasks: Iterable[Any], epoch: int, first: int = 0) -> Iterator[Any]:
        """The results of tasks, in their order.

        Random numbers depend on the epoch and on the number of the task, that of the first one
        being `first`. A worker for which a task is the end of its part gets no more.

        Raises:
            WorkerError: when a worker is gone, or takes too long.
            Exception: what a task raised in a worker, with the worker's traceback as a note.
        """
        key = self._key = next(self._keys)
        for worker in self.workers:
            worker.active, worker.pending = True, 0
            self._tell(worker, (key, epoch, None, None))
        waiting: deque[_Worker] = deque()
        numbered = enumerate(tasks, first)
        turn = itertools.cycle(self.workers)
        while True:
            self._feed(numbered, turn, waiting, epoch)
            if not waiting:
                return
            if key != self._key:
                raise WorkerError(
                    "the workers are at another epoch",
                    hint="with persistent_workers, only the newest iterator goes on",
                )
            worker = waiting.popleft()
            worker.pending -= 1
            result = self._receive(worker)
            if isinstance(result, Failure):
                raise _error(result)
            if isinstance(result, End):
                worker.active = False
            else:
                yield result

    def _feed(
        self,
        tasks: Iterator[tuple[int, Any]],
        turn: Iterator[_Worker],
        waiting: deque[_Worker],
        epoch: int,
    ) -> None:
        """Gives each worker as many tasks as it may have."""
        active = sum(w.active for w in self.workers)
        while active and len(waiting) < self._ahead * active:
            worker = next(w for w in turn if w.active)
            if waiting and not worker.channel.has_room():
                return
            numbered = next(tasks, None)
            if numbered is None:
                return
            self._tell(worker, (self._key, epoch, *numbered))
            worker.pending += 1
            waiting.append(worker)

    def _tell(self, worker: _Worker, message: Any) -> None:
        # That a worker is gone is found when its result is taken: others may come before it.
        with contextlib.suppress(OSError):
            worker.channel.send(message)

    def _receive(self, worker: _Worker) -> Any:
        while True:
            ready = wait([worker.channel.connection], self._timeout or None)
            if not ready:
                self.broken = True
                raise WorkerError(
                    f"worker {worker.number} (process {worker.process.pid}) gave nothing for "
                    f"{self._timeout:g} s",
                    hint="give a larger timeout, or look at what the dataset waits for",
                )
            try:
                key, result = worker.channel.receive()
            except (EOFError, OSError):
                raise self._lost(worker) from None
            worker.heard = True
            if key is None or key == self._key:
                return result

    def _lost(self, worker: _Worker) -> BaseException:
        self.broken = True
        # A worker that could not begin has said why before it ended.
        with contextlib.suppress(EOFError, OSError):
            while worker.channel.connection.poll():
                key, result = worker.channel.receive()
                if key is None:
                    return _error(result)
        worker.process.join(_GRACE)
        code = worker.process.exitcode
        how, hint = f"with exit code {code}", None if worker.heard or self._forks else _GUARD
        if code is not None and code < 0:
            names = {int(s): s.name for s in signal.Signals}
            how = f"killed by {names.get(-code, f'signal {-code}')}"
            killed = -code == signal.SIGKILL
            hint = "SIGKILL often means that the machine ran out of memory" if killed else None
        return WorkerError(
            f"worker {worker.number} (process {worker.process.pid}) ended, {how}", hint=hint
        )

    def close(self) -> None:
        """Ends the processes."""
        self._end()


def by_processes(
    job: Any, workers: int, tasks: Iterable[Any], epoch: int, first: int, context: Any = None
) -> Iterator[Any]:
    """The results of tasks by processes that end with the iteration.

    Args:
        job: What does a task; see `Job`.
        workers: How many processes there are.
        tasks: What they do.
        epoch: The number of the epoch.
        first: The number of the first task.
        context: See `WorkerPool`.
    """
    pool = WorkerPool(Order(job, workers, getattr(job, "seed", 0), None), 0, 2, context)
    try:
        yield from pool.run(tasks, epoch, first)
    finally:
        pool.close()


def start_method() -> str:
    """How worker processes are started where nobody says it."""
    alone = threading.active_count() == 1 and "cuda.bindings" not in sys.modules
    if sys.platform == "linux" and alone:
        return "fork"
    return "forkserver" if hasattr(os, "fork") else "spawn"


@contextlib.contextmanager
def _forking() -> Generator[None]:
    """Without Python's warning of native threads: dlc's are idle, and made anew after a fork."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        yield


def _preload(context: Any) -> None:
    """Has the server of forks load what workers need, unless the program has said what."""
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    if server._preload_modules == ["__main__"]:
        context.set_forkserver_preload(["__main__", "dlc.data.preloaded"])


def _encoded(order: Order) -> Any:
    try:
        return encode(order)
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as error:
        raise ArgumentError(
            f"the dataset or a function of it cannot be sent to worker processes: {error}",
            hint="define functions and classes in a module, not inside of others; or give "
            'multiprocessing_context="fork", which is safe where no other thread holds a lock',
        ) from error


def _error(failure: Failure) -> BaseException:
    """The error that a worker met, with its traceback."""
    if failure.pickled is not None:
        error = pickle.loads(failure.pickled)
    else:
        error = WorkerError(f"{failure.kind}: {failure.message}")
    error.add_note(f"In the worker:\n{failure.trace.rstrip()}")
    return error


def _end_all(workers: list[_Worker], owner: int) -> None:
    """Ends processes: by closing their connections, then by signals."""
    if os.getpid() != owner:
        return  # in a fork
    for worker in workers:
        worker.channel.connection.close()
    started = [w.process for w in workers if w.process.pid is not None]
    for end in (lambda p: None, lambda p: p.terminate(), lambda p: p.kill()):
        for process in started:
            if process.is_alive():
                end(process)
        _join(started)
    workers.clear()


def _join(processes: list[Any]) -> None:
    alive = {p.sentinel: p for p in processes if p.is_alive()}
    if alive:
        wait(list(alive), _GRACE)
    for process in processes:
        process.join(0.05 if process.is_alive() else None)
