"""Classical machine learning: thresholds, labels, ensembles of trees."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.values import is_text
from dlc.ir.errors import ModelError

_DOMAIN = "ai.onnx.ml"


@operator("Binarizer", domain=_DOMAIN)
def binarizer(node: Any, x: Any) -> Any:
    """1 above a threshold, else 0."""
    return dlc.astype(x > node.attr("threshold", 0.0), x.dtype)


def _labels(node: Any, which: str) -> Any:
    for form, dtype in (("int64s", np.int64), ("floats", np.float32), ("strings", "T")):
        found = node.attr(f"{which}_{form}", None)
        if found is not None:
            return np.array(found, dtype)
    tensor = node.attr(f"{which}_tensor", None)
    if tensor is None:
        raise ModelError(f"LabelEncoder needs {which}")
    return tensor


def _default(node: Any, values: Any) -> Any:
    tensor = node.attr("default_tensor", None)
    if tensor is not None:
        return tensor.reshape(-1)[0]
    if is_text(values):
        return node.attr("default_string", "_Unused")
    if values.dtype.kind == "f":
        return values.dtype.type(node.attr("default_float", -0.0))
    return values.dtype.type(node.attr("default_int64", -1))


@operator("LabelEncoder", domain=_DOMAIN)
def label_encoder(node: Any, x: Any) -> Any:
    """Values for keys; texts have to be known."""
    keys, values = _labels(node, "keys"), _labels(node, "values")
    default = _default(node, values)
    if is_text(x):
        table = dict(zip(keys.tolist(), values.tolist(), strict=True))
        made = [table.get(k, default) for k in x.reshape(-1).tolist()]
        return np.array(made, values.dtype).reshape(x.shape)
    if is_text(values):
        raise ModelError("LabelEncoder from computed numbers to text")
    hit = dlc.expand_dims(x, -1) == keys
    if keys.dtype.kind == "f":
        hit = dlc.logical_or(
            hit, dlc.logical_and(dlc.expand_dims(dlc.isnan(x), -1), np.isnan(keys))
        )
    found = dlc.any(hit, axis=-1)
    taken = dlc.take(dlc.asarray(values), dlc.argmax(dlc.astype(hit, dlc.int8), axis=-1))
    return dlc.where(found, taken, dlc.asarray(default))


@operator("TreeEnsemble", domain=_DOMAIN, since=5)
def tree_ensemble(node: Any, x: Any) -> Any:
    """The sum, minimum, maximum or mean of the leaves that trees lead rows to."""
    roots = node.attr("tree_roots")
    features = np.array(node.attr("nodes_featureids"), np.int64)
    splits = np.asarray(node.attr("nodes_splits"))
    modes = np.asarray(node.attr("nodes_modes")).astype(np.int64)
    true, false = (np.array(node.attr(f"nodes_{w}nodeids"), np.int64) for w in ("true", "false"))
    true_leaf, false_leaf = (np.array(node.attr(f"nodes_{w}leafs")) for w in ("true", "false"))
    missing = np.array(node.attr("nodes_missing_value_tracks_true", [0] * len(features)))
    members = _members(node, modes, splits)
    rows = x.shape[0]
    at = dlc.broadcast_to(dlc.asarray(np.array(roots, np.int64)), (rows, len(roots)))
    leaf = dlc.zeros((rows, len(roots)), dtype=dlc.bool)
    row = dlc.reshape(dlc.arange(rows), (-1, 1))
    for _ in range(len(features)):
        value = x[row, dlc.take(dlc.asarray(features), dlc.where(leaf, 0, at))]
        place = dlc.where(leaf, 0, at)
        yes = _holds(value, dlc.take(splits, place), dlc.take(modes, place), members, place)
        nan = dlc.logical_and(dlc.isnan(value), dlc.take(missing, place) != 0)
        yes = dlc.logical_or(yes, nan)
        to = dlc.where(yes, dlc.take(true, place), dlc.take(false, place))
        is_leaf = dlc.where(yes, dlc.take(true_leaf, place), dlc.take(false_leaf, place)) != 0
        at = dlc.where(leaf, at, to)
        leaf = dlc.logical_or(leaf, is_leaf)
    return _aggregated(node, x, at)


def _members(node: Any, modes: Any, splits: Any) -> Any:
    """For nodes that ask for membership: the values, NaN where there are fewer."""
    given = node.attr("membership_values", None)
    if given is None:
        return None
    sets: list[list[float]] = [[]]
    for v in np.asarray(given).reshape(-1).tolist():
        if np.isnan(v):
            sets.append([])
        else:
            sets[-1].append(v)
    table = np.full((len(modes), max(len(s) for s in sets)), np.nan, splits.dtype)
    for place, members in zip(np.flatnonzero(modes == 6), sets, strict=False):
        table[place, : len(members)] = members
    return table


def _holds(value: Any, split: Any, mode: Any, members: Any, place: Any) -> Any:
    tests = [value <= split, value < split, value >= split, value > split]
    tests += [value == split, value != split]
    result = tests[0]
    for k in range(1, 6):
        result = dlc.where(mode == k, tests[k], result)
    if members is not None:
        among = dlc.any(dlc.expand_dims(value, -1) == dlc.take(members, place, axis=0), axis=-1)
        result = dlc.where(mode == 6, among, result)
    return result


def _aggregated(node: Any, x: Any, leaves: Any) -> Any:
    targets = node.attr("n_targets", 1)
    ids = np.array(node.attr("leaf_targetids"), np.int64)
    weights = dlc.asarray(np.asarray(node.attr("leaf_weights")))
    hits = dlc.expand_dims(dlc.take(ids, leaves), -1) == dlc.arange(targets)
    values = dlc.expand_dims(dlc.take(weights, leaves), -1)
    how = node.attr("aggregate_function", 1)
    if how in (0, 1):
        total = dlc.sum(dlc.where(hits, values, 0), axis=1)
        return total / leaves.shape[1] if how == 0 else total
    if how == 2:
        return dlc.min(dlc.where(hits, values, np.inf), axis=1)
    return dlc.max(dlc.where(hits, values, -np.inf), axis=1)
