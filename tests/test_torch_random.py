"""Random numbers within compiled graphs: their distributions, and PyTorch's generator as state."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch_fixtures import fresh  # noqa: F401  of each test here

from dlc.interop.torch import dlc_backend
from dlc.interop.torch.random_state import next_key

N = 20000


def compiled(model, **keywords):
    return torch.compile(model, backend=dlc_backend, fullgraph=True, **keywords)


def distributions(x):
    return {
        "rand": torch.rand(N), "rand of float64": torch.rand(N, dtype=torch.float64),
        "rand_like": torch.rand_like(x), "randn": torch.randn(N, 1),
        "randn_like": torch.randn_like(x), "randint": torch.randint(7, (N,)),
        "randint from": torch.randint(-3, 5, (N,), dtype=torch.int16),
        "randint_like": torch.randint_like(x, 9), "randint_like from": torch.randint_like(x, 2, 9),
        "randperm": torch.randperm(N), "bernoulli": torch.bernoulli(x),
        "bernoulli of p": torch.empty_like(x).bernoulli_(0.3),
        "dropout": nn.functional.dropout(x, 0.3), "normal": torch.normal(x, 0.5),
        "normal of deviations": torch.normal(1.0, x), "normal of both": torch.normal(x, x),
        "normal of numbers": torch.normal(2.0, 3.0, (N,)), "normal_": x.clone().normal_(1, 2),
        "log_normal_": x.clone().log_normal_(0, 0.25), "uniform_": x.clone().uniform_(-2, 3),
        "exponential_": x.clone().exponential_(2.0), "geometric_": x.clone().geometric_(0.4),
        "random": torch.ops.aten.random(x), "random to": torch.ops.aten.random(x, 5),
        "poisson": torch.poisson(x * 5), "binomial": torch.binomial(torch.full_like(x, 9), x),
        "gamma": torch._standard_gamma(x + 1), "dirichlet": torch._sample_dirichlet(x[:9] + 1),
        "multinomial": torch.multinomial(torch.arange(5.0), N, replacement=True),
        "rrelu": nn.functional.rrelu(x - 0.5, 0.1, 0.9, training=True),
        "alpha_dropout": nn.functional.alpha_dropout(x, 0.3, training=True),
        "feature_dropout": nn.functional.dropout1d(x.reshape(10, -1, 2), 0.3).reshape(-1),
    }  # fmt: skip


def test_distributions():
    x = torch.rand(N)
    run = compiled(distributions)
    got, again, wanted = run(x), run(x), distributions(x)
    for name, sample in got.items():
        like = wanted[name]
        assert (sample.dtype, sample.shape) == (like.dtype, like.shape), name
        assert not torch.equal(sample, again[name]), name
        spread = like.double().std()
        bound = 6 * spread * (2 / sample.numel()) ** 0.5
        assert (sample.double().mean() - like.double().mean()).abs() < bound, name
        assert (sample.double().std() / spread - 1).abs() < 0.1 + (name == "dirichlet"), name
        low, high = like.min(), like.max()
        if torch.equal(like, like.round()) and high < 9:
            assert (sample.min(), sample.max()) == (low, high), name
    assert torch.equal(got["randperm"].sort().values, torch.arange(N))
    assert len({v[:3].tolist().__str__() for v in got.values()}) > len(got) - 3
    assert torch.quantile(compiled(lambda x: x.clone().cauchy_(3, 0.1))(x), 0.5).sub(3).abs() < 0.01


def test_the_seed_is_that_of_pytorch():
    run = compiled(lambda n: torch.randn(5) + n)
    zero = torch.zeros(())
    torch.manual_seed(3)
    first, second = run(zero), run(zero)
    state = torch.get_rng_state()
    third = run(zero)
    torch.manual_seed(3)
    assert torch.equal(run(zero), first)
    assert torch.equal(run(zero), second)
    torch.set_rng_state(state)
    assert torch.equal(run(zero), third)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    a, b = next_key(), next_key()
    assert a.dtype == "uint32"
    assert (a != b).any()


def test_a_graph_without_random_numbers_leaves_the_generator_alone():
    state = torch.get_rng_state()
    compiled(lambda x: x + 1)(torch.zeros(3))
    assert torch.equal(torch.get_rng_state(), state)


def test_multinomial_without_replacement():
    weights = torch.tensor([[1.0, 0.0, 3.0, 2.0], [0.0, 1.0, 1.0, 1.0]])
    drawn = compiled(lambda w: torch.multinomial(w, 3))(weights)
    assert drawn.sort().values.tolist() == [[0, 2, 3], [1, 2, 3]]
    run = compiled(lambda w: torch.multinomial(w.expand(N, 4), 1))
    share = torch.bincount(run(weights[0])[:, 0], minlength=4) / N
    assert (share - weights[0] / 6).abs().max() < 0.02


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_gradient_has_the_mask_of_the_values(dynamic):
    run = compiled(lambda x: nn.functional.dropout(x, 0.4), dynamic=dynamic)
    for n in (50, 60):
        x = torch.ones(n, 10, requires_grad=True)
        y = run(x)
        y.sum().backward()
        assert torch.equal(x.grad, y)
        assert 0 < (y == 0).sum() < y.numel()


def test_attention_with_dropout():
    def attend(q, k, v):
        return nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=0.5)

    q, k = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4)
    # With one-hot values the result is the weights: each is 0 or twice what it is without dropout.
    v = torch.eye(7).expand(2, 3, 7, 7).contiguous().requires_grad_()
    weights = compiled(attend)(q, k, v)
    plain = torch.softmax(q @ k.mT / 2, -1)
    share = (weights / plain).detach()
    assert torch.minimum(share.abs(), (share - 2).abs()).max() < 1e-5
    assert 0.3 < (share == 0).float().mean() < 0.7
    weights.sum().backward()
    wanted = weights.detach().mT.sum(-1, keepdim=True).expand_as(v)
    assert (v.grad - wanted).abs().max() < 1e-5


def test_training_with_dropout():
    model = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, batch_first=True)
    run = compiled(model)
    x = torch.randn(4, 5, 16)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        loss = (run(x) - x.flip(0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert not torch.equal(run(x), run(x))
    model.eval()
    assert torch.equal(run(x), run(x))


def test_checkpoints_draw_the_same_again():
    def run(x, w):
        def part(x):
            noise = torch.rand(10, 10, dtype=torch.float64).float()
            return torch.relu(nn.functional.dropout(torch.sin(x @ (w + noise)), 0.5)), noise

        return checkpoint(part, x, use_reentrant=False)

    x, w = torch.randn(50, 10, requires_grad=True), torch.randn(10, 10)
    y, noise = compiled(run)(x, w)
    y.sum().backward()
    # The gradient with the mask and the noise of the values.
    like = x.detach().clone().requires_grad_()
    wanted = torch.relu(torch.sin(like @ (w + noise.detach()))) * 2 * (y != 0)
    assert (y - wanted).abs().max() < 1e-5
    wanted.sum().backward()
    assert (x.grad - like.grad).abs().max() < 1e-5
    assert 0.2 < (y != 0).float().mean() < 0.3
