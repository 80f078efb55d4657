"""What pooling leaves out: elements put where `max_pool` found them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dlc.frontend.apply import as_tensor, materialise
from dlc.frontend.functions.arguments import ArrayLike, reshaped
from dlc.frontend.functions.convolution import Steps, steps
from dlc.frontend.functions.creation import full
from dlc.frontend.functions.pooling import AXES
from dlc.frontend.functions.scattering import scatter
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ShapeError, ValueRangeError

_DOC = """Elements put where `{pool}` found them, zeros elsewhere, as PyTorch's `{name}`.

    Of windows with one place the last one counts.

    Args:
        x: A tensor or array [N, C, {axes}], or without N: what `{pool}` gave.
        indices: The places that it gave with return_indices, of the same shape.
        kernel_size: The extent of a window, one number or one an axis.
        stride: How far a window is from the next one; kernel_size unless given.
        padding: How much was added on either side.
        output_size: The extents of the result, which several extents of x are pooled from; all of
            them, or those of {axes}.

    Returns:
        A tensor of x's dtype.

    Raises:
        ShapeError: The shapes do not fit.
        ValueRangeError: An extent of the result is not near that which the windows say.
        IndexRangeError: A place is outside of the result, where that is known.

    Example:
        >>> x, places = dlc.{pool}(dlc.ones({shape}), 2, return_indices=True)
        >>> dlc.{name}(x, places, 2).shape
        {shape}
    """


def _max_unpool(rank: int) -> Callable[..., Tensor]:
    name = f"max_unpool{rank}d"

    def function(
        x: ArrayLike,
        indices: ArrayLike,
        kernel_size: Steps,
        stride: Steps | None = None,
        padding: Steps = 0,
        output_size: Sequence[int] | None = None,
    ) -> Tensor:
        held, places = (materialise(as_tensor(t)) for t in (x, indices))
        if held.tensor.rank not in (rank + 1, rank + 2) or places.shape != held.shape:
            raise ShapeError(
                f"{name} of {held.tensor} at {places.tensor}: both are [N, C, {AXES[rank]}], or "
                "without N"
            )
        sizes = steps(name, "kernel_size", kernel_size, rank)
        apart = sizes if stride is None else steps(name, "stride", stride, rank)
        around = steps(name, "padding", padding, rank, least=0)
        lead = held.tensor.rank - rank
        windows = zip(held.shape[lead:], sizes, apart, around, strict=True)
        natural = [(n - 1) * s - 2 * p + k for n, k, s, p in windows]
        extents = natural if output_size is None else _checked(name, output_size, natural, apart)
        zeros = full((*held.shape[:lead], math.prod(extents)), 0, dtype=held.dtype)
        flat = [reshaped(t, (*t.shape[:lead], math.prod(t.shape[lead:]))) for t in (held, places)]
        found = scatter(zeros, -1, flat[1], flat[0])
        return reshaped(found, (*held.shape[:lead], *extents))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _DOC.format(
        name=name, pool=f"max_pool{rank}d", axes=AXES[rank], shape=(1, 2, *(8,) * rank)
    )
    return function


def _checked(
    name: str, given: Sequence[int], natural: Sequence[int], apart: Sequence[int]
) -> list[int]:
    found = list(given)[-len(natural) :]
    near = zip(found, natural, apart, strict=False)
    if len(found) < len(natural) or not all(n - s < f < n + s for f, n, s in near):
        raise ValueRangeError(
            f"{name}(output_size={tuple(given)}): the windows say {tuple(natural)}, and each is "
            "less than a stride from that"
        )
    return found


max_unpool1d, max_unpool2d, max_unpool3d = map(_max_unpool, (1, 2, 3))
