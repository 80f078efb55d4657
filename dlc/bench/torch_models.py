"""Models of transformers as problems: base configurations, drawn weights, the forward pass.

The reference is PyTorch's own at float64. Weights are drawn by NumPy, so that each version of
PyTorch has the same.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.bench.problem import Array, Arrays, Case, Extents, Problem, Program
from dlc.ir.errors import ArgumentError

WIDTH = 64  # of a head
PATCH = 16
STEM = 4  # pixels a side that the first convolution takes together
FILTER = 49  # elements of the filters of one channel
F32 = 4  # bytes
_NAMES = ("BERT", "DistilBERT", "GPT-2", "ViT", "CLIP", "T5", "ConvNeXtV2")
_KEYS = ("b", "t", "l", "h", "v")  # batch, tokens or pixels a side, layers, heads, vocabulary


def model_of(constants: Sequence[Any]) -> Any:
    """The module of a case: of its inputs, the tensor that is compared.

    Raises:
        ArgumentError: PyTorch or transformers is not installed.
    """
    try:
        torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise ArgumentError(
            f"the suite torch needs {error.name}", hint="pip install dlc[bench]"
        ) from None
    numbers = np.asarray(constants[0]).tolist()
    e = dict(zip(_KEYS, numbers[1:], strict=True))
    model, result = _MAKERS[_NAMES[numbers[0]]](transformers, e)

    class Forward(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return result(self.model, *inputs)

    module = Forward().eval().requires_grad_(False)
    _draw_weights(torch, module)
    return module


def _draw_weights(torch: Any, module: Any) -> None:
    rng = np.random.default_rng(1)
    for name, p in module.named_parameters():
        drawn = np.asarray(rng.standard_normal(tuple(p.shape), np.float32) * np.float32(0.02))
        if p.dim() == 1 and name.endswith("weight"):
            drawn += 1  # the scale of a norm
        with torch.no_grad():
            p.copy_(torch.from_numpy(drawn))


def _sizes(e: Extents) -> dict[str, int]:
    width = WIDTH * e["h"]
    return {
        "hidden_size": width, "num_hidden_layers": e["l"], "num_attention_heads": e["h"],
        "intermediate_size": 4 * width,
    }  # fmt: skip


def _bert(transformers: Any, e: Extents) -> Any:
    config = transformers.BertConfig(vocab_size=e["v"], **_sizes(e))
    return transformers.BertModel(config), lambda m, x: m(x).last_hidden_state


def _distilbert(transformers: Any, e: Extents) -> Any:
    width = WIDTH * e["h"]
    config = transformers.DistilBertConfig(
        vocab_size=e["v"], dim=width, hidden_dim=4 * width, n_layers=e["l"], n_heads=e["h"]
    )
    return transformers.DistilBertModel(config), lambda m, x: m(x).last_hidden_state


def _gpt2(transformers: Any, e: Extents) -> Any:
    config = transformers.GPT2Config(
        vocab_size=e["v"], n_embd=WIDTH * e["h"], n_layer=e["l"], n_head=e["h"], use_cache=False
    )
    return transformers.GPT2Model(config), lambda m, x: m(x).last_hidden_state


def _vit(transformers: Any, e: Extents) -> Any:
    config = transformers.ViTConfig(image_size=e["t"], patch_size=PATCH, **_sizes(e))
    return transformers.ViTModel(config), lambda m, x: m(x).last_hidden_state


def _clip(transformers: Any, e: Extents) -> Any:
    vision = {**_sizes(e), "image_size": e["t"], "patch_size": PATCH}
    text = {**_sizes(e), "vocab_size": e["v"]}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision)

    def both(m: Any, x: Any, y: Any) -> Any:
        found = m(input_ids=x, pixel_values=y)
        return found.text_embeds + found.image_embeds

    return transformers.CLIPModel(config), both


def _t5(transformers: Any, e: Extents) -> Any:
    config = transformers.T5Config(
        vocab_size=e["v"], d_model=WIDTH * e["h"], d_ff=4 * WIDTH * e["h"], num_layers=e["l"],
        num_heads=e["h"], use_cache=False,
    )  # fmt: skip
    model = transformers.T5Model(config)
    return model, lambda m, x, y: m(input_ids=x, decoder_input_ids=y).last_hidden_state


def _convnext(transformers: Any, e: Extents) -> Any:
    stages = _stages(e)
    config = transformers.ConvNextV2Config(
        image_size=e["t"], depths=[n for n, _, _ in stages], hidden_sizes=[c for _, c, _ in stages]
    )
    return transformers.ConvNextV2Model(config), lambda m, x: m(x).last_hidden_state


def _stages(e: Extents) -> list[tuple[int, int, int]]:
    """Of a network of convolutions: how many blocks a stage has, its channels and pixels."""
    width, side = WIDTH * e["h"], e["t"] // STEM
    blocks = [e["l"] if k == 2 else max(1, e["l"] // 3) for k in range(4)]
    return [(n, width >> 3 - k, (side >> k) ** 2) for k, n in enumerate(blocks)]


_MAKERS: dict[str, Any] = {
    "BERT": _bert, "DistilBERT": _distilbert, "GPT-2": _gpt2, "ViT": _vit, "CLIP": _clip,
    "T5": _t5, "ConvNeXtV2": _convnext,
}  # fmt: skip


def _draw(name: str, rng: np.random.Generator, e: Extents) -> Arrays:
    """Token ids, pixels, or both."""
    ids = [rng.integers(0, e["v"], (e["b"], min(e["t"], 64)))] if name == "CLIP" else []
    if name in ("ViT", "CLIP", "ConvNeXtV2"):
        return (*ids, rng.standard_normal((e["b"], 3, e["t"], e["t"]), np.float32))
    count = 2 if name == "T5" else 1
    return tuple(rng.integers(0, e["v"], (e["b"], e["t"])) for _ in range(count))


def _build(constants: Sequence[Array]) -> Program:
    torch: Any = importlib.import_module("torch")
    model = model_of(constants).double()

    def forward(*inputs: Array) -> Array:
        with torch.no_grad():
            return model(*(torch.from_numpy(x.copy()) for x in inputs)).numpy()

    return forward


def _layers(name: str, e: Extents) -> list[tuple[int, int]]:
    """For each stack of layers, how many tokens it has, and how many times a layer's parameters."""
    images = (e["t"] // PATCH) ** 2 + 1
    stacks = {"ViT": [(images, 12)], "CLIP": [(images, 12), (min(e["t"], 64), 12)],
              "T5": [(e["t"], 12), (e["t"], 16)]}  # fmt: skip
    return stacks.get(name, [(e["t"], 12)])


def _operations(name: str, e: Extents) -> int:
    if name == "ConvNeXtV2":
        return e["b"] * sum(2 * n * c * p * (8 * c + FILTER) for n, c, p in _stages(e))
    width = WIDTH * e["h"]
    found = (2 * n * k * width**2 + 4 * n * n * width for n, k in _layers(name, e))
    return e["b"] * e["l"] * sum(found)


def _bytes(name: str, e: Extents) -> int:
    if name == "ConvNeXtV2":
        found = (n * c * (8 * c + FILTER + 2 * e["b"] * p) for n, c, p in _stages(e))
        return F32 * sum(found)
    width = WIDTH * e["h"]
    found = (k * width**2 + 2 * e["b"] * n * width for n, k in _layers(name, e))
    return F32 * e["l"] * sum(found)


def _constants(name: str, rng: np.random.Generator, e: Extents) -> Arrays:
    return (np.array([_NAMES.index(name), *(e[k] for k in _KEYS)]),)


def _problem(name: str) -> Problem:
    part = functools.partial
    return Problem(
        "torch_model",
        part(_draw, name),
        _build,
        operations=part(_operations, name),
        bytes=part(_bytes, name),
        constants=part(_constants, name),
        tolerance=1e-4,  # many layers, each of which adds what it has rounded
    )


_BASE = dict(b=1, t=128, l=12, h=12, v=30522)
_IMAGE = {**_BASE, "t": 224}
CASES = (
    Case("BERT base 1x128", _problem("BERT"), _BASE),
    Case("BERT base 4x128", _problem("BERT"), {**_BASE, "b": 4}),
    Case("DistilBERT 1x128", _problem("DistilBERT"), {**_BASE, "l": 6}),
    Case("GPT-2 1x128", _problem("GPT-2"), {**_BASE, "v": 50257}),
    Case("ViT base 1x224x224", _problem("ViT"), _IMAGE),
    Case("CLIP 1x224x224", _problem("CLIP"), {**_IMAGE, "h": 8, "v": 49408}),
    Case("T5 base 1x128", _problem("T5"), {**_BASE, "v": 32128}),
    Case("ConvNeXtV2 tiny 1x224x224", _problem("ConvNeXtV2"), {**_IMAGE, "l": 9}),
)
SMOKE = (Case("DistilBERT", _problem("DistilBERT"), dict(b=1, t=9, l=1, h=1, v=50)),)
