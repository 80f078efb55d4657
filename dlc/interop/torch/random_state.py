"""The random state of a compiled graph: PyTorch's generator, read and advanced at each call."""

from __future__ import annotations

from typing import Any

import numpy as np


def next_key() -> np.ndarray[Any, Any]:
    """A random key for one call: the next two words of PyTorch's default generator.

    So `torch.manual_seed` seeds the numbers, and the state is what `torch.get_rng_state` returns.
    """
    import torch

    words = torch.randint(0, 2**32, (2,), dtype=torch.int64, device="cpu")
    return words.numpy().astype(np.uint32)
