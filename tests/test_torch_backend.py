"""The backend of `torch.compile`: values, gradients and state as in eager PyTorch."""

import copy
import gc
import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_fixtures import fresh  # noqa: F401  of each test here

import dlc
from dlc.interop.torch import backend, dlc_backend
from dlc.interop.torch.table import operators


def compiled(model, **keywords):
    return torch.compile(model, backend=dlc_backend, fullgraph=True, **keywords)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.into, self.out = nn.Embedding(17, 16), nn.Linear(16, 48), nn.Linear(16, 17)

    def forward(self, tokens):
        x = self.table(tokens)
        q, k, v = (
            t.view(*t.shape[:2], 4, 4).transpose(1, 2) for t in self.into(x).chunk(3, dim=-1)
        )
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(x.shape))


MODELS = {
    "dense": (lambda: nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4)), (3, 8)),
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, stride=2, groups=2), nn.SiLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5), nn.LogSoftmax(-1),
        ),
        (2, 3, 16, 16),
    ),
    "transposed": (
        lambda: nn.Sequential(
            nn.Conv1d(4, 8, 3), nn.GroupNorm(2, 8), nn.ELU(), nn.ConvTranspose1d(8, 2, 4, stride=2)
        ),
        (2, 4, 12),
    ),
    "transformer": (
        lambda: nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True), (2, 5, 16)
    ),
    "attention": (Attention, None),
}  # fmt: skip


def close(got, wanted, scale):
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() <= 2e-6 * scale


@pytest.mark.parametrize("name", MODELS)
def test_training_as_in_eager(name):
    dynamic = name in ("transposed", "attention")
    make, shape = MODELS[name]
    model = make()
    reference = copy.deepcopy(model)
    run = compiled(model, dynamic=dynamic)
    for _ in range(2):
        x = torch.randint(0, 17, (2, 6)) if shape is None else torch.randn(shape)
        given = [x.clone().requires_grad_(shape is not None) for _ in range(2)]
        got, wanted = run(given[0]), reference(given[1])
        close(got, wanted, wanted.abs().max())
        weights = torch.randn_like(wanted)
        (got * weights).sum().backward()
        (wanted * weights).sum().backward()
    pairs = list(zip(model.parameters(), reference.parameters(), strict=True))
    scale = max(q.grad.abs().max() for _, q in pairs)
    for p, q in pairs:
        close(p.grad, q.grad, scale)
    for p, q in zip(model.buffers(), reference.buffers(), strict=True):
        close(p, q, 1.0)


def test_lengths_compile_nothing_new():
    model = Attention()
    run = compiled(model, dynamic=True)
    for n in (5, 6, 7, 9, 11):
        tokens = torch.randint(0, 17, (2, n))
        close(run(tokens), model(tokens), 1.0)


def test_results_can_be_written_and_are_nobody_elses():
    run = compiled(lambda x: (x + 1, x * 2, torch.zeros(3)))
    x = torch.ones(3)
    a, b, c = run(x)
    a += 1
    b.mul_(3)
    c[0] = 7
    assert (x == 1).all()
    again = run(x)
    assert [t.tolist() for t in again] == [[2.0] * 3, [2.0] * 3, [0.0] * 3]
    assert a.tolist() == [3.0] * 3
    half = compiled(lambda x: x * 2)(torch.ones(3, dtype=torch.bfloat16))
    assert half.dtype == torch.bfloat16
    assert half.tolist() == [2.0] * 3


def test_operators_that_are_missing():
    def unknown(x):
        return torch.fft.irfft(torch.fft.rfft(x), n=5) + 1

    x = torch.linspace(0, 1, 5)
    with pytest.raises(Exception, match="does not know 2 operators: aten._fft_c2r.default, "):
        compiled(unknown)(x)
    options = {"fallback": "aten"}
    torch._dynamo.reset()
    close(compiled(unknown, options=options)(x), unknown(x), 1.0)
    for wrong, message in (({"fallbak": "aten"}, "fallback"), ({"fallback": "x"}, "fallback='x'")):
        torch._dynamo.reset()
        with pytest.raises(Exception, match=message):
            compiled(unknown, options=wrong)(x)


def test_the_entry_point():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]["torch_dynamo_backends"]
    assert points == {"dlc": "dlc.interop.torch:dlc_backend"}
    assert dlc_backend.__doc__
    assert len(operators()) > 150
    assert issubclass(dlc.ModelError, ValueError)


def test_modes(monkeypatch):
    levels = []
    make = backend._compiled

    def made(*args):
        levels.append(args[-1].get("level"))
        return make(*args)

    monkeypatch.setattr(backend, "_compiled", made)
    for mode in ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"):
        torch._dynamo.reset()
        result = compiled(lambda x: x * 2, mode=mode)(torch.ones(3))
        assert result.tolist() == [2, 2, 2]
    assert levels == [None, None, "O3", "O3"]
    torch._dynamo.reset()
    with pytest.raises(Exception, match=r"DLC105: mode='max-autotun'(.|\n)*'max-autotune'"):
        compiled(lambda x: x * 2, mode="max-autotun")(torch.ones(3))


def test_nothing_is_collected_while_a_graph_is_traced_and_compiled(monkeypatch):
    collected = []
    make = backend._compiled

    def made(*args):
        collected.append(gc.isenabled())
        return make(*args)

    monkeypatch.setattr(backend, "_compiled", made)
    assert gc.isenabled()
    compiled(nn.Linear(3, 2))(torch.ones(4, 3))
    assert gc.isenabled()
    assert collected == [False]
