"""Sizes of blocks by architecture: data, which changes how fast a kernel is and not what it means.

An architecture that is not listed has the schedules of the latest one before it.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from dlc.ir.record import dataclass, replace


@dataclass(frozen=True)
class Blocks:
    """How the matrices of a product are cut.

    Args:
        m: Rows of a program's block of the result.
        n: Columns of it.
        k: Extent of the product that is read at a time.
        num_warps: Warps a program.
        num_stages: Parts of the operands that are on their way at one time.
        group: Blocks of rows that programs take turns at, so that what they read stays in the
            second cache.
        programs: How many there are at most, each of which makes one block of the result after the
            other; 0 for one program a block.
    """

    m: int
    n: int
    k: int
    num_warps: int = 4
    num_stages: int = 3
    group: int = 8
    programs: int = 0


@dataclass(frozen=True)
class Products:
    """Blocks of products whose operands have some number of bits.

    Args:
        large: Where all dims are aligned and the result is large.
        small: Where all dims are aligned.
        ragged: For any dims.
        most: Elements of a result that is small: there would be too few large blocks.
    """

    large: Blocks
    small: Blocks
    ragged: Blocks
    most: int


SMALLEST = 16  # extent of a block that `tl.dot` takes


@dataclass(frozen=True)
class WalkBlocks:
    """How a walk is cut.

    Args:
        own: The block that a program has.
        other: A block that it walks past.
        num_warps: Warps a program.
        num_stages: Blocks that are on their way at one time.
    """

    own: int
    other: int
    num_warps: int = 4
    num_stages: int = 3


_RAGGED = Blocks(64, 64, 32)
_SINGLE = Products(Blocks(64, 64, 16), Blocks(64, 64, 16), Blocks(64, 64, 16), 0)

# By the number of the architecture, and by the bits of an operand.
_PRODUCTS: dict[int, dict[int, Products]] = {
    80: {
        8: Products(Blocks(128, 128, 64, 8), Blocks(64, 64, 64), _RAGGED, 108 * 128 * 128),
        16: Products(Blocks(128, 128, 32, 8, 4), Blocks(64, 64, 64), _RAGGED, 108 * 128 * 128),
        32: _SINGLE,
        19: Products(Blocks(128, 128, 32, 8), Blocks(64, 64, 32), _RAGGED, 108 * 128 * 128),
    },
    90: {
        8: Products(Blocks(128, 128, 128, 8), Blocks(64, 64, 64), _RAGGED, 132 * 128 * 128),
        16: Products(Blocks(128, 256, 64, 8), Blocks(64, 64, 64), _RAGGED, 132 * 128 * 256),
        32: _SINGLE,
        19: Products(Blocks(128, 128, 32, 8), Blocks(64, 64, 32), _RAGGED, 132 * 128 * 128),
    },
}
_TF32 = 19  # bits


# What is different, by the bits of an operand, where offsets of gathered operands take registers.
_GATHERED: dict[int, dict[str, Any]] = {
    8: {"ragged": Blocks(64, 64, 32, 8)},
    16: {
        "large": Blocks(64, 64, 64),
        "small": Blocks(64, 64, 64),
        "ragged": Blocks(32, 64, 32),
        "most": 0,
    },
    _TF32: {"ragged": Blocks(64, 64, 32, 8)},
    32: {"large": Blocks(64, 64, 16, 8), "ragged": Blocks(64, 64, 16, 8)},
}


# What is different where an epilogue reads or writes several matrices, whose elements and offsets
# take registers beside those of the result: by the number of the architecture and the bits of an
# operand, from some number of matrices on.
_EIGHT_WARPS = Blocks(64, 64, 32, 8)
_SINGLE_BESIDE = {3: {"large": Blocks(64, 64, 16, 8), "ragged": Blocks(64, 64, 16, 8)}}
_TF32_BESIDE = {3: {"large": Blocks(128, 64, 32, 8), "ragged": _EIGHT_WARPS}}
_BESIDE: dict[int, dict[int, dict[int, dict[str, Any]]]] = {
    80: {
        16: {3: {"large": Blocks(128, 64, 32, 8, 4), "ragged": _EIGHT_WARPS}},
        32: _SINGLE_BESIDE,
        _TF32: _TF32_BESIDE,
    },
    90: {
        16: {
            2: {"large": Blocks(128, 128, 64, 8)},
            3: {"large": Blocks(128, 64, 64, 8), "ragged": _EIGHT_WARPS},
        },
        32: _SINGLE_BESIDE,
        _TF32: _TF32_BESIDE,
    },
}


def product_blocks(
    arch: int, bits: int, *, fast: bool = False, gathered: bool = False, matrices: int = 1
) -> Products:
    """The blocks of products on an architecture, of operands with so many bits.

    With `fast`, those of float32 are multiplied as tf32. `matrices` are those that the epilogue
    reads or writes.

    Example:
        >>> product_blocks(90, 16).large.n, product_blocks(90, 16, matrices=4).large.n
        (256, 64)
    """
    known = max([a for a in _PRODUCTS if a <= arch] or [min(_PRODUCTS)])
    width = _TF32 if fast and bits == 32 else bits
    found = _PRODUCTS[known][width]
    if gathered:
        return replace(found, **_GATHERED[width])
    beside = _BESIDE[known].get(width, {})
    few = [n for n in beside if n <= matrices]
    return replace(found, **beside[max(few)]) if few else found


# What measuring chooses from, by the bits of an operand: schedules that give the same bits, since
# each adds the terms of a sum in order, and half types to tensor cores by 64 rows or more.
_TRIED: dict[int, tuple[Blocks, ...]] = {
    8: (Blocks(128, 128, 128, 8), Blocks(128, 128, 64, 8), Blocks(64, 128, 64), Blocks(64, 64, 64)),
    16: (
        Blocks(128, 256, 64, 8),
        Blocks(128, 256, 64, 8, 4),
        Blocks(128, 128, 64, 8, 4),
        Blocks(128, 128, 32, 8, 4),
        Blocks(64, 128, 64, 4, 4),
        Blocks(64, 64, 64, 4, 4),
    ),
    _TF32: (Blocks(128, 128, 32, 8), Blocks(128, 64, 32), Blocks(64, 64, 32)),
    32: (Blocks(128, 64, 16, 8), Blocks(64, 64, 16), Blocks(64, 32, 16), Blocks(32, 64, 16)),
}
_MULTIPROCESSORS = {80: 108, 90: 132}  # of the largest GPU of an architecture


def tried_blocks(arch: int, bits: int, *, fast: bool = False) -> tuple[Blocks, ...]:
    """The blocks of products that measuring chooses from, two of them persistent too."""
    plain = _TRIED[_TF32 if fast and bits == 32 else bits]
    known = [a for a in _MULTIPROCESSORS if a <= arch] or [min(_MULTIPROCESSORS)]
    most = _MULTIPROCESSORS[max(known)]
    return (*plain, *(replace(b, programs=most) for b in plain[:3:2]))


WalkKind: TypeAlias = Literal["values", "sum", "sums"]
_Walks: TypeAlias = dict[int, dict[int, tuple[WalkBlocks, WalkBlocks, WalkBlocks]]]
_WITHOUT_TENSOR_CORES: _Walks = {
    32: {
        64: (WalkBlocks(64, 32, 8, 2), WalkBlocks(32, 32, 4, 2), WalkBlocks(64, 32, 8, 2)),
        128: (WalkBlocks(32, 32, 8, 2), WalkBlocks(32, 16, 8, 2), WalkBlocks(32, 32, 8, 2)),
        256: (WalkBlocks(16, 16, 4, 2), WalkBlocks(16, 16, 8, 2), WalkBlocks(16, 16, 4, 2)),
    },
    64: {256: (WalkBlocks(16, 16, 4, 2), WalkBlocks(16, 16, 4, 2), WalkBlocks(16, 16, 4, 2))},
}
# By the number of the architecture, then by the bits of the operands: for rows of at most some
# elements, the blocks of each kind of walk.
_WALKS: dict[int, _Walks] = {
    80: {
        16: {
            64: (WalkBlocks(128, 64, 8, 3), WalkBlocks(128, 64, 8, 2), WalkBlocks(128, 32, 8, 2)),
            128: (WalkBlocks(128, 32, 8, 3), WalkBlocks(128, 32, 8, 2), WalkBlocks(64, 32, 8, 2)),
            256: (WalkBlocks(64, 32, 8, 2), WalkBlocks(32, 32, 8, 2), WalkBlocks(32, 32, 8, 2)),
        },
        **_WITHOUT_TENSOR_CORES,
    },
    90: {
        16: {
            64: (WalkBlocks(128, 128, 8, 3), WalkBlocks(128, 64, 8, 2), WalkBlocks(128, 64, 8, 2)),
            128: (WalkBlocks(128, 64, 8, 3), WalkBlocks(128, 64, 8, 2), WalkBlocks(128, 32, 8, 2)),
            256: (WalkBlocks(128, 32, 8, 2), WalkBlocks(32, 32, 8, 2), WalkBlocks(32, 32, 8, 2)),
        },
        **_WITHOUT_TENSOR_CORES,
    },
}


def walk_blocks(arch: int, bits: int, width: int, kind: WalkKind) -> WalkBlocks:
    """The blocks of a walk on an architecture.

    Args:
        arch: The number of the architecture.
        bits: The bits of the operands of its products.
        width: The most elements of a row.
        kind: What it carries: values beside the largest score, one sum of products, or several.
    """
    known = [a for a in _WALKS if a <= arch] or [min(_WALKS)]
    by_width = _WALKS[max(known)][bits]
    found = by_width[min(w for w in by_width if width <= w)]
    return found[("values", "sum", "sums").index(kind)]


def tried_walk_blocks(usual: WalkBlocks) -> tuple[WalkBlocks, ...]:
    """The blocks of a walk that measuring chooses from, which give the bits of the usual ones.

    Blocks that are walked stay as they are, and so does the number of rows that a warp has.
    """
    halved = replace(usual, own=usual.own // 2, num_warps=usual.num_warps // 2)
    sizes = (usual, halved) if usual.own >= 128 else (usual,)
    stages = sorted({max(usual.num_stages + k, 1) for k in (-1, 0, 1)})
    return tuple(replace(b, num_stages=n) for b in sizes for n in stages)
