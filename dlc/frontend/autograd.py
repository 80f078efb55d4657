"""`dlc.autograd`: gradients within a loss, and functions with derivatives of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.frontend import tree
from dlc.frontend.closure import Param, trace_closure
from dlc.frontend.conversion import user_function
from dlc.frontend.node_functions import (
    check_stateless,
    emit_vjp,
    float_leaves,
    float_params,
    is_data,
    result_types,
    with_tensors,
    with_zeros,
)
from dlc.frontend.tapes import grad
from dlc.frontend.tensor import Tensor
from dlc.frontend.traced import fresh, leaf_tensor
from dlc.ir.errors import ArgumentError, DerivativeError, ShapeError

__all__ = ["Context", "Function", "grad"]


class Context:
    """What `forward` hands to `backward`: saved tensors, and any attributes.

    needs_input_grad: for each argument, whether it is a float tensor.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors (or None) for `backward`, which reads them from `saved_tensors`."""
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was saved."""
        return self._saved


class Function:
    """A function with a backward pass of its own, to subclass as in PyTorch.

    `forward(ctx, *args)` computes tensors of its arguments; `backward(ctx, *cotangents)` gets one
    for each of them and returns one for each argument of `forward` (None for zeros, and for what is
    no tensor). Both are static methods; `apply` calls the function. They are traced, like functions
    given to `dlc.compile`, so they work eagerly, in compiled functions and under all transforms.
    `backward` is differentiated when second derivatives are asked for.

    Example:
        >>> class Cube(Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x * x
        ...     @staticmethod
        ...     def backward(ctx, ct):
        ...         (x,) = ctx.saved_tensors
        ...         return 3 * x * x * ct
        >>> dlc.grad(Cube.apply)(2.0)
        Tensor(12., dtype=float32)
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """The value: a tensor, or a tuple of tensors."""
        raise NotImplementedError("a dlc.autograd.Function needs a static method forward")

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """The cotangents of the arguments: a tensor, or a tuple of one for each."""
        raise NotImplementedError("a dlc.autograd.Function needs a static method backward")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """The value of `forward`, which is differentiated by `backward`.

        Raises:
            ShapeError: for another number of cotangents than arguments, or other shapes.
            ArgumentError: for a function that assigns to variables.
        """
        held = [fresh(a) for a in args]
        places = [k for k, a in enumerate(held) if _is_tensor(a)]
        leaves = [leaf_tensor(held[k], f"{cls.__name__}.apply: an argument") for k in places]
        floats = {k for k, t in zip(places, leaves, strict=True) if t.dtype.is_float}
        needs = tuple(k in floats for k in range(len(args)))
        contexts: list[Context] = []

        def run(tensors: list[Tensor]) -> Any:
            ctx = Context(needs)
            contexts.append(ctx)
            return user_function(cls.forward)(ctx, *with_tensors(held, places, tensors))

        def run_keeping(tensors: list[Tensor]) -> Any:
            value = run(tensors)
            found = tree.leaves(vars(contexts[-1]))
            return value, [x for x in found if isinstance(x, Tensor)]

        def run_back(tensors: list[Tensor]) -> Any:
            count = len(kept)
            ctx = _restored(contexts[-1], tensors[:count])
            cts = tree.unflatten(primal.output, with_zeros(types, tensors[count:]))
            returned = user_function(cls.backward)(
                ctx, *(cts if isinstance(cts, (tuple, list)) else (cts,))
            )
            return cls._cotangents(returned, held, places, leaves)

        params = [Param(t.tensor) for t in leaves]
        what = f"{cls.__name__}.forward"
        primal = trace_closure(cls.__name__, run, params, what)
        forward = trace_closure(what, run_keeping, params, what)
        types = result_types(primal)
        if types != result_types(forward)[: len(types)]:
            raise DerivativeError(f"{what} gave other results when it was traced again")
        kept = result_types(forward)[len(types) :]
        back_params = [*map(Param, kept), *float_params(types)]
        back = f"{cls.__name__}.backward"
        backward = trace_closure(back, run_back, back_params, back)
        for closure, name in ((primal, what), (backward, back)):
            check_stateless(closure, name)
        return primal.value(emit_vjp(leaves, primal, forward, backward))

    @classmethod
    def _cotangents(
        cls, returned: Any, args: list[Any], places: list[int], leaves: list[Tensor]
    ) -> list[Tensor]:
        found = list(returned) if isinstance(returned, (tuple, list)) else [returned]
        name = f"{cls.__name__}.backward"
        if len(found) != len(args):
            raise ShapeError(
                f"{name} returned {len(found)} cotangents for {len(args)} arguments of forward",
                hint="return one for each argument, None for those that have none",
            )
        made: list[Tensor] = []
        for k, t in zip(places, leaves, strict=True):
            what = f"cotangent {k} of {name}"
            made += float_leaves(found[k], tree.structure(0), [t.tensor], what)
        for k, given in enumerate(found):
            if given is not None and k not in places:
                raise ArgumentError(f"{name} returned a cotangent of argument {k}, no tensor")
        return made


def _is_tensor(x: Any) -> bool:
    """Whether an argument is data: all but integers, which are often axes and sizes."""
    return isinstance(x, (Tensor, float)) or is_data(x)


def _restored(ctx: Context, tensors: Sequence[Tensor]) -> Context:
    """A context with other tensors in the places of those that were kept."""
    found, structure = tree.flatten(vars(ctx))
    rest = iter(tensors)
    made = Context(ctx.needs_input_grad)
    held = [next(rest) if isinstance(x, Tensor) else x for x in found]
    vars(made).update(tree.unflatten(structure, held))
    return made
