"""Finds the operation that made the NaN of a result, for `config.debug_nans`.

The function is run again by the references of its ops, in the order in which the user wrote it, so
that the operation is named whatever the compiler has made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.ir.core import Function, Node
from dlc.ir.errors import NanError
from dlc.ir.interpret import interpret
from dlc.ir.record import NamedTuple
from dlc.ir.types import dtype_of

Array: TypeAlias = npt.NDArray[Any]


class _Seen(NamedTuple):
    """What is remembered of a value: its type, the range of its numbers, its first NaN."""

    type: str
    range: str
    nan_at: tuple[int, ...] | None


class _Found(Exception):
    """Ends a run at the node that made the first NaN."""

    def __init__(self, node: Node, value: _Seen) -> None:
        super().__init__()
        self.node, self.value = node, value


def check_results(function: Function, args: Sequence[Array], results: Sequence[Array]) -> None:
    """Raises when a result of `function` on `args` holds NaN.

    Raises:
        NanError: names the operation that made the first one, with the user's line, or the
            argument that held one.
    """
    bad = [k for k, r in enumerate(results) if _nan_at(r) is not None]
    if not bad:
        return
    seen = {p: _look(a) for p, a in zip(function.params, args, strict=True)}
    for k, (p, value) in enumerate(seen.items()):
        if value.nan_at is not None:
            name = f"the argument {p.name}" if p.name else f"argument {k}"
            raise NanError(f"{name} of {function.name} is NaN{_place(value)}")
    try:
        interpret(function, args, observer=lambda node, value: _watch(seen, node, value))
    except _Found as found:
        node, value = found.node, found.value
        inputs = [f"input {k}: {seen[x].type} {seen[x].range}" for k, x in enumerate(node.inputs)]
        message = f"{node.op.name} gave NaN{_place(value)}"
        raise NanError(message, inputs=inputs, location=node.loc) from None
    (first, *_) = bad
    raise NanError(
        f"result {first} of {function.name} is NaN{_place(_look(results[first]))}, "
        "where the reference of its operations gives none",
        hint="`dlc verify` compares every stage of the compilation",
    )


def _watch(seen: dict[Node, _Seen], node: Node, value: Any) -> None:
    parts = [_look(x) for x in (value if isinstance(value, tuple) else (value,))]
    seen[node] = next((p for p in parts if p.nan_at is not None), parts[0])
    if node.op.name == "param":  # of a loop's body: what holds NaN was named outside of it
        return
    # What takes a NaN may hand it on.
    if seen[node].nan_at is not None and all(seen[x].nan_at is None for x in node.inputs):
        raise _Found(node, seen[node])


def _nan_at(array: Array) -> tuple[int, ...] | None:
    if not dtype_of(array.dtype).is_float:
        return None
    bad = np.isnan(array)
    if not bad.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), array.shape))


def _look(array: Array) -> _Seen:
    dtype = dtype_of(array.dtype)
    type_ = f"{dtype.short}[{','.join(map(str, array.shape))}]"
    numbers = array[~np.isnan(array)] if dtype.is_float else array
    range_ = f"from {numbers.min()} to {numbers.max()}" if numbers.size else "without a number"
    return _Seen(type_, range_, _nan_at(array))


def _place(value: _Seen) -> str:
    return f" at {list(value.nan_at)} of {value.type}" if value.nan_at else f" ({value.type})"
