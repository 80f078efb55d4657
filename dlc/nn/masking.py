"""How masks go from layer to layer, in a `Sequential` and in graphs of layers."""

from __future__ import annotations

import inspect
from typing import Any

from dlc.train import masks


def call_with_mask(layer: Any, x: Any, mask: Any) -> tuple[Any, Any]:
    """The result of a layer and its mask.

    Args:
        layer: A layer.
        x: What it gets.
        mask: Bools [batch, time], for layers with an argument `mask`; or None. A layer's
            `compute_mask` says what comes of it; it is that of the result of others too, as long as
            this has the same steps.
    """
    result = layer(x) if mask is None or not _takes_mask(layer) else layer(x, mask=mask)
    told = getattr(layer, "compute_mask", None)
    if told is not None:
        return result, told(x, mask)
    return result, mask if masks.fits(result, mask) else None


def _takes_mask(layer: Any) -> bool:
    """Whether a layer takes part in masking, as Keras's do, by an argument `mask`."""
    for name in ("call", "forward"):
        if name == "call" or hasattr(layer, "compute_mask"):
            found = getattr(layer, name, None)
            if found is not None:
                return "mask" in inspect.signature(found).parameters
    return False
