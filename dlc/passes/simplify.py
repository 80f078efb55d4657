"""Algebra that keeps every bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dlc.ir.core import Function
from dlc.ir.rewrite import Rule, RuleSet, register_rules, rewrite
from dlc.passes.manager import Pass, PassContext

RULES = register_rules(
    RuleSet(
        "simplify",
        [
            Rule("mul_one", "mul(x, 1)", "x"),
            Rule("div_one", "div(x, 1)", "x"),
            Rule("neg_neg", "neg(neg(x))", "x"),
        ],
    )
)


@dataclass(frozen=True)
class Simplify(Pass):
    """Rewrites by the rules of this file until none applies."""

    name: ClassVar[str] = "simplify"

    def run(self, function: Function, context: PassContext) -> Function:
        """The simplified function."""
        return rewrite(function, RULES, stats=context.stats, fuel=context.fuel, pass_name=self.name)
