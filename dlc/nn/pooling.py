"""Pooling layers, by PyTorch's names, with its defaults."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import dlc
from dlc.nn.described import described
from dlc.nn.module import Module

Steps: TypeAlias = int | tuple[int, ...]
Sizes: TypeAlias = int | tuple[int | None, ...] | None


class _Pool(Module):
    """A function of `dlc` over windows, with the attributes `settings` as its arguments."""

    rank: ClassVar[int]
    function: ClassVar[str]
    settings: ClassVar[tuple[str, ...]]

    def forward(self, x: Any) -> Any:
        """The function of x [N, C, ...], or without N."""
        settings = {name: getattr(self, name) for name in self.settings if hasattr(self, name)}
        return getattr(dlc, f"{self.function}{self.rank}d")(x, **settings)

    def extra_repr(self) -> str:
        """The settings."""
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in self.settings if hasattr(self, n))


_MAX = """
    See `dlc.max_pool{rank}d`.

    Args:
        kernel_size: The extent of a window, one number or one an axis.
        stride: How far a window is from the next one; kernel_size for None.
        padding: How much is added on either side, at most half a window; it is never the largest.
        dilation: How far the elements of a window are apart.
        return_indices: Whether the places of the largest elements are wanted too.
        ceil_mode: Whether a last window may reach beyond the end.

    Example:
        >>> dlc.nn.{name}(2)(dlc.ones((1, 3{sizes}))).shape
        (1, 3{half})
"""


class _MaxPool(_Pool):
    function = "max_pool"
    settings = ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode")

    def __init__(
        self,
        kernel_size: Steps,
        stride: Steps | None = None,
        padding: Steps = 0,
        dilation: Steps = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode


@described(_MAX)
class MaxPool1d(_MaxPool):
    """The largest element of each window of [N, C, L]."""

    rank = 1


@described(_MAX)
class MaxPool2d(_MaxPool):
    """The largest element of each window of [N, C, H, W]."""

    rank = 2


@described(_MAX)
class MaxPool3d(_MaxPool):
    """The largest element of each window of [N, C, D, H, W]."""

    rank = 3


_UNPOOL = """
    See `dlc.max_unpool{rank}d`.

    Args:
        kernel_size: The extent of a window, one number or one an axis.
        stride: How far a window is from the next one; kernel_size for None.
        padding: How much was added on either side.

    Example:
        >>> x, places = dlc.nn.MaxPool{rank}d(2, return_indices=True)(dlc.ones((1, 3{sizes})))
        >>> dlc.nn.{name}(2)(x, places).shape
        (1, 3{sizes})
"""


class _MaxUnpool(Module):
    rank: ClassVar[int]

    def __init__(self, kernel_size: Steps, stride: Steps | None = None, padding: Steps = 0) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, x: Any, indices: Any, output_size: Any = None) -> Any:
        """The elements at the places; `output_size` says from which extents they were pooled."""
        function = getattr(dlc, f"max_unpool{self.rank}d")
        return function(x, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """The windows."""
        return f"{self.kernel_size!r}, stride={self.stride!r}, padding={self.padding!r}"


@described(_UNPOOL)
class MaxUnpool1d(_MaxUnpool):
    """The elements of a `MaxPool1d` at their places in [N, C, L], zeros elsewhere."""

    rank = 1


@described(_UNPOOL)
class MaxUnpool2d(_MaxUnpool):
    """The elements of a `MaxPool2d` at their places in [N, C, H, W], zeros elsewhere."""

    rank = 2


@described(_UNPOOL)
class MaxUnpool3d(_MaxUnpool):
    """The elements of a `MaxPool3d` at their places in [N, C, D, H, W], zeros elsewhere."""

    rank = 3


_AVG = """
    See `dlc.avg_pool{rank}d`.

    Args:
        kernel_size: The extent of a window, one number or one an axis.
        stride: How far a window is from the next one; kernel_size for None.
        padding: How many zeros are added on either side, at most half a window.
        ceil_mode: Whether a last window may reach beyond the end.
        count_include_pad: Whether the zeros count in the mean.{divisor}

    Example:
        >>> dlc.nn.{name}(2)(dlc.ones((1, 3{sizes}))).shape
        (1, 3{half})
"""

_DIVISOR = """
        divisor_override: What sums are divided by, in the place of the number of elements."""


class _AvgPool(_Pool):
    function = "avg_pool"
    settings = (
        "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override",
    )  # fmt: skip

    def __init__(
        self,
        kernel_size: Steps,
        stride: Steps | None = None,
        padding: Steps = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override


@described(_AVG, divisor="")
class AvgPool1d(_AvgPool):
    """The mean of each window of [N, C, L]."""

    rank = 1

    def __init__(
        self,
        kernel_size: Steps,
        stride: Steps | None = None,
        padding: Steps = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


@described(_AVG, divisor=_DIVISOR)
class AvgPool2d(_AvgPool):
    """The mean of each window of [N, C, H, W]."""

    rank = 2


@described(_AVG, divisor=_DIVISOR)
class AvgPool3d(_AvgPool):
    """The mean of each window of [N, C, D, H, W]."""

    rank = 3


_LP = """
    See `dlc.lp_pool{rank}d`.

    Args:
        norm_type: The exponent p.
        kernel_size: The extent of a window, one number or one an axis.
        stride: How far a window is from the next one; kernel_size for None.
        ceil_mode: Whether a last window may reach beyond the end.

    Example:
        >>> dlc.nn.{name}(2, 2)(dlc.ones((1, 3{sizes}))).shape
        (1, 3{half})
"""


class _LPPool(_Pool):
    function = "lp_pool"
    settings = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(
        self,
        norm_type: float,
        kernel_size: Steps,
        stride: Steps | None = None,
        ceil_mode: bool = False,
    ) -> None:
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode


@described(_LP)
class LPPool1d(_LPPool):
    """The p-norm of each window of [N, C, L]: (sum of x**p) ** (1/p)."""

    rank = 1


@described(_LP)
class LPPool2d(_LPPool):
    """The p-norm of each window of [N, C, H, W]: (sum of x**p) ** (1/p)."""

    rank = 2


@described(_LP)
class LPPool3d(_LPPool):
    """The p-norm of each window of [N, C, D, H, W]: (sum of x**p) ** (1/p)."""

    rank = 3


_ADAPTIVE = """
    See `dlc.adaptive_{what}_pool{rank}d`.

    Args:
        output_size: The extents of the result, one number or one an axis; None for that of x.{more}

    Example:
        >>> dlc.nn.{name}(4)(dlc.ones((1, 3{sizes}))).shape
        (1, 3{half})
"""


class _AdaptiveAvgPool(_Pool):
    function = "adaptive_avg_pool"
    settings = ("output_size",)

    def __init__(self, output_size: Sizes) -> None:
        self.output_size = output_size


class _AdaptiveMaxPool(_Pool):
    function = "adaptive_max_pool"
    settings = ("output_size", "return_indices")

    def __init__(self, output_size: Sizes, return_indices: bool = False) -> None:
        self.output_size, self.return_indices = output_size, return_indices


_mean = described(_ADAPTIVE, what="avg", more="")
_largest = described(
    _ADAPTIVE, what="max",
    more="\n        return_indices: Whether the places of the largest elements are wanted too.",
)  # fmt: skip


@_mean
class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of as many windows of [N, C, L] as the result is to have."""

    rank = 1


@_mean
class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of as many windows of [N, C, H, W] as the result is to have."""

    rank = 2


@_mean
class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The means of as many windows of [N, C, D, H, W] as the result is to have."""

    rank = 3


@_largest
class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest elements of as many windows of [N, C, L] as the result is to have."""

    rank = 1


@_largest
class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest elements of as many windows of [N, C, H, W] as the result is to have."""

    rank = 2


@_largest
class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest elements of as many windows of [N, C, D, H, W] as the result is to have."""

    rank = 3
