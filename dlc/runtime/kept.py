"""What programs compute once, from constants and fixed arrays, and keep; shared between programs.

Two programs share an array when the same code computes it from the same arrays: the weights of a
model that is compiled for several batch sizes are in panels once.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from dlc.codegen.program import Call, Program
from dlc.ir.digest import sha256
from dlc.ir.locks import make_lock
from dlc.runtime.buffers import together

Array: TypeAlias = np.ndarray[Any, Any]
# Runs calls on the arrays of their slots.
Run: TypeAlias = Callable[[Sequence[Call], Mapping[int, Array]], None]

_lock = make_lock()
# By what it is: the array, and the fixed arrays that it was computed from.
_shared: dict[object, tuple[weakref.ref[Array], tuple[weakref.ref[Array], ...]]] = {}


def standing_arrays(
    program: Program, codes: Sequence[bytes], fixed: Sequence[Array], run: Run
) -> dict[int, Array]:
    """The arrays of the slots that calls read and that are the same in each call, by slot.

    Args:
        program: A program.
        codes: The code of its kernels, which says what they compute.
        fixed: The values of its fixed slots.
        run: Computes the `once` calls, unless other programs have computed all of it.
    """
    origins = _Origins(program, codes, fixed)
    found = dict(origins.given)
    wanted = [s for s in program.standing if program.slots[s].kind == "kept"]
    known = {s: _find(origins.key(s), origins.sources(s)) for s in wanted}
    if any(a is None for a in known.values()):
        kept = {s: slot.type for s, slot in enumerate(program.slots) if slot.kind == "kept"}
        shapes = [[d for d in t.shape if isinstance(d, int)] for t in kept.values()]
        types = [t.dtype for t in kept.values()]
        found |= zip(kept, together(list(zip(shapes, types, strict=True))), strict=True)
        run(program.once, found)
        for s in wanted:
            _share(origins.key(s), origins.sources(s), found[s])
    else:
        found |= {s: a for s, a in known.items() if a is not None}
    return {s: found[s] for s in program.standing}


def _find(key: object, sources: Sequence[Array]) -> Array | None:
    with _lock:
        entry = _shared.get(key)
    if entry is None or any(r() is not a for r, a in zip(entry[1], sources, strict=True)):
        return None  # the number of an array that is gone may be another's now
    return entry[0]()


def _share(key: object, sources: Sequence[Array], array: Array) -> None:
    entry = weakref.ref(array), tuple(map(weakref.ref, sources))
    with _lock:
        _shared[key] = entry
        for gone in [k for k, (r, _) in _shared.items() if r() is None]:
            del _shared[gone]


class _Origins:
    """What the contents of slots follow from."""

    def __init__(self, program: Program, codes: Sequence[bytes], fixed: Sequence[Array]) -> None:
        self.program, self.fixed = program, fixed
        self.digests = [sha256(c).digest() for c in codes] if program.once else []
        self.given: dict[int, Array] = {}
        for s, slot in enumerate(program.slots):
            if slot.kind == "constant":
                self.given[s] = program.constants[slot.position]
            elif slot.kind == "fixed":
                self.given[s] = fixed[slot.position]
        self.makers: dict[int, Call] = {}
        for call in program.once:
            for s in call.args:
                if program.slots[s].kind == "kept":
                    self.makers.setdefault(s, call)

    def key(self, slot: int) -> object:
        """What a slot holds, in numbers and digests."""
        kind, array = self.program.slots[slot].kind, self.given.get(slot)
        if array is None:
            call = self.makers[slot]
            return (
                self.digests[call.kernel], call.dims, call.args.index(slot),
                tuple(self.key(s) for s in self._read(call)),
            )  # fmt: skip
        if kind == "fixed":
            return ("fixed", id(array))
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return (str(array.dtype), array.shape, sha256(raw.data).digest())

    def sources(self, slot: int) -> list[Array]:
        """The fixed arrays that a slot's contents are computed from."""
        if self.program.slots[slot].kind == "fixed":
            return [self.given[slot]]
        made = self.makers.get(slot)
        return [] if made is None else [a for s in self._read(made) for a in self.sources(s)]

    def _read(self, call: Call) -> list[int]:
        params = self.program.kernels[call.kernel].params
        return [s for p, s in zip(params, call.args, strict=True) if p.mode == "in"]
