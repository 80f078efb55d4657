"""The progress bar on terminals of any width, in notebooks, and where there is neither."""

from __future__ import annotations

import io
import itertools
import re

import pytest

from dlc.ir.config import config
from dlc.train import progress
from dlc.train.progress import ProgressBar


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that tests set."""
    held = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: held[0])
    monkeypatch.setenv("COLUMNS", "100")
    return held


def step(bar, done, values):
    if bar.wants_update():
        bar.update(done, values)


def lines(stream):
    return [line.rstrip() for line in re.split(r"[\r\n]", stream.getvalue()) if line.strip()]


def test_a_bar_has_steps_rate_and_what_is_left(clock):
    bar = ProgressBar(10, 1, stream := Terminal())
    for done, now in ((1, 5.0), (2, 5.05), (6, 6.0), (10, 6.8)):  # the first one is compiled
        clock[0] = now
        step(bar, done, {"loss": 0.5})
    bar.finish(10, {"loss": 0.25, "val_loss": 1e-7})
    full, rest = "━", "╌"
    assert lines(stream) == [
        f" 1/10 {full * 2}{rest * 18} 45s left 5.0s/step - loss: 0.5000",
        f" 6/10 {full * 12}{rest * 8} 2.0s left 500ms/step - loss: 0.5000",
        f"10/10 {full * 20} 0us left 600ms/step - loss: 0.5000",
        f"10/10 {full * 20} 6.8s 600ms/step - loss: 0.2500 - val_loss: 1.0000e-07",
    ]
    assert stream.getvalue().count("\n") == 1


def test_a_setting_turns_bars_off(clock):
    with config.scope(progress=False):
        bar = ProgressBar(2, 1, stream := Terminal())
    clock[0] = 1.0
    step(bar, 1, {"loss": 0.5})
    bar.finish(2, {"loss": 0.25})
    assert stream.getvalue() == "2/2 - 1.0s - 500ms/step - loss: 0.2500\n"


def test_samples_a_second_stand_beside_the_time_of_a_step(clock):
    bar = ProgressBar(10, 2, stream := Terminal())
    bar.samples = 4000
    clock[0] = 5.0
    bar.finish(10, {"loss": 0.5})
    assert lines(stream) == ["10/10 - 5.0s - 500ms/step 8,000 samples/s - loss: 0.5000"]


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_a_line_fits_the_terminal_and_covers_the_one_before(clock, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    bar = ProgressBar(1000, 1, stream := Terminal())
    for k in range(1, 40):
        clock[0] = float(k)
        step(bar, k, {"loss": 1.0} if k % 2 else {"loss": 1.0, "mean_absolute_error": 2.0})
    drawn = stream.getvalue().split("\r")[1:]
    assert max(map(len, drawn)) < columns
    assert all(len(b) >= len(a.rstrip()) for a, b in itertools.pairwise(drawn))


def test_values_are_read_only_when_they_are_drawn(clock):
    class Value:
        read = 0

        def __float__(self):
            Value.read += 1
            return 0.5

    bar = ProgressBar(None, 1, stream := Terminal())
    for k in range(1, 1001):
        clock[0] += 0.001
        step(bar, k, {"loss": Value()})
    assert 8 <= Value.read <= 11
    assert "1/? " in stream.getvalue() or "/? " in stream.getvalue()


def test_plain_lines_where_there_is_no_terminal(clock):
    bar = ProgressBar(100, 1, stream := io.StringIO())
    for k in range(1, 101):
        clock[0] += 1.0
        step(bar, k, {"loss": 1.0})
    bar.finish(100, {"loss": 1.0})
    assert lines(stream) == [
        " 30/100 - 30s - 1.0s/step - loss: 1.0000",
        " 60/100 - 1:00 - 1.0s/step - loss: 1.0000".rstrip(),
        " 90/100 - 1:30 - 1.0s/step - loss: 1.0000",
        "100/100 - 1:40 - 1.0s/step - loss: 1.0000",
    ]
    assert "\r" not in stream.getvalue()


def test_a_line_an_epoch_and_silence(clock):
    for verbose, wanted in ((2, ["5/5 - 0us - 0us/step - acc: 1.0000"]), (0, [])):
        for kind in (Terminal, io.StringIO):
            bar = ProgressBar(5, verbose, stream := kind())
            step(bar, 3, {"acc": 1.0})
            bar.finish(5, {"acc": 1.0})
            assert lines(stream) == wanted


def test_notebooks_draw_again_and_old_terminals_get_signs_they_know(clock):
    notebook = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    bar = ProgressBar(4, 1, stream := notebook())
    clock[0] = 1.0
    step(bar, 2, {})
    assert "\r2/4 ##########.......... 1.0s left" in stream.getvalue()
    closed = Terminal()
    closed.close()
    assert not ProgressBar(4, 0, closed).in_place
