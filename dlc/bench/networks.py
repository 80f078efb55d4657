"""Published networks as problems: GPT-2's training and decoding, ResNet's training, BERT's states.

Weights have the names that are published for them and are drawn by NumPy; what is computed from
them, in PyTorch at float64, is the reference. Training updates weights of float32, and at bfloat16
computes its products of that; inference has all weights at the type of the problem.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from dlc.bench.problem import Array, Arrays, Case, Extents, Problem, Program, rounded
from dlc.ir.errors import ArgumentError
from dlc.ir.record import NamedTuple

Shapes: TypeAlias = dict[str, tuple[int, ...]]

WIDTH = 64  # of a head
ADAM = dict(lr=6e-4, eps=1e-8, weight_decay=0.1)
BETAS = 0.9, 0.95
MOMENTUM = dict(lr=0.02, momentum=0.9, weight_decay=1e-4)
PLACES = 512  # of tokens that BERT knows


class Given(NamedTuple):
    """What a program of a network is made from.

    Args:
        half: Whether it computes at bfloat16.
        extents: Of the case.
        weights: By their names, as the framework has arrays.
        more: What else it keeps.
    """

    half: bool
    extents: Extents
    weights: dict[str, Any]
    more: list[Any]


class Convolution(NamedTuple):
    """A convolution of a residual network, with the norm after it; `side` is its result's."""

    name: str
    norm: str
    outputs: int
    inputs: int
    window: int
    stride: int
    side: int


def _norm(name: str, n: int) -> Shapes:
    return {f"{name}.weight": (n,), f"{name}.bias": (n,)}


def _gpt2_shapes(e: Extents) -> Shapes:
    """Matrices are (inputs, outputs)."""
    n = WIDTH * e["h"]
    shapes: Shapes = {"wte.weight": (e["v"], n), "wpe.weight": (e["t"], n)}
    for k in range(e["l"]):
        parts = {"attn.c_attn": 3 * n, "attn.c_proj": n, "mlp.c_fc": 4 * n, "mlp.c_proj": n}
        for part, m in parts.items():
            shapes[f"h.{k}.{part}.weight"] = (4 * n if part == "mlp.c_proj" else n, m)
            shapes[f"h.{k}.{part}.bias"] = (m,)
        shapes |= _norm(f"h.{k}.ln_1", n) | _norm(f"h.{k}.ln_2", n)
    return shapes | _norm("ln_f", n)


def _bert_shapes(e: Extents) -> Shapes:
    """Matrices are (outputs, inputs)."""
    n = WIDTH * e["h"]
    tables = {"word": e["v"], "position": max(PLACES, e["t"]), "token_type": 2}
    shapes: Shapes = {f"embeddings.{t}_embeddings.weight": (m, n) for t, m in tables.items()}
    shapes |= _norm("embeddings.LayerNorm", n)
    for k in range(e["l"]):
        at = f"encoder.layer.{k}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{at}.attention.self.{part}", n, n)
        shapes |= _linear(f"{at}.attention.output.dense", n, n)
        shapes |= _linear(f"{at}.intermediate.dense", n, 4 * n)
        shapes |= _linear(f"{at}.output.dense", 4 * n, n)
        shapes |= _norm(f"{at}.attention.output.LayerNorm", n) | _norm(f"{at}.output.LayerNorm", n)
    return shapes


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def blocks(e: Extents) -> list[int]:
    """How many blocks a residual network has at each resolution."""
    return [e[f"l{k}"] for k in range(1, 5)]


def convolutions(e: Extents) -> Iterator[Convolution]:
    """Those of a residual network of bottlenecks, in the order of its layers."""
    side = -(-e["n"] // 2)
    yield Convolution("conv1", "bn1", e["w"], 3, 7, 2, side)
    side, channels = -(-side // 2), e["w"]
    for k, count in enumerate(blocks(e)):
        width = e["w"] << k
        for j in range(count):
            at, stride = f"layer{k + 1}.{j}", 2 if k and not j else 1
            yield Convolution(f"{at}.conv1", f"{at}.bn1", width, channels, 1, 1, side)
            side = -(-side // stride)
            yield Convolution(f"{at}.conv2", f"{at}.bn2", width, width, 3, stride, side)
            yield Convolution(f"{at}.conv3", f"{at}.bn3", 4 * width, width, 1, 1, side)
            if not j:
                names = f"{at}.downsample.0", f"{at}.downsample.1"
                yield Convolution(*names, 4 * width, channels, 1, stride, side)
            channels = 4 * width


def _resnet_shapes(e: Extents) -> Shapes:
    shapes: Shapes = {}
    for c in convolutions(e):
        shapes[f"{c.name}.weight"] = (c.outputs, c.inputs, c.window, c.window)
        shapes |= _norm(c.norm, c.outputs)
    return shapes | _linear("fc", e["w"] * 32, e["c"])


def _draw_weights(shapes: Shapes, rng: np.random.Generator) -> Iterator[Array]:
    """Scales of norms near 1; convolutions that keep variances; all others small.

    The last norm of a residual block has a small scale, as trained ones have: were it 1, states
    would grow from block to block, and float32's loss be another one after a single step.
    """
    for name, shape in shapes.items():
        scale = math.sqrt(2 / math.prod(shape[1:])) if len(shape) == 4 else 0.02
        drawn = rng.standard_normal(shape, np.float32) * np.float32(scale)
        mean = 0.2 if name.endswith("bn3.weight") else 1.0
        yield drawn + np.float32(mean if len(shape) == 1 and name.endswith("weight") else 0.0)


# Inputs.


def _tokens(rng: np.random.Generator, e: Extents, *shape: int) -> Array:
    """As rare as words are: the logarithm of their numbers is spread evenly."""
    return (e["v"] ** rng.random(shape)).astype(np.int64) - 1


def _draw_texts(rng: np.random.Generator, e: Extents) -> Arrays:
    """Tokens, and those that follow."""
    tokens = _tokens(rng, e, e["b"], e["t"] + 1)
    return tokens[:, :-1].copy(), tokens[:, 1:].copy()


def _draw_text(rng: np.random.Generator, e: Extents) -> Arrays:
    return (_tokens(rng, e, e["b"], e["t"]),)


def _draw_next(rng: np.random.Generator, e: Extents) -> Arrays:
    """A token of each text, and the place of it, which is the last or one before."""
    return _tokens(rng, e, e["b"], 1), np.array(e["t"] - 1 - rng.integers(0, 3))


def _draw_kept(e: Extents, rng: np.random.Generator) -> Iterator[Array]:
    """Keys and values of all layers."""
    for _ in range(2 * e["l"]):
        yield rng.standard_normal((e["b"], e["h"], e["t"], WIDTH), np.float32)


def _draw_images(rng: np.random.Generator, e: Extents) -> Arrays:
    labels = rng.integers(0, e["c"], e["b"])
    return rng.standard_normal((e["b"], 3, e["n"], e["n"]), np.float32), labels


# The least work.


def _count(shapes: Shapes) -> int:
    return sum(map(math.prod, shapes.values()))


def _multiplied(e: Extents) -> int:
    """The weights of a transformer's layers that a token is multiplied with."""
    return 12 * e["l"] * (WIDTH * e["h"]) ** 2


def _scores(e: Extents) -> int:
    """The weights of GPT-2's last layer."""
    return e["v"] * WIDTH * e["h"]


def _training_operations(e: Extents) -> int:
    attended = e["t"] * e["l"] * WIDTH * e["h"]
    return 6 * e["b"] * e["t"] * (_multiplied(e) + _scores(e) + attended)


def _decode_operations(e: Extents) -> int:
    attended = 2 * e["t"] * e["l"] * WIDTH * e["h"]
    return 2 * e["b"] * (_multiplied(e) + _scores(e) + attended)


def _decode_elements(e: Extents) -> int:
    return _multiplied(e) + _scores(e) + 2 * e["b"] * e["t"] * e["l"] * WIDTH * e["h"]


def _bert_operations(e: Extents) -> int:
    attended = 2 * e["t"] * e["l"] * WIDTH * e["h"]
    return 2 * e["b"] * e["t"] * (_multiplied(e) + attended)


def _resnet_operations(e: Extents) -> int:
    """The first layer has no gradient of its input."""
    first, *rest = (c.side**2 * c.outputs * c.inputs * c.window**2 for c in convolutions(e))
    return 2 * e["b"] * (2 * first + 3 * sum(rest) + 3 * 32 * e["w"] * e["c"])


def _resnet_elements(e: Extents) -> int:
    """What each convolution and norm gives is written once and read once, and so its gradient."""
    kept = sum(c.side**2 * c.outputs for c in convolutions(e))
    return 8 * e["b"] * kept


# Problems.


class _Network(NamedTuple):
    """A problem but for its type.

    Args:
        keys: The names of extents.
        shapes: Of the weights.
        inputs: As a problem has them.
        operations: Likewise.
        elements: Moved, at the type that is computed with.
        trained: How often each weight is read or written, at float32; 0 where nothing is trained.
        more: What is kept besides weights.
    """

    keys: tuple[str, ...]
    shapes: Callable[[Extents], Shapes]
    inputs: Callable[[np.random.Generator, Extents], Arrays]
    operations: Callable[[Extents], int]
    elements: Callable[[Extents], int]
    trained: int
    more: Callable[[Extents, np.random.Generator], Iterator[Array]] = lambda e, rng: iter(())


_TEXT = ("b", "t", "l", "h", "v")  # batch, tokens, layers, heads, vocabulary
_NETWORKS: Mapping[str, _Network] = {
    "gpt2_training": _Network(
        _TEXT, _gpt2_shapes, _draw_texts, _training_operations, lambda e: 0, 6
    ),
    "gpt2_decode": _Network(
        _TEXT, _gpt2_shapes, _draw_next, _decode_operations, _decode_elements, 0, _draw_kept
    ),
    "bert_states": _Network(
        _TEXT, _bert_shapes, _draw_text, _bert_operations, _multiplied, 0
    ),
    # batch, pixels a side, channels, classes, blocks
    "resnet_training": _Network(
        ("b", "n", "w", "c", "l1", "l2", "l3", "l4"),
        _resnet_shapes, _draw_images, _resnet_operations, _resnet_elements, 4,
    ),
}  # fmt: skip


def shapes_of(case: Case) -> Shapes:
    """Of the weights of a case, by their names."""
    return _NETWORKS[case.problem.name].shapes(case.extents)


def given(name: str, constants: Sequence[Any]) -> Given:
    """The constants of a network's problem; the first, its extents, is an array of NumPy's."""
    network = _NETWORKS[name]
    half, *numbers = np.asarray(constants[0]).tolist()
    extents = dict(zip(network.keys, numbers, strict=True))
    names = list(network.shapes(extents))
    weights = dict(zip(names, constants[1:], strict=False))
    return Given(bool(half), extents, weights, list(constants[1 + len(names) :]))


def _constants(name: str, half: bool, rng: np.random.Generator, e: Extents) -> Arrays:
    network = _NETWORKS[name]
    drawn = [*_draw_weights(network.shapes(e), rng), *network.more(e, rng)]
    if half and not network.trained:
        drawn = list(map(rounded, drawn))
    return np.array([half, *(e[k] for k in network.keys)]), *drawn


def _inputs(name: str, half: bool, rng: np.random.Generator, e: Extents) -> Arrays:
    drawn = _NETWORKS[name].inputs(rng, e)
    return tuple(map(rounded, drawn)) if half else drawn


def _build(name: str, constants: Sequence[Array]) -> Program:
    try:
        programs = importlib.import_module("dlc.bench.frameworks.torch_networks")
    except ImportError as error:
        raise ArgumentError(
            f"{name} is compared with PyTorch: {error.name} is missing",
            hint="pip install dlc[bench]",
        ) from None
    return programs.reference(name, constants)


def _bytes(name: str, half: bool, e: Extents) -> int:
    network = _NETWORKS[name]
    moved = network.elements(e) * (2 if half else 4)
    return moved + 4 * network.trained * _count(network.shapes(e))


def _problem(name: str, *, half: bool = False) -> Problem:
    part = functools.partial
    return Problem(
        name,
        part(_inputs, name, half),
        part(_build, name),
        operations=_NETWORKS[name].operations,
        bytes=part(_bytes, name, half),
        constants=part(_constants, name, half),
        tolerance=_TOLERANCE[name, half],
        half=half,
    )


# Losses are means of many; at bfloat16 scores have the errors of many layers.
_TOLERANCE = {
    ("gpt2_training", False): 1e-5,
    ("gpt2_training", True): 3e-3,
    ("gpt2_decode", False): 1e-4,
    ("gpt2_decode", True): 3e-2,
    ("bert_states", False): 1e-4,
    ("bert_states", True): 3e-2,
    ("resnet_training", False): 1e-3,
    ("resnet_training", True): 1e-2,
}
_GPT2 = dict(l=12, h=12, v=50257)  # 124 million parameters
_BERT = dict(l=12, h=12, v=30522)
_RESNET = dict(n=224, w=64, c=1000, l1=3, l2=4, l3=6, l4=3)  # ResNet-50
CASES = (
    Case("gpt2 124M training 1x128", _problem("gpt2_training"), dict(b=1, t=128, **_GPT2)),
    Case("gpt2 124M decode 1x256", _problem("gpt2_decode"), dict(b=1, t=256, **_GPT2)),
    Case("resnet50 training 4x224x224", _problem("resnet_training"), dict(b=4, **_RESNET)),
    Case("bert base 4x128", _problem("bert_states"), dict(b=4, t=128, **_BERT)),
)
ON_GPU = (
    Case(
        "gpt2 124M training bf16 8x1024",
        _problem("gpt2_training", half=True),
        dict(b=8, t=1024, **_GPT2),
    ),
    *(
        Case(
            f"gpt2 124M decode bf16 {b}x1024",
            _problem("gpt2_decode", half=True),
            dict(b=b, t=1024, **_GPT2),
        )
        for b in (1, 16)
    ),
    Case(
        "resnet50 training bf16 64x224x224",
        _problem("resnet_training", half=True),
        dict(b=64, **_RESNET),
    ),
    Case(
        "bert base bf16 16x512", _problem("bert_states", half=True), dict(b=16, t=512, **_BERT)
    ),
)  # fmt: skip
_SMALL = dict(b=2, t=9, l=1, h=2, v=50)
_SIZES: Mapping[str, Extents] = {
    "gpt2_training": _SMALL,
    "gpt2_decode": _SMALL,
    "bert_states": _SMALL,
    "resnet_training": dict(b=4, n=64, w=4, c=10, l1=1, l2=1, l3=1, l4=1),
}
SMOKE, SMOKE_HALF = (
    tuple(
        Case(f"{name.replace('_', ' ')}{suffix}", _problem(name, half=half), extents)
        for name, extents in _SIZES.items()
    )
    for half, suffix in ((False, ""), (True, " bf16"))
)
