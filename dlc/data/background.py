"""Walking ahead: in a thread of its own, and with several threads at once."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dlc.data.pipe import Pipe
from dlc.data.tables import Table
from dlc.ir.integers import at_least

_PATIENCE = 1.0  # seconds that an abandoned walk waits for its thread
_END = object()


class _Failure:
    """An error on its way to another thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Buffer:
    """A queue of bounded length that either side can end."""

    def __init__(self, size: int) -> None:
        self._items: deque[Any] = deque()
        self._size, self._stopped = size, False
        self._changed = threading.Condition()

    def put(self, item: Any) -> bool:
        """Adds an item as soon as there is room; says whether anyone still wants it."""
        with self._changed:
            while len(self._items) >= self._size and not self._stopped:
                self._changed.wait()
            if not self._stopped:
                self._items.append(item)
                self._changed.notify_all()
            return not self._stopped

    def get(self) -> Any:
        """The next item, as soon as there is one."""
        with self._changed:
            while not self._items:
                self._changed.wait()
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def stop(self) -> None:
        """Wants no more."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()


def _fill(walk: Callable[[], Iterator[Any]], buffer: _Buffer) -> None:
    try:
        elements = walk()
        for element in elements:
            if not buffer.put(element):
                break
        del elements  # what it holds is let go by the thread that walked it
        buffer.put(_END)
    except BaseException as error:  # noqa: BLE001  raised again where elements are taken
        buffer.put(_Failure(error))


def in_background(walk: Callable[[], Iterator[Any]], size: int) -> Iterator[Any]:
    """What a walk gives, walked by another thread up to `size` elements ahead."""
    buffer = _Buffer(size)
    thread = threading.Thread(target=_fill, args=(walk, buffer), name="dlc prefetch", daemon=True)
    thread.start()
    try:
        while (item := buffer.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        buffer.stop()
        if thread is not threading.current_thread():
            thread.join(_PATIENCE)


def by_threads(
    function: Callable[[Any], Any], items: Iterable[Any], threads: int, ordered: bool
) -> Iterator[Any]:
    """What a function makes of items, several at a time.

    Args:
        function: The function.
        items: Its arguments; at most twice as many as threads are taken ahead.
        threads: How many are at work.
        ordered: Whether results come in the order of the items, or as they are made.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="dlc map")
    pending: deque[Future[Any]] = deque()
    done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    count = 0
    try:
        for item in items:
            future = pool.submit(function, item)
            if ordered:
                pending.append(future)
            else:
                future.add_done_callback(done.put)
            count += 1
            if count >= 2 * threads:
                count -= 1
                yield (pending.popleft() if ordered else done.get()).result()
        for _ in range(count):
            yield (pending.popleft() if ordered else done.get()).result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class Prefetch(Pipe):
    """Elements that a thread has ready."""

    def __init__(self, parent: Pipe, size: int) -> None:
        self.parent, self._size = parent, at_least(size, 0, "buffer_size")

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def length(self) -> int:
        """That of the parent."""
        return self.parent.length()

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The elements of the parent."""
        if not self._size:
            return self.parent.walk(epoch, start)
        return in_background(lambda: self.parent.walk(epoch, start), self._size)

    def table(self) -> Table | None:
        """The table of the parent."""
        return self.parent.table()

    def rows(self, epoch: int, start: int) -> Iterator[int]:
        """The numbers of its rows, which need no thread."""
        return self.parent.rows(epoch, start)

    def spec(self) -> Any:
        """The types of the parent."""
        return self.parent.spec()
