"""Published architectures: against PyTorch's functions with the same weights, names, files."""

from __future__ import annotations

import json
import sys
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as tf

import dlc
from dlc import models, nn
from dlc.models import generation
from dlc.models.resnet import BasicBlock, Bottleneck

RNG = np.random.default_rng(2)


@pytest.fixture(autouse=True)
def one_thread():
    """PyTorch's threads cost more than they save on models of this size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def noisy(model):
    """The model in evaluation with other values, and these as PyTorch's tensors."""
    state = {}
    for name, value in model.state_dict(random=False).items():
        held = value.numpy()
        if held.dtype.kind == "f":
            held = held + 0.1 * draw(*held.shape)
        state[name] = np.abs(held) if name.endswith("running_var") else held
    model.load_state_dict(state)
    held = model.state_dict(random=False)  # some parameters have two names
    return model.eval(), {k: torch.tensor(v.numpy()) for k, v in held.items()}


def check(model, inputs, wanted, tolerance=2e-5, eager=True):
    """Compiled natively, and eager."""
    wanted = wanted.detach().numpy()
    compiled = dlc.compile(model)
    for call in (compiled, model) if eager else (compiled,):
        got = call(*inputs)
        got = (got[0] if isinstance(got, tuple) else got).numpy()
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
    assert compiled.stats.interpreted_ops == 0


class Weights:
    """PyTorch's functions of weights by name."""

    def __init__(self, state):
        self.state = state

    def get(self, name, *kinds):
        return [self.state.get(f"{name}.{k}") for k in kinds]

    def conv(self, name, x, **settings):
        return tf.conv2d(x, *self.get(name, "weight", "bias"), **settings)

    def norm(self, name, x):
        mean, var, weight, bias = self.get(name, "running_mean", "running_var", "weight", "bias")
        return tf.batch_norm(x, mean, var, weight, bias)

    def linear(self, name, x):
        return tf.linear(x, *self.get(name, "weight", "bias"))


def torch_resnet(w, x, kind, counts):
    x = tf.relu(w.norm("bn1", w.conv("conv1", x, stride=2, padding=3)))
    x = tf.max_pool2d(x, 3, 2, 1)
    for k, count in enumerate(counts, 1):
        for place in range(count):
            at, stride, shortcut, y = f"layer{k}.{place}", 2 if k > 1 and not place else 1, x, x
            steps = [(3, stride), (3, 1)] if kind is BasicBlock else [(1, 1), (3, stride), (1, 1)]
            for n, (window, step) in enumerate(steps, 1):
                y = w.conv(f"{at}.conv{n}", y, stride=step, padding=window // 2)
                y = w.norm(f"{at}.bn{n}", y)
                y = tf.relu(y) if n < len(steps) else y
            if f"{at}.downsample.0.weight" in w.state:
                shortcut = w.norm(
                    f"{at}.downsample.1", w.conv(f"{at}.downsample.0", x, stride=stride)
                )
            x = tf.relu(y + shortcut)
    return w.linear("fc", x.mean((2, 3)))


@pytest.mark.parametrize(("kind", "counts"), [(BasicBlock, [2, 1, 1]), (Bottleneck, [1, 2])])
def test_residual_networks(kind, counts):
    model, state = noisy(models.ResNet(kind, counts, num_classes=5, width=8))
    x = draw(2, 3, 40, 33)
    check(model, [x], torch_resnet(Weights(state), torch.tensor(x), kind, counts))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg(batch_norm):
    model, state = noisy(models.VGG([[4], [6, 8]], 5, batch_norm, hidden=12))
    x, w = draw(2, 3, 32, 30), Weights(state)
    y, place = torch.tensor(x), 0
    for part in (1, 2):
        for _ in range(part):
            y = w.conv(f"features.{place}", y, padding=1)
            y = tf.relu(w.norm(f"features.{place + 1}", y) if batch_norm else y)
            place += 3 if batch_norm else 2
        y, place = tf.max_pool2d(y, 2, 2), place + 1
    y = tf.adaptive_avg_pool2d(y, (7, 7)).flatten(1)
    for k in (0, 3, 6):
        y = w.linear(f"classifier.{k}", y)
        y = tf.relu(y) if k < 6 else y
    check(model, [x], y)


def test_mobile_net():
    model, state = noisy(models.MobileNetV2(5, width_mult=0.25))
    x, w = draw(1, 3, 64, 64), Weights(state)

    def block(at, y, **settings):
        return tf.relu6(w.norm(f"{at}.1", w.conv(f"{at}.0", y, **settings)))

    y, place = block("features.0", torch.tensor(x), stride=2, padding=1), 0
    plan = [(1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1)]
    for expansion, count, first in plan:
        for k in range(count):
            place += 1
            at, before, part = f"features.{place}.conv", y, 0
            if expansion > 1:
                y, part = block(f"{at}.0", y), 1
            stride = 1 if k else first
            y = block(f"{at}.{part}", y, stride=stride, padding=1, groups=y.shape[1])
            y = w.norm(f"{at}.{part + 2}", w.conv(f"{at}.{part + 1}", y))
            y = before + y if stride == 1 and y.shape == before.shape else y
    y = block("features.18", y)
    check(model, [x], w.linear("classifier.1", y.mean((2, 3))), 1e-4, eager=False)


@pytest.mark.parametrize("bilinear", [False, True])
def test_u_net(bilinear):
    model, state = noisy(models.UNet(2, 3, bilinear, width=4))
    x, w = draw(1, 2, 37, 50), Weights(state)

    def double(at, y):
        for k in (0, 3):
            y = w.conv(f"{at}.double_conv.{k}", y, padding=1)
            y = tf.relu(w.norm(f"{at}.double_conv.{k + 1}", y))
        return y

    held = [double("inc", torch.tensor(x))]
    for k in range(1, 5):
        held.append(double(f"down{k}.maxpool_conv.1", tf.max_pool2d(held[-1], 2)))
    y = held.pop()
    for k in range(1, 5):
        before = held.pop()
        if bilinear:
            y = tf.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
        else:
            y = tf.conv_transpose2d(y, *w.get(f"up{k}.up", "weight", "bias"), stride=2)
        down, right = (before.shape[a] - y.shape[a] for a in (2, 3))
        y = tf.pad(y, [right // 2, right - right // 2, down // 2, down - down // 2])
        y = double(f"up{k}.conv", torch.cat([before, y], 1))
    check(model, [x], w.conv("outc.conv", y), 1e-4, eager=False)


def torch_layer(extent, heads, inner, values, eps, activation, first):
    """PyTorch's layer of an encoder with these values, in its own order."""
    layer = torch.nn.TransformerEncoderLayer(
        extent, heads, inner, 0.0, activation, eps, batch_first=True, norm_first=first
    )
    layer.load_state_dict(dict(zip(layer.state_dict(), values, strict=True)))
    return layer.train()  # without dropout; without the fast path


def kinds(state, *names):
    return [state[f"{n}.{k}"] for n in names for k in ("weight", "bias")]


GPT2 = models.GPT2Config(vocab_size=13, n_positions=16, n_embd=12, n_layer=2, n_head=3)
TOKENS = RNG.integers(0, 13, (3, 7))


def torch_gpt2(state, tokens):
    s = {k.removeprefix("transformer."): v for k, v in state.items()}
    t = torch.tensor(tokens)
    x = s["wte.weight"][t] + s["wpe.weight"][: t.shape[1]]
    mask = torch.nn.Transformer.generate_square_subsequent_mask(t.shape[1])
    for k in range(GPT2.n_layer):
        names = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
        values = [v.T if v.ndim == 2 else v for v in kinds(s, *(f"h.{k}.{n}" for n in names))]
        values += kinds(s, f"h.{k}.ln_1", f"h.{k}.ln_2")
        gelu = lambda x: tf.gelu(x, approximate="tanh")  # noqa: E731
        x = torch_layer(12, 3, 48, values, 1e-5, gelu, True)(x, mask)
    x = tf.layer_norm(x, (12,), *kinds(s, "ln_f"))
    return x @ s["wte.weight"].T


def test_gpt2():
    model, state = noisy(models.GPT2LMHeadModel(GPT2))
    assert model.lm_head.weight is model.transformer.wte.weight
    check(model, [TOKENS], torch_gpt2(state, TOKENS))
    with pytest.raises(dlc.ShapeError, match="at most 16 steps"):
        model(np.zeros((1, 17), int))
    untied = models.GPT2LMHeadModel(models.GPT2Config.from_dict({
        "vocab_size": 13, "n_embd": 4, "n_layer": 1, "n_head": 1, "tie_word_embeddings": False,
    }))  # fmt: skip
    assert untied.lm_head.weight is not untied.transformer.wte.weight


def test_gpt2_writes_what_it_would_read():
    model, _ = noisy(models.GPT2LMHeadModel(GPT2))
    tokens = TOKENS.copy()
    for _ in range(9):
        last = model(tokens).numpy()[:, -1]
        tokens = np.concatenate([tokens, last.argmax(-1)[:, None]], 1)
    np.testing.assert_array_equal(model.generate(TOKENS, 9).numpy(), tokens)
    np.testing.assert_array_equal(model.generate(TOKENS, 0).numpy(), TOKENS)
    key = dlc.random.key(4)
    drawn = model.generate(TOKENS, 9, temperature=2.0, key=key).numpy()
    np.testing.assert_array_equal(
        drawn, model.generate(TOKENS, 9, temperature=2.0, key=key).numpy()
    )
    assert (drawn[:, :7] == TOKENS).all()
    assert (drawn != tokens).any()
    assert drawn.min() >= 0
    assert drawn.max() < 13
    likely = model.generate(TOKENS, 1, temperature=5.0, top_k=2, key=key).numpy()[:, -1]
    best = np.argsort(model(TOKENS).numpy()[:, -1], -1)[:, -2:]
    assert all(t in row for t, row in zip(likely, best, strict=True))
    cold = model.generate(TOKENS, 4, temperature=0.7, top_k=1).numpy()
    np.testing.assert_array_equal(cold, tokens[:, :11])
    for settings, error in (
        ({"max_new_tokens": 10}, dlc.ShapeError),
        ({"max_new_tokens": 2, "temperature": -1.0}, dlc.ValueRangeError),
        ({"max_new_tokens": 2, "top_k": 0, "temperature": 1.0}, dlc.ValueRangeError),
        ({"max_new_tokens": -1}, dlc.ValueRangeError),
    ):
        with pytest.raises(error):
            model.generate(TOKENS, **settings)


BERT = models.BertConfig(13, 12, 2, 3, 20, max_position_embeddings=9, num_labels=4)


def torch_bert(s, tokens, mask, types_):
    t, at = torch.tensor(tokens), "bert.embeddings"
    x = s[f"{at}.word_embeddings.weight"][t] + s[f"{at}.position_embeddings.weight"][: t.shape[1]]
    x = x + s[f"{at}.token_type_embeddings.weight"][torch.tensor(types_)]
    x = tf.layer_norm(x, (12,), *kinds(s, f"{at}.LayerNorm"), eps=1e-12)
    for k in range(2):
        at = f"bert.encoder.layer.{k}"
        each = [kinds(s, f"{at}.attention.self.{n}") for n in ("query", "key", "value")]
        names = ("attention.output.dense", "intermediate.dense", "output.dense")
        values = [torch.cat(v) for v in zip(*each, strict=True)]
        values += kinds(s, *(f"{at}.{n}" for n in names))
        values += kinds(s, f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm")
        layer = torch_layer(12, 3, 20, values, 1e-12, "gelu", False)
        x = layer(x, src_key_padding_mask=torch.tensor(mask == 0))
    return x


def test_bert():
    mask = np.array([[1] * 7, [1] * 3 + [0] * 4, [1] * 6 + [0]])
    types_ = RNG.integers(0, 2, TOKENS.shape)
    inputs = [TOKENS, mask, types_]
    model, state = noisy(models.BertForMaskedLM(BERT))
    x = torch_bert(state, *inputs)
    y = tf.gelu(tf.linear(x, *kinds(state, "cls.predictions.transform.dense")))
    y = tf.layer_norm(y, (12,), *kinds(state, "cls.predictions.transform.LayerNorm"), eps=1e-12)
    table = state["bert.embeddings.word_embeddings.weight"]
    check(model, inputs, tf.linear(y, table, state["cls.predictions.bias"]))
    model, state = noisy(models.BertForSequenceClassification(BERT))
    x = torch.tanh(tf.linear(torch_bert(state, *inputs)[:, 0], *kinds(state, "bert.pooler.dense")))
    check(model, inputs, tf.linear(x, *kinds(state, "classifier")))
    check(model.bert, inputs, torch_bert(state, *inputs))
    with pytest.raises(dlc.ShapeError, match="at most 9"):
        model(np.zeros((1, 10), int))


VIT = models.ViTConfig(12, 2, 3, 20, image_size=8, patch_size=4, num_labels=5)


def test_vision_transformer():
    model, s = noisy(models.ViTForImageClassification(VIT))
    images = draw(2, 3, 8, 8)
    at = "vit.embeddings"
    x = tf.conv2d(torch.tensor(images), *kinds(s, f"{at}.patch_embeddings.projection"), stride=4)
    x = torch.cat([s[f"{at}.cls_token"].expand(2, 1, 12), x.flatten(2).mT], 1)
    x = x + s[f"{at}.position_embeddings"]
    for k in range(2):
        at = f"vit.encoder.layer.{k}"
        each = [kinds(s, f"{at}.attention.attention.{n}") for n in ("query", "key", "value")]
        names = (
            "attention.output.dense", "intermediate.dense", "output.dense", "layernorm_before",
            "layernorm_after",
        )  # fmt: skip
        values = [torch.cat(v) for v in zip(*each, strict=True)]
        values += kinds(s, *(f"{at}.{n}" for n in names))
        x = torch_layer(12, 3, 20, values, 1e-12, "gelu", True)(x)
    x = tf.layer_norm(x, (12,), *kinds(s, "vit.layernorm"), eps=1e-12)
    check(model.vit, [images], x)
    check(model, [images], tf.linear(x[:, 0], *kinds(s, "classifier")))
    with pytest.raises(dlc.ShapeError, match="8, 8"):
        model(draw(2, 3, 8, 9))


def count(model):
    return sum(int(np.prod(p.shape)) for p in model.parameters())


def test_numbers_of_parameters_are_the_published_ones():
    assert count(models.resnet18()) == 11_689_512
    n, v, p = 12, 13, 16
    assert count(models.GPT2LMHeadModel(GPT2)) == (v + p) * n + 2 * (12 * n * n + 13 * n) + 2 * n


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "resnet101", "resnet152"])
def test_deep_residual_networks_have_their_blocks(name):
    made = []

    class Counted(models.ResNet):
        def __init__(self, block, layers, num_classes):
            made.append((block, layers, num_classes))

    module = sys.modules["dlc.models.resnet"]
    held, module.ResNet = module.ResNet, Counted
    try:
        getattr(models, name)(7)
    finally:
        module.ResNet = held
    ((block, layers, classes),) = made
    convolutions = 2 if block is BasicBlock else 3
    assert name == f"resnet{convolutions * sum(layers) + 2}"
    assert classes == 7


def test_a_model_trains():
    dlc.random.seed(0)
    model = models.ResNet(BasicBlock, [1, 1], num_classes=3, width=4)
    optimizer = dlc.optim.Adam(learning_rate=0.01)
    model.compile(optimizer, dlc.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = draw(24, 3, 16, 16), np.arange(24) % 3
    losses = model.fit(x, y, batch_size=8, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]


# Files.


def write(folder, state, config=None, name="model.safetensors"):
    folder.mkdir(exist_ok=True)
    dlc.safetensors.save_file(state, folder / name)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


SMALL = {"vocab_size": 13, "n_positions": 16, "n_embd": 12, "n_layer": 2, "n_head": 3}


def test_a_folder_with_settings_as_published(tmp_path, monkeypatch):
    model, _ = noisy(models.GPT2LMHeadModel(GPT2))
    state = {
        k.removeprefix("transformer."): v.numpy()
        for k, v in model.transformer.state_dict(random=False).items()
    }
    state["h.0.attn.bias"] = np.ones((1, 1, 16, 16), np.float32)  # of old files
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], **SMALL}
    with monkeypatch.context() as patch:
        patch.setattr(dlc.random, "normal", None)  # values that are given next are not drawn
        patch.setattr(dlc.random, "uniform", None)
        found = models.load_pretrained(write(tmp_path / "a", state, config))
    assert not found.training
    np.testing.assert_array_equal(found(TOKENS).numpy(), model(TOKENS).numpy())
    bare = models.load_pretrained(
        write(tmp_path / "b", state, {**config, "architectures": ["GPT2Model"]})
    )
    assert isinstance(bare, models.GPT2Model)
    half = {k: v.astype(np.float16) for k, v in state.items()}
    near = models.load_pretrained(write(tmp_path / "c", half, config))
    np.testing.assert_allclose(near(TOKENS).numpy(), model(TOKENS).numpy(), atol=0.05)


def test_other_published_names(tmp_path):
    model, _ = noisy(models.BertForMaskedLM(BERT))
    state = {k: v.numpy() for k, v in model.state_dict(random=False).items()}
    old = {
        k.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): v
        for k, v in state.items() if ".decoder." not in k
    }  # fmt: skip
    old |= {
        "bert.pooler.dense.weight": draw(12, 12), "bert.pooler.dense.bias": draw(12),
        "cls.seq_relationship.weight": draw(2, 12), "bert.embeddings.position_ids": np.arange(9),
    }  # fmt: skip
    config = {
        "architectures": ["BertForMaskedLM"], "vocab_size": 13, "hidden_size": 12,
        "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
        "max_position_embeddings": 9,
    }  # fmt: skip
    found = models.load_pretrained(write(tmp_path / "a", old, config))
    np.testing.assert_array_equal(found(TOKENS).numpy(), model(TOKENS).numpy())
    config |= {"architectures": None, "model_type": "bert"}
    states, _ = models.load_pretrained(write(tmp_path / "b", old, config))(TOKENS)
    np.testing.assert_array_equal(states.numpy(), model.bert(TOKENS)[0].numpy())

    model, _ = noisy(models.ViTForImageClassification(VIT))
    state = {k: v.numpy() for k, v in model.state_dict(random=False).items()}
    new = {}
    for name, value in state.items():
        held = name.replace("encoder.layer.", "layers.").replace("output.dense", "mlp.fc2")
        held = held.replace("attention.mlp.fc2", "attention.o_proj")
        held = held.replace("intermediate.dense", "mlp.fc1")
        for part in ("query", "key", "value"):
            held = held.replace(f"attention.attention.{part}", f"attention.{part[0]}_proj")
        new[held] = value
    config = {
        "architectures": ["ViTForImageClassification"], "hidden_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 20, "image_size": 8, "patch_size": 4,
        "id2label": {str(k): str(k) for k in range(5)},
    }  # fmt: skip
    found, images = models.load_pretrained(write(tmp_path / "v", new, config)), draw(1, 3, 8, 8)
    np.testing.assert_array_equal(found(images).numpy(), model(images).numpy())
    again = models.load_pretrained(write(tmp_path / "w", state, config))
    np.testing.assert_array_equal(again(images).numpy(), model(images).numpy())


def test_several_files_with_an_index(tmp_path):
    model = models.GPT2LMHeadModel(GPT2)
    state = {k: v.numpy() for k, v in model.state_dict(random=False).items()}
    names = sorted(state)
    parts = {f"model-{k}-of-2.safetensors": names[k - 1 :: 2] for k in (1, 2)}
    for file, own in parts.items():
        write(tmp_path, {n: state[n] for n in own}, {"model_type": "gpt2", **SMALL}, file)
    placed = {n: file for file, own in parts.items() for n in own}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": placed}))
    for source in (tmp_path, str(index)):
        found = models.load_pretrained(source)
        np.testing.assert_array_equal(found(TOKENS).numpy(), model.eval()(TOKENS).numpy())
    index.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    with pytest.raises(dlc.ValueRangeError, match="own folder"):
        models.load_pretrained(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    with pytest.raises(FileNotFoundError, match="gone"):
        models.load_pretrained(tmp_path)


def test_names_and_settings_of_other_files(tmp_path):
    model, _ = noisy(models.mobilenet_v2(3))
    assert count(model) == 3_504_872 - 997 * 1281
    state = {k: v.numpy() for k, v in model.state_dict(random=False).items()}
    folder = write(tmp_path / "t", state, {"architecture": "mobilenet_v2", "num_classes": 3})
    x = draw(1, 3, 32, 32)
    wanted = model(x).numpy()
    np.testing.assert_array_equal(models.load_pretrained(folder)(x).numpy(), wanted)
    alone = models.load_pretrained(folder / "model.safetensors", models.mobilenet_v2(3))
    np.testing.assert_array_equal(alone(x).numpy(), wanted)
    renamed = {k.replace("classifier.1.", "head."): v for k, v in state.items()}
    renamed["features.0.1.weight"] = np.ones(3, np.float32)
    before = alone.classifier[1].bias.numpy()
    with pytest.raises(dlc.ValueRangeError) as caught:
        models.load_pretrained(write(tmp_path / "u", renamed), alone)
    text = str(caught.value)
    missing, unknown = "classifier.1.weight: missing", "head.bias: not in the model"
    for part in (missing, unknown, "features.0.1.weight: the model has f32[32]"):
        assert part in text
    np.testing.assert_array_equal(alone.classifier[1].bias.numpy(), before)
    layer = nn.Linear(2, 2)
    write(tmp_path / "l", {"weight": draw(2, 2)})
    models.load_pretrained(tmp_path / "l", layer, strict=False)
    with pytest.raises(dlc.ValueRangeError, match="bias: missing"):
        models.load_pretrained(tmp_path / "l", layer)


def test_what_is_not_there_or_not_known(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    bare = write(tmp_path / "bare", {"a": draw(1)})
    two = write(
        write(tmp_path / "two", {"a": draw(1)}, name="a.safetensors"),
        {"a": draw(1)},
        name="b.safetensors",
    )
    pickled = tmp_path / "x.bin"
    pickled.write_bytes(b"x")
    unknown = write(tmp_path / "unknown", {"a": draw(1)}, {"model_type": "bart"})
    no_json = write(tmp_path / "no_json", {"a": draw(1)})
    (no_json / "config.json").write_text("{")
    changed = write(
        tmp_path / "changed", {"a": draw(1)}, {"model_type": "gpt2", "scale_attn_weights": False}
    )
    for source, error, text in (
        (empty, FileNotFoundError, "no weights in safetensors"),
        (bare, dlc.ArgumentError, "what model it is"),
        (two, dlc.ArgumentError, "a.safetensors, b.safetensors"),
        (pickled, dlc.ValueRangeError, "must end in .safetensors"),
        (tmp_path / "gone", FileNotFoundError, "no file or folder"),
        ("./a/b", FileNotFoundError, "no file or folder"),
        (unknown, dlc.ArgumentError, "did you mean 'bert'"),
        (no_json, dlc.ValueRangeError, "no JSON"),
        (changed, dlc.ValueRangeError, "scale_attn_weights is False"),
    ):
        with pytest.raises(error, match=text):
            models.load_pretrained(source)
    with pytest.raises(dlc.ValueRangeError, match="no activation"):
        models.GPT2Model(
            models.GPT2Config(n_layer=1, n_embd=4, n_head=1, activation_function="geluu")
        )


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"model_type": "gpt2", "n_head": 0}, "n_head is 0"),
        ({"model_type": "gpt2", "n_embd": "8"}, "n_embd is '8'"),
        ({"model_type": "bert", "num_hidden_layers": None}, "num_hidden_layers is None"),
        ({"model_type": "bert", "layer_norm_eps": []}, r"layer_norm_eps is \[\]"),
        ({"model_type": "vit", "patch_size": 2.5}, "patch_size is 2.5"),
        ({"model_type": "vit", "id2label": 3}, "id2label is 3"),
        ({"model_type": ["vit"]}, "which dlc.models does not have"),
        ({"model_type": "bart", "architectures": True}, "did you mean 'bert'"),
    ],
)
def test_settings_of_another_type(tmp_path, setting, said):
    with pytest.raises(dlc.DlcError, match=said):
        models.load_pretrained(write(tmp_path / "m", {"a": draw(1)}, setting))


def test_the_hub(tmp_path, monkeypatch):
    model = models.GPT2LMHeadModel(GPT2)
    state = {k: v.numpy() for k, v in model.state_dict(random=False).items()}
    folder = write(tmp_path / "snapshot", state, {"model_type": "gpt2", **SMALL})
    asked = []

    def snapshot_download(name, **settings):
        asked.append((name, settings["revision"], settings["local_files_only"]))
        if name != "someone/small":
            raise OSError("offline")
        return str(folder)

    hub = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    found = models.load_pretrained("someone/small", revision="v1", local_files_only=True)
    np.testing.assert_array_equal(found(TOKENS).numpy(), model.eval()(TOKENS).numpy())
    assert asked == [("someone/small", "v1", True)]
    with pytest.raises(FileNotFoundError, match="offline"):
        models.load_pretrained("someone/else")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(dlc.ArgumentError, match="huggingface_hub"):
        models.load_pretrained("someone/small")


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("place", [0, 4, 6])
def test_kept_rows_are_written(count, place):
    """Those beyond the last row are left out."""
    kept, new = draw(2, 3, 7, 5), draw(2, 3, count, 5)
    wanted = kept.copy()
    last = min(place + count, 7)
    wanted[:, :, place:last] = new[:, :, : last - place]
    got = dlc.compile(generation.written)(kept, new, np.array(place))
    np.testing.assert_array_equal(got.numpy(), wanted)


def test_one_new_row_is_written_in_the_memory_of_the_kept_ones():
    kept = dlc.Variable(np.zeros((1, 2, 8, 4), np.float32))

    def step(new, place):
        kept.assign(generation.written(kept.data, new, place))

    program = dlc.compile(step).lower("f32[1,2,1,4]", "i64[]").executable.program
    assert "f32[1,2,8,4] in the memory of" in program.text()
