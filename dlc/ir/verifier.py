"""Checks that a function is legal: SSA, types by the ops' rules, kinds of attributes, stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn, TypeAlias

import numpy as np

from dlc.ir.core import Function, Node, bodies
from dlc.ir.dims import (
    TRIPS_NAME,
    Dim,
    DimExpr,
    DimUnknown,
    Range,
    range_words,
    ranges_of,
    symbols_of,
)
from dlc.ir.errors import DlcError, VerifyError
from dlc.ir.host_function import HostFunction
from dlc.ir.op import Op
from dlc.ir.printer import function_lines
from dlc.ir.signature import input_count
from dlc.ir.types import DType, TensorType, TupleType, Type

Stage: TypeAlias = Literal["traced", "decomposed", "fused"]
STAGES: tuple[Stage, ...] = ("traced", "decomposed", "fused")
CONTEXT = 5  # lines shown before and after the culprit

_RULE_ERRORS = (
    DlcError, DimUnknown, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError,
    ValueError,
)  # fmt: skip


def verify(function: Function, *, stage: Stage | None = None, pass_name: str | None = None) -> None:
    """Checks `function` and the functions inside it.

    Args:
        function: What to check.
        stage: Also check which ops are legal: "traced" has no `fusion`; "decomposed" has no op that
            stands for simpler ones; "fused" computes everything in fusions but what backends take
            as it is (constants, results of fusions, ops without a lowering).
        pass_name: The pass that made the function, for the error.

    Raises:
        VerifyError: The first rule broken, with the lines around the place.

    Example:
        >>> verify(f, stage="traced", pass_name="simplify")
    """
    _Verifier(function, stage, pass_name).run(function.ranges)


class _Verifier:
    def __init__(self, function: Function, stage: Stage | None, pass_name: str | None) -> None:
        self.function, self.pass_name = function, pass_name
        self.stage: Stage | None = stage

    def run(self, symbols: Mapping[str, Range], *, inside_fusion: bool = False) -> None:
        """Checks the function; `symbols` are those with a value, with what they may be."""
        defined: set[Node] = set()
        for p in self.function.params:
            if p.op.name != "param":
                self.fail(f"a parameter is made by op {p.op.name}", p)
            if p in defined:
                self.fail("a parameter is listed twice", p)
            self.check_type(p)
            self.check_symbols(p, symbols)
            defined.add(p)
        for node in self.function.nodes:
            self.check_ssa(node, defined)
            self.check_attrs(node)
            self.check_type(node)
            self.check_symbols(node, symbols)
            self.check_stage(node, inside_fusion=inside_fusion)
            defined.add(node)
            for _, body in bodies(node):
                inner = _Verifier(body, self.stage, self.pass_name)
                inner.check_body(node)
                inner.run(symbols, inside_fusion=inside_fusion or node.op.name == "fusion")
        for r in self.function.results:
            if r not in defined:
                self.fail("a result that the function does not define", None)
            if isinstance(r.type, TupleType):
                self.fail("a result is a tuple: its parts are read through `get`", r)

    def check_ssa(self, node: Node, defined: set[Node]) -> None:
        if node in defined:
            self.fail("a node is listed twice", node)
        if node.op.name == "param":
            self.fail("a parameter of another function", node)
        for k, x in enumerate(node.inputs):
            if x in defined:
                continue
            if x.op.name == "param":
                self.fail(f"input {k} is a parameter of another function", node)
            later = "only defined later" if x in self.function.nodes else "defined nowhere"
            self.fail(f"input {k} is {later}", node)

    def check_attrs(self, node: Node) -> None:
        kinds = node.op.attrs
        if node.attrs.keys() != kinds.keys():
            odd = min(node.attrs.keys() ^ kinds.keys())
            state = "missing" if odd in kinds else "not one of the row's"
            self.fail(f"attribute {odd!r} of {node.op.name} is {state}", node)
        for name, kind in kinds.items():
            value = node.attrs[name]
            if value is None and name in node.op.defaults and node.op.defaults[name] is None:
                continue
            if not _IS_KIND[kind](value):
                self.fail(f"attribute {name}={value!r} of {node.op.name} is no {kind}", node)

    def check_type(self, node: Node) -> None:
        op, types = node.op, [x.type for x in node.inputs]
        wanted = input_count(op)
        if wanted is not None and wanted != len(types):
            self.fail(f"{op.name} takes {wanted} inputs, not {len(types)}", node)
        try:
            found = _infer(op, types, node)
        except _RULE_ERRORS as error:
            said = error.message if isinstance(error, DlcError) else None
            shown = ", ".join(map(str, types))
            self.fail(said or f"{op.name} cannot take ({shown})", node)
        if found != node.type:
            self.fail(f"the type is {node.type}, but {op.name} gives {found}", node)

    def check_symbols(self, node: Node, symbols: Mapping[str, Range]) -> None:
        items = node.type.items if isinstance(node.type, TupleType) else (node.type,)
        dims = [d for t in items for d in t.shape if isinstance(d, DimExpr)]
        for name, kind in node.op.attrs.items():
            if kind == "dim":
                dims.append(node.attrs[name])
            elif kind == "dims":
                dims += node.attrs[name]
        for d in dims:
            unknown = sorted(symbols_of(d) - symbols.keys() - {TRIPS_NAME})
            if unknown:
                self.fail(f"no parameter's shape gives the value of {unknown[0]}", node)
            for name, range_ in ranges_of(d):
                if symbols.get(name, range_) != range_:
                    words = f"{range_words(range_)} and {range_words(symbols[name])}"
                    self.fail(f"the symbol {name} is said to be {words}", node)

    def check_stage(self, node: Node, *, inside_fusion: bool) -> None:
        op = node.op
        if self.stage == "traced" and op.name == "fusion":
            self.fail("a fusion before the stage of fusion", node)
        if self.stage in ("decomposed", "fused") and op.decompose is not None and not op.own_kernel:
            self.fail(f"{op.name} is to be decomposed before this stage", node)
        if self.stage == "fused":
            if op.name == "fusion" and inside_fusion:
                self.fail("a fusion inside a fusion", node)
            if not inside_fusion and not stands_alone(op):
                self.fail(f"{op.name} outside of a fusion", node)

    def check_body(self, node: Node) -> None:
        """Checks that the body of `node`'s fusion fits its inputs."""
        if node.op.name != "fusion":
            return
        wanted = [p.type for p in self.function.params]
        given = [x.type for x in node.inputs]
        if wanted != given:
            shown = ", ".join(map(str, given))
            self.fail(f"the fusion is given ({shown}), which are not its parameters' types", None)

    def fail(self, message: str, node: Node | None) -> NoReturn:
        """Raises VerifyError with the lines around `node`; without one, around the first line."""
        raise VerifyError(
            message,
            pass_name=self.pass_name,
            excerpt=_excerpt(self.function, node),
            location=None if node is None else node.loc,
        )


def stands_alone(op: Op) -> bool:
    """Whether backends take a node of `op` outside of fusions."""
    return op.name in ("fusion", "get", "constant") or (op.lower is None and op.decompose is None)


def _infer(op: Op, types: list[Type], node: Node) -> Type:
    return op.infer(types, node.attrs)  # type: ignore[arg-type]  # `get` alone takes tuples


def _excerpt(function: Function, node: Node | None) -> str:
    lines, where = function_lines(function)
    at = where.get(node, 0) if node is not None else 0
    first = max(0, at - CONTEXT)
    shown = lines[first : at + CONTEXT + 1]
    text = lines[at]
    indent = len(text) - len(text.lstrip())
    # Short enough to point, however long the line.
    shown.insert(at - first + 1, " " * indent + "^" * min(len(text) - indent, 40))
    return "\n".join(shown)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_dim(value: Dim | Any) -> bool:
    return _is_int(value) or isinstance(value, DimExpr)


def _tuple_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and all(map(test, value))


_IS_KIND: dict[str, Callable[[Any], bool]] = {
    "int": _is_int,
    "ints": _tuple_of(_is_int),
    "dim": _is_dim,
    "dims": _tuple_of(_is_dim),
    "dtype": lambda value: isinstance(value, DType),
    "bool": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, (bool, int, float)),
    "str": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, np.ndarray),
    "function": lambda value: isinstance(value, Function),
    "functions": _tuple_of(lambda value: isinstance(value, Function)),
    "callable": lambda value: isinstance(value, HostFunction),
    "types": _tuple_of(lambda value: isinstance(value, (TensorType, TupleType))),
}
