"""First values of parameters.

An initialiser is a function `(shape, dtype) -> Tensor`, made by a function (`he_normal(key)`) or a
class with Keras's name and arguments (`HeNormal(seed=1)`). `get` finds one by name. Fans follow the
shape: a matrix `[inputs, outputs]`; a convolution's kernel `[*window, inputs, outputs]`; with
`outputs_first`, PyTorch's layouts `[outputs, inputs, *window]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, ClassVar, TypeAlias, cast

import numpy as np

import dlc
from dlc.ir.errors import ValueRangeError, nearest

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "LecunNormal",
    "LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal",
    "VarianceScaling", "Zeros", "constant", "dirac", "fans", "get", "glorot_normal",
    "glorot_uniform", "he_normal", "he_uniform", "identity", "kaiming_normal",
    "kaiming_uniform", "lecun_normal", "lecun_uniform", "normal", "ones", "orthogonal",
    "random_normal", "random_uniform", "skip_init", "truncated_normal", "uniform",
    "variance_scaling", "xavier_normal", "xavier_uniform", "zeros",
]  # fmt: skip

Initializer: TypeAlias = Callable[[Sequence[int], Any], dlc.Tensor]

# The deviation of a normal distribution that is cut at two deviations.
_CUT = 0.87962566103423978
_skipping: ContextVar[bool] = ContextVar("skipping", default=False)


@contextmanager
def skip_init() -> Generator[None]:
    """Inside, random first values are zeros, and no numbers are drawn.

    For layers whose parameters are given other values next, as `load_state_dict` gives them. Memory
    of zeros is not touched before it is read.

    Example:
        >>> with dlc.nn.initializers.skip_init():
        ...     layer = dlc.nn.Linear(2, 3)
        >>> bool((layer.weight == 0.0).all())
        True
    """
    token = _skipping.set(True)
    try:
        yield
    finally:
        _skipping.reset(token)


def _random(draw: Callable[..., dlc.Tensor]) -> Callable[..., dlc.Tensor]:
    """What draws numbers, for a shape and an element type at the end of its arguments."""

    @wraps(draw)
    def drawn(*args: Any) -> dlc.Tensor:
        if not _skipping.get():
            return draw(*args)
        *_, shape, dtype = args
        return dlc.zeros(tuple(shape), dtype=dtype)

    return drawn


def _moved(x: dlc.Tensor, factor: float, term: float) -> dlc.Tensor:
    """x * factor + term, in no more passes over memory than there have to be."""
    scaled = x if factor == 1.0 else x * factor
    return scaled if term == 0.0 else scaled + term


def zeros() -> Initializer:
    """Zeros."""
    return constant(0.0)


def ones() -> Initializer:
    """Ones."""
    return constant(1.0)


def constant(value: float = 0.0) -> Initializer:
    """One number."""
    return partial(_filled, value)


def _filled(value: float, shape: Sequence[int], dtype: Any) -> dlc.Tensor:
    return dlc.full(tuple(shape), value, dtype=dtype)


def normal(mean: float = 0.0, stddev: float = 0.05, key: Any = None) -> Initializer:
    """A normal distribution; numbers come from `key`, or from the global generator."""
    return partial(_normal, mean, stddev, key)


@_random
def _normal(mean: float, stddev: float, key: Any, shape: Sequence[int], dtype: Any) -> dlc.Tensor:
    return _moved(dlc.random.normal(key, tuple(shape), dtype), stddev, mean)


def uniform(low: float = -0.05, high: float = 0.05, key: Any = None) -> Initializer:
    """A uniform distribution; numbers come from `key`, or from the global generator."""
    return partial(_uniform, low, high, key)


@_random
def _uniform(low: float, high: float, key: Any, shape: Sequence[int], dtype: Any) -> dlc.Tensor:
    return _moved(dlc.random.uniform(key, tuple(shape), dtype), high - low, low)


def truncated_normal(mean: float = 0.0, stddev: float = 0.05, key: Any = None) -> Initializer:
    """A normal distribution cut at two deviations (`dlc.random.truncated_normal`)."""
    return partial(_truncated, mean, stddev, key)


@_random
def _truncated(
    mean: float, stddev: float, key: Any, shape: Sequence[int], dtype: Any
) -> dlc.Tensor:
    return _moved(dlc.random.truncated_normal(key, shape=tuple(shape), dtype=dtype), stddev, mean)


def identity(gain: float = 1.0) -> Initializer:
    """A matrix with `gain` on its diagonal and zeros elsewhere."""
    return partial(_identity, gain)


def _identity(gain: float, shape: Sequence[int], dtype: Any) -> dlc.Tensor:
    if len(shape) != 2:
        raise ValueRangeError(f"an identity of shape {tuple(shape)}: it is a matrix")
    return dlc.eye(shape[0], shape[1], dtype=dtype) * gain


def dirac(groups: int = 1) -> Initializer:
    """Filters [O, I, *window] whose convolution gives the first of its input's channels as it is.

    Args:
        groups: Into how many groups filters are divided, each of which does so.
    """
    return partial(_dirac, groups)


def _dirac(groups: int, shape: Sequence[int], dtype: Any) -> dlc.Tensor:
    if len(shape) < 3 or shape[0] % groups:
        raise ValueRangeError(f"dirac(groups={groups}) of shape {tuple(shape)}")
    held = np.zeros(tuple(shape))
    centre = tuple(d // 2 for d in shape[2:])
    each = shape[0] // groups
    for g in range(groups):
        for k in range(min(each, shape[1])):
            held[(g * each + k, k, *centre)] = 1.0
    return dlc.asarray(held, dtype=dtype)


def fans(shape: Sequence[int], outputs_first: bool = False) -> tuple[int, int]:
    """The inputs that each output reads, and the outputs that read each input.

    Args:
        shape: Of a parameter.
        outputs_first: Whether it is in PyTorch's layout, [outputs, inputs, *window].

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
    if distribution == "untruncated_normal":
        distribution = "normal"
    if distribution not in _SPREAD or mode not in ("fan_in", "fan_out", "fan_avg") or scale <= 0:
        raise ValueRangeError(
            f"variance_scaling({scale}, {mode!r}, {distribution!r})",
            hint='mode is "fan_in", "fan_out" or "fan_avg", distribution "truncated_normal", '
            '"normal" or "uniform", scale positive',
        )
    return partial(_scaled, scale, mode, distribution, key, outputs_first)


# Of each distribution: makes one with a deviation.
_SPREAD: dict[str, Callable[[float, Any], Initializer]] = {
    "truncated_normal": lambda d, key: truncated_normal(0.0, d / _CUT, key),
    "normal": lambda d, key: normal(0.0, d, key),
    "uniform": lambda d, key: uniform(-d * math.sqrt(3), d * math.sqrt(3), key),
}


def _scaled(
    scale: float, mode: str, distribution: str, key: Any, outputs_first: bool,
    shape: Sequence[int], dtype: Any,
) -> dlc.Tensor:  # fmt: skip
    fan_in, fan_out = fans(shape, outputs_first)
    n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    return _SPREAD[distribution](math.sqrt(scale / max(1.0, n)), key)(shape, dtype)


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


def orthogonal(gain: float = 1.0, key: Any = None, outputs_first: bool = False) -> Initializer:
    """Orthogonal rows or columns of a matrix of all axes but the last (Saxe et al., 2014).

    With `outputs_first`, PyTorch's layout, of all axes but the first.
    """
    return partial(_orthogonal, gain, key, outputs_first)


@_random
def _orthogonal(
    gain: float, key: Any, outputs_first: bool, shape: Sequence[int], dtype: Any
) -> dlc.Tensor:
    if len(shape) < 2:
        raise ValueRangeError(f"an orthogonal tensor of shape {tuple(shape)} needs two axes")
    if outputs_first:
        rows, columns = shape[0], math.prod(shape[1:])
    else:
        rows, columns = math.prod(shape[:-1]), shape[-1]
    long, short = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(dlc.random.normal(key, (long, short), dlc.float64).numpy())
    q = q * np.sign(np.diagonal(r))  # else the distribution is not uniform
    return dlc.asarray(gain * (q if rows >= columns else q.T).reshape(shape), dtype=dtype)


xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal
random_normal, random_uniform = normal, uniform


class _AsKeras:
    """The base of initialisers by Keras's names: a `seed` in the place of a key.

    With a seed, each call gives the same numbers.

    Example:
        >>> he = dlc.nn.initializers.HeNormal(seed=1)
        >>> bool((he((3, 2)) == he((3, 2))).all())
        True
    """

    def __init__(self, init: Initializer) -> None:
        self._init = init

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> dlc.Tensor:
        return self._init(shape, dtype or dlc.float32)


def _key(seed: int | None) -> Any:
    return None if seed is None else dlc.random.key(seed)


class Zeros(_AsKeras):
    """Zeros."""

    def __init__(self) -> None:
        super().__init__(zeros())


class Ones(_AsKeras):
    """Ones."""

    def __init__(self) -> None:
        super().__init__(ones())


class Constant(_AsKeras):
    """One number."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__(constant(value))


class Identity(_AsKeras):
    """A matrix with `gain` on its diagonal and zeros elsewhere."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(identity(gain))


class RandomNormal(_AsKeras):
    """A normal distribution of a mean and a deviation; a `seed` gives the same numbers again."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(normal(mean, stddev, _key(seed)))


class RandomUniform(_AsKeras):
    """A uniform distribution from minval to maxval; a `seed` gives the same numbers again."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(uniform(minval, maxval, _key(seed)))


class TruncatedNormal(_AsKeras):
    """A normal distribution cut at two deviations `stddev` around `mean`."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(truncated_normal(mean, stddev, _key(seed)))


class VarianceScaling(_AsKeras):
    """See `variance_scaling`."""

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(variance_scaling(scale, mode, distribution, _key(seed)))


class Orthogonal(_AsKeras):
    """See `orthogonal`."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(orthogonal(gain, _key(seed)))


class _Fans(_AsKeras):
    make: ClassVar[Callable[[Any], Initializer]]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(type(self).make(_key(seed)))


class GlorotUniform(_Fans):
    """Uniform, of variance 2 / (inputs + outputs) (Glorot and Bengio, 2010)."""

    make = staticmethod(glorot_uniform)


class GlorotNormal(_Fans):
    """Cut normal, of variance 2 / (inputs + outputs) (Glorot and Bengio, 2010)."""

    make = staticmethod(glorot_normal)


class HeUniform(_Fans):
    """Uniform, of variance 2 / inputs (He et al., 2015)."""

    make = staticmethod(he_uniform)


class HeNormal(_Fans):
    """Cut normal, of variance 2 / inputs (He et al., 2015)."""

    make = staticmethod(he_normal)


class LecunUniform(_Fans):
    """Uniform, of variance 1 / inputs (LeCun et al., 1998)."""

    make = staticmethod(lecun_uniform)


class LecunNormal(_Fans):
    """Cut normal, of variance 1 / inputs (LeCun et al., 1998)."""

    make = staticmethod(lecun_normal)


def get(given: Any) -> Initializer:
    """An initialiser by name (`"he_normal"`, `"HeNormal"`), or as it was given; of a class one.

    Raises:
        ValueRangeError: for a name that is not known, with the nearest one.

    Example:
        >>> dlc.nn.initializers.get("zeros")((2,), dlc.float32).tolist()
        [0.0, 0.0]
    """
    if isinstance(given, type):
        return cast(Initializer, given())
    if callable(given):
        return cast(Initializer, given)
    names = {n: globals()[n] for n in __all__ if n not in ("fans", "get") and n.islower()}
    key = "".join(c for c in str(given).lower() if c != "_")
    for name, make in names.items():
        if name.replace("_", "") == key:
            return make()
    raise ValueRangeError(f"no initialiser {given!r}", hint=nearest(str(given), names))
