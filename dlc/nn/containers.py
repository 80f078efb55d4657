"""Modules of modules, `Sequential`, `ModuleList`, `ModuleDict`; and of parameters.

Their attributes are their items, so that names are PyTorch's: `0.weight`.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

import dlc
from dlc.ir.errors import ArgumentError, IndexRangeError, ValueRangeError, nearest
from dlc.nn.graph_calls import input_of, input_parts, is_symbolic, shape_of
from dlc.nn.hooks import set_slot
from dlc.nn.masking import call_with_mask
from dlc.nn.module import Module, Parameter
from dlc.nn.walking import is_module
from dlc.train import masks


class _Items(Module):
    """The base of containers: items by name, in order.

    An attribute that is a module is an item, however it is assigned; other attributes are not.
    """

    def _is_item(self, value: Any) -> bool:
        return is_module(value)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        held = name in self._items
        if self._is_item(value) or (held and callable(value)):
            self._have(self._items if held else (*self._items, name))
        elif held:
            self._have(tuple(n for n in self._items if n != name))

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name in self._items:
            self._have(tuple(n for n in self._items if n != name))

    def _have(self, names: tuple[str, ...]) -> None:
        set_slot(self, "_items", names)
        self._changed()

    def _changed(self) -> None:
        """Is called when there are other items."""

    def _put(self, name: str, layer: Any) -> None:
        if not callable(layer):
            raise ArgumentError(
                f"{type(self).__name__}: a {type(layer).__name__} is no layer, it cannot be called"
            )
        self._set(name, layer)
        if name not in self._items:  # a function
            self._have((*self._items, name))

    def _set(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise ArgumentError(
                f"{type(self).__name__}: no item can be called {name!r}, which is a method"
            )
        setattr(self, name, value)

    def _append(self, layer: Any) -> None:
        numbers = (int(n) for n in self._items if n.isdigit())
        self._put(str(max(numbers, default=-1) + 1), layer)

    def _named(self) -> dict[str, Any]:
        held = vars(self)
        return {n: held[n] for n in self._items}

    def _all(self) -> list[Any]:
        held = vars(self)
        return [held[n] for n in self._items]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(self._all()[index])
        return self._all()[self._place(index)]

    def _place(self, index: Any) -> int:
        if not -len(self) <= operator.index(index) < len(self):
            raise IndexRangeError(f"item {index} of a {type(self).__name__} of {len(self)}")
        return operator.index(index) % len(self)


class _Layers(_Items):
    """The base of lists of modules, which are changed as lists are."""

    def __setitem__(self, index: int, layer: Any) -> None:
        self._put(self._items[self._place(index)], layer)

    def __delitem__(self, index: int | slice) -> None:
        named = list(self._named().items())
        del named[index if isinstance(index, slice) else self._place(index)]
        self._take(named)

    def insert(self, index: int, layer: Any) -> None:
        """Puts a layer before the one at a position, or after all others."""
        named = list(self._named().items())
        free = next(str(k) for k in itertools.count(len(named)) if str(k) not in self._items)
        named.insert(index, (free, layer))
        self._take(named)

    def _take(self, named: list[tuple[str, Any]]) -> None:
        """Has these items, and counts anew where names are numbers."""
        for name in self._items:
            delattr(self, name)
        numbers = all(name.isdigit() for name, _ in named)
        for k, (name, layer) in enumerate(named):
            self._put(str(k) if numbers else name, layer)


class Sequential(_Layers):
    """Layers one after the other; each gets the result of the one before.

    Args:
        layers: Modules or functions; or one list of them, or one dict with their names. The first
            may be what `nn.Input` makes: then the layers' parameters are made at once, and the
            shapes of what they give are known.
        name: The model's name.

    As in PyTorch, a module that is assigned to an attribute is a layer, too; other attributes are
    not. `model[i] = layer`, `del model[i]`, `insert` and slices are those of lists.

    Example:
        >>> model = dlc.nn.Sequential(dlc.nn.Linear(4, 8), dlc.relu, dlc.nn.Linear(8, 2))
        >>> model(dlc.ones((3, 4))).shape, len(model)
        ((3, 2), 3)
    """

    __slots__ = ("_ends",)
    _ends: tuple[Any, Any] | None  # the symbolic input, and the output or None

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        """Makes one without layers."""
        self = super().__new__(cls)
        set_slot(self, "_ends", None)
        return self

    def __init__(self, *layers: Any, name: str | None = None) -> None:
        if name is not None:
            self.name = name
        given: Any = layers[0] if len(layers) == 1 else layers
        if isinstance(given, Mapping):
            for key, layer in given.items():
                self._put(str(key), layer)
            return
        several = isinstance(given, Iterable) and not isinstance(given, dlc.Tensor)
        for layer in given if several and not callable(given) else (given,):
            self.add(layer)

    def add(self, layer: Any) -> Self:
        """Appends a layer and returns the model; the first may be what `nn.Input` makes.

        Raises:
            ArgumentError: for what cannot be called.
            DlcError: with `nn.Input`, what the layer raises for the shape of its input; it is not
                appended then.
        """
        if isinstance(layer, dlc.Tensor) and is_symbolic(layer):
            if len(self) or self._ends is not None:
                raise ArgumentError("Sequential: nn.Input comes first, and once")
            set_slot(self, "_ends", (layer, layer))
            return self
        ends = None
        if self._ends is not None and callable(layer):
            first, last = self._known_ends()
            ends = first, layer(last)
        self._append(layer)
        set_slot(self, "_ends", ends)
        return self

    append = add

    @property
    def layers(self) -> list[Any]:
        """The layers, in order."""
        return self._all()

    def pop(self) -> Any:
        """Takes the last layer away and returns it."""
        if not len(self):
            raise IndexRangeError("pop of a Sequential without layers")
        layer = self[-1]
        delattr(self, self._items[-1])
        return layer

    def extend(self, layers: Iterable[Any]) -> Self:
        """Appends layers; returns the model."""
        for layer in list(layers):
            self.add(layer)
        return self

    def _changed(self) -> None:
        if self._ends is not None:  # the result of the last layer is made when it is asked for
            set_slot(self, "_ends", (self._ends[0], None))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):  # the layers keep their names, as in PyTorch
            return Sequential(dict(list(self._named().items())[index]))
        return super().__getitem__(index)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of a name (its own, or its number) or at a position.

        Raises:
            IndexRangeError: when there is none at the position.
            ValueRangeError: when there is none of the name.
        """
        if index is not None:
            return self[index]
        for key, layer in self._named().items():
            if name in (key, getattr(layer, "_name", None)):
                return layer
        raise ValueRangeError(f"no layer {name!r}", hint=nearest(str(name), self._items))

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The shape that `nn.Input` was given, with None for extents that may be any."""
        return shape_of(self._known_ends()[0])

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the result of the last layer, as `input_shape`."""
        return shape_of(self._known_ends()[1])

    @property
    def inputs(self) -> list[Any]:
        """The symbolic input."""
        return [self._known_ends()[0]]

    @property
    def outputs(self) -> list[Any]:
        """The symbolic result of the last layer."""
        return [self._known_ends()[1]]

    def _known_ends(self) -> tuple[Any, Any]:
        if self._ends is None:
            raise ArgumentError(
                "this Sequential does not know the shape of its input",
                hint="begin it with nn.Input(shape)",
            )
        first, last = self._ends
        if last is None:
            last = first
            for layer in self._all():
                last = layer(last)
            set_slot(self, "_ends", (first, last))
        return first, last

    def __getstate__(self) -> Any:
        """As of all modules, and what the input is made of: the output is that of these layers."""
        attributes, slots = super().__getstate__()
        ends = None if self._ends is None else input_parts(self._ends[0])
        return attributes, {**slots, "_ends": ends}

    def __setstate__(self, state: Any) -> None:
        """Takes what `__getstate__` gave."""
        attributes, slots = state
        vars(self).update(attributes or {})
        for name, value in slots.items():
            set_slot(self, name, value)
        if self._ends is not None:
            set_slot(self, "_ends", (input_of(*self._ends), None))

    def forward(self, x: Any, mask: Any = None) -> Any:
        """The result of the last layer.

        Args:
            x: What the first layer gets.
            mask: Bools [batch, time] for layers with an argument `mask`, after which it is what
                their `compute_mask` says. Layers such as `Masking` make one.
        """
        for layer in self._all():
            x, mask = call_with_mask(layer, x, mask)
        masks.note(x, mask)
        return x

    def compute_mask(self, x: Any, mask: Any = None) -> Any:
        """The mask of the result. Where layers make one, those before them run for it."""
        layers = self._all()
        makers = [k for k, layer in enumerate(layers) if hasattr(layer, "compute_mask")]
        for k, layer in enumerate(layers[: max(makers, default=-1) + 1]):
            before, x = x, layer(x) if k < makers[-1] else x
            mask = layer.compute_mask(before, mask) if k in makers else mask
        return mask


class ModuleList(_Layers):
    """A list of modules. A plain list as an attribute does the same.

    Example:
        >>> [name for name, _ in dlc.nn.ModuleList([dlc.nn.Linear(2, 2)]).named_parameters()]
        ['0.weight', '0.bias']
    """

    def __init__(self, modules: Iterable[Any] = ()) -> None:
        self.extend(modules)

    def append(self, module: Any) -> ModuleList:
        """Appends a module; returns the list."""
        self._append(module)
        return self

    def extend(self, modules: Iterable[Any]) -> ModuleList:
        """Appends modules; returns the list."""
        for module in modules:
            self._append(module)
        return self


class _Parameters(_Items):
    """The base of containers of parameters: what is put there becomes one."""

    def _is_item(self, value: Any) -> bool:
        return isinstance(value, dlc.Variable)

    def _put(self, name: str, layer: Any) -> None:
        self._set(name, layer if isinstance(layer, dlc.Variable) else Parameter(layer))


class ParameterList(_Parameters):
    """A list of parameters. A plain list of `dlc.nn.Parameter` as an attribute does the same.

    Args:
        values: Parameters, or values that they begin with.

    Example:
        >>> class Sum(dlc.nn.Module):
        ...     def __init__(self):
        ...         self.weights = dlc.nn.ParameterList([dlc.ones(2), dlc.zeros(3)])
        >>> [(name, p.shape) for name, p in Sum().named_parameters()]
        [('weights.0', (2,)), ('weights.1', (3,))]
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Appends a parameter; returns the list."""
        self._append(value)
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Appends parameters; returns the list."""
        for value in values:
            self._append(value)
        return self

    def __setitem__(self, index: int, value: Any) -> None:
        self._put(self._items[self._place(index)], value)


class _Named(_Items):
    """The base of containers with names."""

    kind: ClassVar[str]  # of the items

    def __setitem__(self, name: str, value: Any) -> None:
        self._put(name, value)

    def __getitem__(self, index: Any) -> Any:
        if index not in self._items:
            known = nearest(str(index), self._items)
            raise ValueRangeError(f"no {self.kind} {index!r}", hint=known)
        return vars(self)[index]

    def __delitem__(self, name: str) -> None:
        self[name]  # or an error
        delattr(self, name)

    def update(self, items: Mapping[str, Any]) -> None:
        """Puts items, also in the place of others of the same names."""
        for name, value in items.items():
            self._put(name, value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._named().keys()

    def values(self) -> Iterable[Any]:
        """The items."""
        return self._named().values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of name and item."""
        return self._named().items()


class ModuleDict(_Named):
    """A dict of modules. A plain dict as an attribute does the same.

    Example:
        >>> heads = dlc.nn.ModuleDict({"a": dlc.nn.Linear(2, 3)})
        >>> heads["a"](dlc.ones(2)).shape
        (3,)
    """

    kind = "module"

    def __init__(self, modules: Mapping[str, Any] | None = None) -> None:
        self.update(modules or {})


class ParameterDict(_Named, _Parameters):
    """A dict of parameters. A plain dict of `dlc.nn.Parameter` as an attribute does the same.

    Args:
        values: Parameters, or values that they begin with, by name.

    Example:
        >>> scales = dlc.nn.ParameterDict({"a": dlc.ones(2)})
        >>> scales["a"].requires_grad
        True
    """

    kind = "parameter"

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.update(values or {})
