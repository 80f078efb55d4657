"""The suites by name, each imported when its cases are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.bench import problems
from dlc.bench.problem import Case
from dlc.ir.deferred import deferred
from dlc.ir.errors import ArgumentError, nearest

# A worker's time runs from its start to its first result, for which it needs one of them.
if TYPE_CHECKING:
    import fnmatch

    from dlc.bench import (
        convolutions,
        core_cases,
        eager_problems,
        fits,
        gpu_cases,
        layout_problems,
        networks,
        order_problems,
        recurrent,
        smoke_cases,
        system_problems,
        torch_models,
    )
else:
    fnmatch = deferred("fnmatch")
    convolutions = deferred("dlc.bench.convolutions")
    core_cases = deferred("dlc.bench.core_cases")
    eager_problems = deferred("dlc.bench.eager_problems")
    fits = deferred("dlc.bench.fits")
    gpu_cases = deferred("dlc.bench.gpu_cases")
    layout_problems = deferred("dlc.bench.layout_problems")
    networks = deferred("dlc.bench.networks")
    order_problems = deferred("dlc.bench.order_problems")
    recurrent = deferred("dlc.bench.recurrent")
    smoke_cases = deferred("dlc.bench.smoke_cases")
    system_problems = deferred("dlc.bench.system_problems")
    torch_models = deferred("dlc.bench.torch_models")

GPU_SUITE = "gpu"
_MODULES: Mapping[str, Any] = {
    "core": core_cases,
    "eager": eager_problems,
    "order": order_problems,
    "layout": layout_problems,
    "systems": system_problems,
    "recurrent": recurrent,
    "convolution": convolutions,
    "training": fits,
    "torch": torch_models,
    "networks": networks,
    GPU_SUITE: gpu_cases,
    "smoke": smoke_cases,
}


class _Suites(Mapping[str, tuple[Case, ...]]):
    """The cases of each suite."""

    def __getitem__(self, name: str) -> tuple[Case, ...]:
        return _MODULES[name].CASES

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


SUITES = _Suites()
WARM_UP = Case("warm up", problems.WARM_UP, dict(m=33, n=7))


def find_cases(suite: str, patterns: Sequence[str] = (), *, perturb: bool = False) -> list[Case]:
    """The cases of a suite that a pattern fits, or all without patterns.

    Raises:
        ArgumentError: for an unknown suite, and a pattern that nothing fits.

    Example:
        >>> [case.name for case in find_cases("core", ["add*"])]
        ['add 16x16']
    """
    if suite not in SUITES:
        raise ArgumentError(f"there is no suite {suite!r}", hint=nearest(suite, SUITES))
    cases = SUITES[suite]
    names = [case.name for case in cases]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ArgumentError(f"no case is called {pattern!r}", hint=nearest(pattern, names))
    found = [
        case
        for case in cases
        if not patterns or any(fnmatch.fnmatchcase(case.name, pattern) for pattern in patterns)
    ]
    return [case.perturbed() for case in found] if perturb else found


def case_named(suite: str, name: str) -> Case:
    """The case of this name, perturbed or not, or the warm-up."""
    for case in (WARM_UP, *SUITES[suite]):
        for found in (case, case.perturbed()):
            if found.name == name:
                return found
    raise ArgumentError(f"suite {suite} has no case {name!r}")
