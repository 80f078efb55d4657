"""The writes of a scatter, as statements of a kernel."""

from __future__ import annotations

from dlc.codegen.kernel_ir import Assign
from dlc.ir import scalar
from dlc.ir.dims import Dim
from dlc.ir.ops.families import half_aware
from dlc.ir.scalar import Expr

# What a scatter does with an update and what is at its place, where it does not add.
_COMBINED = {"scatter_mul": "mul", "scatter_min": "min", "scatter_max": "max"}


def bounded(at: Expr, extent: Dim) -> tuple[Expr, Expr]:
    """Whether a place is within bounds, and the nearest one that is."""
    low, end = scalar.const(0, at.dtype), scalar.dim(extent)
    inside = scalar.op("and", scalar.op("ge", at, low), scalar.op("lt", at, end))
    last = scalar.sub_index(end, scalar.const(1, at.dtype))
    return inside, scalar.op("min", scalar.op("max", at, low), last)


def scatter_step(
    op_name: str, name: str, place: tuple[Expr, ...], inside: Expr, update: Expr
) -> Assign:
    """One write of a scatter, which changes nothing where it is not `inside`."""
    if op_name in ("scatter_add", "scatter_along"):
        nothing = scalar.const(-0.0 if update.dtype.is_float else 0, update.dtype)
        return Assign(name, place, (), scalar.select(inside, update, nothing), accumulate=True)
    old = scalar.load(name, place, update.dtype)
    combine = _COMBINED.get(op_name)
    new = update
    if combine is not None:
        new = half_aware(lambda a, b: scalar.op(combine, a, b), (old, update))
    return Assign(name, place, (), scalar.select(inside, new, old))
