"""Which loops of a row kernel fetch, and what."""

from __future__ import annotations

import pytest

from dlc.codegen.cpu.emit import module_text
from dlc.codegen.cpu.fetch_ahead import RowAccesses, streamed
from dlc.codegen.cpu.grouping import Grouping
from dlc.codegen.cpu.isa import ISA_LEVELS, isa_named
from dlc.codegen.cpu.llvm import assembly
from dlc.codegen.cpu.loops import emit_loops, index_math
from dlc.codegen.kernel_ir import Par
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_transform import normalise
from dlc.ir.dims import dim_text

SOFTMAX = """
kernel softmax(x: f32[R,N], out o: f32[R,N]):
 par r<R:
  m[r] = rmax(n<N, x[r,n])
  e[n] n<N = exp(x[r,n]-m[r])
  s[r] = sum(n<N, e[n])
  o[r,n] n<N = e[n]/s[r]
"""
SCALED = """
kernel scaled(x: f32[R,N], g: f32[N], out o: f32[R,N]):
 par r<R:
  s[r] = sum(n<N, x[r,n]*x[r,n])
  o[r,n] n<N = x[r,n]/s[r]*g[n]
"""
SUMS = """
kernel sums(x: f32[R,N], out o: f32[R]):
 par r<R:
  o[r] = sum(n<N, x[r,n])
"""
COLUMNS = """
kernel columns(x: f32[N,R], out o: f32[N,R]):
 par r<R:
  s[r] = sum(n<N, x[n,r])
  o[n,r] n<N = x[n,r]/s[r]
"""


HEAVY = """
kernel heavy(x: f32[R,N], g: f32[R,N], out o: f32[R,N]):
 par r<R:
  s[r] = sum(n<N, x[r,n]*g[r,n])
  t[n] n<N = x[r,n]*x[r,n]*x[r,n]*x[r,n]*x[r,n]*s[r]*2.0*x[r,n]+x[r,n]*s[r]*x[r,n]*x[r,n]
  u[r] = sum(n<N, t[n])
  o[r,n] n<N = g[r,n]*u[r]
"""
BESIDE = """
kernel beside(x: f32[R,N], out o: f32[R,N], out p: f32[R,N]):
 par r<R:
  s[r] = sum(n<N, x[r,n])
  e[n] n<N = x[r,n]*s[r]
  t[r] = sum(n<N, e[n])
  o[r,n] n<N = e[n]+t[r]
  p[r,n] n<N = x[r,n]+1.0
"""


def groups_of(text, past_caches=()):
    kernel = normalise(parse_kernel(text))
    (nest,) = kernel.body
    assert isinstance(nest, Par)
    names = [p.name for p in kernel.params]
    grouping = Grouping(names, {}, lambda _: False, lambda name: name in past_caches)
    return kernel, nest, grouping.groups(nest.body)


def accesses(text):
    kernel, nest, groups = groups_of(text)
    found = RowAccesses(index_math(kernel), kernel.params, nest.axes[-1]).fetches(groups)
    return [x for g, x in zip(groups, found, strict=True) if g.axes]


def fetched(text):
    return [[(a.name, dim_text(a.distance)) for a in found] for found in accesses(text)]


def test_the_heaviest_loop_after_the_first_fetches():
    # The next row of x where it is read again, this row of o where it is not yet written.
    assert fetched(SOFTMAX) == [[], [("x", "N"), ("o", "0")], []]
    # Nothing for g, which every row reads.
    assert fetched(SCALED) == [[("o", "0")], [("x", "N")]]


def test_short_loops_fetch_into_the_second_level():
    levels = {a.name: a.near for found in accesses(HEAVY) for a in found if not a.write}
    assert levels == {"x": True, "g": False}


def test_stores_past_the_caches_have_loops_of_their_own():
    """Where others that stores are in can hold what is beside them, at its own lines."""

    def stores(past_caches):
        _, _, groups = groups_of(BESIDE, past_caches)
        return [[i.name for i in g.items if i.kind != "reduce"] for g in groups if g.axes]

    assert stores("") == stores("op") == [[], ["e"], ["o", "p"]]
    assert stores("o") == [[], ["e", "p"], ["o"]]
    apart = BESIDE.replace("p[r,n] n<N = x[r,n]", "p[r,n] n<N = t[r]")
    _, _, groups = groups_of(apart, "o")
    assert [i.name for i in groups[-1].items] == ["o", "p"]


def test_whole_rows_are_fetched():
    """What full vectors leave of them, and the line that their last element is in."""

    def count(text):
        (emitter,) = emit_loops(parse_kernel(text), isa_named("x86-64-v4")).emitters
        return emitter.text().count("call void @llvm.prefetch")

    whole, open_ = (
        count(SCALED.replace("N]", f"{n}]").replace("n<N", f"n<{n}")) for n in (64, "N")
    )
    assert (whole, open_) == (2 * (4 + 1), 2 * (4 + 1 + 1))


@pytest.mark.parametrize("text", [SUMS, COLUMNS], ids=["read once", "columns"])
def test_nothing_is_fetched(text):
    assert not any(fetched(text))


def streams(text):
    kernel = normalise(parse_kernel(text))
    (nest,) = kernel.body
    assert isinstance(nest, Par)
    found = streamed(index_math(kernel), kernel.params, nest, nest.axes[-1])
    return [a.attr for a in found]


def test_long_chains_fetch_their_streams():
    assert streams(
        "kernel f(x: f32[R,N], b: f32[N], s: f32[R], out o: f32[R,N]):\n par r<R, n<N:\n"
        "  o[r,n] = tanh(x[r,n]+b[n])*exp(s[r])"
    ) == ["x", "o"]
    # Loops inside, little to compute, and elements that are not adjacent.
    assert not streams(
        "kernel f(x: f32[N,R], out o: f32[R]):\n par r<R:\n  o[r] = sum(n<N, tanh(x[n,r]))"
    )
    assert not streams("kernel f(x: f32[N], out o: f32[N]):\n par n<N:\n  o[n] = x[n]*2.0")
    assert streams(
        "kernel f(x: f32[N,R], out o: f32[R,N]):\n par r<R, n<N:\n  o[r,n] = tanh(x[n,r])"
    ) == ["o"]


# What fetches to read, and what to write; the lowest level has no instruction for the latter.
FETCHES = {"x86-64-v2": ("prefetcht0", "prefetcht0"), "aarch64": ("pldl1keep", "pstl1keep")}


@pytest.mark.parametrize("level", [isa.name for isa in ISA_LEVELS])
def test_instructions(level):
    isa = isa_named(level)
    code = assembly(module_text(emit_loops(parse_kernel(SOFTMAX), isa).emitters), isa)
    read, written = FETCHES.get(level, ("prefetcht0", "prefetchw"))
    assert code.count(read) >= 1
    assert code.count(written) >= 1
    code = assembly(module_text(emit_loops(parse_kernel(SUMS), isa).emitters), isa)
    assert "prefetch" not in code
    assert "prfm" not in code
