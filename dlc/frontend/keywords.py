"""Keyword arguments that PyTorch, JAX, Keras and NumPy have and functions here have not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

# What is called otherwise here, where the function has an argument of that name.
_NAMES: Final = {
    "a_max": "max", "a_min": "min", "axes": "axis", "dim": "axis", "dims": "axis",
    "high": "maxval", "in_dims": "in_axes", "input": "x", "interpolation": "method",
    "keepdim": "keepdims", "low": "minval", "out_dims": "out_axes", "rcond": "rtol",
    "shifts": "shift", "size": "shape", "tol": "rtol", "unbiased": "correction",
}  # fmt: skip

_NOT_NEEDED: Final = "leave it out: "
_LAYOUT: Final = _NOT_NEEDED + "tensors are row-major"
_NEW: Final = "values never change: write x = f(x), or x[...] = f(x) to put it in a part of x"
_REAL: Final = _NOT_NEEDED + "there are no complex numbers"
_PROMISE: Final = _NOT_NEEDED + "nothing here depends on that promise"
_WHOLE: Final = _NOT_NEEDED + "functions are compiled whole or not at all"
_AGAIN: Final = _NOT_NEEDED + "all between arguments and result is computed again"
_ONE_DEVICE: Final = _NOT_NEEDED + "there is one device for a program"
_SYMMETRIC: Final = _NOT_NEEDED + "of other matrices, (x + x.mT) / 2 counts"
_OPERANDS: Final = "convert the operands, x.astype(dtype); half types are summed at float32 anyway"
_LEVELS: Final = 'level="O0" to "O3" says how hard it tries'
_SPREAD: Final = "write loc + scale * dlc.random.normal(key, shape)"
_FLIP: Final = "write dlc.flip before and after"
_FIRST: Final = "choose before: dlc.where(mask, x, -math.inf)"
_NAN: Final = "choose before: dlc.where(mask, x, math.nan)"
_PLACES: Final = "for places there is dlc.nonzero(condition, size=, fill_value=)"
_STABLE: Final = _NOT_NEEDED + "stable= says whether equal elements keep their order"

# What does here what an argument does elsewhere; "f.argument" is of one function.
_HABITS: Final = {
    "allow_int": "convert the argument first, x.astype(dlc.float32)", "argsort.kind": _STABLE,
    "assume_unique": _PROMISE, "average.returned": "sum the weights with dlc.sum",
    "axis_name": "write outside of vmap what goes across elements: y - dlc.mean(y, axis=0)",
    "casting": "write x.astype(dtype), which converts whatever is given",
    "checkpoint.static_argnums": "close over it: dlc.checkpoint(lambda x: f(x, n))",
    "compile.backend": 'device= says where: "cpu" or "cuda:0"', "compile.dynamic":
    _NOT_NEEDED + "extents that change become symbolic by themselves", "compile.mode": _LEVELS,
    "compile.options": _LEVELS, "cumprod.reverse": _FLIP, "cumsum.reverse": _FLIP,
    "dtype": "convert the operands or the result: x.astype(dtype)", "eigh.UPLO": _SYMMETRIC,
    "eigh.symmetrize_input": _SYMMETRIC, "fullgraph": _WHOLE, "holomorphic": _REAL,
    "in_shardings": _ONE_DEVICE, "indices_are_sorted": _PROMISE,
    "inline": _NOT_NEEDED + "compiled functions that are called inside of others are inlined",
    "inplace": _NEW, "interp.period": "take x % period first", "jit_compile": _WHOLE,
    "logcumsumexp.reverse": _FLIP, "log_softmax.where": _FIRST, "logsumexp.where": _FIRST,
    "cholesky.lower": "upper=True gives the upper factor; the lower one is the default",
    "map.batch_size": "dlc.vmap works on all elements at once",
    "meshgrid.sparse": "broadcasting needs no full grids: write x[:, None] and y",
    "nanmax.where": _NAN, "nanmean.where": _NAN, "nanmin.where": _NAN, "nanprod.where": _NAN,
    "nanstd.where": _NAN, "nansum.where": _NAN, "nanvar.where": _NAN,
    "ndmin": "write x[None] for a further axis", "normal.loc": _SPREAD, "normal.scale": _SPREAD,
    "order": _LAYOUT, "out": _NEW, "out_shardings": _ONE_DEVICE, "overwrite_input": _NEW,
    "policy": _AGAIN, "precision": "the operands' dtype decides; compile(f, "
    'precision="fast") allows more', "preferred_element_type": _OPERANDS, "prevent_cse": _AGAIN,
    "searchsorted.right": 'write side="right"', "softmax.where": _FIRST, "sort.kind": _STABLE,
    "subok": _NOT_NEEDED + "results are dlc.Tensor",
    "svd.compute_uv": "dlc.linalg.svdvals gives the singular values alone",
    "unique_indices": _PROMISE, "use_reentrant": _AGAIN,
    "vmap.chunk_size": "dlc.map(f, xs) takes one element at a time",
    "vmap.randomness": "map over keys: dlc.vmap(f)(dlc.random.split(key, n), x)",
    "where": "choose with dlc.where(mask, x, y), before or after", "where.fill_value": _PLACES,
    "where.size": _PLACES,
    "while_loop.maximum_iterations": "count in the carry, and test the count in cond_fun",
}  # fmt: skip


def hint(function: str, keyword: str, known: Collection[str]) -> str | None:
    """What to write instead of an argument that a function has not; None where that is not known.

    Args:
        function: The name of the function.
        keyword: The name of the argument.
        known: The names of those that the function has.
    """
    name = _NAMES.get(keyword)
    if name in known:
        return f"did you mean {name!r}?"
    return _HABITS.get(f"{function}.{keyword}", _HABITS.get(keyword))
