"""The arguments of a call, sorted into data, structure and static values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from dlc.frontend import tree
from dlc.frontend.apply import as_array, is_array_like, scalar_kind
from dlc.frontend.spec import Spec
from dlc.frontend.tensor import Array, Tensor
from dlc.frontend.tree import Structure
from dlc.frontend.variable import Variable
from dlc.ir.dims import DimExpr
from dlc.ir.errors import ArgumentError, ValueRangeError, nearest
from dlc.ir.record import NamedTuple, dataclass
from dlc.ir.types import DType, dtype_of

# Leaves, by their exact type; most calls have no others.
NUMBERS = (bool, int, float)
_FLAT = frozenset({Tensor, Variable, np.ndarray, *NUMBERS})


class Given(NamedTuple):
    """The arguments of a call as the user wrote them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class LeafKey(NamedTuple):
    """What a program is specialised for in an argument, besides extents."""

    dtype: DType
    rank: int
    weak: bool


class CallKey(NamedTuple):
    """What a program is specialised for in a call, besides extents."""

    structure: Structure
    static: tuple[Any, ...]
    leaves: tuple[LeafKey, ...]


@dataclass
class Call:
    """One call, taken apart."""

    key: CallKey
    values: list[Any]  # an array or a Spec for each leaf
    shapes: tuple[tuple[Any, ...], ...]
    static: dict[Any, Any]  # by position or keyword
    given: list[Any]  # the leaves as the user gave them
    donated: tuple[int, ...]

    def take_values(self) -> list[Any]:
        """Hands the values on, so that nothing here refers to their memory."""
        values, self.values = self.values, []
        return values

    def names(self, signature: Signature) -> list[str]:
        """A name for each leaf: `x`, `params['w']`."""
        return signature.leaf_names(self.key.structure)


class Static(NamedTuple):
    """A static argument in a key: equal values of different types are different."""

    kind: type
    value: Any


class Signature:
    """How calls of one function are taken apart.

    Args:
        function: The user's function.
        static: Positions and names of arguments that are no data.
        donated: Positions and names of arguments whose memory may be reused.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        static: Iterable[int | str],
        donated: Iterable[int | str],
    ) -> None:
        try:
            self.signature = inspect.signature(function)
        except (TypeError, ValueError):
            self.signature = None
        self.name = getattr(function, "__name__", type(function).__name__)
        parameters = {} if self.signature is None else self.signature.parameters
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
        self.positional = [
            p.name
            for p in parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        self.static = self._places(static, "static", parameters)
        self.donated = self._places(donated, "donate", parameters)

    def of_method(self, method: Callable[..., Any]) -> Signature:
        """The signature of a method of which this is the function: without its first parameter."""

        def shifted(places: Iterable[Any]) -> list[Any]:
            return [p - 1 if isinstance(p, int) else p for p in places if p != 0]

        return Signature(method, shifted(self.static), shifted(self.donated))

    def _places(self, given: Iterable[int | str], what: str, parameters: Any) -> frozenset[Any]:
        places: set[Any] = set()
        for place in given:
            if isinstance(place, str):
                keywords = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
                if self.signature is not None and place not in parameters and not keywords:
                    raise ValueRangeError(
                        f"{what}_argnames: {self.name} has no parameter {place!r}",
                        hint=nearest(place, parameters),
                    )
                places.add(self.positional.index(place) if place in self.positional else place)
                continue
            count = len(self.positional)
            known = self.signature is not None and not self.variadic
            if known and not -count <= place < count:
                raise ValueRangeError(
                    f"{what}_argnums: {self.name} has {count} positional parameters, "
                    f"not {place + 1}"
                )
            places.add(place + count if place < 0 else place)
        return frozenset(places)

    def bind(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments with those given by name in their positions: both spellings are one call.

        Raises:
            ArgumentError: for arguments that the function does not take.
        """
        if self.signature is None:
            return args, kwargs
        if not kwargs and not self.variadic and len(args) == len(self.positional):
            return args, kwargs
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{self.name}{self.signature}: {error}") from None
        return bound.args, bound.kwargs

    def split(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[Any, Any]]:
        """Arguments with None in the place of those that are no data, and those by place."""
        if not self.static:
            return args, kwargs, {}
        static: dict[Any, Any] = {k: v for k, v in enumerate(args) if k in self.static}
        static |= {k: v for k, v in kwargs.items() if k in self.static}
        args = tuple(None if k in static else v for k, v in enumerate(args))
        return args, {k: None if k in static else v for k, v in kwargs.items()}, static

    def take(self, args: tuple[Any, ...], kwargs: dict[str, Any], specs: bool = False) -> Call:
        """Takes a call apart.

        Args:
            args: The arguments by position.
            kwargs: The arguments by name.
            specs: Whether specs may stand for data.

        Raises:
            ArgumentError: for a leaf that is no data, and for a static argument that cannot be
                hashed.
        """
        args, kwargs, static = self.split(*self.bind(args, kwargs))
        if not kwargs and _FLAT.issuperset(map(type, args)):
            given, structure = list(args), tree.flat_call(len(args))
        else:
            given, structure = tree.flatten((args, kwargs))
        values: list[Any] = []
        keys: list[LeafKey] = []
        for k, x in enumerate(given):
            value, key = self._leaf(x, structure, k)
            if value is x and not specs and isinstance(x, Spec):
                raise ArgumentError(
                    f"{self.name}: argument {self.leaf_names(structure)[k]} is the spec {x}",
                    hint="call with data; lower and warmup take specs",
                )
            values.append(value)
            keys.append(key)
        held = tuple((k, Static(type(v), v)) for k, v in static.items())
        self._check_hashable(held)
        key = CallKey(structure, held, tuple(keys))
        shapes = tuple(v.shape for v in values)
        donated = self._donated_leaves(args, kwargs) if self.donated else ()
        return Call(key, values, shapes, static, given, donated)

    def _check_hashable(self, static: Sequence[tuple[Any, Static]]) -> None:
        for place, s in static:
            try:
                hash(s.value)
            except TypeError:
                name = self.positional[place] if isinstance(place, int) else place
                raise ArgumentError(
                    f"{self.name}: the static argument {name} is a {s.kind.__name__}, "
                    "which cannot be hashed",
                    hint="give a tuple instead of a list, or a frozen dataclass",
                ) from None

    def _leaf(self, x: Any, structure: Structure, k: int) -> tuple[Any, LeafKey]:
        if isinstance(x, Tensor):
            array = x._held("a call of a compiled function", "call it inside the same function")
            return array, LeafKey(dtype_of(array.dtype), array.ndim, x._weak)
        if isinstance(x, np.ndarray):
            array: Array = as_array(x)
            return array, LeafKey(dtype_of(array.dtype), array.ndim, False)
        if isinstance(x, (bool, int, float)) and not isinstance(x, np.generic):
            dtype = scalar_kind(x)
            try:
                return np.asarray(x, dtype.numpy), LeafKey(dtype, 0, dtype.kind != "b")
            except OverflowError:
                raise ValueRangeError(f"{x} does not fit int64") from None
        if isinstance(x, Spec):
            return x, LeafKey(x.dtype, len(x.shape), False)
        no_data = isinstance(x, (str, DimExpr)) or callable(x)
        try:
            array_like = None if no_data else as_array(x)
        except ArgumentError as error:
            if is_array_like(x):
                where = self.leaf_names(structure)[k]
                raise ArgumentError(f"{self.name}: argument {where}: {error.message}") from None
            array_like = None
        if array_like is None:
            where = self.leaf_names(structure)[k]
            raise ArgumentError(
                f"{self.name}: argument {where} is a {type(x).__name__}, "
                "which is no tensor, array or number",
                hint="name it in static_argnames if it is no data",
            )
        return array_like, LeafKey(dtype_of(array_like.dtype), array_like.ndim, False)

    def leaf_names(self, structure: Structure) -> list[str]:
        """A name for each leaf: `x`, `params['w']`."""
        args, kwargs = structure.children
        names: list[str] = []
        for k, child in enumerate(args.children):
            name = self.positional[k] if k < len(self.positional) else f"args[{k}]"
            names += child.paths(name)
        for name, child in zip(kwargs.data or (), kwargs.children, strict=True):
            names += child.paths(name)
        return names

    def _donated_leaves(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
        found: list[int] = []
        at = 0
        # The order of leaves is that of `tree.flatten((args, kwargs))`.
        for place, value in [*enumerate(args), *sorted(kwargs.items())]:
            count = tree.structure(value).num_leaves
            if place in self.donated:
                found += range(at, at + count)
            at += count
        return tuple(found)

    def restore(self, call: Call, leaves: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with other leaves and the static values back in place."""
        args, kwargs = tree.unflatten(call.key.structure, leaves)
        if call.static:
            args = tuple(call.static.get(k, v) for k, v in enumerate(args))
            kwargs = {k: call.static.get(k, v) for k, v in kwargs.items()}
        return args, kwargs


def ir_name(name: str) -> str:
    """A leaf's name in the text of the IR: letters, digits and underscores."""
    plain = name.isidentifier()  # as most are; an expression takes time to compile
    return (name if plain else re.sub(r"\W+", "_", name)).strip("_") or "x"
