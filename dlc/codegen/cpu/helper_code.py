"""Helper functions of kernels: compiled once for a level, kept, and joined to what calls them.

The micro-kernels and packing functions of contractions are the same in many kernels, and take most
of the time that compiling one takes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

from dlc.codegen.cpu.compiler_version import compiler_version
from dlc.codegen.cpu.emit import Emitter, all_helpers
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.llvm import CompiledModule
from dlc.codegen.cpu.pieces import Piece
from dlc.ir.errors import BackendError


class HelperStore(Protocol):
    """Keeps code of helpers from one process to the next."""

    def find(
        self, entries: Sequence[tuple[str, str]], read: Callable[[bytes], Piece]
    ) -> Piece | None:
        """What was put under a key of (label, text) entries, if it is there and can be read."""
        ...

    def put(self, entries: Sequence[tuple[str, str]], data: bytes) -> None:
        """Stores bytes under a key."""
        ...


MODULE_LINES = 1200
"""Lines of LLVM text from which on a module gets no more functions: modules are compiled side by
side, and each takes 2 ms more."""

_Text: TypeAlias = tuple[str, str]  # a function's name and text
_lock = threading.Lock()
_known: dict[tuple[str, str], Piece] = {}  # by level and text


class Helpers:
    """The code of helper functions: looked for, or compiled together with what calls them.

    Args:
        isa: The level.
        store: Where code is looked for that this process has not met, and put.
    """

    def __init__(self, isa: Isa, store: HelperStore | None = None) -> None:
        self.isa, self.store = isa, store
        self._found: dict[_Text, Piece] = {}
        self._missing: dict[_Text, Emitter] = {}
        self._begun: set[_Text] = set()
        self._assembled: dict[_Text, Emitter] = {}

    def want(self, helpers: Mapping[str, Emitter]) -> None:
        """Looks for functions, given by their names, with those that they call."""
        for name, helper in helpers.items():
            key = name, helper.key()
            if key in self._found or key in self._missing or key in self._begun:
                continue
            if not helper.needs_compiler:
                self._assembled[key] = helper
                continue
            with _lock:
                piece = _known.get((self.isa.name, key[1])) or self._stored(key)
            if piece is None:
                self._missing[key] = helper
            else:
                self._keep(key, piece)

    def assemble(self) -> None:
        """Writes the functions that need no compiler."""
        for key, helper in self._assembled.items():
            piece = helper.assembled()
            assert piece is not None
            self._found[key] = piece

    def batches(self) -> list[dict[str, Emitter]]:
        """The functions that have to be compiled yet, cut into modules of equal effort."""
        batches: list[dict[str, Emitter]] = []
        missing = sorted(self._missing.items(), key=lambda item: item[1].quick)
        for (name, _), helper in missing:
            last = batches[-1] if batches else {}
            fits = sum(len(h.lines) for h in last.values()) < MODULE_LINES
            alike = all(h.quick == helper.quick for h in last.values())
            if not last or name in last or not fits or not alike:
                batches.append({})
            batches[-1][name] = helper
        self._begun.update(self._missing)
        self._missing.clear()
        return batches

    def take(
        self, batch: Mapping[str, Emitter], module: CompiledModule, outside: Collection[str] = ()
    ) -> None:
        """Keeps the code of a batch, where `outside` may be referred to besides its own helpers.

        Raises:
            BackendError: for code that refers to more, with which others could not be joined.
        """
        others = {*all_helpers(batch.values()), *outside}
        made = module.pieces(list(batch), outside=others)
        for (name, helper), piece in zip(batch.items(), made, strict=True):
            key = name, helper.key()
            strange = {r.name for r in piece.references}.difference(all_helpers([helper]), outside)
            if strange:
                others = ", ".join(sorted(strange))
                raise BackendError(f"the code of {name} refers to {others}, which it does not call")
            self._keep(key, piece)
            if self.store is not None:
                self.store.put(self._entries(key), piece.to_bytes())

    def pieces(self, helpers: Mapping[str, Emitter]) -> dict[str, Piece]:
        """The code of functions that were wanted, by name."""
        return {name: self._found[name, helper.key()] for name, helper in helpers.items()}

    def _keep(self, key: _Text, piece: Piece) -> None:
        self._found[key] = piece
        with _lock:
            _known[self.isa.name, key[1]] = piece

    def _entries(self, key: _Text) -> list[tuple[str, str]]:
        isa, llvm = self.isa.name, compiler_version()
        return [("helper", key[0]), ("isa", isa), ("llvm", llvm), ("text", key[1])]

    def _stored(self, key: _Text) -> Piece | None:
        if self.store is None:
            return None
        return self.store.find(self._entries(key), Piece.from_bytes)
