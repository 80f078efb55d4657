"""The op rows by family; importing this package fills the table `dlc.ir.op.OPS`."""

from dlc.ir.op import OPS
from dlc.ir.ops import (
    attention,
    callbacks,
    composite,
    contraction,
    control,
    convolution,
    custom,
    decompositions,
    depthwise,
    elementwise,
    functions_of_matrices,
    indexing,
    layout,
    pooling,
    random,
    recurrence,
    reduction,
    scattering,
    shape,
    solving,
    sorting,
    structural,
    windows,
)

BUILT_IN = frozenset(OPS.values())
"""The rows that come with dlc: what they mean is known from its version."""

__all__ = [
    "BUILT_IN",
    "attention",
    "callbacks",
    "composite",
    "contraction",
    "control",
    "convolution",
    "custom",
    "decompositions",
    "depthwise",
    "elementwise",
    "functions_of_matrices",
    "indexing",
    "layout",
    "pooling",
    "random",
    "recurrence",
    "reduction",
    "scattering",
    "shape",
    "solving",
    "sorting",
    "structural",
    "windows",
]
