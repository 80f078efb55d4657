"""What tests of the door from PyTorch share: numbers that are the same, and nothing compiled."""

import pytest
import torch


@pytest.fixture(autouse=True)
def fresh():
    torch.manual_seed(0)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
