"""Matrices that have no inverse or factor, through the doors to PyTorch: eager mode's errors."""

import pytest

import dlc

torch = pytest.importorskip("torch")

from dlc.interop.torch import dlc_backend  # noqa: E402

ZEROS, ONES = torch.zeros(3, 3), torch.ones(3, 2)
STACK = torch.stack([torch.eye(3), torch.eye(3), ZEROS])
FAILING = {
    "solve": lambda a: torch.linalg.solve(a, ONES),
    "solve on the right": lambda a: torch.linalg.solve(a, ONES.mT, left=False),
    "solve_ex": lambda a: torch.linalg.solve_ex(a, ONES, check_errors=True),
    "inv": torch.linalg.inv,
    "inv_ex": lambda a: torch.linalg.inv_ex(a, check_errors=True),
    "cholesky": lambda a: torch.linalg.cholesky(a, upper=True),
    "old cholesky": torch.cholesky,
    "cholesky_ex": lambda a: torch.linalg.cholesky_ex(a, check_errors=True),
    "lu_factor": torch.linalg.lu_factor,
    "lu_factor_ex": lambda a: torch.linalg.lu_factor_ex(a, check_errors=True),
}


def error_of(function, a):
    with pytest.raises(RuntimeError) as caught:
        function(a)
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize("name", FAILING)
def test_what_raises_in_eager_mode_raises_the_same(name):
    torch._dynamo.reset()
    run = torch.compile(FAILING[name], backend=dlc_backend, fullgraph=True)
    assert error_of(run, ZEROS) == error_of(FAILING[name], ZEROS)
    torch.testing.assert_close(run(2 * torch.eye(3)), FAILING[name](2 * torch.eye(3)))


@pytest.mark.parametrize("name", ["solve", "inv", "cholesky"])
def test_one_of_a_stack_with_gradients(name):
    torch._dynamo.reset()
    run = torch.compile(FAILING[name], backend=dlc_backend, fullgraph=True)
    singular = STACK.clone().requires_grad_()
    assert error_of(run, singular) == error_of(FAILING[name], singular)


def test_codes_that_nothing_raises_by():
    functions = [
        lambda a: torch.linalg.solve_ex(a, ONES).info,
        lambda a: torch.linalg.inv_ex(a).info,
        lambda a: torch.linalg.cholesky_ex(a).info,
        lambda a: torch.linalg.lu_factor_ex(a).info,
        lambda a: torch.linalg.inv_ex(a[:0]).info,
    ]
    for function in functions:
        torch._dynamo.reset()
        codes = torch.compile(function, backend=dlc_backend, fullgraph=True)(STACK)
        torch.testing.assert_close(codes != 0, function(STACK) != 0)
        assert codes.dtype == torch.int32


def test_nan_is_no_singular_matrix():
    a = torch.full((3, 3), float("nan"))
    for name in ("solve", "inv", "lu_factor"):
        torch._dynamo.reset()
        run = torch.compile(FAILING[name], backend=dlc_backend, fullgraph=True)
        torch.testing.assert_close(run(a), FAILING[name](a), equal_nan=True)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("turned", [False, True])
def test_gradients_of_solutions_in_any_layout(left, turned):
    torch._dynamo.reset()
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64)
    a = a.mT if turned else a

    def solve(a, b):
        return torch.linalg.solve(a, b, left=left)

    run = torch.compile(solve, backend=dlc_backend, fullgraph=True)
    found = []
    for f in (run, solve):
        x, y = (v.detach().requires_grad_() for v in (a, b))
        z = f(x, y)
        z.square().sum().backward()
        found.append((z.detach(), x.grad, y.grad))
    torch.testing.assert_close(found[0], found[1])


def test_modules_as_compiled_functions():
    class Solver(torch.nn.Module):
        def forward(self, a, b):
            return torch.linalg.solve(a, b), torch.linalg.inv_ex(a)

    run = dlc.compile(Solver())
    x, inverse = run(2 * torch.eye(3), ONES)
    assert torch.equal(x, ONES / 2)
    assert type(inverse) is torch.return_types.linalg_inv_ex
    assert inverse.info == 0
    with pytest.raises(dlc.LinAlgError, match="singular"):
        run(ZEROS, ONES)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_beside_views_and_open_extents(dynamic, gradient):
    """What raises comes with a token among the graph's inputs, which is no tensor there."""

    def solve(a, x):
        part, inverse = x[1:], torch.linalg.inv(a)
        return inverse, part, part.mT, inverse @ x, x.shape[1] * 2

    torch._dynamo.reset()
    run = torch.compile(solve, backend=dlc_backend, dynamic=dynamic)
    for n in (4, 5):
        a, x = 2 * torch.eye(3) + 0.1, torch.randn(3, n)
        given = [[t.clone().requires_grad_(gradient) for t in (a, x)] for _ in range(2)]
        got, wanted = run(*given[0]), solve(*given[1])
        torch.testing.assert_close(got, wanted)
        if gradient:
            got[3].sum().backward()
            wanted[3].sum().backward()
            torch.testing.assert_close(given[0][0].grad, given[1][0].grad)
