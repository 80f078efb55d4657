"""Names what broke a compilation: the pass, the rule and the rewrite, or the kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.codegen.program_builder import build_program
from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.interpret import interpret
from dlc.ir.location import SourceLocation
from dlc.ir.record import dataclass
from dlc.ir.rewrite import Fuel, Spent
from dlc.ir.verifier import Stage, verify
from dlc.passes.fuse import Fuse
from dlc.passes.manager import PassContext
from dlc.runtime.judge import Difference, Judge
from dlc.runtime.program_check import run_program
from dlc.runtime.verification import Compilation, check, compilation

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Culprit:
    """What broke a compilation.

    stage: The pass, `lower`, `share_memory`, `plan_memory` or the device.
    difference: What is wrong after it.
    rule: The rule, or the op that the pass was at; None where it is the pass as a whole.
    number: The number of the change among all of the compilation: the least fuel that breaks it.
    location: The user's line.
    """

    stage: str
    difference: Difference
    rule: str | None = None
    number: int | None = None
    location: SourceLocation | None = None

    def __str__(self) -> str:
        rule = "" if self.rule is None else f", rule {self.rule}"
        number = "" if self.number is None else f", change {self.number}"
        at = "" if self.location is None else f", at {self.location}"
        return f"{self.stage}{rule}{number}{at}: {self.difference}"


def bisect_function(
    function: Function, args: Sequence[Array] | None = None, **keywords: Any
) -> Culprit | None:
    """What breaks the compilation of `function`; None where `verify_function` finds nothing.

    Args:
        function: A traced function.
        args: As of `verify_function`.
        **keywords: As of `verify_function`.

    Example:
        >>> print(bisect_function(f, level="O3"))
    """
    verify(function)
    return find_culprit(compilation(function, args, **keywords))


def find_culprit(work: Compilation) -> Culprit | None:
    """What breaks a compilation; None where nothing does."""
    bad = check(work).first_bad
    if bad is None:
        return None
    assert bad.difference is not None
    if len(work.changes) == len(work.done):  # the last pass that ran has left nothing behind
        return _bisect_pass(work, len(work.done) - 1, bad.difference)
    if bad.name in ("lower", work.device):
        return _bad_kernel(work, bad.name, bad.difference)
    return Culprit(bad.name, bad.difference)


def _bisect_pass(work: Compilation, k: int, difference: Difference) -> Culprit:
    """The first change of pass k without which the pass is right."""
    p, before = work.passes[k], work.done[k]
    stage: Stage | None = None
    for q in work.passes[:k]:
        stage = q.stage or stage
    values = work.interpret(before)
    good, bad = 0, work.changes[k]
    culprit, last = difference, Fuel(bad)
    while bad - good > 1:
        middle = (good + bad) // 2
        fuel = Fuel(middle)
        _, wrong = work.apply(p, before, values, fuel, stage)
        if wrong is None:
            good = middle
        else:
            bad, culprit, last = middle, wrong, fuel
    if not last.log:
        work.apply(p, before, values, last, stage)
    change: Spent | None = last.log[bad - 1] if bad > 1 else None
    number = sum(work.changes[:k]) + bad
    if change is None:
        return Culprit(p.name, culprit, None, number)
    return Culprit(p.name, culprit, change.rule, number, change.location)


def _bad_kernel(work: Compilation, stage: str, difference: Difference) -> Culprit:
    """The first fusion whose kernels differ from its body, and whether grouping is to blame."""
    fused = work.done[-1]
    for args, dims in zip(work.arguments, work.dims, strict=True):
        values: dict[Node, Any] = dict(zip(fused.params, args, strict=True))
        interpret(fused, args, dims=dims, observer=values.__setitem__)
        for node in fused.nodes:
            if node.op.name != "fusion":
                continue
            given = [values[x] for x in node.inputs]
            body: Function = node.attrs["body"]
            wrong = _kernel_difference(body, given, dims, grouped=True)
            if wrong is None:
                continue
            alone = _kernel_difference(body, given, dims, grouped=False)
            name = "fuse" if alone is None and stage == "lower" else stage
            rule = body.results[-1].op.name
            return Culprit(name, wrong, rule, None, node.loc)
    return Culprit(stage, difference)


def _kernel_difference(
    body: Function, args: Sequence[Array], dims: Mapping[str, int], *, grouped: bool
) -> Difference | None:
    """What is wrong with the kernels of a body: one fusion, or one for each of its units."""
    try:
        function = _one_fusion(body) if grouped else Fuse(groups=False).run(body, PassContext())
        program = build_program(function)
        with np.errstate(all="ignore"):
            found = run_program(program, args, dims, "own")
    except Exception as error:  # noqa: BLE001  (whatever wrong lowering raises is the finding)
        return Difference(f"{type(error).__name__}: {error}")
    return Judge(body, args, dims).difference(found)


def _one_fusion(body: Function) -> Function:
    """A function that is one fusion of `body`."""
    b = IRBuilder()
    params = [b.param(p.tensor) for p in body.params]
    whole = b.fusion(*params, body=body)
    many = len(body.results) > 1
    results = [b.get(whole, index=k) for k in range(len(body.results))] if many else [whole]
    return b.function(body.name, params, results)
