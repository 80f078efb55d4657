"""Pipes that keep their elements, in memory or in a file."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

import dlc
from dlc.data.element_file import ElementReader, ElementWriter
from dlc.data.pipe import Pipe
from dlc.data.tables import ArrayTable, Table


class MemoryCache(Pipe):
    """The elements of the first pass, whole once that pass has ended."""

    def __init__(self, parent: Pipe) -> None:
        self.parent = parent
        self._held: list[Any] | None = None

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def length(self) -> int:
        """That of the parent, or of what is held."""
        return self.parent.length() if self._held is None else len(self._held)

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The elements of the parent's epoch 0, in any epoch."""
        if self._held is not None:
            return map(_handed_out, itertools.islice(self._held, start, None))
        return itertools.islice(self._record(), start, None)

    def _record(self) -> Iterator[Any]:
        found: list[Any] = []
        for element in self.parent.walk(0, 0):
            found.append(dlc.tree.map(_kept, element))
            yield _handed_out(found[-1])
        self._held = found

    def table(self) -> Table | None:
        """That of the parent, if it is in memory anyway."""
        table = self.parent.table()
        return table if isinstance(table, ArrayTable) else None

    def rows(self, epoch: int, start: int) -> Iterator[int]:
        """The rows of the parent's epoch 0."""
        return self.parent.rows(0, start)

    def spec(self) -> Any:
        """The types of the parent."""
        return self.parent.spec()


def _kept(leaf: Any) -> Any:
    """A leaf that nobody changes who gets it later."""
    if not isinstance(leaf, np.ndarray):
        return leaf
    view = leaf.view()
    view.flags.writeable = False
    return view


def _handed_out(tree: Any) -> Any:
    """An element whose dicts and lists may be changed by who gets it."""
    kind = type(tree)
    if kind is dict:
        return {key: _handed_out(part) for key, part in tree.items()}
    return kind(map(_handed_out, tree)) if kind in (tuple, list) else tree


class FileCache(Pipe):
    """The elements of the first pass in a file, which is there when that pass has ended."""

    def __init__(self, parent: Pipe, path: str | os.PathLike[str]) -> None:
        self.parent, self._path = parent, os.fspath(path)

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def length(self) -> int:
        """The number of elements of the file, or that of the parent."""
        return len(ElementReader(self._path)) if self._exists() else self.parent.length()

    def _exists(self) -> bool:
        return os.path.exists(self._path)

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The elements of the file, or of the parent's epoch 0, which are written."""
        if self._exists():
            return ElementReader(self._path).walk(start)
        return itertools.islice(self._record(), start, None)

    def _record(self) -> Iterator[Any]:
        with ElementWriter(self._path) as writer:
            for element in self.parent.walk(0, 0):
                writer.add(element)
                yield element
            writer.finish()

    def spec(self) -> Any:
        """The types of the parent."""
        return self.parent.spec()
