"""Published networks in JAX, as functions of weights by name, through jax.jit."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.bench import networks
from dlc.bench.networks import Given
from dlc.bench.problem import Program

jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")

Weights = Mapping[str, Any]


def _given(name: str, constants: Sequence[Any]) -> Given:
    return networks.given(name, [np.asarray(constants[0]), *constants[1:]])


def _layer_norm(w: Weights, name: str, x: Any, eps: float) -> Any:
    whole = x.astype(jnp.float32)
    centred = whole - jnp.mean(whole, axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + eps)
    return (centred * scale * w[f"{name}.weight"] + w[f"{name}.bias"]).astype(x.dtype)


def _product(w: Weights, name: str, x: Any, half: bool) -> Any:
    """A linear layer whose weight is (inputs, outputs); at bfloat16 where that is asked for."""
    kind = jnp.bfloat16 if half else w[f"{name}.weight"].dtype
    return x.astype(kind) @ w[f"{name}.weight"].astype(kind) + w[f"{name}.bias"].astype(kind)


def _linear(w: Weights, name: str, x: Any) -> Any:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _split(x: Any) -> Any:
    return x.reshape(*x.shape[:-1], -1, networks.WIDTH)


def _joined(x: Any) -> Any:
    return x.reshape(*x.shape[:-2], -1)


def _gpt2(
    w: Weights, tokens: Any, places: Any, of: Given, half: bool, attend: Callable[..., Any]
) -> Any:
    x = w["wte.weight"][tokens] + w["wpe.weight"][places]
    for k in range(of.extents["l"]):
        at = f"h.{k}"
        parts = _product(w, f"{at}.attn.c_attn", _layer_norm(w, f"{at}.ln_1", x, 1e-5), half)
        found = attend(k, *map(_split, jnp.split(parts, 3, axis=-1)))
        x = x + _product(w, f"{at}.attn.c_proj", _joined(found), half).astype(x.dtype)
        y = _product(w, f"{at}.mlp.c_fc", _layer_norm(w, f"{at}.ln_2", x, 1e-5), half)
        y = _product(w, f"{at}.mlp.c_proj", jax.nn.gelu(y, approximate=True), half)
        x = x + y.astype(x.dtype)
    return _layer_norm(w, "ln_f", x, 1e-5)


def _cross_entropy(scores: Any, labels: Any) -> Any:
    logs = jax.nn.log_softmax(scores.astype(jnp.float32), axis=-1)
    return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], axis=1))


def _attend_causally(k: int, q: Any, key: Any, v: Any) -> Any:
    return jax.nn.dot_product_attention(q, key, v, is_causal=True)


def _steps(update: Callable[..., Any], state: Any) -> Program:
    """A step that keeps its state, which each call gives away."""
    compiled = jax.jit(update, donate_argnums=0)
    held = state

    def step(*inputs: Any) -> Any:
        nonlocal held
        result, held = compiled(held, *inputs)
        if jax.default_backend() == "cpu":  # calls return before the work is done
            jax.block_until_ready(held)
        return result

    return step


def _gpt2_training(constants: Sequence[Any]) -> Program:
    of = _given("gpt2_training", constants)

    def loss_of(w: Weights, tokens: Any, following: Any) -> Any:
        places = jnp.arange(tokens.shape[1])
        states = _gpt2(w, tokens, places, of, of.half, _attend_causally)
        kind = jnp.bfloat16 if of.half else jnp.float32
        scores = states.astype(kind) @ w["wte.weight"].T.astype(kind)
        return _cross_entropy(scores.reshape(-1, scores.shape[-1]), following.reshape(-1))

    rate, decay, eps = (networks.ADAM[k] for k in ("lr", "weight_decay", "eps"))
    beta1, beta2 = networks.BETAS

    def update(state: Any, tokens: Any, following: Any) -> Any:
        w, first, second, count = state
        loss, gradients = jax.value_and_grad(loss_of)(w, tokens, following)
        count = count + 1
        size, root = rate / (1 - beta1**count), jnp.sqrt(1 - beta2**count)
        first = {k: m + (1 - beta1) * (gradients[k] - m) for k, m in first.items()}
        second = {k: v + (1 - beta2) * (gradients[k] ** 2 - v) for k, v in second.items()}
        w = {
            k: p * (1 - rate * decay) - size * first[k] / (jnp.sqrt(second[k]) / root + eps)
            for k, p in w.items()
        }
        return loss, (w, first, second, count)

    zeros = [{k: jnp.zeros_like(x) for k, x in of.weights.items()} for _ in range(2)]
    return _steps(update, (of.weights, *zeros, jnp.float32(0)))


def _at(of: Given, x: Any) -> Any:
    return x.astype(jnp.bfloat16) if of.half else x


def _gpt2_decode(constants: Sequence[Any]) -> Program:
    of = _given("gpt2_decode", constants)
    w = {name: _at(of, x) for name, x in of.weights.items()}

    def step(kept: Any, w: Weights, token: Any, place: Any) -> Any:
        kept = list(kept)
        mask = jnp.arange(of.extents["t"]) <= place

        def attend(k: int, q: Any, key: Any, v: Any) -> Any:
            for j, new in ((2 * k, key), (2 * k + 1, v)):
                kept[j] = jax.lax.dynamic_update_slice_in_dim(kept[j], new, place, 1)
            chosen = mask[None, None, None, :]
            return jax.nn.dot_product_attention(q, kept[2 * k], kept[2 * k + 1], mask=chosen)

        states = _gpt2(w, token, place.reshape(1), of, False, attend)
        return states[:, -1] @ w["wte.weight"].T, kept

    run = _steps(step, [_at(of, x).swapaxes(1, 2) for x in of.more])
    return lambda token, place: run(w, token, place)


def _bert_states(constants: Sequence[Any]) -> Program:
    of = _given("bert_states", constants)
    w = {name: _at(of, x) for name, x in of.weights.items()}

    @jax.jit
    def run(w: Weights, tokens: Any) -> Any:
        tables = [w[f"embeddings.{t}_embeddings.weight"] for t in ("word", "position")]
        kind = w["embeddings.token_type_embeddings.weight"][0]
        x = tables[0][tokens] + tables[1][: tokens.shape[1]] + kind
        x = _layer_norm(w, "embeddings.LayerNorm", x, 1e-12)
        for k in range(of.extents["l"]):
            at = f"encoder.layer.{k}"
            parts = (
                _split(_linear(w, f"{at}.attention.self.{part}", x))
                for part in ("query", "key", "value")
            )
            found = _joined(jax.nn.dot_product_attention(*parts))
            y = x + _linear(w, f"{at}.attention.output.dense", found)
            x = _layer_norm(w, f"{at}.attention.output.LayerNorm", y, 1e-12)
            y = jax.nn.gelu(_linear(w, f"{at}.intermediate.dense", x), approximate=False)
            y = x + _linear(w, f"{at}.output.dense", y)
            x = _layer_norm(w, f"{at}.output.LayerNorm", y, 1e-12)
        return x

    def settled(tokens: Any) -> Any:
        found = run(w, tokens)
        return jax.block_until_ready(found) if jax.default_backend() == "cpu" else found

    return settled


def _resnet_training(constants: Sequence[Any]) -> Program:
    of = _given("resnet_training", constants)
    kind = jnp.bfloat16 if of.half else jnp.float32
    layers = {c.name: c for c in networks.convolutions(of.extents)}

    def normal(w: Weights, kept: Any, name: str, x: Any) -> Any:
        c = layers[name]
        y = jax.lax.conv_general_dilated(
            x, w[f"{name}.weight"].astype(kind), (c.stride,) * 2, [(c.window // 2,) * 2] * 2
        )
        whole, over = y.astype(jnp.float32), (0, 2, 3)
        mean = jnp.mean(whole, axis=over)
        variance = jnp.mean(whole * whole, axis=over) - mean * mean
        count = whole.size // mean.size
        old = kept[c.norm]
        kept[c.norm] = (
            0.9 * old[0] + 0.1 * mean,
            0.9 * old[1] + 0.1 * variance * count / (count - 1),
        )
        scale = w[f"{c.norm}.weight"] * jax.lax.rsqrt(variance + 1e-5)
        shift = w[f"{c.norm}.bias"] - mean * scale
        return (whole * scale[:, None, None] + shift[:, None, None]).astype(kind)

    def block(w: Weights, kept: Any, at: str, x: Any) -> Any:
        y = jax.nn.relu(normal(w, kept, f"{at}.conv1", x))
        y = jax.nn.relu(normal(w, kept, f"{at}.conv2", y))
        y = normal(w, kept, f"{at}.conv3", y)
        shortcut = f"{at}.downsample.0"
        return jax.nn.relu(y + (normal(w, kept, shortcut, x) if shortcut in layers else x))

    def loss_of(w: Weights, kept: Any, images: Any, labels: Any) -> Any:
        kept = dict(kept)
        x = jax.nn.relu(normal(w, kept, "conv1", images.astype(kind)))
        padding = ((0, 0), (0, 0), (1, 1), (1, 1))
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), padding)
        for k, count in enumerate(networks.blocks(of.extents), 1):
            for j in range(count):
                x = block(w, kept, f"layer{k}.{j}", x)
        pooled = jnp.mean(x.astype(jnp.float32), axis=(2, 3))
        return _cross_entropy(_linear(w, "fc", pooled), labels), kept

    rate, momentum, decay = (networks.MOMENTUM[k] for k in ("lr", "momentum", "weight_decay"))

    def update(state: Any, images: Any, labels: Any) -> Any:
        w, held, kept = state
        (loss, kept), gradients = jax.value_and_grad(loss_of, has_aux=True)(w, kept, images, labels)
        held = {k: momentum * held[k] + g + decay * w[k] for k, g in gradients.items()}
        return loss, ({k: p - rate * held[k] for k, p in w.items()}, held, kept)

    zeros = {k: jnp.zeros_like(x) for k, x in of.weights.items()}
    kept = {c.norm: (jnp.zeros(c.outputs), jnp.ones(c.outputs)) for c in layers.values()}
    return _steps(update, (of.weights, zeros, kept))


PROGRAMS: Mapping[str, Callable[[Sequence[Any]], Program]] = {
    "gpt2_training": _gpt2_training,
    "gpt2_decode": _gpt2_decode,
    "bert_states": _bert_states,
    "resnet_training": _resnet_training,
}
