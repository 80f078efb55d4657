"""Algebra that keeps every bit."""

from __future__ import annotations

from typing import ClassVar

from dlc.ir.core import Function
from dlc.ir.record import dataclass
from dlc.ir.rewrite import RuleSet, register_rules, rewrite
from dlc.passes.manager import Pass, PassContext
from dlc.passes.rules_arithmetic import ARITHMETIC
from dlc.passes.rules_logic import LOGIC
from dlc.passes.rules_reduction import REDUCTIONS
from dlc.passes.rules_shape import SHAPES
from dlc.passes.rules_windows import WINDOWS

RULES = register_rules(RuleSet("simplify", (*ARITHMETIC, *LOGIC, *SHAPES, *WINDOWS, *REDUCTIONS)))


@dataclass(frozen=True)
class Simplify(Pass):
    """Rewrites by the rules of `rules_*.py` until none applies."""

    name: ClassVar[str] = "simplify"
    nested: ClassVar[bool] = False

    def run(self, function: Function, context: PassContext) -> Function:
        """The simplified function."""
        return rewrite(function, RULES, stats=context.stats, fuel=context.fuel, pass_name=self.name)
