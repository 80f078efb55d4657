"""Layers that put parts of images into others, or take them out, while training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dlc
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.nn.keras.images import ChangingImages, Factor


def _rectangles(
    layer: ChangingImages, images: dlc.Tensor, height: Any, width: Any
) -> tuple[dlc.Tensor, dlc.Tensor]:
    """Random rectangles with sides [N], which are parts of those of the images.

    Returns:
        Bools [N, H, W, 1], true inside, and the part of the area [N] between their borders, which
        may lie between pixels.
    """
    inside: list[dlc.Tensor] = []
    for side, part in ((2, width), (1, height)):
        extent = images.shape[side]
        length = part * extent
        start = layer.drawn(images, (0.0, 1.0)) * (extent - length)
        place = dlc.arange(extent, dtype=start.dtype)
        inside.append((place >= start[:, None]) & (place < (start + length)[:, None]))
    columns, rows = inside
    return (rows[:, :, None] & columns[:, None, :])[..., None], height * width


class _Mixing(ChangingImages):
    """What mixes images with others of the batch, and their labels."""

    def changed_with_labels(self, images: dlc.Tensor, labels: Any) -> tuple[Any, Any]:
        """Images [N, H, W, C] and labels [N, classes], or None, mixed with others."""
        order = dlc.argsort(self.drawn(images, (0.0, 1.0)))
        mixed, kept = self._mixed(images, images[order])
        if labels is None:
            return mixed, None
        given = dlc.asarray(labels, copy=None)
        if given.ndim < 2:
            raise ShapeError(
                f"{type(self).__name__}: labels {given.tensor}, which cannot be mixed",
                hint="give probabilities of classes [N, classes], as of dlc.one_hot",
            )
        given = given if given.dtype.is_float else given.astype(dlc.float32)
        share = kept.reshape(-1, *(1,) * (given.ndim - 1)).astype(given.dtype)
        return mixed, share * given + (1 - share) * given[order]

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Mixed images."""
        return self.changed_with_labels(images, None)[0]

    def _mixed(self, images: dlc.Tensor, others: dlc.Tensor) -> tuple[dlc.Tensor, dlc.Tensor]:
        """The images, and the part of each that is kept, [N]."""
        raise NotImplementedError(type(self).__name__)


class MixUp(_Mixing):
    """While training, adds other images of the batch, and their labels (Zhang et al., 2018).

    Args:
        alpha: Both parameters of the beta distribution that parts are drawn from.
        data_format: "channels_last" or "channels_first".
        seed: Where the random numbers begin; the global generator for None.
        common: `name` of the layer.

    It takes images, or a dict of `images` and `labels`, which are probabilities [N, classes].

    Example:
        >>> batch = {"images": dlc.ones((2, 4, 4, 3)), "labels": dlc.eye(2)}
        >>> dlc.nn.MixUp()(batch)["labels"].sum(axis=1).tolist()
        [1.0, 1.0]
    """

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: str | None = None,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_random(data_format, seed)
        if alpha <= 0:
            raise ValueRangeError(f"MixUp(alpha={alpha}): it must be above 0")
        self.alpha = alpha

    def _mixed(self, images: dlc.Tensor, others: dlc.Tensor) -> tuple[dlc.Tensor, dlc.Tensor]:
        share = self.beta(images, self.alpha)
        part = share[:, None, None, None]
        return part * images + (1 - part) * others, share


class CutMix(_Mixing):
    """While training, puts rectangles of other images in, and their labels (Yun et al., 2019).

    Args:
        factor: Both parameters of the beta distribution that areas are drawn from are drawn from 0
            to it, or between two.
        seed: Where the random numbers begin; the global generator for None.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    It takes images, or a dict of `images` and `labels`, which are probabilities [N, classes].

    Example:
        >>> batch = {"images": dlc.ones((2, 4, 4, 3)), "labels": dlc.eye(2)}
        >>> dlc.nn.CutMix()(batch)["images"].shape
        (2, 4, 4, 3)
    """

    bounds = (0.0, 1.0)

    def __init__(
        self,
        factor: Factor = 1.0,
        seed: int | None = None,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_random(data_format, seed)
        self.factor = self._limits("factor", factor)

    def _mixed(self, images: dlc.Tensor, others: dlc.Tensor) -> tuple[dlc.Tensor, dlc.Tensor]:
        alpha = self.numbers(1, self.factor, images.dtype)[0] + 1e-6
        side = dlc.sqrt(1 - self.beta(images, alpha))
        inside, area = _rectangles(self, images, side, side)
        return dlc.where(inside, others, images), 1 - area


class RandomErasing(ChangingImages):
    """While training, fills a rectangle of some images (Zhong et al., 2020).

    Args:
        factor: The probability, at most, or the least and the largest.
        scale: Height and width are the square roots of two numbers within these, as parts of the
            images.
        fill_value: What it is filled with, one number or one a channel; None for noise.
        value_range: The least and the largest value of images.
        seed: Where the random numbers begin; the global generator for None.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomErasing((1, 1), (1, 1), 0.0)(dlc.ones((1, 1, 2, 1))).tolist()
        [[[[0.0], [0.0]]]]
    """

    bounds = (0.0, 1.0)

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = (0.02, 0.33),
        fill_value: float | Sequence[float] | None = None,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_random(data_format, seed)
        self.factor, self.scale = self._limits("factor", factor), self._limits("scale", scale)
        self.fill_value, self.value_range = fill_value, tuple(value_range)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images, some of them with a rectangle that is filled."""
        width, height = (dlc.sqrt(self.drawn(images, self.scale)) for _ in range(2))
        inside, _ = _rectangles(self, images, height, width)
        probability = self.drawn(images, self.factor)
        chosen = (self.drawn(images, (0.0, 1.0)) < probability)[:, None, None, None]
        return dlc.where(chosen & inside, self._filling(images), images)

    def _filling(self, images: dlc.Tensor) -> dlc.Tensor:
        low, high = self.value_range
        if self.fill_value is not None:
            return dlc.clip(dlc.asarray(self.fill_value, dtype=images.dtype), low, high)
        noise = dlc.random.normal(self.random.next(), images.shape, images.dtype)
        return dlc.clip(noise * high, low, high)
