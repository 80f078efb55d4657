"""Derivatives of random programs: reverse mode, forward mode and differences at float64."""

import numpy as np
from program_wrong import Wrong, as_numpy

import dlc


def weighted(program, arrays, wide):
    """The weighted sum of a program's float results, as a function of the arguments at `wide`."""
    f = program.function()

    def whole(*moved):
        given = [dlc.asarray(a) for a in arrays]
        for k, m in zip(wide, moved, strict=True):
            given[k] = m
        total = dlc.asarray(0.0, dtype=dlc.float64)
        for n, found in enumerate(map(dlc.asarray, f(*given))):
            if np.dtype(found.dtype.numpy).kind == "f":
                weights = np.random.default_rng(n).normal(size=found.shape)
                total = total + dlc.sum(found * weights, axis=None)
        return total

    return whole


def derivatives(program, seed=0):
    """Raises `Wrong` where the derivatives at random points do not agree."""
    arrays = program.arrays(seed, positive=True)
    wide = [k for k, a in enumerate(arrays) if a.dtype == np.float64]
    if not wide:
        return
    whole, points = weighted(program, arrays, wide), [arrays[k] for k in wide]
    rng = np.random.default_rng(seed)
    steps = [rng.normal(size=p.shape) for p in points]
    places = tuple(range(len(wide)))
    value, grads = dlc.value_and_grad(whole, argnums=places)(*points)
    grads = [as_numpy(g) for g in grads]
    out, slope = (t.item() for t in dlc.jvp(whole, tuple(points), tuple(steps)))
    plain = dlc.compile(whole)(*points).item()
    for other in (value.item(), out):
        if not close(plain, other, abs(plain), 1e-9):
            raise Wrong(f"the value is {plain}, and {other} beside derivatives")
    parts = [float(np.sum(g * s)) for g, s in zip(grads, steps, strict=True)]
    back, size = sum(parts), sum(map(abs, parts))
    size += sum(float(np.sum(np.abs(g * s))) for g, s in zip(grads, steps, strict=True))
    if not close(back, slope, size, 1e-8):
        raise Wrong(f"reverse mode {back!r}, forward mode {slope!r}, of {size!r}")
    compiled = dlc.compile(dlc.grad(whole, argnums=places))(*points)
    for k, (a, b) in enumerate(zip(map(as_numpy, compiled), grads, strict=True)):
        if not close_all(a, b):
            raise Wrong(f"the compiled gradient {k} is off by {np.nanmax(np.abs(a - b))}")
    by_differences(dlc.compile(whole), points, steps, plain, back, size)


def by_differences(run, points, steps, plain, back, size):
    """Compares with quotients of differences, where those agree with each other: not at a jump."""
    found = []
    for h in (1e-5, 1e-6, 3e-7):
        ahead = run(*[p + h * s for p, s in zip(points, steps, strict=True)]).item()
        behind = run(*[p - h * s for p, s in zip(points, steps, strict=True)]).item()
        found.append((ahead - behind) / (2 * h))
        if close(found[-1], back, size + abs(plain), 1e-4):
            return
    if np.isfinite([plain, *found]).all() and np.ptp(found) < 1e-3 * abs(found[-1]):
        raise Wrong(f"differences {found}, reverse mode {back!r} (value {plain!r})")


def close(a, b, size, tolerance):
    if np.isnan(a) or np.isnan(b):
        return bool(np.isnan(a) and np.isnan(b))
    return a == b or abs(a - b) <= tolerance * max(size, 1e-3) or not np.isfinite(size)


def close_all(a, b):
    scale = np.max(np.abs(np.where(np.isfinite(b), b, 0)), initial=1e-3)
    return np.allclose(a, b, rtol=1e-8, atol=1e-9 * scale, equal_nan=True)
