"""A line on the terminal while something takes long; nothing at all while it does not."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self

from dlc.ir.config import config

DELAY = 2.0  # seconds before the line appears
_INTERVAL = 0.25


def _on_terminal() -> bool:
    """Whether standard error is a terminal; it may also be missing, closed, or a notebook's."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


class Progress:
    """Shows how far a long piece of work is, on standard error if that is a terminal.

    Args:
        title: What is going on.
        total: How many steps there are; `advance` counts them.

    Example:
        >>> with Progress("compiling", total=3) as progress:
        ...     progress.advance(3)
    """

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, total, 0
        self.start = time.perf_counter()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if total and config.progress and _on_terminal():
            self._thread = threading.Thread(target=self._show, name="dlc progress", daemon=True)
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def advance(self, steps: int) -> None:
        """So many steps more are done."""
        self.done += steps

    def line(self) -> str:
        """What is shown."""
        seconds = time.perf_counter() - self.start
        return f"{self.title}: {self.done} of {self.total}, {seconds:.0f} s"

    def _show(self) -> None:
        """Writes the line until the work ends, then removes it."""
        width = 0
        wait = DELAY
        while not self._stop.wait(wait):
            wait = _INTERVAL
            text = self.line()
            sys.stderr.write("\r" + text.ljust(width))
            sys.stderr.flush()
            width = len(text)
        if width:
            sys.stderr.write("\r" + " " * width + "\r")
            sys.stderr.flush()
