"""`Hashing`: categories by a hash, which needs no vocabulary, with the numbers that Keras gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

import dlc
from dlc.ir.errors import ArgumentError, DTypeError, ValueRangeError
from dlc.nn.described import one_of
from dlc.nn.keras.categories import MODES, encoded
from dlc.nn.keras.layer import Layer

_WORD: Final = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


class Hashing(Layer):
    """Texts or integers as numbers of bins; for pipelines of data: compiled code has no texts.

    Args:
        num_bins: How many bins there are.
        mask_value: What is in the first bin, alone; that is one like the others for None.
        salt: A number, or two, for other bins (SipHash instead of FarmHash).
        output_mode: "int": the numbers; else vectors as `CategoryEncoding` makes them.
        sparse: False, for Keras's sake: there are no sparse tensors.
        common: `name` and `dtype` of the layer.

    Floats are hashed as the integers that they are without their fractions.

    Raises:
        ValueRangeError: for no bins, and another mode.

    Example:
        >>> dlc.nn.Hashing(num_bins=3)([["A"], ["B"], ["C"], ["D"], ["E"]]).tolist()
        [[1], [0], [1], [1], [2]]
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: int | Sequence[int] | None = None,
        output_mode: str = "int",
        sparse: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if num_bins < 1:
            raise ValueRangeError(f"Hashing(num_bins={num_bins}): at least 1")
        if sparse:
            raise ArgumentError("Hashing(sparse=True): there are no sparse tensors")
        salts = () if salt is None else (salt, salt) if isinstance(salt, int) else tuple(salt)
        if salt is not None and len(salts) != 2:
            raise ArgumentError(f"Hashing(salt={salt!r}): a number, or two")
        self.num_bins, self.mask_value, self.salt = num_bins, mask_value, salts
        self.output_mode = one_of("Hashing", "output_mode", output_mode, ("int", *MODES))

    def call(self, x: Any) -> dlc.Tensor:
        """The numbers, int64; or the vectors."""
        if isinstance(x, dlc.Tensor) and x.is_traced:
            raise DTypeError(
                "Hashing in compiled code, which has no texts",
                hint="call it in Dataset.map, or before the model",
            )
        values = np.asarray(x)
        if values.dtype.kind in "fV":  # of which NumPy does not know bfloat16
            values = values.astype(np.int64)
        if values.dtype.kind not in "iuSUOT":
            raise DTypeError(f"Hashing of {values.dtype}: it takes texts and numbers")
        masks = self.mask_value is not None and self.num_bins > 1
        bins = self.num_bins - masks
        held: dict[Any, int] = {}
        if masks:
            mask = self.mask_value
            held = {mask: 0, **({mask.encode(): 0} if isinstance(mask, str) else {})}
        for value in values.ravel().tolist():
            if value not in held:
                held[value] = masks + self._hash(value) % bins
        found = np.asarray([held[v] for v in values.ravel().tolist()], np.int64)
        numbers = dlc.asarray(found.reshape(values.shape))
        if self.output_mode == "int":
            return numbers
        return encoded(numbers, self.output_mode, self.num_bins, self.dtype)

    def _hash(self, value: Any) -> int:
        text = value if isinstance(value, bytes) else str(value).encode()
        return sip_hash(text, *self.salt) if self.salt else fingerprint(text)

    def extra_repr(self) -> str:
        """The number of bins."""
        return f"{self.num_bins}"


def _turned(x: int, by: int) -> int:
    """A word, turned to the right."""
    x &= _WORD
    return (x >> by | x << (64 - by)) & _WORD


def _mixed(x: int) -> int:
    x &= _WORD
    return x ^ x >> 47


def _of_two(u: int, v: int, factor: int) -> int:
    a = _mixed((u ^ v) * factor)
    return _mixed((v ^ a) * factor) * factor & _WORD


def _word(text: bytes, place: int, size: int = 8) -> int:
    return int.from_bytes(text[place : place + size], "little")


def _of_32(text: bytes, place: int, a: int, b: int) -> tuple[int, int]:
    """Two words of 32 bytes, from two others."""
    w, x, y, z = (_word(text, place + k) for k in (0, 8, 16, 24))
    a += w
    b = _turned(b + a + z, 21)
    c = a
    a += x + y
    return (a + z) & _WORD, (b + _turned(a, 44) + c) & _WORD


def fingerprint(text: bytes) -> int:
    """The 64 bits of FarmHash (Pike, 2014), which are the same on every machine.

    Example:
        >>> hex(fingerprint(b"abc"))
        '0x24a5b3a074e7f369'
    """
    size = len(text)
    if size > 64:
        return _of_more(text)
    factor = _K2 + 2 * size
    if size < 4:
        if not size:
            return _K2
        y, z = text[0] + (text[size // 2] << 8), size + (text[-1] << 2)
        return _mixed(y * _K2 & _WORD ^ z * _K0 & _WORD) * _K2 & _WORD
    if size < 8:
        return _of_two(size + (_word(text, 0, 4) << 3), _word(text, size - 4, 4), factor)
    if size <= 16:
        a, b = _word(text, 0) + _K2, _word(text, size - 8)
        c, d = _turned(b, 37) * factor + a, (_turned(a, 25) + b) * factor
        return _of_two(c & _WORD, d & _WORD, factor)
    first = _K1 if size <= 32 else _K2
    a, b = _word(text, 0) * first, _word(text, 8)
    c, d = _word(text, size - 8) * factor, _word(text, size - 16) * _K2
    y = (_turned(a + b, 43) + _turned(c, 30) + d) & _WORD
    z = _of_two(y, (a + _turned(b + _K2, 18) + c) & _WORD, factor)
    if size <= 32:
        return z
    e, f = _word(text, 16) * factor, _word(text, 24)
    g, h = (y + _word(text, size - 32)) * factor, (z + _word(text, size - 24)) * factor
    one, other = _turned(e + f, 43) + _turned(g, 30) + h, e + _turned(f + a, 18) + g
    return _of_two(one & _WORD, other & _WORD, factor)


def _of_more(text: bytes) -> int:
    """The fingerprint of more than 64 bytes."""
    size = len(text)
    y = 81 * _K1 + 113
    z = _mixed(y * _K2 + 113) * _K2
    x = 81 * _K2 + _word(text, 0)
    v = w = (0, 0)
    last = (size - 1) // 64 * 64

    def step(place: int, factor: int, more: int) -> None:
        nonlocal v, w, x, y, z
        x = _turned(x + y + v[0] + _word(text, place + 8), 37) * factor
        y = _turned(y + v[1] + _word(text, place + 48), 42) * factor
        x = (x & _WORD) ^ (w[1] * more & _WORD)
        y += v[0] * more + _word(text, place + 40)
        z = _turned(z + w[0], 33) * factor
        v = _of_32(text, place, v[1] * factor, x + w[0])
        w = _of_32(text, place + 32, z + w[1], y + _word(text, place + 16))
        x, z = z, x

    for place in range(0, last, 64):
        step(place, _K1, 1)
    factor = _K1 + 2 * (z & 0xFF)
    first = w[0] + (size - 1) % 64
    v = (v[0] + first, v[1])
    w = (first + v[0], w[1])
    step(size - 64, factor, 9)
    one = _of_two(v[0], w[0], factor) + _mixed(y) * _K0 + z
    other = _of_two(v[1], w[1], factor) + x
    return _of_two(one & _WORD, other & _WORD, factor)


def sip_hash(text: bytes, first: int, second: int) -> int:
    """The 64 bits of SipHash-2-4 with a key of two words (Aumasson and Bernstein, 2012).

    Example:
        >>> hex(sip_hash(b"abc", 1, 2))
        '0xd15ad05b2871319d'
    """
    a, b = first ^ 0x736F6D6570736575, second ^ 0x646F72616E646F6D
    c, d = first ^ 0x6C7967656E657261, second ^ 0x7465646279746573
    a, b, c, d = (v & _WORD for v in (a, b, c, d))

    def rounds(number: int) -> None:
        nonlocal a, b, c, d
        for _ in range(number):
            a, c = (a + b) & _WORD, (c + d) & _WORD
            b, d = _turned(b, 51) ^ a, _turned(d, 48) ^ c
            a = _turned(a, 32)
            a, c = (a + d) & _WORD, (c + b) & _WORD
            d, b = _turned(d, 43) ^ a, _turned(b, 47) ^ c
            c = _turned(c, 32)

    whole = len(text) // 8 * 8
    words = [_word(text, k) for k in range(0, whole, 8)]
    words.append((len(text) & 0xFF) << 56 | _word(text, whole))
    for word in words:
        d ^= word
        rounds(2)
        a ^= word
    c ^= 0xFF
    rounds(4)
    return a ^ b ^ c ^ d
