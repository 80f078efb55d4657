"""`Dropout`, whose random numbers come from state of its own."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.ir.errors import ValueRangeError
from dlc.nn.functional import dropout
from dlc.nn.module import Buffer, Module


class RandomState(Module):
    """A stream of keys: each `next()` gives another one, also in compiled programs.

    It begins with the global generator of `dlc.random`, and is saved like any other state.

    Args:
        seed: An integer to begin with instead.

    Example:
        >>> state = dlc.nn.RandomState(seed=1)
        >>> state.next().tolist() == state.next().tolist()
        False
    """

    shown = False
    random_state = True
    key: dlc.Variable
    count: dlc.Variable

    def __init__(self, seed: int | None = None) -> None:
        first = dlc.random.bits(None, (2,)) if seed is None else dlc.random.key(seed)
        self.key = Buffer(first)
        self.count = Buffer(dlc.asarray(0, dtype=dlc.uint32))

    def next(self) -> dlc.Tensor:
        """A key for one use."""
        self.count.assign(self.count + dlc.asarray(1, dtype=dlc.uint32))
        return dlc.random.fold_in(self.key.value(), self.count.value())


class Dropout(Module):
    """While training, sets each element to 0 with probability p and divides the others by 1 - p.

    Srivastava et al. (2014). In evaluation it changes nothing.

    Args:
        p: The probability, at least 0 and at most 1.
        seed: Where the random numbers begin; the global generator for None.

    Example:
        >>> layer = dlc.nn.Dropout(0.5).eval()
        >>> layer(dlc.ones(3)).numpy()
        array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, p: float = 0.5, seed: int | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueRangeError(f"Dropout(p={p}): a probability is between 0 and 1")
        self.p = float(p)
        self.random = RandomState(seed)

    def forward(self, x: Any) -> dlc.Tensor:
        """x with elements dropped."""
        used = self.training and 0 < self.p < 1
        return dropout(x, self.p, self.training, self.random.next() if used else None)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
