"""Convolutions agree with PyTorch's, forward and backward, on shapes from a seeded generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_judge import judge

import dlc


def case(seed: int):
    """(name of a function, arrays, settings) that both frameworks take."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    groups, inner, outer = (int(n) for n in rng.integers(1, 5, 3))
    batch = int(rng.integers(1, 9))
    depthwise = rng.random() < 0.2
    if depthwise:
        groups, inner = 6, 1

    def draw(low, high):
        return tuple(int(n) for n in rng.integers(low, high, rank))

    sizes = draw(1, 5)
    extents = draw(8, {1: 400, 2: 48, 3: 16}[rank])
    settings = {"stride": draw(1, 4), "padding": draw(0, 3), "dilation": draw(1, 3)}
    settings["groups"] = groups
    transposed = rng.random() < 0.35
    name = f"conv_transpose{rank}d" if transposed else f"conv{rank}d"
    filters = (groups * inner, outer) if transposed else (groups * outer, inner)
    if transposed:
        most = map(max, settings["stride"], settings["dilation"])
        settings["output_padding"] = tuple(int(rng.integers(m)) for m in most)
        settings["padding"] = tuple(map(min, settings["padding"], sizes))
    shapes = [(batch, groups * inner, *extents), (*filters, *sizes)]
    if rng.random() < 0.7:
        shapes.append((groups * outer,))
    return name, [rng.standard_normal(s).astype(np.float32) for s in shapes], settings


@pytest.mark.parametrize("seed", range(30))
def test_agrees(seed):
    name, arrays, settings = case(seed)
    judge(
        lambda *xs: getattr(dlc, name)(*xs, **settings),
        lambda *xs: getattr(torch.nn.functional, name)(*xs, **settings),
        arrays,
    )


@pytest.mark.parametrize(
    ("x", "w", "settings"),
    [
        ((2, 40, 19, 17), (70, 40, 3, 3), {"padding": 1}),
        ((1, 33, 7, 7), (65, 33, 3, 3), {"padding": 1}),
        ((3, 20, 15, 16), (36, 20, 3, 3), {"padding": 1, "stride": 2}),
        ((1, 3, 40, 33), (64, 3, 7, 7), {"padding": 3, "stride": 2}),
        ((2, 70, 9, 9), (40, 70, 1, 1), {}),
        ((2, 70, 9, 9), (40, 70, 1, 1), {"stride": 2}),
        ((2, 48, 20, 20), (48, 1, 3, 3), {"padding": 1, "groups": 48}),
    ],
)
def test_layers_of_usual_sizes_agree(x, w, settings):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in (x, w)]
    judge(
        lambda *xs: dlc.relu(dlc.conv2d(*xs, **settings)),
        lambda *xs: torch.relu(torch.nn.functional.conv2d(*xs, **settings)),
        arrays,
    )


def test_same_and_valid_padding():
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((2, 3, 9, 8), (4, 3, 4, 3)))
    for padding in ("same", "valid"):
        judge(
            lambda *xs, p=padding: dlc.conv2d(*xs, padding=p, dilation=2),
            lambda *xs, p=padding: torch.nn.functional.conv2d(*xs, padding=p, dilation=2),
            [x, w],
        )
