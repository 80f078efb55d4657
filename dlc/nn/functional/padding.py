"""Elements around tensors, as `torch.nn.functional.pad` and layers of padding have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dlc
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError, nearest
from dlc.nn.functional.arguments import tensor

# PyTorch's words for what is added, and those of `dlc.pad`.
_MIRRORED = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
MODES = {"zeros": "constant", **_MIRRORED}  # of convolutions
_MODES = {"constant": "constant", **_MIRRORED}


def surrounded(
    x: Any, around: Sequence[tuple[int, int]], mode: str = "constant", value: float = 0.0
) -> dlc.Tensor:
    """x with elements before and after its last axes; where the number is negative, without some.

    Args:
        x: A tensor or array.
        around: For each of the last axes, how many.
        mode: A mode of `dlc.pad`.
        value: The element, for mode "constant".
    """
    held = tensor(x)
    lead = held.ndim - len(around)
    if any(min(pair) < 0 for pair in around):
        cut = [
            slice(max(0, -a), held.shape[lead + k] - max(0, -b)) for k, (a, b) in enumerate(around)
        ]
        held = held[(..., *cut)]
    widths = [(0, 0)] * lead + [(max(0, a), max(0, b)) for a, b in around]
    if mode == "constant":
        return dlc.pad(held, widths, constant_values=value)
    return dlc.pad(held, widths, mode)


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float = 0) -> dlc.Tensor:
    """A tensor with elements around it; `dlc.pad` has NumPy's arguments.

    Args:
        input: A tensor or array.
        pad: How many before and after the last axis, then before and after the one before it, and
            so on. A negative number takes elements away.
        mode: "constant", "reflect", "replicate" or "circular".
        value: The element, for mode "constant"; 0 for None.

    Raises:
        ArgumentError: for what are no pairs of integers.
        ShapeError: for more pairs than there are axes.
        ValueRangeError: for another mode.

    Example:
        >>> dlc.nn.functional.pad(dlc.ones((2, 3)), (1, 2)).shape
        (2, 6)
    """
    if mode not in _MODES:
        raise ValueRangeError(f"pad has no mode {mode!r}", hint=nearest(mode, _MODES))
    widths = list(pad)
    if len(widths) % 2 or not all(isinstance(w, int) for w in widths):
        raise ArgumentError(
            f"pad={pad!r}: integers, two for each axis from the last one on",
            hint="dlc.pad takes a pair for each axis, as NumPy's",
        )
    held = tensor(input)
    if len(widths) > 2 * held.ndim:
        raise ShapeError(f"pad={pad!r} of a tensor of shape {tuple(held.shape)}: it has fewer axes")
    pairs = list(zip(widths[::2], widths[1::2], strict=True))
    return surrounded(held, pairs[::-1], _MODES[mode], value or 0)
