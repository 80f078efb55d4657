"""Each basic scalar op as LLVM text, for one lane or a vector, with the meaning of `dlc.ir.scalar`.

No op traps, in masked lanes either, and none calls anything outside the module. What the meaning
leaves open: `min` and `max` take -0.0 as less than 0.0 (NumPy returns either zero, depending on
the CPU), so that they do not depend on the order of their operands. Float `floordiv` and `mod` are
NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dlc.codegen.cpu import helpers
from dlc.codegen.cpu.converts import emit_convert, widen
from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.literals import literal, vector_type
from dlc.ir.errors import BackendError
from dlc.ir.record import dataclass
from dlc.ir.types import DType, float32, float64


def emit_op(
    em: Emitter,
    name: str,
    dtype: DType,
    arg_dtypes: Sequence[DType],
    args: Sequence[str],
    lanes: int,
    isa: Isa,
) -> str:
    """Writes the basic scalar op `name` and returns its value.

    Args:
        em: Function to write into; helper functions travel in its declarations.
        name: A row of `SCALAR_OPS` that is not `math`.
        dtype: Type of the result.
        arg_dtypes: Type of each argument.
        args: Arguments, each of type `llvm_type(arg_dtype, lanes)`; bool is i1.
        lanes: Elements a value; 1 means plain scalars.
        isa: Level that the code is for.

    Raises:
        BackendError: for an op that is not basic, or arithmetic on float16 or bfloat16 (which
            lowering writes as converts around float32).
    """
    w = _Writer(em, dtype, tuple(arg_dtypes), tuple(args), lanes, isa)
    if name in _ANY:
        return _ANY[name](w)
    if name in _COMPARES:
        return _compare(w, name)
    source = arg_dtypes[-1]
    table = _FLOAT if source.is_float else _INTEGER
    if name not in table or (source.is_float and source.bits == 16):
        raise BackendError(f"the CPU backend has no scalar op {name} on {source.short}")
    return table[name](w)


@dataclass(frozen=True)
class _Writer:
    """One op being written: its types, arguments and target."""

    em: Emitter
    dtype: DType
    arg_dtypes: tuple[DType, ...]
    args: tuple[str, ...]
    lanes: int
    isa: Isa

    @property
    def type(self) -> str:
        """The LLVM type of the last argument."""
        return llvm_type(self.arg_dtypes[-1], self.lanes)

    @property
    def i1(self) -> str:
        return vector_type("i1", self.lanes)

    def constant(self, value: float) -> str:
        return literal(value, self.arg_dtypes[-1], self.lanes)

    def binary(self, instruction: str, a: str, b: str) -> str:
        return self.em.value(f"{instruction} {self.type} {a}, {b}")

    def boolean(self, instruction: str, a: str, b: str) -> str:
        return self.em.value(f"{instruction} {self.i1} {a}, {b}")

    def choose(self, condition: str, a: str, b: str) -> str:
        return self.em.value(f"select {self.i1} {condition}, {self.type} {a}, {self.type} {b}")

    def intrinsic(self, name: str, *args: str) -> str:
        source = self.arg_dtypes[-1]
        letter = "f" if source.is_float else "i"
        suffix = f"{'' if self.lanes == 1 else f'v{self.lanes}'}{letter}{source.bits}"
        return self.em.call(f"llvm.{name}.{suffix}", self.type, [(self.type, a) for a in args])


_Write = Callable[[_Writer], str]


def _instruction(text: str) -> _Write:
    return lambda w: w.binary(text, *w.args)


def _intrinsic(name: str) -> _Write:
    return lambda w: w.intrinsic(name, *w.args)


def _signed(signed: _Write, unsigned: _Write) -> _Write:
    return lambda w: (signed if w.arg_dtypes[-1].kind == "i" else unsigned)(w)


# Conditions, one for floats (false on NaN but for ne), signed and unsigned integers.
_COMPARES = {
    "eq": ("oeq", "eq", "eq"),
    "ne": ("une", "ne", "ne"),
    "lt": ("olt", "slt", "ult"),
    "le": ("ole", "sle", "ule"),
    "gt": ("ogt", "sgt", "ugt"),
    "ge": ("oge", "sge", "uge"),
}


def _compare(w: _Writer, name: str) -> str:
    source, args, type_ = w.arg_dtypes[-1], w.args, w.type
    if source.is_float and source.bits == 16:
        args = tuple(widen(w.em, source, a, w.lanes, w.isa) for a in args)
        type_ = llvm_type(float32, w.lanes)
    real, signed, unsigned = _COMPARES[name]
    if source.is_float:
        return w.em.value(f"fcmp {real} {type_} {args[0]}, {args[1]}")
    return w.em.value(
        f"icmp {signed if source.kind == 'i' else unsigned} {type_} {args[0]}, {args[1]}"
    )


def _convert(w: _Writer) -> str:
    return emit_convert(w.em, w.dtype, w.arg_dtypes[0], w.args[0], w.lanes, w.isa)


def _bitcast(w: _Writer) -> str:
    result = llvm_type(w.dtype, w.lanes)
    return (
        w.args[0] if result == w.type else w.em.value(f"bitcast {w.type} {w.args[0]} to {result}")
    )


def _select(w: _Writer) -> str:
    return w.choose(*w.args)


def _integer_abs(w: _Writer) -> str:
    if w.arg_dtypes[-1].kind == "u":
        return w.args[0]
    suffix = f"{'' if w.lanes == 1 else f'v{w.lanes}'}i{w.arg_dtypes[-1].bits}"
    return w.em.call(f"llvm.abs.{suffix}", w.type, [(w.type, w.args[0]), ("i1", "false")])


def _not(w: _Writer) -> str:
    return w.binary("xor", w.args[0], w.constant(1 if w.arg_dtypes[-1].kind == "b" else -1))


def _shift(w: _Writer, left: bool) -> str:
    a, count = w.args
    source = w.arg_dtypes[-1]
    fits = w.em.value(f"icmp ult {w.type} {count}, {w.constant(source.bits)}")
    if not left and source.kind == "i":
        # By all bits but the sign, a negative number gives -1 and any other 0.
        return w.binary("ashr", a, w.choose(fits, count, w.constant(source.bits - 1)))
    shifted = w.binary("shl" if left else "lshr", a, w.choose(fits, count, w.constant(0)))
    return w.choose(fits, shifted, w.constant(0))


def _integer_quotient(w: _Writer) -> tuple[str, str, str, str]:
    """The quotient towards zero, its remainder, the divisor used, and where the divisor is zero."""
    a, b = w.args
    source = w.arg_dtypes[-1]
    zero = w.em.value(f"icmp eq {w.type} {b}, {w.constant(0)}")
    bad = zero
    if source.kind == "i":
        # The most negative number by -1 is the one quotient that does not fit; by 1 it is right.
        minus = w.em.value(f"icmp eq {w.type} {b}, {w.constant(-1)}")
        least = w.em.value(f"icmp eq {w.type} {a}, {w.constant(-(1 << (source.bits - 1)))}")
        bad = w.boolean("or", zero, w.boolean("and", minus, least))
    divisor = w.choose(bad, w.constant(1), b)
    quotient = _truncated_quotient(w, a, divisor)
    return quotient, w.binary("sub", a, w.binary("mul", quotient, divisor)), divisor, zero


def _truncated_quotient(w: _Writer, a: str, divisor: str) -> str:
    source = w.arg_dtypes[-1]
    letter = "s" if source.kind == "i" else "u"
    if w.lanes == 1 or source.bits == 64:
        return w.binary(f"{letter}div", a, divisor)
    # CPUs divide vectors of floats only. The rounded quotient of numbers below 2^16 (2^32) in
    # float32 (float64) never reaches an integer that the exact one does not: it is at least one
    # part in 2^16 (2^32) away.
    wide = llvm_type(float64 if source.bits == 32 else float32, w.lanes)
    x, y = (w.em.value(f"{letter}itofp {w.type} {v} to {wide}") for v in (a, divisor))
    quotient = w.em.value(f"fdiv {wide} {x}, {y}")
    return w.em.value(f"fpto{letter}i {wide} {quotient} to {w.type}")


def _integer_floordiv(w: _Writer) -> str:
    quotient, rest, divisor, zero = _integer_quotient(w)
    if w.arg_dtypes[-1].kind == "i":
        down = w.choose(_opposite(w, rest, divisor), w.constant(-1), w.constant(0))
        quotient = w.binary("add", quotient, down)
    return w.choose(zero, w.constant(0), quotient)


def _integer_mod(w: _Writer) -> str:
    _, rest, divisor, zero = _integer_quotient(w)
    if w.arg_dtypes[-1].kind == "i":
        up = w.choose(_opposite(w, rest, divisor), divisor, w.constant(0))
        rest = w.binary("add", rest, up)
    return w.choose(zero, w.constant(0), rest)


def _opposite(w: _Writer, rest: str, divisor: str) -> str:
    """Where a remainder is not zero and its sign is not the divisor's."""
    some = w.em.value(f"icmp ne {w.type} {rest}, {w.constant(0)}")
    differ = w.em.value(f"icmp slt {w.type} {w.binary('xor', rest, divisor)}, {w.constant(0)}")
    return w.boolean("and", some, differ)


def _float_remainder(w: _Writer) -> tuple[str, str, str]:
    """The remainder with the divisor's sign, C's own, and where they differ."""
    a, b = w.args
    rest = helpers.fmod(w.em, w.arg_dtypes[-1], (a, b), w.lanes, w.isa)
    zero = w.constant(0.0)
    some = w.em.value(f"fcmp one {w.type} {rest}, {zero}")
    below = [w.em.value(f"fcmp olt {w.type} {v}, {zero}") for v in (rest, b)]
    moved = w.boolean("and", some, w.boolean("xor", *below))
    lifted = w.choose(moved, w.binary("fadd", rest, b), rest)
    none = w.em.value(f"fcmp oeq {w.type} {rest}, {zero}")
    return w.choose(none, w.intrinsic("copysign", zero, b), lifted), rest, moved


def _float_mod(w: _Writer) -> str:
    return _float_remainder(w)[0]


def _float_floordiv(w: _Writer) -> str:
    a, b = w.args
    _, rest, moved = _float_remainder(w)
    one, zero = w.constant(1.0), w.constant(0.0)
    quotient = w.binary("fdiv", w.binary("fsub", a, rest), b)
    quotient = w.choose(moved, w.binary("fsub", quotient, one), quotient)
    whole = w.intrinsic("floor", quotient)
    # The division may have rounded to just under the integer that it is.
    short = w.binary("fsub", quotient, whole)
    low = w.em.value(f"fcmp ogt {w.type} {short}, {w.constant(0.5)}")
    whole = w.choose(low, w.binary("fadd", whole, one), whole)
    plain = w.binary("fdiv", a, b)
    none = w.em.value(f"fcmp oeq {w.type} {quotient}, {zero}")
    whole = w.choose(none, w.intrinsic("copysign", zero, plain), whole)
    # By zero, and of and by infinities, it is the floor of the quotient, as the standard has it.
    edge = w.em.value(f"fcmp oeq {w.type} {b}, {zero}")
    for value in (a, b):
        size = w.intrinsic("fabs", value)
        infinite = w.em.value(f"fcmp oeq {w.type} {size}, {w.constant(math.inf)}")
        edge = w.boolean("or", edge, infinite)
    return w.choose(edge, w.intrinsic("floor", plain), whole)


_ANY: dict[str, _Write] = {"convert": _convert, "bitcast": _bitcast, "select": _select}

_FLOAT: dict[str, _Write] = {
    "add": _instruction("fadd"),
    "sub": _instruction("fsub"),
    "mul": _instruction("fmul"),
    "div": _instruction("fdiv"),
    "min": _intrinsic("minimum"),
    "max": _intrinsic("maximum"),
    "floordiv": _float_floordiv,
    "mod": _float_mod,
    "ldexp": lambda w: helpers.ldexp(w.em, w.arg_dtypes[-1], w.args, w.lanes, w.isa),
    "fma": lambda w: helpers.fma(w.em, w.arg_dtypes[-1], w.args, w.lanes, w.isa),
    "neg": lambda w: w.em.value(f"fneg {w.type} {w.args[0]}"),
    "abs": _intrinsic("fabs"),
    "sqrt": _intrinsic("sqrt"),
    "floor": _intrinsic("floor"),
    "ceil": _intrinsic("ceil"),
    "trunc": _intrinsic("trunc"),
    "rint": _intrinsic("roundeven"),
}

_INTEGER: dict[str, _Write] = {
    "add": _instruction("add"),
    "sub": _instruction("sub"),
    "mul": _instruction("mul"),
    "min": _signed(_intrinsic("smin"), _intrinsic("umin")),
    "max": _signed(_intrinsic("smax"), _intrinsic("umax")),
    "floordiv": _integer_floordiv,
    "mod": _integer_mod,
    "neg": lambda w: w.binary("sub", w.constant(0), w.args[0]),
    "abs": _integer_abs,
    "and": _instruction("and"),
    "or": _instruction("or"),
    "xor": _instruction("xor"),
    "not": _not,
    "shl": lambda w: _shift(w, left=True),
    "shr": lambda w: _shift(w, left=False),
}
