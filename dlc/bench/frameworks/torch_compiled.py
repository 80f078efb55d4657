"""PyTorch through torch.compile."""

from __future__ import annotations

from dlc.bench.frameworks.torch_programs import Torch


def start(threads: int, cache: str, device: str = "cpu") -> Torch:
    """PyTorch with its compiler, whose cache folder is set by the environment."""
    return Torch(threads, compiled=True, device=device)
