"""Rewriting by named rules: each is counted, timed, located, and can be switched off by number."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from dlc.ir.core import Function, Node, with_bodies, with_inputs
from dlc.ir.dims import DimUnknown
from dlc.ir.errors import PassError, VerifyError
from dlc.ir.location import SourceLocation
from dlc.ir.patterns import Match
from dlc.ir.record import dataclass
from dlc.ir.rules import (
    AnyRule,
    FunctionRule,
    RewriteBuilder,
    Rule,
    RuleSet,
    all_rules,
    register_rules,
    rule,
)

__all__ = [
    "AnyRule",
    "Fuel",
    "FunctionRule",
    "Match",
    "RewriteBuilder",
    "RewriteStats",
    "Rule",
    "RuleCount",
    "RuleSet",
    "Spent",
    "all_rules",
    "register_rules",
    "rewrite",
    "rule",
]

MAX_REWRITES = 200  # of a node on average; rules that go on after this do not end
MAX_SETTLE_DEPTH = 100

Observer: TypeAlias = Callable[[AnyRule, Node, Node], None]


@dataclass
class RuleCount:
    """What happened with one rule."""

    attempts: int = 0
    matches: int = 0
    seconds: float = 0.0


class RewriteStats:
    """Counts and times by rule."""

    def __init__(self) -> None:
        self.rules: dict[str, RuleCount] = {}

    def note(self, name: str, seconds: float, *, matched: bool) -> None:
        """Adds one attempt."""
        count = self.rules.get(name)
        if count is None:
            count = self.rules[name] = RuleCount()
        count.attempts += 1
        count.matches += matched
        count.seconds += seconds

    def add(self, other: RewriteStats) -> None:
        """Adds the counts of `other`."""
        for name, count in other.rules.items():
            mine = self.rules.setdefault(name, RuleCount())
            mine.attempts += count.attempts
            mine.matches += count.matches
            mine.seconds += count.seconds

    @property
    def matches(self) -> int:
        """The number of rewrites."""
        return sum(c.matches for c in self.rules.values())

    def __str__(self) -> str:
        rows = sorted(self.rules.items(), key=lambda item: (-item[1].matches, item[0]))
        return "\n".join(
            f"{name:32} {c.matches:8} of {c.attempts:8}  {c.seconds * 1e3:9.3f} ms"
            for name, c in rows
        )


@dataclass(frozen=True)
class Spent:
    """One change that `Fuel` allowed."""

    number: int
    pass_name: str
    rule: str
    location: SourceLocation | None

    def __str__(self) -> str:
        at = "" if self.location is None else f" at {self.location}"
        return f"{self.number}: {self.pass_name}: {self.rule}{at}"


class Fuel:
    """Numbers every change of a compilation and allows the first `limit`: what `dlc bisect` turns.

    Args:
        limit: How many changes are allowed; None for all.

    Attributes:
        log: The changes that were allowed, in order.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.log: list[Spent] = []

    def allows(self, pass_name: str, rule_name: str, location: SourceLocation | None) -> bool:
        """Whether one more change may be made; it is then counted."""
        if self.empty:
            return False
        self.log.append(Spent(len(self.log) + 1, pass_name, rule_name, location))
        return True

    @property
    def empty(self) -> bool:
        """Whether no more changes are allowed."""
        return self.limit is not None and len(self.log) >= self.limit


def rewrite(
    function: Function,
    rules: RuleSet,
    *,
    stats: RewriteStats | None = None,
    fuel: Fuel | None = None,
    observer: Observer | None = None,
    pass_name: str | None = None,
) -> Function:
    """Applies rules until none applies, also inside the functions that nodes carry.

    Nodes are visited once, inputs first. What a rule makes is rewritten before anything reads it,
    so that each node is final when its readers are visited.

    Args:
        function: What to rewrite.
        rules: The rules.
        stats: Is added attempts, matches and times.
        fuel: Numbers and limits the rewrites.
        observer: Called with the rule, the node and what it became.
        pass_name: Who rewrites, for `fuel`; by default the name of the set.

    Returns:
        The rewritten function, or `function` itself where no rule applied.

    Raises:
        PassError: The rules do not end.
        VerifyError: A rule changed a type.

    Example:
        >>> rewrite(f, RuleSet("tidy", [Rule("neg_neg", "neg(neg(x))", "x")]))
    """
    return _Rewriter(rules, stats, fuel, observer, pass_name or rules.name).run(function)


class _Rewriter:
    def __init__(
        self,
        rules: RuleSet,
        stats: RewriteStats | None,
        fuel: Fuel | None,
        observer: Observer | None,
        pass_name: str,
    ) -> None:
        self.rules, self.stats, self.fuel, self.observer = rules, stats, fuel, observer
        self.pass_name = pass_name
        self.by_op = rules.by_op
        self.budget = 0
        self.readers: dict[Node, int] = {}

    def run(self, function: Function) -> Function:
        """`function` rewritten; inside another function, its body."""
        self.budget += MAX_REWRITES * (len(function.nodes) + 10)
        outer = self.readers
        before: dict[Node, int] = {}
        for node in function.nodes:
            for x in node.inputs:
                before[x] = before.get(x, 0) + 1
        for r in function.results:
            before[r] = before.get(r, 0) + 1
        new: dict[Node, Node] = {p: p for p in function.params}
        self.readers = {p: before.get(p, 0) for p in function.params}
        changed = False
        for node in function.nodes:
            kept = with_bodies(with_inputs(node, tuple([new[x] for x in node.inputs])), self.run)
            # A node is counted with the readers it will have before its rules ask.
            self.readers[kept] = before.get(node, 0)
            final = self.settle(kept, 0)
            if final is not kept:
                self.readers[final] = self.readers.get(final, 0) + before.get(node, 0)
            changed |= final is not node
            new[node] = final
        self.readers = outer
        return function.rebuilt(new) if changed else function

    def uses(self, node: Node) -> int:
        """The readers of a node; those that a rule has just made have one."""
        return self.readers.get(node, 1)

    def settle(self, node: Node, depth: int) -> Node:
        """`node` rewritten until no rule applies; its inputs are final."""
        while True:
            rules = self.by_op.get(node.op.name)
            step = self.step(node, rules) if rules is not None else None
            if step is None:
                return node
            made, result = step
            local: dict[Node, Node] = {}
            for x in made:
                moved = with_inputs(x, tuple([local.get(i, i) for i in x.inputs]))
                # The result itself goes round this loop again.
                last = x is result or depth >= MAX_SETTLE_DEPTH
                local[x] = moved if last else self.settle(moved, depth + 1)
            if result not in local:
                return result
            node = local[result]

    def step(self, node: Node, rules: list[AnyRule]) -> tuple[list[Node], Node] | None:
        """The nodes that the first rule that applies has made, and what `node` becomes."""
        if self.fuel is not None and self.fuel.empty:
            return None
        b = RewriteBuilder(node.loc, self.uses)
        for r in rules:
            b.nodes.clear()
            start = time.perf_counter() if self.stats is not None else 0.0
            try:
                result = r.apply(b, node)
            except DimUnknown:
                result = None
            except Exception as error:
                if self.fuel is not None:  # counted, so that bisection comes to it
                    self.fuel.allows(self.pass_name, r.name, node.loc)
                message = f"rule {r.name} raised {type(error).__name__}: {error}"
                raise PassError(message, location=node.loc) from error
            if self.stats is not None:
                elapsed = time.perf_counter() - start
                self.stats.note(r.name, elapsed, matched=result is not None)
            if result is None or result is node:
                continue
            if self.fuel is not None and not self.fuel.allows(self.pass_name, r.name, node.loc):
                return None
            self.check(r, node, result)
            if self.observer is not None:
                self.observer(r, node, result)
            return b.nodes, result
        return None

    def check(self, r: AnyRule, node: Node, result: Node) -> None:
        """Raises for a rule that changes a type or never ends."""
        if result.type != node.type:
            raise VerifyError(
                f"rule {r.name} made {result.type} of {node.type}",
                pass_name=self.pass_name,
                location=node.loc,
            )
        self.budget -= 1
        if self.budget < 0:
            raise PassError(f"the rules of {self.rules.name} do not end; {r.name} is among them")
