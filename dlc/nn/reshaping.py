"""Layers that move elements: Flatten, Unflatten, other sizes of images, windows as columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import dlc
from dlc.ir.errors import ArgumentError, ShapeError
from dlc.nn.described import one_of, per_axis
from dlc.nn.module import Module

Steps: TypeAlias = int | tuple[int, ...]


def product(extents: Sequence[Any]) -> Any:
    """The product of extents, some of which may be symbols."""
    found: Any = 1
    for d in extents:
        found = found * d
    return found


class Flatten(Module):
    """Several axes as one.

    Args:
        start_dim: The first of them; 1, so that the axis of examples stays.
        end_dim: The last of them.
        data_format: As Keras has it: for "channels_first", channels are moved behind the other axes
            before.
        name: The layer's name.

    Example:
        >>> dlc.nn.Flatten()(dlc.ones((2, 3, 4))).shape
        (2, 12)
    """

    def __init__(
        self,
        start_dim: int = 1,
        end_dim: int = -1,
        data_format: str | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name
        formats = (None, "channels_last", "channels_first")
        self.data_format = one_of("Flatten", "data_format", data_format, formats)
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> dlc.Tensor:
        """x with the axes as one."""
        if self.data_format == "channels_first" and len(x.shape) > 2:
            x = dlc.moveaxis(x, 1, -1)
        shape = tuple(x.shape)
        rank = len(shape)
        if rank == 1 and (self.start_dim, self.end_dim) == (1, -1):
            return dlc.expand_dims(x, axis=-1)  # numbers: each is a row of one
        first, last = self.start_dim % max(rank, 1), self.end_dim % max(rank, 1)
        if not -rank <= self.start_dim < rank or not -rank <= self.end_dim < rank or last < first:
            raise ShapeError(
                f"Flatten of axes {self.start_dim} to {self.end_dim} of an input of shape {shape}"
            )
        return dlc.reshape(
            x, (*shape[:first], product(shape[first : last + 1]), *shape[last + 1 :])
        )

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One axis as several.

    Args:
        dim: The axis.
        unflattened_size: The extents of the new ones; one of them may be -1.

    Example:
        >>> dlc.nn.Unflatten(1, (3, 4))(dlc.ones((2, 12))).shape
        (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Any) -> dlc.Tensor:
        """x with the axis as several."""
        shape, sizes = tuple(x.shape), list(self.unflattened_size)
        at = self.dim % len(shape)
        if -1 in sizes:
            rest = math.prod(s for s in sizes if s != -1)
            sizes[sizes.index(-1)] = shape[at] // rest
        if product(sizes) != shape[at]:
            raise ShapeError(
                f"Unflatten of axis {self.dim} of an input of shape {shape}: its extent is not "
                f"the product of {self.unflattened_size}"
            )
        return dlc.reshape(x, (*shape[:at], *sizes, *shape[at + 1 :]))

    def extra_repr(self) -> str:
        """The axis and the extents."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Upsample(Module):
    """Images of another size; see `dlc.interpolate`.

    Args:
        size: The extents of the result, one number or one an axis.
        scale_factor: What the extents are multiplied by, in the place of `size`.
        mode: "nearest", "linear", "bilinear", "bicubic" or "trilinear".
        align_corners: Whether the centres of the corner pixels stay in place.
        recompute_scale_factor: Whether places follow from the extents.

    Example:
        >>> dlc.nn.Upsample(scale_factor=2)(dlc.ones((1, 3, 4, 4))).shape
        (1, 3, 8, 8)
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise ArgumentError(f"{type(self).__name__} takes one of size and scale_factor")
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, x: Any) -> dlc.Tensor:
        """x [N, C, ...] in the other size."""
        return dlc.interpolate(
            x, self.size, self.scale_factor, self.mode, self.align_corners,
            self.recompute_scale_factor,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The settings."""
        size = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{size}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Images [N, C, H, W] of another size by repeating pixels.

    Args:
        size: The extents of the result, one number or two.
        scale_factor: What the extents are multiplied by, in the place of `size`.

    Example:
        >>> dlc.nn.UpsamplingNearest2d(scale_factor=2)(dlc.ones((1, 3, 4, 4))).shape
        (1, 3, 8, 8)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Images [N, C, H, W] of another size by linear interpolation; corner pixels stay in place.

    Args:
        size: The extents of the result, one number or two.
        scale_factor: What the extents are multiplied by, in the place of `size`.

    Example:
        >>> dlc.nn.UpsamplingBilinear2d(scale_factor=2)(dlc.ones((1, 3, 4, 4))).shape
        (1, 3, 8, 8)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """Channels as pixels of a larger image: [N, C*r*r, H, W] to [N, C, H*r, W*r].

    Args:
        upscale_factor: The factor r.

    Example:
        >>> dlc.nn.PixelShuffle(2)(dlc.ones((1, 8, 3, 3))).shape
        (1, 2, 6, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, x: Any) -> dlc.Tensor:
        """The larger image."""
        return dlc.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels of a smaller image as channels: [N, C, H*r, W*r] to [N, C*r*r, H, W].

    Args:
        downscale_factor: The factor r.

    Example:
        >>> dlc.nn.PixelUnshuffle(2)(dlc.ones((1, 2, 6, 6))).shape
        (1, 8, 3, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def forward(self, x: Any) -> dlc.Tensor:
        """The smaller image."""
        return dlc.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Channels of [N, C, ...] dealt out to groups: the first of each group, the second of each...

    Zhang et al., "ShuffleNet", 2017.

    Args:
        groups: The number of groups.

    Example:
        >>> dlc.nn.ChannelShuffle(2)(dlc.asarray([[0, 1, 2, 3]])).tolist()
        [[0, 2, 1, 3]]
    """

    def __init__(self, groups: int) -> None:
        (self.groups,) = per_axis("ChannelShuffle", "groups", groups, 1)

    def forward(self, x: Any) -> dlc.Tensor:
        """x with its channels in the other order."""
        return dlc.channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        """The number of groups."""
        return f"groups={self.groups}"


class Unfold(Module):
    """The windows of images [N, C, H, W] as columns; see `dlc.unfold`.

    Args:
        kernel_size: The extents of a window, one number or two.
        dilation: How far the elements of a window are apart.
        padding: How many zeros are added on either side.
        stride: How far a window is from the next one.

    Example:
        >>> dlc.nn.Unfold(2)(dlc.ones((1, 3, 4, 4))).shape
        (1, 12, 9)
    """

    def __init__(
        self, kernel_size: Steps, dilation: Steps = 1, padding: Steps = 0, stride: Steps = 1
    ) -> None:
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, x: Any) -> dlc.Tensor:
        """The columns [N, C * kernel, windows]."""
        return dlc.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """Images [N, C, H, W] as the sums of windows that are columns; see `dlc.fold`.

    Args:
        output_size: The extents of the images, one number or two.
        kernel_size: The extents of a window.
        dilation: How far the elements of a window are apart.
        padding: How much is cut off on either side.
        stride: How far a window is from the next one.

    Example:
        >>> dlc.nn.Fold(4, 2)(dlc.ones((1, 12, 9))).shape
        (1, 3, 4, 4)
    """

    def __init__(
        self,
        output_size: Steps,
        kernel_size: Steps,
        dilation: Steps = 1,
        padding: Steps = 0,
        stride: Steps = 1,
    ) -> None:
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, x: Any) -> dlc.Tensor:
        """The images."""
        settings = (self.kernel_size, self.dilation, self.padding, self.stride)
        return dlc.fold(x, self.output_size, *settings)

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )
