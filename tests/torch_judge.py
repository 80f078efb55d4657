"""PyTorch as a judge: values and gradients of both frameworks, held against float64.

`judge(ours, theirs, arrays)` computes a function's results and the gradients of all its float
inputs in dlc at float32, in PyTorch at float32 and in PyTorch at float64. Our error, relative to
the largest element of the exact result, may be a few times PyTorch's own, or a few units in the
last place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

import dlc

FACTOR, FLOOR = 4.0, 16 * 2.0**-24  # of PyTorch's own error; of the largest element


def _torch_results(function, arrays, dtype):
    tensors = [
        torch.tensor(a, dtype=dtype, requires_grad=True) if a.dtype.kind == "f" else torch.tensor(a)
        for a in arrays
    ]
    out = function(*tensors)
    sources = [t for t in tensors if t.requires_grad]
    generator = np.random.default_rng(1)
    cotangent = generator.standard_normal(tuple(out.shape))
    gradients = torch.autograd.grad(out, sources, torch.tensor(cotangent, dtype=out.dtype))
    return cotangent, [r.detach().double().numpy() for r in (out, *gradients)]


def _dlc_results(function, arrays, cotangent):
    places = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]

    @dlc.compile
    def results(ct, *given):
        def of_floats(*floats):
            held = list(given)
            for k, x in zip(places, floats, strict=True):
                held[k] = x
            return function(*held)

        out, pull = dlc.vjp(of_floats, *(given[k] for k in places))
        return out, *pull(ct)

    found = results(cotangent.astype(np.float32), *arrays)
    assert results.stats.interpreted_ops == 0
    return [r.numpy().astype(np.float64) for r in found]


def judge(
    ours: Callable[..., object], theirs: Callable[..., object], arrays: Sequence[np.ndarray]
) -> None:
    """Fails where our values or gradients are further from float64 than PyTorch's allow."""
    cotangent, exact = _torch_results(theirs, arrays, torch.float64)
    _, single = _torch_results(theirs, arrays, torch.float32)
    found = _dlc_results(ours, arrays, cotangent)
    assert len(found) == len(exact)
    for k, (x, y, z) in enumerate(zip(found, single, exact, strict=True)):
        assert x.shape == z.shape, k
        if not z.size:
            continue
        largest = np.abs(z).max()
        allowed = max(FACTOR * np.abs(y - z).max(), FLOOR * largest)
        assert np.abs(x - z).max() <= allowed, (k, np.abs(x - z).max(), allowed, largest)
