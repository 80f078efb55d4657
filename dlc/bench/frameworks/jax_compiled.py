"""JAX: functions through jax.jit."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.bench import problems, recurrent
from dlc.bench.frameworks import jax_networks
from dlc.bench.problem import Array, Arrays, Case, Program, as_arrays

jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")


def _layer_norm(x: Any, w: Any, b: Any) -> Any:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-5) * w + b


def _rms_norm(x: Any, w: Any) -> Any:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-5) * w


def _cross_entropy(x: Any, labels: Any) -> Any:
    chosen = jnp.take_along_axis(jax.nn.log_softmax(x, axis=-1), labels[:, None], axis=1)
    return -jnp.mean(chosen)


def _attention(q: Any, k: Any, v: Any) -> Any:
    q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
    return jax.nn.dot_product_attention(q, k, v).swapaxes(1, 2)


def _attention_causal(q: Any, k: Any, v: Any) -> Any:
    q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
    return jax.nn.dot_product_attention(q, k, v, is_causal=True).swapaxes(1, 2)


def _gradient(function: Program) -> Program:
    def run(*arguments: Any) -> Any:
        *inputs, cotangent = arguments
        value, pull_back = jax.vjp(function, *inputs)
        return (value, *pull_back(cotangent))

    return run


def _network(parameters: Sequence[Any], x: Any) -> Any:
    w1, b1, w2, b2, w3, b3 = parameters
    h = jax.nn.relu(x @ w1 + b1)
    h = jax.nn.relu(h @ w2 + b2)
    return h @ w3 + b3


def _jit(function: Program) -> Callable[[Sequence[Any]], Program]:
    return lambda constants: _waiting(jax.jit(function))


def _closing(function: Callable[[Sequence[Any], Any], Any]) -> Callable[[Sequence[Any]], Program]:
    """Over constants, which XLA sees."""
    return lambda constants: _waiting(jax.jit(lambda x: function(constants, x)))


def _waiting(compiled: Program) -> Program:
    """Calls return before the work is done."""
    return lambda *arguments: _settled(compiled(*arguments))


def _settled(result: Any) -> Any:
    """The result, when it is there; on a GPU turns end with a wait, not calls."""
    return jax.block_until_ready(result) if jax.default_backend() == "cpu" else result


def _deep(constants: Sequence[Any]) -> Program:
    def run(parameters: Sequence[Any], x: Any) -> Any:
        for w, b in zip(parameters[::2], parameters[1::2], strict=True):
            x = jnp.tanh(x @ w + b)
        return x

    compiled = jax.jit(run)
    return lambda x: _settled(compiled(constants, x))


def _training(constants: Sequence[Any]) -> Program:
    beta1, beta2 = problems.BETA1, problems.BETA2

    def loss_of(parameters: Sequence[Any], x: Any, labels: Any) -> Any:
        return _cross_entropy(_network(parameters, x), labels)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state: Any, x: Any, labels: Any) -> Any:
        parameters, first, second, count = state
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, labels)
        count = count + 1
        rate, root = problems.RATE / (1 - beta1**count), jnp.sqrt(1 - beta2**count)
        first = [m + (1 - beta1) * (g - m) for m, g in zip(first, gradients, strict=True)]
        second = [v + (1 - beta2) * (g * g - v) for v, g in zip(second, gradients, strict=True)]
        parameters = [
            p - rate * m / (jnp.sqrt(v) / root + problems.EPSILON)
            for p, m, v in zip(parameters, first, second, strict=True)
        ]
        return loss, (parameters, first, second, count)

    zeros = [jnp.zeros_like(c) for c in constants]
    state: Any = (list(constants), zeros, [jnp.zeros_like(c) for c in constants], jnp.float32(0))

    def step(x: Any, labels: Any) -> Any:
        nonlocal state
        loss, state = update(state, x, labels)
        _settled(state)
        return loss

    return step


def _example_gradients(constants: Sequence[Any]) -> Program:
    def loss(parameters: Sequence[Any], x: Any, label: Any) -> Any:
        return -jnp.take(jax.nn.log_softmax(_network(parameters, x)), label)

    gradients = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0, 0)))
    return _waiting(lambda x, labels: tuple(gradients(list(constants), x, labels)))


def _kalman(constants: Sequence[Any], measured: Any) -> Any:
    move, noise, seen, doubt = constants

    def step(carry: Any, y: Any) -> Any:
        x, p = carry
        x, p = move @ x, move @ p @ move.T + noise
        s = seen @ p @ seen.T + doubt
        gain = jnp.linalg.solve(s, seen @ p).T
        x, p = x + gain @ (y - seen @ x), p - gain @ s @ gain.T
        return (x, p), x

    return jax.lax.scan(step, (jnp.zeros(len(move)), jnp.eye(len(move))), measured)[1]


def _lstm_training(constants: Sequence[Any]) -> Program:
    def loss_of(parameters: Sequence[Any], x: Any, y: Any) -> Any:
        w, u, b = parameters

        def cell(state: Any, row: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(row @ w + h @ u + b, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((x.shape[1], u.shape[0]), x.dtype)
        _, outputs = jax.lax.scan(cell, (zero, zero), x)
        return jnp.mean((outputs - y) ** 2)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(parameters: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        new = [p - recurrent.RATE * g for p, g in zip(parameters, gradients, strict=True)]
        return loss, new

    parameters: Any = list(constants)

    def step(x: Any, y: Any) -> Any:
        nonlocal parameters
        loss, parameters = update(parameters, x, y)
        _settled(parameters)
        return loss

    return step


def _layer(stride: int) -> Program:
    """A convolution with a bias and relu."""

    def layer(x: Any, w: Any, b: Any) -> Any:
        groups, padding = x.shape[1] // w.shape[1], w.shape[2] // 2
        y = jax.lax.conv_general_dilated(
            x, w, (stride, stride), [(padding, padding)] * 2, feature_group_count=groups
        )
        return jax.nn.relu(y + b[:, None, None])

    return layer


def _embedding_gradient(table: Any, places: Any, ct: Any) -> Any:
    _, pull_back = jax.vjp(lambda t: t[places], table)
    return pull_back(ct)[0]


def _rotary(x: Any, c: Any, s: Any) -> Any:
    a, b = x[..., ::2], x[..., 1::2]
    return jnp.stack([a * c - b * s, a * s + b * c], axis=-1).reshape(x.shape)


PROGRAMS: dict[str, Callable[[Sequence[Any]], Program]] = {
    "warm_up": _jit(lambda x: jnp.sum(jnp.sqrt(x * x + 1), axis=-1)),
    "add": _jit(lambda x, y: x + y),
    "chain": _jit(lambda x, y: jnp.tanh(x * y + x) * jnp.exp(-y * y)),
    "softmax": _jit(lambda x: jax.nn.softmax(x, axis=-1)),
    "log_softmax": _jit(lambda x: jax.nn.log_softmax(x, axis=-1)),
    "layer_norm": _jit(_layer_norm),
    "rms_norm": _jit(_rms_norm),
    "softmax_gradient": _jit(_gradient(lambda x: jax.nn.softmax(x, axis=-1))),
    "log_softmax_gradient": _jit(_gradient(lambda x: jax.nn.log_softmax(x, axis=-1))),
    "layer_norm_gradient": _jit(_gradient(_layer_norm)),
    "rms_norm_gradient": _jit(_gradient(_rms_norm)),
    "cross_entropy_gradient": _jit(jax.value_and_grad(_cross_entropy)),
    "attention": _jit(_attention),
    "attention_causal": _jit(_attention_causal),
    "attention_gradient": _jit(_gradient(_attention)),
    "matmul": _jit(jnp.matmul),
    "matmul_batched": _jit(jnp.matmul),
    "matmul_constant": _closing(lambda constants, x: x @ constants[0]),
    "linear_gelu": _jit(lambda x, w, b: jax.nn.gelu(x @ w + b, approximate=False)),
    "mlp": _closing(_network),
    "mlp_training": _training,
    "example_gradients": _example_gradients,
    "lstm_training": _lstm_training,
    "deep": _deep,
    "convolution": _closing(lambda constants, x: _layer(1)(x, *constants)),
    "convolution_strided": _closing(lambda constants, x: _layer(2)(x, *constants)),
    "convolution_gradient": _jit(_gradient(_layer(1))),
    "convolution_strided_gradient": _jit(_gradient(_layer(2))),
    "solve": _jit(jnp.linalg.solve),
    "inverse": _jit(jnp.linalg.inv),
    "determinant": _jit(jnp.linalg.det),
    "cholesky": _jit(jnp.linalg.cholesky),
    "kalman": _closing(_kalman),
    "sort": _jit(lambda x: jnp.sort(x, axis=-1)),
    "argsort": _jit(lambda x: jnp.argsort(x, axis=-1)),
    "top_8": _jit(lambda x: tuple(jax.lax.top_k(x, 8))),
    "top_64": _jit(lambda x: tuple(jax.lax.top_k(x, 64))),
    "cumulative_sum": _jit(lambda x: jnp.cumsum(x, axis=-1)),
    "embedding_gradient": _jit(_embedding_gradient),
    "linear": _jit(lambda x, w: x @ w.T),
    "add_transposed": _jit(lambda x, y: x + y.T),
    "merged_heads": _jit(
        lambda x: x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1),
    ),
    "rotary": _jit(_rotary),
    "sum_of_all": _jit(jnp.sum),
    **jax_networks.PROGRAMS,
}


class Jax:
    """JAX; on the CPU it uses a thread for each CPU that the process may run on."""

    def settings(self) -> dict[str, str]:
        """Version and flags."""
        return {
            "jax": jax.__version__,
            "matmul precision": str(jax.config.jax_default_matmul_precision),
            "persistent cache": str(jax.config.jax_enable_compilation_cache),
        }

    def array(self, array: Array) -> Any:
        """An array of JAX's, over the same memory where that is aligned; labels become int32."""
        return jax.device_put(array)

    def program(self, case: Case, constants: Sequence[Array]) -> Program | None:
        """The compiled function."""
        build = PROGRAMS.get(case.problem.name)
        return None if build is None else build([jax.device_put(c) for c in constants])

    def half_array(self, array: Array) -> Any:
        """An array at bfloat16."""
        return jnp.asarray(array, jnp.bfloat16)

    def wait(self) -> None:
        """Returns when the work of all calls is done: a GPU does it in their order."""
        if jax.default_backend() != "cpu":
            jax.block_until_ready(jnp.zeros(()) + 1)

    def arrays(self, result: Any) -> Arrays:
        """The results."""
        return tuple(
            a.astype(np.float32) if a.dtype == jnp.bfloat16 else a for a in as_arrays(result)
        )


def start(threads: int, cache: str, device: str = "cpu") -> Jax:
    """JAX, whose caches are set by the environment."""
    return Jax()
