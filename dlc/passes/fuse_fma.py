"""Chooses where a product and a sum are rounded once.

Backends never contract by themselves: a result must not depend on which nodes share a kernel. So
the choice is made here, from the function alone, before fusion.
"""

from __future__ import annotations

from typing import ClassVar

from dlc.ir.core import Function
from dlc.ir.patterns import Match
from dlc.ir.record import dataclass
from dlc.ir.rewrite import Rule, RuleSet, register_rules, rewrite
from dlc.ir.types import float32, float64
from dlc.passes.manager import Pass, PassContext

ONCE = "rounded once instead of twice"


def _has_one_reader(m: Match) -> bool:
    """Of types with an instruction for it; a product with other readers is kept for them."""
    return m.dtype in (float32, float64) and m.uses(m["p"]) == 1


RULES = register_rules(
    RuleSet(
        "fuse_fma",
        [
            Rule(
                "fma_add", "add(p:mul(x, y), z)", "fma(x, y, z)",
                when=_has_one_reader, inexact=ONCE,
            ),
            Rule(
                "fma_sub", "sub(p:mul(x, y), z)", "fma(x, y, neg(z))",
                when=_has_one_reader, inexact=ONCE,
            ),
            Rule(
                "fma_sub_from", "sub(z, p:mul(x, y))", "fma(neg(x), y, z)",
                when=_has_one_reader, inexact=ONCE,
            ),
        ],
    )
)  # fmt: skip


@dataclass(frozen=True)
class FuseFma(Pass):
    """Makes `fma` of a product that one sum or difference reads."""

    name: ClassVar[str] = "fuse_fma"
    nested: ClassVar[bool] = False

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with `fma` nodes."""
        return rewrite(function, RULES, stats=context.stats, fuel=context.fuel, pass_name=self.name)
