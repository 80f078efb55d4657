"""PyTorch through torch.compile as it is by default, with weights as inputs."""

from __future__ import annotations

from dlc.bench.frameworks.torch_programs import Torch


def start(threads: int, cache: str) -> Torch:
    """PyTorch with its compiler, which freezes nothing."""
    return Torch(threads, compiled=True, freezes=False)
