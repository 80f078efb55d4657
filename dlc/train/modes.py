"""Models in evaluation mode for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Protocol


class Moded(Protocol):
    """What has a mode: see `dlc.nn.Module`."""

    @property
    def training(self) -> bool:
        """The mode."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Sets the mode."""
        ...


@contextlib.contextmanager
def evaluating(model: Moded) -> Generator[None]:
    """Puts a model in evaluation mode, and back."""
    training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(training)
