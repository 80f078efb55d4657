"""Training and state through the backend of `torch.compile`: what changes outside is seen."""

import copy
import io
import threading
from pathlib import Path

import pytest
import torch
import transformers_suite as suite
from torch import nn
from torch_fixtures import fresh  # noqa: F401  of each test here

from dlc.interop.torch import dlc_backend


def small():
    return nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3))


def compiled(model, **keywords):
    return torch.compile(model, backend=dlc_backend, fullgraph=True, **keywords)


def same(got, wanted, units=8):
    assert got.dtype == wanted.dtype
    got, wanted = got.detach(), wanted.detach()
    scale = max(1.0, float(wanted.abs().max()))
    assert (got - wanted).abs().max() <= units * torch.finfo(got.dtype).eps * scale


def losses(model, run, inputs, optimizer):
    """Ten steps towards a fixed target."""
    updates = optimizer(model.parameters())
    generator = torch.Generator().manual_seed(2)
    target, found = None, []
    for _ in range(10):
        output = run(**inputs)[0]
        if target is None:
            target = torch.randn(output.shape, generator=generator, dtype=torch.float64)
            target = target.to(output.dtype)
        loss = (output - target).square().mean()
        updates.zero_grad()
        loss.backward()
        updates.step()
        found.append(float(loss))
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        ("GPT-2", lambda p: torch.optim.Adam(p, lr=1e-3)),
        ("ViT", lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9)),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_training_goes_as_in_eager(name, optimizer):
    model, inputs = suite.made(name)
    single, double = copy.deepcopy(model), copy.deepcopy(model).double()
    exact = losses(double, double, suite.as_double(inputs), optimizer)
    wanted = losses(single, single, inputs, optimizer)
    got = losses(model, torch.compile(model, backend=dlc_backend), inputs, optimizer)
    assert got[-1] < got[0]
    allowed = suite.FACTOR * (wanted - exact).abs().max() + 8 * 2.0**-24 * exact.abs().max()
    assert (got - exact).abs().max() <= allowed


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_steps_of_optimizers_with_clipped_gradients(foreach):
    kinds = (torch.optim.SGD, torch.optim.RMSprop)
    model, x = small().double(), torch.randn(5, 6, dtype=torch.float64)
    like = copy.deepcopy(model)

    def stepper(model):
        updates = [kind(model.parameters(), lr=0.01, foreach=foreach) for kind in kinds]

        def step():
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            for update in updates:
                update.step()
            return norm

        return step

    run, wanted = torch.compile(stepper(model), backend=dlc_backend), stepper(like)
    for _ in range(3):
        for each in (model, like):
            each.zero_grad()
            each(x).square().mean().backward()
        same(run(), wanted(), 64)
    for p, q in zip(model.parameters(), like.parameters(), strict=True):
        same(p, q, 64)


def test_parameters_that_change_are_seen():
    model, x = small(), torch.randn(5, 6)
    run = compiled(model)
    same(run(x), model(x))
    with torch.no_grad():
        model[0].weight.mul_(-2)
        same(run(x), model(x))
        model[3].bias.data = torch.ones(3)
        same(run(x), model(x))
        model[3].weight = nn.Parameter(torch.randn(3, 16))
        same(run(x), model(x))
    file = io.BytesIO()
    torch.save(small().state_dict(), file)
    file.seek(0)
    model.load_state_dict(torch.load(file))
    same(run(x), model(x))
    other = small()
    other.load_state_dict({k.removeprefix("_orig_mod."): v for k, v in run.state_dict().items()})
    same(run(x), other(x))


def test_modules_that_move_to_another_element_type():
    model, x = small(), torch.randn(5, 6)
    run = compiled(model)
    same(run(x), model(x))
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        model.to(dtype)
        exact = copy.deepcopy(model).double()(x.to(dtype).double())
        got, wanted = run(x.to(dtype)), model(x.to(dtype))
        assert got.dtype == dtype
        noise = (wanted.double() - exact).abs().max()
        eps = torch.finfo(dtype).eps
        assert (got.double() - exact).abs().max() <= 4 * noise + eps * exact.abs().max()


def test_autocast():
    model, x = small(), torch.randn(5, 6)
    exact = copy.deepcopy(model).double()(x.double())
    run = compiled(model)
    with torch.autocast("cpu", torch.bfloat16):
        got, wanted = run(x), model(x)
    assert got.dtype == wanted.dtype == torch.bfloat16
    noise = (wanted.double() - exact).abs().max()
    assert (got.double() - exact).abs().max() <= 4 * noise
    got.float().square().mean().backward()
    mine = [p.grad for p in model.parameters()]
    model.zero_grad()
    wanted.float().square().mean().backward()
    for g, p in zip(mine, model.parameters(), strict=True):
        assert g.dtype == p.grad.dtype == torch.float32
        assert (g - p.grad).abs().max() <= 0.05 * p.grad.abs().max() + 1e-3


def test_modes_without_gradients():
    model, x = small(), torch.randn(5, 6)
    run = compiled(model)
    assert run(x).requires_grad
    with torch.no_grad():
        assert not run(x).requires_grad
    with torch.inference_mode():
        y = run(torch.randn(5, 6))
        assert y.is_inference()
        y += 1
    model.requires_grad_(False)
    model[3].weight.requires_grad_()
    run(x).sum().backward()
    assert [p.grad is not None for p in model.parameters()] == [False] * 4 + [True, False]


def test_inputs_written_in_place():
    def step(x, state):
        state.mul_(0.5).add_(x)
        x[0] = 7
        return state.sum()

    given = [(torch.ones(3), torch.arange(3.0)) for _ in range(2)]
    run = compiled(step)
    for _ in range(3):
        same(run(*given[0]), step(*given[1]))
    assert torch.equal(given[0][0], given[1][0])
    assert torch.equal(given[0][1], given[1][1])


def test_results_that_are_views_share_memory():
    def views(x):
        y = x + 1
        return y, y[1:], y.T[0], y.view(torch.int32), *x.unbind(0)

    run = compiled(views)
    for gradient in (False, True):
        x, like = (torch.arange(6.0).view(3, 2).requires_grad_(gradient) for _ in range(2))
        got, wanted = run(x), views(like)
        for results, given in ((got, x), (wanted, like)):
            results[1].detach().mul_(3)
            given.detach().add_(5)
        for g, w in zip(got, wanted, strict=True):
            assert (g.stride(), g.storage_offset()) == (w.stride(), w.storage_offset())
            assert torch.equal(g, w)


def test_views_of_a_result_between_graphs():
    def broken(x):
        y = x.sin()
        part, tail = y[:, 1:], y.mT[1]
        torch._dynamo.graph_break()
        y.fill_(2)
        tail.add_(part[:, 0])
        return part.mT + tail

    x = torch.randn(3, 3)
    same(torch.compile(broken, backend=dlc_backend)(x), broken(x))


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # PyTorch looks for one
@pytest.mark.parametrize(("fallback", "dynamic"), [("error", True), ("aten", False)])
def test_results_have_the_strides_of_eager_mode(fallback, dynamic):
    """Code after the graph views them by these, and PyTorch has taken them for known in it."""

    def broken(x, image):
        y, z = x.mT * 2, x.mT.exp()
        if fallback == "aten":
            z = torch.fft.rfft(z).abs() * y.sum()
        turned = image.relu()
        strides = y.stride()
        torch._dynamo.graph_break()
        flat = turned.permute(0, 2, 3, 1).view(-1, image.shape[1])
        return y, z, turned, flat, y.mT.view(-1), y.as_strided((y.numel(),), strides[:1])

    options = {"fallback": fallback}
    run = torch.compile(broken, backend=dlc_backend, dynamic=dynamic, options=options)
    for gradient in (False, True):
        x, image = torch.randn(3, 4, requires_grad=gradient), torch.randn(2, 3, 4, 5)
        image = image.to(memory_format=torch.channels_last)
        for got, wanted in zip(run(x, image), broken(x, image), strict=True):
            assert got.stride() == wanted.stride()
            torch.testing.assert_close(got, wanted)


def test_several_functions_in_several_threads():
    models = [small() for _ in range(3)]
    runs = [compiled(m) for m in models]
    given = [torch.randn(5, 6) for _ in range(3)]
    wrong = []

    def work(k):
        try:
            for i in range(20):
                n = (k + i) % 3
                same(runs[n](given[n]), models[n](given[n]))
        except Exception as error:  # noqa: BLE001  for the main thread
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="what Linux says of memory")
def test_calls_keep_no_memory():
    weight = torch.randn(256, 256, requires_grad=True)
    run = compiled(lambda x: (x @ weight).relu())
    x = torch.randn(256, 256)  # a quarter of a megabyte, as the results
    for k in range(220):
        if k == 20:
            before = resident()
        run(x).sum().backward()
    assert resident() - before < 20 << 20
