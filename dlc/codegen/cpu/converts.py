"""Conversions between element types, in LLVM text. float16 and bfloat16 go through float32.

Where the CPU has no float16 instructions, and for bfloat16 always, the conversion is integer code
on the bits: LLVM would call a support library otherwise. From float64 to a half type there is one
rounding: float32 is reached by rounding to odd. So it is from integers, by way of float64 where
float32 cannot hold them.
"""

from __future__ import annotations

import numpy as np

from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.literals import literal, splat_literal, vector_type
from dlc.ir.types import DType, float32, float64


def emit_convert(em: Emitter, to: DType, source: DType, x: str, lanes: int, isa: Isa) -> str:
    """`x` of type `source` converted to `to`, by the rules of `dlc.ir.scalar`."""
    if to is source:
        return x
    if to.kind == "b":
        return _to_bool(em, source, x, lanes)
    if _is_half(source):
        x, source = widen(em, source, x, lanes, isa), float32
        return emit_convert(em, to, source, x, lanes, isa)
    if _is_half(to):
        return _to_half(em, to, source, x, lanes, isa)
    t, s = llvm_type(to, lanes), llvm_type(source, lanes)
    if to.is_float and source.is_float:
        return em.value(f"{'fpext' if to.bits > source.bits else 'fptrunc'} {s} {x} to {t}")
    if to.is_float:
        return em.value(f"{'sitofp' if source.kind == 'i' else 'uitofp'} {s} {x} to {t}")
    if source.is_float:
        return _to_integer(em, to, source, x, lanes)
    if source.kind == "b" or to.bits > source.bits:
        return em.value(f"{'sext' if source.kind == 'i' else 'zext'} {s} {x} to {t}")
    return em.value(f"trunc {s} {x} to {t}") if to.bits < source.bits else x


def _to_integer(em: Emitter, to: DType, source: DType, x: str, lanes: int) -> str:
    """Towards zero; beyond the integers of a type the nearest one, of NaN 0.

    LLVM's own saturating conversion goes through vectors element by element.
    """
    sign = "s" if to.kind == "i" else "u"
    if lanes == 1:
        name = f"llvm.fpto{sign}i.sat.i{to.bits}.f{source.bits}"
        return em.call(name, llvm_type(to), [(llvm_type(source), x)])
    limits = np.iinfo(to.numpy)
    least, most = int(limits.min), int(limits.max)
    largest = source.numpy.type(most)  # of the floats that are not beyond
    if int(largest) > most:
        largest = np.nextafter(largest, source.numpy.type(0))
    s, i1 = llvm_type(source, lanes), vector_type("i1", lanes)

    def number(value: float) -> str:
        return literal(value, source, lanes)

    def chosen(predicate: str, y: str, type_: str, yes: str, no: str) -> str:
        holds = em.value(f"fcmp {predicate} {s} {x}, {y}")
        return em.value(f"select {i1} {holds}, {type_} {yes}, {type_} {no}")

    inside = chosen("olt", number(float(least)), s, number(float(least)), x)
    inside = chosen("ogt", number(float(largest)), s, number(float(largest)), inside)
    inside = chosen("uno", x, s, number(0.0), inside)
    bits = max(to.bits, 32)
    wide = "s" if to.bits < 32 else sign
    type_ = vector_type(f"i{bits}", lanes)
    found = em.value(f"fpto{wide}i {s} {inside} to {type_}")
    if to.bits < 32:
        found = em.value(f"trunc {type_} {found} to {llvm_type(to, lanes)}")
    if int(largest) == most:
        return found
    beyond = literal(most, to, lanes)
    return chosen("ogt", number(float(largest)), llvm_type(to, lanes), beyond, found)


def _is_half(dtype: DType) -> bool:
    return dtype.is_float and dtype.bits == 16


def _to_bool(em: Emitter, source: DType, x: str, lanes: int) -> str:
    s = llvm_type(source, lanes)
    if not source.is_float:
        return em.value(f"icmp ne {s} {x}, {literal(0, source, lanes)}")
    if not _is_half(source):
        return em.value(f"fcmp une {s} {x}, {literal(0.0, source, lanes)}")
    code = _Bits(em, "i16", lanes)
    magnitude = code.op("and", x, 0x7FFF)
    return code.compare("ne", magnitude, 0)


def widen(em: Emitter, source: DType, x: str, lanes: int, isa: Isa) -> str:
    """A float16 or bfloat16 `x` as float32, exactly."""
    s, f, i = llvm_type(source, lanes), vector_type("float", lanes), vector_type("i32", lanes)
    if source.short == "f16" and isa.half:
        half = vector_type("half", lanes)
        return em.value(f"fpext {half} {em.value(f'bitcast {s} {x} to {half}')} to {f}")
    code = _Bits(em, "i32", lanes)
    bits = em.value(f"zext {s} {x} to {i}")
    if source.short == "bf16":
        return em.value(f"bitcast {i} {code.op('shl', bits, 16)} to {f}")
    magnitude = code.op("shl", code.op("and", bits, 0x7FFF), 13)
    sign = code.op("shl", code.op("and", bits, 0x8000), 16)
    normal = code.op("add", magnitude, (127 - 15) << 23)
    special = code.op("add", magnitude, (255 - 31) << 23)
    # NaN becomes quiet, as the instruction makes it.
    quiet = code.choose(code.compare("ugt", magnitude, 0x7C00 << 13), 1 << 22, 0)
    special = code.op("or", special, quiet)
    # A subnormal is its fraction next to an implied bit, less that bit.
    raised = em.value(f"bitcast {i} {code.op('add', magnitude, 113 << 23)} to {f}")
    tiny = em.value(f"fsub {f} {raised}, {literal(2.0**-14, float32, lanes)}")
    tiny_bits = em.value(f"bitcast {f} {tiny} to {i}")
    chosen = code.choose(code.compare("ult", magnitude, 0x0400 << 13), tiny_bits, normal)
    chosen = code.choose(code.compare("uge", magnitude, 0x7C00 << 13), special, chosen)
    return em.value(f"bitcast {i} {code.op('or', chosen, sign)} to {f}")


def _to_half(em: Emitter, to: DType, source: DType, x: str, lanes: int, isa: Isa) -> str:
    f, t = vector_type("float", lanes), llvm_type(to, lanes)
    if to.short == "bf16" and source.kind in "iu" and source.bits >= 32:
        x = _integer_to_f64(em, source, x, lanes, isa)
        source = float64
    if source is float64:
        x = _narrow_to_odd(em, x, lanes)
    elif source is not float32:
        # To float16, integers that float32 rounds are infinite anyway.
        x = emit_convert(em, float32, source, x, lanes, isa)
    if to.short == "f16" and isa.half:
        half = vector_type("half", lanes)
        return em.value(f"bitcast {half} {em.value(f'fptrunc {f} {x} to {half}')} to {t}")
    code = _Bits(em, "i32", lanes)
    bits = em.value(f"bitcast {f} {x} to {code.type}")
    result = _bf16_bits(code, bits) if to.short == "bf16" else _f16_bits(code, bits)
    return em.value(f"trunc {code.type} {result} to {t}")


def _integer_to_f64(em: Emitter, source: DType, x: str, lanes: int, isa: Isa) -> str:
    """An integer as float64; what float64 cannot hold only marks the result as not a tie."""
    if source.bits == 64:
        code = _Bits(em, "i64", lanes)
        high = code.op("and", x, -0x800)
        sticky = code.choose(code.compare("ne", code.op("and", x, 0x7FF), 0), 0x400, 0)
        # Within 2^53 of zero: adding that gives a number below 2^54, whatever the sign means.
        signed = source.kind == "i"
        shifted = code.op("add", x, 2**53) if signed else x
        small = code.compare("ult", shifted, 2**54 if signed else 2**53)
        x = code.choose(small, x, code.op("or", high, sticky))
    return emit_convert(em, float64, source, x, lanes, isa)


def _narrow_to_odd(em: Emitter, x: str, lanes: int) -> str:
    """A float64 as float32 rounded to odd: rounding that once more is one rounding in all."""
    d, f = vector_type("double", lanes), vector_type("float", lanes)
    suffix = "f64" if lanes == 1 else f"v{lanes}f64"
    nearest = em.value(f"fptrunc {d} {x} to {f}")
    back = em.value(f"fpext {f} {nearest} to {d}")
    magnitudes = [em.call(f"llvm.fabs.{suffix}", d, [(d, v)]) for v in (back, x)]
    above = em.value(f"fcmp ogt {d} {magnitudes[0]}, {magnitudes[1]}")
    inexact = em.value(f"fcmp one {d} {back}, {x}")
    code = _Bits(em, "i32", lanes)
    bits = em.value(f"bitcast {f} {nearest} to {code.type}")
    bits = code.op("sub", bits, code.choose(above, 1, 0))
    bits = code.op("or", bits, code.choose(inexact, 1, 0))
    return em.value(f"bitcast {code.type} {bits} to {f}")


def _bf16_bits(code: _Bits, bits: str) -> str:
    high = code.op("lshr", bits, 16)
    odd = code.op("and", high, 1)
    rounded = code.op("lshr", code.op("add", code.op("add", bits, 0x7FFF), odd), 16)
    nan = code.compare("ugt", code.op("and", bits, 0x7FFFFFFF), 0x7F800000)
    return code.choose(nan, code.op("or", high, 0x40), rounded)


def _f16_bits(code: _Bits, bits: str) -> str:
    em, f = code.em, vector_type("float", code.lanes)
    magnitude = code.op("and", bits, 0x7FFFFFFF)
    sign = code.op("and", code.op("lshr", bits, 16), 0x8000)
    odd = code.op("and", code.op("lshr", magnitude, 13), 1)
    normal = code.op("add", code.op("add", magnitude, 0xFFF - ((127 - 15) << 23)), odd)
    normal = code.op("lshr", normal, 13)
    # Adding 1/2 puts the last bit of a subnormal float16 at the last place; the FPU rounds.
    value = em.value(f"bitcast {code.type} {magnitude} to {f}")
    placed = em.value(f"fadd {f} {value}, {literal(0.5, float32, code.lanes)}")
    tiny = code.op("sub", em.value(f"bitcast {f} {placed} to {code.type}"), 0x3F000000)
    payload = code.op("and", code.op("lshr", magnitude, 13), 0x3FF)
    nan = code.op("or", payload, 0x7E00)
    result = code.choose(code.compare("ult", magnitude, 0x38800000), tiny, normal)
    result = code.choose(code.compare("uge", magnitude, 0x47800000), 0x7C00, result)
    result = code.choose(code.compare("ugt", magnitude, 0x7F800000), nan, result)
    return code.op("or", result, sign)


class _Bits:
    """Writes integer operations of one type; an int operand stands for itself in each lane."""

    def __init__(self, em: Emitter, element: str, lanes: int) -> None:
        self.em, self.element, self.lanes = em, element, lanes
        self.type = vector_type(element, lanes)

    def _text(self, x: str | int) -> str:
        return splat_literal(self.element, str(x), self.lanes) if isinstance(x, int) else x

    def op(self, name: str, a: str, b: str | int) -> str:
        return self.em.value(f"{name} {self.type} {a}, {self._text(b)}")

    def compare(self, predicate: str, a: str, b: int) -> str:
        return self.em.value(f"icmp {predicate} {self.type} {a}, {self._text(b)}")

    def choose(self, condition: str, a: str | int, b: str | int) -> str:
        i1 = vector_type("i1", self.lanes)
        x, y = self._text(a), self._text(b)
        return self.em.value(f"select {i1} {condition}, {self.type} {x}, {self.type} {y}")
