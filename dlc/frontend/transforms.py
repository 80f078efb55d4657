"""`grad`, `value_and_grad`, `vjp`, `jvp`, `hvp`, `stop_gradient` and `no_grad`.

A transform traces its function (inside the present trace, if there is one), differentiates the
traced function, and inlines the result or runs it compiled. So transforms nest in any order, with
each other and with `compile`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dlc.frontend import tree
from dlc.frontend.apply import apply, as_tensor, materialise
from dlc.frontend.closure import apply_function
from dlc.frontend.context import current_trace
from dlc.frontend.conversion import user_function
from dlc.frontend.recording import recording
from dlc.frontend.tensor import Tensor, make, make_like
from dlc.frontend.traced import Traced, check_callable, fresh, positions_of
from dlc.ir.deferred import deferred
from dlc.ir.errors import ArgumentError, DerivativeError, ShapeError
from dlc.ir.ops.families import same_shape

if TYPE_CHECKING:
    from dlc.passes import autodiff
else:
    autodiff = deferred("dlc.passes.autodiff")


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives the value of `function` and its gradient.

    Args:
        function: Of any arguments; it returns a float scalar, or with `has_aux` a pair of that and
            anything.
        argnums: The arguments to differentiate with respect to, trees of floats; one position gives
            one gradient, several give a tuple.
        has_aux: Whether the function returns a pair.

    Returns:
        A function of the same arguments that returns `(value, gradient)`, or `((value, aux),
        gradient)`. A gradient has the structure of its argument; it is zero where the value does
        not depend on it.

    Raises:
        DerivativeError: (from the call) for a result that is no scalar float.
        DTypeError: for arguments that are no floats.

    Example:
        >>> value_and_grad(lambda x: (x * x).sum())(dlc.asarray([1.0, 2.0]))
        (Tensor(5., dtype=float32), Tensor([2., 4.], dtype=float32))
    """
    check_callable(function, "grad")

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(argnums, args, "grad")
        held = [tree.map(fresh, a) for a in args]

        def rebuild(trees: list[Any]) -> Any:
            for k, value in zip(positions, trees, strict=True):
                held[k] = value
            return user_function(function)(*held, **kwargs)

        traced = Traced(function, [args[k] for k in positions], rebuild, "grad")
        traced.check_floats()
        _check_loss(traced, has_aux)
        count = len(traced.leaves)
        derived = autodiff.vjp_function(traced.closure.function, range(count), [0])
        loss = traced.closure.function.results[0].tensor
        seed = apply("full", value=1.0, shape=(), dtype=loss.dtype)
        results = apply_function(derived, [*traced.inputs(), seed])
        found = traced.unflatten(traced.closure.settle(results))
        gradient = found[0] if isinstance(argnums, int) else tuple(found)
        return traced.closure.value(results), gradient

    return wrapped


def _check_loss(traced: Traced, has_aux: bool) -> None:
    output, name = traced.closure.output, traced.name
    if has_aux:
        traced.check_pair()
    loss = output.children[0] if has_aux else output
    if loss.kind is not tree.Leaf:
        raise DerivativeError(
            f"grad of {name}(), which returned {loss!r}: it must return one scalar",
            hint="return (value, other) and give has_aux=True",
        )
    type_ = traced.closure.function.results[0].tensor
    if type_.shape or not type_.dtype.is_float:
        raise DerivativeError(
            f"grad of {name}(), which returned {type_}: only float scalars have gradients",
            hint="reduce it first, for example with .sum() or .mean(); or use dlc.vjp",
        )


def grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives the gradient of `function`; see `value_and_grad`.

    Returns:
        A function of the same arguments that returns the gradient, or with `has_aux` `(gradient,
        aux)`.

    Example:
        >>> grad(lambda x: x**3)(2.0)
        Tensor(12., dtype=float32)
    """
    both = value_and_grad(function, argnums, has_aux)

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `function` at `primals`, and a function that sends cotangents back.

    Args:
        function: Of as many arguments as there are primals.
        *primals: Trees of tensors; those of integers get zeros.
        has_aux: Whether the function returns a pair, of which only the first is differentiated.

    Returns:
        `(value, pull_back)`, with `has_aux` `(value, pull_back, aux)`. `pull_back` takes a tree
        like the value and returns a tuple with a tree for each primal.

    Example:
        >>> value, pull_back = vjp(lambda x: x * x, dlc.asarray([1.0, 2.0]))
        >>> pull_back(dlc.asarray([1.0, 0.5]))
        (Tensor([2., 2.], dtype=float32),)
    """
    check_callable(function, "vjp")
    traced = Traced(function, primals, lambda trees: user_function(function)(*trees), "vjp")
    closure, inputs = traced.closure, traced.inputs()
    outputs = apply_function(closure.function, inputs)
    closure.settle(outputs)
    structure, value = closure.output, closure.value(outputs)
    aux = None
    if has_aux:
        traced.check_pair()
        structure, (value, aux) = structure.children[0], value
    floats = [k for k in range(structure.num_leaves) if outputs[k].dtype.is_float]
    derived = autodiff.vjp_function(closure.function, range(len(traced.leaves)), floats)

    def pull_back(cotangents: Any) -> tuple[Any, ...]:
        found, given = tree.flatten(cotangents)
        if given != structure:
            raise ShapeError(
                f"cotangents {given!r} for a value {structure!r}: the structures differ"
            )
        matched = [like_value(found[k], outputs[k], "the cotangent") for k in floats]
        results = apply_function(derived, [*inputs, *matched])
        return tuple(traced.unflatten(results[len(closure.function.results) :]))

    return (value, pull_back, aux) if has_aux else (value, pull_back)


def like_value(x: Any, like: Tensor, what: str) -> Tensor:
    """A given tangent or cotangent, as a tensor of the type it must have."""
    t = as_tensor(x)
    held = like.tensor
    if t._weak or not t.ndim:
        t = (
            make_like(t)
            if t.tensor.dtype is held.dtype
            else apply("convert", materialise(t), dtype=held.dtype)
        )
    if t.tensor.dtype is not held.dtype or not same_shape(t.tensor.shape, held.shape):
        raise ShapeError(f"{what} is {t.tensor}, but the value is {held}")
    return t


def jvp(
    function: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
) -> Any:
    """The value of `function` and its directional derivative.

    Args:
        function: Of as many arguments as there are primals.
        primals: The arguments, trees of tensors.
        tangents: The direction: trees like the primals. Those of integers are not looked at.
        has_aux: Whether the function returns a pair, of which only the first is differentiated.

    Returns:
        `(value, tangent)`, with `has_aux` `(value, tangent, aux)`; the tangent of an integer is
        zero.

    Example:
        >>> jvp(lambda x: x * x, (3.0,), (1.0,))
        (Tensor(9., dtype=float32), Tensor(6., dtype=float32))
    """
    check_callable(function, "jvp")
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise ArgumentError(
                f"jvp: the {name} are a {type(given).__name__}",
                hint="give a tuple with one item for each argument: jvp(f, (x,), (t,))",
            )
    if len(primals) != len(tangents):
        raise ArgumentError(f"jvp: {len(primals)} primals and {len(tangents)} tangents")
    traced = Traced(function, primals, lambda trees: user_function(function)(*trees), "jvp")
    flat: list[Any] = []
    for k, (s, t) in enumerate(zip(traced.structures, tangents, strict=True)):
        found, given = tree.flatten(t)
        if given != s:
            raise ShapeError(
                f"jvp: tangent {k} is {given!r}, but the primal {s!r}: the structures differ"
            )
        flat += found
    wrt = [k for k, t in enumerate(traced.leaves) if t.dtype.is_float]
    directions = [like_value(flat[k], traced.leaves[k], "the tangent") for k in wrt]
    derived = autodiff.jvp_function(traced.closure.function, wrt)
    closure = traced.closure
    results = apply_function(derived, [*traced.inputs(), *directions])
    slopes = iter(closure.settle(results))
    types = [r.tensor for r in closure.function.results[: closure.outputs]]
    found = [
        next(slopes) if t.dtype.is_float else apply("full", value=0, shape=t.shape, dtype=t.dtype)
        for t in types
    ]
    value, tangent = closure.value(results), tree.unflatten(closure.output, found)
    if has_aux:
        traced.check_pair()
        return value[0], tangent[0], value[1]
    return value, tangent


def hvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of the second derivatives of `function` with a direction, forward over reverse.

    It takes about as long as two gradients, and never holds the matrix of `hessian`.

    Args:
        function: Of as many arguments as there are primals; it returns a float scalar.
        primals: The arguments, trees of floats.
        tangents: The direction: trees like the primals.

    Returns:
        A tree like the argument; a tuple of them for several.

    Raises:
        ArgumentError: The primals or tangents are no tuples, or not as many.
        DerivativeError: The function returns something else.
        DTypeError: An argument is no float.
        ShapeError: A tangent is not like its primal.

    Example:
        >>> hvp(lambda x: (x**3).sum(), (dlc.asarray([1.0, 2.0]),), (dlc.asarray([1.0, 0.5]),))
        Tensor([6., 6.], dtype=float32)
    """
    check_callable(function, "hvp")
    if not isinstance(primals, (tuple, list)) or not primals:
        given = f"a {type(primals).__name__}" if primals != () else "none"
        raise ArgumentError(
            f"hvp: the primals are {given}",
            hint="give a tuple with one item for each argument: hvp(f, (x,), (t,))",
        )
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(function, argnums), primals, tangents)[1]


def stop_gradient(x: Any) -> Any:
    """`x`, held constant by differentiation; of a tree, each leaf.

    Example:
        >>> grad(lambda x: x * stop_gradient(x))(3.0)
        Tensor(3., dtype=float32)
    """
    return tree.map(_stopped, x)


def _stopped(x: Any) -> Tensor:
    t = as_tensor(x)
    if current_trace() is not None:
        return apply("stop_gradient", t)
    return make(t._held("stop_gradient", ""), weak=t._weak)


class _NoGrad(contextlib.ContextDecorator):
    """What `no_grad` gives: a context manager and a decorator."""

    def __init__(self) -> None:
        self._entered: list[contextlib.AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        inside = recording(enabled=False)
        inside.__enter__()
        self._entered.append(inside)

    def __exit__(self, *error: object) -> None:
        self._entered.pop().__exit__(None, None, None)

    def _recreate_cm(self) -> _NoGrad:
        return _NoGrad()


def no_grad() -> _NoGrad:
    """Switches gradients off inside a `with`, or in a function decorated with it.

    What is computed there is constant for `backward`, tapes and the gradient transforms.

    Example:
        >>> x = dlc.Variable(2.0, requires_grad=True)
        >>> with no_grad():
        ...     y = x * 3
        >>> (x * y).backward()
        >>> x.grad
        Tensor(6., dtype=float32)
    """
    return _NoGrad()
