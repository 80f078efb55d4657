"""Literals of LLVM's text form, one value for all lanes."""

from __future__ import annotations

import struct

import numpy as np

from dlc.codegen.cpu.emit import llvm_type
from dlc.ir.types import DType


def vector_type(element: str, lanes: int) -> str:
    """The LLVM type of `lanes` elements of the type `element`; `element` itself for one lane."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def splat_literal(element: str, text: str, lanes: int) -> str:
    """The scalar literal `text` of the LLVM type `element` in each lane."""
    return text if lanes == 1 else f"splat ({element} {text})"


def literal(value: bool | int | float, dtype: DType, lanes: int = 1) -> str:
    """The literal of `value` in each of `lanes` lanes; floats are written exactly, as bits.

    Example:
        >>> literal(1.5, float32, 4)
        'splat (float 0x3FF8000000000000)'
    """
    return splat_literal(llvm_type(dtype), _scalar(value, dtype), lanes)


def _scalar(value: bool | int | float, dtype: DType) -> str:
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype.kind in "iu":
        return str(int(value))
    if dtype.bits == 16:
        bits = int(np.array(value, dtype.numpy).view(np.uint16))
        return str(bits)
    # LLVM writes a float32 as the float64 of the same value.
    held = float(dtype.numpy.type(value))
    return f"0x{struct.unpack('<Q', struct.pack('<d', held))[0]:016X}"
