"""Layers that drop or disturb elements while training, with random numbers of their own state."""

from __future__ import annotations

from typing import Any, ClassVar

import dlc
from dlc.ir.errors import ValueRangeError
from dlc.nn import functional
from dlc.nn.described import described
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


class _Random(Module):
    """What has a probability p and random numbers."""

    def _set_up(self, p: float, seed: int | None) -> None:
        if not 0 <= p <= 1:
            name = type(self).__name__
            raise ValueRangeError(f"{name}(p={p}): a probability is between 0 and 1")
        self.p = float(p)
        self.random = RandomState(seed)

    def _key(self) -> dlc.Tensor | None:
        """A key, where random numbers are needed."""
        return self.random.next() if self.training and 0 < self.p < 1 else None

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class Dropout(_Random):
    """While training, sets each element to 0 with probability p and divides the others by 1 - p.

    Srivastava et al. (2014). In evaluation it changes nothing.

    Args:
        p: The probability, at least 0 and at most 1.
        inplace: Taken for PyTorch's sake; values never change.
        seed: Where the random numbers begin; the global generator for None.
        rate: The probability by Keras's name.
        noise_shape: As Keras has it: the extents of the choices, 1 (or None for that of x) along
            each axis whose elements are dropped together.
        name: The layer's name.

    Example:
        >>> layer = dlc.nn.Dropout(0.5).eval()
        >>> layer(dlc.ones(3)).numpy()
        array([1., 1., 1.], dtype=float32)
    """

    def __init__(
        self,
        p: float = 0.5,
        inplace: bool = False,
        seed: int | None = None,
        *,
        rate: float | None = None,
        noise_shape: tuple[int | None, ...] | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name
        self._set_up(p if rate is None else rate, seed)
        self.noise_shape = noise_shape

    def forward(self, x: Any) -> dlc.Tensor:
        """x with elements dropped."""
        key = self._key()
        if self.noise_shape is None or key is None:
            return functional.dropout(x, self.p, self.training, key)
        pairs = zip(self.noise_shape, x.shape, strict=True)
        ones = dlc.ones([d if n is None else n for n, d in pairs], dtype=x.dtype)
        return x * functional.dropout(ones, self.p, key=key)


_CHANNELS = """
    In evaluation it changes nothing.

    Args:
        p: The probability, at least 0 and at most 1.
        inplace: Taken for PyTorch's sake; values never change.
        seed: Where the random numbers begin; the global generator for None.

    Example:
        >>> dlc.nn.{name}(0.5)(dlc.ones((2, 3{sizes}))).shape
        (2, 3{sizes})
"""


class _ChannelDropout(_Random):
    rank: ClassVar[int]

    def __init__(self, p: float = 0.5, inplace: bool = False, seed: int | None = None) -> None:
        self._set_up(p, seed)

    def forward(self, x: Any) -> dlc.Tensor:
        """x [N, C, ...], or without N where there are as many axes less, with channels dropped."""
        if len(x.shape) == self.rank + 1 and self.rank != 2:  # as PyTorch has it
            return self.forward(dlc.expand_dims(x, axis=0))[0]
        return functional.feature_dropout(x, self.p, self.training, self._key())


@described(_CHANNELS)
class Dropout1d(_ChannelDropout):
    """While training, drops whole channels of [N, C, L] with probability p."""

    rank = 1


@described(_CHANNELS)
class Dropout2d(_ChannelDropout):
    """While training, drops whole channels of [N, C, H, W] with probability p."""

    rank = 2


@described(_CHANNELS)
class Dropout3d(_ChannelDropout):
    """While training, drops whole channels of [N, C, D, H, W] with probability p."""

    rank = 3


class AlphaDropout(_Random):
    """Dropout for `SELU`: mean and variance of what has mean 0 and variance 1 stay.

    Klambauer et al., "Self-normalizing neural networks", 2017.

    Args:
        p: The probability, at least 0 and at most 1.
        inplace: Taken for PyTorch's sake; values never change.
        seed: Where the random numbers begin; the global generator for None.
        rate: The probability by Keras's name.
        name: The layer's name.

    Example:
        >>> dlc.nn.AlphaDropout(0.5)(dlc.ones((2, 3))).shape
        (2, 3)
    """

    def __init__(
        self,
        p: float = 0.5,
        inplace: bool = False,
        seed: int | None = None,
        *,
        rate: float | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name
        self._set_up(p if rate is None else rate, seed)

    def forward(self, x: Any) -> dlc.Tensor:
        """x with elements replaced."""
        return functional.alpha_dropout(x, self.p, self.training, self._key())


class FeatureAlphaDropout(AlphaDropout):
    """`AlphaDropout` of whole channels of [N, C, ...].

    Args:
        p: The probability, at least 0 and at most 1.
        inplace: Taken for PyTorch's sake; values never change.
        seed: Where the random numbers begin; the global generator for None.
        rate: The probability by Keras's name.
        name: The layer's name.

    Example:
        >>> dlc.nn.FeatureAlphaDropout(0.5)(dlc.ones((2, 3))).shape
        (2, 3)
    """

    def forward(self, x: Any) -> dlc.Tensor:
        """x with channels replaced."""
        return functional.feature_alpha_dropout(x, self.p, self.training, self._key())


class RReLU(Module):
    """Leaky ReLU with a random slope for each element while training (Xu et al., 2015).

    Args:
        lower: The least slope.
        upper: The largest; in evaluation it is the mean of the two.
        inplace: Taken for PyTorch's sake; values never change.
        seed: Where the random numbers begin; the global generator for None.

    Example:
        >>> dlc.nn.RReLU(0.25, 0.75).eval()(dlc.asarray([-2.0, 2.0]))
        Tensor([-1.,  2.], dtype=float32)
    """

    def __init__(
        self,
        lower: float = 1.0 / 8,
        upper: float = 1.0 / 3,
        inplace: bool = False,
        seed: int | None = None,
    ) -> None:
        self.lower, self.upper = lower, upper
        self.random = RandomState(seed)

    def forward(self, x: Any) -> dlc.Tensor:
        """The activation of `x`."""
        key = self.random.next() if self.training else None
        return functional.rrelu(x, self.lower, self.upper, self.training, key)

    def extra_repr(self) -> str:
        """The slopes."""
        return f"lower={self.lower}, upper={self.upper}"
