"""Random numbers, from dlc's own generators: the same seed gives other numbers than elsewhere."""

from __future__ import annotations

import struct
from typing import Any

import dlc
from dlc.interop.onnx.element_types import COMPUTED, FLOAT
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.operators.shape import shape_of
from dlc.interop.onnx.values import as_tensor


def _key(node: Any) -> Any:
    """The key of a node: its seed, or the next one of the model's stream."""
    seed = node.attr("seed", None)
    if seed is None:
        return node.library.random.next()
    return dlc.random.key(struct.unpack("<I", struct.pack("<f", seed))[0])


def _type(node: Any, like: Any = None) -> Any:
    kind = node.attr("dtype", None)
    if kind is None:
        return COMPUTED[FLOAT] if like is None else like.dtype
    return COMPUTED[kind]


def _normal(node: Any, shape: Any, dtype: Any) -> Any:
    numbers = dlc.random.normal(_key(node), shape=shape, dtype=dtype)
    return numbers * node.attr("scale", 1.0) + node.attr("mean", 0.0)


def _uniform(node: Any, shape: Any, dtype: Any) -> Any:
    low, high = node.attr("low", 0.0), node.attr("high", 1.0)
    return dlc.random.uniform(_key(node), shape=shape, dtype=dtype) * (high - low) + low


@operator("RandomNormal", random=True)
def random_normal(node: Any) -> Any:
    """Normal numbers of a shape."""
    return _normal(node, tuple(node.attr("shape")), _type(node))


@operator("RandomUniform", random=True)
def random_uniform(node: Any) -> Any:
    """Uniform numbers of a shape."""
    return _uniform(node, tuple(node.attr("shape")), _type(node))


@operator("RandomNormalLike", random=True, raw=True)
def random_normal_like(node: Any, like: Any) -> Any:
    """Normal numbers of the shape of a tensor."""
    return _normal(node, shape_of(like), _type(node, as_tensor(like)))


@operator("RandomUniformLike", random=True, raw=True)
def random_uniform_like(node: Any, like: Any) -> Any:
    """Uniform numbers of the shape of a tensor."""
    return _uniform(node, shape_of(like), _type(node, as_tensor(like)))


@operator("Bernoulli", random=True)
def bernoulli(node: Any, p: Any) -> Any:
    """1 with given probabilities, else 0."""
    numbers = dlc.random.uniform(_key(node), shape=p.shape, dtype=dlc.float32)
    return dlc.astype(numbers < p, _type(node, p))


@operator("Multinomial", random=True)
def multinomial(node: Any, logits: Any) -> Any:
    """Classes drawn by unnormalised logarithms of probabilities."""
    count = node.attr("sample_size", 1)
    rows, classes = logits.shape
    numbers = dlc.random.gumbel(_key(node), shape=(rows, count, classes), dtype=logits.dtype)
    kind = node.attr("dtype", 6)
    return dlc.astype(dlc.argmax(dlc.expand_dims(logits, 1) + numbers, axis=-1), COMPUTED[kind])
