"""Operators that draw random numbers, from a key each. The numbers are not those of eager mode."""

from __future__ import annotations

import functools
from typing import Any

import dlc
from dlc.interop.torch.arrays import dtype_of
from dlc.interop.torch.table import aten, find
from dlc.ir.errors import ModelError

_random = functools.partial(aten, needs=("key", "dtype"))


def _integers(key: Any, shape: Any, low: Any, high: Any, dtype: Any) -> Any:
    """Integers from low, before high, as elements of any type."""
    drawn = dlc.random.randint(key, tuple(shape), low, high, dlc.int64)
    return dlc.astype(drawn, dtype)


@_random("rand")
def rand(shape: Any, *, key: Any, dtype: Any) -> Any:
    """Uniform from 0, before 1."""
    return dlc.random.uniform(key, tuple(shape), dtype)


@_random("rand_like")
def rand_like(x: Any, *, key: Any, dtype: Any) -> Any:
    """Uniform from 0, before 1, in the shape of a tensor."""
    return dlc.random.uniform(key, x.shape, dtype)


@_random("randn")
def randn(shape: Any, *, key: Any, dtype: Any) -> Any:
    """Of the normal distribution."""
    return dlc.random.normal(key, tuple(shape), dtype)


@_random("randn_like")
def randn_like(x: Any, *, key: Any, dtype: Any) -> Any:
    """Of the normal distribution, in the shape of a tensor."""
    return dlc.random.normal(key, x.shape, dtype)


@_random("randint.default", "randint.generator")
def randint(high: Any, shape: Any, *, key: Any, dtype: Any) -> Any:
    """Integers from 0, before high."""
    return _integers(key, shape, 0, high, dtype)


@_random("randint.low", "randint.low_generator")
def randint_from(low: Any, high: Any, shape: Any, *, key: Any, dtype: Any) -> Any:
    """Integers from low, before high."""
    return _integers(key, shape, low, high, dtype)


@_random("randint_like")
def randint_like(x: Any, high: Any, *, key: Any, dtype: Any) -> Any:
    """Integers from 0, before high, in the shape of a tensor."""
    return _integers(key, x.shape, 0, high, dtype)


@_random("randint_like.low_dtype", "randint_like.low_generator_dtype")
def randint_like_from(x: Any, low: Any, high: Any, *, key: Any, dtype: Any) -> Any:
    """Integers from low, before high, in the shape of a tensor."""
    return _integers(key, x.shape, low, high, dtype)


# Up to where each float type holds every integer.
_WHOLE = {dlc.float64: 2**53, dlc.float32: 2**24, dlc.float16: 2**11, dlc.bfloat16: 2**8}


def _end(dtype: Any) -> int:
    """The end of the integers that `random` draws for a type."""
    if dtype in _WHOLE:
        return _WHOLE[dtype] + 1
    return 2 if dtype == dlc.bool else min(int(dlc.iinfo(dtype).max), 2**63 - 2) + 1


@_random("random.default")
def random(x: Any, *, key: Any, dtype: Any) -> Any:
    """Integers over the range of the type."""
    return _integers(key, x.shape, 0, _end(dtype), dtype)


@_random("random.to")
def random_to(x: Any, high: int, *, key: Any, dtype: Any) -> Any:
    """Integers from 0, before high."""
    return _integers(key, x.shape, 0, high, dtype)


@_random("randperm")
def randperm(n: Any, *, key: Any, dtype: Any) -> Any:
    """The numbers below n in a random order."""
    return dlc.astype(dlc.random.permutation(key, dlc.arange(n)), dtype)


@_random("bernoulli.default")
def bernoulli(chance: Any, *, key: Any, dtype: Any) -> Any:
    """1 with the probability that each element says."""
    return dlc.astype(dlc.random.bernoulli(key, chance), dtype)


@_random("bernoulli.p", "bernoulli.Tensor")
def bernoulli_like(x: Any, chance: Any = 0.5, *, key: Any, dtype: Any) -> Any:
    """1 with a probability, in the shape of a tensor."""
    return dlc.astype(dlc.random.bernoulli(key, chance, x.shape), dtype)


@_random("native_dropout")
def native_dropout(x: Any, p: float, train: bool | None, *, key: Any, dtype: Any) -> Any:
    """Elements set to 0 with probability p, the others divided by 1 - p; and where they stay."""
    del dtype
    if train is False or p == 0:
        return x, dlc.ones(x.shape, dtype=dlc.bool)
    if p == 1:
        return dlc.zeros_like(x), dlc.zeros(x.shape, dtype=dlc.bool)
    kept = dlc.random.bernoulli(key, 1 - p, x.shape)
    return dlc.where(kept, x * (1 / (1 - p)), 0), kept


def _normal(key: Any, shape: Any, mean: Any, std: Any, dtype: Any) -> Any:
    return dlc.random.normal(key, tuple(shape), dtype) * std + mean


@_random("normal.Tensor_float", "normal.Tensor_Tensor", "normal.float_Tensor")
def normal(mean: Any, std: Any = 1.0, *, key: Any, dtype: Any) -> Any:
    """Of the normal distribution, with means and deviations of each element."""
    shape = dlc.broadcast_shapes(*(v.shape for v in (mean, std) if hasattr(v, "shape")))
    return _normal(key, shape, mean, std, dtype)


@_random("normal.float_float")
def normal_of(mean: float, std: float, shape: Any, *, key: Any, dtype: Any) -> Any:
    """Of the normal distribution, with one mean and deviation."""
    return _normal(key, shape, mean, std, dtype)


@_random("normal_functional")
def normal_functional(x: Any, mean: float = 0.0, std: float = 1.0, *, key: Any, dtype: Any) -> Any:
    """Of the normal distribution, in the shape of a tensor."""
    return _normal(key, x.shape, mean, std, dtype)


@_random("log_normal")
def log_normal(x: Any, mean: float = 1.0, std: float = 2.0, *, key: Any, dtype: Any) -> Any:
    """Exponentials of the normal distribution."""
    return dlc.exp(_normal(key, x.shape, mean, std, dtype))


@_random("uniform")
def uniform(x: Any, low: float = 0.0, high: float = 1.0, *, key: Any, dtype: Any) -> Any:
    """Uniform from low, before high."""
    if low == high:
        return dlc.full(x.shape, low, dtype=dtype)
    return dlc.random.uniform(key, x.shape, dtype, low, high)


@_random("exponential")
def exponential(x: Any, rate: float = 1.0, *, key: Any, dtype: Any) -> Any:
    """Of the exponential distribution."""
    return dlc.random.exponential(key, x.shape, dtype) / rate


@_random("cauchy")
def cauchy(x: Any, median: float = 0.0, width: float = 1.0, *, key: Any, dtype: Any) -> Any:
    """Of Cauchy's distribution."""
    return dlc.random.cauchy(key, x.shape, dtype) * width + median


@_random("geometric")
def geometric(x: Any, p: float, *, key: Any, dtype: Any) -> Any:
    """How many trials until one succeeds."""
    return dlc.astype(dlc.random.geometric(key, p, x.shape), dtype)


@_random("poisson")
def poisson(rate: Any, _generator: Any = None, *, key: Any, dtype: Any) -> Any:
    """Of Poisson's distribution."""
    return dlc.astype(dlc.random.poisson(key, rate), dtype)


@_random("binomial")
def binomial(count: Any, chance: Any, _generator: Any = None, *, key: Any, dtype: Any) -> Any:
    """How many of so many trials succeed."""
    return dlc.astype(dlc.random.binomial(key, count, chance), dtype)


@_random("_standard_gamma")
def standard_gamma(shape: Any, _generator: Any = None, *, key: Any, dtype: Any) -> Any:
    """Of the gamma distribution."""
    return dlc.random.gamma(key, shape, dtype=dtype)


@_random("_sample_dirichlet")
def sample_dirichlet(weights: Any, _generator: Any = None, *, key: Any, dtype: Any) -> Any:
    """Of Dirichlet's distribution."""
    return dlc.random.dirichlet(key, weights, dtype=dtype)


@_random("multinomial")
def multinomial(
    weights: Any, count: Any, replacement: bool = False, *, key: Any, dtype: Any
) -> Any:
    """Classes by their weights along the last axis; without replacement no class comes twice."""
    del dtype
    logits = dlc.log(dlc.astype(weights, dlc.float64))
    if replacement:
        rows = dlc.expand_dims(logits, axis=-2)
        return dlc.random.categorical(key, rows, shape=(*weights.shape[:-1], count))
    # The largest with Gumbel's noise are so many without replacement.
    noise = dlc.random.gumbel(key, logits.shape, dlc.float64)
    order = dlc.argsort(logits + noise, axis=-1, descending=True)
    return order[..., :count]


@_random("rrelu_with_noise_functional")
def rrelu_with_noise(
    x: Any, noise: Any, low: float = 1 / 8, high: float = 1 / 3, training: bool = False,
    _generator: Any = None, *, key: Any, dtype: Any,
) -> Any:  # fmt: skip
    """A random fraction of what is not above zero, and the fractions."""
    if not training:
        return dlc.where(x > 0, x, x * ((low + high) / 2)), noise
    slope = uniform(x, low, high, key=key, dtype=dtype)
    slope = dlc.where(x > 0, dlc.ones_like(slope), slope)
    return x * slope, slope


@aten("rrelu_with_noise_backward")
def rrelu_with_noise_backward(
    gradient: Any, x: Any, noise: Any, low: float, high: float, training: bool, _result: bool
) -> Any:
    """The gradient times the fractions that were drawn."""
    if training and high - low > 1e-6:
        return gradient * noise
    return dlc.where(x > 0, gradient, gradient * ((low + high) / 2))


# Checkpoints: what is drawn in the forward graph is drawn again in the backward one.

_WORD = 4  # bytes


def _drawn(operator: Any, args: Any, keywords: dict[str, Any], key: Any, results: Any) -> Any:
    first = results[0] if isinstance(results, (list, tuple)) else results
    row = find(operator.__name__)
    if row is None:
        raise ModelError(f"dlc does not know 1 operator: {operator}")
    return row(*args, key=key, dtype=dtype_of(first.dtype), **keywords)


@aten("run_and_save_rng_state", needs=("key", "results"))
def run_and_save_rng_state(
    operator: Any, *args: Any, key: Any, results: Any, **keywords: Any
) -> tuple[Any, Any]:
    """A random state, which begins with the key, and what an operator draws by it."""
    shifts = dlc.arange(_WORD, dtype=dlc.uint32) * 8
    words = dlc.bitwise_and(dlc.bitwise_right_shift(key[:, None], shifts), 255)
    rest = dlc.zeros((results[0].shape[0] - 2 * _WORD,), dtype=dlc.uint8)
    state = dlc.concat([dlc.astype(dlc.reshape(words, (-1,)), dlc.uint8), rest])
    return state, _drawn(operator, args, keywords, key, results[1])


@aten("run_with_rng_state", needs=("results",))
def run_with_rng_state(state: Any, operator: Any, *args: Any, results: Any, **keywords: Any) -> Any:
    """What an operator draws by a random state that was saved."""
    words = dlc.astype(dlc.reshape(state[: 2 * _WORD], (2, _WORD)), dlc.uint32)
    shifts = dlc.arange(_WORD, dtype=dlc.uint32) * 8
    key = dlc.sum(dlc.bitwise_left_shift(words, shifts), axis=1, dtype=dlc.uint32)
    return _drawn(operator, args, keywords, key, results)
