"""Log topics: the loggers `dlc.compile`, `dlc.cache` and so on, and their way to standard error.

`logging` is loaded when somebody wants records: a topic is chosen, or the program has loaded it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING

from dlc.ir.deferred import deferred

if TYPE_CHECKING:
    from dlc.ir import log_handler
else:
    log_handler = deferred("dlc.ir.log_handler")

LOG_TOPICS = ("compile", "recompiles", "cache", "fusion", "code")


class TopicLog:
    """The logger of one topic, for dlc's own records.

    Args:
        topic: One of `LOG_TOPICS`.
    """

    def __init__(self, topic: str) -> None:
        self.name = f"dlc.{topic}"

    def watched(self) -> bool:
        """Whether records of every level are wanted."""
        return "logging" in sys.modules and log_handler.watched(self.name)

    def debug(self, message: str, *args: object) -> None:
        """A record for those who look for something."""
        self._log("debug", message, args)

    def info(self, message: str, *args: object) -> None:
        """A record of what happened."""
        self._log("info", message, args)

    def warning(self, message: str, *args: object) -> None:
        """A record of what went wrong."""
        self._log("warning", message, args)

    def _log(self, level: str, message: str, args: tuple[object, ...]) -> None:
        if "logging" in sys.modules:  # else no handler can exist
            log_handler.log(self.name, level, message, args)


def choose_by(topics: Callable[[], frozenset[str]]) -> None:
    """Say what gives the topics that are chosen for the calling thread."""
    _choice.append(topics)
    if "logging" in sys.modules:
        log_handler.install()


def chosen() -> frozenset[str]:
    """The topics that are chosen for the calling thread."""
    return _choice[-1]() if _choice else frozenset()


_choice: list[Callable[[], frozenset[str]]] = []


def watch(topics: Iterable[str]) -> None:
    """Let the loggers of these topics pass records of every level, until as many `unwatch`."""
    if topics:
        log_handler.watch(topics)


def unwatch(topics: Iterable[str]) -> None:
    """Undo one `watch` of these topics."""
    if topics:
        log_handler.unwatch(topics)


@contextlib.contextmanager
def watching(topics: Iterable[str]) -> Generator[None]:
    """Watch these topics inside a `with`."""
    watch(topics)
    try:
        yield
    finally:
        unwatch(topics)
