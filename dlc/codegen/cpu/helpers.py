"""Helper functions in LLVM text for what has no instruction: float remainder, fused multiply-add.

A helper is an internal function of the module that uses it; it travels with an emitter's
declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.literals import literal, splat_literal, vector_type
from dlc.ir.types import DType, float32, float64

_Body = Callable[[Emitter, Sequence[str]], str]


def fma(em: Emitter, dtype: DType, args: Sequence[str], lanes: int, isa: Isa) -> str:
    """`args[0] * args[1] + args[2]` with one rounding, for float32 and float64."""
    t = llvm_type(dtype, lanes)
    if isa.fma:
        name = f"llvm.fma.{'' if lanes == 1 else f'v{lanes}'}f{dtype.bits}"
        return em.call(name, t, [(t, a) for a in args])
    if dtype is float32:
        return _call(em, f"dlc.fma.{lanes}xf32", t, args, lambda f, a: _fma_f32(f, a, lanes))
    return _call(em, f"dlc.fma.{lanes}xf64", t, args, lambda f, a: _fma_f64(f, a, lanes))


def ldexp(em: Emitter, dtype: DType, args: Sequence[str], lanes: int, isa: Isa) -> str:
    """`args[0] * 2^args[1]` with one rounding, for float32 and float64, where that is defined."""
    x, n = args
    if isa.scales:
        return _scaled(em, dtype, args, lanes, isa)
    fraction, bias = (23, 127) if dtype is float32 else (52, 1023)
    t, element = llvm_type(dtype, lanes), f"i{dtype.bits}"
    q = vector_type(element, lanes)

    def shifted(instruction: str, value: str, by: int) -> str:
        count = splat_literal(element, str(by), lanes)
        return em.value(f"{instruction} {q} {value}, {count}")

    # 2^n itself may not be a float: two factors, of which only the second may round. Their sum is
    # in the low bits of a number whose last place is 1, with the bias of both. Only a zero has a
    # lower n, for which there are none.
    least = literal(-float(bias * 3 // 2), dtype, lanes)
    low = em.value(f"fcmp olt {t} {n}, {least}")
    n = em.value(f"select {vector_type('i1', lanes)} {low}, {t} {least}, {t} {n}")
    magic = literal(1.5 * 2.0**fraction + 2 * bias, dtype, lanes)
    bits = em.value(f"bitcast {t} {em.value(f'fadd {t} {n}, {magic}')} to {q}")
    half = shifted("lshr", bits, 1)
    for part in (half, em.value(f"sub {q} {bits}, {half}")):
        power = em.value(f"bitcast {q} {shifted('shl', part, fraction)} to {t}")
        x = em.value(f"fmul {t} {x}, {power}")
    return x


def _scaled(em: Emitter, dtype: DType, args: Sequence[str], lanes: int, isa: Isa) -> str:
    """`ldexp` by the instruction, in pieces that a register holds."""
    width = min(max(lanes, 128 // dtype.bits), isa.lanes(dtype.bits))
    register, element = llvm_type(dtype, width), llvm_type(dtype)
    bits = width * dtype.bits
    mask = f"i{max(width, 8)}"
    name = f"llvm.x86.avx512.mask.scalef.{'ps' if dtype is float32 else 'pd'}.{bits}"
    rounding = [("i32", "4")] if bits == 512 else []

    def scale(x: str, n: str) -> str:
        operands = [(register, v) for v in (x, n, x)]
        return em.call(name, register, [*operands, (mask, "-1"), *rounding])

    if lanes == 1:
        first = [
            em.value(f"insertelement {register} zeroinitializer, {element} {a}, i64 0")
            for a in args
        ]
        return em.value(f"extractelement {register} {scale(*first)}, i64 0")
    if lanes == width:
        return scale(*args)
    whole, result = llvm_type(dtype, lanes), "poison"
    for start in range(0, lanes, width):
        order = ", ".join(f"i32 {start + k}" for k in range(width))
        parts = [
            em.value(f"shufflevector {whole} {a}, {whole} poison, <{width} x i32> <{order}>")
            for a in args
        ]
        result = _placed(em, whole, register, (result, scale(*parts)), (start, width, lanes))
    return result


def _placed(
    em: Emitter, whole: str, register: str, values: tuple[str, str], place: tuple[int, int, int]
) -> str:
    """A vector with the `width` lanes from `start` on replaced."""
    (start, width, lanes), (vector, part) = place, values
    spread = ", ".join(f"i32 {k % width}" for k in range(lanes))
    part = em.value(
        f"shufflevector {register} {part}, {register} poison, <{lanes} x i32> <{spread}>"
    )
    order = ", ".join(f"i32 {lanes + k if start <= k < start + width else k}" for k in range(lanes))
    return em.value(f"shufflevector {whole} {vector}, {whole} {part}, <{lanes} x i32> <{order}>")


def fmod(em: Emitter, dtype: DType, args: Sequence[str], lanes: int, isa: Isa) -> str:
    """C's exact `fmod(args[0], args[1])` for float32 and float64: the sign of the dividend."""
    t = llvm_type(dtype, lanes)
    if dtype is float32:
        wide = llvm_type(float64, lanes)
        widened = [em.value(f"fpext {t} {a} to {wide}") for a in args]
        return em.value(f"fptrunc {wide} {fmod(em, float64, widened, lanes, isa)} to {t}")
    return _call(em, f"dlc.fmod.{lanes}xf64", t, args, lambda f, a: _fmod_f64(f, a, lanes, isa))


def _call(em: Emitter, name: str, type_: str, args: Sequence[str], body: _Body) -> str:
    """A call of the helper `name` on values of `type_`, giving one; defined on its first use."""
    head = f"define internal {type_} @{name}("
    if not any(d.startswith(head) for d in em.declarations):
        names = [f"a{k}" for k in range(len(args))]
        helper = Emitter(name, [(type_, n) for n in names], type_)
        helper.line(f"ret {type_} {body(helper, ['%' + n for n in names])}")
        em.declarations |= helper.declarations
        em.declarations.add(helper.text().replace("define ", "define internal ", 1))
    return em.value(f"call {type_} @{name}({', '.join(f'{type_} {a}' for a in args)})")


def two_sum(em: Emitter, type_: str, a: str, b: str) -> tuple[str, str]:
    """a + b rounded, and its rounding error (Knuth)."""
    s = em.value(f"fadd {type_} {a}, {b}")
    b_part = em.value(f"fsub {type_} {s}, {a}")
    a_part = em.value(f"fsub {type_} {s}, {b_part}")
    da = em.value(f"fsub {type_} {a}, {a_part}")
    db = em.value(f"fsub {type_} {b}, {b_part}")
    return s, em.value(f"fadd {type_} {da}, {db}")


def round_to_odd(em: Emitter, s: str, error: str, lanes: int) -> str:
    """The f64 `s + error` rounded to odd, `s` being its nearest: it may be rounded once more."""
    d, q = vector_type("double", lanes), vector_type("i64", lanes)
    i1 = vector_type("i1", lanes)
    one, zero = splat_literal("i64", "1", lanes), splat_literal("double", "0.0", lanes)
    bits = em.value(f"bitcast {d} {s} to {q}")
    error_bits = em.value(f"bitcast {d} {error} to {q}")
    # An even neighbour moves by one towards the exact sum: up in magnitude when the signs agree.
    differ = em.value(f"xor {q} {bits}, {error_bits}")
    sign = em.value(f"ashr {q} {differ}, {splat_literal('i64', '63', lanes)}")
    step = em.value(f"or {q} {sign}, {one}")
    odd = em.value(f"and {q} {bits}, {one}")
    even = em.value(f"icmp eq {q} {odd}, {splat_literal('i64', '0', lanes)}")
    inexact = em.value(f"fcmp one {d} {error}, {zero}")
    move = em.value(f"and {i1} {even}, {inexact}")
    moved = em.value(f"add {q} {bits}, {step}")
    chosen = em.value(f"select {i1} {move}, {q} {moved}, {q} {bits}")
    return em.value(f"bitcast {q} {chosen} to {d}")


def _fma_f32(em: Emitter, args: Sequence[str], lanes: int) -> str:
    """In f64 the product is exact; only a sum on a tie of f32, or a subnormal, may round wrongly.

    Rounded to odd, the sum rounds again as the exact one does.
    """
    t, d = vector_type("float", lanes), vector_type("double", lanes)
    q, i1 = vector_type("i64", lanes), vector_type("i1", lanes)
    a, b, c = (em.value(f"fpext {t} {x} to {d}") for x in args)
    p = em.value(f"fmul {d} {a}, {b}")
    total = em.value(f"fadd {d} {p}, {c}")
    bits = em.value(f"bitcast {d} {total} to {q}")
    tail = em.value(f"and {q} {bits}, {splat_literal('i64', str(2**29 - 1), lanes)}")
    tie = em.value(f"icmp eq {q} {tail}, {splat_literal('i64', str(2**28), lanes)}")
    magnitude = _float_intrinsic(em, "fabs", lanes, total)
    below = em.value(f"fcmp olt {d} {magnitude}, {literal(2.0**-126, float64, lanes)}")
    nonzero = em.value(f"fcmp one {d} {total}, {literal(0.0, float64, lanes)}")
    subnormal = em.value(f"and {i1} {below}, {nonzero}")
    slow, fast, done = em.fresh("slow"), em.fresh("fast"), em.fresh("done")
    em.branch_if(any_lane(em, tie, subnormal, lanes), slow, fast)
    em.block(slow)
    s, error = two_sum(em, d, p, c)
    odd = round_to_odd(em, s, error, lanes)
    em.branch(done)
    em.block(fast)
    em.branch(done)
    em.block(done)
    chosen = em.value(f"phi {d} [ {odd}, %{slow} ], [ {total}, %{fast} ]")
    return em.value(f"fptrunc {d} {chosen} to {t}")


def _fma_f64(em: Emitter, args: Sequence[str], lanes: int) -> str:
    """Exact products and sums of two parts (Dekker; Boldo and Melquiond) while all are in range.

    With a lane near the ends of the range all go through integers: slow, and always right.
    """
    d, i1 = vector_type("double", lanes), vector_type("i1", lanes)
    a, b, c = args
    p = em.value(f"fmul {d} {a}, {b}")
    unsafe = [_outside(em, x, lanes, 2.0**-400, 2.0**400) for x in (a, b)]
    c_zero = em.value(f"fcmp oeq {d} {c}, {splat_literal('double', '0.0', lanes)}")
    c_safe = em.value(f"xor {i1} {_outside(em, c, lanes, 2.0**-900, 2.0**900)}, {_true(lanes)}")
    c_safe = em.value(f"or {i1} {c_safe}, {c_zero}")
    unsafe.append(em.value(f"xor {i1} {c_safe}, {_true(lanes)}"))
    some = any_lane(em, em.value(f"or {i1} {unsafe[0]}, {unsafe[1]}"), unsafe[2], lanes)
    slow, fast, done = em.fresh("slow"), em.fresh("fast"), em.fresh("done")
    em.branch_if(some, slow, fast)
    em.block(slow)
    by_integers = _each_lane(em, args, lanes)
    em.branch(done)
    em.block(fast)
    low = _product_error(em, a, b, p, lanes)
    uh, ul = two_sum(em, d, c, low)
    th, tl = two_sum(em, d, p, uh)
    v, error = two_sum(em, d, tl, ul)
    by_parts = em.value(f"fadd {d} {th}, {round_to_odd(em, v, error, lanes)}")
    em.branch(done)
    em.block(done)
    return em.value(f"phi {d} [ {by_integers}, %{slow} ], [ {by_parts}, %{fast} ]")


def _true(lanes: int) -> str:
    return splat_literal("i1", "true", lanes)


def _outside(em: Emitter, x: str, lanes: int, low: float, high: float) -> str:
    """Whether |x| is not within [low, high]; true for NaN."""
    d, i1 = vector_type("double", lanes), vector_type("i1", lanes)
    magnitude = em.call(f"llvm.fabs.{'' if lanes == 1 else f'v{lanes}'}f64", d, [(d, x)])
    below = em.value(f"fcmp ult {d} {magnitude}, {literal(low, float64, lanes)}")
    above = em.value(f"fcmp ugt {d} {magnitude}, {literal(high, float64, lanes)}")
    return em.value(f"or {i1} {below}, {above}")


def any_lane(em: Emitter, a: str, b: str, lanes: int) -> str:
    """Whether a or b holds in any lane."""
    i1 = vector_type("i1", lanes)
    both = em.value(f"or {i1} {a}, {b}")
    if lanes == 1:
        return both
    return em.call(f"llvm.vector.reduce.or.v{lanes}i1", "i1", [(i1, both)])


def _product_error(em: Emitter, a: str, b: str, p: str, lanes: int) -> str:
    """a*b - p exactly, p being a*b rounded (Dekker)."""
    d = vector_type("double", lanes)
    (ah, al), (bh, bl) = _split(em, a, lanes), _split(em, b, lanes)
    e = em.value(f"fsub {d} {em.value(f'fmul {d} {ah}, {bh}')}, {p}")
    for x, y in ((ah, bl), (al, bh), (al, bl)):
        e = em.value(f"fadd {d} {e}, {em.value(f'fmul {d} {x}, {y}')}")
    return e


def _split(em: Emitter, x: str, lanes: int) -> tuple[str, str]:
    d = vector_type("double", lanes)
    scaled = em.value(f"fmul {d} {x}, {literal(2.0**27 + 1.0, float64, lanes)}")
    high = em.value(f"fsub {d} {scaled}, {em.value(f'fsub {d} {scaled}, {x}')}")
    return high, em.value(f"fsub {d} {x}, {high}")


def _each_lane(em: Emitter, args: Sequence[str], lanes: int) -> str:
    if lanes == 1:
        return _call(em, "dlc.fma.f64.exact", "double", args, _fma_by_integers)
    t = vector_type("double", lanes)
    result = "poison"
    for k in range(lanes):
        parts = [em.value(f"extractelement {t} {a}, i64 {k}") for a in args]
        lane = _call(em, "dlc.fma.f64.exact", "double", parts, _fma_by_integers)
        result = em.value(f"insertelement {t} {result}, double {lane}, i64 {k}")
    return result


def _fma_by_integers(em: Emitter, args: Sequence[str]) -> str:
    """One f64 fma: the exact sum as a 256-bit integer times a power of two, rounded once."""
    a, b, c = args
    plain = em.value(f"fadd double {em.value(f'fmul double {a}, {b}')}, {c}")
    product = em.value(f"fmul double {a}, {b}")
    (ma, ea, sa), (mb, eb, sb), (mc, ec, sc) = (_decompose(em, x) for x in args)
    # The product takes bits 64 to 170; below it there is room for what c adds under its last bit.
    m = em.value(f"mul i256 {ma}, {mb}")
    base = em.value(f"sub i64 {em.value(f'add i64 {ea}, {eb}')}, 64")
    m = em.value(f"shl i256 {m}, 64")
    offset = em.value(f"sub i64 {ec}, {base}")
    # A c far above turns the product into a sticky bit, a product far above does so to c.
    far = em.value(f"icmp sgt i64 {offset}, 190")
    m = em.value(f"select i1 {far}, i256 1, i256 {m}")
    base = em.value(f"select i1 {far}, i64 {em.value(f'sub i64 {ec}, 190')}, i64 {base}")
    offset = em.value(f"select i1 {far}, i64 190, i64 {offset}")
    term = _shifted_sticky(em, mc, offset)
    sign = em.value(f"xor i1 {sa}, {sb}")
    x = em.value(f"select i1 {sign}, i256 {em.value(f'sub i256 0, {m}')}, i256 {m}")
    y = em.value(f"select i1 {sc}, i256 {em.value(f'sub i256 0, {term}')}, i256 {term}")
    total = em.value(f"add i256 {x}, {y}")
    rounded = _round_integer(em, total, base)
    # With a zero, infinite or NaN operand, one of the ordinary operations is exact; a finite
    # product that overflows must not meet an infinite c.
    zero_product = em.value(f"or i1 {_is_zero(em, a)}, {_is_zero(em, b)}")
    wild = em.value(f"or i1 {_not_finite(em, a)}, {_not_finite(em, b)}")
    result = em.value(f"select i1 {_is_zero(em, c)}, double {product}, double {rounded}")
    result = em.value(f"select i1 {_not_finite(em, c)}, double {c}, double {result}")
    special = em.value(f"or i1 {zero_product}, {wild}")
    return em.value(f"select i1 {special}, double {plain}, double {result}")


def _not_finite(em: Emitter, x: str) -> str:
    magnitude = em.call("llvm.fabs.f64", "double", [("double", x)])
    return em.value(f"fcmp uge double {magnitude}, 0x7FF0000000000000")


def _is_zero(em: Emitter, x: str) -> str:
    return em.value(f"fcmp oeq double {x}, 0.0")


def _decompose(em: Emitter, x: str) -> tuple[str, str, str]:
    """The significand as an i256, the exponent of its last bit, and whether the sign is set."""
    bits = em.value(f"bitcast double {x} to i64")
    raw = em.value(f"and i64 {em.value(f'lshr i64 {bits}, 52')}, 2047")
    fraction = em.value(f"and i64 {bits}, {2**52 - 1}")
    normal = em.value(f"icmp ne i64 {raw}, 0")
    implied = em.value(f"or i64 {fraction}, {2**52}")
    significand = em.value(f"select i1 {normal}, i64 {implied}, i64 {fraction}")
    field = em.value(f"select i1 {normal}, i64 {raw}, i64 1")
    wide = em.value(f"zext i64 {significand} to i256")
    sign = em.value(f"icmp slt i64 {bits}, 0")
    return wide, em.value(f"sub i64 {field}, 1075"), sign


def _shifted_sticky(em: Emitter, m: str, offset: str) -> str:
    """m << offset; for a negative offset m >> -offset, its last bit set when a bit was lost."""
    left = em.call("llvm.smax.i64", "i64", [("i64", offset), ("i64", "0")])
    negated = em.value(f"sub i64 0, {offset}")
    right = em.call("llvm.smax.i64", "i64", [("i64", negated), ("i64", "0")])
    right = em.call("llvm.umin.i64", "i64", [("i64", right), ("i64", "64")])
    by = em.value(f"zext i64 {right} to i256")
    down = em.value(f"lshr i256 {m}, {by}")
    back = em.value(f"shl i256 {down}, {by}")
    lost = em.value(f"zext i1 {em.value(f'icmp ne i256 {back}, {m}')} to i256")
    sticky = em.value(f"or i256 {down}, {lost}")
    return em.value(f"shl i256 {sticky}, {em.value(f'zext i64 {left} to i256')}")


def _round_integer(em: Emitter, total: str, base: str) -> str:
    """total * 2^base as the nearest f64, ties to even."""
    negative = em.value(f"icmp slt i256 {total}, 0")
    magnitude = em.call("llvm.abs.i256", "i256", [("i256", total), ("i1", "false")])
    zeros = em.call("llvm.ctlz.i256", "i256", [("i256", magnitude), ("i1", "false")])
    top = em.value(f"sub i64 255, {em.value(f'trunc i256 {zeros} to i64')}")
    last = em.value(f"sub i64 {em.value(f'add i64 {base}, {top}')}, 52")
    last = em.call("llvm.smax.i64", "i64", [("i64", last), ("i64", "-1074")])
    shift = em.value(f"sub i64 {last}, {base}")
    # Room for a left shift of a short sum: 53 bits and 64 more always fit.
    raised = em.value(f"shl i256 {magnitude}, {_wide(em, _clamp(em, shift, negate=True))}")
    right = _wide(em, _clamp(em, shift, negate=False))
    down = em.value(f"lshr i256 {raised}, {right}")
    rest = em.value(f"sub i256 {raised}, {em.value(f'shl i256 {down}, {right}')}")
    # Twice the rest against one unit of the kept bits; an odd value goes up on a tie.
    twice = em.value(f"shl i256 {rest}, 1")
    unit = em.value(f"shl i256 1, {right}")
    odd = em.value(f"and i256 {down}, 1")
    up = em.value(f"icmp ugt i256 {em.value(f'add i256 {twice}, {odd}')}, {unit}")
    kept = em.value(f"add i256 {down}, {em.value(f'zext i1 {up} to i256')}")
    field = em.value(f"shl i64 {em.value(f'add i64 {last}, 1074')}, 52")
    bits = em.value(f"add i64 {field}, {em.value(f'trunc i256 {kept} to i64')}")
    bits = em.call("llvm.umin.i64", "i64", [("i64", bits), ("i64", str(0x7FF << 52))])
    # An exact zero sum is +0.
    bits = em.value(f"select i1 {em.value(f'icmp eq i256 {total}, 0')}, i64 0, i64 {bits}")
    sign = em.value(f"select i1 {negative}, i64 {-(2**63)}, i64 0")
    return em.value(f"bitcast i64 {em.value(f'or i64 {bits}, {sign}')} to double")


def _wide(em: Emitter, x: str) -> str:
    return em.value(f"zext i64 {x} to i256")


def _clamp(em: Emitter, shift: str, *, negate: bool) -> str:
    """max(shift, 0), or max(-shift, 0) to negate, at most 250."""
    if negate:
        shift = em.value(f"sub i64 0, {shift}")
    positive = em.call("llvm.smax.i64", "i64", [("i64", shift), ("i64", "0")])
    return em.call("llvm.umin.i64", "i64", [("i64", positive), ("i64", "250")])


def _fmod_f64(em: Emitter, args: Sequence[str], lanes: int, isa: Isa) -> str:
    """Long division: each round takes off up to 52 bits of the quotient, exactly."""
    d, i1 = vector_type("double", lanes), vector_type("i1", lanes)

    def constant(x: float) -> str:
        return literal(x, float64, lanes)

    a, b = (_float_intrinsic(em, "fabs", lanes, x) for x in args)
    finite = em.value(f"fcmp olt {d} {a}, {constant(float('inf'))}")
    nonzero = em.value(f"fcmp ogt {d} {b}, {constant(0.0)}")
    valid = em.value(f"and {i1} {finite}, {nonzero}")
    a = em.value(f"select {i1} {valid}, {d} {a}, {d} {constant(0.0)}")
    b = em.value(f"select {i1} {valid}, {d} {b}, {d} {constant(1.0)}")
    exponent = _exponent(em, b, lanes)
    head, inside, done = em.fresh("head"), em.fresh("body"), em.fresh("done")
    before, r, following = em.current, "%" + em.fresh("r"), "%" + em.fresh("r")
    em.branch(head)
    em.block(head)
    em.line(f"{r} = phi {d} [ {a}, %{before} ], [ {following}, %{inside} ]")
    left = em.value(f"fcmp oge {d} {r}, {b}")
    em.branch_if(any_lane(em, left, left, lanes), inside, done)
    em.block(inside)
    scaled = _divisor_below(em, r, b, exponent, lanes)
    quotient = _float_intrinsic(em, "trunc", lanes, em.value(f"fdiv {d} {r}, {scaled}"))
    rest = fma(em, float64, [em.value(f"fneg {d} {quotient}"), scaled, r], lanes, isa)
    # The rounded quotient may be one too large.
    below = em.value(f"fcmp olt {d} {rest}, {constant(0.0)}")
    lifted = em.value(f"fadd {d} {rest}, {scaled}")
    rest = em.value(f"select {i1} {below}, {d} {lifted}, {d} {rest}")
    em.line(f"{following} = select {i1} {left}, {d} {rest}, {d} {r}")
    em.branch(head)
    em.block(done)
    signed = _float_intrinsic(em, "copysign", lanes, r, args[0])
    total = em.value(f"fadd {d} {args[0]}, {args[1]}")
    nan = em.value(f"fadd {d} {total}, {constant(float('nan'))}")
    return em.value(f"select {i1} {valid}, {d} {signed}, {d} {nan}")


def _float_intrinsic(em: Emitter, name: str, lanes: int, *args: str) -> str:
    d, suffix = vector_type("double", lanes), "f64" if lanes == 1 else f"v{lanes}f64"
    return em.call(f"llvm.{name}.{suffix}", d, [(d, a) for a in args])


def _divisor_below(em: Emitter, r: str, b: str, exponent: str, lanes: int) -> str:
    """b * 2^k, k >= 0, below r with r / (b * 2^k) < 2^53, or b if that is so already."""
    d, q = vector_type("double", lanes), vector_type("i64", lanes)

    def integer(x: int) -> str:
        return splat_literal("i64", str(x), lanes)

    bits = em.value(f"bitcast {d} {r} to {q}")
    gap = em.value(f"sub {q} {em.value(f'lshr {q} {bits}, {integer(52)}')}, {exponent}")
    gap = em.value(f"sub {q} {gap}, {integer(51)}")
    suffix = "i64" if lanes == 1 else f"v{lanes}i64"
    gap = em.call(f"llvm.smax.{suffix}", q, [(q, gap), (q, integer(0))])
    # 2^k itself may be out of range.
    half = em.value(f"lshr {q} {gap}, {integer(1)}")
    for k in (half, em.value(f"sub {q} {gap}, {half}")):
        field = em.value(f"add {q} {k}, {integer(1023)}")
        power = em.value(f"bitcast {q} {em.value(f'shl {q} {field}, {integer(52)}')} to {d}")
        b = em.value(f"fmul {d} {b}, {power}")
    return b


def _exponent(em: Emitter, b: str, lanes: int) -> str:
    """The biased exponent of a positive f64, less than 1 for a subnormal."""
    d, q = vector_type("double", lanes), vector_type("i64", lanes)
    i1 = vector_type("i1", lanes)
    subnormal = em.value(f"fcmp olt {d} {b}, {literal(2.0**-1022, float64, lanes)}")
    raised = em.value(f"fmul {d} {b}, {literal(2.0**54, float64, lanes)}")
    chosen = em.value(f"select {i1} {subnormal}, {d} {raised}, {d} {b}")
    bits = em.value(f"bitcast {d} {chosen} to {q}")
    field = em.value(f"lshr {q} {bits}, {splat_literal('i64', '52', lanes)}")
    lowered = em.value(f"sub {q} {field}, {splat_literal('i64', '54', lanes)}")
    return em.value(f"select {i1} {subnormal}, {q} {lowered}, {q} {field}")
