"""Published networks in PyTorch, as functions of weights by name; at float64, the reference."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.bench import networks
from dlc.bench.frameworks.torch_build import Build
from dlc.bench.networks import Given
from dlc.bench.problem import Array, Arrays, Program, as_arrays

torch: Any = importlib.import_module("torch")
functional: Any = importlib.import_module("torch.nn.functional")

Weights = Mapping[str, Any]


class _Network(torch.nn.Module):
    """A network of weights by their names.

    Args:
        of: The weights and settings; at bfloat16 in whole where nothing is trained.
        trained: Whether weights have gradients; products are at bfloat16 if that is asked for.
    """

    def __init__(self, of: Given, *, trained: bool) -> None:
        super().__init__()
        self.extents, self.names = of.extents, list(of.weights)
        self.mixed = of.half and trained
        whole = of.half and not trained
        held = [self._typed(w, whole).clone() for w in of.weights.values()]
        parameters = [torch.nn.Parameter(w, requires_grad=trained) for w in held]
        self.held = torch.nn.ParameterList(parameters)
        for k, kept in enumerate(of.more):
            self.register_buffer(f"kept{k}", self._typed(kept, whole).clone())
        self.train(trained)

    def _typed(self, x: Any, half: bool) -> Any:
        return x.to(torch.bfloat16) if half else x

    def weights(self) -> Weights:
        """By name."""
        return dict(zip(self.names, self.held, strict=True))

    def cast(self) -> Any:
        """The region in which products are computed."""
        kind = self.held[0].device.type
        return torch.autocast(kind, torch.bfloat16, enabled=self.mixed)


def _layer_norm(w: Weights, name: str, x: Any, eps: float) -> Any:
    return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)


def _linear(w: Weights, name: str, x: Any) -> Any:
    return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def _product(w: Weights, name: str, x: Any) -> Any:
    """A linear layer whose weight is (inputs, outputs)."""
    return functional.linear(x, w[f"{name}.weight"].t(), w[f"{name}.bias"])


def _split(x: Any) -> Any:
    return x.unflatten(-1, (-1, networks.WIDTH)).transpose(1, 2)


def _joined(x: Any) -> Any:
    return x.transpose(1, 2).flatten(2)


def _gpt2(
    w: Weights, tokens: Any, places: Any, layers: int, attend: Callable[[int, Any, Any, Any], Any]
) -> Any:
    """The states of tokens, and attention as `attend` has it of a layer's queries, keys, values."""
    x = functional.embedding(tokens, w["wte.weight"]) + w["wpe.weight"][places]
    for k in range(layers):
        at = f"h.{k}"
        parts = _product(w, f"{at}.attn.c_attn", _layer_norm(w, f"{at}.ln_1", x, 1e-5))
        found = attend(k, *map(_split, parts.chunk(3, -1)))
        x = x + _product(w, f"{at}.attn.c_proj", _joined(found))
        y = _product(w, f"{at}.mlp.c_fc", _layer_norm(w, f"{at}.ln_2", x, 1e-5))
        x = x + _product(w, f"{at}.mlp.c_proj", functional.gelu(y, approximate="tanh"))
    return _layer_norm(w, "ln_f", x, 1e-5)


class _GPT2Loss(_Network):
    def forward(self, tokens: Any, following: Any) -> Any:
        def attend(k: int, q: Any, key: Any, v: Any) -> Any:
            return functional.scaled_dot_product_attention(q, key, v, is_causal=True)

        w, layers = self.weights(), self.extents["l"]
        with self.cast():
            places = torch.arange(tokens.shape[1], device=tokens.device)
            states = _gpt2(w, tokens, places, layers, attend)
            scores = functional.linear(states, w["wte.weight"])
            return functional.cross_entropy(scores.flatten(0, 1), following.flatten())


class _GPT2Step(_Network):
    def forward(self, token: Any, place: Any) -> Any:
        w, layers = self.weights(), self.extents["l"]
        places = place.reshape(1)
        mask = torch.arange(self.extents["t"], device=token.device) <= place

        def attend(k: int, q: Any, key: Any, v: Any) -> Any:
            kept = getattr(self, f"kept{2 * k}"), getattr(self, f"kept{2 * k + 1}")
            for held, new in zip(kept, (key, v), strict=True):
                held.index_copy_(2, places, new)
            return functional.scaled_dot_product_attention(q, *kept, attn_mask=mask[None, :])

        states = _gpt2(w, token, places, layers, attend)
        return functional.linear(states[:, -1], w["wte.weight"])


class _BertStates(_Network):
    def forward(self, tokens: Any) -> Any:
        w = self.weights()
        tables = [w[f"embeddings.{t}_embeddings.weight"] for t in ("word", "position")]
        kind = w["embeddings.token_type_embeddings.weight"][0]
        x = functional.embedding(tokens, tables[0]) + tables[1][: tokens.shape[1]] + kind
        x = _layer_norm(w, "embeddings.LayerNorm", x, 1e-12)
        for k in range(self.extents["l"]):
            at = f"encoder.layer.{k}"
            q, key, v = (
                _split(_linear(w, f"{at}.attention.self.{part}", x))
                for part in ("query", "key", "value")
            )
            found = _joined(functional.scaled_dot_product_attention(q, key, v))
            y = x + _linear(w, f"{at}.attention.output.dense", found)
            x = _layer_norm(w, f"{at}.attention.output.LayerNorm", y, 1e-12)
            y = functional.gelu(_linear(w, f"{at}.intermediate.dense", x))
            y = x + _linear(w, f"{at}.output.dense", y)
            x = _layer_norm(w, f"{at}.output.LayerNorm", y, 1e-12)
        return x


class _ResNetLoss(_Network):
    """Norms keep running means and variances, from 0 and 1 on."""

    def __init__(self, of: Given, *, trained: bool) -> None:
        super().__init__(of, trained=trained)
        self.layers = {c.name: c for c in networks.convolutions(of.extents)}
        like = self.held[0]
        for c in self.layers.values():
            name = c.norm.replace(".", "_")
            self.register_buffer(f"{name}_mean", like.new_zeros(c.outputs))
            self.register_buffer(f"{name}_variance", like.new_ones(c.outputs))

    def forward(self, images: Any, labels: Any) -> Any:
        w = self.weights()
        with self.cast():
            x = functional.relu(self._normal(w, "conv1", images))
            x = functional.max_pool2d(x, 3, 2, 1)
            for k, count in enumerate(networks.blocks(self.extents), 1):
                for j in range(count):
                    x = self._block(w, f"layer{k}.{j}", x)
            scores = _linear(w, "fc", x.mean((2, 3)))
            return functional.cross_entropy(scores, labels)

    def _block(self, w: Weights, at: str, x: Any) -> Any:
        y = functional.relu(self._normal(w, f"{at}.conv1", x))
        y = functional.relu(self._normal(w, f"{at}.conv2", y))
        y = self._normal(w, f"{at}.conv3", y)
        shortcut = f"{at}.downsample.0"
        return functional.relu(y + (self._normal(w, shortcut, x) if shortcut in self.layers else x))

    def _normal(self, w: Weights, name: str, x: Any) -> Any:
        c = self.layers[name]
        kept = c.norm.replace(".", "_")
        y = functional.conv2d(x, w[f"{name}.weight"], None, c.stride, c.window // 2)
        return functional.batch_norm(
            y, getattr(self, f"{kept}_mean"), getattr(self, f"{kept}_variance"),
            w[f"{c.norm}.weight"], w[f"{c.norm}.bias"], training=True,
        )  # fmt: skip


def _step(make: Callable[[Any], Any]) -> Callable[[Any, Sequence[Any]], Program]:
    """A training step around a loss, with the optimizer that `make` makes of its parameters."""

    def finish(forward: Any, constants: Sequence[Any]) -> Program:
        optimizer = make(forward.parameters())

        def step(*inputs: Any) -> Any:
            optimizer.zero_grad(set_to_none=True)
            loss = forward(*inputs)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step

    return finish


def _given(name: str, constants: Sequence[Any]) -> Given:
    numbers, *rest = constants
    return networks.given(name, [np.asarray(numbers.cpu()), *rest])


def _training(name: str, kind: type[_Network], make: Callable[[Any], Any]) -> Build:
    return Build(lambda constants: kind(_given(name, constants), trained=True), _step(make))


def _inference(name: str, kind: type[_Network]) -> Build:
    return Build(lambda constants: kind(_given(name, constants), trained=False).eval())


PROGRAMS: dict[str, Build] = {
    "gpt2_training": _training(
        "gpt2_training",
        _GPT2Loss,
        lambda p: torch.optim.AdamW(p, betas=networks.BETAS, **networks.ADAM, fused=True),
    ),
    "gpt2_decode": _inference("gpt2_decode", _GPT2Step),
    "bert_states": _inference("bert_states", _BertStates),
    "resnet_training": _training(
        "resnet_training", _ResNetLoss, lambda p: torch.optim.SGD(p, **networks.MOMENTUM)
    ),
}


def reference(name: str, constants: Sequence[Array]) -> Program:
    """The program of NumPy's arrays at the type of its weights; on a GPU where PyTorch has one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    whole = np.asarray(constants[0]) * (np.arange(len(constants[0])) > 0)  # not at bfloat16
    tensors = [torch.from_numpy(np.asarray(c).copy()).to(device) for c in (whole, *constants[1:])]
    build = PROGRAMS[name]
    program = build.finish(build.forward(tensors), tensors)

    def run(*inputs: Array) -> Arrays:
        given = (torch.from_numpy(np.asarray(x).copy()).to(device) for x in inputs)
        with torch.enable_grad():
            return as_arrays(program(*given).detach().cpu().numpy())

    return run
