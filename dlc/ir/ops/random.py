"""Counter-based random bits.

Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
2011). An element depends on the key and on its own position only, so any backend, fusion and
partition gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.errors import DTypeError
from dlc.ir.op import Attrs, Input, NoDerivative, Op, Sample, register
from dlc.ir.ops.shape import ravel
from dlc.ir.scalar import Expr
from dlc.ir.types import TensorType, int64, uint32

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def threefry(
    k0: Any, k1: Any, x0: Any, x1: Any, add: Any, xor: Any, rotate: Any, literal: Any
) -> tuple[Any, Any]:
    """Twenty rounds over whatever `add`, `xor`, `rotate(x, count)` and `literal` compute with."""
    keys = (k0, k1, xor(xor(k0, k1), literal(PARITY)))
    x0, x1 = add(x0, keys[0]), add(x1, keys[1])
    for group in range(5):
        for count in ROTATIONS[group % 2]:
            x0 = add(x0, x1)
            x1 = xor(rotate(x1, count), x0)
        x0 = add(x0, keys[(group + 1) % 3])
        x1 = add(x1, add(keys[(group + 2) % 3], literal(group + 1)))
    return x0, x1


def _infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    key = types[0]
    if key.dtype is not uint32 or key.shape[-1:] != (2,):
        raise DTypeError(
            f"random_bits: a key is u32[2], got {key}",
            hint="make keys with dlc.random.key(seed)",
        )
    return TensorType(uint32, (*key.shape[:-1], *attrs["shape"]))


def _reference(key: Any, shape: Any) -> Any:
    if key.ndim > 1:
        keys = key.reshape(-1, 2)
        bits = [_reference(k, shape) for k in keys]
        return np.reshape(bits, (*key.shape[:-1], *shape)).astype(np.uint32)
    counter = np.arange(int(np.prod(shape)), dtype=np.uint64).reshape(shape)

    def rotate(x: Any, count: int) -> Any:
        return (x << np.uint32(count)) | (x >> np.uint32(32 - count))

    high, low = (counter >> np.uint64(32)).astype(np.uint32), counter.astype(np.uint32)
    a, b = threefry(key[0], key[1], high, low, np.add, np.bitwise_xor, rotate, np.uint32)
    return np.asarray(a ^ b, np.uint32)


def _lower(ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType) -> Expr:
    lead = inputs[0].type.rank - 1
    counter = ravel(ix[lead:], type_.shape[lead:])
    high = scalar.convert(scalar.op("shr", counter, scalar.const(32, int64)), uint32)
    low = scalar.convert(scalar.op("and", counter, scalar.const(0xFFFFFFFF, int64)), uint32)

    def literal(value: int) -> Expr:
        return scalar.const(value, uint32)

    def rotate(x: Expr, count: int) -> Expr:
        return scalar.op(
            "or", scalar.op("shl", x, literal(count)), scalar.op("shr", x, literal(32 - count))
        )

    k0, k1 = (inputs[0](*ix[:lead], scalar.const(k, int64)) for k in (0, 1))
    a, b = threefry(
        k0, k1, high, low,
        lambda x, y: scalar.op("add", x, y), lambda x, y: scalar.op("xor", x, y), rotate, literal,
    )  # fmt: skip
    return scalar.op("xor", a, b)


register(
    Op(
        "random_bits",
        "Uniform u32 bits: the xor of the two words of Threefry-2x32 of the key and the position; "
        "of keys u32[..., 2], those of each key.",
        infer=_infer,
        reference=_reference,
        attrs={"shape": "dims"},
        family="random",
        lower=_lower,
        jvp=NoDerivative("integer"),
        batch=lambda b, inputs, batched, shape: b.random_bits(inputs[0], shape=shape),
        cost=60,
        samples=lambda: [
            *(
                Sample((np.array([1, 2], np.uint32),), {"shape": shape})
                for shape in ((7, 5), (), (0,), (300,))
            ),
            Sample((np.arange(12, dtype=np.uint32).reshape(3, 2, 2),), {"shape": (7,)}),
            Sample((np.arange(6, dtype=np.uint32).reshape(3, 2),), {"shape": ()}),
        ],
    )
)
