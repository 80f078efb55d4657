"""What training shows: a bar that is drawn again on a terminal or in a notebook, else plain lines.

This is code of its own, not tqdm or rich, because `fit` must show progress where only dlc's own
requirements are installed, and because a drawing has to be cheap beside steps of a millisecond.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from dlc.ir.config import config

_BAR = 20  # characters, where there is room
_PAUSE = 0.1  # seconds between drawings
_PLAIN_PAUSE = 30.0  # between lines of one epoch where there is no terminal


class ProgressBar:
    """The steps of an epoch with losses, metrics, the time a step and the time that is left.

    Args:
        steps: How many there are; None where that is not known.
        verbose: 1 for a bar, if `config.progress` allows one, 2 for a line an epoch, 0 for nothing.
        stream: Where it goes; standard output by default.
    """

    def __init__(self, steps: int | None, verbose: int, stream: TextIO | None = None) -> None:
        self.steps, self.verbose = steps, verbose
        self.stream = stream or sys.stdout
        redrawn = _is_terminal(self.stream) or _is_notebook(self.stream)
        self.in_place = verbose == 1 and config.progress and redrawn
        self.start = self.drawn = time.perf_counter()
        self._pause = _PAUSE if self.in_place else _PLAIN_PAUSE
        self._steps = 0  # that were done with this bar
        self._first: tuple[float, int] | None = None  # when the first were done, and how many
        self._width = 0
        self.samples: int | None = None  # of a step, once that is known

    def wants_update(self, steps: int = 1) -> bool:
        """Whether it is time to show it again, after steps; only then need values be read."""
        if self.verbose != 1:
            return False
        now = time.perf_counter()
        self._steps += steps
        if self._first is None:
            self._first = now, steps
        if now - self.drawn < self._pause:
            return False
        self.drawn = now
        return True

    def update(self, done: int, values: Mapping[str, Any]) -> None:
        """Shows how far it is."""
        if self.in_place:
            self._draw(self._line(done, values, time.perf_counter()), end="")
        else:
            self._write(self._plain(done, values, time.perf_counter()))

    def finish(self, done: int, values: Mapping[str, Any]) -> None:
        """Shows the last state, which stays."""
        if self.in_place:
            self._draw(self._line(done, values, time.perf_counter(), at_end=True), end="\n")
        elif self.verbose:
            self._write(self._plain(done, values, time.perf_counter()))

    def _write(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()

    def _draw(self, text: str, end: str) -> None:
        self.stream.write("\r" + text.ljust(self._width) + end)
        self.stream.flush()
        self._width = len(text)

    def _plain(self, done: int, values: Mapping[str, Any], now: float) -> str:
        parts = [_count(done, self.steps), _duration(now - self.start)]
        return " - ".join([*parts, self._pace(self._a_step(done, now)), *_shown(values)])

    def _line(self, done: int, values: Mapping[str, Any], now: float, at_end: bool = False) -> str:
        """A line for the width of the terminal: the bar gets shorter, then the end is left out."""
        total, width = self.steps, _columns(self.stream)
        step = self._a_step(done, now)
        left = None if at_end or not total else step * max(total - done, 0)
        passed = f"{_duration(now - self.start)}" if left is None else f"{_duration(left)} left"
        before = _count(done, total)
        after = " - ".join([f"{passed} {self._pace(step)}", *_shown(values)])
        room = width - 1 - len(before) - len(after) - 2
        bar = _bar(done, total, max(min(room, _BAR), 5), self._signs(), at_end)
        line = f"{before} {bar} {after}"
        return line if len(line) < width else line[: width - 2] + "~"

    def _pace(self, step: float) -> str:
        """The time of a step, and the samples a second if it is known how many a step has."""
        rate = f" {self.samples / step:,.0f} samples/s" if self.samples and step > 0 else ""
        return f"{_duration(step)}/step{rate}"

    def _a_step(self, done: int, now: float) -> float:
        """The time of a step, of those after the first one, which may have been compiled."""
        if self._first is not None and self._steps > self._first[1]:
            return (now - self._first[0]) / (self._steps - self._first[1])
        return (now - self.start) / max(done, 1)

    def _signs(self) -> str:
        """Of what is done and what is not, in what the stream can encode."""
        try:
            "━╌".encode(getattr(self.stream, "encoding", None) or "ascii")
        except (UnicodeEncodeError, LookupError):
            return "#."
        return "━╌"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def _is_notebook(stream: TextIO) -> bool:
    """Whether a stream is shown in a notebook's page, where a line can be drawn again."""
    return type(stream).__module__.partition(".")[0] in ("ipykernel", "google")


def _columns(stream: TextIO) -> int:
    return shutil.get_terminal_size((80, 24)).columns if _is_terminal(stream) else 100


def _count(done: int, total: int | None) -> str:
    shown = str(total or "?") if done != total else str(total)
    return f"{done:>{len(shown)}}/{shown}"


def _bar(done: int, total: int | None, width: int, signs: str, at_end: bool) -> str:
    filled = width if at_end else width * done // total if total else 0
    filled = min(filled, width)
    return signs[0] * filled + signs[1] * (width - filled)


def _shown(values: Mapping[str, Any]) -> Sequence[str]:
    return [f"{name}: {_number(float(value))}" for name, value in values.items()]


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d}"
    if seconds >= 60:
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
    if seconds >= 1:
        return f"{seconds:.0f}s" if seconds >= 10 else f"{seconds:.1f}s"
    return f"{1e3 * seconds:.0f}ms" if seconds >= 1e-3 else f"{1e6 * seconds:.0f}us"


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.4e}"
