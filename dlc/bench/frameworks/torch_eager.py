"""PyTorch as it is."""

from __future__ import annotations

from dlc.bench.frameworks.torch_programs import Torch


def start(threads: int, cache: str, device: str = "cpu") -> Torch:
    """PyTorch without a compiler."""
    return Torch(threads, compiled=False, device=device)
