"""Noise while training, by Keras's names."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import dlc
from dlc.nn import functional
from dlc.nn.described import described
from dlc.nn.dropout import RandomState
from dlc.nn.keras.layer import Layer, channels_last


class GaussianNoise(Layer):
    """While training, adds normal random numbers.

    Args:
        stddev: Their deviation.
        seed: Where they begin; the global generator for None.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.GaussianNoise(0.1).eval()(dlc.ones(2))
        Tensor([1., 1.], dtype=float32)
    """

    def __init__(self, stddev: float, seed: int | None = None, **common: Any) -> None:
        super().__init__(**common)
        if stddev < 0:
            raise dlc.ValueRangeError(f"GaussianNoise(stddev={stddev}): it must be at least 0")
        self.stddev = stddev
        self.random = RandomState(seed)

    def call(self, x: Any) -> dlc.Tensor:
        """x with noise."""
        held = dlc.asarray(x, copy=None)
        if not self.training or self.stddev == 0:
            return held
        return held + dlc.random.normal(self.random.next(), held.shape, held.dtype) * self.stddev

    def extra_repr(self) -> str:
        """The deviation."""
        return f"stddev={self.stddev}"


class GaussianDropout(Layer):
    """While training, multiplies by normal random numbers of mean 1 (Srivastava et al., 2014).

    Args:
        rate: Their variance is rate / (1 - rate), that of dropout at this rate.
        seed: Where they begin; the global generator for None.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.GaussianDropout(0.1).eval()(dlc.ones(2))
        Tensor([1., 1.], dtype=float32)
    """

    def __init__(self, rate: float, seed: int | None = None, **common: Any) -> None:
        super().__init__(**common)
        if not 0 <= rate < 1:
            raise dlc.ValueRangeError(f"GaussianDropout(rate={rate}): it is from 0 to below 1")
        self.rate = rate
        self.random = RandomState(seed)

    def call(self, x: Any) -> dlc.Tensor:
        """x with noise."""
        held = dlc.asarray(x, copy=None)
        if not self.training or self.rate == 0:
            return held
        deviation = math.sqrt(self.rate / (1 - self.rate))
        noise = dlc.random.normal(self.random.next(), held.shape, held.dtype)
        return held * (noise * deviation + 1.0)

    def extra_repr(self) -> str:
        """The rate."""
        return f"rate={self.rate}"


_SPATIAL = """
    Tompson et al., "Efficient object localization using convolutional networks", 2015.

    Args:
        rate: The probability with which a channel is dropped.
        data_format: "channels_last" for [N, {axes}, C], or "channels_first" for [N, C, {axes}].
        seed: Where the random numbers begin; the global generator for None.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.{name}(0.5)(dlc.ones((2{sizes}, 3))).shape
        (2{sizes}, 3)
"""


class _SpatialDropout(Layer):
    rank: ClassVar[int]

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        name = type(self).__name__
        if not 0 <= rate <= 1:
            raise dlc.ValueRangeError(f"{name}(rate={rate}): a probability is between 0 and 1")
        self.rate, self.last = rate, channels_last(name, data_format)
        self.random = RandomState(seed)

    def call(self, x: Any) -> dlc.Tensor:
        """x with channels dropped."""
        if not self.training or not 0 < self.rate < 1:
            return functional.dropout(x, self.rate, self.training)
        shape = tuple(x.shape)
        if len(shape) != self.rank + 2:
            raise dlc.ShapeError(
                f"{type(self).__name__} of a tensor of shape {shape}: it takes {self.rank + 2} axes"
            )
        ones = (1,) * self.rank
        held = (shape[0], *ones, shape[-1]) if self.last else (*shape[:2], *ones)
        factors = dlc.ones(held, dtype=x.dtype)
        return x * functional.dropout(factors, self.rate, key=self.random.next())

    def extra_repr(self) -> str:
        """The rate."""
        return f"rate={self.rate}"


@described(_SPATIAL)
class SpatialDropout1D(_SpatialDropout):
    """While training, drops whole channels of [N, L, C]."""

    rank = 1


@described(_SPATIAL)
class SpatialDropout2D(_SpatialDropout):
    """While training, drops whole channels of [N, H, W, C]."""

    rank = 2


@described(_SPATIAL)
class SpatialDropout3D(_SpatialDropout):
    """While training, drops whole channels of [N, D, H, W, C]."""

    rank = 3
