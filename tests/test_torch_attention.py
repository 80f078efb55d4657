"""Attention agrees with PyTorch's, forward and backward, on shapes from a seeded generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_judge import judge

import dlc


def case(seed: int):
    """Arrays q, k, v and perhaps a mask, and settings, that both frameworks take."""
    rng = np.random.default_rng(seed)
    batch, heads, group = (int(n) for n in rng.integers(1, 4, 3))
    rows, keys = (int(n) for n in rng.integers(1, 150, 2))
    width, out = (int(n) for n in rng.integers(1, 70, 2))
    grouped = bool(rng.integers(2))
    queries = heads * group if grouped else heads
    kind = ("none", "causal", "float mask", "bool mask")[int(rng.integers(4))]

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    arrays = [draw(batch, queries, rows, width)]
    arrays += [draw(batch, heads, keys, width), draw(batch, heads, keys, out)]
    if kind == "float mask":
        arrays.append(draw(rows, keys))
    if kind == "bool mask":
        mask = rng.random((batch, 1, rows, keys)) < 0.7
        mask[..., 0] = True  # of a row without any key the two have other meanings
        arrays.append(mask)
    settings = {"is_causal": kind == "causal", "enable_gqa": grouped}
    if rng.integers(2):
        settings["scale"] = float(rng.uniform(0.05, 0.5))
    return arrays, settings


@pytest.mark.parametrize("seed", range(30))
def test_agrees(seed):
    arrays, settings = case(seed)
    judge(
        lambda q, k, v, *mask: dlc.scaled_dot_product_attention(q, k, v, *mask, **settings),
        lambda q, k, v, *mask: torch.nn.functional.scaled_dot_product_attention(
            q, k, v, *mask, **settings
        ),
        arrays,
    )


def test_the_judge_finds_an_error():
    arrays, settings = case(0)
    with pytest.raises(AssertionError):
        judge(
            lambda q, k, v, *mask: (
                1.00001 * dlc.scaled_dot_product_attention(q, k, v, *mask, **settings)
            ),
            lambda q, k, v, *mask: torch.nn.functional.scaled_dot_product_attention(
                q, k, v, *mask, **settings
            ),
            arrays,
        )
