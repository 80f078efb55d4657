"""Log topics: the loggers `dlc.compile`, `dlc.cache` and so on, and their way to standard error."""

from __future__ import annotations

import collections
import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Generator, Iterable

LOG_TOPICS = ("compile", "recompiles", "cache", "fusion", "code")

_lock = threading.Lock()
_watchers: collections.Counter[str] = collections.Counter()


class TopicHandler(logging.Handler):
    """Writes the records of the chosen topics to standard error, and drops all others.

    Args:
        topics: Gives the topics chosen for the calling thread.
    """

    def __init__(self, topics: Callable[[], frozenset[str]]) -> None:
        super().__init__()
        self.topics = topics
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record to the standard error of this moment."""
        _, _, rest = record.name.partition("dlc.")
        if rest.partition(".")[0] not in self.topics():
            return
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as in the standard handlers, logging never raises
            self.handleError(record)


def watch(topics: Iterable[str]) -> None:
    """Let the loggers of these topics pass records of every level, until as many `unwatch`."""
    with _lock:
        for topic in topics:
            _watchers[topic] += 1
            logging.getLogger(f"dlc.{topic}").setLevel(logging.DEBUG)


def unwatch(topics: Iterable[str]) -> None:
    """Undo one `watch` of these topics."""
    with _lock:
        for topic in topics:
            _watchers[topic] -= 1
            if not _watchers[topic]:
                logging.getLogger(f"dlc.{topic}").setLevel(logging.NOTSET)


@contextlib.contextmanager
def watching(topics: Iterable[str]) -> Generator[None]:
    """Watch these topics inside a `with`."""
    watch(topics)
    try:
        yield
    finally:
        unwatch(topics)
