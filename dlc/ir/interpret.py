"""Runs functions on NumPy arrays by the references of the op rows.

What they give is what every backend is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.dims import (
    TRIPS,
    Dim,
    evaluate,
    in_range,
    plain_name,
    range_words,
    substitute,
    symbols_of,
)
from dlc.ir.errors import (
    ArgumentError,
    DTypeError,
    MemoryLimitError,
    ShapeError,
    VerifyError,
)
from dlc.ir.op import static_attrs
from dlc.ir.types import Shape, TensorType, TupleType

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Observer: TypeAlias = Callable[[Node, Any], None]


def interpret(
    function: Function,
    args: Sequence[Array],
    *,
    dims: Mapping[str, int] | None = None,
    observer: Observer | None = None,
) -> tuple[Array, ...]:
    """The results of `function` on `args`.

    Args:
        function: A legal function (`dlc.ir.verifier`).
        args: An array for each parameter, of its dtype and shape.
        dims: Values of symbols that the arguments' shapes do not give.
        observer: Called with each node and its value (a tuple for a node with several results) as
            soon as it is known, inside fusions too.

    Returns:
        An array for each result, of its dtype and shape. They may share memory with `args`.

    Raises:
        ArgumentError: The number of arguments differs from that of the parameters.
        DTypeError: An argument has another dtype.
        ShapeError: An argument has another shape, or the shapes contradict each other.
        VerifyError: An op's reference gave another type than its type rule.

    Example:
        >>> f = parse_function("func @f(%x: f32[n]) -> (f32[n]) { %0: f32[n] = neg(%x) return %0 }")
        >>> interpret(f, [np.ones(3, np.float32)])
        (array([-1., -1., -1.], dtype=float32),)
    """
    arrays = [np.asarray(a) for a in args]
    values = bind_symbols(function, arrays, dims)
    with np.errstate(all="ignore"):
        return _run(function, arrays, values, observer)


def bind_symbols(
    function: Function, args: Sequence[Array], dims: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The values of the symbols in the parameters' shapes, checked against those of `args`.

    Raises:
        ArgumentError, DTypeError, ShapeError: As `interpret`.
    """
    params = function.params
    if len(args) != len(params):
        raise ArgumentError(f"@{function.name} takes {len(params)} arrays, not {len(args)}")
    values = dict(dims or {})
    open_dims: list[tuple[Node, Array, Dim, int]] = []
    for p, a in zip(params, args, strict=True):
        _check_argument(p, a)
        open_dims += [(p, a, d, n) for d, n in zip(p.shape, a.shape, strict=True)]
    # Plain symbols first; an expression such as 2*n gives n only where nothing simpler does.
    for _, _, d, n in open_dims:
        name = plain_name(d)
        if name is not None and name not in values:
            values[name] = n
    unsolved = len(values) - 1
    while len(values) > unsolved:
        unsolved = len(values)
        for _, _, d, n in open_dims:
            _solve(d, n, values)
    for name, range_ in function.ranges.items():
        if name in values and not in_range(values[name], range_):
            p, a = next((p, a) for p, a, d, _ in open_dims if name in symbols_of(d))
            reason = f"{name} is {range_words(range_)}"
            raise ShapeError(f"{_shown(p)} got an array of shape {a.shape}: {reason}")
    for p, a, d, n in open_dims:
        if _static(d, values) != n:
            raise ShapeError(f"{_shown(p)} got an array of shape {a.shape}{_where(d, values)}")
    return values


def _check_argument(p: Node, a: Array) -> None:
    if a.dtype != p.tensor.dtype.numpy:
        raise DTypeError(f"{_shown(p)} got an array of {a.dtype}")
    if a.ndim != p.tensor.rank:
        raise ShapeError(f"{_shown(p)} got an array of shape {a.shape}")


def _shown(p: Node) -> str:
    return f"parameter %{p.name}: {p.type}" if p.name else f"a parameter of type {p.type}"


def _where(dim: Dim, values: Mapping[str, int]) -> str:
    names = sorted(symbols_of(dim) & values.keys())
    return f", where {', '.join(f'{s} is {values[s]}' for s in names)}" if names else ""


def _solve(dim: Dim, extent: int, values: dict[str, int]) -> None:
    """Binds the one unknown symbol of c*n + k == extent, where there is one."""
    if isinstance(dim, int) or symbols_of(dim) <= values.keys():
        return
    rest = substitute(dim, values)
    names = symbols_of(rest)
    if isinstance(rest, int) or len(names) != 1:
        return
    (name,) = names
    at = [substitute(rest, {name: k}) for k in (1, 2, 3)]
    a, b, c = (x if isinstance(x, int) else 0 for x in at)
    slope = b - a
    if slope == 0 or c - b != slope or (extent - a) % slope:
        return
    values[name] = 1 + (extent - a) // slope


def _static(dim: Dim, values: Mapping[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    try:
        return evaluate(dim, values)
    except KeyError as unknown:
        raise ShapeError(f"the arguments do not give the value of {unknown.args[0]}") from None
    except ZeroDivisionError:
        raise ShapeError(f"a division by zero in {dim}{_where(dim, values)}") from None


def _run(
    function: Function,
    args: Sequence[Array],
    values: Mapping[str, int],
    observer: Observer | None,
) -> tuple[Array, ...]:
    found: dict[Node, Any] = dict(zip(function.params, args, strict=True))
    uses = _use_counts(function)
    for node in function.nodes:
        result = _apply(node, [found[x] for x in node.inputs], values, observer)
        found[node] = result
        if observer is not None:
            observer(node, result)
        for x in node.inputs:
            uses[x] -= 1
            if not uses[x]:  # large programs would not fit in memory otherwise
                del found[x]
    return tuple(found[r] for r in function.results)


def _use_counts(function: Function) -> dict[Node, int]:
    uses: dict[Node, int] = {}
    for node in function.nodes:
        for x in node.inputs:
            uses[x] = uses.get(x, 0) + 1
    for r in function.results:
        uses[r] = uses.get(r, 0) + 1
    return uses


def _apply(
    node: Node, inputs: list[Any], values: Mapping[str, int], observer: Observer | None
) -> Any:
    op = node.op
    if op.reference is not None:
        attrs = static_attrs(node.attrs, lambda d: _static(d, values)) if op.attrs else {}
        if op.family in ("reduction", "contraction"):
            inputs = [_in_order(x) for x in inputs]
        try:
            result = op.reference(*inputs, **attrs)
        except (MemoryError, ValueError):
            _check_memory(node, values)
            raise
    elif op.control is not None:
        result = op.control(_Bodies(values, observer), inputs, node.attrs)
    elif op.name == "fusion":
        body: Function = node.attrs["body"]
        found = _run(body, inputs, values, observer)
        result = found if isinstance(node.type, TupleType) else found[0]
    elif op.decompose is not None:
        found = _run(decomposition(node), inputs, values, None)
        result = found if isinstance(node.type, TupleType) else found[0]
    else:
        raise VerifyError(f"op {op.name} has no reference")
    if isinstance(node.type, TupleType):
        if len(result) != len(node.type.items):
            raise VerifyError(f"the reference of {op.name} gave {len(result)} results: {node.type}")
        return tuple(
            _checked(node, x, t, values) for x, t in zip(result, node.type.items, strict=True)
        )
    return _checked(node, result, node.type, values)


def _in_order(x: Array) -> Array:
    """`x` as it lies in a result: NumPy adds in another order where an operand is a view.

    What is repeated stays as it is: it may be too large to be held.
    """
    return x if 0 in x.strides else np.asarray(x, order="C")


def _check_memory(node: Node, values: Mapping[str, int]) -> None:
    """Raises MemoryLimitError where a result's size is the reason of what NumPy raised."""
    types = node.type.items if isinstance(node.type, TupleType) else (node.type,)
    for t in types:
        count = math.prod(_static(d, values) for d in t.shape) * t.dtype.itemsize
        if count > 2**32:
            raise MemoryLimitError(f"{node.op.name} needs {count} bytes for {t}", location=node.loc)


def _checked(node: Node, value: Any, type_: TensorType, values: Mapping[str, int]) -> Array:
    array = np.asarray(value)
    if array.dtype == type_.dtype.numpy:
        shape = type_.shape
        if array.shape == shape or array.shape == _shape_of(shape, array, values):
            return array
    gave = f"{array.dtype}{list(array.shape)}"
    raise VerifyError(
        f"the reference of {node.op.name} gave {gave}, its type is {type_}", location=node.loc
    )


def _shape_of(shape: Shape, array: Array, values: Mapping[str, int]) -> tuple[int, ...]:
    """`shape` at these values, with the extents of `array` where only a loop knows them."""
    known = zip(shape, array.shape, strict=False)
    return tuple(n if d is TRIPS or d == TRIPS else _static(d, values) for d, n in known)


class _Bodies:
    """Runs the functions that a node carries."""

    def __init__(self, values: Mapping[str, int], observer: Observer | None) -> None:
        self.values, self.observer = values, observer

    def __call__(self, function: Function, inputs: Sequence[Array]) -> tuple[Array, ...]:
        if self.observer is not None:
            for p, x in zip(function.params, inputs, strict=True):
                self.observer(p, x)
        return _run(function, inputs, self.values, self.observer)

    def extent(self, dim: Dim) -> int:
        return _static(dim, self.values)


def decomposition(node: Node) -> Function:
    """The function of `node`'s inputs that its row's `decompose` stands for."""
    assert node.op.decompose is not None
    b = IRBuilder(node.loc)
    params = [b.param(x.tensor) for x in node.inputs]
    made = node.op.decompose(b, *params, **node.attrs)
    results = (made,) if isinstance(made, Node) else tuple(made)
    return b.function(node.op.name, params, results)
