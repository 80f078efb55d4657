"""Rules and passes broken on purpose, one at a time, for the test that verification notices.

A mutation of a rule drops its condition or changes what it makes; one of a pass replaces a helper
by a wrong one. Each says who is to be named for it.
"""

import contextlib
import dataclasses
from dataclasses import dataclass

import numpy as np

import dlc.codegen.memory_plan as memory_plan
import dlc.codegen.program as program
import dlc.codegen.program_builder as builder
import dlc.codegen.reference.steps as reference_steps
import dlc.passes.cse as cse
import dlc.passes.dce as dce
import dlc.passes.decompose as decompose
import dlc.passes.expansion as expansion
import dlc.passes.fold_constants as fold_constants
import dlc.passes.fuse as fuse
import dlc.passes.fuse_fma as fuse_fma
import dlc.passes.rules_logic as rules_logic
import dlc.passes.rules_reduction as rules_reduction
import dlc.passes.rules_shape as rules_shape
import dlc.passes.simplify as simplify
import dlc.runtime.cpu as cpu
from dlc.ir.build import make_node
from dlc.ir.core import Node
from dlc.ir.op import OPS, Op
from dlc.ir.rewrite import FunctionRule, Rule, RuleSet
from dlc.ir.scalar import add_index
from dlc.ir.scalar import const as scalar_const
from dlc.ir.types import int64


@dataclass(frozen=True)
class Mutation:
    """A defect: what is set to what while it lasts, and whom bisection must name.

    stage: the stage, or several that share the blame.
    rule: the rule; None for any.
    samples: the rules whose samples may show it, besides the corpus.
    """

    name: str
    changes: tuple[tuple[object, str, object], ...]
    stage: str | tuple[str, ...]
    rule: str | None = None
    samples: tuple[str, ...] = ()

    def blames(self, culprit):
        """Whether bisection has named the right place."""
        stages = (self.stage,) if isinstance(self.stage, str) else self.stage
        return culprit.stage in stages and self.rule in (None, culprit.rule)

    @contextlib.contextmanager
    def in_place(self):
        """While it lasts, dlc is broken. Frozen rows are changed too: all who hold one see it."""
        before = [getattr(owner, attribute) for owner, attribute, _ in self.changes]
        for owner, attribute, value in self.changes:
            _set(owner, attribute, value)
        try:
            yield
        finally:
            for (owner, attribute, _), value in zip(self.changes, before, strict=True):
                _set(owner, attribute, value)


def _set(owner, attribute, value):
    if isinstance(owner, Op):
        object.__setattr__(owner, attribute, value)
    else:
        setattr(owner, attribute, value)


# Rules.

SETS = {"simplify": simplify, "fuse_fma": fuse_fma}
SIBLINGS = {
    "add": "sub", "sub": "add", "mul": "add", "neg": "abs", "abs": "neg", "max": "min",
    "min": "max",
    "div": "mul", "eq": "ne", "ne": "eq", "lt": "le", "le": "lt", "gt": "ge", "ge": "gt",
    "shr": "shl", "bit_and": "bit_or", "floor": "ceil",
}  # fmt: skip


def rule_mutations():
    """For each rule: without its condition, and with another result."""
    found = []
    for pass_name, module in SETS.items():
        for rule in module.RULES:
            for kind, broken in broken_rules(rule):
                rules = RuleSet(pass_name, (broken if r is rule else r for r in module.RULES))
                found.append(
                    Mutation(
                        f"{rule.name}: {kind}", ((module, "RULES", rules),), pass_name, rule.name
                    )
                )
    return found


def broken_rules(rule):
    if isinstance(rule, FunctionRule):
        yield "wrong result", dataclasses.replace(rule, function=_spoiled(rule.function))
        return
    if rule.when is not None:
        yield "no condition", _copy(rule, when=None)
    for name, compute in rule.let.items():
        yield f"wrong {name}", _copy(rule, let={**rule.let, name: _off(compute)})
    if "(" not in rule.result:
        spoiled = _spoiled(lambda b, node, *inputs: rule.apply(b, node))
        yield "reads elsewhere", FunctionRule(rule.name, rule.ops, spoiled, rule.patterns)
    broken = _other_result(rule)
    if broken is not None:
        yield f"makes {broken}", _copy(rule, result=broken)


def _copy(rule, **changes):
    fields = {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule)}
    return Rule(**{**fields, **changes})


def _off(compute):
    def wrong(m):
        value = compute(m)
        if isinstance(value, tuple):
            turned = value[1:] + value[:1]
            return turned if turned != value else tuple(1 - v for v in value)
        if isinstance(value, float):
            return value * 2
        return None if value is None else value + 1

    return wrong


def _other_result(rule):
    """A result of the same type that is wrong, or None where none is at hand."""
    result = rule.result
    literals = {"0": "1", "1": "0", "true": "false", "false": "true"}
    if result in literals:
        return literals[result]
    op, paren, rest = result.partition("(")
    if not paren:
        return None
    operands = rest.removesuffix(")").split(", ")
    if op == "fma":
        return result.replace("neg(", "abs(") if "neg" in result else "fma(x, y, x)"
    if op in ("sub", "select") and "(" not in rest:
        return f"{op}({', '.join([*operands[:-2], operands[-1], operands[-2]])})"
    return f"{SIBLINGS[op]}({rest}" if op in SIBLINGS else None


def _spoiled(function):
    """`function` whose result has its first operand read in another order, or another number."""

    def wrong(b, node, *inputs):
        result = function(b, node, *inputs)
        if result is None:
            return None
        if result.op.name == "full":
            value = result.attrs["value"]
            other = not value if isinstance(value, bool) else value + 1
            return b.full(value=other, shape=result.shape, dtype=result.tensor.dtype)
        if len(result.inputs) == 2 and result.op.name in OPPOSITES:
            return b.emit(OPS[OPPOSITES[result.op.name]], result.inputs)
        x = result.inputs[0]
        turned = b.flip(x, axes=tuple(range(x.tensor.rank)))
        return b.emit(result.op, (turned, *result.inputs[1:]), dict(result.attrs))

    return wrong


OPPOSITES = {
    "lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "add": "mul", "mul": "add", "max": "min",
    "min": "max", "eq": "ne", "ne": "eq", "bit_and": "bit_or", "bit_or": "bit_and",
    "bit_xor": "bit_and",
}  # fmt: skip


# Helpers of rules, and passes.


def _true(*args, **keywords):
    return True


def _false(*args, **keywords):
    return False


def _from_0(*parts):
    start, limit, step = composed(*parts)
    return 0, limit - start, step


composed = rules_shape._composed
UNTURNED = {k: k for k in rules_logic._TURNED}
HELPERS = [
    Mutation(f"{owner.__name__}.{name}", ((owner, name, wrong),), "simplify", rule, samples)
    for owner, name, wrong, rule, samples in (
        (rules_shape, "_same_value", _true, None, ("pad_pad", "join_number")),
        (rules_shape, "_composed", _from_0, "slice_slice", ()),
        (rules_shape, "_shifted", lambda dims, axis, by: dims, "slice_of_concat", ()),
        (rules_shape, "_is_below", _true, "slice_of_concat", ()),
        (rules_reduction, "_order_is_free", _true, None, (
            "reduce_reduce", "reduce_transpose", "reduce_sum_nothing")),
        (rules_reduction, "_through", _true, None, ("dot_transposed_lhs", "dot_transposed_rhs")),
        (rules_logic, "_TURNED", UNTURNED, "number_right_of_comparison", ()),
        (rules_logic, "loses_nothing", _true, "convert_convert", ()),
    )
]  # fmt: skip


def _live_but_one(nodes, results):
    live = dce_live_nodes(nodes, results)
    return live - {next(n for n in nodes if n in live)} if live else live


dce_live_nodes = dce.live_nodes


def _wrong_inputs(node, inputs):
    if len(inputs) > 1 and inputs[0].type == inputs[1].type:
        inputs = (inputs[1], inputs[0], *inputs[2:])
    return Node(node.op, inputs, node.attrs, node.type, node.loc, node.name)


def _settle_without_attributes(b, nodes, new, chosen):
    for node in nodes:
        inputs = tuple(new.get(x, x) for x in node.inputs)
        if chosen(node):
            defaults = {**node.attrs, **node.op.defaults}
            attrs = {k: 0 if k == "axis" else v for k, v in defaults.items()}
            new[node] = node.op.decompose(b, *inputs, **attrs)
        else:
            new[node] = expansion.with_inputs(node, inputs)
            b.nodes.append(new[node])
    return new


def _plus_one(function):
    def wrong(*args):
        value = function(*args)
        return np.logical_not(value) if value.dtype == np.bool_ else value + value.dtype.type(1)

    return wrong


PASSES = [
    Mutation("dce drops the first node", ((dce, "live_nodes", _live_but_one),), "dce"),
    Mutation("cse forgets attributes", ((cse, "_attrs_key", lambda node: ()),), "cse"),
    Mutation("cse takes 0.0 for -0.0", ((cse, "value_key", lambda v: (
        v if not isinstance(v, np.ndarray) else v.tobytes())),), "cse"),
    Mutation("cse swaps any operands", ((cse, "_inputs_key", lambda node, inputs: (
        tuple(sorted(map(id, inputs))))),), "cse"),
    Mutation("cse forgets inputs", ((cse, "_inputs_key", lambda node, inputs: (
        tuple(x.type for x in inputs))),), "cse"),
    Mutation("folds to something else", ((fold_constants, "_value", _plus_one(
        fold_constants._value)),), "fold_constants"),
    Mutation("folds sums as one number", ((fold_constants, "_is_of_numbers", lambda node: (
        all(x.op.name == "full" for x in node.inputs))),), "fold_constants"),
    Mutation("folds to whole numbers", ((fold_constants, "_full", lambda element, like: (
        make_node(OPS["full"], (), {
            "value": int(element), "shape": like.shape, "dtype": like.tensor.dtype}))),),
        "fold_constants"),
    Mutation("decompose swaps operands", ((expansion, "with_inputs", _wrong_inputs),), "decompose"),
    Mutation("decompose takes axis 0", ((expansion, "_settle", _settle_without_attributes),),
        "decompose"),
    Mutation("decompose stops early", ((decompose, "expand", lambda f, chosen: f),), "decompose"),
]  # fmt: skip


def _emit_results_swapped(self, group):
    before = len(self.nodes)
    FUSE_EMIT(self, group)
    gets = [n for n in self.nodes[before:] if n.op.name == "get"]
    for a, b in zip(gets[::2], gets[1::2], strict=False):
        if a.type == b.type:
            a.attrs, b.attrs = b.attrs, a.attrs


FUSE_EMIT = fuse._Assembler._emit


def _clone_swapped(self, root):
    known = len(self.nodes)
    result = FUSE_CLONE(self, root)
    for node in self.nodes[known:]:
        if node.op.name in ("sub", "div"):
            node.inputs = node.inputs[::-1]
    return result


FUSE_CLONE = fuse._Body.clone
FUSION = [
    Mutation("fusion swaps results", ((fuse._Assembler, "_emit", _emit_results_swapped),), "fuse"),
    Mutation("fusion swaps operands", ((fuse._Body, "clone", _clone_swapped),), "fuse"),
    Mutation("fusion runs in reverse", ((fuse._Assembler, "_order", lambda self: (
        [g for g in reversed(self.planner.groups) if g.units])),), "fuse"),
    Mutation("fusion forgets readers", ((fuse._Assembler, "_is_read_outside", lambda self, n, g: (
        n in self.planner.results)),), "fuse"),
    Mutation("all reads are aligned", ((fuse, "_aligned", _true),), ("fuse", "lower")),
    Mutation("all groups are compatible", ((fuse._Planner, "_compatible", _true),),
        ("fuse", "lower")),
    Mutation("groups may wait for each other", ((fuse._Planner, "_joins", lambda self, u, g: (
        self._compatible(u, g))),), ("fuse", "lower")),
    Mutation("results share buffers", ((fuse, "with_own_results", lambda f: f),),
        ("fuse", "lower")),
]  # fmt: skip


# Rows' lowerings, memory planning, the device.


def _row(name, wrap):
    return (OPS[name], "lower", wrap(OPS[name].lower))


def _moved_index(lower):
    def wrong(ix, inputs, attrs, type_):
        moved = tuple(
            add_index(i, scalar_const(1, int64)) if k == 0 and type_.shape[0] != 1 else i
            for k, i in enumerate(ix)
        )
        return lower(moved, inputs, attrs, type_)

    return wrong


def _same_place(lower):
    return lambda ix, inputs, attrs, type_: inputs[0](*ix[: inputs[0].type.rank])


def _as(name):
    return lambda lower: OPS[name].lower


def _first_operand_twice(lower):
    return lambda ix, inputs, attrs, type_: lower(
        ix, (inputs[0], *inputs[:1], *inputs[2:]), attrs, type_
    )


LOWERINGS = [
    Mutation(f"{name} lowers wrongly", (_row(name, wrap),), ("lower", "fuse"))
    for name, wrap in (
        ("slice", _same_place), ("flip", _same_place), ("add", _as("sub")), ("sub", _as("add")),
        ("mul", _first_operand_twice), ("div", _as("mul")), ("max", _as("min")),
        ("reduce_sum", _as("reduce_max")), ("reduce_max", _as("reduce_min")),
        ("pad", _moved_index), ("concat", _moved_index), ("slice_update", _same_place),
        ("dot_general", _first_operand_twice), ("exp", _as("exp2")), ("div", _first_operand_twice),
        ("bit_and", _as("bit_or")), ("floordiv", _as("mod")), ("iota", _moved_index),
        ("eq", _as("ne")), ("lt", _as("le")), ("argmax", _as("argmin")),
    )
]  # fmt: skip

_lifetimes = memory_plan._lifetimes


def _first_reads(p):
    touches = {}
    for k, call in enumerate(p.calls):
        for a in call.args:
            touches.setdefault(a, []).append(k)
    return {a: found[min(1, len(found) - 1)] for a, found in touches.items()}


MEMORY = [
    Mutation("memory is shared with anyone", ((builder, "_may_take", lambda _, slots, s, o, **__: (
        slots[s].type.size == slots[o].type.size
        and slots[s].type.dtype.itemsize == slots[o].type.dtype.itemsize)),), "share_memory"),
    Mutation("memory is shared too early", ((builder, "last_uses", _first_reads),), "share_memory"),
    Mutation("lifetimes end too early", ((memory_plan, "_lifetimes", lambda p: {
        s: (first, first) for s, (first, _) in _lifetimes(p).items()}),), "plan_memory"),
    Mutation("offsets are all 0", ((memory_plan, "_placed", lambda lifetimes, sizes: (
        max(sizes.values(), default=0), dict.fromkeys(lifetimes, 0))),), "plan_memory"),
    Mutation("everything runs at once", tuple(
        (m, "runs_of", lambda p, calls: [calls] if calls else [])
        for m in (program, memory_plan, cpu, reference_steps)), ("lower", "plan_memory")),
]  # fmt: skip


# Derivatives: the row's rule is wrong.


def _scaled(rule):
    def wrong(b, *args, **attrs):
        made = rule(b, *args, **attrs)
        if made is None:
            return None
        return b.add(made, made)

    return wrong


def derivative_mutations(ops):
    """For each op, its jvp and its transpose giving twice what they should."""
    found = []
    for name in ops:
        op = OPS[name]
        if callable(op.jvp):
            found.append(Mutation(f"jvp of {name}", ((op, "jvp", _scaled(op.jvp)),), "jvp", name))
        if op.transpose is not None:
            found.append(
                Mutation(
                    f"transpose of {name}",
                    ((op, "transpose", _scaled(op.transpose)),),
                    ("vjp", "jvp"),
                    name,
                )
            )
    return found
