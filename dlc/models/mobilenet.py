"""MobileNetV2 (Sandler et al., 2018), with the names of torchvision's weights."""

from __future__ import annotations

from typing import Any

import dlc
from dlc import nn
from dlc.models.settings import Published, convolution_weights

# Expansion, channels, blocks, stride of the first of them.
_PLAN = [
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
]  # fmt: skip


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, at most a tenth less."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found


def _convolution(
    inputs: int, outputs: int, window: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, window, stride, window // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class InvertedResidual(nn.Module):
    """A convolution of each channel between two of 1 x 1, the wide part in the middle."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        wide = inputs * expansion
        layers: list[Any] = [] if expansion == 1 else [_convolution(inputs, wide, 1)]
        layers += [
            _convolution(wide, wide, 3, stride, groups=wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Any) -> Any:
        """The block of images [N, C, H, W]."""
        y = self.conv(x)
        return x + y if self.residual else y


class MobileNetV2(Published):
    """A network of images [N, 3, H, W] for small machines: the scores of classes.

    Args:
        num_classes: The number of classes.
        width_mult: What numbers of channels are multiplied by.
        dropout: The probability of dropout before the last layer.

    Example:
        >>> dlc.models.MobileNetV2(5, width_mult=0.25).eval()(dlc.ones((1, 3, 32, 32))).shape
        (1, 5)
    """

    def __init__(
        self, num_classes: int = 1000, width_mult: float = 1.0, dropout: float = 0.2
    ) -> None:
        channels = _rounded(32 * width_mult)
        layers: list[Any] = [_convolution(3, channels, 3, 2)]
        for expansion, width, count, stride in _PLAN:
            outputs = _rounded(width * width_mult)
            for k in range(count):
                layers.append(InvertedResidual(channels, outputs, 1 if k else stride, expansion))
                channels = outputs
        last = _rounded(1280 * max(1.0, width_mult))
        layers.append(_convolution(channels, last, 1))
        self.features = nn.Sequential(layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        convolution_weights(self)
        head = self.classifier[1]
        head.weight.assign(nn.initializers.normal(0.0, 0.01)(head.weight.shape, head.weight.dtype))
        head.bias.assign(dlc.zeros_like(head.bias.data))

    def forward(self, x: Any) -> Any:
        """The scores [N, num_classes] of images [N, 3, H, W]."""
        return self.classifier(self.features(x).mean(axis=(2, 3)))


def mobilenet_v2(num_classes: int = 1000, width_mult: float = 1.0) -> MobileNetV2:
    """MobileNetV2, of 3.5 million parameters."""
    return MobileNetV2(num_classes, width_mult)
