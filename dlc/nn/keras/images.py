"""Layers that give images another size, and that change them at random while training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import dlc
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.nn.described import one_of
from dlc.nn.dropout import RandomState
from dlc.nn.keras.layer import Layer, channels_last

Factor = float | Sequence[float]


class OfImages(Layer):
    """What takes [N, H, W, C], or [N, C, H, W] with "channels_first", or one image without N."""

    def _set_up(self, data_format: str | None) -> None:
        self.last = channels_last(type(self).__name__, data_format)

    def _batch(self, x: Any) -> dlc.Tensor:
        """Images of floats [N, H, W, C]."""
        held = dlc.asarray(x, copy=None)
        if held.ndim not in (3, 4):
            raise ShapeError(
                f"{type(self).__name__} of {held.tensor}: it takes images [N, H, W, C], or one"
            )
        held = held if held.dtype.is_float else held.astype(dlc.float32)
        held = held[None] if held.ndim == 3 else held
        return held if self.last else dlc.permute_dims(held, (0, 2, 3, 1))

    def _as_given(self, images: dlc.Tensor, x: Any) -> dlc.Tensor:
        """Images as `_batch` makes them, in the form of what was given."""
        held = images if self.last else dlc.permute_dims(images, (0, 3, 1, 2))
        return held[0] if len(x.shape) == 3 else held


def _cut(images: dlc.Tensor, height: int, width: int) -> dlc.Tensor:
    """The middle of [N, H, W, C]."""
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top : top + height, left : left + width]


def _cut_to_ratio(images: dlc.Tensor, height: int, width: int) -> dlc.Tensor:
    """The largest middle whose sides are as these."""
    h, w = images.shape[1:3]
    return _cut(images, max(min(h, int(w * height / width)), 1),
                max(min(w, int(h * width / height)), 1))  # fmt: skip


def _resized(images: dlc.Tensor, size: tuple[int, int], mode: str, smooth: bool) -> dlc.Tensor:
    given = dlc.permute_dims(images, (0, 3, 1, 2))
    if mode == "nearest":
        made = dlc.interpolate(given, size, mode="nearest-exact")
    else:
        made = dlc.interpolate(given, size, mode=mode, antialias=smooth)
    return dlc.permute_dims(made, (0, 2, 3, 1))


class _Sized(OfImages):
    """What gives images of one size."""

    def _set_up_size(self, height: int, width: int, data_format: str | None) -> None:
        self._set_up(data_format)
        if height < 1 or width < 1:
            name = type(self).__name__
            raise ValueRangeError(f"{name}({height}, {width}): both must be at least 1")
        self.size = height, width

    def extra_repr(self) -> str:
        """The size."""
        return f"{self.size[0]}, {self.size[1]}"


class Resizing(_Sized):
    """Images of another size.

    Args:
        height, width: The size.
        interpolation: "bilinear" or "nearest".
        crop_to_aspect_ratio: Whether what does not fit the new ratio of the sides is cut off.
        pad_to_aspect_ratio: Whether images are padded to it.
        fill_mode: "constant", for the padding.
        fill_value: What they are padded with.
        antialias: Whether smaller images are means over all of the larger ones.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Integers stay such, rounded.

    Example:
        >>> dlc.nn.Resizing(2, 3)(dlc.ones((5, 8, 8, 1))).shape
        (5, 2, 3, 1)
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_size(height, width, data_format)
        self.interpolation = one_of(
            "Resizing", "interpolation", interpolation, ("bilinear", "nearest")
        )
        one_of("Resizing", "fill_mode", fill_mode, ("constant",))
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ArgumentError("Resizing crops to the ratio of the sides, or pads, but not both")
        self.crops, self.pads = crop_to_aspect_ratio, pad_to_aspect_ratio
        self.fill_value, self.antialias = fill_value, antialias

    def call(self, x: Any) -> dlc.Tensor:
        """The images of that size."""
        held = dlc.asarray(x, copy=None)
        images, (height, width) = self._batch(held), self.size
        if self.crops:
            images = _cut_to_ratio(images, height, width)
        elif self.pads:
            h, w = images.shape[1:3]
            more = [max(h, int(w * height / width)) - h, max(w, int(h * width / height)) - w]
            around = [(0, 0), *((m // 2, m // 2) for m in more), (0, 0)]  # as much on either side
            images = dlc.pad(images, around, constant_values=self.fill_value)
        found = _resized(images, self.size, self.interpolation, self.antialias)
        if not held.dtype.is_float:
            found = dlc.round(found).astype(held.dtype)
        return self._as_given(found, held)


class CenterCrop(_Sized):
    """The middle of images; of smaller ones the largest part of these sides, resized.

    Args:
        height, width: The size.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.CenterCrop(2, 2)(dlc.asarray([[[0], [1], [2], [3]]] * 4))[0, :, 0].tolist()
        [1.0, 2.0]
    """

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **common: Any
    ) -> None:
        super().__init__(**common)
        self._set_up_size(height, width, data_format)

    def call(self, x: Any) -> dlc.Tensor:
        """The middle; integers become float32."""
        held = dlc.asarray(x, copy=None)
        images, (height, width) = self._batch(held), self.size
        if images.shape[1] >= height and images.shape[2] >= width:
            return self._as_given(_cut(images, height, width), held)
        part = _cut_to_ratio(images, height, width)
        return self._as_given(_resized(part, self.size, "bilinear", smooth=False), held)


class ChangingImages(OfImages):
    """What changes images at random while training; each image has random numbers of its own."""

    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def _set_up_random(self, data_format: str | None, seed: int | None) -> None:
        self._set_up(data_format)
        self.random = RandomState(seed)

    def _limits(self, name: str, factor: Factor) -> tuple[float, float]:
        """The least and the largest value of a factor."""
        least, most = self.bounds
        if isinstance(factor, (int, float)):
            ends = [max(-abs(factor), least), factor if factor < least else abs(factor)]
        else:
            ends = sorted(factor)
        if len(ends) != 2 or ends[0] < least or ends[1] > most:
            raise ValueRangeError(
                f"{type(self).__name__}({name}={factor!r}): a number, or two, within "
                f"{least:g} and {most:g}"
            )
        return ends[0], ends[1]

    def drawn(self, images: dlc.Tensor, limits: tuple[float, float]) -> dlc.Tensor:
        """A uniform random number for each image, [N]."""
        return self.numbers(images.shape[0], limits, _exact(images))

    def numbers(self, count: Any, limits: tuple[float, float], dtype: Any) -> dlc.Tensor:
        """Uniform random numbers [count]."""
        low, high = limits
        found = dlc.random.uniform(self.random.next(), (count,), dtype)
        return found * (high - low) + low

    def beta(self, images: dlc.Tensor, alpha: Any) -> dlc.Tensor:
        """A random number of the symmetric beta distribution for each image, [N]."""
        dtype = _exact(images)
        return dlc.random.beta(self.random.next(), alpha, alpha, (images.shape[0],), dtype)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Changed images [N, H, W, C]."""
        raise NotImplementedError(type(self).__name__)

    def changed_with_labels(self, images: dlc.Tensor, labels: Any) -> tuple[Any, Any]:
        """Changed images, and what the labels are then."""
        return self.changed(images), labels

    def call(self, x: Any) -> Any:
        """Changed images while training, else the images; integers become float32.

        Of a dict of `images` and `labels`, such a dict.
        """
        if not isinstance(x, Mapping):
            return self._called(x, None)[0]
        if "images" not in x or not {*x} <= {"images", "labels"}:
            raise ArgumentError(
                f"{type(self).__name__} of a dict of {', '.join(map(repr, x))}: it takes images "
                "and labels"
            )
        images, labels = self._called(x["images"], x.get("labels"))
        return {"images": images, "labels": labels} if "labels" in x else {"images": images}

    def _called(self, x: Any, labels: Any) -> tuple[dlc.Tensor, Any]:
        held = dlc.asarray(x, copy=None)
        images = self._batch(held)
        if self.training:
            changed, labels = self.changed_with_labels(images, labels)
            images = changed.astype(images.dtype)
        return self._as_given(images, held), labels


class RandomFlip(ChangingImages):
    """While training, mirrors every second image, on average.

    Args:
        mode: "horizontal", "vertical" or "horizontal_and_vertical": the same images both ways, as
            Keras has it.
        seed: Where the random numbers begin; the global generator for None.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomFlip("horizontal").eval()(dlc.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_random(data_format, seed)
        modes = ("horizontal", "vertical", "horizontal_and_vertical")
        self.mode = one_of("RandomFlip", "mode", mode, modes)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images, some of them mirrored."""
        axes = tuple(a for a, name in ((1, "vertical"), (2, "horizontal")) if name in self.mode)
        chosen = self.drawn(images, (0.0, 1.0)) <= 0.5
        return dlc.where(chosen[:, None, None, None], dlc.flip(images, axis=axes), images)

    def extra_repr(self) -> str:
        """The mode."""
        return repr(self.mode)


class RandomCrop(_Sized, ChangingImages):
    """While training, a random part of each image; else the middle, of another size.

    Args:
        height, width: The size. The middle has the ratio of its sides and is as large as can be; it
            is also taken of images that are smaller.
        seed: Where the random numbers begin; the global generator for None.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomCrop(3, 2)(dlc.ones((2, 4, 4, 3))).shape
        (2, 3, 2, 3)
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_size(height, width, data_format)
        self._set_up_random(data_format, seed)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Parts of images."""
        starts: list[dlc.Tensor] = []
        for rest in (images.shape[1] - self.size[0], images.shape[2] - self.size[1]):
            start = dlc.floor(self.drawn(images, (0.0, 1.0)) * (rest + 1)).astype(dlc.int64)
            starts.append(dlc.minimum(start, rest)[:, None, None])
        rows = starts[0] + dlc.arange(self.size[0])[:, None]
        columns = starts[1] + dlc.arange(self.size[1])
        return images[dlc.arange(images.shape[0])[:, None, None], rows, columns]

    def call(self, x: Any) -> dlc.Tensor:
        """Parts of images; integers become float32."""
        held = dlc.asarray(x, copy=None)
        images, (height, width) = self._batch(held), self.size
        if self.training and images.shape[1] >= height and images.shape[2] >= width:
            return self._as_given(self.changed(images), held)
        part = _cut_to_ratio(images, height, width)
        return self._as_given(_resized(part, self.size, "bilinear", smooth=False), held)


class _Moving(ChangingImages):
    """What moves the places of images: each is read at an affine function of its own place."""

    def _set_up_moving(
        self, fill_mode: str, interpolation: str, seed: int | None, fill_value: float,
        data_format: str | None,
    ) -> None:  # fmt: skip
        self._set_up_random(data_format, seed)
        name, modes = type(self).__name__, ("reflect", "wrap", "constant", "nearest")
        self.fill_mode = one_of(name, "fill_mode", fill_mode, modes)
        self.interpolation = one_of(name, "interpolation", interpolation, ("bilinear", "nearest"))
        self.fill_value = fill_value

    def _moved(self, images: dlc.Tensor, rows: Any, columns: Any) -> dlc.Tensor:
        """Images read at other places.

        Args:
            images: [N, H, W, C].
            rows: Which row each place is read at: factors of its row and of its column and what is
                added, numbers or one for each image.
            columns: Which column.
        """
        height, width = images.shape[1:3]
        i = dlc.arange(height, dtype=_exact(images))[:, None]
        j = dlc.arange(width, dtype=_exact(images))
        y, x = (
            each(of_row) * i + each(of_column) * j + each(more)
            for of_row, of_column, more in (rows, columns)
        )
        if self.interpolation == "nearest":
            return self._at(images, dlc.floor(y + 0.5), dlc.floor(x + 0.5))
        top, left = dlc.floor(y), dlc.floor(x)
        down, right = (y - top)[..., None], (x - left)[..., None]
        upper = self._at(images, top, left) * (1 - right) + self._at(images, top, left + 1) * right
        lower = (
            self._at(images, top + 1, left) * (1 - right)
            + self._at(images, top + 1, left + 1) * right
        )
        return upper * (1 - down) + lower * down

    def _at(self, images: dlc.Tensor, y: dlc.Tensor, x: dlc.Tensor) -> dlc.Tensor:
        """The elements at whole places, which may be outside of the images."""
        height, width = images.shape[1:3]
        i, j = y.astype(dlc.int64), x.astype(dlc.int64)
        k = dlc.arange(images.shape[0])[:, None, None]
        found = images[k, self._inside(i, height), self._inside(j, width)]
        if self.fill_mode != "constant":
            return found
        there = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        return dlc.where(there[..., None], found, self.fill_value)

    def _inside(self, place: dlc.Tensor, extent: Any) -> dlc.Tensor:
        if self.fill_mode == "wrap":
            return place % extent
        if self.fill_mode == "reflect":  # d c b a | a b c d | d c b a
            place = place % (2 * extent)
            return dlc.minimum(place, 2 * extent - 1 - place)
        return dlc.clip(place, 0, extent - 1)


def _exact(images: dlc.Tensor) -> dlc.DType:
    """A type that holds places in images."""
    return images.dtype if images.dtype.itemsize > 2 else dlc.float32


def each(value: Any) -> Any:
    """A number for each image, before its rows and columns; or one number."""
    return value[:, None, None] if isinstance(value, dlc.Tensor) else value


class RandomTranslation(_Moving):
    """While training, moves images down and to the right by random parts of their sides.

    Args:
        height_factor: The largest part of the height, either way; or the least and the largest.
        width_factor: The same of the width.
        fill_mode: What is outside of an image: "reflect" (d c b a | a b c d | d c b a), "wrap",
            "nearest", or "constant" for `fill_value`.
        interpolation: "bilinear" or "nearest".
        seed: Where the random numbers begin; the global generator for None.
        fill_value: See `fill_mode`.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomTranslation(0.1, 0.2).eval()(dlc.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_moving(fill_mode, interpolation, seed, fill_value, data_format)
        self.height = self._limits("height_factor", height_factor)
        self.width = self._limits("width_factor", width_factor)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images that were moved."""
        down = self.drawn(images, self.height) * images.shape[1]
        right = self.drawn(images, self.width) * images.shape[2]
        return self._moved(images, (1, 0, -down), (0, 1, -right))


class RandomRotation(_Moving):
    """While training, turns images around their middles.

    Args:
        factor: The largest angle, either way, as a part of a full turn; or the least and the
            largest. Positive ones turn against the clock.
        fill_mode: What is outside of an image: "reflect" (d c b a | a b c d | d c b a), "wrap",
            "nearest", or "constant" for `fill_value`.
        interpolation: "bilinear" or "nearest".
        seed: Where the random numbers begin; the global generator for None.
        fill_value: See `fill_mode`.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomRotation(0.1).eval()(dlc.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_moving(fill_mode, interpolation, seed, fill_value, data_format)
        self.factor = self._limits("factor", factor)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images that were turned."""
        angle = self.drawn(images, self.factor) * (2 * math.pi)
        cos, sin = dlc.cos(angle), dlc.sin(angle)
        y, x = ((d - 1) / 2 for d in images.shape[1:3])
        return self._moved(
            images, (cos, sin, y - cos * y - sin * x), (-sin, cos, x + sin * y - cos * x)
        )


class RandomShear(_Moving):
    """While training, moves rows and columns of images the more the farther they are.

    Args:
        x_factor: How far rows go for each row, at most, within 0 and 1, either way; or the least
            and the largest.
        y_factor: The same of columns.
        interpolation: "bilinear" or "nearest".
        fill_mode: What is outside of an image: "reflect" (d c b a | a b c d | d c b a), "wrap",
            "nearest", or "constant" for `fill_value`.
        fill_value: See `fill_mode`.
        data_format: "channels_last" or "channels_first".
        seed: Where the random numbers begin; the global generator for None.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomShear(0.1).eval()(dlc.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        x_factor: Factor = 0.0,
        y_factor: Factor = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_moving(fill_mode, interpolation, seed, fill_value, data_format)
        self.x_factor = self._limits("x_factor", x_factor)
        self.y_factor = self._limits("y_factor", y_factor)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images that were sheared."""
        sign = dlc.where(self.drawn(images, (0.0, 1.0)) > 0.5, -1.0, 1.0)
        down = sign * self.drawn(images, self.y_factor)
        right = sign * self.drawn(images, self.x_factor)
        return self._moved(images, (1, down, 0), (right, 1, 0))


class RandomZoom(_Moving):
    """While training, makes what is seen of images larger or smaller.

    Args:
        height_factor: How much more of the height is seen, at most, either way; or the least and
            the largest. Positive ones zoom out.
        width_factor: The same of the width; that of the height for None.
        fill_mode: What is outside of an image: "reflect" (d c b a | a b c d | d c b a), "wrap",
            "nearest", or "constant" for `fill_value`.
        interpolation: "bilinear" or "nearest".
        seed: Where the random numbers begin; the global generator for None.
        fill_value: See `fill_mode`.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomZoom(0.1).eval()(dlc.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_moving(fill_mode, interpolation, seed, fill_value, data_format)
        self.height = self._limits("height_factor", height_factor)
        self.width = None if width_factor is None else self._limits("width_factor", width_factor)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Larger or smaller images."""
        down = 1 + self.drawn(images, self.height)
        right = down if self.width is None else 1 + self.drawn(images, self.width)
        y, x = ((d - 1) / 2 for d in images.shape[1:3])
        return self._moved(images, (down, 0, y * (1 - down)), (0, right, x * (1 - right)))


class RandomContrast(ChangingImages):
    """While training, multiplies the distance of each channel to its mean.

    Args:
        factor: The factor is within 1 - `factor` and 1 + `factor`; of two numbers, the first is
            taken off and the second added.
        value_range: The least and the largest value of images; results are clipped to it.
        seed: Where the random numbers begin; the global generator for None.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomContrast(0.2).eval()(dlc.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_random(data_format, seed)
        both = (factor, factor) if isinstance(factor, (int, float)) else tuple(factor)
        if len(both) != 2 or not all(0 <= f <= 1 for f in both):
            raise ValueRangeError(
                f"RandomContrast(factor={factor!r}): a number, or two, within 0 and 1"
            )
        self.factor, self.value_range = (1 - both[0], 1 + both[1]), tuple(value_range)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Images of another contrast."""
        mean = dlc.mean(images, axis=(1, 2), keepdims=True)
        factor = self.drawn(images, self.factor)[:, None, None, None]
        return dlc.clip((images - mean) * factor + mean, *self.value_range)


class RandomBrightness(ChangingImages):
    """While training, adds a random part of the range of values.

    Args:
        factor: The largest part, either way; or the least and the largest.
        value_range: The least and the largest value of images; results are clipped to it.
        seed: Where the random numbers begin; the global generator for None.
        data_format: "channels_last" or "channels_first".
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RandomBrightness(0.2).eval()(dlc.ones((2, 4, 4, 3))).shape
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up_random(data_format, seed)
        self.factor, self.value_range = self._limits("factor", factor), tuple(value_range)

    def changed(self, images: dlc.Tensor) -> dlc.Tensor:
        """Lighter or darker images."""
        least, most = self.value_range
        more = self.drawn(images, self.factor)[:, None, None, None] * (most - least)
        return dlc.clip(images + more, least, most)
