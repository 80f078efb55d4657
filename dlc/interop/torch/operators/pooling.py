"""Operators of pooling: the largest elements and the means of windows, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import dlc
from dlc.interop.torch.gradients import gradient_of
from dlc.interop.torch.operators.arguments import expanded
from dlc.interop.torch.table import aten


def _pool_arguments(rank: int, size: Any, stride: Any, padding: Any) -> tuple[Any, ...]:
    size = expanded(size, rank)
    stride = expanded(stride, rank) if stride else size
    return size, stride, expanded(padding, rank)


def _max_pool(rank: int) -> Callable[..., Any]:
    def forward(
        x: Any, size: Any, stride: Any = (), padding: Any = (0,), dilation: Any = (1,),
        ceil_mode: bool = False,
    ) -> Any:  # fmt: skip
        """The largest element of each window, and where it is."""
        size, stride, padding = _pool_arguments(rank, size, stride, padding)
        function = getattr(dlc, f"max_pool{rank}d")
        return tuple(function(x, size, stride, padding, expanded(dilation, rank), ceil_mode, True))

    return forward


def _spread(gradient: Any, x: Any, places: Any, rank: int) -> Any:
    """The gradient, added up at places in the last axes, which count as one."""
    lead = x.shape[: x.ndim - rank]
    count = math.prod(x.shape[x.ndim - rank :])
    flat = dlc.zeros((*lead, count), dtype=gradient.dtype)
    line = (*lead, math.prod(places.shape[x.ndim - rank :]))
    index = dlc.reshape(places, line)
    added = dlc.scatter_add(flat, x.ndim - rank, index, dlc.reshape(gradient, line))
    return dlc.reshape(added, x.shape)


def _max_pool_backward(rank: int) -> Callable[..., Any]:
    def backward(gradient: Any, x: Any, *how: Any) -> Any:
        """The gradient, added up where the largest elements are."""
        return _spread(gradient, x, how[-1], rank)

    return backward


def _adaptive_max(rank: int) -> Callable[..., Any]:
    def forward(x: Any, size: Any) -> Any:
        """The largest element of each of so many windows, and where it is."""
        return tuple(getattr(dlc, f"adaptive_max_pool{rank}d")(x, expanded(size, rank), True))

    return forward


for _rank in (2, 3):
    aten(f"max_pool{_rank}d_with_indices")(_max_pool(_rank))
    aten(f"adaptive_max_pool{_rank}d")(_adaptive_max(_rank))
    for _name in ("max_pool{}d_with_indices", "adaptive_max_pool{}d", "fractional_max_pool{}d"):
        aten(_name.format(_rank) + "_backward")(_max_pool_backward(_rank))


def _starts(sample: Any, extent: Any, size: int, count: int) -> Any:
    """Where windows of a size begin, at random distances (Graham, 2014): [..., count]."""
    last = dlc.broadcast_to(dlc.asarray(extent - size), (*sample.shape, 1))
    if count == 1:
        return last
    step = dlc.astype(dlc.asarray(extent - size), sample.dtype) / (count - 1)
    sample = sample[..., None]
    places = dlc.trunc((dlc.arange(count - 1) + sample) * step) - dlc.trunc(sample * step)
    return dlc.concat([dlc.astype(places, last.dtype), last], axis=-1)


def _fractional_max(rank: int) -> Callable[..., Any]:
    def forward(x: Any, size: Any, out: Any, samples: Any) -> Any:
        """The largest element of each window of a random row of these, and where it is."""
        size, out = expanded(size, rank), expanded(out, rank)
        single = x.ndim == rank + 1
        if single:
            x, samples = x[None], samples[:1]
        places: Any = 0
        for k in range(rank):
            # Samples of images stand in the order of width, height.
            sample = samples[..., rank - 1 - k if rank == 2 else k]
            extent = x.shape[2 + k]
            starts = _starts(sample, extent, size[k], out[k])
            one = starts[..., None] + dlc.arange(size[k])
            shape = [1] * (2 * rank)
            shape[k], shape[rank + k] = out[k], size[k]
            places = places * extent + dlc.reshape(one, (*one.shape[:2], *shape))
        lead = x.shape[:2]
        count, room = math.prod(out), math.prod(size)
        windows = dlc.reshape(places, (*lead, count, room))
        flat = dlc.reshape(x, (*lead, math.prod(x.shape[2:])))
        elements = dlc.gather(flat, 2, dlc.reshape(windows, (*lead, count * room)))
        which = dlc.argmax(dlc.reshape(elements, windows.shape), axis=-1, keepdims=True)
        best = dlc.take_along_axis(windows, which, axis=-1)[..., 0]
        values = dlc.gather(flat, 2, best)
        shape = x.shape[1:2] if single else lead
        return tuple(dlc.reshape(v, (*shape, *out)) for v in (values, best))

    return forward


for _rank in (2, 3):
    aten(f"fractional_max_pool{_rank}d")(_fractional_max(_rank))


def _avg_pool(rank: int) -> Callable[..., Any]:
    def forward(
        x: Any, size: Any, stride: Any = (), padding: Any = (0,), ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Any:  # fmt: skip
        """The mean of each window."""
        size, stride, padding = _pool_arguments(rank, size, stride, padding)
        function = getattr(dlc, f"avg_pool{rank}d")
        extra = (divisor_override,) if rank > 1 else ()
        return function(x, size, stride, padding, ceil_mode, count_include_pad, *extra)

    return forward


def _avg_pool_backward(rank: int) -> Callable[..., Any]:
    def backward(gradient: Any, x: Any, *how: Any) -> Any:
        """The gradient of the mean of each window."""
        return gradient_of(lambda x: _avg_pool(rank)(x, *how), x, gradient)

    return backward


for _rank in (1, 2, 3):
    aten(f"avg_pool{_rank}d")(_avg_pool(_rank))
    aten(f"avg_pool{_rank}d_backward")(_avg_pool_backward(_rank))


def _adaptive(rank: int) -> Callable[..., Any]:
    def forward(x: Any, size: Any) -> Any:
        """The means of windows, so that there are so many."""
        return getattr(dlc, f"adaptive_avg_pool{rank}d")(x, expanded(size, rank))

    return forward


def _adaptive_backward(rank: int) -> Callable[..., Any]:
    def backward(gradient: Any, x: Any) -> Any:
        """The gradient of the means of windows."""
        size = gradient.shape[-rank:]
        return gradient_of(lambda x: _adaptive(rank)(x, size), x, gradient)

    return backward


for _rank in (1, 2, 3):
    aten(f"_adaptive_avg_pool{_rank}d", f"adaptive_avg_pool{_rank}d")(_adaptive(_rank))
    aten(f"_adaptive_avg_pool{_rank}d_backward")(_adaptive_backward(_rank))
