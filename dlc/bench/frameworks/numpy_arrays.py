"""NumPy: the programs that define the problems, at float32."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.bench.problem import Array, Arrays, Case, Program, as_arrays


class NumPy:
    """NumPy with its own BLAS."""

    def settings(self) -> dict[str, str]:
        """Version and BLAS."""
        found: dict[str, str] = {"numpy": np.__version__}
        with contextlib.suppress(Exception):
            config: Any = np.show_config(mode="dicts")
            blas = config["Build Dependencies"]["blas"]
            found["blas"] = f"{blas['name']} {blas['version']}"
        return found

    def array(self, array: Array) -> Array:
        """The array."""
        return array

    def program(self, case: Case, constants: Sequence[Array]) -> Program:
        """The problem's own function."""
        return case.problem.build(constants)

    def arrays(self, result: Any) -> Arrays:
        """The results."""
        return as_arrays(result)


def start(threads: int, cache: str) -> NumPy:
    """NumPy; its threads are set by the environment."""
    return NumPy()
