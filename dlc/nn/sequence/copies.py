"""Copies of layers."""

from __future__ import annotations

import copy
from typing import TypeVar

from dlc.nn.dropout import RandomState
from dlc.nn.module import Module

M = TypeVar("M", bound=Module)


def fresh_copy(layer: M) -> M:
    """A copy with the same first values, and random numbers of its own."""
    made = copy.deepcopy(layer)
    for module in made.modules():
        if isinstance(module, RandomState):
            module.key.assign(RandomState().key)
    return made
