"""What training shows: a bar that is drawn again on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

_WIDTH = 30
_PAUSE = 0.1  # seconds between drawings


class ProgressBar:
    """The steps of an epoch with losses, metrics and the time a step.

    Args:
        steps: How many there are; None where that is not known.
        verbose: 1 for a bar, 2 for a line an epoch, 0 for nothing.
        stream: Where it goes; standard output by default.
    """

    def __init__(self, steps: int | None, verbose: int, stream: TextIO | None = None) -> None:
        self.steps, self.verbose = steps, verbose
        self.stream = stream or sys.stdout
        self.redraws = verbose == 1 and self.stream.isatty()
        self.start = self.drawn = time.perf_counter()
        self.width = 0

    def wants_update(self) -> bool:
        """Whether it is time to draw the bar again; only then need values be read."""
        if not self.redraws:
            return False
        now = time.perf_counter()
        if now - self.drawn < _PAUSE:
            return False
        self.drawn = now
        return True

    def update(self, done: int, values: Mapping[str, Any]) -> None:
        """Draws the bar."""
        self._draw(done, values, end="")

    def finish(self, done: int, values: Mapping[str, Any]) -> None:
        """Draws the last state, which stays."""
        if self.redraws:
            self._draw(done, values, end="\n")
        elif self.verbose:
            self.stream.write(self._text(done, values) + "\n")
            self.stream.flush()

    def _draw(self, done: int, values: Mapping[str, Any], end: str) -> None:
        text = self._text(done, values)
        self.stream.write("\r" + text.ljust(self.width) + end)
        self.stream.flush()
        self.width = len(text)

    def _text(self, done: int, values: Mapping[str, Any]) -> str:
        total = self.steps or done
        parts = [f"{done}/{self.steps or '?'}" if done != total else f"{done}/{total}"]
        if self.verbose == 1:
            filled = _WIDTH * done // max(total, 1)
            parts.append("[" + "#" * filled + "." * (_WIDTH - filled) + "]")
        seconds = time.perf_counter() - self.start
        parts.append(_duration(seconds))
        parts.append(f"{_duration(seconds / max(done, 1))}/step")
        parts += [f"{name}: {_number(float(value))}" for name, value in values.items()]
        return " - ".join(parts)


def _duration(seconds: float) -> str:
    if seconds >= 60:
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
    if seconds >= 1:
        return f"{seconds:.0f}s"
    return f"{1e3 * seconds:.0f}ms" if seconds >= 1e-3 else f"{1e6 * seconds:.0f}us"


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.4e}"
