"""Values assigned to variables by name, all of them or none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dlc.frontend.apply import asarray
from dlc.frontend.tensor import functions
from dlc.frontend.variable import Variable
from dlc.ir.errors import ValueRangeError, nearest


def assign_state(
    name_of_owner: str,
    what: str,
    own: Mapping[str, Variable],
    state: Mapping[str, Any],
    hint: str,
    strict: bool = True,
    needed: Collection[str] | None = None,
) -> None:
    """Assigns values to variables by name.

    Args:
        name_of_owner: What has the variables, for messages.
        what: What that is: "model".
        own: The variables.
        state: Tensors or arrays by name.
        hint: What to do where they do not fit.
        strict: Whether a name that is missing or not known is an error.
        needed: The names whose absence is an error; all for None.

    Raises:
        ValueRangeError: for names that are missing or not known, and shapes that differ: all of
            them at once. Nothing has been assigned then.
    """
    values = {name: asarray(state[name]) for name in own if name in state}
    problems = [
        f"{name}: the {what} has {own[name].tensor}, the state {value.tensor}"
        for name, value in values.items()
        if tuple(value.shape) != tuple(own[name].shape)
    ]
    if strict:
        required = own if needed is None else needed
        problems += [f"{name}: missing from the state" for name in required if name not in state]
        unknown = [name for name in state if name not in own]
        problems += [f"{name}: not in the {what}; {nearest(name, own)}" for name in unknown]
    if problems:
        raise ValueRangeError(
            f"the state does not fit {name_of_owner}:\n  " + "\n  ".join(problems),
            hint=hint,
        )
    for name, value in values.items():
        own[name].assign(functions.astype(value, own[name].dtype))
