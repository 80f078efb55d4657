"""`dlc.linalg`: linear algebra by the names of the Array API standard and of NumPy.

Functions of matrices take stacks of them, `[..., m, n]`. LAPACK computes decompositions and
solutions at float32 and float64, from compiled programs too; half types are computed at float32,
integers and bools become float32.
"""

from __future__ import annotations

from dlc.frontend.functions.linalg import matmul, outer, tensordot, vecdot
from dlc.frontend.functions.shape import matrix_transpose
from dlc.frontend.linalg.solving import cholesky, inv, solve, solve_triangular
from dlc.ir.errors import LinAlgError

__all__ = [
    "LinAlgError",
    "cholesky",
    "inv",
    "matmul",
    "matrix_transpose",
    "outer",
    "solve",
    "solve_triangular",
    "tensordot",
    "vecdot",
]
