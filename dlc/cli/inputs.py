"""The arrays that a program is run on: random ones of a seed, or those of an .npz file."""

from __future__ import annotations

import argparse
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.cli.arguments import parse_dims
from dlc.cli.tracing import Traced
from dlc.frontend.signature import ir_name
from dlc.ir.dims import evaluate
from dlc.ir.errors import (
    ArgumentError,
    DTypeError,
    MemoryLimitError,
    ParseError,
    ShapeError,
    nearest,
)
from dlc.ir.types import DType, TensorType
from dlc.runtime.buffers import aligned_copy

Array: TypeAlias = npt.NDArray[Any]

DEFAULT_EXTENT = 8
_LARGEST = 1 << 46  # bytes of an input: more than a process can address
_HIGHEST = 10  # random integers are below it: labels and indices of small problems


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what says which arrays a program is run on."""
    parser.add_argument(
        "--inputs",
        metavar="FILE.npz",
        help="inputs by the names of the parameters, or in order as arr_0, arr_1, ...",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        default=0,
        help="of random inputs: floats are normal, integers below 10",
    )
    add_dim_argument(parser)


def _seed(text: str) -> int:
    seed = int(text)
    if seed < 0:
        raise argparse.ArgumentTypeError(f"{seed} is negative")
    return seed


def add_dim_argument(parser: argparse.ArgumentParser) -> None:
    """Declares what says the values of named extents."""
    parser.add_argument(
        "--dim",
        action="append",
        default=[],
        metavar="NAME=N",
        help=f"the value of a named extent (default: {DEFAULT_EXTENT})",
    )


def given_arrays(options: argparse.Namespace) -> dict[str, Array]:
    """The arrays of `--inputs`, by name.

    Raises:
        ArgumentError: for a file that is not there, or holds Python objects.
        ParseError: for a file that is no .npz.
    """
    if options.inputs is None:
        return {}
    try:
        stored = np.load(options.inputs, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ParseError(f"{options.inputs} is no .npz file")
        with stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise ArgumentError(f"there is no file {options.inputs}") from None
    except ParseError:
        raise
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        # What is no archive at all is said to be pickled Python.
        known = isinstance(error, zipfile.BadZipFile) or zipfile.is_zipfile(options.inputs)
        raise ParseError(
            f"{options.inputs} cannot be read as .npz" + (f": {error}" if known else "")
        ) from None


def input_arrays(
    traced: Traced, options: argparse.Namespace, arrays: Mapping[str, Array]
) -> list[Array]:
    """An array for each parameter: the given one, the known one, or a random one.

    Args:
        traced: The program.
        options: The parsed options of `add_input_arguments`.
        arrays: What `given_arrays` returned.

    Raises:
        ArgumentError: for a given array that no parameter is called as, and unknown extents.
        DTypeError, ShapeError: for a given array that does not fit its parameter.
        MemoryLimitError: for inputs that no machine can hold.
    """
    types = [p.tensor for p in traced.function.params]
    given = _by_parameter(traced, arrays)
    extents = _extents(traced, types, given, options.dim)
    rng = np.random.default_rng(options.seed)
    made: list[Array] = []
    for k, (type_, name, known) in enumerate(zip(types, traced.names, traced.values, strict=True)):
        shape = tuple(evaluate(d, extents) for d in type_.shape)
        if k in given:
            array = _checked(given[k], type_, shape, name)
        elif known is not None:
            array = known
        else:
            _check_size(type_, shape, name)
            array = random_array(rng, type_.dtype, shape)
        made.append(aligned_copy(array, type_.dtype))
    return made


def given_extents(traced: Traced, texts: Sequence[str]) -> dict[str, int]:
    """The extents that `--dim` gives.

    Raises:
        ArgumentError: for a name that the program does not have.
        ParseError: for text that is not NAME=N.
    """
    symbols = traced.function.symbols
    extents = dict(parse_dims(texts))
    for name in extents:
        if name not in symbols:
            hint = nearest(name, symbols) if symbols else "all its extents are numbers"
            raise ArgumentError(f"{traced.function.name} has no extent {name!r}", hint=hint)
    return extents


def random_array(rng: np.random.Generator, dtype: DType, shape: Sequence[int]) -> Array:
    """Normal floats, integers from 0 to 9, or booleans.

    Example:
        >>> random_array(np.random.default_rng(0), int8, (3,))
        array([8, 6, 5], dtype=int8)
    """
    if dtype.is_float:
        return np.asarray(rng.standard_normal(shape)).astype(dtype.numpy)
    highest = 2 if dtype.kind == "b" else _HIGHEST
    return np.asarray(rng.integers(0, highest, shape)).astype(dtype.numpy)


def _check_size(type_: TensorType, shape: Sequence[int], name: str) -> None:
    size = math.prod(shape) * type_.dtype.itemsize
    if size > _LARGEST:
        raise MemoryLimitError(f"parameter {name}: {type_} takes {size} bytes")


def _by_parameter(traced: Traced, arrays: Mapping[str, Array]) -> dict[int, Array]:
    """The given arrays by the position of their parameter."""
    places: dict[str, int] = {}
    for k, name in enumerate(traced.names):
        for spelling in (name, ir_name(name), f"arr_{k}"):
            places.setdefault(spelling, k)
    found: dict[int, Array] = {}
    for name, array in arrays.items():
        if name not in places:
            raise ArgumentError(
                f"{traced.function.name} has no parameter {name!r}",
                hint=nearest(name, traced.names),
            )
        found[places[name]] = array
    return found


def _extents(
    traced: Traced, types: Sequence[TensorType], given: Mapping[int, Array], texts: Sequence[str]
) -> dict[str, int]:
    """The value of each symbol: as given, as the given arrays have it, or the default."""
    symbols = traced.function.symbols
    extents = given_extents(traced, texts)
    for k, array in given.items():
        for d, n in zip(types[k].shape, array.shape, strict=False):
            if str(d) in symbols:
                extents.setdefault(str(d), n)
    return {name: extents.get(name, DEFAULT_EXTENT) for name in symbols}


def _checked(array: Array, type_: TensorType, shape: tuple[int, ...], name: str) -> Array:
    wanted = type_.dtype.numpy
    # NumPy stores dtypes that it does not know, such as bfloat16, as plain bytes.
    if array.dtype.kind == "V" and array.dtype.itemsize == wanted.itemsize:
        array = array.view(wanted)
    if array.dtype != wanted:
        raise DTypeError(f"parameter {name}: {type_} got an array of {array.dtype}")
    if array.shape != shape:
        raise ShapeError(f"parameter {name}: {type_} got an array of shape {array.shape}")
    return array
