"""Compares what a rewrite rule is given with what it makes, on random and special values."""

import ml_dtypes
import numpy as np

from dlc.ir.interpret import interpret
from dlc.ir.rewrite import RewriteStats, RuleSet, rewrite
from dlc.ir.rule_samples import rule_samples
from dlc.ir.verifier import verify

EXTENT = 5  # of a symbol


def special_values(dtype):
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.is_float:
        info = ml_dtypes.finfo(dtype.numpy)
        tiny, big = float(info.smallest_subnormal), float(info.max)
        values = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            2.0,
            -3.0,
            np.inf,
            -np.inf,
            np.nan,
            tiny,
            -tiny,
            big,
            -big,
        ]
        values += [float(info.eps), float(info.smallest_normal), 1.5, 88.0]
        return np.array(values, dtype.numpy)
    info = np.iinfo(dtype.numpy)
    values = {0, 1, 2, 3, 7, info.min, info.max, info.max - 1, max(info.min, -1), max(info.min, -2)}
    return np.array(sorted(values), dtype.numpy)


def random_array(rng, type_, dims=None):
    """Special values and ordinary ones, mixed."""
    shape = tuple(
        d if isinstance(d, int) else (dims or {}).get(str(d), EXTENT) for d in type_.shape
    )
    special = rng.choice(special_values(type_.dtype), shape)
    if not type_.dtype.is_float:
        return special
    ordinary = rng.normal(0, 2, shape).astype(type_.dtype.numpy)
    return np.where(rng.random(shape) < 0.5, special, ordinary)


def same_bits(a, b):
    """Equal to the bit, but for the bits of a NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind in "biu":
        return bool((a == b).all())
    with np.errstate(invalid="ignore"):
        both_nan = np.isnan(a) & np.isnan(b)
        same = (a == b) & (np.signbit(a) == np.signbit(b))
    return bool((both_nan | same).all())


def check_rule(rule, rng):
    """Runs every sample of `rule` before and after; the number to which it applied.

    Raises AssertionError where bits differ, or floats of an inexact rule by more than a few units
    in the last place.
    """
    applied = 0
    for f in rule_samples(rule):
        stats = RewriteStats()
        g = rewrite(f, RuleSet("one", [rule]), stats=stats)
        if not stats.matches:
            continue
        applied += 1
        verify(g)
        args = [random_array(rng, p.tensor) for p in f.params]
        (before,), (after,) = interpret(f, args), interpret(g, args)
        if rule.inexact is None or before.dtype.kind in "biu":
            assert same_bits(before, after), (
                f"{rule.name} on {f.params} with {args}: {before} {after}"
            )
        else:
            close(rule, before, after)
    return applied


def close(rule, before, after):
    eps = float(ml_dtypes.finfo(before.dtype).eps)
    with np.errstate(all="ignore"):
        a, b = before.astype(np.float64), after.astype(np.float64)
        usual = np.isfinite(a) & np.isfinite(b)
        np.testing.assert_allclose(
            a[usual], b[usual], rtol=8 * eps, atol=8 * eps, err_msg=rule.name
        )
