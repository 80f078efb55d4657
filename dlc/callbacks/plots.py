"""Drawings of losses and metrics over epochs, by matplotlib."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlc.ir.packages import needed

_COLUMNS = 3
_TRAINING, _VALIDATION = "#1f77b4", "#d9730d"  # apart from each other for the colour-blind, too


def draw(
    epochs: Sequence[int],
    history: Mapping[str, Sequence[float]],
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draws each number of a history with its validation.

    Args:
        epochs: The numbers of the epochs, from 0.
        history: Numbers by name; shorter ones belong to the last epochs.
        path: A file to write to.

    Returns:
        An array of axes, one a number.
    """
    names = [n for n in history if not (n.startswith("val_") and n[4:] in history)]
    count = max(len(names), 1)
    shape = {"nrows": math.ceil(count / _COLUMNS), "ncols": min(count, _COLUMNS)}
    size = (4.6 * shape["ncols"], 3.4 * shape["nrows"])
    if path is None:
        plot = needed("matplotlib.pyplot", "History.plot", "train")
        figure = plot.figure(figsize=size, layout="constrained")
    else:
        figure = needed("matplotlib.figure", "History.plot", "train").Figure(
            figsize=size, layout="constrained"
        )
    grid = np.atleast_1d(figure.subplots(**shape, squeeze=True)).ravel()
    for axes in grid[len(names) :]:
        axes.remove()
    for name, axes in zip(names, grid, strict=False):
        _draw_one(axes, epochs, name, history)
    if path is not None:
        figure.savefig(path, dpi=150)
    return grid[: len(names)]


def _draw_one(
    axes: Any, epochs: Sequence[int], name: str, history: Mapping[str, Sequence[float]]
) -> None:
    for key, label, colour in (
        (name, "training", _TRAINING),
        (f"val_{name}", "validation", _VALIDATION),
    ):
        values = history.get(key, ())
        if len(values):
            numbers = [e + 1 for e in epochs[len(epochs) - len(values) :]]
            marker = "o" if len(values) <= 30 else None
            axes.plot(numbers, values, label=label, color=colour, marker=marker, markersize=3.5)
    axes.set_title(name.replace("_", " "), loc="left", fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(axes.lines) > 1:
        axes.legend(frameon=False)
