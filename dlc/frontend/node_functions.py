"""What functions with derivatives of their own share: arguments, and functions of one node."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dlc.frontend import tree
from dlc.frontend.apply import apply, as_tensor
from dlc.frontend.closure import Closure, Param, apply_function
from dlc.frontend.tensor import Tensor
from dlc.frontend.traced import fresh, leaf_tensor, name_of
from dlc.frontend.transforms import like_value
from dlc.frontend.tree import Structure
from dlc.ir.build import IRBuilder, find_op
from dlc.ir.core import Function, Node
from dlc.ir.errors import ArgumentError, ShapeError
from dlc.ir.location import user_location
from dlc.ir.types import TensorType


class Arguments:
    """The arguments of a call: those that are traced, and those that are used as they are."""

    def __init__(self, args: Sequence[Any], static: Sequence[int], what: str) -> None:
        self.held = [tree.map(fresh, a) if k in static else a for k, a in enumerate(args)]
        self.traced = [k for k in range(len(args)) if k not in static]
        flat = [tree.flatten(args[k]) for k in self.traced]
        self.structures = [s for _, s in flat]
        self.leaves = [leaf_tensor(x, f"{what}: an argument") for found, _ in flat for x in found]

    @property
    def static(self) -> list[Any]:
        """What is used as it is."""
        return [a for k, a in enumerate(self.held) if k not in self.traced]

    @property
    def params(self) -> list[Param]:
        """The types of what is traced."""
        return [Param(t.tensor) for t in self.leaves]

    def trees(self, leaves: Sequence[Any]) -> list[Any]:
        """Trees like the traced arguments, of other leaves."""
        rest = iter(leaves)
        return [
            tree.unflatten(s, [next(rest) for _ in range(s.num_leaves)]) for s in self.structures
        ]

    def with_leaves(self, leaves: Sequence[Any]) -> list[Any]:
        """All arguments, with other leaves of those that are traced."""
        held = list(self.held)
        for k, value in zip(self.traced, self.trees(leaves), strict=True):
            held[k] = value
        return held


def positional(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments of a call by position, with those given by name and defaults in their places.

    Raises:
        ArgumentError: for arguments that have no position.
    """
    if not kwargs:
        return tuple(args)
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise ArgumentError(
            f"{name_of(function)}() was given {min(bound.kwargs)} by name, which has no position",
            hint="functions with derivatives of their own take arguments that have a position",
        )
    return bound.args


def check_stateless(closure: Closure, what: str) -> None:
    """ArgumentError for a function that assigns to variables."""
    if closure.has_state:
        raise ArgumentError(
            f"{what} assigns to a variable, or to its gradient",
            hint="return the value, and assign it outside",
        )


class Parts:
    """Functions of one node: each reads some of its operands besides the arguments.

    The operands are the arguments and then what each function reads outside; a function has a
    parameter for each of them.
    """

    def __init__(self, leaves: Sequence[Tensor], closures: Sequence[Closure]) -> None:
        self.closures = closures
        self.states = [c.state() for c in closures]
        self.tensors = [*leaves, *(t for state in self.states for t in state)]

    def outside(self, k: int) -> list[Node]:
        """Parameters for what all functions read outside; of function `k` its own."""
        b = IRBuilder()
        found: list[Node] = []
        for n, (closure, state) in enumerate(zip(self.closures, self.states, strict=True)):
            own = closure.function.params[closure.arguments :]
            found += own if n == k else [b.param(t.tensor) for t in state]
        return found

    def function(self, k: int, extra: Sequence[Node] = ()) -> Function:
        """Function `k` of all operands, and of `extra` parameters of its own behind them."""
        f, count = self.closures[k].function, self.closures[k].arguments - len(extra)
        params = [*f.params[:count], *self.outside(k), *extra]
        return Function(f.name, params, f.results, f.nodes)

    def emit(self, name: str, **attrs: Any) -> list[Tensor]:
        """The results of a node over the operands."""
        b = IRBuilder(user_location())
        params = [b.param(t.tensor) for t in self.tensors]
        node = b.emit(find_op(name), params, attrs)
        results = [b.get(node, index=k) for k in range(len(node.type.items))]  # type: ignore[union-attr]
        return apply_function(
            b.function(self.closures[0].function.name, params, results), self.tensors
        )


def float_params(types: Sequence[TensorType]) -> list[Param]:
    """A parameter for each float type."""
    return [Param(t) for t in types if t.dtype.is_float]


def with_zeros(types: Sequence[TensorType], floats: Sequence[Tensor]) -> list[Tensor]:
    """`floats`, and zeros where the type is no float."""
    given = iter(floats)
    return [next(given) if t.dtype.is_float else _zeros(t) for t in types]


def result_types(closure: Closure) -> list[TensorType]:
    """The types of what a traced function returned."""
    return [r.tensor for r in closure.function.results[: closure.outputs]]


def float_leaves(
    given: Any, structure: Structure, types: Sequence[TensorType], what: str
) -> list[Tensor]:
    """The leaves of a tangent or cotangent at the places of floats; None stands for zeros."""
    if given is None:
        return [
            apply("full", value=0.0, shape=t.shape, dtype=t.dtype)
            for t in types
            if t.dtype.is_float
        ]
    found, s = tree.flatten(given)
    if s != structure:
        raise ShapeError(f"{what} is {s!r}, but must be {structure!r}")
    return [
        as_type(x, t, f"{what}{path}")
        for x, t, path in zip(found, types, structure.paths(), strict=True)
        if t.dtype.is_float
    ]


def as_type(x: Any, type_: TensorType, what: str) -> Tensor:
    """A given tangent or cotangent of what has a type."""
    t = as_tensor(x)
    return like_value(t, _zeros(type_), what)


def _zeros(type_: TensorType) -> Tensor:
    return apply("full", value=0, shape=type_.shape, dtype=type_.dtype)


def emit_vjp(
    leaves: Sequence[Tensor], primal: Closure, forward: Closure, backward: Closure
) -> list[Tensor]:
    """The results of a function with these derivatives of its `leaves`.

    `forward` results in what `primal` does and in values to keep; `backward` takes those and
    cotangents of float results to those of float leaves.
    """
    parts = Parts(leaves, [primal, forward, backward])
    ahead = parts.function(1)
    outside = parts.outside(2)
    # What the backward function reads outside is kept as well.
    given = ahead.params[len(leaves) :]
    ahead = ahead.with_results([*ahead.results, *given], ahead.nodes)
    f = backward.function
    kept = len(forward.function.results) - primal.outputs
    params = [*f.params[:kept], *outside, *f.params[kept : backward.arguments]]
    back = Function(f.name, params, f.results, f.nodes)
    return parts.emit(
        "custom_vjp",
        primal=parts.function(0),
        forward=ahead,
        backward=back,
        arguments=len(leaves),
    )


def with_tensors(
    values: Sequence[Any], places: Iterable[int], tensors: Iterable[Tensor]
) -> list[Any]:
    """`values` with tensors at some places."""
    given = list(values)
    for k, t in zip(places, tensors, strict=True):
        given[k] = t
    return given


def is_data(x: Any) -> bool:
    """Whether an argument is a tensor or an array, not a number or an object of Python's."""
    return type(x) is Tensor or hasattr(x, "__array_interface__")
