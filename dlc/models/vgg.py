"""VGG (Simonyan and Zisserman, 2014), with the names of torchvision's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dlc
from dlc import nn
from dlc.models.settings import Published, convolution_weights

# The convolutions between poolings, as numbers of channels.
_PLANS: dict[int, list[list[int]]] = {
    11: [[64], [128], [256] * 2, [512] * 2, [512] * 2],
    13: [[64] * 2, [128] * 2, [256] * 2, [512] * 2, [512] * 2],
    16: [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3],
    19: [[64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4],
}


class VGG(Published):
    """Convolutions of 3 x 3 and three linear layers: the scores of classes of images [N, 3, H, W].

    Args:
        plan: For each resolution, the channels of its convolutions.
        num_classes: The number of classes.
        batch_norm: Whether there is batch normalisation after convolutions.
        dropout: The probability of dropout between linear layers.
        hidden: The extent of the linear layers between.

    Example:
        >>> model = dlc.models.VGG([[4], [8]], num_classes=5, hidden=16)
        >>> model(dlc.ones((2, 3, 28, 28))).shape
        (2, 5)
    """

    def __init__(
        self,
        plan: Sequence[Sequence[int]],
        num_classes: int = 1000,
        batch_norm: bool = False,
        dropout: float = 0.5,
        hidden: int = 4096,
    ) -> None:
        layers: list[Any] = []
        channels = 3
        for part in plan:
            for width in part:
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width)] if batch_norm else []
                layers.append(nn.ReLU())
                channels = width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(layers)
        self.classifier = nn.Sequential(
            nn.Linear(channels * 49, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )  # fmt: skip
        convolution_weights(self)
        init = nn.initializers.normal(0.0, 0.01)
        for layer in self.classifier:
            if isinstance(layer, nn.Linear):
                layer.weight.assign(init(layer.weight.shape, layer.weight.dtype))

    def forward(self, x: Any) -> Any:
        """The scores [N, num_classes] of images [N, 3, H, W], 32 or more each way for VGG-11."""
        x = dlc.adaptive_avg_pool2d(self.features(x), (7, 7))
        return self.classifier(x.reshape(x.shape[0], -1))


def vgg11(num_classes: int = 1000) -> VGG:
    """VGG-11, of 132.9 million parameters."""
    return VGG(_PLANS[11], num_classes)


def vgg13(num_classes: int = 1000) -> VGG:
    """VGG-13, of 133.0 million parameters."""
    return VGG(_PLANS[13], num_classes)


def vgg16(num_classes: int = 1000) -> VGG:
    """VGG-16, of 138.4 million parameters."""
    return VGG(_PLANS[16], num_classes)


def vgg19(num_classes: int = 1000) -> VGG:
    """VGG-19, of 143.7 million parameters."""
    return VGG(_PLANS[19], num_classes)


def vgg11_bn(num_classes: int = 1000) -> VGG:
    """VGG-11 with batch normalisation."""
    return VGG(_PLANS[11], num_classes, batch_norm=True)


def vgg13_bn(num_classes: int = 1000) -> VGG:
    """VGG-13 with batch normalisation."""
    return VGG(_PLANS[13], num_classes, batch_norm=True)


def vgg16_bn(num_classes: int = 1000) -> VGG:
    """VGG-16 with batch normalisation."""
    return VGG(_PLANS[16], num_classes, batch_norm=True)


def vgg19_bn(num_classes: int = 1000) -> VGG:
    """VGG-19 with batch normalisation."""
    return VGG(_PLANS[19], num_classes, batch_norm=True)
