"""Paths, element types, registration and the table of a module; and the page that lists layers."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import dlc
from dlc import nn

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


class Tied(nn.Module):
    """A parameter that two layers share, one in a list, and a buffer."""

    def __init__(self):
        self.first = nn.Linear(4, 4)
        self.rest = [nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4)]
        self.rest[0].weight = self.first.weight

    def forward(self, x):
        return self.rest[1](self.rest[0](self.first(x)))


def test_paths():
    model = Tied()
    assert model.get_submodule("rest.1") is model.rest[1]
    assert model.get_submodule("") is model
    assert model.get_parameter("rest.0.weight") is model.first.weight
    assert model.get_buffer("rest.1.running_mean") is model.rest[1].running_mean
    for call, path, near in (
        (model.get_submodule, "rest.2", "rest.1"),
        (model.get_parameter, "first.wieght", "first.weight"),
        (model.get_buffer, "rest.1.runing_mean", "rest.1.running_mean"),
    ):
        with pytest.raises(dlc.ValueRangeError, match=re.escape(f"did you mean '{near}'")):
            call(path)


def test_a_shared_parameter_counts_once_and_stays_shared():
    model = Tied()
    names = [n for n, _ in model.named_parameters()]
    assert names == ["first.weight", "first.bias", "rest.1.weight", "rest.1.bias"]
    assert "28 parameters" in summary_of(model)
    for other in (model.to(dlc.float64), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert len(list(other.parameters())) == 4
        if other is model:
            assert other.rest[0].weight is other.first.weight


def summary_of(model, *inputs):
    from dlc.nn.summary import summary

    return summary(model, tuple(map(dlc.spec, inputs)))


@pytest.mark.parametrize("name", ["half", "bfloat16", "float", "double"])
def test_other_element_types(name):
    dtype = {"half": "float16", "float": "float32", "double": "float64"}.get(name, name)
    wanted = getattr(dlc, dtype)
    model = Tied().eval()
    before = model(X).numpy()
    compiled = dlc.compile(model)
    compiled(X)
    model.first.bias.requires_grad = False
    assert getattr(model, name)() is model
    assert {p.dtype for p in model.parameters()} == {wanted}
    assert model.rest[1].running_var.dtype is wanted
    assert model.rest[1].num_batches_tracked.dtype is dlc.int64
    assert not model.first.bias.requires_grad
    got = compiled(dlc.asarray(X, dtype=wanted))
    assert got.dtype is wanted
    np.testing.assert_allclose(got.astype("f32").numpy(), before, rtol=0.05, atol=0.05)


def test_to_takes_types_and_devices():
    model = nn.Sequential(nn.Dense(3), nn.Embedding(5, 2))
    assert model.to("cpu").to("float64").to(device="cpu", dtype=dlc.bfloat16) is model
    assert model[1].weight.dtype is dlc.bfloat16
    assert model[0](dlc.ones((2, 4), dtype="bf16")).dtype is dlc.bfloat16
    with pytest.raises(dlc.DeviceError, match="cuda"):
        model.to("cuda:0")
    with pytest.raises(dlc.DTypeError, match="floats"):
        model.to(dlc.int32)


def test_registering():
    module = nn.Module()
    module.register_parameter("w", nn.Parameter([1.0]))
    module.register_parameter("none", None)
    module.register_buffer("b", [2.0])
    assert [n for n, _ in module.named_parameters()] == ["w"]
    assert [n for n, _ in module.named_buffers()] == ["b"]
    assert module.none is None
    for wrong in (3.0, dlc.Variable([1])):
        with pytest.raises(dlc.ArgumentError, match="register_buffer"):
            module.register_parameter("x", wrong)


def test_weights_that_are_added():
    class Own(nn.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")
            self.steps = self.add_weight((), dtype="int64", trainable=False)
            self.mean = self.add_weight(3, "zeros", trainable=False)

        def call(self, x):
            return x * self.scale

    layer = Own(name="mine", dtype="float64")
    assert layer(X).dtype is dlc.float64
    assert layer.name == "mine"
    assert [n for n, _ in layer.named_parameters()] == ["scale"]
    assert [n for n, _ in layer.named_buffers()] == ["steps", "mean"]
    assert layer.steps.dtype is dlc.int64
    assert not layer.mean.requires_grad


def test_evaluation_gives_each_module_its_own_mode_back():
    model = nn.Sequential(nn.Dense(4), nn.Dropout(0.5), nn.BatchNormalization())
    model.compile("sgd", "mse")
    model(X)
    model[2].eval()
    model.predict(X)
    model.evaluate(X, X, verbose=0)
    assert [m.training for m in model.layers] == [True, True, False]
    assert model.training


def test_what_is_frozen_stays_also_in_steps_that_are_compiled():
    model = nn.Sequential(nn.Input((4,)), nn.Dense(8), nn.BatchNormalization(), nn.Dense(4))
    model.compile("adam", "mse")
    model.fit(X, X, verbose=0)
    for trained in (False, True):
        model[0].trainable = model[1].trainable = trained
        before = {n: v.numpy().copy() for n, v in model.state_dict().items()}
        model.fit(X, X, verbose=0)
        same = {n for n, v in model.state_dict().items() if (v.numpy() == before[n]).all()}
        assert same == (set() if trained else {n for n in before if n[0] != "2"})


GRAPH = """
layer                     output shape  parameters  connected to
----------------------------------------------------------------
a: Input                  (batch, 4)             0
shared: Dense             (batch, 4)            20  a
shared: Dense             (batch, 4)             0  shared
concatenate: Concatenate  (batch, 8)             0  shared, a
----------------------------------------------------------------
20 parameters, 4 of them trained; 0 other numbers of state
""".strip()


def test_the_table_of_a_graph(capsys):
    a = nn.Input((4,), name="a")
    shared = nn.Dense(4, name="shared")
    model = nn.Model(a, nn.Concatenate()([shared(shared(a) * 2), a]))
    shared.kernel.requires_grad = False
    model.summary()
    assert capsys.readouterr().out.strip() == GRAPH


def test_the_table_takes_the_arguments_of_keras():
    inside = nn.Sequential([nn.Dense(2), nn.ReLU()])
    model = nn.Sequential([nn.Input((4,)), nn.Dense(3, name="first"), inside, nn.Dense(1)])
    model.layers[0].trainable = False
    texts = []

    def rows(model=model, **keywords):
        model.summary(print_fn=texts.append, **keywords)
        return texts[-1].splitlines()

    shown = rows(show_trainable=True)
    assert [line.split()[-1] for line in shown[:8]] == [
        "trained", "-" * len(shown[1]), "Y", "N", "Y", "Y", "-", "Y",
    ]  # fmt: skip
    assert [line.split()[0] for line in rows(expand_nested=False)[2:6]] == [
        "Sequential", "0:", "1:", "2:",
    ]  # fmt: skip
    assert [line.split()[:2] for line in rows(layer_range=("fir.*", "1"))[2:-2]] == [
        ["0:", "Dense"], ["1:", "Sequential"], ["0:", "Dense"], ["1:", "ReLU"],
    ]  # fmt: skip
    with pytest.raises(dlc.ValueRangeError, match="no layer is called 'frist'"):
        rows(layer_range=("frist", "1"))
    with pytest.raises(dlc.ValueRangeError, match="'2' comes after 'first'"):
        rows(layer_range=("2", "first"))
    for width in (30, 60):
        lines = rows(line_length=width)
        assert {len(line) for line in lines[:-1]} == {width}
    lines = rows(line_length=50, positions=[0.26, 0.7, 1.0])
    assert lines[0] == "layer".ljust(15) + "output shape".ljust(20) + "     parameters"
    assert "  1: Seque...  (batch, 2)" in lines[4]
    with pytest.raises(dlc.ValueRangeError, match="positions has 1 of 3 columns"):
        rows(positions=[1.0])
    image = nn.Input((4,), name="image")
    graph = nn.Model(image, nn.Sequential([nn.Dense(2)], name="block")(image))
    assert len(rows(graph, expand_nested=True)) == len(rows(graph)) + 1


def test_the_table_of_layers_with_an_input():
    text = summary_of(nn.Sequential(nn.Input((6,)), nn.Dense(3), nn.ReLU()))
    assert re.search(r"0: Dense +\(batch, 3\) +21", text)
    assert re.search(r"1: ReLU +\(batch, 3\) +0", text)
    assert "0: Dense" in summary_of(nn.Sequential(nn.Dense(3)), "f32[2,6]")


def test_names_of_layers():
    wanted = {
        nn.Conv2D: "conv2d", nn.BatchNormalization: "batch_normalization", nn.GELU: "gelu",
        nn.GlobalAveragePooling2D: "global_average_pooling2d", nn.Linear: "linear",
        nn.Conv2DTranspose: "conv2d_transpose",
    }  # fmt: skip
    for layer, name in wanted.items():
        assert layer.__new__(layer).name == name


PAGE = (Path(__file__).parent.parent / "docs" / "layers.md").read_text()
NOT_THERE = {"RandomState"}  # what no user makes


def test_the_page_lists_every_layer():
    known = {
        n: v
        for n, v in vars(nn).items()
        if isinstance(v, type) and v.__module__.startswith("dlc.nn")
    }
    named = set()
    for word in re.findall(r"`(\w+#?\w*)", PAGE):
        named.update(word.replace("#", str(k)) for k in (1, 2, 3) if "#" in word)
        named.add(word)
    missing = {n for n, v in known.items() if n not in named | NOT_THERE}
    assert {n for n in missing if not known[n].__module__.startswith("dlc.nn.sequence")} == set()
    for row in PAGE.partition("| products")[2].partition("\n\n")[0].splitlines():
        for word in re.findall(r"`([A-Z]\w*#?\w*)", row):
            assert hasattr(nn, word.replace("#", "2")), word


def test_functional_call_takes_the_parameters_as_an_argument():
    x = np.random.default_rng(0).standard_normal((5, 3)).astype("f")
    nets = [nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(3)]
    call = nn.utils.functional_call
    named = [dict(n.named_parameters()) for n in nets]
    stacked = {k: dlc.stack([n[k] for n in named]) for k in named[0]}
    rows = dlc.vmap(lambda v: call(nets[0], v, x))(stacked)
    for row, net in zip(rows, nets, strict=True):
        assert np.allclose(row.numpy(), net(x).numpy(), rtol=1e-5, atol=1e-6)
    loss = dlc.compile(dlc.grad(lambda v, x: call(nets[1], ({}, v), (x,)).sum()))
    assert np.allclose(loss(named[1], x)["2.bias"].numpy(), [5, 5])
    shifted = call(nets[0], {"2.bias": named[0]["2.bias"] + 1}, x)  # the others stay its own
    assert np.allclose(shifted.numpy(), nets[0](x).numpy() + 1, rtol=1e-5, atol=1e-6)
    for values, error, words in (
        ({"2.bais": x}, ValueError, "did you mean '2.bias'"),
        ({"2.bias": np.zeros(3)}, ValueError, r"of shape \(2,\), and the value of shape \(3,\)"),
        (3, TypeError, "must be a dict"),
        ((named[0], named[0]), ValueError, "in two of the dicts"),
    ):
        with pytest.raises(error, match=words):
            call(nets[0], values, x)
    with pytest.raises(ValueError, match="no value for 0.bias"):
        call(nets[0], {k: v for k, v in named[0].items() if k != "0.bias"}, x, strict=True)


def test_functional_call_assigns_to_variables_alone():
    x, norm = np.float32([[1.0], [3.0]]), nn.BatchNorm1d(1)
    state = {k: dlc.asarray(v) for k, v in norm.state_dict().items()}
    with pytest.raises(TypeError, match="the module assigns to .*, and a tensor never changes"):
        nn.utils.functional_call(norm, state, x)
    held = {k: dlc.Variable(v) for k, v in state.items()}
    nn.utils.functional_call(norm, held, x)
    assert np.isclose(held["running_mean"].numpy()[0], 0.2)
    assert norm.running_mean.numpy()[0] == 0
    got = nn.utils.functional_call(norm.eval(), state, x)
    assert np.allclose(got.numpy(), x, rtol=1e-4)


@pytest.mark.parametrize("decay", [None, 0.75])
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averaged_models_are_pytorchs(decay, use_buffers):
    rng = np.random.default_rng(3)
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    ours = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    swa = torch.optim.swa_utils
    wanted = swa.AveragedModel(
        theirs, avg_fn=None if decay is None else swa.get_ema_avg_fn(decay), use_buffers=use_buffers
    )
    average = None if decay is None else nn.utils.get_ema_avg_fn(decay)
    got = nn.utils.AveragedModel(ours, average, use_buffers)
    update = dlc.compile(lambda: got.update_parameters(ours))
    for step in range(4):
        state = {k: rng.random(v.shape, np.float32) for k, v in ours.state_dict().items()}
        state["1.num_batches_tracked"] = np.int64(step)
        ours.load_state_dict(state)
        theirs.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()})
        update() if step % 2 else got.update_parameters(ours)
        wanted.update_parameters(theirs)
    for name, value in wanted.state_dict().items():
        if not (use_buffers and "num_batches" in name):  # an average of counts, there
            assert np.allclose(got.state_dict()[name].numpy(), value.numpy(), atol=1e-6), name
    x = rng.standard_normal((5, 3)).astype("f")
    assert np.array_equal(got.eval()(x).numpy(), got.module(x).numpy())
    batches = [rng.standard_normal((6, 3)).astype("f") for _ in range(3)]
    nn.utils.update_bn([(b, 0) for b in batches], got)
    swa.update_bn([torch.as_tensor(b) for b in batches], wanted)
    for name in ("running_mean", "running_var"):
        held = getattr(wanted.module[1], name).numpy()
        assert np.allclose(getattr(got.module[1], name).numpy(), held, rtol=1e-4, atol=1e-5)
    assert (got.training, got.module[1].momentum) == (False, 0.1)
    with pytest.raises(TypeError, match="other parameters"):
        got.update_parameters(nn.Linear(3, 4))
    with pytest.raises(TypeError, match="no parameters yet"):
        nn.utils.AveragedModel(nn.Dense(3))
