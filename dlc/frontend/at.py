"""`x.at[index]`: new tensors with some elements set or combined with others.

The names are JAX's. Places that occur several times are written in the order of the index, so that
`set` keeps the last and `add` adds all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import as_tensor, convert
from dlc.frontend.places import Mode, Writing, filling, is_inside, with_mode
from dlc.frontend.subscript import basic_part, getitem, parse, read, updated
from dlc.frontend.tensor import Tensor, functions
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.ir.record import dataclass

_MODES: dict[str | None, Mode | None] = {
    None: None, "promise_in_bounds": None, "drop": "fill", "fill": "fill", "clip": "clip",
    "wrap": "wrap",
}  # fmt: skip


def _mode(name: Any) -> Mode | None:
    if name not in _MODES:
        known = ", ".join(str(m) for m in _MODES)
        raise ValueRangeError(f"at[...] has no mode {name!r}", hint=f"modes are {known}")
    return _MODES[name]


@dataclass(frozen=True)
class At:
    """What `x.at` is: it waits for an index."""

    x: Tensor

    def __getitem__(self, index: Any) -> AtIndex:
        return AtIndex(self.x, index)


@dataclass(frozen=True)
class AtIndex:
    """An index into a tensor, at which a new tensor differs from it.

    All methods take `mode`: what happens to places out of bounds. By default they are an error
    where they are known, and left out otherwise ("drop" leaves out all of them); "clip" moves them
    to the nearest place, and "wrap" counts them on from the other end. `indices_are_sorted` and
    `unique_indices` are promises that JAX uses; here nothing depends on them.
    """

    x: Tensor
    index: Any

    def get(
        self,
        *,
        mode: str | None = None,
        fill_value: Any = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Tensor:
        """`x[index]`; with mode "fill" places out of bounds read as `fill_value`.

        Args:
            mode: See the class. By default places out of bounds read the nearest element.
            fill_value: NaN by default, of integers the least, or of unsigned ones the largest.
            indices_are_sorted: Accepted for JAX's sake.
            unique_indices: Accepted for JAX's sake.

        Example:
            >>> dlc.arange(3.0).at[dlc.asarray([1, 7])].get(mode="fill", fill_value=-1)
            Tensor([ 1., -1.], dtype=float32)
        """
        held = _mode(mode)
        if held is None:
            return getitem(self.x, self.index)
        s = parse(self.x, self.index, checked=False)
        if held == "fill":
            missing = convert(as_tensor(filling(self.x.dtype, fill_value)), self.x.tensor.dtype)
            found = read(self.x, s)
            inside = is_inside(basic_part(self.x, s), s.arrays, s.separated)
            return found if inside is None else functions.where(inside, found, missing)
        s.arrays = with_mode(s.arrays, held)
        return read(self.x, s)

    def _write(
        self, name: str, combine: Callable[[Tensor, Tensor], Tensor], value: Any, mode: Any
    ) -> Tensor:
        return updated(self.x, self.index, value, Writing(name, combine, _mode(mode)))

    def set(
        self,
        values: Any,
        *,
        mode: str | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Tensor:
        """x with `values` at the index, as after `x[index] = values`.

        Example:
            >>> dlc.zeros(3).at[1].set(5.0)
            Tensor([0., 5., 0.], dtype=float32)
        """
        return self._write("set", lambda _, update: update, values, mode)

    def add(
        self,
        values: Any,
        *,
        mode: str | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Tensor:
        """x with `values` added at the index, once for each time that a place occurs.

        Example:
            >>> dlc.zeros(3).at[dlc.asarray([1, 1, 2])].add(1.0)
            Tensor([0., 2., 1.], dtype=float32)
        """
        return self._write("add", functions.add, values, mode)

    def subtract(
        self,
        values: Any,
        *,
        mode: str | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Tensor:
        """x with `values` subtracted at the index, once for each time that a place occurs.

        Example:
            >>> dlc.zeros(3).at[1:].subtract(1.0)
            Tensor([ 0., -1., -1.], dtype=float32)
        """
        return self._write("add", functions.add, functions.negative(self._held(values)), mode)

    def multiply(
        self,
        values: Any,
        *,
        mode: str | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Tensor:
        """x multiplied by `values` at the index, once for each time that a place occurs.

        Example:
            >>> dlc.ones(3).at[dlc.asarray([0, 0])].multiply(3.0)
            Tensor([9., 1., 1.], dtype=float32)
        """
        return self._write("mul", functions.multiply, values, mode)

    mul = multiply

    def divide(
        self,
        values: Any,
        *,
        mode: str | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Tensor:
        """x divided by the product of the `values` at each place; of floats.

        Example:
            >>> dlc.ones(3).at[0].divide(4.0)
            Tensor([0.25, 1.  , 1.  ], dtype=float32)
        """
        return functions.divide(self.x, self._product("divide", values, mode))

    def power(
        self,
        values: Any,
        *,
        mode: str | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Tensor:
        """x to the product of the `values` at each place; of floats.

        Example:
            >>> dlc.full(3, 3.0).at[0].power(2.0)
            Tensor([9., 3., 3.], dtype=float32)
        """
        return functions.pow(self.x, self._product("power", values, mode))

    def min(
        self,
        values: Any,
        *,
        mode: str | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Tensor:
        """The smaller of x and each of the `values` at the index.

        Example:
            >>> dlc.zeros(3).at[dlc.asarray([0, 0])].min(dlc.asarray([-1.0, 2.0]))
            Tensor([-1.,  0.,  0.], dtype=float32)
        """
        return self._write("min", functions.minimum, values, mode)

    def max(
        self,
        values: Any,
        *,
        mode: str | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Tensor:
        """The larger of x and each of the `values` at the index.

        Example:
            >>> dlc.zeros(3).at[1].max(2.0)
            Tensor([0., 2., 0.], dtype=float32)
        """
        return self._write("max", functions.maximum, values, mode)

    def apply(
        self,
        function: Callable[[Tensor], Any],
        *,
        mode: str | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
    ) -> Tensor:
        """x with `function` of its elements at the index, once even where a place occurs often.

        Example:
            >>> dlc.full(3, 4.0).at[1:].apply(dlc.sqrt)
            Tensor([4., 2., 2.], dtype=float32)
        """
        return self.set(function(self.get(mode=mode)), mode=mode)

    def _held(self, values: Any) -> Tensor:
        return convert(as_tensor(values), self.x.tensor.dtype, self.x._weak)

    def _product(self, name: str, values: Any, mode: Any) -> Tensor:
        if not self.x.dtype.is_float:
            raise ArgumentError(
                f"at[...].{name} of {self.x.tensor}: it takes floats",
                hint="convert with .astype(dlc.float32) first",
            )
        ones = functions.ones_like(self.x)
        return AtIndex(ones, self.index).multiply(values, mode=mode)


def at(x: Tensor) -> At:
    """What `x.at` gives."""
    return At(x)
