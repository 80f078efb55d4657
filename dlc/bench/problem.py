"""What is computed: inputs, the meaning in NumPy, and the least work that it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from dlc.ir.record import dataclass, replace

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Arrays: TypeAlias = tuple[Array, ...]
Extents: TypeAlias = Mapping[str, int]
Program: TypeAlias = Callable[..., Any]

SETS = 3  # of inputs, through which calls rotate


def draw(*axes: str) -> Callable[[np.random.Generator, Extents], Arrays]:
    """Draws normal floats: `draw("mn", "n")` is a matrix and a vector."""

    def drawn(rng: np.random.Generator, e: Extents) -> Arrays:
        shapes = [tuple(e[axis] for axis in names) for names in axes]
        return tuple(rng.standard_normal(shape, np.float32) for shape in shapes)

    return drawn


def plain(function: Program) -> Callable[[Sequence[Array]], Program]:
    """For what has no constants."""
    return lambda constants: function


def size(e: Extents, axes: str) -> int:
    """The elements of a tensor of some extents."""
    return math.prod(e[axis] for axis in axes)


@dataclass(frozen=True)
class Problem:
    """Something to compute.

    Args:
        name: By which the frameworks' programs are found.
        inputs: Draws one set of inputs.
        build: From constants to a function of the inputs, in NumPy, at the precision of what it
            is given. It may keep state from call to call.
        operations: The additions and multiplications that it takes; a function such as exp is one.
        bytes: Of memory that must be read and written, where nothing is in a cache.
        constants: Draws what the function closes over.
        tolerance: The largest error, next to the largest value of a result.
        half: Whether frameworks take the floats of the inputs at bfloat16, which holds them.
    """

    name: str
    inputs: Callable[[np.random.Generator, Extents], Arrays]
    build: Callable[[Sequence[Array]], Program]
    operations: Callable[[Extents], int]
    bytes: Callable[[Extents], int]
    constants: Callable[[np.random.Generator, Extents], Arrays] = lambda rng, e: ()
    tolerance: float = 2e-5
    half: bool = False

    def at_half(self) -> Problem:
        """The same at bfloat16: its inputs are rounded to that before anything computes."""

        def inputs(rng: np.random.Generator, extents: Extents) -> Arrays:
            return tuple(rounded(a) for a in self.inputs(rng, extents))

        def moved(extents: Extents) -> int:
            return self.bytes(extents) // 2

        return replace(self, inputs=inputs, bytes=moved, tolerance=1e-2, half=True)


@dataclass(frozen=True)
class Case:
    """A problem of a certain size."""

    name: str
    problem: Problem
    extents: Extents

    def perturbed(self) -> Case:
        """The case with all extents larger by a tenth."""
        extents = {name: round(1.1 * n) for name, n in self.extents.items()}
        return replace(self, name=f"{self.name} +10%", extents=extents)

    def draw(self, seed: int = 0) -> tuple[list[Arrays], Arrays]:
        """The sets of inputs, and the constants."""
        rng = np.random.default_rng(seed)
        constants = self.problem.constants(rng, self.extents)
        return [self.problem.inputs(rng, self.extents) for _ in range(SETS)], constants

    def exact(self, sets: Sequence[Arrays], constants: Sequence[Array]) -> list[Arrays]:
        """The results for each set, in order, at float64."""
        program = self.problem.build([widen(a) for a in constants])
        return [as_arrays(program(*map(widen, inputs))) for inputs in sets]

    def error(self, results: Sequence[Array], exact: Sequence[Array]) -> str | None:
        """What is wrong with results; None when they are right."""
        if len(results) != len(exact):
            return f"{len(results)} results, not {len(exact)}"
        for k, (found, expected) in enumerate(zip(results, exact, strict=True)):
            if found.shape != expected.shape:
                return f"result {k} is of shape {found.shape}, not {expected.shape}"
            largest = float(np.max(np.abs(expected), initial=0.0))
            worst = float(np.max(np.abs(found - expected), initial=0.0))
            if not worst <= self.problem.tolerance * largest + 1e-30:
                return f"result {k} is off by {worst:.2g} where the largest value is {largest:.2g}"
        return None


def widen(array: Array) -> Array:
    """Floats at float64, other arrays as they are."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def as_arrays(result: Any) -> Arrays:
    """One array or several, as a tuple."""
    results = result if isinstance(result, (tuple, list)) else (result,)
    return tuple(np.asarray(r) for r in results)


def rounded(array: Array) -> Array:
    """Floats that bfloat16 holds, at the type of the array; the nearest ones, ties to even."""
    if array.dtype.kind != "f":
        return array
    bits = array.astype(np.float32).view(np.uint32)
    bits += 0x7FFF + ((bits >> 16) & 1)
    return (bits & 0xFFFF0000).view(np.float32)
