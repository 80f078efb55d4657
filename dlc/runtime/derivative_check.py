"""Holds the derivatives of a function to its values and to each other.

At float64, in a random direction: the tangent of forward mode is what small steps show, and reverse
mode is the transpose of forward mode, <u, J t> = <J^T u, t>. Rules of single ops are then tried on
the values that they meet, so that the wrong one is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.dims import evaluate
from dlc.ir.interpret import bind_symbols, interpret
from dlc.ir.location import SourceLocation
from dlc.ir.record import dataclass
from dlc.passes.autodiff import jvp_function, vjp_function
from dlc.passes.expansion import expand_undifferentiable
from dlc.runtime.judge import widened

Array: TypeAlias = npt.NDArray[Any]
STEP = 1e-6
STEP_ERROR = 1e-4  # relative: of differences at float64 with that step
TRANSPOSE_ERROR = 1e-9  # relative: of two exact ways to the same number


@dataclass(frozen=True)
class DerivativeError:
    """A derivative that is wrong.

    mode: `jvp` where small steps disagree, `vjp` where reverse mode is not the transpose.
    op: The op whose rule is wrong; None where every op alone is right.
    """

    mode: str
    message: str
    op: str | None = None
    location: SourceLocation | None = None

    def __str__(self) -> str:
        where = "" if self.op is None else f" of {self.op}"
        at = "" if self.location is None else f" at {self.location}"
        return f"{self.mode}{where}{at}: {self.message}"


def check_derivatives(
    function: Function, args: Sequence[Array], *, seed: int = 0
) -> DerivativeError | None:
    """The first wrong derivative of a traced function at `args`; None where there is none.

    Kinks show as wrong where `args` lie on one; random arguments do not.

    Example:
        >>> print(check_derivatives(f, random_args(f)))
    """
    wide = expand_undifferentiable(widened(function))
    values = [a.astype(np.float64) if p.tensor.dtype.is_float else a for p, a in _pairs(wide, args)]
    wrong = _wrong(wide, values, seed)
    if wrong is None:
        return None
    for node, single, given in _single_ops(wide, values):
        alone = _wrong(single, given, seed)
        if alone is not None:
            return DerivativeError(alone.mode, alone.message, node.op.name, node.loc)
    return wrong


def _pairs(function: Function, args: Sequence[Array]) -> Iterator[tuple[Node, Array]]:
    return zip(function.params, args, strict=True)


def _single_ops(
    function: Function, args: Sequence[Array]
) -> Iterator[tuple[Node, Function, list[Array]]]:
    """Each node as a function of its inputs, with the values that they have."""
    values: dict[Node, Any] = dict(_pairs(function, args))
    dims = bind_symbols(function, args)
    interpret(function, args, observer=values.__setitem__)
    for node in function.nodes:
        if not node.inputs or not node.tensor.dtype.is_float:
            continue
        if all(isinstance(d, int) for x in (node, *node.inputs) for d in x.shape) or not dims:
            b = IRBuilder(node.loc)
            params = [b.param(x.tensor) for x in node.inputs]
            made = b.emit(node.op, params, dict(node.attrs))
            yield node, b.function(node.op.name, params, [made]), [values[x] for x in node.inputs]


def _wrong(function: Function, args: list[Array], seed: int) -> DerivativeError | None:
    wrt = [k for k, p in enumerate(function.params) if p.tensor.dtype.is_float]
    smooth = [k for k, r in enumerate(function.results) if r.tensor.dtype.is_float]
    if not wrt or not smooth:
        return None
    rng = np.random.default_rng(seed)
    dims = bind_symbols(function, args)
    direction = {k: rng.normal(size=args[k].shape) for k in wrt}
    weights = [
        rng.normal(size=[evaluate(d, dims) for d in function.results[k].shape]) for k in smooth
    ]
    forward = interpret(jvp_function(function, wrt), [*args, *direction.values()])
    tangents = forward[len(function.results) :]
    backward = interpret(vjp_function(function, wrt), [*args, *weights])
    cotangents = backward[len(function.results) :]
    forward_sum = _inner(weights, tangents)
    steps = _inner(weights, _differences(function, args, direction, smooth))
    size = sum(float(np.abs(w * t).sum()) for w, t in zip(weights, tangents, strict=True)) + 1e-6
    # Nothing can be said outside of an op's domain, nor where gradients are stopped on purpose.
    stopped = any(n.op.name == "stop_gradient" for n in function.nodes)
    if np.isfinite(steps) and not stopped and not abs(forward_sum - steps) <= STEP_ERROR * size:
        return DerivativeError("jvp", f"{forward_sum:.10g}, small steps give {steps:.10g}")
    backward_sum = _inner(cotangents, direction.values())
    if np.isfinite(forward_sum) and not abs(forward_sum - backward_sum) <= TRANSPOSE_ERROR * size:
        return DerivativeError("vjp", f"{backward_sum:.10g}, forward mode gives {forward_sum:.10g}")
    return None


def _inner(a: Any, b: Any) -> float:
    return float(sum(np.sum(x * y) for x, y in zip(a, b, strict=True)))


def _differences(
    function: Function, args: list[Array], direction: dict[int, Array], smooth: list[int]
) -> list[Array]:
    """Central differences of the float results along a direction."""
    ends: list[tuple[Array, ...]] = []
    for sign in (1, -1):
        moved = [
            a + sign * STEP * direction[k] if k in direction else a for k, a in enumerate(args)
        ]
        ends.append(interpret(function, moved))
    return [(ends[0][k] - ends[1][k]) / (2 * STEP) for k in smooth]
