"""The passes of each optimisation level, in order."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.ir.errors import ValueRangeError, nearest
from dlc.ir.op import ANY_ROW
from dlc.passes.attend import Attend
from dlc.passes.cse import Cse
from dlc.passes.dce import Dce
from dlc.passes.decompose import Decompose
from dlc.passes.fold_constants import FoldConstants
from dlc.passes.fuse import Fuse
from dlc.passes.fuse_fma import FuseFma
from dlc.passes.loops import Loops
from dlc.passes.manager import Pass
from dlc.passes.prepack import Prepack
from dlc.passes.simplify import Simplify
from dlc.passes.small_products import SmallProducts
from dlc.passes.small_systems import SmallSystems
from dlc.passes.split_products import SplitProducts

O0: tuple[Pass, ...] = (
    Decompose(),  # kernels know simple ops only
    Fuse(groups=False),  # a kernel an op, so that each value can be looked at
)
O1: tuple[Pass, ...] = (
    Attend(),  # before softmax is expanded and forms are simplified; decides bits
    Decompose(),  # kernels know simple ops only
    Dce(),  # what differentiation left behind costs time in every pass below
    Cse(),  # recomputed pieces of forward and backward become one
    Fuse(),  # memory is read once a kernel
)
O2: tuple[Pass, ...] = (
    Attend(),  # before softmax is expanded and forms are simplified; decides bits
    Decompose(),  # rules match simple ops only
    Dce(),  # what differentiation left behind costs time in every pass below
    FoldConstants(),  # before rules, which look for literals
    Simplify(),  # algebra that keeps every bit
    Cse(),  # rules make equal nodes
    Dce(),  # and dead ones, whose reads would count below
    Loops(),  # what need not be done in each iteration; decides bits
    SmallProducts(),  # decides bits, so before fusion
    SmallSystems(),  # as above
    FuseFma(),  # as above
    Prepack(),  # fixed weights as products read them; other passes would see through it
    SplitProducts(),  # also of packed weights; decides bits, so before fusion
    Fuse(),  # memory is read once a kernel
)
O3: tuple[Pass, ...] = (
    Attend(),  # before softmax is expanded and forms are simplified; decides bits
    Decompose(),  # rules match simple ops only
    Dce(),  # what differentiation left behind costs time in every pass below
    FoldConstants(limit=1 << 20),  # larger constants are worth their memory here
    Simplify(),  # algebra that keeps every bit
    Cse(),  # rules make equal nodes
    Simplify(),  # equal nodes let more rules match
    Cse(),  # as above
    Dce(),  # dead nodes' reads would count below
    Loops(),  # what need not be done in each iteration; decides bits
    SmallProducts(),  # decides bits, so before fusion
    SmallSystems(),  # as above
    FuseFma(),  # as above
    Prepack(),  # fixed weights as products read them; other passes would see through it
    SplitProducts(),  # also of packed weights; decides bits, so before fusion
    Fuse(),  # memory is read once a kernel
)
LEVELS: dict[str, tuple[Pass, ...]] = {"O0": O0, "O1": O1, "O2": O2, "O3": O3}


def pipeline_of(
    level: str,
    panel_bits: int = 0,
    fixed: Sequence[int] = (),
    *,
    own_kernels: int = ANY_ROW,
    split: Sequence[int] = (),
) -> tuple[Pass, ...]:
    """The passes of a level; ValueRangeError for an unknown one.

    Args:
        level: Its name.
        panel_bits: The width of the panels of packed matrices, which is the backend's to say.
        fixed: The positions of parameters that have the same value in every call.
        own_kernels: Up to which extent of rows the backend compiles the kernels of ops that have
            some of their own; 0 for none.
        split: The options of `SplitProducts`, where they are not those of a CPU.
    """
    if level not in LEVELS:
        raise ValueRangeError(
            f"there is no optimisation level {level!r}", hint=nearest(level, LEVELS)
        )
    packing = Prepack(panel_bits, " ".join(map(str, fixed)))
    passes = [packing if isinstance(p, Prepack) else p for p in LEVELS[level]]
    if split:
        sharing = SplitProducts(*split)
        passes = [sharing if isinstance(p, SplitProducts) else p for p in passes]
    if own_kernels >= ANY_ROW:
        return tuple(passes)
    expand = Decompose(own_kernels)
    # Without any, what is found would be written out again.
    kept = (p for p in passes if own_kernels or not isinstance(p, Attend))
    return tuple(expand if isinstance(p, Decompose) else p for p in kept)
