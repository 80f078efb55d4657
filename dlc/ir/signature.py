"""How many inputs an op takes, read from its row."""

from __future__ import annotations

import functools
import inspect

from dlc.ir.op import Op

_BY_FAMILY = {"unary": 1, "binary": 2, "compare": 2, "ternary": 3}


@functools.cache
def input_count(op: Op) -> int | None:
    """The number of inputs of `op`; None for any number, or where only its type rule knows.

    Example:
        >>> input_count(OPS["add"]), input_count(OPS["concat"])
        (2, None)
    """
    if op.family in _BY_FAMILY:
        return _BY_FAMILY[op.family]
    rule = op.reference or op.decompose
    if rule is None:
        return None
    parameters = [*inspect.signature(rule).parameters.values()][0 if op.reference else 1 :]
    count = 0
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            return None
        # Those with a default are captured variables, not inputs.
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name not in op.attrs:
            count += parameter.default is parameter.empty
    return count
