"""The page of a run: whole whenever it is read, with what was logged, and self-contained."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import dlc
from dlc import callbacks, nn
from dlc.callbacks import curves
from dlc.callbacks.page_text import duration
from dlc.runtime import files

X = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)


def svgs(text):
    return [ET.fromstring(s) for s in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_a_fit_writes_a_page_that_ends(tmp_path):
    path, seen = tmp_path / "run.html", []

    def look(batch, logs):
        seen.append(path.read_text())
        assert [p.name for p in tmp_path.iterdir()] == ["run.html"]

    model = nn.Sequential(nn.Dense(4, activation="relu"), nn.Dense(1))
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(
        X, X[:, :1], batch_size=10, epochs=3, validation_split=0.2, verbose=0,
        callbacks=[
            callbacks.LivePage(path, "a <run>", every=0.0),
            callbacks.LambdaCallback(on_train_batch_end=look),
        ],
    )  # fmt: skip
    last = path.read_text()
    assert len(seen) == 15
    for text in seen:
        assert '<meta http-equiv="refresh"' in text
        assert text.endswith("</body></html>\n")
    assert "epoch 2 of 3" in seen[7]
    assert "<i>step</i> 3 of 5" in seen[7]
    assert 'aria-valuenow="53"' in seen[7]  # 8 of 15 steps
    assert "about" in seen[7]
    assert "refresh" not in last
    assert 'class="state finished"' in last
    assert "a &lt;run&gt;" in last
    assert "http" not in re.sub(r'http-equiv="refresh"', "", last)  # nothing from elsewhere
    for name in ("loss", "mae"):
        assert f"<b>{name}</b>" in last
    shown = [float(v) for v in re.findall(r"<td>(\d\.\d{4})</td>", last)]
    wanted = model.history.history
    rows = zip(*(wanted[n] for n in ("loss", "mae", "val_loss", "val_mae")), strict=True)
    assert shown == [round(v, 4) for row in reversed(list(rows)) for v in row]
    charts = svgs(last)
    assert len(charts) == 2
    for chart in charts:
        assert {e.get("class") for e in chart.iter("polyline")} == {"steps", "train", "tested"}
        assert len(list(chart.iter("circle"))) == 6
        for line in chart.iter("polyline"):
            places = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
            assert all(0 <= x <= curves.WIDTH and 0 <= y <= curves.HEIGHT for x, y in places)


def test_a_run_that_is_stopped_or_has_no_validation(tmp_path):
    page = callbacks.LivePage(tmp_path / "p.html")
    page.set_params({"epochs": 5, "steps": None})
    page.on_train_begin()
    assert "no numbers yet" not in (tmp_path / "p.html").read_text()
    page.on_epoch_begin(0)
    for k in range(3):
        page.on_train_batch_end(k, {"loss": math.nan if k == 1 else 1.0})
    page.on_epoch_end(0, {"loss": math.nan, "learning_rate": 0.1})
    page.on_train_end()
    text = (tmp_path / "p.html").read_text()
    assert 'class="state stopped"' in text
    assert "<td>nan</td>" in text
    assert "learning rate</th>" in text
    assert "no numbers yet" in text


def test_a_run_that_goes_on_has_its_earlier_epochs(tmp_path):
    pages = [callbacks.LivePage(tmp_path / f"{k}.html", every=0.0) for k in range(2)]
    for page in pages:
        page.set_params({"epochs": 4, "steps": 2})
        page.on_train_begin()
    for epoch in range(3):
        page = pages[epoch > 1]
        if epoch == 2:
            page.load_state_dict(json.loads(json.dumps(pages[0].state_dict())))
        page.on_epoch_begin(epoch)
        page.on_train_batch_end(0, {"loss": 1.0})
        page.on_epoch_end(epoch, {"loss": 3.0 - epoch})
    text = (tmp_path / "1.html").read_text()
    assert 'aria-valuenow="75"' in text
    assert [float(v) for v in re.findall(r"<td>(\d\.\d{4})</td>", text)] == [1, 2, 3]
    assert len(list(svgs(text)[0].iter("circle"))) == 3


def test_a_full_disk_leaves_the_page_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "run.html"
    path.write_text("before")

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    page = callbacks.LivePage(path)
    with pytest.raises(dlc.SaveError, match=r"run.html' could not be written: No space left"):
        page.on_train_begin()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


def test_it_is_written_as_seldom_as_wanted(tmp_path):
    page = callbacks.LivePage(tmp_path / "p.html", every=1000.0)
    written = []
    page._page = lambda: written.append(0) or ""
    page.on_train_begin()
    page.on_epoch_begin(0)
    for k in range(50):
        page.on_train_batch_end(k, {"loss": 1.0})
    page.on_epoch_end(0, {})
    assert len(written) == 1
    page.on_train_end()
    assert len(written) == 2


def test_long_curves_keep_their_shape():
    held = curves.Samples()
    for k in range(10_000):
        held.add(k, math.sin(k / 500))
    points = held.all()
    assert 300 <= len(points) <= 601
    assert (points[0][0], points[-1][0]) == (0, 9999)
    assert max(y for _, y in points) > 0.999


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.93, 0.99, [0.94, 0.96, 0.98]),
        (-3.0, 12.0, [0, 5, 10]),
        (0.0, 47000.0, [0, 10000, 20000, 30000, 40000]),
        (1e-7, 5e-7, [1e-7, 2e-7, 3e-7, 4e-7, 5e-7]),
    ],
)
def test_ticks_are_round(low, high, wanted):
    assert curves.ticks(low, high) == pytest.approx(wanted)


def test_one_number_is_a_point():
    (chart,) = svgs(curves.chart("a", [curves.Curve("train", "t", [(1, 2.0)])]))
    assert len(list(chart.iter("circle"))) == 1
    assert curves.ticks(0, 3, 8, whole=True) == [0, 1, 2, 3]
    assert [duration(s) for s in (0.5, 3.25, 70, 7300)] == [
        "500 ms", "3.2 s", "1 min 10 s", "2 h 01 min",
    ]  # fmt: skip
