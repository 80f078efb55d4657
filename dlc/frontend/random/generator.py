"""Keys, random bits, uniform and normal numbers, and the global generator for eager use.

A key is a tensor `uint32[2]`. Bits come from the counter-based generator Threefry-2x32
(`random_bits` of the op table): the same key and shape give the same numbers eager and compiled, on
any device and any number of threads.

`uniform` takes the top 24 bits of a word for float32, 11 for float16, 8 for bfloat16, and the top
53 of two words for float64. `normal` is the Box-Muller transform of two uniforms.
"""

from __future__ import annotations

import math
import os
import threading
from typing import Any

import numpy as np

from dlc.frontend.apply import (
    apply,
    as_dims,
    as_tensor,
    dtype_argument,
    rounded_once,
)
from dlc.frontend.context import current_trace
from dlc.frontend.tensor import Tensor, functions
from dlc.ir.dims import Dim
from dlc.ir.errors import ArgumentError, DTypeError, TracedValueError, ValueRangeError
from dlc.ir.types import DType, TensorType, bool_, float32, float64, uint32, uint64


class _Generator(threading.local):
    """The global generator of a thread: a key and how often it has been split."""

    def __init__(self) -> None:
        self.seed = int.from_bytes(os.urandom(8), "little")
        self.count = 0


_generator = _Generator()


def key(seed: int) -> Tensor:
    """A key from an integer.

    Args:
        seed: Any integer of 64 bits; negative ones count from the top.

    Raises:
        ArgumentError: for anything else.

    Example:
        >>> key(0)
        Tensor([0, 0], dtype=uint32)
    """
    try:
        value = seed.__index__() & 0xFFFFFFFFFFFFFFFF
    except AttributeError:
        raise ArgumentError(f"key of a {type(seed).__name__}: a seed is an integer") from None
    return as_tensor(np.array([value >> 32, value & 0xFFFFFFFF], np.uint32))


def seed(value: int) -> None:
    """Restarts the global generator of this thread, which functions use when their key is None."""
    _generator.seed, _generator.count = value.__index__(), 0


def get_state() -> tuple[int, int]:
    """The state of the global generator of this thread: its seed, and how many keys it gave.

    Example:
        >>> seed(3)
        >>> get_state()
        (3, 0)
    """
    return _generator.seed, _generator.count


def set_state(state: tuple[int, int]) -> None:
    """Gives the global generator of this thread the state of `get_state`, where it goes on.

    Raises:
        ArgumentError: for something else than two integers.
    """
    try:
        first, count = (x.__index__() for x in state)
    except (AttributeError, TypeError, ValueError):
        raise ArgumentError(f"a state of the generator is two integers, not {state!r}") from None
    _generator.seed, _generator.count = first, count


def key_of(given: Any, name: str) -> Tensor:
    """The key of a call: the one given, or the next of the global generator."""
    if given is None:
        if current_trace() is not None:
            raise TracedValueError(
                f"random.{name} without a key while tracing: every call of the program would give "
                "the same numbers",
                hint="pass a key as an argument: dlc.random.key(0), then dlc.random.split; in a "
                "layer or model, keep a dlc.nn.RandomState and take its next()",
            )
        _generator.count += 1
        return fold_in(key(_generator.seed), _generator.count)
    k = as_tensor(given)
    if k.tensor != TensorType(uint32, (2,)):
        raise DTypeError(
            f"random.{name}: a key is u32[2], got {k.tensor}", hint="make it with dlc.random.key(0)"
        )
    return k


def split(key: Tensor, n: int = 2) -> Tensor:
    """`n` new keys, as the rows of a `uint32[n, 2]`; use none of them twice, nor `key` again.

    Example:
        >>> key, use = split(key(0))
    """
    if n < 1:
        raise ValueRangeError(f"split into {n} keys")
    return apply("random_bits", key_of(key, "split"), shape=(n, 2))


def fold_in(key: Tensor, data: Any) -> Tensor:
    """A new key from a key and an integer, such as the number of a step or of a layer.

    Args:
        key: A key.
        data: A non-negative integer, or an integer scalar tensor.
    """
    k = key_of(key, "fold_in")
    number = functions.astype(as_tensor(data), uint32)
    if number.ndim or not as_tensor(data).dtype.is_integer:
        raise ArgumentError(f"fold_in of {as_tensor(data).tensor}: it takes an integer scalar")
    first = apply("random_bits", k, shape=(2,))
    mixed = functions.bitwise_xor(
        first, functions.stack([number, functions.bitwise_invert(number)])
    )
    return apply("random_bits", mixed, shape=(2,))


def bits(key: Tensor | None, shape: Any = (), dtype: Any = uint32) -> Tensor:
    """Uniform random bits of uint32 (or uint64)."""
    d = dtype_argument(dtype)
    k, dims = key_of(key, "bits"), as_dims(shape)
    if d is uint32:
        return apply("random_bits", k, shape=dims)
    if d is not uint64:
        raise DTypeError(f"random.bits of {d.name}: uint32 or uint64")
    words = functions.astype(apply("random_bits", k, shape=(*dims, 2)), uint64)
    return functions.add(
        functions.bitwise_left_shift(words[..., 0], _filled(32, uint64)), words[..., 1]
    )


def _filled(value: float, dtype: DType) -> Tensor:
    return apply("full", value=value, shape=(), dtype=dtype)


def float_dtype(dtype: Any, name: str) -> DType:
    """The element type of a function's numbers; DTypeError for one that is not of floats."""
    d = dtype_argument(dtype)
    if not d.is_float:
        raise DTypeError(f"random.{name} of {d.name}: a float type is needed")
    return d


_PRECISION = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}


def unit(k: Tensor, dims: tuple[Dim, ...], d: DType) -> Tensor:
    """Multiples of the precision of `d` in [0, 1), as float64 for float64 and else as float32."""
    wide = d is float64
    source, target = (uint64, float64) if wide else (uint32, float32)
    taken = _PRECISION[d.name]
    words = functions.bitwise_right_shift(
        bits(k, dims, source), _filled(source.bits - taken, source)
    )
    return functions.multiply(functions.astype(words, target), 2.0**-taken)


def uniform(
    key: Tensor | None,
    shape: Any = (),
    dtype: Any = float32,
    minval: Any = 0.0,
    maxval: Any = 1.0,
) -> Tensor:
    """Numbers uniform in [minval, maxval).

    Args:
        key: A key; None takes the next of the global generator.
        shape: The result's shape.
        dtype: A float type.
        minval: The lower bound, which may be attained.
        maxval: The upper bound.

    Raises:
        ValueRangeError: The bounds are numbers, and the lower one is above the other.

    Example:
        >>> uniform(key(0), (2, 3)).shape
        (2, 3)
    """
    d = float_dtype(dtype, "uniform")
    numbers = isinstance(minval, (int, float)) and isinstance(maxval, (int, float))
    if numbers and not minval <= maxval:
        raise ValueRangeError(f"uniform between {minval} and {maxval}")
    u = unit(key_of(key, "uniform"), as_dims(shape), d)
    low, high = minval, maxval
    if _is_number(low, 0.0) and _is_number(high, 1.0):
        return functions.astype(u, d)
    u = functions.astype(rounded_once(u, functions.subtract(high, low), low), d)
    # Rounding may reach the upper bound.
    below = functions.maximum(low, _below(high, d))
    return functions.astype(functions.where(functions.less(u, high), u, below), d)


def _is_number(x: Any, value: float) -> bool:
    return isinstance(x, (int, float)) and x == value


def _below(x: Any, dtype: DType) -> Any:
    if isinstance(x, (int, float)):
        return float(np.nextafter(dtype.numpy.type(x), dtype.numpy.type(-np.inf)))
    return functions.nextafter(functions.astype(as_tensor(x), dtype), _filled(-math.inf, dtype))


def normal(key: Tensor | None, shape: Any = (), dtype: Any = float32) -> Tensor:
    """Numbers of the normal distribution with mean 0 and variance 1.

    Args:
        key: A key; None takes the next of the global generator.
        shape: The result's shape.
        dtype: A float type.
    """
    d = float_dtype(dtype, "normal")
    dims = as_dims(shape)
    held = float64 if d is float64 else float32
    keys = split(key_of(key, "normal"))
    u, v = (unit(keys[k], dims, held) for k in (0, 1))
    # 1 - u is in (0, 1], where the logarithm is finite.
    radius = functions.sqrt(functions.multiply(functions.log(functions.subtract(1.0, u)), -2.0))
    return functions.astype(
        functions.multiply(radius, functions.cos(functions.multiply(v, 2 * math.pi))), d
    )


def bernoulli(key: Tensor | None, p: Any = 0.5, shape: Any = None) -> Tensor:
    """True with probability `p`.

    Args:
        key: A key; None takes the next of the global generator.
        p: The probability, a number or a tensor.
        shape: The result's shape; that of `p` when not given.
    """
    chance = as_tensor(p)
    dims = chance.tensor.shape if shape is None else as_dims(shape)
    wide = chance.tensor.dtype is float64 and not chance._weak
    u = unit(key_of(key, "bernoulli"), dims, float64 if wide else float32)
    result = functions.less(u, chance)
    assert result.dtype is bool_
    return result
