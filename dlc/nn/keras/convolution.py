"""Convolutions by Keras's names: kernels [*window, inputs, outputs], channels last by default."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import dlc
from dlc.nn import activations, initializers
from dlc.nn.described import described, one_of, per_axis, positive
from dlc.nn.functional.padding import surrounded
from dlc.nn.keras.layer import Layer, channels_last, known

Steps: TypeAlias = int | tuple[int, ...]


def convolved(
    x: Any, kernel: Any, bias: Any, strides: Any, padding: str, dilation: Any, groups: int,
    last: bool,
) -> Any:  # fmt: skip
    """The convolution of x with a kernel [*window, inputs / groups, outputs].

    Args:
        x: [N, *extents, C] if channels are `last`, else [N, C, *extents].
        kernel: The kernel.
        bias: [outputs], or None.
        strides: One an axis.
        padding: "valid" or "same".
        dilation: One an axis.
        groups: Into how many groups the channels are divided.
        last: Where channels are.
    """
    if not last:
        rank = len(kernel.shape) - 2
        kernel = dlc.permute_dims(kernel, (rank + 1, rank, *range(rank)))
    return dlc.conv(
        x, kernel, bias, stride=strides, padding=padding, dilation=dilation, groups=groups,
        data_format="channels_last" if last else "channels_first",
    )  # fmt: skip


class _Windows(Layer):
    """What all of them share: the window, how it moves, where channels are."""

    rank: ClassVar[int]
    bias: dlc.Variable | None = None

    def _set_up(
        self, kernel_size: Steps, strides: Steps, padding: str, data_format: str | None,
        dilation_rate: Steps, activation: Any, use_bias: bool, bias_initializer: Any,
        common: dict[str, Any],
    ) -> None:  # fmt: skip
        Layer.__init__(self, **common)
        name, rank = type(self).__name__, self.rank
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, rank)
        self.strides = per_axis(name, "strides", strides, rank)
        self.dilation_rate = per_axis(name, "dilation_rate", dilation_rate, rank)
        causal = ("causal",) if rank == 1 else ()
        self.padding = one_of(name, "padding", padding.lower(), ("valid", "same", *causal))
        self.last = channels_last(name, data_format)
        self.activation, self.use_bias = activations.get(activation), use_bias
        self.bias_initializer = initializers.get(bias_initializer)

    def _channels(self, shape: tuple[Any, ...]) -> int:
        if len(shape) != self.rank + 2:
            raise dlc.ShapeError(
                f"{type(self).__name__} of an input of shape {shape}: it takes {self.rank + 2} axes"
            )
        return known(self, shape[-1 if self.last else 1], "the number of channels")

    def _add_bias(self, channels: int) -> None:
        if self.use_bias:
            self.bias = self.add_weight((channels,), self.bias_initializer, name="bias")

    def _convolved(self, x: Any, kernel: Any, bias: Any, groups: int, first: bool = True) -> Any:
        """The convolution of x with a kernel [*window, inputs / groups, outputs]."""
        ones = (1,) * self.rank
        strides, dilation = (self.strides, self.dilation_rate) if first else (ones, ones)
        padding = self.padding if first else "valid"
        if padding == "causal":
            before = (self.kernel_size[0] - 1) * self.dilation_rate[0]
            around = [(before, 0), (0, 0)] if self.last else [(before, 0)]
            x, padding = surrounded(x, around), "valid"
        return convolved(x, kernel, bias, strides, padding, dilation, groups, self.last)

    def extra_repr(self) -> str:
        """The sizes."""
        name = getattr(self.activation, "__name__", "")
        shown = [f"kernel_size={self.kernel_size}", f"strides={self.strides}"]
        shown.append(f"padding={self.padding!r}")
        return ", ".join(shown + [f"activation={name!r}"] * (name not in ("", "linear")))


_SHARED = """kernel_size: The extents of a window, one number or one an axis.
        strides: How far a window is from the next one.
        padding: "valid" for nothing, "same" for as many windows as strides fit in an axis{causal}.
        data_format: "channels_last" for [N, {axes}, C], or "channels_first" for [N, C, {axes}].
        dilation_rate: How far the elements of a window are apart."""

_ACTIVATION = """activation: A name or function.
        use_bias: Whether something is added.
        {kernels}, bias_initializer: Names or functions (see `dlc.nn.initializers`).
        common: `name`, `dtype` and `trainable` of the layer."""

_CONV = f"""
    Args:
        filters: The channels of results.
        {_SHARED}
        groups: Into how many groups the channels are divided.
        {_ACTIVATION.format(kernels="kernel_initializer")}

    Attributes:
        kernel: [*kernel_size, channels / groups, filters], made when the layer is called first.
        bias: [filters], or None.

    Example:
        >>> dlc.nn.{{name}}(6, 3, padding="same")(dlc.ones((2{{sizes}}, 3))).shape
        (2{{sizes}}, 6)
"""
_CAUSAL = '; "causal" for what\n            no result sees coming'


class _Conv(_Windows):
    kernel: dlc.Variable

    def __init__(  # noqa: PLR0913, PLR0917  Keras's arguments
        self,
        filters: int,
        kernel_size: Steps,
        strides: Steps = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Steps = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Any,
    ) -> None:
        sizes = positive(type(self).__name__, filters=filters, groups=groups)
        self._set_up(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, common,
        )  # fmt: skip
        self.filters, self.groups = sizes
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameters for inputs of this shape."""
        channels = self._channels(shape)
        if channels % self.groups or self.filters % self.groups:
            raise dlc.ValueRangeError(
                f"{type(self).__name__}: {channels} channels and {self.filters} filters cannot be "
                f"divided into {self.groups} groups"
            )
        extents = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.add_weight(extents, self.kernel_initializer, name="kernel")
        self._add_bias(self.filters)

    def call(self, x: Any) -> dlc.Tensor:
        """The activation of the convolution of x."""
        return self.activation(self._convolved(x, self.kernel, self.bias, self.groups))

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.filters}, {super().extra_repr()}"


@described(_CONV, causal=_CAUSAL)
class Conv1D(_Conv):
    """The convolution of [N, L, C] with filters that are learned."""

    rank = 1


@described(_CONV, causal="")
class Conv2D(_Conv):
    """The convolution of [N, H, W, C] with filters that are learned."""

    rank = 2


@described(_CONV, causal="")
class Conv3D(_Conv):
    """The convolution of [N, D, H, W, C] with filters that are learned."""

    rank = 3


_TRANSPOSED = f"""
    Args:
        filters: The channels of results.
        {_SHARED}
        output_padding: How much longer the result is at its end; for None what makes it as long as
            the strides say.
        {_ACTIVATION.format(kernels="kernel_initializer")}

    Attributes:
        kernel: [*kernel_size, filters, channels], made when the layer is called first.
        bias: [filters], or None.

    Example:
        >>> dlc.nn.{{name}}(6, 3, padding="same")(dlc.ones((2{{sizes}}, 3))).shape
        (2{{sizes}}, 6)
"""


class _ConvTranspose(_Windows):
    kernel: dlc.Variable

    def __init__(  # noqa: PLR0913, PLR0917  Keras's arguments
        self,
        filters: int,
        kernel_size: Steps,
        strides: Steps = 1,
        padding: str = "valid",
        output_padding: Steps | None = None,
        data_format: str | None = None,
        dilation_rate: Steps = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Any,
    ) -> None:
        name = type(self).__name__
        (filters,) = positive(name, filters=filters)
        one_of(name, "padding", padding.lower(), ("valid", "same"))
        self._set_up(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, common,
        )  # fmt: skip
        self.filters = filters
        self.output_padding: tuple[int, ...] | None = None
        if output_padding is not None:
            self.output_padding = per_axis(name, "output_padding", output_padding, self.rank, 0)
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameters for inputs of this shape."""
        extents = (*self.kernel_size, self.filters, self._channels(shape))
        self.kernel = self.add_weight(extents, self.kernel_initializer, name="kernel")
        self._add_bias(self.filters)

    def _cut(self) -> list[tuple[int, int]]:
        """What is added (where negative: cut off) at the ends of the whole result."""
        found: list[tuple[int, int]] = []
        for k, stride in enumerate(self.strides):
            window = (self.kernel_size[k] - 1) * self.dilation_rate[k] + 1
            longer = None if self.output_padding is None else self.output_padding[k]
            if self.padding == "valid":
                found.append((0, max(0, stride - window) if longer is None else longer))
                continue
            total = stride if longer is None else window % 2 + longer
            before = min((window - 2 + total + 1) // 2, window - 1)
            after = window - 2 + total - before
            found.append((before - window + 1, after - window + 1))
        return found

    def call(self, x: Any) -> dlc.Tensor:
        """The activation of the transposed convolution of x."""
        held = dlc.moveaxis(x, -1, 1) if self.last else x
        rank = self.rank
        kernel = dlc.permute_dims(self.kernel, (rank + 1, rank, *range(rank)))
        transposed = getattr(dlc, f"conv_transpose{rank}d")
        y = transposed(held, kernel, None, self.strides, 0, 0, 1, self.dilation_rate)
        y = surrounded(y, self._cut())
        if self.bias is not None:
            y = y + dlc.reshape(self.bias, (self.filters, *(1,) * rank))
        return self.activation(dlc.moveaxis(y, 1, -1) if self.last else y)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.filters}, {super().extra_repr()}"


@described(_TRANSPOSED, causal="")
class Conv1DTranspose(_ConvTranspose):
    """The transpose of a convolution: [N, L, C] to a longer [N, L, filters]."""

    rank = 1


@described(_TRANSPOSED, causal="")
class Conv2DTranspose(_ConvTranspose):
    """The transpose of a convolution: [N, H, W, C] to a larger [N, H, W, filters]."""

    rank = 2


@described(_TRANSPOSED, causal="")
class Conv3DTranspose(_ConvTranspose):
    """The transpose of a convolution: [N, D, H, W, C] to a larger [N, D, H, W, filters]."""

    rank = 3


_DEPTHWISE = f"""
    Args:
        {_SHARED}
        depth_multiplier: The results of each channel.
        {_ACTIVATION.format(kernels="depthwise_initializer")}

    Attributes:
        kernel: [*kernel_size, channels, depth_multiplier], made when the layer is called first.
        bias: [channels * depth_multiplier], or None.

    Example:
        >>> dlc.nn.{{name}}(3, padding="same")(dlc.ones((2{{sizes}}, 3))).shape
        (2{{sizes}}, 3)
"""


class _Depthwise(_Windows):
    regularized = {"depthwise": "kernel", "bias": "bias"}  # noqa: RUF012
    kernel: dlc.Variable

    def __init__(
        self,
        kernel_size: Steps,
        strides: Steps = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Steps = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Any,
    ) -> None:
        (multiplier,) = positive(type(self).__name__, depth_multiplier=depth_multiplier)
        self._set_up(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, common,
        )  # fmt: skip
        self.depth_multiplier = multiplier
        self.depthwise_initializer = initializers.get(depthwise_initializer)

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameters for inputs of this shape."""
        channels = self._channels(shape)
        extents = (*self.kernel_size, channels, self.depth_multiplier)
        self.kernel = self.add_weight(extents, self.depthwise_initializer, name="kernel")
        self._add_bias(channels * self.depth_multiplier)

    def call(self, x: Any) -> dlc.Tensor:
        """The activation of the convolution of each channel of x."""
        *window, channels, each = self.kernel.shape
        kernel = dlc.reshape(self.kernel, (*window, 1, channels * each))
        return self.activation(self._convolved(x, kernel, self.bias, channels))


@described(_DEPTHWISE, causal=_CAUSAL)
class DepthwiseConv1D(_Depthwise):
    """The convolution of each channel of [N, L, C] with filters of its own."""

    rank = 1


@described(_DEPTHWISE, causal="")
class DepthwiseConv2D(_Depthwise):
    """The convolution of each channel of [N, H, W, C] with filters of its own."""

    rank = 2


_SEPARABLE = f"""
    Args:
        filters: The channels of results.
        {_SHARED}
        depth_multiplier: The channels between the two, for each one of x.
        {_ACTIVATION.format(kernels="depthwise_initializer, pointwise_initializer")}

    Attributes:
        depthwise_kernel: [*kernel_size, channels, depth_multiplier].
        pointwise_kernel: [*1, channels * depth_multiplier, filters].
        bias: [filters], or None.

    Example:
        >>> dlc.nn.{{name}}(6, 3, padding="same")(dlc.ones((2{{sizes}}, 3))).shape
        (2{{sizes}}, 6)
"""


class _Separable(_Windows):
    regularized = {  # noqa: RUF012
        "depthwise": "depthwise_kernel", "pointwise": "pointwise_kernel", "bias": "bias",
    }  # fmt: skip
    depthwise_kernel: dlc.Variable
    pointwise_kernel: dlc.Variable

    def __init__(  # noqa: PLR0913, PLR0917  Keras's arguments
        self,
        filters: int,
        kernel_size: Steps,
        strides: Steps = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Steps = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Any,
    ) -> None:
        sizes = {"filters": filters, "depth_multiplier": depth_multiplier}
        counts = positive(type(self).__name__, **sizes)
        self._set_up(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, common,
        )  # fmt: skip
        self.filters, self.depth_multiplier = counts
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameters for inputs of this shape."""
        channels, each = self._channels(shape), self.depth_multiplier
        self.depthwise_kernel = self.add_weight(
            (*self.kernel_size, channels, each), self.depthwise_initializer, name="depthwise_kernel"
        )
        self.pointwise_kernel = self.add_weight(
            (*(1,) * self.rank, channels * each, self.filters), self.pointwise_initializer,
            name="pointwise_kernel",
        )  # fmt: skip
        self._add_bias(self.filters)

    def call(self, x: Any) -> dlc.Tensor:
        """The activation of the two convolutions of x, one after the other."""
        *window, channels, each = self.depthwise_kernel.shape
        kernel = dlc.reshape(self.depthwise_kernel, (*window, 1, channels * each))
        y = self._convolved(x, kernel, None, channels)
        return self.activation(self._convolved(y, self.pointwise_kernel, self.bias, 1, first=False))

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.filters}, {super().extra_repr()}"


@described(_SEPARABLE, causal=_CAUSAL)
class SeparableConv1D(_Separable):
    """The convolution of each channel of [N, L, C], then of all channels at each place."""

    rank = 1


@described(_SEPARABLE, causal="")
class SeparableConv2D(_Separable):
    """The convolution of each channel of [N, H, W, C], then of all channels at each place."""

    rank = 2
