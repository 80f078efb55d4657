"""Elements of datasets: trees of arrays, and how many become one, and one many.

Arrays are NumPy's. Python's numbers get the types that `dlc.asarray` gives them; texts stay texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.ir.errors import DTypeError, ShapeError, ValueRangeError

_NUMBERS = {float: np.dtype(np.float32), int: np.dtype(np.int64), bool: np.dtype(np.bool_)}


def as_array(leaf: Any) -> np.ndarray[Any, Any]:
    """A leaf as an array."""
    if isinstance(leaf, np.ndarray):
        return leaf
    if isinstance(leaf, dlc.Tensor):
        return leaf.numpy()
    return np.asarray(leaf, _NUMBERS.get(type(leaf)))


def as_arrays(tree: Any) -> Any:
    """A tree with arrays for leaves."""
    return dlc.tree.map(as_array, tree)


def told(error: Exception, where: str) -> None:
    """Notes where a user's function raised an error, which is raised again after that.

    Raises:
        RuntimeError: for a StopIteration, as in generators: it would end the iteration as if the
            data were at its end.
    """
    if isinstance(error, StopIteration):
        raise RuntimeError(f"StopIteration was raised {where}") from error
    error.add_note(where)


def transposed(elements: Sequence[Any], joined: Callable[[Sequence[Any]], Any]) -> Any:
    """One tree of several that have one structure: what `joined` makes of their leaves.

    Raises:
        ShapeError: for elements of different structures.
    """
    first = elements[0]
    kind = type(first)
    if kind is tuple or kind is list:
        _check_alike(elements, kind)
        parts = [transposed(part, joined) for part in zip(*elements, strict=True)]
        return parts if kind is list else tuple(parts)
    if kind is dict:
        _check_alike(elements, kind)
        try:
            return {key: transposed([e[key] for e in elements], joined) for key in first}
        except KeyError as error:
            raise ShapeError(f"elements of one batch, of which one has no {error}") from None
    if first is None:
        _check_alike(elements, kind)
        return None
    if kind in (np.ndarray, dlc.Tensor, float, int, bool, str):
        return joined(elements)
    leaves, structure = dlc.tree.flatten(first)
    if len(leaves) == 1 and leaves[0] is first:
        return joined(elements)
    return dlc.tree.unflatten(structure, list(map(joined, columns(elements)[0])))


def columns(elements: Sequence[Any]) -> tuple[list[list[Any]], Any]:
    """The leaves of elements side by side, and the structure that all have.

    Raises:
        ShapeError: for elements of different structures.
    """
    leaves, structure = dlc.tree.flatten(elements[0])
    flat = [leaves, *(_flat_as(structure, e) for e in elements[1:])]
    return [list(part) for part in zip(*flat, strict=True)], structure


def _check_alike(elements: Sequence[Any], kind: type) -> None:
    sized = kind is not type(None)
    for element in elements:
        if type(element) is not kind or (sized and len(element) != len(elements[0])):
            raise ShapeError(
                "elements of one batch have different structures: "
                f"{dlc.tree.structure(elements[0])} and {dlc.tree.structure(element)}"
            )


def _flat_as(structure: Any, element: Any) -> list[Any]:
    leaves, found = dlc.tree.flatten(element)
    if found != structure:
        raise ShapeError(
            f"elements of one batch have different structures: {structure} and {found}"
        )
    return leaves


def stacked(leaves: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Leaves of one shape along a new first axis.

    Raises:
        ShapeError: for shapes that differ.
        DTypeError: for numbers and texts, or other objects, side by side.
    """
    if all(isinstance(leaf, str) for leaf in leaves):
        return np.asarray(leaves)
    arrays = [as_array(leaf) for leaf in leaves]
    shape, dtype = arrays[0].shape, arrays[0].dtype
    for number, array in enumerate(arrays):
        if array.dtype is not dtype and _kind(array.dtype) != _kind(dtype):
            raise DTypeError(
                f"elements of one batch have different kinds: element 0 {dtype}, element "
                f"{number} {array.dtype}",
                hint="make them alike in map",
            )
        if array.shape != shape:
            raise ShapeError(
                f"elements of one batch have different shapes: element 0 {shape}, element "
                f"{number} {array.shape}",
                hint="make them alike in map, or use padded_batch",
            )
    return np.stack(arrays)


def _kind(dtype: np.dtype[Any]) -> str:
    """What does not become one type with others: numbers, texts, times, objects."""
    return dtype.kind if dtype.kind in "USOMm" else "number"


def padded(leaves: Sequence[Any], shape: Sequence[int | None] | None, value: Any) -> Any:
    """Leaves along a new first axis, filled up to one shape.

    Args:
        leaves: Arrays of one rank.
        shape: The extents; None for the largest there is.
        value: What fills; None for 0, and for empty texts.

    Raises:
        ShapeError: for leaves of different ranks, and one larger than the shape.
        ValueRangeError: for a value that their type does not have.
    """
    arrays = [as_array(leaf) for leaf in leaves]
    rank = arrays[0].ndim
    if any(a.ndim != rank for a in arrays) or (shape is not None and len(shape) != rank):
        shown = ", ".join(sorted({str(a.shape) for a in arrays}))
        raise ShapeError(f"padded_batch of shapes {shown} to {shape}: the ranks must be equal")
    largest = [max(extents) for extents in zip(*(a.shape for a in arrays), strict=True)]
    extents = [
        found if wanted is None or wanted < 0 else wanted
        for wanted, found in zip(shape or [None] * rank, largest, strict=True)
    ]
    if any(found > extent for found, extent in zip(largest, extents, strict=True)):
        raise ShapeError(f"padded_batch to {tuple(extents)}: an element has {tuple(largest)}")
    dtype = np.result_type(*arrays)
    result: np.ndarray[Any, Any]
    if value is None:
        result = np.zeros((len(arrays), *extents), dtype)
    else:
        result = np.full((len(arrays), *extents), value, _type_with(dtype, np.asarray(value)))
    for number, array in enumerate(arrays):
        result[(number, *map(slice, array.shape))] = array
    return result


def _type_with(dtype: np.dtype[Any], value: np.ndarray[Any, Any]) -> np.dtype[Any]:
    """The type of elements and of the value that fills them up: texts may be longer."""
    texts = dtype.kind == "U", value.dtype.kind == "U"
    if all(texts):
        return np.result_type(dtype, value)
    with np.errstate(invalid="ignore"):
        if any(texts) or (dtype.kind in "biu" and value.astype(dtype) != value):
            raise ValueRangeError(f"padded_batch fills elements of {dtype} with {value.item()!r}")
    return dtype


def rows_of(batch: Any) -> Iterator[Any]:
    """The elements of a batch.

    Raises:
        ShapeError: for arrays with different numbers of rows, or none.
    """
    leaves, structure = dlc.tree.flatten(batch)
    arrays = [as_array(leaf) for leaf in leaves]
    for row in range(row_count(arrays, "unbatch")):
        yield dlc.tree.unflatten(structure, [a[row] for a in arrays])


def row_count(arrays: Sequence[Any], what: str) -> int:
    """The first extent, which arrays share.

    Raises:
        ShapeError: when they do not, and for arrays without axes, and for none.
    """
    if any(not a.ndim for a in arrays):
        raise ShapeError(f"{what}: a number has no rows; give arrays with a first axis of samples")
    counts = {len(a) for a in arrays}
    if len(counts) != 1:
        shown = ", ".join(str(a.shape) for a in arrays) or "none"
        raise ShapeError(f"{what}: arrays must have one number of rows; their shapes are {shown}")
    return counts.pop()


def spec_of(leaf: Any) -> Any:
    """The type of a leaf: a `dlc.Spec`; NumPy's dtype where dlc has no such type."""
    array = as_array(leaf)
    if array.dtype.kind in "USOMmcV" and array.dtype.name != "bfloat16":
        return array.dtype
    return dlc.spec(array.shape, array.dtype)
