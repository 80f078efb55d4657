"""Functions in Triton's language that generated kernels call; each module has those it uses."""

from __future__ import annotations

import re
import textwrap

_FLOATS = {
    # sign bit, unsigned type, float type, fraction bits, exponent bias
    "f32": ("0x80000000", "tl.uint32", "tl.float32", 23, 127),
    "f64": ("0x8000000000000000", "tl.uint64", "tl.float64", 52, 1023),
}

_PLAIN = """
def _div(a, b):
    return a / b

def _trunc(x):
    return tl.where(x < 0, tl.ceil(x), tl.floor(x))

def _to_integer(x, low, end, least, most, to: tl.constexpr):
    below, above = x < low, x >= end
    inside = tl.where(below | above | (x != x), 0.0, x).to(to)
    return tl.where(below, least, tl.where(above, most, inside))

def _power_of_two(x, least):
    # That of the largest magnitude of each row, but not below `least`, and its reciprocal.
    bits = tl.max(x.to(tl.int32, bitcast=True) & 0x7F800000, 1, keep_dims=True)
    bits = tl.minimum(tl.maximum(bits, least.to(tl.int32, bitcast=True)), 253 << 23)
    return bits.to(tl.float32, bitcast=True), ((254 << 23) - bits).to(tl.float32, bitcast=True)

def _odd_f32(x):
    # Rounded to odd, so that rounding once more is one rounding in all.
    nearest = x.to(tl.float32)
    back = nearest.to(tl.float64)
    bits = nearest.to(tl.int32, bitcast=True)
    bits = tl.where(tl.abs(back) > tl.abs(x), bits - 1, bits)
    inexact = (back != x) & (x == x)
    return tl.where(inexact, bits | 1, bits).to(tl.float32, bitcast=True)

def _sticky_f64(x, signed: tl.constexpr):
    # What float64 cannot hold only marks the number as not halfway.
    low = x & 0x7FF
    sticky = (x - low) | tl.where(low != 0, 0x400, 0).to(x.dtype)
    if signed:
        small = (x > -(2**53)) & (x < 2**53)
    else:
        small = x < 2**53
    return tl.where(small, x, sticky).to(tl.float64)

def _ufloordiv(a, b, zero, one):
    return tl.where(b == zero, zero, a // tl.where(b == zero, one, b))

def _umod(a, b, zero, one):
    divisor = tl.where(b == zero, one, b)
    return a - (a // divisor) * divisor

def _sfloordiv(a, b, zero, one, minus, least):
    divisor = tl.where((b == zero) | ((b == minus) & (a == least)), one, b)
    quotient = a // divisor
    rest = a - quotient * divisor
    down = (rest != zero) & ((rest ^ divisor) < zero)
    return tl.where(b == zero, zero, tl.where(down, quotient - one, quotient))

def _smod(a, b, zero, one, minus, least):
    divisor = tl.where((b == zero) | ((b == minus) & (a == least)), one, b)
    rest = a - (a // divisor) * divisor
    up = (rest != zero) & ((rest ^ divisor) < zero)
    return tl.where(up, rest + divisor, rest)

def _shl(a, count, width, zero):
    fits = (count >= zero) & (count < width)
    return tl.where(fits, a << tl.where(fits, count, zero), zero)

def _shr(a, count, width, zero):
    fits = (count >= zero) & (count < width)
    return tl.where(fits, a >> tl.where(fits, count, zero), zero)

def _sar(a, count, width, zero):
    fits = (count >= zero) & (count < width)
    beyond = tl.where(a < zero, zero - 1, zero).to(a.dtype)
    return tl.where(fits, a >> tl.where(fits, count, zero), beyond)

def _index_floordiv(a, b):
    quotient = a // b
    rest = a - quotient * b
    return tl.where((rest != 0) & ((rest ^ b) < 0), quotient - 1, quotient)

def _index_mod(a, b):
    rest = a - (a // b) * b
    return tl.where((rest != 0) & ((rest ^ b) < 0), rest + b, rest)

def _fold_prod(a, b):
    return a * b

def _fold_max(a, b):
    return tl.maximum(a, b)

def _fold_min(a, b):
    return tl.minimum(a, b)

def _fold_max_nan(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)

def _fold_min_nan(a, b):
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
"""

_BY_WIDTH = """
def _neg_{w}(x):
    sign = tl.full((), {sign}, {uint})
    return (x.to({uint}, bitcast=True) ^ sign).to({float}, bitcast=True)

def _copysign_{w}(x, y):
    sign = tl.full((), {sign}, {uint})
    taken = y.to({uint}, bitcast=True) & sign
    return (tl.abs(x).to({uint}, bitcast=True) | taken).to({float}, bitcast=True)

def _rint_{w}(x):
    size = tl.abs(x)
    magic = tl.full((), {magic!r}, {float})
    return tl.where(size < magic, _copysign_{w}((size + magic) - magic, x), x)

def _ldexp_{w}(x, n):
    # 2^n itself may not be a float: two factors, of which only the second may round. Only a zero
    # has a lower n, for which there are none.
    least = tl.full((), {least!r}, {float})
    n = tl.where(n < least, least, n)
    magic = tl.full((), {powers!r}, {float})
    i = (n + magic).to({uint}, bitcast=True)
    half = i >> 1
    first = (half << {fraction}).to({float}, bitcast=True)
    second = ((i - half) << {fraction}).to({float}, bitcast=True)
    return x * first * second

def _floor_parts_{w}(a, b):
    # The remainder with a's sign, and where the divisor's differs.
    rest = _fmod_{w}(a, b)
    moved = (rest != 0) & (rest == rest) & ((rest < 0) != (b < 0))
    return rest, moved

def _mod_{w}(a, b):
    rest, moved = _floor_parts_{w}(a, b)
    lifted = tl.where(moved, rest + b, rest)
    zero = tl.full((), 0.0, {float})
    return tl.where(rest == 0, _copysign_{w}(zero, b), lifted)

def _floordiv_{w}(a, b):
    rest, moved = _floor_parts_{w}(a, b)
    quotient = {divide}(a - rest, b)
    quotient = tl.where(moved, quotient - 1.0, quotient)
    whole = tl.floor(quotient)
    # The division may have rounded to just under the integer that it is.
    whole = tl.where(quotient - whole > 0.5, whole + 1.0, whole)
    plain = {divide}(a, b)
    zero = tl.full((), 0.0, {float})
    whole = tl.where(quotient == 0, _copysign_{w}(zero, plain), whole)
    # By zero, and of and by infinities, it is the floor of the quotient, as the standard has it.
    edge = (b == 0) | (tl.abs(a) == float("inf")) | (tl.abs(b) == float("inf"))
    return tl.where(edge, tl.floor(plain), whole)
"""

_FMOD = """
def _fmod_{w}(a, b):
    # Long division of the fractions as integers, {step} bits at a time: exact.
    ua = tl.abs(a).to({uint}, bitcast=True).to(tl.uint64)
    ub = tl.abs(b).to({uint}, bitcast=True).to(tl.uint64)
    hidden = tl.full((), {hidden}, tl.uint64)
    ea, eb = (ua >> {fraction}).to(tl.int32), (ub >> {fraction}).to(tl.int32)
    ma = tl.where(ea == 0, ua, (ua & (hidden - 1)) | hidden)
    mb = tl.where(eb == 0, ub, (ub & (hidden - 1)) | hidden)
    ea, eb = tl.maximum(ea, 1), tl.maximum(eb, 1)
    mb = tl.where(mb == 0, hidden, mb)
    left = ea - eb
    rest = ma % mb
    for _ in range(0, {rounds}):
        now = tl.minimum(tl.maximum(left, 0), {step})
        rest = (rest << now.to(tl.uint64)) % mb
        left -= now
    exponent = eb - {offset}
    half = exponent >> 1
    first = ((half + 1023).to(tl.int64) << 52).to(tl.float64, bitcast=True)
    second = ((exponent - half + 1023).to(tl.int64) << 52).to(tl.float64, bitcast=True)
    result = (rest.to(tl.float64) * first * second).to({float})
    result = tl.where(ua < ub, tl.abs(a), result)
    infinite = tl.full((), {infinite}, tl.uint64)
    bad = (ua >= infinite) | (ub > infinite) | (ub == 0)
    nan = tl.full((), {nan}, {uint}).to({float}, bitcast=True)
    return tl.where(bad, nan, _copysign_{w}(result, a))
"""


def _library() -> dict[str, str]:
    text = _PLAIN
    for w, (sign, uint, float_, fraction, bias) in _FLOATS.items():
        text += _BY_WIDTH.format(
            w=w, sign=sign, uint=uint, float=float_, fraction=fraction, magic=2.0**fraction,
            powers=1.5 * 2.0**fraction + 2 * bias, least=-float(bias * 3 // 2),
            divide="tl.div_rn" if w == "f32" else "_div",
        )  # fmt: skip
    text += _FMOD.format(
        w="f32", uint="tl.uint32", float="tl.float32", step=40, rounds=7, fraction=23,
        hidden=1 << 23, offset=150, infinite=0x7F800000, nan=0x7FC00000,
    )  # fmt: skip
    text += _FMOD.format(
        w="f64", uint="tl.uint64", float="tl.float64", step=11, rounds=187, fraction=52,
        hidden=1 << 52, offset=1075, infinite=0x7FF0000000000000, nan=0x7FF8000000000000,
    )  # fmt: skip
    functions = re.split(r"\n(?=def )", textwrap.dedent(text))
    named = {m.group(1): f for f in functions if (m := re.match(r"def (\w+)", f))}
    return {name: f"@triton.jit\n{f.strip()}\n" for name, f in named.items()}


_LIBRARY = _library()


def helpers_of(source: str) -> str:
    """The functions that `source` calls, and those that these call, each before its callers."""
    needed: dict[str, None] = {}

    def visit(text: str) -> None:
        for name in re.findall(r"\b(_\w+)\b", text):
            if name in _LIBRARY and name not in needed:
                own = _LIBRARY[name]
                visit(own.split("\n", 2)[2])
                needed[name] = None

    visit(source)
    return "\n\n".join(_LIBRARY[n] for n in needed)
