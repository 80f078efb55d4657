"""Element types and tensor types.

A `DType` is an element type, a `TensorType` an element type with a shape whose dims are integers or
symbolic expressions (`dlc.ir.dims`). The short names (`f32`, `i64`, `bool`) are those of the text
form.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from dlc.ir.deferred import deferred
from dlc.ir.dims import Dim, dim_text, product
from dlc.ir.record import dataclass

if TYPE_CHECKING:
    import ml_dtypes
else:
    ml_dtypes = deferred("ml_dtypes")

Kind = Literal["f", "i", "u", "b"]


class DType:
    """An element type, for example `dlc.float32`. Interned: compare with `==` or `is`.

    Also equal to what NumPy calls the same type: `dlc.float32 == np.float32`.
    """

    name: str
    short: str
    kind: Kind
    bits: int

    def __init__(self, name: str, short: str, kind: Kind, bits: int) -> None:
        vars(self).update(name=name, short=short, kind=kind, bits=bits)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an element type has no {name} to set")

    @functools.cached_property
    def numpy(self) -> np.dtype[Any]:
        """NumPy's type of the same elements; that of bfloat16 comes from `ml_dtypes`."""
        return np.dtype(ml_dtypes.bfloat16 if self.name == "bfloat16" else self.name)

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return max(self.bits // 8, 1)

    @property
    def is_float(self) -> bool:
        """Whether this is a floating-point type."""
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        """Whether this is a signed or unsigned integer type (bool is not)."""
        return self.kind in "iu"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType):
            return self is other
        if not isinstance(other, (np.dtype, str, type)):
            return NotImplemented
        try:
            return np.dtype(other) == self.numpy
        except (SyntaxError, TypeError, ValueError):  # any text may be compared
            return NotImplemented

    def __hash__(self) -> int:
        return hash(self.numpy)

    def __str__(self) -> str:
        return self.short

    def __repr__(self) -> str:
        return f"dlc.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return dtype_of, (self.short,)


float64 = DType("float64", "f64", "f", 64)
float32 = DType("float32", "f32", "f", 32)
float16 = DType("float16", "f16", "f", 16)
bfloat16 = DType("bfloat16", "bf16", "f", 16)
int8 = DType("int8", "i8", "i", 8)
int16 = DType("int16", "i16", "i", 16)
int32 = DType("int32", "i32", "i", 32)
int64 = DType("int64", "i64", "i", 64)
uint8 = DType("uint8", "u8", "u", 8)
uint16 = DType("uint16", "u16", "u", 16)
uint32 = DType("uint32", "u32", "u", 32)
uint64 = DType("uint64", "u64", "u", 64)
bool_ = DType("bool", "bool", "b", 8)

DTYPES: tuple[DType, ...] = (
    float64, float32, float16, bfloat16,
    int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool_,
)  # fmt: skip
_BY_NAME: dict[Any, DType] = {
    **{d.short: d for d in DTYPES},
    **{d.name: d for d in DTYPES},
    **{d.numpy: d for d in DTYPES if d is not bfloat16},
    float: float32,
    int: int64,
    bool: bool_,
}


def dtype_of(spec: Any) -> DType:
    """The `DType` that `spec` names: a DType, a short or long name, a NumPy dtype or scalar type.

    Python's `float`, `int` and `bool` mean the defaults float32, int64 and bool.
    Raises KeyError when dlc has no such element type.
    """
    if isinstance(spec, DType):
        return spec
    try:
        found = _BY_NAME.get(spec)
    except TypeError:
        found = None
    if found is None:
        try:
            dtype = np.dtype(spec)
        except (TypeError, ValueError):  # ValueError: "a,b", and objects with another `dtype`
            raise KeyError(spec) from None
        found = bfloat16 if dtype.name == "bfloat16" else _BY_NAME.get(dtype)
    if found is None:
        raise KeyError(spec)
    return found


Shape: TypeAlias = tuple[Dim, ...]


@dataclass(frozen=True)
class TensorType:
    """An element type and a shape; printed as `f32[8,n]`."""

    dtype: DType
    shape: Shape = ()

    @property
    def rank(self) -> int:
        """The number of dims."""
        return len(self.shape)

    @property
    def size(self) -> Dim:
        """The number of elements."""
        return product(self.shape)

    @property
    def is_static(self) -> bool:
        """Whether every dim is an integer."""
        return all(isinstance(d, int) for d in self.shape)

    def with_shape(self, shape: Iterable[Dim]) -> TensorType:
        """The same element type with another shape."""
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        """The same shape with another element type."""
        return TensorType(dtype, self.shape)

    def __str__(self) -> str:
        return f"{self.dtype.short}[{','.join(dim_text(d) for d in self.shape)}]"


@dataclass(frozen=True)
class TupleType:
    """The result type of a node with several results; printed as `(f32[8], i64[8])`."""

    items: tuple[TensorType, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.items))})"


Type: TypeAlias = TensorType | TupleType
