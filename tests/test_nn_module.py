"""Modules: attributes, names, modes, state, hooks, and as arguments of transforms."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import dlc
from dlc import nn

X = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)


class Net(nn.Module):
    """Submodules in a list and a dict, a shared one, a parameter of its own and a buffer."""

    def __init__(self):
        self.scale = dlc.Variable(np.float32(2))
        self.blocks = [nn.Linear(4, 4), nn.Linear(4, 4)]
        self.heads = {"a": nn.Linear(4, 2)}
        self.again = self.blocks[0]
        self.steps = nn.Buffer(np.int64(0))

    def forward(self, x):
        for block in (*self.blocks, self.again):
            x = dlc.tanh(block(x))
        return self.heads["a"](x) * self.scale


NAMES = [
    "scale", "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias",
    "heads.a.weight", "heads.a.bias",
]  # fmt: skip


def loss(model, x):
    return (model(x) ** 2).mean()


def by_hand(net, x):
    w = {k: v.numpy() for k, v in net.state_dict().items()}
    for name in ("blocks.0", "blocks.1", "blocks.0"):
        x = np.tanh(x @ w[f"{name}.weight"].T + w[f"{name}.bias"])
    return (x @ w["heads.a.weight"].T + w["heads.a.bias"]) * w["scale"]


def test_names_are_paths_and_each_parameter_comes_once():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == NAMES
    assert [n for n, _ in net.named_buffers()] == ["steps"]
    assert [n for n, _ in net.named_modules()] == ["", "blocks.0", "blocks.1", "heads.a"]
    assert [n for n, _ in net.named_children()] == ["blocks.0", "blocks.1", "heads.a", "again"]
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert len(list(net.parameters())) == 7
    assert len(list(net.children())) == 4
    assert len(list(net.modules())) == 4
    assert len(list(net.buffers())) == 1


def test_values_are_those_by_hand_eager_and_compiled():
    net = Net()
    wanted = by_hand(net, X)
    np.testing.assert_allclose(net(X).numpy(), wanted, rtol=1e-5, atol=1e-6)
    compiled = dlc.compile(net)
    np.testing.assert_array_equal(compiled(X).numpy(), net(X).numpy())
    assert compiled.stats.interpreted_ops == 0


def test_state_goes_out_and_in():
    net, other = Net(), Net()
    state = net.state_dict()
    assert set(state) == {*NAMES, "again.weight", "again.bias", "steps"}
    before = state["scale"].item()
    net.scale.assign(3.0)
    assert state["scale"].item() == before
    other.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(other(X).numpy(), net(X).numpy())


def test_all_that_does_not_fit_is_said_at_once_and_nothing_is_assigned():
    net = Net()
    state = {k: v.numpy() + 1 for k, v in net.state_dict().items()}
    state["scales"] = state.pop("scale")
    state["heads.a.bias"] = np.zeros(3, np.float32)
    before = net(X).numpy()
    with pytest.raises(dlc.ValueRangeError) as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    assert "scale: missing" in text
    assert "scales: not in the model; did you mean 'scale'?" in text
    assert "heads.a.bias: the model has f32[2], the state f32[3]" in text
    np.testing.assert_array_equal(net(X).numpy(), before)
    del state["heads.a.bias"]
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["scale", "heads.a.bias"], ["scales"])
    assert net.scale.item() == 2


def test_modes_reach_all_modules_and_compiled_programs():
    model = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5))
    compiled = dlc.compile(model)
    assert model.training
    assert (compiled(X).numpy() == 0).any()
    assert model.eval() is model
    assert not model[1].training
    assert not (compiled(X).numpy() == 0).any()
    model.train()
    for _ in range(3):
        assert (compiled(X).numpy() == 0).any()
    assert compiled.stats.compilations == 2
    assert compiled.stats.native_calls == compiled.stats.calls
    assert "Dropout.training" in compiled.explain()


def test_a_changed_attribute_is_not_ignored_by_compiled_programs():
    model = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5, seed=1))
    compiled = dlc.compile(model)
    compiled(X)
    compiled(X)
    model[1].p = 1.0
    assert not compiled(X).numpy().any()
    model.add(nn.Linear(64, 3))
    assert compiled(X).shape == (5, 3)
    model.pop()
    assert compiled(X).shape == (5, 64)


def test_modules_are_arguments_of_transforms():
    net = Net()
    value, gradient = dlc.value_and_grad(loss)(net, X)
    assert isinstance(gradient, Net)
    variables = list(net.parameters())
    with dlc.GradientTape() as tape:
        same = loss(net, X)
    for a, b in zip(dlc.tree.leaves(gradient), tape.gradient(same, variables), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7)
    assert value.item() == pytest.approx(same.item(), rel=1e-6)
    assert gradient.heads["a"].weight.shape == (2, 4)


def test_a_compiled_step_trains_in_place():
    net = Net()

    @dlc.compile
    def step(x):
        value, gradient = dlc.value_and_grad(loss)(net, x)
        dlc.tree.map(lambda p, g: p.assign_sub(0.1 * g), net, gradient)
        net.steps.assign_add(1)
        return value

    losses = [float(step(X)) for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]
    assert net.steps.item() == 40
    assert step.stats.compilations == 1


def test_frozen_parameters_are_no_leaves():
    net = Net()
    net.blocks[0].requires_grad_(False)
    assert len(dlc.tree.leaves(net)) == 5
    assert not net.blocks[0].trainable
    net.trainable = False
    assert dlc.tree.leaves(net) == []
    net.trainable = True
    assert len(dlc.tree.leaves(net)) == 7
    net(X).sum().backward()
    assert net.scale.grad is not None
    net.zero_grad()
    assert net.scale.grad is None


def test_what_depends_on_shapes_is_built_at_the_first_call_also_while_tracing():
    model = nn.Sequential(nn.Dense(8, activation="relu"), nn.Dense(3))
    with pytest.raises(dlc.ArgumentError, match="'0' has no parameters yet"):
        dlc.grad(loss)(model, X)
    assert dlc.compile(model)(X).shape == (5, 3)
    assert [p.shape for p in model.parameters()] == [(4, 8), (8,), (8, 3), (3,)]
    dlc.grad(loss)(model, X)
    with pytest.raises(dlc.ShapeError, match="must be known"):
        dlc.compile(nn.Dense(3)).lower(dlc.spec((2, "n")))


def test_errors_name_the_layer():
    model = nn.Sequential(Net(), nn.Linear(3, 2))
    with pytest.raises(dlc.ShapeError) as caught:
        model(X)
    assert "in layer '1' of Sequential: Linear(3, 2)" in str(caught.value)
    with pytest.raises(dlc.ShapeError, match=r"in layer '0\.blocks\.0' of Sequential"):
        model(X[:, :3])


def test_hooks_see_and_change_what_goes_through():
    layer = nn.Linear(4, 2)
    seen = []
    first = layer.register_forward_pre_hook(lambda _m, args: (args[0] * 2,))
    second = layer.register_forward_hook(lambda _m, _args, y: seen.append(y.shape))
    third = layer.register_forward_hook(lambda _m, _args, y: y + 1)
    compiled = dlc.compile(layer)
    wanted = 2 * X @ layer.weight.numpy().T + layer.bias.numpy() + 1
    np.testing.assert_allclose(compiled(X).numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert seen == [(5, 2)]
    for handle in (first, second, third):
        handle.remove()
    wanted = X @ layer.weight.numpy().T + layer.bias.numpy()
    np.testing.assert_allclose(compiled(X).numpy(), wanted, rtol=1e-5, atol=1e-6)
    first.remove()


def test_copies_are_independent():
    net = Net()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other(X).numpy(), net(X).numpy())
        other.scale.assign(0.0)
        assert net.scale.item() == 2
        assert other.again is other.blocks[0]


def test_copies_of_a_sequential_with_an_input_are_whole():
    inside = nn.Sequential(nn.Input((3,), dtype=dlc.float64, name="x"), nn.Dense(4), dlc.relu)
    net = nn.Sequential(inside, nn.Dense(2))
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    wanted = net(x).numpy()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other(x).numpy(), wanted)
        first = other[0]
        assert (first.input_shape, first.output_shape) == ((None, 3), (None, 4))
        assert first.inputs[0].dtype is dlc.float64
        # The symbolic output is that of the copy's layers.
        inside[0].kernel.assign(dlc.zeros_like(inside[0].kernel))
        model = nn.Model(first.inputs, first.outputs[0])
        np.testing.assert_array_equal(model({"x": x}).numpy(), first(x).numpy())
        assert np.any(model(x).numpy())
        first.add(nn.Dense(5))
        assert first.output_shape == (None, 5)
        assert first.pop() is not None
        assert first.output_shape == (None, 4)


def test_what_is_no_state():
    net = nn.Linear(2, 2)
    optimizer = dlc.optim.Adam(net.parameters(), lr=0.1)
    for owner in (net, optimizer, dlc.metrics.Mean()):
        for given, said in (
            ("net.safetensors", "the state is a str"),
            ([1.0], "the state is a list"),
            ({**owner.state_dict(), 3: 1.0}, "has 3 for a name"),
        ):
            with pytest.raises(dlc.ArgumentError, match=said):
                owner.load_state_dict(given)


@pytest.mark.parametrize("given", [[np.ones((2, 2))] * 2, [[1.0, 2.0]], None, 3])
def test_what_is_no_tensor(given):
    for layer in (nn.Linear(2, 3), nn.BatchNorm1d(2), nn.Flatten(), nn.Sequential(nn.Linear(2, 3))):
        with pytest.raises(dlc.ArgumentError, match="where the layer takes a tensor"):
            layer(given)


def test_weights_that_there_are_not_yet(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.Dense(4))
    with pytest.raises(dlc.ArgumentError, match="'1' have no parameters yet"):
        model.save_weights(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())
    model(dlc.ones((1, 2)))
    model.save_weights(tmp_path / "a.safetensors")
    model.load_weights(tmp_path / "a.safetensors")


def test_state_for_layers_that_have_no_parameters_yet():
    state = {"0.kernel": np.ones((4, 3), np.float32), "0.bias": np.ones(3, np.float32)}
    net = nn.Sequential(nn.Dense(3))
    with pytest.raises(
        dlc.ValueRangeError, match=r"0.kernel: not in the model(.|\n)*call the model"
    ):
        net.load_state_dict(state)
    net(np.ones((2, 4), np.float32))
    net.load_state_dict(state)
    with pytest.raises(dlc.ValueRangeError, match="strict=False"):
        net.load_state_dict({**state, "1.bias": state["0.bias"]})


def test_a_module_that_does_not_compute_says_so():
    class Empty(nn.Module):
        pass

    with pytest.raises(dlc.ArgumentError, match="no method forward"):
        Empty()(X)


def test_repr_shows_the_tree():
    assert repr(nn.Sequential(nn.Linear(4, 2, bias=False), nn.Dropout())) == (
        "Sequential(\n  (0): Linear(4, 2, bias=False)\n  (1): Dropout(p=0.5)\n)"
    )


def test_containers():
    layers = [nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)]
    model = nn.Sequential(layers)
    assert model.layers == layers
    assert list(model) == layers
    assert model[-1] is layers[2]
    assert model[:2](X).shape == (5, 4)
    with pytest.raises(dlc.IndexRangeError):
        model[3]
    with pytest.raises(dlc.ArgumentError, match="cannot be called"):
        model.add(3)
    named = nn.Sequential({"first": layers[0], "last": layers[2]})
    assert next(n for n, _ in named.named_parameters()) == "first.weight"
    assert len(nn.ModuleList(layers[:1]).append(layers[2]).extend([layers[1]])) == 3
    heads = nn.ModuleDict({"a": layers[0]})
    heads["b"] = layers[2]
    assert list(heads.keys()) == list(heads) == ["a", "b"]
    assert "b" in heads
    assert [v for _, v in heads.items()] == list(heads.values())
    with pytest.raises(dlc.ValueRangeError, match="no module"):
        heads["c"]


def test_layers_of_containers_are_modules_alone():
    class Block(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(4, 4, bias=False))
            self.width, self.loss, self.scale = 4, dlc.losses.mean_squared_error, nn.Parameter(2.0)
            self.act = nn.ReLU()
            self.add_module("last", nn.Linear(4, 2))

        def forward(self, x):
            return super().forward(x) * self.scale

    block = Block()
    assert block.layers == [block[0], block.act, block.last]
    scale, first, last, bias = weights = [p.numpy() for p in block.parameters()]
    by_hand = (np.maximum(X @ first.T, 0) @ last.T + bias) * scale
    np.testing.assert_allclose(block(X).numpy(), by_hand, rtol=1e-5, atol=1e-6)
    gradient = dlc.compile(dlc.grad(loss))(block, X)
    assert [g.shape for g in dlc.tree.leaves(gradient)] == [w.shape for w in weights]
    assert len(copy.deepcopy(block)) == 3
    for name in ("items", "train"):
        with pytest.raises(dlc.ArgumentError, match=f"{name!r}, which is a method"):
            nn.ModuleDict({name: nn.ReLU()})


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_lists_of_layers_are_changed_as_lists(kind):
    a, b, c, d = (nn.Linear(4, 4) for _ in range(4))
    layers = kind([a, b])
    layers[-1] = c
    layers.insert(1, dlc.relu)
    layers.insert(0, d)
    assert list(layers) == [d, a, dlc.relu, c]
    assert list(layers.state_dict()) == [f"{k}.{n}" for k in (0, 1, 3) for n in ("weight", "bias")]
    del layers[1:3]
    assert list(layers) == [d, c]
    assert [n for n, _ in layers.named_modules()] == ["", "0", "1"]
    assert list(layers.extend([a])) == [d, c, a]
    del layers[0]
    assert list(layers) == [c, a]
    with pytest.raises(dlc.IndexRangeError, match="item 2 of a"):
        layers[2] = d


def test_a_part_of_a_sequential_keeps_names_and_a_changed_one_its_input():
    model = nn.Sequential(nn.Input((4,)), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    assert list(model[2:].state_dict()) == ["2.weight", "2.bias"]  # PyTorch's
    model[2] = nn.Linear(5, 7)
    assert model.output_shape == (None, 7)
    del model[2]
    assert model.output_shape == (None, 5)


def test_containers_of_parameters():
    class Both(nn.Module):
        def __init__(self):
            self.several = nn.ParameterList([np.float32([1, 2])]).append(nn.Parameter(3.0))
            self.named = nn.ParameterDict({"a": np.float32([5, 7])})

        def forward(self, x):
            return x * self.several[0] * self.named["a"] + sum(p.sum() for p in self.several)

    both = Both()
    names = ["several.0", "several.1", "named.a"]  # PyTorch's
    assert [n for n, _ in both.named_parameters()] == list(both.state_dict()) == names
    assert both(2.0).tolist() == dlc.compile(both)(2.0).tolist() == [16, 34]
    both(2.0).sum().backward()
    assert both.named["a"].grad.tolist() == [2, 4]
    both.several[-1] = np.float32(4)
    both.named.update({"b": np.ones(3)})
    assert len(both.several) == 2
    assert both.several[1].requires_grad
    assert both.several[1].item() == 4
    del both.named["a"]
    assert list(both.named.items()) == [("b", both.named["b"])]
    assert len(both.several[:1]) == 1
    again = pickle.loads(pickle.dumps(nn.ModuleList([both.several, both.named])))
    assert list(again.state_dict()) == ["0.0", "0.1", "1.b"]
    for wrong in (lambda: both.named["c"], lambda: both.several[2], lambda: both.several[0:1][1]):
        with pytest.raises(dlc.DlcError, match="parameter|item [12]"):
            wrong()
    with pytest.raises(dlc.IndexRangeError, match="item 2"):
        both.several[2] = 1.0
    with pytest.raises(dlc.ValueRangeError, match="no parameter 'a'"):
        del both.named["a"]


def test_apply_reaches_all():
    net, found = Net(), []
    net.apply(lambda m: found.append(type(m).__name__))
    assert found == ["Net", "Linear", "Linear", "Linear"]
    del net.heads
    assert len(list(net.modules())) == 3


def test_buffers_that_are_not_saved():
    class Rotary(nn.Module):
        def __init__(self):
            self.register_buffer("table", np.ones(3, np.float32), persistent=False)
            self.register_buffer("count", np.int64(0))

        def forward(self, x):
            return x * self.table

    model = nn.Sequential(Rotary())
    assert list(model.state_dict()) == ["0.count"]  # PyTorch's
    assert [n for n, _ in copy.deepcopy(model).named_buffers()] == ["0.table", "0.count"]
    model.load_state_dict({"0.count": 3})
    with pytest.raises(dlc.ValueRangeError, match="0.table: not in the model"):
        model.load_state_dict({"0.count": 3, "0.table": np.ones(3)})
    assert dlc.compile(model)(2.0).tolist() == [2, 2, 2]
    model[0].register_buffer("table", np.zeros(3, np.float32))
    assert list(model.state_dict()) == ["0.table", "0.count"]
