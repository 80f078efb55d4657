"""Every rule and pass is broken on purpose, in turn: verification notices, bisection names it."""

import importlib
import pkgutil
from itertools import chain, islice
from pathlib import Path

import mutations
import numpy as np
import pytest

import dlc.passes
from dlc.ir.build import IRBuilder
from dlc.ir.op import OPS
from dlc.ir.parser import parse_function
from dlc.ir.rewrite import all_rules
from dlc.ir.rule_samples import rule_samples
from dlc.ir.types import TensorType, dtype_of
from dlc.passes.pipelines import pipeline_of
from dlc.runtime.bisection import find_culprit
from dlc.runtime.derivative_check import check_derivatives
from dlc.runtime.random_args import random_args
from dlc.runtime.verification import compilation, verify_function

for _module in pkgutil.iter_modules(dlc.passes.__path__, "dlc.passes."):
    importlib.import_module(_module.name)
CORPUS = [
    parse_function(path.read_text(), file=path.name)
    for path in sorted((Path(__file__).parent / "corpus").glob("*.ir"))
]
GOLDEN = [
    parse_function(text[text.index("func") :], file=path.name)
    for path in sorted((Path(__file__).parent / "golden").glob("*.ir"))
    if "test.op" not in (text := path.read_text().partition("\n----\n")[0])
]
MAX_SAMPLES = 120  # of a rule


def programs_for(mutation):
    """Samples of the rules that may show it, then the corpus."""
    names = {*mutation.samples, mutation.rule}
    rules = [r for r in all_rules() if r.name in names]
    samples = chain.from_iterable(islice(rule_samples(r), MAX_SAMPLES) for r in rules)
    return chain(samples, GOLDEN, CORPUS)


def culprit_of(mutation, passes, **keywords):
    """Whom bisection names on the first program where verification notices; None for nobody."""
    with mutation.in_place():
        for program in programs_for(mutation):
            culprit = find_culprit(compilation(program, passes=passes(), **keywords))
            if culprit is not None:
                return culprit
    return None


def only(name):
    return [p for p in pipeline_of("O2") if p.name == name]


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
@pytest.mark.parametrize("program", CORPUS, ids=lambda f: f.name)
def test_nothing_is_broken(program, level):
    report = verify_function(program, level=level)
    assert report.ok, str(report)


def outcomes():
    """Each mutation with whom bisection names."""
    for mutation in [*mutations.rule_mutations(), *mutations.HELPERS]:
        yield mutation, culprit_of(mutation, lambda m=mutation: only(m.stage), device="reference")
    for mutation in [*mutations.PASSES, *mutations.FUSION, *mutations.LOWERINGS, *mutations.MEMORY]:
        yield mutation, culprit_of(mutation, lambda: pipeline_of("O2"), device="reference")


def test_verification_catches_mutations_and_bisection_names_them():
    found = list(outcomes())
    missed = [m.name for m, culprit in found if culprit is None]
    misnamed = [f"{m.name}: {culprit}" for m, culprit in found if culprit and not m.blames(culprit)]
    assert not misnamed, "\n".join(misnamed)
    share = 1 - len(missed) / len(found)
    assert share >= 0.95, f"{share:.1%} of {len(found)} caught; missed:\n" + "\n".join(missed)


@pytest.mark.parametrize("program", CORPUS, ids=lambda f: f.name)
def test_derivatives_are_right(program):
    wrong = check_derivatives(program, random_args(program, 3))
    assert wrong is None, str(wrong)


def single_op_programs():
    """A function of each sample of each op that has a derivative, and the floats it was given.

    Of an op that stands for simpler ones the check looks at those; `test_derivatives` has its rule.
    """
    for op in OPS.values():
        if not callable(op.jvp) or op.samples is None or op.decompose is not None:
            continue
        for sample in op.samples():
            b = IRBuilder()
            inputs, given = [], {}
            for i in sample.inputs:
                array = isinstance(i, np.ndarray)
                if array and not dtype_of(i.dtype).is_float:
                    inputs.append(b.constant(value=i))
                    continue
                shape, dtype = (i.shape, i.dtype) if array else (i[0], i[1])
                inputs.append(b.param(TensorType(dtype_of(dtype), shape)))
                if array:
                    given[len([x for x in inputs if x.op.name == "param"]) - 1] = i
            made = b.emit(op, inputs, dict(sample.attrs))
            params = [x for x in inputs if x.op.name == "param"]
            sizes = [x.tensor.size for x in (made, *params)]
            if made.tensor.dtype.is_float and all(0 < n < 400 for n in sizes):
                yield b.function(op.name, params, [made]), given


def inside_the_domain(program):
    """Arguments between 0.05 and 0.95, where nearly every op is smooth; above 1 for acosh."""
    low = 1.05 if program.name == "acosh" else 0.05
    return [
        np.abs(a) % a.dtype.type(0.9) + a.dtype.type(low) if p.tensor.dtype.is_float else a
        for p, a in zip(program.params, random_args(program, 7), strict=True)
    ]


def test_wrong_derivatives_are_caught_and_named():
    programs, given = {}, {}
    for f, floats in single_op_programs():
        programs.setdefault(f.name, f)
        given.setdefault(f.name, floats)
    broken = mutations.derivative_mutations(programs)
    missed = []
    for mutation in broken:
        program = programs[mutation.rule]
        args = inside_the_domain(program)
        args = [given[mutation.rule].get(k, a) for k, a in enumerate(args)]
        assert check_derivatives(program, args) is None, program.name
        with mutation.in_place():
            wrong = check_derivatives(program, args)
        if wrong is None:
            missed.append(mutation.name)
        else:
            assert wrong.op == mutation.rule, f"{mutation.name}: {wrong}"
    assert len(missed) <= 0.05 * len(broken), f"missed: {missed}"
