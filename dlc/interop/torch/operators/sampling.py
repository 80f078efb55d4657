"""Operators that read images at other places: resizing, grids, padding at edges."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import dlc
from dlc.interop.torch.gradients import gradient_of, gradients
from dlc.interop.torch.operators.tensors import padded
from dlc.interop.torch.table import aten


@aten("upsample_nearest2d.vec", "upsample_nearest1d.vec", "upsample_nearest3d.vec")
def upsample_nearest(x: Any, size: Any, factors: Any) -> Any:
    """The nearest element."""
    return dlc.interpolate(x, size=size, scale_factor=factors, mode="nearest")


def _linear(mode: str, x: Any, size: Any, align: bool, factors: Any) -> Any:
    """Means of the nearest pixels, by distance."""
    return dlc.interpolate(x, size=size, scale_factor=factors, mode=mode, align_corners=align)


for _name in ("linear1d", "bilinear2d", "trilinear3d"):
    aten(f"upsample_{_name}.vec")(functools.partial(_linear, _name[:-2]))


def _smooth(mode: str, x: Any, size: Any, align: bool, *scales: Any) -> Any:
    """Resized, with a wider window where the result is smaller; by factors if these are given."""
    # Aligned corners say where pixels are, whatever the factors.
    known = scales and None not in scales and not align
    how: dict[str, Any] = {"scale_factor": scales} if known else {"size": tuple(size)}
    y = dlc.interpolate(x, mode=mode, align_corners=align, antialias=True, **how)
    # Factors say where a pixel is, also when fewer pixels are wanted than they make.
    return y[..., : size[0], : size[1]]


def _smooth_backward(
    mode: str, gradient: Any, size: Any, shape: Any, align: bool, *scales: Any
) -> Any:
    """The gradient of resizing with a wider window."""
    like = dlc.zeros(tuple(shape), dtype=gradient.dtype)
    return gradient_of(lambda x: _smooth(mode, x, size, align, *scales), like, gradient)


for _mode in ("bilinear", "bicubic"):
    aten(f"_upsample_{_mode}2d_aa.default")(functools.partial(_smooth, _mode))
    aten(f"_upsample_{_mode}2d_aa_backward")(functools.partial(_smooth_backward, _mode))


@aten("grid_sampler_2d", "grid_sampler_3d")
def grid_sampler(x: Any, grid: Any, mode: int, padding: int, align: bool) -> Any:
    """Elements at given positions."""
    return dlc.grid_sample(
        x, grid, ("bilinear", "nearest", "bicubic")[mode],
        ("zeros", "border", "reflection")[padding], align,
    )  # fmt: skip


@aten("grid_sampler_2d_backward", "grid_sampler_3d_backward")
def grid_sampler_backward(
    gradient: Any, x: Any, grid: Any, mode: int, padding: int, align: bool, wanted: Sequence[bool]
) -> Any:
    """The gradients of the image and of the positions."""

    def forward(x: Any, grid: Any) -> Any:
        return grid_sampler(x, grid, mode, padding, align)

    return gradients(forward, [x, grid], gradient, wanted)


def _padded_backward(mode: str) -> Callable[..., Any]:
    def backward(gradient: Any, x: Any, pads: Sequence[Any]) -> Any:
        """The gradient of padding."""
        return gradient_of(lambda x: padded(mode, x, pads), x, gradient)

    return backward


for _rank in (1, 2, 3):
    aten(f"replication_pad{_rank}d_backward")(_padded_backward("edge"))
    aten(f"reflection_pad{_rank}d_backward")(_padded_backward("reflect"))


@aten("col2im")
def col2im(x: Any, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """Windows added up to images."""
    return dlc.fold(x, tuple(size), *(tuple(v) for v in (kernel, dilation, padding, stride)))


@aten("im2col")
def im2col(x: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """The windows of images."""
    return dlc.unfold(x, *(tuple(v) for v in (kernel, dilation, padding, stride)))
