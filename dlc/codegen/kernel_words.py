"""The words of the kernel text form, shared by its printer, parser and verifier."""

from __future__ import annotations

from collections.abc import Iterable

from dlc.codegen.kernel_ir import Param
from dlc.ir.dims import symbols_of
from dlc.ir.scalar import REDUCE_KINDS, SCALAR_OPS
from dlc.ir.types import DTYPES

REDUCTIONS: dict[str, str] = {k: f"r{k}" if k in ("max", "min") else k for k in REDUCE_KINDS}

COMPARISONS: dict[str, str] = {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="
}  # fmt: skip

# Signs between operands, by op and the kind of the first one; `/` of integers is floordiv.
INFIX: dict[tuple[str, str], str] = {
    **{(name, kind): sign for name, sign in COMPARISONS.items() for kind in "fiub"},
    **{
        (name, kind): sign
        for name, sign in {"add": "+", "sub": "-", "mul": "*", "mod": "%"}.items()
        for kind in "fiu"
    },
    ("div", "f"): "/",
    ("floordiv", "i"): "/",
    ("floordiv", "u"): "/",
}

FLOATS = tuple(d for d in DTYPES if d.is_float)
SORTS = {"sort": False, "sort_down": True}  # the word of each direction
NO_NAME = "_"  # in the place of a tile that nothing reads

RESERVED = frozenset({
    NO_NAME, *SORTS,
    "kernel", "par", "for", "host", "while", "carry", "in", "out", "inout", "let", "may_alias",
    "dim", "dot", "pad", "true", "false", "inf", "nan",
    *SCALAR_OPS, *REDUCTIONS.values(),
    *(prefix + d.short for d in DTYPES for prefix in ("", "bits_", "dot_")),
    *(prefix + d.short for d in FLOATS for prefix in ("inf_", "nan_")),
})  # fmt: skip


def literal_group(op: str) -> int:
    """The first of the arguments of `op` that all have one dtype."""
    return 1 if op == "select" else 0


def implied_dims(params: Iterable[Param]) -> tuple[str, ...]:
    """The symbols of the parameters in the order of first use: what a header may leave out."""
    names: dict[str, None] = {}
    for p in params:
        for d in p.dims:
            names.update(dict.fromkeys(sorted(symbols_of(d))))
    return tuple(names)
