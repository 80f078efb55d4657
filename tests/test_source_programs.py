"""Random programs of public functions, each judged by several ways to run it.

A sample of what `fuzz_programs.py` runs for as long as one likes.
"""

import pytest
from fuzz_programs import plan
from program_judges import JUDGES, judge
from source_maker import make_program


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize("number", range(2))
def test_ways_to_run_a_program_agree(name, number):
    seed = 100 * sorted(JUDGES).index(name) + number
    program, names, special = plan(seed, [name])
    judge(program, names, seed, special=special)


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_agree(seed):
    program, names, _ = plan(seed, ["derivatives"])
    judge(program, names, seed)


def test_a_seed_is_a_program():
    assert make_program(3).source == make_program(3).source
    assert make_program(3).source != make_program(4).source
