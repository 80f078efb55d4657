"""The op table as test cases: functions of one op, operands, and how exact a result must be."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

import dlc.ir.ops  # noqa: F401  (fills the table)
from dlc.codegen.scalar_math import ULP_BOUNDS
from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.dims import Dim, symbol
from dlc.ir.interpret import interpret
from dlc.ir.op import OPS, Op, Sample
from dlc.ir.types import DType, TensorType, dtype_of, float32, float64

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """One sample of one op."""

    op: Op
    number: int
    sample: Sample

    @property
    def id(self) -> str:
        """The name in test output."""
        kinds = "-".join(str(i[1]) if isinstance(i, tuple) else "array" for i in self.sample.inputs)
        return f"{self.op.name}-{self.number}-{kinds}"


def cases(families: Sequence[str] | None = None) -> Iterator[Case]:
    """Every sample of every op."""
    for op in OPS.values():
        if op.samples is None or (families is not None and op.family not in families):
            continue
        for number, sample in enumerate(op.samples()):
            yield Case(op, number, sample)


def special_values(dtype: DType) -> Array:
    """Values at which implementations go wrong."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        values = [0, 1, 2, 3, 7, info.max, info.min, info.max - 1, info.min + 1, info.max // 2]
        return np.array(values + [-1, -2, -7] * (info.min < 0), dtype.numpy)
    info = ml_dtypes.finfo(dtype.numpy)
    values = [
        0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -2.5, 1.5, 10.0, 88.5, -104.0, math.pi,
        1e-3, 1e4, math.inf, -math.inf, math.nan, float(info.max), -float(info.max),
        float(info.tiny), -float(info.smallest_subnormal),
    ]  # fmt: skip
    with np.errstate(all="ignore"):
        return np.array(values, np.float64).astype(dtype.numpy)


def random_values(rng: np.random.Generator, dtype: DType, shape: Sequence[int]) -> Array:
    """Ordinary values of a type."""
    if dtype.is_float:
        return np.asarray(rng.standard_normal(shape) * 2, dtype.numpy)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    info = np.iinfo(dtype.numpy)
    return np.asarray(rng.integers(max(info.min, -9), 10, size=shape), dtype.numpy)


def operands(case: Case, resize: Callable[[int], int] = lambda d: d) -> list[Array]:
    """Ordinary operands of a case, of extents `resize(d)`; given arrays are repeated or cut."""
    rng = np.random.default_rng(zlib.crc32(case.id.encode()))
    made: list[Array] = []
    for spec in case.sample.inputs:
        if isinstance(spec, tuple):
            shape = [resize(d) for d in spec[0]]
            made.append(random_values(rng, dtype_of(spec[1]), shape))
        else:
            made.append(np.resize(spec, [resize(d) for d in spec.shape]))
    return made


def is_elementwise(case: Case) -> bool:
    """Whether operands may have any one shape."""
    pointwise = case.op.family == "composite" and not case.op.attrs
    return pointwise or case.op.family in ("unary", "binary", "compare", "ternary")


def special_operands(case: Case) -> list[Array] | None:
    """Every combination of special values (elementwise ops), special rows (reductions), or None."""
    inputs = case.sample.inputs
    if any(isinstance(spec, np.ndarray) for spec in inputs) or (inputs and 0 in inputs[0][0]):
        return None
    dtypes = [dtype_of(spec[1]) for spec in inputs]
    if is_elementwise(case):
        grids = np.meshgrid(*[np.arange(len(special_values(d))) for d in dtypes], indexing="ij")
        return [special_values(d)[g.reshape(-1)] for d, g in zip(dtypes, grids, strict=True)]
    if case.op.family in ("reduction", "composite") and dtypes[0].is_float:
        x, *rest = operands(case)
        return [_with_specials(x), *rest]
    return None


def _with_specials(x: Array) -> Array:
    """Rows with a NaN, with infinities of either sign and of both, and one of negative zeros."""
    if x.ndim < 2 or x.shape[0] < 5:
        return x
    x = x.copy()
    rows = x.reshape(x.shape[0], -1)
    rows[0, 1] = math.nan
    rows[1, 0] = math.inf
    rows[2, -1] = -math.inf
    rows[3, :2] = math.inf, -math.inf
    rows[4] = -0.0
    return x


@dataclass(frozen=True)
class Part:
    """A case within a function of several: where its params start, which result is its own."""

    case: Case
    args: list[Array]
    result: int


def emit(
    b: IRBuilder, case: Case, args: Sequence[Array], symbolic: bool, wide: bool
) -> tuple[list[Node], Node]:
    """Params for `args` and the case's op on them (see `function_of`)."""
    params: list[Node] = []
    for k, a in enumerate(args):
        dtype = dtype_of(a.dtype)
        dtype = float64 if wide and dtype.is_float else dtype
        shape: list[Dim] = [symbol(f"n{d}") if symbolic and d > 1 else d for d in a.shape]
        params.append(b.param(TensorType(dtype, tuple(shape)), f"x{k}"))
    attrs = dict(case.sample.attrs)
    if wide and "dtype" in attrs and dtype_of(attrs["dtype"]).is_float:
        attrs["dtype"] = float64
    return params, getattr(b, case.op.name)(*params, **attrs)


def function_of(
    case: Case, args: Sequence[Array], symbolic: bool = False, wide: bool = False
) -> Function:
    """A function of the one op.

    `symbolic`: every extent above 1 of the operands is a symbol, equal ones the same; raises what
    the op's type rule raises when the attributes do not allow symbols.
    `wide`: float operands are float64, which tells the true value.
    """
    b = IRBuilder()
    params, result = emit(b, case, args, symbolic, wide)
    return b.function(case.op.name, params, [result])


def function_of_many(
    chosen: Iterable[tuple[Case, list[Array]]], symbolic: bool = False
) -> tuple[Function, list[Part]]:
    """One function of many cases, each with params and a result of its own, to compile once."""
    b = IRBuilder()
    params: list[Node] = []
    results: list[Node] = []
    parts: list[Part] = []
    for case, args in chosen:
        made, result = emit(b, case, args, symbolic, wide=False)
        parts.append(Part(case, args, len(results)))
        params += made
        results.append(result)
    return b.function("cases", params, results), parts


def true_value(case: Case, args: Sequence[Array]) -> Array:
    """The result at float64."""
    wide = [a.astype(np.float64) if dtype_of(a.dtype).is_float else a for a in args]
    (value,) = interpret(function_of(case, args, wide=True), wide)
    return value


EXACT_FAMILIES = ("shape", "indexing", "compare", "structural", "random", "sort")
SYSTEMS = ("solve", "inverse", "det", "slogdet", "triangular_solve", "cholesky")
CORRECTLY_ROUNDED = (
    "add", "sub", "mul", "div", "fma", "sqrt", "neg", "abs", "max", "min", "select", "convert",
    "bitcast", "floor", "ceil", "trunc", "rint", "relu", "stop_gradient", "reduce_max",
    "reduce_min", "floordiv", "mod",
)  # fmt: skip


def is_exact(case: Case, result: Array) -> bool:
    """Whether every backend must give the reference's bits."""
    if case.op.family in EXACT_FAMILIES or case.op.name in CORRECTLY_ROUNDED:
        return True
    return not dtype_of(result.dtype).is_float


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays are equal, zeros by sign too; any NaN equals any other."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if not dtype_of(a.dtype).is_float:
        return bool(np.array_equal(a, b))
    x, y = a.astype(np.float64), b.astype(np.float64)
    equal = (x == y) & (np.signbit(x) == np.signbit(y))
    return bool(np.all(equal | (np.isnan(x) & np.isnan(y))))


def unit(dtype: DType) -> float:
    """The distance from 1 to the next larger number."""
    return float(ml_dtypes.finfo(dtype.numpy).eps)


def tiny(dtype: DType) -> float:
    """The smallest positive number, the step near zero."""
    return float(ml_dtypes.finfo(dtype.numpy).smallest_subnormal)


def allowed_error(case: Case, args: Sequence[Array], true: Array, dtype: DType) -> Array:
    """How far from the true value a float result may lie.

    Elementwise: the stated bound of the function, in units of the last place, and at float64 one
    more for the true value's own error. Sums of n terms: n roundings of the sum of magnitudes
    (Higham, "Accuracy and Stability of Numerical Algorithms", section 4.2), for half types those
    of float32. Composite ops and attention: the roundings of a handful of steps, relative to the
    largest magnitude. Systems of equations at float64: the roundings of elimination, enlarged by
    the condition of the matrix (the same, sections 7.2 and 9.3).
    """
    magnitude = np.abs(true)
    ulp = magnitude * unit(dtype) + tiny(dtype)
    computed_at = dtype if dtype.bits >= 32 else float32
    match case.op.family:
        case "reduction" | "contraction" | "scatter" | "recurrence":
            terms = max(int(np.prod(args[0].shape)), 1)
            total = _absolute_value(case, args)
            return ulp + (terms + 2) * unit(computed_at) * total
        case "composite":
            finite = [np.abs(a.astype(np.float64)) for a in args]
            largest = max(float(np.max(f, initial=0.0, where=np.isfinite(f))) for f in finite)
            return 4 * ulp + 64 * unit(computed_at) * (magnitude + min(largest, 1e3) + 1.0)
        case "attention":
            largest = float(np.max(magnitude, initial=1.0, where=np.isfinite(magnitude)))
            return ulp + 64 * unit(computed_at) * largest
        case "host" if case.op.name in SYSTEMS and dtype is float64:
            return ulp + unit(dtype) * _enlarged(args[0]) * float(np.max(magnitude, initial=0.0))
        case _:
            bound = ULP_BOUNDS.get((case.op.name, computed_at), 1.0)
            return ((bound if dtype.bits >= 32 else 1.0) + (dtype is float64)) * ulp


def _enlarged(matrices: Array) -> float:
    """How many roundings elimination in the worst of some matrices may come to."""
    if not np.isfinite(matrices).all():
        return 0.0  # LAPACK's results are the reference
    condition = np.max(np.linalg.cond(matrices), initial=1.0) if matrices.size else 1.0
    return 2 * matrices.shape[-1] * min(float(condition), 1e3)


def _absolute_value(case: Case, args: Sequence[Array]) -> Array:
    """The result for the magnitudes of the operands."""
    absolute = [np.abs(a.astype(np.float64)) if dtype_of(a.dtype).is_float else a for a in args]
    (value,) = interpret(function_of(case, args, wide=True), absolute)
    return np.abs(value)


def fault(case: Case, args: Sequence[Array], result: Array) -> str | None:
    """What is wrong with `result` of the op on `args`, None when nothing is."""
    (expected,) = interpret(function_of(case, args), args)
    if result.dtype != expected.dtype or result.shape != expected.shape:
        return f"type {result.dtype}{result.shape}, not {expected.dtype}{expected.shape}"
    if same_bits(result, expected):
        return None
    if is_exact(case, result):
        return _first_difference(args, result, expected, np.asarray(result != expected))
    with np.errstate(all="ignore"):
        true = true_value(case, args)
        dtype = dtype_of(result.dtype)
        rounded = true.astype(result.dtype).astype(np.float64)
        got = result.astype(np.float64)
        near = np.abs(got - true) <= allowed_error(case, args, true, dtype)
        good = near | (got == rounded) | (np.isnan(got) & np.isnan(true))
    return None if good.all() else _first_difference(args, result, true, ~good)


def _first_difference(args: Sequence[Array], result: Array, expected: Array, wrong: Array) -> str:
    places = np.argwhere(wrong)
    at = tuple(int(i) for i in places[0]) if len(places) else ()
    given = [a[at] for a in args if a.shape == result.shape]
    return f"{len(places)} wrong, at {at}: {result[at]!r}, not {expected[at]!r}, of {given}"
