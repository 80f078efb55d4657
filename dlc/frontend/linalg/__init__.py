"""`dlc.linalg`: linear algebra by the names of the Array API standard and of NumPy.

Functions of matrices take stacks of them, `[..., m, n]`. LAPACK computes decompositions and
solutions at float32 and float64, from compiled programs too; half types are computed at float32,
integers and bools become float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc.frontend.functions.linalg import matmul, outer, tensordot, vecdot
from dlc.frontend.functions.shape import matrix_transpose
from dlc.frontend.linalg.decompositions import eigh, eigvalsh, qr, svd, svdvals
from dlc.frontend.linalg.functions import (
    det,
    expm,
    lstsq,
    matrix_power,
    multi_dot,
    pinv,
    slogdet,
)
from dlc.frontend.linalg.lu import lu, lu_factor, lu_solve
from dlc.frontend.linalg.norms import cond, matrix_norm, matrix_rank, norm, vector_norm
from dlc.frontend.linalg.products import cross, diagonal, kron, trace
from dlc.frontend.linalg.solving import (
    cholesky,
    cholesky_solve,
    inv,
    solve,
    solve_triangular,
    tensorinv,
    tensorsolve,
)
from dlc.frontend.misuse import publish as _publish
from dlc.frontend.suggesting import suggesting as _suggesting
from dlc.ir.matrix_error import LinAlgError

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_solve",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "expm",
    "inv",
    "kron",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_solve",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
    _publish(globals())
