"""The blocks of the contracted axis, and the runs that many of them are added up in."""

from __future__ import annotations

from collections.abc import Callable

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu.contraction_form import Contraction
from dlc.codegen.cpu.contraction_operands import Step
from dlc.codegen.cpu.expressions import ExprEmitter
from dlc.codegen.cpu.tiling import RUN, k_step, runs
from dlc.ir.record import replace


def each_step(ex: ExprEmitter, form: Contraction, write: Callable[[Step], None]) -> None:
    """Writes the loop over the blocks; one of no products where the axis is empty."""
    extent, block = form.k.extent, k_step(form)
    if isinstance(extent, int) and block == extent:
        write(Step("0", str(extent), "true", "true"))
        return
    em = ex.em
    k, block = ex.index(extent), ex.index(block)
    one_run = runs(form) == 0

    def body(k0: str, values: list[str]) -> list[str]:
        left = iv.subtract(em, k, k0)
        length = iv.minimum(em, left, block)
        first = em.value(f"icmp eq i64 {k0}, 0")
        last = em.value(f"icmp sle i64 {left}, {block}")
        step = Step(k0, length, first, last)
        following: list[str] = []
        if not one_run:
            (done,) = values
            begins = em.value(f"icmp eq i64 {em.value(f'urem i64 {done}, {RUN}')}, 0")
            later = em.value(f"icmp sge i64 {done}, {RUN}")
            following = [iv.add(em, done, "1")]
            ends = em.value(f"icmp eq i64 {em.value(f'urem i64 {following[0]}, {RUN}')}, 0")
            ends = em.value(f"and i1 {later}, {em.value(f'or i1 {ends}, {last}')}")
            step = replace(step, first=begins, later=later, ends=ends)
        with ex.scope():
            write(step)
        return following

    em.loop("0", iv.maximum(em, k, "1"), block, body, [] if one_run else [("i64", "0")])
