"""Modules with parameters of another element type: `to`, `half`, `float`, `double`, `bfloat16`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self, cast

import dlc
from dlc.runtime.places import is_place

if TYPE_CHECKING:
    from dlc.nn.module import Module


class Converting:
    """The methods of modules that change element types; a base of `dlc.nn.Module`."""

    __slots__ = ()

    def to(self, *where: Any, device: Any = None, dtype: Any = None) -> Self:
        """Parameters and buffers of floats at another element type, or on a device.

        At another type they become other variables: an optimizer is made after it. Layers that
        have no parameters yet make them at this type. Returns the module.

        Args:
            where: An element type, or a device, such as "cpu" or "cuda:0".
            device: A device.
            dtype: An element type.

        Raises:
            DeviceError: for a device that is not there.
            DTypeError: for what is no type of floats.

        Example:
            >>> layer = dlc.nn.Linear(3, 2).to(dlc.float64)
            >>> layer.weight.dtype, layer(dlc.ones((1, 3), dtype="f64")).dtype
            (dlc.float64, dlc.float64)
        """
        for given in (*where, device, dtype):
            if given is None:
                continue
            if is_place(given):
                self._move_to(given)
            else:
                self._convert(dlc.spec((), given).dtype)
        return self

    def _move_to(self, device: str) -> None:
        for module in list(cast("Module", self).modules()):
            for variable in _variables(list(vars(module).values())):
                variable.assign(variable.value().to(device))
            object.__setattr__(module, "_token", object())  # programs depend on it

    def half(self) -> Self:
        """Parameters and buffers at float16; see `to`."""
        return self.to(dlc.float16)

    def bfloat16(self) -> Self:
        """Parameters and buffers at bfloat16; see `to`."""
        return self.to(dlc.bfloat16)

    def float(self) -> Self:
        """Parameters and buffers at float32; see `to`."""
        return self.to(dlc.float32)

    def double(self) -> Self:
        """Parameters and buffers at float64; see `to`."""
        return self.to(dlc.float64)

    def _convert(self, dtype: dlc.DType) -> None:
        if not dtype.is_float:
            raise dlc.DTypeError(f"a module to {dtype}: parameters are floats")
        made: dict[int, dlc.Variable] = {}
        for module in list(cast("Module", self).modules()):
            for name, value in list(vars(module).items()):
                if isinstance(value, dlc.DType) and value.is_float:  # of parameters to be made
                    vars(module)[name] = dtype
                else:
                    vars(module)[name] = _converted(value, dtype, made)
            object.__setattr__(module, "_token", object())  # programs depend on it


def _variables(x: Any) -> Iterator[dlc.Variable]:
    """Variables, also in containers."""
    if isinstance(x, dlc.Variable):
        yield x
    elif isinstance(x, (dict, list, tuple)):
        for item in x.values() if isinstance(x, dict) else x:
            yield from _variables(item)


def _converted(x: Any, dtype: dlc.DType, made: dict[int, dlc.Variable]) -> Any:
    """Variables at the type, also in containers; one that is shared stays one."""
    if isinstance(x, dlc.Variable):
        if not x.dtype.is_float or x.dtype is dtype:
            return x
        if id(x) not in made:
            made[id(x)] = x.with_value(x.data.astype(dtype))
        return made[id(x)]
    if isinstance(x, dict):
        return type(x)((k, _converted(v, dtype, made)) for k, v in x.items())
    if isinstance(x, (list, tuple)):
        items = [_converted(v, dtype, made) for v in x]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    return x
