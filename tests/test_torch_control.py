"""torch.cond, while_loop and scan through the doors to PyTorch."""

import pytest
import torch
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch_fixtures import fresh  # noqa: F401  of each test here

import dlc
from dlc.interop.torch import dlc_backend

WEIGHT = torch.randn(3, requires_grad=True)


def either(x):
    return torch.cond(
        x.sum() > 0,
        lambda x: (x.sin() * WEIGHT, x.shape[0] * x),
        lambda x: (x.cos(), x * 2),
        (x,),
    )


def again(x):
    return while_loop(lambda i, _: i < 4, lambda i, x: (i + 1, x * 2), (torch.tensor(0), x))


def sums(x):
    return scan(lambda c, x: (c + x, c * x), torch.zeros(3), x)


@pytest.mark.parametrize("sign", [1, -1])
def test_results_and_gradients_of_cond(sign):
    run = torch.compile(either, backend=dlc_backend, fullgraph=True)
    given = sign * torch.rand(4, 3)
    found = []
    for f in (run, either):
        x = given.clone().requires_grad_()
        WEIGHT.grad = None
        results = f(x)
        sum(r.square().sum() for r in results).backward()
        found.append(([r.detach() for r in results], x.grad, WEIGHT.grad))
    torch.testing.assert_close(found[0], found[1])


def test_loops():
    x = torch.rand(4, 3)
    count, y = torch.compile(again, backend=dlc_backend, fullgraph=True)(x)
    assert count == 4
    torch.testing.assert_close(y, 16 * x)
    last, products = torch.compile(sums, backend=dlc_backend, fullgraph=True)(x)
    torch.testing.assert_close(last, x.sum(0))
    torch.testing.assert_close(products, (x.cumsum(0) - x) * x)


def test_a_module_by_torch_export():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 3)

        def forward(self, x):
            y = torch.cond(x.sum() > 0, self.layer, lambda x: x - 1, (x,))
            return while_loop(
                lambda i, y: i < y.shape[0], lambda i, y: (i + 1, y * 2), (torch.tensor(0), y)
            )[1]

    model = Model().eval()
    run = dlc.compile(model)
    for size in (2, 4, 5):
        for x in (torch.rand(size, 3), -torch.rand(size, 3)):
            y = model.layer(x).detach() if x.sum() > 0 else x - 1
            torch.testing.assert_close(run(x), y * 2**size)
    assert run.stats.compilations == 2


def test_beside_operators_that_are_unknown():
    def beside(x):
        y = torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x * 2, (x,))
        return torch.fft.irfft(torch.fft.rfft(y), n=3)

    run = torch.compile(beside, backend=dlc_backend, options={"fallback": "aten"})
    for x in (torch.ones(3), -torch.ones(3)):
        torch.testing.assert_close(run(x), beside(x))


def test_operators_inside_that_are_unknown():
    def inside(x):
        return torch.cond(x.sum() > 0, lambda x: torch.fft.fft(x).real + 1, lambda x: x * 2, (x,))

    with pytest.raises(torch._dynamo.exc.BackendCompilerFailed, match="_fft_r2c"):
        torch.compile(inside, backend=dlc_backend)(torch.ones(3))
