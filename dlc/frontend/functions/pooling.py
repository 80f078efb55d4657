"""Pooling: the largest element, the mean or a norm of windows, with PyTorch's arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import apply, as_tensor, broadcast_to, convert, materialise, wide
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    integer,
    reshaped,
)
from dlc.frontend.functions.convolution import Steps, check_windows, padded, steps
from dlc.frontend.functions.creation import full
from dlc.frontend.native_functions import natively
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, ceildiv, maximum, minimum, mul
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.ops.reduction import identity_of
from dlc.ir.types import Shape, int64

AXES = {1: "L", 2: "H, W", 3: "D, H, W"}


class _Windows:
    """The windows of a call: sizes, steps, and what is added around the tensor."""

    def __init__(
        self, name: str, x: Tensor, rank: int, kernel_size: Any, stride: Any, padding: Any,
        dilation: Any, ceil_mode: bool,
    ) -> None:  # fmt: skip
        self.x, self.rank = x, rank
        self.sizes = steps(name, "kernel_size", kernel_size, rank)
        self.stride = self.sizes if stride is None else steps(name, "stride", stride, rank)
        self.dilation = steps(name, "dilation", dilation, rank)
        self.padding = steps(name, "padding", padding, rank, least=0)
        if any(2 * p > k for p, k in zip(self.padding, self.sizes, strict=True)):
            raise ValueRangeError(
                f"{name}: padding is {padding!r}, it must be at most half of kernel_size, which is "
                f"{kernel_size!r}"
            )
        self.extents: Shape = x.tensor.shape[x.tensor.rank - rank :]
        reaches = [(k - 1) * d + 1 for k, d in zip(self.sizes, self.dilation, strict=True)]
        inner = tuple(add(e, 2 * p) for e, p in zip(self.extents, self.padding, strict=True))
        self.more: list[Dim] = [0] * rank
        if ceil_mode:
            given = zip(inner, reaches, self.stride, self.padding, strict=True)
            self.more = [_behind(e, r, s, p) for e, r, s, p in given]
        whole = tuple(add(e, m) for e, m in zip(inner, self.more, strict=True))
        check_windows(name, (x.tensor,), whole, reaches, x.tensor.rank - rank)

    @property
    def around(self) -> list[tuple[Dim, Dim]]:
        """The elements before and after each axis."""
        return [(p, add(p, m)) for p, m in zip(self.padding, self.more, strict=True)]

    def apply(self, op: str, x: Tensor) -> Tensor:
        """The op over the windows of a padded tensor."""
        return _over_windows(op, x, self.sizes, self.stride, self.dilation)

    def along(self, k: int, op: str, x: Tensor) -> Tensor:
        """The op over the windows along axis k alone."""
        return apply(
            op, x, sizes=(self.sizes[k],), stride=(self.stride[k],), dilation=(self.dilation[k],)
        )


@natively
def _over_windows(op: str, x: Tensor, sizes: Any, stride: Any, dilation: Any) -> Tensor:
    return apply(op, x, sizes=sizes, stride=stride, dilation=dilation)


def _behind(extent: Dim, covered: int, stride: int, padding: int) -> Dim:
    """What must be behind an axis for a last window that is not whole, as PyTorch has it."""
    before_end = ceildiv(add(extent, -padding), stride)  # windows that begin in the tensor
    count = minimum(add(ceildiv(add(extent, -covered), stride), 1), before_end)
    last = mul(add(count, -1), stride)
    return maximum(add(add(last, covered), mul(extent, -1)), 0)


def given_images(name: str, x: ArrayLike, rank: int) -> Tensor:
    """A tensor with so many axes behind those of the batch, which may lack, and channels."""
    x = materialise(as_tensor(x))
    if x.tensor.rank not in (rank + 1, rank + 2):
        raise ShapeError(
            f"{name} of {x.tensor}: it takes a tensor [N, C, {AXES[rank]}], or without N"
        )
    check_kinds(name, (x,), "fiu")
    return x


_MAX_DOC = """The largest element of each window, as `torch.nn.functional.{name}`.

    NaN is larger than all. Of equal elements the first has the derivative.

    Args:
        x: A tensor or array [N, C, {axes}], or without N.
        kernel_size: The extent of a window, one number or one an axis.
        stride: How far a window is from the next one; kernel_size unless given.
        padding: How much is added on either side, at most half a window; it is never the largest.
        dilation: How far the elements of a window are apart.
        ceil_mode: Whether a last window may reach beyond the end.
        return_indices: Whether the places of the largest elements are wanted too.

    Returns:
        A tensor of x's dtype; with return_indices, also one of int64: positions in {axes} as one.

    Raises:
        ShapeError: The rank does not fit, or a window is larger than what it moves over.
        ValueRangeError: A number is too small, or padding is too large.

    Example:
        >>> dlc.{name}(dlc.ones({shape}), 2).shape
        {result}
    """


def _documented(
    function: Callable[..., Any], name: str, doc: str, rank: int, size: int = 4
) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc.format(
        name=name, axes=AXES[rank], shape=(1, 2, *(8,) * rank),
        result=(1, 2, *(size,) * rank),
    )  # fmt: skip


def _max_pool(rank: int) -> Callable[..., Any]:
    name = f"max_pool{rank}d"

    def function(
        x: ArrayLike,
        kernel_size: Steps,
        stride: Steps | None = None,
        padding: Steps = 0,
        dilation: Steps = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        x = given_images(name, x, rank)
        windows = _Windows(name, x, rank, kernel_size, stride, padding, dilation, ceil_mode)
        least = identity_of("max", x.tensor.dtype)
        wide = padded(x, windows.around, least)
        values = windows.apply("window_max", wide)
        return (values, _places(windows, wide)) if return_indices else values

    _documented(function, name, _MAX_DOC, rank)
    return function


def _places(windows: _Windows, wide: Tensor) -> Tensor:
    """The positions in the tensor of the first largest elements of windows."""
    rank, lead = windows.rank, wide.tensor.rank - windows.rank
    shape = wide.tensor.shape
    apart = reshaped(wide, (*shape, *(1,) * rank))
    attrs: dict[str, Any] = {"stride": windows.stride, "dilation": windows.dilation}
    read = apply("windows", broadcast_to(apart, (*shape, *windows.sizes)), **attrs)
    counts = read.tensor.shape[lead : lead + rank]
    flat = reshaped(read, (*shape[:lead], *counts, math.prod(windows.sizes)))
    at = apply("argmax", flat, axis=lead + rank)
    place: Tensor | None = None
    for k in range(rank):
        behind = math.prod(windows.sizes[k + 1 :])
        tap = elementwise.remainder(elementwise.floor_divide(at, behind), windows.sizes[k])
        start = apply("iota", shape=(counts[k],), axis=0, dtype=int64)
        start = reshaped(start, (counts[k], *(1,) * (rank - 1 - k)))
        start = elementwise.subtract(
            elementwise.multiply(start, windows.stride[k]), windows.padding[k]
        )
        along = elementwise.add(start, elementwise.multiply(tap, windows.dilation[k]))
        if place is not None:
            extent = apply("dim", dim=windows.extents[k])
            along = elementwise.add(elementwise.multiply(place, extent), along)
        place = along
    assert place is not None
    return place


max_pool1d, max_pool2d, max_pool3d = map(_max_pool, (1, 2, 3))


_AVG_DOC = """The mean of each window, as `torch.nn.functional.{name}`.

    Args:
        x: A tensor or array [N, C, {axes}], or without N, of floats.
        kernel_size: The extent of a window, one number or one an axis.
        stride: How far a window is from the next one; kernel_size unless given.
        padding: How many zeros are added on either side, at most half a window.
        ceil_mode: Whether a last window may reach beyond the end.
        count_include_pad: Whether the zeros count in the mean.
        divisor_override: What sums are divided by, in the place of the number of elements.

    Returns:
        A tensor of x's dtype.

    Raises:
        DTypeError: x is not of floats.
        ShapeError: The rank does not fit, or a window is larger than what it moves over.
        ValueRangeError: A number is too small, or padding is too large.

    Example:
        >>> dlc.{name}(dlc.ones({shape}), 2).shape
        {result}
    """


def _avg_pool(rank: int) -> Callable[..., Tensor]:
    name = f"avg_pool{rank}d"

    def function(
        x: ArrayLike,
        kernel_size: Steps,
        stride: Steps | None = None,
        padding: Steps = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        x = given_images(name, x, rank)
        check_kinds(name, (x,), "f")
        windows = _Windows(name, x, rank, kernel_size, stride, padding, 1, ceil_mode)
        total = windows.apply("window_sum", padded(x, windows.around))
        if divisor_override is not None:
            return elementwise.divide(total, integer(name, "divisor_override", divisor_override))
        if not any(windows.more) and (count_include_pad or not any(windows.padding)):
            return elementwise.divide(total, math.prod(windows.sizes))
        return elementwise.divide(total, _numbers(windows, count_include_pad))

    _documented(function, name, _AVG_DOC, rank)
    return function


def _numbers(windows: _Windows, with_padding: bool) -> Tensor:
    """How many elements each window has."""
    found: Tensor | None = None
    for k, extent in enumerate(windows.extents):
        pad, more = windows.padding[k], windows.more[k]
        own = add(extent, 2 * pad) if with_padding else extent
        ones = full((own,), 1.0, dtype=windows.x.tensor.dtype)
        ones = padded(ones, [(0, more) if with_padding else (pad, add(pad, more))])
        count = windows.along(k, "window_sum", ones)
        count = reshaped(count, (*count.tensor.shape, *(1,) * (windows.rank - 1 - k)))
        found = count if found is None else elementwise.multiply(found, count)
    assert found is not None
    return found


avg_pool1d, avg_pool2d, avg_pool3d = map(_avg_pool, (1, 2, 3))


_LP_DOC = """The p-norm of each window, as `torch.nn.functional.{name}`: (sum of x**p) ** (1/p).

    Args:
        x: A tensor or array [N, C, {axes}], or without N, of floats.
        norm_type: The exponent p.
        kernel_size: The extent of a window, one number or one an axis.
        stride: How far a window is from the next one; kernel_size unless given.
        ceil_mode: Whether a last window may reach beyond the end; its sum counts as that of a whole
            one, as in PyTorch.

    Returns:
        A tensor of x's dtype.

    Raises:
        DTypeError: x is not of floats.
        ShapeError: The rank does not fit, or a window is larger than what it moves over.
        ValueRangeError: A number is too small, or norm_type is 0.

    Example:
        >>> dlc.{name}(dlc.ones({shape}), 2, 2).shape
        {result}
    """


def _lp_pool(rank: int) -> Callable[..., Tensor]:
    name = f"lp_pool{rank}d"

    def function(
        x: ArrayLike,
        norm_type: float,
        kernel_size: Steps,
        stride: Steps | None = None,
        ceil_mode: bool = False,
    ) -> Tensor:
        x = given_images(name, x, rank)
        check_kinds(name, (x,), "f")
        if norm_type == 0:
            raise ValueRangeError(f"{name}: norm_type is 0, there is no such norm")
        windows = _Windows(name, x, rank, kernel_size, stride, 0, 1, ceil_mode)
        powers = padded(composed.pow(wide(x), norm_type), windows.around)
        total = windows.apply("window_sum", powers)
        if any(windows.more):  # the mean times the size, as PyTorch has it
            share = elementwise.divide(_numbers(windows, True), math.prod(windows.sizes))
            total = elementwise.divide(total, share)
        if norm_type > 0:  # the root of 0 has no derivative: a window of zeros gets 0, not NaN
            zero = elementwise.equal(total, 0.0)
            root = composed.pow(composed.where(zero, 1.0, total), 1.0 / norm_type)
            total = composed.where(zero, 0.0, root)
        else:
            total = composed.pow(total, 1.0 / norm_type)
        return convert(total, x.tensor.dtype)

    _documented(function, name, _LP_DOC, rank)
    return function


lp_pool1d, lp_pool2d, lp_pool3d = map(_lp_pool, (1, 2, 3))
