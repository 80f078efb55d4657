"""`dlc.nn.utils`: spectral and weight norm against PyTorch's, parametrizations of your own."""

import copy
import pickle

import numpy as np
import pytest
import torch

import dlc
from dlc import nn
from dlc.nn.utils import parametrizations, parametrize

X = np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)


def network(layers, utils):
    spectral, weight = utils.spectral_norm, utils.weight_norm
    return layers.Sequential(
        spectral(layers.Conv2d(3, 6, 3)), layers.ReLU(), spectral(layers.ConvTranspose2d(6, 4, 3)),
        weight(layers.Conv2d(4, 2, 3, groups=2)), layers.Flatten(),
        weight(layers.Linear(72, 3), dim=None),
    )  # fmt: skip


def steps(model, optimizer, x):
    def step():
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


@pytest.mark.parametrize("compiled", [False, True])
def test_norms_of_weights_train_as_in_torch(compiled):
    theirs, ours = network(torch.nn, torch.nn.utils.parametrizations), network(nn, parametrizations)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.from_numpy(X)
    their_step = steps(theirs, torch.optim.Adam(theirs.parameters(), lr=0.01), x)
    step = steps(ours, dlc.optim.Adam(ours.parameters(), lr=0.01), X)
    step = dlc.compile(step) if compiled else step
    for _ in range(3):
        assert step().item() == pytest.approx(their_step().item(), rel=1e-5)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name].numpy(), value.numpy(), atol=2e-6)
    again = pickle.loads(pickle.dumps(copy.deepcopy(ours))).eval()
    expected = theirs.eval()(x).detach().numpy()
    np.testing.assert_allclose(again(X).numpy(), expected, atol=2e-6)
    np.testing.assert_array_equal(again(X).numpy(), ours.eval()(X).numpy())  # no step of the method


def test_the_first_estimate_of_a_spectral_norm_is_near_it():
    layer = nn.utils.spectral_norm(nn.Linear(30, 20))
    largest = np.linalg.svd(layer.weight.numpy(), compute_uv=False)[0]
    assert largest == pytest.approx(1, abs=0.1)
    lookup = nn.utils.spectral_norm(nn.Linear(4, 1, bias=False), n_power_iterations=2)
    assert np.linalg.norm(lookup.weight.numpy()) == pytest.approx(1, rel=1e-5)


class Symmetric(nn.Module):
    def forward(self, x):
        return dlc.triu(x) + dlc.triu(x, 1).T

    def right_inverse(self, x):
        return dlc.triu(x)


def test_functions_of_your_own():
    layer = nn.Linear(3, 3)
    optimizer = dlc.optim.SGD(layer.parameters(), lr=0.1)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    before = layer.weight.numpy()
    parametrize.register_parametrization(layer, "weight", dlc.exp)
    np.testing.assert_allclose(layer.weight.numpy(), np.exp(before), rtol=1e-6)
    layer(np.eye(3, dtype=np.float32)).sum().backward()
    optimizer.step()  # of the variable that it was made with
    after = layer.weight.numpy()
    assert (after < np.exp(before)).all()
    np.testing.assert_array_equal(after, after.T)
    assert parametrize.is_parametrized(layer, "weight")
    parametrize.remove_parametrizations(layer, "weight")
    assert not parametrize.is_parametrized(layer)
    np.testing.assert_array_equal(layer.weight.numpy(), after)
    assert list(layer.state_dict()) == ["bias", "weight"]
    parametrize.register_parametrization(layer, "weight", Symmetric())
    layer.weight = np.float32([[1, 2, 3], [2, 4, 5], [3, 5, 6]])
    assert layer.parametrizations.weight.original.tolist() == [[1, 2, 3], [0, 4, 5], [0, 0, 6]]
    assert layer.weight.tolist() == [[1, 2, 3], [2, 4, 5], [3, 5, 6]]


def test_wrong_parametrizations():
    layer = nn.Linear(3, 2)
    with pytest.raises(dlc.ShapeError, match=r"gives f32\[3,2\], the parameter is f32\[2,3\]"):
        parametrize.register_parametrization(layer, "weight", dlc.matrix_transpose)
    assert not parametrize.is_parametrized(layer)
    with pytest.raises(dlc.ArgumentError, match=r"(?s)no parameter or buffer 'wieght'.*'weight'"):
        parametrize.register_parametrization(layer, "wieght", dlc.exp)
    with pytest.raises(dlc.ArgumentError, match=r"(?s)'kernel'.*first called"):
        nn.utils.spectral_norm(nn.Dense(3), "kernel")
    with pytest.raises(dlc.ValueRangeError, match="dim=2"):
        nn.utils.weight_norm(layer, dim=2)
    with pytest.raises(dlc.ArgumentError, match="has no parametrization"):
        parametrize.remove_parametrizations(layer, "weight")
    nn.utils.weight_norm(layer)
    with pytest.raises(dlc.ArgumentError, match="2 originals"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


def test_parameters_as_a_vector():
    layer, other = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    nn.utils.vector_to_parameters(vector, other.parameters())
    np.testing.assert_array_equal(layer(dlc.ones(3)).numpy(), other(dlc.ones(3)).numpy())
    with pytest.raises(dlc.ShapeError, match="8 elements"):
        nn.utils.vector_to_parameters(vector[1:], other.parameters())
