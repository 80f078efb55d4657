"""Control flow that depends on values: `cond`, `switch`, `while_loop`, `fori_loop`, `scan`, `map`.

The functions that are given are traced once, whatever runs at the end, and become part of the
program; no Python runs in between. Signatures are those of JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.frontend import tree
from dlc.frontend.apply import as_tensor, convert, dim_tensor, promote
from dlc.frontend.bodies import Body, Outside, emit, trace_body, weak_default
from dlc.frontend.closure import Param
from dlc.frontend.conversion import user_function
from dlc.frontend.extent import as_dim, plain
from dlc.frontend.tensor import Tensor, functions, make, make_like
from dlc.frontend.tree import Structure
from dlc.ir.dims import Dim, DimExpr, add, dims_equal, maximum, mul
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError, ValueRangeError
from dlc.ir.integers import at_least
from dlc.ir.ops.families import same_shape
from dlc.ir.types import DType, TensorType, bool_, int64

__all__ = ["cond", "fori_loop", "map", "scan", "switch", "while_loop"]


def _check_callable(function: Any, what: str) -> None:
    if not callable(function):
        raise ArgumentError(f"{what} is a {type(function).__name__}, which cannot be called")


def _tensors(value: Any, what: str) -> tuple[list[Tensor], Structure]:
    """The leaves of a tree as tensors."""
    found, structure = tree.flatten(value)
    made: list[Tensor] = []
    for x, path in zip(found, structure.paths(), strict=True):
        try:
            t = as_tensor(x)
        except ArgumentError:
            raise ArgumentError(
                f"{what}{path} is a {type(x).__name__}, which is no tensor, array or number",
                hint="close over what is no data",
            ) from None
        made.append(make_like(t))
    return made, structure


def _param(t: Tensor) -> Param:
    return Param(t.tensor, t._weak)


# Branches.


def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """`true_fun(*operands)` where `pred` is true, else `false_fun(*operands)`; one of them runs.

    Args:
        pred: A bool scalar.
        true_fun: Of the operands; it may close over tensors and variables, and assign variables.
        false_fun: The same. Both return trees of one structure, of tensors of the same types.
        *operands: Trees of tensors.

    Returns:
        What the function returned.

    Raises:
        DTypeError, ShapeError: for a `pred` that is no bool scalar, and for results whose types
            differ; the message names the leaf.

    Example:
        >>> cond(dlc.asarray(True), lambda x: x + 1, lambda x: x * 2, 5.0)
        Tensor(6., dtype=float32)
    """
    for name, function in (("true_fun", true_fun), ("false_fun", false_fun)):
        _check_callable(function, f"{name} of cond")
    held = _predicate(pred, "the predicate of cond")
    names = ["false_fun", "true_fun"]
    return _branches("cond", convert(held, int64), [false_fun, true_fun], names, operands)


def _predicate(pred: Any, what: str) -> Tensor:
    held = as_tensor(pred)
    if held.tensor.dtype is not bool_:
        raise DTypeError(f"{what} is {held.tensor}, but a bool is needed", hint="compare: x != 0")
    if held.tensor.shape:
        raise ShapeError(
            f"{what} is {held.tensor}, but a scalar is needed",
            hint="reduce it with dlc.any or dlc.all, or choose elements with dlc.where",
        )
    return held


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`branches[index](*operands)`; one of them runs.

    Args:
        index: An integer scalar; one out of range is that of the nearest branch.
        branches: Functions of the operands, which return trees of one structure, of tensors of the
            same types.
        *operands: Trees of tensors.

    Raises:
        ArgumentError: without branches. DTypeError, ShapeError: for an index that is no integer
            scalar, and for results whose types differ.

    Example:
        >>> switch(1, [lambda x: x, lambda x: -x], 3.0)
        Tensor(-3., dtype=float32)
    """
    functions_ = list(branches)
    if not functions_:
        raise ArgumentError("switch without branches")
    for k, f in enumerate(functions_):
        _check_callable(f, f"branch {k} of switch")
    held = as_tensor(index)
    if not held.tensor.dtype.is_integer:
        raise DTypeError(f"the index of switch is {held.tensor}, but an integer is needed")
    if held.tensor.shape:
        raise ShapeError(f"the index of switch is {held.tensor}, but a scalar is needed")
    if held.tensor.dtype.kind == "u" and held.tensor.dtype.bits == 64:  # else it would be negative
        held = functions.minimum(held, len(functions_))
    names = [f"branch {k}" for k in range(len(functions_))]
    return _branches("switch", convert(held, int64), functions_, names, operands)


def _branches(
    what: str,
    index: Tensor,
    branches: Sequence[Callable[..., Any]],
    names: Sequence[str],
    operands: Sequence[Any],
) -> Any:
    given, structure = _tensors(tuple(operands), f"{what}: operand ")
    params = [_param(t) for t in given]

    def traced(f: Callable[..., Any], name: str, dtypes: Sequence[DType | None] = ()) -> Body:
        def call(tensors: list[Tensor]) -> Any:
            return user_function(f)(*tree.unflatten(structure, tensors))

        return trace_body(f"{name} of {what}", call, params, dtypes)

    made = [traced(f, n) for f, n in zip(branches, names, strict=True)]
    _check_structures(made, names, what)
    dtypes = _common_dtypes(made)
    for k, body in enumerate(made):
        kinds = zip(body.weak, dtypes, body.types, strict=True)
        if any(weak and d is not t.dtype for weak, d, t in kinds):
            made[k] = traced(branches[k], names[k], dtypes)
    _check_types(made, names, what)
    outside = Outside(made, what)
    count = made[0].closure.outputs
    bodies = [outside.function(b.closure, len(given), count) for b in made]
    operands = [*outside.values(outside.read), *given, *outside.values(outside.changed)]
    results = emit("switch", [index, *operands], {"branches": bodies})
    outside.settle(results[count:])
    return made[0].closure.value(results)


def _check_structures(made: Sequence[Body], names: Sequence[str], what: str) -> None:
    for body, name in zip(made, names, strict=True):
        if body.output != made[0].output:
            raise ShapeError(
                f"{what}: {name} returns {body.output!r}, {names[0]} {made[0].output!r}: the "
                "structures differ",
                hint="return the same lists, tuples and dicts from each",
            )


def _common_dtypes(made: Sequence[Body]) -> list[DType]:
    """For each result the element type that Python numbers take: that of another body."""
    found: list[DType] = []
    for k, first in enumerate(made[0].types):
        strong = [b.types[k].dtype for b in made if not b.weak[k]]
        fitting = [d for d in strong if _fits(made, k, d)]
        found.append(fitting[0] if fitting else first.dtype)
    return found


def _fits(made: Sequence[Body], k: int, dtype: DType) -> bool:
    """Whether a type can hold the Python numbers that bodies return as result `k`."""
    order = "biuf"
    kinds = [b.types[k].dtype.kind for b in made if b.weak[k]]
    return all(order.index(kind) <= order.index(dtype.kind) for kind in kinds)


def _check_types(made: Sequence[Body], names: Sequence[str], what: str) -> None:
    paths = made[0].output.paths()
    for body, name in zip(made, names, strict=True):
        for path, found, wanted in zip(paths, body.types, made[0].types, strict=True):
            _check_type(
                found,
                wanted,
                f"{what}: {name} returns {found}{_at(path)}, {names[0]} {wanted}",
            )


def _check_type(found: TensorType, wanted: TensorType, message: str) -> None:
    if found.dtype is not wanted.dtype:
        raise DTypeError(message, hint=f"convert with .astype(dlc.{wanted.dtype.name})")
    if not same_shape(found.shape, wanted.shape):
        raise ShapeError(message, hint="both must have one shape: broadcast or reshape one of them")


def _at(path: str) -> str:
    return f" at {path}" if path else ""


# Loops.


class _Carry:
    """What a loop hands from iteration to iteration.

    A Python number to begin with takes the element type that the body gives it.

    Args:
        what: The operation, for messages.
        init: A tree.
        place: Where in it the user's carry is, as messages name places.
    """

    def __init__(self, what: str, init: Any, place: str = "") -> None:
        self.what, self.place = what, place
        self.first, self.structure = _tensors(init, f"{what}: the initial value ")

    @property
    def params(self) -> list[Param]:
        """The parameters that bodies have for it."""
        return [_param(t) for t in self.first]

    def tree(self, leaves: Sequence[Any]) -> Any:
        """The carry of these leaves."""
        return tree.unflatten(self.structure, leaves)

    def traced(self, trace: Callable[[Sequence[DType | None]], Body]) -> Body:
        """A body that keeps the types of the carry; Python numbers get theirs from it.

        Args:
            trace: Traces the body; its results begin with the carry.
        """
        body = trace([None if t._weak else t.tensor.dtype for t in self.first])
        if any(t._weak for t in self.first):
            self._settle(body)
            body = trace([t.tensor.dtype for t in self.first])
        self._check(body)
        return body

    def _settle(self, body: Body) -> None:
        """Gives Python numbers the types that the body's results have in their place."""
        found = body.types[: len(self.first)]
        for k, (t, made) in enumerate(zip(self.first, found, strict=False)):
            if t._weak:
                own = weak_default(t)
                dtype = (
                    made.dtype if "biuf".index(own.kind) <= "biuf".index(made.dtype.kind) else own
                )
                self.first[k] = convert(t, dtype)

    def _check(self, body: Body) -> None:
        paths = self.structure.paths()
        for path, t, found in zip(paths, self.first, body.types, strict=False):
            _check_type(
                found,
                t.tensor,
                f"{self.what}: the carry{_at(path.removeprefix(self.place))} is {t.tensor} before "
                f"the body and {found} after",
            )


def _check_carried(what: str, value: Any, structure: Structure) -> None:
    """ShapeError unless what a body returned has the structure of the carry."""
    found = tree.structure(value)
    if found != structure:
        raise ShapeError(
            f"{what}: the body returns the carry {found!r}, but it began as {structure!r}: the "
            "structures differ",
            hint="return the carry as it was given, with new values",
        )


def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:
    """`body_fun` again and again, as long as `cond_fun` of what it returned is true.

    Args:
        cond_fun: Of the carry; returns a bool scalar.
        body_fun: Of the carry; returns one of the same structure and types. It may close over
            tensors and variables, and assign variables.
        init_val: The first carry, a tree.

    Returns:
        The first carry of which `cond_fun` is false.

    Raises:
        DTypeError, ShapeError: for a carry that changes its type, and for a condition that is no
            bool scalar; the message names the leaf.

    Example:
        >>> while_loop(lambda x: x < 100, lambda x: x * 2, 3)
        Tensor(192, dtype=int64)
    """
    _check_callable(cond_fun, "cond_fun of while_loop")
    _check_callable(body_fun, "body_fun of while_loop")
    return _while(cond_fun, body_fun, _Carry("while_loop", init_val))


def _while(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], carry: _Carry) -> Any:
    what = carry.what

    def call(tensors: list[Tensor]) -> Any:
        found = user_function(body_fun)(carry.tree(tensors))
        _check_carried(what, found, carry.structure)
        return found

    body = carry.traced(
        lambda dtypes: trace_body(f"the body of {what}", call, carry.params, dtypes)
    )

    def test(tensors: list[Tensor]) -> Any:
        return _predicate(user_function(cond_fun)(carry.tree(tensors)), f"the condition of {what}")

    condition = trace_body(f"the condition of {what}", test, carry.params)
    outside = Outside([condition, body], what)
    if condition.closure.has_state:
        raise ArgumentError(
            f"{what}: the condition assigns to a variable", hint="assign in the body"
        )
    n = len(carry.first)
    results = emit(
        "while",
        [*outside.values(outside.read), *carry.first, *outside.values(outside.changed)],
        {
            "cond": outside.function(condition.closure, n, None),
            "body": outside.function(body.closure, n, n),
            "consts": len(outside.read),
        },
    )
    outside.settle(results[n:])
    return carry.tree(results[:n])


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: Any = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:
    """`f` along the first axis of tensors, with a carry handed on, and what it leaves stacked.

    Args:
        f: Of the carry and the next of `xs`; returns the new carry, of the same structure and
            types, and anything else.
        init: The first carry, a tree.
        xs: A tree of tensors whose first extents are equal; None with a `length`.
        length: The number of iterations, where `xs` does not say it.
        reverse: Whether to begin at the end. What is stacked is in the order of `xs` either way.
        unroll: How many iterations become one, in which they share kernels; more code is compiled
            for fewer steps. Without effect where the number of iterations is not known when the
            function is traced.

    Returns:
        `(carry, ys)`: the last carry, and what `f` returned besides, each leaf with a first axis of
        the iterations.

    Raises:
        ShapeError: for extents that differ or are not known; with DTypeError, for a carry that
            changes its type.

    Example:
        >>> scan(lambda total, x: (total + x, total), 0.0, dlc.asarray([1.0, 2.0, 3.0]))
        (Tensor(6., dtype=float32), Tensor([0., 1., 3.], dtype=float32))
    """
    _check_callable(f, "f of scan")
    unroll = at_least(unroll, 1, "scan: unroll")
    return _unrolled(f, _Carry("scan", init), xs, length, unroll, reverse=bool(reverse))


def _unrolled(
    f: Callable[[Any, Any], tuple[Any, Any]], carry: _Carry, xs: Any, length: Any, unroll: int,
    *, reverse: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """A scan by so many iterations at a time, and then by those that are left."""
    if unroll == 1:
        return _scan(f, carry, xs, length, reverse=reverse)
    given, structure = _tensors(xs, "scan: xs ")
    extent = _length("scan", given, structure, length)
    if not isinstance(extent, int) or extent == 0:
        return _scan(f, carry, xs, extent, reverse=reverse)
    size = min(unroll, extent)
    rounds, rest = divmod(extent, size)
    start = rest if reverse else 0
    stop = start + extent - rest

    def several(held: Any, rows: list[Tensor]) -> tuple[Any, Any]:
        found: dict[int, Any] = {}
        for k in reversed(range(size)) if reverse else range(size):
            row = tree.unflatten(structure, [r[k] for r in rows])
            held, found[k] = _checked_pair(carry.what, user_function(f)(held, row), carry.structure)
        return held, tree.map(lambda *ys: functions.stack(ys), *(found[k] for k in range(size)))

    def joined(y: Tensor) -> Tensor:
        return functions.reshape(y, (extent - rest, *y.shape[2:]))

    cut = [functions.reshape(t[start:stop], (rounds, size, *t.shape[1:])) for t in given]
    last, ys = _scan(several, carry, cut, rounds, reverse=reverse)
    ys = tree.map(joined, ys)
    if rest == 0:
        return last, ys
    left = [t[:start] if reverse else t[stop:] for t in given]
    after = _Carry(carry.what, last, carry.place)
    last, more = _scan(f, after, tree.unflatten(structure, left), rest, reverse=reverse)
    parts = (more, ys) if reverse else (ys, more)
    return last, tree.map(lambda *both: functions.concat(both), *parts)


def _checked_pair(what: str, pair: Any, structure: Structure) -> tuple[Any, Any]:
    """What a body of `scan` returned, if it is a pair whose first part has this structure."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ArgumentError(
            f"{what}: f returned a {type(pair).__name__}, but a pair (carry, y) is needed",
            hint="return carry, None where nothing is to be stacked",
        )
    _check_carried(what, pair[0], structure)
    return pair


def _scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    carry: _Carry,
    xs: Any,
    length: Any = None,
    *,
    reverse: bool = False,
) -> tuple[Any, Any]:
    what = carry.what
    given, structure = _tensors(xs, f"{what}: xs ")
    extent = _length(what, given, structure, length)
    rows = [Param(t.tensor.with_shape(t.tensor.shape[1:])) for t in given]
    n = len(carry.first)
    ys: list[Structure] = []

    def call(tensors: list[Tensor]) -> Any:
        row = tree.unflatten(structure, tensors[n:])
        pair = _checked_pair(what, user_function(f)(carry.tree(tensors[:n]), row), carry.structure)
        ys[:] = [tree.structure(pair[1])]
        return pair

    body = carry.traced(
        lambda dtypes: trace_body(f"f of {what}", call, [*carry.params, *rows], dtypes)
    )
    outside = Outside([body], what)
    changed = outside.values(outside.changed)
    results = emit(
        "scan",
        [*outside.values(outside.read), *carry.first, *changed, *given],
        {
            "body": outside.function(body.closure, n, n),
            "length": extent,
            "consts": len(outside.read),
            "carries": n + len(changed),
            "reverse": reverse,
        },
    )
    kept = n + len(changed)
    outside.settle(results[n:kept])
    return carry.tree(results[:n]), tree.unflatten(ys[0], results[kept:])


def _length(what: str, xs: Sequence[Tensor], structure: Structure, length: Any) -> Dim:
    """The number of iterations of a scan."""
    known: Dim | None = None if length is None else as_dim(length, f"length of {what}")
    if isinstance(known, int) and known < 0:
        raise ValueRangeError(f"{what} with length={known}")
    source = "length"
    for t, path in zip(xs, structure.paths(), strict=True):
        if not t.tensor.shape:
            raise ShapeError(
                f"{what}: xs{path} is {t.tensor}, which has no axis to go along",
                hint="close over what is the same in each iteration",
            )
        extent = t.tensor.shape[0]
        if known is None:
            known, source = extent, f"xs{path}"
        elif not dims_equal(known, extent):
            raise ShapeError(
                f"{what}: xs{path} is {t.tensor}, but {source} says {known} iterations"
            )
    if known is None:
        raise ArgumentError(f"{what} without xs needs a length")
    return known


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int = 1,
) -> Any:
    """`body_fun(i, carry)` for each integer from `lower` up to `upper`, which is not included.

    Args:
        lower: The first value of `i`: an integer, or an integer scalar tensor.
        upper: Where it ends.
        body_fun: Of `i` and the carry; returns a carry of the same structure and types.
        init_val: The first carry, a tree.
        unroll: As of `dlc.scan`; for bounds that are known while tracing.

    Returns:
        The last carry; `init_val` when there is no iteration.

    Raises:
        DTypeError, ShapeError: for a carry that changes its type, and bounds that are no integer
            scalars.

    Example:
        >>> fori_loop(1, 5, lambda i, product: product * i, 1)
        Tensor(24, dtype=int64)
    """
    _check_callable(body_fun, "body_fun of fori_loop")
    unroll = at_least(unroll, 1, "fori_loop: unroll")
    structure = tree.structure(init_val)

    def body(i: Tensor, held: Any) -> Any:
        found = user_function(body_fun)(i, held)
        _check_carried("fori_loop", found, structure)
        return found

    low, high = (_bound(b, name) for b, name in ((lower, "lower"), (upper, "upper")))
    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        length = maximum(0, add(high, mul(-1, low)))
        start = convert(dim_tensor(low), int64)

        def step(carry: Any, _: Any) -> tuple[Any, None]:
            i, held = carry
            return (i + 1, body(_as_number(i), held)), None

        carry = _Carry("fori_loop", (start, init_val), "[1]")
        return _unrolled(step, carry, None, length, unroll)[0][1]
    first, last = promote(*(b if isinstance(b, Tensor) else dim_tensor(b) for b in (low, high)))

    def advance(carry: Any) -> Any:
        i, held = carry
        return i + 1, body(i, held)

    carried = _Carry("fori_loop", (first, init_val), "[1]")
    return _while(lambda carry: carry[0] < last, advance, carried)[1]


def _bound(value: Any, name: str) -> Dim | Tensor:
    """A bound of `fori_loop`: a dim where it is known while tracing."""
    if isinstance(value, (DimExpr, int, np.integer)) and not isinstance(value, bool):
        return plain(value)
    held = as_tensor(value)
    if not held.tensor.dtype.is_integer or held.tensor.shape:
        raise DTypeError(f"{name} of fori_loop is {held.tensor}, but an integer scalar is needed")
    return held


def _as_number(t: Tensor) -> Tensor:
    """`t` with the promotion of a Python number."""
    return make(t._data, t._node, t._trace, True)


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """`f` of each element along the first axis of tensors, one after the other, stacked.

    Args:
        f: Of one element of `xs`; returns a tree of tensors.
        xs: A tree of tensors whose first extents are equal.

    Raises:
        ShapeError: for extents that differ.

    Example:
        >>> map(lambda x: x * x, dlc.asarray([1.0, 2.0, 3.0]))
        Tensor([1., 4., 9.], dtype=float32)
    """
    _check_callable(f, "f of map")
    return _scan(lambda carry, x: (carry, user_function(f)(x)), _Carry("map", None), xs)[1]
