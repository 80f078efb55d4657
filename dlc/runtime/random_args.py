"""Random arguments for a function: ordinary numbers, or mixed with the special ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from dlc.ir.core import Function
from dlc.ir.dims import evaluate
from dlc.ir.types import DType

EXTENTS = (5, 7, 3, 6)  # of symbols, in turn


def random_args(
    function: Function,
    seed: int = 0,
    *,
    special: bool = False,
    dims: Mapping[str, int] | None = None,
) -> list[npt.NDArray[Any]]:
    """An array for each parameter.

    Args:
        function: Whose parameters.
        seed: The same seed gives the same arrays.
        special: Mix in zeros of both signs, infinities, NaN and the limits of integers.
        dims: Extents of symbols; small ones where it gives none.

    Example:
        >>> interpret(f, random_args(f))
    """
    rng = np.random.default_rng(seed)
    values = {s: EXTENTS[k % len(EXTENTS)] for k, s in enumerate(function.symbols)}
    values |= dict(dims or {})
    return [
        _array(rng, p.tensor.dtype, tuple(evaluate(d, values) for d in p.shape), special)
        for p in function.params
    ]


def _array(
    rng: np.random.Generator, dtype: DType, shape: tuple[int, ...], special: bool
) -> npt.NDArray[Any]:
    ordinary = _ordinary(rng, dtype, shape)
    if not special:
        return ordinary
    picked = rng.choice(_specials(dtype), shape)
    return np.where(rng.random(shape) < 0.3, picked, ordinary)


def _ordinary(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.is_float:
        return np.asarray(rng.normal(0, 1.5, shape)).astype(dtype.numpy)
    low = -3 if dtype.kind == "i" else 0
    return np.asarray(rng.integers(low, 10, shape)).astype(dtype.numpy)


def _specials(dtype: DType) -> npt.NDArray[Any]:
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.is_float:
        tiny = float(ml_dtypes.finfo(dtype.numpy).smallest_normal)
        values = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, np.inf, -np.inf, np.nan, tiny, -tiny]
        return np.array(values, dtype.numpy)
    info = np.iinfo(dtype.numpy)
    return np.array([0, 1, 2, info.min, info.max, info.max - 1], dtype.numpy)
