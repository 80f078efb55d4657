"""The native code of call entries: its text, compiled once for a machine, and loaded."""

from __future__ import annotations

import functools
from typing import Final

from dlc.runtime.loader import LoadedCode
from dlc.runtime.native import entry_layout, layout
from dlc.runtime.native.buffers import BUFFERS
from dlc.runtime.native.entry import CALL_CODE, DISPATCH_CODE
from dlc.runtime.native.entry_guards import GUARD_CODE
from dlc.runtime.native.entry_leaves import LEAF_CODE
from dlc.runtime.native.entry_object import OBJECT_CODE
from dlc.runtime.native.entry_results import RESULT_CODE
from dlc.runtime.native.support import Source, load_once

_RECORDS: Final = (
    *("API", "ARRAY", "CALLABLE", "CONFIG", "NODE", "OBJECT", "OUTPUT", "PIECE", "STATE", "TAKEN"),
)


def entry_source() -> Source:
    """Write the LLVM module of the call entry: `entry_*` and `buffer_*`, for any architecture."""
    names: dict[str, object] = {
        name: value for name, value in vars(entry_layout).items() if name.isupper()
    }
    names["HOST_FAILED"] = layout.HOST_FAILED
    for prefix in _RECORDS:
        fields: dict[str, int] = getattr(entry_layout, prefix)
        names |= {f"{prefix.lower()}_{name}": at for name, at in fields.items()}
    needed = entry_layout.C_CONTIGUOUS | entry_layout.ALIGNED
    names |= {"NEEDED_FLAGS": needed, "NEW_FLAGS": needed | entry_layout.WRITEABLE}
    objects = (BUFFERS, OBJECT_CODE, LEAF_CODE, GUARD_CODE, RESULT_CODE, CALL_CODE, DISPATCH_CODE)
    return Source("".join(objects), names)


@functools.cache
def entry_code() -> LoadedCode:
    """Load the entry's code, from the disk cache if it is there.

    Raises:
        BackendError: where machine code cannot be made or run.
    """
    return load_once("entry", entry_source())
