"""The part of `dlc.ir.logs` that needs `logging`: the handler and the levels of loggers."""

from __future__ import annotations

import collections
import functools
import logging
import sys
import threading
from collections.abc import Iterable

from dlc.ir import logs

_lock = threading.Lock()
_watchers: collections.Counter[str] = collections.Counter()


class TopicHandler(logging.Handler):
    """Writes the records of the chosen topics to standard error, and drops all others."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record to the standard error of this moment."""
        _, _, rest = record.name.partition("dlc.")
        if rest.partition(".")[0] not in logs.chosen():
            return
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as in the standard handlers, logging never raises
            self.handleError(record)


@functools.cache
def install() -> None:
    """Give the loggers their handler, once."""
    logging.getLogger("dlc").addHandler(TopicHandler())


def watched(name: str) -> bool:
    """Whether a logger passes records of every level."""
    install()
    return logging.getLogger(name).isEnabledFor(logging.DEBUG)


def log(name: str, level: str, message: str, args: tuple[object, ...]) -> None:
    """Log one record, as from the caller of a method of `TopicLog`."""
    install()
    number: int = getattr(logging, level.upper())
    logging.getLogger(name).log(number, message, *args, stacklevel=4)


def watch(topics: Iterable[str]) -> None:
    """Let the loggers of these topics pass records of every level, until as many `unwatch`."""
    install()
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
