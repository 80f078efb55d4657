"""Whole matrices of derivatives: `jacobian`, `jacfwd`, `jacrev`, `hessian`.

The function is traced once. Forward mode batches its jvp over a basis of the inputs, reverse mode
its vjp over a basis of the results; what does not depend on the basis is computed once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from dlc.frontend import tree
from dlc.frontend.apply import apply
from dlc.frontend.closure import apply_function
from dlc.frontend.conversion import user_function
from dlc.frontend.tensor import Tensor
from dlc.frontend.traced import Traced, check_callable, fresh, positions_of
from dlc.ir.deferred import deferred
from dlc.ir.dims import Dim, DimUnknown, at_least, proving
from dlc.ir.errors import DerivativeError, ValueRangeError
from dlc.ir.types import TensorType, int64

if TYPE_CHECKING:
    from dlc.passes import autodiff, batch
else:
    autodiff = deferred("dlc.passes.autodiff")
    batch = deferred("dlc.passes.batch")

Mode = Literal["forward", "reverse"]


def _basis(type_: TensorType) -> Tensor:
    """[n, *shape] for the n elements of a shape: element k is 1 in row k and 0 in the others."""
    n = type_.size
    rows, columns = (apply("iota", shape=(n, n), axis=k, dtype=int64) for k in (0, 1))
    eye = apply("convert", apply("eq", rows, columns), dtype=type_.dtype)
    return apply("reshape", eye, shape=(n, *type_.shape))


def _is_forward(mode: Mode | None, inputs: Dim, results: Dim) -> bool:
    """Whether the side with fewer elements is that of the inputs."""
    if mode is not None:
        return mode == "forward"
    try:
        with proving():
            return at_least(results, inputs + 1)
    except DimUnknown:
        return False


class _Jacobian:
    """The derivatives of each result with respect to each input."""

    def __init__(self, traced: Traced, has_aux: bool) -> None:
        traced.check_floats()
        if has_aux:
            traced.check_pair()
        self.traced = traced
        self.function = traced.closure.function
        self.inputs = traced.inputs()
        output = traced.closure.output
        self.structure = output.children[0] if has_aux else output
        self.results = [r.tensor for r in self.function.results[: self.structure.num_leaves]]
        for t, path in zip(self.results, self.structure.paths(), strict=True):
            if not t.dtype.is_float:
                raise DerivativeError(
                    f"{traced.what} of {traced.name}(), whose result{' ' + path if path else ''} "
                    f"is {t}: only floats have derivatives",
                    hint="convert it, or return it as aux: (value, aux) with has_aux=True",
                )
        self.settled = False
        self.values: list[Tensor] = []

    def rows(self, mode: Mode | None) -> list[list[Tensor]]:
        """For each result, a tensor for each input."""
        leaves = [t.tensor for t in self.traced.leaves]
        inputs, results = (sum((t.size for t in x), 0) for x in (leaves, self.results))
        if _is_forward(mode, inputs, results):
            columns = [self._forward(k, t) for k, t in enumerate(leaves)]
            return [[column[k] for column in columns] for k in range(len(self.results))]
        return [self._reverse(k, t) for k, t in enumerate(self.results)]

    def _derived(self, derived: Any, seed: TensorType, wanted: Sequence[bool]) -> list[Tensor]:
        """The further results of a derived function for each element of the basis of `seed`."""
        flags = [False] * len(self.inputs) + [True]
        count = len(self.function.results)
        batched, _ = batch.batch_function(derived, flags, seed.size, [False] * count + [*wanted])
        results = apply_function(batched, [*self.inputs, _basis(seed)])
        if self.settled:
            return results[count:]
        self.settled, self.values = True, results[:count]
        return self.traced.closure.settle(results)

    def _forward(self, k: int, type_: TensorType) -> list[Tensor]:
        derived = autodiff.jvp_function(self.function, [k])
        extra = len(derived.results) - len(self.function.results)
        found = self._derived(derived, type_, [True] * extra)[: len(self.results)]
        return [self._behind(x, r, type_) for x, r in zip(found, self.results, strict=True)]

    def _behind(self, x: Tensor, result: TensorType, type_: TensorType) -> Tensor:
        """[n, *result] as [*result, *input]."""
        moved = apply("transpose", x, axes=(*range(1, result.rank + 1), 0))
        return apply("reshape", moved, shape=(*result.shape, *type_.shape))

    def _reverse(self, k: int, type_: TensorType) -> list[Tensor]:
        count = len(self.traced.leaves)
        derived = autodiff.vjp_function(self.function, range(count), [k])
        found = self._derived(derived, type_, [True] * count)
        return [
            apply("reshape", x, shape=(*type_.shape, *t.tensor.shape))
            for x, t in zip(found, self.traced.leaves, strict=True)
        ]


def jacobian(
    function: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    mode: Mode | None = None,
) -> Callable[..., Any]:
    """A function that gives the derivatives of all results with respect to all inputs.

    Args:
        function: Of any arguments; it returns a tree of floats, or with `has_aux` a pair of that
            and anything.
        argnums: The arguments to differentiate with respect to, trees of floats.
        has_aux: Whether the function returns a pair.
        mode: "forward" takes a pass for each element of the inputs, "reverse" one for each element
            of the results, all at once; the fewer when not given.

    Returns:
        A function of the same arguments. Its result has the structure of the function's; in the
        place of each leaf is a tree like the argument (a tuple of them for several `argnums`),
        whose leaves have the shape of the result's leaf followed by that of the argument's leaf.
        With `has_aux` it is a pair of that and the function's second result.

    Raises:
        DerivativeError: (from the call) for a result that is no float.
        DTypeError: for arguments that are no floats.
        ValueRangeError: for another mode.

    Example:
        >>> jacobian(lambda x: x * x)(dlc.asarray([1.0, 3.0]))
        Tensor([[2., 0.],
                [0., 6.]], dtype=float32)
    """
    return _jacobian(function, argnums, has_aux, mode, "jacobian")


def _jacobian(
    function: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    mode: Mode | None,
    what: str,
) -> Callable[..., Any]:
    check_callable(function, what)
    if mode not in (None, "forward", "reverse"):
        raise ValueRangeError(f'{what} with mode={mode!r}: it is "forward" or "reverse"')

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(argnums, args, what)
        held = [tree.map(fresh, a) for a in args]

        def rebuild(trees: list[Any]) -> Any:
            for k, value in zip(positions, trees, strict=True):
                held[k] = value
            return user_function(function)(*held, **kwargs)

        def whole(trees: list[Any]) -> Any:
            made = _Jacobian(Traced(function, trees, rebuild, what), has_aux)
            rows = [made.traced.unflatten(row) for row in made.rows(mode)]
            one = isinstance(argnums, int)
            found = tree.unflatten(made.structure, [row[0] if one else tuple(row) for row in rows])
            return (found, made.traced.closure.value(made.values)[1]) if has_aux else found

        # One program, in which what the passes have in common is computed once.
        program = Traced(function, [args[k] for k in positions], whole, what)
        results = apply_function(program.closure.function, program.inputs())
        program.closure.settle(results)
        return program.closure.value(results)

    return wrapped


def jacfwd(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """`jacobian` by forward mode: good where there are fewer inputs than results.

    Example:
        >>> jacfwd(lambda x: dlc.stack([x, x * x]))(3.0)
        Tensor([1., 6.], dtype=float32)
    """
    return _jacobian(function, argnums, has_aux, "forward", "jacfwd")


def jacrev(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """`jacobian` by reverse mode: good where there are fewer results than inputs.

    Example:
        >>> jacrev(lambda x: (x * x).sum())(dlc.asarray([1.0, 3.0]))
        Tensor([2., 6.], dtype=float32)
    """
    return _jacobian(function, argnums, has_aux, "reverse", "jacrev")


def hessian(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives the second derivatives of `function`, forward over reverse.

    Args:
        function: Of any arguments; it returns floats, or with `has_aux` a pair of them and
            anything.
        argnums: The arguments to differentiate with respect to, trees of floats.
        has_aux: Whether the function returns a pair.

    Returns:
        A function of the same arguments. In the place of each leaf of the result is a tree like
        the argument of trees like the argument (tuples of them for several `argnums`), of the
        leaves' shapes one after the other.

    Example:
        >>> hessian(lambda x: x[0] * x[1] ** 2)(dlc.asarray([3.0, 2.0]))
        Tensor([[0., 4.],
                [4., 6.]], dtype=float32)
    """
    check_callable(function, "hessian")
    first = _jacobian(function, argnums, has_aux, "reverse", "hessian")
    return _jacobian(first, argnums, has_aux, "forward", "hessian")
