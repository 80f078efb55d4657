"""Models of transformers through the backend of `torch.compile`, as tests/transformers_suite.py."""

import pytest
import torch
import transformers_suite as suite

# The tracer's and the models' own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def fresh():
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["GPT-2", "Hubert"])
def test_training_as_in_eager(name):
    worst, found, wanted, _ = suite.check(name, "sdpa", True)
    assert worst <= 1
    assert found == wanted


def test_the_suite_has_what_it_is_said_to_have():
    assert len(suite.MODELS) == 18
