"""A call plan as the words that an entry's native code reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from dlc.runtime.entry_plan import (
    ArrayParameter,
    Cleared,
    EntryPlan,
    Guard,
    Items,
    Mapped,
    Part,
    Result,
    ResultMark,
    ScalarParameter,
    TensorLayout,
    Value,
)
from dlc.runtime.native import entry_layout as layout
from dlc.runtime.object_layout import slot_offset
from dlc.runtime.program_table import work_area_bytes
from dlc.runtime.threads import pool

_SCALAR_KINDS: Final = {
    "float32": layout.F32,
    "float64": layout.F64,
    "int32": layout.I32,
    "int64": layout.I64,
    "bool": layout.BOOL,
}
_ITEM_KINDS: Final = {list: layout.LIST, slice: layout.SLICE}
_COMPARED: Final = (int, float, str, bytes)


class EntryMemory:
    """The memory that an entry's native code reads, with the Python objects that it refers to.

    Args:
        plan: What a call does.
        tensor: The class of arguments and results.
        fallback: What serves other calls.
    """

    def __init__(self, plan: EntryPlan, tensor: TensorLayout, fallback: object) -> None:
        self.kept: list[object] = [plan, tensor.cls, fallback]
        self._plan, self._tensor = plan, tensor
        leaves = list(plan.leaves())
        arrays = [p for p in leaves if isinstance(p, ArrayParameter)]
        self._kept_number = {p.slot: k for k, p in enumerate(arrays)}
        n_slots = int(plan.table[3])
        keeps_at = layout.BLOCK_SLOTS + 8 * (n_slots + 1)
        results_at = keeps_at + layout.KEEP_BYTES * len(arrays)
        self._next_cell = results_at + 8 * len(plan.results)
        arena_at = _round_up(self._next_cell + 8 * (len(leaves) - len(arrays)))
        area_at = _round_up(arena_at + plan.arena_bytes)
        self._offsets = {slot: arena_at + at for slot, at in plan.temporaries.items()}
        self._offsets[n_slots] = area_at
        nodes = self._nodes()
        values, bases = self._slots(n_slots)
        taken = [p for p in arrays if p.overwritten is not None]
        fields = {
            "n_positional": len(plan.parameters) - len(plan.names),
            "n_given": len(plan.parameters),
            "names": self._object(plan.names) if plan.names else 0,
            "n_held": len(plan.held),
            "nodes": nodes,
            "n_outputs": len(plan.results),
            "n_returned": len(plan.returned),
            "outputs": self._results(),
            "form": self._words(self._form(plan.returned_form)),
            "finish": 0 if plan.finish is None else self._object(plan.finish),
            "n_taken": len(taken),
            "taken": self._taken(taken),
            "n_slots": n_slots,
            "table": plan.table.ctypes.data,
            "pool": pool().address,
            "num_threads": plan.num_threads,
            "release_gil": int(plan.release_gil),
            "tensor_type": id(tensor.cls),
            "data_offset": slot_offset(tensor.cls, tensor.data),
            "slot_values": values,
            "slot_bases": bases,
            "fallback": id(fallback),
            "block_bytes": area_at + work_area_bytes(plan.table),
            "keeps_at": keeps_at,
            "results_at": results_at,
            "counts": plan.counts.ctypes.data,
            "n_variables": len(plan.conditions.variables),
            "variables": self._variables(),
            "n_words": len(plan.conditions.attributes),
            "words": self._attributes(),
        }
        if plan.lock is not None:
            fields["acquire"] = self._object(plan.lock.acquire)
            fields["unlock"] = self._object(plan.lock.release)
        for name in ("defaults", "required", "reset"):
            objects: Mapping[str, object] = getattr(tensor, name)
            fields |= {f"n_{name}": len(objects), name: self._pairs(tensor.cls, objects)}
        self.address = self._words([fields.get(name, 0) for name in layout.CONFIG])

    def _object(self, thing: object) -> int:
        self.kept.append(thing)
        return id(thing)

    def _words(self, values: Sequence[int]) -> int:
        array = np.array([v & (2**64 - 1) for v in values] or [0], dtype=np.uint64)
        self.kept.append(array)
        return array.ctypes.data

    def _pairs(self, cls: type, objects: Mapping[str, object]) -> int:
        return self._words(
            [w for n, o in objects.items() for w in (slot_offset(cls, n), self._object(o))]
        )

    def _variables(self) -> int:
        pairs = self._plan.conditions.variables
        return self._words([self._object(x) for pair in pairs for x in pair])

    def _attributes(self) -> int:
        words: list[int] = []
        for holder, name, value in self._plan.conditions.attributes:
            at = self._object(holder) + slot_offset(type(holder), name)
            words += [at, self._object(value)]
        return self._words(words)

    def _dtype(self, dtype: np.dtype[Any]) -> int:
        # The one that arrays of this dtype share: `dtype` may be an equal copy of it.
        shared = np.dtype(dtype.type)
        return self._object(shared if shared == dtype else dtype)

    # Guards.

    def _nodes(self) -> int:
        words: list[int] = []
        for guard in self._plan.parameters:
            words += self._node(guard)
        for held in self._plan.held:
            words += _record(layout.NODE, layout.NODE_BYTES, object=self._object(held.holder))
            if held.attribute is not None:
                offset = slot_offset(type(held.holder), held.attribute)
                words += _record(layout.NODE, layout.NODE_BYTES, kind=layout.FIELD, count=offset)
            words += self._node(held.guard)
        return self._words(words)

    def _node(self, guard: Guard) -> list[int]:
        children: Sequence[Guard] = ()
        match guard:
            case ArrayParameter():
                fields = self._array(guard)
            case ScalarParameter():
                self._offsets[guard.slot] = cell = self._next_cell
                self._next_cell += 8
                kind = _SCALAR_KINDS[guard.dtype.name]
                fields = {"kind": kind, "slot": guard.slot, "cell": cell}
                fields["accepts_ints"] = int(guard.accepts_ints)
            case Value():
                kind = layout.EQUAL if type(guard.value) in _COMPARED else layout.SAME
                fields = {"kind": kind, "object": self._object(guard.value)}
            case Items():
                children = guard.items
                kind = _ITEM_KINDS.get(guard.kind, layout.TUPLE)
                fields = {"kind": kind, "object": self._object(guard.kind)}
                fields["count"] = len(children)
            case Mapped():
                children = list(guard.items.values())
                keys = self._words([self._object(k) for k in guard.items])
                fields = {"kind": layout.DICT, "count": len(children), "keys": keys}
        words = _record(layout.NODE, layout.NODE_BYTES, **fields)
        for child in children:
            words += self._node(child)
        return words

    def _array(self, p: ArrayParameter) -> dict[str, int]:
        return {
            "kind": layout.TENSOR_OR_ARRAY if p.accepts_arrays else layout.TENSOR,
            "slot": p.slot,
            **self._extents(p),
            "mask": p.alignment - 1,
            "strides": 0 if p.strides is None else self._words(p.strides),
            "copied": int(p.copied),
            "object": self._object(p.cls or self._tensor.cls),
        }

    def _taken(self, parameters: Sequence[ArrayParameter]) -> int:
        words: list[int] = []
        for p in parameters:
            meanwhile = p.overwritten or {}
            words += _record(
                layout.TAKEN,
                layout.TAKEN_BYTES,
                keep=self._kept_number[p.slot],
                for_good=int(not p.comes_back),
                n_pairs=len(meanwhile),
                pairs=self._pairs(self._tensor.cls, meanwhile),
                copy=self._copy(p) if p.comes_back else 0,
            )
        return self._words(words)

    def _copy(self, p: ArrayParameter) -> int:
        return self._words(_record(layout.OUTPUT, layout.OUTPUT_BYTES, **self._fresh(p)))

    # Results.

    def _results(self) -> int:
        words: list[int] = []
        for r in self._plan.results:
            fields: dict[str, int] = {}
            if not isinstance(r, Part) and r.holder is not None:
                fields["holder"] = self._object(r.holder)
                fields["field"] = slot_offset(type(r.holder), r.attribute or self._tensor.data)
            match r:
                case Cleared():
                    fields["how"] = layout.CLEARED
                case Result(donor=int(donor)):
                    fields |= {"how": layout.OVERWRITTEN, "donor": self._kept_number[donor]}
                case Part():
                    fields = {"how": layout.PART, "donor": self._kept_number[r.whole]}
                    fields |= {"offset": r.offset, "strides": self._words(r.strides)}
                    fields |= self._extents(r)
                case Result():
                    fields |= self._fresh(r)
            words += _record(layout.OUTPUT, layout.OUTPUT_BYTES, **fields)
        return self._words(words)

    def _fresh(self, x: Result | ArrayParameter) -> dict[str, int]:
        """An array of its own like a result or a parameter."""
        bytes_ = math.prod(x.shape) * x.dtype.itemsize
        return {"how": layout.FRESH, "slot": x.slot, "bytes": bytes_, **self._extents(x)}

    def _extents(self, x: Result | Part | ArrayParameter) -> dict[str, int]:
        return {
            "descr": self._dtype(x.dtype),
            "nd": len(x.shape),
            "dims": self._words(x.shape),
        }

    def _form(self, form: Any) -> list[int]:
        children: list[Any] = []
        if isinstance(form, ResultMark):
            fields = {"kind": layout.RESULT}
        elif form is None:
            fields = {"kind": layout.NOTHING}
        elif isinstance(form, dict):
            children = list(form.values())
            keys = self._words([self._object(k) for k in form])
            fields = {"kind": layout.DICT, "count": len(children), "keys": keys}
        else:
            children = list(form)
            kind = layout.LIST if isinstance(form, list) else layout.TUPLE
            fields = {"kind": kind, "count": len(children)}
        words = _record(layout.PIECE, layout.PIECE_BYTES, **fields)
        for child in children:
            words += self._form(child)
        return words

    def _slots(self, n_slots: int) -> tuple[int, int]:
        values = [self._offsets.get(slot, 0) for slot in range(n_slots + 1)]
        for slot, constant in self._plan.constants.items():
            values[slot] = constant.ctypes.data
        bases = [int(slot in self._offsets) for slot in range(n_slots + 1)]
        return self._words(values), self._words(bases)


def _round_up(size: int) -> int:
    return (size + 63) & -64


def _record(offsets: Mapping[str, int], size: int, **fields: int) -> list[int]:
    words = [0] * (size // 8)
    for name, value in fields.items():
        words[offsets[name] // 8] = value
    return words
