"""Special functions, by SciPy's names.

All are computed at float64 and rounded once to the float dtype of their argument, which integers
and bools do not have: they are taken as float32. Derivatives are those of the formulas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc.frontend.functions.elementwise import erf, erfc
from dlc.frontend.functions.nn import sigmoid as expit
from dlc.frontend.functions.reduction import log_softmax, logsumexp, softmax
from dlc.frontend.misuse import publish as _publish
from dlc.frontend.special.bessel import i0, i0e, i1, i1e
from dlc.frontend.special.cylinder import (
    airy_ai,
    j0,
    j1,
    k0,
    k0e,
    k1,
    k1e,
    spherical_j0,
    y0,
    y1,
)
from dlc.frontend.special.entropies import entr, kl_div, logit, rel_entr, xlog1py, xlogy
from dlc.frontend.special.exponential_integrals import exp1, expi
from dlc.frontend.special.gammas import (
    beta,
    betaln,
    digamma,
    factorial,
    gamma,
    gammaln,
    lgamma,
    multigammaln,
    polygamma,
    psi,
    zeta,
)
from dlc.frontend.special.incomplete import gammainc, gammaincc
from dlc.frontend.special.incomplete_beta import betainc
from dlc.frontend.special.normal import erfcx, erfinv, log_ndtr, ndtr, ndtri
from dlc.frontend.suggesting import suggesting as _suggesting

__all__ = [
    "airy_ai", "beta", "betainc", "betaln", "digamma", "entr", "erf", "erfc", "erfcx", "erfinv",
    "exp1", "expi", "expit", "factorial", "gamma", "gammainc", "gammaincc", "gammaln", "i0", "i0e",
    "i1", "i1e", "j0", "j1", "k0", "k0e", "k1", "k1e", "kl_div", "lgamma", "log_ndtr",
    "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri", "polygamma", "psi",
    "rel_entr", "softmax", "spherical_j0", "xlog1py", "xlogy", "y0", "y1", "zeta",
]  # fmt: skip

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
    _publish(globals())
