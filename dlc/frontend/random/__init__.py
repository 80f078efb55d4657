"""`dlc.random`: random numbers from explicit keys, and from a global generator for eager use.

A key is a tensor `uint32[2]`. Functions take one as their first argument; None takes the next of
the global generator. The same key, shape and dtype give the same numbers eagerly and compiled, on
any device and any number of threads. Other means and scales are sums and products of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc.frontend.misuse import publish as _publish
from dlc.frontend.random.continuous import (
    cauchy,
    exponential,
    gumbel,
    laplace,
    logistic,
    multivariate_normal,
    orthogonal,
    truncated_normal,
)
from dlc.frontend.random.counts import binomial, geometric, poisson
from dlc.frontend.random.discrete import (
    categorical,
    choice,
    permutation,
    rademacher,
    randint,
    shuffle,
)
from dlc.frontend.random.gammas import (
    beta,
    chisquare,
    dirichlet,
    gamma,
    loggamma,
    student_t,
)
from dlc.frontend.random.generator import (
    bernoulli,
    bits,
    fold_in,
    get_state,
    key,
    normal,
    seed,
    set_state,
    split,
    uniform,
)
from dlc.frontend.suggesting import suggesting as _suggesting

__all__ = [
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "dirichlet",
    "exponential",
    "fold_in",
    "gamma",
    "geometric",
    "get_state",
    "gumbel",
    "key",
    "laplace",
    "loggamma",
    "logistic",
    "multivariate_normal",
    "normal",
    "orthogonal",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "seed",
    "set_state",
    "shuffle",
    "split",
    "student_t",
    "truncated_normal",
    "uniform",
]

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
    _publish(globals())
