"""Values assigned to variables: by name, all of them or none; or those that they had."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from dlc.frontend.apply import asarray
from dlc.frontend.tensor import functions
from dlc.frontend.variable import Variable, variables_lock
from dlc.ir.errors import ArgumentError, ValueRangeError, nearest
from dlc.ir.record import NamedTuple
from dlc.runtime.buffers import aligned_copy


def restore(state: Sequence[tuple[Variable, Any]]) -> None:
    """Gives variables values of their own types.

    Args:
        state: The variables, each with an array or, where it is a scalar, a Python number, which
            goes into the memory that the variable has if nobody else sees that.
    """
    with variables_lock:
        for variable, value in state:
            if isinstance(value, np.ndarray):
                variable._hold(aligned_copy(value, variable.dtype))
                continue
            array = variable._data
            if type(array) is np.ndarray and array.base is None and getrefcount(array) <= _ONE:
                array[()] = value
            else:
                array = np.array(value, variable.dtype.numpy)
            variable._hold(array)


def _references_of_one(holder: Any) -> int:
    """Those to an array that only its holder has, where it has a name."""
    array = holder._data
    return getrefcount(array)


_ONE = _references_of_one(types.SimpleNamespace(_data=np.zeros(())))


def check_state(state: Any) -> None:
    """Refuses what is no dict from names to tensors.

    Raises:
        ArgumentError: It is something else, such as the name of a file.
    """
    if not isinstance(state, Mapping):
        raise ArgumentError(
            f"the state is a {type(state).__name__}, not a dict from names to tensors",
            hint="give what state_dict() returned; weights in a file are read by load_weights",
        )
    other = next((name for name in state if not isinstance(name, str)), "")
    if not isinstance(other, str):
        raise ArgumentError(f"the state has {other!r} for a name, which is no str")


class UnfitNames(NamedTuple):
    """The names that only one of variables and state has."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def assign_state(
    name_of_owner: str,
    what: str,
    own: Mapping[str, Variable],
    state: Mapping[str, Any],
    hint: str,
    strict: bool = True,
    needed: Collection[str] | None = None,
) -> UnfitNames:
    """Assigns values to variables by name; returns those that do not fit.

    Args:
        name_of_owner: What has the variables, for messages.
        what: What that is: "model".
        own: The variables.
        state: Tensors or arrays by name.
        hint: What to do where they do not fit.
        strict: Whether a name that is missing or not known is an error.
        needed: The names whose absence is an error; all for None.

    Raises:
        ArgumentError: for a state that is no dict from names.
        ValueRangeError: for names that are missing or not known, and shapes that differ: all of
            them at once. Nothing has been assigned then.
    """
    check_state(state)
    values = {name: asarray(state[name]) for name in own if name in state}
    problems = [
        f"{name}: the {what} has {own[name].tensor}, the state {value.tensor}"
        for name, value in values.items()
        if tuple(value.shape) != tuple(own[name].shape)
    ]
    required = own if needed is None else needed
    missing = [name for name in required if name not in state]
    unknown = [name for name in state if name not in own]
    if strict:
        problems += [f"{name}: missing from the state" for name in missing]
        problems += [f"{name}: not in the {what}; {nearest(name, own)}" for name in unknown]
    if problems:
        raise ValueRangeError(
            f"the state does not fit {name_of_owner}:\n  " + "\n  ".join(problems),
            hint=hint,
        )
    for name, value in values.items():
        own[name].assign(functions.astype(value, own[name].dtype))
    return UnfitNames(missing, unknown)
