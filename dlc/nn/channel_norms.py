"""Normalisation of channels, by PyTorch's names: over the batch, one by one, in groups."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import dlc
from dlc.frontend.apply import wide
from dlc.frontend.functions.channel_norms import moved, unbiased
from dlc.ir.dims import product
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.nn.described import described, positive
from dlc.nn.module import Buffer, Module, Parameter

_BATCH = """
    See `dlc.batch_norm`. While training it normalises by the batch and moves the running mean and
    variance towards the batch's; in evaluation (or without running ones, always by the batch).

    Args:
        num_features: The channels C.
        eps: What is added to the variance.
        momentum: The share of the batch in the new running mean and variance; for None these are
            the means over all batches.
        affine: Whether there are a weight and a bias.
        track_running_stats: Whether there are a running mean and variance.
        dtype: The element type of parameters and running values.
        bias: Whether there is a bias.

    Attributes:
        weight: [C], 1 at first.
        bias: [C], 0 at first.
        running_mean: [C], 0 at first.
        running_var: [C], 1 at first.
        num_batches_tracked: The number of batches in the running values.

    Raises:
        ShapeError: for one value per channel, where it normalises by the batch.

    Example:
        >>> layer = dlc.nn.{name}(3)
        >>> layer(dlc.ones((2, 3{sizes}))).shape, layer.num_batches_tracked.item()
        ((2, 3{sizes}), 1)
"""


class _Tracking(Module):
    """What normalises with a running mean and variance has in common."""

    rank: ClassVar[int]
    ranks: ClassVar[tuple[int, ...]]  # that inputs may have
    weight: dlc.Variable | None
    bias: dlc.Variable | None
    running_mean: dlc.Variable | None
    running_var: dlc.Variable | None
    num_batches_tracked: dlc.Variable | None

    def _set_up(
        self, features: int, eps: float, momentum: float | None, affine: bool, tracking: bool,
        dtype: Any, bias: bool,
    ) -> None:  # fmt: skip
        (features,) = positive(type(self).__name__, num_features=features)
        self.num_features, self.eps, self.momentum = features, eps, momentum
        self.affine, self.track_running_stats = affine, tracking
        held = dtype or dlc.float32
        ones, zeros = dlc.ones(features, dtype=held), dlc.zeros(features, dtype=held)
        self.weight = Parameter(ones, "weight") if affine else None
        self.bias = Parameter(zeros, "bias") if affine and bias else None
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if tracking:
            self.running_mean, self.running_var = Buffer(zeros), Buffer(ones)
            self.num_batches_tracked = Buffer(dlc.asarray(0, dtype=dlc.int64))

    def _check(self, x: Any) -> None:
        shape: tuple[Any, ...] = tuple(x.shape)
        channels = shape[1:2]
        known = bool(channels) and isinstance(channels[0], int)
        if len(shape) not in self.ranks or (known and channels[0] != self.num_features):
            raise ShapeError(
                f"{type(self).__name__} of an input of shape {shape}: it takes "
                f"{' or '.join(map(str, self.ranks))} axes, with {self.num_features} channels as "
                "the second"
            )

    def _check_several(self, x: Any, extents: tuple[Any, ...], what: str) -> None:
        """One number normalised by itself is 0 whatever it is, and has no variance to keep.

        Extents that are open while tracing may be anything.
        """
        count = math.prod(extents)
        if isinstance(count, int) and count == 1:
            raise ShapeError(
                f"{type(self).__name__} of an input of shape {tuple(x.shape)}: expected more than "
                f"1 {what} when training, or without running values",
                hint="larger batches or inputs, or eval() with running values",
            )

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Tracking):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        self._set_up(num_features, eps, momentum, affine, track_running_stats, dtype, bias)

    def _share(self) -> Any:
        """The share of a new batch in the running values, and one more batch counted."""
        count = self.num_batches_tracked
        assert count is not None
        count.assign_add(1)
        if self.momentum is not None:
            return self.momentum
        assert self.running_mean is not None
        return 1.0 / count.value().astype(self.running_mean.dtype)

    def forward(self, x: Any) -> dlc.Tensor:
        """The normalised x [N, C, ...], of x's shape."""
        self._check(x)
        mean, var = self.running_mean, self.running_var
        if self.training or mean is None:
            self._check_several(x, (x.shape[0], *x.shape[2:]), "value per channel")
        if mean is None or var is None:
            return dlc.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)[0]
        if not self.training:
            y = dlc.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
            assert isinstance(y, dlc.Tensor)
            return y
        share = self._share()
        y, new_mean, new_var = dlc.batch_norm(
            x, mean, var, self.weight, self.bias, True, share, self.eps
        )
        mean.assign(new_mean.astype(mean.dtype))
        var.assign(new_var.astype(var.dtype))
        return y


@described(_BATCH)
class BatchNorm1d(_BatchNorm):
    """Channels of [N, C] or [N, C, L] normalised over the batch (Ioffe and Szegedy, 2015)."""

    rank, ranks = 1, (2, 3)


@described(_BATCH)
class BatchNorm2d(_BatchNorm):
    """Channels of [N, C, H, W] normalised over the batch (Ioffe and Szegedy, 2015)."""

    rank, ranks = 2, (4,)


@described(_BATCH)
class BatchNorm3d(_BatchNorm):
    """Channels of [N, C, D, H, W] normalised over the batch (Ioffe and Szegedy, 2015)."""

    rank, ranks = 3, (5,)


_INSTANCE = """
    See `dlc.instance_norm`. With running values it normalises by these in evaluation.

    Args:
        num_features: The channels C.
        eps: What is added to the variance.
        momentum: The share of the batch in the new running mean and variance; 0 for None.
        affine: Whether there are a weight and a bias.
        track_running_stats: Whether there are a running mean and variance.
        dtype: The element type of parameters and running values.
        bias: Whether there is a bias, if affine.

    Attributes:
        weight, bias, running_mean, running_var: [C], or None.
        num_batches_tracked: 0, as PyTorch has it; or None.

    Raises:
        ShapeError: for one value per channel and example, unless it normalises by running values.

    Example:
        >>> dlc.nn.{name}(3)(dlc.ones((2, 3{sizes}))).shape
        (2, 3{sizes})
"""


class _InstanceNorm(_Tracking):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        self._set_up(num_features, eps, momentum, affine, track_running_stats, dtype, bias)

    def forward(self, x: Any) -> dlc.Tensor:
        """The normalised x [N, C, ...], or without N, of x's shape."""
        if len(x.shape) == self.rank + 1:
            return self.forward(x[None])[0]
        self._check(x)
        mean, var = self.running_mean, self.running_var
        if mean is not None and var is not None and not self.training:
            y = dlc.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
            assert isinstance(y, dlc.Tensor)
            return y
        self._check_several(x, tuple(x.shape[2:]), "spatial element")
        if mean is not None and var is not None:
            self._move(x, mean, var)
        return dlc.instance_norm(x, self.weight, self.bias, self.eps)

    def _move(self, x: Any, mean: dlc.Variable, var: dlc.Variable) -> None:
        """Moves the running values towards the means, over the batch, of those of x."""
        share, axes = self.momentum or 0.0, tuple(range(2, self.rank + 2))
        with dlc.no_grad():
            held = wide(x)
            n, _, *spatial = held.tensor.shape
            own_var = unbiased(dlc.var(held, axis=axes), product(spatial))
            for running, own in ((mean, dlc.mean(held, axis=axes)), (var, own_var)):
                batch = dlc.mean(own, axis=0)
                after = moved(wide(running.value()), batch, share, product((n, *spatial)))
                running.assign(after.astype(running.dtype))


@described(_INSTANCE)
class InstanceNorm1d(_InstanceNorm):
    """Each channel of each example of [N, C, L] normalised (Ulyanov et al., 2016)."""

    rank, ranks = 1, (3,)


@described(_INSTANCE)
class InstanceNorm2d(_InstanceNorm):
    """Each channel of each example of [N, C, H, W] normalised (Ulyanov et al., 2016)."""

    rank, ranks = 2, (4,)


@described(_INSTANCE)
class InstanceNorm3d(_InstanceNorm):
    """Each channel of each example of [N, C, D, H, W] normalised (Ulyanov et al., 2016)."""

    rank, ranks = 3, (5,)


class GroupNorm(Module):
    """Each example of [N, C, ...] normalised over groups of channels (Wu and He, 2018).

    See `dlc.group_norm`.

    Args:
        num_groups: Into how many groups the channels are divided.
        num_channels: The channels C.
        eps: What is added to the variance.
        affine: Whether there are a weight and a bias.
        dtype: The element type of the parameters.
        bias: Whether there is a bias.

    Attributes:
        weight: [C], 1 at first, or None.
        bias: [C], 0 at first, or None.

    Raises:
        ValueRangeError: for channels that cannot be divided into so many groups.

    Example:
        >>> dlc.nn.GroupNorm(2, 4)(dlc.ones((2, 4, 8))).shape
        (2, 4, 8)
    """

    weight: dlc.Variable | None
    bias: dlc.Variable | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        sizes = {"num_groups": num_groups, "num_channels": num_channels}
        num_groups, num_channels = positive("GroupNorm", **sizes)
        if num_channels % num_groups:
            raise ValueRangeError(
                f"GroupNorm: {num_channels} channels cannot be divided into {num_groups} groups"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        held = dtype or dlc.float32
        self.weight = Parameter(dlc.ones(num_channels, dtype=held), "weight") if affine else None
        zeros = dlc.zeros(num_channels, dtype=held)
        self.bias = Parameter(zeros, "bias") if affine and bias else None

    def forward(self, x: Any) -> dlc.Tensor:
        """The normalised x [N, C, ...], of x's shape."""
        return dlc.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LocalResponseNorm(Module):
    """Elements of [N, C, ...] divided by a norm of neighbouring channels.

    See `dlc.local_response_norm` (Krizhevsky, Sutskever and Hinton, 2012).

    Args:
        size: How many channels.
        alpha: What the mean of squares is multiplied by.
        beta: The exponent.
        k: What is added.

    Example:
        >>> dlc.nn.LocalResponseNorm(2)(dlc.ones((1, 4, 8))).shape
        (1, 4, 8)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        (self.size,) = positive("LocalResponseNorm", size=size)
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, x: Any) -> dlc.Tensor:
        """The normalised x, of x's shape."""
        return dlc.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
