"""Tables in text files: columns with types, which are said or found."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np

from dlc.ir.errors import ArgumentError, FileFormatError, nearest

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def path_list(paths: Paths) -> list[str]:
    """One or several paths, as texts."""
    one = isinstance(paths, (str, os.PathLike))
    return [os.fspath(p) for p in ([paths] if one else paths)]  # type: ignore[list-item]


def open_text(path: str, encoding: str, newline: str | None = None) -> IO[str]:
    """A text file, packed by gzip if its name ends in .gz."""
    if path.endswith(".gz"):
        return gzip.open(path, "rt", encoding=encoding, newline=newline)
    return open(path, encoding=encoding, newline=newline)


def lines_of(paths: Iterable[str], encoding: str) -> Iterator[str]:
    """The lines of files, without what ends them."""
    for path in paths:
        with open_text(path, encoding) as file:
            try:
                for line in file:
                    yield line.rstrip("\n")
            except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
                raise FileFormatError(f"{path!r} is no whole {encoding} text: {error}") from None


def read_csv(
    paths: Paths,
    types: Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
    header: bool = True,
    delimiter: str = ",",
    encoding: str = "utf-8",
) -> dict[str, np.ndarray[Any, Any]]:
    """The columns of tables in text files, by name.

    Args:
        paths: A file or several with the same columns; packed by gzip if the name ends in .gz.
        types: Of columns by name. A column without one is int64 if all its fields are whole
            numbers, float32 if all are numbers or empty, which is NaN, and text else.
        columns: The columns that are wanted; all for None. Without a header, the names of all.
        header: Whether the first row has the names; else they are "0", "1", ...
        delimiter: Between fields.
        encoding: Of the text.

    Raises:
        FileFormatError: for a row with another number of fields, and a field not of the type of its
            column: which file, line and column.
        ArgumentError: for a column that there is not.
    """
    rows: list[list[str]] = []
    places: list[tuple[str, int]] = []
    names = None if header or columns is None else list(columns)
    for path in path_list(paths):
        found = _read_rows(path, header, delimiter, encoding, rows, places)
        names = found if names is None else names
        if header and found != names:
            raise FileFormatError(f"{path!r} has the columns {found}, the file before it {names}")
    names = [str(k) for k in range(len(rows[0]) if rows else 0)] if names is None else names
    _check_widths(rows, places, len(names))
    chosen = names if columns is None else list(columns)
    for name in (*chosen, *(types or ())):
        if name not in names:
            raise ArgumentError(f"no column {name!r}", hint=nearest(name, names))
    return {
        name: _column(
            name, [row[names.index(name)] for row in rows], (types or {}).get(name), places
        )
        for name in chosen
    }


def _read_rows(
    path: str,
    header: bool,
    delimiter: str,
    encoding: str,
    rows: list[list[str]],
    places: list[tuple[str, int]],
) -> list[str] | None:
    """Adds the rows of a file; returns the names of its header."""
    names: list[str] | None = None
    with open_text(path, encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                if not row:
                    continue
                if header and names is None:
                    names = [name.strip().removeprefix("\ufeff") for name in row]
                    continue
                rows.append(row)
                places.append((path, reader.line_num))
        except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            raise FileFormatError(f"{path!r}, line {reader.line_num}: {error}") from None
    if header and names is None:
        raise FileFormatError(f"{path!r} is empty: it has no header")
    return names


def _check_widths(rows: list[list[str]], places: list[tuple[str, int]], width: int) -> None:
    for row, (path, line) in zip(rows, places, strict=True):
        if len(row) != width:
            raise FileFormatError(
                f"{path!r}, line {line}: {len(row)} fields, where there are {width} columns"
            )


def _column(
    name: str, fields: list[str], dtype: Any, places: list[tuple[str, int]]
) -> np.ndarray[Any, Any]:
    texts = np.asarray(fields, np.str_)
    if dtype is None:
        for guess in (np.int64, np.float32):
            try:
                return _converted(texts, np.dtype(guess))
            except (ValueError, OverflowError):
                continue
        return texts
    wanted = np.dtype(str if dtype is str else getattr(dtype, "numpy", dtype))
    try:
        return _converted(texts, wanted)
    except (ValueError, OverflowError):
        for field, (path, line) in zip(fields, places, strict=True):
            try:
                _converted(np.asarray([field]), wanted)
            except (ValueError, OverflowError):
                raise FileFormatError(
                    f"{path!r}, line {line}, column {name!r}: {field!r} is no {wanted.name}"
                ) from None
        raise


def _converted(texts: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if dtype.kind == "U":
        return texts
    if np.any(np.strings.find(texts, "_") >= 0):
        raise ValueError("Python's 1_000 is no number in a table, where 2020_01 is a text")
    if dtype.kind == "b":
        return texts.astype(np.int64) != 0
    if dtype.kind == "f":
        texts = np.where(np.strings.strip(texts) == "", "nan", texts)
    if dtype.kind in "iu":
        wide = texts.astype(np.uint64 if dtype == np.uint64 else np.int64)
        limits = np.iinfo(dtype)
        if wide.size and not limits.min <= wide.min() <= wide.max() <= limits.max:
            raise ValueError(f"too large for {dtype.name}")
        return wide.astype(dtype)
    return texts.astype(dtype)


def matrix_of(table: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Columns side by side, float32.

    Raises:
        ArgumentError: for a column of texts, and for none.
    """
    for name, column in table.items():
        if column.dtype.kind == "U":
            raise ArgumentError(
                f"column {name!r} has texts, such as {str(column[0])!r}: no part of a matrix",
                hint="choose columns, or take them as a dict",
            )
    if not table:
        raise ArgumentError("a matrix of no columns")
    return np.stack([column.astype(np.float32) for column in table.values()], axis=1)
