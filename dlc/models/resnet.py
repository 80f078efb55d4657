"""Residual networks (He et al., 2015), with the names of torchvision's and timm's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import dlc
from dlc import nn
from dlc.models.settings import Published, convolution_weights


def _conv(inputs: int, outputs: int, window: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, window, stride, window // 2, bias=False)


class _Block(nn.Module):
    """The base of blocks: convolutions, and what is added to them."""

    expansion: ClassVar[int]
    downsample: Any

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        outputs = width * self.expansion
        self._make(inputs, width, stride)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            shortcut = _conv(inputs, outputs, 1, stride)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def _make(self, inputs: int, width: int, stride: int) -> None:
        raise NotImplementedError

    def _main(self, x: Any) -> Any:
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        """The block of images [N, C, H, W]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        return dlc.relu(self._main(x) + shortcut)


class BasicBlock(_Block):
    """Two convolutions of 3 x 3."""

    expansion = 1

    def _make(self, inputs: int, width: int, stride: int) -> None:
        self.conv1, self.bn1 = _conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3), nn.BatchNorm2d(width)

    def _main(self, x: Any) -> Any:
        return self.bn2(self.conv2(dlc.relu(self.bn1(self.conv1(x)))))


class Bottleneck(_Block):
    """A convolution of 3 x 3 between two of 1 x 1; the stride is that of the middle one."""

    expansion = 4

    def _make(self, inputs: int, width: int, stride: int) -> None:
        self.conv1, self.bn1 = _conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)

    def _main(self, x: Any) -> Any:
        x = dlc.relu(self.bn1(self.conv1(x)))
        x = dlc.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class ResNet(Published):
    """A residual network of images [N, 3, H, W]: the scores of classes.

    Args:
        block: The kind of blocks, `BasicBlock` or `Bottleneck` of `dlc.models.resnet`.
        layers: The numbers of blocks at each of four resolutions.
        num_classes: The number of classes.
        in_channels: The channels of images.
        width: The channels after the first convolution.

    Example:
        >>> from dlc.models.resnet import BasicBlock
        >>> model = dlc.models.ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5, width=4)
        >>> model(dlc.ones((2, 3, 32, 32))).shape
        (2, 5)
    """

    def __init__(
        self,
        block: type[_Block],
        layers: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: int = 64,
    ) -> None:
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for k, count in enumerate(layers):
            blocks: list[nn.Module] = []
            for place in range(count):
                stride = 2 if k and not place else 1
                blocks.append(block(channels, width << k, stride))
                channels = (width << k) * block.expansion
            setattr(self, f"layer{k + 1}", nn.Sequential(blocks))
        self.fc = nn.Linear(channels, num_classes)
        convolution_weights(self)

    def features(self, x: Any) -> Any:
        """What the last block gives of images [N, C, H, W]."""
        x = dlc.relu(self.bn1(self.conv1(x)))
        x = dlc.max_pool2d(x, 3, 2, 1)
        layers = vars(self)
        for name in layers:
            if name.startswith("layer"):
                x = layers[name](x)
        return x

    def forward(self, x: Any) -> Any:
        """The scores [N, num_classes] of images [N, C, H, W]."""
        return self.fc(self.features(x).mean(axis=(2, 3)))


def resnet18(num_classes: int = 1000) -> ResNet:
    """ResNet-18, of 11.7 million parameters."""
    return ResNet(BasicBlock, [2, 2, 2, 2], num_classes)


def resnet34(num_classes: int = 1000) -> ResNet:
    """ResNet-34, of 21.8 million parameters."""
    return ResNet(BasicBlock, [3, 4, 6, 3], num_classes)


def resnet50(num_classes: int = 1000) -> ResNet:
    """ResNet-50, of 25.6 million parameters."""
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes)


def resnet101(num_classes: int = 1000) -> ResNet:
    """ResNet-101, of 44.5 million parameters."""
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes)


def resnet152(num_classes: int = 1000) -> ResNet:
    """ResNet-152, of 60.2 million parameters."""
    return ResNet(Bottleneck, [3, 8, 36, 3], num_classes)
