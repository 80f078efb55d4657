"""Sequences of different lengths as one array: `pad_sequences`, `pad_sequence`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import dlc
from dlc.data.elements import as_array
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError, ValueRangeError


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Sequences as an array [sequences, length, ...], as `keras.utils.pad_sequences`.

    Args:
        sequences: Lists or arrays, of any lengths; further axes are all alike.
        maxlen: The length; that of the longest for None.
        dtype: The element type, a name or one of dlc or NumPy; `object` or `str` for texts.
        padding: Where shorter ones are filled, "pre" (at the start) or "post".
        truncating: Where longer ones are cut, "pre" or "post".
        value: What they are filled with.

    Raises:
        ArgumentError: for what is no list of sequences.
        ShapeError: for further axes that differ.
        ValueRangeError: for other words than "pre" and "post", and a negative length.

    Example:
        >>> dlc.data.pad_sequences([[1, 2, 3], [4]], maxlen=2).tolist()
        [[2, 3], [0, 4]]
    """
    for name, word in (("padding", padding), ("truncating", truncating)):
        if word not in ("pre", "post"):
            raise ValueRangeError(f'pad_sequences({name}={word!r}): "pre" or "post"')
    if maxlen is not None and maxlen < 0:
        raise ValueRangeError(f"pad_sequences(maxlen={maxlen}): at least 0")
    if isinstance(dtype, dlc.DType):
        dtype = dtype.numpy
    kind = np.dtype(dtype)
    is_text = kind.kind in "US"
    if isinstance(value, str) and kind.kind not in "OUS":
        raise DTypeError(
            f"pad_sequences(value={value!r}) of {kind}", hint="give dtype=object for texts"
        )
    rows = _arrays("pad_sequences", sequences)
    for k, row in enumerate(rows):
        if kind.kind in "iu" and row.dtype.kind == "f" and np.any(row != np.trunc(row)):
            raise DTypeError(
                f"pad_sequences(dtype={kind}): sequence {k} has numbers that are not whole",
                hint='give dtype="float32"',
            )
    length = max(map(len, rows), default=0) if maxlen is None else maxlen
    parts = [r[len(r) - length :] if len(r) > length and truncating == "pre" else r[:length]
             for r in rows]  # fmt: skip
    held = np.dtype(object) if is_text else kind  # a text is as long as it is
    return _filled("pad_sequences", parts, length, held, value, padding == "pre").astype(
        kind, copy=False
    )


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> dlc.Tensor:
    """Sequences as a tensor [length, sequences, ...], as `torch.nn.utils.rnn.pad_sequence`.

    It is for data, as in the `collate_fn` of a `DataLoader`, and outside compiled code.

    Args:
        sequences: Tensors or arrays [length, ...], of any lengths; further axes are all alike.
        batch_first: Whether the result is [sequences, length, ...].
        padding_value: What shorter ones are filled with.
        padding_side: Where: "right" or "left".

    Raises:
        ArgumentError: for what is no list of sequences, and for none.
        ShapeError: for further axes that differ.
        ValueRangeError: for another side.

    Example:
        >>> x = [dlc.asarray([1.0, 2.0, 3.0]), dlc.asarray([4.0])]
        >>> dlc.data.pad_sequence(x, batch_first=True).tolist()
        [[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]]
    """
    if padding_side not in ("left", "right"):
        raise ValueRangeError(f'pad_sequence(padding_side={padding_side!r}): "left" or "right"')
    rows = _arrays("pad_sequence", sequences)
    if not rows:
        raise ArgumentError("pad_sequence of no sequences")
    length, kind = max(map(len, rows)), np.result_type(*rows)
    found = _filled("pad_sequence", rows, length, kind, padding_value, padding_side == "left")
    return dlc.asarray(found if batch_first else np.swapaxes(found, 0, 1))


def _arrays(name: str, sequences: Any) -> list[np.ndarray]:
    if isinstance(sequences, (str, bytes)) or not hasattr(sequences, "__len__"):
        raise ArgumentError(f"{name} of a {type(sequences).__name__}: it takes a list of sequences")
    rows: list[np.ndarray] = []
    for k, given in enumerate(sequences):
        row = as_array(given)
        if isinstance(given, (str, bytes)) or row.ndim < 1:
            raise ArgumentError(f"{name}: element {k}, {given!r}, is no sequence")
        rows.append(row)
    return rows


def _filled(
    name: str, rows: list[np.ndarray], length: int, dtype: Any, value: Any, at_start: bool
) -> np.ndarray:
    """Rows of at most `length` elements as one array."""
    more = next((r.shape[1:] for r in rows if len(r)), ())
    found = np.full((len(rows), length, *more), value, dtype)
    for k, row in enumerate(rows):
        if not len(row):
            continue
        if row.shape[1:] != more:
            raise ShapeError(
                f"{name}: an element of sequence {k} has shape {row.shape[1:]}, those of others "
                f"{more}"
            )
        start = length - len(row) if at_start else 0
        found[k, start : start + len(row)] = row
    return found
