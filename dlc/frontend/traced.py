"""What gradient and batching transforms share: functions traced with respect to some arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.frontend import tree
from dlc.frontend.apply import as_tensor, materialise
from dlc.frontend.closure import Closure, Param, trace_closure
from dlc.frontend.tensor import Tensor, make_like
from dlc.frontend.tree import Structure
from dlc.ir.errors import ArgumentError, DerivativeError, DTypeError, ValueRangeError


def check_callable(function: Any, what: str) -> None:
    """ArgumentError for what cannot be called."""
    if not callable(function):
        raise ArgumentError(f"{what} of a {type(function).__name__}, which cannot be called")


def name_of(function: Callable[..., Any]) -> str:
    """What messages call a function."""
    return getattr(function, "__name__", type(function).__name__)


def leaf_tensor(x: Any, what: str) -> Tensor:
    """A leaf of an argument as a tensor, at the default element type if it is a number."""
    try:
        return materialise(as_tensor(x))
    except ArgumentError:
        raise ArgumentError(
            f"{what} is a {type(x).__name__}, which is no tensor, array or number"
        ) from None


class Traced:
    """A function traced with respect to some of its arguments; the others are read from outside."""

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Any],
        rebuild: Callable[[list[Any]], Any],
        what: str,
    ) -> None:
        """`inputs` are trees to trace with; `rebuild` calls the function with trees like them."""
        self.name = name_of(function)
        self.what = what
        flat = [tree.flatten(x) for x in inputs]
        self.structures: list[Structure] = [s for _, s in flat]
        self.leaves = [leaf_tensor(x, f"{what}: an argument") for found, _ in flat for x in found]

        def call(tensors: list[Tensor]) -> Any:
            return rebuild(self.unflatten(tensors))

        params = [Param(t.tensor) for t in self.leaves]
        where = f"{self.name}()"
        self.closure: Closure = trace_closure(self.name, call, params, where, function)

    def unflatten(self, leaves: Sequence[Any]) -> list[Any]:
        """Trees like the inputs, of other leaves."""
        result: list[Any] = []
        at = 0
        for s in self.structures:
            result.append(tree.unflatten(s, leaves[at : at + s.num_leaves]))
            at += s.num_leaves
        return result

    def check_floats(self) -> None:
        """DTypeError unless all inputs are floats."""
        paths = [p for k, s in enumerate(self.structures) for p in s.paths(f"[{k}]")]
        for t, path in zip(self.leaves, paths, strict=True):
            if not t.dtype.is_float:
                raise DTypeError(
                    f"{self.what} of {self.name}() with respect to {t.tensor} (input {path}): "
                    "only floats have derivatives",
                    hint="convert it with .astype(dlc.float32), or leave it out of argnums",
                )

    def check_pair(self) -> None:
        """DerivativeError unless the function returned a pair, as with `has_aux` it must."""
        output = self.closure.output
        if output.kind is not tuple or len(output.children) != 2:
            raise DerivativeError(
                f"{self.what} of {self.name}() with has_aux: it must return a pair (value, aux)"
            )

    def inputs(self) -> list[Tensor]:
        """The arguments, then the values of what the function reads outside, now."""
        return [*self.leaves, *self.closure.state()]


def positions_of(argnums: int | Sequence[int], args: Sequence[Any], what: str) -> tuple[int, ...]:
    """The positions that `argnums` names, counted from 0; ValueRangeError for wrong ones."""
    given = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for k in given:
        if not isinstance(k, int):
            raise ArgumentError(f"{what}: argnums={argnums!r} must be positions of arguments")
        if not -len(args) <= k < len(args):
            raise ValueRangeError(
                f"{what}: argnums={argnums}, but {len(args)} arguments were given"
            )
    found = tuple(k % len(args) for k in given)
    if len(set(found)) != len(found):
        raise ValueRangeError(f"{what}: argnums={argnums} names an argument twice")
    return found


def fresh(x: Any) -> Any:
    """A handle of its own on the value of a tensor, so that writes to it stay inside.

    Of a NumPy array, which functions are given as it is, a view that cannot be written to.
    """
    if type(x) is Tensor:
        return make_like(x)
    if type(x) is not np.ndarray or not x.flags.writeable:
        return x
    view = x.view()
    view.flags.writeable = False
    return view
