"""Layers that change the colours of images, most of them at random while training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dlc
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.nn.described import described, per_axis
from dlc.nn.keras.convolution import convolved
from dlc.nn.keras.images import (
    ChangingImages,
    Factor,
    OfImages,
    RandomBrightness,
    RandomContrast,
    each,
)

Range = Sequence[float]

_SHARED = """value_range: The least and the largest value of images.
        seed: Where the random numbers begin; the global generator for None.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.{name}({example}).eval()(dlc.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)"""


def _scaled(images: Any, given: Range, wanted: Range) -> Any:
    """Values from one range in another."""
    if tuple(given) == tuple(wanted):
        return images
    (low, high), (least, most) = given, wanted
    return (images - low) / (high - low) * (most - least) + least


def _range(layer: str, value_range: Range) -> tuple[float, float]:
    if len(value_range) != 2 or value_range[0] == value_range[1]:
        raise ValueRangeError(f"{layer}(value_range={value_range!r}): it takes two numbers")
    return min(value_range), max(value_range)


def _grey(images: dlc.Tensor) -> dlc.Tensor:
    """The brightness of [N, H, W, 3] to the eye, [N, H, W, 1]; other images of 1 channel."""
    if images.shape[-1] == 1:
        return images
    _check_colours(images)
    red, green, blue = dlc.split(images, 3, axis=-1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def _check_colours(images: dlc.Tensor) -> None:
    if images.shape[-1] != 3:
        raise ShapeError(f"images with {images.shape[-1]} channels, where red, green, blue are 3")


def _to_hsv(images: dlc.Tensor) -> list[dlc.Tensor]:
    """Hue, saturation and value of [N, H, W, 3], each [N, H, W]; the hue is within 0 and 1."""
    _check_colours(images)
    tiny = dlc.finfo(images.dtype).eps
    red, green, blue = dlc.unstack(dlc.where(dlc.abs(images) < tiny, 0.0, images), axis=-1)
    value = dlc.maximum(dlc.maximum(red, green), blue)
    spread = value - dlc.minimum(dlc.minimum(red, green), blue)
    saturation = dlc.where(value > 0, spread / dlc.where(value > 0, value, 1.0), 0.0)
    sixth = 1.0 / (6.0 * dlc.where(spread > 0, spread, 1.0))
    hue = dlc.where(value == green, sixth * (blue - red) + 2 / 6, sixth * (red - green) + 4 / 6)
    hue = dlc.where(value == red, sixth * (green - blue), hue)
    hue = dlc.where(spread > 0, hue, 0.0) + (hue < 0.0).astype(images.dtype)
    return [hue, saturation, value]


def _from_hsv(hue: dlc.Tensor, saturation: dlc.Tensor, value: dlc.Tensor) -> dlc.Tensor:
    """[N, H, W, 3]."""
    turn = dlc.remainder(hue, 1.0) * 6.0
    parts = dlc.abs(turn - 3.0) - 1.0, 2.0 - dlc.abs(turn - 2.0), 2.0 - dlc.abs(turn - 4.0)
    return dlc.stack(
        [value * (1.0 - saturation + saturation * dlc.clip(p, 0.0, 1.0)) for p in parts], axis=-1
    )


class _Colours(ChangingImages):
    """What has a factor and a range of values."""

    bounds = (0.0, 1.0)

    def _set_up_colours(
        self, factor: Factor, value_range: Range, data_format: str | None, seed: int | None,
        common: dict[str, Any],
    ) -> None:  # fmt: skip
        super().__init__(**common)
        self._set_up_random(data_format, seed)
        self.factor = self._limits("factor", factor)
        self.value_range = _range(type(self).__name__, value_range)

    def _chosen(self, images: dlc.Tensor) -> dlc.Tensor:
        """Bools [N, 1, 1, 1], true with a probability within the factor, drawn for each image."""
        probability = self.drawn(images, self.factor)
        return (self.drawn(images, (0.0, 1.0)) < probability)[:, None, None, None]


class _OfFactor(_Colours):
    def __init__(
        self,
        factor: Factor,
        value_range: Range = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        self._set_up_colours(factor, value_range, data_format, seed, common)


_OF_FACTOR = f"""
    Args:
        factor: {{factor}}; a number is the largest, of two the first is the least.
        {_SHARED}
    """


@described(_OF_FACTOR, factor="0 for grey, 0.5 for no change, up to 1 for more colour", example=0.7)
class RandomSaturation(_OfFactor):
    """While training, makes colours weaker or stronger."""

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images of other saturations."""
        factor = self.drawn(images, self.factor)
        factor = (factor / (1 - factor + 1e-7))[:, None, None]
        hue, saturation, value = _to_hsv(images)
        return _from_hsv(hue, dlc.clip(saturation * factor, *self.value_range), value)


@described(_OF_FACTOR, factor="The part of half a turn", example=0.5)
class RandomHue(_OfFactor):
    """While training, turns the circle of colours, either way."""

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images of other hues."""
        sign = dlc.where(self.drawn(images, (0.0, 1.0)) > 0.5, -1.0, 1.0)
        turn = (sign * self.drawn(images, self.factor) * 0.5)[:, None, None]
        hue, saturation, value = _to_hsv(_scaled(images, self.value_range, (0, 1)))
        found = dlc.clip(_from_hsv(hue + turn, saturation, value), 0, 1)
        return _scaled(found, (0, 1), self.value_range)


@described(_OF_FACTOR, factor="How much of the colour is lost", example=0.5)
class RandomColorDegeneration(_OfFactor):
    """While training, mixes images with grey ones."""

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images of less colour."""
        factor = each(self.drawn(images, self.factor))[..., None]
        return dlc.clip(images + factor * (_grey(images) - images), *self.value_range)


@described(_OF_FACTOR, factor="0 for blurred, 0.5 for no change, 1 for sharpened", example=0.5)
class RandomSharpness(_OfFactor):
    """While training, makes images less sharp or more."""

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images of another sharpness."""
        channels, around = images.shape[-1], 1.0 / 13.0
        window = dlc.asarray([[around] * 3, [around, 5 * around, around], [around] * 3])
        kernel = dlc.broadcast_to(window[:, :, None, None], (3, 3, 1, channels))
        ones = (1, 1)
        smooth = convolved(
            images, kernel.astype(images.dtype), None, ones, "same", ones, channels, True
        )
        factor = each(self.drawn(images, self.factor))[..., None]
        return dlc.clip(images + (1.0 - 2 * factor) * (smooth - images), *self.value_range)


@described(_OF_FACTOR, factor="How many bits of 8 are kept, below the largest", example=4)
class RandomPosterization(_OfFactor):
    """While training, leaves fewer different values in images."""

    bounds = (1.0, 8.0)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images of fewer values."""
        low, high = self.factor
        bits = dlc.floor(self.drawn(images, self.factor)).astype(dlc.int32)
        dropped = 8 - dlc.clip(bits, int(low), max(int(high) - 1, int(low)))[:, None, None, None]
        given = _scaled(images, self.value_range, (0, 255)).astype(dlc.int32)
        kept = dlc.bitwise_left_shift(dlc.bitwise_right_shift(given, dropped), dropped)
        return _scaled(kept.astype(images.dtype), (0, 255), self.value_range)


class RandomInvert(_Colours):
    """While training, makes negatives of some images.

    Args:
        factor: The probability, at most, or the least and the largest.
        value_range: The least and the largest value of images.
        seed: Where the random numbers begin; the global generator for None.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomInvert((1, 1), (0, 1))(dlc.ones((1, 1, 1, 3))).tolist()
        [[[[0.0, 0.0, 0.0]]]]
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        value_range: Range = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        self._set_up_colours(factor, value_range, data_format, seed, common)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images, some of them negatives."""
        return dlc.where(self._chosen(images), self.value_range[1] - images, images)


class RandomGrayscale(ChangingImages):
    """While training, makes some images grey, which keep their channels.

    Args:
        factor: The probability.
        data_format: "channels_last" or "channels_first".
        seed: Where the random numbers begin; the global generator for None.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomGrayscale(1.0)(dlc.asarray([[[[1.0, 0.0, 0.0]]]])).tolist()
        [[[[0.298..., 0.298..., 0.298...]]]]
    """

    def __init__(
        self,
        factor: float = 0.5,
        data_format: str | None = None,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_random(data_format, seed)
        if not 0 <= factor <= 1:
            raise ValueRangeError(f"RandomGrayscale(factor={factor}): it is within 0 and 1")
        self.factor = factor

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images, some of them grey."""
        chosen = self.drawn(images, (0.0, 1.0)) < self.factor
        return dlc.where(chosen[:, None, None, None], _grey(images), images)


class RandomColorJitter(ChangingImages):
    """While training, changes brightness, contrast, saturation and hue, in this order.

    Args:
        value_range: The least and the largest value of images.
        brightness_factor, contrast_factor, saturation_factor, hue_factor: Those of
            `RandomBrightness`, `RandomContrast`, `RandomSaturation`, `RandomHue`; None for none.
        seed: Where the random numbers begin; the global generator for None.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> layer = dlc.nn.RandomColorJitter((0, 1), brightness_factor=0.2, hue_factor=0.1)
        >>> layer.eval()(dlc.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        value_range: Range = (0, 255),
        brightness_factor: Factor | None = None,
        contrast_factor: Factor | None = None,
        saturation_factor: Factor | None = None,
        hue_factor: Factor | None = None,
        seed: int | None = None,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_random(data_format, seed)
        factors = {
            RandomBrightness: brightness_factor, RandomContrast: contrast_factor,
            RandomSaturation: saturation_factor, RandomHue: hue_factor,
        }  # fmt: skip
        self.parts: list[Any] = [
            kind(factor, value_range) for kind, factor in factors.items() if factor is not None
        ]
        for part in self.parts:
            part.random = self.random

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images of other colours."""
        for part in self.parts:
            images = part.changed(images)
        return images


class RandomGaussianBlur(_Colours):
    """While training, blurs some images.

    Args:
        factor: The probability, at most, or the least and the largest.
        kernel_size: The extents of the window, one number or two.
        sigma: The largest deviation, in pixels, or the least and the largest, within 0 and 1; it is
            drawn once for all images, for rows and for columns.
        value_range: The least and the largest value of images.
        data_format: "channels_last" or "channels_first".
        seed: Where the random numbers begin; the global generator for None.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomGaussianBlur(0.5).eval()(dlc.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        kernel_size: int | tuple[int, int] = 3,
        sigma: Factor = 1.0,
        value_range: Range = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        self._set_up_colours(factor, value_range, data_format, seed, common)
        self.kernel_size = per_axis("RandomGaussianBlur", "kernel_size", kernel_size, 2)
        if any(k % 2 == 0 for k in self.kernel_size):
            raise ValueRangeError(f"RandomGaussianBlur(kernel_size={kernel_size}): it must be odd")
        self.sigma = self._limits("sigma", sigma)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images, some of them blurred."""
        chosen = self._chosen(images)
        of_columns, of_rows = dlc.unstack(self.numbers(2, self.sigma, images.dtype) + 1e-6)
        rows, columns = (
            _bell(k, s) for k, s in zip(self.kernel_size, (of_rows, of_columns), strict=True)
        )
        channels, ones = images.shape[-1], (1, 1)
        kernel = (rows[:, None] * columns)[:, :, None, None].astype(images.dtype)
        kernel = dlc.broadcast_to(kernel, (*self.kernel_size, 1, channels))
        blurred = convolved(images, kernel, None, ones, "same", ones, channels, True)
        return dlc.clip(dlc.where(chosen, blurred, images), *self.value_range)


def _bell(size: int, sigma: dlc.Tensor) -> dlc.Tensor:
    """Weights [size] of a normal distribution."""
    x = dlc.arange(size, dtype=sigma.dtype) - (size - 1) / 2
    weights = dlc.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()


class Solarization(ChangingImages):
    """While training, adds to all values, and makes negatives of those that are large then.

    Args:
        addition_factor: The largest part of the range that is added, or the least and the largest.
        threshold_factor: The part of the range above which values are inverted, in the same way.
        value_range: The least and the largest value of images.
        seed: Where the random numbers begin; the global generator for None.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.Solarization(value_range=(0, 1))(dlc.ones((1, 1, 1, 3))).tolist()
        [[[[0.0, 0.0, 0.0]]]]
    """

    bounds = (0.0, 1.0)

    def __init__(
        self,
        addition_factor: Factor = 0.0,
        threshold_factor: Factor = 0.0,
        value_range: Range = (0, 255),
        seed: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_random(None, seed)
        self.addition_factor = self._limits("addition_factor", addition_factor)
        self.threshold_factor = self._limits("threshold_factor", threshold_factor)
        self.value_range = _range("Solarization", value_range)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Solarised images."""
        more, limit = (  # Keras scales the upper ends only
            self.drawn(images, (low, high * 255))[:, None, None, None]
            for low, high in (self.addition_factor, self.threshold_factor)
        )
        found = dlc.clip(_scaled(images, self.value_range, (0, 255)) + more, 0, 255)
        found = dlc.where(found < limit, found, 255 - found)
        return _scaled(found, (0, 255), self.value_range)


class AutoContrast(OfImages):
    """Stretches the values of each channel over the whole range, always.

    Args:
        value_range: The least and the largest value of images. A channel of one value stays as it
            is.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.AutoContrast((0, 1))(dlc.asarray([[[0.5], [0.6], [0.7]]])).tolist()
        [[[0.0], [0.5...], [1.0]]]
    """

    def __init__(self, value_range: Range = (0, 255), **common: Any) -> None:
        super().__init__(**common)
        self._set_up(None)
        self.value_range = _range("AutoContrast", value_range)

    def call(self, x: Any) -> dlc.Tensor:
        """The images; integers become float32."""
        held = dlc.asarray(x, copy=None)
        images = self._batch(held)
        low, high = (f(images, axis=(1, 2), keepdims=True) for f in (dlc.min, dlc.max))
        flat = high == low
        part = (images - low) / dlc.where(flat, 1, high - low)
        found = dlc.where(flat, images, _scaled(part, (0, 1), self.value_range))
        return self._as_given(found, held)
