"""What rows of a family share: type rules, lowerings and derivative helpers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.dims import dims_equal
from dlc.ir.errors import DTypeError, ShapeError, ValueRangeError
from dlc.ir.op import Attrs, Infer, Input, Lower, Sample
from dlc.ir.scalar import Expr
from dlc.ir.types import DType, Shape, TensorType, dtype_of, float32

FLOATS = ("f64", "f32", "f16", "bf16")
SIGNED = ("i8", "i16", "i32", "i64")
UNSIGNED = ("u8", "u16", "u32", "u64")
INTEGERS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTEGERS
ALL = (*NUMBERS, "bool")


def same_shape(a: Shape, b: Shape) -> bool:
    """Whether two shapes are equal for every value of their symbols."""
    return len(a) == len(b) and all(dims_equal(x, y) for x, y in zip(a, b, strict=True))


def check_kind(name: str, type_: TensorType, kinds: str) -> None:
    """DTypeError unless the element kind is one of `kinds` ("f", "i", "u", "b")."""
    if type_.dtype.kind not in kinds:
        words = {"f": "float", "i": "signed integer", "u": "unsigned integer", "b": "bool"}
        raise DTypeError(
            f"{name} of {type_}: the element type must be {' or '.join(words[k] for k in kinds)}",
            hint="convert it first, for example with .astype(dlc.float32)",
        )


def infer_elementwise(name: str, kinds: str, result: DType | None = None) -> Infer:
    """Operands of one shape and element type; the result has them too, or element type `result`."""

    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        first = types[0]
        check_kind(name, first, kinds)
        for t in types[1:]:
            if t.dtype is not first.dtype:
                raise DTypeError(f"{name} of {', '.join(map(str, types))}: element types differ")
            if not same_shape(t.shape, first.shape):
                raise ShapeError(f"{name} of {', '.join(map(str, types))}: shapes differ")
        return first if result is None else first.with_dtype(result)

    return infer


def check_number(name: str, value: bool | int | float, dtype: DType) -> None:
    """ValueRangeError for a number that an integer type cannot hold."""
    if not dtype.is_integer:
        return
    limits = np.iinfo(dtype.numpy)
    if not limits.min <= value <= limits.max:
        raise ValueRangeError(
            f"{name} of {dtype}: {value!r} is not in {limits.min}..{limits.max}",
            hint="choose a wider type or another value",
        )


def is_half(dtype: DType) -> bool:
    """Whether arithmetic on `dtype` is done at float32 and rounded back."""
    return dtype.is_float and dtype.bits == 16


def pointwise(name: str) -> Lower:
    """Lowers to the scalar op `name`, at float32 for the half types and rounded after it."""

    def lower(
        ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
    ) -> Expr:
        return half_aware(lambda *args: scalar.op(name, *args), [x(*ix) for x in inputs])

    return lower


def half_aware(build: Callable[..., Expr], args: Sequence[Expr]) -> Expr:
    """`build(*args)`, done at float32 when the arguments are of a half type."""
    dtype = args[-1].dtype
    if not is_half(dtype):
        return build(*args)
    result = build(*(scalar.convert(a, float32) if a.dtype is dtype else a for a in args))
    return result if result.dtype.kind == "b" else scalar.convert(result, dtype)


def via_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reference that computes half types at float32 and rounds once."""

    def reference(*arrays: Any, **attrs: Any) -> Any:
        dtype = arrays[-1].dtype
        if dtype_of(dtype).is_float and dtype.itemsize == 2:
            wide = [a.astype(np.float32) if a.dtype == dtype else a for a in arrays]
            result = function(*wide, **attrs)
            return result if result.dtype == np.bool_ else result.astype(dtype)
        return function(*arrays, **attrs)

    return reference


SHAPES = ((7, 5), (1,), (0, 3), ())


def elementwise_samples(
    arity: int, dtypes: Iterable[str], bool_positions: Sequence[int] = ()
) -> Callable[[], list[Sample]]:
    """Operands of one shape: an odd one for each type, and size-1, empty and scalar ones."""

    def samples() -> list[Sample]:
        made: list[Sample] = []
        for k, dtype in enumerate(dtypes):
            for shape in SHAPES if k == 0 else SHAPES[:1]:
                specs = ((shape, "bool" if i in bool_positions else dtype) for i in range(arity))
                made.append(Sample(tuple(specs)))
        return made

    return samples


def accumulator(dtype: DType) -> DType:
    """The type in which values of a type are added up: float32 for half types."""
    return float32 if is_half(dtype) else dtype


def widened(b: Any, x: Any) -> Any:
    """A node of a half type at float32, others as they are; no copy is made of it."""
    return b.convert(x, dtype=float32) if is_half(x.tensor.dtype) else x


def filled(b: Any, value: float, like: Any) -> Any:
    """A tensor of the type of `like` filled with a number."""
    return b.full(value=value, shape=like.tensor.shape, dtype=like.tensor.dtype)
