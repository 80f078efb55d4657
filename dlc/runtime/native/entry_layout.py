"""Where things lie in the memory that Python and the native call entry share; offsets in bytes."""

from __future__ import annotations

from typing import Final

# CPython's objects, and NumPy's array: compared with the running interpreter before they are used.
OB_TYPE: Final = 8
OB_SIZE: Final = 16
LIST_ITEMS: Final = 24  # where a list has the address of its items
TUPLE_ITEMS: Final = tuple.__basicsize__  # where a tuple's items are
SLICE_ITEMS: Final = 16  # where a slice has its start, stop and step
PY_EQ: Final = 2
ARRAY: Final = {
    "data": 16,
    "nd": 24,
    "dims": 32,
    "strides": 40,
    "base": 48,
    "descr": 56,
    "flags": 64,
    "mem_handler": 88,
}
ARRAY_SIZE: Final = 96
MEMBER_OF_DESCRIPTOR: Final = 40  # PyMemberDescrObject.d_member, ...
OFFSET_OF_MEMBER: Final = 16  # ... then PyMemberDef.offset

C_CONTIGUOUS, OWNDATA, ALIGNED, WRITEABLE = 0x1, 0x4, 0x100, 0x400

# The callable object.
OBJECT: Final = {
    "vectorcall": 16,
    "api": 24,
    "config": 32,
    "dict": 40,
    "weakrefs": 48,
    "owner": 56,  # a tuple of all Python objects that the entry needs
}
OBJECT_SIZE: Final = 64

# An object that dispatches its calls to entries: two words, then the slots of its Python class.
CALLABLE: Final = {"vectorcall": 16, "api": 24, "entry": 32, "python": 40}
CALLABLE_SIZE: Final = 32

SIZE_CLASSES: Final = 15
"""Free lists of buffers: 64 bytes, 128, ... 1 MiB."""

# What all entries share: functions of Python and NumPy, free buffers.
API: Final = {
    name: 8 * position
    for position, name in enumerate(
        (
            "Py_IncRef",
            "Py_DecRef",
            "PyObject_Vectorcall",
            "PyObject_RichCompareBool",
            "PyErr_SetString",
            "PyErr_Occurred",
            "PyErr_Fetch",
            "PyErr_Restore",
            "PyErr_NoMemory",
            "PyErr_CheckSignals",
            "PyEval_SaveThread",
            "PyEval_RestoreThread",
            "PyTuple_New",
            "PyTuple_SetItem",
            "PyList_New",
            "PyList_SetItem",
            "PyDict_New",
            "PyDict_SetItem",
            "PyDict_Size",
            "PyDict_Next",
            "PyType_GenericAlloc",
            "PyObject_GC_UnTrack",
            "PyObject_GC_Del",
            "PyObject_ClearWeakRefs",
            "PyFloat_AsDouble",
            "PyLong_AsLongLongAndOverflow",
            "PyMem_RawMalloc",
            "PyMem_RawFree",
            "madvise",  # of the system; 0 where there are no huge pages to ask for
            "PyContextVar_Get",
            "PyArray_NewFromDescr",
            "PyArray_NewCopy",
            "dlc_run",
            "array_type",
            "list_type",
            "dict_type",
            "str_type",
            "float_type",
            "int_type",
            "true",
            "false",
            "none",
            "runtime_error",
            "raise_pending",  # a function that raises what called Python has raised
            "handler",  # the capsule that makes NumPy give buffers back here
            "bypass",  # not 0: all entries call their fallback
            "failure_text",
            "cleared_text",
        )
    )
}
FREE_LISTS: Final = 8 * len(API)
# For each class: first free, count, most. Then of large buffers: first free, bytes held, most.
LARGE_FIRST: Final = FREE_LISTS + SIZE_CLASSES * 24
LARGE_HELD: Final = LARGE_FIRST + 8
LARGE_MOST: Final = LARGE_FIRST + 16
HUGE_PAGES_FROM: Final = 1 << 22
MADV_HUGEPAGE: Final = 14
API_BYTES: Final = LARGE_FIRST + 24

# One entry.
CONFIG: Final = {
    name: 8 * position
    for position, name in enumerate(
        (
            "n_positional",
            "n_given",  # arguments, those with names included
            "names",  # a tuple, or null
            "n_held",
            "nodes",  # a tree for each argument, then for each held object
            "n_outputs",
            "n_returned",  # of the outputs, which are the first
            "outputs",
            "form",  # pieces of the returned value
            "finish",  # a function that makes it what it is, or null
            "n_taken",
            "taken",
            "n_slots",
            "table",
            "pool",
            "num_threads",
            "release_gil",
            "acquire",  # methods of the lock that is held meanwhile, or null
            "unlock",
            "tensor_type",
            "data_offset",
            "n_defaults",
            "defaults",  # (offset in a tensor, object) pairs
            "n_required",
            "required",  # such pairs, too
            "n_reset",
            "reset",  # such pairs for what has got a new array
            "slot_values",
            "slot_bases",  # for each slot 1 if its value is an offset in the block
            "fallback",
            "free_block",
            "block_bytes",
            "keeps_at",  # in the block: the arrays that are kept alive during a call
            "results_at",
            "counts",  # where the numbers of hits and misses are
            "n_variables",
            "variables",  # (context variable, object that it must hold) pairs
            "n_words",
            "words",  # (address, what it must hold) pairs
        )
    )
}
CONFIG_BYTES: Final = 8 * len(CONFIG)

BLOCK_SLOTS: Final = 64
"""In the memory of one call, after a line for the list of free blocks."""

KEEP_BYTES: Final = 16  # an array, and what holds it

# What a call knows while it runs.
STATE: Final = {"api": 0, "config": 8, "block": 16, "keep": 24, "first_keep": 32}
STATE_WORDS: Final = len(STATE)

# A node of what arguments must be; its children follow it.
NODE: Final = {
    "kind": 0,
    "slot": 8,
    "descr": 16,
    "nd": 24,
    "dims": 32,
    "mask": 40,
    "cell": 48,
    "accepts_ints": 56,
    "object": 56,  # the type of a tensor or tuple, or the value itself
    "strides": 64,  # null for an array that is C-contiguous
    "copied": 72,  # 1 where the program gets a copy
    "count": 8,  # of children; or the offset of a field
    "keys": 16,
}
NODE_BYTES: Final = 80
TENSOR, TENSOR_OR_ARRAY, LIST, TUPLE, SLICE, DICT, SAME, EQUAL, FIELD, HELD = range(10)
F32, F64, I32, I64, BOOL = range(10, 15)

OUTPUT: Final = {
    "slot": 0,
    "descr": 8,
    "nd": 16,
    "dims": 24,
    "bytes": 32,
    "how": 40,
    "donor": 48,  # the number of the kept array that it is
    "holder": 56,  # what gets it, ...
    "field": 64,  # ... and where in that
    "offset": 72,  # of a part: where it begins in the kept array, ...
    "strides": 80,  # ... and its strides
}
OUTPUT_BYTES: Final = 88
FRESH, OVERWRITTEN, CLEARED, PART = range(4)

# An array that the program overwrites: its number among those kept, what its holder has meanwhile.
TAKEN: Final = {
    "keep": 0,
    "for_good": 8,
    "n_pairs": 16,
    "pairs": 24,
    "copy": 32,  # an output like it; null where others may not see what is overwritten
}
TAKEN_BYTES: Final = 40

# A piece of the form of the returned value; what is in a list follows it.
PIECE: Final = {"kind": 0, "count": 8, "keys": 16}
PIECE_BYTES: Final = 24
RESULT, NOTHING = 20, 21
