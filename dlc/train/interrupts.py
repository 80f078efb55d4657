"""`Interrupts`: Ctrl-C comes between the steps of training, so that a step is made whole or not."""

from __future__ import annotations

import importlib
import signal
from types import FrameType, TracebackType
from typing import Any, Self

# What `signal` is made of, without the conversions to enums and back: they take longer than all
# the rest.
_signal: Any = importlib.import_module("_signal")


class Interrupts:
    """A context in which KeyboardInterrupt waits while `inside` is set, until `leave()`.

    The second Ctrl-C does not wait. Where a program handles Ctrl-C itself, or outside of the main
    thread, it changes nothing.
    """

    def __init__(self) -> None:
        self.inside = self.pending = self._installed = False

    def __enter__(self) -> Self:
        if _signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            try:
                _signal.signal(signal.SIGINT, self._handle)
            except ValueError:  # of other threads than the main one
                return self
            self._installed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._installed:
            _signal.signal(signal.SIGINT, signal.default_int_handler)
            self._installed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.pending or not self.inside:
            raise KeyboardInterrupt
        self.pending = True

    def leave(self) -> None:
        """Ends what was `inside`; raises KeyboardInterrupt if one came meanwhile."""
        self.inside = False
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt
