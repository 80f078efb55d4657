"""`LivePage`: a page that shows how training goes, in a browser and without a server."""

from __future__ import annotations

import html
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlc.callbacks import page_text
from dlc.callbacks.base import Callback, Logs
from dlc.callbacks.curves import Curve, Samples, chart, number
from dlc.ir.config import config
from dlc.ir.cpus import available_cpus
from dlc.ir.version import __version__
from dlc.runtime.files import write_whole

_ROWS = 200  # of the table: the last epochs


class LivePage(Callback):
    """Writes an HTML page that loads itself again while training goes on.

    Open it in a browser as a file: it has curves of loss and metrics for training and validation,
    how far training is, its rate, the time that is left, the learning rate, facts of the machine,
    and a table of epochs. The page needs nothing beside itself and is written as a whole.

    Args:
        path: The file.
        title: What stands above; the model's class by default.
        every: Seconds between writings, at least.

    Example:
        >>> page = dlc.callbacks.LivePage("run.html", title="My run")
        >>> page.on_train_begin()
        >>> page.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.75})
        >>> page.on_train_end()
    """

    kept = ("_rows", "_epochs", "_first_epoch")

    def __init__(
        self, path: str | os.PathLike[str], title: str | None = None, every: float = 1.0
    ) -> None:
        super().__init__()
        self.path, self.title, self.every = Path(path), title, every
        self._begin()

    def _begin(self) -> None:
        self._started, self._written = time.time(), 0.0
        self._clock = time.perf_counter()
        self._steps = self._epoch = self._epoch_steps = 0
        self._state = "running"
        self._first_epoch: int | None = None
        self._batches: dict[str, Samples] = {}
        self._epochs: dict[str, list[tuple[float, float]]] = {}
        self._rows: list[tuple[int, float, dict[str, float]]] = []
        self._epoch_began = self._rate_clock = self._clock
        self._rate_steps = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begins a page."""
        self._begin()
        self._write()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Counts steps anew."""
        if self._first_epoch is None:
            self._first_epoch = epoch
        self._epoch, self._epoch_steps = epoch, 0
        self._epoch_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Keeps the numbers; the page is written when the last writing is long enough ago."""
        first = not self._steps
        self._steps += self._steps_done(batch)
        self._epoch_steps = batch + 1
        if first:  # what follows is without the time of compiling
            self._rate_clock, self._rate_steps = time.perf_counter(), self._steps
        total = self.params.get("steps")
        place = self._epoch + ((batch + 1) / total if total else 0.0)
        for name, value in (logs or {}).items():
            if name not in self._batches:
                self._batches[name] = Samples()
            self._batches[name].add(place if total else self._steps, value)
        if time.perf_counter() - self._written >= self.every:
            self._write()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keeps the numbers of the epoch."""
        held = {n: float(v) for n, v in (logs or {}).items()}
        for name, value in held.items():
            self._epochs.setdefault(name, []).append((epoch + 1, value))
        self._rows.append((epoch + 1, time.perf_counter() - self._epoch_began, held))
        if time.perf_counter() - self._written >= self.every:
            self._write()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Writes the last page, which does not load itself again."""
        wanted = self.params.get("epochs", 0)
        self._state = "finished" if len(self._rows) and self._epoch + 1 >= wanted else "stopped"
        self._write()

    # The page.

    def _write(self) -> None:
        self._written = time.perf_counter()
        page = self._page().encode()
        write_whole(self.path, lambda file: file.write(page))

    def _page(self) -> str:
        title = self.title or (type(self.model).__name__ if self.model is not None else "Training")
        body = "\n".join(
            [
                self._progress(),
                '<section class="charts">',
                *map(self._chart, self._names()),
                "</section>",
                self._table(),
                self._facts(),
            ]
        )
        return page_text.page(title, self._state, body, self.every)

    def _names(self) -> list[str]:
        found = [*self._batches, *self._epochs]
        trained = dict.fromkeys(n for n in found if n != "learning_rate")
        return [n for n in trained if not (n.startswith("val_") and n[4:] in trained)]

    def _chart(self, name: str) -> str:
        by_epoch = bool(self.params.get("steps")) or bool(self._epochs.get(name))
        batches = self._batches[name].all() if name in self._batches else []
        curves = [Curve("steps", "training, running mean", batches)] if len(batches) > 1 else []
        if by_epoch and not self.params.get("steps"):
            curves = []  # steps cannot be placed among epochs
        curves.append(Curve("train", "training", self._epochs.get(name, ()), marked=True))
        tested = self._epochs.get(f"val_{name}", ())
        if tested:
            curves.append(Curve("tested", "validation", tested, marked=True))
        shown = [c for c in curves if c.points]
        legend = "".join(_legend(c) for c in shown)
        heading = html.escape(name.replace("_", " "))
        label = "epoch" if by_epoch else "step"
        return (
            f'<figure><figcaption><b>{heading}</b><span class="legend">{legend}</span>'
            f"</figcaption>{chart(name, shown, label)}</figure>"
        )

    def _progress(self) -> str:
        epochs, steps = self.params.get("epochs"), self.params.get("steps")
        first = self._first_epoch or 0
        done, total = float(len(self._rows)), (epochs or 0) - first
        if steps and self._epoch + 1 > first + len(self._rows):
            done += self._epoch_steps / steps
        share = 1.0 if self._state == "finished" else min(done / total, 1.0) if total > 0 else 0.0
        seconds = self._written - self._clock
        where = f"epoch {min(self._epoch + 1, epochs or self._epoch + 1)}"
        facts = [
            ("", f"{where} of {epochs}" if epochs else where),
            ("step", f"{self._epoch_steps}" + (f" of {steps}" if steps else "")),
            ("rate", self._rate()),
            ("elapsed", page_text.duration(seconds)),
        ]
        if self._state == "running" and 0 < share < 1:
            facts.append(("left", "about " + page_text.duration(seconds * (1 - share) / share)))
        rate = self._learning_rate()
        if rate is not None:
            facts.append(("learning rate", f"{rate:.6g}"))
        shown = "".join(f"<li><i>{a}</i> {html.escape(b)}</li>" for a, b in facts)
        return (
            f'<div class="bar" role="progressbar" aria-valuenow="{100 * share:.0f}">'
            f'<div style="width:{100 * share:.2f}%"></div></div><ul class="facts">{shown}</ul>'
        )

    def _rate(self) -> str:
        steps, seconds = self._steps - self._rate_steps, self._written - self._rate_clock
        if steps < 1 or seconds <= 0:
            return "-"
        rate = steps / seconds
        return f"{rate:.3g} steps/s" if rate >= 1 else f"{1 / rate:.3g} s/step"

    def _learning_rate(self) -> float | None:
        optimizer = getattr(self.model, "optimizer", None)
        return None if optimizer is None else float(optimizer.learning_rate)

    def _table(self) -> str:
        if not self._rows:
            return ""
        names = list(dict.fromkeys(n for _, _, held in self._rows for n in held))
        head = "".join(f"<th>{html.escape(n.replace('_', ' '))}</th>" for n in names)
        rows: list[str] = []
        for epoch, seconds, held in reversed(self._rows[-_ROWS:]):
            cells = "".join(f"<td>{number(held[n]) if n in held else ''}</td>" for n in names)
            rows.append(f"<tr><td>{epoch}</td>{cells}<td>{page_text.duration(seconds)}</td></tr>")
        return (
            f'<div class="wide"><table><thead><tr><th>epoch</th>{head}<th>time</th></tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>"
        )

    def _facts(self) -> str:
        count = getattr(self.model, "parameters", lambda: ())
        size = sum(p.size for p in count())
        facts = [
            ("started", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._started))),
            ("model", f"{size:,} parameters" if size else "-"),
            ("program", " ".join(sys.argv)[:200] or "-"),
            ("process", f"{os.getpid()} on {platform.node()}"),
            ("machine", f"{platform.system()} {platform.machine()}, {available_cpus()} CPUs"),
            ("threads", str(config.thread_count())),
            ("memory", page_text.memory()),
            ("software", f"dlc {__version__}, Python {platform.python_version()}"),
        ]
        rows = "".join(f"<tr><th>{a}</th><td>{html.escape(b)}</td></tr>" for a, b in facts)
        return f'<table class="system">{rows}</table>'


def _legend(curve: Curve) -> str:
    points: Sequence[Any] = curve.points
    return f'<span class="{curve.kind}">{curve.label} {number(points[-1][1])}</span>'
