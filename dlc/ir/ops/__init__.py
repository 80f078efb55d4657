"""The op rows by family; importing this package fills the table `dlc.ir.op.OPS`."""

from dlc.ir.ops import (
    composite,
    contraction,
    elementwise,
    indexing,
    random,
    reduction,
    shape,
    structural,
)

__all__ = [
    "composite",
    "contraction",
    "elementwise",
    "indexing",
    "random",
    "reduction",
    "shape",
    "structural",
]
