"""The pass that makes attention that programs write out one op."""

from __future__ import annotations

from typing import ClassVar

from dlc.ir.core import Function
from dlc.ir.record import dataclass
from dlc.passes.attention_ops import with_attention
from dlc.passes.manager import Pass, PassContext


@dataclass(frozen=True)
class Attend(Pass):
    """Replaces written-out attention by the op of that name."""

    name: ClassVar[str] = "attend"
    inexact: ClassVar[str | None] = "scores are exponentiated by blocks of keys"

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with ops of attention."""
        return with_attention(function, lambda n: context.allows(self.name, n.op.name, n.loc))
