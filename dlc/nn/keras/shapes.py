"""Layers that move elements, by Keras's names: other shapes, padding, cropping, upsampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import dlc
from dlc.nn.described import described, one_of, per_axis, positive
from dlc.nn.keras.layer import Layer, channels_last
from dlc.nn.reshaping import product

Pairs: TypeAlias = int | Sequence[int] | Sequence[Sequence[int]]


class Reshape(Layer):
    """Each example in another shape.

    Args:
        target_shape: The shape without the axis of examples; one extent may be -1.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.Reshape((-1, 2))(dlc.ones((3, 8))).shape
        (3, 4, 2)
    """

    def __init__(self, target_shape: Sequence[int], **common: Any) -> None:
        super().__init__(**common)
        self.target_shape = tuple(target_shape)

    def call(self, x: Any) -> dlc.Tensor:
        """x [N, ...] in the other shape."""
        sizes: list[Any] = list(self.target_shape)
        given = tuple(x.shape)
        rest = math.prod(s for s in sizes if s != -1)
        elements = product(given[1:])
        if -1 in sizes:
            sizes[sizes.index(-1)] = elements // max(rest, 1)
        if product(sizes) != elements:
            raise dlc.ShapeError(f"Reshape to {self.target_shape} of an input of shape {given}")
        return dlc.reshape(x, (given[0], *sizes))

    def extra_repr(self) -> str:
        """The shape."""
        return f"{self.target_shape}"


class Permute(Layer):
    """The axes of each example in another order.

    Args:
        dims: The axes in their new order, counted from 1.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.Permute((2, 1))(dlc.ones((3, 8, 2))).shape
        (3, 2, 8)
    """

    def __init__(self, dims: Sequence[int], **common: Any) -> None:
        super().__init__(**common)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise dlc.ValueRangeError(f"Permute({self.dims}): these are no axes from 1 on")

    def call(self, x: Any) -> dlc.Tensor:
        """x with its axes in the new order."""
        return dlc.permute_dims(x, (0, *self.dims))

    def extra_repr(self) -> str:
        """The order."""
        return f"{self.dims}"


class RepeatVector(Layer):
    """Each example several times: [N, C] to [N, n, C].

    Args:
        n: How many times.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.RepeatVector(3)(dlc.ones((2, 4))).shape
        (2, 3, 4)
    """

    def __init__(self, n: int, **common: Any) -> None:
        super().__init__(**common)
        (self.n,) = positive("RepeatVector", n=n)

    def call(self, x: Any) -> dlc.Tensor:
        """x repeated along a new axis."""
        if len(x.shape) != 2:
            raise dlc.ShapeError(f"RepeatVector of an input of shape {tuple(x.shape)}: it takes 2")
        return dlc.broadcast_to(dlc.expand_dims(x, axis=1), (x.shape[0], self.n, x.shape[1]))

    def extra_repr(self) -> str:
        """How many times."""
        return f"{self.n}"


class _Images(Layer):
    """What works on the axes of images, with channels last or first."""

    rank: ClassVar[int]

    def _set_up(self, data_format: str | None, common: dict[str, Any]) -> None:
        Layer.__init__(self, **common)
        self.last = channels_last(type(self).__name__, data_format)

    def _first(self, x: Any) -> int:
        """The first of the axes of the images."""
        if len(x.shape) != self.rank + 2:
            raise dlc.ShapeError(
                f"{type(self).__name__} of an input of shape {tuple(x.shape)}: it takes "
                f"{self.rank + 2} axes"
            )
        return 1 if self.last else 2

    def _pairs(self, name: str, given: Pairs) -> list[tuple[int, int]]:
        """(before, after) of each axis: of one number, one an axis, or a pair an axis."""
        if isinstance(given, int):
            return [per_axis(type(self).__name__, name, given, 2, 0)] * self.rank  # type: ignore[list-item]
        items = list(given)
        if self.rank == 1 and len(items) == 2 and all(isinstance(v, int) for v in items):
            items = [items]
        if len(items) != self.rank:
            raise dlc.ArgumentError(
                f"{type(self).__name__}({name}={given!r}): it takes one number, {self.rank}, or "
                "so many pairs"
            )
        return [per_axis(type(self).__name__, name, v, 2, 0) for v in items]  # type: ignore[misc]


_PADDING = """
    Args:
        padding: How many on either side of each axis, one number an axis, or (before, after) of
            each.
        data_format: "channels_last" for [N, {axes}, C], or "channels_first" for [N, C, {axes}].
        common: `name` of the layer.

    Example:
        >>> dlc.nn.{name}(1)(dlc.ones((1{sizes}, 3))).shape
        (1{longer}, 3)
"""


class _ZeroPadding(_Images):
    def __init__(self, padding: Pairs = 1, data_format: str | None = None, **common: Any) -> None:
        self._set_up(data_format, common)
        self.padding = self._pairs("padding", padding)

    def call(self, x: Any) -> dlc.Tensor:
        """x with zeros around it."""
        lead = [(0, 0)] * self._first(x)
        behind = [(0, 0)] * (len(x.shape) - len(lead) - self.rank)
        return dlc.pad(x, [*lead, *self.padding, *behind])

    def extra_repr(self) -> str:
        """The widths."""
        return f"{self.padding}"


_CROPPING = """
    Args:
        cropping: How many on either side of each axis, one number an axis, or (before, after) of
            each.
        data_format: "channels_last" for [N, {axes}, C], or "channels_first" for [N, C, {axes}].
        common: `name` of the layer.

    Example:
        >>> dlc.nn.{name}(2)(dlc.ones((1{sizes}, 3))).shape
        (1{half}, 3)
"""


class _Cropping(_Images):
    def __init__(self, cropping: Pairs = 0, data_format: str | None = None, **common: Any) -> None:
        self._set_up(data_format, common)
        self.cropping = self._pairs("cropping", cropping)

    def call(self, x: Any) -> dlc.Tensor:
        """x without the elements at its edges."""
        first = self._first(x)
        cuts: list[slice] = [slice(None)] * first
        for k, (before, after) in enumerate(self.cropping):
            extent = x.shape[first + k]
            if isinstance(extent, int) and before + after >= extent:
                raise dlc.ShapeError(
                    f"{type(self).__name__}({self.cropping}) of an input of shape "
                    f"{tuple(x.shape)}: nothing is left"
                )
            cuts.append(slice(before, extent - after))
        return dlc.asarray(x, copy=None)[tuple(cuts)]

    def extra_repr(self) -> str:
        """The widths."""
        return f"{self.cropping}"


_UPSAMPLING = """
    Args:
        size: The factor of each axis, one number or one an axis.
        data_format: "channels_last", [N, {axes}, C], or "channels_first", [N, C, {axes}].{more}
        common: `name` of the layer.

    Example:
        >>> dlc.nn.{name}(2)(dlc.ones((1{half}, 3))).shape
        (1{sizes}, 3)
"""


class _UpSampling(_Images):
    def __init__(self, size: Any = 2, data_format: str | None = None, **common: Any) -> None:
        self._set_up(data_format, common)
        self.size = per_axis(type(self).__name__, "size", size, self.rank)

    def call(self, x: Any) -> dlc.Tensor:
        """x with its elements repeated."""
        first = self._first(x)
        held = dlc.asarray(x, copy=None)
        for k, times in enumerate(self.size):
            held = dlc.repeat(held, times, axis=first + k)
        return held

    def extra_repr(self) -> str:
        """The factors."""
        return f"{self.size}"


@described(_UPSAMPLING, more="")
class UpSampling1D(_UpSampling):
    """Each element of [N, L, C] several times along L."""

    rank = 1


@described(
    _UPSAMPLING, more='\n        interpolation: "nearest", or "bilinear" for means of neighbours.'
)
class UpSampling2D(_UpSampling):
    """Images [N, H, W, C] so many times as large."""

    rank = 2

    def __init__(
        self,
        size: Any = 2,
        data_format: str | None = None,
        interpolation: str = "nearest",
        **common: Any,
    ) -> None:
        super().__init__(size, data_format, **common)
        known = ("nearest", "bilinear")
        self.interpolation = one_of("UpSampling2D", "interpolation", interpolation, known)

    def call(self, x: Any) -> dlc.Tensor:
        """The larger images."""
        if self.interpolation == "nearest":
            return super().call(x)
        first = self._first(x)
        sizes = [d * s for d, s in zip(x.shape[first : first + 2], self.size, strict=True)]
        held = dlc.moveaxis(x, -1, 1) if self.last else x
        y = dlc.interpolate(held, sizes, mode="bilinear")
        return dlc.moveaxis(y, 1, -1) if self.last else y


@described(_UPSAMPLING, more="")
class UpSampling3D(_UpSampling):
    """Each element of [N, D, H, W, C] several times along D, H and W."""

    rank = 3


@described(_PADDING)
class ZeroPadding1D(_ZeroPadding):
    """Zeros around [N, L, C]."""

    rank = 1


@described(_PADDING)
class ZeroPadding2D(_ZeroPadding):
    """Zeros around [N, H, W, C]."""

    rank = 2


@described(_PADDING)
class ZeroPadding3D(_ZeroPadding):
    """Zeros around [N, D, H, W, C]."""

    rank = 3


@described(_CROPPING)
class Cropping1D(_Cropping):
    """[N, L, C] without elements at its edges."""

    rank = 1

    def __init__(
        self, cropping: Pairs = (1, 1), data_format: str | None = None, **common: Any
    ) -> None:
        super().__init__(cropping, data_format, **common)


@described(_CROPPING)
class Cropping2D(_Cropping):
    """[N, H, W, C] without elements at its edges."""

    rank = 2


@described(_CROPPING)
class Cropping3D(_Cropping):
    """[N, D, H, W, C] without elements at its edges."""

    rank = 3

    def __init__(self, cropping: Pairs = 1, data_format: str | None = None, **common: Any) -> None:
        super().__init__(cropping, data_format, **common)
