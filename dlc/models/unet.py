"""U-Net (Ronneberger et al., 2015), padded so that results have the size of images."""

from __future__ import annotations

from typing import Any

import dlc
from dlc import nn
from dlc.models.settings import Published, convolution_weights


class DoubleConv(nn.Module):
    """Two convolutions of 3 x 3 with batch normalisation."""

    def __init__(self, inputs: int, outputs: int, middle: int | None = None) -> None:
        held = middle or outputs
        self.double_conv = nn.Sequential(
            nn.Conv2d(inputs, held, 3, padding=1, bias=False), nn.BatchNorm2d(held), nn.ReLU(),
            nn.Conv2d(held, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        """The block of images [N, C, H, W]."""
        return self.double_conv(x)


class Down(nn.Module):
    """Half the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, outputs))

    def forward(self, x: Any) -> Any:
        """The block of images [N, C, H, W]."""
        return self.maxpool_conv(x)


class Up(nn.Module):
    """Twice the resolution, with what there was at it on the way down."""

    def __init__(self, inputs: int, outputs: int, bilinear: bool) -> None:
        self.up: Any
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(inputs, outputs, inputs // 2)
        else:
            self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, 2)
            self.conv = DoubleConv(inputs, outputs)

    def forward(self, x: Any, before: Any) -> Any:
        """The block of images x at half the resolution of `before`; odd sizes are padded."""
        x = self.up(x)
        missing = [b - a for a, b in zip(x.shape[2:], before.shape[2:], strict=True)]
        widths = [(m // 2, m - m // 2) for m in missing]
        return self.conv(dlc.concatenate([before, dlc.pad(x, [(0, 0), (0, 0), *widths])], axis=1))


class UNet(Published):
    """A network of images [N, C, H, W] that gives scores of classes for each point.

    The names are those of the PyTorch implementation that is used most (`inc`, `down1`, `up1`,
    `outc`).

    Args:
        n_channels: The channels of images.
        n_classes: The number of classes.
        bilinear: Whether images are enlarged by interpolation, and not by a layer.
        width: The channels at full resolution.

    Example:
        >>> dlc.models.UNet(3, 2, width=4)(dlc.ones((1, 3, 33, 20))).shape
        (1, 2, 33, 20)
    """

    def __init__(
        self, n_channels: int = 3, n_classes: int = 2, bilinear: bool = False, width: int = 64
    ) -> None:
        factor = 2 if bilinear else 1
        self.inc = DoubleConv(n_channels, width)
        self.down1, self.down2 = Down(width, 2 * width), Down(2 * width, 4 * width)
        self.down3 = Down(4 * width, 8 * width)
        self.down4 = Down(8 * width, 16 * width // factor)
        self.up1 = Up(16 * width, 8 * width // factor, bilinear)
        self.up2 = Up(8 * width, 4 * width // factor, bilinear)
        self.up3 = Up(4 * width, 2 * width // factor, bilinear)
        self.up4 = Up(2 * width, width, bilinear)
        self.outc = _Last(width, n_classes)
        convolution_weights(self)

    def forward(self, x: Any) -> Any:
        """The scores [N, n_classes, H, W]."""
        found = [self.inc(x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            found.append(down(found[-1]))
        y = found.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            y = up(y, found.pop())
        return self.outc(y)


class _Last(nn.Module):
    """The scores of each point."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Any) -> Any:
        """The layer of images [N, C, H, W]."""
        return self.conv(x)
