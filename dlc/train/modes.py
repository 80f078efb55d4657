"""Models in another mode for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Any, Protocol


class Moded(Protocol):
    """What has a mode: see `dlc.nn.Module`."""

    @property
    def training(self) -> bool:
        """The mode."""
        ...

    def modules(self) -> Iterator[Any]:
        """The model and all below."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Sets the mode."""
        ...


@contextlib.contextmanager
def in_mode(model: Moded, training: bool) -> Generator[None]:
    """Puts a model and all below in training or evaluation mode, and each back in its own."""
    before = [(m, m.training) for m in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def evaluating(model: Moded) -> contextlib.AbstractContextManager[None]:
    """Puts a model in evaluation mode, and each of its modules back in its own."""
    return in_mode(model, training=False)
