"""Attention that models write out, in PyTorch and in ONNX: each layer's becomes the op."""

import numpy as np
import pytest
import torch
import transformers
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import dlc
from dlc.interop.torch import dlc_backend
from dlc.ir.config import config
from dlc.passes import attention_ops

WIDTH = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
T5 = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 48, "num_layers": 2}


@pytest.fixture
def found(monkeypatch, tmp_path):
    """How much attention was found in each function that was looked at."""
    counts = []
    search = attention_ops.written_attention

    def noted(function):
        result = search(function)
        counts.append(len(result))
        return result

    monkeypatch.setattr(attention_ops, "written_attention", noted)
    with config.scope(cache_dir=tmp_path):  # nothing has been compiled before
        yield counts


def bert():
    settings = transformers.BertConfig(
        num_hidden_layers=2, vocab_size=50, attn_implementation="eager", **WIDTH
    )
    return transformers.BertModel(settings)


def t5():
    settings = transformers.T5Config(vocab_size=50, attn_implementation="eager", **T5)
    return transformers.T5EncoderModel(settings)


@pytest.mark.parametrize("model", [bert, t5])
def test_every_layer_of_a_model(model, found):
    torch.manual_seed(0)
    made = model().eval()
    tokens = torch.randint(2, 50, (2, 9))
    mask = torch.ones_like(tokens)
    mask[0] = 0  # a row of which nothing is to be read
    mask[1, 6:] = 0
    compiled = torch.compile(made, backend=dlc_backend)
    with torch.no_grad():
        got = compiled(input_ids=tokens, attention_mask=mask)[0]
        wanted = made.double()(input_ids=tokens, attention_mask=mask)[0]
    assert sum(found) == 2
    torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-5)


def model_of_onnx(divided, masked):
    """What PyTorch's exporter writes for attention in separate operators."""
    nodes = [helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2])]
    nodes.append(helper.make_node("MatMul", ["q", "kt"], ["s0"]))
    nodes.append(helper.make_node("Div" if divided else "Mul", ["s0", "c"], ["s1"]))
    if masked == "Add":
        nodes.append(helper.make_node("Add", ["s1", "mask"], ["s2"]))
    else:
        nodes.append(helper.make_node("Where", ["mask", "low", "s1"], ["s2"]))
    nodes.append(helper.make_node("Softmax", ["s2"], ["p"], axis=-1))
    nodes.append(helper.make_node("MatMul", ["p", "v"], ["y"]))
    kind = TensorProto.FLOAT if masked == "Add" else TensorProto.BOOL
    shapes = {
        "q": ("b", 2, "t", 4), "k": ("b", 2, "s", 4), "v": ("b", 2, "s", 4),
        "mask": ("b", 1, 1, "s"),
    }  # fmt: skip
    inputs = [
        helper.make_tensor_value_info(n, kind if n == "mask" else TensorProto.FLOAT, shape)
        for n, shape in shapes.items()
    ]
    numbers = [
        helper.make_tensor("c", TensorProto.FLOAT, (), [2.0]),
        helper.make_tensor("low", TensorProto.FLOAT, (), [float(np.finfo(np.float32).min)]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, numbers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


@pytest.mark.parametrize(("divided", "masked"), [(True, "Add"), (False, "Where")])
def test_an_onnx_model(divided, masked, found):
    proto = model_of_onnx(divided, masked)
    rng = np.random.default_rng(0)
    model, reference = dlc.compile(proto), ReferenceEvaluator(proto)
    for b, t, s in ((2, 5, 7), (1, 1, 9), (3, 6, 4)):
        q, k, v = (rng.standard_normal((b, 2, n, 4)).astype(np.float32) for n in (t, s, s))
        hidden = rng.random((b, 1, 1, s)) < 0.3
        hidden[0] = True
        mask = np.where(hidden, -1e9, 0).astype(np.float32) if masked == "Add" else hidden
        given = {"q": q, "k": k, "v": v, "mask": mask}
        (got,) = model(given)
        np.testing.assert_allclose(got.numpy(), reference.run(None, given)[0], 2e-5, 2e-6)
    assert found
    assert set(found) == {1}
