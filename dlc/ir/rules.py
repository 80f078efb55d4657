"""Rewrite rules: equations between patterns, functions for what those cannot say, sets of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from dlc.ir.build import IRBuilder
from dlc.ir.core import Node
from dlc.ir.errors import PassError
from dlc.ir.location import SourceLocation
from dlc.ir.patterns import (
    Application,
    Match,
    Pattern,
    Variable,
    build,
    match,
    names_of,
    parse_pattern,
    variants,
)
from dlc.ir.record import dataclass, field

Uses: TypeAlias = Callable[[Node], int]
Given: TypeAlias = Mapping[str, Sequence[Any]]


class RewriteBuilder(IRBuilder):
    """What rules build with: nodes get the location of the node that is rewritten."""

    def __init__(self, loc: SourceLocation | None, uses: Uses) -> None:
        super().__init__(loc)
        self.uses = uses


@dataclass(frozen=True, eq=False)
class Rule:
    """An equation between patterns (`dlc.ir.patterns`), used from left to right.

    Args:
        name: Unique among all rules.
        pattern: What is replaced: an op over variables, numbers and further ops.
        result: What it becomes, over the names of `pattern` and of `let`.
        when: A condition on the match; a comparison of dims that cannot be decided counts as no.
        let: Names for the result, computed from the match; where one is None, the rule does not
            apply.
        inexact: Why bits may change; None for a rule that keeps every bit (but those of a NaN).
        given: For tests: types of variables, values of attributes and numbers that fit the pattern,
            where those that are tried by themselves do not.

    Example:
        >>> Rule("neg_neg", "neg(neg(x))", "x")
        >>> Rule(
        ...     "transpose_transpose",
        ...     "transpose(transpose(x){axes=a}){axes=b}",
        ...     "transpose(x){axes=c}",
        ...     let={"c": lambda m: tuple(m["a"][k] for k in m["b"])},
        ...     given={"a": [(1, 0)], "b": [(1, 0)]},
        ... )
    """

    name: str
    pattern: str
    result: str
    when: Callable[[Match], bool] | None = None
    let: Mapping[str, Callable[[Match], Any]] = field(
        default_factory=dict[str, Callable[[Match], Any]]
    )
    inexact: str | None = None
    given: Given = field(default_factory=dict[str, Sequence[Any]])

    @property
    def patterns(self) -> tuple[str, ...]:
        """Texts of programs that the rule applies to."""
        return (self.pattern,)

    @cached_property
    def ops(self) -> tuple[str, ...]:
        """The ops whose nodes it may replace."""
        return (self._left.op.name,)

    @cached_property
    def _left(self) -> Application:
        left = parse_pattern(self.pattern)
        if not isinstance(left, Application):
            raise PassError(f"rule {self.name}: the pattern is no op")
        return left

    @cached_property
    def _forms(self) -> list[tuple[tuple[str | None, ...], Pattern]]:
        """The pattern in each order of operands, and the ops that it needs them to be."""
        return [(_needs(p), p) for p in variants(self._left)]

    @cached_property
    def _right(self) -> Pattern:
        right = parse_pattern(self.result)
        unknown = sorted(names_of(right) - names_of(self._left) - self.let.keys())
        if unknown:
            raise PassError(f"rule {self.name}: nothing defines {unknown[0]!r}")
        return right

    def apply(self, b: RewriteBuilder, node: Node) -> Node | None:
        """What `node` becomes; None where the rule does not apply."""
        for needs, pattern in self._forms:
            if len(node.inputs) != len(needs):
                return None
            for need, x in zip(needs, node.inputs, strict=True):
                if need is not None and x.op.name != need:
                    break
            else:
                m = Match(node, b.uses)
                if match(pattern, node, m) and self._holds(m):
                    return build(self._right, b, m.bound, node.tensor)
        return None

    def _holds(self, m: Match) -> bool:
        if self.when is not None and not self.when(m):
            return False
        for name, compute in self.let.items():
            value = compute(m)
            if value is None:
                return False
            m.bound[name] = value
        return True


def _needs(pattern: Pattern) -> tuple[str | None, ...]:
    assert isinstance(pattern, Application)
    return tuple(_op_name(p) for p in pattern.args)


def _op_name(pattern: Pattern) -> str | None:
    if isinstance(pattern, Application):
        return pattern.op.name
    return None if isinstance(pattern, Variable) else "full"


@dataclass(frozen=True, eq=False)
class FunctionRule:
    """A rule as a function `(b, node, *inputs) -> Node | None`; see `rule`."""

    name: str
    ops: tuple[str, ...]
    function: Callable[..., Node | None]
    patterns: tuple[str, ...]
    inexact: str | None = None
    given: Given = field(default_factory=dict[str, Sequence[Any]])

    def apply(self, b: RewriteBuilder, node: Node) -> Node | None:
        """What `node` becomes; None where the rule does not apply."""
        return self.function(b, node, *node.inputs)


AnyRule: TypeAlias = Rule | FunctionRule


def rule(
    *ops: str,
    name: str,
    patterns: Sequence[str],
    inexact: str | None = None,
    given: Given | None = None,
) -> Callable[[Callable[..., Node | None]], FunctionRule]:
    """Makes a rule of a function, for what patterns cannot say.

    Args:
        *ops: The ops whose nodes the function is called with.
        name: Unique among all rules.
        patterns: Texts of programs that it applies to, for the tests.
        inexact: See `Rule`.
        given: See `Rule`.

    Example:
        >>> @rule("reshape", name="reshape_same", patterns=["reshape(x){shape=s}"],
        ...       given={"x": ["f32[3,4]"], "s": [(3, 4)]})
        ... def reshape_same(b, node, x):
        ...     return x if x.shape == node.shape else None
    """

    def wrap(function: Callable[..., Node | None]) -> FunctionRule:
        return FunctionRule(name, ops, function, tuple(patterns), inexact, given or {})

    return wrap


class RuleSet:
    """Rules that are applied together, in order for each op.

    Args:
        name: The name of the set.
        rules: Its rules, of different names; those given earlier are tried earlier.
    """

    def __init__(self, name: str, rules: Iterable[AnyRule]) -> None:
        self.name, self.rules = name, tuple(rules)

    def __iter__(self) -> Iterator[AnyRule]:
        return iter(self.rules)

    @cached_property
    def by_op(self) -> dict[str, list[AnyRule]]:
        """The rules for nodes of each op."""
        names = [r.name for r in self.rules]
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise PassError(f"two rules of {self.name} are called {twice}")
        table: dict[str, list[AnyRule]] = {}
        for r in self.rules:
            for op in r.ops:
                table.setdefault(op, []).append(r)
        return table

    def without(self, *names: str) -> RuleSet:
        """The set without some rules."""
        return RuleSet(self.name, (r for r in self.rules if r.name not in names))


_REGISTERED: dict[str, RuleSet] = {}


def register_rules(rules: RuleSet) -> RuleSet:
    """Adds a set to those that `all_rules` lists; PassError for a name that is taken."""
    if rules.name in _REGISTERED:
        raise PassError(f"the rules {rules.name} are registered already")
    _REGISTERED[rules.name] = rules
    return rules


def all_rules() -> tuple[AnyRule, ...]:
    """The rules of all registered sets."""
    return tuple(r for rules in _REGISTERED.values() for r in rules)
