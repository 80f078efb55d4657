"""dlc as the backend of `torch.compile`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from dlc.bench.problem import Array, Program
from dlc.bench.torch_models import model_of


def model(constants: Sequence[Array]) -> Program:
    """A model of transformers, through the door from PyTorch."""
    torch: Any = importlib.import_module("torch")
    door: Any = importlib.import_module("dlc.interop.torch")
    run = torch.compile(model_of(constants), backend=door.dlc_backend)
    tensors: dict[int, tuple[Any, Any]] = {}

    def tensor(x: Any) -> Any:
        """An input as PyTorch has it, made once: the others' are theirs from the beginning."""
        if id(x) not in tensors:
            tensors[id(x)] = x, torch.from_numpy(x.numpy().copy())
        return tensors[id(x)][1]

    def forward(*inputs: Any) -> Any:
        with torch.no_grad():
            return run(*map(tensor, inputs))

    return forward


def warm_up() -> None:
    """Traces and compiles something else."""
    torch: Any = importlib.import_module("torch")
    door: Any = importlib.import_module("dlc.interop.torch")
    small = torch.nn.Linear(3, 3)
    torch.compile(small, backend=door.dlc_backend)(torch.ones(2, 3))
