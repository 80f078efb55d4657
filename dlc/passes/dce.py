"""Removes nodes that no result needs."""

from __future__ import annotations

from typing import ClassVar

from dlc.ir.core import Function, live_nodes
from dlc.ir.record import dataclass
from dlc.passes.manager import Pass, PassContext


@dataclass(frozen=True)
class Dce(Pass):
    """Removes whatever no result and no effect needs. Parameters stay."""

    name: ClassVar[str] = "dce"

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` without dead nodes."""
        live = live_nodes(function.nodes, function.results)
        if len(live) == len(function.nodes):
            return function
        return function.with_results(function.results, (n for n in function.nodes if n in live))
