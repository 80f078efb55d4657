"""A part of PyTorch's own samples through the backend (all of them: `make judge-torch`)."""

import opinfo_cases
import opinfo_suite
import pytest
import torch

CASES = [
    *(("operators", name) for name in (
        "add", "addbmm", "angle", "as_strided", "bernoulli", "cummax", "diagonal_scatter", "empty",
        "frexp", "gather", "index_reduce.mean", "linalg.cholesky", "linalg.lu_factor_ex",
        "linalg.pinv.hermitian", "linalg.qr",
    )),
    *(("gradients", name) for name in ("linalg.det", "linalg.inv", "logcumsumexp", "mv", "select")),
    *(("modules", name) for name in ("nn.Linear", "nn.PReLU")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_samples_pass(kind, name):
    found = opinfo_cases.outcome(kind, name)
    torch._dynamo.reset()
    assert found["outcome"] == "pass", found["reason"]
    assert found["samples"] > 0


DIFFERENT = {
    "value": (torch.ones(2), torch.tensor([1.0, 1.1])),
    "type": (torch.ones(2), torch.ones(2, dtype=torch.int64)),
    "shape": (torch.ones(2), torch.ones(1, 2)),
    "not a number": (torch.ones(2), torch.tensor([1.0, float("nan")])),
    "number": (2, 3),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_fails(name):
    got, wanted = DIFFERENT[name]
    reference = opinfo_cases.Reference([wanted], False, None)
    limits = opinfo_cases.tolerance("operators", "add")
    opinfo_cases.compare([wanted], reference, lambda: [wanted], limits)
    with pytest.raises(AssertionError):
        opinfo_cases.compare([got], reference, lambda: [wanted], limits)


def test_operators_of_pytorch_are_seen():
    assert opinfo_cases.profiled(lambda: torch.ones(3).sin()) >= {"sin"}


def test_pages_quote_the_results():
    found = opinfo_suite.committed()
    assert {kind for kind, _ in found} == set(opinfo_cases.KINDS)
    assert opinfo_suite.summary(found) in opinfo_suite.PAGE.read_text()
    assert opinfo_suite.listing(found) in opinfo_suite.LIST.read_text()
