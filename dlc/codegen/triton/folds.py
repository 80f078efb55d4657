"""How reductions combine elements and blocks: at which type, from which value, by which helper."""

from __future__ import annotations

import numpy as np

from dlc.codegen.triton.scalars import triton_type
from dlc.ir.record import dataclass
from dlc.ir.types import DType, float32, int32


@dataclass(frozen=True)
class Fold:
    """How a reduction combines: at which type, from which value on."""

    kind: str
    dtype: DType  # that it is computed at
    result_dtype: DType
    identity: float

    def prepare(self, text: str) -> str:
        """An element at the type of the computation."""
        return text if self.dtype is self.result_dtype else f"{text}.to({triton_type(self.dtype)})"

    @property
    def function(self) -> str:
        """The helper that combines two."""
        name = {"any": "max", "all": "min"}.get(self.kind, self.kind)
        return f"_fold_{name}{'_nan' if self.dtype.is_float and name != 'prod' else ''}"

    def combine(self, a: str, b: str) -> str:
        """Two blocks combined element by element."""
        return f"{a} + {b}" if self.kind == "sum" else f"{self.function}({a}, {b})"

    def reduce(self, text: str, dimension: int) -> str:
        """A block reduced along a dimension."""
        if self.kind == "sum":
            return f"tl.sum({text}, {dimension})"
        return f"tl.reduce({text}, {dimension}, {self.function})"

    def result(self, text: str) -> str:
        """The result at its own type."""
        if self.result_dtype.kind == "b":
            return f"{text} != 0"
        return f"{text}.to({triton_type(self.result_dtype)})"


def fold_of(kind: str, dtype: DType) -> Fold:
    """How reductions of a kind combine elements of a type."""
    work = int32 if dtype.kind == "b" else float32 if dtype.is_float and dtype.bits == 16 else dtype
    return Fold(kind, work, dtype, _identity(kind, work))


def _identity(kind: str, dtype: DType) -> float:
    low = kind in ("max", "argmax")
    match kind:
        case "prod" | "all":
            return 1
        case "max" | "argmax" | "min" | "argmin":
            if dtype.is_float:
                return -np.inf if low else np.inf
            limits = np.iinfo(dtype.numpy)
            return int(limits.min if low else limits.max)
        case _:
            return 0
