"""Gradients of a part of the recorded graph, which is differentiated as a function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlc.frontend.execution import run_function
from dlc.frontend.history import History, Leaf, function_of, key_of, other_leaves, reached
from dlc.frontend.recording import record_gradients
from dlc.frontend.tensor import Array, Tensor, contiguous, make
from dlc.ir.config import config
from dlc.ir.core import Function
from dlc.ir.deferred import deferred
from dlc.ir.equal import structural_hash
from dlc.ir.recent import Recent

# Not needed by a process that differentiates nothing.
if TYPE_CHECKING:
    from dlc.frontend import eager
    from dlc.passes import autodiff
else:
    eager = deferred("dlc.frontend.eager")
    autodiff = deferred("dlc.passes.autodiff")

_derived: Recent[Function] = Recent(most=256)


def recorded_gradients(
    target: History, sources: Sequence[History], cotangent: Tensor, persistent: bool = False
) -> list[Tensor]:
    """The gradients with respect to nodes of the recorded graph.

    Args:
        target: What is differentiated.
        sources: The nodes.
        cotangent: Of the target.
        persistent: Whether `backward` of what is computed from the gradients works.
    """
    return gradients_along(reached(target, set(sources)), sources, cotangent, persistent)


def gradients_along(
    order: Sequence[History], sources: Sequence[History], cotangent: Tensor, persistent: bool
) -> list[Tensor]:
    """`recorded_gradients` of the last of what `reached` gave, from the sources on."""
    given = [*sources, *other_leaves(order, sources)]
    values = [*map(_value_of, given), cotangent._held("a gradient", "")]
    arrays = [contiguous(v) for v in values]
    # Not where the lines of each graph are wanted, or rows of someone else's may have other rules.
    if not config.debug_nans and all(isinstance(h, Leaf) or h.template.is_built_in for h in order):
        derived = _shared(order, sources)
        results = eager.run_function(derived, arrays)
    else:
        derived = _gradients_of(function_of(order, sources), len(sources))
        results = [make(a) for a in run_function(derived, arrays)]
    histories = record_gradients(derived, given, cotangent, persistent)
    for k, h in enumerate(histories or ()):
        results[k]._history = h
    return results


def _shared(order: Sequence[History], sources: Sequence[History]) -> Function:
    """The gradients for `sources` as a function of them, of other leaves and of a cotangent.

    Steps of a training record one graph again and again: equal ones share what is made of the
    first.
    """
    key = key_of(order, sources)
    found = _derived.get(key)
    if found is not None:
        return found
    function = function_of(order, sources)
    # Calls of one kind may have templates of their own.
    same = (structural_hash(function), len(sources))
    derived = _derived.get(same)
    if derived is None:
        derived = _derived.keep(same, _gradients_of(function, len(sources)))
    return _derived.keep(key, derived)


def _gradients_of(function: Function, sources: int) -> Function:
    """The reverse mode of a function for its first parameters, without its own result."""
    derived = autodiff.vjp_function(function, range(sources), [0])
    return derived.with_results(derived.results[1:], derived.nodes)


def _value_of(history: History) -> Array:
    """The array of a leaf; what is computed from leaves is computed again."""
    if isinstance(history, Leaf):
        return history.array
    order = reached(history)
    leaves = other_leaves(order, ())
    return run_function(function_of(order, ()), [contiguous(h.array) for h in leaves])[0]
