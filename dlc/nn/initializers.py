"""First values of parameters.

An initialiser is a function `(shape, dtype) -> Tensor`. `get` finds one by name. Fans follow the
shape: a matrix `[inputs, outputs]`; a convolution's kernel `[*window, inputs, outputs]`; with
`outputs_first`, PyTorch's layouts `[outputs, inputs, *window]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import numpy as np

import dlc
from dlc.ir.errors import ValueRangeError, nearest

__all__ = [
    "constant", "fans", "get", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform",
    "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "normal", "ones",
    "orthogonal", "random_normal", "random_uniform", "truncated_normal", "uniform",
    "variance_scaling", "xavier_normal", "xavier_uniform", "zeros",
]  # fmt: skip

Initializer: TypeAlias = Callable[[Sequence[int], Any], dlc.Tensor]

# The deviation of a normal distribution that is cut at two deviations.
_CUT = 0.87962566103423978


def zeros() -> Initializer:
    """Zeros."""
    return lambda shape, dtype: dlc.zeros(tuple(shape), dtype=dtype)


def ones() -> Initializer:
    """Ones."""
    return lambda shape, dtype: dlc.ones(tuple(shape), dtype=dtype)


def constant(value: float = 0.0) -> Initializer:
    """One number."""
    return lambda shape, dtype: dlc.full(tuple(shape), value, dtype=dtype)


def normal(mean: float = 0.0, stddev: float = 0.05, key: Any = None) -> Initializer:
    """A normal distribution; numbers come from `key`, or from the global generator."""

    def init(shape: Sequence[int], dtype: Any) -> dlc.Tensor:
        return dlc.random.normal(key, tuple(shape), dtype) * stddev + mean

    return init


def uniform(low: float = -0.05, high: float = 0.05, key: Any = None) -> Initializer:
    """A uniform distribution; numbers come from `key`, or from the global generator."""

    def init(shape: Sequence[int], dtype: Any) -> dlc.Tensor:
        return dlc.random.uniform(key, tuple(shape), dtype) * (high - low) + low

    return init


def truncated_normal(mean: float = 0.0, stddev: float = 0.05, key: Any = None) -> Initializer:
    """A normal distribution cut at two deviations (`dlc.random.truncated_normal`)."""

    def init(shape: Sequence[int], dtype: Any) -> dlc.Tensor:
        return dlc.random.truncated_normal(key, shape=tuple(shape), dtype=dtype) * stddev + mean

    return init


def fans(shape: Sequence[int], outputs_first: bool = False) -> tuple[int, int]:
    """The inputs that each output reads, and the outputs that read each input.

    Example:
        >>> fans((3, 3, 16, 32)), fans((32, 16, 3, 3), outputs_first=True)
        ((144, 288), (144, 288))
    """
    if len(shape) < 2:
        n = int(shape[0]) if shape else 1
        return n, n
    *window, inputs, outputs = (*shape[2:], shape[1], shape[0]) if outputs_first else shape
    area = math.prod(window)
    return int(inputs) * area, int(outputs) * area


def variance_scaling(
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
    key: Any = None,
    outputs_first: bool = False,
) -> Initializer:
    """A distribution whose variance is scale / n, where n is a fan or the mean of both.

    Args:
        scale: A positive number.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "normal" (not cut) or "uniform".
        key: A key of `dlc.random`; the global generator without one.
        outputs_first: Whether shapes are in PyTorch's layouts.

    Raises:
        ValueRangeError: for other names, or a scale that is not positive.
    """
    makers = {
        "truncated_normal": lambda d: truncated_normal(0.0, d / _CUT, key),
        "normal": lambda d: normal(0.0, d, key),
        "uniform": lambda d: uniform(-d * math.sqrt(3), d * math.sqrt(3), key),
    }
    makers["untruncated_normal"] = makers["normal"]
    if distribution not in makers or mode not in ("fan_in", "fan_out", "fan_avg") or scale <= 0:
        raise ValueRangeError(
            f"variance_scaling({scale}, {mode!r}, {distribution!r})",
            hint='mode is "fan_in", "fan_out" or "fan_avg", distribution "truncated_normal", '
            '"normal" or "uniform", scale positive',
        )

    def init(shape: Sequence[int], dtype: Any) -> dlc.Tensor:
        fan_in, fan_out = fans(shape, outputs_first)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
        return makers[distribution](math.sqrt(scale / max(1.0, n)))(shape, dtype)

    return init


def glorot_uniform(key: Any = None, outputs_first: bool = False) -> Initializer:
    """Uniform, of variance 2 / (inputs + outputs) (Glorot and Bengio, 2010)."""
    return variance_scaling(1.0, "fan_avg", "uniform", key, outputs_first)


def glorot_normal(key: Any = None, outputs_first: bool = False) -> Initializer:
    """Cut normal, of variance 2 / (inputs + outputs) (Glorot and Bengio, 2010)."""
    return variance_scaling(1.0, "fan_avg", "truncated_normal", key, outputs_first)


def he_uniform(key: Any = None, outputs_first: bool = False) -> Initializer:
    """Uniform, of variance 2 / inputs (He et al., 2015)."""
    return variance_scaling(2.0, "fan_in", "uniform", key, outputs_first)


def he_normal(key: Any = None, outputs_first: bool = False) -> Initializer:
    """Cut normal, of variance 2 / inputs (He et al., 2015)."""
    return variance_scaling(2.0, "fan_in", "truncated_normal", key, outputs_first)


def lecun_uniform(key: Any = None, outputs_first: bool = False) -> Initializer:
    """Uniform, of variance 1 / inputs (LeCun et al., 1998)."""
    return variance_scaling(1.0, "fan_in", "uniform", key, outputs_first)


def lecun_normal(key: Any = None, outputs_first: bool = False) -> Initializer:
    """Cut normal, of variance 1 / inputs (LeCun et al., 1998)."""
    return variance_scaling(1.0, "fan_in", "truncated_normal", key, outputs_first)


def orthogonal(gain: float = 1.0, key: Any = None) -> Initializer:
    """Orthogonal rows or columns of a matrix of all axes but the last (Saxe et al., 2014)."""

    def init(shape: Sequence[int], dtype: Any) -> dlc.Tensor:
        if len(shape) < 2:
            raise ValueRangeError(f"an orthogonal tensor of shape {tuple(shape)} needs two axes")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        long, short = max(rows, columns), min(rows, columns)
        q, r = np.linalg.qr(dlc.random.normal(key, (long, short), dlc.float64).numpy())
        q = q * np.sign(np.diagonal(r))  # else the distribution is not uniform
        return dlc.asarray(gain * (q if rows >= columns else q.T).reshape(shape), dtype=dtype)

    return init


xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal
random_normal, random_uniform = normal, uniform


def get(given: Any) -> Initializer:
    """An initialiser by name (`"he_normal"`), or as it was given.

    Raises:
        ValueRangeError: for a name that is not known, with the nearest one.
    """
    if callable(given):
        return cast(Initializer, given)
    names = {n: globals()[n] for n in __all__ if n not in ("fans", "get")}
    key = "".join(c for c in str(given).lower() if c != "_")
    for name, make in names.items():
        if name.replace("_", "") == key:
            return make()
    raise ValueRangeError(f"no initialiser {given!r}", hint=nearest(str(given), names))
