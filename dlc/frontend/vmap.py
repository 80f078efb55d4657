"""`vmap`: a function of elements, applied to all elements of a batch at once.

The function is traced for one element; the traced function is batched (`dlc.passes.batch`) and
inlined or run compiled. So `vmap` nests in any order with itself, the gradient transforms and
`compile`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dlc.frontend import tree
from dlc.frontend.apply import apply, as_tensor, materialise
from dlc.frontend.closure import Closure, Param, apply_function, trace_closure
from dlc.frontend.conversion import user_function
from dlc.frontend.extent import as_dim
from dlc.frontend.tensor import Tensor
from dlc.frontend.traced import check_callable, fresh, name_of
from dlc.frontend.tree import Structure
from dlc.ir.deferred import deferred
from dlc.ir.dims import Dim, dims_equal
from dlc.ir.errors import ArgumentError, IndexRangeError, ShapeError, ValueRangeError
from dlc.ir.ops.batching import from_front_axes, to_front_axes
from dlc.ir.record import NamedTuple

if TYPE_CHECKING:
    from dlc.passes import batch
else:
    batch = deferred("dlc.passes.batch")


def _is_axis(x: Any) -> bool:
    return x is None or (isinstance(x, int) and not isinstance(x, bool))


class _Leaf(NamedTuple):
    """A leaf of the arguments: where it lies, and the axis that is mapped, of a tensor."""

    path: str
    value: Any
    axis: int | None

    @property
    def is_input(self) -> bool:
        """Whether the function is traced with a parameter for it."""
        return self.axis is not None or (type(self.value) is Tensor and not self.value._weak)

    def described(self) -> str:
        """For error messages."""
        if self.axis is None:
            return f"{self.path} is not mapped"
        return f"{self.path} has {self.size()} (axis {self.axis} of {self.value.tensor})"

    def size(self) -> Dim:
        """The extent of the mapped axis."""
        assert self.axis is not None
        return self.value.tensor.shape[self.axis]


def _axis_of(axis: int, rank: int, what: str) -> int:
    if not -rank <= axis < rank:
        raise IndexRangeError(
            f"vmap over axis {axis} of {what}, which has {rank} axes",
            hint="in_axes has an axis for each argument; None for one that all elements share",
        )
    return axis % rank


def _leaf(path: str, x: Any, axis: int | None) -> _Leaf:
    if axis is None:
        return _Leaf(path, fresh(x), None)
    try:
        t = materialise(as_tensor(x))
    except ArgumentError:
        raise ArgumentError(
            f"vmap over axis {axis} of {path}, a {type(x).__name__}, which is no tensor or array",
            hint="give in_axes None for what all elements share",
        ) from None
    return _Leaf(path, t, _axis_of(axis, t.tensor.rank, f"{path}: {t.tensor}"))


def _names(function: Callable[..., Any], count: int) -> list[str]:
    """What messages call the positional arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = [p.name for p in parameters if p.kind in kinds][:count]
    return found + [f"args[{k}]" for k in range(len(found), count)]


class _Mapped:
    """The arguments of a call, with the axes that are mapped."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        in_axes: Any,
    ) -> None:
        self.name = name_of(function)
        found, self.structure = tree.flatten((args, kwargs))
        positional, named = self.structure.children
        axes = self._axes(in_axes, positional) + [0] * named.num_leaves
        paths: list[str] = []
        for name, child in zip(_names(function, len(args)), positional.children, strict=True):
            paths += child.paths(name)
        for name, child in zip(named.data, named.children, strict=True):
            paths += child.paths(name)
        self.leaves = [_leaf(*row) for row in zip(paths, found, axes, strict=True)]
        self.mapped = [leaf for leaf in self.leaves if leaf.axis is not None]
        # Shared tensors are parameters too, so that they can be assigned to inside.
        self.inputs = [leaf for leaf in self.leaves if leaf.is_input]

    def _axes(self, in_axes: Any, positional: Structure) -> list[Any]:
        count = len(positional.children)
        if isinstance(in_axes, (tuple, list)) and type(in_axes) in (tuple, list):
            in_axes = tuple(in_axes)
            if len(in_axes) != count:
                raise ValueRangeError(
                    f"vmap of {self.name}() with in_axes for {len(in_axes)} arguments, "
                    f"but {count} were given by position",
                    hint="arguments given by name are mapped over axis 0",
                )
        try:
            return tree.expand_prefix(in_axes, positional, _is_axis)
        except ShapeError as error:
            raise ArgumentError(
                f"vmap of {self.name}(): in_axes={in_axes!r}: {error.message}",
                hint="an integer, None, or a tuple with a tree of them for each argument",
            ) from None

    def size(self, axis_size: Any) -> Dim:
        """The extent of the batch; ShapeError where the arguments disagree."""
        given = None if axis_size is None else as_dim(axis_size, "axis_size")
        sizes = [leaf.size() for leaf in self.mapped]
        if given is not None:
            sizes.append(given)
        if not sizes:
            raise ArgumentError(
                f"vmap of {self.name}() maps no argument",
                hint="give an argument an axis in in_axes, or give axis_size",
            )
        if not all(dims_equal(d, sizes[0]) for d in sizes[1:]):
            shown = [leaf.described() for leaf in self.leaves]
            if given is not None:
                shown.append(f"axis_size is {given}")
            raise ShapeError(
                f"vmap of {self.name}() over axes of different extents: {', '.join(shown)}"
            )
        return sizes[0]

    def trace(self, function: Callable[..., Any]) -> Closure:
        """`function` of one element."""

        def call(tensors: list[Tensor]) -> Any:
            elements = iter(tensors)
            held = [next(elements) if x.is_input else x.value for x in self.leaves]
            args, kwargs = tree.unflatten(self.structure, held)
            return user_function(function)(*args, **kwargs)

        params: list[Param] = []
        for leaf in self.inputs:
            type_ = leaf.value.tensor
            rest = [d for k, d in enumerate(type_.shape) if k != leaf.axis]
            params.append(Param(type_.with_shape(rest)))
        return trace_closure(self.name, call, params, f"{self.name}()", function)

    def tensors(self) -> list[Tensor]:
        """The inputs, mapped axes in front."""
        return [
            _permuted(x.value, to_front_axes(x.value.tensor.rank, x.axis or 0)) for x in self.inputs
        ]


def _permuted(x: Tensor, axes: Sequence[int]) -> Tensor:
    return x if list(axes) == sorted(axes) else apply("transpose", x, axes=tuple(axes))


def vmap(
    function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, axis_size: Any = None
) -> Callable[..., Any]:
    """A function that applies `function` to all elements of a batch at once.

    Args:
        function: Of one element: of any arguments, it returns a tree of tensors. What it reads
            besides (tensors, variables) is the same for all elements.
        in_axes: The axis of each argument along which the elements lie: an integer for all, or a
            tuple with one entry for each argument given by position; an entry is an axis, None (all
            elements share the argument, which may be anything), or a tree of them that has the
            structure of the argument as far as it goes. Negative axes count from the end.
            Arguments given by name are mapped over axis 0.
        out_axes: Where the axis of the batch is put in the results: an integer, None for a result
            that is the same for all elements, or a tree of them.
        axis_size: The number of elements; needed where no argument is mapped.

    Returns:
        A function of the same arguments with one axis more, and so its results.

    Raises:
        ShapeError: (from the call, as below) for mapped axes of different extents.
        IndexRangeError: for an axis out of range.
        ArgumentError: for `in_axes` or `out_axes` that do not fit the arguments or results.
        ValueRangeError: for a result or a new value of a variable that differs between elements
            where there is to be one.

    Example:
        >>> vmap(lambda x, y: (x * y).sum())(dlc.ones((3, 4)), dlc.ones((3, 4)))
        Tensor([4., 4., 4.], dtype=float32)
    """
    check_callable(function, "vmap")

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        mapped = _Mapped(function, args, kwargs, in_axes)
        size = mapped.size(axis_size)
        closure = mapped.trace(function)
        places = _out_axes(closure, out_axes, mapped.name)
        state = closure.state()
        flags = [x.axis is not None for x in mapped.inputs] + [False] * len(state)
        rest = len(closure.function.results) - closure.outputs
        wanted = [place is not None for place in places] + [False] * rest
        batched, differs = batch.batch_function(closure.function, flags, size, wanted)
        _check_single(closure, differs, places, mapped.name)
        results = apply_function(batched, [*mapped.tensors(), *state])
        closure.settle(results)
        for k, place in enumerate(places):
            if place is not None:
                results[k] = _placed(results[k], place, mapped.name)
        return closure.value(results)

    return wrapped


def _out_axes(closure: Closure, out_axes: Any, name: str) -> list[int | None]:
    try:
        return tree.expand_prefix(out_axes, closure.output, _is_axis)
    except ShapeError as error:
        raise ArgumentError(
            f"vmap of {name}(): out_axes={out_axes!r}: {error.message}",
            hint="an integer, None, or a tree of them like what the function returns",
        ) from None


def _placed(x: Tensor, axis: int, name: str) -> Tensor:
    rank = x.tensor.rank
    if not -rank <= axis < rank:
        raise IndexRangeError(
            f"vmap of {name}() with the batch at axis {axis} of a result {x.tensor}"
        )
    return _permuted(x, from_front_axes(rank, axis % rank))


def _check_single(
    closure: Closure, differs: Sequence[bool], places: Sequence[int | None], name: str
) -> None:
    """Checks what there is one of for all elements."""
    paths = closure.output.paths()
    for differing, place, path in zip(differs, places, paths, strict=False):
        if differing and place is None:
            raise ValueRangeError(
                f"vmap of {name}(): out_axes is None for the result{' ' + path if path else ''}, "
                "which differs between elements",
                hint="give the axis along which the elements are to lie",
            )
    if any(differs[closure.outputs :]):
        raise ValueRangeError(
            f"vmap of {name}(), which assigns a value to a variable, or to its gradient, that "
            "differs between elements: a variable holds one value",
            hint="return the value, and assign what is made of it (a mean, say) outside of vmap",
        )
