"""Where tensors lie: no value is lost while something still reads it, sharing only where safe."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import same_bits

from dlc.codegen.memory_plan import ALIGNMENT, _Arena, byte_size, plan_memory
from dlc.codegen.program import Program, independent_runs
from dlc.codegen.program_builder import build_program
from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.dims import symbol
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.ir.types import TensorType, float32, float64
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of
from dlc.runtime.executable import Options, compile_function

VALUES = {"n": 7, "m": 3}


def program_of(function: Function, level: str = "O0", donated: tuple[int, ...] = ()) -> Program:
    return build_program(run_pipeline(function, pipeline_of(level)), donated)


def places(program: Program, values: dict[str, int]) -> dict[int, range]:
    """The bytes of each slot: temporaries in the arena, others in memory of their own after it."""
    plan = plan_memory(program, values)
    end = plan.arena_bytes
    found: dict[int, range] = {}
    for k, slot in enumerate(program.slots):
        if slot.shares is None and k not in plan.offsets:
            found[k] = range(end, end + byte_size(slot.type, values))
            end = found[k].stop
        elif slot.shares is None:
            found[k] = range(plan.offsets[k], plan.offsets[k] + byte_size(slot.type, values))
    for k, slot in enumerate(program.slots):
        start = found[program.memory_of(k)].start
        found[k] = range(start, start + byte_size(slot.type, values))
    return found


def losses(program: Program, values: dict[str, int] = VALUES) -> Iterator[str]:
    """What goes wrong when the calls run: who holds each byte is followed through them."""
    at = places(program, values)
    holder: dict[int, int] = {}
    for k, slot in enumerate(program.slots):
        if slot.kind in ("input", "constant"):
            holder.update(dict.fromkeys(at[k], k))
    for run in independent_runs(program):
        yield from conflicts(program, at, run)
        for c in run:
            yield from follow(program, at, holder, c)
    for k, slot in enumerate(program.slots):
        donated = slot.kind == "input" and slot.position in program.donated
        lost = any(holder.get(byte) != k for byte in at[k])
        if lost and slot.kind != "temporary" and not donated:
            yield f"the {slot.kind} s{k} is overwritten"


def follow(program: Program, at: dict[int, range], holder: dict[int, int], c: int) -> Iterator[str]:
    """What goes wrong in call `c`; afterwards it holds what it writes."""
    call = program.calls[c]
    params = list(zip(program.kernels[call.kernel].params, call.args, strict=True))
    for p, a in params:
        if p.mode != "out" and any(holder.get(byte) != a for byte in at[a]):
            yield f"call {c} reads s{a}, which is overwritten"
    for p, a in params:
        if p.mode != "out":
            continue
        safe = {b for q, b in params if q.name in p.may_alias}
        for b in set(call.args) - {a} - safe:
            if set(at[a]) & set(at[b]):
                yield f"call {c} writes s{a} over s{b}, which it also uses"
        holder.update(dict.fromkeys(at[a], a))


def conflicts(program: Program, at: dict[int, range], run: range) -> Iterator[str]:
    """Calls of one run may run at once, so none may write what another one touches."""
    for c in run:
        call = program.calls[c]
        outs = {
            a
            for p, a in zip(program.kernels[call.kernel].params, call.args, strict=True)
            if p.mode == "out"
        }
        for d in run:
            for a in outs:
                if d != c and any(set(at[a]) & set(at[b]) for b in program.calls[d].args):
                    yield f"calls {c} and {d} run at once and share memory"


@st.composite
def functions(draw: st.DrawFn) -> Function:
    """Programs over tensors of a few shapes, of which some have equal sizes."""
    n, m = symbol("n"), symbol("m")
    shapes = [(4, 3), (3, 4), (12,), (n, 3), (m, n), (n,)]
    b = IRBuilder()
    params = [
        b.param(
            TensorType(
                draw(st.sampled_from([float32, float32, float64])), draw(st.sampled_from(shapes))
            )
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    params += [b.param(TensorType(float32, (n,))), b.param(TensorType(float32, (m, n)))]
    values: list[Node] = list(params)
    for _ in range(draw(st.integers(1, 14))):
        values.append(draw(steps(b, values)))
    chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))
    return b.function("f", params, chosen)


def steps(b: IRBuilder, values: list[Node]) -> st.SearchStrategy[Node]:
    def apply(x: Node, y: Node, kind: int) -> Node:
        match kind:
            case 0 | 1:
                same = [v for v in values if v.tensor == x.tensor]
                return b.sub(x, same[-1] if kind else same[0])
            case 2:
                return b.tanh(x)
            case 3:
                return b.transpose(x, axes=tuple(reversed(range(x.tensor.rank))))
            case 4 if x.tensor.rank:
                return b.reduce_sum(x, axes=(x.tensor.rank - 1,))
            case 5 if x.shape == (4, 3):
                return b.reshape(x, shape=(12,))
            case 6:
                return b.convert(x, dtype=float64 if x.tensor.dtype is float32 else float32)
            case 7 if x.tensor.rank == 2 and y.tensor == x.tensor:
                return b.dot_general(
                    x, y, lhs_batch=(), lhs_contract=(1,), rhs_batch=(), rhs_contract=(1,)
                )
            case _:
                return b.flip(x, axes=tuple(range(x.tensor.rank)))

    recent = st.sampled_from(values[-6:])
    return st.builds(apply, recent, st.sampled_from(values), st.integers(0, 8))


@settings(max_examples=250)
@given(functions(), st.sampled_from(["O0", "O2"]), st.sets(st.integers(0, 5)))
def test_no_value_is_lost(function, level, donated):
    program = program_of(function, level, tuple(k for k in donated if k < len(function.params)))
    assert list(losses(program)) == []
    plan = plan_memory(program, VALUES)
    assert plan.live_bytes <= plan.arena_bytes
    assert all(offset % ALIGNMENT == 0 for offset in plan.offsets.values())


@settings(max_examples=40)
@given(functions(), st.sampled_from(["O0", "O2"]), st.sets(st.integers(0, 5)), st.integers(1, 3))
def test_donated_inputs_change_nothing(function, level, donated, threads):
    donated = tuple(k for k in sorted(donated) if k < len(function.params))
    options = Options(level=level, donated=donated, num_threads=threads)
    rng = np.random.default_rng(0)
    args = [
        rng.standard_normal([d if isinstance(d, int) else VALUES[str(d)] for d in p.shape]).astype(
            p.tensor.dtype.numpy
        )
        for p in function.params
    ]
    plain = compile_function(function, options=Options(level=level))(args)
    reused = compile_function(function, options=options)([a.copy() for a in args])
    for a, b, c in zip(plain, reused, interpret(function, args), strict=True):
        assert same_bits(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-4)


CHAIN = """func @f(%x: f32[n]) -> (f32[n]) {
  %0: f32[n] = tanh(%x)
  %1: f32[n] = exp(%0)
  %2: f32[n] = sin(%1)
  %3: f32[n] = cos(%2)
  return %3 }"""


def test_a_chain_needs_one_temporary():
    program = program_of(parse_function(CHAIN))
    assert len(program.calls) == 4
    assert plan_memory(program, {"n": 1000}).arena_bytes == 4032


def test_a_donated_input_holds_the_result_of_a_chain():
    program = program_of(parse_function(CHAIN), donated=(0,))
    (result,) = [k for k, s in enumerate(program.slots) if s.kind == "output"]
    assert program.slots[program.memory_of(result)].kind == "input"
    assert plan_memory(program, {"n": 1000}).arena_bytes == 0


def test_a_result_is_not_taken_over_by_another():
    """The first lies in donated memory, which is not free for the second."""
    text = """func @f(%x: f32[n]) -> (f32[n], f32[n]) {
      %0: f32[n] = tanh(%x)
      %1: f32[n] = exp(%0)
      return %0, %1 }"""
    function = parse_function(text)
    program = program_of(function, donated=(0,))
    assert list(losses(program)) == []
    run = compile_function(function, options=Options(level="O0", donated=(0,)))
    first, second = run([np.zeros(5, np.float32)])
    assert first.tolist() == [0.0] * 5
    assert second.tolist() == [1.0] * 5


def test_a_transposition_takes_over_nothing():
    text = """func @f(%x: f32[4,4]) -> (f32[4,4]) {
      %0: f32[4,4] = transpose(%x) {axes=[1,0]}
      return %0 }"""
    program = program_of(parse_function(text), donated=(0,))
    assert all(s.shares is None for s in program.slots)


@pytest.mark.parametrize("types", [("f32[n]", "f64[n]"), ("f32[n]", "f32[m]")])
def test_other_sizes_take_over_nothing(types):
    x, y = types
    text = f"func @f(%x: {x}, %y: {y}) -> ({y}) {{ %0: {y} = neg(%y) return %0 }}"
    program = program_of(parse_function(text), donated=(0,))
    assert all(s.shares is None for s in program.slots)


def test_a_loss_is_found():
    program = program_of(parse_function(CHAIN))
    slots = list(program.slots)
    (result,) = [k for k, s in enumerate(slots) if s.kind == "output"]
    (source,) = [k for k, s in enumerate(slots) if s.kind == "input"]
    slots[result] = replace(slots[result], shares=source)
    assert any(
        "the input s0 is overwritten" in found
        for found in losses(replace(program, slots=tuple(slots)))
    )


def test_gaps_are_joined_and_the_smallest_is_taken():
    arena = _Arena()
    a, b, c, d = (arena.take(n) for n in (64, 128, 192, 64))
    assert (a, b, c, d, arena.size) == (0, 64, 192, 384, 448)
    arena.leave(0, 64)
    arena.leave(192, 384)
    assert arena.take(64) == 0
    assert arena.take(128) == 192
    arena.leave(0, 64)
    arena.leave(64, 192)
    assert arena.take(192) == 0
    arena.leave(384, 448)
    assert arena.take(256) == 320  # what is free at the end is made longer
    assert arena.size == 576
