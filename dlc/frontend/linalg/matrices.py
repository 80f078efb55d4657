"""What functions of matrices share: checks, and element types that LAPACK knows."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.frontend.apply import apply, broadcast_to, convert, float_promote, materialise
from dlc.frontend.functions.arguments import ArrayLike, common_shape, types_text
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, dims_equal
from dlc.ir.errors import ShapeError
from dlc.ir.types import DType, float32


def matrices(*xs: ArrayLike) -> tuple[list[Tensor], DType]:
    """Operands as tensors of one float type of at least 32 bits, and the type of the result."""
    tensors = [materialise(t) for t in float_promote(*xs)]
    dtype = tensors[0].tensor.dtype
    held = float32 if dtype.bits < 32 else dtype
    return [convert(t, held) for t in tensors], dtype


def check_matrix(name: str, x: Tensor) -> None:
    """ShapeError unless `x` is a stack of matrices."""
    if x.tensor.rank < 2:
        raise ShapeError(
            f"{name} of {x.tensor}: it takes a matrix [m, n] or a stack of them [..., m, n]"
        )


def check_square(name: str, x: Tensor) -> None:
    """ShapeError unless `x` is a stack of square matrices."""
    check_matrix(name, x)
    if not dims_equal(x.tensor.shape[-1], x.tensor.shape[-2]):
        raise ShapeError(f"{name} of {x.tensor}: the matrices must be square")


def same_stack(name: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two stacks of matrices with their leading axes broadcast."""
    a, b = x.tensor, y.tensor
    lead = common_shape(name, (a.shape[:-2], b.shape[:-2]), (a, b))
    return broadcast_to(x, (*lead, *a.shape[-2:])), broadcast_to(y, (*lead, *b.shape[-2:]))


def check_rows(name: str, x: Tensor, y: Tensor) -> None:
    """ShapeError unless two stacks of matrices have as many rows."""
    if not dims_equal(x.tensor.shape[-2], y.tensor.shape[-2]):
        raise ShapeError(
            f"{name} of {types_text((x.tensor, y.tensor))}: "
            f"{x.tensor.shape[-2]} rows and {y.tensor.shape[-2]} right-hand sides",
            hint="the right-hand side has an element, or a row, for each row of the matrix",
        )


def symmetric(x: Tensor) -> Tensor:
    """(x + x^T) / 2: `x` itself for a symmetric matrix, and gradients that are symmetric."""
    return apply("symmetric", x)


def rows(x: Tensor, heights: Sequence[Dim]) -> list[Tensor]:
    """The parts of matrices [..., m, n] that have these numbers of rows, one under the other."""
    shape = x.tensor.shape
    found: list[Tensor] = []
    start: Dim = 0
    for height in heights:
        low = (*(0 for _ in shape[:-2]), start, 0)
        start = start + height
        high = (*shape[:-2], start, shape[-1])
        found.append(apply("slice", x, start=low, limit=high, step=(1,) * len(shape)))
    return found
