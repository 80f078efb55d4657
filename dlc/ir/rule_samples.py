"""Programs that a rewrite rule applies to, made from its pattern, for tests of what it means."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function
from dlc.ir.dims import DimUnknown
from dlc.ir.errors import DlcError, PassError
from dlc.ir.patterns import (
    AnyNumber,
    Application,
    Name,
    Pattern,
    Variable,
    build,
    held_number,
    parse_pattern,
    walk,
)
from dlc.ir.rules import AnyRule
from dlc.ir.type_parser import parse_type
from dlc.ir.types import TensorType, bool_

DTYPES = ("f32", "f64", "f16", "bf16", "i32", "i8", "u16", "bool")
SHAPES = ("7,33", "n,33", "", "0,3")  # all but the first with the first element type only
NUMBERS = (2, 0.5, 0.0, -0.0, 1, -3, 0, 7, float("inf"), float("nan"), True, False)

# Not every choice of types fits a pattern: the ops' own rules decide.
_RULE_ERRORS = (
    DlcError, DimUnknown, ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip


def rule_samples(rule: AnyRule) -> Iterator[Function]:
    """Programs of the form of the rule's patterns, over element types, shapes and numbers.

    The node that the rule may replace is the result; the rule's own condition may still say no.

    Raises:
        PassError: The pattern has an attribute name without values in the rule's `given`.
    """
    for text in rule.patterns:
        pattern = parse_pattern(text)
        for type_ in _default_types(pattern, rule):
            yield from _samples(pattern, type_, rule)


def _default_types(pattern: Pattern, rule: AnyRule) -> list[TensorType]:
    has_variables = any(isinstance(p, Variable) for p in walk(pattern))
    if has_variables and not _free(pattern, rule):
        return [parse_type("f32[7,33]")]
    # A symbol must be an extent of some parameter.
    shapes = [s for s in SHAPES if has_variables or "n" not in s]
    return [
        parse_type(f"{dtype}[{shape}]")
        for k, dtype in enumerate(DTYPES)
        for shape in (shapes if k == 0 else shapes[:1])
    ]


def _free(pattern: Pattern, rule: AnyRule) -> list[str]:
    """The variables for which the rule gives no types."""
    found = (p.name for p in walk(pattern) if isinstance(p, Variable))
    return [name for name in dict.fromkeys(found) if name not in rule.given]


def _samples(pattern: Pattern, type_: TensorType, rule: AnyRule) -> Iterator[Function]:
    free = _free(pattern, rule)
    choices = _choices(pattern, type_, rule)
    for values in itertools.product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        # Conditions are bool and the rest is not: the first choice that the type rules accept.
        for kinds in itertools.product((type_, type_.with_dtype(bool_)), repeat=len(free)):
            function = _sample(pattern, type_, chosen | dict(zip(free, kinds, strict=True)), rule)
            if function is not None:
                yield function
                break


def _choices(pattern: Pattern, type_: TensorType, rule: AnyRule) -> dict[str, list[Any]]:
    """What each name but the free variables may stand for."""
    found: dict[str, list[Any]] = {}
    for p in walk(pattern):
        if isinstance(p, Variable) and p.name in rule.given:
            found[p.name] = [parse_type(text) for text in rule.given[p.name]]
        elif isinstance(p, AnyNumber):
            held = (held_number(v, type_.dtype) for v in rule.given.get(p.name, NUMBERS))
            found[p.name] = [v for v in held if v is not None]
        elif isinstance(p, Application):
            for name in (v.name for v in p.attrs.values() if isinstance(v, Name)):
                if name not in rule.given:
                    raise PassError(f"rule {rule.name} gives no values of {name!r}")
                found[name] = list(rule.given[name])
    return found


def _sample(
    pattern: Pattern, type_: TensorType, chosen: Mapping[str, Any], rule: AnyRule
) -> Function | None:
    b = IRBuilder()
    variables = [p.name for p in walk(pattern) if isinstance(p, Variable)]
    bound = dict(chosen)
    params = [b.param(chosen[name], name) for name in dict.fromkeys(variables)]
    bound.update(zip(dict.fromkeys(variables), params, strict=True))
    try:
        root = build(pattern, b, bound, type_)
    except _RULE_ERRORS:
        return None
    return b.function(rule.name, params, [root])
