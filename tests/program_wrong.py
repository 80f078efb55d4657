"""What the judges of random programs raise, and the comparison to the bit."""

import numpy as np

import dlc
from dlc.runtime.judge import first_exact_difference


class Wrong(AssertionError):
    """Two ways to run a program do not agree."""


def as_numpy(x):
    return x.numpy() if isinstance(x, dlc.Tensor) else np.asarray(x)


def same_bits(a, b, what):
    wrong = first_exact_difference([as_numpy(x) for x in a], [as_numpy(x) for x in b])
    if wrong is not None:
        raise Wrong(f"{what}: {wrong}")
