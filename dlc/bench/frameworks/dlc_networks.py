"""Published networks in dlc: those of `dlc.models`, with the weights of the case."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.bench import networks
from dlc.bench.networks import WIDTH, Given
from dlc.bench.problem import Program
from dlc.models.resnet import Bottleneck


def _given(name: str, constants: Sequence[Any]) -> tuple[Given, str]:
    """The constants, and where they are."""
    device = constants[-1].device if isinstance(constants[-1], dlc.Tensor) else "cpu"
    first = constants[0]
    numbers = first.numpy() if isinstance(first, dlc.Tensor) else np.asarray(first)
    return networks.given(name, [numbers, *constants[1:]]), device


def _with_weights(make: Callable[[], Any], of: Given, device: str) -> Any:
    """The model with the weights of a case, where these are."""
    with dlc.nn.initializers.skip_init():
        model = make()
    state = {**model.state_dict(), **model.adapted(of.weights)}
    host = {k: v.cpu() if isinstance(v, dlc.Tensor) else v for k, v in state.items()}
    model.load_state_dict(host)
    return model.to(device)


def gpt2(of: Given, device: str) -> Any:
    """The model of a case, without dropout."""
    e = of.extents
    config = dlc.models.GPT2Config(
        vocab_size=e["v"], n_positions=e["t"], n_embd=WIDTH * e["h"], n_layer=e["l"],
        n_head=e["h"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return _with_weights(functools.partial(dlc.models.GPT2LMHeadModel, config), of, device)


def resnet(of: Given, device: str) -> Any:
    """The model of a case."""
    e = of.extents
    blocks, width = networks.blocks(e), e["w"]
    make = functools.partial(dlc.models.ResNet, Bottleneck, blocks, e["c"], width=width)
    return _with_weights(make, of, device)


def _training(model: Any, optimizer: Any, half: bool, loss_of: Callable[..., Any]) -> Program:
    def step(*batch: Any) -> Any:
        optimizer.zero_grad()
        with dlc.autocast(dlc.bfloat16, enabled=half):
            loss = loss_of(model, *batch)
        loss.backward()
        optimizer.step()
        return loss

    return step


def gpt2_training(constants: Sequence[Any]) -> Program:
    """A step of AdamW on texts and the tokens that follow."""
    of, device = _given("gpt2_training", constants)
    model = gpt2(of, device)
    optimizer = dlc.optim.AdamW(model.parameters(), betas=networks.BETAS, **networks.ADAM)

    def loss_of(model: Any, tokens: Any, following: Any) -> Any:
        scores = model(tokens)
        return dlc.cross_entropy(scores.reshape(-1, scores.shape[-1]), following.reshape(-1))

    return _training(model, optimizer, of.half, loss_of)


def gpt2_decode(constants: Sequence[Any]) -> Program:
    """The scores after one token, whose keys and values are kept beside those before it."""
    of, device = _given("gpt2_decode", constants)
    model = gpt2(of, device).eval()
    dtype = dlc.bfloat16 if of.half else dlc.float32
    model.to(dtype)
    held = [dlc.Variable(dlc.asarray(x, dtype=dtype, device=device)) for x in of.more]

    def step(token: Any, place: Any) -> Any:
        kept = [(k.data, v.data) for k, v in zip(held[::2], held[1::2], strict=True)]
        scores, new = model.step(token, kept, place)
        for variable, value in zip(held, (x for pair in new for x in pair), strict=True):
            variable.assign(value)
        return scores

    return step


def bert_states(constants: Sequence[Any]) -> Program:
    """The states of the tokens of texts."""
    of, device = _given("bert_states", constants)
    e = of.extents
    config = dlc.models.BertConfig(
        e["v"], WIDTH * e["h"], e["l"], e["h"], 4 * WIDTH * e["h"],
        max_position_embeddings=max(networks.PLACES, e["t"]),
    )  # fmt: skip
    make = functools.partial(dlc.models.BertModel, config, add_pooling_layer=False)
    model = _with_weights(make, of, device).eval()
    if of.half:
        model.to(dlc.bfloat16)
    return lambda tokens: model(tokens)[0]


def resnet_training(constants: Sequence[Any]) -> Program:
    """A step of gradient descent with momentum on images and their classes."""
    of, device = _given("resnet_training", constants)
    model = resnet(of, device)
    optimizer = dlc.optim.SGD(model.parameters(), **networks.MOMENTUM)

    def loss_of(model: Any, images: Any, labels: Any) -> Any:
        return dlc.cross_entropy(model(images), labels)

    return _training(model, optimizer, of.half, loss_of)
