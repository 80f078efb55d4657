"""Convolutions and their transposes, by PyTorch's names, with its layouts and defaults."""

from __future__ import annotations

import math
from typing import Any, ClassVar, TypeAlias

import dlc
from dlc.ir.errors import ValueRangeError
from dlc.nn import initializers
from dlc.nn.described import described, one_of, per_axis, positive
from dlc.nn.functional.padding import MODES, surrounded
from dlc.nn.module import Module, Parameter

Steps: TypeAlias = int | tuple[int, ...]

_CONV = """
    See `dlc.conv{rank}d`. Weight and bias start uniform within 1 / sqrt(in_channels / groups *
    the elements of a window).

    Args:
        in_channels: The channels C of inputs.
        out_channels: Those of results, O.
        kernel_size: The extents K of a window, one number or one an axis.
        stride: How far a window is from the next one.
        padding: What is added on either side; "valid" for nothing, "same" for a result as long as
            the input, with stride 1.
        dilation: How far the elements of a window are apart.
        groups: Into how many groups the channels are divided.
        bias: Whether each channel of the result has a number added.
        padding_mode: What is added: "zeros", "reflect", "replicate" or "circular".
        dtype: The element type of the parameters.

    Attributes:
        weight: [O, C/groups, *K].
        bias: [O], or None.

    Raises:
        ValueRangeError: (from the call too) for sizes that do not fit.

    Example:
        >>> dlc.nn.{name}(3, 6, 3, padding=1)(dlc.ones((2, 3{sizes}))).shape
        (2, 6{sizes})
"""


class _Convolution(Module):
    """What convolutions and their transposes share: sizes, parameters, how they are shown."""

    rank: ClassVar[int]
    transposing: ClassVar[bool] = False
    weight: dlc.Variable
    bias: dlc.Variable | None

    def _set_up(
        self,
        channels: tuple[int, int],
        kernel_size: Steps,
        stride: Steps,
        dilation: Steps,
        groups: int,
        bias: bool,
        dtype: Any,
    ) -> None:
        name, rank = type(self).__name__, self.rank
        sizes = {"in_channels": channels[0], "out_channels": channels[1], "groups": groups}
        inputs, outputs, groups = positive(name, **sizes)
        if inputs % groups or outputs % groups:
            raise ValueRangeError(
                f"{name}: {inputs} and {outputs} channels cannot be divided into {groups} groups"
            )
        self.in_channels, self.out_channels, self.groups = inputs, outputs, groups
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, rank)
        self.stride = per_axis(name, "stride", stride, rank)
        self.dilation = per_axis(name, "dilation", dilation, rank)
        first, second = (inputs, outputs) if self.transposing else (outputs, inputs)
        shape = (first, second // groups, *self.kernel_size)
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        init, held = initializers.uniform(-bound, bound), dtype or dlc.float32
        self.weight = Parameter(init(shape, held), "weight")
        self.bias = Parameter(init((outputs,), held), "bias") if bias else None

    def _rest_of_repr(self) -> list[str]:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The sizes, and other settings than the defaults."""
        shown = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        shown.append(f"stride={self.stride}")
        shown += self._rest_of_repr()
        ones = (1,) * self.rank
        shown += [f"dilation={self.dilation}"] * (self.dilation != ones)
        shown += [f"groups={self.groups}"] * (self.groups != 1)
        shown += ["bias=False"] * (self.bias is None)
        return ", ".join(shown)


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Steps,
        stride: Steps = 1,
        padding: Steps | str = 0,
        dilation: Steps = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        dtype: Any = None,
    ) -> None:
        name, rank = type(self).__name__, self.rank
        channels = (in_channels, out_channels)
        self._set_up(channels, kernel_size, stride, dilation, groups, bias, dtype)
        self.padding_mode = one_of(name, "padding_mode", padding_mode, tuple(MODES))
        if isinstance(padding, str):
            self.padding: Any = one_of(name, "padding", padding, ("valid", "same"))
            if padding == "same" and self.stride != (1,) * rank:
                raise ValueRangeError(
                    f'{name}(padding="same", stride={stride!r}): it takes stride 1, as in PyTorch',
                    hint=f"nn.Conv{rank}D has Keras's meaning of it for other strides",
                )
        else:
            self.padding = per_axis(name, "padding", padding, rank, least=0)

    def _around(self) -> list[tuple[int, int]]:
        """What is added before and after each axis."""
        if self.padding == "valid":
            return [(0, 0)] * self.rank
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return [(t // 2, t - t // 2) for t in totals]
        return [(p, p) for p in self.padding]

    def forward(self, x: Any) -> dlc.Tensor:
        """The convolution of x [N, C, ...], or without N: [N, O, ...]."""
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = surrounded(x, self._around(), MODES[self.padding_mode]), 0
        conv = getattr(dlc, f"conv{self.rank}d")
        return conv(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _rest_of_repr(self) -> list[str]:
        shown = [f"padding={self.padding!r}"] * (self.padding != (0,) * self.rank)
        mode = self.padding_mode
        return shown + [f"padding_mode={mode!r}"] * (mode != "zeros")


@described(_CONV)
class Conv1d(_Conv):
    """The convolution of [N, C, L] with filters that are learned."""

    rank = 1


@described(_CONV)
class Conv2d(_Conv):
    """The convolution of [N, C, H, W] with filters that are learned."""

    rank = 2


@described(_CONV)
class Conv3d(_Conv):
    """The convolution of [N, C, D, H, W] with filters that are learned."""

    rank = 3


_TRANSPOSED = """
    See `dlc.conv_transpose{rank}d`. Weight and bias start uniform within 1 / sqrt(out_channels /
    groups * the elements of a window).

    Args:
        in_channels: The channels C of inputs.
        out_channels: Those of results, O.
        kernel_size: The extents K of a window, one number or one an axis.
        stride: How far a window of the result is from the next one.
        padding: How much is cut off on either side of the result.
        output_padding: How much longer the result is at its end.
        groups: Into how many groups the channels are divided.
        bias: Whether each channel of the result has a number added.
        dilation: How far the elements of a window are apart.
        padding_mode: "zeros"; there is no other.
        dtype: The element type of the parameters.

    Attributes:
        weight: [C, O/groups, *K].
        bias: [O], or None.

    The call takes `output_size`, too: the extents of the result, which then decide about
    `output_padding`.

    Raises:
        ValueRangeError: (from the call too) for sizes that do not fit.

    Example:
        >>> dlc.nn.{name}(3, 6, 1)(dlc.ones((2, 3{sizes}))).shape
        (2, 6{sizes})
"""


class _ConvTranspose(_Convolution):
    transposing = True

    def __init__(  # noqa: PLR0913, PLR0917  PyTorch's arguments
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Steps,
        stride: Steps = 1,
        padding: Steps = 0,
        output_padding: Steps = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Steps = 1,
        padding_mode: str = "zeros",
        dtype: Any = None,
    ) -> None:
        name, rank = type(self).__name__, self.rank
        channels = (in_channels, out_channels)
        self._set_up(channels, kernel_size, stride, dilation, groups, bias, dtype)
        self.padding_mode = one_of(name, "padding_mode", padding_mode, ("zeros",))
        self.padding = per_axis(name, "padding", padding, rank, least=0)
        self.output_padding = per_axis(name, "output_padding", output_padding, rank, least=0)

    def forward(self, x: Any, output_size: Any = None) -> dlc.Tensor:
        """The transposed convolution of x [N, C, ...], or without N: [N, O, ...]."""
        longer = self.output_padding if output_size is None else self._longer(x, output_size)
        conv = getattr(dlc, f"conv_transpose{self.rank}d")
        return conv(
            x, self.weight, self.bias, self.stride, self.padding, longer, self.groups,
            self.dilation,
        )  # fmt: skip

    def _longer(self, x: Any, output_size: Any) -> tuple[int, ...]:
        """The output padding for a result of these extents (or of a shape that ends in them)."""
        wanted = per_axis(type(self).__name__, "output_size", output_size[-self.rank :], self.rank)
        found: list[int] = []
        for k, size in enumerate(wanted):
            least = (x.shape[k - self.rank] - 1) * self.stride[k] - 2 * self.padding[k]
            least += (self.kernel_size[k] - 1) * self.dilation[k] + 1
            if not least <= size < least + self.stride[k]:
                raise ValueRangeError(
                    f"output_size={output_size!r}: extent {size} of axis {k - self.rank} cannot "
                    f"be had; it is at least {least} and less than {least + self.stride[k]}"
                )
            found.append(size - least)
        return tuple(found)

    def _rest_of_repr(self) -> list[str]:
        zeros = (0,) * self.rank
        shown = [f"padding={self.padding}"] * (self.padding != zeros)
        longer = self.output_padding
        return shown + [f"output_padding={longer}"] * (longer != zeros)


@described(_TRANSPOSED)
class ConvTranspose1d(_ConvTranspose):
    """The transpose of a convolution: [N, C, L] to a longer [N, O, L]."""

    rank = 1


@described(_TRANSPOSED)
class ConvTranspose2d(_ConvTranspose):
    """The transpose of a convolution: [N, C, H, W] to a larger [N, O, H, W]."""

    rank = 2


@described(_TRANSPOSED)
class ConvTranspose3d(_ConvTranspose):
    """The transpose of a convolution: [N, C, D, H, W] to a larger [N, O, D, H, W]."""

    rank = 3
