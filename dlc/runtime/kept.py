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
    known = {s: _find(origins.keys[s], origins.sources[s]) for s in wanted}
    if any(a is None for a in known.values()):
        kept = {s: slot.type for s, slot in enumerate(program.slots) if slot.kind == "kept"}
        shapes = [[d for d in t.shape if isinstance(d, int)] for t in kept.values()]
        types = [t.dtype for t in kept.values()]
        found |= zip(kept, together(list(zip(shapes, types, strict=True))), strict=True)
        run(program.once, found)
        for s in wanted:
            _share(origins.keys[s], origins.sources[s], found[s])
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
    """What the contents of slots follow from.

    keys: of each slot that `once` calls touch, in numbers and digests.
    sources: the fixed arrays that it is computed from.
    """

    def __init__(self, program: Program, codes: Sequence[bytes], fixed: Sequence[Array]) -> None:
        self.program = program
        self.given: dict[int, Array] = {}
        for s, slot in enumerate(program.slots):
            if slot.kind == "constant":
                self.given[s] = program.constants[slot.position]
            elif slot.kind == "fixed":
                self.given[s] = fixed[slot.position]
        self.keys: dict[int, object] = {}
        self.sources: dict[int, list[Array]] = {}
        digests = [sha256(c).digest() for c in codes] if program.once else []
        for call in program.once:
            self._note(call, digests[call.kernel])

    def _note(self, call: Call, code: bytes) -> None:
        params = self.program.kernels[call.kernel].params
        read = [s for p, s in zip(params, call.args, strict=True) if p.mode == "in"]
        for s in read:
            if s not in self.keys:
                self._note_given(s)
        inputs = [self.keys[s] for s in read]
        sources = list({id(a): a for s in read for a in self.sources[s]}.values())
        for place, s in enumerate(call.args):
            if s not in self.keys:
                # A digest: written out, what is read again and again would be exponentially long.
                made = repr((code, call.dims, place, inputs))
                self.keys[s], self.sources[s] = sha256(made.encode()).digest(), sources

    def _note_given(self, slot: int) -> None:
        array = self.given[slot]
        if self.program.slots[slot].kind == "fixed":
            self.keys[slot], self.sources[slot] = ("fixed", id(array)), [array]
            return
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        key = (str(array.dtype), array.shape, sha256(raw.data).digest())
        self.keys[slot], self.sources[slot] = key, []
