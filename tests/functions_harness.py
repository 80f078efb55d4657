"""Runs a function over tensors in every way there is, and compares it with NumPy at float64."""

import ml_dtypes
import numpy as np

import dlc
from dlc.frontend.tensor import Tensor
from dlc.frontend.trace import tracing
from dlc.ir.config import config
from dlc.ir.dims import symbol
from dlc.ir.interpret import interpret
from dlc.ir.types import DTYPES, TensorType, dtype_of
from dlc.ir.verifier import verify

FLOATS = ("float64", "float32", "float16", "bfloat16")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
NUMBERS = FLOATS + SIGNED + UNSIGNED
ALL = (*NUMBERS, "bool")
assert {d.name for d in DTYPES} == set(ALL)
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def values(shape, dtype="float32", seed=0):
    """Numbers of either sign where the dtype has them, integers near the ends of a small range."""
    rng = np.random.default_rng([seed, *map(int, shape)])
    held = dtype_of(dtype).numpy
    if held == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype_of(dtype).is_integer:
        low = 0 if held.kind == "u" else -9
        return rng.integers(low, 10, shape).astype(held)
    return rng.uniform(-3, 3, shape).astype(held)


def specials(dtype="float32"):
    """NaN, zeros of both signs, infinities, subnormal and largest numbers."""
    info = ml_dtypes.finfo(dtype_of(dtype).numpy)
    tiny, top = float(info.smallest_subnormal), float(info.max)
    found = [
        np.nan,
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -3.0,
        tiny,
        -tiny,
        top,
        -top,
    ]
    return np.array(found).astype(dtype_of(dtype).numpy)


def leaves(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def trace(function, arrays, symbolic):
    """The function's IR on parameters like the arrays; equal extents above 1 share a symbol."""

    def dims(shape):
        return tuple(symbol(f"n{d}") if symbolic and d > 1 else d for d in shape)

    with tracing() as t:
        params = [t.param(TensorType(dtype_of(a.dtype), dims(a.shape))) for a in arrays]
        results = [r._node_in(t) for r in leaves(function(*params))]
        outer = list(t.captures.values())
        nodes = [p._node for p in params] + [node for _, node in outer]
        found = t.function("f", nodes, results)
    verify(found)
    return found, [tensor.numpy() for tensor, _ in outer]


def run_traced(function, arrays, symbolic=False):
    found, outer = trace(function, arrays, symbolic)
    return list(interpret(found, [*arrays, *outer]))


def run_eager(function, arrays, interpreted):
    with config.scope(disable_jit=interpreted):
        results = leaves(function(*(dlc.asarray(a) for a in arrays)))
        assert all(isinstance(r, Tensor) for r in results)
        return [r.numpy() for r in results]


WAYS = {
    "interpreted": lambda f, arrays: run_eager(f, arrays, interpreted=True),
    "native": lambda f, arrays: run_eager(f, arrays, interpreted=False),
    "traced": run_traced,
    "symbolic": lambda f, arrays: run_traced(f, arrays, symbolic=True),
}


def wide(a):
    a = np.asarray(a)
    return a.astype(np.float64) if a.dtype.kind not in "iub" else a


def assert_close(got, want, ulps, what="", floor=0.0):
    """Within `ulps` units in the last place of the wanted float64 values, and equal specials.

    floor: The size of what is subtracted on the way, where that is more than the result.
    """
    want = np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, wanted {want.shape}"
    name = dtype_of(got.dtype).name
    if name not in EPS:
        assert np.array_equal(got, want), f"{what}: {got} is not {want}"
        return
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype).astype(np.float64)
        found = got.astype(np.float64)
        least = float(ml_dtypes.finfo(got.dtype).smallest_normal)
        allowed = ulps * EPS[name] * np.maximum(np.abs(want), max(floor, least))
        near = (found == rounded) | (np.abs(found - want) <= allowed)
        near |= np.isnan(found) & np.isnan(rounded)
    assert near.all(), f"{what}: {found[~near]} is not {want[~near]}"


def check(function, reference, arrays, *, ulps=4, ways=tuple(WAYS), dtype=None, floor=0.0):
    """The function against NumPy's at float64, in every way."""
    with np.errstate(all="ignore"):
        want = leaves(reference(*map(wide, arrays)))
    for way in ways:
        got = WAYS[way](function, arrays)
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            assert_close(np.asarray(g), wide(w), ulps, way, floor)
            if dtype is not None:
                assert dtype_of(g.dtype).name == dtype, way
