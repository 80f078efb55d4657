"""The error of matrices. It is apart from the others, which are loaded without NumPy."""

from __future__ import annotations

import numpy as np

from dlc.ir.errors import DlcError


class LinAlgError(DlcError, np.linalg.LinAlgError):
    """A matrix that has not what was asked for: no inverse, no Cholesky factor.

    NumPy's LinAlgError, and so a ValueError.
    """

    code = "DLC207"
