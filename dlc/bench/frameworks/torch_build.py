"""How a program in PyTorch is made: what `torch.compile` sees of it, and what is around that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.bench.problem import Program
from dlc.ir.record import dataclass


@dataclass(frozen=True)
class Build:
    """A program.

    Args:
        forward: What torch.compile compiles, made from the constants.
        finish: From that to what is called, such as with a backward pass around it.
    """

    forward: Callable[[Sequence[Any]], Any]
    finish: Callable[[Any, Sequence[Any]], Program] = lambda forward, constants: forward
