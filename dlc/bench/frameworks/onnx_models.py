"""The problems as ONNX models, for the runtimes that read them."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.bench.problem import Array, Case

_OPSET = 20


class Graph:
    """Builds a model node by node; values are named by numbers."""

    def __init__(self, inputs: Sequence[Array]) -> None:
        self.helper: Any = importlib.import_module("onnx.helper")
        self.from_array: Any = importlib.import_module("onnx.numpy_helper").from_array
        self.inputs = [f"x{k}" for k in range(len(inputs))]
        self.shapes = [a.shape for a in inputs]
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.count = 0

    def op(self, name: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node, and gives the name of its result."""
        self.count += 1
        made = f"v{self.count}"
        self.nodes.append(self.helper.make_node(name, list(inputs), [made], **attributes))
        return made

    def constant(self, value: Any) -> str:
        """Adds an array or number."""
        name = f"c{len(self.constants)}"
        self.constants.append(self.from_array(np.asarray(value, np.float32), name))
        return name

    def linear(self, x: str, w: str, b: str) -> str:
        """A product and a bias."""
        return self.op("Gemm", x, w, b)

    def model(self, result: str) -> bytes:
        """The finished model."""
        floats = 1  # TensorProto.FLOAT
        value = self.helper.make_tensor_value_info
        graph = self.helper.make_graph(
            self.nodes,
            "case",
            [value(n, floats, s) for n, s in zip(self.inputs, self.shapes, strict=True)],
            [value(result, floats, None)],
            self.constants,
        )
        opset = [self.helper.make_opsetid("", _OPSET)]
        return self.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


Maker = Callable[[Graph, Sequence[Array]], str]


def _warm_up(g: Graph) -> str:
    (x,) = g.inputs
    return g.op("Sqrt", g.op("Add", g.op("Mul", x, x), g.constant(1)))


def _chain(g: Graph) -> str:
    x, y = g.inputs
    left = g.op("Tanh", g.op("Add", g.op("Mul", x, y), x))
    return g.op("Mul", left, g.op("Exp", g.op("Mul", g.op("Neg", y), y)))


def _rms_norm(g: Graph) -> str:
    x, w = g.inputs
    mean = g.op("ReduceMean", g.op("Mul", x, x), _axes(g, -1))
    root = g.op("Sqrt", g.op("Add", mean, g.constant(1e-5)))
    return g.op("Mul", g.op("Div", x, root), w)


def _axes(g: Graph, axis: int) -> str:
    name = f"c{len(g.constants)}"
    g.constants.append(g.from_array(np.array([axis], np.int64), name))
    return name


def _attention(g: Graph) -> str:
    q, k, v = g.inputs
    scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
    scaled = g.op("Mul", scores, g.constant(1 / math.sqrt(g.shapes[0][-1])))
    return g.op("MatMul", g.op("Softmax", scaled, axis=-1), v)


def _network(g: Graph, constants: Sequence[Array]) -> str:
    (x,) = g.inputs
    w1, b1, w2, b2, w3, b3 = (g.constant(c) for c in constants)
    h = g.op("Relu", g.linear(x, w1, b1))
    h = g.op("Relu", g.linear(h, w2, b2))
    return g.linear(h, w3, b3)


def _deep(g: Graph, constants: Sequence[Array]) -> str:
    (x,) = g.inputs
    for w, b in zip(constants[::2], constants[1::2], strict=True):
        x = g.op("Tanh", g.linear(x, g.constant(w), g.constant(b)))
    return x


def _layer(stride: int) -> Maker:
    def make(g: Graph, constants: Sequence[Array]) -> str:
        (x,), (w, b) = g.inputs, constants
        groups, padding = g.shapes[0][1] // w.shape[1], w.shape[2] // 2
        y = g.op(
            "Conv", x, g.constant(w), g.constant(b),
            strides=[stride] * 2, pads=[padding] * 4, group=groups,
        )  # fmt: skip
        return g.op("Relu", y)

    return make


MODELS: dict[str, Maker] = {
    "warm_up": lambda g, c: _warm_up(g),
    "add": lambda g, c: g.op("Add", *g.inputs),
    "chain": lambda g, c: _chain(g),
    "softmax": lambda g, c: g.op("Softmax", *g.inputs, axis=-1),
    "log_softmax": lambda g, c: g.op("LogSoftmax", *g.inputs, axis=-1),
    "layer_norm": lambda g, c: g.op("LayerNormalization", *g.inputs, axis=-1, epsilon=1e-5),
    "rms_norm": lambda g, c: _rms_norm(g),
    "attention": lambda g, c: _attention(g),
    "matmul": lambda g, c: g.op("MatMul", *g.inputs),
    "matmul_batched": lambda g, c: g.op("MatMul", *g.inputs),
    "matmul_constant": lambda g, c: g.op("MatMul", g.inputs[0], g.constant(c[0])),
    "linear_gelu": lambda g, c: g.op("Gelu", g.linear(*g.inputs)),
    "mlp": _network,
    "deep": _deep,
    "convolution": _layer(1),
    "convolution_strided": _layer(2),
}


def model_of(case: Case, constants: Sequence[Array]) -> bytes | None:
    """The model of a case, where there is one: nothing that is differentiated has."""
    make = MODELS.get(case.problem.name)
    if make is None:
        return None
    rng = np.random.default_rng(0)
    graph = Graph(case.problem.inputs(rng, case.extents))
    return graph.model(make(graph, constants))
