"""Pooling by Keras's names, with channels last by default."""

from __future__ import annotations

import math
from typing import Any, ClassVar, TypeAlias

import dlc
from dlc.frontend.functions.convolution import paddings
from dlc.nn.described import described, one_of, per_axis
from dlc.nn.keras.layer import Layer, channels_last

Steps: TypeAlias = int | tuple[int, ...]


class _Spatial(Layer):
    """What pools along so many axes."""

    rank: ClassVar[int]

    def _set_up(self, data_format: str | None, common: dict[str, Any]) -> None:
        Layer.__init__(self, **common)
        self.last = channels_last(type(self).__name__, data_format)

    def _check(self, x: Any) -> None:
        if len(x.shape) != self.rank + 2:
            raise dlc.ShapeError(
                f"{type(self).__name__} of an input of shape {tuple(x.shape)}: it takes "
                f"{self.rank + 2} axes"
            )


_POOL = """
    Args:
        pool_size: The extents of a window, one number or one an axis.
        strides: How far a window is from the next one; pool_size for None.
        padding: "valid" for nothing, or "same" for as many windows as strides fit into an axis.
        data_format: "channels_last" for [N, {axes}, C], or "channels_first" for [N, C, {axes}].
        common: `name` of the layer.

    Example:
        >>> dlc.nn.{name}(2)(dlc.ones((1{sizes}, 3))).shape
        (1{half}, 3)
"""


class _Pooling(_Spatial):
    pool: ClassVar[str]

    def __init__(
        self,
        pool_size: Steps = 2,
        strides: Steps | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **common: Any,
    ) -> None:
        self._set_up(data_format, common)
        name = type(self).__name__
        self.pool_size = per_axis(name, "pool_size", pool_size, self.rank)
        self.strides = self.pool_size
        if strides is not None:
            self.strides = per_axis(name, "strides", strides, self.rank)
        self.padding = one_of(name, "padding", padding.lower(), ("valid", "same"))

    def call(self, x: Any) -> dlc.Tensor:
        """The pooled x."""
        self._check(x)
        held = dlc.moveaxis(x, -1, 1) if self.last else dlc.asarray(x, copy=None)
        extents, name = held.tensor.shape[2:], type(self).__name__
        around = paddings(name, self.padding, extents, self.pool_size, self.strides)
        pool = getattr(dlc, f"{self.pool}_pool{self.rank}d")
        if all(pair == (0, 0) for pair in around):
            y = pool(held, self.pool_size, self.strides)
        else:
            y = self._padded(held, [(0, 0), (0, 0), *around], pool)
        return dlc.moveaxis(y, 1, -1) if self.last else y

    def _padded(self, x: dlc.Tensor, widths: Any, pool: Any) -> dlc.Tensor:
        if self.pool == "max":
            least = -math.inf if x.dtype.is_float else dlc.iinfo(x.dtype).min
            wide = dlc.pad(x, widths, constant_values=least)
            return pool(wide, self.pool_size, self.strides)
        # Padding does not count in the mean.
        ones = dlc.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
        sums, counts = (pool(dlc.pad(t, widths), self.pool_size, self.strides) for t in (x, ones))
        return sums / counts

    def extra_repr(self) -> str:
        """The settings."""
        return f"pool_size={self.pool_size}, strides={self.strides}, padding={self.padding!r}"


class _MaxPooling(_Pooling):
    pool = "max"


class _AveragePooling(_Pooling):
    pool = "avg"


_GLOBAL = """
    Args:
        data_format: "channels_last" for [N, {axes}, C], or "channels_first" for [N, C, {axes}].
        keepdims: Whether the axes stay, with extent 1.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.{name}()(dlc.ones((1{sizes}, 3))).shape
        (1, 3)
"""


class _GlobalPooling(_Spatial):
    largest: ClassVar[bool] = False

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **common: Any
    ) -> None:
        self._set_up(data_format, common)
        self.keepdims = keepdims

    def call(self, x: Any) -> dlc.Tensor:
        """The pooled x: [N, C]."""
        self._check(x)
        first = 1 if self.last else 2
        axes = tuple(range(first, first + self.rank))
        reduce = dlc.max if self.largest else dlc.mean
        return reduce(x, axis=axes, keepdims=self.keepdims)


class _GlobalMaxPooling(_GlobalPooling):
    largest = True


_ADAPTIVE = """
    Args:
        output_size: The extents of the result, one number or one an axis.
        data_format: "channels_last" for [N, {axes}, C], or "channels_first" for [N, C, {axes}].
        common: `name` of the layer.

    Example:
        >>> dlc.nn.{name}(4)(dlc.ones((1{sizes}, 3))).shape
        (1{half}, 3)
"""


class _AdaptivePooling(_Spatial):
    pool: ClassVar[str] = "avg"

    def __init__(self, output_size: Steps, data_format: str | None = None, **common: Any) -> None:
        self._set_up(data_format, common)
        self.output_size = per_axis(type(self).__name__, "output_size", output_size, self.rank)

    def call(self, x: Any) -> dlc.Tensor:
        """The pooled x."""
        self._check(x)
        held = dlc.moveaxis(x, -1, 1) if self.last else x
        y = getattr(dlc, f"adaptive_{self.pool}_pool{self.rank}d")(held, self.output_size)
        return dlc.moveaxis(y, 1, -1) if self.last else y

    def extra_repr(self) -> str:
        """The extents."""
        return f"output_size={self.output_size}"


class _AdaptiveMaxPooling(_AdaptivePooling):
    pool = "max"


@described(_POOL)
class MaxPooling1D(_MaxPooling):
    """The largest element of each window of [N, L, C]."""

    rank = 1


@described(_POOL)
class MaxPooling2D(_MaxPooling):
    """The largest element of each window of [N, H, W, C]."""

    rank = 2


@described(_POOL)
class MaxPooling3D(_MaxPooling):
    """The largest element of each window of [N, D, H, W, C]."""

    rank = 3


@described(_POOL)
class AveragePooling1D(_AveragePooling):
    """The mean of each window of [N, L, C]."""

    rank = 1


@described(_POOL)
class AveragePooling2D(_AveragePooling):
    """The mean of each window of [N, H, W, C]."""

    rank = 2


@described(_POOL)
class AveragePooling3D(_AveragePooling):
    """The mean of each window of [N, D, H, W, C]."""

    rank = 3


@described(_GLOBAL)
class GlobalMaxPooling1D(_GlobalMaxPooling):
    """The largest element of each channel of [N, L, C]."""

    rank = 1


@described(_GLOBAL)
class GlobalMaxPooling2D(_GlobalMaxPooling):
    """The largest element of each channel of [N, H, W, C]."""

    rank = 2


@described(_GLOBAL)
class GlobalMaxPooling3D(_GlobalMaxPooling):
    """The largest element of each channel of [N, D, H, W, C]."""

    rank = 3


@described(_GLOBAL)
class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of each channel of [N, L, C]."""

    rank = 1


@described(_GLOBAL)
class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel of [N, H, W, C]."""

    rank = 2


@described(_GLOBAL)
class GlobalAveragePooling3D(_GlobalPooling):
    """The mean of each channel of [N, D, H, W, C]."""

    rank = 3


@described(_ADAPTIVE)
class AdaptiveMaxPooling1D(_AdaptiveMaxPooling):
    """The largest elements of as many windows of [N, L, C] as the result has."""

    rank = 1


@described(_ADAPTIVE)
class AdaptiveMaxPooling2D(_AdaptiveMaxPooling):
    """The largest elements of as many windows of [N, H, W, C] as the result has."""

    rank = 2


@described(_ADAPTIVE)
class AdaptiveMaxPooling3D(_AdaptiveMaxPooling):
    """The largest elements of as many windows of [N, D, H, W, C] as the result has."""

    rank = 3


@described(_ADAPTIVE)
class AdaptiveAveragePooling1D(_AdaptivePooling):
    """The means of as many windows of [N, L, C] as the result has."""

    rank = 1


@described(_ADAPTIVE)
class AdaptiveAveragePooling2D(_AdaptivePooling):
    """The means of as many windows of [N, H, W, C] as the result has."""

    rank = 2


@described(_ADAPTIVE)
class AdaptiveAveragePooling3D(_AdaptivePooling):
    """The means of as many windows of [N, D, H, W, C] as the result has."""

    rank = 3


# Keras's short names.
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
