"""`custom_vjp` and `custom_jvp`: functions that are differentiated in another way.

What users give is traced when the function is called, and carried by a node of the IR (rows of
`dlc.ir.ops.custom`) until it is differentiated or compiled.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from dlc.frontend import tree
from dlc.frontend.apply import apply
from dlc.frontend.closure import Closure, Param, apply_function, trace_closure
from dlc.frontend.context import current_trace
from dlc.frontend.conversion import user_function
from dlc.frontend.node_functions import (
    Arguments,
    Parts,
    check_stateless,
    emit_vjp,
    float_leaves,
    float_params,
    positional,
    result_types,
    with_zeros,
)
from dlc.frontend.recording import is_recorded
from dlc.frontend.tensor import Tensor
from dlc.frontend.traced import check_callable, name_of
from dlc.ir.errors import DerivativeError, ShapeError

# Of how many orders are the derivatives of a function that calls itself in its derivative rule,
# which is traced once for each.
MAX_ORDER = 4


class _Derivable:
    """A function with a derivative rule of its own, which it may call itself."""

    def __init__(
        self, function: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()
    ) -> None:
        check_callable(function, type(self).__name__)
        functools.update_wrapper(self, function)  # type: ignore[arg-type]
        self._function = function
        self._static = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else nondiff_argnums
        self._depth: ContextVar[int] = ContextVar("dlc.custom_depth", default=0)

    @property
    def _missing(self) -> str | None:
        """The method that is to be called before there is a derivative, as it is called."""
        raise NotImplementedError

    def _recorded(self, arguments: Arguments, primal: Closure) -> list[Tensor]:
        """The results of a node that carries the derivative."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The value, recorded with its derivative."""
        if (missing := self._missing) is not None:
            raise DerivativeError(
                f"{name_of(self._function)} has no derivative rule",
                hint=f"call its {missing} first",
            )
        arguments = self._arguments(args, kwargs)
        if self._depth.get() >= MAX_ORDER:
            return self._without_rule(arguments)
        primal = self._primal(arguments)
        results = _underived(arguments, primal)
        return primal.value(self._recorded(arguments, primal) if results is None else results)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    @contextlib.contextmanager
    def _deeper(self) -> Generator[None]:
        """Within the derivative rule."""
        token = self._depth.set(self._depth.get() + 1)
        try:
            yield
        finally:
            self._depth.reset(token)

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        given = positional(self._function, args, kwargs)
        static = [k % len(given) for k in self._static if -len(given) <= k < len(given)]
        return Arguments(given, static, name_of(self._function))

    def _primal(self, arguments: Arguments) -> Closure:
        name = name_of(self._function)

        def call(leaves: list[Tensor]) -> Any:
            return user_function(self._function)(*arguments.with_leaves(leaves))

        closure = trace_closure(name, call, arguments.params, f"{name}()")
        check_stateless(closure, f"{name}()")
        return closure

    def _without_rule(self, arguments: Arguments) -> Any:
        """What the function gives, and an error for whoever differentiates it."""
        reason = (
            f"{name_of(self._function)} calls itself in its own derivative rule, and this is "
            f"derivative {MAX_ORDER + 1} of it"
        )
        leaves = [apply("no_derivative", t, reason=reason) for t in arguments.leaves]
        return user_function(self._function)(*arguments.with_leaves(leaves))


def _underived(arguments: Arguments, primal: Closure) -> list[Tensor] | None:
    """What a function results in where nobody can differentiate it, so that no rule is traced."""
    if current_trace() is not None:
        return None
    operands = [*arguments.leaves, *primal.state()]
    return None if is_recorded(operands) else apply_function(primal.function, operands)


class custom_vjp(_Derivable):  # noqa: N801
    """A function whose derivative in reverse mode is given; also a decorator.

    `defvjp(forward, backward)` gives it: `forward` takes the arguments and returns `(value, kept)`,
    any tree of tensors to keep; `backward(kept, cotangent)` takes that and a tree like the value,
    and returns a tuple with a tree like each argument (None for zeros). With `nondiff_argnums` it
    gets those arguments first. It must be linear in the cotangent: forward mode transposes it.

    Args:
        function: Of trees of tensors; it must not assign to variables.
        nondiff_argnums: Positions of arguments that are used as they are, such as functions.

    Raises:
        DerivativeError: (from the call) before `defvjp`; (from a call that is traced or recorded)
            for a value that `forward` returns in another structure or type, for derivatives with
            respect to tensors that the functions read from outside.
        ShapeError: for cotangents of other structures or shapes than the arguments.

    Example:
        >>> @dlc.custom_vjp
        ... def clipped(x):
        ...     return x
        >>> clipped.defvjp(lambda x: (x, None), lambda kept, ct: (dlc.clip(ct, -1.0, 1.0),))
        >>> dlc.grad(lambda x: clipped(x) * 5)(2.0)
        Tensor(1., dtype=float32)
    """

    _forward: Callable[..., Any] | None = None
    _backward: Callable[..., Any] | None = None

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Sets the functions that reverse mode uses."""
        check_callable(forward, "defvjp")
        check_callable(backward, "defvjp")
        self._forward, self._backward = forward, backward

    @property
    def _missing(self) -> str | None:
        return "defvjp(forward, backward)" if self._forward is None else None

    def _recorded(self, arguments: Arguments, primal: Closure) -> list[Tensor]:
        with self._deeper():
            forward = self._traced_forward(arguments, primal)
            backward = self._traced_backward(arguments, forward, primal)
        return emit_vjp(arguments.leaves, primal, forward, backward)

    def _traced_forward(self, arguments: Arguments, primal: Closure) -> Closure:
        name = f"the forward function of {name_of(self._function)}"
        assert self._forward is not None
        rule = self._forward

        def call(leaves: list[Tensor]) -> Any:
            returned = user_function(rule)(*arguments.with_leaves(leaves))
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise DerivativeError(f"{name} must return a pair (value, kept)")
            return returned

        closure = trace_closure(name_of(rule), call, arguments.params, name)
        check_stateless(closure, name)
        value = closure.output.children[0]
        types = result_types(closure)[: value.num_leaves]
        if value != primal.output or types != result_types(primal):
            raise DerivativeError(
                f"{name} returned the value {value!r} of {', '.join(map(str, types))}, the "
                f"function {primal.output!r} of {', '.join(map(str, result_types(primal)))}",
            )
        return closure

    def _traced_backward(self, arguments: Arguments, forward: Closure, primal: Closure) -> Closure:
        name = f"the backward function of {name_of(self._function)}"
        assert self._backward is not None
        rule = self._backward
        kept = result_types(forward)[primal.outputs :]

        def call(tensors: list[Tensor]) -> Any:
            held = tree.unflatten(forward.output.children[1], tensors[: len(kept)])
            floats = with_zeros(result_types(primal), tensors[len(kept) :])
            returned = user_function(rule)(
                *arguments.static, held, tree.unflatten(primal.output, floats)
            )
            return list(_cotangents(returned, arguments, name))

        params = [*map(Param, kept), *float_params(result_types(primal))]
        closure = trace_closure(name_of(rule), call, params, name)
        check_stateless(closure, name)
        return closure


def _cotangents(returned: Any, arguments: Arguments, name: str) -> Iterator[Tensor]:
    """The cotangents of the float leaves of the arguments."""
    count = len(arguments.structures)
    if not isinstance(returned, (tuple, list)) or len(returned) != count:
        shown = len(returned) if isinstance(returned, (tuple, list)) else type(returned).__name__
        raise ShapeError(
            f"{name} returned {shown}, but must return a tuple of {count} cotangents, one for each "
            "argument"
        )
    at = 0
    for k, (given, s) in enumerate(zip(returned, arguments.structures, strict=True)):
        types = [t.tensor for t in arguments.leaves[at : at + s.num_leaves]]
        at += s.num_leaves
        yield from float_leaves(given, s, types, f"cotangent {k} of {name}")


class custom_jvp(_Derivable):  # noqa: N801
    """A function whose derivative in forward mode is given; also a decorator.

    `defjvp(rule)` gives it: `rule(primals, tangents)` takes a tuple of the arguments and one of
    trees like them, and returns `(value, tangent)`. It must be linear in the tangents: reverse mode
    transposes it. With `nondiff_argnums` it gets those arguments first.

    Args:
        function: Of trees of tensors; it must not assign to variables.
        nondiff_argnums: Positions of arguments that are used as they are, such as functions.

    Raises:
        DerivativeError: (from the call) before `defjvp`; for derivatives with respect to tensors
            that the functions read from outside.
        ShapeError: for a tangent of another structure or shape than the value.

    Example:
        >>> @dlc.custom_jvp
        ... def root(x):
        ...     return dlc.sqrt(x)
        >>> @root.defjvp
        ... def tangent(x, t):
        ...     return root(x[0]), t[0] / (2 * root(x[0]))
        >>> dlc.grad(root)(4.0)
        Tensor(0.25, dtype=float32)
    """

    _rule: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Sets the rule, and returns it, so that it can decorate the rule."""
        check_callable(rule, "defjvp")
        self._rule = rule
        return rule

    @property
    def _missing(self) -> str | None:
        return "defjvp(rule)" if self._rule is None else None

    def _recorded(self, arguments: Arguments, primal: Closure) -> list[Tensor]:
        with self._deeper():
            tangent = self._traced_rule(arguments, primal)
        parts = Parts(arguments.leaves, [primal, tangent])
        count = len(arguments.leaves)
        extra = tangent.function.params[count : tangent.arguments]
        return parts.emit(
            "custom_jvp",
            primal=parts.function(0),
            tangent=parts.function(1, extra),
            arguments=count,
        )

    def _traced_rule(self, arguments: Arguments, primal: Closure) -> Closure:
        name = f"the rule of {name_of(self._function)}"
        assert self._rule is not None
        rule = self._rule
        types = [t.tensor for t in arguments.leaves]

        def call(tensors: list[Tensor]) -> Any:
            leaves = tensors[: len(types)]
            slopes = with_zeros(types, tensors[len(types) :])
            given = tuple(arguments.trees(leaves)), tuple(arguments.trees(slopes))
            returned = user_function(rule)(*arguments.static, *given)
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise DerivativeError(f"{name} must return a pair (value, tangent)")
            return float_leaves(
                returned[1], primal.output, result_types(primal), f"the tangent of {name}"
            )

        params = [*arguments.params, *float_params(types)]
        closure = trace_closure(name_of(rule), call, params, name)
        check_stateless(closure, name)
        return closure
