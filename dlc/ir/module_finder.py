"""Finds the modules of this package where they must lie, without listing folders.

A process that finds its programs in the cache spends most of its time on the modules that it
loads. The import system lists each folder, tries one kind of file after the other and builds each
path several times, which takes as long as to load what a module's stored bytecode holds. A module
of this package is a file of its name in its parent's folder: its bytecode is read at once, and
used where it is of the source as it is now. All else is left to the import system.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source
from types import CodeType, ModuleType

_FOLDER, _NAME = os.path.split(cache_from_source(__file__))
_SUFFIX = _NAME.removeprefix(__name__.rpartition(".")[2])  # of a file of bytecode
_STORED = os.path.basename(_FOLDER)
_HEADER = 16  # bytes: magic number, flags, time and size of the source
_WORD = 2**32 - 1


class _Loader(SourceFileLoader):
    """Loads a module from its bytecode, or as the standard loader does."""

    def __init__(self, name: str, path: str, stored: str) -> None:
        super().__init__(name, path)
        self.stored = stored

    def get_code(self, fullname: str) -> CodeType | None:
        """The code of the module."""
        return self._stored_code() or super().get_code(fullname)

    def _stored_code(self) -> CodeType | None:
        """What is stored, if it was made from the source as it is, and where it is."""
        try:
            data, about = self.get_data(self.stored), os.stat(self.path)
        except OSError:
            return None
        source = [0, int(about.st_mtime) & _WORD, about.st_size & _WORD]
        if data[:_HEADER] != MAGIC_NUMBER + b"".join(n.to_bytes(4, "little") for n in source):
            return None
        try:
            code = marshal.loads(memoryview(data)[_HEADER:])
        except (EOFError, TypeError, ValueError):
            return None
        usable = isinstance(code, CodeType) and code.co_filename == self.path
        return code if usable else None


class _Finder:
    """Knows where modules of a package lie whose parents have been imported."""

    def __init__(self, package: str) -> None:
        self.prefix = package + "."

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module of this name in the folder `path`; None for one that is not there."""
        if not fullname.startswith(self.prefix) or not path or len(path) != 1:
            return None
        folder, name = path[0], fullname.rpartition(".")[2]
        file, inside = f"{folder}/{name}.py", None
        if not os.path.isfile(file):
            inside, name = f"{folder}/{name}", "__init__"
            folder, file = inside, f"{inside}/{name}.py"
            if not os.path.isfile(file):
                return None
        stored = f"{folder}/{_STORED}/{name}{_SUFFIX}"
        spec = ModuleSpec(fullname, _Loader(fullname, file, stored), origin=file)
        spec.submodule_search_locations = None if inside is None else [inside]
        spec.has_location, spec.cached = True, stored
        return spec


def install(package: str) -> None:
    """Looks for the modules of a package this way first.

    Where file names are not told apart by case, where bytecode is kept elsewhere, and where this
    module itself was not loaded from a file, the import system does it.
    """
    plain = __spec__ is not None and type(__spec__.loader) is SourceFileLoader
    beside = os.path.dirname(_FOLDER) == os.path.dirname(__file__)
    known = any(type(f).__module__ == __name__ for f in sys.meta_path)
    if sys.platform == "linux" and plain and beside and not known:
        sys.meta_path.insert(0, _Finder(package))
