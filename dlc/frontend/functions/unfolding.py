"""Windows of images as columns of a matrix, and back."""

from __future__ import annotations

import math

from dlc.frontend.apply import apply, as_tensor, broadcast_to, materialise
from dlc.frontend.functions.arguments import ArrayLike, check_kinds, reshaped, transposed
from dlc.frontend.functions.convolution import Steps, check_windows, padded, steps
from dlc.frontend.functions.pooling import given_images
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import floordiv, mul
from dlc.ir.errors import ShapeError


def unfold(
    x: ArrayLike, kernel_size: Steps, dilation: Steps = 1, padding: Steps = 0, stride: Steps = 1
) -> Tensor:
    """The windows of images as columns, as `torch.nn.functional.unfold`.

    Args:
        x: A tensor or array [N, C, H, W], or without N.
        kernel_size: The extents of a window, one number or two.
        dilation: How far the elements of a window are apart.
        padding: How many zeros are added on either side.
        stride: How far a window is from the next one.

    Returns:
        A tensor [N, C * kernel, windows] of x's dtype.

    Raises:
        ShapeError: The rank does not fit, or a window is larger than the image.
        ValueRangeError: A number is too small.

    Example:
        >>> dlc.unfold(dlc.ones((1, 3, 4, 4)), 2).shape
        (1, 12, 9)
    """
    x = given_images("unfold", x, 2)
    single = x.tensor.rank == 3
    x = reshaped(x, (1, *x.tensor.shape)) if single else x
    sizes, step = (
        steps("unfold", "kernel_size", kernel_size, 2),
        steps("unfold", "stride", stride, 2),
    )
    apart = steps("unfold", "dilation", dilation, 2)
    around = steps("unfold", "padding", padding, 2, least=0)
    wide = padded(x, [(p, p) for p in around])
    reaches = [(k - 1) * d + 1 for k, d in zip(sizes, apart, strict=True)]
    check_windows("unfold", (x.tensor,), wide.tensor.shape[2:], reaches, 2)
    shape = wide.tensor.shape
    held = broadcast_to(reshaped(wide, (*shape, 1, 1)), (*shape, *sizes))
    read = apply("windows", held, stride=step, dilation=apart)  # [N,C,P,Q,R,S]
    columns = transposed(read, (0, 1, 4, 5, 2, 3))
    n, c, r, s, p, q = columns.tensor.shape
    result = reshaped(columns, (n, mul(c, mul(r, s)), mul(p, q)))
    return reshaped(result, result.tensor.shape[1:]) if single else result


def fold(
    x: ArrayLike,
    output_size: Steps,
    kernel_size: Steps,
    dilation: Steps = 1,
    padding: Steps = 0,
    stride: Steps = 1,
) -> Tensor:
    """Images as the sums of windows that are columns, as `torch.nn.functional.fold`.

    Args:
        x: A tensor or array [N, C * kernel, windows], or without N.
        output_size: The extents of the images, one number or two.
        kernel_size: The extents of a window.
        dilation: How far the elements of a window are apart.
        padding: How much is cut off on either side.
        stride: How far a window is from the next one.

    Returns:
        A tensor [N, C, H, W] of x's dtype.

    Raises:
        ShapeError: There are not as many windows or elements as the extents ask for.
        ValueRangeError: A number is too small.

    Example:
        >>> dlc.fold(dlc.ones((1, 12, 9)), 4, 2).shape
        (1, 3, 4, 4)
    """
    x = materialise(as_tensor(x))
    check_kinds("fold", (x,), "fiu")
    if x.tensor.rank not in (2, 3):
        raise ShapeError(f"fold of {x.tensor}: it takes a tensor [N, C * kernel, windows]")
    single = x.tensor.rank == 2
    x = reshaped(x, (1, *x.tensor.shape)) if single else x
    extents = steps("fold", "output_size", output_size, 2)
    sizes, step = steps("fold", "kernel_size", kernel_size, 2), steps("fold", "stride", stride, 2)
    apart = steps("fold", "dilation", dilation, 2)
    around = steps("fold", "padding", padding, 2, least=0)
    whole = tuple(e + 2 * p for e, p in zip(extents, around, strict=True))
    counts = [
        (e - (k - 1) * d - 1) // s + 1 for e, k, d, s in zip(whole, sizes, apart, step, strict=True)
    ]
    n, rows, columns = x.tensor.shape
    each = math.prod(sizes)
    if min(counts) < 1 or columns != math.prod(counts) or (isinstance(rows, int) and rows % each):
        raise ShapeError(
            f"fold of {x.tensor}: images of {extents} have {math.prod(counts)} windows of "
            f"{each} elements a channel"
        )
    split = reshaped(x, (n, floordiv(rows, each), *sizes, *counts))
    moved = transposed(split, (0, 1, 4, 5, 2, 3))
    spread = apply("spread_windows", moved, stride=step, dilation=apart, extents=whole)
    total = apply("reduce_sum", spread, axes=(4, 5))
    start = (0, 0, *around)
    limit = (*total.tensor.shape[:2], *(p + e for p, e in zip(around, extents, strict=True)))
    result = apply("slice", total, start=start, limit=limit, step=(1, 1, 1, 1))
    return reshaped(result, result.tensor.shape[1:]) if single else result
