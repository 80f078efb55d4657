"""Each basic scalar op as Triton source, with the meaning of `dlc.ir.scalar`.

Division and square root are the correctly rounded ones, nothing is contracted, and no function of
a device library is called: a GPU gives the bits that a CPU gives. Negation and copying of signs are
done on the bits, since Triton's unary minus is `0 - x`. As on the CPU, -0.0 is less than 0.0 to
`min` and `max`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from dlc.ir.errors import BackendError
from dlc.ir.record import dataclass
from dlc.ir.types import DType, bfloat16, float32, float64

_TYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "bool": "int1",
    "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64",
    "u8": "uint8", "u16": "uint16", "u32": "uint32", "u64": "uint64",
}  # fmt: skip
_POINTERS = {
    "f64": "*fp64", "f32": "*fp32", "f16": "*fp16", "bf16": "*bf16", "bool": "*u8",
    "i8": "*i8", "i16": "*i16", "i32": "*i32", "i64": "*i64",
    "u8": "*u8", "u16": "*u16", "u32": "*u32", "u64": "*u64",
}  # fmt: skip


def triton_type(dtype: DType) -> str:
    """The name of an element type in Triton source; bool is one bit wide, in memory a byte.

    Example:
        >>> triton_type(float32)
        'tl.float32'
    """
    return f"tl.{_TYPES[dtype.short]}"


def pointer_type(dtype: DType) -> str:
    """The type of a pointer to elements, as signatures of kernels write it."""
    return _POINTERS[dtype.short]


def literal(value: bool | int | float, dtype: DType) -> str:
    """A scalar constant; floats that have no decimal form are written as bits.

    Example:
        >>> literal(1.5, float32)
        'tl.full((), 1.5, tl.float32)'
    """
    if dtype.kind == "b":
        return f"(tl.full((), {int(value)}, tl.int32) != 0)"
    if not dtype.is_float:
        return f"tl.full((), {int(value)}, {triton_type(dtype)})"
    held = dtype.numpy.type(value)
    number = float(held)
    if math.isfinite(number) and (number != 0 or math.copysign(1.0, number) > 0):
        return f"tl.full((), {number!r}, {triton_type(dtype)})"
    bits = int(np.array(held).view(f"i{dtype.itemsize}"))
    return f"tl.full((), {bits}, tl.int{dtype.bits}).to({triton_type(dtype)}, bitcast=True)"


@dataclass(frozen=True)
class _Op:
    """An op being written: the type of its result, of its last argument, and the arguments."""

    dtype: DType
    source: DType
    args: tuple[str, ...]

    def number(self, value: float) -> str:
        return literal(value, self.source)


def scalar_op(name: str, dtype: DType, source: DType, args: Sequence[str]) -> str:
    """The basic scalar op `name` of arguments that are names or calls, as source.

    Args:
        name: A row of `SCALAR_OPS` that is not `math`.
        dtype: Type of the result.
        source: Type of the last argument.
        args: The arguments.

    Raises:
        BackendError: for an op that is not basic, or arithmetic on float16 or bfloat16 (which
            lowering writes as conversions around float32).
    """
    op = _Op(dtype, source, tuple(args))
    if name in _ANY:
        return _ANY[name](op)
    if name in _COMPARES:
        return _compare(op, name)
    table = _FLOAT if source.is_float else _BOOL if source.kind == "b" else _INTEGER
    if name not in table or (source.is_float and source.bits == 16):
        raise BackendError(f"the Triton backend has no scalar op {name} on {source.short}")
    return table[name](op)


_COMPARES = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def _compare(op: _Op, name: str) -> str:
    a, b = op.args
    if op.source.kind == "b":  # one bit would be compared as a signed number
        a, b = f"{a}.to(tl.int32)", f"{b}.to(tl.int32)"
    elif op.source.is_float and op.source.bits == 16:
        a, b = f"{a}.to(tl.float32)", f"{b}.to(tl.float32)"
    return f"{a} {_COMPARES[name]} {b}"


def _infix(sign: str) -> Callable[[_Op], str]:
    return lambda op: f" {sign} ".join(op.args)


def _call(name: str, *extra: str) -> Callable[[_Op], str]:
    return lambda op: f"{name}({', '.join((*op.args, *extra))})"


def _convert(op: _Op) -> str:
    """By the rules of `dlc.ir.scalar`: saturating to integers, rounded once to floats."""
    to, source, (x,) = op.dtype, op.source, op.args
    if to is source:
        return x
    if to.kind == "b":
        return f"{x}.to(tl.float32) != 0" if source.is_float and source.bits == 16 else f"{x} != 0"
    if source.kind == "b":
        middle = "tl.float32" if to is bfloat16 else "tl.int32"
        return f"{x}.to({middle}).to({triton_type(to)})"
    if source.is_float and to.is_integer:
        return _float_to_integer(to, source, x)
    if to is bfloat16 and source is float64:
        return f"_odd_f32({x}).to(tl.bfloat16)"
    if to is bfloat16 and source.is_integer:
        wide = (
            f"_sticky_f64({x}, {source.kind == 'i'})"
            if source.bits == 64
            else f"{x}.to(tl.float64)"
        )
        return f"_odd_f32({wide}).to(tl.bfloat16)"
    if source is bfloat16 or (to is bfloat16 and source is not float32):
        return f"{x}.to(tl.float32).to({triton_type(to)})"
    return f"{x}.to({triton_type(to)})"


def _float_to_integer(to: DType, source: DType, x: str) -> str:
    wide = float32 if source.bits == 16 else source
    if wide is not source:
        x = f"{x}.to(tl.float32)"
    limits = np.iinfo(to.numpy)
    low, end = float(limits.min), float(int(limits.max) + 1)
    ends = f"{literal(low, wide)}, {literal(end, wide)}"
    least, most = (literal(int(v), to) for v in (limits.min, limits.max))
    return f"_to_integer({x}, {ends}, {least}, {most}, {triton_type(to)})"


def _bitcast(op: _Op) -> str:
    same = op.dtype is op.source
    return op.args[0] if same else f"{op.args[0]}.to({triton_type(op.dtype)}, bitcast=True)"


def _not(op: _Op) -> str:
    return f"{op.args[0]} ^ {op.number(-1 if op.source.kind == 'i' else 2**op.source.bits - 1)}"


def _integer_division(name: str) -> Callable[[_Op], str]:
    def write(op: _Op) -> str:
        if op.source.kind == "u":
            return f"_u{name}({', '.join(op.args)}, {op.number(0)}, {op.number(1)})"
        least = -(2 ** (op.source.bits - 1))
        numbers = ", ".join(op.number(v) for v in (0, 1, -1, least))
        return f"_s{name}({', '.join(op.args)}, {numbers})"

    return write


def _shift(op: _Op, name: str) -> str:
    count_is_fine = f"{op.number(op.source.bits)}, {op.number(0)}"
    return f"_{name}({', '.join(op.args)}, {count_is_fine})"


def _shift_right(op: _Op) -> str:
    return _shift(op, "sar" if op.source.kind == "i" else "shr")


def _of_width(name: str) -> Callable[[_Op], str]:
    """A helper that differs between float32 and float64."""
    return lambda op: f"{name}_{op.source.short}({', '.join(op.args)})"


_NAN = "propagate_nan=tl.PropagateNan.ALL"

_ANY: dict[str, Callable[[_Op], str]] = {
    "convert": _convert,
    "bitcast": _bitcast,
    "select": _call("tl.where"),
}
_FLOAT: dict[str, Callable[[_Op], str]] = {
    "add": _infix("+"),
    "sub": _infix("-"),
    "mul": _infix("*"),
    "div": lambda op: _call("tl.div_rn" if op.source is float32 else "_div")(op),
    "min": _call("tl.minimum", _NAN),
    "max": _call("tl.maximum", _NAN),
    "floordiv": _of_width("_floordiv"),
    "mod": _of_width("_mod"),
    "ldexp": _of_width("_ldexp"),
    "fma": _call("tl.fma"),
    "neg": _of_width("_neg"),
    "abs": _call("tl.abs"),
    "sqrt": lambda op: _call("tl.sqrt_rn" if op.source is float32 else "tl.sqrt")(op),
    "floor": _call("tl.floor"),
    "ceil": _call("tl.ceil"),
    "trunc": _call("_trunc"),
    "rint": _of_width("_rint"),
}
_INTEGER: dict[str, Callable[[_Op], str]] = {
    "add": _infix("+"),
    "sub": _infix("-"),
    "mul": _infix("*"),
    "min": _call("tl.minimum"),
    "max": _call("tl.maximum"),
    "floordiv": _integer_division("floordiv"),
    "mod": _integer_division("mod"),
    "neg": lambda op: f"{op.number(0)} - {op.args[0]}",
    "abs": lambda op: op.args[0] if op.source.kind == "u" else f"tl.abs({op.args[0]})",
    "and": _infix("&"),
    "or": _infix("|"),
    "xor": _infix("^"),
    "not": _not,
    "shl": lambda op: _shift(op, "shl"),
    "shr": _shift_right,
}
_BOOL: dict[str, Callable[[_Op], str]] = {
    "and": _infix("&"),
    "or": _infix("|"),
    "xor": _infix("^"),
    "not": lambda op: f"{op.args[0]}.to(tl.int32) == 0",
}
