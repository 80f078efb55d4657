"""Parameters of a graph as constants of its programs, as long as they stay the same."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from dlc.interop.torch.arrays import Array, array_of
from dlc.interop.torch.watch import Watch
from dlc.ir.locks import make_lock

_MAX_BOUND = 64
_MAX_WAIT = 1 << 16


class Program(NamedTuple):
    """A compiled function, and the addresses of memory that is not its own."""

    compiled: Callable[..., Any]
    held: frozenset[int]


class _Bound:
    """A program that holds the values of parameters."""

    def __init__(self) -> None:
        self.tensors: tuple[Any, ...] = ()
        self.watch = Watch()
        self.program: Program | None = None
        self.wait = 0  # calls until it is worth to make one
        self.changes = 0

    def holds(self, tensors: tuple[Any, ...]) -> bool:
        same = all(map(operator.is_, tensors, self.tensors))
        return same and self.watch.holds()

    def let_go(self) -> None:
        self.tensors, self.watch, self.program = (), Watch(), None
        self.changes += 1
        self.wait = min(1 << self.changes, _MAX_WAIT)


class Binding:
    """Finds the program for the parameters of a call.

    One graph may serve several modules of a kind: each has a program. When a parameter has changed,
    some calls take it as an input, each time twice as many, before it becomes a constant again.

    Args:
        places: The positions of parameters among the arguments.
        make: Makes the program for values at these positions.
    """

    def __init__(
        self, places: Sequence[int], make: Callable[[Mapping[int, Array]], Program]
    ) -> None:
        self._places, self._make = tuple(places), make
        self._lock = make_lock()
        self._bound: dict[int, _Bound] = {}

    def program(self, args: Sequence[Any]) -> Program | None:
        """The program that has the parameters among `args` as constants, if there is to be one."""
        if not self._places:
            return None
        tensors = tuple([args[k] for k in self._places])
        bound = self._bound.get(id(tensors[0]))
        if bound is not None and bound.program is not None and bound.holds(tensors):
            return bound.program
        with self._lock:
            return self._bind(tensors)

    def _bind(self, tensors: tuple[Any, ...]) -> Program | None:
        bound = self._bound.get(id(tensors[0]))
        if bound is None:
            if len(self._bound) >= _MAX_BOUND:
                return None
            bound = self._bound[id(tensors[0])] = _Bound()
        if bound.program is not None:
            if bound.holds(tensors):
                return bound.program
            bound.let_go()
        if bound.wait:
            bound.wait -= 1
            return None
        bound.watch.add(*tensors)
        arrays = dict(zip(self._places, map(array_of, tensors), strict=True))
        bound.tensors, bound.program = tensors, self._make(arrays)
        return bound.program
