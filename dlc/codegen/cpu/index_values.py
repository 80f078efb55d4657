"""Index polynomials as LLVM values: i64 scalars, or i64 vectors along the vector axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.codegen.cpu.emit import Emitter

# Adding 3 * 2**51 to an integer below 2**51 in magnitude puts it into the mantissa of a double, so
# that vectors of i64 are divided exactly with floating-point instructions, which every level has.
_MAGIC_BITS = 0x4338000000000000
_MAGIC = "0x4338000000000000"


def add(em: Emitter, a: str, b: str) -> str:
    """a + b of i64 scalars, folding literals."""
    if a == "0" or b == "0":
        return b if a == "0" else a
    if _literal(a) and _literal(b):
        return str(int(a) + int(b))
    return em.value(f"add nsw i64 {a}, {b}")


def multiply(em: Emitter, a: str, b: str) -> str:
    """a * b of i64 scalars, folding literals."""
    if a == "1" or b == "1":
        return b if a == "1" else a
    if _literal(a) and _literal(b):
        return str(int(a) * int(b))
    return em.value(f"mul nsw i64 {a}, {b}")


def _literal(text: str) -> bool:
    return not text.startswith("%")


def subtract(em: Emitter, a: str, b: str) -> str:
    """a - b of i64 scalars, folding literals."""
    if b == "0":
        return a
    if _literal(a) and _literal(b):
        return str(int(a) - int(b))
    return em.value(f"sub nsw i64 {a}, {b}")


def minimum(em: Emitter, a: str, b: str) -> str:
    """min(a, b) of i64 scalars."""
    if _literal(a) and _literal(b):
        return str(min(int(a), int(b)))
    return _either(em, "smin", "slt", a, b)


def maximum(em: Emitter, a: str, b: str) -> str:
    """max(a, b) of i64 scalars."""
    if _literal(a) and _literal(b):
        return str(max(int(a), int(b)))
    return _either(em, "smax", "sgt", a, b)


def _either(em: Emitter, intrinsic: str, comparison: str, a: str, b: str) -> str:
    if em.quick:  # LLVM's least effort has no short way for the intrinsic
        first = em.value(f"icmp {comparison} i64 {a}, {b}")
        return em.value(f"select i1 {first}, i64 {a}, i64 {b}")
    return em.call(f"llvm.{intrinsic}.i64", "i64", [("i64", a), ("i64", b)])


def floordiv(em: Emitter, a: str, b: str, *, unsigned: bool) -> str:
    """a // b of i64 scalars for b >= 1; `unsigned` when a >= 0."""
    if _literal(a) and _literal(b):
        return str(int(a) // int(b))
    if b == "1":
        return a
    if unsigned:
        return em.value(f"udiv i64 {a}, {b}")
    quotient, rest = em.value(f"sdiv i64 {a}, {b}"), em.value(f"srem i64 {a}, {b}")
    negative = em.value(f"ashr i64 {rest}, 63")
    return em.value(f"add i64 {quotient}, {negative}")


def mod(em: Emitter, a: str, b: str, *, unsigned: bool) -> str:
    """a % b of i64 scalars for b >= 1; `unsigned` when a >= 0."""
    if _literal(a) and _literal(b):
        return str(int(a) % int(b))
    if unsigned:
        return em.value(f"urem i64 {a}, {b}")
    rest = em.value(f"srem i64 {a}, {b}")
    negative = em.value(f"ashr i64 {rest}, 63")
    return em.value(f"add i64 {rest}, {em.value(f'and i64 {negative}, {b}')}")


def blocks(em: Emitter, extent: str, block: str) -> str:
    """How many blocks cover an extent."""
    most = add(em, extent, subtract(em, block, "1"))
    return floordiv(em, most, block, unsigned=True)


def positions(em: Emitter, number: str, extents: Sequence[str]) -> list[str]:
    """A number as one number an extent, the last fastest."""
    result, rest = list[str](), number
    wide = [k for k, e in enumerate(extents) if e != "1"]
    for k in reversed(range(len(extents))):
        if k not in wide:
            result.append("0")
        elif k == wide[0]:
            result.append(rest)
        else:
            result.append(mod(em, rest, extents[k], unsigned=True))
            rest = floordiv(em, rest, extents[k], unsigned=True)
    return result[::-1]


def vector_binary(em: Emitter, name: str, a: str, b: str, lanes: int) -> str:
    """An LLVM instruction on two i64 vectors."""
    return em.value(f"{name} <{lanes} x i64> {a}, {b}")


def splat(em: Emitter, value: str, lanes: int) -> str:
    """An i64 scalar in every lane."""
    return f"splat (i64 {value})" if _literal(value) else em.splat("i64", value, lanes)


def vector_divide(em: Emitter, a: str, b: str, lanes: int, *, remainder: bool) -> str:
    """a // b or a % b of an i64 vector by a scalar b >= 1; |a| and b are below 2**51.

    The rounded quotient of such integers never reaches the next integer, so its floor is exact.
    """
    power = int(b).bit_length() - 1 if _literal(b) and int(b) & (int(b) - 1) == 0 else None
    if power is not None:
        name, other = ("and", int(b) - 1) if remainder else ("ashr", power)
        return vector_binary(em, name, a, f"splat (i64 {other})", lanes)
    type_ = f"<{lanes} x double>"
    x, y = _to_double(em, a, lanes), _to_double(em, splat(em, b, lanes), lanes)
    exact = em.value(f"fdiv {type_} {x}, {y}")
    quotient = em.call(f"llvm.floor.v{lanes}f64", type_, [(type_, exact)])
    if not remainder:
        return _to_integer(em, quotient, lanes)
    covered = em.value(f"fmul {type_} {quotient}, {y}")
    return _to_integer(em, em.value(f"fsub {type_} {x}, {covered}"), lanes)


def _to_double(em: Emitter, a: str, lanes: int) -> str:
    shifted = vector_binary(em, "add", a, f"splat (i64 {_MAGIC_BITS})", lanes)
    bits = em.value(f"bitcast <{lanes} x i64> {shifted} to <{lanes} x double>")
    return em.value(f"fsub <{lanes} x double> {bits}, splat (double {_MAGIC})")


def _to_integer(em: Emitter, a: str, lanes: int) -> str:
    shifted = em.value(f"fadd <{lanes} x double> {a}, splat (double {_MAGIC})")
    bits = em.value(f"bitcast <{lanes} x double> {shifted} to <{lanes} x i64>")
    return vector_binary(em, "sub", bits, f"splat (i64 {_MAGIC_BITS})", lanes)


SCALAR_FUNCTIONS: dict[str, Callable[[Emitter, str, str], str]] = {
    "max": maximum,
    "min": minimum,
}
