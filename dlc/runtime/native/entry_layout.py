"""Where things lie in the memory that Python and the native call entry share; offsets in bytes."""

from __future__ import annotations

from typing import Final

# CPython's objects, and NumPy's array: compared with the running interpreter before they are used.
OB_TYPE: Final = 8
ARRAY: Final = {
    "data": 16,
    "nd": 24,
    "dims": 32,
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
            "PyErr_SetString",
            "PyErr_NoMemory",
            "PyErr_CheckSignals",
            "PyEval_SaveThread",
            "PyEval_RestoreThread",
            "PyTuple_New",
            "PyTuple_SetItem",
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
            "dlc_run",
            "array_type",
            "float_type",
            "int_type",
            "true",
            "false",
            "runtime_error",
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
            "n_params",
            "n_outputs",
            "n_slots",
            "table",
            "pool",
            "num_threads",
            "single",
            "release_gil",
            "tensor_type",
            "data_offset",
            "n_defaults",
            "defaults",  # (offset in a tensor, object) pairs
            "n_required",
            "required",  # such pairs, too
            "params",
            "outputs",
            "slot_values",
            "slot_bases",  # for each slot 1 if its value is an offset in the block
            "fallback",
            "free_block",
            "block_bytes",
            "inputs_at",  # in the block: the arrays that are kept alive during a call
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

PARAM: Final = {"kind": 0, "slot": 8, "descr": 16, "nd": 24, "dims": 32, "mask": 40, "cell": 48}
PARAM_BYTES: Final = 64
TENSOR, TENSOR_OR_ARRAY, F32, F64, I32, I64, BOOL = range(7)

OUTPUT: Final = {"slot": 0, "descr": 8, "nd": 16, "dims": 24, "bytes": 32}
OUTPUT_BYTES: Final = 64
