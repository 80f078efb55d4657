"""Parameters as constants of the torch door: never stale, and not made anew too often."""

import copy

import pytest
import torch
from torch import nn
from torch_fixtures import fresh  # noqa: F401  of each test here

from dlc.interop.torch import dlc_backend
from dlc.interop.torch.binding import Binding
from dlc.interop.torch.watch import Watch

FROZEN = {"freeze": True}


def block():
    return nn.Sequential(nn.Linear(64, 48), nn.GELU(), nn.Linear(48, 8))


def write_in_place(model):
    with torch.no_grad():
        model[0].weight[3, 5] = 7.0


def write_through_data(model):
    model[2].bias.data.mul_(3)
    model[0].weight.data.copy_(torch.randn(48, 64))


def write_through_an_array(model):
    model[2].weight.detach().numpy()[...] = 0.25


def give_other_memory(model):
    model[0].weight.data = torch.randn(48, 64)


def replace(model):
    model[2] = nn.Linear(48, 8)


def step(model):
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 64)).sum().backward()
    optimizer.step()


CHANGES = [
    write_in_place, write_through_data, write_through_an_array, give_other_memory, replace, step
]  # fmt: skip


def test_changes_are_seen():
    model = block()
    run = torch.compile(model, backend=dlc_backend, fullgraph=True, options=FROZEN)
    x = torch.randn(4, 64)

    def check():
        for _ in range(3):
            torch.testing.assert_close(run(x), model(x), rtol=1e-5, atol=1e-5)

    with torch.no_grad():
        check()
    for change in CHANGES:
        change(model)
        with torch.no_grad():
            check()


def test_modules_of_a_kind_share_a_graph():
    layers = [block() for _ in range(3)]
    runs = [torch.compile(m, backend=dlc_backend, fullgraph=True, options=FROZEN) for m in layers]
    x = torch.randn(4, 64)
    with torch.no_grad():
        for _ in range(2):
            for run, layer in zip(runs, layers, strict=True):
                torch.testing.assert_close(run(x), layer(x), rtol=1e-5, atol=1e-5)


def test_statistics_in_training_without_gradients():
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    reference = copy.deepcopy(model)
    run = torch.compile(model, backend=dlc_backend, fullgraph=True, options=FROZEN)
    with torch.no_grad():
        for _ in range(3):
            x = torch.randn(5, 8)
            torch.testing.assert_close(run(x), reference(x), rtol=1e-5, atol=1e-5)
            for got, wanted in zip(model.buffers(), reference.buffers(), strict=True):
                torch.testing.assert_close(got, wanted)


class Returns(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        return x @ self.weight, self.weight.T.contiguous(), self.weight + 0


@pytest.mark.parametrize("freeze", [True, False])
def test_results_are_the_callers_own(freeze):
    model, x = Returns(), torch.randn(3, 4)
    weight = model.weight.detach().clone()
    run = torch.compile(model, backend=dlc_backend, fullgraph=True, options={"freeze": freeze})
    with torch.no_grad():
        for _ in range(3):
            results = run(x)
            for got, wanted in zip(results, model(x), strict=True):
                torch.testing.assert_close(got, wanted)
            for got in results:
                got.zero_()
            assert (model.weight == weight).all()


def test_it_waits_longer_each_time_that_something_changes():
    made = []
    tensors = [torch.ones(4), torch.ones(2)]
    binding = Binding((0, 1), lambda arrays: made.append(sorted(arrays)) or len(made))
    assert [binding.program(tensors) for _ in range(3)] == [1, 1, 1]
    tensors[1].add_(1)
    assert [binding.program(tensors) for _ in range(4)] == [None, None, 2, 2]
    tensors[0].add_(1)
    assert [binding.program(tensors) for _ in range(6)] == [None] * 4 + [3, 3]
    other = [torch.zeros(4), torch.zeros(2)]  # another module of the kind
    assert binding.program(other) == 4
    assert binding.program(tensors) == 3
    assert made == [[0, 1]] * 4
    assert Binding((), len).program([]) is None


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(1000), torch.ones(3), torch.ones(20, 30).T, torch.ones(8, 8, dtype=torch.bfloat16)],
    ids=["long", "short", "transposed", "half"],
)
def test_watch(tensor):
    watch = Watch()
    watch.add(tensor, tensor)
    assert watch.holds()
    tensor.data.mul_(2)
    assert not watch.holds()


def test_watch_of_what_has_no_elements():
    watch = Watch()
    watch.add(torch.ones(0, 3), torch.ones(()))
    assert watch.holds()
