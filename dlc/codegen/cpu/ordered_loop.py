"""The loop of a `for`: in order, with values that go on from one iteration to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.codegen.cpu.emit import Emitter


def ordered_loop(
    em: Emitter,
    stop: str,
    carry: Sequence[tuple[str, str]],
    body: Callable[[str, list[str]], list[str]],
    condition: Callable[[str, list[str]], str] | None,
) -> list[str]:
    """`for i = 0; i < stop and condition(i, values); i += 1` with carried values."""
    if condition is None:
        return em.loop("0", stop, 1, body, carry)
    head, test, inside = em.fresh("head"), em.fresh("test"), em.fresh("body")
    done, before = em.fresh("done"), em.current
    i, names = "%" + em.fresh("i"), ["%" + em.fresh("c") for _ in carry]
    em.branch(head)
    em.block(head)
    at = len(em.lines)
    em.branch_if(em.value(f"icmp slt i64 {i}, {stop}"), test, done)
    em.block(test)
    em.branch_if(condition(i, names), inside, done)
    em.block(inside)
    following = body(i, names)
    next_i = em.value(f"add nsw i64 {i}, 1")
    latch = em.current
    em.branch(head)
    phis = [f"  {i} = phi i64 [ 0, %{before} ], [ {next_i}, %{latch} ]"]
    for name, (type_, first), later in zip(names, carry, following, strict=True):
        phis.append(f"  {name} = phi {type_} [ {first}, %{before} ], [ {later}, %{latch} ]")
    em.lines[at:at] = phis
    em.block(done)
    return names
