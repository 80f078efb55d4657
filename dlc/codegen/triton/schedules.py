"""Sizes of blocks by architecture: data, which changes how fast a kernel is and not what it means.

An architecture that is not listed has the schedules of the latest one before it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from dlc.ir.record import dataclass


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
    """

    m: int
    n: int
    k: int
    num_warps: int = 4
    num_stages: int = 3
    group: int = 8


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


_GATHERED = Blocks(32, 64, 32)
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


def product_blocks(arch: int, bits: int, *, fast: bool = False) -> Products:
    """The blocks of products on an architecture, of operands with so many bits.

    With `fast`, those of float32 are multiplied as tf32.

    Example:
        >>> product_blocks(90, 16).large.n
        256
    """
    known = [a for a in _PRODUCTS if a <= arch] or [min(_PRODUCTS)]
    return _PRODUCTS[max(known)][_TF32 if fast and bits == 32 else bits]


def gathered(sizes: Products) -> Products:
    """The blocks of a half type for an operand whose offsets take registers of their own."""
    return Products(sizes.small, sizes.small, _GATHERED, 0)


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
