"""PyTorch through torch.compile, traced and not compiled: what every backend takes at least."""

from __future__ import annotations

from dlc.bench.frameworks.torch_programs import Torch


def start(threads: int, cache: str) -> Torch:
    """PyTorch with the backend that compiles nothing."""
    return Torch(threads, compiled=True, backend="aot_eager")
