"""A part of PyTorch's own samples through the backend (all of them: `make judge-torch`)."""

import json

import opinfo_cases
import opinfo_compare
import opinfo_profile
import opinfo_samples
import opinfo_suite
import pytest
import torch
from opinfo_samples import Sample

CASES = [
    *(("operators", name) for name in (
        "add", "addbmm", "angle", "as_strided", "bernoulli", "cummax", "diagonal_scatter", "empty",
        "frexp", "gather", "index_reduce.mean", "linalg.cholesky", "linalg.lu_factor_ex",
        "linalg.pinv.hermitian", "linalg.qr",
    )),
    *(("gradients", name) for name in (
        "linalg.det", "linalg.inv", "logcumsumexp", "mv", "nn.functional.dropout", "select",
    )),
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


LIMITS = opinfo_samples.tolerance("operators", "add")


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_fails(name):
    got, wanted = DIFFERENT[name]
    reference = opinfo_compare.Reference([wanted], False, None)
    opinfo_compare.compare([wanted], reference, lambda: [wanted], LIMITS)
    with pytest.raises(AssertionError):
        opinfo_compare.compare([got], reference, lambda: [wanted], LIMITS)


def draws(make):
    return [make(torch.Generator().manual_seed(seed)) for seed in range(opinfo_compare.DRAWS)]


def dropout(g, p=0.5, steady=1.0):
    kept = torch.rand(50, generator=g) > p
    return [kept / (1 - p), torch.full((2,), steady), None]


SPREAD = {
    "share": lambda g: dropout(g, 0.3),
    "value of what is not random": lambda g: dropout(g, steady=1.1),
    "not a number": lambda g: [dropout(g)[0].log().log(), *dropout(g)[1:]],
    "infinite": lambda g: [dropout(g)[0].log(), *dropout(g)[1:]],
    "shape": lambda g: [dropout(g)[0][:, None], *dropout(g)[1:]],
    "type": lambda g: [dropout(g)[0].double(), *dropout(g)[1:]],
    "no gradient": lambda g: [*dropout(g)[:1], None, None],
    "gradient": lambda g: [*dropout(g)[:2], torch.ones(2)],
    "zeros": lambda g: [torch.zeros(50), *dropout(g)[1:]],
}  # fmt: skip


@pytest.mark.parametrize("name", SPREAD)
def test_random_results_that_differ_fail(name):
    theirs = draws(dropout)
    opinfo_compare.check_draws(draws(dropout)[::-1], theirs, lambda: theirs[0], LIMITS)
    with pytest.raises(AssertionError):
        opinfo_compare.check_draws(draws(SPREAD[name]), theirs, lambda: theirs[0], LIMITS)


def test_imaginary_parts_are_random_too():
    def complex_of(scale):
        return lambda g: [torch.complex(*torch.randn(2, 20, generator=g).mul(torch.tensor(scale)))]

    theirs = draws(complex_of([[1.0], [1.0]]))
    opinfo_compare.check_draws(theirs, theirs, lambda: theirs[0], LIMITS)
    ours = draws(complex_of([[1.0], [3.0]]))
    with pytest.raises(AssertionError):
        opinfo_compare.check_draws(ours, theirs, lambda: theirs[0], LIMITS)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.complex32, torch.int64])
def test_equality_of_any_type(dtype):
    x = torch.tensor([1.0, 2.0]).to(dtype)
    assert opinfo_compare.same(x, x.clone())
    assert not opinfo_compare.same(x, torch.tensor([2.0, 1.0]).to(dtype))
    assert not opinfo_compare.same(x, x[:1])
    assert not opinfo_compare.same(x, x.to(torch.complex128))


def test_equality_of_special_values():
    nan, inf = float("nan"), float("inf")
    x = torch.tensor([complex(nan, 1), complex(2, inf)], requires_grad=True)
    assert opinfo_compare.same(x, x.clone())
    assert opinfo_compare.same(x.conj(), x.conj().resolve_conj())
    assert not opinfo_compare.same(x, torch.tensor([complex(nan, 2), complex(2, inf)]))
    largest = torch.finfo(torch.float32).max
    assert not opinfo_compare.same(torch.tensor(inf), torch.tensor(largest))
    assert opinfo_compare.same(torch.eye(2).to_sparse(), torch.eye(2).to_sparse())
    assert opinfo_compare.same(nan, nan)
    assert not opinfo_compare.same(None, torch.ones(1))


def test_an_operator_that_is_missing_is_no_agreement(monkeypatch):
    sample = Sample(lambda x: torch.ones(2) + x, (torch.ones(3),), {})
    opinfo_cases._raises(sample, False)
    missing = "DLC508: dlc does not know 1 operator: aten.sin.default"

    def unknown(*_):
        raise opinfo_cases.ModelError(missing)

    monkeypatch.setattr(opinfo_cases, "values", unknown)
    with pytest.raises(opinfo_cases.ModelError, match="does not know"):
        opinfo_cases._raises(sample, False)


def test_operators_of_pytorch_are_seen():
    x, seen = torch.ones(3), opinfo_profile.profiled
    assert seen(x.sin) == {"sin"}
    assert seen(x.clone) == {"clone"}
    assert seen(lambda: x.to(torch.int32)) == {"_to_copy"}
    assert not seen(lambda: x.view(3, 1).contiguous().to(torch.float32))
    assert seen(lambda: torch.randint(3, (2,))) == {"randint", "random_"}
    assert not seen(lambda: torch.randint(3, (2,)), seeds=True)


def test_pages_quote_the_results():
    found = opinfo_suite.committed()
    assert {kind for kind, _ in found} == set(opinfo_samples.KINDS)
    for kind in opinfo_samples.KINDS:
        assert [n for k, n in found if k == kind] == opinfo_samples.names(kind)
    assert opinfo_suite.summary(found) in opinfo_suite.PAGE.read_text()
    assert opinfo_suite.listing(found) in opinfo_suite.LIST.read_text()


def test_results_name_their_commits_and_go_on(tmp_path):
    case = {"kind": "operators", "reason": "", "outcome": "pass"}
    rows = [
        case | {"name": "abs", "commit": "new"},
        case | {"name": "add", "commit": "old", "outcome": "fail", "reason": "far apart"},
        case | {"name": "add", "commit": "new"},
        case | {"name": "all", "outcome": "fail", "reason": "over 1 s"},
    ]
    path = tmp_path / "results"
    path.write_text("\n".join(map(json.dumps, rows)) + '\n{"kind": "oper')
    found = opinfo_suite.read(path)
    found["operators", "any"] = case | {"name": "any", "outcome": "waiting"}
    assert opinfo_suite.recorded(found) == [
        "# 2 results of commit new",
        "# 1 results of commit unknown",
        "operators abs pass",
        "operators add pass",
        "operators all fail over 1 s",
        "operators any waiting",
    ]
    this = {"outcome": "pass", "commit": opinfo_suite.commit()}
    old, failed = this | {"commit": "old"}, this | {"outcome": "fail"}
    chosen = {
        redo: [opinfo_suite.again(r, redo) for r in (old, failed)]
        for redo in (None, "failed", "all")
    }
    expected = {None: [False, False], "failed": [False, True], "all": [True, True]}
    assert chosen == expected
    assert opinfo_suite.again(old, "stale")
